"""Readers of JSON lines: each reads principal, model and time of every event of a file, on one core."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

Read = Callable[[Path], int]  # events read


def lines_only() -> Read:
    def read(path: Path) -> int:
        with path.open("rb") as lines:
            return sum(1 for _ in lines)

    return read


def duckdb() -> Read:
    import duckdb as package

    connection = package.connect(config={"threads": 1})
    columns = "{'principal': 'VARCHAR', 'model': 'VARCHAR', 'time': 'DOUBLE'}"

    def read(path: Path) -> int:
        query = f"""SELECT count(*), max(time), approx_count_distinct(principal), max(model)
                    FROM read_json(?, format = 'newline_delimited', columns = {columns})"""
        row = connection.execute(query, [str(path)]).fetchone()
        assert row is not None
        return int(row[0])

    return read


def msgspec() -> Read:
    import msgspec as package

    event = package.defstruct("event", [("principal", str), ("model", str), ("time", float)], gc=False)
    decode = package.json.Decoder(event).decode

    def read(path: Path) -> int:
        count = 0
        with path.open("rb") as lines:
            for line in lines:
                decode(line)
                count += 1
        return count

    return read


def orjson() -> Read:
    import orjson as package

    return _documents(package.loads)


def standard_json() -> Read:
    return _documents(json.loads)


def _documents(loads: Callable[[bytes], object]) -> Read:
    def read(path: Path) -> int:
        count = 0
        with path.open("rb") as lines:
            for line in lines:
                loads(line)
                count += 1
        return count

    return read


ALL: dict[str, Callable[[], Read]] = {
    "iterating over lines in Python": lines_only,
    "duckdb read_json, three columns": duckdb,
    "msgspec, typed": msgspec,
    "orjson": orjson,
    "json": standard_json,
}
