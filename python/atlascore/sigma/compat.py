"""Readings of what people write and Sigma does not define. Each is reported, with the strict form as fix."""

from __future__ import annotations

import re
import uuid

from atlascore.sigma.ast import Operator

_NUMBER = r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_COMPARISON = re.compile(rf"(>=|<=|!=|>|<)\s*({_NUMBER})")
_OPERATORS: dict[str, Operator] = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt", "!=": "equal"}

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_comparison(text: str) -> bool:
    """Whether the whole text is a comparison such as '>50' or '<= 0.5'."""
    return _COMPARISON.fullmatch(text) is not None


def read_comparison(text: str) -> tuple[str, Operator, int | float]:
    """The modifier to write, the operator and the number of a quoted comparison. `!=` is a negated equal."""
    match = _COMPARISON.fullmatch(text)
    assert match is not None
    sign, number = match.groups()
    operator = _OPERATORS[sign]
    return "neq" if sign == "!=" else operator, operator, read_number(number)


def is_number(text: str) -> bool:
    return re.fullmatch(_NUMBER, text) is not None


def read_number(text: str) -> int | float:
    return float(text) if set(text) & set(".eE") else int(text)


def read_boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def uuid_for(name: str) -> str:
    """The UUID that stands for an id or digest that is none."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sigma:{name}"))
