"""Attackers who know that they are watched: other attacks, hidden; and one that listens to the decisions."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

import atlascore as ac
from bench.efficacy.attacks.art_evasion import BOUNDARY, HOP_SKIP_JUMP, SQUARE
from bench.efficacy.attacks.evasion import jump, target
from bench.efficacy.attacks.extraction import JACOBIAN
from bench.efficacy.attacks.hopskipjump import golden_ratio, hop_skip_jump, random_ratio
from bench.efficacy.domains import Array
from bench.efficacy.episode import Attack, Episode, Refused, Spent, Tactics

__all__ = ["ATTACKS"]

QUERIES = 1_100  # of the attack itself, however many dummies go with them
PROBES, ROUNDS = 20, 6  # of the search for a step that passes
RESAMPLES = 300

NEAR = "adversarial within the L2 distance"
VICTIMS = ("V1-mlp", "V2-mlp")

TACTICS = {
    "dummies 1:1": (Tactics(dummies=1), 2),
    "dummies 1:4": (Tactics(dummies=4), 5),
    "dummies 1:20": (Tactics(dummies=20), 21),
    "2 accounts": (Tactics(accounts=2), 1),
    "10 accounts": (Tactics(accounts=10), 1),
    "100 accounts": (Tactics(accounts=100), 1),
    "slow x10": (Tactics(slow=10), 1),
    "slow x100": (Tactics(slow=100), 1),
    "8-bit rounding": (Tactics(rounding=True), 1),
    "query blinding": (Tactics(blinding=True), 1),
    "ban evasion": (Tactics(spares=100), 1),
    "10 accounts, key known": (Tactics(accounts=10, known=True), 1),
    "100 accounts, key known": (Tactics(accounts=100, known=True), 1),
    "ban evasion, key known": (Tactics(spares=100, known=True), 1),
}


def oars(episode: Episode) -> None:
    """OARS (Feng 2023), reduced: learn the smallest step that is not answered by CONSTRAIN or BLOCK, then walk with it.

    A decision here concerns the account and stands, so what the original does by sending another query takes another
    account each time.
    """
    aim = target(episode)
    left = RESAMPLES

    def label_of(x: Array) -> int | None:
        """None when the query was rejected; the next one comes from a fresh account."""
        try:
            label = int(episode.ask_labels(x[None])[0])
        except Refused:
            episode.replace_account()
            return None
        if episode.action >= ac.Action.CONSTRAIN:
            episode.replace_account()
            return None
        return label

    def near(x: Array, radius: float) -> Array:
        direction = episode.rng.normal(0, 1, x.size)
        moved: Array = np.clip(x + radius * direction / np.linalg.norm(direction), 0, 1)
        return moved

    low, high = 0.0, float(np.linalg.norm(aim.start - aim.x)) / 2
    for _ in range(ROUNDS):
        step = (low + high) / 2
        if any(label_of(near(aim.start, step)) is None for _ in range(PROBES)):
            low = step
        else:
            high = step
        episode.replace_account()

    def adversarial(points: Array) -> Array:
        nonlocal left
        wrong = np.zeros(len(points), bool)
        for i, point in enumerate(points):
            label = label_of(point)
            while label is None:
                left -= 1
                if left < 0:
                    raise Spent
                label = label_of(near(point, 0.1 * high))
            wrong[i] = label != aim.label
        return wrong

    hop_skip_jump(adversarial, aim.x, aim.start, episode.rng, iterations=12, least_step=high)


def _hidden() -> list[Attack]:
    found = []
    for base in (HOP_SKIP_JUMP, BOUNDARY, SQUARE, JACOBIAN):
        central = base is HOP_SKIP_JUMP
        for name, (tactics, factor) in TACTICS.items():
            found.append(
                replace(
                    base,
                    name=f"{base.name}, {name}",
                    group="adaptive",
                    victims=VICTIMS if central else VICTIMS[:1],
                    tactics=tactics,
                    limit=QUERIES * factor,
                    episodes=None if base in (HOP_SKIP_JUMP, BOUNDARY) and factor <= 5 else 3,
                    quick=central or (base is BOUNDARY and name.startswith("dummies")),
                )
            )
    return found


ATTACKS = [
    Attack("HopSkipJump (own), golden ratio", "adaptive", VICTIMS, partial(jump, ratio=golden_ratio), goal=NEAR),
    Attack("HopSkipJump (own), random ratio", "adaptive", VICTIMS, partial(jump, ratio=random_ratio), goal=NEAR),
    Attack("OARS-lite", "adaptive", VICTIMS, oars, limit=6_000, goal=NEAR, enforced_only=True),
    *_hidden(),
]
