"""Inputs off their grid, and outside the data, through the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.reference import geometry_reference as geometry

import atlascore as ac

START = 1_900_000_000.0
POLICY = """
version: 1
mode: enforce
models:
  image: {input: {modality: image, shape: [6, 6, 1], range: [-1, 1], grid: 255}}
  table: {input: {modality: row, features: {a: {range: [0, 10], decimals: 2}, b: {range: [0, 10], grid: 4},
          c: {range: [0, 10]}, d: {categories: 5}}}}
  vector: {input: {modality: vector, range: [0, 1]}}
state: {seed: 5}
"""
GRIDS = {
    "image": (np.full(36, -1.0), np.full(36, 2 / 255)),
    "table": (np.zeros(4), np.array([0.01, 2.5, 0, 0])),
}


class Service:
    def __init__(self) -> None:
        self.now = START
        self.engine = ac.Engine(ac.Policy.from_text(POLICY), capacity=1_000, clock=lambda: self.now)

    def ask(self, principal: str, model: str, x: np.ndarray) -> ac.Decision:
        self.now += 1
        given: dict[str, Any] = {"vector": x}
        if model == "image":
            given = {"image": x.reshape(6, 6, 1)}
        if model == "table":
            given = {"row": [*map(float, x[:3]), f"c{int(x[3])}"]}
        return self.engine.decide(principal=principal, model=model, now=self.now, **given)

    def read(self, principal: str, model: str, name: str) -> float | None:
        return self.engine.signals(principal, model).get(name)


def snapped(rng: np.random.Generator, model: str) -> np.ndarray:
    if model == "image":
        return np.float32(-1 + rng.integers(0, 256, 36) * 2 / 255)
    return np.float32([rng.integers(0, 1000) / 100, rng.integers(0, 5) * 2.5, rng.uniform(0, 10), rng.integers(0, 5)])


@pytest.mark.parametrize("model", ["image", "table"])
def test_off_grid_ratio_is_the_mean_share(model):
    rng, service = np.random.default_rng(3), Service()
    assert service.engine.decide(principal="p", model=model, now=START) is not None
    shares = []
    for i in range(40):
        x = snapped(rng, model)
        moved = rng.random(len(x)) < 0.4
        moved[-1] = False
        x = np.where(moved, x + np.float32(0.004), x).astype(np.float32)
        service.ask("p", model, x)
        shares.append(round(255 * geometry.off_grid_share(x, *GRIDS[model])) / 255)
        expected = None if i < 7 else pytest.approx(np.mean(shares), abs=1e-6)
        assert service.read("p", model, "api.off_grid_ratio") == expected


def test_a_model_without_a_grid_has_no_share():
    rng, service = np.random.default_rng(3), Service()
    for _ in range(20):
        service.ask("p", "vector", rng.random(8).astype(np.float32))
    assert service.read("p", "vector", "api.off_grid_ratio") is None
    assert service.read("p", "vector", "api.manifold_rank") is None  # one caller is no population


@pytest.mark.parametrize("keeps_to_the_grid", [True, False])
def test_off_grid_inputs_are_evidence_where_others_keep_to_the_grid(keeps_to_the_grid):
    rng, service = np.random.default_rng(4), Service()
    for i in range(400):
        x = snapped(rng, "image")
        service.ask(f"customer-{i % 40}", "image", x if keeps_to_the_grid else x + np.float32(0.002))
    for _ in range(30):
        service.ask("p", "image", snapped(rng, "image") + np.float32(0.002))
    found = service.read("p", "image", "evidence.synthetic")
    assert found is not None
    assert found > 5 if keeps_to_the_grid else found < 1
    assert service.read("p", "image", "evidence.total") < 1  # it is a family of the context
    assert service.read("p", "image", "evidence.families") == 0


def test_a_repeated_input_is_observed_once():
    rng, service = np.random.default_rng(5), Service()
    for i in range(400):
        service.ask(f"customer-{i % 40}", "image", snapped(rng, "image"))
    x = snapped(rng, "image") + np.float32(0.002)
    for _ in range(30):
        service.ask("p", "image", x)
    assert service.read("p", "image", "evidence.synthetic") < 2
    assert service.read("p", "image", "api.off_grid_ratio") is None  # one input, and eight are needed
