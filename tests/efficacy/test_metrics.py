from __future__ import annotations

import numpy as np
import pytest

from bench.efficacy.metrics import area, at_most, detected_at, quantiles, threshold_at, true_positive_rate, wilson


def test_wilson_of_known_values() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_clopper_pearson_of_nothing_is_the_rule_of_three() -> None:
    assert at_most(0, 3_000) == pytest.approx(1 - 0.05 ** (1 / 3_000))
    assert at_most(0, 3_000) <= 0.001
    assert at_most(0, 300) <= 0.01
    assert at_most(1, 10) == pytest.approx(0.3942, abs=1e-4)
    assert at_most(5, 5) == 1.0


def test_area_counts_ties_half() -> None:
    assert area([0, 1, 2], [3, 4]) == 1.0
    assert area([3, 4], [0, 1]) == 0.0
    assert area([1, 1], [1, 1]) == 0.5
    rng = np.random.default_rng(0)
    low, high = rng.normal(0, 1, 200).round(1), rng.normal(1, 1, 150).round(1)
    pairs = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    assert area(low, high) == pytest.approx(pairs)


def test_a_threshold_is_exceeded_by_no_more_than_the_rate() -> None:
    benign = np.arange(1_000)
    for rate in (0.0, 0.001, 0.01, 0.5):
        assert (benign > threshold_at(benign, rate)).mean() == pytest.approx(rate)
    assert true_positive_rate(benign, [999, 998, 2_000, 5], 0.001) == 0.5


def test_detection_is_the_first_crossing() -> None:
    curve = [(1, 0.1), (7, 0.5), (30, 2.0)]
    assert detected_at(curve, 0.4) == 7
    assert detected_at(curve, 0.5) == 30
    assert detected_at(curve, 2.0) is None


def test_quantiles_of_what_mostly_never_came() -> None:
    assert quantiles([3.0, 1.0, np.inf], 0.5) == [3.0]
    assert quantiles([3.0, np.inf, np.inf], 0.5) == [None]
    assert quantiles([], 0.5, 0.9) == [None, None]
