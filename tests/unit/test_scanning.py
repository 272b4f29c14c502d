"""Replaying logs: what comes out of a file is what the same calls give inline."""

import json

import pytest

import atlascore as ac
from atlascore.scanning import Scan, offline_engine

POLICY = """\
version: 1
mode: enforce
models:
  table: {kind: classifier, input: {modality: row, features: {amount: {mean: 10, std: 2}, country: {categories: 9}}}}
rules: {paths: [many.yml, answer.yml]}
responses:
  - {name: many, match: {level: high}, action: BLOCK}
  - {name: rest, match: {level: [low, medium]}, action: LOG}
state: {seed: 3}
"""
MANY = """\
title: Similar rows
id: 5f0a7d5e-5b0a-4a7e-9c57-0d1d4c2a7b10
logsource: {category: api_activity}
detection:
  sel: {api.request_count|gt: 20, api.input_similarity_score|gt: 0.9}
  condition: sel
level: high
tags: [atlas.aml.t0024.002]
"""
ANSWER = """\
title: Failing answers
id: 0d0ce4f2-47ab-4f39-93d5-0c0de8d7a6e4
logsource: {category: api_activity}
detection:
  sel: {http.response.status_code|gte: 500, team: red}
  condition: sel
level: low
"""


@pytest.fixture
def policy(tmp_path):
    (tmp_path / "many.yml").write_text(MANY)
    (tmp_path / "answer.yml").write_text(ANSWER)
    (tmp_path / "policy.yml").write_text(POLICY)
    return ac.Policy.load(tmp_path / "policy.yml")


def write(path, events):
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def test_rows_with_categories_are_the_same_offline_and_inline(policy, tmp_path):
    events = [
        {
            "time": 1000 + i,
            "principal": "p",
            "model": "table",
            "method": "predict",
            "endpoint": "/t",
            "row": {"country": ["at", 5, True, None][i % 4], "amount": 10 + i * 0.001},
        }
        for i in range(40)
    ]
    scanned = [decision for _, decision in ac.scan(write(tmp_path / "rows.jsonl", events), policy)]
    engine = offline_engine(policy)
    inline = [
        engine.decide(principal="p", model="table", endpoint="/t", row=event["row"], now=event["time"])
        for event in events
    ]
    assert [d.signals for d in scanned] == [d.signals for d in inline]
    assert [d.action for d in scanned] == [d.action for d in inline]
    assert scanned[-1].action == ac.Action.BLOCK


@pytest.mark.parametrize("as_texts", [False, True])
def test_parameters_of_language_models_are_read_from_logs(tmp_path, as_texts):
    """The shipped rules see who reads logits off, and values of other types are no reason to skip a line."""
    shared = {"principal": "thief", "model": "llm", "method": "chat", "text": "The"}
    events = [
        {
            **shared,
            "time": 1000 + i,
            "logprobs": True if i % 2 else 5,
            "top_logprobs": 5,
            "logit_bias_ids": [0, str(i)] if as_texts else [0, i],
        }
        for i in range(60)
    ]
    odd = [{"logprobs": {"content": []}}, {"logprobs": "no", "top_logprobs": None}, {"logit_bias_ids": {"5": 100}}]
    events += [{**shared, **fields, "principal": "odd", "time": 2000} for fields in odd]
    policy = ac.Policy.default(mode="enforce")
    scanned = [decision for _, decision in ac.scan(write(tmp_path / "calls.jsonl", events), policy)]
    assert len(scanned) == 63
    # Of 1,024 pairs of token sets one looks equal, and the call is not counted.
    for calls, decision in enumerate(scanned[:55], 1):
        assert calls - 3 <= decision.signals["api.logprob_harvest"] <= calls
    assert scanned[16].action == ac.Action.ALLOW
    assert scanned[48].action == ac.Action.LOG
    assert scanned[52].action == ac.Action.CONSTRAIN
    assert scanned[52].constraints.drop_logprobs
    assert all("api.logprob_harvest" not in d.signals for d in scanned[60:])


def test_files_merge_in_the_order_of_time(policy, tmp_path):
    one = write(tmp_path / "one.jsonl", [{"time": t, "principal": "a", "model": "m"} for t in (1, 4, 5)])
    two = write(tmp_path / "two.jsonl", [{"time": t, "principal": "b", "model": "m"} for t in (2, 3, 9)])
    seen = [(event.time, event.principal, event.line) for event, _ in ac.scan([one, two], policy)]
    assert seen == [(1, "a", 1), (2, "b", 1), (3, "b", 2), (4, "a", 2), (5, "a", 3), (9, "b", 3)]


def test_bad_lines_are_named_counted_and_skipped(policy, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text(
        '{"time": 1, "model": "m", "principal": "p"}\n'
        "{not json\n"
        '{"model": "m"}\n'
        '{"time": 2, "model": "m", "vector": []}\n'
        '{"time": 3, "model": "m", "text": "x", "vector": [1]}\n'
        '{"time": 4, "model": "table", "row": {}}\n'
        '{"time": -5, "model": "m"}\n'
        '{"time": 6, "model": "m", "principal": null}\n'
        '{"time": 7, "model": "m", "response": {"status": 2147483648}}\n'
        '{"time": 8, "mod'
    )
    bad = []
    scan = Scan([path], offline_engine(policy), on_bad_line=lambda *where: bad.append(where))
    events = [event for event, _ in scan]
    assert [event.line for event in events] == [1, 8]
    assert events[1].principal is None
    assert sorted(line for _, line, _ in bad) == [2, 3, 4, 5, 6, 7, 9, 10]
    assert all(reason for _, _, reason in bad)
    assert scan.counts["bad"] == 8
    assert scan.counts["events"] == 2


def test_a_response_rule_gives_a_decision_on_the_answer(policy, tmp_path):
    event = {"time": 1, "principal": "p", "model": "m", "team": "red", "response": {"status": 503}}
    found = list(Scan([write(tmp_path / "a.jsonl", [event])], offline_engine(policy), findings_only=True))
    assert len(found) == 1
    assert found[0][0].answer.rules == ("0d0ce4f2-47ab-4f39-93d5-0c0de8d7a6e4",)
    assert found[0][0].answer.action == ac.Action.LOG
    engine = offline_engine(policy)
    route = engine.route(model="m")
    decision = route.decide("p", None, 1, fields={"team": "red"})
    assert route.record(decision, status=200, now=1) is None
    assert route.record(decision, status=503, now=1).action == ac.Action.LOG


def test_findings_skip_the_rest(policy, tmp_path):
    events = [{"time": i, "principal": f"p{i % 5}", "model": "m"} for i in range(200_000)]
    scan = Scan([write(tmp_path / "quiet.jsonl", events)], offline_engine(policy), findings_only=True)
    assert list(scan) == []
    assert scan.counts["events"] == 200_000


def test_a_missing_file_is_an_error(policy, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        list(ac.scan(tmp_path / "nowhere.jsonl", policy))


SURROGATES = """\
title: Surrogates
id: 5f0a7d5e-5b0a-4a7e-9c57-0d1d4c2a7b11
logsource: {category: api_activity}
detection:
  sel: {client.name|re: "^x.y$"}
  many: {api.input_similarity_score|gte: 0}
  condition: sel or many
level: low
"""


def test_lone_surrogates_are_the_same_offline_and_inline(tmp_path):
    (tmp_path / "rule.yml").write_text(SURROGATES)
    text = "version: 1\nrules: {paths: [rule.yml]}\nstate: {seed: 3}\n"
    policy = ac.Policy.from_text(text, base=tmp_path)
    names = ["x\ud800y", "x\udfff\ud800y", "x\ud83d\ude00y", "xy", "x\ufffdy", "xx\udc80y"]
    events = [
        {
            "time": 1000 + i,
            "principal": "p\udfff",
            "model": "m\ud800",
            "session": "\udc00",
            "text": f"{'a few words of a prompt ' * 3}{name} {i % 3}",
            "fields": {"client.name": name},
        }
        for i, name in enumerate(names * 4)
    ]
    offline = [decision for _, decision in ac.scan(write(tmp_path / "s.jsonl", events), policy)]
    with ac.Engine(policy, capacity=100) as engine:
        inline = [
            engine.decide(**{k: v for k, v in event.items() if k != "time"}, now=event["time"]) for event in events
        ]
        assert engine.signals("p\ufffd", "m\ufffd") == engine.signals("p\udfff", "m\ud800") != {}
        assert engine.commitment("\ud800\ud800") == engine.commitment("\ufffd\ufffd")
        assert engine.commitment("\ud83d\ude00") == engine.commitment("\U0001f600")
    assert [(d.rules, d.signals) for d in inline] == [(d.rules, d.signals) for d in offline]
    assert {bool(d.rules) for d in inline[:6]} == {True, False}


REPEATED = [
    ('"principal":"a"', '"principal":"b"', "principal", "b"),
    ('"principal":"a"', '"princip\\u0061l":"b"', "principal", "b"),
    ('"principal":"a"', '"principal":null', "principal", ""),
    ('"api":{"principal":"a"}', '"api":{"model":"m"}', "principal", ""),
    ('"cost":1', '"cost":null', "cost", 0.0),
    ('"text":["a","b"]', '"text":"c"', "text", "c"),
    ('"vector":[1,2]', '"vector":null', "vector", None),
    ('"row":{"a":1,"b":2,"a":"x"}', '"method":"m"', "row", [(0, "b", 2), (0, "a", "x")]),
    ('"row":[{"a":1},{"a":1,"a":2}]', '"method":"m"', "row", [(0, "a", 1), (1, "a", 2)]),
    ('"response":{"label":1}', '"response":{"cost":2}', "response", {"label": ..., "cost": 2.0}),
    ('"response":{"label":1,"label":2}', '"method":"m"', "response", {"label": 2}),
    ('"response":{"label":1}', '"response":null', "response", None),
    ('"a":{"b":1}', '"a":5', "fields", [5, ...]),
    ('"a":5', '"a":{"b":1}', "fields", [..., 1]),
    ('"a":{"b":1}', '"a":{"c":2}', "fields", [..., ...]),
    ('"a":[{"b":1,"b":2},{"b":3}]', '"method":"m"', "fields", [[], [2, 3]]),
    ('"fields":{"a":1}', '"fields":{"a.b":2}', "fields", [..., 2]),
    ('"time":5', '"x":1', "time", 5.0),
    ('"time":null', '"time":7', "time", 7.0),
    ('"time":"no time"', '"time":7', "time", 7.0),
    ('"time":9', '"time":7', "time", 7.0),
]


@pytest.mark.parametrize(("first", "second", "name", "value"), REPEATED)
def test_the_last_of_repeated_keys_counts(tmp_path, first, second, name, value):
    file = tmp_path / "log.jsonl"
    time = "" if name == "time" else '"time":1,'
    file.write_text(f'{{{time}{first}, "z": [1, {{"y": "}}"}}], {second}}}\n')
    (event,), bad = ac._core.testing_scan.read_json_lines(str(file), ["a", "a.b"])
    assert bad == {}
    got = event[name]
    if isinstance(value, dict):
        got = {key: got[key] for key in value}
    assert got == value


def test_a_line_that_repeats_its_time_comes_in_its_turn(tmp_path):
    file = tmp_path / "log.jsonl"
    file.write_text(
        '{"time":1,"model":"a","time":30}\n{"time":2,"model":"b"}\n{"time":3,"time":null}\n{"time":100,"time":4}\n'
        '{"time":50}\n'
    )
    events, bad = ac._core.testing_scan.read_json_lines(str(file), [])
    assert [(event["line"], event["time"], event["late"]) for event in events] == [
        (2, 2.0, False),
        (1, 30.0, False),
        (5, 50.0, False),
        (4, 4.0, True),
    ]
    assert bad == {3: "time missing"}
