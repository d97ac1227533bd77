#!/bin/sh
# The page of compare --html in a real browser, at 360 and 1280 pixels: every plot is drawn, nothing is cut off, nothing scrolls
# sideways. The page itself has no script: the measuring one sits in another page that shows it in frames of those widths.
set -eu
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || { echo "skipped: no chromium is here"; exit 77; }
program=${GPT2Q:-./gpt2q}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "$*"
    exit 1
}

"$program" compare --quiet --limit 64 --window 64 -n 12 --schemes f32,i8,i4,notes --html "$dir/page.html" \
    "The quick brown fox jumped over the" "One day, a cat and a dog" "<b>&amp;" >/dev/null
! grep -Eiq '<script|src=|href=|https?:|@import|url\(' "$dir/page.html" || fail "the page is not self-contained"
grep -q '<mark>' "$dir/page.html" || fail "no divergence is marked"
grep -q '&lt;b&gt;&amp;amp;' "$dir/page.html" || fail "a prompt is not escaped"
[ "$(grep -c '<svg' "$dir/page.html")" -eq 8 ] || fail "eight plots are expected: size, divergence, two of layers, four of a tensor"

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
for width in 360 1280; do grep -q "$width: 8 plots, good" "$dir/dom" || fail "at $width pixels"; done
