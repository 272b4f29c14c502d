"""Every problem a rule can have, how severe it is in each mode, and the lints that look at a whole rule."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any

import yaml

from atlascore._yaml import Node, Problem, Scalar, Severity
from atlascore.sigma import fields
from atlascore.sigma.ast import Expression, Leaf, leaves

# code: (severity in strict mode, in compat mode)
SEVERITIES: dict[str, tuple[Severity, Severity]] = {
    # not this version's, or nobody's, Sigma
    "unsupported": ("error", "error"),
    "not-a-rule": ("error", "error"),
    "missing-key": ("error", "error"),
    "incomplete": ("error", "warning"),
    "bad-value": ("error", "error"),
    "sigma-version": ("error", "error"),
    # identity
    "id-not-uuid": ("error", "warning"),
    "dup-id": ("error", "error"),
    "replaces-shipped": ("info", "info"),
    # values and modifiers
    "quoted-comparison": ("error", "warning"),
    "comparison-list": ("error", "warning"),
    "operand-text": ("error", "warning"),
    "operand-type": ("error", "error"),
    "null-in-list": ("error", "warning"),
    "empty-list": ("error", "warning"),
    "nested-list": ("error", "error"),
    "all-single": ("error", "warning"),
    "unknown-modifier": ("error", "error"),
    "modifier-chain": ("error", "error"),
    "redundant-modifier": ("warning", "warning"),
    "neq-missing": ("info", "info"),
    "bad-regex": ("error", "error"),
    "yaml11-scalar": ("error", "warning"),
    "dead-value": ("warning", "warning"),
    # fields and signals
    "unknown-field": ("error", "warning"),
    "signal-type": ("error", "error"),
    "signal-scope": ("error", "error"),
    "group-by": ("error", "error"),
    "timeframe-in-detection": ("error", "warning"),
    "timeframe": ("error", "error"),
    "too-many-windows": ("error", "error"),
    # conditions
    "condition": ("error", "error"),
    "condition-case": ("error", "warning"),
    "quantifier": ("error", "warning"),
    "unused-detection": ("warning", "warning"),
    "no-source": ("warning", "warning"),
    # tags
    "tag-form": ("error", "warning"),
    "tag-retired": ("warning", "warning"),
    "tag-unknown": ("warning", "warning"),
    "tag-tactic": ("info", "info"),
}


class Report:
    """Collects the problems of one rule. In strict mode most deviations from Sigma are errors."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.problems: list[Problem] = []

    @property
    def has_errors(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)

    def add(
        self,
        code: str,
        node: Node,
        path: str,
        message: str,
        fix: str = "",
        *,
        severity: Severity | None = None,
    ) -> None:
        """Report `code` at a node, as severe as the mode says unless `severity` is given."""
        in_strict, in_compat = SEVERITIES[code]
        chosen = severity or (in_strict if self.strict else in_compat)
        self.problems.append(node.problem(path, message, fix, chosen, code))

    def add_inside(self, code: str, node: Scalar, start: int, text: str, message: str, fix: str = "") -> None:
        """Report a part of a condition: `text`, which begins at `start` of the scalar's text."""
        self.add(code, node, "detection.condition", message, fix)
        problem = self.problems[-1]
        column = node.column + (1 if node.quoted else 0) + start
        if node.line == node.end_line and problem.source.startswith(text, column - 1):
            self.problems[-1] = dataclasses.replace(problem, column=column, end_column=column + len(text))


def nearest(name: str, known: Iterable[str]) -> str:
    """A did-you-mean for `name`, or nothing."""
    found = difflib.get_close_matches(name, sorted(known), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(found)}?" if found else ""


def check_fields(condition: Expression, report: Report) -> None:
    """Names under the engine's own namespaces must be ones that it fills."""
    seen: set[str] = set()
    for leaf in leaves(condition):
        verdict = fields.check(leaf.subject)
        if verdict == "known" or leaf.subject in seen:
            continue
        seen.add(leaf.subject)
        known = [*fields.signals(), *fields.API_FIELDS]
        message = f"nothing fills {leaf.subject!r} in this version, it reads as missing"
        fix = nearest(leaf.subject, known) or "use a listed field or signal, or a field name of your own records"
        severity: Severity | None = "warning" if verdict == "unlisted" else None
        report.add("unknown-field", leaf.node, "detection", message, fix, severity=severity)


def check_scalar(scalar: Scalar, path: str, report: Report) -> None:
    """A plain scalar whose value, not its text, matters must be the same in YAML 1.1 and 1.2."""
    other = "" if scalar.quoted or scalar.value is None else _other_reading(scalar)
    if other:
        message = f"{scalar.text} is {_shown(scalar.value)} in YAML 1.2 and {other} in YAML 1.1"
        fix = "quote it if it is a text, or write the value in plain decimal"
        report.add("yaml11-scalar", scalar, path, message, fix)


_YAML_1_1: Any = yaml.SafeLoader("")


def _other_reading(scalar: Scalar) -> str:
    """What YAML 1.1 makes of a plain scalar, if that is something else."""
    tag: str = _YAML_1_1.resolve(yaml.ScalarNode, scalar.text, (True, False))
    kind = tag.rpartition(":")[2]
    if kind in ("merge", "value"):
        return "" if isinstance(scalar.value, str) else kind
    try:
        value = _YAML_1_1.construct_object(yaml.ScalarNode(tag, scalar.text))
    except ValueError:
        return f"a bad {kind}"
    if type(value) is type(scalar.value) and (value == scalar.value or value != value):
        return ""
    return _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    names = {bool: "the boolean", int: "the integer", float: "the number"}
    return f"{names.get(type(value), 'the date')} {str(value).lower() if isinstance(value, bool) else value}"


def check_dead_values(alternatives: list[Leaf], path: str, report: Report) -> None:
    """Report members of an OR list that another member implies."""
    seen: dict[tuple[object, ...], Leaf] = {}
    for leaf in alternatives:
        operand = leaf.operand
        key = (
            leaf.operator,
            leaf.option,
            type(operand),
            operand.casefold() if isinstance(operand, str) else operand,
        )
        if key in seen and leaf.operator != "regex":
            report.add("dead-value", leaf.node, path, f"{leaf.node.text} is in this list already", "remove it")
        seen.setdefault(key, leaf)
    for operator, widest in (("gt", min), ("gte", min), ("lt", max), ("lte", max)):
        numbers = [leaf for leaf in seen.values() if leaf.operator == operator]
        if len(numbers) > 1:
            kept = widest(leaf.operand for leaf in numbers if isinstance(leaf.operand, int | float))
            for leaf in numbers:
                if leaf.operand != kept:
                    message = f"{operator} {leaf.operand} can never matter beside {operator} {kept}"
                    report.add("dead-value", leaf.node, path, message, "move it to a rule of its own, or remove it")
