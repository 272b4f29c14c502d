"""Model inversion: what does a class look like?"""

from __future__ import annotations

import numpy as np

from bench.efficacy.episode import Attack, Episode

__all__ = ["ATTACKS"]

INVERSION = "model inversion"
PAIRS, SIGMA = 20, 0.05


def nes_inversion(episode: Episode) -> None:
    """Raise the score of one class from a grey input, by gradients that are estimated from scores."""
    domain = episode.victim.domain
    label = int(episode.rng.integers(0, domain.classes))
    x = np.clip(domain.held.mean(axis=0) + episode.rng.normal(0, 0.05, domain.width), 0, 1)
    while True:
        probes = episode.rng.normal(0, 1, (PAIRS, x.size))
        points = np.clip(np.concatenate([x + SIGMA * probes, x - SIGMA * probes]), 0, 1)
        scores = episode.ask(points)[:, label]
        gradient = (scores[:PAIRS] - scores[PAIRS:]) @ probes
        x = np.clip(x + 0.02 * np.sign(gradient), 0, 1)
        if episode.ask(x[None])[0, label] > 0.99:
            episode.succeed()


def sphere_walk(episode: Episode) -> None:
    """Like BREP (Kahla 2022): from labels alone, away from the boundary, with a sphere that grows as it may."""
    domain = episode.victim.domain
    label = int(episode.rng.integers(0, domain.classes))
    x = episode.natural(1, label)[0]
    radius = 0.3
    while True:
        directions = episode.rng.normal(0, 1, (32, x.size))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        inside = episode.ask_labels(np.clip(x + radius * directions, 0, 1)) == label
        if inside.all():
            radius *= 1.3
            if radius > 3 * episode.victim.l2:
                episode.succeed()
            continue
        away = -directions[~inside].mean(axis=0)
        candidate = np.clip(x + 0.5 * radius * away / max(float(np.linalg.norm(away)), 1e-9), 0, 1)
        if episode.ask_labels(candidate[None])[0] == label:
            x = candidate


ATTACKS = [
    Attack(
        "NES inversion", INVERSION, ("V1-mlp", "V2-mlp"), nes_inversion, goal="a score above 0.99",
        signals=("evidence.total", "evidence.coordinate", "evidence.synthetic"),
    ),
    Attack(
        "sphere walk", INVERSION, ("V1-mlp", "V2-mlp"), sphere_walk,
        goal="a sphere of the class, three times the L2 distance",
    ),
]  # fmt: skip
