# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 04 · RMSNorm
#
# **Goal.** Derive root-mean-square normalisation with its gradient, write it in plain Python, NumPy and Numba,
# and see on a real model why it is there, what `eps` does, and why its sums must not be float16.
#
# **Before this:** chapters 01 (NumPy to Numba) and 03 (embeddings and loss). **Time:** about 75 minutes with the
# exercises. **Paper:** LLaMA 2 (arXiv:2307.09288), section 2.2, which takes pre-normalisation with RMSNorm over
# from LLaMA 1; RMSNorm itself is Zhang and Sennrich, arXiv:1910.07467.
#
# **Not reproduced:** that training without normalisation diverges is not shown here: that needs training at
# full size. What a wrong norm does to a trained model is shown at the end.

# %%
import time

import matplotlib.pyplot as plt
import numba
import numpy as np

import minillama
from minillama import model
from minillama.learn import check
from minillama.learn.book import COLOURS, load, show_error, style, table, torch
from minillama.ops import FAST

style()
rng = np.random.default_rng(4)

# %% [markdown]
# ## The idea
#
# A Llama carries one vector per token through all its layers: the *residual stream*. Every layer reads it and adds
# something to it, so its size grows, and differs from token to token. Matrices and softmax do not work well on
# numbers of unknown size. RMSNorm gives each layer a copy of the stream in which every row has the same size: it
# divides the row by its root mean square. The stream itself is left alone. This is called *pre-norm*.
#
# LayerNorm, which came before, also subtracts the mean of each row and adds a bias. RMSNorm leaves both out.

# %% [markdown]
# ## The mathematics
#
# For one row $x \in \mathbb{R}^D$ (the vector of one token), a learned weight $w \in \mathbb{R}^D$ and a small
# constant $\varepsilon$:
#
# $$r = \frac{1}{\sqrt{\frac1D \sum_{j=1}^{D} x_j^2 + \varepsilon}}, \qquad \hat x_j = x_j\, r, \qquad
#   y_j = \hat x_j\, w_j .$$
#
# $r$ is one number per row, the *reciprocal root mean square*. $\hat x$ is the normalised row: its own root mean
# square is 1, so its length is $\sqrt D$. $\varepsilon$ (`norm_eps`, $10^{-5}$ in most LLaMA 2 files) stands
# **inside** the root and keeps a row of zeros from being divided by zero.
#
# | array | shape | what it is |
# |---|---|---|
# | `x` | (B, T, D) | the stream: B sequences of T tokens, D dims |
# | `mean_square` | (B, T, 1) | one number per row |
# | `weight` | (D,) | one number per dim, the same for all rows |
# | `y` | (B, T, D) | as `x` |

# %% [markdown]
# ## Plain Python
#
# Two loops over the row: the first finds its size, the second writes the result.


# %%
def rmsnorm_row(x, weight, eps):
    total = 0.0
    for value in x:
        total += value * value
    r = 1 / (total / len(x) + eps) ** 0.5
    return [value * r * scale for value, scale in zip(x, weight)]


row, ones = [3.0, -4.0, 0.0, 0.0], [1.0] * 4
y = rmsnorm_row(row, ones, 1e-5)
print("x", row, " mean of the squares", sum(v * v for v in row) / 4)
print("y", [round(v, 4) for v in y], " mean of the squares", round(sum(v * v for v in y) / 4, 5))
print("ten times as large:", [round(v, 4) for v in rmsnorm_row([10 * v for v in row], ones, 1e-5)])

# %% [markdown]
# The direction stays, the size becomes 1, and a row ten times as large gives the same result: the norm forgets size.
#
# ## NumPy
#
# All rows at once. `keepdims=True` keeps the last axis at size 1, so that the division is broadcast over the row.


# %%
def rmsnorm(x, weight, eps):
    mean_square = np.mean(x * x, axis=-1, keepdims=True)  # (B, T, 1)
    return x / np.sqrt(mean_square + eps) * weight


x = rng.normal(0, 3, (2, 5, 64)).astype(np.float32)
weight = rng.uniform(0.5, 1.5, 64).astype(np.float32)
y = rmsnorm(x, weight, 1e-5)
print("x", x.shape, x.dtype, "-> y", y.shape, y.dtype)
np.testing.assert_allclose(y[1, 3], rmsnorm_row(x[1, 3], weight, 1e-5), rtol=1e-5)

# %% [markdown]
# PyTorch has the same function. Where it is not installed, the expected numbers come from float64.


# %%
def expected_rmsnorm(x, weight, eps):
    if torch is None:
        return rmsnorm(x.astype(np.float64), weight.astype(np.float64), eps)
    return torch.nn.functional.rms_norm(torch.tensor(x), weight.shape, torch.tensor(weight), eps)


show_error("rmsnorm", y, expected_rmsnorm(x, weight, 1e-5), 1e-5)

# %% [markdown]
# ## What it does to a plane
#
# In two dims the effect can be drawn. RMSNorm moves every point along its ray to a circle of radius $\sqrt 2$: all
# directions remain. LayerNorm subtracts the mean first; in two dims that leaves $(a, -a)$, and after the
# division only two points. In $D$ dims it takes away one of $D$, which is little; RMSNorm shows that nothing is
# lost by keeping it.


# %%
def layer_norm(x, weight, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps) * weight


points = rng.normal(0, 1, (160, 2)) * rng.uniform(0.2, 2.5, (160, 1))
colour = np.arctan2(points[:, 1], points[:, 0])
figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), sharex=True, sharey=True)
titles = ("rows of two dims", "RMSNorm keeps the direction", "LayerNorm leaves two points")
for ax, shown, title in zip(
    axes, (points, rmsnorm(points, np.ones(2), 1e-5), layer_norm(points, np.ones(2), 1e-5)), titles
):
    ax.scatter(*shown.T, c=colour, cmap="twilight", s=14, edgecolor="#22252a", linewidth=0.3)
    ax.set(title=title, xlabel="dim 0", xlim=(-5, 5), ylim=(-5, 5), aspect="equal")
axes[0].set_ylabel("dim 1")
plt.show()

# %% [markdown]
# ## What eps does
#
# $\varepsilon$ is compared with the *mean square*: it matters for rows whose root mean square is near
# $\sqrt\varepsilon$, that is 0.003 for $10^{-5}$. Larger rows come out at size 1. Smaller ones are left small
# instead of being blown up: noise around zero stays noise. With $\varepsilon$ outside the root, as
# $x / (\mathrm{rms} + \varepsilon)$, the bend would come at $10^{-5}$ instead, three hundred times further down.

# %%
sizes = np.logspace(-7, 1, 200)
rows = sizes[:, None] * np.array([1.0, -1.0, 1.0, -1.0])  # root mean square = sizes
figure, ax = plt.subplots()
for eps, c in ((1e-5, COLOURS[0]), (1e-6, COLOURS[2])):
    ax.loglog(sizes, np.abs(rmsnorm(rows, 1, eps)[:, 0]), color=c, label=f"eps = {eps:.0e}, inside the root")
    ax.axvline(eps**0.5, color=c, lw=1, ls=":")
ax.loglog(sizes, sizes / (sizes + 1e-5), color=COLOURS[1], ls="--", label="eps = 1e-05, outside the root")
ax.set(xlabel="root mean square of the row going in", ylabel="of the row coming out")
ax.set_title("Rows below the root of eps (dotted) stay small")
ax.legend(loc="lower right")
plt.show()

# %% [markdown]
# And a row of zeros, such as padding: with $\varepsilon$ it stays zero, without it is NaN, and NaN spreads to
# everything that is computed from it.

# %%
with np.errstate(invalid="ignore"):
    print("with eps   ", rmsnorm(np.zeros(4), 1, 1e-5))
    print("without eps", rmsnorm(np.zeros(4), 1, 0.0))

# %% [markdown]
# ## The gradient
#
# Training needs $\partial L/\partial x$ and $\partial L/\partial w$ for a loss $L$, given
# $\mathrm{d}y = \partial L/\partial y$. The weight is easy: $y_j = \hat x_j w_j$ in every row, so
#
# $$\mathrm{d}w_j = \sum_{\text{rows}} \mathrm{d}y_j\, \hat x_j .$$
#
# $x$ acts in two ways: directly, and through $r$, which depends on the whole row:
# $\partial r/\partial x_k = -r^3 x_k / D$. With $g_j = \mathrm{d}y_j\, w_j$
#
# $$\mathrm{d}x_k = r\,g_k + \Big(\sum_j g_j x_j\Big)\frac{\partial r}{\partial x_k}
#   = r\,\Big(g_k - \hat x_k \cdot \tfrac1D \sum_j g_j \hat x_j\Big).$$


# %%
def rmsnorm_backward(dy, x, weight, eps):
    r = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    x_hat, g = x * r, dy * weight
    dx = r * (g - x_hat * np.mean(g * x_hat, axis=-1, keepdims=True))
    dweight = np.sum(dy * x_hat, axis=tuple(range(x.ndim - 1)))  # over all rows
    return dx, dweight


# %% [markdown]
# First a check that needs no library: move one number a little and look at how the loss moves.

# %%
wide, scale, dy = (a.astype(np.float64) for a in (x, weight, rng.normal(size=x.shape)))
dx, dweight = rmsnorm_backward(dy, wide, scale, 1e-5)
for index in ((0, 0, 0), (1, 3, 17), (1, 4, 63)):
    step = np.zeros_like(wide)
    step[index] = 1e-5
    higher, lower = ((dy * rmsnorm(wide + s, scale, 1e-5)).sum() for s in (step, -step))
    slope = (higher - lower) / 2e-5
    print(f"dx{index}: formula {dx[index]: .8f}, measured {slope: .8f}")
    assert abs(dx[index] - slope) < 1e-7

# %% [markdown]
# Then all numbers against PyTorch's automatic gradient.

# %%
if torch is not None:
    x_torch, w_torch = torch.tensor(wide, requires_grad=True), torch.tensor(scale, requires_grad=True)
    torch.nn.functional.rms_norm(x_torch, (64,), w_torch, 1e-5).backward(torch.tensor(dy))
    wanted = x_torch.grad, w_torch.grad
else:
    wanted = dx, dweight
got = rmsnorm_backward(dy.astype(np.float32), x, weight, 1e-5)
show_error("dx", got[0], wanted[0], 1e-5)
show_error("dweight", got[1], wanted[1], 1e-4)

# %% [markdown]
# The formula has a meaning. The norm forgets the size of a row, so a step along $x$ changes nothing, and the
# gradient cannot point there: $\mathrm{d}x$ is at right angles to $x$, up to $\varepsilon$. The second term takes
# exactly that part away.

# %%
cosine = np.sum(dx * wide, -1) / np.linalg.norm(dx, axis=-1) / np.linalg.norm(wide, axis=-1)
direct = dy * scale
before = np.sum(direct * wide, -1) / np.linalg.norm(direct, axis=-1) / np.linalg.norm(wide, axis=-1)
print("cosine of the angle between x and g: ", np.round(before[0], 4))
print("cosine of the angle between x and dx:", np.round(cosine[0], 7))
assert np.abs(cosine).max() < 1e-5

# %% [markdown]
# ## Numba: one kernel
#
# NumPy computes `x * x`, the mean, the quotient and the product one after another, and writes two arrays of the
# size of `x` that nobody needs afterwards. A kernel stays with one row while it is in the processor's cache: it
# reads the row, reads it again, writes the result. `reassoc` allows the compiler to add several squares at once,
# in an order other than the written one (chapter 01).


# %%
@numba.njit(fastmath={"reassoc", "contract"})
def rmsnorm_kernel(x, weight, eps):  # x (N, D)
    n, d = x.shape
    y = np.empty_like(x)
    for i in range(n):
        total = np.float32(0)
        for j in range(d):
            total += x[i, j] * x[i, j]
        r = np.float32(1 / np.sqrt(total / d + eps))
        for j in range(d):
            y[i, j] = x[i, j] * r * weight[j]
    return y


flat = x.reshape(-1, 64)
show_error("kernel", rmsnorm_kernel(flat, weight, 1e-5), expected_rmsnorm(flat, weight, 1e-5), 1e-5)

# %% [markdown]
# The times on the machine that runs this cell; the loops in plain Python do 8 rows and are scaled up.


# %%
def milliseconds(function, *args, repeat=5):
    best = np.inf
    for _ in range(repeat):
        begin = time.perf_counter()
        function(*args)
        best = min(best, time.perf_counter() - begin)
    return best * 1e3


big, scale = rng.normal(size=(1024, 576)).astype(np.float32), np.ones(576, np.float32)
python = milliseconds(lambda: [rmsnorm_row(r, scale, 1e-5) for r in big[:8]], repeat=1) * len(big) / 8
times = {
    "plain Python": python,
    "NumPy": milliseconds(rmsnorm, big, scale, 1e-5),
    "Numba kernel": milliseconds(rmsnorm_kernel, big, scale, 1e-5),
    "package": milliseconds(FAST.rmsnorm_forward, big, scale, 1e-5),
}
table(("1024 rows of 576", "milliseconds"), [(name, f"{ms:.3f}") for name, ms in times.items()])

# %% [markdown]
# ## Half precision
#
# Weights and activations are often float16 (or bfloat16) to save memory. The largest float16 is 65504. Two things go
# wrong when the statistics are float16 too: a square is infinite above 256, and a sum stops growing once the
# next term is smaller than the distance between neighbouring numbers.

# %%
with np.errstate(over="ignore"):
    print("300 * 300 in float16:", np.float16(300) * np.float16(300))
print(f"4096 ones, added up in float16: {np.cumsum(np.ones(4096, np.float16), dtype=np.float16)[-1]:.0f}")

# %% [markdown]
# An infinite mean square divides its row to zero, without any error. The remedy: widen first, compute the
# statistics in float32, round at the end. Meta's code rounds the normalised row to the dtype of `x` and multiplies
# by the weight afterwards; to get the same bits this order matters.


# %%
def rmsnorm_half_wrong(x, weight, eps):
    with np.errstate(over="ignore"):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float16(eps)) * weight


def rmsnorm_half(x, weight, eps):
    wide = x.astype(np.float32)
    wide = wide / np.sqrt(np.mean(wide * wide, axis=-1, keepdims=True) + np.float32(eps))
    return wide.astype(x.dtype) * weight


half, half_weight = np.array([[100, -200, 300, 50], [1, -2, 3, 0.5]], np.float16), np.ones(4, np.float16)
print("all in float16:\n", rmsnorm_half_wrong(half, half_weight, 1e-5))
print("statistics in float32:\n", rmsnorm_half(half, half_weight, 1e-5))
wide_half = rmsnorm(half.astype(np.float64), half_weight, 1e-5)
show_error("half", rmsnorm_half(half, half_weight, 1e-5), wide_half, 1e-3, against="float64")

# %% [markdown]
# The next section shows that a real model has rows like the first one.
#
# ## Real weights: the stream through depth
#
# SmolLM2-135M-Instruct is a small Llama: 30 layers, 576 dims. Each layer has two norms, and one stands at the end.
# A model of this package runs on a table of functions (`Ops`); with a norm that keeps what it is given, the
# whole stream can be looked at, without changing the model.

# %%
llm = load()
text = "The old lighthouse keeper climbed the stairs every evening and lit the lamp for the ships."
ids = np.array([llm.tokenizer.encode(text)])
stream = []


def watching(x, weight, eps):
    stream.append(x[0].copy())
    return FAST.rmsnorm_forward(x, weight, eps)


model.forward(llm.params, llm.config, ids, FAST._replace(rmsnorm_forward=watching))
stream = np.array(stream)  # (61, T, D): attention and feed-forward of each layer, and the last
layer = llm.params.layers[12]
rows = stream[24]
show_error(
    "layer 12 of SmolLM2",
    rmsnorm(rows, layer.attention_norm, llm.config.norm_eps),
    expected_rmsnorm(rows, np.array(layer.attention_norm), llm.config.norm_eps),
    1e-4,
)

# %% [markdown]
# The stream starts near 0.1 and ends a few hundred times as large. The **first token** is a case of its own:
# in layer 12 it jumps to more than a hundred times the size of the others, by one single dim. Such *massive
# activations* are found in many language models, mostly at the first token, where attention can be parked
# (chapter 06).

# %%
depth = np.arange(len(stream)) / 2
rms, largest = np.sqrt(np.mean(stream**2, -1)), np.abs(stream).max(-1)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
for ax, values, what in ((left, rms, "root mean square of a row"), (right, largest, "largest |number| of a row")):
    ax.fill_between(depth, values[:, 1:].min(1), values[:, 1:].max(1), color=COLOURS[0], alpha=0.25, lw=0)
    ax.plot(depth, np.median(values[:, 1:], 1), color=COLOURS[0], label="all other tokens: median and range")
    ax.plot(depth, values[:, 0], color=COLOURS[1], label="first token")
    ax.set(xlabel="layers passed", ylabel=what, yscale="log")
left.set_title("The stream grows through depth")
right.axhline(256, color=COLOURS[3], ls="--", lw=1.2, label="256: squares overflow float16 above")
right.set_title("From layer 3 on float16 squares overflow")
left.set_ylim(top=3e4)
right.set_ylim(top=2e6)
left.legend(loc="upper left")
right.legend(loc="upper left")
plt.show()
loud = int(np.argmax(np.abs(stream[40, 0])))
print(f"first token after 20 layers: dim {loud} is {stream[40, 0, loud]:.0f}, all others")
print(f"are below {np.sort(np.abs(stream[40, 0]))[-2]:.0f}; the square of the largest: {stream[40, 0, loud] ** 2:.3g}")

# %% [markdown]
# Because every layer reads a normalised copy, none of them sees these differences in size.
#
# The weights of the norms say how loud each dim is for the layer that follows. They start at 1 when training
# begins; here is where they have ended up.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
for ax, field, name in zip(axes, ("attention_norm", "ffn_norm"), ("before attention", "before the feed-forward layer")):
    weights = np.array([getattr(layer, field) for layer in llm.params.layers])  # (n_layers, D)
    for low, high, alpha in ((0, 100, 0.15), (5, 95, 0.25), (25, 75, 0.4)):
        edges = np.percentile(weights, (low, high), axis=1)
        label = "all" if low == 0 else f"{high - low} % of the dims"
        ax.fill_between(range(len(weights)), *edges, color=COLOURS[2], alpha=alpha, lw=0, label=label)
    ax.plot(np.median(weights, 1), color=COLOURS[2], label="median")
    ax.axhline(1, color=COLOURS[5], ls=":", lw=1)
    ax.set(xlabel="layer", title=f"Norm weights {name}")
axes[0].set_ylabel("weight")
axes[1].legend(loc="upper right", ncols=2)
plt.show()

# %% [markdown]
# At most dims they are well below 1, smallest in the first layer, and a few dims stand out: what a layer gets to
# see of the stream is a choice that the model has learned.
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `rmsnorm_forward` | Bring rows to one size; runs in a model | 1 | 10 | core |
# | `rmsnorm_backward` | The gradient | 3 | 30 | core |
# | `rmsnorm_float16` | Half precision | 2 | 15 |  |
# | `rmsnorm_kernel` | The fused kernel; runs in a model; with a speed card | 2 | 20 |  |
# | `add_rmsnorm` | Where the norm stands | 1 | 10 |  |
#
# <!-- end of the exercises -->
#
# `minillama learn start my-llama` writes the files to fill in, `minillama learn watch` checks them whenever they are
# saved. In a notebook:
#
# ```python
# from minillama.learn import check
# check("rmsnorm_forward", my_function)
# ```
#
# A wrong function is not only refused, it is diagnosed. Here is one with $\varepsilon$ outside the root:


# %%
def my_rmsnorm(x, weight, eps):
    return x / (np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) + eps) * weight


check("rmsnorm_forward", my_rmsnorm)

# %% [markdown]
# The function derived above passes, and so does the half-precision one.

# %%
assert check("rmsnorm_backward", rmsnorm_backward).passed
assert check("rmsnorm_float16", rmsnorm_half).passed
check("rmsnorm_forward", rmsnorm)

# %% [markdown]
# ## What breaks if it is wrong
#
# The real model, with one wrong norm after another. The table shows the mean loss per token of the sentence above
# (chapter 03; lower is better) and what the model makes of "The capital of France is".


# %%
def as_op(function):
    return lambda x, weight, eps: (np.asarray(function(x, weight, eps), np.float32), None)


def half_everywhere(function):
    return lambda x, weight, eps: function(x.astype(np.float16), weight.astype(np.float16), eps)


variants = {
    "right": rmsnorm,
    "eps 1e-6 instead of 1e-5": lambda x, w, eps: rmsnorm(x, w, 1e-6),
    "eps 0.1": lambda x, w, eps: rmsnorm(x, w, 0.1),
    "mean subtracted (LayerNorm)": layer_norm,
    "weight + 1": lambda x, w, eps: rmsnorm(x, w + 1, eps),
    "sum instead of mean": lambda x, w, eps: rmsnorm(x, w, eps) / x.shape[-1] ** 0.5,
    "float16, statistics in float32": half_everywhere(rmsnorm_half),
    "float16 throughout": half_everywhere(rmsnorm_half_wrong),
}

# %%
rows, losses = [], {}
for name, function in variants.items():
    broken = minillama.LLM(llm.params, llm.config, llm.tokenizer, ops=FAST._replace(rmsnorm_forward=as_op(function)))
    logits = broken.logits(ids[0])[:-1].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    losses[name] = -logprobs[np.arange(len(logprobs)), ids[0, 1:]].mean()
    answer = broken.generate("The capital of France is", max_tokens=6, temperature=0).text
    rows.append((name, f"{losses[name]:.2f}", repr(answer)[:60]))
table(("norm", "loss", "continuation"), rows)

# %% [markdown]
# A wrong $\varepsilon$ of the usual size is invisible here: the smallest rows of this model have a root mean square
# near 0.1, far above $\sqrt{10^{-5}}$. Wrong factors destroy everything. LayerNorm does little harm: a row's mean is
# mostly small against its root mean square, as the next cell prints. In float16 throughout, the squares of every
# row are infinite at the last norm, all rows become zero and all logits equal: the loss is $\ln 49152 = 10.80$,
# that of guessing. The same float16 with statistics in float32 does as well as float32.

# %%
assert abs(losses["eps 1e-6 instead of 1e-5"] - losses["right"]) < 0.01
assert abs(losses["float16, statistics in float32"] - losses["right"]) < 0.05
assert abs(losses["float16 throughout"] - np.log(llm.config.vocab_size)) < 0.01
assert min(losses["eps 0.1"], losses["weight + 1"], losses["sum instead of mean"]) > losses["right"] + 1
print(
    f"smallest row: {rms.min():.3f}; mean / root mean square: {np.median(np.abs(stream.mean(-1)) / rms):.3f} (median)"
)

# %% [markdown]
# ## The package's function
#
# `minillama.layers.rmsnorm` holds what this chapter derived: NumPy to be read, and a kernel. Both return a pair:
# the result, and what the backward pass needs.

# %%
from minillama.layers.rmsnorm import rmsnorm_forward, rmsnorm_forward_fast

for function in (rmsnorm_forward, rmsnorm_forward_fast):
    np.testing.assert_allclose(function(x, weight, 1e-5)[0], rmsnorm(x, weight, 1e-5), rtol=2e-6)
np.testing.assert_array_equal(rmsnorm_forward(half, half_weight, 1e-5)[0], rmsnorm_half(half, half_weight, 1e-5))
show_error(
    "package, layer 12",
    rmsnorm_forward_fast(stream[24], layer.attention_norm, 1e-5)[0],
    rmsnorm(stream[24], layer.attention_norm, 1e-5),
    1e-4,
    against="the chapter",
)
