"""Chapter 09, the whole model: residual stream, block, head, a file's bytes, and where two models part."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from ...inference.sampling import log_softmax
from ...layers.attention import attention_forward
from ...layers.rmsnorm import rmsnorm_forward
from ...layers.rope import rope_forward, rope_table
from ...layers.swiglu import swiglu_forward
from ...params import LayerParams
from ..exercise import Exercise, Mistake

EPS = 1e-5


def _norm(x, weight, eps):
    return rmsnorm_forward(x, weight, eps)[0]


# --- residual_stream --------------------------------------------------------------------


def _make_stream(rng: np.random.Generator, n: int, T: int, D: int) -> tuple[Any, ...]:
    x = rng.normal(size=(T, D)).astype(np.float32)
    norms = rng.uniform(0.5, 2, (n, D)).astype(np.float32)
    return x, norms, (rng.normal(size=(n, D, D)) / math.sqrt(D)).astype(np.float32), EPS


def _stream_of(step):
    """A function of the exercise's signature from x -> x of one sublayer."""

    def run(x, norms, matrices, eps):
        states = [x]
        for g, w in zip(norms, matrices):
            states.append(step(states[-1], g, w, eps))
        return np.stack(states)

    return run


_stream = _stream_of(lambda x, g, w, eps: x + _norm(x, g, eps) @ w.T)


def _stream_from_the_first(x, norms, matrices, eps):
    states = [x]
    for g, w in zip(norms, matrices):
        states.append(states[-1] + _norm(x, g, eps) @ w.T)
    return np.stack(states)


def _stream_aliased(x, norms, matrices, eps):
    return np.stack([_stream(x, norms, matrices, eps)[-1]] * (len(norms) + 1))


def _torch_stream(x, norms, matrices, eps):
    import torch

    x, norms, matrices = (torch.tensor(a, dtype=torch.float64) for a in (x, norms, matrices))
    states = [x]
    for g, w in zip(norms, matrices):
        states.append(states[-1] + torch.nn.functional.rms_norm(states[-1], g.shape, g, eps) @ w.T)
    return torch.stack(states).numpy()


RESIDUAL_STREAM = Exercise(
    id="residual_stream",
    chapter="09",
    title="The order of norm, layer and residual",
    task="Run sublayers x + W rmsnorm(x), one after the other, and return the stream before, between and after them.",
    difficulty=1,
    minutes=10,
    reference=_stream,
    make=_make_stream,
    shapes=(
        {"n": 2, "T": 1, "D": 4},
        {"n": 1, "T": 1, "D": 2},
        {"n": 3, "T": 2, "D": 3},
        {"n": 5, "T": 3, "D": 8},
        {"n": 4, "T": 7, "D": 17},
    ),
    axes=("state", "position", "dim"),
    oracle=_torch_stream,
    atol=1e-5,
    hints=(
        "The stream itself is never normalised: a sublayer reads a normalised copy, and what it computes is added to "
        "the stream as it was.",
        "states = [x]; for every norm and matrix: one new x, appended. n sublayers give n + 1 states. Make a new "
        "array each time: x += ... would change the states that are in the list already.",
        "for g, w in zip(norms, matrices):\n    x = x + rmsnorm(x, g, eps) @ w.T\n    states.append(x)\n"
        "return np.stack(states)",
    ),
    mistakes=(
        Mistake(
            "Your function normalises after the residual: rmsnorm(x + W x), post-norm.",
            "That is the first transformer of 2017. LLaMA is pre-norm: only what the sublayer reads is normalised.",
            _stream_of(lambda x, g, w, eps: _norm(x + x @ w.T, g, eps)),
        ),
        Mistake(
            "Your function adds the sublayer's result to the normalised x.",
            "The residual goes round the norm as well: x + W rmsnorm(x), with x as it was.",
            _stream_of(lambda x, g, w, eps: _norm(x, g, eps) + _norm(x, g, eps) @ w.T),
        ),
        Mistake(
            "Your function replaces the stream instead of adding to it.",
            "A sublayer adds: x + W rmsnorm(x).",
            _stream_of(lambda x, g, w, eps: _norm(x, g, eps) @ w.T),
        ),
        Mistake(
            "Your function leaves out the norm.",
            "Every sublayer reads rmsnorm(x), with its own weight.",
            _stream_of(lambda x, g, w, eps: x + x @ w.T),
        ),
        Mistake(
            "Your function normalises what a sublayer returns, not what it reads.",
            "x + W rmsnorm(x), not x + rmsnorm(W x).",
            _stream_of(lambda x, g, w, eps: x + _norm(x @ w.T, g, eps)),
        ),
        Mistake(
            "Your matrices are not transposed: rows of the stream meet them as row @ matrix.",
            "Weights are (out, in): row @ matrix.T. Square ones do not complain when they are used the wrong way.",
            _stream_of(lambda x, g, w, eps: x + _norm(x, g, eps) @ w),
        ),
        Mistake(
            "Your sublayers all read the first x.",
            "Each one reads the stream as the one before has left it.",
            _stream_from_the_first,
        ),
        Mistake(
            "Your states are all the same array, the last one.",
            "x += ... changes x in place, and the list holds that same x several times. Write x = x + ..., which makes "
            "a new one.",
            _stream_aliased,
        ),
    ),
)

# --- transformer_block ------------------------------------------------------------------


def _make_block(
    rng: np.random.Generator, B: int, T: int, H: int, K: int, head_dim: int, hidden: int
) -> tuple[Any, ...]:
    if head_dim % 2 or H % K:
        raise ValueError("head_dim must be even, and K a divisor of H")
    D = H * head_dim

    def matrix(n_out: int, n_in: int) -> Any:
        return (1.5 * rng.normal(size=(n_out, n_in)) / math.sqrt(n_in)).astype(np.float32)

    def weight() -> Any:
        return rng.uniform(0.5, 2, D).astype(np.float32)

    layer = LayerParams(
        attention_norm=weight(),
        wq=matrix(D, D),
        wk=matrix(K * head_dim, D),
        wv=matrix(K * head_dim, D),
        wo=matrix(D, D),
        ffn_norm=weight(),
        w_gate=matrix(hidden, D),
        w_up=matrix(hidden, D),
        w_down=matrix(D, hidden),
    )
    x = rng.normal(size=(B, T, D)).astype(np.float32)
    return x, layer, *rope_table(head_dim, T + 3, 100.0), H, K, EPS


def _heads(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1).swapaxes(1, 2)


def _attention(n, layer, cos, sin, n_heads, n_kv_heads, rotate_v=False, rotate=True, swap=True, out=True):
    """wo attention(...) of the normalised n; each flag off is a mistake."""
    positions = np.broadcast_to(np.arange(n.shape[1]), n.shape[:2])
    q, k, v = (_heads(n @ w.T, h) for w, h in ((layer.wq, n_heads), (layer.wk, n_kv_heads), (layer.wv, n_kv_heads)))
    if rotate:
        q, k = (rope_forward(a, cos, sin, positions)[0] for a in (q, k))
    if rotate_v:
        v = rope_forward(v, cos, sin, positions)[0]
    y, _ = attention_forward(q, k, v, positions)
    y = (y.swapaxes(1, 2) if swap else y).reshape(n.shape)
    return y @ layer.wo.T if out else y


def _ffn(m, layer):
    return swiglu_forward(m @ layer.w_gate.T, m @ layer.w_up.T)[0] @ layer.w_down.T


def _block(x, layer, cos, sin, n_heads, n_kv_heads, eps, **wrong):
    h = x + _attention(_norm(x, layer.attention_norm, eps), layer, cos, sin, n_heads, n_kv_heads, **wrong)
    return h + _ffn(_norm(h, layer.ffn_norm, eps), layer)


def _block_with(**wrong):
    def run(x, layer, cos, sin, n_heads, n_kv_heads, eps):
        return _block(x, layer, cos, sin, n_heads, n_kv_heads, eps, **wrong)

    return run


def _block_tiled(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    """The key and value heads laid out by np.tile instead of np.repeat."""
    wk, wv = (
        np.tile(w.reshape(n_kv_heads, -1, w.shape[1]), (n_heads // n_kv_heads, 1, 1)).reshape(-1, w.shape[1])
        for w in (layer.wk, layer.wv)
    )
    return _block(x, layer._replace(wk=wk, wv=wv), cos, sin, n_heads, n_heads, eps)


def _block_parallel(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    attended = _attention(_norm(x, layer.attention_norm, eps), layer, cos, sin, n_heads, n_kv_heads)
    return x + attended + _ffn(_norm(x, layer.ffn_norm, eps), layer)


def _block_post_norm(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    h = _norm(x + _attention(x, layer, cos, sin, n_heads, n_kv_heads), layer.attention_norm, eps)
    return _norm(h + _ffn(h, layer), layer.ffn_norm, eps)


def _block_one_residual(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    h = _attention(_norm(x, layer.attention_norm, eps), layer, cos, sin, n_heads, n_kv_heads)
    return x + _ffn(_norm(h, layer.ffn_norm, eps), layer)


def _block_no_second_residual(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    h = x + _attention(_norm(x, layer.attention_norm, eps), layer, cos, sin, n_heads, n_kv_heads)
    return _ffn(_norm(h, layer.ffn_norm, eps), layer)


def _block_ffn_unnormalised(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    h = x + _attention(_norm(x, layer.attention_norm, eps), layer, cos, sin, n_heads, n_kv_heads)
    return h + _ffn(h, layer)


def _torch_block(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    """Meta's model.py in float64: complex numbers for RoPE, PyTorch's own attention."""
    import torch
    import torch.nn.functional as F

    x, cos, sin = (torch.tensor(a, dtype=torch.float64) for a in (x, cos, sin))
    w = LayerParams(*(torch.tensor(a, dtype=torch.float64) for a in layer))
    n_tokens, dim = x.shape[1:]
    turn = torch.complex(cos[:n_tokens], sin[:n_tokens])

    def heads(a, count):
        return a.unflatten(-1, (count, -1)).transpose(1, 2)

    def rotated(a):
        pairs = torch.view_as_complex(a.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * turn).flatten(-2)

    n = F.rms_norm(x, (dim,), w.attention_norm, eps)
    q, k, v = rotated(heads(n @ w.wq.T, n_heads)), rotated(heads(n @ w.wk.T, n_kv_heads)), heads(n @ w.wv.T, n_kv_heads)
    k, v = (a.repeat_interleave(n_heads // n_kv_heads, dim=1) for a in (k, v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    h = x + y @ w.wo.T
    m = F.rms_norm(h, (dim,), w.ffn_norm, eps)
    return (h + (F.silu(m @ w.w_gate.T) * (m @ w.w_up.T)) @ w.w_down.T).numpy()


BLOCK = Exercise(
    id="transformer_block",
    chapter="09",
    title="One block",
    task="Attention and feed-forward layer, each on a normalised copy of the stream, each added to the stream.",
    difficulty=3,
    minutes=30,
    reference=_block,
    make=_make_block,
    shapes=(
        {"B": 1, "T": 2, "H": 2, "K": 1, "head_dim": 2, "hidden": 3},
        {"B": 1, "T": 1, "H": 1, "K": 1, "head_dim": 2, "hidden": 1},
        {"B": 2, "T": 3, "H": 4, "K": 2, "head_dim": 4, "hidden": 7},
        {"B": 3, "T": 5, "H": 3, "K": 3, "head_dim": 6, "hidden": 16},
        {"B": 2, "T": 9, "H": 6, "K": 2, "head_dim": 8, "hidden": 96},
    ),
    axes=("batch", "position", "dim"),
    oracle=_torch_block,
    atol=2e-5,
    hints=(
        "All layers exist already: the starter says how to import them. What is left is their order, and the two "
        "additions.",
        "Heads: (B, T, H * head_dim) -> reshape (B, T, H, head_dim) -> swapaxes(1, 2). After attention the same way "
        "back. RoPE turns q and k, not v. wo comes before the addition.",
        "n = rmsnorm(x, layer.attention_norm)\n"
        "h = x + attention(rope(heads(n @ wq.T)), rope(heads(n @ wk.T)), heads(n @ wv.T)) @ wo.T\n"
        "m = rmsnorm(h, layer.ffn_norm)             # of h, not of x\n"
        "return h + swiglu(m @ w_gate.T, m @ w_up.T) @ w_down.T",
    ),
    mistakes=(
        Mistake(
            "Your feed-forward layer reads x, not h: the two sublayers run side by side.",
            "GPT-J does that. In LLaMA the feed-forward layer reads the stream to which attention has been added.",
            _block_parallel,
        ),
        Mistake(
            "Your function normalises after each residual: post-norm.",
            "LLaMA normalises what a sublayer reads: x + attention(rmsnorm(x)).",
            _block_post_norm,
        ),
        Mistake(
            "Your function does not add x to what attention returns.",
            "There are two residuals: h = x + attention(...), then h + feed_forward(...).",
            _block_one_residual,
        ),
        Mistake(
            "Your function does not add h to what the feed-forward layer returns.",
            "There are two residuals: h = x + attention(...), then h + feed_forward(...).",
            _block_no_second_residual,
        ),
        Mistake(
            "Your feed-forward layer reads h without the norm.",
            "It has a norm of its own, ffn_norm.",
            _block_ffn_unnormalised,
        ),
        Mistake(
            "Your function has exchanged attention_norm and ffn_norm.",
            "attention_norm (Hugging Face's input_layernorm) comes before attention; ffn_norm, which they call "
            "post_attention_layernorm, before the feed-forward layer.",
            lambda x, layer, *rest: _block(
                x, layer._replace(attention_norm=layer.ffn_norm, ffn_norm=layer.attention_norm), *rest
            ),
        ),
        Mistake(
            "Your function rotates the values too.",
            "RoPE belongs to q and k, whose products become scores; v stays as it is.",
            _block_with(rotate_v=True),
        ),
        Mistake(
            "Your function has no RoPE.",
            "q and k are rotated by their positions before attention: without it a text is a bag of tokens.",
            _block_with(rotate=False),
        ),
        Mistake(
            "Your function joins the heads without bringing the axes back.",
            "Attention returns (B, H, T, head_dim). swapaxes(1, 2) comes before the reshape to (B, T, H * head_dim).",
            _block_with(swap=False),
        ),
        Mistake(
            "Your function gives query head j the key and value head j % n_kv_heads.",
            "Neighbouring query heads share one: j // (n_heads / n_kv_heads), np.repeat and not np.tile (chapter 07).",
            _block_tiled,
        ),
        Mistake(
            "Your function leaves out wo.",
            "The joined heads go through wo before they are added to the stream.",
            _block_with(out=False),
        ),
        Mistake(
            "Your function has exchanged w_gate and w_up.",
            "SiLU is taken of what w_gate (Meta's w1) computes.",
            lambda x, layer, *rest: _block(x, layer._replace(w_gate=layer.w_up, w_up=layer.w_gate), *rest),
        ),
    ),
)

# --- head_logits ------------------------------------------------------------------------


def _make_head(rng: np.random.Generator, B: int, T: int, D: int, V: int, tied: int) -> tuple[Any, ...]:
    x = (0.01 * rng.normal(size=(B, T, D))).astype(np.float32)  # small: eps matters
    norm = rng.uniform(0.5, 2, D).astype(np.float32)
    table, output = rng.normal(size=(2, V, D)).astype(np.float32)
    return x, norm, table, None if tied else output, EPS


def _head(x, final_norm, token_embedding, output, eps):
    return _norm(x, final_norm, eps) @ (token_embedding if output is None else output).T


def _torch_head(x, final_norm, token_embedding, output, eps):
    import torch

    x, final_norm, head = (
        torch.tensor(a, dtype=torch.float64) for a in (x, final_norm, token_embedding if output is None else output)
    )
    return torch.nn.functional.linear(torch.nn.functional.rms_norm(x, final_norm.shape, final_norm, eps), head).numpy()


def _layer_norm(x, weight, eps):
    return _norm(x - x.mean(axis=-1, keepdims=True), weight, eps)


HEAD = Exercise(
    id="head_logits",
    chapter="09",
    title="From the stream to logits",
    task="The final norm, then the output head: a matrix of its own, or the token embedding where the model is tied.",
    difficulty=1,
    minutes=5,
    reference=_head,
    make=_make_head,
    shapes=(
        {"B": 1, "T": 1, "D": 3, "V": 4, "tied": 1},
        {"B": 1, "T": 2, "D": 2, "V": 3, "tied": 0},
        {"B": 2, "T": 3, "D": 8, "V": 5, "tied": 1},
        {"B": 3, "T": 1, "D": 5, "V": 17, "tied": 0},
        {"B": 2, "T": 5, "D": 16, "V": 64, "tied": 1},
    ),
    axes=("batch", "position", "token"),
    oracle=_torch_head,
    atol=1e-5,
    hints=(
        "A logit is the dot product of a normalised hidden state with a token's row. Which rows, when output is None?",
        "Norm first: rmsnorm(x, final_norm, eps). The head is (V, D), like every weight (out_features, in_features).",
        "head = token_embedding if output is None else output\nreturn rmsnorm(x, final_norm, eps) @ head.T",
    ),
    mistakes=(
        Mistake(
            "Your function leaves out the final norm.",
            "The stream has grown over all layers; final_norm brings it to the size that the head was trained for.",
            lambda x, g, e, o, eps: x @ (e if o is None else o).T,
        ),
        Mistake(
            "Your final norm does not multiply by its weight.",
            "rmsnorm(x, final_norm, eps) divides by the root mean square and multiplies by final_norm.",
            lambda x, g, e, o, eps: _head(x, np.ones_like(g), e, o, eps),
        ),
        Mistake(
            "Your function always uses the token embedding.",
            "Only where output is None. No LLaMA 2 is tied; SmolLM2 and the TinyStories models are.",
            lambda x, g, e, o, eps: _head(x, g, e, None, eps),
        ),
        Mistake(
            "Your function returns probabilities.",
            "Logits are the numbers before softmax.",
            lambda x, g, e, o, eps: np.exp(log_softmax(_head(x, g, e, o, eps))),
        ),
        Mistake(
            "Your function subtracts the mean: that is LayerNorm.",
            "RMSNorm divides by the root mean square and subtracts nothing.",
            lambda x, g, e, o, eps: _layer_norm(x, g, eps) @ (e if o is None else o).T,
        ),
        Mistake(
            "Your logits are divided by sqrt(D).",
            "That scale belongs to attention scores. The head is a plain product.",
            lambda x, g, e, o, eps: _head(x, g, e, o, eps) / np.float32(math.sqrt(x.shape[-1])),
        ),
    ),
)

# --- llama2c_header, load_llama2c_v0 -----------------------------------------------------

_FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
_TENSORS = (
    *("token_embedding", "attention_norm", "wq", "wk", "wv", "wo", "ffn_norm"),
    *("w_gate", "w_down", "w_up", "final_norm", "output"),
)


def _shapes_of(header):
    """The shape of every tensor, stacked over the layers; and of what stands at "rope"."""
    d, f, n, v = (header[name] for name in ("dim", "hidden_dim", "n_layers", "vocab_size"))
    h = d // header["n_heads"]
    kv = header["n_kv_heads"] * h
    return {
        **{"token_embedding": (v, d), "attention_norm": (n, d), "wq": (n, d, d), "wk": (n, kv, d), "wv": (n, kv, d)},
        **{"wo": (n, d, d), "ffn_norm": (n, d), "w_gate": (n, f, d), "w_down": (n, d, f), "w_up": (n, f, d)},
        **{"final_norm": (d,), "rope": (2, header["max_seq_len"], h // 2), "output": (v, d)},
    }


_ORDER = (*_TENSORS[:-1], "rope", "output")


def _make_file(
    rng: np.random.Generator, H: int, K: int, head_dim: int, hidden: int, L: int, V: int, S: int, tied: int
) -> tuple[Any, ...]:
    if head_dim % 2 or H % K:
        raise ValueError("head_dim must be even, and K a divisor of H")
    numbers = (H * head_dim, hidden, L, H, K, V, S)
    shapes = _shapes_of(dict(zip(_FIELDS, numbers)))
    header = struct.pack("<7i", *numbers[:5], V if tied else -V, S)
    size = sum(math.prod(shape) for name, shape in shapes.items() if name != "output" or not tied)
    return (header + rng.normal(size=size).astype("<f4").tobytes(),)


def _header(data):
    header = dict(zip(_FIELDS, struct.unpack_from("<7i", data)))
    tied = header["vocab_size"] > 0
    return {**header, "vocab_size": abs(header["vocab_size"]), "tied": tied}


def _header_in_config_order(data):
    names = ("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "hidden_dim", "max_seq_len")
    numbers = dict(zip(names, struct.unpack_from("<7i", data)))
    tied = numbers["vocab_size"] > 0
    return {**{name: numbers[name] for name in _FIELDS}, "vocab_size": abs(numbers["vocab_size"]), "tied": tied}


def _header_read(form, start=0):
    def run(data):
        header = dict(zip(_FIELDS, struct.unpack_from(form, data, start)))
        return {**header, "vocab_size": abs(header["vocab_size"]), "tied": header["vocab_size"] > 0}

    return run


FILE_SHAPES = (
    {"H": 2, "K": 1, "head_dim": 2, "hidden": 3, "L": 2, "V": 5, "S": 3, "tied": 0},
    {"H": 1, "K": 1, "head_dim": 2, "hidden": 1, "L": 1, "V": 3, "S": 1, "tied": 1},
    {"H": 4, "K": 2, "head_dim": 2, "hidden": 11, "L": 3, "V": 7, "S": 9, "tied": 1},
    {"H": 3, "K": 3, "head_dim": 4, "hidden": 20, "L": 2, "V": 40, "S": 16, "tied": 0},
    {"H": 8, "K": 4, "head_dim": 8, "hidden": 172, "L": 2, "V": 65, "S": 12, "tied": 1},
)

HEADER = Exercise(
    id="llama2c_header",
    chapter="09",
    title="The header of a model file",
    task="Read the seven numbers at the start of a llama2.c file, and whether the model is tied.",
    difficulty=1,
    minutes=10,
    reference=_header,
    make=_make_file,
    shapes=FILE_SHAPES,
    exact=True,
    hints=(
        "28 bytes are seven little-endian int32. struct.unpack_from or np.frombuffer reads them.",
        "A format without a magic or a flag has to hide the flag somewhere: the sign of vocab_size says whether the "
        "head is a matrix of its own (negative) or the embedding.",
        'numbers = struct.unpack_from("<7i", data)\n'
        'header = dict(zip(("dim", "hidden_dim", ...), numbers))\n'
        'header["tied"] = header["vocab_size"] > 0; header["vocab_size"] = abs(header["vocab_size"])',
    ),
    mistakes=(
        Mistake(
            "Your vocab_size is negative for a model with its own output head.",
            "The sign is the flag: take it off with abs() once `tied` is known.",
            lambda data: {
                **_header(data),
                "vocab_size": _header(data)["vocab_size"] * (1 if _header(data)["tied"] else -1),
            },
        ),
        Mistake(
            "Your `tied` is the wrong way round.",
            "A negative vocab_size means that the head is in the file; positive: it is the token embedding, tied.",
            lambda data: {**_header(data), "tied": not _header(data)["tied"]},
        ),
        Mistake(
            "Your function takes every model for tied.",
            "The sign of vocab_size tells: negative is not tied.",
            lambda data: {**_header(data), "tied": True},
        ),
        Mistake(
            "Your function reads the numbers as big-endian.",
            'The lowest byte comes first: "<" in struct, "<i4" in NumPy.',
            _header_read(">7i"),
        ),
        Mistake(
            "Your function reads the fields in the order dim, n_layers, n_heads, n_kv_heads, vocab_size, hidden_dim.",
            "That is the order of other tools. llama2.c writes hidden_dim right behind dim.",
            _header_in_config_order,
        ),
        Mistake(
            "Your function skips 8 bytes, for a magic and a version.",
            "Versions 1 and 2 have them; version 0 starts with dim at byte 0.",
            _header_read("<7i", 8),
        ),
        Mistake(
            "Your numbers are unsigned: a negative vocab_size becomes about 4 thousand million.",
            'The fields are signed int32: "i" in struct, not "I".',
            _header_read("<7I"),
        ),
    ),
)


def _read(data, order=_ORDER, start=28, dtype="<f4", tied=None, transposed=False, by_layer=False):
    """All tensors; every option away from its default is a mistake."""
    header = _header(data)
    tied = header["tied"] if tied is None else tied(header["tied"])
    shapes = _shapes_of(header)
    numbers = np.frombuffer(data, dtype, offset=start, count=(len(data) - start) // 4).astype(np.float32)
    found, at = {}, 0
    for name in order:
        if name == "output" and tied:
            continue
        shape = shapes[name]
        found[name] = numbers[at : at + math.prod(shape)].reshape(shape)
        at += math.prod(shape)
        if transposed and len(shape) == 3:
            found[name] = found[name].reshape(shape[0], shape[2], shape[1]).swapaxes(1, 2)
    if by_layer:
        found |= _layers_one_by_one(numbers, shapes)
    found.setdefault("output", found["token_embedding"])
    return tuple(found[name] for name in _TENSORS)


def _layers_one_by_one(numbers, shapes):
    names = _TENSORS[1:-2]
    found = {name: np.empty(shapes[name], np.float32) for name in names}
    at = math.prod(shapes["token_embedding"])
    for i in range(shapes["wq"][0]):
        for name in names:
            size = math.prod(shapes[name][1:])
            found[name][i] = numbers[at : at + size].reshape(shapes[name][1:])
            at += size
    return found


def _reordered(**places):
    """`_read` with the tensors in another order."""
    order = tuple(places.get(name, name) for name in _ORDER)
    return lambda data: _read(data, order=order)


_NORMS = ("attention_norm", "ffn_norm", "final_norm")
_VERSION_1 = (*_NORMS, *(name for name in _ORDER if name not in _NORMS))

LOADER = Exercise(
    id="load_llama2c_v0",
    chapter="09",
    title="A loader",
    task="Cut the bytes of a llama2.c file (version 0) into the tensors of the model, stacked over the layers.",
    difficulty=2,
    minutes=25,
    reference=_read,
    make=_make_file,
    shapes=FILE_SHAPES,
    outputs=_TENSORS,
    rtol=1e-6,  # not `exact`: wrong bytes may be NaN, which equals nothing
    atol=0.0,
    hints=(
        "After the 28 bytes of the header everything is float32, one tensor behind the other. Every size follows "
        "from the header: keep a position and move it on.",
        "All layers of a tensor stand together: wq is (n_layers, dim, dim). wk and wv have n_kv_heads * head_dim rows. "
        "Between final_norm and output lie two tables of max_seq_len * head_dim / 2 numbers that are not needed.",
        'numbers, at = np.frombuffer(data, "<f4", offset=28), 0\n'
        "def take(*shape):\n"
        "    nonlocal at\n"
        "    at += math.prod(shape)\n"
        "    return numbers[at - math.prod(shape) : at].reshape(shape)",
    ),
    mistakes=(
        Mistake(
            "Your function reads the header as if it were weights.",
            "The numbers start at byte 28, behind seven int32.",
            lambda data: _read(data, start=0),
        ),
        Mistake(
            "Your function reads all tensors of a layer, then those of the next layer.",
            "In this format all layers of one tensor stand together: wq of layer 0, wq of layer 1 ...",
            lambda data: _read(data, by_layer=True),
        ),
        Mistake(
            "Your function expects w_up before w_down.",
            "The file holds w1, w2, w3: gate, down, up.",
            _reordered(w_down="w_up", w_up="w_down"),
        ),
        Mistake(
            "Your function takes w1 for up and w3 for gate.",
            "w1 is the gate, the one that goes through SiLU; w3 is up.",
            _reordered(w_gate="w_up", w_up="w_gate"),
        ),
        Mistake(
            "Your function does not skip the RoPE tables in front of the output head.",
            "max_seq_len * head_dim numbers, cosines and sines, stand between final_norm and output.",
            lambda data: _read(data, order=(*_TENSORS, "rope")),
        ),
        Mistake(
            "Your function uses the token embedding as output although the file has an output head.",
            "A negative vocab_size in the header says that the head follows behind the RoPE tables.",
            lambda data: _read(data, tied=lambda tied: True),
        ),
        Mistake(
            "Your matrices are read as (in, out), column by column.",
            "They are stored row by row as (out_features, in_features): reshape to that, without a transpose.",
            lambda data: _read(data, transposed=True),
        ),
        Mistake(
            "Your function expects all norms in front.",
            "That is version 1. In version 0 attention_norm follows the embedding, ffn_norm follows wo, and final_norm "
            "follows w3.",
            lambda data: _read(data, order=_VERSION_1),
        ),
        Mistake(
            "Your function reads the numbers as big-endian.",
            'The lowest byte comes first: dtype "<f4".',
            lambda data: _read(data, dtype=">f4"),
        ),
    ),
)

# --- layer_errors -----------------------------------------------------------------------

_TOLERANCE = 1e-3


def _make_states(rng: np.random.Generator, n: int, T: int, D: int, first: int, nan: int) -> tuple[Any, ...]:
    """Two lists of n states that agree up to rounding, and differ from state `first` on; never, if it is n."""
    if first > n or nan > 1:
        raise ValueError("first is at most n, nan is 0 or 1")
    ours, theirs = [], []
    for i in range(n):
        size = 10.0 ** (3 * (i - 1))  # the stream grows; the first states are small
        right = size * rng.normal(size=(T, D))
        off = np.abs(rng.normal(size=(T, D))) * size * (0.03 * (i + 1) if i >= first and i < n - 1 else 1e-5)
        theirs.append(right.astype(np.float32))
        ours.append((right - off).astype(np.float32))
    if nan and first < n:
        ours[first][-1, -1] = np.nan
    return ours, theirs, _TOLERANCE


def _largest(a):
    return np.max(np.abs(a))


def _errors_by(error, bad=lambda errors, tolerance: ~(errors <= tolerance), pick=lambda hits: hits[0]):
    """A function of the exercise's signature from an error measure, a test and a choice."""

    def run(ours, theirs, tolerance):
        errors = np.array([error(a, b) for a, b in zip(ours, theirs)])
        hits = np.flatnonzero(bad(errors, tolerance))
        return errors, int(pick(hits)) if len(hits) else -1

    return run


def _relative(a, b):
    return _largest(a - b) / _largest(b)


_layer_errors = _errors_by(_relative)


def _errors_worst(ours, theirs, tolerance):
    errors, first = _layer_errors(ours, theirs, tolerance)
    return errors, -1 if first < 0 else int(np.argmax(errors))


LAYER_ERRORS = Exercise(
    id="layer_errors",
    chapter="09",
    title="Where two models part",
    task="Compare two lists of hidden states, layer by layer: the error of each, and the first that is not within "
    "tolerance.",
    difficulty=2,
    minutes=15,
    reference=_layer_errors,
    make=_make_states,
    shapes=(
        {"n": 2, "T": 1, "D": 3, "first": 1, "nan": 0},
        {"n": 1, "T": 1, "D": 2, "first": 1, "nan": 0},
        {"n": 4, "T": 2, "D": 5, "first": 1, "nan": 0},
        {"n": 4, "T": 3, "D": 4, "first": 0, "nan": 0},
        {"n": 5, "T": 2, "D": 3, "first": 5, "nan": 0},
        {"n": 5, "T": 3, "D": 8, "first": 2, "nan": 1},
    ),
    axes=("layer",),
    outputs=("error", "first"),
    rtol=1e-4,
    atol=1e-9,
    hints=(
        "The stream is hundreds of times larger at the end than at the start: an error means something only compared "
        "with the size of the state.",
        "error = max |ours - theirs| / max |theirs|, over the whole state. A NaN compares as False with everything: "
        "ask whether the error is within tolerance, not whether it is outside.",
        "errors = np.array([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs)])\n"
        "bad = np.flatnonzero(~(errors <= tolerance))\n"
        "return errors, int(bad[0]) if len(bad) else -1",
    ),
    mistakes=(
        Mistake(
            "Your errors are absolute.",
            "Divide by the largest number of their state: what is small beside 1000 is large beside 0.001.",
            _errors_by(lambda a, b: _largest(a - b)),
        ),
        Mistake(
            "Your function overlooks NaN.",
            "NaN > tolerance is False. A layer is bad unless its error is within tolerance: ~(errors <= tolerance).",
            _errors_by(_relative, bad=lambda errors, tolerance: errors > tolerance),
        ),
        Mistake(
            "Your function names the layer with the largest error.",
            "Errors grow from layer to layer; the cause is in the first that is outside of the tolerance.",
            _errors_worst,
        ),
        Mistake(
            "Your function names the last layer that differs.",
            "The cause is in the first one.",
            _errors_by(_relative, pick=lambda hits: hits[-1]),
        ),
        Mistake(
            "Your differences are signed: the largest of ours - theirs, without the absolute value.",
            "A number that is too small is wrong as well: np.abs first.",
            _errors_by(lambda a, b: np.max(a - b) / _largest(b)),
        ),
        Mistake(
            "Your function divides each difference by its own number.",
            "A number near 0 then has a huge relative error although nothing is wrong. Divide the largest difference "
            "by the largest number.",
            _errors_by(lambda a, b: np.max(np.abs(a - b) / np.abs(b))),
        ),
        Mistake(
            "Your errors are averages.",
            "One wrong position among hundreds vanishes in an average. Take the largest difference.",
            _errors_by(lambda a, b: np.mean(np.abs(a - b)) / _largest(b)),
        ),
        Mistake(
            "Your function counts layers from 1.",
            "The index in the lists is wanted, from 0 on; -1 if there is none.",
            lambda a, b, t: (_layer_errors(a, b, t)[0], _layer_errors(a, b, t)[1] + 1 or -1),
        ),
    ),
)

# --- logit_lens -------------------------------------------------------------------------


def _make_lens(rng: np.random.Generator, n: int, T: int, D: int, V: int) -> tuple[Any, ...]:
    states = (rng.normal(size=(n, T, D)) * 4.0 ** np.arange(n)[:, None, None]).astype(np.float32)
    norm = rng.uniform(0.3, 3, D).astype(np.float32)
    output = rng.normal(size=(V, D)).astype(np.float32)
    return states, norm, output, rng.integers(0, V, T), EPS


def _lens_logits(states, norm, output, eps):
    return _norm(states, norm, eps) @ output.T


def _pick(scores, targets):
    return scores[:, np.arange(len(targets)), targets]


def _lens(states, final_norm, output, targets, eps):
    return _pick(log_softmax(_lens_logits(states, final_norm, output, eps)), targets)


def _lens_last_only(states, final_norm, output, targets, eps):
    normed = states.copy()
    normed[-1] = _norm(states[-1], final_norm, eps)
    return _pick(log_softmax(normed @ output.T), targets)


def _torch_lens(states, final_norm, output, targets, eps):
    import torch
    import torch.nn.functional as F

    states, g, output = (torch.tensor(a, dtype=torch.float64) for a in (states, final_norm, output))
    logits = F.linear(F.rms_norm(states, g.shape, g, eps), output)
    index = torch.tensor(targets).expand(len(states), -1)[..., None]
    return logits.log_softmax(-1).gather(-1, index)[..., 0].numpy()


LENS = Exercise(
    id="logit_lens",
    chapter="09",
    title="The logit lens",
    task="For every depth and position, the log-probability of the next token if the model ended there.",
    difficulty=2,
    minutes=15,
    reference=_lens,
    make=_make_lens,
    shapes=(
        {"n": 2, "T": 2, "D": 3, "V": 4},
        {"n": 1, "T": 1, "D": 2, "V": 3},
        {"n": 3, "T": 4, "D": 6, "V": 7},
        {"n": 5, "T": 3, "D": 8, "V": 33},
        {"n": 4, "T": 6, "D": 16, "V": 50},
    ),
    axes=("state", "position"),
    oracle=_torch_lens,
    rtol=2e-4,
    hints=(
        "The head expects a normalised stream, and it does not mind from which depth it comes: norm and head for all "
        "states at once.",
        "Log-softmax over the vocabulary, then one number for each position: the one of targets[t].",
        "logits = rmsnorm(states, final_norm, eps) @ output.T          # (n, T, V)\n"
        "logprobs = logits - logsumexp(logits, axis=-1, keepdims=True)\n"
        "return logprobs[:, np.arange(T), targets]",
    ),
    mistakes=(
        Mistake(
            "Your function leaves out the final norm.",
            "States of different depths have very different sizes; without the norm the last ones seem to be certain "
            "of everything.",
            lambda s, g, o, t, eps: _pick(log_softmax(s @ o.T), t),
        ),
        Mistake(
            "Your function normalises the last state only.",
            "The lens asks what the head would say at every depth, and the head expects the norm at every depth.",
            _lens_last_only,
        ),
        Mistake(
            "Your final norm does not multiply by its weight.",
            "final_norm stretches the dims very differently: the head was trained with it.",
            lambda s, g, o, t, eps: _lens(s, np.ones_like(g), o, t, eps),
        ),
        Mistake(
            "Your function returns logits.",
            "A logit alone says nothing: subtract the log of the sum of exponentials over the vocabulary.",
            lambda s, g, o, t, eps: _pick(_lens_logits(s, g, o, eps), t),
        ),
        Mistake(
            "Your function returns probabilities.",
            "Log-probabilities are wanted.",
            lambda s, g, o, t, eps: np.exp(_lens(s, g, o, t, eps)),
        ),
        Mistake(
            "Your softmax runs over the positions.",
            "It belongs to the last axis, the vocabulary.",
            lambda s, g, o, t, eps: _pick(log_softmax(_lens_logits(s, g, o, eps).swapaxes(1, 2)).swapaxes(1, 2), t),
        ),
        Mistake(
            "Your function shifts the targets by one position.",
            "targets[t] is already the token that follows position t.",
            lambda s, g, o, t, eps: _lens(s, g, o, np.roll(t, -1), eps),
        ),
        Mistake(
            "Your function returns the probability of the most probable token, not that of the target.",
            "Pick targets[t] at position t.",
            lambda s, g, o, t, eps: log_softmax(_lens_logits(s, g, o, eps)).max(axis=-1),
        ),
    ),
)

EXERCISES = (RESIDUAL_STREAM, BLOCK, HEAD, LENS, HEADER, LOADER, LAYER_ERRORS)
