#!/bin/sh
# Creates a virtual environment with a current pip: create_venv.sh PYTHON FOLDER
set -eu
python=$1
folder=$2
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is older than 3.11; name a newer one: make PYTHON=python3.12 ..." >&2
    exit 1
fi
if [ ! -x "$folder/bin/python" ]; then
    # Debian keeps venv in a package of its own.
    if ! "$python" -m venv "$folder" && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq python3-venv
        "$python" -m venv "$folder"
    fi
fi
# --group needs pip 25.1.
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
