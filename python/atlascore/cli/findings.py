"""What a scan reports, one object per event, and the forms in which it is printed."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from atlascore.events import Action

if TYPE_CHECKING:
    from atlascore.policy import Policy
    from atlascore.scanning import ScanEvent

__all__ = ["Finding", "Printer", "finding_of", "printable", "printer"]

_GROUPS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """An event of a log and what was decided, on the query and on its answer together.

    time: seconds since 1970. principal: None where the log has none. level: the highest one of the matched
    rules, None when no rule matched.
    """

    file: str
    line: int
    time: float
    principal: str | None
    model: str
    action: Action
    would: Action
    simulated: bool
    rules: tuple[str, ...]
    techniques: tuple[str, ...]
    level: str | None
    signals: dict[str, float]

    @property
    def severity(self) -> Action:
        """The higher of what was done and what shadow rules would have done."""
        return max(self.action, self.would)

    def __bool__(self) -> bool:
        """Whether there is something to report."""
        return bool(self.rules) or self.severity > Action.ALLOW


def finding_of(event: ScanEvent, decision: Any, policy: Policy) -> Finding:
    decisions = [decision] if event.answer is None else [decision, event.answer]
    matched = {index for one in decisions for index in one._matched}
    rules = [policy.rules.rules[index] for index in sorted(matched)]
    return Finding(
        file=event.file,
        line=event.line,
        time=event.time,
        principal=event.principal,
        model=event.model,
        action=max(one.action for one in decisions),
        would=max(one.would for one in decisions),
        simulated=any(one.simulated for one in decisions),
        rules=tuple(dict.fromkeys(rule for one in decisions for rule in one.rules)),
        techniques=tuple(sorted({technique for one in decisions for technique in one.techniques})),
        level=_highest([rule.level for rule in rules]),
        signals={name: value for one in decisions for name, value in one.signals.items()},
    )


def _highest(levels: Sequence[str]) -> str | None:
    from atlascore.sigma.ast import LEVELS

    return max(levels, key=LEVELS.index, default=None)


_MEMBERS = tuple(member.name for member in fields(Finding))


def printable(text: str) -> str:
    """Text of a log on a terminal: whoever wrote it must not command the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class Printer(Protocol):
    """Prints findings as they come, or at the end."""

    def add(self, finding: Finding) -> None: ...

    def finish(self) -> None: ...


def printer(form: str, out: TextIO, titles: dict[str, str]) -> Printer:
    """form: "table", "jsonl" or "csv". titles: of the rules, by id."""
    if form == "jsonl":
        return _JsonLines(out)
    return _Csv(out) if form == "csv" else _Table(titles)


class _JsonLines:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def add(self, finding: Finding) -> None:
        self._out.write(json.dumps(_plain(finding), separators=(",", ":")) + "\n")

    def finish(self) -> None:
        self._out.flush()


class _Csv:
    """The members of the JSON form as columns; lists are separated by spaces, signals are one JSON object."""

    def __init__(self, out: TextIO) -> None:
        self._writer = csv.writer(out, lineterminator="\n")
        self._writer.writerow(_MEMBERS)

    def add(self, finding: Finding) -> None:
        self._writer.writerow(_cell(value) for value in _plain(finding).values())

    def finish(self) -> None:
        pass


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(value)
    return json.dumps(value) if isinstance(value, dict) else value


def _plain(finding: Finding) -> dict[str, Any]:
    members = {name: getattr(finding, name) for name in _MEMBERS}
    return members | {"action": finding.action.name, "would": finding.would.name}


@dataclass
class _Row:
    """Findings of one principal on one model."""

    first: float
    last: float
    events: int = 0
    action: Action = Action.ALLOW
    severity: Action = Action.ALLOW
    rules: dict[str, int] = field(default_factory=dict)
    techniques: set[str] = field(default_factory=set)

    def add(self, finding: Finding) -> None:
        self.first = min(self.first, finding.time)
        self.last = max(self.last, finding.time)
        self.events += 1
        self.action = max(self.action, finding.action)
        self.severity = max(self.severity, finding.severity)
        for rule in finding.rules:
            self.rules[rule] = self.rules.get(rule, 0) + 1
        self.techniques.update(finding.techniques)


class _Table:
    def __init__(self, titles: dict[str, str]) -> None:
        self._titles = titles
        self._rows: dict[tuple[str | None, str], _Row] = {}

    def add(self, finding: Finding) -> None:
        key = (finding.principal, finding.model)
        if key not in self._rows:
            self._rows[key] = _Row(finding.time, finding.time)
        self._rows[key].add(finding)

    def finish(self) -> None:
        if not self._rows:
            return
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in ("principal", "model", "first and last (UTC)"):
            table.add_column(heading, overflow="fold")
        table.add_column("events", justify="right")
        for heading in ("action", "rules", "techniques"):
            table.add_column(heading)
        ranked = sorted(self._rows.items(), key=lambda item: (-item[1].severity, -item[1].events))
        for (principal, model), row in ranked[:_GROUPS_SHOWN]:
            rules = [f"{self._titles[rule]} ({count:,})" for rule, count in row.rules.items()]
            action = Text(row.action.name, _STYLES[row.action])
            if row.severity > row.action:
                action.append(f"\nwould {row.severity.name}", _STYLES[row.severity])
            table.add_row(
                Text("(none)", "dim") if principal is None else Text(printable(principal)),
                Text(printable(model)),
                f"{_clock(row.first)}\n{_clock(row.last)}",
                f"{row.events:,}",
                action,
                Text("\n".join(rules)),
                "\n".join(sorted(row.techniques)),
            )
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
        console.print(table)
        if len(ranked) > _GROUPS_SHOWN:
            console.print(f"and {len(ranked) - _GROUPS_SHOWN:,} more, less serious; --json prints all\n")


_STYLES = {Action.ALLOW: "green", Action.LOG: "cyan", Action.CONSTRAIN: "yellow", Action.BLOCK: "red"}


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
