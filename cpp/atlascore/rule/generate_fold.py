"""Writes fold_table.inc: Unicode simple case folding (CaseFolding.txt, status C and S) as a two-level table.

    python generate_fold.py OUTPUT

Derived from Python's own Unicode data. `str.casefold` is the full folding (C and F). Where that is one code
point it is C; where it is longer, the simple folding, if there is one, is the lower case.
"""

import sys
from pathlib import Path

PAGE = 64
# Simple foldings of code points that equal another in all but encoding; lower() does not know them.
SIMPLE_ONLY = {0x1FD3: 0x0390, 0x1FE3: 0x03B0, 0xFB05: 0xFB06}


def simple_fold(code_point: int) -> int:
    if 0xD800 <= code_point < 0xE000:
        return code_point
    if code_point in SIMPLE_ONLY:
        return SIMPLE_ONLY[code_point]
    character = chr(code_point)
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return ord(folded)
    return code_point


def numbers(values: list[int]) -> str:
    return "\n".join(
        "    " + " ".join(f"{v}," for v in values[i : i + 16]) for i in range(0, len(values), 16)
    )


def main(output: str) -> None:
    deltas = [simple_fold(c) - c for c in range(0x110000)]
    last = max(c for c, delta in enumerate(deltas) if delta)
    pages: dict[tuple[int, ...], int] = {}
    index = []
    for start in range(0, last + 1, PAGE):
        page = tuple(deltas[start : start + PAGE])
        index.append(pages.setdefault(page, len(pages)))
    assert len(pages) < 256
    flat = [delta for page in pages for delta in page]
    Path(output).write_text(
        f"constexpr unsigned page_bits = {PAGE.bit_length() - 1};\n"
        f"constexpr char32_t last_folding = {last};\n"
        f"constexpr std::uint8_t page_of[] = {{\n{numbers(index)}\n}};\n"
        f"constexpr std::int32_t delta_of[] = {{\n{numbers(flat)}\n}};\n"
    )


if __name__ == "__main__":
    main(sys.argv[1])
