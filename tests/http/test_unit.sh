#!/bin/sh
# The unit for systemd is valid where the program lies where it says, and exposes as little as the operators' chapter says.
set -e
command -v systemd-analyze >/dev/null || { echo "skipped: systemd-analyze is not here"; exit 77; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/gpt2q-unit.XXXXXX")
trap 'rm -rf "$dir"' EXIT
program=$(realpath "${GPT2Q:-./gpt2q}")
sed "s:^ExecStart=/usr/bin/gpt2q:ExecStart=$program:" tools/serve/gpt2q.service >"$dir/gpt2q.service"
grep -q "^ExecStart=$program serve" "$dir/gpt2q.service"
said=$(systemd-analyze verify --man=no "$dir/gpt2q.service" 2>&1) || { echo "failed: verify: $said"; exit 1; }
[ -z "$said" ] || { echo "failed: verify says: $said"; exit 1; }
systemd-analyze security --offline=true --threshold=11 "$dir/gpt2q.service" >"$dir/exposure" 2>&1 ||
    { echo "failed: exposed more than 1.1: $(tail -3 "$dir/exposure")"; exit 1; }
