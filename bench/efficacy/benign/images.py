"""Kinds that send images, most of them one after another of the same thing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.efficacy.benign.caller import Caller, Query
from bench.efficacy.domains import Array, Images

__all__ = ["augmentation", "camera_in_float", "camera_on_boundary", "camera_on_grid", "morph", "sliding_window"]

FRAME = 1 / 25
SENSOR_NOISE = 0.01
LOW_MARGIN = 0.2
PARKED = 500  # frames in front of a scene on a boundary


def morph(caller: Caller) -> Iterator[Query]:
    """A video: a slow change from one scene into the next, with sensor noise."""
    domain = _images(caller)
    scene = caller.natural(1)[0]
    time = caller.start
    left = caller.queries
    while left > 0:
        frames = int(caller.rng.integers(40, 100))
        following = caller.natural(1)[0]
        for i in range(min(frames, left)):
            time += FRAME
            yield Query(time, domain.snap(_noisy(caller, scene + (following - scene) * (i / frames))))
        scene = following
        left -= frames


def camera_on_grid(caller: Caller) -> Iterator[Query]:
    """A static camera: scenes of some hundred frames that differ by sensor noise, on the grid of the pixels."""
    yield from _camera(caller, on_grid=True)


def camera_in_float(caller: Caller) -> Iterator[Query]:
    """The same, averaged or normalised before it is sent, so that nothing lies on a grid."""
    yield from _camera(caller, on_grid=False)


def camera_on_boundary(caller: Caller) -> Iterator[Query]:
    """A static camera that stands for 500 frames before a scene with a margin below 0.2."""
    candidates = caller.natural(400)
    scores = np.sort(caller.victim.scores(candidates), axis=1)
    low = np.flatnonzero(scores[:, -1] - scores[:, -2] < LOW_MARGIN)
    before = max(0, caller.queries - PARKED)
    yield from _camera(caller.with_queries(before), on_grid=True)
    if len(low):
        domain, time = _images(caller), caller.start + before * FRAME
        for i in range(PARKED):
            yield Query(time + (i + 1) * FRAME, domain.snap(_noisy(caller, candidates[low[0]])))


def sliding_window(caller: Caller) -> Iterator[Query]:
    """A line scanner: a window that moves over an endless strip, one column at a time."""
    domain = _images(caller)
    side = domain.side
    strip = np.hstack(list(caller.natural(caller.queries // side + 2).reshape(-1, side, side)))
    for i in range(caller.queries):
        yield Query(caller.start + i * 0.1, strip[:, i : i + side].reshape(-1).copy())


def augmentation(caller: Caller) -> Iterator[Query]:
    """Test-time augmentation: each image and five small variations of it, whose scores are averaged."""
    domain = _images(caller)
    time = caller.start
    for x in caller.natural(caller.queries // 6):
        time += caller.rng.exponential(2.0)
        variations = domain.warp(np.tile(x, (6, 1)), caller.rng.normal(0, 1, (6, 4)) * np.array([[0], *[[1]] * 5]))
        for variation in domain.snap(variations):
            time += 0.005
            yield Query(time, variation)


def _camera(caller: Caller, on_grid: bool) -> Iterator[Query]:
    domain = _images(caller)
    time = caller.start
    left = caller.queries
    while left > 0:
        scene = _clear_scene(caller)
        for _ in range(min(left, int(caller.rng.integers(80, 300)))):
            time += FRAME
            frame = _noisy(caller, scene)
            yield Query(time, domain.snap(frame) if on_grid else frame)
            left -= 1


def _clear_scene(caller: Caller) -> Array:
    """Not on a boundary: that is a kind of its own."""
    candidates = caller.natural(8)
    scores = np.sort(caller.victim.scores(candidates), axis=1)
    scene: Array = candidates[int((scores[:, -1] - scores[:, -2] >= LOW_MARGIN).argmax())]
    return scene


def _noisy(caller: Caller, x: Array) -> Array:
    # On a coarse grid finer noise would vanish.
    noise = max(SENSOR_NOISE, 0.35 / _images(caller).levels)
    noisy: Array = np.clip(x + caller.rng.normal(0, noise, x.shape), 0, 1)
    return noisy


def _images(caller: Caller) -> Images:
    domain = caller.victim.domain
    assert isinstance(domain, Images)
    return domain
