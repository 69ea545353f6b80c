"""Chapter 08: SwiGLU, the feed-forward layer of LLaMA.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check swiglu_forward`. `minillama learn lab 08`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def silu_stable(g):
    """SiLU, also called swish, for any finite number.

    silu(g) = g * sigmoid(g) = g / (1 + exp(-g))

    Nothing should overflow on the way, not even in numbers that are thrown away afterwards:
    the check remarks on it.

    Parameters
    ----------
    g : float32 ndarray of any shape

    Returns
    -------
    y : ndarray of the same shape and dtype
    """
    raise NotImplementedError


def swiglu_forward(gate, up):
    """Let `up` through a gate, element by element.

    y = silu(gate) * up

    Parameters
    ----------
    gate, up : float32 ndarray of shape (..., hidden_dim)
        Gates of any finite size: nothing may become NaN.

    Returns
    -------
    y : ndarray of the same shape and dtype
    """
    raise NotImplementedError


def feed_forward(x, w_gate, w_up, w_down):
    """LLaMA's feed-forward layer, without the residual around it.

    y = w_down (silu(w_gate x) * (w_up x))          for every position x

    In Meta's files w_gate is called w1, w_down w2, and w_up w3.

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, D)
    w_gate, w_up : float32 ndarray of shape (hidden_dim, D)
    w_down : float32 ndarray of shape (D, hidden_dim)

    Returns
    -------
    y : ndarray of shape (B, T, D)
    """
    raise NotImplementedError


def feed_forward_fused(x, w_gate_up, w_down):
    """`feed_forward` with one product instead of two for gate and up.

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, D)
    w_gate_up : float32 ndarray of shape (2 * hidden_dim, D)
        The rows of w_gate, then those of w_up.
    w_down : float32 ndarray of shape (D, hidden_dim)

    Returns
    -------
    y : ndarray of shape (B, T, D)
    """
    raise NotImplementedError


def ffn_hidden_dim(dim, multiple_of, multiplier):
    """The width of the feed-forward layer by the rule of LLaMA.

    7B: 4096, 256, None gives 11008. 70B: 8192, 4096, 1.3 gives 28672. 100, 1, 1.3 gives 345.

    Parameters
    ----------
    dim, multiple_of : int
    multiplier : float or None

    Returns
    -------
    hidden_dim : int
    """
    raise NotImplementedError


def swiglu_backward(dy, gate, up):
    """Gradients of the loss with respect to the inputs of y = silu(gate) * up.

    A gate of 2 with up 1 and dy 1 has dgate 1.091 and dup 1.762; a gate of 0 with up 3 and dy 1 has
    dgate 1.5 and dup 0.

    Parameters
    ----------
    dy : float32 ndarray of shape (..., hidden_dim)
        Gradient of the loss with respect to y.
    gate, up : float32 ndarray of shape (..., hidden_dim)
        Of up to 10000 in size: nothing may become NaN.

    Returns
    -------
    dgate, dup : ndarray of the same shape
    """
    raise NotImplementedError
