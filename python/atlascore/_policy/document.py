"""What a policy file says, as plain immutable data: defaults filled in, spans of time in seconds.

The policy hash is taken over exactly this (and the rules): two files that say the same have the same hash. A
Reference keeps its place for messages, but counts as its text. An empty tuple of globs matches everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from atlascore._policy.section import Reference
from atlascore.constraints import Constraints

__all__ = [
    "ACTIONS",
    "LEVELS",
    "MODES",
    "STAGES",
    "Address",
    "Allow",
    "BlockDelay",
    "Document",
    "Duration",
    "Failure",
    "Feature",
    "Input",
    "Limit",
    "Match",
    "Model",
    "Override",
    "Principal",
    "Privacy",
    "Response",
    "Scale",
    "State",
]

ACTIONS = ("ALLOW", "LOG", "CONSTRAIN", "BLOCK")
LEVELS = ("informational", "low", "medium", "high", "critical")
MODES = ("off", "shadow", "enforce")  # weakest first
STAGES = (
    "event",
    "track",
    "signal",
    "evidence",
    "rule",
    "policy",
    "decision",
    "log",
    "response",
    "approval",
)


@dataclass(frozen=True)
class Address:
    """The caller's address: the right-most untrusted entry of a header that a trusted proxy sent."""

    header: str | None = None
    trusted_proxies: tuple[str, ...] = ()  # networks in CIDR notation


@dataclass(frozen=True)
class Principal:
    """Who asks: the first source that gives a value. A source is "header.NAME", "scope.PATH", "jwt.CLAIM",
    "body.PATH" or "address"."""

    sources: tuple[str, ...] = ("header.authorization", "header.x-api-key")
    session: tuple[str, ...] = ()
    address: Address = Address()
    anonymous: str = "address"  # address | shared | refuse


@dataclass(frozen=True)
class Scale:
    """z = (x - center) / scale, per feature; one element stands for every feature."""

    center: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True)
class Feature:
    """One column of a row."""

    name: str
    categories: int | None = None  # given for a categorical column
    scale: Scale | None = None
    grid: int | None = None
    decimals: int | None = None


@dataclass(frozen=True)
class Input:
    modality: str | None = None  # text | vector | image | tensor | row | digest
    shape: tuple[int, int, int] | None = None  # height, width, channels
    scale: Scale | None = None
    grid: int | None = None  # equal steps in the declared range: 255 for 8-bit images
    decimals: int | None = None
    categories: int | None = None
    features: tuple[Feature, ...] | None = None
    sensitive: tuple[int, ...] = ()  # columns of a row


@dataclass(frozen=True)
class Model:
    pattern: str
    kind: str = "other"
    classes: int | None = None
    labels: tuple[str, ...] | None = None
    input: Input = Input()
    extraction_budget: int | None = None  # queries that a clone takes
    templates: tuple[str, ...] = ()  # prompts whose templates many callers may share
    baseline: Reference | None = None  # file of what honest callers do


@dataclass(frozen=True)
class Override:
    """Changes of one rule. `mode` and the exclusion end at `expires`."""

    rule: Reference
    mode: str | None = None
    level: str | None = None
    timeframe: int | None = None  # seconds
    principals: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    expires: float | None = None


@dataclass(frozen=True)
class Match:
    """Which matched rules a response answers: the keys are ANDed, the values of one key ORed."""

    rule: tuple[Reference, ...] = ()
    level: tuple[str, ...] = ()
    tag: tuple[Reference, ...] = ()
    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Duration:
    """The n-th standing decision in a row lasts first * factor^(n-1), at most `max`; a pause of `forget` ends
    the row. All in seconds."""

    first: float
    factor: float
    max: float
    forget: float


@dataclass(frozen=True)
class BlockDelay:
    """BLOCK begins a geometrically distributed number of further queries later; the caller cannot tell why."""

    p: float
    max: int
    meanwhile: Constraints


@dataclass(frozen=True)
class Response:
    name: Reference
    match: Match
    action: str
    constraints: Constraints
    duration: Duration | None
    block_delay: BlockDelay | None


@dataclass(frozen=True)
class Limit:
    name: Reference
    per: tuple[str, ...]
    models: tuple[str, ...]
    unit: str
    max: int
    window: float
    action: str
    constraints: Constraints
    advertise: bool


@dataclass(frozen=True)
class Allow:
    name: Reference
    principals: tuple[str, ...]
    routes: tuple[str, ...]
    models: tuple[str, ...]
    exempt: tuple[Reference, ...]  # tags, rules, "limits"
    expires: float
    reason: str


@dataclass(frozen=True)
class Failure:
    """What a query gets when a stage fails: fail_open (ALLOW) or fail_closed (BLOCK)."""

    default: str = "fail_open"
    stages: dict[str, str] = field(default_factory=dict)  # every stage of STAGES


@dataclass(frozen=True)
class Privacy:
    principals: str = "commitment"  # commitment | plain
    salt_file: Reference | None = None


@dataclass(frozen=True)
class State:
    region: str | None = None  # "shm:NAME" or a path; None is anonymous memory
    capacity: int = 1_000_000
    hot: int | None = None  # None: capacity / 50
    models: int = 64
    seed: int | None = None


@dataclass(frozen=True)
class Document:
    name: str
    mode: str
    principal: Principal
    models: tuple[Model, ...]
    unknown_model: str
    rule_paths: tuple[Reference, ...]
    overrides: tuple[Override, ...]
    responses: tuple[Response, ...]
    limits: tuple[Limit, ...]
    allow: tuple[Allow, ...]
    failure: Failure
    log_directory: str | None
    privacy: Privacy
    state: State
    probe_paths: tuple[Reference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Nested plain data with every field of every part, constraints in the words of the policy file."""
        plain = _plain(self)
        assert isinstance(plain, dict)
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Reference):
        return value.text
    if isinstance(value, Constraints):
        return value.to_dict()
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
