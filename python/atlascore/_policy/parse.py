"""From the nodes of a policy file to a Document: one function per section of the language.

What the language has and this version does not support is named in the `close` of its section, so that using
it is an error with a position.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any, TypeVar

from atlascore._policy.clone_cost import extraction_budget
from atlascore._policy.document import (
    ACTIONS,
    LEVELS,
    MODES,
    STAGES,
    Address,
    Allow,
    BlockDelay,
    Document,
    Duration,
    Failure,
    Feature,
    Input,
    Limit,
    Match,
    Model,
    Override,
    Principal,
    Privacy,
    Response,
    Scale,
    State,
)
from atlascore._policy.section import Section, did_you_mean
from atlascore._yaml import Node, Problem
from atlascore.constraints import Constraints

__all__ = ["parse_document"]

T = TypeVar("T", Allow, Limit, Response)

_DAY = 86400.0
_MOST_RESPONSES = _MOST_LIMITS = 64  # the core keeps one bit for each
_MOST_TEMPLATES = 1024
_FAILURES = ("fail_open", "fail_closed")
_LATER = ("approvals", "atlas", "compliance", "dataset", "http", "observability", "prompts")


def parse_document(root: Node, problems: list[Problem]) -> Document:
    """The policy that a YAML document states; what is wrong with it is appended to `problems`."""
    top = Section(root, "", problems, root)
    if "version" not in top:
        top.report('missing "version"', "write version: 1")
    if (version := top.integer("version", 0, 2**31)) not in (None, 1):
        top.report_at("version", f"version {version} is not known", "write version: 1")
    rules, probes = top.section("rules"), top.section("probes")
    document = Document(
        name=top.text("name", "unnamed"),
        mode=top.choice("mode", MODES[::-1], "shadow"),
        principal=_principal(top.section("principal")),
        models=tuple(_model(pattern, entry) for pattern, entry in top.section("models").named_sections()),
        unknown_model=top.choice("unknown_model", ("ALLOW", "LOG", "BLOCK"), "ALLOW", "action"),
        rule_paths=tuple(rules.references("paths") if "paths" in rules else [top.named("builtin")]),
        overrides=tuple(_override(entry) for entry in rules.sections("overrides")),
        responses=_each(top, "responses", _response),
        limits=_each(top, "limits", _limit),
        allow=_each(top, "allow", _allow),
        failure=_failure(top.section("failure")),
        log_directory=_log_directory(top.section("log")),
        privacy=_privacy(top.section("privacy")),
        state=_state(top.section("state")),
        probe_paths=tuple(probes.references("paths") if "paths" in probes else [top.named("builtin")]),
    )
    if len(document.responses) > _MOST_RESPONSES:
        top.report_at("responses", f"more than {_MOST_RESPONSES} responses", "join some")
    if len(document.limits) > _MOST_LIMITS:
        top.report_at("limits", f"more than {_MOST_LIMITS} limits", "join some")
    rules.close(unsupported=("placeholders",))
    probes.close()
    top.close(unsupported=_LATER)
    return document


def _each(top: Section, key: str, parse: Callable[[Section], T]) -> tuple[T, ...]:
    """The entries of a list of mappings, whose names must differ: decisions are explained by them."""
    entries = tuple(parse(entry) for entry in top.sections(key))
    seen: set[str] = set()
    for entry in entries:
        if entry.name.text in seen:
            top.refuse(entry.name, f'name "{entry.name.text}" is already used', "give each entry its own name")
        seen.add(entry.name.text)
    return entries


# --- principal ------------------------------------------------------------------------------------------

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SOURCE_PATH = re.compile(r"[^.\s]+(\.[^.\s]+)*")


def _principal(section: Section) -> Principal:
    default = Principal()
    principal = Principal(
        sources=_sources(section, "from") or default.sources,
        session=_sources(section, "session"),
        address=_address(section.section("address")),
        anonymous=section.choice("anonymous", ("address", "shared", "refuse"), default.anonymous, "kind"),
    )
    section.close(unsupported=("cluster_keys", "key_alias"))
    return principal


def _sources(section: Section, key: str) -> tuple[str, ...]:
    found = []
    for reference in section.references(key):
        origin, _, rest = reference.text.partition(".")
        if reference.text == "address" or (origin in ("scope", "jwt", "body") and _SOURCE_PATH.fullmatch(rest)):
            found.append(reference.text)
        elif origin == "header" and _HEADER_NAME.fullmatch(rest):
            found.append(reference.text.lower())
        else:
            fix = "use header.NAME, scope.PATH, jwt.CLAIM, body.PATH or address"
            section.refuse(reference, f'"{reference.text}" is not a source', fix)
    return tuple(found)


def _address(section: Section) -> Address:
    header = section.text("header")
    if header and not _HEADER_NAME.fullmatch(header):
        section.report_at("header", f'"{header}" is not a header name')
    networks = []
    for reference in section.references("trusted_proxies"):
        try:
            networks.append(str(ipaddress.ip_network(reference.text)))
        except ValueError as error:
            section.refuse(reference, str(error), "write a network as 10.0.0.0/8")
    if header and "trusted_proxies" not in section:
        fix = "name the networks of your proxies: any caller could send the header otherwise"
        section.report('"header" needs "trusted_proxies"', fix)
    section.close()
    return Address(header.lower() or None, tuple(networks))


# --- models ---------------------------------------------------------------------------------------------

_KINDS = ("llm", "classifier", "regressor", "embedding", "other")
_MODALITIES = ("text", "vector", "image", "tensor", "row", "digest")
_NUMERIC = ("vector", "image", "tensor", "row")
MOST_COLUMNS = 512  # of rows that the core compares column by column


def _model(pattern: str, section: Section) -> Model:
    classes, labels = _classes(section)
    model = Model(
        pattern=pattern,
        kind=section.choice("kind", _KINDS, "other", "kind"),
        classes=classes,
        labels=labels,
        input=(given := _input(section.section("input"))),
        extraction_budget=extraction_budget(section, classes, _width(given)),
        templates=_templates(section.section("templates")),
        baseline=section.reference("baseline"),
    )
    section.close()
    return model


def _width(given: Input) -> int | None:
    """How many numbers an input has; None when the policy does not say."""
    if given.shape is not None:
        return given.shape[0] * given.shape[1] * given.shape[2]
    return len(given.features) if given.features is not None else None


def _templates(section: Section) -> tuple[str, ...]:
    prompts = tuple(section.texts("allow"))
    if section and "allow" not in section:
        section.report('missing "allow"', "list prompts that many callers may share")
    if len(prompts) > _MOST_TEMPLATES:
        section.report_at("allow", f"more than {_MOST_TEMPLATES} prompts", "each query is compared with all of them")
    section.close()
    return prompts


def _classes(section: Section) -> tuple[int | None, tuple[str, ...] | None]:
    if not section.is_list("classes"):
        return section.integer("classes", 1, 10_000_000), None
    labels = section.texts("classes")
    if len(set(labels)) < len(labels):
        section.report_at("classes", "two classes have the same name")
    return len(labels), tuple(labels)


def _input(section: Section) -> Input:
    modality = section.choice("modality", _MODALITIES, "") or None
    shape = _shape(section, modality)
    features = _features(section.section("features"))
    if features and modality not in (None, "row"):
        section.report_at("features", f'"features" describe rows, the modality is {modality}')
    whole = _feature("", section)
    if modality is not None and modality not in _NUMERIC:
        for key in ("range", "mean", "std", "grid", "decimals", "categories"):
            section.report_at(key, f"an input of modality {modality} has no {key}", "remove it")
    width = shape[0] * shape[1] * shape[2] if shape else len(features)
    scale = whole.scale and _spread(section, whole.scale, width, shape[2] if shape else width)
    sensitive = _sensitive(section, modality, features)
    section.close(unsupported=("roles",))
    return Input(
        modality=modality or ("row" if features else None),
        shape=shape,
        scale=scale,
        grid=whole.grid,
        decimals=whole.decimals,
        categories=whole.categories,
        features=features or None,
        sensitive=sensitive,
    )


def _sensitive(section: Section, modality: str | None, features: tuple[Feature, ...]) -> tuple[int, ...]:
    """The columns that are named, or given by their numbers from 0 on."""
    references = section.references("sensitive")
    if references and modality != "row" and (modality is not None or not features):
        section.report_at("sensitive", "only rows have columns", 'declare "features", or modality: row')
        return ()
    names = [feature.name for feature in features]
    count = len(names) or MOST_COLUMNS
    columns = set()
    for reference in references:
        if reference.text in names:
            columns.add(names.index(reference.text))
        elif reference.text.isdecimal() and int(reference.text) < count:
            columns.add(int(reference.text))
        else:
            fix = did_you_mean(reference.text, names) or f"name a feature, or its number from 0 to {count - 1}"
            section.refuse(reference, f'"{reference.text}" is no column', fix)
    if columns and max(columns) >= MOST_COLUMNS:
        section.report_at("sensitive", f"only the first {MOST_COLUMNS} columns can be sensitive")
        return ()
    return tuple(sorted(columns))


def _features(section: Section) -> tuple[Feature, ...]:
    features = []
    for name, entry in section.named_sections():
        feature = _feature(name, entry)
        if feature.categories is not None and feature.scale is not None:
            entry.report("a categorical feature has no scale", 'remove "categories" or the scale')
        if feature.scale is not None and len(feature.scale.center) > 1:
            entry.report("one feature has one scale", "give two numbers for range, one for mean and std")
        entry.close()
        features.append(feature)
    return tuple(features)


def _feature(name: str, section: Section) -> Feature:
    scale, grid = _scale(section), section.integer("grid", 1, 2**31 - 1)
    decimals = section.integer("decimals", 0, 15)
    if grid is not None and "range" not in section:
        section.report_at("grid", 'a grid divides a range, and there is no "range"', "declare range: [low, high]")
        grid = None
    if grid is not None and decimals is not None:
        section.report_at("decimals", 'both "grid" and "decimals"', "keep one of them")
    return Feature(
        name=name,
        categories=section.integer("categories", 2, 2**31 - 1),
        scale=scale,
        grid=grid,
        decimals=decimals,
    )


def _shape(section: Section, modality: str | None) -> tuple[int, int, int] | None:
    """Height, width, channels; what is left out is 1."""
    numbers = section.numbers("shape")
    if numbers is None:
        return None
    if modality not in (None, "image", "tensor"):
        section.report_at("shape", f"an input of modality {modality} has no shape", "remove it")
        return None
    if not 1 <= len(numbers) <= 3 or any(number < 1 or number != int(number) for number in numbers):
        section.report_at("shape", "expected 1 to 3 positive integers", "write [height, width, channels]")
        return None
    sides = [int(number) for number in numbers]
    if len(sides) == 1:
        return 1, sides[0], 1
    return sides[0], sides[1], sides[2] if len(sides) == 3 else 1


def _scale(section: Section) -> Scale | None:
    """The declared scale: "range" as [low, high], or "mean" and "std" as numbers or lists of them."""
    bounds, mean, std = section.numbers("range"), section.numbers("mean"), section.numbers("std")
    if bounds is not None:
        if mean is not None or std is not None:
            section.report_at("range", 'both "range" and "mean" or "std"', "keep one of them")
        if len(bounds) != 2 or not bounds[0] < bounds[1]:
            section.report_at("range", "expected two numbers, the lower one first", "write [low, high]")
            return None
        return Scale((bounds[0],), (bounds[1] - bounds[0],))
    if mean is None and std is None:
        return None
    if mean is None or std is None or len(mean) != len(std) or not mean:
        section.report('"mean" and "std" need each other, with equally many numbers')
        return None
    if any(number <= 0 for number in std):
        section.report_at("std", "expected numbers above 0")
        return None
    return Scale(tuple(mean), tuple(std))


def _spread(section: Section, scale: Scale, width: int, channels: int) -> Scale:
    """A scale per channel becomes one per feature (channels are the innermost dimension)."""
    count = len(scale.center)
    if count == 1 or count == width or width == 0:
        return scale
    if count != channels:
        section.report_at("mean", f"{count} numbers for an input of {width} features", "give one, or one per feature")
        return scale
    return Scale(scale.center * (width // channels), scale.scale * (width // channels))


# --- rules and responses --------------------------------------------------------------------------------


def _override(section: Section) -> Override:
    rule = section.reference("rule")
    if rule is None:
        section.report('missing "rule"', "name a rule by its id or alias")
    exclude = section.section("exclude")
    timeframe = section.span("timeframe", 1, 30 * _DAY)
    if timeframe is not None and timeframe != int(timeframe):
        section.report_at("timeframe", "expected whole seconds")
    expires = section.time("expires")
    override = Override(
        rule=rule or section.named(""),
        mode=section.choice("mode", MODES[::-1], "") or None,
        level=section.choice("level", LEVELS, "") or None,
        timeframe=None if timeframe is None else int(timeframe),
        principals=tuple(exclude.texts("principals")),
        routes=tuple(exclude.texts("routes")),
        models=tuple(exclude.texts("models")),
        expires=expires,
    )
    if expires is not None and (override.level is not None or override.timeframe is not None):
        section.report_at("expires", '"level" and "timeframe" cannot expire', "use a second entry for them")
    if exclude and not (override.principals or override.routes or override.models):
        exclude.report("excludes nothing", "name principals, routes or models")
    exclude.close()
    section.close(unsupported=("enforce_share",))
    return override


def _response(section: Section) -> Response:
    name = section.named(section.required_text("name"))
    action, constraints = _answer(section, default=None)
    duration = _duration(section)
    if duration is not None and action not in ("CONSTRAIN", "BLOCK"):
        section.report_at("duration", f"{action} does not last", "use CONSTRAIN or BLOCK, or remove it")
    delay = _block_delay(section)
    if delay is not None and action != "BLOCK":
        section.report_at("block_delay", f"{action} is not delayed", "use BLOCK, or remove it")
    response = Response(name, _match(section.section("match")), action, constraints, duration, delay)
    section.close()
    return response


def _block_delay(section: Section) -> BlockDelay | None:
    if "block_delay" not in section:
        return None
    part = section.section("block_delay")
    p = (part.numbers("p") or [0.0])[0]
    if "p" not in part:
        part.report('missing "p"', "the chance that one query ends the delay, for example 0.125")
    elif not 0 < p <= 1:
        part.report_at("p", "expected the chance that one query ends the delay, above 0 and at most 1")
    longest = part.integer("max", 1, 4096) or 32
    meanwhile_part = part.section("meanwhile")
    meanwhile = _constraints(meanwhile_part)
    if not meanwhile_part:
        part.report('missing "meanwhile"', "what the caller gets until then, for example {scores: label_only}")
    part.close()
    return BlockDelay(p, longest, meanwhile)


def _match(section: Section) -> Match:
    match = Match(
        rule=tuple(section.references("rule")),
        level=tuple(section.choices("level", LEVELS, "level")),
        tag=tuple(section.references("tag")),
        models=tuple(section.texts("models")),
        routes=tuple(section.texts("routes")),
    )
    section.close(unsupported=("evidence",))
    return match


def _answer(section: Section, default: str | None) -> tuple[str, Constraints]:
    """Action and constraints, which need each other."""
    if default is None:
        action = section.required_choice("action", ACTIONS)
    else:
        action = section.choice("action", ACTIONS, default)
    part = section.section("constraints")
    constraints = _constraints(part)
    if action == "CONSTRAIN" and not part:
        section.report('CONSTRAIN without "constraints" changes nothing', "add them, or use LOG")
    if action != "CONSTRAIN" and part:
        section.report_at("constraints", f"{action} takes no constraints", "use CONSTRAIN or remove them")
    return action, constraints


def _constraints(section: Section) -> Constraints:
    delay = section.span("delay", 0.001, 60)
    constraints = Constraints(
        scores=_scores(section),
        drop_logprobs=section.flag("drop_logprobs"),
        max_tokens=section.integer("max_tokens", 1, 2**31 - 1),
        n=section.integer("n", 1, 2**31 - 1),
        rate=section.rate("rate"),
        delay=delay,
    )
    section.close(unsupported=("redact", "require_approval"))
    return constraints


def _scores(section: Section) -> Any:
    if not section.is_map("scores"):
        return section.choice("scores", ("label_only",), "") or None
    scores = section.section("scores")
    found = {"decimals": scores.integer("decimals", 0, 15), "top_k": scores.integer("top_k", 1, 2**31 - 1)}
    scores.close()
    given = {key: value for key, value in found.items() if value is not None}
    if len(given) > 1:
        scores.report('both "decimals" and "top_k"', "keep one; two responses that match at once apply both")
        return None
    return given or None


def _duration(section: Section) -> Duration | None:
    if not section.is_map("duration"):
        span = section.span("duration", 1, 90 * _DAY)
        return None if span is None else Duration(first=span, factor=1.0, max=span, forget=span)
    part = section.section("duration")
    if "first" not in part:
        part.report('missing "first"', "write for example {first: 1h, factor: 4, max: 7d, forget: 30d}")
    first = part.span("first", 1, 90 * _DAY) or 1.0
    factor = (part.numbers("factor") or [1.0])[0]
    longest = part.span("max", 1, 90 * _DAY)
    forget = part.span("forget", 1, 365 * _DAY)
    if not 1 <= factor <= 1000:
        part.report_at("factor", "expected a number from 1 to 1000")
    if longest is None and factor > 1:
        part.report('a "factor" above 1 needs "max"')
    if longest is not None and longest < first:
        part.report_at("max", '"max" is shorter than "first"')
    part.close()
    longest = longest or first
    return Duration(first, factor, longest, forget or longest)


# --- limits and exemptions ------------------------------------------------------------------------------


_SCOPES = ("principal", "session", "model")


def _limit(section: Section) -> Limit:
    name = section.named(section.required_text("name"))
    if section.text("unit") == "tokens":
        section.report_at("unit", 'unit "tokens" is not supported by this version', "use requests or rows")
        unit = "requests"
    else:
        unit = section.choice("unit", ("requests", "rows"), "requests")
    for key, example in (("max", "max: 120"), ("window", "window: 1m")):
        if key not in section:
            section.report(f'missing "{key}"', f"write for example {example}")
    per = section.choices("per", _SCOPES, "scope") or ["principal"]
    if len(set(per)) < len(per):
        section.report_at("per", "a scope is named twice")
    action, constraints = _answer(section, default="BLOCK")
    limit = Limit(
        name=name,
        per=tuple(scope for scope in _SCOPES if scope in per),
        models=tuple(section.texts("models")),
        unit=unit,
        max=section.integer("max", 1, 2**31 - 1) or 1,
        window=section.span("window", 1, 30 * _DAY) or 1.0,
        action=action,
        constraints=constraints,
        advertise=section.flag("advertise"),
    )
    if limit.advertise and not _is_plain_ascii(name.text):
        section.report_at("name", "the name of an advertised limit is sent in a header", "use plain ASCII")
    section.close()
    return limit


def _is_plain_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set(text) & set('"\\')


def _allow(section: Section) -> Allow:
    name = section.named(section.text("name") or section.text("reason") or section.path)
    if "expires" not in section:
        section.report('missing "expires"', "an allow entry must end, for example 2026-12-31T00:00:00Z")
    principals = section.references("principals")
    for reference in principals:
        if reference.text.startswith("key_alias:"):
            message = f'"{reference.text}": key aliases are not supported by this version'
            section.refuse(reference, message, "name the principal")
    allow = Allow(
        name=name,
        principals=tuple(reference.text for reference in principals),
        routes=tuple(section.texts("routes")),
        models=tuple(section.texts("models")),
        exempt=tuple(section.references("exempt")),
        expires=section.time("expires") or 0.0,
        reason=section.required_text("reason", "say why this caller may do what others may not"),
    )
    if not (principals or allow.routes or allow.models):
        section.report("would exempt every caller", "name principals, routes or models")
    if "exempt" not in section:
        section.report('missing "exempt"', 'name tags, rules or "limits"')
    section.close(unsupported=("templates",))
    return allow


# --- failure, log, privacy, state -----------------------------------------------------------------------


def _failure(section: Section) -> Failure:
    default = section.choice("default", _FAILURES, "fail_open", "failure mode")
    given = section.section("stages")
    stages = {stage: "fail_closed" if stage == "approval" else default for stage in STAGES}
    stages = {stage: given.choice(stage, _FAILURES, fallback, "failure mode") for stage, fallback in stages.items()}
    given.close()
    section.close(unsupported=("deadline",))
    return Failure(default, stages)


def _log_directory(section: Section) -> str | None:
    if section and "directory" not in section:
        section.report('missing "directory"', "name the directory of the decision log")
    directory = section.text("directory")
    section.close(unsupported=("checkpoint_every", "key_file", "origin"))
    return directory or None


def _privacy(section: Section) -> Privacy:
    principals = section.choice("principals", ("commitment", "plain"), "commitment", "kind")
    if principals == "plain":
        section.report_at("principals", 'principals "plain" is not supported by this version', "write commitment")
    privacy = Privacy(principals=principals, salt_file=section.reference("salt_file"))
    section.close(unsupported=("inputs", "text"))
    return privacy


def _state(section: Section) -> State:
    default = State()
    region = section.text("region") or None
    if region == "shm:" or (region or "").startswith("shm:/"):
        section.report_at("region", f'"{region}" names no shared memory', "write for example shm:atlascore")
    state = State(
        region=region,
        capacity=section.integer("capacity", 64, 2**30) or default.capacity,
        hot=section.integer("hot", 1, 2**32),
        models=section.integer("models", 1, 65536) or default.models,
        seed=section.integer("seed", 0, 2**64 - 1),
    )
    if state.hot is not None and state.hot > state.capacity:
        section.report_at("hot", '"hot" is larger than "capacity"')
    section.close()
    return state
