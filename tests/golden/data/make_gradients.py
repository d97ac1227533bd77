#!/usr/bin/env python3
"""Gradients of every golden model by PyTorch in float64, and the lesson of `explain --qat` by autograd.

usage: make_gradients.py OUT.json [MODEL_DIRECTORY...]     needs torch and safetensors

For each model: the mean cross-entropy of tokens 1 .. 15 of two windows of 16, ids (s >> 33) mod (vocab_size - 1) of the generator
s = s*6364136223846793005 + 1442695040888963407 modulo 2^64, s = 7 before the first. Of every tensor in the checkpoint's order: the
largest magnitude of its gradient, and 64 entries (all, where there are fewer): number k is the flat index k*size//64.
"""
import glob, json, math, os, sys
import torch
from safetensors.torch import load_file

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
F = torch.nn.functional
ACTIVATIONS = {'gelu_new': lambda x: F.gelu(x, approximate='tanh'), 'gelu': F.gelu, 'relu': F.relu, 'silu': F.silu, 'tanh': torch.tanh}


def tokens(n, vocab, s):
    out = []
    for _ in range(n):
        s = (s*6364136223846793005 + 1442695040888963407) % 2**64
        out.append((s >> 33) % vocab)
    return torch.tensor(out)


def load(directory):
    config = json.load(open(os.path.join(directory, 'config.json')))
    weights = {}
    for path in sorted(glob.glob(os.path.join(directory, 'model*.safetensors'))):
        for name, t in load_file(path).items():
            name = name.removeprefix('transformer.')
            if name.endswith(('.attn.bias', '.attn.masked_bias')):
                continue
            weights[name] = t.to(torch.float64).requires_grad_()
    return config, weights


def forward(c, w, ids):
    d, heads = c['n_embd'], c['n_head']
    x = w['wte.weight'][ids] + w['wpe.weight'][:ids.shape[1]]
    norm = lambda x, n: F.layer_norm(x, (d,), w[n+'.weight'], w[n+'.bias'], c['layer_norm_epsilon'])
    linear = lambda x, n: x @ w[n+'.weight'] + w[n+'.bias']
    mask = torch.triu(torch.full((ids.shape[1],)*2, -math.inf), 1)
    for l in range(c['n_layer']):
        h = f'h.{l}.'
        q, k, v = (t.view(*t.shape[:2], heads, -1).transpose(1, 2) for t in linear(norm(x, h+'ln_1'), h+'attn.c_attn').split(d, 2))
        scale = (d//heads)**-0.5 if c.get('scale_attn_weights', True) else 1.0
        if c.get('scale_attn_by_inverse_layer_idx'):
            scale /= l + 1
        y = (q @ k.transpose(2, 3)*scale + mask).softmax(-1) @ v
        x = x + linear(y.transpose(1, 2).reshape(x.shape), h+'attn.c_proj')
        a = ACTIVATIONS[c['activation_function']](linear(norm(x, h+'ln_2'), h+'mlp.c_fc'))
        x = x + linear(a, h+'mlp.c_proj')
    return norm(x, 'ln_f') @ w.get('lm_head.weight', w['wte.weight']).T


def gradients(directory):
    c, w = load(directory)
    if c.get('tie_word_embeddings', True):
        w.pop('lm_head.weight', None)
    ids = tokens(32, c['vocab_size'] - 1, 7).view(2, 16)
    loss = F.cross_entropy(forward(c, w, ids)[:, :-1].reshape(30, -1), ids[:, 1:].reshape(-1))
    loss.backward()
    out = {}
    for name in sorted(w):
        g = w[name].grad.flatten()
        n = min(64, g.numel())
        out[name] = {'largest': g.abs().max().item(), 'entries': [float('%.12g' % g[k*g.numel()//n]) for k in range(n)]}
    return {'loss': loss.item(), 'tensors': out}


def lesson():
    """study/qat_lesson.h, the gradients by autograd."""
    W = torch.tensor([[0, -0.2934, -2.1788, 0.5684, -1.0845], [-1.3986, 0.4033, 0.8380, -0.7193, -0.4033],
                      [-0.5966, 0.1820, -0.8567, 1.1006, -1.0712]], dtype=torch.float32).to(torch.float64)
    x = torch.tensor([0, -0.5663, 0.3731, -0.8920, -1.5091], dtype=torch.float32).to(torch.float64)
    s, numbers = 1, []
    for _ in range(32*5):
        s = (s*6364136223846793005 + 1442695040888963407) % 2**64
        numbers.append((s >> 40)/2**24)
    X = torch.tensor(numbers).view(32, 5)*x
    Y = X @ W.T
    rate = 0.1*32*3/(X*X).sum().item()
    through = lambda y, x: y.detach() + (x - x.detach())
    curves = {}
    for loop in 'notes', 'gradient', 'grid', 'right':
        w = (0.5*W.flip(1)).clone().requires_grad_()
        losses, norms = [], []
        for step in range(201):
            with torch.no_grad():
                if step % 10 == 0:
                    least, most = min(w.min().item(), 0), max(w.max().item(), 0)
                    scale = (most - least)/7
                    zero = round(-least/scale)
            q = w/scale
            r = q.round() if loop in ('notes', 'grid') else through(q.round(), q)
            u = r + zero  # torch.clamp's own gradient at 0 and 7 themselves differs between versions
            u = torch.where((u < 0) | (u > 7), u.clamp(0, 7).detach(), u)
            landed = (r - zero)*scale if loop in ('notes', 'gradient') else (u - zero)*scale
            loss = ((X @ landed.T - Y)**2).mean()
            g, = torch.autograd.grad(loss, w)
            losses.append(loss.item())
            norms.append(g.norm().item())
            with torch.no_grad():
                w -= rate*(200 - step)/200*g
        curves[loop] = {'losses': losses, 'gradient_norms': norms}
    return {'rate': rate, **curves}


models = sys.argv[2:]
doc = {'models': {os.path.basename(m.rstrip('/')): gradients(m) for m in models}, 'lesson': lesson()}
json.dump(doc, open(sys.argv[1], 'w'), separators=(',', ':'))
