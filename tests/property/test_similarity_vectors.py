"""Vectors, on every instruction set that this machine has, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import similarity_reference as reference

from atlascore import similarity
from atlascore._core import testing_similarity as core

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(params=sorted(core.targets()), autouse=True)
def target(request):
    core.force_target(core.targets()[request.param])
    assert core.active_target() == request.param
    yield request.param
    core.force_target(0)


def vectors(seed: int, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4)).astype(np.float32)


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 200))
def test_cosine(seed, width):
    a, b = vectors(seed, width), vectors(seed + 1, width)
    assert similarity.cosine(a, b) == pytest.approx(reference.cosine(a, b), abs=2e-6)


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 40), st.integers(1, 130))
def test_nearest(seed, rows, width):
    query, matrix = vectors(seed, width), vectors(seed + 1, rows, width)
    matrix[:: (seed % 7) + 2] = 0
    index, value = similarity.nearest(query, matrix)
    expected, best = reference.nearest(query, matrix)
    assert value == pytest.approx(best, abs=2e-6)
    assert index == expected or reference.cosine(query, matrix[index]) == pytest.approx(best, abs=2e-6)


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 1500), st.integers(0, 2**64 - 1))
def test_linear_sketch_and_digest(seed, width, region_seed):
    x = vectors(seed, width)
    x[seed % width] = -0.0
    linear, features, low, high = core.linear(x, region_seed, 0.25, 0.5)
    twin = reference.sketch_dense(x, region_seed, 0.25, 0.5)
    tolerance = 1e-5 * float(np.abs(x).max() + 1) * max(1, width / 64)
    assert features == width and (low, high) == twin.digest
    assert np.allclose(linear, twin.query, rtol=1e-5, atol=tolerance)


@given(SEEDS, st.integers(1, 90), st.integers(1, 90), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_images_are_averaged_by_area(seed, height, width, channels):
    x = vectors(seed, height, width, channels)
    linear, features, _, _ = core.linear(x, 3)
    pooled = reference.pool_axis(reference.pool_axis(x.astype(np.float64), 0), 1)
    scale = float(np.abs(x).max() + 1)
    assert features == pooled.size
    assert np.allclose(
        linear, reference.count_sketch(pooled, 3), rtol=1e-4, atol=1e-4 * scale * max(1, pooled.size / 64)
    )


def test_the_linear_sketch_is_the_same_to_the_bit_everywhere():
    x = vectors(1, 2000)
    here = core.linear(x, 5)[0]
    core.force_target(0)
    assert np.array_equal(here, core.linear(x, 5)[0])


def test_the_linear_sketch_keeps_norms_on_average():
    z = np.random.default_rng(0).normal(size=784).astype(np.float32)
    squares = [float((core.linear(z, seed)[0].astype(np.float64) ** 2).sum()) for seed in range(400)]
    expected = float((z.astype(np.float64) ** 2).sum())
    assert np.mean(squares) == pytest.approx(expected, rel=0.04)
    assert np.std(squares) < 0.2 * expected
