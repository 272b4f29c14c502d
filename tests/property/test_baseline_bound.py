"""The bound of a component's hit rate against its twin, and against what it promises."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.baseline_reference import STEPS, beginning, said

from atlascore.cli.bounds import Measured, measure, upper_bound


def counts_of(callers: list[list[bool]]) -> list[tuple[int, int, int, int]]:
    starts = [caller[: beginning(len(caller))] for caller in callers]
    return [(len(all_), sum(all_), len(some), sum(some)) for all_, some in zip(callers, starts, strict=True)]


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60), max_size=25),
    rates=st.lists(st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.9, 1.0]), min_size=1, max_size=4),
    p0=st.sampled_from([Fraction(1, 5), Fraction(1, 10), Fraction(1, 2), Fraction(1, 20), Fraction(1, 100)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_bound_and_twin_agree(sizes: list[int], rates: list[float], p0: Fraction, seed: int) -> None:
    random = np.random.default_rng(seed)
    callers = [(random.random(n) < rates[i % len(rates)]).tolist() for i, n in enumerate(sizes)]
    ours, theirs = measure(counts_of(callers), float(p0)), said(callers, p0)
    assert ours.bound == pytest.approx(theirs.bound, abs=2 / STEPS)
    assert ours.outcome == theirs.outcome
    assert [(c.principals, c.observations, c.hits) for c in ours.classes] == theirs.classes
    assert (ours.observations, ours.hits) == (sum(map(len, callers)), sum(map(sum, callers)))


def draw(random: np.random.Generator, rates: np.ndarray, each: int) -> Measured:
    hits = random.random((len(rates), each)) < rates[:, None]
    first = beginning(each)
    columns = np.full(len(rates), each), hits.sum(1), np.full(len(rates), first), hits[:, :first].sum(1)
    return measure(np.stack(columns, 1), 0.1)


def test_the_bound_holds_however_many_callers_there_are_to_choose_from() -> None:
    """All alike: the true rate of any class is known. And honest callers at half of p0 pass."""
    random = np.random.default_rng(1)
    results = [draw(random, np.full(200, 0.05), 60) for _ in range(400)]
    assert np.mean([result.bound >= 0.05 for result in results]) >= 0.93
    assert np.mean([result.outcome == "kept" for result in results]) >= 0.95
    assert len(results[0].classes) == 10
    # What is avoided: the twenty who hit most often, measured by what they were chosen by.
    hits = (random.random((200, 60)) < 0.05).sum(1)
    assert upper_bound(int(np.sort(hits)[-20:].sum()), 20 * 60) > 0.1


def test_a_tenth_that_hits_too_often_is_found_among_the_rest() -> None:
    random = np.random.default_rng(2)
    rates = np.where(np.arange(200) % 10 == 0, 0.2, 0.02)
    results = [draw(random, rates, 60) for _ in range(200)]
    assert np.mean(rates) < 0.04, "the rate of all is harmless"
    assert np.mean([result.outcome == "off" for result in results]) >= 0.95


@pytest.mark.parametrize(
    ("made", "hits", "outcome"),
    [
        (40, 0, "not measured"),
        (45, 0, "kept"),
        (40, 1, "not measured"),
        (40, 12, "not measured"),
        (0, 0, "not measured"),
    ],
)
def test_few_observations_change_nothing_unless_their_hits_are_beyond_chance(
    made: int, hits: int, outcome: str
) -> None:
    """Of one caller with the p0 of flips: 29 later observations are needed, and 45 begin with 16."""
    measured = measure([(made, hits, beginning(made), 0)], 0.1)
    assert measured.outcome == outcome, measured


def test_few_observations_of_several_callers_can_switch_off_and_of_one_caller_cannot() -> None:
    several = [(10, 5, beginning(10), 2)] * 4
    one = [(10, 10, beginning(10), beginning(10)), *[(10, 0, beginning(10), 0)] * 3]
    assert [measure(callers, 0.1).outcome for callers in (several, one)] == ["off", "not measured"]
