#!/bin/sh
# Versions of .gpt2q files. Files without anything new stay as they were to the byte (version 1); others say version 2. A file with
# zero points of 16 bits, which gpt2q wrote before it stored them in their bits, is read and means the same.
set -eu
cd "$(dirname "$0")/../.."
gpt2q=${GPT2Q:-./gpt2q}
dir=$(mktemp -d "${TMPDIR:-/tmp}/gpt2q-versions.XXXXXX")
trap 'rm -rf "$dir"' EXIT
data=tests/golden/data

write() { # FILE SPEC [OPTION]...
    file=$1 spec=$2
    shift 2
    "$gpt2q" quantize -m $data/tiny-gelu -q "$spec" "$@" -o "$file" >/dev/null
}
version() { tr -c ' -~' '\n' <"$1" | sed -n 's/.*"gpt2q.version":"\([0-9]*\)".*/\1/p' | head -1; }
answers() { "$gpt2q" generate -m "$1" --ids -n 16 --logprobs 5 --json "1 2 3 4" | sed 's/"model"[^,]*,//; s/"timings".*//'; }
fail() { echo "$1" >&2; exit 1; }

# The bytes that gpt2q wrote when there was only version 1.
while read -r spec sum; do
    write "$dir/one.gpt2q" "$spec"
    [ "$(version "$dir/one.gpt2q")" = 1 ] || fail "$spec is of version $(version "$dir/one.gpt2q"), not 1"
    [ "$(sha256sum <"$dir/one.gpt2q" | cut -d' ' -f1)" = "$sum" ] || fail "$spec has other bytes than it had"
done <<'SUMS'
i8 c340fc74586100da44469865d7bee212910e374c5dc4a5a84418aca3eedbe795
i4 3a63658ce3c24c6eb9f816963fb613709a7f24de51aff0a51cc6efbe28836ab4
i4:g8:minmax e32b9dd0b389bf8a3ef732505c6bc56fec526fbbd08721804c19e03d5102841e
notes dd594781e6db82a50e76881f8706fd406b02d8345d017c2277b543c4a781afdd
i8:channel:affine d946edea438abbc7ab13380f1b70be6088568bbea853ce5a35e025dadbd72c1f
f16 1ea6cdb1720ffb72556fd59b4a562499acf28236b0040ffc2b951965c19638c9
SUMS

for spec in i4:g8:affine i8:g16:affine i3 i2:channel:minmax; do
    write "$dir/two.gpt2q" "$spec"
    [ "$(version "$dir/two.gpt2q")" = 2 ] || fail "$spec is not of version 2"
done

old=$data/zero-points-f16.gpt2q
write "$dir/new.gpt2q" i4:g8:affine --tensor 'h.0.mlp.*=i8:g16:affine'
[ "$(version $old)" = 1 ] || fail "$old is not of version 1"
"$gpt2q" inspect --check $old >/dev/null
answers $old >"$dir/old.json"
answers "$dir/new.gpt2q" >"$dir/new.json"
[ -s "$dir/old.json" ] || fail "no answer"
cmp "$dir/old.json" "$dir/new.json"
