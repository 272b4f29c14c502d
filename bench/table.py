"""Turns measured rows into bench/results.json and the tables of bench/README.md.

python bench/table.py ROWS.json...
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rows import EVERY_PEER, Row, Target, read_rows

HERE = Path(__file__).parent
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in info.splitlines() if "model name" in line), "unknown")
    pages = int(next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines()))
    vectors = [name for name in ("avx2", "avx512f", "avx512_vnni") if name in info]
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=False).stdout.split("\n")
    return {
        "processor": model,
        "cores": len([line for line in info.splitlines() if line.startswith("processor")]),
        "memory": f"{pages / 2**20:.0f} GiB",
        "vectors": ", ".join(vectors),
        "system": f"Linux {platform.release().split('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": compiler[0],
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "load": Path("/proc/loadavg").read_text().split()[0],
    }


def _target_text(row: Row, target: Target) -> str:
    figure = "" if target.figure == "best" else f"{target.figure} "
    if not target.against:
        sign = "≥" if row.unit in ("rate", "ratio") else "≤"
        return f"{figure}{sign} {row.text(target.bound)}"
    if target.against == EVERY_PEER:
        against = "the best peer"
    else:
        against = target.against[0] if len(target.against) == 1 else "the fastest general engine"
    return f"{figure}≥ {target.bound:g}x {against}"


def _reached_text(row: Row, target: Target) -> str:
    value = row.value(target)
    if value is None:
        return "not measured"
    return f"{value:.3g}x" if target.against else row.text(value)


def _figures(row: Row, figures: dict[str, float]) -> str:
    return ", ".join(
        row.text(value) if name == "best" else f"{name} {row.text(value)}" for name, value in figures.items()
    )


def _verdicts(rows: list[Row], wanted: tuple[bool | None, ...]) -> Iterator[tuple[Row, Target]]:
    return ((row, target) for row in rows for target in row.targets if row.met(target) in wanted)


def _target_table(rows: list[Row], wanted: tuple[bool | None, ...]) -> Iterator[str]:
    yield "| What | Target | Measured |"
    yield "|---|---|---|"
    for row, target in _verdicts(rows, wanted):
        yield f"| {row.title} | {_target_text(row, target)} | {_reached_text(row, target)} |"


def _row_table(row: Row) -> Iterator[str]:
    yield f"### {row.title}"
    yield ""
    yield f"`{row.command}`. {row.note}".rstrip()
    yield ""
    has_peers = any(not entry.ours for entry in row.entries)
    yield "| | Figure | AtlasCore is better by |" if has_peers else "| | Figure |"
    yield "|---|---|---|" if has_peers else "|---|---|"
    ours = row.ours.figures
    for entry in row.entries:
        name = f"**{entry.name}**" if entry.ours else entry.name
        line = f"| {name} | {_figures(row, entry.figures) or entry.missing} |"
        if has_peers:
            known = not entry.ours and "best" in ours and "best" in entry.figures
            line += f" {row.advantage(ours['best'], entry.figures['best']):.3g}x |" if known else " |"
        yield line
    yield ""


def _markdown(rows: list[Row], where: dict[str, Any]) -> Iterator[str]:
    missed = list(_verdicts(rows, (False, None)))
    total = sum(len(row.targets) for row in rows)
    yield (
        f"Measured {where['date']} on {where['processor']}, {where['cores']} cores, {where['memory']}, "
        f"{where['vectors']}; {where['system']}, {where['python']}, {where['compiler']}. "
        f"Load average at the end: {where['load']}."
    )
    yield ""
    yield f"## Targets missed: {len(missed)} of {total}"
    yield ""
    yield from _target_table(rows, (False, None))
    yield ""
    yield f"## Targets reached: {total - len(missed)} of {total}"
    yield ""
    yield from _target_table(rows, (True,))
    yield ""
    yield "## Every figure"
    yield ""
    for row in rows:
        yield from _row_table(row)


def _print(rows: list[Row]) -> None:
    for row in rows:
        print(f"\n{row.title}")
        for entry in row.entries:
            print(f"  {entry.name:50} {_figures(row, entry.figures) or entry.missing}")
        for target in row.targets:
            verdict = {True: "reached", False: "MISSED", None: "NOT MEASURED"}[row.met(target)]
            print(f"  target {_target_text(row, target)}: {_reached_text(row, target)} {verdict}")


def main(paths: list[str]) -> None:
    rows = [row for path in paths for row in read_rows(Path(path))]
    where = machine()
    results = {"machine": where, "rows": [asdict(row) for row in rows]}
    (HERE / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    readme = HERE / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END)[1]
    body = "\n".join(_markdown(rows, where))
    readme.write_text(f"{before}{BEGIN}\n{body}{END}{after}")
    _print(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
