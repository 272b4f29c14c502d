"""The policy file: what it means, what is wrong with it and where."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlascore.errors import PolicyError
from atlascore.policy import Policy

EXTRACTION = "c8db818d-22f3-5b98-a993-a66dd70b9079"
VOLUME = "6c1f2b1e-0a53-4a1c-9f0e-6a6a3f0f4b11"
LATER = "2099-01-01T00:00:00Z"

RULES = f"""\
title: Potential Model Extraction
id: {EXTRACTION}
name: extraction
logsource: {{category: api_activity, product: machine_learning_platform}}
detection:
    sel:
        api.request_count|gt: 50
    condition: sel
level: medium
tags: [atlas.aml.t0024.002]
---
title: Very High Query Volume
id: {VOLUME}
logsource: {{category: api_activity, product: machine_learning_platform}}
detection:
    sel:
        api.request_count|gt: 500
    condition: sel
level: high
tags: [atlas.aml.t0034.000]
"""


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "volume.yml").write_text(RULES)
    return tmp_path


def load(directory: Path, text: str) -> Policy:
    if "rules:" not in text:
        text += "\nrules: {paths: [rules/*.yml]}"
    return Policy.from_text("version: 1\n" + text, "policy.yml", directory)


def resolved(directory: Path, text: str):
    return load(directory, text).resolved()


def complaints(directory: Path, text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load(directory, text)
    return str(caught.value).splitlines()


# --- loading ------------------------------------------------------------------------------------------


def test_the_shipped_policy_watches_all_and_acts_on_evidence():
    policy = Policy.default()
    data = policy.resolved()
    assert policy.mode == data["mode"] == "shadow"
    watch, *act = data["responses"]
    assert watch["action"] == "LOG" and watch["rules"] == list(range(len(data["rules"])))
    rules = policy.rules.rules
    titles = {response["action"]: set() for response in act}
    for response in act:
        titles[response["action"]] |= {rules[i].title for i in response["rules"]}
    assert titles == {
        "CONSTRAIN": {
            "Decision Boundary Attack",
            "Coordinate Probing",
            "Search Around an Input",
            "Score Hill Climbing",
            "Inputs Outside the Data",
            "Logprob Harvest",
            "Cost Harvesting",
            "Widespread Attribute Inference",
            "Widespread Distillation Campaign",
            "Extraction Budget 50 %",
        },
        "BLOCK": {"Confirmed Decision Boundary Attack", "Confirmed Logprob Harvest", "Extraction Budget 100 %"},
    }
    # No refusal of a single query tells how near is too near.
    assert all(response["block_delay"] for response in act if response["action"] == "BLOCK")
    assert {rule["mode"] for rule in data["rules"]} == {"shadow"}
    assert data["log"] is None
    assert data["limits"] == data["allow"] == data["models"] == []
    assert policy.problems == ()


def test_the_mode_of_the_shipped_policy_can_be_chosen():
    assert Policy.default(mode="enforce").mode == "enforce"
    assert {rule["mode"] for rule in Policy.default(mode="enforce").resolved()["rules"]} == {"enforce"}
    assert Policy.default("enforce").hash != Policy.default("shadow").hash
    with pytest.raises(ValueError, match="'on'"):
        Policy.default("on")


def test_a_policy_file_is_loaded_with_paths_relative_to_it(directory):
    file = directory / "policy.yml"
    file.write_text("version: 1\nrules: {paths: ['rules/*.yml']}\nlog: {directory: log}\nstate: {region: state}\n")
    policy = Policy.load(file)
    assert policy.source == str(file)
    assert policy.resolved()["log"] == {"directory": str(directory / "log")}
    assert policy.resolved()["state"]["region"] == str(directory / "state")
    assert len(policy.resolved()["rules"]) == 2


def test_a_directory_of_rules_may_be_named(directory):
    assert len(resolved(directory, "rules: {paths: rules}")["rules"]) == 2
    assert len(resolved(directory, f"rules: {{paths: [rules, {directory}/rules/v*.yml]}}")["rules"]) == 2


def test_defaults(directory):
    policy = load(directory, "name: n")
    data = policy.resolved()
    assert (data["name"], data["mode"], data["unknown_model"]) == ("n", "shadow", "ALLOW")
    assert policy.principal.sources == ("header.authorization", "header.x-api-key")
    assert policy.principal.anonymous == "address"
    assert data["privacy"] == {"principals": "commitment", "salt_file": None}
    assert data["state"] == {"region": None, "capacity": 1_000_000, "hot": None, "models": 64, "seed": None}
    assert data["failure"]["default"] == "fail_open"
    assert {s for s, how in data["failure"]["stages"].items() if how == "fail_closed"} == {"approval"}


def test_the_documented_example_loads(directory):
    text = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    policy = Policy.from_text(example.replace("builtin, ", ""), "policy.md", directory)
    assert [response["rules"] for response in policy.resolved()["responses"]] == [[0], [0, 1]]


# --- what YAML 1.1 would get wrong ---------------------------------------------------------------------


def test_mode_off_is_a_word(directory):
    assert load(directory, "mode: off").mode == "off"


def test_numbers_and_times_follow_yaml_1_2(directory):
    data = resolved(directory, "limits: [{name: 1:30, max: 010, window: 90s}]")
    assert data["limits"][0]["name"] == "1:30"
    assert data["limits"][0]["max"] == 10
    text = "allow: [{principals: a, exempt: limits, reason: r, expires: 2099-01-01T00:00:00Z}]"
    assert resolved(directory, text)["allow"][0]["expires"] == 4070908800.0


def test_equal_keys_are_an_error(directory):
    assert complaints(directory, "mode: off\nmode: enforce") == [
        "policy.yml:3:1: key 'mode' is already given on line 2; keep one of them [error dup-key]"
    ]


# --- modes and overrides -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ceiling", "own", "effective"),
    [
        ("enforce", "enforce", "enforce"),
        ("enforce", "shadow", "shadow"),
        ("enforce", "off", "off"),
        ("shadow", "enforce", "shadow"),
        ("shadow", "off", "off"),
        ("off", "enforce", "off"),
    ],
)
def test_the_weaker_mode_counts(directory, ceiling, own, effective):
    text = f"mode: {ceiling}\nrules: {{paths: rules, overrides: [{{rule: extraction, mode: {own}}}]}}"
    data = resolved(directory, text)
    assert [rule["mode"] for rule in data["rules"]] == [effective, ceiling]


def test_an_overridden_level_selects_the_response(directory):
    text = f"""
rules: {{paths: rules, overrides: [{{rule: {VOLUME}, level: critical, timeframe: 10m}}]}}
responses:
  - {{name: high, match: {{level: [high, medium]}}, action: LOG}}
  - {{name: critical, match: {{level: critical}}, action: BLOCK}}
"""
    data = resolved(directory, text)
    assert [response["rules"] for response in data["responses"]] == [[0], [1]]
    assert data["rules"][1]["level"] == "critical"


def test_an_override_may_exclude_until_it_expires(directory):
    text = (
        "rules: {paths: rules, overrides: [{rule: extraction, expires: '2099-01-01T01:00:00+01:00',"
        " exclude: {principals: [batch-*], routes: /v1/*}}]}"
    )
    rule = resolved(directory, text)["rules"][0]
    assert rule["exclude"] == {"principals": ["batch-*"], "routes": ["/v1/*"], "models": []}
    assert rule["expires"] == 4070908800.0


# --- responses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "rules"),
    [
        ("{}", [0, 1]),
        ("{tag: atlas.aml.t0024}", [0]),
        ("{tag: atlas.aml.t0024.002}", [0]),
        ("{tag: ATLAS.AML.T0034}", [1]),
        ("{tag: AML.T0034.000}", [1]),
        ("{tag: [atlas.aml.t0024, atlas.aml.t0034]}", [0, 1]),
        ("{tag: atlas.aml.t00}", []),
        ("{tag: atlas.aml.t0024.0}", []),
        ("{level: [medium, high]}", [0, 1]),
        ("{level: high, tag: atlas.aml.t0024}", []),
        ("{rule: extraction}", [0]),
        (f"{{rule: [{VOLUME}, extraction]}}", [0, 1]),
        (f"{{rule: {VOLUME}, level: medium}}", []),
    ],
)
def test_keys_of_a_match_are_anded_and_values_ored(directory, match, rules):
    policy = load(directory, f"responses: [{{name: r, match: {match}, action: LOG}}]")
    assert policy.resolved()["responses"][0]["rules"] == rules
    assert [problem.code for problem in policy.problems] == ([] if rules else ["unreachable-response"])


def test_a_block_delay_has_constraints_meanwhile(directory):
    delay = "block_delay: {p: 0.125, max: 20, meanwhile: {scores: label_only, drop_logprobs: true}}"
    response = resolved(directory, f"responses: [{{name: r, action: BLOCK, {delay}}}]\n")["responses"][0]
    assert response["block_delay"] == {"p": 0.125, "max": 20}
    assert response["constraints"] == {"scores": {"label_only": True}, "drop_logprobs": True}


@pytest.mark.parametrize(
    ("delay", "complaint"),
    [
        ("{p: 0.125}", 'missing "meanwhile"'),
        ("{p: 0, meanwhile: {scores: label_only}}", "above 0 and at most 1"),
        ("{meanwhile: {scores: label_only}}", 'missing "p"'),
        ("{p: 2, meanwhile: {scores: label_only}}", "above 0 and at most 1"),
        ("{p: 1, max: 0, meanwhile: {scores: label_only}}", "max"),
        ("{p: 1, meanwhile: {scores: nothing}}", "scores"),
        ("{p: 1, meanwhile: {scores: label_only}, q: 1}", '"q"'),
    ],
)
def test_a_wrong_block_delay(directory, delay, complaint):
    (said,) = complaints(directory, f"responses: [{{name: r, action: BLOCK, block_delay: {delay}}}]\n")
    assert complaint in said


def test_only_a_block_is_delayed(directory):
    delay = "block_delay: {p: 1, meanwhile: {scores: label_only}}"
    (said,) = complaints(directory, f"responses: [{{name: r, action: LOG, {delay}}}]\n")
    assert "LOG is not delayed" in said


def test_a_response_carries_its_place_and_constraints(directory):
    text = """
responses:
  - {name: probing, match: {models: fraud-*, routes: [/v1/*, /v2/*]}, action: CONSTRAIN, duration: 90s,
     constraints: {scores: {decimals: 1}, drop_logprobs: true, max_tokens: 64, n: 1, rate: 30/m,
                   delay: 250ms}}
"""
    response = resolved(directory, text)["responses"][0]
    assert response == {
        "name": "probing",
        "rules": [0, 1],
        "models": ["fraud-*"],
        "routes": ["/v1/*", "/v2/*"],
        "action": "CONSTRAIN",
        "constraints": {
            "scores": {"decimals": 1},
            "drop_logprobs": True,
            "max_tokens": 64,
            "n": 1,
            "rate": 0.5,
            "delay": 0.25,
        },
        "block_delay": None,
        "duration": {"first": 90.0, "factor": 1.0, "max": 90.0, "forget": 90.0},
        "file": "policy.yml",
        "line": 4,
    }


@pytest.mark.parametrize(
    ("scores", "expected"),
    [("label_only", {"label_only": True}), ("{top_k: 3}", {"top_k": 3}), ("{decimals: 0}", {"decimals": 0})],
)
def test_score_constraints_are_normalised(directory, scores, expected):
    text = f"responses: [{{name: r, action: CONSTRAIN, constraints: {{scores: {scores}}}}}]"
    assert resolved(directory, text)["responses"][0]["constraints"] == {"scores": expected}


def test_a_duration_may_escalate(directory):
    text = "responses: [{name: r, action: BLOCK, duration: {first: 1h, factor: 4, max: 7d, forget: 30d}}]"
    duration = resolved(directory, text)["responses"][0]["duration"]
    assert duration == {"first": 3600.0, "factor": 4.0, "max": 604800.0, "forget": 2592000.0}


# --- limits, exemptions, models ------------------------------------------------------------------------


def test_a_limit_with_everything(directory):
    text = (
        "limits: [{name: day, per: [model, principal], models: fraud-v3, unit: rows, max: 20000, window: 24h,"
        " advertise: true, action: CONSTRAIN, constraints: {n: 1}}]"
    )
    assert resolved(directory, text)["limits"] == [
        {
            "name": "day",
            "per": ["principal", "model"],
            "models": ["fraud-v3"],
            "unit": "rows",
            "max": 20000,
            "window": 86400.0,
            "action": "CONSTRAIN",
            "constraints": {"n": 1},
            "advertise": True,
        }
    ]


def test_an_exemption_resolves_tags_and_rules(directory):
    text = (
        "allow: [{name: nightly, principals: retrain-*, models: [m], exempt: [atlas.aml.t0024, limits,"
        f" {VOLUME}], expires: '2099-01-01T00:00:00Z', reason: rescoring}}]"
    )
    assert resolved(directory, text)["allow"] == [
        {
            "name": "nightly",
            "principals": ["retrain-*"],
            "routes": [],
            "models": ["m"],
            "exempt_limits": True,
            "exempt_rules": [0, 1],
            "expires": 4070908800.0,
            "reason": "rescoring",
        }
    ]


def test_what_has_expired_or_exempts_nothing_is_a_warning(directory):
    text = (
        "allow: [{principals: a, exempt: atlas.aml.t0099, expires: '2020-01-01T00:00:00Z', reason: r}]\n"
        "rules: {paths: rules, overrides: [{rule: extraction, mode: off, expires: '2020-01-01T00:00:00Z'}]}"
    )
    assert [str(problem) for problem in load(directory, text).problems] == [
        "policy.yml:2:9: allow[0]: expired at 2020-01-01T00:00:00Z; remove it [warning expired]",
        'policy.yml:2:33: allow[0].exempt: no loaded rule has tag "atlas.aml.t0099"; check the tag '
        "[warning unreachable-exemption]",
        "policy.yml:3:42: rules.overrides[0].rule: expired at 2020-01-01T00:00:00Z; remove it [warning expired]",
    ]


def test_models_keep_their_order_and_get_a_scale(directory):
    text = """
models:
  digits: {kind: classifier, classes: 10,
           input: {modality: image, shape: [28, 28, 1], range: [0, 1], grid: 255}}
  photos: {input: {modality: image, shape: [2, 1, 3], mean: [1, 2, 3], std: [4, 5, 6]}}
  fraud-*: {kind: classifier, classes: [legit, fraud],
            input: {modality: row, features: {amount: {range: [10, 50], decimals: 2},
                                              country: {categories: 249}}}}
  "*": {kind: llm, input: {modality: text}}
"""
    digits, photos, fraud, rest = resolved(directory, text)["models"]
    assert [model["pattern"] for model in (digits, photos, fraud, rest)] == [
        "digits",
        "photos",
        "fraud-*",
        "*",
    ]
    assert (digits["classes"], digits["labels"], digits["shape"]) == (10, None, [28, 28, 1])
    assert (digits["center"], digits["scale"]) == ([0.0], [1.0])
    assert (digits["grid_origins"], digits["grid_steps"]) == ([0.0], [1 / 255])
    assert photos["grid_steps"] == rest["grid_steps"] == [0.0]
    assert photos["center"] == [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]
    assert photos["scale"] == [4.0, 5.0, 6.0, 4.0, 5.0, 6.0]
    assert (fraud["classes"], fraud["labels"], fraud["modality"]) == (2, ["legit", "fraud"], "row")
    amount, country = fraud["features"]
    assert (amount["kind"], amount["center"], amount["scale"]) == ("numeric", 10.0, 40.0)
    assert (fraud["grid_origins"], fraud["grid_steps"]) == ([0.0, 0.0], [0.01, 0.0])
    assert (country["kind"], country["categories"], country["scale"]) == ("categorical", 249, None)
    assert (rest["kind"], rest["modality"]) == ("llm", "text")


FORM = "features: {age: {range: [0, 99]}, plan: {categories: 3}, state: {categories: 9}}"


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        (f"{FORM}, sensitive: [state, age]", [0, 2]),
        (f"{FORM}, sensitive: plan", [1]),
        (f"{FORM}, sensitive: [2, state]", [2]),
        ("modality: row, sensitive: [511]", [511]),
        (FORM, []),
    ],
)
def test_sensitive_columns_are_named_or_numbered(directory, given, columns):
    (model,) = resolved(directory, f"models: {{m: {{input: {{{given}}}}}}}")["models"]
    assert model["sensitive"] == columns


@pytest.mark.parametrize(
    ("given", "queries"),
    [
        ("extraction_budget: 20000", 20_000),
        ("extraction_budget: {queries: 20000}", 20_000),
        ("extraction_budget: {queries: auto, family: trees, trees: 300, leaves: 31, depth: 6}", 55_800),
        ("extraction_budget: {queries: auto, family: net, parameters: 4000}", 40_000),
        ("extraction_budget: {queries: auto, family: linear}, input: {modality: image, shape: [40, 40]}", 1_601),
        ("extraction_budget: {queries: auto, family: softmax}, classes: 10, input: {shape: [200]}", 2_010),
        ("kind: other", None),
    ],
)
def test_the_extraction_budget_is_declared_or_estimated(directory, given, queries):
    policy = load(directory, f"models: {{m: {{{given}}}}}")
    assert policy.resolved()["models"][0]["extraction_budget"] == queries
    assert policy.problems == ()


def test_a_model_that_no_monitoring_can_protect_is_a_warning(directory):
    policy = load(
        directory, f"models: {{m: {{extraction_budget: {{queries: auto, family: linear}}, input: {{{FORM}}}}}}}"
    )
    assert policy.resolved()["models"][0]["extraction_budget"] == 4
    (warning,) = policy.problems
    assert (warning.severity, warning.code, warning.line, warning.column) == ("warning", "unprotectable-model", 2, 33)
    assert "models.m.extraction_budget: 4 queries make a copy of this model" in str(warning)


# --- errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mode: enforced", 'mode: unknown mode "enforced"; did you mean "enforce"?'),
        ("mode:", "mode: expected one value, found nothing"),
        ("nam: x", 'unknown key "nam"; did you mean "name"?'),
        ("models: 5", "models: expected a mapping, found a single value"),
        (
            "models: {a: {input: {modality: vector, grid: 255}}}",
            'models.a.input.grid: a grid divides a range, and there is no "range"; declare range: [low, high]',
        ),
        (
            "models: {a: {input: {modality: vector, range: [0, 1], grid: 255, decimals: 2}}}",
            'models.a.input.decimals: both "grid" and "decimals"; keep one of them',
        ),
        ("principal: {from: cookie.a}", 'principal.from: "cookie.a" is not a source; use header.NAME'),
        ("principal: {from: body}", 'principal.from: "body" is not a source'),
        ("principal: {address: {header: x-real-ip}}", '"header" needs "trusted_proxies"'),
        (
            "principal: {address: {header: x, trusted_proxies: 10.0.0.1/8}}",
            "principal.address.trusted_proxies: 10.0.0.1/8 has host bits set",
        ),
        ("models: {m: {classes: 0}}", "models.m.classes: expected an integer from 1 to"),
        ("models: {m: {classes: [a, a]}}", "models.m.classes: two classes have the same name"),
        ("models: {m: {input: {sensitive: [age]}}}", "models.m.input.sensitive: only rows have columns"),
        ("models: {m: {input: {modality: vector, sensitive: 1}}}", "only rows have columns"),
        (
            f"models: {{m: {{input: {{{FORM}, sensitive: [age, plam]}}}}}}",
            'models.m.input.sensitive[1]: "plam" is no column; did you mean "plan"?',
        ),
        (f"models: {{m: {{input: {{{FORM}, sensitive: [3]}}}}}}", "name a feature, or its number from 0 to 2"),
        ("models: {m: {input: {modality: row, sensitive: [512]}}}", '"512" is no column'),
        ("models: {m: {extraction_budget: 0}}", "models.m.extraction_budget: expected an integer from 1"),
        ("models: {m: {extraction_budget: {family: net}}}", 'missing "queries"'),
        ("models: {m: {extraction_budget: {queries: auto}}}", 'missing "family"'),
        ("models: {m: {extraction_budget: {queries: auto, family: tree}}}", 'did you mean "trees"?'),
        ("models: {m: {extraction_budget: {queries: auto, family: trees, trees: 3}}}", 'missing "leaves"'),
        ("models: {m: {extraction_budget: {queries: auto, family: linear}}}", "the number of features is not known"),
        (
            "models: {m: {extraction_budget: {queries: auto, family: softmax}, input: {shape: [3]}}}",
            "the number of classes is not known",
        ),
        ("models: {m: {extraction_budget: {queries: 5000, family: net}}}", 'unknown key "family"'),
        ("models: {m: {input: {modality: rows}}}", 'unknown modality "rows"; did you mean "row"?'),
        ("models: {m: {input: {range: [1, 0]}}}", "models.m.input.range: expected two numbers"),
        ("models: {m: {input: {mean: 1}}}", '"mean" and "std" need each other'),
        ("models: {m: {input: {mean: 1, std: 0}}}", "models.m.input.std: expected numbers above 0"),
        ("models: {m: {input: {mean: .nan, std: 1}}}", 'expected a finite number, found ".nan"'),
        ("models: {m: {input: {modality: text, grid: 5}}}", "an input of modality text has no grid"),
        ("models: {m: {input: {modality: vector, shape: [2]}}}", "an input of modality vector has no shape"),
        ("models: {m: {input: {modality: image, shape: [0, 2]}}}", "expected 1 to 3 positive integers"),
        ("models: {m: {input: {modality: text, features: {a: {}}}}}", '"features" describe rows'),
        ("models: {m: {input: {features: {a: {categories: 3, range: [0, 1]}}}}}", "has no scale"),
        ("rules: {paths: builtn}", 'no file matches "builtn"; did you mean "builtin"?'),
        ("rules: {paths: rules, overrides: [{mode: off}]}", 'rules.overrides[0]: missing "rule"'),
        ("rules: {paths: rules, overrides: [{rule: extracton}]}", 'did you mean "extraction"?'),
        (
            f"rules: {{paths: rules, overrides: [{{rule: extraction, mode: off}}, {{rule: {EXTRACTION}}}]}}",
            "rules.overrides[1].rule: this rule is already overridden",
        ),
        (
            "rules: {paths: rules, overrides: [{rule: extraction, timeframe: 90}]}",
            '"90" is not a span of time; write a number and a unit',
        ),
        (
            f"rules: {{paths: rules, overrides: [{{rule: extraction, level: low, expires: {LATER}}}]}}",
            '"level" and "timeframe" cannot expire',
        ),
        ("responses: [{name: r, action: BLOK}]", 'responses[0].action: unknown action "BLOK"; did you mean'),
        ("responses: [{name: r}]", 'responses[0]: missing "action"; use ALLOW or LOG'),
        ("responses: [{action: LOG}]", 'responses[0]: missing "name"'),
        (
            f"responses: [{', '.join(f'{{name: r{i}, action: LOG}}' for i in range(65))}]",
            "responses: more than 64 responses; join some",
        ),
        ("responses: [{name: r, action: LOG}, {name: r, action: LOG}]", 'name "r" is already used'),
        ("responses: [{name: r, action: CONSTRAIN}]", 'CONSTRAIN without "constraints" changes nothing'),
        ("responses: [{name: r, action: LOG, constraints: {n: 1}}]", "LOG takes no constraints"),
        ("responses: [{name: r, action: LOG, duration: 1h}]", "responses[0].duration: LOG does not last"),
        ("responses: [{name: r, action: BLOCK, duration: {factor: 2}}]", 'missing "first"'),
        ("responses: [{name: r, action: BLOCK, duration: {first: 1h, factor: 2}}]", 'needs "max"'),
        ("responses: [{name: r, action: BLOCK, duration: {first: 1h, max: 1m}}]", 'shorter than "first"'),
        (
            "responses: [{name: r, action: CONSTRAIN, constraints: {scores: labels}}]",
            'responses[0].constraints.scores: unknown scores "labels"; did you mean "label_only"?',
        ),
        (
            "responses: [{name: r, action: CONSTRAIN, constraints: {scores: {decimals: 1, top_k: 1}}}]",
            'both "decimals" and "top_k"',
        ),
        ("responses: [{name: r, action: CONSTRAIN, constraints: {rate: 0/s}}]", '"0/s" is not a rate'),
        (
            "responses: [{name: r, action: CONSTRAIN, constraints: {delay: 1h}}]",
            "1h is out of range; use 1ms to 1m",
        ),
        (
            "responses: [{name: r, action: LOG, match: {rule: Very High Query Volume}}]",
            f'unknown rule "Very High Query Volume"; name it by its id, {VOLUME}',
        ),
        ("responses: [{name: r, action: LOG, match: {level: []}}]", "match.level: names nothing"),
        ("limits: [{name: a, max: 1}]", 'limits[0]: missing "window"; write for example window: 1m'),
        ("limits: [{name: a, max: 1, window: 1m, per: [principle]}]", 'did you mean "principal"?'),
        ('limits: [{name: "a\\"b", max: 1, window: 1m, advertise: true}]', "use plain ASCII"),
        (
            "allow: [{principals: a, exempt: limits, reason: r}]",
            'allow[0]: missing "expires"; an allow entry must end, for example 2026-12-31T00:00:00Z',
        ),
        (
            "allow: [{principals: a, exempt: limits, reason: r, expires: 2099-01-01T00:00:00}]",
            "has no time zone; write 2099-01-01T00:00:00Z for UTC",
        ),
        (
            "allow: [{principals: a, exempt: limits, reason: r, expires: 2099-02-30T00:00:00Z}]",
            "is not a time: day",
        ),
        ("allow: [{principals: a, exempt: limits, expires: 2099-01-01T00:00:00Z}]", 'missing "reason"'),
        ("allow: [{exempt: limits, reason: r, expires: 2099-01-01T00:00:00Z}]", "would exempt every caller"),
        (
            "allow: [{principals: a, exempt: limit, reason: r, expires: 2099-01-01T00:00:00Z}]",
            '"limit" is not known; did you mean "limits"?',
        ),
        ("failure: {default: open}", 'unknown failure mode "open"; did you mean "fail_open"?'),
        ("failure: {stages: {events: fail_open}}", 'unknown key "events"; did you mean "event"?'),
        ("log: {}", 'log: missing "directory"'),
        ("privacy: {salt_file: none.key}", 'privacy.salt_file: cannot read "none.key"'),
        ("state: {capacity: 10M}", 'state.capacity: expected an integer from 64 to 1073741824, found "10M"'),
        ("state: {region: 'shm:'}", "names no shared memory"),
        ("state: {capacity: 64, hot: 65}", '"hot" is larger than "capacity"'),
    ],
)
def test_an_error_has_a_place_and_a_way_out(directory, text, complaint):
    found = complaints(directory, text)
    assert any(complaint in line for line in found), found
    assert all(re.match(r"policy\.yml:\d+:\d+: ", line) for line in found)


@pytest.mark.parametrize(
    "text",
    [
        "approvals: {}",
        "http: {}",
        "prompts: {}",
        "observability: {}",
        "principal: {key_alias: [scope.a]}",
        "principal: {cluster_keys: [scope.a]}",
        "models: {m: {input: {roles: [user]}}}",
        "rules: {paths: rules, placeholders: {}}",
        "rules: {paths: rules, overrides: [{rule: extraction, enforce_share: 0.1}]}",
        "responses: [{name: r, action: BLOCK, match: {evidence: {total: 3}}}]",
        "responses: [{name: r, action: CONSTRAIN, constraints: {redact: [pii]}}]",
        "responses: [{name: r, action: CONSTRAIN, constraints: {require_approval: true}}]",
        "limits: [{name: l, unit: tokens, max: 1, window: 1m}]",
        f"allow: [{{principals: a, exempt: limits, reason: r, expires: {LATER}, templates: [x]}}]",
        f"allow: [{{principals: 'key_alias:a', exempt: limits, reason: r, expires: {LATER}}}]",
        "failure: {deadline: 2ms}",
        "log: {directory: log, key_file: k}",
        "privacy: {text: none}",
        "privacy: {principals: plain}",
    ],
)
def test_what_this_version_does_not_do_is_refused_not_ignored(directory, text):
    (complaint,) = complaints(directory, text)
    assert "not supported by this version" in complaint


def test_all_errors_come_at_once_in_order(directory):
    text = """\
mode: on
responses:
  - {name: a, action: BLOK}
allow:
  - {principals: a, exempt: limits, reason: r}
"""
    assert complaints(directory, text) == [
        'policy.yml:2:7: mode: unknown mode "on"; use enforce or shadow or off',
        'policy.yml:4:23: responses[0].action: unknown action "BLOK"; did you mean "BLOCK"?',
        'policy.yml:6:5: allow[0]: missing "expires"; an allow entry must end, for example 2026-12-31T00:00:00Z',
    ]


def test_errors_of_rules_stand_beside_those_of_the_policy(directory):
    (directory / "rules" / "broken.yml").write_text("title: [\n")
    with pytest.raises(PolicyError) as caught:
        load(directory, "mode: on")
    files = {Path(problem.file).name for problem in caught.value.problems}
    assert files == {"policy.yml", "broken.yml"}


def test_the_error_points_at_its_first_problem(directory):
    with pytest.raises(PolicyError) as caught:
        load(directory, "name: x\nmode: on")
    assert (caught.value.file, caught.value.line, caught.value.column) == ("policy.yml", 3, 7)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected one YAML document, found 0"),
        ("version: 1\n---\nversion: 1", "expected one YAML document, found 2"),
        ("mode: shadow", 'missing "version"; write version: 1'),
        ("version: 2", "version: version 2 is not known; write version: 1"),
        ("[]", "expected a mapping, found a list"),
        (b"version: 1\nname: \xff", "not valid UTF-8"),
        ("version: {", "policy.yml:2:1: did not find expected node content"),
    ],
)
def test_what_is_no_policy_at_all(text, complaint):
    with pytest.raises(PolicyError, match=re.escape(complaint)):
        Policy.from_text(text, "policy.yml")


def test_a_salt_has_32_bytes(directory):
    (directory / "salt.key").write_bytes(b"short")
    assert "holds 5 bytes, 32 are needed" in complaints(directory, "privacy: {salt_file: salt.key}")[0]
    (directory / "salt.key").write_bytes(bytes(32))
    data = resolved(directory, "privacy: {salt_file: salt.key}")
    assert data["privacy"] == {"principals": "commitment", "salt_file": str(directory / "salt.key")}


FULL = """\
version: 1
mode: enforce
principal: {from: [scope.user.id, header.x], address: {header: x, trusted_proxies: [10.0.0.0/8]}}
models: {digits: {classes: 10, input: {modality: image, shape: [28, 28, 1], range: [0, 1], grid: 255}}}
rules: {paths: [builtin]}
responses:
  - {name: a, match: {level: [low, high]}, action: CONSTRAIN, duration: {first: 1h, factor: 4, max: 7d},
     constraints: {scores: {decimals: 1}, rate: 2/s, delay: 250ms}}
limits: [{name: minute, per: [principal, model], max: 120, window: 1m, advertise: true}]
allow: [{principals: [a], exempt: [limits], expires: "2099-12-31T00:00:00Z", reason: b}]
failure: {default: fail_open, stages: {response: fail_closed}}
state: {region: "shm:a", capacity: 1000}
"""


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_policy_is_refused_with_a_position_or_loaded(data):
    text = FULL
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 8)))
        text = text[:start] + data.draw(st.text("{}[]:,-0159 .\n\"'abs*&!#é\x00", max_size=4)) + text[stop:]
    try:
        Policy.from_text(text, "policy.yml", base="nowhere")
    except PolicyError as error:
        assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)


# --- hash ----------------------------------------------------------------------------------------------


def test_the_hash_depends_on_what_is_said_not_how(directory):
    one = load(directory, "mode: enforce\nlimits: [{name: a, max: 5, window: 60s}]")
    two = load(directory, "# words\nlimits:\n  - window: 1m\n    max: 5\n    name: a\nmode: 'enforce'")
    assert re.fullmatch("[0-9a-f]{64}", one.hash)
    assert one.hash == two.hash == one.resolved()["hash"]
    assert one.hash != load(directory, "mode: enforce\nlimits: [{name: a, max: 6, window: 60s}]").hash
    (directory / "rules" / "volume.yml").write_text(RULES.replace("500", "501"))
    assert one.hash != load(directory, "mode: enforce\nlimits: [{name: a, max: 5, window: 60s}]").hash


def test_resolved_data_is_a_copy(directory):
    policy = load(directory, "name: x")
    policy.resolved()["rules"].clear()
    assert len(policy.resolved()["rules"]) == 2


# --- templates and probes --------------------------------------------------------------------------------


def test_templates_that_many_may_share(directory):
    data = resolved(directory, "models: {m: {templates: {allow: [one, two]}}, n: {templates: {allow: three}}, o: {}}")
    assert [model["templates"] for model in data["models"]] == [["one", "two"], ["three"], []]
    assert load(directory, "models: {m: {}}").hash != load(directory, "models: {m: {templates: {allow: x}}}").hash


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("models: {m: {templates: {}}}", "2:25: models.m.templates", 'missing "allow"'),
        ("models: {m: {templates: {allow: []}}}", "2:33: models.m.templates.allow", "names nothing"),
        ("models: {m: {templates: {alow: x}}}", "2:26: models.m.templates", 'unknown key "alow"'),
        ("probes: {paths: [builtin, nothing/*.yml]}", "2:27: probes.paths[1]", 'no file matches "nothing/*.yml"'),
        ("probes: {path: builtin}", "2:10: probes", 'unknown key "path"'),
    ],
)
def test_mistakes_in_templates_and_probes(directory, text, place, problem):
    assert any(line.startswith(f"policy.yml:{place}: {problem}") for line in complaints(directory, text))


def test_probes_of_the_operator(directory):
    (directory / "probes").mkdir()
    (directory / "probes" / "own.yml").write_text("family: ours\nprompts:\n  - How is it?\n  - Who is it?\n")
    shipped = resolved(directory, "name: n")["probes"]
    families = {probe["family"] for probe in shipped}
    assert families == set(range(5)) and len(shipped) >= 40
    data = resolved(directory, "probes: {paths: [builtin, probes]}")["probes"]
    assert data == [*shipped, {"family": 5, "text": "How is it?"}, {"family": 5, "text": "Who is it?"}]
    assert resolved(directory, "probes: {paths: probes}")["probes"] == [{**probe, "family": 0} for probe in data[-2:]]
    own, both = (load(directory, f"probes: {{paths: [{paths}]}}") for paths in ("probes", "builtin, probes"))
    assert own.hash != both.hash


def test_mistakes_in_files_of_probes(directory):
    file = directory / "p.yml"
    file.write_text("prompts: [a, B  c, b C]\nextra: 1\n")
    assert complaints(directory, "probes: {paths: p.yml}") == [
        f'{file}:1:1: missing "family"; a name for the prompts that one kind of tool sends',
        f"{file}:1:20: prompts[2]: the prompt is already in {file}:1; remove it",
        f'{file}:2:1: unknown key "extra"; known are "family", "prompts"',
    ]
