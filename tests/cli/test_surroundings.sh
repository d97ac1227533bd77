#!/bin/sh
# What surrounds a run: a mapped file that is cut, a FIFO where a file is expected, names with bytes that steer a terminal.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
program=${GPT2Q:-build/release/gpt2q}
case $program in /*) ;; *) program=$root/$program ;; esac
[ -x "$program" ] || { echo "skipped: there is no program"; exit 77; }
model=$root/models/tales-7m
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
fail() {
    echo "$*"
    cat err
    exit 1
}
# expect_refused SENTENCE ARGUMENT...: exit code 1 within 5 seconds and exactly one line on stderr that holds the sentence
expect_refused() {
    sentence=$1 code=0
    shift
    timeout 5 "$program" "$@" >out 2>err || code=$?
    [ $code = 1 ] || fail "$*: exit code $code"
    grep -qF "$sentence" err || fail "$*: '$sentence' is missing"
    [ "$(wc -l <err)" = 1 ] || fail "$*: more than one line"
}

# the answer that was made before stays, and the sentence names the file
"$program" quantize -m "$model" -q i8 -o m.gpt2q >/dev/null
mkfifo requests
"$program" batch - -m m.gpt2q -n 4 -j 1 --quiet <requests >out 2>err &
pid=$!
exec 9>requests
echo "Once upon" >&9
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -s out ] && break
    sleep 0.1
done
[ -s out ] || fail "no answer came"
truncate -s 100000 m.gpt2q
echo "There was" >&9
exec 9>&-
code=0
wait $pid || code=$?
[ $code = 1 ] || fail "a file that was cut: exit code $code"
grep -qF "m.gpt2q: became shorter while it was read" err || fail "a file that was cut: no sentence"
[ -s out ] || fail "the answer is gone"

mkdir model
for name in config.json model.safetensors vocab.json merges.txt; do
    rm -rf model && mkdir model
    cp "$model"/* model
    rm -f "model/$name"
    mkfifo "model/$name"
    expect_refused "$name: is not a regular file" generate -m model -n 1 hello
done
expect_refused "is not a regular file" inspect requests
expect_refused "is not a regular file" inspect /dev/zero

esc=$(printf 'no\033[2Jmodel')
expect_refused 'no\x1b[2Jmodel' generate -m "$esc" hello
# names in files: a table shows them escaped, JSON as they are
header='{"a\u001b[2J\u009b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
{ printf "\\$(printf %o ${#header})\0\0\0\0\0\0\0"; printf '%s\0\0\0\0' "$header"; } >names.safetensors
"$program" inspect names.safetensors >out 2>err
grep -qF 'a\x1b[2J\x9b' out || fail "inspect: the name is not escaped"
"$program" compare -m "$model" --schemes f32 -n 1 --limit 64 --window 32 --quiet "$esc" >out 2>err
grep -qF '"no\x1b[2Jmodel"' out || fail "compare: the prompt is not escaped"
"$program" quantize -m "$model" -q i8 -o "$esc.gpt2q" --quiet >out
! grep -q "$(printf '\033')" out || fail "quantize: the name of a file is not escaped"
"$program" compare -m "$model" --schemes "f32,$esc.gpt2q" -n 0 --limit 64 --window 32 --quiet --html page >out 2>err || fail "compare"
! grep -q "$(printf '\033')" out err page || fail "compare: the name of a file is not escaped"
"$program" generate -m "$esc.gpt2q" -n 1 hello >out 2>err || fail "generate"
! grep -q "$(printf '\033')" out err || fail "generate: the name of a file is not escaped"
train="train -m $model -q i4 --text $model/calibration.txt --steps 1 --batch-tokens 32 --window 32"
for run in begins resumed; do
    "$program" $train --resume --checkpoint "$esc.state" -o "$esc.trained" --export "$esc.folder" >out 2>err || fail "train"
    ! grep -q "$(printf '\033')" out err || fail "train, $run: the name of a file is not escaped"
done

broken=$(printf 'no\377model')
expect_refused "$(printf 'no\357\277\275model')" generate -m "$broken" hello
