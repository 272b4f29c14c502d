"""Constraints: merging, and what happens to scores."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import constraints_reference as reference

from atlascore.constraints import Constraints

SCORES = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 0.05, 0.15, 0.25, 0.5, 1.0, math.nan, math.inf, -math.inf])
ROWS = st.integers(1, 6).flatmap(
    lambda classes: st.lists(st.lists(SCORES, min_size=classes, max_size=classes), min_size=1, max_size=4)
)
CONSTRAINTS = st.builds(
    Constraints,
    scores=st.none()
    | st.just("label_only")
    | st.fixed_dictionaries({"top_k": st.integers(1, 9)})
    | st.fixed_dictionaries({"decimals": st.integers(0, 9)}),
    drop_logprobs=st.booleans(),
    max_tokens=st.none() | st.integers(1, 9),
    n=st.none() | st.integers(1, 9),
    rate=st.none() | st.floats(0.1, 9),
    delay=st.none() | st.floats(0, 9),
)


def test_empty_constraints_are_falsy():
    assert not Constraints()
    assert not Constraints.from_dict({})
    assert Constraints(drop_logprobs=True)
    assert Constraints(delay=0.0)
    assert Constraints(scores={"decimals": 0})


def test_constraints_cannot_be_changed():
    constraints = Constraints(scores={"decimals": 1})
    with pytest.raises(AttributeError):
        constraints.n = 3
    with pytest.raises(TypeError):
        constraints.scores["decimals"] = 9


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"scores": "labels"}, "label_only"),
        ({"scores": {}}, "label_only"),
        ({"scores": {"top_k": 0}}, "top_k"),
        ({"scores": {"decimals": 16}}, "decimals"),
        ({"scores": {"decimals": 1.5}}, "decimals"),
        ({"scores": {"label_only": False}}, "label_only"),
        ({"drop_logprobs": 1}, "drop_logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": True}, "n must"),
        ({"rate": 0}, "rate"),
        ({"rate": math.inf}, "rate"),
        ({"delay": -1.0}, "delay"),
        ({"tokens": 5}, "unknown constraint 'tokens'"),
    ],
)
def test_wrong_values_are_named(values, error):
    with pytest.raises((TypeError, ValueError), match=error):
        Constraints.from_dict(values)


def test_merge_takes_the_strictest():
    a = Constraints(scores={"decimals": 2}, max_tokens=256, rate=2.0, delay=0.1)
    b = Constraints(scores={"decimals": 1}, drop_logprobs=True, max_tokens=64, n=1, delay=0.5)
    assert a.merge(b) == Constraints({"decimals": 1}, True, 64, 1, 2.0, 0.5)


def test_merge_keeps_rounding_beside_top_k():
    both = Constraints(scores={"top_k": 2}).merge(Constraints(scores={"decimals": 1}))
    assert both.scores == {"top_k": 2, "decimals": 1}
    assert both.apply_scores([0.62, 0.27, 0.11]).tolist() == [0.6, 0.3, 0.0]
    assert both.merge(Constraints(scores="label_only")).scores == {"label_only": True}


@given(CONSTRAINTS, CONSTRAINTS, CONSTRAINTS)
def test_merge_is_a_semilattice(a, b, c):
    assert a.merge(a) == a
    assert a.merge(b) == b.merge(a)
    assert hash(a.merge(b)) == hash(b.merge(a))
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(Constraints()) == a


@given(CONSTRAINTS)
def test_dictionaries_round_trip(constraints):
    assert Constraints.from_dict(constraints.to_dict()) == constraints
    assert bool(constraints) == bool(constraints.to_dict())


@given(ROWS)
def test_label_only_agrees_with_the_reference(rows):
    expected = [reference.label_only(row) for row in rows]
    np.testing.assert_array_equal(Constraints(scores="label_only").apply_scores(rows), expected)


@given(ROWS, st.integers(1, 7))
def test_top_k_agrees_with_the_reference(rows, k):
    expected = [reference.top_k(row, k) for row in rows]
    np.testing.assert_array_equal(Constraints(scores={"top_k": k}).apply_scores(rows), expected)


@given(ROWS, st.integers(0, 9))
def test_decimals_agrees_with_the_reference(rows, decimals):
    expected = [reference.decimals(row, decimals) for row in rows]
    np.testing.assert_array_equal(Constraints(scores={"decimals": decimals}).apply_scores(rows), expected)


@given(ROWS, CONSTRAINTS, st.sampled_from(["f2", "f4", "f8", ">f2", ">f4", ">f8"]))
def test_the_top_label_never_changes(rows, constraints, dtype):
    with np.errstate(over="ignore"):
        scores = np.array(rows, dtype=dtype)
    before = scores.copy()
    edited = constraints.apply_scores(scores)
    assert edited.shape == scores.shape
    assert edited.dtype == scores.dtype
    np.testing.assert_array_equal(scores, before)
    np.testing.assert_array_equal(edited, constraints.apply_scores(scores))
    np.testing.assert_array_equal(np.isnan(edited), np.isnan(scores))
    if scores.shape[1] > 1:
        for old, new in zip(scores.tolist(), edited.tolist(), strict=True):
            assert reference.top(new) == reference.top(old)


@pytest.mark.parametrize("constraint", ["label_only", {"top_k": 1}, {"decimals": 1}])
@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8", "g", ">i4", ">u2"])
def test_scores_of_other_byte_orders_and_sizes_are_scores(constraint, dtype):
    scores = (np.array([[0.126, 0.874, 0.0], [3, 2, 1]]) * 100).astype(dtype)
    constraints = Constraints(scores=constraint)
    edited = constraints.apply_scores(scores)
    assert edited.dtype == scores.dtype
    np.testing.assert_array_equal(edited, constraints.apply_scores(scores.astype(scores.dtype.newbyteorder("="))))


def test_a_tie_with_the_top_lowers_the_others():
    edited = Constraints(scores={"decimals": 1}).apply_scores(np.float32([0.52, 0.48, 0.0]))
    assert edited.dtype == np.float32
    np.testing.assert_allclose(edited, [0.5, 0.4, 0.0], rtol=1e-6)


def test_one_row_and_a_batch_are_edited_alike():
    constraints = Constraints(scores={"decimals": 1})
    rows = np.random.default_rng(1).random((5, 7))
    np.testing.assert_array_equal(
        constraints.apply_scores(rows), np.stack([constraints.apply_scores(row) for row in rows])
    )


def test_integers_keep_their_type():
    votes = np.array([[3, 9, 9], [2, 0, 1]], dtype=np.uint8)
    assert Constraints(scores="label_only").apply_scores(votes).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert Constraints(scores={"top_k": 2}).apply_scores(votes).tolist() == [[0, 9, 9], [2, 0, 1]]
    assert Constraints(scores={"decimals": 0}).apply_scores(votes).dtype == np.uint8


def test_without_a_score_constraint_a_copy_comes_back():
    scores = np.array([0.1, 0.9])
    edited = Constraints(n=1).apply_scores(scores)
    assert edited is not scores
    assert edited.tolist() == [0.1, 0.9]


@pytest.mark.parametrize(("scores", "error"), [(["a", "b"], TypeError), (0.5, ValueError), ([[[1.0]]], ValueError)])
def test_what_is_not_scores_is_refused(scores, error):
    with pytest.raises(error):
        Constraints(scores="label_only").apply_scores(scores)


def test_no_scores_stay_no_scores():
    assert Constraints(scores="label_only").apply_scores(np.zeros((0, 3))).shape == (0, 3)
