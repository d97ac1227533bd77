"""Both ends of a peer's process: bench_peers starts one per peer, with the environment's python, and asks it for figures.

A line of standard input names a test, a line of standard output answers it; what libraries print goes to a log.
"""
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time

from . import FIRST_PROMPT, FIRST_TOKEN, PEERS, POSITION, PROMPT, STEPS, TESTS, TOKENIZERS


# ---- inside the process ----

def resident_bytes():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def measure(engine, test, text):
    if test == "prefill":
        return engine.prefill(PROMPT)
    if test == "tokenizer":
        with open(text, "rb") as f:
            return engine.tokenize(f.read())
    return engine.decode(TESTS[test].batch, POSITION, STEPS)


def first_token(module, path, threads, variant):
    """Seconds and bytes of a first token, its interpreter and numpy not counted, its library counted as memory only."""
    import numpy  # noqa: F401
    before = resident_bytes()
    importlib.import_module(module.LIBRARY)
    begin = time.perf_counter()
    engine = module.Engine(path, threads, variant)
    engine.first_token(FIRST_PROMPT)
    return {"start": time.perf_counter() - begin, "resident": (resident_bytes() - before) * 1e-6}


def serve(task, name, directory, threads, text):
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def reply(value):
        print(json.dumps(value), file=replies, flush=True)

    peer = PEERS[name]
    module = importlib.import_module("peers." + peer.module)
    path = module.prepare(directory, peer.variant)
    if task == "prepare":
        return reply("ready")
    if task == "first":
        return reply(first_token(module, path, threads, peer.variant))
    engine = module.Engine(path, threads, peer.variant)
    reply("ready")
    for line in sys.stdin:
        reply(measure(engine, line.strip(), text))


# ---- outside ----

class Peer:
    def __init__(self, name, python, directory, threads, text):
        self.name, self.log = name, os.path.join(directory, name + ".log")
        self.command = [python, os.path.abspath(sys.argv[0]), "--peer", name, "--models", directory,
                        "--threads", str(threads), "--text", text]
        self.ask_once("prepare")  # in a process of its own: some converters are large
        self.process = self.spawn("serve")
        self.answer(self.process)

    def spawn(self, task):
        with open(self.log, "a") as log:
            return subprocess.Popen(self.command + ["--task", task], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=log)

    def answer(self, process):
        line = process.stdout.readline().strip()
        if not line:
            status = process.wait()
            end = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            with open(self.log, errors="replace") as f:
                lines = f.read().strip().splitlines()
            raise RuntimeError(f"{end}; its last line: {lines[-1]}" if lines else end)
        return json.loads(line)

    def ask_once(self, task):
        with self.spawn(task) as process:
            return self.answer(process)

    def measure(self, test):
        """{(row, test): figure}, empty where this peer has no such thing."""
        if test == "start":
            found = self.ask_once("first") if self.name in FIRST_TOKEN else {}
            return {(self.name, t): value for t, value in found.items()}
        if test == "tokenizer" and self.name not in TOKENIZERS:
            return {}
        print(test, file=self.process.stdin, flush=True)
        return {(self.name, test): self.answer(self.process)}

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
