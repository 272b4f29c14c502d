"""JSON lines: reading a log and deciding on each event, beside readers that only parse."""

from __future__ import annotations

from collections import deque

import atlascore as ac
from contest import Contest, Work
from peers import scan as peers
from rows import Target
from traffic import api_log

EVENTS = 100_000

SCAN = Contest(
    "scan_rate",
    "JSON lines (550 B): the whole engine, per core",
    [Target("best", 800e3)],
    unit="rate",
    note="Rates are per second of processor time. Peers only parse.",
)


def _engine() -> ac.Engine:
    return ac.Engine(ac.Policy.default(), capacity=200_000, log="")


@SCAN.contender("AtlasCore, findings only", ours=True)
def findings_only() -> Work:
    from atlascore.scanning import Scan

    def run() -> None:
        scan = Scan([api_log(EVENTS)], _engine(), findings_only=True)
        deque(scan, maxlen=0)
        assert scan.counts["events"] == EVENTS, scan.counts

    return Work(run, EVENTS, rounds=3)


@SCAN.contender("AtlasCore, every decision in Python", ours=True)
def every_decision() -> Work:
    from atlascore.scanning import Scan

    def run() -> None:
        assert sum(1 for _ in Scan([api_log(EVENTS)], _engine())) == EVENTS

    return Work(run, EVENTS, rounds=3)


def _peer(read: peers.Read) -> Work:
    path = api_log(EVENTS)

    def run() -> None:
        assert read(path) == EVENTS

    return Work(run, EVENTS, rounds=3)


for _name, _make in peers.ALL.items():
    SCAN.contender(_name)(lambda make=_make: _peer(make()))

test_scan_rate = SCAN.test()
