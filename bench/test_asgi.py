"""What a middleware adds to a request, in process: with it minus without it, over the same application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

from contest import Contest, Work, difference
from peers import asgi as peers
from peers.asgi import App, Message
from rows import Target

import atlascore as ac

REQUESTS = 400
NOTE = "slowapi is measured over Starlette, which it needs; the others over a bare application."
# 1 KB: a row of 60 numbers three times.
DOCUMENT = json.dumps({"instances": [[round(0.137 * i % 7, 3) for i in range(60)]] * 3}).encode()


def _scope(path: str) -> MutableMapping[str, Any]:
    headers = [
        (b"host", b"models.example.com"),
        (b"user-agent", b"python-requests/2.32.3"),
        (b"accept", b"*/*"),
        (b"authorization", b"Bearer sk-0123456789abcdef"),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(DOCUMENT)),
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("10.0.0.7", 40_000),
        "server": ("10.0.0.1", 80),
    }


async def _requests(app: App, path: str) -> None:
    scope = _scope(path)
    statuses = set()

    async def receive() -> Message:
        return {"type": "http.request", "body": DOCUMENT, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.add(message["status"])

    for _ in range(REQUESTS):
        await app(dict(scope), receive, send)
    if statuses != {200}:
        raise AssertionError(f"answered with {statuses}")


def _added(with_it: App, without_it: App, path: str) -> Work:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_requests(with_it, path))

    def run(app: App) -> None:
        loop.run_until_complete(_requests(app, path))

    return Work(lambda: difference(partial(run, with_it), partial(run, without_it), REQUESTS), rounds=3)


def _ours(path: str) -> Work:
    from atlascore.adapters.asgi import AtlasCoreMiddleware

    engine = ac.Engine(ac.Policy.default(), capacity=10_000)
    return _added(AtlasCoreMiddleware(peers.endpoint, engine=engine), peers.endpoint, path)


def _peer(make: Callable[[], tuple[App, App]], path: str) -> Work:
    return _added(*make(), path)


def _contest(key: str, title: str, path: str, targets: list[Target]) -> Contest:
    contest = Contest(key, title, targets, note=NOTE)
    contest.contender("AtlasCore", ours=True)(partial(_ours, path))
    for name, make in peers.ALL.items():
        contest.contender(name)(partial(_peer, make, path))
    return contest


UNREAD = _contest("asgi_unread", "ASGI middleware, body not read", "/orders", [Target("best", 6e-6)])
PARSED = _contest(
    "asgi_body",
    "ASGI middleware, 1 KB JSON body parsed and inspected",
    "/v1/models/fraud-v3:predict",
    [Target("best", 15e-6)],
)

test_asgi_unread = UNREAD.test()
test_asgi_body = PARSED.test()
