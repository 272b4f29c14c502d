"""One run of the demonstration."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import numpy as np
import numpy.typing as npt
from rich.console import Console

from atlascore.demo.clients import Caller, batch_job, camera, ordinary_user, prober, thief
from atlascore.demo.screen import Screen, show_result
from atlascore.demo.server import Server, WatchedEngine
from atlascore.demo.tally import ATTACKERS, USERS, Group, Tally
from atlascore.demo.victim import PATH, Victim
from atlascore.engine import Engine
from atlascore.events import Action
from atlascore.log import read
from atlascore.policy import Policy
from atlascore.sigma.ast import LEVELS

__all__ = ["play"]

Client: TypeAlias = Coroutine[Any, Any, None]
Behaviour: TypeAlias = Callable[[Caller, npt.NDArray[np.float32], np.random.Generator], Client]

REFERENCES = 1_100  # ordinary queries after which the engine's references stand: they need 1,000 samples
THEFT = 220  # queries that each attacker tries
PATIENCE = 90  # seconds to wait for either
SEED = 7


def play(console: Console, log: Path) -> bool:
    """Run the demonstration and show it.

    log: a directory for the decision log.
    Whether all went as it should: the thief constrained and then blocked, nobody else.
    """
    with console.status("training a classifier on scikit-learn's digits"):
        victim = Victim.train(SEED)
    policy = _policy()
    tally = Tally()
    rules = sorted(policy.rules.rules, key=lambda rule: LEVELS.index(rule.level))
    with WatchedEngine(tally, policy, log) as engine:
        with Server(victim.application(), engine) as server:
            console.print(
                f"A classifier of digits, {victim.accuracy:.0%} right on unseen ones, at {server.url}\n"
                "behind the AtlasCore middleware. Everybody below calls it over HTTP.\n",
                soft_wrap=True,
            )
            with Screen(console, tally, rules) as screen:
                asyncio.run(_traffic(server.url, victim, tally, screen))
        engine.flush()
    show_result(console, tally, _decide_times(policy, victim), str(log), sum(1 for _ in read(log)))
    return _went_well(tally)


def _policy() -> Policy:
    """The shipped one in enforce mode, told who calls and what the model takes."""
    package = Path(__file__).parents[1]
    texts = (package / "policies" / "default.yml", package / "demo" / "policy.yml")
    return Policy.from_text("".join(path.read_text() for path in texts), mode="enforce")


async def _traffic(url: str, victim: Victim, tally: Tally, screen: Screen) -> None:
    """First the ordinary users alone, so that the engine learns how inputs differ; then everybody."""
    generators = map(np.random.default_rng, np.random.SeedSequence(SEED).spawn(USERS + 4))
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, trust_env=False, limits=limits) as http:

        def client(behaviour: Behaviour, name: str) -> Client:
            return behaviour(Caller(http, name, tally), victim.unseen, next(generators))

        users = [client(ordinary_user, f"user-{number:02}") for number in range(USERS)]
        async with _running(users) as running:
            screen.begin("ordinary use", f"{USERS} users alone, until it is known how ordinary inputs differ")
            await _watch(running, screen, [tally.groups["user"]], REFERENCES)
            newcomers: dict[str, Behaviour] = {"batch": batch_job, "camera": camera, "prober": prober, "thief": thief}
            async with _running([client(behaviour, name) for name, behaviour in newcomers.items()]) as more:
                screen.begin(
                    "theft",
                    "a batch job scores an archive, a camera watches one scene, a prober varies a few images,\n"
                    "and a thief searches the decision boundary with HopSkipJump",
                )
                await _watch(running | more, screen, [tally.groups[name] for name in ATTACKERS], THEFT)


@asynccontextmanager
async def _running(clients: Iterable[Client]) -> AsyncIterator[set[asyncio.Task[None]]]:
    tasks = {asyncio.create_task(client) for client in clients}
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(tasks: set[asyncio.Task[None]], screen: Screen, groups: Sequence[Group], queries: int) -> None:
    """Until each group has made so many queries, or PATIENCE ends. What stops a client is raised."""
    end = time.monotonic() + PATIENCE
    while (least := min(group.queries for group in groups)) < queries and time.monotonic() < end:
        stopped, _ = await asyncio.wait(tasks, timeout=0.1, return_when=asyncio.FIRST_EXCEPTION)
        for task in stopped:
            task.result()
        screen.update(min(least / queries, 1))


def _decide_times(policy: Policy, victim: Victim) -> npt.NDArray[np.float64]:
    """Microseconds that each of many decisions takes when nothing else happens in between."""
    rounds = 10  # the later half counts: the first rounds build up the references
    with Engine(policy, state="", log="") as engine:
        route = engine.route(model="digits", endpoint=PATH)
        times = []
        for number in range(rounds * len(victim.unseen)):
            image = victim.unseen[number % len(victim.unseen)]
            begin = time.perf_counter_ns()
            route.decide(f"user-{number % USERS:02}", image)
            times.append(time.perf_counter_ns() - begin)
    return np.array(times[len(times) // 2 :]) / 1000


def _went_well(tally: Tally) -> bool:
    groups = tally.groups
    caught = Action.CONSTRAIN in groups["thief"].first and Action.BLOCK in groups["thief"].first
    seen = any(action >= Action.LOG for action in groups["prober"].first)
    return caught and seen and not any(group.acted_on for name, group in groups.items() if name not in ATTACKERS)
