"""Quantities as people write them in a policy file. Each function raises ValueError saying what to write."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

__all__ = ["parse_rate", "parse_span", "parse_time"]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)/(s|m|h|d)")
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))?", re.ASCII
)


def parse_span(text: str) -> float:
    """Seconds of a span of time: 250ms, 30s, 5m, 1h, 30d."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError("is not a span of time; write a number and a unit, for example 250ms, 30s, 5m, 1h or 30d")
    return float(match[1]) * _SECONDS[match[2]]


def parse_rate(text: str) -> float:
    """Events per second of a rate: 2/s, 30/m."""
    match = _RATE.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise ValueError("is not a rate; write a number above 0 per unit, for example 2/s or 30/m")
    return float(match[1]) / _SECONDS[match[2]]


def parse_time(text: str) -> float:
    """Seconds since the Unix epoch of an RFC 3339 time, which must name its zone."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("is not an RFC 3339 time; write for example 2026-12-31T00:00:00Z")
    year, month, day, hour, minute, second, fraction, utc, sign, hours, minutes = match.groups()
    if utc is None and sign is None:
        raise ValueError(f"has no time zone; write {text}Z for UTC")
    offset = timedelta() if utc else timedelta(hours=int(hours), minutes=int(minutes))
    try:
        zone = timezone(-offset if sign == "-" else offset)
        date = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=zone)
    except ValueError as error:
        raise ValueError(f"is not a time: {error}") from None
    return date.timestamp() + float(f"0.{fraction or 0}")
