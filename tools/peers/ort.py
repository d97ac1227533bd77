"""ONNX Runtime: the graph in its own fused operators, keys and values in buffers that are extended in place."""
import os

from .shape import CACHE, HEAD, HEADS, LAYERS, VOCAB, load_weights
from .stepper import Stepper

LIBRARY = "onnxruntime"


class Graph:
    """Collects nodes and constants of a graph over the checkpoint's weights."""

    def __init__(self, weights):
        self.weights, self.nodes, self.constants = weights, [], []

    def constant(self, name, array):
        import numpy as np
        from onnx import numpy_helper
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, name):
        return self.constant(name, self.weights[name])

    def node(self, op, inputs, outputs, domain="", **attributes):
        from onnx import helper
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(op, inputs, outputs, name=f"n{len(self.nodes)}", domain=domain, **attributes))
        return outputs[0]

    def fused(self, op, inputs, outputs, **attributes):
        return self.node(op, inputs, outputs, domain="com.microsoft", **attributes)

    def product(self, x, name):
        return self.node("MatMul", [x, self.weight(name + ".weight")], name)

    def add_and_norm(self, x, y, bias, norm):
        """Returns x + y + bias and its layer norm."""
        outputs = [norm, "", "", norm + ".x"]
        self.fused("SkipLayerNormalization", [x, y, self.weight(norm + ".weight"), self.weight(norm + ".bias"), self.weight(bias)],
                   outputs, epsilon=1e-5)
        return outputs[3], norm

    def layer(self, i, x, y):
        h, after = f"h.{i}.", f"h.{i + 1}.ln_1" if i + 1 < LAYERS else "ln_f"
        qkv = self.node("Add", [self.product(y, h + "attn.c_attn"), self.weight(h + "attn.c_attn.bias")], h + "qkv")
        y = self.fused("GroupQueryAttention", [qkv, "", "", f"past_k_{i}", f"past_v_{i}", "last", "total"],
                       [h + "attention", f"present_k_{i}", f"present_v_{i}"], num_heads=HEADS, kv_num_heads=HEADS)
        x, y = self.add_and_norm(x, self.product(y, h + "attn.c_proj"), h + "attn.c_proj.bias", h + "ln_2")
        y = self.fused("FastGelu", [self.product(y, h + "mlp.c_fc"), self.weight(h + "mlp.c_fc.bias")], h + "gelu")
        return self.add_and_norm(x, self.product(y, h + "mlp.c_proj"), h + "mlp.c_proj.bias", after)


def write_graph(weights, path):
    """One pass over any number of tokens; logits of the last one only."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper

    g, value = Graph(weights), helper.make_tensor_value_info
    token = g.node("Gather", [g.weight("wte.weight"), "ids"], "token")
    position = g.node("Gather", [g.weight("wpe.weight"), "positions"], "position")
    x = g.node("Add", [token, position], "embedding")
    y = g.node("LayerNormalization", [x, g.weight("h.0.ln_1.weight"), g.weight("h.0.ln_1.bias")], "h.0.ln_1", epsilon=1e-5)
    for i in range(LAYERS):
        x, y = g.layer(i, x, y)
    one = [g.constant(n, np.array([v])) for n, v in (("from", -1), ("to", 2 ** 31), ("axis", 1))]
    g.node("MatMul", [g.node("Slice", [y, *one], "last row"), g.constant("lm_head", weights["wte.weight"].T)], "logits")
    cache = ["B", HEADS, "C", HEAD]
    inputs = [value("ids", TensorProto.INT64, ["B", "T"]), value("positions", TensorProto.INT64, ["T"]),
              value("last", TensorProto.INT32, ["B"]), value("total", TensorProto.INT32, [])]
    inputs += [value("past_" + name, TensorProto.FLOAT, cache) for name in CACHE]
    outputs = [value("logits", TensorProto.FLOAT, ["B", 1, VOCAB])]
    outputs += [value("present_" + name, TensorProto.FLOAT, cache) for name in CACHE]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(g.nodes, "gpt2", inputs, outputs, g.constants)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def quantize(path, out, variant):
    import onnx
    if variant == "i8":
        from onnxruntime.quantization import QuantType, quantize_dynamic
        quantize_dynamic(path, out, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gather"],
                         extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
        return
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    quantizer = MatMulNBitsQuantizer(onnx.load(path), block_size=32, is_symmetric=True, accuracy_level=4)
    quantizer.process()
    quantizer.model.save_model_to_file(out)


def prepare(directory, variant):
    full, path = (os.path.join(directory, f"ort-{v}.onnx") for v in ("f32", variant))
    if not os.path.exists(full):
        write_graph(load_weights(directory), full)
    if not os.path.exists(path):
        quantize(full, path, variant)
    return path


class Engine(Stepper):
    def __init__(self, path, threads, variant):
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.ort, self.session = ort, ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def start(self, batch, capacity):
        import numpy as np
        self.batch, self.length, self.io = batch, 0, self.session.io_binding()
        for name in CACHE:  # past and present in one place: nothing is copied
            buffer = self.ort.OrtValue.ortvalue_from_numpy(np.zeros((batch, HEADS, capacity, HEAD), np.float32))
            self.io.bind_ortvalue_input("past_" + name, buffer)
            self.io.bind_ortvalue_output("present_" + name, buffer)
        self.logits = self.ort.OrtValue.ortvalue_from_numpy(np.zeros((batch, 1, VOCAB), np.float32))
        self.io.bind_ortvalue_output("logits", self.logits)

    def step(self, ids):
        import numpy as np
        total = self.length + ids.shape[1]
        self.io.bind_cpu_input("ids", np.ascontiguousarray(ids))
        self.io.bind_cpu_input("positions", np.arange(self.length, total, dtype=np.int64))
        self.io.bind_cpu_input("last", np.full(self.batch, total - 1, np.int32))
        self.io.bind_cpu_input("total", np.array(total, np.int32))
        self.session.run_with_iobinding(self.io)
        self.length = total
        return self.logits.numpy()[:, -1].argmax(-1)[:, None]
