"""Who calls the model. Each client runs until it is cancelled."""

from __future__ import annotations

import asyncio

import httpx
import numpy as np
import numpy.typing as npt

from atlascore.demo.hopskipjump import hop_skip_jump
from atlascore.demo.tally import Tally
from atlascore.demo.victim import PATH, WHITE

__all__ = ["Caller", "batch_job", "camera", "ordinary_user", "prober", "thief"]

Images = npt.NDArray[np.float32]

USER_PAUSE = 0.4  # seconds on average
BATCH_ROWS, BATCH_PAUSE = 32, 0.5
FRAME_PAUSE, FRAME_NOISE = 0.1, 0.7  # seconds; standard deviation on the scale of 0 to 16
PROBER_PAUSE = 0.05
PROBER_SEEDS, PROBER_NOISE = 8, 1.0
THIEF_PAUSE = 0.05
REFUSED_PAUSE = 0.2  # of a thief who does not take no for an answer


class Caller:
    """One client's way to the model; it tells the tally what comes back."""

    def __init__(self, http: httpx.AsyncClient, name: str, tally: Tally) -> None:
        self._http = http
        self._name = name
        self._tally = tally

    async def ask(self, images: Images) -> list[list[float]] | None:
        """The scores of each image; None when it is refused."""
        body = {"instances": images.tolist()}
        answer = await self._http.post(PATH, json=body, headers={"x-client": self._name})
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self._tally.refused(self._name, len(images), int(answer.headers["retry-after"]))
            return None
        answer.raise_for_status()
        predictions: list[list[float]] = answer.json()["predictions"]
        self._tally.answered(self._name, predictions)
        return predictions


async def ordinary_user(caller: Caller, images: Images, rng: np.random.Generator) -> None:
    """Sends one image after the other, each once, with pauses."""
    while True:
        for row in rng.permutation(len(images)):
            await asyncio.sleep(rng.exponential(USER_PAUSE))
            await caller.ask(images[row : row + 1])


async def batch_job(caller: Caller, images: Images, rng: np.random.Generator) -> None:
    """Scores the whole archive in batches, again and again."""
    while True:
        order = rng.permutation(len(images))
        for first in range(0, len(order) - BATCH_ROWS, BATCH_ROWS):
            await asyncio.sleep(BATCH_PAUSE)
            await caller.ask(images[order[first : first + BATCH_ROWS]])


async def camera(caller: Caller, images: Images, rng: np.random.Generator) -> None:
    """Watches one scene: the same image with other sensor noise in every frame."""
    scene = images[rng.integers(len(images))]
    while True:
        await asyncio.sleep(FRAME_PAUSE)
        frame = np.rint(np.clip(scene + rng.normal(0, FRAME_NOISE, scene.shape), 0, WHITE))
        await caller.ask(frame.astype(np.float32)[np.newaxis])


async def prober(caller: Caller, images: Images, rng: np.random.Generator) -> None:
    """Varies a few images with noise, fast, as the published rule for model extraction describes it."""
    seeds = images[rng.choice(len(images), PROBER_SEEDS, replace=False)]
    while True:
        seed = seeds[rng.integers(PROBER_SEEDS)]
        noise = rng.normal(0, PROBER_NOISE, seed.shape)
        await caller.ask(np.clip(seed + noise, 0, WHITE).astype(np.float32)[np.newaxis])
        await asyncio.sleep(PROBER_PAUSE)


async def thief(caller: Caller, images: Images, rng: np.random.Generator) -> None:
    """Looks for inputs that the model takes for something else, one image after the other, by labels alone."""

    async def label(image: Images) -> int:
        await asyncio.sleep(THIEF_PAUSE)
        while (scores := await caller.ask(image[np.newaxis])) is None:
            await asyncio.sleep(REFUSED_PAUSE)
        return int(np.argmax(scores[0]))

    while True:
        original, start = images[rng.choice(len(images), 2, replace=False)]
        right = await label(original)
        if await label(start) == right:
            continue
        search = hop_skip_jump(original / WHITE, start / WHITE, rng)
        points = next(search)
        try:
            while True:
                labels = [await label((point * WHITE).astype(np.float32)) for point in points]
                points = search.send(np.array(labels) != right)
        except StopIteration:
            continue
