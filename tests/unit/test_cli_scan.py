"""`atlascore scan`: what it prints and how it ends."""

import bz2
import csv
import gzip
import io
import json
import lzma
import subprocess
import sys

import pytest
from click.testing import CliRunner

import atlascore as ac
from atlascore.cli import main

KEYS = ["file", "line", "time", "principal", "model", "action", "would", "simulated", "rules", "techniques"]
KEYS += ["level", "signals"]
START = 1_750_000_000.0

MANY = "7f0a3c4e-53d1-4f5e-8d0e-0c1b5a6f7e01"
LEAK = "7f0a3c4e-53d1-4f5e-8d0e-0c1b5a6f7e02"
RULE = """
title: {title}
id: {id}
status: experimental
logsource: {{category: api_activity}}
detection:
    found: {{{found}}}
    condition: found
level: {level}
tags: [{tag}]
"""
POLICY = """
version: 1
mode: enforce
responses:
  - {name: watch, match: {level: [low, medium, high, critical]}, action: LOG}
  - {name: act, match: {level: high}, action: CONSTRAIN, constraints: {scores: label_only}}
"""


@pytest.fixture
def rules(tmp_path):
    """A directory with a rule that matches from a principal's fourth query on, and one of leaking answers."""
    directory = tmp_path / "rules"
    directory.mkdir()
    many = {"title": "Four Queries", "id": MANY, "found": "api.request_count|gt: 3", "level": "high"}
    (directory / "many.yml").write_text(RULE.format(**many, tag="atlas.aml.t0034.000"))
    leak = {"title": "Leak", "id": LEAK, "found": "response.text|contains: sesame", "level": "critical"}
    (directory / "leak.yml").write_text(RULE.format(**leak, tag="atlas.aml.t0057"))
    return directory


@pytest.fixture
def policy(tmp_path):
    file = tmp_path / "policy.yml"
    file.write_text(POLICY)
    return file


def event(time, principal="key-1", **more):
    known = {"model": "chat", "method": "predict", "endpoint": "/v1/chat"}
    return {"time": START + time, "principal": principal, **known, **more}


def write(file, lines):
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return file


@pytest.fixture
def log(tmp_path):
    """key-1 asks six times, key-2 twice."""
    lines = [event(i) for i in range(6)] + [event(i + 0.5, "key-2") for i in range(2)]
    return write(tmp_path / "access.jsonl", lines)


def run(*arguments):
    result = CliRunner().invoke(main, ["scan", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def findings(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_findings_as_json_lines(log, policy, rules):
    result = run(log, "--policy", policy, "--rules", rules, "--json")
    found = findings(result)
    assert [(one["line"], one["time"]) for one in found] == [(i, START + i - 1) for i in (4, 5, 6)]
    for one in found:
        assert list(one) == KEYS
        assert one["file"] == str(log)
        assert (one["principal"], one["model"]) == ("key-1", "chat")
        assert (one["action"], one["would"], one["simulated"]) == ("CONSTRAIN", "CONSTRAIN", False)
        assert (one["rules"], one["techniques"], one["level"]) == ([MANY], ["AML.T0034.000"], "high")
        assert one["signals"]["api.request_count"] == one["line"]
    assert result.exit_code == 1


def test_what_is_scanned_is_what_the_library_decides(log, policy, rules):
    found = findings(run(log, "--policy", policy, "--rules", rules, "--json", "--all"))
    loaded = ac.Policy.load(policy, rules=[rules])
    decided = [(event.line, decision.action.name) for event, decision in ac.scan(log, loaded)]
    assert [(one["line"], one["action"]) for one in found] == decided


def test_all_events_in_the_order_of_time(tmp_path, log):
    other = write(tmp_path / "other.jsonl", [event(2.25, "key-3"), event(-1, "key-3")])
    found = findings(run(other, log, "--all", "--json"))
    assert [one["time"] for one in found] == sorted(one["time"] for one in found)
    assert len(found) == 10
    assert [one["line"] for one in found if one["file"] == str(other)] == [2, 1]
    assert {one["level"] for one in found} == {None}


def test_the_answer_is_part_of_the_event(tmp_path, policy, rules):
    answers = [{"text": "hello"}, {"text": "open sesame"}]
    log = write(tmp_path / "log.jsonl", [event(i, response=answer) for i, answer in enumerate(answers)])
    (one,) = findings(run(log, "--policy", policy, "--rules", rules, "--json"))
    assert (one["line"], one["rules"], one["techniques"]) == (2, [LEAK], ["AML.T0057"])
    assert one["level"] == "critical"


def test_an_event_without_principal(tmp_path):
    log = write(tmp_path / "log.jsonl", [{"time": START, "model": "chat"}])
    assert findings(run(log, "--all", "--json"))[0]["principal"] is None


@pytest.mark.parametrize(
    ("mode", "fail_on", "status"),
    [
        ("enforce", "CONSTRAIN", 1),
        ("enforce", "block", 0),
        ("enforce", "LOG", 1),
        ("shadow", "CONSTRAIN", 1),  # it would have
        ("shadow", "BLOCK", 0),
        ("off", "LOG", 0),
    ],
)
def test_exit_status(log, policy, rules, mode, fail_on, status):
    result = run(log, "--policy", policy, "--rules", rules, "--mode", mode, "--fail-on", fail_on, "--json")
    assert result.exit_code == status
    if mode == "shadow":
        assert {(one["action"], one["would"], one["simulated"]) for one in findings(result)} == {
            ("ALLOW", "CONSTRAIN", True)
        }


def test_rules_takes_paths_up_to_the_next_option(log, rules):
    files = sorted(rules.iterdir())
    assert run("--rules", *files, "--json", log).exit_code == 0
    assert {one["rules"][0] for one in findings(run("--rules", *files, "--json", log))} == {MANY}
    assert {one["rules"][0] for one in findings(run(log, "--json", "--rules", *files))} == {MANY}
    assert {one["rules"][0] for one in findings(run("--json", "--rules", *files, "--", log))} == {MANY}


def test_files_after_rules_are_rules(log, rules):
    result = run("--rules", rules, log)
    assert result.exit_code == 2
    assert "put the files first" in result.stderr


def test_bad_lines_are_reported_and_skipped(tmp_path):
    log = write(tmp_path / "log.jsonl", [event(0), "{", "\x1b[31mred", event(1), event(0) | {"cost": "dear"}])
    result = run(log, "--all", "--json")
    assert [one["line"] for one in findings(result)] == [1, 4]
    assert [line.split(":")[1] for line in result.stderr.splitlines()] == ["2", "3", "5"]
    assert "\x1b" not in result.stderr
    assert result.exit_code == 0
    strict = run(log, "--all", "--json", "--strict-input")
    assert strict.exit_code == 2
    assert len(findings(strict)) == 2


def test_a_file_without_events_is_unreadable(tmp_path):
    result = run(write(tmp_path / "log.csv", ["time,principal", "1,key-1"]))
    assert result.exit_code == 2
    assert "JSON lines" in result.stderr


def test_a_file_without_events_is_unreadable_beside_others(tmp_path, log):
    other = write(tmp_path / "log.csv", ["time,principal", "1,key-1"])
    result = run(log, other, "--all", "--json")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"Error: {other}: no line is an event")
    assert len(findings(result)) == 8
    assert run(log, write(tmp_path / "empty.jsonl", ["", " "])).exit_code == 0


@pytest.mark.parametrize(
    ("compress", "program"),
    [
        (gzip.compress, "zcat"),
        (bz2.compress, "bzcat"),
        (lzma.compress, "xzcat"),
        (lambda data: b"\x28\xb5\x2f\xfd" + data, "zstdcat"),
        (lambda data: gzip.compress(data) + bytes(17 << 20), "zcat"),
    ],
)
def test_compressed_files_are_named_as_such(log, compress, program):
    packed = log.with_suffix(".packed")
    packed.write_bytes(compress(log.read_bytes()))
    for files in ((packed,), (log, packed)):
        result = run(*files, "--all", "--json")
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr == (
            f"Error: {packed}: compressed; this version reads plain JSON lines: decompress it first, e.g. "
            f"`{program} FILE | atlascore scan -`\n"
        )
    with pytest.raises(ValueError, match="compressed"):
        list(ac.scan(packed))


def test_an_empty_file_is_no_error(tmp_path):
    result = run(write(tmp_path / "log.jsonl", []))
    assert result.exit_code == 0
    assert "0 events" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no file"),
        (("{log}.gone",), "No such file"),
        (("{directory}",), "Is a directory"),
        (("{log}", "--policy", "{log}.yml"), "No such file"),
        (("{log}", "--rules", "{log}.yml"), "No such file"),
        (("{log}", "--policy", "{log}"), "access.jsonl:1:"),
        (("{log}", "--json", "--format", "csv"), "contradict"),
        (("{log}", "--fail-on", "PANIC"), "PANIC"),
        (("{log}", "--capacity", "0"), "--capacity"),
    ],
)
def test_wrong_input_is_exit_status_2(log, arguments, message):
    result = run(*(text.format(log=log, directory=log.parent) for text in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_standard_input(log):
    command = [sys.executable, "-c", "from atlascore.cli import main; main()", "scan", "-", "--all", "--json"]
    with log.open() as lines:
        done = subprocess.run(command, stdin=lines, capture_output=True, text=True, check=True)
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == ["-"] * 8


def test_csv_has_the_members_as_columns(log, policy, rules):
    arguments = (log, "--policy", policy, "--rules", rules)
    rows = list(csv.DictReader(io.StringIO(run(*arguments, "--format", "csv").stdout)))
    assert list(rows[0]) == KEYS
    assert [row["line"] for row in rows] == ["4", "5", "6"]
    assert rows[0]["rules"] == MANY
    assert json.loads(rows[0]["signals"]) == findings(run(*arguments, "--json"))[0]["signals"]


def test_table_groups_by_principal_and_model(log, policy, rules):
    result = run(log, "--policy", policy, "--rules", rules)
    assert result.stdout.count("key-1") == 1
    assert "key-2" not in result.stdout
    assert "Four Queries (3)" in result.stdout
    assert "2025-06-15 15:06:43" in result.stdout and "2025-06-15 15:06:45" in result.stdout
    assert "8 events" in result.stderr and "3 findings" in result.stderr


def test_a_principal_cannot_command_the_terminal(tmp_path, policy, rules):
    name = "\x1b]0;owned\x07[bold]key"
    log = write(tmp_path / "log.jsonl", [event(i, name) for i in range(4)])
    result = run(log, "--policy", policy, "--rules", rules)
    assert "]0;owned" in result.stdout and "[bold]key" in result.stdout
    assert "\x1b" not in result.output and "\x07" not in result.output
