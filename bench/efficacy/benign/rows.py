"""Kinds in which a person or a tool changes single features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.efficacy.benign.caller import Caller, Query
from bench.efficacy.domains import NUMBERS, Array, Records

__all__ = ["bisecting_person", "form_editing", "grid_sweep", "slider"]


def slider(caller: Caller) -> Iterator[Query]:
    """What if this feature were a little higher? Equal steps, one feature of one input after another."""
    time = caller.start
    left = caller.queries
    while left > 0:
        x, feature = caller.natural(1)[0], _feature(caller)
        steps = np.linspace(0, 1, int(caller.rng.integers(20, 60)))
        for value in steps[:left]:
            time += 0.2
            yield Query(time, _set(caller, x, {feature: value}))
        left -= len(steps)
        time += caller.rng.exponential(60.0)


def grid_sweep(caller: Caller) -> Iterator[Query]:
    """Two features of one input over a grid."""
    x = caller.natural(1)[0]
    first, second = caller.rng.choice(_features(caller), 2, replace=False)
    side = int(np.sqrt(caller.queries))
    for i in range(side * side):
        values = {int(first): (i // side) / (side - 1), int(second): (i % side) / (side - 1)}
        yield Query(caller.start + 0.1 * i, _set(caller, x, values))


def bisecting_person(caller: Caller) -> Iterator[Query]:
    """Where does the decision change? One to three times; the other queries are ordinary ones."""
    time = caller.start
    inputs = caller.natural(caller.queries)
    rounds = {int(i) for i in caller.rng.integers(0, caller.queries, int(caller.rng.integers(1, 4)))}
    feature = _feature(caller)
    for i, x in enumerate(inputs):
        time += caller.rng.exponential(5.0)
        yield Query(time, x)
        if i not in rounds:
            continue
        low, high = 0.0, 1.0
        label = caller.victim.labels(_set(caller, x, {feature: low})[None])[0]
        for value in (low, high, *[0.0] * int(caller.rng.integers(6, 11))):
            middle = (low + high) / 2 if value == 0.0 else value
            candidate = _set(caller, x, {feature: middle})
            time += caller.rng.exponential(4.0)
            yield Query(time, candidate)
            if caller.victim.labels(candidate[None])[0] == label:
                low = middle
            else:
                high = middle


def form_editing(caller: Caller) -> Iterator[Query]:
    """A form that is scored after every change of one to three fields."""
    time = caller.start
    left = caller.queries
    while left > 0:
        x = caller.natural(1)[0]
        for _ in range(min(left, int(caller.rng.integers(3, 12)))):
            other = caller.natural(1)[0]
            fields = caller.rng.choice(len(x), int(caller.rng.integers(1, 4)), replace=False)
            x = x.copy()
            x[fields] = other[fields]
            time += caller.rng.exponential(3.0)
            yield Query(time, x)
            left -= 1


def _features(caller: Caller) -> Array:
    """Those that a slider can move; of images the middle, where something is to be seen."""
    domain = caller.victim.domain
    if isinstance(domain, Records):
        return np.arange(len(NUMBERS))
    return np.arange(domain.width // 3, domain.width * 2 // 3)


def _feature(caller: Caller) -> int:
    return int(caller.rng.choice(_features(caller)))


def _set(caller: Caller, x: Array, values: dict[int, float]) -> Array:
    changed = x.copy()
    for feature, value in values.items():
        changed[feature] = value
    snapped: Array = caller.victim.domain.snap(changed[None])[0]
    return snapped
