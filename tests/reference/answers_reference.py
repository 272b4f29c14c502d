"""Slow, obvious twins of what answers of a model are usual, and of the two signals that compare a track with it.

Written from the section on outputs and scores. kolmogorov_smirnov, Distinct and LabelDiscovery are in the twins of
tracks and populations.

Readings of the specification
- Margins: of 24 bins twelve are 1/16 wide, each of the others is half of what is left to 1, because most models are
  sure. The test does not depend on the scale. The model's histogram is of the first 64 margins of each track, so that
  no caller makes it; the signal is missing below 1,000 of them. Margins are of scores that add up to 1, answers to
  inputs that were sent before aside.
- Labels: linear counting of 192 bits. n is the number of answers with a label, to any input. A principal counts in the
  curves with what it had seen at n = 16, 32, ... 1,024, as soon as it reaches 2 n: none is compared with itself. The
  99th percentile is the upper edge of its bin (single bits below 32, eight of them from there on), linear in log2 n
  between those. Missing below 32 principals at one of the two n.
- api.distinct_inputs has generations of 24 h, whatever the rule's timeframe: that of the rules that read it.
"""

from __future__ import annotations

import bisect
import math

from tests.reference.principal_reference import linear_count

EDGES = (*(i / 16 for i in range(1, 13)), *(1 - 0.25 / 2**i for i in range(1, 12)))
TRACK_MARGINS, LEAST_MARGINS, MARGIN_SAMPLES = 64, 200, 1000
LABEL_BITS = 192
SINGLE_BINS, WIDE = 32, 8
FIRST, LAST = 16, 1024
LEAST_PRINCIPALS = 32


def margin_bin(margin: float) -> int:
    return bisect.bisect_right(EDGES, margin)


class UsualMargins:
    def __init__(self) -> None:
        self.counts = [0] * (len(EDGES) + 1)

    def add(self, margin: float) -> None:
        self.counts[margin_bin(margin)] += 1

    def known(self) -> bool:
        return sum(self.counts) >= MARGIN_SAMPLES


class UsualLabels:
    """What principals have seen after n answers, in bits."""

    def __init__(self) -> None:
        self.seen: dict[int, list[int]] = {FIRST << i: [] for i in range(7)}

    def add(self, answers: int, bits: int) -> None:
        if answers in self.seen:
            self.seen[answers].append(bits)

    def at(self, answers: int) -> float:
        bits = sorted(self.seen.get(answers, []))
        if len(bits) < LEAST_PRINCIPALS:
            return math.nan
        most = bits[math.ceil(0.99 * len(bits) - 1e-9) - 1]
        if most >= SINGLE_BINS:
            most += WIDE - 1 - (most - SINGLE_BINS) % WIDE
        return linear_count(most, LABEL_BITS)

    def percentile(self, answers: int) -> float:
        below = 2 ** math.floor(math.log2(answers))
        if below == answers:
            return self.at(below)
        part = math.log2(answers / below)
        return self.at(below) * (1 - part) + self.at(2 * below) * part
