"""Exceptions that may come with every request are logged once a minute."""

from __future__ import annotations

import logging

from atlascore.adapters.seldom import INTERVAL, Seldom


def fail(seldom: Seldom, error: Exception, message: str = "no record of %s", path: str = "/a") -> None:
    try:
        raise error
    except Exception:
        seldom.exception(message, path)


def test_one_kind_is_logged_once_a_minute(caplog):
    now = [0.0]
    seldom = Seldom(logging.getLogger("test.seldom"), clock=lambda: now[0])
    for _ in range(1_234):
        fail(seldom, ValueError("bad"))
    assert [record.getMessage() for record in caplog.records] == ["no record of /a"]
    assert caplog.records[0].exc_info[1].args == ("bad",)
    now[0] = INTERVAL
    fail(seldom, ValueError("bad"), path="/b")
    assert caplog.records[1].getMessage() == "no record of /b (and 1,233 more like it before)"
    fail(seldom, ValueError("bad"))
    assert len(caplog.records) == 2
    now[0] = 2 * INTERVAL
    fail(seldom, ValueError("bad"))
    assert caplog.records[2].getMessage() == "no record of /a (and 1 more like it before)"


def test_other_kinds_are_logged_too(caplog):
    seldom = Seldom(logging.getLogger("test.seldom"), clock=lambda: 0.0)
    fail(seldom, ValueError("bad"))
    fail(seldom, TypeError("worse"))
    fail(seldom, ValueError("bad"), "no decision on %s")
    assert [record.getMessage() for record in caplog.records] == [
        "no record of /a",
        "no record of /a",
        "no decision on /a",
    ]
