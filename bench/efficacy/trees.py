"""Fast evaluation of scikit-learn's tree ensembles: an attack asks row by row, for which theirs is built too heavy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Trees"]

Array = npt.NDArray[np.float64]


class Trees:
    """Sum of the leaf values of several trees; all rows and all trees go down one level at a time."""

    def __init__(self, trees: Sequence[Any]) -> None:
        """trees: `tree_` of fitted scikit-learn trees."""
        widest = max(tree.node_count for tree in trees)
        shape = (len(trees), widest)
        self._feature = np.zeros(shape, np.intp)
        self._threshold = np.full(shape, np.inf)
        self._left = np.tile(np.arange(widest), (len(trees), 1))  # a leaf leads to itself
        self._right = self._left.copy()
        self._value = np.zeros((*shape, trees[0].value.shape[2]))
        self._depth = max(tree.max_depth for tree in trees)
        self._rows = np.arange(len(trees))
        for i, tree in enumerate(trees):
            inner = np.flatnonzero(tree.children_left >= 0)
            self._feature[i, inner] = tree.feature[inner]
            self._threshold[i, inner] = tree.threshold[inner]
            self._left[i, inner] = tree.children_left[inner]
            self._right[i, inner] = tree.children_right[inner]
            self._value[i, : tree.node_count] = tree.value[:, 0, :]

    def sums(self, x: Array) -> Array:
        """(N, d) rows -> (N, outputs)."""
        x = x.astype(np.float32)  # as scikit-learn compares
        node = np.zeros((len(x), len(self._rows)), np.intp)
        rows = np.arange(len(x))[:, None]
        for _ in range(self._depth):
            below = x[rows, self._feature[self._rows, node]] <= self._threshold[self._rows, node]
            node = np.where(below, self._left[self._rows, node], self._right[self._rows, node])
        total: Array = self._value[self._rows, node].sum(axis=1)
        return total
