"""The engines of tools/bench_peers: what they are, and what is measured. bench_peers itself says how to use it."""
from collections import namedtuple

Test = namedtuple("Test", "label lower_is_better batch")
Peer = namedtuple("Peer", "label kind module variant packages")
Own = namedtuple("Own", "label kind scheme kv")  # kv: None is the default

PROMPT, POSITION, STEPS, FIRST_PROMPT = 512, 64, 48, 7
TESTS = {
    "decode1": Test("decode, 1 row", False, 1),
    "decode8": Test("decode, 8 rows", False, 8),
    "decode32": Test("decode, 32 rows", False, 32),
    "prefill": Test(f"prefill {PROMPT}", False, 1),
    "tokenizer": Test("tokenizer, MB/s", False, None),
    "start": Test("first token, s", True, None),
    "resident": Test("resident, MB", True, None),
}

# A peer is compared with the rows of gpt2q of its kind: those whose weights have as many bits.
PEERS = {
    "ort-f32": Peer("ONNX Runtime fp32", "f32", "ort", "f32", ["onnx", "onnxruntime"]),
    "ort-i8": Peer("ONNX Runtime dynamic int8", "i8", "ort", "i8", ["onnx", "onnxruntime"]),
    "ort-i4": Peer("ONNX Runtime int4 MatMulNBits, block 32", "i4", "ort", "i4", ["onnx", "onnxruntime", "onnx-ir"]),
    "torch-f32": Peer("PyTorch fp32", "f32", "pytorch", "f32", ["torch"]),
    "torch-i8": Peer("PyTorch dynamic qint8", "i8", "pytorch", "i8", ["torch"]),
    "ct2-i8": Peer("CTranslate2 int8", "i8", "ct2", "i8", ["ctranslate2"]),
    "ov-i8": Peer("OpenVINO int8", "i8", "ov", "i8", ["openvino", "nncf"]),
    "ov-i4": Peer("OpenVINO int4, group 64", "i4", "ov", "i4", ["openvino", "nncf"]),
    "llama-q8": Peer("llama.cpp Q8_0", "i8", "llama", "q8", ["gguf", "llama-cpp-python"]),
    "llama-q4": Peer("llama.cpp Q4_0", "i4", "llama", "q4", ["gguf", "llama-cpp-python"]),
}
FIRST_TOKEN = ("ort-i8", "ct2-i8", "ov-i8", "llama-q8")  # start from a file of int8 weights, as gpt2q-i8 does
TOKENIZERS = ("llama-q8",)
OWN = {
    "gpt2q-f32": Own("gpt2q f32", "f32", "f32", None),
    "gpt2q-i8": Own("gpt2q i8", "i8", "i8@i16", None),
    "gpt2q-i8@i8": Own("gpt2q i8, i8 activations", "i8", "i8@i8", None),
    "gpt2q-i8@i8-kv": Own("gpt2q i8, i8 activations and cache", "i8", "i8@i8", "i8"),
    "gpt2q-i4": Own("gpt2q i4:g32", "i4", "i4:g32@i16", None),
    "gpt2q-i4@i8": Own("gpt2q i4:g32, i8 activations", "i4", "i4:g32@i8", None),
}
LABELS = {name: engine.label for name, engine in {**OWN, **PEERS}.items()}
