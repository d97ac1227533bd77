#!/bin/sh
# The bash completion: commands and options as the program lists them, values of options that it knows, else files.
set -eu
[ -x "${GPT2Q:-}" ] || { echo "skipped: there is no program"; exit 77; }
command -v bash >/dev/null 2>&1 || { echo "skipped: bash is not here"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
root=$(cd "$(dirname "$0")/../.." && pwd)
complete() { # complete WORD...: what the last word could become, a line each, from the words as bash's line editor breaks them
    bash -c '
        . "$1/tools/completion.bash"
        shift
        COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMPREPLY=()
        COMP_WORDS=("$1")
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
expect '' xyz
expect '--version ' --ver
expect '--max-tokens= ' generate --max-t
expect '--quantize= --quiet ' generate --model x --qu
expect 'f16 f32 fp8 ' generate -q f
expect 'channel g128 g32 g64 input tensor ' generate -q i8:
expect 'channel ' generate --quantize=i8:ch
expect 'absmax affine ' quantize -q i8:g32:a
expect 'i8,f16 i8,f32 i8,fp8 ' compare --schemes i8,f
expect 'i16 i8 ' compare --schemes f32,i8@i
expect 'bf16 ' quantize --tensor 'h.0.*=b'
expect 'i16 ' generate --activations i1
expect 'f16 f32 i16 i8 ' generate --kv=
expect 'f16 f32 ' generate --kv=f
expect 'gpt2 gpt2-large gpt2-medium gpt2-xl ' inspect --shape g
expect 'error ' generate --truncate e
expect '' generate READ
"$GPT2Q" help --commands | while read -r command; do
    [ -n "$(complete "$command" --h)" ] || [ "$command" = help ] || { echo "$command: no options"; exit 1; }
done

# The same in the other shells, where they are.
if command -v fish >/dev/null 2>&1; then
    ln -sf "$(realpath "$GPT2Q")" "$dir/gpt2q"
    got=$(PATH=$dir:$PATH fish --no-config -c "source $root/tools/completion.fish; complete -C 'gpt2q generate -q i8:ch'")
    [ "$got" = i8:channel ] || { echo "fish: '$got'"; exit 1; }
    got=$(PATH=$dir:$PATH fish --no-config -c "source $root/tools/completion.fish; complete -C 'gpt2q generate --max-t'" | cut -f1)
    [ "$got" = --max-tokens= ] || { echo "fish: '$got'"; exit 1; }
fi
if command -v zsh >/dev/null 2>&1; then
    ln -sf "$(realpath "$GPT2Q")" "$dir/gpt2q"
    got=$(zsh -f -c "
        compadd() { while [[ \$1 == -* ]]; do [[ \$1 == -[dS] ]] && shift; [[ \$1 == -a ]] && break; shift; done; print -l \${(P)2}; }
        _files() { print files; }
        words=($dir/gpt2q generate -q f) CURRENT=4 PREFIX=f
        source $root/tools/completion.zsh" | tr '\n' ' ')
    [ "$got" = "f32 f16 fp8 " ] || { echo "zsh: '$got'"; exit 1; }
fi
