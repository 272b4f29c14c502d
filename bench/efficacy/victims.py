"""The models that are queried: six, four of them in two kinds. They train in a few seconds, once per run."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier  # type: ignore[import-untyped]
from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.neural_network import MLPClassifier  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bench.efficacy import domains
from bench.efficacy.domains import Array, Domain
from bench.efficacy.endpoint import Endpoint
from bench.efficacy.trees import Trees

__all__ = ["VICTIMS", "Victim", "victim"]


@dataclass(frozen=True, eq=False)
class Victim:
    """scores: (N, d) inputs or (N,) texts -> (N, classes) probabilities. endpoint: of a language model, else None.

    clone_cost: queries by the usual estimates: d + 1 for a linear model and as many per class for softmax, ten per
    parameter for a network, trees x leaves x depth for an ensemble.
    l2, linf: how far an input may be moved for it to count as an adversarial example.
    """

    name: str
    domain: Domain
    scores: Callable[[Array], Array]
    clone_cost: int
    l2: float = 0.0
    linf: float = 0.0
    endpoint: Endpoint | None = None

    def labels(self, x: Array) -> Array:
        labels: Array = self.scores(x).argmax(axis=1)
        return labels

    @property
    def path(self) -> str:
        return f"/v1/models/{self.name}:predict"


def _dense(weights: list[Array], biases: list[Array]) -> Callable[[Array], Array]:
    """Softmax of a ReLU network; with one output its logistic."""

    def scores(x: Array) -> Array:
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            x = np.maximum(x @ weight + bias, 0)
        logits = x @ weights[-1] + biases[-1]
        if logits.shape[1] == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        logits = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Array = logits / logits.sum(axis=1, keepdims=True)
        return probabilities

    return scores


def _network(name: str, domain: Domain, hidden: int, l2: float, linf: float) -> Victim:
    model = MLPClassifier((hidden,), learning_rate_init=0.005, batch_size=100, max_iter=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a victim need not be perfect
        model.fit(domain.train, domain.train_labels)
    size = sum(w.size for w in model.coefs_) + sum(b.size for b in model.intercepts_)
    return Victim(name, domain, _dense(model.coefs_, model.intercepts_), 10 * size, l2, linf)


def _linear(name: str, domain: Domain, l2: float, linf: float) -> Victim:
    model = LogisticRegression(max_iter=300, tol=1e-2).fit(domain.train, domain.train_labels)
    scores = _dense([model.coef_.T], [model.intercept_])
    return Victim(name, domain, scores, len(model.coef_) * (domain.width + 1), l2, linf)


def _forest(name: str, domain: Domain, l2: float, linf: float) -> Victim:
    model = RandomForestClassifier(40, max_depth=10, random_state=0).fit(domain.train, domain.train_labels)
    trees = Trees([tree.tree_ for tree in model.estimators_])

    def scores(x: Array) -> Array:
        return trees.sums(x) / len(model.estimators_)

    return Victim(name, domain, scores, _tree_cost(tree.tree_ for tree in model.estimators_), l2, linf)


def _tree_cost(trees: Iterable[Any]) -> int:
    return int(sum(tree.n_leaves * tree.max_depth for tree in trees))


def _boosted(name: str, domain: Domain) -> Victim:
    model = GradientBoostingClassifier(n_estimators=60, max_depth=3, random_state=0)
    model.fit(domain.train, domain.train_labels)
    trees = Trees([stage[0].tree_ for stage in model.estimators_])
    prior = np.log(domain.train_labels.mean() / (1 - domain.train_labels.mean()))

    def scores(x: Array) -> Array:
        positive = 1 / (1 + np.exp(-(prior + model.learning_rate * trees.sums(x))))
        return np.hstack([1 - positive, positive])

    return Victim(name, domain, scores, _tree_cost(stage[0].tree_ for stage in model.estimators_))


def _text_classifier(name: str, domain: Domain) -> Victim:
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), max_features=8_000)
    model = LogisticRegression(C=10, tol=1e-2).fit(vectorizer.fit_transform(domain.train), domain.train_labels)
    grams_of, vocabulary = vectorizer.build_analyzer(), vectorizer.vocabulary_
    weight = model.coef_.T * vectorizer.idf_[:, None]

    @lru_cache(4_096)
    def logits(text: str) -> Array:
        """scikit-learn's, which take milliseconds for one text."""
        counts = Counter(vocabulary[gram] for gram in grams_of(text) if gram in vocabulary)
        columns = np.fromiter(counts, np.intp, len(counts))
        count = np.fromiter(counts.values(), np.float64, len(counts))
        norm = np.linalg.norm(count * vectorizer.idf_[columns])
        found: Array = count @ weight[columns] / max(float(norm), 1e-12) + model.intercept_
        return found

    def scores(x: Array) -> Array:
        found = np.stack([logits(str(text)) for text in x])
        found = np.exp(found - found.max(axis=1, keepdims=True))
        probabilities: Array = found / found.sum(axis=1, keepdims=True)
        return probabilities

    return Victim(name, domain, scores, model.coef_.size)


def _language_model(name: str, domain: Domain) -> Victim:
    def scores(x: Array) -> Array:
        raise TypeError("a language model gives no scores")

    endpoint = Endpoint()
    return Victim(name, domain, scores, endpoint.output.size, endpoint=endpoint)


@cache
def _domain(name: str) -> Domain:
    makers: dict[str, Callable[[], Domain]] = {
        "digits": domains.digits,
        "mnist": domains.mnist,
        "tumours": domains.tumours,
        "health": domains.health,
        "topics": domains.topics,
    }
    return makers[name]()


VICTIMS: dict[str, Callable[[], Victim]] = {
    "V1-mlp": lambda: _network("V1-mlp", _domain("digits"), 64, l2=1.0, linf=0.12),
    "V1-rf": lambda: _forest("V1-rf", _domain("digits"), l2=0.8, linf=0.2),
    "V2-mlp": lambda: _network("V2-mlp", _domain("mnist"), 32, l2=1.5, linf=0.08),
    "V2-lr": lambda: _linear("V2-lr", _domain("mnist"), l2=1.2, linf=0.06),
    "V3-lr": lambda: _linear("V3-lr", _domain("tumours"), l2=0.5, linf=0.1),
    "V3-rf": lambda: _forest("V3-rf", _domain("tumours"), l2=0.5, linf=0.1),
    "V4-gb": lambda: _boosted("V4-gb", _domain("health")),
    "V5-text": lambda: _text_classifier("V5-text", _domain("topics")),
    "V6-llm": lambda: _language_model("V6-llm", _domain("topics")),
}


@cache
def victim(name: str) -> Victim:
    """The trained model of this name."""
    with threadpool_limits(1):  # many threads only get in each other's way on products this small
        return VICTIMS[name]()
