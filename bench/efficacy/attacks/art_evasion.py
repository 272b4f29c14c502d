"""Evasion attacks of the Adversarial Robustness Toolbox (ART)."""

from __future__ import annotations

from functools import partial

import numpy as np
from art.attacks.evasion import (  # type: ignore[import-untyped]
    BoundaryAttack,
    HopSkipJump,
    SignOPTAttack,
    SimBA,
    SpatialTransformation,
    SquareAttack,
    ZooAttack,
)

from bench.efficacy.attacks.art_classifier import as_image, classifier, image_classifier
from bench.efficacy.attacks.evasion import DECISIONS, SCORES, target
from bench.efficacy.domains import Array
from bench.efficacy.episode import Attack, Episode

__all__ = ["ATTACKS", "BOUNDARY", "HOP_SKIP_JUMP", "SQUARE"]


def hop_skip_jump(episode: Episode) -> None:
    """From a natural input of another class: without a start it would only send random ones and stop."""
    aim = target(episode)
    attack = HopSkipJump(
        classifier(episode), max_iter=12, max_eval=200, init_eval=30, init_size=1, batch_size=64, verbose=False
    )
    attack.generate(_row(aim.x), x_adv_init=_row(aim.start))


def boundary(episode: Episode) -> None:
    aim = target(episode)
    attack = BoundaryAttack(
        classifier(episode), targeted=False, max_iter=200, num_trial=10, sample_size=10, init_size=1, verbose=False
    )
    attack.generate(_row(aim.x), x_adv_init=_row(aim.start))


def sign_opt(episode: Episode) -> None:
    aim = target(episode)
    attack = SignOPTAttack(
        classifier(episode), targeted=False, num_trial=20, max_iter=10, k=40, eval_perform=False, verbose=False
    )
    attack.generate(_row(aim.x))


def zoo(episode: Episode) -> None:
    aim = target(episode)
    attack = ZooAttack(
        classifier(episode),
        learning_rate=0.1,
        max_iter=40,
        initial_const=1.0,
        use_resize=False,
        use_importance=False,
        nb_parallel=min(32, aim.x.size // 2),
        variable_h=0.2,
        verbose=False,
    )
    attack.generate(_row(aim.x), np.eye(episode.victim.domain.classes)[[aim.label]])


def square(episode: Episode) -> None:
    aim = target(episode, "linf")
    attack = SquareAttack(
        image_classifier(episode), eps=episode.victim.linf, max_iter=300, p_init=0.3, batch_size=1, verbose=False
    )
    attack.generate(as_image(aim.x), np.eye(episode.victim.domain.classes)[[aim.label]])


def simba(episode: Episode, basis: str) -> None:
    aim = target(episode)
    side = int(np.sqrt(aim.x.size))
    attack = SimBA(
        image_classifier(episode), attack=basis, epsilon=0.15, freq_dim=side, max_iter=400, batch_size=1, verbose=False
    )
    attack.generate(as_image(aim.x), np.eye(episode.victim.domain.classes)[[aim.label]])


def spatial(episode: Episode) -> None:
    """A grid of shifts and rotations: any that is misclassified will do."""
    aim = target(episode)

    def misclassified(_: Array, scores: Array) -> Array:
        wrong: Array = scores.argmax(axis=1) != aim.label
        return wrong

    episode.goal = misclassified
    attack = SpatialTransformation(
        image_classifier(episode),
        max_translation=12,
        num_translations=5,
        max_rotation=30,
        num_rotations=7,
        verbose=False,
    )
    attack.generate(as_image(aim.x), np.array([aim.label]))


def _row(x: Array) -> Array:
    return x[None].astype(np.float32)


NEAR_L2, NEAR_MAXIMUM = "adversarial within the L2 distance", "adversarial within the maximum norm"
SCORE_SIGNALS = ("evidence.total", "evidence.coordinate")

HOP_SKIP_JUMP = Attack(
    "HopSkipJump", DECISIONS, ("V1-mlp", "V1-rf", "V2-mlp", "V3-lr", "V3-rf"), hop_skip_jump, goal=NEAR_L2
)
BOUNDARY = Attack("BoundaryAttack", DECISIONS, ("V1-mlp", "V1-rf", "V2-mlp", "V3-lr"), boundary, goal=NEAR_L2)
SQUARE = Attack("Square", SCORES, ("V1-mlp", "V2-mlp"), square, goal=NEAR_MAXIMUM, signals=SCORE_SIGNALS)

ATTACKS = [
    HOP_SKIP_JUMP,
    BOUNDARY,
    Attack("SignOPT", DECISIONS, ("V1-mlp", "V1-rf", "V2-mlp"), sign_opt, goal=NEAR_L2),
    Attack("ZOO", SCORES, ("V1-mlp", "V2-mlp", "V3-lr"), zoo, goal=NEAR_L2, signals=SCORE_SIGNALS),
    SQUARE,
    Attack(
        "SimBA pixel", SCORES, ("V1-mlp", "V2-mlp"), partial(simba, basis="px"), goal=NEAR_L2, signals=SCORE_SIGNALS
    ),
    Attack("SimBA DCT", SCORES, ("V1-mlp", "V2-mlp"), partial(simba, basis="dct"), goal=NEAR_L2, signals=SCORE_SIGNALS),
    Attack(
        "SpatialTransformation",
        "evasion by spatial transformation",
        ("V1-mlp", "V2-mlp"),
        spatial,
        goal="misclassified",
    ),
]
