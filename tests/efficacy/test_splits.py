from __future__ import annotations

from collections import Counter

from bench.efficacy.benign import KINDS
from bench.efficacy.splits import frozen_hash, members
from bench.efficacy.victims import VICTIMS


def test_the_parts_have_their_shares_and_share_nobody() -> None:
    everybody = members(0, 1_000)
    assert len({member.name for member in everybody}) == len(everybody)
    parts = Counter(member.part for member in everybody)
    assert parts == {"calibration": 400, "threshold": 200, "test": 400}


def test_every_kind_and_victim_is_met() -> None:
    everybody = members(0, 1_000)
    assert set(Counter(member.kind for member in everybody).values()) == {1_000 // len(KINDS)}
    assert {member.victim for member in everybody} == set(VICTIMS)


def test_seeds_split_differently_and_repeatably() -> None:
    assert members(3, 300) == members(3, 300)
    assert members(3, 300) != members(4, 300)


def test_the_hash_of_thresholds_does_not_depend_on_their_order() -> None:
    assert frozen_hash({"a": {"x": 1.0, "y": 2.0}}) == frozen_hash({"a": {"y": 2.0, "x": 1.0}})
    assert frozen_hash({"a": {"x": 1.0}}) != frozen_hash({"a": {"x": 1.1}})
