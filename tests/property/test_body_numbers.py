"""Reading numbers straight from a body gives what decoding the whole body gives."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atlascore.adapters.body import decode
from atlascore.adapters.shapes import find

NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
ROWS = st.integers(0, 4).flatmap(lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), max_size=4))
CUBES = st.lists(st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=2, max_size=2), max_size=3)
OTHERS = st.recursive(
    NUMBERS | st.booleans() | st.none() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=8,
)
INSTANCES = st.lists(NUMBERS, max_size=5) | ROWS | CUBES | OTHERS
PATHS = st.sampled_from(["/v1/models/m:predict", "/v1/models/m:explain", "/v2/models/m/infer", "/invocations"])


@given(PATHS, INSTANCES, st.dictionaries(st.sampled_from(["inputs", "dataframe_records", "x"]), OTHERS, max_size=2))
def test_numbers_of_a_body(path, instances, others):
    endpoint = find("POST", path)
    body = json.dumps(others | {"instances": instances}).encode()
    quick = endpoint.shape.ask_numbers(body, endpoint.model)
    if quick is not None:
        asked = endpoint.shape.ask(decode(body), endpoint.model, ())
        assert quick.model == asked.model
        assert quick.x.dtype == asked.x.dtype == np.float32
        assert np.array_equal(quick.x, asked.x)


@given(CUBES.filter(bool), st.sampled_from(["/v1/models/m:predict", "/v1/models/m:explain"]))
def test_plain_numbers_take_the_short_way(instances, path):
    endpoint = find("POST", path)
    assert endpoint.shape.ask_numbers(json.dumps({"instances": instances}).encode(), "m") is not None


@given(st.binary(max_size=40))
def test_any_bytes_are_answered(body):
    assert find("POST", "/v1/models/m:predict").shape.ask_numbers(body, "m") is None
