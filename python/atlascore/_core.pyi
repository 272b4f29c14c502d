"""The C++ core. Everything here is for the package itself; what users need is re-exported by atlascore."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

from atlascore.constraints import Constraints
from atlascore.events import Action

_KeyT = str | bytes | int

@final
class Decision:
    """The answer to one query, or, from record, to one response."""

    @property
    def action(self) -> Action:
        """What is in force: ALLOW < LOG < CONSTRAIN < BLOCK."""
    @property
    def would(self) -> Action:
        """The action that shadow rules would have given; equal to action otherwise."""
    @property
    def simulated(self) -> bool: ...
    @property
    def rules(self) -> tuple[str, ...]:
        """Ids of the matched rules."""
    @property
    def techniques(self) -> tuple[str, ...]:
        """ATLAS ids of the matched rules, sorted: ("AML.T0024.002",)."""
    @property
    def constraints(self) -> Constraints: ...
    @property
    def outcome(self) -> str:
        """ "decided" or "guard_error": no decision could be made, the policy's failure section answered."""
    @property
    def failure(self) -> str | None:
        """Of a guard error: "open" (ALLOW) or "closed" (BLOCK)."""
    @property
    def guard(self) -> dict[str, str] | None:
        """Of a guard error: its "stage" and "kind"."""
    @property
    def id(self) -> str:
        """Opaque, "dec_..."."""
    @property
    def sequence(self) -> int: ...
    @property
    def index(self) -> int | None:
        """Index in the log; waits up to 20 ms for the writer. None without a log."""
    @property
    def signals(self) -> dict[str, float]: ...
    @property
    def rows(self) -> int: ...
    @property
    def now(self) -> float: ...
    @property
    def retry_after(self) -> float:
        """Seconds until a refusal may end; 0 when unknown."""
    @property
    def redactions(self) -> tuple[tuple[int, int, str], ...]: ...
    def explain(self) -> dict[str, Any]: ...
    @property
    def _principal(self) -> str | bytes | None: ...
    @property
    def _fields(self) -> dict[str, Any] | None: ...
    @property
    def _route(self) -> Route: ...
    @property
    def _matched(self) -> tuple[int, ...]: ...
    @property
    def _step(self) -> tuple[str, int, int]: ...
    @property
    def _policy_id(self) -> int: ...
    @property
    def _phase(self) -> str: ...

@final
class Route:
    """One model, method and endpoint, with everything constant looked up. Made by Engine.route."""

    @property
    def model(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def endpoint(self) -> str: ...
    def decide(
        self,
        principal: str | bytes,
        x: Any = None,
        now: float | None = None,
        *,
        session: str = "",
        fields: Mapping[str, Any] | None = None,
        cost: float = 0.0,
    ) -> Decision: ...
    def decide_as(
        self,
        kind: int,
        principal: str | bytes,
        x: Any,
        now: float | None,
        session: str,
        fields: Mapping[str, Any] | None,
        cost: float,
        /,
    ) -> Decision: ...
    def guard_error(
        self,
        principal: str | bytes,
        stage: str,
        kind: str = "internal",
        *,
        closed: bool = False,
        session: str = "",
        fields: Mapping[str, Any] | None = None,
        now: float | None = None,
    ) -> Decision:
        """What a query gets on which no decision could be made: BLOCK when `closed`, else ALLOW. It is counted and
        logged as a guard error, and is no volume. stage: of the policy's failure section. kind: deadline, parse,
        region, log or internal. Raises ValueError or TypeError."""
    def record(
        self,
        decision: Decision,
        label: Any = None,
        scores: Any = None,
        text: str | None = None,
        cost: float | None = None,
        status: int = 200,
        now: float | None = None,
    ) -> Decision | None: ...

@final
class WindowTable:
    """Lock-free sliding-window counters; see atlascore.windows."""

    def __new__(cls, capacity: int, horizons: Sequence[float], state: str = "") -> WindowTable: ...
    def hit(self, key: _KeyT, now: float, n: int = 1, /) -> tuple[float, ...]: ...
    def read(self, key: _KeyT, now: float, /) -> tuple[float, ...]: ...
    def stats(self) -> dict[str, int]: ...
    def __len__(self) -> int: ...

class Program:
    def __init__(self, rules: Sequence[tuple[Any, ...]]) -> None: ...
    def __len__(self) -> int: ...
    def rules(self) -> list[dict[str, Any]]: ...
    def fields(self) -> list[str]: ...
    def signals(self, phase: str = "request") -> list[tuple[str, int, str]]: ...
    def bind(self, constants: Mapping[str, str]) -> Program: ...
    def dump(self) -> str: ...
    def evaluate(self, phase: str, fields: Mapping[str, Any], signals: Mapping[str, float] = ...) -> list[int]: ...
    def explain(self, rule: int, fields: Mapping[str, Any], signals: Mapping[str, float] = ...) -> dict[str, Any]: ...

class CompiledPolicy:
    def __init__(self, resolved: dict[str, Any], program: Program) -> None: ...
    @property
    def id(self) -> int: ...
    @property
    def horizons(self) -> list[float]: ...
    def watch(self) -> Callable[[], bool]: ...

class Engine:
    def __init__(
        self,
        policy: CompiledPolicy,
        capacity: int,
        hot: int,
        models: int,
        state: str,
        seed: int | None,
        log_directory: str,
        salt_file: str,
        version: str,
    ) -> None: ...
    def stats(self) -> dict[str, Any]: ...
    def signals(self, principal: str, model: str, now: float) -> dict[str, float] | None: ...
    def commitment(self, name: str) -> str: ...
    def reload(self, policy: CompiledPolicy) -> None: ...
    @property
    def horizons(self) -> list[float]: ...
    @property
    def instance(self) -> int: ...
    def flush(self) -> bool: ...
    def close(self) -> bool: ...

class Scanner:
    def __init__(self, engine: Engine, owner: object, files: Sequence[str]) -> None: ...
    def next(self, findings_only: bool) -> tuple[Any, ...] | bool | None: ...
    def take_bad(self) -> list[tuple[str, int, str]]: ...
    def counts(self) -> dict[str, int]: ...
    def unreadable(self) -> list[str]: ...

def json_numbers(json: bytes | str) -> npt.NDArray[np.float32] | None: ...
def new_route(
    engine: Engine,
    owner: object,
    model: str,
    method: str,
    endpoint: str,
    clock: Callable[[], float] | None,
    /,
) -> Route: ...
def use_types(
    actions: tuple[Action, ...],
    no_constraints: Constraints,
    to_float32: Callable[[Any], npt.NDArray[np.float32]],
    /,
) -> None: ...
def wall_seconds() -> float: ...
def unlink_state(name: str) -> bool: ...
def signal_catalogue() -> list[dict[str, Any]]: ...
def evidence_components() -> list[dict[str, Any]]: ...
def regex_problem(pattern: str, flags: str = "") -> str | None: ...
def minhash(text: str | bytes, bins: int = 64, words: bool = False, seed: int = 0) -> npt.NDArray[np.uint64]: ...
def jaccard(a: npt.ArrayLike, b: npt.ArrayLike) -> float: ...
def cosine(a: npt.ArrayLike, b: npt.ArrayLike) -> float: ...
def nearest(query: npt.ArrayLike, matrix: npt.ArrayLike) -> tuple[int, float]: ...
