"""An engine that decides what a test tells it, small applications, a client that sees every message."""

import asyncio
import json
from types import SimpleNamespace

from atlascore.adapters.asgi import AtlasCoreMiddleware
from atlascore.constraints import Constraints
from atlascore.policy import Policy

ALLOW, LOG, CONSTRAIN, BLOCK = range(4)
PREDICT = "/v1/models/digits:predict"


class Route:
    def __init__(self, engine, model, method, endpoint):
        self.engine = engine
        self.name = (model, method, endpoint)

    def decide(self, principal, x=None, now=None, *, session="", fields=None, cost=0.0):
        if self.engine.fault and x is not None:
            raise self.engine.fault
        self.engine.calls.append(
            SimpleNamespace(route=self.name, principal=principal, x=x, session=session, fields=fields)
        )
        return self.engine.decision

    def guard_error(self, principal, stage, kind="internal", *, closed=False):
        self.engine.failures.append((principal, stage, kind, closed))
        return SimpleNamespace(id="dec_failed")

    def record(self, decision, label=None, scores=None, *, text=None, cost=None, status=200, now=None):
        self.engine.records.append(SimpleNamespace(label=label, scores=scores, text=text, cost=cost, status=status))


class Engine:
    def __init__(self, policy, action=ALLOW, constraints=None, step=("", 0, -1), retry_after=0.0):
        self.policy = policy
        self.decision = SimpleNamespace(
            action=action,
            constraints=constraints or Constraints(),
            outcome="decided",
            id="dec_abc",
            retry_after=retry_after,
            _step=step,
        )
        self.fault = None
        self.calls = []
        self.records = []
        self.failures = []
        self.closed = False

    def route(self, *, model, method, endpoint):
        return Route(self, model, method, endpoint)

    def commitment(self, name):
        return f"{len(name):032x}"

    def close(self):
        self.closed = True


def policy(text=""):
    return Policy.from_text(f"version: 1\nmode: enforce\n{text}")


def answering(document, status=200, content_type="application/json", headers=()):
    """An application that answers with a document; it keeps what it was asked."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    async def app(scope, receive, send):
        app.scope = scope
        app.received = []
        while True:
            message = await receive()
            app.received.append(message)
            if not message.get("more_body"):
                break
        app.body = b"".join(message.get("body", b"") for message in app.received)
        start = [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            *headers,
        ]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": body})

    app.body = None
    return app


def chat(content="hi", **more):
    return {"model": "gpt", "messages": [{"role": "user", "content": content}], **more}


def request(app, path=PREDICT, document=None, method="POST", headers=(), messages=None, **scope):
    """What the client sees: status, headers, body, and all messages."""
    body = document if isinstance(document, bytes) else b"" if document is None else json.dumps(document).encode()
    incoming = messages or [{"type": "http.request", "body": body, "more_body": False}]
    sent = []

    async def receive():
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in headers]
    full = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": pairs,
        "client": ("192.0.2.1", 5),
        **scope,
    }
    asyncio.run(app(full, receive, send))
    start = next((message for message in sent if message["type"] == "http.response.start"), {})
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return SimpleNamespace(status=start.get("status"), headers=dict(start.get("headers", ())), body=body, sent=sent)


def guarded(app, **engine):
    fake = Engine(engine.pop("policy", None) or policy(), **engine)
    return AtlasCoreMiddleware(app, engine=fake), fake
