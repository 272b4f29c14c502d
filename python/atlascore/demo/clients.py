"""Who calls the model. Each client runs until it is cancelled."""

from __future__ import annotations

import asyncio

import httpx
import numpy as np
import numpy.typing as npt

from atlascore.demo.tally import Tally
from atlascore.demo.victim import PATH

__all__ = ["Caller", "batch_job", "ordinary_user", "thief"]

USER_PAUSE = 0.4  # seconds on average
BATCH_ROWS, BATCH_PAUSE = 32, 0.5
THIEF_PAUSE = 0.05
THIEF_SEEDS, THIEF_NOISE = 8, 1.0  # images; standard deviation on the scale of 0 to 16


class Caller:
    """One client's way to the model; it tells the tally what comes back."""

    def __init__(self, http: httpx.AsyncClient, name: str, tally: Tally) -> None:
        self._http = http
        self._name = name
        self._tally = tally

    async def ask(self, images: npt.NDArray[np.float32]) -> None:
        body = {"instances": images.tolist()}
        answer = await self._http.post(PATH, json=body, headers={"x-client": self._name})
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self._tally.refused(self._name, len(images), int(answer.headers["retry-after"]))
            return
        answer.raise_for_status()
        self._tally.answered(self._name, answer.json()["predictions"])


async def ordinary_user(caller: Caller, images: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """Sends one image after the other, each once, with pauses."""
    while True:
        for row in rng.permutation(len(images)):
            await asyncio.sleep(rng.exponential(USER_PAUSE))
            await caller.ask(images[row : row + 1])


async def batch_job(caller: Caller, images: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """Scores the whole archive in batches, again and again."""
    while True:
        order = rng.permutation(len(images))
        for first in range(0, len(order) - BATCH_ROWS, BATCH_ROWS):
            await asyncio.sleep(BATCH_PAUSE)
            await caller.ask(images[order[first : first + BATCH_ROWS]])


async def thief(caller: Caller, images: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """Probes around a few images that it has, with noise, to learn where the scores change."""
    seeds = images[rng.choice(len(images), THIEF_SEEDS, replace=False)]
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        seed = seeds[rng.integers(THIEF_SEEDS)]
        noise = rng.normal(0, THIEF_NOISE, seed.shape)
        await caller.ask(np.clip(seed + noise, 0, 16).astype(np.float32)[np.newaxis])
        due = max(due + THIEF_PAUSE, clock())
        await asyncio.sleep(due - clock())
