# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 10 · The KV cache
#
# > **Before this:** [09](09_whole_model.ipynb).
# > **Time:** 40 minutes to read and run, 90 for all exercises; on the [core path](README.md) 90 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2 and appendix A.2.1, where the size of this cache is the
# > reason for grouped queries. **Not here:** which token is chosen (11), keys and values in fewer bits, several texts
# > that share a beginning. Not reproduced: the paper's throughput of 30B models on eight GPUs (figure 24). All
# > times here are those of SmolLM2-135M on one core; work and bytes are counted.
#
# *The dog buried the bone because it was hungry.* A model that goes on with this sentence reads all of it and gives one
# token (00). For the next token it reads all of it again, and the new token. After a page of text, every word costs a
# reading of the whole page, of which all but the last word has been read before.
#
# Reading only the last token each time would be cheap. But then attention (06) sees nobody else. Here is the real model
# without the part that this chapter is about, in both ways: once it reads everything again, once the last token alone.

# %% tags=["hide-input"]
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minillama.compute.threads import set_threads
from minillama.inference.runner import runner_for
from minillama.inference.session import Session
from minillama.kv_cache import KVCache
from minillama.learn.book import (
    COLOURS,
    claim,
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
set_threads(1)  # times are those of one core
rng = np.random.default_rng(10)

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)  # from 4 and 8 bits


def exact_session(ops=FAST):
    """A text that the model has begun to read, with all arithmetic in float32 and this table of layers."""
    return Session(runner_for(params, config, ops, exact=True))


# %% [markdown]
# Beside them is a third way, the one that this chapter builds: every token goes through the model once, and the others
# can still look at it. **Guess first:** the prompt has 13 tokens, and 16 are written after it. How many tokens go
# through the model in each of the three ways?

# %% tags=["hide-output"]
prompt = tokenizer.encode(f"{SENTENCE} The next day")
session = exact_session()  # the package's: a model and the cache of one text; `feed` reads tokens, in float32
ways = {
    "all of it again": lambda ids: (ids, forward(params, config, np.array([ids]))[0][0, -1]),
    "the last token alone": lambda ids: (ids[-1:], forward(params, config, np.array([ids[-1:]]))[0][0, -1]),
    "the new tokens, with a cache": lambda ids: (ids[session.position :], session.feed(ids[session.position :])),
}
ran, wrote = {}, {}
for way, read in ways.items():
    ids, ran[way] = list(prompt), 0
    for _ in range(16):
        tokens, logits = read(ids)
        ran[way] += len(tokens)
        ids.append(int(logits.argmax()))
    wrote[way] = tokenizer.decode(ids[len(prompt) :])
assert wrote["all of it again"] == wrote["the new tokens, with a cache"] != wrote["the last token alone"]
assert len(prompt) == 13
table(("what is read for each new token", "tokens run", "The next day ..."), [(w, ran[w], wrote[w]) for w in ways])

# %% [markdown]
# The first and the third write the same words, and the third runs less than a tenth of the tokens. It can do so only if
# nothing of what the model computed for the old tokens changes when a new one comes. Does nothing change?
#
# ## What has been read stays as it was
#
# The toy reads "dog bone", and then "it" comes. In the first layer, a key is the word's own two numbers (06), so those
# of dog and bone stay. In the next layer, a key is made of what the first layer has left in the stream: the word plus
# its mean of values (04, 06). Dog sees only itself and becomes (2, 0). Bone asks nothing, takes an even share of dog
# and bone, and becomes (0.5, 1.5).
#
# **Guess first:** "it" is read as well. Which of the two vectors change, with the mask of chapter 06? And without it?


# %% tags=["hide-output"]
W_q = np.array([[4, 0], [0, 0]])  # as in 06: “who is alive?”, and keys and values are the word's own numbers


def layer(x, masked=True):
    """The toy's attention, added to the stream: what the next layer makes its keys and values of."""
    z = x @ W_q.T @ x.T / np.sqrt(2)
    if masked:
        z[np.triu_indices(len(x), 1)] = -np.inf
    e = np.exp(z)
    return x + e / e.sum(axis=1, keepdims=True) @ x


for masked, name in ((True, "with the mask"), (False, "without it")):
    before, after = layer(VECTORS[:2], masked), layer(VECTORS, masked)
    for word, old, new in zip(WORDS, before, after):
        print(f"{name:<14} {word:<5} {old.round(2)}, after “it” has come {new.round(2)}")
np.testing.assert_allclose(layer(VECTORS)[:2], layer(VECTORS[:2]))

# %% [markdown]
# With the mask the past does not know the future, so the future cannot change it. Without it, "it" pulls at the dog
# (the bone stays by luck: the even mean of dog, bone and "it" is that of dog and bone). The mask was there for
# training. That a model can write cheaply follows from it.
#
# The same question to the real model: five tokens, and the same five at the beginning of a longer text. By how much do
# their keys differ, layer by layer?
#
# **Guess first:** without the mask, in which layer is the first difference?


# %% tags=["hide-output"]
def without_mask(q, k, v, positions):
    return FAST.attention_forward(q, k, v, np.full_like(positions, positions.max()))  # every query stands at the end


short = tokenizer.encode("The capital of France is")
long = short + tokenizer.encode(" Paris, and the capital of Spain is Madrid")
moved = {}
for name, ops in (("with the mask", FAST), ("without it", FAST._replace(attention_forward=without_mask))):
    kept = []
    for text in (short, long):
        reading = exact_session(ops)
        reading.feed(text)
        kept.append(reading.cache.k[:, 0, :, : len(short)])  # (layer, key head, position, head_dim)
    moved[name] = np.abs(kept[0] - kept[1]).max(axis=(1, 2, 3))
    print(f"{name:<14} largest change of a key: layer 0 {moved[name][0]:.4f}, layer 1 {moved[name][1]:.4f}, ", end="")
    print(f"all layers {moved[name].max():.4f}; keys up to {np.abs(kept[0]).max():.0f}")
assert moved["with the mask"].max() < 1e-2 < moved["without it"][1]

# %% [markdown]
# With the mask nothing changes but the last digits of float32, which depend on how many rows a product has. Without it,
# layer 0 is right, since its keys have not met anybody yet, and from layer 1 on everything moves.
#
# So what has been computed can be kept. All of it? For the query at [position](glossary.md#position) $m$, one head
# computes (06)
#
# $$ y = \sum_{s \le m} p_s\, v_s, \qquad p_s = \frac{e^{z_s}}{\sum_{r \le m} e^{z_r}}, \qquad
#    z_s = \frac{q \cdot k_s}{\sqrt h} . $$
#
# There are as many $k_s$ and $v_s$ as tokens, and a single $q$, the new token's. Old queries have had their answers.
# What is kept are the keys and values of all tokens, in every layer: the [KV cache](glossary.md#kv-cache). Keys are
# kept rotated (05), because the position of a token does not change either.
#
# ## In plain Python a cache is two lists
#
# One token at a time: put its key and value to the others, then answer its query. No mask is needed. What stands in the
# lists is the past.


# %%
def answer_loops(query, keys, values):
    """One query (h,), keys and values (S, h): as in chapter 06."""
    scores = [sum(a * b for a, b in zip(query, key)) / math.sqrt(len(query)) for key in keys]
    shares = [math.exp(score) for score in scores]
    return [sum(share * value[i] for share, value in zip(shares, values)) / sum(shares) for i in range(len(query))]


def step_loops(query, key, value, keys, values):
    """One new token of one head; the lists are the cache, and grow by one."""
    keys.append(key)
    values.append(value)
    return answer_loops(query, keys, values)


keys, values = [], []
for word, x in zip(WORDS, VECTORS):
    y = step_loops((W_q @ x).tolist(), x.tolist(), x.tolist(), keys, values)
    print(f"{word:<5} gets {np.round(y, 2)}, kept keys: {len(keys)}")
np.testing.assert_allclose(y, [0.72, 0.28], atol=0.005)  # what chapter 06 computed for all words at once

# %% [markdown]
# ## A triangle of work becomes a line
#
# Written without a cache, a text of $T$ tokens runs $1 + 2 + \dots + T = T(T + 1)/2$ of them. With it, $T$. Each row of
# the picture is the step that reads one more word of the sentence.

# %% tags=["hide-input"]
words = SENTENCE.rstrip(".").split()
n = len(words)
run = {"without a cache": np.tril(np.ones((n, n))), "with a cache": np.eye(n)}
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.4), sharex=True, sharey=True)
for axis, name in zip(axes, run):
    for row in range(n):
        for column in range(row + 1):
            runs = bool(run[name][row, column])
            colour = COLOURS[1] if runs else "#cfdcec"
            axis.add_patch(plt.Rectangle((column - 0.45, row - 0.45), 0.9, 0.9, color=colour))
    axis.set(xlim=(-0.6, n - 0.4), ylim=(n - 0.4, -0.6), aspect="equal", xlabel="token")
    axis.set_xticks(range(n), words, rotation=90)
    axis.set_yticks(range(n), [str(i + 1) for i in range(n)])
    axis.grid(False)
    claim(axis, f"{name}: {int(run[name].sum())} tokens run", holds=run[name].sum() in (n, n * (n + 1) // 2))
axes[0].set_ylabel("step")
axes[1].plot([], [], "s", color=COLOURS[1], label="runs through the model")
axes[1].plot([], [], "s", color="#cfdcec", label="kept: key and value are read")
axes[1].legend(loc="upper right", fontsize=8)
show(
    figure,
    f"Two grids, a row for each step, a column for each of {n} words. Left, without a cache, the whole lower triangle "
    f"is coloured: {n * (n + 1) // 2} tokens run. Right, only the diagonal is, {n} tokens; the triangle below it is "
    "pale: kept keys and values that are read.",
)

# %% [markdown]
# The pale fields are not free: a query meets all of them. A token costs one multiplication for each weight, 134.5
# million. To them, each token before it adds two for every number of a head, one for the score and one for the value:
# with 9 heads of 64 numbers in 30 layers, 2 · 9 · 64 · 30 = 34,560.
#
# **Guess first:** 512 tokens have been read. How many times as much work is the next one without a cache? At how many
# tokens, with a cache, does attention cost as much as all weights?


# %% tags=["hide-output"]
def multiplications(n_new, n_seen):
    """Of n_new tokens after n_seen others: every weight once a token, and attention for every pair."""
    pairs = n_new * n_seen + n_new * (n_new + 1) // 2
    return n_new * count_parameters(config) + 2 * config.n_layers * config.n_heads * config.head_dim * pairs


lengths = 2 ** np.arange(4, 14)
again = np.array([multiplications(int(n) + 1, 0) for n in lengths])
once = np.array([multiplications(1, int(n)) for n in lengths])
per_pair = 2 * config.n_layers * config.n_heads * config.head_dim
print(f"after 512 tokens: {again[5] / once[5]:.0f} times; as much as the weights at", end=" ")
print(f"{count_parameters(config) / per_pair:,.0f} tokens")

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(8, 3.8))
axis.loglog(lengths, again / 1e9, "o-", base=2, color=COLOURS[1], label="without a cache")
axis.loglog(lengths, once / 1e9, "o-", base=2, color=COLOURS[0], label="with a cache")
axis.axhline(count_parameters(config) / 1e9, color=COLOURS[5], linestyle=":", label="the weights alone")
axis.set_xticks(lengths, [str(n) for n in lengths])
axis.set_yscale("log", base=10)
axis.set(xlabel="tokens before it", ylabel="multiplications for the next token ($10^9$)")
claim(axis, "With a cache the 513th token costs an eighth more than the 17th", holds=1.1 < once[5] / once[0] < 1.15)
axis.legend()
show(
    figure,
    "Work for the next token against the tokens before it, both axes logarithmic. Without a cache a straight line that "
    f"rises from {again[0] / 1e9:.1f} to {again[-1] / 1e9:.0f} thousand million multiplications. With a cache the line "
    f"is flat at {once[0] / 1e9:.2f} and bends up only at the right, to {once[-1] / 1e9:.2f} at {lengths[-1]} tokens.",
)

# %% [markdown]
# It is 483 times and not 513, because most of the 513 tokens have fewer keys to meet. And the clock? The next token
# after texts of several lengths, both ways, on the model as it is shipped:

# %% tags=["varies"]
filler = "The cache grows with the text. It holds a key and a value for each token, in every layer and key head. "
page = tokenizer.encode(filler * 24)[:512]


def milliseconds(function, repeats):
    best = np.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
    return 1e3 * best


llm.session().feed(page[:16])  # the first time, kernels are loaded
sizes, without, cached = [16, 32, 64, 128, 256, 512], [], []
for n in sizes:
    reading = llm.session()
    without.append(milliseconds(lambda n=n, s=reading: s.feed(page[:n]), 1))  # all of it runs
    cached.append(milliseconds(lambda s=reading: s.step(5), 5))  # one token runs
rows = [(n, f"{a:.0f}", f"{b:.1f}") for n, a, b in zip(sizes, without, cached)]
table(("tokens before it", "without a cache (ms)", "with a cache (ms)"), rows)

# %% [markdown]
# These are the numbers of the machine that ran this notebook. With a cache the time hardly depends on the text. Without
# it, the 512 tokens do not take 483 times as long as one: tokens that run together are cheaper, as will be seen below.
#
# ## Doubling moves fewer than two positions a token
#
# Lists of Python numbers are slow (01), and an array has a fixed length. How long will the text be? Nobody knows. An
# array for all 8192 positions is wasted on a short answer. An array that always fits exactly must be moved for every
# token. In between: when the room is used up, move to an array twice as long.
#
#     dog bone                   room for 2, full
#     dog bone it   ·            "it" does not fit: 2 positions move, room for 4
#     dog bone it   was          fits
#     dog bone it   was hungry · · ·       4 positions move, room for 8
#
# ### Now you · `append_with_growth` · 15 minutes
#
# `buffer` (K, capacity, head_dim), of which the first `length` positions are filled, and `new` (K, t, head_dim) → the
# buffer and the new length. While there is room, write into `buffer` itself. Twice as long is not always enough: many
# tokens may come at once.

# %%
append_with_growth = now_you("append_with_growth")


# %% tags=["solution"]
def book_append_with_growth(buffer, length, new):
    needed, capacity = length + new.shape[1], buffer.shape[1]
    if needed > capacity:
        larger = np.zeros((buffer.shape[0], max(needed, 2 * capacity), buffer.shape[2]), buffer.dtype)
        larger[:, :capacity] = buffer
        buffer = larger
    buffer[:, length:needed] = new
    return buffer, needed


# %% [markdown]
# **Guess first:** 1000 tokens come one by one. An exact fit moves 0 + 1 + … + 999 = 499,500 positions. How many does
# doubling move, from room for 2 on?

# %% tags=["hide-output"]
buffer, length, n_moved = np.zeros((1, 2, 1), np.float32), 0, 0
for t in range(1000):
    before = buffer
    buffer, length = append_with_growth(buffer, length, np.full((1, 1, 1), t, np.float32))
    n_moved += 0 if buffer is before else before.shape[1]
np.testing.assert_array_equal(buffer[0, :length, 0], np.arange(1000))
print(f"room for {buffer.shape[1]}, {n_moved} positions moved in all")

# %% [markdown]
# It is 2 + 4 + 8 + … + 512: each move is as long as all moves before it together, and two more. The price is room that
# stands empty. SmolLM2 keeps 2 · 30 · 3 · 64 numbers for a token (07), 46,080 bytes in float32. The package's cache
# begins with room for 256:

# %% tags=["hide-input"]
growing, filled, held = KVCache(config), [0], []
held.append(growing.nbytes / 1e6)
for _ in range(4096 // 32):
    growing.reserve(32)
    growing.advance(32)
    filled.append(int(growing.lengths[0]))
    held.append(growing.nbytes / 1e6)
used = np.array(filled) * config.kv_cache_bytes(bytes_per_number=4) / 1e6
held = np.array(held)
figure, axis = plt.subplots(figsize=(8, 3.6))
axis.step(filled, held, where="pre", color=COLOURS[0], label="held")
axis.plot(filled, used, color=COLOURS[1], label="filled")
axis.set(xlabel="tokens", ylabel="memory (MB)")
claim(
    axis,
    "From 256 tokens on, held is less than twice what is filled",
    holds=np.all(held[8:] < 2 * used[8:] + 1e-9) and np.all(held >= used),
)
axis.legend()
show(
    figure,
    "Megabytes of keys and values against tokens. What is filled is a straight line from 0 to "
    f"{used[-1]:.0f}; what is held is a staircase above it, with steps at 256, 512, 1024 and 2048 tokens, each twice "
    f"as high as the one before, that meets the line at {filled[-1]} tokens.",
)

# %% [markdown]
# ## Room where nothing stands still takes weight
#
# The array is now longer than the text, and behind the text it holds zeros. Zeros are harmless, one might think.
#
# **Guess first:** dog, bone and "it" lie in an array with room for 8, and "it" asks all 8 places. A key of zeros has
# the score 0. What share of the weight goes to places where nothing stands?

# %% tags=["hide-output"]
room = np.zeros((8, 2))
room[:3] = VECTORS
e = np.exp(room @ W_q @ VECTORS[2] / np.sqrt(2))
print(f"dog, bone, it: {(e[:3] / e.sum()).round(2)}; five empty places together: {e[3:].sum() / e.sum():.2f}")
print("“it” becomes", (e / e.sum() @ room).round(2), "and should become", np.round(y, 2))

# %% [markdown]
# A score of 0 is a score like others, and $e^0 = 1$. In a real cache it may be worse than zeros: what lies there may be
# left over from another text. So the array is cut at the length, which has to be kept as well.
#
# With several texts at once, each has its own length. A new token of a text that holds `n` tokens stands at position
# `n`, the first free one; its key and value go there, and its query sees positions 0 to `n`, its own among them:
#
#     lengths 2, 0      text 0   dog  bone NEW  ·   ·       sees 3
#                       text 1   NEW   ·    ·   ·   ·       sees 1
#
# ### Now you · `attention_decode_step` · 25 minutes
#
# `q` (B, H, head_dim), `k_new` and `v_new` (B, K, head_dim), `k_cache` and `v_cache` (B, K, S, head_dim), `lengths`
# (B,) → `y` (B, H, head_dim). Key and value are written into the cache. Key heads are shared by neighbours (07).
# `minillama learn speed attention_decode_step` shows your time beside the package's.

# %%
attention_decode_step = now_you("attention_decode_step")


# %% tags=["solution"]
def book_attention_decode_step(q, k_new, v_new, k_cache, v_cache, lengths):
    y = np.empty_like(q)
    group = q.shape[1] // k_cache.shape[1]
    for b, n in enumerate(lengths):
        k_cache[b, :, n], v_cache[b, :, n] = k_new[b], v_new[b]
        k = np.repeat(k_cache[b, :, : n + 1], group, axis=0)  # (H, n + 1, head_dim)
        v = np.repeat(v_cache[b, :, : n + 1], group, axis=0)
        scores = np.einsum("hd,hsd->hs", q[b], k) / np.sqrt(q.shape[2])
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        y[b] = np.einsum("hs,hsd->hd", weights / weights.sum(axis=-1, keepdims=True), v)
    return y


# %% [markdown]
# The same step as a kernel in Numba, for one text. Copies of shared keys are not needed in a loop: query head `j` reads
# key head `j // group`. And one pass is enough, with sums that are repaired when a larger score comes (06).


# %%
@njit(fastmath={"reassoc", "contract", "nsz", "arcp"})
def step_kernel(q, k_new, v_new, k_cache, v_cache, n):
    """q (H, h), k_new and v_new (K, h), caches (K, S, h) with n tokens -> (H, h)."""
    group, scale = len(q) // len(k_cache), np.float32(1 / np.sqrt(q.shape[1]))
    k_cache[:, n], v_cache[:, n] = k_new, v_new
    y = np.zeros_like(q)
    for j in range(len(q)):
        g, largest, total = j // group, np.float32(-np.inf), np.float32(0)
        for s in range(n + 1):
            score = np.float32(0)
            for i in range(q.shape[1]):
                score += q[j, i] * k_cache[g, s, i]
            score *= scale
            if score > largest:
                repair = np.exp(largest - score)
                total, largest = total * repair, score
                for i in range(q.shape[1]):
                    y[j, i] *= repair
            weight = np.exp(score - largest)
            total += weight
            for i in range(q.shape[1]):
                y[j, i] += weight * v_cache[g, s, i]
        for i in range(q.shape[1]):
            y[j, i] /= total
    return y


# %% [markdown]
# Twelve tokens, once as a whole through PyTorch's causal attention, and token by token in the three ways. The arrays
# begin full of thousands, so that a place behind the text that counts would show.

# %%
T, H, K, h = 12, 6, 2, 16
q = rng.normal(size=(H, T, h)).astype(np.float32)
k, v = rng.normal(size=(2, K, T, h)).astype(np.float32)
by_lists = np.zeros((H, T, h))
for j in range(H):
    keys, values, g = [], [], j // (H // K)
    for t in range(T):
        by_lists[j, t] = step_loops(q[j, t].tolist(), k[g, t].tolist(), v[g, t].tolist(), keys, values)
expected = by_lists
if torch is not None:
    q64, k64, v64 = (torch.tensor(a[None], dtype=torch.float64) for a in (q, k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(q64, k64, v64, is_causal=True, enable_gqa=True)[0]
show_error("lists", by_lists, expected, 1e-5)
k_cache, v_cache = np.full((2, 1, K, 20, h), 1000, np.float32)
steps = [
    attention_decode_step(q[None, :, t], k[None, :, t], v[None, :, t], k_cache, v_cache, np.array([t]))[0]
    for t in range(T)
]
show_error("arrays", np.stack(steps, axis=1), expected, 1e-5)
k_cache, v_cache = np.full((2, K, 20, h), 1000, np.float32)
steps = [step_kernel(*(a[:, t].copy() for a in (q, k, v)), k_cache, v_cache, t) for t in range(T)]
show_error("the kernel", np.stack(steps, axis=1), expected, 1e-5)

# %% [markdown]
# One step after 4000 tokens, in the shape of a layer of SmolLM2:

# %% tags=["varies"]
H, K, h, n = 9, 3, 64, 4000
q1 = rng.normal(size=(H, h)).astype(np.float32)
k1, v1 = rng.normal(size=(2, K, h)).astype(np.float32)
k_cache, v_cache = rng.normal(size=(2, K, n + 1, h)).astype(np.float32)
keys, values = k_cache[0, :n].tolist(), v_cache[0, :n].tolist()
batch = [a[None] for a in (q1, k1, v1, k_cache, v_cache)]
asked = (q1[None, :, None], k_cache[None], v_cache[None], np.array([[n]]))
rows = [
    ("lists", H * milliseconds(lambda: step_loops(q1[0].tolist(), k1[0].tolist(), v1[0].tolist(), keys, values), 1)),
    ("NumPy: attention_decode_step", milliseconds(lambda: attention_decode_step(*batch, np.array([n])), 10)),
    ("Numba: step_kernel", milliseconds(lambda: step_kernel(q1, k1, v1, k_cache, v_cache, n), 10)),
    ("the package", milliseconds(lambda: FAST.attention_forward(*asked), 10)),
]
table(("one step after 4000 tokens", "milliseconds"), [(name, f"{ms:.2f}") for name, ms in rows])

# %% [markdown]
# The lists did one head, and are scaled up. The package's kernel takes the query heads that share a key together, so
# that a key is read once for three of them, and 16 numbers at a time.
#
# ## A prompt comes in pieces, an answer token by token
#
# The words of a [prompt](glossary.md#prompt) are all known, so they can run together, as in training. This reading is
# called [prefill](glossary.md#prefill); writing, one token after another, is [decode](glossary.md#decode). A long
# prompt goes in pieces, [chunks](glossary.md#chunk): memory stays bounded, and it can be interrupted.
#
# In a chunk there are several queries again, so a mask is needed again. The rule of chapter 06 covers it: a query at
# position $m$ sees key $s$ where $s \le m$. Two texts run a chunk of three tokens here, one after four kept tokens and
# one after one, and the array has room for nine:
#
#     text 0, position 4   ■ ■ ■ ■ ■ · · · ·        text 1, position 1   ■ ■ · · · · · · ·
#     text 0, position 5   ■ ■ ■ ■ ■ ■ · · ·        text 1, position 2   ■ ■ ■ · · · · · ·
#     text 0, position 6   ■ ■ ■ ■ ■ ■ ■ · ·        text 1, position 3   ■ ■ ■ ■ · · · · ·
#
# ### Now you · `chunk_mask` · 10 minutes
#
# `positions` (B, T) and `n_keys` → True and False, (B, T, n_keys).

# %%
chunk_mask = now_you("chunk_mask")


# %% tags=["solution"]
def book_chunk_mask(positions, n_keys):
    return np.arange(n_keys) <= positions[:, :, None]


# %% tags=["hide-input"]
n_keys, cuts = 15, ((0, 5), (5, 9), (9, 12))
masks = [np.asarray(chunk_mask(np.arange(first, end)[None], n_keys))[0] for first, end in cuts]
figure, axis = plt.subplots(figsize=(8, 4.4))
for (first, end), mask, colour in zip(cuts, masks, (COLOURS[0], COLOURS[2], COLOURS[4])):
    for row, column in np.argwhere(mask):
        axis.add_patch(plt.Rectangle((column - 0.45, first + row - 0.45), 0.9, 0.9, color=colour))
    axis.text(-0.3, end - 1, f"chunk of {end - first}", color="white", va="center", weight="bold")
axis.axvline(11.5, color=COLOURS[1], linewidth=2)
axis.text(13, 5.5, "room", color=COLOURS[1], ha="center", va="center")
axis.set(
    xlim=(-0.6, 14.6), ylim=(11.6, -0.6), aspect="equal", xlabel="key: place in the cache", ylabel="query: position"
)
axis.set(xticks=range(n_keys), yticks=range(12))
axis.grid(False)
whole_mask = np.asarray(chunk_mask(np.arange(12)[None], n_keys))[0]
claim(axis, "The masks of chunks are rows of one triangle", holds=np.array_equal(np.concatenate(masks), whole_mask))
show(
    figure,
    "A grid of 12 queries and 15 keys. Rows 0 to 4 are a small triangle in one colour; rows 5 to 8 reach back to key 0 "
    "and end in a small staircase, in a second colour; rows 9 to 11 likewise, in a third. Together they are one large "
    "triangle. The last three keys, marked as room, are seen by nobody.",
)

# %% [markdown]
# So it cannot matter where a text is cut. The real model reads the story of the dog in pieces of several sizes:

# %%
story = tokenizer.encode(f"{SENTENCE} The next day it could not find the bone, and it was sad.")
whole = forward(params, config, np.array([story]))[0][0]


def read_in_chunks(ids, size, ops=FAST):
    """Logits of all tokens, read `size` at a time."""
    reading = exact_session(ops)
    return np.concatenate([reading.feed_all(ids[first : first + size]) for first in range(0, len(ids), size)])


for size in (1, 5, 16):
    show_error(f"logits, chunks of {size}", read_in_chunks(story, size), whole, 1e-2, against="the whole text at once")

# %% [markdown]
# **Guess first:** a token needs the same multiplications in a prompt as in an answer. Is a prompt read faster than an
# answer is written?

# %% tags=["hide-output", "varies"]
chunk_sizes, rates = [1, 4, 16, 64, 256], []
for size in chunk_sizes:
    n, reading = max(64, size), llm.session()
    begin = time.perf_counter()
    for first in range(0, n, size):
        reading.feed(page[first : first + size])
    rates.append(n / (time.perf_counter() - begin))
print("tokens a second, by size of the chunk:", {size: round(rate) for size, rate in zip(chunk_sizes, rates)})

# %% tags=["hide-input", "hide-output", "varies"]
figure, axis = plt.subplots(figsize=(8, 3.2))
axis.semilogx(chunk_sizes, rates, "o-", base=2)
axis.annotate("decode", (1, rates[0]), (0, -16), textcoords="offset points", ha="center")
axis.annotate("prefill", (256, rates[-1]), (0, 8), textcoords="offset points", ha="center")
axis.set_xticks(chunk_sizes, [str(size) for size in chunk_sizes])
axis.set(xlabel="tokens in a chunk", ylabel="tokens a second", ylim=(0, 1.25 * max(rates)))
claim(axis, "Tokens that run together go faster", holds=rates[-1] > rates[0])
show(
    figure,
    "Tokens a second against the size of the chunk, on a logarithmic axis. "
    + ", ".join(f"{rate:.0f} for {size}" for size, rate in zip(chunk_sizes, rates))
    + ": the highest point is at the right, the line need not rise everywhere.",
)

# %% [markdown]
# A step of one token reads all weights from memory for that one token, and is [memory-bound](glossary.md#memory-bound)
# (01). A chunk reads each weight once for all its tokens. (A few tokens at a time may come out slower than one: for a
# single token the package has a kernel of the whole model, several go layer by layer.)
#
# ## The first other token makes all after it worthless
#
# A conversation is read again and again: each turn begins with all turns before. A cache can go back, too. Keep a
# smaller length, and what lies behind it is never read, and overwritten later. The toy has read "dog bone it". Now it
# should hold "bone bone it".
#
# **Guess first:** two of three tokens agree, and stand at the same places. In the next layer, which of the three have
# the vector that they had?

# %% tags=["hide-output"]
for name, rows in (("dog bone it", [0, 1, 2]), ("bone bone it", [1, 1, 2])):
    print(f"{name:<13}", "  ".join(str(vector) for vector in layer(VECTORS[rows]).round(2)))

# %% [markdown]
# None. Each has taken something of the token that is now another one. A key at position $m$ belongs to *all* tokens up
# to $m$: what can stay is the common beginning, and there it ends, even where single tokens agree again.
#
# ### Now you · `plan_rewind` · 10 minutes
#
# The tokens in the cache and the tokens that are wanted → how many positions stay, and which tokens must run. At least
# one must, the last: its logits are not kept. (Not on the core path.)

# %%
plan_rewind = now_you("plan_rewind")


# %% tags=["solution"]
def book_plan_rewind(cached, wanted):
    keep = 0
    while keep < min(len(cached), len(wanted) - 1) and cached[keep] == wanted[keep]:
        keep += 1
    return keep, wanted[keep:]


# %% [markdown]
# The package's `Session` does this in `continue_with`. Three texts one after another in one session:

# %%
session = exact_session()
for text in ("The capital of France is", "The capital of France is Paris. Its river is", "The capital of Spain is"):
    wanted = tokenizer.encode(text)
    keep, feed = plan_rewind(session.tokens, wanted)
    logits = session.continue_with(wanted)
    assert session.reused == keep
    print(f"{text}: {keep} stay, {len(feed)} run, next {tokenizer.decode([int(logits.argmax())])!r}")
    show_error("    logits", logits, forward(params, config, np.array([wanted]))[0][0, -1], 1e-2, against="no cache")

# %% [markdown]
# And if one keeps all that agrees? The cache holds a sentence about Spain. One token of it is exchanged,
# "France" for "Spain", at its place; all keys behind it stay, and only the last token runs again, for its logits.
#
# **Guess first:** which language does the model name?

# %% tags=["hide-output"]
about = {
    name: tokenizer.encode(f"People who live in {name} speak a language that is called") for name in ("Spain", "France")
}
place = [a == b for a, b in zip(about["Spain"], about["France"])].index(False)
assert len(about["Spain"]) == len(about["France"])
runner = runner_for(params, config, exact=True)
cache = KVCache(config)
runner.extend(np.array([about["Spain"]]), cache)
cache.truncate(place)  # back to before the country
runner.extend(np.array([about["France"][place : place + 1]]), cache)
cache.advance(len(about["Spain"]) - place - 2)  # and forward again, over keys that were computed after Spain
stale = runner.extend(np.array([about["France"][-1:]]), cache)[0]
fresh = {name: forward(params, config, np.array([ids]))[0][0, -1] for name, ids in about.items()}
for name, logits in (*fresh.items(), ("France, keys of Spain behind it", stale)):
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    found = [f"{word!r} {shares[tokenizer.encode(word)[0]]:.3f}" for word in (" French", " Spanish")]
    print(f"{name:<32} first {tokenizer.decode([int(logits.argmax())])!r:<11}", ", ".join(found))
off = np.abs(stale - fresh["France"]).max()
print(f"largest change of a logit by the stale keys: {off:.1f}")
assert off > 0.5

# %% [markdown]
# French, still: attention finds the country itself at its place. But Spanish has more than three times the share it
# should have, and a logit is off by 1.4, where rounding gave less than 0.0001. That makes it a dangerous mistake: the
# answers look right, and are those of a text that nobody wrote.
#
# ## A window forgets the dog
#
# Can a cache be kept from growing at all? Let a query see only the last `window` keys, its own among them: a
# [sliding window](glossary.md#sliding-window). Then room for `window` tokens is enough for a text of any length.
#
# **Guess first:** with a window of 2, "it" no longer sees the dog. What does it become, having asked who is alive?

# %% tags=["hide-output"]
print("“it” sees bone and it:", np.round(answer_loops((W_q @ VECTORS[2]).tolist(), *2 * [VECTORS[1:].tolist()]), 2))

# %% [markdown]
# More bone than dog: it takes what it can get. What happens to the array? The newest token overwrites the oldest, and
# nothing else moves: position p lies in slot p % `window`. Such an array is a [ring buffer](glossary.md#ring-buffer).
# With a window of 3:
#
#     slot             0  1  2
#     after 3 tokens   0  1  2     the positions that are held
#     after 4 tokens   3  1  2
#
# ### Now you · `ring_slots` · 10 minutes
#
# The number of tokens seen and the window → the position that each slot holds, −1 where none does. (Not on the core
# path.)

# %%
ring_slots = now_you("ring_slots")


# %% tags=["solution"]
def book_ring_slots(n_seen, window):
    slots = np.full(window, -1)
    for position in range(max(0, n_seen - window), n_seen):
        slots[position % window] = position
    return slots


# %%
for n_seen in (1, 3, 4, 5, 9):
    print(f"after {n_seen} tokens", ring_slots(n_seen, 3))

# %% [markdown]
# The slots are not in the order of the text. Attention does not mind: it sums over keys in any order, and where a token
# stands is in its key, by the rotation (05).
#
# For a chunk of several queries the same is a mask with a second condition. Key $s$ is seen from position $m$ where
#
# $$ 0 \le m - s < \mathit{window} . $$
#
# ### Now you · `sliding_window_attention` · 20 minutes
#
# `q` (B, H, T, head_dim), `k` and `v` (B, K, S, head_dim), `positions` (B, T), `window` → `y` like `q`, with shared key
# heads (07). When yours passes, the real model below runs on it. (Not on the core path.)

# %%
sliding_window_attention = now_you("sliding_window_attention")


# %% tags=["solution"]
def book_sliding_window_attention(q, k, v, positions, window):
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)  # (B, H, S, head_dim)
    scores = q @ k.swapaxes(2, 3) / q.dtype.type(np.sqrt(q.shape[3]))
    distance = positions[:, :, None] - np.arange(k.shape[2])  # (B, T, S)
    visible = (distance >= 0) & (distance < window)
    scores = np.where(visible[:, None], scores, q.dtype.type(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


# %% [markdown]
# Both give the same: a ring of 5 slots, token by token, and the mask for all 30 tokens at once.

# %%
q1, k1, v1 = rng.normal(size=(3, 30, 8)).astype(np.float32)
ring_k, ring_v, window = np.zeros((5, 8)), np.zeros((5, 8)), 5
by_ring = []
for m in range(30):
    ring_k[m % window], ring_v[m % window] = k1[m], v1[m]
    held = np.asarray(ring_slots(m + 1, window)) >= 0
    by_ring.append(answer_loops(q1[m].tolist(), ring_k[held].tolist(), ring_v[held].tolist()))
by_mask = sliding_window_attention(q1[None, None], k1[None, None], v1[None, None], np.arange(30)[None], window)[0, 0]
show_error("a window of 5, by the mask", by_mask, np.array(by_ring), 1e-5, against="the ring")

# %% [markdown]
# Mistral 7B was trained with a window (arXiv:2310.06825); LLaMA 2 and SmolLM2 were not. What does such a model lose? A
# story of 134 tokens, its loss (03) for several windows. In a second try, one of the keys that a query may see is that
# of the first token, at the cost of the oldest in the window. The folded cell puts both into the model.

# %% tags=["hide-input"]
anna = np.array(
    tokenizer.encode(
        "Anna lived in a small house near the sea with her brother Tom and an old dog called Rufus. Every morning they "
        "walked along the beach, looked for shells and counted the boats. One day Rufus did not come back. Anna and "
        "Tom searched the whole beach, asked the fishermen, and called his name until it was dark. In the evening "
        "there was a noise at the door. Outside stood a fisherman, and beside him, wet and happy, sat Rufus. Anna "
        "thanked the fisherman, and Tom gave the dog his dinner. From that day on, every morning, they walked along "
        "the beach together: Anna, Tom and Rufus."
    )
)


def attend(q, k, v, visible):
    """Attention with any mask (B, T, S), for key heads that are shared."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.where(visible[:, None], q @ k.swapaxes(2, 3) / np.float32(math.sqrt(q.shape[3])), np.float32(-np.inf))
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True) @ v


def loss_of(logits, ids):
    """The mean of -log p (03) of all tokens but the first, from logits (T, V)."""
    z = logits[:-1].astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    return np.mean(np.log(np.exp(z).sum(axis=-1)) - z[np.arange(len(z)), ids[1:]])


def with_window(window):
    return lambda q, k, v, positions: (sliding_window_attention(q, k, v, positions, window), None)


def with_window_and_first(window):
    """The first token's key, and the last window - 1: as many keys as with the window."""

    def attention(q, k, v, positions):
        distance = positions[:, :, None] - np.arange(k.shape[2])
        visible = (distance >= 0) & ((distance < window - 1) | (np.arange(k.shape[2]) == 0))
        return attend(q, k, v, visible), None

    return attention


# %% [markdown]
# **Guess first:** the whole text costs 3.0 nats a token, and a model that knows nothing 10.8. What does a window of 32
# cost? And how much comes back with the first token's key?

# %% tags=["hide-output"]
windows = [8, 16, 32, 64]
losses = {"the last keys": [], "the first and the last keys": []}
for window in windows:
    for name, attention in zip(losses, (with_window(window), with_window_and_first(window))):
        logits = forward(params, config, anna, FAST._replace(attention_forward=attention))[0][0]
        losses[name].append(loss_of(logits, anna))
everything = loss_of(forward(params, config, anna)[0][0], anna)
rows = [(window, *(f"{values[i]:.2f}" for values in losses.values())) for i, window in enumerate(windows)]
table((f"keys that a query sees, of {len(anna)}", *losses), [*rows, ("all", f"{everything:.2f}", "")])

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(8, 3.6))
for (name, values), colour in zip(losses.items(), COLOURS[1:]):
    axis.semilogx(windows, values, "o-", base=2, color=colour, label=name)
axis.axhline(everything, color=COLOURS[0], linestyle=":", label=f"all {len(anna)} keys")
axis.axhline(math.log(config.vocab_size), color=COLOURS[5], linestyle=":", label="knowing nothing")
axis.set_xticks(windows, [str(window) for window in windows])
axis.set(xlabel="keys that a query sees", ylabel="loss (nats a token)", ylim=(0, 11.5))
only, both = (np.array(values) for values in losses.values())
claim(
    axis,
    "The first token is worth more than many others",
    holds=np.all(both < only - 0.4) and both[0] < only[2],
)
axis.legend(fontsize=8)
show(
    figure,
    "Loss of a story against the number of keys that a query sees. With the last keys alone it falls slowly, from "
    f"{only[0]:.1f} at 8 keys over {only[2]:.1f} at 32 to {only[-1]:.1f} at 64. With the first key among them it is "
    f"{both[0]:.1f} at 8 and {both[2]:.1f} at 32, near the dotted line of all keys, {everything:.1f}.",
)

# %% [markdown]
# A window of 32 costs 1.3 nats more; with the first token in the place of the oldest, 0.4. Eight keys with the first
# among them do better than 32 without it. It is hardly what the first token says, "Anna". Heads that find nothing put
# their weight on it (06), and when it is gone, the weight has to fall on others. So a ring for such a model keeps the
# first few tokens for good, and lets the others slide (Xiao et al., arXiv:2309.17453).
#
# ## A test that reads in one piece finds nothing
#
# A wrong cache does not crash. The model goes on, in worse and worse English. Each line is the real model with one
# thing wrong. The loss is that of the story of the dog, once read in one piece and once in chunks of 4; the words are
# written after a prompt that was read in two chunks.
#
# **Guess first:** which of the four mistakes do not show when the text is read in one piece? And which does not show in
# the words?


# %% tags=["hide-output"]
def sees_the_room(q, k, v, positions):
    """The right keys, and all places of the array behind the last token."""
    at = np.arange(k.shape[2])
    return attend(q, k, v, (at <= positions[:, :, None]) | (at > positions.max())), None


def forgets_its_own(q, k, v, positions):
    return FAST.attention_forward(q, k, v, np.maximum(positions - 1, 0))


def mask_from_zero(q, k, v, positions):
    """The triangle of a text that begins with this chunk."""
    return FAST.attention_forward(q, k, v, positions - positions[:, :1])


def rope_from_zero(x, cos, sin, positions):
    return FAST.rope_forward(x, cos, sin, positions - positions[:, :1])


def continuation(ops):
    """Of a prompt in two chunks, by the most probable token each time."""
    reading = exact_session(ops)
    ids = tokenizer.encode("Water boils at 100 degrees Celsius, and it freezes at")
    reading.feed_all(ids[:6])
    reading.feed_all(ids[6:])
    written = [int(reading.logits.argmax())]
    for _ in range(5):
        reading.feed_all(written[-1:])
        written.append(int(reading.logits.argmax()))
    return tokenizer.decode(written)


variants = {
    "right": FAST,
    "the unused room is seen": FAST._replace(attention_forward=sees_the_room),
    "a token does not see itself": FAST._replace(attention_forward=forgets_its_own),
    "the mask of a chunk begins at key 0": FAST._replace(attention_forward=mask_from_zero),
    "RoPE counts from 0 in each chunk": FAST._replace(rope_forward=rope_from_zero),
}
cost, rows = {}, []
for name, ops in variants.items():
    cost[name] = [loss_of(read_in_chunks(story, size, ops), story) for size in (len(story), 4)]
    rows.append((name, *(f"{loss:.2f}" for loss in cost[name]), continuation(ops).replace("\n", " ")))
one_piece, in_chunks = (dict(zip(cost, column)) for column in zip(*cost.values()))
late = ("the mask of a chunk begins at key 0", "RoPE counts from 0 in each chunk")
assert all(abs(one_piece[name] - one_piece["right"]) < 1e-3 for name in late)
assert all(in_chunks[name] > in_chunks["right"] + 0.8 for name in late)
assert abs(one_piece["the unused room is seen"] - in_chunks["the unused room is seen"]) > 0.05
assert abs(one_piece["a token does not see itself"] - in_chunks["a token does not see itself"]) < 1e-3
assert 0.1 < in_chunks["a token does not see itself"] - in_chunks["right"] < 0.5
table(("cache", "loss, one piece", "chunks of 4", "Water freezes at ..."), rows)

# %% [markdown]
# The last two do not show at all in one piece, because a text that is read at once begins at 0. A test has to cut it.
# And one hardly shows in the words: without its own key a token still has its own vector in the stream (04), and the
# water freezes at the same place. Comparing chunks with the whole text, as above, finds the other three. This one is
# wrong in the same way in both. Right numbers from elsewhere find it, such as PyTorch's.
#
# The package's `KVCache` holds what was derived here for all layers, with room that grows and a length for each text,
# and its attention has the window. Both agree with the chapter:

# %%
cache = KVCache(config)
buffer, length = np.zeros((config.n_kv_heads, 256, config.head_dim), np.float32), 0
for size in (200, 57, 1, 400):
    new = rng.normal(size=(1, config.n_kv_heads, size, config.head_dim)).astype(np.float32)
    cache.reserve(size)
    cache.write(3, new, new, cache.positions(size))
    cache.advance(size)
    buffer, length = append_with_growth(buffer, length, new[0])
    assert (cache.capacity, cache.lengths[0]) == (buffer.shape[1], length)
np.testing.assert_array_equal(cache.k[3, 0, :, :length], buffer[:, :length])
print(f"layer 3 holds {length} tokens in room for {cache.capacity}, and so does the chapter's array")

q1 = rng.normal(size=(1, config.n_heads, 1, config.head_dim)).astype(np.float32)
ours = attention_decode_step(
    q1[:, :, 0], buffer[None, :, 300], buffer[None, :, 300], buffer[None].copy(), buffer[None].copy(), np.array([300])
)
theirs = FAST.attention_forward(q1, cache.k[3], cache.k[3], np.array([[300]]))[0]
show_error("one step", ours, theirs[:, :, 0], 1e-5, against="the package")
ours = sliding_window_attention(q1, cache.k[3], cache.k[3], np.array([[600]]), 100)
theirs = FAST.attention_forward(q1, cache.k[3], cache.k[3], np.array([[600]]), 100)[0]
show_error("a window of 100", ours, theirs, 1e-5, against="the package")

# %% [markdown]
# ## What you now know
#
# - With a causal mask nothing that was computed for a token changes when others come after it. So keys and values are
#   kept, and queries are not.
# - Writing T tokens runs T of them instead of T (T + 1) / 2. What still grows with the text is the reading of keys and
#   values.
# - Room is doubled when it is used up, and the length says where the text ends. Places behind it would take weight.
# - A mask compares positions, so a chunk is rows of the one triangle. A prompt's tokens share a reading of the weights.
# - A key belongs to all tokens before it: going back keeps the common beginning and nothing else.
# - A window bounds the cache, in a ring. A model that was not trained with one misses the first token most.
#
# ## Three questions
#
# 1. A chat has had five turns, each of 100 tokens of question and 100 of answer. Every turn sends the whole
#    conversation so far. How many tokens run in all, without anything kept between the turns (but with a cache inside
#    each), and with `plan_rewind`? Now a program puts the time of day at the beginning of every conversation that it
#    sends. What changes?
#
# <details>
# <summary>Answer</summary>
#
# Turn i reads 200 · (i − 1) + 100 tokens and writes 100: 200 · i together, so 200 · (1 + 2 + 3 + 4 + 5) = 3000. With
# what is kept, 1000 (and a token more or less at each seam, since the last token of an answer has not run). The time of
# day is another token near the beginning, so that nothing after it can stay: 3000 again.
#
# </details>
#
# 2. A query has the scores 2, 0 and 0 at the three tokens of its text. The array has room for 10, filled with zeros,
#    and a program forgets to cut it. How much weight should the first token get, and how much does it get? Somebody
#    fills the room with keys of −1000 in every number instead. Does that help?
#
# <details>
# <summary>Answer</summary>
#
# It should get 7.39 / 9.39 = 0.79, and gets 7.39 / 16.39 = 0.45. Large negative keys do not help: the score is −1000
# times the sum of the query's numbers, and where that sum is negative, the room takes all the weight. Only scores of −∞
# hide a key, or not reading it.
#
# </details>
#
# 3. SmolLM2 holds room for 256 tokens and doubles. A text of 1025 tokens has been read one by one. How many megabytes
#    are held, and how many positions were moved in all? What would the largest share of unused room be if the room grew
#    by half instead of doubling?
#
# <details>
# <summary>Answer</summary>
#
# Room for 2048 tokens of 46,080 bytes: 94 MB, of which 47 are used. Moved were 256 + 512 + 1024 = 1792 positions. Just
# after growing by half, a third of the new room is unused, instead of half of it; in exchange, it moves more often.
#
# </details>
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `chunk_mask` | The mask of a chunk | 1 | 10 | core |
# | `append_with_growth` | Room that grows | 2 | 15 | core |
# | `attention_decode_step` | One token with a cache; with a speed card | 3 | 25 | core |
# | `plan_rewind` | What can stay | 1 | 10 |  |
# | `ring_slots` | A cache that overwrites its oldest | 2 | 10 |  |
# | `sliding_window_attention` | A window that slides | 2 | 20 |  |
#
# <!-- end of the exercises -->
#
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# All texts here took the most probable token each time, and came out the same at every run.
# [11](11_sampling.ipynb) draws the next token instead.
