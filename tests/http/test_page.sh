#!/bin/sh
# The page in headless Chromium: a prompt is typed, two lanes stream, the first difference is marked, a token shows what else was
# likely, the keyboard moves, Stop stops; nothing is on the console, nothing is asked of others, no sideways scrolling at 360 px.
# Skipped without Chromium or python3. PICTURES=DIR keeps screenshots at two widths, light and dark.
set -eu
for browser in chromium chromium-browser google-chrome; do command -v $browser >/dev/null 2>&1 && break; done
command -v $browser >/dev/null 2>&1 || { echo "skipped: Chromium is not here"; exit 77; }
command -v python3 >/dev/null 2>&1 || { echo "skipped: python3 is not here"; exit 77; }
. tests/http/start_server.sh
start_server --schemes i8,i4:g32,f32@f32
cat >"$dir/drive.py" <<'PY'
import base64, json, os, subprocess, sys, time

browser, port, directory, pictures = sys.argv[1:5]
to_browser, mine_out = os.pipe()
mine_in, from_browser = os.pipe()


def prepare():
    a, b = os.dup(to_browser), os.dup(from_browser)
    os.dup2(a, 3)
    os.dup2(b, 4)


process = subprocess.Popen([browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            "--remote-debugging-pipe", "--user-data-dir=" + directory + "/profile"],
                           preexec_fn=prepare, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
os.close(to_browser)
os.close(from_browser)
buffer, number, events, session = b"", 0, [], None


def receive():
    global buffer
    while b"\0" not in buffer:
        more = os.read(mine_in, 1 << 20)
        if not more:
            sys.exit("the browser has ended")
        buffer += more
    message, buffer = buffer.split(b"\0", 1)
    return json.loads(message)


def call(method, **params):
    global number
    number += 1
    message = {"id": number, "method": method, "params": params}
    if session:
        message["sessionId"] = session
    os.write(mine_out, json.dumps(message).encode() + b"\0")
    while True:
        answer = receive()
        if answer.get("id") == number:
            assert "error" not in answer, (method, answer)
            return answer["result"]
        events.append(answer)


def run(expression):
    result = call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
    assert "exceptionDetails" not in result, (expression, result)
    return result["result"].get("value")


def until(expression, seconds=30):
    began = time.time()
    while time.time() - began < seconds:
        value = run(expression)
        if value:
            return value
        time.sleep(0.05)
    sys.exit("never: " + expression + "; " + run("document.body.innerText"))


def width(px, scheme="light"):
    call("Emulation.setDeviceMetricsOverride", width=px, height=900, deviceScaleFactor=1, mobile=px < 500)
    call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


def picture(name):
    if pictures:
        height = run("document.documentElement.scrollHeight")
        data = call("Page.captureScreenshot", captureBeyondViewport=True,
                    clip={"x": 0, "y": 0, "width": run("innerWidth"), "height": height, "scale": 1})
        with open(os.path.join(pictures, name), "wb") as f:
            f.write(base64.b64decode(data["data"]))


def key(name):
    for kind in ("keyDown", "keyUp"):
        call("Input.dispatchKeyEvent", type=kind, key=name, code=name)


try:
    target = call("Target.createTarget", url="about:blank")["targetId"]
    session = call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        call(domain + ".enable")
    width(1280)
    call("Page.navigate", url="http://127.0.0.1:" + port + "/")
    until("document.querySelectorAll('#choices input').length == 3")
    # A prompt is typed, and the form is sent by the keyboard.
    run("document.getElementById('prompt').select(), document.getElementById('prompt').focus()")
    call("Input.insertText", text="The little dog <b>found</b> a")
    run("max_tokens.value = 60, temperature.value = 1, seed.value = 3")
    run("document.getElementById('form').requestSubmit()")
    until("document.getElementById('status').textContent.startsWith('Done')")
    lanes = run("[...document.querySelectorAll('.lane')].map(l => l.querySelectorAll('.tok').length)")
    assert len(lanes) == 3 and min(lanes) > 0, lanes
    assert run("document.querySelector('.prompt').textContent") == "The little dog <b>found</b> a"
    assert run("document.querySelectorAll('.lane b').length") == 0
    # The mark stands at the first token that differs from the first lane's, and nowhere before.
    marks = run("""lanes.slice(1).map(l => [Number(l.box.dataset.divergence), l.tokens.findIndex((t, i) => i < lanes[0].tokens.length
        && t.id !== lanes[0].tokens[i].id), l.box.querySelectorAll('.diverged').length])""")
    assert all(told == found and n == (found >= 0) for told, found, n in marks), marks
    assert any(found >= 0 for _, found, _ in marks), marks
    assert run("lanes.every(l => l.tokens.every(t => /^tok p[0-4]/.test(t.element.className)))")
    assert "tokens/s" in run("document.querySelector('.facts').textContent")
    # Hover and keyboard show the likeliest.
    run("lanes[0].tokens[0].element.dispatchEvent(new MouseEvent('mouseenter'))")
    assert run("document.querySelectorAll('#token_table tbody tr').length") >= 5
    assert run("document.querySelectorAll('#token_table tr.chosen').length") == 1
    run("lanes[0].tokens[0].element.focus()")
    key("ArrowRight")
    assert run("document.activeElement === lanes[0].tokens[1].element")
    key("ArrowDown")
    assert run("document.activeElement === lanes[1].tokens[1].element")
    # The link makes the same view again, and the same text comes.
    link, before = run("document.getElementById('link').href"), run("lanes.map(l => l.text.textContent).join('|')")
    assert "curl -N http://127.0.0.1" in run("document.getElementById('curl').textContent")
    picture("page-1280-light.png")
    width(1280, "dark")
    picture("page-1280-dark.png")
    call("Page.navigate", url="about:blank")
    call("Page.navigate", url=link)
    until("document.querySelectorAll('#choices input').length == 3")
    run("document.getElementById('form').requestSubmit()")
    until("document.getElementById('status').textContent.startsWith('Done')")
    assert run("lanes.map(l => l.text.textContent).join('|')") == before
    for px, scheme in ((360, "light"), (360, "dark")):
        width(px, scheme)
        assert run("document.documentElement.scrollWidth") <= px, run("document.documentElement.scrollWidth")
        picture("page-%d-%s.png" % (px, scheme))
    # The frame of a difference is one box, wherever lines end: the space before a word does not get a box of its own.
    run("lanes[1].tokens.forEach(t => markWord(t.element, true))")
    assert run("lanes.map(l => l.text.textContent).join('|')") == before
    split = run("""[...document.querySelectorAll('.word')].filter(e => e.textContent.trim() && (e.getClientRects().length != 1 ||
        getComputedStyle(e).outlineStyle != 'solid')).map(e => e.textContent)""")
    assert not split, split
    run("markDivergence()")
    assert run("document.querySelectorAll('.word').length") == len([n for _, _, n in marks if n]), "marks are left over"
    # Stop stops, and the server's rows are free.
    width(1280)
    run("max_tokens.value = 500, document.getElementById('form').requestSubmit()")
    until("document.querySelectorAll('.tok').length > 3")
    run("document.getElementById('stop').click()")
    until("document.getElementById('status').textContent == 'Stopped.'")
    until("fetch('/health/ready').then(r => r.json()).then(r => r.running == 0)", 10)
    bad = [e for e in events if e["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled") or
           (e["method"] == "Log.entryAdded" and e["params"]["entry"]["level"] in ("error", "warning"))]
    assert not bad, bad
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    outside = [u for u in asked if not u.startswith(("http://127.0.0.1:" + port, "about:", "data:"))]
    assert not outside, outside
finally:
    process.kill()
    process.wait()
PY
python3 "$dir/drive.py" "$browser" "$(cat "$dir/port")" "$dir" "${PICTURES:-}"
