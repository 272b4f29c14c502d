"""What a Sigma rule means, slowly: a direct interpreter of a rule's plain data.

Written from the specification (sigma.md, section 2) alone. Nothing is compiled, folded in advance or
remembered; a rule is a dict as a YAML 1.2 reader gives it, an event a dict of field names to values, and what
is missing is left out. None is an explicit null.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

MISSING = object()
_DECIMAL = re.compile(r"[+-]?([0-9]+)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SIMPLE_FOLDINGS = {"\u1fd3": "\u0390", "\u1fe3": "\u03b0", "\ufb05": "\ufb06"}


def fold(text: str) -> str:
    """Simple case folding: each code point to one code point (V2)."""
    return "".join(_fold_one(c) for c in text)


def _fold_one(character: str) -> str:
    if character in _SIMPLE_FOLDINGS:
        return _SIMPLE_FOLDINGS[character]
    folded = character.casefold()
    if len(folded) == 1:
        return folded
    lower = character.lower()
    return lower if len(lower) == 1 else character


def number_text(number: float) -> str | None:
    """The canonical text of a number (V9): ECMAScript's Number to String."""
    if isinstance(number, int):
        return str(number)
    if not math.isfinite(number):
        return None
    if number == 0:
        return "0"
    sign, digit_tuple, exponent = Decimal(repr(number)).as_tuple()
    digits = "".join(map(str, digit_tuple)).rstrip("0")
    exponent = int(exponent) + len(digit_tuple) - len(digits)
    point = len(digits) + exponent
    if len(digits) <= point <= 21:
        body = digits + "0" * (point - len(digits))
    elif 0 < point <= 21:
        body = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        body = "0." + "0" * -point + digits
    else:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        body = f"{mantissa}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return ("-" if sign else "") + body


def text_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return number_text(value) if isinstance(value, int | float) else None


def number_of(value: Any) -> int | float | None:
    """The number of a value, or of a text that is a decimal literal as a whole (V9)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):
        return None
    literal = _DECIMAL.fullmatch(value)
    if not literal or not value.isascii():
        return None
    if literal.group(2) is None and literal.group(3) is None and -(2**63) <= int(value) < 2**64:
        return int(value)
    return float(value)


def compare(a: float, b: float) -> int | None:
    """-1, 0 or 1 by the exact values (V13); None when either is NaN."""
    if math.isnan(a) or math.isnan(b):
        return None
    if math.isinf(a) or math.isinf(b):
        return (a > b) - (a < b)
    return (Fraction(a) > Fraction(b)) - (Fraction(a) < Fraction(b))


def wildcards(pattern: str, cased: bool, open_start: bool, open_end: bool) -> re.Pattern[str]:
    """A Sigma text as a regular expression over a whole, folded text (V3, V4), open at either side or not."""
    out = [".*" if open_start else ""]
    i = 0
    while i < len(pattern):
        c = pattern[i]
        if c == "\\" and pattern[i + 1 : i + 2] in ("*", "?", "\\"):
            out.append(re.escape(pattern[i + 1]))
            i += 1
        elif c == "*":
            out.append(".*")
        elif c == "?":
            out.append(".")
        else:
            out.append(re.escape(c if cased else fold(c)))
        i += 1
    return re.compile("".join(out) + (".*" if open_end else ""), re.DOTALL)


def scalars(value: Any) -> list[Any]:
    """A value's elements, at any depth (V10)."""
    if isinstance(value, list):
        return [scalar for item in value for scalar in scalars(item)]
    return [value]


def leaf(value: Any, modifiers: list[str], operand: Any) -> bool:
    """Whether one operand matches a field's value (or MISSING), whatever `all` and `neq` say."""
    if "exists" in modifiers:
        return (value is not MISSING) == operand
    if operand is None:
        return any(scalar is None or scalar is MISSING for scalar in scalars(value))
    return any(_scalar(scalar, modifiers, operand) for scalar in scalars(value) if scalar is not MISSING)


def _scalar(value: Any, modifiers: list[str], operand: Any) -> bool:
    for name, accepted in (("lt", (-1,)), ("lte", (-1, 0)), ("gt", (1,)), ("gte", (1, 0))):
        if name in modifiers:
            number = number_of(value)
            return number is not None and compare(number, operand) in accepted
    if "re" in modifiers:
        flags = re.ASCII
        for letter, names in (
            (re.I, ("i", "ignorecase")),
            (re.M, ("m", "multiline")),
            (re.S, ("s", "dotall")),
        ):
            flags |= letter if set(names) & set(modifiers) else 0
        text = text_of(value)
        # `$` in RE2 is the very end of the text unless `m` is given (M3)
        pattern = str(operand) if flags & re.M else re.sub(r"\$$", r"\\Z", str(operand))
        return text is not None and re.search(pattern, text, flags) is not None
    is_text = any(name in modifiers for name in ("contains", "startswith", "endswith"))
    if isinstance(operand, int | float) and not isinstance(operand, bool) and not is_text:
        number = number_of(value)
        return number is not None and compare(number, operand) == 0
    text = text_of(value)
    if text is None:
        return False
    pattern = text_of(operand)
    assert pattern is not None
    cased = "cased" in modifiers
    open_start = "contains" in modifiers or "endswith" in modifiers
    open_end = "contains" in modifiers or "startswith" in modifiers
    regex = wildcards(pattern, cased, open_start, open_end)
    return regex.fullmatch(text if cased else fold(text)) is not None


def item(key: str, operands: Any, event: dict[str, Any]) -> bool:
    """One `field|modifiers: values` (V5, V6, M1)."""
    name, *modifiers = key.split("|")
    values = operands if isinstance(operands, list) else [operands]
    results = [leaf(event.get(name, MISSING), modifiers, operand) for operand in values or [None]]
    if "all" in modifiers:
        return all(results)
    return not any(results) if "neq" in modifiers else any(results)


def search(identifier: Any, event: dict[str, Any]) -> bool:
    """One search identifier: a map, or a list of maps (V5)."""
    if isinstance(identifier, list):
        return any(search(entry, event) for entry in identifier)
    return all(item(key, operands, event) for key, operands in identifier.items())


def condition(text: str, identifiers: dict[str, bool]) -> bool:
    """A condition over the identifiers' truth values: Python has the same precedence (C1 to C3)."""

    def selected(pattern: str) -> list[bool]:
        glob = "*" if pattern == "them" else pattern
        regex = re.compile(".*".join(re.escape(part) for part in glob.split("*")))
        return [
            value
            for name, value in identifiers.items()
            if regex.fullmatch(name) and (glob.startswith("_") or not name.startswith("_"))
        ]

    words = []
    tokens = re.findall(r"[()]|[A-Za-z0-9_.*-]+", text)
    while tokens:
        token = tokens.pop(0)
        if tokens[:1] == ["of"]:
            values = selected(tokens[1])
            needed = len(values) if token == "all" else int(token)
            words.append(str(sum(values) >= needed))
            tokens = tokens[2:]
        elif token in ("(", ")", "and", "or", "not"):
            words.append(token)
        else:
            words.append(str(identifiers[token]))
    return bool(eval(" ".join(words)))


def matches(rule: dict[str, Any], event: dict[str, Any], signals: dict[str, float] | None = None) -> bool:
    """Whether a rule matches an event. Signals are read by name; one that is NaN or left out is missing."""
    present = {name: value for name, value in (signals or {}).items() if not math.isnan(value)}
    everything = {**event, **present}
    detection = dict(rule["detection"])
    conditions = detection.pop("condition")
    detection.pop("timeframe", None)
    truths = {name: search(identifier, everything) for name, identifier in detection.items()}
    return any(condition(text, truths) for text in (conditions if isinstance(conditions, list) else [conditions]))
