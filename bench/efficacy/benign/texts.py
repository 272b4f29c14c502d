"""Kinds that send texts which resemble each other."""

from __future__ import annotations

from collections.abc import Iterator

from bench.efficacy.benign.caller import Caller, Query

__all__ = ["autocomplete", "few_shot", "templated"]

TEMPLATES = (
    "You are the assistant of a web shop. Classify the message of the customer into one of our categories and answer "
    "with the category alone. The message follows after the colon. Message: {}",
    "Summarise the following note of our support team in one sentence, without names and dates, in a friendly tone "
    "that we could send to the customer as it is. Note: {}",
    "Translate the text between the lines into plain English that a ten-year-old understands. Keep it short.\n"
    "---\n{}\n---",
)


def autocomplete(caller: Caller) -> Iterator[Query]:
    """Every few key strokes the text so far."""
    time = caller.start
    left = caller.queries
    for text in caller.natural(caller.queries):
        time += caller.rng.exponential(20.0)
        end = 0
        while end < len(text) and left > 0:
            end += int(caller.rng.integers(2, 6))
            time += caller.rng.exponential(0.4)
            left -= 1
            yield Query(time, text[:end])
        if left <= 0:
            return


def templated(caller: Caller) -> Iterator[Query]:
    """A product with one prompt in which only the middle changes."""
    template = TEMPLATES[int(caller.rng.integers(0, len(TEMPLATES)))]
    prompts = [template.format(text) for text in caller.natural(caller.queries)]
    yield from caller.at(prompts, 0.5)


def few_shot(caller: Caller) -> Iterator[Query]:
    """The same four examples in front of every question."""
    examples = "\n".join(f"Q: {text}\nA: topic {i}" for i, text in enumerate(caller.natural(4)))
    yield from caller.at([f"{examples}\nQ: {text}\nA:" for text in caller.natural(caller.queries)], 0.5)
