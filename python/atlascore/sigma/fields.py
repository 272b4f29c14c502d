"""Names that rules may read: signals of the engine, and fields of an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from atlascore import _core

API_FIELDS = frozenset(("api.method", "api.endpoint", "api.model", "api.principal", "api.session"))

_RESPONSE_PREFIXES = ("response.", "gen_ai.response.", "gen_ai.output.", "gen_ai.usage.", "http.response.")
_RESPONSE_FIELDS = frozenset(("duration", "error.type"))


@dataclass(frozen=True)
class Signal:
    """A number that the engine computes."""

    name: str
    windowed: bool
    scopes: tuple[str, ...]


@cache
def signals() -> Mapping[str, Signal]:
    """The engine's signals by name."""
    return {
        entry["name"]: Signal(entry["name"], entry["windowed"], tuple(entry["scopes"]))
        for entry in _core.signal_catalogue()
    }


def is_response(name: str) -> bool:
    """Whether a field is known only when the model has answered."""
    return name.startswith(_RESPONSE_PREFIXES) or name in _RESPONSE_FIELDS


def check(name: str) -> Literal["known", "unlisted", "unknown"]:
    """`unknown`: in a namespace whose names are all listed; `unlisted`: where records may add names."""
    if name in signals() or name in API_FIELDS:
        return "known"
    if name.startswith(("api.", "evidence.")):
        return "unknown"
    return "unlisted" if name.startswith(("prompt.", "response.")) else "known"
