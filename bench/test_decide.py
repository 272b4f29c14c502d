"""Route.decide and record with the shipped rules, in one process, without a decision log.

Event time advances so that nothing matches: the hot key asks 3.3 times a second, which is the common case for a
busy caller; a row of its own shows what it costs when a rule matches every time.
"""

from __future__ import annotations

import itertools
from importlib import resources
from typing import Any

import numpy as np
from contest import Contest, Work, quantiles
from rows import Figures, Target
from traffic import START, prompts, vectors

import atlascore as ac

CALLS = 100_000
ENDPOINT = "/v1/models/fraud-v3:predict"


def _route(capacity: int = 100_000) -> Any:
    return _on(ac.Policy.default(mode="enforce"), capacity)


def _on(policy: ac.Policy, capacity: int = 100_000) -> Any:
    return ac.Engine(policy, capacity=capacity).route(model="fraud-v3", method="predict", endpoint=ENDPOINT)


def _of_kind(kind: str) -> Any:
    """A route of the shipped policy whose model is declared."""
    shipped = (resources.files("atlascore") / "policies" / "default.yml").read_text()
    return _on(ac.Policy.from_text(f"{shipped}\nmodels: {{fraud-v3: {{kind: {kind}}}}}\n", mode="enforce"))


HOT = Contest("decide_hot", "route.decide without input, hot key, shipped rules", [Target("best", 300e-9)])


@HOT.contender("AtlasCore, nothing matches", ours=True)
def hot_quiet() -> Work:
    decide = _route().decide
    times = itertools.count(START, 0.3)

    def run() -> None:
        for now in itertools.islice(times, CALLS):
            decide("key-42", None, now)

    return Work(run, CALLS)


@HOT.contender("AtlasCore, a rule matches every time", ours=True)
def hot_matching() -> Work:
    decide = _route().decide
    times = itertools.count(START, 0.01)

    def run() -> None:
        for now in itertools.islice(times, CALLS):
            decide("key-42", None, now)

    return Work(run, CALLS)


@HOT.contender("AtlasCore, clock read by the engine", ours=True)
def hot_clock() -> Work:
    decide = _route().decide

    def run() -> None:
        for _ in itertools.repeat(None, CALLS):
            decide("key-42")

    return Work(run, CALLS)


UNIFORM = Contest("decide_uniform", "route.decide without input, 1 M principals, uniform", [Target("best", 700e-9)])


@UNIFORM.contender("AtlasCore", ours=True)
def uniform() -> Work:
    decide = _route(capacity=1_000_000).decide
    names = [f"principal-{i:07d}" for i in range(1_000_000)]
    times = itertools.count(START, 1e-4)
    for name, now in zip(names, times, strict=False):
        decide(name, None, now)
    rng = np.random.default_rng(4)
    some = [names[i] for i in rng.integers(0, len(names), CALLS)]

    def run() -> None:
        for name, now in zip(some, times, strict=False):
            decide(name, None, now)

    return Work(run, CALLS)


def _latencies(decide_one: Any, count: int) -> Work:
    def run() -> Figures:
        return quantiles(decide_one, count)

    return Work(run)


VECTOR = Contest(
    "decide_vector",
    "decide + record, 784-d vector, shipped rules",
    [Target("p50", 2.5e-6), Target("p99", 10e-6)],
    note="Each call is timed by itself; the clock adds about 50 ns.",
)


@VECTOR.contender("AtlasCore", ours=True)
def vector() -> Work:
    route = _route()
    decide, record = route.decide, route.record
    x = list(vectors())
    names = [f"principal-{i}" for i in range(61)]  # prime to the number of vectors
    times = itertools.count(START, 0.01)
    sequence = itertools.count()
    scores = np.array([0.1, 0.9])

    def one(_: int) -> None:
        i = next(sequence)
        decision = decide(names[i % 61], x[i & 1023], next(times))
        record(decision, 1, scores)

    return _latencies(one, 20_000)


PROMPT = Contest(
    "decide_prompt",
    "decide with 1 KB of text: sketch and similarity",
    [Target("p50", 3e-6)],
    note="Each call is timed by itself; the clock adds about 50 ns. The model is declared to be a classifier.",
)
LLM_PROMPT = Contest(
    "decide_llm_prompt",
    "decide with a 1 KB prompt: templates and known probes as well",
    [Target("p50", 8e-6)],
    note="The model is declared a language model. Prompt inspection, which the target includes, does not exist yet.",
)


@PROMPT.contender("AtlasCore", ours=True)
def text() -> Work:
    return _texts(_of_kind("classifier"))


@LLM_PROMPT.contender("AtlasCore", ours=True)
def prompt() -> Work:
    return _texts(_of_kind("llm"))


def _texts(route: Any) -> Work:
    decide = route.decide
    texts = prompts(1_021, 1_024)
    names = [f"principal-{i}" for i in range(61)]
    times = itertools.count(START, 0.01)
    sequence = itertools.count()

    def one(_: int) -> None:
        i = next(sequence)
        decide(names[i % 61], texts[i % 1_021], next(times))

    return _latencies(one, 20_000)


test_decide_hot = HOT.test()
test_decide_uniform = UNIFORM.test()
test_decide_vector = VECTOR.test()
test_decide_prompt = PROMPT.test()
test_decide_llm_prompt = LLM_PROMPT.test()
