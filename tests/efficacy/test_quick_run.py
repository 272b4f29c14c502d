"""The quick run, end to end, with gates that only a broken detector fails; the figures are in bench/README.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("efficacy")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "bench.efficacy", "--quick", "--out", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert {path.name for path in out.iterdir()} >= {"results.json", "results.md", "roc.svg", "evidence.svg"}
    return json.loads((out / "results.json").read_text())


def test_no_honest_account_is_blocked(results):
    assert results["benign_overall"]["accounts"] > 50
    blocked = {row["kind"]: row["BLOCK"]["hits"] for row in results["benign"] if row["BLOCK"]["hits"]}
    assert not blocked


def test_few_honest_accounts_are_constrained(results):
    assert results["benign_overall"]["CONSTRAIN"]["rate"] <= 0.05


def test_searches_of_the_boundary_are_constrained_and_blocked(results):
    found = {a["attack"]: a for a in results["attacks"] if a["group"] == "decision-based evasion"}
    assert len(found) >= 5
    for name, attack in found.items():
        assert attack["CONSTRAIN"]["detected"]["rate"] >= 0.8, name
        assert attack["CONSTRAIN"]["median"] <= 50, name
        assert attack["BLOCK"]["median"] <= 100, name
