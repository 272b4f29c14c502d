"""The attacks, by name."""

from __future__ import annotations

from bench.efficacy.attacks import (
    art_evasion,
    art_privacy,
    art_theft,
    evasion,
    extraction,
    gradient_free,
    inversion,
    language,
    membership,
    words,
)
from bench.efficacy.episode import Attack

__all__ = ["attacks"]


def attacks() -> list[Attack]:
    found = [
        *art_evasion.ATTACKS,
        *evasion.ATTACKS,
        *gradient_free.ATTACKS,
        *words.ATTACKS,
        *art_theft.ATTACKS,
        *extraction.ATTACKS,
        *art_privacy.ATTACKS,
        *membership.ATTACKS,
        *inversion.ATTACKS,
        *language.ATTACKS,
    ]
    assert len({attack.name for attack in found}) == len(found)
    return found
