"""Behaviour cases: a policy, the queries of a scenario, and what must be decided about them.

A case is a YAML file; docs/cases.md has its schema. A run makes an engine of its own, in this process's
memory and without a log, asks it through the public interface, and compares:

    for problem in atlascore.cases.run(atlascore.cases.load("cases/extraction.yaml")):
        print(problem)        # file:line:column: what was decided, and what the case expects

Nothing reads a clock: a case gives the same result on every run.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from atlascore import _yaml
from atlascore._core import Decision
from atlascore._policy.section import Section, quoted
from atlascore._policy.units import parse_time
from atlascore._yaml import Node, Problem, YamlError
from atlascore.engine import Engine
from atlascore.errors import PolicyError
from atlascore.events import Action
from atlascore.policy import Policy

__all__ = ["Case", "CaseError", "load", "run"]

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
SEED = 7
CAPACITY = 1_000
QUERIES = 10_000_000  # that one entry may stand for
MODES = ("enforce", "shadow", "off")
INPUTS = ("text", "vector", "row")
ANSWERS = ("label", "scores", "text", "cost", "status")
ATTACKS = ("bisect", "probe", "climb", "around", "approach")

# Looks at numbered queries, and says what is not as it should be.
Check: TypeAlias = "Callable[[Sequence[tuple[int, Decision]]], str | None]"


class CaseError(ValueError):
    """A case that cannot be run. `problems` says everything that is wrong with it, and where."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.position))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True)
class Classifier:
    """A made-up model that answers: softmax of a linear map of the input, drawn from `seed`."""

    seed: int
    classes: int

    def scores(self, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(d,) or (N, d) to (classes,) or (N, classes)."""
        weights = np.random.default_rng([self.seed, self.classes]).standard_normal((x.shape[-1], self.classes))
        logits = 8 * np.asarray(x, np.float64) @ weights / np.sqrt(x.shape[-1])
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))

    def label(self, x: npt.NDArray[Any]) -> int:
        return int(self.scores(x).argmax())


@dataclass(frozen=True)
class Spread:
    """A number anew for each query, between two, all orders of magnitude alike; the same on every run."""

    low: float
    high: float

    def value(self, entry: int, index: int) -> float:
        return float(self.low * (self.high / self.low) ** random.Random(f"{entry} {index}").random())


Answer: TypeAlias = "Mapping[str, Any] | Classifier | None"


@dataclass(frozen=True)
class Generated:
    """Inputs made by rule: query i of an entry gets input i, the same on every run.

    `same` repeats the base that `seed` stands for, `perturb` varies it, `diverse` draws every input anew. An
    array has `dim` values, standard normal around `shift`, and `noise` is the standard deviation of the variation. A
    text has `words` words, of which the variation replaces `change`, and stands where `within` has "{}". `batch`: rows
    of one call.

    Five kinds are attacks on the classifier that answers. `bisect` draws two inputs with different labels and
    halves the way between them ten times, again and again; `probe` changes one coordinate of the base after the
    other by `noise`; `climb` keeps such changes of random coordinates as lower the score of the base's label;
    `around` sends twenty points around the base, in all directions by `noise`, and goes a step down the slope of
    its label's score that they show; `approach` walks along the boundary towards the base, on the other
    side of it, in random steps of `noise`.
    """

    kind: str  # same | perturb | diverse | bisect | probe | climb | around | approach
    seed: int
    entry: int
    size: int  # words of a text, values of an array
    strength: float
    batch: int | None = None
    classifier: Classifier | None = None
    shift: float = 0.0
    within: str = "{}"

    def text(self, index: int) -> str:
        words = _words(random.Random(f"{self.seed}"), self.size)
        own = random.Random(f"{self.seed} {self.entry} {index}")
        if self.kind == "diverse":
            words = _words(own, self.size)
        elif self.kind == "perturb":
            for place in own.sample(range(self.size), min(self.size, int(self.strength))):
                words[place : place + 1] = _words(own, 1)
        return self.within.replace("{}", " ".join(words))

    def array(self, index: int) -> npt.NDArray[np.float32]:
        if self.kind in ATTACKS:
            return _attack(self, 512 * (index // 512 + 1))[index]
        base = np.random.default_rng(self.seed).standard_normal(self.size)
        own = np.random.default_rng([self.seed, self.entry, index])
        shape = self.size if self.batch is None else (self.batch, self.size)
        if self.kind == "diverse":
            values = own.standard_normal(shape)
        else:
            values = base + (self.strength if self.kind == "perturb" else 0.0) * own.standard_normal(shape)
        return np.ascontiguousarray(values + self.shift, np.float32)


@lru_cache(maxsize=64)
def _attack(made: Generated, count: int) -> tuple[npt.NDArray[np.float32], ...]:
    """The first inputs of an attack."""
    own = np.random.default_rng([made.seed, made.entry])
    base = np.random.default_rng(made.seed).standard_normal(made.size)
    assert made.classifier is not None
    kinds = {"bisect": _bisect, "probe": _probe, "climb": _climb, "around": _around, "approach": _approach}
    steps = kinds[made.kind](made, made.classifier, own, base)
    return tuple(np.ascontiguousarray(next(steps), np.float32) for _ in range(count))


def _bisect(
    made: Generated, model: Classifier, own: np.random.Generator, base: npt.NDArray[Any]
) -> Iterator[npt.NDArray[Any]]:
    while True:
        low, high = own.standard_normal((2, made.size))
        if model.label(low) == model.label(high):
            continue
        yield low
        yield high
        for _ in range(10):
            middle = (low + high) / 2
            yield middle
            low, high = (middle, high) if model.label(middle) == model.label(low) else (low, middle)


def _probe(
    made: Generated, model: Classifier, own: np.random.Generator, base: npt.NDArray[Any]
) -> Iterator[npt.NDArray[Any]]:
    yield base
    while True:
        for place in own.permutation(made.size):
            changed = base.copy()
            changed[place] += made.strength * own.choice((-1, 1))
            yield changed


def _climb(
    made: Generated, model: Classifier, own: np.random.Generator, base: npt.NDArray[Any]
) -> Iterator[npt.NDArray[Any]]:
    best, label = base, model.label(base)
    yield best
    while True:
        changed = best.copy()
        changed[own.integers(made.size)] += made.strength * own.uniform(0.5, 1.5) * own.choice((-1, 1))
        yield changed
        if model.scores(changed)[label] < model.scores(best)[label]:
            best = changed


def _around(
    made: Generated, model: Classifier, own: np.random.Generator, base: npt.NDArray[Any]
) -> Iterator[npt.NDArray[Any]]:
    x, label = base, model.label(base)
    while True:
        yield x
        steps = own.standard_normal((20, made.size))
        slope = np.zeros(made.size)
        for step in steps:
            yield x + made.strength * step
            slope += model.scores(x + made.strength * step)[label] * step
        x = x - made.strength * np.sign(slope)


def _approach(
    made: Generated, model: Classifier, own: np.random.Generator, base: npt.NDArray[Any]
) -> Iterator[npt.NDArray[Any]]:
    label, x = model.label(base), base
    while model.label(x) == label:
        x = base + 2 * own.standard_normal(made.size)
    yield base
    while model.label(x + 0.1 * (base - x)) != label:
        x = x + 0.1 * (base - x)
        yield x
    while True:
        length = float(np.linalg.norm(x - base))
        changed = x + made.strength * own.standard_normal(made.size)
        changed = base + (changed - base) * (1 - 0.02) * length / float(np.linalg.norm(changed - base))
        yield changed
        if model.label(changed) != label:
            x = changed


@dataclass(frozen=True)
class Entry:
    """One item of `events`: `repeat` queries, `every` seconds apart."""

    node: Node
    at: float
    arrives: float
    repeat: int
    every: float
    arguments: Mapping[str, Any]  # of Engine.decide, without the input
    input: tuple[str, Any] | None  # which argument, and its value or how to generate it
    answer: Answer  # what the model answers: arguments of Engine.record

    def answer_to(self, arguments: Mapping[str, Any], number: int, index: int) -> Mapping[str, Any] | None:
        """What Engine.record gets for query `index` of entry `number`; None when nobody tells."""
        if self.answer is None:
            return None
        if not isinstance(self.answer, Classifier):
            spread = {name: value for name, value in self.answer.items() if isinstance(value, Spread)}
            return {**self.answer, **{name: value.value(number, index) for name, value in spread.items()}}
        assert self.input is not None
        scores = self.answer.scores(np.asarray(arguments[self.input[0]], np.float64))
        return {"label": scores.argmax(axis=-1).tolist(), "scores": scores.tolist()}

    def arguments_of(self, index: int) -> dict[str, Any]:
        """What Engine.decide gets for query `index`; "{i}" in a text, fields included, is its number, from 1."""
        found = dict(self.arguments, now=self.at + index * self.every)
        if self.input is not None:
            name, value = self.input
            if isinstance(value, Generated):
                value = value.text(index) if name == "text" else value.array(index)
            found[name] = value.tolist() if name == "row" and isinstance(value, np.ndarray) else value
        return {name: _numbered(value, str(index + 1)) for name, value in found.items()}


def _numbered(value: Any, number: str) -> Any:
    """With "{i}" in texts replaced, in fields at every depth."""
    if isinstance(value, str):
        return value.replace("{i}", number)
    if isinstance(value, dict):
        return {name: _numbered(item, number) for name, item in value.items()}
    if isinstance(value, list):
        return [_numbered(item, number) for item in value]
    return value


@dataclass(frozen=True)
class Claim:
    """One thing that a case expects of some of its queries, and where it says so."""

    node: Node
    path: str
    entry: int | None  # position among the events; None: all of them
    queries: slice  # of the entry's, or of all in the order of their arrival
    check: Check


@dataclass(frozen=True)
class Case:
    """A case that has been read: `name`, `file`, `about`; what `run` needs is in the rest."""

    name: str
    file: str
    about: str
    policy: Policy
    capacity: int
    entries: tuple[Entry, ...]
    claims: tuple[Claim, ...]


def load(path: str | Path) -> Case:
    """Read a case. Raises CaseError with everything that is wrong with it, OSError if it cannot be read."""
    path = Path(path)
    try:
        documents = _yaml.load_all(path.read_bytes(), str(path))
    except YamlError as error:
        raise CaseError(error.problems) from None
    if len(documents) != 1:
        message = f"expected one YAML document, found {len(documents)}"
        raise CaseError([Problem(str(path), 1, 1, "", message, "write one case per file")])
    problems: list[Problem] = []
    case = _Reader(path, documents[0], problems).case()
    if problems or case is None:
        raise CaseError(problems)
    return case


def run(case: Case) -> tuple[Problem, ...]:
    """Ask an engine, and return what differs from the case's expectations: nothing when it passes."""
    queries = [
        (entry.arrives + index * entry.every, number, index)
        for number, entry in enumerate(case.entries)
        for index in range(entry.repeat)
    ]
    decisions: dict[int | None, list[Decision]] = {}
    with Engine(case.policy, capacity=case.capacity, state="", log="") as engine:
        for _, number, index in sorted(queries):
            entry = case.entries[number]
            try:
                arguments = entry.arguments_of(index)
                decision = engine.decide(**arguments)
                if (answer := entry.answer_to(arguments, number, index)) is not None:
                    engine.record(decision, now=arguments["now"], **answer)
            except (TypeError, ValueError) as error:
                return (entry.node.problem(f"events[{number}]", f"query {index + 1}: {error}"),)
            decisions.setdefault(None, []).append(decision)
            decisions.setdefault(number, []).append(decision)
        return tuple(_mismatches(case, decisions))


def _mismatches(case: Case, decisions: Mapping[int | None, Sequence[Decision]]) -> Iterator[Problem]:
    for claim in case.claims:
        numbered = list(enumerate(decisions[claim.entry], 1))
        if claim.queries.stop is not None and claim.queries.stop > len(numbered):
            yield claim.node.problem(claim.path, f"there are only {len(numbered)} queries")
        elif complaint := claim.check(numbered[claim.queries]):
            yield claim.node.problem(claim.path, complaint)


class _Section(Section):
    """A section with free-form parts."""

    @property
    def place(self) -> Node:
        assert self._place is not None
        return self._place

    def node(self, key: str) -> Node | None:
        self._read.add(key)
        return self._node.get(key) if self._node is not None else None

    def plain(self, key: str) -> Any:
        """Whatever is below a key, as plain data; None where there is nothing."""
        node = self.node(key)
        return None if node is None else _yaml.to_python(node)

    def number(self, key: str, default: float, low: float = 0.0) -> float:
        found = self.numbers(key)
        if found is None or (len(found) == 1 and found[0] >= low):
            return default if found is None else found[0]
        self.report_at(key, f"expected one number from {low:g}")
        return default

    def count(self, key: str, default: int, high: int) -> int:
        found = self.integer(key, 1, high)
        return default if found is None else found

    def below(self, key: str) -> _Section:
        return _Section(self.node(key), self.child(key), self._problems)

    def each(self, key: str) -> Iterator[_Section]:
        """The mappings of a list, or the only one."""
        for node, path in self._values(key):
            yield _Section(node, path, self._problems, node)

    @property
    def names(self) -> list[str]:
        return [key.text for key, _ in self._node.items] if self._node is not None else []


@dataclass
class _Reader:
    path: Path
    node: Node
    problems: list[Problem]
    start: float = START
    claims: list[Claim] = field(default_factory=list)

    def case(self) -> Case | None:
        case = _Section(self.node, "", self.problems, self.node)
        name = case.required_text("name")
        about = case.text("about")
        self.start = case.time("start") or START
        policy = self._policy(case)
        capacity = case.count("capacity", CAPACITY, 1 << 30)
        shared = case.below("defaults")
        defaults, answer = _arguments(shared), _answer(shared.below("answer"))
        shared.close()
        entries = [self._entry(event, number, defaults, answer) for number, event in enumerate(case.each("events"))]
        if not entries:
            case.report("a case needs at least one query", "write it under events")
        self._expect(case, None)
        case.close()
        if policy is None or self.problems:
            return None
        return Case(name, str(self.path), about, policy, capacity, tuple(entries), tuple(self.claims))

    def _policy(self, case: _Section) -> Policy | None:
        """The policy with the case's rules and mode, a fixed seed, and no log."""
        node, rules, mode = case.node("policy"), case.node("rules"), case.choice("mode", MODES, "")
        seed = case.integer("seed", 0, 2**64 - 1)
        data, base = self._policy_data(node)
        if data is None:
            return None
        data = {"version": 1} | data | ({"mode": mode} if mode else {})
        state = data.get("state")
        data["state"] = {"seed": SEED if seed is None else seed} | (state if isinstance(state, dict) else {})
        with tempfile.TemporaryDirectory() as directory:
            inline = Path(directory) / "rules.yml"
            if rules is not None:
                data["rules"] = dict(data.get("rules") or {}) | {"paths": self._rule_paths(rules, inline)}
            try:
                return Policy.from_text(json.dumps(data), str(self.path), base)
            except PolicyError as error:
                self.problems += (self._place(problem, node, rules, inline) for problem in error.problems)
                return None

    def _policy_data(self, node: Node | None) -> tuple[dict[str, Any] | None, Path]:
        """What the policy says, and the directory that its file names are relative to."""
        base = self.path.parent
        if node is not None and node.kind == "map":
            return _yaml.to_python(node), base
        if node is None or node.kind == "list":
            message = "expected a mapping, a file name, or the word default"
            self.problems.append((node or self.node).problem("policy", message))
            return None, base
        shipped = resources.files("atlascore") / "policies" / "default.yml"
        file = Path(str(shipped)) if node.value == "default" else base / node.text
        try:
            data = _yaml.to_python(_yaml.load_all(file.read_bytes(), str(file))[0])
        except (OSError, YamlError, IndexError) as error:
            self.problems.append(node.problem("policy", f"cannot read the policy: {error}"))
            return None, base
        return dict(data), file.parent

    def _rule_paths(self, rules: Node, inline: Path) -> list[str]:
        """Files are named as everywhere, relative to the case; a text is the rules themselves."""
        if rules.kind == "list":
            names = [item.text for item in rules.items if item.kind == "scalar"]
            return [name if name == "builtin" else str(self.path.parent.absolute() / name) for name in names]
        if rules.kind == "scalar":
            inline.write_text(rules.text)
            return [str(inline)]
        self.problems.append(rules.problem("rules", "expected Sigma text, or a list of files"))
        return []

    def _place(self, problem: Problem, policy: Node | None, rules: Node | None, inline: Path) -> Problem:
        """A problem of the policy or its rules, where the case has them."""
        if rules is not None and problem.file == str(inline):
            return replace(problem, file=str(self.path), line=rules.line + problem.line)
        if problem.file == str(self.path):
            path = f"policy.{problem.path}" if problem.path else "policy"
            return (policy or self.node).problem(path, problem.message, problem.fix)
        return problem

    def _entry(self, event: _Section, number: int, defaults: Mapping[str, Any], usual: Answer) -> Entry:
        answer = _answer(event.below("answer")) or usual
        classifier = answer if isinstance(answer, Classifier) else None
        at = self._time(event, "at", self.start)
        entry = Entry(
            node=event.place,
            at=at,
            arrives=self._time(event, "arrives", at),
            repeat=event.count("repeat", 1, QUERIES),
            every=event.number("every", 0.0),
            arguments=dict(defaults) | _arguments(event),
            input=_input(event, number, classifier),
            answer=answer,
        )
        if classifier is not None and (entry.input is None or entry.input[0] == "text"):
            event.report("a made-up classifier answers numbers only", "give a vector or a row, or another answer")
        for name in ("principal", "model"):
            if name not in entry.arguments:
                event.report(f'missing "{name}"', "give it here or in the defaults")
        self._expect(event, number)
        event.close()
        return entry

    def _time(self, event: _Section, key: str, default: float) -> float:
        """Seconds after the start of the case, or a point in time."""
        node = event.node(key)
        if node is None:
            return default
        value = node.value if node.kind == "scalar" else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.start + value
        try:
            return parse_time(node.text if node.kind == "scalar" else "")
        except ValueError as error:
            event.report_at(key, f"expected seconds after the start, or a time: this {error}")
            return default

    def _expect(self, owner: _Section, entry: int | None) -> None:
        for section in owner.each("expect"):
            queries = _queries(section)
            before = len(self.claims)
            for key, read in _CLAIMS.items():
                node = section.node(key)
                if node is not None and (check := read(section, key)) is not None:
                    self.claims.append(Claim(node, section.child(key), entry, queries, check))
            section.close()
            if len(self.claims) == before and not self.problems:
                section.report("expects nothing", f"known are {quoted(sorted(_CLAIMS))}")


def _arguments(section: _Section) -> dict[str, Any]:
    """The arguments of Engine.decide that are given as they are."""
    names = ("principal", "model", "method", "endpoint", "session")
    found: dict[str, Any] = {name: text for name in names if (text := section.text(name))}
    if (fields := section.plain("fields")) is not None:
        found["fields"] = fields
    if cost := section.number("cost", 0.0):
        found["cost"] = cost
    return found


def _input(event: _Section, entry: int, classifier: Classifier | None) -> tuple[str, Any] | None:
    given = {name: value for name in INPUTS if (value := event.plain(name)) is not None}
    if len(given) > 1:
        event.report(f"{quoted(given)} are given", "a query has one input")
    for name, value in given.items():
        if isinstance(value, dict) and "generate" in value:
            return name, _generated(event.below(name), entry, name == "text", classifier)
        return name, value
    return None


def _answer(section: _Section) -> Answer:
    """`{linear: SEED}` for a made-up classifier, else what Engine.record takes."""
    if not section:
        return None
    answer: Answer
    if "linear" in section:
        answer = Classifier(section.integer("linear", 0, 2**63) or 0, section.count("classes", 2, 1_000))
    else:
        answer = {name: value for name in ANSWERS if (value := section.plain(name)) is not None}
        if isinstance(answer.get("cost"), list):
            answer = {**answer, "cost": _spread(section, "cost")}
    section.close()
    return answer


def _spread(section: _Section, key: str) -> Spread:
    bounds = section.numbers(key) or []
    if len(bounds) == 2 and 0 < bounds[0] <= bounds[1]:
        return Spread(*bounds)
    section.report_at(key, "expected a number, or [lowest, highest] above 0")
    return Spread(1, 1)


def _generated(section: _Section, entry: int, text: bool, classifier: Classifier | None) -> Generated:
    kinds = ("same", "perturb", "diverse") + (() if text or classifier is None else ATTACKS)
    kind = section.required_choice("generate", kinds, "generator")
    seed = section.integer("seed", 0, 2**63) or 0
    within = section.text("within", "{}") if text else "{}"
    if "{}" not in within:
        section.report_at("within", 'expected a text with "{}" in it', "the made-up words take its place")
    if text:
        size = section.count("words", 60, 1_000_000)
        strength = float(section.count("change", 1, size))
        batch, shift = None, 0.0
    else:
        size = section.count("dim", 64, 1_000_000)
        strength = section.number("noise", 0.01)
        batch = section.integer("batch", 1, 1_000_000)
        shift = section.number("shift", 0.0) if kind not in ATTACKS else 0.0
    section.close()
    return Generated(kind, seed, entry, size, strength, batch, classifier, shift, within)


def _words(source: random.Random, count: int) -> list[str]:
    return ["".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=source.randint(3, 9))) for _ in range(count)]


def _queries(section: _Section) -> slice:
    """5, 51-200, 51- or last; every one by default."""
    text = section.text("queries")
    if match := re.fullmatch(r"([1-9]\d*)(?:(-)([1-9]\d*)?)?", text):
        first, dash, last = match.groups()
        return slice(int(first) - 1, int(last) if last else None if dash else int(first))
    if text == "last":
        return slice(-1, None)
    if text:
        section.report_at("queries", f'expected 5, 51-200, 51- or last, found "{text}"')
    return slice(None)


# --- what can be expected -------------------------------------------------------------------------------


def _each(see: Callable[[Decision], Any], holds: Callable[[Any], bool], wanted: str) -> Check:
    """Every query must show what is wanted."""

    def check(decisions: Sequence[tuple[int, Decision]]) -> str | None:
        wrong = [(number, seen) for number, d in decisions if not holds(seen := see(d))]
        if not wrong:
            return None
        number, seen = wrong[0]
        others = f"; {len(wrong) - 1} more of {len(decisions)} differ" if len(wrong) > 1 else ""
        return f"query {number} has {seen}, expected {wanted}{others}"

    return check


def _actions(attribute: str) -> Callable[[_Section, str], Check]:
    def read(section: _Section, key: str) -> Check:
        wanted = section.choices(key, Action.__members__, "action")
        return _each(lambda d: getattr(d, attribute).name, lambda seen: seen in wanted, " or ".join(wanted))

    return read


def _equal(see: Callable[[Decision], Any]) -> Callable[[_Section, str], Check]:
    def read(section: _Section, key: str) -> Check:
        wanted = section.plain(key)
        return _each(see, lambda seen: bool(seen == wanted), str(wanted))

    return read


def _rules_contain(section: _Section, key: str) -> Check:
    wanted = set(section.texts(key))
    return _each(lambda d: list(d.rules), lambda seen: wanted <= set(seen), " and ".join(sorted(wanted)))


def _step(section: _Section, key: str) -> Check:
    wanted = section.plain(key)
    wanted = wanted.items() if isinstance(wanted, dict) else {"name": wanted}.items()
    return _each(lambda d: d.explain()["step"], lambda seen: wanted <= seen.items(), str(dict(wanted)))


def _between(see: Callable[[Decision], Any], section: _Section, key: str) -> Check | None:
    bounds = section.numbers(key) or []
    if len(bounds) != 2:
        section.report_at(key, "expected [lowest, highest]")
        return None
    low, high = bounds
    return _each(see, lambda seen: seen is not None and low <= seen <= high, f"{low:g} to {high:g}")


def _retry_after(section: _Section, key: str) -> Check | None:
    return _between(lambda d: d.retry_after, section, key)


def _signals(section: _Section, key: str) -> Check:
    signals = section.below(key)
    checks = [check for name in signals.names if (check := _between(_signal(name), signals, name)) is not None]
    return lambda decisions: next(filter(None, (check(decisions) for check in checks)), None)


def _signal(name: str) -> Callable[[Decision], Any]:
    return lambda decision: decision.signals.get(name)


def _highest(decision: Decision) -> Action:
    return Action(max(decision.action, decision.would))


def _never(section: _Section, key: str) -> Check:
    limit = Action[section.choice(key, Action.__members__, "BLOCK", "action")]
    return _each(lambda d: _highest(d).name, lambda seen: Action[seen] < limit, f"less than {limit.name}")


def _first_at(section: _Section, key: str) -> Check:
    wanted = _numbers_by_action(section, key)

    def check(decisions: Sequence[tuple[int, Decision]]) -> str | None:
        for action, number in wanted.items():
            first = next((n for n, d in decisions if d.action >= action), None)
            if first != number:
                return f"the first query with {action.name} or more is {first}, expected {number}"
        return None

    return check


def _count(section: _Section, key: str) -> Check:
    wanted = _numbers_by_action(section, key)

    def check(decisions: Sequence[tuple[int, Decision]]) -> str | None:
        seen = {action: sum(d.action == action for _, d in decisions) for action in Action}
        wrong = [f"{seen[a]} {a.name}, expected {n}" for a, n in wanted.items() if seen[a] != n]
        return "; ".join(wrong) or None

    return check


def _numbers_by_action(section: _Section, key: str) -> dict[Action, int]:
    actions = section.below(key)
    found = {
        action: number
        for name, action in Action.__members__.items()
        if (number := actions.integer(name, 0, QUERIES)) is not None
    }
    actions.close()
    return found


_CLAIMS: dict[str, Callable[[_Section, str], Check | None]] = {
    "action": _actions("action"),
    "would": _actions("would"),
    "simulated": _equal(lambda d: d.simulated),
    "rules": _equal(lambda d: list(d.rules)),
    "rules_contain": _rules_contain,
    "techniques": _equal(lambda d: list(d.techniques)),
    "constraints": _equal(lambda d: d.constraints.to_dict()),
    "step": _step,
    "retry_after": _retry_after,
    "signals": _signals,
    "never": _never,
    "first_at": _first_at,
    "count": _count,
}
