"""OpenVINO: a stateful graph, so that its fused attention keeps the keys and values; settings are its own defaults.

By default it multiplies compressed weights with activations quantized to int8 on the way, and holds the cache in int8.
"""
import os

from .shape import HEAD, HEADS, LAYERS, WIDTH, load_weights
from .stepper import Stepper

LIBRARY = "openvino"


class Graph:
    def __init__(self, weights):
        import openvino as ov
        from openvino import opset13 as op
        self.ov, self.op, self.w, self.sinks = ov, op, weights, []
        self.ids = self.input("ids", [-1, -1], ov.Type.i64)
        self.positions = self.input("positions", [-1], ov.Type.i64)
        self.mask = self.input("mask", [1, 1, -1, -1], ov.Type.f32)
        self.rows = self.input("rows", [-1], ov.Type.i32)

    def input(self, name, shape, dtype):
        parameter = self.op.parameter(shape, dtype, name)
        parameter.output(0).set_names({name})
        return parameter

    def norm(self, x, name):
        y = self.op.mvn(x, [-1], True, 1e-5, "inside_sqrt")
        return self.op.add(self.op.multiply(y, self.w[name + ".weight"]), self.w[name + ".bias"])

    def product(self, x, weight):
        return self.op.matmul(x, self.op.constant(weight.copy()), False, True)

    def linear(self, x, name):
        return self.op.add(self.product(x, self.w[name + ".weight"].T), self.w[name + ".bias"])

    def cached(self, new, name):
        """The state's rows, chosen by `rows` as its attention wants to see it, and the new ones behind them."""
        op, shape = self.op, [-1, HEADS, -1, HEAD]
        batch = op.gather(op.shape_of(self.ids), [0], 0)
        empty = op.broadcast(op.constant(0.0, self.ov.Type.f32), op.concat([batch, [HEADS], [0], [HEAD]], 0))
        past = op.gather(op.read_value(empty, name, self.ov.Type.f32, self.ov.PartialShape(shape)), self.rows, 0)
        present = op.concat([past, new], 2)
        self.sinks.append(op.assign(present, name))
        return present

    def layer(self, i, x):
        op, h = self.op, f"h.{i}."
        qkv = op.split(self.linear(self.norm(x, h + "ln_1"), h + "attn.c_attn"), 2, 3)
        q, k, v = (op.transpose(op.reshape(part, [0, 0, HEADS, HEAD], True), [0, 2, 1, 3]) for part in qkv.outputs())
        y = op.scaled_dot_product_attention(q, self.cached(k, f"k_{i}"), self.cached(v, f"v_{i}"), self.mask)
        y = op.reshape(op.transpose(y, [0, 2, 1, 3]), [0, 0, WIDTH], True)
        x = op.add(x, self.linear(y, h + "attn.c_proj"))
        y = op.gelu(self.linear(self.norm(x, h + "ln_2"), h + "mlp.c_fc"), "tanh")
        return op.add(x, self.linear(y, h + "mlp.c_proj"))

    def model(self):
        op = self.op
        x = op.add(op.gather(self.w["wte.weight"], self.ids, 0), op.gather(self.w["wpe.weight"], self.positions, 0))
        for i in range(LAYERS):
            x = self.layer(i, x)
        last = op.gather(x, [-1], 1)
        logits = self.product(self.norm(last, "ln_f"), self.w["wte.weight"])
        return self.ov.Model([op.result(logits)], self.sinks, [self.ids, self.positions, self.mask, self.rows], "gpt2")


def prepare(directory, variant):
    path = os.path.join(directory, f"ov-{variant}.xml")
    if not os.path.exists(path):
        import nncf
        import openvino as ov
        mode = nncf.CompressWeightsMode
        options = {"i8": {"mode": mode.INT8_SYM}, "i4": {"mode": mode.INT4_SYM, "group_size": 64, "all_layers": True}}[variant]
        ov.save_model(nncf.compress_weights(Graph(load_weights(directory)).model(), **options), path, compress_to_fp16=False)
    return path


class Engine(Stepper):
    def __init__(self, path, threads, variant):
        import openvino as ov
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self.ov, self.request = ov, ov.Core().compile_model(path, "CPU", settings).create_infer_request()

    def start(self, batch, capacity):
        self.length = 0
        self.request.reset_state()

    def step(self, ids):
        import numpy as np
        batch, n = ids.shape
        total = self.length + n
        mask = np.triu(np.full((1, 1, n, total), -1e9, np.float32), self.length + 1)
        inputs = {"ids": ids, "positions": np.arange(self.length, total, dtype=np.int64), "mask": mask,
                  "rows": np.arange(batch, dtype=np.int32)}
        for name, array in inputs.items():
            self.request.set_tensor(name, self.ov.Tensor(np.ascontiguousarray(array)))
        self.request.infer()
        self.length = total
        return self.request.get_output_tensor().data[:, -1].argmax(-1)[:, None]
