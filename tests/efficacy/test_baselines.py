from __future__ import annotations

import numpy as np

from bench.efficacy.baselines import blacklight, coverage, prada, token_bucket
from bench.efficacy.sketches import sketches


def test_a_token_bucket_never_fills_at_the_refill_rate() -> None:
    assert max(token_bucket(np.arange(500.0).tolist())) <= 2
    assert max(token_bucket((np.arange(500) * 0.1).tolist())) > 60


def test_prada_alarms_on_distances_that_are_not_normal() -> None:
    rng = np.random.default_rng(0)
    natural = rng.normal(0, 1, (400, 30))
    steps = natural.copy()
    steps[60:] = natural[0] + 0.1 * np.sign(natural[60:])  # all of one length, as those along a Jacobian
    labels = [0] * 400
    assert prada(natural, labels)[-1][1] < 0.05
    assert prada(steps, labels)[-1][1] > 0.1
    assert prada(steps[:100], labels[:100]) == []  # too few distances to say anything


def test_blacklight_sees_near_duplicates_only() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((50, 784))
    assert blacklight(x).max() < 0.5
    near = np.concatenate([x, x[:1]])
    near[-1, :5] = 0.5
    assert blacklight(near)[-1] > 0.5


def test_coverage_counts_cells_once() -> None:
    class References:
        mean = np.zeros(64)
        planes = np.random.default_rng(0).normal(0, 1, (12, 64))

    rng = np.random.default_rng(1)
    points = rng.normal(0, 1, (300, 64))
    shares = coverage(np.concatenate([points, points]), References)  # type: ignore[arg-type]
    assert shares == sorted(shares)
    assert shares[-1] == shares[299]
    assert 0.02 < shares[-1] <= 300 / 4_096


def test_sketches_are_linear_and_keep_distances() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (40, 784))
    found = sketches(list(x))
    assert found.shape == (40, 64)
    assert np.allclose(sketches([x[0] + x[1]])[0], found[0] + found[1])
    ratio = np.linalg.norm(found[0] - found[1:], axis=1) / np.linalg.norm(x[0] - x[1:], axis=1)
    assert abs(ratio.mean() - 1) < 0.1
    assert np.allclose(np.linalg.norm(sketches(["hello world", "another text"]), axis=1), 1)
