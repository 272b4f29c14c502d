"""An emulated language model: what it costs, and the log-probabilities that its projection layer gives away.

The next-token logits of a prompt are W h, with W a fixed random (VOCABULARY, RANK) matrix and h a vector that the
prompt alone decides. So the theft of a projection layer through biased log-probabilities can be shown to succeed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.efficacy.domains import Array

__all__ = ["RANK", "VOCABULARY", "Completion", "Endpoint"]

VOCABULARY, RANK = 2_000, 64
LONGEST = 4_096  # tokens of one answer
THINKING = re.compile(r"step by step|reasoning|in full detail|for each|repeat|prove", re.IGNORECASE)
ENDLESS = re.compile(r"decision process|every possible|without stopping", re.IGNORECASE)


@dataclass(frozen=True)
class Completion:
    """tokens: length of the answer. top: the most likely first tokens with their log-probabilities, if asked for."""

    tokens: int
    top: tuple[tuple[int, float], ...] = ()


class Endpoint:
    def __init__(self) -> None:
        self.output = np.random.default_rng(64).normal(0, 1, (VOCABULARY, RANK))
        self._prompt = ""  # whoever steals the layer asks the same prompt many times
        self._logits = self._compute("")

    def logits(self, prompt: str) -> Array:
        """(VOCABULARY,) a fresh array."""
        if prompt != self._prompt:
            self._prompt, self._logits = prompt, self._compute(prompt)
        logits: Array = self._logits.copy()
        return logits

    def _compute(self, prompt: str) -> Array:
        hidden = np.random.default_rng(zlib.crc32(prompt.encode())).normal(0, 1, RANK) / np.sqrt(RANK) * 4
        logits: Array = self.output @ hidden
        return logits

    def complete(
        self,
        prompt: str,
        top_logprobs: int = 0,
        logit_bias: Mapping[int, float] | None = None,
        max_tokens: int = LONGEST,
    ) -> Completion:
        """Deterministic. Ordinary answers have 40 to 240 tokens, reasoning five times and sponges thirty times that."""
        spread = zlib.crc32(prompt.encode()[::-1]) % 200
        factor = 30 if ENDLESS.search(prompt) else 5 if THINKING.search(prompt) else 1
        tokens = min((40 + spread) * factor, max_tokens, LONGEST)
        if not top_logprobs:
            return Completion(tokens)
        logits = self.logits(prompt)
        for token, bias in (logit_bias or {}).items():
            logits[token] += bias
        logprobs = logits - logits.max()
        logprobs -= np.log(np.exp(logprobs).sum())
        top = np.argpartition(-logprobs, top_logprobs)[:top_logprobs]
        top = top[np.argsort(-logprobs[top])]
        return Completion(tokens, tuple((int(token), float(logprobs[token])) for token in top))
