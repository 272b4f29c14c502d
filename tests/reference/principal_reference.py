"""Slow, obvious twin of the signals about a principal over all its models, and of its evidence of reconnaissance.

Written from the sections on volume and identity, and on evidence. Of names it gets the bits that they have in the
core, so that collisions are the same; the rest is sets and lists.

Readings of the specification
- distinct_models, distinct_endpoints: two generations as for api.distinct_inputs, of an hour each whatever the rule's
  timeframe, but by linear counting of 48 and 96 bits: below 50 names that is no worse than 64 registers, which count
  linearly there too, and takes half the room. A reading ends where one bit is unset.
- error_ratio: of the principal over all models and with or without an input, where the outcome ring of a track has
  neither. A batch counts as its rows. Two generations of an hour; the previous
  one's counts weigh by the share of the hour that has not elapsed. A request that is not answered is no error, and an
  answer counts in the hour of its request. Parameter names that no other request has are not looked for.
- evidence.recon is of the principal, for the same reasons. Honest clients begin with places that are all new, and
  broken ones are refused at every request: so error and new place are observed of a principal that has used more than
  eight models and endpoints (distinct bits of both generations), this request included. New is what neither
  generation has. What is curiosity is free as well: probes are observed where more than four distinct ones have come
  within 24 h of the track, bias sets where more than 16 varied calls have come on one of its prompts (as
  api.logprob_harvest counts them), the request under way included. To evidence a batch is one
  request.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from tests.reference.evidence_reference import Evidence, reported

HOUR = 3600.0
MODEL_BITS, ENDPOINT_BITS = 48, 96
FEWEST_REQUESTS = 20
FREE_PLACES, FREE_PROBES, FREE_BIAS_SETS = 8, 4, 16
CALLER_ERRORS = {400, 401, 403, 404, 405, 413, 415, 422}


def hour_of(time: float) -> int:
    return math.floor(time / HOUR)


def linear_count(used: int, bits: int) -> float:
    return bits * math.log(bits / max(1, bits - used)) if used else 0.0


class Names:
    """Distinct names of two generations."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.of_hour: dict[int, set[int]] = {}

    def of(self, hour: int) -> set[int]:
        return self.of_hour.get(hour, set())

    def add(self, bit: int | None, now: float) -> None:
        if bit is not None:
            self.of_hour.setdefault(hour_of(now), set()).add(bit)

    def both(self, now: float) -> set[int]:
        return self.of(hour_of(now)) | self.of(hour_of(now) - 1)

    def estimate(self, now: float) -> float:
        everything = linear_count(len(self.both(now)), self.bits)
        elapsed = now / HOUR - hour_of(now)
        return everything - elapsed * (everything - linear_count(len(self.of(hour_of(now))), self.bits))


class Request:
    def __init__(self, time: float, rows: int, looks_around: bool) -> None:
        self.time, self.rows, self.looks_around = time, rows, looks_around
        self.answered = self.refused = False


class PrincipalReference:
    def __init__(self) -> None:
        self.models, self.endpoints = Names(MODEL_BITS), Names(ENDPOINT_BITS)
        self.requests: list[Request] = []
        self.evidence = Evidence()

    def decide(
        self,
        model: int,
        endpoint: int | None,
        now: float,
        *,
        rows: int = 1,
        probes: tuple[int, int] | None = None,
        varied: tuple[int, int] | None = None,
    ) -> Request:
        """`model`, `endpoint`: their bits. `probes`: distinct probes of the track's day before and after a prompt;
        `varied`: calls on the prompt with most varied ones before and after a call that biases tokens."""
        before = self.places(now)
        self.models.add(model, now)
        self.endpoints.add(endpoint, now)
        request = Request(now, rows, self.places(now) > FREE_PLACES)
        self.requests.append(request)
        if request.looks_around:
            self.evidence.observe("new_place", self.places(now) > before, now)
        for name, counts, free in (("probe", probes, FREE_PROBES), ("bias_set", varied, FREE_BIAS_SETS)):
            if counts is not None and counts[1] > free:
                self.evidence.observe(name, counts[1] > counts[0], now)
        return request

    def places(self, now: float) -> int:
        return len(self.models.both(now)) + len(self.endpoints.both(now))

    def record(self, request: Request, status: int, now: float) -> None:
        if request.answered:
            return
        request.answered, request.refused = True, status in CALLER_ERRORS
        if request.looks_around:
            self.evidence.observe("error", request.refused, now)

    def error_ratio(self, now: float) -> float:
        def of(hour: int) -> Collection[Request]:
            return [request for request in self.requests if hour_of(request.time) == hour]

        current, previous = of(hour_of(now)), of(hour_of(now) - 1)
        rows = [sum(request.rows for request in requests) for requests in (current, previous)]
        if sum(rows) < FEWEST_REQUESTS:
            return math.nan
        weight = 1 - (now / HOUR - hour_of(now))
        refused = [sum(request.rows for request in requests if request.refused) for requests in (current, previous)]
        return (refused[0] + weight * refused[1]) / (rows[0] + weight * rows[1])

    def signals(self, now: float) -> dict[str, float]:
        return {
            "api.distinct_models": self.models.estimate(now),
            "api.distinct_endpoints": self.endpoints.estimate(now),
            "api.error_ratio": self.error_ratio(now),
            "evidence.recon": reported(self.evidence.family("recon", now)),
        }
