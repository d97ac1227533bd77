#!/bin/sh
# tools/layers accepts this tree, and complains about each violation planted in a copy of its skeleton.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$root/tools/layers" "$root"

failures=0
expect() { # expect STATUS PATTERN WHAT
    if "$root/tools/layers" "$dir" >"$dir/out"; then status=0; else status=1; fi
    if [ "$status" -ne "$1" ] || { [ -n "$2" ] && ! grep -q "$2" "$dir/out"; }; then
        echo "$3: status $status, said:"
        cat "$dir/out"
        failures=$((failures + 1))
    fi
}
plant() { # plant FILE LINE PATTERN: a violation that must be reported, at that file
    mkdir -p "$dir/$(dirname "$1")"
    [ ! -e "$dir/$1" ] || cp "$dir/$1" "$dir/kept"
    printf '%s\n' "$2" >"$dir/$1"
    expect 1 "^$1:1: .*$3" "$1: $2"
    rm "$dir/$1"
    [ ! -e "$dir/kept" ] || mv "$dir/kept" "$dir/$1"
}

for folder in include src/base src/kernels src/qtensor tokenizer src/model src/engine src/quantize src/train src/methods src/study src/openai src/app tests/unit; do
    mkdir -p "$dir/$folder"
    printf 'int unused;\n' >"$dir/$folder/$(basename "$folder").h"
done
printf '#include "base/base.h"\n#include "qtensor.h"\n/* like -ffast-math\n * <omp.h> */\n#include <math.h>\n' \
    >"$dir/src/qtensor/good.c"
printf 'BITS := -fno-fast-math -ffp-contract=off\n' >"$dir/Makefile"
expect 0 '' "a tree without violations"

plant src/base/up.c '#include "kernels/kernels.h"' 'src/base must not include src/kernels'
plant src/kernels/up.c '# include "qtensor/qtensor.h"' 'src/kernels must not include src/qtensor'
plant src/qtensor/up.c '#include "../model/model.h"' 'src/qtensor must not include src/model'
plant tokenizer/up.c '#include "model/model.h"' 'tokenizer must not include src/model'
plant src/model/up.h '#include "engine/engine.h"' 'src/model must not include src/engine'
plant src/engine/up.c '#include "quantize/quantize.h"' 'src/engine must not include src/quantize'
plant src/quantize/up.c '#include "app/app.h"' 'src/quantize must not include src/app'
plant src/engine/train.c '#include "train/train.h"' 'src/engine must not include src/train'
plant src/train/up.c '#include "methods/methods.h"' 'src/train must not include src/methods'
plant src/methods/up.c '#include "study/study.h"' 'src/methods must not include src/study'
plant src/openai/up.c '#include "app/app.h"' 'src/openai must not include src/app'
plant src/train/libm.c 'double y = exp(x);' 'libm'
plant include/up.h '#include "base/base.h"' 'include must not include src/base'
plant src/model/out.c '#include "tests/unit/unit.h"' 'outside the layers'
plant src/model/gone.c '#include "model/gone.h"' 'no such file'
plant src/model/team.c '#pragma omp parallel' 'threads'
plant src/engine/team.c 'if (pthread_create(&id, NULL, work, NULL)) return;' 'threads'
plant src/engine/doc.c '#include <cjson/cJSON.h>' 'cJSON'
plant src/model/lanes.c '#include <immintrin.h>' 'intrinsics'
plant src/model/libm.c 'float y = /* why */ expf(x);' 'libm'
plant Makefile 'CFLAGS += -ffast-math' 'bits'
plant Makefile 'CFLAGS += -march=native' 'bits'

# Every folder of sources belongs to a layer, and ARCHITECTURE.md names it.
for folder in "$root"/src/*/ "$root"/tokenizer/; do
    name=${folder#"$root"/}
    name=${name%/}
    grep -q "layers = split(\".*[ \"]$name[ \"]" "$root/tools/layers" ||
        { echo "tools/layers does not know $name"; failures=$((failures + 1)); }
    grep -q "^| $name |" "$root/ARCHITECTURE.md" ||
        { echo "ARCHITECTURE.md has no row for $name"; failures=$((failures + 1)); }
done
[ "$failures" -eq 0 ]
