"""Sliding windows, slow and obvious: what lies in a window, and what a ring of buckets makes of it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from math import floor

BUCKETS = 20


class ExactWindow:
    """The times of all events. A window (now - horizon, now] holds those within it."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def hit(self, now: float, n: int = 1) -> None:
        place = bisect_right(self.times, now)
        self.times[place:place] = [now] * n

    def count(self, now: float, horizon: float) -> int:
        return bisect_right(self.times, now) - bisect_right(self.times, now - horizon)


class BucketWindow:
    """Buckets of a 19th of the horizon. The oldest one that the window reaches counts by the share inside it.

    Time is the newest that has been seen. An event counts in its own bucket if that is the newest one or the
    one before; otherwise it is late.
    """

    def __init__(self, horizon: float) -> None:
        self.per_width = (BUCKETS - 1) / horizon
        self.buckets: Counter[int] = Counter()
        self.newest = 0.0

    def hit(self, now: float, n: int = 1) -> bool:
        """False for a late event."""
        self.newest = max(self.newest, now)
        bucket = floor(now * self.per_width)
        if bucket + 1 < floor(self.newest * self.per_width):
            return False
        self.buckets[bucket] += n
        return True

    def count(self, now: float) -> float:
        position = max(self.newest, now) * self.per_width
        current = floor(position)
        whole = sum(self.buckets[current - age] for age in range(BUCKETS - 1))
        return whole + self.buckets[current - (BUCKETS - 1)] * (1 - (position - current))
