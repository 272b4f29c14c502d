"""From traces to numbers: the thresholds, and what results.json holds."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np

import atlascore as ac
from bench.efficacy import blocks
from bench.efficacy.baselines import PUBLISHED, CurveSet
from bench.efficacy.benign import KINDS
from bench.efficacy.episode import Attack, Outcome
from bench.efficacy.gateway import EVIDENCE
from bench.efficacy.metrics import area, at_most, detected_at, quantiles, threshold_at, true_positive_rate, wilson
from bench.efficacy.population import Resident
from bench.efficacy.splits import frozen_hash

__all__ = ["ACTIONS", "BOUNDARY_CAMERA", "Collected", "Results", "choose_thresholds", "summarise"]

ACTIONS = ("LOG", "CONSTRAIN", "BLOCK")
BOUNDARY_CAMERA = "static camera on a boundary"
EQUAL_RATE = 0.01  # of benign threshold accounts: where detectors are compared
STRICT_RATE = 0.001
NEVER = float("inf")


class Share(msgspec.Struct):
    """hits of n, with the two-sided 95 % Wilson interval."""

    hits: int
    n: int
    rate: float
    low: float
    high: float


class Reach(msgspec.Struct):
    """detected: accounts or campaigns that met the action. Queries until then; null where the quantile never did."""

    detected: Share
    median: float | None
    p90: float | None


class AttackRow(msgspec.Struct):
    """budget: queries until success, undefended. budget_share: of it, used before BLOCK, or before CONSTRAIN.

    success: of the same episodes with the detector in force. spread: lowest and highest share detected (CONSTRAIN or
    more) over the seeds.
    """

    attack: str
    group: str
    victim: str
    goal: str
    held_out: bool
    episodes: int
    dropped: int
    accounts: int
    LOG: Reach
    CONSTRAIN: Reach
    BLOCK: Reach
    undefended_success: Share
    budget: float | None
    budget_share_at_constrain: float | None
    budget_share_at_block: float | None
    success: Share
    spread: tuple[float, float]
    first_rules: dict[str, int]


class FalseAlarms(msgspec.Struct):
    """upper: one-sided 95 % bound (Clopper-Pearson)."""

    hits: int
    rate: float
    upper: float


class BenignRow(msgspec.Struct):
    kind: str
    accounts: int
    queries: int
    LOG: FalseAlarms
    CONSTRAIN: FalseAlarms
    BLOCK: FalseAlarms
    highest_evidence: float
    rules: dict[str, int]


class RocRow(msgspec.Struct):
    """area: under the ROC curve. true_positives: shares at account false-positive rates of 1 % and 0.1 %."""

    group: str
    signal: str
    accounts: int
    area: float | None
    area_per_query: float | None
    true_positives_1: float | None
    true_positives_01: float | None


class BaselineRow(msgspec.Struct):
    """At the published threshold and at the one that 1 % of the benign threshold accounts exceed."""

    detector: str
    group: str
    accounts: int
    published: float | None
    equal: float
    median_queries: float | None


class BlockRow(msgspec.Struct):
    """Blocks of 100 prompts, of 100 accounts, of which a share takes part in a campaign. found: beyond the limit.
    logged: accounts that matched the rule, those of the campaign and the others."""

    traffic: str
    share: float
    found: Share
    campaign_logged: Share
    honest_logged: Share


class BaselineAlarms(msgspec.Struct):
    detector: str
    accounts: int
    published: float | None
    equal: float
    worst_kinds: dict[str, float]


class Results(msgspec.Struct):
    format: int
    versions: dict[str, str]
    settings: dict[str, Any]
    thresholds: dict[str, dict[str, float]]
    thresholds_hash: str
    signals: list[str]
    rules: dict[str, str]
    attacks: list[AttackRow]
    benign: list[BenignRow]
    benign_overall: BenignRow
    blocks: list[BlockRow]
    roc: list[RocRow]
    baselines: list[BaselineRow]
    baseline_alarms: list[BaselineAlarms]
    evidence_examples: dict[str, list[tuple[int, float]]]
    roc_points: dict[str, list[tuple[float, float]]]


@dataclass
class Collected:
    """What the jobs brought back, by seed."""

    seeds: tuple[int, ...]
    choosing: list[tuple[int, list[Resident], dict[str, CurveSet]]] = field(default_factory=list)
    benign: list[tuple[int, list[Resident], dict[str, CurveSet]]] = field(default_factory=list)
    attacks: list[tuple[int, str, Attack, list[Outcome], list[Outcome], list[CurveSet]]] = field(default_factory=list)

    blocks: list[list[blocks.Measured]] = field(default_factory=list)

    def queries(self) -> int:
        residents = sum(r.trace.queries for _, group, _ in (*self.choosing, *self.benign) for r in group)
        return residents + sum(o.queries for *_, enforced, shadow, _ in self.attacks for o in (*enforced, *shadow))


def choose_thresholds(collected: Collected) -> dict[str, dict[str, float]]:
    """From the threshold part alone: what at most 1 % and 0.1 % of its benign accounts exceed."""
    signals: dict[str, list[float]] = defaultdict(list)
    baselines: dict[str, list[float]] = defaultdict(list)
    names = {name for _, residents, _ in collected.choosing for r in residents for name in r.trace.highest}
    for _, residents, curves in collected.choosing:
        for resident in residents:
            for name in names:
                signals[name].append(resident.trace.highest.get(name, 0.0))
        for curve_set in curves.values():
            for name, curve in curve_set.items():
                baselines[name].append(curve[-1][1] if curve else 0.0)
    return {
        "signals at 1 %": {name: round(threshold_at(signals[name], EQUAL_RATE), 6) for name in sorted(signals)},
        "signals at 0.1 %": {name: round(threshold_at(signals[name], STRICT_RATE), 6) for name in sorted(signals)},
        "baselines at 1 %": {name: round(threshold_at(baselines[name], EQUAL_RATE), 6) for name in sorted(baselines)},
    }


def summarise(
    collected: Collected, thresholds: dict[str, dict[str, float]], quick: bool, accounts: int, episodes: int
) -> dict[str, Any]:
    """Everything that results.json holds, as plain data that has passed the schema."""
    residents = [resident for _, group, _ in collected.benign for resident in group]
    names = sorted({name for resident in residents for name in resident.trace.highest})
    policy_rules = _titles()
    results = Results(
        format=1,
        versions={
            "atlascore": ac.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scikit-learn", "adversarial-robustness-toolbox")},
        },
        settings={
            "quick": quick,
            "seeds": list(collected.seeds),
            "benign accounts per seed": accounts,
            "episodes per attack, victim and seed": episodes,
        },
        thresholds=thresholds,
        thresholds_hash=frozen_hash(thresholds),
        signals=names,
        rules=policy_rules,
        attacks=_attack_rows(collected),
        benign=[_benign_row(kind, [r for r in residents if r.member.kind == kind]) for kind in KINDS],
        benign_overall=_benign_row(
            "all but the camera on a boundary", [r for r in residents if r.member.kind != BOUNDARY_CAMERA]
        ),
        blocks=_block_rows(collected),
        roc=_roc_rows(collected, residents, thresholds),
        baselines=_baseline_rows(collected, thresholds),
        baseline_alarms=_baseline_alarms(collected, thresholds),
        evidence_examples=_evidence_examples(collected, residents),
        roc_points=_roc_points(collected, residents),
    )
    plain: dict[str, Any] = msgspec.to_builtins(results)
    msgspec.convert(plain, Results)
    return plain


def _titles() -> dict[str, str]:
    return {str(rule.id): str(rule.title) for rule in ac.Policy.default().rules.rules}


def _share(hits: int, n: int) -> Share:
    low, high = wilson(hits, n)
    return Share(hits, n, _rounded(hits / n if n else 0.0), _rounded(low), _rounded(high))


def _rounded(value: float) -> float:
    return float(np.round(value, 6))


def _grouped(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _attack_rows(collected: Collected) -> list[AttackRow]:
    rows = []
    for (name, model), parts in _grouped(collected.attacks, lambda part: (part[2].name, part[1])).items():
        attack = parts[0][2]
        enforced = [o for part in parts for o in part[3] if not o.dropped]
        shadow = [o for part in parts for o in part[4] if not o.dropped]
        budgets = [o.success if o.success is not None else NEVER for o in shadow]
        budget = quantiles(budgets, 0.5)[0]
        per_seed = [
            float(np.mean(["CONSTRAIN" in o.first for o in part[3] if not o.dropped]))
            for part in parts
            if any(not o.dropped for o in part[3])
        ]
        first_rules: dict[str, int] = defaultdict(int)
        for outcome in enforced:
            if outcome.rules:
                first_rules[min(outcome.rules, key=lambda rule: (outcome.rules[rule], rule))] += 1
        rows.append(
            AttackRow(
                attack=name,
                group=attack.group,
                victim=model,
                goal=attack.goal,
                held_out=attack.held_out,
                episodes=len(enforced),
                dropped=sum(o.dropped for part in parts for o in part[3]),
                accounts=max((o.accounts for o in enforced), default=0),
                LOG=_reach(enforced, "LOG"),
                CONSTRAIN=_reach(enforced, "CONSTRAIN"),
                BLOCK=_reach(enforced, "BLOCK"),
                undefended_success=_share(sum(o.success is not None for o in shadow), len(shadow)),
                budget=budget,
                budget_share_at_constrain=_budget_share(enforced, budgets, "CONSTRAIN"),
                budget_share_at_block=_budget_share(enforced, budgets, "BLOCK"),
                success=_share(sum(o.success is not None for o in enforced), len(enforced)),
                spread=(_rounded(min(per_seed, default=0.0)), _rounded(max(per_seed, default=0.0))),
                first_rules=dict(sorted(first_rules.items())),
            )
        )
    return rows


def _reach(outcomes: Sequence[Outcome], action: str) -> Reach:
    queries = [float(o.first.get(action, NEVER)) for o in outcomes]
    median, p90 = quantiles(queries, 0.5, 0.9)
    return Reach(_share(int(np.isfinite(queries).sum()), len(queries)), median, p90)


def _budget_share(enforced: Sequence[Outcome], budgets: Sequence[float], action: str) -> float | None:
    """Median over episodes that succeed when undefended."""
    shares = [
        o.first.get(action, NEVER) / budget for o, budget in zip(enforced, budgets, strict=False) if np.isfinite(budget)
    ]
    share = quantiles(shares, 0.5)[0]
    return None if share is None else _rounded(share)


def _benign_row(kind: str, residents: Sequence[Resident]) -> BenignRow:
    def alarms(action: str) -> FalseAlarms:
        hits = sum(ac.Action[action] in r.trace.first for r in residents)
        n = len(residents)
        return FalseAlarms(hits, _rounded(hits / n if n else 0.0), _rounded(at_most(hits, n)))

    rules: dict[str, int] = defaultdict(int)
    for resident in residents:
        for rule in resident.trace.rules:
            rules[rule] += 1
    return BenignRow(
        kind,
        len(residents),
        sum(r.trace.queries for r in residents),
        alarms("LOG"),
        alarms("CONSTRAIN"),
        alarms("BLOCK"),
        _rounded(max((r.trace.highest.get(EVIDENCE, 0.0) for r in residents), default=0.0)),
        dict(sorted(rules.items())),
    )


def _block_rows(collected: Collected) -> list[BlockRow]:
    rows = []
    measured = [measured for seed in collected.blocks for measured in seed]
    for (traffic, share), parts in _grouped(measured, lambda one: (one.traffic, one.share)).items():
        rows.append(
            BlockRow(
                traffic,
                share,
                _share(sum(part.found for part in parts), sum(part.blocks for part in parts)),
                _share(sum(part.campaign_logged for part in parts), sum(part.campaign_accounts for part in parts)),
                _share(sum(part.honest_logged for part in parts), sum(part.honest_accounts for part in parts)),
            )
        )
    return rows


def _roc_rows(
    collected: Collected, residents: Sequence[Resident], thresholds: dict[str, dict[str, float]]
) -> list[RocRow]:
    rows = []
    for group, parts in _by_group(collected).items():
        shadow = [o for part in parts for o in part[4] if not o.dropped]
        for signal in sorted({signal for part in parts for signal in part[2].signals} | {EVIDENCE}):
            positive = [o.highest.get(signal, 0.0) for o in shadow]
            negative = [r.trace.highest.get(signal, 0.0) for r in residents]
            if not positive or not any(positive):
                rows.append(RocRow(group, signal, len(positive), None, None, None, None))
                continue
            per_query = None
            if signal == EVIDENCE:
                per_query = _rounded(
                    area(
                        np.concatenate([r.trace.sampled[:64] for r in residents]),
                        np.concatenate([o.sampled for o in shadow]),
                    )
                )
            rows.append(
                RocRow(
                    group,
                    signal,
                    len(positive),
                    _rounded(area(negative, positive)),
                    per_query,
                    _rounded(true_positive_rate(negative, positive, EQUAL_RATE)),
                    _rounded(true_positive_rate(negative, positive, STRICT_RATE)),
                )
            )
    return rows


def _by_group(collected: Collected) -> dict[str, list[Any]]:
    return _grouped(collected.attacks, lambda part: part[2].group)


def _baseline_rows(collected: Collected, thresholds: dict[str, dict[str, float]]) -> list[BaselineRow]:
    rows = []
    for group, parts in _by_group(collected).items():
        sets = [curve_set for part in parts for curve_set in part[5]]
        for name, limit in thresholds["baselines at 1 %"].items():
            curves = [curve_set[name] for curve_set in sets if name in curve_set]
            if not curves:
                continue
            rows.append(
                BaselineRow(
                    name,
                    group,
                    len(curves),
                    _fired(curves, PUBLISHED[name]),
                    _fired(curves, limit) or 0.0,
                    quantiles([float(detected_at(curve, limit) or NEVER) for curve in curves], 0.5)[0],
                )
            )
    return rows


def _baseline_alarms(collected: Collected, thresholds: dict[str, dict[str, float]]) -> list[BaselineAlarms]:
    kind_of = {r.member.name: r.member.kind for _, residents, _ in collected.benign for r in residents}
    named = [(kind_of[name], curve_set) for _, _, curves in collected.benign for name, curve_set in curves.items()]
    rows = []
    for name, limit in thresholds["baselines at 1 %"].items():
        here = [(kind, curve_set[name]) for kind, curve_set in named if name in curve_set]
        by_kind = _grouped(here, lambda pair: pair[0])
        worst = {kind: _fired([curve for _, curve in pairs], PUBLISHED[name]) for kind, pairs in by_kind.items()}
        rows.append(
            BaselineAlarms(
                name,
                len(here),
                _fired([curve for _, curve in here], PUBLISHED[name]),
                _fired([curve for _, curve in here], limit) or 0.0,
                dict(sorted((kind, rate) for kind, rate in worst.items() if rate)),
            )
        )
    return rows


def _fired(curves: Sequence[Sequence[tuple[int, float]]], threshold: float) -> float:
    return _rounded(float(np.mean([detected_at(curve, threshold) is not None for curve in curves]))) if curves else 0.0


def _evidence_examples(collected: Collected, residents: Sequence[Resident]) -> dict[str, list[tuple[int, float]]]:
    """Running maximum of the evidence: of the first own HopSkipJump, and of the worst account of each benign kind."""
    examples: dict[str, list[tuple[int, float]]] = {}
    for *_, attack, _, shadow, _ in collected.attacks:
        if attack.name == "HopSkipJump (own)" and shadow:
            examples["HopSkipJump (own)"] = _rounded_curve(shadow[0].curve)
            break
    for kind, group in _grouped(residents, lambda resident: resident.member.kind).items():
        worst = max(group, key=lambda r: (r.trace.highest.get(EVIDENCE, 0.0), r.member.name))
        if worst.trace.curve:
            examples[kind] = _rounded_curve(worst.trace.curve)
    return examples


def _rounded_curve(curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    return [(query, float(np.round(value, 4))) for query, value in curve]


def _roc_points(collected: Collected, residents: Sequence[Resident]) -> dict[str, list[tuple[float, float]]]:
    """Of each class with its best signal: (false-positive rate, true-positive rate) over accounts."""
    points = {}
    for group, parts in _by_group(collected).items():
        shadow = [o for part in parts for o in part[4] if not o.dropped]
        best: tuple[float, list[float], list[float]] | None = None
        for signal in sorted({signal for part in parts for signal in part[2].signals}):
            positive = [o.highest.get(signal, 0.0) for o in shadow]
            negative = [r.trace.highest.get(signal, 0.0) for r in residents]
            if positive and any(positive) and (best is None or area(negative, positive) > best[0]):
                best = area(negative, positive), negative, positive
        if best is not None:
            rates = np.unique(np.concatenate([np.geomspace(0.0005, 1, 40)]))
            points[group] = [
                (_rounded(rate), _rounded(true_positive_rate(best[1], best[2], min(rate, 0.999999)))) for rate in rates
            ]
    return points
