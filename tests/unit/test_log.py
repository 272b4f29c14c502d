"""Reading a decision log."""

import pytest

from atlascore import log
from atlascore.errors import LogError


def test_entries_come_in_order_with_their_line_as_index(tmp_path):
    (tmp_path / "decisions.jsonl").write_bytes(
        b'{"kind":"operator","op":"start","v":1}\n{"kind":"decision","pse\n{"kind":"new","x":[1]}\n{"half'
    )
    assert list(log.read(tmp_path)) == [
        (0, {"kind": "operator", "op": "start", "v": 1}),
        (2, {"kind": "new", "x": [1]}),
    ]


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_directory_without_log_is_refused(tmp_path, name):
    with pytest.raises(LogError, match=r"holds no decision log: there is no decisions\.jsonl in it"):
        next(log.read(tmp_path / name))


def test_values_are_exact(tmp_path):
    (tmp_path / "decisions.jsonl").write_bytes(b'{"t":9007199254740991,"x":"0.1"}\n')
    assert list(log.read(str(tmp_path))) == [(0, {"t": 2**53 - 1, "x": "0.1"})]
