"""The demonstration, run as a user runs it."""

import re
import subprocess
import sys

import pytest

from atlascore.log import read

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    log = tmp_path_factory.mktemp("demo") / "log"
    code = "from atlascore.cli import main; main()"
    command = [sys.executable, "-W", "error", "-c", code, "demo", "--log", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr, log


def test_the_thief_is_constrained_then_blocked_and_nobody_else(demo):
    status, output, errors, _ = demo
    assert (status, errors) == (0, ""), output + errors
    constrained, blocked = map(int, re.findall(r"(?:constrained|blocked) at query (\d+)", output))
    assert constrained <= 25
    assert constrained < blocked <= 64
    assert output.index("CONSTRAIN for the boundary thief") < output.index("BLOCK for the boundary thief")
    assert "LOG for the prober" in output
    assert not re.search("(CONSTRAIN|BLOCK) for the (40|nightly|camera)", output)


def test_what_everybody_got(demo):
    honest = ("40 ordinary users", "nightly batch job", "camera")
    rows = {
        name: [int(number.replace(",", "")) for number in re.findall(r"[\d,]+", numbers)]
        for name, numbers in re.findall(rf"^  ({'|'.join(honest)}|boundary thief)  +(\d.*)$", demo[1], re.M)
    }
    for name in honest:
        asked, full, label_only, refused, false_alarms = rows[name]
        assert asked == full > 0
        assert label_only == refused == false_alarms == 0
    asked, full, label_only, refused = rows["boundary thief"]
    assert full + label_only <= 64
    assert refused == asked - full - label_only > 0


def test_plain_output_has_no_control_sequences(demo):
    assert "\x1b" not in demo[1]


def test_the_log_is_where_it_says(demo):
    entries = [entry for _, entry in read(demo[3])]
    assert f"{len(entries):,} entries in {demo[3]}" in demo[1]
    assert {entry["action"] for entry in entries if entry["kind"] == "decision"} == {
        "ALLOW",
        "LOG",
        "CONSTRAIN",
        "BLOCK",
    }
