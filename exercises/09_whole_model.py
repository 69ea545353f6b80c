"""Chapter 09: the whole model on real weights.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check transformer_block`. `minillama learn lab 09`
opens the chapter. Any helper functions of your own may stand beside these.

The layers of the earlier chapters are at hand. Each returns its result and what its backward
pass needs, which is thrown away here:

    from minillama.ops import REFERENCE as ops

    y, _ = ops.rmsnorm_forward(x, weight, eps)
    y, _ = ops.linear_forward(x, weight)                        # x @ weight.T
    y, _ = ops.rope_forward(x, cos, sin, positions)             # x (B, H, T, head_dim), positions (B, T)
    y, _ = ops.attention_forward(q, k, v, positions)            # q (B, H, T, head_dim), k and v (B, K, T, head_dim)
    y, _ = ops.swiglu_forward(gate, up)

Your own functions of the earlier chapters do as well.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def residual_stream(x, norms, matrices, eps):
    """Run n sublayers, each of them one matrix, and keep the stream at every step.

    state 0   = x
    state i+1 = state i + matrices[i] rmsnorm(state i, norms[i])

    Parameters
    ----------
    x : float32 ndarray of shape (T, D)
    norms : float32 ndarray of shape (n, D)
    matrices : float32 ndarray of shape (n, D, D)
        (out, in) each: a row of the stream meets it as row @ matrix.T.
    eps : float

    Returns
    -------
    states : ndarray of shape (n + 1, T, D)
    """
    raise NotImplementedError


def transformer_block(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    """One block of a Llama, for whole sequences that start at position 0.

    h = x + wo attention(rope(wq n), rope(wk n), wv n)      n = rmsnorm(x, attention_norm)
    y = h + w_down (silu(w_gate m) * (w_up m))              m = rmsnorm(h, ffn_norm)

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, D)
    layer : minillama.params.LayerParams
        layer.attention_norm (D,), layer.wq (n_heads * head_dim, D), layer.wk and layer.wv
        (n_kv_heads * head_dim, D), layer.wo (D, n_heads * head_dim), layer.ffn_norm (D,),
        layer.w_gate and layer.w_up (hidden_dim, D), layer.w_down (D, hidden_dim).
        The heads together may be wider or narrower than D.
        Rows of wq and wk are in Meta's order: RoPE turns neighbouring pairs.
    cos, sin : float32 ndarray of shape (S, head_dim / 2)
        RoPE's table, S >= T.
    n_heads, n_kv_heads : int
    eps : float

    Returns
    -------
    y : ndarray of shape (B, T, D)
    """
    raise NotImplementedError


def head_logits(x, final_norm, token_embedding, output, eps):
    """The end of the model: from the residual stream to logits.

    logits = head rmsnorm(x, final_norm)

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, D)
        The stream after the last block.
    final_norm : float32 ndarray of shape (D,)
    token_embedding : float32 ndarray of shape (V, D)
    output : float32 ndarray of shape (V, D), or None
        The head; None in a tied model, whose head is the token embedding.
    eps : float

    Returns
    -------
    logits : ndarray of shape (B, T, V)
    """
    raise NotImplementedError


def logit_lens(states, final_norm, output, targets, eps):
    """What the model would say if it ended at each depth.

    result[i, t] = log softmax(output rmsnorm(states[i, t], final_norm))[targets[t]]

    Logits may be as large as 2000 in size, where exp overflows.

    Parameters
    ----------
    states : float32 ndarray of shape (n, T, D)
        The residual stream at n depths.
    final_norm : float32 ndarray of shape (D,)
    output : float32 ndarray of shape (V, D)
    targets : integer ndarray of shape (T,)
        The token that follows position t.
    eps : float

    Returns
    -------
    logprobs : ndarray of shape (n, T)
    """
    raise NotImplementedError


def llama2c_header(data):
    """Read the header of a llama2.c file of version 0.

    The first 28 bytes are seven little-endian int32: dim, hidden_dim, n_layers, n_heads,
    n_kv_heads, vocab_size, max_seq_len. A negative vocab_size says that the model has an
    output head of its own (it is not tied); its size is the absolute value.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    header : dict
        The seven fields by name, with a positive vocab_size, and "tied": bool.
    """
    raise NotImplementedError


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
    raise NotImplementedError


def layer_errors(ours, theirs, tolerance):
    """Compare two lists of hidden states and find where they part.

    error[i] = max |ours[i] - theirs[i]| / max |theirs[i]|

    Parameters
    ----------
    ours, theirs : list of float32 ndarray of shape (T, D)
        The residual stream after the embedding, after block 0, after block 1 ...
        A state of ours may hold NaN: that is not within any tolerance.
    tolerance : float
        The largest error that is within it.

    Returns
    -------
    error : ndarray of shape (n,)
    first : int
        Index of the first state whose error is not within `tolerance`; -1 if there is none. An
        error of exactly `tolerance` is within it.
    """
    raise NotImplementedError
