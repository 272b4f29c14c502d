"""The model that the thief wants: a classifier of scikit-learn's digits, served like TensorFlow Serving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["PATH", "WHITE", "Victim"]

PATH = "/v1/models/digits:predict"
WHITE = 16  # the highest value of a pixel


@dataclass(frozen=True)
class Victim:
    """A trained classifier. unseen: (N, 64) float32, images, 0 to WHITE, that were not trained on."""

    model: Any
    accuracy: float
    unseen: npt.NDArray[np.float32]

    @classmethod
    def train(cls, seed: int) -> Victim:
        images, labels = load_digits(return_X_y=True)
        known, unseen, known_labels, unseen_labels = train_test_split(
            images, labels, test_size=0.5, random_state=seed, stratify=labels
        )
        model = LogisticRegression(max_iter=1000).fit(known / WHITE, known_labels)
        return cls(model, model.score(unseen / WHITE, unseen_labels), unseen.astype(np.float32))

    def application(self) -> Starlette:
        """POST {"instances": [[64 numbers], ...]} is answered by {"predictions": [[10 scores], ...]}."""

        async def predict(request: Request) -> Response:
            instances = msgspec.json.decode(await request.body())["instances"]
            scores = self.model.predict_proba(np.asarray(instances, dtype=np.float64) / WHITE)
            answer = msgspec.json.encode({"predictions": scores.tolist()})
            return Response(answer, media_type="application/json")

        return Starlette(routes=[Route(PATH, predict, methods=["POST"])])
