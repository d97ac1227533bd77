#!/bin/sh
# bench --beside N: the report says it, and the neighbours end with the program, however it ends. OMP_NUM_THREADS is the default of -j.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
program=${GPT2Q:-build/release/gpt2q}
case $program in /*) ;; *) program=$root/$program ;; esac
[ -x "$program" ] || { echo "skipped: there is no program"; exit 77; }
[ "$(uname -s)" = Linux ] || { echo "skipped: it reads /proc"; exit 77; }
cd "$root"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp "$program" "$dir/bench-me" # a name of its own, to find its processes by
ln -s "$root/models" "$dir/models"
fail() {
    echo "$*"
    cat "$dir/err"
    exit 1
}
# processes that run the copy
count() { ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c "$dir/bench-me" || :; }
# within 10 seconds there are N
expect() {
    for i in $(seq 100); do
        [ "$(count)" != "$1" ] || return 0
        sleep 0.1
    done
    fail "$2: $(count) processes where $1 are expected"
}

"$dir/bench-me" bench --beside 2 --decode 4 --repeat 1 --schemes i8 -j 1,2 --json >"$dir/out" 2>"$dir/err" || fail "exit code $?"
grep -q '"beside": *2' "$dir/out" || fail "the document does not say it"
[ "$(grep -o '"test": *"decode"' "$dir/out" | wc -l)" -eq 2 ] || fail "two tests are expected"
[ "$(count)" -eq 0 ] || fail "neighbours are left"

for signal in INT TERM KILL; do
    env --default-signal=INT "$dir/bench-me" bench --beside 2 --decode 400 --repeat 1000 --schemes i8 -j 1 \
        >"$dir/out" 2>"$dir/err" &
    pid=$!
    expect 3 "while it runs"
    kill -$signal $pid
    code=0
    wait $pid || code=$?
    case $signal in INT) want=130 ;; TERM) want=143 ;; KILL) want=137 ;; esac
    [ $code = $want ] || fail "$signal: exit code $code"
    expect 0 "after $signal"
done

OMP_NUM_THREADS=1 "$program" bench --decode 2 --repeat 1 --schemes i8 --json >"$dir/out" 2>"$dir/err" || fail "exit code $?"
grep -q '"threads": *1\b' "$dir/out" || fail "OMP_NUM_THREADS=1 is not the default of -j"
if [ "$(nproc)" -gt 1 ]; then
    OMP_NUM_THREADS=2 "$program" bench --decode 2 --repeat 1 --schemes i8 --json >"$dir/out" 2>"$dir/err" || fail "exit code $?"
    grep -q '"threads": *2\b' "$dir/out" || fail "OMP_NUM_THREADS=2 is not the default of -j"
fi
"$program" --version | grep -Eq '^OpenMP runtime: (libgomp|libomp)$' || fail "--version does not name the OpenMP runtime"
