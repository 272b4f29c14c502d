from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from bench.efficacy.endpoint import RANK, VOCABULARY, Endpoint
from bench.efficacy.trees import Trees
from bench.efficacy.victims import VICTIMS, victim

CLASSIFIERS = [name for name in VICTIMS if name != "V6-llm"]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scores_are_probabilities_and_better_than_chance(name: str) -> None:
    model = victim(name)
    scores = model.scores(model.domain.held[:200])
    assert scores.shape == (200, model.domain.classes)
    assert np.allclose(scores.sum(axis=1), 1)
    right = (scores.argmax(axis=1) == model.domain.held_labels[:200]).mean()
    assert right > 1.15 / model.domain.classes
    assert np.allclose(model.scores(model.domain.held[:1]), scores[:1])


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_natural_inputs_are_on_the_grid_and_of_their_class(name: str) -> None:
    model = victim(name)
    x = model.domain.natural(300, np.random.default_rng(0), label=0)
    assert np.array_equal(model.domain.snap(x), x)
    assert (model.labels(x) == 0).mean() > 1.15 / model.domain.classes


def test_fast_trees_agree_with_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((300, 5)), rng.integers(0, 3, 300)
    forest = RandomForestClassifier(7, max_depth=6, random_state=0).fit(x, y)
    ours = Trees([tree.tree_ for tree in forest.estimators_]).sums(x) / 7
    assert np.allclose(ours, forest.predict_proba(x))


def test_the_projection_layer_has_its_rank_and_answers_do_not_change() -> None:
    endpoint = Endpoint()
    logits = np.stack([endpoint.logits(f"prompt {i}") for i in range(RANK + 8)])
    assert logits.shape == (RANK + 8, VOCABULARY)
    assert np.linalg.matrix_rank(logits) == RANK
    biased = {"top_logprobs": 5, "logit_bias": {17: 40.0}}
    first, second = endpoint.complete("hello", **biased), endpoint.complete("hello", **biased)
    assert first == second
    assert first.top[0][0] == 17
    assert endpoint.complete("hello", max_tokens=3).tokens == 3
