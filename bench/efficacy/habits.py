"""Accounts against their own past, for weeks: how often api.baseline_shift is wrong about habits that honest accounts
have, and how long it takes when somebody else gets hold of one.

    python -m bench.efficacy.habits [--accounts 20] [--days 37] [--seed 0]

Everything goes through one engine, hour by hour; its clock is the loop's. Alarms are readings above 8, from the eighth
day on, when there are some. An account is taken over after its 21st day, and goes on to be used as before as well, but
for "instead".
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

import atlascore as ac

START = 1_900_540_800.0  # a Monday, 0:00
HOUR, DAY, WIDTH, TOPICS = 3600.0, 24, 16, 12
LIMIT = 8.0
TAKEN = 21 * DAY
POLICY = """
version: 1
mode: enforce
models: {model: {kind: classifier, classes: 3, input: {modality: vector, range: [0, 1]}}}
rules: {paths: [builtin]}
state: {seed: 5}
"""
Inputs = npt.NDArray[np.float32]


@dataclass
class Use:
    """What an account does in one hour. spread: of inputs around their topic; repeats: exact ones."""

    queries: int
    topic: int = -1  # any
    spread: float = 0.2
    repeats: float = 0.0
    low_margins: float = 0.05
    cost: float = 1.0
    far: float = 0.0


Habit = Callable[[np.random.Generator, int], Use]


def workday(hour: int) -> bool:
    return hour // DAY % 7 < 5 and 8 <= hour % DAY < 18


def some(random: np.random.Generator, mean: float) -> int:
    return int(random.poisson(mean))


def steady(random: np.random.Generator) -> Habit:
    return lambda r, hour: Use(some(r, 12))


def few(random: np.random.Generator) -> Habit:
    return lambda r, hour: Use(some(r, 3.5))


def office(random: np.random.Generator) -> Habit:
    return lambda r, hour: Use(some(r, 25) if workday(hour) else 0)


def office_and_lunch(random: np.random.Generator) -> Habit:
    return lambda r, hour: Use(some(r, 25) if workday(hour) else 0, cost=2.0 if hour % DAY == 12 else 1.0)


def day_and_night(random: np.random.Generator) -> Habit:
    """A job at night: inputs alike, and cheap."""
    return lambda r, hour: Use(some(r, 20), 3, 0.05, cost=0.3) if hour % DAY < 6 else Use(some(r, 12))


def waves(random: np.random.Generator) -> Habit:
    shift, size = random.uniform(0, 24), random.uniform(0.2, 1.0)

    def use(r: np.random.Generator, hour: int) -> Use:
        level = math.sin((hour + shift) * math.pi / 12)
        return Use(some(r, 14 + 6 * level), spread=0.15 + 0.05 * level, cost=2 ** (size * level))

    return use


def weekends(random: np.random.Generator) -> Habit:
    topic, first = int(random.integers(TOPICS)), int(random.integers(7))
    return lambda r, hour: (
        Use(some(r, 10), topic, 0.08, cost=2.5) if (hour // DAY + first) % 7 < 2 else Use(some(r, 14))
    )


def topic_of_the_day(random: np.random.Generator) -> Habit:
    topics, spreads = random.integers(TOPICS, size=60), random.uniform(0.08, 0.2, 60)
    costs, margins = random.lognormal(0, 0.5, 60), random.uniform(0, 0.3, 60)

    def use(r: np.random.Generator, hour: int) -> Use:
        day = hour // DAY
        queries = some(r, 20) if 8 <= hour % DAY < 20 else 0
        return Use(queries, int(topics[day]), spreads[day], low_margins=margins[day], cost=costs[day])

    return use


def retries(random: np.random.Generator) -> Habit:
    return lambda r, hour: Use(some(r, 14), repeats=0.3 if r.random() < 0.9 else 0.9)


def bursts(random: np.random.Generator) -> Habit:
    """In one hour of fifty a hundred queries about one thing."""
    return lambda r, hour: Use(100, 5, 0.05) if r.random() < 0.02 else Use(some(r, 12))


def sessions(random: np.random.Generator) -> Habit:
    """A camera for two to six hours, on about two days a week."""
    on = np.zeros(70 * DAY, bool)
    for start in np.flatnonzero(random.random(len(on)) < 2 / 7 / DAY):
        on[start : start + random.integers(2, 7)] = True
    return lambda r, hour: Use(60, 2, 0.01) if on[hour] else Use(some(r, 12))


def camera(random: np.random.Generator) -> Habit:
    return lambda r, hour: Use(40, 7, 0.01, low_margins=0.02)


def heavy_costs(random: np.random.Generator) -> Habit:
    return lambda r, hour: Use(some(r, 12), cost=float(r.lognormal(0, 0.7)))


def growth(random: np.random.Generator) -> Habit:
    """Costs double within two months."""
    return lambda r, hour: Use(some(r, 12), cost=2 ** (hour / DAY / 60))


def release(random: np.random.Generator) -> Habit:
    """Requests cost twice as much from the 20th day on. Known to be wrong about."""
    return lambda r, hour: Use(some(r, 12), cost=2.0 if hour >= 20 * DAY else 1.0)


HABITS: dict[str, Callable[[np.random.Generator], Habit]] = {
    "steady": steady,
    "few queries": few,
    "office hours": office,
    "dearer at lunch": office_and_lunch,
    "a job at night": day_and_night,
    "waves of a day": waves,
    "other at weekends": weekends,
    "a topic a day": topic_of_the_day,
    "retries": retries,
    "bursts": bursts,
    "camera all the time": camera,
    "camera now and then": sessions,
    "costs all over": heavy_costs,
    "growing costs": growth,
    "release on day 20": release,
}
ATTACKS: dict[str, Callable[[np.random.Generator], Use]] = {
    "boundary search": lambda r: Use(120, 4, 0.004, low_margins=0.7),
    "variations of one input": lambda r: Use(60, 4, 0.02, low_margins=0.1),
    "made-up inputs": lambda r: Use(60, far=1.0, low_margins=0.3),
    "dear requests": lambda r: Use(30, cost=8.0),
    "own kind, ten times as many": lambda r: Use(120),
}
OWNERS = ("steady", "office hours", "waves of a day", "a topic a day")


@dataclass
class Plain:
    """The textbook's CUSUM on hourly means, for comparison: an allowance of half a standard deviation, and no more."""

    hours: int = 0
    mean: float = 0.0
    variance: float = 0.0
    cusum: float = 0.0
    largest: float = 0.0

    def close(self, x: float, mature: bool) -> None:
        if mature:
            spread = max(math.sqrt(self.variance), 1e-3 * abs(self.mean), 1e-3)
            self.cusum = max(0.0, self.cusum + (x - self.mean) / spread - 0.5)
            self.largest = max(self.largest, self.cusum)
        self.hours += 1
        weight, off = 1 / min(self.hours, 720), x - self.mean
        self.mean += weight * off
        self.variance = (1 - weight) * (self.variance + weight * off * off)


@dataclass
class Account:
    name: str
    habit: Habit
    attack: str | None = None
    instead: bool = False
    random: np.random.Generator = field(default_factory=np.random.default_rng)
    topics: Inputs = field(default_factory=lambda: np.zeros((TOPICS, WIDTH), np.float32))
    alarms: int = 0
    plain: Plain = field(default_factory=Plain)  # of the costs
    alarmed: bool = False
    sent: int = 0  # by the thief
    found: tuple[int, int] | None = None  # hours, queries

    def uses(self, hour: int) -> Iterator[tuple[Use, bool]]:
        taken = self.attack is not None and hour >= TAKEN
        if not (taken and self.instead):
            yield self.habit(self.random, hour), False
        if taken:
            yield ATTACKS[str(self.attack)](self.random), True

    def __post_init__(self) -> None:
        # Their own, or all who look at one thing would belong together.
        self.topics = np.asarray(self.random.uniform(0.1, 0.9, (TOPICS, WIDTH)), np.float32)

    def inputs(self, use: Use) -> Inputs:
        which = self.random.integers(TOPICS, size=use.queries) if use.topic < 0 else use.topic
        x = self.topics[which] + use.spread * self.random.normal(size=(use.queries, WIDTH))
        far = self.random.random(use.queries) < use.far
        x[far] = self.random.uniform(-1, 2, (int(far.sum()), WIDTH))
        repeated = self.random.random(use.queries) < use.repeats
        for i in np.flatnonzero(repeated):
            x[i] = x[i - 1] if i > 0 else x[i]
        return np.asarray(x, np.float32)

    def spend(self, engine: ac.Engine, hour: int) -> None:
        asked = []
        for use, thief in self.uses(hour):
            low = self.random.random(use.queries) < use.low_margins
            costs = use.cost * self.random.lognormal(0, 0.6, use.queries)
            for i, x in enumerate(self.inputs(use)):
                asked.append((START + hour * HOUR + HOUR * i / use.queries, x, low[i], float(costs[i]), thief))
        for now, x, unsure, cost, thief in sorted(asked, key=lambda query: query[0]):
            self.sent += thief
            decision = engine.decide(principal=self.name, model="model", now=now, vector=x)
            self.note(decision.signals.get("api.baseline_shift", math.nan), hour)
            scores = [0.45, 0.35, 0.2] if unsure else [0.8, 0.15, 0.05]
            engine.record(decision, scores=scores, cost=cost, now=now)

        if asked:
            self.plain.close(statistics.fmean(query[3] for query in asked), hour >= 7 * DAY)

    def note(self, value: float, hour: int) -> None:
        self.alarms += value > LIMIT and not self.alarmed
        self.alarmed = value > LIMIT
        if self.alarmed and self.found is None and hour >= TAKEN:
            self.found = (hour - TAKEN, self.sent)


def accounts(count: int, seed: int, honest: bool) -> Iterator[tuple[str, Account]]:
    for i in range(count):
        for habit in HABITS if honest else OWNERS:
            if honest:
                random = np.random.default_rng([seed, i, list(HABITS).index(habit)])
                yield habit, Account(f"{habit} {i}", HABITS[habit](random), random=random)
                continue
            for attack in ATTACKS:
                for instead in (False, True):
                    number = [seed, i, 99, OWNERS.index(habit), list(ATTACKS).index(attack), instead]
                    random = np.random.default_rng(number)
                    kind = f"{attack}{', instead' if instead else ''} | {habit}"
                    yield kind, Account(f"{kind} {i}", HABITS[habit](random), attack, instead, random)


def run(count: int, days: int, seed: int, honest: bool) -> dict[str, list[Account]]:
    engine = ac.Engine(ac.Policy.from_text(POLICY), capacity=500_000, clock=lambda: START)
    out: dict[str, list[Account]] = {}
    for kind, account in accounts(count, seed, honest):
        out.setdefault(kind, []).append(account)
    for hour in range(days * DAY):
        for group in out.values():
            for account in group:
                account.spend(engine, hour)
    engine.close()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=20, help="of each kind")
    parser.add_argument("--days", type=int, default=37)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{'habit':28} accounts  alarmed  alarms each  alarmed by a plain CUSUM of costs")
    for kind, group in run(given.accounts, given.days, given.seed, honest=True).items():
        alarmed = sum(account.alarms > 0 for account in group)
        plain = sum(account.plain.largest > LIMIT for account in group)
        each = statistics.mean(account.alarms for account in group)
        print(f"{kind:28} {len(group):8}  {alarmed:7}  {each:11.2f}  {plain:8}", flush=True)
    print(f"\n{'taken over by | habit':50} accounts  found  hours  queries (medians, within 48 h)")
    for kind, group in run(max(1, given.accounts // 4), 23, given.seed, honest=False).items():
        found = [account.found for account in group if account.found is not None]
        hours, queries = (statistics.median(values) for values in zip(*found, strict=True)) if found else (0, 0)
        print(f"{kind:50} {len(group):8}  {len(found):5}  {hours:5.0f}  {queries:7.0f}", flush=True)


if __name__ == "__main__":
    main()
