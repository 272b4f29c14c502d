"""Globs of the policy, as the core reads them."""

from __future__ import annotations

import re

__all__ = ["matches"]


def matches(glob: str, text: str) -> bool:
    """`*` stands for any characters, `?` for one byte; case-sensitive, the whole text."""
    pattern = re.escape(glob.encode()).replace(rb"\*", b".*").replace(rb"\?", b".")
    return re.fullmatch(pattern, text.encode("utf-8", "surrogatepass"), re.DOTALL) is not None
