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
# > **Before this:** [04](04_rmsnorm.ipynb), [05](05_rope.ipynb).
# > **Time:** 30 minutes to read and run, 100 for all exercises; on the [core path](README.md) 70 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2: the standard transformer of Vaswani et al.
# > (arXiv:1706.03762), decoder only, at full size. **Not here:** heads that share keys (07), the cache (10), gradients
# > (14).
#
# *The dog buried the bone because it was hungry.* You know who *it* is. The model has only a row of its table of
# embeddings (03), the same row in every sentence. How does something of the dog get into it?
#
# One part of a layer does that, and nothing else can: [attention](glossary.md#attention). Everything else in a model
# works on each token by itself. So here is the real model with that one part missing, and then whole.

# %% tags=["hide-input"]
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit, prange

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
from minillama.trees import map_tree

style()
rng = np.random.default_rng(6)

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)  # from 4 and 8 bits

# %% [markdown]
# **Guess first:** without attention, the model reads "The capital of France is" and has to say what comes next. What
# can it still know?


# %% tags=["hide-output"]
def nothing(q, k, v, positions):
    """In the place of attention: every token gets zeros from the others."""
    return np.zeros_like(q), None


def next_logits(text, ops):
    return forward(params, config, np.array([tokenizer.encode(text)]), ops)[0][0, -1]


def next_words(text, ops, n=3):
    """The most probable tokens after a text."""
    return ", ".join(repr(tokenizer.decode([int(i)])) for i in np.argsort(-next_logits(text, ops))[:n])


alone = FAST._replace(attention_forward=nothing)  # a model's layers are a table of functions: one is replaced
beginnings = ("The capital of France is", "The capital of Japan is", "What I want to know is")
for text in beginnings:
    print(f"{text:<25} whole: {next_words(text, FAST):<26} without attention: {next_words(text, alone)}")
np.testing.assert_allclose(next_logits(beginnings[0], alone), next_logits(beginnings[2], alone), atol=1e-2)

# %% [markdown]
# The three texts end in the same word, and without attention the model says the same after each, to the last digit that
# counts: the last token is all that it has.
#
# ## “it” asks, the others answer
#
# Three words, two numbers each: how *alive* a thing is, and how *edible*. A dog is (1, 0), a bone (0, 1), and "it" is
# undecided, (½, ½). To become more definite, "it" asks: *who is alive?* The question is a vector too, the
# [query](glossary.md#query) (2, 0). Every token, "it" included, has a [key](glossary.md#key), which says what can be
# found there; here the key is the word's own two numbers. (The rotation of chapter 05 is left out until the real model:
# all three stand at one place.)
#
# How well does a key answer? The dot product of query and key says it, divided by √2, and that is the
# [score](glossary.md#score). Softmax (00) makes shares of the scores: exponentials, divided by their sum. They are the
# [attention weights](glossary.md#attention-weight):
#
# | | dog | bone | it | |
# |---|---|---|---|---|
# | key | (1, 0) | (0, 1) | (½, ½) | |
# | query · key / √2 | 1.41 | 0.00 | 0.71 | the score; why √2 comes below |
# | e to the score | 4.11 | 1.00 | 2.03 | sum 7.14 |
# | weight | 0.58 | 0.14 | 0.28 | e to the score / 7.14 |
#
# What each token hands over is its [value](glossary.md#value), here again its own two numbers. "it" becomes the mean of
# the three values, by these weights.
#
# **Guess first:** how much *alive* and how much *edible* does "it" get?

# %% tags=["hide-output"]
W_q = np.array([[4, 0], [0, 0]])  # chosen by hand: four times what is alive, nothing of what is edible
W_k = W_v = np.eye(2)
q, k, v = VECTORS @ W_q.T, VECTORS @ W_k.T, VECTORS @ W_v.T  # every token asks, offers, and hands over
e = np.exp(k @ q[2] / np.sqrt(2))
print("weights of", WORDS, ":", (e / e.sum()).round(2))
print("it becomes", (e / e.sum() @ v).round(2))
np.testing.assert_allclose(e / e.sum() @ v, [0.72, 0.28], atol=0.005)  # more dog than bone

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), sharex=True, sharey=True)
shares = e / e.sum()
draw_arrows(left, dict(zip(WORDS, VECTORS)))
draw_arrows(left, {"query of “it”": q[2]}, colours=COLOURS[3:4], dashed=True, offset=(-40, 9))
claim(left, "The question points to what is alive", holds=q[2, 0] > 0 and q[2, 1] == 0)
end = np.zeros(2)
for word, share, value, colour, offset in zip(WORDS, shares, v, COLOURS, ((-62, -14), (6, -12), (7, -3))):
    draw_arrows(right, {f"{share:.2f} of {word}": share * value}, start=end, colours=(colour,), offset=offset)
    end = end + share * value
draw_arrows(right, {"new “it”": end}, colours=COLOURS[3:4], offset=(-5, 9))
draw_arrows(right, {"“it” before": VECTORS[2]}, colours=COLOURS[5:], offset=(-28, 7), dashed=True)
claim(right, "“it” moves towards the dog", holds=end[0] > VECTORS[2, 0] and end[1] < VECTORS[2, 1])
show(
    figure,
    "Two planes with equal axes, alive across, edible upwards. Left: dog is an arrow to the right, bone one upwards, "
    "it lies halfway between them, and its query is a dashed arrow along the alive axis. Right: three short arrows, "
    f"{shares[0]:.2f} of dog, {shares[1]:.2f} of bone and {shares[2]:.2f} of it, one after another; from the origin to "
    f"their end leads the new it, ({end[0]:.2f}, {end[1]:.2f}), nearer to the dog than the dashed arrow of it before.",
)

# %% [markdown]
# ### Where q, k and v come from
#
# From the token's own vector $x$, by three matrices: $q = W_q x$, $k = W_k x$, $v = W_v x$. Here they were chosen by
# hand, so that "it" asks who is alive. A real model learns them, and nobody tells it what to ask (14). They are the
# same for every token and every text: what differs is $x$.
#
# Now the whole thing in symbols, for a query at [position](glossary.md#position) $m$. Vectors have $h$ numbers
# (`head_dim`; 2 in the toy):
#
# $$ z_s = \frac{q \cdot k_s}{\sqrt{h}}, \qquad p_s = \frac{e^{z_s}}{\sum_{r \le m} e^{z_r}}, \qquad
#    y = \sum_{s \le m} p_s\, v_s . $$
#
# $z$ is the row of scores, $p$ the row of weights, and $y$ what the token gets. The sums end at $s = m$: a token sees
# itself and what came before. More of that below. In plain Python, for one query that sees all keys it is given:


# %%
def answer_loops(query, keys, values):
    """query (h,), keys and values (S, h) as lists; the formula read aloud."""
    scores = [sum(a * b for a, b in zip(query, key)) / math.sqrt(len(query)) for key in keys]
    shares = [math.exp(score) for score in scores]
    return [sum(share * value[j] for share, value in zip(shares, values)) / sum(shares) for j in range(len(query))]


print(np.round(answer_loops(q[2].tolist(), k.tolist(), v.tolist()), 2))

# %% [markdown]
# ## A score of 100 is too much for float32
#
# In float32, in which models compute, the formula has a weakness that the toy does not show. $e^{89}$ is more than
# float32 can hold (01), and nothing keeps a score below that. Take three keys with the scores 100, 99 and 0. On paper
# the weights are 0.73, 0.27 and 0.00: one step of score is a factor of $e$.

# %%
with np.errstate(over="ignore", invalid="ignore"):
    high = np.exp(np.array([100, 99, 0], np.float32))
    print("exponentials", high, "  weights", high / high.sum())

# %% [markdown]
# What saves it is that weights know only *differences* of scores. Any number $c$ may be taken from all scores of a row,
# because $e^{z_s - c} = e^{z_s} e^{-c}$, and the same factor stands above and below the fraction line:
#
# $$ \frac{e^{z_s - c}}{\sum_r e^{z_r - c}} = \frac{e^{z_s}}{\sum_r e^{z_r}} . $$
#
# Which $c$ makes every exponential harmless, for scores near 100 and for scores near −150?
#
# ### Now you · `softmax_over_keys` · 5 minutes
#
# H tables of scores, T queries by S keys, become weights: (H, T, S) → the same shape, every row with sum 1. Rows lie
# near 120, near 0 and near −150, and some scores are −∞.

# %%
softmax_over_keys = now_you("softmax_over_keys")


# %% tags=["solution"]
def book_softmax_over_keys(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))  # exp(-inf) is 0
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


# %%
rows = np.array([[[100, 99, 0], [-150, -151, -250], [100, 99, -np.inf]]], np.float32)
print(softmax_over_keys(rows).round(2))

# %% [markdown]
# The third row has a score of −∞, and its key gets the weight 0, exactly. That is how a key is hidden, as soon as there
# is a reason to hide one.
#
# ## Scores spread like √head_dim
#
# Why divide by $\sqrt h$? Take vectors whose numbers are +1 or −1 by the toss of a coin. A dot product of two of them
# is a sum of $h$ tosses. With $h = 4$ it is −4, −2, 0, 2 or 4, and typically 2 off zero. Four times as many tosses do
# not bring it four times as far, since they cancel one another: each has variance 1, the sum has variance $h$, and
# the typical size is $\sqrt h$: 4 for $h = 16$, 8 for $h = 64$.
#
# **Guess first:** 64 keys, drawn at random. In the toy, `head_dim` is 2, in real models 64 to 128. Without the
# division, how much weight does the largest of 64 get at `head_dim` 128, where an even share would be 0.016?

# %% tags=["hide-output"]
widths = np.array([2, 4, 8, 16, 32, 64, 128, 256])
spread, largest = [], {"undivided": [], "divided by √head_dim": [], "divided by head_dim": []}
for h in widths:
    scores = rng.normal(size=(400, 1, h)) @ rng.normal(size=(400, h, 64))
    spread.append(scores.std())
    for name, scale in zip(largest, (1, np.sqrt(h), h)):
        largest[name].append(softmax_over_keys(scores / scale).max(axis=-1).mean())
print(f"largest of 64 weights at head_dim 128, undivided: {largest['undivided'][6]:.2f}")

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2)
left.loglog(widths, spread, "o", base=2, label="measured")
left.loglog(widths, np.sqrt(widths), base=2, color=COLOURS[5], label="√head_dim")
left.set(xlabel="head_dim", ylabel="standard deviation of q · k")
claim(left, "Scores spread like √head_dim", holds=np.allclose(spread, np.sqrt(widths), rtol=0.1))
for name, values in largest.items():
    right.semilogx(widths, values, "o-", base=2, label=name)
right.axhline(1 / 64, color=COLOURS[5], linestyle=":", label="all 64 keys alike")
right.set(xlabel="head_dim", ylabel="largest of 64 weights (mean)", ylim=(0, 1))
ranges = {name: max(values) / min(values) for name, values in largest.items()}
claim(right, "Only √head_dim keeps it steady", holds=min(ranges, key=ranges.get) == "divided by √head_dim")
left.legend()
right.legend(fontsize=8)
show(
    figure,
    "Left, both axes logarithmic: the measured spread of random dot products lies on the line √head_dim from 2 to 256. "
    f"Right: the largest of 64 weights. Undivided it climbs to {largest['undivided'][-1]:.2f}; divided by head_dim it "
    f"falls to {largest['divided by head_dim'][-1]:.2f}, nearly an even share; divided by √head_dim it stays near "
    f"{largest['divided by √head_dim'][-1]:.2f}.",
)

# %% [markdown]
# Undivided, a query of many numbers puts nearly all its weight on one key before it has learned anything, and the
# others get no gradient (14). Divided by `head_dim`, it can hardly prefer anybody.
#
# ## Who may look at whom
#
# A model learns to predict the next token at every place of a text at once (03). At "dog" the right answer is "buried".
# If the query of "dog" may look at the word after it, there is nothing to learn: the answer lies there. So attention is
# [causal](glossary.md#causal): a token sees itself and what came before. All three words ask now, in the order dog,
# bone, it:

# %%
z = q @ k.T / np.sqrt(2)  # (T, S): a row for each query
print("all see all\n", softmax_over_keys(z).round(2))
z[0, 1] = z[0, 2] = z[1, 2] = -np.inf  # dog may not look at bone and it, bone not at it
print("none looks ahead\n", softmax_over_keys(z).round(2))

# %% [markdown]
# The dog sees itself alone, so it keeps its own value. The query of the bone is (0, 0): it asks nothing, and takes an
# even share of all that it may see. And why −∞ in the *scores*, and not zeros in the weights? Look at the first row:
# with zeros written over the first result, the dog would keep only 0.77 of itself, and its shares would not sum to 1.
#
# Which scores become −∞ is the [mask](glossary.md#mask). Often one sees a triangle, because the queries of a whole
# text have the positions 0, 1, 2 … A key's position is its index $s$; a query's is given. When a model goes on
# writing, three new tokens may come after four whose keys are kept (10), with room for two more behind them:
#
#     position 4   ■ ■ ■ ■ ■ · · · ·        ■ may be looked at
#     position 5   ■ ■ ■ ■ ■ ■ · · ·
#     position 6   ■ ■ ■ ■ ■ ■ ■ · ·
#
# ### Now you · `causal_mask` · 5 minutes
#
# From the positions of the queries and the number of keys to True and False, (T, S). No triangle is needed.

# %%
causal_mask = now_you("causal_mask")


# %% tags=["solution"]
def book_causal_mask(positions, n_keys):
    return np.arange(n_keys)[None, :] <= positions[:, None]


# %%
for name, positions, n_keys in (("a whole text", np.arange(4), 4), ("after four kept keys", np.arange(4, 7), 9)):
    print(f"{name}: positions {positions}")
    for row in causal_mask(positions, n_keys):
        print("   ", " ".join("■" if seen else "·" for seen in row))

# %% [markdown]
# ## One head
#
# One set of queries, keys and values is a [head](glossary.md#head). All its parts are there: scores of every query and
# key at once, one matrix product; the mask; the softmax; and the means, one more product.
#
# | array | shape | in the toy |
# |---|---|---|
# | `q` | (T, head_dim) | (3, 2) |
# | `k`, `v` | (S, head_dim) | (3, 2) |
# | `positions` | (T,) | 0, 1, 2 |
# | scores, weights | (T, S) | (3, 3) |
# | `y` | (T, head_dim) | (3, 2) |
#
# ### Now you · `attend_one_head` · 15 minutes
#
# `q` (T, h), `k` and `v` (S, h), `positions` (T,) → `y` (T, h). Call the two functions above.

# %%
attend_one_head = now_you("attend_one_head")


# %% tags=["solution"]
def book_attend_one_head(q, k, v, positions):
    scores = q @ k.T / np.float32(np.sqrt(q.shape[-1]))  # (T, S)
    scores = np.where(causal_mask(positions, len(k)), scores, np.float32(-np.inf))
    return softmax_over_keys(scores) @ v


# %% [markdown]
# The toy, and then a random case row by row against the loops, which see just the keys up to the position of the query:

# %%
q32, k32, v32 = (a.astype(np.float32) for a in (q, k, v))
for word, new in zip(WORDS, attend_one_head(q32, k32, v32, np.arange(3))):
    print(f"{word:<5} becomes", new.round(2))

q1, k1, v1 = (rng.normal(size=(6, 8)).astype(np.float32) for _ in range(3))
by_loops = [answer_loops(q1[t].tolist(), k1[: t + 1].tolist(), v1[: t + 1].tolist()) for t in range(6)]
show_error("one head", attend_one_head(q1, k1, v1, np.arange(6)), np.array(by_loops), 1e-5, against="the loops")

# %% [markdown]
# ## One head can ask one question
#
# "it" has two questions: who is alive, and which word stood just before me? One query cannot ask both: its answer is
# *one* mean. So a layer has several heads side by side, each with a query, key and value of its own. They are cut out
# of one wide vector: head 0 gets the first `head_dim` numbers, head 1 the next ones. For two tokens of six numbers
# and two heads:
#
#     token 0:   0  1  2 |  3  4  5         head 0:   0  1  2        head 1:   3  4  5
#     token 1:  10 11 12 | 13 14 15                  10 11 12                 13 14 15
#
# **Guess first:** `reshape` can make a (2, 2, 3) array of the (2, 6) one in one step. Does its first part hold head 0?

# %% tags=["hide-output"]
wide = np.array([[0, 1, 2, 3, 4, 5], [10, 11, 12, 13, 14, 15]])
print("first part of reshape(2, 2, 3):\n", wide.reshape(2, 2, 3)[0])

# %% [markdown]
# No: it holds token 0, both its halves, and token 1 is nowhere. A head that is given this takes the second half of a
# token for the token after it. Nothing crashes; the shapes are right.
#
# ### Now you · `split_into_heads` · 5 minutes
#
# (B, T, H · head_dim) → (B, H, T, head_dim), for B sequences.

# %%
split_into_heads = now_you("split_into_heads")


# %% tags=["solution"]
def book_split_into_heads(x, n_heads):
    return x.reshape(x.shape[0], x.shape[1], n_heads, -1).swapaxes(1, 2)


# %% [markdown]
# With the heads in front, [multi-head attention](glossary.md#multi-head-attention) is one head, many times: matrix
# products and the softmax work on the last two axes, for all batches and heads at once. In LLaMA 2 7B the width of 4096
# is cut into 32 heads of 128. Afterwards they are joined, and one more matrix, $W_o$, mixes what they found.
#
# | array | shape | |
# |---|---|---|
# | `q` | (B, H, T, head_dim) | rotated (05) |
# | `k`, `v` | (B, H, S, head_dim) | keys rotated, values not |
# | `positions` | (B, T) | each sequence has its own |
# | scores, weights | (B, H, T, S) | |
# | `y` | (B, H, T, head_dim) | |
#
# ### Now you · `attend_many_heads` · 15 minutes
#
# As one head, with two axes more. The mask is alike for all heads of a sequence, and another one for each sequence.
# When yours passes, the real model below runs on it.

# %%
attend_many_heads = now_you("attend_many_heads")


# %% tags=["solution"]
def book_attend_many_heads(q, k, v, positions):
    scores = q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(q.shape[-1]))  # (B, H, T, S)
    visible = np.arange(k.shape[2]) <= positions[:, None, :, None]  # (B, 1, T, S)
    return softmax_over_keys(np.where(visible, scores, np.float32(-np.inf))) @ v


# %% [markdown]
# PyTorch has the same function, and computes it in float64 here. Where it is not installed, the loops take its place.

# %%
B, H, T, S, h = 3, 5, 6, 20, 16
q1 = rng.normal(size=(B, H, T, h)).astype(np.float32)
k1, v1 = (rng.normal(size=(B, H, S, h)).astype(np.float32) for _ in range(2))
places = np.array([[0], [9], [14]]) + np.arange(T)  # each sequence is at another place
y = attend_many_heads(q1, k1, v1, places)
if torch is not None:
    q64, k64, v64 = (torch.tensor(a, dtype=torch.float64) for a in (q1, k1, v1))
    visible = torch.arange(S) <= torch.tensor(places)[:, None, :, None]
    expected = torch.nn.functional.scaled_dot_product_attention(q64, k64, v64, attn_mask=visible)
else:
    seen = ((b, j, t, places[b, t] + 1) for b in range(B) for j in range(H) for t in range(T))
    found = [answer_loops(q1[b, j, t].tolist(), k1[b, j, :n].tolist(), v1[b, j, :n].tolist()) for b, j, t, n in seen]
    expected = np.reshape(found, y.shape)
show_error("many heads", y, expected, 1e-5)

# %% [markdown]
# ## What 270 heads of a real model look at
#
# SmolLM2-135M-Instruct has 30 layers of 9 query heads. It reads the toy's sentence. First, layer 0 by hand, from the
# embedding to queries and keys; three neighbouring heads share a key head (07), so keys are repeated here.

# %%
from minillama.layers.rmsnorm import rmsnorm_forward
from minillama.layers.rope import rope_forward, rope_table

ids = np.array([tokenizer.encode(SENTENCE)])
words = [tokenizer.decode([i]) for i in ids[0]]
layer, positions = params.layers[0], np.arange(ids.shape[1])[None]
x = rmsnorm_forward(params.token_embedding[ids], layer.attention_norm, config.norm_eps)[0]  # 04
rotation = (*rope_table(config.head_dim, ids.shape[1], config.rope_theta), positions)  # 05
q0 = rope_forward(split_into_heads(x @ layer.wq.T, config.n_heads), *rotation)[0]
k0 = rope_forward(split_into_heads(x @ layer.wk.T, config.n_kv_heads), *rotation)[0]
print(len(words), "tokens:", "|".join(words))
print("W_q", layer.wq.shape, " W_k", layer.wk.shape, " q", q0.shape, " k", k0.shape)


# %% [markdown]
# For the other layers, `attend_many_heads` takes the place of the model's own function: `ops` is a table of functions,
# and an entry may be ours. The folded cell puts it there, with keys repeated, and writes the weights of all heads down.


# %% tags=["hide-input"]
def weights_of(q, k, positions):
    """The weights (B, H, T, S) alone, to be looked at."""
    k = np.repeat(k, q.shape[1] // k.shape[1], axis=1)
    scores = q @ k.swapaxes(-1, -2) / np.float32(math.sqrt(q.shape[-1]))
    visible = np.arange(k.shape[2]) <= positions[:, None, :, None]
    return softmax_over_keys(np.where(visible, scores, np.float32(-np.inf)))


def as_op(attention, written=None):
    """A table with this attention, for heads that share keys; `written` collects the weights of every layer."""

    def op(q, k, v, positions):
        group = q.shape[1] // k.shape[1]
        if written is not None:
            written.append(weights_of(q, k, positions)[0])
        return attention(q, np.repeat(k, group, axis=1), np.repeat(v, group, axis=1), positions), None

    return FAST._replace(attention_forward=op)


# %%
written = []
logits = forward(params, config, ids, as_op(attend_many_heads, written))[0]
weights = np.array(written)  # (layer, head, query, key)
show_error("layer 0", weights_of(q0, k0, positions)[0], weights[0], 1e-4, against="the same layer inside the model")
plain = forward(params, config, ids)[0]
show_error("logits", logits, plain, 2e-3, against="the model with the package's attention")

# %% [markdown]
# Four of the 270, looked up by what they do in this sentence: the head with the most weight on the token itself, on the
# token before, on the first token (each a mean from the third token on: the first two see hardly anything else), and
# from "it" to "dog". **Guess first:** "it" sees seven tokens, so an even share is 0.14. How much does this head give
# the dog?

# %% tags=["hide-input", "hide-output"]
places = np.arange(2, len(words))
kinds = {
    "itself": weights[:, :, places, places].mean(axis=-1),
    "the previous token": weights[:, :, places, places - 1].mean(axis=-1),
    "the first token": weights[:, :, places, 0].mean(axis=-1),
    "“it” looks at “dog”": weights[:, :, words.index(" it"), words.index(" dog")],
}
best = {name: np.unravel_index(strength.argmax(), strength.shape) for name, strength in kinds.items()}
figure, axes = plt.subplots(2, 2, figsize=(8, 8), sharex=True, sharey=True)
for axis, (name, strength) in zip(axes.flat, kinds.items()):
    i, j = best[name]
    picture = axis.imshow(weights[i, j], vmin=0, vmax=1)
    label(axis, f"layer {i}, head {j}: {name} ({strength[i, j]:.2f})")
    axis.title.set_fontsize(8.5)
    axis.set_xticks(range(len(words)), [word.strip() for word in words], rotation=90, fontsize=8)
    axis.set_yticks(range(len(words)), [word.strip() for word in words], fontsize=8)
    axis.grid(False)
figure.supxlabel("key: the token that is looked at", fontsize=9)
figure.supylabel("query: the token that looks", fontsize=9)
figure.colorbar(picture, ax=axes, label="attention weight", shrink=0.5)
claim(
    figure,
    "Heads of one model look at different things",
    holds=len(set(best.values())) == 4 and all(kinds[name][place] > 0.25 for name, place in best.items()),
)
show(
    figure,
    "Four squares of weights, a row for each query, a column for each key, dark above the diagonal. The first is "
    "bright along the diagonal, the second just below it, the third in its first column; the fourth has a bright field "
    f"where the row of it meets the column of dog, {kinds['“it” looks at “dog”'].max():.2f}.",
)

# %% [markdown]
# Above the diagonal all is zero: the mask. Nobody programmed these roles; they came out of training. One sentence does
# not prove that a head *does* find who "it" is: the number in brackets is its weight here, and 270 heads are many to
# choose the best from. Look at others yourself (in JupyterLab the sliders move; on a page they stand at the head of the
# previous token):


# %% tags=["hide-input"]
def draw_head(layer, head):
    figure, axis = plt.subplots(figsize=(5, 4.4))
    picture = axis.imshow(weights[layer, head], vmin=0, vmax=1)
    axis.set_xticks(range(len(words)), [word.strip() for word in words], rotation=90, fontsize=8)
    axis.set_yticks(range(len(words)), [word.strip() for word in words], fontsize=8)
    axis.set(xlabel="key: looked at", ylabel="query: looks")
    axis.grid(False)
    figure.colorbar(picture, label="attention weight", shrink=0.8)
    label(axis, f"layer {layer}, head {head}")
    row = weights[layer, head, words.index(" it")]
    at = words[int(row.argmax())].strip()
    show(figure, f"The weights of layer {layer}, head {head}: “it” looks most at “{at}”, with {row.max():.2f}.")


i, j = best["the previous token"]
live(draw_head, layer=(range(config.n_layers), int(i)), head=(range(config.n_heads), int(j)))

# %% [markdown]
# ## Heads that find nothing look at the first token
#
# Weights sum to 1, so a head that has nothing to find must put its weight somewhere. **Guess first:** of 30 layers, in
# how many does the first token alone get more than half of all weight, again from the third token on?

# %% tags=["hide-output"]
sink = kinds["the first token"]
n_parked = int((sink.mean(axis=1) > 0.5).sum())
print(f"layers with more than half of the weight there: {n_parked} of {config.n_layers}")

# %% tags=["hide-input", "hide-output"]
even = np.mean(1 / (places + 1))  # every query looks at all it sees alike
figure, axis = plt.subplots(figsize=(8, 3))
axis.set_axisbelow(True)
axis.bar(range(config.n_layers), sink.mean(axis=1), label="mean of 9 heads")
axis.plot(range(config.n_layers), sink.max(axis=1), ".", color=COLOURS[1], label="strongest head")
axis.axhline(even, color=COLOURS[5], linestyle=":", label=f"weights all alike: {even:.2f}")
axis.set(xlabel="layer", ylabel="weight on the first token")
claim(axis, "Most layers park their weight on the first token", holds=n_parked > config.n_layers / 2)
axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=3)
show(
    figure,
    f"Bars over the 30 layers: the mean weight on the first token. {n_parked} of them are above one half, far above "
    f"the dotted line of an even share, {even:.2f}; layer {int(sink.mean(axis=1).argmin())} is the lowest.",
)

# %% [markdown]
# The first token is an [attention sink](glossary.md#attention-sink) (Xiao et al., arXiv:2309.17453). Throw its key away
# to save memory, and the weights of most layers have nowhere to go.
#
# ## What the last word does to the words before it
#
# What the mask is for, in the real model. Two sentences differ in the last word only, *hungry* (the dog) and *tasty*
# (the bone). **Guess first:** they go through once with the mask and once without it. At which tokens do the logits
# differ? And does the loss of the text rise or fall when the mask is taken away, in a model that was trained with it?

# %% tags=["hide-output"]
start = "The dog buried the bone because it was"
pair = np.array([tokenizer.encode(f"{start} {word}") for word in ("hungry", "tasty")])


def losses(logits, ids):
    """-log p of every token but the first (chapter 03), (B, T - 1)."""
    shifted = logits[:, :-1].astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(shifted, ids[:, 1:, None], axis=-1)[..., 0]


def without_mask(q, k, v, positions):
    return attend_many_heads(q, k, v, np.full_like(positions, k.shape[2] - 1))  # every query stands at the end


results = {
    "with mask": forward(params, config, pair, as_op(attend_many_heads))[0],
    "without mask": forward(params, config, pair, as_op(without_mask))[0],
}
change = {name: np.abs(out[0] - out[1]).max(axis=-1) for name, out in results.items()}
for name, out in results.items():
    print(f"{name:<13} loss {losses(out, pair)[0].mean():.2f}, logits of {(change[name] > 1e-3).sum()} tokens differ")
assert change["with mask"][:-1].max() < 1e-3

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
at = np.arange(pair.shape[1])
left.set_axisbelow(True)
for i, (name, out) in enumerate(results.items()):
    left.bar(at + 0.4 * i - 0.2, change[name], 0.4, label=name)
    right.plot(at[1:], losses(out, pair)[0], "o-", label=f"{name}: mean {losses(out, pair)[0].mean():.2f}")
names = [word.strip() for word in words[:-2]]
left.set_xticks(at, [*names, "hungry/tasty"], rotation=90, fontsize=8)
right.set_xticks(at[1:], [*names[1:], "hungry"], rotation=90, fontsize=8)
left.set(ylabel="largest change of a logit")
right.set(ylabel="loss of this token (nats)")
claim(left, "Without a mask the past knows the last word", holds=change["without mask"][:-1].min() > 0.1)
means = {name: losses(out, pair)[0].mean() for name, out in results.items()}
claim(right, "... and the loss looks better than it is", holds=means["without mask"] < means["with mask"])
for axis in (left, right):
    axis.set_xlabel("token")
    axis.legend(fontsize=8)
show(
    figure,
    "Left: how much the logits at each token change when the last word is another one. With the mask only the bar of "
    "the last word is there; without it every token has one. Right: the loss of each token with and without mask; "
    f"without it the mean is {means['without mask']:.2f} instead of {means['with mask']:.2f}.",
)

# %% [markdown]
# The loss *falls*, although this model was never trained that way: position $m$ can look at token $m + 1$, which is the
# answer. A model that is trained like this learns to copy the answer, and has none when it has to write. A loss that is
# suddenly too good is the first sign of a mask that leaks.
#
# ## One thing wrong at a time
#
# Mistakes in attention rarely crash. Each line below is the real model with one thing wrong: the loss on a short text,
# and the words that it then finds most probable after a beginning. Most are the right function, called wrongly.
#
# **Guess first:** two of them *lower* the loss. Which?


# %% tags=["hide-output"]
def softmax_elsewhere(axis, after):
    """Attention with the softmax along another axis, or with the mask after it."""

    def attention(q, k, v, positions):
        scores = q @ k.swapaxes(-1, -2) / np.float32(math.sqrt(q.shape[-1]))
        seen = np.arange(k.shape[2]) <= positions[:, None, :, None]
        shown = scores if after else np.where(seen, scores, np.float32(-1e30))
        shares = np.exp(shown - shown.max(axis=axis, keepdims=True))
        return (shares / shares.sum(axis=axis, keepdims=True) * seen) @ v

    return attention


def scaled(factor):
    return lambda q, k, v, positions: attend_many_heads(q * np.float32(factor), k, v, positions)


root = math.sqrt(config.head_dim)
variants = {
    "right": attend_many_heads,
    "no division by √head_dim": scaled(root),
    "divided by √dim instead": scaled(root / math.sqrt(config.dim)),
    "mask after the softmax": softmax_elsewhere(axis=-1, after=True),
    "softmax over the queries": softmax_elsewhere(axis=-2, after=False),
    "no mask": without_mask,
    "mask late by one": lambda q, k, v, positions: attend_many_heads(q, k, v, positions + 1),
}
story = np.array([tokenizer.encode(f"{SENTENCE} The next day it could not find the bone, and it was sad.")])
broken = []
for name, attention in variants.items():
    ops = as_op(attention)
    loss = losses(forward(params, config, story, ops)[0], story).mean()
    broken.append((name, loss, next_words("The capital of France is", ops)))
loss = {name: value for name, value, _ in broken}
assert loss["no mask"] < loss["mask late by one"] < loss["right"]
assert all(loss[name] > loss["right"] + 0.5 for name in list(variants)[1:-2])
table(("attention", "loss", "The capital of France is ..."), [(a, f"{b:.2f}", c) for a, b, c in broken])

# %% [markdown]
# Without any mask the words give the mistake away: the layers have mixed what comes later into every token. The last
# one is the dangerous one. With a mask that is late by one, a token mixes in one later token a layer, not all of them.
# That is little enough that this model, which was trained with the right mask, still says Paris. Only the loss is
# better than it can be.
#
# ## One pass is enough
#
# Our code needs all scores of a query before it can begin with the values, because it needs the largest of them, and
# the sum. For a text of 4000 tokens and 32 heads, all weights of one layer are two gigabytes. Must they ever exist?
#
# Take the scores 0, 2, 1 one after another. The number $c$ that is taken out is the largest so far, and the sum is that
# of $e^{z - c}$. After the first, $c = 0$ and the sum is 1. The 2 raises $c$ to 2, so what was $e^{0 - 0} = 1$ should
# have been $e^{0 - 2} = 0.135$: one factor, $e^{0 - 2}$, repairs the sum, and the new score adds $e^{2 - 2} = 1$. The
# last 1 raises nothing and adds $e^{1 - 2} = 0.368$:

# %%
c, total = -np.inf, 0.0
for score in (0.0, 2.0, 1.0):
    factor = np.exp(c - max(c, score))  # 1 where the largest stays; exp(-inf) = 0 at the beginning
    c = max(c, score)
    total = total * factor + np.exp(score - c)
    print(f"score {score:.0f}: largest {c:.0f}, old sum times {factor:.3f}, new sum {total:.3f}")
assert math.isclose(total, sum(math.exp(z - 2) for z in (0, 2, 1)))

# %% [markdown]
# The sum of $e^{z - c}\, v$ is repaired by the same factor. With a block of keys at a time instead of one, this is the
# [online softmax](glossary.md#online-softmax) (Milakov and Gimelshein, arXiv:1805.02867). With $u$ the total and $a$
# the sum with the values:
#
# $$ c' = \max(c, z_{\text{block}}), \qquad u' = u\, e^{c - c'} + \sum_{s \in \text{block}} e^{z_s - c'}, \qquad
#    a' = a\, e^{c - c'} + \sum_{s \in \text{block}} e^{z_s - c'} v_s, \qquad y = a / u . $$
#
# ### Now you · `attend_online` · 25 minutes
#
# One query (h,) that sees all keys and values (S, h), in blocks; the last block may be shorter. (Not on the core path:
# go on with the book's if you like.)

# %%
attend_online = now_you("attend_online")


# %% tags=["solution"]
def book_attend_online(q, k, v, block):
    largest, total, y = -np.inf, 0.0, np.zeros(len(q))
    for first in range(0, len(k), block):
        scores = k[first : first + block] @ q / np.sqrt(len(q))
        new = max(largest, scores.max())
        correction, weights = np.exp(largest - new), np.exp(scores - new)  # the first correction is exp(-inf) = 0
        total = total * correction + weights.sum()
        y = y * correction + weights @ v[first : first + block]
        largest = new
    return (y / total).astype(np.float32)


# %%
q1, k1, v1 = (rng.normal(size=shape).astype(np.float32) for shape in ((16,), (80, 16), (80, 16)))
for n in (16, 32, 48, 64, 80):
    print(f"after {n} keys y begins {attend_online(q1, k1[:n], v1[:n], 16)[:3].round(3)}")
two_passes = answer_loops(q1.tolist(), k1.tolist(), v1.tolist())
show_error("online", attend_online(q1, k1, v1, 16), np.array(two_passes), 1e-5, against="two passes")

# %% [markdown]
# At any moment $a/u$ is the right answer for the keys seen so far; keys and values are read once, and no array of $S$
# scores exists. FlashAttention is this idea on a GPU.
#
# ## Writing a text is reading keys
#
# While a model writes, there is one query for each head and a long row of keys. The arithmetic is small; the time goes
# into reading keys and values, each of which is used once (01 calls that [memory-bound](glossary.md#memory-bound)). A
# kernel in Numba can read them once, with one head a core.
#
# ### Now you · `attend_decode` · 30 minutes
#
# `q` (H, h), `k` and `v` (H, S, h), of which the first `n_keys` rows are written → (H, h). Right first, then `njit`;
# `minillama learn speed attend_decode` shows yours beside the package's. (Not on the core path.)

# %%
attend_decode = now_you("attend_decode")


# %% tags=["solution"]
@njit(parallel=True, fastmath={"reassoc", "contract", "nsz", "arcp"})
def book_attend_decode(q, k, v, n_keys):
    n_heads, head_dim = q.shape
    y = np.zeros((n_heads, head_dim), np.float32)
    scale = np.float32(1 / np.sqrt(head_dim))
    for h in prange(n_heads):
        scores = np.empty(n_keys, np.float32)
        largest = np.float32(-np.inf)
        for s in range(n_keys):
            score = np.float32(0)
            for j in range(head_dim):
                score += q[h, j] * k[h, s, j]
            scores[s] = score * scale
            largest = max(largest, scores[s])
        total = np.float32(0)
        for s in range(n_keys):
            weight = np.exp(scores[s] - largest)
            total += weight
            for j in range(head_dim):
                y[h, j] += weight * v[h, s, j]
        for j in range(head_dim):
            y[h, j] /= total
    return y


# %% [markdown]
# It has to agree with NumPy, and must not read what lies behind the keys that have been written: NaN there would show.

# %% tags=["varies"]
H, S, h, n_keys = 16, 2048, 64, 2000
q1 = rng.normal(size=(H, h)).astype(np.float32)
k1, v1 = (rng.normal(size=(H, S, h)).astype(np.float32) for _ in range(2))
expected = attend_many_heads(q1[None, :, None], k1[None, :, :n_keys], v1[None, :, :n_keys], np.array([[n_keys - 1]]))
k1[:, n_keys:] = v1[:, n_keys:] = np.nan
show_error("the kernel", attend_decode(q1, k1, v1, n_keys), expected[0, :, 0], 1e-6, against="NumPy")

k1, v1 = k1[:, :n_keys].copy(), v1[:, :n_keys].copy()
for name, function in (
    ("NumPy", lambda: attend_many_heads(q1[None, :, None], k1[None], v1[None], np.array([[n_keys - 1]]))),
    ("Numba", lambda: attend_decode(q1, k1, v1, n_keys)),
):
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    print(f"{name}: {1e3 * min(times):.2f} ms, {8e-9 * H * n_keys * h / min(times):.1f} GB/s of keys and values")

# %% [markdown]
# These are the numbers of the machine that ran this notebook. NumPy hands both products to BLAS, which reads quickly,
# too; what the kernel has is one small row of scores a head in place of large arrays.
#
# The package's `minillama.layers.attention` does what was derived here, for shared heads too: the equation in NumPy,
# then kernels, with the online softmax for few queries and tiles of queries for many. All agree:

# %%
from minillama.layers.attention import attention_forward, attention_forward_fast

B, H, T, S, h = 2, 4, 50, 70, 32
q1 = rng.normal(size=(B, H, T, h)).astype(np.float32)
k1, v1 = (rng.normal(size=(B, H, S, h)).astype(np.float32) for _ in range(2))
places = np.array([[0], [20]]) + np.arange(T)
ours = attend_many_heads(q1, k1, v1, places)
for name, function in (("the reference", attention_forward), ("the kernels", attention_forward_fast)):
    show_error("many heads", ours, function(q1, k1, v1, places)[0], 1e-5, against=name)
last = attention_forward_fast(q1[:1, :, -1:], k1[:1], v1[:1], places[:1, -1:])[0]
np.testing.assert_allclose(attend_decode(q1[0, :, -1], k1[0], v1[0], T), last[0, :, 0], rtol=1e-4, atol=1e-6)

# %% [markdown]
# ## What you now know
#
# - A token's query is compared with keys; softmax turns the scores into shares, and the token gets the mean of the
#   values by these shares. Query, key and value are the token's own vector times three learned matrices.
# - Scores are divided by √head_dim because that is how far random dot products spread. Otherwise one key takes all.
# - Only differences of scores count, so the largest of a row can be taken out before the exponential.
# - A hidden key has the score −∞. The mask compares positions, and a mask that leaks shows as a loss that is too good.
# - Heads are attention several times side by side, cut out of one vector. Those that find nothing look at the first
#   token.
# - One pass over keys and values is enough: when the largest score rises, one factor repairs the sums.
#
# ## Three questions
#
# 1. A model was trained with `head_dim` 64. Somebody runs it with a division by 4 instead of 8. A query sees two keys,
#    whose right scores are 3 and 1. What should the weights be, and what are they?
#
# <details>
# <summary>Answer</summary>
#
# Scores are twice as large, 6 and 2, so their difference is 4 instead of 2. The larger weight should be
# 1 / (1 + e⁻²) = 0.88, and is 1 / (1 + e⁻⁴) = 0.98: every head is surer than it was trained to be.
#
# </details>
#
# 2. A text has five tokens, and all scores are equal. How much weight does the query at position 2 give to key 0, with
#    the right mask, with one that is late by one, and with none? A model is *trained* with the mask late by one until
#    its loss no longer falls: what is the loss then, and what does the model write?
#
# <details>
# <summary>Answer</summary>
#
# It sees keys 0, 1 and 2, so 1/3; late by one it sees four keys, 1/4; without a mask all five, 1/5. In training the
# next token is always the last that is seen, so the model learns to copy it, and the loss goes to nearly 0. When it
# writes, nothing stands there to be copied, and what it writes has little to do with the text before.
#
# </details>
#
# 3. All weights of one layer are kept as float32, for one text of 1000 tokens and 9 heads. How many megabytes is that?
#    And for 10,000 tokens? What of it does the one-pass form need for one query and `head_dim` 64?
#
# <details>
# <summary>Answer</summary>
#
# 9 · 1000 · 1000 · 4 bytes are 36 MB. Ten times the tokens are a hundred times the pairs: 3.6 GB, in each layer. The
# one pass keeps the largest score, the total and 64 sums for a query, 66 numbers, and the scores of one block.
#
# </details>
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
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# Keys and values of every head must be kept while a model writes, and for the largest LLaMA that is more memory than
# the weights leave. [07](07_grouped_queries.ipynb) lets heads share them.
