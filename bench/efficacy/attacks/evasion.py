"""Own small versions of evasion attacks: what they need to know of an image, where they start, and their steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench.efficacy.attacks.hopskipjump import Ratio, fixed_ratio, hop_skip_jump
from bench.efficacy.domains import Array
from bench.efficacy.episode import Attack, Episode, NoStart

__all__ = ["ATTACKS", "JUMP", "SQUARE", "Target", "jump", "target"]

DECISIONS, SCORES = "decision-based evasion", "score-based evasion"


class Target(NamedTuple):
    """x is to be misclassified: it now has this label. start: an input of another class, far away."""

    x: Array
    label: int
    start: Array


def target(episode: Episode, norm: str = "l2") -> Target:
    """A natural input that the victim classifies correctly, with a clear margin; the goal is set to moving it."""
    domain, victim = episode.victim.domain, episode.victim
    for _ in range(20):
        label = int(episode.rng.integers(0, domain.classes))
        x = episode.natural(1, label)[0]
        start = episode.natural(1, int((label + episode.rng.integers(1, domain.classes)) % domain.classes))[0]
        scores = victim.scores(np.stack([x, start]))
        if scores[0].argmax() == label and scores[0].max() > 0.6 and scores[1].argmax() != label:
            break
    else:
        raise NoStart
    radius = victim.l2 if norm == "l2" else victim.linf

    def reached(inputs: Array, answers: Array) -> Array:
        moved = inputs - x
        size = np.linalg.norm(moved, axis=1) if norm == "l2" else np.abs(moved).max(axis=1)
        wanted: Array = (answers.argmax(axis=1) != label) & (size <= radius + 1e-6)
        return wanted

    episode.goal = reached
    return Target(x, label, start)


def jump(episode: Episode, ratio: Ratio = fixed_ratio) -> None:
    """HopSkipJump of this benchmark."""
    aim = target(episode)

    def adversarial(x: Array) -> Array:
        wrong: Array = episode.ask_labels(x) != aim.label
        return wrong

    hop_skip_jump(adversarial, aim.x, aim.start, episode.rng, iterations=12, ratio=ratio)


def square(episode: Episode) -> None:
    """Square (Andriushchenko 2020), maximum norm: random squares to +-eps, kept when the margin shrinks."""
    aim = target(episode, "linf")
    side = int(np.sqrt(aim.x.size))
    eps = episode.victim.linf
    rng = episode.rng

    def margin(x: Array) -> float:
        scores = episode.ask(x[None])[0]
        return float(scores[aim.label] - np.delete(scores, aim.label).max())

    stripes = np.repeat(rng.choice([-eps, eps], (1, side)), side, axis=0)
    best = np.clip(aim.x + stripes.reshape(-1), 0, 1)
    lowest = margin(best)
    for step in range(400):
        if lowest < 0:
            return
        width = max(1, round(side * np.sqrt(0.3 * 0.5 ** (step // 50))))
        top, left = rng.integers(0, side - width + 1, 2)
        change = (best - aim.x).reshape(side, side).copy()
        change[top : top + width, left : left + width] = rng.choice([-eps, eps])
        candidate = np.clip(aim.x + change.reshape(-1), 0, 1)
        if np.array_equal(candidate, best):
            continue
        value = margin(candidate)
        if value < lowest:
            best, lowest = candidate, value


JUMP = Attack("HopSkipJump (own)", DECISIONS, ("V1-mlp", "V2-mlp"), jump, goal="adversarial within the L2 distance")
SQUARE = Attack("Square (own)", SCORES, ("V1-mlp", "V2-mlp"), square, goal="adversarial within the maximum norm")

ATTACKS = [JUMP, SQUARE]
