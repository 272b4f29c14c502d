"""Contests: a row of the table whose contenders are measured by pytest-benchmark, in turns.

    HITS = Contest("hits", "WindowTable.hit, one key", targets=[Target("best", 250e-9)])

    @HITS.contender("AtlasCore", ours=True)
    def atlascore() -> Work:
        table = WindowTable(...)
        return Work(lambda: ..., operations=10_000)

    test_hits = HITS.test()

A shared machine changes speed from second to second, so every contender has several turns, one after the other,
and its best round counts. A peer that cannot be imported or prepared stays in the table with the reason.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pytest
from rows import Entry, Figures, Row, Target, Unit

TURNS = 3


class Work(NamedTuple):
    """run: one round, of `operations` operations; or it measures itself and returns its figures, `operations` 0."""

    run: Callable[[], Figures | None]
    operations: int = 0
    rounds: int = 5


@dataclass(frozen=True)
class Contender:
    name: str
    ours: bool
    prepare: Callable[[], Work]


class Contest:
    """key: of the row, stable. targets: of AtlasCore's first contender."""

    all: ClassVar[list[Contest]] = []

    def __init__(
        self, key: str, title: str, targets: Sequence[Target] = (), unit: Unit = "time", note: str = ""
    ) -> None:
        self.key = key
        self.title = title
        self.targets = list(targets)
        self.unit = unit
        self.note = note
        self.contenders: list[Contender] = []
        self._prepared: dict[str, Work | Exception] = {}
        self._entries: dict[str, Entry] = {}
        Contest.all.append(self)

    def contender(self, name: str, ours: bool = False) -> Callable[[Callable[[], Work]], Callable[[], Work]]:
        def register(prepare: Callable[[], Work]) -> Callable[[], Work]:
            self.contenders.append(Contender(name, ours, prepare))
            return prepare

        return register

    def test(self) -> Any:
        """The pytest function: one test for every contender and turn, all contenders of a turn in sequence."""

        @pytest.mark.parametrize("contender", self.contenders, ids=lambda contender: contender.name)
        @pytest.mark.parametrize("turn", range(TURNS))
        def measure(benchmark: Any, turn: int, contender: Contender) -> None:
            work = self._work(contender)
            if isinstance(work, Exception):
                if contender.ours and not isinstance(work, ImportError):
                    raise work
                self._entries.setdefault(contender.name, _missing(contender, work))
                pytest.skip(f"{contender.name}: {work}")
            self._add(contender, _figures(benchmark, self, work))

        measure.__name__ = measure.__qualname__ = f"test_{self.key}"
        return measure

    def row(self, command: str) -> Row:
        entries = [
            self._entries.get(c.name) or Entry(c.name, c.ours, missing="failed while it was measured")
            for c in self.contenders
        ]
        return Row(self.key, self.title, command, self.unit, self.targets, entries, self.note)

    def release(self) -> None:
        """Forget what was prepared: some contenders hold hundreds of megabytes."""
        if self._prepared:
            self._prepared.clear()
            gc.collect()

    def _work(self, contender: Contender) -> Work | Exception:
        if contender.name not in self._prepared:
            try:
                self._prepared[contender.name] = contender.prepare()
            except Exception as error:
                self._prepared[contender.name] = error
        return self._prepared[contender.name]

    def _add(self, contender: Contender, figures: Figures) -> None:
        entry = self._entries.setdefault(contender.name, Entry(contender.name, contender.ours))
        better = max if self.unit == "rate" else min
        for name, value in figures.items():
            entry.figures[name] = better(value, entry.figures.get(name, value))


def _missing(contender: Contender, error: Exception) -> Entry:
    if contender.ours:
        reason = "not built yet"
    elif isinstance(error, ModuleNotFoundError):
        reason = "not installed"
    else:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:100]
    return Entry(contender.name, contender.ours, missing=reason)


def _figures(benchmark: Any, contest: Contest, work: Work) -> Figures:
    measured: list[Figures] = []

    def one_round() -> None:
        figures = work.run()
        if figures is not None:
            measured.append(figures)

    benchmark.group = contest.title
    benchmark.pedantic(one_round, rounds=work.rounds, iterations=1, warmup_rounds=1)
    if measured:
        better = max if contest.unit == "rate" else min
        return {name: better(figures[name] for figures in measured) for name in measured[0]}
    seconds = benchmark.stats.stats.min
    return {"best": work.operations / seconds if contest.unit == "rate" else seconds / work.operations}


def quantiles(call: Callable[[int], object], count: int) -> Figures:
    """Time `count` calls one by one, the clock's own cost (about 50 ns) included."""
    clock = time.perf_counter_ns
    times = [0] * count
    for i in range(count):
        start = clock()
        call(i)
        times[i] = clock() - start
    times.sort()
    return {"p50": times[count // 2] * 1e-9, "p99": times[count * 99 // 100] * 1e-9}


def difference(
    run: Callable[[], object],
    base: Callable[[], object],
    operations: int,
    clock: Callable[[], float] = time.process_time,
) -> Figures:
    """What an operation of `run` costs above one of `base`: best of five each, alternating.

    Differences are good to about 10 ns and are reported as at least that.
    """
    best = [float("inf"), float("inf")]
    for _ in range(5):
        for i, function in enumerate((run, base)):
            start = clock()
            function()
            best[i] = min(best[i], clock() - start)
    return {"best": max((best[0] - best[1]) / operations, 10e-9)}
