"""llama.cpp, by the functions of its library: the Python class on top of them decodes one sequence only."""
import os
import time

from .shape import END, HEADS, LAYERS, POSITIONS, WIDTH, load_tokenizer, load_weights, some_ids
from .stepper import Stepper

LIBRARY = "llama_cpp"
FTYPES = {"q8": "LLAMA_FTYPE_MOSTLY_Q8_0", "q4": "LLAMA_FTYPE_MOSTLY_Q4_0"}
NAMES = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
         "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down", "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}


def add_tokenizer(out, directory):
    import gguf
    tokens, merges = load_tokenizer(directory)
    kinds = [gguf.TokenType.CONTROL if t == END else gguf.TokenType.NORMAL for t in tokens]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types(kinds)
    out.add_token_merges(merges)
    out.add_bos_token_id(tokens.index(END))
    out.add_eos_token_id(tokens.index(END))


def add_weights(out, weights):
    for name, array in weights.items():
        module, kind = name.rsplit(".", 1)
        block = ""
        if name.startswith("h."):
            _, layer, module = module.split(".", 2)
            block, array = f"blk.{layer}.", array.T.copy()
        out.add_tensor(f"{block}{NAMES[module]}.{kind}", array)


def write_gguf(directory, path):
    import gguf
    out = gguf.GGUFWriter(path, "gpt2")
    out.add_context_length(POSITIONS)
    out.add_embedding_length(WIDTH)
    out.add_feed_forward_length(4 * WIDTH)
    out.add_block_count(LAYERS)
    out.add_head_count(HEADS)
    out.add_layer_norm_eps(1e-5)
    add_tokenizer(out, directory)
    add_weights(out, load_weights(directory))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def prepare(directory, variant):
    full, path = (os.path.join(directory, f"llama-{v}.gguf") for v in ("f32", variant))
    if not os.path.exists(full):
        write_gguf(directory, full)
    if not os.path.exists(path):
        import llama_cpp as lib
        params = lib.llama_model_quantize_default_params()
        params.ftype = getattr(lib, FTYPES[variant])
        if lib.llama_model_quantize(full.encode(), path.encode(), params):
            raise RuntimeError("llama_model_quantize failed")
    return path


class Engine(Stepper):
    def __init__(self, path, threads, variant):
        import llama_cpp as lib
        self.lib, self.threads, self.contexts = lib, threads, {}
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        if not self.model:
            raise RuntimeError("llama_model_load_from_file failed")
        self.vocab = lib.llama_model_get_vocab(self.model)
        self.n_vocab = lib.llama_vocab_n_tokens(self.vocab)

    def make_context(self, batch, capacity):
        params = self.lib.llama_context_default_params()
        params.n_ctx, params.n_seq_max = batch * capacity, batch
        params.n_batch = params.n_ubatch = 512
        params.n_threads = params.n_threads_batch = self.threads
        params.no_perf = True
        context = self.lib.llama_init_from_model(self.model, params)
        if not context:
            raise RuntimeError("llama_init_from_model failed")
        return context, self.lib.llama_batch_init(512, 0, 1)

    def start(self, batch, capacity):
        key = batch, -(-capacity // 256) * 256
        if key not in self.contexts:
            self.contexts[key] = self.make_context(*key)
        self.context, self.batch = self.contexts[key]
        self.length = 0
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), False)

    def decode_tokens(self, tokens):
        """tokens: (id, position, sequence, whether its logits are wanted)."""
        b = self.batch
        b.n_tokens = len(tokens)
        for i, (token, position, sequence, wanted) in enumerate(tokens):
            b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0], b.logits[i] = token, position, 1, sequence, wanted
        if self.lib.llama_decode(self.context, b):
            raise RuntimeError("llama_decode failed")

    def step(self, ids):
        import numpy as np
        batch, n = ids.shape
        tokens = [(int(ids[s, i]), self.length + i, s, i + 1 == n) for s in range(batch) for i in range(n)]
        best = []
        for part in (tokens[i:i + 512] for i in range(0, len(tokens), 512)):
            self.decode_tokens(part)
            for i, (_, _, _, wanted) in enumerate(part):
                if wanted:
                    row = self.lib.llama_get_logits_ith(self.context, i)
                    best.append(np.ctypeslib.as_array(row, (self.n_vocab,)).argmax())
        self.length += n
        return np.array(best)[:, None]

    def tokenize(self, text):
        """Megabytes a second."""
        room = (self.lib.llama_token * len(text))()
        begin = time.perf_counter()
        if self.lib.llama_tokenize(self.vocab, text, len(text), room, len(room), False, False) <= 0:
            raise RuntimeError("llama_tokenize failed")
        return len(text) / (time.perf_counter() - begin) * 1e-6

    def first_token(self, n):
        self.start(1, POSITIONS)
        self.step(some_ids(1, n))
