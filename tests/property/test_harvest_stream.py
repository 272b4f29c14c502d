"""Calls with parameters through the engine and through the twin: logprob_harvest after every call."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.population_reference import LogprobHarvest
from tests.reference.similarity_reference import mix64

import atlascore as ac

START = 1_900_000_000.0
SIGNAL = "api.logprob_harvest"
HOUR = 3600.0
BUCKET = 8 * HOUR
SEED = 5
POLICY = f"""
version: 1
mode: enforce
rules: {{paths: [builtin]}}
state: {{seed: {SEED}}}
"""


class Client:
    """Sends the same to both."""

    def __init__(self, policy: ac.Policy | None = None) -> None:
        self.now = START
        self.engine = ac.Engine(policy or ac.Policy.from_text(POLICY), capacity=100, clock=lambda: self.now)
        self.twin = LogprobHarvest(seed=mix64(SEED, 0x736B65746368))

    def call(self, prompt: int, tokens: list[int], time: float) -> float:
        """The signal at the call, this one included; missing is 0."""
        self.now = max(self.now, time)
        fields: dict[str, object] = {"logit_bias_ids": [str(t) if t % 2 else t for t in tokens]} if tokens else {}
        fields["top_logprobs"] = 5
        text = f"what comes after {prompt}?"
        decision = self.engine.decide(principal="p", model="m", text=text, fields=fields, now=time)
        self.twin.add((prompt, 0), tokens, time)
        return decision.signals.get(SIGNAL, 0.0)

    def ours(self) -> float:
        return self.engine.signals("p", "m").get(SIGNAL, 0.0)

    def distinct(self) -> float:
        return self.twin.tokens.estimate(self.now) / 20

    def in_buckets(self) -> int:
        """A over the newest three buckets, which is what the engine keeps."""
        oldest = (math.floor(self.now / BUCKET) - 2) * BUCKET
        fresh = Counter(call.prompt for call in self.twin.calls if call.fresh and call.time >= oldest)
        return max(fresh.values(), default=0)

    def compare(self, at_call: float, in_order: bool) -> None:
        ours = self.ours()
        if in_order:
            assert at_call == ours
        # A prompt that comes back to a cell counts once more than it should.
        highest = max(self.twin.varied(self.now, 24 * HOUR) + 1, self.distinct())
        assert ours <= highest * 1.001
        assert ours >= self.distinct() * 0.999


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    prompts=st.integers(1, 12),
    sets=st.integers(1, 40),
    pause=st.sampled_from([1.0, 60.0, HOUR, 5 * HOUR]),
)
def test_never_more_than_the_twin_and_all_its_tokens(seed: int, prompts: int, sets: int, pause: float) -> None:
    random = np.random.default_rng(seed)
    known = [[int(t) for t in random.integers(0, 2_000, random.integers(0, 6))] for _ in range(sets)]
    client, time = Client(), START
    for _ in range(150):
        time += random.exponential(pause)
        late = random.uniform(0, 1) if random.random() < 0.2 else 0.0
        in_order = time - late >= client.now
        at_call = client.call(int(random.integers(prompts)), known[random.integers(sets)], time - late)
        client.compare(at_call, in_order)
    client.engine.close()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), pause=st.sampled_from([1.0, 60.0, HOUR]))
def test_one_prompt_is_counted_exactly(seed: int, pause: float) -> None:
    random = np.random.default_rng(seed)
    client, time = Client(), START
    for i in range(150):
        time += random.exponential(pause)
        client.call(1, [0, i] if random.random() < 0.8 else [], time)
    wanted = client.in_buckets()
    # One set in 1,024 passes for the one before it.
    assert wanted - 3 <= max(client.ours(), client.distinct()) <= max(wanted, client.distinct() * 1.001)
    client.engine.close()


@pytest.mark.parametrize("others", [1, 4, 10])
def test_other_prompts_in_between_reset_nothing(others: int) -> None:
    """An adversary that asks as much as it likes about other things, always something new or always the same."""
    for fresh in (True, False):
        client, time = Client(), START
        for i in range(100):
            client.call(1, [i % 50], time := time + 1)
            for k in range(others):
                prompt = 2 + others * i + k if fresh else 2 + k
                client.call(prompt, [], time := time + 0.05)
        assert client.ours() >= 80, (others, fresh)
        client.engine.close()


def test_what_is_blocked_is_not_counted() -> None:
    client = Client(ac.Policy.default(mode="enforce"))
    actions = []
    for i in range(400):
        fields = {"logprobs": True, "logit_bias_ids": [i]}
        decision = client.engine.decide(principal="p", model="m", text="x", fields=fields, now=START + i)
        actions.append(decision.action)
    client.now = START + 400
    assert actions[-1] == ac.Action.BLOCK
    counted = sum(action < ac.Action.BLOCK for action in actions)
    assert counted - 4 <= client.ours() <= counted < 290
