"""Loading rules: what compat mode reads, what is reported and where, and what a rule set offers."""

from __future__ import annotations

import json
import tarfile
import time
from pathlib import Path

import pytest

from atlascore.errors import RuleError
from atlascore.sigma import BUILTIN, RuleSet, load_rules, load_text, read_paths, read_text

PUBLISHED = Path(__file__).parent.parent / "cases" / "published_rule.yml"
SIGMAHQ = Path(__file__).parents[2].parent / "shared" / "data" / "sigmahq-rules.tar.xz"
SHIPPED_ID = "c8db818d-22f3-5b98-a993-a66dd70b9079"
RULE = """\
title: Many queries
id: 74d40636-4f0e-4526-b948-c3dba5c31601
logsource: {category: api_activity}
detection:
    volume:
        api.request_count|gt: 500
    condition: volume
level: high
"""


def with_lines(**lines: str) -> str:
    """RULE with the line that begins with a key replaced, or a top-level line added."""
    out = RULE
    for key, line in lines.items():
        old = next((existing for existing in RULE.splitlines() if existing.strip().startswith(key)), None)
        out = out.replace(old, line) if old else out + line + "\n"
    return out


def problems(text: str, *, strict: bool = False) -> list[tuple[str, str, int, int]]:
    found = read_text(text, "r.yml", strict=strict).problems
    return [(problem.severity, problem.code, problem.line, problem.column) for problem in found]


# The published rule


def test_the_published_rule_loads_with_every_reading_reported():
    rules = load_rules([PUBLISHED])
    assert {(problem.code, problem.line, problem.column) for problem in rules.problems} == {
        ("id-not-uuid", 2, 5),
        ("quoted-comparison", 14, 24),
        ("quoted-comparison", 15, 23),
        ("quoted-comparison", 16, 33),
        ("comparison-list", 19, 7),
        ("dead-value", 20, 9),
        ("quoted-comparison", 21, 23),
        ("timeframe-in-detection", 22, 14),
        ("tag-form", 30, 5),
        ("tag-form", 31, 5),
    }
    assert {problem.severity for problem in rules.problems} == {"warning"}
    (rule,) = rules.rules
    assert rule.id == SHIPPED_ID
    assert rule.aliases == ("ai-model-extraction-detection",)
    assert (rule.window, rule.scope, rule.level) == (300, "track", "medium")
    assert rule.normalized_tags == ("atlas.aml.ta0000", "atlas.aml.ta0007")
    assert rule.techniques == ()


def test_a_message_shows_the_place_and_the_strict_form():
    problem = load_rules([PUBLISHED]).problems[1]
    message = "'>50' is text in Sigma and never equals a number, read as gt 50; write api.request_count|gt: 50"
    assert problem.render().splitlines() == [
        f"{PUBLISHED}:14:24: detection.filter_volume: {message} [warning quoted-comparison]",
        "        api.request_count: '>50'",
        "                           ^^^^^",
    ]


def test_the_published_rule_is_rejected_in_strict_mode():
    with pytest.raises(RuleError) as caught:
        load_rules([PUBLISHED], strict=True)
    error = caught.value
    assert (error.file, error.line, error.column) == (str(PUBLISHED), 2, 5)
    assert sum(problem.severity == "error" for problem in error.problems) == 7


def test_the_published_rule_means_the_same_as_the_shipped_one():
    published, shipped = load_rules([PUBLISHED]).program, load_rules(["builtin"])
    index = shipped.find(SHIPPED_ID)
    for method in ("predict", "train"):
        for endpoint in ("/v1/models/x", "/v1/x"):
            fields = {"api.method": method, "api.endpoint": endpoint}
            for count in (50, 51, 200, 201, 501):
                for rate in (5, 5.1, 20, 20.1):
                    for similarity in (0.85, 0.86, float("nan")):
                        signals = {
                            "api.request_count": count,
                            "api.request_rate": rate,
                            "api.input_similarity_score": similarity,
                        }
                        ours = index in shipped.program.evaluate("request", fields, signals)
                        assert ours == (published.evaluate("request", fields, signals) == [0])


# The shipped rules


def test_the_shipped_rules_load_strictly_without_a_lint():
    rules = load_rules(["builtin"], strict=True)
    assert rules.problems == ()
    assert {rule.level for rule in rules.rules} == {"low", "medium", "high", "critical"}
    assert all(rule.techniques for rule in rules.rules)
    assert all(rule.shipped and rule.falsepositives for rule in rules.rules)


def test_a_user_rule_replaces_the_shipped_one_with_its_id():
    rules = load_rules(["builtin", PUBLISHED])
    assert len(rules.rules) == len(list(BUILTIN.glob("*.yml")))
    assert [rule.shipped for rule in rules.rules if rule.id == SHIPPED_ID] == [False]
    assert "replaces-shipped" in {problem.code for problem in rules.problems}


# Lints and errors


@pytest.mark.parametrize(
    ("lines", "strict", "expected"),
    [
        ({}, True, []),
        ({"id": "id: my-rule"}, True, [("error", "id-not-uuid", 2, 5)]),
        ({"level": "level: hihg"}, False, [("error", "bad-value", 8, 8)]),
        ({"logsource": "", "title": ""}, False, [("warning", "incomplete", 2, 1)] * 2),
        ({"logsource": ""}, True, [("error", "incomplete", 1, 1)]),
        ({"logsource": "logsource: {product: ai_agent, service: any}"}, True, []),
        ({"logsource": "logsource: {product: windows}"}, True, [("warning", "no-source", 3, 22)]),
        ({"logsource": "logsource: {category: Api_Activity}"}, False, [("warning", "no-source", 3, 23)]),
        (
            {"logsource": "logsource: {category: llm, product: 5}"},
            False,
            [("warning", "no-source", 3, 23), ("warning", "no-source", 3, 37)],
        ),
        ({"api": "        x|re: '.{500}.{500}.{500}'"}, False, [("error", "bad-regex", 6, 15)]),
        ({"api": "        x|re: '.{1000,}'"}, True, []),
        ({"condition": f"    condition: {'volume or ' * 7000}volume"}, False, [("error", "condition", 7, 16)]),
        ({"detection": "detected:"}, False, [("error", "missing-key", 1, 1)]),
        ({"timeframe": "timeframe: 5 minutes"}, False, [("error", "timeframe", 9, 12)]),
        ({"timeframe": "timeframe: 0m"}, False, [("error", "timeframe", 9, 12)]),
        ({"group-by": "group-by: [api.session]"}, False, [("error", "group-by", 9, 11)]),
        ({"sigma-version": "sigma-version: 2.2"}, False, [("error", "sigma-version", 9, 16)]),
        ({"correlation": "correlation: {type: event_count}"}, False, [("error", "unsupported", 9, 14)]),
        ({"filter": "filter: {rules: any}"}, False, [("error", "unsupported", 9, 9)]),
        ({"action": "action: global"}, False, [("error", "unsupported", 9, 9)]),
        ({"level": "level: high\nlevel: low"}, False, [("error", "dup-key", 9, 1)]),
        ({"api": "        - keyword"}, False, [("error", "unsupported", 6, 9)]),
        ({"condition": "    condition: volume | count() > 5"}, False, [("error", "unsupported", 7, 23)]),
        ({"api": "        api.request_cuont|gt: 5"}, True, [("error", "unknown-field", 6, 31)]),
        ({"api": "        api.request_cuont|gt: 5"}, False, [("warning", "unknown-field", 6, 31)]),
        ({"api": "        response.pii|gt: 5"}, True, [("warning", "unknown-field", 6, 26)]),
        ({"api": "        api.request_count|contains: 5"}, False, [("error", "signal-type", 6, 37)]),
        ({"api": "        api.request_count: '50'"}, False, [("error", "signal-type", 6, 28)]),
        ({"api": "        api.request_count: true"}, False, [("error", "signal-type", 6, 28)]),
        ({"api": "        api.request_count|gt: '50'"}, False, [("warning", "operand-text", 6, 31)]),
        ({"api": "        api.request_count|gt: '50'"}, True, [("error", "operand-text", 6, 31)]),
        ({"api": "        api.request_count|gt: fifty"}, False, [("error", "operand-type", 6, 31)]),
        (
            {"api": "        api.request_count|gt: 99999999999999999999"},
            False,
            [("error", "operand-type", 6, 31)],
        ),
        ({"api": "        api.request_count|gt: 010"}, True, [("error", "yaml11-scalar", 6, 31)]),
        ({"api": "        x|exists: 'true'"}, False, [("warning", "operand-text", 6, 19)]),
        ({"api": "        x|exists: maybe"}, False, [("error", "operand-type", 6, 19)]),
        ({"api": "        x: on"}, True, [("error", "yaml11-scalar", 6, 12)]),
        ({"api": "        x|contains: 00000429"}, True, []),
        ({"api": "        x: '>50'"}, True, [("warning", "quoted-comparison", 6, 12)]),
        ({"api": "        x|all: a"}, False, [("warning", "all-single", 6, 9)]),
        ({"api": "        x: [a, [b]]"}, False, [("error", "nested-list", 6, 16)]),
        ({"api": "        x: {y: 1}"}, False, [("error", "bad-value", 6, 12)]),
        ({"api": "        x: [a, b, A]"}, True, [("warning", "dead-value", 6, 19)]),
        ({"api": "        x|contains: null"}, False, [("error", "operand-type", 6, 21)]),
    ],
)
def test_problems_have_a_code_and_a_position(lines, strict, expected):
    assert problems(with_lines(**lines), strict=strict) == expected


@pytest.mark.parametrize("product", ["", "llm_gateway", "machine_learning_platform", "Ai_Agent", "windows"])
@pytest.mark.parametrize("category", ["", "api_activity", "API_ACTIVITY", "process_creation"])
@pytest.mark.parametrize("service", ["", "nginx"])
def test_a_rule_that_no_event_is_for_is_reported(product, category, service):
    stated = {"product": product, "category": category, "service": service}
    text = with_lines(api="        a: 1", logsource=f"logsource: {json.dumps(stated)}")
    loaded = read_text(text, "r.yml")
    program = RuleSet.build(loaded.rules).program
    gateway = program.bind({"logsource.product": "llm_gateway", "logsource.category": "api_activity"})
    assert gateway.evaluate("request", {"a": 1}) == ([] if loaded.problems else [0])


def test_a_rule_that_no_event_is_for_is_told_what_to_write():
    (problem,) = read_text(with_lines(logsource="logsource: {category: Api_activity}"), "r.yml").problems
    assert str(problem).startswith(
        "r.yml:3:23: logsource.category: no event has the category 'Api_activity': this rule never matches; "
        "did you mean api_activity? [warning no-source]"
    )


def test_a_regex_that_is_too_large_says_how_large_it_is():
    (problem,) = read_text(with_lines(api="        x|re: '.{500}.{500}.{500}'"), "r.yml").problems
    assert problem.message.startswith("the regular expression needs 12")
    assert "more than 10000" in problem.message


@pytest.mark.parametrize("unit", ["(", "volume or ", "volume OR ", "not ", "1 of v* or ", " "])
def test_long_conditions_take_no_longer_than_they_are_long(unit):
    def seconds(length: int) -> float:
        """Of the processor, at best: what else the machine does is no part of it."""
        text = RULE.replace("condition: volume", f"condition: volume or {unit * (length // len(unit))}volume")
        taken = []
        for _ in range(3):
            begin = time.process_time()
            read_text(text, "r.yml")
            taken.append(time.process_time() - begin)
        return min(taken)

    seconds(1000)
    assert seconds(64_000) < 10 * max(0.05, seconds(16_000))


def test_deep_conditions_have_a_digest_at_once():
    condition = "s0"
    for i in range(50):
        condition = f"({condition} {'and' if i % 2 else 'or'} s{i + 1})"
    names = "".join(f"    s{i}: {{a{i}: 1}}\n" for i in range(51))
    text = RULE.replace("    volume:\n        api.request_count|gt: 500\n", names).replace(": volume", f": {condition}")
    begin = time.perf_counter()
    assert len(load_text(text).digest) == 64
    assert time.perf_counter() - begin < 5


def test_a_quoted_comparison_is_a_number_where_the_rule_has_a_timeframe():
    text = with_lines(api="        x: ['>=5', '!=7']", timeframe="timeframe: 5m")
    program = load_text(text).program
    assert program.evaluate("request", {"x": 5}) == [0]
    assert program.evaluate("request", {"x": 3}) == [0]
    literal = load_text(with_lines(api="        x: '>=5'")).program
    assert literal.evaluate("request", {"x": 5}) == []
    assert literal.evaluate("request", {"x": ">=5"}) == [0]


def test_an_error_rejects_its_rule_and_no_other():
    documents = [with_lines(id=f"id: 74d40636-4f0e-4526-b948-c3dba5c3160{i}") for i in range(3)]
    documents[1] = documents[1].replace("condition: volume", "condition: nothing")
    loaded = read_text("---\n".join(documents), "r.yml")
    assert [rule.id[-1] for rule in loaded.rules] == ["0", "2"]
    with pytest.raises(RuleError) as caught:
        load_text("---\n".join(documents))
    assert caught.value.line == 16


def test_ids_and_names_are_unique():
    assert [p[1] for p in problems(RULE + "---\n" + RULE)] == ["dup-id"]
    other = with_lines(id="id: 74d40636-4f0e-4526-b948-c3dba5c31602")
    assert [p[1] for p in problems(RULE + "name: n\n---\n" + other + "name: n\n")] == ["dup-id"]


def test_signals_are_read_at_the_scope_of_the_rule():
    principal = load_text(with_lines(group="group-by: [api.principal]"))
    assert principal.program.signals() == [("api.request_count", 300, "principal")]
    everything = load_text(with_lines(group="group-by: []", timeframe="timeframe: 1h"))
    assert everything.program.signals() == [("api.request_count", 3600, "global")]
    similarity = with_lines(api="        api.input_similarity_score|gt: 0.5", group="group-by: []")
    assert [p[:2] for p in problems(similarity)] == [("error", "signal-scope")]


# Tags


@pytest.mark.parametrize(
    ("written", "normalized", "compat", "strict"),
    [
        ("atlas.aml.t0024.002", "atlas.aml.t0024.002", None, None),
        ("atlas.aml.ta0010", "atlas.aml.ta0010", "info tag-tactic", "info tag-tactic"),
        ("atlas.AML.T0024.002", "atlas.aml.t0024.002", "warning tag-form", "error tag-form"),
        ("mitre_atlas.aml.t0024.002", "atlas.aml.t0024.002", "warning tag-form", "warning tag-form"),
        ("attack.atlas.aml.t0024", "atlas.aml.t0024", "warning tag-form", "error tag-form"),
        ("attack.atlas.t0086", "atlas.aml.t0086", "warning tag-form", "error tag-form"),
        ("atlas.t0086", "atlas.aml.t0086", "warning tag-form", "error tag-form"),
        ("atlas.aml-t0096", "atlas.aml.t0096", "warning tag-form", "error tag-form"),
        ("atlas-aml-t0086", "atlas.aml.t0086", "warning tag-form", "error tag-form"),
        ("mitre.atlas.AML.T0040", "atlas.aml.t0040", "warning tag-form", "error tag-form"),
        ("AML.T0016.000", "atlas.aml.t0016.000", "warning tag-form", "error tag-form"),
        ("mitre_atlas.model_access", "atlas.aml.ta0000", "warning tag-form", "warning tag-form"),
        ("atlas.defense_evasion", "atlas.aml.ta0007", "warning tag-form", "warning tag-form"),
        ("mitre_atlas.ai_attack_staging", "atlas.aml.ta0001", "warning tag-form", "warning tag-form"),
        ("atlas.training_data_poisoning", "atlas.aml.t0020", "warning tag-form", "warning tag-form"),
        ("atlas.aml.t0019", "atlas.aml.t0115.000", "warning tag-retired", "warning tag-retired"),
        ("atlas.aml.t0104", "atlas.aml.t0115.002", "warning tag-retired", "warning tag-retired"),
        ("atlas.aml.t9999", "atlas.aml.t9999", "warning tag-unknown", "warning tag-unknown"),
        ("attack.t1059", "attack.t1059", None, None),
        ("cve.2024-1234", "cve.2024-1234", None, None),
        ("Not A Tag", "Not A Tag", "warning tag-form", "error tag-form"),
    ],
)
def test_tags_are_read_as_the_table_of_spellings_says(written, normalized, compat, strict):
    text = with_lines(tags=f"tags: [{json.dumps(written)}]")
    loaded = read_text(text, "r.yml")
    assert loaded.rules[0].tags == (written,)
    assert loaded.rules[0].normalized_tags == (normalized,)
    for found, expected in ((loaded, compat), (read_text(text, "r.yml", strict=True), strict)):
        assert [f"{problem.severity} {problem.code}" for problem in found.problems] == ([expected] if expected else [])


def test_unknown_techniques_are_kept_as_tags_only():
    rule = load_text(with_lines(tags="tags: [atlas.aml.t9999, atlas.aml.t0024.002, atlas.aml.ta0010]")).rules[0]
    assert rule.techniques == ("AML.T0024.002",)


# Rule sets


def test_level_and_timeframe_can_be_overridden():
    rules = load_text(RULE).rules
    changed = RuleSet.build(rules, level={rules[0].id: "low"}, timeframe={rules[0].id: 60})
    assert changed.program.rules()[0]["level"] == "low"
    assert changed.program.signals() == [("api.request_count", 60, "track")]
    with pytest.raises(ValueError, match="no loaded rule"):
        RuleSet.build(rules, level={"nothing": "low"})
    with pytest.raises(ValueError, match="there is no level"):
        RuleSet.build(rules, level={rules[0].id: "lowest"})


def test_rules_are_found_by_id_written_id_and_name():
    rules = load_text(with_lines(id="id: My-Rule", name="name: mine"))
    assert rules.find("My-Rule") == rules.find("mine") == rules.find(rules.rules[0].id.upper()) == 0
    assert rules.find("other") is None


def test_more_than_eight_windows_are_an_error_that_lists_them():
    documents = [
        with_lines(id=f"id: 74d40636-4f0e-4526-b948-c3dba5c3160{i}", timeframe=f"timeframe: {i + 1}m") for i in range(9)
    ]
    assert len(load_text("---\n".join(documents[:8])).rules) == 8
    with pytest.raises(RuleError, match=r"60 s, 120 s, .* 540 s") as caught:
        load_text("---\n".join(documents))
    assert caught.value.line == 8 * 10 + 9
    assert caught.value.problems[0].code == "too-many-windows"


def test_the_digest_says_what_rules_mean_and_not_how_they_are_written():
    one = load_text(RULE)
    again = load_text(RULE.replace("volume", "traffic") + "description: other words\n")
    assert one.digest == again.digest and len(one.digest) == 64
    assert one.digest != load_text(RULE.replace("500", "501")).digest
    other = RULE.replace("31601", "31602")
    assert load_text(RULE + "---\n" + other).digest == load_text(other + "---\n" + RULE).digest


def test_directories_are_searched(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yaml").write_text(RULE)
    (tmp_path / "b.yml").write_text(RULE.replace("31601", "31602"))
    (tmp_path / "notes.txt").write_text("no rule")
    assert len(load_rules([tmp_path]).rules) == 2
    with pytest.raises(OSError):
        load_rules([tmp_path / "missing.yml"])


def test_explanations_name_what_each_leaf_saw():
    rules = load_rules(["builtin"])
    index = rules.find(SHIPPED_ID)
    fields = {"api.method": "predict", "api.endpoint": "/v1/models/x"}
    tree = rules.program.explain(index, fields, {"api.request_count": 61, "api.request_rate": 6.1})
    leaves = []

    def walk(node):
        for child in node.get("and", []) + node.get("or", []) + node.get("not", []):
            walk(child)
        if "operator" in node:
            leaves.append((node.get("field") or node["signal"], node["operand"], node["value"], node["result"]))

    walk(tree)
    assert tree["result"] is False
    assert ("api.method", "predict", "predict", True) in leaves
    assert ("api.request_count", 200, 61, False) in leaves
    assert ("api.request_rate", 20, 6.1, None) in leaves
    assert ("api.input_similarity_score", 0.85, None, False) in leaves
    assert ("api.endpoint", "model", "/v1/models/x", None) in leaves


def test_a_bound_program_reads_no_constant_field():
    rules = load_rules(["builtin"])
    constants = {"api.method": "predict", "api.endpoint": "/v1/models/x", "api.model": "x"}
    bound = rules.program.bind({**constants, "logsource.product": "llm_gateway", "logsource.category": "api_activity"})
    # What a rule reads itself, and what a signal that it reads is computed from.
    assert bound.fields() == ["calibrated", "cluster_keys", "logprobs", "top_logprobs", "logit_bias_ids"]
    assert len(bound) == len(rules.program)
    assert bound.signals() == rules.program.signals()
    windows = rules.program.bind({"logsource.product": "windows"})
    assert windows.signals() == [] and windows.dump() == ""


# The SigmaHQ rule set


@pytest.mark.skipif(not SIGMAHQ.exists(), reason="the SigmaHQ rule set is not beside the repository")
def test_sigmahq_loads_strictly_but_for_features_of_later_versions(tmp_path):
    with tarfile.open(SIGMAHQ) as archive:
        archive.extractall(tmp_path, filter="data")
    loaded = read_paths([tmp_path], strict=True)
    assert len(loaded.rules) == 3524
    assert {problem.code for problem in loaded.problems} == {"unsupported", "no-source"}
    loaded.problems = [problem for problem in loaded.problems if problem.code == "unsupported"]
    rejected = {problem.file for problem in loaded.problems}
    assert len(loaded.rules) + len(rejected) == 3780
    features = {problem.message.partition(" is not supported")[0] for problem in loaded.problems}
    assert features == {
        "keyword search",
        *(f"modifier {name!r}" for name in ("base64", "base64offset", "cidr", "expand", "fieldref")),
        *(f"modifier {name!r}" for name in ("wide", "windash")),
    }
    assert len(RuleSet.build(loaded.rules).program) == 3524
