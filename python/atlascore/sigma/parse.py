"""Sigma documents to rules. Problems are collected, all of them; an error rejects its rule and no other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from atlascore import _yaml
from atlascore._yaml import Mapping, Node, Problem, Scalar
from atlascore.sigma import compat, fields, tags
from atlascore.sigma.ast import (
    DEFAULT_WINDOW,
    LEVELS,
    Expression,
    Logsource,
    Phase,
    Rule,
    Scope,
    disjunction,
    expression_digest,
    leaves,
)
from atlascore.sigma.condition import ConditionParser
from atlascore.sigma.detection import DetectionParser
from atlascore.sigma.lint import Report, check_fields, nearest

BUILTIN = Path(__file__).parent.parent / "rules"  # the shipped rules

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_SCOPES: dict[frozenset[str], Scope] = {
    frozenset(("api.principal", "api.model")): "track",
    frozenset(("api.principal",)): "principal",
    frozenset(): "global",
}
_NEWEST_SIGMA = (2, 1)
# What adapters and logs produce, with the synonyms of the product. No event has a service, so that any is right.
_SOURCES = {
    "product": ("llm_gateway", "machine_learning_platform", "ai_agent"),
    "category": ("api_activity",),
}


@dataclass
class Loaded:
    """What was read: usable rules in the order of the files, and every problem found."""

    rules: list[Rule] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_paths(paths: Iterable[str | Path], *, strict: bool = False) -> Loaded:
    """The rules of files and of directories (searched for *.yml and *.yaml).

    The path `builtin` means the shipped rules, which are always read strictly. Raises OSError for a path that
    cannot be read.
    """
    loaded = Loaded()
    for path in paths:
        root = BUILTIN if path == "builtin" else Path(path)
        found = sorted(p for p in root.rglob("*") if p.suffix in (".yml", ".yaml")) if root.is_dir() else [root]
        for file in found:
            shipped = file.is_relative_to(BUILTIN)
            one = _read_one(file.read_bytes(), str(file), strict=strict or shipped, shipped=shipped)
            loaded.rules += one.rules
            loaded.problems += one.problems
    return _without_duplicates(loaded)


def read_text(text: str | bytes, file: str, *, strict: bool = False) -> Loaded:
    """The rules of one YAML text; `file` is what messages call it."""
    return _without_duplicates(_read_one(text, file, strict=strict, shipped=False))


def _read_one(text: str | bytes, file: str, *, strict: bool, shipped: bool) -> Loaded:
    documents, broken = _yaml.compose(text, file)
    loaded = Loaded(problems=list(broken))
    for document in documents:
        report = Report(strict)
        rule = _RuleParser(report).parse(document)
        loaded.problems += report.problems
        is_broken = any(document.line <= problem.line <= document.end_line for problem in broken)
        if rule is not None and not report.has_errors and not is_broken:
            loaded.rules.append(replace(rule, shipped=shipped))
    return loaded


def _without_duplicates(loaded: Loaded) -> Loaded:
    """Ids and names are unique; a user's rule with the id of a shipped one replaces it."""
    report = Report(strict=False)
    kept: dict[str, Rule] = {}
    owners: dict[str, Rule] = {}
    for rule in sorted(loaded.rules, key=lambda rule: rule.shipped, reverse=True):
        names = {rule.id, *rule.aliases}
        other = next((owners[name] for name in sorted(names) if name in owners), None)
        if other is not None and other.shipped and not rule.shipped and other.id == rule.id:
            message = f"this rule replaces the shipped rule {other.title!r}"
            report.add("replaces-shipped", rule.node, "id", message)
            owners = {name: owner for name, owner in owners.items() if owner is not other}
        elif other is not None:
            message = f"the id or name of {rule.title!r} is that of the rule at {other.file}:{other.line}"
            report.add("dup-id", rule.node, "id", message, "give each rule an id of its own")
            continue
        owners |= dict.fromkeys(names, rule)
        kept[rule.id] = rule
    rules = [rule for rule in loaded.rules if kept.get(rule.id) is rule]
    return Loaded(rules, loaded.problems + report.problems)


def parse_duration(text: str) -> int | None:
    """Seconds of a Sigma timespan such as 30s, 5m, 1h or 7d; None for anything else, and for none at all."""
    match = _DURATION.fullmatch(text)
    seconds = int(match.group(1)) * _UNITS[match.group(2)] if match else 0
    return seconds if 0 < seconds < 2**31 else None


class _RuleParser:
    """One document."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def parse(self, node: Node) -> Rule | None:
        if node.kind != "map":
            self._report.add("not-a-rule", node, "", "a Sigma rule is a mapping of keys to values")
            return None
        if not self._is_detection_rule(node):
            return None
        detection = node.get("detection")
        if detection is None or detection.kind != "map":
            fix = "write detection: with search identifiers and a condition"
            self._report.add("missing-key", detection or node, "detection", "a rule needs a detection", fix)
            return None
        window, timeframe = self._window(node, detection)
        condition = self._condition(detection, reads_window=timeframe is not None)
        scope = self._scope(node)
        if condition is None:
            return None
        check_fields(condition, self._report)
        self._check_signal_scope(condition, scope, node)
        return self._rule(node, condition, window, timeframe, scope)

    def _rule(self, node: Mapping, condition: Expression, window: int, timeframe: Node | None, scope: Scope) -> Rule:
        identifier, aliases = self._identity(node, condition)
        tagged = tags.read(node.get("tags"), self._report)
        return Rule(
            id=identifier,
            aliases=aliases,
            title=self._title(node) or identifier,
            level=self._level(node),
            tags=tagged.written,
            normalized_tags=tagged.normalized,
            techniques=tagged.techniques,
            logsource=self._logsource(node),
            window=window,
            scope=scope,
            phase=_phase(condition),
            condition=condition,
            falsepositives=self._texts(node, "falsepositives"),
            node=node,
            timeframe_node=timeframe,
        )

    def _is_detection_rule(self, node: Mapping) -> bool:
        for key, what in (("correlation", "correlation"), ("filter", "filter"), ("action", "template")):
            found = node.get(key)
            if found is not None:
                self._report.add("unsupported", found, key, f"a {what} document is not supported by this version")
                return False
        version = node.get("sigma-version")
        if version is None:
            return True
        match = re.fullmatch(
            r"([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:\.[0-9]+)?", version.text if version.kind == "scalar" else ""
        )
        if match and (int(match.group(1)), int(match.group(2) or 0)) <= _NEWEST_SIGMA:
            return True
        newest = ".".join(map(str, _NEWEST_SIGMA))
        self._report.add("sigma-version", version, "sigma-version", f"only Sigma up to {newest} is understood")
        return False

    # Metadata

    def _scalar(self, node: Mapping, key: str) -> Scalar | None:
        value = node.get(key)
        if value is None or (value.kind == "scalar" and value.value is not None):
            return value if value is None or value.kind == "scalar" else None
        self._report.add("bad-value", value, key, f"{key} must be a single value")
        return None

    def _text(self, node: Mapping, key: str) -> str:
        scalar = self._scalar(node, key)
        return scalar.text if scalar else ""

    def _texts(self, node: Mapping, key: str) -> tuple[str, ...]:
        value = node.get(key)
        items = value.items if value is not None and value.kind == "list" else [value]
        return tuple(item.text for item in items if item is not None and item.kind == "scalar" and item.text)

    def _title(self, node: Mapping) -> str:
        title = self._text(node, "title")
        if not title:
            self._report.add("incomplete", node, "title", "a rule has a title", "write title: and a few words")
        return title

    def _identity(self, node: Mapping, condition: Expression) -> tuple[str, tuple[str, ...]]:
        """The rule's UUID, and its further names."""
        name = self._text(node, "name")
        aliases = (name,) if name else ()
        written = self._scalar(node, "id")
        if written is None:
            return compat.uuid_for(expression_digest(condition)), aliases
        if compat.is_uuid(written.text):
            return written.text.lower(), aliases
        identifier = compat.uuid_for(written.text)
        message = f"{written.text!r} is not a UUID, the rule gets the id {identifier}"
        self._report.add("id-not-uuid", written, "id", message, f"write id: {identifier}")
        return identifier, (written.text, *aliases)

    def _level(self, node: Mapping) -> str:
        level = self._scalar(node, "level")
        if level is None or level.text in LEVELS:
            return level.text if level else LEVELS[0]
        fix = nearest(level.text, LEVELS) or f"write one of {', '.join(LEVELS)}"
        self._report.add("bad-value", level, "level", f"there is no level {level.text!r}", fix)
        return LEVELS[0]

    def _logsource(self, node: Mapping) -> Logsource:
        value = node.get("logsource")
        if value is None or value.kind != "map":
            message = "a rule says for which events it is written"
            fix = "write logsource: {category: api_activity}"
            self._report.add("incomplete", value or node, "logsource", message, fix)
            return Logsource()
        for key, stated in value.items:
            known = _SOURCES.get(key.text)
            if known is not None and stated.kind == "scalar" and stated.text not in ("", *known):
                message = f"no event has the {key.text} {stated.text!r}: this rule never matches"
                fix = nearest(stated.text.lower(), known) or f"write {key.text}: {known[0]}, or leave it out"
                self._report.add("no-source", stated, f"logsource.{key.text}", message, fix)
        return Logsource(*(self._text(value, key) for key in ("product", "service", "category")))

    # Window and scope

    def _window(self, node: Mapping, detection: Mapping) -> tuple[int, Node | None]:
        inner = detection.get("timeframe")
        if inner is not None:
            message = "timeframe is not part of a Sigma detection, read as the window of the rule's signals"
            fix = "move it to the top level of the rule"
            self._report.add("timeframe-in-detection", inner, "detection.timeframe", message, fix)
        written = node.get("timeframe") or inner
        if written is None:
            return DEFAULT_WINDOW, None
        seconds = parse_duration(written.text) if written.kind == "scalar" else None
        if seconds is None:
            fix = "write a number of s, m, h or d, such as 5m"
            self._report.add("timeframe", written, "timeframe", "this is not a span of time", fix)
        return seconds or DEFAULT_WINDOW, written

    def _scope(self, node: Mapping) -> Scope:
        value = node.get("group-by")
        if value is None:
            return "track"
        names = frozenset(self._texts(node, "group-by"))
        scope = _SCOPES.get(names) if value.kind == "list" else None
        if scope is None:
            message = "signals are kept per [api.principal, api.model], per [api.principal], or for all together []"
            fix = "use one of these; other groups need a correlation, which this version does not support"
            self._report.add("group-by", value, "group-by", message, fix)
        return scope or "track"

    def _check_signal_scope(self, condition: Expression, scope: Scope, node: Mapping) -> None:
        for leaf in leaves(condition):
            signal = fields.signals().get(leaf.subject)
            if signal is not None and scope not in signal.scopes:
                message = f"{leaf.subject} does not exist at the scope of this rule's group-by"
                fix = f"it exists for {', '.join(signal.scopes)}"
                self._report.add("signal-scope", node.get("group-by") or node, "group-by", message, fix)
                return

    # Condition

    def _condition(self, detection: Mapping, reads_window: bool) -> Expression | None:
        parser = DetectionParser(self._report, reads_window)
        identifiers = {
            key.text: parser.parse(key.text, value)
            for key, value in detection.items
            if key.text not in ("condition", "timeframe")
        }
        written = detection.get("condition")
        nodes = [] if written is None else written.items if written.kind == "list" else [written]
        scalars = [node for node in nodes if node.kind == "scalar"]
        if not scalars or len(scalars) != len(nodes):
            message = "a detection needs a condition, a text or a list of texts"
            self._report.add("missing-key", written or detection, "detection.condition", message)
            return None
        conditions = ConditionParser(identifiers, self._report)
        parsed = [conditions.parse(scalar) for scalar in scalars]
        for key, _ in detection.items:
            if key.text in identifiers and key.text not in conditions.used and not self._report.has_errors:
                message = f"no condition uses {key.text!r}"
                self._report.add("unused-detection", key, f"detection.{key.text}", message, "use or remove it")
        found = [expression for expression in parsed if expression is not None]
        return disjunction(found) if len(found) == len(parsed) else None


def _phase(condition: Expression) -> Phase:
    names = (leaf.subject for leaf in leaves(condition))
    return "response" if any(fields.is_response(name) for name in names) else "request"
