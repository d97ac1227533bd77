#!/usr/bin/env python3
"""first_token.py: how soon a first token can come, by what passes cost and nothing else (tools/measurements/serve.md).

Requests of 16 prompt tokens and 64 made ones arrive at random (Poisson). One engine makes passes. A pass costs what was measured of it: the
default model in i8, one thread or two, on a quiet machine, rows at position 48. HTTP, callbacks and other programs take no time.

    together   a pass has a token of every row and all prompts that wait: one queue, what `batch` does
    first      prompts have passes of their own, before the next token of the rows: what `serve` does
    bound      prompts in order of arrival, and rows never delay them: no order of whole prompts can be faster"""
import bisect
import random
from collections import deque

ROWS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
PROMPTS = (0, 1, 2, 4, 8, 16)
COSTS = {  # ms; a line for each number of prompts
    1: ((0, .094, .114, .162, .212, .300, .401, .587, .815, 1.267, 1.730, 2.561, 3.451),
        (.519, .555, .600, .655, .703, .798, .895, 1.102, 1.298, 1.688, 2.092, 3.089, 4.066),
        (1.016, 1.059, 1.141, 1.160, 1.210, 1.314, 1.417, 1.670, 1.825, 2.209, 2.716, 3.575, 4.501),
        (1.981, 2.017, 2.090, 2.136, 2.187, 2.269, 2.363, 2.580, 2.782, 3.203, 3.712, 4.726, 5.538),
        (3.984, 4.064, 4.138, 4.206, 4.263, 4.385, 4.418, 4.637, 4.833, 5.412, 5.760, 6.704, 7.582),
        (8.266, 8.650, 8.416, 8.226, 8.178, 8.398, 8.522, 8.736, 9.025, 9.485, 9.900, 10.979, 11.952)),
    2: ((0, .062, .077, .102, .219, .308, .236, .329, .462, .645, .847, 1.310, 1.817),
        (.298, .323, .354, .386, .415, .472, .519, .631, .727, .945, 1.172, 1.680, 2.125),
        (.554, .583, .623, .657, .672, .721, .760, .858, .951, 1.310, 1.422, 1.900, 2.379),
        (1.056, 1.119, 1.158, 1.190, 1.185, 1.238, 1.280, 1.403, 1.501, 1.764, 1.936, 2.443, 2.891),
        (2.103, 2.172, 2.207, 2.232, 2.232, 2.301, 2.330, 2.410, 2.528, 2.736, 3.017, 3.503, 4.005),
        (4.206, 4.274, 4.295, 4.326, 4.356, 4.429, 4.510, 4.600, 4.721, 5.048, 5.300, 5.913, 6.388))}
TOKENS, ROWS_AT_ONCE, CHUNK = 64, 64, 256


def cost(threads, rows, prompts):
    i = min(bisect.bisect_right(ROWS, rows) - 1, len(ROWS) - 2)
    j = min(bisect.bisect_right(PROMPTS, prompts) - 1, len(PROMPTS) - 2)
    a, b = (rows - ROWS[i]) / (ROWS[i + 1] - ROWS[i]), (prompts - PROMPTS[j]) / (PROMPTS[j + 1] - PROMPTS[j])
    c = COSTS[threads]
    return (1 - b) * ((1 - a) * c[j][i] + a * c[j][i + 1]) + b * ((1 - a) * c[j + 1][i] + a * c[j + 1][i + 1])


def percentiles(times):
    times = sorted(times)
    return [round(times[int(p * (len(times) - 1))], 2) for p in (.5, .99)]


def simulate(order, threads, arrivals):
    """First tokens (50 and 99 %), the mean step: what is computed for one token of all rows."""
    now = busy = turns = since = 0
    arrivals, waiting, rows, times = deque(arrivals), deque(), [], []
    while arrivals or waiting or rows:
        if not waiting and not rows:
            now = max(now, arrivals[0])
        while arrivals and arrivals[0] <= now:
            waiting.append(arrivals.popleft())
        left = CHUNK if order == "together" else max(CHUNK - 5 * len(rows) // 2, CHUNK // 4) - since
        n = max(0, min(len(waiting), left // 16, ROWS_AT_ONCE - len(rows)))
        if order == "first":
            n = min(n, 4 if len(waiting) > 3 else 1)
        decodes = bool(rows) and (order == "together" or not n)
        took = cost(threads, len(rows) if decodes else 0, n)
        now, busy, since = now + took, busy + took, 0 if decodes else since + 16 * n
        if decodes:
            rows = [x - 1 for x in rows if x > 1]
            turns += 1
        for _ in range(n):
            times.append(now - waiting.popleft())
            rows.append(TOKENS - 1)
    return percentiles(times), busy / turns


def bound(threads, arrivals):
    free, times = 0, []
    for at in arrivals:
        free = max(free, at) + cost(threads, 0, 1)
        times.append(free - at)
    return percentiles(times)


def main():
    for threads, capacity in ((1, 248), (2, 391)):
        for share in (.5, .8):
            rng, arrivals, t = random.Random(1), [], 0
            while t < 2e5:
                t += rng.expovariate(share * capacity) * 1e3
                arrivals.append(t)
            for order in ("together", "first"):
                times, step = simulate(order, threads, arrivals)
                print(f"{threads} threads, {share:.0%} of {capacity}/s, {order}: first token {times} ms (50, 99 %); "
                      f"3 mean steps and a prefill {3 * step + cost(threads, 0, 1):.2f}")
            print(f"{threads} threads, {share:.0%} of {capacity}/s, bound: {bound(threads, arrivals)}")


if __name__ == "__main__":
    main()
