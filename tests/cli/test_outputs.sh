#!/bin/sh
# Outputs: none is an input, the model or another output, whatever the path; what is written appears whole or not at all.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
program=${GPT2Q:-build/release/gpt2q}
case $program in /*) ;; *) program=$root/$program ;; esac
[ -x "$program" ] || { echo "skipped: there is no program"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
fail() {
    echo "$*"
    cat err
    exit 1
}
# expect CODE SENTENCE ARGUMENT...: the exit code, and with a sentence exactly one line on stderr that holds it
expect() {
    want=$1 sentence=$2 code=0
    shift 2
    "$program" "$@" >out 2>err <in || code=$?
    [ $code = "$want" ] || fail "$*: exit code $code"
    [ -z "$sentence" ] || grep -qF -e "$sentence" err || fail "$*: '$sentence' is missing"
    [ -z "$sentence" ] || [ "$(wc -l <err)" = 1 ] || fail "$*: more than one line"
}
same() { cmp -s "$1" "$2" || fail "$1 changed"; }
none_left() { [ -z "$(find . -name '*.partial.*')" ] || fail "left behind: $(find . -name '*.partial.*')"; }

mkdir model
cp "$root"/models/tales-7m/* model
: >in
printf 'Once upon\nThere was\n' >p.txt
cp p.txt p.copy
cp model/model.safetensors weights.copy
ln -s p.txt link
ln p.txt hard
mkdir other
ln -s ../p.txt other/link
"$program" quantize -m model -q i8 -o m.gpt2q >/dev/null
cp m.gpt2q m.copy

# batch: the answers, the trace and the statistics
for path in p.txt ./p.txt link hard other/../p.txt other/link "$dir/p.txt"; do
    expect 2 "is also the input, which is read" batch p.txt -m model -n 1 -o $path
    expect 2 "is also the input, which is read" batch p.txt -m model -n 1 --trace $path
    expect 2 "is also the input, which is read" batch p.txt -m model -n 1 --stats $path
done
for path in m.gpt2q ./m.gpt2q other/../m.gpt2q; do
    expect 2 "is a file of the model" batch p.txt -m m.gpt2q -n 1 -o $path
    expect 2 "is a file of the model" quantize -m m.gpt2q -o $path
done
expect 2 "is also what --output writes" batch p.txt -m model -n 1 -o a --trace ./a
expect 2 "is also what --trace writes" batch p.txt -m model -n 1 -o a --trace b --stats other/../b
expect 2 "is also what --output writes" batch p.txt -m model -n 1 -o other/a --stats "$dir/other/a"
ln -s other/new dangling
expect 2 "is also what --output writes" batch p.txt -m model -n 1 -o dangling --stats other/new
expect 2 "the answers and --trace both go to standard output" batch p.txt -m model --trace -
expect 2 "is also what" batch p.txt -m model -n 1 -o a --stats a.fingerprint
code=0
"$program" batch - -m model -n 1 -o p.txt <p.txt >out 2>err || code=$?
[ $code = 2 ] || fail "standard input that is the output: exit code $code"
code=0
"$program" batch p.txt -m model -n 1 >>p.txt 2>err || code=$?
[ $code = 2 ] || fail "standard output that is the input: exit code $code"
same p.copy p.txt

# the others
for name in model.safetensors config.json vocab.json merges.txt; do
    expect 2 "is a file of the model" quantize -m model -q i8 -o model/$name
    expect 2 "is a file of the model" trace -m model hello -o other/../model/$name
    expect 2 "is a file of the model" compare -m model --html model/$name
    expect 2 "is a file of the model" compare -m model --csv model/$name
    expect 2 "is a file of the model" eval -m model --logits model/$name
done
expect 2 "is a file of the model" quantize -m model -q i8 -o model/tokenizer.json # would count from now on
expect 2 "is the folder of the model" quantize -m model -q i8 --export other/../model/
expect 2 "is also --text, which is read" eval -m model --text p.txt --logits link
expect 2 "is also the text, which is read" compare -m model --text p.txt --csv hard
expect 2 "is also a model of --schemes, which is read" compare -m model --schemes f32,./m.gpt2q --html m.gpt2q
expect 2 "is also --file, which is read" trace -m model -f p.txt -o link
expect 2 "is also --calibrate, which is read" quantize -m model -q i4:g32:affine --method gptq --calibrate p.txt -o hard
expect 2 "is also what --csv writes" compare -m model --csv new --html ./new
expect 2 "is a file of the model" train -m model -q i4 --text p.txt -o model/model.safetensors
expect 2 "is also --text, which is read" train -m model -q i4 --text p.txt -o a --csv hard
expect 2 "is also what --output writes" train -m model -q i4 --text p.txt -o a --checkpoint ./a
if "$program" serve --help | grep -q 'not in this build'; then :; else
    echo secret >keys
    chmod 600 keys
    for path in model/config.json other/../model/model.safetensors; do
        expect 2 "is a file of the model" serve -m model --port 0 --port-file $path
        expect 2 "is a file of the model" serve -m m.gpt2q -m model --port 0 --log $path
        expect 2 "is a file of the model" serve -m model --port 0 --unix $path
    done
    expect 2 "is also --api-key-file, which is read" serve -m model --port 0 --api-key-file keys --log other/../keys
    expect 2 "is also --api-key-file, which is read" serve -m model --port 0 --api-key-file keys --port-file keys
    expect 2 "is also what --port-file writes" serve -m model --port 0 --port-file new --log ./new
    expect 2 "is also what --port-file writes" serve -m model --port 0 --port-file new --unix ./new
    expect 2 "both go to standard output" serve -m model --port 0 --port-file - --log -
    expect 1 "No such file or directory" serve -m model --port 0 --log missing/log
    [ "$(cat keys)" = secret ] || fail "the keys changed"
fi
expect 2 "both go to standard output" quantize -m model -q i8 -o - --json
expect 2 "both go to standard output" trace -m model hello -o /dev/stdout --json
expect 1 "No such file or directory" quantize -m model -q i8 -o missing/m.gpt2q
expect 1 "is a directory" trace -m model hello -o other
same p.copy p.txt
same m.copy m.gpt2q
same weights.copy model/model.safetensors
[ -z "$(ls new a 2>/dev/null)" ] || fail "an output was made"
[ ! -e other/new ] || fail "an output was made"

# "-", devices, pipes
expect 0 "" quantize -m model -q i8 -o -
cmp -s out m.gpt2q || fail "quantize -o -: other bytes"
expect 0 "" trace -m model hello -o - --quiet
"$program" inspect out >/dev/null 2>err || fail "trace -o -: no safetensors file"
expect 0 "" compare -m model --limit 256 --schemes f32 -n 0 --csv - --quiet
[ "$(cut -d, -f1 out)" = "scheme
f32" ] || fail "compare --csv -: $(cat out)"
expect 0 "" quantize -m model -q i8 -o /dev/null
expect 0 "" batch p.txt -m model -n 1 -o /dev/null --quiet
[ ! -e /dev/null.fingerprint ] || fail "a fingerprint beside /dev/null"
{ echo head; "$program" batch p.txt -m model -n 1 -o /dev/stdout --quiet; } >appended 2>err
[ "$(wc -l <appended)" = 3 ] || fail "batch -o /dev/stdout cut what was there"
mkfifo pipe
cat pipe >through &
expect 0 "" batch p.txt -m model -n 1 -o pipe --quiet
wait
tail -n 2 appended >want
cmp -s want through || fail "batch -o FIFO: other bytes"

# links are written through, modes kept, planted links not followed
echo old >target
chmod 640 target
ln -s target through-link
expect 0 "" trace -m model hello -o through-link --quiet
[ -L through-link ] || fail "a link was replaced"
[ "$(stat -c %a target)" = 640 ] || fail "the mode is $(stat -c %a target)"
"$program" inspect target >/dev/null 2>err || fail "the link's file was not written"
none_left

# batch: --force, --resume, locks
expect 0 "" batch p.txt -m model -n 2 -o a --quiet
cp a a.copy
expect 1 "--force replaces them" batch p.txt -m model -n 2 -o a --quiet
expect 1 "--force replaces them" batch p.txt -m model -n 3 -o a --quiet
expect 1 "--force replaces them" batch - -m model -n 3 -o a --quiet
same a.copy a
expect 1 "max_tokens=2 where now it is max_tokens=3" batch p.txt -m model -n 3 -o a --quiet --resume
expect 0 "" batch p.txt -m model -n 3 -o a --quiet --force
expect 0 "" batch p.txt -m model -n 3 -o a --quiet --resume
expect 2 "exclude each other" batch p.txt -m model -o a --resume --force
sed -n 2p model/merges.txt >again
cat again >>model/merges.txt # a merge that stands twice changes nothing, but the file is another
expect 1 "the first run had another model" batch p.txt -m model -n 3 -o a --quiet --resume
cp "$root/models/tales-7m/merges.txt" model
printf 'Once upon\nThere Was\n' >p2.txt
cp p2.txt p3.txt
expect 0 "" batch p2.txt -m model -n 3 -o b --quiet
printf 'Once upon\nThere was\n' >p2.txt
expect 1 "the first run had another input" batch p2.txt -m model -n 3 -o b --quiet --resume
cp p3.txt p2.txt
cp b whole
# a line that does not exist, and a line that had no memory
sed 's/"index":1/"index":68719476735/' whole >b
expect 1 "answers request 68719476735, but the input has 2 lines" batch p2.txt -m model -n 3 -o b --quiet --resume
sed -n 1p whole >b
printf '%s\n' '{"index":1,"id":null,"error":{"code":"out_of_memory","message":"line 2: out of memory"}}' >>b
expect 0 "" batch p2.txt -m model -n 3 -o b --quiet --resume
cmp -s whole b || fail "a line without memory was not answered again"
# the fingerprint cannot be written: the answers stay
rm a.fingerprint
mkdir a.fingerprint
cp a a.copy
expect 1 "a.fingerprint" batch p.txt -m model -n 4 -o a --quiet --force
same a.copy a
rmdir a.fingerprint

mkfifo lines
"$program" batch - -m model -n 1 --quiet -o locked <lines >out 2>err &
pid=$!
exec 9>lines
echo "Once upon" >&9
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -s locked ] && break
    sleep 0.1
done
expect 1 "another run is writing it" batch p.txt -m model -n 1 --quiet -o locked --force
exec 9>&-
wait $pid || fail "the first run: exit code $?"
[ "$(wc -l <locked)" = 1 ] || fail "the first run's answers"

# a reader that goes away
for i in 1 2 3 4 5 6 7 8; do cat p.txt p.txt p.txt p.txt; done >many.txt
code=0
{ "$program" batch many.txt -m model -n 1 -b 1 2>err || echo $? >code; } | head -n 1 >out
[ -s code ] && [ "$(cat code)" != 0 ] || fail "batch | head: exit code 0"
grep -q "of 64 answered" err || fail "batch | head: the answers are not counted"

# --export: whole folders
expect 0 "" quantize -m model -q i8 --export folder
cp -R folder folder.copy
echo '{"version": "1.0"}' >folder/tokenizer.json
echo '{}' >folder/added_tokens.json
echo keep >folder/notes.md
expect 0 "" quantize -m model -q i8 --export folder/
[ "$(cat folder/notes.md)" = keep ] || fail "a file of the user is gone"
rm folder/notes.md
diff -r folder folder.copy >err || fail "files of another model stay"
mkdir folder/sub
expect 1 "holds the folder 'sub'" quantize -m model -q i4 --export folder
rmdir folder/sub
expect 2 "lies in the folder that --export replaces" quantize -m model -q i4 --export folder -o folder/m.gpt2q
(cd folder && "$program" quantize -m ../model -q i4 --export . >../out 2>../err) && fail "the current folder was replaced"
# files of at most 1 MB: as a full disk
code=0
(ulimit -f 2048 && "$program" quantize -m model -q i4 --export folder >out 2>err) || code=$?
[ $code = 1 ] || fail "a file that is too large: exit code $code"
grep -q "cannot be written: File too large" err || fail "a file that is too large: no sentence"
diff -r folder folder.copy >err || fail "a failed export changed the folder"
none_left

# train: the weights are kept where another output finds the disk full
train="train -m model --text model/calibration.txt --steps 1 --batch-tokens 64 --window 64 --quiet -q i4"
# shellcheck disable=SC2086
for option in --csv --html; do
    rm -f t.gpt2q
    expect 1 "/dev/full: cannot be written: No space left on device" $train -o t.gpt2q $option /dev/full
    expect 0 "" inspect t.gpt2q --check
done
rm -f t.gpt2q
code=0
# shellcheck disable=SC2086
(ulimit -f 12000 && "$program" $train -o t.gpt2q --export folder >out 2>err) || code=$?
[ $code = 1 ] || fail "train: an export that is too large: exit code $code"
[ "$(wc -l <err)" = 1 ] || fail "train: an export that is too large: more than one line"
grep -q "cannot be written: File too large" err || fail "train: an export that is too large: no sentence"
diff -r folder folder.copy >err || fail "a failed export of train changed the folder"
expect 0 "" inspect t.gpt2q --check
none_left

# signals: what is half-written goes; what is ignored stays so. `ignored` is what the shell's trap ignores.
mkfifo slow
run_until() {
    signal=$1 ignored=$2
    rm -f cut out
    (
        [ -z "$ignored" ] || trap '' "$ignored"
        [ -n "$ignored" ] || exec env --default-signal=INT,HUP "$program" batch - -m model -n 1 --quiet --trace cut <slow
        exec "$program" batch - -m model -n 1 --quiet --trace cut <slow
    ) >out 2>err &
    pid=$!
    exec 9>slow
    echo "Once upon" >&9
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        [ -s out ] && break
        sleep 0.1
    done
    [ -n "$(find . -name 'cut.partial.*')" ] || fail "no temporary file of the trace"
    kill -"$signal" $pid
    sleep 0.1
    exec 9>&-
    code=0
    wait $pid || code=$?
    none_left
}
if env --default-signal=INT true 2>/dev/null; then # GNU coreutils 8.31
    run_until HUP ""
    [ $code = 129 ] && [ ! -e cut ] || fail "SIGHUP: exit code $code"
    run_until TERM ""
    [ $code = 143 ] && [ -s cut ] || fail "SIGTERM: exit code $code"
    run_until INT ""
    [ $code = 130 ] && [ -s cut ] || fail "SIGINT: exit code $code"
fi
for signal in INT TERM HUP; do
    run_until $signal $signal
    [ $code = 0 ] && [ -s cut ] || fail "SIG$signal, ignored: exit code $code"
done
