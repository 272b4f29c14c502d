"""The victim as a classifier of the Adversarial Robustness Toolbox: every row of every batch is one query."""

from __future__ import annotations

from typing import Any

import numpy as np
from art.estimators.classification import (  # type: ignore[import-untyped]
    BlackBoxClassifier,
    BlackBoxClassifierNeuralNetwork,
)

from bench.efficacy.domains import Array, Images
from bench.efficacy.episode import Episode

__all__ = ["Thief", "as_image", "classifier", "image_classifier"]


def classifier(episode: Episode) -> Any:
    """Takes (N, d) inputs."""
    domain = episode.victim.domain
    return BlackBoxClassifier(_predict(episode), (domain.width,), domain.classes, clip_values=(0.0, 1.0))


def image_classifier(episode: Episode) -> Any:
    """Takes (N, 1, side, side) images, as Square, SimBA and the spatial transformations require."""
    domain = episode.victim.domain
    assert isinstance(domain, Images)
    shape = (1, domain.side, domain.side)
    return BlackBoxClassifierNeuralNetwork(
        _predict(episode), shape, domain.classes, channels_first=True, clip_values=(0.0, 1.0)
    )


def as_image(x: Array) -> Array:
    """One flat image as a batch of one."""
    side = int(np.sqrt(x.size))
    return x.reshape(1, 1, side, side).astype(np.float32)


class Thief(BlackBoxClassifier):  # type: ignore[misc]
    """A linear softmax copy that learns batch by batch, as KnockoffNets wants its thief to, arguments included."""

    def __init__(self, width: int, classes: int) -> None:
        self._weight = np.zeros((width + 1, classes))
        super().__init__(self._scores, (width,), classes, clip_values=(0.0, 1.0))

    def fit(self, x: Array, y: Array, **_: Any) -> None:
        inputs = np.hstack([x, np.ones((len(x), 1))])
        self._weight += 0.1 * inputs.T @ (y - self._scores(x)) / len(x)

    def predict(self, x: Array, **_: Any) -> Array:
        return self._scores(x)

    def _scores(self, x: Array) -> Array:
        logits = x @ self._weight[:-1] + self._weight[-1]
        logits = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Array = logits / logits.sum(axis=1, keepdims=True)
        return probabilities


def _predict(episode: Episode) -> Any:
    def predict(x: Array) -> Array:
        return episode.ask(np.asarray(x, np.float64).reshape(len(x), -1)).astype(np.float32)

    return predict
