"""Slow, obvious twin of what one model's requests usually cost, while that is learnt: up to 8,000 samples.

Written from the definitions: a cost is a positive number in any unit; inputs in the same of 16 sizes, each twice as
wide as the one before, are of one size. `median` is that of the size, or that of all sizes while the size has fewer
than 100 samples; `rare` is the 99.9th percentile over all sizes. Both are missing below 1,000 samples.

Readings of the specification
- Over all sizes: 8 bins an octave over [2^-24, 2^32); the median is interpolated inside its bin, on the scale of
  logarithms, the 99.9th percentile is the upper edge of its bin.
- Of a size: 4 bins an octave over 16 octaves, the first cost of the size in the middle; what lies outside counts in the
  outermost bins. When the median does, the size begins anew with the cost that brought that about.
- Nothing fades while there are fewer samples than are needed (1,000 over all sizes, 100 of a size); more than these
  fade with a half-life of a day, and never below the weight of those.
- One principal gives at most an eighth of what there is, or 125, and of the first 1,000 of a size at most a quarter of
  what there is, or 13.
- What happens after the 8,000th sample is drawn by a hash that callers do not know, and no part of this twin.
"""

from __future__ import annotations

import math
from collections import Counter

ENOUGH, ENOUGH_OF_SIZE, LEARNING = 1000, 100, 8000
FEWEST, FEWEST_OF_SIZE = 125, 13
DAY = 86400.0


class Histogram:
    def __init__(self, lowest: float, octaves: int, per_octave: int, enough: int) -> None:
        self.lowest, self.per_octave, self.enough = lowest, per_octave, enough
        self.bins = [0.0] * (octaves * per_octave)
        self.time = 0.0

    def add(self, cost: float, now: float) -> None:
        weight = sum(self.bins)
        if weight > self.enough:
            faded = max(math.pow(2.0, -max(0.0, now - self.time) / DAY), self.enough / weight)
            self.bins = [part * faded for part in self.bins]
        self.time = max(self.time, now)
        place = math.floor((math.log2(cost) - self.lowest) * self.per_octave)
        self.bins[min(max(place, 0), len(self.bins) - 1)] += 1

    def quantile(self, share: float) -> tuple[int, float]:
        """A bin, and how far inside it."""
        wanted, below = share * sum(self.bins), 0.0
        for place, part in enumerate(self.bins):
            if part > 0 and below + part >= wanted:
                return place, (wanted - below) / part
            below += part
        raise AssertionError("empty")

    def cost_at(self, place: float) -> float:
        return math.pow(2.0, self.lowest + place / self.per_octave)


class OfSize:
    def __init__(self, cost: float) -> None:
        lowest = math.floor(math.log2(cost) * 4) / 4 - 8
        self.histogram = Histogram(lowest, 16, 4, ENOUGH_OF_SIZE)
        self.samples = 0
        self.given: Counter[str] = Counter()

    def median(self) -> float:
        return self.histogram.cost_at(sum(self.histogram.quantile(0.5)))

    def lost(self) -> bool:
        return self.histogram.quantile(0.5)[0] in (0, len(self.histogram.bins) - 1)


class CostReference:
    def __init__(self) -> None:
        self.everything = Histogram(-24, 56, 8, ENOUGH)
        self.sizes: dict[int, OfSize] = {}
        self.samples = 0
        self.given: Counter[str] = Counter()

    def update(self, size: int, cost: float, principal: str, now: float) -> None:
        assert self.samples < LEARNING
        if self.given[principal] >= max(FEWEST, self.samples // 8):
            return
        self.given[principal] += 1
        self.samples += 1
        self.everything.add(cost, now)
        of_size = self.sizes.setdefault(size, OfSize(cost))
        share = max(FEWEST_OF_SIZE, of_size.samples // 4)
        if of_size.samples < ENOUGH and of_size.given[principal] >= share:
            return
        of_size.histogram.add(cost, now)
        if of_size.lost():
            of_size = self.sizes[size] = OfSize(cost)
            of_size.histogram.add(cost, now)
        of_size.samples += 1
        of_size.given[principal] += 1

    def median(self, size: int) -> float:
        if self.samples < ENOUGH:
            return math.nan
        of_size = self.sizes.get(size)
        if of_size is not None and of_size.samples >= ENOUGH_OF_SIZE:
            return of_size.median()
        return self.everything.cost_at(sum(self.everything.quantile(0.5)))

    def rare(self) -> float:
        if self.samples < ENOUGH:
            return math.nan
        place, _ = self.everything.quantile(0.999)
        return math.inf if place == len(self.everything.bins) - 1 else self.everything.cost_at(place + 1)
