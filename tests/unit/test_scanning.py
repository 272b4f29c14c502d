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
        '{"time": 7, "mod'
    )
    bad = []
    scan = Scan([path], offline_engine(policy), on_bad_line=lambda *where: bad.append(where))
    events = [event for event, _ in scan]
    assert [event.line for event in events] == [1, 8]
    assert events[1].principal is None
    assert sorted(line for _, line, _ in bad) == [2, 3, 4, 5, 6, 7, 9]
    assert all(reason for _, _, reason in bad)
    assert scan.counts["bad"] == 7
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
