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
# > **Before this:** [09](09_whole_model.ipynb).
# > **Time:** 65 minutes to read and run, 285 for all exercises; on the [core path](README.md) 240 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2, "Training Details". **Not here:** which texts a model
# > should be trained on (13). Not reproduced: the scale, 2 trillion tokens in some 500,000 steps of 4 million tokens
# > each, on a cluster. The models of this chapter see some ten thousand tokens a few times, and nothing in their loss
# > curves predicts that of a 7B model.
#
# "Chosen by hand; a real model learns them." Every chapter so far has said that of its numbers. Who tells millions of
# numbers what to be?
#
# Here is a small model of this project that tells stories, stories3M, twice: as it is, and with its 2.8 million weights
# replaced by random ones, such as training begins with. Everything else is the same, every layer of chapters 03 to 09.

# %% tags=["hide-input"]
import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

import minillama
from minillama.compute.threads import set_threads
from minillama.config import ModelConfig
from minillama.learn.book import (
    COLOURS,
    claim,
    draw_arrows,
    label,
    load,
    now_you,
    show,
    show_error,
    style,
    table,
    torch,
)
from minillama.learn.book.toy import SENTENCE, VECTORS, WORDS
from minillama.ops import FAST, REFERENCE
from minillama.params import count_parameters, expected_shapes, init_params, named_arrays
from minillama.training.gradients import loss_and_gradients
from minillama.trees import map_tree, named_leaves

style()
plt.rcParams["axes.axisbelow"] = True
set_threads(1)  # in models this small, threads would mostly wait for one another
rng = np.random.default_rng(14)

teller = load("stories3M")
tokenizer = teller.tokenizer
written = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else np.array(w, np.float32), teller.params)
ids = np.array([tokenizer.encode(SENTENCE)])
tokens, targets = ids[:, :-1].copy(), ids[:, 1:].copy()  # every place is asked for the token after it (03)

# %% [markdown]
# **Guess first:** what does the one with random weights say after "Once upon a time", and what is its loss on the toy's
# sentence? The vocabulary has 2048 tokens.

# %% tags=["hide-output"]
new = init_params(teller.config, np.random.default_rng(0))
for name, params in (("trained", written), ("random", new)):
    model = minillama.LLM(params, teller.config, tokenizer)
    said = " ".join(model.generate("Once upon a time", max_tokens=12, temperature=0).text.split())
    loss = loss_and_gradients(params, teller.config, tokens, targets)[0]
    print(f"{name:<8} loss {loss:.2f}   Once upon a time {said}")
print(f"guessing among all tokens alike: log V = {math.log(teller.config.vocab_size):.2f}")

# %% [markdown]
# What could be done about the random one? Try: move all its weights a little, in a random direction, and keep the move
# if the loss falls. Or compute the gradient (03), and take one step of the same length against it.
#
# **Guess first:** thirty random steps against one. By how much does the best of the thirty lower the loss, if the step
# against the gradient lowers it by 0.7?


# %% tags=["hide-output"]
def step_along(params, direction, length):
    """Parameters moved by `length` in all: `named_leaves` lists all arrays, `map_tree` does the same to each."""
    norm = math.sqrt(sum(float(np.sum(np.square(d, dtype=np.float64))) for _, d in named_leaves(direction)))
    return map_tree(lambda p, d: p + np.float32(length / norm) * d, params, direction)


def loss_of(params):
    return loss_and_gradients(params, teller.config, tokens, targets)[0]


before, gradients = loss_and_gradients(new, teller.config, tokens, targets)
falls = []
for _ in range(30):
    direction = map_tree(lambda p: rng.standard_normal(p.shape, np.float32), new)
    falls.append(before - loss_of(step_along(new, direction, 0.1)))
downhill = before - loss_of(step_along(new, map_tree(np.negative, gradients), 0.1))
print(f"30 random steps: the loss falls by {max(falls):.4f} at best, and rises by {-min(falls):.4f} at worst")
print(f"one step against the gradient: it falls by {downhill:.4f}")
assert downhill > 50 * max(falls)

# %% [markdown]
# Among 2.8 million directions a random one has next to nothing to do with the one that counts. The gradient knows all
# 2.8 million slopes at once, for the price of a few passes through the model, not of millions. This chapter computes it
# by hand, layer by layer, and then lets a model learn with it.
#
# Chapter 03 has the rule. A part of a model that makes $y$ of $x$ and of learned numbers $w$ is given `dy`, of the
# shape of $y$: how fast the loss grows with each number of $y$. It returns `dx` to the part before it, and keeps `dw`.
# Speeds multiply along a path and add up over paths. Called from the last part to the first, that is
# [backpropagation](glossary.md#backpropagation). Most mistakes in this chapter are a sum that was forgotten.
#
# ## A push up and a push down measure a gradient
#
# Whoever derives by hand errs by hand. So first a measure that needs no calculus. Chapter 03 moved one number by 0.1
# and watched the loss. Its state was (1, 2), the text had "bone", and the gradient for *alive* is 0.3399:
#
# | *alive* is | 0.9 | 1.0 | 1.1 |
# |---|---|---|---|
# | loss | 0.64701 | 0.68027 | 0.71501 |
#
# From 1.0 to 1.1 the loss rises by 0.0347: a slope of 0.347, two percent too large, because the curve bends upwards.
# From 0.9 to 1.0 it is 0.333, two percent too small. From 0.9 to 1.1, both at once, it is 0.3400: what the bend adds on
# one side it takes away on the other. With a push of $\delta$ and $x^{\pm}$ for the array whose number $i$ alone has
# been pushed:
#
# $$ dx_i \approx \frac{\ell(x^{+}) - \ell(x^{-})}{2\, \delta} . $$

# %%
E, bone = VECTORS.astype(np.float64), WORDS.index("bone")


def toy_loss(x):
    """Of "bone", from the state; in the precision of x."""
    z = E.astype(x.dtype) @ x
    return np.log(np.exp(z).sum()) - z[bone]


state, push = np.array([1.0, 2.0]), np.array([0.1, 0.0])
p = np.exp(E @ state) / np.exp(E @ state).sum()
exact = E.T @ (p - np.eye(3)[bone])  # chapter 03
print(f"gradient for alive {exact[0]:.4f}")
print(f"up only            {(toy_loss(state + push) - toy_loss(state)) / 0.1:.4f}")
print(f"up and down        {(toy_loss(state + push) - toy_loss(state - push)) / 0.2:.4f}")

# %% [markdown]
# ### Now you · `numerical_gradient` · 15 minutes
#
# A function $f$ that makes one number of an array, the array (any shape), and the push → an array of the same shape.
# Every number has its turn. The array is float32: is that enough to subtract two losses that are nearly equal?

# %%
numerical_gradient = now_you("numerical_gradient")


# %% tags=["solution"]
def book_numerical_gradient(f, x, step):
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


# %%
measured = numerical_gradient(lambda row: toy_loss(row[0]), state[None], 1e-3)[0]
print("measured", measured, "  exact", exact)

# %% [markdown]
# **Guess first:** how small should the push be, 0.1, 0.00001 or 0.0000000001? A smaller one leaves less of the bend.

# %% tags=["hide-input", "hide-output"]
pushes = 10.0 ** np.arange(-10, 0.5, 0.5)


def relative_error(dtype, both_sides, push):
    largest = 0.0
    for i in range(2):
        up, down = state.astype(dtype), state.astype(dtype)
        up[i] += dtype(push)
        down[i] -= dtype(push if both_sides else 0)
        slope = (toy_loss(up) - toy_loss(down)) / dtype(push * (2 if both_sides else 1))
        largest = max(largest, abs(float(slope) - exact[i]) / np.abs(exact).max())
    return largest


kinds = {
    "float64, up and down": (np.float64, True),
    "float64, up only": (np.float64, False),
    "float32, up and down": (np.float32, True),
}
errors = {name: np.array([relative_error(*kind, push) for push in pushes]) for name, kind in kinds.items()}
figure, axis = plt.subplots()
for name, values in errors.items():
    axis.loglog(pushes, values, "o-", markersize=4, label=name)
axis.axhline(1e-9, color=COLOURS[5], linestyle=":", label="nine digits")
axis.set(xlabel="push δ", ylabel="error, as a share of the gradient")
claim(axis, "Up and down in float64: right to nine digits", holds=errors["float64, up and down"].min() < 1e-9)
axis.legend(fontsize=8)
best = {name: pushes[values.argmin()] for name, values in errors.items()}
show(
    figure,
    "Both axes logarithmic: the error of the measured gradient over the push, three curves, each a V. Up and down in "
    f"float64 falls to {errors['float64, up and down'].min():.0e} near a push of {best['float64, up and down']:.0e}, "
    f"below the dotted line of nine digits; up only stops at {errors['float64, up only'].min():.0e}; in float32 the "
    f"lowest point is {errors['float32, up and down'].min():.0e}.",
)

# %% [markdown]
# On the right, the bend is in the way; on the left, rounding: two nearly equal numbers are subtracted, and the digits
# that they share are gone. The best push lies between, near 0.00001. In float32 the same push leaves hardly two digits,
# too few to tell a wrong gradient from a right one. All measuring of gradients below is therefore done in float64. For
# training it is no use: each of 2.8 million numbers would need two passes through the model.
#
# ## Each word asks for another matrix, and all of them are added
#
# The layer that occurs most often is a matrix. In chapter 06, $W_q$, with the rows (4, 0) and (0, 0), made a query of
# every word's own two numbers. Suppose that the layers behind it have sent back how the loss grows with the three
# queries:
#
# | | dog | bone | it |
# |---|---|---|---|
# | $x$ | (1, 0) | (0, 1) | (½, ½) |
# | $y = W x$ | (4, 0) | (0, 0) | (2, 0) |
# | $dy$ | (1, 0) | (0, 1) | (−1, 1) |
#
# The number $w_{oi}$ leads from number $i$ of $x$ to number $o$ of $y$. Raise $w_{00}$ by 0.01: the first number of $y$
# grows by 0.01 times *alive*, for every word. For the dog that is 0.01, and the loss grows by 0.01 · 1; for the bone
# nothing; for "it" 0.005, and the loss falls by 0.005. So each word asks for a matrix of its own, $dy$ times $x$, every
# number with every number. There is one $W$ for all of them, and what it gets is the sum.

# %% tags=["hide-input"]
W = np.array([[4.0, 0.0], [0.0, 0.0]])  # W_q of chapter 06
dy_toy = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
asked = [np.outer(dy_toy[t], E[t]) for t in range(3)]
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), sharex=True, sharey=True)
for axis, matrix, name, sign in zip(axes, [*asked, sum(asked)], [*WORDS, "dW, the sum"], ("+", "+", "=", "")):
    axis.imshow(matrix, cmap="RdBu_r", vmin=-3, vmax=3)
    for o, i in np.ndindex(2, 2):
        axis.text(i, o, f"{matrix[o, i]:g}".replace("-", "−"), ha="center", va="center", fontsize=12)
    axis.text(1.22, 0.5, sign, transform=axis.transAxes, ha="center", va="center", fontsize=16)
    axis.set_xticks(range(2), ["alive", "edible"])
    axis.set_yticks(range(2), ["y₀", "y₁"])
    axis.grid(False)
    label(axis, name)
show(
    figure,
    "Three squares of two by two numbers and a fourth, their sum. Dog: 1 in the upper left. Bone: 1 in the lower "
    "right. It: −0.5 twice above, 0.5 twice below. The sum: 0.5 and −0.5 above, 0.5 and 1.5 below.",
)

# %% [markdown]
# And $x$? Its number $i$ reaches every number $o$ of its own $y$, with the factor $w_{oi}$; what comes back over all of
# them is added. In symbols, for the rows $t$ of all texts:
#
# $$ dw_{oi} = \sum_t dy_{to}\, x_{ti}, \qquad dx_{ti} = \sum_o dy_{to}\, w_{oi} . $$
#
# Read aloud, for one text:


# %%
def linear_loops(dy, x, w):
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for t in range(len(x)):
        for o in range(len(w)):
            for i in range(w.shape[1]):
                dx[t, i] += dy[t, o] * w[o, i]
                dw[o, i] += dy[t, o] * x[t, i]
    return dx, dw


dx_toy, dW_toy = linear_loops(dy_toy, E, W)
print("dx", dx_toy.tolist(), "  dW", dW_toy.tolist())

# %% [markdown]
# ### Now you · `linear_backward` · 15 minutes
#
# `dy` (B, T, D_out), `x` (B, T, D_in), `weight` (D_out, D_in) → `dx`, `dweight`. No loop is needed: both sums are
# products of matrices. Which rows are added up in `dweight`, if there are B texts?

# %%
linear_backward = now_you("linear_backward")


# %% tags=["solution"]
def book_linear_backward(dy, x, weight):
    rows_of_dy, rows_of_x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    return dy @ weight, rows_of_dy.T @ rows_of_x


# %% [markdown]
# To measure it, a loss is needed whose `dy` is known. Take $\ell = \sum dy \cdot y$, any fixed numbers times what comes
# out: it grows with each number of $y$ at just the speed $dy$. The same trick serves for every layer.

# %%
x, w, dy = rng.normal(size=(2, 4, 3)), rng.normal(size=(5, 3)), rng.normal(size=(2, 4, 5))
dx, dw = linear_backward(dy, x, w)
both = [linear_loops(dy[b], x[b], w) for b in range(2)]
show_error("dx", dx, np.array([one for one, _ in both]), 1e-5, against="the loops")
show_error("dw", dw, both[0][1] + both[1][1], 1e-5, against="the loops, two texts added")
show_error("dx", dx, numerical_gradient(lambda a: np.sum(dy * (a @ w.T)), x, 1e-5), 1e-5, against="pushing each number")
show_error("dw", dw, numerical_gradient(lambda a: np.sum(dy * (x @ a.T)), w, 1e-5), 1e-5, against="pushing each number")

# %% [markdown]
# ## A row that is read three times hears from three places
#
# At the beginning of the model stands no matrix but the table (03): every word gets its row. Where a word stands
# several times, its row is used several times. For "it dog it it", let the layers send back one $dx$ for each place:
#
# | place | 0 | 1 | 2 | 3 |
# |---|---|---|---|---|
# | word | it | dog | it | it |
# | $dx$ | (1, 0) | (0, 1) | (1, 0) | (1, 2) |
#
# The row of "dog" hears (0, 1), the row of "bone" nothing, and the row of "it" (3, 2).
#
# **Guess first:** NumPy has a short way to write that, `dE[ids] += dx`. What does the row of "it" get?

# %% tags=["hide-output"]
text_ids, dx_text = np.array([2, 0, 2, 2]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 2.0]])
short = np.zeros((3, 2))
short[text_ids] += dx_text
print(dict(zip(WORDS, short.tolist())))
assert short[2].tolist() == [1, 2]

# %% [markdown]
# Only the last. The line reads all rows first, adds, and writes back; the row of "it" was read three times as zeros,
# and the third result stays. Nothing complains. In real texts it is the frequent tokens that lose most.
#
# ### Now you · `embedding_backward` · 15 minutes
#
# `dx` (B, T, D), `tokens` (B, T) and the size of the vocabulary → the gradient of the table, (V, D). (Not on the core
# path: go on with the book's if you like.)

# %%
embedding_backward = now_you("embedding_backward")


# %% tags=["solution"]
def book_embedding_backward(dx, tokens, vocab_size):
    dtable = np.zeros((vocab_size, dx.shape[-1]), dx.dtype)
    np.add.at(dtable, tokens.reshape(-1), dx.reshape(-1, dx.shape[-1]))  # += would lose repetitions
    return dtable


# %%
print(dict(zip(WORDS, embedding_backward(dx_text[None], text_ids[None], 3).tolist())))

# %% [markdown]
# With tied embeddings (03) there is one more place where a row is used: as a row of the output head. What comes back
# from there, chapter 03's $dE$, is added too.
#
# ## A key better than the mean gains, and the others pay
#
# The heart of attention is a softmax. In chapter 06, "it" gave the weights 0.58, 0.14 and 0.28 to dog, bone and itself,
# and got the mean of their values. Let the loss wish for an "it" that is more alive and less edible: $dy = (-1, 1)$.
#
# How fast does the loss grow with each *weight*? More weight on the dog adds more of (1, 0) to $y$, so the speed is
# $dp_s = dy \cdot v_s$, a dot product with the value:
#
# | | dog | bone | it |
# |---|---|---|---|
# | weight $p$ | 0.58 | 0.14 | 0.28 |
# | value | (1, 0) | (0, 1) | (½, ½) |
# | $dp = dy \cdot v$ | −1 | 1 | 0 |
#
# More dog is better, more bone is worse, and more of "it" itself changes nothing. But nobody can move one weight alone:
# they sum to 1. What can be moved are the scores, and a score that rises takes weight from all others.
#
# **Guess first:** $dp$ of "it" itself is 0. Should its score stay, rise or fall?

# %% tags=["hide-output"]
p_it = np.exp(E @ [2.0, 0.0] / math.sqrt(2))
p_it /= p_it.sum()
dp_it = E @ [-1.0, 1.0]


def toy_softmax_loss(z):
    return np.exp(z[0]) / np.exp(z[0]).sum() @ dp_it  # grows with each weight at the speed dp


speeds = numerical_gradient(toy_softmax_loss, np.log(p_it)[None], 1e-5)[0]
for word, weight, a, b in zip(WORDS, p_it, dp_it, speeds):
    print(f"{word:<5} weight {weight:.2f}   dp {a:+.0f}   dz, measured {b:+.3f}")
print(f"mean of dp, weighted: {p_it @ dp_it:+.2f};  sum of dz: {abs(speeds.sum()):.3f}")

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharex=True)
left.bar(WORDS, dp_it, color=COLOURS[:3])
left.axhline(p_it @ dp_it, color=COLOURS[5], linestyle="--", label=f"mean by the weights, {p_it @ dp_it:.2f}")
left.set(ylabel="dp: loss grows with the weight", ylim=(-1.2, 1.2))
left.legend(fontsize=8)
claim(left, "The dog does better than the mean, “it” worse", holds=dp_it[0] < p_it @ dp_it < dp_it[2])
right.bar(WORDS, speeds, color=COLOURS[:3])
right.axhline(0, color=COLOURS[5], linewidth=1)
right.set(ylabel="dz: loss grows with the score", ylim=(-0.4, 0.4))
claim(right, "The dog's score should rise, both others fall", holds=speeds[0] < 0 < min(speeds[1:]))
show(
    figure,
    "Left, dp as bars: dog −1, bone 1, it 0; a dashed line at their weighted mean of "
    f"{p_it @ dp_it:.2f}. Right, dz as bars: dog {speeds[0]:.2f}, bone {speeds[1]:.2f}, it {speeds[2]:.2f}. What lies "
    "below the line on the left is negative on the right.",
)

# %% [markdown]
# It should fall: the loss grows with it. Weight on "it" is neither good nor bad in itself, but it is missing on the
# dog.
#
# How fast does each weight $p_r = e^{z_r} / \sum e^z$ move with each score? As in chapter 03: raise $z_s$ by 0.01, and
# its exponential grows by one percent, the sum below the line by $p_s$ percent. So $p_s$ grows by $1 - p_s$ percent of
# itself, and every other weight falls by $p_s$ percent of itself. With $[r = s]$ for 1 where they are the same and 0
# elsewhere:
#
# $$ \frac{\partial p_r}{\partial z_s} = p_r \bigl([r = s] - p_s\bigr), \qquad
#    dz_s = \sum_r dp_r\, \frac{\partial p_r}{\partial z_s} . $$
#
# The second is the chain rule: the score $s$ reaches the loss by all weights $r$ of its row. For $S$ keys these are
# $S \times S$ numbers for each query. Put the first into the second and multiply out: how few sums are left?
#
# ### Now you · `softmax_backward` · 20 minutes
#
# `dp` and `p`, both (N, S) → `dz` (N, S), without a table of $S \times S$.

# %%
softmax_backward = now_you("softmax_backward")


# %% tags=["solution"]
def book_softmax_backward(dp, p):
    return p * (dp - np.sum(dp * p, axis=-1, keepdims=True))


# %%
dz_it = softmax_backward(dp_it[None], p_it[None])[0]
print("dz", dz_it.round(3))
show_error("dz", dz_it, speeds, 1e-5, against="pushing each score")
scores = rng.normal(size=(5, 9))
weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
dp = rng.normal(size=(5, 9))
if torch is not None:
    z64 = torch.tensor(scores, requires_grad=True)
    (expected,) = torch.autograd.grad(torch.softmax(z64, -1), z64, torch.tensor(dp))
else:
    softmax = lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    expected = numerical_gradient(lambda z: np.sum(dp * softmax(z)), scores, 1e-5)
show_error("softmax", softmax_backward(dp, weights), expected, 1e-5)

# %% [markdown]
# One sum a row is left, the mean of $dp$ by the weights, and each score is moved by how far its key is from it:
# $dz_s = p_s \bigl(dp_s - \sum_r p_r\, dp_r\bigr)$. A row of $dz$ sums to 0, for adding the same to all scores of a row
# changes nothing (06). And a key with next to no weight gets next to no gradient, however good it would be: that is why
# chapter 06 divides by √head_dim, so that no key takes all before anything is learned.
#
# ## Attention backwards is attention read from its end
#
# Now all three words, each seeing itself and what came before. Forward there were three steps: scores
# $z_{ts} = q_t \cdot k_s / \sqrt h$, weights $p_{ts}$, and $y_t = \sum_s p_{ts} v_s$. Backward takes them in the other
# order, and each step asks who reaches whom.
#
# - **Values.** $v_s$ goes into $y_t$ of every query $t$ that sees it, with the factor $p_{ts}$:
#   $dv_s = \sum_{t \ge s} p_{ts}\, dy_t$. And the weight meets the value: $dp_{ts} = dy_t \cdot v_s$.
# - **Weights.** Each row is a softmax: $dz_{ts}$ as above.
# - **Scores.** $z_{ts}$ is a product of $q_t$ and $k_s$, and a product hands each factor the other (08):
#   $dq_t = \sum_s dz_{ts}\, k_s / \sqrt h$ and $dk_s = \sum_{t \ge s} dz_{ts}\, q_t / \sqrt h$. The root that divided
#   the scores divides their gradients.
#
# For the bone it can be done in the head. Its query was (0, 0), so it gives ½ to the dog and ½ to itself. With its
# $dy = (0, 1)$, $dp$ is 0 for the dog and 1 for itself, the mean ½, and $dz = ½ \cdot (0 - ½) = -¼$ for the dog, +¼ for
# itself.


# %%
def attention_loops(dy, q, k, v):
    """One head, number by number. Returns dq, dk, dv, and what lies between."""
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


q_toy, k_toy, v_toy = E @ W.T, E, E  # as in chapter 06
three_words, between = attention_loops(dy_toy, q_toy, k_toy, v_toy)
for name, matrix in zip(("p", "dp", "dz"), between):
    for t, row in enumerate(matrix):
        seen = "  ".join(f"{number:7.3f}" if s <= t else "      ·" for s, number in enumerate(row))
        print(f"{name if t == 0 else '':<3} {WORDS[t]:<5} {seen}   sum {round(row.sum(), 9) + 0.0:6.3f}")
assert between[2][1].round(9).tolist() == [-0.25, 0.25, 0]

# %% [markdown]
# The dog sees itself alone: its weight is 1 whatever its score, so its $dz$ is 0, and it learns nothing about whom to
# ask. Every row of $dz$ sums to 0. And above the diagonal nothing comes back, for $p = 0$ there: the mask needs no line
# of its own on the way back, as long as $p$ is the masked one.
#
# As matrices, with $\odot$ for number times number, and in grouped-query attention (07) one thing more:
#
# $$ dV = P^\top dY, \quad dP = dY\, V^\top, \quad dZ = P \odot (dP - \text{row sums of } P \odot dP), \quad
#    dQ = dZ\, K / \sqrt h, \quad dK = dZ^\top Q / \sqrt h . $$
#
# | array | shape |
# |---|---|
# | `dy`, `q`, `dq` | (B, H, T, head_dim) |
# | `k`, `v`, `dk`, `dv` | (B, K, S, head_dim) |
# | $P$, $dP$, $dZ$ | (B, H, T, S) |
#
# A head of keys and values serves $H / K$ query heads. What comes back to it from one of them is the formula above; and
# from all of them?
#
# ### Now you · `attention_backward` · 60 minutes
#
# `dy`, `q`, `k`, `v` and `positions` (B, T), as in chapters 06 and 07 → `dq`, `dk`, `dv`. Forward has to be done again
# on the way. When yours passes, the models below are trained with it beside PyTorch, and
# `minillama learn speed attention_backward` shows how fast it is.

# %%
attention_backward = now_you("attention_backward")


# %% tags=["solution"]
def book_attention_backward(dy, q, k, v, positions):
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


# %%
toy32 = [a[None, None].astype(np.float32) for a in (dy_toy, q_toy, k_toy, v_toy)]
for name, ours, loops in zip(("dq", "dk", "dv"), attention_backward(*toy32, np.arange(3)[None]), three_words):
    show_error(f"three words, {name}", ours[0, 0], loops, 1e-5, against="the loops")

# %% [markdown]
# ### Nobody needs the whole matrix
#
# $P$ has a number for each pair of tokens: 67 MB in float32 for one head and 4096 tokens, in every layer. Chapter 06
# went forward without it. Backward can too, if one number a query has been kept: the logarithm of what was below the
# line, $\operatorname{lse}_t = \log \sum_s e^{z_{ts}}$. Then $p_{ts} = e^{z_{ts} - \operatorname{lse}_t}$ can be made
# again when it is wanted. And the mean in $dz$ needs no loop over keys first:
#
# $$ \sum_r p_{tr}\, dp_{tr} = \sum_r p_{tr}\, (dy_t \cdot v_r) = dy_t \cdot y_t . $$
#
# For the bone: $y = (½, ½)$ and $dy = (0, 1)$, which is ½, the mean from above. That is the backward pass of
# FlashAttention (Dao et al., arXiv:2205.14135). For one head, compiled:


# %%
@njit
def attention_backward_of_head(dy, q, k, v, y, lse):
    """One pass over the pairs, and no array of pairs."""
    n, h = q.shape
    scale = 1 / np.sqrt(h)
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for t in range(n):
        mean = 0.0
        for j in range(h):
            mean += dy[t, j] * y[t, j]
        for s in range(t + 1):
            score, dp = 0.0, 0.0
            for j in range(h):
                score += q[t, j] * k[s, j]
                dp += dy[t, j] * v[s, j]
            p = np.exp(score * scale - lse[t])
            dz = p * (dp - mean) * scale
            for j in range(h):
                dv[s, j] += p * dy[t, j]
                dq[t, j] += dz * k[s, j]
                dk[s, j] += dz * q[t, j]
    return dq, dk, dv


p_toy = between[0]
lse_toy = np.log(np.where(np.tri(3, dtype=bool), np.exp(q_toy @ k_toy.T / math.sqrt(2)), 0).sum(axis=1))
compiled = attention_backward_of_head(dy_toy, q_toy, k_toy, v_toy, p_toy @ v_toy, lse_toy)
for name, ours, loops in zip(("dq", "dk", "dv"), compiled, three_words):
    show_error(f"compiled, {name}", ours, loops, 1e-12, against="the loops")

# %% [markdown]
# The package's kernel does this for tiles of queries and for groups of heads; its NumPy reference,
# `minillama.layers.attention.attention_backward`, keeps $P$ whole for a moment, and is the one to read.
#
# ## PyTorch finds the same gradients, layer by layer
#
# Four more layers have a backward function of their own, from earlier chapters: cross-entropy (03), RMSNorm (04), RoPE
# (05, rotated back) and SwiGLU (08). In float64, where a right gradient has some fifteen digits, PyTorch's autograd
# judges all seven functions of the package; and, with the tolerance of float32, those of this chapter.
# (Where PyTorch is missing, pushing each number takes its place. The folded cell holds the layers in PyTorch.)

# %% tags=["hide-input"]
from minillama.layers.rope import rope_table

B, T, D, H, K, h = 2, 4, 6, 4, 2, 6
places, some_ids = np.arange(T) + np.zeros((B, 1), int), rng.integers(0, 5, (B, T))
cos, sin = rope_table(h, T, 10000.0, np.float64)
F = None if torch is None else torch.nn.functional
ops = REFERENCE
strict = 1e-10 if torch is not None else 1e-6


def normal(*shape):
    return rng.normal(size=shape)


def turned(x):
    """RoPE in PyTorch."""
    c, s = (torch.tensor(a)[None, None] for a in (cos, sin))
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * c - odd * s, even * s + odd * c), -1).flatten(3)


def nll(logits):
    return F.cross_entropy(logits.flatten(0, 1), torch.tensor(some_ids).flatten())


def sdpa(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


LAYERS = {  # what the op is given besides arrays, the layer in PyTorch, its arrays
    "linear": ((), lambda x, w: F.linear(x, w), [normal(B, T, D), normal(7, D)]),
    "rmsnorm": ((1e-5,), lambda x, w: F.rms_norm(x, (D,), w, 1e-5), [normal(B, T, D), normal(D)]),
    "rope": ((cos, sin, places), turned, [normal(B, H, T, h)]),
    "attention": ((places,), sdpa, [normal(B, H, T, h), normal(B, K, T, h), normal(B, K, T, h)]),
    "swiglu": ((), lambda g, u: F.silu(g) * u, [normal(B, T, D), normal(B, T, D)]),
    "cross_entropy": ((some_ids,), nll, [normal(B, T, 5)]),
    "embedding": ((), lambda w: F.embedding(torch.tensor(some_ids), w), [normal(5, D)]),
}


def run(name, arrays):
    """The layer's result and what it saved, by the package."""
    forward_of = getattr(ops, f"{name}_forward")
    return forward_of(some_ids, *arrays) if name == "embedding" else forward_of(*arrays, *LAYERS[name][0])


def expected_gradients(name, arrays, dy):
    """Of sum(dy * y) by every array: autograd, or by pushing each number."""
    if torch is not None:
        leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
        return torch.autograd.grad(LAYERS[name][1](*leaves), leaves, torch.tensor(dy))
    put = lambda i, a: [*arrays[:i], a, *arrays[i + 1 :]]
    return [
        numerical_gradient(lambda a, i=i: float(np.sum(dy * run(name, put(i, a))[0])), arrays[i], 1e-5)
        for i in range(len(arrays))
    ]


# %%
def linear_op(dy, saved):
    """The output head is called with rows (N, D), the other matrices with (B, T, D)."""
    rows = len(dy) if dy.ndim == 3 else 1
    dy, x = (a.reshape(rows, -1, a.shape[-1]) for a in (dy, saved.x))
    dx, dw = linear_backward(dy, x, saved.weight)
    return dx.reshape(saved.x.shape), dw


mine = {  # an op of the package is given dy, and what its forward function saved
    "linear_backward": linear_op,
    "embedding_backward": lambda dx, saved: embedding_backward(dx, saved.tokens, len(saved.weight)),
    "attention_backward": lambda dy, saved: attention_backward(dy, saved.q, saved.k, saved.v, saved.positions),
}
for name, (_, _, arrays) in LAYERS.items():
    y, saved = run(name, arrays)
    dy = np.asarray(rng.normal(size=np.shape(y)))
    expected = expected_gradients(name, arrays, dy)
    for kind, backward, tolerance in (
        ("the package", getattr(ops, f"{name}_backward"), strict),
        ("this chapter", mine.get(f"{name}_backward"), 1e-5),
    ):
        if backward is not None:
            found = backward(dy, saved)
            found = np.concatenate([np.ravel(a) for a in (found if isinstance(found, tuple) else (found,))])
            all_expected = np.concatenate([np.ravel(np.asarray(a)) for a in expected])
            show_error(f"{name}, {kind}", found, all_expected, tolerance)

# %% [markdown]
# ## What goes two ways comes back from both
#
# The stream of the model goes past every block and into it (09): $y = x + f(x)$. Take numbers: $f(x) = 3x$. Raise $x$
# by 0.01: $y$ grows by 0.01 past the block, by 0.03 through it, together 0.04. So $dx = dy + 3\, dy$. What comes past
# the block is added to what comes through it.
#
# That sum is why many layers can be trained at all. **Guess first:** 30 blocks, each of which hands back a tenth of
# what it is given. How much arrives at the embedding without the way past them, and how much with it?

# %% tags=["hide-output"]
print(f"through the blocks alone 0.1^30 = {0.1**30:.0e};  with the way past them 1.1^30 = {1.1**30:.1f}")

# %% [markdown]
# Inside a block it happens once more: the normalised row `m` goes to two matrices, `w_gate` and `w_up`, in the
# feed-forward block, and to three in the attention block. From each something comes back.
#
# ### Now you · `residual_ffn_backward` · 40 minutes
#
# All gradients of `y = x + w_down swiglu(w_gate m, w_up m)`, where `m` is the normalised `x`: `dx`, `dnorm_weight`,
# `dw_gate`, `dw_up`, `dw_down`. The backward functions of chapters 04 and 08 are at hand. Write down first who is given
# what, from the end. (Not on the core path.)

# %%
residual_ffn_backward = now_you("residual_ffn_backward")


# %% tags=["solution"]
def book_residual_ffn_backward(dy, x, norm_weight, w_gate, w_up, w_down, eps):
    m, norm_saved = ops.rmsnorm_forward(x, norm_weight, eps)
    hidden, swiglu_saved = ops.swiglu_forward(m @ w_gate.T, m @ w_up.T)

    dhidden, dw_down = linear_backward(dy, hidden, w_down)
    dgate, dup = ops.swiglu_backward(dhidden, swiglu_saved)
    dm_gate, dw_gate = linear_backward(dgate, m, w_gate)
    dm_up, dw_up = linear_backward(dup, m, w_up)
    dx, dnorm_weight = ops.rmsnorm_backward(dm_gate + dm_up, norm_saved)
    return dx + dy, dnorm_weight, dw_gate, dw_up, dw_down


# %% [markdown]
# The attention block is the same thought, and `minillama/model.py` reads, from its end to its beginning:
#
#     d, dwo       = linear_backward(dy, …)                 through wo
#     dq, dk, dv   = attention_backward(heads of d, …)
#     dm_q, dwq    = linear_backward(rotated back dq, …)
#     dm_k, dwk    = linear_backward(rotated back dk, …)
#     dm_v, dwv    = linear_backward(dv, …)                 values are not rotated
#     dx, dnorm    = rmsnorm_backward(dm_q + dm_k + dm_v, …)
#     dx          += dy                                     past the block
#
# Now the whole model, two layers with grouped heads. PyTorch's autograd gets the same model (in the folded cell) and
# finds the gradients of all parameters by itself.


# %% tags=["hide-input"]
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


def gradients_by_pushing(params, config, tokens, targets):
    """What takes PyTorch's place: each number of each parameter is pushed, in place."""
    found = []
    for _, array in named_leaves(params):

        def loss_with(changed, array=array):
            kept = array.copy()
            array[...] = changed
            loss = loss_and_gradients(params, config, tokens, targets, ops=REFERENCE)[0]
            array[...] = kept
            return loss

        found.append(numerical_gradient(loss_with, array, 1e-5))
    return found


def joined(arrays):
    return np.concatenate([np.ravel(np.asarray(a)) for a in arrays])


# %%
tiny = ModelConfig(dim=8, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=12, vocab_size=13, max_seq_len=8)
tiny_params = map_tree(lambda a: a if a.ndim == 1 else 10 * a, init_params(tiny, rng, np.float64))
tiny_tokens, tiny_targets = rng.integers(0, tiny.vocab_size, (2, 3, 6))
tiny_targets[0, :2] = -100  # not counted, like padding (03)
if torch is not None:
    leaves = map_tree(lambda a: torch.tensor(a, requires_grad=True), tiny_params)
    found = torch_loss(leaves, tiny, tiny_tokens, tiny_targets)
    expected = torch.autograd.grad(found, [a for _, a in named_leaves(leaves)])
else:
    expected = gradients_by_pushing(tiny_params, tiny, tiny_tokens, tiny_targets)
for name, table_of_ops, tolerance in (
    ("the package", REFERENCE, strict),
    ("with the functions of this chapter", REFERENCE._replace(**mine), 1e-5),
):
    _, gradients = loss_and_gradients(tiny_params, tiny, tiny_tokens, tiny_targets, ops=table_of_ops)
    flat = [a for _, a in named_leaves(gradients)]
    show_error(f"{len(flat)} gradients, {name}", joined(flat), joined(expected), tolerance)

# %% [markdown]
# ## What a head of a real model is told
#
# The trained stories3M reads the toy's sentence. On the way back, the attention of one head is written down: its
# weights $P$, and the gradient $dZ$ of its scores. The head shown is the one of 36 whose $dZ$ is largest, all
# queries together.

# %% tags=["hide-input"]
heard = []


def remember(dy, saved):
    """The package's gradient; P and dZ of all heads are kept beside it."""
    q, k, v = (np.repeat(a, saved.q.shape[1] // a.shape[1], axis=1) for a in saved[:3])
    z = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    p = np.exp(np.where(np.tri(z.shape[-1], dtype=bool), z, -np.inf) - saved.logsumexp[..., None])
    dp = dy @ v.swapaxes(-1, -2)
    heard.append((p[0], np.array([softmax_backward(a, b) for a, b in zip(dp[0], p[0])])))
    return FAST.attention_backward(dy, saved)


loss_and_gradients(written, teller.config, tokens, targets, ops=FAST._replace(attention_backward=remember))
heard = heard[::-1]  # backward begins with the last layer
spread = np.array([np.abs(dz[:, 2:]).sum(axis=(1, 2)) for _, dz in heard])
layer_index, head = np.unravel_index(spread.argmax(), spread.shape)
P, dZ = (a[head] for a in heard[layer_index])

words = [tokenizer.decode([i]).strip() or "start" for i in ids[0]]
figure, axes = plt.subplots(1, 2, figsize=(10, 4.8), sharex=True, sharey=True)
limit, shown = np.abs(dZ).max(), np.where(np.tri(len(P), dtype=bool), 1, np.nan)
for axis, values, options in (
    (axes[0], P, {"cmap": "viridis", "vmin": 0, "vmax": 1}),
    (axes[1], dZ, {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}),
):
    picture = axis.imshow(values * shown, **options)
    axis.set_xticks(range(len(P)), words[:-1], rotation=90, fontsize=8)
    axis.set_yticks(range(len(P)), words[:-1], fontsize=8)
    axis.set(xlabel="key: looked at")
    axis.grid(False)
    figure.colorbar(picture, ax=axis, shrink=0.75)
axes[0].set_ylabel("query: looks")
label(axes[0], f"P of layer {layer_index}, head {head}")
claim(axes[1], "dZ: every row sums to 0", holds=np.abs(dZ.sum(axis=1)).max() < 1e-5)
t, s = np.unravel_index(dZ.argmin(), dZ.shape)
show(
    figure,
    "Two lower triangles, queries down, keys across. Left the weights of the head, from 0 to 1. Right the gradient of "
    f"its scores, red where a lower score would lower the loss and blue where a higher one would. The bluest field: "
    f"“{words[t]}” looking at “{words[s]}”, {dZ[t, s]:.3f}, where the weight is {P[t, s]:.2f}.",
)

# %% [markdown]
# Blue is where a higher score would lower the loss, red where a lower one would. The first row is white: who sees one
# token alone cannot look elsewhere. The lower rows are pale: there no key is much better than the mean. A row whose
# weight lies on one key is pale too, whatever would be better, for $p$ is a factor of $dz$.
#
# ## Going back needs what was made on the way there
#
# $dW$ needs $x$, and attention's gradient needs $q$, $k$ and $v$: every layer keeps what it was given until its turn
# comes on the way back. That grows with layers and tokens, and is soon more than the weights. It can be traded: keep
# the input of each block alone, and run the block a second time when its turn comes (Chen et al., arXiv:1604.06174).
#
# **Guess first:** twelve layers. How many times less memory, for one more forward pass?

# %% tags=["hide-input", "hide-output"]
from minillama.model import RecomputedBlock, backbone_forward


def kept_bytes(saved, but=()):
    """Bytes of all arrays in a tree of what was saved; a view counts as what it is cut from, each once."""
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
at_a_time = np.array(kept[True]) + kept[False][0]
ratio = kept[False][-1] / at_a_time[-1]
figure, axis = plt.subplots(figsize=(7, 3))
axis.plot(depths, kept[False], "o-", label="everything kept")
axis.plot(depths, at_a_time, "s-", label="inputs of blocks, and one block at a time")
axis.set(xlabel="layers", ylabel="kept for the way back (MB)", ylim=(0, None))
claim(axis, "A second forward pass saves most of the memory", holds=ratio > 2)
axis.legend()
show(
    figure,
    f"Memory over 1 to 12 layers. Everything kept rises to {kept[False][-1]:.1f} MB; with inputs of blocks only, and "
    f"one block at a time, the line is nearly flat and ends at {at_a_time[-1]:.1f} MB.",
)
weights_mb = 4 * count_parameters(shape) / 1e6
print(f"12 layers, 4 × 256 tokens: {kept[False][-1]:.1f} MB or {at_a_time[-1]:.1f} MB, {ratio:.1f} times less; "
      f"the weights take {weights_mb:.1f} MB")  # fmt: skip

# %%
again = loss_and_gradients(tiny_params, tiny, tiny_tokens, tiny_targets, ops=REFERENCE, recompute=True)[1]
once = loss_and_gradients(tiny_params, tiny, tiny_tokens, tiny_targets, ops=REFERENCE)[1]
show_error(
    "gradients, blocks run twice",
    joined([a for _, a in named_leaves(again)]),
    joined([a for _, a in named_leaves(once)]),
    1e-12,
    against="everything kept",
)

# %% [markdown]
# ## A mean of means is another mean
#
# Another way to save memory: a batch that is too large goes through in parts, and their gradients are added up before
# the weights move. That is gradient [accumulation](glossary.md#accumulation). The loss of a batch is the mean over the
# targets *that count* (03), and parts do not hold equally many:
#
# | | first part | second part |
# |---|---|---|
# | targets that count | 1 | 3 |
# | mean loss | 8 | 4 |
#
# The mean of 8 and 4 is 6. But the four targets have 8 + 3 · 4 = 20 together, 5 each. With 6, the one target of the
# first part would pull as hard as all three of the second.
#
# ### Now you · `accumulate_micro_batches` · 15 minutes
#
# Of M parts: the mean losses (M,), their gradients (M, rows, columns), and how many targets count in each (M,) → loss
# and gradient of the whole batch. A part may have no target at all. (Not on the core path.)

# %%
accumulate_micro_batches = now_you("accumulate_micro_batches")


# %% tags=["solution"]
def book_accumulate_micro_batches(losses, gradients, counts):
    weights = counts / counts.sum()
    return np.sum(weights * losses), np.sum(weights[:, None, None] * gradients, axis=0)


# %%
parts = [slice(0, 1), slice(1, 3)]  # of the three texts from above; the first has fewer targets
separate = [loss_and_gradients(tiny_params, tiny, tiny_tokens[part], tiny_targets[part]) for part in parts]
counts = np.array([(tiny_targets[part] != -100).sum() for part in parts])
losses = np.array([loss for loss, _ in separate])
loss, d_wq = accumulate_micro_batches(losses, np.array([g.layers[0].wq for _, g in separate]), counts)
whole_loss, whole = loss_and_gradients(tiny_params, tiny, tiny_tokens, tiny_targets)
print(f"targets {counts}: whole batch {whole_loss:.6f}, from its parts {loss:.6f}, mean of means {losses.mean():.6f}")
show_error("gradient of wq", d_wq, whole.layers[0].wq, 1e-6, against="the whole batch")

# %% [markdown]
# The package lets sums travel, and divides once at the end; its threads share a batch in this way, as the machines of a
# cluster do.
#
# ## First test: one batch by heart
#
# The gradients are there. A rule that makes steps of them is an [optimiser](glossary.md#optimiser), and the simplest is
# chapter 03's: every weight moves against its gradient, by $\eta$ times it, with one $\eta$ for all weights, the
# [learning rate](glossary.md#learning-rate):
#
# $$ w \leftarrow w - \eta\, dw . $$
#
# Before any long training, it is tried on one small batch, again and again. A model with far more weights than the
# batch has tokens must be able to learn it by heart. If it cannot, something is broken, and that is known in a second.
#
# ### Now you · `overfit` · 25 minutes
#
# `n_steps` steps on one batch; the losses before each and after the last. `loss_and_gradients` is at hand. The
# parameters themselves have to change, in place. (Not on the core path.)

# %%
overfit = now_you("overfit")


# %% tags=["solution"]
def book_overfit(params, config, tokens, targets, n_steps, learning_rate):
    losses = []
    for _ in range(n_steps):
        loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=ops)
        losses.append(loss)
        for (_, p), (_, g) in zip(named_arrays(params), named_arrays(gradients)):
            p -= learning_rate * g
    losses.append(loss_and_gradients(params, config, tokens, targets, ops=ops)[0])
    return losses


# %% [markdown]
# Two rows of 16 tokens, drawn by dice from 64, so that there is nothing to understand, and a model of some 25,000
# weights. **Guess first:** which of these learning rates gets lowest in 100 steps: 0.01, 0.3, 1 or 3?

# %% tags=["hide-output"]
small = ModelConfig(
    dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=88, vocab_size=64, max_seq_len=32, tied=True
)
start = init_params(small, np.random.default_rng(0))
dice = np.random.default_rng(1).integers(0, 64, (2, 17))
one_batch = dice[:, :-1].copy(), dice[:, 1:].copy()
print(f"{count_parameters(small):,} weights; log 64 = {math.log(64):.2f}; losses before steps 1, 21, 41, 61, 81, 101:")
ends = {}
for rate in (0.01, 0.3, 1.0, 3.0):
    with np.errstate(all="ignore"):
        losses = overfit(map_tree(np.copy, start), small, *one_batch, 100, rate)
    ends[rate] = losses[-1]
    print(f"rate {rate:<5}", "  ".join(f"{loss:5.2f}" for loss in losses[::20]))
assert ends[1.0] < ends[0.3] < ends[0.01]
assert not ends[3.0] < 100  # NaN is not, either

# %% [markdown]
# The first loss is that of guessing, log 64: a run that begins anywhere else has a mistake before it has a learning
# rate. With 0.01 the loss creeps down; 1 learns all by heart; 3, only three times as much, and the numbers leave
# float32: on a long step the slope changes under way (03), and each step lands higher than the last.
#
# ## One rate does not fit a steep and a flat direction
#
# Why is the room between too small and too large so narrow? Take two weights, with $\ell = ½ (100\, w_0^2 + w_1^2)$,
# beginning at (1, 10). The slopes are $100\, w_0 = 100$ and $w_1 = 10$. With $\eta = 0.019$ the first weight goes
# from 1 to 1 − 1.9 = −0.9, over the bottom to the other side, and from there back to 0.81. With 0.021 it would go to
# −1.1, then to 1.21, and away. The second weight goes from 10 to 9.81. The steep direction forbids the rate that the
# flat one needs. And in the model from above?

# %%
_, g = loss_and_gradients(start, small, *one_batch)
sizes = {name: float(np.sqrt(np.mean(np.square(a, dtype=np.float64)))) for name, a in named_leaves(g)}
for name in ("layers.0.wq", "layers.0.ffn_norm", "layers.0.w_down", "layers.0.wo", "token_embedding"):
    print(f"{name:<18} typical gradient {sizes[name]:.1e}")
print(f"of all {len(sizes)} arrays, the largest is {max(sizes.values()) / min(sizes.values()):.0f} times the smallest")

# %% [markdown]
# Adam (Kingma and Ba, arXiv:1412.6980) divides every weight's gradient by its own recent size. It keeps two running
# means for each weight, $\mu$ of the gradient and $\nu$ of its square: at each step a share $\beta$ of the old mean
# stays, and the rest comes from the new gradient. The weight moves by $\eta\, \mu / \sqrt\nu$: in the steep and in the
# flat direction alike, about $\eta$. (In code the means are `m` and `v`.)
#
# Both begin at 0, and are too small at first. After one step with the gradient 10, and the shares $\beta_1 = 0.9$ and
# $\beta_2 = 0.95$, $\mu = 0.1 \cdot 10 = 1$ and $\nu = 0.05 \cdot 100 = 5$: a step of $1/\sqrt5 = 0.45$ rates. Divided
# by what the means have collected so far, $1 - \beta^{\text{step}}$, they are 10 and 100, and the step is 1 rate. In
# symbols, with $\lambda$ for what pulls the weight towards 0, of which more below:
#
# $$ \mu \leftarrow \beta_1 \mu + (1 - \beta_1)\, dw, \qquad \nu \leftarrow \beta_2 \nu + (1 - \beta_2)\, dw^2, $$
# $$ \hat\mu = \frac{\mu}{1 - \beta_1^{\text{step}}}, \quad \hat\nu = \frac{\nu}{1 - \beta_2^{\text{step}}}, \quad
#    w \leftarrow w - \eta \left( \frac{\hat\mu}{\sqrt{\hat\nu} + \varepsilon} + \lambda\, w \right) . $$
#
# This is [AdamW](glossary.md#adamw) (Loshchilov and Hutter, arXiv:1711.05101), which trains LLaMA 2, with $\beta_1 =
# 0.9$, $\beta_2 = 0.95$, $\varepsilon = 10^{-5}$, $\lambda = 0.1$. Steps count from 1.
#
# ### Now you · `adamw_step` · 30 minutes
#
# One update of one array: `p` (the weights), its gradient `g`, `m`, `v`, the number `t` of the step and the settings →
# the new `p`, `m`, `v`. What is kept for the next step, the corrected means or the others?

# %%
adamw_step = now_you("adamw_step")


# %% tags=["solution"]
def book_adamw_step(p, g, m, v, t, lr, beta1, beta2, eps, weight_decay):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return p - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * p), m, v


# %% [markdown]
# The two weights again, forty steps of each. **Guess first:** $\eta = 0.3$ is more than ten times what plain descent
# can bear. Where does Adam end?

# %% tags=["hide-input", "hide-output"]
STEEP = np.array([100.0, 1.0])


def walk(rate, adam, n_steps=40):
    w, m, v = np.array([1.0, 10.0]), np.zeros(2), np.zeros(2)
    path = [w]
    for t in range(1, n_steps + 1):
        if adam:
            w, m, v = adamw_step(w, STEEP * w, m, v, t, rate, 0.9, 0.95, 1e-5, 0.0)
        else:
            w = w - rate * STEEP * w
        path.append(w)
    return np.array(path)


paths = {"plain, η = 0.019": walk(0.019, False), "Adam, η = 0.3": walk(0.3, True)}
ends = {name: 0.5 * np.sum(STEEP * path[-1] ** 2) for name, path in paths.items()}
figure, axes = plt.subplots(1, 2, figsize=(7, 5.4), sharex=True, sharey=True)
across, up = np.meshgrid(np.linspace(-2.5, 2.5, 120), np.linspace(-2, 11, 200))
for axis, path, colour in zip(axes, paths.values(), COLOURS):
    levels = [0.5, 5, 20, 60, 150, 300]
    axis.contour(across, up, 0.5 * (100 * across**2 + up**2), levels, colors=COLOURS[5], linewidths=0.7)
    axis.plot(*path.T, "o-", color=colour, markersize=3, linewidth=1)
    axis.set(aspect="equal", xlabel="w₀, steep")
axes[0].set_ylabel("w₁, flat")
plain, adam = paths.values()
turns = int((plain[1:, 0] * plain[:-1, 0] < 0).sum())
claim(axes[0], "Plain: to and fro, and slowly down", holds=turns > 30 and plain[-1, 1] > 4)
claim(axes[1], "Adam: as fast along as across", holds=ends["Adam, η = 0.3"] < 0.1 < ends["plain, η = 0.019"])
show(
    figure,
    "Two narrow valleys with equal axes, seen from above, and a path of forty steps in each from (1, 10). Left, plain "
    f"descent jumps from one slope to the other {turns} times and has come down to w₁ = {plain[-1, 1]:.1f}. Right, "
    f"Adam moves along the valley in even steps and ends near the bottom, at w₁ = {adam[-1, 1]:.2f}.",
)
print("losses after 40 steps:", ", ".join(f"{name}: {end:.2f}" for name, end in ends.items()))

# %% [markdown]
# Dividing by the own size has a limit, $\varepsilon$. The first step for gradients of five sizes, as a share of the
# rate:

# %%
g = np.array([10.0, 0.1, 1e-3, 1e-5, 1e-7])
first, m, v = adamw_step(np.zeros(5), g, np.zeros(5), np.zeros(5), 1, 1.0, 0.9, 0.95, 1e-5, 0.0)
print("gradient          ", g)
print("step / rate       ", -first.round(3))
print("without correction", (m / (np.sqrt(v) + 1e-5)).round(3))

# %% [markdown]
# From 10 down to 0.001 every weight moves by the rate, whatever its gradient. At $\varepsilon$ it is half, and below it
# gradients count as noise.
#
# ### The pull towards 0 goes beside the gradient
#
# $\lambda w$ is [weight decay](glossary.md#weight-decay): each step takes a share $\eta\lambda$ off the weight, so that
# no weight stays large which the data do not keep large. The W in the name stands for it. Older code adds $\lambda w$
# to the *gradient*, and then the pull is divided by the gradient's size as well.
#
# **Guess first:** two weights begin at 1; the gradients of one are noise of size 10, those of the other of size 0.1.
# After 400 steps with $\eta = 0.01$, $\lambda = 0.1$: what is left of each, both ways?

# %% tags=["hide-output"]
rows = []
for size in (10.0, 0.1):
    noise = size * rng.normal(size=(400, 2000))  # 2000 such weights, to see the mean
    for kind in ("beside the gradient (AdamW)", "added to the gradient"):
        p, m, v, added = np.ones(2000), np.zeros(2000), np.zeros(2000), kind.startswith("added")
        for t, g in enumerate(noise, 1):
            given = g + 0.1 * p if added else g
            p, m, v = adamw_step(p, given, m, v, t, 0.01, 0.9, 0.95, 1e-5, 0.0 if added else 0.1)
        rows.append((f"{size:g}", kind, f"{p.mean():.2f}"))
print(f"on paper (1 - 0.01 · 0.1)^400 = {(1 - 0.001) ** 400:.2f}")
table(("size of the gradients", "decay", "left after 400 steps"), rows)

# %% [markdown]
# Beside it, both decay alike. Added to it, the weight with large gradients is hardly pulled at all, and the other one
# much harder than asked for.
#
# A norm's weight is a factor near 1 (04). Pulling it to 0 would switch its layer off, and protects from nothing. Which
# parameters LLaMA 2 exempts is not in the paper (unconfirmed). The package does as llama2.c and nanoGPT: what has two
# dimensions or more decays.
#
# ### Now you · `decayed_parameters` · 5 minutes
#
# Names and shapes of a model's parameters → the names of those that decay. The model may be any. (Not on the core
# path.)

# %%
decayed_parameters = now_you("decayed_parameters")


# %% tags=["solution"]
def book_decayed_parameters(shapes):
    return [name for name, shape in shapes.items() if len(shape) >= 2]


# %%
shapes = dict(expected_shapes(teller.config))
decayed = set(decayed_parameters(shapes))
n_decayed = sum(math.prod(shapes[name]) for name in decayed)
spared = ", ".join(name for name in shapes if name not in decayed and ("s.0." in name or "final" in name))
print(f"stories3M: {len(decayed)} of {len(shapes)} arrays decay, {n_decayed:,} of {count_parameters(teller.config):,}")
print(f"not {spared}, and so on")

# %% [markdown]
# ## The first steps know least
#
# Adam moves every weight by about $\eta$, and its direction is that of the running mean. How good is a mean of one?
# Take a weight whose gradients are noise alone, +1 or −1 by the toss of a coin: nothing to learn, so it had best stay.
#
# **Guess first:** how far does Adam move it, in rates, at step 1? And at step 100?

# %% tags=["hide-output"]
coins = rng.choice([-1.0, 1.0], size=(100, 4000))  # 4000 such weights
m = v = np.zeros(4000)
moved = []
for t, g in enumerate(coins, 1):
    p, m, v = adamw_step(np.zeros(4000), g, m, v, t, 1.0, 0.9, 0.95, 1e-5, 0.0)
    moved.append(np.sqrt(np.mean(p**2)))
print("typical step, in rates:", ", ".join(f"step {t}: {moved[t - 1]:.2f}" for t in (1, 2, 5, 10, 20, 100)))
assert moved[0] > 0.99
assert moved[-1] < 0.3

# %% [markdown]
# At the first step it goes all the way, at step 100 a quarter of it: the mean of many tosses is near 0. In a new model
# all weights at once take such steps, in the directions of a single batch. So the rate begins near 0 and rises while
# the means fill: the [warm-up](glossary.md#warm-up).
#
# The quarter that is left is the trouble at the other end of a run. However well a model has learned, noise keeps every
# weight trembling by a part of $\eta$. A smaller rate lets it settle; so $\eta$ falls to a tenth of its peak, along
# half a cosine, flat at the peak and flat at the end: the [cosine schedule](glossary.md#cosine-schedule). LLaMA 2 rises
# over 2000 steps, to $3 \cdot 10^{-4}$ for 7B. That it rises along a straight line is usual, and not in the paper
# (unconfirmed). With $u$ for the share of the way from the end of the warm-up to the last step, from 0 to 1:
#
# $$ \eta = \eta_{\text{peak}}\, \frac{\text{step}}{\text{warm-up}} \;\text{ at first, then}\quad
#    \eta = \eta_{\text{end}} + (\eta_{\text{peak}} - \eta_{\text{end}})\, \frac{1 + \cos(\pi u)}{2} . $$
#
# ### Now you · `warmup_cosine` · 20 minutes
#
# Number of the step (from 1), peak, steps of warm-up (may be 0), steps in all, and what share of the peak is left at
# the end → the rate. After the last step it stays.

# %%
warmup_cosine = now_you("warmup_cosine")


# %% tags=["solution"]
def book_warmup_cosine(step, peak, warmup_steps, total_steps, final_fraction):
    if step < warmup_steps:
        return peak * step / warmup_steps
    end = final_fraction * peak
    passed = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return end + (peak - end) / 2 * (1 + math.cos(math.pi * passed))


# %% tags=["hide-input"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
for axis, last, stride in ((left, 10_000, 20), (right, 500_000, 500)):
    at = np.arange(1, last + 1, stride)
    axis.plot(at, [warmup_cosine(int(s), 3e-4, 2000, 500_000, 0.1) for s in at])
    axis.set(xlabel="step", ylim=(0, 3.3e-4))
left.set_ylabel("learning rate")
halfway = warmup_cosine(251_000, 3e-4, 2000, 500_000, 0.1)
claim(left, "2000 steps up", holds=np.isclose(warmup_cosine(2000, 3e-4, 2000, 500_000, 0.1), 3e-4))
claim(right, "498,000 steps down, to a tenth", holds=np.isclose(warmup_cosine(500_000, 3e-4, 2000, 500_000, 0.1), 3e-5))
show(
    figure,
    "The learning rate of LLaMA 2 7B. Left, the first 10,000 steps: a straight line up to 0.0003 at step 2000, then "
    "flat. Right, all 500,000 steps: the rise is hardly to be seen, then half a cosine, "
    f"{halfway:.6f} halfway and 0.00003 at the end.",
)

# %% [markdown]
# ## One factor for all keeps the direction
#
# Now and then a batch has a gradient many times longer than usual. It would fill $\mu$ and $\nu$ for many steps to
# come. LLaMA 2 limits its length to 1, which is called [clipping](glossary.md#clipping). Two tensors of one number
# each, with the gradients 3 and 4: how long is the gradient, and what is it cut to?

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(4.6, 4.6))
arrows = {"gradient (3, 4)": (3, 4), "one factor (0.6, 0.8)": (0.6, 0.8), "each by its own (1, 1)": (1, 1)}
places_of_text = ((-78, 5), (-136, -8), (9, -4))
for (text, vector), colour, offset in zip(arrows.items(), (COLOURS[5], COLOURS[2], COLOURS[1]), places_of_text):
    draw_arrows(axis, {text: vector}, colours=(colour,), names=("first tensor", "second tensor"), offset=offset)
turn = np.linspace(0, np.pi / 2, 50)
axis.plot(np.cos(turn), np.sin(turn), ":", color=COLOURS[5])
axis.set(xlim=(-3, 4.4), ylim=(-0.4, 4.8))
along = [np.dot(v, (3, 4)) / 5 / np.linalg.norm(v) for v in ((0.6, 0.8), (1, 1))]
claim(axis, "Only one factor keeps the direction", holds=np.isclose(along[0], 1) and along[1] < 0.995)
show(
    figure,
    "A plane, the first tensor's gradient across, the second one's upwards, with a dotted quarter circle of radius 1. "
    "A long arrow to (3, 4); a short one along it that ends on the circle, (0.6, 0.8); and a third to (1, 1), which "
    "points elsewhere and leaves the circle.",
)

# %% [markdown]
# It is 5 long: squares add up over all tensors, and the root comes last, as for one long vector. The step against it is
# downhill only in its own direction, so all tensors are shortened by one factor.
#
# ### Now you · `gradient_global_norm` · 10 minutes
#
# A list of arrays of different shapes → one length. (Not on the core path.)

# %%
gradient_global_norm = now_you("gradient_global_norm")


# %% tags=["solution"]
def book_gradient_global_norm(gradients):
    return math.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in gradients))


# %% [markdown]
# ### Now you · `clip_by_global_norm` · 15 minutes
#
# A list of arrays and the largest length → a list of arrays. A short gradient stays as it is, and one of zeros must not
# become NaN; PyTorch adds $10^{-6}$ to the length, and so does the exercise.

# %%
clip_by_global_norm = now_you("clip_by_global_norm")


# %% tags=["solution"]
def book_clip_by_global_norm(gradients, max_norm):
    scale = min(1.0, max_norm / (gradient_global_norm(gradients) + 1e-6))
    return [g * np.float32(scale) for g in gradients]


# %%
two = [np.array([3.0], np.float32), np.array([4.0], np.float32)]
clipped = clip_by_global_norm(two, 1.0)
print(f"length {gradient_global_norm(two):.1f}, clipped to {clipped[0][0]:.2f} and {clipped[1][0]:.2f}")

# %% [markdown]
# ## Fifty steps beside PyTorch
#
# All pieces together: gradients, clipping, schedule, AdamW. The left column is the code of this chapter, yours where it
# has passed; the right one is PyTorch's autograd, `clip_grad_norm_` and `AdamW`. Both begin with the same weights, in
# float32. (Without PyTorch, the right one is the same run in float64.) The texts are random, but some tokens are
# frequent and most never come.


# %%
def train_by_hand(params, config, batches, peak, warmup):
    """Every update with the functions of this chapter; params are changed in place."""
    arrays = [a for _, a in named_leaves(params)]
    decayed = set(decayed_parameters({name: a.shape for name, a in named_leaves(params)}))
    m, v, losses = [np.zeros(a.size, a.dtype) for a in arrays], [np.zeros(a.size, a.dtype) for a in arrays], []
    for t, (tokens, targets) in enumerate(batches, 1):
        loss, gradients = loss_and_gradients(params, config, tokens, targets, ops=FAST._replace(**mine))
        losses.append(loss)
        clipped = clip_by_global_norm([g for _, g in named_leaves(gradients)], 1.0)
        rate = warmup_cosine(t, peak, warmup, len(batches), 0.1)
        for i, ((name, p), g) in enumerate(zip(named_leaves(params), clipped)):
            decay = 0.1 if name in decayed else 0.0
            flat, m[i], v[i] = adamw_step(p.ravel(), g.ravel(), m[i], v[i], t, rate, 0.9, 0.95, 1e-5, decay)
            p[...] = flat.reshape(p.shape)
    return losses


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
            group["lr"] = warmup_cosine(t, peak, warmup, len(batches), 0.1)
        optimizer.step()
    return losses, map_tree(lambda a: a.detach().numpy(), leaves)


# %%
text = rng.integers(0, 8, (50, 4, 33)) * 8 + rng.integers(0, 2, (50, 4, 33))
batches = [(rows[:, :-1].copy(), rows[:, 1:].copy()) for rows in text]
ours = map_tree(np.copy, start)
losses = train_by_hand(ours, small, batches, peak=3e-3, warmup=5)
if torch is not None:
    expected_losses, theirs = train_in_torch(small, start, batches, 3e-3, 5)
else:
    theirs = map_tree(lambda a: a.astype(np.float64), start)
    expected_losses = train_by_hand(theirs, small, batches, 3e-3, 5)
for t in (0, 1, 9, 24, 49):
    print(f"step {t + 1:2}: {losses[t]:.5f}  {expected_losses[t]:.5f}")
show_error("50 losses", losses, expected_losses, 1e-4)
for name in ("token_embedding", "final_norm"):
    show_error(f"{name} after step 50", getattr(ours, name), getattr(theirs, name), 1e-4)

# %% [markdown]
# The package has all of this in `minillama.training.optimizer` and `minillama.training.schedule`, the update in NumPy
# and as a kernel. They agree:

# %%
from minillama.training.optimizer import AdamW, clip_scale, global_norm
from minillama.training.optimizer import adamw_step as package_adamw_step
from minillama.training.schedule import Schedule

_, g = loss_and_gradients(start, small, *batches[0])
packaged, reference = map_tree(np.copy, start), []
AdamW(packaged).update(g, 1e-2, clip_scale(global_norm(g), 1.0))
by_hand = []
for (_, p), clipped in zip(named_leaves(start), clip_by_global_norm([a for _, a in named_leaves(g)], 1.0)):
    zero, decay = np.zeros(p.size, np.float32), 0.1 if p.ndim >= 2 else 0.0
    by_hand.append(adamw_step(p.ravel(), clipped.ravel(), zero, zero, 1, 1e-2, 0.9, 0.95, 1e-5, decay)[0])
    reference.append(package_adamw_step(p, clipped, 0 * p, 0 * p, 1, 1e-2, weight_decay=decay)[0])
show_error("one update", joined(by_hand), joined(reference), 2e-6, against="the package's reference")
show_error("one update", joined(by_hand), joined([p for _, p in named_leaves(packaged)]), 2e-6, against="its kernel")
steps = range(1, 500_100, 997)
schedule = Schedule(3e-4, 2000, 500_000)
rates = [warmup_cosine(step, 3e-4, 2000, 500_000, 0.1) for step in steps]
show_error("rates", np.array(rates), np.array([schedule(step) for step in steps]), 1e-12, against="its schedule")

# %% [markdown]
# ## First pieces, then words, then phrases
#
# From here on the package's own parts are used. The training text is written by stories3M: its stories are sampled in
# many rows side by side, with the cache of chapter 10. (The folded cell writes 48 rows of 257 tokens; noise added to
# the logits, and then the largest, is a way of sampling from the softmax.)

# %% tags=["hide-input"]
from minillama.kv_cache import KVCache
from minillama.model import forward_cached
from minillama.training.gradients import next_token_sums
from minillama.training.objectives import NextToken, Rows
from minillama.training.workers import Workers


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


def student_of(dim, n_layers):
    return ModelConfig(
        dim=dim, n_layers=n_layers, n_heads=dim // 16, n_kv_heads=max(1, dim // 32), hidden_dim=dim * 11 // 4 // 4 * 4,
        vocab_size=teller.config.vocab_size, max_seq_len=256, tied=True,
    )  # fmt: skip


def held_out_loss(params, config, ops=FAST, length=128):
    """The mean over pieces of held-out stories, as long as those of the training."""
    batch = (held_out[:, :256].reshape(-1, length), held_out[:, 1:257].reshape(-1, length))
    sums = next_token_sums(params, config, *batch, ops=ops)
    return sums["loss"] / sums["count"]


def tell(params, config, n=36, ops=FAST):
    model = minillama.LLM(params, config, tokenizer, ops=ops)
    said = model.generate("One day,", max_tokens=n, temperature=0.5, seed=1).text
    return " ".join(said.replace("\ufffd", "").split())


# %%
print(f"{stories.size:,} tokens to train on, {held_out.size:,} held out")
print(textwrap.fill(tokenizer.decode(stories[0].tolist())[:280], 96), "...")


# %% [markdown]
# The loop is short: gradients (`Workers` shares out the rows of a batch, `NextToken` is the loss of chapter 03), their
# norm, the update. A student of some 270,000 weights reads four random pieces of 128 tokens a step. 160 steps are eight
# times over the same little text, so the loss on held-out stories is watched, too.


# %%
def train(config, batch_of, schedule, max_norm=1.0, ops=FAST, watch=None):
    """One run from new weights: rows of (loss, learning rate, gradient norm), and the weights."""
    params = init_params(config, np.random.default_rng(0))
    optimizer, rows = AdamW(params), []
    with Workers() as workers:
        for step in range(1, schedule.total_steps + 1):
            sums, gradients = workers.gradients(NextToken(config), params, Rows(*batch_of(step)), ops=ops)
            count = sums["count"]  # losses and gradients come as sums over targets, and are divided once
            norm = global_norm(gradients) / count
            optimizer.update(gradients, schedule(step), clip_scale(norm, max_norm) / count)
            rows.append((sums["loss"] / count, schedule(step), norm))
            if watch is not None:
                watch(step, params)
    return np.array(rows), params


def pieces(step, n_rows=4, length=128):
    """The batch of a step follows from the step alone: a run can be repeated, and resumed."""
    draw = np.random.default_rng(step)
    rows, first = draw.integers(0, len(stories), n_rows), draw.integers(0, stories.shape[1] - length, n_rows)
    cut = stories[rows[:, None], first[:, None] + np.arange(length + 1)]
    return cut[:, :-1].copy(), cut[:, 1:].copy()


# %% [markdown]
# **Guess first:** where does the loss begin, and after how many steps does the student write its first whole sentence?

# %% tags=["hide-output", "varies"]
student, n_steps = student_of(64, 3), 160
samples, validation = [], []


def watch(step, params):
    if step == 1 or step % 40 == 0:
        validation.append((step, held_out_loss(params, student)))
    if step in (1, 40, 80, 120, n_steps):
        samples.append((step, f"{validation[-1][1]:.2f}", tell(params, student)))


run_rows, trained = train(student, pieces, Schedule(4e-3, 30, n_steps), watch=watch)
print(f"{count_parameters(student):,} weights, {n_steps * 4 * 128:,} tokens read; log V = "
      f"{math.log(student.vocab_size):.2f}")  # fmt: skip
print(f"loss of the first step {run_rows[0, 0]:.2f}, of the last ten {run_rows[-10:, 0].mean():.2f}")
assert abs(run_rows[0, 0] - math.log(student.vocab_size)) < 0.1
assert run_rows[-10:, 0].mean() < 4
table(("step", "held-out loss", "One day, ..."), samples)

# %% tags=["hide-input", "hide-output"]
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6))
at = np.arange(1, n_steps + 1)
left.plot(at, run_rows[:, 0], color=COLOURS[0], lw=1, label="training")
left.plot(*zip(*validation), "o-", color=COLOURS[1], ms=4, label="held out")
left.axhline(math.log(student.vocab_size), color=COLOURS[5], ls=":", label="guessing: log V")
left.set(xlabel="step", ylabel="loss (nats a token)")
fall = [run_rows[a : a + 10, 0].mean() for a in (0, 75, 150)]
claim(left, "Fast at first, then slowly", holds=fall[0] - fall[1] > 2 * (fall[1] - fall[2]) > 0)
left.legend(fontsize=8)
middle.plot(at, run_rows[:, 1], color=COLOURS[2])
middle.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
claim(middle, "30 steps up, 130 down", holds=run_rows[:, 1].argmax() == 29)
right.semilogy(at, run_rows[:, 2], color=COLOURS[3], lw=1)
right.axhline(1.0, color=COLOURS[5], ls="--", label="clipped above")
right.set(xlabel="step", ylabel="length of the gradient")
n_clipped = int((run_rows[:, 2] > 1).sum())
claim(right, "Clipped in most steps", holds=n_clipped > n_steps / 2)
right.legend(fontsize=8)
show(
    figure,
    f"Three panels over {n_steps} steps. Left, training loss from {run_rows[0, 0]:.1f} to "
    f"{run_rows[-10:, 0].mean():.1f}, held-out loss above it from the middle on, ending at {validation[-1][1]:.1f}. "
    "Middle, the learning rate: a straight rise, then half a cosine. Right, the length of the gradient on a "
    f"logarithmic axis, with a dashed line at 1, above which it is clipped, in most of the steps.",
)

# %% [markdown]
# First the frequent pieces, then words, then phrases of a story; meaning would take far more weights, tokens and time.
# Where the two loss curves part, the student begins to remember its few stories instead of learning how stories go:
# more text would help it more than more steps. Most gradients are clipped by a little, which Adam hardly notices; the
# one peak is what clipping is for.
#
# Are warm-up and clipping worth it? The same student at a rate that is too high on purpose, sixty steps:

# %% tags=["varies"]
quick = lambda step: pieces(step, 4, 64)
runs = {
    name: train(student, quick, Schedule(1e-2, warmup, 60), max_norm)[0]
    for name, warmup, max_norm in (
        ("both", 15, 1.0),
        ("no warm-up", 0, 1.0),
        ("no clipping", 15, math.inf),
        ("neither", 0, math.inf),
    )
}
for name, found in runs.items():
    longest, last_ten = found[:, 2].max(), found[-10:, 0].mean()
    print(f"{name:<12} longest gradient {longest:5.1f}, mean loss of the last ten steps {last_ten:.2f}")

# %% [markdown]
# Without either, a single gradient is several times longer than all that the others met. The losses say less: where so
# short a run ends is partly luck, and at a rate of 0.03 their order is another one. What the two protect from, a run of
# weeks that is thrown back for good, does not happen in sixty steps of a small model.
#
# ## A larger model learns more from each token
#
# Three sizes read the same tokens in the same order. **Guess first:** the largest has about eight times the weights of
# the smallest. By how much is its loss lower after 80 steps?

# %% tags=["hide-output"]
sizes = []
for dim, n_layers in ((16, 1), (32, 2), (64, 3)):
    shape = student_of(dim, n_layers)
    peak = 6e-3 * math.sqrt(32 / dim)  # a wider model bears a smaller rate
    found, learned = train(shape, pieces, Schedule(peak, 20, 80))
    sizes.append((count_parameters(shape), held_out_loss(learned, shape), found[-20:, 0].mean()))
for count, after, during in sizes:
    print(f"{count:>8,} weights: held out {after:.2f}, training {during:.2f}")

# %% tags=["hide-input", "hide-output"]
counts, after, during = zip(*sizes)
figure, axis = plt.subplots(figsize=(6.5, 3.2))
axis.semilogx(counts, after, "o-", label="held out")
axis.semilogx(counts, during, "s--", label="training, last 20 steps")
axis.set(xlabel="weights", ylabel="loss (nats a token)")
claim(axis, f"{80 * 4 * 128:,} tokens: larger models end lower", holds=after[0] > after[1] > after[2])
axis.set_xticks(counts, [f"{n:,}" for n in counts])
axis.minorticks_off()
axis.legend()
show(
    figure,
    f"Loss over the number of weights, two falling lines: held out from {after[0]:.2f} to {after[2]:.2f}, training "
    f"from {during[0]:.2f} to {during[2]:.2f}.",
)

# %% [markdown]
# Three points on so few tokens are an illustration, not a law. A longer study, with real stories, more sizes and more
# tokens, is `benchmarks/scaling_study.py`. A real run also needs checkpoints, mixed sources and resuming:
# `minillama train --preset stories260K --print-config` writes settings to begin with.
#
# ## Wrong gradients train too
#
# A wrong forward pass shows: the model talks nonsense. A wrong gradient hides. In the folded cell, attention's gradient
# has one mistake at a time: the root of head_dim left out; dk and dv of one query head of each group only; $dz = p
# \odot dp$, without the mean of the row; and $p$ made again without the mask.
#
# **Guess first:** how many of the four end where the right gradient ends, to a tenth of a nat?


# %% tags=["hide-input"]
def broken(mistake):
    """A table whose attention has a wrong gradient; its forward pass is right."""

    def backward(dy, c):
        (n_kv, S, h), H = c.k.shape[1:], c.q.shape[1]
        keys, values = (np.repeat(a, H // n_kv, axis=1) for a in (c.k, c.v))
        scale = np.float32(h**-0.5)
        z = c.q @ keys.swapaxes(-1, -2) * scale
        seen = (np.arange(S) <= c.positions[:, None, :, None]) | (mistake == "mask forgotten")
        z = np.where(seen, z, np.float32(-np.inf))
        p = np.exp(z - z.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        dp = dy @ values.swapaxes(-1, -2)
        mean = 0 if mistake == "mean of the row forgotten" else np.sum(p * dp, axis=-1, keepdims=True)
        dz = p * (dp - mean) * (1 if mistake == "no 1/√head_dim" else scale)
        dk, dv = dz.swapaxes(-1, -2) @ c.q, p.swapaxes(-1, -2) @ dy
        dk, dv = (a.reshape(len(a), n_kv, H // n_kv, S, h) for a in (dk, dv))
        if mistake == "group not summed":
            return dz @ keys, dk[:, :, -1].copy(), dv[:, :, -1].copy()
        return dz @ keys, dk.sum(axis=2), dv.sum(axis=2)

    return FAST._replace(attention_backward=backward)


MISTAKES = ("none", "no 1/√head_dim", "group not summed", "mean of the row forgotten", "mask forgotten")
curves = {name: train(student_of(32, 2), quick, Schedule(4e-3, 20, 140), ops=broken(name))[0] for name in MISTAKES}

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(8, 3.8))
ends = {name: found[-20:, 0].mean() for name, found in curves.items()}
for (name, found), colour in zip(curves.items(), COLOURS):
    smooth = np.convolve(found[:, 0], np.ones(9) / 9, mode="valid")
    look = {"lw": 6, "alpha": 0.35} if name == "none" else {}  # a broad band, to be seen below the others
    axis.plot(np.arange(5, 5 + len(smooth)), smooth, color=colour, label=f"{name}: {ends[name]:.2f}", **look)
axis.set(xlabel="step", ylabel="loss (nats), mean of 9 steps")
claim(axis, "With any of the mistakes the loss falls", holds=all(ends[n] < curves[n][0, 0] - 1 for n in MISTAKES))
axis.legend(title="mistake: loss of the last 20 steps", fontsize=8)
show(
    figure,
    "Five loss curves over 140 steps, the right one as a broad band, four with a wrong gradient. All fall from "
    f"{curves['none'][0, 0]:.1f}, side by side at first; they end at "
    + ", ".join(f"{ends[name]:.1f} ({name})" for name in MISTAKES)
    + ".",
)

# %% [markdown]
# Two, even to a few hundredths: Adam divides by the size of a gradient anyway, and takes steps of full size in any
# direction that is roughly downhill. The other two cost a quarter of a nat or more, which would pass, without the right
# curve beside it, for a model that is too small or a rate that is too low. No curve says by itself that it is wrong.
# That is why a gradient is compared with numbers, and never judged by the loss. Beside the right one, each mistake is
# off by far more than rounding:

# %%
q, k, v = (normal(2, n, 16, 16).astype(np.float32) for n in (4, 2, 2))
saved = FAST.attention_forward(q, k, v, np.arange(16) + np.zeros((2, 1), int))[1]
dy = normal(2, 4, 16, 16).astype(np.float32)
expected = REFERENCE.attention_backward(dy, saved)
for name in MISTAKES:
    found = broken(name).attention_backward(dy, saved)
    errors = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(found, expected)]
    print(f"{name:26}", "  ".join(f"{d} off by {e:7.1e}" for d, e in zip(("dq", "dk", "dv"), errors)))
    assert (max(errors) < 1e-5) == (name == "none")
assert all(abs(ends[name] - ends["none"]) < 0.1 for name in MISTAKES[1:3])
assert min(ends[name] for name in MISTAKES[3:]) > ends["none"] + 0.2

# %% [markdown]
# ## A mask late by one makes the loss better and the model worse
#
# Chapter 06 promised this one. There, a finished model ran with a mask that was late by one, so that each token saw the
# next, and only its loss became a little better. Now a twin of the student from above is *trained* with that mask: the
# same first weights, the same text, the same steps. All gradients are right, of what was computed.
#
# **Guess first:** how far below the student's does the twin's loss on held-out stories end, each with the mask that it
# was trained with? And what does the twin write after "One day,"?


# %% tags=["hide-output", "varies"]
def late_by_one(q, k, v, positions):
    return FAST.attention_forward(q, k, v, np.minimum(positions + 1, k.shape[2] - 1))


late = FAST._replace(attention_forward=late_by_one)
late_rows, late_trained = train(student, pieces, Schedule(4e-3, 30, n_steps), ops=late)
rows = []
for name, params, table_of_ops in (("right", trained, FAST), ("late by one", late_trained, late)):
    as_trained, as_used = held_out_loss(params, student, table_of_ops), held_out_loss(params, student)
    rows.append((name, f"{as_trained:.2f}", f"{as_used:.2f}", tell(params, student, 24)))
assert float(rows[1][1]) < float(rows[0][1]) - 0.5
assert float(rows[1][2]) > float(rows[0][2]) + 0.5
table(("mask in training", "held out, that mask", "held out, right mask", "One day, ..."), rows)

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(7, 3.4))
histories = {"right": run_rows[:, 0], "late by one": late_rows[:, 0]}
for (name, losses), colour in zip(histories.items(), COLOURS):
    smooth = np.convolve(losses, np.ones(9) / 9, mode="valid")
    axis.plot(np.arange(5, 5 + len(smooth)), smooth, color=colour, label=f"mask {name}")
axis.set(xlabel="step", ylabel="training loss, mean of 9 steps", ylim=(0, None))
last = {name: losses[-20:].mean() for name, losses in histories.items()}
claim(axis, "The mask late by one has the better curve", holds=last["late by one"] < last["right"] - 0.5)
axis.legend()
show(
    figure,
    f"Training loss over {n_steps} steps. Both fall from {histories['right'][0]:.1f} side by side; then the one with "
    f"the mask late by one leaves the other and ends at {last['late by one']:.1f}, against {last['right']:.1f}.",
)

# %% [markdown]
# The answer stands one place ahead, so the twin learns to look there. When it writes, nothing stands there. Held-out
# stories do not warn, for the same mask leaks there too; what warns is a loss that is too good for the model, and a
# look at what it writes. A test that needs no training is chapter 06's: change the last token, and no logit before it
# may move.
#
# ## What you now know
#
# - Every part of a model is given `dy`, returns `dx` and keeps `dw`. What is used in several places, by several tokens,
#   heads or paths, gets the sum of what comes back.
# - A push up and a push down in float64 measure a gradient to nine digits. The loss curve does not: wrong gradients
#   train too.
# - Through a softmax, a score is moved by how far its key is from the weighted mean of its row.
# - The way back needs what was made on the way there; blocks can be run twice to save memory, and a batch can come in
#   parts, weighed by their targets.
# - AdamW moves every weight by about the learning rate, whatever the size of its gradient; the decay stands beside it.
#   The first steps know least, so the rate warms up; the last ones should settle, so it falls; one factor clips all.
# - A new model's loss is log V. One that is suddenly too good looks at the answer.
#
# ## Three questions
#
# 1. Eight query heads share one head of keys (07), and send back gradients $dk$ that are about alike. Somebody keeps
#    that of one head only. How far do the weights $W_k$ move in a step of plain gradient descent, compared with the
#    right step, and how far in a step of Adam?
#
# <details>
# <summary>Answer</summary>
#
# $dk$ is about an eighth of the right one, and so is $dW_k$. Plain descent moves $W_k$ by an eighth. Adam divides by
# the gradient's own size: it moves by about the rate, as with the right one. That is how such a mistake hides.
#
# </details>
#
# 2. A query has the weights 0.5, 0.3 and 0.2, and $dp = (1, 0, 0)$. What is $dz$? And if 7 is added to all three $dp$?
#
# <details>
# <summary>Answer</summary>
#
# The mean is 0.5, so $dz = (0.5 \cdot 0.5,\; 0.3 \cdot (-0.5),\; 0.2 \cdot (-0.5)) = (0.25, -0.15, -0.10)$. Adding 7
# raises the mean by 7 too, and nothing changes: to be better or worse by the same helps no key against another.
#
# </details>
#
# 3. LLaMA 2 7B, step 1 of 2000 steps of warm-up to $3 \cdot 10^{-4}$. By how much does AdamW move a weight of 0.02 with
#    the gradient 0.001? With the gradient 10? Which part of that is the decay?
#
# <details>
# <summary>Answer</summary>
#
# The rate is $3 \cdot 10^{-4} / 2000 = 1.5 \cdot 10^{-7}$. At step 1 the corrected means are the gradient and its
# square: 0.001 / (0.001 + 0.00001) = 0.99, so it moves by $1.5 \cdot 10^{-7}$, and by as much with 10. The decay is
# $1.5 \cdot 10^{-7} \cdot 0.1 \cdot 0.02 = 3 \cdot 10^{-10}$, a five-hundredth of it.
#
# </details>
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
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# Together with those of chapters 03 to 08 they train a model: `minillama train my.toml --with my-llama`, where no part
# of a step is the package's. `minillama learn verify --text my.txt` proves it on a text of yours.
#
# ## Next
#
# This is the last chapter so far. The functions of all fifteen, yours where they passed, are a language model from the
# first byte to the last gradient: `minillama train` makes one, and `minillama chat` talks to it. What remains is to
# give it better text and more time, and the [map](README.md) shows what you may have left out on the way.
