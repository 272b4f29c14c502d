"""ASGI rate limiters. Each `make_*` returns the application with the limiter around it, and without."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

BODY = b'{"predictions": [[0.12, 0.88], [0.12, 0.88], [0.12, 0.88]]}'
LIMIT = 10_000_000  # a minute: never reached


async def endpoint(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Reads the request and answers, as any application does."""
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


class PassThrough:
    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def asgi_ratelimit() -> tuple[App, App]:
    from ratelimit import RateLimitMiddleware, Rule
    from ratelimit.backends.simple import MemoryBackend

    async def authenticate(scope: MutableMapping[str, Any]) -> tuple[str, str]:
        key = next(value for name, value in scope["headers"] if name == b"authorization")
        return key.decode("latin-1"), "default"

    backend: Any = MemoryBackend
    limited = RateLimitMiddleware(endpoint, authenticate, backend(), {r"^/": [Rule(minute=LIMIT)]})
    return limited, endpoint


def _starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(BODY, media_type="application/json")

    return Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])


def _slowapi(middleware: str) -> tuple[App, App]:
    import slowapi
    import slowapi.middleware

    limiter = slowapi.Limiter(
        key_func=lambda request: request.headers["authorization"], default_limits=[f"{LIMIT}/minute"]
    )
    app = _starlette()
    app.state.limiter = limiter
    app.add_middleware(getattr(slowapi.middleware, middleware))
    return app, _starlette()


def slowapi_asgi() -> tuple[App, App]:
    return _slowapi("SlowAPIASGIMiddleware")


def slowapi_middleware() -> tuple[App, App]:
    return _slowapi("SlowAPIMiddleware")


ALL: dict[str, Callable[[], tuple[App, App]]] = {
    "pass-through": lambda: (PassThrough(endpoint), endpoint),
    "asgi-ratelimit": asgi_ratelimit,
    "slowapi ASGI": slowapi_asgi,
    "slowapi middleware": slowapi_middleware,
}
