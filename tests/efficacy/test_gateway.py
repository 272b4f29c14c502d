from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import atlascore as ac
from bench.efficacy.gateway import START, Gateway, Refused
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


def test_decisions_are_applied_and_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = ac.Policy.from_text("""
version: 1
mode: enforce
models: {V1-mlp: {input: {modality: vector, range: [0, 1]}}}
limits:
  - {name: some, max: 3, window: 1h, action: CONSTRAIN, constraints: {scores: label_only, rate: 2/s, delay: 1s}}
  - {name: more, max: 6, window: 1h}
""")
    monkeypatch.setattr("bench.efficacy.gateway.make_policy", lambda seed, mode, customer: (strict, False))
    model = victim("V1-mlp")
    x = model.domain.natural(1, np.random.default_rng(0))[0]
    scores = model.scores(x[None])[0]
    with Gateway(0, "enforce", tmp_path / "region") as gateway:
        account = gateway.account("somebody", model, keep=True)
        answers = [account.ask(x, scores) for _ in range(6)]
        with pytest.raises(Refused):
            account.ask(x, scores)
        assert gateway.clock == START + 3  # three delays
    assert np.array_equal(answers[2], scores)
    assert sorted(answers[3]) == [0.0] * 9 + [1.0]
    assert account.rate == 2
    trace = account.trace
    assert trace.blocked
    assert trace.first == {ac.Action.LOG: 4, ac.Action.CONSTRAIN: 4, ac.Action.BLOCK: 7}
    assert len(trace.inputs) == len(trace.times) == 7
    assert len(trace.labels) == 6


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


def test_a_customers_accounts_show_one_key_and_share_a_budget(tmp_path: Path) -> None:
    everybody = [member for member in members(0, 50) if member.victim == "V3-lr"]
    for customer in (1, 5):
        with Gateway(0, "enforce", tmp_path / str(customer), customer=customer) as gateway:
            live(gateway, everybody, 0, customer=customer)
            linked = gateway.stats()["clusters_linked"]
        assert linked == 0 if customer == 1 else linked >= len(everybody) // 5
    one, five = (_budgets(make_policy(0, "enforce", n)[0]) for n in (1, 5))
    assert any(one)
    assert five == [5 * budget for budget in one]


def _budgets(policy: ac.Policy) -> list[float]:
    return [model["extraction_budget"] or 0 for model in policy.resolved()["models"]]
