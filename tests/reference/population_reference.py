"""Slow, obvious twin of the signals across principals and of those about prompts, parameters and labels.

Written from the sections on signals (twin records, across principals and language models, label discovery,
baseline shift) and on global structures (near index, clusters, templates). Tables are unbounded and sets are exact
here, except where the definition is itself an estimate (HyperLogLog, space-saving). Times are seconds.

Readings of the specification
- twin_records: h_i is a hash of column index and value, the key one of track, feature and H xor h_i; which hashes is
  the core's own affair, but for the tests that sample keys. An ordinary feature's key is kept when key mod ceil(d/32)
  is 0. The third and later values of a key count nothing; the minimum of 3 is of counted keys of the feature, before
  its sampling factor.
- Beyond that definition, because honest callers have twins as well: the two values of a twin are less than 12 h apart,
  and afterwards the key begins anew; counts are of 8 h each, the reading sums the last three. A twin in an ordinary
  feature counts when it brings one of the last two values that counted twins of the feature have brought (the first
  two count). Twins in ordinary features count against another one by as many as they are, against a sensitive one by
  half. A twin in an ordinary feature counts only that way when its row is on a walk: it has in common with the row
  before it a key of another feature under which both had another value than the first; of such keys a row tells the
  next one two, those in common first, then in the order of the features.
- Near inputs are found by looking at all; the core's index finds nearly all at half of the reach and none beyond twice
  of it. The reach is not q01: one in a hundred ordinary inputs has one of 131,072 strangers' that near, F_ref being
  taken for a power of the distance below its median.
- Owners of an input are those who sent exactly it. What is near an input of more than 20 owners is not shared (it stays
  in the denominator).
- Beyond the specification: principals are not linked by eight matches, but by the test that the component is: at R of
  1,000 for "shared", by the match at hand. An input that another principal has sent exactly is no observation, for
  popular inputs, resellers and rescoring share those. A membership lasts until 7 d after the last match.
- Template masks: code blocks, URLs, e-mail addresses, quoted spans, words above 40 characters, numbers, in this
  order, become U+E000 to U+E005. Words are split at white space, case is kept; fewer than three words are one gram.
  Of a prompt the first 32,768 bytes count.
  A prompt belongs to the nearest known template within 3 bits, the older of equal ones; otherwise it founds one.
- Beyond the specification: a prompt that is not within 3 bits of its track's previous template, and shares five of the
  16 least gram hashes with the prompt before, has the template of what they share: the hash of the three least. 16 bits
  of each hash are compared.
- A principal is young by its age when it sends; it counts for a template until 24 h after its last young sending.
- template_share: two generations of length w, four slots each. A template's weight is its count in the current one
  plus (1 - elapsed share) times that in the previous one, and so is the total; prompts of the previous generation
  count whole for the minimum of 20.
- window_mmd: beyond the specification, blocks are of all principals' prompts to a model, one of each principal. Blocks
  of one account say little: honest accounts with one template, or with examples in front of each question, are farther
  from the mixture than some campaigns are. Of an account's prompts of a day (UTC) that it did not send before the n-th
  counts with probability 1/n. A block of 1,500 is the mean of 15 blocks. The distance is the squared length of block
  mean less reference, not the unbiased estimate, which is about 0 for ordinary blocks, so that no multiple of its
  median is a limit. The limit is the 99.9th percentile of blocks that kept to theirs, as extrapolated from median and
  90th percentile, and a quarter more. From 1 on the signal is that of prompts on the block's side: along the line from
  the reference to the block 1.5 / sqrt(times) as far as the block, but between half and as far.
- logprob_harvest: the most frequent digest is that of most calls whose tokens are unlike the previous one's, so that
  equal calls on another prompt hide nothing; the previous call is the one before on the same digest, and the first
  call is unlike it. A call without bias has the empty set. The window is 24 h. B = distinct tokens by two HyperLogLog
  generations of 24 h.
- known_probes: the largest number of entries of one family that were hit in the last 24 h. One prompt hits one entry:
  that with its digest, else the nearest within 3 bits, the first of equal ones.
- label_discovery: n counts the answers that have a label.
- baseline_shift: hours are those of the clock; a block of hours ends when the next one begins and some series has eight
  values in it, else it goes on; a series with fewer is left out of it. The second hour in which an account sends is the
  first that counts. similarity, low_margin and manifold_rank are means of the newest 64 queries, values in steps of
  1/255; cost is the mean of log2.
- Beyond the definition, by which a third of honest accounts alarm in a month: hours of an account are alike, by day and
  night, at weekends, or because a task lasts. So what counts is by how much an hour is off less what the hour before
  announced: the correlation of hours in a row, between 0 and 0.6, times what that was off. The allowance is 1 sd, not a
  half. No hour counts more than 4.5 sd, so it takes three to reach 8, nor teaches more. sd is at least 0.05, for cost
  0.25 (octaves). CUSUM is at most 16, so it is below 8 again some eight hours after the end.
- Mean, variance and covariance are plain averages over the first 720 counted hours and exponential with weight 1/720
  then; CUSUM starts at 7 d, 500 queries (of a block at most 64 count) and 24 counted hours of the series, and compares
  each hour with the mean before it. What the hour before was off is stored in half precision, CUSUM in 1/2048.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash
from tests.reference.evidence_reference import Evidence
from tests.reference.geometry_reference import Key, Vector
from tests.reference.similarity_reference import mix64
from tests.reference.track_reference import Distinct

DAY = 86400.0
WEEK = 7 * DAY
TWIN_SECONDS, EIGHT_HOURS = DAY / 2, DAY / 3
POPULAR_OWNERS = 20
LINKING = 1000.0
TEMPLATE_BITS = 3
TEMPLATE_BYTES = 32768


# --- twin records


def value_hash(column: int, value: bytes, seed: int = 0) -> int:
    return xxhash.xxh3_64_intdigest(column.to_bytes(8, "little") + value, seed)


@dataclass
class TwinKey:
    value: int
    time: float
    has_twin: bool = False


class TwinRecords:
    """Rows that differ from an earlier row of the same track in one feature alone."""

    def __init__(self, width: int, sensitive: Iterable[int] = ()) -> None:
        self.width, self.sensitive = width, set(sensitive)
        self.sampling = math.ceil(width / 32)
        self.seen: dict[int, TwinKey] = {}
        self.counts: Counter[tuple[int, int, int]] = Counter()  # by track, feature and 8 h
        self.ordinary: Counter[tuple[int, int]] = Counter()  # by track and 8 h
        self.latest: dict[tuple[int, int], list[int]] = defaultdict(list)  # the last two values of twins
        self.previous: dict[int, list[int]] = defaultdict(list)  # by track: keys that the row before has told

    def factor(self, feature: int) -> int:
        return 1 if feature in self.sensitive else self.sampling

    def add(self, track: int, hashes: Sequence[int], now: float = 0.0) -> None:
        """A row, given as the hashes of its values."""
        everything = 0
        for value in hashes:
            everything ^= value
        twins, others = [], []
        for feature, value in enumerate(hashes):
            key = mix64(mix64(track, feature), everything ^ value)
            if key % self.factor(feature):
                continue
            known = self.seen.get(key)
            if known is None or abs(now - known.time) >= TWIN_SECONDS:
                self.seen[key] = TwinKey(value, now)
            elif known.value != value:
                others.append((feature, key))
                if not known.has_twin:
                    known.has_twin = True
                    twins.append((feature, value))
        common = [(feature, key) for feature, key in others if key in self.previous[track]]
        told = [key for _, key in common] + [key for feature, key in others if (feature, key) not in common]
        self.previous[track] = told[:2]
        for feature, value in twins:
            walking = any(other != feature for other, _ in common)
            self.count(track, feature, value, walking, math.floor(now / EIGHT_HOURS))

    def count(self, track: int, feature: int, value: int, walking: bool, epoch: int) -> None:
        if feature not in self.sensitive:
            self.ordinary[track, epoch] += 1
            if walking:
                return
        latest, short = self.latest[track, feature], (value >> 48) % 255
        shared = short in latest or len(latest) < 2
        if not latest or latest[0] != short:
            self.latest[track, feature] = [short, *latest[:1]]
        if shared or feature in self.sensitive:
            self.counts[track, feature, epoch] += 1

    def signal(self, track: int, now: float = 0.0) -> float:
        epochs = [math.floor(now / EIGHT_HOURS) - i for i in range(3)]
        against = sum(self.ordinary[track, epoch] for epoch in epochs) * self.sampling
        found = []
        for feature in range(self.width):
            n = sum(self.counts[track, feature, epoch] for epoch in epochs)
            if n >= 3 and feature in self.sensitive:
                found.append(max(0.0, n - against / 2))
            elif n >= 3:
                found.append(max(0.0, 2.0 * n * self.sampling - against))
        return max(found) if found and self.width <= 512 else math.nan


# --- inputs near other principals', and clusters of principals


@dataclass(frozen=True)
class Match:
    """owner: of the newest near input of another principal that few have sent. identical: another one sent it."""

    owner: str | None
    identical: bool


class NearInputs:
    """The inputs of all principals of one model, looked through one by one."""

    def __init__(self) -> None:
        self.sent: list[tuple[Vector, str]] = []

    def visit(self, x: Vector, principal: str, reach: float) -> Match:
        """Looks an input up and enters it. `reach`: the largest distance of near inputs."""
        near = [(other, owner) for other, owner in self.sent if np.linalg.norm(other - x) <= reach]
        others = [(other, owner) for other, owner in near if owner != principal]
        identical = any(np.array_equal(other, x) for other, _ in others)
        popular = any(len(self.owners(other)) > POPULAR_OWNERS for other, _ in others)
        self.sent.append((x, principal))
        return Match(others[-1][1] if others and not popular else None, identical)

    def owners(self, x: Vector) -> set[str]:
        return {owner for other, owner in self.sent if np.array_equal(other, x)}


class SharedInputs:
    """The last 64 non-duplicate queries of a track: whether another principal had the input."""

    def __init__(self) -> None:
        self.shared: list[bool] = []

    def add(self, match: Match) -> None:
        self.shared = [*self.shared, match.owner is not None][-64:]

    def signal(self) -> float:
        return sum(self.shared) / len(self.shared) if len(self.shared) >= 16 else math.nan


class PrincipalClusters:
    """Sets of principals who belong together, each until seven days after its last match."""

    def __init__(self) -> None:
        self.clusters: list[set[str]] = []
        self.matched: dict[str, int] = {}  # day of the last match

    def link(self, a: str, b: str, now: float) -> None:
        joined = self.members(a, now) | self.members(b, now)
        self.clusters = [members - joined for members in self.clusters if members - joined] + [joined]
        for name in (a, b):
            self.matched[name] = math.floor(now / DAY)

    def members(self, principal: str, now: float) -> set[str]:
        """The principal's cluster; itself alone when it is in none."""
        today = math.floor(now / DAY)
        for members in self.clusters:
            current = {name for name in members if today - self.matched[name] < 7}
            if principal in current:
                return current
        return {principal}


class Accounts:
    """What principals of one model have in common: shares, evidence, and who is linked to whom."""

    def __init__(self, reach: float) -> None:
        self.reach = reach
        self.inputs = NearInputs()
        self.shares: dict[str, SharedInputs] = defaultdict(SharedInputs)
        self.evidence: dict[str, Evidence] = defaultdict(Evidence)
        self.clusters = PrincipalClusters()

    def add(self, x: Vector, principal: str, now: float) -> None:
        """An input that neither the principal nor one that it is linked with has sent before."""
        match = self.inputs.visit(x, principal, self.reach)
        self.shares[principal].add(match)
        if match.identical:
            return
        evidence = self.evidence[principal]
        evidence.observe("shared", match.owner is not None, now)
        if match.owner is not None and evidence.ratio("shared", now) >= LINKING:
            self.clusters.link(principal, match.owner, now)


# --- templates

MASKS = [
    re.compile(r"```.*?```|`[^`]+`", re.DOTALL),
    re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://\S+|\bwww\.\S+"),
    re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|(?<!\w)'[^']*'(?!\w)"),
    re.compile(r"\S{41,}"),
    re.compile(r"\d+(?:[.,:/-]\d+)*"),
]


def masked(text: str) -> str:
    for at, pattern in enumerate(MASKS):
        text = pattern.sub(chr(0xE000 + at), text)
    return text


def gram_hashes(text: str, seed: int = 0) -> list[int]:
    words = masked(text.encode()[:TEMPLATE_BYTES].decode(errors="ignore")).split()
    grams = [" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))]
    return [xxhash.xxh3_64_intdigest(gram.encode(), seed) for gram in grams]


def outline(text: str, seed: int = 0) -> list[int]:
    return sorted(set(gram_hashes(text, seed)))[:16]


def shared_template(before: list[int], now: list[int], seed: int = 0) -> int | None:
    """The template of what two outlines share."""
    marks = {gram % 65535 for gram in before}
    shared = [gram for gram in now if gram % 65535 in marks]
    if len(shared) < 5:
        return None
    return xxhash.xxh3_64_intdigest(b"".join(gram.to_bytes(8, "little") for gram in shared[:3]), seed)


def simhash(text: str, seed: int = 0) -> int:
    """Template SimHash64 of a prompt's raw turn."""
    votes = [0] * 64
    for word in gram_hashes(text, seed):
        for bit in range(64):
            votes[bit] += 1 if word >> bit & 1 else -1
    return sum(1 << bit for bit, vote in enumerate(votes) if vote > 0)


def hamming(a: int, b: int) -> int:
    return bin(a ^ b).count("1")


class Templates:
    """Templates of all principals and who has sent them."""

    def __init__(self) -> None:
        self.hashes: list[int] = []
        self.young: list[dict[str, float]] = []  # last time as a young principal, by template

    def visit(self, prompt: int, principal: str, first_seen: float, now: float) -> int:
        """The template of a prompt, given by its SimHash."""
        at = min(range(len(self.hashes)), key=lambda i: hamming(self.hashes[i], prompt), default=-1)
        if at < 0 or hamming(self.hashes[at], prompt) > TEMPLATE_BITS:
            at = len(self.hashes)
            self.hashes.append(prompt)
            self.young.append({})
        if now - first_seen < WEEK:
            self.young[at][principal] = now
        return at

    def principals(self, template: int, now: float) -> int:
        """template_principals: young principals that sent it in the last 24 h."""
        return sum(now - time < DAY for time in self.young[template].values())


class SpaceSaving:
    """The most frequent items, in four slots: a new item takes the smallest slot and its count."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}  # oldest slot first
        self.total = 0

    def add(self, item: int) -> None:
        self.total += 1
        if item not in self.counts and len(self.counts) == 4:
            smallest = min(self.counts, key=lambda known: self.counts[known])
            self.counts[item] = self.counts.pop(smallest)
        self.counts[item] = self.counts.get(item, 0) + 1


class TemplateShare:
    """Share of a track's prompts on its top template."""

    def __init__(self, window: float) -> None:
        self.window, self.generation = window, 0
        self.current, self.previous = SpaceSaving(), SpaceSaving()

    def move_to(self, generation: int) -> None:
        if generation > self.generation:
            self.previous = self.current if generation == self.generation + 1 else SpaceSaving()
            self.current, self.generation = SpaceSaving(), generation

    def add(self, template: int, now: float) -> None:
        self.move_to(math.floor(now / self.window))
        self.current.add(template)

    def signal(self, now: float) -> float:
        self.move_to(math.floor(now / self.window))
        rest = 1 - min(1.0, max(0.0, now / self.window - self.generation))
        if self.current.total + self.previous.total < 20:
            return math.nan
        items = {*self.current.counts, *self.previous.counts}
        weights = [self.current.counts.get(item, 0) + rest * self.previous.counts.get(item, 0) for item in items]
        total = self.current.total + rest * self.previous.total
        return min(1.0, max(weights) / total) if total else math.nan


# --- output distribution


def fourier_features(sketch: Vector, normals: Vector, median: float) -> Vector:
    """256 numbers of norm 1: 32 frequencies for each of the bandwidths 1/2, 1, 2 and 4 times the median distance
    of two sketches. `normals`: 128 x 64 standard normal, 32 rows for each bandwidth in turn."""
    bandwidths = np.repeat([0.5, 1.0, 2.0, 4.0], 32) * median
    angles = np.asarray(normals) @ np.asarray(sketch, np.float64) / bandwidths
    return np.concatenate([np.cos(angles), np.sin(angles)]) / math.sqrt(128)


def normals_of(seed: int) -> Vector:
    """(128, 64) by Box and Muller from the map's seed, a row a frequency."""
    uniform = np.array([((mix64(seed, i) >> 11) + 0.5) * 2.0**-53 for i in range(2 * 64 * 128)])
    normal = np.sqrt(-2 * np.log(uniform[::2])) * np.cos(2 * np.pi * uniform[1::2])
    return normal.reshape(64, 128).T


def discrepancy_limit(distances: Sequence[float]) -> float:
    """What ordinary blocks may be apart from the reference; NaN below twenty of them."""
    if len(distances) < 20:
        return math.nan
    median, tail = (binned_quantile(distances, share) ** (1 / 3) for share in (0.5, 0.9))
    return float(1.25 * (median + 3.0902 / 1.2816 * (tail - median)) ** 3)


def binned_quantile(distances: Sequence[float], share: float) -> float:
    """From 224 bins of a sixteenth of an octave each from 2^-12 on, interpolated in the logarithm."""
    bins = Counter(min(max(math.floor((math.log2(d) + 12) * 16), 0), 223) for d in distances)
    rank = share * len(distances)
    below = 0
    for number in range(224):
        if below + bins[number] >= rank:
            return float(2 ** ((number + (rank - below) / bins[number]) / 16 - 12))
        below += bins[number]
    raise AssertionError


@dataclass(frozen=True)
class Block:
    """times: its distance over the limit, NaN without one."""

    times: float
    towards: Vector
    side: float
    end: float

    def alike(self, features: Vector) -> bool:
        return float(self.towards @ features) >= self.side


class PromptWindows:
    """window_mmd of one model."""

    MEDIAN = 1.4

    def __init__(self, seed: int, place: Callable[[str], int] = hash) -> None:
        """place: which of 1,024 bits stands for an account in a block; all differ by default."""
        self.seed = mix64(seed, 0x666F7572)
        self.place = place
        self.accounts: set[int] = set()
        self.normals = normals_of(self.seed)
        self.days: Counter[tuple[str, int]] = Counter()
        self.first: list[Vector] = []
        self.reference: Vector = np.zeros(256)
        self.block: list[Vector] = []
        self.means: list[Vector] = []
        self.distances: dict[int, list[float]] = {100: [], 1500: []}
        self.blocks: dict[int, Block] = {}

    def features(self, sketch: Vector) -> Vector:
        return fourier_features(sketch, self.normals, self.MEDIAN)

    def newest(self, now: float) -> Block | None:
        known = [b for b in self.blocks.values() if b.times > 0 and b.end > now - DAY]
        return max(known, key=lambda block: block.times, default=None)

    def signal(self, sketches: Iterable[Vector], now: float) -> float:
        """For a call with these prompts."""
        block = self.newest(now)
        if block is None:
            return math.nan
        alike = any(block.alike(self.features(sketch)) for sketch in sketches)
        return block.times if block.times < 1 or alike else 0.0

    def add(self, account: str, digest: int, sketch: Vector, now: float, evidence: Evidence | None = None) -> None:
        """A prompt that was not sent before."""
        self.days[account, math.floor(now / DAY)] += 1
        n = self.days[account, math.floor(now / DAY)]
        if mix64(self.seed ^ n, digest) > (2**64 - 1) // n:
            return
        features = self.features(sketch)
        block = self.newest(now)
        if block is not None and evidence is not None:
            evidence.observe("unusual_block", block.times >= 1 and block.alike(features), now)
        if self.place(account) in self.accounts:
            return
        self.accounts.add(self.place(account))
        if len(self.first) < 1000:
            self.first.append(features)
            self.reference = np.mean(self.first, axis=0)
            if len(self.first) % 100 == 0:
                self.accounts.clear()
            return
        self.block.append(features)
        if len(self.block) == 100:
            self.end_block(now)

    def end_block(self, now: float) -> None:
        mean = np.mean(self.block, axis=0)
        self.block.clear()
        self.accounts.clear()
        self.means.append(mean)
        if len(self.means) == 15:
            self.publish(1500, np.mean(self.means, axis=0), now)
            self.means.clear()
        before = self.blocks.get(100)
        self.publish(100, mean, now)
        since = 0.0 if before is None else max(0.0, now - before.end)
        share = 1 - 2 ** (-since / (70 * DAY if self.blocks[100].times >= 1 else 7 * DAY))
        self.reference = self.reference + share * (mean - self.reference)

    def publish(self, size: int, mean: Vector, now: float) -> None:
        towards = mean - self.reference
        distance = float(towards @ towards)
        limit = discrepancy_limit(self.distances[size])
        times = distance / limit
        if not times >= 1:
            self.distances[size].append(distance)
        part = 1.0 if math.isnan(times) else min(max(1.5 / math.sqrt(times), 0.5), 1.0)
        self.blocks[size] = Block(times, towards, float(towards @ self.reference) + part * distance, now)


# --- parameters and probes


@dataclass(frozen=True)
class ParameterCall:
    """A call that asks for logprobs or sets logit_bias."""

    time: float
    prompt: Key
    tokens: frozenset[int]  # biased
    fresh: bool  # a token set unlike the previous one on this prompt


@dataclass
class LogprobHarvest:
    window: float = DAY
    seed: int = 0
    calls: list[ParameterCall] = field(default_factory=list)
    last_tokens: dict[Key, frozenset[int]] = field(default_factory=dict)
    tokens: Distinct = field(default_factory=lambda: Distinct(DAY))

    def add(self, prompt: Key, biased: Iterable[int], now: float) -> None:
        tokens = frozenset(biased)
        fresh = self.last_tokens.get(prompt) != tokens
        self.calls.append(ParameterCall(now, prompt, tokens, fresh))
        self.last_tokens[prompt] = tokens
        for token in tokens:
            self.tokens.add(xxhash.xxh3_64_intdigest(token.to_bytes(8, "little"), self.seed), now)

    def varied(self, now: float, window: float) -> int:
        """A: the calls of the most frequent prompt."""
        calls = [call.prompt for call in self.calls if call.fresh and now - window < call.time <= now]
        return max(Counter(calls).values(), default=0)

    def signal(self, now: float) -> float:
        return max(float(self.varied(now, self.window)), self.tokens.estimate(now) / 20)


@dataclass(frozen=True)
class Probe:
    """An entry of the dictionary of known probes."""

    family: str
    name: str
    digest: Key
    template: int


class KnownProbes:
    def __init__(self, dictionary: Sequence[Probe]) -> None:
        self.dictionary = dictionary
        self.hits: dict[Probe, float] = {}

    def add(self, digest: Key, template: int, now: float) -> None:
        distance = {
            probe: hamming(probe.template, template) - 65 * (probe.digest == digest) for probe in self.dictionary
        }
        nearest = min(self.dictionary, key=lambda probe: distance[probe])
        if distance[nearest] <= TEMPLATE_BITS:
            self.hits[nearest] = now

    def signal(self, now: float) -> float:
        families = Counter(probe.family for probe, time in self.hits.items() if now - time < DAY)
        return float(max(families.values(), default=0))


class LabelDiscovery:
    def __init__(self, percentile: Callable[[int], float]) -> None:
        """`percentile`: the 99th percentile of principals' distinct labels after n labelled answers."""
        self.percentile = percentile
        self.labels: set[int] = set()
        self.answers = 0

    def add(self, label: int) -> None:
        self.labels.add(label)
        self.answers += 1

    def signal(self) -> float:
        return len(self.labels) / self.percentile(self.answers) if self.answers >= 16 else math.nan


# --- a track against its own past


class HourlyCusum:
    """One series: hourly means against their own mean and standard deviation."""

    ALLOWANCE, LARGEST, LIMIT = 1.0, 4.5, 16.0
    LEAST_HOURS, MEMORY, LEAST_VALUES = 24, 720, 8

    def __init__(self, least_spread: float = 0.05) -> None:
        self.least_spread = least_spread
        self.hours = 0
        self.mean = self.variance = self.covariance = self.before = self.cusum = 0.0

    def announced(self) -> float:
        correlation = self.covariance / max(self.variance, self.least_spread**2)
        return min(max(correlation, 0.0), 0.6) * self.before

    def close(self, values: Sequence[float], mature: bool) -> None:
        """The end of a block with these values."""
        if len(values) < self.LEAST_VALUES:
            return
        x = sum(values) / len(values)
        self.hours += 1
        if self.hours == 1:
            self.mean = x
            return
        off = x - self.mean
        if self.hours > self.LEAST_HOURS:
            spread = max(math.sqrt(self.variance), self.least_spread)
            times = min(max((off - self.announced()) / spread, -self.LARGEST), self.LARGEST)
            if mature:
                self.cusum = min(max(0.0, self.cusum + times - self.ALLOWANCE), self.LIMIT)
                self.cusum = round(self.cusum * 2048) / 2048
            off = min(max(off, -self.LARGEST * spread), self.LARGEST * spread)
        weight = 1 / min(self.hours, self.MEMORY)
        self.mean += weight * off
        self.variance = (1 - weight) * (self.variance + weight * off * off)
        self.covariance = (1 - weight) * self.covariance + weight * off * self.before
        self.before = float(np.float16(off))


class BaselineShift:
    SERIES = ("similarity", "low_margin", "manifold_rank", "cost")

    def __init__(self) -> None:
        self.series = {name: HourlyCusum(0.25 if name == "cost" else 0.05) for name in self.SERIES}
        self.block: list[dict[str, float]] = []  # of its queries
        self.first: int | None = None  # hour
        self.hour = self.begun = 0  # begun: hour of the block
        self.queries = 0

    def mature(self) -> bool:
        return self.first is not None and self.queries >= 500 and self.begun - self.first >= WEEK / 3600

    def add(self, now: float, **values: float) -> None:
        """What one query adds to each series; missing values are left out."""
        self.move_to(now)
        self.block.append(values)

    def values(self, name: str) -> list[float]:
        queries = self.block if name == "cost" else self.block[-64:]
        known = [query[name] for query in queries if name in query]
        return [math.log2(value) for value in known] if name == "cost" else known

    def move_to(self, now: float) -> None:
        """A query at `now` begins."""
        hour = math.floor(now / 3600)
        if hour <= self.hour:
            return
        self.hour = hour
        if self.first is None:
            if self.block:
                self.first = self.begun = hour
                self.block.clear()
            return
        values = {name: self.values(name) for name in self.series}
        most = max(map(len, values.values()))
        if most < HourlyCusum.LEAST_VALUES:
            return
        self.queries += min(most, 64)
        self.begun = hour
        self.block.clear()
        for name, series in self.series.items():
            series.close(values[name], self.mature())

    def signal(self, now: float) -> float:
        self.move_to(now)
        ready = [series for series in self.series.values() if series.hours >= HourlyCusum.LEAST_HOURS]
        return max(series.cusum for series in ready) if ready and self.mature() else math.nan
