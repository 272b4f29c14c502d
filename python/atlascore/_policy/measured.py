"""The baseline that a policy names for a model: which components of evidence honest callers hit too often there.

`atlascore scan --baseline` writes the file; of it only "version" and of each model "evidence" are read. A glob is
about the models of the file that it matches. A route of one of these gets what was found of its own model. Any other
that the glob is in force for gets what was found of any of them: a component that one of them cannot bear is off,
because nobody knows which of them it is like.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlascore._core import evidence_components
from atlascore._policy.globs import matches
from atlascore._policy.section import Reference, did_you_mean, quoted
from atlascore._yaml import Problem

__all__ = ["OUTCOMES", "VERSION", "evidence_off"]

VERSION = 2  # of the file; 1 had no evidence
OUTCOMES = ("kept", "not measured", "off")
_AGAIN = "write it again: atlascore scan LOG --baseline FILE"


@dataclass(frozen=True)
class _Entry:
    """What the file says of a component at a model."""

    component: str
    p0: float
    bound: float
    outcome: str


class _NoBaselineError(ValueError):
    """The file is not what `atlascore scan --baseline` writes."""


def evidence_off(pattern: str, name: Reference | None, base: Path, problems: list[Problem]) -> dict[str, Any]:
    """Names of the components that are off: "measured" of each model of the file that the glob `pattern` matches,
    "others" of the rest that the glob is in force for."""
    measured: dict[str, list[str]] = {}
    if name is not None:
        models = _models(name, base, problems)
        found = {model: entries for model, entries in models.items() if matches(pattern, model)}
        if models and not found:
            message = f'"{name.text}" has measured no model that "{pattern}" matches'
            problems.append(
                name.problem(message, f"it has measured {', '.join(map(_shown, models))}; scan a log of such a model")
            )
        for model, entries in found.items():
            measured[model] = [entry.component for entry in entries if entry.outcome == "off"]
            _warn(name, model, entries, problems)
    off = {component for components in measured.values() for component in components}
    return {"measured": measured, "others": sorted(off)}


def _models(name: Reference, base: Path, problems: list[Problem]) -> dict[str, list[_Entry]]:
    """What the file says of each model; nothing, and a problem, when it cannot be used."""
    try:
        models = _read((base / name.text).read_bytes())
    except OSError as error:
        fix = "paths are relative to the policy file; make one with: atlascore scan LOG --baseline FILE"
        problems.append(name.problem(f'cannot read "{name.text}": {error.strerror}', fix))
    except _NoBaselineError as error:
        problems.append(name.problem(f'"{name.text}" is no baseline: {error}', _AGAIN))
    except ValueError as error:  # a null character in the name
        problems.append(name.problem(f"cannot read {_shown(name.text)}: {error}", "name a file"))
    else:
        if not models:
            problems.append(name.problem(f'"{name.text}" has measured no model', "scan a log that has events"))
        return models
    return {}


def _read(content: bytes) -> dict[str, list[_Entry]]:
    try:
        data = json.loads(content.decode())
    except RecursionError:
        raise _NoBaselineError("nested too deeply") from None
    except ValueError as error:  # neither UTF-8 nor JSON, or a number of thousands of digits
        raise _NoBaselineError(f"not JSON: {error}") from None
    top = _mapping(data, "the file")
    version = top.get("version")
    if type(version) is not int or version != VERSION:
        raise _NoBaselineError(f"its version is {_shown(version)}, this one reads {VERSION}")
    models = _mapping(top.get("models"), "models")
    return {_text(model, "a model's name"): _entries(model, entry) for model, entry in models.items()}


def _entries(model: str, given: Any) -> list[_Entry]:
    where = f"models.{_shown(model)}.evidence"
    evidence = _mapping(given, f"models.{_shown(model)}").get("evidence")
    if not isinstance(evidence, list):
        raise _NoBaselineError(f"{where}: expected a list")
    entries = [_entry(entry, f"{where}[{i}]") for i, entry in enumerate(evidence)]
    names = [entry.component for entry in entries]
    if len(set(names)) < len(names):
        raise _NoBaselineError(f"{where}: a component is there twice")
    return entries


def _entry(given: Any, where: str) -> _Entry:
    entry = _mapping(given, where)
    component, outcome = (_text(entry.get(key), f"{where}.{key}") for key in ("component", "outcome"))
    if component not in (known := _known()):
        hint = did_you_mean(component, known) or f"known are {quoted(known)}"
        raise _NoBaselineError(f"{where}: unknown component {_shown(component)}; {hint}")
    if outcome not in OUTCOMES:
        raise _NoBaselineError(f"{where}: unknown outcome {_shown(outcome)}; known are {quoted(OUTCOMES)}")
    return _Entry(component, _share(entry, "p0", where), _share(entry, "bound", where), outcome)


def _share(entry: Mapping[str, Any], key: str, where: str) -> float:
    value = entry.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise _NoBaselineError(f"{where}.{key}: expected a number from 0 to 1, found {_shown(value)}")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _NoBaselineError(f"{where}: expected an object, found {_shown(value)}")


def _text(value: Any, where: str) -> str:
    """A text that has a form in UTF-8: JSON can write half of a surrogate pair."""
    if isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value):
        return value
    raise _NoBaselineError(f"{where}: expected a text, found {_shown(value)}")


def _shown(value: Any) -> str:
    """A value of the file in a message, in plain characters and no longer than a line."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "something nested deeply"
    return text if len(text) <= 60 else f"{text[:60]}..."


def _known() -> dict[str, float]:
    return {component["name"]: component["p0"] for component in evidence_components()}


def _warn(name: Reference, model: str, entries: Iterable[_Entry], problems: list[Problem]) -> None:
    entries = list(entries)
    off = [
        f"{entry.component} (up to {entry.bound:.3g}, p0 is {entry.p0:g})"
        for entry in entries
        if entry.outcome == "off"
    ]
    if off:
        message = f"{_shown(model)}: off, because honest callers hit them too often: {', '.join(off)}"
        fix = "the rest of the evidence works; atlascore scan LOG --baseline FILE shows whose hits these are"
        problems.append(name.problem(message, fix, "warning", "evidence-off"))
    measured = {entry.component: entry.p0 for entry in entries}
    stale = [component for component, p0 in _known().items() if measured.get(component) != p0]
    if stale:
        message = f"{_shown(model)}: measured for another version, which had other values of p0 for {', '.join(stale)}"
        problems.append(name.problem(message, _AGAIN, "warning", "baseline-outdated"))
