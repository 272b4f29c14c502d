"""Policy: what follows from matched rules and limits. Loaded from a YAML file, checked as a whole, immutable.

The language is described in docs/policy.md.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from atlascore._policy.document import Principal
    from atlascore._yaml import Problem
    from atlascore.sigma import RuleSet

__all__ = ["Mode", "Policy"]

Mode: TypeAlias = Literal["enforce", "shadow", "off"]


class Policy:
    """A checked policy and its rules. Made by `load`, `default` or `from_text`; never changes afterwards.

    name, mode: as in the file; mode is "enforce", "shadow" or "off".
    hash:       64 hex digits: SHA-256 over the canonical JSON of what the policy and its rules say. Comments,
                the order of keys and the places of files do not change it.
    rules:      the loaded rules (`atlascore.sigma.RuleSet`).
    problems:   warnings and lints, sorted by position; errors are raised instead.
    principal:  where adapters find out who asks.
    source:     the file, as the caller named it.
    """

    def __init__(
        self,
        text: str | bytes,
        file: str,
        base: Path,
        mode: Mode | None = None,
        rules: Sequence[str | Path] = (),
    ) -> None:
        """Use `load`, `default` or `from_text`. mode: replaces the one of the text. rules: further rule paths."""
        if not isinstance(text, str | bytes):
            raise TypeError(f"a policy's text must be str or bytes, not {type(text).__name__}")
        if mode is not None and mode not in get_args(Mode):
            raise ValueError(f"mode must be {', '.join(get_args(Mode))}, not {mode!r}")
        # What reads YAML and Sigma takes longer to import than all the rest, and only policies need it.
        from atlascore._policy.load import load_policy

        loaded = load_policy(text, file, base, mode, rules)
        self.name: str = loaded.document.name
        self.mode: str = loaded.document.mode
        self.hash: str = loaded.resolved["hash"]
        self.rules: RuleSet = loaded.rules
        self.problems: tuple[Problem, ...] = loaded.problems
        self.principal: Principal = loaded.document.principal
        self.source: str = file
        self._resolved = loaded.resolved

    @classmethod
    def load(cls, path: str | Path, *, mode: Mode | None = None, rules: Sequence[str | Path] = ()) -> Policy:
        """The policy in a YAML file; file names in it are relative to its directory.

        mode: replaces the one of the file. rules: rule files and directories to add to those that it names.

        Raises PolicyError with every problem found in the policy and its rules, OSError if the file cannot be
        read, ValueError for a mode that does not exist.
        """
        path = Path(path)
        return cls(path.read_bytes(), str(path), path.parent, mode, rules)

    @classmethod
    def default(cls, mode: Mode = "shadow", *, rules: Sequence[str | Path] = ()) -> Policy:
        """The shipped rules and responses, and further rules. Raises ValueError for a mode that does not exist."""
        shipped = resources.files("atlascore") / "policies" / "default.yml"
        return cls(shipped.read_bytes(), "default.yml", Path(), mode, rules)

    @classmethod
    def from_text(
        cls, text: str | bytes, file: str = "<text>", base: str | Path = ".", *, mode: Mode | None = None
    ) -> Policy:
        """The policy in a YAML text.

        file: what messages call it. base: the directory that file names in it are relative to. mode: replaces the
        one of the text. Raises PolicyError as `load` does, ValueError for a mode that does not exist.
        """
        return cls(text, file, Path(base), mode)

    def resolved(self) -> dict[str, Any]:
        """The policy as plain data about its rules, a fresh copy: what the core compiles.

        Spans are seconds, times seconds since the Unix epoch, file names joined to the policy's directory.
        `rules[i]` is rule i of `rules.program`; its `mode` is the weaker of its own and the policy's. Once
        its `expires` has passed, the policy's mode alone counts and `exclude` ends. `responses[].rules` and
        `allow[].exempt_rules` are such positions. An empty list of globs matches everything. A model's scale
        is z = (x - center) / scale, one element standing for every feature; of the models whose pattern
        matches, the first one wins. A model's `evidence_off` names the components of evidence that its baseline
        has switched off: `measured` those of each model that it has measured, `others` those of any other.
        """
        return copy.deepcopy(self._resolved)

    def __repr__(self) -> str:
        return f"<Policy {self.name!r} mode={self.mode} rules={len(self._resolved['rules'])} {self.hash[:12]}>"
