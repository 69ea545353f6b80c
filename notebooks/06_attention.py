# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 06 · Causal attention
#
# **Goal.** Let every token collect what it needs from the tokens before it: write attention for one head and for
# many, with the mask, the stable softmax and the one-pass form that makes decoding fast, and watch it work in a real
# model.
#
# **Before this:** chapters 01 (Numba), 04 (RMSNorm) and 05 (RoPE). **Time:** 90 minutes, with the exercises.
#
# **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2: the standard transformer of Vaswani et al.
# (arXiv:1706.03762), decoder only. Everything in this chapter runs at full size; nothing is left out for scale. Heads
# that share keys are chapter 07, the cache is chapter 10.

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit, prange

from minillama.learn.book import COLOURS, load, show_error, style, table, torch

style()
rng = np.random.default_rng(6)

# %% [markdown]
# ## The idea
#
# Up to here every token has been treated alone. Attention is the one place in a transformer where tokens exchange
# something. Each token asks a *query*. Each token also offers a *key*, which says what can be found there, and a
# *value*, which is what is handed over. The more a query resembles a key, the larger the share of that token's value
# in the answer.
#
# *Causal* means: a token may ask only itself and the tokens before it. That is what lets one pass over a text train
# a prediction at every position.
#
# ## The mathematics
#
# For one head, with queries $q_t$, keys $k_s$ and values $v_s$, all rows of $h$ numbers ($h$ is `head_dim`), and the
# position $m_t$ of query $t$:
#
# $$ z_{ts} = \frac{q_t \cdot k_s}{\sqrt{h}} \quad (s \le m_t), \qquad
#    p_{ts} = \frac{e^{z_{ts}}}{\sum_{r \le m_t} e^{z_{tr}}}, \qquad
#    y_t = \sum_{s \le m_t} p_{ts}\, v_s . $$
#
# $z$ are the *scores*, $p$ the *weights*: positive, and their sum over $s$ is 1. So $y_t$ is a weighted mean of values.
#
# ## The shapes

# %%
table(
    ("array", "shape", "what"),
    (
        ("q", "(B, H, T, head_dim)", "queries: B sequences, H heads, T new tokens; rotated (chapter 05)"),
        ("k, v", "(B, H, S, head_dim)", "keys (rotated) and values of all S tokens, cached ones too"),
        ("positions", "(B, T)", "position of each query: it sees keys 0 ... position"),
        ("scores, weights", "(B, H, T, S)", "one number for each pair of a query and a key"),
        ("y", "(B, H, T, head_dim)", "one mean of values for each query"),
    ),
)

# %% [markdown]
# ## In plain Python
#
# The formula read aloud, for one head. The largest score is subtracted before the exponential; why follows below.


# %%
def attend_loops(q, k, v, positions):
    """q (T, h), k and v (S, h) as lists of lists; one head."""
    head_dim, out = len(q[0]), []
    for query, position in zip(q, positions):
        seen = range(position + 1)
        scores = [sum(a * b for a, b in zip(query, k[s])) / math.sqrt(head_dim) for s in seen]
        largest = max(scores)
        exponentials = [math.exp(score - largest) for score in scores]
        total = sum(exponentials)
        out.append([sum(e / total * v[s][j] for s, e in zip(seen, exponentials)) for j in range(head_dim)])
    return out


q, k, v = (rng.normal(size=(4, 8)).astype(np.float32) for _ in range(3))
y_loops = np.array(attend_loops(q.tolist(), k.tolist(), v.tolist(), range(4)))
print("the first query sees one key, so it returns that value:", np.allclose(y_loops[0], v[0]))

# %% [markdown]
# ## Piece by piece in NumPy
#
# ### Why divide by $\sqrt{h}$?
#
# A dot product of two random vectors is a sum of $h$ products, each of variance 1: its variance is $h$, its spread
# $\sqrt h$. The left picture measures that. The right one shows what it does to the softmax over 64 keys: without the
# division a wide head puts nearly all its weight on one key before it has learned anything.


# %%
def softmax_over_keys(scores):
    """Every row of the last axis becomes positive and sums to 1."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


widths = np.array([2, 4, 8, 16, 32, 64, 128, 256])
spread, largest = [], {"undivided": [], "divided by √head_dim": [], "divided by head_dim": []}
for h in widths:
    scores = rng.normal(size=(400, 1, h)) @ rng.normal(size=(400, h, 64))
    spread.append(scores.std())
    for name, scale in zip(largest, (1, np.sqrt(h), h)):
        largest[name].append(softmax_over_keys(scores / scale).max(axis=-1).mean())

# %%
figure, (left, right) = plt.subplots(1, 2)
left.loglog(widths, spread, "o", base=2, label="measured")
left.loglog(widths, np.sqrt(widths), base=2, color=COLOURS[5], label="√head_dim")
left.set(xlabel="head_dim", ylabel="standard deviation of q · k", title="Scores spread like √head_dim")
for name, values in largest.items():
    right.semilogx(widths, values, "o-", base=2, label=name)
right.axhline(1 / 64, color=COLOURS[5], linestyle=":", label="all 64 keys alike")
right.set(xlabel="head_dim", ylabel="largest of 64 weights (mean)", title="Only √head_dim keeps it steady")
right.set_ylim(0, 1)
left.legend()
right.legend(fontsize=8)
plt.show()

# %% [markdown]
# ### A softmax that does not overflow
#
# Subtracting any number $c$ from all scores of a row changes nothing: $e^{z - c}$ has the factor $e^{-c}$ above and
# below the fraction line. With $c$ the largest score, every exponential is at most 1. Without it float32 overflows
# at 89.

# %%
with np.errstate(over="ignore", invalid="ignore"):
    high = np.array([100, 99, 0], np.float32)
    print("as it stands:  ", np.exp(high) / np.exp(high).sum())
print("shifted:       ", softmax_over_keys(high).round(4))
print("with a hidden: ", softmax_over_keys(np.array([100, 99, -np.inf], np.float32)).round(4))

# %% [markdown]
# The last line is the way to hide a key: a score of $-\infty$, whose exponential is exactly 0. The rest still sums
# to 1.
#
# ### The mask is a comparison of positions
#
# A key's position is its index $s$, a query's is given. Often one sees a triangle of ones; that is the special case of
# positions 0, 1, 2 ... The comparison also serves three new tokens after four cached ones, with room for two more
# after them.


# %%
def causal_mask(positions, n_keys):
    """True where the query at positions[..., t] may look at key s: (..., T, S)."""
    return np.arange(n_keys) <= positions[..., None]


for name, positions, n_keys in (("a whole text", np.arange(4), 4), ("a chunk, cached", np.arange(4, 7), 9)):
    print(f"{name}: positions {positions}")
    for row in causal_mask(positions, n_keys):
        print("   ", " ".join("■" if seen else "·" for seen in row))

# %% [markdown]
# ### One head
#
# Four lines: scores, mask, softmax, mean.


# %%
def attend_one_head(q, k, v, positions):
    """q (T, h), k and v (S, h) -> (T, h)."""
    scores = q @ k.T / np.float32(math.sqrt(q.shape[-1]))  # (T, S)
    scores = np.where(causal_mask(positions, len(k)), scores, np.float32(-np.inf))
    return softmax_over_keys(scores) @ v


show_error("one head", attend_one_head(q, k, v, np.arange(4)), y_loops, 1e-6, against="the loops")

# %% [markdown]
# ### Many heads
#
# A layer has several heads, each with its own queries, keys and values, so that one can look at the previous word
# while another looks for the subject. They are cut out of one wide vector: head 0 is the first `head_dim` numbers.
# Nothing else changes, because `@` and the softmax work on the last axes for all batches and heads at once.


# %%
def split_into_heads(x, n_heads):
    """(B, T, H * h) -> (B, H, T, h)."""
    return x.reshape(*x.shape[:2], n_heads, -1).swapaxes(1, 2)


def attention_weights(q, k, positions):
    """p (B, H, T, S) from q (B, H, T, h), k (B, H, S, h) and positions (B, T)."""
    scores = q @ k.swapaxes(-1, -2) / np.float32(math.sqrt(q.shape[-1]))
    visible = causal_mask(positions, k.shape[2])[:, None]  # (B, 1, T, S): alike for all heads
    return softmax_over_keys(np.where(visible, scores, np.float32(-np.inf)))


def attend_many_heads(q, k, v, positions):
    return attention_weights(q, k, positions) @ v


B, H, T, S, h = 3, 5, 6, 20, 16
q = rng.normal(size=(B, H, T, h)).astype(np.float32)
k, v = (rng.normal(size=(B, H, S, h)).astype(np.float32) for _ in range(2))
positions = np.array([[0], [9], [14]]) + np.arange(T)  # each sequence is at another place
y = attend_many_heads(q, k, v, positions)
print("y", y.shape, " every query's weights sum to 1:", np.allclose(attention_weights(q, k, positions).sum(-1), 1))

# %% [markdown]
# A check with PyTorch, in float64. Where PyTorch is missing, the loops above take its place.

# %%
if torch is not None:
    q64, k64, v64 = (torch.tensor(a, dtype=torch.float64) for a in (q, k, v))
    mask = torch.tensor(causal_mask(positions, S)[:, None])
    expected = torch.nn.functional.scaled_dot_product_attention(q64, k64, v64, attn_mask=mask)
else:
    lists = ((q[b, j], k[b, j], v[b, j], positions[b]) for b in range(B) for j in range(H))
    expected = np.array([attend_loops(a.tolist(), b.tolist(), c.tolist(), p.tolist()) for a, b, c, p in lists])
    expected = expected.reshape(y.shape)
show_error("many heads", y, expected, 1e-5)

# %% [markdown]
# ## One pass: the online softmax
#
# The code above needs all scores of a query before it can begin with the values, because it needs the largest of them.
# It can do without (Milakov and Gimelshein, arXiv:1805.02867). Keep three things while going over blocks of keys: the
# largest score so far $m$, the total $d = \sum e^{z_s - m}$, and $a = \sum e^{z_s - m} v_s$. When a block raises the
# maximum to $m'$, both sums were made with the old one, and one factor repairs them:
#
# $$ d' = d\, e^{m - m'} + \sum_{s \in \text{block}} e^{z_s - m'}, \qquad
#    a' = a\, e^{m - m'} + \sum_{s \in \text{block}} e^{z_s - m'} v_s, \qquad y = a / d . $$


# %%
def attend_online(q, k, v, block, follow=None):
    """One query q (h,), which sees all of k and v (S, h); `follow` collects the state after each block."""
    largest, total, y = -np.inf, 0.0, np.zeros(len(q))
    for first in range(0, len(k), block):
        scores = k[first : first + block] @ q / math.sqrt(len(q))
        new = max(largest, scores.max())
        correction, weights = np.exp(largest - new), np.exp(scores - new)  # exp(-inf) = 0 the first time
        total = total * correction + weights.sum()
        y = y * correction + weights @ v[first : first + block]
        largest = new
        if follow is not None:
            follow.append((first + len(scores), largest, correction, total, *(y / total)[:2]))
    return y / total


q1, k1, v1 = rng.normal(size=16), rng.normal(size=(80, 16)), rng.normal(size=(80, 16))
steps = []
y_online = attend_online(q1, k1, v1, 16, steps)
show_error("online", y_online, softmax_over_keys(k1 @ q1 / 4) @ v1, 1e-12, against="two passes")
header = ("keys seen", "largest", "correction", "total", "y[0] so far", "y[1] so far")
table(header, [[f"{x:.4g}" for x in step] for step in steps])

# %% [markdown]
# The correction is 1 whenever the maximum stays where it is, which after the first blocks is nearly always. No array of
# S scores is needed, keys and values are read once, and at any moment `y / total` is the right answer for the keys seen
# so far. FlashAttention is this idea on a GPU.
#
# ## Numba: a kernel for decoding
#
# While a text is generated there is one query for each head and a long row of keys. The arithmetic is small; the time
# goes into reading keys and values. The kernel reads each of them once and spreads the heads over the cores.


# %%
@njit(parallel=True, fastmath={"reassoc", "contract", "nsz", "arcp"})
def attend_decode(q, k, v, n_keys):
    """q (H, h), k and v (H, S, h), of which n_keys rows are filled -> (H, h)."""
    n_heads, head_dim = q.shape
    y = np.zeros((n_heads, head_dim), np.float32)
    scale = np.float32(1 / np.sqrt(head_dim))
    for j in prange(n_heads):
        scores, largest = np.empty(n_keys, np.float32), np.float32(-np.inf)
        for s in range(n_keys):
            score = np.float32(0)
            for i in range(head_dim):
                score += q[j, i] * k[j, s, i]
            scores[s] = score * scale
            largest = max(largest, scores[s])
        total = np.float32(0)
        for s in range(n_keys):
            weight = np.exp(scores[s] - largest)
            total += weight
            for i in range(head_dim):
                y[j, i] += weight * v[j, s, i]
        y[j] /= total
    return y


# %% [markdown]
# It has to agree with NumPy, and must not read what lies past the keys that have been written: NaN there would show.

# %%
H, S, h, n_keys = 16, 2048, 64, 2000
q1 = rng.normal(size=(H, h)).astype(np.float32)
k1, v1 = (rng.normal(size=(H, S, h)).astype(np.float32) for _ in range(2))
expected = attend_many_heads(q1[None, :, None], k1[None, :, :n_keys], v1[None, :, :n_keys], np.array([[n_keys - 1]]))
k1[:, n_keys:] = v1[:, n_keys:] = np.nan
show_error("the kernel", attend_decode(q1, k1, v1, n_keys), expected[0, :, 0], 1e-6, against="NumPy")

for name, function in (
    ("NumPy", lambda: attend_many_heads(q1[None, :, None], k1[None], v1[None], np.array([[n_keys - 1]]))),
    ("Numba", lambda: attend_decode(q1, k1, v1, n_keys)),
):
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    print(f"{name}: {1e3 * min(times):.2f} ms, {8e-9 * H * n_keys * h / min(times):.1f} GB/s of keys and values")

# %% [markdown]
# These are the numbers of the machine that ran this notebook; keys of a short context may come from the CPU's cache.
# NumPy hands both products to BLAS, which reads quickly too. What the kernel adds are the other cores, and no arrays in
# between. The package's kernel is built on the same loop: blocks with the online softmax, SIMD and prefetching.
#
# ## In a real model
#
# SmolLM2-135M-Instruct has 30 layers with 9 query heads each; three neighbouring heads share a key head (chapter 07),
# so keys are repeated here to give each query head its own. First, layer 0 by hand, from the embedding to the weights.

# %%
from minillama.layers.rmsnorm import rmsnorm_forward
from minillama.layers.rope import rope_forward, rope_table
from minillama.model import forward
from minillama.ops import FAST
from minillama.trees import map_tree

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)
ids = np.array([tokenizer.encode("The animal did not cross the street because it was too tired.")])
words = [tokenizer.decode([i]) for i in ids[0]]

layer, positions = params.layers[0], np.arange(ids.shape[1])[None]
n = rmsnorm_forward(params.token_embedding[ids], layer.attention_norm, config.norm_eps)[0]
rotation = (*rope_table(config.head_dim, ids.shape[1], config.rope_theta), positions)
q0 = rope_forward(split_into_heads(n @ layer.wq.T, config.n_heads), *rotation)[0]
k0 = rope_forward(split_into_heads(n @ layer.wk.T, config.n_kv_heads), *rotation)[0]
by_hand = attention_weights(q0, np.repeat(k0, config.n_heads // config.n_kv_heads, axis=1), positions)
print(len(words), "tokens:", "|".join(words))
print("weights of layer 0:", by_hand.shape)

# %% [markdown]
# For all layers, the chapter's function takes the place of the model's: `Ops` is a table of functions, and an entry of
# our own may write down what it sees on the way.

# %%
seen = []


def watching(q, k, v, positions):
    """attention_forward of the package's form, (y, saved), that keeps the weights."""
    group = q.shape[1] // k.shape[1]
    weights = attention_weights(q, np.repeat(k, group, axis=1), positions)
    seen.append(weights[0])
    return weights @ np.repeat(v, group, axis=1), None


logits = forward(params, config, ids, FAST._replace(attention_forward=watching))[0]
weights = np.array(seen)  # (layer, head, query, key)
show_error("layer 0", by_hand[0], weights[0], 1e-4, against="the model with the chapter's attention")
plain = forward(params, config, ids)[0]
show_error("logits", logits, plain, 2e-3, against="the model with the package's attention")

# %% [markdown]
# 270 heads have been recorded. Four of them, looked up by what they do: the head with the most weight on the token
# itself, on the previous token, on the first token, and from "it" back to "animal".

# %%
rows = np.arange(2, len(words))
kinds = {
    "itself": weights[:, :, rows, rows].mean(axis=-1),
    "the previous token": weights[:, :, rows, rows - 1].mean(axis=-1),
    "the first token": weights[:, :, rows, 0].mean(axis=-1),
    "“it” looks at “animal”": weights[:, :, words.index(" it"), words.index(" animal")],
}
figure, axes = plt.subplots(2, 2, figsize=(8, 8), sharex=True, sharey=True)
for axis, (name, strength) in zip(axes.flat, kinds.items()):
    i, j = np.unravel_index(strength.argmax(), strength.shape)
    picture = axis.imshow(weights[i, j], vmin=0, vmax=1)
    axis.set_title(f"layer {i}, head {j}: {name} ({strength[i, j]:.2f})", fontsize=8.5)
    axis.set_xticks(range(len(words)), [word.strip() for word in words], rotation=90, fontsize=8)
    axis.set_yticks(range(len(words)), [word.strip() for word in words], fontsize=8)
    axis.grid(False)
figure.supxlabel("key: the token that is looked at", fontsize=9)
figure.supylabel("query: the token that looks", fontsize=9)
figure.colorbar(picture, ax=axes, label="attention weight", shrink=0.5)
figure.suptitle("Heads of one model look at different things", fontweight="bold", fontsize=11)
plt.show()

# %% [markdown]
# Above the diagonal all is zero: the mask. Rows sum to 1. Nobody programmed these roles; they came out of training.
# One example does not prove that a head *does* coreference: the number in brackets is its weight in this sentence only.
#
# The third picture is more common than it looks. Weights must sum to 1, so a head that finds nothing must still put
# its weight somewhere, and in this model it goes to the first token: an *attention sink* (Xiao et al.,
# arXiv:2309.17453).

# %%
sink = kinds["the first token"]
even = np.mean(1 / (rows + 1))  # every query looks at all it sees alike
figure, axis = plt.subplots(figsize=(8, 3))
axis.set_axisbelow(True)
axis.bar(range(config.n_layers), sink.mean(axis=1), label="mean of 9 heads")
axis.plot(range(config.n_layers), sink.max(axis=1), ".", color=COLOURS[1], label="strongest head")
axis.axhline(even, color=COLOURS[5], linestyle=":", label=f"weights all alike: {even:.2f}")
axis.set(xlabel="layer", ylabel="weight on the first token", title="Most layers park their weight on the first token")
axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=3)
plt.show()
print(f"layers with more than half of the weight there: {(sink.mean(axis=1) > 0.5).sum()} of {config.n_layers}")

# %% [markdown]
# ## Leakage: what the mask is for
#
# Two sentences that differ in the last word only, "tired" and "wide", go through the model once with the mask and once
# without. With the mask nothing before the last word can know of the difference.


# %%
def without_mask(q, k, v, positions):
    return attend_many_heads(q, k, v, np.full_like(positions, k.shape[2] - 1))


def as_op(attention):
    """(y, saved) from a function that wants as many key heads as query heads."""

    def op(q, k, v, positions):
        group = q.shape[1] // k.shape[1]
        return attention(q, np.repeat(k, group, axis=1), np.repeat(v, group, axis=1), positions), None

    return FAST._replace(attention_forward=op)


def losses(logits, ids):
    """-log p of every token but the first, (B, T - 1)."""
    shifted = logits[:, :-1].astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(shifted, ids[:, 1:, None], axis=-1)[..., 0]


start = "The animal did not cross the street because it was too"
pair = np.array([tokenizer.encode(f"{start} {word}") for word in ("tired", "wide")])
results = {
    "with mask": forward(params, config, pair, as_op(attend_many_heads))[0],
    "without mask": forward(params, config, pair, as_op(without_mask))[0],
}
change = {name: np.abs(out[0] - out[1]).max(axis=-1) for name, out in results.items()}
assert change["with mask"][:-1].max() < 1e-3
assert change["without mask"][:-1].min() > 0.1

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
x = np.arange(pair.shape[1])
left.set_axisbelow(True)
for i, (name, out) in enumerate(results.items()):
    left.bar(x + 0.4 * i - 0.2, change[name], 0.4, label=name)
    right.plot(x[1:], losses(out, pair)[0], "o-", label=f"{name}: mean {losses(out, pair)[0].mean():.2f}")
labels = [word.strip() for word in words[:-2]]
left.set_xticks(x, [*labels, "tired/wide"], rotation=90, fontsize=8)
right.set_xticks(x[1:], [*labels[1:], "tired"], rotation=90, fontsize=8)
left.set(ylabel="largest change of a logit", title="Without a mask the past knows the last word")
right.set(ylabel="loss of this token (nats)", title="... and the loss looks better than it is")
for axis in (left, right):
    axis.set_xlabel("token")
    axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# The right picture is the trap. Without a mask the loss of a text *falls*, although this model was never trained that
# way: position $t$ can look at token $t + 1$, which is the answer. A model trained like this learns to copy the answer,
# and has none when it has to write. A loss that is suddenly too good is the first sign of a mask that leaks.
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `softmax_over_keys` | Scores become weights | 1 | 5 | core |
# | `causal_mask` | Who may look at whom | 1 | 5 | core |
# | `attend_one_head` | One head | 2 | 15 | core |
# | `split_into_heads` | From one wide vector to many heads | 1 | 5 |  |
# | `attend_many_heads` | Many heads and a batch; runs in a model | 2 | 15 | core |
# | `attend_online` | One pass: the online softmax | 3 | 25 |  |
# | `attend_decode` | A kernel for decoding; with a speed card | 3 | 30 |  |
#
# <!-- end of the exercises -->
#
# `minillama learn start my-llama` makes a folder with the starters, `minillama learn watch` checks on every save. In a
# notebook: `from minillama.learn import check; check("attend_one_head", my_function)`.

# %%
from minillama.learn import check

# %% [markdown]
# What a check says about a function that zeroes the hidden weights *after* the softmax:


# %%
def masks_too_late(q, k, v, positions):
    weights = softmax_over_keys(q @ k.T / np.sqrt(q.shape[-1]))
    return (weights * causal_mask(positions, len(k))) @ v


check("attend_one_head", masks_too_late)

# %% [markdown]
# ## What breaks if it is wrong
#
# Mistakes in attention rarely crash. Each line is the real model with one thing wrong: the loss on the sentence above,
# and what it then writes after a prompt.


# %%
def variant(scale=lambda q: math.sqrt(q.shape[-1]), late=0, axis=-1, mask_after=False):
    """Attention with one thing changed."""

    def attention(q, k, v, positions):
        scores = q @ k.swapaxes(-1, -2) / np.float32(scale(q))
        visible = causal_mask(positions + late, k.shape[2])[:, None]
        shown = scores if mask_after else np.where(visible, scores, np.float32(-1e30))
        shifted = np.exp(shown - shown.max(axis=axis, keepdims=True))
        return (shifted / shifted.sum(axis=axis, keepdims=True) * visible) @ v

    return attention


import minillama

variants = {
    "right": variant(),
    "no division by √head_dim": variant(scale=lambda q: 1),
    "divided by √dim instead": variant(scale=lambda q: math.sqrt(q.shape[1] * q.shape[3])),
    "mask after the softmax": variant(mask_after=True),
    "softmax over the queries": variant(axis=-2),
    "mask late by one": variant(late=1),
}
broken = []
for name, attention in variants.items():
    ops = as_op(attention)
    model = minillama.LLM(params, config, tokenizer, ops=ops)
    text = model.generate("The capital of France is", max_tokens=6, temperature=0).text
    broken.append((name, losses(forward(params, config, ids, ops)[0], ids).mean(), text))
table(("attention", "loss", "The capital of France is ..."), [(a, f"{b:.2f}", repr(c)) for a, b, c in broken])

# %% [markdown]
# All but one raise the loss. The last line is the dangerous one: a mask that is late by one *lowers* it, because the
# answer shows through.

# %%
loss = {name: value for name, value, _ in broken}
assert loss["mask late by one"] < loss["right"]
assert all(loss[name] > loss["right"] + 0.5 for name in list(variants)[1:-1])

# %% [markdown]
# ## The package's function
#
# `minillama.layers.attention` does what was derived here, for shared heads too. Its compiled form chooses between the
# one-pass kernel for few queries and tiles of queries for many. All agree.

# %%
from minillama.layers.attention import attention_forward, attention_forward_fast

B, H, T, S, h = 2, 4, 50, 70, 32
q = rng.normal(size=(B, H, T, h)).astype(np.float32)
k, v = (rng.normal(size=(B, H, S, h)).astype(np.float32) for _ in range(2))
positions = np.array([[0], [20]]) + np.arange(T)
ours = attend_many_heads(q, k, v, positions)
for name, function in (("the reference", attention_forward), ("the kernels", attention_forward_fast)):
    show_error("many heads", ours, function(q, k, v, positions)[0], 1e-5, against=name)
last = attention_forward_fast(q[:1, :, -1:], k[:1], v[:1], positions[:1, -1:])[0]
np.testing.assert_allclose(attend_decode(q[0, :, -1], k[0], v[0], T), last[0, :, 0], rtol=1e-4, atol=1e-6)
