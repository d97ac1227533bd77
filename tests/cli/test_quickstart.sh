#!/bin/sh
# tools/quickstart in a tree that is built: the command as one types it, its answer, what to try next. What it counts is tried with
# a make of its own.
set -eu
[ "${CONFIG:-release}" = release ] || { echo "skipped: quickstart makes the release build"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "$1:"; cat "$dir/out"; exit 1; }

mkdir "$dir/tree"
cp "$root/tools/needs.sh" "$dir/tree"
cd "$dir/tree"
cat >Makefile <<'END'
all: a b
build/release/flags build/release/datadir: FORCE
	@mkdir -p $(@D) && touch $@
a b: build/release/flags
	@printf '  %-5s %s\n' CC $@; touch $@
bad:
	@printf '  %-5s %s\n' CC $@; false
FORCE:
END
. ./needs.sh
build all >"$dir/out"
[ "$(sort "$dir/out")" = "[1/2] CC a
[2/2] CC b" ] || [ "$(sort "$dir/out")" = "[1/2] CC b
[2/2] CC a" ] || fail "two steps of two are expected"
if build bad >"$dir/out" 2>&1; then fail "a build that fails was passed over"; fi

# The program itself, unless something would have to be built: that is make's own business.
cd "$root"
unset MAKEFLAGS MAKELEVEL MFLAGS
[ "$(make -n -o FORCE all | grep -c '%-5s')" = 0 ] || { echo "the rest is skipped: the tree is not built"; exit 0; }
./tools/quickstart >"$dir/out" 2>"$dir/err" </dev/null || { cat "$dir/err"; fail "quickstart failed"; }
grep -qF '$ ./gpt2q generate "The quick brown fox jumped over the"' "$dir/out" || fail "the command is not shown as one types it"
grep -q 'rock and ran away' "$dir/out" || fail "no answer"
tail -6 "$dir/out" | head -1 | grep -q 'What to try next' || fail "it does not end with what to try next"
