"""Published detectors, written anew, on the same traces: one account at a time, at most QUERIES of it.

Each gives a score per query, kept as a running maximum, so that any threshold can be applied afterwards. All of them
are given memory per account; the published Blacklight has one index for all accounts, which on benign traffic that
shares inputs would alarm more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array  # type: ignore[import-untyped]
from scipy.spatial.distance import pdist  # type: ignore[import-untyped]
from scipy.stats import shapiro  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from bench.efficacy.domains import Array, Texts
from bench.efficacy.gateway import Trace
from bench.efficacy.sketches import WIDTH, sketches
from bench.efficacy.victims import Victim

__all__ = ["PUBLISHED", "CurveSet", "References", "curves_of", "fit_references"]

QUERIES = 1_000
Curve = list[tuple[int, float]]
CurveSet = dict[str, Curve]

# Each alarms above this value as published; GWAD-lite, which is trained here, at even odds.
PUBLISHED = {
    "rate limit": 60.0,
    "published rule": 0.5,
    "PRADA, W < 0.90": 0.10,
    "PRADA, W < 0.95": 0.05,
    "Blacklight": 0.5,
    "GWAD-lite": 0.5,
    "MMD windows": 1.0,
    "coverage": 0.6,
}
PUBLISHED_RULE = "c8db818d-22f3-5b98-a993-a66dd70b9079"

BINS, RECENT, STRIDE = 200, 256, 32  # of GWAD's histogram; queries between two readings
FREQUENCIES = 32
BLOCKS = (100, 1_500)
PLANES = 12


@dataclass(frozen=True)
class References:
    """What the baselines learn from the calibration accounts of a model.

    mean: of the sketches. planes: normals of the coverage cells. frequencies: of the random features of the kernel.
    embedding, kernel: mean of the features of the references, and mean kernel between two references.
    limits: by block size, the 95th percentile of benign blocks. detector: of GWAD-lite: weights and intercept.
    """

    mean: Array
    planes: Array
    frequencies: Array
    embedding: Array
    kernel: float
    limits: dict[int, float]
    detector: tuple[Array, float] | None = field(default=None)


def fit_references(
    victim: Victim, benign: Sequence[Trace], attacks: Sequence[Trace], rng: np.random.Generator
) -> References:
    """benign: traces of the calibration part that kept their inputs. attacks: examples for GWAD-lite."""
    each = [sketches(trace.inputs) for trace in benign]
    reference = np.concatenate(each)
    sample = reference[rng.choice(len(reference), min(len(reference), 2_000), replace=False)]
    width = max(float(np.median(pdist(sample[:300]))), 1e-9)
    frequencies = np.vstack(
        [rng.normal(0, 1 / (scale * width), (FREQUENCIES, WIDTH)) for scale in (0.5, 1.0, 2.0, 4.0)]
    )
    features = _features(sample, frequencies)
    embedding = features.mean(axis=0)
    kernel = (len(sample) * float(embedding @ embedding) - 1) / (len(sample) - 1)
    partial = References(reference.mean(axis=0), rng.normal(0, 1, (PLANES, WIDTH)), frequencies, embedding, kernel, {})
    limits: dict[int, float] = {}
    for size in BLOCKS:
        blocks = [distance for part in each for distance in _block_distances(part, size, partial)]
        if blocks:
            limits[size] = max(float(np.quantile(blocks, 0.95)), 1e-6)
        elif limits:  # honest accounts of some models are too short for large blocks
            limits[size] = limits[BLOCKS[0]]
    detector = None if isinstance(victim.domain, Texts) else _fit_gwad(benign, attacks)
    return References(partial.mean, partial.planes, frequencies, embedding, kernel, limits, detector)


def curves_of(trace: Trace, victim: Victim, references: References) -> CurveSet:
    """All baselines that make sense for the model, on one account."""
    inputs, labels = trace.inputs[:QUERIES], trace.labels[:QUERIES]
    found: CurveSet = {"rate limit": _running(token_bucket(trace.times[:QUERIES]))}
    at = trace.rules.get(PUBLISHED_RULE)
    found["published rule"] = [(at, 1.0)] if at is not None and at <= QUERIES else []
    points = sketches(inputs)
    found["MMD windows"] = _mmd(points, references)
    found["coverage"] = _running(coverage(points, references))
    if isinstance(victim.domain, Texts):
        return found
    x = np.stack([np.asarray(row, np.float64).reshape(-1) for row in inputs])
    found["PRADA, W < 0.90"] = found["PRADA, W < 0.95"] = prada(x[: len(labels)], labels)
    found["Blacklight"] = _running(blacklight(x))
    if references.detector is not None:
        found["GWAD-lite"] = _gwad(points, references.detector)
    return found


def _running(values: Sequence[float] | Array) -> Curve:
    curve: Curve = []
    highest = float("-inf")
    for query, value in enumerate(values, 1):
        if value > highest:
            highest = float(value)
            curve.append((query, highest))
    return curve


def token_bucket(times: Sequence[float], per_second: float = 1.0) -> list[float]:
    """Tokens taken and not yet refilled: a bucket of 60 that refills by 60 per minute refuses above 60."""
    level, before = 0.0, times[0] if times else 0.0
    levels = []
    for time in times:
        level = max(0.0, level - (time - before) * per_second) + 1
        before = time
        levels.append(level)
    return levels


def prada(x: Array, labels: Sequence[int]) -> Curve:
    """Juuti 2019: are the distances to the nearest earlier input of the class normal? 1 - W of Shapiro and Wilk."""
    sets: dict[int, list[int]] = {}
    least: dict[int, float] = {}
    accepted: dict[int, list[float]] = {}
    distances: dict[int, list[float]] = {}
    squares = np.einsum("ij,ij->i", x, x)
    curve: Curve = []
    for i, label in enumerate(labels):
        members = sets.setdefault(label, [])
        if members:
            gaps = squares[members] - 2 * (x[members] @ x[i]) + squares[i]
            nearest = float(np.sqrt(max(gaps.min(), 0.0)))
            distances.setdefault(label, []).append(nearest)
            if nearest > least.get(label, 0.0):
                members.append(i)
                kept = accepted.setdefault(label, [])
                kept.append(nearest)
                least[label] = max(least.get(label, 0.0), float(np.mean(kept) - np.std(kept)))
        else:
            members.append(i)
        if i % 10 == 9:
            pool = np.array([d for part in distances.values() if len(part) >= 10 for d in part])
            if len(pool) > 100:
                pool = pool[np.abs(pool - pool.mean()) <= 3 * pool.std()]
                if len(pool) > 100:
                    w = float(shapiro(pool).statistic) if np.ptp(pool) > 0 else 0.0
                    if not curve or 1 - w > curve[-1][1]:
                        curve.append((i + 1, 1 - w))
    return curve


def blacklight(x: Array) -> Array:
    """Li 2022: the largest share of 50 content hashes that a query has in common with one earlier query."""
    n, features = x.shape
    width = min(8, features // 2) if features < 100 else 50 if features == 784 else 20
    salt = np.random.default_rng(features)
    quantised = (x * 255).astype(np.int64) // 50
    windows = np.lib.stride_tricks.sliding_window_view(quantised, width, axis=1).astype(np.uint64)
    hashes = windows @ (salt.integers(1, 2**63, width, dtype=np.uint64) | np.uint64(1))
    hashes ^= hashes >> np.uint64(29)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(32)
    top = min(50, hashes.shape[1])
    chosen = np.partition(hashes, hashes.shape[1] - top, axis=1)[:, -top:]
    codes = np.unique(chosen, return_inverse=True)[1].reshape(n, top)
    ones = csr_array((np.ones(n * top), codes.reshape(-1), np.arange(n + 1) * top))
    ones.sum_duplicates()
    ones.data[:] = 1
    shared = np.zeros(n)
    for begin in range(0, n, 250):  # all pairs at once would be large
        end = min(begin + 250, n)
        common = (ones[begin:end] @ ones[:end].T).toarray()
        earlier = np.arange(end)[None] < np.arange(begin, end)[:, None]
        shared[begin:end] = (common * earlier).max(axis=1)
    shares: Array = shared / top
    return shares


def _features(points: Array, frequencies: Array) -> Array:
    phases = points @ frequencies.T
    found: Array = np.hstack([np.cos(phases), np.sin(phases)]) / np.sqrt(len(frequencies))
    return found


def _block_distances(points: Array, size: int, references: References) -> list[float]:
    """Squared maximum mean discrepancy of each full block to the reference, unbiased."""
    distances = []
    for begin in range(0, len(points) - size + 1, size):
        mean = _features(points[begin : begin + size], references.frequencies).mean(axis=0)
        within = (size * float(mean @ mean) - 1) / (size - 1)
        distances.append(within - 2 * float(mean @ references.embedding) + references.kernel)
    return distances


def _mmd(points: Array, references: References) -> Curve:
    found = [
        ((i + 1) * size, distance / references.limits[size])
        for size in references.limits
        for i, distance in enumerate(_block_distances(points, size, references))
    ]
    curve: Curve = []
    for query, value in sorted(found):
        if not curve or value > curve[-1][1]:
            curve.append((query, value))
    return curve


def coverage(points: Array, references: References) -> list[float]:
    """As B4B (Dubinski 2023): the share of 4,096 cells, of 12 hyperplanes through the mean, that were visited."""
    sides = (points - references.mean) @ references.planes.T > 0
    cells = sides @ (1 << np.arange(PLANES))
    seen: set[int] = set()
    shares = []
    for cell in cells.tolist():
        seen.add(cell)
        shares.append(len(seen) / 2**PLANES)
    return shares


def _histograms(points: Array) -> tuple[Array, Array]:
    """Of the cosines of successive steps, over the last 256: at which queries, and the histograms."""
    steps = np.diff(points, axis=0)
    norms = np.linalg.norm(steps, axis=1)
    both = norms[1:] * norms[:-1]
    cosines = np.einsum("ij,ij->i", steps[1:], steps[:-1]) / np.where(both > 0, both, 1)
    cosines = np.where(both > 0, cosines, 1.0)
    bins = np.clip(((cosines + 1) / 2 * BINS).astype(int), 0, BINS - 1)
    ends = np.arange(64, len(bins) + 1, STRIDE)
    if not len(ends):
        return np.empty(0, int), np.empty((0, BINS))
    rows = [np.bincount(bins[max(0, end - RECENT) : end], minlength=BINS) / min(end, RECENT) for end in ends.tolist()]
    return ends + 2, np.array(rows)


def _fit_gwad(benign: Sequence[Trace], attacks: Sequence[Trace]) -> tuple[Array, float] | None:
    honest = [_histograms(sketches(trace.inputs))[1] for trace in benign if len(trace.inputs) > 66]
    hostile = [_histograms(sketches(trace.inputs))[1] for trace in attacks if len(trace.inputs) > 66]
    if not honest or not hostile:
        return None
    x = np.concatenate([*honest, *hostile])
    y = np.repeat([0, 1], [sum(map(len, honest)), sum(map(len, hostile))])
    model = LogisticRegression(C=10, class_weight="balanced", max_iter=200).fit(x, y)
    return model.coef_[0], float(model.intercept_[0])


def _gwad(points: Array, detector: tuple[Array, float]) -> Curve:
    queries, histograms = _histograms(points)
    curve: Curve = []
    for query, odds in zip(queries.tolist(), histograms @ detector[0] + detector[1], strict=True):
        probability = float(1 / (1 + np.exp(-odds)))
        if not curve or probability > curve[-1][1]:
            curve.append((query, probability))
    return curve
