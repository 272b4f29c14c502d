"""Garbage of every kind: it is refused with what is wrong, or taken for what it is, and the engine goes on."""

import contextlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import atlascore as ac

NOW = 1_700_000_000.0
TESTS = itertools.count()

RULES = """\
title: Reads Much
id: 0b6f4a52-7f0e-4d1c-8b3a-52d1f0c8c001
logsource: {category: api_activity, product: machine_learning_platform}
detection:
    volume:
        api.request_count|gte: 5
        api.input_similarity_score|gt: 0.5
    names:
        client.name|re: '^pro.*be$'
        client.addresses|startswith: "10."
        api.session|contains: x
        gen_ai.input.messages|contains: ignore
    numbers:
        client.size|gt: 17
        api.cost|lt: 1
    condition: volume or names or numbers
level: high
---
title: Reads Answers
id: 0b6f4a52-7f0e-4d1c-8b3a-52d1f0c8c002
logsource: {category: api_activity, product: machine_learning_platform}
detection:
    answer:
        response.label: 1
        response.text|contains: secret
        response.status|gte: 400
        response.cost|gt: 3
    condition: 1 of answer
level: high
"""

POLICY = """\
version: 1
mode: enforce
models:
  image: {kind: classifier, input: {modality: image, shape: [4, 4, 1], range: [0, 1]}}
  table: {kind: classifier, input: {modality: row, features: {amount: {range: [0, 100]}, country: {categories: 9}}}}
rules: {paths: [rules.yml]}
responses:
  - {name: high, match: {level: high}, action: CONSTRAIN, constraints: {scores: label_only}}
state: {seed: 7}
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    directory = tmp_path_factory.mktemp("policy")
    (directory / "rules.yml").write_text(RULES)
    policy = ac.Policy.from_text(POLICY, base=directory)
    with ac.Engine(policy, capacity=1000, clock=lambda: NOW) as engine:
        yield engine


@pytest.fixture
def route(engine):
    """A route; afterwards the engine must still count, compare and match, on a track that garbage was sent for."""
    route = engine.route("m", endpoint="/v1/models/m")
    yield route
    principal = f"goes on {next(TESTS)}"
    for i in range(10):
        decision = route.decide(principal, np.full(4, i * 1e-3, np.float32), NOW, fields={"client.size": 18}, cost=0.5)
    assert decision.action is ac.Action.CONSTRAIN
    assert "api.input_similarity_score" in decision.signals


class Hostile:
    """An object that fails wherever it is asked."""

    def __getattr__(self, name):
        raise RuntimeError(f"do not ask for {name}")

    def __array__(self, *arguments, **keywords):
        raise RuntimeError("no array")

    def __float__(self):
        raise RuntimeError("no number")

    def __str__(self):
        raise RuntimeError("no text")

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = None


# --- inputs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39, -1e300, 10**60])
@pytest.mark.parametrize("place", [0, 5, 99])
def test_values_that_are_not_finite(route, value, place):
    x = np.ones(100)
    x[place] = value
    for form in (x, x.tolist(), np.tile(x, (3, 1)), x[None]):
        with pytest.raises(ValueError, match="NaN or infinite"):
            route.decide("p", form, NOW)
    single = np.ones(100, np.float32)
    with np.errstate(over="ignore"):
        single[place] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        route.decide("p", single, NOW)


def test_refused_inputs_leave_no_trace(engine, route):
    for bad in (np.array([math.nan]), np.zeros(0), object()):
        with pytest.raises((TypeError, ValueError)):
            route.decide("no trace", bad, NOW)
    assert engine.signals("no trace", "m").get("api.request_count", 0) == 0


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0), (2, 3, 4), (2, 3, 4, 5), (1, 1, 1, 1, 1), ()], ids=str)
def test_shapes_that_are_no_input(route, shape):
    with pytest.raises((TypeError, ValueError)):
        route.decide("p", np.ones(shape, np.float32), NOW)
    with pytest.raises((TypeError, ValueError)):
        route.decide("p", np.ones(shape), NOW)


@pytest.mark.parametrize(
    "x",
    [
        np.ones(4, np.complex64),
        np.array(["a", "b"]),
        np.array([object(), None]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.zeros(3, [("a", "f4"), ("b", "i4")]),
        [[1, 2], [3]],
        [1, "a"],
        [None],
        [[]],
        [],
        (),
        {1, 2},
        object(),
        Hostile(),
        ...,
        lambda: 1,
        type,
        1j,
        iter([1.0]),
        memoryview(b"abc").cast("c"),
        bytearray(),
    ],
    ids=lambda x: f"{type(x).__name__}",
)
def test_types_that_are_no_input(route, x):
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        route.decide("p", x, NOW)


@pytest.mark.parametrize(
    "x",
    [
        np.ones(6)[::2],
        np.asfortranarray(np.ones((4, 3), np.float32)),
        np.ones((4, 6), np.float32)[:, ::2],
        np.ones(4, ">f4"),
        np.ones(4, np.float16),
        np.ones(4, np.longdouble),
        np.ones(4, np.int8),
        np.ones(4, np.uint64),
        np.ones(4, bool),
        np.broadcast_to(np.float32(1), (4,)),
        np.ones(4, np.float32).view(np.ndarray),
        np.frombuffer(b"\0" * 16, np.float32),
        np.ma.masked_array(np.ones(4), [0, 1, 0, 0]),
        memoryview(np.ones(4, np.float32)),
        memoryview(np.ones(8, np.float32))[::2],
        np.full(4, 3e38, np.float32),
        np.full(4, 1e-45, np.float32),
        np.zeros(100_000, np.float32),
        range(5),
    ],
    ids=lambda x: f"{type(x).__name__} {getattr(x, 'dtype', '')}",
)
def test_unusual_arrays_are_arrays(route, x):
    for _ in range(3):
        assert route.decide("unusual", x, NOW).outcome == "decided"


@pytest.mark.parametrize("model", ["image", "table"])
def test_inputs_that_do_not_fit_the_policy(engine, route, model):
    other = engine.route(model)
    for x in (np.ones((5, 7)), np.ones(3), [1.0, 2.0, 3.0], np.ones((2, 3, 4, 5, 6)), [[1.0], [2.0, 3.0]], 5, object()):
        with pytest.raises((TypeError, ValueError)):
            other.decide("p", x, NOW)


@pytest.mark.parametrize(
    "row",
    [
        {},
        [],
        {"a": math.nan},
        {"a": math.inf},
        {"a": [1, 2]},
        {"a": object(), "b": Hostile()},
        {1: 1, "a": 2},
        [[1, 2], [3]],
        [{"a": 1}, {"a": 1, "b": 2}],
        [{"a": 1}, 5],
        [1.0] * 5000,
        {str(i): i for i in range(5000)},
        "text",
        5,
    ],
    ids=lambda row: str(row)[:30],
)
def test_rows_that_are_none(engine, route, row):
    with pytest.raises((TypeError, ValueError, OverflowError, RuntimeError)):
        engine.decide(principal="p", model="m", row=row, now=NOW)


@pytest.mark.parametrize(
    "row", [{"a": None}, {"a": 10**400}, {"\ud800": "\udfff"}, {"a": b"\xff"}, {"": ""}, [None, True]]
)
def test_rows_with_odd_categories(engine, route, row):
    for _ in range(3):
        assert engine.decide(principal="odd", model="m", row=row, now=NOW).outcome == "decided"


TEXTS = ["", "\0", " " * 1000, "\ud800\udc00", "\udfff", "a\ud800b" * 50, "\ufeff\u202e\u0000", "é" * 9, "💣" * 1000]
TEXTS += ["a" * 10_000_000, "ab\n" * 1_000_000, "\ud800" * 100_000, "\u0301" * 100_000, "漢字" * 10_000]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{len(text)} {text[:4]!a}")
def test_odd_texts(engine, route, text):
    fields = {"client.name": text, "client": {"addresses": [text, text]}, "request_id": text}
    for _ in range(2):
        decision = route.decide(text, text, NOW, session=text, fields=fields)
        assert route.record(decision, text, [0.5], text=text, now=NOW) is None or decision
        decision.explain()
    engine.decide(principal=text, model=text, method=text, endpoint=text, now=NOW).explain()


@pytest.mark.parametrize(
    "segments",
    [
        [("user", 5)],
        [("user", "a"), "b"],
        [("user", "a"), ("user",)],
        [("user", "a", "b")],
        [("user", "a"), None],
        [(1, "a")],
    ],
    ids=str,
)
def test_segments_that_are_none(engine, route, segments):
    with pytest.raises((TypeError, ValueError)):
        engine.decide(principal="p", model="m", text=segments, now=NOW)
    with pytest.raises((TypeError, ValueError)):
        route.decide("p", segments, NOW)


# --- the other arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "principal", [None, 5, 1.5, ["a"], {}, object(), Hostile(), True, np.array(["a"])], ids=lambda x: type(x).__name__
)
def test_principals_that_are_no_text(engine, route, principal):
    with pytest.raises(TypeError):
        route.decide(principal, None, NOW)
    with pytest.raises(TypeError):
        engine.decide(principal=principal, model="m", now=NOW)
    with pytest.raises(TypeError):
        route.decide("p", None, NOW, session=5)


@pytest.mark.parametrize("name", ["model", "method", "endpoint"])
@pytest.mark.parametrize("value", [None, 5, ["a"], {}, object()], ids=lambda x: type(x).__name__)
def test_route_names_that_are_no_text(engine, route, name, value):
    with pytest.raises(TypeError):
        engine.route(**({"model": "m"} | {name: value}))
    with pytest.raises(TypeError):
        engine.decide(**({"principal": "p", "model": "m", "now": NOW} | {name: value}))


@pytest.mark.parametrize("now", [-1, -1e-9, 4294967296, 1e18, 1e308, math.nan, math.inf, -math.inf, 2**63])
def test_times_out_of_range(engine, route, now):
    with pytest.raises(ValueError, match="now must be seconds since 1970, 0 to 4294967295"):
        route.decide("p", None, now)
    with pytest.raises(ValueError):
        route.record(route.decide("p", None, NOW), now=now)


@pytest.mark.parametrize(
    "now", ["now", [NOW], 1j, b"1", object(), Hostile(), True, 10**400], ids=lambda x: type(x).__name__
)
def test_times_that_are_no_numbers(route, now):
    with pytest.raises((TypeError, ValueError, RuntimeError)):  # the last one is Hostile's own
        route.decide("p", None, now)


def test_the_ends_of_time(engine, route):
    for now in (0, 0.0, 4294967295, 4294967295.0, NOW):
        assert route.decide("from the beginning to the end", None, now).outcome == "decided"
    assert engine.route("far").decide("p", None, 4294967295).outcome == "decided"


@pytest.mark.parametrize("clock", [lambda: math.nan, lambda: -1, lambda: "12:00", lambda: None, lambda: 1 / 0])
def test_clocks_that_go_wrong(clock):
    with ac.Engine(ac.Policy.default(), capacity=10, clock=clock) as engine:
        with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
            engine.decide(principal="p", model="m")
        assert engine.decide(principal="p", model="m", now=NOW).outcome == "decided"


@pytest.mark.parametrize("cost", [-1, math.nan, math.inf, "1", None, [1], 10**400, True], ids=str)
def test_costs_that_are_none(route, cost):
    with pytest.raises((TypeError, ValueError)):
        route.decide("p", None, NOW, cost=cost)


deep: dict = {}
inner = deep
for _ in range(1000):
    inner["client"] = inner = {}
circular: dict = {}
circular["client"] = circular
endless: list = []
endless.append(endless)


@pytest.mark.parametrize(
    "fields",
    [
        5,
        "text",
        [("a", 1)],
        {1: 2},
        {"client": {1: 2}},
        {None: 1},
        {"client.name": object()},
        {"client.name": Hostile()},
        {"client.name": {1, 2}},
        {"client.name": [object()]},
        {"client.size": 1j},
        deep,
        circular,
        {"client.name": endless},
    ],
    ids=[str(i) for i in range(14)],
)
def test_fields_that_are_none(engine, route, fields):
    with pytest.raises((TypeError, ValueError, RecursionError)):
        route.decide("p", None, NOW, fields=fields)
    with pytest.raises((TypeError, ValueError, RecursionError)):
        engine.decide(principal="p", model="m", endpoint="/v1/models/m", fields=fields, now=NOW)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"": ""},
        {"client.size": 10**400, "client.name": -(10**400)},
        {"client.size": math.nan},
        {"client.size": -math.inf},
        {"client.size": 2**64 - 1},
        {"client.size": -(2**63)},
        {"client.size": "17"},
        {"client.size": [18, "x", None, [1, [2, [3]]]]},
        {"client.addresses": ["10.1.2.3", "::1", "300.1.1.1", "", None, "10.0.0.0/8/8"]},
        {"client.name": b"\xff\xfe"},
        {"\ud800": 1, "client.name": "\ud800"},
        {"x" * 100_000: 1, "x.y.z" * 1000: {"a": {"b": {}}}},
        {"client": []},
        {"client": None},
        {"client": {"name": {"first": "a"}}},
        {"client.name": True, "client.size": False},
        {"api.principal": "somebody else", "api.request_count": 1e9, "api.model": 5},
        {str(i): i for i in range(10_000)},
        {"client.name": ["a"] * 100_000},
        {"request_id": 5},
        {"request_id": "r" * 10_000},
    ],
    ids=lambda fields: str(list(fields))[:20].encode("ascii", "replace").decode(),
)
def test_odd_fields_are_fields(route, fields):
    decision = route.decide("p", None, NOW, fields=fields)
    assert decision.outcome == "decided"
    decision.explain()


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((), {}),
        (("p", None, NOW, "s"), {}),
        (("p",), {"principal": "p"}),
        (("p",), {"text": "a"}),
        (("p",), {"": 1}),
        (("p",), {"\ud800": 1}),
        ((), {"x": None}),
    ],
)
def test_wrong_arguments_of_a_route(route, arguments, keywords):
    with pytest.raises(TypeError):
        route.decide(*arguments, **keywords)


def test_wrong_arguments_of_an_engine(engine, route):
    for call in (
        lambda: engine.decide("p", "m"),
        lambda: engine.decide(principal="p"),
        lambda: engine.decide(model="m"),
        lambda: engine.decide(principal="p", model="m", x=1),
        lambda: engine.route(),
        lambda: engine.route("m", "predict", "/", "more"),
        lambda: engine.record(),
        lambda: engine.record(None),
        lambda: engine.record("dec_1"),
        lambda: engine.signals("p"),
        lambda: engine.signals(None, "m"),
        lambda: engine.reload(None),
        lambda: engine.reload("policy.yml"),
    ):
        with pytest.raises(TypeError):
            call()


# --- answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", [None, 5, "dec_1", {}, object()], ids=str)
def test_records_of_no_decision(route, decision):
    with pytest.raises(TypeError, match="needs the decision"):
        route.record(decision)
    with pytest.raises(TypeError):
        route.record()


@pytest.mark.parametrize(
    "answer",
    [
        {"label": object()},
        {"label": Hostile()},
        {"label": {1: 2}},
        {"label": endless},
        {"scores": 5},
        {"scores": "0.5"},
        {"scores": object()},
        {"scores": {"a": 1}},
        {"scores": endless},
        {"scores": [[], [1], ["a", None]]},
        {"scores": np.array(["a"])},
        {"text": 5},
        {"text": ["a"]},
        {"cost": -1},
        {"cost": math.nan},
        {"cost": "1"},
        {"status": "200"},
        {"status": 1.5},
        {"status": 2**80},
        {"status": 2**31},
        {"cost": 10**400},
        {"now": 10**400},
        {"now": "now"},
        {"more": 1},
    ],
    ids=lambda answer: next(iter(answer)),
)
def test_answers_that_are_none(engine, route, answer):
    decision = route.decide("p", None, NOW)
    with pytest.raises((TypeError, ValueError, RecursionError, RuntimeError)):
        route.record(decision, **answer)
    with pytest.raises((TypeError, ValueError, OverflowError, RecursionError, RuntimeError)):
        engine.record(decision, **answer)


@pytest.mark.parametrize(
    "answer",
    [
        {"label": math.nan, "scores": [math.nan, math.inf]},
        {"label": 10**400},
        {"label": "\ud800", "text": "\ud800"},
        {"label": [], "scores": []},
        {"scores": np.zeros((0, 3))},
        {"scores": np.ones((2, 3, 4))},
        {"text": "x" * 10_000_000},
        {"text": b"\xff\xff"},
        {"status": -1},
        {"status": 0},
        {"cost": 0},
        {"cost": 1e300},
        {"now": 0},
    ],
    ids=lambda answer: next(iter(answer)),
)
def test_odd_answers_are_answers(route, answer):
    decision = route.decide("p", np.ones(3), NOW)
    for _ in range(2):
        route.record(decision, **answer)


def test_a_record_on_another_engine_or_route(engine, route):
    with ac.Engine(ac.Policy.default(), capacity=10, clock=lambda: NOW) as other:
        foreign = other.decide(principal="p", model="m", now=NOW)
        route.record(foreign)
        engine.record(foreign)
        other.route("x").record(route.decide("p", None, NOW))
    engine.route("another").record(route.decide("p", None, NOW), 1, [1.0], text="secret")


def test_a_decision_outlives_its_engine():
    decision = ac.Engine(ac.Policy.default(), capacity=10).decide(principal="p", model="m", now=NOW)
    assert decision.signals["api.request_count"] == 1
    assert decision.explain()["action"] == "ALLOW"


# --- anything at all ------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.binary(max_size=50),
    st.text(st.characters(), max_size=50), st.text(st.characters(categories=["Cs"]), max_size=5),
    st.builds(object), st.builds(Hostile), st.just(np.nan), st.just(NOW),
)  # fmt: skip
ARRAYS = st.builds(
    lambda shape, dtype, value: np.full(shape, value).astype(dtype),
    st.lists(st.integers(0, 4), max_size=4),
    st.sampled_from(["f4", ">f4", "f8", "f2", "i4", "u1", "?", "c8", "O", "U3", "S3", "M8[s]"]),
    st.sampled_from([0, 1, 200]),
)
ANYTHING = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["client", "name", "a", "request_id"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
PRINCIPALS = st.sampled_from(["p", "q"]) | ANYTHING
REFUSED = (TypeError, ValueError, RuntimeError)  # the last one is Hostile's own
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@FUZZ
@pytest.mark.filterwarnings("ignore")
@given(st.data())
def test_anything_given_to_decide(engine, data):
    model = data.draw(st.sampled_from(["m", "image", "table"]))
    route = engine.route(model, endpoint="/v1/models/m")
    now = data.draw(st.just(NOW) | ANYTHING)
    try:
        decision = route.decide(
            data.draw(PRINCIPALS), data.draw(ANYTHING), now,
            session=data.draw(st.just("") | ANYTHING), fields=data.draw(st.none() | ANYTHING),
            cost=data.draw(st.just(0.0) | ANYTHING),
        )  # fmt: skip
    except REFUSED:
        pass
    else:
        assert decision.outcome == "decided"
        decision.explain()
    assert route.decide("afterwards", None, NOW).outcome == "decided"


@FUZZ
@pytest.mark.filterwarnings("ignore")
@given(st.sampled_from(["text", "vector", "row", "image", "digest", "fields", "session", "cost"]), ANYTHING)
def test_anything_given_by_name(engine, name, value):
    try:
        decision = engine.decide(**({"principal": "p", "model": "m", "now": NOW} | {name: value}))
    except REFUSED:
        pass
    else:
        assert decision.outcome == "decided"
    assert engine.decide(principal="afterwards", model="m", now=NOW).outcome == "decided"


@FUZZ
@pytest.mark.filterwarnings("ignore")
@given(st.data())
def test_anything_given_to_record(engine, data):
    route = engine.route("m", endpoint="/v1/models/m")
    decision = route.decide("p", np.ones((2, 3)), NOW)
    names = data.draw(st.sets(st.sampled_from(["label", "scores", "text", "cost", "status", "now"]), min_size=1))
    with contextlib.suppress(*REFUSED):
        route.record(decision, **{name: data.draw(ANYTHING) for name in sorted(names)})
    assert route.record(decision, [0, 1], [0.5, 0.5], now=NOW) is None
