"""The efficacy benchmark needs more than the other tests: `pip install -r bench/efficacy/requirements.txt`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ART warns about frameworks that are not used
    import bench.efficacy.attacks  # noqa: F401
    from bench.efficacy.gateway import Gateway


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Nothing is refused: attacks are as if undefended."""
    with Gateway(0, "shadow", tmp_path / "region") as opened:
        yield opened
