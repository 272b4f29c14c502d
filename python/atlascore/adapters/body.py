"""Bodies as bytes: JSON as model servers write it, and content codings, within bounds."""

from __future__ import annotations

import json
import zlib
from typing import Any

import msgspec

__all__ = ["decode", "encode", "inflate"]

_DECODER = msgspec.json.Decoder()
_RATIO = 20  # a body that expands further is refused as a bomb
_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; NaN and Infinity are accepted, as model servers write them unquoted.

    Raises ValueError for anything else.
    """
    try:
        document = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError):
        try:
            document = json.loads(body)
        except RecursionError:
            raise ValueError("the body is nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError("the body is not a JSON object")
    return document


def encode(document: dict[str, Any]) -> bytes:
    """The document as JSON; NaN and Infinity go back as they came."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def inflate(body: bytes, coding: bytes, limit: int) -> bytes:
    """The body without its content coding. Raises ValueError for other codings than gzip and deflate, damaged
    data, and what expands to more than 20 times its size or `limit` bytes."""
    coding = coding.strip().lower()
    if coding == b"identity":
        return body
    bits = _WINDOW_BITS.get(coding)
    if bits is None:
        raise ValueError(f"content coding {coding!r} is not supported")
    decompressor = zlib.decompressobj(bits)
    most = min(limit, _RATIO * len(body))
    try:
        plain = decompressor.decompress(body, most)
    except zlib.error as error:
        raise ValueError(f"the body is not {coding.decode()}: {error}") from None
    if not decompressor.eof:
        raise ValueError("the body is cut short or expands too far")
    return plain
