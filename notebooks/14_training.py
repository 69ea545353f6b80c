# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 14 · Backpropagation and training
#
# **Goal.** Derive the gradient of every layer of a Llama by hand, check each against PyTorch, and train a small model
# from nothing with LLaMA 2's optimizer: AdamW, warm-up, cosine, clipping.
#
# **Before this:** chapters 03 to 09; the gradients of cross-entropy, RMSNorm, RoPE and SwiGLU are exercises of theirs.
# **Time:** four hours, with the exercises.
#
# **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2, "Training Details". All of it runs here, as code. What
# cannot be reproduced is the scale: 2 trillion tokens in some 500,000 steps of 4 million tokens each, on a cluster. The
# model of this chapter sees some hundred thousand tokens, and nothing in its loss curve predicts that of a 7B model.

# %%
import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np

from minillama.compute.threads import set_threads
from minillama.learn.book import COLOURS, load, show_error, style, table, torch

style()
set_threads(1)  # in models this small, threads would mostly wait for one another
rng = np.random.default_rng(14)

# %% [markdown]
# ## The idea
#
# A loss is one number. Its *gradient* says for each parameter how the loss changes when that parameter grows a little.
# Training is: compute the gradient, move all parameters a little against it, repeat.
#
# A model is a chain of layers, $y = f(x, w)$. Suppose it is known how the loss $L$ changes with $y$: that array is
# called `dy`, $dy_i = \partial L / \partial y_i$, and has the shape of $y$. The *chain rule* turns it into the
# gradients of what went in:
#
# $$ dx_j = \sum_i dy_i \frac{\partial y_i}{\partial x_j}, \qquad
#    dw_k = \sum_i dy_i \frac{\partial y_i}{\partial w_k}. $$
#
# So every layer gets a second function, `backward(dy) -> dx, dw`, and the whole model is differentiated by calling
# these from the last layer to the first. One more rule is needed: *what is used in several places collects the sum of
# what comes back from all of them.* Most mistakes in this chapter are a forgotten sum.
#
# ## The shapes

# %%
table(
    ("layer", "forward", "gets", "returns"),
    (
        ("embedding", "x = table[tokens]", "dx (B, T, D)", "dtable (V, D)"),
        ("linear", "y = x @ w.T", "dy (B, T, D_out)", "dx (B, T, D_in), dw (D_out, D_in)"),
        ("RMSNorm (04)", "y = x / rms(x) * w", "dy (B, T, D)", "dx (B, T, D), dw (D)"),
        ("RoPE (05)", "rotate pairs", "dy (B, H, T, h)", "dx (B, H, T, h): rotated back"),
        ("attention", "y = softmax(q kᵀ / √h) v", "dy (B, H, T, h)", "dq (B, H, T, h), dk and dv (B, K, S, h)"),
        ("SwiGLU (08)", "y = silu(gate) * up", "dy (B, T, F)", "dgate, dup (B, T, F)"),
        ("cross-entropy (03)", "mean of -log p(target)", "1", "dlogits (B, T, V) = (p - onehot) / n"),
    ),
)

# %% [markdown]
# ## Something to measure with
#
# A gradient can be had without calculus: move one number up and down by $\epsilon$ and look at the loss,
#
# $$ g_i \approx \frac{L(x + \epsilon e_i) - L(x - \epsilon e_i)}{2 \epsilon} . $$
#
# That takes two forward passes for each number, far too many for training, and is just right for checking.


# %%
def numerical_gradient(f, x, step=1e-5):
    """Central differences of f at x, in float64."""
    x = np.array(x, np.float64)
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


# %% [markdown]
# How large should $\epsilon$ be? For a function whose gradient is known, $L = \sum_i e^{x_i}$:

# %%
x0 = rng.normal(size=20)
steps = 10.0 ** np.arange(-10, 0.5, 0.5)


def difference_error(dtype, central, step):
    total = 0.0
    for i in range(len(x0)):
        up, down = x0.astype(dtype), x0.astype(dtype)
        up[i] += dtype(step)
        down[i] -= dtype(step if central else 0)
        slope = (np.exp(up).sum() - np.exp(down).sum()) / dtype(step * (2 if central else 1))
        total = max(total, abs(float(slope) - np.exp(x0[i])))
    return total


figure, axis = plt.subplots()
for name, dtype, central in (
    ("float64, central", np.float64, True),
    ("float64, one-sided", np.float64, False),
    ("float32, central", np.float32, True),
):
    axis.loglog(steps, [difference_error(dtype, central, step) for step in steps], "o-", ms=4, label=name)
axis.set(
    xlabel="step ε",
    ylabel="largest error of the gradient",
    title="Central differences in float64: right to nine digits",
)
axis.legend()
plt.show()

# %% [markdown]
# To the right the curve of the function is in the way, to the left rounding: two nearly equal numbers are subtracted.
# In float32 no step gives more than three or four digits, which is too few to tell a wrong gradient from a right one.
# All checks of gradients are therefore made in float64.
#
# ## Linear
#
# With $y_{to} = \sum_i x_{ti} w_{oi}$, the number $x_{ti}$ reaches every $y_{to}$ with the factor $w_{oi}$, and
# $w_{oi}$ reaches $y_{to}$ of every row $t$ with the factor $x_{ti}$:
#
# $$ dx_{ti} = \sum_o dy_{to}\, w_{oi}, \qquad dw_{oi} = \sum_t dy_{to}\, x_{ti} . $$


# %%
def linear_backward_loops(dy, x, w):
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for t in range(len(x)):
        for o in range(len(w)):
            for i in range(w.shape[1]):
                dx[t, i] += dy[t, o] * w[o, i]
                dw[o, i] += dy[t, o] * x[t, i]
    return dx, dw


def linear_backward(dy, x, w):
    """Two products of matrices; all rows of all sequences count."""
    rows_of_dy, rows_of_x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    return dy @ w, rows_of_dy.T @ rows_of_x


x, w, dy = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=(4, 5))
dx, dw = linear_backward(dy, x, w)
for name, ours, loops in zip(("dx", "dw"), (dx, dw), linear_backward_loops(dy, x, w)):
    show_error(name, ours, loops, 1e-12, against="the loops")

# %% [markdown]
# For the numerical check, a loss with a known $dy$ is needed: $L = \sum_{to} dy_{to}\, y_{to}$ has just the gradient
# $dy$ with respect to $y$. The same trick serves for every layer.

# %%
show_error("dx", dx, numerical_gradient(lambda a: np.sum(dy * (a @ w.T)), x), 1e-8, against="differences")
show_error("dw", dw, numerical_gradient(lambda a: np.sum(dy * (x @ a.T)), w), 1e-8, against="differences")

# %% [markdown]
# ## Embedding: tokens repeat
#
# Row $v$ of the table is used wherever token $v$ stands, so it collects the gradients of all these places. In NumPy
# there is a trap in it:

# %%
tokens, dx = np.array([7, 2, 7, 7]), np.ones((4, 2))
wrong = np.zeros((9, 2))
wrong[tokens] += dx  # reads, adds and writes each row once, however often it is named


def embedding_backward(dx, tokens, vocab_size):
    dtable = np.zeros((vocab_size, dx.shape[-1]), dx.dtype)
    np.add.at(dtable, tokens.reshape(-1), dx.reshape(-1, dx.shape[-1]))
    return dtable


print("token 7 stands three times.  +=:", wrong[7], "  np.add.at:", embedding_backward(dx, tokens, 9)[7])

# %% [markdown]
# ## Attention, on three tokens
#
# Forward, for one head and three tokens of two numbers each, there are three steps: scores
# $z_{ts} = q_t \cdot k_s / \sqrt h$ for $s \le t$, probabilities $p_{ts} = e^{z_{ts}} / \sum_r e^{z_{tr}}$, and
# $y_t = \sum_s p_{ts} v_s$. Backward takes them in the other order.
#
# **The values.** $v_s$ reaches every $y_t$ with $t \ge s$, with the factor $p_{ts}$; and $p_{ts}$ meets $y_t$ with the
# factor $v_s$:
#
# $$ dv_s = \sum_{t \ge s} p_{ts}\, dy_t, \qquad dp_{ts} = dy_t \cdot v_s . $$
#
# Written out for three tokens: $dv_0 = p_{00}\,dy_0 + p_{10}\,dy_1 + p_{20}\,dy_2$,
# $\;dv_1 = p_{11}\,dy_1 + p_{21}\,dy_2$, $\;dv_2 = p_{22}\,dy_2$.
#
# **The softmax.** A score raises its own probability and lowers all others of its row. From the quotient rule,
#
# $$ \frac{\partial p_{tr}}{\partial z_{ts}} = p_{tr} ([r = s] - p_{ts}) \quad\Rightarrow\quad
#    dz_{ts} = p_{ts} \Big( dp_{ts} - \sum_r p_{tr}\, dp_{tr} \Big) . $$
#
# The sum is the mean of $dp$ over the row, weighted by $p$: a key that does better than the mean gets a higher score.
# For the second token,
# $dz_{10} = p_{10}(dp_{10} - p_{10} dp_{10} - p_{11} dp_{11}) = p_{10}\, p_{11} (dp_{10} - dp_{11})$.
#
# **The scores.** $dq_t = \sum_s dz_{ts}\, k_s / \sqrt h$ and $dk_s = \sum_t dz_{ts}\, q_t / \sqrt h$. The root that
# divided the scores divides their gradients.


# %%
def attention_loops(dy, q, k, v):
    """One head; every number by itself. Returns dq, dk, dv and what lies between."""
    n, h = q.shape
    p, dp, dz = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    dq, dk, dv = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    for t in range(n):
        scores = [q[t] @ k[s] / math.sqrt(h) for s in range(t + 1)]
        total = sum(math.exp(z) for z in scores)
        for s in range(t + 1):
            p[t, s] = math.exp(scores[s]) / total
            dp[t, s] = dy[t] @ v[s]
            dv[s] += p[t, s] * dy[t]
        mean = sum(p[t, s] * dp[t, s] for s in range(t + 1))
        for s in range(t + 1):
            dz[t, s] = p[t, s] * (dp[t, s] - mean)
            dq[t] += dz[t, s] * k[s] / math.sqrt(h)
            dk[s] += dz[t, s] * q[t] / math.sqrt(h)
    return (dq, dk, dv), (p, dp, dz)


q = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
k = np.array([[1.0, 1.0], [0.0, 1.0], [2.0, 0.0]])
v = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
dy = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
three_tokens, between = attention_loops(dy, q, k, v)
for name, matrix in zip(("p ", "dp", "dz"), between):
    for t, row in enumerate(matrix):
        seen = "  ".join(f"{number:7.4f}" if s <= t else "      ·" for s, number in enumerate(row))
        print(f"{name if t == 0 else '  '} token {t}:  {seen}   sum {round(row.sum(), 9) + 0.0:7.4f}")

# %% [markdown]
# Two things to see. The first token sees itself alone: its $p$ is 1 whatever the score, so $dz_{00} = 0$. And every row
# of $dz$ sums to 0, because adding one number to all scores of a row changes nothing.
#
# By hand for the second token: $z_{10} = z_{11} = 2/\sqrt 2$, so $p_{10} = p_{11} = 0.5$; $dp_{10} = 0$,
# $dp_{11} = 1$; so $dz_{10} = 0.5 \cdot 0.5 \cdot (0 - 1) = -0.25$. The table agrees, and differences agree with all
# eighteen results:


# %%
def attend(q, k, v):
    z = np.where(np.tri(len(q), dtype=bool), q @ k.T / math.sqrt(q.shape[1]), -np.inf)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True) @ v


assert abs(between[2][1, 0] + 0.25) < 1e-12
for i, name in enumerate(("dq", "dk", "dv")):
    loss = lambda a, i=i: np.sum(dy * attend(*(a if j == i else other for j, other in enumerate((q, k, v)))))
    show_error(name, three_tokens[i], numerical_gradient(loss, (q, k, v)[i]), 1e-8, against="differences")

# %% [markdown]
# ## Attention with matrices, for grouped heads
#
# The sums over $t$ and $s$ are products of matrices:
#
# $$ dV = P^\top dY, \quad dP = dY\, V^\top, \quad dZ = P \odot (dP - \mathrm{rowsum}(P \odot dP)), \quad
#    dQ = dZ\, K / \sqrt h, \quad dK = dZ^\top Q / \sqrt h . $$
#
# The mask needs no line of its own on the way back: hidden keys have $p = 0$, so $dz$ is 0 there. But $P$ has to be the
# masked one. With grouped queries (chapter 07) a key head serves several query heads: its gradient is the sum over
# them.


# %%
def softmax_backward(dp, p):
    return p * (dp - np.sum(dp * p, axis=-1, keepdims=True))


def attention_backward(dy, q, k, v, positions):
    """dq (B, H, T, h), dk and dv (B, K, S, h)."""
    n_kv_heads, n_keys = k.shape[1:3]
    group, scale = q.shape[1] // n_kv_heads, q.dtype.type(1 / math.sqrt(q.shape[-1]))
    keys, values = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)  # (B, H, S, h)
    z = q @ keys.swapaxes(-1, -2) * scale
    z = np.where(np.arange(n_keys) <= positions[:, None, :, None], z, q.dtype.type(-np.inf))
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    dz = softmax_backward(dy @ values.swapaxes(-1, -2), p) * scale
    dk, dv = dz.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ dy  # (B, H, S, h)
    in_groups = (len(k), n_kv_heads, group, *k.shape[2:])
    return dz @ keys, dk.reshape(in_groups).sum(axis=2), dv.reshape(in_groups).sum(axis=2)


one_head = attention_backward(*(a[None, None] for a in (dy, q, k, v)), np.arange(3)[None])
for name, ours, loops in zip(("dq", "dk", "dv"), one_head, three_tokens):
    show_error(name, ours[0, 0], loops, 1e-12, against="the loops")

# %% [markdown]
# ### Without the matrix
#
# $P$ has a number for each pair of tokens: for one head and 4096 tokens 67 MB in float32, in every layer. Instead of
# keeping it, forward can keep one number for each query, the logarithm of the softmax's denominator
# $\ell_t = \log \sum_s e^{z_{ts}}$. Then $p_{ts} = e^{z_{ts} - \ell_t}$ can be computed again, a tile at a time. The
# sum over the row need not go over the keys either:
# $\sum_r p_{tr}\, dp_{tr} = \sum_r p_{tr}\, (dy_t \cdot v_r) = dy_t \cdot y_t$.
# That is FlashAttention's backward pass (arXiv:2205.14135), and what the package's compiled kernel does.

# %%
p, dp, _ = between
np.testing.assert_allclose(np.sum(p * dp, axis=1), np.sum(dy * (p @ v), axis=1))

from numba import njit


@njit
def attention_backward_head(dy, q, k, v, y, logsumexp):
    """One head, one pass, no matrix."""
    n, h = q.shape
    scale = 1 / np.sqrt(h)
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for t in range(n):
        mean = np.sum(dy[t] * y[t])
        for s in range(t + 1):
            p = np.exp(np.sum(q[t] * k[s]) * scale - logsumexp[t])
            dz = p * (np.sum(dy[t] * v[s]) - mean) * scale
            dv[s] += p * dy[t]
            dq[t] += dz * k[s]
            dk[s] += dz * q[t]
    return dq, dk, dv


z = np.where(np.tri(3, dtype=bool), q @ k.T / math.sqrt(2), -np.inf)
streamed = attention_backward_head(dy, q, k, v, attend(q, k, v), np.log(np.exp(z).sum(axis=1)))
for name, ours, loops in zip(("dq", "dk", "dv"), streamed, three_tokens):
    show_error(name, ours, loops, 1e-12, against="the loops")

# %% [markdown]
# ## Every layer against PyTorch
#
# In float64, where a right gradient has fifteen digits. Where PyTorch is missing, differences take its place. The
# gradients of RMSNorm, RoPE, SwiGLU and cross-entropy are the package's; chapters 04, 05, 08 and 03 derive them.

# %%
from minillama.layers.rope import rope_table
from minillama.ops import FAST, REFERENCE

ops = REFERENCE
strict = 1e-10 if torch is not None else 1e-6


def expected_gradients(ours, theirs, arrays, dy):
    """Of sum(dy * y) by every array: autograd, or differences of our forward pass."""
    if torch is not None:
        leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
        return torch.autograd.grad(theirs(*leaves), leaves, torch.tensor(dy))
    put = lambda i, a: [*arrays[:i], a, *arrays[i + 1 :]]
    return [numerical_gradient(lambda a, i=i: np.sum(dy * ours(*put(i, a))), arrays[i]) for i in range(len(arrays))]


B, T, D, H, K, h = 2, 4, 6, 4, 2, 6
positions, ids = np.arange(T) + np.zeros((B, 1), int), rng.integers(0, 5, (B, T))
cos, sin = rope_table(h, T, 10000.0, np.float64)
normal = lambda *shape: rng.normal(size=shape)


def turned(x):
    """RoPE in PyTorch."""
    c, s = (torch.tensor(a)[None, None] for a in (cos, sin))
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * c - odd * s, even * s + odd * c), -1).flatten(3)


# %%
def nll(logits):
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(ids).flatten())


def through(op, *rest):
    """A layer of the package as two functions: the result, and the gradients of its arrays."""
    forward_of, backward_of = getattr(ops, f"{op}_forward"), getattr(ops, f"{op}_backward")
    return lambda *a: forward_of(*a, *rest)[0], lambda dy, *a: backward_of(dy, forward_of(*a, *rest)[1])


def sdpa(q, k, v):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


F = None if torch is None else torch.nn.functional
layers = (
    ("embedding", lambda w: w[ids], lambda dy, w: embedding_backward(dy, ids, 5),
     lambda w: F.embedding(torch.tensor(ids), w), [normal(5, D)]),
    ("linear", lambda x, w: x @ w.T, linear_backward, lambda x, w: F.linear(x, w), [normal(B, T, D), normal(7, D)]),
    ("RMSNorm", *through("rmsnorm", 1e-5), lambda x, w: F.rms_norm(x, (D,), w, 1e-5), [normal(B, T, D), normal(D)]),
    ("RoPE", *through("rope", cos, sin, positions), turned, [normal(B, H, T, h)]),
    ("attention", through("attention", positions)[0], lambda dy, *a: attention_backward(dy, *a, positions), sdpa,
     [normal(B, H, T, h), normal(B, K, T, h), normal(B, K, T, h)]),
    ("SwiGLU", *through("swiglu"), lambda g, u: F.silu(g) * u, [normal(B, T, D), normal(B, T, D)]),
    ("cross-entropy", *through("cross_entropy", ids), nll, [normal(B, T, 5)]),
)  # fmt: skip

# %%
for name, ours, ours_backward, theirs, arrays in layers:
    dy = np.asarray(rng.normal(size=np.shape(ours(*arrays))))
    found = ours_backward(dy, *arrays)
    found = found if isinstance(found, tuple) else (found,)
    for i, (mine, expected) in enumerate(zip(found, expected_gradients(ours, theirs, arrays, dy))):
        show_error(f"{name}, gradient {i}", mine, expected, strict)

# %% [markdown]
# ## The whole model
#
# The wiring adds two sums. The residual stream goes past every block and into it: `dx = dx_through_the_block + dy`. And
# the normalised row goes into wq, wk and wv (into w_gate and w_up in the feed-forward block): what comes back is added.
# In the package's `minillama/model.py` the attention block reads, from the end to the beginning:
#
# ```
# d, wo      = linear_backward(dy, ...)                       # through wo
# dq, dk, dv = attention_backward(heads of d, ...)
# dn, wq     = linear_backward(rope_backward(dq), ...)
# dn_k, wk   = linear_backward(rope_backward(dk), ...)
# dn_v, wv   = linear_backward(dv, ...)
# dx, norm   = rmsnorm_backward(dn + dn_k + dn_v, ...)
# dx        += dy                                             # the residual stream
# ```
#
# It calls the entries of a table of functions, so the functions of this chapter can take their places. Each op's
# backward gets `dy` and what its forward saved.

# %%
from minillama.config import ModelConfig
from minillama.params import count_parameters, init_params
from minillama.training.gradients import loss_and_gradients
from minillama.trees import map_tree, named_leaves

mine = {
    "linear_backward": lambda dy, saved: linear_backward(dy, saved.x, saved.weight),
    "embedding_backward": lambda dx, saved: embedding_backward(dx, saved.tokens, len(saved.weight)),
    "attention_backward": lambda dy, c: attention_backward(dy, c.q, c.k, c.v, c.positions),
}
config = ModelConfig(dim=8, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=12, vocab_size=13, max_seq_len=8)
params = map_tree(lambda a: a if a.ndim == 1 else 10 * a, init_params(config, rng, np.float64))
tokens, targets = rng.integers(0, config.vocab_size, (2, 3, 6))
targets[0, :2] = -100  # not counted, as padding and prompts are
loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=REFERENCE._replace(**mine))
print(f"loss {loss:.4f} with random parameters; log(13) = {math.log(13):.4f}")

# %% [markdown]
# The same model in PyTorch, whose autograd finds the gradients by itself:


# %%
def torch_block(x, layer, config):
    rows, heads = x.shape[:2], lambda a: a.unflatten(-1, (-1, config.head_dim)).transpose(1, 2)
    turns = rope_table(config.head_dim, rows[1], config.rope_theta, np.float64)
    c, s = (torch.tensor(a).to(x.dtype) for a in turns)

    def rotated(a):
        even, odd = a[..., 0::2], a[..., 1::2]
        return torch.stack((even * c - odd * s, even * s + odd * c), -1).flatten(3)

    n = F.rms_norm(x, x.shape[-1:], layer.attention_norm, config.norm_eps)
    q, k, v = (heads(F.linear(n, w)) for w in (layer.wq, layer.wk, layer.wv))
    y = sdpa(rotated(q), rotated(k), v).transpose(1, 2).flatten(2)
    x = x + F.linear(y, layer.wo)
    m = F.rms_norm(x, x.shape[-1:], layer.ffn_norm, config.norm_eps)
    return x + F.linear(F.silu(F.linear(m, layer.w_gate)) * F.linear(m, layer.w_up), layer.w_down)


def torch_loss(params, config, tokens, targets):
    x = F.embedding(torch.tensor(tokens), params.token_embedding)
    for layer in params.layers:
        x = torch_block(x, layer, config)
    x = F.rms_norm(x, x.shape[-1:], params.final_norm, config.norm_eps)
    logits = F.linear(x, params.token_embedding if params.output is None else params.output)
    return F.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten())


# %%
if torch is not None:
    leaves = map_tree(lambda a: torch.tensor(a, requires_grad=True), params)
    found = torch.autograd.grad(torch_loss(leaves, config, tokens, targets), [a for _, a in named_leaves(leaves)])
    expected = dict(zip((name for name, _ in named_leaves(params)), found))
else:

    def loss_with(name, array):
        changed = iter([array if other == name else a for other, a in named_leaves(params)])
        swapped = dict(zip((other for other, _ in named_leaves(params)), changed))
        tree = [tuple(swapped[f"layers.{i}.{f}"] for f in params.layers[0]._fields) for i in range(2)]
        layers_of = tuple(type(params.layers[0])(*arrays) for arrays in tree)
        whole = type(params)(swapped["token_embedding"], layers_of, swapped["final_norm"], swapped["output"])
        return loss_and_gradients(whole, config, tokens, targets, ops=REFERENCE)[0]

    expected = {
        name: numerical_gradient(lambda a, name=name: loss_with(name, a), array) for name, array in named_leaves(params)
    }
for name, gradient in named_leaves(gradients):
    show_error(name, gradient, expected[name], strict)

# %% [markdown]
# Every parameter of a model with two layers and grouped queries has the gradient that autograd finds.
#
# ### What one head is told
#
# The package comes with a small model of this project that tells stories. It serves as the real model of this chapter,
# and later as the author of a training text. Here, a sentence goes through it, and on the way back the attention of one
# head is written down: its probabilities $P$ and the gradient $dZ$ of its scores.

# %%
teller = load("stories3M")
written = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else np.array(w, np.float32), teller.params)
tokenizer = teller.tokenizer
sentence = np.array([tokenizer.encode("Once upon a time there was a cat. The cat was hungry.")])
seen = []


def remember(dy, saved):
    """The package's gradient; P and dZ of all heads are kept beside."""
    q, k, v = (np.repeat(a, saved.q.shape[1] // a.shape[1], axis=1) for a in saved[:3])
    z = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    p = np.exp(np.where(np.tri(z.shape[-1], dtype=bool), z, -np.inf) - saved.logsumexp[..., None])
    seen.append((p[0], softmax_backward(dy @ v.swapaxes(-1, -2), p)[0]))
    return FAST.attention_backward(dy, saved)


loss_and_gradients(
    written, teller.config, sentence[:, :-1], sentence[:, 1:], ops=FAST._replace(attention_backward=remember)
)
spread = np.array([np.abs(dz[:, 3:]).sum(axis=(1, 2)) for _, dz in reversed(seen)])
layer_index, head = np.unravel_index(spread.argmax(), spread.shape)
p, dz = (a[head] for a in list(reversed(seen))[layer_index])

# %%
words = [tokenizer.decode([i]).strip() or "▁" for i in sentence[0, :-1]]
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6))
limit = np.abs(dz).max()
shown = np.where(np.tri(len(p), dtype=bool), 1, np.nan)
for axis, values, name, options in (
    (axes[0], p, "P: where the head looks", {"cmap": "viridis", "vmin": 0, "vmax": 1}),
    (
        axes[1],
        dz,
        "dZ: where it should look less (red), more (blue)",
        {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit},
    ),
):
    picture = axis.imshow(values * shown, **options)
    axis.set_xticks(range(len(words)), words, rotation=90, fontsize=7)
    axis.set_yticks(range(len(words)), words, fontsize=7)
    axis.set(xlabel="key (token looked at)", ylabel="query (token that looks)")
    axis.set_title(name, fontsize=10)
    axis.grid(False)
    figure.colorbar(picture, ax=axis, shrink=0.75)
figure.suptitle(f"Layer {layer_index}, head {head}: every row of dZ sums to 0", weight="bold")
plt.show()
assert np.abs(dz.sum(axis=1)).max() < 1e-5

# %% [markdown]
# Where $dZ$ is blue, a higher score would lower the loss. Nothing is ever above the diagonal: no gradient flows to what
# a query has not seen.
#
# ## Memory: what backward needs
#
# Every layer keeps what it was given until its gradient has been computed. That grows with the number of layers and of
# tokens, and soon is more than the parameters. The remedy is to *recompute*: keep the input of each block alone, and
# run the block again when its turn comes on the way back. One block's activations exist at a time, for one more forward
# pass (Chen et al., arXiv:1604.06174).

# %%
from minillama.model import RecomputedBlock, backbone_forward


def kept_bytes(saved, but=()):
    """Bytes of all arrays in a tree of caches; a view counts as what it is cut from, each once."""
    found, known = {}, {id(a) for a in but}

    def walk(item):
        if isinstance(item, np.ndarray):
            owner = item if item.base is None or not isinstance(item.base, np.ndarray) else item.base
            if id(item) not in known and id(owner) not in known:
                found[id(owner)] = owner.nbytes
        elif isinstance(item, RecomputedBlock):
            walk(item.x)
        elif isinstance(item, tuple | list):
            for part in item:
                walk(part)

    walk(saved)
    return sum(found.values())


depths, kept = (1, 2, 4, 8, 12), {False: [], True: []}
for n_layers in depths:
    shape = ModelConfig(dim=64, n_layers=n_layers, n_heads=4, hidden_dim=172, vocab_size=512, max_seq_len=256)
    deep = init_params(shape, rng)
    for recompute in kept:
        saved = backbone_forward(deep, shape, rng.integers(0, 512, (4, 256)), recompute=recompute)[1]
        kept[recompute].append(kept_bytes(saved, [a for _, a in named_leaves(deep)]) / 1e6)

# %%
figure, axis = plt.subplots(figsize=(7, 3.2))
axis.plot(depths, kept[False], "o-", label="everything kept")
axis.plot(depths, kept[True], "s-", label="inputs of blocks only; blocks run again")
axis.plot(depths, np.array(kept[True]) + kept[False][0], ":", color=COLOURS[5], label="... and one block at a time")
axis.set(xlabel="layers", ylabel="kept for backward (MB)", title="Recomputing trades a forward pass for memory")
axis.legend()
plt.show()
ratio = kept[False][-1] / (kept[True][-1] + kept[False][0])
print(f"12 layers, dim 64, 4 x 256 tokens: {kept[False][-1]:.1f} MB, or {kept[True][-1]:.1f} MB and one block's "
      f"{kept[False][0]:.1f} MB at a time: {ratio:.1f} times less")  # fmt: skip
assert ratio > 3

# %% [markdown]
# The gradients are the same:

# %%
again = loss_and_gradients(params, config, tokens, targets, ops=REFERENCE._replace(**mine), recompute=True)[1]
show_error("gradient of wq, recomputed", again.layers[0].wq, gradients.layers[0].wq, 1e-15, against="everything kept")

# %% [markdown]
# ## AdamW
#
# Plain gradient descent, $\theta \leftarrow \theta - \eta\, g$, gives every parameter the same learning rate $\eta$.
# Gradients of different parameters differ by orders of magnitude, so a rate that suits one is too large for another.
# Adam divides each by its own recent size. With running means of the gradient and of its square,
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \qquad
#    \hat m = \frac{m}{1 - \beta_1^t}, \quad \hat v = \frac{v}{1 - \beta_2^t}, $$
# $$ \theta \leftarrow \theta - \eta \left( \frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda\, \theta \right) . $$
#
# $m$ and $v$ start at 0 and are too small at first; the division by $1 - \beta^t$ ($t$ counts from 1) puts that right.
# LLaMA 2: $\beta_1 = 0.9$, $\beta_2 = 0.95$, $\epsilon = 10^{-5}$, $\lambda = 0.1$.


# %%
def adamw_step(p, g, m, v, t, lr, beta1=0.9, beta2=0.95, eps=1e-5, weight_decay=0.1):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return p - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p), m, v


g = np.array([10.0, 0.1, 1e-3, 1e-5, 1e-7])
zeros = np.zeros(5)
first, m, v = adamw_step(zeros, g, zeros, zeros, t=1, lr=1.0)
print("gradient                       ", g)
print("first step, divided by the rate", -first.round(4))
print("without bias correction        ", (m / (np.sqrt(v) + 1e-5)).round(4))

# %% [markdown]
# From 10 down to 0.001 all first steps have the size of the learning rate. Below about $\epsilon$ gradients count as
# small: $\epsilon$ decides what is noise. Without the correction the first steps would be $0.1 / \sqrt{0.05} = 0.45$
# of that.
#
# **Decay, decoupled.** The W in AdamW: each step also pulls weights towards 0, by $\eta\lambda\theta$, *beside* the
# step. Older code adds $\lambda\theta$ to the gradient instead (L2). Then the pull is divided by $\sqrt{\hat v}$
# too, and weights with large gradients hardly decay. Two weights that start at 1, whose gradients are noise of
# different size and would move them nowhere:

# %%
rows = []
for size in (10.0, 0.1):
    noise, starts = size * rng.normal(size=(400, 2000)), np.ones(2000)
    for kind in ("decoupled (AdamW)", "added to the gradient (L2)"):
        p, m, v = starts, np.zeros(2000), np.zeros(2000)
        for t, g in enumerate(noise, 1):
            coupled = kind.startswith("added")
            p, m, v = adamw_step(p, g + 0.1 * p * coupled, m, v, t, 0.01, weight_decay=0.0 if coupled else 0.1)
        rows.append((size, kind, f"{p.mean():.3f}"))
table(("size of the gradients", "decay", "mean of the weights after 400 steps"), rows)

# %% [markdown]
# Decoupled, both have decayed alike, by $(1 - 0.01 \cdot 0.1)^{400} = 0.67$.
#
# Which parameters decay is not in the paper (unconfirmed). The package follows llama2.c and nanoGPT: everything of two
# dimensions or more does, the norms' weights do not. A norm's weight is a factor around 1, and pulling it to 0 has no
# good reason.
#
# ## Learning rate: warm-up, then a cosine
#
# LLaMA 2 raises the rate over 2000 steps and lets it fall along half a cosine to a tenth of the peak ($3 \cdot 10^{-4}$
# for 7B). That the warm-up is a straight line is usual, and not in the paper (unconfirmed).


# %%
def warmup_cosine(step, peak, warmup_steps, total_steps, final_fraction=0.1):
    """The rate of update `step`, from 1 on."""
    if step < warmup_steps:
        return peak * step / warmup_steps
    end = final_fraction * peak
    passed = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
    return end + (peak - end) / 2 * (1 + math.cos(math.pi * passed))


for step in (1, 1000, 2000, 125_000, 250_000, 375_000, 500_000):
    print(f"step {step:7,}: {warmup_cosine(step, 3e-4, 2000, 500_000):.2e}")

# %% [markdown]
# ## Clipping
#
# Now and then a batch has a gradient many times longer than usual. Clipping limits its length to 1.0 and keeps its
# direction: one norm over *all* tensors, one factor, $g \leftarrow g \cdot \min(1,\, 1 / (\lVert g \rVert + 10^{-6}))$.


# %%
def global_norm(gradients):
    return math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients))


def clip_by_global_norm(gradients, max_norm=1.0):
    scale = min(1.0, max_norm / (global_norm(gradients) + 1e-6))
    return [g * g.dtype.type(scale) for g in gradients]


def cosine_between(a, b):
    dot = sum(float(np.sum(x * y)) for x, y in zip(a, b))
    return dot / (global_norm(a) * global_norm(b))


spike = [30 * normal(40, 20), 0.05 * normal(20, 40), 0.3 * normal(20)]
each = [g / max(1.0, float(np.linalg.norm(g))) for g in spike]
ways = {"all by one factor": clip_by_global_norm(spike), "each tensor by its own": each,
        "each number to ±0.05": [np.clip(g, -0.05, 0.05) for g in spike]}  # fmt: skip
rows = [(name, f"{global_norm(g):.2f}", f"{cosine_between(g, spike):.3f}") for name, g in ways.items()]
table(("clipped", "norm", "cosine with the gradient as it was"), rows)

# %% [markdown]
# Only the first keeps the direction.
#
# ## A batch in parts
#
# A batch that does not fit into memory is computed in parts, and their gradients are added. The loss is a mean over
# targets *that count*. If parts hold different numbers of them, the mean of their means is another loss.

# %%
whole_loss, whole = loss_and_gradients(params, config, tokens, targets)
parts = [slice(0, 1), slice(1, 3)]
counts = [int((targets[part] != -100).sum()) for part in parts]
separate = [loss_and_gradients(params, config, tokens[part], targets[part]) for part in parts]
naive = sum(loss for loss, _ in separate) / 2
weighted = sum(n * loss for n, (loss, _) in zip(counts, separate)) / sum(counts)
print(f"targets that count: {counts};  whole {whole_loss:.6f}  mean of means {naive:.6f}  weighted {weighted:.6f}")
summed = map_tree(lambda a, b: (counts[0] * a + counts[1] * b) / sum(counts), separate[0][1], separate[1][1])
show_error("gradient of wq", summed.layers[0].wq, whole.layers[0].wq, 1e-12, against="the whole batch")
assert abs(naive - whole_loss) > 1e-3 > abs(weighted - whole_loss)

# %% [markdown]
# The package gives every part the count of the whole batch (`n_counted`) and simply adds. Its threads share a batch in
# the same way, as the machines of a cluster do.
#
# ## Fifty steps beside PyTorch
#
# All pieces together: loss and gradients, clipping, schedule, AdamW. The left column is this chapter's code, the right
# one PyTorch's autograd, `clip_grad_norm_` and `AdamW`. Both start from the same parameters, in float32. (Without
# PyTorch, the right column is the same run in float64.)


# %%
def train_by_hand(params, config, batches, peak, warmup):
    """Every update with the functions above; params are changed in place."""
    arrays = [a for _, a in named_leaves(params)]
    m, v, losses = [np.zeros_like(a) for a in arrays], [np.zeros_like(a) for a in arrays], []
    for t, (tokens, targets) in enumerate(batches, 1):
        loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=FAST._replace(**mine))
        losses.append(loss)
        clipped = clip_by_global_norm([g for _, g in named_leaves(gradients)])
        lr = warmup_cosine(t, peak, warmup, len(batches))
        for i, (p, g) in enumerate(zip(arrays, clipped)):
            decay = 0.1 if p.ndim >= 2 else 0.0
            p[...], m[i], v[i] = adamw_step(p, g, m[i], v[i], t, lr, weight_decay=decay)
    return losses


small = ModelConfig(
    dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=88, vocab_size=64, max_seq_len=32, tied=True
)
start = init_params(small, np.random.default_rng(0))
text = rng.integers(0, 8, (50, 4, 33)) * 8 + rng.integers(
    0, 2, (50, 4, 33)
)  # some tokens are frequent, most never come
batches = [(rows[:, :-1].copy(), rows[:, 1:].copy()) for rows in text]
ours = map_tree(np.copy, start)
losses = train_by_hand(ours, small, batches, peak=3e-3, warmup=5)


# %%
def train_in_torch(config, start, batches, peak, warmup):
    leaves = map_tree(lambda a: torch.tensor(a, requires_grad=True), start)
    tensors = [a for _, a in named_leaves(leaves)]
    groups = [{"params": [a for a in tensors if (a.ndim >= 2) == wide], "weight_decay": decay}
              for wide, decay in ((True, 0.1), (False, 0.0))]  # fmt: skip
    optimizer, losses = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95), eps=1e-5), []
    for t, (tokens, targets) in enumerate(batches, 1):
        optimizer.zero_grad()
        loss = torch_loss(leaves, config, tokens, targets)
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(tensors, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = warmup_cosine(t, peak, warmup, len(batches))
        optimizer.step()
    return losses, map_tree(lambda a: a.detach().numpy(), leaves)


if torch is not None:
    expected_losses, theirs = train_in_torch(small, start, batches, 3e-3, 5)
else:
    theirs = map_tree(lambda a: a.astype(np.float64), start)
    expected_losses = train_by_hand(theirs, small, batches, 3e-3, 5)
for t in (0, 1, 9, 24, 49):
    print(f"step {t + 1:2}: {losses[t]:.5f}  {expected_losses[t]:.5f}")
show_error("50 losses", losses, expected_losses, 1e-4)
for name in ("token_embedding", "final_norm"):
    show_error(f"{name}, step 50", getattr(ours, name), getattr(theirs, name), 1e-4)

# %% [markdown]
# ## First test: one batch by heart
#
# Before any long training: can the model learn a single batch by heart? If not, something is broken, and it is found in
# a second. From here on the package's own loop is used: `Workers` share a batch, `AdamW` is compiled.

# %%
from minillama.training.gradients import next_token_sums
from minillama.training.objectives import NextToken, Rows
from minillama.training.optimizer import AdamW, clip_scale
from minillama.training.optimizer import global_norm as norm_of
from minillama.training.schedule import Schedule
from minillama.training.workers import Workers


def train(config, batch_of, schedule, max_norm=1.0, ops=FAST, watch=None):
    """One run from new parameters: rows of (loss, learning rate, gradient norm), and the parameters."""
    params = init_params(config, np.random.default_rng(0))
    optimizer, rows = AdamW(params), []
    with Workers() as workers:
        for step in range(1, schedule.total_steps + 1):
            sums, gradients = workers.gradients(NextToken(config), params, Rows(*batch_of(step)), ops=ops)
            count = sums["count"]  # of targets: losses and gradients come as sums, and are divided once
            norm = norm_of(gradients) / count
            optimizer.update(gradients, schedule(step), clip_scale(norm, max_norm) / count)
            rows.append((sums["loss"] / count, schedule(step), norm))
            if watch is not None:
                watch(step, params, workers)
    return np.array(rows), params


rows, _ = train(small, lambda step: batches[0], Schedule(2e-2, 10, 200))
print("losses of one batch, every 25th step:", rows[::25, 0].round(3), "->", rows[-1, 0].round(3))
assert rows[-1, 0] < 0.3

# %% [markdown]
# Not quite to 0: where a sequence begins there is nothing to tell one continuation from another.
#
# ## A text to train on
#
# The small model that ships with the package writes the training text. Its stories are sampled in many rows side by
# side, with the KV cache of chapter 10; adding Gumbel noise to the logits and taking the largest is sampling from the
# softmax (chapter 11). When a story ends, the next begins after a BOS token, as in llama2.c's training data.

# %%
from minillama.kv_cache import KVCache
from minillama.model import forward_cached


def tell_stories(n_rows, n_tokens, temperature, rng):
    """Token ids (n_rows, n_tokens)."""
    config = teller.config
    ids = np.full((n_rows, n_tokens), tokenizer.bos_id)
    cache, rope = KVCache(config, n_rows, n_tokens), rope_table(config.head_dim, n_tokens, config.rope_theta)
    for t in range(n_tokens - 1):
        logits = forward_cached(written, config, ids[:, t : t + 1], cache, rope)
        race = np.maximum(rng.standard_exponential(logits.shape, np.float32), 1e-30)  # -log of it: Gumbel noise
        ids[:, t + 1] = np.argmax(logits / np.float32(temperature) - np.log(race), axis=1)
    return ids


stories = tell_stories(48, 257, 0.8, np.random.default_rng(0))
held_out, stories = stories[:8], stories[8:]
print(f"{stories.size:,} tokens to train on, {held_out.size:,} held out, {teller.config.vocab_size} kinds of token")
print(textwrap.fill(tokenizer.decode(stories[0].tolist())[:300], 96), "...")

# %% [markdown]
# ## Training a model
#
# A student of some hundred thousand parameters, in random pieces of 128 tokens, for some hundred steps. That is
# several times over the same little text, so the loss on held-out stories is watched too.


# %%
def pieces(step, n_rows=4, length=128):
    """The batch of a step follows from the step alone: a run can be repeated, and resumed."""
    draw = np.random.default_rng(step)
    rows, first = draw.integers(0, len(stories), n_rows), draw.integers(0, stories.shape[1] - length, n_rows)
    cut = stories[rows[:, None], first[:, None] + np.arange(length + 1)]
    return cut[:, :-1].copy(), cut[:, 1:].copy()


def student_of(dim, n_layers):
    return ModelConfig(
        dim=dim, n_layers=n_layers, n_heads=dim // 16, n_kv_heads=max(1, dim // 32), hidden_dim=dim * 11 // 4 // 4 * 4,
        vocab_size=teller.config.vocab_size, max_seq_len=256, tied=True,
    )  # fmt: skip


def held_out_loss(params, config, workers, length=128):
    """The mean over held-out pieces as long as those of the training."""
    batch = (held_out[:, :256].reshape(-1, length), held_out[:, 1:257].reshape(-1, length))
    sums = workers.sums(lambda batch: next_token_sums(params, config, *batch), [batch])
    return sums["loss"] / sums["count"]


def show(params, config):
    import minillama

    model = minillama.LLM(params, config, tokenizer)
    return " ".join(model.generate("One day,", max_tokens=36, temperature=0.5, seed=1).text.split())


# %%
student, n_steps = student_of(64, 3), 160
samples, validation = [], []


def watch(step, params, workers):
    if step == 1 or step % 40 == 0:
        validation.append((step, held_out_loss(params, student, workers)))
    if step in (1, 40, 80, 120, n_steps):
        samples.append((step, f"{validation[-1][1]:.2f}", show(params, student)))


rows, trained = train(student, pieces, Schedule(4e-3, 30, n_steps), watch=watch)
print(f"{count_parameters(student):,} parameters, {n_steps * 4 * 128:,} tokens; log(vocabulary) = "
      f"{math.log(student.vocab_size):.2f}")  # fmt: skip
print(f"loss of the first step {rows[0, 0]:.2f}, of the last ten {rows[-10:, 0].mean():.2f}")
assert rows[-10:, 0].mean() < rows[0, 0] - 2

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6))
x = np.arange(1, n_steps + 1)
left.plot(x, rows[:, 0], color=COLOURS[0], lw=1, label="training")
left.plot(*zip(*validation), "o-", color=COLOURS[1], ms=4, label="held out")
left.axhline(math.log(student.vocab_size), color=COLOURS[5], ls=":", label="log(vocabulary): guessing")
left.set(xlabel="step", ylabel="loss (nats a token)", title="Fast at first, then slowly")
left.legend()
middle.plot(x, rows[:, 1], color=COLOURS[2])
middle.set(xlabel="step", ylabel="learning rate", title="30 steps up, a cosine down", ylim=(0, None))
right.semilogy(x, rows[:, 2], color=COLOURS[3], lw=1)
right.axhline(1.0, color=COLOURS[5], ls="--", label="clipped above")
right.set(xlabel="step", ylabel="gradient norm", title="The gradient, before clipping")
right.legend()
plt.show()

# %% [markdown]
# The first loss is that of guessing among all tokens alike: $\log V$. If a run starts anywhere else, look for a bug
# before looking for a better learning rate. Where the two curves part, the student begins to remember its few stories
# instead of learning how stories go: more text would help it more than more steps. What it writes after "One day,":

# %%
table(("step", "held-out loss", "One day, ..."), samples)

# %% [markdown]
# First random pieces, then the frequent ones, then words, then phrases that sound like a story. Meaning would take far
# more parameters, tokens and time.
#
# ## With and without warm-up and clipping
#
# The same student at a rate that is too high on purpose. Early on, $m$ and $v$ have seen few gradients, and full steps
# go far astray; that is what warm-up protects from. Clipping limits what one bad batch can do.

# %%
quick = lambda step: pieces(step, 4, 64)
runs = {}
for name, warmup, max_norm in (
    ("warm-up and clipping", 15, 1.0),
    ("no warm-up", 0, 1.0),
    ("no clipping", 15, math.inf),
    ("neither", 0, math.inf),
):
    runs[name] = train(student, quick, Schedule(1e-2, warmup, 50), max_norm)[0]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
for (name, found), colour in zip(runs.items(), COLOURS):
    smooth = np.convolve(found[:, 0], np.ones(5) / 5, mode="valid")
    left.plot(np.arange(3, 48 + 1), smooth, color=colour, label=f"{name}: {found[-10:, 0].mean():.2f} at the end")
    right.semilogy(np.arange(1, 51), found[:, 2], color=colour, lw=1, label=name)
left.set(xlabel="step", ylabel="loss (nats a token), mean of 5 steps", title="At a rate that is too high")
right.set(xlabel="step", ylabel="gradient norm", title="The gradient, before clipping")
left.legend(fontsize=8)
plt.show()
ends = {name: found[-10:, 0].mean() for name, found in runs.items()}
print("from the lowest loss to the highest:", ", ".join(sorted(ends, key=ends.get)))

# %% [markdown]
# At a rate like this, where a run ends is partly luck: a single step that goes astray can throw it back for good.
# Warm-up keeps the first steps small; clipping keeps one long gradient from filling $m$ and $v$ for many steps to come.
#
# ## Loss against size
#
# Three models that see the same tokens in the same order. A larger one learns more from each token.

# %%
sizes = []
for dim, n_layers in ((16, 1), (32, 2), (64, 3)):
    shape = student_of(dim, n_layers)
    found, learned = train(shape, pieces, Schedule(6e-3 * math.sqrt(32 / dim), 20, 80))
    with Workers() as workers:
        sizes.append((count_parameters(shape), held_out_loss(learned, shape, workers), found[-20:, 0].mean()))
counts, after, during = zip(*sizes)
figure, axis = plt.subplots(figsize=(6.5, 3.2))
axis.semilogx(counts, after, "o-", label="held out")
axis.semilogx(counts, during, "s--", label="training, last 20 steps")
axis.set(xlabel="parameters", ylabel="loss (nats a token)", title=f"{80 * 4 * 128:,} tokens: larger models end lower")
axis.set_xticks(counts, [f"{n:,}" for n in counts])
axis.minorticks_off()
axis.legend()
plt.show()
print("held out:", np.round(after, 3))
assert after[0] > after[1] > after[2]

# %% [markdown]
# Three points on so few tokens are an illustration, not a law. A longer study of this kind, with real stories, more
# sizes and more tokens, is `benchmarks/scaling_study.py`; its picture is `benchmarks/results/scaling_study.png`.
#
# A real run needs more than a loop: mixed sources, checkpoints, resuming after an interruption, validation. That is
# `minillama train CONFIG.toml`; `minillama train --preset stories260K --print-config` writes settings to begin with.
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `numerical_gradient` | A gradient without calculus | 1 | 15 | core |
# | `linear_backward` | A matrix, backwards | 1 | 15 | core |
# | `embedding_backward` | A table, backwards | 2 | 15 |  |
# | `softmax_backward` | The softmax, backwards | 2 | 20 | core |
# | `attention_backward` | Attention, backwards; with a speed card | 3 | 60 | core |
# | `residual_ffn_backward` | A residual block, backwards | 3 | 40 |  |
# | `accumulate_micro_batches` | A batch in parts | 2 | 15 |  |
# | `gradient_global_norm` | One norm for all | 1 | 10 |  |
# | `clip_by_global_norm` | Clip the gradient | 2 | 15 | core |
# | `decayed_parameters` | What is decayed | 1 | 5 |  |
# | `adamw_step` | AdamW | 2 | 30 | core |
# | `warmup_cosine` | Warm-up and cosine | 2 | 20 | core |
# | `overfit` | Overfit one batch | 2 | 25 |  |
#
# <!-- end of the exercises -->
#
# `minillama learn start my-llama` makes a folder with the starters, `minillama learn watch` checks on every save. In a
# notebook: `from minillama.learn import check; check("attention_backward", my_function)`.

# %%
from minillama.learn import check

# %% [markdown]
# What a check says about an AdamW whose decay went into the gradient:


# %%
def adam_with_l2(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    return adamw_step(p, g + weight_decay * p, m, v, t, lr, beta1, beta2, eps, 0.0)


check("adamw_step", adam_with_l2)

# %% [markdown]
# A gradient that passes its check can train a model at once: put it into the table of functions.
#
# ```
# mine = lambda dy, saved: my_attention_backward(dy, saved.q, saved.k, saved.v, saved.positions)
# loss_and_gradients(params, config, tokens, targets, ops=FAST._replace(attention_backward=mine))
# ```
#
# ## What breaks if it is wrong
#
# A wrong forward pass shows: the model talks nonsense. A wrong gradient hides. The loss still falls, because the other
# layers are right and most directions that are roughly downhill will do. Attention's gradient with one mistake at a
# time:


# %%
def broken(mistake):
    def backward(dy, c):
        (n_kv, S, h), H = c.k.shape[1:], c.q.shape[1]
        keys, values = (np.repeat(a, H // n_kv, axis=1) for a in (c.k, c.v))
        scale = np.float32(h**-0.5)
        z = c.q @ keys.swapaxes(-1, -2) * scale
        seen = (np.arange(S) <= c.positions[:, None, :, None]) | (mistake == "mask forgotten")
        p = np.exp(np.where(seen, z, np.float32(-np.inf)) - z.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        dp = dy @ values.swapaxes(-1, -2)
        dz = p * dp if mistake == "row sum forgotten" else softmax_backward(dp, p)
        dz = dz * (1 if mistake == "no 1/√head_dim" else scale)
        dk, dv = dz.swapaxes(-1, -2) @ c.q, p.swapaxes(-1, -2) @ dy
        dk, dv = (a.reshape(len(a), n_kv, H // n_kv, S, h) for a in (dk, dv))
        if mistake == "group not summed":
            return dz @ keys, dk[:, :, -1].copy(), dv[:, :, -1].copy()
        return dz @ keys, dk.sum(axis=2), dv.sum(axis=2)

    return FAST._replace(attention_backward=backward)


mistakes = ("none", "no 1/√head_dim", "group not summed", "row sum forgotten", "mask forgotten")
shape = student_of(32, 2)
curves = {name: train(shape, quick, Schedule(4e-3, 20, 140), ops=broken(name))[0] for name in mistakes}

# %%
figure, axis = plt.subplots(figsize=(8, 3.8))
for (name, found), colour in zip(curves.items(), COLOURS):
    smooth = np.convolve(found[:, 0], np.ones(9) / 9, mode="valid")
    axis.plot(np.arange(5, 5 + len(smooth)), smooth, color=colour, label=f"{name}: {found[-20:, 0].mean():.3f}")
axis.set(xlabel="step", ylabel="loss (nats), mean of 9 steps", title="Wrong gradients still train: all curves fall")
axis.legend(title="mistake: loss of the last 20 steps", fontsize=8)
plt.show()

# %% [markdown]
# No curve says by itself that it is wrong. Two mistakes cost a lot, but without a right run beside them they would pass
# for a model that is too small or a rate that is too low. The missing root can hardly be seen, because Adam divides by
# the size of a gradient anyway. And a forgotten sum over the group may even look good for a hundred steps: Adam
# makes steps of full size from any gradient that points roughly downhill. That is why gradients are compared with
# numbers, and never judged by the loss: each mistake is off by far more than rounding.

# %%
q, k, v = (normal(2, n, 16, 16).astype(np.float32) for n in (4, 2, 2))
c = FAST.attention_forward(q, k, v, np.arange(16) + np.zeros((2, 1), int))[1]
dy = normal(2, 4, 16, 16).astype(np.float32)
expected = FAST.attention_backward(dy, c)
for name in mistakes:
    found = broken(name).attention_backward(dy, c)
    errors = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(found, expected)]
    print(f"{name:18}", "  ".join(f"{d} {e:7.1e}" for d, e in zip(("dq", "dk", "dv"), errors)))
    assert (max(errors) < 1e-5) == (name == "none")

ends = {name: found[-20:, 0].mean() for name, found in curves.items()}
assert all(ends[name] < curves[name][0, 0] - 1 for name in mistakes), "every one of them trains"
assert min(ends["row sum forgotten"], ends["mask forgotten"]) > ends["none"] + 0.1

# %% [markdown]
# ## The package's functions
#
# `minillama.layers`, `minillama.training.optimizer` and `minillama.training.schedule` hold what was derived here.

# %%
q, k, v, dy = (normal(2, n, 50, 32).astype(np.float32) for n in (4, 2, 2, 4))
positions = np.arange(50) + np.zeros((2, 1), int)
saved = FAST.attention_forward(q, k, v, positions)[1]
for name, table_of in (("the reference", REFERENCE), ("the kernels", FAST)):
    for which, a, b in zip(("dq", "dk", "dv"), attention_backward(dy, q, k, v, positions),
                           table_of.attention_backward(dy, saved)):  # fmt: skip
        show_error(f"attention, {which}", a, b, 1e-4, against=name)

start, more = init_params(small, rng), init_params(small, rng)
packaged = map_tree(np.copy, start)
optimizer = AdamW(packaged)
optimizer.update(map_tree(np.copy, more), 1e-2, clip_scale(norm_of(more), 1.0))
clipped = clip_by_global_norm([g for _, g in named_leaves(more)])
for (_, p), g, (_, theirs) in zip(named_leaves(start), clipped, named_leaves(packaged)):
    mine_now = adamw_step(p, g, 0 * p, 0 * p, 1, 1e-2, weight_decay=0.1 if p.ndim >= 2 else 0.0)[0]
    np.testing.assert_allclose(mine_now, theirs, atol=2e-6)
np.testing.assert_allclose(norm_of(more), global_norm([g for _, g in named_leaves(more)]), rtol=1e-6)
schedule = Schedule(3e-4, 2000, 500_000)
rates = [(schedule(step), warmup_cosine(step, 3e-4, 2000, 500_000)) for step in range(1, 500_100, 997)]
np.testing.assert_allclose(*zip(*rates))
print("clipping, AdamW and the schedule are the package's")
