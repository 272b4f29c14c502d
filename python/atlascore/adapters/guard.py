"""What an adapter knows before a request comes: the engine's routes, and what its policy says to adapters."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from atlascore.adapters.caller import CallerReader
from atlascore.adapters.refusal import Limit
from atlascore.adapters.shapes import Shape, find
from atlascore.engine import Engine
from atlascore.policy import Policy

__all__ = ["Guard", "Target"]

_NAMED_ROUTES = 4096  # routes with a name of their own; paths and models are the callers' words
_OTHER = "(other)"
_LISTS = frozenset((b"accept", b"content-encoding"))  # headers of which several are one
_VERBS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Target:
    """Where a request goes. `route` is the engine's; language models name their model in the body, and get
    another one by `Guard.route` once it is read."""

    __slots__ = ("features", "model", "operation", "path", "route", "shape")

    def __init__(self, guard: Guard, method: str, path: str) -> None:
        endpoint = find(method, path)
        self.shape: Shape | None = endpoint.shape if endpoint else None
        self.model: str = endpoint.model if endpoint else ""
        verb = method.lower() if method in _VERBS else "other"
        self.operation: str = self.shape.operation if self.shape else verb
        self.path = path
        self.features = guard.features(self.model)
        self.route = guard.route(self.model, self.operation, path)


class Guard:
    """An engine and everything that follows from its policy; made again when the policy changes."""

    def __init__(self, engine: Engine, max_scan: int) -> None:
        self.engine = engine
        self.policy: Policy = engine.policy
        self.max_scan = max_scan
        self.reader = CallerReader(self.policy.principal, lambda secret: f"commitment:{engine.commitment(secret)}")
        self.headers = self.reader.headers | _LISTS | {b"content-length"}
        self.lists = self.reader.lists | _LISTS
        data = self.policy.resolved()
        self._stages: dict[str, str] = data["failure"]["stages"]
        self._features = [
            (model["pattern"], tuple(feature["name"] for feature in model["features"] or ()))
            for model in data["models"]
        ]
        # By the limit's place in the policy; None when callers may not know of it.
        self.limits = [
            Limit(limit["name"], limit["max"], limit["window"]) if limit["advertise"] else None
            for limit in data["limits"]
        ]
        self._targets: dict[tuple[str, str], Target] = {}
        self._routes: dict[tuple[str, str, str], Any] = {}

    def closes(self, stage: str) -> bool:
        """Whether a failure of that stage refuses the call."""
        return self._stages[stage] == "fail_closed"

    def features(self, model: str) -> tuple[str, ...]:
        """The columns of a row that the policy declares for a model."""
        return next((names for pattern, names in self._features if fnmatchcase(model, pattern)), ())

    def target(self, method: str, path: str) -> Target:
        target = self._targets.get((method, path))
        if target is None:
            if len(self._targets) >= _NAMED_ROUTES:
                self._targets.clear()
            target = self._targets[method, path] = Target(self, method, path)
        return target

    def route(self, model: str, operation: str, path: str) -> Any:
        """The engine's route. Callers invent names, which must not fill the memory: beyond a number of them,
        new ones share a route."""
        key = (model, operation, path)
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= _NAMED_ROUTES:
                key = (_OTHER if model else "", operation, _OTHER)
            if key not in self._routes:
                self._routes[key] = self.engine.route(model=key[0], method=operation, endpoint=key[2])
            route = self._routes[key]
        return route
