"""The ASGI middleware with the real engine, in process and behind a real server."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import httpx
import pytest
import uvicorn

from atlascore import Engine, Policy
from atlascore.adapters.asgi import AtlasCoreMiddleware

PREDICT = "/v1/models/digits:predict"
HIGH_VOLUME = """\
rules: {paths: [volume.yml]}
responses: [{name: stop, match: {rule: volume}, action: BLOCK, duration: 1h}]
"""
VOLUME_RULE = """\
title: Volume
id: 0b7d5a52-8d1e-4c36-8d0b-1f6b7c9e2a90
name: volume
logsource: {category: api_activity, product: machine_learning_platform}
detection:
    sel:
        api.method: predict
        api.endpoint|contains: model
        api.request_count|gt: 3
    condition: sel
level: high
"""


async def model(scope, receive, send):
    """A classifier that is sure of itself, and the lifespan that a server expects."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    body = json.dumps({"predictions": [[0.126, 0.874]]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def policy(text, tmp_path, mode="enforce"):
    (tmp_path / "volume.yml").write_text(VOLUME_RULE)
    settings = "principal: {from: header.x-team}\nstate: {capacity: 1000}\n"
    return Policy.from_text(f"version: 1\nmode: {mode}\n{settings}{text}", base=tmp_path)


def answers(app, count, headers=(("x-team", "crimson"),), path=PREDICT):
    """The answers to the same question, asked several times."""

    async def ask():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            question = {"instances": [[1.0, 2.0]]}
            return [await client.post(path, json=question, headers=dict(headers)) for _ in range(count)]

    return asyncio.run(ask())


@pytest.fixture
def guarded(tmp_path):
    """Makes a middleware around the model, from the text of a policy; gives it and its engine."""
    with contextlib.ExitStack() as stack:

        def make(text, **options):
            engine = stack.enter_context(Engine(policy(text, tmp_path, **options)))
            return AtlasCoreMiddleware(model, engine=engine), engine

        yield make


def test_exactly_as_many_calls_pass_as_a_limit_says(guarded):
    app, _ = guarded("limits: [{name: minute, max: 3, window: 1m, advertise: true}]")
    seen = answers(app, 5)
    assert [answer.status_code for answer in seen] == [200, 200, 200, 429, 429]
    refused = seen[-1]
    assert refused.headers["ratelimit-policy"] == '"minute";q=3;w=60'
    assert int(refused.headers["retry-after"]) >= int(refused.headers["ratelimit"].rpartition("t=")[2])
    assert refused.headers["x-atlascore-decision"].startswith("dec_")
    assert answers(app, 1, [("x-team", "blue")])[0].status_code == 200


def test_a_rule_leads_to_a_refusal_that_names_nothing(guarded):
    app, engine = guarded(HIGH_VOLUME)
    seen = answers(app, 6)
    assert [answer.status_code for answer in seen] == [200, 200, 200, 429, 429, 429]
    told = seen[3].text + json.dumps(dict(seen[3].headers))
    assert not any(word in told.lower() for word in ("volume", "0b7d5a52", "request_count", "stop"))
    assert engine.signals("crimson", "digits")["api.request_count"] == 3


def test_a_constrained_answer_keeps_its_form(guarded):
    text = "limits: [{name: l, max: 1, window: 1m, action: CONSTRAIN, constraints: {scores: label_only}}]"
    app, _ = guarded(text)
    free, constrained = answers(app, 2)
    assert free.json() == {"predictions": [[0.126, 0.874]]}
    assert constrained.json() == {"predictions": [[0.0, 1.0]]}
    assert constrained.headers.keys() == free.headers.keys()


def test_who_reads_logits_off_gets_none_any_more(guarded):
    response = "{name: h, match: {level: high}, action: CONSTRAIN, constraints: {drop_logprobs: true}}"
    _, engine = guarded(f"rules: {{paths: [builtin]}}\nresponses: [{response}]")
    received = []

    async def chat(scope, receive, send):
        received.append(json.loads((await receive())["body"]))
        headers = [(b"content-type", b"application/json")]
        body = json.dumps({"choices": [{"message": {"content": "end"}, "logprobs": None}]}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def question(i):
        parameters = {"logprobs": True, "top_logprobs": 5, "logit_bias": {"0": 40, str(i): 40}}
        return {"model": "gpt", "messages": [{"role": "user", "content": "The"}], **parameters}

    async def ask():
        transport = httpx.ASGITransport(app=AtlasCoreMiddleware(chat, engine=engine))
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            for i in range(60):
                await client.post("/v1/chat/completions", json=question(i + 1), headers={"x-team": "crimson"})

    asyncio.run(ask())
    free = [i for i, document in enumerate(received, 1) if "logit_bias" in document and "logprobs" in document]
    assert free == list(range(1, 50))
    assert all("logit_bias" not in document and "logprobs" not in document for document in received[49:])


def test_shadow_changes_nothing(guarded):
    """https://github.com/BerriAI/litellm/issues/18015"""
    limits = "limits: [{name: l, max: 1, window: 1m}]"
    app, engine = guarded(HIGH_VOLUME + limits, mode="shadow")
    plain, *seen = answers(model, 1) + answers(app, 6)
    assert {(answer.status_code, answer.content, str(answer.headers)) for answer in seen} == {
        (plain.status_code, plain.content, str(plain.headers))
    }
    assert engine.stats()["simulated"] > 0


def test_what_is_not_an_inference_route_is_seen_too(guarded):
    app, engine = guarded("name: n")
    answers(app, 2, path="/v1/models")
    assert engine.stats()["queries"] == 2


def test_a_reload_takes_effect_at_once_and_keeps_the_counts(guarded, tmp_path):
    app, engine = guarded("limits: [{name: l, max: 5, window: 1m}]")
    assert [answer.status_code for answer in answers(app, 3)] == [200, 200, 200]
    engine.reload(policy("limits: [{name: l, max: 3, window: 1m, advertise: true}]", tmp_path))
    (refused,) = answers(app, 1)
    assert refused.status_code == 429
    assert refused.headers["ratelimit-policy"] == '"l";q=3;w=60'


@contextlib.contextmanager
def served(app):
    """The address of a real server, which has stopped when the context ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started and thread.is_alive() and time.monotonic() < deadline:
                time.sleep(0.01)
            assert server.started
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def test_behind_a_real_server_the_engine_is_opened_and_closed(tmp_path):
    text = "limits: [{name: minute, max: 3, window: 1m}]\nlog: {directory: log}"
    app = AtlasCoreMiddleware(model, policy=policy(text, tmp_path))
    with served(app) as url, httpx.Client(base_url=url, headers={"x-team": "crimson"}) as client:
        seen = [client.post(PREDICT, json={"instances": [[1.0]]}) for _ in range(4)]
        large = client.post(PREDICT, content=b" " * (3 << 20))
    assert [answer.status_code for answer in seen] == [200, 200, 200, 429]
    assert large.status_code == 429
    entries = [json.loads(line) for file in (tmp_path / "log").iterdir() for line in file.read_text().splitlines()]
    assert sum(entry.get("action") == "BLOCK" for entry in entries) == 2
    assert "crimson" not in json.dumps(entries)
