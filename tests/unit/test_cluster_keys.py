"""Infrastructure keys: accounts that a gateway knows to be one customer's are judged together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import atlascore as ac

START = 1_900_000_000.0
DAY = 86_400.0
POLICY = """
version: 1
mode: enforce
models:
  m: {kind: classifier, input: {modality: vector, mean: 0, std: 1}, extraction_budget: {queries: 1000}}
  chat: {kind: llm, extraction_budget: {queries: 1000}}
rules: {paths: [builtin]}
responses:
  - {name: search, match: {rule: [7b8a8f32-eccd-5775-9953-6944f193e002]}, action: CONSTRAIN,
     constraints: {scores: label_only}}
  - {name: attack, match: {rule: [4efd7dcb-750f-5f99-965e-2e2ef478f597]}, action: BLOCK, duration: 1h}
state: {seed: 3}
"""


def engine() -> ac.Engine:
    return ac.Engine(ac.Policy.from_text(POLICY), capacity=10_000, clock=lambda: START)


def calibrated() -> ac.Engine:
    """One that knows what 1,500 strangers send."""
    out, random = engine(), np.random.default_rng(0)
    for i in range(1500):
        out.decide(principal=f"stranger {i}", model="m", vector=random.normal(size=64), now=START - 1500 + i)
    return out


class Search:
    """For the boundary: bisections between two inputs with different labels, each followed by probes around the point
    that it found. One query a call, by whoever asks."""

    def __init__(self, engine: ac.Engine, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.engine = engine
        self.now = START
        self._restart()

    def _restart(self) -> None:
        self.low, self.high = self.random.normal(size=(2, 64)).astype(np.float32)
        self.wall = self.random.uniform(0.2, 0.8)
        self.span = (0.0, 1.0)
        self.planned = [self.low, self.high]
        self.probes = 12

    def _next(self) -> np.ndarray:
        if self.planned:
            return self.planned.pop(0)
        low, high = self.span
        middle = self.low + np.float32((low + high) / 2) * (self.high - self.low)
        if high - low >= 1e-3:
            return middle
        self.probes -= 1
        if self.probes == 0:
            self._restart()
        return middle + self.random.normal(size=64).astype(np.float32) * np.float32(0.02)

    def ask(self, principal: str, **fields: object) -> ac.Decision:
        line = self.high - self.low
        x = self._next()
        at = float((x - self.low) @ line / (line @ line))
        self.now += 1
        decision = self.engine.decide(principal=principal, model="m", vector=x, fields=fields or None, now=self.now)
        label = int(at > self.wall)
        if decision.action < ac.Action.BLOCK:
            self.engine.record(decision, label=label)
            self.span = (self.span[0], min(self.span[1], at)) if label else (max(self.span[0], at), self.span[1])
        return decision

    def until(self, action: ac.Action, principal: str, limit: int = 200, **fields: object) -> int:
        """Queries that it took."""
        for n in range(1, limit + 1):
            if self.ask(principal, **fields).action >= action:
                return n
        raise AssertionError(f"never {action.name}")


def test_a_new_account_is_judged_by_what_the_blocked_one_did():
    for second_key, linked in [("card 1", 1), ("card 2", 0)]:
        with calibrated() as e:
            first = Search(e, 1).until(ac.Action.BLOCK, "first", cluster_keys=["card 1"])
            second = Search(e, 2).until(ac.Action.BLOCK, "second", cluster_keys=[second_key])
            assert second <= 3 if linked else second > first / 2
            assert first >= 6
            assert e.stats()["clusters_linked"] == linked


def test_accounts_that_take_turns_are_found_as_one():
    with calibrated() as e:
        search = Search(e)
        actions = [search.ask(f"account {i % 50}", cluster_keys="fingerprint").action for i in range(100)]
        assert max(actions) == ac.Action.BLOCK
    with calibrated() as e:
        search = Search(e)
        assert max(search.ask(f"account {i}").action for i in range(20)) == ac.Action.ALLOW


def test_keys_join_groups_and_more_than_one_can_be_shown():
    with calibrated() as e:
        for principal, keys in [("a", ["k1"]), ("b", ["k2"]), ("c", ["k1", "k2"]), ("d", ["k3"])]:
            e.decide(principal=principal, model="m", vector=np.zeros(64), fields={"cluster_keys": keys}, now=START)
        assert e.stats()["clusters_linked"] == 2  # of c with a, and of that with b
        search = Search(e)
        search.until(ac.Action.BLOCK, "a", cluster_keys=["k1"])
        assert search.ask("b", cluster_keys=["k2"]).action >= ac.Action.CONSTRAIN
        assert Search(e, 1).ask("d", cluster_keys=["k3"]).action == ac.Action.ALLOW


@pytest.mark.parametrize("model", ["m", "chat"])
def test_the_budget_is_the_customers(model):
    """Whatever the input is: numbers, or prompts."""
    random = np.random.default_rng(0)

    def spend(e: ac.Engine, principal: str, keys: list[str]) -> float:
        for i in range(100):
            words = "".join(map(chr, random.integers(97, 123, 40)))
            x = {"text": words} if model == "chat" else {"vector": random.normal(size=64)}
            decision = e.decide(principal=principal, model=model, fields={"cluster_keys": keys}, now=START + i, **x)
        return decision.signals["api.extraction_budget_used"]

    with engine() as e:
        assert spend(e, "account 0", ["card"]) == pytest.approx(0.1, rel=1e-3)
        assert spend(e, "account 1", ["card"]) == pytest.approx(0.2, rel=1e-3)
        assert spend(e, "account 2", ["card"]) == pytest.approx(0.3, rel=1e-3)
        assert spend(e, "other", ["another card"]) == pytest.approx(0.1, rel=1e-3)


def test_a_key_is_forgotten_after_seven_days_without_use():
    for days, linked in [(6, 1), (8, 0)]:
        with engine() as e:
            for principal, now in [("a", START), ("b", START + days * DAY)]:
                e.decide(principal=principal, model="m", vector=np.zeros(64), fields={"cluster_keys": "k"}, now=now)
            assert e.stats()["clusters_linked"] == linked


def test_keys_of_one_model_say_nothing_about_another():
    with engine() as e:
        e.decide(principal="a", model="m", vector=np.zeros(64), fields={"cluster_keys": "k"})
        e.decide(principal="b", model="chat", text="hello", fields={"cluster_keys": "k"})
        assert e.stats()["clusters_linked"] == 0


@pytest.mark.parametrize("keys", [7, True, 1.5, [1], [["k"]], ["k"] * 17])
def test_what_is_no_list_of_texts_is_refused(keys):
    with engine() as e:
        with pytest.raises(ValueError, match="cluster_keys must be a text or a list of at most 16 texts"):
            e.decide(principal="a", model="m", vector=np.zeros(64), fields={"cluster_keys": keys})
        assert e.stats()["queries"] == 0


@pytest.mark.parametrize("keys", [None, "", [], ["", ""], ["k"] * 16])
def test_no_key_and_the_most_are_fine(keys):
    with engine() as e:
        decision = e.decide(principal="a", model="m", vector=np.zeros(64), fields={"cluster_keys": keys})
        assert decision.action == ac.Action.ALLOW


def test_scan_reads_them_and_reports_bad_ones(tmp_path: Path):
    lines = [
        {"time": START, "principal": "a", "model": "m", "vector": [0.0] * 64, "cluster_keys": ["k"]},
        {"time": START + 1, "principal": "b", "model": "m", "vector": [0.0] * 64, "cluster_keys": "k"},
        {"time": START + 2, "principal": "c", "model": "m", "vector": [0.0] * 64, "cluster_keys": 5},
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    from atlascore.scanning import Scan

    with engine() as e:
        scan = Scan([path], e)
        assert len(list(scan)) == 2
        assert scan.counts["bad"] == 1
        assert e.stats()["clusters_linked"] == 1
