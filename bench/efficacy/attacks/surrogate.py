"""The attacker's own models: one with gradients, and the copy that an extraction ends with."""

from __future__ import annotations

import numpy as np

from bench.efficacy.domains import Array

__all__ = ["Surrogate", "queries_to_clone"]

FEATURES = 300
RIDGE = 0.1
CHECKPOINTS = (25, 50, 100, 150, 200, 300, 400, 600, 800, 1_200, 1_600, 2_400, 3_200, 4_800, 6_400)


class Surrogate:
    """A small ReLU network with random first layer, fitted in closed form: enough for gradients and for copies."""

    def __init__(self, x: Array, answers: Array, classes: int, rng: np.random.Generator) -> None:
        """answers: labels, or scores."""
        aims = np.eye(classes)[answers] if answers.ndim == 1 else np.log(np.clip(answers, 1e-3, 1))
        self._centre = x.mean(axis=0)
        scale = max(float(np.linalg.norm(x - self._centre, axis=1).mean()), 1e-6)
        self._first = rng.normal(0, 1 / scale, (x.shape[1], FEATURES))
        self._bias = rng.normal(0, 0.5, FEATURES)
        hidden = self._hidden(x)
        mean = aims.mean(axis=0)
        gram = hidden.T @ hidden + RIDGE * len(x) * np.eye(hidden.shape[1])
        self._second = np.linalg.solve(gram, hidden.T @ (aims - mean))
        self._mean = mean

    def scores(self, x: Array) -> Array:
        found: Array = self._hidden(x) @ self._second + self._mean
        return found

    def gradient(self, x: Array, labels: Array) -> Array:
        """Of the score of each row's label with respect to the row."""
        active = ((x - self._centre) @ self._first + self._bias) > 0
        found: Array = (active * self._second[:FEATURES, labels].T) @ self._first.T + self._second[FEATURES:, labels].T
        return found

    def _hidden(self, x: Array) -> Array:
        moved = x - self._centre
        return np.hstack([np.maximum(moved @ self._first + self._bias, 0), moved])


def queries_to_clone(
    answered: list[tuple[Array, Array]], held: Array, labels: Array, rng: np.random.Generator, agreement: float = 0.9
) -> int | None:
    """How many of these answers make a copy that agrees so often with the labels of held-out inputs; None: never."""
    if not answered:
        return None
    x = np.stack([row for row, _ in answered])
    answers = np.stack([answer for _, answer in answered])

    def agrees(n: int) -> bool:
        copy = Surrogate(x[:n], answers[:n], answers.shape[1], rng)
        return bool((copy.scores(held).argmax(axis=1) == labels).mean() >= agreement)

    if not agrees(len(x)):
        return None
    return next((n for n in CHECKPOINTS if n < len(x) and agrees(n)), len(x))
