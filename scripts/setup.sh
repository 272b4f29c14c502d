#!/usr/bin/env bash
# Everything a bare machine needs: system packages, a virtual environment, the build. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

packages="g++ make pkg-config libxxhash-dev libhwy-dev libssl-dev libre2-dev libsimdjson-dev doctest-dev"

if command -v dpkg-query >/dev/null; then
    missing=""
    for package in $packages; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        if [ "$(id -u)" = 0 ]; then sudo=""; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo"; else
            echo "atlascore needs system packages. Run this, then try again:" >&2
            echo "  sudo apt-get update && sudo apt-get install -y$missing" >&2
            exit 1
        fi
        echo "installing:$missing"
        $sudo apt-get update -qq
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq $missing >/dev/null
    fi
fi

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "atlascore needs Python 3.10 or newer; set PYTHON to one" >&2
    exit 1
}
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv 2>/dev/null || {
        echo "cannot make a virtual environment; on Debian: sudo apt-get install -y python3-venv" >&2
        exit 1
    }
fi
exec scripts/build.sh
