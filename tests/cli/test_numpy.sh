#!/bin/sh
# A stranger reads .gpt2q files with numpy, by ARCHITECTURE.md alone: header, checksum, every tensor dequantized, which must give the
# very numbers of `quantize --export`. 77: no numpy here.
set -eu
cd "$(dirname "$0")/../.."
gpt2q=${GPT2Q:-./gpt2q}
for python in python3 /usr/bin/python3 ''; do
    [ -n "$python" ] || { echo "skipped: no python3 with numpy is here"; exit 77; }
    if "$python" -c 'import numpy' 2>/dev/null; then break; fi
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/gpt2q-numpy.XXXXXX")
trap 'rm -rf "$dir"' EXIT

cat >"$dir/read.py" <<'PYTHON'
import json, struct, sys, zlib
import numpy as np

def read_safetensors(path, align):
    raw = open(path, 'rb').read()
    n = struct.unpack('<Q', raw[:8])[0]
    header = json.loads(raw[8:8 + n])
    metadata = header.pop('__metadata__', {})
    dtypes = {'F32': '<f4', 'F16': '<f2', 'BF16': '<u2', 'U8': 'u1', 'U32': '<u4'}
    tensors = {}
    for name, t in header.items():
        begin, end = (8 + n + o for o in t['data_offsets'])
        assert begin % align == 0 or name.startswith('padding.'), name
        tensors[name] = np.frombuffer(raw[begin:end], dtypes[t['dtype']]).reshape(t['shape'])
    return raw, metadata, tensors

def by_output(a, rows):
    """[panels][..][64] to [panels * 64][..], without the padding."""
    return np.moveaxis(a, -1, 1).reshape(-1, *a.shape[1:-1])[:rows]

def codes(a, bits, rows, cols):
    """Codes as they are stored, (rows, cols)."""
    if bits == 3:
        low = a[:, [j for j in range(a.shape[1]) if j % 3 < 2]]
        low = np.concatenate([low >> s & 3 for s in (0, 2, 4, 6)], axis=3)
        high = np.concatenate([a[:, 2::3] >> s & 1 for s in range(8)], axis=3)
        panels, steps, lanes, _ = high.shape
        low = low.reshape(panels, steps, 2, lanes, 16).transpose(0, 1, 3, 2, 4).reshape(high.shape)
        a = low | high << 2
    if bits == 2: a = np.concatenate([a >> s & 3 for s in (0, 2, 4, 6)], axis=3)
    if bits == 4: a = np.concatenate([a & 15, a >> 4], axis=3)          # inputs k..k+3 low, k+4..k+7 high
    panels, steps, lanes, step = a.shape
    return a.transpose(0, 2, 1, 3).reshape(panels * lanes, steps * step)[:rows, :cols].astype(np.float32)

def zero_points(a):
    """Of groups, in bits: [panels, groups, 8 bits] to signed numbers [panels, groups, 64]."""
    bits = a.shape[2] // 8
    if bits == 3:
        low = np.concatenate([a[:, :, :16] >> s & 3 for s in (0, 2, 4, 6)], axis=2)
        high = np.concatenate([a[:, :, 16:] >> s & 1 for s in range(8)], axis=2)
        a = low | high << 2
    else:
        a = np.stack([a[:, :, i:i + 16] >> s & (2 ** bits - 1) for i in range(0, a.shape[2], 16) for s in range(0, 8, bits)], axis=2)
        a = a.reshape(*a.shape[:2], 64)
    return a.astype(np.float32) - np.float32(2 ** (bits - 1))

NF4 = np.array([-1, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.091050036, 0, 0.0795803, 0.1609302, 0.2461123, 0.33791524,
                0.44070983, 0.562617, 0.72295684, 1], np.float32)
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)

def float8(a, kind):
    """Floats of a byte that are finite."""
    m = {'e4m3': 3, 'e5m2': 2}[kind]; bias = 2 ** (6 - m) - 1; a = a.astype(np.int32)
    e = a >> m & 2 ** (7 - m) - 1; mantissa = (a & 2 ** m - 1) + np.where(e > 0, 2 ** m, 0)
    return np.ldexp(np.where(a & 128, -1.0, 1.0) * mantissa, np.maximum(e, 1) - bias - m).astype(np.float32)

def parameters(t, name, gran, rows, cols):
    """Scale or zero of every element, broadcast to (rows, cols)."""
    a = t[name]
    if a.dtype == np.uint8: a = zero_points(a)
    a = a.astype(np.float32)
    if gran == 'tensor': return a.reshape(1, 1)
    if gran == 'channel': return a.reshape(-1)[:rows, None]
    if gran == 'input': return a[None, :]
    return np.repeat(by_output(a, rows), int(gran[1:]), axis=1)

def dequantize(t, name, scheme, shape, conv1d):
    """The weight in the checkpoint's order."""
    if name in t: return t[name]
    if len(shape) == 1 or name == 'wpe.weight':
        return t[name + '.codes'] * t[name + '.scale'] + t[name + '.zero']
    rows, cols = shape[::-1] if conv1d else shape
    c = t[name + '.codes']
    if scheme in ('f32', 'f16'): w = by_output(c, rows).astype(np.float32)
    elif scheme.startswith('fp8:'): w = float8(by_output(c, rows), scheme[4:]) * parameters(t, name + '.scale', 'channel', rows, cols)
    elif scheme in ('mxfp4', 'nvfp4') or scheme.startswith('nf4:'):
        a = t[name + '.scale']
        if scheme == 'mxfp4': s, n = np.ldexp(np.float32(1), a.astype(np.int32) - 127), 32
        elif scheme == 'nvfp4': s, n = float8(a, 'e4m3') * t[name + '.factor'], 16
        else: s, n = a.astype(np.float32), int(scheme[5:])
        w = (NF4 if scheme[:2] == 'nf' else E2M1)[codes(c, 4, rows, cols).astype(int)] * np.repeat(by_output(s, rows), n, axis=1)
    elif scheme == 'bf16': w = by_output(c, rows).astype(np.uint32).__lshift__(16).view(np.float32)
    else:
        format, gran, grid = ('i8', 'tensor', 'notes') if scheme == 'notes' else scheme.replace(':f32', '').split(':')
        bits = int(format[1:]); q = codes(c, bits, rows, cols); half = np.float32(2 ** (bits - 1))
        s = parameters(t, name + '.scale', gran, rows, cols)
        if grid in ('absmax', 'signed'): w = (q - half) * s
        elif grid == 'affine': w = (q - half - parameters(t, name + '.zero', gran, rows, cols)) * s
        else: w = q * s + parameters(t, name + '.zero', gran, rows, cols)
    return w.T if conv1d else w

raw, metadata, t = read_safetensors(sys.argv[1], 64)
assert metadata['format'] == 'gpt2q' and metadata['gpt2q.version'] == ('2' if any(v[:2] in ('i3', 'i2', 'nf', 'fp', 'mx', 'nv') or ':g' in v and ('affine' in v or v.endswith(':f32')) for k, v in metadata.items() if k.startswith('scheme.')) else '1')
assert zlib.crc32(raw[:-4]) == int(t['checksum'][0]), 'checksum'
assert json.loads(metadata['gpt2q.config'])['model_type'] == 'gpt2'
expected = read_safetensors(sys.argv[2] + '/model.safetensors', 1)[2]
for name, want in expected.items():
    scheme = metadata['scheme.' + name]
    conv1d = name.endswith(('c_attn.weight', 'c_proj.weight', 'c_fc.weight'))
    got = dequantize(t, name, scheme, want.shape, conv1d)
    assert got.shape == want.shape and got.astype(np.float32).tobytes() == want.tobytes(), (name, scheme)
for name in ('vocab.json', 'merges.txt'):
    if 'tokenizer.' + name in t: assert t['tokenizer.' + name].tobytes() == open(sys.argv[2] + '/' + name, 'rb').read()
assert len(expected) == sum(k.startswith('scheme.') for k in metadata)
PYTHON
model=tests/golden/data/tiny-odd
for scheme in f32 f16 bf16 notes i8 i8:tensor:affine i8:channel:minmax i8:input:minmax i4:channel:affine i4:tensor:absmax i4:input i4:channel:signed i8:signed i8:input:signed i3:channel i3:input:affine i2:channel:minmax i2:tensor:affine fp8:e4m3 fp8:e5m2; do
    rm -rf "$dir/export"
    "$gpt2q" quantize -m $model -q $scheme -o "$dir/model.gpt2q" --export "$dir/export" >/dev/null
    "$python" "$dir/read.py" "$dir/model.gpt2q" "$dir/export"
done
# Groups, overrides, and a tied head with numbers of its own.
rm -rf "$dir/export"
"$gpt2q" quantize -m tests/golden/data/tiny-gelu -q i4:g8:minmax --tensor 'h.0.mlp.c_fc*=i8:g16:affine' --tensor 'h.0.mlp.c_proj*=i8:g16:affine:f32' --tensor 'h.0.attn.*=i4:g8:signed' --tensor 'h.0.attn.c_proj*=i4:g8:minmax:f32' --tensor wte.weight=f32 --tensor lm_head.weight=i4:g32 \
    -o "$dir/model.gpt2q" --export "$dir/export" >/dev/null
"$python" "$dir/read.py" "$dir/model.gpt2q" "$dir/export"
# The tokenizer's files are inside as they are.
"$gpt2q" quantize -m models/tales-7m -q i8 --tensor 'h.0.*=i3' --tensor 'h.1.*=i2:g64:affine' --tensor 'h.2.attn*=i2:g16:minmax' --tensor 'h.2.mlp*=i2:g16:minmax:f32' --tensor 'h.3.*=nf4' --tensor 'h.4.*=mxfp4' --tensor 'h.5.attn*=nvfp4' --tensor 'h.5.mlp*=nf4:g32' -o "$dir/model.gpt2q" --export "$dir/export" >/dev/null
"$python" "$dir/read.py" "$dir/model.gpt2q" "$dir/export"
cmp "$dir/export/vocab.json" models/tales-7m/vocab.json
