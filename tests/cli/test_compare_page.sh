#!/bin/sh
# The page of compare --html in a real browser, at 360 and 1280 pixels: every plot is drawn, nothing is cut off, nothing scrolls
# sideways. The page itself has no script: the measuring one sits in another page that shows it in frames of those widths.
set -eu
[ "${CONFIG:-release}" != sanitize ] || { echo "skipped: the page is looked at in other builds"; exit 77; }
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || { echo "skipped: no chromium is here"; exit 77; }
program=${GPT2Q:-./gpt2q}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "$*"
    exit 1
}

"$program" quantize --quiet -q i4:g32:affine --method awq --method gptq --refine 0 --calibrate models/tales-7m/calibration.txt \
    --calibrate-tokens 512 -o "$dir/gptq.gpt2q" >/dev/null
"$program" compare --quiet --limit 64 --window 64 -n 12 --schemes f32,i8,i4,notes,"$dir/gptq.gpt2q" --html "$dir/page.html" \
    "The quick brown fox jumped over the" "One day, a cat and a dog" "<b>&amp;" >/dev/null
! grep -Eiq '<script|src=|href=|https?:|@import|url\(' "$dir/page.html" || fail "the page is not self-contained"
grep -q '<mark>' "$dir/page.html" || fail "no divergence is marked"
grep -q '&lt;b&gt;&amp;amp;' "$dir/page.html" || fail "a prompt is not escaped"
[ "$(grep -c '<svg' "$dir/page.html")" -eq 11 ] || fail "eleven plots are expected: size, bits, divergence, two of layers, one of a method, five of a tensor"
grep -q 'error w - w' "$dir/page.html" || fail "there is no histogram of errors"
grep -q 'class="front"' "$dir/page.html" || fail "there is no Pareto front"
grep -q 'class="bought"' "$dir/page.html" || fail "no line leads from rounding to nearest to what the method made"
[ "$(grep -c 'class="ring"' "$dir/page.html")" -eq 26 ] || fail "a ring for each of 25 matrices is expected, and one for the whole"
grep -q "compare --quiet --limit 64 --window 64 -n 12 --schemes f32,i8,i4,notes,$dir/gptq.gpt2q --html $dir/page.html" "$dir/page.html" ||
    fail "the command line is not on the page"
grep -Eq 'instruction set [a-z0-9]+, [0-9]+ threads?; 20[0-9-]+ [0-9:]+ UTC; gpt2q' "$dir/page.html" || fail "the machine and the date are missing"
if command -v python3 >/dev/null 2>&1; then
    python3 - "$dir/page.html" <<'EOF' || fail "the figures are not on the page as JSON"
import html, json, re, sys
page = open(sys.argv[1], encoding='utf-8').read()
data = json.loads(html.unescape(re.search(r'<pre id="data">(.*?)</pre>', page, re.S).group(1)))
assert [s['scheme'] for s in data['schemes']] == ['f32', 'i8:channel:absmax', 'i4:g32:absmax', 'notes', 'gptq.gpt2q']
assert len(data['schemes'][4]['nearest']['matrices']) == 25
EOF
fi
# Many schemes: no two look the same.
"$program" compare --quiet --limit 64 --window 64 -n 0 --schemes f32,f16,bf16,i8,i8@i8,i8:tensor,i8:input,i8:g32,i8:g64,i4,i4:g64,notes \
    --html "$dir/many.html" >/dev/null
[ "$(grep -o 'class="key s[0-9] k[0-9]"></i>[^<]*' "$dir/many.html" | sed 's/:$//; s/: .*//' | sort -u | wc -l)" -eq 12 ] || fail "twelve schemes are expected"
[ "$(grep -o 'class="key s[0-9] k[0-9]"' "$dir/many.html" | sort -u | wc -l)" -eq 12 ] || fail "two schemes look the same"

cat >"$dir/measure.js" <<'EOF'
function measure(frame, width) {
    const d = frame.contentDocument, faults = [];
    if (d.scrollingElement.scrollWidth > width) faults.push('scrolls sideways: ' + d.scrollingElement.scrollWidth);
    for (const e of d.querySelectorAll('main *')) {
        const r = e.getBoundingClientRect();
        if (r.right > width + 0.5 || r.left < -0.5) faults.push(e.tagName + ' reaches to ' + r.left + '..' + r.right);
    }
    let plots = 0;
    for (const svg of d.querySelectorAll('svg')) {
        const s = svg.getBoundingClientRect();
        if (s.width < 200 || s.height < 80) faults.push('a plot of ' + s.width + ' x ' + s.height);
        let marks = 0;
        for (const e of svg.querySelectorAll('path,polyline,circle,rect,line,text')) {
            const r = e.getBoundingClientRect();
            if (r.left < s.left - 1 || r.right > s.right + 1 || r.top < s.top - 1 || r.bottom > s.bottom + 1)
                faults.push(svg.getAttribute('aria-label') + ': cut off: ' + (e.textContent || e.outerHTML.slice(0, 80)));
            if (/path|polyline|circle|rect/.test(e.tagName) && r.width > 0 && r.height > 0) marks++;
        }
        if (!marks) faults.push(svg.getAttribute('aria-label') + ': nothing is drawn');
        plots++;
    }
    for (const e of d.querySelectorAll('svg text'))
        if (e.getBoundingClientRect().height < 7) faults.push('too small to read: ' + e.textContent);
    return width + ': ' + plots + ' plots, ' + (faults.length ? faults.join('; ') : 'good');
}
addEventListener('load', () => {
    document.getElementById('verdict').textContent =
        [360, 1280].map(w => measure(document.getElementById('w' + w), w)).join('\n');
});
EOF
{
    printf '<!doctype html><meta charset="utf-8"><style>iframe{border:0}</style><pre id="verdict">none</pre>\n<script>\n'
    cat "$dir/measure.js"
    printf '</script>\n'
    for width in 360 1280; do
        printf '<iframe id="w%s" width="%s" height="4000" srcdoc="' "$width" "$width"
        sed 's/&/\&amp;/g; s/"/\&quot;/g' "$dir/page.html"
        printf '"></iframe>\n'
    done
} >"$dir/frames.html"
timeout 120 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$dir/profile" --dump-dom \
    "file://$dir/frames.html" >"$dir/dom" 2>"$dir/log" || { tail -3 "$dir/log"; fail "the browser failed"; }
sed -n '/id="verdict"/,/<\/pre>/p' "$dir/dom" | head -5
for width in 360 1280; do grep -q "$width: 11 plots, good" "$dir/dom" || fail "at $width pixels"; done
