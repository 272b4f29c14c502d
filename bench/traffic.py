"""Seeded inputs that every contender shares."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

START = 1_700_000_000.0  # of event time
BUILD = Path(__file__).parent.parent / "build" / "bench"


@cache
def zipf_keys(keys: int = 100_000, draws: int = 100_000, exponent: float = 1.1) -> list[str]:
    """`draws` keys of a population in which the k-th most frequent has weight k^-exponent, in random order."""
    rng = np.random.default_rng(1)
    weights = np.arange(1, keys + 1) ** -exponent
    names = [f"key-{i:06d}" for i in rng.permutation(keys)]
    return [names[i] for i in rng.choice(keys, draws, p=weights / weights.sum())]


@cache
def vectors(count: int = 1_024, width: int = 784) -> npt.NDArray[np.float32]:
    """Points of ten clusters in [0, 1], as (count, width)."""
    rng = np.random.default_rng(2)
    centres = rng.random((10, width))
    noise = rng.normal(0, 0.15, (count, width))
    return np.clip(centres[rng.integers(0, 10, count)] + noise, 0, 1).astype(np.float32)


@cache
def prompts(count: int, size: int) -> list[str]:
    """English-like texts of `size` characters: words of a vocabulary of 5,000, Zipf-distributed, about 6.5 each."""
    rng = np.random.default_rng(3)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    weights = 1 / np.arange(1, len(letters) + 1)
    vocabulary = np.array(
        ["".join(rng.choice(letters, n, p=weights / weights.sum())) for n in rng.integers(2, 10, 5_000)]
    )
    frequency = 1 / np.arange(1, len(vocabulary) + 1)
    words = rng.choice(vocabulary, (count, size // 3), p=frequency / frequency.sum())
    return [" ".join(row)[:size] for row in words]


@cache
def api_log(events: int) -> Path:
    """JSON lines of an inference API, about 550 bytes each."""
    path = BUILD / f"access-{events}.jsonl"
    if path.exists():
        return path
    keys = zipf_keys()
    prompt = prompts(256, 180)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lines:
        for i in range(events):
            event = {
                "time": START + i * 0.01,
                "principal": keys[i % len(keys)],
                "model": "fraud-v3",
                "method": "predict",
                "endpoint": "/v1/models/fraud-v3:predict",
                "request_id": f"{i:032x}",
                "client.address": f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}",
                "http.status": 200,
                "user_agent": "python-requests/2.32.3",
                "region": "eu-central-1",
                "latency_ms": i % 97 / 10,
                "tokens": {"input": i % 800, "output": i % 300},
                "text": prompt[i % 256],
            }
            lines.write(json.dumps(event) + "\n")
    return path
