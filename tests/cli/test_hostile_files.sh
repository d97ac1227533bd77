#!/bin/sh
# What the program says of every hostile GGUF file and pytorch_model.bin of tests/golden/data, and with which status: hostile_files.txt beside
# this file has a line for each, "KIND NAME STATUS SENTENCE". A status of 0 has no sentence.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.."
gpt2q=${GPT2Q:-./gpt2q}
dir=$(mktemp -d "${TMPDIR:-/tmp}/gpt2q-hostile.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cp tests/golden/data/torch-bin/zip-f32/config.json "$dir/"

# one KIND NAME PATH: the line of a file
one() {
    said=$("$gpt2q" inspect --check "$3" 2>&1 >/dev/null)
    status=$?
    printf "%s %s %s%s\n" "$1" "$2" $status "$(printf "%s" "$said" | sed "s|^gpt2q inspect: $3:||")"
}
for file in tests/golden/data/gguf/bad/*.gguf; do one gguf "$(basename "$file" .gguf)" "$file"; done >"$dir/found"
for file in tests/golden/data/torch-bin/bad/*.bin; do
    cp "$file" "$dir/pytorch_model.bin"
    one torch "$(basename "$file" .bin)" "$dir/pytorch_model.bin"
done >>"$dir/found"
for kind in gguf:61 torch:58; do
    n=$(grep -c "^${kind%:*} " "$dir/found")
    [ "$n" -eq "${kind#*:}" ] || { echo "$n files of ${kind%:*}, not ${kind#*:}"; exit 1; }
done
diff tests/cli/hostile_files.txt "$dir/found"
