"""The curve of tools/bench_serve: time to first token and tokens/s against arrivals, gpt2q beside llama-cpp-python's server on the same
model (default model; i8, and the Q8_0 that `gpt2q quantize` writes), one thread each, in one run in which they take turns. Draws tools/pictures/serve.svg."""
import json
import math
import os
import socket
import subprocess
import tempfile
import time
import urllib.request

from serving import GPT2Q, ROOT, WORDS, Server, report, seeded

RATES, SECONDS, TOKENS, LATE_MS = (1, 2, 4, 8, 16, 32, 64), 4, 64, 4000
STREAMS = os.path.join(ROOT, "build/release/tests/http/bench_streams")
PICTURE = os.path.join(ROOT, "tools/pictures/serve.svg")
COLOURS = {"gpt2q": "#2f6db5", "llama-cpp-python": "#b5502f"}


class Llama:
    """One stream after another: with its default (interrupt_requests) it cuts a stream off when the next request comes."""

    def __init__(self, python, directory):
        path = os.path.join(directory, "q8_0.gguf")
        subprocess.run([GPT2Q, "quantize", "models/tales-7m", "--gguf-type", "q8_0", "-o", path, "--quiet"], check=True, cwd=ROOT,
                       stdout=subprocess.DEVNULL)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen([python, "-m", "llama_cpp.server", "--model", path, "--port", str(self.port), "--n_ctx", "512",
                                         "--n_threads", "1", "--interrupt_requests", "False", "--verbose", "False"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            time.sleep(0.2)
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/models").read()
                return
            except OSError:
                pass
        raise SystemExit("bench_serve: llama-cpp-python's server does not answer")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def measure(port, bodies, rate):
    run = subprocess.run([STREAMS, "--rate", str(rate), "--seconds", str(SECONDS), "1", "100000", str(port), "@" + bodies],
                         capture_output=True, text=True)
    r = json.loads(run.stdout)
    whole = r["answers"] - r["bad"] - r["refused"]
    return {"arrivals_per_s": rate, "bad": r["bad"], "first_p50_ms": r["first_ms"]["p50"], "first_p99_ms": r["first_ms"]["p99"],
            "tokens_per_s": round(whole * TOKENS / r["seconds"])}


def bodies_of(directory):
    """Prompts of 14 words, all different; the end is banned, so that all answers are of one length."""
    rng, path = seeded(9), os.path.join(directory, "bodies")
    with open(os.path.join(ROOT, "models/tales-7m/config.json"), encoding="utf-8") as f:
        end = json.load(f)["eos_token_id"]
    with open(path, "w", encoding="utf-8") as f:
        for _ in range(1000):
            f.write(json.dumps({"prompt": " ".join(rng.choice(WORDS) for _ in range(14)), "max_tokens": TOKENS, "temperature": 0,
                                "stream": True, "seed": 0, "logit_bias": {str(end): -100}}) + "\n")
    return path


def curve(python):
    points = {}
    with tempfile.TemporaryDirectory() as directory:
        bodies = bodies_of(directory)
        servers = {"gpt2q": Server("-j", "1", "-b", "64", "--queue", "4096")}
        if python:
            servers["llama-cpp-python"] = Llama(python, directory)
        for s in servers.values():
            measure(s.port, bodies, 2)
        for rate in RATES:
            for name, s in servers.items():
                past = points.setdefault(name, [])
                if past and past[-1]["first_p50_ms"] > LATE_MS:
                    continue  # it is full: what waits only grows
                past.append(measure(s.port, bodies, rate))
                report(test="curve", server=name, **past[-1])
        for s in servers.values():
            s.stop()
    with open(PICTURE, "w", encoding="utf-8") as f:
        f.write(draw(points))


# ---- the picture ----

def draw(points):
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 340" font-family="sans-serif" font-size="13">',
           '<title>Time to first token and tokens per second against arrivals</title><rect width="100%" height="100%" fill="#fff"/>']
    out += panel(points, 70, "first_p50_ms", "ms to the first token: median, 99 % (dashed)", "first_p99_ms")
    out += panel(points, 500, "tokens_per_s", "tokens/s")
    for i, name in enumerate(points):
        out.append(f'<text x="{90 + 200 * i}" y="22" fill="{COLOURS[name]}" font-weight="bold">{name}</text>')
    return "\n".join(out + ["</svg>\n"])


def panel(points, left, key, label, second=None):
    keys = [key] + ([second] if second else [])
    values = [p[k] for ps in points.values() for p in ps for k in keys if p[k] > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = math.log2(RATES[-1])

    def x(rate):
        return left + 320 * math.log2(rate) / last

    def y(value):
        return 290 - 250 * (math.log10(max(value, 10 ** low)) - low) / (high - low)
    out = [f'<path d="M{left} {y(10 ** e):.1f}H{left + 320}" stroke="#ddd"/>'
           f'<text x="{left - 6}" y="{y(10 ** e) + 4:.1f}" text-anchor="end">{10 ** e:g}</text>' for e in range(low, high + 1)]
    out += [f'<text x="{x(r):.1f}" y="308" text-anchor="middle">{r}</text>' for r in RATES]
    out.append(f'<text x="{left + 160}" y="328" text-anchor="middle">requests a second, {TOKENS} tokens each</text>')
    out.append(f'<text transform="translate({left - 50} 165) rotate(-90)" text-anchor="middle">{label}</text>')
    for name, ps in points.items():
        for k in keys:
            path = "L".join(f'{x(p["arrivals_per_s"]):.1f} {y(p[k]):.1f}' for p in ps)
            dash = ' stroke-dasharray="4 4"' if k == second else ""
            out.append(f'<path d="M{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"{dash}/>')
        out += [f'<circle cx="{x(p["arrivals_per_s"]):.1f}" cy="{y(p[key]):.1f}" r="4" fill="{COLOURS[name]}"/>' for p in ps]
    return out
