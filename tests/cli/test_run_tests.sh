#!/bin/sh
# tools/run-tests counts what cmocka programs and scripts say, and notices those that die before they can say it.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

program() { # program NAME: a stand-in for a cmocka program, its body from stdin
    { echo '#!/bin/sh'; cat; } >"$dir/$1"
    chmod +x "$dir/$1"
}
program good <<'PROGRAM'
echo '[  PASSED  ] 3 test(s).'
PROGRAM
program skips <<'PROGRAM'
echo 'skipped: data is not here'
echo '[  PASSED  ] 1 test(s).'
echo '[  SKIPPED ] 2 test(s), listed below:'
echo '[  SKIPPED ] test_a'
PROGRAM
program bad <<'PROGRAM'
echo 'seven is not eight'
echo '[  PASSED  ] 4 test(s).' >&2
echo '[  FAILED  ] 2 test(s), listed below:' >&2
echo '[  FAILED  ] test_a' >&2
exit 2
PROGRAM
program dies <<'PROGRAM'
kill -SEGV $$
PROGRAM
program leaks <<'PROGRAM'
echo '[  PASSED  ] 3 test(s).'
exit 1
PROGRAM
program empty </dev/null
program kills <<'PROGRAM'
kill -KILL $PPID
PROGRAM
echo 'exit 0' >"$dir/good.sh"
echo 'exit 77' >"$dir/skip.sh"
echo 'exit 1' >"$dir/bad.sh"

expect() { # expect STATUS "P F S" NAME...
    status=$1 counts=$2
    shift 2
    for name in "$@"; do
        set -- "$@" "$dir/$name"
        shift
    done
    if "$root/tools/run-tests" "$@" >"$dir/out" 2>&1; then got=0; else got=1; fi
    last=$(tail -n 1 "$dir/out")
    # shellcheck disable=SC2086
    want=$(printf '%d passed, %d failed, %d skipped' $counts)
    [ "$got" -eq "$status" ] && [ "$last" = "$want" ] && return
    echo "$*: status $got, '$last', not $status, '$want'"
    exit 1
}
expect 0 "3 0 0" good
expect 0 "5 0 3" good skips good.sh skip.sh
expect 1 "4 2 0" bad
grep -q 'seven is not eight' "$dir/out"
expect 1 "0 1 0" dies
expect 1 "3 1 0" leaks
expect 1 "0 1 0" empty
expect 1 "4 2 0" good good.sh bad.sh dies
expect 1 "0 1 0" kills # nobody was left to count
GPT2Q_TEST_JOBS=4
export GPT2Q_TEST_JOBS
expect 1 "12 2 2" good good good bad.sh skip.sh good.sh good.sh good.sh dies skip.sh
