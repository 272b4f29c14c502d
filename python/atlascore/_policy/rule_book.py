"""The rules that a policy loads, and how the policy names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atlascore._policy.document import Document, Match, Override
from atlascore._policy.section import Reference, did_you_mean
from atlascore._yaml import Problem
from atlascore.sigma import BUILTIN, Rule

__all__ = ["RuleBook", "bind_overrides", "named_files", "rule_files"]


def rule_files(pattern: Reference, base: Path, problems: list[Problem]) -> list[Path]:
    """The files that one entry of rules.paths names, sorted; a directory stands for the rules below it."""
    if pattern.text == "builtin":
        return [BUILTIN]
    return named_files(pattern, base, problems)


def named_files(pattern: Reference, base: Path, problems: list[Problem]) -> list[Path]:
    """The files that a glob of the policy names, sorted; a directory stands for the YAML files below it."""
    anchor = Path(pattern.text).anchor
    named = list((Path(anchor) if anchor else base).glob(pattern.text.removeprefix(anchor)))
    below = [file for path in named if path.is_dir() for file in path.rglob("*")]
    rules = [file for file in below if file.suffix in (".yml", ".yaml")]
    found = sorted(rules + [path for path in named if not path.is_dir()])
    if not found:
        fix = did_you_mean(pattern.text, ("builtin",)) or "paths are relative to the policy file"
        problems.append(pattern.problem(f'no file matches "{pattern.text}"', fix))
    return found


class RuleBook:
    """The loaded rules as a policy names them: by id, alias or tag.

    A position is the program's rule index.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._positions = {name: i for i, rule in enumerate(rules) for name in (*rule.aliases, rule.id)}
        self._tags = [{tag.lower() for tag in rule.normalized_tags} for rule in rules]
        self._levels = [rule.level for rule in rules]

    def __len__(self) -> int:
        return len(self._rules)

    def find(self, name: str) -> int | None:
        return self._positions.get(name, self._positions.get(name.lower()))

    def position(self, reference: Reference, problems: list[Problem]) -> int | None:
        """Where the named rule is; an unknown name is reported."""
        found = self.find(reference.text)
        if found is None:
            by_title = next((rule.id for rule in self._rules if rule.title == reference.text), None)
            fix = f"name it by its id, {by_title}" if by_title else did_you_mean(reference.text, self._positions)
            problems.append(reference.problem(f'unknown rule "{reference.text}"', fix))
        return found

    def id(self, position: int) -> str:
        return self._rules[position].id

    def level(self, position: int) -> str:
        return self._levels[position]

    def set_level(self, position: int, level: str) -> None:
        self._levels[position] = level

    def with_tag(self, tag: str) -> set[int]:
        """Rules with this tag, or with one below it: atlas.aml.t0024 covers atlas.aml.t0024.002."""
        wanted = tag.lower()
        wanted = f"atlas.{wanted}" if wanted.startswith("aml.") else wanted
        return {
            i for i, tags in enumerate(self._tags) if any(own == wanted or own.startswith(f"{wanted}.") for own in tags)
        }

    def matching(self, match: Match) -> list[int]:
        """Rules whose match a response answers, in order."""
        found = set(range(len(self._rules)))
        if match.rule:
            found &= {self.find(name.text) for name in match.rule}
        if match.level:
            found &= {i for i, level in enumerate(self._levels) if level in match.level}
        if match.tag:
            found &= set().union(*(self.with_tag(tag.text) for tag in match.tag))
        return sorted(found)


def bind_overrides(document: Document, book: RuleBook, problems: list[Problem]) -> dict[int, Override]:
    """The override of each overridden rule, by the rule's position; the book learns the new levels."""
    bound: dict[int, Override] = {}
    for override in document.overrides:
        position = book.position(override.rule, problems)
        if position is None:
            continue
        if position in bound:
            problems.append(override.rule.problem("this rule is already overridden", "join the two entries"))
        bound[position] = override
        if override.level is not None:
            book.set_level(position, override.level)
    return bound
