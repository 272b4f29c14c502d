"""HopSkipJump of the demo, against anything that says which inputs are misclassified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from atlascore.demo import hopskipjump
from atlascore.demo.hopskipjump import Ratio, fixed_ratio, golden_ratio, random_ratio

__all__ = ["Ratio", "fixed_ratio", "golden_ratio", "hop_skip_jump", "random_ratio"]

Array = npt.NDArray[Any]
Adversarial = Callable[[Array], npt.NDArray[np.bool_]]  # (N, d) inputs -> which of them are misclassified


def hop_skip_jump(
    adversarial: Adversarial, original: Array, start: Array, rng: np.random.Generator, **options: Any
) -> Array:
    """The adversarial example nearest to the original; each row that `adversarial` is asked about is one query."""
    search = hopskipjump.hop_skip_jump(original, start, rng, **options)
    points = next(search)
    while True:
        try:
            points = search.send(adversarial(points))
        except StopIteration as found:
            nearest: Array = found.value
            return nearest
