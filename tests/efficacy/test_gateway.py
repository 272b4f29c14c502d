from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import atlascore as ac
from bench.efficacy.gateway import Gateway
from bench.efficacy.policy import make_policy
from bench.efficacy.population import live
from bench.efficacy.results import Collected, choose_thresholds
from bench.efficacy.splits import members
from bench.efficacy.victims import VICTIMS, victim


def test_the_policy_is_the_shipped_one_with_the_models_declared() -> None:
    policy, _ = make_policy(0, "enforce")
    shipped = ac.Policy.default()
    assert [rule.id for rule in policy.rules.rules] == [rule.id for rule in shipped.rules.rules]
    assert policy.mode == "enforce"
    assert not policy.problems


def test_every_victim_is_asked_through_the_gateway(gateway: Gateway) -> None:
    for name in VICTIMS:
        model = victim(name)
        account = gateway.account("somebody", model)
        x = model.domain.natural(3, np.random.default_rng(0))
        if model.endpoint is not None:
            assert account.complete(str(x[0])).tokens > 0
        else:
            scores = model.scores(x)
            assert np.array_equal(account.ask(x[0], scores[0]), scores[0])
        assert account.trace.queries == 1


def test_benign_accounts_live_and_repeat_themselves(tmp_path: Path) -> None:
    everybody = [member for member in members(0, 50) if member.victim == "V3-lr"]
    traces = []
    for run in range(2):
        with Gateway(0, "enforce", tmp_path / str(run)) as gateway:
            residents = live(gateway, everybody, 0)
            traces.append([(r.member.name, r.trace.queries, r.trace.first, r.trace.highest) for r in residents])
    assert traces[0] == traces[1]
    assert all(queries >= 100 for _, queries, *_ in traces[0])


def test_thresholds_come_from_the_threshold_part(tmp_path: Path) -> None:
    everybody = [member for member in members(0, 50) if member.victim == "V3-lr"]
    with Gateway(0, "enforce", tmp_path / "region") as gateway:
        residents = live(gateway, everybody, 0)
    collected = Collected((0,), choosing=[(0, residents, {})])
    chosen = choose_thresholds(collected)["signals at 1 %"]
    assert chosen["api.request_count"] == pytest.approx(max(r.trace.highest["api.request_count"] for r in residents))
