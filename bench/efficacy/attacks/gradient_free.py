"""RayS, NES and ZO-signSGD. The first two are met in the test part only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.efficacy.attacks.evasion import DECISIONS, SCORES, target
from bench.efficacy.domains import Array
from bench.efficacy.episode import Attack, Episode

__all__ = ["ATTACKS", "ZO_SIGN_SGD"]

PAIRS = 20  # antithetic probes of one gradient estimate
SIGMA = 0.02


def rays(episode: Episode) -> None:
    """Chen and Gu 2020: among sign vectors, flip blocks of halving size while the distance to the boundary falls."""
    aim = target(episode, "linf")
    width = aim.x.size
    direction = np.ones(width)
    nearest = 1.0

    def wrong(radius: float, signs: Array) -> bool:
        return bool(episode.ask_labels(np.clip(aim.x + radius * signs, 0, 1)[None])[0] != aim.label)

    blocks, block = 1, 0
    while True:
        edges = np.linspace(0, width, blocks + 1).astype(int)
        candidate = direction.copy()
        candidate[edges[block] : edges[block + 1]] *= -1
        if wrong(nearest, candidate):
            low, high = 0.0, nearest
            while high - low > 1e-3:
                middle = (low + high) / 2
                if wrong(middle, candidate):
                    high = middle
                else:
                    low = middle
            direction, nearest = candidate, high
        block += 1
        if block == blocks:
            blocks, block = min(2 * blocks, width), 0


def nes(episode: Episode) -> None:
    """Ilyas 2018: a gradient from antithetic Gaussian probes of the score, and projected steps along its sign."""
    _climb(episode, lambda gradient: gradient)


def zo_sign_sgd(episode: Episode) -> None:
    """Liu 2019: the sum of the signs of single finite differences."""
    _climb(episode, np.sign)


def _climb(episode: Episode, weigh: Callable[[Array], Array]) -> None:
    aim = target(episode, "linf")
    radius = episode.victim.linf
    x = aim.x.copy()
    while True:
        probes = episode.rng.normal(0, 1, (PAIRS, x.size))
        points = np.clip(np.concatenate([x + SIGMA * probes, x - SIGMA * probes]), 0, 1)
        scores = episode.ask(points)[:, aim.label]
        slopes = (scores[:PAIRS] - scores[PAIRS:]) / (2 * SIGMA)
        gradient = weigh(slopes) @ probes
        x = np.clip(x - 0.01 * np.sign(gradient), np.maximum(aim.x - radius, 0), np.minimum(aim.x + radius, 1))
        if episode.ask_labels(x[None])[0] != aim.label:
            return


NEAR = "adversarial within the maximum norm"
SEEN_BY = ("evidence.total", "evidence.coordinate", "evidence.synthetic")

ZO_SIGN_SGD = Attack("ZO-signSGD", SCORES, ("V1-mlp", "V2-mlp"), zo_sign_sgd, goal=NEAR, signals=SEEN_BY)

ATTACKS = [
    Attack("RayS", DECISIONS, ("V1-mlp", "V1-rf", "V2-mlp", "V3-lr"), rays, goal=NEAR, held_out=True),
    Attack("NES", SCORES, ("V1-mlp", "V2-mlp"), nes, goal=NEAR, signals=SEEN_BY, held_out=True),
    ZO_SIGN_SGD,
]
