"""A loader."""

from __future__ import annotations

import math

import numpy as np

from ...exercises.exercise import exercise
from .inputs import FILE_SHAPES, make_file, shapes_of
from .llama2c_header import llama2c_header

TENSORS = (
    *("token_embedding", "attention_norm", "wq", "wk", "wv", "wo", "ffn_norm"),
    *("w_gate", "w_down", "w_up", "final_norm", "output"),
)


@exercise(
    title="A loader",
    task="Cut the bytes of a llama2.c file (version 0) into the tensors of the model, stacked over the layers.",
    difficulty=2,
    minutes=25,
    make=make_file,
    shapes=FILE_SHAPES,
    outputs=TENSORS,
    rtol=1e-6,
    atol=0.0,
    hints=(
        "After the 28 bytes of the header everything is float32, one tensor after another. Every size follows "
        "from the header: keep a position and move it on.",
        "All layers of a tensor stand together: wq is (n_layers, dim, dim). wk and wv have n_kv_heads * head_dim rows. "
        "Between final_norm and output lie two tables of max_seq_len * head_dim / 2 numbers that are not needed.",
        'numbers, at = np.frombuffer(data, "<f4", offset=28), 0\n'
        "def take(*shape):\n"
        "    nonlocal at\n"
        "    at += math.prod(shape)\n"
        "    return numbers[at - math.prod(shape) : at].reshape(shape)",
    ),
    why=(
        "A file without names is nothing but an order, and a cursor that takes the next numbers and moves on turns "
        "the docstring's list into code line by line. Two things are easily missed: w2 stands before w3, and the "
        "tables of RoPE have to be passed over, or the head is read from the wrong place. `np.frombuffer` gives "
        "views, so a file of any size is not copied."
    ),
)
def load_llama2c_v0(data):
    """Read all tensors of a llama2.c file of version 0.

    After the 28 bytes of the header come little-endian float32 numbers, in this order; L is
    n_layers, D dim, F hidden_dim, V vocab_size, h = D / n_heads, and K = n_kv_heads:

        token_embedding (V, D)      attention_norm (L, D)
        wq (L, D, D)                wk, wv (L, K * h, D) each           wo (L, D, D)
        ffn_norm (L, D)
        w_gate (L, F, D)            w_down (L, D, F)                    w_up (L, F, D)
        final_norm (D,)
        RoPE's cosines and sines, (max_seq_len, h / 2) each: not needed
        output (V, D), only if the model is not tied

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    token_embedding, attention_norm, wq, wk, wv, wo, ffn_norm, w_gate, w_down, w_up, final_norm,
    output : float32 ndarray
        `output` is the token embedding where the model is tied.
    """
    header = llama2c_header(data)
    L, D, F, V = (header[name] for name in ("n_layers", "dim", "hidden_dim", "vocab_size"))
    h = D // header["n_heads"]
    kv = header["n_kv_heads"] * h
    numbers, at = np.frombuffer(data, "<f4", offset=28), 0

    def take(*shape):
        nonlocal at
        at += math.prod(shape)
        return numbers[at - math.prod(shape) : at].reshape(shape)

    token_embedding, attention_norm = take(V, D), take(L, D)
    wq, wk, wv, wo = take(L, D, D), take(L, kv, D), take(L, kv, D), take(L, D, D)
    ffn_norm = take(L, D)
    w_gate, w_down, w_up = take(L, F, D), take(L, D, F), take(L, F, D)
    final_norm = take(D)
    take(2, header["max_seq_len"], h // 2)  # RoPE's tables
    output = token_embedding if header["tied"] else take(V, D)
    return token_embedding, attention_norm, wq, wk, wv, wo, ffn_norm, w_gate, w_down, w_up, final_norm, output


ORDER = (*TENSORS[:-1], "rope", "output")


def read(data, order=ORDER, start=28, dtype="<f4", tied=None, transposed=False, by_layer=False):
    """All tensors; every option away from its default is a mistake."""
    header = llama2c_header(data)
    tied = header["tied"] if tied is None else tied(header["tied"])
    shapes = shapes_of(header)
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
        found |= layers_one_by_one(numbers, shapes)
    found.setdefault("output", found["token_embedding"])
    return tuple(found[name] for name in TENSORS)


def layers_one_by_one(numbers, shapes):
    names = TENSORS[1:-2]
    found = {name: np.empty(shapes[name], np.float32) for name in names}
    at = math.prod(shapes["token_embedding"])
    for i in range(shapes["wq"][0]):
        for name in names:
            size = math.prod(shapes[name][1:])
            found[name][i] = numbers[at : at + size].reshape(shapes[name][1:])
            at += size
    return found


def reordered(**places):
    """`_read` with the tensors in another order."""
    order = tuple(places.get(name, name) for name in ORDER)
    return lambda data: read(data, order=order)


NORMS = ("attention_norm", "ffn_norm", "final_norm")


VERSION_1 = (*NORMS, *(name for name in ORDER if name not in NORMS))


@load_llama2c_v0.mistake(
    "Your function reads the header as if it were weights.",
    "The numbers start at byte 28, after seven int32.",
)
def reads_the_header_as_weights(data):
    return read(data, start=0)


@load_llama2c_v0.mistake(
    "Your function reads all tensors of a layer, then those of the next layer.",
    "In this format all layers of one tensor stand together: wq of layer 0, wq of layer 1 ...",
)
def reads_layer_after_layer(data):
    return read(data, by_layer=True)


load_llama2c_v0.mistake(
    "Your function expects w_up before w_down.",
    "The file holds w1, w2, w3: gate, down, up.",
    reordered(w_down="w_up", w_up="w_down"),
)

load_llama2c_v0.mistake(
    "Your function takes w1 for up and w3 for gate.",
    "w1 is the gate, the one that goes through SiLU; w3 is up.",
    reordered(w_gate="w_up", w_up="w_gate"),
)


@load_llama2c_v0.mistake(
    "Your function does not skip the RoPE tables in front of the output head.",
    "max_seq_len * head_dim numbers, cosines and sines, stand between final_norm and output.",
)
def does_not_skip_the_rope_tables(data):
    return read(data, order=(*TENSORS, "rope"))


@load_llama2c_v0.mistake(
    "Your function uses the token embedding as output although the file has an output head.",
    "A negative vocab_size in the header says that the head comes after the RoPE tables.",
)
def output_is_always_the_embedding(data):
    return read(data, tied=lambda tied: True)


@load_llama2c_v0.mistake(
    "Your matrices are read as (in, out), column by column.",
    "They are stored row by row as (out_features, in_features): reshape to that, without a transpose.",
)
def matrices_are_transposed(data):
    return read(data, transposed=True)


@load_llama2c_v0.mistake(
    "Your function expects all norms in front.",
    "That is version 1. In version 0 attention_norm follows the embedding, ffn_norm follows wo, and "
    "final_norm follows w3.",
)
def expects_all_norms_in_front(data):
    return read(data, order=VERSION_1)


@load_llama2c_v0.mistake(
    "Your function reads the numbers as big-endian.",
    'The lowest byte comes first: dtype "<f4".',
)
def reads_numbers_as_big_endian(data):
    return read(data, dtype=">f4")
