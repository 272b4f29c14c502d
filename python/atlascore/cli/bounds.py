"""How often honest callers hit a component of evidence, and whether p0 bounds that: from counts of a benign log.

p0 is to hold for every honest caller, not on average, so it is the worst class of callers that counts. Whoever looks
for the worst among many finds one by chance alone: of a hundred callers who all flip 4 % of fifty pairs, the worst
flips 12 % or so. Therefore each caller's observations of a component are split in time. The beginning (a quarter to a
half of them) says who is worst; the bound is that of the rest. Given the beginnings, who is in a class is fixed, so
what its members do later is not selected, and the bound holds however many callers and classes there were. In time,
and not turn by turn: neighbouring observations depend on each other, and what made a caller look bad by chance would
come along.

- Callers are ordered by their rate in the beginning, drawn towards the rate of all by 1 / p0 imagined observations, as
  many as bring one expected hit: one hit in one observation is no worse than a hundred in a thousand.
- Classes are runs in that order. Each has at least a tenth of the callers, and in the rest at least 20 / p0
  observations, so that twenty hits would be expected at p0: then honest callers at half of p0 pass four times out of
  five. Few callers make few classes; what is left over joins the last.
- The bound is the upper 95 % Clopper-Pearson bound of the pooled rate of the worst class in the rest.

The bound takes the observations of a class for independent. Those of one caller are not, and a class of few callers
says less than its bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CONFIDENCE", "CallerClass", "Measured", "measure", "needed", "upper_bound", "worst_callers"]

CONFIDENCE = 0.95
_CLASSES = 10  # at most
_EXPECTED = 20  # hits of a class at p0, at least

Counts = npt.NDArray[np.int64]  # a row for each caller: made, hits, made in the beginning, hits in the beginning


@dataclass(frozen=True)
class CallerClass:
    """Observations and hits of the rest, after the beginning that the class was formed by."""

    principals: int
    observations: int
    hits: int


@dataclass(frozen=True)
class Measured:
    """observations, hits: of all callers. classes: the worst first. bound: of the first class; 1 without any.

    outcome: "kept": p0 bounds it. "not measured": so few observations of the worst class that even without a hit the
    bound would exceed p0, and no more hits among them than p0 explains, the caller with most left out: p0 stays as it
    is shipped, and one attacker in a short log does not switch off what would have found him. "off": neither.
    """

    observations: int
    hits: int
    classes: tuple[CallerClass, ...]
    bound: float
    outcome: str


def measure(counts: Sequence[tuple[int, int, int, int]] | Counts, p0: float) -> Measured:
    """counts: of each caller, in an order that has nothing to do with hits: ties are left in it."""
    table = np.asarray(counts, dtype=np.int64).reshape(-1, 4)
    table = table[table[:, 0] > 0]
    made, hits = int(table[:, 0].sum()), int(table[:, 1].sum())
    if made == 0:
        return Measured(0, 0, (), 1.0, "not measured")
    table = table[np.argsort(-_drawn_rate(table[:, 2], table[:, 3], p0), kind="stable")]
    later = table[:, :2] - table[:, 2:]
    ends = _ends(later[:, 0], math.ceil(_EXPECTED / p0))
    classes = tuple(
        CallerClass(end - begin, int(later[begin:end, 0].sum()), int(later[begin:end, 1].sum()))
        for begin, end in zip([0, *ends], ends, strict=False)
    )
    worst = classes[0]
    bound = upper_bound(worst.hits, worst.observations)
    return Measured(made, hits, classes, bound, _outcome(later[: ends[0]], bound, p0))


def worst_callers(counts: Counts, p0: float, most: int) -> list[int]:
    """Who has hit most often over the whole log, by the same drawn rate; nobody without a hit."""
    order = np.argsort(-_drawn_rate(counts[:, 0], counts[:, 1], p0), kind="stable")
    return [int(i) for i in order if counts[i, 1] > 0][:most]


def needed(p0: float) -> int:
    """Observations, none of them a hit, after which the bound is at most p0."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-p0))


def _drawn_rate(made: Counts, hits: Counts, p0: float) -> npt.NDArray[np.float64]:
    pooled = hits.sum() / max(1, made.sum())
    return np.asarray((hits + pooled / p0) / (made + 1 / p0))


def _ends(observations: Counts, fewest: int) -> list[int]:
    """Where each class ends in the order of the callers."""
    least = math.ceil(len(observations) / _CLASSES)
    ends: list[int] = []
    begin = total = 0
    for i, number in enumerate(observations.tolist(), start=1):
        total += number
        if i - begin >= least and total >= fewest:
            ends.append(i)
            begin, total = i, 0
    return [*ends[:-1], len(observations)]


def _outcome(worst: Counts, bound: float, p0: float) -> str:
    """worst: of each caller of the worst class, observations and hits of the rest."""
    if bound <= p0:
        return "kept"
    if worst[:, 0].sum() >= needed(p0):
        return "off"
    made, hits = np.delete(worst, int(np.argmax(worst[:, 1])), axis=0).sum(axis=0).tolist()
    return "off" if made > 0 and 1 - upper_bound(made - hits, made) > p0 else "not measured"


def upper_bound(hits: int, trials: int) -> float:
    """One-sided 95 % bound on a probability (Clopper-Pearson)."""
    if hits >= trials:
        return 1.0
    i = np.arange(1, hits + 1)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((trials - i + 1) / i))])
    k = np.arange(hits + 1)
    low, high = hits / trials, 1.0
    for _ in range(60):
        p = (low + high) / 2
        if p >= 1.0:
            break
        terms = log_choose + k * math.log(p) + (trials - k) * math.log1p(-p)
        if np.exp(terms).sum() > 1 - CONFIDENCE:
            low = p
        else:
            high = p
    return high
