"""The twins of principals and of usual answers, on what can be worked out by hand."""

import math

import pytest
from tests.reference.answers_reference import UsualLabels, margin_bin
from tests.reference.principal_reference import ENDPOINT_BITS, HOUR, PrincipalReference, linear_count

START = 1000 * HOUR


def test_a_quiet_client_is_no_evidence():
    twin = PrincipalReference()
    for i in range(30):
        twin.record(twin.decide(1, i % 7, START + i), 404, START + i)
    seen = twin.signals(START + 30)
    assert seen["evidence.recon"] == 0
    assert seen["api.error_ratio"] == 1
    assert seen["api.distinct_endpoints"] == linear_count(7, ENDPOINT_BITS)


def test_new_places_are_evidence_from_the_ninth_on():
    twin = PrincipalReference()
    expected = 0.0
    for i in range(12):
        twin.decide(1, i, START)
        if i + 2 > 8:
            expected = (1 + expected) * 10
        assert twin.signals(START)["evidence.recon"] == pytest.approx(math.log10(1 + expected / 4), abs=1e-5)
    assert expected == 111_110


def test_hours_fade():
    twin = PrincipalReference()
    for i in range(20):
        request = twin.decide(1, 1, START)
        if i < 10:
            twin.record(request, 400, START)
    for _ in range(20):
        twin.decide(1, 1, START + HOUR)
    assert twin.error_ratio(START) == 0.5
    assert twin.error_ratio(START + HOUR) == 0.25
    assert twin.error_ratio(START + 1.5 * HOUR) == pytest.approx(5 / 30)
    assert math.isnan(twin.error_ratio(START + 3 * HOUR))


def test_percentiles_of_labels():
    usual = UsualLabels()
    for _ in range(31):
        usual.add(16, 4)
    assert math.isnan(usual.percentile(16))
    usual.add(16, 9)
    assert usual.percentile(16) == linear_count(9, 192)  # of 32 the highest
    for _ in range(100):
        usual.add(16, 4)
        usual.add(32, 40)
    assert usual.percentile(16) == linear_count(4, 192)
    assert usual.percentile(32) == linear_count(47, 192)  # upper edge of the bin from 40 on
    assert usual.percentile(24) == pytest.approx(
        linear_count(4, 192) + math.log2(1.5) * (linear_count(47, 192) - linear_count(4, 192))
    )


def test_bins_of_margins():
    assert [margin_bin(margin) for margin in (0, 0.0625, 0.74, 0.75, 0.875, 0.9375, 1)] == [0, 1, 11, 12, 13, 14, 23]
