"""The model that every engine gets: GPT-2 124M's shape, random weights, the layout of Hugging Face's checkpoint.

Weights are drawn as GPT-2's are initialized, so that no engine meets denormal numbers, infinities or sparse matrices.
"""
import json
import os

LAYERS, WIDTH, HEADS, VOCAB, POSITIONS = 12, 768, 12, 50257, 1024
HEAD = WIDTH // HEADS
LINEARS = {"attn.c_attn": (WIDTH, 3 * WIDTH), "attn.c_proj": (WIDTH, WIDTH),
           "mlp.c_fc": (WIDTH, 4 * WIDTH), "mlp.c_proj": (4 * WIDTH, WIDTH)}
CACHE = [f"{kind}_{i}" for i in range(LAYERS) for kind in "kv"]
END = "<|endoftext|>"


def make_model(directory, tokenizer):
    write_weights(directory)
    end = write_tokenizer(directory, tokenizer)
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": VOCAB, "n_positions": POSITIONS,
              "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "activation_function": "gelu_new",
              "layer_norm_epsilon": 1e-5, "bos_token_id": end, "eos_token_id": end}
    with open(os.path.join(directory, "config.json"), "w") as f:
        json.dump(config, f)


def write_weights(directory):
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    def norm(name):
        return {name + ".weight": np.ones(WIDTH, np.float32), name + ".bias": np.zeros(WIDTH, np.float32)}

    tensors = {"wte.weight": normal(VOCAB, WIDTH), "wpe.weight": normal(POSITIONS, WIDTH), **norm("ln_f")}
    for i in range(LAYERS):
        for name, shape in LINEARS.items():
            tensors[f"h.{i}.{name}.weight"], tensors[f"h.{i}.{name}.bias"] = normal(*shape), normal(shape[1])
        tensors.update({**norm(f"h.{i}.ln_1"), **norm(f"h.{i}.ln_2")})
    save_file(tensors, os.path.join(directory, "model.safetensors"), metadata={"format": "pt"})


def write_tokenizer(directory, source):
    """Copies a byte-level BPE, filled up to GPT-2's number of tokens with ones that no text has; returns the end's id."""
    with open(os.path.join(source, "vocab.json"), encoding="utf-8") as f:
        vocab = json.load(f)
    if len(vocab) > VOCAB or END not in vocab:
        raise ValueError(f"{source}/vocab.json: expected {END} and at most {VOCAB} tokens, found {len(vocab)}")
    vocab.update({f"<|unused {i}|>": i for i in range(len(vocab), VOCAB)})
    with open(os.path.join(directory, "vocab.json"), "w", encoding="utf-8") as f:
        json.dump(vocab, f, ensure_ascii=False)
    with open(os.path.join(source, "merges.txt"), "rb") as f, open(os.path.join(directory, "merges.txt"), "wb") as out:
        out.write(f.read())
    return vocab[END]


def load_weights(directory):
    from safetensors.numpy import load_file
    return load_file(os.path.join(directory, "model.safetensors"))


def load_tokenizer(directory):
    """Tokens by id, and the lines of merges."""
    with open(os.path.join(directory, "vocab.json"), encoding="utf-8") as f:
        vocab = json.load(f)
    with open(os.path.join(directory, "merges.txt"), encoding="utf-8") as f:
        merges = [line.rstrip("\n") for line in f if line.strip() and not line.startswith("#version")]
    return sorted(vocab, key=vocab.get), merges


def some_ids(batch, n):
    import numpy as np
    return np.random.default_rng(1).integers(0, VOCAB, (batch, n), dtype=np.int64)
