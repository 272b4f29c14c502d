"""Why a decision was made: `Decision.explain()` (the parts that need neither log nor evidence)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from atlascore._policy.globs import matches
from atlascore.atlas import techniques
from atlascore.events import Action

if TYPE_CHECKING:
    from atlascore._compiled import Compiled
    from atlascore._core import Decision
    from atlascore.engine import Engine

__all__ = ["explain"]

_NEXT_BELOW = {"gt": lambda x: x, "gte": lambda x: x - max(1e-9, abs(x) * 1e-9)}
_NEXT_ABOVE = {"lt": lambda x: x, "lte": lambda x: x + max(1e-9, abs(x) * 1e-9)}
_COMPLEMENT = {"gt": "<=", "gte": "<", "lt": ">=", "lte": ">"}


def explain(engine: Engine, compiled: Compiled, decision: Decision) -> dict[str, Any]:
    """The explanation as plain data: head, policy step, rules with every leaf, signals, counterfactual."""
    route = decision._route
    fields = _fields(decision)
    rules = [_rule(compiled, decision, index, fields) for index in decision._matched]
    policy = compiled.policy
    return {
        "id": decision.id,
        "sequence": decision.sequence,
        "time": decision.now,
        "phase": decision._phase,
        "action": decision.action.name,
        "would": decision.would.name,
        "simulated": decision.simulated,
        "outcome": decision.outcome,
        "failure": decision.failure,
        "guard": decision.guard,
        "principal": engine.commitment(fields["api.principal"]),
        "model": route.model,
        "method": route.method,
        "endpoint": route.endpoint,
        "rows": decision.rows,
        "policy": {"name": policy.name, "hash": policy.hash, "mode": policy.mode, "file": policy.source},
        "step": _step(compiled, decision),
        "rules": rules,
        "signals": decision.signals,
        "evidence_off": decision._evidence_off,
        "constraints": decision.constraints.to_dict(),
        "counterfactual": _counterfactual(compiled, decision, fields),
    }


def _fields(decision: Decision) -> dict[str, Any]:
    route = decision._route
    fields: dict[str, Any] = dict(_flat(decision._fields or {}))
    principal = decision._principal
    fields["api.principal"] = principal.decode("utf-8", "replace") if isinstance(principal, bytes) else principal or ""
    fields |= {"api.model": route.model, "api.method": route.method, "api.endpoint": route.endpoint}
    fields["api.rows"] = decision.rows
    return fields


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _signals(decision: Decision, window: int, changed: Mapping[str, float] | None = None) -> dict[str, float]:
    """The values that a rule with this window read, by the bare name of the signal."""
    values: dict[str, float] = {}
    for name, value in decision.signals.items():
        bare, _, at = name.partition("@")
        if not at or int(at) == window:
            values[bare] = value
    return values | dict(changed or {})


def _rule(compiled: Compiled, decision: Decision, index: int, fields: dict[str, Any]) -> dict[str, Any]:
    info = compiled.policy.rules.program.rules()[index]
    catalogue = techniques()
    return {
        "id": info["id"],
        "title": info["title"],
        "level": info["level"],
        "mode": compiled.resolved["rules"][index]["mode"],
        "action": _rule_action(compiled, decision, index).name,
        "techniques": [
            {"id": id, "name": catalogue[id].name if id in catalogue else None} for id in info["techniques"]
        ],
        "file": info["file"],
        "line": info["line"],
        "window": info["window"],
        "scope": info["scope"],
        "condition": compiled.policy.rules.program.explain(index, fields, _signals(decision, info["window"])),
    }


def _step(compiled: Compiled, decision: Decision) -> dict[str, Any]:
    """Which of the policy's steps decided, and its entry."""
    name, index, allowed_by = decision._step
    step: dict[str, Any] = {"name": name or "default"}
    entries = {"response": "responses", "standing": "responses", "limit": "limits", "allow": "allow"}.get(name)
    if entries is not None and index < len(compiled.resolved[entries]):
        entry = compiled.resolved[entries][index]
        step["entry"] = entry["name"]
        if "file" in entry:
            step |= {"file": entry["file"], "line": entry["line"]}
    if allowed_by >= 0:
        step["allowed_by"] = compiled.resolved["allow"][allowed_by]["name"]
    return step


def _rule_action(compiled: Compiled, decision: Decision, index: int) -> Action:
    """The highest action among the responses to the rule on this route."""
    route = decision._route
    actions = [
        Action[response["action"]]
        for response in compiled.resolved["responses"]
        if index in response["rules"]
        and _any_glob(response["models"], route.model)
        and _any_glob(response["routes"], route.endpoint)
    ]
    return max(actions, default=Action.ALLOW)


def _any_glob(globs: list[str], text: str) -> bool:
    return not globs or any(matches(glob, text) for glob in globs)


def _counterfactual(compiled: Compiled, decision: Decision, fields: dict[str, Any]) -> str | None:
    """The smallest change of one signal that lowers the action that the rules gave."""
    program = compiled.policy.rules.program
    infos = program.rules()
    actions = {index: _rule_action(compiled, decision, index) for index in decision._matched}
    highest = max(actions.values(), default=Action.ALLOW)
    if highest == Action.ALLOW:
        return None

    def action_with(changed: dict[str, float]) -> Action:
        still = (
            action
            for index, action in actions.items()
            if program.explain(index, fields, _signals(decision, infos[index]["window"], changed))["result"]
        )
        return max(still, default=Action.ALLOW)

    best: tuple[float, str] | None = None
    for index, action in actions.items():
        if action != highest:
            continue
        window = infos[index]["window"]
        for leaf in _leaves(program.explain(index, fields, _signals(decision, window))):
            operator, operand = leaf["operator"], leaf["operand"]
            if "signal" not in leaf or not leaf["result"] or operator not in _COMPLEMENT:
                continue
            crossed = (_NEXT_BELOW | _NEXT_ABOVE)[operator](float(operand))
            lowered = action_with({leaf["signal"]: crossed})
            if lowered < highest:
                distance = abs(leaf["value"] - crossed) / max(1.0, abs(crossed))
                text = f"{lowered.name} if {leaf['signal']} {_COMPLEMENT[operator]} {operand:g}; was {leaf['value']:g}"
                best = min(best or (distance, text), (distance, text))
    if best is not None:
        return best[1]
    ids = ", ".join(infos[index]["id"] for index, action in actions.items() if action == highest)
    return f"lower without the rules {ids}"


def _leaves(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    children = tree.get("and") or tree.get("or") or tree.get("not")
    if children is None:
        yield tree
        return
    for child in children:
        yield from _leaves(child)
