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
# **Goal.** Store weights in 8 and 4 bits, know how wrong they become, and multiply by them as fast as this
# machine's memory delivers them: from Python loops to the CPU's instructions for bytes.
#
# **Before this:** chapters 01 (NumPy to Numba), 09 (the whole model) and 10 (KV cache). **Time:** about two hours,
# and almost four more for the exercises. **Paper:** LLaMA 2 (arXiv:2307.09288) does not quantise; its appendix A.2.1 is
# about the same limit, the bytes that decoding has to read (there of keys and values, answered with grouped
# queries). The formats are those of GGUF files: Q8_0, Q4_0, Q4_1.
#
# **Not reproduced:** models of 7B to 70B parameters are not run. Their limits are computed, from a bandwidth that
# is measured here. Every speed below is measured in its cell, on the machine that ran the chapter: other machines
# print other numbers.

# %%
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from llvmlite import ir
from numba import get_num_threads, njit, prange
from numba.core import cgutils
from numba.extending import intrinsic

from minillama import LLM
from minillama.compute.threads import most_threads, set_threads
from minillama.learn import check
from minillama.learn.book import COLOURS, load, show_error, style, table, torch
from minillama.ops import FAST
from minillama.quantization.formats import FORMATS, quantize

style()
rng = np.random.default_rng(12)
llm = load()

# %% [markdown]
# ## The idea
#
# To produce one token, a model multiplies one vector by every matrix it has. Each weight is read from memory,
# used for one multiplication and one addition, and not needed again before the next token. A processor can do many
# more operations in the time in which one weight arrives. So decoding waits for memory, and the way to make it
# faster is to make the weights *smaller*.
#
# First the two numbers that decide: how many bytes a second this machine reads, and how many operations it does.


# %%
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


# %%
large = np.ones(32 << 20, np.float32)  # 134 MB: more than the caches hold


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
            add_up(large, get_num_threads())
        times.append(once(function, *args))
    return min(times)


# %%
pieces = large.reshape(16, -1)  # 8 MB each; after all 16 the first has left the caches
square = rng.normal(size=(512, 512)).astype(np.float32)
machine = {}
for n_threads in sorted({1, most_threads()}):
    set_threads(n_threads)
    bandwidth = pieces[0].nbytes / min(once(add_up, piece, n_threads) for piece in [*pieces] * 3)
    operations = 2 * 512**3 / seconds(np.matmul, square, square, rounds=15)
    machine[n_threads] = bandwidth, operations
    print(f"{n_threads} thread(s): {bandwidth / 1e9:6.1f} GB/s read, {operations / 1e9:7.0f} GFLOP/s in float32")
    print(f"   operations in the time of one float32 weight: {operations / bandwidth * 4:.0f}; decoding needs 2")
set_threads(most_threads())
fastest = max(bandwidth for bandwidth, _ in machine.values())

# %% [markdown]
# Bytes per token divide the bandwidth: that is the most tokens per second that there can be. The table computes it
# for the model of this book and for three sizes of LLaMA 2 (their shapes are in the paper's table 1 and in chapter
# 00), at an empty context.


# %%
def bytes_per_token(n_layers, dim, n_heads, n_kv_heads, hidden_dim, vocab_size, bits):
    kv_dim = dim // n_heads * n_kv_heads
    layer = 2 * dim * dim + 2 * dim * kv_dim + 3 * dim * hidden_dim
    return (n_layers * layer + vocab_size * dim) * bits / 8


shapes = {
    "SmolLM2-135M": (30, 576, 9, 3, 1536, 49152),
    "LLaMA 2 7B": (32, 4096, 32, 32, 11008, 32000),
    "LLaMA 2 13B": (40, 5120, 40, 40, 13824, 32000),
    "LLaMA 2 70B": (80, 8192, 64, 8, 28672, 32000),
}
rows = []
for name, shape in shapes.items():
    for bits, kind in ((32, "float32"), (16, "bfloat16"), (8.5, "Q8_0"), (4.5, "Q4_0")):
        n_bytes = bytes_per_token(*shape, bits)
        rows.append((name, kind, f"{n_bytes / 1e9:.3f} GB", f"{fastest / n_bytes:.1f}"))
table(("model", "weights in", "bytes a token", "tokens/s at most, here"), rows)

# %% [markdown]
# ## The mathematics
#
# A *block* is 32 neighbours $w_0 \dots w_{31}$ of a row. It is stored as small integers $q_i$ and one *scale* $d$
# (and in some formats a *minimum* $m$):
#
# $$\hat w_i = d\,q_i + m, \qquad q_i = \operatorname{round}\!\left(\frac{w_i - m}{d}\right).$$
#
# | | levels $q$ | scale | $m$ | bits per weight |
# |---|---|---|---|---|
# | Q8_0 | $-127 \dots 127$ | $d = \max\lvert w\rvert / 127$ | 0 | $8 + 16/32$ |
# | Q4_0 | $-8 \dots 7$ | $d = w_{\max} / (-8)$ | 0 | $4 + 16/32$ |
# | Q4_1 | $0 \dots 15$ | $d = (\max w - \min w) / 15$ | $\min w$ | $4 + 32/32$ |
#
# $w_{\max}$ is the number of largest size, with its sign. A number between two levels is off by at most $d/2$; if
# its place between them is random, the error's root mean square is $d/\sqrt{12}$. Scales and minima are stored as
# float16.
#
# A product of a row with a vector $x$, which is stored in blocks too ($x_i = d_x\,p_i$), needs no float inside a
# block $b$:
#
# $$y = \sum_b \Bigl(d_b\, d_{x,b} \underbrace{\sum_{i \in b} q_i\, p_i}_{\text{integers, exact}}
#     \;+\; m_b\, d_{x,b} \sum_{i \in b} p_i\Bigr).$$
#
# Shapes, for a matrix of $R$ rows and $C$ columns, $B = C/32$ blocks in a row:
#
# | | shape | dtype |
# |---|---|---|
# | `w` | $(R, C)$ | float32 |
# | `q` | $(R, C)$, or $(R, C/2)$ bytes at 4 bits | int8, uint8 |
# | `d`, `m` | $(R, B)$ | float16 |
# | `x`, `y` | $(C,)$, $(R,)$ | float32 |
# | interleaved | $(R/16, B, 32/4, 16 \cdot 4)$ | uint8 |

# %% [markdown]
# ## A block in plain Python
#
# Q8_0, one number after another. Rounding goes to the nearest integer, halves away from zero.


# %%
def q8_0_block(x):
    largest = max(abs(float(v)) for v in x)
    d = largest / 127
    q = []
    for v in x:
        scaled = float(v) / d if d else 0.0
        q.append(int(scaled + 0.5) if scaled >= 0 else -int(-scaled + 0.5))
    return d, q


x = rng.normal(size=32).astype(np.float32)
d, q = q8_0_block(x)
print(f"d = {d:.6f}, q = {q[:8]} ...")
print(f"largest error {max(abs(d * a - b) for a, b in zip(q, x)):.6f}, half a step is {d / 2:.6f}")

# %% [markdown]
# ## All blocks in NumPy
#
# A block in every row; the three formats side by side. In Q4_0 the levels are not symmetrical, -8 ... 7. The number
# of largest size gets the -8, whatever its sign is: the sign goes into `d`. Division by `d` is a multiplication by
# $1/d$: a number that lies just half way between two levels may go to the other side if it is divided, and the bytes
# should be those that every other program writes.


# %%
def over(x, d):
    """x / d as x * (1 / d), the way ggml rounds; a block of zeros stays zero."""
    return x * (np.float32(1) / np.where(d == 0, np.float32(1), d))


def quantize_q8_0(x):
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    scaled = over(x, d)
    return d, np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)


def quantize_q4_0(x):
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)
    d = largest / np.float32(-8)
    q = np.trunc(over(x, d) + np.float32(8.5))
    return d, np.minimum(q, 15).astype(np.uint8)


def quantize_q4_1(x):
    m = x.min(axis=1, keepdims=True)
    d = (x.max(axis=1, keepdims=True) - m) / np.float32(15)
    return d, m, np.trunc(over(x - m, d) + np.float32(0.5)).astype(np.uint8)


# %% [markdown]
# Two 4-bit numbers share a byte. The order is not the obvious one: byte $i$ holds $q_i$ in its lower half and
# $q_{i+16}$ in its upper half. Unpacking 16 bytes at once then needs one `and` and one shift, and gives 16
# neighbours each.


# %%
def pack_q4_0(d, q):
    return np.concatenate((d.astype(np.float16).view(np.uint8), q[:, :16] | q[:, 16:] << 4), axis=1)


def unpack_q4_0(blocks):
    d = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
    q = np.concatenate((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), axis=1)
    return d * (q.astype(np.float32) - 8)


x = rng.normal(size=(4, 32)).astype(np.float32)
blocks = pack_q4_0(*quantize_q4_0(x))
print(f"a block of 32 float32 ({x[0].nbytes} bytes) in {blocks.shape[1]} bytes:")
print(" ".join(f"{byte:02x}" for byte in blocks[0]))
np.testing.assert_array_equal(blocks, quantize(x, "Q4_0").data)
np.testing.assert_array_equal(unpack_q4_0(blocks), FORMATS["Q4_0"].dequantize(blocks))

# %% [markdown]
# The bytes equal the package's. PyTorch has no GGUF formats, but its
# `fake_quantize_per_channel_affine` rounds like Q8_0 when it gets one scale for each row; without PyTorch the same is
# computed in float64.

# %%
x = rng.normal(size=(512, 32)).astype(np.float32)
d, q = quantize_q8_0(x)
if torch is not None:
    scales, zeros = torch.tensor(d[:, 0]), torch.zeros(len(x), dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(torch.tensor(x), scales, zeros, 0, -127, 127)
else:
    expected = d * np.rint(x.astype(np.float64) / d)
show_error("Q8_0", d * q, expected, 1e-6)

# %% [markdown]
# ## Real weights
#
# The file of SmolLM2 is quantised already: the layers in Q4_1, the head (which is also the embedding) in Q8_0. To
# round those again would show nothing, because they lie on the levels. So the chapter takes a matrix that is *not*
# on a grid: the head with the weights of the final RMSNorm folded into its columns,
#
# $$W'_{rc} = W_{rc}\, g_c, \qquad W' \hat x = W (g \odot \hat x),$$
#
# which computes the same logits from the normalised stream $\hat x$ and is really done before models are
# quantised. ($W$ came from 8 bits; relative to $W'$ that does not matter.)

# %%
p = llm.params
print(f"layers: {p.layers[0].wq.format_name}, head and embedding: {p.token_embedding.format_name}")
weight = p.token_embedding.to_float32() * p.final_norm
sample = weight[::8]
print(f"W' {weight.shape}, {weight.nbytes / 1e6:.0f} MB in float32, root mean square {sample.std():.3f}")
for name in ("Q8_0", "Q4_0", "Q4_1"):
    error = quantize(sample, name).to_float32() - sample
    relative = error.std() / sample.std()
    f = FORMATS[name]
    print(f"{name}: {8 * f.block_bytes / f.block_size:.1f} bits a weight, error {100 * relative:5.2f} % (rms of rms)")

# %% [markdown]
# ### Picture: one block and its levels
#
# The largest number of this block decides the steps of all 32. In Q4_0 the levels are bound to zero and to
# one extreme; in Q4_1 they span just the range that is there, and the minimum costs 16 more bits.

# %%
block = sample.reshape(-1, 32)[np.argmax(np.ptp(sample.reshape(-1, 32)[:2000], axis=1))][None]
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True)
for ax, name, (d, m) in zip(
    axes,
    ("Q4_0", "Q4_1"),
    ((quantize_q4_0(block)[0], -8 * quantize_q4_0(block)[0]), quantize_q4_1(block)[:2]),
):
    packed = quantize(block, name).to_float32()[0]
    for level in (m + d * np.arange(16))[0]:
        ax.axhline(level, color=COLOURS[5], linewidth=0.6)
    ax.vlines(np.arange(32), block[0], packed, color=COLOURS[1], linewidth=2, label="error")
    ax.plot(block[0], "o", markersize=4, label="weight")
    ax.set(title=f"{name}: rms error {np.sqrt(np.mean((packed - block[0]) ** 2)):.3f}", xlabel="element of the block")
    ax.grid(False)
axes[0].set_ylabel("value of the weight")
axes[1].legend(loc="upper right", frameon=True)
plt.show()

# %% [markdown]
# ### Picture: the errors of all weights
#
# The errors of all numbers, on a logarithmic axis. Within a block they are spread evenly over a step (right); steps
# differ from block to block, so that the sum of many even distributions appears (left). The peak at 0 are the extremes
# of the blocks, which lie on a level. Some errors of Q4_0 exceed half a step: numbers on the side without the extra
# level, clipped from almost +8 to +7.

# %%
STEPS = {
    "Q4_0": lambda blocks: np.abs(blocks).max(axis=1) / 8,
    "Q4_1": lambda blocks: np.ptp(blocks, axis=1) / 15,
    "Q8_0": lambda blocks: np.abs(blocks).max(axis=1) / 127,
}
blocks = sample.reshape(-1, 32)
errors = {name: quantize(sample, name).to_float32().reshape(-1, 32) - blocks for name in STEPS}
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.7))
look = {"density": True, "histtype": "step", "lw": 1.7}
for (name, error), colour in zip(errors.items(), COLOURS):
    left.hist(error.ravel(), np.linspace(-0.3, 0.3, 121), color=colour, label=name, **look)
    share = np.abs(error) / STEPS[name](blocks)[:, None]
    right.hist(share.ravel(), np.linspace(0, 1.1, 56), color=colour, label=name, **look)
left.set(yscale="log", xlabel="error of a weight", ylabel="density (log)")
left.set_title("Four bits: more than ten times as wrong as eight")
right.set(yscale="log", xlabel="size of the error, in steps of its block", ylabel="density (log)")
right.set_title("At most half a step, but for Q4_0")
right.axvline(0.5, color=COLOURS[5], lw=1, ls="--")
left.legend(loc="upper right")
plt.show()

# %% [markdown]
# The right panel shows the bound: errors of Q8_0 and Q4_1 end at half a step (a little later where rounding the scale
# to float16 moved the levels), and those of Q4_0 reach one whole step. The next cell asserts it for every block, and
# compares the root mean square with $d/\sqrt{12}$.

# %%
for name, error in errors.items():
    step = STEPS[name](blocks)
    slack = np.abs(blocks).max(axis=1) * 2.0**-10  # scales and minima are float16
    limit = step * (1 if name == "Q4_0" else 0.5) + slack
    assert (np.abs(error).max(axis=1) <= limit).all(), name
    rms, predicted = np.sqrt(np.mean(error**2)), np.sqrt(np.mean(step**2) / 12)
    print(f"{name}: all errors within the bound; rms {rms:.5f}, d / sqrt(12) predicts {predicted:.5f}")

# %% [markdown]
# ### Picture: what a block of 32 buys
#
# Larger groups share a scale among more weights: fewer bits, but a larger maximum for everybody. The curve is
# symmetrical quantisation at 4, 5 and 6 bits in groups of 8 to 576; the squares are formats of GGUF. Left of 32 a curve
# is steep: bits spent on smaller groups pay. Right of it, one more bit in every weight pays better. Most formats take
# blocks of 32.


# %%
def group_error(w, size, bits):
    groups = w.reshape(-1, size)
    d = np.abs(groups).max(axis=1, keepdims=True) / np.float32(2 ** (bits - 1) - 1)
    difference = d * np.rint(over(groups, d)) - groups
    return np.sqrt(np.mean(difference**2) / np.mean(w**2))


few = weight[::32]
plt.figure(figsize=(8, 4))
for bits, colour in zip((4, 5, 6), COLOURS):
    sizes = (8, 16, 32, 64, 192, 576)
    errors = [100 * group_error(few, size, bits) for size in sizes]
    plt.plot(
        [bits + 16 / size for size in sizes], errors, "o-", color=colour, label=f"{bits} bits, groups of 576 ... 8"
    )
    plt.annotate("32", (bits + 16 / 32, errors[2]), textcoords="offset points", xytext=(3, 5), color=colour)
for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1"):
    error = 100 * (quantize(few, name).to_float32() - few).std() / few.std()
    at = 8 * FORMATS[name].block_bytes / 32
    plt.plot(at, error, "s", color=COLOURS[5])
    plt.annotate(name, (at, error), textcoords="offset points", xytext=(-34, -5))
plt.yscale("log")
plt.yticks([2, 3, 5, 10, 20], ["2", "3", "5", "10", "20"])
plt.minorticks_off()
plt.gca().set(xlabel="bits per weight, scale included", ylabel="relative rms error, % (log)")
plt.title("Smaller groups are more exact and take more bits")
plt.legend()
plt.show()

# %% [markdown]
# ## Multiplying: naive loops
#
# Now the product $y = W' x$, with a real $x$: the normalised residual stream at the end of a sentence, caught on its
# way into the head by a table of operations of the chapter's own.

# %%
caught = []


def listening(x, weight):
    caught.append(x.reshape(-1, x.shape[-1]))
    return FAST.linear_forward(x, weight)


listener = LLM(p, llm.config, llm.tokenizer, ops=FAST._replace(linear_forward=listening))
ids = llm.tokenizer.encode("A river carries sand to the sea, and the sea carries it back to the shore.")
logits = listener.logits(ids)[-1]
x = np.ascontiguousarray(caught[-1][-1] / p.final_norm)
exact = weight.astype(np.float64) @ x
show_error("W' x = the model's logits", exact, logits, 1e-3, against="the whole model")


# %%
def multiply_loops(weight, x):
    y = []
    for row in weight:
        total = 0.0
        for a, b in zip(row.tolist(), x.tolist()):
            total += a * b
        y.append(total)
    return np.array(y)


show_error("loops", multiply_loops(weight[:16], x), exact[:16], 1e-3, against="float64")

# %% [markdown]
# ## NumPy, and Numba
#
# NumPy hands the product to BLAS. A Numba loop compiles to vector instructions when `fastmath` allows it to reorder
# the sum. A loop over int8 compiles too, but not to the instruction that exists for the purpose. A loop over
# packed Q4_0 unpacks each byte where it needs it.


# %%
@njit(fastmath=True)
def multiply_float(weight, x, y):
    for r in range(len(weight)):
        total = np.float32(0)
        for i in range(x.size):
            total += weight[r, i] * x[i]
        y[r] = total


@njit(fastmath=True)
def multiply_int8(q, d, p, dx, y):
    for r in range(len(q)):
        result = np.float32(0)
        for b in range(dx.size):
            total = np.int32(0)
            for i in range(32 * b, 32 * b + 32):
                total += np.int32(np.int32(q[r, i]) * np.int32(p[i]))
            result += d[r, b] * dx[b] * np.float32(total)
        y[r] = result


# %%
@njit(fastmath=True)
def multiply_q4_0(d, blocks, x, y):
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


q8, q4 = quantize(weight, "Q8_0"), quantize(weight, "Q4_0")
b8, b4 = q8.data.reshape(len(weight), -1, 34), q4.data.reshape(len(weight), -1, 18)
d8, d4 = (np.ascontiguousarray(b[..., :2]).view(np.float16)[..., 0].astype(np.float32) for b in (b8, b4))
values8 = np.ascontiguousarray(b8[..., 2:]).reshape(weight.shape).view(np.int8)
exact8, exact4 = (packed.to_float32() @ x.astype(np.float64) for packed in (q8, q4))

# %% [markdown]
# Each is compared with float64 before anything is timed. For the int8 loop the activations are rounded to 8 bits
# too, as Q8_0: that error is visible, and the chapter returns to it.

# %%
y = np.empty(len(weight), np.float32)
dx, px = quantize_q8_0(x.reshape(-1, 32))
px, dx = px.reshape(-1), dx[:, 0]
multiply_float(weight, x, y)
show_error("Numba, float32", y, exact, 1e-3, against="float64")
multiply_q4_0(d4, b4, x, y)
show_error("Numba, Q4_0", y, exact4, 1e-3, against="float64 with the same weights")
multiply_int8(values8, d8, px, dx, y)
rounded = (px.reshape(-1, 32) * dx[:, None]).reshape(-1).astype(np.float64)
show_error("Numba, int8", y, q8.to_float32() @ rounded, 1e-3, against="float64 with the same integers")
eight_bits = float(np.sqrt(np.mean((y - exact8) ** 2)))
print(f"what 8-bit activations cost: rms {eight_bits:.4f} in logits of rms {exact8.std():.2f}")

# %% [markdown]
# ## The instruction that LLVM does not find
#
# `vpdpbusd` takes 64 unsigned bytes (weights), 64 signed bytes (activations) and 16 sums of 32 bits. To each sum it
# adds four products: 64 multiplications in one instruction, nothing is rounded and nothing can overflow.
#
# A NumPy twin says exactly what it does. It also says why weights must be *unsigned* here.


# %%
def dot4_twin(sums, weights, four):
    """sums (16,) int32, weights (64,) uint8, four (4,) int8."""
    products = weights.reshape(16, 4).astype(np.int32) * four.astype(np.int32)
    return sums + products.sum(axis=1, dtype=np.int32)


# %% [markdown]
# A Numba *intrinsic* is a function that writes LLVM's language itself. It has two parts. The outer function gets the
# types of the arguments and returns a signature. The inner one, `build`, is called while a kernel compiles: `args`
# are LLVM values, and `builder` appends instructions. To emit `vpdpbusd`, it declares the LLVM function that stands
# for the instruction, and calls it. `Ints16` and `Bytes64` are Numba types of the package whose values are vectors.
#
# The portable twin does the same with shifts, products and sums, which every CPU has.

# %%
from minillama.compute.simd import I32, Bytes64, Ints16, store_floats
from minillama.compute.simd_bytes import DOT4, join_planes, load_64_bytes, splat_int


def portable(builder, sums, weights, four):
    for byte in range(4):
        down, up = (ir.Constant(I32, [shift] * 16) for shift in (8 * byte, 24 - 8 * byte))
        weight = builder.and_(builder.lshr(weights, down), ir.Constant(I32, [255] * 16))  # no sign
        value = builder.ashr(builder.shl(four, up), ir.Constant(I32, [24] * 16))  # with its sign
        sums = builder.add(sums, builder.mul(weight, value))
    return sums


def one_instruction(builder, sums, weights, four):
    kind = ir.FunctionType(I32, [I32, I32, I32])
    vpdpbusd = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(vpdpbusd, [sums, weights, four])


# %%
@njit
def return_sums(y, sums):
    store_floats(y, 0, join_planes(splat_int(0), sums))  # 128 * 0 + sums, as floats


def make_dot4(emit):
    @intrinsic
    def dot4(typingctx, sums, weights, four):
        def build(context, builder, signature, args):
            return emit(builder, args[0], builder.bitcast(args[1], I32), args[2])

        return Ints16(Ints16, Bytes64, Ints16), build

    @njit
    def lanes(weights, x, y):
        """16 outputs from weights (64 n,) and activations seen as int32, 4 bytes each (n,)."""
        sums = splat_int(0)
        for i in range(x.size):
            sums = dot4(sums, load_64_bytes(weights, 64 * i), splat_int(x[i]))
        return_sums(y, sums)

    return lanes


# %% [markdown]
# The compiled kernels can be read. The next cell compiles the portable form, and the one-instruction form where the
# CPU has AVX-512 VNNI; compares both with the twin; and looks at the machine code. (In the portable form LLVM may find
# some instruction for products of 16 bits, and needs others around it.)

# %%
variants = {"portable": portable} | ({"vpdpbusd": one_instruction} if DOT4 == "avx512vnni" else {})
weights = rng.integers(0, 256, 64 * 8).astype(np.uint8)
activations = rng.integers(-128, 128, 4 * 8).astype(np.int8)
expected = np.zeros(16, np.int32)
for i in range(8):
    expected = dot4_twin(expected, weights[64 * i : 64 * i + 64], activations[4 * i : 4 * i + 4])
print(f"the package uses {DOT4} on this CPU")
for name, emit in variants.items():
    lanes, out = make_dot4(emit), np.empty(16, np.float32)
    lanes(weights, activations.view(np.int32), out)
    show_error(f"  {name}", out, expected, 0, against="the twin")
    code = [line.strip() for line in next(iter(lanes.inspect_asm().values())).splitlines()]
    used = {line.split()[0] for line in code if line[:1].isalpha()}
    used = sorted(word for word in used if any(part in word for part in ("mul", "madd", "mla", "pdp")))
    vectors = sum(any(register in line for register in ("%zmm", "%ymm", "%xmm", ".16b", ".4s")) for line in code)
    print(f"  {vectors} instructions on vectors; those that multiply: {', '.join(used)}")
    print("\n".join(f"      {line}" for line in code if line.startswith("vpdpbusd"))[:200])

# %% [markdown]
# Other CPUs have other instructions for the same purpose: two halves of 256 bits (`avxvnni`), `vpmaddwd` on widened
# bytes (`avx2`), `usdot` and `sdot` on Arm. `simd_bytes.py` holds them all; each has the same twin, and the tests
# run them against it.
#
# ## Unsigned weights: the zero point
#
# Q8_0's integers have a sign, and `vpdpbusd` wants weights without one. So 128 is added to every weight when the model
# is loaded ($u = q + z$, $z = 128$; in Q4_0 the stored numbers are $q + 8$ anyway), and taken off again:
#
# $$\sum_i q_i p_i = \sum_i u_i p_i - z \sum_i p_i .$$
#
# The last sum does not depend on the row. It is computed once for each block of activations, and the accumulators
# simply *start* at $-z \sum p$ instead of 0.

# %%
q, p8 = rng.integers(-128, 128, 32), rng.integers(-128, 128, 32)
u = q + 128
print(f"sum q p = {q @ p8};  sum u p = {u @ p8};  sum u p - 128 sum p = {u @ p8 - 128 * p8.sum()}")
assert q @ p8 == u @ p8 - 128 * p8.sum()

# %% [markdown]
# ## Sixteen rows, one lane each
#
# The instruction leaves 16 sums. If its 64 bytes were 64 columns of one row, those 16 sums would have to be added
# up at the end of every row, and the activations would be 64 different bytes each time. Instead *16 rows lie
# interleaved*: for 4 neighbouring columns, 4 bytes of row 0, 4 of row 1, ... 4 of row 15. (The package calls such a
# matrix *repacked*.) Each sum is then one output, and the same 4 activations serve all lanes. A matrix becomes one
# stream of bytes, read once from front to back.


# %%
def interleave_rows(q):
    """(R, C) to (R / 16, C / 4, 64): out[g, s, 4 n + k] = q[16 g + n, 4 s + k]."""
    lanes = q.reshape(-1, 16, q.shape[1] // 4, 4)  # (group, lane, step, k)
    return lanes.swapaxes(1, 2).reshape(-1, q.shape[1] // 4, 64)


small = np.arange(32 * 8).reshape(32, 8)
naive = np.zeros((2, 2, 64), int)
for g in range(2):
    for s in range(2):
        for n in range(16):
            for k in range(4):
                naive[g, s, 4 * n + k] = small[16 * g + n, 4 * s + k]
np.testing.assert_array_equal(interleave_rows(small), naive)

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True)
n_columns = 32
order = np.arange(16 * n_columns).reshape(16, n_columns)
place = np.empty_like(order)
place.ravel()[interleave_rows(order).ravel()] = np.arange(order.size)
for ax, grid, title in zip(axes, (order, place), ("as in the file: rows", "interleaved: 4 columns of 16 rows")):
    picture = ax.imshow(grid, aspect="auto")
    ys, xs = np.nonzero(grid < 64)
    ax.add_patch(
        plt.Rectangle((xs.min() - 0.5, ys.min() - 0.5), np.ptp(xs) + 1, np.ptp(ys) + 1, fill=False, ec="red", lw=2.5)
    )
    ax.set(title=title, xlabel="column of the matrix", yticks=range(0, 16, 3))
    ax.grid(False)
axes[0].set_ylabel("row of the matrix (lane)")
fig.colorbar(picture, ax=axes, label="place in memory, bytes")
fig.suptitle("Red: the 64 bytes of the first instruction", fontsize=10)
plt.show()

# %% [markdown]
# ## Fifteen bits in two planes
#
# Activations are rounded too. With 8 bits the logits above were visibly off. The package takes 15 bits and a sign
# for each block of 32:
#
# $$x_i \approx d_x\,(128\,h_i + l_i), \qquad d_x = \frac{\max \lvert x\rvert}{127 \cdot 128},$$
#
# with $h$ and $l$ signed bytes. Every 64 bytes of weights then meet two instructions instead of one. That costs
# arithmetic, which is idle while the memory works, and not a byte more of memory.


# %%
def split_in_planes(x):
    blocks = x.reshape(-1, 32)
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127 * 128)
    q = np.rint(over(blocks, d))
    high = np.rint(q / 128)
    planes = (part.reshape(-1).astype(np.int8) for part in (high, q - 128 * high))
    return *planes, d[:, 0], q.sum(axis=1)


def restored(x, bits):
    """x after rounding to this many bits, sign included."""
    blocks = x.reshape(-1, 32)
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127 if bits == 8 else 127 * 128)
    return (np.rint(over(blocks, d)) * d).reshape(x.shape)


# %% [markdown]
# On real activations: all that went into a matrix of SmolLM2 while it read the sentence, by the matrix that they
# went into.

# %%
names = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")
for i in (0, 3, 4, 6):
    inputs = np.concatenate(caught[i:210:7])
    high, low, d, _ = split_in_planes(inputs.reshape(-1))
    together = ((128.0 * high + low).reshape(-1, 32) * d[:, None]).reshape(inputs.shape)
    errors = [(other - inputs).std() / inputs.std() for other in (restored(inputs, 8), together)]
    largest = np.abs(inputs).max() / inputs.std()
    print(f"into {names[i]:7} 8 bits: {errors[0]:.1e}   two planes: {errors[1]:.1e}   largest / rms: {largest:5.0f}")

# %% [markdown]
# ## The kernel
#
# All parts together, for Q8_0: load 64 bytes, multiply them with both planes, and after 8 steps (a block of 32
# columns) turn the integers into floats. `dot4` of the package reads the 4 activations itself and becomes whatever
# instruction this CPU has.

# %%
from minillama.compute.simd import load_floats, multiply, multiply_add, splat_float
from minillama.compute.simd_bytes import dot4


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


# %% [markdown]
# The zero point starts the lower sums: there the correction is exact, because the totals count
# $128\,h + l$. Compared with float64 on the same weights, the result is off by the rounding of the activations only.

# %%
data = interleave_rows(values8.view(np.uint8) + np.uint8(128)).reshape(-1)
scales = np.ascontiguousarray(d8.reshape(-1, 16, d8.shape[1]).swapaxes(1, 2)).reshape(-1)
high, low, d, total = split_in_planes(x)
multiply_interleaved(data, scales, high, low, d, total, 128, y)
show_error("interleaved Q8_0, 15-bit activations", y, exact8, 1e-2, against="float64")
fifteen_bits = float(np.sqrt(np.mean((y - exact8) ** 2)))
print(f"rms error of the logits: 8-bit activations {eight_bits:.1e}, two planes {fifteen_bits:.1e}")

# %% [markdown]
# `minillama.quantization.repacked` does the same for all formats: at 4 bits a load of 64 bytes brings 128 weights,
# split with an `and` and a shift; scales stay float16 and lie right after their block, so that everything is one
# stream.

# %%
from minillama.quantization.repacked import repack

woven8, woven4 = repack(q8), repack(q4)
show_error("package, Q8_0", woven8.multiply(x[None])[0], y, 1e-4, against="the kernel above")
show_error("package, Q4_0", woven4.multiply(x[None])[0], exact4, 1e-2, against="float64")
first = woven8.data[woven8.layout.start :][: 8 * 64]
np.testing.assert_array_equal(first, data[: 8 * 64])
print("the first block of the package's stream is the chapter's, byte by byte")

# %% [markdown]
# ## The ladder
#
# Nine ways to compute one product with the head, each on one thread (the last on all). The naive loop runs on 24
# rows and is scaled up. Before each measurement another array is read, so that the weights come from memory, as they
# do in a model that is larger than the caches. The rate is in weights, so that all steps compare.

# %%
from minillama.quantization.kernels import matvec_packed

size, out = weight.size, np.empty((1, len(weight)), np.float32)
set_threads(1)
ladder = [
    ("Python loops, float32", seconds(multiply_loops, weight[:24], x, rounds=2) * len(weight) / 24, weight.nbytes),
    ("NumPy (BLAS), float32", seconds(np.matmul, weight, x, cold=True), weight.nbytes),
    ("Numba, float32 loop", seconds(multiply_float, weight, x, y, cold=True), weight.nbytes),
    ("Numba, int8 loop", seconds(multiply_int8, values8, d8, px, dx, y, cold=True), q8.nbytes),
    ("Numba, Q4_0 loop", seconds(multiply_q4_0, d4, b4, x, y, cold=True), q4.nbytes),
    ("vectors, Q4_0 unpacked", seconds(matvec_packed, x[None], q4, out, cold=True), q4.nbytes),
    ("integers, Q8_0 interleaved", seconds(woven8.multiply, x[None], rounds=15, cold=True), q8.nbytes),
    ("integers, Q4_0 interleaved", seconds(woven4.multiply, x[None], rounds=15, cold=True), q4.nbytes),
]
set_threads(most_threads())
ladder.append(
    (f"the same, {most_threads()} threads", seconds(woven4.multiply, x[None], rounds=15, cold=True), q4.nbytes)
)
for name, t, n_bytes in ladder:
    print(f"{name:28} {1e3 * t:10.2f} ms {size / t / 1e9:8.3f} weights/ns {n_bytes / t / 1e9:7.1f} GB/s")

# %%
names, times, n_bytes = zip(*ladder)
rates = np.array([size / t / 1e9 for t in times])
plt.figure(figsize=(9, 4))
bars = plt.barh(range(len(names)), rates, color=[COLOURS[5]] + [COLOURS[0]] * 5 + [COLOURS[2]] * 3)
for i, rate in enumerate(rates):
    plt.text(rate * 1.15, i, f"{rate:.2g} ({rate / rates[0]:,.0f} ×)", va="center", fontsize=9)
plt.yticks(range(len(names)), names)
plt.gca().invert_yaxis()
plt.gca().set(xscale="log", xlim=(rates.min() / 2, rates.max() * 12), xlabel="weights multiplied per nanosecond (log)")
plt.grid(axis="y", visible=False)
plt.title(f"From loops to integer products: {rates.max() / rates[0]:,.0f} times as fast")
plt.show()

# %% [markdown]
# ## The roofline
#
# *Arithmetic intensity* is operations per byte read. Left of the ridge a product is limited by memory: its speed is
# at most bandwidth times intensity, the slanted roof. Right of it arithmetic is the limit. Packing moves a product
# with one vector to the right: the same operations on fewer bytes. Many vectors at once (a prompt) move it much
# further, because a weight that was read serves all of them.

# %%
set_threads(1)
bandwidth, operations = machine[1]
bandwidth = max(bandwidth, pieces[0].nbytes / min(once(add_up, piece, 1) for piece in [*pieces] * 3))
little = repack(quantize(weight[:512], "Q8_0"))
many = rng.normal(size=(64, weight.shape[1])).astype(np.float32)
integers = 2 * 512 * weight.shape[1] * 64 / seconds(little.multiply, many)
prompt = rng.normal(size=(128, weight.shape[1])).astype(np.float32)
prompt_time = seconds(woven4.multiply, prompt, rounds=2)
set_threads(most_threads())
points = [(name, 2 * size / b, 2 * size / t) for name, t, b in ladder[:8]]
points.append(("prompt of 128, Q4_0 integers", 2 * size * 128 / q4.nbytes, 2 * size * 128 / prompt_time))
print(f"integer products out of the cache: {integers / 1e9:.0f} GOP/s, float32 by BLAS: {operations / 1e9:.0f} GFLOP/s")

# %%
plt.figure(figsize=(9, 4.6))
intensity = np.geomspace(0.2, 1500, 200)
plt.loglog(
    intensity, np.minimum(operations, bandwidth * intensity) / 1e9, color=COLOURS[5], lw=2, label="float32 roof (BLAS)"
)
roof = np.minimum(max(integers, operations), bandwidth * intensity)
plt.loglog(intensity, roof / 1e9, "--", color=COLOURS[5], lw=1.5, label="integer roof (products out of the cache)")
for i, (name, at, rate) in enumerate(points):
    plt.loglog(at, rate / 1e9, "osD^vPX*h"[i], markersize=8, color=COLOURS[i % 6], label=f"{name}: {rate / 1e9:.3g}")
plt.gca().set(xlabel="operations per byte of weights (log)", ylabel="giga-operations per second (log)")
plt.title(f"One thread, {bandwidth / 1e9:.0f} GB/s: packing moves a product to the right, and up")
plt.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
plt.show()

# %% [markdown]
# ## One call per token
#
# A token is some 150 phases (five for each of 30 layers, and the head), each of which needs the whole result of
# the one before. Starting threads costs; for phases this short, too much. The package starts them once per token.
# Every thread walks through all phases and *claims* chunks of work: a counter on a shared board, raised by one
# atomic instruction, says which chunk is next. No thread continues before all chunks of a phase are *finished*.

# %%
from minillama.compute.team import claim, finish, new_board


@njit(parallel=True)
def walk(board, owner):
    for own in prange(board.shape[1] - 1):  # one start of the threads
        for phase in range(len(board)):
            n_done, chunk = 0, claim(board, phase, own, owner.shape[1])
            while chunk >= 0:
                owner[phase, chunk] = own  # the work would be here
                n_done += 1
                chunk = claim(board, phase, own, owner.shape[1])
            finish(board, phase, n_done, owner.shape[1])


@njit(parallel=True)
def one_phase(owner):
    for chunk in prange(owner.size):
        owner[chunk] = 1


# %%
n_threads, n_phases = get_num_threads(), 151
owner = np.full((n_phases, 8), -1)


def by_walking():
    walk(new_board(n_phases, n_threads), owner)


def by_starting():
    for phase in range(n_phases):
        one_phase(owner[phase])


one_start, each = seconds(by_walking, rounds=20), seconds(by_starting, rounds=20)
by_walking()
assert (owner >= 0).all()
print(f"{n_phases} phases of nothing on {n_threads} thread(s):")
print(f"   one start {1e6 * one_start:.0f} µs, a start for each {1e6 * each:.0f} µs")
print("who took the 8 chunks of the first phases:", *["".join(map(str, row)) for row in owner[:6]])

# %% [markdown]
# The whole model, both ways: token by token through the compiled call, and through the same layers called one by
# one from Python on packed weights.


# %%
def tokens_per_second(model, n=16):
    session = model.session()
    session.feed(ids)
    session.step(ids[0])
    begin = time.perf_counter()
    for token in (ids * 4)[:n]:
        session.step(token)
    return n / (time.perf_counter() - begin), session.logits


apart = LLM(p, llm.config, llm.tokenizer, ops=FAST._replace(linear_forward=lambda x, w: FAST.linear_forward(x, w)))
(together_speed, a), (apart_speed, b) = tokens_per_second(llm), tokens_per_second(apart)
show_error("logits after 16 tokens", a, b, 3e-2, against="the layers one by one")
n_bytes = llm.bytes_per_token
print(f"one call a token: {together_speed:.0f} tokens/s; a call for each layer function: {apart_speed:.0f}")
read, limit = together_speed * n_bytes / 1e9, fastest / 1e9
print(f"{n_bytes / 1e6:.0f} MB a token: {read:.1f} GB/s of {limit:.1f}")

# %% [markdown]
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
# `minillama learn start my-llama` makes a folder with the starters, `minillama learn watch` checks them whenever a
# file is saved. In a notebook, `check` does the same. Here it looks at a function that takes the halves of a byte
# for neighbours:


# %%
def q4_0_dequantize_blocks(blocks):
    d = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
    q = np.stack((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), axis=2).reshape(-1, 32)
    return d * (q.astype(np.float32) - 8)


check("q4_0_dequantize_blocks", q4_0_dequantize_blocks)

# %% [markdown]
# ## What breaks if it is wrong
#
# The same mistakes in the real model. Its layers are Q4_1 blocks: scale, minimum, nibbles. The next cell rewrites
# every block as a program with the mistake would have, and lets the model continue a sentence.


# %%
def as_neighbours(blocks):
    """Nibbles packed as neighbours: whoever reads them rightly gets the elements in another order."""
    low, high = blocks[:, 4:] & 15, blocks[:, 4:] >> 4
    q = np.stack((low, high), axis=2).reshape(len(blocks), 32)
    return np.concatenate((blocks[:, :4], q[:, :16] | q[:, 16:] << 4), axis=1)


def without_minimum(blocks):
    """-8 d in place of the minimum: as if Q4_1 were Q4_0."""
    d = np.ascontiguousarray(blocks[:, :2]).view(np.float16)
    return np.concatenate((blocks[:, :2], (-8 * d).view(np.uint8), blocks[:, 4:]), axis=1)


def rewritten(change):
    layers = []
    for layer in p.layers:
        own = {name: w for name, w in layer._asdict().items() if getattr(w, "format_name", "") == "Q4_1"}
        own = {name: replace(w, data=change(w.data.reshape(-1, 20)).reshape(w.data.shape)) for name, w in own.items()}
        layers.append(layer._replace(**own))
    return LLM(p._replace(layers=tuple(layers)), llm.config, llm.tokenizer)


# %%
start = "The capital of France is"
print(f"{'as it should be':20}{llm.generate(start, max_tokens=12, temperature=0.0).text!r}")
for name, change in {"nibbles exchanged": as_neighbours, "minimum forgotten": without_minimum}.items():
    text = rewritten(change).generate(start, max_tokens=12, temperature=0.0).text
    print(f"{name:20}{text[:60]!r}")

# %% [markdown]
# Too few bits for the activations do not break the text so loudly. What changes is measured on the logits of every
# position of a paragraph: 8 bits against the two planes, both against float32 activations.

# %%
paragraph = (
    "Rivers begin in the hills, where rain and melting snow collect in small streams. The streams join, the water "
    "slows down, and what it carried sinks to the ground: first stones, then sand, then mud. Near the sea the river "
    "may divide into many arms. Farmers like such land, because floods leave fresh soil behind every spring."
)
words = llm.tokenizer.encode(paragraph)
right = apart.logits(words)
for bits, name in ((8, "8 bits"), (15, "15 bits in two planes")):
    rounding = LLM(
        p, llm.config, llm.tokenizer,
        ops=FAST._replace(linear_forward=lambda x, w, bits=bits: FAST.linear_forward(restored(x, bits), w)),
    )  # fmt: skip
    logits = rounding.logits(words)
    error, same = np.abs(logits - right), np.mean(logits.argmax(1) == right.argmax(1))
    print(f"{name:22}: logits off by {np.sqrt(np.mean(error**2)):.1e}, at most {error.max():.1e}")
    print(f"{'':22}  the best token is the same at {100 * same:.1f} % of {len(words)} positions")
show_error("minillama in integers", llm.logits(words), right, 0.1, against="float32 activations")

# %% [markdown]
# ## The package's functions
#
# What was derived equals what minillama runs: the formats to the last bit, the planes, the stream, the product.

# %%
from minillama.quantization.repacked_kernels import quantize_rows

blocks = sample.reshape(-1, 32)[:4096]
d, q = quantize_q8_0(blocks)
packed = np.concatenate((d.astype(np.float16).view(np.uint8), q.view(np.uint8)), axis=1)
np.testing.assert_array_equal(packed, quantize(blocks, "Q8_0").data)
np.testing.assert_array_equal(pack_q4_0(*quantize_q4_0(blocks)), quantize(blocks, "Q4_0").data)
planes, (high, low, d, total) = quantize_rows(x[None]), split_in_planes(x)
ours, theirs = (128 * h.astype(np.int32) + low for h, low in ((high, low), (planes.high[0], planes.low[0])))
show_error("planes, of 16256", ours, theirs, 1, against="quantize_rows")
np.testing.assert_allclose(d, planes.d[0], rtol=1e-6)
stream = np.concatenate([data[i * 512 : i * 512 + 512] for i in range(18)])
theirs = woven8.data[woven8.layout.start :][: 18 * woven8.layout.stride].reshape(18, -1)[:, :512]
np.testing.assert_array_equal(stream, theirs.reshape(-1))
multiply_interleaved(data, scales, high, low, d, total, 128, y)
show_error("product", y, woven8.multiply(x[None])[0], 1e-4, against="minillama.quantization.repacked")
