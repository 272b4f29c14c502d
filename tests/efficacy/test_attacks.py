"""Attacks of the benchmark against victims that nothing protects."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.efficacy import adaptive
from bench.efficacy.attacks import attacks, evasion
from bench.efficacy.attacks.hopskipjump import hop_skip_jump
from bench.efficacy.attacks.surrogate import queries_to_clone
from bench.efficacy.episode import Attack, Tactics, play
from bench.efficacy.gateway import Gateway, Refused
from bench.efficacy.victims import victim

EVERY = {attack.name: attack for attack in (*attacks(), *adaptive.ATTACKS)}
OWN = [
    attack
    for name, attack in EVERY.items()
    if not attack.run.__module__.startswith("bench.efficacy.attacks.art_")  # type: ignore[attr-defined]
    if not hasattr(attack.run, "func") and attack.group != "adaptive" and attack.victims[0] != "V6-llm"
]


@pytest.mark.parametrize("attack", OWN, ids=lambda attack: attack.name)
def test_own_attacks_send_finite_inputs_and_repeat_themselves(attack: Attack, gateway: Gateway) -> None:
    model = victim(attack.victims[0])
    streams = []
    for _ in range(2):
        _, episode = play(replace(attack, limit=100), gateway, model, 0, 0, keep=True)
        streams.append(episode.everybody[0].trace.inputs)
    assert len(streams[0]) >= 20
    if model.domain.modality == "text":
        assert streams[0] == streams[1]
        return
    x = np.stack(streams[0])
    assert x.shape[1] == model.domain.width
    assert np.isfinite(x).all()
    assert x.min() >= 0
    assert np.array_equal(x, np.stack(streams[1]))


@pytest.mark.parametrize(
    "name", ["HopSkipJump (own)", "Square (own)", "RayS", "NES", "ZO-signSGD", "NES inversion", "sphere walk"]
)
def test_own_attacks_succeed_against_the_digits(name: str, gateway: Gateway) -> None:
    outcomes = [play(EVERY[name], gateway, victim("V1-mlp"), index, 0)[0] for index in range(4)]
    assert sum(outcome.success is not None for outcome in outcomes) >= 2
    assert not any(outcome.stopped for outcome in outcomes)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("equations d+1", "V3-lr"),
        ("equations k(d+1)", "V3-lr"),
        ("line search (Lowd-Meek)", "V3-lr"),
        ("DeepWordBug", "V5-text"),
        ("ontology sweep", "V5-text"),
        ("logit-bias stealing", "V6-llm"),
    ],
)
def test_other_models_fall_as_well(name: str, model: str, gateway: Gateway) -> None:
    outcome, _ = play(EVERY[name], gateway, victim(model), 0, 0)
    assert outcome.success is not None


@pytest.mark.parametrize("name", ["Jacobian augmentation", "T-RND"])
def test_synthetic_extraction_gets_a_copy(name: str, gateway: Gateway) -> None:
    model = victim("V1-mlp")
    _, episode = play(EVERY[name], gateway, model, 0, 0)
    held = model.domain.natural(300, np.random.default_rng(0))
    labels = model.labels(held)
    assert queries_to_clone(episode.answered, held, labels, np.random.default_rng(0), agreement=0.75) is not None


def test_hop_skip_jump_comes_nearer_and_stays_adversarial() -> None:
    rng = np.random.default_rng(0)

    def beyond(x: np.ndarray) -> np.ndarray:
        return x.sum(axis=1) > 6.0

    original, start = np.full(10, 0.4), np.full(10, 0.9)
    found = hop_skip_jump(beyond, original, start, rng)
    assert beyond(found[None])[0]
    assert np.linalg.norm(found - original) == pytest.approx(2 / np.sqrt(10), rel=0.05)  # the nearest point of all


def test_tactics_count_every_query(gateway: Gateway) -> None:
    base = replace(EVERY["uniform probes"], limit=120, tactics=Tactics(dummies=2, accounts=3))
    outcome, episode = play(base, gateway, victim("V1-mlp"), 0, 0)
    assert outcome.queries == 120
    assert outcome.accounts == 3
    assert [account.trace.queries for account in episode.everybody] == [40, 40, 40]
    assert len(episode.answered) <= 40


def test_a_ban_ends_an_account_and_spares_replace_it(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.efficacy.gateway import Account

    ask = Account.ask

    def banned_after_ten(self: Account, *given: object, **more: object) -> object:
        if self.trace.queries >= 10:
            raise Refused(self.name)
        return ask(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Account, "ask", banned_after_ten)
    uniform = EVERY["uniform probes"]
    alone, _ = play(uniform, gateway, victim("V1-mlp"), 0, 0)
    assert alone.stopped
    assert alone.queries == 11
    spared, _ = play(replace(uniform, name="spared", tactics=Tactics(spares=2)), gateway, victim("V1-mlp"), 0, 0)
    assert spared.stopped
    assert spared.accounts == 3
    assert spared.queries == 33


def test_only_these_attacks_of_the_toolbox_are_used() -> None:
    """The others are kept for acceptance."""
    imported: set[str] = set()
    for source in Path(evasion.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("art.attacks"):
                imported |= {alias.name for alias in node.names}
    assert imported == {
        "AttributeInferenceBlackBox", "AttributeInferenceMembership", "BoundaryAttack", "CopycatCNN", "HopSkipJump",
        "KnockoffNets", "LabelOnlyDecisionBoundary", "LabelOnlyGapAttack", "MembershipInferenceBlackBox",
        "MembershipInferenceBlackBoxRuleBased", "SignOPTAttack", "SimBA", "SpatialTransformation", "SquareAttack",
        "ZooAttack",
    }  # fmt: skip


def test_held_out_families() -> None:
    assert {attack.name for attack in EVERY.values() if attack.held_out} == {"RayS", "NES"}
