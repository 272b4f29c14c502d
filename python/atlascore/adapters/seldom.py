"""Logging of what may go wrong with every request: once a minute, or the log is the next thing that goes wrong."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable

INTERVAL = 60.0  # seconds


class Seldom:
    """Logs exceptions with their tracebacks; of one kind under one message at most one in `INTERVAL` seconds.

    The next one that is logged says how many were left out. Any thread may call it. `clock`: seconds, only for tests.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, type[BaseException] | None], tuple[float, int]] = {}  # logged at, left out since

    def exception(self, message: str, *arguments: object) -> None:
        """To be called where the exception is handled."""
        kind = (message, sys.exc_info()[0])
        now = self._clock()
        with self._lock:
            logged, left_out = self._kinds.get(kind, (float("-inf"), 0))
            if now - logged < INTERVAL:
                self._kinds[kind] = (logged, left_out + 1)
                return
            self._kinds[kind] = (now, 0)
        before = f" (and {left_out:,} more like it before)" if left_out else ""
        self._log.exception(message + before, *arguments)
