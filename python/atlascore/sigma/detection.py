"""Search identifiers: field names with modifiers, and their values, to expressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from atlascore import _core
from atlascore._yaml import Mapping, Node, Scalar
from atlascore.sigma import compat, fields
from atlascore.sigma.ast import Expression, Leaf, Not, Operator, conjunction, disjunction
from atlascore.sigma.lint import Report, check_dead_values, check_scalar, nearest

_TEXT = ("contains", "startswith", "endswith")
_NUMERIC = ("lt", "lte", "gt", "gte")
_REGEX_FLAGS = {"i": "i", "ignorecase": "i", "m": "m", "multiline": "m", "s": "s", "dotall": "s"}
_KNOWN = (*_TEXT, *_NUMERIC, *_REGEX_FLAGS, "all", "cased", "exists", "neq", "re")
_UNSUPPORTED = (
    *("base64", "base64offset", "utf16", "utf16le", "utf16be", "wide", "windash", "cidr"),
    *("minute", "hour", "day", "week", "month", "year", "fieldref", "expand"),
)
_INTEGERS = range(-(2**63), 2**64)


@dataclass
class _Match:
    """A field name with its modifiers."""

    field: str
    operator: Operator = "equal"
    cased: bool = False
    every: bool = False  # all: values are ANDed
    negated: bool = False  # neq
    flags: str = ""


class DetectionParser:
    """Turns the search identifiers of one rule into expressions; problems go to the report."""

    def __init__(self, report: Report, reads_window: bool) -> None:
        self._report = report
        self._reads_window = reads_window  # the rule has a timeframe, so quoted comparisons are meant as such
        self._path = ""

    def parse(self, name: str, node: Node) -> Expression | None:
        """The meaning of one search identifier, or None when it has none (and that is reported)."""
        self._path = f"detection.{name}"
        if node.kind == "map":
            return self._map(node)
        if node.kind == "list" and any(item.kind == "map" for item in node.items):
            return self._list_of_maps(node.items)
        if node.kind == "list" and not node.items:
            self._add("bad-value", node, "a search identifier needs at least one field")
            return None
        self._add("unsupported", node, "keyword search is not supported by this version", "name a field")
        return None

    def _add(self, code: str, node: Node, message: str, fix: str = "") -> None:
        self._report.add(code, node, self._path, message, fix)

    def _list_of_maps(self, items: list[Node]) -> Expression | None:
        parsed: list[Expression | None] = []
        for item in items:
            if item.kind == "map":
                parsed.append(self._map(item))
            elif item.kind == "list":
                self._add("nested-list", item, "a list inside a list has no meaning", "write one list")
            else:
                self._add("unsupported", item, "keyword search is not supported by this version", "name a field")
        found = [expression for expression in parsed if expression is not None]
        return disjunction(found) if found else None

    def _map(self, node: Mapping) -> Expression | None:
        if not node.items:
            self._add("bad-value", node, "a search identifier needs at least one field")
            return None
        parsed = [self._field(key, value) for key, value in node.items]
        found = [expression for expression in parsed if expression is not None]
        return conjunction(found) if found else None

    # Field name and modifiers

    def _field(self, key: Scalar, value: Node) -> Expression | None:
        name, *modifiers = key.text.split("|")
        if not name:
            self._add("unsupported", key, "keyword search is not supported by this version", "name a field")
            return None
        match = _Match(name)
        usable = [self._modifier(match, index, modifiers, key) for index in range(len(modifiers))]
        if not all(usable):
            return None
        if match.negated:
            message = f"neq is also true when {name!r} is missing"
            self._add("neq-missing", key, message, f"add {name}|exists: true if that is not meant")
        return self._values(match, key, value)

    def _modifier(self, match: _Match, index: int, modifiers: list[str], key: Scalar) -> bool:
        modifier, before = modifiers[index], modifiers[:index]
        if modifier in _UNSUPPORTED:
            self._add("unsupported", key, f"modifier {modifier!r} is not supported by this version")
        elif modifier not in _KNOWN:
            self._add("unknown-modifier", key, f"there is no modifier {modifier!r}", nearest(modifier, _KNOWN))
        elif modifier in before or not self._apply(match, modifier, key):
            chain = "|".join(modifiers)
            self._add("modifier-chain", key, f"{modifier!r} has no meaning at this place of {chain!r}")
        else:
            return True
        return False

    def _apply(self, match: _Match, modifier: str, key: Scalar) -> bool:
        """Apply one modifier to what the ones before it made; False where that makes no sense."""
        plain = match.operator == "equal"
        if modifier == "all":
            match.every = not match.negated and match.operator != "exists"
            return match.every
        if modifier == "cased":
            match.cased = match.operator in ("equal", *_TEXT)
            return match.cased
        if modifier in _REGEX_FLAGS:
            match.flags = "".join(sorted({*match.flags, _REGEX_FLAGS[modifier]}))
            return match.operator == "regex"
        if modifier == "neq":
            match.negated = plain and not match.every
            return match.negated
        if modifier == "contains" and match.operator == "regex":
            message = "a regular expression is searched anywhere already"
            self._report.add("redundant-modifier", key, self._path, message, "remove contains")
            return True
        if not plain or match.negated or (match.cased and modifier not in _TEXT):
            return False
        if modifier == "exists" and match.every:
            return False
        match.operator = "regex" if modifier == "re" else cast(Operator, modifier)
        return True

    # Values

    def _values(self, match: _Match, key: Scalar, value: Node) -> Expression | None:
        path = self._path
        if value.kind == "map":
            self._add("bad-value", value, f"{match.field!r} has fields below it", "write the full field name")
            return None
        scalars = self._scalars(match, key, value)
        if scalars is None:
            return None
        if match.every and value.kind == "scalar":
            self._report.add("all-single", key, path, "'all' needs a list of values", "remove it")
        if match.operator == "exists" and value.kind == "list":
            self._add("operand-type", value, "exists takes true or false, not a list")
            return None
        as_list = len(scalars) > 1 and all(self._is_comparison(match, scalar) for scalar in scalars)
        if as_list:
            self._report_comparison_list(match, value, scalars)
        parsed = [self._leaf(match, scalar, quiet=as_list) for scalar in scalars]
        found = [expression for expression in parsed if expression is not None]
        if len(found) < len(scalars):
            return None
        if match.every:
            return conjunction(found)
        check_dead_values([item for item in found if isinstance(item, Leaf)], path, self._report)
        return Not(disjunction(found)) if match.negated else disjunction(found)

    def _scalars(self, match: _Match, key: Scalar, value: Node) -> list[Scalar] | None:
        """The values as a flat list, or None when they are not one."""
        if value.kind == "scalar":
            return [value]
        assert value.kind == "list"
        if not value.items:
            self._add("empty-list", value, f"{match.field!r} has an empty list, read as null", "write null")
            return [Scalar(value.origin, *value.span, 1, None, "", False)]
        scalars = [item for item in value.items if item.kind == "scalar"]
        if len(scalars) < len(value.items):
            inner = next(item for item in value.items if item.kind != "scalar")
            self._add("nested-list", inner, f"the values of {match.field!r} must be a plain list")
            return None
        for scalar in scalars:
            if scalar.value is None:
                message = "null in a list is read as one alternative"
                self._add("null-in-list", scalar, message, "use a second map with null")
        return scalars

    def _leaf(self, match: _Match, scalar: Scalar, quiet: bool) -> Expression | None:
        if self._is_comparison(match, scalar):
            return self._quoted_comparison(match, scalar, quiet)
        if match.operator not in _TEXT and match.operator != "regex":
            check_scalar(scalar, self._path, self._report)
        if match.operator == "exists":
            return self._exists(match, scalar)
        if match.operator in _NUMERIC:
            return self._ordering(match, scalar)
        if match.field in fields.signals() and not self._fits_signal(match, scalar):
            return None
        if match.operator != "equal":
            return self._text(match, scalar)
        value = scalar.value
        if value is None:
            return self._make(match, "null", None, scalar)
        if isinstance(value, str):
            return self._make(match, "equal", value, scalar)
        return self._make(match, "equal", value, scalar) if self._fits_number(scalar) else None

    def _make(
        self, match: _Match, operator: Operator, operand: str | int | float | bool | None, scalar: Scalar
    ) -> Leaf:
        takes_case = operator in ("equal", *_TEXT) and match.cased
        return Leaf(match.field, operator, operand, "cased" if takes_case else match.flags, scalar)

    def _fits_signal(self, match: _Match, scalar: Scalar) -> bool:
        is_number = isinstance(scalar.value, int | float) and not isinstance(scalar.value, bool)
        if match.operator == "equal" and not match.cased and (is_number or scalar.value is None):
            return True
        fix = f"write {match.field}|gt: NUMBER, or lt, lte, gte, or a number without quotes"
        self._add("signal-type", scalar, f"{match.field} is a signal, a number, and has no text", fix)
        return False

    def _fits_number(self, scalar: Scalar) -> bool:
        value = scalar.value
        if isinstance(value, int) and value not in _INTEGERS:
            self._add("operand-type", scalar, f"{scalar.text} does not fit 64 bits", "quote it to compare texts")
            return False
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            self._add("operand-type", scalar, f"{scalar.text} equals nothing", "write a finite number")
            return False
        return True

    def _text(self, match: _Match, scalar: Scalar) -> Leaf | None:
        if scalar.value is None:
            self._add("operand-type", scalar, f"{match.operator} needs a text, not null")
            return None
        if match.operator == "regex":
            problem = _core.regex_problem(scalar.text, match.flags)
            if problem is not None:
                self._add("bad-regex", scalar, problem)
                return None
        return self._make(match, match.operator, scalar.text, scalar)

    def _exists(self, match: _Match, scalar: Scalar) -> Leaf | None:
        value = scalar.value
        if isinstance(value, str):
            value = compat.read_boolean(value)
            if value is not None:
                self._add("operand-text", scalar, f"{scalar.text!r} is text, read as a boolean", "remove the quotes")
        if not isinstance(value, bool):
            self._add("operand-type", scalar, "exists takes true or false")
            return None
        return self._make(match, "exists", value, scalar)

    def _ordering(self, match: _Match, scalar: Scalar) -> Leaf | None:
        value = scalar.value
        if isinstance(value, str) and compat.is_number(value):
            self._add("operand-text", scalar, f"{scalar.text!r} is text, read as a number", "remove the quotes")
            value = compat.read_number(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._add("operand-type", scalar, f"{match.operator} needs a number, not {scalar.text!r}")
            return None
        if not self._fits_number(scalar):
            return None
        return self._make(match, match.operator, value, scalar)

    # Comparisons written as text: '>50'

    def _is_comparison(self, match: _Match, scalar: Scalar) -> bool:
        plain = match.operator == "equal" and not match.cased and not match.negated
        return plain and isinstance(scalar.value, str) and compat.is_comparison(scalar.value)

    def _is_numeric(self, match: _Match) -> bool:
        return match.field in fields.signals()

    def _quoted_comparison(self, match: _Match, scalar: Scalar, quiet: bool) -> Expression:
        modifier, operator, number = compat.read_comparison(scalar.text)
        numeric = self._is_numeric(match)
        if not (numeric or (self._reads_window and not self._report.strict)):
            if not quiet:
                message = f"{scalar.text!r} is compared as text, not as a number"
                fix = f"write {match.field}|{modifier}: {number} if a number is meant"
                self._report.add("quoted-comparison", scalar, self._path, message, fix, severity="warning")
            return self._make(match, "equal", scalar.text, scalar)
        if not quiet:
            message = f"{scalar.text!r} is text in Sigma and never equals a number, read as {modifier} {number}"
            self._add("quoted-comparison", scalar, message, f"write {match.field}|{modifier}: {number}")
        leaf = self._make(match, operator, number, scalar)
        return Not(leaf) if modifier == "neq" else leaf

    def _report_comparison_list(self, match: _Match, value: Node, scalars: list[Scalar]) -> None:
        readings = [compat.read_comparison(scalar.text) for scalar in scalars]
        listed = " or ".join(f"{modifier} {number}" for modifier, _, number in readings)
        if self._is_numeric(match) or (self._reads_window and not self._report.strict):
            message = f"a list of texts that never equal a number, read as {listed}"
            self._add("comparison-list", value, message, f"write one comparison with {match.field}|{readings[0][0]}")
        else:
            message = "these comparisons are compared as texts, not as numbers"
            self._report.add("comparison-list", value, self._path, message, f"if meant: {listed}", severity="warning")
