"""Who serves for what: calibration 40 %, threshold choice 20 %, test 40 % of the principals, never of their queries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.efficacy.benign import KINDS
from bench.efficacy.randomness import generator
from bench.efficacy.victims import VICTIMS

__all__ = ["PARTS", "Member", "Part", "frozen_hash", "members"]

Part = Literal["calibration", "threshold", "test"]
PARTS: tuple[Part, ...] = ("calibration", "threshold", "test")
MODALITIES = {"V1": "vector", "V2": "image", "V3": "row", "V4": "row", "V5": "text", "V6": "text"}


@dataclass(frozen=True)
class Member:
    """A benign principal."""

    name: str
    kind: str
    victim: str
    part: Part
    number: int


def members(seed: int, accounts: int) -> list[Member]:
    """About so many principals: as many of each kind, spread over the victims that the kind fits, split in parts."""
    found = []
    each = -(-accounts // len(KINDS))
    for kind, (modalities, _) in KINDS.items():
        # A language model has no classes to sort by and no scores to retrain on, but it has the traffic of texts.
        victims = [name for name in VICTIMS if MODALITIES[name[:2]] in modalities]
        order = generator(seed, "split", kind).permutation(each)
        for number in range(each):
            share = order[number] / each
            part: Part = "calibration" if share < 0.4 else "threshold" if share < 0.6 else "test"
            name = f"{kind}/{number}"
            found.append(Member(name, kind, victims[number % len(victims)], part, number))
    return found


def frozen_hash(thresholds: Mapping[str, Any]) -> str:
    """SHA-256 of the thresholds as canonical JSON: printed before the test part runs."""
    text = json.dumps(thresholds, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
