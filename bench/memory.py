"""Memory: what an engine reserves, and bytes per key of the window table beside limiters.

    python bench/memory.py [--rows FILE]

Each limiter runs in a process of its own, which counts a million keys once and tells how much its resident memory grew.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peers import windows as peers
from rows import Entry, Row, Target, report

import atlascore as ac

KEYS = 1_000_000
COMMAND = "python bench/memory.py"


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _bytes_per_key(name: str, answer: Any) -> None:
    try:
        hit = _hit(name)
        keys = [f"key-{i:07d}" for i in range(KEYS)]
        before = resident_bytes()
        for key in keys:
            hit(key)
        answer.put((resident_bytes() - before) / KEYS)
    except Exception as error:
        answer.put(f"{type(error).__name__}: {error}".splitlines()[0][:100])


def _hit(name: str) -> Callable[[str], object]:
    if name in peers.ALL:
        hit: Callable[[str], object] = peers.ALL[name]()
        return hit
    table = ac.windows.WindowTable(KEYS, [60] if name.endswith("one window") else [60, 300, 3_600])
    return lambda key: table.hit(key, 1_700_000_000.0)


def _entry(name: str, ours: bool) -> Entry:
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    process = context.Process(target=_bytes_per_key, args=(name, answers))
    process.start()
    answer = answers.get()
    process.join()
    if isinstance(answer, str):
        return Entry(name, ours, missing=answer)
    return Entry(name, ours, {"best": answer})


def keys_row() -> Row:
    ours = [_entry(f"AtlasCore WindowTable, {windows}", True) for windows in ("one window", "three windows")]
    return Row(
        "memory_keys",
        "resident memory per key, 1 M keys with one event each",
        COMMAND,
        "bytes",
        [],
        [*ours, *(_entry(name, False) for name in peers.ALL)],
        "AtlasCore reserves its memory at the start and never grows; peers grow with events and keys.",
    )


def engine_row() -> Row:
    with ac.Engine(ac.Policy.default(), capacity=KEYS) as engine:
        stats = engine.stats()
    assert stats["hot_capacity"] == 20_000, stats["hot_capacity"]
    return Row(
        "memory_engine",
        "engine: 1 M tracks, 20 k of them hot, shipped rules",
        COMMAND,
        "bytes",
        [Target("best", 512 * 2**20)],
        [Entry("AtlasCore", True, {"best": stats["region_bytes"]})],
        "Reserved for good at the start.",
    )


if __name__ == "__main__":
    report([engine_row(), keys_row()])
