"""The ASGI middleware: refusals and constraints."""

import asyncio
import gzip
import json

import numpy as np
import pytest
from tests.adapters.fakes import (
    BLOCK,
    CONSTRAIN,
    PREDICT,
    Engine,
    answering,
    chat,
    guarded,
    policy,
    request,
)

from atlascore.adapters.asgi import AtlasCoreMiddleware
from atlascore.constraints import Constraints

# --- refusals --------------------------------------------------------------------------------------------


def test_a_block_is_answered_here():
    app = answering({})
    middleware, engine = guarded(app, action=BLOCK, retry_after=100.0)
    refused = request(middleware, document={"instances": [[1]]})
    assert refused.status == 429
    assert json.loads(refused.body) == {"error": "This request was refused because of unusual usage. Decision dec_abc."}
    assert refused.headers[b"x-atlascore-decision"] == b"dec_abc"
    assert refused.headers[b"x-should-retry"] == b"false"
    assert 100 <= int(refused.headers[b"retry-after"]) <= 110
    assert int(refused.headers[b"content-length"]) == len(refused.body)
    assert app.body is None
    assert [record.status for record in engine.records] == [429]


def test_each_route_has_its_own_form_of_refusal():
    middleware, _ = guarded(answering({}), action=BLOCK)
    openai = json.loads(request(middleware, "/v1/chat/completions", chat()).body)
    assert openai["error"]["type"] == "rate_limit_error"
    assert openai["error"]["code"] == "abnormal_usage_detected"
    assert openai["error"]["param"] is None
    anthropic = json.loads(request(middleware, "/v1/messages", chat()).body)
    assert anthropic["type"] == "error"
    assert anthropic["error"]["type"] == "rate_limit_error"
    other = request(middleware, "/about", method="GET")
    assert other.headers[b"content-type"] == b"application/problem+json"
    problem = json.loads(other.body)
    assert problem["type"].endswith("#abnormal-usage-detected")
    assert (problem["status"], problem["violated-policies"]) == (429, ["usage"])
    asked = request(middleware, document={"instances": [[1]]}, headers=[("accept", "application/problem+json")])
    assert json.loads(asked.body)["decision_id"] == "dec_abc"


def test_a_head_request_gets_no_body():
    middleware, _ = guarded(answering({}), action=BLOCK)
    assert request(middleware, "/about", method="HEAD").body == b""


def test_an_advertised_limit_is_named():
    text = "limits: [{name: hidden, max: 1, window: 1h}, {name: minute, max: 120, window: 1m, advertise: true}]"
    middleware, engine = guarded(
        answering({}), policy=policy(text), action=BLOCK, step=("limit", 1, -1), retry_after=17.0
    )
    refused = request(middleware, "/v1/chat/completions", chat())
    assert json.loads(refused.body)["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers[b"ratelimit-policy"] == b'"minute";q=120;w=60'
    assert refused.headers[b"ratelimit"] == b'"minute";r=0;t=17'
    assert b"x-should-retry" not in refused.headers
    engine.decision._step = ("limit", 0, -1)
    assert b"ratelimit" not in request(middleware, "/v1/chat/completions", chat()).headers


# --- constraints -----------------------------------------------------------------------------------------


def constrained(path, question, answer, constraints, **options):
    app = answering(answer, **options)
    middleware, engine = guarded(app, action=CONSTRAIN, constraints=Constraints.from_dict(constraints))
    seen = request(middleware, path, question, headers=[("accept-encoding", "gzip"), ("content-length", "1")])
    assert len(engine.records) == 1
    return seen, app, engine


@pytest.mark.parametrize(
    ("path", "answer", "constraints", "expected"),
    [
        (
            PREDICT,
            {"predictions": [[0.52, 0.48]]},
            {"scores": {"decimals": 1}},
            {"predictions": [[0.5, 0.4]]},
        ),
        (PREDICT, {"predictions": [[0.4, 0.6]]}, {"scores": "label_only"}, {"predictions": [[0.0, 1.0]]}),
        (
            PREDICT,
            {"predictions": [{"scores": [0.1, 0.9], "name": "b"}]},
            {"scores": "label_only"},
            {"predictions": [{"scores": [0.0, 1.0], "name": "b"}]},
        ),
        (
            PREDICT,
            {"outputs": {"p": [[0.1, 0.9]]}},
            {"scores": {"top_k": 1}},
            {"outputs": {"p": [[0.0, 0.9]]}},
        ),
        (PREDICT, {"predictions": [0.34, 0.86]}, {"scores": {"decimals": 1}}, {"predictions": [0.3, 0.9]}),
        (PREDICT, {"predictions": [0.34, 0.86]}, {"scores": "label_only"}, {"predictions": [0.0, 1.0]}),
        (
            PREDICT,
            {"predictions": ["cat"], "k": 1},
            {"scores": "label_only"},
            {"predictions": ["cat"], "k": 1},
        ),
        (
            "/v2/models/m/infer",
            {"outputs": [{"name": "p", "datatype": "FP32", "shape": [1, 2], "data": [0.26, 0.74]}]},
            {"scores": {"decimals": 1}},
            {"outputs": [{"name": "p", "datatype": "FP32", "shape": [1, 2], "data": [0.3, 0.7]}]},
        ),
        (
            "/v1/chat/completions",
            {"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"logprob": -0.123}]}}]},
            {"drop_logprobs": True},
            {"choices": [{"message": {"content": "x"}, "logprobs": None}]},
        ),
        (
            "/v1/completions",
            {"choices": [{"text": "x", "logprobs": {"token_logprobs": [-0.123, None]}}]},
            {"scores": {"decimals": 1}},
            {"choices": [{"text": "x", "logprobs": {"token_logprobs": [-0.1, None]}}]},
        ),
        (
            "/v1/embeddings",
            {"data": [{"embedding": [0.123, -0.456]}, {"embedding": "zczMPQ=="}]},
            {"scores": {"decimals": 1}},
            {"data": [{"embedding": [0.1, -0.5]}, {"embedding": "zczMPQ=="}]},
        ),
    ],
)
def test_answers_are_edited(path, answer, constraints, expected):
    question = {"instances": [[1]], "prompt": "x", **chat(), "input": "x"}
    if path.startswith("/v2"):
        question = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}
    seen, app, _ = constrained(path, question, answer, constraints, headers=[(b"etag", b"x"), (b"x-a", b"1")])
    assert json.loads(seen.body) == expected
    assert int(seen.headers[b"content-length"]) == len(seen.body)
    assert seen.headers[b"x-a"] == b"1"
    if expected != answer:
        assert b"etag" not in seen.headers
    assert (b"accept-encoding", b"identity") in app.scope["headers"]
    assert not any(b"atlascore" in name for name in seen.headers)


def test_the_record_holds_the_scores_before_the_edit():
    _, _, engine = constrained(
        PREDICT, {"instances": [[1]]}, {"predictions": [[0.126, 0.874]]}, {"scores": "label_only"}
    )
    np.testing.assert_array_equal(engine.records[0].scores, [[0.126, 0.874]])


def test_nan_goes_back_unquoted():
    seen, _, _ = constrained(
        PREDICT, {"instances": [[1]]}, b'{"predictions": [[NaN, 0.26, 0.74]]}', {"scores": {"decimals": 1}}
    )
    assert seen.body == b'{"predictions":[[NaN,0.3,0.7]]}'


@pytest.mark.parametrize(
    ("path", "more", "constraints", "expected"),
    [
        ("/v1/chat/completions", {"max_tokens": 900}, {"max_tokens": 256}, {"max_tokens": 256}),
        (
            "/v1/chat/completions",
            {"max_completion_tokens": 900, "max_tokens": 9},
            {"max_tokens": 256},
            {"max_completion_tokens": 256, "max_tokens": 9},
        ),
        ("/v1/chat/completions", {}, {"max_tokens": 256}, {"max_tokens": 256}),
        ("/v1/responses", {"input": "x"}, {"max_tokens": 256}, {"input": "x", "max_output_tokens": 256}),
        ("/v1/chat/completions", {"n": 5, "best_of": 9}, {"n": 1}, {"n": 1, "best_of": 1}),
        (
            "/v1/chat/completions",
            {"logprobs": True, "top_logprobs": 5, "logit_bias": {"1": 5}, "seed": 1},
            {"drop_logprobs": True},
            {"seed": 1},
        ),
        ("/v1/chat/completions", {"top_logprobs": 20}, {"scores": {"top_k": 2}}, {"top_logprobs": 2}),
    ],
)
def test_requests_are_edited(path, more, constraints, expected):
    _, app, _ = constrained(path, chat(**more), {}, constraints)
    assert json.loads(app.body) == chat(**expected)
    assert (b"content-length", str(len(app.body)).encode()) in app.scope["headers"]
    assert sum(name == b"content-length" for name, _ in app.scope["headers"]) == 1


def test_an_error_answer_is_not_edited():
    seen, _, _ = constrained(
        PREDICT, {"instances": [[1]]}, {"predictions": [[0.52, 0.48]]}, {"scores": "label_only"}, status=400
    )
    assert json.loads(seen.body) == {"predictions": [[0.52, 0.48]]}
    assert seen.status == 400


def test_a_stream_passes_piece_by_piece():
    async def app(scope, receive, send):
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in (b"data: 1\n\n", b"data: [DONE]\n\n"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    middleware, engine = guarded(app, action=CONSTRAIN, constraints=Constraints(drop_logprobs=True))
    seen = request(middleware, "/v1/chat/completions", chat(stream=True))
    assert [message.get("body") for message in seen.sent[1:]] == [b"data: 1\n\n", b"data: [DONE]\n\n", b""]
    assert engine.records[0].status == 200


def test_a_delay_is_awaited(monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    constrained(PREDICT, {"instances": [[1]]}, {}, {"delay": 0.25})
    assert waited == [0.25]


def test_a_request_too_large_to_edit_is_refused():
    app = answering({})
    fake = Engine(policy(), action=CONSTRAIN, constraints=Constraints(max_tokens=5))
    middleware = AtlasCoreMiddleware(app, engine=fake, max_scan=10)
    assert request(middleware, "/v1/chat/completions", chat()).status == 413
    assert app.body is None
    fake.decision.constraints = Constraints(scores="label_only")
    assert request(middleware, document={"instances": [[1.0]]}).status == 200


def test_a_compressed_answer_is_edited():
    body = gzip.compress(json.dumps({"predictions": [[0.26, 0.74]]}).encode())
    seen, _, _ = constrained(
        PREDICT,
        {"instances": [[1]]},
        body,
        {"scores": {"decimals": 1}},
        headers=[(b"content-encoding", b"gzip")],
    )
    assert json.loads(seen.body) == {"predictions": [[0.3, 0.7]]}
    assert b"content-encoding" not in seen.headers
