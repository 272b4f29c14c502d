"""Slow, obvious twin of the similarity core: normalisation, MinHash, sketches, history and F_ref.

Written from the definitions (headers of cpp/atlascore/text and cpp/atlascore/track), one plain step after the
other. Sketches are stored in fp16 and survival probabilities in 1/255, as in the core.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from tests.reference import geometry_reference as geometry

Floats = npt.NDArray[np.float32]
MASK = 2**64 - 1

MINIMUM_SHINGLES = 16
DAY = 86400.0


def mix64(a: int, b: int) -> int:
    x = a ^ (b * 0x9E3779B97F4A7C15 & MASK)
    for _ in range(2):
        x ^= x >> 32
        x = x * 0xD6E8FEB86659FD93 & MASK
    return x ^ (x >> 32)


def word_hash(value: int, seed: int) -> int:
    return xxhash.xxh3_64_intdigest(value.to_bytes(8, "little"), seed)


# --- text


def normalise(text: str) -> str:
    """NFKC, lower case code point by code point, digits to 0, white space to single spaces, trimmed."""
    lowered = "".join(c.lower() for c in unicodedata.normalize("NFKC", text))
    return " ".join("".join("0" if c in "0123456789" else c for c in lowered).split())


def shingles(text: str, words: bool = False) -> list[str]:
    normal = normalise(text)
    if words:
        parts = normal.split(" ") if normal else []
        return [" ".join(parts[i : i + 5]) for i in range(len(parts) - 4)] or [normal]
    padded = f" {normal} "
    return [padded[i : i + 5] for i in range(len(padded) - 4)] or [padded]


def hashes(text: str, seed: int, words: bool = False) -> list[int]:
    return [xxhash.xxh3_64_intdigest(s.encode(), seed) for s in shingles(text, words)]


def minhash(text: str, bins: int = 64, words: bool = False, seed: int = 0) -> list[int]:
    ranks: list[int | None] = [None] * bins
    for h in hashes(text, seed, words):
        at, rank = (h >> 8) % bins, h >> 14
        known = ranks[at]
        ranks[at] = rank if known is None else min(known, rank)
    dense = []
    for at, rank in enumerate(ranks):
        attempt = 0
        while rank is None:
            attempt += 1
            rank = ranks[word_hash(at + bins * attempt, seed) % bins]
        dense.append(rank)
    return dense


def exact_jaccard(a: str, b: str) -> float:
    left, right = set(shingles(a)), set(shingles(b))
    return len(left & right) / len(left | right)


def term_sketch(text: str, seed: int) -> Floats:
    s = np.zeros(64)
    for h in hashes(text, seed):
        s[h % 64] += 1 if h >> 6 & 1 else -1
    norm = np.linalg.norm(s)
    return (s / norm if norm else s).astype(np.float32)


# --- dense inputs


def pool_axis(x: npt.NDArray[np.float64], axis: int, cells: int = 32) -> npt.NDArray[np.float64]:
    """Area average along one axis to at most `cells` cells."""
    size = x.shape[axis]
    if size <= cells:
        return x
    weights = np.zeros((cells, size))
    for cell in range(cells):
        low, high = cell * size / cells, (cell + 1) * size / cells
        for at in range(size):
            weights[cell, at] = max(0.0, min(high, at + 1) - max(low, at))
        weights[cell] /= weights[cell].sum()
    return np.moveaxis(np.tensordot(weights, np.moveaxis(x, axis, 0), 1), 0, axis)


def count_sketch(z: npt.NDArray[Any], seed: int) -> Floats:
    """CountSketch-64 of scaled features: identity up to 64, rotated and signed blocks of 64 above."""
    z = np.asarray(z, np.float64).ravel()
    s = np.zeros(64)
    if z.size <= 64:
        s[: z.size] = z
        return s.astype(np.float32)
    for b in range(math.ceil(z.size / 64)):
        signs = word_hash(b, seed)
        rotation = word_hash(signs, seed) % 64
        for lane, value in enumerate(z[64 * b : 64 * b + 64]):
            s[(lane + rotation) % 64] += -value if signs >> lane & 1 else value
    return s.astype(np.float32)


@dataclass
class Sketch:
    """What is compared. `space` is equal for sketches that may be; None for those that never are."""

    digest: tuple[int, int]  # low, high
    text: bool
    width: int = 0
    epoch: int = 0
    space: tuple[Any, ...] | None = None
    query: npt.NDArray[Any] = field(default_factory=lambda: np.zeros(64))
    stored: npt.NDArray[Any] = field(default_factory=lambda: np.zeros(64))

    def distance(self, other: Sketch) -> float:
        if self.text:
            equal = np.count_nonzero(self.query == other.stored) / 64
            return float(1 - max(0.0, (equal - 1 / 256) / (1 - 1 / 256)))
        gap = self.query.astype(np.float64) - other.stored.astype(np.float64)
        return float(np.sqrt((gap * gap).sum() / self.width))


def digest128(data: bytes, seed: int) -> tuple[int, int]:
    value = xxhash.xxh3_128_intdigest(data, seed)
    return value & MASK, value >> 64


def sketch_text(text: str, seed: int) -> Sketch:
    sketch = Sketch(digest128(normalise(text).encode(), seed), True)
    if len(shingles(text)) >= MINIMUM_SHINGLES:
        sketch.space = ("text",)
        sketch.query = sketch.stored = np.array([rank & 255 for rank in minhash(text, seed=seed)])
    return sketch


def sketch_dense(x: Floats, seed: int, center: Any = 0.0, inverse: Any = 1.0, epoch: int = 16) -> Sketch:
    z = (x.astype(np.float32) - np.float32(center)) * np.asarray(inverse, np.float32)
    linear = count_sketch(z, seed)
    stored = np.clip(linear, -65504, 65504).astype(np.float16)
    return Sketch(
        digest128((x.astype("<f4") + np.float32(0)).tobytes(), seed),
        False,
        x.size,
        epoch,
        (x.size, epoch),
        linear,
        stored,
    )


# --- one track


@dataclass
class Outcome:
    time: float
    digest: int
    duplicate: bool
    near: bool
    comparable: bool
    survival: float | None  # in steps of 1/255


@dataclass
class Seen:
    """What one query is to its track."""

    distance: float = math.nan
    survival: float = math.nan
    duplicate: bool = False
    near: bool = False
    calibrated: bool = False
    entries: int = 0
    neighbour: Sketch | None = None

    def outcome(self, sketch: Sketch, now: float) -> Outcome:
        known = None if math.isnan(self.survival) else math.floor(self.survival * 255 + 0.5) / 255
        return Outcome(
            math.floor(now * 64) / 64,
            sketch.digest[0],
            self.duplicate,
            self.near,
            sketch.space is not None,
            known,
        )


class Track:
    def __init__(self) -> None:
        self.recent: list[Sketch] = []  # newest last, 24
        self.kept: list[Sketch] = []  # least recently used first, 16
        self.anchors: list[Sketch] = []  # 2; older ones stay until replaced
        self.anchors_due = 2
        self.outcomes: list[Outcome] = []  # 64
        self.last = -math.inf

    def observe(self, sketch: Sketch, references: References) -> Seen:
        seen = Seen()
        history = self.recent + self.kept + self.anchors
        tags = {o.digest for o in self.outcomes} | {s.digest[0] for s in history if s.space == sketch.space}
        seen.duplicate = sketch.digest[0] in tags
        others = {s.digest: s for s in history if s.space == sketch.space}
        if seen.duplicate or sketch.space is None or not others:
            return seen
        seen.entries = len(others)
        seen.neighbour = min(others.values(), key=sketch.distance)
        seen.distance = sketch.distance(seen.neighbour)
        seen.survival, seen.near, seen.calibrated = references.read(sketch, seen.distance, seen.entries)
        return seen

    def keep(self, sketch: Sketch) -> None:
        self.kept = [s for s in self.kept if s.digest != sketch.digest]
        self.kept = [*self.kept, sketch][-16:]

    def commit(self, sketch: Sketch, seen: Seen, now: float) -> None:
        silent = now - self.last > 1800 and self.last > -math.inf
        self.last = max(self.last, now)
        if sketch.space is not None and not seen.duplicate:
            first = self.anchors[0] if self.anchors else sketch
            rescaled = (
                not sketch.text and not first.text and first.width == sketch.width and first.epoch != sketch.epoch
            )
            if silent or rescaled:
                self.anchors_due = 2
            if seen.near and seen.neighbour is not None:
                self.keep(seen.neighbour)
                self.keep(sketch)
            if self.anchors_due:
                place = 2 - self.anchors_due
                self.anchors[place : place + 1] = [sketch]
                self.anchors_due -= 1
            self.recent = [*self.recent, sketch][-24:]
        self.outcomes = [*self.outcomes, seen.outcome(sketch, now)][-64:]

    def summary(self, now: float, window: float, pending: Outcome) -> tuple[float, float, float]:
        now = math.floor(now * 64) / 64
        entries = [o for o in self.outcomes[-63:] if now - window < o.time <= now] + [pending]
        originals = [o for o in entries if not o.duplicate]
        known = [o.survival for o in originals if o.survival is not None]
        comparable = [o for o in originals if o.comparable]
        score = sum(known) / len(known) if len(known) >= 8 else math.nan
        near = sum(o.near for o in comparable) / len(comparable) if len(comparable) >= 8 else math.nan
        duplicates = sum(o.duplicate for o in entries) / len(entries) if len(entries) >= 8 else math.nan
        return score, near, duplicates


# --- the model

EDGES = 2.0 ** (-16 + np.arange(257) / 12.8)


@dataclass
class Entry:
    sketch: Sketch
    principal: int
    place: int
    time: float


@dataclass
class Contributor:
    seconds: int = 0
    updates: int = 0
    samples: int = 0


class References:
    """F_ref and its reservoir. Contributors are unbounded here: tests stay below the core's table of 512."""

    def __init__(self) -> None:
        self.reservoir: list[Entry | None] = [None] * 256
        self.manifold: geometry.Manifold | None = None
        self.space: Any = None  # of the manifold
        self.changed = 0  # entries since the manifold was made
        self.restart(None)

    def restart(self, like: Sketch | None) -> None:
        self.kind = (like.text, 0 if like.text else like.epoch) if like else (False, 0)
        self.samples: list[tuple[float, float, int]] = []  # time, distance, strangers
        self.own_pairs = False
        self.contributors: dict[int, Contributor] = {}
        self.drawn: tuple[int, npt.NDArray[np.float64], float] = (0, np.zeros(257), 0.0)

    def distribution(self) -> tuple[npt.NDArray[np.float64], float]:
        """F_ref at the edges, each sample halved in weight every 24 h; and the mean number of strangers."""
        if self.drawn[0] != len(self.samples):
            self.drawn = (len(self.samples), *self.draw())
        return self.drawn[1:]

    def draw(self) -> tuple[npt.NDArray[np.float64], float]:
        time = max(t for t, _, _ in self.samples)
        weights, strangers = np.zeros(256), 0.0
        for t, distance, m in self.samples:
            weight = 2.0 ** ((t - time) / DAY)
            weights[int(np.clip(np.searchsorted(EDGES, distance, "right") - 1, 0, 255))] += weight
            strangers += weight * m
        total = weights.sum()
        return np.concatenate([[0.0], np.cumsum(weights) / total]), strangers / total

    def quantile(self, share: float) -> float:
        cumulative, _ = self.distribution()
        at = int(np.searchsorted(cumulative, share)) - 1
        inside = (share - cumulative[at]) / (cumulative[at + 1] - cumulative[at])
        return float(EDGES[at] + inside * (EDGES[at + 1] - EDGES[at]))

    def read(self, sketch: Sketch, distance: float, entries: int) -> tuple[float, bool, bool]:
        fits = self.kind == (sketch.text, 0 if sketch.text else sketch.epoch)
        count = len(self.samples) if fits else 0
        if count < 1000:
            tau = 0.3 if sketch.text else 0.1
            near = 0.5 * self.quantile(0.5) if count >= 200 else 0.5 * tau
            return math.exp(-distance / tau), distance < near, False
        cumulative, strangers = self.distribution()
        below = min(1.0, float(np.interp(distance, EDGES, cumulative)))
        return (1 - below) ** (entries / strangers), distance < self.quantile(0.01), not self.own_pairs

    def update(self, sketch: Sketch, principal: int, now: float) -> None:
        if sketch.space is None:
            return
        kind = (sketch.text, 0 if sketch.text else sketch.epoch)
        settled = kind == self.kind and len(self.samples) >= 1000
        if settled and (sketch.digest[1] >> 16) % 100 != 0:
            return
        known = self.contributors.get(principal)
        if known and (settled or known.samples >= 125 or known.updates >= 1000) and now - known.seconds < 60:
            return
        if not self.kind[0] and self.kind[1] < 16 and sketch.epoch < self.kind[1]:
            return
        alone = all(e is None or e.principal == principal for e in self.reservoir)
        strangers = list(self.strangers(sketch, principal, now, alone))[:64]
        if kind != self.kind or (self.own_pairs and not alone and len(strangers) >= 16):
            self.restart(sketch)
        who = self.contributors.setdefault(principal, Contributor())
        if self.accepts(len(strangers), alone, who):
            self.samples.append((now, min(map(sketch.distance, strangers)), len(strangers)))
            who.samples += 1
        who.updates += 1
        who.seconds = int(now)
        if self.enter(sketch, principal, now, alone):
            self.renew(sketch)

    def renew(self, sketch: Sketch) -> None:
        """The manifold is made anew when an eighth of the entries has changed."""
        self.changed += 1
        entries = [entry for entry in self.reservoir if entry is not None]
        if sketch.text or len(entries) < 32 or self.changed < len(entries) // 8:
            return
        same = [entry.sketch for entry in entries if entry.sketch.space == sketch.space and entry.place < 4]
        self.manifold = geometry.manifold([np.asarray(each.stored, np.float64) for each in same], [])
        self.space, self.changed = sketch.space, 0

    def locate(self, sketch: Sketch) -> tuple[float, bool]:
        """Manifold rank, NaN when there is none to compare with; and whether the input is far."""
        known = self.manifold
        if known is None or sketch.text or self.space != sketch.space:
            return math.nan, False
        energy = geometry.energy(sketch.query, known.mean, known.variance)
        return geometry.manifold_rank(energy, known.energies), geometry.far(energy, known.p99)

    def strangers(self, sketch: Sketch, principal: int, now: float, alone: bool) -> Iterator[Sketch]:
        start = sketch.digest[1] % 16 * 16
        for entry in self.reservoir[start:] + self.reservoir[:start]:
            if entry is None or entry.sketch.space != sketch.space or entry.sketch.digest == sketch.digest:
                continue
            own = entry.principal == principal
            if (own and abs(now - entry.time) >= 3600) if alone else (not own and entry.place < 4):
                yield entry.sketch

    def accepts(self, strangers: int, alone: bool, who: Contributor) -> bool:
        if strangers < (1 if alone else 16):
            return False
        if alone:
            self.own_pairs = self.own_pairs or not self.samples
            return self.own_pairs
        return len(self.samples) >= 1000 or who.samples < 125

    def enter(self, sketch: Sketch, principal: int, now: float, alone: bool) -> bool:
        place = (sketch.digest[1] >> 8) % (64 if alone else 4)
        refresh = 7200 if alone else 60
        mine = Entry(sketch, principal, place, now)
        for at, entry in enumerate(self.reservoir):
            if entry is not None and (entry.principal, entry.place) == (principal, place):
                stale = bool(entry.sketch.space != sketch.space or now - entry.time >= refresh)
                if stale:
                    self.reservoir[at] = mine
                return stale
        if None in self.reservoir:
            self.reservoir[self.reservoir.index(None)] = mine
            return True

        def staleness(at: int) -> float:
            entry = self.reservoir[at]
            assert entry is not None
            useless = entry.sketch.space != sketch.space or (not alone and entry.place >= 4)
            return priority(entry.principal, entry.place) + max(0.0, now - entry.time) / DAY + 1e9 * useless

        worst = max(range(256), key=staleness)
        taken = staleness(worst) > priority(principal, place)
        if taken:
            self.reservoir[worst] = mine
        return taken


def priority(principal: int, place: int) -> float:
    return (mix64(principal, place + 1) >> 11) * 2.0**-53


class Replay:
    """A model and its tracks; one query after the other."""

    def __init__(self, seed: int, window: float, center: float = 0.0, inverse: float = 1.0) -> None:
        self.seed, self.window, self.center, self.inverse = seed, window, center, inverse
        self.references = References()
        self.tracks: dict[str, Track] = {}

    def step(self, principal: str, tag: int, sketch: Sketch, now: float) -> dict[str, Any]:
        track = self.tracks.setdefault(principal, Track())
        seen = track.observe(sketch, self.references)
        score, near, duplicates = track.summary(now, self.window, seen.outcome(sketch, now))
        rank, far = self.references.locate(sketch)
        track.commit(sketch, seen, now)
        self.references.update(sketch, tag, now)
        return {
            "distance": seen.distance,
            "survival": seen.survival,
            "near": seen.near,
            "duplicate": seen.duplicate,
            "calibrated": seen.calibrated,
            "entries": seen.entries,
            "score": score,
            "near_ratio": near,
            "duplicate_ratio": duplicates,
            "rank": rank,
            "far": far,
        }

    def text(self, principal: str, tag: int, text: str, now: float) -> dict[str, Any]:
        return self.step(principal, tag, sketch_text(text, self.seed), now)

    def dense(self, principal: str, tag: int, x: Floats, now: float) -> dict[str, Any]:
        return self.step(principal, tag, sketch_dense(x, self.seed, self.center, self.inverse), now)


# --- scale


def robust_scale(rows: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Median of each column, and the largest of IQR / 1.349, standard deviation and a sixth of the range; for a
    column that never changed a sixth of the range of all."""
    low, center, high = np.quantile(rows.astype(np.float64), [0.25, 0.5, 0.75], axis=0)
    spread = np.maximum((high - low) / 1.349, (rows.max(axis=0) - rows.min(axis=0)) / 6)
    spread = np.maximum(spread, rows.astype(np.float64).std(axis=0))
    floor = float(rows.max() - rows.min()) / 6 or 1.0
    return center, np.where(spread > 0, spread, floor)


# --- vectors


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    left, right = np.asarray(a, np.float32).astype(np.float64), np.asarray(b, np.float32).astype(np.float64)
    norms = np.sqrt(left @ left) * np.sqrt(right @ right)
    return float(np.clip(left @ right / norms, -1, 1)) if norms else 0.0


def nearest(query: Sequence[float], matrix: Sequence[Sequence[float]]) -> tuple[int, float]:
    best = (0, 0.0)
    found = False
    for at, row in enumerate(matrix):
        if not np.any(np.asarray(row, np.float32)):
            continue
        value = cosine(query, row)
        if not found or value > best[1]:
            best, found = (at, value), True
    return best
