"""Constraints: the changes of a call that a CONSTRAIN decision asks for.

A constraint is deterministic: equal input gives an equal answer, so a caller who repeats a query and averages
gains nothing. An edited answer keeps its shape and datatype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Constraints"]

_MAX_DECIMALS = 15  # what a float64 carries


@dataclass(frozen=True, slots=True)
class Constraints:
    """What an adapter must change in one call. Falsy when there is nothing to change.

    scores:        how scores are coarsened: ``"label_only"`` or a mapping with ``label_only: true``, or with
                   ``top_k`` (int >= 1), ``decimals`` (int, 0 to 15) or both; read back as a mapping, or None.
    drop_logprobs: log-probabilities and the parameters that reveal them are removed.
    max_tokens:    upper bound of generated tokens (int >= 1).
    n:             upper bound of answers per call (int >= 1).
    rate:          calls per second that the principal may still make (> 0); what exceeds it is refused.
    delay:         seconds by which the call is held (>= 0).

    Raises TypeError or ValueError, with the offending value, for anything else.
    """

    scores: Any = None  # a string or mapping in, a read-only mapping or None out
    drop_logprobs: bool = False
    max_tokens: int | None = None
    n: int | None = None
    rate: float | None = None
    delay: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", _checked_scores(self.scores))
        if not isinstance(self.drop_logprobs, bool):
            raise TypeError(f"drop_logprobs must be true or false, not {self.drop_logprobs!r}")
        for name in ("max_tokens", "n"):
            value = getattr(self, name)
            if value is not None and _integer(name, value) < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.rate is not None:
            object.__setattr__(self, "rate", _finite("rate", self.rate))
            if self.rate <= 0:
                raise ValueError(f"rate must be above 0, not {self.rate}")
        if self.delay is not None:
            object.__setattr__(self, "delay", _finite("delay", self.delay))
            if self.delay < 0:
                raise ValueError(f"delay must not be negative, not {self.delay}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Constraints:
        """The constraints named in a mapping with the keys of a policy file; TypeError for an unknown key."""
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise TypeError(f"unknown constraint {sorted(unknown)[0]!r}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The inverse of ``from_dict``: plain data, only the constraints that are set."""
        values: dict[str, Any] = {}
        if self.scores is not None:
            values["scores"] = dict(self.scores)
        if self.drop_logprobs:
            values["drop_logprobs"] = True
        for name in ("max_tokens", "n", "rate", "delay"):
            if (value := getattr(self, name)) is not None:
                values[name] = value
        return values

    def __bool__(self) -> bool:
        return (
            self.scores is not None
            or self.drop_logprobs
            or any(value is not None for value in (self.max_tokens, self.n, self.rate, self.delay))
        )

    def __hash__(self) -> int:
        scores = None if self.scores is None else frozenset(self.scores.items())
        return hash((scores, self.drop_logprobs, self.max_tokens, self.n, self.rate, self.delay))

    def merge(self, other: Constraints) -> Constraints:
        """Both at once, the strictest of each: the smaller number, the longer delay.

        For scores, ``label_only`` replaces everything else; ``top_k`` and ``decimals`` hide different things,
        so both stay and both are applied. Merging is commutative, associative and idempotent: the order of
        the responses in a policy file has no meaning.
        """
        return Constraints(
            scores=_merge_scores(self.scores, other.scores),
            drop_logprobs=self.drop_logprobs or other.drop_logprobs,
            max_tokens=_strictest(min, self.max_tokens, other.max_tokens),
            n=_strictest(min, self.n, other.n),
            rate=_strictest(min, self.rate, other.rate),
            delay=_strictest(max, self.delay, other.delay),
        )

    def apply_scores(self, scores: npt.ArrayLike) -> npt.NDArray[Any]:
        """Coarsen the scores of one answer, or of a batch.

        scores: (C,) scores of C classes, or (N, C) for N answers; real numbers, higher means more likely.
        Returns a new array of the same shape and datatype.

        - ``label_only``: 1 for the top class, 0 for the others. Where C is 1 the score is the probability of
          the positive class: 1 from 0.5 on, else 0.
        - ``top_k``: the k largest stay as they are, the others become 0. Where the top score itself is
          not above 0 (log-probabilities) they become the lowest score of their row: 0 would outrank the top.
        - ``decimals``: rounded half to even. Where a lower score would reach the rounded top, it becomes the
          rounded top minus 10^-decimals; so a small probability may turn negative, but the top class never
          changes. Integers, and values too large for that many decimals in their datatype, stay as they are.

        Equal scores rank by their position, the first one highest, as ``argmax`` does. NaN has no rank and
        stays NaN in its place. Raises TypeError for what is not real numbers, ValueError for another number
        of dimensions.
        """
        array = np.asarray(scores)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"scores must be real numbers, not {array.dtype}")
        if array.ndim not in (1, 2):
            raise ValueError(f"scores must have shape (C,) or (N, C), not {array.shape}")
        edited: npt.NDArray[Any] = array.astype(array.dtype.newbyteorder("="))  # not all of NumPy knows other orders
        if self.scores is None or array.size == 0:
            return edited.astype(array.dtype, copy=False)
        rows = np.atleast_2d(edited)
        if "label_only" in self.scores:
            _keep_label(rows)
        if "top_k" in self.scores:
            _keep_top(rows, self.scores["top_k"])
        if "decimals" in self.scores and array.dtype.kind == "f":
            _round(rows, self.scores["decimals"])
        return edited.astype(array.dtype, copy=False)


def _keep_label(rows: npt.NDArray[Any]) -> None:
    classes = rows.shape[1]
    label = rows >= 0.5 if classes == 1 else np.arange(classes) == _descending(rows)[:, :1]
    np.copyto(rows, label.astype(rows.dtype), where=~np.isnan(rows))


def _keep_top(rows: npt.NDArray[Any], k: int) -> None:
    order = _descending(rows)
    top = np.take_along_axis(rows, order[:, :1], axis=1)
    fill = np.where(top <= 0, np.fmin.reduce(rows, axis=1, keepdims=True), 0).astype(rows.dtype)
    losers = order[:, k:]
    values = np.take_along_axis(rows, losers, axis=1)
    np.put_along_axis(rows, losers, np.where(np.isnan(values), values, fill), axis=1)


def _round(rows: npt.NDArray[Any], decimals: int) -> None:
    step = 10.0**-decimals
    before = rows.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        exact = np.rint(rows.astype(np.float64) * 10.0**decimals) / 10.0**decimals
        np.copyto(rows, exact.astype(rows.dtype), where=np.spacing(np.abs(before)) < step)
    top = _descending(before)[:, :1]
    highest_before = np.take_along_axis(before, top, axis=1)
    highest = np.take_along_axis(rows, top, axis=1)
    lowered = np.minimum((highest - step).astype(rows.dtype), np.nextafter(highest, -np.inf, dtype=rows.dtype))
    np.copyto(rows, lowered, where=(before < highest_before) & (rows >= highest))


def _descending(rows: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """(N, C) positions from the highest score to the lowest, equal ones in order, NaN last."""
    reversed_order = -rows if rows.dtype.kind == "f" else ~rows  # minus would overflow an integer
    return np.argsort(reversed_order, axis=1, kind="stable")


def _checked_scores(scores: str | Mapping[str, int] | None) -> Mapping[str, int] | None:
    if scores is None:
        return None
    if scores == "label_only":
        return _LABEL_ONLY
    if not isinstance(scores, Mapping) or not scores or scores.keys() - {"label_only", "top_k", "decimals"}:
        raise ValueError(f'scores must be "label_only", {{top_k: k}} or {{decimals: d}}, not {scores!r}')
    if "label_only" in scores:
        if scores["label_only"] is not True:
            raise ValueError(f"scores.label_only must be true, not {scores['label_only']!r}")
        return _LABEL_ONLY
    if _integer("scores.top_k", scores.get("top_k", 1)) < 1:
        raise ValueError(f"scores.top_k must be at least 1, not {scores['top_k']}")
    if not 0 <= _integer("scores.decimals", scores.get("decimals", 0)) <= _MAX_DECIMALS:
        raise ValueError(f"scores.decimals must be 0 to {_MAX_DECIMALS}, not {scores['decimals']}")
    return MappingProxyType(dict(sorted(scores.items())))


def _merge_scores(a: Mapping[str, int] | None, b: Mapping[str, int] | None) -> Mapping[str, int] | None:
    if a is None or b is None:
        return b if a is None else a
    if "label_only" in a or "label_only" in b:
        return _LABEL_ONLY
    return {name: min(a.get(name, b.get(name, 0)), b.get(name, a.get(name, 0))) for name in a.keys() | b.keys()}


def _strictest(choose: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return choose(a, b)


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    return value


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value}")
    return float(value)


_LABEL_ONLY: Mapping[str, int] = MappingProxyType({"label_only": True})
