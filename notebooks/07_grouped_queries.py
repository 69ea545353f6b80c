# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 07 · Grouped queries: MHA, MQA and GQA
#
# > **Before this:** [06](06_attention.ipynb).
# > **Time:** 30 minutes to read and run, 65 for all exercises; on the [core path](README.md) 70 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2 and appendix A.2.1; the method is that of Ainslie et al.
# > (arXiv:2305.13245). **Not here:** the paper's comparison of the three kinds on 30B models, each trained on 150B
# > tokens (table 18), and the further training that a changed model needs. Bytes are computed at full size; one real
# > model is changed by hand.
#
# The weights of LLaMA 2 70B, two bytes a number, are 128 GiB. On a machine with 160 GiB, how many people can it answer
# at once? While a text is written, every new token looks at the keys and values of all tokens before it (06), so they
# are kept. With 64 heads as in chapter 06, in 80 layers, 4096 tokens of one person's text are 10 GiB of keys and
# values: three people, and the machine is full. The real 70B answers 25 in the same room.
#
# Its heads share. A query is used once, and then it is gone. Only keys and values are kept, so only they have to become
# fewer. SmolLM2 shares too: in each of its 30 layers, 9 heads of queries read 3 heads of keys and values, three
# neighbours one of them. Here it is without the sharing: the same three key heads, each read by one query head, and
# nothing for the other six.

# %% tags=["hide-input"]
import math
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minillama.config import named_config
from minillama.learn.book import (
    COLOURS,
    claim,
    draw_arrows,
    label,
    live,
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
from minillama.params import count_parameters
from minillama.trees import map_tree

style()
rng = np.random.default_rng(7)

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)  # from 4 and 8 bits

# %% [markdown]
# **Guess first:** a third of the query heads still work as they were trained. Is that enough for the alphabet?


# %% tags=["hide-output"]
def unshared(q, k, v, positions):
    """The first query head of every three finds its keys; the two after it get zeros."""
    y = np.zeros_like(q)
    y[:, ::3] = FAST.attention_forward(np.ascontiguousarray(q[:, ::3]), k, v, positions)[0]
    return y, None


def next_words(text, ops, n=2):
    """The most probable tokens after a text."""
    logits = forward(params, config, np.array([tokenizer.encode(text)]), ops)[0][0, -1]
    return ", ".join(repr(tokenizer.decode([int(i)])) for i in np.argsort(-logits)[:n])


alone = FAST._replace(attention_forward=unshared)  # a model's layers are a table of functions: one is replaced
for text in ("The capital of France is", "A B C D E F", "one, two, three, four,"):
    print(f"{text:<25} whole: {next_words(text, FAST):<20} without sharing: {next_words(text, alone)}")

# %% [markdown]
# The six heads without keys are no spare parts. They ask questions of their own, and need the keys that their neighbour
# reads. Why can one set of keys serve several questions at all?
#
# ## One key answers two questions
#
# In the toy, "it" asked *who is alive?* with the [query](glossary.md#query) (2, 0), and the
# [key](glossary.md#key) of each word was its own two numbers (06). Now a second head asks *what is edible?*, with
# (0, 2). It needs no other keys: a key already holds both numbers, and the query picks the one that it is about.
#
# | | dog | bone | it | |
# |---|---|---|---|---|
# | key, for both heads | (1, 0) | (0, 1) | (½, ½) | kept once |
# | head 0, *alive?*: score | 1.41 | 0.00 | 0.71 | (2, 0) · key / √2 |
# | weight | 0.58 | 0.14 | 0.28 | softmax of the scores |
# | head 1, *edible?*: score | 0.00 | 1.41 | 0.71 | (0, 2) · key / √2 |
#
# **Guess first:** head 0 made (0.72, 0.28) of "it". Head 1 reads the same values. What does it make?

# %% tags=["hide-output"]
queries = np.array([[2.0, 0.0], [0.0, 2.0]])  # of “it”: one for each head
k = v = VECTORS  # one head of keys and values
e = np.exp(queries @ k.T / np.sqrt(2))
shares = e / e.sum(axis=1, keepdims=True)
answers = shares @ v
for name, weights, answer in zip(("alive?", "edible?"), shares, answers):
    print(f"{name:<8} weights of {WORDS}: {weights.round(2)}, “it” becomes {answer.round(2)}")
np.testing.assert_allclose(answers, [[0.72, 0.28], [0.28, 0.72]], atol=0.005)

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), sharex=True, sharey=True)
draw_arrows(left, {"alive?": queries[0]}, colours=COLOURS[:1], dashed=True, offset=(-30, 8))
draw_arrows(left, {"edible?": queries[1]}, colours=COLOURS[1:2], dashed=True, offset=(7, -4))
for word, vector, offset in zip(WORDS, VECTORS, ((-14, -15), (7, -4), (7, -4))):
    draw_arrows(left, {f"key of {word}": vector}, colours=COLOURS[5:], offset=offset)
claim(left, "Two queries, one set of keys", holds=len(queries) == 2 and k.shape == (3, 2))
draw_arrows(right, {"“it” before": VECTORS[2]}, colours=COLOURS[5:], dashed=True, offset=(5, 6))
draw_arrows(right, {"answer to “alive?”": answers[0]}, colours=COLOURS[:1], offset=(6, -4))
draw_arrows(right, {"answer to “edible?”": answers[1]}, colours=COLOURS[1:2], offset=(-12, 8))
claim(right, "... and two answers", holds=answers[0, 0] > 0.6 and answers[1, 1] > 0.6)
show(
    figure,
    "Two planes with equal axes, alive across, edible upwards. Left: the keys of dog, bone and it as grey arrows, and "
    "two dashed queries twice as long, one along each axis. Right: from the dashed arrow of it the answers part, "
    f"({answers[0][0]:.2f}, {answers[0][1]:.2f}) towards the dog and ({answers[1][0]:.2f}, {answers[1][1]:.2f}) "
    "towards the bone.",
)

# %% [markdown]
# Two answers, out of 12 kept numbers: three keys and three values of two numbers each. Heads with keys and values of
# their own would keep 24. What they give up is the freedom to describe a word differently: both look for what the one
# key says, and hand on what the one value says.
#
# ## Neighbours share
#
# Let a layer have $H$ query heads and $K$ heads of keys and values (from here on *key heads*). Each key head serves a
# group of $H/K$ query heads, which stand next to one another. With 6 query heads and 2 key heads:
#
#     query head   0 1 2   3 4 5
#     key head     0 0 0   1 1 1
#
# Why neighbours, and not every second one? Any rule would do, if a model is trained with it. This one was chosen, and
# the weights of every model that shares mean it.
#
# ### Now you · `key_head_of_query_heads` · 5 minutes
#
# From `n_heads` and `n_kv_heads` to the list of key heads, one for each query head.

# %%
key_head_of_query_heads = now_you("key_head_of_query_heads")


# %% tags=["solution"]
def book_key_head_of_query_heads(n_heads, n_kv_heads):
    return np.arange(n_heads) // (n_heads // n_kv_heads)


# %% [markdown]
# With $K = H$ nobody shares: that is the [multi-head attention](glossary.md#multi-head-attention) (MHA) of chapter 06.
# With $K = 1$ all share: [multi-query attention](glossary.md#multi-query-attention) (MQA). In between lies
# [grouped-query attention](glossary.md#grouped-query-attention) (GQA), and the other two are its ends.

# %%
for name, n_kv_heads in (("MHA", 8), ("GQA", 2), ("MQA", 1)):
    print(f"{name}, 8 query heads read key heads", *key_head_of_query_heads(8, n_kv_heads))

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), sharey=True)
reads = {}
for axis, (name, n_kv_heads) in zip(axes, (("MHA", 8), ("GQA", 2), ("MQA", 1))):
    places = (np.arange(n_kv_heads) + 0.5) * 8 / n_kv_heads - 0.5  # below the middle of the group
    reads[name] = np.asarray(key_head_of_query_heads(8, n_kv_heads))
    for j, g in enumerate(reads[name]):
        axis.plot([j, places[g]], [1, 0], color=COLOURS[g % 5], zorder=1)
        axis.scatter(j, 1, s=170, color=COLOURS[g % 5], zorder=2)
        axis.text(j, 1, j, ha="center", va="center", color="white", fontsize=8)
    for g, place in enumerate(places):
        axis.scatter(place, 0, s=170, marker="s", color=COLOURS[g % 5], zorder=2)
        axis.text(place, 0, g, ha="center", va="center", color="white", fontsize=8)
    label(axis, f"{name}: {n_kv_heads} key head{'s' * (n_kv_heads > 1)}")
    axis.set(ylim=(-0.3, 1.3), xticks=[])
    axis.set_yticks([0, 1], ["key and\nvalue head", "query\nhead"])
    axis.grid(False)
claim(
    figure,
    "A key head serves the query heads right above it",
    holds=all(np.all(np.diff(heads) >= 0) and len(set(np.bincount(heads))) == 1 for heads in reads.values()),
)
show(
    figure,
    "Three panels, eight query heads as dots above, key heads as squares below, lines for who reads whom. MHA: eight "
    "squares, each below its dot. GQA: two squares, the first joined to dots 0 to 3, the second to 4 to 7. MQA: one "
    "square, joined to all eight.",
)

# %% [markdown]
# In symbols, with $g$ for the key head that query head $j$ reads, and a query at position $m$:
#
# $$ g = \left\lfloor \frac{j}{H / K} \right\rfloor, \qquad
#    z^{(j)}_s = \frac{q^{(j)} \cdot k^{(g)}_s}{\sqrt h}, \qquad
#    y^{(j)} = \sum_{s \le m} p^{(j)}_s\, v^{(g)}_s . $$
#
# Queries, scores $z$, weights $p$ and answers $y$ have a $j$: there are as many as before. Keys and values have a $g$.
# A dot product still runs over one head of $h$ numbers, so $\sqrt h$ stays. In plain Python, for one token, which sees
# all keys that it is given:


# %%
def answer_loops(query, keys, values):
    """One query (h,), keys and values (S, h): as in chapter 06."""
    scores = [sum(a * b for a, b in zip(query, key)) / math.sqrt(len(query)) for key in keys]
    shares = [math.exp(score) for score in scores]
    return [sum(share * value[i] for share, value in zip(shares, values)) / sum(shares) for i in range(len(query))]


def one_token_loops(queries, keys, values):
    """queries (H, h), keys and values (K, S, h), as lists -> (H, h): query head j reads key head g."""
    reads = key_head_of_query_heads(len(queries), len(keys))
    return [answer_loops(query, keys[g], values[g]) for query, g in zip(queries, reads)]


print("both heads of “it”:", np.round(one_token_loops(queries.tolist(), [k.tolist()], [v.tolist()]), 2).tolist())

# %% [markdown]
# ## What is kept counts key heads alone
#
# Now the machine of the first page. For each token and each layer, keys and values are kept: $2 K h$ numbers. $H$ does
# not occur, except that a head is $h = D / H$ wide.
#
# ### Now you · `kv_cache_bytes_grouped` · 5 minutes
#
# Bytes of keys and values of one text: from `n_layers`, `dim`, `n_heads`, `n_kv_heads`, `n_tokens` and
# `bytes_per_number`.

# %%
kv_cache_bytes_grouped = now_you("kv_cache_bytes_grouped")


# %% tags=["solution"]
def book_kv_cache_bytes_grouped(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    head_dim = dim // n_heads
    return 2 * n_layers * n_kv_heads * head_dim * n_tokens * bytes_per_number


# %% [markdown]
# LLaMA 2 comes in four sizes. 7B and 13B are MHA; 34B and 70B have 8 key heads for 64 query heads. (34B was never
# released. Its shape here is that of CodeLlama 34B, which is of the same family.)
#
# **Guess first:** 70B has 80 layers, 7B has 32. Which of the two keeps more bytes for a token?


# %% tags=["hide-output"]
def kept(c, n_tokens, n_kv_heads):
    """Bytes that a model of this shape keeps, in float16."""
    return kv_cache_bytes_grouped(c.n_layers, c.dim, c.n_heads, n_kv_heads, n_tokens, 2)


sizes = {name: named_config(name) for name in ("7B", "13B", "34B", "70B")}
rows = []
for name, c in sizes.items():
    here, as_mha = kept(c, 4096, c.n_kv_heads), kept(c, 4096, c.n_heads)
    assert here == c.kv_cache_bytes(4096)  # the package's count
    row = (name, c.attention_kind, f"{c.n_heads} / {c.n_kv_heads}", f"{kept(c, 1, c.n_kv_heads):,}")
    rows.append((*row, f"{here / 2**30:.3f} GiB", f"{as_mha / 2**30:.3f} GiB", f"{as_mha // here}×"))
table(("model", "kind", "query / key heads", "bytes a token", "4096 tokens", "as MHA", "saving"), rows)

# %% tags=["hide-input", "hide-output"]
context = np.array([1, 512, 1024, 2048, 3072, 4096])
figure, axis = plt.subplots(figsize=(8, 4.2))
for i, (name, c) in enumerate(sizes.items()):
    axis.plot(
        context, kept(c, context, c.n_kv_heads) / 2**30, "o-", color=COLOURS[i], label=f"{name} ({c.attention_kind})"
    )
large, small = sizes["70B"], sizes["7B"]
axis.plot(context, kept(large, context, 64) / 2**30, "--", color=COLOURS[3], label="70B, were it MHA")
axis.plot(context, kept(large, context, 1) / 2**30, ":", color=COLOURS[3], label="70B, were it MQA")
ends = kept(large, 4096, 8) / 2**30, kept(large, 4096, 64) / 2**30
axis.annotate("", (4096, ends[0]), (4096, ends[1]), arrowprops={"arrowstyle": "<->", "color": COLOURS[5]})
axis.text(4020, 6, f"{ends[1] / ends[0]:.0f}×", ha="right", color=COLOURS[3], fontweight="bold")
axis.set(xlabel="tokens of one text", ylabel="keys and values (GiB, float16)", xticks=context[1:])
claim(
    axis,
    "70B keeps less than 7B; as MHA it would keep 8 times as much",
    holds=ends[1] == 8 * ends[0] and kept(large, 4096, 8) < kept(small, 4096, 32),
)
axis.legend()
show(
    figure,
    f"GiB of keys and values against tokens, straight lines from 0. At 4096 tokens 70B keeps {ends[0]:.2f}, 7B "
    f"{kept(small, 4096, 32) / 2**30:.2f}; the dashed line of 70B as MHA reaches {ends[1]:.0f}, far above all others, "
    "and the dotted one as MQA stays at the bottom.",
)

# %% [markdown]
# That is *one* text. A machine that answers many people keeps it for each of them, while the weights are there once.
# Move the number of texts and their length (in JupyterLab; on a page the picture stands at 25 texts of 4096 tokens):


# %% tags=["hide-input"]
def draw_memory(texts, tokens):
    figure, axis = plt.subplots(figsize=(8, 2.9))
    weights = 2 * count_parameters(large) / 2**30
    kinds = {"MHA, 64 key heads": 64, "GQA, 8 key heads": 8, "MQA, 1 key head": 1}
    totals = {}
    for i, (name, n_kv_heads) in enumerate(kinds.items()):
        cache = texts * kept(large, tokens, n_kv_heads) / 2**30
        totals[name] = weights + cache
        axis.barh(name, weights, color=COLOURS[5], label="weights" if i == 0 else None)
        axis.barh(name, cache, left=weights, color=COLOURS[1], label="keys and values" if i == 0 else None)
        axis.text(max(totals[name], 160) + 8, i, f"{totals[name]:.0f}", va="center")
    axis.axvline(160, color=COLOURS[3], linestyle=":", label="160 GiB")
    axis.set(xlim=(0, 830), xlabel="memory (GiB)")
    axis.invert_yaxis()
    axis.set_axisbelow(True)
    label(axis, f"70B with {texts} texts of {tokens} tokens")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncol=3)
    ends = ", ".join(f"{name} {total:.0f}" for name, total in totals.items())
    show(
        figure,
        f"Three bars of memory of 70B with {texts} texts of {tokens} tokens: {weights:.0f} GiB of weights each, and "
        f"after them keys and values. They end at {ends} GiB; a dotted line marks 160.",
    )


live(draw_memory, texts=((1, 2, 3, 4, 8, 16, 25, 32, 64), 25), tokens=((512, 1024, 2048, 4096), 4096))

# %%
room = 160 * 2**30 - 2 * count_parameters(large)
fits = {name: room // kept(large, 4096, n) for name, n in (("MHA", 64), ("GQA", 8), ("MQA", 1))}
print("texts of 4096 tokens beside the weights in 160 GiB:", ", ".join(f"{n} with {name}" for name, n in fits.items()))
assert (fits["MHA"], fits["GQA"]) == (3, 25)

# %% [markdown]
# Why then 8 key heads, and not 1? Appendix A.2.1 gives two reasons. In its comparison GQA came out close to MHA on most
# tasks, and better than MQA on average. And a server splits the heads over 8 GPUs: with a single key head, each of them
# would have to keep the same copy of it, so that nothing would be saved against 8.
#
# ## Copies stand side by side
#
# How does the attention of chapter 06 run with fewer key heads? The short way makes copies: key heads a, b become
# a, a, a, b, b, b for 6 query heads, and each query head finds its own at its own place. Nothing else changes.
#
# ### Now you · `repeat_kv_heads` · 5 minutes
#
# `k` (B, K, S, head_dim) and the size of a group → (B, K · group, S, head_dim). (Not on the core path.)

# %%
repeat_kv_heads = now_you("repeat_kv_heads")


# %% tags=["solution"]
def book_repeat_kv_heads(k, group):
    return np.repeat(k, group, axis=1)


# %%
two = np.array([10.0, 20.0]).reshape(1, 2, 1, 1)  # two key heads of one number each
print("copies for 6 query heads:", repeat_kv_heads(two, 3).ravel())

# %% [markdown]
# Names invite a mistake here. In PyTorch, `Tensor.repeat` gives a, b, a, b, a, b, and what is wanted is called
# `repeat_interleave`; in NumPy, they are `tile` and `repeat`. Both results have the same shape.
#
# ## A group is an axis
#
# Copies are what should not be kept, so it is a pity to make them. The queries can move instead. Their heads, in order,
# put into rows of $H/K$:

# %%
print(np.arange(6).reshape(2, 3))  # 6 query heads, 2 key heads: row g holds the heads that read key head g

# %% [markdown]
# Since neighbours share, this is a `reshape` and no number moves. Keys get an axis of length 1 in the same place, and
# NumPy's matrix product uses that one for the whole row, as broadcasting does:
#
# | array | shape | |
# |---|---|---|
# | `q` | (B, H, T, head_dim) | as in 06 |
# | `k`, `v` | (B, K, S, head_dim) | fewer heads |
# | q in groups | (B, K, H/K, T, head_dim) | one axis more |
# | k and v for them | (B, K, 1, S, head_dim) | nothing is copied |
# | scores, weights | (B, K, H/K, T, S) | as many as before |
# | `y` | (B, H, T, head_dim) | a `reshape` back |
#
# ### Now you · `grouped_attention` · 30 minutes
#
# `q` (B, H, T, head_dim), `k` and `v` (B, K, S, head_dim), `positions` (B, T) → `y` like `q`, causal, with copies or
# with an axis more. When yours passes, the real model below runs on it; `minillama learn speed grouped_attention` shows
# its time beside the package's.

# %%
grouped_attention = now_you("grouped_attention")


# %% tags=["solution"]
def book_grouped_attention(q, k, v, positions):
    grouped = q.reshape(len(q), k.shape[1], -1, *q.shape[2:])  # (B, K, H / K, T, head_dim)
    k, v = k[:, :, None], v[:, :, None]  # (B, K, 1, S, head_dim)
    scores = grouped @ k.swapaxes(-1, -2) / np.float32(np.sqrt(q.shape[-1]))  # (B, K, H / K, T, S)
    visible = np.arange(k.shape[3]) <= positions[:, None, None, :, None]
    scores = np.where(visible, scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ v).reshape(q.shape)


# %% [markdown]
# Against the loops, token by token, and against PyTorch in float64, which is given copies:

# %%
q6 = rng.normal(size=(2, 6, 3, 8)).astype(np.float32)
k2, v2 = (rng.normal(size=(2, 2, 9, 8)).astype(np.float32) for _ in range(2))
places = np.array([[0], [5]]) + np.arange(3)  # each sequence is at another place
y = grouped_attention(q6, k2, v2, places)
by_loops = np.zeros(y.shape)
for b in range(2):
    for t in range(3):
        n = places[b, t] + 1
        by_loops[b, :, t] = one_token_loops(q6[b, :, t].tolist(), k2[b, :, :n].tolist(), v2[b, :, :n].tolist())
show_error("grouped attention", y, by_loops, 1e-5, against="the loops")
expected = by_loops
if torch is not None:
    q64, k64, v64 = (torch.tensor(a, dtype=torch.float64) for a in (q6, k2, v2))
    expected = torch.nn.functional.scaled_dot_product_attention(
        q64,
        k64.repeat_interleave(3, dim=1),
        v64.repeat_interleave(3, dim=1),
        attn_mask=torch.tensor(np.arange(9) <= places[:, None, :, None]),
    )
show_error("grouped attention", y, expected, 1e-5)

# %% [markdown]
# Now give key heads to query heads in turn, 0, 1, 0, 1, 0, 1, as `tile` does, and see by how much the answers are off.
#
# **Guess first:** 6 query heads, and 6, 3, 2 or 1 key heads. At which of the four does the mistake not show?

# %% tags=["hide-output"]
off = {}
for n_kv_heads in (6, 3, 2, 1):
    some = [rng.normal(size=(2, n_kv_heads, 9, 8)).astype(np.float32) for _ in range(2)]
    in_turn = np.arange(6) % n_kv_heads
    wrong = grouped_attention(q6, *(a[:, in_turn] for a in some), places)
    off[n_kv_heads] = np.abs(wrong - grouped_attention(q6, *some, places)).max()
    print(f"key heads: {n_kv_heads}, off by {off[n_kv_heads]:.2f}")
assert off[6] < 1e-6 > off[1]
assert min(off[3], off[2]) > 0.1

# %% [markdown]
# At both ends, MHA and MQA, the two orders are the same. A test of this function needs more than one key head, *and*
# more than one query head for each; a model that is MHA runs well on the wrong one.
#
# ## A key is read once for the whole group
#
# While a model writes, the time goes into reading keys and values: it is [memory-bound](glossary.md#memory-bound) (06).
# Sharing makes these bytes fewer, if each key is read from memory once and used by all queries of its group while it is
# at hand. In Numba, for one token, on one core; the package gives each core key heads of its own:


# %%
@njit(fastmath={"reassoc", "contract", "nsz", "arcp"})
def answer_by_groups(q, k, v):
    """q (K, H / K, h), k and v (K, S, h), all of which are seen -> (K, H / K, h)."""
    n_groups, group, head_dim = q.shape
    n_keys, y = k.shape[1], np.zeros(q.shape, np.float32)
    scale = np.float32(1 / np.sqrt(head_dim))
    for g in range(n_groups):
        scores = np.empty((group, n_keys), np.float32)
        for s in range(n_keys):
            for r in range(group):  # the key is still in the cache of the CPU
                score = np.float32(0)
                for i in range(head_dim):
                    score += q[g, r, i] * k[g, s, i]
                scores[r, s] = score * scale
        for r in range(group):
            weights = np.exp(scores[r] - scores[r].max())
            scores[r] = weights / weights.sum()
        for s in range(n_keys):
            for r in range(group):
                for i in range(head_dim):
                    y[g, r, i] += scores[r, s] * v[g, s, i]
    return y


# %% [markdown]
# 16 query heads and 4096 keys, with fewer and fewer key heads. The arithmetic stays the same, and the bytes fall.

# %% tags=["varies"]
H, S, h = 16, 4096, 64
q1, rows = rng.normal(size=(1, H, 1, h)).astype(np.float32), []
for n_kv_heads in (16, 4, 2):
    k1, v1 = (rng.normal(size=(1, n_kv_heads, S, h)).astype(np.float32) for _ in range(2))
    in_groups, times = q1.reshape(n_kv_heads, -1, h), []
    ours = answer_by_groups(in_groups, k1[0], v1[0])
    right = grouped_attention(q1, k1, v1, np.array([[S - 1]]))
    show_error(f"{n_kv_heads} key heads", ours.reshape(right.shape), right, 1e-5, against="NumPy")
    for _ in range(20):
        begin = time.perf_counter()
        answer_by_groups(in_groups, k1[0], v1[0])
        times.append(time.perf_counter() - begin)
    rows.append((n_kv_heads, f"{(k1.nbytes + v1.nbytes) / 2**20:.0f} MiB", f"{1e3 * min(times):.2f} ms"))
table(("key heads", "keys and values", "time here"), rows)

# %% [markdown]
# The times are those of the machine that ran this notebook. Fewer bytes are fewer milliseconds only while reading is
# what takes the time: once all keys fit into the cache of the CPU, the arithmetic of this plain kernel sets the limit.
#
# The package's `minillama.layers.attention` is grouped attention for any number of key heads; what chapter 06 built is
# its case $K = H$. All agree, at both ends and between them:

# %%
from minillama.layers.attention import attention_forward, attention_forward_fast

for H, K in ((6, 6), (6, 2), (6, 1), (64, 8)):
    q1 = rng.normal(size=(2, H, 5, 16)).astype(np.float32)
    k1, v1 = (rng.normal(size=(2, K, 25, 16)).astype(np.float32) for _ in range(2))
    here = np.array([[0], [20]]) + np.arange(5)
    for name, function in (("the reference", attention_forward), ("the kernels", attention_forward_fast)):
        theirs = function(q1, k1, v1, here)[0]
        show_error(f"{H} and {K} heads", grouped_attention(q1, k1, v1, here), theirs, 1e-5, against=name)
    kernel = answer_by_groups(q1[1, :, -1].reshape(K, -1, 16), k1[1], v1[1])  # the last token sees all 25 keys
    np.testing.assert_allclose(kernel.reshape(H, 16), theirs[1, :, -1], rtol=1e-4, atol=1e-5)

# %% [markdown]
# ## Three heads read the same keys and look elsewhere
#
# In the toy two queries made two answers of one set of keys. The real model reads the toy's sentence, with
# `grouped_attention` in all its layers. The folded cell writes down the weights of all heads. Of 90 groups, it looks
# up the one whose three heads, asking for "it", differ most from one another.


# %% tags=["hide-input"]
def as_op(attention):
    return FAST._replace(attention_forward=lambda *args: (attention(*args), None))


ids = np.array([tokenizer.encode(SENTENCE)])
words = [tokenizer.decode([i]).strip() for i in ids[0]]
written = []


def listening(q, k, v, positions):
    scores = q @ repeat_kv_heads(k, 3).swapaxes(-1, -2) / np.float32(math.sqrt(q.shape[-1]))
    scores = np.where(np.arange(k.shape[2]) <= positions[:, None, :, None], scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    written.append(weights[0] / weights[0].sum(axis=-1, keepdims=True))
    return grouped_attention(q, k, v, positions)


logits = forward(params, config, ids, as_op(listening))[0]
show_error("logits", logits, forward(params, config, ids)[0], 2e-3, against="the model with the package's attention")
of_it = np.array(written)[:, :, words.index("it")].reshape(config.n_layers, 3, 3, -1)  # (layer, g, member, key)
differ = [np.abs(of_it[:, :, a] - of_it[:, :, b]).sum(axis=-1) / 2 for a, b in ((0, 1), (0, 2), (1, 2))]
layer, g = np.unravel_index(np.min(differ, axis=0).argmax(), (config.n_layers, 3))
seen = words[: words.index("it") + 1]

figure, axes = plt.subplots(3, 1, figsize=(8, 4.6), sharex=True, sharey=True)
favourites = []
for r, axis in enumerate(axes):
    row = of_it[layer, g, r, : len(seen)]
    favourites.append(seen[int(row.argmax())])
    axis.set_axisbelow(True)
    axis.bar(range(len(seen)), row, color=COLOURS[r])
    label(axis, f"query head {3 * g + r}")
    axis.set_xticks(range(len(seen)), seen)
figure.supylabel("weight, from “it”", fontsize=9)
claim(figure, f"Layer {layer}, key head {g}: three heads, three favourites", holds=len(set(favourites)) == 3)
show(
    figure,
    f"Three rows of bars over the words from The to it: the weights of the query heads {3 * g} to {3 * g + 2} of layer "
    f"{layer}, which read the same keys. The highest bars stand at “{'”, “'.join(favourites)}”.",
)

# %% [markdown]
# One set of seven keys: one head finds "because", one looks at nearly all words, and one parks its weight on the first
# token, as heads do that find nothing (06). Most groups are less divided, this one was chosen for it. But all three
# have their scores from the same keys, and only their queries differ.
#
# ## Every GQA is an MHA
#
# From GQA to MHA the way is open: give every query head a copy of its group's *weights*, and it makes the same keys as
# before. Rows of $W_k$ come in blocks of `head_dim`, one for each key head, and a block stays together. For two key
# heads a and b of two rows each, and four query heads:
#
#     rows before   a0 a1 b0 b1
#     rows after    a0 a1 a0 a1 b0 b1 b0 b1
#
# ### Now you · `expand_groups_to_heads` · 10 minutes
#
# `w` (K · head_dim, D), `n_heads`, `n_kv_heads` → (H · head_dim, D). (Not on the core path.)

# %%
expand_groups_to_heads = now_you("expand_groups_to_heads")


# %% tags=["solution"]
def book_expand_groups_to_heads(w, n_heads, n_kv_heads):
    heads = w.reshape(n_kv_heads, -1, w.shape[1])  # (K, head_dim, D)
    return np.repeat(heads, n_heads // n_kv_heads, axis=0).reshape(-1, w.shape[1])


# %% [markdown]
# SmolLM2 as MHA, with 9 key heads: it keeps three times as much, and says what it said.


# %%
def with_key_heads(change, n_kv_heads):
    """The same model with other key and value weights, and the configuration that goes with them."""
    layers = tuple(layer._replace(wk=change(layer.wk), wv=change(layer.wv)) for layer in params.layers)
    return params._replace(layers=layers), replace(config, n_kv_heads=n_kv_heads)


ours = as_op(grouped_attention)
story = np.array([tokenizer.encode(f"{SENTENCE} The next day it could not find the bone, and it was sad.")])
as_trained = forward(params, config, story, ours)[0]
expanded_params, expanded_config = with_key_heads(lambda w: expand_groups_to_heads(w, 9, 3), 9)
expanded = forward(expanded_params, expanded_config, story, ours)[0]
for name, c in (("as trained", config), ("expanded", expanded_config)):
    print(f"{name:<11} {c.attention_kind}, {c.kv_cache_bytes(1):,} bytes a token")
show_error("logits, expanded", expanded, as_trained, 2e-3, against="the model as it is")

# %% [markdown]
# ## The mean of two heads may be nothing
#
# The other way, from many key heads to few, is the one that saves. Ainslie et al. begin it by the mean over each group.
# Do the mean keys still mean something? Two heads of the toy, with keys of their own. Head 0 is as above. Head 1 asks
# the same question in another language: its key matrix turns all signs round, and so does its query matrix.
#
# | | query of "it" | key of dog | score |
# |---|---|---|---|
# | head 0 | (2, 0) | (1, 0) | 1.41 |
# | head 1 | (−2, 0) | (−1, 0) | 1.41 |
#
# **Guess first:** both heads get the mean of the two key matrices. How much weight goes to the dog?

# %% tags=["hide-output"]
W_k = np.stack([np.eye(2), -np.eye(2)])  # (head, head_dim, D)
two_queries = np.array([[2.0, 0.0], [-2.0, 0.0]])
for name, matrices in (("own keys", W_k), ("mean keys", np.stack([W_k.mean(axis=0)] * 2))):
    for head in range(2):
        e = np.exp(VECTORS @ matrices[head].T @ two_queries[head] / np.sqrt(2))
        print(f"{name:<10} head {head}: weights of {WORDS}: {(e / e.sum()).round(2)}")

# %% [markdown]
# The mean key is (0, 0) for every word, and nobody is found any more. Nothing in training makes two heads describe
# words by the same numbers: only the product of a head's own query and key counts (06).
#
# ### Now you · `pool_heads_into_groups` · 10 minutes
#
# `w` (H · head_dim, D), `n_heads`, `n_kv_heads` → (K · head_dim, D): the mean over the heads of each group, row by row.
# (Not on the core path.)

# %%
pool_heads_into_groups = now_you("pool_heads_into_groups")


# %% tags=["solution"]
def book_pool_heads_into_groups(w, n_heads, n_kv_heads):
    head_dim = len(w) // n_heads
    grouped = w.reshape(n_kv_heads, n_heads // n_kv_heads, head_dim, w.shape[1])
    return grouped.mean(axis=1).reshape(-1, w.shape[1])


# %% [markdown]
# A mean of weights is a mean of keys, because a key is its weights times the token's vector. And pooling undoes
# expanding, since the mean of copies is the thing that was copied:

# %%
w, x = rng.normal(size=(6 * 8, 5)).astype(np.float32), rng.normal(size=5).astype(np.float32)
mean_keys = (w @ x).reshape(2, 3, 8).mean(axis=1)
show_error("pooled weights", pool_heads_into_groups(w, 6, 2) @ x, mean_keys.ravel(), 1e-5, against="the mean of keys")
back = pool_heads_into_groups(expand_groups_to_heads(w, 12, 6), 12, 6)
show_error("expanded, then pooled", back, w, 1e-6, against="the weights")

# %% [markdown]
# SmolLM2 has three key heads in a layer. One head for all, the mean of the three, is MQA. How alike are the three? The
# cosine between their key weights is 1 where they are equal, 0 where they have nothing in common.
#
# **Guess first:** on the toy's sentence and the one after it the model has a loss of 3.8. What is it after pooling? A
# model that knows nothing has log 49,152 = 10.8.

# %% tags=["hide-output"]
cosines = []
for one in params.layers:
    flat = one.wk.reshape(3, -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    cosines.append((flat @ flat.T)[np.triu_indices(3, 1)])
print(f"cosine of two key heads of a layer: mean {np.mean(cosines):.3f}, largest {np.max(cosines):.3f}")
assert np.abs(np.mean(cosines)) < 0.2


def loss(logits, ids):
    """Mean of -log p of a text's tokens (chapter 03)."""
    shifted = logits[0, :-1].astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -shifted[np.arange(len(shifted)), ids[0, 1:]].mean()


pooled = forward(*with_key_heads(lambda w: pool_heads_into_groups(w, 3, 1), 1), story, ours)[0]
found = {
    "as trained: GQA, 3 key heads": loss(as_trained, story),
    "expanded: MHA, 9 key heads": loss(expanded, story),
    "pooled: MQA, 1 key head": loss(pooled, story),
}
for name, value in found.items():
    print(f"{name:<30} loss {value:.2f}")

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(8, 2.6))
bars = axis.barh(list(found), found.values(), color=[COLOURS[0], COLOURS[2], COLOURS[1]])
axis.bar_label(bars, fmt="%.2f", padding=4)
axis.axvline(math.log(config.vocab_size), color=COLOURS[5], linestyle=":", label="knowing nothing")
axis.set_axisbelow(True)
axis.set_xlim(0, 14)
axis.invert_yaxis()
axis.set(xlabel="loss on the story (nats a token)")
before, wide, narrow = found.values()
claim(axis, "Copies cost nothing, a mean costs nearly all", holds=abs(wide - before) < 1e-3 and narrow > before + 3)
axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.3))
show(
    figure,
    f"Three bars of the loss: {before:.2f} as trained with 3 key heads, {wide:.2f} expanded to 9, {narrow:.2f} pooled "
    f"into 1. A dotted line at {math.log(config.vocab_size):.1f} marks a model that knows nothing.",
)

# %% [markdown]
# So the mean is where a conversion begins and not where it ends: Ainslie et al. then train on, for 5 % of the original
# steps, and come close to the model with all heads. That is not reproduced here. LLaMA 2 34B and 70B were trained with
# shared heads from the first step.
#
# ## One thing wrong at a time
#
# Shapes are right in every line below, weights sum to 1, and nothing crashes. The loss is that of two short texts, the
# story of above and one about rain.
#
# **Guess first:** one mistake leaves Paris where it is. Which? And what costs more, to read the keys of the wrong head
# or its values?


# %% tags=["hide-output"]
def reading(keys, values):
    """Attention in which query head j reads key head keys[j] and value head values[j]."""
    return lambda q, k, v, positions: grouped_attention(q, k[:, keys], v[:, values], positions)


def out_of_order(q, k, v, positions):
    """The right answers, at the place (member, group) instead of (group, member)."""
    y = grouped_attention(q, k, v, positions)
    return np.ascontiguousarray(y.reshape(len(y), 3, 3, *y.shape[2:]).swapaxes(1, 2)).reshape(y.shape)


right, in_turn = np.asarray(key_head_of_query_heads(9, 3)), np.arange(9) % 3
variants = {
    "right": reading(right, right),
    "keys and values in turn": reading(in_turn, in_turn),
    "keys alone in turn": reading(in_turn, right),
    "values alone in turn": reading(right, in_turn),
    "all read key head 0": reading(0 * right, 0 * right),
    "groups counted from the last": reading(2 - right, 2 - right),
    "divided by √(3 · head_dim)": lambda q, k, v, p: grouped_attention(q / np.float32(math.sqrt(3)), k, v, p),
    "answers out of order": out_of_order,
}
rain = np.array(
    [
        tokenizer.encode(
            "The sun warms the sea, and water evaporates into the air. High above the ground the vapour cools and "
            "becomes clouds. Rain falls from the clouds, and rivers carry the water back to the sea."
        )
    ]
)
rows, cost = [], {}
for name, attention in variants.items():
    ops = as_op(attention)
    cost[name] = [loss(forward(params, config, text, ops)[0], text) for text in (story, rain)]
    rows.append((name, *(f"{value:.2f}" for value in cost[name]), next_words("The capital of France is", ops, 3)))
softer = cost.pop("divided by √(3 · head_dim)")
assert max(np.abs(np.subtract(softer, cost["right"]))) < 0.5
assert all(min(np.subtract(value, cost["right"])) > 2 for name, value in cost.items() if name != "right")
assert sum(min(value) > math.log(config.vocab_size) for value in cost.values()) == 5  # worse than knowing nothing
assert (right == in_turn).sum() == 3  # a third
assert min(np.subtract(cost["values alone in turn"], cost["keys alone in turn"])) > 1
table(("attention", "loss, story", "loss, rain", "The capital of France is ..."), rows)

# %% [markdown]
# With the wrong keys a head still takes values of its own group, from badly chosen tokens; a third of the heads even
# choose well. With the wrong values it hands on numbers that its columns of $W_o$ were never trained to take. Five of
# the seven mistakes are worse on both texts than a model that knows nothing (10.8): they are sure of wrong words.
#
# The wrong root is the quiet one. Dividing by the root of 192 numbers, those of three heads, makes every head a little
# less sure than it was trained to be. Paris stays, the one text costs more, and the other even a little less: two short
# texts cannot tell this mistake from chance. A comparison with right numbers, as above, finds it at once.
#
# ## What you now know
#
# - Keys and values of all tokens are kept while a text is written, queries are not. Fewer key heads are fewer bytes:
#   2 K h numbers for each token and layer.
# - A key says what can be found at a token, and several queries can ask it for different things. Each query head keeps
#   its own scores, weights and answer.
# - Neighbouring query heads share a key head. MHA (K = H) and MQA (K = 1) are the two ends of GQA, and at both a wrong
#   order of sharing does not show.
# - A group is an axis of the queries, which a reshape makes; no key has to be copied.
# - Every GQA is an MHA with equal heads. The way back, by a mean, needs further training, because heads describe tokens
#   each in its own numbers.
#
# ## Three questions
#
# 1. A model has 12 query heads and 4 key heads, and a program lets head $j$ read key head $j \bmod 4$. How many of the
#    12 read the right one? And with 12 query heads and 2 key heads, read by $j \bmod 2$?
#
# <details>
# <summary>Answer</summary>
#
# Right is 0 0 0 1 1 1 2 2 2 3 3 3, read is 0 1 2 3 0 1 2 3 0 1 2 3. They agree at heads 0, 5, 6 and 11: four of 12.
# With two key heads, 0 0 0 0 0 0 1 1 1 1 1 1 and 0 1 0 1 0 1 0 1 0 1 0 1 agree at 0, 2, 4, 7, 9 and 11: six of 12.
#
# </details>
#
# 2. A model has 48 layers, 40 query heads of 128 numbers and 8 key heads. Beside its weights 24 GiB are free. How many
#    texts of 4096 tokens can be written at once, with keys and values in two bytes? And if it were MHA?
#
# <details>
# <summary>Answer</summary>
#
# A token keeps 2 · 48 · 8 · 128 numbers of two bytes, 192 KiB, and 4096 of them 0.75 GiB: 32 texts. As MHA it is five
# times as much, 3.75 GiB, and six texts fit.
#
# </details>
#
# 3. A layer of width 4096 has 32 query heads of 128 numbers. It is built with 8 key heads instead of 32. How many of
#    the weights of $W_q$, $W_k$, $W_v$ and $W_o$ are saved? For one query and 1000 keys, how many multiplications of
#    q · k are saved?
#
# <details>
# <summary>Answer</summary>
#
# $W_k$ and $W_v$ have 1024 rows instead of 4096: of four matrices of 16.8 million weights, two shrink to a quarter, and
# 25.2 of 67.1 million are saved. Of the multiplications none: all 32 queries meet all 1000 keys, 32 · 1000 · 128. What
# is saved is reading: 8 · 1000 keys come from memory, not 32 · 1000. (The paper gives the saved weights to the
# feed-forward layer (08), so that the models it compares are about equally large.)
#
# </details>
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `key_head_of_query_heads` | Which key head? | 1 | 5 | core |
# | `repeat_kv_heads` | Copies of the key heads | 1 | 5 |  |
# | `grouped_attention` | Grouped-query attention; runs in a model; with a speed card | 3 | 30 | core |
# | `pool_heads_into_groups` | From MHA to GQA | 2 | 10 |  |
# | `expand_groups_to_heads` | Every GQA is an MHA | 2 | 10 |  |
# | `kv_cache_bytes_grouped` | What the cache costs | 1 | 5 | core |
#
# <!-- end of the exercises -->
#
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# Attention is whole. What a layer does with each token by itself, after the tokens have met, is the larger part of its
# weights: [08](08_swiglu.ipynb).
