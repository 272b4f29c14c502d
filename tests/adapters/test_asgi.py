"""The ASGI middleware: what passes, what fails, and the life of the engine."""

import asyncio
import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.fakes import (
    ALLOW,
    CONSTRAIN,
    LOG,
    PREDICT,
    Engine,
    Route,
    answering,
    guarded,
    policy,
    request,
)

from atlascore.adapters.asgi import AtlasCoreMiddleware
from atlascore.constraints import Constraints

LANGUAGE_ROUTES = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/messages",
]
# fmt: off
WORDS = [
    "instances", "inputs", "examples", "dataframe_split", "dataframe_records", "columns", "data",
    "shape", "datatype", "name", "model", "messages", "prompt", "input", "role", "content", "text",
    "predictions", "outputs", "result", "scores", "choices", "message", "logprobs", "usage",
    "embedding", "total_tokens", "output", "b64", "max_tokens", "n", "include", "top_logprobs",
]
# fmt: on


# --- what passes -----------------------------------------------------------------------------------------


def test_an_allowed_call_passes_byte_for_byte():
    answer = answering({"predictions": [[0.1, 0.9]]}, headers=[(b"etag", b"x")])
    plain = request(answer, document={"instances": [[1, 2]]})
    sent_to_app = answer.body
    middleware, engine = guarded(answer)
    seen = request(middleware, document={"instances": [[1, 2]]})
    assert seen == plain
    assert answer.body == sent_to_app
    assert [record.status for record in engine.records] == [200]


@pytest.mark.parametrize("action", [ALLOW, LOG])
def test_only_what_is_in_force_has_effects(action):
    app = answering({"predictions": [[0.126, 0.874]]})
    middleware, _ = guarded(app, action=action, constraints=Constraints(scores="label_only", delay=30.0))
    assert json.loads(request(middleware, document={"instances": [[1]]}).body) == {"predictions": [[0.126, 0.874]]}


def test_routes_that_are_not_inference_are_events_without_input():
    middleware, engine = guarded(answering(b"<p>", content_type="text/html"))
    assert request(middleware, "/about", method="GET").body == b"<p>"
    (call,) = engine.calls
    assert call.route == ("", "get", "/about")
    assert call.x is None
    assert call.fields == {"client.address": "192.0.2.1"}
    assert [record.status for record in engine.records] == [200]


def test_websockets_pass():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    middleware, engine = guarded(app)
    asyncio.run(middleware({"type": "websocket", "path": "/"}, None, None))
    assert seen == ["websocket"]
    assert engine.calls == []


# --- failures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b"{}", b'{"instances": 5}', b"[" * 100_000])
def test_what_cannot_be_read_is_a_failure_of_the_event_not_a_block(body):
    app = answering({})
    middleware, engine = guarded(app)
    assert request(middleware, document=body).status == 200
    assert app.body == body
    assert engine.calls[0].x is None
    assert engine.failures == [("192.0.2.1", "event", "parse", False)]
    closed, engine = guarded(app, policy=policy("failure: {stages: {event: fail_closed}}"))
    refused = request(closed, document=body)
    assert refused.status == 503
    assert refused.headers[b"x-should-retry"] == b"false"
    assert "dec_failed" in refused.body.decode()
    assert engine.failures == [("192.0.2.1", "event", "parse", True)]
    assert [record.status for record in engine.records] == [503]


@pytest.mark.parametrize("closed", [False, True])
def test_an_engine_that_fails_is_a_failure_of_the_decision(closed, caplog):
    app = answering({"predictions": [1]})
    mode = "fail_closed" if closed else "fail_open"
    middleware, engine = guarded(app, policy=policy(f"failure: {{stages: {{decision: {mode}}}}}"))
    engine.decision = None  # what an engine never answers
    with caplog.at_level(logging.CRITICAL):
        answer = request(middleware, document={"instances": [[1]]})
    assert answer.status == (503 if closed else 200)
    assert engine.failures == [("192.0.2.1", "decision", "internal", closed)]


def test_a_failure_that_cannot_be_told_still_has_its_effect(monkeypatch, caplog):
    def guard_error(*args, **options):
        raise RuntimeError("gone")

    monkeypatch.setattr(Route, "guard_error", guard_error)
    middleware, _ = guarded(answering({}), policy=policy("failure: {stages: {event: fail_closed}}"))
    with caplog.at_level(logging.CRITICAL):
        assert request(middleware, document=b"{").status == 503


@pytest.mark.parametrize("content_type", ["application/json", "text/csv"])
@pytest.mark.parametrize("closed", [False, True])
def test_an_answer_that_cannot_be_edited_is_a_failure_of_the_response(closed, content_type):
    app = answering(b"no document", content_type=content_type)
    mode = "fail_closed" if closed else "fail_open"
    middleware, engine = guarded(
        app,
        action=CONSTRAIN,
        constraints=Constraints(scores="label_only"),
        policy=policy(f"failure: {{stages: {{response: {mode}}}}}"),
    )
    assert request(middleware, document={"instances": [[1]]}).status == (503 if closed else 200)
    assert engine.failures == [("192.0.2.1", "response", "parse", closed)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), values, max_size=4)
    ),
    max_leaves=12,
)
EVERYTHING = Constraints({"decimals": 1}, True, 5, 1)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([PREDICT, "/v2/models/m/infer", "/invocations", *LANGUAGE_ROUTES]),
    st.dictionaries(st.sampled_from(WORDS), JSON, max_size=5),
    st.dictionaries(st.sampled_from(WORDS), JSON, max_size=5),
    st.sampled_from([ALLOW, CONSTRAIN]),
)
def test_no_body_of_either_side_makes_an_error(path, question, answer, action):
    app = answering(answer)
    middleware, engine = guarded(app, action=action, constraints=EVERYTHING)
    seen = request(middleware, path, question)
    assert seen.status == 200
    assert len(engine.calls) == len(engine.records) == 1
    assert int(seen.headers[b"content-length"]) == len(seen.body)
    if action == ALLOW:
        assert seen.body == json.dumps(answer).encode()


def test_an_input_that_the_engine_refuses_still_counts():
    middleware, engine = guarded(answering({}))
    engine.fault = ValueError("the input has values that are NaN or infinite")
    assert request(middleware, document={"instances": [[1]]}).status == 200
    assert [call.x for call in engine.calls] == [None]
    closed, engine = guarded(answering({}), policy=policy("failure: {default: fail_closed}"))
    engine.fault = ValueError("no")
    assert request(closed, document={"instances": [[1]]}).status == 503


def test_no_decision_at_all_follows_the_policy(monkeypatch, caplog):
    def decide(*args, **options):
        raise RuntimeError("gone")

    monkeypatch.setattr(Route, "decide", decide)
    for text, status in (("", 200), ("failure: {default: fail_closed}", 503)):
        app = answering({})
        middleware, engine = guarded(app, policy=policy(text))
        with caplog.at_level(logging.CRITICAL):
            assert request(middleware, document={"instances": [[1]]}).status == status
        assert engine.records == []
        assert app.body == (b'{"instances": [[1]]}' if status == 200 else None)


@pytest.mark.parametrize(
    ("answer", "headers"),
    [
        (b"{", ()),
        (b"\x1f\x8b damaged", [(b"content-encoding", b"gzip")]),
        (json.dumps({"predictions": [[0.5] * 400_000]}).encode(), ()),
    ],
)
def test_an_answer_that_cannot_be_edited(answer, headers):
    closed = policy("failure: {stages: {response: fail_closed}}")
    for rules, status in ((policy(), 200), (closed, 503)):
        middleware, engine = guarded(
            answering(answer, headers=headers),
            policy=rules,
            action=CONSTRAIN,
            constraints=Constraints(scores="label_only"),
        )
        seen = request(middleware, document={"instances": [[1]]})
        assert seen.status == status
        assert (seen.body == answer) == (status == 200)
        assert engine.records[0].status == status


def test_the_applications_exception_is_its_own():
    class Broken(Exception):
        pass

    async def app(scope, receive, send):
        raise Broken

    middleware, engine = guarded(app)
    with pytest.raises(Broken):
        request(middleware, document={"instances": [[1]]})
    assert [record.status for record in engine.records] == [500]


def test_a_caller_who_leaves_before_the_end_reaches_no_application():
    app = answering({})
    middleware, engine = guarded(app)
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert request(middleware, messages=messages).sent == []
    assert app.body is None
    assert [record.status for record in engine.records] == [499]


def test_a_record_that_fails_does_not_reach_the_caller(monkeypatch, caplog):
    def record(*args, **options):
        raise RuntimeError("full")

    monkeypatch.setattr(Route, "record", record)
    middleware, _ = guarded(answering({"predictions": [1]}))
    with caplog.at_level(logging.CRITICAL):
        assert request(middleware, document={"instances": [[1]]}).status == 200


def test_invented_names_do_not_fill_the_memory():
    middleware, engine = guarded(answering({}))
    for i in range(5000):
        request(middleware, f"/v1/models/m{i}:predict", {"instances": [[1]]})
    assert len({call.route for call in engine.calls}) <= 4097
    assert engine.calls[-1].route == ("(other)", "predict", "(other)")


def test_shortcuts_round_the_answer_are_hidden_on_inference_routes():
    app = answering({})
    middleware, _ = guarded(app)
    extensions = {"http.response.pathsend": {}, "http.response.trailers": {}}
    request(middleware, document={"instances": [[1]]}, extensions=extensions)
    assert app.scope["extensions"] == {"http.response.trailers": {}}
    request(middleware, "/about", extensions=extensions)
    assert app.scope["extensions"] == extensions


# --- life of the engine ----------------------------------------------------------------------------------


def lifespan(middleware):
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = []

    async def receive():
        return incoming.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(middleware({"type": "lifespan"}, receive, send))
    return sent


async def living(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def test_an_engine_that_was_given_stays_open():
    middleware, engine = guarded(living)
    assert [message["type"] for message in lifespan(middleware)] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert not engine.closed


def test_a_failed_start_is_told_to_the_server(monkeypatch):
    middleware = AtlasCoreMiddleware(living, policy=policy())

    def fail(self):
        raise OSError("no room for the region")

    monkeypatch.setattr(AtlasCoreMiddleware, "_open", fail)
    (message,) = lifespan(middleware)
    assert message == {"type": "lifespan.startup.failed", "message": "atlascore: no room for the region"}


def test_a_reloaded_policy_is_followed():
    middleware, engine = guarded(answering({}))
    request(middleware, "/about", headers=[("x-team", "red")])
    engine.policy = policy("principal: {from: header.x-team}")
    request(middleware, "/about", headers=[("x-team", "red")])
    assert [call.principal for call in engine.calls] == ["192.0.2.1", "red"]


def test_a_policy_and_an_engine_are_one_too_many():
    with pytest.raises(TypeError, match="not both"):
        AtlasCoreMiddleware(living, policy=policy(), engine=Engine(policy()))
