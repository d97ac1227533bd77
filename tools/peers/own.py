"""gpt2q's rows, by `gpt2q bench` and, for what a process costs, `gpt2q generate`."""
import json
import os
import subprocess
import time

from . import OWN, POSITION, PROMPT, STEPS, TESTS


class Gpt2q:
    def __init__(self, program, directory, threads, text):
        self.program, self.directory, self.threads, self.text = program, directory, str(threads), text
        self.file = os.path.join(directory, "i8.gpt2q")
        self.of_bound = {}  # {(row, test): fractions of the machine's bound, as bench measures it}
        self.run("quantize", "-m", directory, "-q", "i8", "-o", self.file, "--quiet")

    def run(self, *arguments):
        r = subprocess.run([self.program, *arguments], capture_output=True, text=True)
        if r.returncode:
            raise RuntimeError((r.stderr.strip().splitlines() or [f"exit code {r.returncode}"])[-1])
        return r.stdout

    def bench(self, *arguments):
        return json.loads(self.run("bench", "-m", self.directory, "-j", self.threads, "--repeat", "1", "--quiet", "--json",
                                   *arguments))["results"]

    def measure(self, test):
        """{(row, test): figure}: the rows that share a cache's format by one run of bench."""
        if test == "start":
            return self.first_token()
        if test == "tokenizer":
            result = self.bench("--decode", "0", "--tokenizer", self.text)[-1]
            return {("gpt2q-i8", test): result["tokens_per_s"]["median"] * result["bytes_per_token"] * 1e-6}
        work = ["--prefill", str(PROMPT)] if test == "prefill" else [
            "--decode", str(STEPS), "--position", str(POSITION), "--batch", str(TESTS[test].batch)]
        found = {}
        for kv in (None, "i8"):
            rows = [name for name, own in OWN.items() if own.kv == kv]
            cache = ["--kv", kv] if kv else []
            results = self.bench(*work, *cache, "--schemes", ",".join(OWN[name].scheme for name in rows))
            for name, r in zip(rows, results, strict=True):
                found[name, test] = r["tokens_per_s"]["median"]
                self.of_bound.setdefault((name, test), []).append(r["fraction_of_bound"])
        return found

    def first_token(self):
        """Seconds from the start of the process to its end, and its largest resident size."""
        begin = time.perf_counter()
        process = subprocess.Popen([self.program, "generate", "-m", self.file, "-j", self.threads, "-n", "1", "--quiet",
                                    "The quick brown fox jumped over the"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"generate ended with status {process.returncode}")
        return {("gpt2q-i8", "start"): seconds, ("gpt2q-i8", "resident"): usage.ru_maxrss * 1024e-6}

    def close(self):
        pass
