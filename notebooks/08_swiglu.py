# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 08 · SwiGLU
#
# > **Before this:** [04](04_rmsnorm.ipynb).
# > **Time:** 30 minutes to read and run, 70 for all exercises; on the [core path](README.md) 60 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2, takes SwiGLU over from LLaMA 1; SwiGLU itself is Shazeer,
# > arXiv:2002.05202. **Not here:** the layers put together (09), packed weights (12). Not reproduced: that models with
# > SwiGLU train to a lower loss than the same models with ReLU or GELU. That is a comparison of many trained models.
#
# *The dog buried the bone because it was hungry.* After attention (06), "it" has taken something of the dog and
# something of the bone into its vector. What now? Something has to look at the mixture and draw a conclusion from it.
#
# The second part of every layer does that: the [feed-forward layer](glossary.md#feed-forward-layer). It sees one token
# at a time, and three quarters of the weights of each layer of SmolLM2 are in it. Here is the real model with these
# parts missing. Attention is whole.

# %% tags=["hide-input"]
import math
import time

import matplotlib.pyplot as plt
import numba
import numpy as np

from minillama.compute.threads import set_threads
from minillama.config import named_config
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
from minillama.model import forward
from minillama.ops import FAST
from minillama.trees import map_tree

style()
set_threads(1)  # the same work wherever the chapter runs
rng = np.random.default_rng(8)

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)  # from 4 and 8 bits

# %% [markdown]
# **Guess first:** attention still brings "France" to the last token. Does the model still say Paris? Or at least a word
# that can follow "is"?


# %% tags=["hide-output"]
def nothing(gate, up):
    """In the place of the gate: the feed-forward layer adds zeros to the stream."""
    return np.zeros_like(gate), None


def next_words(text, ops, n=3):
    """The most probable tokens after a text."""
    logits = forward(params, config, np.array([tokenizer.encode(text)]), ops)[0][0, -1]
    return ", ".join(repr(tokenizer.decode([int(i)])) for i in np.argsort(-logits)[:n])


def mean_loss(ids, ops):
    """The mean of -log p (03) over all tokens of a text but the first."""
    z = forward(params, config, ids, ops)[0][0, :-1].astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    return np.mean(np.log(np.exp(z).sum(axis=-1)) - z[np.arange(len(z)), ids[0, 1:]])


story = np.array([tokenizer.encode(f"{SENTENCE} The next day it could not find the bone, and it was sad.")])
bare = FAST._replace(swiglu_forward=nothing)  # a model's layers are a table of functions: one is replaced
for text in ("The capital of France is", "The capital of Japan is"):
    print(f"{text:<25} whole: {next_words(text, FAST):<26} without: {next_words(text, bare)}")
print(f"loss of a story: whole {mean_loss(story, FAST):.1f}, without {mean_loss(story, bare):.1f}", end="")
print(f", guessing among all tokens {math.log(config.vocab_size):.1f}")

# %% [markdown]
# Neither: what is left says the same scraps of program text after both, and does worse than a model that has read
# nothing. Attention collects, and with what it has collected nothing was done. (Nor is it the same attention any more:
# from layer 1 on it reads what the missing parts would have written.)
#
# ## A matrix gives "it" the mean of dog and bone
#
# A thing that is alive *and* edible, like a fish, or undecided, like "it": how would a layer notice it? The toy's words
# are how *alive* and how *edible* they are. A row $(a, b)$ of a matrix makes $a$ of dog (1, 0), $b$ of bone (0, 1), and
# of "it" (½, ½) it makes ½$a$ + ½$b$. Whatever the row, "it" gets the mean of the two. Another matrix after the first
# makes the mean of the means. No stack of matrices can be 0 for dog, 0 for bone, and something for "it".
#
# A product can. Take two rows, one that looks for *alive* and one that looks for *edible*, and multiply what they find:
#
# | | dog | bone | it | |
# |---|---|---|---|---|
# | `gate` = 4 · alive | 4 | 0 | 2 | how much may pass |
# | `up` = 2 · edible | 0 | 2 | 1 | what passes |
# | `gate` · `up` | 0 | 0 | 2 | |
#
# The first number is a [gate](glossary.md#gate) for the second: where it is 0, nothing of the second passes. On the way
# from dog to bone, through all mixtures of the two:

# %% tags=["hide-input"]
share = np.linspace(0, 1, 101)
path = np.stack([1 - share, share], axis=1)  # from dog (1, 0) to bone (0, 1); "it" is in the middle
products = (4 * path[:, 0]) * (2 * path[:, 1])
lines = {"alive": path @ [1, 0], "2 · edible": path @ [0, 2], "½ · alive − edible": path @ [0.5, -1]}
figure, axis = plt.subplots(figsize=(7, 3.6))
for (name, line), colour in zip(lines.items(), COLOURS[1:]):
    axis.plot(share, line, "--", color=colour, label=f"one row of a matrix: {name}")
axis.plot(share, products, color=COLOURS[0], linewidth=2.5, label="gate · up")
axis.plot([0, 0.5, 1], products[[0, 50, 100]], "o", color=COLOURS[0])
axis.set_xticks([0, 0.5, 1], [WORDS[0], WORDS[2], WORDS[1]])
axis.set(xlabel="from dog to bone", ylabel="what the token gets", ylim=(-1.1, 3.6))
means = [np.isclose(line[50], (line[0] + line[-1]) / 2) for line in lines.values()]
claim(axis, "A row is a straight line, a gate can single out “it”", holds=all(means) and products[50] > products[0] + 1)
axis.legend(fontsize=8, ncol=2, loc="upper center")
show(
    figure,
    "What a token gets, on the way from dog through it to bone. Three rows of matrices are dashed straight lines; in "
    "the middle each is at the mean of its ends. The product of gate and up is an arch: 0 at dog, 0 at bone, and "
    f"{products[50]:.0f} at it.",
)

# %% [markdown]
# ## Closed must not mean upside down
#
# Next, a gate for "alive *and not* edible". The row (4, −4) is 4 for dog and −4 for bone, and what is to pass is 2:
#
# | | dog | bone | it |
# |---|---|---|---|
# | `gate` = 4 · (alive − edible) | 4 | −4 | 0 |
# | `up` = 2 · (alive + edible) | 2 | 2 | 2 |
# | `gate` · `up` | 8 | −8 | 0 |
#
# The bone should have been kept out, and it passes as loudly as the dog, with the opposite sign. A gate below 0 has to
# *close*. A function that bends a number between two matrices is called an
# [activation](glossary.md#activation). The first transformers had ReLU, which makes 0 of everything below 0. LLaMA has
# a softer one, [SiLU](glossary.md#silu), also called *swish*. It multiplies the number $g$ of the gate by a share that
# is near 1 for large $g$ and near 0 far below 0, the [sigmoid](glossary.md#sigmoid) $\sigma$:
#
# $$ \sigma(g) = \frac{1}{1 + e^{-g}}, \qquad \operatorname{silu}(g) = g\, \sigma(g). $$
#
# For the dog, σ(4) = 0.982 and silu(4) = 3.93: nearly all passes.
#
# **Guess first:** for which of the gates −10, −4, −1 and 0 is SiLU lowest?


# %% tags=["hide-output"]
def silu_of_one(g):
    """The formula read aloud, for one number."""
    return g * (1 / (1 + math.exp(-g)))


for g in (-10.0, -4.0, -1.0, 0.0, 1.0, 4.0):
    print(f"gate {g:>5}: share {1 / (1 + math.exp(-g)):.3f}, silu {silu_of_one(g):7.4f}")

# %% tags=["hide-input", "hide-output"]
grid = np.linspace(-6, 6, 1201)


def gelu(g):
    """In its tanh form, as GPT-2 has it."""
    return 0.5 * g * (1 + np.tanh(np.sqrt(2 / np.pi) * (g + 0.044715 * g**3)))


curves = {"SiLU": np.array([silu_of_one(g) for g in grid]), "GELU": gelu(grid), "ReLU": np.maximum(grid, 0)}
slopes = {name: np.gradient(values, grid) for name, values in curves.items()}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True)
for name, colour in zip(curves, COLOURS):
    left.plot(grid, curves[name], color=colour, label=name)
    right.plot(grid, slopes[name], color=colour, label=name)
low = int(curves["SiLU"].argmin())
left.plot(grid[low], curves["SiLU"][low], "o", color=COLOURS[0])
left.annotate(f"{curves['SiLU'][low]:.2f} at {grid[low]:.2f}", (grid[low], curves["SiLU"][low]), (-5.6, 0.5))
left.set(xlabel="gate", ylabel="activation", ylim=(-0.6, 4))
right.set(xlabel="gate", ylabel="slope of the activation")
claim(left, "SiLU dips below 0 before it closes", holds=curves["SiLU"][low] < -0.27 and abs(curves["SiLU"][0]) < 0.02)
jumps = {name: np.abs(np.diff(slope)).max() for name, slope in slopes.items()}
claim(
    right, "ReLU's slope jumps, the others' do not", holds=jumps["ReLU"] > 0.4 and jumps["SiLU"] < jumps["GELU"] < 0.02
)
left.legend(loc="upper left")
show(
    figure,
    "Left, the three activations against the gate. All follow the gate on the right and are near 0 on the far left; "
    f"between, SiLU dips to {curves['SiLU'][low]:.2f} at {grid[low]:.2f}, GELU dips less, ReLU not at all. Right, "
    "their slopes: that of ReLU is 0 and jumps to 1; those of SiLU and GELU rise smoothly, from a little below 0 to a "
    "little above 1 and then to 1.",
)

# %% [markdown]
# Of the four it is lowest at −1. At −10 the gate is closed, at −4 up to a rest. Between −3 and 0 SiLU falls and rises
# again. The dip looks like a blemish; what it carries in a real model is measured below. (GELU, of BERT and GPT-2,
# multiplies by the probability that a normal random number lies below $g$.)
#
# The bend alone could find "it", too: *alive* minus ReLU(alive − edible) is the smaller of the two numbers, 0 for dog
# and bone and ½ for "it". The first transformers had a bend and no product, LLaMA has both. That both together learn
# better was measured; a reason was not given.
#
# ## One exponential is safe on both sides
#
# `silu_of_one` takes $e^{-g}$, and for a gate of −1000 that is an error in Python and infinity in float32 (01). The
# share can also be written the other way round, with the fraction multiplied by $e^g$ above and below:
#
# $$ \sigma(g) = \frac{1}{1 + e^{-g}} = \frac{e^{g}}{1 + e^{g}} . $$
#
# **Guess first:** one of the two forms gives NaN in float32. Which, and at −100 or at 100?

# %% tags=["hide-output"]
far = np.array([-100, 0, 100], np.float32)
with np.errstate(over="ignore", invalid="ignore"):
    print("g                ", far)
    print("1 / (1 + e^-g)   ", 1 / (1 + np.exp(-far)), "  its exponential", np.exp(-far))
    print("e^g / (1 + e^g)  ", np.exp(far) / (1 + np.exp(far)), "  its exponential", np.exp(far))

# %% [markdown]
# The second, at 100: infinity divided by infinity. The first has an infinity, too, at −100, and is right by luck,
# because 1 divided by it is 0. A gradient written with the same exponential has no such luck. Each form is safe on one
# side of 0.
#
# ### Now you · `silu_stable` · 10 minutes
#
# Any shape, numbers up to thousands on both sides → the same shape, $g\,\sigma(g)$. Nothing may overflow on the way,
# also not in numbers that are thrown away afterwards: `np.where` computes both of its sides.

# %%
silu_stable = now_you("silu_stable")


# %% tags=["solution"]
def book_silu_stable(g):
    return g * sigmoid(g)


# %% tags=["solution"]
def sigmoid(g):
    small = np.exp(-np.abs(g))  # at most 1
    return np.where(g >= 0, np.float32(1), small) / (1 + small)


# %%
with np.errstate(over="raise"):
    print(silu_stable(np.array([-1000, -100, -1, 0, 1, 100, 1000], np.float32)).round(4))

# %% [markdown]
# ## Three matrices: two out, one back
#
# The toy's two gates side by side are a whole layer, with a width of 2 inside. One matrix makes the gates, one makes
# what passes, and a third leads back to the stream. Say that what is both becomes more alive and less edible, and what
# is alive and not edible becomes a little more alive:
#
# $$ W_{gate} = \begin{pmatrix} 4 & 0 \\ 4 & -4 \end{pmatrix}, \qquad
#    W_{up} = \begin{pmatrix} 0 & 2 \\ 2 & 2 \end{pmatrix}, \qquad
#    W_{down} = \begin{pmatrix} \tfrac14 & \tfrac1{20} \\ -\tfrac14 & 0 \end{pmatrix} . $$
#
# They were chosen by hand; a real model learns them. For the vector $x$ of one token, with the product $\odot$ taken
# number by number:
#
# $$ y = W_{down}\, \bigl( \operatorname{silu}(W_{gate}\, x) \odot W_{up}\, x \bigr) . $$
#
# The numbers between the matrices are called *hidden*: two here, F in general. In plain Python, one hidden number after
# another:


# %%
def feed_forward_loops(x, w_gate, w_up, w_down):
    """x (D,) and the matrices as lists, for one token."""
    y = [0.0] * len(x)
    for f in range(len(w_gate)):
        gate = sum(w * number for w, number in zip(w_gate[f], x))
        up = sum(w * number for w, number in zip(w_up[f], x))
        passed = silu_of_one(gate) * up
        for i in range(len(x)):
            y[i] += w_down[i][f] * passed
    return y


toy = [np.array(w, np.float32) for w in ([[4, 0], [4, -4]], [[0, 2], [2, 2]], [[1 / 4, 1 / 20], [-1 / 4, 0]])]

# %% [markdown]
# The result is added to the stream (04). **Guess first:** "it" has the gates 2 and 0, and silu(2) = 1.76. Where does it
# go? Where do dog and bone go?

# %% tags=["hide-output"]
changes = np.array([feed_forward_loops(row.tolist(), *(w.tolist() for w in toy)) for row in VECTORS])
for word, row, change in zip(WORDS, VECTORS, changes):
    print(f"{word:<5}{row} gets {change.round(2)} and becomes {(row + change).round(2)}")

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True, sharey=True)
offsets = ((-10, -16), (6, 2), (7, 4))
for axis, vectors in ((left, VECTORS), (right, VECTORS + changes)):
    order = (0, 1, 2)
    for i in order:
        place = (-4, 9) if axis is right and i == 2 else offsets[i]
        draw_arrows(axis, {WORDS[i]: vectors[i]}, colours=COLOURS[i : i + 1], offset=place)
draw_arrows(right, {"“it” before": VECTORS[2]}, colours=COLOURS[5:], offset=(5, 5), dashed=True)
label(left, "what goes in")
moved = np.linalg.norm(changes, axis=1)
claim(right, "“it” is decided, the bone stays", holds=changes[2, 0] > 0.4 and changes[2, 1] < -0.4 and moved[1] < 0.02)
show(
    figure,
    "Two planes with equal axes, alive across, edible upwards. Left: dog to the right, bone upwards, it between them. "
    f"Right, after the layer: dog is longer, ({(VECTORS + changes)[0, 0]:.2f}, 0), bone is where it was, and it has "
    f"turned from the dashed diagonal almost onto the alive axis, ({(VECTORS + changes)[2, 0]:.2f}, "
    f"{(VECTORS + changes)[2, 1]:.2f}).",
)

# %% [markdown]
# Each hidden number asks a question of the token (a row of $W_{gate}$), and if the answer is yes, adds its column of
# $W_{down}$ to it. Nothing here has looked at another token, and no constants are added (no *biases*).
#
# A gated linear unit (GLU) with swish: that makes [SwiGLU](glossary.md#swiglu). In the real model there are F = 1536
# questions in each of 30 layers, and all tokens are asked at once:
#
# | array | shape | Meta's name | in the toy |
# |---|---|---|---|
# | `x`, `y` | (B, T, D) | | (1, 3, 2) |
# | `w_gate` | (F, D) | `w1` | (2, 2) |
# | `w_up` | (F, D) | `w3` | (2, 2) |
# | `gate`, `up` | (B, T, F) | | (1, 3, 2) |
# | `w_down` | (D, F) | `w2` | (2, 2) |
#
# `w1`, `w2`, `w3` are not in the order in which they are used. A loader that mixes up `w1` and `w3` gets no error,
# because their shapes are the same.
#
# The part between the matrices first. In NumPy, every operation of it makes an array as large as `gate`, and each one
# goes through memory (01). A compiled loop can read `gate` and `up` once, and write the result once.
#
# ### Now you · `swiglu_forward` · 10 minutes
#
# `gate`, `up` (…, F) → `silu(gate) * up`. One line of NumPy is enough; the book's is a loop with `njit`, and
# `minillama learn speed swiglu_forward` shows yours beside the package's. When yours passes, the real model below runs
# on it.

# %%
swiglu_forward = now_you("swiglu_forward")


# %% tags=["solution"]
def book_swiglu_forward(gate, up):
    y = np.empty(gate.shape, gate.dtype)
    _gate(np.ascontiguousarray(gate).reshape(-1), np.ascontiguousarray(up).reshape(-1), y.reshape(-1))
    return y


# %% tags=["solution"]
@numba.njit(parallel=True)
def _gate(gate, up, y):
    for i in numba.prange(gate.size):
        small = np.exp(-abs(gate[i]))
        open_ = np.float32(1) if gate[i] >= 0 else small
        y[i] = gate[i] * (open_ / (np.float32(1) + small)) * up[i]


# %% [markdown]
# Now the layer around it. Weights lie as (out, in), so a row of `x` meets them as `x @ w.T`.
#
# ### Now you · `feed_forward` · 10 minutes
#
# `x` (B, T, D), `w_gate` and `w_up` (F, D), `w_down` (D, F) → `y` (B, T, D), without the sum with the stream.

# %%
feed_forward = now_you("feed_forward")


# %% tags=["solution"]
def book_feed_forward(x, w_gate, w_up, w_down):
    return (silu_stable(x @ w_gate.T) * (x @ w_up.T)) @ w_down.T


# %% [markdown]
# The toy first. Then random weights against PyTorch, which has SiLU and computes in float64 here. Where it is not
# installed, the loops take its place.

# %%
show_error("the toy", feed_forward(VECTORS[None], *toy)[0], changes, 1e-6, against="the loops")

x = rng.normal(size=(2, 5, 8)).astype(np.float32)
w_gate, w_up = rng.normal(size=(2, 21, 8)).astype(np.float32)
w_down = rng.normal(size=(8, 21)).astype(np.float32)
gate, up = x @ w_gate.T, x @ w_up.T
far = np.linspace(-200, 200, 4001, dtype=np.float32)
if torch is not None:
    linear, activation = torch.nn.functional.linear, torch.nn.functional.silu
    x64, gate64, up64, down64 = (torch.tensor(a, dtype=torch.float64) for a in (x, w_gate, w_up, w_down))
    expected = linear(activation(linear(x64, gate64)) * linear(x64, up64), down64)
    expected_gate = activation(torch.tensor(gate, dtype=torch.float64)) * torch.tensor(up, dtype=torch.float64)
    expected_silu = activation(torch.tensor(far, dtype=torch.float64))
else:
    lists = [w.tolist() for w in (w_gate, w_up, w_down)]
    expected = np.array([[feed_forward_loops(row, *lists) for row in rows] for rows in x.tolist()])
    expected_gate = np.vectorize(silu_of_one)(gate.astype(np.float64)) * up
    expected_silu = np.vectorize(silu_of_one)(far.astype(np.float64))
show_error("silu", silu_stable(far), expected_silu, 1e-5)
show_error("the gate", swiglu_forward(gate, up), expected_gate, 1e-5)
show_error("the layer", feed_forward(x, w_gate, w_up, w_down), expected, 1e-4)

# %% tags=["varies"]
big_gate, big_up = rng.normal(size=(2, 512, 1536)).astype(np.float32)


def milliseconds(function, repeat):
    best = np.inf
    for _ in range(repeat):
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
    return 1e3 * best


few = list(zip(big_gate[0].tolist(), big_up[0].tolist()))
rows = [
    ("loops in Python", 512 * milliseconds(lambda: [silu_of_one(g) * u for g, u in few], 3)),
    ("NumPy", milliseconds(lambda: silu_stable(big_gate) * big_up, 10)),
    ("swiglu_forward from above", milliseconds(lambda: swiglu_forward(big_gate, big_up), 20)),
    ("the package", milliseconds(lambda: FAST.swiglu_forward(big_gate, big_up), 20)),
]
table(("512 tokens of 1536 gates", "milliseconds"), [(name, f"{ms:.2f}") for name, ms in rows])

# %% [markdown]
# These are the numbers of the machine that ran this notebook; the loops in Python did one token, and are scaled up. A
# simple compiled loop saves the arrays and may lose as much in the exponential: it takes one after another where NumPy
# takes several at a time. The package's kernel does both, one pass and 16 numbers at a time. Which is fastest depends
# on the memory, on the number of cores, and on what else they have to do.
#
# ## Gate and up read the same x
#
# Two products with the same `x` on the left can be one: put the rows of $W_{up}$ below those of $W_{gate}$. With "it"
# of the toy, (½, ½):
#
#     |  4   0 |              |  2 |   two gates
#     |  4  -4 |   | 1/2 |    |  0 |
#     |  0   2 | · | 1/2 | =  |  1 |   and two of up
#     |  2   2 |              |  2 |
#
# `x` is read once, and one call does the work of two. Some files store the weights like this, with the gate first or
# with `up` first: their description has to say which.
#
# ### Now you · `feed_forward_fused` · 10 minutes
#
# `x` (B, T, D), `w_gate_up` (2 F, D) with the rows of the gate first, `w_down` (D, F) → `y` (B, T, D), with one product
# for both. Which axis of the result holds gate and up? (Not on the core path.)

# %%
feed_forward_fused = now_you("feed_forward_fused")


# %% tags=["solution"]
def book_feed_forward_fused(x, w_gate_up, w_down):
    gate, up = np.split(x @ w_gate_up.T, 2, axis=-1)  # (B, T, hidden_dim) each
    return (silu_stable(gate) * up) @ w_down.T


# %% [markdown]
# **Guess first:** with `up` first in the file and read as if the gate came first, by how much is the toy's layer wrong?

# %% tags=["hide-output"]
for name, stacked in (("gate first", np.vstack([toy[0], toy[1]])), ("up first", np.vstack([toy[1], toy[0]]))):
    result = feed_forward_fused(VECTORS[None], stacked, toy[2])[0]
    print(f"{name:<11}", "   ".join(f"{word} ({row[0]:5.2f}, {row[1]:5.2f})" for word, row in zip(WORDS, result)))
one_product = feed_forward_fused(x, np.concatenate((w_gate, w_up)), w_down)
show_error("one product", one_product, feed_forward(x, w_gate, w_up, w_down), 1e-4, against="two products")

# %% [markdown]
# Dog and "it" look right at a glance, and the bone gets −0.35 where it should get next to nothing: its −4 now stands on
# the side that does not close.
#
# ## Three matrices of two thirds the width
#
# How wide should it be inside? The first transformers had two matrices and a width of $4D$. For $D = 12$ that is 48,
# and 2 · 48 · 12 = 1152 weights. **Guess first:** how wide may three matrices be with as many weights?
#
# <details>
# <summary>Answer</summary>
#
# 3 · 32 · 12 = 1152, so 32: two thirds of $4D$.
#
# </details>
#
# For LLaMA 2 7B, with $D = 4096$, two thirds of 16,384 are 10,922⅔. Rounded down, 10,922 is 2 · 43 · 127: no power of
# two beyond 2 divides it, and kernels like numbers that can be cut into equal blocks. So it is rounded *up* to a
# multiple of 256: 42 of them are 10,752, 43 are 11,008. The file of a model says of what it should be a multiple
# (`multiple_of`). That of 70B also has a multiplier of 1.3, applied before the rounding up. Meta's code makes an
# integer of the width after each step.
#
# ### Now you · `ffn_hidden_dim` · 10 minutes
#
# `dim`, `multiple_of`, `multiplier` (or None) → the width. (Not on the core path.)

# %%
ffn_hidden_dim = now_you("ffn_hidden_dim")


# %% tags=["solution"]
def book_ffn_hidden_dim(dim, multiple_of, multiplier):
    hidden_dim = 2 * (4 * dim) // 3
    if multiplier is not None:
        hidden_dim = int(multiplier * hidden_dim)
    return multiple_of * math.ceil(hidden_dim / multiple_of)


# %%
sizes = {"7B": (4096, 256, None), "13B": (5120, 256, None), "70B": (8192, 4096, 1.3), "smollm2-135m": (576, 256, None)}
rows = []
for name, (dim, multiple_of, multiplier) in sizes.items():
    width = ffn_hidden_dim(dim, multiple_of, multiplier)
    assert width == named_config(name).hidden_dim
    rows.append((name, dim, multiple_of, multiplier or "", 8 * dim // 3, width, f"{3 * width / (8 * dim):.2f}"))
table(("model", "D", "multiple_of", "multiplier", "⅔ of 4 D", "F", "weights / 8 D²"), rows)

# %% [markdown]
# 70B is wider than the rule by its multiplier: its grouped heads (07) have fewer weights, and these layers take what
# that saves.
#
# ## A product hands each factor the other
#
# Training needs the gradient (03): how does the loss change with `gate`, and how with `up`? Take "it" and its first
# gate: $g = 2$, `up` $= 1$, and 1.76 passes. Let the loss be simply what passes, so that $dy = 1$.
#
# **Guess first:** `gate` is raised by 0.01, and then, instead, `up`. Which raises the loss more? Does SiLU pass on more
# or less than the 0.01? And the bone's second gate, $g = -4$ with `up` $= 2$: how much does it feel?

# %% tags=["hide-output"]
for word, g, u in (("it", 2.0, 1.0), ("bone", -4.0, 2.0)):
    for_gate = (silu_of_one(g + 0.01) - silu_of_one(g)) * u / 0.01
    for_up = silu_of_one(g) * (u + 0.01 - u) / 0.01
    print(f"{word:<5} passed {silu_of_one(g) * u:6.3f};  change divided by 0.01: gate {for_gate:.3f}, up {for_up:.3f}")

# %% [markdown]
# What `up` feels is what the gate lets through, 1.76. What the gate feels is `up` times the slope of SiLU, which is a
# little more than 1 at 2. A closed gate works both ways: the bone's `up` hardly learns, because it hardly passes. The
# gate itself still feels something, its slope of −0.05 times 2. With ReLU it would be exactly 0, and a gate that is
# below 0 for every token of every text would never change again.
#
# The slope of SiLU needs that of the sigmoid. By the chain rule, from $\sigma = 1 / (1 + e^{-g})$:
#
# $$ \sigma' = -\frac{1}{(1 + e^{-g})^2} \cdot (-e^{-g}) = \frac{1}{1 + e^{-g}} \cdot \frac{e^{-g}}{1 + e^{-g}}
#    = \sigma\,(1 - \sigma) . $$
#
# At 0 that is ½ · ½ = ¼, its largest. In $g\,\sigma(g)$ the number $g$ occurs twice, once in front and once inside.
#
# ### Now you · `swiglu_backward` · 20 minutes
#
# `dy`, `gate`, `up` (…, F) → `dgate`, `dup`. Gates may be 200 on both sides; nothing may become NaN. (Not on the core
# path.)

# %%
swiglu_backward = now_you("swiglu_backward")


# %% tags=["solution"]
def book_swiglu_backward(dy, gate, up):
    s = sigmoid(gate)
    dgate = dy * up * s * (1 + gate * (1 - s))
    dup = dy * gate * s
    return dgate, dup


# %% [markdown]
# The two places of $g$, added, and then both gradients, number by number:
#
# $$ \operatorname{silu}'(g) = \sigma + g\, \sigma\,(1 - \sigma), \qquad
#    d\mathit{gate} = dy \odot \mathit{up} \odot \operatorname{silu}'(\mathit{gate}), \qquad
#    d\mathit{up} = dy \odot \operatorname{silu}(\mathit{gate}) . $$
#
# Two judges: one number is moved at a time in float64, and PyTorch finds the gradient by itself.

# %%
g, u, dy = rng.normal(size=(3, 4, 6))
dgate, dup = swiglu_backward(dy, g, u)
step = 1e-6
risen, fallen = (np.vectorize(silu_of_one)(g + sign * step) * u for sign in (1, -1))
show_error("dgate", dgate, dy * (risen - fallen) / (2 * step), 1e-8, against="moving each number")
if torch is not None:
    g64, u64 = (torch.tensor(a, requires_grad=True) for a in (g, u))
    (torch.nn.functional.silu(g64) * u64).backward(torch.tensor(dy))
    expected = g64.grad, u64.grad
else:
    expected = dy * (risen - fallen) / (2 * step), dy * np.vectorize(silu_of_one)(g)
show_error("dgate", dgate, expected[0], 1e-8)
show_error("dup", dup, expected[1], 1e-8)

# %% [markdown]
# ## Gates below 0 carry much of what early layers say
#
# SmolLM2 reads the story of the dog, on the `swiglu_forward` from above, and every layer writes its gates down. The
# folded cell puts the function into the model. Layer 7 is also computed by hand, from its input and its three matrices.


# %% tags=["hide-input"]
def as_op(function, written=None):
    """A table with this gate; `written` collects gate and up of every layer."""

    def op(gate, up):
        if written is not None:
            written.append((gate[0].copy(), up[0].copy()))
        return np.asarray(function(gate, up), np.float32), None

    return FAST._replace(swiglu_forward=op)


# %%
written = []
logits, saved = forward(params, config, story, as_op(swiglu_forward, written))
gates, ups = (np.array(part) for part in zip(*written))  # (layer, token, F)
show_error("logits", logits, forward(params, config, story)[0], 5e-3, against="the model with the package's gate")

layer, read = params.layers[7], saved.backbone.blocks[7][1].gate.x  # what the norm before this part gave
by_hand = feed_forward(read, layer.w_gate, layer.w_up, layer.w_down)
inside = FAST.linear_forward(FAST.swiglu_forward(gates[7], ups[7])[0], layer.w_down)[0]
show_error("layer 7", by_hand[0], inside, 1e-3, against="the same layer inside the model")
print("gates", gates.shape, f" from {gates.min():.0f} to {gates.max():.0f}; below 0: {np.mean(gates < 0):.0%}")

# %% [markdown]
# More than half of all gates are below 0, where ReLU would shut them; in layer 5 it is four of five. **Guess first:**
# of the sum of squares of all that passes in layer 5, how much comes through these four fifths?

# %% tags=["hide-input", "hide-output"]
passed = swiglu_forward(gates[:, 1:], ups[:, 1:]) ** 2  # squares; the first token is a case of its own (04)
below = gates[:, 1:] < 0
through = (passed * below).sum(axis=(1, 2)) / passed.sum(axis=(1, 2))
shown = (6, 18, 29)
bins = np.linspace(-6, 4, 101)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharex=True, sharey=True)
for axis, i in zip(axes, shown):
    values = gates[i, 1:].ravel()
    axis.hist(values, bins, weights=np.full(values.size, 100 / values.size), color=COLOURS[0])
    axis.plot(bins, 4 + silu_stable(bins), color=COLOURS[1], linewidth=1.5, label="SiLU (its shape)")
    axis.axvline(0, color="#22252a", linewidth=0.8)
    axis.set(xlabel="gate")
    axis.set_axisbelow(True)
    label(axis, f"layer {i}: {below[i].mean():.0%} below 0")
axes[0].set_ylabel("share of gates, % per 0.1")
axes[0].legend(fontsize=8, loc="upper left")
inner = [np.mean(np.abs(gates[i, 1:]) < 3) for i in shown]
claim(figure, "Gates lie where SiLU bends", holds=min(inner) > 0.9)
show(
    figure,
    "Three histograms of gates with the same axes, for layers 6, 18 and 29, and the curve of SiLU above them. Each is "
    "a hill around 0 or a little below, right where the curve bends; from layer to layer it becomes wider. "
    f"Between −3 and 3 lie {inner[0]:.0%}, {inner[1]:.0%} and {inner[2]:.0%} of the gates.",
)

figure, axis = plt.subplots(figsize=(8, 3.2))
axis.set_axisbelow(True)
axis.bar(range(config.n_layers), 100 * through, label="share of the squares that pass through them")
axis.plot(100 * below.mean(axis=(1, 2)), "o-", color=COLOURS[1], markersize=3, label="share of gates below 0")
axis.set(xlabel="layer", ylabel="%", ylim=(0, 100))
early, late = through[1:16], through[20:]
much = early.min() > 0.25 and late.max() < early.min()
claim(axis, "In layers 1 to 15 a quarter or more comes through gates below 0", holds=much)
assert below[5].mean() > 0.75
assert through[5] > 0.5
axis.legend(fontsize=8, loc="upper right")
show(
    figure,
    f"Over the 30 layers: a line, the share of gates below 0, between {100 * below.mean(axis=(1, 2)).min():.0f} and "
    f"{100 * below.mean(axis=(1, 2)).max():.0f} percent; and bars, the share of the squares that passes through them: "
    f"up to {100 * through.max():.0f} percent in early layers, below {100 * late.max():.0f} from layer 20 on.",
)

# %% [markdown]
# More than half. So a gate below 0 is not a gate that is shut. Each single one lets little pass, at most 0.28 of `up`
# and with the opposite sign, but they are many, and the dip of SiLU is where most of them lie. Only far to the left,
# where few gates are, nothing passes.
#
# And yet not everything is used alike. **Guess first:** a layer has 1536 products for each token. What share of the sum
# of squares do the largest 154, a tenth, hold?

# %% tags=["hide-input", "hide-output"]
largest_first = -np.sort(-passed, axis=-1)
held = (np.cumsum(largest_first, axis=-1) / passed.sum(axis=-1, keepdims=True)).mean(axis=1)  # (layer, F)
part = 100 * np.arange(1, config.hidden_dim + 1) / config.hidden_dim
figure, axis = plt.subplots(figsize=(7, 3.6))
for i, colour in zip((0, 6, 18, 29), COLOURS):
    axis.plot(part, 100 * held[i], color=colour, label=f"layer {i}: {held[i, 153]:.0%} in a tenth")
axis.plot([0, 100], [0, 100], "--", color=COLOURS[5], linewidth=1, label="all alike")
axis.axvline(10, color=COLOURS[5], linestyle=":", linewidth=1)
axis.set(xlabel="largest products, % of 1536", ylabel="share of the sum of squares, %", xlim=(0, 60))
claim(axis, "In every layer a tenth holds most of it", holds=held[:, 153].min() > 0.6)
axis.legend(fontsize=8, loc="lower right")
show(
    figure,
    "The share of the sum of squares that the largest products hold, for four layers. All curves rise steeply: at a "
    f"tenth of the products they stand between {100 * held[:, 153].min():.0f} and {100 * held[:, 153].max():.0f} "
    "percent, far above the dashed line on which all products would be alike.",
)

# %% [markdown]
# ## A question that only some tokens answer with yes
#
# What do the few ask for? Layer 8 reads the story. For 14 of its hidden numbers, those that open widest at some token,
# the picture shows how far they open at every one but the first. (That one is left out of all these pictures: it is a
# case of its own, 04.)

# %% tags=["hide-input"]
words = [tokenizer.decode([int(i)]).strip() for i in story[0]]
activity = silu_stable(gates[8, 1:])  # (token, F)
strongest = np.argsort(-activity.max(axis=0))[:14]
order = strongest[np.argsort(activity[:, strongest].argmax(axis=0), kind="stable")]
figure, axis = plt.subplots(figsize=(10, 4.2))
picture = axis.imshow(activity[:, order].T, aspect="auto", vmin=0, vmax=2.5, interpolation="nearest")
axis.set_xticks(range(len(words) - 1), words[1:], rotation=90, fontsize=8)
axis.set_yticks(range(len(order)), [str(i) for i in order], fontsize=8)
axis.set(xlabel="token", ylabel="hidden number")
axis.grid(False)
figure.colorbar(picture, label="silu(gate)", extend="max")
wide = (activity[:, order] > 0.5 * activity[:, order].max(axis=0)).sum(axis=0)  # at how many tokens
claim(axis, "Layer 8: most of them open wide for a few of 24 tokens", holds=np.mean(wide <= 6) > 0.8)
tops = {int(i): words[1 + int(activity[:, i].argmax())] for i in order}
show(
    figure,
    "A row for each of 14 hidden numbers, a column for each token of the story. Most rows are dark with a few bright "
    f"fields; row {order[wide.argmax()]} is bright at {wide.max()} of 24 tokens. The brightest fields are, from the "
    "first row down, at " + ", ".join(tops.values()) + ".",
)

# %%
for i in order:
    top = np.argsort(-activity[:, i])[:4]
    print(f"gate {i:>4}: " + "  ".join(f"{words[1 + t]} {activity[t, i]:.1f}" for t in top))

# %% [markdown]
# One is open nearly everywhere. Some ask for one word. Others ask for what words have in common: several open at both
# bones and, less, at the dog, and several at *sad* and *hungry*, which no letter connects. The same word need not give
# quite the same answer: after eight layers a vector holds more than its own word. The 14 are the loudest of 1536,
# chosen for that, and one story does not say what a number stands for.
#
# ## One thing wrong at a time
#
# The real model with another gate, everything else untouched: the loss on the story, and the words after a beginning.
#
# **Guess first:** GELU and SiLU look nearly alike in the picture of the curves. Does the model notice? And which is
# worse: ReLU for SiLU, or `gate` and `up` exchanged?

# %% tags=["hide-output"]
variants = {
    "right": swiglu_forward,
    "GELU for SiLU": lambda gate, up: gelu(gate) * up,
    "SiLU, but 0 below 0": lambda gate, up: np.where(gate > 0, swiglu_forward(gate, up), 0),
    "ReLU for SiLU": lambda gate, up: np.maximum(gate, 0) * up,
    "the share alone: σ(gate) · up": lambda gate, up: up / (1 + np.exp(-np.clip(gate, -80, 80))),
    "no activation": lambda gate, up: gate * up,
    "gate and up exchanged (w1, w3)": lambda gate, up: swiglu_forward(up, gate),
}
loss, rows = {}, []
for name, function in variants.items():
    loss[name] = mean_loss(story, as_op(function))
    rows.append((name, f"{loss[name]:.2f}", next_words("The capital of France is", as_op(function))))
assert loss["right"] + 1 < loss["GELU for SiLU"] < loss["ReLU for SiLU"] < loss["gate and up exchanged (w1, w3)"]
assert loss["SiLU, but 0 below 0"] > loss["right"] + 3
table(("gate", "loss", "The capital of France is ..."), rows)

# %% [markdown]
# GELU costs more than one nat, although it still says Paris: 30 layers add up small differences, and the weights were
# trained with this curve and no other. ReLU is not a worse function for it. It is another one than these weights know;
# the third line shows that the part below 0 is nearly all of the difference. With `w1` and `w3` exchanged nothing is
# left, and nothing crashes.
#
# The package's `minillama.layers.swiglu` does what was derived here: NumPy to be read, kernels, and the gradient. The
# width is `swiglu_hidden_dim` of `minillama.config`. Both agree with the chapter:

# %%
from minillama.config import swiglu_hidden_dim
from minillama.layers import swiglu as package

some_gate, some_up, some_dy = rng.normal(0, 5, (3, 64, 1536)).astype(np.float32)
for name in ("forward", "forward_fast"):
    y, kept = getattr(package, f"swiglu_{name}")(some_gate, some_up)
    show_error(f"swiglu_{name}", y, swiglu_forward(some_gate, some_up), 1e-4, against="the chapter")
for name, ours, theirs in zip(
    ("dgate", "dup"), swiglu_backward(some_dy, some_gate, some_up), package.swiglu_backward_fast(some_dy, kept)
):
    show_error(name, theirs, ours, 1e-3, against="the chapter")
assert all(ffn_hidden_dim(*arguments) == swiglu_hidden_dim(*arguments) for arguments in sizes.values())

# %% [markdown]
# ## What you now know
#
# - Matrices alone give a mixture the mean of what its parts get. A product of two rows can see that both are there.
# - The feed-forward layer asks F questions of one token. SiLU of the gate says how much of `up` passes, and $W_{down}$
#   adds it to the stream.
# - Without an activation, a gate below 0 turns things upside down instead of keeping them out. SiLU closes softly, dips
#   to −0.28 on the way, and a model puts much into that dip.
# - With $e^{-|g|}$ nothing overflows, on either side.
# - Three matrices at two thirds of 4 D have as many weights as two at 4 D.
# - Each factor of a product gets the other one as its gradient, the gate also the slope of SiLU.
#
# ## Three questions
#
# 1. All of `x` is made ten times as large, without a norm. The toy's "it" had the gates 2 and 0, and `up` 1 and 2. By
#    what factor does what passes through its first gate grow, and what happens at the bone's second gate of −4?
#
# <details>
# <summary>Answer</summary>
#
# The gate is 20 and `up` is 10: silu(20) · 10 = 200 instead of 1.76, a factor of 114. Both factors grow tenfold, and
# the gate opens the rest of the way. The bone's gate is −40, and −40 · e⁻⁴⁰ · 20 is nothing at all: it shuts more
# firmly. That is why the norm (04) comes first: the size of `x` decides how hard gates are.
#
# </details>
#
# 2. A model has D = 1024, and a feed-forward layer with two matrices, 4096 wide. Somebody replaces it by SwiGLU and
#    keeps the width. How many weights does a layer have more? What width would have kept their number, as a multiple
#    of 256 that is not below it?
#
# <details>
# <summary>Answer</summary>
#
# One matrix more, 4096 · 1024: 4.2 million in each layer, half as many again as the 8.4 million before. Two thirds of
# 4096 are 2730, and 11 · 256 = 2816.
#
# </details>
#
# 3. One hidden number has the gate −6 and `up` = 3 for a token, and $dy$ is 1 for what passes. How large are the
#    gradients of the two? And if the gate were +6?
#
# <details>
# <summary>Answer</summary>
#
# At −6, σ is 0.0025. `up` gets silu(−6) = −0.015, the gate gets 3 times the slope 0.0025 · (1 − 6 · 0.9975) = −0.012,
# so −0.037: both next to nothing. At +6, `up` gets 5.99 and the gate 3 · 1.012 = 3.04. An open gate teaches what passes
# through it; a shut one hides it.
#
# </details>
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `silu_stable` | SiLU for any number | 1 | 10 | core |
# | `swiglu_forward` | The gate; runs in a model; with a speed card | 1 | 10 | core |
# | `feed_forward` | The feed-forward layer | 1 | 10 | core |
# | `feed_forward_fused` | Gate and up in one product | 2 | 10 |  |
# | `ffn_hidden_dim` | The width of the feed-forward layer | 1 | 10 |  |
# | `swiglu_backward` | The gradient of the gate | 2 | 20 |  |
#
# <!-- end of the exercises -->
#
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# Embedding, norms, rotation, attention and this layer: no part of the model is missing any more.
# [09](09_whole_model.ipynb) puts them together.
