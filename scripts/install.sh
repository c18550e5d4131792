#!/bin/sh
# Makes or completes the environment $1; "dev" as $2 adds the test tools. Says what it will fetch before it does.
set -eu
venv=$1
extra=$2
python=${PYTHON:-python3.11}
download_mb=650
disk_mb=2000

free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
if [ ! -x "$venv/bin/python" ]; then
    echo "Environment: about $download_mb MB to download, $disk_mb MB on disk; $free_mb MB are free here."
    if [ "$free_mb" -lt "$disk_mb" ]; then
        echo "Not enough free disk: $disk_mb MB are needed. Free some space, or set VENV to a folder on another disk." >&2
        exit 1
    fi
    "$python" -m venv "$venv"
fi

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

# pip's own bar goes to a terminal only; elsewhere the names of what it fetches keep the step from being silent.
echo "Installing PyTorch ..."
if ! "$venv/bin/python" -c 'import importlib.metadata as m, sys; sys.exit(m.version("torch").split("+")[0] != "2.13.0")' 2>/dev/null; then
    # A TORCH_INDEX that does not answer within seconds is left out: pip would try it again and again.
    if [ -n "${TORCH_INDEX:-}" ] && "$venv/bin/python" -c "
import sys, urllib.request
urllib.request.urlopen(sys.argv[1].rstrip('/') + '/torch/', timeout=8).close()" "$TORCH_INDEX" 2>/dev/null; then
        pip install "torch==2.13.0" --extra-index-url "$TORCH_INDEX" -c constraints.txt
    else
        pip install "torch==2.13.0" -c constraints.txt
    fi
fi
echo "Installing Lockgate${extra:+ and its $extra tools} ..."
if [ -n "$extra" ]; then
    pip install -e ".[$extra]" -c constraints.txt
else
    pip install -e . -c constraints.txt
fi
