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
# > **Before this:** [03](03_embeddings_and_loss.ipynb).
# > **Time:** 30 minutes to read and run, 85 for all exercises; on the [core path](README.md) 70 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2, takes RMSNorm before every part of a layer over from
# > LLaMA 1; RMSNorm itself is Zhang and Sennrich, arXiv:1910.07467. **Not here:** what the parts of a layer compute
# > (05 to 08). Not reproduced: that a language model of full size cannot be trained without norms. A stack of twelve
# > small layers shows the reason.
#
# *The dog buried the bone because it was hungry.* The vector of "it" comes from the table (03), and thirty layers
# follow. Each reads the vector and adds something to it: the [residual stream](glossary.md#residual-stream) (00). The
# first layer meets numbers near 0.1. What does the thirtieth meet, after 29 others have added to them?
#
# Before each of its two parts, a layer brings a copy of the stream to one size: [RMSNorm](glossary.md#rmsnorm). It is a
# division and a multiplication by learned weights, and with two a layer and one at the end there are 61 of them in
# SmolLM2. Here is that model without the 61 divisions.

# %% tags=["hide-input"]
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

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
rng = np.random.default_rng(4)

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)  # from 4 and 8 bits

# %% [markdown]
# **Guess first:** how large is the largest number of the stream after 10 of 30 layers, with the norms and without?


# %% tags=["hide-output"]
def undivided(x, weight, eps):
    """In the place of a norm: the learned weights alone."""
    return x * weight


def run(text, norm=None):
    """The stream (61, T, dim) as every norm meets it, and the logits of the last token; None is the package's norm."""
    met = []

    def op(x, weight, eps):
        met.append(x[0].copy())
        y = FAST.rmsnorm_forward(x, weight, eps)[0] if norm is None else norm(x, weight, eps)
        return np.asarray(y, np.float32), None

    with np.errstate(all="ignore"):
        logits = forward(params, config, np.array([tokenizer.encode(text)]), FAST._replace(rmsnorm_forward=op))[0]
    return np.array(met), logits[0, -1]


start = "The capital of France is"
for name, norm in (("with norms", None), ("without", undivided)):
    met, logits = run(start, norm)
    largest = np.abs(met[::2]).max(axis=(1, 2))  # two norms a layer: every second one stands at its beginning
    print(f"{name:<12} largest number after", "  ".join(f"{n}: {largest[n]:.3g}" for n in (0, 2, 4, 6, 7, 10)))
    if np.isnan(logits).any():
        print(f"{'':<12} of {len(logits)} logits, {np.isnan(logits).sum()} are NaN")
    else:
        print(f"{'':<12} next: {tokenizer.decode([int(logits.argmax())])!r}")
assert np.isnan(logits).all()

# %% [markdown]
# Without the divisions the numbers are larger than anything float32 can hold after a few layers, and infinity minus
# infinity is not a number: nothing is left to say. With them the stream grows too, but the model answers.
#
# ## What multiplies runs away, what adds does not
#
# Take "it" of the book's toy, (½, ½); both numbers stay equal here, so one stands for both. A layer that is as simple
# as can be adds *twice what it reads*. Without a norm it reads the stream. With a norm it reads a copy, brought to
# size 1, and adds 2:
#
# | layers | 0 | 1 | 2 | 3 | … | 30 |
# |---|---|---|---|---|---|---|
# | it reads the stream | ½ | 1½ | 4½ | 13½ | times 3 each | ? |
# | it reads a copy of size 1 | ½ | 2½ | 4½ | 6½ | plus 2 each | 60½ |
#
# **Guess first:** how much is it in the first row after 30 layers? And if the layer added a tenth less, 1.8 times
# what it reads, how much smaller would the end be?

# %% tags=["hide-output"]
print(f"times 3, 30 times: {0.5 * 3.0**30:.2g};  times 2.8: {0.5 * 2.8**30:.2g}")
print(f"plus 2,  30 times: {0.5 + 2 * 30:.1f};  plus 1.8: {0.5 + 1.8 * 30:.1f}")

# %% [markdown]
# What multiplies grows like a power, and the power magnifies every small difference: a tenth less in each layer is an
# eighth at the end. What adds grows evenly, and a tenth less is a tenth less. That is what the copy is for: however
# large the stream has become, the next layer meets the size that its weights were learned for, and what it adds has a
# size that does not depend on those before it.
#
# One of the two parts of each real layer is worse than the toy's: it multiplies two results with one another (08), so
# that ten times the input is a hundred times the output. From 10 the way is 100, 10 thousand, 100 million … and the
# sixth is beyond float32. Stacks of 30 random layers, 64 numbers wide, show both kinds:

# %% tags=["hide-input"]
D, n_layers = 64, 30
kinds = {"one matrix": lambda z, a, b: z @ a, "two results multiplied": lambda z, a, b: (z @ a) * (z @ b)}
sizes = {}
for kind, part in kinds.items():
    matrices = rng.normal(0, 1 / math.sqrt(D), (n_layers, 2, D, D))
    for how in ("without norms", "with norms"):
        stream = np.random.default_rng(1).normal(size=(32, D))
        sizes[kind, how] = [np.sqrt(np.mean(stream**2))]
        for a, b in matrices:
            read = stream
            if how == "with norms":
                read = stream / np.sqrt(np.mean(stream**2, axis=1, keepdims=True))
            with np.errstate(all="ignore"):
                stream = stream + part(read, a, b)
                size = np.sqrt(np.mean(stream**2))
            sizes[kind, how].append(size if size < 1e16 else np.nan)
figure, axis = plt.subplots(figsize=(8, 3.8))
steady = np.sqrt(1 + np.arange(n_layers + 1))
for (kind, how), values in sizes.items():
    colour = COLOURS[list(kinds).index(kind)]
    axis.semilogy(values, "-" if how == "without norms" else "o", color=colour, markersize=4, label=f"{kind}, {how}")
axis.semilogy(steady, color=COLOURS[5], label="√(1 + layers)")
axis.set(xlabel="layers", ylabel="size of the stream (root mean square)", ylim=(0.5, 1e8))
normed = [sizes[kind, "with norms"] for kind in kinds]
bare = sizes["one matrix", "without norms"]
claim(
    axis,
    "With norms every kind of layer adds steps of one size",
    holds=np.allclose(normed, [steady, steady], rtol=0.25) and bare[-1] > 1e3 * steady[-1],
)
axis.legend(fontsize=8)
show(
    figure,
    "The size of the stream over 30 layers, upwards in powers of ten. Without norms a layer of one matrix climbs along "
    f"a straight line to {bare[-1]:.0f}, and one that multiplies two results leaves the picture after a few layers. "
    f"With norms the points of both lie on one curve, √(1 + layers), and end near {normed[0][-1]:.1f}.",
)
print(f"after 30 layers of one matrix: {bare[-1]:.0f} without norms, {normed[0][-1]:.1f} with")

# %% [markdown]
# The toy's steps all pointed the same way, so they added up to 60. Random steps cancel partly, and grow like a root.
#
# ## Same direction, one size
#
# What a copy must keep is the direction, for it is what the layer reads. What is to go is the size. The size of a row
# of numbers is measured by its *root mean square*: square them, take the mean, take the root. Then divide by it.
#
# | | dog | bone | it | ten times "it" |
# |---|---|---|---|---|
# | numbers | (1, 0) | (0, 1) | (½, ½) | (5, 5) |
# | mean of the squares | ½ | ½ | ¼ | 25 |
# | its root | 0.71 | 0.71 | ½ | 5 |
#
# **Guess first:** what do the four become? Which of them becomes longer, and which shorter? (In the picture it is three
# times "it", which fits better than ten.)

# %% tags=["hide-output"]
four = np.vstack([VECTORS, 10 * VECTORS[2]]).astype(np.float64)
roots = np.sqrt(np.mean(four * four, axis=1, keepdims=True))
for name, row, divided in zip((*WORDS, "ten times it"), four, four / roots):
    print(f"{name:<13}", row, "becomes", divided.round(2), " length", np.linalg.norm(divided).round(2))

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), sharex=True, sharey=True)
short = dict(zip(WORDS, VECTORS)) | {"three times “it”": 3 * VECTORS[2]}
offsets = ((4, -14), (6, 2), (8, -4), (-88, 2))
halves = {name: vector / np.sqrt(np.mean(vector**2)) for name, vector in short.items()}
for axis, arrows in ((left, short), (right, halves)):
    order = (3, 0, 1, 2)  # the long arrow first, so that the short one lies on it
    for i in order:
        name = list(arrows)[i]
        text = name if axis is left or i != 3 else ""
        draw_arrows(axis, {text: arrows[name]}, colours=COLOURS[i : i + 1], offset=offsets[i])
circle = np.linspace(0, np.pi / 2, 100)
right.plot(math.sqrt(2) * np.cos(circle), math.sqrt(2) * np.sin(circle), color=COLOURS[5], ls=":", label="length √2")
right.legend(loc="lower left", fontsize=8)
label(left, "four rows")
lengths = [np.linalg.norm(vector) for vector in halves.values()]
claim(right, "Every row ends on one circle", holds=np.allclose(lengths, math.sqrt(2)))
show(
    figure,
    "Two planes with equal axes, alive across, edible upwards. Left: dog, an arrow to the right, bone upwards, it on "
    "the diagonal between them and shorter, and three times it, far longer on the same diagonal. Right: all directions "
    "are as before, and every tip lies on the circle of length √2; it and three times it are one arrow.",
)

# %% [markdown]
# "it" and ten times "it" are the same afterwards; so are all rows of one direction. The root mean square of each is 1,
# and the length is then √2, or √D for a row of D numbers. The numbers of a row stay near 1 like this however wide the
# model is, which a length of 1 would not give: there, each of 4096 numbers would be near 1/64.
#
# Which numbers matter to the part that follows is for that part to say. So the norm has a learned weight for each
# number, the same for all tokens: with the weights (2, ½) the diagonal (1, 1) becomes (2, ½), and the next part hears
# four times as much *alive* as *edible*.
#
# ## A row of zeros must not become NaN
#
# One case is left out. Padding is a row of zeros, its root mean square is 0, and 0/0 is not a number. A small
# number ε (`norm_eps`, 10⁻⁵ in most LLaMA 2 files) is added to the mean square *before* the root. For a row $x$ of $D$
# numbers and weights $w$:
#
# $$ r = \frac{1}{\sqrt{\frac1D \sum_{i} x_i^2 + \varepsilon}}, \qquad \hat x_i = x_i\, r, \qquad
#   y_i = \hat x_i\, w_i . $$
#
# $r$ is one number for a row, $\hat x$ is the row at size 1. In plain Python, for one row:


# %%
def rmsnorm_row(x, weight, eps):
    """x and weight as lists; the formula read aloud."""
    total = 0.0
    for number in x:
        total += number * number
    r = 1 / math.sqrt(total / len(x) + eps)
    return [number * r * w for number, w in zip(x, weight)]


print("it, weights 2 and ½:", np.round(rmsnorm_row([0.5, 0.5], [2.0, 0.5], 1e-5), 2))
print("padding:", rmsnorm_row([0.0, 0.0], [2.0, 0.5], 1e-5))

# %% [markdown]
# ε decides about more than zeros. **Guess first:** ε is 10⁻⁵. A row of size 0.003 goes in: at what size does it come
# out? And one of size 0.0003?

# %% tags=["hide-output"]
for size in (0.3, 0.03, 0.003, 0.0003):
    print(f"size {size:<7} comes out at {abs(rmsnorm_row([size, -size], [1, 1], 1e-5)[0]):.3f}")

# %% tags=["hide-input", "hide-output"]
inputs = np.logspace(-7, 1, 200)
curves = {
    "ε = 1e-5": inputs / np.sqrt(inputs**2 + 1e-5),
    "ε = 1e-6": inputs / np.sqrt(inputs**2 + 1e-6),
    "1e-5 added after the root": inputs / (inputs + 1e-5),
}
figure, axis = plt.subplots()
for (name, outputs), colour, line in zip(curves.items(), (COLOURS[0], COLOURS[2], COLOURS[1]), ("-", "-", "--")):
    axis.loglog(inputs, outputs, line, color=colour, label=name)
for eps, colour in ((1e-5, COLOURS[0]), (1e-6, COLOURS[2])):
    axis.axvline(math.sqrt(eps), color=colour, ls=":", lw=1)
axis.set(xlabel="size of the row that goes in (root mean square)", ylabel="size of the row that comes out")
small = inputs < math.sqrt(1e-5) / 3
claim(
    axis,
    "Rows below the root of ε (dotted) stay small",
    holds=curves["ε = 1e-5"][small].max() < 0.5 and curves["1e-5 added after the root"][inputs > 1e-4].min() > 0.9,
)
axis.legend(loc="lower right")
show(
    figure,
    "Size out against size in, both in powers of ten. For ε = 1e-5 and 1e-6 the curves are flat at 1 on the right, and "
    "bend into a slope at the dotted lines, 0.003 and 0.001: smaller rows stay small. The dashed curve, with the "
    "number added after the root, bends only at 0.00001.",
)

# %% [markdown]
# ε stands beside the mean *square*, so it is to be compared with a square: at 0.003, whose square is 0.9 · 10⁻⁵, it is
# about as large as ε, and the row comes out at 0.69. What is far smaller is noise around zero, and stays small instead
# of being blown up to 1. Added after the root, the same number would bend the curve only at 10⁻⁵.
#
# | array | shape | |
# |---|---|---|
# | `x`, `y` | (B, T, D) | B sequences of T tokens |
# | mean square | (B, T, 1) | one number for each token |
# | `weight` | (D,) | one number for each dim, the same for all tokens |
#
# ### Now you · `rmsnorm_forward` · 10 minutes
#
# `x` (B, T, D), `weight` (D,), `eps` → `y` (B, T, D): all rows at once, without a loop. When yours passes, the real
# model below runs on it.

# %%
rmsnorm_forward = now_you("rmsnorm_forward")


# %% tags=["solution"]
def book_rmsnorm_forward(x, weight, eps):
    mean_square = np.mean(x * x, axis=-1, keepdims=True)  # (B, T, 1)
    return x / np.sqrt(mean_square + eps) * weight


# %% [markdown]
# PyTorch has the same function. Where it is not installed, the loop above takes its place.

# %%
x = (rng.normal(size=(2, 5, 64)) * 10.0 ** rng.integers(-3, 3, (2, 5, 1))).astype(np.float32)  # sizes 0.001 to 100
weight = rng.uniform(0.5, 1.5, 64).astype(np.float32)
y = rmsnorm_forward(x, weight, 1e-5)
if torch is not None:
    expected = torch.nn.functional.rms_norm(torch.tensor(x).double(), (64,), torch.tensor(weight).double(), 1e-5)
else:
    expected = np.array([[rmsnorm_row(row, weight, 1e-5) for row in rows.tolist()] for rows in x])
show_error("rmsnorm", y, expected, 1e-5)

# %% [markdown]
# ## LayerNorm would take one direction more
#
# [LayerNorm](glossary.md#layernorm), which the first transformers had, subtracts the mean of a row before it divides.
# **Guess first:** what becomes of dog, bone and it?


# %% tags=["hide-output"]
def layer_norm(x, weight, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps) * weight


for word, row in zip(WORDS, layer_norm(VECTORS, np.ones(2), 1e-5)):
    print(f"{word:<5}", row.round(2))

# %% [markdown]
# With two numbers, only (1, −1) and (−1, 1) are left, and "it" is gone. With 576 numbers it is one direction of 576,
# the one in which all numbers are equal: little, and nothing is gained by it. RMSNorm leaves it, and saves a pass over
# the row. How little it is in a real model stands in the table at the end.
#
# ## The stream itself is never divided
#
# A part of a layer has read its copy and has a result. Say that "it" is (½, ½) and the result (1, 0): something alive.
# The stream goes on as the sum, (1½, ½), and the next part gets a new copy, (1.34, 0.45). Would it not be simpler to
# pass the copy on? The first transformers did (*post-norm*). LLaMA norms before each part, and only what that part
# reads: [pre-norm](glossary.md#pre-norm).
#
# ### Now you · `add_rmsnorm` · 10 minutes
#
# The stream `x` (N, D) and a layer's result `update` (N, D) → the stream after it, and what the next layer reads.

# %%
add_rmsnorm = now_you("add_rmsnorm")


# %% tags=["solution"]
def book_add_rmsnorm(x, update, weight, eps):
    h = x + update
    return h, rmsnorm_forward(h, weight, eps)


# %% [markdown]
# What difference does it make? 60 results are added, of size 1 like the embedding. To see what becomes of it, the
# embedding has number 0 for itself, and the results write to the 64 others.
#
# **Guess first:** the last part reads a row of size 1. How much of the embedding is in it, with pre-norm and with
# post-norm?

# %% tags=["hide-output"]
embedding = np.zeros((1, 65), np.float32)
embedding[0, 0] = math.sqrt(65)  # root mean square 1
ones = np.ones(65, np.float32)
left_of_it = {}
for name in ("pre-norm", "post-norm"):
    stream = embedding
    for seed in range(60):
        update = np.random.default_rng(seed).normal(size=(1, 65)).astype(np.float32)
        update[0, 0] = 0
        update *= np.sqrt(65 / np.sum(update**2))
        stream, copy = add_rmsnorm(stream, update, ones, 1e-5)
        if name == "post-norm":
            stream = copy
    left_of_it[name] = copy[0, 0] / embedding[0, 0]
    print(f"{name:<9} {left_of_it[name]:.2g} of what was put in")
np.testing.assert_allclose(left_of_it["pre-norm"], 61**-0.5, rtol=0.2)
np.testing.assert_allclose(left_of_it["post-norm"], 2.0**-30, rtol=0.6)

# %% [markdown]
# With pre-norm the last part still finds the embedding, about as loud as each of the 60 results: 1/√61 = 0.13, a little
# more or less as the results cancel. With post-norm a row and a result of size 1 are about √2 together. Every division
# takes that factor from all that came before, and 2⁻³⁰ of it is left. What is so quiet on the way forward gets as
# little gradient on the way back, and deep post-norm models need special care to learn at all (Xiong et al.,
# arXiv:2002.04745).
#
# ## The gradient stands at right angles to the row
#
# Training asks how the loss changes with each number of $x$ (03). Take the stream from above, (1½, ½), weights 1, and
# for a loss simply the first number of $y$. Its gradient for $y$ is then $dy$ = (1, 0).
#
# **Guess first:** the second number of $x$ does not occur in the first number of $y$, which is $x_0 r$. Does moving it
# change the loss?

# %% tags=["hide-output"]
row = np.array([1.5, 0.5])


def loss_of(row):
    return rmsnorm_row(row, [1, 1], 1e-5)[0]


moved = [(loss_of(row + step) - loss_of(row - step)) / 2e-6 for step in 1e-6 * np.eye(2)]
print("y", np.round(rmsnorm_row(row, [1, 1], 1e-5), 3), "  dx, measured by moving x:", np.round(moved, 3))

# %% [markdown]
# It does: more of the second number makes the row larger, so $r$ is smaller, and *every* number of $y$ with it. Each
# number of $x$ acts in two ways, directly and through $r$. By the chain rule (03), with $u$ for what stands under the
# root:
#
# $$ \frac{\partial r}{\partial u} = -\tfrac12 u^{-3/2} = -\tfrac12 r^3, \qquad
#    \frac{\partial u}{\partial x_i} = \frac{2 x_i}{D}, \qquad
#    \text{so} \qquad \frac{\partial r}{\partial x_i} = -\frac{r^3 x_i}{D} . $$
#
# The numbers: $r$ = 0.894 and $\partial r/\partial x$ = (−0.54, −0.18). The loss is $x_0 r$. Directly, $x_0$ counts
# $r$ = 0.894. Through $r$, each counts $x_0$ = 1.5 times its $\partial r/\partial x_i$: −0.80 and −0.27. Together
# (0.09, −0.27), as measured.

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(5.4, 4))
r = 1 / np.sqrt(np.mean(row**2) + 1e-5)
direct, through = np.array([r, 0]), -row[0] * r**3 * row / 2
draw_arrows(axis, {"x": row}, colours=COLOURS[:1])
draw_arrows(axis, {"directly": direct}, colours=COLOURS[5:], offset=(-8, -14))
draw_arrows(axis, {"through r": through}, colours=COLOURS[1:2], start=direct, offset=(54, -4))
draw_arrows(axis, {"dx": direct + through}, colours=COLOURS[2:3], offset=(-24, -4))
cosine = row @ (direct + through) / np.linalg.norm(row) / np.linalg.norm(direct + through)
claim(axis, "dx is at right angles to x", holds=abs(cosine) < 1e-4 and np.allclose(direct + through, moved, atol=1e-4))
show(
    figure,
    "A plane with equal axes. x is a long arrow to the right and a little upwards. The direct part of the gradient "
    f"points along the alive axis to {direct[0]:.2f}; from its tip the part through r leads back, against the "
    "direction of x. Their sum, dx, points downwards, at right angles to x.",
)

# %% [markdown]
# The right angle is no accident. The norm forgets the size of a row, so a step along $x$ changes nothing, and a
# gradient has no part in a direction in which nothing changes. The way through $r$ takes exactly that part away.
#
# In general $dy$ has numbers everywhere, the weights are not 1, and the weights have a gradient too. Each $w_i$ acts
# on number $i$ of *every* row: gradients of all rows add up.
#
# ### Now you · `rmsnorm_backward` · 30 minutes
#
# `dy`, `x` (B, T, D), `weight` (D,), `eps` → `dx` (B, T, D) and `dweight` (D,). Begin with one row and
# $g_i = dy_i w_i$, the gradient for $\hat x$. How does number $i$ of $x$ act directly, and how through $r$, which all
# $\hat x_j = x_j r$ share?

# %%
rmsnorm_backward = now_you("rmsnorm_backward")


# %% tags=["solution"]
def book_rmsnorm_backward(dy, x, weight, eps):
    r = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    x_hat, g = x * r, dy * weight
    dx = r * (g - x_hat * np.mean(g * x_hat, axis=-1, keepdims=True))
    dweight = np.sum(dy * x_hat, axis=(0, 1))
    return dx, dweight


# %% [markdown]
# The two ways, put together, and the sum for the weights:
#
# $$ dx_i = r\, g_i - \frac{r^3 x_i}{D} \sum_j g_j x_j
#         = r \Big( g_i - \hat x_i \cdot \frac1D \sum_j g_j \hat x_j \Big), \qquad
#    dw_i = \sum_{\text{rows}} dy_i\, \hat x_i . $$
#
# In the bracket, what $g$ has along $\hat x$ is subtracted. In front of it stands $r$: a row that is ten times as large
# gets a tenth of the gradient. PyTorch finds the same by itself:

# %%
x = rng.normal(0, 3, (2, 5, 64)).astype(np.float32)
dy = rng.normal(size=x.shape).astype(np.float32)
dx, dweight = rmsnorm_backward(dy, x, weight, 1e-5)
if torch is not None:
    x64, w64 = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, weight))
    torch.nn.functional.rms_norm(x64, (64,), w64, 1e-5).backward(torch.tensor(dy, dtype=torch.float64))
    expected = x64.grad, w64.grad
else:
    expected = rmsnorm_backward(*(a.astype(np.float64) for a in (dy, x, weight)), 1e-5)
show_error("dx", dx, expected[0], 1e-5)
show_error("dweight", dweight, expected[1], 1e-4)
cosines = np.sum(dx * x, -1) / np.linalg.norm(dx, axis=-1) / np.linalg.norm(x, axis=-1)
print(f"largest cosine between a row of x and its dx: {np.abs(cosines).max():.0e}")
assert np.abs(cosines).max() < 1e-5

# %% [markdown]
# ## One learning rate for every beginning
#
# Now both functions in a stack that learns: twelve layers of 24 numbers, each a matrix, a ReLU (negative numbers become
# 0) and a matrix, whose result is added to the stream. It has to sort 96 random rows into 8 kinds. The weights begin at
# random: as usual, four times as large, and a quarter. Sixty steps go against the gradient, each the gradient times the
# learning rate (14). The folded cell runs 78 trainings, 13 learning rates at a time.
#
# **Guess first:** with four times the weights and no norms, how many of 13 learning rates lead anywhere?


# %% tags=["hide-input"]
def train(normed, scale, rates, n_layers=12, D=24, n_rows=96, n_kinds=8, steps=60):
    """The loss after the last step, for each learning rate; the same beginnings and the same rows for all."""
    rng = np.random.default_rng(0)
    n = len(rates)
    rows = np.repeat(rng.normal(size=(1, n_rows, D)), n, axis=0).astype(np.float32)
    targets = (rows[0] @ rng.normal(size=(D, 3)) > 0) @ [1, 2, 4]
    rate, ones = np.reshape(rates, (n, 1, 1)).astype(np.float32), np.ones(D, np.float32)

    def begin(n_in, n_out, size):
        return np.repeat(rng.normal(0, size, (1, n_in, n_out)), n, axis=0).astype(np.float32)

    up = [begin(D, D, scale * D**-0.5) for _ in range(n_layers)]
    down = [begin(D, D, scale * D**-0.5) for _ in range(n_layers)]
    head = begin(D, n_kinds, D**-0.5)

    def norm(x):
        return rmsnorm_forward(x, ones, 1e-5) if normed else x

    def back(dy, x):
        return rmsnorm_backward(dy, x, ones, 1e-5)[0] if normed else dy

    for step in range(steps + 1):
        streams = [rows]
        for a, b in zip(up, down):
            streams.append(streams[-1] + np.maximum(norm(streams[-1]) @ a, 0) @ b)
        last = norm(streams[-1])
        logits = last @ head
        logits -= logits.max(axis=-1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(axis=-1, keepdims=True)
        if step == steps:
            return -np.log(np.maximum(p[:, np.arange(n_rows), targets], 1e-30)).mean(axis=-1)
        p[:, np.arange(n_rows), targets] -= 1  # the gradient for the logits (03)
        p /= n_rows
        d, d_head = back(p @ head.swapaxes(1, 2), streams[-1]), last.swapaxes(1, 2) @ p
        head -= rate * d_head
        for i in reversed(range(n_layers)):
            read = norm(streams[i])
            middle = np.maximum(read @ up[i], 0)
            d_middle = (d @ down[i].swapaxes(1, 2)) * (middle > 0)
            d_up, d_down = read.swapaxes(1, 2) @ d_middle, middle.swapaxes(1, 2) @ d
            d = d + back(d_middle @ up[i].swapaxes(1, 2), streams[i])  # two ways: past the layer, and through it
            up[i] -= rate * d_up
            down[i] -= rate * d_down


rates = 10.0 ** np.arange(-5, 1.1, 0.5)
beginnings = {"a quarter": 0.25, "as usual": 1.0, "four times": 4.0}
with np.errstate(all="ignore"):
    ends = {(name, n): train(n, scale, rates) for n in (False, True) for name, scale in beginnings.items()}
    first = train(False, beginnings["as usual"], rates[:1], steps=0)[0]
assert round(float(first), 1) == 10.8  # the loss before the first step

# %% tags=["hide-input", "hide-output"]
learned = {key: np.nan_to_num(values, nan=np.inf) < 1 for key, values in ends.items()}
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharex=True, sharey=True)
for axis, normed in zip(axes, (False, True)):
    for i, name in enumerate(beginnings):
        axis.semilogx(
            rates, np.minimum(np.nan_to_num(ends[name, normed], nan=np.inf), 6), "o-", color=COLOURS[i], label=name
        )
    axis.axhline(math.log(8), color=COLOURS[5], ls=":", label="guessing: log 8")
    axis.set(xlabel="learning rate", ylabel="loss after 60 steps (6: more, or NaN)")
common = {normed: np.logical_and.reduce([learned[name, normed] for name in beginnings]) for normed in (False, True)}
claim(axes[0], "Without norms no learning rate suits all", holds=not common[False].any())
claim(axes[1], "With norms one learning rate suits all", holds=common[True].any())
axes[1].legend(fontsize=8, title="first weights", title_fontsize=8)
show(
    figure,
    "The loss after training against the learning rate, two panels with the same axes, three curves for the size of "
    "the first weights. Left, without norms: two curves are low at different learning rates, each just before it "
    "shoots up, and that of the largest weights stays at the upper edge. Right, with norms: the three curves lie "
    "close together, and are low at the same rates.",
)
for (name, normed), good in learned.items():
    found = ", ".join(f"{rate:.0e}" for rate in rates[good]) or "none"
    print(f"{'with' if normed else 'without'} norms, first weights {name}: loss below 1 with {found}")

# %% [markdown]
# Without norms each beginning has learning rates of its own, just below those at which the numbers run away, and the
# largest has none. ("As usual" begins at a loss of 10.8, and small steps do not get it down.) The smallest learns as
# well as with norms: who chooses the first weights with care can do without them, in twelve layers. With norms, weights
# sixteen times as large learn at the same rate.
#
# ## One kernel instead of four arrays
#
# NumPy computes the squares, the mean, the quotient and the product one after another, and writes arrays as large as
# `x` that nobody needs afterwards. The arithmetic is small, so the time goes into memory (01). A
# [kernel](glossary.md#kernel) can stay with one row, which is in the processor's cache when it is read for the second
# time.
#
# ### Now you · `rmsnorm_kernel` · 20 minutes
#
# Rows (N, D), two loops for each, no array but the output. Right first, then `njit`. (Not on the core path: go on with
# the book's if you like.)

# %%
rmsnorm_kernel = now_you("rmsnorm_kernel")


# %% tags=["solution"]
@njit(fastmath={"reassoc", "contract"})
def book_rmsnorm_kernel(x, weight, eps):
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


# %%
flat = x.reshape(-1, 64)
by_numpy = rmsnorm_forward(x, weight, 1e-5).reshape(-1, 64)
show_error("the kernel", rmsnorm_kernel(flat, weight, 1e-5), by_numpy, 1e-5, against="NumPy")

# %% tags=["varies"]
big, ones = rng.normal(size=(1024, 576)).astype(np.float32), np.ones(576, np.float32)


def milliseconds(function, repeat):
    best = np.inf
    for _ in range(repeat):
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
    return 1e3 * best


rows = [
    ("loops in Python", 128 * milliseconds(lambda: [rmsnorm_row(row, ones, 1e-5) for row in big[:8].tolist()], 1)),
    ("NumPy", milliseconds(lambda: rmsnorm_forward(big[None], ones, 1e-5), 30)),
    ("Numba", milliseconds(lambda: rmsnorm_kernel(big, ones, 1e-5), 30)),
    ("the package", milliseconds(lambda: FAST.rmsnorm_forward(big, ones, 1e-5), 30)),
]
table(("1024 rows of 576", "milliseconds"), [(name, f"{ms:.2f}") for name, ms in rows])

# %% [markdown]
# Times of the machine that ran this notebook; that of the loops in Python is scaled up from 8 rows.
#
# The package's `minillama.layers.rmsnorm` does what was derived here: NumPy to be read, a kernel, and the same for the
# gradient. Both return a pair, the result and what the way back needs.

# %%
from minillama.layers import rmsnorm as package

for name in ("forward", "forward_fast"):
    y, saved = getattr(package, f"rmsnorm_{name}")(x, weight, 1e-5)
    show_error(f"rmsnorm_{name}", y, rmsnorm_forward(x, weight, 1e-5), 1e-5, against="the chapter")
    show_error("its dx", package.rmsnorm_backward_fast(dy, saved)[0], dx, 1e-5, against="the chapter")

# %% [markdown]
# ## Above 256 a square is too much for float16
#
# Models are often run in [float16](glossary.md#float16), two bytes a number, to halve what has to be read. Its largest
# number is 65,504, a little less than 256². Take a row of two numbers that it holds without trouble, (300, 400), and
# compute everything in it.
#
# **Guess first:** in float32 the row becomes (0.85, 1.13). In float16? An error, infinity, or something else?

# %% tags=["hide-output"]
half = np.array([300, 400], np.float16)
with np.errstate(over="ignore"):
    mean_square = np.mean(half * half)
    print("squares", half * half, " their mean", mean_square, " the row becomes", half / np.sqrt(mean_square))

# %% [markdown]
# Zeros: 300² = 90,000 is infinite, and what is divided by infinity is 0. No error, no NaN; the token is gone. The
# remedy is to widen *before* the first square, to compute the mean, root and quotient in float32, and to round at the
# end. Meta's code rounds the row to float16 before it multiplies by the weight, and who wants the same bits does it in
# that order.
#
# ### Now you · `rmsnorm_float16` · 15 minutes
#
# Rows (N, D) and weights in float16 → float16, bit for bit as Meta's model. (Not on the core path.)

# %%
rmsnorm_float16 = now_you("rmsnorm_float16")


# %% tags=["solution"]
def book_rmsnorm_float16(x, weight, eps):
    wide = x.astype(np.float32)
    wide = wide / np.sqrt(np.mean(wide * wide, axis=-1, keepdims=True) + np.float32(eps))
    return wide.astype(x.dtype) * weight


# %%
print(rmsnorm_float16(half[None], np.ones(2, np.float16), 1e-5))

# %% [markdown]
# ## The first token is a hundred times louder than the rest
#
# Do numbers above 256 occur? SmolLM2 reads the toy's sentence, on the `rmsnorm_forward` from above, and every norm
# keeps what it is given.

# %%
words = [tokenizer.decode([i]) for i in tokenizer.encode(SENTENCE)]
met, logits = run(SENTENCE, rmsnorm_forward)
print("stream", met.shape, " tokens", "|".join(words))
show_error("logits", logits, run(SENTENCE)[1], 2e-3, against="the model with the package's norm")

# %% [markdown]
# **Guess first:** the sentence has ten tokens. After which layers do squares of the first token overflow float16, and
# of how many others?

# %% tags=["hide-input", "hide-output"]
after = met[::2]  # (31, T, dim): after 0, 1, ... 30 layers
depth = np.arange(len(after))
rms, largest = np.sqrt(np.mean(after**2, axis=-1)), np.abs(after).max(axis=-1)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
for axis, values, what in ((left, rms, "root mean square of a row"), (right, largest, "largest |number| of a row")):
    axis.fill_between(depth, values[:, 1:].min(axis=1), values[:, 1:].max(axis=1), color=COLOURS[0], alpha=0.25, lw=0)
    axis.semilogy(depth, np.median(values[:, 1:], axis=1), color=COLOURS[0], label="the 9 others: median, range")
    axis.semilogy(depth, values[:, 0], color=COLOURS[1], label="first token")
    axis.set(xlabel="layers passed", ylabel=what)
right.axhline(256, color=COLOURS[3], ls="--", lw=1.2, label="256")
first_above, others_above = largest[:, 0] > 256, (largest[:, 1:] > 256).any(axis=1)
claim(left, "The stream grows through depth", holds=np.median(rms[-1]) > 100 * np.median(rms[0]))
claim(
    right,
    "First token above 256 after layers 3–9 and from 12 on",
    holds=depth[first_above].tolist() == [*range(3, 10), *range(12, 31)],
)
right.title.set_fontsize(10)
right.legend(loc="lower right", fontsize=8)
show(
    figure,
    "Two panels over the layers, upwards in powers of ten. Left, the root mean square: the other tokens rise from "
    f"{np.median(rms[0, 1:]):.1f} to {np.median(rms[-1, 1:]):.0f}; the first lies above them from layer 2, falls back "
    f"to them at layers 10 and 11, and jumps to {rms[12, 0]:.0f} after 12. Right, the largest number of a row: the "
    f"first token jumps to {largest[12, 0]:.0f}, the others cross the dashed line at 256 only after layer "
    f"{depth[others_above][0]}.",
)
print(f"others above 256: from layer {depth[others_above][0]} on, {(largest[26, 1:] > 256).sum()} of 9 after layer 26")

# %% [markdown]
# One token stands out, by one single number of it, as the next cell shows: a [massive
# activation](glossary.md#massive-activation) (Sun et al., arXiv:2402.17762). Many language models have them, mostly at
# the first token, where attention can park what it has no use for (06).

# %%
loud = int(np.abs(after[20, 0]).argmax())
others = np.delete(after[20, 0], loud)
print(f"first token after 20 layers: number {loud} is {after[20, 0, loud]:.0f}, the next {np.abs(others).max():.0f}")
divided = rmsnorm_forward(after[20:21, :1], np.ones(config.dim, np.float32), config.norm_eps)[0, 0]
quiet = np.sqrt(np.mean(np.delete(divided, loud) ** 2))
print(f"at size 1: {divided[loud]:.1f}; root mean square of the 575 others {quiet:.2f}")
n_gone = (np.abs(after).max(axis=-1) > 256).any(axis=1).sum()
print(f"at {n_gone} of 31 places between layers some row has a square that overflows float16")

# %% [markdown]
# At size 1 the row is little but this one number, nearly √576 = 24. It has taken the size for itself, and the others
# are left with an eighth. Whatever else the first token holds is hardly heard.
#
# ## The weights turn the loud number down
#
# Do the parts that read it at least hear the loud number? The learned weights begin at 1 when training begins.
# **Guess first:** how much smaller than the others' is the weight of this one number: by a half, to a tenth, to a
# thousandth?

# %% tags=["hide-input", "hide-output"]
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharex=True, sharey=True)
layers = np.arange(config.n_layers)
at, middle = {}, {}
for axis, field, name in zip(axes, ("attention_norm", "ffn_norm"), ("first part, attention", "second, feed-forward")):
    weights = np.abs([getattr(layer, field) for layer in params.layers])  # (n_layers, dim)
    at[field], middle[field] = np.maximum(weights[:, loud], 1e-5), np.median(weights, axis=1)
    axis.fill_between(layers, *np.percentile(weights, (5, 95), axis=1), color=COLOURS[2], alpha=0.3, lw=0)
    axis.semilogy(layers, middle[field], color=COLOURS[2], label="all 576 numbers: median, 90 %")
    axis.semilogy(layers, at[field], "o-", color=COLOURS[1], markersize=4, label=f"number {loud}")
    axis.axhline(1, color=COLOURS[5], ls=":", lw=1)
    axis.set(xlabel="layer", ylabel=f"|weight| before the {name}")
quieter = at["attention_norm"] < middle["attention_norm"]
claim(axes[0], "Attention hears the loud number quietly", holds=quieter[2:].all())
muted, heard = at["ffn_norm"][11:27], at["ffn_norm"][27:]
claim(axes[1], "Feed-forward of layers 11 to 26 does not hear it", holds=muted.max() < 0.001 < 0.1 < heard.min())
axes[0].legend(fontsize=8, loc="lower right")
show(
    figure,
    "Two panels over the 30 layers, |weight| upwards in powers of ten. Left, before attention: the line of the loud "
    f"number runs at about {np.median(at['attention_norm']):.2f}, below the median of all. Right, before the "
    f"feed-forward part: from layer 11 to 26 it lies below {muted.max() * 1.01:.4f}, hundreds of times under the "
    f"median, and rises to {at['ffn_norm'][-1]:.1f} in the last layer.",
)
usual = np.median(middle["ffn_norm"])
print(f"feed-forward 11 to 26: the weight of number {loud} is at most {muted.max():.4f}, the median {usual:.2f}")
assert abs(met[23, 0, loud]) < 100 < 1e4 < abs(met[24, 0, loud])  # before and after the feed-forward part of layer 11
assert abs(met[3, 0, loud]) < 50 < 150 < abs(met[4, 0, loud])  # and of layer 1
assert at["ffn_norm"][1] < 0.001

# %% [markdown]
# Layer 11's feed-forward part writes the number without hearing it (and layer 1's began the smaller one of layers 3 to
# 9), and the same parts of the following layers have learned to let it pass unheard, for as long as it is there. The
# last three hear it again, and it becomes smaller: after 30 layers it is down to a few thousand. A division alone could
# not do this. It treats all numbers of a row alike, and the weights tell them apart.
#
# ## One thing wrong at a time
#
# The real model with one wrong norm after another: the loss on a short text, and the words that it then finds most
# probable after a beginning.
#
# **Guess first:** which of the `variants` below does the model not notice?

# %% tags=["hide-output"]
story = f"{SENTENCE} The next day it could not find the bone, and it was sad."
story_ids = np.array(tokenizer.encode(story))


def loss_with(norm):
    """Mean loss of the text's tokens (03)."""
    op = FAST._replace(rmsnorm_forward=lambda x, w, eps: (np.asarray(norm(x, w, eps), np.float32), None))
    with np.errstate(all="ignore"):
        logits = forward(params, config, story_ids[None], op)[0][0, :-1].astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return -logits[np.arange(len(logits)), story_ids[1:]].mean()


def in_float16(norm):
    return lambda x, w, eps: norm(x.astype(np.float16)[0], w.astype(np.float16), eps)[None]


def all_float16(x, w, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float16(eps)) * w


def one_size_for_all(x, w, eps):
    return x / np.sqrt(np.mean(x * x, axis=(-2, -1), keepdims=True) + eps) * w


variants = {
    "right": rmsnorm_forward,
    "eps 1e-6 for 1e-5": lambda x, w, eps: rmsnorm_forward(x, w, 1e-6),
    "eps 0.1": lambda x, w, eps: rmsnorm_forward(x, w, 0.1),
    "LayerNorm": layer_norm,
    "weights forgotten": lambda x, w, eps: rmsnorm_forward(x, np.ones_like(w), eps),
    "length 1 in place of √D": lambda x, w, eps: rmsnorm_forward(x, w, eps) / math.sqrt(x.shape[-1]),
    "one size for the whole text": one_size_for_all,
    "float16, mean and root in float32": in_float16(rmsnorm_float16),
    "float16 throughout": in_float16(all_float16),
}
losses = {name: loss_with(norm) for name, norm in variants.items()}
found = {name: run(start, norm)[1] for name, norm in variants.items()}
words_after = {
    name: ", ".join(repr(tokenizer.decode([int(i)])) for i in np.argsort(-z)[:3]) for name, z in found.items()
}
smallest, centre = rms.min(), np.median(np.abs(met.mean(axis=-1)) / np.sqrt(np.mean(met**2, axis=-1)))
assert abs(losses["eps 1e-6 for 1e-5"] - losses["right"]) < 0.01
assert abs(losses["float16, mean and root in float32"] - losses["right"]) < 0.05
assert abs(losses["float16 throughout"] - math.log(config.vocab_size)) < 0.1
assert losses["LayerNorm"] < losses["right"] + 0.2 < losses["eps 0.1"]
print(f"smallest row: {smallest:.3f}; |mean| / root mean square: {centre:.3f} (median)")
table(("norm", "loss", f"{start} ..."), [(name, f"{losses[name]:.2f}", words_after[name]) for name in variants])

# %% [markdown]
# ε at another of its usual values is not noticed, for the smallest row of this model has size 0.083, far above √ε. An ε
# of 0.1 is fifteen times its square, and the first layer reads rows at a quarter of their size. LayerNorm costs little:
# the mean of a row, the direction that it takes away, is a fiftieth of its size. The same rows in float16 are as good
# as in float32 as long as the mean and the root are not; computed in float16 throughout, most rows are zeros at the
# last norm, all logits are equal there, and the loss is near that of guessing, log 49,152 = 10.80.
#
# *One size for the whole text* is a mean over the wrong axes. The first token decides about it, and all others come out
# dozens of times too quiet. It has a second fault: what a token becomes then depends on the tokens after it, which is
# not allowed to a model that predicts them (06).
#
# ## What you now know
#
# - Layers add to the stream, and one that reads the stream as it is multiplies it: sizes run away like a power. A layer
#   that reads a copy of size 1 adds steps of one size, whatever came before.
# - RMSNorm divides a row by the root of the mean of its squares. The direction stays, the length becomes √D, and a
#   learned weight for each number says what the next part hears.
# - ε is added to the mean square, before the root. It keeps zeros from NaN, and rows below √ε small.
# - The stream itself is never divided (pre-norm), so what was written early is not worn away by later layers.
# - Each number of a row acts directly and through the size. The gradient is at right angles to the row, and smaller the
#   larger the row is.
# - Squares above 256 overflow float16, and the row becomes zeros without an error: mean and root belong into float32.
#
# ## Three questions
#
# 1. In a finished model somebody multiplies the whole table of embeddings by 1000, and nothing else (the head is a
#    matrix of its own). What does the first part of layer 0 read? And what does the last norm see?
#
# <details>
# <summary>Answer</summary>
#
# The first part reads what it always did: a norm forgets the size. But what it adds has its old size, and the stream is
# a thousand times as large. So the copy for the next part is nearly the embedding alone, and so on to the end: 60
# results of the old size are whispers beside it, and the model answers almost as if it had no layers.
#
# </details>
#
# 2. A row is (6, 8), the weights are 1, ε is 0. The first number of its gradient $dx$ is 0.04. What is the second?
#    Then the row is (60, 80), with the same $dy$: what is $dx$?
#
# <details>
# <summary>Answer</summary>
#
# $dx$ is at right angles to $x$: 6 · 0.04 + 8 · d = 0, so d = −0.03. Ten times the row is a tenth of $r$, and $\hat x$
# is the same: (0.004, −0.003).
#
# </details>
#
# 3. All numbers of a row are 0.001. At what size does it come out with ε = 10⁻⁵, and with 10⁻⁶? The smallest row of
#    SmolLM2 has size 0.083: by how many percent does ε = 10⁻⁵ make it smaller?
#
# <details>
# <summary>Answer</summary>
#
# The mean square is 10⁻⁶. 0.001/√(1.1 · 10⁻⁵) = 0.30, and 0.001/√(2 · 10⁻⁶) = 0.71: for such a row the two are not the
# same model. 0.083² is 0.0069; 10⁻⁵ is 0.15 % of that, and the root halves it: 0.07 %.
#
# </details>
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
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# The norm treats every row by itself, wherever it stands: "dog bites man" and "man bites dog" are the same rows to it.
# [05](05_rope.ipynb) gives a token its place.
