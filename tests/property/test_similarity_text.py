"""Normalisation, MinHash and text sketches against their twin."""

import random
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import similarity_reference as reference

from atlascore import similarity
from atlascore._core import testing_similarity as core

HANGUL = st.characters(min_codepoint=0x1100, max_codepoint=0x11FF) | st.characters(
    min_codepoint=0xAC00, max_codepoint=0xD7A3
)
MARKS = st.characters(min_codepoint=0x300, max_codepoint=0x36F) | st.sampled_from("\u093c\u3099\u09be\u0f71\U0001d165")
TEXTS = st.lists(
    st.text(max_size=20)
    | st.text(st.characters(max_codepoint=127), max_size=100)
    | st.text(HANGUL, max_size=6)
    | st.text(MARKS | st.sampled_from("aeoAEO かक"), max_size=8)
    | st.sampled_from(["  ", "\u3000\x1c", "½", "ﬃ", "İ", "ΣΣ", "①٣", "\u0344", "ﷺ" * 50]),
    max_size=12,
).map("".join)


@pytest.fixture(scope="module")
def same_unicode():
    if core.unicode_version() != unicodedata.unidata_version:
        pytest.skip(f"built with Unicode {core.unicode_version()}, this Python has {unicodedata.unidata_version}")


def normalised(text: str) -> str:
    return core.normalise(text.encode()).decode()


@pytest.mark.usefixtures("same_unicode")
def test_every_code_point_alone_and_among_others():
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000:
            for text in (chr(code), f"Aa {chr(code)}\u0301\u0323 z"):
                assert normalised(text) == reference.normalise(text), hex(code)


@pytest.mark.usefixtures("same_unicode")
@given(TEXTS)
def test_normalisation(text):
    assert normalised(text) == reference.normalise(text)


@given(st.binary(max_size=60))
def test_bad_bytes_are_replaced(data):
    assert normalised(data.decode("utf-8", "replace")) == core.normalise(data).decode()


@pytest.mark.usefixtures("same_unicode")
def test_pieces_join_without_a_seam():
    rng = random.Random(5)
    alphabet = "abc  \n9é가각한ᄀ\u0301\u0323\u3099かﷺ漢"
    for size in (1_000, 16_383, 16_384, 16_385, 50_000, 300_000):
        text = "".join(rng.choice(alphabet) for _ in range(size))
        for variant in (text, "x" * size + "\u0301" + text, " " * size + text):
            assert normalised(variant) == reference.normalise(variant)


def test_work_on_marks_is_linear():
    marks = "a" + "\u0301\u0323" * 200_000
    assert len(normalised(marks)) >= 399_999


@pytest.mark.usefixtures("same_unicode")
@given(TEXTS, st.sampled_from([1, 2, 7, 64, 100, 128]), st.booleans(), st.integers(0, 2**64 - 1))
def test_minhash(text, bins, words, seed):
    found = similarity.minhash(text, bins=bins, words=words, seed=seed)
    assert found.tolist() == reference.minhash(text, bins, words, seed)


@pytest.mark.usefixtures("same_unicode")
@given(TEXTS, st.integers(0, 2**64 - 1))
def test_text_sketch(text, seed):
    linear, minhash, shingles, low, high = core.text_sketch(text.encode(), seed)
    assert shingles == len(reference.shingles(text))
    assert (low, high) == reference.sketch_text(text, seed).digest
    assert np.allclose(linear, reference.term_sketch(text, seed), atol=1e-6)
    if shingles >= reference.MINIMUM_SHINGLES:
        assert minhash.tolist() == [rank & 255 for rank in reference.minhash(text, seed=seed)]


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.floats(0.05, 0.95))
def test_equal_bins_estimate_the_jaccard_similarity(seed, share):
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnop", k=7)) for _ in range(150)]
    a = " ".join(words[:100])
    b = " ".join(words[round(50 * (1 - share)) : round(50 * (1 - share)) + 100])
    exact = reference.exact_jaccard(a, b)
    estimates = [similarity.jaccard(similarity.minhash(a, seed=s), similarity.minhash(b, seed=s)) for s in range(64)]
    # The mean of 64 estimates of standard deviation <= 0.0625.
    assert abs(np.mean(estimates) - exact) < 5 * 0.0625 / 8
    assert np.std(estimates) < 0.0625 * 1.5
