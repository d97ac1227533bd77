#!/usr/bin/env python3
"""Hundreds of clients that send their headers or bodies a byte at a time, or do not read their answers, while 16 honest streams run. With
and without them in turn: what the honest ones wait between two events, and how many tokens they get. The slow ones are gone when the
server's deadlines have passed, and its memory is bounded."""
import asyncio
import json
import os
import socket
import statistics
import subprocess
import time

from serving import FULL, ROOT, Server, becomes_idle, expect, metrics, need_server, report, request_bytes

SLOW, SECONDS, ROUNDS = (500, 10, 3) if FULL else (200, 2, 1)
BENCH = os.path.join(ROOT, os.environ.get("BUILD", "build/release"), "tests/http/bench_streams")
HONEST = {"prompt": "Once upon a time there was a little", "max_tokens": 64, "ignore_eos": True, "stream": True, "seed": 1}
PAGES = request_bytes("/app.js") * 8  # more than the sockets hold


async def dribble(port, data, until):
    """One byte a second, anew whenever the server ends it."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            for i in range(len(data)):
                if loop.time() >= until:
                    break
                writer.write(data[i:i + 1] if i else data[:20])
                await writer.drain()
                await asyncio.sleep(1)
            writer.close()
        except OSError:
            await asyncio.sleep(0.2)


async def never_read(port, until):
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.setblocking(False)
    try:
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, PAGES)
        await asyncio.sleep(max(0, until - loop.time()))
    except OSError:
        pass
    sock.close()


async def attack(port, kind, seconds):
    until = asyncio.get_running_loop().time() + seconds
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 50
    body = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n" + b" " * 90
    if kind == "headers":
        clients = [dribble(port, head, until) for _ in range(SLOW)]
    elif kind == "bodies":
        clients = [dribble(port, body, until) for _ in range(SLOW)]
    else:
        clients = [never_read(port, until) for _ in range(SLOW)]
    await asyncio.gather(*clients)


def honest(port):
    run = subprocess.run([BENCH, "--seconds", str(SECONDS), "16", "1000000", str(port), json.dumps(HONEST)], capture_output=True, text=True)
    expect(run.returncode == 0, f"an honest stream failed: {run.stdout}")
    return json.loads(run.stdout)


def with_slow_ones(server, kind):
    attacker = subprocess.Popen(["python3", os.path.abspath(__file__), str(server.port), kind, str(SECONDS + 2)])
    time.sleep(1.5)
    result = honest(server.port)
    connections = asyncio.run(metrics(server.port))["gpt2q_http_connections"]
    attacker.wait()
    return result, connections


def cost_of(server, kind):
    """What they cost the I/O thread, in percent of a core. Neighbours on the machine do not touch that."""
    attacker = subprocess.Popen(["python3", os.path.abspath(__file__), str(server.port), kind, "5"])
    time.sleep(2)
    cpu, at = server.cpu_seconds(), time.monotonic()
    time.sleep(2)
    percent = 100 * (server.cpu_seconds() - cpu) / (time.monotonic() - at)
    attacker.wait()
    return percent


def measure(kind):
    server = Server("-b", "96", "--header-timeout", "5", "--body-timeout", "5", "--write-timeout", "5", "--stream-buffer", "65536")
    alone, beside, most = [], [], 0
    for _ in range(ROUNDS):
        alone.append(honest(server.port))
        result, connections = with_slow_ones(server, kind)
        beside.append(result)
        most = max(most, connections)
    percent = cost_of(server, kind)
    expect(percent < 5, f"{SLOW} slow clients take {percent:.1f} % of a core")
    expect(asyncio.run(becomes_idle(server.port, 15)), "something of the slow clients still runs")
    time.sleep(6)
    left = asyncio.run(metrics(server.port))["gpt2q_http_connections"]
    expect(left <= 2, f"{left} connections of slow clients are still open")
    rss = server.status("VmHWM") / 1024
    expect(rss < 400, f"{rss:.0f} MB of memory")

    def middle(results, what):
        return statistics.median(what(r) for r in results)

    def rate(r):
        return r["events"] / r["seconds"]

    def gap(r):
        return r["gap_ms"]["p99"]

    expect(server.stop() == 0, "the server did not end with 0")
    figures = dict(connections=int(most), events_per_s_alone=round(middle(alone, rate)), events_per_s_beside=round(middle(beside, rate)),
                   gap_p99_ms_alone=round(middle(alone, gap), 2), gap_p99_ms_beside=round(middle(beside, gap), 2), io_percent_of_core=round(percent, 2), peak_mb=round(rss))
    report(test="slow clients", kind=kind, **figures)
    expect(middle(beside, rate) > 0.25 * middle(alone, rate), "honest clients got less than a quarter")


def main():
    need_server()
    for kind in ("headers", "bodies", "readers"):
        measure(kind)


if __name__ == "__main__":
    import sys
    if len(sys.argv) > 1:
        asyncio.run(attack(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
    else:
        main()
