"""The track twin on short streams whose signals can be counted by hand."""

import math

import numpy as np
import pytest
from tests.reference import similarity_reference as similarity
from tests.reference import track_reference as reference
from tests.reference.track_reference import ModelNumbers, TrackReference


def point(*values):
    s = np.zeros(64, np.float32)
    s[: len(values)] = values
    return s


class Client:
    """Sends inputs a second apart, each with a digest of its own, and records the responses at once."""

    def __init__(self, window=300.0, **numbers):
        self.track = TrackReference(ModelNumbers(**{"width": 64, **numbers}), window)
        self.now, self.count, self.seed = 1000.0, 0, 1

    def digest(self, s):
        return similarity.digest128(np.asarray(s, np.float32).tobytes(), 0)

    def ask(self, s, label=None, scores=None, record=True, **response):
        self.now += 1.0
        off_grid = response.pop("off_grid", None)
        handle = self.track.decide(s, self.digest(s), self.now, off_grid)
        if record:
            self.track.record(handle, label, scores, **response)
        return handle

    def read(self, name):
        return self.track.signals(self.now)[name]

    def strangers(self, n, label=0):
        """Inputs far from each other and from everything."""
        rng = np.random.default_rng(self.seed)
        self.seed += 1
        for _ in range(n):
            self.ask((rng.normal(size=64) * 10).astype(np.float32), label)


def test_ratios_of_identity():
    client = Client()
    client.strangers(7)
    assert math.isnan(client.read("api.exact_duplicate_ratio"))
    client.ask(point(1), 0)
    client.ask(point(1), 0)
    client.ask(point(1.01), 0)  # D = 0.01 / 8
    assert client.read("api.exact_duplicate_ratio") == pytest.approx(1 / 10)
    assert client.read("api.near_duplicate_ratio") == pytest.approx(1 / 9)
    assert client.read("api.label_flip_rate") != client.read("api.label_flip_rate")  # fewer than 8 pairs


def test_the_shares_are_those_of_the_similarity_twin():
    rng = np.random.default_rng(4)
    client, plain = Client(), similarity.Track()
    references = reference.References(client.track.numbers)
    old = point(0)
    for _ in range(200):
        s = [old, old + rng.normal(size=64).astype(np.float32) * 0.01, rng.normal(size=64).astype(np.float32)][
            rng.integers(3)
        ].astype(np.float32)
        old = s
        client.ask(s, int(rng.integers(2)))
        sketch = client.track.sketch(s, client.digest(s))
        seen = plain.observe(sketch, references)
        score, near, duplicates = plain.summary(client.now, 300.0, seen.outcome(sketch, client.now))
        plain.commit(sketch, seen, client.now)
        assert client.read("api.input_similarity_score") == pytest.approx(score, nan_ok=True)
        assert client.read("api.near_duplicate_ratio") == pytest.approx(near, nan_ok=True)
        assert client.read("api.exact_duplicate_ratio") == pytest.approx(duplicates, nan_ok=True)


def test_a_binary_search_between_two_labels():
    """Two inputs of different labels, then halving towards the boundary at 0.3."""
    client = Client()
    direction = np.ones(64, np.float32)
    low, high = 0.0, 1.0
    client.ask(direction * low + point(1), 0)
    client.ask(direction * high + point(1), 1)
    for _ in range(5):
        middle = (low + high) / 2
        label = int(middle > 0.3)
        client.ask(direction * np.float32(middle) + point(1), label)
        low, high = (low, middle) if label else (middle, high)
    assert client.read("api.halving_hits") == 5
    assert client.read("api.collinear_flips") == 5
    words = client.track.evidence.words
    assert math.exp(words["collinear_flip"].r) == pytest.approx(50 + 50**2 + 50**3 + 50**4 + 50**5, rel=1e-4)
    found = client.track.signals(client.now)
    assert found["evidence.line_search"] > 9 and found["evidence.families"] == 2


def test_a_slider_is_no_search():
    client = Client()
    for i in range(30):
        client.ask(np.full(64, 1 + 0.1 * i, np.float32), int(i > 15))
    assert client.read("api.halving_hits") == client.read("api.collinear_flips") == 0


def test_a_person_who_bisects_sliders_is_observed_once_from_the_third_on():
    client = Client(width=10, row=True)
    form = np.zeros(64, np.float32)
    form[9] = 3

    def ask(slider: int, value: float) -> None:
        form[slider] = value
        client.ask(form.copy(), int(value > 2.6))

    found = []
    for slider in range(4):
        for value in (0, 8, 4, 2, 3, 2.5, 2.75):
            ask(slider, value)
        assert client.track.bisected.at(client.now) == 2 ** (slider + 1) - 1
        found.append(client.track.evidence.ratio("halving", client.now))
    assert max(found[:2]) < 2
    assert 50 < found[2] < 300
    assert found[3] > 5_000
    assert client.read("api.halving_hits") >= 16
    assert client.track.bisected.at(client.now + 86400) == 0


def test_bracket_members_are_kept():
    client = Client()
    client.ask(point(1, 0), 0)
    client.ask(point(1, 9), 1)
    client.ask(point(1, 3), 0)
    assert [sketch.query[1] for sketch in client.track.history.kept] == [0, 9, 3]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_pair_is_observed_when_its_second_label_arrives(order):
    client = Client()
    handles = [client.ask(point(1, 0.01 * i), record=False) for i in range(2)]
    client.track.record(handles[order[0]], order[0], now=2000.0)
    assert handles[1].outcome.flip is None
    client.track.record(handles[order[1]], order[1], now=2001.0)
    assert handles[1].outcome.flip is True
    assert client.track.evidence.words["flip"].seconds == 2001
    client.track.record(handles[1], 0)
    assert client.track.labels[handles[1].sketch.digest] == 1  # the first record counts


def test_a_pair_whose_query_was_overwritten_is_no_observation():
    client = Client()
    client.strangers(2)  # the anchors
    handles = [client.ask(point(1, 0.01 * i), record=False) for i in range(2)]
    for i in range(32):  # 64 other queries push the pair out of the outcomes
        client.ask(point(50 + 20 * i), 0)
        client.ask(point(50 + 20 * i, 0.01), 0)
    client.track.record(handles[0], 0)
    client.track.record(handles[1], 1)
    assert handles[1].outcome.flip is None and not client.track.waiting


def test_flip_rate_and_fine_flips():
    client = Client()
    for i in range(12):
        client.ask(point(20 * i), 0)
        client.ask(point(20 * i, 0.1 if i < 10 else 0.01), int(i >= 10))
    assert client.read("api.label_flip_rate") == pytest.approx(2 / 12)
    flip, fine = (math.exp(client.track.evidence.words[name].r) for name in ("flip", "fine_flip"))
    ten_misses = sum((0.65 / 0.9) ** k for k in range(1, 11))
    assert flip == pytest.approx((1 + (1 + ten_misses) * 3.5) * 3.5, rel=1e-4)
    two_misses = sum((0.85 / 0.98) ** k for k in (1, 2))
    assert fine == pytest.approx((1 + (1 + two_misses) * 7.5) * 7.5, rel=1e-4)


def test_exact_duplicates_enter_no_history_and_label_nothing():
    client = Client()
    client.ask(point(1))
    client.ask(point(1), 5)
    assert len(client.track.history.recent) == 1 and not client.track.labels
    assert client.track.budget == 1


def test_retries_count_nowhere():
    client = Client()
    client.ask(point(1), status=503)
    assert client.ask(point(1), 0).outcome is None
    client.now += 60
    assert client.ask(point(1), 0).outcome.duplicate
    assert len(client.track.outcomes) == 2


def test_sparse_probes():
    client = Client()
    base = point(*([1.0] * 20))
    client.ask(base, 0)
    for i in range(9):
        client.ask(base + point(*([0] * i), 0.05), 0)
    assert client.read("api.sparse_probe_coordinates") == 9
    hits = client.track.evidence.words["new_coordinate"].r
    assert math.exp(hits) == pytest.approx(sum(5.0**k for k in range(1, 10)), rel=1e-4)
    assert math.isnan(client.track.signals(client.now + 86400)["api.sparse_probe_coordinates"])


def test_forms_of_few_fields_do_not_probe():
    client = Client(width=10, row=True, q01=0.5)
    for i in range(12):
        client.ask(point(1, 0.05 * i), 0)
    assert math.isnan(client.read("api.sparse_probe_coordinates"))
    assert "new_coordinate" not in client.track.evidence.words


def test_a_hill_climber():
    """Every second probe fails; the good ones start from the best so far."""
    client = Client(q01=0.2)
    best, score = np.zeros(64, np.float32) + 1, 0.9
    client.ask(best, 0, [score, 1 - score])
    for i in range(20):
        probe = best + point(*([0] * i), 0.3)
        if i % 2:
            best, score = probe, score - 0.02
            client.ask(probe, 0, [score, 1 - score])
        else:
            client.ask(probe, 0, [score + 0.01, 0.99 - score])
    assert client.read("api.score_ascents") == 8  # of ten pairs, one came too early, one is still open
    assert client.track.evidence.words["climb_descent"].r > math.log(1_000)
    assert "climb_ascent" not in client.track.evidence.words  # the highest score came before there were four


def test_low_margins_among_near_pairs():
    client = Client()
    for i in range(16):
        client.ask(point(20 * i), 0, [0.9, 0.1])
        client.ask(point(20 * i, 0.01), 0, [0.55, 0.45] if i < 12 else [0.7, 0.3])
    assert client.read("api.near_margin_share") == pytest.approx(0.75)


def test_the_trend_towards_the_first_anchor():
    client = Client(q01=1.0)
    client.ask(point(0), 0)
    for i in range(40):
        client.ask(point(0, 8 - 0.1 * i), 1)
        if i == 22:
            assert math.isnan(client.read("api.anchor_trend"))
    assert client.read("api.anchor_trend") == -1
    assert len(client.track.trend.samples) == 16 + 4 and client.track.trend.stride == 2
    client.now += 1801
    client.ask(point(0, 30), 0)
    assert math.isnan(client.read("api.anchor_trend"))


def test_directions_of_estimates_around_a_fixed_centre():
    client = Client(width=784)
    rng = np.random.default_rng(2)
    centre = rng.normal(size=64)
    for i in range(100):
        step = rng.normal(size=64) if i % 2 else np.zeros(64)
        client.ask((centre + step + i * 1e-6).astype(np.float32), 0)
    assert client.track.directions.bins[0] == pytest.approx(sum(client.track.directions.bins) / 2, rel=0.02)
    assert client.read("api.delta_concentration") > 0.5
    assert math.isnan(Client(width=100).read("api.delta_concentration"))


def test_histogram_of_directions():
    histogram = reference.DirectionHistogram()
    for value in [-1.0, 1.0] * 40 + [0.01]:
        histogram.add(value)
    assert histogram.concentration() == 80 / 81
    assert (histogram.bins[0], histogram.bins[20], histogram.bins[39]) == (40, 1, 40)
    for _ in range(303):
        histogram.add(1.0)
    assert (histogram.bins[0], histogram.bins[20], histogram.bins[39]) == (20, 0, 171)


def test_grid_rank_and_energy():
    rng = np.random.default_rng(3)
    client = Client(
        off_grid=0.0,
        sketch_mean=np.zeros(64),
        sketch_variance=np.ones(64),
        energies=tuple(sorted(rng.uniform(0.5, 1.5, 200))),
        energy_p99=1.5,
    )
    for _ in range(30):
        client.ask((rng.normal(size=64) * 3).astype(np.float32), 0, off_grid=0.5)
    assert client.read("api.off_grid_ratio") == pytest.approx(0.5, abs=0.002)
    assert client.read("api.manifold_rank") == pytest.approx(1)
    assert client.read("evidence.synthetic") > 5
    assert client.read("evidence.total") < 1  # misses alone leave R of a line search word below 9.2


def test_groups_of_equal_length():
    client = Client()
    for group in range(12):
        for i in range(5):
            client.ask(point(20 * group, 0.01 * i), 0)
    assert client.read("api.group_regularity") == 1
    assert client.track.groups.finished == [5] * 11


def test_coverage_counts_cells():
    hyperplanes = np.eye(64)[:12]
    client = Client(hyperplanes=hyperplanes, sketch_mean=np.zeros(64), sketch_variance=np.ones(64))
    for i in range(64):
        client.ask(point(*[1 if i >> bit & 1 else -1 for bit in range(6)], *[-1] * 6, i), 0)
    assert client.read("api.coverage") == pytest.approx(64 / 4096, rel=0.1)
    assert len(client.track.cells) > 55


def test_coverage_beyond_what_principals_have():
    curves = reference.CoverageCurves()
    for _ in range(99):
        curves.add(64, 30.0)
    assert curves.wide(64, 60.0) is None
    curves.add(64, 30.0)
    assert curves.wide(64, 60.0) is True and curves.wide(64, 30.0) is False
    curves.add(64, 60.0)
    curves.add(64, 60.0)
    assert curves.wide(64, 60.0) is False
    client = Client(
        hyperplanes=np.eye(64)[:12],
        sketch_mean=np.zeros(64),
        sketch_variance=np.ones(64),
        coverage_curves=reference.CoverageCurves(),
    )
    client.track.numbers.coverage_curves.bins[64] = [100] + [0] * 127
    for i in range(64):
        assert client.read("evidence.coverage") == 0
        client.ask(point(*[1 if i >> bit & 1 else -1 for bit in range(6)], *[-1] * 6, i), 0)
    assert client.read("evidence.coverage") == pytest.approx(math.log10(1 + 0.5 / 0.03 / 2), abs=1e-4)
    assert sum(client.track.numbers.coverage_curves.bins[64]) == 101


def test_timing():
    client = Client()
    client.strangers(31)
    assert math.isnan(client.read("api.timing_regularity"))
    client.strangers(1)
    assert client.read("api.timing_regularity") == 1
    client.now += 93  # 32 gaps, 31 of 1 s and one of 94 s
    client.strangers(1)
    assert client.read("api.timing_regularity") == 0


def test_costs():
    client = Client(cost_medians=[10.0 * 2**i for i in range(16)])
    for i in range(20):
        client.ask(point(i), 0, cost=1000.0 if i % 4 == 0 else 10.0, size=1.0)
    assert client.read("api.cost_amplification") == 100
    client.ask(point(99), 0, cost=10_000.0, size=1000.0)
    assert client.read("api.cost_amplification") == 100
    assert math.isnan(client.track.signals(client.now + 300)["api.cost_amplification"])
    assert reference.size_bin(1023) == 9 and reference.size_bin(1 << 20) == 15


def test_the_budget():
    client = Client(extraction_budget=100.0)
    client.strangers(10)
    assert client.read("api.extraction_budget_used") == pytest.approx(0.1, rel=1e-4)
    later = client.track.signals(client.now + 30 * 86400)
    assert later["api.extraction_budget_used"] == pytest.approx(0.05, rel=1e-4)


def test_distinct_inputs():
    counter = reference.Distinct(100.0)
    rng = np.random.default_rng(6)
    for i in range(500):
        counter.add(int(rng.integers(2**63)) * 2 + i % 2, 150.0)
    assert counter.estimate(199.0) == pytest.approx(500, rel=0.4)
    full = counter.estimate(199.0)
    assert counter.estimate(250.0) == pytest.approx(full / 2)
    assert counter.estimate(300.0) == 0
    few = reference.Distinct(100.0)
    for i in range(5):
        few.add(similarity.word_hash(i, 0), 1.0)
        few.add(similarity.word_hash(i, 0), 1.0)
    assert few.estimate(1.0) == pytest.approx(5, abs=0.6)


def test_confidence_shift():
    assert reference.kolmogorov_smirnov([10] * 20, [1] * 20) == 0
    assert reference.kolmogorov_smirnov([200] + [0] * 19, [1] * 20) == 30
    n, gap = 100, 0.2
    scaled = (10 + 0.12 + 0.011) * gap
    expected = -math.log10(2 * (math.exp(-2 * scaled**2) - math.exp(-8 * scaled**2)))
    assert reference.kolmogorov_smirnov([70, 30], [0.5, 0.5]) == pytest.approx(expected, rel=1e-6)
    assert n * gap == 20


def test_margins_of_members():
    client = Client(margin_shares=[1.0] * 24)
    for i in range(200):
        p = 0.5 + 0.5 * (i + 0.5) / 200
        client.ask(point(20 * i), 0, [p, 1 - p])
    assert client.read("api.confidence_shift") < 0.1


def test_inputs_without_a_sketch():
    client = Client()
    for i in range(10):
        client.track.decide(None, (i % 5, 0), client.now)
    assert client.read("api.exact_duplicate_ratio") == 0.5
    assert math.isnan(client.read("api.near_duplicate_ratio"))


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_responses_gives_the_same_flips(seed):
    """With the history never full, what is observed of pairs does not depend on the order of the responses."""
    rng = np.random.default_rng(seed)
    inputs = [point(*rng.normal(size=3) * 0.3) for _ in range(20)]
    labels = rng.integers(2, size=20).tolist()
    client = Client(q01=0.1)
    handles = [client.ask(s, record=False) for s in inputs]
    for at in rng.permutation(20):
        client.track.record(handles[at], labels[at])
    other = Client(q01=0.1)
    for s, label in zip(inputs, labels, strict=True):
        other.ask(s, label)
    flips = [handle.outcome.flip for handle in handles]
    assert flips == [outcome.flip for outcome in other.track.outcomes]
    assert not client.track.waiting


@pytest.mark.parametrize("seed", range(3))
def test_any_stream_gives_numbers_in_range(seed):
    """Duplicates, near pairs, late queries, missing and disordered responses."""
    rng = np.random.default_rng(seed)
    mean, variance = np.zeros(64), np.ones(64)
    track = TrackReference(
        ModelNumbers(
            300,
            hyperplanes=rng.normal(size=(12, 64)),
            sketch_mean=mean,
            sketch_variance=variance,
            energies=(0.5, 1.0, 1.5),
            energy_p99=1.5,
            off_grid=0.0,
            margin_shares=[1.0] * 24,
            cost_medians=[1.0] * 16,
            extraction_budget=1000.0,
        )
    )
    s, now, open_handles = rng.normal(size=64).astype(np.float32), 1e6, []
    for _ in range(400):
        kind = rng.random()
        if kind < 0.5:
            s = (s + rng.normal(size=64) * 0.02).astype(np.float32)
        elif kind < 0.9:
            s = rng.normal(size=64).astype(np.float32)
        now += float(rng.exponential(2.0)) - 5 * (rng.random() < 0.05)
        digest = similarity.digest128(s.tobytes(), 0)
        open_handles.append(track.decide(s, digest, now, float(rng.random())))
        while rng.random() < 0.5 and open_handles:
            p = rng.dirichlet(np.ones(3))
            handle = open_handles.pop(int(rng.integers(len(open_handles))))
            track.record(handle, None, p.tolist(), 1.0, 10.0, int(rng.choice([200, 404, 503])), now)
    found = track.signals(now)
    assert len(found) == 31
    for name, value in found.items():
        limits = (-1, 1) if name == "api.anchor_trend" else (0, 64 if name != "api.distinct_inputs" else 1000)
        assert math.isnan(value) or limits[0] <= value <= limits[1], (name, value)
    assert sum(not math.isnan(value) for value in found.values()) >= 27
