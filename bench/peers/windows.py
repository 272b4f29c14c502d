"""Rate limiters: each `make_*` returns hit(key), which counts one event of the key against a window of a minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

LIMIT = 1_000  # events a minute: rarely reached, and what a window must remember

Hit = Any  # Callable[[str], object]: most peers have no types


def limits_moving_window() -> Hit:
    import limits

    limiter = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerMinute(LIMIT)
    return lambda key: limiter.hit(item, key)


def limits_sliding_window_counter() -> Hit:
    import limits

    limiter = limits.strategies.SlidingWindowCounterRateLimiter(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerMinute(LIMIT)
    return lambda key: limiter.hit(item, key)


def throttled_sliding_window() -> Hit:
    import throttled

    throttle = throttled.Throttled(
        using=throttled.RateLimiterType.SLIDING_WINDOW.value,
        quota=throttled.per_min(LIMIT),
        store=throttled.store.MemoryStore(options={"MAX_SIZE": 2_000_000}),
    )
    return throttle.limit


def rust_py_rate_limit_check() -> Hit:
    import rust_py_rate_limit

    return rust_py_rate_limit.RateLimiter(LIMIT, 60).check


def rust_py_rate_limit_allow() -> Hit:
    import rust_py_rate_limit

    return rust_py_rate_limit.RateLimiter(LIMIT, 60).allow


def token_bucket() -> Hit:
    import token_bucket as package

    return package.Limiter(LIMIT / 60, LIMIT, package.MemoryStorage()).consume


def dict_of_deques() -> Hit:
    """What one writes by hand: exact, one window, no lock."""
    table: dict[str, deque[float]] = {}
    clock = time.time

    def hit(key: str) -> int:
        now = clock()
        times = table.get(key)
        if times is None:
            times = table[key] = deque(maxlen=LIMIT)
        times.append(now)
        oldest = now - 60
        while times[0] <= oldest:
            times.popleft()
        return len(times)

    return hit


ALL: dict[str, Callable[[], Hit]] = {
    "limits, moving window": limits_moving_window,
    "limits, sliding-window counter": limits_sliding_window_counter,
    "throttled-py, sliding window": throttled_sliding_window,
    "rust-py-rate-limit, check": rust_py_rate_limit_check,
    "rust-py-rate-limit, allow": rust_py_rate_limit_allow,
    "token-bucket": token_bucket,
    "dict of deques, by hand": dict_of_deques,
}
