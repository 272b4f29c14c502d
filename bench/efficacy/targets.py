"""The numbers to beat, each with a function that reads what was measured. Nobody tunes on the test part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

__all__ = ["Verdict", "verdicts"]

State = Literal["missed", "reached", "unknown"]


@dataclass(frozen=True)
class Verdict:
    group: str
    target: str
    measured: str
    state: State


Rows = Sequence[dict[str, Any]]
Measure = Callable[[Rows], tuple[str, bool | None]]


def verdicts(results: dict[str, Any]) -> list[Verdict]:
    """One line per target, in the order of the specification."""
    rows: Rows = results["attacks"]
    found = []
    for group, names, target, measure in ATTACK_TARGETS:
        chosen = [row for row in rows if (row["group"] == group if not names else row["attack"].startswith(names))]
        if not chosen or not any(row["episodes"] for row in chosen):
            found.append(Verdict(group, target, "not run", "unknown"))
            continue
        measured, met = measure(chosen)
        found.append(Verdict(group, target, measured, _state(met)))
    return [*_benign(results), *found, *_blocks(results["blocks"])]


def _state(met: bool | None) -> State:
    return "unknown" if met is None else "reached" if met else "missed"


def _benign(results: dict[str, Any]) -> list[Verdict]:
    overall = results["benign_overall"]
    blocks = sum(row["BLOCK"]["hits"] for row in results["benign"])
    accounts = sum(row["accounts"] for row in results["benign"])
    rate = overall["CONSTRAIN"]["rate"]
    return [
        Verdict("benign, all hard kinds", "0 BLOCK", f"{blocks} of {accounts:,} accounts", _state(blocks == 0)),
        Verdict(
            "benign, all hard kinds",
            "CONSTRAIN <= 1 % of accounts, the camera on a boundary apart",
            f"{100 * rate:.2f} % of {overall['accounts']:,}",
            _state(rate <= 0.01),
        ),
    ]


def _blocks(rows: Rows) -> list[Verdict]:
    """Of the distillation campaign; how many blocks of reasoning elicitation are found is only reported."""
    found = []
    for traffic, share, target, holds in (
        ("distillation", 1.0, "blocks of 100, all of the campaign: >= 98 % found", lambda rate: rate >= 0.98),
        ("distillation", 0.25, "blocks of 100, a quarter of it: >= 75 % found", lambda rate: rate >= 0.75),
        ("honest", 0.0, "blocks of 100, all honest: <= 0.5 % found", lambda rate: rate <= 0.005),
    ):
        row = next((row for row in rows if (row["traffic"], row["share"]) == (traffic, share)), None)
        measured = "not run" if row is None else f"{100 * row['found']['rate']:.1f} % of {row['found']['n']}"
        state = _state(None if row is None else holds(row["found"]["rate"]))
        found.append(Verdict("distillation campaign", target, measured, state))
    return found


def _detected(least: float, action: str = "CONSTRAIN") -> Measure:
    """Share of accounts that met the action."""

    def measure(rows: Rows) -> tuple[str, bool | None]:
        hits = sum(row[action]["detected"]["hits"] for row in rows)
        n = sum(row[action]["detected"]["n"] for row in rows)
        return f"{100 * hits / n:.1f} % of {n}", hits >= least * n

    return measure


def _median(action: str, most: float) -> Measure:
    """The largest of the medians: every attack and victim must reach the target."""

    def measure(rows: Rows) -> tuple[str, bool | None]:
        medians = [np.inf if row[action]["median"] is None else row[action]["median"] for row in rows]
        worst = rows[int(np.argmax(medians))]
        met = sum(median <= most for median in medians)
        at = "never" if np.isinf(max(medians)) else f"{max(medians):.0f}"
        return f"{met} of {len(rows)}; worst {worst['attack']}, {worst['victim']}: {at}", met == len(rows)

    return measure


def _success(most: float) -> Measure:
    """Of the attack while the detector is in force."""

    def measure(rows: Rows) -> tuple[str, bool | None]:
        hits, n = sum(row["success"]["hits"] for row in rows), sum(row["success"]["n"] for row in rows)
        return f"{100 * hits / n:.1f} % of {n}", hits <= most * n

    return measure


def _budget(most: float) -> Measure:
    """Share of the budget used before BLOCK, the worst row."""

    def measure(rows: Rows) -> tuple[str, bool | None]:
        shares = [row["budget_share_at_block"] for row in rows]
        if any(share is None for share in shares):
            return "some never blocked", False
        return f"worst {100 * max(shares):.1f} %", max(shares) <= most

    return measure


def _reported(rows: Rows) -> tuple[str, bool | None]:
    log = sum(row["LOG"]["detected"]["hits"] for row in rows)
    block = sum(row["BLOCK"]["detected"]["hits"] for row in rows)
    n = sum(row["episodes"] for row in rows)
    return f"LOG {100 * log / n:.0f} %, BLOCK {block} of {n}", block == 0


def _on(victim: str, measure: Measure) -> Measure:
    """Of this victim alone."""

    def measured(rows: Rows) -> tuple[str, bool | None]:
        chosen = [row for row in rows if row["victim"] == victim]
        return measure(chosen) if chosen else ("not run", None)

    return measured


DECISIONS, SCORES, SYNTHETIC = "decision-based evasion", "score-based evasion", "extraction, synthetic inputs"
BY_BOUNDARY, BY_SCORES = "membership inference, boundary", "membership inference, scores or one query"


def _dummies(ratio: str, most: float) -> tuple[str, tuple[str, ...], str, Measure]:
    names = (f"HopSkipJump, dummies {ratio}", f"BoundaryAttack, dummies {ratio}")
    return "adaptive", names, f"dummies {ratio}: median CONSTRAIN <= {most}", _median("CONSTRAIN", most)


# class, beginning of the attacks' names (none: the whole class), target, how it is read
ATTACK_TARGETS: tuple[tuple[str, tuple[str, ...], str, Measure], ...] = (
    (DECISIONS, (), ">= 99 % of accounts CONSTRAINed", _detected(0.99)),
    (DECISIONS, (), "median CONSTRAIN <= 25", _median("CONSTRAIN", 25)),
    (DECISIONS, (), "median BLOCK <= 64", _median("BLOCK", 64)),
    (DECISIONS, (), "< 5 % of the budget before BLOCK", _budget(0.05)),
    (SCORES, (), ">= 95 % of accounts CONSTRAINed", _detected(0.95)),
    (SCORES, (), "median CONSTRAIN <= 40", _median("CONSTRAIN", 40)),
    ("adaptive", ("OARS-lite",), "success <= 10 %", _success(0.10)),
    _dummies("1:1", 50),
    _dummies("1:4", 120),
    _dummies("1:20", 500),
    (SYNTHETIC, ("uniform",), "uniform: median CONSTRAIN <= 32", _median("CONSTRAIN", 32)),
    (SYNTHETIC, ("Jacobian augmentation",), "Jacobian: median LOG <= 64 distinct queries", _median("LOG", 64)),
    ("extraction, natural inputs", (), "CONSTRAIN at half of the extraction budget", _on("V3-rf", _detected(0.95))),
    ("distillation campaign", ("distillation, 50 ", "distillation, 1,000 "), "found (LOG)", _detected(0.98, "LOG")),
    (BY_BOUNDARY, (), ">= 95 % of accounts CONSTRAINed", _detected(0.95)),
    (BY_BOUNDARY, (), "before the second record (median CONSTRAIN <= 100)", _median("CONSTRAIN", 100)),
    (BY_SCORES, (), "AUC reported, no BLOCK", _reported),
    ("logit-bias stealing", (), "BLOCK before one logit vector, 500 queries", _median("BLOCK", 500)),
    ("cost", ("sponge",), ">= 95 % CONSTRAINed", _detected(0.95)),
    (
        "cost",
        ("sponge",),
        "after 5 requests of 10x amplification, at the next (61 in the mix)",
        _median("CONSTRAIN", 61),
    ),
    ("reconnaissance", ("fingerprinting",), "LOG by the 4th probe", _median("LOG", 4)),
    ("model inversion", (), ">= 95 % of accounts CONSTRAINed", _detected(0.95)),
    ("attribute inference", (), ">= 95 % of accounts reach LOG", _detected(0.95, "LOG")),
)
