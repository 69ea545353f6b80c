"""Chapter 14: backpropagation and training.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check attention_backward`. `minillama learn lab 14`
opens the chapter. Any helper functions of your own may stand beside these.

A name that begins with d is a gradient: dx is how the loss changes with x, and has the shape of x.

What a function is given stays as it is, unless its text says that it is written to.
"""

import math

import numpy as np


def numerical_gradient(f, x, step):
    """The gradient of f at x by central differences: what every backward function is measured with.

    gradient[i] = (f(x with x[i] + step) - f(x with x[i] - step)) / (2 step)

    Parameters
    ----------
    f : callable
        Takes an array like x and returns a float. It computes in the dtype that it is given.
    x : float32 ndarray of any shape
    step : float

    Returns
    -------
    gradient : ndarray of the shape of `x`
    """
    raise NotImplementedError


def linear_backward(dy, x, weight):
    """The gradients of y = x @ weight.T.

    Parameters
    ----------
    dy : ndarray of shape (B, T, D_out)
    x : ndarray of shape (B, T, D_in)
    weight : ndarray of shape (D_out, D_in)

    Returns
    -------
    dx : ndarray of shape (B, T, D_in)
    dweight : ndarray of shape (D_out, D_in)
    """
    raise NotImplementedError


def embedding_backward(dx, tokens, vocab_size):
    """The gradient of the table in x = table[tokens].

    dtable[v] = sum of dx[b, t] over all places (b, t) where tokens[b, t] = v

    Parameters
    ----------
    dx : ndarray of shape (B, T, D)
    tokens : integer ndarray of shape (B, T)
        Many of them repeat.
    vocab_size : int

    Returns
    -------
    dtable : ndarray of shape (vocab_size, D)
    """
    raise NotImplementedError


def softmax_backward(dp, p):
    """The gradient of the scores z, where p = softmax(z) over the last axis.

    Parameters
    ----------
    dp, p : ndarray of shape (N, S)
        Every row of p sums to 1.

    Returns
    -------
    dz : ndarray of shape (N, S)
    """
    raise NotImplementedError


def attention_backward(dy, q, k, v, positions):
    """The gradients of causal attention whose query heads share keys and values.

    z[j, t, s] = q[j, t] . k[g, s] / sqrt(head_dim)       s = 0 ... positions[t],  g = j // (H / K)
    y[j, t]    = sum over s of softmax(z[j, t])[s] v[g, s]

    Scores z may be as large as 2000 in size, where exp overflows.

    Parameters
    ----------
    dy, q : ndarray of shape (B, H, T, head_dim)
    k, v : ndarray of shape (B, K, S, head_dim)
        H is a multiple of K.
    positions : integer ndarray of shape (B, T)
        A query sees keys 0 ... positions[b, t]. They are below S and rise, and there may be gaps.

    Returns
    -------
    dq : ndarray of shape (B, H, T, head_dim)
    dk, dv : ndarray of shape (B, K, S, head_dim)
        Zero for keys that no query sees.
    """
    raise NotImplementedError


def residual_ffn_backward(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    """All gradients of the feed-forward block with its residual path.

    m = x / sqrt(mean(x**2) + eps) * norm_weight                          over the last axis
    y = x + (silu(m @ w_gate.T) * (m @ w_up.T)) @ w_down.T

    The backward functions of chapters 04 and 08 are at hand, yours or the package's:

        from minillama.ops import REFERENCE as ops

        m, saved = ops.rmsnorm_forward(x, norm_weight, eps);   dx, dweight = ops.rmsnorm_backward(dm, saved)
        h, saved = ops.swiglu_forward(gate, up);               dgate, dup = ops.swiglu_backward(dh, saved)

    Parameters
    ----------
    dy, x : ndarray of shape (B, T, D)
    norm_weight : ndarray of shape (D,)
    w_gate, w_up : ndarray of shape (hidden, D)
    w_down : ndarray of shape (D, hidden)
    eps : float

    Returns
    -------
    dx, dnorm_weight, dw_gate, dw_up, dw_down : ndarrays of the shapes of what they belong to
    """
    raise NotImplementedError


def accumulate_micro_batches(losses, gradients, counts):
    """Loss and gradient of a whole batch from those of the parts that fit into memory.

    The loss of the batch is the mean over all targets that count; part m holds counts[m] of them.

    Parameters
    ----------
    losses : ndarray of shape (M,)
        The mean over the targets of each part.
    gradients : ndarray of shape (M, rows, columns)
        Of these means.
    counts : integer ndarray of shape (M,)
        They differ, because padding and prompts do not count; one may be 0, with loss and gradient 0.

    Returns
    -------
    loss : float
    gradient : ndarray of shape (rows, columns)
    """
    raise NotImplementedError


def gradient_global_norm(gradients):
    """The length of the gradient, all numbers of all tensors taken as one vector.

    Parameters
    ----------
    gradients : list of ndarrays of different shapes

    Returns
    -------
    float
    """
    raise NotImplementedError


def clip_by_global_norm(gradients, max_norm):
    """Shorten the gradient so that its global norm is at most max_norm; its direction stays.

    The gradients [3.0] and [4.0] become [0.6] and [0.8] with max_norm 1, and stay as they are with
    max_norm 6. As in PyTorch, 1e-6 is added to the norm.

    Parameters
    ----------
    gradients : list of ndarrays of different shapes
    max_norm : float

    Returns
    -------
    list or tuple of ndarrays
    """
    raise NotImplementedError


def decayed_parameters(shapes):
    """The names of the parameters that weight decay acts on: those of two dimensions or more.

    The paper does not say which are exempt; this is what llama2.c and nanoGPT do.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        "layers.0.wq": (64, 64) and so on, in the model's order; of any model, with any names.

    Returns
    -------
    list of str, in the same order
    """
    raise NotImplementedError


def adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    """Update number t of one tensor by AdamW.

    m     <- beta1 m + (1 - beta1) g,                v     <- beta2 v + (1 - beta2) g**2
    m_hat  = m / (1 - beta1**t),                     v_hat  = v / (1 - beta2**t)
    p     <- p - lr (m_hat / (sqrt(v_hat) + eps) + weight_decay p)

    Parameters
    ----------
    p, g, m, v : ndarray of shape (n,)
        Parameters, their gradient, and the moments that the last step left.
    t : int
        Counts from 1; m and v were 0 before the first step.
    lr, beta1, beta2, eps, weight_decay : float

    Returns
    -------
    p, m, v : ndarray of shape (n,)
    """
    raise NotImplementedError


def warmup_cosine(step, peak, warmup_steps, total_steps, final_fraction):
    """The learning rate of an update: linear warm-up, then half a cosine.

    lr = peak * step / warmup_steps                                      step < warmup_steps
    lr = end + (peak - end) / 2 * (1 + cos(pi * passed))                 up to total_steps
    lr = end                                                             after it

    with end = final_fraction * peak, and `passed` going from 0 at warmup_steps to 1 at total_steps. A
    run may be all warm-up, with warmup_steps = total_steps: its last step has the peak.

    Parameters
    ----------
    step : int
        Counts from 1.
    peak : float
    warmup_steps : int
        From 0 to total_steps.
    total_steps : int
    final_fraction : float
        0.1 in LLaMA 2; from 0 to 1.

    Returns
    -------
    float
    """
    raise NotImplementedError


def overfit(params, config, tokens, targets, n_steps, learning_rate):
    """Train on one batch by plain gradient descent until the model knows it by heart.

    The first test of any training code: a model that cannot learn one batch learns nothing. At hand are

        from minillama.ops import REFERENCE                      plain NumPy: nothing to wait for
        from minillama.params import named_arrays                pairs (name, array) of every parameter
        from minillama.training.gradients import loss_and_gradients

        loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=REFERENCE)

    `gradients` is a tree like params. The update is p <- p - learning_rate * g, for every array, in place.

    Parameters
    ----------
    params : Params
        Changed in place.
    config : ModelConfig
    tokens, targets : integer ndarray of shape (B, T)
        targets[b, t] is the token that follows tokens[b, t].
    n_steps : int
    learning_rate : float

    Returns
    -------
    losses : list of n_steps + 1 floats
        Before the first update, before the second ... and after the last.
    """
    raise NotImplementedError
