"""Chapter 14: backpropagation and training. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import math

import numpy as np

from minillama.ops import REFERENCE as ops
from minillama.params import named_arrays
from minillama.training.gradients import loss_and_gradients


def numerical_gradient(f, x, step):
    x = x.astype(np.float64)
    gradient = np.zeros(x.shape)
    for i in np.ndindex(*x.shape):
        kept = x[i]
        x[i] = kept + step
        above = f(x)
        x[i] = kept - step
        below = f(x)
        x[i] = kept
        gradient[i] = (above - below) / (2 * step)
    return gradient


def linear_backward(dy, x, weight):
    rows_of_dy, rows_of_x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    return dy @ weight, rows_of_dy.T @ rows_of_x


def embedding_backward(dx, tokens, vocab_size):
    dtable = np.zeros((vocab_size, dx.shape[-1]), dx.dtype)
    np.add.at(dtable, tokens.reshape(-1), dx.reshape(-1, dx.shape[-1]))  # += would lose repetitions
    return dtable


def softmax_backward(dp, p):
    return p * (dp - np.sum(dp * p, axis=-1, keepdims=True))


def attention_backward(dy, q, k, v, positions):
    n_kv_heads, n_keys = k.shape[1:3]
    group, scale = q.shape[1] // n_kv_heads, np.float32(1 / math.sqrt(q.shape[-1]))
    keys, values = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)  # (B, H, S, head_dim)

    z = q @ keys.swapaxes(-1, -2) * scale  # (B, H, T, S)
    z = np.where(np.arange(n_keys) <= positions[:, None, :, None], z, np.float32(-np.inf))
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)

    dz = softmax_backward(dy @ values.swapaxes(-1, -2), p) * scale
    dq = dz @ keys
    dk = dz.swapaxes(-1, -2) @ q  # (B, H, S, head_dim)
    dv = p.swapaxes(-1, -2) @ dy
    in_groups = (len(k), n_kv_heads, group, *k.shape[2:])
    return dq, dk.reshape(in_groups).sum(axis=2), dv.reshape(in_groups).sum(axis=2)


def residual_ffn_backward(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    m, norm_saved = ops.rmsnorm_forward(x, norm_weight, eps)
    hidden, swiglu_saved = ops.swiglu_forward(m @ w_gate.T, m @ w_up.T)

    dhidden, dw_down = linear_backward(dy, hidden, w_down)
    dgate, dup = ops.swiglu_backward(dhidden, swiglu_saved)
    dm_gate, dw_gate = linear_backward(dgate, m, w_gate)
    dm_up, dw_up = linear_backward(dup, m, w_up)
    dx, dnorm_weight = ops.rmsnorm_backward(dm_gate + dm_up, norm_saved)
    return dx + dy, dnorm_weight, dw_gate, dw_up, dw_down


def accumulate_micro_batches(losses, gradients, counts):
    weights = counts / counts.sum()
    return np.sum(weights * losses), np.sum(weights[:, None, None] * gradients, axis=0)


def gradient_global_norm(gradients):
    return math.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in gradients))


def clip_by_global_norm(gradients, max_norm):
    scale = min(1.0, max_norm / (gradient_global_norm(gradients) + 1e-6))
    return [g * np.float32(scale) for g in gradients]


def decayed_parameters(shapes):
    return [name for name, shape in shapes.items() if len(shape) >= 2]


def adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return p - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p), m, v


def warmup_cosine(step, peak, warmup_steps, total_steps, final_fraction):
    if step < warmup_steps:
        return peak * step / warmup_steps
    end = final_fraction * peak
    passed = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return end + (peak - end) / 2 * (1 + math.cos(math.pi * passed))


def overfit(params, config, tokens, targets, n_steps, learning_rate):
    losses = []
    for _ in range(n_steps):
        loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=ops)
        losses.append(loss)
        for (_, p), (_, g) in zip(named_arrays(params), named_arrays(gradients)):
            p -= learning_rate * g
    losses.append(loss_and_gradients(params, config, tokens, targets, ops=ops)[0])
    return losses
