#!/bin/sh
# promtool finds nothing to say about /metrics, after answers, refusals and a stream. Skipped without promtool (Debian: prometheus).
set -eu
cd "$(dirname "$0")/../.."
command -v promtool >/dev/null 2>&1 || { echo "skipped: promtool is not here"; exit 77; }
command -v curl >/dev/null 2>&1 || { echo "skipped: curl is not here"; exit 77; }
gpt2q=${GPT2Q:-./gpt2q}
"$gpt2q" serve --help | grep -q "not in this build" && { echo "skipped: this build has no server"; exit 77; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/gpt2q-promtool.XXXXXX")
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
"$gpt2q" serve -j 1 --port 0 --port-file "$dir/port" --schemes i8,f32@f32 --log-level error 2>"$dir/log" &
server=$!
i=0
while [ ! -s "$dir/port" ]; do
    i=$((i + 1))
    [ $i -lt 600 ] || { cat "$dir/log"; exit 1; }
    sleep 0.1
done
url=http://127.0.0.1:$(cat "$dir/port")
for body in '{"prompt":"a"}' '{"prompt":"a","stream":true,"max_tokens":3}' '{"prompt":' '{"model":"none","prompt":"a"}'; do
    curl -s -H 'Content-Type: application/json' -d "$body" "$url/v1/completions" >/dev/null
done
curl -sf "$url/metrics" >"$dir/metrics"
promtool check metrics <"$dir/metrics" || { echo "promtool objects"; exit 1; }
families=$(grep -c '^# TYPE ' "$dir/metrics")
[ "$families" -eq 39 ] || { echo "$families families of metrics, not 39"; exit 1; }
