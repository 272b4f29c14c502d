"""The log's rendering in the core against its twin in plain Python."""

import base64
import json
import math

import rfc8785
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import log_reference as reference

from atlascore._core import testing_log

NAMES = st.binary(max_size=12) | st.text(max_size=150).map(lambda s: s.encode("utf-8", "surrogatepass"))
REALS = st.floats() | st.floats(-2, 2) | st.integers(-(10**18), 10**18).map(float)
ACTIONS = st.sampled_from(reference.ACTIONS)
COMMITMENTS = st.just(bytes(16)) | st.binary(min_size=16, max_size=16)
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.uuids().map(str),
            "techniques": st.lists(st.integers(0, 40).map(lambda n: f"AML.T{n:04d}"), max_size=3),
        }
    ),
    min_size=1,
    max_size=16,
    unique_by=lambda rule: rule["id"],
)
POLICIES = st.fixed_dictionaries(
    {
        "hash": st.binary(min_size=32, max_size=32),
        "atlas_release": st.just("2026.09"),
        "rules": RULES,
        "signals": st.lists(
            st.sampled_from(["api.request_count", "api.request_rate", "api.x" * 25, "evidence.total"]),
            min_size=1,
            max_size=8,
        ),
        "constraints": st.lists(
            st.tuples(st.sampled_from(["scores", "n", "redact"]), st.sampled_from(['"label_only"', "4", "[1,2]"])),
            max_size=6,
        ),
    }
)


@st.composite
def cases(draw):
    policy = draw(POLICIES)
    matched = st.fixed_dictionaries(
        {
            "rule": st.integers(0, len(policy["rules"]) - 1),
            "action": ACTIONS,
            "mode": st.sampled_from(["enforce", "shadow"]),
        }
    )
    signal = st.fixed_dictionaries(
        {
            "signal": st.integers(0, len(policy["signals"]) - 1),
            "rules": st.just(0xFFFF) | st.integers(0, 0xFFFF),
            "value": REALS,
        }
    )
    record = {
        "t": draw(st.integers(0, 2**52)),
        "mono": draw(st.integers(0, 2**62)),
        "latency": draw(st.integers(0, 2**32 - 1)),
        "rows": draw(st.integers(1, 3)),
        "constraints": draw(st.integers(0, 2**6 - 1)),
        "action": draw(ACTIONS),
        "would": draw(ACTIONS),
        "phase": draw(st.sampled_from(["request", "response"])),
        "step": draw(st.sampled_from(["", "operator", "allow", "standing", "limit", "response", "approval"])),
        "simulated": draw(st.booleans()),
        "trimmed": draw(st.booleans()),
        "principal": draw(COMMITMENTS),
        "session": draw(COMMITMENTS),
        "request": draw(st.binary(max_size=8) | st.from_regex(rb"[ -~]{1,64}", fullmatch=True)),
        "rules": draw(st.lists(matched, max_size=16, unique_by=lambda rule: rule["rule"])),
        "signals": draw(st.lists(signal, max_size=16)),
    }
    for name in ("model", "route", "method", "endpoint", "step_name", "allowed_by"):
        record[name] = draw(NAMES)
    if draw(st.booleans()):
        record["guard"] = draw(st.sampled_from(["deadline", "parse", "region", "log", "internal"]))
        record["stage"] = draw(st.sampled_from(["event", "track", "log", "approval"]))
        record["closed"] = draw(st.booleans())
    return policy, record


@given(cases(), st.integers(0, 2**64 - 1), st.integers(1, 2**48 - 1))
def test_entries_are_those_of_the_twin(case, instance, sequence):
    policy, record = case
    entry = testing_log.decision_entry(instance, sequence, policy, record)
    assert entry == reference.entry(instance, sequence, policy, record)
    assert len(entry) <= reference.LIMIT
    assert rfc8785.dumps(json.loads(entry)) == entry


@given(REALS.filter(math.isfinite))
def test_reals_are_the_shortest_that_read_back(value):
    text = testing_log.real(value)
    assert float(text) == value
    assert text == reference.real(value)


@given(st.binary(max_size=40), st.integers(0, 60))
def test_ill_formed_utf8_is_replaced_as_python_does(raw, limit):
    assert testing_log.clean_utf8(raw, limit).decode() == reference.clean(raw, limit)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_strings_are_escaped_as_rfc_8785_says(text):
    assert testing_log.json_string(text.encode()) == reference.canonical(text)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_commitments(salt, name):
    assert testing_log.commitment(salt, name) == reference.commitment(salt, name)


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**48 - 1),
)
def test_decision_ids(salt, instance, producer, sequence):
    block = instance.to_bytes(8, "big") + producer.to_bytes(2, "big") + sequence.to_bytes(6, "big")
    encryptor = Cipher(AES(reference.decision_id_key(salt)), ECB()).encryptor()
    expected = "dec_" + base64.b32encode(encryptor.update(block)).decode().rstrip("=").lower()
    assert testing_log.decision_id(salt, instance, producer, sequence) == expected
    assert testing_log.decision_name(salt, expected) == (instance, producer, sequence)


@given(st.text(max_size=32) | st.from_regex("dec_[a-z2-7]{26}", fullmatch=True))
def test_any_text_is_a_decision_id_or_not(text):
    salt = bytes(32)
    name = testing_log.decision_name(salt, text)
    if name is not None:
        assert testing_log.decision_id(salt, *name) == text
