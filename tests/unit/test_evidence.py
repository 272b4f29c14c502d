"""Evidence through the public interface: what it survives, what it needs, and what gives none."""

from __future__ import annotations

import numpy as np
import pytest

import atlascore as ac

NOW = 1_900_000_000.0
WIDTH = 12
POLICY = """
version: 1
mode: shadow
models: {m: {input: {modality: vector, range: [0, 1]}}}
rules: {paths: [builtin]}
state: {seed: 5, hot: 8}
"""


class Clock:
    now = NOW

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def engine(clock):
    with ac.Engine(ac.Policy.from_text(POLICY), capacity=2_000, clock=clock) as engine:
        yield engine


def label(x):
    return int(x[0] > 0.5)


def bisect(route, principal, rounds=10, record=True, batch=False):
    """A search along one line between two labels."""
    random = np.random.default_rng(3)
    low, high = random.random((2, WIDTH))
    low[0], high[0] = 0.1, 0.8
    decisions = []
    for x in (low, high):
        decisions.append((route.decide(principal, x.astype(np.float32)), label(x)))
    for _ in range(rounds):
        if record:
            for decision, answer in decisions:
                route.record(decision, answer)
        decisions = []
        middle = (low + high) / 2
        given = middle.astype(np.float32)
        decisions.append((route.decide(principal, given[None] if batch else given), label(middle)))
        low, high = (middle, high) if label(middle) == label(low) else (low, middle)


def total(engine, principal):
    return engine.signals(principal, "m")["evidence.total"]


def test_a_search_along_a_line_is_evidence(engine):
    bisect(engine.route("m"), "thief")
    signals = engine.signals("thief", "m")
    assert signals["evidence.line_search"] > 9 and signals["evidence.total"] > 7
    assert signals["api.halving_hits"] >= 5 and signals["api.collinear_flips"] >= 5
    assert engine.stats()["tracks_standing"] == 1  # in alarm: kept as if a decision stood against it


def test_a_batch_of_one_is_evidence_too(engine):
    route = engine.route("m")
    bisect(route, "thief", batch=True)
    assert total(engine, "thief") > 5


def test_without_answers_only_steps_tell(engine):
    """Halving the step each time is seen all the same; what lies between labels is not."""
    bisect(engine.route("m"), "thief", record=False)
    signals = engine.signals("thief", "m")
    assert signals["api.collinear_flips"] == 0 and signals["evidence.boundary"] == 0
    assert signals["api.halving_hits"] >= 5


def test_evidence_outlives_the_history(engine, clock):
    """The slab goes to others, the evidence stays with the track and goes on where it was."""
    route = engine.route("m")
    bisect(route, "thief")
    before = total(engine, "thief")
    for i in range(20):  # of eight slabs; what only looks busy would not get that of a suspect
        bisect(route, f"other-{i}")
    assert "api.halving_hits" not in engine.signals("thief", "m")
    assert before - 0.1 < total(engine, "thief") <= before
    decision = route.decide("thief", np.full(WIDTH, 0.3, np.float32))
    assert "7b8a8f32-eccd-5775-9953-6944f193e002" in decision.rules
    assert decision.signals["evidence.total"] > 7


def test_evidence_halves_in_a_day(engine, clock):
    bisect(engine.route("m"), "thief")
    before = total(engine, "thief")
    clock.now += 10 * 86_400
    assert total(engine, "thief") == pytest.approx(before - 10 * np.log10(2), abs=0.02)


def test_texts_and_categories_give_none():
    policy = """
version: 1
mode: shadow
models:
  table: {input: {modality: row, features: {a: {range: [0, 1]}, b: {range: [0, 1]}, c: {categories: 3}}}}
rules: {paths: [builtin]}
"""
    now = NOW
    with ac.Engine(ac.Policy.from_text(policy), capacity=100) as engine:
        for i in range(60):
            now += 1
            text = engine.decide(
                principal="p", model="chat", text=f"translate the word {'abcdefgh'[i % 8] * 3} for me please", now=now
            )
            engine.record(text, i % 2, now=now)
            row = engine.decide(principal="p", model="table", row=[0.5 + i * 1e-4, 0.5 - i * 1e-5, "x"], now=now)
            engine.record(row, i % 2, now=now)
        for model in ("chat", "table"):
            signals = engine._core.signals("p", model, now)
            assert signals["evidence.boundary"] == signals["evidence.line_search"] == 0, model


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_failed_answer_is_none(engine, status):
    route = engine.route("m")
    x = np.full(WIDTH, 0.5, np.float32)
    for i in range(20):
        route.record(route.decide("p", x + np.float32(0.001 * i)), i % 2, status=status)
    assert engine.signals("p", "m")["evidence.boundary"] == 0


def test_answers_that_come_late_or_twice_are_dropped(engine):
    route = engine.route("m")
    x = np.full(WIDTH, 0.5, np.float32)
    first = route.decide("p", x)
    route.record(first, 0)
    before = engine.stats()["records_dropped"]
    route.record(first, 1)  # the second answer to one query
    late = route.decide("p", x + np.float32(0.01))
    for i in range(70):
        route.record(route.decide("p", x * np.float32(0.9) + np.float32(0.001 * i)), 0)
    route.record(late, 1)  # 70 queries later
    assert engine.stats()["records_dropped"] == before + 2
