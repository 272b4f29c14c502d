"""From parsed rules to a compiled program, and the set of rules that belongs to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from atlascore import _core
from atlascore._yaml import Problem
from atlascore.errors import RuleError
from atlascore.sigma import fields
from atlascore.sigma.ast import LEVELS, And, Expression, Leaf, Not, Rule, leaves
from atlascore.sigma.lint import Report
from atlascore.sigma.parse import Loaded, read_paths, read_text

MAX_WINDOWS = 8


@dataclass(frozen=True)
class RuleSet:
    """Rules with the program compiled from them; a rule's index is the same in both.

    `problems` holds the lints, `digest` is a SHA-256 in hex over what the rules mean, whatever their order.
    """

    rules: tuple[Rule, ...]
    program: _core.Program
    digest: str
    problems: tuple[Problem, ...] = ()
    _index: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def build(
        cls,
        rules: Iterable[Rule],
        *,
        level: Mapping[str, str] | None = None,
        timeframe: Mapping[str, int] | None = None,
        problems: Sequence[Problem] = (),
    ) -> RuleSet:
        """Compile rules, some with another level or timeframe (in seconds), by rule id.

        Raises RuleError when they read more than 8 different windows, ValueError for an override of a rule
        that is not among them, or to a level that does not exist.
        """
        chosen = tuple(_override(rule, level or {}, timeframe or {}) for rule in rules)
        unknown = ({*(level or {}), *(timeframe or {})}) - {rule.id for rule in chosen}
        if unknown:
            raise ValueError(f"no loaded rule has the id {min(unknown)!r}")
        _check_windows(chosen)
        digests = sorted(rule.digest() for rule in chosen)
        return cls(
            rules=chosen,
            program=_core.Program([lower(rule) for rule in chosen]),
            digest=hashlib.sha256("\n".join(digests).encode()).hexdigest(),
            problems=tuple(sorted(problems, key=lambda problem: problem.position)),
            _index={name: i for i, rule in enumerate(chosen) for name in (rule.id, *rule.aliases)},
        )

    def find(self, reference: str) -> int | None:
        """The index of the rule with this id, written id or name."""
        found = self._index.get(reference)
        return self._index.get(reference.lower()) if found is None else found


def load_rules(paths: Sequence[str | Path], *, strict: bool = False) -> RuleSet:
    """Load Sigma rules from files and directories; `builtin` stands for the shipped rules.

    Raises RuleError with all problems when any rule has an error, and OSError for an unreadable path.
    """
    return _build(read_paths(paths, strict=strict))


def load_text(text: str | bytes, file: str = "<text>", strict: bool = False) -> RuleSet:
    """Load the Sigma rules of one YAML text. Raises RuleError, with all problems, if a rule has an error."""
    return _build(read_text(text, file, strict=strict))


def lower(rule: Rule) -> tuple[Any, ...]:
    """A rule in the form that the compiler takes."""
    info = {
        "id": rule.id,
        "aliases": list(rule.aliases),
        "title": rule.title,
        "level": rule.level,
        "tags": list(rule.tags),
        "techniques": list(rule.techniques),
        "window": rule.window,
        "scope": rule.scope,
        "phase": rule.phase,
        "file": rule.file,
        "line": rule.line,
    }
    source = rule.logsource
    return info, (source.product, source.service, source.category), _lower_expression(rule.condition)


def _lower_expression(expression: Expression) -> tuple[Any, ...]:
    if isinstance(expression, Leaf):
        return "leaf", expression.subject, expression.operator, expression.operand, expression.option
    if isinstance(expression, Not):
        return "not", _lower_expression(expression.child)
    kind = "and" if isinstance(expression, And) else "or"
    return kind, [_lower_expression(child) for child in expression.children]


def _build(loaded: Loaded) -> RuleSet:
    if any(problem.severity == "error" for problem in loaded.problems):
        raise RuleError(loaded.problems)
    return RuleSet.build(loaded.rules, problems=loaded.problems)


def _override(rule: Rule, level: Mapping[str, str], timeframe: Mapping[str, int]) -> Rule:
    chosen = level.get(rule.id, rule.level)
    if chosen not in LEVELS:
        raise ValueError(f"there is no level {chosen!r}; write one of {', '.join(LEVELS)}")
    return replace(rule, level=chosen, window=timeframe.get(rule.id, rule.window))


def _check_windows(rules: Iterable[Rule]) -> None:
    """The engine keeps counts for a few windows only, over all rules."""
    first: dict[int, Rule] = {}
    for rule in rules:
        names = {leaf.subject for leaf in leaves(rule.condition)} & fields.signals().keys()
        if any(fields.signals()[name].windowed for name in names):
            first.setdefault(rule.window, rule)
    if len(first) <= MAX_WINDOWS:
        return
    report = Report(strict=True)
    rule = list(first.values())[MAX_WINDOWS]
    listed = ", ".join(f"{window} s" for window in sorted(first))
    message = f"the rules read {len(first)} different windows ({listed}), more than {MAX_WINDOWS}"
    report.add("too-many-windows", rule.timeframe_node or rule.node, "timeframe", message, "let rules share windows")
    raise RuleError(report.problems)
