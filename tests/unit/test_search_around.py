"""Steps in ever new directions from one input: who takes them is searching, with or without anything in between."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

import atlascore as ac

Point = npt.NDArray[np.float64]
START = 1_900_000_000.0
POLICY = """
version: 1
mode: enforce
models: {m: {kind: classifier, input: {modality: vector, mean: 0, std: 1}}}
rules: {paths: [builtin]}
state: {seed: 3}
"""
WIDTH = 64
NOISE = 0.05


@pytest.fixture
def engine() -> Iterator[ac.Engine]:
    """It knows what 1,500 strangers send."""
    random = np.random.default_rng(0)
    with ac.Engine(ac.Policy.from_text(POLICY), capacity=4000, clock=lambda: START) as engine:
        for i in range(1500):
            engine.decide(principal=f"stranger {i}", model="m", vector=random.normal(size=WIDTH), now=START + i)
        yield engine


def evidence(engine: ac.Engine, inputs: Iterator[Point], principal: str = "p") -> list[float]:
    """evidence.coordinate after each input."""
    found = []
    for i, x in enumerate(inputs):
        engine.decide(principal=principal, model="m", vector=x.astype(np.float32), now=START + 2000 + i)
        found.append(engine.signals(principal, "m")["evidence.coordinate"])
    return found


def gradients(random: np.random.Generator, dummies: int = 0) -> Iterator[Point]:
    x = random.normal(size=WIDTH)
    for _ in range(3):
        for step in [np.zeros(WIDTH), *random.normal(size=(20, WIDTH))]:
            yield from random.normal(size=(dummies, WIDTH))
            yield x + NOISE * step
        x = x + NOISE / 2 * random.choice([-1, 1], WIDTH)


def copies(random: np.random.Generator, count: int, groups: int) -> Iterator[Point]:
    """Each input with so many in all: itself, and noisy ones."""
    for _ in range(groups):
        x = random.normal(size=WIDTH)
        yield x
        yield from x + NOISE * random.normal(size=(count - 1, WIDTH))


def first(values: list[float], level: float = 3.0) -> int | None:
    """The number of the query that reached it."""
    return next((i for i, value in enumerate(values, 1) if value >= level), None)


@pytest.mark.parametrize("dummies", [0, 1, 4, 20])
def test_a_gradient_search_is_found_before_its_first_step(engine, dummies):
    for seed in range(4):
        found = first(evidence(engine, gradients(np.random.default_rng(seed), dummies), f"p{seed}"))
        assert found is not None
        assert found <= 18 * (1 + dummies)


def test_augmentation_is_none(engine):
    for count in (6, 8, 10):
        found = evidence(engine, copies(np.random.default_rng(count), count, 40), f"x{count}")
        assert max(found) < 3, count


def test_many_noisy_copies_are_one(engine):
    assert first(evidence(engine, copies(np.random.default_rng(1), 16, 6))) is not None


def test_motionless_cameras_are_not_searching(engine):
    reached = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        scene = random.normal(size=WIDTH)
        frames = iter(scene + NOISE * random.normal(size=(300, WIDTH)))
        reached += first(evidence(engine, frames, f"camera {seed}")) is not None
    assert reached <= 1


def test_what_goes_on_from_where_it_is_is_not_searching(engine):
    random = np.random.default_rng(5)
    film = np.cumsum(NOISE * random.normal(size=(300, WIDTH)), axis=0)
    assert max(evidence(engine, iter(film), "film")) < 1
    form = np.tile(random.normal(size=WIDTH), (200, 1))
    for i, row in enumerate(form):  # always from the same start, one field or two
        row[random.choice(WIDTH, 1 + i % 2, replace=False)] += 0.3
    evidence(engine, iter(form), "form")
    assert engine.signals("form", "m")["api.radial_probes"] == 0
