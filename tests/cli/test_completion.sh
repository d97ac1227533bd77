#!/bin/sh
# The bash completion: commands and options as the program lists them, values of options that it knows, else files.
set -eu
[ -x "${GPT2Q:-}" ] || { echo "skipped: there is no program"; exit 77; }
command -v bash >/dev/null 2>&1 || { echo "skipped: bash is not here"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
complete() { # complete WORD...: what the last word could become, a line each
    bash -c '
        . "$1/tools/completion.bash"
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        _gpt2q
        [ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}"' bash "$root" "$GPT2Q" "$@"
}
expect() { # expect "LINE..." WORD...
    want=$1
    shift
    got=$(complete "$@" | sort | tr '\n' ' ')
    [ "$got" = "$want" ] && return
    echo "'$*': '$got', not '$want'"
    exit 1
}
expect 'generate ' gen
expect 'tokenize ' help tok
expect '--version ' --ver
expect '--max-tokens= ' generate --max-t
expect '--quantize= --quiet ' generate --model x --qu
expect 'i4 i4:g32 i4:g64 ' generate -q i4
expect 'i16 ' generate --activations i1
expect 'f16 f32 i8 ' generate --kv =
expect 'f16 f32 ' generate --kv = f
expect '' generate READ
"$GPT2Q" help --commands | while read -r command; do
    [ -n "$(complete "$command" --h)" ] || [ "$command" = help ] || { echo "$command: no options"; exit 1; }
done
