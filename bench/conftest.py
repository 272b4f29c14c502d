"""Collects what the contests measured, releases them one by one, and writes the rows for table.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from contest import Contest
from rows import write_rows

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", type=Path, help="write the measured rows to this JSON file")


@pytest.fixture(scope="function", autouse=True)
def _one_contest_at_a_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """Contests follow one another; when the next one begins, the others give their memory back."""
    name = request.function.__name__.removeprefix("test_")
    for contest in Contest.all:
        if contest.key != name:
            contest.release()
    yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--rows")
    if path is None:
        return
    files = {
        item.originalname.removeprefix("test_"): item.path.relative_to(HERE)  # type: ignore[attr-defined]
        for item in session.items
    }
    rows = [
        contest.row(f"pytest bench/{files[contest.key]} -k {contest.key}")
        for contest in Contest.all
        if contest.key in files
    ]
    write_rows(path, rows)
