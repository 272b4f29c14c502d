"""How a run is shown: a live table on a terminal, lines elsewhere, and the result."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from atlascore.demo.tally import ATTACKERS, Moment, Tally
from atlascore.events import Action
from atlascore.sigma.ast import Rule, leaves

__all__ = ["Screen", "show_result"]

STYLES = {Action.ALLOW: "green", Action.LOG: "cyan", Action.CONSTRAIN: "yellow", Action.BLOCK: "red"}
_SIGNALS = {
    "api.request_count": "{:.0f} queries in 5 min",
    "api.request_rate": "{:.1f}/s",
    "api.input_similarity_score": "similarity {:.2f}",
    "api.off_grid_ratio": "{:.0%} of values off the grid",
    "evidence.synthetic": "evidence of synthetic inputs {:.1f}",
    "evidence.total": "evidence of a search {:.1f}",
}


class Screen:
    """A context manager; while it is entered, the state of the tally is on the terminal.

    rules: all that can match, the most serious one last.
    """

    def __init__(self, console: Console, tally: Tally, rules: Sequence[Rule]) -> None:
        self._console = console
        self._tally = tally
        self._rules = rules
        columns = TextColumn("{task.description}"), BarColumn(None)
        self._progress = Progress(*columns, expand=True, console=console)
        self._task = self._progress.add_task("", total=1)
        self._live = Live(get_renderable=self._picture, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self.update(1)

    def begin(self, phase: str, detail: str) -> None:
        self._console.print(Text.assemble((phase, "bold"), ": ", detail), soft_wrap=True)
        self._progress.reset(self._task, description=phase)

    def update(self, share: float) -> None:
        """Show that this share of the phase is over, and what happened since."""
        self._progress.update(self._task, completed=share)
        while self._tally.moments:
            self._console.print(self._told(self._tally.moments.popleft()), soft_wrap=True)

    def _told(self, moment: Moment) -> Text:
        query, seconds = moment.group.first[moment.action]
        *_, rule = (rule for rule in self._rules if rule.id in moment.rules)
        read = {leaf.subject for leaf in leaves(rule.condition)}
        signals = ", ".join(
            form.format(moment.signals[name])
            for name, form in _SIGNALS.items()
            if name in read and name in moment.signals
        )
        return Text.assemble(
            "  ",
            (moment.action.name, f"bold {STYLES[moment.action]}"),
            f" for the {moment.group.title}, from query {query:,} after {seconds:.1f} s\n",
            (f"    {rule.title}: {signals}", "dim"),
        )

    def _picture(self) -> RenderableType:
        table = Table(box=box.SIMPLE, expand=True)
        table.add_column("", no_wrap=True)
        table.add_column("queries", justify="right")
        for action in Action:
            table.add_column(Text(action.name, STYLES[action]), justify="right")
        table.add_column("gets", no_wrap=True, min_width=26)
        for group in self._tally.groups.values():
            decided = (
                Text(f"{count:,}", STYLES[action] if count else "dim")
                for action, count in zip(Action, group.decided, strict=True)
            )
            table.add_row(group.title, f"{group.queries:,}", *decided, group.gets)
        return Group(table, self._progress)


def show_result(console: Console, tally: Tally, back_to_back: npt.NDArray[np.float64], log: str, entries: int) -> None:
    """The table at the end. back_to_back: microseconds that decide() takes when nothing else happens."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("answers", no_wrap=True)
    for heading in ("asked", "in full", "label only", "refused", "false alarms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, group in tally.groups.items():
        false_alarms = "" if name in ATTACKERS else f"{group.acted_on:,}"
        counts = (f"{count:,}" for count in (group.asked, group.full, group.label_only, group.refused))
        table.add_row(group.title, *counts, false_alarms)
    console.print(table)
    in_server = np.array(tally.nanoseconds) / 1000
    facts = {
        "thief": _thief_story(tally),
        "decide()": f"{_percentiles(back_to_back)} back to back; "
        f"{_percentiles(in_server)} amid all that this process did",
        "log": f"{entries:,} entries in {log}",
    }
    for name, fact in facts.items():
        console.print(Text.assemble((f"  {name:10}", "bold"), fact), soft_wrap=True)


def _percentiles(microseconds: npt.NDArray[np.float64]) -> str:
    p50, p99 = np.percentile(microseconds, (50, 99))
    return f"p50 {p50:.1f} µs, p99 {p99:.1f} µs"


def _thief_story(tally: Tally) -> str:
    def fate(word: str, action: Action) -> str:
        if action not in first:
            return f"never {word}"
        query, seconds = first[action]
        return f"{word} at query {query:,} ({seconds:.1f} s)"

    first = tally.groups["thief"].first
    return f"{fate('constrained', Action.CONSTRAIN)}, {fate('blocked', Action.BLOCK)}"
