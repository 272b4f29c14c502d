"""Streams of queries through history, F_ref and scale learning, against their twin."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import similarity_reference as reference

from atlascore._core import testing_similarity as core

WINDOW = 300.0
SEEDS = st.integers(0, 2**32 - 1)


def assert_same(found, expected, at):
    for name, wanted in expected.items():
        value = found[name]
        if isinstance(wanted, float):
            # Of two energies that are nearly equal either may be the larger: one step of the rank, of 28 or more.
            error = 1 / 28 if name == "rank" else 1e-3
            near = math.isclose(value, wanted, abs_tol=error) or (math.isinf(value) and math.isinf(wanted))
            assert near or (math.isnan(value) and math.isnan(wanted)), (at, name, found, expected)
        else:
            assert value == wanted, (at, name, found, expected)


class Times:
    """Mostly forward, sometimes back, sometimes after a long silence."""

    def __init__(self, rng):
        self.rng, self.now = rng, 1000.0

    def next(self) -> float:
        self.now += float(self.rng.exponential(5.0))
        if self.rng.random() < 0.003:
            self.now += 3000
        return self.now - 20 * (self.rng.random() < 0.05)


def dense_inputs(rng, width):
    centers = rng.normal(size=(40, width))
    last: dict[str, np.ndarray] = {}

    def draw(principal):
        choice = rng.random()
        if choice < 0.1 and principal in last:
            x = last[principal]
        elif choice < 0.3 and principal in last:
            x = last[principal] + rng.normal(size=width) * rng.choice([1e-3, 0.01, 0.03, 0.1])
        elif choice < 0.32:
            x = np.full(width, 7.0)
        else:
            x = centers[rng.integers(40)] * rng.uniform(0.5, 1) + rng.normal(size=width) * 0.3
        last[principal] = x.astype(np.float32)
        return last[principal]

    return draw


def text_inputs(rng):
    words = ["".join(rng.choice(list("abcdefghijé漢 ß"), size=rng.integers(2, 8))) for _ in range(200)]
    last: dict[str, str] = {}

    def draw(principal):
        choice = rng.random()
        if choice < 0.1 and principal in last:
            text = last[principal]
        elif choice < 0.3 and principal in last:
            text = last[principal] + " " + words[rng.integers(200)]
        else:
            text = " ".join(words[i] for i in rng.integers(200, size=rng.integers(1, 30)))
        last[principal] = text
        return text

    return draw


@pytest.mark.parametrize(("principals", "count"), [(40, 1600), (10, 1600), (1, 900)])
@settings(max_examples=3, deadline=None)
@given(seed=SEEDS, width=st.sampled_from([5, 64, 100]))
def test_dense_streams(principals, count, seed, width):
    rng = np.random.default_rng(seed)
    times, draw = Times(rng), dense_inputs(rng, width)
    fast, slow = core(seed, WINDOW, 0.25, 0.5), reference.Replay(seed, WINDOW, 0.25, 0.5)
    for at in range(count):
        principal, now = f"p{rng.integers(principals)}", times.next()
        x = draw(principal)
        assert_same(fast.dense(principal, x, now), slow.dense(principal, core.tag(principal), x, now), at)
    assert fast.references()["samples"] == len(slow.references.samples)
    assert (slow.references.manifold is not None) == (principals > 1)


@settings(max_examples=3, deadline=None)
@given(seed=SEEDS)
def test_text_streams(seed):
    rng = np.random.default_rng(seed)
    times, draw = Times(rng), text_inputs(rng)
    fast, slow = core(seed, WINDOW), reference.Replay(seed, WINDOW)
    for at in range(1300):
        principal, now = f"p{rng.integers(25)}", times.next()
        text = draw(principal)
        assert_same(fast.text(principal, text, now), slow.text(principal, core.tag(principal), text, now), at)
    assert fast.references()["calibrated"]


def test_the_same_stream_gives_the_same_numbers():
    def run():
        rng = np.random.default_rng(3)
        replay, draw = core(11, WINDOW, 0.0, 1.0), dense_inputs(rng, 80)
        return [str(replay.dense(f"p{i % 20}", draw(f"p{i % 20}"), float(i))) for i in range(1500)]

    assert run() == run()


def test_ordinary_traffic_has_uniform_survival():
    """Calibrated on independent inputs that are all equally far from the others, u is uniform on [0, 1]."""
    rng = np.random.default_rng(0)
    replay = core(5, 1e9, 0.0, 1.0)
    survivals = []
    for i in range(6000):
        x = rng.normal(size=32)
        seen = replay.dense(f"p{i % 30}", (x / np.linalg.norm(x)).astype(np.float32), float(i))
        if seen["calibrated"] and seen["entries"] == 26:
            survivals.append(seen["survival"])
    assert len(survivals) > 500
    assert np.mean(survivals) == pytest.approx(0.5, abs=0.06)
    assert np.std(survivals) == pytest.approx(12**-0.5, abs=0.06)


def test_the_score_needs_eight_compared_queries():
    rng = np.random.default_rng(1)
    replay = core(5, WINDOW, 0.0, 1.0)
    scores = [replay.dense("p", rng.normal(size=8).astype(np.float32), 1.0)["score"] for _ in range(9)]
    assert all(math.isnan(score) for score in scores[:8])  # the first query had nothing to be compared with
    assert not math.isnan(scores[8])


@pytest.mark.parametrize("width", [3, 100, 1024])
def test_the_learned_scale_is_robust(width):
    rng = np.random.default_rng(width)
    rows = (rng.normal(size=(1000, width)) * np.linspace(0.1, 50, width) + 3).astype(np.float32)
    rows[:, 0] = 4.0
    replay = core(5, WINDOW)
    for i, row in enumerate(rows):
        epoch = replay.references()["epoch"]
        assert epoch == (0 if i == 0 else 1 if i < 16 else 2)
        replay.dense(f"p{i % 8}", row, float(i))
    assert replay.references()["epoch"] == 3
    center, scale = reference.robust_scale(rows)
    # Above width 128 the quartiles come from a sample of the rows.
    tolerance = 1e-5 if width * 1000 <= 131072 else 0.5
    found = np.array(replay.learned(width, True)), 1 / np.array(replay.learned(width, False))
    assert np.all(np.abs(found[0] - center) <= tolerance * scale)
    assert np.allclose(found[1][1:], scale[1:], rtol=max(tolerance, 1e-5) * 1.2)


def test_wide_inputs_share_one_scale():
    rng = np.random.default_rng(2)
    replay = core(5, WINDOW)
    for i in range(1000):
        replay.dense(f"p{i % 8}", (rng.normal(size=3000) * 5 + 2).astype(np.float32), float(i))
    assert replay.learned(3000, True)[0] == pytest.approx(2, abs=0.1)
    assert 1 / replay.learned(3000, False)[0] == pytest.approx(5, rel=0.05)


def test_few_principals_freeze_the_scale_late():
    replay = core(5, WINDOW)
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(10_000, 4)).astype(np.float32)
    for i, row in enumerate(rows):
        assert replay.references()["epoch"] < 3
        replay.dense("only", row, float(i))
    assert replay.references()["epoch"] == 3
