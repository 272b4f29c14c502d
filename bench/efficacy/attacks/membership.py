"""Membership inference from labels: how robust is the label of a record to noise, or to augmentation?"""

from __future__ import annotations

import numpy as np

from bench.efficacy.attacks.art_privacy import SCORE_ONLY, candidates
from bench.efficacy.attacks.surrogate import Surrogate
from bench.efficacy.domains import Images
from bench.efficacy.episode import Attack, Episode

__all__ = ["ATTACKS"]

GROUPS = "membership inference, groups"


def noise(episode: Episode) -> None:
    """Li and Zhang 2021: 25 noisy copies of each record."""
    x, _, _ = candidates(episode, 40)
    for record in x:
        copies = record + episode.rng.normal(0, 0.08, (25, record.size))
        episode.ask_labels(np.clip(np.vstack([record, copies]), 0, 1))
        episode.succeed()


def augmentation(episode: Episode) -> None:
    """Choquette-Choo 2021: each record and eight shifts of it by one pixel."""
    domain = episode.victim.domain
    assert isinstance(domain, Images)
    x, _, _ = candidates(episode, 60)
    for record in x:
        image = record.reshape(domain.side, domain.side)
        shifts = [np.roll(image, (down, right), (0, 1)) for down in (0, -1, 1) for right in (0, -1, 1)]
        episode.ask_labels(np.stack(shifts).reshape(9, -1).astype(np.float64))
        episode.succeed()


def one_crafted_query(episode: Episode) -> None:
    """Like YOQO (Wu 2024): of each record one point near the boundary of models that have not seen it, asked once."""
    x, one_hot, _ = candidates(episode, 300)
    domain = episode.victim.domain
    known = episode.rng.choice(len(domain.held), 200, replace=False)
    shadow = Surrogate(domain.held[known], domain.held_labels[known], domain.classes, episode.rng)
    labels = one_hot.argmax(axis=1)
    points = x.astype(np.float64)
    for _ in range(5):
        right = shadow.scores(points).argmax(axis=1) == labels
        step = 0.03 * np.sign(shadow.gradient(points, labels))
        points = np.clip(points + np.where(right[:, None], -step, step), 0, 1)
    for point in points:
        episode.ask_labels(point[None])
        episode.succeed()


RECORD = "the first record decided"
REGULAR = ("api.group_regularity",)

ATTACKS = [
    Attack("noise x25 membership", GROUPS, ("V1-mlp", "V3-rf"), noise, goal=RECORD, signals=REGULAR),
    Attack("augmentation x9 membership", GROUPS, ("V1-mlp", "V2-mlp"), augmentation, goal=RECORD, signals=REGULAR),
    Attack(
        "one crafted query per record", SCORE_ONLY, ("V1-mlp", "V3-rf"), one_crafted_query,
        goal=RECORD, signals=("api.off_grid_ratio", "evidence.synthetic"),
    ),
]  # fmt: skip
