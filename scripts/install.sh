#!/bin/sh
# Makes or completes the environment $1; "dev" as $2 adds the test tools. Says what it will fetch before it does.
set -eu
venv=$1
extra=$2
python=${PYTHON:-python3.11}
download_mb=350
disk_mb=2000
if [ -n "$extra" ]; then
    download_mb=450
    disk_mb=2400
fi
. "$(dirname "$0")/installing.sh"

say_size Environment VENV

has_torch() {
    "$venv/bin/python" -c 'import importlib.metadata as m, sys
sys.exit(m.version("torch").split("+")[0] != "2.13.0")' 2>/dev/null
}

# Whether the torch that pip would take brings CUDA libraries; asks for its metadata only.
torch_brings_cuda() {
    pip install --dry-run --quiet --report "$log.json" "torch==2.13.0" -c constraints.txt
    grep -q '"name": "nvidia-' "$log.json" && status=0 || status=1
    rm -f "$log.json"
    return "$status"
}

if [ ! -x "$venv/bin/python" ]; then
    step "Environment" "$python" -m venv "$venv"
fi
if ! has_torch; then
    source=
    if [ -n "${TORCH_INDEX:-}" ]; then
        echo "Looking for PyTorch without CUDA at $TORCH_INDEX"
        if index_answers "$TORCH_INDEX"; then
            source=$TORCH_INDEX
        elif torch_brings_cuda >"$log" 2>&1; then
            echo "The package index has PyTorch with CUDA only: several GB of libraries that this machine cannot use." >&2
            echo "Run again when $TORCH_INDEX answers, name a mirror (make TORCH_INDEX=...)," >&2
            echo "or take the CUDA build on purpose (make TORCH_INDEX=)." >&2
            exit 1
        fi
    fi
    # shellcheck disable=SC2086 # no source, no option
    step "PyTorch" pip install "torch==2.13.0" ${source:+--extra-index-url "$source"} -c constraints.txt
fi
if [ -n "$extra" ]; then
    step "Lockgate with its $extra tools" pip install -e ".[$extra]" -c constraints.txt
else
    step "Lockgate" pip install -e . -c constraints.txt
fi
