#!/usr/bin/env python3
"""Mixed requests, all kinds at once: one in ten leaves at a random moment, one in a hundred is malformed. The choices of every other
are those of `gpt2q batch`: in one piece the same bytes, as a stream the same values. Afterwards nothing is left behind."""
import asyncio
import time

from serving import (FULL, Server, ask_raw, batch_answers, becomes_idle, choices_bytes, expect, join_events, need_server, random_body,
                     report, request_bytes, seeded)
import json

N, AT_ONCE = (10000, 200) if FULL else (1500, 100)
GARBAGE = [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
           request_bytes(body=b'{"prompt":'), request_bytes(body=b'{"prompt":"a","max_tokns":1}'),
           request_bytes(body=b'{"prompt":"a","seed":"x"}'),
           b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"]


async def leave(port, data, after):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return
    writer.write(data)
    await asyncio.sleep(after)
    writer.close()


async def one(i, port, bodies, want, counts, gate, rng):
    async with gate:
        draw, stream = rng.random(), rng.random() < 0.5
        body = {**bodies[i], "stream": True} if stream else bodies[i]
        if draw < 0.10:
            await leave(port, request_bytes(body=body), rng.random() * 0.05)
            counts["left"] += 1
        elif draw < 0.11:
            answer = await ask_raw(port, rng.choice(GARBAGE))
            expect(answer.status != 200, "a malformed request was answered 200")
            counts["malformed"] += 1
        else:
            answer = await ask_raw(port, request_bytes(body=body, close=True))
            counts["answers"] += 1
            right = answer.status == 200 and answer.whole
            if right and stream:
                right = join_events(answer.body) == json.loads(b"{" + want[i] + b"}")["choices"]
            elif right:
                right = choices_bytes(answer.body) == want[i]
            if not right:
                counts["wrong"] += 1
                print(answer.status, answer.whole, json.dumps(body), answer.body[:2000], want[i][:2000], flush=True)


async def run(port, bodies, want, rng):
    counts, gate = dict(answers=0, left=0, malformed=0, wrong=0), asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(one(i, port, bodies, want, counts, gate, rng) for i in range(N)))
    return counts, await becomes_idle(port)


def main():
    need_server()
    rng = seeded(1)
    bodies = [random_body(rng) for _ in range(N)]
    want = [choices_bytes(line) for line in batch_answers(bodies)]
    server = Server("-b", "64", "--queue", "4096")
    files, began = server.files(), time.monotonic()
    counts, idle = asyncio.run(run(server.port, bodies, want, rng))
    seconds = time.monotonic() - began
    expect(counts["wrong"] == 0, f"{counts['wrong']} of {counts['answers']} answers are not those of batch")
    expect(idle is not None, "something still runs, waits, or is in the cache")
    left = server.files() - files
    expect(left <= 1, f"{left} more files are open than before")
    expect(server.stop() == 0, "the server did not end with 0")
    report(test="mixed requests", requests=N, **counts, seconds=round(seconds, 1))


main()
