"""Whatever is in a baseline's file, naming it in a policy is an error with a place, or works."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atlascore as ac
from atlascore._core import evidence_components
from atlascore.errors import PolicyError

POLICY = "version: 1\nmodels: {m*: {baseline: b.json}}\nrules: {paths: [rules]}\n"
RULE = """
title: many
id: 0b6f4a52-7f0e-4d1c-8b3a-52d1f0c8a013
logsource: {category: api_activity}
detection: {seen: {api.request_count|gte: 1000000000}, condition: seen}
level: low
"""
ENTRIES = [
    {"component": c["name"], "family": c["family"], "p0": c["p0"], "bound": 0.5, "outcome": "off" if i % 3 else "kept"}
    for i, c in enumerate(evidence_components())
]
WHOLE = {"version": 2, "models": {"m1": {"evidence": ENTRIES}, "other": {"evidence": []}, "m2": {"evidence": []}}}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("baseline")
    (directory / "rules").mkdir()
    (directory / "rules" / "rule.yml").write_text(RULE)
    return directory


def load(directory: Path, content: bytes) -> ac.Policy | None:
    (directory / "b.json").write_bytes(content)
    try:
        policy = ac.Policy.from_text(POLICY, "p.yml", directory)
    except PolicyError as error:
        for problem in error.problems:
            assert re.match(r"p\.yml:2:25: models\.m\*\.baseline: \"b\.json\" .*; ", str(problem)), problem
            assert str(problem).isprintable(), "a terminal can show it"
        return None
    with ac.Engine(policy, capacity=100) as engine:
        engine.decide(principal="p", model="m1", now=2e9)
    return policy


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200))
def test_bytes(directory: Path, content: bytes) -> None:
    assert load(directory, content) is None


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 2**31), length=st.integers(0, 30), by=st.binary(max_size=30))
def test_damage(directory: Path, at: int, length: int, by: bytes) -> None:
    content = json.dumps(WHOLE).encode()
    at %= len(content)
    load(directory, content[:at] + by + content[at + length :])


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.sampled_from(["flip", "off", "m", "\ud800", 2, 10**400, "evidence"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.text(), st.sampled_from(["version", "models", "evidence", "component", "m\udfff", "m1"])),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=250, deadline=None)
@given(where=st.lists(st.integers(0, 9), max_size=6), value=anything)
def test_something_else_in_one_place(directory: Path, where: list[int], value: Any) -> None:
    data: Any = copy.deepcopy(WHOLE)
    holder, key = None, None
    place = data
    for step in where:
        if not isinstance(place, dict | list) or not place:
            break
        holder, key = place, list(place)[step % len(place)] if isinstance(place, dict) else step % len(place)
        place = place[key]  # type: ignore[call-overload]
    if holder is None:
        data = value
    else:
        holder[key] = value  # type: ignore[index]
    load(directory, json.dumps(data).encode())


def test_the_whole_file_works(directory: Path) -> None:
    policy = load(directory, json.dumps(WHOLE).encode())
    assert policy is not None
    (model,) = policy.resolved()["models"]
    assert model["evidence_off"]["measured"] == {
        "m1": [entry["component"] for entry in ENTRIES if entry["outcome"] == "off"],
        "m2": [],
    }


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"version": 2, "models": ' + b"[" * 990 + b"]" * 990 + b"}"])
def test_depth(directory: Path, content: bytes) -> None:
    assert load(directory, content) is None
