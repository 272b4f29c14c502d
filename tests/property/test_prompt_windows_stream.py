"""Blocks of a model's prompts, by the engine and by the twin, after every call."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.reference.evidence_reference import Evidence
from tests.reference.population_reference import PromptWindows
from tests.reference.similarity_reference import mix64, sketch_text, term_sketch

import atlascore as ac

START = 1_900_000_000.0
SEED = 5
POLICY = f"""
version: 1
mode: enforce
models: {{assistant: {{kind: llm}}}}
rules: {{paths: [builtin]}}
responses: [{{name: all, match: {{}}, action: LOG}}]
state: {{seed: {SEED}}}
"""
SKETCH_SEED = mix64(SEED, 0x736B65746368)
HARVEST = "78cc2b5f-22bc-57a9-8d30-66bb6c0c60d8"
WORDS = [f"{a}{b}{c}" for a in "bcdfgh" for b in "aeiou" for c in ("nd", "rk", "st", "lm", "pt", "x")]


def place_of(account: str) -> int:
    return mix64(xxhash.xxh3_64_intdigest(account.encode(), SEED), 0x73656E64) % 1024


class Callers:
    """Everybody who asks the model, through the engine and through the twin."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.engine = ac.Engine(ac.Policy.from_text(POLICY), capacity=20_000, clock=lambda: self.now)
        self.now = START
        self.twin = PromptWindows(SKETCH_SEED, place_of)
        self.evidence = Evidence()
        self.rounds = 0

    def words(self, count: int) -> str:
        return " ".join(self.random.choice(WORDS, count))

    def ordinary(self) -> str:
        return self.words(int(self.random.integers(4, 30)))

    def campaign(self) -> str:
        return f"Solve the problem step by step and explain each step to a student: {self.words(6)}"

    def send(self, name: str, *prompts: str, watched: bool = False) -> ac.Decision:
        self.now += 0.5
        given = list(prompts) if len(prompts) > 1 else prompts[0]
        decision = self.engine.decide(principal=name, model="assistant", now=self.now, text=given)
        terms = [term_sketch(prompt, SKETCH_SEED) for prompt in prompts]
        expected = self.twin.signal(terms, self.now)
        actual = decision.signals.get("api.window_mmd", math.nan)
        assert actual == pytest.approx(expected, rel=1e-3, nan_ok=True)
        for prompt, sketch in zip(prompts, terms, strict=True):
            digest = sketch_text(prompt, SKETCH_SEED).digest[0]
            self.twin.add(name, digest, sketch, self.now, self.evidence if watched else None)
        return decision

    def learn(self) -> None:
        """Until blocks have a limit, each prompt from an account of its own."""
        for i in range(3_400):
            self.send(f"first-{i}", self.ordinary())


@pytest.fixture(scope="module")
def learned() -> Callers:
    callers = Callers(1)
    callers.learn()
    return callers


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(share=st.sampled_from([0.0, 0.25, 0.5, 1.0]), rows=st.sampled_from([1, 3]), seed=st.integers(0, 2**32))
def test_the_engine_does_what_the_twin_does(learned, share, rows, seed):
    learned.random = np.random.default_rng(seed)
    learned.rounds += 1  # or what an equal example has sent would be sent again
    learned.now += 3_600 * float(learned.random.integers(0, 30))
    for i in range(60):
        harvest = learned.random.random() < share
        name = f"{learned.rounds}-{i}" if i % 3 else f"{learned.rounds}-regular"
        learned.send(name, *[learned.campaign() if harvest else learned.ordinary() for _ in range(rows)])


def test_a_campaign_of_many_accounts_is_found_and_others_are_not():
    callers = Callers(2)
    callers.learn()
    for i in range(160):
        callers.send(f"thief-{i}", callers.campaign())
    found = [callers.send(f"late-{i}", callers.campaign()).signals["api.window_mmd"] for i in range(20)]
    others = [callers.send(f"honest-{i}", callers.ordinary()) for i in range(20)]
    assert sum(times >= 1 for times in found) >= 18
    assert sum(HARVEST in decision.rules for decision in others) <= 2
    assert sum(HARVEST in callers.send(f"last-{i}", callers.campaign()).rules for i in range(5)) >= 4


def test_what_one_account_sends_fills_no_block():
    callers = Callers(3)
    callers.learn()
    before = callers.send("p", callers.ordinary()).signals["api.window_mmd"]
    for _ in range(2_000):
        callers.send("p", callers.campaign())
    assert callers.send("p", callers.ordinary()).signals["api.window_mmd"] == pytest.approx(before)


def test_evidence_of_blocks_reaches_the_account():
    callers = Callers(4)
    callers.learn()
    for i in range(160):
        callers.send(f"thief-{i}", callers.campaign())
    for _ in range(30):
        decision = callers.send("p", callers.campaign(), watched=True)
    assert decision.signals["evidence.coverage"] == pytest.approx(
        math.log10(1 + callers.evidence.family("coverage", callers.now)), abs=0.3
    )
    assert decision.signals["evidence.coverage"] > 2
