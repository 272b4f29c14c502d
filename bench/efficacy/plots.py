"""Plots of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["draw"]

COLOURS = {"LOG": "tab:cyan", "CONSTRAIN": "tab:orange", "BLOCK": "tab:red"}


def draw(directory: Path, results: dict[str, Any]) -> None:
    """queries.svg, budget.svg, roc.svg and evidence.svg."""
    plt.rcParams["svg.hashsalt"] = "efficacy"  # equal results, equal files
    _queries(directory / "queries.svg", results["attacks"])
    _budget(directory / "budget.svg", results["attacks"])
    _roc(directory / "roc.svg", results["roc_points"])
    _evidence(directory / "evidence.svg", results["evidence_examples"])


def _queries(path: Path, rows: list[dict[str, Any]]) -> None:
    names = [f"{row['attack']}, {row['victim']}" for row in rows]
    figure, axes = plt.subplots(figsize=(9, 1 + 0.22 * len(rows)))
    for action, colour in COLOURS.items():
        points = [(row[action]["median"], i) for i, row in enumerate(rows) if row[action]["median"] is not None]
        if points:
            medians, places = zip(*points, strict=True)
            axes.scatter(medians, places, s=18, color=colour, label=action)
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("median queries until the action; no mark: never for most")
    axes.legend(loc="lower right")
    _save(figure, path)


def _budget(path: Path, rows: list[dict[str, Any]]) -> None:
    known = [
        row for row in rows if row["budget_share_at_block"] is not None or row["budget_share_at_constrain"] is not None
    ]
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.22 * len(known)))
    for key, action in (("budget_share_at_constrain", "CONSTRAIN"), ("budget_share_at_block", "BLOCK")):
        points = [(row[key], i) for i, row in enumerate(known) if row[key] is not None]
        if points:
            shares, places = zip(*points, strict=True)
            axes.scatter(shares, places, s=18, color=COLOURS[action], label=action)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(known)), [f"{row['attack']}, {row['victim']}" for row in known], fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel("share of the undefended attack's queries used before the action; right of the line it succeeded")
    if known:
        axes.legend(loc="lower right")
    _save(figure, path)


def _roc(path: Path, points: dict[str, list[list[float]]]) -> None:
    figure, axes = plt.subplots(figsize=(7, 6))
    for group, curve in points.items():
        axes.plot(*zip(*curve, strict=True), label=group, linewidth=1.2)
    axes.set_xscale("log")
    axes.set_xlabel("false-positive rate, accounts")
    axes.set_ylabel("true-positive rate, accounts")
    if points:
        axes.legend(fontsize=7)
    _save(figure, path)


def _evidence(path: Path, examples: dict[str, list[list[float]]]) -> None:
    figure, axes = plt.subplots(figsize=(8, 5))
    for name, curve in examples.items():
        own = name.startswith("HopSkipJump")
        queries, values = zip(*curve, strict=True) if curve else ((), ())
        axes.step(queries, values, where="post", label=name, linewidth=2 if own else 0.8)
    axes.set_xscale("log")
    axes.set_xlabel("query")
    axes.set_ylabel("highest evidence.total so far")
    if examples:
        axes.legend(fontsize=6, ncols=2)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
