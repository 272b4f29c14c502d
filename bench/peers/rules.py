"""The same rules for every engine, and one event to ask them about.

Rule i: ((count > 50 + i and rate > 5 + i / 10 and similarity > 0.85) or (count > 200 + 10 i and rate > 20 + i)), on
calls of `predict` to an endpoint with "model" in its name. Each `make_*` takes the rules and returns match(event),
which evaluates all of them and returns the positions of those that match.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Event = Mapping[str, Any]
Match = Callable[[Event], list[int]]

# A busy honest caller: the first test of the first rules holds, no rule does.
EVENT: dict[str, Any] = {
    "count": 120.0,
    "rate": 2.0,
    "similarity": 0.9,
    "method": "predict",
    "endpoint": "/v1/models/fraud-v3:predict",
}
# What matches every rule up to the 100th: a check that an engine was given the rules correctly.
FLOOD = EVENT | {"count": 5_000.0, "rate": 200.0}


@dataclass(frozen=True)
class VolumeRule:
    count: int
    rate: float
    high_count: int
    high_rate: int


def volume_rules(number: int) -> list[VolumeRule]:
    return [VolumeRule(50 + i, 5 + i / 10, 200 + 10 * i, 20 + i) for i in range(number)]


def _volume(rule: VolumeRule, *, conjunction: str = "&&", disjunction: str = "||") -> str:
    """The numeric part in the infix notation that most languages share; numbers are doubles."""
    return (
        f"((count > {rule.count}.0 {conjunction} rate > {float(rule.rate)} {conjunction} similarity > 0.85) "
        f"{disjunction} (count > {rule.high_count}.0 {conjunction} rate > {float(rule.high_rate)}))"
    )


def generated_python(rules: list[VolumeRule]) -> Match:
    """One function with every rule written out, what a careful team would generate."""
    lines = [
        "def match(event):",
        *(f"    {name} = event[{name!r}]" for name in EVENT),
        "    matched = []",
    ]
    for i, rule in enumerate(rules):
        volume = _volume(rule, conjunction="and", disjunction="or")
        lines.append(f"    if {volume} and method == 'predict' and 'model' in endpoint: matched.append({i})")
    lines.append("    return matched")
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)
    match: Match = names["match"]
    return match


def datalogic(rules: list[VolumeRule]) -> Match:
    import datalogic_py

    def test(name: str, bound: float) -> dict[str, Any]:
        return {">": [{"var": name}, bound]}

    engine = datalogic_py.Engine()
    compiled = [
        engine.compile(
            {
                "and": [
                    {
                        "or": [
                            {
                                "and": [
                                    test("count", rule.count),
                                    test("rate", rule.rate),
                                    test("similarity", 0.85),
                                ]
                            },
                            {"and": [test("count", rule.high_count), test("rate", rule.high_rate)]},
                        ]
                    },
                    {"==": [{"var": "method"}, "predict"]},
                    {"in": ["model", {"var": "endpoint"}]},
                ]
            }
        )
        for rule in rules
    ]

    def match(event: Event) -> list[int]:
        data = datalogic_py.DataHandle(json.dumps(event))
        return [i for i, rule in enumerate(compiled) if rule.evaluate_data(data)]

    return match


def _cel_source(rule: VolumeRule) -> str:
    return f'{_volume(rule)} && method == "predict" && endpoint.contains("model")'


def common_expression_language(rules: list[VolumeRule]) -> Match:
    import cel

    programs = [cel.compile(_cel_source(rule)) for rule in rules]

    def match(event: Event) -> list[int]:
        context = cel.Context(dict(event))
        return [i for i, program in enumerate(programs) if program.execute(context)]

    return match


def cel_expr_python(rules: list[VolumeRule]) -> Match:
    from cel_expr_python import cel

    numbers = dict.fromkeys(("count", "rate", "similarity"), cel.Type.DOUBLE)
    env = cel.NewEnv(variables=numbers | dict.fromkeys(("method", "endpoint"), cel.Type.STRING))
    programs = [env.compile(_cel_source(rule)) for rule in rules]

    def match(event: Event) -> list[int]:
        activation = env.Activation(dict(event))
        return [i for i, program in enumerate(programs) if program.eval(activation).value()]

    return match


def cel_python(rules: list[VolumeRule]) -> Match:
    import celpy.adapter

    env = celpy.Environment()
    programs = [env.program(env.compile(_cel_source(rule))) for rule in rules]

    def match(event: Event) -> list[int]:
        context: Any = celpy.adapter.json_to_cel(dict(event))
        return [i for i, program in enumerate(programs) if program.evaluate(context)]

    return match


def cedarpy(rules: list[VolumeRule]) -> Match:
    """Cedar has no floating point: numbers are scaled by 100."""
    import cedarpy as package

    def policy(i: int, rule: VolumeRule) -> str:
        low = (
            f"context.count > {rule.count * 100} && context.rate > {round(rule.rate * 100)} && context.similarity > 85"
        )
        high = f"context.count > {rule.high_count * 100} && context.rate > {rule.high_rate * 100}"
        return (
            f'@id("{i}") permit(principal, action == Action::"predict", resource) '
            f'when {{ (({low}) || ({high})) && context.endpoint like "*model*" }};'
        )

    policies = package.PolicySet.from_str("\n".join(policy(i, rule) for i, rule in enumerate(rules)))
    entities = package.Entities.from_json_str("[]")
    request = {"principal": 'User::"key-42"', "resource": 'Model::"fraud-v3"'}

    def match(event: Event) -> list[int]:
        context = {name: round(event[name] * 100) for name in ("count", "rate", "similarity")}
        answer = package.is_authorized(
            request
            | {
                "action": f'Action::"{event["method"]}"',
                "context": context | {"endpoint": event["endpoint"]},
            },
            policies,
            entities,
        )
        return [int(reason.removeprefix("policy")) for reason in answer.diagnostics.reasons]

    return match


def zen_engine(rules: list[VolumeRule]) -> Match:
    import zen

    compiled = [
        zen.compile_expression(
            _volume(rule, conjunction="and", disjunction="or")
            + ' and method == "predict" and contains(endpoint, "model")'
        )
        for rule in rules
    ]
    return lambda event: [i for i, expression in enumerate(compiled) if expression.evaluate(dict(event))]


GENERAL: dict[str, Callable[[list[VolumeRule]], Match]] = {
    "datalogic-py": datalogic,
    "common-expression-language": common_expression_language,
    "cel-expr-python": cel_expr_python,
    "cel-python": cel_python,
    "cedarpy": cedarpy,
    "zen-engine": zen_engine,
}
