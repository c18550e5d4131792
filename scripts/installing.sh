# What the install scripts share; read by ". scripts/installing.sh" after venv, download_mb and disk_mb are set.
# shellcheck shell=sh
log=$(mktemp "${TMPDIR:-/tmp}/lockgate-install.XXXXXX")
pid=
trap 'rm -f "$log"' EXIT
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; exit 130' INT TERM

# Says what will be fetched, and ends the script when the disk that the environment will lie on is too full for it.
say_size() {
    folder=$venv # its nearest folder that exists
    while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
    folder=$(cd "$folder" && pwd)
    free_mb=$(df -Pm "$folder" | awk 'NR == 2 { print $4 }')
    if [ ! -x "$venv/bin/python" ]; then
        echo "$1: about $download_mb MB to download, $disk_mb MB on disk; $free_mb MB are free in $folder."
        if [ "$free_mb" -lt "$disk_mb" ]; then
            echo "Not enough free disk: $disk_mb MB are needed. Free some space, or set $2 to a folder on another disk." >&2
            exit 1
        fi
    fi
}

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

# Whether the package index $1 answers. Tried for some seconds only: pip would try an index that does not answer again and again.
index_answers() {
    for _ in 1 2 3; do
        "$venv/bin/python" -c "import sys, urllib.request
urllib.request.urlopen(sys.argv[1].rstrip('/') + '/torch/', timeout=3).close()" "$1" 2>/dev/null && return 0
        echo "$1 does not answer."
    done
    return 1
}
