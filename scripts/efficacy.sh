#!/usr/bin/env bash
# The detection benchmark: five seeds, below 20 minutes on two idle cores. Arguments go to it: --quick, --out DIR ...
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/python -m pip install -q --disable-pip-version-check -r bench/efficacy/requirements.txt
exec .venv/bin/python -W ignore -m bench.efficacy "$@"
