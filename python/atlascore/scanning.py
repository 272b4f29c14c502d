"""Replaying logs: the same engine at the events' own times. What is replayed is what is enforced."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from atlascore import _core
from atlascore._core import Decision
from atlascore.engine import Engine
from atlascore.policy import Policy

__all__ = ["Scan", "ScanEvent", "scan"]

BadLine = Callable[[str, int, str], None]


class ScanEvent(NamedTuple):
    """One line of a log. time: seconds since 1970. line: 1-based. principal: None where the log has none.

    answer: the decision on the response that the line carried, when a response rule matched; else None.
    """

    file: str
    line: int
    time: float
    principal: str | None
    model: str
    method: str
    endpoint: str
    session: str
    answer: Decision | None


class Scan:
    """One pass over logs. Iterating gives (event, decision) in the order of event time.

    files:         paths of JSON-lines files; "-" is standard input.
    findings_only: skip events that no rule matched and that got no more than ALLOW; much faster.
    on_bad_line:   called with file, line and reason for each line that is no event or cannot be decided; by
                   default it is written to standard error.
    `counts` tells how far it is: lines, events, bad, late. Raises OSError when a file cannot be read, ValueError when
    it is compressed.
    """

    def __init__(
        self,
        files: Iterable[str | os.PathLike[str]],
        engine: Engine,
        *,
        findings_only: bool = False,
        on_bad_line: BadLine | None = None,
    ) -> None:
        self.engine = engine
        self.findings_only = findings_only
        self._on_bad_line = on_bad_line or _to_stderr
        self._core = _core.Scanner(engine._core, engine, [os.fspath(file) for file in files])

    def __iter__(self) -> Iterator[tuple[ScanEvent, Decision]]:
        take = self._core.next
        while (found := take(self.findings_only)) is not None:
            self._report()
            if isinstance(found, bool):
                continue
            *where, decision, answer = found
            yield ScanEvent(*where, answer), decision  # type: ignore[call-arg]
        self._report()

    @property
    def counts(self) -> dict[str, int]:
        """Lines read, events decided, bad lines, late events so far."""
        return self._core.counts()

    @property
    def unreadable(self) -> list[str]:
        """Files that have lines, none of which was an event so far."""
        return self._core.unreadable()

    def _report(self) -> None:
        for file, line, reason in self._core.take_bad():
            self._on_bad_line(file, line, reason)


def scan(
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    policy: Policy | None = None,
    *,
    capacity: int | None = None,
    on_bad_line: BadLine | None = None,
) -> Iterator[tuple[ScanEvent, Decision]]:
    """Decide every event of one or more logs, offline, with a fresh state of its own.

    files:  JSON lines whose keys are the arguments of Engine.decide (`time` for `now`) and, where known, "response":
            {label, scores, text, cost, status}; every other key is an event field. "-" is standard input.
    policy: default `Policy.default()`. Its log and state sections are not used: a scan changes nothing.
    Yields (event, decision) in the order of event time; a bad line is reported, counted and skipped.
    """
    if isinstance(files, (str, os.PathLike)):
        files = [files]
    engine = offline_engine(Policy.default() if policy is None else policy, capacity)
    yield from Scan(files, engine, on_bad_line=on_bad_line)


def offline_engine(policy: Policy, capacity: int | None = None, *, census: bool = False) -> Engine:
    """An engine for replays: its own state in memory and no log, whatever the policy says.

    census: count the observations behind the evidence, for a baseline.
    """
    engine = Engine(policy, capacity=capacity, state="", log="")
    if census:
        engine._core.take_census()
    return engine


def _to_stderr(file: str, line: int, reason: str) -> None:
    print(f"{file}:{line}: {reason}", file=sys.stderr)
