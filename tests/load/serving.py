"""What the load tests share: a server under test, clients on raw sockets (asyncio), and what `gpt2q batch` answers.

Counts are for `make test-load`; $GPT2Q_LOAD=full takes those of tools/measurements/serve.md."""
import asyncio
import atexit
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GPT2Q = os.path.join(ROOT, os.environ.get("GPT2Q", "gpt2q"))
FULL = os.environ.get("GPT2Q_LOAD") == "full"


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def fail(reason):
    print(f"failed: {reason}")
    sys.exit(1)


def expect(condition, reason):
    if not condition:
        fail(reason)


def report(**figures):
    print(json.dumps(figures), flush=True)


def need_server():
    help_text = subprocess.run([GPT2Q, "serve", "--help"], capture_output=True, text=True).stdout
    if "not in this build" in help_text:
        skip("this build has no server")


class Server:
    """`gpt2q serve` on a free port (or a given one); ready when made."""

    def __init__(self, *options, port=0):
        self.directory = tempfile.TemporaryDirectory(prefix="gpt2q-load-")
        self.port_file = os.path.join(self.directory.name, "port")
        self.log = open(os.path.join(self.directory.name, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [GPT2Q, "serve", "--port", str(port), "--port-file", self.port_file, "--log-level", "error", *options],
            stderr=self.log, cwd=ROOT)
        atexit.register(self.end)
        until = time.monotonic() + 60
        while not os.path.exists(self.port_file):
            if self.process.poll() is not None or time.monotonic() > until:
                self.log.seek(0)
                fail(f"the server is not ready: {self.log.read()}")
            time.sleep(0.01)
        with open(self.port_file, encoding="utf-8") as f:
            text = f.read().strip()
        self.port = int(text) if text.isdigit() else 0

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, seconds=90):
        code = self.process.wait(seconds)
        self.log.close()
        self.directory.cleanup()
        return code

    def end(self):
        """Where a test fails, its servers do not stay."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        self.signal()
        return self.wait()

    def status(self, key):
        """A number of /proc/PID/status, in kB."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as f:
            for line in f:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
        return 0

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self, io=True):
        """Of the I/O thread, which is the first, or of all others."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            if (int(task) == self.process.pid) != io:
                continue
            try:
                with open(f"/proc/{self.process.pid}/task/{task}/schedstat", encoding="utf-8") as f:
                    total += int(f.read().split()[0])
            except OSError:
                pass
        return total / 1e9


# ---- clients ----

def request_bytes(path="/v1/completions", body=None, method=None, close=False):
    text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n"
    if close:
        head += "Connection: close\r\n"
    return head.encode() + b"\r\n" + text


class Answer:
    def __init__(self, status=0, head=b"", body=b"", whole=False):
        self.status, self.head, self.body, self.whole = status, head, body, whole

    def header(self, name):
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.lower().encode():
                return value.strip().decode()
        return None


async def read_answer(reader):
    """One answer; what came of it where the connection ends."""
    a = Answer()
    try:
        a.head = await reader.readuntil(b"\r\n\r\n")
        a.status = int(a.head.split()[1])
        length, body = a.header("Content-Length"), []
        if length is not None:
            body.append(await reader.readexactly(int(length)))
        elif a.header("Transfer-Encoding"):
            while True:
                size = int((await reader.readuntil(b"\r\n")).strip(), 16)
                chunk = await reader.readexactly(size + 2)
                if size == 0:
                    break
                body.append(chunk[:-2])
                a.body = b"".join(body) if len(body) < 2 else a.body
        else:
            body.append(await reader.read())
        a.whole = True
    except (asyncio.IncompleteReadError, ConnectionError, OSError, ValueError):
        body = locals().get("body") or []
    a.body = b"".join(body)
    return a


async def ask_raw(port, data):
    """Sends the bytes on a connection of their own; the answer."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    except OSError:
        return Answer()
    try:
        writer.write(data)
        return await read_answer(reader)
    finally:
        writer.close()


async def ask(port, body=None, path="/v1/completions"):
    return await ask_raw(port, request_bytes(path, body, close=True))


async def metrics(port):
    """{'gpt2q_requests_running': summed over labels, ..}, and each line by itself."""
    numbers = {}
    answer = await ask(port, path="/metrics")
    for line in answer.body.decode().splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.rpartition(" ")
            numbers[key] = float(value)
            name = key.partition("{")[0]
            if name != key:
                numbers[name] = numbers.get(name, 0) + float(value)
    return numbers


async def becomes_idle(port, seconds=10):
    """True when nothing runs, waits, or is in the cache."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        m = await metrics(port)
        if not (m["gpt2q_requests_running"] or m["gpt2q_requests_waiting"] or m["gpt2q_kv_cache_used_positions"]):
            return m
        await asyncio.sleep(0.005)
    return None


# ---- answers ----

def choices_bytes(text):
    """The bytes of the choices in an answer: what must be equal."""
    begin = text.index(b'"choices":')
    return text[begin:text.index(b',"usage":', begin)]


def join_events(body):
    """The events of a stream as the choices of one answer; None if it is not whole."""
    choices, done = {}, False
    for event in body.split(b"\n\n"):
        if not event or event.startswith(b":"):
            continue
        if done or not event.startswith(b"data: "):
            return None
        if event == b"data: [DONE]":
            done = True
            continue
        tree = json.loads(event[6:])
        if "error" in tree:
            return None
        for more in tree["choices"]:
            to = choices.setdefault(more["index"], more)
            if to is more:
                continue
            to["text"] += more["text"]
            for key in ("finish_reason", "stop_reason"):
                to[key] = more[key]
            for key, values in (more["logprobs"] or {}).items():
                if values is not None:
                    to["logprobs"][key] += values
            if "token_ids" in more:
                to["token_ids"] += more["token_ids"]
    return [choices[i] for i in sorted(choices)] if done else None


def batch_answers(bodies, *options):
    """The answers of `gpt2q batch` to these bodies, as bytes of a line each."""
    with tempfile.TemporaryDirectory(prefix="gpt2q-load-") as directory:
        path = os.path.join(directory, "lines")
        with open(path, "w", encoding="utf-8") as f:
            for i, body in enumerate(bodies):
                f.write(json.dumps({"custom_id": str(i), "method": "POST", "url": "/v1/completions", "body": body}) + "\n")
        run = subprocess.run([GPT2Q, "batch", path, "-b", "64", "--quiet", *options], capture_output=True, cwd=ROOT)
    expect(run.returncode == 0, f"batch: {run.stderr[-400:]!r}")
    return run.stdout.splitlines()


WORDS = ("Once upon a time there was little girl who had big dog and they went to the park with mom dad ball red blue happy "
         "said it is very good one day Tom Lily saw sun tree wanted play").split()


def random_body(rng):
    """A request as anybody might send it; it names a seed, so that its answer is known."""
    def text():
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 40)))

    kind = rng.random()
    if kind < 0.6:
        prompt = text()
    elif kind < 0.75:
        prompt = [text() for _ in range(rng.randint(1, 3))]
    else:
        prompt = [rng.randrange(8000) for _ in range(rng.randint(1, 120))]
    body = {"prompt": prompt, "max_tokens": rng.randint(1, 40), "seed": rng.randrange(1 << 40)}
    maybe = {"temperature": lambda: rng.choice([0, 0.5, 1, 1.7]), "top_p": lambda: rng.choice([0.5, 0.9]),
             "top_k": lambda: rng.randint(1, 50), "min_p": lambda: 0.05, "n": lambda: rng.randint(1, 3),
             "logprobs": lambda: rng.randint(0, 5), "echo": lambda: True, "stop": lambda: rng.choice([".", [" the", "!"]]),
             "repetition_penalty": lambda: 1.2, "frequency_penalty": lambda: 0.5, "presence_penalty": lambda: -0.5,
             "logit_bias": lambda: {str(rng.randrange(8000)): rng.choice([-100, 5])}, "ignore_eos": lambda: True,
             "return_token_ids": lambda: True, "stop_token_ids": lambda: [rng.randrange(8000)]}
    for key, value in maybe.items():
        if rng.random() < 0.15:
            body[key] = value()
    return body


def seeded(number):
    return random.Random(int(os.environ.get("GPT2Q_LOAD_SEED", "0")) * 1000 + number)
