"""The evidence twin on sequences whose statistics can be written down."""

import math

import numpy as np
import pytest
from tests.reference import evidence_reference as evidence
from tests.reference.evidence_reference import Evidence, readings

from atlascore import _core


def test_nineteen_words_in_eight_families():
    assert len(evidence.COMPONENTS) == 19
    for family, groups in evidence.FAMILIES.items():
        names = [name for group in groups for name in group]
        assert names == [c.name for c in evidence.COMPONENTS if c.family == family]


def test_the_likelihood_ratio_has_mean_one_at_p0():
    for component in evidence.COMPONENTS:
        hit, miss = math.exp(component.log_ratio(True)), math.exp(component.log_ratio(False))
        assert component.p0 * hit + (1 - component.p0) * miss == pytest.approx(1)


def test_hits_and_misses_by_hand():
    track = Evidence()
    track.observe("halving", True, 0)
    assert track.ratio("halving", 0) == pytest.approx(100)
    track.observe("halving", True, 0)
    assert track.ratio("halving", 0) == pytest.approx(10_100)
    track.observe("halving", False, 0)
    assert track.ratio("halving", 0) == pytest.approx(10_101 * 0.9 / 0.999, rel=1e-5)
    track.observe("halving", None, 0)
    assert track.ratio("halving", 0) == pytest.approx(9_100, rel=1e-4)
    assert track.family("line_search", 0) == pytest.approx(4_550, rel=1e-4)


def test_quiet_history_buys_no_credit():
    quiet, fresh = Evidence(), Evidence()
    for _ in range(1000):
        quiet.observe("flip", False, 0)
    quiet.observe("flip", True, 0)
    fresh.observe("flip", True, 0)
    assert quiet.ratio("flip", 0) >= fresh.ratio("flip", 0)


def test_floor_and_cap():
    assert evidence.updated(27.63, 5.0) == np.float32(27.63)
    assert evidence.decayed(-19.99, 86400) == -20
    assert evidence.softplus(-20) == pytest.approx(2.06e-9, rel=0.01)
    assert evidence.softplus(14.99) == pytest.approx(evidence.softplus(15.0) - 0.01, abs=1e-6)


def test_decay_halves_in_a_day_and_needs_a_month_from_the_cap():
    track = Evidence()
    for _ in range(20):
        for name in ("halving", "collinear_flip"):
            track.observe(name, True, 0)
    day = 86400
    assert track.ratio("halving", day) == pytest.approx(track.ratio("halving", 0) / 2, rel=1e-5)
    assert readings(track, 28 * day, False)["evidence.total"] > 3
    assert readings(track, 30 * day, False)["evidence.total"] < 3


def test_time_never_runs_backwards():
    track = Evidence()
    track.observe("flip", True, 100_000.9)
    track.observe("flip", True, 0)
    assert track.words["flip"].seconds == 100_000
    assert track.ratio("flip", 0) == pytest.approx(3.5 * 4.5, rel=1e-6)


def test_families_and_total():
    track = Evidence()
    for _ in range(4):
        track.observe("halving", True, 0)
    line = track.ratio("halving", 0)
    found = readings(track, 0, row=False)
    assert found["evidence.line_search"] == pytest.approx(math.log10(1 + line / 2))
    assert found["evidence.total"] == pytest.approx(math.log10(1 + line / 6))
    assert found["evidence.families"] == 1
    assert found["evidence.boundary"] == found["evidence.synthetic"] == 0
    for name in ("halving", "collinear_flip"):
        for _ in range(3):
            track.observe(name, True, 0)
    assert readings(track, 0, row=False)["evidence.families"] == 2
    assert readings(track, 0, row=True)["evidence.families"] == 1


def test_climbs_are_averaged_before_they_count():
    track = Evidence()
    track.observe("climb_descent", True, 0)
    assert track.family("coordinate", 0) == pytest.approx(2.55 / 6)


def test_context_families_never_enter_the_total():
    track = Evidence()
    for _ in range(30):
        track.observe("far", True, 0)
        track.observe("off_grid", True, 0)
    found = readings(track, 0, row=False)
    assert found["evidence.synthetic"] == pytest.approx(12, abs=0.01)
    assert found["evidence.total"] == found["evidence.families"] == 0


def test_a_member_reads_the_mean_of_itself_and_its_cluster():
    track, cluster = Evidence(), Evidence()
    cluster.observe("flip", True, 0)
    found = readings(track, 0, False, cluster)
    assert found["evidence.boundary"] == pytest.approx(math.log10(1 + 3.5 / 4))


def test_a_component_that_is_switched_off_counts_as_nothing():
    track = Evidence(off={"flip"})
    track.observe("flip", True, 0)
    assert track.family("boundary", 0) == 0


def test_few_honest_tracks_reach_a_thousand():
    """P(R reaches c within n observations) <= n / c, for a mean of components too."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(300):
        track = Evidence()
        highest = 0.0
        for _ in range(100):
            for name in ("flip", "fine_flip"):
                track.observe(name, bool(rng.random() < evidence.BY_NAME[name].p0), 0)
            highest = max(highest, track.family("boundary", 0))
        alarms += highest >= 1000
    assert alarms / 300 <= 0.1


def test_the_core_has_the_components_of_the_specification():
    """As far as it has them: p0, p1, family and weight."""
    built = _core.evidence_components()
    assert {entry["family"] for entry in built if entry["strict"]} == set(evidence.STRICT)
    for entry in built:
        component = evidence.BY_NAME[entry["name"]]
        assert (component.family, component.p0, component.p1) == (entry["family"], entry["p0"], entry["p1"])
        groups = evidence.FAMILIES[component.family]
        group = next(group for group in groups if entry["name"] in group)
        assert entry["weight"] == 1 / len(groups) / len(group)
