"""The answer on its way to the caller: passed, watched, or held back and edited."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from atlascore.adapters.body import decode, encode, inflate
from atlascore.adapters.refusal import Refusal
from atlascore.adapters.shapes import Answer, Shape
from atlascore.constraints import Constraints

__all__ = ["HeldAnswer", "Message", "PassedAnswer", "Send", "WatchedAnswer", "send_refusal"]

Message: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

log = logging.getLogger("atlascore")

# Headers about the bytes of a body, which no longer hold for an edited one.
BODY_HEADERS = frozenset(
    (
        b"content-digest",
        b"content-encoding",
        b"content-length",
        b"content-md5",
        b"digest",
        b"etag",
        b"transfer-encoding",
    )
)


class PassedAnswer:
    """Only the status is noted."""

    __slots__ = ("_forward", "failed", "status")

    def __init__(self, send: Send) -> None:
        self._forward = send
        self.status = 0  # 0: no answer has begun
        self.failed = False  # True: it should have been edited and could not be

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._forward(message)

    def read(self) -> Answer:
        """What the answer says, once it is complete."""
        return Answer()


class WatchedAnswer(PassedAnswer):
    """Passed, while JSON of up to `limit` bytes is kept to be read."""

    __slots__ = ("_chunks", "_coding", "_complete", "_limit", "_shape", "_size", "_wanted")

    def __init__(self, send: Send, shape: Shape, limit: int) -> None:
        super().__init__(send)
        self._shape = shape
        self._limit = limit
        self._coding = b""
        self._wanted = False
        self._complete = False
        self._size = 0
        self._chunks: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begin(message)
        elif self._wanted and message["type"] == "http.response.body":
            self._keep(message)
        await self._forward(message)

    def read(self) -> Answer:
        if not self._complete:
            return Answer()
        try:
            return self._shape.read_answer(self._decoded())
        except Exception as error:  # whatever an application may answer
            log.debug("an answer could not be read: %s", error)
            return Answer()

    def _begin(self, message: Message) -> None:
        self.status = message["status"]
        headers = dict(message.get("headers", ()))
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        is_json = kind == b"application/json" or kind.endswith(b"+json")
        self._wanted = is_json and 200 <= self.status < 300 and self.status != 204
        self._coding = headers.get(b"content-encoding", b"")

    def _keep(self, message: Message) -> None:
        chunk = message.get("body", b"")
        self._size += len(chunk)
        if self._size > self._limit:
            self._wanted = False
            self._chunks.clear()
            return
        self._chunks.append(chunk)
        self._complete = not message.get("more_body", False)

    def _decoded(self) -> dict[str, Any]:
        body = b"".join(self._chunks)
        if self._coding:
            body = inflate(body, self._coding, self._limit)
        return decode(body)


class HeldAnswer(WatchedAnswer):
    """Held back until it is complete, then edited.

    What cannot be edited, because it is too large, compressed in an unknown way or not what the route
    promises, goes out unedited, or not at all when there is a `refusal` to send instead.
    """

    __slots__ = ("_constraints", "_read", "_refusal", "_refused", "_start", "_unreadable")

    def __init__(self, send: Send, shape: Shape, limit: int, constraints: Constraints, refusal: Refusal | None) -> None:
        super().__init__(send, shape, limit)
        self._constraints = constraints
        self._refusal = refusal
        self._start: Message = {}
        self._read = Answer()
        self._refused = False
        self._unreadable = False  # an answer in another form than the route promises

    def read(self) -> Answer:
        return self._read

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._begin(message)
            self._unreadable = not self._wanted and 200 <= self.status < 300 and self.status != 204
            if self._wanted or self._unreadable:
                self._start = message
                return
        elif kind == "http.response.body" and self._wanted:
            await self._hold(message)
            return
        elif kind == "http.response.body" and self._unreadable:
            self._unreadable = False
            log.warning("an answer that is not JSON cannot be constrained")
            await self._give_up(message.get("body", b""), message.get("more_body", False))
            return
        if not self._refused:
            await self._forward(message)

    async def _hold(self, message: Message) -> None:
        held = b"".join(self._chunks)
        self._keep(message)
        if not self._wanted:
            log.warning("an answer of more than %d bytes cannot be constrained", self._limit)
            await self._give_up(held + message.get("body", b""), message.get("more_body", False))
        elif self._complete:
            await self._finish()

    async def _finish(self) -> None:
        """Edit and send the complete answer. It is read first: signals are about what the model said."""
        try:
            document = self._decoded()
            self._read = self._shape.read_answer(document)
            changed = self._shape.constrain_answer(document, self._constraints)
            body = encode(document) if changed else b""
        except Exception as error:  # whatever an application may answer
            log.warning("an answer cannot be constrained: %s", error)
            await self._give_up(b"".join(self._chunks), False)
            return
        if not changed:
            await self._give_out(b"".join(self._chunks), False)
            return
        headers = [pair for pair in self._start.get("headers", ()) if pair[0].lower() not in BODY_HEADERS]
        headers.append((b"content-length", str(len(body)).encode()))
        self._start = {**self._start, "headers": headers}
        await self._give_out(body, False)

    async def _give_up(self, body: bytes, more: bool) -> None:
        self.failed = True
        if self._refusal is None:
            await self._give_out(body, more)
        else:
            self._refused = True
            self.status = self._refusal.status
            await send_refusal(self._forward, self._refusal)

    async def _give_out(self, body: bytes, more: bool) -> None:
        await self._forward(self._start)
        await self._forward({"type": "http.response.body", "body": body, "more_body": more})


async def send_refusal(send: Send, refusal: Refusal) -> None:
    await send({"type": "http.response.start", "status": refusal.status, "headers": refusal.headers})
    await send({"type": "http.response.body", "body": refusal.body})
