"""The gateway between a caller and a victim: ask the detector, apply what it decides, tell it the answer.

Everything goes through `Route.decide` and `Route.record`. Time is virtual: it moves when a caller waits, never
by itself, so that a run does not depend on the machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

import atlascore as ac
from bench.efficacy.domains import Array
from bench.efficacy.endpoint import LONGEST, Completion
from bench.efficacy.policy import make_policy
from bench.efficacy.victims import Victim

__all__ = ["EVIDENCE", "START", "Account", "Gateway", "Refused", "Trace"]

START = 1_700_000_000.0
EVIDENCE = "evidence.total"
SAMPLE_EVERY = 8  # queries between two readings of all signals
NOTHING: Mapping[str, Any] = {}


class Refused(Exception):
    """The gateway refuses the account: BLOCK."""


@dataclass
class Trace:
    """What happened to one account.

    first:   for each action from LOG on, the number of the query (from 1) that first got it or a stronger one.
    rules:   the query that each rule first matched on.
    curve:   (query, evidence.total) whenever that exceeds all before.
    highest: the maximum of each signal, read every few queries.
    inputs, labels, times: kept only when asked for.
    """

    queries: int = 0
    blocked: bool = False
    first: dict[ac.Action, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    curve: list[tuple[int, float]] = field(default_factory=list)
    sampled: list[float] = field(default_factory=list)
    highest: dict[str, float] = field(default_factory=dict)
    inputs: list[Any] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


class Gateway:
    """One engine. mode: shadow decides everything and does nothing, which is how the undefended runs are traced.

    region: file of the state, made when missing. clock: where virtual time begins. customer: accounts that have one
    extraction budget between them, each of which the policy has planned for.
    """

    def __init__(
        self, seed: int, mode: Literal["enforce", "shadow"], region: Path, clock: float = START, customer: int = 1
    ) -> None:
        policy, self.budgets = make_policy(seed, mode, customer)
        self.clock = clock
        self.mode = mode
        self.nanoseconds: list[int] = []  # decide and record together, of a sample of queries
        self._engine = ac.Engine(policy, state=str(region), clock=lambda: self.clock)
        self._routes: dict[str, ac.Route] = {}

    def route(self, model: str) -> ac.Route:
        if model not in self._routes:
            self._routes[model] = self._engine.route(model, "predict", f"/v1/models/{model}:predict")
        return self._routes[model]

    def account(
        self, name: str, victim: Victim, keep: bool = False, model: str | None = None, key: str | None = None
    ) -> Account:
        """keep: the trace keeps inputs, labels and times. key: an infrastructure key that comes with each query."""
        return Account(self, name, victim, keep, model or victim.name, key)

    def stats(self) -> dict[str, Any]:
        return self._engine.stats()

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Account:
    """One principal in front of one victim."""

    def __init__(self, gateway: Gateway, name: str, victim: Victim, keep: bool, model: str, key: str | None) -> None:
        self.name = name
        self.victim = victim
        self.trace = Trace()
        self.action = ac.Action.ALLOW  # of the last query
        self.signals: Mapping[str, float] = {}  # likewise, where `complete` was asked
        self.rate: float | None = None  # what a constraint allows, queries per second
        self._gateway = gateway
        self._route = gateway.route(model)
        self._keep = keep
        self._keys = {} if key is None else {"cluster_keys": key}
        self._known_rules: set[tuple[str, ...]] = {()}
        self._best = 0.0

    def ask(self, x: Any, scores: Array, fields: Mapping[str, Any] = NOTHING, status: int = 200) -> Array:
        """One query to a classifier whose undefended answer is known; the answer that the caller gets.

        Raises Refused.
        """
        timed = self.trace.queries % 16 == 0
        encoded = self.victim.domain.encode(x)
        begin = time.perf_counter_ns() if timed else 0
        decision = self._decide(encoded, fields, x)
        if status == 200:
            self._route.record(decision, int(scores.argmax()), scores)
        else:
            self._route.record(decision, status=status)
        if timed:
            self._gateway.nanoseconds.append(time.perf_counter_ns() - begin)
        if self._keep:
            self.trace.labels.append(int(scores.argmax()))
        constraints = decision.constraints
        return constraints.apply_scores(scores) if constraints else scores

    def complete(
        self,
        prompt: str,
        top_logprobs: int = 0,
        logit_bias: Mapping[int, float] | None = None,
        max_tokens: int = LONGEST,
    ) -> Completion:
        """One query to a language model. Raises Refused."""
        assert self.victim.endpoint is not None
        fields: dict[str, Any] = {"gen_ai.usage.input_tokens": len(prompt) // 4 + 1, "max_tokens": max_tokens}
        if top_logprobs:
            fields |= {"logprobs": True, "top_logprobs": top_logprobs}
        if logit_bias:
            fields["logit_bias_ids"] = list(logit_bias)
        decision = self._decide(prompt, fields, prompt)
        self.signals = decision.signals
        constraints = decision.constraints
        if constraints.drop_logprobs:
            top_logprobs = 0
        if constraints.max_tokens is not None:
            max_tokens = min(max_tokens, constraints.max_tokens)
        answer = self.victim.endpoint.complete(prompt, top_logprobs, logit_bias, max_tokens)
        self._route.record(decision, cost=float(answer.tokens))
        return answer

    def _decide(self, encoded: Any, fields: Mapping[str, Any], x: Any) -> ac.Decision:
        trace = self.trace
        decision = self._route.decide(self.name, encoded, self._gateway.clock, fields={**self._keys, **fields} or None)
        trace.queries += 1
        rules = decision.rules
        if rules not in self._known_rules:
            self._known_rules.add(rules)
            for rule in rules:
                trace.rules.setdefault(rule, trace.queries)
        action = decision.would
        for level in (ac.Action.LOG, ac.Action.CONSTRAIN, ac.Action.BLOCK):
            if action >= level and level not in trace.first:
                trace.first[level] = trace.queries
        self.action = action
        if trace.queries % SAMPLE_EVERY == 0 or action >= ac.Action.CONSTRAIN:
            self._sample(decision)
        else:
            value = decision.signals.get(EVIDENCE, 0.0)
            if value > self._best:
                self._record_best(value)
        if self._keep:
            trace.inputs.append(x)
            trace.times.append(self._gateway.clock)
        if decision.action == ac.Action.BLOCK:
            trace.blocked = True
            raise Refused(self.name)
        self.rate = decision.constraints.rate
        if decision.constraints.delay:
            self._gateway.clock += decision.constraints.delay
        return decision

    def _sample(self, decision: ac.Decision) -> None:
        signals = decision.signals
        highest = self.trace.highest
        for name, value in signals.items():
            if value > highest.get(name, float("-inf")):
                highest[name] = float(value)
        value = signals.get(EVIDENCE, 0.0)
        self.trace.sampled.append(value)
        if value > self._best:
            self._record_best(value)

    def _record_best(self, value: float) -> None:
        self._best = value
        self.trace.curve.append((self.trace.queries, float(value)))


def scores_of(victim: Victim, inputs: Sequence[Any]) -> Iterable[Array]:
    """Undefended answers to many inputs at once; empty arrays for a language model."""
    if victim.endpoint is not None or not len(inputs):
        return [np.empty(0)] * len(inputs)
    return victim.scores(np.asarray(inputs))
