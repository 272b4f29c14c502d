"""The same events are decided alike inline, in batches, by four processes with shared state, and offline.

Alike: action, would, simulated, rules, techniques, constraints, the policy's step, the time to wait and
every signal, bit for bit. A batch is one decision about N queries: it is the one that the last of its rows
gets when they come one by one.
"""

import json
import multiprocessing
import os

import numpy as np
import pytest

import atlascore as ac

START = 1_767_225_600.0
POLICY = """\
version: 1
mode: enforce
models:
  dense: {kind: classifier, input: {modality: vector, mean: 0, std: 1}}
  "other-*": {kind: classifier}
  chat: {kind: llm}
responses:
  - {name: extraction, match: {tag: atlas.aml.t0024}, action: CONSTRAIN, duration: 20s,
     constraints: {scores: {decimals: 1}, rate: 9/s}}
  - {name: very high, match: {level: high}, action: BLOCK,
     duration: {first: 10s, factor: 2, max: 1m, forget: 1h}}
limits:
  - {name: principal, per: [principal], max: 300, window: 1m, action: CONSTRAIN, constraints: {n: 1}}
  - {name: model, per: [model], models: [other-*], max: 150, window: 30s}
allow:
  - {name: friend, principals: [friend], exempt: [atlas.aml.t0024], reason: tests,
     expires: "2099-01-01T00:00:00Z"}
state: {seed: 7}
"""
TIMEOUT = 60


def policy() -> ac.Policy:
    return ac.Policy.from_text(POLICY)


def events(count: int) -> list[dict]:
    """What a gateway sees: attackers, customers, a job; vectors, batches, prompts and nothing at all."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal(48)
    now = START
    words = [f"word{i}" for i in range(300)]
    prompt = list(rng.choice(words, 60))
    made = []
    for number in range(count):
        now += float(rng.exponential(0.02))
        who = str(rng.choice(["attacker", "friend", "customer-1", "customer-2", "prompter", "job"]))
        model = {"prompter": "chat", "job": "other-1"}.get(who, str(rng.choice(["dense", "dense", "other-2"])))
        event = {
            "time": round(now, 3) + number * 1e-6,
            "principal": who,
            "model": model,
            "method": "predict" if rng.random() < 0.95 else "explain",
            "endpoint": f"/v1/models/{model}",
        }
        if who in ("attacker", "friend"):
            event["vector"] = (base + rng.normal(size=48) * 0.01).astype(np.float32).tolist()
        elif who == "prompter":
            varied = list(prompt)
            varied[int(rng.integers(60))] = str(rng.choice(words))
            text = " ".join(varied)
            event["text"] = [text, " ".join(varied[::-1]), text] if rng.random() < 0.1 else text
        elif who != "job":
            shape = (3, 48) if rng.random() < 0.1 else 48  # some in batches
            event["vector"] = rng.normal(size=shape).astype(np.float32).tolist()
        made.append(event)
    return made


def decide(engine: ac.Engine, event: dict) -> dict:
    arguments = {name: value for name, value in event.items() if name != "time"}
    if "vector" in arguments:
        arguments["vector"] = np.array(arguments["vector"], np.float32)
    return told(engine.decide(**arguments, now=event["time"]))


def told(decision: ac.Decision) -> dict:
    return {
        "action": decision.action.name,
        "would": decision.would.name,
        "simulated": decision.simulated,
        "rules": decision.rules,
        "techniques": decision.techniques,
        "constraints": decision.constraints.to_dict(),
        "step": decision._step,
        "retry_after": decision.retry_after,
        "signals": decision.signals,
    }


def assert_same(found: list[dict], expected: list[dict]) -> None:
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a == b, f"event {number}"


@pytest.fixture(scope="module")
def stream() -> list[dict]:
    return events(3000)


@pytest.fixture(scope="module")
def inline(stream) -> list[dict]:
    with ac.Engine(policy(), capacity=1000) as engine:
        return [decide(engine, event) for event in stream]


def test_the_stream_meets_every_kind_of_answer(inline):
    assert {d["action"] for d in inline} == {"ALLOW", "LOG", "CONSTRAIN", "BLOCK"}
    assert {d["step"][0] for d in inline} == {"", "response", "standing", "limit", "allow"}


def test_inline_is_repeatable(stream, inline):
    with ac.Engine(policy(), capacity=1000) as engine:
        routes = {}
        for number, event in enumerate(stream):
            place = (event["model"], event["method"], event["endpoint"])
            route = routes.setdefault(place, engine.route(*place))
            vector = event.get("vector")
            x = np.array(vector, np.float32) if vector else event.get("text")
            assert told(route.decide(event["principal"], x, event["time"])) == inline[number], f"event {number}"


def test_offline(stream, inline, tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in stream))
    found = list(ac.scan(str(file), policy(), capacity=1000))
    assert [(event.line, event.time, event.principal) for event, _ in found] == [
        (number, event["time"], event["principal"]) for number, event in enumerate(stream, 1)
    ]
    assert_same([told(decision) for _, decision in found], inline)


def worker(pipe, state: str) -> None:
    with ac.Engine(policy(), capacity=1000, state=state) as engine:
        pipe.send("ready")
        while (event := pipe.recv()) is not None:
            pipe.send(decide(engine, event))


def test_four_processes(stream, inline):
    state = f"shm:atlascore-test-{os.getpid()}-ways"
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    try:
        for _ in range(4):
            ours, theirs = context.Pipe()
            process = context.Process(target=worker, args=(theirs, state), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        assert [receive(pipe) for pipe in pipes] == ["ready"] * 4
        found = []
        for number, event in enumerate(stream):
            pipe = pipes[number % 4]
            pipe.send(event)
            found.append(receive(pipe))
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join(TIMEOUT)
            assert process.exitcode == 0
        assert_same(found, inline)
    finally:
        for process in processes:
            process.kill()
        ac._core.unlink_state(state)


def receive(pipe):
    assert pipe.poll(TIMEOUT), "a worker does not answer"
    return pipe.recv()


BATCHES = (
    POLICY[: POLICY.index("responses:")]
    + """\
responses:
  - {name: extraction, match: {level: medium}, action: CONSTRAIN, duration: 1h,
     constraints: {scores: label_only}}
  - {name: very high, match: {level: high}, action: BLOCK}
limits:
  - {name: rows, unit: rows, max: 10000, window: 1h, action: CONSTRAIN, constraints: {n: 1}}
state: {seed: 7}
"""
)


def without_step(decision: dict) -> dict:
    return {name: value for name, value in decision.items() if name != "step"}


@pytest.mark.parametrize(("kind", "noise"), [("attacker", 0.01), ("customer", None)])
@pytest.mark.parametrize("kinds", [("dense",), ("dense", "rows")])
def test_batches(kind, noise, kinds):
    """A batch gets what its last row would get, and leaves what its rows would leave.

    All rows of a batch see the model's references as they were before it. So this holds to the last bit for a
    declared scale and as long as near pairs do not depend on the references (200 samples). A standing
    decision made by one row is what the next row meets, while a batch names the response that makes it.
    """
    rng = np.random.default_rng(3)
    base = rng.standard_normal(32)
    text = BATCHES.replace("dense:", "rows: {kind: classifier, input: {modality: row, mean: 0, std: 1}}\n  dense:")
    with (
        ac.Engine(ac.Policy.from_text(text), capacity=1000) as one,
        ac.Engine(ac.Policy.from_text(text), capacity=1000) as many,
    ):
        now = START
        actions = set()
        for number in range(60):
            now += float(rng.exponential(2))
            rows = int(rng.integers(1, 30)) if number % 3 else 1
            x = rng.standard_normal((rows, 32)) if noise is None else base + noise * rng.standard_normal((rows, 32))
            x = x.astype(np.float32)
            model = kinds[number % len(kinds)]
            by_row = [told(one.route(model, endpoint="/v1/models").decide(kind, row, now)) for row in x]
            batch = many.route(model, endpoint="/v1/models").decide(kind, x if rows > 1 else x[0], now)
            assert batch.rows == rows
            assert without_step(told(batch)) == without_step(by_row[-1]), f"call {number}, {rows} rows"
            actions.add(batch.action)
        assert one.signals(kind, "dense") == many.signals(kind, "dense")
        assert actions == ({ac.Action.ALLOW} if noise is None else {ac.Action.ALLOW, ac.Action.CONSTRAIN})
