#!/usr/bin/env python3
"""Clients that leave at a random moment: in the queue, in the prompt, while tokens are made. What they had is free when the step under
way is over. Steps are counted from just before the client leaves, so that two are one: the one under way, and the one that may begin
before the news is there. On a machine that is busy otherwise the client itself may be held up in between, for some in a hundred."""
import asyncio

from serving import FULL, Server, becomes_idle, expect, metrics, need_server, report, request_bytes, seeded

N = 1000 if FULL else 150
STEPS = "gpt2q_steps_total"


def some_body(rng):
    kind = rng.randrange(4)
    if kind == 0:  # long prompts: it leaves in the prefill
        return {"prompt": [[rng.randrange(8000) for _ in range(480)] for _ in range(8)], "max_tokens": 20}
    if kind == 1:  # more than there are rows: most wait
        return {"prompt": ["Once upon a time"] * 64, "max_tokens": 400, "ignore_eos": True}
    return {"prompt": "Once", "n": 32, "max_tokens": 400, "ignore_eos": True, "stream": kind == 2}


async def one(port, rng):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes(body=some_body(rng)))
    await asyncio.sleep(rng.random() * 0.06)
    before = await metrics(port)
    writer.close()
    busy = before["gpt2q_requests_running"] + before["gpt2q_requests_waiting"] > 0
    after = await becomes_idle(port)
    expect(after is not None, "what a client had is not free")
    return busy, after[STEPS] - before[STEPS]


async def run(port):
    rng, steps, busy = seeded(2), [], 0
    for _ in range(N):
        was_busy, n = await one(port, rng)
        busy += was_busy
        if was_busy:
            steps.append(int(n))
    return busy, steps


def main():
    need_server()
    server = Server("-q", "f32", "-a", "f32", "-b", "32", "--chunk", "64")
    busy, steps = asyncio.run(run(server.port))
    expect(busy > N / 2, f"only {busy} of {N} clients left while something ran")
    late = sum(n > 2 for n in steps)
    expect(late <= len(steps) * 0.1, f"{late} of {len(steps)} were freed later than one step: {sorted(steps)[-20:]}")
    expect(server.stop() == 0, "the server did not end with 0")
    report(test="clients that leave", clients=N, while_running=busy, steps={str(n): steps.count(n) for n in sorted(set(steps))})


main()
