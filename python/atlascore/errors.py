"""The errors that a caller may catch. All are ValueError: the input was wrong, and the message says where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atlascore._yaml import Problem

__all__ = ["LogError", "PolicyError", "RuleError"]


class _PositionedError(ValueError):
    """Problems found in files, all of them at once, in the order of their position.

    `file`, `line` and `column` (1-based) are those of the first problem; `problems` holds every one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        if not problems:
            raise TypeError(f"{type(self).__name__} needs at least one problem")
        self.problems: tuple[Problem, ...] = tuple(sorted(problems, key=lambda problem: problem.position))
        self.file: str = self.problems[0].file
        self.line: int = self.problems[0].line
        self.column: int = self.problems[0].column
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[_PositionedError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class PolicyError(_PositionedError):
    """A policy file cannot be used."""


class RuleError(_PositionedError):
    """One or more Sigma rules cannot be used."""


class LogError(ValueError):
    """A decision log cannot be read or fails verification."""
