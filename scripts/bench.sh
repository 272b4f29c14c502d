#!/usr/bin/env bash
# Measure everything in bench/ beside its peers; rewrites bench/results.json and the tables of bench/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
rows=build/bench/rows
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

# One by one: a peer that cannot be had is reported in the table, it does not stop the others.
grep -v '^#' bench/requirements.txt | while read -r peer; do
    "$python" -m pip install -q --disable-pip-version-check "$peer" || echo "bench.sh: $peer does not install" >&2
done

mkdir -p "$rows"
rm -f "$rows"/*.json
failed=""
measure() { # name, command...
    echo "== $1"
    "${@:2}" --rows "$rows/$1.json" || failed="$failed $1"
}
measure 1-speed "$python" -m pytest bench -q
measure 2-contention "$python" bench/contention.py
measure 3-memory "$python" bench/memory.py
measure 4-flood "$python" bench/scale/flood.py
if command -v valgrind >/dev/null; then
    bench/callgrind/count.sh >"$rows/instructions"
    measure 5-instructions "$python" bench/callgrind/gate.py <"$rows/instructions"
else
    echo "bench.sh: no valgrind, instructions are not counted" >&2
fi

"$python" bench/table.py "$rows"/*.json
if [ -n "$failed" ]; then
    echo "bench.sh: failed:$failed" >&2
    exit 1
fi
