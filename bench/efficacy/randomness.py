"""Random streams by name: the same seed and name give the same numbers, whatever else ran before."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["generator"]


def generator(seed: int, *name: str | int) -> np.random.Generator:
    """A generator of its own for this seed and name."""
    parts = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in name]
    return np.random.default_rng([seed, *parts])
