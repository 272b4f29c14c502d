"""The policy of the benchmark: the shipped one in force, with the models declared and the state's seed fixed."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml

import atlascore as ac
from bench.efficacy.victims import VICTIMS, Victim, victim

__all__ = ["SECOND_MODEL", "make_policy"]

SECOND_MODEL = "-next"  # what A/B tests add to a model's name
TRACKS, HOT = 8_192, 2_048
LARGEST_CUSTOMER = 1_000  # queries; half of a budget is answered by CONSTRAIN, so cheaper models have none


@cache
def make_policy(seed: int, mode: Literal["enforce", "shadow"], customer: int = 1) -> tuple[ac.Policy, bool]:
    """The policy, and whether this version of the core takes extraction budgets. customer: accounts that share one."""
    try:
        return _policy(seed, mode, customer), True
    except ac.PolicyError:
        return _policy(seed, mode, 0), False


def _policy(seed: int, mode: str, customer: int) -> ac.Policy:
    shipped = resources.files("atlascore") / "policies" / "default.yml"
    document: dict[str, Any] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    document["mode"] = mode
    document["models"] = {
        name + suffix: _declaration(victim(name), customer) for name in VICTIMS for suffix in ("", SECOND_MODEL)
    }
    document["state"] = {"capacity": TRACKS, "hot": HOT, "seed": seed + 1}
    return ac.Policy.from_text(yaml.safe_dump(document, sort_keys=False), "benchmark policy")


def _declaration(model: Victim, customer: int) -> dict[str, Any]:
    declared: dict[str, Any] = {"input": model.domain.declaration()}
    if model.endpoint is not None:
        return {"kind": "llm", **declared}
    declared |= {"kind": "classifier", "classes": model.domain.classes}
    if customer and model.clone_cost >= 2 * LARGEST_CUSTOMER:
        declared["extraction_budget"] = {"queries": model.clone_cost * customer}
    return declared
