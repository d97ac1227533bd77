"""PyTorch: eager, one fused attention call a layer, keys and values in buffers; int8 by its own dynamic quantization."""
from .shape import HEAD, HEADS, LAYERS, LINEARS, WIDTH, load_weights
from .stepper import Stepper

LIBRARY = "torch"


def prepare(directory, variant):
    return directory  # it quantizes when it has loaded


def linear(weight, bias=None):
    """weight (in, out), as checkpoints of GPT-2 have it."""
    from torch import nn
    layer = nn.Linear(*weight.shape, bias is not None)
    layer.weight.copy_(weight.T)
    if bias is not None:
        layer.bias.copy_(bias)
    return layer


class Engine(Stepper):
    def __init__(self, path, threads, variant):
        import torch
        from torch import nn
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.torch, self.w = torch, {k: torch.from_numpy(v) for k, v in load_weights(path).items()}
        layers = [nn.ModuleList(linear(self.w[f"h.{i}.{n}.weight"], self.w[f"h.{i}.{n}.bias"]) for n in LINEARS)
                  for i in range(LAYERS)]
        self.linears = nn.ModuleList([*layers, linear(self.w["wte.weight"].T)])
        if variant == "i8":
            self.linears = torch.ao.quantization.quantize_dynamic(self.linears, {nn.Linear}, dtype=torch.qint8)

    def norm(self, x, name):
        return self.torch.nn.functional.layer_norm(x, (WIDTH,), self.w[name + ".weight"], self.w[name + ".bias"], 1e-5)

    def start(self, batch, capacity):
        self.length = 0
        self.cache = self.torch.zeros(LAYERS, 2, batch, HEADS, capacity, HEAD)

    def attention(self, i, qkv):
        q, k, v = qkv.unflatten(2, (3, HEADS, HEAD)).permute(2, 0, 3, 1, 4)
        total = self.length + q.shape[2]
        cache = self.cache[i, :, :, :, :total]
        cache[0, :, :, self.length:], cache[1, :, :, self.length:] = k, v
        y = self.torch.nn.functional.scaled_dot_product_attention(q, *cache, is_causal=self.length == 0)
        return y.transpose(1, 2).flatten(2)

    def step(self, ids):
        gelu, ids = self.torch.nn.functional.gelu, self.torch.as_tensor(ids)
        x = self.w["wte.weight"][ids] + self.w["wpe.weight"][self.length:self.length + ids.shape[1]]
        *layers, head = self.linears
        for i, (c_attn, attn_proj, c_fc, mlp_proj) in enumerate(layers):
            x = x + attn_proj(self.attention(i, c_attn(self.norm(x, f"h.{i}.ln_1"))))
            x = x + mlp_proj(gelu(c_fc(self.norm(x, f"h.{i}.ln_2")), approximate="tanh"))
        self.length += ids.shape[1]
        return head(self.norm(x[:, -1], "ln_f")).argmax(-1, keepdim=True)
