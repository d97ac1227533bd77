#!/bin/sh
# include/gpt2q.h alone is enough: it compiles as C11 and C++17 without a warning, and the example in its head builds
# against libgpt2q.a and says what the program says.
set -eu
case ${CONFIG:-release} in sanitize | tsan) echo "skipped: the archive wants the sanitizer's run time"; exit 77 ;; esac
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cc=${CC:-cc} build=${BUILD:-build/release}
fail() {
    echo "$*"
    exit 1
}

printf '#include <gpt2q.h>\n' | $cc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror -Iinclude -x c -fsyntax-only -
case $cc in *clang*) cxx=clang++ ;; *) cxx=c++ ;; esac
if command -v $cxx >/dev/null 2>&1; then
    printf '#include <gpt2q.h>\n' | $cxx -std=c++17 -Wall -Wextra -pedantic -Werror -Iinclude -x c++ -fsyntax-only -
fi

awk '/^ \*     #include <gpt2q.h>/ { on = 1 } on && /^ \* [^ ]/ { exit } on { print substr($0, 8) }' include/gpt2q.h >"$dir/example.c"
[ "$(wc -l <"$dir/example.c")" -gt 20 ] || fail "the example was not found in include/gpt2q.h"
[ -x "${GPT2Q:-}" ] || { echo "skipped: there is no program to compare with"; exit 77; }
MAKEFLAGS='' make -s CONFIG="${CONFIG:-release}" CC="$cc" "$build/libgpt2q.a"
$cc -std=c11 -Wall -Wextra -Werror -Iinclude -o "$dir/example" "$dir/example.c" "$build/libgpt2q.a" \
    -pthread -fopenmp $(pkg-config --libs libcjson libutf8proc) -lm
"$dir/example" models/tales-7m >"$dir/said"
"$GPT2Q" generate -m models/tales-7m -q i8 -n 16 --quiet "Once upon a time" >"$dir/expected"
[ -s "$dir/said" ] || fail "the example says nothing"
# One of them may end with a line feed that the other leaves out.
[ "$(cat "$dir/said")" = "$(cat "$dir/expected")" ] || fail "the example says $(cat "$dir/said"), gpt2q $(cat "$dir/expected")"
if "$dir/example" "$dir/nothing" >"$dir/said"; then fail "the example succeeds without a model"; fi
grep -q "$dir/nothing" "$dir/said" || fail "the error does not name the model: $(cat "$dir/said")"
