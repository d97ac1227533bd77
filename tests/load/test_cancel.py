#!/usr/bin/env python3
"""Clients that leave at a random moment: in the queue, in the prompt, while tokens are made. What they had is free when the step under
way is over. The server counts the steps that end between the moment it learns of it and then, and says so on SIGUSR1."""
import asyncio
import re
import signal
import time

from serving import FULL, Server, becomes_idle, expect, metrics, need_server, report, request_bytes, seeded

N = 1000 if FULL else 150
LEFT = 'gpt2q_cancelled_total{model="tales-7m",reason="disconnect"}'


def some_body(rng):
    kind = rng.randrange(4)
    if kind == 0:  # long prompts: it leaves in the prefill
        return {"prompt": [[rng.randrange(8000) for _ in range(480)] for _ in range(8)], "max_tokens": 20}
    if kind == 1:  # more than there are rows: most wait
        return {"prompt": ["Once upon a time"] * 64, "max_tokens": 400, "ignore_eos": True}
    return {"prompt": "Once", "n": 32, "max_tokens": 400, "ignore_eos": True, "stream": kind == 2}


async def one(port, rng):
    """Whether something of the client ran or waited when it left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes(body=some_body(rng)))
    await asyncio.sleep(rng.random() * 0.06)
    before = await metrics(port)
    writer.close()
    busy = before["gpt2q_requests_running"] + before["gpt2q_requests_waiting"] > 0
    expect(await becomes_idle(port) is not None, "what a client had is not free")
    return busy


async def run(port):
    rng, busy = seeded(2), 0
    for _ in range(N):
        busy += await one(port, rng)
    return busy, (await metrics(port)).get(LEFT, 0)


def steps_until_free(server):
    """Of all that were cancelled: how many were free after 0, 1, more steps."""
    server.signal(signal.SIGUSR1)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        server.log.seek(0)
        found = re.search(r"free after 0, 1, more steps (\d+), (\d+), (\d+)", server.log.read())
        if found:
            return [int(n) for n in found.groups()]
        time.sleep(0.05)
    return None


def main():
    need_server()
    server = Server("-q", "f32", "-a", "f32", "-b", "32", "--chunk", "64", "--log-level", "info")
    busy, left = asyncio.run(run(server.port))
    expect(busy > N / 2, f"only {busy} of {N} clients left while something ran")
    steps = steps_until_free(server)
    expect(steps is not None and sum(steps) == left, f"{left} clients left, and the server counts {steps}")
    expect(steps[2] == 0, f"{steps[2]} of {left} were freed later than one step")
    expect(server.stop() == 0, "the server did not end with 0")
    report(test="clients that leave", clients=N, while_running=busy, cancelled=int(left), steps=dict(zip(("0", "1", "more"), steps)))


main()
