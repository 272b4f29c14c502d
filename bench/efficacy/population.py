"""Benign accounts through the gateway, many at a time, in the order of their clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.efficacy.benign import KINDS, Caller, Query
from bench.efficacy.domains import Texts
from bench.efficacy.gateway import Account, Gateway, Refused, Trace, scores_of
from bench.efficacy.policy import SECOND_MODEL
from bench.efficacy.randomness import generator
from bench.efficacy.splits import Member
from bench.efficacy.victims import victim

__all__ = ["SPAN", "Resident", "live"]

SPAN = 4 * 86_400.0  # in which all accounts live, so that traffic does not fade out before what comes next
FEWEST, MOST = 200, 1_000  # queries


@dataclass
class Resident:
    """trace: of the account; for an A/B test that of the first model, with the worst of both actions."""

    member: Member
    trace: Trace


def live(
    gateway: Gateway, members: Sequence[Member], seed: int, keep: frozenset[str] = frozenset(), customer: int = 1
) -> list[Resident]:
    """All queries of these principals, merged by time. keep: names whose traces keep their inputs. customer: so many
    of them in a row show the same infrastructure key.

    The clock of the gateway ends behind the last of them.
    """
    begin = gateway.clock
    streams = [_queries(member, seed, begin) for member in members]
    accounts = [
        gateway.account(
            member.name, victim(member.victim), member.name in keep, key=f"{i // customer}" if customer > 1 else None
        )
        for i, member in enumerate(members)
    ]
    seconds: dict[int, Account] = {}
    order = np.concatenate([np.fromiter((query.time for query in stream), np.float64) for stream in streams])
    owner = np.repeat(np.arange(len(streams)), [len(stream) for stream in streams])
    place = np.concatenate([np.arange(len(stream)) for stream in streams])
    scores = [
        list(scores_of(victim(m.victim), [q.x for q in stream])) for m, stream in zip(members, streams, strict=True)
    ]
    gone: set[int] = set()
    for i in np.argsort(order, kind="stable"):
        who, which = int(owner[i]), int(place[i])
        if who in gone:
            continue
        query, account = streams[who][which], accounts[who]
        if query.second_model:
            if who not in seconds:
                model = account.victim.name + SECOND_MODEL
                seconds[who] = gateway.account(account.name, account.victim, model=model)
            account = seconds[who]
        gateway.clock = max(gateway.clock, query.time)
        try:
            if account.victim.endpoint is not None:
                account.complete(str(query.x))
            else:
                account.ask(query.x, scores[who][which], status=query.status)
        except Refused:
            gone.add(who)
    gateway.clock = max(gateway.clock, begin + SPAN)
    for who, second in seconds.items():
        for level, at in second.trace.first.items():
            first = accounts[who].trace.first
            first[level] = min(first.get(level, at), at)
    return [Resident(member, account.trace) for member, account in zip(members, accounts, strict=True)]


def _queries(member: Member, seed: int, begin: float) -> list[Query]:
    rng = generator(seed, "benign", member.name, member.victim)
    model = victim(member.victim)
    many = int(rng.integers(FEWEST, MOST + 1))
    room = float(rng.random())
    queries = list(KINDS[member.kind][1](Caller(model, rng, many, begin)))
    later = room * max(0.0, SPAN - (queries[-1].time - begin))
    if isinstance(model.domain, Texts):
        return [query._replace(time=query.time + later) for query in queries]
    return [query._replace(time=query.time + later, x=query.x.astype(np.float32)) for query in queries]
