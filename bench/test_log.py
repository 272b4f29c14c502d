"""The decision log: what it adds to a decision, and how fast entries reach the file."""

from __future__ import annotations

import atexit
import itertools
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contest import Contest, Work, difference
from rows import Figures, Target
from traffic import BUILD, START

import atlascore as ac

CALLS = 4_000  # fewer than the ring holds: nothing is lost
ENTRIES = 50_000

HOT_PATH = Contest(
    "log_hot_path",
    "decision log: what it adds to a decision",
    [Target("best", 100e-9)],
    note="Processor time of the deciding thread.",
)
TO_DISK = Contest(
    "log_to_disk",
    "decision log: entries to the file, flushed",
    [Target("best", 500e3)],
    unit="rate",
    note="By the wall clock, decisions included; what the ring could not take is not counted. Peers write the "
    "same members from a dict.",
)
MEMBERS = {
    "kind": "decision",
    "seq": 123_456,
    "time": START,
    "principal": "0123456789abcdef0123456789abcdef",
    "model": "fraud-v3",
    "method": "predict",
    "endpoint": "/v1/models/fraud-v3:predict",
    "action": "ALLOW",
    "rules": [],
    "policy": "4d5e6f",
    "signals": {"api.request_count": 121.0, "api.request_rate": 3.3},
    "rows": 1,
}


def _directory() -> str:
    BUILD.mkdir(parents=True, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="log-", dir=BUILD)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _engine(log: str) -> ac.Engine:
    return ac.Engine(ac.Policy.default(mode="enforce"), capacity=10_000, log=log)


def _decisions(engine: ac.Engine, number: int) -> Callable[[], None]:
    decide: Any = engine.route(model="fraud-v3", endpoint="/v1/models/fraud-v3:predict").decide
    times = itertools.count(START, 0.3)

    def run() -> None:
        for now in itertools.islice(times, number):
            decide("key-42", None, now)
        engine.flush()

    return run


@HOT_PATH.contender("AtlasCore", ours=True)
def hot_path() -> Work:
    logged = _decisions(_engine(_directory()), CALLS)
    silent = _decisions(_engine(""), CALLS)
    return Work(lambda: difference(logged, silent, CALLS, clock=time.thread_time))


@TO_DISK.contender("AtlasCore", ours=True)
def to_disk() -> Work:
    engine = _engine(_directory())
    run = _decisions(engine, ENTRIES)

    def measure() -> Figures:
        before = engine.stats()["log_entries"]
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        return {"best": (engine.stats()["log_entries"] - before) / seconds}

    return Work(measure)


def _written(write: Callable[[], object], sync: Callable[[], object], number: int) -> Work:
    def measure() -> Figures:
        start = time.perf_counter()
        for _ in itertools.repeat(None, number):
            write()
        sync()
        return {"best": number / (time.perf_counter() - start)}

    return Work(measure)


@TO_DISK.contender("orjson and a buffered file")
def orjson_file() -> Work:
    import orjson

    file = (Path(_directory()) / "log.jsonl").open("wb")

    def sync() -> None:
        file.flush()
        os.fdatasync(file.fileno())

    return _written(lambda: file.write(orjson.dumps(MEMBERS, option=orjson.OPT_APPEND_NEWLINE)), sync, ENTRIES)


@TO_DISK.contender("logging.StreamHandler on a file")
def standard_logging() -> Work:
    file = (Path(_directory()) / "log.jsonl").open("a")
    handler = logging.StreamHandler(file)
    logger = logging.Logger("decisions")
    logger.addHandler(handler)

    def sync() -> None:
        handler.flush()
        os.fdatasync(file.fileno())

    return _written(lambda: logger.info(json.dumps(MEMBERS)), sync, ENTRIES // 10)


test_log_hot_path = HOT_PATH.test()
test_log_to_disk = TO_DISK.test()
