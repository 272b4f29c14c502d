"""The loop that is counted: `drive.py CASE CALLS` decides CALLS times. Everything is fixed, so runs are comparable."""

from __future__ import annotations

import gc
import itertools
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from traffic import START, prompts, vectors

import atlascore as ac

POLICY = """
version: 1
mode: enforce
state: {seed: 7}
models: {fraud-v3: {kind: classifier}, assistant: {kind: llm}}
responses: [{name: shipped rules, action: LOG}]
"""
PRINCIPALS = 61
INPUTS: dict[str, Callable[[], list[Any]]] = {
    "no_input": lambda: [None],
    "vector_784": lambda: list(vectors(256)),
    "text_1k": lambda: prompts(256, 1_024),
    "prompt_1k": lambda: prompts(256, 1_024),
}


def main(case: str, calls: int) -> None:
    inputs = INPUTS[case]()
    engine = ac.Engine(ac.Policy.from_text(POLICY), capacity=10_000)
    model = "assistant" if case == "prompt_1k" else "fraud-v3"
    decide = engine.route(model=model, method="predict", endpoint=f"/v1/models/{model}:predict").decide
    names = [f"principal-{i}" for i in range(PRINCIPALS)]
    times = itertools.islice(itertools.count(START, 0.01), calls)
    gc.disable()
    # The loop is the interpreter's own, in C: it adds some 100 instructions a call.
    deque(map(decide, itertools.cycle(names), itertools.cycle(inputs), times), maxlen=0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
