"""What a refused caller gets: a status, a body in the form the route's clients expect, and honest headers.

The caller learns the class of the refusal and the decision's id, never a threshold, a signal or a rule.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Any

import msgspec

__all__ = ["CAUSES", "Cause", "Limit", "Refusal", "refusal"]

_IANA = "https://iana.org/assignments/http-problem-types#"


@dataclass(frozen=True, slots=True)
class Cause:
    """One class of refusals: its status and its words in every form."""

    status: int
    problem: str  # RFC 9457 type
    title: str
    detail: str  # the only sentence that a caller sees
    openai_type: str
    openai_code: str
    anthropic_type: str
    violated: tuple[str, ...] = ()  # names of policies
    retry: float | None = None  # seconds until another try makes sense, when the decision does not know better


_ABNORMAL = Cause(
    429,
    f"{_IANA}abnormal-usage-detected",
    "Abnormal usage detected",
    "This request was refused because of unusual usage.",
    "rate_limit_error",
    "abnormal_usage_detected",
    "rate_limit_error",
    ("usage",),
    60,
)
_LIMIT = Cause(
    429,
    f"{_IANA}quota-exceeded",
    "Quota exceeded",
    "A usage limit was reached.",
    "rate_limit_error",
    "rate_limit_exceeded",
    "rate_limit_error",
    (),
    60,
)
_OPERATOR = Cause(
    403,
    "urn:atlascore:problem:access-refused",
    "Access refused",
    "Access was refused.",
    "permission_error",
    "access_refused",
    "permission_error",
)
_ANONYMOUS = Cause(
    401,
    "about:blank",
    "Unauthorized",
    "This request does not say who makes it.",
    "authentication_error",
    "missing_credentials",
    "authentication_error",
)
_TOO_LARGE = Cause(
    413,
    "about:blank",
    "Content Too Large",
    "The body of this request is too large.",
    "invalid_request_error",
    "request_too_large",
    "request_too_large",
)
_GUARD = Cause(
    503,
    f"{_IANA}temporary-reduced-capacity",
    "Temporarily reduced capacity",
    "This request cannot be checked at the moment.",
    "server_error",
    "guard_unavailable",
    "api_error",
    (),
    5,
)

CAUSES = {
    "behaviour": _ABNORMAL,
    "limit": _LIMIT,
    "operator": _OPERATOR,
    "anonymous": _ANONYMOUS,
    "size": _TOO_LARGE,
    "guard": _GUARD,
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that callers may know about: at most `quota` in any `window` seconds."""

    name: str
    quota: int
    window: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole HTTP answer, headers in the form of ASGI."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def refusal(
    cause: str, form: str, decision_id: str = "", retry_after: float = 0.0, limit: Limit | None = None
) -> Refusal:
    """The answer to a refused call.

    cause: a key of CAUSES. form: "openai", "anthropic", "model_server" or "problem". retry_after: seconds
    until the refusal ends, 0 when unknown. limit: the limit that was reached, if it is advertised.
    """
    words = CAUSES[cause]
    if limit is not None:
        words = replace(words, violated=(limit.name,))
    left = retry_after or words.retry or 0.0
    wait = math.ceil(left * (1 + 0.1 * random.random()))  # refused callers must not all come back at once
    body = _BODIES[form](words, decision_id, wait)
    content_type = b"application/problem+json" if form == "problem" else b"application/json"
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if decision_id:
        headers.append((b"x-atlascore-decision", decision_id.encode()))
    if wait:
        headers.append((b"retry-after", str(wait).encode()))
    if not (cause == "limit" and wait <= 120):
        headers.append((b"x-should-retry", b"false"))
    if limit is not None:
        headers.append((b"ratelimit-policy", f'"{limit.name}";q={limit.quota};w={limit.window:.0f}'.encode()))
        headers.append((b"ratelimit", f'"{limit.name}";r=0;t={math.ceil(left)}'.encode()))
    return Refusal(words.status, headers, body)


def _problem(words: Cause, decision_id: str, wait: int) -> bytes:
    problem: dict[str, Any] = {
        "type": words.problem,
        "title": words.title,
        "status": words.status,
        "detail": words.detail,
    }
    if decision_id:
        problem["instance"] = f"urn:atlascore:decision:{decision_id}"
        problem["decision_id"] = decision_id
    if wait:
        problem["retry_after_seconds"] = wait
    if words.violated:
        problem["violated-policies"] = words.violated
    return msgspec.json.encode(problem)


def _openai(words: Cause, decision_id: str, wait: int) -> bytes:
    error = {
        "message": _sentence(words, decision_id),
        "type": words.openai_type,
        "param": None,
        "code": words.openai_code,
    }
    return msgspec.json.encode({"error": error})


def _anthropic(words: Cause, decision_id: str, wait: int) -> bytes:
    error = {"type": words.anthropic_type, "message": _sentence(words, decision_id)}
    return msgspec.json.encode({"type": "error", "error": error})


def _model_server(words: Cause, decision_id: str, wait: int) -> bytes:
    return msgspec.json.encode({"error": _sentence(words, decision_id)})


def _sentence(words: Cause, decision_id: str) -> str:
    return f"{words.detail} Decision {decision_id}." if decision_id else words.detail


_BODIES = {"problem": _problem, "openai": _openai, "anthropic": _anthropic, "model_server": _model_server}
