"""The ASGI middleware: what the engine is told of a request and its answer."""

import gzip
import json
from types import SimpleNamespace

import numpy as np
import pytest
from tests.adapters.fakes import PREDICT, Engine, answering, chat, guarded, policy, request

from atlascore.adapters.asgi import AtlasCoreMiddleware

# --- what the engine is told -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "document", "route", "x"),
    [
        (PREDICT, {"instances": [[1, 2], [3, 4]]}, ("digits", "predict", PREDICT), [[1, 2], [3, 4]]),
        (PREDICT, {"instances": [[[1], [2]]]}, ("digits", "predict", PREDICT), [[1, 2]]),
        (PREDICT, {"inputs": {"x": [[5]]}}, ("digits", "predict", PREDICT), [[5]]),
        (PREDICT, {"inputs": {"a": [1, 2], "b": ["x", "y"]}}, None, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        (PREDICT, {"instances": [{"a": 1}]}, None, {"a": 1}),
        (PREDICT, {"instances": ["hello"]}, None, "hello"),
        (PREDICT, {"instances": [{"b64": "AA=="}]}, None, b'[{"b64":"AA=="}]'),
        (PREDICT, {"instances": [[1], [2, 3]]}, None, b"[[1],[2,3]]"),
        ("/v1/models/m/versions/3:explain", {"instances": [[1]]}, ("m", "explain", None), [[1]]),
        (
            "/v2/models/m/infer",
            {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]},
            ("m", "predict", "/v2/models/m/infer"),
            [[1, 2], [3, 4]],
        ),
        (
            "/v2/models/m/infer",
            {
                "inputs": [
                    {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [[1, 2]]},
                    {"name": "y", "shape": [1, 1], "datatype": "INT64", "data": [3]},
                ]
            },
            None,
            [[1, 2, 3]],
        ),
        (
            "/v2/models/m/infer",
            {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["hello"]}]},
            None,
            "hello",
        ),
        ("/invocations", {"dataframe_records": [{"a": 1}]}, ("", "predict", "/invocations"), {"a": 1}),
        (
            "/invocations",
            {"dataframe_split": {"columns": ["a", "b"], "data": [["x", 1]]}},
            None,
            {"a": "x", "b": 1},
        ),
        ("/v1/chat/completions", chat("question"), ("gpt", "chat", "/v1/chat/completions"), "question"),
        ("/v1/completions", {"model": "m", "prompt": "p"}, ("m", "text_completion", "/v1/completions"), "p"),
        ("/v1/completions", {"model": "m", "prompt": ["p", "q"]}, None, ["p", "q"]),
        ("/v1/completions", {"model": "m", "prompt": [1, 2]}, None, b"[1,2]"),
        ("/v1/embeddings", {"model": "e", "input": "p"}, ("e", "embeddings", "/v1/embeddings"), "p"),
        ("/v1/responses", {"model": "m", "input": "p"}, ("m", "chat", "/v1/responses"), "p"),
        (
            "/v1/messages",
            {"model": "c", "messages": [{"role": "user", "content": [{"type": "text", "text": "p"}]}]},
            ("c", "chat", "/v1/messages"),
            "p",
        ),
    ],
)
def test_the_question_is_read(path, document, route, x):
    middleware, engine = guarded(answering({}))
    request(middleware, path, document)
    (call,) = engine.calls
    if isinstance(x, list) and not isinstance(x[0], (dict, str)):
        assert call.x.dtype == np.float32
        np.testing.assert_array_equal(call.x, x)
    else:
        assert call.x == x
    if route is not None:
        assert all(want is None or want == got for want, got in zip(route, call.route, strict=True))


def test_only_the_new_turn_of_a_chat_is_the_input():
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": [{"type": "text", "text": "second"}, {"type": "image_url"}]},
        {"role": "tool", "content": "result"},
        {"role": "user", "content": "third"},
    ]
    middleware, engine = guarded(answering({}))
    request(middleware, "/v1/chat/completions", {"model": "m", "messages": messages})
    assert engine.calls[0].x == "second\nthird"


@pytest.mark.parametrize(
    ("path", "parameters", "fields"),
    [
        (
            "/v1/chat/completions",
            {"logprobs": True, "top_logprobs": 5, "logit_bias": {"0": 40, "17": -100}},
            {"logprobs": True, "top_logprobs": 5, "logit_bias_ids": ["0", "17"]},
        ),
        ("/v1/completions", {"logprobs": 3, "logit_bias": {"5": 1}}, {"logprobs": 3, "logit_bias_ids": ["5"]}),
        ("/v1/responses", {"top_logprobs": 20, "logit_bias": {"5": 1}}, {"top_logprobs": 20}),
        ("/v1/chat/completions", {"logprobs": None, "logit_bias": None}, {}),
        ("/v1/chat/completions", {"logprobs": "a", "top_logprobs": [5], "logit_bias": [["5", 1]]}, {}),
        ("/v1/chat/completions", {"logit_bias": {}, "logprobs": {"a": {"b": 1}}}, {}),
        ("/v1/embeddings", {"logprobs": True}, {}),
    ],
)
def test_parameters_that_read_logits_are_handed_over(path, parameters, fields):
    middleware, engine = guarded(answering({}))
    question = {"messages": [{"role": "user", "content": "q"}], "prompt": "q", "input": "q"}
    request(middleware, path, {"model": "m", **question, **parameters})
    (call,) = engine.calls
    assert {name: value for name, value in call.fields.items() if name != "client.address"} == fields


def test_rows_as_lists_take_the_policys_names():
    text = "models: {fraud: {input: {features: {amount: {}, country: {categories: 9}}}}}"
    middleware, engine = guarded(answering({}), policy=policy(text))
    request(middleware, "/v1/models/fraud:predict", {"instances": [[1.5, "DE"]]})
    assert engine.calls[0].x == {"amount": 1.5, "country": "DE"}


def test_a_compressed_body_is_inspected_and_passed_as_it_is():
    body = gzip.compress(json.dumps({"instances": [[1]]}).encode())
    app = answering({})
    middleware, engine = guarded(app)
    request(middleware, document=body, headers=[("content-encoding", "gzip")])
    np.testing.assert_array_equal(engine.calls[0].x, [[1]])
    assert app.body == body


def test_a_body_in_pieces_is_read_as_one():
    pieces = [b'{"inst', b'ances": [', b"[1]]}"]
    messages = [{"type": "http.request", "body": piece, "more_body": i < 2} for i, piece in enumerate(pieces)]
    app = answering({})
    middleware, engine = guarded(app)
    request(middleware, messages=list(messages))
    assert app.body == b"".join(pieces)
    np.testing.assert_array_equal(engine.calls[0].x, [[1]])


def test_a_large_body_passes_unread_and_is_marked():
    app = answering({})
    fake = Engine(policy())
    middleware = AtlasCoreMiddleware(app, engine=fake, max_scan=8)
    messages = [{"type": "http.request", "body": b"x" * 5, "more_body": i < 3} for i in range(4)]
    request(middleware, messages=list(messages))
    assert app.body == b"x" * 20
    assert fake.calls[0].fields["body_partial"] is True
    assert fake.calls[0].x is None
    request(middleware, document=b"y" * 20, headers=[("content-length", "20")])
    assert app.body == b"y" * 20
    assert fake.calls[1].fields["body_partial"] is True


@pytest.mark.parametrize(
    ("path", "answer", "expected"),
    [
        (PREDICT, {"predictions": [[0.25, 0.75]]}, {"scores": [[0.25, 0.75]]}),
        (PREDICT, {"predictions": [3]}, {"label": 3}),
        (PREDICT, {"predictions": ["cat", "dog"]}, {"label": ["cat", "dog"]}),
        (PREDICT, {"outputs": {"p": [[1.0, 0.0]]}}, {"scores": [[1.0, 0.0]]}),
        (
            "/v2/models/m/infer",
            {"outputs": [{"name": "p", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.5]}]},
            {"scores": [[0.5, 0.5]]},
        ),
        (
            "/v2/models/m/infer",
            {"outputs": [{"name": "l", "datatype": "INT64", "shape": [1], "data": [7]}]},
            {"label": 7},
        ),
        (
            "/v1/chat/completions",
            {"choices": [{"message": {"content": "yes"}}], "usage": {"total_tokens": 12}},
            {"text": "yes", "cost": 12.0},
        ),
        (
            "/v1/messages",
            {"content": [{"type": "text", "text": "yes"}], "usage": {"input_tokens": 3, "output_tokens": 4}},
            {"text": "yes", "cost": 7.0},
        ),
        (
            "/v1/responses",
            {"output": [{"content": [{"type": "output_text", "text": "yes"}]}]},
            {"text": "yes"},
        ),
        (PREDICT, {"error": "no"}, {}),
        (PREDICT, b"[", {}),
    ],
)
def test_the_answer_is_recorded_once(path, answer, expected):
    question = {"instances": [[1]], "inputs": [], **chat(), "input": "x"}
    if path.startswith("/v2"):
        question = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}
    middleware, engine = guarded(answering(answer))
    request(middleware, path, question)
    (record,) = engine.records
    for name in ("label", "text", "cost"):
        assert getattr(record, name) == expected.get(name)
    if "scores" in expected:
        np.testing.assert_array_equal(record.scores, expected["scores"])
    else:
        assert record.scores is None


# --- who asks --------------------------------------------------------------------------------------------


def principal_of(principal, headers=(), document=None, **scope):
    middleware, engine = guarded(answering({}), policy=policy(f"principal: {principal}"))
    result = request(middleware, "/v1/chat/completions", document or chat(), headers=headers, **scope)
    return (engine.calls[0].principal, engine.calls[0].session) if engine.calls else result


def test_secrets_become_commitments():
    key = [("authorization", "Bearer sk-secret")]
    assert principal_of("{}", key) == (f"commitment:{9:032x}", "")
    assert principal_of("{}", [("x-api-key", "sk-secret")]) == (f"commitment:{9:032x}", "")
    assert principal_of("{from: header.x-team}", [("x-team", "red")]) == ("red", "")


def test_the_first_source_with_a_value_wins():
    sources = "{from: [scope.user.id, jwt.sub, body.user, header.x-team], session: body.metadata.session}"
    team = [("x-team", "red")]
    assert principal_of(sources, team)[0] == "red"
    assert principal_of(sources, team, chat(user="u", metadata={"session": "s"})) == ("u", "s")
    assert principal_of(sources, team, chat(user="u"), jwt={"sub": "j"})[0] == "j"
    assert principal_of(sources, team, chat(user="u"), state={"jwt": {"sub": "j"}})[0] == "j"
    assert principal_of(sources, team, user=SimpleNamespace(id=17))[0] == "17"
    assert principal_of(sources, team, user={"id": ""}, jwt={"sub": None})[0] == "red"


def test_callers_without_a_name():
    assert principal_of("{}")[0] == "192.0.2.1"
    assert principal_of("{anonymous: shared}")[0] == "anonymous"
    assert principal_of("{from: address}")[0] == "192.0.2.1"
    refused = principal_of("{anonymous: refuse}")
    assert refused.status == 401


@pytest.mark.parametrize(
    ("peer", "header", "address"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.0.0.9", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7:443", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
    ],
)
def test_the_address_is_the_last_one_that_no_trusted_proxy_has(peer, header, address):
    settings = "{address: {header: X-Forwarded-For, trusted_proxies: [10.0.0.0/8]}}"
    assert principal_of(settings, [("x-forwarded-for", header)], client=(peer, 1))[0] == address


KEYS = [("x-api-key", "K"), ("x-api-key", "z")]


@pytest.mark.parametrize("headers", [KEYS, KEYS[::-1], [("x-api-key", ""), KEYS[0]]])
def test_two_principals_in_one_header_are_a_failure_of_the_event(headers):
    app = answering({})
    middleware, engine = guarded(app)
    assert request(middleware, document={"instances": [[1]]}, headers=headers).status == 200
    assert [call.principal for call in engine.calls] == ["192.0.2.1"]
    assert engine.failures == [("192.0.2.1", "event", "parse", False)]
    assert app.scope["headers"] == [(name.encode(), value.encode()) for name, value in headers]
    closed, engine = guarded(app, policy=policy("failure: {stages: {event: fail_closed}}"))
    assert request(closed, "/about", headers=headers).status == 503
    assert [record.status for record in engine.records] == [503]
    refusing, engine = guarded(app, policy=policy("principal: {anonymous: refuse}"))
    assert request(refusing, headers=headers).status == 401


def test_the_same_principal_twice_is_one():
    assert principal_of("{from: header.x-team}", [("x-team", "red")] * 2) == ("red", "")


def test_a_repeated_header_that_nobody_needs_is_no_failure():
    sources = "{from: [scope.user.id, header.x-team], session: header.x-talk}"
    teams = [("x-team", "red"), ("x-team", "blue"), ("x-talk", "s"), ("x-talk", "t")]
    assert principal_of(sources, teams, user={"id": 17}) == ("17", "s")


def test_a_proxy_that_adds_its_own_address_header_is_believed():
    settings = "{address: {header: X-Forwarded-For, trusted_proxies: [10.0.0.0/8]}}"
    headers = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "198.51.100.7")]
    assert principal_of(settings, headers, client=("10.0.0.1", 1))[0] == "198.51.100.7"
    assert principal_of(settings, [*headers, ("x-forwarded-for", "10.0.0.9")], client=("10.0.0.1", 1))[0] == (
        "198.51.100.7"
    )


@pytest.mark.parametrize("lengths", [("9999999", "21"), ("21", "9999999")])
def test_of_two_content_lengths_none_is_believed(lengths):
    middleware, engine = guarded(answering({}))
    request(middleware, document={"instances": [[1]]}, headers=[("content-length", length) for length in lengths])
    np.testing.assert_array_equal(engine.calls[0].x, [[1]])


def test_a_content_length_beyond_all_numbers_is_a_large_one():
    middleware, engine = guarded(answering({}))
    request(middleware, document={"instances": [[1]]}, headers=[("content-length", "9" * 5000)])
    assert engine.calls[0].fields["body_partial"] is True


def test_two_content_encodings_are_one_list():
    body = gzip.compress(json.dumps({"instances": [[1]]}).encode())
    middleware, engine = guarded(answering({}))
    request(middleware, document=body, headers=[("content-encoding", "br"), ("content-encoding", "gzip")])
    assert engine.calls[0].x is None
    assert engine.failures == [("192.0.2.1", "event", "parse", False)]


def test_our_own_headers_do_not_come_from_outside():
    app = answering({})
    middleware, _ = guarded(app)
    request(middleware, "/about", headers=[("x-atlascore-decision", "dec_x"), ("x-other", "1")])
    assert app.scope["headers"] == [(b"x-other", b"1")]
