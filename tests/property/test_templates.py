"""Template hashes, the table of templates and what a track says against their twins."""

import itertools
import math
import random
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.reference import population_reference as reference

from atlascore._core import testing_similarity, testing_templates

PIECES = st.sampled_from(
    [
        *("```", "`", "``", '"', "'", "“", "”", "«", "»", "don't", "'s ", " 'a b' ", "http://", "://", "www.", "x://y"),
        *(
            "a_www.b",
            "é",
            "_",
            "@",
            "a@b.c",
            "a.b+c@d-e.f.g",
            "@x.y",
            "a@b",
            ".",
            "-",
            "+",
            ",",
            "1",
            "12",
            "3.14",
            "1,",
        ),
        *(
            "٣",
            "½",
            "10:30",
            "x" * 39,
            "é" * 40,
            "a" * 41,
            " ",
            "\n",
            "\u3000",
            "\x1c",
            "\x85",
            "\ue003",
            "漢",
            "\U0001d7d8",
        ),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=6) | st.text("ab '\"`@:/.w1", max_size=12), max_size=40).map("".join)
PROSE = (
    "Summarise the note below in one sentence, without names and dates; write to anna.b@example.org or see "
    'https://example.org/a?b=1 and "the manual", page 12. It\'s due at 10:30, isn\'t it? ```print("x")``` Thank you.'
)


DAY = 86400.0
NOW = 20_000 * DAY


@pytest.fixture(scope="module")
def same_unicode():
    if testing_similarity.unicode_version() != unicodedata.unidata_version:
        pytest.skip("built with the Unicode tables of another Python")


@pytest.mark.usefixtures("same_unicode")
@settings(max_examples=1_000)
@given(TEXTS, st.integers(0, 2**64 - 1))
@example(PROSE, 0)
@example("", 0)
def test_hash(text, seed):
    assert testing_templates.hash(text.encode(), seed) == reference.simhash(text, seed), reference.masked(text)


TASK = (
    "You are an expert in {}. Solve the problem below step by step and state the final answer in the last line. "
    "Explain every step so that a student could follow it. Problem {}: {}"
)


@pytest.mark.usefixtures("same_unicode")
@settings(max_examples=300)
@given(TEXTS, TEXTS, st.booleans(), st.integers(0, 2**64 - 1))
def test_what_two_prompts_share(a, b, framed, seed):
    if framed:
        a, b = TASK.format(b[:5], 1, a), TASK.format("law", 2, b)
    outlines = [testing_templates.outline(text.encode(), seed) for text in (a, b)]
    assert outlines == [reference.outline(text, seed) for text in (a, b)]
    found = testing_templates.shared_template(a.encode(), b.encode(), seed)
    assert found == reference.shared_template(*outlines, seed)


def test_prompts_of_one_template_share_the_same():
    rng = random.Random(3)
    words = [f"w{''.join(rng.choices('abcdefgh', k=5))}" for _ in range(2_000)]
    prompts = [TASK.format(rng.choice(words), i, " ".join(rng.choices(words, k=20))).encode() for i in range(100)]
    pairs = itertools.pairwise(prompts)
    found = [testing_templates.shared_template(before, prompt, 7) for before, prompt in pairs]
    assert max(found.count(template) for template in set(found)) > 90 and None not in found
    others = [" ".join(rng.choices(words, k=40)).encode() for _ in range(100)]
    assert {testing_templates.shared_template(before, prompt, 7) for before, prompt in itertools.pairwise(others)} == {
        None
    }


@pytest.mark.usefixtures("same_unicode")
def test_every_code_point_among_others():
    """Which characters are letters, digits and white space decides what is masked."""
    for first in (*range(0, 0x32400, 64), *range(0xE0000, 0xE0200, 64), 0x10FFC0):  # few others are assigned
        points = [chr(code) for code in range(first, first + 64) if not 0xD800 <= code < 0xE000]
        text = " ".join(f"a{c}'x y' {c}12{c}3 b{c}@c.{c}d" for c in points)
        assert testing_templates.hash(text.encode(), 1) == reference.simhash(text, 1), hex(first)


@pytest.mark.usefixtures("same_unicode")
def test_long_texts():
    rng = random.Random(5)
    words = [*PROSE.split(), "é" * 30, "漢字", "“a", "b”", "`", "'"]
    for size in (100, 3_000, 40_000):
        for _ in range(5):
            text = " ".join(rng.choices(words, k=size // 6))
            assert testing_templates.hash(text.encode(), 3) == reference.simhash(text, 3)


@pytest.mark.usefixtures("same_unicode")
@given(st.binary(max_size=60))
def test_bad_bytes_are_replaced(data):
    text = data.decode("utf-8", "replace")
    assert testing_templates.hash(b"a " + data + b" b", 0) == reference.simhash(f"a {text} b")


@pytest.mark.parametrize("mark", ["`", "```", '"', "“", "«", "'", "@", "a@", "http://", "www.", "1.", "a" * 50])
def test_work_is_linear(mark):
    """What never closes is looked for once: a quadratic scan would take minutes."""
    text = (f"{mark} x" * 20_000)[: reference.TEMPLATE_BYTES].encode()
    for _ in range(50):
        testing_templates.hash(text, 0)


# Hashes near each other: a base, and one with up to eight bits changed.
HASHES = st.tuples(
    st.sampled_from([0x0123456789ABCDEF, 0xFEDCBA9876543210]), st.sets(st.integers(0, 63), max_size=8)
).map(lambda made: made[0] ^ sum(1 << bit for bit in made[1]))


@given(st.lists(HASHES, max_size=15))
def test_a_prompt_belongs_to_the_nearest_template(prompts):
    replay, twin = testing_templates(), reference.Templates()
    for prompt in prompts:
        at = twin.visit(prompt, "p", NOW, NOW)
        assert replay.visit(prompt, 0, NOW) == twin.hashes[at]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from([3, 7 << 20, 15 << 40]), st.integers(1, 12)), max_size=60), st.integers(0, 2**32)
)
def test_young_principals(visits, seed):
    """Within a day: the next one's share of the count falls evenly instead of one by one."""
    replay, twin = testing_templates(), reference.Templates()
    for i, (prompt, person) in enumerate(visits):
        replay.visit(prompt, random.Random(f"{seed} {person}").getrandbits(64) | 1, NOW + 60 * i)
        at = twin.visit(prompt, str(person), NOW, NOW + 60 * i)
        exact = twin.principals(at, NOW + 60 * i)
        # Two of twelve share a register in every fourth set, three or four hardly ever.
        assert exact - 4 <= replay.young(prompt, NOW + 60 * i) <= exact + 3


WINDOWS = st.sampled_from([60.0, 300.0, 86400.0])


@given(WINDOWS, st.lists(st.tuples(st.integers(1, 7), st.sampled_from([0, 0, 0, 0.1, 0.4, 1.7])), max_size=150))
def test_share_of_the_top_template(window, prompts):
    replay, twin = testing_templates(), reference.TemplateShare(window)
    now = NOW
    for name, gap in prompts:
        now += round(gap * window)
        replay.add_template(name, window, now)
        twin.add(name, now)
        for later in (0, 0.3, 1.2):
            seen, expected = replay.template_share(now + later * window), twin_copy(twin).signal(now + later * window)
            assert (math.isnan(seen) and math.isnan(expected)) or seen == pytest.approx(expected, abs=1e-9)


def twin_copy(twin):
    """Reading moves the twin on."""
    copy = reference.TemplateShare(twin.window)
    copy.__dict__.update(twin.__dict__)
    return copy


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 700)), max_size=60))
def test_known_probes(hits):
    """Eight entries, so that none is forgotten; times in whole minutes."""
    families = [0, 0, 0, 0, 0, 1, 1, 1]
    probes = [reference.Probe(str(family), f"{i}", (i, 0), 0b1111 << 8 * i) for i, family in enumerate(families)]
    replay, twin = testing_templates(), reference.KnownProbes(probes)
    now = NOW
    for entry, minutes in hits:
        now += 60 * minutes
        replay.add_probe(entry, now)
        twin.add((entry, 0), 0, now)
        for later in (0, 6 * 3600, DAY):
            assert replay.known_probes(families, now + later) == twin.signal(now + later)
