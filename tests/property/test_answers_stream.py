"""Many principals of one model through the engine and through the twins: distinct inputs, labels, margins."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.reference.answers_reference import (
    LABEL_BITS,
    LEAST_MARGINS,
    TRACK_MARGINS,
    UsualLabels,
    UsualMargins,
    margin_bin,
)
from tests.reference.principal_reference import linear_count
from tests.reference.similarity_reference import mix64
from tests.reference.track_reference import DAY, Distinct, kolmogorov_smirnov

import atlascore as ac
from atlascore import _core

START = 1_900_000_000.0
SEED = 5
SKETCH_SEED = mix64(SEED, 0x736B65746368)
NAMES = ("api.distinct_inputs", "api.label_discovery", "api.confidence_shift")
RULE = """
title: {name}
id: 6d1c0f0e-0000-4000-8000-00000000001{number}
logsource: {{category: api_activity}}
timeframe: 24h
detection: {{seen: {{{name}|gte: 1e9}}, condition: seen}}
level: low
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> ac.Policy:
    folder = tmp_path_factory.mktemp("answers")
    for number, name in enumerate(NAMES):
        (folder / f"{number}.yml").write_text(RULE.format(name=name, number=number))
    return ac.Policy.from_text(
        f"version: 1\nmode: enforce\nrules: {{paths: ['{folder}']}}\nstate: {{seed: {SEED}}}\n"
        "models: {m: {kind: classifier, input: {modality: vector, range: [0, 1]}}}\n"
    )


def label_bit(label: int) -> int:
    hashed = 1 + xxhash.xxh3_64_intdigest(struct.pack("<d", float(label)), SEED) % 65535
    return hashed * LABEL_BITS >> 16


class Account:
    def __init__(self) -> None:
        self.inputs = Distinct(DAY)
        self.labels: set[int] = set()
        self.seen: list[int] = []  # labels after each answer
        self.answers = 0
        self.margins = [0] * 24
        self.newest: list[bytes] = []


class Population:
    def __init__(self, policy: ac.Policy, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.now = START
        self.engine = ac.Engine(policy, capacity=4000, clock=lambda: self.now)
        self.margins, self.labels = UsualMargins(), UsualLabels()
        self.accounts: dict[str, Account] = {}

    def ask(self, name: str, x: np.ndarray, label: int | None, scores: list[float] | None) -> ac.Decision:
        account = self.accounts.setdefault(name, Account())
        x = np.asarray(x, np.float32)
        decision = self.engine.decide(principal=name, model="m", vector=x, now=self.now)
        account.inputs.add(_core.testing_similarity.linear(x, SKETCH_SEED)[2], self.now)
        assert decision.signals["api.distinct_inputs"] == pytest.approx(account.inputs.estimate(self.now), abs=1e-3)
        for _ in range(2):  # the second says nothing
            self.engine.record(decision, label, scores, now=self.now)
        duplicate = x.tobytes() in account.newest
        account.newest = [*account.newest[-63:], x.tobytes()]
        self.answered(account, label, scores, duplicate)
        return decision

    def answered(self, account: Account, label: int | None, scores: list[float] | None, duplicate: bool) -> None:
        if label is None and scores is not None:
            label = int(np.argmax(scores))
        if label is not None:
            account.answers += 1
            account.labels.add(label_bit(label))
            account.seen.append(len(account.labels))
            if account.answers % 2 == 0:
                self.labels.add(account.answers // 2, account.seen[account.answers // 2 - 1])
        if scores is not None and not duplicate:
            best = sorted(scores)
            margin = best[-1] - best[-2]
            account.margins[margin_bin(margin)] += 1
            if sum(account.margins) <= TRACK_MARGINS:
                self.margins.add(margin)

    def expected(self, account: Account) -> dict[str, float]:
        shift = discovery = math.nan
        if sum(account.margins) >= LEAST_MARGINS and self.margins.known():
            shift = kolmogorov_smirnov(account.margins, self.margins.counts)
        if account.answers >= 16:
            discovery = linear_count(len(account.labels), LABEL_BITS) / self.labels.percentile(account.answers)
        return {
            "api.distinct_inputs": account.inputs.estimate(self.now),
            "api.label_discovery": discovery,
            "api.confidence_shift": shift,
        }

    def compare(self, name: str) -> dict[str, float]:
        ours, expected = self.engine.signals(name, "m"), self.expected(self.accounts[name])
        for signal, value in expected.items():
            assert ours.get(signal, math.nan) == pytest.approx(value, rel=1e-3, abs=1e-3, nan_ok=True), (signal, name)
        return {signal: value for signal, value in expected.items() if not math.isnan(value)}

    def scores(self, sureness: float, classes: int) -> list[float]:
        best = float(self.random.beta(sureness, 1))
        rest = self.random.dirichlet(np.ones(classes - 1)) * (1 - best)
        out = np.insert(rest, self.random.integers(classes), best).astype(np.float64)
        return [float(p) for p in out / out.sum()]

    def crowd(self, accounts: int, queries: int, classes: int) -> None:
        for account in range(accounts):
            for _ in range(queries):
                self.now += 0.5
                scores = self.scores(3, classes)
                label = None if self.random.random() < 0.5 else int(np.argmax(scores))
                self.ask(f"customer {account}", self.random.random(6), label, scores)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    queries=st.sampled_from([33, 65, 130]),
    classes=st.sampled_from([3, 10, 60]),
    sureness=st.sampled_from([1.0, 3.0, 30.0]),
    pause=st.sampled_from([1.0, 600.0]),
)
def test_engine_and_twins_agree(
    policy: ac.Policy, seed: int, queries: int, classes: int, sureness: float, pause: float
) -> None:
    population = Population(policy, seed)
    population.crowd(34, queries, classes)
    old = population.random.random(6)
    for i in range(260):
        population.now += population.random.exponential(pause)
        x = old if population.random.random() < 0.2 else population.random.random(6)
        old = x
        kind = population.random.random()
        scores = population.scores(sureness, classes) if kind < 0.9 else None
        label = int(population.random.integers(classes)) if kind > 0.8 else None
        population.ask("somebody", x, label, scores)
        if i % 5 == 0:
            population.compare("somebody")
    for account in range(0, 34, 11):
        population.compare(f"customer {account}")
    population.engine.close()


def test_the_streams_show_what_they_are_for(policy: ac.Policy) -> None:
    population = Population(policy, 1)
    population.crowd(40, 128, 4)
    for i in range(60):
        population.ask("curious", population.random.random(6), i, None)
    for _ in range(220):
        population.ask("scanner", population.random.random(6), None, population.scores(40, 4))
        population.ask("ordinary", population.random.random(6), None, population.scores(3, 4))
    assert population.compare("curious")["api.label_discovery"] > 5
    scanner, ordinary = population.compare("scanner"), population.compare("ordinary")
    assert scanner["api.confidence_shift"] > 10
    assert ordinary["api.confidence_shift"] < 3
    assert scanner["api.distinct_inputs"] == pytest.approx(220, rel=0.3)


def test_rows_of_a_batch_count_one_by_one(policy: ac.Policy) -> None:
    population = Population(policy, 2)
    rows = population.random.random((40, 6)).astype(np.float32)
    engine = population.engine
    engine.record(engine.decide(principal="batch", model="m", vector=rows, now=START), list(range(40)), now=START)
    for i, row in enumerate(rows):
        population.ask("single", row, i, None)
    batch = engine.signals("batch", "m")
    assert batch["api.distinct_inputs"] == engine.signals("single", "m")["api.distinct_inputs"]
    assert batch["api.distinct_inputs"] == pytest.approx(40, rel=0.25)


def test_failed_answers_and_unanswered_queries_say_nothing(policy: ac.Policy) -> None:
    population = Population(policy, 3)
    population.crowd(40, 32, 4)
    for i in range(20):
        decision = population.engine.decide(
            principal="failing", model="m", vector=population.random.random(6).astype(np.float32), now=population.now
        )
        if i % 2:
            population.engine.record(decision, i, status=500, now=population.now)
    assert "api.label_discovery" not in population.engine.signals("failing", "m")
