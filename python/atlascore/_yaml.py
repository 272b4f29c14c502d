"""YAML as data with positions: every node knows its file, line and column, so that a message can point at it.

Scalars follow the YAML 1.2 core schema, decided on the node's own text: `off`, `yes` and `1:30` are texts,
`010` is ten, and a quoted scalar is always a text. No constructor of the YAML library runs, so a file cannot
make objects. Anchors and aliases are resolved; what they expand to is bounded, and so is nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import yaml

__all__ = [
    "Mapping",
    "Node",
    "Problem",
    "Scalar",
    "Sequence",
    "YamlError",
    "compose",
    "load_all",
    "to_python",
]

Severity: TypeAlias = Literal["error", "warning", "info"]
ScalarValue: TypeAlias = "str | int | float | bool | None"

MAX_DEPTH = 64
MAX_NODES = 1_000_000  # of one document, aliases counted as often as they are used
MAX_DIGITS = 400


@dataclass(frozen=True)
class Problem:
    """Something wrong, or worth a remark, at one place of a file. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    path: str
    message: str
    fix: str = ""
    severity: Severity = "error"
    code: str = ""
    end_line: int = 0
    end_column: int = 0
    source: str = field(default="", compare=False, repr=False)  # the line of the file it points at

    @property
    def position(self) -> tuple[str, int, int]:
        return self.file, self.line, self.column

    def __str__(self) -> str:
        path = f"{self.path}: " if self.path else ""
        fix = f"; {self.fix}" if self.fix else ""
        label = f" [{self.severity} {self.code}]" if self.code else ""
        return f"{self.file}:{self.line}:{self.column}: {path}{self.message}{fix}{label}"

    def render(self) -> str:
        """The message, then the line it points at with carets below the place."""
        if not self.source:
            return str(self)
        stop = self.end_column if self.end_line == self.line else len(self.source) + 1
        indent = "".join("\t" if c == "\t" else " " for c in self.source[: self.column - 1])
        carets = "^" * max(1, stop - self.column)
        return f"{self}\n    {self.source}\n    {indent}{carets}"


class YamlError(ValueError):
    """The text is not usable YAML; `problems` says where and why."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


@dataclass(frozen=True, eq=False, repr=False)
class _Source:
    file: str
    lines: list[str]


@dataclass(frozen=True, eq=False, slots=True)
class _Located:
    origin: _Source = field(repr=False)
    line: int
    column: int
    end_line: int
    end_column: int
    weight: int = field(repr=False)  # nodes below and including this one, aliases expanded

    @property
    def file(self) -> str:
        return self.origin.file

    @property
    def span(self) -> tuple[int, int, int, int]:
        """First line and column, and the line and column after the last character."""
        return self.line, self.column, self.end_line, self.end_column

    def problem(self, path: str, message: str, fix: str = "", severity: Severity = "error", code: str = "") -> Problem:
        """A problem at this node."""
        lines = self.origin.lines
        source = lines[self.line - 1] if self.line <= len(lines) else ""
        end = (self.end_line, self.end_column)
        return Problem(self.file, self.line, self.column, path, message, fix, severity, code, *end, source)


@dataclass(frozen=True, eq=False, slots=True)
class Scalar(_Located):
    """A single value: `value` by the YAML 1.2 core schema, `text` as written, `quoted` if it had quotes."""

    value: ScalarValue
    text: str
    quoted: bool
    kind: Literal["scalar"] = "scalar"


@dataclass(frozen=True, eq=False, slots=True)
class Mapping(_Located):
    """Key and value pairs in the order of the file. No two keys have the same text."""

    items: list[tuple[Scalar, Node]]
    kind: Literal["map"] = "map"

    def get(self, key: str) -> Node | None:
        """The value below a key, by the key's text."""
        return next((value for name, value in self.items if name.text == key), None)


@dataclass(frozen=True, eq=False, slots=True)
class Sequence(_Located):
    items: list[Node]
    kind: Literal["list"] = "list"


Node: TypeAlias = "Scalar | Mapping | Sequence"


def load_all(text: str | bytes, file: str) -> list[Node]:
    """The documents of a YAML text, empty ones left out.

    Raises YamlError with every problem found: bad encoding or syntax, duplicate keys, keys that are not
    scalars, tags, too deep or too large a document.
    """
    documents, problems = compose(text, file)
    if problems:
        raise YamlError(problems)
    return documents


def compose(text: str | bytes, file: str) -> tuple[list[Node], list[Problem]]:
    """As load_all, but returns the problems beside the documents that could be read."""
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        decoded.encode()
    except UnicodeError as error:
        return [], [_encoding_problem(text, error, file)]
    composer = _Composer(decoded, file)
    return composer.documents(), composer.problems


def to_python(node: Node) -> Any:
    """Plain dicts (keyed by the keys' texts), lists and scalars."""
    if node.kind == "map":
        return {key.text: to_python(value) for key, value in node.items}
    if node.kind == "list":
        return [to_python(value) for value in node.items]
    return node.value


_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NOT_A_NUMBER = frozenset((".nan", ".NaN", ".NAN"))


def _resolve(text: str) -> ScalarValue:
    """The YAML 1.2 core schema's value of a plain scalar."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _RADIX.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITY.fullmatch(text):
        return float(text.replace(".", ""))
    return float("nan") if text in _NOT_A_NUMBER else text


def _encoding_problem(text: str | bytes, error: UnicodeError, file: str) -> Problem:
    start = error.start if isinstance(error, UnicodeDecodeError | UnicodeEncodeError) else 0
    before = text[:start].decode(errors="replace") if isinstance(text, bytes) else text[:start]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return Problem(file, line, column, "", "this is not valid UTF-8", "save the file as UTF-8", code="yaml")


@dataclass
class _Open:
    """A collection whose end has not been read yet."""

    event: Any
    children: list[Node] = field(default_factory=list)
    weight: int = 1


class _Composer:
    """Builds nodes from the library's event stream, with an explicit stack: depth is bounded by us alone."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._origin = _Source(file, text.splitlines())
        self._anchors: dict[str, Node] = {}
        self.problems: list[Problem] = []

    def documents(self) -> list[Node]:
        found: list[Node] = []
        try:
            for event in self._events():
                if isinstance(event, yaml.DocumentStartEvent):
                    self._anchors = {}
                    stack: list[_Open] = [_Open(event)]
                elif isinstance(event, yaml.DocumentEndEvent):
                    found += [node for node in stack[0].children if not _is_blank(node)]
                elif not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent):
                    self._feed(event, stack)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._report(mark, str(error.problem or error.context or "this is not YAML"))
        except yaml.reader.ReaderError as error:
            self._report_character(error)
        except _Abandoned:
            pass
        return found

    def _events(self) -> Iterator[Any]:
        loader: Any = yaml.CLoader if yaml.__with_libyaml__ else yaml.Loader
        return iter(yaml.parse(self._text, Loader=loader))

    def _feed(self, event: Any, stack: list[_Open]) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._close(event, self._scalar(event), stack)
        elif isinstance(event, yaml.AliasEvent):
            target = self._anchors.get(str(event.anchor))
            if target is None:
                self._abandon(event.start_mark, f"alias *{event.anchor} has no complete anchor before it")
            else:
                self._attach(target, stack, event)
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(stack) > MAX_DEPTH:
                self._abandon(event.start_mark, f"nested deeper than {MAX_DEPTH} levels")
            self._refuse_tag(event)
            stack.append(_Open(event))
        else:
            opened = stack.pop()
            node = (
                self._mapping(opened, event)
                if isinstance(event, yaml.MappingEndEvent)
                else Sequence(*self._span(opened.event, event), opened.weight, opened.children)
            )
            self._close(opened.event, node, stack)

    def _close(self, event: Any, node: Node, stack: list[_Open]) -> None:
        if event.anchor:
            self._anchors[event.anchor] = node
        self._attach(node, stack, event)

    def _attach(self, node: Node, stack: list[_Open], event: Any) -> None:
        parent = stack[-1]
        parent.weight += node.weight
        parent.children.append(node)
        if parent.weight > MAX_NODES:
            self._abandon(event.start_mark, f"the document expands to more than {MAX_NODES} nodes")

    def _scalar(self, event: Any) -> Scalar:
        text = str(event.value)
        span = self._span(event, event)
        tagged = self._refuse_tag(event)
        if event.style or tagged:  # the C parser says '' for plain, the Python one None
            return Scalar(*span, 1, text, text, True)
        if len(text) > MAX_DIGITS and (_DECIMAL.fullmatch(text) or _FLOAT.fullmatch(text)):
            self._report(event.start_mark, f"a number of more than {MAX_DIGITS} characters")
            return Scalar(*span, 1, text, text, False)
        return Scalar(*span, 1, _resolve(text), text, False)

    def _mapping(self, opened: _Open, end: Any) -> Mapping:
        items: list[tuple[Scalar, Node]] = []
        first: dict[str, Scalar] = {}
        for key, value in zip(opened.children[::2], opened.children[1::2], strict=True):
            if key.kind != "scalar":
                self.problems.append(key.problem("", "a key must be a single value", code="yaml"))
            elif key.text in first:
                message = f"key {key.text!r} is already given on line {first[key.text].line}"
                self.problems.append(key.problem("", message, "keep one of them", code="dup-key"))
            else:
                first[key.text] = key
                items.append((key, value))
        return Mapping(*self._span(opened.event, end), opened.weight, items)

    def _refuse_tag(self, event: Any) -> bool:
        """True for the one tag that is understood, the one that makes a scalar a text."""
        if event.tag in (None, "!", "tag:yaml.org,2002:str"):
            return event.tag is not None
        self._report(event.start_mark, f"tag {event.tag!r} is not supported", "write the value without it")
        return False

    def _span(self, start: Any, end: Any) -> tuple[_Source, int, int, int, int]:
        first, last = start.start_mark, end.end_mark
        return self._origin, first.line + 1, first.column + 1, last.line + 1, last.column + 1

    def _report(self, mark: Any, message: str, fix: str = "") -> None:
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        lines = self._origin.lines
        source = lines[line - 1] if line <= len(lines) else ""
        self.problems.append(Problem(self._origin.file, line, column, "", message, fix, code="yaml", source=source))

    def _abandon(self, mark: Any, message: str) -> None:
        self._report(mark, message)
        raise _Abandoned

    def _report_character(self, error: Any) -> None:
        """The library names the offset only: in bytes (C parser) or code points (Python parser)."""
        encoded = self._text.encode() if yaml.__with_libyaml__ else self._text.encode("utf-32-le")
        width = 1 if yaml.__with_libyaml__ else 4
        before = encoded[: error.position * width].decode("utf-8" if width == 1 else "utf-32-le", "ignore")
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        message = f"character U+{ord(self._text[len(before)]):04X} is not allowed in YAML"
        self.problems.append(Problem(self._origin.file, line, column, "", message, code="yaml"))


class _Abandoned(Exception):
    """The problem is reported; reading on makes no sense."""


def _is_blank(node: Node) -> bool:
    return node.kind == "scalar" and node.value is None
