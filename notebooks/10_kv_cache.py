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
# **Goal.** Generate a token for the price of one token: keep the keys and values of everything already read, and know
# exactly when they may be used, how much room they take, and when they have to be thrown away.
#
# **Prerequisites.** Chapters 05 (RoPE), 06 and 07 (attention, grouped heads), 09 (the whole model).
# **Time.** About 75 minutes with the exercises.
#
# **Paper.** LLaMA 2 (arXiv:2307.09288), section 2.2 and appendix A.2.1, where the size of this cache is the reason for
# grouped-query attention. The memory of the 7B and 70B models is computed from their shapes here; the models
# themselves do not fit on a small machine, so the measurements are those of SmolLM2-135M.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minillama.config import named_config
from minillama.inference.runner import runner_for
from minillama.inference.session import Session, common_prefix
from minillama.kv_cache import KVCache
from minillama.layers.attention import attention_forward
from minillama.learn import check
from minillama.learn.book import COLOURS, load, show_error, style, table, torch
from minillama.model import forward
from minillama.ops import FAST
from minillama.params import count_parameters

style()
rng = np.random.default_rng(10)
llm = load()
config = llm.config

# %% [markdown]
# ## The idea
#
# A model writes one token at a time. Each new token is appended to the text, and the text goes through the model
# again. Almost all of that work has been done before: attention is causal, so what the model computes at position 5
# depends on tokens 0 to 5 and on nothing that comes later.
#
# The next cell looks at real keys. It reads five tokens, then the same five with more after them, and compares the
# keys of the first five positions in all 30 layers.

# %%
short = llm.tokenizer.encode("The capital of France is")
long = short + llm.tokenizer.encode(" Paris, and the capital of Spain is Madrid")
keys = []
for ids in (short, long):
    session = llm.session()
    session.feed(ids)
    keys.append(session.cache.k[:, 0, :, : len(short)])
print("keys of the first tokens:", keys[0].shape, "= (layers, key heads, positions, head_dim)")
show_error("keys of the beginning, text shorter and longer", keys[0], keys[1], 1e-2, against="the longer text")

# %% [markdown]
# They are the same numbers, as the largest error shows. So the model keeps the keys
# and values of all positions, in every layer: the *KV cache*. A new token then needs only its own query, key and
# value.
#
# ## The mathematics
#
# In one layer and one head, with $q_t$, $k_t$ and $v_t$ the query, key and value of position $t$ and $h$ the width of
# a head, attention gives
#
# $$y_t = \sum_{s \le t} p_{ts}\, v_s, \qquad
#   p_{ts} = \frac{e^{q_t \cdot k_s / \sqrt h}}{\sum_{r \le t} e^{q_t \cdot k_r / \sqrt h}} .$$
#
# Position $t$ uses the keys and values of all positions up to $t$, but only its *own* query. Queries are therefore
# not kept. Keys are kept after rotation by RoPE, since the position of a token does not change either.
#
# With $D$ the width of the model, a text of $n$ tokens costs about $n D^2$ multiplications for each weight matrix and
# $n^2 D$ for attention when it is read at once. Generated one by one *without* a cache, the sum over all steps is of
# the order $n^2 D^2 + n^3 D$. *With* a cache every step costs $D^2 + tD$, and the sum is again $n D^2 + n^2 D$. The
# price is memory: $2 \cdot L \cdot K \cdot h$ numbers for each position, with $L$ layers and $K$ key heads.

# %%
table(
    ["array", "shape", "in SmolLM2-135M", "kept?"],
    [
        ["query of the new tokens", "(B, H, T, h)", f"(1, {config.n_heads}, 1, {config.head_dim})", "no"],
        ["key of the new tokens, rotated", "(B, K, T, h)", f"(1, {config.n_kv_heads}, 1, {config.head_dim})", "yes"],
        ["value of the new tokens", "(B, K, T, h)", f"(1, {config.n_kv_heads}, 1, {config.head_dim})", "yes"],
        [
            "cache of all layers, keys and values each",
            "(L, B, K, capacity, h)",
            f"({config.n_layers}, 1, {config.n_kv_heads}, 256 …, {config.head_dim})",
            "grows",
        ],
        ["lengths", "(B,)", "(1,)", "yes"],
    ],
)

# %% [markdown]
# ## One token, in plain loops
#
# The new token of a sequence that holds `n` tokens stands at position `n`: the first free one. Its key and value are
# stored there, and its query sees the keys 0 to `n`, its own included.


# %%
def decode_step_loops(q, k_new, v_new, k_cache, v_cache, n):
    """q (H, h), k_new and v_new (K, h), caches (K, S, h): one token at position n."""
    n_heads, head_dim = q.shape
    group = n_heads // len(k_cache)
    k_cache[:, n], v_cache[:, n] = k_new, v_new
    y = np.zeros_like(q)
    for j in range(n_heads):
        g = j // group  # neighbouring query heads share a key head
        scores = [sum(q[j, d] * k_cache[g, s, d] for d in range(head_dim)) / head_dim**0.5 for s in range(n + 1)]
        largest = max(scores)
        weights = [np.exp(score - largest) for score in scores]
        for s in range(n + 1):
            for d in range(head_dim):
                y[j, d] += weights[s] / sum(weights) * v_cache[g, s, d]
    return y


# %% [markdown]
# ## In NumPy
#
# There is no mask: the new token is the last one, so everything stored is visible. A slice is enough. It must be a
# slice, though, because from position `n + 1` on the array holds nothing that belongs to this text.


# %%
def decode_step_numpy(q, k_new, v_new, k_cache, v_cache, n):
    k_cache[:, n], v_cache[:, n] = k_new, v_new
    k, v = k_cache[:, : n + 1], v_cache[:, : n + 1]  # (K, n + 1, h)
    grouped = q.reshape(len(k), -1, q.shape[1])  # (K, H / K, h)
    scores = grouped @ k.swapaxes(1, 2) / np.float32(q.shape[1] ** 0.5)  # (K, H / K, n + 1)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (weights / weights.sum(axis=-1, keepdims=True) @ v).reshape(q.shape)


# %% [markdown]
# ## In Numba
#
# A step reads every key and every value once and does very little with each: the memory is what it waits for. The
# compiled version therefore passes over keys and values together. It keeps the largest score so far, and when a
# larger one comes it scales down what has been summed (the online softmax of chapter 06).


# %%
@njit
def decode_step_numba(q, k_new, v_new, k_cache, v_cache, n):
    n_heads, head_dim = q.shape
    group, scale = n_heads // k_cache.shape[0], np.float32(1 / np.sqrt(head_dim))
    k_cache[:, n], v_cache[:, n] = k_new, v_new
    y = np.zeros_like(q)
    for j in range(n_heads):
        g, largest, total = j // group, np.float32(-np.inf), np.float32(0)
        for s in range(n + 1):
            score = np.float32(0)
            for d in range(head_dim):
                score += q[j, d] * k_cache[g, s, d]
            score *= scale
            if score > largest:
                shrink = np.exp(largest - score)
                total, largest = total * shrink, score
                y[j] *= shrink
            weight = np.exp(score - largest)
            total += weight
            for d in range(head_dim):
                y[j, d] += weight * v_cache[g, s, d]
        y[j] /= total
    return y


# %% [markdown]
# ## Cached equals uncached
#
# The check: 12 tokens, once as a whole through PyTorch's causal attention, once token by token through each of the
# three functions, starting from a cache full of NaN. NaN is contagious, so a single read past the last token would
# show.

# %%
n_tokens, H, K, h = 12, 6, 2, 16
q = rng.normal(size=(H, n_tokens, h)).astype(np.float32)
k, v = rng.normal(size=(2, K, n_tokens, h)).astype(np.float32)

if torch is not None:
    whole = torch.nn.functional.scaled_dot_product_attention(
        torch.tensor(q)[None], torch.tensor(k)[None], torch.tensor(v)[None], is_causal=True, enable_gqa=True
    )[0]
else:
    wide = (a.astype(np.float64)[None] for a in (q, k, v))
    whole = attention_forward(*wide, np.arange(n_tokens)[None])[0][0]

for step in (decode_step_loops, decode_step_numpy, decode_step_numba):
    k_cache, v_cache = np.full((2, K, 20, h), np.nan, np.float32)
    rows = [step(q[:, t], k[:, t], v[:, t], k_cache, v_cache, t) for t in range(n_tokens)]
    show_error(step.__name__, np.stack(rows, axis=1), whole, 1e-5)

# %% [markdown]
# ## A prompt in chunks: the mask
#
# A prompt is known from the start, so its tokens can run together, as in training. Reading it at once is called
# *prefill*; generating is called *decode*. A long prompt goes in chunks: memory stays bounded, and there is a place
# to interrupt.
#
# A chunk is neither the beginning of the text nor a single token. Its first query stands at some position $m$ and
# sees keys $0 \ldots m$; the next one sees one key more. One comparison covers all cases: key $s$ is visible to a
# query at position $m$ when $s \le m$.


# %%
def chunk_mask(positions, n_keys):
    """True where key s is visible: (B, T) positions -> (B, T, S)."""
    return np.arange(n_keys) <= positions[:, :, None]


n_keys, chunks = 15, [(0, 5), (5, 9), (9, 12)]
picture = np.full((12, n_keys, 3), 0.96)
for (first, end), colour in zip(chunks, (COLOURS[0], COLOURS[2], COLOURS[4])):
    mask = chunk_mask(np.arange(first, end)[None], n_keys)[0]
    picture[first:end][mask] = plt.matplotlib.colors.to_rgb(colour)
fig, ax = plt.subplots(figsize=(8, 4.6))
ax.imshow(picture, extent=(0, n_keys, 12, 0), aspect="auto")
ax.set(xlabel="key (index in the cache)", ylabel="query (position)", xticks=range(n_keys + 1), yticks=range(13))
ax.grid(color="white", lw=1)
ax.axvline(12, color=COLOURS[1], lw=2)
ax.text(12.15, 6, "unused room", rotation=90, va="center", color=COLOURS[1])
for (first, end), shift in zip(chunks, (5, 0, 0)):
    ax.text(
        shift + 0.3,
        first + 1.5,
        f"chunk {first} … {end - 1}",
        va="center",
        color="white" if not shift else "black",
    )
ax.set_title("Each chunk sees all chunks before it, and a triangle of itself (coloured: visible)")
plt.show()

# %% [markdown]
# The three masks are the rows 0–4, 5–8 and 9–11 of one square causal mask. Cut the text anywhere: the result of
# attention is the same, which the next cell asserts for several ways to cut it.

# %%
whole_text = attention_forward(q[None], k[None], v[None], np.arange(n_tokens)[None])[0]
for sizes in ([12], [5, 4, 3], [1, 10, 1], [1] * 12):
    label = f"chunks of {sizes}" if len(sizes) < 5 else f"{len(sizes)} chunks of 1"
    k_cache, v_cache = np.full((2, 1, K, 20, h), np.nan, np.float32)
    parts, first = [], 0
    for size in sizes:
        chunk = slice(first, first + size)
        k_cache[0, :, chunk], v_cache[0, :, chunk] = k[:, chunk], v[:, chunk]
        positions = np.arange(first, first + size)[None]
        parts.append(attention_forward(q[None, :, chunk], k_cache, v_cache, positions)[0])
        first += size
    show_error(label, np.concatenate(parts, axis=2), whole_text, 1e-5, against="the whole text at once")

# %% [markdown]
# ## Room that grows
#
# How long will the text become? Nobody knows. Room for all 8192 positions would be wasted on a short answer; an array
# that is always exactly as long as the text has to be moved for every token. The way between the two is to double:
# when the room is used up, move to an array twice as long.


# %%
def append_with_growth(buffer, length, new):
    """Store `new` (K, t, h) after the `length` positions of `buffer` (K, capacity, h) that are filled."""
    needed, capacity = length + new.shape[1], buffer.shape[1]
    if needed > capacity:
        larger = np.zeros((buffer.shape[0], max(needed, 2 * capacity), buffer.shape[2]), buffer.dtype)
        larger[:, :capacity] = buffer
        buffer = larger
    buffer[:, length:needed] = new
    return buffer, needed


buffer, length, moved = np.zeros((1, 2, 1), np.float32), 0, 0
for t in range(1000):
    before = buffer
    buffer, length = append_with_growth(buffer, length, np.full((1, 1, 1), t, np.float32))
    moved += 0 if buffer is before else before.shape[1]
assert np.array_equal(buffer[0, :length, 0], np.arange(1000))
print(f"1000 tokens: capacity {buffer.shape[1]}, {moved} positions were moved in all (exact fit: {999 * 1000 // 2})")

# %% [markdown]
# With doubling, all moves together copy fewer than two positions per token. The package's `KVCache` does the same,
# from 256 positions up to the length of the model's context. The picture shows its memory while SmolLM2 reads 1100
# tokens, and on the right what the cache of a LLaMA 2 takes, computed from the shapes: appendix A.2.1's argument for
# grouped heads.

# %%
text = "The cache grows with the text. It holds a key and a value for each token, in every layer and key head. " * 46
ids = llm.tokenizer.encode(text)[:1100]
session, lengths, held = llm.session(), [], []
for first in range(0, len(ids), 100):
    session.feed(ids[first : first + 100])
    lengths.append(session.position)
    held.append(session.cache.nbytes / 1e6)
per_token = config.kv_cache_bytes(bytes_per_number=4)
print(f"SmolLM2-135M: {per_token} bytes per token in float32; {held[-1]:.0f} MB held for {lengths[-1]} tokens")

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6))
left.step(lengths, held, where="pre", marker=".", color=COLOURS[0], label="held by the cache")
left.plot(lengths, np.array(lengths) * per_token / 1e6, color=COLOURS[1], label="filled")
left.set(xlabel="tokens read", ylabel="memory (MB)", title="SmolLM2-135M: the room doubles")
left.legend()
context = np.arange(0, 4097, 64)
for name, heads, colour in (
    ("70B", 64, COLOURS[5]),
    ("13B", 40, COLOURS[3]),
    ("7B", 32, COLOURS[1]),
    ("70B", 8, COLOURS[2]),
):
    gigabytes = [named_config(name).kv_cache_bytes(int(n), n_kv_heads=heads) / 1e9 for n in context]
    right.plot(context, gigabytes, color=colour, label=f"{name}, {heads} key heads")
right.set(xlabel="context (tokens)", ylabel="cache, float16 (GB)", title="LLaMA 2: 8 key heads save 70B a factor of 8")
right.legend()
plt.show()

# %% [markdown]
# ## Real weights: the cost of a token
#
# Without a cache, the next token needs the whole text to run. The next cell first checks on SmolLM2 that both ways
# give the same logits, then measures one token at several lengths, both ways.


# %%
def milliseconds(function, repeats=1):
    best = np.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
    return best * 1e3


with_cache = llm.session()
with_cache.feed(ids[:40])
no_cache = forward(llm.params, config, ids[:41])[0][0, -1]
show_error("logits after 41 tokens", with_cache.step(ids[40]), no_cache, 5e-2, against="no cache")

sizes, without, cached = [16, 32, 64, 128, 256, 512], [], []
for n in sizes:
    session = llm.session()
    without.append(milliseconds(lambda n=n, s=session: s.feed(ids[:n])))  # all tokens run
    cached.append(milliseconds(lambda s=session: s.step(5), repeats=3))  # one token runs
rows = [[n, f"{a:.1f}", f"{b:.1f}"] for n, a, b in zip(sizes, without, cached)]
table(["text so far (tokens)", "without a cache (ms)", "with a cache (ms)"], rows)

# %% [markdown]
# The measured times depend on the machine. The count of multiplications does not: the left picture shows it beside
# the measurement.


# %%
def multiplications(n_new, n_seen):
    """Of n_new tokens after n_seen others: every weight once per token, and attention."""
    weights = count_parameters(config)  # the embedding table is the output head too
    pairs = n_new * n_seen + n_new * (n_new + 1) // 2
    return n_new * weights + 2 * config.n_layers * config.n_heads * config.head_dim * pairs


fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), sharex=True)
left.loglog(sizes, [multiplications(n, 0) / 1e9 for n in sizes], "o-", color=COLOURS[1], label="without a cache")
left.loglog(sizes, [multiplications(1, n - 1) / 1e9 for n in sizes], "o-", color=COLOURS[0], label="with a cache")
left.set(xlabel="text so far (tokens)", ylabel="multiplications ($10^9$)", title="Work for the next token")
right.loglog(sizes, without, "o-", color=COLOURS[1], label="without a cache")
right.loglog(sizes, cached, "o-", color=COLOURS[0], label="with a cache")
right.set(xlabel="text so far (tokens)", ylabel="time (ms)", title="Time for the next token, measured")
for ax in (left, right):
    ax.set_xticks(sizes, [str(n) for n in sizes])
    ax.minorticks_off()
    ax.legend()
plt.show()

# %% [markdown]
# With a cache the line still rises a little: attention reads all keys and values that are kept. Everything else costs
# the same at every length.
#
# ## Prefill against decode
#
# Both do the same multiplications per token, and yet a prompt is read much faster than an answer is written. A decode
# step reads all weights from memory for a single token; a chunk of tokens shares one reading. The next cell reads the
# same text in chunks of different sizes.

# %%
chunk_sizes, rates, last = [1, 4, 16, 64, 256], [], []
for size in chunk_sizes:
    n = 64 if size < 16 else 256
    session = llm.session()
    begin = time.perf_counter()
    for first in range(0, n, size):
        session.feed(ids[first : first + size])
    rates.append(n / (time.perf_counter() - begin))
    last.append(session.logits)
print("tokens per second:", {size: round(rate) for size, rate in zip(chunk_sizes, rates)})
show_error("logits after 256 tokens, chunks of 256", last[-1], last[2], 5e-2, against="chunks of 16")

# %%
fig, ax = plt.subplots(figsize=(8, 3.4))
ax.semilogx(chunk_sizes, rates, "o-")
above = {"textcoords": "offset points", "xytext": (0, 10)}
ax.annotate("decode: one token at a time", (1, rates[0]), **above)
ax.annotate("prefill", (256, rates[-1]), ha="right", **above)
ax.set_ylim(0, 1.25 * max(rates))
ax.set_xticks(chunk_sizes, [str(n) for n in chunk_sizes])
ax.minorticks_off()
ax.set(
    xlabel="tokens in a chunk",
    ylabel="tokens per second",
    title="Tokens that run together share one reading of the weights",
)
plt.show()

# %% [markdown]
# Where a chunk of a few tokens comes out slower than single steps, that is this package's doing: one token has a
# compiled kernel of its own for the whole model, several go layer by layer. The general rule is the rise to the
# right.
#
# The logits agree for any chunking. The tolerances are wider than those of attention alone, since `llm.session()`
# multiplies this model's 4-bit weights in integers, with activations rounded to 15 bits; chapter 12 explains that.
#
# ## Going back
#
# A cache makes it cheap to go back: keep a shorter length, and what lies past it is never read again and later
# overwritten. That is what a conversation needs. The next turn begins with the same text as the last, so only what is
# new has to run. But a key at position $m$ depends on *all* tokens up to $m$: from the first token that differs,
# everything is worthless, even where single tokens agree again.


# %%
def plan_rewind(cached, wanted):
    """How many positions can stay, and which tokens must run; at least one, for its logits."""
    keep = min(common_prefix(cached, wanted), len(wanted) - 1)
    return keep, wanted[keep:]


session = llm.session()
for question in ("The capital of France is", "The capital of France is Paris. Its river is", "The capital of Spain is"):
    wanted = llm.tokenizer.encode(question)
    keep, feed = plan_rewind(session.tokens, wanted)
    logits = session.continue_with(wanted)
    fresh = llm.session().feed(wanted)
    print(f"{keep} tokens stay, {len(feed)} run, then{llm.tokenizer.decode([int(logits.argmax())])!r}")
    show_error("  logits", logits, fresh, 5e-2, against="a fresh session")

# %% [markdown]
# ## A window that slides
#
# The cache can be kept from growing at all: let every query see only the last $w$ keys. Key $s$ is visible at
# position $m$ when $0 \le m - s < w$. Then $w$ slots suffice, and position $p$ lives in slot $p \bmod w$: the newest
# overwrites the oldest, and nothing moves. LLaMA 2 does not do this (Mistral 7B, which followed it, does). SmolLM2
# was not trained with a window, so it shows what is lost: the next cell takes a text and measures the mean loss of
# its tokens for several windows.


# %%
def sliding_window_attention(q, k, v, positions, window):
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    distance = positions[:, :, None] - np.arange(k.shape[2])  # (B, T, S)
    visible = (distance >= 0) & (distance < window)
    scores = np.where(visible[:, None], q @ k.swapaxes(2, 3) / np.float32(q.shape[3] ** 0.5), np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


story = """Anna lived in a small house near the sea with her brother Tom and an old dog called Rufus. Every morning
they walked along the beach, looked for shells and counted the boats. One day Rufus did not come back. Anna and Tom
searched the whole beach, asked the fishermen, and called his name until it was dark. In the evening there was a noise
at the door. Outside stood a fisherman, and beside him, wet and happy, sat Rufus. Anna thanked the fisherman, and Tom
gave the dog his dinner. From that day on, every morning, they walked along the beach together: Anna, Tom and Rufus."""
story_ids = np.array(llm.tokenizer.encode(story.replace("\n", " ")))
windows, losses = [2, 8, 32, 128], []
for window in windows:
    ops = FAST._replace(attention_forward=lambda q, k, v, p, w=window: (sliding_window_attention(q, k, v, p, w), None))
    logits = forward(llm.params, config, story_ids, ops)[0][0, :-1].astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    correct = logits[np.arange(len(logits)), story_ids[1:]]
    losses.append(float(np.mean(np.log(np.exp(logits).sum(axis=-1)) - correct)))
print(f"{len(story_ids)} tokens;", ", ".join(f"w={w}: {loss:.2f}" for w, loss in zip(windows, losses)))

# %%
fig, ax = plt.subplots(figsize=(8, 3.2))
ax.semilogx(windows, losses, "o-", base=2, color=COLOURS[4])
ax.set_xticks(windows, [str(w) for w in windows])
ax.set(xlabel="window (keys that a query sees)", ylabel="mean loss (nats per token)")
ax.set_title(f"A model trained without a window needs its whole text (here {len(story_ids)} tokens)")
plt.show()

# %% [markdown]
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
# `minillama learn start my-llama` makes a folder with starters, `minillama learn watch` checks them whenever a file
# is saved. In a notebook: `from minillama.learn import check; check("chunk_mask", my_function)`.

# %% [markdown]
# What a wrong answer looks like: the lower triangle is right for the first chunk, and for that one alone.


# %%
def lower_triangle(positions, n_keys):
    triangle = np.tril(np.ones((positions.shape[1], n_keys), bool))
    return np.broadcast_to(triangle, (*positions.shape, n_keys))


print(check("chunk_mask", lower_triangle).text())
assert check("chunk_mask", chunk_mask).passed

# %% [markdown]
# ## What breaks if it is wrong
#
# A wrong cache does not crash: the model keeps writing, in worse and worse English. Three mistakes on the real model,
# each a replacement of one entry in its table of operations, on a prompt that is fed in two chunks:
#
# - attention also reads the unused room of the array (its keys are zeros, and a score of 0 has weight);
# - the mask of every chunk begins at its first key, as if the chunk were the beginning of the text;
# - RoPE counts positions from 0 in every chunk.


# %%
def sees_unused_room(q, k, v, positions):
    return attention_forward(q, k, v, np.full_like(positions, k.shape[2] - 1))


def mask_from_zero(q, k, v, positions):
    return attention_forward(q, k, v, positions - positions[:, :1])


def rope_from_zero(x, cos, sin, positions):
    return FAST.rope_forward(x, cos, sin, positions - positions[:, :1])


def continuation(ops, n_tokens=8):
    session = Session(runner_for(llm.params, config, ops, exact=True))
    prompt = llm.tokenizer.encode("Water boils at 100 degrees Celsius, and it freezes at")
    session.feed(prompt[:6])
    session.feed(prompt[6:])
    out = []
    for _ in range(n_tokens):
        out.append(int(session.logits.argmax()))
        session.step(out[-1])
    return llm.tokenizer.decode(out)


texts = {
    "right": continuation(FAST),
    "sees unused room": continuation(FAST._replace(attention_forward=sees_unused_room)),
    "mask from zero": continuation(FAST._replace(attention_forward=mask_from_zero)),
    "RoPE from zero": continuation(FAST._replace(rope_forward=rope_from_zero)),
}
assert len(set(texts.values())) == 4
table(["cache", "… and it freezes at"], [[name, repr(text)] for name, text in texts.items()])

# %% [markdown]
# ## The package's own
#
# `KVCache` in `minillama/kv_cache.py` is what this chapter has derived, for all layers and a batch of sequences of
# different lengths; `Session` in `minillama/inference/session.py` adds the tokens and `rewind`. The last cell runs both
# beside the chapter's functions.

# %%
cache = KVCache(config, batch=1)
buffer, length = np.zeros((config.n_kv_heads, 256, config.head_dim), np.float32), 0
for size in (200, 57, 1, 400):
    new = rng.normal(size=(1, config.n_kv_heads, size, config.head_dim)).astype(np.float32)
    cache.reserve(size)
    cache.write(3, new, 2 * new, length + np.arange(size)[None])
    cache.lengths += size
    buffer, length = append_with_growth(buffer, length, new[0])
    assert cache.capacity == buffer.shape[1]
    assert cache.lengths[0] == length
np.testing.assert_array_equal(cache.k[3, 0, :, :length], buffer[:, :length])
np.testing.assert_array_equal(cache.v[3, 0, :, :length], 2 * buffer[:, :length])

q = rng.normal(size=(config.n_heads, config.head_dim)).astype(np.float32)
new = buffer[:, 300].copy()
theirs = attention_forward(q[None, :, None], cache.k[3][:, :, :301], cache.k[3][:, :, :301], np.array([[300]]))[0]
ours = decode_step_numba(q, new, new, buffer.copy(), buffer.copy(), 300)
show_error("one decode step", ours, theirs[0, :, 0], 1e-5, against="the package")
at_300 = (q[None, :, None], buffer[None], buffer[None], np.array([[300]]))
windowed = sliding_window_attention(*at_300, window=301)
show_error("a window as long as the text", windowed, attention_forward(*at_300)[0], 1e-5, against="the package")
