"""The words of a decision that adapters and users share."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Action"]


class Action(IntEnum):
    """What happens to a query, from the mildest to the strictest."""

    ALLOW = 0
    LOG = 1
    CONSTRAIN = 2
    BLOCK = 3
