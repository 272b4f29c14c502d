"""What a measurement is: a row of figures, AtlasCore's beside its peers', and the targets they are held against."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Unit = Literal["time", "rate", "bytes", "ratio", "count"]
Figures = dict[str, float]  # by name: "best" (min of rounds) or quantiles such as "p50"

EVERY_PEER = ("*",)

_HIGHER_IS_BETTER = ("rate", "ratio")
_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_SIZES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_COUNTS = ((1e6, "M"), (1e3, "k"), (1.0, ""))


@dataclass(frozen=True)
class Target:
    """figure: which one. bound: in the row's unit, or how many times better than `against`.

    against: names of peers, the best of which counts; EVERY_PEER; or () when the bound is absolute.
    """

    figure: str
    bound: float
    against: tuple[str, ...] = ()


@dataclass
class Entry:
    """One contender's figures, or why there are none."""

    name: str
    ours: bool
    figures: Figures = field(default_factory=dict)
    missing: str = ""


@dataclass
class Row:
    key: str
    title: str
    command: str
    unit: Unit = "time"
    targets: list[Target] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    note: str = ""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Row:
        targets = [Target(t["figure"], t["bound"], tuple(t["against"])) for t in data["targets"]]
        entries = [Entry(**entry) for entry in data["entries"]]
        return cls(**data | {"targets": targets, "entries": entries})

    @property
    def ours(self) -> Entry:
        """The entry that targets speak of: AtlasCore's first."""
        return next(entry for entry in self.entries if entry.ours)

    def better(self, figures: Iterable[float]) -> float:
        return max(figures) if self.unit in _HIGHER_IS_BETTER else min(figures)

    def advantage(self, ours: float, peer: float) -> float:
        """How many times better ours is."""
        return ours / peer if self.unit in _HIGHER_IS_BETTER else peer / ours

    def value(self, target: Target) -> float | None:
        """What was reached, in the target's terms; None when it could not be measured."""
        ours = self.ours.figures.get(target.figure)
        if ours is None or not target.against:
            return ours
        peers = [
            peer.figures[target.figure]
            for peer in self.entries
            if not peer.ours
            and target.figure in peer.figures
            and (target.against == EVERY_PEER or peer.name in target.against)
        ]
        return self.advantage(ours, self.better(peers)) if peers else None

    def met(self, target: Target) -> bool | None:
        value = self.value(target)
        if value is None:
            return None
        at_least = bool(target.against) or self.unit in _HIGHER_IS_BETTER
        return value >= target.bound if at_least else value <= target.bound

    def text(self, value: float) -> str:
        return format_value(value, self.unit)


def format_value(value: float, unit: Unit) -> str:
    if unit == "ratio":
        return f"{value:.2f}x"
    if unit == "count":
        return f"{value:,.0f}"
    scales = {"time": _TIMES, "bytes": _SIZES, "rate": _COUNTS}[unit]
    factor, name = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    scaled = value / factor
    digits = 0 if abs(scaled) >= 100 or (unit == "time" and name == "ns") else 1 if abs(scaled) >= 10 else 2
    return f"{scaled:,.{digits}f} {name}{'/s' if unit == 'rate' else ''}"


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def read_rows(path: Path) -> list[Row]:
    return [Row.from_dict(data) for data in json.loads(path.read_text())]


def report(rows: list[Row]) -> None:
    """What the measuring scripts end with: the rows on standard output, and in the file of `--rows FILE`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=Path, help="write the measured rows to this JSON file")
    path = parser.parse_args().rows
    for row in rows:
        print(row.title)
        for entry in row.entries:
            figures = ", ".join(f"{name} {row.text(value)}" for name, value in entry.figures.items())
            print(f"  {entry.name}: {figures or entry.missing}")
    if path is not None:
        write_rows(path, rows)
