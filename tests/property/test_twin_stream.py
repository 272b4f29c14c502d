"""Rows of one caller through the engine and through the twin: records with a twin, and the budget spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.population_reference import TwinRecords
from tests.reference.similarity_reference import MASK, mix64
from tests.reference.track_reference import ModelNumbers, TrackReference

import atlascore as ac

START = 1_900_000_000.0
SEED, BUDGET, WIDTH = 5, 5_000, 6
# Reads both signals and acts on neither.
POLICY = """
version: 1
mode: enforce
models:
  m:
    extraction_budget: %d
    input: {modality: row, range: [0, 1], sensitive: %s}
rules: {paths: [%s]}
state: {seed: %d, hot: 64}
"""
RULES = """
title: both
id: 0b6f4a52-7f0e-4d1c-8b3a-52d1f0c8a014
logsource: {category: api_activity}
group-by: [api.principal, api.model]
detection:
    s: {api.twin_records|gt: 1000000, api.extraction_budget_used|gt: 1000}
    condition: s
level: low
"""

Rows = npt.NDArray[np.float32]


class Caller:
    """Sends the same to both. The table has room, so that what it forgets is no part of the comparison."""

    def __init__(self, directory: Any, seed: int, sensitive: list[int]) -> None:
        rules = directory / "rules.yml"
        rules.write_text(RULES)
        self.random = np.random.default_rng(seed)
        self.now = START
        policy = ac.Policy.from_text(POLICY % (BUDGET, sensitive, rules, SEED))
        self.engine = ac.Engine(policy, capacity=200_000, clock=lambda: self.now)
        self.route = self.engine.route("m")
        self.twins = TwinRecords(WIDTH, sensitive)
        # The history knows the last 64 inputs, and some before them: copies of older ones may count or not.
        self.least, self.most = (TrackReference(ModelNumbers(width=WIDTH, row=True)) for _ in range(2))
        self.sent: list[bytes] = []
        self.highest = 0.0

    def hashes(self, row: Rows) -> list[int]:
        """As the core makes them: from the bits of the number, with the seed of the state's sketches."""
        seed = mix64(SEED, 0x736B65746368)
        return [mix64((int(bits) ^ seed) & MASK, i) for i, bits in enumerate((row + np.float32(0)).view(np.uint32))]

    def ask(self, rows: Rows, step: float) -> None:
        """A row, or a batch of up to 64."""
        self.now += step
        decision = self.route.decide("p", rows if rows.ndim == 2 else rows.tolist(), self.now)
        for row in np.atleast_2d(rows):
            self.twins.add(1, self.hashes(row), self.now)
            if row.tobytes() not in self.sent:
                self.least.spend(self.now)
            if row.tobytes() not in self.sent[-64:]:
                self.most.spend(self.now)
            self.sent.append(row.tobytes())
        after = self.engine.signals("p", "m")
        for signals in (decision.signals, after):
            self.compare(signals.get("api.twin_records", math.nan), self.twins.signal(1, self.now))
        least, most = (twin.decayed_budget(self.now) / BUDGET for twin in (self.least, self.most))
        for signals in (decision.signals, after):
            assert 0.999 * least <= signals["api.extraction_budget_used"] <= 1.001 * most

    def compare(self, value: float, expected: float) -> None:
        assert value == pytest.approx(expected, nan_ok=True), self.now - START
        self.highest = max(self.highest, 0.0 if math.isnan(value) else value)


def anything(caller: Caller) -> Iterator[Rows]:
    for _ in range(30):
        yield caller.random.random(WIDTH).astype(np.float32)


def few_values(caller: Caller) -> Iterator[Rows]:
    for _ in range(120):
        yield caller.random.integers(0, 3, WIDTH).astype(np.float32)


def enumeration(caller: Caller) -> Iterator[Rows]:
    """One pass for each value."""
    records = caller.random.random((30, WIDTH)).astype(np.float32)
    column = int(caller.random.integers(WIDTH))
    for value in range(int(caller.random.integers(2, 5))):
        for record in records:
            changed = record.copy()
            changed[column] = value
            yield changed


def enumeration_in_batches(caller: Caller) -> Iterator[Rows]:
    records = caller.random.random((20, WIDTH)).astype(np.float32)
    tried = np.repeat(records, 2, axis=0)
    tried[:, int(caller.random.integers(WIDTH))] = np.tile([0, 1], 20)
    yield from np.split(tried[caller.random.permutation(40)], [10, 25])


def form(caller: Caller) -> Iterator[Rows]:
    for _ in range(15):
        row = caller.random.random(WIDTH).astype(np.float32)
        for _ in range(4):
            row = row.copy()
            row[caller.random.integers(WIDTH)] = caller.random.choice([0, 1, 2])
            yield row


def sweep(caller: Caller) -> Iterator[Rows]:
    row = caller.random.random(WIDTH).astype(np.float32)
    first, second = caller.random.choice(WIDTH, 2, replace=False)
    for i in range(8):
        for j in range(8):
            row = row.copy()
            row[first], row[second] = i, j
            yield row


STREAMS: tuple[Callable[[Caller], Iterator[Rows]], ...] = (
    anything,
    few_values,
    enumeration,
    enumeration_in_batches,
    form,
    sweep,
)


def run(caller: Caller, streams: list[int]) -> None:
    for stream in streams:
        for rows in STREAMS[stream](caller):
            caller.ask(rows, float(caller.random.choice([0.1, 5, 600, 7_000], p=[0.5, 0.4, 0.09, 0.01])))


# Always the same examples: a hash of 16 bits may take two values for one, once in many thousand rows.
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    sensitive=st.lists(st.integers(0, WIDTH - 1), min_size=1, max_size=2, unique=True),
    streams=st.lists(st.integers(0, len(STREAMS) - 1), min_size=1, max_size=4),
)
def test_engine_and_twin_agree(
    tmp_path_factory: pytest.TempPathFactory, seed: int, sensitive: list[int], streams: list[int]
) -> None:
    run(Caller(tmp_path_factory.mktemp("twins"), seed, sensitive), streams)


def test_the_streams_show_what_they_are_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Else the agreement above would be one about nothing."""
    highest = []
    for stream in range(len(STREAMS)):
        caller = Caller(tmp_path_factory.mktemp("twins"), 3, [WIDTH - 1])
        run(caller, [stream, stream])
        highest.append(caller.highest)
    assert highest[2] >= 25
    assert highest[3] >= 10
    assert max(highest[0], highest[4], highest[5]) <= 10


def test_wide_rows_are_sampled_and_sensitive_columns_are_not(tmp_path: Any) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    found = []
    for sensitive in ("[7]", "[8]"):
        policy = ac.Policy.from_text(POLICY % (BUDGET, sensitive, rules, SEED))
        engine = ac.Engine(policy, capacity=1_000_000, clock=lambda: START)
        records = np.random.default_rng(1).random((200, 320)).astype(np.float32)
        for value in (0, 1):
            records[:, 7] = value
            for start in range(0, 200, 50):
                engine.decide(principal="p", model="m", row=records[start : start + 50].tolist())
        found.append(engine.signals("p", "m")["api.twin_records"])
    assert found[0] == 200
    assert found[1] == pytest.approx(200, rel=0.5)  # a tenth of the keys
    assert found[1] % 10 == 0


def test_rows_above_512_columns_and_other_inputs_have_no_twins(tmp_path: Any) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    engine = ac.Engine(ac.Policy.from_text(POLICY % (BUDGET, "[7]", rules, SEED)), capacity=1000, clock=lambda: START)
    records = np.random.default_rng(1).random((40, 513)).astype(np.float32)
    for value in (0, 1):
        records[:, 7] = value
        engine.decide(principal="wide", model="m", row=records.tolist())
        engine.decide(principal="vectors", model="m", vector=records[:, :20])
    for principal in ("wide", "vectors"):
        assert math.isnan(engine.signals(principal, "m").get("api.twin_records", math.nan))
