"""Kinds that any model has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.efficacy.benign.caller import Caller, Query
from bench.efficacy.domains import Array, Images, Texts

__all__ = [
    "canary",
    "data_generation",
    "load_test",
    "natural",
    "other_domain",
    "popular",
    "regression_test",
    "rescoring",
    "retries",
    "sorted_batch",
    "two_models",
]

DAY = 86_400.0


def natural(caller: Caller) -> Iterator[Query]:
    """Independent inputs at the pace of a person or a small service."""
    yield from caller.at(caller.natural(caller.queries), float(caller.rng.choice([0.5, 2.0, 10.0])))


def popular(caller: Caller) -> Iterator[Query]:
    """A few inputs are asked again and again."""
    pool = caller.natural(300)
    weights = 1 / np.arange(1, len(pool) + 1)
    yield from caller.at(pool[caller.rng.choice(len(pool), caller.queries, p=weights / weights.sum())], 1.0)


def sorted_batch(caller: Caller) -> Iterator[Query]:
    """A file sorted by class, as fast as it goes."""
    classes = caller.victim.domain.classes
    each = -(-caller.queries // classes)
    batch = np.concatenate([caller.natural(each, label) for label in range(classes)])
    yield from caller.at(batch[: caller.queries], 0.03)


def rescoring(caller: Caller) -> Iterator[Query]:
    """Every night the same customers, whose data have hardly changed."""
    nights = 3
    customers = caller.natural(caller.queries // nights)
    for night in range(nights):
        changed = caller.rng.random(len(customers)) < 0.1
        customers = customers.copy()
        customers[changed] = caller.natural(int(changed.sum()))
        for i, x in enumerate(customers):
            yield Query(caller.start + night * DAY + i * 0.02, x)


def regression_test(caller: Caller) -> Iterator[Query]:
    """The same inputs every day, to compare a model with itself."""
    days = 4
    fixed = caller.natural(caller.queries // days)
    for day in range(days):
        for i, x in enumerate(fixed):
            yield Query(caller.start + day * DAY + i * 0.05, x)


def two_models(caller: Caller) -> Iterator[Query]:
    """Every input goes to the model and to its successor."""
    time = caller.start
    for x in caller.natural(caller.queries // 2):
        time += caller.rng.exponential(1.0)
        yield Query(time, x)
        time += 0.01
        yield Query(time, x, second_model=True)


def retries(caller: Caller) -> Iterator[Query]:
    """A client that repeats after errors, and a queue that delivers some messages twice."""
    time = caller.start
    inputs = iter(caller.natural(caller.queries))
    left = caller.queries
    while left > 0:
        x = next(inputs)
        time += caller.rng.exponential(1.0)
        for attempt in range(4):
            failed = attempt < 3 and caller.rng.random() < 0.25
            yield Query(time, x, status=503 if failed else 200)
            left -= 1
            time += 0.5 * 2**attempt
            if not failed:
                break
        if caller.rng.random() < 0.1:
            yield Query(time, x)
            left -= 1


def load_test(caller: Caller) -> Iterator[Query]:
    """The owner sends a small set of inputs at a hundred queries per second."""
    pool = caller.natural(100)
    for i in range(caller.queries):
        yield Query(caller.start + i * 0.01, pool[i % len(pool)])


def canary(caller: Caller) -> Iterator[Query]:
    """Monitoring asks the same thing every ten seconds."""
    x = caller.natural(1)[0]
    for i in range(caller.queries):
        yield Query(caller.start + i * 10.0, x)


def data_generation(caller: Caller) -> Iterator[Query]:
    """Labels for a generated data set: mixtures of two natural inputs; for texts, prompts that ask for examples."""
    domain = caller.victim.domain
    a, b = caller.natural(caller.queries), caller.natural(caller.queries)
    if isinstance(domain, Texts):
        made = np.array([f"write {2 + i % 9} examples of messages like: {text}" for i, text in enumerate(a)], object)
    else:
        share = caller.rng.beta(2, 2, (caller.queries, 1))
        made = domain.snap(a * share + b * (1 - share))
    yield from caller.at(made, 0.2)


def other_domain(caller: Caller) -> Iterator[Query]:
    """A client whose inputs are of another world: inverted and mirrored images, shifted tables, other alphabets."""
    domain = caller.victim.domain
    x = caller.natural(caller.queries)
    yield from caller.at(domain.snap(_foreign(domain, x)), 1.0)


def _foreign(domain: object, x: Array) -> Array:
    if isinstance(domain, Texts):
        table = str.maketrans("abcdefghijklmnopqrstuvwxyz", "фисвуапршолдьтщзйкыегмцчня")
        return np.array([text.lower().translate(table) for text in x], object)
    if isinstance(domain, Images):
        foreign: Array = 1 - x.reshape(-1, domain.side, domain.side)[:, :, ::-1].reshape(len(x), -1)
        return foreign
    shifted: Array = x.copy()
    shifted[:, :4] = 1 - shifted[:, :4] * 0.7
    return shifted
