"""Sigma rules: loaded with positions, linted, and compiled for the engine.

Two modes. Strict is Sigma 2.1; compat (the default) also reads what people write beside it, and reports each
such reading with its strict form.
"""

from atlascore.sigma.ast import Rule
from atlascore.sigma.lower import RuleSet, load_rules, load_text
from atlascore.sigma.parse import BUILTIN, Loaded, parse_duration, read_paths, read_text

__all__ = [
    "BUILTIN",
    "Loaded",
    "Rule",
    "RuleSet",
    "load_rules",
    "load_text",
    "parse_duration",
    "read_paths",
    "read_text",
]
