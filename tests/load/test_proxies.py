#!/usr/bin/env python3
"""tools/serve/haproxy.cfg and nginx.conf as they are, but for their ports and folders: three servers behind HAProxy (two behind nginx)
are restarted in turn while requests come. None fails; streams are whole. Skipped where neither program is here."""
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from serving import FULL, ROOT, Server, ask_raw, expect, join_events, need_server, report, request_bytes, seeded, skip

N, AT_ONCE = (10000, 32) if FULL else (1200, 16)


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def start(where):
    """A server at a port, or at a Unix socket."""
    if isinstance(where, int):
        return Server("--drain-delay", "1.5", "-b", "16", "--queue", "512", port=where)
    return Server("--drain-delay", "1.5", "-b", "16", "--queue", "512", "--unix", where, port="none")


def configure(name, replacements, directory):
    with open(os.path.join(ROOT, "tools/serve", name), encoding="utf-8") as f:
        text = f.read()
    for pattern, replacement in replacements:
        text, n = re.subn(pattern, replacement, text)
        expect(n > 0, f"{name}: {pattern} does not stand there")
    path = os.path.join(directory, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


async def ask_through(port, counts, rng):
    stream = rng.random() < 0.5
    body = {"prompt": "Once upon a time", "max_tokens": rng.randint(1, 40), "ignore_eos": True, "seed": 1, "stream": stream}
    answer = await ask_raw(port, request_bytes(body=body, close=True))
    right = answer.status == 200 and answer.whole
    if right and stream:
        right = join_events(answer.body) is not None
    elif right:
        right = json.loads(answer.body)["usage"]["completion_tokens"] == body["max_tokens"]
    counts["answers"] += 1
    counts["failed"] += not right
    if not right:
        print(answer.status, answer.whole, answer.head, answer.body[-300:], flush=True)


async def load(port, done):
    counts, rng, left = dict(answers=0, failed=0), seeded(4), iter(range(N))

    async def client():
        for _ in left:
            await ask_through(port, counts, rng)
    clients = [asyncio.create_task(client()) for _ in range(AT_ONCE)]
    while not all(c.done() for c in clients):
        done["share"] = counts["answers"] / N
        await asyncio.sleep(0.05)
    for c in clients:
        c.result()
    return counts


async def restart_in_turn(servers, places, done):
    """Each is restarted once, at least, and none while another is away."""
    restarts, loop = 0, asyncio.get_running_loop()
    while done["share"] < 1 and (restarts < len(places) or done["share"] < 0.9):
        i = restarts % len(places)
        servers[i].signal()
        code = await loop.run_in_executor(None, servers[i].wait)
        expect(code == 0, f"a server ended with {code}")
        servers[i] = await loop.run_in_executor(None, start, places[i])
        restarts += 1
        await asyncio.sleep(1.5)  # until the proxy has seen that it is back
    return restarts


async def run(port, servers, places):
    done = {"share": 0}
    return await asyncio.gather(load(port, done), restart_in_turn(servers, places, done))


def through(name, command, port, places):
    servers = [start(place) for place in places]
    proxy = subprocess.Popen(command, stderr=subprocess.PIPE)
    time.sleep(1.5)
    if proxy.poll() is not None:
        expect(False, f"{name}: {proxy.stderr.read()[-600:]!r}")
    began = time.monotonic()
    try:
        counts, restarts = asyncio.run(run(port, servers, places))
    finally:
        proxy.send_signal(signal.SIGTERM)
        proxy.wait(20)
        for s in servers:
            if s.process.poll() is None:
                s.stop()
    report(test=name, **counts, restarts=restarts, seconds=round(time.monotonic() - began, 1))
    expect(counts["failed"] == 0 and counts["answers"] == N, f"{name}: {counts['failed']} of {N} failed")
    expect(restarts >= len(places), f"{name}: only {restarts} restarts")


def haproxy(directory):
    front, a, b = free_ports(3)
    unix = os.path.join(directory, "c.sock")
    path = configure("haproxy.cfg", [("/run/haproxy/ha.sock", os.path.join(directory, "ha.sock")), ("/run/gpt2q/c.sock", unix),
                                     ("127.0.0.1:9940", f"127.0.0.1:{front}"), ("127.0.0.1:9941", f"127.0.0.1:{a}"),
                                     ("127.0.0.1:9942", f"127.0.0.1:{b}")], directory)
    through("HAProxy", ["haproxy", "-db", "-q", "-f", path], front, [a, b, unix])


def nginx(directory):
    front, a, b = free_ports(3)
    path = configure("nginx.conf", [("/var/lib/nginx", directory), ("127.0.0.1:9950", f"127.0.0.1:{front}"),
                                    ("127.0.0.1:9941", f"127.0.0.1:{a}"), ("127.0.0.1:9942", f"127.0.0.1:{b}")], directory)
    through("nginx", ["nginx", "-c", path, "-g", "daemon off;"], front, [a, b])


def main():
    need_server()
    found = [(p, f) for p, f in (("haproxy", haproxy), ("nginx", nginx)) if shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin")]
    if not found:
        skip("neither HAProxy nor nginx is here")
    os.environ["PATH"] += ":/usr/sbin"
    for _, test in found:
        with tempfile.TemporaryDirectory(prefix="gpt2q-proxy-") as directory:
            test(directory)


main()
