"""YAML with positions: values, spans, and everything that is refused."""

from __future__ import annotations

import math
import pickle

import pytest

from atlascore._yaml import YamlError, compose, load_all, to_python


def value(text: str) -> object:
    (document,) = load_all(f"v: {text}", "f.yml")
    return to_python(document)["v"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("off", "off"), ("yes", "yes"), ("No", "No"), ("1:30", "1:30"), ("1_000", "1_000")),
        *(
            ("2026-06-30", "2026-06-30"),
            ("0b11", "0b11"),
            ("+0x1", "+0x1"),
            ("1.2.3", "1.2.3"),
            ("tRue", "tRue"),
        ),
        *(("010", 10), ("0o10", 8), ("0x1F", 31), ("+1", 1), ("-0", 0)),
        *(
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1.5E-2", -0.015),
            (".inf", math.inf),
            ("-.INF", -math.inf),
        ),
        *(("true", True), ("False", False), ("~", None), ("null", None), ("", None), ("NULL", None)),
        *(("'010'", "010"), ('"null"', "null"), ("''", ""), ("!!str 5", "5"), ("! 5", "5")),
    ],
)
def test_scalars_follow_the_core_schema(text, expected):
    found = value(text)
    assert found == expected and type(found) is type(expected)


def test_nan_is_a_number():
    assert math.isnan(value(".nan"))


def test_nodes_know_where_they_are():
    (document,) = load_all("# comment\nkey:\n  - 'a b'\n  - {c: é, d: 7}\n", "f.yml")
    items = document.get("key").items
    assert (items[0].line, items[0].column, items[0].end_line, items[0].end_column) == (3, 5, 3, 10)
    assert items[0].quoted and items[0].file == "f.yml"
    seven = items[1].get("d")
    assert (seven.line, seven.column, seven.value, seven.text) == (4, 15, 7, "7")


def test_a_problem_points_at_its_node():
    (document,) = load_all("a:\n\tb: 1\n".replace("\t", "  "), "f.yml")
    problem = document.get("a").get("b").problem("a.b", "too small", "write 2", "warning", "size")
    assert str(problem) == "f.yml:2:6: a.b: too small; write 2 [warning size]"
    assert problem.render().endswith("\n      b: 1\n         ^")
    assert pickle.loads(pickle.dumps(problem)) == problem


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "already given on line 1"),
        ("a: [1, 2", 2, 1, "expected"),
        ("a: *b", 1, 4, "no complete anchor"),
        ("a: &a [*a]", 1, 8, "no complete anchor"),
        ("[" * 100_000, 1, 65, "nested deeper"),
        ("? [a]\n: b", 1, 3, "single value"),
        ("a: !!python/name:os.system x", 1, 4, "not supported"),
        ("a: \x01", 1, 4, "U+0001"),
        ("é: \x07", 1, 4, "U+0007"),
        (b"ab: \xff", 1, 5, "UTF-8"),
        ("a:\n  \ud800", 2, 3, "UTF-8"),
        ("a: " + "9" * 5000, 1, 4, "more than 400"),
        ("a: b: c", 1, 5, "not allowed"),
    ],
)
def test_bad_yaml_has_a_position(text, line, column, message):
    with pytest.raises(YamlError) as caught:
        load_all(text, "f.yml")
    problem = caught.value.problems[0]
    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message


def test_what_aliases_expand_to_is_bounded():
    levels = ["a: &a [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    levels += [
        f"{c}: &{c} [{', '.join(f'*{p}' for _ in range(10))}]" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    _, problems = compose("\n".join(levels), "f.yml")
    assert ["more than 1000000 nodes" in problem.message for problem in problems] == [True]
    assert value("[&x {y: 1}, *x]") == [{"y": 1}, {"y": 1}]


def test_documents_before_a_broken_one_are_kept():
    documents, problems = compose("a: 1\n---\n---\nb: 2\n---\nc: [\n", "f.yml")
    assert [to_python(document) for document in documents] == [{"a": 1}, {"b": 2}]
    assert len(problems) == 1


def test_a_byte_order_mark_is_ignored():
    assert to_python(load_all("\ufeffa: 1", "f")[0]) == to_python(load_all("\ufeffa: 1".encode(), "f")[0]) == {"a": 1}
