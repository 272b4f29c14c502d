"""Blocks of 100 prompts to a language model: honest ones, and such with a share of a campaign's.

What counts for a block is decided by the detector, so shares are of accounts: every account sends about as many
prompts. A block is read off the decisions: its value when it is below the limit, and beyond it the value for prompts of
the kind that there are too many of, 0 for others.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.efficacy.attacks.language import ELICITATIONS, SUBJECTS, TASK
from bench.efficacy.benign import Caller, kinds_of
from bench.efficacy.gateway import START, Gateway
from bench.efficacy.population import SPAN
from bench.efficacy.randomness import generator
from bench.efficacy.victims import Victim, victim

__all__ = ["SHARES", "Measured", "measure"]

SIGNAL = "api.window_mmd"
RULE = "78cc2b5f-22bc-57a9-8d30-66bb6c0c60d8"  # Output Distribution Harvest
SHARES = (1.0, 0.5, 0.25)
EACH, PROMPTS = 500, 12  # honest accounts of a kind, and prompts of one
MIXED = 1_000  # accounts of a mixture


@dataclass(frozen=True)
class Measured:
    """traffic: a campaign, or "honest" with share 0. found: of the blocks, those beyond the limit. logged: accounts
    that matched Output Distribution Harvest, of the campaign and of the others."""

    traffic: str
    share: float
    blocks: int
    found: int
    campaign_accounts: int
    campaign_logged: int
    honest_accounts: int
    honest_logged: int


@dataclass
class Prompt:
    time: float
    account: str
    text: str
    campaign: bool = False


def measure(seed: int) -> list[Measured]:
    """Of one seed: honest traffic of four days, and then every mixture."""
    model = victim("V6-llm")
    with tempfile.TemporaryDirectory(prefix="efficacy-") as directory:
        region = Path(directory) / "state"
        with Gateway(seed, "shadow", region) as gateway:
            found = [_send(gateway, model, _honest(model, seed), "honest", 0.0)]
            kept, clock = region.read_bytes(), gateway.clock
        for campaign in ("distillation", "reasoning elicitation"):
            for share in SHARES:
                region.write_bytes(kept)
                with Gateway(seed, "shadow", region, clock) as gateway:
                    found.append(_send(gateway, model, _mixed(model, seed, clock, campaign, share), campaign, share))
    return found


def _honest(model: Victim, seed: int) -> list[Prompt]:
    found = []
    for kind, queries in kinds_of("text").items():
        for number in range(EACH):
            rng = generator(seed, "blocks", kind, number)
            made = list(queries(Caller(model, rng, PROMPTS, START)))
            later = float(rng.random()) * max(0.0, SPAN - (made[-1].time - START))
            found += [Prompt(query.time + later, f"{kind}/{number}", str(query.x)) for query in made]
    return found


def _mixed(model: Victim, seed: int, begin: float, campaign: str, share: float) -> list[Prompt]:
    """New accounts within an hour; of these a share takes part in the campaign."""
    rng = generator(seed, "blocks", campaign, round(100 * share))
    kinds = list(kinds_of("text").items())
    found = []
    for number in range(MIXED):
        times = begin + 60 + np.sort(rng.random(PROMPTS)) * 3_600
        takes_part = rng.random() < share
        name, queries = kinds[number % len(kinds)]
        if takes_part:
            texts: Iterator[str] | Sequence[str] = _campaign(model, rng, campaign)
        else:
            texts = [str(query.x) for query in queries(Caller(model, rng, PROMPTS, begin))]
        account = f"{campaign if takes_part else name}/mixed {number}"
        found += [Prompt(float(t), account, x, takes_part) for t, x in zip(times, texts, strict=False)]
    return found


def _campaign(model: Victim, rng: np.random.Generator, campaign: str) -> Iterator[str]:
    for text in model.domain.natural(PROMPTS, rng):
        i = int(rng.integers(0, 10_000))
        if campaign == "distillation":
            yield TASK.format(SUBJECTS[i % len(SUBJECTS)], i, text)
        else:
            yield ELICITATIONS[i % len(ELICITATIONS)].format(text)


def _send(gateway: Gateway, model: Victim, prompts: list[Prompt], traffic: str, share: float) -> Measured:
    accounts = {}
    in_campaign = {prompt.account: prompt.campaign for prompt in prompts}
    values: list[float] = []
    for prompt in sorted(prompts, key=lambda prompt: prompt.time):
        if prompt.account not in accounts:
            accounts[prompt.account] = gateway.account(prompt.account, model)
        account = accounts[prompt.account]
        gateway.clock = max(gateway.clock, prompt.time)
        account.complete(prompt.text)
        value = account.signals.get(SIGNAL, math.nan)
        if math.isnan(value):
            continue
        same = bool(values) and (value == values[-1] or (values[-1] >= 1 and value == 0))
        if bool(values) and values[-1] == 0 and value >= 1:
            values[-1] = value  # of the same block, now seen from the other side
        elif not same:
            values.append(value)
    # The first block of a mixture began before it.
    whole = values if traffic == "honest" else values[2:]
    logged = {name for name, account in accounts.items() if RULE in account.trace.rules}
    return Measured(
        traffic,
        share,
        len(whole),
        sum(value == 0 or value >= 1 for value in whole),
        sum(in_campaign.values()),
        sum(in_campaign[name] for name in logged),
        sum(not campaign for campaign in in_campaign.values()),
        sum(not in_campaign[name] for name in logged),
    )
