#!/bin/sh
# Makes or completes the environment $1; "dev" as $2 adds the test tools. Says what it will fetch before it does.
set -eu
venv=$1
extra=$2
python=${PYTHON:-python3.11}
download_mb=650
disk_mb=2000
log=$(mktemp "${TMPDIR:-/tmp}/lockgate-install.XXXXXX")
trap 'rm -f "$log"' EXIT

free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
if [ ! -x "$venv/bin/python" ]; then
    echo "Environment: about $download_mb MB to download, $disk_mb MB on disk; $free_mb MB are free here."
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
    if ! wait "$pid"; then
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

# A TORCH_INDEX that does not answer within seconds is left out: pip would try it again and again.
torch_index_answers() {
    [ -n "${TORCH_INDEX:-}" ] && "$venv/bin/python" -c "import sys, urllib.request
urllib.request.urlopen(sys.argv[1].rstrip('/') + '/torch/', timeout=2).close()" "$TORCH_INDEX" 2>/dev/null
}

if [ ! -x "$venv/bin/python" ]; then
    step "Environment" "$python" -m venv "$venv"
fi
if ! has_torch; then
    [ -z "${TORCH_INDEX:-}" ] || echo "Looking for PyTorch without CUDA at $TORCH_INDEX"
    if torch_index_answers; then
        step "PyTorch" pip install "torch==2.13.0" --extra-index-url "$TORCH_INDEX" -c constraints.txt
    else
        step "PyTorch" pip install "torch==2.13.0" -c constraints.txt
    fi
fi
if [ -n "$extra" ]; then
    step "Lockgate with its $extra tools" pip install -e ".[$extra]" -c constraints.txt
else
    step "Lockgate" pip install -e . -c constraints.txt
fi
