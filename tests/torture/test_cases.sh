#!/bin/sh
# Every fault that was shown by a script once, shared/cases/NAME/run.sh: each ends with 0. Skipped where they are not here.
set -u
cd "$(dirname "$0")/../.."
cases=${GPT2Q_SHARED:-../shared}/cases
[ -f "$cases/lib.sh" ] || { echo "skipped: $cases is not here"; exit 77; }
command -v bash >/dev/null || { echo "skipped: bash is not here"; exit 77; }
GPT2Q=$(realpath "${GPT2Q:-./gpt2q}")
export GPT2Q
failed=0 n=0
for run in "$cases"/*/run.sh; do
    n=$((n + 1))
    said=$(timeout 60 bash "$run" 2>&1) || { printf '%s: status %s\n%s\n' "$run" $? "$said"; failed=1; }
done
echo "$n cases"
[ "$n" -gt 0 ] || exit 1
exit $failed
