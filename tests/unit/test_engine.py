"""The engine from Python: its arguments, its answers, and what goes on around a decision."""

import gc
import json
import subprocess
import sys
import threading
import time
from collections import ChainMap, UserDict
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest

import atlascore as ac

NOW = 1_700_000_000.0
EXTRACTION = "c8db818d-22f3-5b98-a993-a66dd70b9079"
PROBE = "0b6f4a52-7f0e-4d1c-8b3a-52d1f0c8b001"
LEAK = "0b6f4a52-7f0e-4d1c-8b3a-52d1f0c8b002"

RULES = f"""\
title: Probe
id: {PROBE}
logsource: {{category: api_activity, product: machine_learning_platform}}
detection:
    probe:
        client.name|startswith: probe
    condition: probe
level: low
tags: [atlas.aml.t0024.002]
---
title: Leak
id: {LEAK}
logsource: {{category: api_activity, product: machine_learning_platform}}
detection:
    leak:
        response.text|contains: secret
    condition: leak
level: critical
tags: [atlas.aml.t0057]
"""

POLICY = """\
version: 1
name: tests
mode: enforce
models:
  image: {kind: classifier, input: {modality: image, shape: [4, 5, 3], range: [0, 1]}}
  table: {kind: classifier, input: {modality: row, features: {amount: {range: [0, 100]}, country: {categories: 9}}}}
rules: {paths: [builtin, rules.yml]}
responses:
  - {name: medium, match: {level: medium}, action: CONSTRAIN, constraints: {scores: {top_k: 1}, rate: 100/s}}
  - {name: low, match: {level: low}, action: LOG}
  - {name: critical, match: {level: critical}, action: BLOCK}
limits:
  - {name: minute, max: 1000, window: 1m}
state: {seed: 7}
"""


@pytest.fixture
def policy(tmp_path) -> ac.Policy:
    (tmp_path / "rules.yml").write_text(RULES)
    return ac.Policy.from_text(POLICY, base=tmp_path)


@pytest.fixture
def engine(policy):
    with ac.Engine(policy, capacity=1000, clock=lambda: NOW) as engine:
        yield engine


@pytest.fixture
def route(engine) -> ac.Route:
    return engine.route("m", "predict", "/v1/models/m")


def extract(route, principal="key-1", count=60, start=NOW):
    base = np.random.default_rng(0).standard_normal(16)
    noise = np.random.default_rng(1).standard_normal((count, 16)) * 0.001
    return [route.decide(principal, (base + noise[i]).astype(np.float32), start + i * 0.1) for i in range(count)]


def test_a_first_decision(engine):
    decision = engine.decide(principal="key-1", model="m", now=NOW)
    assert decision.action is ac.Action.ALLOW
    assert decision.would is ac.Action.ALLOW
    assert decision.simulated is False
    assert decision.rules == decision.techniques == ()
    assert not decision.constraints
    assert decision.outcome == "decided"
    assert decision.id.startswith("dec_")
    assert decision.sequence == 1
    assert decision.index is None
    assert decision.rows == 1
    assert decision.now == NOW
    assert decision.retry_after == 0
    assert len(decision.redactions) == 0
    assert repr(decision) == "<Decision ALLOW rules=()>"


def test_actions_are_ordered():
    assert ac.Action.ALLOW < ac.Action.LOG < ac.Action.CONSTRAIN < ac.Action.BLOCK
    assert [action.name for action in ac.Action] == ["ALLOW", "LOG", "CONSTRAIN", "BLOCK"]


def test_an_extraction_is_constrained_and_explained(route):
    decisions = extract(route)
    assert [d.action for d in decisions[:50]] == [ac.Action.ALLOW] * 50
    assert [d.action for d in decisions[50:]] == [ac.Action.CONSTRAIN] * 10
    last = decisions[-1]
    assert last.rules == (EXTRACTION,)
    assert last.techniques == ("AML.T0024.002",)
    assert last.constraints == ac.Constraints(scores={"top_k": 1}, rate=100.0)
    assert last.constraints.apply_scores(np.array([0.2, 0.7, 0.1])).tolist() == [0, 0.7, 0]
    assert last.signals["api.request_count"] == 60
    explained = last.explain()
    assert explained["action"] == "CONSTRAIN"
    assert explained["step"]["entry"] == "medium"
    assert [rule["id"] for rule in explained["rules"]] == [EXTRACTION]
    assert explained["rules"][0]["condition"]["result"] is True
    assert explained["counterfactual"].startswith("ALLOW if api.")
    assert explained["policy"]["name"] == "tests"


def test_inputs_of_every_kind(engine):
    """Each one ten times: the first is new, the others are exact repetitions, so they were compared."""
    image = np.random.default_rng(0).random((4, 5, 3), np.float32)
    inputs = {
        "text": ["a prompt", [("system", "rules"), ("user", "a prompt")], [("user", "a"), ("user", "b")], ""],
        "vector": [np.ones(8, np.float32), np.arange(8), [1.0, 2.0], (1, 2), np.ones(8, np.float64)[::2], [True]],
        "row": [{"a": 1.0, "b": "x", "c": None, "d": True}, [1.0, "x"], (1, 2)],
        "image": [image, np.ones((28, 28)), np.ones((28, 28, 1)), (image * 255).astype(np.uint8)],
        "digest": [b"abc", b""],
    }
    number = 0
    for kind, values in inputs.items():
        for value in values:
            number += 1
            model = f"some-{kind}"
            for _ in range(10):
                decision = engine.decide(
                    principal=f"p{number}", model=model, endpoint="model", now=NOW, **{kind: value}
                )
                assert decision.action is ac.Action.ALLOW
                assert decision.rows == 1
            signals = engine.signals(f"p{number}", model)
            assert signals["api.exact_duplicate_ratio"] == 0.9, (kind, value)


def test_a_query_has_one_input(engine):
    with pytest.raises(ValueError, match="give only one of text, vector, row, image and digest"):
        engine.decide(principal="p", model="m", text="a", vector=[1.0])


def test_batches(engine):
    image = np.zeros((7, 4, 5, 3), np.float32)
    for kind, value, rows in [
        ("vector", np.ones((5, 3)), 5),
        ("vector", [[1.0, 2.0], [3.0, 4.0]], 2),
        ("row", [{"a": 1}, {"a": 2}, {"a": 3}], 3),
        ("row", [[1, "a"], [2, "b"]], 2),
        ("image", image, 7),
        ("text", ["one", "two", "three", "four"], 4),
        ("text", ["alone"], 1),
    ]:
        model = "image" if kind == "image" else "m"
        principal = f"{kind} {rows}"
        decision = engine.decide(principal=principal, model=model, now=NOW, **{kind: value})
        assert decision.rows == rows
        assert engine.signals(principal, model)["api.request_count"] == rows


def test_a_batch_of_texts_is_its_texts_one_by_one(engine):
    texts = ["What is the capital of France?"] * 12 + ["A recipe for lentil soup", "How far is the moon?"]
    route = engine.route("m", endpoint="model")
    together = route.decide("together", texts, NOW)
    for text in texts:
        alone = route.decide("one by one", text, NOW)
    assert (together.rows, alone.rows) == (14, 1)
    seen = [engine.signals(principal, "m") for principal in ("together", "one by one")]
    assert seen[0] == seen[1]
    assert seen[0]["api.request_count"] == 14
    assert seen[0]["api.exact_duplicate_ratio"] == pytest.approx(11 / 14)


def test_the_policy_says_what_an_input_is(engine):
    picture = engine.route("image").decide("p", np.zeros((4, 5, 3), np.float32), NOW)
    pictures = engine.route("image").decide("p", np.zeros((2, 4, 5, 3), np.float32), NOW)
    row = engine.route("table").decide("p", [12.5, "DE"], NOW)
    rows = engine.route("table").decide("p", [[12.5, "DE"], [1, "FR"]], NOW)
    named = engine.route("table").decide("p", {"country": "DE", "amount": 12.5}, NOW)
    assert [d.rows for d in (picture, pictures, row, rows, named)] == [1, 2, 1, 2, 1]
    with pytest.raises(ValueError, match="the policy declares 2 features"):
        engine.route("table").decide("p", [1.0, "DE", 3], NOW)
    with pytest.raises(ValueError, match="does not fit"):
        engine.route("image").decide("p", np.zeros((4, 5), np.float32), NOW)


def test_a_row_is_the_same_as_a_dict_and_as_a_sequence(engine):
    route = engine.route("table", endpoint="model")
    for _ in range(5):
        route.decide("p", {"amount": 12.5, "country": "DE"}, NOW)
        route.decide("p", [12.5, "DE"], NOW)
    assert engine.signals("p", "table")["api.exact_duplicate_ratio"] == 0.9


def test_route_and_engine_decide_alike(policy):
    x = np.ones(8, np.float32)
    with ac.Engine(policy, capacity=100) as one, ac.Engine(policy, capacity=100) as other:
        route = one.route("m", "predict", "/v1/models/m")
        for i in range(100):
            fields = {"client": {"name": "probe" if i % 7 == 0 else "web"}}
            a = route.decide("p", x + i, NOW + i / 10, session="s", fields=fields, cost=0.5)
            b = other.decide(
                principal="p", model="m", endpoint="/v1/models/m", session="s", vector=x + i, fields=fields, cost=0.5,
                now=NOW + i / 10,
            )  # fmt: skip
            assert (a.action, a.rules, a.signals) == (b.action, b.rules, b.signals)


def test_route_arguments(route):
    assert (route.model, route.method, route.endpoint) == ("m", "predict", "/v1/models/m")
    assert route.decide("p").now == NOW, "the engine's clock"
    assert route.decide("p", None, NOW + 1).now == NOW + 1
    assert route.decide(principal="p", x=None, now=NOW + 2, session="", fields=None, cost=0.0).now == NOW + 2
    assert route.decide("p", now=int(NOW)).now == NOW
    assert route.decide("p", None, None).now == NOW
    assert route.decide(b"bytes").action is ac.Action.ALLOW


def test_the_system_clock(policy):
    with ac.Engine(policy, capacity=100) as engine:
        assert abs(engine.decide(principal="p", model="m").now - time.time()) < 5


def test_fields_nested_or_flat(engine):
    def rules(fields):
        return engine.decide(principal="p", model="m", fields=fields, now=NOW).rules

    assert rules({"client.name": "probe-1"}) == (PROBE,)
    assert rules({"client": {"name": "probe-1"}}) == (PROBE,)
    assert rules({"client": {"name": ["web", "probe"]}}) == (PROBE,)
    assert rules({"client.name": "web", "client": {"name": "probe"}}) == (), "the flat name wins"
    assert rules({"client": {"name": None}}) == ()
    assert rules({"client": {"name": 17}}) == ()
    assert rules({}) == rules(None) == ()


def test_record_and_a_response_rule(engine, route):
    decision = route.decide("p", None, NOW)
    assert route.record(decision, 1, [0.1, 0.9], text="nothing to see", cost=0.1, status=200, now=NOW) is None
    answer = route.record(decision, text="the secret is 42")
    assert answer.action is ac.Action.BLOCK
    assert answer.rules == (LEAK,)
    assert answer.explain()["phase"] == "response"
    assert engine.record(decision, text="the secret is 42").rules == (LEAK,)
    assert engine.record(decision) is None
    assert engine.stats()["records"] == 4


DELAYED = """
version: 1
mode: {mode}
rules: {{paths: [builtin]}}
responses:
  - name: refuse
    match: {{rule: 74d40636-4f0e-4526-b948-c3dba5c3161a}}
    action: BLOCK
    duration: 1h
    block_delay: {{p: 0.125, max: 32, meanwhile: {{scores: label_only}}}}
"""


def delays(mode="enforce", principals=200):
    """For each principal, the queries between the first match of the rule and the BLOCK."""
    policy = ac.Policy.from_text(DELAYED.format(mode=mode))
    out = []
    with ac.Engine(policy, capacity=1000, clock=lambda: NOW) as engine:
        route = engine.route("m")
        for p in range(principals):
            matched = 0
            for i in range(540):
                decision = route.decide(f"p{p}", None, NOW + i * 0.01)
                if decision.would == ac.Action.BLOCK:
                    break
                if decision.rules:
                    assert decision.would == ac.Action.CONSTRAIN
                    assert mode == "shadow" or decision.constraints.scores == {"label_only": True}
                    matched += 1
            out.append(matched)
    return out


def test_a_block_comes_a_geometric_number_of_queries_late():
    found = delays()
    assert min(found) >= 1 and max(found) <= 32
    # The mean of a geometric distribution with p = 1/8, cut at 32, is 7.9; its standard error here is 0.5.
    assert 6 < sum(found) / len(found) < 10
    assert len(set(found)) > 10


def test_a_delay_runs_in_shadow_too():
    found = delays("shadow", 20)
    assert min(found) >= 1 and len(set(found)) > 3


def test_after_the_delay_the_block_stands():
    with ac.Engine(ac.Policy.from_text(DELAYED.format(mode="enforce")), capacity=100, clock=lambda: NOW) as engine:
        route = engine.route("m")
        actions = [route.decide("p", None, NOW + i * 0.01).action for i in range(600)]
        first = actions.index(ac.Action.BLOCK)
        assert set(actions[first:]) == {ac.Action.BLOCK}
        assert route.decide("p", None, NOW + 3000).retry_after > 0


def test_records_of_every_shape(route):
    one, two = route.decide("p", np.ones(3), NOW), route.decide("p", np.ones((2, 3)), NOW)
    for label in (None, 1, "cat", True, 0.5, [1, 2], ["a"], np.int64(3), np.array([1, 2]), np.float32(0.5)):
        for scores in (None, [0.5], (0.1, 0.9), np.ones(3, np.float32), np.ones((1, 2)), [1, 2], np.array([1, 0])):
            assert route.record(one, label, scores) is None
    for label in (None, [1, 2], ["a", "b"], (True, False), np.array([1, 2])):
        for scores in (None, [0.1, 0.9], [[0.5, 0.5], [1.0, 0.0]], np.ones((2, 2)), np.ones((2, 3), np.float32)):
            assert route.record(two, label, scores) is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"label": 1}, "one a row of the batch"),
        ({"label": [1, 2, 3]}, "one a row of the batch"),
        ({"label": "ab"}, "one a row of the batch"),
        ({"scores": [0.5]}, "one line for each of the 2 rows"),
        ({"scores": np.ones(3)}, "one line for each of the 2 rows"),
        ({"scores": [[0.5, 0.5], [1.0]]}, "lines of one length"),
        ({"scores": [[0.5], 0.5]}, "lines of one length"),
    ],
)
def test_a_batch_needs_an_answer_for_every_row(route, answer, error):
    decision = route.decide("p", np.ones((2, 3)), NOW)
    with pytest.raises(ValueError, match=error):
        route.record(decision, **answer)


@pytest.mark.parametrize("scores", ["0.5", ["a"], [None], np.array(["a"]), {"a": 1}, 5])
def test_scores_are_numbers(route, scores):
    with pytest.raises(TypeError, match="scores must be"):
        route.record(route.decide("p", np.ones(3), NOW), scores=scores)


def test_record_takes_its_arguments_by_position(route):
    decision = route.decide("p", np.ones(3), NOW)
    assert route.record(decision, 1, [0.2, 0.8], "text", 0.5, 200, NOW) is None


def test_a_record_for_a_track_that_is_gone_is_counted(engine, route):
    decision = route.decide("first", None, NOW)
    for i in range(20_000):
        route.decide(f"p{i}", None, NOW + 1)
    assert engine.stats()["evictions_cold"] > 0
    assert engine.signals("first", "m") == {}
    assert route.record(decision) is None
    assert engine.stats()["records_dropped"] == 1


def test_a_flood_of_inputs_recycles_the_probation_of_the_pool_only(policy):
    """64 slabs: 40 callers who are watched for good keep theirs whatever number of others sends inputs."""
    with ac.Engine(policy, capacity=1000, clock=lambda: NOW) as engine:
        route = engine.route("m", "predict", "/v1/models/m")
        assert engine.stats()["hot_capacity"] == 64
        for p in range(40):
            extract(route, f"watched {p}", count=20)
        x = np.random.default_rng(2).standard_normal((2000, 16)).astype(np.float32)
        for p in range(2000):
            route.decide(f"p{p}", x[p], NOW + 3)
        stats = engine.stats()
        assert stats["hot_recycled"] == 2000 - 24
        assert stats["hot_on_probation"] == 24
        assert stats["demotions_hot"] == stats["demotions_suspect"] == stats["demotions_standing"] == 0
        for p in range(40):
            assert engine.signals(f"watched {p}", "m")["api.input_similarity_score"] > 0.9


def test_demotions_are_counted(policy):
    with ac.Engine(policy, capacity=1000, clock=lambda: NOW) as engine:
        route = engine.route("m", "predict", "/v1/models/m")
        for p in range(60):  # of 64 slabs 48 are for tracks that are watched for good
            extract(route, f"p{p}", count=3)
        stats = engine.stats()
        assert stats["demotions_hot"] + stats["demotions_suspect"] + stats["demotions_standing"] == 60 - 48
        assert stats["hot_on_probation"] == 12


def test_signals_of_a_track(engine, route):
    assert engine.signals("key-1", "m") == {}
    extract(route, count=20, start=NOW - 5)
    signals = engine.signals("key-1", "m")
    assert signals["api.request_count"] == 20
    assert signals["api.request_rate"] == 2
    assert signals["api.input_similarity_score"] > 0.9
    assert engine.signals("key-1", "other model") == {}


def test_signals_of_a_decision_are_those_at_its_time(route):
    decisions = extract(route)
    assert [d.signals["api.request_count"] for d in decisions] == list(range(1, 61))


def test_stats_count(engine, route):
    extract(route)
    route.decide("p", np.ones((5, 3)), NOW)
    stats = engine.stats()
    assert stats["decisions_allow"] == 51
    assert stats["decisions_constrain"] == 10
    assert stats["queries"] == 65
    assert stats["tracks"] == 2
    assert stats["hot_tracks"] == 2
    assert stats["demotions_hot"] == stats["demotions_suspect"] == stats["demotions_standing"] == 0


def test_a_reload_keeps_the_state_and_reaches_every_route(engine, route, tmp_path):
    decision = extract(route)[-1]
    stricter = ac.Policy.from_text(POLICY.replace("match: {level: medium}, action: CONSTRAIN, constraints: "
                                                  "{scores: {top_k: 1}, rate: 100/s}",
                                                  "match: {level: medium}, action: BLOCK"), base=tmp_path)  # fmt: skip
    engine.reload(stricter)
    assert engine.policy is stricter
    after = route.decide("key-1", np.ones(16, np.float32), NOW + 6)
    assert after.action is ac.Action.BLOCK
    assert after.signals["api.request_count"] == 61
    assert engine.route("m", "predict", "/v1/models/m").decide("key-1", np.ones(16), NOW + 6).action is ac.Action.BLOCK
    assert decision.constraints == ac.Constraints(scores={"top_k": 1}, rate=100.0), "of the policy it was made under"
    assert decision.explain()["policy"]["hash"] != after.explain()["policy"]["hash"]


def test_a_reload_that_needs_other_windows_is_refused(engine, route, tmp_path):
    before = engine.policy
    override = f"rules: {{paths: [builtin, rules.yml], overrides: [{{rule: {EXTRACTION}, timeframe: 7m}}]}}"
    other = ac.Policy.from_text(POLICY.replace("rules: {paths: [builtin, rules.yml]}", override), base=tmp_path)
    with pytest.raises(ac.PolicyError, match="the new rules need a window of 420 s"):
        engine.reload(other)
    assert engine.policy is before
    assert extract(route)[-1].action is ac.Action.CONSTRAIN


def test_a_decision_stays_readable_over_any_number_of_reloads(engine, route, policy):
    """What a decision needs is kept as long as there is a decision; what no decision needs is not."""
    other = ac.Policy.from_text("version: 1\nmode: enforce\nlimits: [{name: other, max: 1, window: 1m}]")
    constrained = extract(route)[-1]
    explained = constrained.explain()
    for number in range(100):
        engine.reload((other, policy)[number % 2])
    assert constrained.constraints.to_dict() == {"scores": {"top_k": 1}, "rate": 100.0}
    assert constrained.explain() | {"index": 0} == explained | {"index": 0}
    assert len(engine._by_id) <= 3
    del constrained
    route.decide("p", None, NOW)
    engine.reload(other)
    assert len(engine._by_id) <= 2


def test_a_decision_made_while_a_policy_is_installed_is_readable(engine, route):
    limit = "limits: [{name: one, max: 1, window: 1m, action: CONSTRAIN, constraints: {n: 3}}]"
    policy = ac.Policy.from_text(f"version: 1\nmode: enforce\n{limit}")
    decisions = []
    core = engine._core

    class Core:
        def __getattr__(self, name):
            return getattr(core, name)

        def reload(self, compiled):
            core.reload(compiled)
            decisions.extend(route.decide("p", None, NOW) for _ in range(2))
            assert decisions[-1].constraints.n == 3
            assert decisions[-1].explain()["step"]["entry"] == "one"

    engine._core = Core()
    engine.reload(policy)
    assert len(decisions) == 2


def test_a_policy_that_the_core_refuses_is_not_kept(engine, tmp_path):
    before = dict(engine._by_id)
    (tmp_path / "slow.yml").write_text(
        RULES.replace("level: low", "level: low\ntimeframe: 7m")
        .split("---")[0]
        .replace("client.name|startswith: probe", "api.request_count|gt: 5")
    )
    with pytest.raises(ac.PolicyError, match="window"):
        engine.reload(ac.Policy.from_text("version: 1\nrules: {paths: [slow.yml]}", base=tmp_path))
    assert engine._by_id == before


def test_a_closed_engine_decides_and_records_nothing(policy):
    engine = ac.Engine(policy, capacity=100, clock=lambda: NOW)
    route = engine.route("m")
    decision = route.decide("p")
    engine.close()
    engine.close()
    for call in (
        lambda: route.decide("p"),
        lambda: engine.decide(principal="p", model="m"),
        lambda: engine.route("other").decide("p"),
        lambda: route.record(decision),
        lambda: engine.record(decision),
        lambda: route.guard_error("p", "event"),
    ):
        with pytest.raises(RuntimeError, match="the engine is closed"):
            call()
    assert decision.explain()["action"] == "ALLOW"
    assert decision.signals and decision.id and decision.index is None
    assert engine.stats()["queries"] == 1


def test_decisions_in_a_circle_are_collected(policy):
    class Request:
        alive = 0

        def __init__(self):
            Request.alive += 1

        def __del__(self):
            Request.alive -= 1

    engine = ac.Engine(policy, capacity=100, clock=lambda: NOW)
    route = engine.route("m")
    for _ in range(40):  # more than a route keeps for reuse
        request = Request()
        request.decision = route.decide("p", fields={"request": request, "deep": {"er": [request]}})
    engine.request = request
    engine.decision = route.decide("p")
    assert Request.alive == 40
    del request
    gc.collect()
    assert Request.alive == 1
    assert route.decide("p").explain()["action"] == "ALLOW"
    del engine, route
    gc.collect()
    assert Request.alive == 0


class Fields(Mapping):
    """A mapping that is no dict."""

    def __init__(self, items, on_read=lambda: None):
        self.items_ = items
        self.on_read = on_read

    def __getitem__(self, name):
        self.on_read()
        return self.items_[name]

    def __iter__(self):
        return iter(self.items_)

    def __len__(self):
        return len(self.items_)


def test_fields_may_be_any_mapping(engine, route):
    flat, nested = {"client.name": "probe 1", "request_id": "r"}, {"client": {"name": "probe 1"}}
    for fields in (
        flat,
        nested,
        Fields(flat),
        Fields(nested),
        {"client": Fields({"name": "probe 1"})},
        Fields({"client": Fields({"name": "probe 1"})}),
        MappingProxyType(nested),
        ChainMap({"client": MappingProxyType({"name": "probe 1"})}, {"more": 1}),
        UserDict(flat),
    ):
        for decision in (
            route.decide("p", fields=fields),
            engine.decide(principal="p", model="m", endpoint="/v1/models", fields=fields),
        ):
            assert decision.rules == (PROBE,)
            assert decision.explain()["rules"][0]["condition"]["value"] == "probe 1"
            assert route.record(decision, text="a secret").rules == (LEAK,)
        assert route.guard_error("p", "event", fields=fields).failure == "open"
    circle = Fields({})
    circle.items_["client"] = circle
    for fields, error in (
        (Fields({5: 1}), TypeError),
        (circle, ValueError),
        (Fields({"client.name": object()}), TypeError),
    ):
        with pytest.raises(error):
            route.decide("p", fields=fields)
    with pytest.raises(TypeError, match="fields must be a dict or another mapping, not list"):
        route.decide("p", fields=[("client.name", "probe")])


def test_a_mapping_that_changes_the_fields_while_it_is_read(route):
    fields = {"client.name": "probe" + str(NOW)}
    fields["client"] = Fields({"size": 1}, on_read=fields.clear)
    assert route.decide("p", fields=fields).rules == (PROBE,)
    with pytest.raises(ZeroDivisionError):
        route.decide("p", fields={"client": Fields({"size": 1}, on_read=lambda: 1 / 0)})


def test_the_log(policy, tmp_path):
    with ac.Engine(policy, capacity=100, log=tmp_path / "log") as engine:
        decisions = [engine.decide(principal=f"p{i}", model="m", now=NOW) for i in range(10)]
        assert engine.flush()
        assert [d.index for d in decisions] == sorted({d.index for d in decisions})
        assert len({d.id for d in decisions}) == 10
        stats = engine.stats()
        assert stats["log_lost"] == 0 and stats["log_error"] == ""
        assert stats["log_entries"] >= 10


@pytest.mark.parametrize("closed", [False, True])
def test_a_guard_error_is_neither_an_allow_nor_a_block(policy, tmp_path, closed):
    with ac.Engine(policy, capacity=100, log=tmp_path / "log", clock=lambda: NOW) as engine:
        route = engine.route("m", "predict", "/v1/models/m")
        failed = route.guard_error("p", "event", "parse", closed=closed, session="s", fields={"request_id": "r1"})
        assert failed.outcome == "guard_error"
        assert failed.action is (ac.Action.BLOCK if closed else ac.Action.ALLOW)
        assert failed.failure == ("closed" if closed else "open")
        assert failed.guard == {"stage": "event", "kind": "parse"}
        assert (failed.rules, failed.simulated) == ((), False)
        assert failed.explain()["guard"] == failed.guard
        assert route.record(failed, status=503) is None
        decided = route.decide("p", None, NOW)
        assert (decided.outcome, decided.failure, decided.guard) == ("decided", None, None)
        assert engine.signals("p", "m")["api.request_count"] == 1
        stats = engine.stats()
        assert stats["guard_errors"] == 1
        assert (stats["decisions_allow"], stats["decisions_block"], stats["records_dropped"]) == (1, 0, 0)
        assert engine.flush()
    lines = (tmp_path / "log" / "decisions.jsonl").read_text().splitlines()
    entries = [entry for entry in map(json.loads, lines) if entry["kind"] == "decision"]
    assert [entry.get("outcome") for entry in entries] == ["guard_error", None]
    assert entries[0]["failure"] == failed.failure
    assert entries[0]["guard"] == failed.guard
    assert entries[0]["req"] == "r1"
    assert entries[0]["principal"] == entries[1]["principal"] == engine.commitment("p")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("p", "nowhere"), "stage must be one of event, track, .*, not 'nowhere'"),
        (("p", "event", "bad luck"), "kind must be one of deadline, .*, not 'bad luck'"),
        (("p",), "needs a principal and a stage"),
        ((5, "event"), "principal must be str"),
    ],
)
def test_a_guard_error_that_makes_no_sense(route, arguments, reason):
    with pytest.raises((ValueError, TypeError), match=reason):
        route.guard_error(*arguments)


def test_an_exemption_from_what_is_only_logged(tmp_path):
    """The rule leads to LOG anyway: nothing is lowered, and the log names the response."""
    (tmp_path / "rules.yml").write_text(RULES)
    allow = "{name: a, principals: [p], exempt: [atlas.aml.t0024], expires: '2099-01-01T00:00:00Z', reason: r}"
    policy = ac.Policy.from_text(POLICY + f"allow: [{allow}]", base=tmp_path)
    with ac.Engine(policy, capacity=100, log=tmp_path / "log") as engine:
        decision = engine.decide(principal="p", model="m", fields={"client.name": "probe"}, now=NOW)
        assert decision.action is ac.Action.LOG
        assert decision.explain()["step"]["name"] == "response"
        assert engine.flush()


def test_commitments_do_not_show_the_name(engine):
    commitment = engine.commitment("key-1")
    assert len(commitment) == 32 and int(commitment, 16) >= 0
    assert commitment == engine.commitment("key-1") != engine.commitment("key-2")
    assert engine.decide(principal="key-1", model="m").explain()["principal"] == commitment


def test_a_seed_makes_runs_repeatable_and_no_seed_does_not(tmp_path, policy):
    def ids(policy):
        with ac.Engine(policy, capacity=100) as engine:
            return engine.commitment("a")

    unseeded = ac.Policy.default()
    assert ids(unseeded) != ids(unseeded)
    scores = []
    for _ in range(2):
        with ac.Engine(policy, capacity=100, clock=lambda: NOW) as engine:
            scores.append([d.signals for d in extract(engine.route("m", endpoint="/v1/models"))])
    assert scores[0] == scores[1]


def test_principals_and_models_do_not_mix(engine):
    for principal in ("a", "A", "a ", "", "a\0", "a\0b"):
        for model in ("m", "M", "m\0"):
            engine.decide(principal=principal, model=model, now=NOW)
    for principal in ("a", "A", "a ", "", "a\0", "a\0b"):
        for model in ("m", "M", "m\0"):
            assert engine.signals(principal, model)["api.request_count"] == 1, (principal, model)


def test_threads(policy):
    """Every thread decides for itself and for all; nothing is lost, and a reload in between changes nothing."""
    with ac.Engine(policy, capacity=1000) as engine:
        errors = []

        def work(number: int) -> None:
            try:
                route = engine.route("m", "explain")
                x = np.random.default_rng(number).standard_normal((2, 8)).astype(np.float32)
                for i in range(2_000):
                    route.decide(f"own {number}", x[0], NOW)
                    engine.decide(principal="shared", model="m", method="explain", vector=x, now=NOW)
                    if i % 500 == 0:
                        engine.reload(policy)
            except Exception as error:
                errors.append(error)

        unlimited = ac.Policy.from_text("{version: 1, mode: enforce, state: {seed: 7}}")
        engine.reload(unlimited)
        policy = unlimited
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not errors
        engine_now = [engine.route("m").decide(f"own {number}", None, NOW) for number in range(4)]
        assert [d.signals.get("api.request_count") for d in engine_now] == [2_001] * 4
        assert engine.route("m").decide("shared", None, NOW).signals["api.request_count"] == 16_001


def test_types_that_nobody_makes(route):
    decision = route.decide("p", None, NOW)
    for kind in (ac.Route, ac.Decision):
        with pytest.raises(TypeError):
            kind()
    for name in ("action", "rules", "anything"):
        with pytest.raises(AttributeError):
            setattr(decision, name, 1)


def test_a_policy_that_cannot_be_read(tmp_path):
    with pytest.raises(OSError):
        ac.Policy.load(tmp_path / "nowhere.yml")
    with pytest.raises(OSError):
        ac.Policy.load(tmp_path)
    for content in (b"", b"\xff\xfe\xff", b"\0", b"version: [", b"- a", b"5", b"a: &a [*a]", b"version: 1\nmode: on"):
        file = tmp_path / "policy.yml"
        file.write_bytes(content)
        with pytest.raises(ac.PolicyError) as caught:
            ac.Policy.load(file)
        assert caught.value.file == str(file)
        assert caught.value.line >= 1 and caught.value.column >= 1


def test_a_typo_in_a_rule_is_reported_at_its_place(tmp_path):
    (tmp_path / "rules.yml").write_text(RULES.replace("client.name|startswith: probe", "client.name|startwith: probe"))
    with pytest.raises(ac.PolicyError) as caught:
        ac.Policy.from_text(POLICY, base=tmp_path)
    assert caught.value.file == str(tmp_path / "rules.yml")
    assert caught.value.line == 1 + RULES[: RULES.index("client.name|startswith: probe")].count("\n")
    assert "startwith" in str(caught.value)


def test_a_reload_of_a_broken_policy_keeps_the_old_one(engine):
    before = engine.policy
    with pytest.raises(ac.PolicyError):
        engine.reload(ac.Policy.from_text("version: 1\nmode: sometimes"))
    assert engine.policy is before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"policy": "default"}, TypeError),
        ({"policy": None}, TypeError),
        ({"clock": 5}, TypeError),
        ({"capacity": 0}, ValueError),
        ({"capacity": -5}, ValueError),
        ({"capacity": 2**31}, ValueError),
        ({"capacity": 1.5}, TypeError),
        ({"capacity": True}, TypeError),
        ({"capacity": "1000"}, TypeError),
        ({"capacity": np.bool_(True)}, TypeError),
        ({"capacity": np.float64(10)}, TypeError),
        ({"state": "a\0x"}, ValueError),
        ({"log": "a\0x"}, ValueError),
        ({"log": "/dev/null/x"}, (OSError, ValueError)),
    ],
)
def test_engines_that_cannot_be(policy, arguments, error):
    with pytest.raises(error):
        ac.Engine(**({"policy": policy} | arguments))


def test_a_capacity_may_be_a_numpy_integer(policy):
    with ac.Engine(policy, capacity=np.int32(1000)) as engine:
        assert engine.stats()["track_capacity"] >= 1000


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda route: route.decide("p", None, 10**400), ValueError, "now is too large: 1000"),
        (lambda route: route.decide("p", cost=10**400), ValueError, "cost is too large: 1000"),
        (lambda route: route.record(route.decide("p"), status=2**31), ValueError, "status must .* not 2147483648"),
        (lambda route: route.record(route.decide("p"), status=-(10**30)), ValueError, "status must .* not -1000"),
        (lambda route: ac.Policy.from_text(None), TypeError, "must be str or bytes, not NoneType"),
        (lambda route: ac.Policy.load("/nowhere/at/all", mode="x"), OSError, "nowhere"),
        (lambda route: ac.Policy.default("x"), ValueError, "mode must be enforce, shadow, off, not 'x'"),
    ],
)
def test_values_that_are_none_are_named(route, call, error, message):
    with pytest.raises(error, match=message):
        call(route)


def test_a_policy_file_is_loaded_in_a_mode_that_exists(tmp_path):
    file = tmp_path / "policy.yml"
    file.write_text("version: 1")
    assert ac.Policy.load(file, mode="enforce").mode == "enforce"
    with pytest.raises(ValueError, match="mode must be enforce, shadow, off, not 'x'"):
        ac.Policy.load(file, mode="x")


SUBINTERPRETER = """
import sys
{before}
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
number = interpreters.create()
interpreters.run_string(number, {code!r})
interpreters.destroy(number)
{after}
"""
IMPORT = f"""
from importlib import util
spec = util.spec_from_file_location("atlascore._core", {ac._core.__file__!r})
try:
    util.module_from_spec(spec)
except ImportError as error:
    print(error, flush=True)
"""


@pytest.mark.parametrize(
    ("before", "after"), [("", "import atlascore"), ("import atlascore", "atlascore.Policy.default()")]
)
def test_a_subinterpreter_is_refused_at_once(before, after):
    """The core alone: NumPy, which the package imports as well, has an opinion of its own."""
    code = SUBINTERPRETER.format(before=before, code=IMPORT, after=after)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "atlascore cannot be imported in a subinterpreter" in done.stdout


def test_the_smallest_engine(policy):
    with ac.Engine(policy, capacity=1) as engine:
        route = engine.route("m", endpoint="/v1/models")
        for i in range(500):
            route.decide(f"p{i % 50}", np.full(4, i, np.float32), NOW + i / 100)
        assert extract(route, "one", start=NOW + 100)[-1].action is ac.Action.CONSTRAIN


def test_every_signal_says_where_it_comes_from():
    from atlascore import _core

    sources = {signal["name"]: signal["source"] for signal in _core.signal_catalogue()}
    assert set(sources.values()) == {
        "count",
        "history",
        "shapes",
        "evidence",
        "parameters",
        "prompts",
        "blocks",
        "baseline",
        "cost",
        "twins",
        "budget",
        "principal",
        "inputs",
        "answers",
        "neighbours",
    }
    assert sources["api.extraction_budget_used"] == "budget"
    assert sources["api.known_probes"] == "prompts"
