#!/usr/bin/env bash
# Install the package into .venv in editable form; the C++ core is rebuilt when its sources changed.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
exec 9>build/.lock
flock 9

stamp=build/.installed
if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    .venv/bin/python -m pip install -q --disable-pip-version-check --upgrade pip
    .venv/bin/python -m pip install -q --disable-pip-version-check \
        "scikit-build-core>=0.11" "pybind11>=3.0" "cmake>=3.22,<5" ninja build
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-build-isolation -e '.[test,demo]'
    touch "$stamp"
elif [ -n "$(find cpp cmake CMakeLists.txt -newer "$stamp" -print -quit)" ]; then
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
    touch "$stamp"
fi
