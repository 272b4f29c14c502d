"""Pure ASGI 3 middleware: decides on every HTTP request, constrains or refuses it, and reads the answer.

    app = AtlasCoreMiddleware(app, policy="atlascore.yml")

Place it inside authentication, which fills in what `principal.from` names, and outside compression.
Websockets pass. One request is one line through `_Call.run`: read, understand, decide, apply, record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from atlascore.adapters.answer import (
    BODY_HEADERS,
    HeldAnswer,
    Message,
    PassedAnswer,
    Send,
    WatchedAnswer,
    send_refusal,
)
from atlascore.adapters.body import decode, encode, inflate
from atlascore.adapters.caller import Ambiguous, Anonymous, Headers
from atlascore.adapters.guard import Guard
from atlascore.adapters.refusal import Limit, refusal
from atlascore.adapters.seldom import Seldom
from atlascore.constraints import Constraints
from atlascore.engine import Engine
from atlascore.policy import Policy

__all__ = ["AtlasCoreMiddleware"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("atlascore")
seldom = Seldom(log)

_CONSTRAIN, _BLOCK = 2, 3  # of atlascore.Action
_FREE = Constraints()
_NONE: frozenset[bytes] = frozenset()
_ENCODINGS = frozenset((b"accept-encoding",))
_BYPASSES = frozenset(("http.response.pathsend", "http.response.zerocopysend"))  # they go round `send`
_LENGTH_DIGITS = 18  # of a content length; what has more is large
_CLOSED_BY_CLIENT = 499  # the status in the log, as servers have long written it


class AtlasCoreMiddleware:
    """An ASGI application around another one.

    policy: a file, or a Policy. engine: the Engine to use instead, with its own policy; without one the
    middleware opens an engine at startup and closes it at shutdown. max_scan: bytes of a request or an answer
    that are read; what is larger passes unread, and its event has the field `body_partial`.
    """

    def __init__(
        self,
        app: App,
        policy: str | Path | Policy | None = None,
        *,
        engine: Engine | None = None,
        max_scan: int = 1 << 20,
    ) -> None:
        if engine is not None and policy is not None:
            raise TypeError("give a policy or an engine, not both: an engine has its policy")
        self.app = app
        self._max_scan = max_scan
        self._engine = engine
        self._owns_engine = engine is None
        self._guard: Guard | None = None
        if engine is None:
            policy = "atlascore.yml" if policy is None else policy
            self._policy = policy if isinstance(policy, Policy) else Policy.load(policy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Call(self._current_guard(), self.app, scope, receive, send).run()
        elif scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _current_guard(self) -> Guard:
        guard = self._guard
        if guard is None or guard.policy is not guard.engine.policy:
            guard = self._guard = Guard(self._open(), self._max_scan)
        return guard

    def _open(self) -> Engine:
        if self._engine is None:
            self._engine = Engine(self._policy)
        return self._engine

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._current_guard()
        except Exception as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": f"atlascore: {error}"})
            return
        try:
            await self.app(scope, receive, send)
        finally:
            if self._owns_engine and self._engine is not None:
                self._engine.close()
                self._engine = self._guard = None


class _Call:
    """One request, from `run` to the record of its answer."""

    __slots__ = (
        "_answer",
        "_app",
        "_body",
        "_disconnected",
        "_document",
        "_guard",
        "_headers",
        "_parameters",
        "_principal",
        "_receive_next",
        "_received",
        "_route",
        "_scope",
        "_send",
        "_target",
        "_understood",
    )

    def __init__(self, guard: Guard, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard = guard
        self._app = app
        self._scope = scope
        self._receive_next = receive
        self._send = send
        self._target = guard.target(scope["method"], scope["path"])
        self._route = self._target.route
        self._headers = Headers(scope["headers"], guard.headers, guard.lists)
        self._received: Message | None = None  # read here, still to be received by the application
        self._body: bytes | None = None  # the whole body, if it was read
        self._document: dict[str, Any] | None = None  # what it says, if it says anything
        self._understood = True  # False: the body is not what the route promises, or the caller is not clear
        self._parameters: Mapping[str, Any] = {}  # of the call, that rules read
        self._principal = ""  # as far as it is known
        self._disconnected = False
        self._answer = PassedAnswer(send)

    async def run(self) -> None:
        if self._target.shape is not None:
            await self._read_body()
        try:
            decision = self._decide(self._understand())
            constraints = decision.constraints if decision.action == _CONSTRAIN else _FREE
        except Anonymous:
            await self._refuse("anonymous")
            return
        except Exception:
            seldom.exception("no decision on a request to %s", self._target.path)
            await self._pass_undecided()
            return
        try:
            if self._disconnected:
                self._answer.status = _CLOSED_BY_CLIENT
            elif decision.action == _BLOCK:
                await self._refuse(*self._cause(decision))
            elif self._understood or not await self._refused_by_failure("event", "parse"):
                await self._pass(decision, constraints)
        finally:
            self._record(decision)
            if self._answer.failed:
                self._guard_error("response", "parse")

    # --- read, understand, decide ---

    async def _read_body(self) -> None:
        length = self._headers.get(b"content-length", b"")
        # Several lengths are none: the caller must not choose whether the body is read.
        is_told = length.isdigit() and b"content-length" not in self._headers.ambiguous
        if is_told and int(length[:_LENGTH_DIGITS]) > self._guard.max_scan:
            return
        chunks: list[bytes] = []
        size, more = 0, True
        while more and size <= self._guard.max_scan:
            message = await self._receive_next()
            if message["type"] != "http.request":
                self._disconnected = True
                return
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
        read = b"".join(chunks)
        self._received = {"type": "http.request", "body": read, "more_body": more}
        if size <= self._guard.max_scan:
            self._body = read

    def _understand(self) -> Any:
        """The model's input, None when there is none to be had."""
        shape, body = self._target.shape, self._body
        if shape is None or body is None:
            return None
        try:
            coding = self._headers.get(b"content-encoding", b"")
            if coding:
                body = inflate(body, coding, self._guard.max_scan)
            question = None if self._guard.reader.needs_body else shape.ask_numbers(body, self._target.model)
            if question is None:
                self._document = decode(body)
                question = shape.ask(self._document, self._target.model, self._target.features)
        except Exception as error:  # whatever a caller may send
            log.debug("a body on %s could not be read: %s", self._target.path, error)
            self._understood = False
            return None
        if question.model != self._target.model:
            self._route = self._guard.route(question.model, shape.operation, self._target.path)
        self._parameters = question.fields
        return question.x

    def _decide(self, x: Any) -> Any:
        """The engine's decision. An input that it refuses is a failure of the event, which counts as well."""
        reader = self._guard.reader
        try:
            principal = reader.principal(self._scope, self._headers, self._document)
        except Ambiguous:
            log.debug("a request to %s names several principals in one header", self._target.path)
            self._understood = False
            principal = reader.anonymous(self._scope, self._headers)
        self._principal = principal
        session = reader.session(self._scope, self._headers, self._document)
        fields: dict[str, Any] = {"client.address": reader.address(self._scope, self._headers)}
        if self._target.shape is not None and self._body is None:
            fields["body_partial"] = True
        fields.update(self._parameters)
        try:
            return self._route.decide(principal, x, session=session, fields=fields)
        except (ValueError, TypeError) as error:
            if x is None:
                raise
            log.debug("an input on %s was refused: %s", self._target.path, error)
            self._understood = False
            return self._route.decide(principal, None, session=session, fields=fields)

    # --- apply, record ---

    async def _pass(self, decision: Any, constraints: Constraints) -> None:
        """Let the request through, as constrained as the decision says."""
        shape = self._target.shape
        if constraints.delay:
            await asyncio.sleep(constraints.delay)
        if shape is None:
            await self._app(self._app_scope(), self._receive_next, self._answer.send)
            return
        if shape.edits_request(constraints) and self._body is None:
            await self._refuse("size", decision.id)
            return
        edited = None
        if self._document is not None and shape.constrain_request(self._document, constraints):
            edited = encode(self._document)
            self._received = {"type": "http.request", "body": edited, "more_body": False}
        held = shape.edits_answer(constraints)
        limit = self._guard.max_scan
        if held:
            closed = refusal("guard", shape.refusal, decision.id) if self._guard.closes("response") else None
            self._answer = HeldAnswer(self._send, shape, limit, constraints, closed)
        else:
            self._answer = WatchedAnswer(self._send, shape, limit)
        await self._app(self._app_scope(edited, held), self._receive, self._answer.send)

    def _app_scope(self, edited: bytes | None = None, held: bool = False) -> Scope:
        """The scope for the application: as it came, unless something in it no longer holds."""
        scope = self._scope
        if edited is not None or held or self._headers.spoofed:
            dropped = (_ENCODINGS if held else _NONE) | (BODY_HEADERS if edited is not None else _NONE)
            headers = [
                (name, value)
                for name, value in scope["headers"]
                if name not in dropped and not name.startswith(b"x-atlascore-")
            ]
            if edited is not None:
                headers.append((b"content-length", str(len(edited)).encode()))
            if held:
                headers.append((b"accept-encoding", b"identity"))
            scope = {**scope, "headers": headers}
        extensions = scope.get("extensions")
        if extensions and self._target.shape is not None:
            kept = {name: value for name, value in extensions.items() if name not in _BYPASSES}
            scope = {**scope, "extensions": kept}
        return scope

    async def _pass_undecided(self) -> None:
        if not await self._refused_by_failure("decision", "internal"):
            await self._app(self._scope, self._receive, self._send)

    async def _refused_by_failure(self, stage: str, kind: str) -> bool:
        """Whether the failure of a stage refuses the call; then it is refused."""
        decision_id = self._guard_error(stage, kind)
        closed = self._guard.closes(stage)
        if closed:
            await self._refuse("guard", decision_id)
        return closed

    def _guard_error(self, stage: str, kind: str) -> str:
        """Tell the engine of a failure; the id under which it is logged. Never raises: the engine may be what
        failed."""
        try:
            failed = self._route.guard_error(self._principal, stage, kind, closed=self._guard.closes(stage))
        except Exception:
            seldom.exception("no record of a failure on %s", self._target.path)
            return ""
        return str(failed.id)

    async def _receive(self) -> Message:
        message, self._received = self._received, None
        if message is not None:
            return message
        message = await self._receive_next()
        self._disconnected = message["type"] == "http.disconnect"
        return message

    def _cause(self, decision: Any) -> tuple[str, str, float, Limit | None]:
        step, index, _ = decision._step
        if step == "limit":
            return "limit", decision.id, decision.retry_after, self._guard.limits[index]
        cause = "operator" if step == "operator" else "behaviour"
        return cause, decision.id, decision.retry_after, None

    async def _refuse(
        self, cause: str, decision_id: str = "", retry_after: float = 0.0, limit: Limit | None = None
    ) -> None:
        shape = self._target.shape
        wants_problem = b"application/problem+json" in self._headers.get(b"accept", b"")
        form = "problem" if shape is None or wants_problem else shape.refusal
        answer = refusal(cause, form, decision_id, retry_after, limit)
        self._answer.status = answer.status
        if self._scope["method"] == "HEAD":
            answer = replace(answer, body=b"")
        await send_refusal(self._send, answer)

    def _record(self, decision: Any) -> None:
        """Tell the engine how it ended. Never raises: the answer is on its way."""
        status = self._answer.status or (_CLOSED_BY_CLIENT if self._disconnected else 500)
        try:
            said = self._answer.read()
            self._route.record(decision, said.label, said.scores, text=said.text, cost=said.cost, status=status)
        except Exception:
            seldom.exception("no record of the answer of %s", self._target.path)
