#!/usr/bin/env python3
"""Real clients against `gpt2q serve`: openai, langchain-openai, litellm, and lm_eval's local-completions without transformers. They are
installed from PyPI into an environment of their own ($GPT2Q_CLIENTS=DIR keeps it). Skipped offline and without python3-venv.

lm_eval's scores are held against `gpt2q eval`: what a choice costs behind its context is the difference of two texts. What begins a text
is scored behind <|endoftext|>, which eval does not do; that is held against `gpt2q batch`."""
import glob
import json
import math
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "load"))
from serving import GPT2Q, ROOT, Server, batch_answers, expect, need_server, skip  # noqa: E402

PACKAGES = ["openai", "langchain-openai", "litellm", "lm_eval[api]"]


def environment(directory):
    python = os.path.join(directory, "bin", "python")
    if not os.path.exists(python) and subprocess.run([sys.executable, "-m", "venv", directory], capture_output=True).returncode:
        skip("python3 makes no virtual environment here")
    run = subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], capture_output=True, text=True)
    if run.returncode:
        skip("PyPI is not to be had: " + (run.stderr.strip().splitlines() or ["pip failed"])[-1])
    return python


def run_client(python, script, *urls):
    run = subprocess.run([python, os.path.join(HERE, script), *urls], capture_output=True, text=True, timeout=300)
    expect(run.returncode == 0, f"{script}: {run.stdout}{run.stderr[-3000:]}")
    print(run.stdout.strip().splitlines()[-1])


# ---- lm_eval ----

def harness(python, directory, port):
    for path in glob.glob(os.path.join(HERE, "tasks", "*")):
        with open(path, encoding="utf-8") as f, open(os.path.join(directory, os.path.basename(path)), "w", encoding="utf-8") as to:
            to.write(f.read().replace("@DIR@", directory))
    arguments = f"model=tales-7m,base_url=http://127.0.0.1:{port}/v1/completions,tokenizer_backend=remote,num_concurrent=1,max_retries=1"
    run = subprocess.run([os.path.join(os.path.dirname(python), "lm_eval"), "run", "--model", "local-completions", "--model_args",
                          arguments, "--include_path", directory, "--tasks", "t_mc,t_gen,t_roll", "--output_path",
                          os.path.join(directory, "out"), "--log_samples"], capture_output=True, text=True, timeout=1800,
                         env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": os.path.join(directory, "hf")})
    expect(run.returncode == 0, f"lm_eval: {run.stderr[-3000:]}")


def samples(directory, task):
    (path,) = glob.glob(os.path.join(directory, "out", "*", f"samples_{task}_*.jsonl"))
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def ids_of(text):
    line = subprocess.run([GPT2Q, "tokenize", "--json", text], capture_output=True, text=True, cwd=ROOT).stdout
    return json.loads(line)["ids"]


def eval_sum(text):
    """Log-probability of the text's tokens from the second on, as `gpt2q eval` has it."""
    n = len(ids_of(text))
    if n < 2:
        return 0.0
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        run = subprocess.run([GPT2Q, "eval", "--text", f.name, "--window", str(n), "--json"], capture_output=True, text=True, cwd=ROOT)
    expect(run.returncode == 0, f"eval: {run.stderr}")
    return -json.loads(run.stdout)["nll"] * (n - 1)


def batch_sum(text):
    """The same from the first token on, behind <|endoftext|>."""
    with open(os.path.join(ROOT, "models/tales-7m/config.json"), encoding="utf-8") as f:
        end = json.load(f)["eos_token_id"]
    body = {"prompt": [end] + ids_of(text), "max_tokens": 0, "echo": True, "logprobs": 0, "seed": 0}
    tree = json.loads(batch_answers([body])[0])["response"]["body"]
    return sum(tree["choices"][0]["logprobs"]["token_logprobs"][1:])


def near(got, want, what):
    expect(math.isclose(got, want, rel_tol=1e-5, abs_tol=2e-4), f"{what}: lm_eval has {got}, gpt2q {want}")


def check_scores(directory):
    n = 0
    for sample in samples(directory, "t_mc"):
        for i, (got, _) in enumerate(r[0] for r in sample["resps"]):
            question, choice = sample["doc"]["q"], sample["doc"]["choices"][i]
            want = eval_sum(question + choice) - eval_sum(question) if question else batch_sum(choice)
            near(float(got), want, f"{question!r} {choice!r}")
            n += 1
    for sample in samples(directory, "t_gen"):
        q = sample["doc"]["q"]
        run = subprocess.run([GPT2Q, "generate", q, "-n", "8", "--stop", "\n\n", "--stop", "Question:", "--json", "--quiet"],
                             capture_output=True, text=True, cwd=ROOT)
        want = json.loads(run.stdout)["text"]
        expect(sample["resps"][0][0] == want, f"{q!r}: lm_eval has {sample['resps'][0][0]!r}, generate {want!r}")
        n += 1
    for sample in samples(directory, "t_roll"):
        page = sample["doc"]["page"]
        got = float(sample["resps"][0][0][0] if isinstance(sample["resps"][0][0], list) else sample["resps"][0][0])
        near(got, batch_sum(page), "rolling")
        n += 1
    print(f"lm_eval: {n} scores and texts are gpt2q's own")


def main():
    need_server()
    with tempfile.TemporaryDirectory(prefix="gpt2q-clients-") as directory:
        python = environment(os.environ.get("GPT2Q_CLIENTS") or os.path.join(directory, "venv"))
        server, full = Server("-b", "8"), Server("-j", "1", "-b", "1", "--queue", "2")
        url = f"http://127.0.0.1:{server.port}"
        run_client(python, "with_openai.py", url, f"http://127.0.0.1:{full.port}")
        run_client(python, "with_langchain.py", url)
        run_client(python, "with_litellm.py", url)
        harness(python, directory, server.port)
        check_scores(directory)
        expect(server.stop() == 0 and full.stop() == 0, "a server did not end with 0")


main()
