"""Sliding windows by key, beside rate limiters."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from contest import Contest, Work
from peers import windows as peers
from rows import Target
from traffic import zipf_keys

from atlascore.windows import WindowTable

ONE_KEY = ["key-000042"] * 100_000
OURS_PER_ROUND = 100_000
PEERS_PER_ROUND = 20_000


def _hits(hit: Callable[[str], object], keys: Sequence[str], per_round: int) -> Work:
    for key in keys:  # every key is known when measuring begins
        hit(key)
    some = keys[:per_round]

    def run() -> None:
        for key in some:
            hit(key)

    return Work(run, per_round)


def _peer(make: Callable[[], Callable[[str], object]], keys: Callable[[], Sequence[str]]) -> Work:
    return _hits(make(), keys(), PEERS_PER_ROUND)


def _contest(
    key: str,
    title: str,
    keys: Callable[[], Sequence[str]],
    horizons: Sequence[float],
    targets: Sequence[Target] = (),
) -> Contest:
    contest = Contest(key, title, targets, note="Peers read the clock themselves; they hold one window.")

    @contest.contender("AtlasCore, time given", ours=True)
    def time_given() -> Work:
        hit = WindowTable(1_000_000, horizons).hit
        now = time.time()
        some = keys()
        for name in some:
            hit(name, now)

        def run() -> None:
            for name in some:
                hit(name, now)

        return Work(run, len(some))

    @contest.contender("AtlasCore, clock read by the caller", ours=True)
    def clock_read() -> Work:
        hit, clock = WindowTable(1_000_000, horizons).hit, time.time
        return _hits(lambda name: hit(name, clock()), keys(), OURS_PER_ROUND)

    for name, make in peers.ALL.items():
        contest.contender(name)(partial(_peer, make, keys))
    return contest


ONE = _contest("hit_one_key", "WindowTable.hit: one key, one window", lambda: ONE_KEY, [60])
ZIPF = _contest("hit_zipf", "WindowTable.hit: 100 k Zipf(1.1) keys, one window", zipf_keys, [60])
HORIZONS = _contest(
    "hit_horizons",
    "WindowTable.hit: 100 k Zipf(1.1) keys, three windows",
    zipf_keys,
    [60, 300, 3_600],
    [
        Target("best", 250e-9),
        Target("best", 40, ("limits, moving window",)),
        Target("best", 40, ("limits, sliding-window counter",)),
        Target("best", 4, ("rust-py-rate-limit, check",)),
        Target("best", 1, ("rust-py-rate-limit, allow",)),
    ],
)

test_hit_one_key = ONE.test()
test_hit_zipf = ZIPF.test()
test_hit_horizons = HORIZONS.test()
