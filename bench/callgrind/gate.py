"""Holds the instructions per decision against the ceilings.

bench/callgrind/count.sh | python bench/callgrind/gate.py [--rows FILE]     exit status 1 above a ceiling
bench/callgrind/count.sh | python bench/callgrind/gate.py --set             new ceilings: what was counted + 10 %
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rows import Entry, Row, write_rows

CEILINGS = Path(__file__).parent / "ceilings.json"
MARGIN = 1.1
TITLES = {
    "no_input": "instructions per route.decide: no input",
    "vector_784": "instructions per route.decide: 784-d vector",
    "text_1k": "instructions per route.decide: 1 KB of text for a classifier",
    "prompt_1k": "instructions per route.decide: 1 KB prompt for a language model",
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", action="store_true", help="write the ceilings")
    parser.add_argument("--rows", type=Path, help="write the measured rows to this JSON file")
    options = parser.parse_args()
    counted = {case: int(number) for case, number in (line.split() for line in sys.stdin)}
    if missing := TITLES.keys() - counted:
        print(f"gate.py: nothing was counted for {', '.join(sorted(missing))}", file=sys.stderr)
        return 2
    if options.set:
        ceilings = {case: round(number * MARGIN) for case, number in counted.items()}
        CEILINGS.write_text(json.dumps(ceilings, indent=2) + "\n")
    ceilings = json.loads(CEILINGS.read_text())
    for case, number in counted.items():
        verdict = "ok" if number <= ceilings[case] else "TOO MANY"
        print(f"{case}: {number:,} instructions, ceiling {ceilings[case]:,}: {verdict}")
    if options.rows is not None:
        write_rows(options.rows, [_row(case, number, ceilings[case]) for case, number in counted.items()])
    return int(any(number > ceilings[case] for case, number in counted.items()))


def _row(case: str, number: int, ceiling: int) -> Row:
    return Row(
        f"instructions_{case}",
        TITLES[case],
        "bench/callgrind/count.sh",
        "count",
        [],  # the ceiling is what was once counted + 10 %, not a target
        [Entry("AtlasCore", True, {"best": number})],
        f"Ceiling {ceiling:,}. The call from Python included; AVX2, which is the most that callgrind knows.",
    )


if __name__ == "__main__":
    sys.exit(main())
