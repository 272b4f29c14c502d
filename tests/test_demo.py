"""The demonstration, as a newcomer runs it: real server, real clients, the shipped policy."""

import re
import subprocess
import sys
from pathlib import Path

from atlascore.log import read


def test_the_thief_is_stopped_and_nobody_else(tmp_path):
    command = [str(Path(sys.executable).with_name("atlascore")), "demo", "--log", str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    constrained, blocked = map(int, re.findall(r"(?:constrained|blocked) at query (\d+)", done.stdout))
    assert constrained <= 25
    assert blocked <= 64
    rows = {line.split("  ")[1]: line.split() for line in done.stdout.splitlines() if line.startswith("  ")}
    for honest in ("40 ordinary users", "nightly batch job", "camera"):
        assert rows[honest][-2:] == ["0", "0"], "refused, false alarms"
    actions = {entry["action"] for _, entry in read(tmp_path / "log") if entry["kind"] == "decision"}
    assert actions == {"ALLOW", "LOG", "CONSTRAIN", "BLOCK"}
