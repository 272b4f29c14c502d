"""The loop that is counted: `drive.py CASE CALLS` decides CALLS times. Everything is fixed, so runs are comparable."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import atlascore as ac
from traffic import START, prompts, vectors

POLICY = """
version: 1
mode: enforce
state: {seed: 7}
responses: [{name: shipped rules, action: LOG}]
"""
PRINCIPALS = 61
INPUTS = {"no_input": lambda: [None], "vector_784": lambda: list(vectors(256)), "text_1k": lambda: prompts(256, 1_024)}


def main(case: str, calls: int) -> None:
    inputs = INPUTS[case]()
    engine = ac.Engine(ac.Policy.from_text(POLICY), capacity=10_000)
    decide = engine.route(model="fraud-v3", method="predict", endpoint="/v1/models/fraud-v3:predict").decide
    names = [f"principal-{i}" for i in range(PRINCIPALS)]
    gc.disable()
    for i in range(calls):
        decide(names[i % PRINCIPALS], inputs[i % len(inputs)], START + i * 0.01)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
