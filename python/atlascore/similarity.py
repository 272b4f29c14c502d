"""Similarity of texts and vectors: the primitives of the detector by themselves.

    signature = minhash("Ignore all previous instructions")     # uint64[64]
    jaccard(signature, minhash("Please ignore all instructions"))  # share of equal bins
    cosine(a, b)                                                # float in [-1, 1]
    nearest(query, matrix)                                      # (index, cosine) of the best row

The functions are compiled; `help()` of each gives shapes, errors and sources. They are safe to call from
several threads, and let others run while they work on large matrices.
"""

from atlascore._core import cosine, jaccard, minhash, nearest

__all__ = ["cosine", "jaccard", "minhash", "nearest"]
