#!/bin/sh
# llama.cpp loads the GGUF files that quantize writes, and continues the F32 one with the same text. 77: no llama-cpp-python here
# ($PYTHON names a Python that has it).
set -eu
cd "$(dirname "$0")/../.."
gpt2q=${GPT2Q:-./gpt2q}
for python in "${PYTHON:-python3}" python3 ''; do
    [ -n "$python" ] || { echo "skipped: no Python with llama_cpp is here"; exit 77; }
    if "$python" -c 'import llama_cpp' 2>/dev/null; then break; fi
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/gpt2q-llama.XXXXXX")
trap 'rm -rf "$dir"' EXIT

cat >"$dir/generate.py" <<'PYTHON'
import sys
from llama_cpp import Llama
model = Llama(sys.argv[1], n_ctx=128, n_batch=64, verbose=False, n_threads=1)
ids = model.tokenize(sys.argv[2].encode(), add_bos=False, special=False)
made = []
model.reset()
model.eval(ids)
for _ in range(24):
    made.append(model.sample(temp=0.0, top_k=1, repeat_penalty=1.0))
    model.eval(made[-1:])
print(' '.join(map(str, ids + made)))
PYTHON

"$gpt2q" quantize models/tales-7m -q f32 -o "$dir/f32.gguf" --quiet >/dev/null
for prompt in 'Once upon a time, there was' 'The old man said that'; do
    theirs=$("$python" "$dir/generate.py" "$dir/f32.gguf" "$prompt")
    ours=$("$gpt2q" generate -m "$dir/f32.gguf" -q f32 -n 24 --ignore-eos --json "$prompt" |
        sed 's/.*"prompt_ids":\[\([0-9,]*\)\].*"ids":\[\([0-9,]*\)\],"text".*/\1 \2/' | tr ',' ' ')
    [ "$theirs" = "$ours" ] || { echo "'$prompt': llama.cpp gives $theirs, gpt2q $ours"; exit 1; }
done
for type in bf16 q8_0 q5_1; do
    "$gpt2q" quantize models/tales-7m --gguf-type $type -o "$dir/$type.gguf" --quiet >/dev/null
    "$python" "$dir/generate.py" "$dir/$type.gguf" 'Once upon' >/dev/null || { echo "$type is not loaded"; exit 1; }
done
