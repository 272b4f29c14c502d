"""MinHash signatures, nearest vectors and cosines, beside the libraries one would take."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from contest import Contest, Work
from peers import similarity as peers
from rows import EVERY_PEER, Target
from traffic import prompts

from atlascore import similarity

Vector = npt.NDArray[np.float32]

BINS = 128
TEXTS = 16


def _over(function: Callable[[str], object], texts: list[str], operations: int) -> Work:
    def run() -> None:
        for text in itertools.islice(itertools.cycle(texts), operations):
            function(text)

    return Work(run, operations)


def _over_lists(function: Callable[[list[str]], object], texts: list[str], operations: int) -> Work:
    lists = [peers.shingles(text) for text in texts]

    def run() -> None:
        for tokens in itertools.islice(itertools.cycle(lists), operations):
            function(tokens)

    return Work(run, operations)


def _minhash(key: str, size: int, operations: int, targets: list[Target]) -> Contest:
    contest = Contest(
        key,
        f"MinHash of a {size / 1000:g} KB text, {BINS} bins, 5-code-point shingles",
        targets,
        note="AtlasCore also normalises the text (NFKC, case, digits, space); its default is 64 bins.",
    )

    @contest.contender("AtlasCore, from text", ours=True)
    def ours() -> Work:
        return _over(partial(similarity.minhash, bins=BINS), prompts(TEXTS, size), operations * 10)

    @contest.contender("AtlasCore, from text, 64 bins", ours=True)
    def ours_64() -> Work:
        return _over(similarity.minhash, prompts(TEXTS, size), operations * 10)

    @contest.contender("rensa RMinHash, ready list")
    def rensa_kernel() -> Work:
        return _over_lists(peers.rensa_tokens(BINS), prompts(TEXTS, size), operations)

    @contest.contender("rensa RMinHash, from text")
    def rensa() -> Work:
        digest = peers.rensa_tokens(BINS)
        return _over(lambda text: digest(peers.shingles(text)), prompts(TEXTS, size), operations)

    @contest.contender("datasketch, from text")
    def datasketch() -> Work:
        digest = peers.datasketch_tokens(BINS)
        return _over(lambda text: digest(peers.shingles(text)), prompts(TEXTS, size), max(operations // 20, 2))

    return contest


MINHASH_SMALL = _minhash("minhash_600", 600, 400, [])
MINHASH = _minhash(
    "minhash_6500",
    6_500,
    100,
    [
        Target("best", 15e-6),
        Target("best", 3, ("rensa RMinHash, ready list",)),
        Target("best", 80, ("rensa RMinHash, from text",)),
        Target("best", 100, ("datasketch, from text",)),
    ],
)
MINHASH_LARGE = _minhash("minhash_65000", 65_000, 10, [])


def _matrix(rows: int, width: int) -> tuple[Vector, list[Vector]]:
    """Unit rows, and queries near some of them."""
    rng = np.random.default_rng(5)
    matrix = rng.standard_normal((rows, width), dtype=np.float32)
    queries = matrix[rng.integers(0, rows, 16)] + rng.standard_normal((16, width), dtype=np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return matrix, [np.ascontiguousarray(query) for query in queries]


def _ask(search: Callable[[Vector], object], queries: list[Vector], operations: int) -> Work:
    def run() -> None:
        for query in itertools.islice(itertools.cycle(queries), operations):
            search(query)

    return Work(run, operations, rounds=10)


def _nearest(rows: int, width: int, targets: list[Target]) -> Contest:
    contest = Contest(
        f"nearest_{rows}_{width}",
        f"nearest of {rows:,} x {width} float32, one query",
        targets,
        note="Peers get unit rows and answer with the index of the largest inner product; AtlasCore takes any "
        "rows and answers with index and cosine. numkong and faiss search a copy in their own layout.",
    )
    operations = max(3_000_000 // (rows * width), 20)

    @contest.contender("AtlasCore", ours=True)
    def ours() -> Work:
        matrix, queries = _matrix(rows, width)
        return _ask(lambda query: similarity.nearest(query, matrix), queries, operations)

    for name, make in peers.NEAREST.items():

        @contest.contender(name)
        def peer(make: Callable[[Vector], Callable[[Vector], object]] = make) -> Work:
            matrix, queries = _matrix(rows, width)
            search = make(matrix)
            wrong = [i for i, q in enumerate(queries) if search(q) != int(np.argmax(matrix @ q))]
            if wrong:
                raise AssertionError(f"finds another row for {len(wrong)} of {len(queries)} queries")
            return _ask(search, queries, operations)

    return contest


COSINE = Contest("cosine_pair", "cosine of one pair, 384-d float32")


def _pair(function: Callable[[Vector, Vector], object]) -> Work:
    _, queries = _matrix(2, 384)

    def run() -> None:
        a, b = queries[0], queries[1]
        for _ in itertools.repeat(None, 20_000):
            function(a, b)

    return Work(run, 20_000)


@COSINE.contender("AtlasCore", ours=True)
def cosine() -> Work:
    return _pair(similarity.cosine)


def _peer_pair(make: Callable[[], Callable[[Vector, Vector], float]]) -> Work:
    return _pair(make())


for _name, _make in peers.COSINE.items():
    COSINE.contender(_name)(partial(_peer_pair, _make))

NEAREST_32 = _nearest(32, 384, [Target("best", 2, ("NumPy",))])
NEAREST_256 = _nearest(256, 384, [Target("best", 1, EVERY_PEER)])
NEAREST_4096 = _nearest(4_096, 384, [Target("best", 1, EVERY_PEER)])
NEAREST_64 = _nearest(4_096, 64, [])
NEAREST_768 = _nearest(4_096, 768, [])
NEAREST_1536 = _nearest(4_096, 1_536, [])

test_minhash_600 = MINHASH_SMALL.test()
test_minhash_6500 = MINHASH.test()
test_minhash_65000 = MINHASH_LARGE.test()
test_nearest_32_384 = NEAREST_32.test()
test_nearest_256_384 = NEAREST_256.test()
test_nearest_4096_384 = NEAREST_4096.test()
test_nearest_4096_64 = NEAREST_64.test()
test_nearest_4096_768 = NEAREST_768.test()
test_nearest_4096_1536 = NEAREST_1536.test()
test_cosine_pair = COSINE.test()
