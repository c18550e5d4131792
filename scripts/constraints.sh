#!/bin/sh
# Rewrites constraints.txt from the environment $1 (default .venv), after its tests passed.
set -eu
cd "$(dirname "$0")/.."
venv=${1:-.venv}
{
    echo "# Every version that was tested together. Made by: scripts/constraints.sh"
    # The CPU and CUDA builds share one version; which of them is installed is the Makefile's choice.
    "$venv/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable --exclude lockgate |
        sed 's/^torch==\([0-9.]*\).*/torch==\1/'
} > constraints.txt.new
mv constraints.txt.new constraints.txt
