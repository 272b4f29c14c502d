#!/usr/bin/env bash
# Everything a bare machine needs: system packages, a virtual environment, the build. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

packages="g++ make pkg-config libxxhash-dev libhwy-dev libssl-dev libre2-dev libsimdjson-dev doctest-dev"

python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
    packages="$packages python3"
fi
# A system Python comes without its headers and without venv.
has_headers='import ensurepip, os, sysconfig; os.stat(os.path.join(sysconfig.get_paths()["include"], "Python.h"))'
if ! "$python" -c "$has_headers" 2>/dev/null; then
    packages="$packages python3-dev python3-venv"
fi

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
        # shellcheck disable=SC2086
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
    fi
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "atlascore needs Python 3.10 or newer; set PYTHON to one" >&2
    exit 1
}
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv
fi
exec scripts/build.sh
