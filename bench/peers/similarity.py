"""Signatures of texts and searches in matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
Search = Callable[[Vector], int]  # the row with the largest inner product


def shingles(text: str) -> list[str]:
    return [text[i : i + 5] for i in range(len(text) - 4)]


def rensa_tokens(bins: int) -> Callable[[list[str]], Any]:
    import rensa

    def digest(tokens: list[str]) -> Any:
        sketch = rensa.RMinHash(num_perm=bins, seed=0)
        sketch.update(tokens)
        return sketch.digest()  # work is deferred until it is read

    return digest


def datasketch_tokens(bins: int) -> Callable[[list[str]], Any]:
    import datasketch
    import xxhash

    def digest(tokens: list[str]) -> Any:
        sketch = datasketch.MinHash(num_perm=bins, hashfunc=xxhash.xxh32_intdigest)
        sketch.update_batch([token.encode() for token in tokens])
        return sketch.digest()

    return digest


def numpy_nearest(matrix: Vector) -> Search:
    return lambda query: int((matrix @ query).argmax())


def faiss_nearest(matrix: Vector) -> Search:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(matrix.shape[1])
    index.add(matrix)
    return lambda query: int(index.search(query[None], 1)[1][0, 0])


def simsimd_nearest(matrix: Vector) -> Search:
    import simsimd

    return lambda query: int(np.asarray(simsimd.cdist(query[None], matrix, "dot")).argmax())


def numkong_nearest(matrix: Vector) -> Search:
    import numkong

    packed = numkong.dots_pack(matrix, dtype="f32")
    return lambda query: int(np.asarray(numkong.dots_packed(query[None], packed)).argmax())


def _numpy_cosine() -> Callable[[Vector, Vector], float]:
    norm = np.linalg.norm
    return lambda a, b: float(a @ b / (norm(a) * norm(b)))


def _simsimd_cosine() -> Callable[[Vector, Vector], float]:
    import simsimd

    distance: Any = simsimd.cosine
    return lambda a, b: 1.0 - distance(a, b)


def _numkong_cosine() -> Callable[[Vector, Vector], float]:
    import numkong

    distance: Any = numkong.angular
    return lambda a, b: 1.0 - distance(a, b)


NEAREST: dict[str, Callable[[Vector], Search]] = {
    "NumPy": numpy_nearest,
    "faiss IndexFlatIP": faiss_nearest,
    "simsimd cdist": simsimd_nearest,
    "numkong packed f32": numkong_nearest,
}
COSINE: dict[str, Callable[[], Callable[[Vector, Vector], float]]] = {
    "NumPy": _numpy_cosine,
    "simsimd": _simsimd_cosine,
    "numkong": _numkong_cosine,
}
