"""HopSkipJump (Chen, Jordan, Wainwright 2020), the decision-based attack, in NumPy alone.

It walks along the decision boundary towards the original: bisect to the boundary, estimate its normal from the
labels of random probes around that point, step along the normal, and again.

It is a generator, so that whoever drives it asks in a way of their own: it yields (N, d) inputs, is sent which of them
are misclassified, and returns what it found.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Ratio", "Search", "fixed_ratio", "golden_ratio", "hop_skip_jump", "random_ratio"]

Array: TypeAlias = npt.NDArray[Any]
Search: TypeAlias = Generator[Array, npt.NDArray[np.bool_], Array]
Ratio: TypeAlias = Callable[[np.random.Generator], float]


def fixed_ratio(_: np.random.Generator) -> float:
    """Bisection."""
    return 0.5


def golden_ratio(_: np.random.Generator) -> float:
    """Golden sections: no displacement is half of the one before."""
    return 0.381966


def random_ratio(rng: np.random.Generator) -> float:
    """A part drawn anew at every step."""
    return float(rng.uniform(0.3, 0.7))


def hop_skip_jump(
    original: Array,
    start: Array,
    rng: np.random.Generator,
    *,
    iterations: int = 10,
    probes: int = 30,
    ratio: Ratio = fixed_ratio,
    least_step: float = 0.0,
) -> Search:
    """The adversarial example that is nearest to the original in the Euclidean norm, inputs being in [0, 1].

    start:      (d,) an input that is misclassified.
    probes:     of the first estimate of a normal; later ones take sqrt(iteration) times as many.
    ratio:      where between its ends a line search asks next.
    least_step: smallest distance of a probe from its centre, for callers who know that smaller ones are noticed.
    """
    width = original.size
    tolerance = 1 / (width * np.sqrt(width))
    current = yield from _to_boundary(original, start, rng, ratio, tolerance)
    for iteration in range(1, iterations + 1):
        distance = float(np.linalg.norm(current - original))
        radius = max(least_step, 0.1 * distance if iteration == 1 else np.sqrt(width) * tolerance * distance)
        normal = yield from _normal(current, rng, int(probes * np.sqrt(iteration)), radius)
        step = distance / np.sqrt(iteration)
        while step > 1e-6:
            candidate = np.clip(current + step * normal, 0, 1)
            if (yield candidate[None])[0]:
                current = candidate
                break
            step /= 2
        current = yield from _to_boundary(original, current, rng, ratio, tolerance)
    return current


def _to_boundary(inside: Array, outside: Array, rng: np.random.Generator, ratio: Ratio, tolerance: float) -> Search:
    """The last misclassified point of a search between a correctly classified one and a misclassified one."""
    low, high = 0.0, 1.0
    point = outside
    while high - low > tolerance:
        middle = low + (high - low) * ratio(rng)
        candidate = (1 - middle) * inside + middle * outside
        if (yield candidate[None])[0]:
            high, point = middle, candidate
        else:
            low = middle
    return point


def _normal(centre: Array, rng: np.random.Generator, probes: int, radius: float) -> Search:
    """Monte Carlo estimate of the direction into the misclassified side, with the mean as control variate."""
    directions = rng.normal(0, 1, (probes, centre.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = np.clip(centre + radius * directions, 0, 1)
    directions = (points - centre) / radius
    votes = np.where((yield points), 1.0, -1.0)
    mean = votes.mean()
    estimate = votes @ directions if abs(mean) == 1 else (votes - mean) @ directions
    norm = float(np.linalg.norm(estimate))
    direction: Array = estimate / norm if norm > 0 else directions[0]
    return direction
