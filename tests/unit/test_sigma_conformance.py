"""The conformance checklist of sigma.md, section 2: one named test for each requirement of this version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atlascore import RuleError
from atlascore.sigma import RuleSet, load_text, read_text

KELVIN = "\u212a"


def load(detection: dict[str, Any], **keys: Any) -> RuleSet:
    rule = {"title": "t", "logsource": {"category": "api_activity"}, "detection": detection, **keys}
    return load_text(json.dumps(rule, ensure_ascii=False))


def hit(item: str, operand: Any, value: Any = ..., *, condition: str = "s") -> bool:
    """Whether `item: operand` matches an event whose field `f` has the value, or lacks it."""
    rules = load({"s": {item: operand}, "condition": condition})
    return rules.program.evaluate("request", {} if value is ... else {"f": value}) == [0]


def yaml_hit(operand: str, value: Any) -> bool:
    rules = load_text(f"title: t\nlogsource: {{}}\ndetection:\n  s:\n    f: {operand}\n  condition: s\n")
    return rules.program.evaluate("request", {"f": value}) == [0]


def codes(text: str, *, strict: bool = False) -> list[str]:
    return [problem.code for problem in read_text(text, "r.yml", strict=strict).problems]


def rule_text(detection: str, top: str = "") -> str:
    return f"title: t\nlogsource: {{category: api_activity}}\n{top}detection:\n{detection}"


def test_V1_plain_scalars_follow_the_yaml_1_2_core_schema():
    assert yaml_hit("yes", "yes") and not yaml_hit("yes", True)
    assert yaml_hit("010", 10) and not yaml_hit("010", 8)
    assert yaml_hit("0x1F", 31) and yaml_hit("0o17", 15)
    assert yaml_hit("1_000", "1_000") and not yaml_hit("1_000", 1000)
    assert yaml_hit("12:30:45", "12:30:45") and yaml_hit("2026-06-30", "2026-06-30")
    assert yaml_hit("1e3", 1000) and yaml_hit("~", None) and yaml_hit("true", True)


def test_V1_quoted_scalars_are_texts():
    assert yaml_hit("'0'", "0") and yaml_hit("'[]'", "[]") and yaml_hit("'null'", "null")
    assert not yaml_hit("'null'", None)
    assert not yaml_hit("'010'", 10)


def test_V2_text_is_compared_by_simple_folding():
    assert hit("f", "Ünï", "ÜNÏ") and hit("f", "k", KELVIN) and hit("f", "ς", "Σ")
    assert hit("f", "\u2c65", "\u023a")
    assert not hit("f", "ß", "ss") and not hit("f", "\u00e9", "e\u0301")
    assert not hit("f|cased", "a", "A") and hit("f|cased", "a", "a")
    assert not hit("f|re", "a", "A")


def test_V3_wildcards():
    assert hit("f", "a*c", "abbbc") and hit("f", "a*c", "a\n\nc") and hit("f", "a?c", "a😀c")
    assert not hit("f", "a?c", "ac") and not hit("f", "a", "ab")
    assert hit("f|contains", "b?d", "abcde")


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        (r"\*", "*", True),
        (r"\*", "x", False),
        (r"\?", "?", True),
        (r"a\\*", r"a\bc", True),
        (r"a\\\*", r"a\*", True),
        (r"a\\\*", r"a\b", False),
        (r"a\b", r"a\b", True),
        (r"a\\b", r"a\b", True),
        (r"a\\\b", r"a\\b", True),
        (r"a\\\\b", r"a\\b", True),
    ],
)
def test_V4_backslashes(pattern, value, expected):
    assert hit("f", pattern, value) is expected


def test_V4_regular_expressions_are_not_unescaped():
    assert hit("f|re", r"a\*b", "a*b") and hit("f|re", r"\\", "\\")


def test_V5_lists_are_or_and_maps_are_and():
    assert hit("f", ["a", "b"], "B") and not hit("f|contains|all", ["a", "b"], "b")
    both = load({"s": {"f": "a", "g": 1}, "condition": "s"}).program
    assert both.evaluate("request", {"f": "a", "g": 1}) == [0]
    assert both.evaluate("request", {"f": "a"}) == []
    either = load({"s": [{"f": "a"}, {"g": 1}], "condition": "s"}).program
    assert either.evaluate("request", {"g": "1"}) == [0]


def test_V6_null_in_a_list_and_empty_lists():
    null = rule_text("  s: {f: [a, null]}\n  condition: s\n")
    empty = rule_text("  s: {f: []}\n  condition: s\n")
    for text, code in ((null, "null-in-list"), (empty, "empty-list")):
        assert codes(text) == [code]
        assert not read_text(text, "r", strict=True).rules
    assert hit("f", ["a", None]) and hit("f", ["a", None], "a") and not hit("f", ["a", None], "b")
    assert hit("f", []) and hit("f", [], None) and not hit("f", [], "")


def test_V7_null_and_empty_text():
    assert hit("f", None) and hit("f", None, None) and not hit("f", None, "")
    assert hit("f", "", "") and not hit("f", "") and not hit("f", "", None)


def test_V8_exists_tests_presence_only():
    assert hit("f|exists", True, None) and hit("f|exists", True, "") and not hit("f|exists", True)
    assert hit("f|exists", False) and not hit("f|exists", False, None)


def test_V9_numbers_and_texts():
    assert hit("f", 4688, "4688") and hit("f", 4688, "04688") and hit("f", 4688, "4.688e3")
    assert not hit("f", 4688, " 4688") and not hit("f", 16, "0x10")
    assert hit("f", "4688", 4688) and not hit("f", "04688", 4688)
    assert hit("f", "1.5", 1.5) and hit("f", "1", 1.0) and hit("f", "1e+21", 1e21)
    assert hit("f", "true", True) and not hit("f", 1, True) and not hit("f", True, 1)
    assert hit("f|startswith", "46", 4688)


def test_V10_arrays_match_by_any_element():
    assert hit("f", "a", ["b", "A"]) and hit("f", None, ["b", None]) and hit("f|gt", 5, [1, "6"])
    assert not hit("f", "a", []) and not hit("f", None, []) and hit("f|exists", True, [])
    assert not hit("f", "a", ["a", "b"], condition="not s") and hit("f", "c", ["a", "b"], condition="not s")
    assert hit("f|contains|all", ["a", "b"], ["xa", "xb"])


def test_V13_comparisons_are_exact():
    large = 2**53
    assert not hit("f", large + 1, float(large)) and hit("f|gt", large, large + 1)
    assert hit("f|lt", 2**64 - 1, 2**64 - 2) and hit("f", 2**64 - 1, 2**64 - 1)
    assert not hit("f|gt", 0, float("nan")) and not hit("f|lte", 0, float("nan"))
    assert hit("f", 0, -0.0)


def test_V13_invalid_utf8_reads_as_the_replacement_character():
    assert hit("f", "a\ufffdb", b"a\xffb") and hit("f|cased", "a\ufffdb", b"a\xffb")
    assert hit("f|re", "^a.b$", b"a\xffb")


def test_V14_response_rules_are_not_evaluated_on_the_request():
    rules = load({"s": {"response.pii|gt": 0}, "condition": "not s"})
    assert rules.program.evaluate("request", {}) == []
    assert rules.program.evaluate("response", {}) == [0]
    assert rules.rules[0].phase == "response"


def test_M1_neq_is_true_when_the_field_is_missing():
    assert hit("f|neq", "a", "b") and hit("f|neq", "a") and not hit("f|neq", "a", "A")
    assert not hit("f|neq", ["a", "b"], "b") and hit("f|neq", ["a", "b"], "c")
    assert not hit("f|neq", "a", ["a", "b"])
    assert codes(rule_text("  s: {f|neq: a}\n  condition: s\n"), strict=True) == ["neq-missing"]


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("f|gt|contains", "modifier-chain"),
        ("f|re|cased", "modifier-chain"),
        ("f|contains|startswith", "modifier-chain"),
        ("f|i", "modifier-chain"),
        ("f|contains|contains", "modifier-chain"),
        ("f|neq|gt", "modifier-chain"),
        ("f|exists|all", "modifier-chain"),
        ("f|endwith", "unknown-modifier"),
        ("f|base64offset|contains", "unsupported"),
        ("f|cidr", "unsupported"),
    ],
)
def test_M1_impossible_chains_and_unknown_modifiers_are_errors(key, code):
    assert codes(rule_text(f"  s: {{'{key}': a}}\n  condition: s\n")) == [code]


def test_M1_contains_after_re_is_redundant():
    assert codes(rule_text("  s: {f|re|contains: a}\n  condition: s\n")) == ["redundant-modifier"]
    assert hit("f|re|contains", "b+", "abc")


def test_M3_regular_expressions_are_re2():
    assert hit("f|re", "b", "abc") and not hit("f|re", "^b", "abc") and hit("f|re|i", "B", "abc")
    assert not hit("f|re", "a$", "a\n") and hit("f|re|m", "a$", "a\n") and hit("f|re|s", "a.b", "a\nb")
    assert not hit("f|re", r"\d", "\u0663") and hit("f|re", "^15$", 15) and hit("f|re", "true", True)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [("a(?=b)", "look-ahead"), ("(?<!a)b", "look-behind"), (r"(a)\1", "back-reference"), ("(", "")],
)
def test_M3_what_re2_lacks_is_an_error_that_names_it(pattern, named):
    with pytest.raises(RuleError) as caught:
        load({"s": {"f|re": pattern}, "condition": "s"})
    assert [problem.code for problem in caught.value.problems] == ["bad-regex"]
    assert named in str(caught.value)


def test_M5_comparisons():
    assert hit("f|gt", 5, 6) and hit("f|gt", 5, "5.5") and not hit("f|gt", 5, 5) and hit("f|gte", 5, 5)
    for value in (None, True, "x", "", " 6"):
        assert not hit("f|gt", 5, value)
    assert not hit("f|gt", 5) and hit("f|gt", 5, condition="not s")
    assert hit("f|gt", [100, 5], 6)


def holds(condition: str, *, names: str = "abc", **values: bool) -> bool:
    detection: dict[str, Any] = {name: {name: 1} for name in names.split() if names}
    rules = load({**detection, "condition": condition})
    return rules.program.evaluate("request", {name: int(value) for name, value in values.items()}) == [0]


def test_C1_precedence_and_whole_words():
    names = "a b c notsel"
    assert holds("a or b and c", names=names, a=True)
    assert not holds("(a or b) and c", names=names, a=True)
    assert holds("not a and b", names=names, b=True)
    assert not holds("not (a or b)", names=names, b=True)
    assert holds("notsel", names=names, notsel=True)
    assert holds("not 1 of b*", names="a b1 b2") and not holds("not 1 of b*", names="a b1 b2", b2=True)


def test_C1_identifiers_may_hold_dots_and_dashes():
    assert holds("a.b-c", names="a.b-c", **{"a.b-c": True})
    assert holds("1 of x*.conf", names="x-y.conf", **{"x-y.conf": True})


def test_C1_nesting_is_limited():
    assert holds("(" * 60 + "a" + ")" * 60, names="a", a=True)
    deep = rule_text(f"  a: {{f: 1}}\n  condition: {'(' * 65}a{')' * 65}\n")
    assert codes(deep) == ["condition"]
    assert codes(rule_text(f"  a: {{f: 1}}\n  condition: {'not ' * 65}a\n")) == ["condition"]


def test_C2_patterns_and_them():
    names = "x1 x2 _hidden y"
    assert holds("1 of x*", names=names, x2=True) and not holds("all of x*", names=names, x2=True)
    assert not holds("1 of them", names=names, _hidden=True)
    assert holds("1 of _*", names=names, _hidden=True)
    assert holds("1 of *2", names=names, x2=True)


def test_C2_them_never_includes_timeframe():
    rules = load({"a": {"f": 1}, "timeframe": "5m", "condition": "all of them"})
    assert rules.program.evaluate("request", {"f": 1}) == [0]


@pytest.mark.parametrize(
    "condition", ["b", "1 of b*", "a or", "(a", "a)", "a b", "1 of", "of them", "a and or a", "a && a"]
)
def test_C3_bad_conditions_are_errors_with_a_position(condition):
    (problem,) = read_text(rule_text(f"  a: {{f: 1}}\n  condition: {condition}\n"), "r.yml").problems
    assert problem.code == "condition"
    assert (problem.line, problem.path) == (5, "detection.condition")
    assert problem.column >= 14


def test_C3_an_unused_identifier_is_lint():
    assert codes(rule_text("  a: {f: 1}\n  b: {f: 2}\n  condition: a\n"), strict=True) == ["unused-detection"]


def test_C4_a_list_of_conditions_is_or():
    rules = load({"a": {"f": 1}, "b": {"g": 1}, "condition": ["a", "b"]})
    assert rules.program.evaluate("request", {"f": 1, "g": 1}) == [0]
    assert rules.program.evaluate("request", {"g": 1}) == [0]


def test_C5_counted_quantifiers_are_read_in_compat_mode():
    names = "x1 x2 x3"
    assert holds("2 of x*", names=names, x1=True, x3=True) and not holds("2 of x*", names=names, x1=True)
    assert holds("any of them", names=names, x3=True)
    text = rule_text("  x1: {f: 1}\n  x2: {f: 2}\n  condition: 2 of x*\n")
    assert codes(text) == ["quantifier"] and not read_text(text, "r", strict=True).rules


def test_condition_case_is_read_in_compat_mode():
    text = rule_text("  a: {f: 1}\n  b: {f: 2}\n  condition: a OR NOT b\n")
    assert codes(text) == ["condition-case"] * 2
    assert not read_text(text, "r", strict=True).rules
    assert holds("a AND 1 OF b", names="a b", a=True, b=True)


def test_T1_rules_without_an_id_get_one_from_their_meaning():
    one = load({"s": {"f": ["a", "b"]}, "condition": "s"}).rules[0]
    two = load({"s": {"f": ["b", "a"]}, "condition": "s"}, description="another").rules[0]
    other = load({"s": {"f": ["b", "c"]}, "condition": "s"}).rules[0]
    assert one.id == two.id != other.id
    assert one.level == "informational"
