"""A flood of keys that are never seen again, 50 million of them, against a state with room for one million.

    python bench/scale/flood.py [--rows FILE]

Holds that memory does not grow, that the last million costs what the second one did, and that the counts of a key
which keeps asking survive. Exit status 1 when one of these fails.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from memory import resident_bytes
from rows import Entry, Row, report

import atlascore as ac

KEYS = 50_000_000
CAPACITY = 1_000_000
STEP = 1_000_000
STEADY = "steady"  # the key that asks once every thousand of the others
EVERY = 1_000
START = 1_700_000_000.0
RATE = 100_000  # keys per second of event time: the flood lasts 500 s

Ask = Callable[[str, float], float]  # counts one event, and returns the events of the last five minutes


def _window_table() -> Ask:
    hit = ac.windows.WindowTable(CAPACITY, [300]).hit
    return lambda key, now: hit(key, now)[0]


def _engine() -> Ask:
    engine = ac.Engine(ac.Policy.default(), capacity=CAPACITY)
    decide = engine.route(model="fraud-v3", endpoint="/v1/models/fraud-v3:predict").decide

    def ask(key: str, now: float) -> float:
        decision = decide(key, None, now)
        return decision.signals["api.request_count"] if key is STEADY else 0.0

    return ask


def flood(name: str, ask: Ask) -> tuple[Row, list[str]]:
    seconds: list[float] = []
    count, grown, after_first = 0.0, 0, 0
    for first in range(0, KEYS, STEP):
        start = time.process_time()
        for i in range(first, first + STEP):
            ask(f"flood-{i:08d}", START + i / RATE)
            if i % EVERY == 0:
                count = ask(STEADY, START + i / RATE)
        seconds.append((time.process_time() - start) / STEP)
        if first == STEP:
            after_first = resident_bytes()
        print(f"\r{name}: {first + STEP:,} keys", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    grown = resident_bytes() - after_first
    expected = 300 * RATE / EVERY
    problems = []
    if grown > 16 << 20:
        problems.append(f"{name}: memory grew by {grown:,} bytes during the flood")
    if abs(count - expected) > 0.02 * expected:
        problems.append(f"{name}: the steady key's count is {count:,.0f}, not {expected:,.0f}")
    early, late = min(seconds[1:6]), min(seconds[-5:])
    if late > 1.5 * early:
        problems.append(f"{name}: the last keys cost {late / early:.2f} times what the first ones did")
    row = Row(
        f"flood_{name.split()[-1].lower()}",
        f"flood of {KEYS // 1_000_000} M distinct keys, room for 1 M: {name}",
        "python bench/scale/flood.py",
        "time",
        [],
        [
            Entry("AtlasCore, first millions", True, {"best": early}),
            Entry("AtlasCore, last millions", True, {"best": late}),
        ],
        f"Per key, with the loop and the making of the key (about 300 ns). Memory grew by {grown / 2**20:.1f} MiB; "
        f"the steady key counts {count:,.0f} of {expected:,.0f}.",
    )
    return row, problems


if __name__ == "__main__":
    results = [flood("WindowTable", _window_table()), flood("Engine", _engine())]
    report([row for row, _ in results])
    if problems := [problem for _, found in results for problem in found]:
        sys.exit("\n".join(problems))
