#!/usr/bin/env python3
"""SIGTERM while 64 streams run: each that began is finished to its [DONE], the exit code is 0. A second signal ends within a second."""
import asyncio
import signal
import time

from serving import FULL, Server, ask_raw, expect, metrics, need_server, report, request_bytes, seeded

ROUNDS, STREAMS = (100, 64) if FULL else (8, 64)


async def round_of(server, rng, twice):
    body = {"prompt": "Once upon a time", "max_tokens": 60, "ignore_eos": True, "stream": True}
    if twice:
        body = {**body, "max_tokens": 500, "n": 8}
    asks = [asyncio.create_task(ask_raw(server.port, request_bytes(body=body))) for _ in range(STREAMS)]
    while (await metrics(server.port))["gpt2q_http_connections"] < STREAMS:
        await asyncio.sleep(0.001)
    await asyncio.sleep(rng.random() * 0.1)
    server.signal()
    at = time.monotonic()
    if twice:
        await asyncio.sleep(0.1)
        server.signal(signal.SIGINT)
        at = time.monotonic()
    answers = await asyncio.gather(*asks)
    return answers, time.monotonic() - at


def drain(rng):
    server = Server("-b", "16", "--queue", "4096")
    answers, _ = asyncio.run(round_of(server, rng, False))
    code = server.wait()
    expect(code == 0, f"exit code {code}, not 0")
    for a in answers:
        expect(a.status in (0, 200, 503), f"status {a.status}")
        expect(a.status != 200 or (a.whole and a.body.endswith(b"data: [DONE]\n\n")), f"cut: {a.body[-200:]!r}")
    return sum(a.status == 200 for a in answers)


def cut(rng):
    server = Server("-b", "16", "--queue", "4096")
    answers, seconds = asyncio.run(round_of(server, rng, True))
    began = time.monotonic()
    code = server.wait()
    seconds += time.monotonic() - began
    expect(code == 143, f"exit code {code}, not 143")
    expect(seconds < 1.5, f"a second signal took {seconds:.1f} s")
    expect(any(b"shutting_down" in a.body for a in answers), "no client was told why")
    return seconds


def main():
    need_server()
    rng = seeded(3)
    whole = sum(drain(rng) for _ in range(ROUNDS))
    expect(whole > ROUNDS * STREAMS * 0.9, f"only {whole} of {ROUNDS * STREAMS} streams had begun")
    seconds = [cut(rng) for _ in range(5 if FULL else 2)]
    report(test="drains", rounds=ROUNDS, streams=ROUNDS * STREAMS, whole=whole, cut=0, second_signal_s=round(max(seconds), 2))


main()
