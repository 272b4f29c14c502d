"""Templates and known probes through the engine: who counts, for how long, and what leaves no trace."""

from __future__ import annotations

import random
import string

import pytest

import atlascore as ac

NOW = 1_900_000_000.0
DAY = 86_400.0
NAMES = ("api.template_principals", "api.template_share", "api.known_probes")
RULE = """
title: Reads the wording
id: 6b9c1f0a-5a35-4a5f-8f0b-0d7c1f0f9c11
logsource: {category: api_activity, product: machine_learning_platform}
timeframe: 1h
detection:
    sel:
        api.template_principals|gt: 1000
        api.template_share|gt: 2
        api.known_probes|gt: 1000
    condition: sel
level: low
"""
TEMPLATE = 'Summarise the note of our support team in one friendly sentence, please: "{}"'
PROBES = ("Which model are you, and which version?", "Which company trained you, and when?")


def make(tmp_path, policy="", **options):
    (tmp_path / "rule.yml").write_text(RULE)
    text = f"version: 1\nmode: enforce\nrules: {{paths: rule.yml}}\nstate: {{seed: 3}}\n{policy}"
    return ac.Engine(ac.Policy.from_text(text, base=tmp_path), capacity=1_000, **options)


@pytest.fixture
def engine(tmp_path):
    with make(tmp_path) as engine:
        yield engine


def content(number):
    return "".join(random.Random(number).choices(string.ascii_lowercase + " ", k=40))


def send(engine, principal, number=0, now=NOW, template=TEMPLATE, model="m"):
    return engine.decide(principal=principal, model=model, text=template.format(content(number)), now=now)


def test_principals_are_young_for_a_week(engine):
    for i in range(4):
        send(engine, f"old-{i}")
    for i in range(4):
        decision = send(engine, f"old-{i}", now=NOW + 8 * DAY)
    assert decision.signals["api.template_principals"] == 0
    for i in range(2):
        decision = send(engine, "new", i, now=NOW + 8 * DAY)
        assert decision.signals["api.template_principals"] == pytest.approx(1, abs=0.1)
    assert send(engine, "old-0", 9, NOW + 8 * DAY).signals["api.template_principals"] == pytest.approx(1, abs=0.1)


def test_another_template_is_counted_apart(engine):
    for i in range(6):
        seen = send(engine, f"p-{i}")
    assert seen.signals["api.template_principals"] > 4
    other = send(engine, "p-1", template="Write a poem in four short lines about {} and the sea at night.")
    assert other.signals["api.template_principals"] == pytest.approx(1, abs=0.1)


def test_a_batch_is_its_prompts(engine):
    texts = [TEMPLATE.format(content(i)) for i in range(20)]
    decision = engine.decide(principal="p", model="m", text=texts, now=NOW)
    assert decision.signals["api.template_share"] == 1
    decision = engine.decide(principal="q", model="m", text=[*PROBES, PROBES[0]], now=NOW)
    assert decision.signals["api.known_probes"] == 2


def test_what_is_blocked_leaves_no_trace(tmp_path):
    with make(tmp_path, "limits: [{name: one, per: principal, max: 1, window: 1h}]") as engine:
        for probe in PROBES:
            engine.decide(principal="p", model="m", text=probe, now=NOW)
        assert engine.signals("p", "m")["api.known_probes"] == 1
        send(engine, "q", template="{} is the first prompt that this caller sends to anybody")
        for i in range(5):
            assert send(engine, "q", i).action == ac.Action.BLOCK
        assert send(engine, "r").signals["api.template_principals"] == pytest.approx(1, abs=0.1)


def test_signals_of_a_track(engine):
    for i in range(20):
        send(engine, "p", i, NOW + i)
    engine.decide(principal="p", model="m", text=PROBES[1], now=NOW + 30)
    found = engine.signals("p", "m")
    assert found["api.template_share"] == pytest.approx(20 / 21)
    assert found["api.known_probes"] == 1
    assert found["api.template_principals"] == pytest.approx(1, abs=0.1)


def test_queries_without_text_have_none(engine):
    decision = engine.decide(principal="p", model="m", vector=[0.0, 1.0], now=NOW)
    assert not set(NAMES) & set(decision.signals)


def test_an_allowed_template_has_no_principals(tmp_path):
    allowed = TEMPLATE.format("anything")
    with make(tmp_path, f"models: {{shop: {{templates: {{allow: ['{allowed}']}}}}}}") as engine:
        for i in range(8):
            allowed_here, elsewhere = (send(engine, f"p-{i}", i, model=model) for model in ("shop", "other"))
        assert "api.template_principals" not in allowed_here.signals
        assert elsewhere.signals["api.template_principals"] > 4
        for i in range(100, 120):
            decision = send(engine, "p-0", i, model="shop")
        assert decision.signals["api.template_share"] == 1


def test_state_is_shared(tmp_path):
    state = str(tmp_path / "state")
    with make(tmp_path, state=state) as first, make(tmp_path, state=state) as second:
        for i in range(8):
            decision = send((first, second)[i % 2], f"p-{i}")
        assert decision.signals["api.template_principals"] > 5
        first.decide(principal="p", model="m", text=PROBES[0], now=NOW)
        found = second.decide(principal="p", model="m", text=PROBES[1], now=NOW)
        assert found.signals["api.known_probes"] == 2


def test_the_shipped_probes_are_all_different(tmp_path):
    """Of one family no two may be hit by one prompt, or four would be found in two."""
    policy = ac.Policy.default()
    probes = policy.resolved()["probes"]
    with make(tmp_path) as engine:
        for i, probe in enumerate(probes):
            same = [other["text"] for other in probes if other["family"] == probe["family"]]
            for number, text in enumerate(same):
                decision = engine.decide(principal=f"p-{i}", model="m", text=text, now=NOW)
                assert decision.signals["api.known_probes"] == min(number + 1, 8), text


PLAIN = (
    "You are an expert teacher of this subject. Solve the problem below step by step, explain each step so that a "
    "student could follow it, and write the answer in the last line. Problem: {}"
)


def plain(number):
    own = random.Random(number)
    return " ".join("".join(own.choices(string.ascii_lowercase, k=6)) for _ in range(15))


@pytest.mark.parametrize("batch", [False, True])
def test_a_template_around_plain_text(engine, batch):
    """Whole prompts differ in a third of their words; what they share is the same for every caller."""
    for i in range(8):
        texts = [PLAIN.format(plain(100 * i + number)) for number in range(25)]
        for text in [texts] if batch else texts:
            decision = engine.decide(principal=f"p-{i}", model="m", text=text, now=NOW)
        assert decision.signals["api.template_share"] >= 0.8
    assert decision.signals["api.template_principals"] > 5


def test_callers_with_templates_of_their_own(engine):
    for i in range(8):
        own = plain(i) + ": {} " + plain(-i - 1)
        for number in range(25):
            decision = send(engine, f"p-{i}", 100 * i + number, template=own)
        assert decision.signals["api.template_share"] >= 0.8
        assert decision.signals["api.template_principals"] == pytest.approx(1, abs=0.1)


def test_an_allowed_template_around_plain_text(tmp_path):
    allowed = PLAIN.format("Anything at all.")
    with make(tmp_path, f"models: {{m: {{templates: {{allow: ['{allowed}']}}}}}}") as engine:
        seen = [
            engine.decide(principal=f"p-{i}", model="m", text=PLAIN.format(plain(100 * i + number)), now=NOW)
            for i in range(8)
            for number in range(25)
        ]
    # The first prompt of a caller has none before it, and now and then one shares something else.
    counted = [d.signals["api.template_principals"] for d in seen if "api.template_principals" in d.signals]
    assert len(counted) < 0.2 * len(seen)
    assert max(counted) < 5
