"""A policy text, its rules, and what both mean together."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atlascore._policy.document import Document
from atlascore._policy.measured import evidence_off
from atlascore._policy.parse import parse_document
from atlascore._policy.probes import Probe, read_probes
from atlascore._policy.resolve import resolve
from atlascore._policy.rule_book import RuleBook, bind_overrides, rule_files
from atlascore._yaml import Problem, compose
from atlascore.errors import PolicyError, RuleError
from atlascore.sigma import Rule, RuleSet, read_paths

__all__ = ["Loaded", "load_policy"]


@dataclass(frozen=True)
class Loaded:
    """`resolved` is the data that Policy.resolved describes; `problems` are warnings, sorted by position."""

    document: Document
    rules: RuleSet
    resolved: dict[str, Any]
    problems: tuple[Problem, ...]


def load_policy(
    text: str | bytes, file: str, base: Path, mode: str | None, rule_paths: Sequence[str | Path] = ()
) -> Loaded:
    """Read a policy and its rules. mode: replaces the one of the text; rule_paths: to add to its own.

    Raises PolicyError with every error in both, OSError when a rule file cannot be read.
    """
    problems: list[Problem] = []
    document = _read(text, file, problems)
    if mode is not None:
        document = replace(document, mode=mode)
    parsed = _load_rules(document, base, rule_paths, problems)
    book = RuleBook(parsed)
    overrides = bind_overrides(document, book, problems)
    resolved = resolve(document, book, overrides, base, time.time(), problems)
    probes = read_probes(document.probe_paths, base, problems)
    families = list(dict.fromkeys(probe.family for probe in probes))
    resolved["probes"] = [{"family": families.index(probe.family), "text": probe.text} for probe in probes]
    for entry, model in zip(resolved["models"], document.models, strict=True):
        entry["evidence_off"] = evidence_off(model.pattern, model.baseline, base, problems)
    _raise_errors(problems)
    try:
        rules = RuleSet.build(
            parsed,
            level={book.id(i): o.level for i, o in overrides.items() if o.level is not None},
            timeframe={book.id(i): o.timeframe for i, o in overrides.items() if o.timeframe is not None},
        )
    except RuleError as error:
        raise PolicyError(error.problems) from None
    resolved["hash"] = _digest(document, rules, probes, [entry["evidence_off"] for entry in resolved["models"]])
    return Loaded(document, rules, resolved, tuple(sorted(problems, key=lambda problem: problem.position)))


def _read(text: str | bytes, file: str, problems: list[Problem]) -> Document:
    documents, syntax_problems = compose(text, file)
    problems += syntax_problems
    if len(documents) != 1:
        if not syntax_problems:
            message = f"expected one YAML document, found {len(documents)}"
            problems.append(Problem(file, 1, 1, "", message, "write at least version: 1"))
        raise PolicyError(problems)
    return parse_document(documents[0], problems)


def _load_rules(document: Document, base: Path, more: Iterable[str | Path], problems: list[Problem]) -> list[Rule]:
    """The rules of rules.paths and of more paths; shipped ones are read strictly.

    When a file is missing or a rule cannot be read, PolicyError is raised here: whatever would be said after
    that about unknown rules may be wrong.
    """
    missing: list[Problem] = []
    paths: dict[Path, None] = {}  # ordered, without duplicates
    for pattern in document.rule_paths:
        paths |= dict.fromkeys(rule_files(pattern, base, missing))
    loaded = read_paths([*paths, *more])
    problems += missing + loaded.problems
    if missing or any(problem.severity == "error" for problem in loaded.problems):
        _raise_errors(problems)
    return loaded.rules


def _raise_errors(problems: Iterable[Problem]) -> None:
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise PolicyError(errors)


def _digest(document: Document, rules: RuleSet, probes: Sequence[Probe], evidence_off: Sequence[dict[str, Any]]) -> str:
    content = {
        "policy": _canonical(document.to_dict()),
        "rules": rules.digest,
        "probes": [[probe.family, probe.text] for probe in probes],
        "evidence_off": evidence_off,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(value: Any) -> Any:
    """Numbers that are whole as integers: how a number is written does not matter."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
