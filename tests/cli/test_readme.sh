#!/bin/sh
# The tutorial of README.md: every command ("    $ ...") is run, and what it prints is what stands below it. A line "..." there
# stands for any lines. The results are the same bits on every machine, so the texts and figures can be compared as they are.
set -eu
[ "${CONFIG:-release}" = release ] || { echo "skipped: the tutorial is run in the release build"; exit 77; }
root=$(cd "$(dirname "$0")/../.." && pwd)
program=${GPT2Q:-./gpt2q}
case $program in /*) ;; *) program=$root/$program ;; esac
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# One file a command, one with what is expected of it.
awk -v dir="$dir" '
    /^## / { on = /^## Ten commands/ }
    on && /^    \$ / { n++; print substr($0, 7) > (dir "/" n ".command"); shown = 1; printf "" > (dir "/" n ".expected"); next }
    on && shown && /^    / { print substr($0, 5) > (dir "/" n ".expected"); next }
    on && !/^$/ { shown = 0 }
' "$root/README.md"
count=$(ls "$dir" | grep -c '\.command$')
[ "$count" -eq 10 ] || { echo "ten commands are expected in README.md, $count are there"; exit 1; }

# Every format of the program stands in the section about SPEC.
failed=0
formats=$("$program" generate -q none-of-them x 2>&1 | sed -n 's/.* a scheme is //p' | sed 's/\[[^]]*\]//g; s/,/ /g; s/ or / /')
[ "$(echo $formats | wc -w)" -ge 13 ] || { echo "the program names these formats: $formats"; failed=1; }
for format in $formats; do
    sed -n '/^## How weights are held/,/^## Fewer/p' "$root/README.md" | grep -qF "\`$format" ||
        { echo "README.md does not say what the format $format is"; failed=1; }
done

for n in 1 2 3 4 5 6 7 8 9 10; do
    (cd "$dir" && sed "s|\./gpt2q|$program|g" "$n.command" | sh >"$n.actual" 2>"$n.error") || { echo "command $n failed:"; cat "$dir/$n.error"; failed=1; }
    awk -v expected="$dir/$n.expected" '
        BEGIN { while ((getline line < expected) > 0) want[++m] = line; i = 1 }
        NF == 0 { next } # Markdown ends a block there
        { sub(/ +$/, "") }
        i <= m && want[i] == "..." { if (want[i + 1] == $0) i += 2; next }
        i <= m && want[i] == $0 { i++; next }
        { bad = 1; printf "printed:  %s\nexpected: %s\n", $0, want[i]; exit }
        END { if (!bad && i <= m && !(want[i] == "..." && i == m)) { bad = 1; printf "missing: %s\n", want[i] } exit bad }
    ' "$dir/$n.actual" || { echo "in command $n: $(cat "$dir/$n.command")"; failed=1; }
done
exit $failed
