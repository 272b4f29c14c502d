"""JSON lines: reading a log and deciding on each event, beside readers that only parse."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from contest import Contest, Work
from peers import scan as peers
from rows import Target
from traffic import api_log

import atlascore as ac
from atlascore.sigma import BUILTIN

EVENTS = 300_000
NOTE = "Rates are per second of processor time, so per core. Peers only parse."


def _contest(key: str, what: str, per_second: float) -> Contest:
    title = f"JSON lines (550 B), per core: {what}"
    return Contest(key, title, [Target("best", per_second)], unit="rate", note=NOTE)


WHOLE = _contest("scan_whole", "the whole engine, shipped rules", 800e3)
WINDOWS = _contest("scan_windows", "parse and windows, one rule on counts", 1.5e6)
COUNTS_ONLY = """
version: 1
rules: {paths: [very_high_query_volume.yml]}
responses: [{name: all, action: LOG}]
"""


def _scan(policy: ac.Policy, findings_only: bool) -> Work:
    from atlascore.scanning import Scan

    def run() -> None:
        engine = ac.Engine(policy, capacity=1 << 16, log="")
        scan = Scan([api_log(EVENTS)], engine, findings_only=findings_only)
        deque(scan, maxlen=0)
        assert scan.counts["events"] == EVENTS, scan.counts

    return Work(run, EVENTS, rounds=2)


@WHOLE.contender("AtlasCore, findings only", ours=True)
def findings_only() -> Work:
    return _scan(ac.Policy.default(), findings_only=True)


@WHOLE.contender("AtlasCore, every decision in Python", ours=True)
def every_decision() -> Work:
    return _scan(ac.Policy.default(), findings_only=False)


@WINDOWS.contender("AtlasCore, findings only", ours=True)
def windows_only() -> Work:
    return _scan(ac.Policy.from_text(COUNTS_ONLY, base=BUILTIN), findings_only=True)


def _peer(make: Callable[[], peers.Read]) -> Work:
    read, path = make(), api_log(EVENTS)

    def run() -> None:
        assert read(path) == EVENTS

    return Work(run, EVENTS, rounds=2)


for _name, _make in peers.ALL.items():
    WHOLE.contender(_name)(partial(_peer, _make))
    WINDOWS.contender(_name)(partial(_peer, _make))

test_scan_whole = WHOLE.test()
test_scan_windows = WINDOWS.test()
