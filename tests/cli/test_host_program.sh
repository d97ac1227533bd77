#!/bin/sh
# A program that loads the library as a plugin: dlclose leaves no thread and no mapping, the program's own OpenMP regions and forks
# work beside it, and the answers are the same bits. The archive links into a program as the README says.
set -eu
config=${CONFIG:-release}
case $config in sanitize | tsan | fuzz) echo "skipped: a plugin with a sanitizer needs it in the program"; exit 77 ;; esac
[ "$(uname -s)" = Linux ] || { echo "skipped: it counts threads in /proc"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "$*"
    exit 1
}
cc=${CC:-cc}
build=build/$config
make -s CONFIG="$config" CC="$cc" "$build/libgpt2q.so" "$build/libgpt2q.a" >"$dir/log" 2>&1 || {
    cat "$dir/log"
    fail "the library does not build"
}
$cc -std=c11 -D_GNU_SOURCE -Iinclude -fopenmp -pthread -O1 -o "$dir/host" tests/cli/host_program.c -ldl || fail "does not compile"
for case in unload regions fork fork-beside-regions contexts; do
    "$dir/host" "$build/libgpt2q.so" models/tales-7m $case >"$dir/log" 2>&1 || {
        cat "$dir/log"
        fail "case $case"
    }
done

# binding: two places of a CPU each, where there are two CPUs
cpus=$(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))' 2>/dev/null || echo 0)
set -- $cpus
if [ $# -gt 1 ]; then
    OMP_PLACES="{$1},{$2}" OMP_PROC_BIND=true "$dir/host" "$build/libgpt2q.so" models/tales-7m places >"$dir/log" 2>&1 || {
        cat "$dir/log"
        fail "case places"
    }
fi

# the example of gpt2q.h against the archive
sed -n 's/^ \*     //p' include/gpt2q.h | sed -n '/^#include <gpt2q.h>/,/^}/p' >"$dir/example.c"
$cc -std=c11 -Iinclude -o "$dir/example" "$dir/example.c" "$build/libgpt2q.a" -fopenmp -lcjson -lutf8proc -lm || fail "does not link"
GPT2Q_MODEL=models/tales-7m "$dir/example" >"$dir/text" || fail "the example fails"
[ -s "$dir/text" ] || fail "the example says nothing"
