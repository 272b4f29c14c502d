"""A policy compiled for the core, with what is needed to read its numbers back."""

from __future__ import annotations

import hashlib
import json
from functools import reduce
from pathlib import Path
from typing import Any

from atlascore import _core
from atlascore.atlas import RELEASE
from atlascore.constraints import Constraints
from atlascore.policy import Policy

__all__ = ["Compiled"]


class Compiled:
    """What is needed to read the core's numbers under a policy. Every different constraint of its responses and limits
    is one bit of 64.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.resolved = policy.resolved()
        self._bits: list[Constraints] = []
        self._merged: dict[int, Constraints] = {}
        entries = [*self.resolved["responses"], *self.resolved["limits"]]
        self._bits = _single_constraints(entry["constraints"] for entry in entries)
        for entry in entries:
            parts = _single_constraints([entry["constraints"]])
            entry["constraint_bits"] = sum(1 << self._bits.index(part) for part in parts)
        table = [
            (name, json.dumps(value, sort_keys=True, separators=(",", ":")))
            for part in self._bits
            for name, value in part.to_dict().items()
        ]
        core = _core.CompiledPolicy(
            self.resolved | {"constraint_table": table, "atlas_release": RELEASE, "files": _files(policy)},
            policy.rules.program,
        )
        self.id = core.id
        self._watch = core.watch()
        self._core: _core.CompiledPolicy | None = core

    def take(self) -> _core.CompiledPolicy:
        """The core's form of the policy, once: it is kept by who decides by it, and by nobody else."""
        core, self._core = self._core, None
        assert core is not None
        return core

    @property
    def is_used(self) -> bool:
        """Whether the engine, one of its routes or a decision still refers to the policy."""
        return self._watch()

    def constraints(self, bits: int) -> Constraints:
        """All constraints of the set bits at once, the strictest of each kind."""
        if bits not in self._merged:
            chosen = [part for i, part in enumerate(self._bits) if bits >> i & 1]
            self._merged[bits] = reduce(Constraints.merge, chosen, Constraints())
        return self._merged[bits]


def _single_constraints(all_constraints: Any) -> list[Constraints]:
    """Each constraint by itself, without repetition, the strictest of a kind first: the log writes that one."""
    parts = {
        Constraints.from_dict({name: value}) for constraints in all_constraints for name, value in constraints.items()
    }
    return sorted(parts, key=_strictness)


def _strictness(part: Constraints) -> tuple[Any, ...]:
    ((name, value),) = part.to_dict().items()
    if name == "scores":
        return (
            name,
            "label_only" not in value,
            "top_k" not in value,
            value.get("top_k", 0),
            value.get("decimals", 0),
        )
    return (name, -value if name == "delay" else value)


def _files(policy: Policy) -> list[tuple[str, str]]:
    """Name and SHA-256 of every rule file, as the log's policy entry states them."""
    files = {}
    for rule in policy.rules.rules:
        path = Path(rule.file)
        if path.is_file():
            files[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return sorted(files.items())
