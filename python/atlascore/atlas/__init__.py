"""MITRE ATLAS: the catalogue that rules, decisions and coverage name techniques from."""

from atlascore.atlas.catalogue import RELEASE, TACTICS, Technique, techniques

__all__ = ["RELEASE", "TACTICS", "Technique", "techniques"]
