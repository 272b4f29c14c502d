"""WindowTable by itself: what it counts, what it refuses, and that nothing given to it does any harm."""

import math
import threading

import numpy as np
import pytest

from atlascore.windows import WindowTable

NOW = 1_700_000_000.0


def test_counts_by_key_and_window():
    table = WindowTable(100, [10, 60.0])
    assert table.hit("a", NOW) == (1.0, 1.0)
    assert table.hit("a", NOW + 1, 4) == (5.0, 5.0)
    assert table.hit("b", NOW + 1) == (1.0, 1.0)
    assert table.read("a", NOW + 30) == (0.0, 5.0)
    assert table.read("a", NOW + 90) == (0.0, 0.0)
    assert table.read("never seen", NOW) == (0.0, 0.0)
    assert len(table) == 2


def test_reading_does_not_count():
    table = WindowTable(100, [60])
    table.hit("a", NOW)
    for _ in range(10):
        assert table.read("a", NOW) == (1.0,)


def test_a_reader_in_the_past_reads_the_present():
    table = WindowTable(100, [60])
    table.hit("a", NOW, 7)
    assert table.read("a", NOW - 1000) == (7.0,)


def test_late_events():
    table = WindowTable(100, [23.0])  # buckets of a second
    table.hit("a", NOW)
    assert table.hit("a", NOW - 1) == (2.0,)
    assert table.hit("a", NOW - 2.5) == (2.0,)
    assert table.stats()["late"] == 1


@pytest.mark.parametrize("horizon", [0.001, 0.01, 1.0, 9.0, 10.0, 12.5, 24.0, 50.0, 86400.0, 1e9])
def test_any_horizon_counts_at_any_time(horizon):
    """Bucket numbers wrap at 2^32: at 1.7e9 seconds and 10 s they are in the upper half."""
    table = WindowTable(100, [horizon])
    for now in (0.0, 1.0, NOW, 4.2e9):
        assert table.hit(f"key {now}", now) == (1.0,)
        assert table.hit(f"key {now}", now) == (2.0,)


@pytest.mark.parametrize("idle", [3.0 * 2**power for power in range(10, 26)])
def test_a_key_counts_again_after_any_silence(idle):
    table = WindowTable(100, [0.001])
    table.hit("a", NOW, 5)
    assert table.hit("a", NOW + idle) == (1.0,)
    assert table.read("a", NOW + idle) == (1.0,)


def test_keys_of_different_types_are_different():
    table = WindowTable(100, [60])
    for key in ("1", b"2", 3):
        table.hit(key, NOW)
    assert table.hit(1, NOW) == (1.0,)
    assert table.hit("2", NOW) == (2.0,), "bytes are the same key as the text that they encode"
    assert len(table) == 4


def test_numpy_integers_are_keys():
    table = WindowTable(np.int64(100), [np.float32(60)])
    for key in (np.int64(7), np.uint8(7), 7):
        table.hit(key, np.float64(NOW), np.int32(1))
    assert table.read(7, NOW) == (3.0,)
    assert len(table) == 1


HOSTILE = ["", b"", "\0", "a\0b", "\ud800", "\udfff" * 1000, "k" * 10_000_000, b"\xff" * 10_000_000]
HOSTILE += ["💣" * 100_000, 0, -1, 2**63, 2**64 - 1, -(2**63), 10**100, True]


@pytest.mark.parametrize("key", HOSTILE, ids=lambda key: f"{type(key).__name__} {str(key)[:8]!a}")
def test_hostile_keys_are_keys(key):
    table = WindowTable(10, [60])
    assert table.hit(key, NOW) == (1.0,)
    assert table.hit(key, NOW) == (2.0,)


def test_near_misses_are_other_keys():
    table = WindowTable(10_000, [60])
    keys = ["a" * n for n in range(300)] + ["a" * n + "\0" for n in range(300)] + ["b" * 255, "A", "a "]
    for key in keys:
        assert table.hit(key, NOW) == (1.0,), ascii(key)


@pytest.mark.parametrize("key", [None, 1.5, ["a"], ("a",), {}, object(), bytearray(b"a")], ids=repr)
def test_other_keys_are_refused(key):
    table = WindowTable(10, [60])
    with pytest.raises(TypeError, match="a key must be str, bytes or int"):
        table.hit(key, NOW)
    with pytest.raises(TypeError, match="a key must be str, bytes or int"):
        table.read(key, NOW)
    assert len(table) == 0


@pytest.mark.parametrize("now", [-1.0, -1e-300, 4294967296.0, 1e300, math.nan, math.inf, -math.inf, 10**12])
def test_times_out_of_range(now):
    table = WindowTable(10, [60])
    for call in (table.hit, table.read):
        with pytest.raises(ValueError, match="now must be seconds since 1970"):
            call("a", now)
    assert len(table) == 0


@pytest.mark.parametrize("now", ["1", None, [1], 10**400, 1j])
def test_times_that_are_no_numbers(now):
    with pytest.raises((TypeError, ValueError)):
        WindowTable(10, [60]).hit("a", now)


@pytest.mark.parametrize("n", [0, -1, 2**28, 2**62, 2**64, -(2**70)])
def test_numbers_out_of_range(n):
    with pytest.raises(ValueError, match="n must be 1 to"):
        WindowTable(10, [60]).hit("a", NOW, n)


@pytest.mark.parametrize("n", [1.5, "1", None])
def test_numbers_of_other_types(n):
    with pytest.raises(TypeError):
        WindowTable(10, [60]).hit("a", NOW, n)


def test_a_full_bucket_is_counted_as_overflow():
    table = WindowTable(10, [60])
    most = (1 << 28) - 1
    assert table.hit("a", NOW, most) == (most,)
    assert table.hit("a", NOW) == (most,)
    assert table.stats()["overflow"] == 1


def test_wrong_numbers_of_arguments():
    table = WindowTable(10, [60])
    for arguments in ((), ("a",), ("a", NOW, 1, 2)):
        with pytest.raises((TypeError, ValueError)):
            table.hit(*arguments)
    with pytest.raises(TypeError):
        table.hit(key="a", now=NOW)
    with pytest.raises(TypeError):
        table.read("a")


@pytest.mark.parametrize(
    ("capacity", "horizons"),
    [
        (0, [60]),
        (-1, [60]),
        (2**40, [60]),
        (10, []),
        (10, [1] * 9),
        (10, [0]),
        (10, [-1]),
        (10, [1e-4]),
        (10, [math.nan]),
        (10, [math.inf]),
        (10, [1e12]),
        (10, [10**400]),
        (2**70, [60]),
    ],
)
def test_tables_that_cannot_be(capacity, horizons):
    with pytest.raises(ValueError):
        WindowTable(capacity, horizons)


@pytest.mark.parametrize("arguments", [(), (10,), ("10", [60]), (10, 60), (10, ["a"]), (10, [60], 5), (1.5, [60])])
def test_tables_of_other_types(arguments):
    with pytest.raises(TypeError):
        WindowTable(*arguments)


def test_more_keys_than_capacity_evict_and_are_counted():
    table = WindowTable(1000, [60])
    for key in range(50_000):
        assert table.hit(key, NOW + key / 100)[0] >= 1
    stats = table.stats()
    assert len(table) <= stats["slots"]
    assert stats["keys"] + stats["evictions"] == 50_000


def test_threads_share_one_table():
    table = WindowTable(100, [3600])
    threads = [
        threading.Thread(target=lambda: [table.hit(key, NOW) for key in ("a", "b") for _ in range(20_000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert table.read("a", NOW) == (80_000.0,)
    assert table.read("b", NOW) == (80_000.0,)
