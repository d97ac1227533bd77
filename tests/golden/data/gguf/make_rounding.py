"""Makes rounding.safetensors: hard blocks of 32 weights and the bytes that ggml's reference rounding makes of them, by type.

    python make_rounding.py        Needs numpy, safetensors and gguf (0.19), whose bytes are those of ggml's C code.

Left out are blocks of nothing but -0.0 (ggml: a scale of -0, gguf: of 0) and scales whose reciprocal overflows in float32, on which
C leaves the code open."""
import os
import numpy as np
import gguf
from gguf import GGMLQuantizationType as T
from safetensors.numpy import save_file

rng = np.random.default_rng(20)
x = rng.standard_normal((160, 32)).astype(np.float32) * np.exp2(rng.integers(-18, 10, (160, 1))).astype(np.float32)
x *= np.exp2(rng.integers(-20, 2, (160, 32))).astype(np.float32)
x[rng.random(x.shape) < 0.1] = 0
x[0] = 0
x[1:13] = rng.integers(-8, 9, (12, 32)) / np.float32(3)          # many ties of the largest magnitude, of both signs
x[13:25] = rng.integers(-127, 128, (12, 32)) / np.float32(2)     # halves
x[25:31] = np.float32(127) * rng.integers(-254, 255, (6, 32)) / np.float32(254)
x[31] = 1; x[32] = -1; x[33] = np.linspace(-1, 1, 32); x[34] = np.linspace(5, 6, 32); x[35] = np.linspace(-6, -5, 32)
x[36] = 1e-7 * rng.standard_normal(32); x[37] = 1e-9; x[38] = 65504; x[39] = np.float32(65504) * rng.standard_normal(32) / 4
out = {"weights": x}
for t in (T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1):
    out[t.name] = gguf.quants.quantize(x, t)
save_file(out, os.path.join(os.path.dirname(os.path.abspath(__file__)), "rounding.safetensors"))
