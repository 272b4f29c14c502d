"""How much of the input space callers have been through, by the engine and by the twin, after every query."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.reference.similarity_reference import mix64
from tests.reference.track_reference import CoverageCurves, ModelNumbers, TrackReference

import atlascore as ac
from atlascore import _core

START = 1_900_000_000.0
SEED, WIDTH = 5, 12
POLICY = f"""
version: 1
mode: enforce
models:
  vector: {{kind: classifier, classes: 3, input: {{modality: vector, range: [0, 1]}}}}
  prose: {{kind: classifier, classes: 3, input: {{modality: text}}}}
rules: {{paths: [builtin]}}
responses: [{{name: all, match: {{}}, action: LOG}}]
state: {{seed: {SEED}}}
"""
SKETCH_SEED = mix64(SEED, 0x736B65746368)
CELL_SEED = mix64(SKETCH_SEED, 0x63656C6C)
TEACHERS, ORDINARY = 70, 110
COMPARED = ("api.coverage", "evidence.coverage")

Point = npt.NDArray[np.float32]


def planes() -> npt.NDArray[np.float32]:
    uniform = [((mix64(CELL_SEED, i) >> 11) + 0.5) * 2.0**-53 for i in range(2 * 12 * 64)]
    normals = [
        math.sqrt(-2 * math.log(a)) * math.cos(2 * math.pi * b)
        for a, b in zip(uniform[::2], uniform[1::2], strict=True)
    ]
    return np.asarray(normals, np.float32).reshape(12, 64)


PLANES = planes()
# Exact in half precision; the teachers' inputs are so near that they are stored as this one.
CENTER = np.round(np.random.default_rng(1).uniform(0.3, 0.7, WIDTH) * 64) / 64


def padded(x: Point | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.pad(np.asarray(x, np.float64), (0, 64 - WIDTH))


def share_of(points: npt.NDArray[np.float64], center: npt.NDArray[np.float64]) -> float:
    sides = (points - center) @ PLANES.T.astype(np.float64) > 0
    cells = {mix64(CELL_SEED, int(cell)) % 1024 for cell in sides @ (1 << np.arange(12))}
    return -1024 * math.log(1 - len(cells) / 1024) / 4096


class Callers:
    """One caller through both, after others through the engine that teach the model what is ordinary."""

    def __init__(self, seed: int, ordinary: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.engine = ac.Engine(ac.Policy.from_text(POLICY), capacity=1000, clock=lambda: self.now)
        self.now = START
        self.curves = CoverageCurves()
        for i in range(TEACHERS * 20):
            self.send(f"teacher-{i % TEACHERS}", self.around(CENTER, 1e-5))
        for i in range(ordinary):
            self.be_ordinary(f"ordinary-{i}")
        numbers = ModelNumbers(
            width=WIDTH,
            sketch_mean=padded(CENTER),
            sketch_variance=np.ones(64),
            hyperplanes=PLANES,
            cell_seed=CELL_SEED,
            coverage_curves=self.curves,
        )
        self.twin = TrackReference(numbers)

    def around(self, center: npt.NDArray[np.float64], noise: float) -> Point:
        return (center + noise * self.random.normal(size=WIDTH)).astype(np.float32)

    def be_ordinary(self, name: str) -> None:
        """64 inputs in few cells."""
        center = CENTER + 0.1 * self.random.choice([-1, 1], WIDTH)
        inputs = [self.around(center, 0.03) for _ in range(64)]
        for x in inputs:
            self.send(name, x)
        self.curves.add(64, 4096 * share_of(np.stack([padded(x) for x in inputs]), padded(CENTER)))

    def send(self, name: str, given: npt.NDArray[np.float32]) -> ac.Decision:
        self.now += 0.25
        return self.engine.decide(principal=name, model="vector", now=self.now, vector=given)

    def ask(self, rows: list[Point]) -> ac.Decision:
        decision = self.send("p", rows[0] if len(rows) == 1 else np.stack(rows))
        for x in rows:
            digest = int(_core.testing_similarity.linear(x, 1)[2])
            self.twin.decide(padded(x).astype(np.float32), (digest, 0), self.now)
        return decision

    def compare(self, decision: ac.Decision) -> None:
        ours, expected = self.engine.signals("p", "vector"), self.twin.signals(self.now)
        for name in COMPARED:
            value = ours.get(name, math.nan)
            assert value == pytest.approx(expected[name], abs=1e-3, nan_ok=True), (name, self.twin.originals)
            assert decision.signals.get(name, math.nan) == pytest.approx(value, abs=1e-9, nan_ok=True)


def everywhere(callers: Callers) -> Iterator[list[Point]]:
    for _ in range(150):
        yield [callers.around(CENTER, 0.2)]


def niche(callers: Callers) -> Iterator[list[Point]]:
    for _ in range(80):
        yield [callers.around(CENTER + 0.2, 0.02)]


def repeats(callers: Callers) -> Iterator[list[Point]]:
    some = [callers.around(CENTER, 0.2) for _ in range(20)]
    for _ in range(60):
        yield [some[callers.random.integers(20)]]


def batches(callers: Callers) -> Iterator[list[Point]]:
    for _ in range(12):
        yield [callers.around(CENTER, 0.2) for _ in range(int(callers.random.integers(2, 30)))]


STREAMS: tuple[Callable[[Callers], Iterator[list[Point]]], ...] = (everywhere, niche, repeats, batches)


def run(seed: int, streams: list[int], ordinary: int = 0) -> Callers:
    callers = Callers(seed, ordinary)
    for stream in streams:
        for rows in STREAMS[stream](callers):
            callers.compare(callers.ask(rows))
    return callers


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, len(STREAMS) - 1), min_size=1, max_size=3))
def test_engine_and_twin_agree_on_coverage(seed: int, streams: list[int]) -> None:
    run(seed, streams)


def test_more_than_others_is_evidence_and_a_niche_is_none() -> None:
    wide = run(3, [0], ORDINARY)
    assert wide.engine.signals("p", "vector")["evidence.coverage"] == pytest.approx(
        math.log10(1 + 0.5 / 0.03 / 2), abs=1e-3
    )
    assert run(3, [1], ORDINARY).engine.signals("p", "vector")["evidence.coverage"] < 0.3
    assert run(3, [0], 50).engine.signals("p", "vector")["evidence.coverage"] == 0


def test_coverage_grows_with_what_is_asked() -> None:
    callers = run(4, [0, 3])
    assert callers.engine.signals("p", "vector")["api.coverage"] > 0.03
    assert run(4, [1]).engine.signals("p", "vector")["api.coverage"] < 0.005
    assert "api.coverage" not in run(4, [2]).engine.signals("p", "vector")


def test_coverage_of_texts() -> None:
    """The center is the mean of the reservoir's texts, here copies of one."""
    random = np.random.default_rng(5)
    words = ["".join(random.choice(list("abcdefghijklmnopqrst"), random.integers(3, 9))) for _ in range(400)]
    texts = [" ".join(random.choice(words, 12)) for _ in range(150)]
    engine = ac.Engine(ac.Policy.from_text(POLICY), capacity=1000, clock=lambda: START)
    for i in range(40):
        engine.decide(principal=f"teacher-{i}", model="prose", now=START + i, text=texts[0])
    points = np.stack([_core.testing_similarity.text_sketch(text.encode(), SKETCH_SEED)[0] for text in texts])
    for i, text in enumerate(texts[1:], 1):
        engine.decide(principal="p", model="prose", now=START + 100 + i, text=text)
        share = engine.signals("p", "prose").get("api.coverage", math.nan)
        if i < 64:
            assert math.isnan(share)
        else:
            assert share == pytest.approx(share_of(points[1 : i + 1], points[0]), abs=1e-3)
