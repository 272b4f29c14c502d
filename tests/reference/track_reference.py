"""Slow, obvious twin of one dense or row track: every signal that needs the track and its model's numbers.

Written from the sections on state, signals (volume and identity, similarity and geometry, outputs and scores) and
evidence. `decide` takes a query, `record` its response, in any order, late or never; `signals` reads. The upkeep
of recent, kept and anchor inputs, exact duplicates, distances and near pairs are those of the similarity twin.

Readings of the specification
- Queries. decide() stores at once, so the newest query is among the 64 outcomes that `signals` reads. A batch is
  its rows decided in order and then recorded in order. A query that is late enters the rings where it arrives;
  only window counters drop it. Outcome times are cut to 1/64 s.
- "Non-duplicate" queries are those whose digest is neither in the 64 outcomes nor in the history. Sequence and
  distance tests, coverage, groups, the budget and the margin histogram see only them.
- A retry (same digest within 60 s after 408, 429 or 5xx was recorded for it) enters nothing at all.
- Evidence of a query without its response (halving, collinear flip, new coordinate, far, off-grid) is observed in
  decide(), at its `now`. Brackets use the labels known at that time and never the query's own.
- Evidence of a response (flip, fine flip, climbs) is observed in record(), at its `now`. A near pair is the query
  and its nearest neighbour; it is observed when the second of both labels arrives, if the query is still among the
  64 outcomes then. Otherwise it never is.
- The label of an input is the first one recorded for it, and known while the input is in the history or among the
  64 outcomes. Without a label but with scores it is the position of
  the highest score. Responses to exact duplicates and retries label nothing. Of two records of one query the
  second is ignored.
- Once per coordinate concerns evidence only; api.halving_hits and api.collinear_flips count every hit. Halving and
  collinear flip of one query are both compared with the mask before it.
- Masks (bisected and sparse coordinates) are emptied by the first query 24 h or more after their first entry; the
  near pairs that api.sparse_probe_coordinates needs are counted since then, and the share of sparse ones is no part
  of the signal. Both it and the new-coordinate evidence are missing for rows with d < 32. A coordinate is new when
  no sparse pair since the mask was emptied has changed it: a sweep over a grid goes to and fro between two.
- Departures: near pairs that differ in a quarter of min(d, 64) coordinates, at least eight; the last 30 are
  remembered, by their neighbour and the power of two of the distance. One is observed unless some of
  the 30 is shorter by more than one power; it is compared with those that are not longer by more than one, and is a
  hit when six of these, and half of those since the first of the six, have its neighbour, and the squared distance is
  at most 0.6 of the (upper) median of those to all inputs of the history.
- Kept: first the near neighbour, then near and far end of the bracket, then the query.
- A near pair joins its cluster when its scores are recorded, if both inputs are still in the history. L is the
  position of the founder's best score, or that of the first member to be recorded when the founder's is not known.
- Fine flip: at least 8 near pairs before the query among the 64 outcomes that there are when the pair is observed;
  the median of the last 32 of their distances, stored in fp16; of an even number the mean of the middle two.
- Counts of hits (halving_hits, collinear_flips, score_ascents) are of the 64 outcomes, as shares are; hits count at
  their query's time. score_ascents needs a living cluster of 8 members.
- Windowed shares and means are over the outcomes with time in (now - w, now]. Survival, manifold rank and off-grid
  share are kept in steps of 1/255. api.error_ratio is in principal_reference.
- timing_regularity: gaps between the sorted times of at least 32 queries of the window, duplicates included;
  population standard deviation; missing when all times are equal.
- distinct_inputs: generations of 24 h, see answers_reference; register = low 6 bits of the digest's low half, rank =
  1 + leading zeros of the other 58; linear
  counting up to 160 while a register is empty. A query of the generation before the current one counts there.
- anchor_trend: samples in the order of their records; distances between stored forms, not divided by the root of d,
  in fp16; tau-a. When a 33rd sample is due, every
  second one (the 2nd, 4th, ...) goes and the stride doubles. The minimum of 24 is of eligible queries, not of
  samples kept. A new first anchor starts over. The anchor's label must be known when the query's arrives.
- delta_concentration: counts in 40 bins, all of them halved (rounded down) when they come to 384, instead of a decay by
  255/256 for each step: integers, and no more state than the bins.
- coverage: of the cells 10 bits of a hash are remembered, and their number is estimated by linear counting:
  -1024 ln(share of the 1,024 values that no cell has had), at most 4,096. Half a kilobyte of cells does not fit.
- Evidence of coverage is observed by the 64th, 128th, ..., 32,768th non-duplicate, in decide(). What principals have at
  each of these is kept in 128 bins over the cells that could have been reached, halved (rounded down) when they come to
  2,048; more than 99 % of principals have means that fewer than a hundredth lie in the query's bin or above.
- group_regularity: the run's first member is remembered apart from the history; only finished runs count, their
  lengths up to 255; 1 - min(1, CV).
- confidence_shift: all margins of non-duplicates since the track began; 24 bins whose edges belong to the model
  (equal ones on [0, 1] unless said); margins beyond the edges count in the outermost bins; D at the inner edges.
- cost_amplification: five slots with value and time; a new value takes an empty or expired slot, else that of the
  smallest (of equals the oldest) if it is larger, or as large and newer. Expiry is by the newest time, not by the
  value's own: what comes too late to be in the window takes no slot. The signal is the smallest of five that are in
  the window. Bin = floor(log2(size)).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from tests.reference import geometry_reference as geometry
from tests.reference import similarity_reference as similarity
from tests.reference.evidence_reference import Evidence, readings
from tests.reference.geometry_reference import Key, TrackClusters, Vector
from tests.reference.similarity_reference import Sketch

OUTCOMES = 64
DAY = 86400.0
MINIMUM = 8
RETRY_SECONDS = 60.0
FAILED = {408, 429, *range(500, 600)}
NEAR_DISTANCES = 32
BUDGET_HALF_LIFE = 30 * DAY


class CoverageCurves:
    """How many cells principals have been in after 64, 128, ... inputs."""

    def __init__(self) -> None:
        self.bins: dict[int, list[int]] = {}

    @staticmethod
    def counts(inputs: int) -> bool:
        return inputs in [64 << level for level in range(10)]

    def place(self, inputs: int, cells: float) -> int:
        return min(127, math.floor(cells / min(4096, inputs) * 128))

    def add(self, inputs: int, cells: float) -> None:
        bins = self.bins.setdefault(inputs, [0] * 128)
        bins[self.place(inputs, cells)] += 1
        if sum(bins) >= 2048:
            self.bins[inputs] = [count // 2 for count in bins]

    def wide(self, inputs: int, cells: float) -> bool | None:
        bins = self.bins.get(inputs, [0])
        if sum(bins) < 100:
            return None
        return 100 * sum(bins[self.place(inputs, cells) :]) < sum(bins)


@dataclass
class ModelNumbers:
    """What a track reads from its model's references. Distances in scaled units."""

    width: int  # d, features
    row: bool = False
    q01: float = 0.05  # below it a pair is near
    median: float = 0.1  # of F_ref: within it a group goes on
    survival: Callable[[float, int], float] = lambda distance, entries: math.exp(-distance / 0.1)
    margin_tenth: float = 0.0  # 10th percentile of the margins
    margin_edges: Sequence[float] = tuple(i / 24 for i in range(25))
    margin_shares: Sequence[float] | None = None  # of the 24 bins
    sketch_mean: Vector | None = None
    sketch_variance: Vector | None = None
    energies: Sequence[float] = ()
    energy_p99: float = math.inf
    off_grid: float = 1.0  # mean off-grid share of the model's queries
    hyperplanes: Vector | None = None  # 12 x 64
    cell_seed: int = 0  # of the cells' hashes
    coverage_curves: CoverageCurves | None = None
    cost_medians: Sequence[float] | None = None  # of the 16 bins of input size
    extraction_budget: float | None = None  # E_model, queries


class References(similarity.References):
    """The similarity twin's view of the model: plain numbers."""

    def __init__(self, numbers: ModelNumbers) -> None:
        super().__init__()
        self.numbers = numbers

    def read(self, sketch: Sketch, distance: float, entries: int) -> tuple[float, bool, bool]:
        return self.numbers.survival(distance, entries), distance < self.numbers.q01, True


def in_steps(value: float) -> float:
    return math.floor(value * 255 + 0.5) / 255


def share(flags: Sequence[bool | None], minimum: int) -> float:
    """Share of true ones among the known; missing below the minimum."""
    known = [flag for flag in flags if flag is not None]
    return sum(known) / len(known) if len(known) >= minimum else math.nan


def average(values: Sequence[float | None], minimum: int) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) >= minimum else math.nan


def variation(values: Sequence[float]) -> float:
    """Coefficient of variation; missing for a mean of zero."""
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) / mean if mean else math.nan


# --- counters


class Registers:
    """HyperLogLog with 64 registers."""

    def __init__(self) -> None:
        self.ranks = [0] * 64

    def add(self, word: int) -> None:
        rest = word >> 6
        self.ranks[word & 63] = max(self.ranks[word & 63], 1 + 58 - rest.bit_length())

    def union(self, other: Registers) -> Registers:
        out = Registers()
        out.ranks = [max(pair) for pair in zip(self.ranks, other.ranks, strict=True)]
        return out

    def estimate(self) -> float:
        raw = 0.709 * 64 * 64 / sum(2.0**-rank for rank in self.ranks)
        empty = self.ranks.count(0)
        return 64 * math.log(64 / empty) if raw <= 160 and empty else raw


class Distinct:
    """Distinct words in a window, from two generations of its length."""

    def __init__(self, window: float) -> None:
        self.window = window
        self.generation = 0
        self.current, self.previous = Registers(), Registers()

    def move_to(self, generation: int) -> None:
        if generation <= self.generation:
            return
        self.previous = self.current if generation == self.generation + 1 else Registers()
        self.current, self.generation = Registers(), generation

    def add(self, word: int, now: float) -> None:
        generation = math.floor(now / self.window)
        self.move_to(generation)
        if generation == self.generation:
            self.current.add(word)
        elif generation == self.generation - 1:
            self.previous.add(word)

    def estimate(self, now: float) -> float:
        self.move_to(math.floor(now / self.window))
        elapsed = min(1.0, max(0.0, now / self.window - self.generation))
        everything = self.current.union(self.previous).estimate()
        return everything - elapsed * (everything - self.current.estimate())


class DailyMask:
    """A mask of 64 coordinates that is emptied 24 h after its first entry."""

    def __init__(self) -> None:
        self.mask, self.entries, self.since = 0, 0, 0.0

    def empty(self, now: float) -> bool:
        return self.entries == 0 or now - self.since >= DAY

    def add(self, mask: int, now: float) -> None:
        if self.empty(now):
            self.mask, self.entries, self.since = 0, 0, now
        self.mask |= mask
        self.entries += 1

    def at(self, now: float) -> int:
        return 0 if self.empty(now) else self.mask


class DirectionHistogram:
    """The cosines of consecutive displacements, the last few hundred of them."""

    def __init__(self) -> None:
        self.bins = [0] * 40

    def add(self, value: float) -> None:
        self.bins[min(39, max(0, math.floor((value + 1) * 20)))] += 1
        if sum(self.bins) >= 384:
            self.bins = [count // 2 for count in self.bins]

    def concentration(self) -> float:
        return sum(sorted(self.bins)[-2:]) / sum(self.bins) if sum(self.bins) >= 64 else math.nan


class Departures:
    """From which inputs the last 30 near ones departed, over how far, and whether that was a hit."""

    def __init__(self) -> None:
        self.last: list[tuple[Key, int, bool]] = []

    def add(self, neighbour: Key, distance: float, central: bool) -> bool | None:
        """`central`: the neighbour is nearer than the other inputs by what a centre is."""
        length = min(15, max(1, math.floor(math.log2(distance)) + 13))
        observed = all(length <= other + 1 for _, other, _ in self.last)
        of_this_length = [known for known, other, _ in self.last if other <= length + 1]
        since = of_this_length[of_this_length.index(neighbour) :] if neighbour in of_this_length else []
        hit = observed and central and since.count(neighbour) >= 6 and 2 * since.count(neighbour) >= len(since)
        self.last = [*self.last, (neighbour, length, hit)][-30:]
        return hit if observed else None

    def radial(self) -> int:
        return sum(hit for _, _, hit in self.last)


class AnchorTrend:
    def __init__(self) -> None:
        self.samples: list[float] = []
        self.stride, self.eligible = 1, 0

    def add(self, distance: float) -> None:
        if self.eligible % self.stride == 0:
            if len(self.samples) == 32:
                self.samples, self.stride = self.samples[::2], self.stride * 2
            self.samples.append(float(np.float16(distance)))
        self.eligible += 1

    def tau(self) -> float:
        return geometry.kendall_tau(self.samples) if self.eligible >= 24 else math.nan


class Groups:
    """Runs of inputs within the model's median distance of the run's first member."""

    def __init__(self) -> None:
        self.first: Sketch | None = None
        self.length = 0
        self.finished: list[int] = []  # the last 16

    def add(self, sketch: Sketch, reach: float) -> None:
        if self.first is not None and self.first.space == sketch.space and sketch.distance(self.first) < reach:
            self.length += 1
            return
        if self.first is not None:
            self.finished = [*self.finished, min(255, self.length)][-16:]
        self.first, self.length = sketch, 1

    def regularity(self) -> float:
        if len(self.finished) < 10 or median(self.finished) < 3:
            return math.nan
        return 1 - min(1.0, variation(self.finished))


class LargestCosts:
    """The five largest amplifications of the window: value and time."""

    def __init__(self) -> None:
        self.slots: list[tuple[float, float]] = []

    def add(self, value: float, time: float, now: float, window: float) -> None:
        """A request of `time`, when the newest time is `now`."""
        self.slots = [slot for slot in self.slots if slot[1] > now - window]
        if time <= now - window:
            return
        if len(self.slots) == 5 and (value, time) > min(self.slots):
            self.slots.remove(min(self.slots))
        if len(self.slots) < 5:
            self.slots.append((value, time))

    def fifth(self, now: float, window: float) -> float:
        values = [value for value, time in self.slots if now - window < time <= now]
        return min(values) if len(values) == 5 else math.nan


def kolmogorov_smirnov(counts: Sequence[int], shares: Sequence[float]) -> float:
    """-log10 p of a histogram against a reference, capped at 30."""
    n = sum(counts)
    gaps = np.cumsum(np.asarray(counts) / n) - np.cumsum(np.asarray(shares) / sum(shares))
    scaled = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * float(np.abs(gaps[:-1]).max())
    if scaled < 0.2:
        return 0.0
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(30.0, max(0.0, -math.log10(p))) if p > 0 else 30.0


def size_bin(size: float) -> int:
    return min(15, math.floor(math.log2(max(1.0, size))))


# --- the track


@dataclass(eq=False)
class Outcome:
    time: float
    digest: Key
    duplicate: bool
    near: bool = False
    comparable: bool = False
    survival: float | None = None
    rank: float | None = None
    off_grid: float | None = None
    flip: bool | None = None  # of a near pair with both labels
    low_margin: bool | None = None
    halving: bool = False
    collinear_flip: bool = False
    descent: bool = False
    ascent: bool = False
    near_distance: float | None = None


@dataclass(eq=False)
class Handle:
    """What a decision carries to its record."""

    sketch: Sketch
    time: float
    outcome: Outcome | None  # None for a retry
    seen: similarity.Seen = field(default_factory=similarity.Seen)
    anchor: Sketch | None = None
    recorded: bool = False

    def original(self) -> bool:
        """A non-duplicate that can be compared."""
        return self.outcome is not None and not self.outcome.duplicate and self.sketch.space is not None


def members(pair: Handle) -> tuple[Key, Key]:
    """The query and its nearest neighbour."""
    assert pair.seen.neighbour is not None
    return pair.sketch.digest, pair.seen.neighbour.digest


class TrackReference:
    def __init__(self, numbers: ModelNumbers, window: float = 300.0, evidence: Evidence | None = None) -> None:
        self.numbers, self.window = numbers, window
        self.evidence = evidence if evidence is not None else Evidence()
        self.references = References(numbers)
        self.history = similarity.Track()
        self.heads: list[Sketch] = []  # the last two non-duplicates, newest last
        self.outcomes: list[Outcome] = []
        self.labels: dict[Key, int] = {}  # of inputs in the history
        self.top_positions: dict[Key, int] = {}
        self.failures: dict[Key, float] = {}  # newest failed response
        self.waiting: list[Handle] = []  # near pairs not yet observed
        self.bisected, self.probed = DailyMask(), DailyMask()
        self.clusters = TrackClusters()
        self.departures = Departures()
        self.trend = AnchorTrend()
        self.directions = DirectionHistogram()
        self.groups = Groups()
        self.distinct = Distinct(DAY)
        self.cells: set[int] = set()  # hashes of 10 bits
        self.originals = 0
        self.margins = [0] * 24
        self.costs = LargestCosts()
        self.budget, self.budget_time = 0.0, -math.inf

    # --- decide

    def decide(
        self,
        sketch: Vector | None,
        digest: Key,
        now: float,
        off_grid: float | None = None,
    ) -> Handle:
        """One query. `sketch`: 64 numbers, None for an input known by its digest only; `off_grid`: the share of
        its coordinates off their grid."""
        query = self.sketch(sketch, digest)
        if now - self.failures.get(digest, -math.inf) <= RETRY_SECONDS:
            return Handle(query, now, None)
        self.distinct.add(digest[0], now)
        seen = self.history.observe(query, self.references)
        outcome = self.outcome(query, seen, now, off_grid)
        handle = Handle(query, now, outcome, seen)
        if not outcome.duplicate:
            self.spend(now)
        bracket: list[Sketch] = []
        if handle.original():
            bracket = self.line_search(handle, now)
            if seen.near:
                self.near_pair(handle, now)
            self.synthetic(query, outcome, now)
            self.follow(query, now)
        self.store(handle, bracket, now)
        return handle

    def sketch(self, values: Vector | None, digest: Key) -> Sketch:
        out = Sketch(digest, False, self.numbers.width)
        if values is not None:
            out.query = np.asarray(values, np.float32)
            out.stored = geometry.stored(out.query)
            out.space = (self.numbers.width,)
        return out

    def outcome(self, query: Sketch, seen: similarity.Seen, now: float, off_grid: float | None) -> Outcome:
        out = Outcome(math.floor(now * 64) / 64, query.digest, seen.duplicate, seen.near, query.space is not None)
        if not math.isnan(seen.survival):
            out.survival = in_steps(seen.survival)
        numbers = self.numbers
        if not seen.duplicate and query.space is not None:
            out.off_grid = None if off_grid is None else in_steps(off_grid)
            if numbers.energies and numbers.sketch_mean is not None:
                out.rank = in_steps(geometry.manifold_rank(self.energy(query), numbers.energies))
        return out

    def energy(self, query: Sketch) -> float:
        assert self.numbers.sketch_mean is not None and self.numbers.sketch_variance is not None
        return geometry.energy(query.query, self.numbers.sketch_mean, self.numbers.sketch_variance)

    def inputs(self) -> list[Sketch]:
        """The distinct inputs of the history."""
        everything = self.history.recent + self.history.kept + self.history.anchors
        return list({sketch.digest: sketch for sketch in everything}.values())

    def stored_sketches(self) -> dict[Key, Vector]:
        return {sketch.digest: sketch.stored for sketch in self.inputs()}

    def line_search(self, handle: Handle, now: float) -> list[Sketch]:
        """Halving and collinear flips; gives the members of the query's bracket."""
        query, known = handle.sketch.query, self.inputs()
        labels = [self.labels.get(sketch.digest) for sketch in known]
        search = geometry.search_brackets(query, [sketch.stored for sketch in known], labels)
        collinear: bool | None = None
        halving: bool | None = None
        if len(self.heads) == 2:
            last_but_one, last = self.heads
            collinear = search.collinear_flip()
            halving = search.halving(geometry.consecutive_halving(query, last.query, last_but_one.query))
        self.observe_line_search(handle, {"halving": halving, "collinear_flip": collinear}, now)
        if not search.brackets:
            return []
        return [known[search.brackets[0].near_end], known[search.brackets[0].far_end]]

    def observe_line_search(self, handle: Handle, observations: dict[str, bool | None], now: float) -> None:
        assert handle.outcome is not None
        neighbour = handle.seen.neighbour
        touched = 2**64 - 1
        if neighbour is not None:
            touched = geometry.dominant_coordinates(neighbour.stored, handle.sketch.query)
        again = neighbour is not None and geometry.bisected_before(touched, self.bisected.at(now))
        for name, hit in observations.items():
            if hit:
                setattr(handle.outcome, name, True)
            self.evidence.observe(name, None if hit and again else hit, now)
        if any(observations.values()) and geometry.coordinate_count(touched) <= geometry.BISECTED_COORDINATES:
            self.bisected.add(touched, now)

    def near_pair(self, handle: Handle, now: float) -> None:
        """What a near pair tells before any label is known; handle.seen.neighbour is the other member."""
        neighbour = handle.seen.neighbour
        assert neighbour is not None
        changed = geometry.coordinates(neighbour.stored, handle.sketch.query)
        self.sparse_pair(changed, now)
        if geometry.dense(changed, self.numbers.width):
            self.departure(handle, neighbour, now)
        assert handle.outcome is not None
        handle.outcome.near_distance = float(np.float16(handle.seen.distance))
        if self.history.anchors:
            handle.anchor = self.history.anchors[0]
        self.waiting.append(handle)

    def sparse_pair(self, mask: int, now: float) -> None:
        if not self.probes_count():
            return
        is_sparse = geometry.sparse(mask, self.numbers.width)
        new = is_sparse and bool(mask & ~self.probed.at(now))
        self.probed.add(mask if is_sparse else 0, now)
        self.evidence.observe("new_coordinate", new, now)

    def departure(self, handle: Handle, neighbour: Sketch, now: float) -> None:
        query = handle.sketch.query
        squares = sorted(geometry.norm(geometry.displacement(known.stored, query)) ** 2 for known in self.inputs())
        central = squares[0] <= 0.6 * squares[len(squares) // 2]
        hit = self.departures.add(neighbour.digest, handle.seen.distance, central)
        self.evidence.observe("radial", hit, now)

    def probes_count(self) -> bool:
        return not self.numbers.row or self.numbers.width >= 32

    def synthetic(self, query: Sketch, outcome: Outcome, now: float) -> None:
        if self.numbers.sketch_mean is not None:
            self.evidence.observe("far", geometry.far(self.energy(query), self.numbers.energy_p99), now)
        if outcome.off_grid is not None and self.numbers.off_grid < 0.01:
            self.evidence.observe("off_grid", outcome.off_grid > 0.1, now)

    def follow(self, query: Sketch, now: float) -> None:
        """Sequences and sets of non-duplicates."""
        if len(self.heads) == 2:
            direction = geometry.direction_similarity(query.query, self.heads[1].query, self.heads[0].query)
            if direction is not None:
                self.directions.add(direction)
        self.heads = [*self.heads, query][-2:]
        self.groups.add(query, self.numbers.median)
        self.originals += 1
        if self.numbers.hyperplanes is not None and self.numbers.sketch_mean is not None:
            sides = np.asarray(self.numbers.hyperplanes) @ (query.query.astype(np.float64) - self.numbers.sketch_mean)
            cell = sum(1 << at for at, side in enumerate(sides) if side > 0)
            self.cells.add(similarity.mix64(self.numbers.cell_seed, cell) % 1024)
            self.compare_coverage(now)

    def store(self, handle: Handle, bracket: list[Sketch], now: float) -> None:
        """The upkeep of the similarity twin, and the members of a bracket kept."""
        assert handle.outcome is not None
        anchor = [sketch.digest for sketch in self.history.anchors[:1]]
        self.history.commit(handle.sketch, handle.seen, now)
        if bracket:
            for member in [*bracket, handle.sketch]:
                self.history.keep(member)
        if [sketch.digest for sketch in self.history.anchors[:1]] != anchor:
            self.trend = AnchorTrend()
        self.outcomes = [*self.outcomes, handle.outcome][-OUTCOMES:]
        present = {sketch.digest for sketch in self.inputs()}
        of_cluster: dict[Key, Any] = self.clusters.of_input
        remembered = present | {outcome.digest for outcome in self.outcomes}
        self.waiting = [pair for pair in self.waiting if pair.outcome in self.outcomes]
        for of_input, known in ((self.labels, remembered), (self.top_positions, remembered), (of_cluster, present)):
            for digest in [digest for digest in of_input if digest not in known]:
                del of_input[digest]

    def spend(self, now: float) -> None:
        self.budget = self.decayed_budget(now) + 1
        self.budget_time = max(self.budget_time, now)

    def decayed_budget(self, now: float) -> float:
        if not self.budget:
            return 0.0
        return self.budget * math.pow(2.0, -max(0.0, now - self.budget_time) / BUDGET_HALF_LIFE)

    # --- record

    def record(
        self,
        handle: Handle,
        label: int | None = None,
        scores: Sequence[float] | None = None,
        cost: float | None = None,
        size: float = 1.0,
        status: int = 200,
        now: float | None = None,
    ) -> None:
        """The response to a query. `cost` in any one unit, `size` of the input in bytes or tokens; `now` is the
        query's time unless given."""
        if handle.recorded:
            return
        handle.recorded = True
        time = handle.time if now is None else now
        if status in FAILED:
            self.failures[handle.sketch.digest] = time
        if handle.outcome is None:
            return
        if cost is not None and self.numbers.cost_medians is not None:
            amplification = cost / self.numbers.cost_medians[size_bin(size)]
            self.costs.add(amplification, handle.time, max(time, handle.time), self.window)
        values = geometry.class_scores(scores) if scores is not None else []
        self.margin(handle, values)
        if handle.original():
            self.label(handle, label, values)
            self.observe_pairs(handle, time)
            self.climb(handle, values, time)
            self.approach(handle)

    def margin(self, handle: Handle, scores: list[float]) -> None:
        assert handle.outcome is not None
        value = geometry.margin(scores)
        if value is None or handle.outcome.duplicate:
            return
        handle.outcome.low_margin = geometry.low_margin(scores, self.numbers.margin_tenth)
        inner = self.numbers.margin_edges[1:-1]
        self.margins[sum(value >= edge for edge in inner)] += 1

    def label(self, handle: Handle, label: int | None, scores: list[float]) -> None:
        digest = handle.sketch.digest
        if handle.outcome not in self.outcomes:
            return
        if scores:
            self.top_positions.setdefault(digest, geometry.top_position(scores))
        if label is None and scores:
            label = geometry.top_position(scores)
        if label is not None:
            self.labels.setdefault(digest, label)

    def observe_pairs(self, handle: Handle, now: float) -> None:
        """Every waiting pair with this input whose labels are both known now."""
        for pair in list(self.waiting):
            if handle.sketch.digest in members(pair) and all(member in self.labels for member in members(pair)):
                self.waiting.remove(pair)
                self.observe_pair(pair, now)

    def observe_pair(self, pair: Handle, now: float) -> None:
        assert pair.outcome is not None
        query, neighbour = members(pair)
        flip = self.labels[query] != self.labels[neighbour]
        pair.outcome.flip = flip
        self.evidence.observe("flip", flip, now)
        before = self.outcomes[: self.outcomes.index(pair.outcome)] if pair.outcome in self.outcomes else []
        distances = [outcome.near_distance for outcome in before if outcome.near_distance is not None]
        if len(distances) >= 8:
            fine_below = median(distances[-NEAR_DISTANCES:]) / 2
            assert pair.outcome.near_distance is not None
            self.evidence.observe("fine_flip", flip and pair.outcome.near_distance < fine_below, now)

    def climb(self, handle: Handle, scores: list[float], now: float) -> None:
        present = self.stored_sketches()
        if len(scores) < 2 or not handle.seen.near or not all(member in present for member in members(handle)):
            return
        query, neighbour = members(handle)
        cluster, before = self.clusters.join(query, neighbour, self.top_positions.get(neighbour))
        if cluster.position is None:
            cluster.position = geometry.top_position(scores)
        if cluster.position >= len(scores):
            return
        score = scores[cluster.position]
        for direction in ("descent", "ascent"):
            counts = before >= geometry.CLIMB_MEMBERS
            hit = cluster.follows(direction, handle.sketch.stored, neighbour, present, counts)
            self.evidence.observe(f"climb_{direction}", hit, now)
            if hit:
                assert handle.outcome is not None
                setattr(handle.outcome, direction, True)
        cluster.recorded(query, score)

    def approach(self, handle: Handle) -> None:
        """A sample of the distance to the first anchor."""
        anchor = handle.anchor
        if anchor is None or self.history.anchors[0] is not anchor:
            return
        own, first = self.labels.get(handle.sketch.digest), self.labels.get(anchor.digest)
        if own is not None and first is not None and own != first:
            step = geometry.displacement(handle.sketch.stored, anchor.stored)
            self.trend.add(geometry.norm(step))

    # --- signals

    def in_window(self, now: float) -> list[Outcome]:
        now = math.floor(now * 64) / 64
        return [outcome for outcome in self.outcomes if now - self.window < outcome.time <= now]

    def signals(self, now: float, cluster: Evidence | None = None) -> dict[str, float]:
        """Every signal; NaN where it is missing."""
        return {
            **self.shares(self.in_window(now)),
            **self.counts(now),
            **self.shapes(),
            **self.volumes(now),
            **readings(self.evidence, now, self.numbers.row, cluster),
        }

    def shares(self, outcomes: list[Outcome]) -> dict[str, float]:
        originals = [outcome for outcome in outcomes if not outcome.duplicate]
        near = [outcome for outcome in originals if outcome.near]
        comparable = [outcome.near for outcome in originals if outcome.comparable]
        return {
            "api.exact_duplicate_ratio": share([outcome.duplicate for outcome in outcomes], MINIMUM),
            "api.near_duplicate_ratio": share(comparable, MINIMUM),
            "api.input_similarity_score": average([outcome.survival for outcome in originals], MINIMUM),
            "api.label_flip_rate": share([outcome.flip for outcome in near], MINIMUM),
            "api.near_margin_share": share([outcome.low_margin for outcome in near], 16),
            "api.off_grid_ratio": average([outcome.off_grid for outcome in originals], MINIMUM),
            "api.manifold_rank": average([outcome.rank for outcome in originals], 30),
            "api.timing_regularity": self.timing(sorted(outcome.time for outcome in outcomes)),
        }

    def timing(self, times: list[float]) -> float:
        if len(times) < 32 or times[0] == times[-1]:
            return math.nan
        return 1 - min(1.0, variation([after - before for before, after in itertools.pairwise(times)]))

    def counts(self, now: float) -> dict[str, float]:
        outcomes = self.in_window(now)
        large = any(cluster.members >= 8 for cluster in self.clusters.live)
        climbs = max(sum(outcome.descent for outcome in outcomes), sum(outcome.ascent for outcome in outcomes))
        return {
            "api.halving_hits": sum(outcome.halving for outcome in outcomes),
            "api.collinear_flips": sum(outcome.collinear_flip for outcome in outcomes),
            "api.score_ascents": climbs if large else math.nan,
            "api.distinct_inputs": self.distinct.estimate(now),
            "api.radial_probes": self.departures.radial(),
            "api.sparse_probe_coordinates": self.probe_coordinates(now),
        }

    def probe_coordinates(self, now: float) -> float:
        if not self.probes_count() or self.probed.empty(now) or self.probed.entries < 8:
            return math.nan
        return float(geometry.coordinate_count(self.probed.mask))

    def shapes(self) -> dict[str, float]:
        directional = self.numbers.width >= 256 and not self.numbers.row
        return {
            "api.anchor_trend": self.trend.tau(),
            "api.delta_concentration": self.directions.concentration() if directional else math.nan,
            "api.group_regularity": self.groups.regularity(),
            "api.coverage": self.covered(),
            "api.confidence_shift": self.confidence_shift(),
        }

    def compare_coverage(self, now: float) -> None:
        curves = self.numbers.coverage_curves
        if curves is None or not curves.counts(self.originals):
            return
        self.evidence.observe("coverage", curves.wide(self.originals, self.cells_estimate()), now)
        curves.add(self.originals, self.cells_estimate())

    def cells_estimate(self) -> float:
        return 4096.0 if len(self.cells) == 1024 else min(4096.0, -1024 * math.log(1 - len(self.cells) / 1024))

    def covered(self) -> float:
        if self.originals < 64 or self.numbers.hyperplanes is None:
            return math.nan
        return self.cells_estimate() / 4096

    def confidence_shift(self) -> float:
        if self.numbers.margin_shares is None or sum(self.margins) < 200:
            return math.nan
        return kolmogorov_smirnov(self.margins, self.numbers.margin_shares)

    def volumes(self, now: float) -> dict[str, float]:
        budget = self.numbers.extraction_budget
        return {
            "api.cost_amplification": self.costs.fifth(now, self.window),
            "api.extraction_budget_used": self.decayed_budget(now) / budget if budget else math.nan,
        }
