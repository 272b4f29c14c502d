"""WindowTable against its twins: any order of events, several windows and keys at once; and its error."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.windows_reference import BUCKETS, BucketWindow, ExactWindow

import atlascore as ac
from atlascore.windows import WindowTable

HORIZONS = st.lists(st.floats(0.01, 1e6) | st.sampled_from([1.0, 10.0, 60.0, 300.0, 3600.0]), min_size=1, max_size=8)
STARTS = st.sampled_from([0.0, 1.0, 1.7e9, 4.2e9]) | st.floats(0, 4e9)
GAPS = st.one_of(
    st.just(0.0), st.floats(0, 1), st.floats(0, 60), st.floats(0, 1e5), st.floats(-1, 0), st.floats(-100, 0)
)
EVENTS = st.lists(st.tuples(st.integers(0, 2), GAPS, st.integers(1, 50)), min_size=1, max_size=80)


def times(start, events):
    now = start
    for key, gap, n in events:
        now = max(0.0, min(4294967295.0, now + gap))
        yield key, now, n


@settings(max_examples=100, deadline=None)
@given(HORIZONS, STARTS, EVENTS)
def test_equals_the_buckets_of_the_specification(horizons, start, events):
    table = WindowTable(1000, horizons)
    twins = [[BucketWindow(horizon) for horizon in horizons] for _ in range(3)]
    late = 0
    for key, now, n in times(start, events):
        counts = table.hit(f"key {key}", now, n)
        counted = [twin.hit(now, n) for twin in twins[key]]
        late += not all(counted)
        expected = [twin.count(now) for twin in twins[key]]
        assert counts == pytest.approx(expected, rel=1e-12, abs=1e-9)
        assert table.read(f"key {key}", now) == counts
    assert table.stats()["late"] == late
    assert len(table) == len({key for key, _, _ in events})


@settings(max_examples=100, deadline=None)
@given(
    HORIZONS,
    STARTS,
    st.lists(st.tuples(st.floats(0, 1) | st.floats(0, 1000), st.integers(1, 50)), min_size=1),
)
def test_is_within_one_bucket_of_the_exact_window(horizons, start, gaps):
    """Between the exact counts of windows one bucket shorter and longer, never less than what just came."""
    table = WindowTable(10, horizons)
    exact = ExactWindow()
    now = start
    for gap, n in gaps:
        now += gap
        exact.hit(now, n)
        for horizon, count in zip(horizons, table.hit("key", now, n), strict=True):
            width = horizon / (BUCKETS - 1)
            blur = 4 * math.ulp(now)  # a time on the edge between two buckets
            assert exact.count(now, horizon - width - blur) <= count + 1e-9
            assert count <= exact.count(now, horizon + width + blur) + 1e-9
            assert count >= n


@settings(max_examples=100, deadline=None)
@given(st.floats(1, 1e5), STARTS, st.lists(st.floats(0, 1), min_size=1, max_size=100))
def test_is_exact_until_the_oldest_bucket_holds_events(horizon, start, shares):
    """A reader that has seen less than the whole buckets' time has nothing to interpolate."""
    table = WindowTable(10, [horizon])
    span = horizon * (BUCKETS - 3) / (BUCKETS - 1)
    for number, share in enumerate(sorted(shares), 1):
        assert table.hit("key", start + share * span) == (number,)


WINDOWS = st.sampled_from(["1s", "9s", "10s", "15s", "20s", "24s", "1m", "5m", "1h", "30d"])


@functools.cache
def limit_of(most: int, window: str) -> ac.Policy:
    limit = f"{{name: a, max: {most}, window: {window}}}"
    return ac.Policy.from_text(f"{{version: 1, mode: enforce, limits: [{limit}]}}")


@settings(max_examples=100, deadline=None)
@given(
    WINDOWS,
    STARTS,
    st.sampled_from([1, 2, 7, 30]),
    st.lists(st.floats(0, 0.3) | st.just(0.0), min_size=1, max_size=200),
)
def test_a_limit_never_admits_more_than_its_max(window, start, most, shares):
    """In no window of its length, at any time; and it refuses at most a 31st of the window too early."""
    policy = limit_of(most, window)
    seconds = policy.resolved()["limits"][0]["window"]
    admitted = ExactWindow()
    now = start
    with ac.Engine(policy, capacity=10) as engine:
        route = engine.route("m")
        for share in shares:
            now += share * seconds
            if now > 4294967295:
                break
            blur = 4 * math.ulp(now)
            if route.decide("p", None, now).action == ac.Action.ALLOW:
                admitted.hit(now)
                assert admitted.count(now, seconds - blur) <= most
            else:
                assert admitted.count(now, seconds * 32 / 31 + blur) >= most


def poisson(rng, rate, duration):
    return np.cumsum(rng.exponential(1 / rate, int(rate * duration)))


def bursty(rng, rate, duration):
    """Bursts of 5 to 60 events within a second or so, with silence between them."""
    starts = np.cumsum(rng.exponential(32 / rate, int(rate * duration / 32)))
    bursts = [start + np.sort(rng.uniform(0, rng.uniform(0.1, 2), rng.integers(5, 61))) for start in starts]
    return np.sort(np.concatenate(bursts))


@pytest.mark.parametrize("traffic", [poisson, bursty])
@pytest.mark.parametrize("per_window", [100, 200, 1000])
@pytest.mark.parametrize("horizon", [10.0, 300.0, 3600.0])
def test_mean_error_is_at_most_two_percent(traffic, per_window, horizon):
    """Mean over the readings of |reading - exact| / exact, where the exact count is at least 100."""
    rng = np.random.default_rng(int(per_window + horizon))
    rate = 1.15 * per_window / horizon
    arrivals = 1.7e9 + traffic(rng, rate, 20_000 / rate)
    table = WindowTable(10, [horizon])
    readings = np.array([table.hit("key", float(now))[0] for now in arrivals])
    exact = np.arange(1, len(arrivals) + 1) - np.searchsorted(arrivals, arrivals - horizon, side="right")
    counted = exact >= 100
    assert counted.sum() > 1000
    error = np.abs(readings - exact)[counted] / exact[counted]
    assert error.mean() <= 0.02, error.mean()
