"""The geometry twin on inputs whose answers are plain to see."""

import math

import numpy as np
import pytest
from tests.reference import geometry_reference as geometry


def point(*values):
    s = np.zeros(64)
    s[: len(values)] = values
    return s


def test_the_middle_of_two_inputs_is_a_midpoint():
    left, right = point(1, 0), point(1, 1)
    assert geometry.between(point(1, 0.5), left, right) is True
    assert geometry.in_the_middle(point(1, 0.5), left, right)
    assert not geometry.in_the_middle(point(1, 0.3), left, right)
    assert geometry.between(point(1, 1.5), left, right) is False  # beyond
    assert geometry.between(point(1.3, 0.5), left, right) is False  # beside


def test_displacements_below_the_precision_of_fp16_are_no_observation():
    left, right = point(100, 0), point(100, 10)
    assert geometry.between(point(100, 0.39), left, right) is None  # 2^-8 of 100 is 0.390625
    assert geometry.between(point(100, 9.7), left, right) is None
    assert geometry.between(point(100, 0.4), left, right) is True
    assert geometry.between(point(0, 0), point(0, 0), point(0, 1)) is None


def test_brackets_need_two_different_known_labels():
    history = [point(1, 0), point(1, 1), point(5, 5)]
    query = point(1, 0.5)
    search = geometry.search_brackets(query, history, [0, 1, None])
    assert search.brackets == [geometry.Bracket(0, 1, True), geometry.Bracket(1, 0, True)]
    assert search.collinear_flip() is True and search.halving(False) is True
    same = geometry.search_brackets(query, history, [1, 1, None])
    assert not same.brackets and same.collinear_flip() is False and same.halving(None) is None
    assert not geometry.search_brackets(query, history, [0, None, None]).tested


def test_only_the_four_nearest_are_near_ends_and_any_entry_is_a_far_end():
    history = [point(1, -0.1 * i) for i in range(1, 6)] + [point(1, 9)]
    search = geometry.search_brackets(point(1, 0), history, [0] * 5 + [1])
    assert [b.near_end for b in search.brackets] == [0, 1, 2, 3]
    assert {b.far_end for b in search.brackets} == {5}
    assert not search.midpoint()


def test_a_search_of_which_every_pair_is_too_close_is_no_observation():
    search = geometry.search_brackets(point(100, 0.1), [point(100, 0), point(100, 0.2)], [0, 1])
    assert (search.tested, search.dropped) == (0, 2)
    assert search.collinear_flip() is None
    assert search.halving(None) is None and search.halving(True) is True and search.halving(False) is False


def test_consecutive_halving():
    assert geometry.consecutive_halving(point(1, 1.5), point(1, 1), point(1, 0)) is True
    assert geometry.consecutive_halving(point(1, 0.5), point(1, 1), point(1, 0)) is True  # back half way
    assert geometry.consecutive_halving(point(1, 2), point(1, 1), point(1, 0)) is False
    assert geometry.consecutive_halving(point(1.5, 1), point(1, 1), point(1, 0)) is False
    assert geometry.consecutive_halving(point(1, 1.5e-5), point(1, 1e-5), point(1, 0)) is None
    assert geometry.consecutive_halving(point(1, 6e-5), point(1, 4e-5), point(1, 0)) is True
    assert geometry.direction_similarity(point(0, 1), point(0, 2), point(0, 0)) == pytest.approx(-1)
    assert geometry.direction_similarity(point(1, 2), point(0, 2), point(0, 0)) == pytest.approx(0)


def test_coordinates_of_a_sparse_pair():
    base = point(6.0007, -1.3, 2)  # 6.0007 is no fp16 number
    assert geometry.coordinates(base, base) == 0
    assert geometry.coordinates(base, base + point(0, 0.01, 0)) == 0b010
    assert geometry.coordinates(base, base + point(0.5, 0, -0.5)) == 0b101
    assert geometry.coordinates(point(0.0009), point(0)) == 0
    assert not geometry.sparse(0, 10)
    assert geometry.sparse(0b11, 10) and not geometry.sparse(0b111, 10)
    assert geometry.sparse(0b111, 64) and not geometry.sparse(0b1111, 64)
    assert geometry.sparse(0b1111, 65) and not geometry.sparse(0b11111, 784)


def test_each_coordinate_is_bisected_once():
    assert geometry.bisected_before(0b01, 0)
    assert geometry.bisected_before(0b01, 0b01)
    assert geometry.bisected_before(0b11, 0b01)
    assert not geometry.bisected_before(0b100, 0b011)
    assert not geometry.bisected_before(0b110, 0b001)
    assert geometry.bisected_before(0b110, 0b111)
    assert not geometry.bisected_before(0b111, 0b111)  # three coordinates are no slider
    assert geometry.bisected_before(0, 0)


def test_margins():
    assert geometry.class_scores([0.25]) == [0.75, 0.25]
    assert geometry.margin([0.7, 0.1, 0.2]) == pytest.approx(0.5)
    assert geometry.margin([0.7]) is None
    assert geometry.low_margin([0.55, 0.45], 9) is True
    assert geometry.low_margin([0.65, 0.35], 9) is False
    assert geometry.low_margin([6.5, 3.5], 2.5) is False and geometry.low_margin([6.5, 3.5], 3.5) is True
    assert geometry.top_position([0.1, 0.4, 0.4]) == 1


def test_energy():
    assert geometry.energy(point(3), np.zeros(64), np.ones(64)) == pytest.approx(9 / 64)
    assert geometry.energy(point(3), point(3), np.zeros(64)) == 0
    assert geometry.manifold_rank(2.0, [1, 2, 3, 4]) == 0.5
    assert geometry.far(2.01, 1.0) and not geometry.far(2.0, 1.0)


def test_the_grid():
    pixels = (np.arange(256) / 255).astype(np.float32)
    assert geometry.off_grid_share(pixels, 0.0, 1 / 255) == 0
    assert geometry.off_grid_share(pixels[:4] + np.float32([0, 0.001, 0, 0]), 0.0, 1 / 255) == 0.25
    amounts = np.float32([12345.67, 49999.99, 0.01])
    assert geometry.off_grid_share(amounts, 0.0, 0.01) == 0  # float32 cannot tell more
    assert geometry.off_grid_share(np.float32([0.015, 7.3]), 0.0, np.array([0.01, 0])) == 0.5


def test_kendall_tau():
    assert geometry.kendall_tau([4, 3, 2, 1]) == -1
    assert geometry.kendall_tau([1, 1, 2]) == pytest.approx(2 / 3)


def test_a_climber_follows_improvements_alone():
    """One input after the other: where it is, what it scores, and what is observed as it comes."""

    def observed(members: list[tuple[tuple[float, ...], float]]) -> list[bool | None]:
        inputs = {(i, 0): point(*x) for i, (x, _) in enumerate(members)}
        inputs[(99, 0)] = point(-1)
        cluster, _ = geometry.TrackClusters().join((0, 0), (99, 0), 0)
        found = []
        for i, (_, score) in enumerate(members):
            x = inputs[(i, 0)]
            before = [(99, 0), *((k, 0) for k in range(i))]
            neighbour = min(before, key=lambda key: np.linalg.norm(x - inputs[key]))
            found.append(cluster.follows("descent", x, neighbour, inputs, counts=True))
            cluster.recorded((i, 0), score)
        return found

    climber = [((0, 0, 0), 0.9), ((1, 0, 0), 0.8), ((1, 1, 0), 0.85), ((1, 0, 1), 0.7), ((1, 0, 2), 0.65)]
    assert observed(climber) == [None, None, None, None, True]
    drift = [((float(i), 0, 0), 0.5 + 0.1 * (-1) ** i - 0.01 * i) for i in range(8)]
    assert [one for one in observed(drift) if one is not None] == [False, False, False]
    for rise in (-0.01, 0.001):  # along a row; the next row is lower, so that its first is better than the last's first
        places = [(i // 14, i % 14) for i in range(196)]
        sweep = [((0.1 * row, 0.1 * column, 0), 0.9 - 0.003 * row + rise * column) for row, column in places]
        assert not any(observed(sweep))


def test_at_most_four_clusters():
    clusters = geometry.TrackClusters()
    first, _ = clusters.join((1, 0), (0, 0), None)
    for i in range(1, 5):
        clusters.join((10 * i + 1, 0), (10 * i, 0), None)
    assert first not in clusters.live and len(clusters.live) == 4
    again, before = clusters.join((2, 0), (1, 0), 3)
    assert again is not first and again.founder == (1, 0) and before == 1 and again.position == 3


def test_distance_is_the_rms_difference_per_feature():
    assert geometry.distance(point(3, 0), point(0, 4), 25) == pytest.approx(1)
    assert math.isclose(geometry.distance(geometry.stored(point(0.1)), point(0.1), 1), 0, abs_tol=1e-4)
