"""Timing for engines that can be driven step by step.

Such an engine has start(batch, capacity), which empties the cache, and step(ids), which appends ids (batch, n) to the
sequences and returns the likeliest next ids (batch, 1). What is timed always includes choosing the next token.
"""
import time

from .shape import some_ids


class Stepper:
    def prefill(self, n):
        self.start(1, n)
        ids = some_ids(1, n)
        begin = time.perf_counter()
        self.step(ids)
        return n / (time.perf_counter() - begin)

    def decode(self, batch, position, n):
        self.start(batch, position + n)
        ids = self.step(some_ids(batch, position))
        begin = time.perf_counter()
        for _ in range(n):
            ids = self.step(ids)
        return batch * n / (time.perf_counter() - begin)

    def first_token(self, n):
        self.start(1, 64)
        self.step(some_ids(1, n))
