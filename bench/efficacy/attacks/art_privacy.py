"""Membership and attribute inference of ART. The attacker has the records and wants to know about them."""

from __future__ import annotations

import numpy as np
from art.attacks.inference.attribute_inference import (  # type: ignore[import-untyped]
    AttributeInferenceBlackBox,
    AttributeInferenceMembership,
)
from art.attacks.inference.membership_inference import (  # type: ignore[import-untyped]
    LabelOnlyDecisionBoundary,
    LabelOnlyGapAttack,
    MembershipInferenceBlackBox,
    MembershipInferenceBlackBoxRuleBased,
)

from bench.efficacy.attacks.art_classifier import classifier
from bench.efficacy.domains import Array
from bench.efficacy.episode import Attack, Episode

__all__ = ["ATTACKS", "candidates"]

RECORDS = 300  # half of them members
SENSITIVE = 4  # column of V4


def candidates(episode: Episode, n: int) -> tuple[Array, Array, Array]:
    """n records in random order, their labels one-hot, and which ones are members of the training set."""
    domain = episode.victim.domain
    inside = episode.rng.choice(len(domain.train), n // 2, replace=False)
    outside = episode.rng.choice(len(domain.held), n - n // 2, replace=False)
    x = np.concatenate([domain.train[inside], domain.held[outside]])
    labels = np.concatenate([domain.train_labels[inside], domain.held_labels[outside]])
    order = episode.rng.permutation(n)
    # One-hot: ART mistakes labels for something else when the largest class is absent.
    one_hot = np.eye(domain.classes, dtype=np.float32)[labels[order]]
    return x[order].astype(np.float32), one_hot, order < n // 2


def rule_based(episode: Episode) -> None:
    x, y, _ = candidates(episode, RECORDS)
    MembershipInferenceBlackBoxRuleBased(classifier(episode)).infer(x, y)
    episode.succeed()


def gap(episode: Episode) -> None:
    x, y, _ = candidates(episode, RECORDS)
    LabelOnlyGapAttack(classifier(episode)).infer(x, y)
    episode.succeed()


def black_box(episode: Episode) -> None:
    """An attack model on the scores, trained on records whose membership is known."""
    x, y, member = candidates(episode, RECORDS)
    known = RECORDS // 2
    attack = MembershipInferenceBlackBox(classifier(episode), attack_model_type="lr")
    inside, outside = np.flatnonzero(member[:known]), np.flatnonzero(~member[:known])
    attack.fit(x[inside], y[inside], x[outside], y[outside])
    attack.infer(x[known:], y[known:])
    episode.succeed()


def boundary_distance(episode: Episode) -> None:
    """How far is the boundary? HopSkipJump from one record after the other."""
    x, y, _ = candidates(episode, 10)
    attack = LabelOnlyDecisionBoundary(classifier(episode), distance_threshold_tau=0.5)
    for row, label in zip(x, y, strict=True):
        attack.infer(row[None], label[None], max_iter=2, max_eval=40, init_eval=20, init_size=20, verbose=False)
        episode.succeed()


def attribute_by_model(episode: Episode) -> None:
    """A model of the sensitive column from the others and the victim's label; nothing is enumerated."""
    x, _, _ = candidates(episode, RECORDS)
    known = RECORDS // 2
    attack = AttributeInferenceBlackBox(classifier(episode), attack_model_type="rf", attack_feature=SENSITIVE)
    attack.fit(x[:known])
    labels = episode.ask_labels(x[known:].astype(np.float64)).reshape(-1, 1).astype(np.float32)
    attack.infer(np.delete(x[known:], SENSITIVE, axis=1), pred=labels, values=[0.0, 1.0])
    episode.succeed()


def attribute_by_membership(episode: Episode) -> None:
    """Each record with each value of the sensitive column: which one looks like a member?"""
    x, y, member = candidates(episode, RECORDS)
    model = classifier(episode)
    membership = MembershipInferenceBlackBox(model, attack_model_type="lr")
    known = 60
    inside, outside = np.flatnonzero(member[:known]), np.flatnonzero(~member[:known])
    membership.fit(x[inside], y[inside], x[outside], y[outside])
    attack = AttributeInferenceMembership(model, membership, attack_feature=SENSITIVE)
    attack.infer(np.delete(x[known:], SENSITIVE, axis=1), y[known:], values=[0.0, 1.0])
    episode.succeed()


SCORE_ONLY = "membership inference, scores or one query"
DECIDED = "decisions made"
MODELS = ("V1-mlp", "V3-rf", "V4-gb")
CONFIDENCE = ("api.confidence_shift",)

ATTACKS = [
    Attack("rule-based membership", SCORE_ONLY, MODELS, rule_based, goal=DECIDED, signals=CONFIDENCE),
    Attack("gap membership", SCORE_ONLY, ("V1-mlp", "V4-gb"), gap, goal=DECIDED, signals=CONFIDENCE),
    Attack("black-box membership", SCORE_ONLY, MODELS, black_box, goal=DECIDED, signals=CONFIDENCE),
    Attack(
        "LabelOnlyDecisionBoundary", "membership inference, boundary", ("V1-mlp", "V1-rf", "V3-lr"), boundary_distance,
        goal="the first record decided",
    ),
    Attack(
        "attribute inference, model", "attribute inference by a model", ("V4-gb",), attribute_by_model,
        goal=DECIDED, signals=("api.twin_records",),
    ),
    Attack(
        "attribute inference, enumeration", "attribute inference", ("V4-gb",), attribute_by_membership,
        goal=DECIDED, signals=("api.twin_records",),
    ),
]  # fmt: skip
