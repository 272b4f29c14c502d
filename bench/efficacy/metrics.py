"""Rates with their intervals, curves and quantiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, norm, rankdata  # type: ignore[import-untyped]

__all__ = ["area", "at_most", "detected_at", "quantiles", "threshold_at", "true_positive_rate", "wilson"]

Curve = Sequence[tuple[int, float]]


def wilson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a rate (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    z = float(norm.ppf(0.5 + confidence / 2))
    rate = hits / n
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def at_most(hits: int, n: int, confidence: float = 0.95) -> float:
    """One-sided upper bound of a rate (Clopper and Pearson 1934)."""
    return 1.0 if hits >= n else float(beta.ppf(confidence, hits + 1, n - hits))


def area(negatives: npt.ArrayLike, positives: npt.ArrayLike) -> float:
    """Under the ROC curve: the chance that a positive scores higher than a negative, ties counting half."""
    low, high = np.asarray(negatives, float), np.asarray(positives, float)
    if not len(low) or not len(high):
        return float("nan")
    ranks = rankdata(np.concatenate([low, high]))[len(low) :]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(low) * len(high)))


def threshold_at(negatives: npt.ArrayLike, rate: float) -> float:
    """The lowest threshold that at most this share of the negatives exceeds."""
    ordered = np.sort(np.asarray(negatives, float))[::-1]
    return float(ordered[int(np.floor(rate * len(ordered) + 1e-9))]) if len(ordered) else float("inf")


def true_positive_rate(negatives: npt.ArrayLike, positives: npt.ArrayLike, false_positive_rate: float) -> float:
    """Share of positives above the threshold with that false-positive rate."""
    return float((np.asarray(positives, float) > threshold_at(negatives, false_positive_rate)).mean())


def detected_at(curve: Curve, threshold: float) -> int | None:
    """The first query at which a running maximum exceeds a threshold."""
    return next((query for query, value in curve if value > threshold), None)


def quantiles(values: Sequence[float], *shares: float) -> list[float | None]:
    """None where there are no values. Those that never came count as infinite and give None as well."""
    if not len(values):
        return [None] * len(shares)
    found = np.quantile(np.asarray(values, float), shares, method="higher")
    return [float(value) if np.isfinite(value) else None for value in found]
