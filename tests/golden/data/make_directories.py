"""Writes tokenizer-directories.json: random directories of GPT-2-shaped tokenizers, and what transformers makes of texts with
them (written with transformers 5.24.0, tokenizers 0.23.3). Directories that the program in $GPT2Q refuses are left out.

    GPT2Q=./gpt2q python tests/golden/data/make_directories.py 36
"""

import json, os, random, shutil, subprocess, sys, tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from transformers import AutoTokenizer

R = random.Random(99)
MERGES = "h e|l l|he ll|hell o|\u0120 w|o r|\u0120w or|l d|\u0120wor ld"
bm = [tuple(m.split(" ")) for m in MERGES.split("|")]


def alphabet():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(256 + other.index(b)) for b in range(256)]


base = {c: i for i, c in enumerate(alphabet())}
for a, b in bm:
    base[a + b] = len(base)
base["<|endoftext|>"] = len(base)


words = [
    "photo",
    "<user>",
    "he",
    "hello",
    "\n",
    "\n\n",
    " ",
    "  ",
    "é",
    "café",
    "日本",
    "<|im_start|>",
    "[PAD]",
    "a b",
    "lo wor",
    "word",
    "'s",
    "x",
    "<",
    "<|endoftext|>",
    "end",
    "of",
    "\t",
    "²",
    "ab",
    "abc",
    "orl",
    "user>",
    "😀",
    "\u00a0",
]


def flags(sp=None):
    d = {
        "lstrip": R.random() < 0.25,
        "rstrip": R.random() < 0.25,
        "single_word": R.random() < 0.25,
        "normalized": R.random() < 0.5,
        "special": R.random() < 0.3 if sp is None else sp,
    }
    if R.random() < 0.4:
        d.update(lstrip=False, rstrip=False, single_word=False)
    return d


def make(d):
    shutil.rmtree(d, ignore_errors=True)
    os.makedirs(d)
    v = dict(base)
    m = list(bm)
    r = R.random()
    if r < 0.1:
        v["[user name]"] = len(v)
    elif r < 0.15:
        v["<pad>"] = 265
    elif r < 0.2:
        v["ab"] = len(v)
        m += [("a", "b")]
    elif r < 0.25:
        m = m + [R.choice(m)]
    elif r < 0.3:
        del v["Ń"]
    elif r < 0.33:
        v["x y"] = R.choice([400, 266])
    elif r < 0.36:
        v = {k: i for k, i in v.items() if k != "<|endoftext|>"}
    cfg = {"model_type": "gpt2"}
    js = R.random() < 0.6
    pair = not js or R.random() < 0.4
    nv = len(v)

    def newtokens(k):
        out = []
        n = nv
        seen = set()
        for _ in range(k):
            w = R.choice(words)
            if w in seen:
                continue
            seen.add(w)
            if w in v:
                i = v[w]
            else:
                i = n
                n += 1
            out.append((w, i))
        if R.random() < 0.5:
            out.sort(key=lambda x: x[1])
        return out

    toks = newtokens(R.choice([0, 0, 1, 2, 3, 6]))
    if "<|endoftext|>" in v and not any(w == "<|endoftext|>" for w, i in toks) and R.random() < 0.7:
        toks = [("<|endoftext|>", v["<|endoftext|>"])] + toks
    tc = {}
    if R.random() < 0.7:
        tc["tokenizer_class"] = R.choice(
            ["GPT2Tokenizer", "GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"]
        )
    if R.random() < 0.2:
        tc["add_prefix_space"] = R.random() < 0.7
    if R.random() < 0.2:
        tc["add_bos_token"] = R.random() < 0.7
    if R.random() < 0.1:
        tc["add_eos_token"] = R.random() < 0.7
    if R.random() < 0.3:
        tc["model_max_length"] = 1000000000000000019884624838656
    for k in ["bos_token", "eos_token", "unk_token", "pad_token", "mask_token", "image_token"]:
        if R.random() < 0.15:
            tc[k] = R.choice(words[:12] + ["<|endoftext|>"] * 6 + [None])
        if tc.get(k) and R.random() < 0.3:
            tc[k] = {"__type": "AddedToken", "content": tc[k], **{x: y for x, y in flags().items()}}
        if k in tc and k == "image_token" and tc[k] is None:
            del tc[k]
    if R.random() < 0.1:
        tc[R.choice(["additional_special_tokens", "extra_special_tokens"])] = R.sample(words[:14], 2)
    if R.random() < 0.35:
        tc["added_tokens_decoder"] = {str(i): dict(content=w, **flags()) for w, i in toks}
    if R.random() < 0.2:
        mp = {}
        for k in ["bos_token", "eos_token", "unk_token", "pad_token"]:
            if R.random() < 0.5:
                mp[k] = R.choice(words[:12] + ["<|endoftext|>"] * 6)
                if R.random() < 0.4:
                    f = flags()
                    f.pop("special")
                    mp[k] = dict(content=mp[k], **f)
        if R.random() < 0.2:
            mp["additional_special_tokens"] = R.sample(words[:14], 2)
        json.dump(mp, open(d + "/special_tokens_map.json", "w"))
    at = None
    if js:
        j = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [dict(id=i, content=w, **flags()) for w, i in toks],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "ByteLevel",
                "add_prefix_space": R.random() < 0.15,
                "trim_offsets": True,
                "use_regex": True,
            },
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": "",
                "end_of_word_suffix": "",
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": v,
                "merges": [list(x) for x in m] if R.random() < 0.5 else [" ".join(x) for x in m],
            },
        }
        q = R.random()
        e = ("<|endoftext|>", v.get("<|endoftext|>", 5))
        T = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": e[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
            + ([{"SpecialToken": {"id": e[0], "type_id": 0}}] if R.random() < 0.3 else []),
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                e[0]: {
                    "id": e[0],
                    "ids": [e[1], 7] if R.random() < 0.2 else [e[1]],
                    "tokens": [e[0], "x"] if 0 else [e[0]],
                }
            },
        }
        if len(T["special_tokens"][e[0]]["ids"]) == 2:
            T["special_tokens"][e[0]]["tokens"] = [e[0], "x"]
        BL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
        if q < 0.3:
            j["post_processor"] = BL
        elif q < 0.5:
            j["post_processor"] = T
        elif q < 0.6:
            j["post_processor"] = {"type": "Sequence", "processors": R.choice([[BL, T], [T, BL], [BL], [T, T]])}
        elif q < 0.65:
            j["post_processor"] = {
                "type": "RobertaProcessing",
                "sep": ["a", 97],
                "cls": ["b", 98],
                "trim_offsets": True,
                "add_prefix_space": False,
            }
        json.dump(j, open(d + "/tokenizer.json", "w"), ensure_ascii=R.random() < 0.5)
    if not js or R.random() < 0.15:
        if R.random() < 0.5:
            json.dump({w: i for w, i in toks}, open(d + "/added_tokens.json", "w"))
    if pair:
        vv = v
        json.dump(vv, open(d + "/vocab.json", "w"), ensure_ascii=R.random() < 0.5)
        nl = R.choice(["\n", "\n", "\r\n"])
        open(d + "/merges.txt", "w", newline="").write(
            R.choice(["#version: 0.2" + nl, ""]) + "".join(" ".join(x) + nl for x in m)
        )
    if tc or R.random() < 0.5:
        json.dump(tc, open(d + "/tokenizer_config.json", "w"))
    if R.random() < 0.05:
        cfg["tokenizer_class"] = R.choice(["GPT2Tokenizer", "PreTrainedTokenizerFast"])
    json.dump(cfg, open(d + "/config.json", "w"))


def text():
    out = ""
    for _ in range(R.randrange(0, 9)):
        out += R.choice(
            words
            + [
                "hello",
                "world",
                " world",
                "a",
                " ",
                "  ",
                "\n",
                "1",
                "_",
                "!",
                "\u200d",
                "ⓐ",
                "x",
                "\u0301",
                "h",
                " hell",
                ".",
            ]
        )
    return out.replace("\0", "")


def pack(d):
    """The files' texts, or None where the vocabulary is not `base` and more."""
    files = {}
    for f in sorted(os.listdir(d)):
        s = open(os.path.join(d, f), newline="").read()
        if f in ("vocab.json", "tokenizer.json"):
            j = json.loads(s)
            v = j if f == "vocab.json" else j["model"]["vocab"]
            if any(v.get(k) != i for k, i in base.items()):
                return None
            short = {"@vocab@": 0, **{k: i for k, i in v.items() if k not in base}}
            if f == "vocab.json":
                j = short
            else:
                j["model"]["vocab"] = short
            s = json.dumps(j, ensure_ascii=False)
        files[f] = s
    return files


def main():
    cases, d = [], tempfile.mkdtemp()
    while len(cases) < int(sys.argv[1]):
        make(d)
        try:
            t = AutoTokenizer.from_pretrained(d)
        except Exception:
            continue
        if subprocess.run([os.environ["GPT2Q"], "tokenize", "-m", d, "x"], capture_output=True).returncode:
            continue
        plain = len(t._tokenizer.get_added_tokens_decoder()) < 2 and t("x")["input_ids"] == [120]
        files = pack(d)
        if files is None or (plain and R.random() < 0.8):
            continue
        encode = []
        for _ in range(14):
            x = text()
            for special in (False, True):
                encode.append(
                    {"text": x, "special": special, "ids": t(x, split_special_tokens=not special)["input_ids"]}
                )
        decode = [{"id": i, "text": t.decode([i])} for i in range(264, 274)]
        cases.append({"files": files, "encode": encode, "decode": decode})
    shutil.rmtree(d)
    out = os.path.join(os.path.dirname(__file__), "tokenizer-directories.json")
    with open(out, "w") as f:
        json.dump({"vocab": base, "cases": cases}, f, ensure_ascii=False, separators=(",", ":"))


main()
