"""The run: calibrate, choose and freeze thresholds, then test, over several seeds and on several processes."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

from bench.efficacy import adaptive, blocks
from bench.efficacy.attacks import attacks
from bench.efficacy.attacks.evasion import JUMP
from bench.efficacy.attacks.gradient_free import ZO_SIGN_SGD
from bench.efficacy.attacks.surrogate import queries_to_clone
from bench.efficacy.baselines import CurveSet, References, curves_of, fit_references
from bench.efficacy.episode import Attack, Outcome, play
from bench.efficacy.gateway import Gateway, Trace
from bench.efficacy.population import Resident, live
from bench.efficacy.randomness import generator
from bench.efficacy.report import write_report
from bench.efficacy.results import Collected, choose_thresholds, summarise
from bench.efficacy.splits import Member, Part, frozen_hash, members
from bench.efficacy.victims import VICTIMS, victim

__all__ = ["Settings", "main", "run"]

KEPT_EPISODES = 1  # per attack, victim and seed, that the baselines see
EXAMPLES_FROM = 1_000  # number of the first episode that is an example
KEPT_ACCOUNTS = 1  # benign ones per kind, victim, part and seed


@dataclass(frozen=True)
class Settings:
    """accounts: benign principals per seed. episodes: per attack, victim and seed. only: parts of attack names.
    customer: so many benign test accounts each show one infrastructure key, and have their budgets together."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    accounts: int = 1_500
    episodes: int = 6
    quick: bool = False
    jobs: int = 2
    only: tuple[str, ...] = ()
    customer: int = 1

    def wanted(self, attack: Attack) -> bool:
        if self.only:
            return any(word in attack.name for word in self.only)
        return attack.quick or not self.quick

    def victims_of(self, attack: Attack) -> tuple[str, ...]:
        return attack.victims[:1] if self.quick else attack.victims


@dataclass
class Calibrated:
    """What the calibration and threshold parts of one seed and victim leave behind."""

    seed: int
    victim: str
    region: Path
    clock: float
    residents: list[Resident]
    curves: dict[str, CurveSet]
    references: References


@dataclass
class Attacked:
    """enforced, undefended: the same episodes with the detector in force and in shadow mode."""

    attack: Attack
    enforced: list[Outcome]
    undefended: list[Outcome]
    curves: list[CurveSet]
    nanoseconds: list[int] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Tested:
    residents: list[Resident]
    curves: dict[str, CurveSet]
    nanoseconds: list[int]
    region_bytes: int
    tracks: int


def calibrate(seed: int, name: str, everybody: Sequence[Member], directory: Path) -> Calibrated:
    """References come from the calibration accounts; the threshold accounts are met by a copy of that state."""
    region = directory / f"{seed}-{name}"
    here = [member for member in everybody if member.victim == name]
    with Gateway(seed, "enforce", region) as gateway:
        calibration = _part(here, "calibration")
        known = live(gateway, calibration, seed, _kept(calibration))
        clock = gateway.clock
    benign = [resident.trace for resident in known if resident.trace.inputs]
    references = fit_references(
        victim(name), benign, _examples(region, seed, name, clock), generator(seed, "references", name)
    )
    with _copy(region, seed, "enforce", clock) as gateway:
        choosing = _part(here, "threshold")
        residents = live(gateway, choosing, seed, _kept(choosing))
    return Calibrated(seed, name, region, clock, *_stripped(residents, references), references)


def test(state: Calibrated, everybody: Sequence[Member], customer: int = 1) -> Tested:
    """The benign test accounts, on a copy of the calibrated state."""
    here = _part([member for member in everybody if member.victim == state.victim], "test")
    with _copy(state.region, state.seed, "enforce", state.clock, customer) as gateway:
        residents = live(gateway, here, state.seed, _kept(here), customer)
        stats = gateway.stats()
        nanoseconds = gateway.nanoseconds
    return Tested(*_stripped(residents, state.references), nanoseconds, stats["region_bytes"], stats["track_capacity"])


def attack_with(attack: Attack, state: Calibrated, episodes: int) -> Attacked:
    """Episodes against the detector in force, and the same ones while it only watches."""
    begin = time.perf_counter()
    done = Attacked(attack, [], [], [])
    model = victim(state.victim)
    modes: tuple[Literal["enforce", "shadow"], ...] = ("enforce",) if attack.enforced_only else ("enforce", "shadow")
    for mode in modes:
        with _copy(state.region, state.seed, mode, state.clock) as gateway:
            for index in range(min(episodes, attack.episodes or episodes)):
                keep = mode == "shadow" and index < KEPT_EPISODES and attack.tactics.accounts == 1
                outcome, episode = play(attack, gateway, model, index, state.seed, keep)
                if episode.learn:
                    rng = generator(state.seed, "clone", attack.name, index)
                    held = model.domain.natural(500, rng)
                    enough = queries_to_clone(episode.answered, held, model.labels(held), rng)
                    outcome.success = None if enough is None else episode.answered_at[enough - 1]
                if outcome.dropped:
                    outcome.first = {}
                (done.enforced if mode == "enforce" else done.undefended).append(outcome)
                if keep and not outcome.dropped:
                    done.curves.append(curves_of(episode.everybody[0].trace, model, state.references))
            if mode == "enforce":
                done.nanoseconds = gateway.nanoseconds
    done.seconds = time.perf_counter() - begin
    return done


def run(settings: Settings, say: Callable[[str], None] = lambda _: None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Everything. Returns the results and what took how long, which is no part of them."""
    began = time.perf_counter()
    for name in VICTIMS:
        victim(name)
    chosen = [attack for attack in (*attacks(), *adaptive.ATTACKS) if settings.wanted(attack)]
    timings: dict[str, Any] = {"training and imports, s": time.perf_counter() - began}
    directory = Path(tempfile.mkdtemp(prefix="efficacy-"))
    everybody = {seed: members(seed, settings.accounts) for seed in settings.seeds}
    collected = Collected(settings.seeds)
    try:
        with ProcessPoolExecutor(settings.jobs, multiprocessing.get_context("fork")) as pool:

            def each(stage: str, work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
                done = []
                futures = [pool.submit(work, *given) for given in arguments]
                for i, future in enumerate(futures, 1):
                    done.append(future.result())
                    if i % max(1, len(futures) // 5) == 0:
                        say(f"{time.perf_counter() - began:5.0f} s  {stage}: {i} of {len(futures)}")
                timings[f"{stage}, s"] = time.perf_counter() - began
                return done

            starts = [(seed, name, everybody[seed], directory) for seed in settings.seeds for name in VICTIMS]
            states = each("calibration and thresholds", calibrate, starts)
            collected.choosing = [(state.seed, state.residents, state.curves) for state in states]
            thresholds = choose_thresholds(collected)
            states = [replace(state, residents=[], curves={}) for state in states]  # they travel to every job
            say(f"thresholds frozen: {frozen_hash(thresholds)[:16]}")
            tested = each(
                "benign accounts", test, [(state, everybody[state.seed], settings.customer) for state in states]
            )
            collected.benign = [
                (state.seed, done.residents, done.curves) for state, done in zip(states, tested, strict=True)
            ]
            work = [
                (attack, state, settings.episodes)
                for attack in chosen
                for state in states
                if state.victim in settings.victims_of(attack)
            ]
            fought = each("attacks", attack_with, work)
            if not (settings.quick or settings.only):
                collected.blocks = each("blocks of prompts", blocks.measure, [(seed,) for seed in settings.seeds])
            collected.attacks = [
                (state.seed, state.victim, done.attack, done.enforced, done.undefended, done.curves)
                for (_, state, _), done in zip(work, fought, strict=True)
            ]
    finally:
        shutil.rmtree(directory)
    results = summarise(collected, thresholds, settings.quick, settings.accounts, settings.episodes)
    spent = np.array([ns for done in (*tested, *fought) for ns in done.nanoseconds], float) / 1_000
    timings["whole run, s"] = time.perf_counter() - began
    timings["decide and record, us"] = dict(
        zip(("p50", "p99", "p99.9"), np.percentile(spent, (50, 99, 99.9)).tolist(), strict=True)
    )
    slow: dict[str, float] = {}
    for part in fought:
        slow[part.attack.name] = slow.get(part.attack.name, 0.0) + part.seconds
    timings["slowest attacks, s"] = dict(sorted(slow.items(), key=lambda item: -item[1])[:12])
    timings["queries"] = collected.queries()
    timings["region, bytes per track that it has room for"] = tested[0].region_bytes / tested[0].tracks
    return results, timings


def _examples(region: Path, seed: int, name: str, clock: float) -> list[Trace]:
    """Attacks for a baseline to learn from; they are none of those of the test part."""
    if name[:2] not in ("V1", "V2", "V3"):
        return []
    with _copy(region, seed, "shadow", clock) as gateway:
        return [
            play(attack, gateway, victim(name), EXAMPLES_FROM + i, seed, keep=True)[1].everybody[0].trace
            for attack in (JUMP, ZO_SIGN_SGD)
            for i in range(2)
        ]


def _part(everybody: Sequence[Member], part: Part) -> list[Member]:
    return [member for member in everybody if member.part == part]


def _kept(everybody: Sequence[Member]) -> frozenset[str]:
    """The first few accounts of each kind."""
    seen: dict[str, int] = {}
    names = set()
    for member in everybody:
        seen[member.kind] = seen.get(member.kind, 0) + 1
        if seen[member.kind] <= KEPT_ACCOUNTS:
            names.add(member.name)
    return frozenset(names)


def _stripped(residents: list[Resident], references: References) -> tuple[list[Resident], dict[str, CurveSet]]:
    """The baselines' curves of the accounts that were kept, and all accounts without their inputs."""
    curves = {}
    for resident in residents:
        trace = resident.trace
        if trace.inputs:
            curves[resident.member.name] = curves_of(trace, victim(resident.member.victim), references)
        trace.inputs, trace.labels, trace.times = [], [], []
    return residents, curves


def _copy(region: Path, seed: int, mode: Literal["enforce", "shadow"], clock: float, customer: int = 1) -> Gateway:
    """A gateway on a copy of a calibrated state. The file may go at once: the engine has it open."""
    with tempfile.NamedTemporaryFile(dir=region.parent) as copy:
        shutil.copyfile(region, copy.name)
        return Gateway(seed, mode, Path(copy.name), clock, customer)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="One seed, 300 benign accounts, 5 episodes on one victim per attack.")
@click.option("--seed", type=int, help="Only this seed; default 0 to 4, or 0 with --quick.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/efficacy"), show_default=True)
@click.option("--jobs", default=2, show_default=True, help="Processes.")
@click.option("--only", multiple=True, help="Only attacks whose name contains this; may be given several times.")
@click.option("--customer", default=1, show_default=True, help="Honest accounts that show one infrastructure key.")
def main(quick: bool, seed: int | None, out: Path, jobs: int, only: tuple[str, ...], customer: int) -> None:
    """Measure what the detector detects, and what it does to honest callers.

    Example: python -m bench.efficacy --quick --out build/efficacy
    """
    seeds = (seed,) if seed is not None else (0,) if quick else (0, 1, 2, 3, 4)
    settings = Settings(seeds, 300 if quick else 1_000, 5 if quick else 6, quick, jobs, only, customer)
    results, timings = run(settings, click.echo)
    write_report(out, results, timings)
    click.echo(f"{out / 'results.md'}: {timings['whole run, s']:.0f} s")
