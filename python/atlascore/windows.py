"""Sliding-window counters for any keys: the detector's lock-free table by itself."""

from atlascore._core import WindowTable

__all__ = ["WindowTable"]
