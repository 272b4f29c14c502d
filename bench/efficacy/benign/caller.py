"""Who asks, and what a query is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from bench.efficacy.domains import Array
from bench.efficacy.victims import Victim

__all__ = ["Caller", "Query"]


class Query(NamedTuple):
    """second_model: it goes to the other model of an A/B test. status: of the answer."""

    time: float
    x: Any
    second_model: bool = False
    status: int = 200


@dataclass(frozen=True)
class Caller:
    """queries: how many it makes, at most. start: seconds."""

    victim: Victim
    rng: np.random.Generator
    queries: int
    start: float

    def natural(self, n: int, label: int | None = None) -> Array:
        return self.victim.domain.natural(n, self.rng, label)

    def with_queries(self, queries: int) -> Caller:
        return replace(self, queries=queries)

    def at(self, inputs: Any, mean_gap: float) -> Iterator[Query]:
        """Queries for these inputs with exponential gaps."""
        times = self.start + np.cumsum(self.rng.exponential(mean_gap, len(inputs)))
        for time, x in zip(times, inputs, strict=True):
            yield Query(float(time), x)
