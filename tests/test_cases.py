"""Every behaviour case of tests/cases holds, and the runner sees what does not."""

from pathlib import Path

import pytest

from atlascore import cases

DIRECTORY = Path(__file__).parent / "cases"

SMALL = """\
name: small
policy: {mode: enforce, limits: [{name: minute, max: 2, window: 1m}]}
events:
  - principal: key-1
    model: m
    repeat: 4
    every: 1
    expect: EXPECT
"""


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.yaml")), ids=lambda path: path.stem)
def test_case(path):
    problems = cases.run(cases.load(path))
    assert not problems, "\n" + "\n".join(map(str, problems))


def case(tmp_path: Path, text: str) -> cases.Case:
    path = tmp_path / "case.yaml"
    path.write_text(text)
    return cases.load(path)


def messages(tmp_path: Path, expect: str) -> list[str]:
    return [str(problem) for problem in cases.run(case(tmp_path, SMALL.replace("EXPECT", expect)))]


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ("{action: ALLOW}", "expect.action: query 3 has BLOCK, expected ALLOW; 1 more of 4 differ"),
        ("{queries: 4, action: [ALLOW, LOG]}", "expect.action: query 4 has BLOCK, expected ALLOW or LOG"),
        (
            "{queries: 1-2, would: BLOCK}",
            "expect.would: query 1 has ALLOW, expected BLOCK; 1 more of 2 differ",
        ),
        ("{queries: last, action: ALLOW}", "expect.action: query 4 has BLOCK, expected ALLOW"),
        ("{queries: 3-, simulated: true}", "query 3 has False, expected True; 1 more of 2 differ"),
        ("{queries: 1, rules: [a]}", "expect.rules: query 1 has [], expected ['a']"),
        ("{queries: 1, rules_contain: a}", "query 1 has [], expected a"),
        ("{queries: 1, techniques: [AML.T0024]}", "query 1 has [], expected ['AML.T0024']"),
        ("{queries: 1, constraints: {n: 1}}", "query 1 has {}, expected {'n': 1}"),
        ("{queries: 1, step: limit}", "query 1 has {'name': 'default'}, expected {'name': 'limit'}"),
        (
            "{queries: 3, step: {entry: hour}}",
            "has {'name': 'limit', 'entry': 'minute'}, expected {'entry': 'hour'}",
        ),
        ("{queries: 1, retry_after: [1, 2]}", "query 1 has 0.0, expected 1 to 2"),
        ("{queries: 1, signals: {api.cost: [1, 2]}}", "query 1 has None, expected 1 to 2"),
        ("{never: CONSTRAIN}", "query 3 has BLOCK, expected less than CONSTRAIN; 1 more of 4 differ"),
        ("{first_at: {BLOCK: 2}}", "the first query with BLOCK or more is 3, expected 2"),
        ("{queries: 1-2, first_at: {BLOCK: 2}}", "the first query with BLOCK or more is None, expected 2"),
        ("{count: {ALLOW: 1, BLOCK: 2}}", "expect.count: 2 ALLOW, expected 1"),
        ("{queries: 3-9, action: BLOCK}", "there are only 4 queries"),
    ],
)
def test_mismatches_are_named(tmp_path, expect, message):
    found = messages(tmp_path, expect)
    assert len(found) == 1
    assert found[0].startswith(f"{tmp_path / 'case.yaml'}:8:")
    assert message in found[0]


def test_several_mismatches_are_all_named(tmp_path):
    found = messages(
        tmp_path, "[{action: LOG, simulated: true}, {queries: 2, would: BLOCK}, {queries: 3, action: BLOCK}]"
    )
    assert [problem.split(": ")[1] for problem in found] == [
        "events[0].expect[0].action",
        "events[0].expect[0].simulated",
        "events[0].expect[1].would",
    ]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("name: [", ":2:1:", "did not find expected node content"),
        ("{}", ":1:1:", 'missing "name"'),
        ("{name: a, policy: default}", ":1:1:", "a case needs at least one query"),
        ("{name: a, events: [{principal: p, model: m}]}", ":1:1:", "policy: expected a mapping"),
        (
            "name: a\npolicy: nowhere.yml\nevents: [{principal: p, model: m}]",
            ":2:9:",
            "cannot read the policy",
        ),
        ("name: a\npolicy: default\nevents: [{principal: p}]", ":3:10:", 'missing "model"'),
        (
            "name: a\npolicy: default\nevents: [{principal: p, model: m, txt: a}]",
            ":3:35:",
            'did you mean "text"?',
        ),
        ("name: a\npolicy: default\nevent: []", ":3:1:", 'unknown key "event"'),
        ("name: a\nmode: of\npolicy: default", ":2:7:", 'unknown mode "of"; did you mean "off"?'),
        (SMALL.replace("EXPECT", "{action: BLOK}"), ":8:22:", 'unknown action "BLOK"; did you mean "BLOCK"?'),
        (SMALL.replace("EXPECT", "{acton: BLOCK}"), ":8:14:", 'did you mean "action"?'),
        (SMALL.replace("EXPECT", "{queries: 1}"), ":8:13:", "expects nothing"),
        (
            SMALL.replace("EXPECT", "{queries: 2..3, action: LOG}"),
            ":8:23:",
            'expected 5, 51-200, 51- or last, found "2..3"',
        ),
        (SMALL.replace("EXPECT", "{retry_after: 3}"), ":8:27:", "expected [lowest, highest]"),
        (SMALL.replace("every: 1", "every: -1"), ":7:12:", "expected one number from 0"),
        (
            SMALL.replace("every: 1", "text: hello\n    answer: {linear: 1}"),
            ":4:5:",
            "a made-up classifier answers numbers only",
        ),
        (
            SMALL.replace("every: 1", "vector: {generate: bisect}"),
            ":7:24:",
            'unknown generator "bisect"',
        ),
        (SMALL.replace("every: 1", "vector: [1, 2]\n    answer: {lable: 1}"), ":8:14:", 'did you mean "label"?'),
        (
            SMALL.replace("every: 1", "answer: {cost: [0, 5]}"),
            ":7:20:",
            "expected a number, or [lowest, highest] above 0",
        ),
        (SMALL.replace("every: 1", "at: noon"), ":7:9:", "expected seconds after the start, or a time"),
        (SMALL.replace("every: 1", "text: a\n    vector: [1]"), ":4:5:", "a query has one input"),
        (SMALL.replace("every: 1", "text: {generate: random}"), ":7:22:", 'unknown generator "random"'),
        (SMALL.replace("enforce", "enforced"), ":2:9:", 'policy.mode: unknown mode "enforced"'),
        (
            SMALL + "rules: |\n  title: a\n  detection:\n      s: {a|contans: 1}\n      condition: s",
            ":12:",
            "contans",
        ),
    ],
)
def test_what_is_wrong_with_a_case_is_said_with_its_place(tmp_path, text, place, message):
    with pytest.raises(cases.CaseError) as caught:
        case(tmp_path, text.replace("EXPECT", "{action: ALLOW}"))
    assert any(f"case.yaml{place}" in line and message in line for line in str(caught.value).splitlines()), str(
        caught.value
    )


def test_what_the_engine_refuses_is_a_problem_of_the_event(tmp_path):
    text = SMALL.replace("every: 1", "vector: [.nan]").replace("EXPECT", "{action: ALLOW}")
    (problem,) = cases.run(case(tmp_path, text))
    assert "case.yaml:4:5: events[0]: query 1: the input has values that are NaN or infinite" in str(problem)


def test_policy_and_rules_in_files(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "any.yml").write_text(
        "title: any\nid: 0b6f4a52-7f0e-4d1c-8b3a-52d1f0c8a012\nlogsource: {category: api_activity}\n"
        "detection: {s: {api.request_count|gte: 1}, condition: s}\nlevel: high\n"
    )
    (tmp_path / "policy.yml").write_text(
        "version: 1\nmode: shadow\nrules: {paths: [rules/any.yml]}\nresponses: [{name: a, action: BLOCK}]\n"
        "log: {directory: never-made}\n"
    )
    text = "name: a\npolicy: policy.yml\nmode: enforce\n"
    text += "events: [{principal: p, model: m, expect: {action: BLOCK}}]\n"
    assert cases.run(case(tmp_path, text)) == ()
    assert (
        cases.run(
            case(
                tmp_path,
                text.replace("policy.yml", "{mode: enforce, responses: [{name: a, action: BLOCK}]}")
                + "rules: [rules/*.yml]",
            )
        )
        == ()
    )
    assert not (tmp_path / "never-made").exists()


def test_a_run_is_repeatable():
    loaded = cases.load(DIRECTORY / "published_rule.yaml")
    arguments = [entry.arguments_of(3) for entry in loaded.entries]
    again = [entry.arguments_of(3) for entry in cases.load(DIRECTORY / "published_rule.yaml").entries]
    assert [a["vector"].tolist() for a in arguments] == [a["vector"].tolist() for a in again]
