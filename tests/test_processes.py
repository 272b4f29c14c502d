"""Many processes on one state: nothing is lost when they are killed, and one limit is one limit."""

import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import atlascore as ac
from atlascore._core import unlink_state
from atlascore.windows import WindowTable

NOW = 1_700_000_000.0
TIMEOUT = 60
CHUNK = 500
UPDATES = 1_000_000

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["atlascore", "numpy", "pytest"])

POLICY = """\
version: 1
mode: enforce
models: {dense: {kind: classifier, input: {modality: vector, mean: 0, std: 1}}}
responses:
  - {name: extraction, match: {level: medium}, action: CONSTRAIN, constraints: {scores: label_only}}
limits:
  - {name: hundred, per: [model], models: [limited], max: 100, window: 1h}
"""


def engine_on(state: str, text: str = POLICY, capacity: int = 200) -> ac.Engine:
    return ac.Engine(ac.Policy.from_text(text), capacity=capacity, state=state, clock=lambda: NOW)


@pytest.fixture
def states():
    """Makes names of shared memory; removes them whatever happens."""
    names = []

    def make() -> str:
        names.append(f"shm:atlascore-test-{os.getpid()}-{len(names)}-{random.randrange(1 << 32):x}")
        return names[-1]

    yield make
    for name in names:
        unlink_state(name)
    left = [path for path in Path("/dev/shm").glob(f"*atlascore-test-{os.getpid()}-*") if path.exists()]
    assert not left


class Crew:
    """Eight processes that report after every chunk of work; one at a time is killed and replaced."""

    def __init__(self, work, state: str, seed: int) -> None:
        self.work, self.state = work, state
        self.random = random.Random(seed)
        self.alive: dict[int, tuple] = {}
        self.done: dict[int, int] = {}  # worker -> what it last reported
        self.killed: list[int] = []

    def start(self) -> None:
        number = len(self.done)
        ours, theirs = context.Pipe()
        process = context.Process(target=self.work, args=(self.state, number, theirs), daemon=True)
        process.start()
        theirs.close()
        self.alive[number] = (process, ours)
        self.done[number] = 0

    def read(self, number: int) -> None:
        _, pipe = self.alive[number]
        try:
            while pipe.poll():
                self.done[number] = pipe.recv()
        except (EOFError, ConnectionResetError):
            return

    def kill_one(self) -> None:
        number = self.random.choice([n for n in self.alive if self.done[n] > 0])
        process, _ = self.alive[number]
        process.kill()
        process.join(TIMEOUT)
        self.read(number)
        del self.alive[number]
        self.killed.append(number)

    def run(self, until: int, kills: int) -> None:
        """Work until so much is reported, with that many deaths spread over the time."""
        deadline = time.monotonic() + TIMEOUT
        try:
            for _ in range(8):
                self.start()
            while (total := sum(self.done.values())) < until or len(self.killed) < kills:
                assert time.monotonic() < deadline, f"no progress: {total} of {until}, {self.done}"
                for number in self.alive:
                    self.read(number)
                due = len(self.killed) < kills and total * kills > until * len(self.killed)
                if due and any(self.done[n] > 0 for n in self.alive):
                    self.kill_one()
                    self.start()
                time.sleep(self.random.uniform(0.001, 0.005))
            self.stop()
        finally:
            for process, _ in self.alive.values():
                process.kill()

    def stop(self) -> None:
        for _, pipe in self.alive.values():
            pipe.send("stop")
        for number, (process, _) in self.alive.items():
            process.join(TIMEOUT)
            assert process.exitcode == 0, f"worker {number}: {process.exitcode}"
            self.read(number)

    @property
    def survivors(self) -> list[int]:
        return list(self.alive)


def count(state: str, number: int, pipe) -> None:
    """Half of the updates on keys of all, half on the worker's own; and new keys in a table that is full."""
    table = WindowTable(1000, [3600], state)
    full = WindowTable(100, [3600], state + "-full")
    own, done, fresh = f"own {number}", 0, 0
    while not pipe.poll():
        for _ in range(CHUNK // 2):
            table.hit("shared", NOW)
            table.hit(own, NOW)
            fresh += 1
            full.hit(number << 32 | fresh, NOW)
        done += CHUNK
        pipe.send(done)
    pipe.recv()


def test_a_million_updates_under_kills(states):
    state = states()
    full_state = state + "-full"
    try:
        crew = Crew(count, state, seed=1)
        crew.run(UPDATES, kills=30)
        table = WindowTable(1000, [3600], state)
        for number in crew.survivors:
            assert table.read(f"own {number}", NOW) == (crew.done[number] / 2,)
        for number in crew.killed:
            (hits,) = table.read(f"own {number}", NOW)
            assert crew.done[number] / 2 <= hits <= (crew.done[number] + CHUNK) / 2
        (shared,) = table.read("shared", NOW)
        total = sum(crew.done.values()) / 2
        assert total <= shared <= total + len(crew.killed) * CHUNK / 2
        assert len(table) == sum(done > 0 for done in crew.done.values()) + 1

        full = WindowTable(100, [3600], full_state)
        for key in range(20 * full.stats()["slots"]):
            assert full.hit(f"after {key}", NOW) == (1.0,)
        assert full.stats()["keys"] == full.stats()["slots"], "a slot is lost"
    finally:
        unlink_state(full_state)


def decide(state: str, number: int, pipe) -> None:
    """As count(), with inputs: history, references and scales are shared by all."""
    engine, full = engine_on(state), engine_on(state + "-full", capacity=50)
    route, full_route = (e.route("dense", endpoint="/v1/models/dense") for e in (engine, full))
    rng = np.random.default_rng(number)
    inputs = rng.standard_normal((CHUNK, 32)).astype(np.float32)
    own, done = f"own {number}", 0
    while not pipe.poll():
        for i in range(CHUNK // 5):
            route.decide(own, inputs[i], NOW)
            route.decide("shared", inputs[i], NOW)
            route.record(route.decide(f"few {i % 20}", inputs[i], NOW), now=NOW)
            route.decide(own, None, NOW)
            full_route.decide(f"new {number} {done + i}", inputs[i] if i % 2 else None, NOW)
        done += CHUNK
        pipe.send(done)
    pipe.recv()


def test_an_engine_under_kills(states):
    state = states()
    try:
        crew = Crew(decide, state, seed=2)
        crew.run(UPDATES // 4, kills=20)
        with engine_on(state) as engine:
            for number in crew.survivors:
                count = engine.signals(f"own {number}", "dense").get("api.request_count", 0)
                assert count == crew.done[number] * 2 / 5
            shared = engine.signals("shared", "dense")["api.request_count"]
            total = sum(crew.done.values()) / 5
            assert total <= shared <= total + len(crew.killed) * CHUNK / 5
        with engine_on(state + "-full", capacity=50) as full:
            route = full.route("dense", endpoint="/v1/models/dense")
            x = np.ones(32, np.float32)
            for key in range(20 * full.stats()["track_capacity"]):
                assert route.decide(f"after {key}", x, NOW).action == ac.Action.ALLOW
            stats = full.stats()
            assert stats["tracks"] == stats["track_capacity"], "a slot is lost"
            assert stats["hot_tracks"] <= stats["hot_capacity"]
            for i in range(60):
                decision = route.decide("afterwards", x + i * np.float32(1e-3), NOW + 400)
            assert decision.signals["api.request_count"] == 60
            assert decision.signals["api.input_similarity_score"] > 0.9
    finally:
        unlink_state(state + "-full")


def draw(state: str, number: int, pipe) -> None:
    """Take what the limit gives, until it has given nothing for a while."""
    engine = engine_on(state)
    route = engine.route("limited")
    pipe.send("ready")
    assert pipe.recv() == "go"
    admitted = refused = 0
    while refused < 300:
        if route.decide(f"caller {number}", None, NOW).action == ac.Action.ALLOW:
            admitted, refused = admitted + 1, 0
        else:
            refused += 1
    pipe.send(admitted)


def test_one_limit_of_100_over_4_processes_admits_100(states):
    for _ in range(3):
        state = states()
        pipes, processes = [], []
        for number in range(4):
            ours, theirs = context.Pipe()
            process = context.Process(target=draw, args=(state, number, theirs), daemon=True)
            process.start()
            pipes.append(ours)
            processes.append(process)
        try:
            for pipe in pipes:
                assert pipe.poll(TIMEOUT) and pipe.recv() == "ready"
            for pipe in pipes:
                pipe.send("go")
            assert all(pipe.poll(TIMEOUT) for pipe in pipes)
            assert sum(pipe.recv() for pipe in pipes) == 100
        finally:
            for process in processes:
                process.kill()


STANDING = POLICY.replace("action: CONSTRAIN, constraints: {scores: label_only}", "action: BLOCK, duration: 1h")

PROGRAM = """\
import os, sys, signal
import atlascore as ac
engine = ac.Engine(ac.Policy.from_text(sys.argv[1]), capacity=200, state=sys.argv[2])
route = engine.route("dense", endpoint="/v1/models/dense")
for i in range(250):
    route.decide("loud", None, 1_700_000_000.0 + i / 100)
for i in range(7):
    route.decide("quiet", None, 1_700_000_000.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "shm"])
def test_state_outlives_its_process(kind, states, tmp_path):
    state = states() if kind == "shm" else str(tmp_path / "state")
    subprocess.run([sys.executable, "-c", PROGRAM, STANDING, state], timeout=TIMEOUT, check=False)
    with engine_on(state, STANDING) as engine:
        assert not engine.stats()["region_fresh"]
        assert engine.signals("quiet", "dense")["api.request_count"] == 7
        decision = engine.decide(principal="loud", model="dense", now=NOW + 60)
        assert decision.action == ac.Action.BLOCK
        assert decision.explain()["step"]["name"] == "standing"
        assert engine.decide(principal="quiet", model="dense", now=NOW + 60).action == ac.Action.ALLOW


@pytest.mark.parametrize("damage", [(0, b"\0" * 8), (8, b"\xff" * 4), (40, b"\x55" * 8), (None, b"short")])
def test_a_damaged_state_is_set_aside(damage, tmp_path):
    state = tmp_path / "state"
    with engine_on(str(state), capacity=100) as engine:
        for _ in range(5):
            engine.decide(principal="key-1", model="dense", now=NOW)
        assert engine.stats()["region_refused"] == ""
    del engine
    offset, data = damage
    if offset is None:
        state.write_bytes(data)
    else:
        with state.open("r+b") as file:
            file.seek(offset)
            file.write(data)
    with pytest.warns(RuntimeWarning, match="the state was set aside and a fresh one made"):
        again = engine_on(str(state), capacity=100)
    assert again.stats()["region_fresh"]
    assert again.signals("key-1", "dense") == {}
    assert (tmp_path / "state.refused").exists()
    assert again.decide(principal="key-1", model="dense", now=NOW).action == ac.Action.ALLOW


def test_another_configuration_is_refused(states):
    state = states()
    engine = engine_on(state, capacity=100)
    with pytest.raises(ValueError, match="capacity"):
        engine_on(state)
    with pytest.raises(ValueError, match="hot"):
        engine_on(state, POLICY + "state: {hot: 200}", 100)
    overrides = "rules: {overrides: [{rule: c8db818d-22f3-5b98-a993-a66dd70b9079, timeframe: 10m}]}"
    with pytest.raises(ValueError, match="600"):
        engine_on(state, POLICY + overrides, 100)
    again = engine_on(state, capacity=100)
    engine.decide(principal="key-1", model="dense", now=NOW)
    assert again.signals("key-1", "dense")["api.request_count"] == 1

    table = states()
    WindowTable(100, [60, 10], table)
    for capacity, horizons in ((101, [60, 10]), (100, [60]), (100, [60, 11]), (100, [10, 60])):
        with pytest.raises(ValueError):
            WindowTable(capacity, horizons, table)


def test_unlink_starts_anew_and_leaves_the_attached_alone(states):
    state = states()
    old = engine_on(state, capacity=100)
    old.decide(principal="key-1", model="dense", now=NOW)
    assert unlink_state(state)
    assert not unlink_state(state)
    new = engine_on(state, capacity=100)
    assert new.stats()["region_fresh"]
    assert new.signals("key-1", "dense") == {}
    old.decide(principal="key-1", model="dense", now=NOW)
    assert old.signals("key-1", "dense")["api.request_count"] == 2


@pytest.mark.parametrize("state", ["/nowhere/at/all", "shm:", "shm:a/b", "/", "shm:" + "n" * 300])
def test_states_that_cannot_be_made(state):
    with pytest.raises((OSError, ValueError)):
        engine_on(state, capacity=100)
