"""Write the Unicode tables of text/unicode.hpp, from Python's unicodedata, as one C++ file.

Usage: generate_tables.py OUTPUT. Code points are found through two-stage tables: the high bits of the code
point choose a block of 128, equal blocks are stored once.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

CODE_POINTS = 0x110000
BLOCK = 128
HANGUL = range(0xAC00, 0xAC00 + 11172)  # composed and decomposed by arithmetic
HANGUL_VOWELS = range(0x1161, 0x1176)
HANGUL_FINALS = range(0x11A8, 0x11C3)

# Bits of the class table; unicode.hpp names them.
DECOMPOSES, COMBINES, FOLLOWS, LOWERS, SPACE, WORD, DIGIT = 1, 2, 4, 8, 16, 32, 64


def is_surrogate(code: int) -> bool:
    return 0xD800 <= code < 0xE000


def decompositions() -> dict[int, tuple[int, ...]]:
    """Full compatibility decompositions, without Hangul syllables."""
    found = {}
    for code in range(CODE_POINTS):
        if is_surrogate(code) or code in HANGUL:
            continue
        text = unicodedata.normalize("NFKD", chr(code))
        if text != chr(code):
            found[code] = tuple(map(ord, text))
    return found


def compositions() -> dict[tuple[int, int], int]:
    """Primary composites: canonical pairs that NFC puts together again."""
    found = {}
    for code in range(CODE_POINTS):
        if is_surrogate(code) or code in HANGUL:
            continue
        field = unicodedata.decomposition(chr(code))
        if not field or field.startswith("<") or unicodedata.normalize("NFC", chr(code)) != chr(code):
            continue
        parts = [int(part, 16) for part in field.split()]
        if len(parts) == 2:
            found[parts[0], parts[1]] = code
    return found


def lower_cases() -> dict[int, tuple[int, ...]]:
    found = {}
    for code in range(CODE_POINTS):
        if not is_surrogate(code) and chr(code).lower() != chr(code):
            found[code] = tuple(map(ord, chr(code).lower()))
    return found


def pooled(mapping: dict[int, tuple[int, ...]]) -> tuple[list[int], dict[int, int]]:
    """Sequences in one pool, each behind its length; and where each code point's sequence is (0: none)."""
    pool = [0]
    starts: dict[tuple[int, ...], int] = {}
    where = {}
    for code, sequence in mapping.items():
        if sequence not in starts:
            starts[sequence] = len(pool)
            pool.extend((len(sequence), *sequence))
        where[code] = starts[sequence]
    return pool, where


def two_stage(value: Callable[[int], int]) -> tuple[list[int], list[int]]:
    blocks: dict[tuple[int, ...], int] = {}
    index = []
    for first in range(0, CODE_POINTS, BLOCK):
        block = tuple(value(code) for code in range(first, first + BLOCK))
        index.append(blocks.setdefault(block, len(blocks)))
    return index, [item for block in blocks for item in block]


def array(name: str, kind: str, values: Iterable[int]) -> str:
    items = list(values)
    lines = [",".join(map(str, items[i : i + 24])) for i in range(0, len(items), 24)]
    return f"const {kind} {name}[{len(items)}] = {{\n" + ",\n".join(lines) + "};\n"


def tables(name: str, kind: str, value: Callable[[int], int]) -> str:
    index, values = two_stage(value)
    return array(f"{name}_index", "std::uint16_t", index) + array(f"{name}_values", kind, values)


def render(parts: Sequence[str]) -> str:
    head = (
        f"// Unicode {unicodedata.unidata_version}, from Python's unicodedata.\n"
        '#include "atlascore/text/unicode.hpp"\n\nnamespace atlascore::text::tables {\n\n'
    )
    return head + "\n".join(parts) + "\n}  // namespace atlascore::text::tables\n"


def main() -> None:
    decomposed, composed, lowered = decompositions(), compositions(), lower_cases()
    followers = {second for _, second in composed} | set(HANGUL_VOWELS) | set(HANGUL_FINALS)
    decomposition_pool, decomposition_at = pooled(decomposed)
    lower_pool, lower_at = pooled(lowered)

    def classes(code: int) -> int:
        if is_surrogate(code):
            return 0
        return (
            DECOMPOSES * (code in decomposed or code in HANGUL)
            | COMBINES * (unicodedata.combining(chr(code)) != 0)
            | FOLLOWS * (code in followers)
            | LOWERS * (code in lowered)
            | SPACE * chr(code).isspace()
            | WORD * (chr(code).isalnum() or chr(code) == "_")
            | DIGIT * chr(code).isdecimal()
        )

    pairs = sorted(composed)
    parts = [
        tables("class", "std::uint8_t", classes),
        tables("combining", "std::uint8_t", lambda c: 0 if is_surrogate(c) else unicodedata.combining(chr(c))),
        tables("decomposition", "std::uint16_t", lambda c: decomposition_at.get(c, 0)),
        array("decomposition_pool", "char32_t", decomposition_pool),
        tables("lower", "std::uint16_t", lambda c: lower_at.get(c, 0)),
        array("lower_pool", "char32_t", lower_pool),
        array("composition_pairs", "std::uint64_t", (first << 32 | second for first, second in pairs)),
        array("composition_results", "char32_t", (composed[pair] for pair in pairs)),
        f"const std::size_t composition_count = {len(pairs)};\n",
        f'const char unicode_version[] = "{unicodedata.unidata_version}";\n',
    ]
    if max(*decomposition_at.values(), *lower_at.values()) > 0xFFFF:
        raise SystemExit("the pools have outgrown 16-bit offsets: widen them in unicode.hpp and here")
    Path(sys.argv[1]).write_text(render(parts), encoding="ascii")


if __name__ == "__main__":
    main()
