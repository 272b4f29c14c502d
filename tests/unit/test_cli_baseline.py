"""`atlascore scan --baseline`: what is usual, and thresholds that spare who is honest."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from atlascore.cli import main
from atlascore.cli.baseline import upper_bound

START = 1_750_000_000.0
RULE = """
title: {title}
id: {id}
status: experimental
logsource: {{category: api_activity}}
timeframe: {timeframe}
detection:
{detection}
level: medium
tags: [atlas.aml.t0034.000]
"""
COUNT, EITHER = "7f0a3c4e-53d1-4f5e-8d0e-0c1b5a6f7e01", "7f0a3c4e-53d1-4f5e-8d0e-0c1b5a6f7e02"
POLICY = """
version: 1
mode: enforce
rules: {paths: [rules]}
responses:
  - {name: act, match: {level: medium}, action: BLOCK}
"""


def count_rule(threshold: float) -> str:
    detection = f"    found: {{api.request_count|gte: {threshold}, plan: free}}\n    condition: found"
    return RULE.format(title="Many", id=COUNT, timeframe="5m", detection=detection)


EITHER_RULE = RULE.format(
    title="Many or Fast",
    id=EITHER,
    timeframe="1h",
    detection="    many: {api.request_count|gt: 20}\n    fast: {api.request_rate|gt: 2.5}\n    condition: many or fast",
)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "count.yml").write_text(count_rule(10))
    (tmp_path / "rules" / "either.yml").write_text(EITHER_RULE)
    (tmp_path / "policy.yml").write_text(POLICY)
    return tmp_path / "policy.yml"


def write_log(file: Path, queries: list[int], gap: float = 1.0) -> Path:
    """So many queries of each principal."""
    events = [
        {"time": START + 1000 * i + gap * k, "principal": f"p{i}", "model": "m", "plan": "free"}
        for i, n in enumerate(queries)
        for k in range(n)
    ]
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    return file


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["scan", *map(str, arguments)])
    return done.exit_code, done.output


def baseline(tmp_path: Path, log: Path, policy: Path, *more: object) -> tuple[dict, str]:
    status, output = run(log, "--policy", policy, "--baseline", tmp_path / "out.json", *more)
    assert status == 0, output
    return json.loads((tmp_path / "out.json").read_text()), output


def rule_of(report: dict, id: str) -> dict:
    return next(rule for rule in report["models"]["m"]["rules"] if rule["id"] == id)


def test_percentiles_are_of_what_each_principal_reached(tmp_path, policy):
    queries = [1 + i % 40 for i in range(400)]
    report, _ = baseline(tmp_path, write_log(tmp_path / "log.jsonl", queries), policy)
    model = report["models"]["m"]
    assert (model["principals"], model["queries"]) == (400, sum(queries))
    counts = model["signals"]["api.request_count"]
    assert counts["principals"] == 400
    for q in (50, 90, 95, 99):
        assert counts[f"p{q}"] == pytest.approx(np.percentile(queries, q))
    assert counts["max"] == 40
    # The rule over an hour reads another window, which goes by a name of its own.
    assert model["signals"]["api.request_count@3600"]["max"] == 40
    rule = rule_of(report, COUNT)
    assert rule["matched"] == sum(n >= 10 for n in queries), "nobody was blocked by the policy's enforce mode"
    assert not rule["within_rate"]


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_a_proposed_threshold_keeps_its_promise_and_a_lower_one_does_not(tmp_path, policy, rate):
    queries = [int(n) for n in np.random.default_rng(1).pareto(1.0, 500) * 3 + 1]
    log = write_log(tmp_path / "log.jsonl", [min(n, 120) for n in queries])
    report, output = baseline(tmp_path, log, policy, "--false-alarms", rate)
    [[change]] = rule_of(report, COUNT)["branches"]
    assert change["now"] == 10
    assert f"{change['proposed']:g}, not 10" in output
    for threshold, kept in ((change["proposed"], True), (change["proposed"] * 0.5, False)):
        (tmp_path / "rules" / "count.yml").write_text(count_rule(threshold))
        again, _ = baseline(tmp_path, log, policy, "--false-alarms", rate)
        rule = rule_of(again, COUNT)
        assert rule["within_rate"] is kept
        assert rule["upper_bound"] == upper_bound(rule["matched"], 500)
        if kept:
            assert rule["branches"][0][0]["proposed"] == threshold


def test_each_branch_of_a_rule_is_brought_down_by_itself(tmp_path, policy):
    log = write_log(tmp_path / "log.jsonl", [n % 60 for n in range(400)], gap=0.2)
    report, output = baseline(tmp_path, log, policy)
    [[many], [fast]] = rule_of(report, EITHER)["branches"]
    assert (many["signal"], fast["signal"]) == ("api.request_count", "api.request_rate")
    assert f"and also api.request_rate|gt: {fast['proposed']:g}, not 2.5" in " ".join(output.split())
    stricter = EITHER_RULE.replace("gt: 20", f"gt: {many['proposed']}").replace("gt: 2.5", f"gt: {fast['proposed']}")
    (tmp_path / "rules" / "either.yml").write_text(stricter)
    again, _ = baseline(tmp_path, log, policy)
    assert rule_of(again, EITHER)["within_rate"]
    assert not rule_of(report, EITHER)["within_rate"]


def test_what_must_not_hold_counts_as_well(tmp_path, policy):
    fast_but_few = EITHER_RULE.replace("many or fast", "fast and not many").replace("gt: 20", "gt: 60")
    (tmp_path / "rules" / "either.yml").write_text(fast_but_few)
    log = write_log(tmp_path / "log.jsonl", [100] * 300 + [50] * 100, gap=0.2)
    report, _ = baseline(tmp_path, log, policy)
    rule = rule_of(report, EITHER)
    assert rule["matched"] == 400
    assert [change["signal"] for change in rule["branches"][0]] == ["api.request_rate"]
    assert rule["branches"][0][0]["proposed"] == pytest.approx(5.1, abs=0.2), "5 a second up to the 60th"


def test_a_ratio_above_one_is_never_proposed(tmp_path, policy):
    fast = "    found: {api.input_similarity_score|gt: 0.9}\n    condition: found"
    (tmp_path / "rules" / "count.yml").write_text(RULE.format(title="Near", id=COUNT, timeframe="5m", detection=fast))
    log = tmp_path / "log.jsonl"
    with log.open("w") as file:
        for i in range(320):
            for k in range(12 if i >= 300 else 1):  # strangers first, then those who repeat themselves
                x = [math.sin(7.0 * i + j) + 1e-6 * k for j in range(12)]
                event = {"time": START + 100 * i + k, "principal": f"p{i}", "model": "m", "vector": x}
                file.write(json.dumps(event) + "\n")
    report, _ = baseline(tmp_path, log, policy)
    rule = rule_of(report, COUNT)
    assert rule["matched"] == 20
    assert rule["branches"][0][0]["proposed"] is None


def test_too_few_principals_are_said_to_be_too_few(tmp_path, policy):
    report, output = baseline(tmp_path, write_log(tmp_path / "log.jsonl", [12] * 298), policy)
    assert "299 principals are needed" in output
    assert rule_of(report, COUNT)["branches"][0][0]["proposed"] is None


def test_what_has_no_principal_is_counted_apart(tmp_path, policy):
    log = write_log(tmp_path / "log.jsonl", [2])
    with log.open("a") as file:
        file.write(json.dumps({"time": START + 10, "model": "m"}) + "\n")
    report, _ = baseline(tmp_path, log, policy)
    assert report["events_without_principal"] == 1
    assert report["models"]["m"]["principals"] == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--false-alarms", "0.1"), "--false-alarms is for --baseline"),
        (("--baseline", "x.json", "--json"), "--json, --format and --all have no meaning"),
        (("--baseline", "x.json", "--false-alarms", "1"), "not in the range"),
        (("--baseline", "nowhere/x.json"), "No such file or directory"),
    ],
)
def test_wrong_usage_is_exit_status_2(tmp_path, policy, monkeypatch, arguments, why):
    monkeypatch.chdir(tmp_path)
    status, output = run(write_log(tmp_path / "log.jsonl", [1]), "--policy", policy, *arguments)
    assert status == 2
    assert why in output


def test_the_bound_is_that_of_clopper_and_pearson():
    assert upper_bound(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert upper_bound(7, 7) == 1
    for hits, trials in ((1, 20), (5, 100), (40, 3000)):
        p = upper_bound(hits, trials)
        tail = sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits + 1))
        assert tail == pytest.approx(0.05, rel=1e-6)
