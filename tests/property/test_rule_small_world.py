"""Every operator on every tiny operand and value, and every small condition.

The compiled program, unbound and bound, agrees with the reference.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from functools import cache

import pytest
from tests.reference import sigma_reference as reference

from atlascore import _core
from atlascore._yaml import Scalar
from atlascore.sigma import ast, read_text
from atlascore.sigma.condition import ConditionParser
from atlascore.sigma.lint import Report
from atlascore.sigma.lower import lower

KELVIN = "\u212a"
TEXTS = ["", "a", "A", "ab", "*", "?", "\\", "\\*", "-a", KELVIN, "1", "01", "true"]
NUMBERS = [0, 1, -1, 1.5, 9007199254740993, 18446744073709551615]
TEXT_CHAINS = ["", "cased", "contains", "startswith", "endswith", "contains|cased", "endswith|cased", "neq"]
VALUES = [
    *(*TEXTS, *NUMBERS, "1.0", "1e0", " 1", "+1.5", "k", "aBa", "a\nb", "1e400", "9007199254740993"),
    *(None, True, False, float("nan"), float("inf"), 1e21, 9007199254740992.0, "TRUE"),
    *([], ["b", 1], [None, "a"], [["A"], 2.0], [[]]),
]
OPERANDS_OF = {
    **{chain: [*TEXTS, "a*", "*b", "a*a", "?*", True, 1, 1.5] for chain in TEXT_CHAINS},
    "lt": NUMBERS,
    "lte": NUMBERS,
    "gt": NUMBERS,
    "gte": NUMBERS,
    "re": ["a", "^A$", "b$", "^$", "1", "true", "[^a]"],
    "re|i": ["a", "^A$", "^TRUE$"],
    "re|s": ["a.b"],
    "re|m": ["a$"],
    "exists": [True, False],
}
LISTS_OF = {
    "": [["a", "b"], ["a", 1], ["", "a", None], [], [None]],
    "neq": [["a", 1]],
    "contains": [["a", "1"]],
    "contains|all": [["a", "b"], ["1", "a"]],
    "startswith|all": [["a", "A"]],
    "gt": [[0, 5]],
    "lt|all": [[2, 1]],
}


SIGNAL_VALUES = [float("nan"), 0.0, -0.0, 1.0, 1.5, -1.0, 9007199254740992.0, 2.0**64, 5e-324]
SIGNAL_OPERANDS = [*NUMBERS, 5e-324, [0, 1.5]]


def rules_of(items: list[tuple[str, object]]) -> list[dict[str, object]]:
    """Each item as a rule of its own, and negated."""
    return [
        {"title": "x", "logsource": {}, "detection": {"s": {key: operand}, "condition": condition}}
        for key, operand in items
        for condition in ("s", "not s")
    ]


def compiled(rules: list[dict[str, object]]) -> _core.Program:
    loaded = [read_text(json.dumps(rule), "world") for rule in rules]
    assert all(len(one.rules) == 1 for one in loaded), [one.problems for one in loaded if not one.rules]
    return _core.Program([lower(one.rules[0]) for one in loaded])


def key(field: str, chain: str) -> str:
    return f"{field}|{chain}" if chain else field


FIELD_RULES = rules_of(
    [(key("field", chain), operand) for chain, operands in OPERANDS_OF.items() for operand in operands]
    + [(key("field", chain), operands) for chain, lists in LISTS_OF.items() for operands in lists]
    + [(key("field", chain), operand) for chain in ("", "neq") for operand in [*NUMBERS, None]]
)
SIGNAL_RULES = rules_of(
    [
        (key("api.request_count", chain), operand)
        for chain in ("lt", "lte", "gt", "gte", "", "neq")
        for operand in SIGNAL_OPERANDS
    ]
    + [("api.request_count|exists", True), ("api.request_count|exists", False), ("api.request_count", None)]
)


@pytest.fixture(scope="module")
def field_program() -> _core.Program:
    return compiled(FIELD_RULES)


@pytest.mark.parametrize("value", [reference.MISSING, *VALUES], ids=repr)
def test_every_operator_agrees_with_the_reference(field_program, value):
    event = {} if value is reference.MISSING else {"field": value}
    expected = [i for i, rule in enumerate(FIELD_RULES) if reference.matches(rule, event)]
    assert field_program.evaluate("request", event) == expected
    if isinstance(value, str):
        assert field_program.bind({"field": value}).evaluate("request", {}) == expected


@pytest.fixture(scope="module")
def signal_program() -> _core.Program:
    return compiled(SIGNAL_RULES)


@pytest.mark.parametrize("value", SIGNAL_VALUES)
def test_every_signal_comparison_agrees_with_the_reference(signal_program, value):
    signals = {"api.request_count": value}
    expected = [i for i, rule in enumerate(SIGNAL_RULES) if reference.matches(rule, {}, signals)]
    assert signal_program.evaluate("request", {}, signals) == expected


def conditions(leaves: int) -> list[str]:
    """All conditions of that many leaves over a, b and c, up to the order of the operands of and and or."""
    if leaves == 1:
        return [f"{negation}{name}" for name in "abc" for negation in ("", "not ")]
    found = []
    for left in range(1, leaves // 2 + 1):
        pairs = itertools.product(conditions(left), conditions(leaves - left))
        if left == leaves - left:
            pairs = itertools.combinations_with_replacement(conditions(left), 2)
        for a, b in pairs:
            found += [f"({a} and {b})", f"({a} or {b})", f"not ({a} or {b})"]
    return found


@pytest.mark.parametrize("leaves", [1, 2, 3, 4])
def test_every_condition_agrees_with_the_reference(leaves):
    texts = conditions(leaves)
    (node,) = read_text("title: x\nlogsource: {}\ndetection: {a: {a: 1}, condition: a}", "x").rules
    names = {name: ast.Leaf(name, "equal", "1", "", node.node) for name in "abc"}
    report = Report(strict=True)
    parser = ConditionParser(names, report)
    lowered = []
    for text in texts:
        scalar = Scalar(node.node.origin, 1, 1, 1, 1, 1, text, text, True)
        expression = parser.parse(scalar)
        assert expression is not None
        lowered.append(lower(dataclasses.replace(node, condition=expression)))
    program = _core.Program(lowered)
    bind = cache(lambda constants: program.bind(dict(constants)))
    for truths in itertools.product((False, True), repeat=3):
        assignment = dict(zip("abc", truths, strict=True))
        expected = [i for i, text in enumerate(texts) if reference.condition(text, assignment)]
        event = {name: "1" if truth else "0" for name, truth in assignment.items()}
        assert program.evaluate("request", event) == expected
        for bound in ("a", "abc"):
            constants = tuple((name, event[name]) for name in bound)
            rest = {name: event[name] for name in event if name not in bound}
            assert bind(constants).evaluate("request", rest) == expected
    assert not report.problems
