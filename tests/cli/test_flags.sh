#!/bin/sh
# A distribution builds with CFLAGS of its own. Its -O2 reaches the program, but not the vector kernels, which it would slow
# down (Makefile); and no flag of it lets the compiler make one rounding of two.
set -eu
cd "$(dirname "$0")/../.."
case $(uname -m) in x86_64 | amd64) ;; *) echo "skipped: there are no vector kernels here" && exit 77 ;; esac
unset MAKEFLAGS MFLAGS MAKELEVEL CFLAGS

command_of() { # command_of OBJECT FLAGS: how it is compiled
    make -n V=1 CONFIG=flags CFLAGS="$2" "build/flags/$1" | grep -e " -o build/flags/$1 "
}
last() { printf '%s\n' "$2" | tr ' ' '\n' | grep -e "^$1" | tail -n 1; }
expect() { # expect FLAG PREFIX OBJECT CFLAGS
    found=$(last "$2" "$(command_of "$3" "$4")")
    [ "$found" = "$1" ] || { echo "$3 with CFLAGS=$4: $found, not $1"; exit 1; }
}

for flags in '-g -O2' '-Os'; do
    for set in avx2 avx512; do expect -O3 -O "src/qtensor/f32.$set.o" "$flags"; done
done
expect -O2 -O src/base/file.o '-g -O2'
expect -O0 -O src/qtensor/f32.avx512.o -O0
expect -ffp-contract=off -ffp-contract src/qtensor/f32.avx512.o "-ffp-contract=f""ast"
