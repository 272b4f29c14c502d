"""Slow, obvious twin of evidence: Shiryaev-Roberts statistics, families and their combination.

Written from the section on evidence. A component's word holds r = ln R as float32 and the time of its last
update in whole seconds. R grows by (1 + R) L with the likelihood ratio L of each observation; what is reported
is log10(1 + R).

Readings of the specification
- A word without any observation counts as R = 0; the first update starts from the floor r = -20.
- Times are cut to whole seconds before they are subtracted; a time before the last update decays nothing and
  leaves the word's time as it is.
- The floor applies after decay and after the update.
- Track and cluster are averaged as R, which is the same per word, per family and in total.
- The extra point of evidence.families for line_search >= 9 is added whether or not another family alarms.
- A component that is switched off takes no observation and counts as 0 in its family's mean.
- Coverage has one component: blocks of texts by their mean discrepancy are none, because honest accounts differ from
  each other more than a campaign's do from all of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

FLOOR, CAP = -20.0, 27.63
SOFTPLUS_LINEAR = 15.0
HALF_LIFE = 86400.0  # seconds
ALARM = 3.0
CERTAIN_LINE_SEARCH = 9.0


@dataclass(frozen=True)
class Component:
    family: str
    name: str
    p0: float
    p1: float

    def log_ratio(self, hit: bool) -> float:
        return math.log(self.p1 / self.p0) if hit else math.log((1 - self.p1) / (1 - self.p0))


COMPONENTS = (
    Component("boundary", "flip", 0.10, 0.35),
    Component("boundary", "fine_flip", 0.02, 0.15),
    Component("line_search", "halving", 0.001, 0.10),
    Component("line_search", "collinear_flip", 0.002, 0.10),
    Component("coordinate", "new_coordinate", 0.10, 0.50),
    Component("coordinate", "climb_descent", 1 / 3, 0.85),
    Component("coordinate", "climb_ascent", 1 / 3, 0.85),
    Component("coordinate", "radial", 0.10, 0.70),
    Component("synthetic", "far", 0.20, 0.80),
    Component("synthetic", "off_grid", 0.05, 0.60),
    Component("coverage", "coverage", 0.03, 0.50),
    Component("coverage", "unusual_block", 0.02, 0.50),
    Component("cost", "cost", 0.01, 0.40),
    Component("recon", "error", 0.20, 0.60),
    Component("recon", "new_place", 0.05, 0.50),
    Component("recon", "probe", 0.001, 0.20),
    Component("recon", "bias_set", 0.005, 0.80),
    Component("collusion", "shared", 0.03, 0.30),
    Component("collusion", "template", 0.05, 0.60),
)
BY_NAME = {component.name: component for component in COMPONENTS}

# A family is the mean of its groups, a group the mean of its words.
FAMILIES: dict[str, tuple[tuple[str, ...], ...]] = {
    "boundary": (("flip",), ("fine_flip",)),
    "line_search": (("halving",), ("collinear_flip",)),
    "coordinate": (("new_coordinate",), ("climb_descent", "climb_ascent"), ("radial",)),
    "synthetic": (("far",), ("off_grid",)),
    "coverage": (("coverage",), ("unusual_block",)),
    "cost": (("cost",),),
    "recon": (("error",), ("new_place",), ("probe",), ("bias_set",)),
    "collusion": (("shared",), ("template",)),
}
STRICT = ("boundary", "line_search", "coordinate")


def bounded(r: float) -> np.float32:
    out: np.float32 = np.float32(min(CAP, max(FLOOR, r)))
    return out


def softplus(r: float) -> float:
    """ln(1 + R) from ln R."""
    return math.log1p(math.exp(r)) if r < SOFTPLUS_LINEAR else r


def decayed(r: float, seconds: float) -> np.float32:
    return bounded(r - math.log(2) * seconds / HALF_LIFE)


def updated(r: float, log_ratio: float) -> np.float32:
    return bounded(softplus(r) + log_ratio)


@dataclass
class Word:
    r: np.float32
    seconds: int

    def at(self, now: float) -> np.float32:
        return decayed(float(self.r), max(0, math.floor(now) - self.seconds))


class Evidence:
    """The words of a track or of a cluster of principals."""

    def __init__(self, off: Collection[str] = ()) -> None:
        self.off = off
        self.words: dict[str, Word] = {}

    def observe(self, name: str, hit: bool | None, now: float) -> None:
        """One observation of a component; None is none."""
        if hit is None or name in self.off:
            return
        before = self.words.get(name, Word(bounded(FLOOR), math.floor(now)))
        r = updated(float(before.at(now)), BY_NAME[name].log_ratio(hit))
        self.words[name] = Word(r, max(before.seconds, math.floor(now)))

    def ratio(self, name: str, now: float) -> float:
        """R of one component."""
        return math.exp(self.words[name].at(now)) if name in self.words else 0.0

    def family(self, family: str, now: float) -> float:
        """R of a family."""
        return mean([mean([self.ratio(name, now) for name in group]) for group in FAMILIES[family]])


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def reported(ratio: float) -> float:
    return math.log10(1 + ratio)


def readings(track: Evidence, now: float, row: bool, cluster: Evidence | None = None) -> dict[str, float]:
    """Every evidence signal of a track, which may be a member of a cluster. `row`: the inputs are rows."""
    ratios = {family: track.family(family, now) for family in FAMILIES}
    if cluster is not None:
        ratios = {family: (ratio + cluster.family(family, now)) / 2 for family, ratio in ratios.items()}
    out = {f"evidence.{family}": reported(ratio) for family, ratio in ratios.items()}
    alarms = sum(out[f"evidence.{family}"] >= ALARM for family in STRICT)
    certain = out["evidence.line_search"] >= CERTAIN_LINE_SEARCH and not row
    out["evidence.total"] = reported(mean([ratios[family] for family in STRICT]))
    out["evidence.families"] = float(alarms + certain)
    return out
