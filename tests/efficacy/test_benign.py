from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bench.efficacy.benign import KINDS, Caller, Query, kinds_of
from bench.efficacy.randomness import generator
from bench.efficacy.victims import victim

ASKED = {"vector": "V1-mlp", "image": "V2-mlp", "row": "V4-gb", "text": "V5-text"}
CASES = [(kind, ASKED[modality]) for kind, (modalities, _) in KINDS.items() for modality in modalities]


def queries(kind: str, name: str, seed: int = 0) -> list[Query]:
    caller = Caller(victim(name), generator(seed, kind), 60, 1_000.0)
    return list(KINDS[kind][1](caller))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_inputs_are_finite_in_time_order_and_repeatable(kind: str, name: str) -> None:
    stream = queries(kind, name)
    domain = victim(name).domain
    assert len(stream) >= 20
    assert stream[0].time >= 1_000.0
    assert all(a.time <= b.time for a, b in pairwise(stream))
    if domain.modality == "text":
        assert all(isinstance(query.x, str) and query.x for query in stream)
    else:
        x = np.stack([query.x for query in stream])
        assert x.shape == (len(stream), domain.width)
        assert np.isfinite(x).all()
    again = queries(kind, name)
    assert [query.time for query in again] == [query.time for query in stream]
    assert all(np.array_equal(a.x, b.x) for a, b in zip(stream, again, strict=True))


@pytest.mark.parametrize("kind", ["natural i.i.d.", "static camera, 8-bit grid", "video morph"])
def test_what_claims_to_be_on_the_grid_is(kind: str) -> None:
    x = np.stack([query.x for query in queries(kind, "V1-mlp")])
    assert np.allclose(x * 16, np.rint(x * 16))


def test_a_float_camera_is_off_the_grid() -> None:
    x = np.stack([query.x for query in queries("static camera, float", "V1-mlp")])
    assert (np.abs(x * 16 - np.rint(x * 16)) > 1e-3).mean() > 0.4


def test_a_camera_on_a_boundary_stands_there() -> None:
    model = victim("V1-mlp")
    stream = list(KINDS["static camera on a boundary"][1](Caller(model, generator(0, "camera"), 520, 0.0)))
    scores = np.sort(model.scores(np.stack([query.x for query in stream[-500:]])), axis=1)
    assert np.median(scores[:, -1] - scores[:, -2]) < 0.4


def test_every_modality_has_kinds() -> None:
    assert all(len(kinds_of(modality)) >= 12 for modality in ASKED)
