"""What a Sigma rule means, after lists, modifiers and search identifiers are resolved.

An expression is a tree of And, Or and Not over leaves; a leaf compares one event field or signal with one
operand. Leaves keep the node they were written as, so that later stages can point at the source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from atlascore._yaml import Mapping, Node, Scalar

Operator: TypeAlias = Literal[
    "exists", "null", "equal", "contains", "startswith", "endswith", "regex", "lt", "lte", "gt", "gte"
]
Operand: TypeAlias = "str | int | float | bool | None"
Scope: TypeAlias = Literal["track", "principal", "global"]
Phase: TypeAlias = Literal["request", "response"]

LEVELS = ("informational", "low", "medium", "high", "critical")
DEFAULT_WINDOW = 300  # seconds


@dataclass(frozen=True)
class Leaf:
    """One comparison. `option` is "" or "cased"; for a regex, any of the flags "ims"."""

    subject: str
    operator: Operator
    operand: Operand
    option: str
    node: Scalar = field(compare=False, repr=False)


@dataclass(frozen=True)
class Not:
    child: Expression


@dataclass(frozen=True)
class And:
    children: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    children: tuple[Expression, ...]


Expression: TypeAlias = "Leaf | Not | And | Or"


def conjunction(children: list[Expression]) -> Expression:
    return children[0] if len(children) == 1 else And(tuple(children))


def disjunction(children: list[Expression]) -> Expression:
    return children[0] if len(children) == 1 else Or(tuple(children))


def leaves(expression: Expression) -> Iterator[Leaf]:
    """The leaves in the order they are written."""
    if isinstance(expression, Leaf):
        yield expression
    elif isinstance(expression, Not):
        yield from leaves(expression.child)
    else:
        for child in expression.children:
            yield from leaves(child)


@dataclass(frozen=True)
class Logsource:
    product: str = ""
    service: str = ""
    category: str = ""


@dataclass(frozen=True)
class Rule:
    """A detection rule. `aliases` are further names it may be called by: the written id, and `name`."""

    id: str
    aliases: tuple[str, ...]
    title: str
    level: str
    tags: tuple[str, ...]  # as written
    normalized_tags: tuple[str, ...]  # ATLAS tags in their canonical form, others as written
    techniques: tuple[str, ...]  # ids of the ATLAS release, sorted
    logsource: Logsource
    window: int  # seconds
    scope: Scope
    phase: Phase
    condition: Expression
    falsepositives: tuple[str, ...]
    node: Mapping = field(compare=False, repr=False)
    timeframe_node: Node | None = field(default=None, compare=False, repr=False)
    shipped: bool = False

    @property
    def file(self) -> str:
        return self.node.file

    @property
    def line(self) -> int:
        return self.node.line

    def digest(self) -> str:
        """SHA-256, in hex, of what the rule means and how it is labelled; layout and order do not matter."""
        source = self.logsource
        parts = [self.id, self.level, sorted(self.normalized_tags), self.window, self.scope]
        parts += [[source.product, source.service, source.category], canonical(self.condition)]
        return _sha256(parts)


def canonical(expression: Expression) -> list[object]:
    """The expression as JSON data in which the order of alternatives and repetitions are gone."""
    if isinstance(expression, Leaf):
        kind = type(expression.operand).__name__
        return ["leaf", expression.subject, expression.operator, kind, expression.operand, expression.option]
    if isinstance(expression, Not):
        return ["not", canonical(expression.child)]
    children = {json.dumps(found): found for found in map(canonical, expression.children)}
    return ["and" if isinstance(expression, And) else "or", *(children[text] for text in sorted(children))]


def expression_digest(expression: Expression) -> str:
    return _sha256(canonical(expression))


def _sha256(data: object) -> str:
    return hashlib.sha256(json.dumps(data, ensure_ascii=True).encode()).hexdigest()
