#!/usr/bin/env bash
# Instructions per route.decide, the call from Python included: the difference of two run lengths under callgrind.
#   bench/callgrind/count.sh            one line per case: name, instructions
set -euo pipefail
cd "$(dirname "$0")/../.."

short=2000
long=12000 # both long enough that every track is warm
python=${PYTHON:-.venv/bin/python}

# The interpreter's hashes must not differ from run to run, nor the thread pools of libraries start.
collected() {
    PYTHONHASHSEED=0 OPENBLAS_NUM_THREADS=1 valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$python" bench/callgrind/drive.py "$1" "$2" 2>&1 | sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p'
}

for case in no_input vector_784 text_1k prompt_1k; do
    first=$(collected "$case" $short)
    second=$(collected "$case" $long)
    if [ -z "$first" ] || [ -z "$second" ]; then
        echo "count.sh: callgrind counted nothing for $case; run bench/callgrind/drive.py $case $short by hand" >&2
        exit 2
    fi
    echo "$case $(((second - first) / (long - short)))"
done
