# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 12 · Quantisation and speed
#
# > **Before this:** [10](10_kv_cache.ipynb).
# > **Time:** 55 minutes to read and run, 225 for all exercises; on the [core path](README.md) 180 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288) does not quantise; its appendix A.2.1 is about the same limit, the
# > bytes that decoding has to read (there of keys and values). The formats are those of GGUF files: Q8_0, Q4_0, Q4_1.
# > **Not here:** keys and values in fewer bits, blocks of 256, training with rounded weights. Not reproduced: models of
# > 7B to 70B are not run; their limits are computed, from a bandwidth that is measured here. Times are those of the
# > machine that ran the chapter, on one core unless a line says otherwise.
#
# *The dog buried the bone because it was hungry.* For the token after it, a vector is multiplied by every matrix of the
# model (09). That is 134.5 million weights of four bytes, 538 million bytes, if they are float32. The file that `load`
# has fetched has fewer than 100 million. Where is the rest?
#
# It was rounded away. Of the 16 values of four bits, 15 serve here: −7, −6 … 7, times some step. Take the largest
# weight of a matrix, divide it by 7, and call that the step; then move every weight to the nearest multiple of it. Here
# is the real model with all its matrices rounded like that, and with the one part that this chapter is about: a step
# for every 32 weights, not one for the matrix.

# %% tags=["hide-input"]
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from llvmlite import ir
from numba import njit, prange
from numba.core import cgutils
from numba.extending import intrinsic

from minillama import LLM
from minillama.compute.threads import most_threads, set_threads
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
from minillama.learn.book.toy import VECTORS, WORDS
from minillama.model import forward
from minillama.ops import FAST
from minillama.quantization.formats import FORMATS, quantize
from minillama.trees import map_tree

style()
plt.rcParams["axes.axisbelow"] = True
set_threads(1)  # times are those of one core
rng = np.random.default_rng(12)

llm = load()
p, config, tokenizer = llm.params, llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, p)  # unpacked
PROMPT = "The capital of France is"
TEXT = (
    "Rivers begin in the hills, where rain and melting snow collect in small streams. The streams join, the water "
    "slows down, and what it carried sinks to the ground: first stones, then sand, then mud. Near the sea the river "
    "may divide into many arms. Farmers like such land, because floods leave fresh soil behind every spring."
)
text_ids = tokenizer.encode(TEXT)


def rounded(matrix, size, bits):
    """Every `size` neighbours rounded to multiples of a step of their own; the last axis is a row."""
    groups, top = matrix.reshape(-1, size), 2 ** (bits - 1) - 1
    step = np.abs(groups).max(axis=1, keepdims=True) / np.float32(top)
    return (np.rint(groups / np.where(step == 0, np.float32(1), step)) * step).reshape(matrix.shape)


def loss_of(logits):
    """Mean of −log p of every token of TEXT but the first (03)."""
    z = logits[:-1].astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    z -= np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return -z[np.arange(len(z)), text_ids[1:]].mean()


def with_weights(change):
    """Loss and next words of the model with every matrix changed."""
    changed = map_tree(lambda w: change(w) if w.ndim == 2 else w, params)
    z = forward(changed, config, np.array([tokenizer.encode(PROMPT)]))[0][0, -1]
    words = ", ".join(repr(tokenizer.decode([int(i)])) for i in np.argsort(-z)[:3])
    return loss_of(forward(changed, config, np.array([text_ids]))[0][0]), words


# %% [markdown]
# **Guess first:** "The capital of France is" … What does the model say with 4 bits and one step for a matrix? And with
# 4 bits and a step for each 32 weights?

# %% tags=["hide-output"]
ways = {
    "as in the file": lambda w: w,
    "8 bits, a step for the matrix": lambda w: rounded(w, w.size, 8),
    "4 bits, a step for the matrix": lambda w: rounded(w, w.size, 4),
    "4 bits, a step for 32 weights": lambda w: rounded(w, 32, 4),
}
opened = {name: with_weights(change) for name, change in ways.items()}
losses = {name: loss for name, (loss, _) in opened.items()}
assert losses["4 bits, a step for the matrix"] > np.log(config.vocab_size) > 2 * losses["4 bits, a step for 32 weights"]
table(("weights", "loss on a short text", PROMPT), [(name, f"{a:.2f}", b) for name, (a, b) in opened.items()])

# %% [markdown]
# One step for the matrix, and the model is worse than one that finds all 49,152 tokens equally probable (10.80, 03).
# The same 4 bits with a step for each 32 weights, and the loss is near what it was, though Paris no longer comes first.
# (The file's own weights have been rounded before, to formats that come below; here they are the ones to compare with.
# And one short text cannot tell losses apart that differ by a tenth.)
#
# ## A token costs all bytes of all weights
#
# Why would anybody do this? The toy's table of embeddings, times a state, was six multiplications (01). Each of its six
# weights is fetched from memory, used in one multiplication and one addition, and not needed before the next token. So
# it is in every matrix. A processor can do many multiplications in the time in which one weight arrives: writing a text
# is [memory-bound](glossary.md#memory-bound), and the most tokens a second are the bytes a second that the memory
# delivers, divided by the bytes that a token needs.
#
# **Guess first:** LLaMA 2 70B has 69 billion weights that each token meets. In two bytes each (bfloat16), on a memory
# of 20 billion bytes a second: how long does a token take, however fast the processor is?
#
# ### Now you · `decode_speed_bound` · 15 minutes
#
# The sizes of a model, the bits of a weight in the layers and in the head, the positions in the cache and the bandwidth
# → bytes that a token reads, and tokens a second. Which matrices does a layer have (06, 08), and how wide are those of
# keys and values (07)?

# %%
decode_speed_bound = now_you("decode_speed_bound")


# %% tags=["solution"]
def book_decode_speed_bound(
    n_layers, dim, n_heads, n_kv_heads, hidden_dim, vocab_size, bits, head_bits, context, bandwidth
):
    kv_dim = dim // n_heads * n_kv_heads
    layer = 2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden_dim
    cache = 2 * n_layers * kv_dim * context * 4
    n_bytes = n_layers * layer * bits / 8 + vocab_size * dim * head_bits / 8 + cache
    return n_bytes, bandwidth / n_bytes


# %%
SHAPES = {
    "SmolLM2-135M": (30, 576, 9, 3, 1536, 49152),
    "LLaMA 2 7B": (32, 4096, 32, 32, 11008, 32000),
    "LLaMA 2 13B": (40, 5120, 40, 40, 13824, 32000),
    "LLaMA 2 70B": (80, 8192, 64, 8, 28672, 32000),
}
n_bytes, rate = decode_speed_bound(*SHAPES["LLaMA 2 70B"], 16, 16, 0, 20e9)
print(f"70B in bfloat16: {n_bytes / 1e9:.0f} GB a token, {1 / rate:.1f} seconds")
ours, _ = decode_speed_bound(*SHAPES["SmolLM2-135M"], 5, 8.5, 0, 20e9)  # the bits of this file: see below
print(f"SmolLM2 as it is in its file: {ours:,.0f} bytes by the formula; {llm.bytes_per_token:,} by the arrays,")
print(f"of which {llm.bytes_per_token - ours:,.0f} are the norms that the formula leaves out")
assert llm.bytes_per_token - ours == 4 * 576 * (2 * 30 + 1)

# %% [markdown]
# Nearly seven seconds for a word. How many bytes does *this* machine's memory deliver? Adding up an array that is
# larger than the caches says it, on one core and on all:


# %% tags=["hide-input"]
@njit(fastmath=True)
def add_part(a):
    total = np.float32(0)
    for i in range(a.size):
        total += a[i]
    return total


@njit(parallel=True)
def add_up(a, n_parts):
    sums = np.empty(n_parts, np.float32)
    for part in prange(n_parts):  # slices: an index that may be negative keeps LLVM from using vectors
        sums[part] = add_part(a[part * a.size // n_parts : (part + 1) * a.size // n_parts])
    return sums.sum()


large = np.ones(32 << 20, np.float32)  # 134 MB: more than the caches hold
pieces = large.reshape(16, -1)  # 8 MB each; after all 16 the first has left the caches


def once(function, *args):
    begin = time.perf_counter()
    function(*args)
    return time.perf_counter() - begin


def seconds(function, *args, rounds=5, cold=False):
    """The best of some rounds, after one that compiles; `cold` empties the caches before each."""
    function(*args)
    times = []
    for _ in range(rounds):
        if cold:
            add_up(large, 1)
        times.append(once(function, *args))
    return min(times)


# %% tags=["varies"]
bandwidths = {}
for n_threads in sorted({1, most_threads()}):
    set_threads(n_threads)
    bandwidths[n_threads] = pieces[0].nbytes / min(once(add_up, piece, n_threads) for piece in [*pieces] * 3)
    print(f"{n_threads} core(s): {bandwidths[n_threads] / 1e9:.1f} GB/s")
set_threads(1)
bandwidth = bandwidths[1]
rows = []
for name, shape in SHAPES.items():
    for bits, kind in ((32, "float32"), (16, "bfloat16"), (8.5, "8 bits, Q8_0"), (4.5, "4 bits, Q4_0")):
        n_bytes, rate = decode_speed_bound(*shape, bits, bits, 0, max(bandwidths.values()))
        rows.append((name, kind, f"{n_bytes / 1e9:.3f} GB", f"{rate:.1f}"))
table(("model", "weights in", "a token reads", "tokens a second at most, here"), rows)

# %% [markdown]
# Faster arithmetic changes nothing in this table. Smaller weights do: 4.5 bits (four, and a share of the step, as comes
# below) in place of 32 are seven times as many tokens a second. The better of the two bandwidths is taken; on a busy
# machine two cores may read no more than one.
#
# ## “it” lies between two levels
#
# The toy's vectors are weights, too: a table of three rows. Its largest number is 1, so with the levels −7 … 7 the step
# is 1/7.
#
# | | dog | bone | it |
# |---|---|---|---|
# | weights | (1, 0) | (0, 1) | (½, ½) |
# | divided by the step 1/7 | (7, 0) | (0, 7) | (3.5, 3.5) |
# | rounded: this is stored | (7, 0) | (0, 7) | (4, 4) |
# | times the step again | (1, 0) | (0, 1) | (0.57, 0.57) |
#
# Storing weights as small integers and a step is [quantisation](glossary.md#quantisation), the way back is
# [dequantisation](glossary.md#dequantisation). (The step is mostly called the *scale*.) Dog and bone come back as they
# were. "it" lay just between two levels and is off by half a step, which is the most that rounding can do. A half goes
# away from zero here: 3.5 to 4, −3.5 to −4.
#
# Now a fourth word joins the table: a *feast*, (0, 8).
#
# **Guess first:** what do dog and "it" come back as?


# %% tags=["hide-output"]
def levels_loops(numbers, top):
    """The step, and the integers −top … top: the table above read aloud."""
    step = max(abs(number) for number in numbers) / top
    integers = []
    for number in numbers:
        scaled = number / step
        integers.append(int(scaled + 0.5) if scaled >= 0 else -int(-scaled + 0.5))  # int() cuts off
    return step, integers


back = {}
for name, words in (("three words", VECTORS), ("with the feast", np.vstack((VECTORS, [0, 8])))):
    step, integers = levels_loops(words.ravel().tolist(), 7)
    back[name] = step, (step * np.array(integers)).reshape(-1, 2)
    for word, row in zip((*WORDS, "feast"), back[name][1]):
        print(f"{name:<15} step {step:.2f}: {word:<5} becomes {row.round(2)}")
assert not back["with the feast"][1][2].any()

# %% tags=["hide-input", "hide-output"]
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.4), sharex=True, sharey=True)
for axis, (step, rows) in zip(axes, back.values()):
    levels = step * np.arange(0, 8)
    grid = np.array([(a, b) for a in levels for b in levels if max(a, b) < 1.3])
    axis.plot(*grid.T, ".", color="#b9c1cc", markersize=5, zorder=0)
    draw_arrows(axis, dict(zip(WORDS[:2], rows)), offset=(7, 4))
    if rows[2].any():
        draw_arrows(axis, {"it": rows[2]}, colours=COLOURS[2:], offset=(7, 4))
    else:
        axis.plot(*rows[2], "o", color=COLOURS[2])
        axis.annotate("it", rows[2], (6, -13), textcoords="offset points", color=COLOURS[2], weight="bold")
    draw_arrows(axis, {"“it” before": VECTORS[2]}, colours=COLOURS[3:], dashed=True, offset=(14, -13))
    axis.set(xlim=(-0.12, 1.45), ylim=(-0.12, 1.45))
    axis.grid(False)
moved = {name: np.linalg.norm(rows[2] - VECTORS[2]) for name, (_, rows) in back.items()}
claim(axes[0], "Step 1/7: “it” moves a little", holds=moved["three words"] < 0.11)
lost = not back["with the feast"][1][2].any()
claim(axes[1], "Step 8/7, for the feast: “it” is gone", holds=lost)
show(
    figure,
    "Two planes with equal axes, alive across, edible upwards; dots are the values that can be stored. Left they lie "
    "close, and the arrows of dog, bone and it end on dots, it just beyond its dashed arrow of before. Right there are "
    "four dots in the picture, 1.14 apart: dog and bone have become longer, and it is a point at zero; only its dashed "
    "arrow of before is left.",
)

# %% [markdown]
# The feast is an [outlier](glossary.md#outlier): it decides the step for all, and with a step of 8/7 there is nothing
# between 0 and 1.14. What helps is a step for each word. "it" has the step ½ / 7, and comes back exactly; the feast
# keeps its coarse one to itself. The price is more steps to store: one for two numbers here. In files it is one for 32
# neighbours of a row, a *block*.
#
# In symbols, for a block of weights $W_0 \dots W_{31}$ with the step $\Delta$ and the integers $Q_i$:
#
# $$ \Delta = \frac{\max_i \lvert W_i\rvert}{\text{top}}, \qquad
#    Q_i = \operatorname{round}\!\left(\frac{W_i}{\Delta}\right), \qquad \hat W_i = \Delta\, Q_i . $$
#
# With 8 bits, `top` is 127: that is the format Q8_0. In code the step is `d` and the integers are `q`. The step takes
# 16 bits (float16, 04), so a weight takes 8 + 16/32 = 8.5.
#
# ### Now you · `q8_0_quantize_blocks` · 15 minutes
#
# Blocks (n, 32) → `d` (n,) in float16 and `q` (n, 32) in int8. What does NumPy's `round` do with 2.5? And what is the
# step of a block of zeros?

# %%
q8_0_quantize_blocks = now_you("q8_0_quantize_blocks")


# %% tags=["solution"]
def book_q8_0_quantize_blocks(x):
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    scaled = x / np.where(d == 0, np.float32(1), d)
    q = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))  # np.round would send 0.5 to 0
    return d[:, 0].astype(np.float16), q.astype(np.int8)


# %% [markdown]
# PyTorch does not know GGUF's formats, but it rounds like Q8_0 when it is given a step for each row. And real weights:
# the file of SmolLM2 is quantised already, so rounding its own numbers again would show nothing. One matrix is on no
# grid: the head with the weights $g$ of the last norm (04) multiplied into its columns. It gives the same logits from
# a stream that the norm has divided and not yet multiplied by $g$; some programs do this before they quantise a model.

# %%
random_blocks = rng.normal(size=(512, 32)).astype(np.float32)
d, q = q8_0_quantize_blocks(random_blocks)
steps = np.abs(random_blocks).max(axis=1) / np.float32(127)
if torch is not None:
    zeros = torch.zeros(512, dtype=torch.int32)
    integers = torch.fake_quantize_per_channel_affine(
        torch.tensor(random_blocks), torch.tensor(steps), zeros, 0, -127, 127
    )
else:
    integers = np.rint(random_blocks.astype(np.float64) / steps[:, None]) * steps[:, None]
show_error("Q8_0", steps[:, None] * q, integers, 1e-6)

print("in the file: layers", p.layers[0].wq.format_name + ", head and embedding", p.token_embedding.format_name)
weight = params.token_embedding * params.final_norm
sample = weight[::8].reshape(-1, 32)
d, q = q8_0_quantize_blocks(sample)
packed = np.concatenate((d[:, None].view(np.uint8), q.view(np.uint8)), axis=1)
theirs = quantize(sample, "Q8_0").data
print(f"blocks that differ from the package's: {(packed != theirs).any(axis=1).sum()} of {len(sample):,}")

# %% [markdown]
# If a few blocks differ, they have a number just half way between two levels. The package multiplies by 1/`d`, as the
# program that made the formats does; dividing by `d` can round to the other side. Both are half a step off there.
#
# ## One large weight decides for a whole matrix
#
# This explains the opening. **Guess first:** 4 bits, one step for a whole matrix. How many of its weights become 0? And
# with a step for each 32?

# %% tags=["hide-output"]
zeros = {"matrix": [], "row": [], "32": []}
for layer in params.layers:
    for matrix in (layer.wq, layer.w_down):
        for name, size in (("matrix", matrix.size), ("row", matrix.shape[1]), ("32", 32)):
            zeros[name].append(np.mean(rounded(matrix, size, 4) == 0))
for name, shares in zeros.items():
    print(f"a step for each {name:<6}: {100 * np.mean(shares):.0f} % of the weights of 60 matrices become 0")
largest = max(np.abs(layer.wq).max() / layer.wq.std() for layer in params.layers)
print(f"largest weight of a matrix: up to {largest:.0f} times its standard deviation")
assert np.mean(zeros["matrix"]) > 2 * np.mean(zeros["32"])

# %% [markdown]
# With one step, most weights of a matrix are gone, because a single one decides how large a step is. In blocks an
# outlier harms its 31 neighbours alone.
#
# Move the bits and the group on a real row of the head (in JupyterLab; on a page the picture stands as it begins). The
# lines are the levels that each group has. **Guess first:** at 4 bits, how do the lines move when the groups shrink
# from 576 to 8?

# %% tags=["hide-input"]
row = weight[np.argmax(np.abs(weight[:4000]).max(axis=1) / weight[:4000].std(axis=1))]


def draw_row(bits, group):
    to_see, at = 96, np.arange(96)
    new = rounded(row, group, bits)
    top = 2 ** (bits - 1) - 1
    figure, axis = plt.subplots(figsize=(9, 3.6))
    for first in range(0, to_see, group):
        step = np.abs(row[first : first + group]).max() / top
        end = min(first + group, to_see)
        for level in step * np.arange(-top, top + 1):
            axis.hlines(level, first - 0.5, end - 0.5, color="#c3cad3", linewidth=0.6, zorder=0)
    axis.vlines(at, row[:to_see], new[:to_see], color=COLOURS[1], linewidth=2, label="error")
    axis.plot(at, row[:to_see], "o", markersize=3.5, label="weight")
    limit = 1.3 * np.abs(row[:to_see]).max()
    axis.set(xlabel="number in the row", ylabel="weight", xlim=(-1, to_see), ylim=(-limit, limit))
    axis.grid(False)
    error = np.sqrt(np.mean((new - row) ** 2) / np.mean(row**2))
    label(axis, f"{bits} bits, groups of {group}: {bits + 16 / group:.2f} bits a weight, error {100 * error:.1f} %")
    axis.legend(loc="upper right", fontsize=8)
    show(
        figure,
        f"The first {to_see} weights of a row as dots, with the levels of {bits} bits as thin lines, in groups of "
        f"{group}; an orange stroke leads from each weight to its level. The error is {100 * error:.1f} % of the "
        "weights' size.",
    )


live(draw_row, bits=((2, 3, 4, 5, 6, 8), 4), group=((8, 16, 32, 64, 192, 576), 32))

# %% [markdown]
# With 576 they are everywhere as far apart as the row's largest weight asks. With 8 they close in wherever it is not.
#
# ## Bits buy levels or steps
#
# The step itself takes 16 bits. In groups of 8 that is 2 bits a weight, in groups of 32 half a bit. So bits can be
# spent in two ways: on more levels, or on more steps.
#
# ### Now you · `choose_group_size` · 20 minutes
#
# A matrix (R, C), some group sizes, the bits of an integer and a tolerance → bits a weight and relative error of each
# size, and the largest size that is good enough.

# %%
choose_group_size = now_you("choose_group_size")


# %% tags=["solution"]
def book_choose_group_size(w, sizes, bits, tolerance):
    errors = []
    for size in sizes:
        groups = w.reshape(-1, size)
        d = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
        difference = d * np.rint(groups / np.where(d == 0, 1, d)) - groups
        errors.append(np.sqrt(np.mean(difference**2) / np.mean(w**2)))
    bits_per_weight = bits + 16 / np.array(sizes)
    return bits_per_weight, np.array(errors), max(s for s, error in zip(sizes, errors) if error <= tolerance)


# %% [markdown]
# **Guess first:** 4 bits in groups of 32 can be made more exact by smaller groups, or by a fifth bit. Which is better?
# And at the other end: 5 bits in groups of 576 take as much room as 4 bits in groups of 16. Which is more exact?

# %% tags=["hide-output"]
sizes, few = [8, 16, 32, 64, 192, 576], weight[::32]
curves = {bits: choose_group_size(few, sizes, bits, 0.5)[:2] for bits in (4, 5, 6)}
for bits, group in ((4, 32), (4, 8), (5, 32), (4, 16), (5, 576)):
    cost, error = (values[sizes.index(group)] for values in curves[bits])
    print(f"{bits} bits in groups of {group:>3}: {cost:.2f} bits a weight, error {100 * error:.1f} %")
for tolerance in (0.2, 0.15, 0.1):
    print(f"4 bits, an error of at most {tolerance:.0%}: groups of {choose_group_size(few, sizes, 4, tolerance)[2]}")

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(8, 4))
for (bits, (cost, error)), colour in zip(curves.items(), COLOURS):
    axis.plot(cost, 100 * error, "o-", color=colour, label=f"{bits} bits, groups of 576 … 8")
    axis.annotate("32", (cost[2], 100 * error[2]), xytext=(3, 5), textcoords="offset points", color=colour)
for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1"):
    new = quantize(few, name).to_float32()
    cost, error = 8 * FORMATS[name].block_bytes / 32, 100 * (new - few).std() / few.std()
    axis.plot(cost, error, "s", color=COLOURS[5])
    axis.annotate(name, (cost, error), xytext=(-34, -5), textcoords="offset points")
axis.set(yscale="log", xlabel="bits a weight, step included", ylabel="relative error, % (log)")
axis.set_yticks([2, 3, 5, 10, 20], ["2", "3", "5", "10", "20"])
axis.minorticks_off()
falls = all((np.diff(error) > 0).all() and (np.diff(cost) < 0).all() for cost, error in curves.values())
claim(axis, "Smaller groups are more exact and take more bits", holds=falls)
axis.legend()
show(
    figure,
    "Relative error, logarithmic, against bits a weight: a falling curve for each of 4, 5 and 6 bits, each beginning "
    "at groups of 576 and ending at groups of 8. Each is steep at its beginning and flatter after 32. Squares for "
    "Q4_0, Q4_1, Q5_0 and Q5_1 lie near the points for groups of 32.",
)

# %% [markdown]
# A fifth bit for every weight is more exact than groups of 8, and takes less room. At the other end it is the reverse:
# 5 bits in groups of 576 are less exact than 4 bits in groups of 16. Most formats stand in between, at 32; the squares
# are four of them, and two follow below.
#
# ## Two weights share a byte
#
# Memory has no half bytes, so 4-bit integers from 0 to 15 go in twos: one in the lower half, one, times 16, in the
# upper. Which two? For a short block of four, 1 2 3 4, neighbours are not together:
#
# | byte | 0 | 1 |
# |---|---|---|
# | lower half, upper half | 1, 3 | 2, 4 |
# | the byte, in hexadecimal | 31 | 42 |
# | all bytes `& 15` | 1 | 2 |
# | all bytes `>> 4` | 3 | 4 |
#
# Now one `and` and one shift of a whole vector of bytes give neighbours, the first half of the block and the second. In
# Q4_0 a block of 32 is 18 bytes: two of the step as float16, and 16 with two integers each, where 0 … 15 stand for the
# levels −8 … 7. Byte $i$ has integers $i$ and $i + 16$.
#
# ### Now you · `q4_0_dequantize_blocks` · 15 minutes
#
# Bytes (n, 18) → weights (n, 32) in float32. `.view` reads bytes as another type, where they lie side by side.

# %%
q4_0_dequantize_blocks = now_you("q4_0_dequantize_blocks")


# %% tags=["solution"]
def book_q4_0_dequantize_blocks(blocks):
    d = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)  # (n, 1)
    q = np.concatenate((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), axis=1)  # (n, 32)
    return d * (q.astype(np.float32) - 8)


# %% [markdown]
# ## The largest weight takes the level −8
#
# Sixteen levels around zero cannot be even: −8 … 7 has one more on the negative side. Q4_0 does not waste it. The
# weight of largest *size* becomes −8, and if it is positive, the step is negative. Four weights, of which 1 is the
# first of largest size, so that $\Delta = 1 / (-8) = -0.125$:
#
# | weight | 1 | −1 | ½ | 0.3 |
# |---|---|---|---|---|
# | divided by the step | −8 | 8 | −4 | −2.4 |
# | level | −8 | ? | −4 | −2 |
# | stored, level + 8 | 0 | ? | 4 | 6 |
#
# **Guess first:** what does the −1 come back as?
#
# <details>
# <summary>Answer</summary>
#
# There is no level 8. The nearest is 7, times −0.125: −0.875. It is off by a whole step, where rounding alone is off by
# half a step at most.
#
# </details>
#
# ### Now you · `q4_0_quantize_blocks` · 25 minutes
#
# Blocks (n, 32) → bytes (n, 18), the very bytes of a GGUF file.

# %%
q4_0_quantize_blocks = now_you("q4_0_quantize_blocks")


# %% tags=["solution"]
def book_q4_0_quantize_blocks(x):
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)  # with its sign
    d = largest / np.float32(-8)
    q = np.minimum(np.trunc(x / d + np.float32(8.5)), 15).astype(np.uint8)
    scale = d.astype(np.float16).view(np.uint8)  # (n, 2)
    return np.concatenate((scale, q[:, :16] | q[:, 16:] << 4), axis=1)


# %%
four = np.zeros((1, 32), np.float32)
four[0, :4] = 1, -1, 0.5, 0.3
block = q4_0_quantize_blocks(four)
print(f"{four.nbytes} bytes become {block.shape[1]}:", " ".join(f"{byte:02x}" for byte in block[0]))
print("and come back as", q4_0_dequantize_blocks(block)[0, :4].tolist())
packed, theirs = q4_0_quantize_blocks(sample), quantize(sample, "Q4_0").data
print(f"blocks that differ from the package's: {(packed != theirs).any(axis=1).sum()} of {len(sample):,}")
np.testing.assert_array_equal(q4_0_dequantize_blocks(theirs), FORMATS["Q4_0"].dequantize(theirs))

# %% [markdown]
# ## How wrong a weight can be stands in its block
#
# Weights that all lie far from zero waste levels: for weights between 3.0 and 3.3, Q4_0 has a step of 3.3/8 = 0.41, and
# all become 3.3 or 2.89. The format Q4_1 stores a *minimum* $a$ as well, 16 more bits: the levels 0 … 15 begin there
# and end at the largest, $\hat W_i = \Delta\, Q_i + a$. Its step for the same weights is 0.3/15 = 0.02.
#
# | | integers | step $\Delta$ | minimum $a$ | bits a weight |
# |---|---|---|---|---|
# | Q8_0 | −127 … 127 | largest size / 127 | | 8 + 16/32 |
# | Q4_0 | −8 … 7 | the weight of largest size / (−8) | | 4 + 16/32 |
# | Q4_1 | 0 … 15 | (largest − least) / 15 | the least | 4 + 32/32 |

# %% tags=["hide-input"]
widest = np.argmax(np.ptp(sample[:2000], axis=1))
one = sample[widest : widest + 1]
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharex=True, sharey=True)
errors_of_one = {}
for axis, name in zip(axes, ("Q4_0", "Q4_1")):
    new = quantize(one, name).to_float32()[0]
    if name == "Q4_0":
        levels = one[0, np.abs(one[0]).argmax()] / -8 * np.arange(-8, 8)
    else:
        levels = np.linspace(one.min(), one.max(), 16)
    for level in levels:
        axis.axhline(level, color="#c3cad3", linewidth=0.6, zorder=0)
    axis.vlines(np.arange(32), one[0], new, color=COLOURS[1], linewidth=2, label="error")
    axis.plot(one[0], "o", markersize=4, label="weight")
    errors_of_one[name] = np.sqrt(np.mean((new - one[0]) ** 2))
    axis.set(xlabel="number in the block")
    axis.grid(False)
    label(axis, f"{name}: error {errors_of_one[name]:.3f}")
axes[0].set_ylabel("weight")
axes[1].legend(loc="upper right", frameon=True, fontsize=8)
smaller = errors_of_one["Q4_1"] < errors_of_one["Q4_0"]
claim(figure, "With a minimum the levels lie where the weights are", holds=smaller)
show(
    figure,
    "The 32 weights of one real block as dots, twice, with 16 lines for the levels. Left, in Q4_0, the lines reach "
    "from the weight of largest size past zero to nearly the same size on the other side. Right, in Q4_1, they lie "
    f"closer, from the least to the largest weight. The error is {errors_of_one['Q4_0']:.3f} left and "
    f"{errors_of_one['Q4_1']:.3f} right.",
)

# %% [markdown]
# ### Now you · `block_error_bounds` · 15 minutes
#
# Blocks (n, 32) → for Q8_0, Q4_0 and Q4_1, how far any weight with this block's step can be from what it comes back as.
# One of the three you have just seen.

# %%
block_error_bounds = now_you("block_error_bounds")


# %% tags=["solution"]
def book_block_error_bounds(x):
    size = np.abs(x).max(axis=1)
    q8_0 = size / 127 / 2  # the nearest level is half a step away at most
    q4_0 = size / 8  # there is no level +8: a number there is clipped by a whole step
    q4_1 = (x.max(axis=1) - x.min(axis=1)) / 15 / 2
    return q8_0, q4_0, q4_1


# %% [markdown]
# A bound is the worst case. Typically, the place of a weight between two levels is as good as random: its error is
# spread evenly from $-\Delta/2$ to $\Delta/2$, and the mean of its square is
#
# $$ \frac{1}{\Delta}\int_{-\Delta/2}^{\Delta/2} e^2\, de = \frac{\Delta^2}{12} . $$
#
# So the typical error, the root of that, is $\Delta/\sqrt{12}$, 0.29 of a step. **Guess first:** how many times as
# wrong as Q8_0 is Q4_0?

# %% tags=["hide-output"]
errors = {name: quantize(sample, name).to_float32() - sample for name in ("Q8_0", "Q4_0", "Q4_1")}
bounds = dict(zip(errors, block_error_bounds(sample)))
step_of = {"Q8_0": 2 * bounds["Q8_0"], "Q4_0": bounds["Q4_0"], "Q4_1": 2 * bounds["Q4_1"]}
rms = {name: np.sqrt(np.mean(error**2)) for name, error in errors.items()}
for name, error in errors.items():
    slack = np.abs(sample).max(axis=1) * 2.0**-10  # step and minimum are stored as float16
    assert (np.abs(error).max(axis=1) <= bounds[name] + slack).all()
    predicted = np.sqrt(np.mean(step_of[name] ** 2) / 12)
    print(f"{name}: {100 * rms[name] / sample.std():5.2f} % of a weight; ", end="")
    print(f"error {rms[name]:.5f}, step / √12 predicts {predicted:.5f}; none of {sample.size:,} beyond its bound")
print(f"Q4_0 against Q8_0: {rms['Q4_0'] / rms['Q8_0']:.0f} times as wrong")

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.7))
look = {"density": True, "histtype": "step", "lw": 1.7}
shares = {name: np.abs(error) / step_of[name][:, None] for name, error in errors.items()}
for name, colour in zip(errors, COLOURS):
    left.hist(errors[name].ravel(), np.linspace(-0.3, 0.3, 121), color=colour, label=name, **look)
    right.hist(shares[name].ravel(), np.linspace(0, 1.1, 56), color=colour, label=name, **look)
left.set(yscale="log", xlabel="error of a weight", ylabel="density (log)")
right.set(yscale="log", xlabel="size of the error, in steps of its block", ylabel="density (log)")
right.axvline(0.5, color=COLOURS[5], lw=1, ls="--")
claim(left, "Four bits: more than ten times as wrong as eight", holds=rms["Q4_1"] > 10 * rms["Q8_0"])
half = {name: np.mean(share > 0.57) for name, share in shares.items()}
claim(right, "At most half a step, but for Q4_0", holds=half["Q4_0"] > 0.001 > 1e-4 > max(half["Q8_0"], half["Q4_1"]))
left.legend(loc="upper right")
show(
    figure,
    "Left, the density of errors, logarithmic: a narrow peak for Q8_0, and two wide hills for Q4_0 and Q4_1, the "
    "latter narrower. Right, the size of the error in steps of its block: flat up to a dashed line at one half, where "
    f"Q8_0 and Q4_1 end; Q4_0 goes on to a whole step, thinner, with {100 * half['Q4_0']:.1f} % of its weights.",
)

# %% [markdown]
# On the right the errors are spread evenly, as the integral has it, and end at half a step, or a little later where
# storing the step as float16 has moved the levels. The peak at 0 has the weights that are levels by construction: the
# largest of each block, in Q4_1 also the least. Beyond the dashed line are Q4_0's weights that wanted the level 8. (The
# steps of blocks differ, so on the left many even distributions lie on one another.)
#
# ## Errors in one direction do not cancel
#
# Half a step is little because some weights move up and others down: in a product of 576 numbers they mostly cancel,
# like tosses of a coin (06). That is not so if all move the same way. Someone forgets to round, and `astype(int)` cuts
# the fraction off: every weight of a Q4_1 block comes back below what it was, half a step in the mean.
#
# **Guess first:** the layers' weights of the real model are moved by half a step of their block, up or down at random.
# Then all of them by an eighth of a step, downwards. Which is worse?


# %% tags=["hide-output"]
def moved_by(move):
    """The loss with every weight of a layer moved, in steps of its block."""

    def change(w):
        if getattr(w, "format_name", "") != "Q4_1":
            return w.to_float32() if hasattr(w, "to_float32") else w
        steps = np.ascontiguousarray(w.data.reshape(-1, 20)[:, :2]).view(np.float16).astype(np.float32)
        blocks = w.to_float32().reshape(-1, 32)
        return (blocks + steps * move(blocks.shape)).reshape(w.shape).astype(np.float32)

    return loss_of(forward(map_tree(change, p), config, np.array([text_ids]))[0][0])


toss = np.random.default_rng(12)
moves = {
    "not at all": lambda shape: np.zeros(shape, np.float32),
    "1/2 up or down": lambda shape: toss.choice(np.array([-0.5, 0.5], np.float32), shape),
    "1/16 down": lambda shape: np.full(shape, np.float32(-1 / 16)),
    "1/10 down": lambda shape: np.full(shape, np.float32(-1 / 10)),
    "1/8 down": lambda shape: np.full(shape, np.float32(-1 / 8)),
    "1/2 down": lambda shape: np.full(shape, np.float32(-1 / 2)),
}
after = {name: moved_by(move) for name, move in moves.items()}
assert after["1/8 down"] > np.log(config.vocab_size) > 7 > after["1/2 up or down"]
table(("every weight moved by steps", "loss"), [(name, f"{loss:.2f}") for name, loss in after.items()])

# %% [markdown]
# Rounding is not a detail. Half a step at random costs something; an eighth of a step down, and the model knows less
# than nothing. (A sixteenth hardly shows; after a tenth comes a cliff.) A product then gets minus an eighth of each
# step times the sum of the vector's numbers there: nothing cancels but what cancels in the vector itself, and as steps
# are much alike, every row is wrong in the same direction. A quantiser is tested for the *mean* of its errors, too.
#
# ## Unpack where the weight is needed
#
# Packed weights read fewer bytes only if they are never unpacked into an array: that would be written and read in
# float32. So a byte is read, split, multiplied twice, and forgotten. In plain Python, for one row in Q4_0, with the
# real stream at the end of a sentence as $x$:

# %%
caught = []


def listening(x, weight):
    """The model's own product, which writes down what goes in."""
    caught.append(x.reshape(-1, x.shape[-1]))
    return FAST.linear_forward(x, weight)


listener = LLM(p, config, tokenizer, ops=FAST._replace(linear_forward=listening))
river = tokenizer.encode("A river carries sand to the sea, and the sea carries it back to the shore.")
logits = listener.logits(river)[-1]
x = np.ascontiguousarray(caught[-1][-1] / p.final_norm)  # the head meets this, times its columns
exact = weight.astype(np.float64) @ x
show_error("the head on this x", exact, logits, 1e-3, against="the model's logits")


def row_loops(row_of_blocks, x):
    y = 0.0
    for b, block in enumerate(row_of_blocks):
        step, total = float(block[:2].view(np.float16)[0]), 0.0
        for i, byte in enumerate(block[2:].tolist()):
            total += (byte % 16 - 8) * x[32 * b + i] + (byte // 16 - 8) * x[32 * b + i + 16]
        y += step * total
    return y


q8, q4 = quantize(weight, "Q8_0"), quantize(weight, "Q4_0")
blocks4 = q4.data.reshape(len(weight), -1, 18)
exact8, exact4 = (packed.to_float32() @ x.astype(np.float64) for packed in (q8, q4))
by_loops = [row_loops(row, x.tolist()) for row in blocks4[:16]]
show_error("loops, 16 rows", np.array(by_loops), exact4[:16], 1e-9, against="float64 on the unpacked weights")

# %% [markdown]
# ### Now you · `q4_0_matvec` · 40 minutes
#
# Blocks (R, B, 18) and `x` (32 · B,) in float32 → `y` (R,). Right in NumPy first; then in Numba (01), where no array of
# weights is made. Numba has no float16. `minillama learn speed q4_0_matvec` shows yours beside the package's. (Not on
# the core path.)

# %%
q4_0_matvec = now_you("q4_0_matvec")


# %% tags=["solution"]
def book_q4_0_matvec(blocks, x):
    d = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0].astype(np.float32)  # (R, B)
    y = np.zeros(len(blocks), np.float32)
    _multiply_q4_0(d, blocks, x, y)
    return y


# %% tags=["solution"]
@njit(fastmath=True)
def _multiply_q4_0(d, blocks, x, y):
    for r in range(len(blocks)):
        result = np.float32(0)
        for b in range(blocks.shape[1]):
            total = np.float32(0)
            for i in range(16):
                byte = np.int32(blocks[r, b, 2 + i])
                total += np.float32((byte & 15) - 8) * x[32 * b + i]
                total += np.float32((byte >> 4) - 8) * x[32 * b + 16 + i]
            result += d[r, b] * total
        y[r] = result


# %%
show_error("q4_0_matvec", q4_0_matvec(blocks4, x), exact4, 1e-3, against="float64 on the same weights")

# %% [markdown]
# ## Inside a block nothing needs to be a float
#
# Splitting a byte and making two floats of it is more work than the two multiplications. It can be left out if the
# vector is quantised, too. The toy: the rows of the table with the step 1/7, and the state (3, 1) of chapter 01 with
# the step 3/7, as (7, 2).
#
# | | dog | bone | it |
# |---|---|---|---|
# | integers of the row | (7, 0) | (0, 7) | (4, 4) |
# | times (7, 2), added up | 49 | 14 | 36 |
# | times both steps, 3/49 | 3.00 | 0.86 | 2.20 |
# | on paper | 3 | 1 | 2 |
#
# Integers are multiplied and added without any error; the steps come in once a block. With primes for what belongs to
# the vector:
#
# $$ y = \sum_b \Delta_b\, \Delta'_b \sum_{i \in b} Q_i\, Q'_i . $$
#
# **Guess first:** the product of two numbers from −127 to 127 fits int16. What type must the sum of 32 of them have?
#
# ### Now you · `int8_block_matvec` · 20 minutes
#
# `q` (R, C) in int8 with steps `d` (R, C/32), and `x` (C,) in int8 with steps `dx` (C/32,) → `y` (R,).

# %%
int8_block_matvec = now_you("int8_block_matvec")


# %% tags=["solution"]
def book_int8_block_matvec(q, d, x, dx):
    y = np.empty(len(q), np.float32)
    _multiply_int8(q, d, x, dx, y)
    return y


# %% tags=["solution"]
@njit(fastmath=True)
def _multiply_int8(q, d, x, dx, y):
    for r in range(len(q)):
        result = np.float32(0)
        for b in range(len(dx)):
            total = np.int32(0)
            for i in range(32 * b, 32 * b + 32):
                total += np.int32(np.int32(q[r, i]) * np.int32(x[i]))
            result += d[r, b] * dx[b] * np.float32(total)
        y[r] = result


# %% [markdown]
# 32 products of 127 · 127 are 516,128, which takes 19 bits and a sign: int32. In int16 the sums would wrap round.
#
# The error has two parts. Against float64 with the same integers there is hardly any. Against float64 with the same
# weights and the *unrounded* vector there is what 8 bits cost.

# %%
b8 = q8.data.reshape(len(weight), -1, 34)
d8 = np.ascontiguousarray(b8[..., :2]).view(np.float16)[..., 0].astype(np.float32)
values8 = np.ascontiguousarray(b8[..., 2:]).reshape(weight.shape).view(np.int8)
dx, px = q8_0_quantize_blocks(x.reshape(-1, 32))
dx, px = dx.astype(np.float32), px.reshape(-1)
by_integers = int8_block_matvec(values8, d8, px, dx)
x_rounded = (px.reshape(-1, 32) * dx[:, None]).reshape(-1).astype(np.float64)
show_error("integers", by_integers, q8.to_float32() @ x_rounded, 1e-3, against="float64, the same integers")
eight_bits = np.sqrt(np.mean((by_integers - exact8) ** 2))
print(f"what 8 bits of x cost: {eight_bits:.4f}, for logits of size {exact8.std():.2f} (root mean squares)")

# %% [markdown]
# ## Fifteen bits are two bytes
#
# Eight bits were enough for weights. Are they for activations? Those of this model have outliers that weights have not
# (04). Below is what goes into the matrices while the model reads the sentence, and the error of rounding it to 8 bits.
#
# An integer of 15 bits, its sign among them, does not fit a byte, and fits two: 1000 = 128 · 8 − 24, the *high* part 8
# and the *low* part −24. All high parts of a vector are one *plane* of bytes, all low parts another. A product is then
# two of bytes, $128 \cdot Q\,\text{high} + Q\,\text{low}$. That is twice the arithmetic, which waits for memory anyway,
# and not a byte more of weights.
#
# ### Now you · `split_in_planes` · 20 minutes
#
# `x` (32 · B,) → `high` and `low` (32 · B,) in int8, the steps `d` (B,), and `total` (B,), the sum of each block's
# integers, which will be needed soon. The largest becomes 127 · 128: why not twice that? (Not on the core path.)

# %%
split_in_planes = now_you("split_in_planes")


# %% tags=["solution"]
def book_split_in_planes(x):
    blocks = x.reshape(-1, 32)
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127 * 128)
    q = np.rint(blocks / np.where(d == 0, np.float32(1), d))
    high = np.rint(q / 128)
    low = q - 128 * high  # -64 ... 64
    return high.reshape(-1).astype(np.int8), low.reshape(-1).astype(np.int8), d[:, 0], q.sum(axis=1)


# %%
from minillama.quantization.repacked_kernels import quantize_rows


def with_8_bits(x):
    """x after rounding to the levels −127 … 127, a step for each 32."""
    return rounded(np.ascontiguousarray(x), 32, 8)


def in_planes(x):
    """x after rounding to 15 bits."""
    high, low, d, _ = split_in_planes(np.ascontiguousarray(x).reshape(-1))
    return ((np.float32(128) * high + low).reshape(-1, 32) * d[:, None]).reshape(x.shape)


names = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")
rows = []
for i in (0, 3, 4, 6):
    inputs = np.concatenate(caught[i : 7 * config.n_layers : 7])
    size = inputs.std()
    eight, planes = ((change(inputs) - inputs).std() / size for change in (with_8_bits, in_planes))
    rows.append((names[i], f"{np.abs(inputs).max() / size:.0f}", f"{eight:.1e}", f"{planes:.1e}"))
high, low, d, total = split_in_planes(x)
theirs = quantize_rows(x[None])
ours = 128 * high.astype(np.int32) + low
show_error("integers", ours, 128 * theirs.high[0].astype(np.int32) + theirs.low[0], 1, against="the package's")
table(("goes into", "largest, in standard deviations", "error with 8 bits", "error with 15"), rows)

# %% [markdown]
# The largest weight of any `wq` was 18 standard deviations from zero; what goes into `w_down` reaches hundreds. Blocks
# keep most of the harm away; still, 8 bits lose from 25 to 130 times as much as 15.
#
# **Guess first:** the whole model reads the short text of the opening, 69 tokens, with all activations rounded to 8
# bits. After how many of them is the most probable next token another one? And with 15 bits?

# %% tags=["hide-output"]
as_floats = FAST._replace(linear_forward=lambda x, w: FAST.linear_forward(x, w))  # layer by layer, nothing rounded
right = LLM(p, config, tokenizer, ops=as_floats).logits(text_ids)
rows = []
for change, name in ((with_8_bits, "8 bits"), (in_planes, "15 bits in two planes")):
    ops = FAST._replace(linear_forward=lambda x, w, change=change: FAST.linear_forward(change(x), w))
    other = LLM(p, config, tokenizer, ops=ops).logits(text_ids)
    differs = int((other.argmax(axis=1) != right.argmax(axis=1)).sum())
    rows.append((name, f"{np.sqrt(np.mean((other - right) ** 2)):.4f}", f"{differs} of {len(text_ids)}"))
show_error("the package, in integers", llm.logits(text_ids), right, 0.1, against="activations in float32")
table(("activations", "logits off by (root mean square)", "another most probable token"), rows)

# %% [markdown]
# With 8 bits a few tokens are others, and a text that is written goes another way from the first of them on. The
# package takes 15.
#
# ## One instruction does 64 multiplications
#
# A compiled loop over bytes (`int8_block_matvec`) is turned into vector instructions, and still not into the one that
# was made for this. On CPUs with AVX-512 VNNI it is called `vpdpbusd`. It has 16 sums (*lanes*), 64 bytes of weights,
# four for each sum, and four activations, the same for all. With two sums and the weights 1 2 3 4 and 5 6 7 8, and the
# activations 1, 0, −1, 2:
#
# | sum | before | adds | after |
# |---|---|---|---|
# | 0 | 100 | 1·1 + 2·0 − 3·1 + 4·2 = 6 | 106 |
# | 1 | 200 | 5·1 + 6·0 − 7·1 + 8·2 = 14 | 214 |
#
# The sums have 32 bits, so nothing is rounded. One condition: the activations have a sign, the weights have none, 0 …
# 255.
#
# ### Now you · `dot4_lanes` · 10 minutes
#
# `sums` (n,) in int32, `weights` (4 · n,) in uint8, `x` (4,) in int8 → the new sums. (Not on the core path.)

# %%
dot4_lanes = now_you("dot4_lanes")


# %% tags=["solution"]
def book_dot4_lanes(sums, weights, x):
    products = weights.reshape(-1, 4).astype(np.int32) * x.astype(np.int32)  # (lanes, 4)
    return sums + products.sum(axis=1, dtype=np.int32)


# %%
toy_sums = dot4_lanes(np.array([100, 200], np.int32), np.arange(1, 9, dtype=np.uint8), np.array([1, 0, -1, 2], np.int8))
print("the table above:", toy_sums.tolist())

# %% [markdown]
# How does a Python function come to use it? Numba writes a program for LLVM, the compiler below it, and an *intrinsic*
# is a function that adds lines to it. The outer function is given types and returns a signature; the inner one,
# `build`, runs while a kernel is compiled, and its `builder` appends instructions. Here are two ways to write the four
# products: with shifts, products and sums, which every CPU has, and as one call of the instruction.

# %%
from minillama.compute.simd import I32, Bytes64, Ints16, store_floats
from minillama.compute.simd_bytes import DOT4, join_planes, load_64_bytes, splat_int


def portable(builder, sums, weights, four):
    for byte in range(4):
        down, up = (ir.Constant(I32, [shift] * 16) for shift in (8 * byte, 24 - 8 * byte))
        unsigned = builder.and_(builder.lshr(weights, down), ir.Constant(I32, [255] * 16))
        signed = builder.ashr(builder.shl(four, up), ir.Constant(I32, [24] * 16))
        sums = builder.add(sums, builder.mul(unsigned, signed))
    return sums


def one_instruction(builder, sums, weights, four):
    kind = ir.FunctionType(I32, [I32, I32, I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(function, [sums, weights, four])


def make_dot4(emit):
    @intrinsic
    def instruction(typingctx, sums, weights, four):
        def build(context, builder, signature, args):
            return emit(builder, args[0], builder.bitcast(args[1], I32), args[2])

        return Ints16(Ints16, Bytes64, Ints16), build

    @njit
    def kernel(weights, x, y):
        """16 outputs from weights (64 n,) and activations seen as int32, 4 bytes each (n,)."""
        sums = splat_int(0)
        for i in range(x.size):
            sums = instruction(sums, load_64_bytes(weights, 64 * i), splat_int(x[i]))
        store_floats(y, 0, join_planes(splat_int(0), sums))  # 128 * 0 + sums, as floats

    return kernel


# %% [markdown]
# Both are compared with `dot4_lanes`, and then their machine code is read. (Another CPU prints other instructions: it
# may have `vpmaddwd` on widened bytes, or Arm's `usdot` and `sdot`; `minillama/compute/simd_bytes.py` has them all.)

# %% tags=["varies"]
variants = {"portable": portable} | ({"vpdpbusd": one_instruction} if DOT4 == "avx512vnni" else {})
weights64 = rng.integers(0, 256, 64 * 8).astype(np.uint8)
activations = rng.integers(-128, 128, 4 * 8).astype(np.int8)
expected = np.zeros(16, np.int32)
for i in range(8):
    expected = dot4_lanes(expected, weights64[64 * i : 64 * i + 64], activations[4 * i : 4 * i + 4])
for name, emit in variants.items():
    kernel, out = make_dot4(emit), np.empty(16, np.float32)
    kernel(weights64, activations.view(np.int32), out)
    show_error(name, out, expected, 0, against="dot4_lanes")
    code = [line.strip() for line in next(iter(kernel.inspect_asm().values())).splitlines()]
    used = {line.split()[0] for line in code if line[:1].isalpha() and not line.endswith(":")}
    used = sorted(word for word in used if any(part in word for part in ("mul", "madd", "mla", "pdp", "dot")))
    vectors = sum(any(register in line for register in ("%zmm", "%ymm", "%xmm", ".16b", ".4s")) for line in code)
    print(f"    {vectors} instructions on vectors; those that multiply: {', '.join(used)}")

# %% [markdown]
# ## 128 too much in each weight is one number a block
#
# Q8_0's integers have a sign, and the instruction wants none. So 128 is added to each when the model is loaded. (In
# Q4_0, what is stored is the level plus 8 anyway.) A block of two weights, −3 and 5, and the activations 10 and 4:
#
# | | | sum |
# |---|---|---|
# | right | −3 · 10 + 5 · 4 | −10 |
# | 128 added | 125 · 10 + 133 · 4 | 1782 |
# | too much | 128 · 10 + 128 · 4 = 128 · 14 | 1792 |
#
# What is too much has no weight in it: it is the same for all rows. What was added, 128 here, is called the *zero
# point*.
#
# ### Now you · `zero_point_correction` · 10 minutes
#
# The sums of each row and block (R, B) with too large weights, the activations (32 · B,), and the zero point → the
# right sums. (Not on the core path.)

# %%
zero_point_correction = now_you("zero_point_correction")


# %% tags=["solution"]
def book_zero_point_correction(sums, x, zero):
    totals = x.astype(np.int32).reshape(-1, 32).sum(axis=1)  # (B,)
    return sums - zero * totals


# %%
u = (values8[:16].astype(np.int32) + 128).reshape(16, -1, 32)
sums = (u * px.reshape(-1, 32).astype(np.int32)).sum(axis=2, dtype=np.int32)
corrected = (zero_point_correction(sums, px, 128) * d8[:16] * dx).sum(axis=1)
uncorrected = (sums * d8[:16] * dx).sum(axis=1)
show_error("16 logits, corrected", corrected, by_integers[:16], 1e-3, against="int8_block_matvec")
print("the first three:", corrected[:3].round(2), "  uncorrected:", uncorrected[:3].round(2))
too_much = 128 * (d8 * dx * px.astype(np.int32).reshape(-1, 32).sum(axis=1)).sum(axis=1)  # of all rows
best = [repr(tokenizer.decode([int(z.argmax())])) for z in (by_integers, by_integers + too_much)]
print("the most probable token:", best[0], "  uncorrected:", best[1])
assert best[0] != best[1]

# %% [markdown]
# Uncorrected, a token without any text would come next.
#
# ## Sixteen rows lie side by side
#
# The instruction leaves 16 sums. If its 64 bytes were 64 columns of one row, the 16 sums would have to be added up in
# the end, and each four of them would need other activations. So 16 rows are put together: four bytes of row 0, four of
# row 1, … four of row 15, then the next four columns of all 16. Each sum is one output, all need the same four
# activations, and the matrix is read from front to back. (The package calls such a matrix *repacked*.) With two rows
# and two columns at a time, in place of 16 and 4:
#
#     row 0:   a b c d        in memory:   a b A B  c d C D
#     row 1:   A B C D
#
# ### Now you · `interleave_rows` · 20 minutes
#
# Bytes (R, C) → (R/16 rounded up, C/4, 64). What is missing in the last group is zero. Think of `reshape` and of the
# order of axes. (Not on the core path.)

# %%
interleave_rows = now_you("interleave_rows")


# %% tags=["solution"]
def book_interleave_rows(q):
    n_steps = q.shape[1] // 4
    padded = np.pad(q, ((0, -len(q) % 16), (0, 0)))
    lanes = padded.reshape(-1, 16, n_steps, 4)  # (group, lane, step, k)
    return lanes.swapaxes(1, 2).reshape(-1, n_steps, 64)


# %% tags=["hide-input"]
order = np.arange(16 * 32, dtype=np.uint16).reshape(16, 32)
place = np.empty_like(order)
place.ravel()[interleave_rows(order).ravel()] = np.arange(order.size)
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharex=True, sharey=True)
firsts = []
for axis, grid in zip(axes, (order, place)):
    picture = axis.imshow(grid, aspect="auto")
    ys, xs = np.nonzero(grid < 64)
    corner, size = (xs.min() - 0.5, ys.min() - 0.5), (np.ptp(xs) + 1, np.ptp(ys) + 1)
    axis.add_patch(plt.Rectangle(corner, *size, fill=False, ec="red", lw=2.5))
    axis.set(xlabel="column", yticks=range(0, 16, 3))
    axis.grid(False)
    firsts.append(size)
claim(axes[0], "As in the file: two rows first", holds=firsts[0] == (32, 2))
claim(axes[1], "Interleaved: four columns of 16 rows first", holds=firsts[1] == (4, 16))
axes[0].set_ylabel("row")
figure.colorbar(picture, ax=axes, label="place in memory")
show(
    figure,
    "Two maps of 16 rows and 32 columns, coloured by the place of each number in memory; a red frame has the first 64. "
    "Left the colour runs along the rows, and the frame holds the first two rows. Right it runs from left to right in "
    "bands of four columns, and the frame holds the first four columns of all 16 rows.",
)

# %% [markdown]
# The red frames hold what comes first in memory, 64 bytes.
#
# ## All parts together
#
# The kernel for Q8_0: 64 bytes are loaded and multiplied with both planes, eight times for a block of 32 columns, and
# then the integers become floats. The lower sums begin at minus the correction, so it costs nothing. `dot4` of the
# package is the instruction that this CPU has.

# %%
from minillama.compute.simd import load_floats, multiply, multiply_add, splat_float
from minillama.compute.simd_bytes import dot4
from minillama.quantization.repacked import repack


@njit
def multiply_interleaved(data, scales, high, low, d, total, zero, y):
    """data (G * C / 4 * 64,) bytes, scales (G * B * 16,) float32, planes (C,), d and total (B,), y (16 G,)."""
    at = 0
    for group in range(y.size // 16):
        result = splat_float(np.float32(0))
        for b in range(d.size):
            high_sums, low_sums = splat_int(0), splat_int(-zero * np.int64(total[b]))
            for step in range(8):
                weights = load_64_bytes(data, at)
                high_sums = dot4(high_sums, weights, high, 32 * b + 4 * step)
                low_sums = dot4(low_sums, weights, low, 32 * b + 4 * step)
                at += 64
            scale = multiply(load_floats(scales, 16 * (group * d.size + b)), splat_float(d[b]))
            result = multiply_add(join_planes(high_sums, low_sums), scale, result)  # 128 * high + low
        store_floats(y, 16 * group, result)


data = interleave_rows(values8.view(np.uint8) + np.uint8(128)).reshape(-1)  # 256 wraps: the sign becomes 128 more
scales = np.ascontiguousarray(d8.reshape(-1, 16, d8.shape[1]).swapaxes(1, 2)).reshape(-1)
y = np.empty(len(weight), np.float32)
multiply_interleaved(data, scales, high, low, d, total, 128, y)
show_error("interleaved", y, exact8, 1e-2, against="float64, x not rounded")
print(f"root mean square of the error: 8 bits {eight_bits:.1e}, two planes {np.sqrt(np.mean((y - exact8) ** 2)):.1e}")

woven8, woven4 = repack(q8), repack(q4)
show_error("the kernel", y, woven8.multiply(x[None])[0], 1e-4, against="minillama.quantization.repacked, Q8_0")
show_error("the package, Q4_0", woven4.multiply(x[None])[0], exact4, 1e-2, against="float64, x not rounded")
layout = woven8.layout
stream = woven8.data[layout.start :][: 18 * layout.stride].reshape(18, -1)[:, :512]
np.testing.assert_array_equal(data[: 18 * 512], stream.reshape(-1))  # the same bytes in the same order

# %% [markdown]
# `minillama.quantization.repacked` does so for all formats. At 4 bits, 64 bytes are 128 weights, split with an `and`
# and a shift; steps stay float16 and lie right after their block, so that everything is one stream.
#
# ## From one weight in many nanoseconds to many in one
#
# The head of the model in eight ways, on one core. Before each measurement something else is read, so that weights come
# from memory, as they do in a model that is larger than the caches. The rate is in weights, not in bytes, so that all
# can be compared. (The two exercises run here as you have written them; "vectors" is a kernel of the package that
# unpacks to floats, 16 at a time.)
#
# **Guess first:** how many times as fast as the Python loop is the last?

# %% tags=["hide-input"]
from minillama.quantization.kernels import matvec_packed


def multiply_loops(matrix, x):
    y = []
    for row in matrix:
        total = 0.0
        for a, b in zip(row.tolist(), x.tolist()):
            total += a * b
        y.append(total)
    return np.array(y)


@njit(fastmath=True)
def multiply_float(matrix, x, y):
    for r in range(len(matrix)):
        total = np.float32(0)
        for i in range(x.size):
            total += matrix[r, i] * x[i]
        y[r] = total


# %% tags=["hide-output", "varies"]
size, out = weight.size, np.empty((1, len(weight)), np.float32)
few_rows = len(weight) / 24  # the naive loop runs on 24 rows
ladder = [
    ("Python loops, float32", seconds(multiply_loops, weight[:24], x, rounds=2) * few_rows, weight.nbytes),
    ("NumPy (BLAS), float32", seconds(np.matmul, weight, x, cold=True), weight.nbytes),
    ("Numba loop, float32", seconds(multiply_float, weight, x, y, cold=True), weight.nbytes),
    ("int8_block_matvec", seconds(int8_block_matvec, values8, d8, px, dx, cold=True), q8.nbytes),
    ("q4_0_matvec", seconds(q4_0_matvec, blocks4, x, cold=True), q4.nbytes),
    ("vectors, Q4_0 unpacked", seconds(matvec_packed, x[None], q4, out, cold=True), q4.nbytes),
    ("integers, Q8_0 repacked", seconds(woven8.multiply, x[None], rounds=15, cold=True), q8.nbytes),
    ("integers, Q4_0 repacked", seconds(woven4.multiply, x[None], rounds=15, cold=True), q4.nbytes),
]
rates = {name: size / t / 1e9 for name, t, _ in ladder}
for name, t, n in ladder:
    print(f"{name:<24} {1e3 * t:10.2f} ms {rates[name]:8.3f} weights a ns {n / t / 1e9:7.1f} GB/s")

# %% tags=["hide-input", "hide-output", "varies"]
figure, axis = plt.subplots(figsize=(9, 3.8))
base, values = rates["Python loops, float32"], np.array(list(rates.values()))
axis.barh(range(len(rates)), values, color=[COLOURS[5]] + [COLOURS[0]] * 5 + [COLOURS[2]] * 2)
for i, value in enumerate(values):
    axis.text(value * 1.15, i, f"{value:.2g} ({value / base:,.0f} ×)", va="center", fontsize=9)
axis.set_yticks(range(len(rates)), list(rates))
axis.invert_yaxis()
axis.set(xscale="log", xlim=(values.min() / 2, values.max() * 12), xlabel="weights multiplied in a nanosecond (log)")
axis.grid(axis="y", visible=False)
best = rates["integers, Q4_0 repacked"]
claim(axis, "Integers are more than a hundred times as fast as Python", holds=best > 100 * base)
show(
    figure,
    "Bars for eight ways to multiply the head, with a logarithmic axis of weights a nanosecond. Python is the "
    f"shortest, {base:.2g}; NumPy and Numba in float32 are far longer; integers from 4 bits are the "
    f"longest, {best:.2g}.",
)

# %% [markdown]
# Fewer bytes are faster only for a kernel that waits for them. The last column says which do: the two exercises read
# far less than the memory delivers, and wait for their own arithmetic.
#
# The same on the roofline (01): speed against operations for each byte of weights. The slope is the bandwidth of one
# core; the roofs are NumPy's product of two matrices and, dashed, the package's integers on weights that the cache
# holds. One vector in float32 is far left, at one half, under the slope where memory limits. Packing moves it right,
# and a prompt of 128 tokens, which uses each weight 128 times, moves it to where arithmetic limits.

# %% tags=["hide-input", "varies"]
square = rng.normal(size=(512, 512)).astype(np.float32)
bandwidth = max(bandwidth, pieces[0].nbytes / min(once(add_up, piece, 1) for piece in [*pieces] * 3))
blas = 2 * 512**3 / seconds(np.matmul, square, square, rounds=15)
little = repack(quantize(weight[:512], "Q8_0"))  # fits the cache
many = rng.normal(size=(64, weight.shape[1])).astype(np.float32)
integers = 2 * 512 * weight.shape[1] * 64 / seconds(little.multiply, many)
long_prompt = rng.normal(size=(128, weight.shape[1])).astype(np.float32)
prompt_seconds = seconds(woven4.multiply, long_prompt, rounds=2)
points = {name: (2 * size / n, 2 * size / t) for name, t, n in ladder if not name.endswith("matvec")}
points["128 tokens, Q4_0 repacked"] = 2 * size * 128 / q4.nbytes, 2 * size * 128 / prompt_seconds
figure, axis = plt.subplots(figsize=(9, 4.4))
per_byte = np.geomspace(0.2, 1500, 200)
for roof, style_of, name in ((blas, "-", "float32, by BLAS"), (integers, "--", "integers, from the cache")):
    axis.loglog(per_byte, np.minimum(roof, bandwidth * per_byte) / 1e9, style_of, color=COLOURS[5], label=name)
for i, (name, (at, speed)) in enumerate(points.items()):
    axis.loglog(at, speed / 1e9, "osD^vPX"[i], markersize=8, color=COLOURS[i % 6], label=f"{name}: {speed / 1e9:.3g}")
axis.set(xlabel="operations for each byte of weights (log)", ylabel="billion operations a second (log)")
float_point, packed_point = points["NumPy (BLAS), float32"], points["integers, Q4_0 repacked"]
higher = packed_point[0] > float_point[0] and packed_point[1] > float_point[1]
claim(axis, "Packing moves a product to the right, and up", holds=higher)
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
show(
    figure,
    "Operations a second against operations for each byte, both logarithmic: a slope and two flat roofs. Python is far "
    "below; the float32 products are at one half operation a byte, packed ones at 2 to 3.6 and higher; the prompt of "
    f"128 tokens is far to the right, at {points['128 tokens, Q4_0 repacked'][0]:.0f}.",
)

# %% [markdown]
# ## A token is 151 phases
#
# Fast products leave little time for anything else. A token is some 150 phases (five for each of 30 layers, and the
# head), each of which needs all of the one before. With several cores, starting threads for each phase costs more than
# many phases take. The package starts them once for a token. Each thread walks through all phases and *claims* pieces
# of work: a counter that is raised by one instruction, which no other thread can interrupt (01), says which piece is
# next. Nobody goes on before all pieces of a phase are *finished*. Here the work is left out, so that only the cost of
# sharing it remains:

# %%
from minillama.compute.team import claim as claim_piece
from minillama.compute.team import finish, new_board


@njit(parallel=True)
def walk(board, owner):
    for own in prange(board.shape[1] - 1):  # one start of the threads
        for phase in range(len(board)):
            n_done, piece = 0, claim_piece(board, phase, own, owner.shape[1])
            while piece >= 0:
                owner[phase, piece] = own  # the work would be here
                n_done += 1
                piece = claim_piece(board, phase, own, owner.shape[1])
            finish(board, phase, n_done, owner.shape[1])


@njit(parallel=True)
def one_phase(owner):
    for piece in prange(owner.size):
        owner[piece] = 1


# %% tags=["varies"]
set_threads(most_threads())
owner = np.full((151, 8), -1)


def by_starting():
    for phase in range(len(owner)):
        one_phase(owner[phase])


one_start = seconds(lambda: walk(new_board(len(owner), most_threads()), owner), rounds=10)
each = seconds(by_starting, rounds=10)
set_threads(1)
assert (owner >= 0).all()
print(f"151 phases of nothing, {most_threads()} thread(s): one start {1e6 * one_start:.0f} µs, ", end="")
print(f"a start for each {1e6 * each:.0f} µs")

# %% [markdown]
# And the whole model, on one core: a token in one compiled call, and the same layers called one by one from Python on
# packed weights. The first cell compares what they compute, the second how long they take.

# %%
apart = LLM(p, config, tokenizer, ops=as_floats)


def read_slowly(model, n=16):
    """n tokens one by one; tokens a second, and the last logits."""
    session = model.session()
    session.feed(river)
    session.step(river[0])
    begin = time.perf_counter()
    for token in (river * 4)[:n]:
        session.step(token)
    return n / (time.perf_counter() - begin), session.logits


(together_speed, a), (apart_speed, b) = read_slowly(llm), read_slowly(apart)
show_error("logits after 16 tokens", a, b, 3e-2, against="the layers one by one")

# %% tags=["varies"]
print(f"one call a token: {together_speed:.0f} tokens/s; layer by layer: {apart_speed:.0f}")
read, limit = together_speed * llm.bytes_per_token / 1e9, bandwidth / 1e9
print(f"{llm.bytes_per_token / 1e6:.0f} MB a token: {read:.1f} GB/s, of {limit:.1f} that one core has read above")

# %% [markdown]
# What is missing is time in which no weight is read, or in which other programs had the core.
#
# ## One thing wrong at a time
#
# The layers of this model are Q4_1: step, minimum, 16 bytes. Each line rewrites every block as a program with one
# mistake would. One takes the halves of a byte for neighbours. One exchanges the halves. One forgets the minimum and
# subtracts 8, as in Q4_0. One takes the step of the block before. One divides by 16 where there are 15 steps.
#
# **Guess first:** which of them still writes English?


# %% tags=["hide-output"]
def halves_of(block, at):
    return np.ascontiguousarray(block[:, at : at + 2]).view(np.float16).astype(np.float32)


def as_bytes(d):
    return np.ascontiguousarray(d.astype(np.float16)).view(np.uint8)


def as_neighbours(blocks):
    in_order = np.stack((blocks[:, 4:] & 15, blocks[:, 4:] >> 4), axis=2).reshape(len(blocks), 32)
    return np.concatenate((blocks[:, :4], in_order[:, :16] | in_order[:, 16:] << 4), axis=1)


mistakes = {
    "right": lambda blocks: blocks,
    "halves are neighbours": as_neighbours,
    "halves exchanged": lambda b: np.concatenate((b[:, :4], b[:, 4:] >> 4 | b[:, 4:] << 4), axis=1),
    "minimum forgotten": lambda b: np.concatenate((b[:, :2], as_bytes(-8 * halves_of(b, 0)), b[:, 4:]), axis=1),
    "step of the block before": lambda b: np.concatenate((np.roll(b[:, :2], 1, axis=0), b[:, 2:]), axis=1),
    "16 steps, not 15": lambda b: np.concatenate((as_bytes(halves_of(b, 0) * 15 / 16), b[:, 2:]), axis=1),
}


def rewritten(change):
    layers = []
    for layer in p.layers:
        own = {name: w for name, w in layer._asdict().items() if getattr(w, "format_name", "") == "Q4_1"}
        own = {name: replace(w, data=change(w.data.reshape(-1, 20)).reshape(w.data.shape)) for name, w in own.items()}
        layers.append(layer._replace(**own))
    return LLM(p._replace(layers=tuple(layers)), config, tokenizer)


rows = []
for name, change in mistakes.items():
    model = rewritten(change)
    said = model.generate(PROMPT, max_tokens=12, temperature=0.0).text
    rows.append((name, loss_of(model.logits(text_ids)), " ".join(said.split())[:56]))
assert all(loss > np.log(config.vocab_size) > 2 * rows[0][1] for _, loss, _ in rows[1:])
table(("blocks", "loss", PROMPT), [(name, f"{loss:.2f}", said) for name, loss, said in rows])

# %% [markdown]
# None. A format is read the same way for every block, so a mistake in it is a mistake in every weight. The last is the
# smallest: weights near a block's minimum are right, and those near its maximum nearly a step too small. It is the
# error in one direction again, about half a step in the mean.
#
# ## What you now know
#
# - Writing a text reads every weight once a token, so bytes are time: the bandwidth divided by the bytes of a token is
#   the most tokens a second.
# - Weights are stored as small integers and a step. The largest of a block decides the step for all, so blocks are
#   small: 32 weights, half a bit each for the step.
# - The error of rounding is half a step at most, typically 0.29; Q4_0 has no level 8 and can lose a whole step.
# - Errors up and down cancel in a product. An eighth of a step in one direction breaks the model.
# - Inside a block, integers are multiplied exactly. The vector needs more bits than the weights: 15, in two bytes.
# - 16 rows side by side, one instruction for 64 products, and 128 taken off once a block: the processor then waits for
#   memory, which was the aim.
#
# ## Three questions
#
# 1. A block of 32 has 31 weights between −0.1 and 0.1, and one of 3.5. In Q4_0, which of the 31 become 0? How many of
#    them could a Q8_0 block keep apart from 0?
#
# <details>
# <summary>Answer</summary>
#
# The step is 3.5/8 = 0.44 in size, and what is below half of it, 0.22, becomes 0: all 31. In Q8_0 the step is
# 3.5/127 = 0.028; what is above 0.014 in size stays. If they are spread evenly over −0.1 … 0.1, 86 % do.
#
# </details>
#
# 2. A machine reads 50 GB/s. A model of 8 billion weights in Q4_0 is to answer at 10 tokens a second. Does it? How
#    many bytes of keys and values (10) may a token read before it does not? Would a processor of twice the speed help?
#
# <details>
# <summary>Answer</summary>
#
# 8 billion times 4.5 bits are 4.5 GB, so at most 11.1 tokens a second. At 10 a token may read 5 GB, which leaves 0.5 GB
# for keys and values. A faster processor helps nothing: it waits.
#
# </details>
#
# 3. A kernel multiplies Q8_0 weights by `vpdpbusd`, and its writer has forgotten to take the zero point off. By how
#    much is a logit of the head wrong, and is the most probable token another one? (Suppose first that all rows have
#    the same steps.)
#
# <details>
# <summary>Answer</summary>
#
# Each block adds $128\,\Delta_b\,\Delta'_b$ times the sum of its activations' integers. With the same steps in all rows
# that is the same number for every logit, and softmax knows only differences (06): nothing changes. But rows have steps
# of their own. Of the first three logits of the chapter's example, one is 22 too large and the others 55, where the
# logits themselves are 3 to 14. So another token wins: one whose steps are large.
#
# </details>
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `q8_0_quantize_blocks` | Quantise to 8 bits | 2 | 15 | core |
# | `q4_0_dequantize_blocks` | Unpack 4 bits | 2 | 15 | core |
# | `q4_0_quantize_blocks` | Quantise to 4 bits | 3 | 25 | core |
# | `block_error_bounds` | How wrong can a number be? | 2 | 15 | core |
# | `choose_group_size` | Choose a group size | 2 | 20 | core |
# | `int8_block_matvec` | Multiply in integers; with a speed card | 2 | 20 | core |
# | `zero_point_correction` | The zero point | 1 | 10 |  |
# | `dot4_lanes` | One vpdpbusd | 1 | 10 |  |
# | `interleave_rows` | Sixteen rows, one lane each | 3 | 20 |  |
# | `split_in_planes` | 15 bits in two bytes | 2 | 20 |  |
# | `q4_0_matvec` | Multiply packed weights; with a speed card | 3 | 40 |  |
# | `decode_speed_bound` | How fast can it possibly be? | 2 | 15 | core |
#
# <!-- end of the exercises -->
#
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# Your functions of chapters 01 to 08 now run a real model: `minillama generate --with my-llama --model
# smollm2-135m-instruct "The sky is"`, and `minillama learn verify` proves that its answer is the package's own.
#
# ## Next
#
# The model is whole, and it is fast. Where do its weights come from? From text, and most text is not fit for it:
# [13](13_pretraining_data.ipynb).
