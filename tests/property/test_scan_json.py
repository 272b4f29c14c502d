"""The reader of JSON lines against json.loads."""

import json
import math
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.reference import scan_reference as reference

from atlascore._core import testing_scan

KEYS = st.sampled_from(["a", "b", "c", "a.b", "b.c", "a.b.c", "long key", "\N{SNOWMAN}", 'q"\\', "é.b"])
TEXTS = st.text(max_size=20) | st.text(st.characters(categories=["Cs"]) | st.sampled_from('a"\\/\n\x01'), max_size=9)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
LINES = st.dictionaries(KEYS, VALUES, max_size=6)
WANTED = ["a", "b", "a.b", "a.b.c", "b.c", "long key", "\N{SNOWMAN}", 'q"\\', "a.a", "a.c", "c.a.b", "é.b.c"]


def read(lines, wanted=(), **options):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return testing_scan.read_json_lines(str(path), list(wanted), **options)


def same(got, expected):
    if isinstance(expected, list):
        return isinstance(got, list) and len(got) == len(expected) and all(map(same, got, expected))
    return type(got) is type(expected) and got == expected


@given(st.lists(LINES, min_size=1, max_size=5), st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_fields_are_those_of_the_twin(lines, ascii_only, separators):
    texts = [json.dumps({"time": 1} | line, ensure_ascii=True, separators=separators) for line in lines]
    if not ascii_only:
        texts = [json.dumps(json.loads(text), ensure_ascii=False) for text in texts]
    raw = [text.encode("utf-8", "replace" if not ascii_only else "strict") for text in texts]
    events, bad = read(raw, WANTED)
    assert bad == {}
    for event, line in zip(events, raw, strict=True):
        expected = reference.fields(line, WANTED)
        assert all(map(same, event["fields"], expected)), (event["fields"], expected)


def as_object(pairs):
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in pairs) + "}"


PAIRS = st.recursive(
    SCALARS.map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(KEYS, inner), max_size=4).map(as_object)
    ),
    max_leaves=12,
)


@given(st.lists(st.tuples(KEYS, PAIRS), max_size=8))
def test_repeated_keys_are_those_of_the_twin(pairs):
    line = as_object([("time", "1"), *pairs]).encode()
    events, bad = read([line], WANTED)
    assert bad == {}
    expected = reference.fields(line, WANTED)
    assert all(map(same, events[0]["fields"], expected)), (events[0]["fields"], expected)


@given(st.binary(max_size=30))
def test_bytes_that_are_not_utf8_are_replaced_as_python_does(raw):
    raw = raw.replace(b"\n", b"").replace(b'"', b"").replace(b"\\", b"")
    line = b'{"time":1,"text":"' + raw + b'"}'
    events, bad = read([line])
    if any(byte < 0x20 for byte in raw):
        assert list(bad) == [1]
    else:
        assert events[0]["text"] == raw.decode("utf-8", "replace")


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3)))
def test_vectors_and_scores(rows):
    line = {"time": 1, "vector": rows, "response": {"scores": rows}}
    events, bad = read([json.dumps(line).encode()])
    if rows:
        flat = [number for row in rows for number in row]
        assert events[0]["vector"] == ([len(rows), 3], flat)
        assert events[0]["response"]["scores"] == ([len(rows), 3], flat)
    else:
        assert bad == {1: "vector: the array is empty"}


@given(
    st.lists(st.integers(0, 30).map(float) | st.floats(0, 1e9), max_size=40),
    st.sampled_from([0.0, 1.0, 10.0, 1e9]),
)
def test_events_come_in_the_order_of_the_twin(times, lateness):
    events, bad = read([json.dumps({"time": time}).encode() for time in times], lateness=lateness)
    assert bad == {}
    assert [(e["line"] - 1, e["late"]) for e in events] == reference.in_order(times, lateness)
    assert [e["time"] for e in events] == [times[e["line"] - 1] for e in events]


@given(
    st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from("Tt "),
)
def test_timestamps(moment, offset, separator):
    moment = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    sign = "-" if offset < 0 else "+"
    zone = f"{sign}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
    text = moment.replace(tzinfo=None).isoformat(sep=separator) + zone
    expected = (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(seconds=1)
    assert math.isclose(testing_scan.parse_timestamp(text), expected, rel_tol=1e-15, abs_tol=1e-6)


@given(st.text(max_size=30))
def test_other_texts_are_no_timestamps(text):
    seconds = testing_scan.parse_timestamp(text)
    assert seconds is None or math.isfinite(seconds)
