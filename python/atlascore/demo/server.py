"""The victim behind the middleware, served by uvicorn on loopback in a thread of its own."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn

from atlascore.adapters.asgi import AtlasCoreMiddleware
from atlascore.demo.tally import Tally
from atlascore.engine import Engine
from atlascore.policy import Policy

__all__ = ["Server", "WatchedEngine"]

_START_SECONDS = 10


class Server:
    """A context manager: serving begins when it is entered and has ended when it is left.

    url: where the application is, once it is served.
    """

    def __init__(self, application: Any, engine: Engine) -> None:
        guarded = AtlasCoreMiddleware(application, engine=engine)
        self.url = ""
        # A connection that is closed while its client sends on it is an error to the client, so none is for idleness.
        config = uvicorn.Config(guarded, port=0, access_log=False, log_config=None, timeout_keep_alive=600)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="server")

    def __enter__(self) -> Server:
        self._thread.start()
        give_up = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                self.__exit__(None, None, None)
                raise RuntimeError("the demo's server did not start")
            time.sleep(0.01)
        host, port = self._server.servers[0].sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()


class WatchedEngine(Engine):
    """An engine whose decisions are timed and told to the tally."""

    def __init__(self, tally: Tally, policy: Policy, log: Path) -> None:
        super().__init__(policy, state="", log=log)
        self._tally = tally

    def route(self, model: str, method: str = "predict", endpoint: str = "") -> Any:
        return _WatchedRoute(super().route(model, method, endpoint), self._tally)


class _WatchedRoute:
    def __init__(self, route: Any, tally: Tally) -> None:
        self._route = route
        self._tally = tally
        self.record = route.record

    def decide(self, principal: str, x: Any, **more: Any) -> Any:
        begin = time.perf_counter_ns()
        decision = self._route.decide(principal, x, **more)
        self._tally.decided(principal, decision, time.perf_counter_ns() - begin)
        return decision
