"""Tactics and techniques of MITRE ATLAS, pinned to one release.

Ids and names are facts of the ATLAS knowledge base (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

__all__ = ["RELEASE", "RENUMBERED", "TACTICS", "Technique", "find_tactic", "techniques"]

RELEASE = "2026.09"

TACTICS: Mapping[str, str] = MappingProxyType(
    {
        "AML.TA0000": "AI Model Access",
        "AML.TA0001": "AI Attack Adaptation",
        "AML.TA0002": "Reconnaissance",
        "AML.TA0003": "Resource Development",
        "AML.TA0004": "Initial Access",
        "AML.TA0005": "Execution",
        "AML.TA0006": "Persistence",
        "AML.TA0007": "Defense Evasion",
        "AML.TA0008": "Discovery",
        "AML.TA0009": "Collection",
        "AML.TA0010": "Exfiltration",
        "AML.TA0011": "Impact",
        "AML.TA0012": "Privilege Escalation",
        "AML.TA0013": "Credential Access",
        "AML.TA0014": "Command and Control",
        "AML.TA0015": "Lateral Movement",
    }
)

# Techniques of earlier releases whose id went away, and what they are called now.
RENUMBERED: Mapping[str, str] = MappingProxyType(
    {"AML.T0019": "AML.T0115.000", "AML.T0058": "AML.T0115.001", "AML.T0104": "AML.T0115.002"}
)

_OTHER_TACTIC_NAMES = {
    "model_access": "AML.TA0000",
    "evasion": "AML.TA0007",
    "ai_attack_staging": "AML.TA0001",
}


@dataclass(frozen=True)
class Technique:
    """A technique or sub-technique: `id` like AML.T0024.002, and the ids of the tactics it serves."""

    id: str
    name: str
    tactics: tuple[str, ...]


@cache
def techniques() -> Mapping[str, Technique]:
    """Every technique of the release by id, in the order of the ids."""
    lines = Path(__file__).with_name("atlas_techniques.tsv").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines[1:])
    return MappingProxyType({row[0]: Technique(row[0], row[1], tuple(row[2].split(","))) for row in rows})


def find_tactic(slug: str) -> str | None:
    """The id of a tactic by its name in snake_case, current or of an earlier release."""
    known = {name.lower().replace(" ", "_"): identifier for identifier, name in TACTICS.items()}
    return known.get(slug) or _OTHER_TACTIC_NAMES.get(slug)
