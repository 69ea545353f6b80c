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
# **Goal.** Let several query heads share one key and value head, see why LLaMA 2 70B does it, and meet the one line
# that is most often wrong: which key head belongs to which query head.
#
# **Before this:** chapter 06. **Time:** 60 minutes, with the exercises.
#
# **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2 and appendix A.2.1; grouped queries come from Ainslie et al.
# (arXiv:2305.13245). **Not at this scale:** the paper compares the three kinds on 30B models trained on 150B tokens
# (table 18), and converting a trained model needs further training to recover. The chapter shows what can be shown
# without: the arithmetic at full size, and one real model changed by hand.

# %%
import math
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from numba import njit, prange

from minillama.config import named_config
from minillama.learn.book import COLOURS, load, show_error, style, table, torch
from minillama.params import count_parameters

style()
rng = np.random.default_rng(7)

# %% [markdown]
# ## The idea
#
# When a model writes, every new token reads the keys and values of all tokens before it. They are kept, in the *KV
# cache* (chapter 10). With one key head for each query head (*multi-head attention*, MHA) that cache can outgrow the
# weights, as a table below shows. Queries are not kept, so only keys and values have to become fewer.
#
# *Multi-query attention* (MQA) keeps a single key and value head for all query heads. *Grouped-query attention* (GQA)
# lies in between: neighbouring query heads form a group, and each group has one key and value head.
#
# ## The mathematics
#
# With $H$ query heads, $K$ key and value heads and $r = H / K$ query heads in a group, query head $j$ reads key head
#
# $$ g(j) = \lfloor j / r \rfloor , \qquad
#    y^{(j)}_t = \sum_{s \le m_t} \mathrm{softmax}_s\!\left( \frac{q^{(j)}_t \cdot k^{(g(j))}_s}{\sqrt h} \right)
#    v^{(g(j))}_s , $$
#
# where $h$ is `head_dim` and $m_t$ the position of query $t$. $K = H$ is MHA, $K = 1$ is MQA. The scale does not
# change: a dot product still runs over one head.
#
# The cache holds, for each token and $L$ layers, $2 L K h$ numbers: keys and values.

# %%
table(
    ("array", "shape", "what"),
    (
        ("q", "(B, H, T, head_dim)", "queries; wq is (H * head_dim, dim)"),
        ("k, v", "(B, K, S, head_dim)", "shared keys and values; wk and wv are (K * head_dim, dim): smaller"),
        ("q in groups", "(B, K, H / K, T, head_dim)", "a reshape, no copy: neighbours stand together"),
        ("scores", "(B, K, H / K, T, S)", "as many as before: H for each pair of tokens"),
        ("y", "(B, H, T, head_dim)", "one mean of values for each query head; wo is (dim, H * head_dim)"),
    ),
)

# %% [markdown]
# ## Who reads whom
#
# The picture of $g(j)$ for 8 query heads. Neighbours share.


# %%
def key_head_of_query_heads(n_heads, n_kv_heads):
    return np.arange(n_heads) // (n_heads // n_kv_heads)


figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), sharey=True)
for axis, (name, n_kv_heads) in zip(axes, (("MHA", 8), ("GQA", 2), ("MQA", 1))):
    places = (np.arange(n_kv_heads) + 0.5) * 8 / n_kv_heads - 0.5  # below the middle of the group
    for j, g in enumerate(key_head_of_query_heads(8, n_kv_heads)):
        axis.plot([j, places[g]], [1, 0], color=COLOURS[g % 5], zorder=1)
        axis.scatter(j, 1, s=170, color=COLOURS[g % 5], zorder=2)
        axis.text(j, 1, j, ha="center", va="center", color="white", fontsize=8)
    for g, place in enumerate(places):
        axis.scatter(place, 0, s=170, marker="s", color=COLOURS[g % 5], zorder=2)
        axis.text(place, 0, g, ha="center", va="center", color="white", fontsize=8)
    axis.set(title=f"{name}: {n_kv_heads} key head{'s' * (n_kv_heads > 1)}", ylim=(-0.3, 1.3), xticks=[])
    axis.set_yticks([0, 1], ["key and\nvalue head", "query\nhead"])
    axis.grid(False)
plt.show()

# %% [markdown]
# ## In plain Python
#
# The attention of chapter 06 with one change: keys and values come from head `j // group`.


# %%
def grouped_loops(q, k, v, positions):
    """q (H, T, h), k and v (K, S, h), positions (T,); one sequence."""
    n_heads, n_tokens, head_dim = q.shape
    group, y = n_heads // len(k), np.zeros(q.shape)
    for j in range(n_heads):
        g = j // group
        for t in range(n_tokens):
            seen = range(positions[t] + 1)
            scores = [sum(q[j, t, i] * k[g, s, i] for i in range(head_dim)) / math.sqrt(head_dim) for s in seen]
            weights = np.exp(np.array(scores) - max(scores))
            for s in seen:
                y[j, t] += weights[s] / weights.sum() * v[g, s]
    return y


# %% [markdown]
# ## In NumPy, twice
#
# The short way copies each key head for its group and continues as in MHA. `np.repeat` puts the copies side by side,
# which is what $\lfloor j / r \rfloor$ asks for.
#
# The other way copies nothing: a reshape gives the group an axis of its own, and the product broadcasts over it.


# %%
def attend(q, k, v, visible):
    """Causal attention over the last two axes of whatever shapes go together."""
    scores = q @ k.swapaxes(-1, -2) / np.float32(math.sqrt(q.shape[-1]))
    scores = np.where(visible, scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


def attend_repeated(q, k, v, positions, spread=np.repeat):
    group = q.shape[1] // k.shape[1]
    visible = np.arange(k.shape[2]) <= positions[:, None, :, None]  # (B, 1, T, S)
    return attend(q, spread(k, group, 1), spread(v, group, 1), visible)


def grouped_attention(q, k, v, positions):
    grouped = q.reshape(len(q), k.shape[1], -1, *q.shape[2:])  # (B, K, H / K, T, h)
    visible = np.arange(k.shape[2]) <= positions[:, None, None, :, None]
    return attend(grouped, k[:, :, None], v[:, :, None], visible).reshape(q.shape)


q = rng.normal(size=(2, 6, 3, 8)).astype(np.float32)
k, v = (rng.normal(size=(2, 2, 9, 8)).astype(np.float32) for _ in range(2))
positions = np.array([[0], [5]]) + np.arange(3)
expected = np.array([grouped_loops(q[b], k[b], v[b], positions[b]) for b in range(2)])
show_error("repeated", attend_repeated(q, k, v, positions), expected, 1e-6, against="the loops")
show_error("grouped", grouped_attention(q, k, v, positions), expected, 1e-6, against="the loops")

# %% [markdown]
# The same against PyTorch, whose name for the right way of copying is `repeat_interleave`.

# %%
if torch is not None:
    q64, k64, v64 = (torch.tensor(a, dtype=torch.float64) for a in (q, k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(
        q64,
        k64.repeat_interleave(3, dim=1),
        v64.repeat_interleave(3, dim=1),
        attn_mask=torch.tensor(np.arange(9) <= positions[:, None, :, None]),
    )
show_error("grouped", grouped_attention(q, k, v, positions), expected, 1e-6)

# %% [markdown]
# ### Repeat, not tile
#
# PyTorch's `Tensor.repeat` does what NumPy calls `tile`: the whole row of heads again and again. It has the right shape
# and the wrong heads.


# %%
def tile(a, group, axis):
    return np.concatenate([a] * group, axis=axis)


heads = np.array([0, 1])
print("6 query heads, 2 key heads   repeat:", np.repeat(heads, 3), "  tile:", tile(heads, 3, 0))
for n_kv_heads in (6, 3, 2, 1):
    k, v = (rng.normal(size=(2, n_kv_heads, 9, 8)).astype(np.float32) for _ in range(2))
    error = np.abs(attend_repeated(q, k, v, positions, tile) - grouped_attention(q, k, v, positions)).max()
    print(f"{n_kv_heads} key heads: tiling is off by {error:.1e}")

# %% [markdown]
# In both limits, MHA and MQA, the two orders are the same, and the error does not show. A test of grouped attention has
# to have more than one key head *and* more than one query head for each.
#
# ## Numba: read each key once
#
# While decoding, time goes into reading keys and values. The kernel runs over the key heads; a key is read once and
# used by all queries of its group while it is at hand.


# %%
@njit(parallel=True, fastmath={"reassoc", "contract", "nsz", "arcp"})
def decode_grouped(q, k, v, n_keys):
    """q (H, h), k and v (K, S, h), of which n_keys rows are filled -> (H, h)."""
    n_heads, head_dim = q.shape
    group, y = n_heads // len(k), np.zeros((n_heads, head_dim), np.float32)
    scale = np.float32(1 / np.sqrt(head_dim))
    for g in prange(len(k)):
        scores = np.empty((group, n_keys), np.float32)
        for s in range(n_keys):
            for r in range(group):  # the key is still in the cache of the CPU
                score = np.float32(0)
                for i in range(head_dim):
                    score += q[g * group + r, i] * k[g, s, i]
                scores[r, s] = score * scale
        for r in range(group):
            weights = np.exp(scores[r] - scores[r].max())
            scores[r] = weights / weights.sum()
        for s in range(n_keys):
            for r in range(group):
                for i in range(head_dim):
                    y[g * group + r, i] += scores[r, s] * v[g, s, i]
    return y


# %% [markdown]
# The same 16 query heads at a context of 4096, with fewer and fewer key heads: the arithmetic stays the same, the bytes
# fall.

# %%
H, S, h = 16, 4096, 64
q1, rows = rng.normal(size=(H, h)).astype(np.float32), []
for n_kv_heads in (16, 4, 2):
    k1, v1 = (rng.normal(size=(n_kv_heads, S, h)).astype(np.float32) for _ in range(2))
    ours, times = decode_grouped(q1, k1, v1, S), []
    right = grouped_attention(q1[None, :, None], k1[None], v1[None], np.array([[S - 1]]))[0, :, 0]
    show_error(f"{n_kv_heads} key heads", ours, right, 1e-5, against="NumPy")
    for _ in range(30):
        begin = time.perf_counter()
        decode_grouped(q1, k1, v1, S)
        times.append(time.perf_counter() - begin)
    rows.append((n_kv_heads, f"{(k1.nbytes + v1.nbytes) / 2**20:.0f} MiB", f"{1e3 * min(times):.2f} ms"))
table(("key heads", "keys and values", "time here"), rows)

# %% [markdown]
# The times are this machine's. Fewer bytes are fewer milliseconds only while reading is what takes the time: where all
# keys fit in the CPU's cache, the arithmetic of this plain kernel sets the limit. The package's kernel works in SIMD.
#
# ## The cache of LLaMA 2
#
# The bytes need no model, only its shape. 7B and 13B are MHA; 34B and 70B have 8 key heads for 64 query heads.
# (34B was never released. Its shape here is that of CodeLlama 34B, which is of the same family.)


# %%
def kv_cache_bytes(config, n_tokens, n_kv_heads=None, bytes_per_number=2):
    n_kv_heads = config.n_kv_heads if n_kv_heads is None else n_kv_heads
    return 2 * config.n_layers * n_kv_heads * config.head_dim * n_tokens * bytes_per_number


sizes = {name: named_config(name) for name in ("7B", "13B", "34B", "70B")}
rows = []
for name, c in sizes.items():
    here, as_mha = kv_cache_bytes(c, 4096), kv_cache_bytes(c, 4096, c.n_heads)
    assert here == c.kv_cache_bytes(4096)
    rows.append((name, c.attention_kind, f"{c.n_heads} / {c.n_kv_heads}", f"{kv_cache_bytes(c, 1):,}"))
    rows[-1] += (f"{here / 2**30:.3f} GiB", f"{as_mha / 2**30:.3f} GiB", f"{as_mha // here}×")
table(("model", "kind", "heads / key heads", "bytes per token", "at 4096", "as MHA", "saving"), rows)

# %%
context = np.array([1, 512, 1024, 2048, 3072, 4096])
figure, axis = plt.subplots(figsize=(8, 4.2))
for i, (name, c) in enumerate(sizes.items()):
    label = f"{name} ({c.attention_kind})"
    axis.plot(context, kv_cache_bytes(c, context) / 2**30, "o-", color=COLOURS[i], label=label)
c = sizes["70B"]
axis.plot(context, kv_cache_bytes(c, context, c.n_heads) / 2**30, "--", color=COLOURS[3], label="70B, were it MHA")
axis.plot(context, kv_cache_bytes(c, context, 1) / 2**30, ":", color=COLOURS[3], label="70B, were it MQA")
axis.annotate(
    "", (4096, kv_cache_bytes(c, 4096) / 2**30), (4096, 10), arrowprops={"arrowstyle": "<->", "color": COLOURS[5]}
)
axis.text(4020, 6, "8×", ha="right", color=COLOURS[3], fontweight="bold")
axis.set(xlabel="context (tokens)", ylabel="KV cache of one sequence (GiB, float16)", xticks=context[1:])
axis.set_title("70B keeps fewer keys and values than 7B; with MHA it would keep 8 times as many")
axis.legend()
plt.show()

# %% [markdown]
# The cache is for *one* sequence. A server that answers 32 people at once at 4096 tokens multiplies it by 32.

# %%
for name, n_kv_heads in (("MHA", 64), ("GQA, as it is", 8), ("MQA", 1)):
    cache = 32 * kv_cache_bytes(c, 4096, n_kv_heads) / 2**30
    print(f"70B, 32 sequences of 4096 tokens, {name}: {cache:.0f} GiB of cache")
print(f"its weights in float16: {count_parameters(c) * 2 / 2**30:.0f} GiB")

# %% [markdown]
# Why 8, and not 1? Appendix A.2.1 gives two reasons: GQA came out close to MHA on most tasks and better than MQA on
# average, and a server splits the heads over 8 GPUs, so that with MQA each of them would have to keep the same copy.
#
# ## In a real model
#
# SmolLM2-135M-Instruct has 9 query heads and 3 key heads. Three ways to change its key heads by hand:
#
# - *Expanded to MHA*: every query head gets a copy of its group's weights. Nothing may change: every GQA is an MHA
#   whose heads are equal in groups.
# - *Pooled into MQA*: the mean over all three key heads, and of the value heads likewise. Ainslie et al. start their
#   conversion like this, with the mean over each group; then they train on.
# - *Tiled*: the weights stay, but query head $j$ reads key head $j \bmod 3$.


# %%
def expand_groups_to_heads(w, n_heads, n_kv_heads):
    """(K * h, D) -> (H * h, D): every head's block of rows, once for each query head of the group."""
    heads = w.reshape(n_kv_heads, -1, w.shape[1])
    return np.repeat(heads, n_heads // n_kv_heads, axis=0).reshape(-1, w.shape[1])


def pool_heads_into_groups(w, n_heads, n_kv_heads):
    """(H * h, D) -> (K * h, D): the mean over the heads of each group."""
    grouped = w.reshape(n_kv_heads, n_heads // n_kv_heads, -1, w.shape[1])  # (K, H / K, h, D)
    return grouped.mean(axis=1).reshape(-1, w.shape[1])


w = rng.normal(size=(6 * 8, 5)).astype(np.float32)
x = rng.normal(size=5).astype(np.float32)
keys = (w @ x).reshape(2, 3, 8)
show_error(
    "pooled weights", pool_heads_into_groups(w, 6, 2) @ x, keys.mean(1).ravel(), 1e-6, against="the mean of the keys"
)
there_and_back = pool_heads_into_groups(expand_groups_to_heads(w, 12, 6), 12, 6)
show_error("expanded, then pooled", there_and_back, w, 1e-6, against="the weights")

# %% [markdown]
# Pooling weights is pooling keys, because a key is linear in its weights. And pooling undoes expanding. Now the model,
# on a text that it has to predict.

# %%
from minillama.model import forward
from minillama.ops import FAST
from minillama.trees import map_tree

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)
text = (
    "The sun warms the sea, and water evaporates into the air. High above the ground the vapour cools and becomes "
    "clouds. Rain falls from the clouds, and rivers carry the water back to the sea."
)
ids = np.array(tokenizer.encode(text))


def with_key_heads(change, n_kv_heads):
    """The same model with other key and value weights, and the configuration that goes with them."""
    layers = tuple(layer._replace(wk=change(layer.wk), wv=change(layer.wv)) for layer in params.layers)
    return params._replace(layers=layers), replace(config, n_kv_heads=n_kv_heads)


def as_op(attention):
    return FAST._replace(attention_forward=lambda q, k, v, positions: (attention(q, k, v, positions), None))


def loss(logits):
    """Mean of -log p of the text's tokens, in nats."""
    shifted = logits[0, :-1].astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    logprobs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -logprobs[np.arange(len(ids) - 1), ids[1:]].mean()


# %%
H, K = config.n_heads, config.n_kv_heads
ours = as_op(grouped_attention)
as_trained = forward(params, config, ids, ours)[0]
expanded = forward(*with_key_heads(lambda w: expand_groups_to_heads(w, H, K), H), ids, ours)[0]
pooled = forward(*with_key_heads(lambda w: pool_heads_into_groups(w, K, 1), 1), ids, ours)[0]
tiled = forward(params, config, ids, as_op(lambda *args: attend_repeated(*args, spread=tile)))[0]
show_error("expanded to MHA", expanded, as_trained, 2e-3, against="the model as it is")
show_error("as trained", as_trained, forward(params, config, ids)[0], 2e-3, against="the package's attention")

# %% [markdown]
# Expanding changes nothing beyond rounding. The other two are another model.

# %%
losses = {
    f"as trained: GQA, {K} key heads": loss(as_trained),
    f"expanded: MHA, {H} key heads": loss(expanded),
    "pooled: MQA, 1 key head": loss(pooled),
    f"tiled: head j reads j mod {K}": loss(tiled),
}
figure, axis = plt.subplots(figsize=(8, 2.8))
bars = axis.barh(list(losses), losses.values(), color=[COLOURS[0], COLOURS[2], COLOURS[1], COLOURS[3]])
axis.bar_label(bars, fmt="%.2f", padding=4)
axis.axvline(math.log(config.vocab_size), color=COLOURS[5], linestyle=":", label="knowing nothing: log(vocabulary)")
axis.set_axisbelow(True)
axis.set_xlim(0, 15)
axis.invert_yaxis()
axis.set(xlabel="loss on the text (nats per token)", title="Every GQA is an MHA; the way back needs training")
axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.25))
plt.show()
values = list(losses.values())
assert abs(values[1] - values[0]) < 1e-3 < 1 < min(values[2:]) - values[0]

# %% [markdown]
# Pooling destroys this model, because its three key heads mean different things: averaging them is a starting point for
# further training (Ainslie et al. use 5 % of the original steps), not a conversion. How different are they? The cosine
# between the key weights of two heads of a layer says it.

# %%
cosines = []
for layer in params.layers:
    rows = layer.wk.reshape(K, -1)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines.append((rows @ rows.T)[np.triu_indices(K, 1)])
print(f"cosine of two key heads' weights: mean {np.mean(cosines):.3f}, largest {np.max(cosines):.3f}; 1 would be equal")
assert np.abs(np.mean(cosines)) < 0.2

# %% [markdown]
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
# `minillama learn start my-llama` makes a folder with the starters, `minillama learn watch` checks on every save. In a
# notebook: `from minillama.learn import check; check("grouped_attention", my_function)`. A whole model can then run on
# it.

# %%
from minillama.learn import check

# %% [markdown]
# What a check says about the function that tiles:


# %%
def my_grouped_attention(q, k, v, positions):
    group = q.shape[1] // k.shape[1]
    k, v = np.tile(k, (1, group, 1, 1)), np.tile(v, (1, group, 1, 1))
    visible = np.arange(k.shape[2]) <= positions[:, None, :, None]
    return attend(q, k, v, visible)


check("grouped_attention", my_grouped_attention)

# %% [markdown]
# ## What breaks if it is wrong
#
# Nothing crashes: shapes are right, weights sum to 1, and MHA models run well. Only a grouped model writes nonsense.

# %%
import minillama

for name, attention in (("repeated", grouped_attention), ("tiled", my_grouped_attention)):
    model = minillama.LLM(params, config, tokenizer, ops=as_op(attention))
    written = model.generate("The capital of France is", max_tokens=6, temperature=0).text
    print(f"{name:>8}: The capital of France is ... {written!r}")

# %% [markdown]
# ## The package's function
#
# `minillama.layers.attention` is grouped attention for any number of key heads; chapter 06 is its case K = H.

# %%
from minillama.layers.attention import attention_forward, attention_forward_fast

for H, K in ((6, 6), (6, 2), (6, 1), (64, 8)):
    q = rng.normal(size=(2, H, 5, 16)).astype(np.float32)
    k, v = (rng.normal(size=(2, K, 30, 16)).astype(np.float32) for _ in range(2))
    positions = np.array([[0], [20]]) + np.arange(5)
    for function in (attention_forward, attention_forward_fast):
        y = function(q, k, v, positions)[0]
        np.testing.assert_allclose(grouped_attention(q, k, v, positions), y, rtol=1e-4, atol=1e-5)
    kernel = decode_grouped(q[0, :, -1], k[0], v[0], int(positions[0, -1]) + 1)
    show_error(f"{H} query heads, {K} key heads", kernel, y[0, :, -1], 1e-5, against="the package's kernel")
