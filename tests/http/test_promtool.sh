#!/bin/sh
# promtool finds nothing to say about /metrics, after answers, refusals and a stream. Skipped without promtool (Debian: prometheus).
set -eu
cd "$(dirname "$0")/../.."
command -v promtool >/dev/null 2>&1 || { echo "skipped: promtool is not here"; exit 77; }
command -v curl >/dev/null 2>&1 || { echo "skipped: curl is not here"; exit 77; }
. tests/http/start_server.sh
start_server -j 1 --schemes i8,f32@f32
url=http://127.0.0.1:$port
for body in '{"prompt":"a"}' '{"prompt":"a","stream":true,"max_tokens":3}' '{"prompt":' '{"model":"none","prompt":"a"}'; do
    curl -s -H 'Content-Type: application/json' -d "$body" "$url/v1/completions" >/dev/null
done
curl -sf "$url/metrics" >"$dir/metrics"
promtool check metrics <"$dir/metrics" || { echo "promtool objects"; exit 1; }
families=$(grep -c '^# TYPE ' "$dir/metrics")
[ "$families" -eq 39 ] || { echo "$families families of metrics, not 39"; exit 1; }
