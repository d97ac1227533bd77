"""CTranslate2. It has no step: what generating takes beyond its first token is decoding."""
import os
import time

from .shape import END, HEADS, LAYERS, load_tokenizer, load_weights, some_ids

LIBRARY = "ctranslate2"


def make_spec(w):
    from ctranslate2.specs import common_spec, transformer_spec

    def linear(to, name):
        to.weight, to.bias = w[name + ".weight"].T.copy(), w[name + ".bias"]

    def norm(to, name):
        to.gamma, to.beta = w[name + ".weight"], w[name + ".bias"]

    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        LAYERS, HEADS, pre_norm=True, activation=common_spec.Activation.GELUTanh)
    decoder = spec.decoder
    decoder.embeddings.weight = decoder.projection.weight = w["wte.weight"]
    decoder.position_encodings.encodings = w["wpe.weight"]
    decoder.scale_embeddings = False
    norm(decoder.layer_norm, "ln_f")
    for i, layer in enumerate(decoder.layer):
        norm(layer.self_attention.layer_norm, f"h.{i}.ln_1")
        linear(layer.self_attention.linear[0], f"h.{i}.attn.c_attn")
        linear(layer.self_attention.linear[1], f"h.{i}.attn.c_proj")
        norm(layer.ffn.layer_norm, f"h.{i}.ln_2")
        linear(layer.ffn.linear_0, f"h.{i}.mlp.c_fc")
        linear(layer.ffn.linear_1, f"h.{i}.mlp.c_proj")
    return spec


def prepare(directory, variant):
    path = os.path.join(directory, "ct2-" + variant)
    if not os.path.exists(path):
        spec = make_spec(load_weights(directory))
        spec.register_vocabulary(load_tokenizer(directory)[0])
        spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = END
        spec.validate()
        spec.optimize(quantization="int8")
        os.mkdir(path)
        spec.save(path)
    return path


class Engine:
    def __init__(self, path, threads, variant):
        import ctranslate2
        self.tokens = load_tokenizer(os.path.dirname(path))[0]
        self.generator = ctranslate2.Generator(path, device="cpu", compute_type="int8", intra_threads=threads, inter_threads=1)

    def generate(self, batch, position, n):
        """Seconds for n tokens after prompts of `position` tokens."""
        prompts = [[self.tokens[i] for i in row] for row in some_ids(batch, position)]
        begin = time.perf_counter()
        self.generator.generate_batch(prompts, max_length=n, min_length=n, sampling_topk=1, include_prompt_in_result=False,
                                      max_batch_size=batch)
        return time.perf_counter() - begin

    def prefill(self, n):
        return n / self.generate(1, n, 1)

    def decode(self, batch, position, n):
        first = self.generate(batch, position, 1)
        return batch * n / (self.generate(batch, position, n + 1) - first)

    def first_token(self, n):
        self.generate(1, n, 1)
