"""A mapping of the policy file that is read key by key.

Every reader method reports what is wrong at its place and goes on with the default, so that one run finds
every mistake. `close` reports the keys that nobody read: what a file says is used or refused, never ignored.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from atlascore._policy.units import parse_rate, parse_span, parse_time
from atlascore._yaml import Mapping, Node, Problem, Scalar, Severity

__all__ = ["Reference", "Section", "did_you_mean", "quoted"]

T = TypeVar("T")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, as a suggestion, or nothing."""
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f'did you mean "{by_folded[close[0]]}"?' if close else ""


def quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


@dataclass(frozen=True)
class Reference:
    """A text of the file that names something defined elsewhere, and its place."""

    text: str
    node: Node
    path: str

    def problem(self, message: str, fix: str = "", severity: Severity = "error", code: str = "") -> Problem:
        return self.node.problem(self.path, message, fix, severity, code)


class Section:
    """One mapping, or an absent one, with its path in the file ("responses[1].match")."""

    def __init__(self, node: Node | None, path: str, problems: list[Problem], place: Node | None = None) -> None:
        self.path = path
        self._problems = problems
        self._place = node or place
        self._node: Mapping | None = None
        self._read: set[str] = set()
        if node is not None and node.kind == "map":
            self._node = node
        elif node is not None and not _is_null(node):
            self._report(node, path, f"expected a mapping, found {_kind(node)}")

    def __bool__(self) -> bool:
        return self._node is not None

    def __contains__(self, key: str) -> bool:
        return self._node is not None and self._node.get(key) is not None

    def is_map(self, key: str) -> bool:
        return self._kind_of(key) == "map"

    def is_list(self, key: str) -> bool:
        return self._kind_of(key) == "list"

    # --- one value ------------------------------------------------------------------------------------

    def text(self, key: str, default: str = "") -> str:
        node = self._scalar(key)
        return default if node is None else self._text(node, self.child(key), default)

    def required_text(self, key: str, why: str = "") -> str:
        if key not in self:
            self._read.add(key)
            self.report(f'missing "{key}"', why)
        return self.text(key)

    def reference(self, key: str) -> Reference | None:
        text = self.text(key)
        node = self._node.get(key) if self._node is not None else None
        return Reference(text, node, self.child(key)) if text and node is not None else None

    def choice(self, key: str, options: Iterable[str], default: str, noun: str | None = None) -> str:
        node = self._scalar(key)
        if node is None:
            return default
        options = tuple(options)
        if node.value in options:
            return str(node.value)
        fix = did_you_mean(node.text, options) or f"use {' or '.join(options)}"
        self._report(node, self.child(key), f'unknown {noun or key} "{node.text}"', fix)
        return default

    def required_choice(self, key: str, options: Iterable[str], noun: str | None = None) -> str:
        options = tuple(options)
        if key not in self:
            self._read.add(key)
            self.report(f'missing "{key}"', f"use {' or '.join(options)}")
        return self.choice(key, options, options[0], noun)

    def flag(self, key: str) -> bool:
        node = self._scalar(key)
        if node is None or isinstance(node.value, bool):
            return node is not None and bool(node.value)
        self._report(node, self.child(key), f'expected true or false, found "{node.text}"')
        return False

    def integer(self, key: str, low: int, high: int) -> int | None:
        node = self._scalar(key)
        if node is None:
            return None
        value = node.value
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        expected = f"expected an integer from {low} to {high}"
        self._report(node, self.child(key), f'{expected}, found "{node.text}"')
        return None

    def numbers(self, key: str) -> list[float] | None:
        """One number, or a list of them."""
        if key not in self:
            return None
        found = [self._number(node, path) for node, path in self._values(key)]
        return [number for number in found if number is not None]

    def span(self, key: str, low: float, high: float) -> float | None:
        value = self._parsed(key, parse_span)
        if value is None or low <= value <= high:
            return value
        self.report_at(key, f"{_span_text(value)} is out of range", f"use {_span_text(low)} to {_span_text(high)}")
        return None

    def rate(self, key: str) -> float | None:
        return self._parsed(key, parse_rate)

    def time(self, key: str) -> float | None:
        return self._parsed(key, parse_time)

    # --- several values -------------------------------------------------------------------------------

    def texts(self, key: str) -> list[str]:
        """A list of texts; one text is a list of one."""
        return [reference.text for reference in self.references(key)]

    def references(self, key: str) -> list[Reference]:
        """As `texts`, each with its place."""
        found = []
        whole = self._node.get(key) if self._node is not None else None
        if whole is not None and (_is_null(whole) or (whole.kind == "list" and not whole.items)):
            self._report(whole, self.child(key), "names nothing", "give a value or remove the key")
        for node, path in self._values(key):
            if node.kind != "scalar" or _is_null(node):
                self._report(node, path, f"expected a text, found {_kind(node)}")
            elif text := self._text(node, path, ""):
                found.append(Reference(text, node, path))
        return found

    def choices(self, key: str, options: Iterable[str], noun: str) -> list[str]:
        options = tuple(options)
        found = []
        for reference in self.references(key):
            if reference.text in options:
                found.append(reference.text)
            else:
                fix = did_you_mean(reference.text, options) or f"use {' or '.join(options)}"
                self._report(reference.node, reference.path, f'unknown {noun} "{reference.text}"', fix)
        return found

    def section(self, key: str) -> Section:
        self._read.add(key)
        node = self._node.get(key) if self._node is not None else None
        return Section(node, self.child(key), self._problems, self._place)

    def sections(self, key: str) -> list[Section]:
        """A list of mappings."""
        return [
            Section(node, path, self._problems, node)
            for node, path in self._values(key)
            if not _is_null(node) or self._report(node, path, "expected a mapping, found nothing")
        ]

    def named_sections(self) -> Iterator[tuple[str, Section]]:
        """The keys of this mapping, which are names, each with the mapping below it."""
        for key, node in self._node.items if self._node is not None else []:
            self._read.add(key.text)
            yield key.text, Section(node, self.child(key.text), self._problems, key)

    # --- reporting ------------------------------------------------------------------------------------

    def report(self, message: str, fix: str = "") -> None:
        """An error about the mapping as a whole."""
        if self._place is not None:
            self._report(self._place, self.path, message, fix)

    def report_at(self, key: str, message: str, fix: str = "") -> None:
        """An error about the value below a key."""
        node = self._node.get(key) if self._node is not None else None
        if node is not None:
            self._report(node, self.child(key), message, fix)

    def warn_at(self, key: str, message: str, fix: str, code: str) -> None:
        """A warning about the value below a key."""
        node = self._node.get(key) if self._node is not None else None
        if node is not None:
            self._problems.append(node.problem(self.child(key), message, fix, "warning", code))

    def refuse(self, reference: Reference, message: str, fix: str = "") -> None:
        """An error about one of the values read by `references`."""
        self._problems.append(reference.problem(message, fix))

    def named(self, text: str) -> Reference:
        """A name for this mapping, placed where the mapping is."""
        assert self._place is not None
        return Reference(text, self._place, self.path)

    def close(self, unsupported: Iterable[str] = ()) -> None:
        """Report the keys that were not read; `unsupported` are those that a later version will read."""
        unsupported = tuple(unsupported)
        for key, _ in self._node.items if self._node is not None else []:
            if key.text in unsupported:
                self._report(key, self.path, f'"{key.text}" is not supported by this version', "remove it")
            elif key.text not in self._read:
                fix = did_you_mean(key.text, self._read) or f"known are {quoted(sorted(self._read))}"
                self._report(key, self.path, f'unknown key "{key.text}"', fix)

    def child(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _kind_of(self, key: str) -> str | None:
        node = self._node.get(key) if self._node is not None else None
        return None if node is None else node.kind

    # --- inside ---------------------------------------------------------------------------------------

    def _report(self, node: Node, path: str, message: str, fix: str = "") -> bool:
        self._problems.append(node.problem(path, message, fix))
        return False

    def _scalar(self, key: str) -> Scalar | None:
        self._read.add(key)
        node = self._node.get(key) if self._node is not None else None
        if node is None:
            return None
        if node.kind == "scalar" and not _is_null(node):
            return node
        self._report(node, self.child(key), f"expected one value, found {_kind(node)}")
        return None

    def _values(self, key: str) -> Iterator[tuple[Node, str]]:
        self._read.add(key)
        node = self._node.get(key) if self._node is not None else None
        if node is None or _is_null(node):
            return
        if node.kind == "list":
            for index, item in enumerate(node.items):
                yield item, f"{self.child(key)}[{index}]"
        else:
            yield node, self.child(key)

    def _text(self, node: Scalar, path: str, default: str) -> str:
        if node.text.strip():
            return node.text
        self._report(node, path, "expected a text, found an empty one")
        return default

    def _number(self, node: Node, path: str) -> float | None:
        value = node.value if node.kind == "scalar" else None
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf"):
            return float(value)
        found = f'"{node.text}"' if node.kind == "scalar" else _kind(node)
        self._report(node, path, f"expected a finite number, found {found}")
        return None

    def _parsed(self, key: str, parse: Callable[[str], T]) -> T | None:
        node = self._scalar(key)
        if node is None:
            return None
        try:
            return parse(node.text)
        except ValueError as error:
            message, _, fix = str(error).partition("; ")
            self._report(node, self.child(key), f'"{node.text}" {message}', fix)
            return None


def _is_null(node: Node) -> bool:
    return node.kind == "scalar" and node.value is None


def _kind(node: Node) -> str:
    if _is_null(node):
        return "nothing"
    return {"map": "a mapping", "list": "a list", "scalar": "a single value"}[node.kind]


def _span_text(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds * 1000:g}ms"
