"""The dictionary of known probes: files of fixed prompts, a family each, that tools send to tell models apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from atlascore._policy.rule_book import named_files
from atlascore._policy.section import Reference, Section
from atlascore._yaml import Problem, compose

__all__ = ["Probe", "read_probes"]

_SHIPPED = Path(__file__).parent.parent / "probes"
_MOST = 4095  # a track keeps 12 bits of each


@dataclass(frozen=True)
class Probe:
    family: str
    text: str


def read_probes(paths: Iterable[Reference], base: Path, problems: list[Problem]) -> list[Probe]:
    """The prompts of all files that are named, in order; "builtin" stands for the shipped ones.

    Raises OSError when a file cannot be read.
    """
    files: dict[Path, None] = {}  # ordered, without duplicates
    for pattern in paths:
        shipped = sorted(_SHIPPED.glob("*.yml")) if pattern.text == "builtin" else None
        files |= dict.fromkeys(shipped if shipped is not None else named_files(pattern, base, problems))
    found: dict[str, tuple[Probe, Reference]] = {}
    for file in files:
        for family, prompt in _read(file, problems):
            words = " ".join(prompt.text.casefold().split())
            if words in found:
                place = found[words][1].node
                problems.append(prompt.problem(f"the prompt is already in {place.file}:{place.line}", "remove it"))
            found.setdefault(words, (Probe(family, prompt.text), prompt))
            if len(found) == _MOST + 1:
                problems.append(prompt.problem(f"more than {_MOST} prompts", "remove some"))
    return [probe for probe, _ in found.values()]


def _read(file: Path, problems: list[Problem]) -> list[tuple[str, Reference]]:
    documents, syntax = compose(file.read_bytes(), str(file))
    problems += syntax
    found = []
    for document in documents:
        top = Section(document, "", problems, document)
        family = top.required_text("family", "a name for the prompts that one kind of tool sends")
        if "prompts" not in top:
            top.report('missing "prompts"', "list the texts")
        found += [(family, prompt) for prompt in top.references("prompts")]
        top.close()
    return found
