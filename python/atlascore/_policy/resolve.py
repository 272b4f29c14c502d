"""From what a policy says to what it means for the rules that are loaded: the data that the core compiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from atlascore._policy.document import (
    MODES,
    Allow,
    Document,
    Feature,
    Input,
    Limit,
    Model,
    Override,
    Response,
    Scale,
)
from atlascore._policy.rule_book import RuleBook
from atlascore._policy.section import Reference, did_you_mean
from atlascore._yaml import Problem

__all__ = ["resolve"]

_MAKE_SALT = "make one with: head -c 32 /dev/urandom > FILE"


def resolve(
    document: Document,
    book: RuleBook,
    overrides: Mapping[int, Override],
    base: Path,
    now: float,
    problems: list[Problem],
) -> dict[str, Any]:
    """The policy as plain data about the loaded rules; what names nothing, or has no effect, is reported.

    base: the directory that file names in the policy are relative to. now: seconds since the Unix epoch.
    """
    _warn_of_expired(document, now, problems)
    state = asdict(document.state)
    if document.state.region is not None and not document.state.region.startswith("shm:"):
        state["region"] = _beside(base, document.state.region)
    directory = _beside(base, document.log_directory)
    return {
        "name": document.name,
        "mode": document.mode,
        "unknown_model": document.unknown_model,
        "models": [_model(model) for model in document.models],
        "rules": [_rule(i, book, overrides.get(i), document.mode) for i in range(len(book))],
        "responses": [_response(response, book, problems) for response in document.responses],
        "limits": [_limit(limit) for limit in document.limits],
        "allow": [_allow(entry, book, problems) for entry in document.allow],
        "failure": asdict(document.failure),
        "log": None if directory is None else {"directory": directory},
        "privacy": {
            "principals": document.privacy.principals,
            "salt_file": _salt_file(document.privacy.salt_file, base, problems),
        },
        "state": state,
    }


def _beside(base: Path, name: str | None) -> str | None:
    return None if name is None else str(base / name)


def _salt_file(name: Reference | None, base: Path, problems: list[Problem]) -> str | None:
    if name is None:
        return None
    try:
        size = (base / name.text).stat().st_size
    except OSError as error:
        problems.append(name.problem(f'cannot read "{name.text}": {error.strerror}', _MAKE_SALT))
    else:
        if size != 32:
            problems.append(name.problem(f'"{name.text}" holds {size} bytes, 32 are needed', _MAKE_SALT))
    return str(base / name.text)


def _model(model: Model) -> dict[str, Any]:
    given = model.input
    return {
        "pattern": model.pattern,
        "kind": model.kind,
        "classes": model.classes,
        "labels": _listed(model.labels),
        "modality": given.modality,
        "shape": _listed(given.shape),
        **_scale(given.scale),
        **_grid(given),
        "categories": given.categories,
        "sensitive": list(given.sensitive),
        "extraction_budget": model.extraction_budget,
        "templates": list(model.templates),
        "features": None if given.features is None else [_feature(feature) for feature in given.features],
    }


def _scale(scale: Scale | None) -> dict[str, list[float] | None]:
    if scale is None:
        return {"center": None, "scale": None}
    return {"center": list(scale.center), "scale": list(scale.scale)}


def _grid(given: Input) -> dict[str, list[float]]:
    """Origin and step of the grid of values, of each feature or of all; a step of 0 stands for no grid."""
    if given.features is not None:
        pairs = [_steps(feature.scale, feature.grid, feature.decimals)[0] for feature in given.features]
    else:
        pairs = _steps(given.scale, given.grid, given.decimals)
    return {"grid_origins": [origin for origin, _ in pairs], "grid_steps": [step for _, step in pairs]}


def _steps(scale: Scale | None, grid: int | None, decimals: int | None) -> list[tuple[float, float]]:
    if grid is not None and scale is not None:
        return [(low, width / grid) for low, width in zip(scale.center, scale.scale, strict=True)]
    return [(0.0, 0.0 if decimals is None else 10.0**-decimals)]


def _feature(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "kind": "numeric" if feature.categories is None else "categorical",
        "center": None if feature.scale is None else feature.scale.center[0],
        "scale": None if feature.scale is None else feature.scale.scale[0],
        "categories": feature.categories,
    }


def _listed(values: Sequence[Any] | None) -> list[Any] | None:
    return None if values is None else list(values)


def _rule(position: int, book: RuleBook, override: Override | None, ceiling: str) -> dict[str, Any]:
    own = override.mode if override is not None and override.mode is not None else ceiling
    return {
        "index": position,
        "mode": min(own, ceiling, key=MODES.index),
        "level": book.level(position),
        "exclude": {
            "principals": [] if override is None else list(override.principals),
            "routes": [] if override is None else list(override.routes),
            "models": [] if override is None else list(override.models),
        },
        "expires": None if override is None else override.expires,
    }


def _response(response: Response, book: RuleBook, problems: list[Problem]) -> dict[str, Any]:
    known = [book.position(reference, problems) for reference in response.match.rule]
    rules = book.matching(response.match)
    if not rules and None not in known:
        message = f'no loaded rule can reach response "{response.name.text}"'
        fix = "check its match, or load the rules it is meant for"
        problems.append(response.name.problem(message, fix, "warning", "unreachable-response"))
    delay = response.block_delay
    constraints = response.constraints if delay is None else delay.meanwhile
    return {
        "name": response.name.text,
        "rules": rules,
        "models": list(response.match.models),
        "routes": list(response.match.routes),
        "action": response.action,
        "constraints": constraints.to_dict(),
        "block_delay": None if delay is None else {"p": delay.p, "max": delay.max},
        "duration": None if response.duration is None else asdict(response.duration),
        "file": response.name.node.file,
        "line": response.name.node.line,
    }


def _limit(limit: Limit) -> dict[str, Any]:
    return {
        "name": limit.name.text,
        "per": list(limit.per),
        "models": list(limit.models),
        "unit": limit.unit,
        "max": limit.max,
        "window": limit.window,
        "action": limit.action,
        "constraints": limit.constraints.to_dict(),
        "advertise": limit.advertise,
    }


def _allow(entry: Allow, book: RuleBook, problems: list[Problem]) -> dict[str, Any]:
    rules: set[int] = set()
    for reference in entry.exempt:
        position = book.find(reference.text)
        if position is not None:
            rules.add(position)
        elif "." in reference.text:
            tagged = book.with_tag(reference.text)
            if not tagged:
                message = f'no loaded rule has tag "{reference.text}"'
                problems.append(reference.problem(message, "check the tag", "warning", "unreachable-exemption"))
            rules |= tagged
        elif reference.text != "limits":
            fix = did_you_mean(reference.text, ("limits",)) or 'name a tag, a rule by id or alias, or "limits"'
            problems.append(reference.problem(f'"{reference.text}" is not known', fix))
    return {
        "name": entry.name.text,
        "principals": list(entry.principals),
        "routes": list(entry.routes),
        "models": list(entry.models),
        "exempt_limits": any(reference.text == "limits" for reference in entry.exempt),
        "exempt_rules": sorted(rules),
        "expires": entry.expires,
        "reason": entry.reason,
    }


def _warn_of_expired(document: Document, now: float, problems: list[Problem]) -> None:
    """Only a warning: a log that is scanned may be older than the end of an entry."""
    ends = [(entry.name, entry.expires) for entry in document.allow]
    ends += [(entry.rule, entry.expires) for entry in document.overrides if entry.expires is not None]
    for reference, expires in ends:
        if expires <= now:
            when = datetime.fromtimestamp(expires, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            problems.append(reference.problem(f"expired at {when}", "remove it", "warning", "expired"))
