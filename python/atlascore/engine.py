"""The engine: one decision per model query.

The work is done in C++; this module binds a policy to it and answers the slow questions.
"""

from __future__ import annotations

import operator
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atlascore import _core
from atlascore._compiled import Compiled
from atlascore._core import Decision, Route
from atlascore._explain import explain
from atlascore._version import __version__
from atlascore.constraints import Constraints
from atlascore.events import Action
from atlascore.policy import Policy

__all__ = ["Engine"]

DEFAULT_CAPACITY = 1_000_000
_ROUTES_KEPT = 4_096  # of those that Engine.decide makes by itself
_AUTOMATIC, _TEXT, _VECTOR, _ROW, _IMAGE, _DIGEST = range(6)


def _to_float32(x: Any) -> npt.NDArray[np.float32]:
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"an input must be text, bytes, a row or an array of numbers, not {_described(x, array)}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused as such
        return np.asarray(array, dtype=np.float32, order="C")  # a number stays one: it is no input


def _name(what: str, name: object) -> str:
    """The name of a state, file or directory; nothing for None."""
    text = "" if name is None else str(name)
    if "\0" in text:
        raise ValueError(f"{what} must not have a null character: {text!r}")
    return text


def _described(x: Any, array: npt.NDArray[Any]) -> str:
    return f"{type(x).__name__} of {array.dtype}" if array.ndim else type(x).__name__


_core.use_types(tuple(Action), Constraints(), _to_float32)


class Engine:
    """Decides queries under a policy.

    policy:   what rules lead to (`Policy`).
    capacity: tracks, one per (principal, model), that the state has room for; default the policy's, else 1,000,000.
              Memory is reserved at once and never grows; more tracks evict the least suspicious, least recent ones.
    state:    where the state lives: None as the policy says, "" this process's memory, "shm:NAME" POSIX shared
              memory, or a file path. Every process that names the same state shares one view.
    log:      directory of the decision log; None as the policy says.
    clock:    callable that returns seconds since 1970; default the system's clock. Read when no `now` is given.

    Raises ValueError when a state was made for another configuration, OSError when it or the log cannot be opened.
    A damaged state is set aside with a RuntimeWarning and a fresh one made.
    An engine may be used by any number of threads. It is a context manager: leaving it closes it.
    """

    def __init__(
        self,
        policy: Policy,
        capacity: int | None = None,
        state: str | None = None,
        log: str | Path | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if not isinstance(policy, Policy):
            raise TypeError(f"policy must be an atlascore.Policy, not {type(policy).__name__}")
        if clock is not None and not callable(clock):
            raise TypeError(f"clock must be callable, not {type(clock).__name__}")
        if capacity is not None:
            if isinstance(capacity, bool | np.bool_) or not hasattr(capacity, "__index__"):
                raise TypeError(f"capacity must be an int, not {type(capacity).__name__}")
            capacity = operator.index(capacity)
            if not 1 <= capacity <= 1 << 30:
                raise ValueError(f"capacity must be 1 to 2^30 tracks, not {capacity}")
        resolved = policy.resolved()
        settings = resolved["state"]
        log_directory = log if log is not None else (resolved["log"] or {}).get("directory")
        self._clock = clock
        self._lock = threading.Lock()
        self._routes: OrderedDict[tuple[str, str, str], Route] = OrderedDict()
        self._compiled = Compiled(policy)
        # What decisions are explained by: every policy that one of them, or a route, may still refer to.
        self._by_id: dict[int, Compiled] = {self._compiled.id: self._compiled}
        self._core = _core.Engine(
            self._compiled.take(),
            capacity=capacity or settings["capacity"] or DEFAULT_CAPACITY,
            hot=settings["hot"] or 0,
            models=settings["models"] or 64,
            state=_name("state", settings["region"] if state is None else state),
            seed=settings["seed"],
            log_directory=_name("log", log_directory),
            salt_file=_name("privacy.salt_file", resolved["privacy"]["salt_file"]),
            version=__version__,
        )
        if refused := self._core.stats()["region_refused"]:
            warnings.warn(f"the state was set aside and a fresh one made: {refused}", RuntimeWarning, stacklevel=2)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._compiled.policy

    def route(self, model: str, method: str = "predict", endpoint: str = "") -> Route:
        """The fast way in: a route with everything constant looked up once.

        `route.decide(principal, x=None, now=None, *, session="", fields=None, cost=0.0)` and
        `route.record(decision, label=None, scores=None, text=None, cost=None, status=200, now=None)`.
        A route follows reloads. With free-threaded Python make one per thread.
        """
        return _core.new_route(self._core, self, model, method, endpoint, self._clock)

    def decide(
        self,
        *,
        principal: str,
        model: str,
        method: str = "predict",
        endpoint: str = "",
        session: str = "",
        text: Any = None,
        vector: Any = None,
        row: Any = None,
        image: Any = None,
        digest: bytes | None = None,
        fields: Mapping[str, Any] | None = None,
        cost: float = 0.0,
        now: float | None = None,
    ) -> Decision:
        """Decide one query, before the model runs.

        At most one input: text (str, or segments [(channel, text), ...]), vector ((d,) float32), row (dict, or a
        sequence in the policy's feature order), image ((h, w) or (h, w, c)), digest (bytes that identify an encoded
        input). One more leading dimension, or a list of texts, is a batch of N: one decision, counted as N queries.
        fields: further event fields that rules may read. cost: of the query, in the operator's unit. now: seconds.
        Raises TypeError or ValueError, with the offending value; the engine goes on.
        """
        given = [
            (kind, value)
            for kind, value in (
                (_TEXT, text),
                (_VECTOR, vector),
                (_ROW, row),
                (_IMAGE, image),
                (_DIGEST, digest),
            )
            if value is not None
        ]
        if len(given) > 1:
            raise ValueError("a query has one input: give only one of text, vector, row, image and digest")
        kind, x = given[0] if given else (_AUTOMATIC, None)
        route = self._route(model, method, endpoint)
        return route.decide_as(kind, principal, x, now, session, fields, cost)

    def record(
        self,
        decision: Decision,
        label: Any = None,
        scores: Any = None,
        text: str | None = None,
        cost: float | None = None,
        status: int = 200,
        now: float | None = None,
    ) -> Decision | None:
        """Tell the engine the model's answer. None, or a decision on the answer when a response rule matched.

        label: what the model decided, of any kind (without one, the place of the best score). scores: one number a
        class, probabilities where the model has them. Of a batch: one label and one line of scores a row. cost: in
        the operator's unit. status: as in HTTP; answers from 400 on say nothing about inputs. now: seconds.
        Answers may come late, in any order, twice or never.
        Raises TypeError or ValueError, with the offending value, when they are not what a model answers.
        """
        if not isinstance(decision, Decision):
            raise TypeError(f"record() needs the decision that decide() returned, not {type(decision).__name__}")
        return decision._route.record(decision, label, scores, text=text, cost=cost, status=status, now=now)

    def signals(self, principal: str, model: str) -> dict[str, float]:
        """The signals of one track now, over the default window; empty when the track is not known."""
        now = self._clock() if self._clock is not None else _core.wall_seconds()
        return self._core.signals(principal, model, now) or {}

    def stats(self) -> dict[str, Any]:
        """Counters since the state was made, and its fill."""
        return self._core.stats()

    def reload(self, policy: Policy) -> None:
        """Put another policy in force; state stays. Raises PolicyError, and keeps the old one, when it needs windows
        that the state does not have."""
        if not isinstance(policy, Policy):
            raise TypeError(f"policy must be an atlascore.Policy, not {type(policy).__name__}")
        compiled = Compiled(policy)
        with self._lock:
            self._by_id[compiled.id] = compiled  # first: threads decide by it as soon as the core has it
            try:
                self._core.reload(compiled.take())
            except ValueError as error:
                del self._by_id[compiled.id]
                from atlascore._yaml import Problem  # here, because it loads the YAML parser
                from atlascore.errors import PolicyError

                raise PolicyError([Problem(policy.source, 1, 1, "rules", str(error))]) from None
            self._compiled = compiled
            self._by_id = {id: old for id, old in self._by_id.items() if old.is_used}

    def commitment(self, name: str) -> str:
        """What stands for a principal or session in the log: 32 hex digits."""
        return self._core.commitment(name)

    def flush(self) -> bool:
        """Wait until the log has everything decided so far; False when that took more than 5 s."""
        return self._core.flush()

    def close(self) -> None:
        """Write what is left of the log. Afterwards decide and record raise RuntimeError; decisions stay readable."""
        self._core.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _route(self, model: str, method: str, endpoint: str) -> Route:
        key = (model, method, endpoint)
        with self._lock:
            route = self._routes.get(key)
            if route is None:
                route = self._routes[key] = self.route(model, method, endpoint)
                if len(self._routes) > _ROUTES_KEPT:
                    self._routes.popitem(last=False)
            else:
                self._routes.move_to_end(key)
            return route

    # What Decision asks for.

    def _constraints(self, policy_and_bits: tuple[int, int]) -> Constraints:
        policy_id, bits = policy_and_bits
        return self._by_id[policy_id].constraints(bits)

    def _explain(self, decision: Decision) -> dict[str, Any]:
        return explain(self, self._by_id[decision._policy_id], decision)
