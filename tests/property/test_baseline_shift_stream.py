"""Weeks of an account against its own past, by the engine and by the twin, at every query."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.reference.geometry_reference import low_margin, stored
from tests.reference.population_reference import BaselineShift
from tests.reference.similarity_reference import Sketch, Track
from tests.reference.track_reference import ModelNumbers, References, in_steps

import atlascore as ac
from atlascore import _core

START = 1_900_000_800.0  # an hour begins
HOUR = 3600.0
WIDTH = 6
POLICY = """
version: 1
mode: enforce
models:
  vector: {kind: classifier, classes: 3, input: {modality: vector, range: [0, 1]}}
rules: {paths: [builtin]}
responses: [{name: all, match: {}, action: LOG}]
state: {seed: 5}
"""
RULE = "1e643ad7-94df-5037-bee6-645ebf2a1a7e"
NAME = "api.baseline_shift"

Point = npt.NDArray[np.float32]


class Account:
    """One account through both, hour by hour."""

    def __init__(self, seed: int, principal: str = "p", engine: ac.Engine | None = None) -> None:
        self.random = np.random.default_rng(seed)
        self.principal = principal
        self.engine = engine or ac.Engine(ac.Policy.from_text(POLICY), capacity=1000, clock=lambda: self.now)
        self.now = START
        # With a stranger the model does not learn from one account's own pairs, of which the twin knows nothing.
        self.engine.decide(principal="stranger", model="vector", now=START, vector=np.zeros(WIDTH, np.float32))
        self.track = Track()
        self.references = References(ModelNumbers(width=WIDTH))
        self.twin = BaselineShift()
        self.matched: list[int] = []  # hours
        self.values: list[float] = []

    def ask(self, x: Point, scores: list[float] | None, cost: float) -> None:
        decision = self.engine.decide(principal=self.principal, model="vector", now=self.now, vector=x)
        value = decision.signals.get(NAME, math.nan)
        assert value == pytest.approx(self.twin.signal(self.now), abs=2e-3, nan_ok=True), self.hour()
        self.values.append(value)
        if RULE in decision.rules:
            self.matched.append(self.hour())
        self.engine.record(decision, scores=scores, cost=cost, now=self.now)
        self.twin.add(self.now, **self.seen(x, scores, cost))

    def seen(self, x: Point, scores: list[float] | None, cost: float) -> dict[str, float]:
        found = {"cost": cost}
        sketch = Sketch((int(_core.testing_similarity.linear(x, 1)[2]), 0), False, WIDTH)
        sketch.query = np.pad(x, (0, 64 - WIDTH))
        sketch.stored = stored(sketch.query)
        sketch.space = (WIDTH,)
        seen = self.track.observe(sketch, self.references)
        self.track.commit(sketch, seen, self.now)
        if not math.isnan(seen.survival):
            found["similarity"] = in_steps(seen.survival)
        if scores is not None and not seen.duplicate:
            found["low_margin"] = float(bool(low_margin(scores, 0.0)))
        return found

    def hour(self) -> int:
        return math.floor((self.now - START) / HOUR)

    def use(self, hour: int, queries: int, noise: float, sure: float, cost: float, repeats: float = 0.0) -> None:
        """An hour of it. noise: of inputs around one; sure: share of large margins."""
        centre = np.full(WIDTH, 0.5)
        x: Point = self.random.random(WIDTH).astype(np.float32)
        for i in range(queries):
            self.now = START + hour * HOUR + HOUR * i / queries
            if self.random.random() >= repeats:
                x = np.asarray(centre + noise * self.random.normal(size=WIDTH), np.float32)
            best = 0.8 if self.random.random() < sure else 0.45
            scores = None if self.random.random() < 0.1 else [best, 0.9 - best, 0.1]
            self.ask(x, scores, cost * float(self.random.lognormal(0, 0.5)))


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1), sparse=st.booleans(), repeats=st.sampled_from([0.0, 0.3]))
def test_engine_and_twin_agree_on_random_weeks(seed: int, sparse: bool, repeats: float) -> None:
    account = Account(seed)
    random = account.random
    for hour in range(8 * 24 + 12):
        if random.random() < 0.2:
            continue
        queries = int(random.integers(1, 8 if sparse else 12)) if random.random() < 0.97 else 80
        wild = random.random() < 0.05
        account.use(hour, queries, 0.01 if wild else 0.3, 0.2 if wild else 0.9, 30.0 if wild else 1.0, repeats)


def test_engine_and_twin_agree_on_an_attack_and_it_is_found() -> None:
    account = Account(7)
    for hour in range(10 * 24):
        account.use(hour, 9, 0.3, 0.9, 1.0)
    assert not account.matched
    for hour in range(240, 252):
        account.use(hour, 40, 0.002, 0.1, 1.0)
    assert account.matched[0] - 240 <= 4
    for hour in range(252, 275):
        account.use(hour, 9, 0.3, 0.9, 1.0)
    assert account.matched[-1] < 270
    assert account.values[-1] == 0


def spend(account: Account, hour: int, cost: float) -> None:
    """Nine times the same input."""
    for i in range(9):
        account.now = START + hour * HOUR + i
        account.ask(np.full(WIDTH, 0.5, np.float32), None, cost * float(account.random.lognormal(0, 0.3)))


def test_costs_alone_are_compared_as_well_and_a_new_account_has_no_past() -> None:
    account = Account(3)
    newcomer = Account(4, "new", account.engine)
    for hour in range(9 * 24):
        spend(account, hour, 20)
    for hour in range(9 * 24, 9 * 24 + 6):
        spend(account, hour, 150)
        spend(newcomer, hour, 150)
    assert account.matched[0] == 9 * 24 + 3
    assert not newcomer.matched
    assert all(map(math.isnan, newcomer.values))


def test_an_account_that_comes_back_has_its_past_although_its_slab_went_to_others() -> None:
    account = Account(5)
    for hour in range(8 * 24):
        spend(account, hour, 20)
    recycled = account.engine.stats()["hot_recycled"]
    for i in range(2_000):
        x = account.random.random(WIDTH).astype(np.float32)
        account.engine.decide(principal=f"other-{i % 400}", model="vector", now=account.now + 1 + i, vector=x)
    assert account.engine.stats()["hot_recycled"] > recycled + 300
    back = 8 * 24 + 5 * 24
    account.track = Track()
    spend(account, back, 20)
    assert account.values[-9:] == [0] * 9
    for hour in range(back + 1, back + 6):
        spend(account, hour, 150)
    assert account.matched
