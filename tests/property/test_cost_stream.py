"""Costs through the engine and through the twins: what the model's requests cost, and what its callers' do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.baseline_reference import Tallied
from tests.reference.cost_reference import ENOUGH, CostReference
from tests.reference.evidence_reference import reported
from tests.reference.track_reference import LargestCosts, size_bin

import atlascore as ac
from atlascore._core import evidence_components

START = 1_900_000_000.0
WINDOW = 10.0
# Reads both signals and acts on neither.
POLICY = """
version: 1
mode: enforce
rules: {paths: [%s]}
state: {seed: 5}
"""
RULES = """
title: costs
id: 0b6f4a52-7f0e-4d1c-8b3a-52d1f0c8a013
logsource: {category: api_activity}
timeframe: 10s
group-by: [api.principal, api.model]
detection:
    s: {api.cost_amplification|gt: 1.0e+30, evidence.cost|gt: 100, api.request_count|gt: 1000000000}
    condition: s
level: low
"""
CALLERS = [f"caller-{i}" for i in range(12)]
ASKING = CALLERS[:4]  # once the model is known
COST = [component["name"] for component in evidence_components()].index("cost")


class Account:
    """The twin of one caller."""

    def __init__(self) -> None:
        self.costs, self.evidence = LargestCosts(), Tallied()
        self.newest = 0.0

    def told(self, amplification: float, rare: bool, time: float, now: float) -> None:
        newest = max(self.newest, now)
        self.evidence.observe("cost", rare, newest)
        self.costs.add(amplification, math.floor(time), math.floor(newest), WINDOW)

    def read(self, now: float) -> dict[str, float]:
        newest = max(self.newest, now)
        return {
            "api.cost_amplification": self.costs.fifth(math.floor(newest), WINDOW),
            "evidence.cost": reported(self.evidence.family("cost", newest)),
        }


class Model:
    """Sends the same to both."""

    def __init__(self, directory: Any, seed: int, spread: float, unit: float, sizes: list[int]) -> None:
        rules = directory / "rules.yml"
        rules.write_text(RULES)
        self.random = np.random.default_rng(seed)
        self.engine = ac.Engine(ac.Policy.from_text(POLICY % rules), capacity=100, clock=lambda: self.now)
        self.engine._core.take_census()
        self.route = self.engine.route("m")
        self.reference = CostReference()
        self.accounts = {name: Account() for name in CALLERS}
        self.now = START
        self.spread, self.unit, self.sizes = spread, unit, sizes
        self.waiting: list[tuple[ac.Decision, str, float, int, float]] = []

    def cost(self, size: int) -> float:
        return float(self.unit * (1 + size) * self.random.lognormal(0, self.spread))

    def ask(self, name: str, lateness: float = 0.0, declared: float = 0.0) -> None:
        """lateness: how much earlier than the newest request it happened."""
        size = int(self.random.choice(self.sizes))
        kind = self.random.choice(["text", "vector"]) if size else "none"
        given: Any = {"text": "x" * size, "vector": np.zeros(size, np.float32), "none": None}[kind]
        time = self.now - lateness
        decision = self.route.decide(name, given, time, cost=declared)
        self.accounts[name].newest = max(self.accounts[name].newest, time)
        self.waiting.append((decision, name, time, size, declared))

    def tell(self, at: int, cost: float | None, dearer: float = 1.0, again: bool = False) -> None:
        decision, name, time, size, declared = self.waiting[at] if again else self.waiting.pop(at)
        given = None if cost is None else cost * dearer
        self.route.record(decision, cost=given, now=self.now)
        value = declared if given is None else given
        if value == 0:
            return
        of_size, account = size_bin(size), self.accounts[name]
        teaches = account.read(self.now)["evidence.cost"] < 1
        if self.reference.samples >= ENOUGH:
            usual = self.reference.median(of_size)
            account.told(value / usual, value > self.reference.rare(), time, self.now)
        if teaches:
            self.reference.update(of_size, value, name, max(account.newest, self.now))

    def compare(self) -> dict[str, float]:
        seen: dict[str, float] = {}
        for name in ASKING:
            account = self.accounts[name]
            ours, expected = self.engine.signals(name, "m"), account.read(self.now)
            for signal, value in expected.items():
                found = ours.get(signal, math.nan)
                assert found == pytest.approx(value, rel=1e-3, abs=1e-3, nan_ok=True), (name, signal, self.now - START)
                if not math.isnan(value):
                    seen[signal] = max(seen.get(signal, 0.0), value)
            census = self.engine._core.census(name, "m")
            assert census[COST] == account.evidence.counts("cost")
        return seen


def learn(model: Model) -> None:
    """The 1,000 samples before which nothing is known."""
    while model.reference.samples < ENOUGH:
        model.now += float(model.random.exponential(200))
        model.ask(str(model.random.choice(CALLERS)))
        model.tell(0, model.cost(model.waiting[0][3]))


def stream(model: Model, requests: int) -> dict[str, float]:
    """Late requests, answers in any order, twice, never, without a cost, of nothing; from callers of all kinds."""
    random, highest = model.random, {}
    dear = {name: float(random.choice([1, 1, 3, 15, 60])) for name in ASKING}
    for _ in range(requests):
        model.now += float(random.choice([0.05, 0.3, 1.5]))
        name = str(random.choice(ASKING))
        model.ask(name, float(random.choice([0, 0, 0.3])), float(random.choice([0, 0, 0.5 * model.unit])))
        while len(model.waiting) > int(random.integers(30)):
            at = int(random.integers(len(model.waiting)))
            _, who, _, size, _ = model.waiting[at]
            model.tell(
                at,
                *[(model.cost(size), dear[who]), (None, 1.0), (0.0, 1.0)][int(random.choice(3, p=[0.9, 0.07, 0.03]))],
            )
        for name, value in model.compare().items():
            highest[name] = max(highest.get(name, 0.0), value)
    return highest


# Always the same examples: a cost may lie within a rounding of the 99.9th percentile, once in many million.
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.1, 0.6, 2.0]),
    unit=st.sampled_from([1.0, 3e-5, 1e7]),
    sizes=st.lists(st.sampled_from([0, 1, 3, 40, 300, 3_000, 40_000]), min_size=1, max_size=4, unique=True),
)
def test_engine_and_twin_agree(
    tmp_path_factory: pytest.TempPathFactory, seed: int, spread: float, unit: float, sizes: list[int]
) -> None:
    model = Model(tmp_path_factory.mktemp("costs"), seed, spread, unit, sizes)
    learn(model)
    stream(model, 150)


def test_the_streams_show_what_they_are_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Else the agreement above would be one about nothing."""
    highest: dict[str, float] = {}
    for seed in range(6):
        model = Model(tmp_path_factory.mktemp("costs"), seed, 0.3, 1.0, [0, 40, 3_000])
        learn(model)
        for name, value in stream(model, 150).items():
            highest[name] = max(highest.get(name, 0.0), value)
    assert highest["evidence.cost"] > 9
    assert highest["api.cost_amplification"] > 10


def test_an_answer_that_comes_twice_counts_once(tmp_path: Any) -> None:
    model = Model(tmp_path, 1, 0.3, 1.0, [40])
    learn(model)
    for _ in range(20):
        model.now += 0.1
        model.ask("caller-1")
        decision = model.waiting[0][0]
        model.tell(0, model.cost(40), 30)
        model.route.record(decision, cost=1e6, now=model.now)
        model.compare()
    assert model.compare()["evidence.cost"] > 9
