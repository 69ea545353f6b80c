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
# **Goal.** Build the feed-forward layer of LLaMA: its activation SiLU for numbers of any size, its gate, its width,
# and its gradient; then look at what the gates of a real model do.
#
# **Before this:** chapters 01 (NumPy to Numba) and 04 (RMSNorm). **Time:** about 75 minutes with the exercises.
# **Paper:** LLaMA 2 (arXiv:2307.09288), section 2.2, which takes SwiGLU over from LLaMA 1; SwiGLU itself is Shazeer,
# arXiv:2002.05202.
#
# **Not reproduced:** that SwiGLU trains to a lower loss than ReLU or GELU is a comparison of models trained at size.
# Here it is taken as given, and the chapter shows how the layer works.

# %%
import math
import time

import matplotlib.pyplot as plt
import numba
import numpy as np

import minillama
from minillama.learn import check
from minillama.learn.book import COLOURS, load, show_error, style, table, torch
from minillama.model import forward
from minillama.ops import FAST

style()
rng = np.random.default_rng(8)

# %% [markdown]
# ## The idea
#
# Attention moves information between tokens. The feed-forward layer works on each token alone: it widens the vector,
# applies something that is not linear, and brings it back to its width. In the first transformers it had two
# matrices with a ReLU between them. LLaMA has three. Two of them widen the vector, into a *gate* and into *up*. An
# activation decides from each number of the gate how much of the number of *up* beside it may pass, and the third
# matrix, *down*, leads back.
#
# ## The mathematics
#
# For one token's vector $x \in \mathbb{R}^D$ and a hidden width $F$:
#
# $$\sigma(z) = \frac{1}{1 + e^{-z}}, \qquad \operatorname{silu}(z) = z\,\sigma(z),$$
# $$g = W_{gate}\,x, \qquad u = W_{up}\,x, \qquad y = W_{down}\,\bigl(\operatorname{silu}(g) \odot u\bigr).$$
#
# $\sigma$ is the sigmoid, $\odot$ multiplies number by number. SiLU is also called *swish*: with the gated linear
# unit (GLU) it gives the name SwiGLU. There are no biases.
#
# | array | shape | Meta's name | what it is |
# |---|---|---|---|
# | `x` | (B, T, D) | | normalised stream |
# | `w_gate` | (F, D) | `w1` | makes the gate |
# | `w_up` | (F, D) | `w3` | makes what passes |
# | `gate`, `up` | (B, T, F) | | |
# | `silu(gate) * up` | (B, T, F) | | what has passed |
# | `w_down` | (D, F) | `w2` | leads back |
# | `y` | (B, T, D) | | is added to the stream |
#
# `w1`, `w2`, `w3` are not in the order in which they are used. It is the mistake that loaders make most easily.

# %% [markdown]
# ## Plain Python
#
# One token, one hidden number after another.


# %%
def feed_forward_loops(x, w_gate, w_up, w_down):
    y = [0.0] * len(x)
    for f in range(len(w_gate)):
        gate = sum(w * v for w, v in zip(w_gate[f], x))
        up = sum(w * v for w, v in zip(w_up[f], x))
        passed = gate / (1 + math.exp(-gate)) * up
        for d in range(len(x)):
            y[d] += w_down[d][f] * passed
    return y


x = rng.normal(size=(2, 5, 8)).astype(np.float32)
w_gate, w_up = rng.normal(size=(2, 21, 8)).astype(np.float32)
w_down = rng.normal(size=(8, 21)).astype(np.float32)
print(np.round(feed_forward_loops(x[1, 2].tolist(), w_gate.tolist(), w_up.tolist(), w_down.tolist()), 3))

# %% [markdown]
# ## Three activations
#
# ReLU is $\max(0, z)$. GELU, of BERT and GPT-2, is $z$ times the probability that a normal random number is below
# $z$. SiLU has the sigmoid in that place. The curves are close to one another; what differs is what happens just
# below 0.


# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def gelu(z):  # the tanh form
    return 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


z = np.linspace(-6, 6, 1201)
curves = {"ReLU": np.maximum(z, 0), "GELU": gelu(z), "SiLU": z * sigmoid(z)}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
for (name, values), colour in zip(curves.items(), COLOURS[5::-1][:1] + COLOURS[1:2] + COLOURS[:1]):
    axes[0].plot(z, values, label=name, color=colour)
    axes[1].plot(z, np.gradient(values, z), label=name, color=colour)
lowest = z[np.argmin(curves["SiLU"])]
axes[0].annotate(f"lowest: {curves['SiLU'].min():.3f} at {lowest:.2f}", (lowest, curves["SiLU"].min()), (-5.6, 1.2),
                 arrowprops={"arrowstyle": "->", "color": "#22252a"})  # fmt: skip
axes[0].set(title="SiLU dips below 0 before it closes", xlabel="z", ylabel="activation", ylim=(-0.6, 4), xlim=(-6, 4))
axes[1].set(title="Their slopes: no jump in SiLU and GELU", xlabel="z", ylabel="slope")
axes[0].legend(loc="upper left")
axes[1].legend(loc="upper left")
plt.show()

# %% [markdown]
# Where ReLU's slope is exactly 0, a number that is always negative gets no gradient and never comes back. SiLU has a
# slope nearly everywhere, and its curve is smooth.
#
# ## Numbers of any size
#
# The formula $z / (1 + e^{-z})$ is right, but $e^{-z}$ is infinite in float32 for $z$ below -88. The other way to
# write it, $z\,e^{z} / (1 + e^{z})$, fails on the other side, and worse. The cell shows both, with NumPy's warnings
# counted.


# %%
def silu_direct(z):
    return z / (1 + np.exp(-z))


def silu_other(z):
    return z * np.exp(z) / (1 + np.exp(z))


def silu(z):
    small = np.exp(-np.abs(z))  # at most 1: nothing can overflow
    return z * np.where(z >= 0, 1, small) / (1 + small)


z = np.array([-1000, -100, -10, 0, 10, 100, 1000], np.float32)
rows = []
for function in (silu_direct, silu_other, silu):
    overflows = []
    with np.errstate(over="call", invalid="ignore", call=lambda kind, flag, seen=overflows: seen.append(kind)):
        values = function(z)
    rows.append([function.__name__, *(f"{v:.4g}" for v in values), len(overflows)])
table(["", *(f"{v:g}" for v in z), "overflows"], rows)

# %% [markdown]
# `silu_direct` gets away with it here, because dividing by infinity happens to give the right limit; it warns, and
# its gradient, written the same way, would be NaN. `silu` needs no luck: $e^{-|z|}$ lies between 0 and 1.
#
# ## NumPy
#
# The whole layer is three products and the gate.


# %%
def swiglu(gate, up):
    return silu(gate) * up


def feed_forward(x, w_gate, w_up, w_down):
    gate, up = x @ w_gate.T, x @ w_up.T  # (B, T, F)
    return swiglu(gate, up) @ w_down.T  # (B, T, D)


y = feed_forward(x, w_gate, w_up, w_down)
print(x.shape, "->", y.shape)
np.testing.assert_allclose(y[1, 2], feed_forward_loops(x[1, 2], w_gate, w_up, w_down), rtol=1e-4)

# %% [markdown]
# `w_gate` and `w_up` read the same `x`. Stacked in one matrix they need one product, whose last axis is then cut in
# two. Many files and libraries store them so, with gate first or up first: their description has to say which.

# %%
stacked = np.concatenate((w_gate, w_up))  # (2 F, D)
gate, up = np.split(x @ stacked.T, 2, axis=-1)
np.testing.assert_allclose(swiglu(gate, up) @ w_down.T, y, rtol=1e-4, atol=1e-4)
print("one product of", stacked.shape, "instead of two of", w_gate.shape)

# %% [markdown]
# ## Numba
#
# `swiglu` in NumPy makes eight arrays on its way, and each of them travels through memory. A loop that is compiled
# reads `gate` and `up` once and writes the result once.


# %%
@numba.njit(parallel=True)
def swiglu_loop(gate, up, y):
    one = np.float32(1)
    for i in numba.prange(gate.size):
        small = np.exp(-abs(gate[i]))
        y[i] = gate[i] * ((one if gate[i] >= 0 else small) / (one + small)) * up[i]


def swiglu_compiled(gate, up):
    y = np.empty_like(gate)
    swiglu_loop(gate.reshape(-1), up.reshape(-1), y.reshape(-1))
    return y


big_gate, big_up = rng.normal(size=(2, 512, 1536)).astype(np.float32)
np.testing.assert_allclose(swiglu_compiled(big_gate, big_up), swiglu(big_gate, big_up), rtol=1e-5, atol=1e-6)
for name, function in (("NumPy", swiglu), ("Numba", swiglu_compiled)):
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        function(big_gate, big_up)
        seconds.append(time.perf_counter() - begin)
    print(f"{name}: {1e3 * min(seconds):.2f} ms for 512 tokens of 1536, on this machine")

# %% [markdown]
# ## Against PyTorch
#
# PyTorch has SiLU, and the layer is three `linear` around it.


# %%
def expected_layer(x, w_gate, w_up, w_down):
    arrays = (x, w_gate, w_up, w_down)
    if torch is None:
        return feed_forward(*(a.astype(np.float64) for a in arrays))
    linear, activation = torch.nn.functional.linear, torch.nn.functional.silu
    x, w_gate, w_up, w_down = (torch.tensor(a, dtype=torch.float64) for a in arrays)
    return linear(activation(linear(x, w_gate)) * linear(x, w_up), w_down)


z = np.linspace(-200, 200, 4001, dtype=np.float32)
wide = z.astype(np.float64)
expected_silu = silu(wide) if torch is None else torch.nn.functional.silu(torch.tensor(wide))
show_error("silu", silu(z), expected_silu, 1e-5)
show_error("feed_forward", y, expected_layer(x, w_gate, w_up, w_down), 1e-4)
show_error("swiglu, compiled", swiglu_compiled(gate, up), swiglu(gate, up), 1e-5, against="NumPy")

# %% [markdown]
# ## The gradient
#
# Training needs to know how the loss changes with `gate` and with `up`. With $s = \sigma(z)$ and $s' = s(1-s)$ the
# product rule gives
#
# $$\operatorname{silu}'(z) = s + z\,s\,(1 - s) = s\,\bigl(1 + z\,(1 - s)\bigr).$$
#
# If $dy$ is the gradient of the loss with respect to $\operatorname{silu}(g)\odot u$, then
#
# $$dg = dy \odot u \odot \operatorname{silu}'(g), \qquad du = dy \odot \operatorname{silu}(g).$$
#
# The cell checks it twice: by nudging one number at a time in float64, and against PyTorch's own gradient.


# %%
def stable_sigmoid(z):
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, small) / (1 + small)


def swiglu_backward(dy, gate, up):
    s = stable_sigmoid(gate)
    return dy * up * s * (1 + gate * (1 - s)), dy * gate * s


g, u, dy = rng.normal(size=(3, 4, 6))
dgate, dup = swiglu_backward(dy, g, u)
step, nudged = 1e-6, np.empty_like(g)
for i in np.ndindex(g.shape):
    nudge = np.zeros_like(g)
    nudge[i] = step
    nudged[i] = np.sum(dy * (swiglu(g + nudge, u) - swiglu(g - nudge, u))) / (2 * step)
show_error("dgate", dgate, nudged, 1e-8, against="finite differences")
if torch is not None:
    tg, tu = torch.tensor(g, requires_grad=True), torch.tensor(u, requires_grad=True)
    (torch.nn.functional.silu(tg) * tu).backward(torch.tensor(dy))
    show_error("dgate", dgate, tg.grad, 1e-12)
    show_error("dup", dup, tu.grad, 1e-12)

# %% [markdown]
# ## How wide?
#
# A layer of two matrices was $4D$ wide, with $2 \cdot 4D \cdot D = 8D^2$ weights. Three matrices have as many when
# $F = \tfrac23 \cdot 4D$. LLaMA rounds this down to an integer, multiplies by a factor where the model has one (70B:
# 1.3), rounds down again, and rounds **up** to a multiple of a number that suits the hardware, `multiple_of`.


# %%
def hidden_dim(dim, multiple_of, multiplier=None):
    width = 2 * (4 * dim) // 3
    if multiplier is not None:
        width = int(multiplier * width)
    return multiple_of * -(-width // multiple_of)


sizes = {"7B": (4096, 256, None), "13B": (5120, 256, None), "70B": (8192, 4096, 1.3), "smollm2-135m": (576, 256, None)}
rows = []
for name, (dim, multiple_of, multiplier) in sizes.items():
    width = hidden_dim(dim, multiple_of, multiplier)
    assert width == minillama.named_config(name).hidden_dim
    share = 3 * dim * width / (8 * dim * dim)
    rows.append([name, dim, multiple_of, multiplier or "", 2 * 4 * dim // 3, width, f"{share:.2f}"])
table(["model", "dim", "multiple_of", "multiplier", "2/3 of 4 dim", "hidden_dim", "weights / 8 dim²"], rows)

# %% [markdown]
# 70B is wider than the rule by its multiplier. Its grouped key and value heads (chapter 07) have fewer weights, and
# the feed-forward layers take what that saves.
#
# ## Real weights
#
# SmolLM2-135M has 30 layers with $D = 576$, $F = 1536$. To see the gates, the model runs with a `swiglu_forward` that
# notes what it gets and passes it on. The rest of the model does not change.

# %%
llm = load()
text = (
    "The capital of France is Paris. In 1969 two people walked on the Moon, and 600 million watched it on television. "
    "def add(a, b): return a + b"
)
ids = llm.tokenizer.encode(text)
seen = []


def noting(gate, up):
    seen.append((gate[0], up[0]))
    return FAST.swiglu_forward(gate, up)


logits, saved = forward(llm.params, llm.config, ids, FAST._replace(swiglu_forward=noting))
gates = np.array([gate for gate, _ in seen])  # (layer, position, hidden)
ups = np.array([up for _, up in seen])
print("gates (layer, position, hidden):", gates.shape, " from", gates.min().round(1), "to", gates.max().round(1))

# %% [markdown]
# The weights of layer 7 are unpacked to float32. On the vectors that reach this layer (the forward pass keeps them),
# the chapter's layer gives what the package computes from the packed ones.

# %%
layer, m = llm.params.layers[7], saved.backbone.blocks[7][1].gate.x  # the input of the product with w_gate
w_gate, w_up, w_down = (w.to_float32() for w in (layer.w_gate, layer.w_up, layer.w_down))
expected, _ = FAST.linear_forward(FAST.swiglu_forward(gates[7], ups[7])[0], layer.w_down)
print("m", m.shape, " w_gate", w_gate.shape, " w_up", w_up.shape, " w_down", w_down.shape)
show_error("feed_forward, layer 7", feed_forward(m, w_gate, w_up, w_down)[0], expected, 1e-3, against="the package")

# %% [markdown]
# ## Picture 1: where gates stand
#
# The histograms show the numbers that arrive at SiLU in four layers, over all positions of the text; above each stands
# the share below 0. They lie around 0, just where SiLU bends, and spread wider with depth. So the bend matters: this
# is neither the region where SiLU is simply $z$, nor the one where it is simply 0.

# %%
figure, axes = plt.subplots(1, 4, figsize=(10, 3.2), sharey=True)
bins = np.linspace(-6, 4, 101)
for ax, i in zip(axes, (0, 9, 19, 29)):
    ax.hist(gates[i].ravel(), bins, weights=np.full(gates[i].size, 100 / gates[i].size), color=COLOURS[0])
    ax.axvline(0, color="#22252a", linewidth=0.8)
    ax.plot(bins, 2 + 2 * silu(bins), color=COLOURS[1], linewidth=1)
    ax.set(title=f"layer {i}: {np.mean(gates[i] < 0):.0%} below 0", xlabel="gate", xlim=(-6, 4))
    ax.set_axisbelow(True)
axes[0].set_ylabel("share of gates, % per 0.1")
axes[0].annotate("SiLU (its shape)", (-5.8, 2.2), color=COLOURS[1], fontsize=8.5)
plt.show()

# %% [markdown]
# ## Picture 2: a few numbers do most of the work
#
# How many of the 1536 numbers matter for a token? For each token the products silu(gate) · up are sorted by size.
# The curves show which share of their sum of squares the largest ones hold. SwiGLU never gives an exact 0, as ReLU
# does, and is still far from using everything equally.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
for i, colour in zip((1, 9, 19, 29), COLOURS):
    power = np.sort(swiglu(gates[i], ups[i]) ** 2, axis=-1)[1:, ::-1]  # the first token is a case of its own
    held = np.cumsum(power, axis=-1) / power.sum(axis=-1, keepdims=True)
    axes[0].plot(100 * np.arange(1, 1537) / 1536, 100 * held.mean(axis=0), color=colour, label=f"layer {i}")
axes[0].plot([0, 100], [0, 100], "--", color=COLOURS[5], linewidth=1, label="all equal")
axes[0].set(title="A tenth of the numbers holds most of the power", xlabel="largest numbers, % of 1536",
            ylabel="share of the sum of squares, %", xlim=(0, 60))  # fmt: skip
axes[0].legend(loc="lower right", fontsize=8.5)
opened = [100 * np.mean(silu(g[1:]) > 0.5) for g in gates]
shut = [100 * np.mean(np.abs(silu(g[1:])) < 0.1) for g in gates]
axes[1].plot(shut, "o-", markersize=3, label="|silu(gate)| < 0.1: shut", color=COLOURS[0])
axes[1].plot(opened, "o-", markersize=3, label="silu(gate) > 0.5: open", color=COLOURS[1])
axes[1].set(title="Shut and open gates by layer", xlabel="layer", ylabel="share of gates, %", ylim=(0, None))
axes[1].legend(fontsize=8.5)
plt.show()

# %% [markdown]
# ## Picture 3: gates read the text
#
# One layer, one text: each row is a hidden number, one of those whose gate opens widest somewhere. Bright cells are
# open gates. Some react to a single token, others to a part of the text, such as the code at the end.

# %%
tokens = [llm.tokenizer.decode([i]).replace("\n", "\\n") for i in ids]
activity = silu(gates[12][1:])  # (position, hidden)
strongest = np.argsort(-activity.max(axis=0))[:14]
order = strongest[np.argsort(activity[:, strongest].argmax(axis=0))]
figure, ax = plt.subplots(figsize=(10, 4.4))
image = ax.imshow(activity[:, order].T, aspect="auto", vmin=0, vmax=4, interpolation="nearest")
ax.set_xticks(range(len(tokens) - 1), tokens[1:], rotation=90, fontsize=7.5)
ax.set_yticks(range(len(order)), [str(i) for i in order], fontsize=7.5)
ax.set(title="Layer 12: gates open for some tokens and stay shut for others", xlabel="token", ylabel="hidden number")
ax.grid(False)
figure.colorbar(image, label="silu(gate)", extend="max")
plt.show()
for i in order[:6]:
    top = np.argsort(-activity[:, i])[:4]
    print(f"gate {i:>4}: " + "  ".join(f"{tokens[1 + t]!r} {activity[t, i]:.1f}" for t in top))

# %% [markdown]
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
# `minillama learn start my-llama` makes a folder with the starters, and `minillama learn watch` checks them on every
# save. In a notebook: `from minillama.learn import check; check("feed_forward", my_function)`. A check names a mistake
# that it knows. In this one gate and up are exchanged, as happens when a loader takes w1 for up and w3 for gate:


# %%
def wrong_way_round(x, w_gate, w_up, w_down):
    return (silu(x @ w_up.T) * (x @ w_gate.T)) @ w_down.T


check("feed_forward", wrong_way_round)

# %% [markdown]
# ## What breaks if it is wrong
#
# The real model with another gate. Everything else is untouched. The table gives the mean loss per token on the text
# above, and how the model then continues a sentence.

# %%
variants = {
    "SwiGLU": FAST.swiglu_forward,
    "GELU in place of SiLU": lambda gate, up: (gelu(gate) * up, None),
    "ReLU in place of SiLU": lambda gate, up: (np.maximum(gate, 0) * up, None),
    "gate and up exchanged": lambda gate, up: (silu(up) * gate, None),
    "no activation": lambda gate, up: (gate * up, None),
}
rows, losses = [], {}
for name, function in variants.items():
    changed = minillama.LLM(llm.params, llm.config, llm.tokenizer, ops=FAST._replace(swiglu_forward=function))
    losses[name] = -changed.logprobs(ids[:1], ids[1:]).mean()
    after = changed.generate("The capital of France is", temperature=0, max_tokens=6).text
    rows.append([name, f"{losses[name]:.2f}", repr(after)])
table(["gate", "loss, nats", "The capital of France is ..."], rows)

# %% [markdown]
# A loss near $\ln 49152 = 10.8$ would be that of guessing among all tokens. GELU instead of SiLU is a small change of
# the curve, and a clear loss: the weights were trained with this curve and no other. With gate and up exchanged
# nothing is left.

# %%
assert losses["SwiGLU"] < losses["GELU in place of SiLU"] < losses["gate and up exchanged"]
print(f"guessing: {np.log(llm.config.vocab_size):.2f} nats")

# %% [markdown]
# ## The package's function
#
# What the chapter has derived is what `minillama.layers.swiglu` and `minillama.config` hold. The model's logits on the
# chapter's function are those of the package.

# %%
from minillama.config import swiglu_hidden_dim
from minillama.layers.swiglu import swiglu_forward, swiglu_forward_fast

for function in (swiglu_forward, swiglu_forward_fast):
    np.testing.assert_allclose(swiglu(big_gate, big_up), function(big_gate, big_up)[0], rtol=1e-5, atol=1e-6)
for arguments in sizes.values():
    assert hidden_dim(*arguments) == swiglu_hidden_dim(*arguments)
ours, _ = forward(llm.params, llm.config, ids, FAST._replace(swiglu_forward=lambda g, u: (swiglu_compiled(g, u), None)))
show_error("logits on this chapter's gate", ours, logits, 5e-3, against="the package")
