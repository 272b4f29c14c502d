"""64-number linear sketches for the baselines that compare distributions, in NumPy."""

from __future__ import annotations

import numpy as np

from bench.efficacy.domains import Array

__all__ = ["WIDTH", "sketches"]

WIDTH = 64
MULTIPLIERS = np.random.default_rng(5).integers(1, 2**63, 5, dtype=np.uint64) | np.uint64(1)  # of the characters


def sketches(inputs: list[Array] | list[str]) -> Array:
    """(N, 64): the inputs themselves up to 64 features, a count sketch above; hashed 5-grams of texts."""
    if isinstance(inputs[0], str):
        return np.stack([_of_text(str(text)) for text in inputs])
    x = np.stack([np.asarray(row, np.float64).reshape(-1) for row in inputs])
    features = x.shape[1]
    found = np.zeros((len(x), WIDTH))
    if features <= WIDTH:
        found[:, :features] = x
        return found
    rng = np.random.default_rng(features)
    buckets, signs = rng.integers(0, WIDTH, features), rng.choice([-1.0, 1.0], features)
    mixing = np.zeros((features, WIDTH))
    mixing[np.arange(features), buckets] = signs
    return x @ mixing


def _of_text(text: str) -> Array:
    padded = np.frombuffer(f" {' '.join(text.lower().split())} ".encode().ljust(5), np.uint8).astype(np.uint64)
    codes = np.lib.stride_tricks.sliding_window_view(padded, 5) @ MULTIPLIERS
    codes ^= codes >> np.uint64(31)
    codes *= np.uint64(0x9E3779B97F4A7C15)
    found = np.bincount(
        (codes >> np.uint64(58)).astype(np.intp), np.where(codes & np.uint64(1 << 32), 1.0, -1.0), WIDTH
    )
    norm = float(np.linalg.norm(found))
    return found / norm if norm else found
