#!/bin/sh
# The program and the library are built so that a fault in a parser ends the program: another address in each run (PIE), no tables that can
# be written once it runs (RELRO, BIND_NOW), no stack that can be executed, a canary on each stack that holds an array, checked copies.
set -eu
case ${CONFIG:-release} in
sanitize | tsan | fuzz) echo "skipped: sanitizers have checks of their own" && exit 77 ;;
esac
command -v readelf >/dev/null 2>&1 || { echo "skipped: readelf is not here"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
program=${GPT2Q:-build/release/gpt2q}
library=${BUILD:-build/release}/libgpt2q.so
[ -x "$program" ] || { echo "skipped: there is no program"; exit 77; }
readelf -h "$program" >/dev/null 2>&1 || { echo "skipped: the program is no ELF file"; exit 77; }
fail() {
    echo "$*"
    exit 1
}
has() { printf '%s\n' "$2" | grep -q -e "$1" || fail "$file: $3"; }
for file in "$program" "$library"; do
    [ -e "$file" ] || continue
    head=$(readelf -W -h "$file") segments=$(readelf -W -l "$file") dynamic=$(readelf -W -d "$file")
    names=$(readelf -W --dyn-syms "$file")
    has 'Type: *DYN' "$head" "its addresses are fixed"
    has GNU_RELRO "$segments" "no RELRO"
    has 'BIND_NOW\|FLAGS_1.*NOW' "$dynamic" "no BIND_NOW"
    has 'GNU_STACK.* RW  *0x' "$segments" "its stack can be executed"
    has __stack_chk_fail "$names" "no canaries"
    if printf '%s\n' "$names" | grep -q 'GLIBC_2'; then has '__[a-z]*_chk@GLIBC' "$names" "no checked copies"; fi
done
[ ! -e "$program" ] || readelf -W -d "$program" | grep -q 'FLAGS_1.*PIE' || fail "$program: is no PIE"
