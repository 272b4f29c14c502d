"""ATLAS tags: the many ways people write them, and the one canonical form `atlas.aml.t0024.002`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from atlascore._yaml import Node, Scalar, Severity
from atlascore.atlas import catalogue
from atlascore.sigma.lint import Report

# Sigma's own pattern for a tag: a namespace and a name, lower case.
_SIGMA_TAG = re.compile(r"[a-z0-9_-]+\.[a-z0-9._-]+")
_CANONICAL = re.compile(r"atlas\.aml\.(t[0-9]{4}(\.[0-9]{3})?|ta[0-9]{4})")
# Spellings that are one warning away from canonical; the looser ones are tolerated in compat mode alone.
_CLOSE = re.compile(r"(?:mitre_)?atlas\.aml\.(t[0-9]{4}(?:\.[0-9]{3})?|ta[0-9]{4})", re.IGNORECASE)
_LOOSE = re.compile(
    r"(?:(?:attack\.atlas\.|mitre\.atlas\.|mitre_atlas\.|atlas[.-])(?:aml[.-])?|aml\.)"
    r"(t[0-9]{4}(?:\.[0-9]{3})?|ta[0-9]{4})",
    re.IGNORECASE,
)
_SLUG = re.compile(r"(?:mitre_)?atlas\.([a-z_]+)", re.IGNORECASE)
_TECHNIQUE_NAMES = {"training_data_poisoning": "AML.T0020"}


@dataclass(frozen=True)
class Tags:
    written: tuple[str, ...] = ()
    normalized: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()


def read(node: Node | None, report: Report) -> Tags:
    """The rule's tags, with the ids of the ATLAS techniques they name."""
    if node is None:
        return Tags()
    items = node.items if node.kind == "list" else [node]
    scalars = [item for item in items if item.kind == "scalar" and isinstance(item.value, str)]
    if node.kind != "list" or len(scalars) != len(items):
        report.add("bad-value", node, "tags", "tags must be a list of texts")
        return Tags()
    normalized = [_normalize(scalar, report) for scalar in scalars]
    known = catalogue.techniques()
    ids = {tag.removeprefix("atlas.").upper() for tag in normalized if _CANONICAL.fullmatch(tag)}
    return Tags(
        tuple(scalar.text for scalar in scalars),
        tuple(dict.fromkeys(normalized)),
        tuple(sorted(ids & known.keys())),
    )


def _normalize(scalar: Scalar, report: Report) -> str:
    tag = scalar.text
    identifier = _identifier(scalar, report)
    if identifier is None:
        if not _SIGMA_TAG.fullmatch(tag):
            report.add(
                "tag-form",
                scalar,
                "tags",
                f"{tag!r} is not a Sigma tag",
                "write namespace.name in lower case",
            )
        return tag
    successor = catalogue.RENUMBERED.get(identifier)
    if successor:
        fix = f"write {_canonical(successor)}"
        report.add("tag-retired", scalar, "tags", f"{identifier} is {successor} in ATLAS {catalogue.RELEASE}", fix)
        identifier = successor
    elif identifier.startswith("AML.TA"):
        _check_tactic(identifier, scalar, report)
    elif identifier not in catalogue.techniques():
        report.add("tag-unknown", scalar, "tags", f"ATLAS {catalogue.RELEASE} has no technique {identifier}")
    return _canonical(identifier)


def _check_tactic(identifier: str, scalar: Scalar, report: Report) -> None:
    name = catalogue.TACTICS.get(identifier)
    if name is None:
        report.add("tag-unknown", scalar, "tags", f"ATLAS {catalogue.RELEASE} has no tactic {identifier}")
    elif _CANONICAL.fullmatch(scalar.text):
        message = f"{identifier} is the tactic {name} and counts for no technique"
        report.add("tag-tactic", scalar, "tags", message, "name a technique")


def _identifier(scalar: Scalar, report: Report) -> str | None:
    """The ATLAS id that a tag names, in upper case; reports spellings other than the canonical one."""
    tag = scalar.text
    if _CANONICAL.fullmatch(tag):
        return tag.removeprefix("atlas.").upper()
    by_id = _CLOSE.fullmatch(tag) or _LOOSE.fullmatch(tag)
    slug = _SLUG.fullmatch(tag)
    identifier = f"AML.{by_id.group(1).upper()}" if by_id else _named(slug.group(1).lower()) if slug else None
    if identifier is None:
        return None
    fix = f"write {_canonical(identifier)}"
    if identifier in catalogue.TACTICS:
        fix += ", or better the technique"
    close = slug or _CLOSE.fullmatch(tag)
    severity: Severity | None = "warning" if close and _SIGMA_TAG.fullmatch(tag) else None
    meaning = catalogue.TACTICS.get(identifier, identifier)
    report.add("tag-form", scalar, "tags", f"{tag!r} read as {meaning}", fix, severity=severity)
    return identifier


def _named(slug: str) -> str | None:
    return _TECHNIQUE_NAMES.get(slug) or catalogue.find_tactic(slug)


def _canonical(identifier: str) -> str:
    return f"atlas.{identifier.lower()}"
