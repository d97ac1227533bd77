"""Makes the checkpoints of this folder: one tiny GPT-2 as GPT2LMHeadModel, GPT2DoubleHeadsModel, GPT2ForSequenceClassification and
GPT2ForTokenClassification save it. The same weights are in all of them. turned/ is another, wider model whose matrices are strided.

    python make_heads.py        Needs numpy and safetensors. torch's pickles are written without torch."""
import collections, io, json, os, pickle, sys, types, zipfile
import numpy as np
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
D, V, T = 8, 17, 8
rng = np.random.default_rng(4)
r = lambda *s: rng.standard_normal(s).astype(np.float32) * np.float32(0.2)
def make_body(D):
    body = {"wte.weight": r(V, D), "wpe.weight": r(T, D)}
    for part, shape in {"ln_1": (D,), "attn.c_attn": (D, 3 * D), "attn.c_proj": (D, D), "ln_2": (D,), "mlp.c_fc": (D, 4 * D), "mlp.c_proj": (4 * D, D)}.items():
        body[f"h.0.{part}.weight"], body[f"h.0.{part}.bias"] = r(*shape), r(shape[-1])
    body["ln_f.weight"], body["ln_f.bias"] = r(D), r(D)
    return body
body = make_body(D)
prefixed = {"transformer." + k: v for k, v in body.items()}
mask = {"transformer.h.0.attn.bias": np.tril(np.ones((1, 1, T, T), np.uint8))}
models = {
    "language": ("GPT2LMHeadModel", "safetensors", body, True),
    "double": ("GPT2DoubleHeadsModel", "safetensors", {**prefixed, **mask, "lm_head.weight": body["wte.weight"],
               "multiple_choice_head.summary.weight": r(1, D), "multiple_choice_head.summary.bias": r(1)}, True),
    "sequence": ("GPT2ForSequenceClassification", "zip", {**prefixed, "score.weight": r(3, D)}, False),
    "token": ("GPT2ForTokenClassification", "legacy", {**prefixed, **mask, "classifier.weight": r(5, D), "classifier.bias": r(5)}, True),
}

# ---- torch's pickles ----
def module(name):
    parent, _, last = name.rpartition(".")
    m = sys.modules.setdefault(name, types.ModuleType(name))
    if parent: setattr(module(parent), last, m)
    return m
def made(where, name):
    f = type(name, (), {})
    f.__module__, f.__qualname__ = where, name
    setattr(module(where), name, f)
    return f
STORAGE = {np.dtype("f4"): made("torch", "FloatStorage"), np.dtype("u1"): made("torch", "ByteStorage")}
def _rebuild_tensor_v2(*args): raise NotImplementedError
_rebuild_tensor_v2.__module__ = "torch._utils"
module("torch._utils")._rebuild_tensor_v2 = _rebuild_tensor_v2
class Storage:
    def __init__(self, key, array): self.key, self.array = key, array
class Tensor:
    def __init__(self, storage): self.storage = storage
    def __reduce__(self):
        a = self.storage.array
        strides = tuple(s // a.itemsize for s in a.strides)
        return _rebuild_tensor_v2, (self.storage, 0, a.shape, strides, False, collections.OrderedDict())
def dump(obj, legacy=False):
    out = io.BytesIO()
    p = pickle.Pickler(out, protocol=2)
    def persistent_id(x):
        if not isinstance(x, Storage): return None
        ids = ("storage", STORAGE[x.array.dtype], x.key, "cpu", x.array.size)
        return ids + (None,) if legacy else ids
    p.persistent_id = persistent_id
    p.dump(obj)
    return out.getvalue()
def state_dict(tensors):
    storages = [Storage(str(i), np.ascontiguousarray(a)) for i, a in enumerate(tensors.values())]
    return storages, collections.OrderedDict((k, Tensor(s)) for k, s in zip(tensors, storages))
def write_zip(path, tensors):
    put_zip(path, *state_dict(tensors))
def put_zip(path, storages, state):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        def put(name, data): z.writestr(zipfile.ZipInfo("pytorch_model/" + name, (1980, 1, 1, 0, 0, 0)), data)
        put("data.pkl", dump(state)); put("byteorder", b"little")
        for s in storages: put("data/" + s.key, s.array.tobytes())
        put("version", b"3\n")
def write_legacy(path, tensors):
    storages, state = state_dict(tensors)
    with open(path, "wb") as f:
        for obj in (0x1950a86a20f9469cfc6c, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}):
            f.write(pickle.dumps(obj, protocol=2))
        f.write(dump(state, legacy=True)); f.write(pickle.dumps([s.key for s in storages], protocol=2))
        for s in storages: f.write(s.array.size.to_bytes(8, "little")); f.write(s.array.tobytes())

# ---- a larger one whose matrices do not lie in rows ----
class Turned(Tensor):
    """(in, out) of a storage that holds (out, in)."""
    def __reduce__(self):
        a = self.storage.array
        return _rebuild_tensor_v2, (self.storage, 0, a.shape[::-1], (1, a.shape[1]), False, collections.OrderedDict())
def write_turned(path, tensors):
    turned = {k: v.ndim == 2 and k.startswith("h.") for k, v in tensors.items()}
    storages = [Storage(str(i), np.ascontiguousarray(a.T if turned[k] else a)) for i, (k, a) in enumerate(tensors.items())]
    put_zip(path, storages, collections.OrderedDict((k, (Turned if turned[k] else Tensor)(s)) for k, s in zip(tensors, storages)))

def put_config(folder, architecture, width, tied):
    os.makedirs(folder, exist_ok=True)
    config = dict(model_type="gpt2", architectures=[architecture], vocab_size=V, n_positions=T, n_embd=width, n_layer=1, n_head=2,
                  bos_token_id=0, eos_token_id=0, tie_word_embeddings=tied)
    open(os.path.join(folder, "config.json"), "w").write(json.dumps(config, indent=1) + "\n")

for name, (architecture, kind, tensors, tied) in models.items():
    folder = os.path.join(HERE, name)
    put_config(folder, architecture, D, tied)
    if kind == "safetensors": save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    else: (write_zip if kind == "zip" else write_legacy)(os.path.join(folder, "pytorch_model.bin"), tensors)
put_config(os.path.join(HERE, "turned"), "GPT2LMHeadModel", 32, True)
write_turned(os.path.join(HERE, "turned", "pytorch_model.bin"), make_body(32))
