"""Evidence in baselines: how often honest callers hit each component, and what a policy makes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import atlascore as ac
from atlascore._core import evidence_components
from atlascore.cli import main
from atlascore.errors import PolicyError

START = 1_750_000_000.0
WIDTH = 12
CALLERS = 24
POLICY = """
version: 1
mode: enforce
models: {m*: {input: {modality: vector, range: [0, 1]}%s}}
rules: {paths: [builtin]}
state: {seed: 5}
"""
Event = dict[str, Any]


def event(time: float, principal: str, x: Any, label: int, model: str = "m") -> Event:
    values = [float(v) for v in np.asarray(x)]
    return {"time": time, "principal": principal, "model": model, "vector": values, "response": {"label": label}}


def steady(x: Any) -> int:
    return int(x[0] > 0.5)


def ordinary(random: np.random.Generator, each: int = 12, model: str = "m") -> list[Event]:
    """Unlike inputs of every caller: what ordinary distances are."""
    return [
        event(START + CALLERS * k + i, f"caller-{i}", x, steady(x), model)
        for k in range(each)
        for i, x in enumerate(random.random((CALLERS, WIDTH)))
    ]


def variations(
    random: np.random.Generator,
    callers: Iterable[int],
    each: int,
    begin: float,
    label: Callable[[Any], int],
    model: str,
) -> list[Event]:
    """Every caller sends the same thing over and over, with a little noise: sensors."""
    bases = random.random((CALLERS, WIDTH))
    return [
        event(begin + CALLERS * k + i, f"caller-{i}", x, label(x), model)
        for k in range(each)
        for i in callers
        for x in [np.clip(bases[i] + random.normal(0, 0.002, WIDTH), 0, 1)]
    ]


def sensors(seed: int, callers: Iterable[int] = range(CALLERS), noisy: bool = True, model: str = "m") -> list[Event]:
    """With noisy labels half of their near pairs flip."""
    random = np.random.default_rng(seed)
    label = (lambda _: int(random.integers(2))) if noisy else steady
    return [*ordinary(random, model=model), *variations(random, callers, 50, START + 10_000, label, model)]


def write_log(file: Path, events: Iterable[Event]) -> Path:
    file.write_text("".join(json.dumps(one) + "\n" for one in events))
    return file


def write_policy(directory: Path, baseline: Path | None = None, name: str = "policy.yml") -> Path:
    file = directory / name
    file.write_text(POLICY % (f", baseline: {baseline.name}" if baseline is not None else ""))
    return file


def measure(policy: Path, file: Path, *logs: Path) -> tuple[dict[str, Any], str]:
    done = CliRunner().invoke(main, ["scan", *map(str, logs), "--policy", str(policy), "--baseline", str(file)])
    assert done.exit_code == 0, done.output
    return json.loads(file.read_text()), done.output


def of(report: dict[str, Any], component: str, model: str = "m") -> dict[str, Any]:
    return next(entry for entry in report["models"][model]["evidence"] if entry["component"] == component)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    directory = tmp_path_factory.mktemp("noisy")
    events = sensors(1)
    logs = [write_log(directory / f"{i}.jsonl", events[i::2]) for i in range(2)]
    report, output = measure(write_policy(directory), directory / "baseline.json", *logs)
    return directory, report, output


def replay(policy: ac.Policy, events: list[Event], principal: str) -> float:
    """The most that evidence.total of a caller reached."""
    most = 0.0
    with ac.Engine(policy, capacity=2_000) as engine:
        routes: dict[str, Any] = {}
        for one in events:
            route = routes.setdefault(one["model"], engine.route(one["model"]))
            x = np.asarray(one["vector"], np.float32)
            decision = route.decide(one["principal"], x, one["time"])
            route.record(decision, one["response"]["label"], now=one["time"])
            if one["principal"] == principal:
                most = max(most, decision.signals.get("evidence.total", 0.0))
    return most


def search(principal: str = "thief", model: str = "m", begin: float = START + 50_000) -> list[Event]:
    """A search along one line between two labels."""
    low, high = np.random.default_rng(3).random((2, WIDTH))
    low[0], high[0] = 0.1, 0.8
    events = [event(begin + i, principal, x, steady(x), model) for i, x in enumerate((low, high))]
    for k in range(12):
        middle = (low + high) / 2
        events.append(event(begin + 10 + k, principal, middle, steady(middle), model))
        low, high = (middle, high) if steady(middle) == steady(low) else (low, middle)
    return events


def write_baseline(file: Path, models: dict[str, dict[str, str]], **more: Any) -> Path:
    """As a scan writes it, as far as policies read it; what is not named is kept."""
    evidence = {
        model: [
            {"component": c["name"], "p0": c["p0"], "bound": 0.5, "outcome": outcomes.get(c["name"], "kept")}
            for c in evidence_components()
        ]
        for model, outcomes in models.items()
    }
    file.write_text(json.dumps({"version": 2, "models": {m: {"evidence": e} for m, e in evidence.items()}} | more))
    return file


def complaints(directory: Path, baseline: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        ac.Policy.from_text(POLICY % f", baseline: {baseline}", "p.yml", directory)
    return [str(problem) for problem in caught.value.problems]


# --- measuring --------------------------------------------------------------------------------------------


def test_labels_that_flip_by_noise_are_measured(noisy):
    _, report, output = noisy
    assert report["version"] == 2
    flip = of(report, "flip")
    assert (flip["family"], flip["p0"], flip["outcome"]) == ("boundary", 0.1, "off")
    assert flip["observations"] == CALLERS * 49, "each variation is near the one before it, or an earlier one"
    assert flip["hits"] / flip["observations"] == pytest.approx(0.5, abs=0.05)
    assert 0.5 < flip["bound"] < 0.65
    assert sum(part["principals"] for part in flip["classes"]) == CALLERS
    assert {entry["component"] for entry in report["models"]["m"]["evidence"] if entry["outcome"] == "off"} == {"flip"}
    assert [entry["component"] for entry in report["models"]["m"]["evidence"]] == [
        component["name"] for component in evidence_components()
    ]
    halving = of(report, "halving")
    assert halving["outcome"] == "not measured" and halving["hits"] == 0
    assert of(report, "cost")["observations"] == 0
    said = " ".join(output.split())
    assert f"flip (boundary) {flip['hits']:,} {flip['observations']:,}" in said
    assert f"halving ({halving['classes'][0]['observations']:,} of 2,995)" in said
    assert "never observed, so p0 stays as it is shipped: climb_descent" in said


def test_the_file_names_nobody(noisy):
    directory, report, output = noisy
    assert "caller-" in output
    assert "caller-" not in (directory / "baseline.json").read_text()
    assert report["models"]["m"]["principals"] == CALLERS


def test_labels_that_keep_are_kept(tmp_path):
    report, output = measure(
        write_policy(tmp_path), tmp_path / "b.json", write_log(tmp_path / "l", sensors(1, noisy=False))
    )
    flip = of(report, "flip")
    assert 0 < flip["hits"] < 0.05 * flip["observations"] and flip["outcome"] == "kept"
    assert "no component of evidence is hit too often" in output


def test_a_thief_in_the_log_is_shown(tmp_path):
    log = write_log(tmp_path / "l", [*sensors(1, noisy=False), *search("thief", begin=START + 5_000)])
    policy = write_policy(tmp_path)
    policy.write_text(policy.read_text() + "responses: [{name: r, match: {level: critical}, action: BLOCK}]\n")
    report, output = measure(policy, tmp_path / "b.json", log)
    halving = of(report, "halving")
    assert halving["hits"] >= 5
    assert halving["outcome"] == "not measured", "one caller in a short log switches nothing off"
    (line,) = (line for line in output.splitlines() if line.strip().startswith("halving (line_search)"))
    assert f"thief: {halving['hits']} of " in line and "would BLOCK" in line


def test_what_is_off_goes_on_being_measured(noisy):
    """Else it would come back with the next baseline, which would have seen nothing."""
    directory, report, _ = noisy
    policy = write_policy(directory, directory / "baseline.json", "second.yml")
    logs = [directory / "0.jsonl", directory / "1.jsonl"]
    again, output = measure(policy, directory / "again.json", *logs)
    assert [of(again, c["name"]) for c in evidence_components()] == [
        of(report, c["name"]) for c in evidence_components()
    ]
    assert "evidence-off" in output, "the policy's warning"


def test_models_are_measured_apart(tmp_path):
    events = [*sensors(1, model="m1"), *sensors(2, noisy=False, model="m2")]
    report, _ = measure(write_policy(tmp_path), tmp_path / "b.json", write_log(tmp_path / "l", events))
    assert of(report, "flip", "m1")["outcome"] == "off"
    assert of(report, "flip", "m2")["outcome"] == "kept"


# --- what a policy makes of it ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def policies(noisy) -> tuple[ac.Policy, ac.Policy]:
    """Without and with the baseline."""
    directory, _, _ = noisy
    named = write_policy(directory, directory / "baseline.json", "named.yml")
    return ac.Policy.load(write_policy(directory)), ac.Policy.load(named)


def test_noise_is_no_longer_evidence_and_a_search_still_is(policies):
    before, after = policies
    noise = sensors(2)
    assert min(replay(before, noise, f"caller-{i}") for i in range(3)) > 3
    assert max(replay(after, noise, f"caller-{i}") for i in range(CALLERS)) < 3
    assert replay(after, [*noise, *search()], "thief") > 5


def test_what_is_off_is_named(policies):
    before, after = policies
    (warning,) = after.problems
    assert re.search(
        r"named\.yml:4:\d+: models\.m\*\.baseline: \"m\": .* flip \(up to 0\.\d+, p0 is 0\.1\);", str(warning)
    )
    assert (warning.severity, warning.code) == ("warning", "evidence-off")
    assert after.resolved()["models"][0]["evidence_off"] == {"measured": {"m": ["flip"]}, "others": ["flip"]}
    assert before.hash != after.hash
    for policy, off in ((before, []), (after, ["flip"])):
        with ac.Engine(policy, capacity=100) as engine:
            assert engine.decide(principal="p", model="m", now=START).explain()["evidence_off"] == off
            assert engine.decide(principal="p", model="x", now=START).explain()["evidence_off"] == []


def test_the_hash_is_of_what_the_baseline_means(tmp_path):
    def hash_with(**outcomes: str) -> str:
        write_baseline(tmp_path / "b.json", {"m": outcomes}, files=[outcomes])
        return ac.Policy.load(write_policy(tmp_path, tmp_path / "b.json")).hash

    assert hash_with(flip="off") == hash_with(flip="off", far="not measured") != hash_with(flip="off", far="off")


def test_a_model_that_was_measured_gets_its_own_and_others_that_of_all(tmp_path):
    baseline = write_baseline(
        tmp_path / "b.json", {"m1": {"flip": "off"}, "m2": {"far": "off"}, "m3": {}, "x1": {"cost": "off"}}
    )
    with ac.Engine(ac.Policy.load(write_policy(tmp_path, baseline)), capacity=100) as engine:
        off = {
            model: engine.decide(principal="p", model=model, now=START).explain()["evidence_off"]
            for model in ("m1", "m2", "m3", "m4", "x1")
        }
    assert off == {"m1": ["flip"], "m2": ["far"], "m3": [], "m4": ["flip", "far"], "x1": []}


def test_a_reload_takes_effect_on_what_was_seen_before(policies):
    before, after = policies
    with ac.Engine(before, capacity=2_000, clock=lambda: START + 11_200) as engine:
        route = engine.route("m")
        for one in sensors(2):
            decision = route.decide(one["principal"], np.asarray(one["vector"], np.float32), one["time"])
            route.record(decision, one["response"]["label"], now=one["time"])
        seen = engine.signals("caller-0", "m")["evidence.boundary"]
        assert seen > 3
        engine.reload(after)
        assert engine.signals("caller-0", "m")["evidence.boundary"] < 1, "what fine flips say"
        engine.reload(before)
        assert engine.signals("caller-0", "m")["evidence.boundary"] == seen


def test_callers_are_not_linked_by_what_is_off(tmp_path):
    for outcome, linked in (("kept", 1), ("off", 0)):
        baseline = write_baseline(tmp_path / "b.json", {"m": {"shared": outcome}})
        with ac.Engine(ac.Policy.load(write_policy(tmp_path, baseline)), capacity=10_000) as engine:
            random = np.random.default_rng(1)
            for i, x in enumerate(random.random((1_500, WIDTH))):
                engine.decide(principal=f"stranger-{i}", model="m", vector=x, now=START + i)
            for i, x in enumerate(random.random((12, WIDTH))):
                for k, who in enumerate(("one", "two")):
                    near = np.clip(x + random.normal(0, 1e-4, WIDTH), 0, 1)
                    engine.decide(principal=who, model="m", vector=near, now=START + 5_000 + 2 * i + k)
            assert (engine.stats()["clusters_linked"] > 0) == bool(linked)


def test_a_model_at_which_errors_are_usual_does_not_speak_against_its_callers_elsewhere(tmp_path):
    """Recon is kept per caller, over all models."""
    for outcome, most in (("kept", 12.0), ("off", 0.0)):
        baseline = write_baseline(tmp_path / "b.json", {"m0": {"error": outcome, "new_place": outcome}})
        policy = ac.Policy.load(write_policy(tmp_path, baseline))
        with ac.Engine(policy, capacity=1_000, clock=lambda: START) as engine:
            for i in range(60):
                engine.record(engine.decide(principal="p", model=f"m{i}", now=START), status=404, now=START)
            engine.decide(principal="p", model="other", now=START)
            assert engine.signals("p", "other")["evidence.recon"] == pytest.approx(most, abs=1.5)
            assert engine.signals("p", "m0")["evidence.recon"] == pytest.approx(most, abs=1.5)


# --- files that cannot be used ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, 'cannot read "b.json": No such file or directory; paths are relative to the policy file'),
        ("{", '"b.json" is no baseline: not JSON: Expecting property name'),
        ("[]", '"b.json" is no baseline: the file: expected an object, found []; write it again'),
        ('{"version": 1, "models": {}}', '"b.json" is no baseline: its version is 1, this one reads 2; write it again'),
        ('{"version": true}', "its version is true"),
        ('{"version": 2, "models": {}}', "has measured no model; scan a log that has events"),
        ('{"version": 2, "models": {"m": {}}}', 'models."m".evidence: expected a list'),
        (
            '{"version": 2, "models": {"m": {"evidence": [{"component": "flop", "outcome": "off"}]}}}',
            'models."m".evidence[0]: unknown component "flop"; did you mean "flip"?; write it again',
        ),
        (
            '{"version": 2, "models": {"m": {"evidence": [{"component": "flip", "outcome": "on"}]}}}',
            'unknown outcome "on"; known are "kept", "not measured", "off"',
        ),
        (
            '{"version": 2, "models": {"m": {"evidence": [{"component": "flip", "outcome": "off", "p0": NaN}]}}}',
            'models."m".evidence[0].p0: expected a number from 0 to 1, found NaN',
        ),
        (
            '{"version": 2, "models": {"x": {"evidence": []}}}',
            '"b.json" has measured no model that "m*" matches; it has measured "x"; scan a log of such a model',
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_with_a_place(tmp_path, content, complaint):
    if content is not None:
        (tmp_path / "b.json").write_text(content)
    (found,) = complaints(tmp_path, "b.json")
    assert found.startswith("p.yml:4:") and "models.m*.baseline: " in found and complaint in found, found


def test_names_of_files(tmp_path):
    (tmp_path / "sub").mkdir()
    assert 'cannot read "sub": Is a directory' in complaints(tmp_path, "sub")[0]
    assert "null" in complaints(tmp_path, r'"a\0b"')[0]
    assert "expected one value" in complaints(tmp_path, "[b.json]")[0]
    write_baseline(tmp_path / "sub" / "b.json", {"m": {}})
    policy = ac.Policy.from_text(POLICY % ", baseline: sub/b.json", base=tmp_path)
    assert policy.problems == ()


def test_a_baseline_of_another_version_of_the_package_is_told(tmp_path):
    baseline = write_baseline(tmp_path / "b.json", {"m": {"flip": "off"}})
    data = json.loads(baseline.read_text())
    data["models"]["m"]["evidence"][0]["p0"] = 0.2
    del data["models"]["m"]["evidence"][1]
    baseline.write_text(json.dumps(data))
    off, outdated = ac.Policy.load(write_policy(tmp_path, baseline)).problems
    assert (off.code, outdated.code) == ("evidence-off", "baseline-outdated")
    assert "for flip, fine_flip;" in str(outdated)
