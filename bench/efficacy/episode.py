"""One attack against one victim: its accounts, its queries, and whether it gets what it wants."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import atlascore as ac
from bench.efficacy.domains import Array, Images
from bench.efficacy.endpoint import Completion
from bench.efficacy.gateway import Account, Gateway, Refused
from bench.efficacy.randomness import generator
from bench.efficacy.victims import Victim

__all__ = ["Attack", "Episode", "Outcome", "Refused", "Spent", "Tactics", "play"]

LEVELS = (ac.Action.LOG, ac.Action.CONSTRAIN, ac.Action.BLOCK)


class Spent(Exception):
    """The attacker has used the queries that it was going to use."""


class NoStart(Exception):
    """The attack has nothing to begin from; the episode is counted and dropped."""


@dataclass(frozen=True)
class Tactics:
    """How an attacker hides.

    dummies:  natural inputs sent before each query of the attack.
    accounts: that take turns.
    slow:     times longer between queries.
    rounding: inputs are rounded to 8 bits.
    blinding: each input is shifted, brightened and warped a little at random.
    spares:   accounts that replace blocked ones.
    known:    the gateway knows an infrastructure key of theirs, for example how they pay.
    """

    dummies: int = 0
    accounts: int = 1
    slow: float = 1.0
    rounding: bool = False
    blinding: bool = False
    spares: int = 0
    known: bool = False


@dataclass(frozen=True)
class Attack:
    """run:  the attack, which asks through the episode until it is done or stopped.
    group:   the class of the report. goal: what makes it a success.
    limit:   queries after which the attacker gives up. gap: mean seconds between queries.
    signals: those by which the class is meant to be seen, for ROC curves.
    held_out: a family that no threshold was chosen with.
    """

    name: str
    group: str
    victims: tuple[str, ...]
    run: Callable[[Episode], None]
    limit: int = 1_500
    gap: float = 0.1
    goal: str = ""
    signals: tuple[str, ...] = ("evidence.total",)
    tactics: Tactics = field(default_factory=Tactics)
    held_out: bool = False
    enforced_only: bool = False
    episodes: int | None = None  # at most so many per seed, where others have more
    quick: bool = True  # part of the quick run


@dataclass
class Outcome:
    """first: of each action, the query that met it, counted over all accounts. success: the query that reached the
    goal, or None. stopped: refused before the attack was over."""

    attack: str
    victim: str
    index: int
    queries: int
    accounts: int
    first: dict[str, int]
    success: int | None
    stopped: bool
    dropped: bool
    rules: dict[str, int]
    curve: list[tuple[int, float]]
    sampled: list[float]
    highest: dict[str, float]


class Episode:
    """What an attack works with.

    victim, rng, index: which model, the attack's own randomness, the number of the episode.
    goal: says which rows of (inputs, undefended scores) are what the attacker wants.
    answered: inputs and answers, kept when `learn` is set: the loot of an extraction. answered_at: the number of the
    query that each came with.
    """

    def __init__(
        self, gateway: Gateway, victim: Victim, attack: Attack, index: int, seed: int, limit: int, keep: bool = False
    ) -> None:
        self.victim = victim
        self.attack = attack
        self.index = index
        self.limit = limit
        self.rng = generator(seed, attack.name, victim.name, index)
        self.total = 0
        self.first: dict[ac.Action, int] = {}
        self.success: int | None = None
        self.goal: Callable[[Array, Array], Array] | None = None
        self.learn = False
        self.answered: list[tuple[Any, Array]] = []
        self.answered_at: list[int] = []
        self.keep = keep
        self.accounts: list[Account] = []  # in use
        self.everybody: list[Account] = []
        self._gateway = gateway
        self._tactics = attack.tactics
        self._prefix = f"{attack.name}/{index}"
        self._spares = attack.tactics.spares
        self._dummies: list[tuple[Array, Array]] = []
        for _ in range(attack.tactics.accounts):
            self.accounts.append(self.new_account())

    # What attacks call.

    def ask(self, x: Array) -> Array:
        """(N, d) inputs or (N,) texts: N queries, in order. The answers that the attacker gets."""
        x = self._disguised(np.asarray(x))
        scores = self.victim.scores(x)
        wanted = self.goal(x, scores) if self.goal is not None else np.zeros(len(x), bool)
        answers = []
        for row, score, hit in zip(x, scores, wanted, strict=True):
            for _ in range(self._tactics.dummies):
                self._ask_one(*self._dummy())
            answer = self._ask_one(row, score)
            if hit:
                self.succeed()
            if self.learn:
                self.answered.append((row, answer))
                self.answered_at.append(self.total)
            answers.append(answer)
        return np.array(answers)

    def ask_labels(self, x: Array) -> Array:
        labels: Array = self.ask(x).argmax(axis=1)
        return labels

    def complete(self, prompt: str, **parameters: Any) -> Completion:
        """One query to a language model."""
        answer: Completion = self._on_turn(lambda account: account.complete(prompt, **parameters))
        return answer

    def succeed(self) -> None:
        if self.success is None:
            self.success = self.total

    def natural(self, n: int, label: int | None = None) -> Array:
        return self.victim.domain.natural(n, self.rng, label)

    def new_account(self) -> Account:
        key = self._prefix if self._tactics.known else None
        account = self._gateway.account(f"{self._prefix}/{len(self.everybody)}", self.victim, self.keep, key=key)
        self.everybody.append(account)
        return account

    @property
    def action(self) -> ac.Action:
        """What the last query met, for attackers who can tell."""
        return self.everybody[-1].action

    def replace_account(self) -> None:
        """Go on with a fresh account instead of those in use."""
        self.accounts = [self.new_account()]

    # The way through the gateway.

    def _ask_one(self, x: Any, scores: Array) -> Array:
        answer: Array = self._on_turn(lambda account: account.ask(x, scores))
        return answer

    def _on_turn(self, query: Callable[[Account], Any]) -> Any:
        """By the account whose turn it is; by the next one when that is refused."""
        while True:
            if self.total >= self.limit:
                raise Spent
            account = self.accounts[self.total % len(self.accounts)]
            gap = self.attack.gap * self._tactics.slow * self.rng.exponential()
            if account.rate is not None:  # a constrained caller who asks faster would only be turned away
                gap = max(gap, 1 / account.rate)
            self._gateway.clock += gap
            self.total += 1
            try:
                return query(account)
            except Refused:
                if self._spares:
                    self._spares -= 1
                    self.accounts[self.accounts.index(account)] = self.new_account()
                else:
                    self.accounts.remove(account)
                    if not self.accounts:
                        raise
            finally:
                for level in LEVELS:
                    if account.action >= level:
                        self.first.setdefault(level, self.total)

    def _dummy(self) -> tuple[Array, Array]:
        if not self._dummies:
            x = self.natural(128)
            self._dummies = list(zip(x, self.victim.scores(x), strict=True))
        return self._dummies.pop()

    def _disguised(self, x: Array) -> Array:
        if self._tactics.blinding:
            domain = self.victim.domain
            assert isinstance(domain, Images)
            x = domain.warp(x, self.rng.normal(0, 0.5, (len(x), 4)))
            x = np.clip(x * self.rng.uniform(0.9, 1.1, (len(x), 1)) + self.rng.uniform(-0.05, 0.05, (len(x), 1)), 0, 1)
        if self._tactics.rounding:
            x = np.rint(x * 255) / 255
        return x


def play(
    attack: Attack, gateway: Gateway, victim: Victim, index: int, seed: int, keep: bool = False
) -> tuple[Outcome, Episode]:
    """Run one episode to its end, whatever that is."""
    episode = Episode(gateway, victim, attack, index, seed, attack.limit, keep)
    state = int(episode.rng.integers(0, 2**31))
    np.random.seed(state)  # ART draws from the global generators
    random.seed(state)
    stopped = dropped = False
    try:
        attack.run(episode)
    except Refused:
        stopped = True
    except NoStart:
        dropped = True
    except Spent:
        pass
    gateway.clock += 3_600.0
    return _outcome(episode, stopped, dropped), episode


def _outcome(episode: Episode, stopped: bool, dropped: bool) -> Outcome:
    rules: dict[str, int] = {}
    highest: dict[str, float] = {}
    sampled: list[float] = []
    for account in episode.everybody:
        _merge(rules, account.trace.rules, min)
        _merge(highest, account.trace.highest, max)
        sampled += account.trace.sampled
    best = max(episode.everybody, key=lambda account: account.trace.curve[-1][1] if account.trace.curve else 0.0)
    return Outcome(
        attack=episode.attack.name,
        victim=episode.victim.name,
        index=episode.index,
        queries=episode.total,
        accounts=len(episode.everybody),
        first={level.name: query for level, query in sorted(episode.first.items())},
        success=episode.success,
        stopped=stopped,
        dropped=dropped,
        rules=rules,
        curve=best.trace.curve,
        sampled=sampled[:64],
        highest=highest,
    )


def _merge(into: dict[str, Any], other: Mapping[str, Any], choose: Callable[[Any, Any], Any]) -> None:
    for name, value in other.items():
        into[name] = choose(into.get(name, value), value)
