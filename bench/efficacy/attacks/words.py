"""Against a text classifier: misspellings that change its mind, and a sweep for its labels."""

from __future__ import annotations

import numpy as np

from bench.efficacy.episode import Attack, Episode, NoStart

__all__ = ["ATTACKS"]

MODEL = ("V5-text",)
MOST_EDITS = 30
LOOKALIKES = dict(zip("aceiopsxyl", "асеіорѕху1", strict=True))


def deep_word_bug(episode: Episode) -> None:
    """Gao 2018: find the words that matter by leaving each out, then swap, substitute, delete or insert letters."""
    rng = episode.rng
    for text in map(str, episode.natural(50)):
        scores = episode.victim.scores(np.array([text], object))[0]
        if scores.max() > 0.5 and len(text.split()) >= 5:
            break
    else:
        raise NoStart
    label = int(scores.argmax())
    episode.goal = lambda _, answers: answers.argmax(axis=1) != label
    words = text.split()
    without = np.array([" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))], object)
    matter = np.argsort(episode.ask(without)[:, label])
    episode.goal = lambda _, answers: answers.argmax(axis=1) != label
    edits = 0
    current = float(scores[label])
    for i in map(int, matter):
        word = words[i]
        if len(word) < 2:
            continue
        at = int(rng.integers(0, len(word) - 1))
        variants = {
            "swap": (word[:at] + word[at + 1] + word[at] + word[at + 2 :], 2),
            "substitute": (word[:at] + LOOKALIKES.get(word[at].lower(), "x") + word[at + 1 :], 1),
            "delete": (word[:at] + word[at + 1 :], 1),
            "insert": (word[: at + 1] + " " + word[at + 1 :], 1),
        }
        texts = [" ".join([*words[:i], variant, *words[i + 1 :]]) for variant, _ in variants.values()]
        answers = episode.ask(np.array(texts, object))
        if (answers.argmax(axis=1) != label).any():
            return
        best = int(answers[:, label].argmin())
        if answers[best, label] < current:
            variant, cost = list(variants.values())[best]
            edits += cost
            if edits > MOST_EDITS:
                return
            words[i], current = variant, float(answers[best, label])


def ontology_sweep(episode: Episode) -> None:
    """Short texts of every kind until no new label comes back."""
    seen: set[int] = set()
    for label in range(episode.victim.domain.classes):
        seen |= set(episode.ask_labels(episode.natural(6, label)).tolist())
    if len(seen) == episode.victim.domain.classes:
        episode.succeed()


ATTACKS = [
    Attack("DeepWordBug", "evasion of text classifiers", MODEL, deep_word_bug, goal="another label", gap=0.5),
    Attack(
        "ontology sweep", "reconnaissance", MODEL, ontology_sweep, goal="all labels", gap=1.0,
        signals=("api.label_discovery",),
    ),
]  # fmt: skip
