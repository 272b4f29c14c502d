"""Who makes a request: principal, session and address, from the sources that the policy names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Set
from functools import lru_cache
from typing import Any, TypeAlias

from atlascore._policy.document import Address, Principal

__all__ = ["Ambiguous", "Anonymous", "CallerReader", "Headers"]

Source: TypeAlias = "Callable[[Mapping[str, Any], Headers, Any], str]"  # "" when there is no value

# Headers that hold what must not be known: their values become commitments before anything else sees them.
_SECRET = re.compile(r"auth|cookie|key|secret|session|token")
_CACHED = 65536


class Anonymous(Exception):
    """No source names the principal, and the policy refuses such callers."""


class Ambiguous(Exception):
    """The header that names the principal came with several values, of which nobody knows which one counts."""


class Headers(dict[bytes, bytes]):
    """The headers of one request that somebody here reads.

    Of one that came several times the first value, as frameworks take it; `ambiguous` names those whose values
    differ. Those in `lists` have all their values, joined as HTTP says. `spoofed`: the caller sent headers that only
    AtlasCore may send.
    """

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]], wanted: Set[bytes], lists: Set[bytes]) -> None:
        self.ambiguous: set[bytes] = set()
        self.spoofed = False
        for name, value in pairs:
            if name not in wanted:
                self.spoofed |= name.startswith(b"x-atlascore-")
            elif name not in self:
                self[name] = value
            elif name in lists:
                self[name] += b", " + value
            elif self[name] != value:
                self.ambiguous.add(name)


class CallerReader:
    """Reads the caller of an ASGI request.

    commit: makes the commitment of a secret, "commitment:" and 32 hex digits.
    headers: the names that the reading methods want to find in their `headers`, lower case.
    lists: those of them that are lists, so that several headers are one.
    needs_body: some source is in the body.
    """

    def __init__(self, settings: Principal, commit: Callable[[str], str]) -> None:
        self._commit = lru_cache(_CACHED)(commit)
        self._principal = [(self._source(source), _header_of(source)) for source in settings.sources]
        self._session = [self._source(source) for source in settings.session]
        self._anonymous = settings.anonymous
        self._address_header = (settings.address.header or "").encode()
        self._forwarded = _forwarded(settings.address)
        self.lists = frozenset((self._address_header,)) - {b""}  # proxies add to it, some with a header of their own
        self.headers = frozenset(map(_header_of, settings.sources + settings.session)) - {b""} | self.lists
        self.needs_body = any(source.startswith("body.") for source in settings.sources + settings.session)

    def principal(self, scope: Mapping[str, Any], headers: Headers, body: Any) -> str:
        """The principal's name. Raises Anonymous when there is none and the policy wants one, Ambiguous when the
        header that has it came with several values: the application may use another one than is counted here."""
        for source, header in self._principal:
            if header in headers.ambiguous:
                raise Ambiguous
            if name := source(scope, headers, body):
                return name
        return self.anonymous(scope, headers)

    def anonymous(self, scope: Mapping[str, Any], headers: Headers) -> str:
        """What stands for a caller whom no source names."""
        if self._anonymous == "refuse":
            raise Anonymous
        return self.address(scope, headers) if self._anonymous == "address" else "anonymous"

    def session(self, scope: Mapping[str, Any], headers: Headers, body: Any) -> str:
        for source in self._session:
            if name := source(scope, headers, body):
                return name
        return ""

    def address(self, scope: Mapping[str, Any], headers: Headers) -> str:
        """The address the request comes from, behind the proxies that the policy trusts."""
        client = scope.get("client")
        peer = client[0] if client else "unknown"
        header = headers.get(self._address_header)
        return self._forwarded(peer, header) if header else peer

    def _source(self, source: str) -> Source:
        origin, _, path = source.partition(".")
        if origin == "address":
            return lambda scope, headers, body: self.address(scope, headers)
        if origin == "header":
            return self._header(path)
        parts = path.split(".")
        if origin == "body":
            return lambda scope, headers, body: _text_at(body, parts)
        if origin == "jwt":
            return lambda scope, headers, body: _text_at(_claims(scope), parts)
        return lambda scope, headers, body: _text_at(scope, parts)

    def _header(self, name: str) -> Source:
        key = name.encode()
        commit = self._commit
        if not _SECRET.search(name):
            return lambda scope, headers, body: headers.get(key, b"").decode("latin-1").strip()

        def secret(scope: Mapping[str, Any], headers: Headers, body: Any) -> str:
            value = headers.get(key)
            # "Bearer KEY" and "KEY" are the same key, whichever header it came in.
            words = value.decode("latin-1").split(None, 1) if value else None
            return commit(words[-1].strip()) if words else ""

        return secret


def _header_of(source: str) -> bytes:
    """The header that a source reads, or nothing."""
    return source.removeprefix("header.").encode() if source.startswith("header.") else b""


def _claims(scope: Mapping[str, Any]) -> Any:
    """Claims that something upstream has verified, at scope["jwt"] or scope["state"]["jwt"]."""
    return scope.get("jwt") or _at(scope, ["state", "jwt"])


def _text_at(value: Any, path: list[str]) -> str:
    found = _at(value, path)
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _at(value: Any, path: list[str]) -> Any:
    """What is below a value: keys of mappings, attributes of anything else; None when a step is missing."""
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
        if value is None:
            return None
    return value


def _forwarded(settings: Address) -> Callable[[str, bytes], str]:
    """From (peer, header) to the right-most address that is not a trusted proxy's."""
    networks = [ipaddress.ip_network(network) for network in settings.trusted_proxies]

    def trusted(address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in networks)

    @lru_cache(_CACHED)
    def client(peer: str, header: bytes) -> str:
        nearest = peer
        for entry in reversed(header.decode("latin-1").split(",")):
            if not trusted(nearest):
                break
            nearest = _without_port(entry.strip()) or nearest
        return nearest

    return client


def _without_port(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
