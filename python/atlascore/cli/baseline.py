"""What is usual in one's own log: percentiles of every signal over its principals, thresholds that spare them, and the
components of evidence that they hit too often."""

from __future__ import annotations

import itertools
import json
import math
import operator
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from atlascore._core import evidence_components, signal_catalogue
from atlascore._policy.measured import VERSION
from atlascore.cli.bounds import CONFIDENCE, measure, needed, upper_bound, worst_callers
from atlascore.events import Action
from atlascore.sigma.ast import And, Expression, Leaf, Not, Rule

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from atlascore._core import Decision
    from atlascore.engine import Engine
    from atlascore.policy import Policy
    from atlascore.scanning import ScanEvent

__all__ = ["Baseline", "WorstCaller", "show", "upper_bound", "write"]

PERCENTILES = (50, 90, 95, 99, 99.9)
DIGITS = 3  # of a proposed threshold

WORST = 3  # callers that are named for a component

BRANCHES = 64  # of a rule; what has more gets no proposals

Signals = Mapping[str, float]
Floats = npt.NDArray[np.float64]
Compare = Callable[[float, Any], bool]


@dataclass(frozen=True)
class Threshold:
    """A signal that is to exceed a number, in one branch of a rule: of what must hold together.

    others: the further comparisons of signals in this branch. Event fields, which a decision does not tell, are taken
    to be as the rule wants them.
    """

    rule: Rule
    branch: int
    branches: int  # of the rule
    leaf: Leaf
    name: str  # in Decision.signals
    others: tuple[tuple[str, Compare, Any], ...]

    def value(self, signals: Signals) -> float:
        """Up to which threshold the branch holds; NaN for none."""
        for name, compare, operand in self.others:
            value = signals.get(name)
            if value is None or not compare(value, operand):
                return math.nan
        return signals.get(self.name, math.nan)


@dataclass
class Track:
    """What one principal reached at one model."""

    thresholds: array[float]  # the highest value of each Threshold
    queries: int = 0
    highest: dict[str, float] = field(default_factory=dict)
    rules: set[int] = field(default_factory=set)
    would: Action = Action.ALLOW  # the highest


@dataclass(frozen=True)
class WorstCaller:
    """One of those who hit a component most often. would: what the policy's rules would have done, at most."""

    principal: str
    observations: int
    hits: int
    would: Action


class Baseline:
    """Collects decisions; `report` sums them up.

    false_alarms: the share of principals that a rule may match, with 95 % confidence.
    worst: by model and component, who hit it most often; for the reader of the report, not for the file, which is
    kept beside the policy and needs nobody's name.
    """

    def __init__(self, policy: Policy, false_alarms: float) -> None:
        self.false_alarms = false_alarms
        self._policy = policy
        self._rules: Sequence[Rule] = policy.rules.rules
        self._thresholds = [threshold for rule in self._rules for threshold in _thresholds(rule, policy)]
        self._tracks: dict[tuple[str, str], Track] = {}
        self.worst: dict[tuple[str, str], list[WorstCaller]] = {}
        self._nobody = 0
        self._ratios = {signal["name"] for signal in signal_catalogue() if signal["unit"] == "ratio"}

    def add(self, event: ScanEvent, decision: Decision) -> None:
        if event.principal is None:
            self._nobody += 1
            return
        key = (event.model, event.principal)
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = Track(array("d", [-math.inf] * len(self._thresholds)))
        track.queries += decision.rows
        signals = decision.signals
        highest = track.highest
        for name, value in signals.items():
            if value > highest.get(name, -math.inf):
                highest[name] = value
        reached = track.thresholds
        for i, threshold in enumerate(self._thresholds):
            value = threshold.value(signals)
            if value > reached[i]:
                reached[i] = value
        for one in (decision, event.answer):
            if one is not None:
                track.rules.update(one._matched)
                track.would = max(track.would, one.would)

    def report(self, files: Sequence[str], engine: Engine) -> dict[str, Any]:
        """JSON data: docs/detection.md describes it. engine: what decided, with a census."""
        by_model: dict[str, dict[str, Track]] = {}
        for (model, principal), track in self._tracks.items():
            by_model.setdefault(model, {})[principal] = track
        return {
            "version": VERSION,
            "files": list(files),
            "policy": self._policy.hash,
            "false_alarms": self.false_alarms,
            "confidence": CONFIDENCE,
            "events_without_principal": self._nobody,
            "models": {
                model: self._model(list(callers.values())) | {"evidence": self._evidence(model, callers, engine)}
                for model, callers in sorted(by_model.items())
            },
        }

    def _evidence(self, model: str, callers: Mapping[str, Track], engine: Engine) -> list[dict[str, Any]]:
        names = list(callers)
        census = np.array([engine._core.census(name, model) for name in names], dtype=np.int64)
        found = []
        for i, component in enumerate(evidence_components()):
            counts, p0 = census[:, i, :], component["p0"]
            self.worst[model, component["name"]] = [
                WorstCaller(names[k], int(counts[k, 0]), int(counts[k, 1]), callers[names[k]].would)
                for k in worst_callers(counts, p0, WORST)
            ]
            measured = asdict(measure(counts, p0))
            found.append({"component": component["name"], "family": component["family"], "p0": p0, **measured})
        return found

    def _model(self, tracks: Sequence[Track]) -> dict[str, Any]:
        names = sorted({name for track in tracks for name in track.highest})
        return {
            "principals": len(tracks),
            "queries": sum(track.queries for track in tracks),
            "signals": {name: _percentiles(track.highest.get(name) for track in tracks) for name in names},
            "rules": [self._rule(index, rule, tracks) for index, rule in enumerate(self._rules)],
        }

    def _rule(self, index: int, rule: Rule, tracks: Sequence[Track]) -> dict[str, Any]:
        matched = sum(index in track.rules for track in tracks)
        bound = upper_bound(matched, len(tracks))
        return {
            "id": rule.id,
            "title": rule.title,
            "level": rule.level,
            "matched": matched,
            "share": matched / len(tracks),
            "upper_bound": bound,
            "within_rate": bound <= self.false_alarms,
            "branches": [
                [
                    {
                        "signal": threshold.leaf.subject,
                        "operator": threshold.leaf.operator,
                        "now": threshold.leaf.operand,
                        "proposed": self._proposed(threshold, np.array([track.thresholds[i] for track in tracks])),
                    }
                    for i, threshold in enumerate(self._thresholds)
                    if threshold.rule is rule and threshold.branch == branch
                ]
                for branch in sorted({threshold.branch for threshold in self._thresholds if threshold.rule is rule})
            ],
        }

    def _proposed(self, threshold: Threshold, reached: Floats) -> float | None:
        """The lowest threshold, all else being as it is, at which this branch keeps its part of the promise.

        None: there are too few principals to say, or the signal cannot exceed it.
        """
        allowed = _allowed(len(reached), self.false_alarms)
        if allowed < 0:
            return None
        exceeded = float(np.sort(reached)[::-1][allowed // threshold.branches])  # nobody from here on may reach it
        assert isinstance(threshold.leaf.operand, int | float)
        if exceeded < threshold.leaf.operand:
            return threshold.leaf.operand
        proposed = _above(exceeded)
        return None if threshold.leaf.subject in self._ratios and proposed >= 1 else proposed


def _allowed(principals: int, rate: float) -> int:
    """How many of them may alarm so that the bound is within the rate; -1: there are too few of them to say."""
    low, high = -1, math.floor(rate * principals)
    while low < high:
        middle = (low + high + 1) // 2
        if upper_bound(middle, principals) <= rate:
            low = middle
        else:
            high = middle - 1
    return low


def _above(value: float) -> float:
    """A short number that is greater, for `gt` and `gte` alike."""
    if value == 0:
        return 10.0**-DIGITS
    step = 10.0 ** (math.floor(math.log10(abs(value))) + 1 - DIGITS)
    return round((math.floor(value / step) + 1) * step, 12)


def _percentiles(values: Iterator[float | None]) -> dict[str, float]:
    known = np.array([value for value in values if value is not None])
    found = {f"p{q:g}": float(np.percentile(known, q)) for q in PERCENTILES}
    return {"principals": len(known), **found, "max": float(known.max())}


def _thresholds(rule: Rule, policy: Policy) -> Iterator[Threshold]:
    names = _names(policy, rule)
    branches = _branches(rule.condition, True)
    for number, branch in enumerate(branches or []):
        tests = [
            (leaf, names[leaf.subject], _compare(leaf.operator, wanted))
            for leaf, wanted in branch
            if leaf.subject in names and leaf.operator in _COMPARE
        ]
        for leaf, wanted in branch:
            numeric = isinstance(leaf.operand, int | float) and not isinstance(leaf.operand, bool)
            if wanted and leaf.subject in names and leaf.operator in ("gt", "gte") and numeric:
                others = tuple((name, compare, other.operand) for other, name, compare in tests if other is not leaf)
                yield Threshold(rule, number, len(branches or []), leaf, names[leaf.subject], others)


Branch = tuple[tuple[Leaf, bool], ...]


def _branches(expression: Expression, wanted: bool) -> list[Branch] | None:
    """The condition as alternatives, each of leaves that must be as wanted together; None when there are too many."""
    if isinstance(expression, Leaf):
        return [((expression, wanted),)]
    if isinstance(expression, Not):
        return _branches(expression.child, not wanted)
    parts = [_branches(child, wanted) for child in expression.children]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if isinstance(expression, And) is wanted:
        if math.prod(map(len, known)) > BRANCHES:
            return None
        return [tuple(leaf for branch in choice for leaf in branch) for choice in itertools.product(*known)]
    together = [branch for part in known for branch in part]
    return together if len(together) <= BRANCHES else None


def _names(policy: Policy, rule: Rule) -> dict[str, str]:
    """Where Decision.signals has each signal that the rule reads."""
    names: dict[str, str] = {}
    everything = policy.rules.program.signals(rule.phase)
    for name in {name for name, *_ in everything}:
        windows = [window for other, window, _ in everything if other == name]
        bare = next((window for window in windows if window in (0, 300)), windows[0])
        own = rule.window if rule.window in windows else bare
        names[name] = name if own == bare else f"{name}@{own}"
    return names


_COMPARE: Mapping[str, Compare] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "equal": operator.eq,
}
_CONTRARY: Mapping[str, Compare] = {
    "gt": operator.le,
    "gte": operator.lt,
    "lt": operator.ge,
    "lte": operator.gt,
    "equal": operator.ne,
}


def _compare(name: str, wanted: bool) -> Compare:
    return (_COMPARE if wanted else _CONTRARY)[name]


def write(report: Mapping[str, Any], file: Path) -> None:
    file.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


def show(report: Mapping[str, Any], worst: Mapping[tuple[str, str], Sequence[WorstCaller]]) -> None:
    """Per model the rules that match more principals than they may, and what would spare them; and the components of
    evidence that are hit too often, and by whom. worst: of `Baseline`."""
    from rich.console import Console
    from rich.text import Text

    from atlascore.cli.findings import printable

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    for model, found in report["models"].items():
        principals = found["principals"]
        console.print(
            Text.assemble((printable(model), "bold"), f": {principals:,} principals, {found['queries']:,} queries"),
            soft_wrap=True,
        )
        _show_rules(console, found, report["false_alarms"])
        _show_evidence(
            console, found["evidence"], {name: callers for (of, name), callers in worst.items() if of == model}
        )


def _show_rules(console: Console, found: Mapping[str, Any], rate: float) -> None:
    from atlascore.cli.findings import printable

    enough = math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-rate))
    if found["principals"] < enough:
        console.print(
            f"  {enough:,} principals are needed to say that a rule matches at most {rate:.2%} of them",
            soft_wrap=True,
        )
    loud = [rule for rule in found["rules"] if rule["matched"] and not rule["within_rate"]]
    if not loud:
        if found["principals"] >= enough:
            console.print(f"  no rule matches more than {rate:.2%} of them")
        return
    table = _table("rule", "level", ">principals", ">at most", f"{rate:.2%} or less with")
    for rule in sorted(loud, key=lambda rule: -rule["matched"]):
        groups = [
            "\nor ".join(
                f"{change['signal']}|{change['operator']}: {change['proposed']:g}, not {change['now']:g}"
                for change in branch
                if change["proposed"] is not None and change["proposed"] != change["now"]
            )
            for branch in rule["branches"]
        ]
        table.add_row(
            printable(rule["title"]),
            rule["level"],
            f"{rule['matched']:,}",
            f"{rule['upper_bound']:.2%}",
            "\nand also\n".join(filter(None, groups)),
        )
    console.print(table)


def _show_evidence(
    console: Console, evidence: Sequence[Mapping[str, Any]], worst: Mapping[str, Sequence[WorstCaller]]
) -> None:
    """What is off, and what somebody hits too often whom the rules would have constrained: who does that may be no
    honest caller."""
    off = [entry for entry in evidence if entry["outcome"] == "off"]
    shown = off + [
        entry
        for entry in evidence
        if entry not in off and any(_is_suspect(caller, entry["p0"]) for caller in worst[entry["component"]])
    ]
    if shown:
        table = _table("evidence", ">hits", ">of", ">worst class at most", ">p0", "", "hit most often by")
        for entry in shown:
            table.add_row(
                f"{entry['component']} ({entry['family']})",
                f"{entry['hits']:,}",
                f"{entry['observations']:,}",
                f"{entry['bound']:.3g}",
                f"{entry['p0']:g}",
                entry["outcome"],
                "\n".join(map(_described, worst[entry["component"]])),
            )
        console.print(table)
    else:
        console.print("  no component of evidence is hit too often")
    if off:
        console.print(
            "  what is off speaks no longer against callers of this model, once the policy names this file as its "
            "baseline; make sure that those named are honest",
            soft_wrap=True,
        )
    unknown = [entry for entry in evidence if entry["outcome"] == "not measured"]
    if few := ", ".join(_lacking(entry) for entry in unknown if entry["classes"]):
        console.print(f"  too few observations to bound it, so p0 stays as it is shipped: {few}", soft_wrap=True)
    if none := ", ".join(entry["component"] for entry in unknown if not entry["classes"]):
        console.print(f"  never observed, so p0 stays as it is shipped: {none}", soft_wrap=True)
    console.print()


def _is_suspect(caller: WorstCaller, p0: float) -> bool:
    return caller.would >= Action.CONSTRAIN and caller.hits > p0 * caller.observations


def _described(caller: WorstCaller) -> str:
    from atlascore.cli.findings import printable

    would = f", would {caller.would.name}" if caller.would >= Action.CONSTRAIN else ""
    return f"{printable(caller.principal)}: {caller.hits:,} of {caller.observations:,}{would}"


def _lacking(entry: Mapping[str, Any]) -> str:
    """A component that was not measured: the observations of its worst class, and how many it takes at least."""
    return f"{entry['component']} ({entry['classes'][0]['observations']:,} of {needed(entry['p0']):,})"


def _table(*columns: str) -> Table:
    """A table with these columns; ">" before a name aligns it to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    return table
