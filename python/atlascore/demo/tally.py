"""What the clients asked, what was decided, and what they got."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from atlascore.events import Action

__all__ = ["ATTACKERS", "GROUPS", "USERS", "Group", "Moment", "Tally"]

USERS = 40
GROUPS = {
    "user": f"{USERS} ordinary users",
    "batch": "nightly batch job",
    "camera": "camera",
    "prober": "prober",
    "thief": "boundary thief",
}
ATTACKERS = ("prober", "thief")


@dataclass
class Group:
    """Clients of one kind. Everything is counted in queries: a batch of N counts N.

    decided: by action, as the engine decided.
    full, label_only, refused: as the answers came back; gets: what the last one was.
    first: for each action that was taken, the query that it was first taken on and the seconds from the
        group's first query until then.
    """

    title: str
    decided: list[int] = field(default_factory=lambda: [0] * len(Action))
    full: int = 0
    label_only: int = 0
    refused: int = 0
    gets: str = ""
    first: dict[Action, tuple[int, float]] = field(default_factory=dict)
    started: float | None = None

    @property
    def queries(self) -> int:
        return sum(self.decided)

    @property
    def asked(self) -> int:
        """Queries that an answer came back to."""
        return self.full + self.label_only + self.refused

    @property
    def acted_on(self) -> int:
        """Queries that were constrained or blocked."""
        return self.decided[Action.CONSTRAIN] + self.decided[Action.BLOCK]


@dataclass(frozen=True)
class Moment:
    """A group meets an action for the first time."""

    group: Group
    action: Action
    rules: tuple[str, ...]
    techniques: tuple[str, ...]
    signals: dict[str, float]


class Tally:
    """Filled by the server's thread (`decided`) and by the clients' (`answered`, `refused`)."""

    def __init__(self) -> None:
        self.groups = {name: Group(title) for name, title in GROUPS.items()}
        self.nanoseconds: list[int] = []  # that each decide() took
        self.moments: deque[Moment] = deque()  # not shown yet

    def group(self, client: str) -> Group:
        return self.groups[client.partition("-")[0]]

    def decided(self, client: str, decision: Any, nanoseconds: int) -> None:
        self.nanoseconds.append(nanoseconds)
        group = self.group(client)
        now = time.monotonic()
        if group.started is None:
            group.started = now
        action = decision.action
        if action not in group.first:
            group.first[action] = (group.queries + 1, now - group.started)
            if action != Action.ALLOW:
                self.moments.append(Moment(group, action, decision.rules, decision.techniques, dict(decision.signals)))
        group.decided[action] += decision.rows

    def answered(self, client: str, predictions: list[list[float]]) -> None:
        group = self.group(client)
        for scores in predictions:
            if sum(score != 0 for score in scores) == 1:
                group.label_only += 1
                group.gets = "the label only"
            else:
                group.full += 1
                group.gets = f"all {len(scores)} scores"

    def refused(self, client: str, queries: int, retry_after: int) -> None:
        group = self.group(client)
        group.refused += queries
        group.gets = f"429, try again in {retry_after} s"
