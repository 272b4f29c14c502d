"""Ordinary callers, most of them of the kinds that look like attacks to somebody.

A kind is one small generator: it is given who asks what model from when on, and yields queries in time order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.efficacy.benign import images, rows, texts, traffic
from bench.efficacy.benign.caller import Caller, Query

__all__ = ["KINDS", "Caller", "Query", "kinds_of", "reseller"]

Kind = Callable[[Caller], Iterator[Query]]

_EVERY = ("vector", "image", "row", "text")
_DENSE = ("vector", "image", "row")
_IMAGES = ("vector", "image")
_TABLES = ("row",)
_TEXTS = ("text",)


def reseller(caller: Caller) -> Iterator[Query]:
    """A mixture: twenty customers of other kinds behind one account, interleaved at random."""
    kinds = [kind for name, kind in kinds_of(caller.victim.domain.modality).items() if name not in NOT_RESOLD]
    chosen = [kinds[i] for i in caller.rng.integers(0, len(kinds), 20)]
    customers = [kind(caller.with_queries(max(10, caller.queries // 10))) for kind in chosen]
    time = caller.start
    for _ in range(caller.queries):
        while customers:
            i = int(caller.rng.integers(0, len(customers)))
            query = next(customers[i], None)
            if query is not None:
                break
            customers.pop(i)
        else:
            return
        time += caller.rng.exponential(1.0)
        yield query._replace(time=time)


KINDS: dict[str, tuple[tuple[str, ...], Kind]] = {
    "natural i.i.d.": (_EVERY, traffic.natural),
    "Zipf-popular inputs": (_EVERY, traffic.popular),
    "class-sorted batch": (_EVERY, traffic.sorted_batch),
    "nightly full rescoring": (_EVERY, traffic.rescoring),
    "retraining and regression test": (_EVERY, traffic.regression_test),
    "A/B test on two models": (_EVERY, traffic.two_models),
    "video morph": (_IMAGES, images.morph),
    "static camera, 8-bit grid": (_IMAGES, images.camera_on_grid),
    "static camera, float": (_IMAGES, images.camera_in_float),
    "static camera on a boundary": (_IMAGES, images.camera_on_boundary),
    "sensor series, sliding window": (_IMAGES, images.sliding_window),
    "retries and at-least-once delivery": (_EVERY, traffic.retries),
    "test-time augmentation x6": (_IMAGES, images.augmentation),
    "what-if slider": (_DENSE, rows.slider),
    "2-D grid sweep": (_DENSE, rows.grid_sweep),
    "a person bisecting a slider": (_DENSE, rows.bisecting_person),
    "form editing": (_TABLES, rows.form_editing),
    "autocomplete prefixes": (_TEXTS, texts.autocomplete),
    "templated production prompts": (_TEXTS, texts.templated),
    "few-shot prompts": (_TEXTS, texts.few_shot),
    "load test by the owner": (_EVERY, traffic.load_test),
    "monitoring canary": (_EVERY, traffic.canary),
    "synthetic-data generation": (_EVERY, traffic.data_generation),
    "reseller account": (_EVERY, reseller),
    "client with another domain": (_EVERY, traffic.other_domain),
}
NOT_RESOLD = {"reseller account", "static camera on a boundary", "load test by the owner", "A/B test on two models"}


def kinds_of(modality: str) -> dict[str, Kind]:
    """The kinds that ask models of this modality, by name."""
    return {name: kind for name, (modalities, kind) in KINDS.items() if modality in modalities}
