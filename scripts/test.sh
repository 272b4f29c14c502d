#!/usr/bin/env bash
# Every test: C++ in three builds (release, address and undefined, thread), then Python.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

for preset in release asan tsan; do
    echo "== C++ tests, $preset"
    cmake --preset "$preset" >"build/$preset.configure.log" 2>&1 || { cat "build/$preset.configure.log" >&2; exit 1; }
    cmake --build --preset "$preset" -- -k 0 >"build/$preset.build.log" 2>&1 || { tail -n 60 "build/$preset.build.log" >&2; exit 1; }
    ctest --preset "$preset" --no-tests=error
done

echo "== Python tests"
python -m pip install -q --disable-pip-version-check -r bench/efficacy/requirements.txt
python -m pytest
