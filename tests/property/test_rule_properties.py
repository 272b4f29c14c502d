"""What must not matter to a rule, and what must never happen to its reader."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from tests.reference import sigma_reference as reference

from atlascore.sigma import RuleSet, load_text, read_text

PUBLISHED = (Path(__file__).parent.parent / "cases" / "published_rule.yml").read_text(encoding="utf-8")
FIELDS = ["f", "g", "h"]
CHAINS = ["", "cased", "contains", "startswith", "endswith", "contains|all", "gt", "lte", "neq", "exists"]

texts = st.text(st.sampled_from("aAbB*?\\ßẞσς\u212ak10.-\n😀"), max_size=5)
numbers = st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(texts, numbers, numbers.map(str), st.booleans(), st.none())
values = st.one_of(scalars, st.just(float("nan")), st.lists(scalars, max_size=3))
events = st.dictionaries(st.sampled_from(FIELDS), values)


@st.composite
def items(draw) -> tuple[str, object]:
    chain = draw(st.sampled_from(CHAINS))
    name = draw(st.sampled_from(FIELDS))
    if chain == "exists":
        return f"{name}|exists", draw(st.booleans())
    if chain in ("gt", "lte"):
        return f"{name}|{chain}", draw(numbers)
    if chain in ("", "neq"):
        operands = draw(st.one_of(scalars, st.lists(scalars, max_size=3)))
    else:
        operands = draw(st.lists(texts, min_size=1, max_size=3))
    return (f"{name}|{chain}" if chain else name), operands


@st.composite
def rules(draw) -> dict[str, object]:
    identifiers = {
        name: dict(draw(st.lists(items(), min_size=1, max_size=3))) for name in draw(st.permutations(["a", "b1", "b2"]))
    }
    condition = draw(
        st.sampled_from(["a and 1 of b*", "not a or b1", "all of them", "not (a and not b1) or b2", "a or all of b*"])
    )
    return {"title": "t", "logsource": {}, "detection": {**identifiers, "condition": condition}}


def load(rule: dict[str, object]) -> RuleSet:
    return load_text(json.dumps(rule, ensure_ascii=False))


def is_hit(rule: dict[str, object], event: dict[str, object]) -> bool:
    return load(rule).program.evaluate("request", event) == [0]


@given(rules(), st.lists(events, max_size=4))
def test_random_rules_agree_with_the_reference(rule, some_events):
    program = load(rule).program
    for event in some_events:
        assert (program.evaluate("request", event) == [0]) == reference.matches(rule, event)


@given(rules(), events)
def test_binding_text_fields_changes_nothing(rule, event):
    program = load(rule).program
    constants = {name: value for name, value in event.items() if isinstance(value, str)}
    rest = {name: value for name, value in event.items() if name not in constants}
    assert program.bind(constants).evaluate("request", rest) == program.evaluate("request", event)


@given(rules(), events, st.randoms(use_true_random=False))
def test_order_does_not_matter(rule, event, random):
    shuffled = json.loads(json.dumps(rule))
    detection = shuffled["detection"]
    for name, identifier in detection.items():
        if name == "condition":
            continue
        for operands in identifier.values():
            if isinstance(operands, list):
                random.shuffle(operands)
        entries = list(identifier.items())
        random.shuffle(entries)
        detection[name] = dict(entries)
    one, other = load(rule), load(shuffled)
    assert one.digest == other.digest
    assert one.rules[0].id == other.rules[0].id
    assert one.program.evaluate("request", event) == other.program.evaluate("request", event)


@given(rules(), events)
def test_double_negation_and_de_morgan(rule, event):
    def variant(condition: str) -> bool:
        return is_hit({**rule, "detection": {**rule["detection"], "condition": condition}}, event)

    assert variant("not not a") == variant("a") != variant("not a")
    assert variant("not (a and b1)") == variant("not a or not b1")
    assert variant("not (a or b1)") == variant("not a and not b1")
    assert variant("(a or b1) and not b2") == variant("(a and not b2) or (b1 and not b2)")


@given(rules(), events)
def test_folding_the_event_changes_nothing_without_cased(rule, event):
    if "cased" not in json.dumps(rule):
        folded = {name: reference.fold(value) if isinstance(value, str) else value for name, value in event.items()}
        assert is_hit(rule, event) == is_hit(rule, folded)


printable = st.characters(exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp"), exclude_characters="\ufeff")


@given(st.text(printable), st.text(printable))
def test_texts_are_equal_just_when_their_foldings_are(one, other):
    escaped = "".join("\\" + c if c in "*?\\" else c for c in one)
    rule = {"title": "t", "logsource": {}, "detection": {"s": {"f": escaped}, "condition": "s"}}
    for text in (other, one.upper(), one.lower(), one.swapcase()):
        assert is_hit(rule, {"f": text}) == (reference.fold(one) == reference.fold(text))


@st.composite
def mutations(draw) -> str:
    text = PUBLISHED
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        piece = draw(
            st.one_of(
                st.text(max_size=4),
                st.sampled_from(
                    [
                        "|",
                        "|all",
                        "|re",
                        "|gt",
                        ": ",
                        "- ",
                        "\n",
                        "  ",
                        "[",
                        "{",
                        "*x",
                        "&x ",
                        "null",
                        "'",
                        "not ",
                        "1 of ",
                        "(",
                    ]
                ),
            )
        )
        text = text[:start] + piece + text[end:]
    return text


@given(mutations())
@example("")
@example("---\n---\n")
@example("detection: {condition: []}")
@example("detection: {condition: 5}")
@example("- a")
def test_no_text_breaks_the_reader_and_every_problem_has_a_position(text):
    for strict in (False, True):
        loaded = read_text(text, "mutated.yml", strict=strict)
        for problem in loaded.problems:
            assert problem.file == "mutated.yml" and problem.line >= 1 and problem.column >= 1 and problem.message
        if not loaded.rules and text.strip("- \n"):
            assert loaded.problems or text.lstrip().startswith("#")
        program = RuleSet.build(loaded.rules).program
        program.evaluate("request", {"api.method": "predict"}, {"api.request_count": 1.0})


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(data):
    for problem in read_text(data, "bytes.yml").problems:
        assert problem.line >= 1 and problem.column >= 1
