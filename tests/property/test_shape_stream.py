"""How one track's inputs follow each other, through the engine and through the twin, after every query."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.reference import geometry_reference as geometry
from tests.reference.similarity_reference import mix64
from tests.reference.track_reference import ModelNumbers, TrackReference

import atlascore as ac
from atlascore import _core

START = 1_900_000_000.0
SEED, WIDTH = 5, 300
SKETCH_SEED = mix64(SEED, 0x736B65746368)
POLICY = f"""
version: 1
mode: enforce
models:
  vector: {{kind: classifier, classes: 3, input: {{modality: vector, range: [0, 1]}}}}
rules: {{paths: [builtin]}}
responses: [{{name: all, match: {{}}, action: LOG}}]
state: {{seed: {SEED}}}
"""
# Strangers are about 0.16 from each other, members of a group 0.03, two inputs of the caller's own 0.4: whatever the
# median is in between, the groups are the same.
MEDIAN = 0.1
COMPARED = ("api.timing_regularity", "api.delta_concentration", "api.group_regularity")

Point = npt.NDArray[np.float32]


class Caller:
    """Sends the same to both. `unsure`: steps whose cosine lies within a rounding of a bin's edge."""

    def __init__(self, seed: int, limits: str = "") -> None:
        self.random = np.random.default_rng(seed)
        self.engine = ac.Engine(ac.Policy.from_text(POLICY + limits), capacity=1000, clock=lambda: self.now)
        self.twin = TrackReference(ModelNumbers(width=WIDTH, median=MEDIAN))
        self.now = START
        self.unsure = 0
        for i in range(300):
            x = (0.5 + 0.2 * (self.random.random(WIDTH) - 0.5) * 2).astype(np.float32)
            self.engine.decide(principal=f"stranger-{i % 30}", model="vector", now=self.now, vector=x)
            self.now += 0.1

    def sketched(self, x: Point) -> tuple[Point, int]:
        sketch, _, low, *_ = _core.testing_similarity.linear(x, SKETCH_SEED)
        return sketch, int(low)

    def ask(self, rows: list[Point], step: float) -> ac.Decision:
        """One row as a vector, more as a batch."""
        self.now += step
        given = rows[0] if len(rows) == 1 else np.stack(rows)
        decision = self.engine.decide(principal="p", model="vector", now=self.now, vector=given)
        for x in rows:
            sketch, digest = self.sketched(x)
            if len(self.twin.heads) == 2:
                cosine = geometry.direction_similarity(sketch, self.twin.heads[1].query, self.twin.heads[0].query)
                if cosine is not None:
                    place = (cosine + 1) * 20
                    self.unsure += abs(place - round(place)) < 0.02
            self.twin.decide(sketch, (digest, 0), self.now)
        return decision

    def compare(self) -> None:
        ours, expected = self.engine.signals("p", "vector"), self.twin.signals(self.now)
        for name in COMPARED:
            error = 1e-3
            if name == "api.delta_concentration":
                error += self.unsure / max(1, sum(self.twin.directions.bins))
            value = ours.get(name, math.nan)
            assert value == pytest.approx(expected[name], abs=error, nan_ok=True), (name, self.now - START)


def anything(caller: Caller) -> Iterator[tuple[list[Point], float]]:
    for x in caller.random.random((90, WIDTH)).astype(np.float32):
        yield [x], float(caller.random.choice([0.05, 0.5, 3.0]))


def clockwork(caller: Caller) -> Iterator[tuple[list[Point], float]]:
    for x in caller.random.random((50, WIDTH)).astype(np.float32):
        yield [x], 1.0


def walk(caller: Caller) -> Iterator[tuple[list[Point], float]]:
    """Along one line, to and fro."""
    x, step = caller.random.random((2, WIDTH))
    for i in range(100):
        x = x + (1 if i % 7 else -2.3) * 0.5 * step
        yield [x.astype(np.float32)], 0.25


def groups(caller: Caller) -> Iterator[tuple[list[Point], float]]:
    """Noisy copies, groups of equal length or not, sometimes a repetition."""
    length = int(caller.random.integers(3, 6))
    for _ in range(20):
        centre = caller.random.random(WIDTH)
        for _ in range(length + int(caller.random.random() < 0.2)):
            x = (centre + 0.02 * caller.random.normal(size=WIDTH)).astype(np.float32)
            for _ in range(1 + int(caller.random.random() < 0.1)):
                yield [x], 0.5


def batches(caller: Caller) -> Iterator[tuple[list[Point], float]]:
    for _ in range(24):
        centre = caller.random.random(WIDTH)
        yield [(centre + 0.02 * caller.random.normal(size=WIDTH)).astype(np.float32) for _ in range(4)], 1.5


STREAMS: tuple[Callable[[Caller], Iterator[tuple[list[Point], float]]], ...] = (
    anything,
    clockwork,
    walk,
    groups,
    batches,
)


def run(seed: int, streams: list[int]) -> dict[str, float]:
    """The highest of each signal."""
    caller = Caller(seed)
    seen = dict.fromkeys(COMPARED, 0.0)
    for stream in streams:
        for rows, step in STREAMS[stream](caller):
            caller.ask(rows, step)
            caller.compare()
            for name, value in caller.engine.signals("p", "vector").items():
                if name in seen:
                    seen[name] = max(seen[name], value)
    return seen


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, len(STREAMS) - 1), min_size=1, max_size=3))
def test_engine_and_twin_agree_on_shapes(seed: int, streams: list[int]) -> None:
    run(seed, streams)


def test_the_streams_have_shapes() -> None:
    """Else the agreement above would be one about nothing."""
    seen = [run(11, [stream]) for stream in range(len(STREAMS))]
    assert all(max(signals[name] for signals in seen) > 0.7 for name in COMPARED), seen


@pytest.mark.parametrize("stream", [walk, groups, batches])
def test_the_query_under_way_counts(stream: Callable[[Caller], Iterator[tuple[list[Point], float]]]) -> None:
    caller = Caller(3)
    seen = 0
    for rows, step in stream(caller):
        decision = caller.ask(rows, step)
        after = caller.engine.signals("p", "vector")
        for name in COMPARED[1:]:
            assert decision.signals.get(name, math.nan) == pytest.approx(after.get(name, math.nan), nan_ok=True)
            seen += name in decision.signals
    assert seen > 10


def test_what_is_blocked_leaves_no_trace() -> None:
    caller = Caller(3, "limits: [{name: few, max: 60, window: 1h, per: [principal]}]\n")
    blocked = [caller.ask(rows, step).action is ac.Action.BLOCK for rows, step in walk(caller)]
    assert sum(blocked) == 40
    assert "api.delta_concentration" not in caller.engine.signals("p", "vector")
