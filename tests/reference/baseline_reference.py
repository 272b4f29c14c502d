"""Slow, obvious twin of what a baseline says of a component: who is in the worst class, and whether p0 bounds it.

Written from the definitions. A caller is a list of observations, True for a hit, in the order they were made. The
beginning of n observations ends at half of the largest power of two up to n. Callers are ordered by their beginnings,
the worst first: hits and observations, with 1 / p0 more observations at the rate of all beginnings; ties as they came.
A class takes callers in that order until it has a tenth of them, rounded up, and 20 / p0 later observations, rounded
up; what is left over joins the last class. The bound is the least probability at which as few hits as the worst class
has later, or fewer, come up in at most 5 of 100 cases.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tests.reference.evidence_reference import Evidence

STEPS = 1 << 24  # of a bound


def beginning(count: int) -> int:
    power = 1
    while 2 * power <= count:
        power *= 2
    return power // 2 if count else 0


def at_most(hits: int, trials: int, p: Fraction) -> Fraction:
    """The probability of so many hits or fewer."""
    return sum((math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits + 1)), Fraction(0))


def bound(hits: int, trials: int) -> float:
    low, high = 0, STEPS
    while high - low > 1:
        middle = (low + high) // 2
        if at_most(hits, trials, Fraction(middle, STEPS)) > Fraction(1, 20):
            low = middle
        else:
            high = middle
    return high / STEPS


@dataclass
class Said:
    classes: list[tuple[int, int, int]]  # callers, later observations, later hits
    bound: float
    outcome: str


def said(callers: Sequence[Sequence[bool]], p0: Fraction) -> Said:
    callers = [caller for caller in callers if caller]
    if not callers:
        return Said([], 1.0, "not measured")
    starts = [caller[: beginning(len(caller))] for caller in callers]
    pooled = Fraction(sum(map(sum, starts)), max(1, sum(map(len, starts))))

    def rate(i: int) -> Fraction:
        return (sum(starts[i]) + pooled / p0) / (len(starts[i]) + 1 / p0)

    order = sorted(range(len(callers)), key=lambda i: -rate(i))
    later = [list(callers[i][len(starts[i]) :]) for i in order]
    classes: list[list[list[bool]]] = []
    while later:
        taken: list[list[bool]] = []
        while later and (10 * len(taken) < len(callers) or sum(map(len, taken)) * p0 < 20):
            taken.append(later.pop(0))
        enough = 10 * len(taken) >= len(callers) and sum(map(len, taken)) * p0 >= 20
        if enough or not classes:
            classes.append(taken)
        else:
            classes[-1] += taken
    sizes = [(len(taken), sum(map(len, taken)), sum(map(sum, taken))) for taken in classes]
    _, trials, hits = sizes[0]
    upper = bound(hits, trials)
    if upper <= p0:
        outcome = "kept"
    elif (1 - p0) ** trials <= Fraction(1, 20) or certainly_above(p0, classes[0]):
        outcome = "off"
    else:
        outcome = "not measured"
    return Said(sizes, upper, outcome)


def certainly_above(p0: Fraction, callers: list[list[bool]]) -> bool:
    """Even when the caller with most hits, the first of equals, is left out."""
    most = max(range(len(callers)), key=lambda i: sum(callers[i]))
    trials = sum(len(caller) for i, caller in enumerate(callers) if i != most)
    hits = sum(sum(caller) for i, caller in enumerate(callers) if i != most)
    return trials > 0 and 1 - bound(trials - hits, trials) > p0


class Tallied(Evidence):
    """Evidence that remembers every observation."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: defaultdict[str, list[bool]] = defaultdict(list)

    def observe(self, name: str, hit: bool | None, now: float) -> None:
        if hit is not None:
            self.seen[name].append(bool(hit))
        super().observe(name, hit, now)

    def counts(self, name: str) -> tuple[int, int, int, int]:
        """Observations and hits, of all and of the beginning."""
        seen = self.seen[name]
        first = seen[: beginning(len(seen))]
        return len(seen), sum(seen), len(first), sum(first)
