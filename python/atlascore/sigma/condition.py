"""Conditions: `selection and not 1 of filter_*` to an expression over search identifiers.

Precedence, loosest first: or, and, not, `x of`, parentheses. Words are whole tokens, identifiers are
case-sensitive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import combinations
from math import comb
from typing import NamedTuple

from atlascore._yaml import Scalar
from atlascore.sigma.ast import And, Expression, Not, conjunction, disjunction
from atlascore.sigma.lint import Report, nearest

MAX_NESTING = 64
MAX_LENGTH = 65_536  # characters; the longest condition of SigmaHQ has a few hundred
MAX_COMBINATIONS = 1000  # alternatives that `N of` may expand to

_TOKEN = re.compile(r"[()|]|[A-Za-z0-9_.*-]+|\S")
_KNOWN = re.compile(r"[()A-Za-z0-9_.*-]")
_WORDS = frozenset(("and", "or", "not", "of"))


class _Token(NamedTuple):
    text: str
    start: int


class _Invalid(Exception):
    """The condition is wrong and that is reported."""


class ConditionParser:
    """Parses the conditions of one rule.

    `detections` are the rule's search identifiers; a value of None is one whose meaning could not be read.
    `used` collects the names that some condition selects.
    """

    def __init__(self, detections: Mapping[str, Expression | None], report: Report) -> None:
        self._detections = detections
        self._report = report
        self.used: set[str] = set()

    def parse(self, node: Scalar) -> Expression | None:
        """The condition's expression, or None when it has none (and that is reported)."""
        self._node = node
        self._depth = 0
        self._at = 0
        try:
            self._tokens = self._tokenize(node.text)
            expression = self._or()
            if self._at < len(self._tokens):
                token = self._tokens[self._at]
                raise self._error(token, f"expected 'and' or 'or' before {token.text!r}")
        except _Invalid:
            return None
        missing = any(self._detections[name] is None for name in self.used)
        return None if missing else expression

    def _tokenize(self, text: str) -> list[_Token]:
        if len(text) > MAX_LENGTH:
            raise self._error(
                _Token("", 0), f"a condition has at most {MAX_LENGTH:,} characters, this one {len(text):,}"
            )
        tokens = []
        for match in _TOKEN.finditer(text):
            token = _Token(match.group(), match.start())
            if token.text == "|":
                message = "aggregations after '|' are not supported by this version"
                self._report.add_inside("unsupported", self._node, token.start, "|", message)
                raise _Invalid
            if not _KNOWN.match(token.text):
                raise self._error(token, f"{token.text!r} has no meaning in a condition")
            tokens.append(token)
        return tokens

    def _error(self, token: _Token, message: str, fix: str = "") -> _Invalid:
        self._report.add_inside("condition", self._node, token.start, token.text, message, fix)
        return _Invalid()

    # Tokens

    def _word(self, token: _Token) -> str:
        """The keyword a token is, or ''. In another case it is one unless an identifier has that name."""
        word = token.text.lower()
        if word not in _WORDS or (word != token.text and token.text in self._detections):
            return ""
        return word

    def _accept(self, word: str) -> bool:
        if self._at == len(self._tokens):
            return False
        token = self._tokens[self._at]
        if self._word(token) != word and token.text != word:
            return False
        if token.text != word:
            message = f"{token.text!r} is not a Sigma keyword, read as {word!r}"
            self._report.add_inside("condition-case", self._node, token.start, token.text, message, f"write {word}")
        self._at += 1
        return True

    def _next(self, expected: str) -> _Token:
        if self._at == len(self._tokens):
            raise self._error(_Token("", len(self._node.text)), f"the condition ends where {expected} should follow")
        self._at += 1
        return self._tokens[self._at - 1]

    # Grammar

    def _or(self) -> Expression:
        children = [self._and()]
        while self._accept("or"):
            children.append(self._and())
        return disjunction(children)

    def _and(self) -> Expression:
        children = [self._not()]
        while self._accept("and"):
            children.append(self._not())
        return conjunction(children)

    def _not(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._error(self._tokens[self._at - 1], f"nested deeper than {MAX_NESTING} levels")
        expression = Not(self._not()) if self._accept("not") else self._primary()
        self._depth -= 1
        return expression

    def _primary(self) -> Expression:
        token = self._next("a search identifier")
        if token.text == "(":
            expression = self._or()
            if not self._accept(")"):
                raise self._error(token, "this parenthesis is not closed")
            return expression
        if self._at < len(self._tokens) and self._word(self._tokens[self._at]) == "of":
            self._accept("of")
            return self._quantified(token)
        if token.text == ")" or self._word(token) or "*" in token.text:
            raise self._error(token, f"expected a search identifier, found {token.text!r}")
        return self._identifier(token)

    def _identifier(self, token: _Token) -> Expression:
        if token.text not in self._detections:
            fix = nearest(token.text, self._detections)
            raise self._error(token, f"there is no search identifier {token.text!r}", fix)
        return self._use([token.text])[0]

    def _use(self, names: list[str]) -> list[Expression]:
        self.used.update(names)
        placeholder = And(())  # for one that is not readable; the result is thrown away
        return [self._detections[name] or placeholder for name in names]

    def _quantified(self, quantifier: _Token) -> Expression:
        pattern = self._next("'them' or a name pattern")
        selected = self._use(self._select(pattern))
        needed = self._count(quantifier, len(selected))
        if needed > len(selected):
            raise self._error(quantifier, f"{pattern.text!r} selects only {len(selected)} search identifiers")
        if needed == 1:
            return disjunction(selected)
        if comb(len(selected), needed) > MAX_COMBINATIONS:
            raise self._error(quantifier, f"{needed} of {len(selected)} has more than {MAX_COMBINATIONS} combinations")
        return disjunction([conjunction(list(chosen)) for chosen in combinations(selected, needed)])

    def _select(self, pattern: _Token) -> list[str]:
        glob = "*" if pattern.text == "them" else pattern.text
        hidden = glob.startswith("_")
        names = [name for name in self._detections if fnmatchcase(name, glob) and (hidden or not name.startswith("_"))]
        if not names:
            fix = nearest(pattern.text.replace("*", ""), self._detections)
            raise self._error(pattern, f"{pattern.text!r} selects no search identifier", fix)
        return names

    def _count(self, quantifier: _Token, available: int) -> int:
        word = quantifier.text
        if word == "all":
            return available
        if word == "1":
            return 1
        lowered = word.lower()
        if lowered == "all":
            self._report_quantifier(quantifier, "all of")
            return available
        if lowered == "any":
            self._report_quantifier(quantifier, "1 of")
            return 1
        if word.isdigit() and 0 < int(word[:6]) <= 10_000:
            self._report_quantifier(quantifier, "1 of or all of")
            return int(word)
        raise self._error(quantifier, f"{word!r} is not a quantity", "write 1 of or all of")

    def _report_quantifier(self, token: _Token, fix: str) -> None:
        message = f"'{token.text} of' is not Sigma"
        self._report.add_inside("quantifier", self._node, token.start, token.text, message, f"write {fix}")
