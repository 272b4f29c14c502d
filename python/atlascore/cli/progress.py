"""How far a scan is, on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from atlascore.cli.findings import Finding, printable
from atlascore.events import Action

if TYPE_CHECKING:
    from atlascore.scanning import ScanEvent

__all__ = ["Progress"]


class Progress:
    """A context manager around a scan; when a person watches, they see how far it is.

    shown: whether progress may be drawn at all. worst: the highest severity of the findings so far, None
    without findings.
    """

    def __init__(self, shown: bool) -> None:
        from rich.console import Console

        self.worst: Action | None = None
        self._findings = 0
        self._begin = time.perf_counter()
        self._console = Console(stderr=True, highlight=False)
        self._shown = shown and sys.stderr.isatty()
        self._status = self._console.status("scanning")
        self._due = self._begin

    def __enter__(self) -> Progress:
        if self._shown:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def bad_line(self, file: str, line: int, reason: str) -> None:
        text = printable(f"{file}:{line}: {reason}")
        self._console.print(text, markup=False, soft_wrap=True)

    def note(self, finding: Finding) -> None:
        if finding:
            self._findings += 1
            self.worst = max(self.worst or Action.ALLOW, finding.severity)
        self._show(f"scanning, {self._findings:,} findings up to", finding)

    def at(self, event: ScanEvent) -> None:
        self._show("scanning, at", event)

    def _show(self, what: str, where: Finding | ScanEvent) -> None:
        if self._shown and time.perf_counter() >= self._due:
            self._due = time.perf_counter() + 0.1
            self._status.update(printable(f"{what} line {where.line:,} of {where.file}"))

    def finish(self, counts: dict[str, int], findings: bool = True) -> None:
        """The summary."""
        seconds = time.perf_counter() - self._begin
        parts = [
            f"{counts['events']:,} events in {seconds:.1f} s, {counts['events'] / seconds:,.0f} a second",
        ]
        if findings:
            parts.append(f"{self._findings:,} findings")
        if counts["bad"]:
            parts.append(f"{counts['bad']:,} lines that are no events")
        if counts["late"]:
            parts.append(f"{counts['late']:,} events that came too late to be ordered")
        self._console.print("; ".join(parts), soft_wrap=True)
