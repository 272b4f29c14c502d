"""Two at once: how much more two processes, or two threads, get done than one.

    python bench/contention.py [--rows FILE]

Processes share one region and ask about the same thousand principals, or each about its own. Threads share one
engine; under the GIL only batches run side by side. Rounds with one and with two alternate, the best of each
counts. The machine needs two idle cores: on a busy one the ratios say nothing. What it can give at all is the row of
two processes with a state each, which share nothing but the machine.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rows import Entry, Row, Target, report

import atlascore as ac

SECONDS = 1.0
ROUNDS = 5
PRINCIPALS = 1_000
BATCH = 64
COMMAND = "python bench/contention.py"
TARGETS = [Target("best", 1.8)]


def _decide_until(deadline: float, decide: Callable[..., Any], names: list[str], x: Any) -> int:
    done = 0
    while time.time() < deadline:
        for name in names:
            decide(name, x)
        done += len(names)
    return done


def _worker(state: str, prefix: str, orders: Any, answers: Any) -> None:
    engine = ac.Engine(ac.Policy.default(mode="enforce"), capacity=100_000, state=state)
    decide = engine.route(model="fraud-v3", endpoint="/v1/models/fraud-v3:predict").decide
    names = [f"{prefix}-{i}" for i in range(PRINCIPALS)]
    while (start := orders.get()) is not None:
        time.sleep(max(0.0, start - time.time()))
        answers.put(_decide_until(start + SECONDS, decide, names, None))


@contextmanager
def _shared_state() -> Iterator[str]:
    name = f"atlascore-bench-{os.getpid()}"
    try:
        yield f"shm:{name}"
    finally:
        for path in Path("/dev/shm").glob(f"*{name}*"):
            path.unlink()


def _two_processes(prefixes: tuple[str, str], one_state: bool = True) -> float:
    """How many times more two processes decide than the first of them alone."""
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    with _shared_state() as state:
        orders: list[Any] = [context.Queue() for _ in prefixes]
        workers = [
            context.Process(target=_worker, args=(state if one_state else "", prefix, queue, answers))
            for prefix, queue in zip(prefixes, orders, strict=True)
        ]
        for worker in workers:
            worker.start()
        best = {1: 0, 2: 0}
        for _ in range(ROUNDS):
            for number in best:
                start = time.time() + 1.0
                for queue in orders[:number]:
                    queue.put(start)
                best[number] = max(best[number], sum(answers.get() for _ in range(number)))
        for queue, worker in zip(orders, workers, strict=True):
            queue.put(None)
            worker.join()
    return best[2] / best[1]


def _two_threads(x: Any) -> float:
    engine = ac.Engine(ac.Policy.default(mode="enforce"), capacity=100_000)
    done: list[int] = []

    def work(deadline: float, prefix: str) -> None:
        decide = engine.route(model="fraud-v3").decide
        done.append(_decide_until(deadline, decide, [f"{prefix}-{i}" for i in range(50)], x))

    best = {1: 0, 2: 0}
    for _ in range(ROUNDS):
        for number in best:
            done.clear()
            deadline = time.time() + SECONDS
            threads = [threading.Thread(target=work, args=(deadline, prefix)) for prefix in "ab"[:number]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            best[number] = max(best[number], sum(done))
    return best[2] / best[1]


def rows() -> list[Row]:
    batch = np.random.default_rng(6).random((BATCH, 784), dtype=np.float32)
    note = "Throughput of two over throughput of one."
    return [
        Row(
            "two_processes",
            "two processes on one region",
            COMMAND,
            "ratio",
            TARGETS,
            [
                Entry("AtlasCore, principals of their own", True, {"best": _two_processes(("a", "b"))}),
                Entry("AtlasCore, the same principals", True, {"best": _two_processes(("a", "a"))}),
                Entry("the machine: a state each", False, {"best": _two_processes(("a", "b"), one_state=False)}),
            ],
            note,
        ),
        Row(
            "two_threads",
            "two threads on one engine",
            COMMAND,
            "ratio",
            TARGETS,
            [
                Entry(f"AtlasCore, batches of {BATCH} x 784", True, {"best": _two_threads(batch)}),
                Entry("AtlasCore, single queries under the GIL", True, {"best": _two_threads(None)}),
            ],
            f"{note} A single query holds the GIL: releasing it costs more than deciding.",
        ),
    ]


if __name__ == "__main__":
    report(rows())
