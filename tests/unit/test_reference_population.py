"""The population twin on small populations whose signals can be counted by hand."""

import math

import numpy as np
import pytest
from tests.reference import population_reference as reference

DAY = 86400.0


def hashes(*values):
    return [reference.value_hash(i, str(value).encode()) for i, value in enumerate(values)]


def person(record, *values):
    """Records differ in two features at least: else they are twins of each other."""
    return hashes(record, f"person {record}", *values)


def test_twin_records_differ_in_one_feature():
    twins = reference.TwinRecords(4)
    for record in range(2):
        for married in ("yes", "no"):
            twins.add(7, person(record, "x", married))
    assert math.isnan(twins.signal(7))  # two records observed
    twins.add(7, person(2, "x", "yes"))
    twins.add(7, person(2, "y", "no"))  # two features at once
    assert math.isnan(twins.signal(7))
    twins.add(7, person(3, "x", "yes"))
    twins.add(7, person(3, "x", "no"))
    twins.add(7, person(3, "x", "unknown"))  # a record counts once
    twins.add(7, person(3, "x", "no"))
    assert twins.counts[7, 3, 0] == 3 and twins.signal(7) == 3
    assert math.isnan(twins.signal(8))


def test_a_what_if_user_has_one_record():
    twins = reference.TwinRecords(2)
    for amount in range(100):
        twins.add(1, hashes("person", amount))
    assert twins.counts[1, 1, 0] == 1


def test_ordinary_features_of_wide_rows_are_sampled():
    twins = reference.TwinRecords(128, sensitive=[5])
    for record in range(600):
        row = [record] * 128  # each of its three rows has a twin in feature 5 or 6
        twins.add(1, hashes(*row))
        for feature in (5, 6):
            twins.add(1, hashes(*row[:feature], "other", *row[feature + 1 :]))
    assert twins.counts[1, 5, 0] == 600
    assert 4 * twins.counts[1, 6, 0] == pytest.approx(600, rel=0.3)
    assert twins.signal(1) == pytest.approx(600, rel=0.3)
    assert math.isnan(reference.TwinRecords(513).signal(1))


def test_what_has_a_night_between_is_no_twin():
    twins = reference.TwinRecords(3)
    for record in range(30):
        twins.add(1, person(record, "old"), 0)
        twins.add(1, person(record, "new"), 86400)
        twins.add(1, person(record, "newer"), 86400 + 3600)
    assert math.isnan(twins.signal(1, 86399))
    assert twins.signal(1, 86400 + 3600) == 30
    assert math.isnan(twins.signal(1, 3 * 86400))


def test_edits_and_sweeps_and_drift_are_no_enumeration():
    edits, sweep, drift, sensitive = (reference.TwinRecords(4, given) for given in ([], [], [], [2]))
    for record in range(80):
        form = [f"{name} {record}" for name in "abcd"]
        edits.add(1, hashes(*form))
        edits.add(1, hashes(*form[: record % 4], "changed", *form[record % 4 + 1 :]))
        sweep.add(1, hashes("x", "y", record // 9, record % 9))
        for twins in (drift, sensitive):
            twins.add(1, person(record, 0, "c"))
            twins.add(1, person(record, 10 + record, "c"))
    assert edits.signal(1) == 0
    assert math.isnan(sweep.signal(1)) or sweep.signal(1) == 0
    assert math.isnan(drift.signal(1)) or drift.signal(1) == 0
    assert sensitive.signal(1) == 80


def test_owners_count_once_and_popular_inputs_weigh_nothing():
    inputs, s = reference.NearInputs(), np.zeros(8)
    assert inputs.visit(s, "p0", 1) == reference.Match(None, False)
    assert inputs.visit(s, "p0", 1) == reference.Match(None, False)
    assert inputs.visit(s + 0.1, "p1", 1) == reference.Match("p0", False)
    for i in range(2, 21):
        assert inputs.visit(s, f"p{i}", 1) == reference.Match("p1" if i == 2 else f"p{i - 1}", True)
    assert inputs.visit(s, "p21", 1) == reference.Match("p20", True)
    assert inputs.visit(s, "p22", 1) == reference.Match(None, True)
    assert inputs.visit(s + 5, "p22", 1) == reference.Match(None, False)


def test_shared_inputs():
    shared = reference.SharedInputs()
    for i in range(16):
        assert math.isnan(shared.signal())
        shared.add(reference.Match("b" if i < 4 else None, False))
    assert shared.signal() == 4 / 16
    for _ in range(60):
        shared.add(reference.Match(None, False))
    assert shared.signal() == 0


def test_clusters_join_and_end_after_a_week():
    clusters = reference.PrincipalClusters()
    clusters.link("a", "b", 0)
    clusters.link("c", "d", 0)
    assert clusters.members("a", 10) == {"a", "b"}
    clusters.link("d", "b", DAY)
    assert clusters.members("a", DAY) == {"a", "b", "c", "d"}
    assert clusters.members("a", 7 * DAY) == {"a"}
    assert clusters.members("b", 7 * DAY) == {"b", "d"}


def test_three_near_inputs_in_a_row_link():
    rng = np.random.default_rng(1)
    accounts, s = reference.Accounts(reach=1.0), rng.normal(size=8)
    accounts.add(s, "a", 0)
    for i in range(3):
        assert accounts.clusters.members("b", i) == {"b"}
        accounts.add(s + 0.01 * i + 0.01, "b", i)
    assert accounts.clusters.members("b", 3) == {"a", "b"}


def test_masks():
    text = 'Rate "good film" from 1 to 10, see https://a.example/x?y=1 or mail me@x.example. ```code 3```'
    assert reference.masked(text) == ("Rate \ue003 from \ue005 to \ue005, see \ue001 or mail \ue002. \ue000")
    assert reference.masked("don't, can't " + "z" * 41) == "don't, can't \ue004"


PROMPT = "Please grade the following essay on a scale from one to ten and explain in detail {} your reasons."


def test_one_template_with_other_slots():
    a, b = (reference.simhash(PROMPT.format(f'"{slot}"')) for slot in ("An essay.", "Another, longer one 5."))
    assert a == b
    assert reference.hamming(a, reference.simhash("Write a poem about the sea in four short lines.")) > 3
    assert reference.simhash("hello") != reference.simhash("world")


def test_template_principals_are_young():
    templates = reference.Templates()
    for i in range(6):
        age = 3 * DAY if i else 30 * DAY
        assert templates.visit(0b111, f"p{i}", 100 * DAY - age, 100 * DAY + i) == 0
    assert templates.visit(0, "p1", 97 * DAY, 100 * DAY) == 0  # three bits
    assert templates.visit(0b1111 << 8, "p1", 97 * DAY, 100 * DAY) == 1
    assert templates.principals(0, 100 * DAY + 10) == 5
    assert templates.principals(0, 101 * DAY + 3.5) == 2


def test_space_saving():
    counter = reference.SpaceSaving()
    for item in [1, 1, 2, 2, 3, 4, 5]:
        counter.add(item)
    assert counter.counts == {1: 2, 2: 2, 4: 1, 5: 2} and counter.total == 7


def test_template_share():
    share = reference.TemplateShare(100.0)
    for i in range(20):
        assert math.isnan(share.signal(50.0))
        share.add(0 if i < 15 else i, 50.0)
    assert share.signal(50.0) == 0.75
    for _ in range(20):
        share.add(0, 150.0)
    assert share.signal(150.0) == pytest.approx((20 + 0.5 * 15) / (20 + 0.5 * 20))
    assert math.isnan(share.signal(350.0))


def test_fourier_features_have_norm_one_and_approximate_kernels():
    rng = np.random.default_rng(3)
    normals = rng.normal(size=(128, 64))
    a, b = rng.normal(size=64) / 8, rng.normal(size=64) / 8
    x, y = (reference.fourier_features(s, normals, 1.0) for s in (a, b))
    assert np.linalg.norm(x) == pytest.approx(1)
    squared = ((a - b) ** 2).sum()
    kernel = np.mean([math.exp(-squared / (2 * sigma**2)) for sigma in (0.5, 1, 2, 4)])
    assert x @ y == pytest.approx(kernel, abs=0.15)


def test_blocks_of_another_topic():
    rng = np.random.default_rng(5)
    windows = reference.PromptWindows(3)

    def send(centre, accounts, now=1000.0):
        for _ in range(accounts):
            name = f"account-{rng.integers(2**40)}"
            windows.add(name, int(rng.integers(2**60)), centre + rng.normal(size=64) / 8, now)

    usual, other = np.zeros(64), np.full(64, 0.3)
    send(usual, 3_000)
    assert windows.newest(1000.0) is None
    send(usual, 100)
    assert windows.newest(1000.0).times < 1
    send(other, 100)
    assert windows.signal([other], 1000.0) > 1
    assert windows.signal([usual], 1000.0) == 0
    assert math.isnan(windows.signal([other], 1000.0 + 86_400))
    send(usual, 100)
    assert 0 < windows.signal([other], 1000.0) < 1


def test_of_an_account_few_prompts_count():
    rng = np.random.default_rng(6)
    windows = reference.PromptWindows(3)
    for day in range(20):
        for i in range(600):
            windows.add("one", int(rng.integers(2**60)), rng.normal(size=64), day * 86_400.0 + i)
    assert len(windows.first) == 1  # the first block waits for other accounts
    assert windows.days["one", 19] == 600


@pytest.mark.parametrize("freedom", [1, 3, 10, 100])
def test_the_limit_of_blocks(freedom):
    assert math.isnan(reference.discrepancy_limit([0.01] * 19))
    assert reference.discrepancy_limit([0.01] * 20) == pytest.approx(0.0125, rel=0.1)
    rng = np.random.default_rng(8)
    distances = 0.01 * rng.chisquare(freedom, 20_000) / freedom
    limit = reference.discrepancy_limit(list(distances))
    assert 0.0002 < (distances > limit / 1.25).mean() < 0.002
    for lost in (0.05, 0.2):  # a limit that was too low is followed by a higher one
        left = np.sort(distances)[: int((1 - lost) * len(distances))]
        assert (distances > reference.discrepancy_limit(list(left))).mean() < lost / 5


def test_logprob_harvest():
    thief, honest = reference.LogprobHarvest(300.0), reference.LogprobHarvest(300.0)
    for i in range(60):
        thief.add((1, 1), range(5 * i, 5 * i + 5), float(i))
        honest.add((i, 0), [1, 2, 3], float(i))
    assert thief.signal(60.0) == 60
    assert honest.signal(60.0) == 1
    assert honest.signal(1000.0) == pytest.approx(3 / 20, rel=0.1)


def test_equal_calls_on_another_prompt_hide_no_harvest():
    thief = reference.LogprobHarvest()
    for i in range(60):
        thief.add((1, 1), [i], float(i))
        thief.add((2, 2), [], float(i))
        thief.add((2, 2), [], float(i))
    assert thief.signal(60.0) == 60


def test_known_probes():
    probes = [reference.Probe("llm", f"q{i}", (i, 0), 0b1111 << 8 * i) for i in range(8)]
    known = reference.KnownProbes([*probes, reference.Probe("other", "x", (99, 0), 2**63 - 1)])
    known.add((0, 0), 2**64 - 1, 0.0)
    known.add((50, 0), (0b1111 << 8) ^ 1, 10.0)
    known.add((50, 0), (0b1111 << 8) ^ 1, 11.0)
    known.add((99, 0), 0x123456789ABCDEF, 12.0)
    assert known.signal(12.0) == 2
    assert known.signal(DAY + 1) == 1
    assert known.signal(3 * DAY) == 0


def test_label_discovery():
    found = reference.LabelDiscovery(lambda n: n / 4)
    for i in range(16):
        assert math.isnan(found.signal())
        found.add(i % 8)
    assert found.signal() == 2


def ten_days(track, similarity, hours=range(240)):
    rng = np.random.default_rng(6)
    for hour in hours:
        for i in range(10):
            track.add(hour * 3600.0 + 60 * i, similarity=similarity(hour) + float(rng.normal(0, 0.1)), cost=100.0)


def test_a_shift_from_the_own_past():
    track = reference.BaselineShift()
    ten_days(track, lambda hour: 0.5, range(7 * 24))
    assert math.isnan(track.signal(7 * 24 * 3600.0))
    ten_days(track, lambda hour: 0.5, range(7 * 24, 240))
    before = track.signal(10 * DAY)
    assert before < 2
    ten_days(track, lambda hour: 0.95, range(240, 243))
    assert track.signal(243 * 3600.0) > 8
    assert track.series["low_margin"].hours == 0
    ten_days(track, lambda hour: 0.5, range(243, 260))
    assert track.signal(260 * 3600.0) == 0


def test_a_week_has_weekends():
    track = reference.BaselineShift()
    largest = 0.0
    for day in range(35):
        ten_days(track, lambda hour: 0.3 if hour // 24 % 7 < 5 else 0.6, range(day * 24, day * 24 + 24))
        largest = max(largest, 0.0 if day < 8 else track.signal((day + 1) * DAY))
    assert largest < 8


def test_few_queries_an_hour_make_blocks_of_several():
    track = reference.BaselineShift()
    for i in range(3000):
        track.add(i * 1200.0, cost=float(1 + i % 2))
    assert track.series["cost"].hours == pytest.approx(3000 / 9, abs=5)
    assert track.signal(3_600_000.0) == 0


def test_cusum_by_hand():
    series = reference.HourlyCusum(0.25)
    for x in (1.0, 3.0):
        series.close([x] * 8, mature=False)
    assert (series.mean, series.variance, series.covariance, series.before) == (2.0, 1.0, 0.0, 2.0)
    series.hours = 24
    series.close([4.0] * 8, mature=True)
    assert series.cusum == 1.0
    series.close([4.0] * 7, mature=True)
    assert series.hours == 25
    for _ in range(3):
        series.close([100.0] * 8, mature=True)
    assert 8 < series.cusum < 12
