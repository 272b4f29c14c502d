"""Compiled rules on one event, beside general rule engines and a function generated for the very rules.

AtlasCore has no call that only evaluates rules: what they cost is the difference between deciding with them and
deciding with none that can match, on the same traffic.
"""

from __future__ import annotations

import itertools
import tempfile
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from contest import Contest, Work, difference
from peers import rules as peers
from peers.rules import EVENT, FLOOD, VolumeRule, volume_rules
from rows import Target
from traffic import START

import atlascore as ac

CALLS = 20_000
GENERATED = "Python function generated for the rules"

RULE = """
title: Volume {i}
id: {id}
status: test
description: One of many rules that differ in their thresholds
date: 2026-06-30
logsource: {{category: api_activity, product: machine_learning_platform}}
timeframe: 5m
group-by: [api.principal, api.model]
detection:
    call:
        {method}: predict
        {endpoint}|contains: model
    volume: {{api.request_count|gt: {rule.count}, api.request_rate|gt: {rule.rate},
              api.input_similarity_score|gt: 0.85}}
    high: {{api.request_count|gt: {rule.high_count}, api.request_rate|gt: {rule.high_rate}}}
    condition: call and (volume or high)
falsepositives: [None known]
level: medium
tags: [atlas.aml.t0024.002]
"""
POLICY = """
version: 1
mode: enforce
models: {fraud-v3: {kind: classifier, input: {modality: digest}}}
rules: {paths: ["*.yml"]}
responses: [{name: all, action: LOG}]
"""


def _policy(rules: list[VolumeRule], method: str = "api.method", endpoint: str = "api.endpoint") -> ac.Policy:
    with tempfile.TemporaryDirectory() as directory:
        for i, rule in enumerate(rules):
            text = RULE.format(i=i, id=uuid.UUID(int=i, version=4), rule=rule, method=method, endpoint=endpoint)
            (Path(directory) / f"rule-{i:03d}.yml").write_text(text)
        return ac.Policy.from_text(POLICY, base=directory)


def _decide(policy: ac.Policy) -> Any:
    engine = ac.Engine(policy, capacity=10_000)
    return engine.route(model="fraud-v3", method=EVENT["method"], endpoint=EVENT["endpoint"]).decide


QUIET = 2.5  # seconds between calls: 120 in 5 minutes, below the rate that any rule asks for
BUSY = 0.1  # 3,000 in 5 minutes: every count and half of the rates are above their thresholds


def _stream(policy: ac.Policy, fields: dict[str, Any] | None, gap: float = QUIET) -> Callable[[], None]:
    decide = _decide(policy)
    times = itertools.count(START, gap)
    if fields is None:

        def run() -> None:
            for now in itertools.islice(times, CALLS):
                decide("key-42", None, now)

    else:

        def run() -> None:
            for now in itertools.islice(times, CALLS):
                decide("key-42", None, now, fields=fields)

    return run


def _no_rules() -> ac.Policy:
    """One rule that reads the same signals and cannot match: the base reads what the rules need."""
    return _policy([VolumeRule(0, 0, 0, 0)], method="never.there")


def _ours(number: int, fields: dict[str, Any] | None, names: tuple[str, str], gap: float = QUIET) -> Work:
    rules = _stream(_policy(volume_rules(number), *names), fields, gap)
    none = _stream(_no_rules(), None, gap)
    return Work(lambda: difference(rules, none, CALLS), rounds=3)


def _whole(number: int) -> Work:
    return Work(_stream(_policy(volume_rules(number)), None), CALLS)


def _peer(make: Callable[[list[VolumeRule]], peers.Match], number: int) -> Work:
    match = make(volume_rules(number))
    if match(EVENT) != [] or sorted(match(FLOOD)) != list(range(number)):
        raise AssertionError("does not match the rules that it should")
    event = dict(EVENT)
    start = ac._core.wall_seconds()
    match(event)
    once = max(ac._core.wall_seconds() - start, 1e-7)
    operations = max(min(int(0.02 / once), 20_000), 1)

    def run() -> None:
        for _ in itertools.repeat(None, operations):
            match(event)

    return Work(run, operations)


def _contest(number: int, bound: float) -> Contest:
    contest = Contest(
        f"rules_{number}",
        f"{number} compiled rules on one event, none matches",
        [
            Target("best", bound),
            Target("best", 5, (GENERATED,)),
            Target("best", 60, tuple(peers.GENERAL)),
        ],
        note="AtlasCore's figure is what the rules add to a decision; what a route makes constant is folded at load. "
        "10 ns is the resolution: less reads 10 ns.",
    )
    contest.contender("AtlasCore, method and endpoint of the route", ours=True)(
        partial(_ours, number, None, ("api.method", "api.endpoint"))
    )
    fields = {"http.method": EVENT["method"], "http.path": EVENT["endpoint"]}
    contest.contender("AtlasCore, method and endpoint as event fields", ours=True)(
        partial(_ours, number, fields, ("http.method", "http.path"))
    )
    contest.contender("AtlasCore, a busy caller who passes half of the thresholds", ours=True)(
        partial(_ours, number, None, ("api.method", "api.endpoint"), BUSY)
    )
    contest.contender("AtlasCore, the whole decision", ours=True)(partial(_whole, number))
    contest.contender(GENERATED)(partial(_peer, peers.generated_python, number))
    for name, make in peers.GENERAL.items():
        contest.contender(name)(partial(_peer, make, number))
    return contest


TEN = _contest(10, 0.3e-6)
HUNDRED = _contest(100, 0.5e-6)

test_rules_10 = TEN.test()
test_rules_100 = HUNDRED.test()
