"""Inputs near other principals': the signal, the evidence, and accounts that are linked by it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from tests.reference.population_reference import Accounts

import atlascore as ac

Point = npt.NDArray[np.float32]
START = 1_900_000_000.0
LATER = START + 2_000
DAY = 86_400.0
WIDTH = 64
POLICY = """
version: 1
mode: enforce
models: {m: {kind: classifier, input: {modality: vector, mean: 0, std: 1}}}
rules: {paths: [builtin]}
state: {seed: 3}
"""
RULE = "Inputs Shared Across Principals"


def calibrated(policy: str = POLICY) -> ac.Engine:
    """An engine that knows what 1,500 strangers send."""
    random = np.random.default_rng(0)
    engine = ac.Engine(ac.Policy.from_text(policy), capacity=100_000, clock=lambda: START)
    for i in range(1500):
        engine.decide(principal=f"stranger {i}", model="m", vector=random.normal(size=WIDTH), now=START + i)
    return engine


@pytest.fixture
def engine() -> Iterator[ac.Engine]:
    with calibrated() as engine:
        yield engine


def ask(engine: ac.Engine, principal: str, x: Point, now: float, label: int | None = None) -> ac.Decision:
    decision = engine.decide(principal=principal, model="m", vector=x.astype(np.float32), now=now)
    if label is not None:
        engine.record(decision, label=label)
    return decision


def around(random: np.random.Generator, x: Point, noise: float = 1e-3) -> Point:
    return x + noise * random.normal(size=x.size).astype(np.float32)


def points(seed: int, count: int) -> Point:
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)


def links(engine: ac.Engine) -> int:
    return int(engine.stats()["clusters_linked"])


def test_the_signal_is_the_share_of_the_last_64(engine):
    random = np.random.default_rng(1)
    own, others = points(2, 40), points(3, 24)
    for i, x in enumerate(others):
        ask(engine, f"other {i}", x, LATER)
    for i, x in enumerate(own[:15]):
        ask(engine, "p", x, LATER + i)
    assert "api.shared_inputs" not in engine.signals("p", "m")
    ask(engine, "p", own[15], LATER + 15)
    assert engine.signals("p", "m")["api.shared_inputs"] == 0
    for i, x in enumerate(others):
        ask(engine, "p", x if i % 2 else around(random, x), LATER + 20 + i)
    assert engine.signals("p", "m")["api.shared_inputs"] == pytest.approx(24 / 40)
    ask(engine, "p", others[23], LATER + 60)  # sent before
    assert engine.signals("p", "m")["api.shared_inputs"] == pytest.approx(24 / 40)


def test_what_many_have_sent_is_not_shared(engine):
    popular = points(2, 20)
    for i in range(60):
        for x in popular:
            ask(engine, f"user {i}", x, LATER + i)
    assert engine.signals("user 59", "m")["api.shared_inputs"] == 0
    assert engine.signals("user 8", "m")["api.shared_inputs"] == 1
    assert max(engine.signals(f"user {i}", "m").get("evidence.collusion", 0) for i in range(60)) < 0.5
    assert links(engine) == 0


def test_accounts_that_take_turns_are_seen_as_one(engine):
    """Ten accounts walk around one input whose label changes: each of them alone has sent next to nothing."""
    random = np.random.default_rng(4)
    x = points(5, 1)[0]
    for i in range(100):
        ask(engine, f"account {i % 10}", around(random, x), LATER + i, label=i // 2 % 2)
    assert links(engine) == 9
    together = engine.signals("account 0", "m")
    assert together["evidence.boundary"] > 6
    assert together["api.label_flip_rate"] > 0.3
    assert together["api.request_count"] == 10
    assert ask(engine, "account 0", around(random, x), LATER + 101).signals["evidence.total"] > 6


def test_who_comes_after_a_blocked_account_inherits_what_speaks_against_it(engine):
    random = np.random.default_rng(6)
    x = points(7, 1)[0]
    for i in range(60):
        ask(engine, "first", around(random, x), LATER + i, label=i // 2 % 2)
    assert engine.signals("first", "m")["evidence.total"] > 6
    seen = []
    for i in range(6):
        ask(engine, "second", around(random, x), LATER + 100 + i)
        seen.append(engine.signals("second", "m")["evidence.total"])
    assert seen[1] < 1
    assert seen[3] > 5


def test_nobody_sheds_a_history_by_being_linked(engine):
    """Steps from one input, to which a bystander happens to send a near one: the search goes on being seen."""
    random = np.random.default_rng(8)
    centre = points(12, 1)[0]

    def search(steps: int, since: float) -> float:
        for i in range(steps):
            ask(engine, "searcher", centre + 0.05 * random.normal(size=WIDTH), since + i)
        return engine.signals("searcher", "m")["evidence.coordinate"]

    ask(engine, "searcher", centre, LATER)
    before = search(8, LATER + 1)
    assert 1 < before < 3
    assert links(engine) == 0
    ask(engine, "bystander", around(random, centre, 0.3), LATER + 20)
    after = search(8, LATER + 30)
    assert links(engine) == 1
    assert after > before + 3


def test_a_second_family_needs_a_link_beyond_doubt(engine):
    """Two callers find the boundary between two inputs, one on lines and one by what flips near it."""
    random = np.random.default_rng(21)
    a, b = points(22, 2)
    for turn in range(12):
        low, high = a, b
        for _ in range(9):
            middle = (low + high) / 2 + 1e-5 * random.normal(size=WIDTH).astype(np.float32)
            ask(engine, "first", middle, LATER + turn, label=int(np.linalg.norm(middle - a) > 4))
            low, high = (middle, high) if np.linalg.norm(middle - a) <= 4 else (low, middle)
        for _ in range(9):
            ask(engine, "first", around(random, middle, 1e-4), LATER + turn, label=int(random.integers(2)))
    assert engine.signals("first", "m")["evidence.families"] >= 2
    seen = []
    for i in range(12):
        ask(engine, "second", around(random, middle), LATER + 100 + i)
        seen.append(engine.signals("second", "m"))
    assert seen[4]["evidence.total"] > 5
    assert seen[4]["evidence.families"] == 1
    assert seen[11]["evidence.families"] >= 2


def test_honest_accounts_with_the_same_inputs_are_not_linked(engine):
    """Two customers of one provider rescore the same data; two cameras see two scenes."""
    random = np.random.default_rng(8)
    data, scenes = points(9, 100), points(10, 2)
    for i, x in enumerate(data):
        ask(engine, "a", x, LATER + i)
        ask(engine, "b", x, LATER + i)
        ask(engine, "camera 0", around(random, scenes[0], 0.05), LATER + i)
        ask(engine, "camera 1", around(random, scenes[1], 0.05), LATER + i)
    assert links(engine) == 0
    assert engine.signals("b", "m")["api.shared_inputs"] == 1
    assert engine.signals("b", "m")["evidence.collusion"] == 0
    assert engine.signals("camera 1", "m")["evidence.collusion"] < 1


def test_a_membership_ends(engine):
    random = np.random.default_rng(11)
    x = points(12, 1)[0]
    for i in range(60):
        ask(engine, f"account {i % 2}", around(random, x), LATER + i, label=i // 2 % 2)
    assert engine.signals("account 0", "m")["evidence.boundary"] > 4
    decision = ask(engine, "account 0", points(13, 1)[0], LATER + 8 * DAY)
    assert decision.action <= ac.Action.LOG
    assert decision.signals["evidence.total"] < 1


def test_budgets_of_linked_accounts_are_one():
    policy = POLICY.replace("kind: classifier,", "kind: classifier, extraction_budget: 100,")
    random = np.random.default_rng(14)
    x = points(15, 1)[0]
    with calibrated(policy) as engine:
        for i in range(60):
            ask(engine, f"account {i % 6}", around(random, x), LATER + i)
        used = engine.signals("account 0", "m")["api.extraction_budget_used"]
    assert 0.35 < used < 0.6  # ten of its own, and what all have sent since they are linked


def test_batches_are_looked_at_row_by_row(engine):
    random = np.random.default_rng(16)
    x = points(17, 1)[0]
    ask(engine, "a", x, LATER)
    engine.decide(principal="b", model="m", vector=np.stack([around(random, x) for _ in range(20)]), now=LATER + 1)
    assert engine.signals("b", "m")["api.shared_inputs"] == 1
    assert links(engine) == 1


def test_a_model_that_is_not_known_yet_links_nobody():
    random = np.random.default_rng(18)
    x = points(19, 1)[0]
    with ac.Engine(ac.Policy.from_text(POLICY), capacity=4000, clock=lambda: START) as engine:
        for i in range(60):
            ask(engine, f"account {i % 2}", around(random, x), START + i)
        assert links(engine) == 0


def test_texts_are_shared_and_not_linked():
    policy = POLICY.replace("modality: vector, mean: 0, std: 1", "modality: text")
    with ac.Engine(ac.Policy.from_text(policy), capacity=4000, clock=lambda: START) as engine:
        for i in range(20):
            letters = "".join(chr(97 + (i * 7 + j * j) % 26) for j in range(200))
            engine.decide(principal="a", model="m", text=letters + f"{i}", now=START + i)
            engine.decide(principal="b", model="m", text=letters + f" {i}", now=START + i)
        assert engine.signals("b", "m")["api.shared_inputs"] > 0.9
        assert links(engine) == 0


@pytest.mark.parametrize("seed", range(8))
def test_like_the_twin(engine, seed):
    """Walks around common places, exact copies and inputs of their own, of five accounts, as the twin sees them."""
    random = np.random.default_rng(100 + seed)
    twin = Accounts(reach=1.0)
    places = 30 * random.normal(size=(4, WIDTH)).astype(np.float32)  # far from strangers' and from each other
    sent: list[Point] = list(places)
    for i in range(300):
        principal = f"account {random.integers(5)}"
        kind = random.random()
        if kind < 0.3:
            x = around(random, places[random.integers(4)])
        elif kind < 0.4:
            x = sent[random.integers(len(sent))]
        else:
            x = 30 * random.normal(size=WIDTH).astype(np.float32)
        now = LATER + i
        group = twin.clusters.members(principal, now)
        if any(np.array_equal(x, other) for other, owner in twin.inputs.sent if owner in group):
            continue
        sent.append(x)
        twin.add(x, principal, now)
        ask(engine, principal, x, now)
    for number in range(5):
        principal = f"account {number}"
        signals = engine.signals(principal, "m")
        assert signals["api.shared_inputs"] == pytest.approx(twin.shares[principal].signal(), abs=1e-9)
        shared = twin.evidence[principal].ratio("shared", LATER + 299) / 2
        expected = np.log10(1 + (shared / 2 if len(twin.clusters.members(principal, LATER + 300)) > 1 else shared))
        assert signals["evidence.collusion"] == pytest.approx(expected, abs=0.02)
