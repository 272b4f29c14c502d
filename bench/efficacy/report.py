"""results.json, results.md with the misses first, and the plots."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.efficacy.targets import Verdict, verdicts

__all__ = ["write_report"]


def write_report(directory: Path, results: dict[str, Any], timings: dict[str, Any]) -> None:
    """results.json (equal bytes for equal seeds, but for `timings`), results.md and three plots."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**results, "timings": timings}, indent=1, sort_keys=True, allow_nan=False)
    (directory / "results.json").write_text(text + "\n", encoding="utf-8")
    (directory / "results.md").write_text("\n".join(_lines(results, timings)) + "\n", encoding="utf-8")
    from bench.efficacy.plots import draw  # here, because Matplotlib is slow to load

    draw(directory, results)


def _lines(results: dict[str, Any], timings: dict[str, Any]) -> Iterable[str]:
    judged = verdicts(results)
    settings = results["settings"]
    yield "# Detection efficacy"
    yield ""
    yield (
        f"atlascore {results['versions']['atlascore']}, seeds {', '.join(map(str, settings['seeds']))}"
        f"{', quick run' if settings['quick'] else ''}. Thresholds were frozen before the test part ran: SHA-256 "
        f"`{results['thresholds_hash'][:16]}`. {results['benign_overall']['accounts']:,} benign test accounts, "
        f"{sum(row['episodes'] for row in results['attacks']):,} episodes of attacks."
    )
    yield ""
    yield (
        "Queries of a campaign are counted over all of its accounts, dummies included. Square and SimBA of ART ask "
        "again for their current best: exact duplicates, which AtlasCore leaves out by definition."
    )
    for title, wanted in (("Targets missed", "missed"), ("Targets reached", "reached"), ("Not measurable", "unknown")):
        told = [verdict for verdict in judged if verdict.state == wanted]
        yield ""
        yield f"## {title}: {len(told)} of {len(judged)}"
        yield ""
        yield from _table(("Class", "Target", "Measured"), map(_verdict_row, told))
    yield ""
    yield "## Attacks"
    yield ""
    yield (
        "Enforced. Median queries (90th percentile) to each action, and the share of episodes that met it; — never "
        "for most. Budget: median queries to success without the detector; its share used before BLOCK. Spread: share "
        "detected (CONSTRAIN or more), lowest and highest seed."
    )
    for group, rows in _by(results["attacks"], "group").items():
        yield ""
        yield f"### {group}"
        yield ""
        yield from _table(
            (
                "Attack",
                "Victim",
                "n",
                "LOG",
                "CONSTRAIN",
                "BLOCK",
                "Budget",
                "Used",
                "Success without",
                "Success",
                "Spread",
            ),
            map(_attack_row, rows),
        )
    yield ""
    yield "## Honest callers"
    yield ""
    yield "Accounts with at least one such decision, and the one-sided 95 % bound of that rate."
    yield ""
    benign = sorted(
        results["benign"], key=lambda row: (-row["BLOCK"]["rate"], -row["CONSTRAIN"]["rate"], -row["LOG"]["rate"])
    )
    yield from _table(
        ("Kind", "Accounts", "Queries", "LOG", "CONSTRAIN", "BLOCK", "Highest evidence.total"),
        (_benign_row(row) for row in [results["benign_overall"], *benign]),
    )
    if results["blocks"]:
        yield ""
        yield "## Blocks of prompts"
        yield ""
        yield (
            "To a language model, 100 prompts of 100 accounts each, of which a share takes part in a campaign. Found: "
            "beyond the limit. Logged: accounts that matched Output Distribution Harvest at least once in 12 prompts."
        )
        yield ""
        yield from _table(
            ("Traffic", "Share", "Blocks", "Found", "Campaign's accounts logged", "Others logged"),
            (
                (
                    row["traffic"], _percent(row["share"]), row["found"]["n"],
                    f"{_percent(row['found']['rate'])} [{_percent(row['found']['low'])}, "
                    f"{_percent(row['found']['high'])}]",
                    _percent(row["campaign_logged"]["rate"]) if row["campaign_logged"]["n"] else "—",
                    _percent(row["honest_logged"]["rate"]) if row["honest_logged"]["n"] else "—",
                )
                for row in results["blocks"]
            ),
        )  # fmt: skip
    yield ""
    yield "## ROC"
    yield ""
    yield "Accounts, undefended streams, against all benign test accounts; a signal that this core does not have: —."
    yield ""
    yield from _table(
        ("Class", "Signal", "Accounts", "AUC", "AUC per query", "TPR at FPR 1 %", "TPR at FPR 0.1 %"),
        (
            (
                row["group"], f"`{row['signal']}`", row["accounts"], _number(row["area"]),
                _number(row["area_per_query"]), _percent(row["true_positives_1"]), _percent(row["true_positives_01"]),
            )
            for row in results["roc"]
        ),
    )  # fmt: skip
    yield ""
    yield "## Baselines"
    yield ""
    yield (
        "On the undefended streams of a sample of accounts. First at the published operating point, then at the "
        "threshold that 1 % of the benign accounts of the threshold part exceed. Each is given its memory per account."
    )
    yield ""
    yield from _table(
        ("Detector", "Benign accounts", "False alarms as published", "at 1 %", "Fires most on, as published"),
        (
            (
                row["detector"], row["accounts"], _percent(row["published"]), _percent(row["equal"]),
                _worst(row["worst_kinds"]),
            )
            for row in results["baseline_alarms"]
        ),
    )  # fmt: skip
    yield ""
    yield from _table(
        ("Class", "Detector", "Accounts", "Detected as published", "at 1 % false alarms", "Median queries"),
        (
            (
                row["group"], row["detector"], row["accounts"], _percent(row["published"]), _percent(row["equal"]),
                _count(row["median_queries"]),
            )
            for row in results["baselines"]
        ),
    )  # fmt: skip
    yield ""
    yield "## Time"
    yield ""
    speed = timings["decide and record, us"]
    yield (
        f"decide + record p50 {speed['p50']:.1f}, p99 {speed['p99']:.1f}, p99.9 {speed['p99.9']:.1f} µs, in Python, "
        f"amid all that the run does. {timings['queries']:,} queries in {timings['whole run, s']:.0f} s. The state has "
        f"{timings['region, bytes per track that it has room for']:,.0f} bytes per track that it has room for."
    )


def _verdict_row(verdict: Verdict) -> Sequence[Any]:
    return verdict.group, verdict.target, verdict.measured


def _attack_row(row: dict[str, Any]) -> Sequence[Any]:
    used = row["budget_share_at_block"]
    return (
        row["attack"] + (" (held out)" if row["held_out"] else ""),
        row["victim"],
        f"{row['episodes']}" + (f" (+{row['dropped']} dropped)" if row["dropped"] else ""),
        *(_reach(row[action]) for action in ("LOG", "CONSTRAIN", "BLOCK")),
        _count(row["budget"]),
        _percent(used),
        _percent(row["undefended_success"]["rate"]) if row["undefended_success"]["n"] else "—",
        f"{_percent(row['success']['rate'])} [{_percent(row['success']['low'])}, {_percent(row['success']['high'])}]",
        f"{_percent(row['spread'][0])} to {_percent(row['spread'][1])}",
    )


def _reach(reach: dict[str, Any]) -> str:
    rate = _percent(reach["detected"]["rate"])
    if reach["median"] is None:
        return f"— ({rate})"
    return f"{_count(reach['median'])} ({_count(reach['p90'])}), {rate}"


def _benign_row(row: dict[str, Any]) -> Sequence[Any]:
    def alarms(action: str) -> str:
        return f"{row[action]['hits']} ({_percent(row[action]['rate'])}, ≤ {_percent(row[action]['upper'])})"

    return (
        row["kind"], row["accounts"], f"{row['queries']:,}", alarms("LOG"), alarms("CONSTRAIN"), alarms("BLOCK"),
        _number(row["highest_evidence"]),
    )  # fmt: skip


def _worst(kinds: dict[str, float]) -> str:
    worst = sorted(kinds.items(), key=lambda item: -item[1])[:5]
    return ", ".join(f"{kind} {_percent(rate)}" for kind, rate in worst)


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterable[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def _by(rows: Iterable[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups


def _percent(share: float | None) -> str:
    if share is None:
        return "—"
    return f"{100 * share:.3g} %"


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g}"


def _count(value: float | None) -> str:
    return "—" if value is None else f"{value:,.0f}"
