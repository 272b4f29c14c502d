"""The decision log: reading what the core wrote."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from atlascore.errors import LogError

__all__ = ["read"]

_FILE = "decisions.jsonl"


def read(directory: str | PathLike[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Iterate over the entries of the log in `directory`, in the order in which they were written.

    Yields `(index, entry)`: the index is the line number from 0, the same as `decision.index`; the entry
    holds the members that docs/decision-log.md lists, times in integer microseconds. Members and kinds that
    this version does not know are kept. A line that a dying process left incomplete is skipped; the sequence
    numbers (`pseq`) around it show what is missing. Entries appended while reading are included.

    Raises LogError when the directory holds no log.
    """
    path = Path(directory) / _FILE
    decoder = msgspec.json.Decoder()
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise LogError(f"{directory} holds no decision log: there is no {_FILE} in it") from None
    with file:
        for index, line in enumerate(file):
            try:
                entry = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(entry, dict):
                yield index, entry
