"""Model extraction with inputs that the attacker makes."""

from __future__ import annotations

import numpy as np

from bench.efficacy.attacks.surrogate import Surrogate
from bench.efficacy.domains import Array
from bench.efficacy.episode import Attack, Episode

__all__ = ["ATTACKS", "JACOBIAN"]

SYNTHETIC, EQUATIONS = "extraction, synthetic inputs", "equation solving"
CLONED = "a copy that agrees with the victim on 90 % of natural inputs"
SEEN_BY = ("evidence.synthetic", "api.off_grid_ratio", "api.manifold_rank")
STEP = 0.1


def jacobian_augmentation(episode: Episode) -> None:
    """Papernot 2017: seeds, then each round a step from every point along the surrogate's Jacobian for its label."""
    episode.learn = True
    points = episode.natural(5 * episode.victim.domain.classes)
    labels = episode.ask_labels(points)
    for _ in range(5):
        surrogate = Surrogate(points, labels, episode.victim.domain.classes, episode.rng)
        children = np.clip(points + STEP * np.sign(surrogate.gradient(points, labels)), 0, 1)
        labels = np.concatenate([labels, episode.ask_labels(children)])
        points = np.concatenate([points, children])


def targeted_random(episode: Episode) -> None:
    """T-RND (PRADA, Juuti 2019): several surrogate steps from a seed towards a random other class."""
    episode.learn = True
    classes = episode.victim.domain.classes
    seeds = episode.natural(5 * classes)
    points, labels = seeds, episode.ask_labels(seeds)
    for _ in range(5):
        surrogate = Surrogate(points, labels, classes, episode.rng)
        chosen = episode.rng.integers(0, len(points), min(len(points), 150))
        aims = (labels[chosen] + episode.rng.integers(1, classes, len(chosen))) % classes
        children = points[chosen]
        for _ in range(5):
            children = np.clip(children + STEP / 2.5 * np.sign(surrogate.gradient(children, aims)), 0, 1)
        labels = np.concatenate([labels, episode.ask_labels(children)])
        points = np.concatenate([points, children])


def uniform(episode: Episode) -> None:
    """Random inputs in the unit cube."""
    episode.learn = True
    while True:
        episode.ask(episode.rng.random((100, episode.victim.domain.width)))


def equations(episode: Episode, unknowns_per_class: bool = False) -> None:
    """Tramer 2016: log-odds are linear in the input, so d + 1 answers with scores give a linear model.

    unknowns_per_class: k (d + 1) queries, as many as there are unknowns, which also survives rounded scores better.
    """
    domain = episode.victim.domain
    queries = domain.width + 1
    if unknowns_per_class:
        queries *= domain.classes
    x = episode.rng.random((queries, domain.width))
    scores = np.clip(episode.ask(x), 1e-12, None)
    odds = np.log(scores) - np.log(scores[:, :1])
    solution = np.linalg.lstsq(np.hstack([x, np.ones((len(x), 1))]), odds, rcond=None)[0]
    held = episode.natural(500)
    guess = (np.hstack([held, np.ones((len(held), 1))]) @ solution).argmax(axis=1)
    if (guess == episode.victim.labels(held)).mean() >= 0.9:
        episode.succeed()


def equations_per_class(episode: Episode) -> None:
    equations(episode, unknowns_per_class=True)


def line_search(episode: Episode) -> None:
    """Lowd and Meek 2005: the weights of a linear classifier from labels, by one line search per feature."""
    domain = episode.victim.domain

    def crossing(inside: Array, outside: Array) -> Array:
        low, high = 0.0, 1.0
        while high - low > 1e-3:
            middle = (low + high) / 2
            if episode.ask_labels((inside + middle * (outside - inside))[None])[0] == label:
                low = middle
            else:
                high = middle
        point: Array = inside + high * (outside - inside)
        return point

    ends = [episode.natural(1, k)[0] for k in range(2)]
    label, other = episode.ask_labels(np.stack(ends))
    if label == other:
        return
    border = crossing(ends[0], ends[1])
    weights = np.zeros(domain.width)
    for feature in range(domain.width):
        moved = border.copy()
        moved[feature] += 0.5 if moved[feature] < 0.5 else -0.5
        if episode.ask_labels(moved[None])[0] == label:
            weights[feature] = _slope(episode, border, moved, ends[1], int(label), feature)
        else:
            weights[feature] = _slope(episode, border, moved, ends[0], int(other), feature)
    held = episode.natural(500)
    side = held @ weights >= border @ weights
    agreement = (side == (episode.victim.labels(held) == 1)).mean()
    if max(agreement, 1 - agreement) >= 0.9:
        episode.succeed()


def _slope(episode: Episode, border: Array, moved: Array, towards: Array, label: int, feature: int) -> float:
    """How much of the way to `towards` makes up for the change of one feature."""
    low, high = 0.0, 1.0
    while high - low > 1e-2:
        middle = (low + high) / 2
        if episode.ask_labels((moved + middle * (towards - border))[None])[0] == label:
            low = middle
        else:
            high = middle
    sign = 1.0 if label == 0 else -1.0
    return float(-sign * high / (moved[feature] - border[feature]))


JACOBIAN = Attack(
    "Jacobian augmentation", SYNTHETIC, ("V1-mlp", "V2-mlp"), jacobian_augmentation, goal=CLONED, signals=SEEN_BY
)

ATTACKS = [
    JACOBIAN,
    Attack("T-RND", SYNTHETIC, ("V1-mlp", "V2-mlp"), targeted_random, goal=CLONED, signals=SEEN_BY),
    Attack("uniform probes", SYNTHETIC, ("V1-mlp", "V2-mlp", "V3-rf"), uniform, goal=CLONED, signals=SEEN_BY),
    Attack("equations d+1", EQUATIONS, ("V3-lr", "V2-lr"), equations, goal=CLONED, signals=SEEN_BY),
    Attack(
        "equations k(d+1)",
        EQUATIONS,
        ("V3-lr", "V2-lr"),
        equations_per_class,
        goal=CLONED,
        signals=SEEN_BY,
        limit=8_000,
    ),
    Attack("line search (Lowd-Meek)", "extraction by line search", ("V3-lr",), line_search, goal=CLONED),
]
