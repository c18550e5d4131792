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
log=$(mktemp "${TMPDIR:-/tmp}/lockgate-install.XXXXXX")
pid=
trap 'rm -f "$log"' EXIT
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; exit 130' INT TERM

# The disk that the environment will lie on: its nearest folder that exists.
folder=$venv
while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
folder=$(cd "$folder" && pwd)
free_mb=$(df -Pm "$folder" | awk 'NR == 2 { print $4 }')
if [ ! -x "$venv/bin/python" ]; then
    echo "Environment: about $download_mb MB to download, $disk_mb MB on disk; $free_mb MB are free in $folder."
    if [ "$free_mb" -lt "$disk_mb" ]; then
        echo "Not enough free disk: $disk_mb MB are needed. Free some space, or set VENV to a folder on another disk." >&2
        exit 1
    fi
fi

# Runs a command with its output in a log, and says every second or two how far it is: seconds, size, last line.
step() {
    title=$1
    shift
    "$@" >"$log" 2>&1 &
    pid=$!
    seconds=0
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        seconds=$((seconds + 1))
        size=$(du -sm "$venv" 2>/dev/null | cut -f1)
        last=$(tail -n 1 "$log" | tr -d '\r\033' | cut -c1-60)
        if [ -t 2 ]; then
            done=$((${size:-0} * 20 / disk_mb))
            [ "$done" -gt 20 ] && done=20
            bar=$(printf '%*s' "$done" '' | tr ' ' '#')
            printf '\r\033[K%s [%-20s] %s MB, %s s  %s' "$title" "$bar" "${size:-0}" "$seconds" "$last" >&2
        elif [ $((seconds % 2)) -eq 0 ]; then
            printf '%s: %s MB, %s s  %s\n' "$title" "${size:-0}" "$seconds" "$last" >&2
        fi
    done
    [ -t 2 ] && printf '\r\033[K' >&2
    wait "$pid" && status=0 || status=$?
    pid=
    if [ "$status" -ne 0 ]; then
        echo "$title failed:" >&2
        tail -n 40 "$log" >&2
        exit 1
    fi
    echo "$title: done in $seconds s."
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

has_torch() {
    "$venv/bin/python" -c 'import importlib.metadata as m, sys
sys.exit(m.version("torch").split("+")[0] != "2.13.0")' 2>/dev/null
}

# Tried for some seconds only: pip would try an index that does not answer again and again.
torch_index_answers() {
    for _ in 1 2 3; do
        "$venv/bin/python" -c "import sys, urllib.request
urllib.request.urlopen(sys.argv[1].rstrip('/') + '/torch/', timeout=3).close()" "$TORCH_INDEX" 2>/dev/null && return 0
        echo "$TORCH_INDEX does not answer."
    done
    return 1
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
        if torch_index_answers; then
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
