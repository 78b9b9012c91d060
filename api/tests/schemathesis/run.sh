#!/usr/bin/env bash
# Schemathesis against the demo's server, with signed calls and all checks.
# Usage: run.sh [EXAMPLES]     what a fuller run takes: run.sh 5000
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."
examples=${1:-200}
version=4.32.5
venv=target/schemathesis/venv-$version
if [[ ! -x $venv/bin/st ]]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi
cargo build -p callsweep-api
work=$(mktemp -d target/schemathesis/run.XXXXXX)
target/debug/callsweep-api demo --database "$work/demo.db" --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 \
    >"$work/guide" 2>"$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" || true; rm -rf "$work"' EXIT
until grep -q "Stop with Ctrl-C" "$work/guide"; do
    kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.2
done
# The endpoint: http://ADDRESS   access key: KEY   secret key: SECRET
read -r url ACCESS_KEY SECRET_KEY < <(sed -n 's/^The endpoint: \([^ ]*\) *access key: \([^ ]*\) *secret key: \(.*\)$/\1 \2 \3/p' "$work/guide")
export ACCESS_KEY SECRET_KEY SCHEMATHESIS_HOOKS=$here/hooks.py PYTHONDONTWRITEBYTECODE=1
# A call may remove 100,000 numbers, which takes its time in a debug build: the contract promises no time.
"$venv/bin/st" run "$url/openapi.json" --checks all --max-examples "$examples" --continue-on-failure \
    --request-timeout 300 --max-response-time 300 --generation-database none --no-color
