"""Slow, obvious twin of the geometry of linear sketches: what one query is to the inputs before it.

Written from the section on shared definitions (bracket, consecutive halving, sparse pair, once per coordinate,
cluster of a track, climb hit, low margin, energy) and from the section on precision. A sketch is an array of 64
numbers in scaled units: the query's in float32, the history's in fp16, the two heads in float32. All arithmetic
here is float64. An observation is True (hit), False (miss) or None (no observation).

Readings of the specification
- Both limits of precision are relative: a displacement counts from 2^-8 (fp16 history) or 1e-5 (float32 heads)
  of the norm of the query's sketch, and never when it is zero.
- The two displacements of a bracket that must be above the limit are u (from the near end to the query) and q
  (from the query to the far end); v = u + q follows.
- The four nearest entries are taken from all of the history; whether their labels are known is asked afterwards.
- A pair (j, k) below the limit is dropped. A query all of whose tests were dropped is no observation; a query
  without any pair of different labels is a miss.
- The bracket of a query, whose members are kept, has the nearest j that has one and for it the nearest k; the
  query is a midpoint when any of its brackets is one.
- Sparse differences are taken between stored forms, fp16 on both sides: an unchanged coordinate is exactly zero
  there, whatever its size. (An fp16 rounding error passes 1e-3 from |s_i| = 4 on.)
- A pair without any non-zero coordinate is not sparse.
- Once per coordinate: the coordinates of a hit are the one or two that hold nearly all of the difference to the
  nearest neighbour, not those that differ at all: what adds nothing to a line does not make it another. A
  difference that has no coordinate is within every mask.
- Of a single score p in [0, 1] the scores are (1 - p, p). Scores sum to 1 within 1e-3.
- The variance of a coordinate is floored at 1e-6, so that unused coordinates of narrow inputs add nothing.
- A cluster counts its founder, the neighbour of the query that founds it. k is the number of members before the
  query joins. L is the position of the founder's highest score. The founder's own score is not remembered: the
  first member recorded after the founding starts the extremes. The previous member is the one recorded last.
- A climb compares stored forms; distances within 2^-10 of each other are equal.
- Climbing is not the specification's (a new extreme from a return to the best, p0 0.05), but a test: a member is
  followed when one of the next two is nearer to it than to the best member before it. An input more than twice as
  far from both as from its neighbour comes from elsewhere, and ends the wait; so does one that cannot be compared
  because a member has left the history. Observed are pairs: the first member since the last pair that was an
  improvement, and the first that was none; a hit is that the one was followed and the other was not. Whoever does not
  look at scores follows both with one probability f, so p0 = max f (1 - f) = 1/4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[Any]
Key = tuple[int, int]  # the digest of an input, which names it

HISTORY_LIMIT = 2.0**-8
HEAD_LIMIT = 1e-5
COLLINEAR = 0.99
MIDPOINT_LOW, MIDPOINT_HIGH = 0.45, 0.55
NEAREST_ENDS = 4
NON_ZERO = 1e-3  # scaled units
BISECTED_COORDINATES = 2
PROBABILITY_TOLERANCE = 1e-3
LOW_MARGIN = 0.2
LEAST_DEVIATION = 0.1
TRACK_CLUSTERS = 4
CLIMB_MEMBERS = 4
FROM_ELSEWHERE = 2.0  # times the distance to the nearest input
STORAGE_PRECISION = 2.0**-10  # distances that differ by less are equal


# --- displacements


def displacement(start: Vector, end: Vector) -> npt.NDArray[np.float64]:
    return np.asarray(end, np.float64) - np.asarray(start, np.float64)


def norm(vector: Vector) -> float:
    values = np.asarray(vector, np.float64)
    return float(np.sqrt((values * values).sum()))


def cosine(a: Vector, b: Vector) -> float:
    """Of two displacements that are not zero."""
    return float((np.asarray(a, np.float64) * np.asarray(b, np.float64)).sum() / (norm(a) * norm(b)))


def resolvable(step: Vector, sketch: Vector, limit: float) -> bool:
    """Whether a displacement is long enough for its angle and length to mean anything."""
    return norm(step) > 0 and norm(step) >= limit * norm(sketch)


def distance(a: Vector, b: Vector, width: int) -> float:
    """D: the estimated RMS difference per feature in scaled units."""
    return norm(displacement(a, b)) / float(np.sqrt(width))


# --- brackets


def between(query: Vector, near_end: Vector, far_end: Vector) -> bool | None:
    """Whether the query lies on the line from one stored input to another; None below the limit of fp16."""
    u = displacement(near_end, query)
    v = displacement(near_end, far_end)
    q = displacement(query, far_end)
    if not (resolvable(u, query, HISTORY_LIMIT) and resolvable(q, query, HISTORY_LIMIT)) or norm(v) == 0:
        return None
    return cosine(u, v) > COLLINEAR and cosine(q, v) > COLLINEAR


def in_the_middle(query: Vector, near_end: Vector, far_end: Vector) -> bool:
    """Whether a query that is between two inputs is their midpoint."""
    ratio = norm(displacement(near_end, query)) / norm(displacement(near_end, far_end))
    return MIDPOINT_LOW < ratio < MIDPOINT_HIGH


@dataclass(frozen=True)
class Bracket:
    near_end: int  # positions in the history
    far_end: int
    midpoint: bool


@dataclass
class BracketSearch:
    """All brackets of a query, in the order of their near and then their far end's distance."""

    brackets: list[Bracket] = field(default_factory=list)
    tested: int = 0  # pairs of different labels above the limit of precision
    dropped: int = 0  # pairs of different labels below it

    def midpoint(self) -> bool:
        return any(bracket.midpoint for bracket in self.brackets)

    def collinear_flip(self) -> bool | None:
        if not self.tested and self.dropped:
            return None
        return bool(self.brackets)

    def halving(self, consecutive: bool | None) -> bool | None:
        """With the test on the two heads, which every query with two predecessors has."""
        if consecutive is None and not self.tested:
            return None
        return consecutive is True or self.midpoint()


def search_brackets(query: Vector, history: Sequence[Vector], labels: Sequence[int | None]) -> BracketSearch:
    """The query against every pair of history entries with different known labels, one of them among the four
    nearest to it. Entries are distinct inputs."""
    search = BracketSearch()
    order = sorted(range(len(history)), key=lambda at: norm(displacement(query, history[at])))
    for j in order[:NEAREST_ENDS]:
        for k in order:
            if labels[j] is None or labels[k] is None or labels[j] == labels[k]:
                continue
            found = between(query, history[j], history[k])
            if found is None:
                search.dropped += 1
                continue
            search.tested += 1
            if found:
                search.brackets.append(Bracket(j, k, in_the_middle(query, history[j], history[k])))
    return search


# --- sequences, on the float32 heads


def consecutive_steps(
    query: Vector, last: Vector, last_but_one: Vector
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """The last two displacements of the sequence; None when one of them is below the limit of float32."""
    a, b = displacement(last, query), displacement(last_but_one, last)
    if not (resolvable(a, query, HEAD_LIMIT) and resolvable(b, query, HEAD_LIMIT)):
        return None
    return a, b


def consecutive_halving(query: Vector, last: Vector, last_but_one: Vector) -> bool | None:
    steps = consecutive_steps(query, last, last_but_one)
    if steps is None:
        return None
    a, b = steps
    return abs(cosine(a, b)) > COLLINEAR and MIDPOINT_LOW < norm(a) / norm(b) < MIDPOINT_HIGH


def direction_similarity(query: Vector, last: Vector, last_but_one: Vector) -> float | None:
    """DS: the cosine of the last two displacements."""
    steps = consecutive_steps(query, last, last_but_one)
    return None if steps is None else cosine(*steps)


# --- coordinates


def stored(sketch: Vector) -> npt.NDArray[np.float16]:
    return np.clip(np.asarray(sketch, np.float32), -65504, 65504).astype(np.float16)


def coordinates(a: Vector, b: Vector) -> int:
    """The non-zero coordinates of a difference as a mask of 64 bits."""
    steps = displacement(stored(a), stored(b))
    return sum(1 << at for at, step in enumerate(steps) if abs(step) > NON_ZERO)


def dominant_coordinates(a: Vector, b: Vector) -> int:
    """The one or two coordinates with 98 % of the squared difference (a line has a cosine of 0.99) as a mask; all of
    them when it takes more, none when there is no difference."""
    squares = displacement(stored(a), stored(b)) ** 2
    order = np.argsort(-squares, kind="stable")
    if squares.sum() == 0:
        return 0
    for count in (1, 2):
        if squares[order[:count]].sum() >= COLLINEAR**2 * squares.sum():
            return sum(1 << int(at) for at in order[:count])
    return 2 ** len(squares) - 1


def coordinate_count(mask: int) -> int:
    return bin(mask).count("1")


def sparse(mask: int, width: int) -> bool:
    """Whether a near pair with these coordinates is a sparse pair."""
    most = max(2.0, 0.05 * width) if width <= 64 else 4.0
    return 1 <= coordinate_count(mask) <= most


def dense(mask: int, width: int) -> bool:
    return coordinate_count(mask) >= max(8, math.ceil(min(width, 64) / 4))


def bisected_before(mask: int, bisected: int) -> bool:
    """Once per coordinate, not at all for the first two: whether a hit with this difference to the nearest neighbour is
    no observation."""
    known = mask & ~bisected == 0 or coordinate_count(mask | bisected) <= BISECTED_COORDINATES
    return coordinate_count(mask) <= BISECTED_COORDINATES and known


# --- scores


def class_scores(scores: Sequence[float]) -> list[float]:
    """The scores as float32; of a single probability p, those of both classes."""
    values = [float(np.float32(score)) for score in scores]
    if len(values) == 1 and 0 <= values[0] <= 1:
        return [1 - values[0], values[0]]
    return values


def top_position(scores: Sequence[float]) -> int:
    """Position of the highest score, the first of equal ones."""
    return max(range(len(scores)), key=lambda at: scores[at])


def margin(scores: Sequence[float]) -> float | None:
    """Top-1 score minus top-2 score; None for fewer than two scores."""
    ordered = sorted(scores, reverse=True)
    return ordered[0] - ordered[1] if len(ordered) >= 2 else None


def low_margin(scores: Sequence[float], tenth_percentile: float) -> bool | None:
    """`tenth_percentile` is that of the model's margin reference, for scores that are no probabilities."""
    m = margin(scores)
    if m is None:
        return None
    probabilities = abs(sum(scores) - 1) <= PROBABILITY_TOLERANCE
    return m < (LOW_MARGIN if probabilities else tenth_percentile)


# --- energy


def energy(sketch: Vector, mean: Vector, variance: Vector) -> float:
    """Mean over the 64 coordinates of the squared deviation in units of the model's variance; a coordinate's spread
    counts as a tenth of the typical one at least."""
    deviation = np.asarray(sketch, np.float64) - np.asarray(mean, np.float64)
    spread = np.sqrt(np.asarray(variance, np.float64))
    typical = math.sqrt(float((spread**2).mean()))
    return float(((deviation / np.maximum(spread, max(LEAST_DEVIATION * typical, 1e-6))) ** 2).mean())


@dataclass(frozen=True)
class Manifold:
    """Where a model's ordinary inputs lie, from its reservoir of sketches (of 4 at most per principal)."""

    mean: Vector
    variance: Vector
    energies: tuple[float, ...]
    p99: float
    off_grid: float  # mean off-grid share; 1 when known of fewer than 32


def manifold(sketches: Sequence[Vector], off_grid: Sequence[float | None]) -> Manifold | None:
    """Nothing below 32 sketches. The tenth with the largest energy is left out, 4 at least, and so is the largest tenth
    of the off-grid shares."""
    if len(sketches) < 32:
        return None
    points = np.asarray(sketches, np.float64)
    first = [energy(point, points.mean(axis=0), points.var(axis=0)) for point in points]
    points = points[np.argsort(first)[: len(points) - max(4, len(points) // 10)]]
    mean, variance = points.mean(axis=0), points.var(axis=0)
    energies = sorted(energy(point, mean, variance) for point in points)
    known = sorted(share for share in off_grid if share is not None)
    kept = known[: len(known) - max(4, len(known) // 10)]
    usual = sum(kept) / len(kept) if len(known) >= 32 else 1.0
    return Manifold(mean, variance, tuple(energies), float(np.percentile(energies, 99)), usual)


def manifold_rank(value: float, energies: Sequence[float]) -> float:
    """Share of the model's reference energies that are not above this one."""
    return sum(known <= value for known in energies) / len(energies)


def far(value: float, p99: float) -> bool:
    return value > 2 * p99


# --- the grid


def off_grid_share(x: Vector, origin: Vector, step: Vector) -> float:
    """Share of coordinates off their grid (origin + k step) by more than 1e-3 steps, or than float32 can tell.

    A range [low, high] with grid n has origin low and step (high - low) / n; declared decimals have step
    10^-decimals; a coordinate without a grid has step 0 and is never off it.
    """
    values = np.asarray(x, np.float32).ravel()
    origins, steps = np.broadcast_to(origin, values.shape), np.broadcast_to(step, values.shape)
    return sum(off_grid(*triple) for triple in zip(values, origins, steps, strict=True)) / values.size


def off_grid(x: np.float32, origin: float, step: float) -> bool:
    if step == 0:
        return False
    place = (float(x) - float(origin)) / float(step)
    finest = max(abs(float(x)), abs(float(x) - float(origin))) * 2.0**-23
    tolerance = max(1e-3, finest / float(step))
    return abs(place - round(place)) > tolerance


# --- clusters of a track


@dataclass(frozen=True)
class Waiting:
    """A member of which it is not known yet whether it is followed. best: the best one before it. asked: before."""

    member: Key
    best: Key
    improved: bool
    asked: bool = False


@dataclass(eq=False)
class TrackCluster:
    founder: Key
    position: int | None  # of the founder's label in the scores; None until it is known
    members: int = 1
    previous: Key | None = None
    best: dict[str, Key] = field(default_factory=dict)  # by direction, as the extremes
    extreme: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, list[Waiting]] = field(default_factory=dict)  # by direction, oldest first
    results: dict[str, dict[bool, bool]] = field(default_factory=dict)  # by direction: improved -> followed

    def improves(self, direction: str, score: float) -> bool:
        if direction not in self.extreme:
            return True
        return score < self.extreme[direction] if direction == "descent" else score > self.extreme[direction]

    def follows(
        self, direction: str, query: Vector, neighbour: Key, history: dict[Key, Vector], counts: bool
    ) -> bool | None:
        """Whether the caller goes on from improvements and returns from what is none: an observation, or None."""
        observation = None
        still = []
        for one in self.waiting.get(direction, []):
            keys = (one.member, one.best, neighbour)
            if any(key not in history for key in keys):
                continue
            to_it, to_best, nearest = (norm(displacement(query, history[key])) for key in keys)
            if min(to_it, to_best) > FROM_ELSEWHERE * nearest:
                continue
            followed = to_it < (1 - STORAGE_PRECISION) * to_best
            if not followed and not one.asked:
                still.append(replace(one, asked=True))
            elif counts:
                results = self.results.setdefault(direction, {})
                results.setdefault(one.improved, followed)
                if len(results) == 2:
                    observation = results[True] and not results[False]
                    results.clear()
        self.waiting[direction] = still
        return observation

    def recorded(self, member: Key, score: float) -> None:
        for direction in ("descent", "ascent"):
            if self.previous is not None:
                wait = Waiting(member, self.best[direction], self.improves(direction, score))
                self.waiting.setdefault(direction, []).append(wait)
            if self.improves(direction, score):
                self.best[direction], self.extreme[direction] = member, score
        self.previous = member


class TrackClusters:
    """At most four clusters of near inputs, the oldest replaced."""

    def __init__(self) -> None:
        self.live: list[TrackCluster] = []  # oldest first
        self.of_input: dict[Key, TrackCluster] = {}

    def join(self, query: Key, neighbour: Key, neighbour_position: int | None) -> tuple[TrackCluster, int]:
        """The cluster of a near pair's query and how many members it had before."""
        cluster = self.of_input.get(neighbour)
        if cluster is None or cluster not in self.live:
            cluster = TrackCluster(neighbour, neighbour_position)
            self.live = [*self.live, cluster][-TRACK_CLUSTERS:]
            self.of_input[neighbour] = cluster
        before = cluster.members
        cluster.members += 1
        self.of_input[query] = cluster
        return cluster, before


# --- trends


def kendall_tau(values: Sequence[float]) -> float:
    """Tau-a of position against value: (rising pairs - falling pairs) / pairs."""
    pairs = [(values[i], values[j]) for i in range(len(values)) for j in range(i + 1, len(values))]
    return sum((later > earlier) - (later < earlier) for earlier, later in pairs) / len(pairs)
