"""Extraction attacks of ART: they ask natural inputs only."""

from __future__ import annotations

from functools import partial

import numpy as np
from art.attacks.extraction import CopycatCNN, KnockoffNets  # type: ignore[import-untyped]

from bench.efficacy.attacks.art_classifier import Thief, classifier
from bench.efficacy.attacks.extraction import CLONED
from bench.efficacy.episode import Attack, Episode

__all__ = ["ATTACKS"]

QUERIES, QUERIES_OF_FOREST = 1_500, 5_000  # the latter reaches its extraction budget
QUERIES_ADAPTIVE = 600  # ART takes a millisecond for each


def knockoff(episode: Episode, strategy: str) -> None:
    episode.learn = True
    domain = episode.victim.domain
    queries = QUERIES_ADAPTIVE if strategy == "adaptive" else _queries(episode)
    labels = episode.rng.integers(0, domain.classes, queries)
    x = np.concatenate([episode.natural(int((labels == label).sum()), label) for label in range(domain.classes)])
    attack = KnockoffNets(
        classifier(episode), 64, 64, 1, queries, sampling_strategy=strategy, use_probability=True, verbose=False
    )
    one_hot = np.eye(domain.classes)[np.sort(labels)] if strategy == "adaptive" else None
    try:
        attack.extract(x.astype(np.float32), one_hot, thieved_classifier=Thief(domain.width, domain.classes))
    except ValueError as error:
        # The exponentials of the adaptive strategy's preferences overflow in some long runs: the attack ends there.
        if strategy != "adaptive" or "probabilities contain NaN" not in str(error):
            raise


def copycat(episode: Episode) -> None:
    episode.learn = True
    domain = episode.victim.domain
    queries = _queries(episode)
    attack = CopycatCNN(classifier(episode), 64, 64, 1, queries)
    x = episode.natural(queries).astype(np.float32)
    attack.extract(x, thieved_classifier=Thief(domain.width, domain.classes))


def _queries(episode: Episode) -> int:
    return QUERIES_OF_FOREST if episode.victim.name == "V3-rf" else QUERIES


NATURAL = "extraction, natural inputs"
SEEN_BY = ("api.extraction_budget_used", "api.coverage")

ATTACKS = [
    Attack(
        "KnockoffNets random", NATURAL, ("V1-mlp", "V2-mlp", "V3-rf"), partial(knockoff, strategy="random"),
        goal=CLONED, signals=SEEN_BY, limit=QUERIES_OF_FOREST,
    ),
    Attack(
        "KnockoffNets adaptive", NATURAL, ("V1-mlp", "V2-mlp"), partial(knockoff, strategy="adaptive"),
        goal=CLONED, signals=SEEN_BY, limit=QUERIES_OF_FOREST,
    ),
    Attack(
        "CopycatCNN", NATURAL, ("V1-mlp", "V2-mlp", "V3-rf"), copycat, goal=CLONED, signals=SEEN_BY,
        limit=QUERIES_OF_FOREST,
    ),
]  # fmt: skip
