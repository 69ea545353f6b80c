# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 01 · NumPy to Numba
#
# **Goal.** Turn a NumPy expression into a compiled, parallel kernel with the same result, know how fast it can be at
# all on this machine, and know what float32 does to long sums.
#
# **Prerequisites.** Chapter 00. **Time.** 90 minutes with the exercises.
#
# **Paper.** None of LLaMA 2's sections: the paper (arXiv:2307.09288) trains on GPUs, section 2.2.1. This chapter is the
# ground on which everything else in this book runs.
#
# **What cannot be reproduced here.** The speed of a GPU. All times below are measured when the chapter runs, on
# the machine on which it runs; a busy machine shows slower and less regular ones.

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit, prange

from minillama.learn.book import COLOURS, load, show_error, style, table, torch

style()

# %% [markdown]
# ## The idea in a paragraph
#
# A model that writes spends its time in one operation: a matrix times a vector. Python does one multiplication at a
# time and asks at each what its operands are. NumPy has loops that were compiled for any array. Numba compiles *this*
# loop, for these types, with what surrounds it, and shares it out to the cores. Past that point the processor
# waits for memory: how many bytes a kernel reads then matters more than how many multiplications it does.
#
# ## The mathematics
#
# For a weight matrix $W$ of $n$ rows and $m$ columns and a vector $x$:
#
# $$y_i = \sum_{j=1}^{m} W_{ij}\, x_j , \qquad i = 1 \dots n$$
#
# That takes $2nm$ operations (a multiplication and an addition for each weight), and reads at least $4nm$ bytes of
# float32. Operations divided by bytes is the **arithmetic intensity** $I$, here $1/2$. A machine that computes at most
# $P$ operations per second and reads at most $\beta$ bytes per second reaches no more than
#
# $$\min(P,\; \beta I) \quad \text{operations per second: the roofline.}$$
#
# ## Memory
#
# An array is one row of bytes. Its **strides** say how many bytes lie between one element and the next, along
# each axis.

# %%
llm = load()
layer = llm.params.layers[0]
weight = layer.w_gate.to_float32()  # a real matrix of SmolLM2: (1536, 576)
for name, view in (("weight", weight), ("weight.T", weight.T), ("weight[:, ::2]", weight[:, ::2])):
    print(f"{name:15} shape {view.shape!s:12} strides {view.strides!s:12} C-contiguous {view.flags.c_contiguous}")

# %% [markdown]
# A transpose copies nothing: it exchanges the strides. But memory comes in **cache lines** of (mostly) 64 bytes.
# Along a row, sixteen float32 share a line. Along a column, each has a line of its own.


# %%
def lines_touched(stride, count, line=64):
    return len({i * stride // line for i in range(count)})


rows = []
for name, stride, count in (("a row", weight.strides[1], 576), ("a column", weight.strides[0], 576)):
    n = lines_touched(stride, count)
    rows.append((name, count, stride, n, f"{100 * 4 * count / (64 * n):.0f} %"))
table(["walk along", "elements", "stride (bytes)", "lines read", "bytes used"], rows)

# %% [markdown]
# ## The table of shapes
#
# | name | shape | dtype | bytes |
# |---|---|---|---|
# | `weight`, $W$ | $(n, m) = (1536, 576)$ | float32 | $4nm$ |
# | `x` | $(m,)$ | float32 | $4m$ |
# | `y` | $(n,)$ | float32 | $4n$ |
#
# ## Naive loops
#
# The equation, letter by letter. `best_of` runs a function several times and keeps the shortest time.


# %%
def matvec_loops(weight, x, y):
    for i in range(weight.shape[0]):
        total = np.float32(0)
        for j in range(weight.shape[1]):
            total += weight[i, j] * x[j]
        y[i] = total


def best_of(n, function, *args):
    times = []
    for _ in range(n):
        begin = time.perf_counter()
        function(*args)
        times.append(time.perf_counter() - begin)
    return min(times)


x = np.random.default_rng(0).normal(size=weight.shape[1]).astype(np.float32)
y_loops = np.empty(len(weight), np.float32)
seconds = {"Python loops": best_of(1, matvec_loops, weight, x, y_loops)}

# %% [markdown]
# ## NumPy
#
# One line. The loops are inside NumPy, or inside the BLAS library below it.

# %%
y_numpy = weight @ x
seconds["NumPy"] = best_of(30, np.matmul, weight, x)
show_error("NumPy and the loops", y_numpy, y_loops, 1e-4, against="Python loops")

# %% [markdown]
# ## Numba
#
# `njit` compiles a function at its first call, for the types of that call. The same source as above, unchanged:

# %%
matvec_numba = njit(matvec_loops)
y_numba = np.empty_like(y_loops)
begin = time.perf_counter()
matvec_numba(weight, x, y_numba)
first_call = time.perf_counter() - begin
seconds["Numba"] = best_of(30, matvec_numba, weight, x, y_numba)
np.testing.assert_array_equal(y_numba, y_loops)  # the same operations in the same order: the same bits

# %% [markdown]
# The sum is still done in the written order, one addition after another. Floating-point addition is not
# associative, so the compiler may not reorder it by itself. `fastmath` allows that: several partial sums side by
# side, as vector instructions. The names say exactly what is allowed; `fastmath=True` would also delete checks for
# NaN and infinity, which masks rely on.
#
# `prange` shares a loop out to threads. Every row writes to its own `y[i]`: no thread touches another's.

# %%
REORDER = {"reassoc", "contract", "nsz", "arcp"}
matvec_vector = njit(fastmath=REORDER)(matvec_loops)


@njit(parallel=True, fastmath=REORDER)
def matvec_parallel(weight, x, y):
    for i in prange(weight.shape[0]):
        total = np.float32(0)
        for j in range(weight.shape[1]):
            total += weight[i, j] * x[j]
        y[i] = total


y_vector, y_parallel = np.empty_like(y_loops), np.empty_like(y_loops)
matvec_vector(weight, x, y_vector)
matvec_parallel(weight, x, y_parallel)
seconds["Numba, sums reordered"] = best_of(30, matvec_vector, weight, x, y_vector)
seconds["Numba, parallel"] = best_of(30, matvec_parallel, weight, x, y_parallel)
table(
    ["version", "milliseconds", "GFLOP/s"],
    [(name, f"{1e3 * s:.3f}", f"{2e-9 * weight.size / s:.3g}") for name, s in seconds.items()],
)

# %% [markdown]
# ## Check against PyTorch

# %%
if torch is not None:
    expected = (torch.tensor(weight, dtype=torch.float64) @ torch.tensor(x, dtype=torch.float64)).numpy()
else:
    expected = weight.astype(np.float64) @ x
for name, y in (("Numba", y_numba), ("sums reordered", y_vector), ("parallel", y_parallel)):
    show_error(name, y, expected, 1e-4)

# %% [markdown]
# ## Compile time against run time
#
# The first call of a Numba function compiles it. That pays only if the function is called often enough.

# %%
calls = np.logspace(0, 6, 60)
fig, ax = plt.subplots()
for (name, total), colour in zip(
    {
        "Python loops": calls * seconds["Python loops"],
        "NumPy": calls * seconds["NumPy"],
        "Numba, compiled in this process": first_call + calls * seconds["Numba"],
        "Numba, compiled before": calls * seconds["Numba"],
    }.items(),
    COLOURS,
):
    ax.loglog(calls, total, color=colour, label=name, ls="--" if "before" in name else "-")
pays = first_call / max(seconds["Python loops"] - seconds["Numba"], 1e-9)
ax.set(xlabel="calls of a 1536 × 576 matrix times a vector", ylabel="total time (s)")
ax.set_title(f"The first call took {first_call:.2f} s: against Python it pays from call {math.ceil(pays) + 1} on")
ax.legend()
plt.show()

# %% [markdown]
# The dashed line is why the package keeps its compiled kernels on disk: `minillama.compute.jit.kernel` is `njit` with
# that and with the flags above in one place.
#
# ## The roofline of this machine
#
# Two numbers: bytes per second from memory, measured by adding up an array that is too large for any cache; and
# operations per second, measured by a large matrix product.


# %%
@njit(parallel=True, fastmath=REORDER)
def add_up(a, parts):
    n = parts.size
    for p in prange(n):
        total = np.float32(0)
        for i in range(p * a.size // n, (p + 1) * a.size // n):
            total += a[i]
        parts[p] = total


head = llm.params.token_embedding.to_float32()  # (49152, 576): 113 MB
flat, parts = head.reshape(-1), np.zeros(8, np.float32)
add_up(flat, parts)
bandwidth = flat.nbytes / best_of(15, add_up, flat, parts)
square = np.ones((1024, 1024), np.float32)
peak = 2 * 1024**3 / best_of(15, np.matmul, square, square)
print(f"memory {bandwidth / 1e9:.1f} GB/s, arithmetic {peak / 1e9:.0f} GFLOP/s")
print(f"the ridge: {peak / bandwidth:.1f} operations for each byte")

# %% [markdown]
# Five kernels beside it, all with SmolLM2's output head: 1, 4, 32 and 256 tokens at once in float32, and one token from
# the packed blocks of the file. More tokens at once use every weight more often for the one time that it is read.

# %%
from minillama.layers.linear import linear_forward_fast

embedding = llm.params.token_embedding
rng = np.random.default_rng(1)
points = {}
for n_tokens in (1, 4, 32, 256):
    states = rng.normal(size=(n_tokens, head.shape[1])).astype(np.float32)
    flops = 2 * n_tokens * head.size
    n_bytes = head.nbytes + states.nbytes + 4 * n_tokens * len(head)
    linear_forward_fast(states, head)
    points[f"{n_tokens} token{'s' * (n_tokens > 1)}, float32"] = (
        flops / n_bytes,
        flops / best_of(3, linear_forward_fast, states, head),
    )
state = states[:1]
linear_forward_fast(state, embedding)
flops = 2 * head.size
bits = 8 * embedding.nbytes / head.size
points[f"1 token, {bits} bits a weight"] = (
    flops / embedding.nbytes,
    flops / best_of(5, linear_forward_fast, state, embedding),
)

# %%
peak = max(peak, *(rate for _, rate in points.values()))  # the best that was seen of anything
bandwidth = max(bandwidth, *(rate / i for i, rate in points.values()))
intensity = np.logspace(-1.5, 3, 200)
fig, ax = plt.subplots(figsize=(8, 4.2))
ax.loglog(intensity, np.minimum(peak, bandwidth * intensity) / 1e9, color=COLOURS[5], lw=2)
ax.text(0.05, bandwidth * 0.1 / 1e9, "memory", color=COLOURS[5], ha="right")
ax.text(700, peak * 1.12 / 1e9, "arithmetic", color=COLOURS[5], ha="right")
for (name, (i, rate)), colour in zip(points.items(), COLOURS):
    ax.scatter(i, rate / 1e9, s=60, color=colour, zorder=3, label=f"{name}: {rate / 1e9:.3g} GFLOP/s")
ax.set(xlabel="arithmetic intensity (operations per byte)", ylabel="GFLOP/s", ylim=(bandwidth * 0.02 / 1e9, peak / 3e8))
ax.set_title("One token is bound by memory, many tokens by arithmetic")
ax.legend(loc="lower right", fontsize=9)
plt.show()

# %% [markdown]
# The roof is drawn through the best that was seen of anything, because a roof, too, can only be measured. A single
# token has intensity 1/2 in float32, far left of the ridge. Packed, the same multiplications read about a quarter of
# the bytes, and the point moves to the right: that is why quantisation (chapter 12) makes decoding faster. A prompt,
# many tokens at once, lies on the other side of the ridge.
#
# ## Float32: 24 bits, and what a sum does to them
#
# A float32 keeps 24 binary digits. Beyond $2^{24}$ it cannot count:

# %%
big = np.float32(2**24)
print("2**24 + 1 =", big + np.float32(1), " (exact:", 2**24 + 1, ")")
print("spacing of float32 at 1:", np.spacing(np.float32(1)), " at 1000:", np.spacing(np.float32(1000)))
print("the largest float32:", np.finfo(np.float32).max, " exp(89) =", f"{math.exp(89):.3g}")

# %% [markdown]
# In a running sum the total grows while the summands stay small, and each addition is rounded to the digits of
# the total: the worst case of the error grows as $n \varepsilon$, with $\varepsilon = 2^{-24}$. **Pairwise
# summation** adds halves to halves, so that each number takes part in only $\log_2 n$ additions: $\varepsilon \log_2
# n$.


# %%
@njit
def running_sum(x):
    total = np.float32(0)
    for number in x:
        total += number
    return total


def pairwise_sum(x):
    if len(x) <= 32:
        return running_sum(x)
    middle = len(x) // 2
    return pairwise_sum(x[:middle]) + pairwise_sum(x[middle:])


@njit  # no fastmath: reordering would remove the correction
def kahan_sum(x):
    total = lost = np.float32(0)
    for number in x:
        corrected = number - lost
        new = total + corrected
        lost = (new - total) - corrected  # what the addition has rounded off
        total = new
    return total


# %%
lengths = (4.0 ** np.arange(2, 11)).astype(int)
numbers = np.random.default_rng(2).uniform(0, 1, lengths[-1]).astype(np.float32)
errors = {name: [] for name in ("running", "pairwise", "NumPy's sum", "Kahan")}
for n in lengths:
    exact = math.fsum(numbers[:n])
    for name, f in zip(errors, (running_sum, pairwise_sum, np.sum, kahan_sum)):
        errors[name].append(abs(float(f(numbers[:n])) - exact) / exact)

fig, ax = plt.subplots()
for (name, e), marker in zip(errors.items(), "os^D"):
    ax.loglog(lengths, np.maximum(e, 1e-10), marker=marker, label=name)
ax.axhline(2**-24, color=COLOURS[5], ls="--", lw=1, label="half a unit in the last place")
ax.set(xlabel="numbers added, uniform in [0, 1)", ylabel="relative error (1e-10: none)")
ax.set_title("The error of a running sum grows with its length")
ax.legend(fontsize=9, ncols=2)
plt.show()
assert errors["pairwise"][-1] < errors["running"][-1]

# %% [markdown]
# NumPy's own sum is pairwise. A Numba kernel is what one writes: partial sums in several variables, as `fastmath`
# makes them, are a step in the same direction.
#
# One trap of dtypes belongs here. In a kernel, `total = 0.0` is float64, and so is everything that is added to it:
# half as many numbers in a vector. In NumPy a float64 scalar, such as `np.sqrt` returns, does the same to a
# whole array.


# %%
@njit
def sum_from_python_zero(x):
    total = 0.0
    for number in x:
        total += number
    return total


sum_from_python_zero(numbers[:10])
running_sum(numbers[:10])
for f in (sum_from_python_zero, running_sum):
    print(f"{f.py_func.__name__:22} float32 array -> {f.nopython_signatures[0].return_type}")
print("float32 array / 8**0.5       ->", (x / 8**0.5).dtype)
print("float32 array / np.sqrt(8)   ->", (x / np.sqrt(8)).dtype)

# %% [markdown]
# ## A softmax that cannot overflow
#
# $e^{89}$ is more than float32 holds. Adding a constant to all scores does not change a softmax, so the largest score
# may be subtracted first:
#
# $$p_i = \frac{e^{z_i - m}}{\sum_j e^{z_j - m}}, \qquad m = \max_j z_j$$
#
# The largest exponential is then 1. The logits of a real model, at a low temperature $T$ (they are divided by $T$):


# %%
def softmax_naive(z):
    e = np.exp(z)
    return e / e.sum(axis=-1, keepdims=True)


def softmax_stable(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


logits = llm.logits(llm.tokenizer.encode("The capital of France is")).astype(np.float32)
for T in (1.0, 0.5, 0.2, 0.1):
    z = logits[-1] / np.float32(T)
    with np.errstate(over="ignore", invalid="ignore"):
        naive = softmax_naive(z)
    print(f"T = {T}: largest score {z.max():6.1f}   naive {np.max(naive):.4f}   stable {softmax_stable(z).max():.4f}")

# %% [markdown]
# The sum in the denominator has as many summands as the vocabulary has tokens, most of them small: the worst case of
# the previous section.

# %%
e = np.exp(logits[0] - logits[0].max())
exact = math.fsum(e)
for name, f in (("running", running_sum), ("pairwise", pairwise_sum), ("from 0.0, in float64", sum_from_python_zero)):
    print(f"{name:21} sum of {len(e):,} exponentials: relative error {abs(float(f(e)) - exact) / exact:.1e}")

# %% [markdown]
# So the kernel adds up in float64, in one variable. A row for each turn of `prange`, three passes over a row that stays
# in the cache:


# %%
@njit(parallel=True, error_model="numpy")
def softmax_kernel(z, p):
    for t in prange(z.shape[0]):
        largest = z[t, 0]
        for j in range(1, z.shape[1]):
            largest = max(largest, z[t, j])
        total = 0.0  # float64, this time on purpose
        for j in range(z.shape[1]):
            p[t, j] = np.exp(z[t, j] - largest)
            total += p[t, j]
        for j in range(z.shape[1]):
            p[t, j] /= total


p = np.empty_like(logits)
softmax_kernel(logits, p)
if torch is not None:
    expected = torch.softmax(torch.tensor(logits, dtype=torch.float64), dim=-1).numpy()
else:
    expected = softmax_stable(logits.astype(np.float64))
show_error("softmax, kernel", p, expected, 1e-6)
show_error("softmax, NumPy", softmax_stable(logits), expected, 1e-6)

# %% [markdown]
# ## A data race
#
# The gradient of an embedding adds a row for every token of a text to the row of its id. Ids repeat. If the tokens are
# shared out to threads, two threads read the same old number, both add theirs, and both write: one addition is lost.
# Here every token adds 1, so the sum should be the number of tokens.


# %%
@njit(parallel=True)
def count_with_race(ids, counts):
    for t in prange(len(ids)):
        counts[ids[t]] += 1


@njit(parallel=True)
def count_in_parts(ids, tables):  # (n_parts, V): every part has a table of its own
    n = len(tables)
    for part in prange(n):
        for t in range(part * len(ids) // n, (part + 1) * len(ids) // n):
            tables[part, ids[t]] += 1


ids = np.array(llm.tokenizer.encode("the cat and the dog and the cat " * 40) * 500)
for _ in range(5):
    counts, tables = np.zeros(llm.config.vocab_size, np.int64), np.zeros((4, llm.config.vocab_size), np.int64)
    count_with_race(ids, counts)
    count_in_parts(ids, tables)
    print(f"{len(ids):,} tokens   with a race: {counts.sum():,}   in parts: {tables.sum():,}")
    np.testing.assert_array_equal(tables.sum(axis=0), np.bincount(ids, minlength=llm.config.vocab_size))

# %% [markdown]
# NumPy has the same loss without any threads, and every time: `counts[ids] += 1` reads all old numbers, adds, and
# writes, so that of equal ids one addition remains.

# %%
counts = np.zeros(llm.config.vocab_size, np.int64)
counts[ids] += 1
print(f"counts[ids] += 1 keeps {counts.sum()} of {len(ids):,}: one for each of {len(np.unique(ids))} different ids")

# %% [markdown]
# With threads, how many are lost differs from run to run, and on one core or a busy machine it may be none: a test
# that passes does not prove that there is no race. The rule is: what a thread writes belongs to it alone. Share out
# what is *written* (rows of `y`), or give every thread a copy of its own and add the copies at the end.

# %% [markdown]
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `c_strides` | How far is the next element? | 1 | 5 | core |
# | `cache_lines_read` | What memory really delivers | 2 | 10 |  |
# | `roofline_seconds` | The roofline | 1 | 5 |  |
# | `stable_softmax` | A softmax that cannot overflow | 1 | 10 | core |
# | `parallel_matvec` | Matrix times vector, on all cores; runs in a model; with a speed card | 2 | 20 | core |
# | `scatter_add_parallel` | Fix a data race | 3 | 25 |  |
# | `pairwise_sum` | Pairwise summation | 2 | 15 | core |
#
# <!-- end of the exercises -->
#
# `minillama learn start my-llama` and `minillama learn watch` in a terminal, or
# `from minillama.learn import check` and `check("stable_softmax", my_function)` in a notebook.
#
# A function that subtracts one maximum from all rows passes many of its author's own tests. The check finds the rows
# where it does not:

# %%
from minillama.learn import check


def my_softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum(axis=-1, keepdims=True)


report = check("stable_softmax", my_softmax)
assert not report.passed
print(report.text())

# %% [markdown]
# ## What breaks if it is wrong
#
# A common way to make a kernel fast is to work in groups, and a common mistake is to forget what is left over. This one
# takes columns in groups of 128. SmolLM2's feed-forward width, 1536, is a multiple of that; its width, 576, is not.


# %%
@njit(parallel=True, fastmath=REORDER)
def matvec_in_groups(weight, x, y, group):
    for i in prange(weight.shape[0]):
        total = np.float32(0)
        for g in range(weight.shape[1] // group):  # what is left over is never reached
            for j in range(g * group, (g + 1) * group):
                total += weight[i, j] * x[j]
        y[i] = total


for n_in in (1536, 576):
    w, v = np.ones((3, n_in), np.float32), np.ones(n_in, np.float32)
    y = np.empty(3, np.float32)
    matvec_in_groups(w, v, y, 128)
    print(f"n_in = {n_in}: expected {n_in}, computed {y[0]:.0f}")

# %% [markdown]
# On the real model, in place of the linear layers. Matrices are unpacked once and kept.

# %%
from minillama import FAST

unpacked = {}


def linear_with(group):
    def linear_forward(x, weight):
        plain = unpacked.setdefault(id(weight), weight if isinstance(weight, np.ndarray) else weight.to_float32())
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        y = np.empty((len(rows), len(plain)), np.float32)
        for row, out in zip(rows, y):
            matvec_in_groups(plain, row, out, group)
        return y.reshape(*x.shape[:-1], -1), None

    return linear_forward


prompt = "The capital of France is"
for group in (64, 128):
    model = load(ops=FAST._replace(linear_forward=linear_with(group)))
    print(f"groups of {group:3}: {model.generate(prompt, max_tokens=3, temperature=0).text!r}")
    unpacked.clear()
print(f"the package: {llm.generate(prompt, max_tokens=3, temperature=0).text!r}")

# %% [markdown]
# No error, no warning: with 64, which divides both widths, the text is right; with 128 it is not.
#
# The last cell asserts that the kernels of this chapter and the package's functions agree.

# %%
from minillama.inference.sampling import softmax
from minillama.layers.linear import linear_forward

y, _ = linear_forward_fast(x, weight)
np.testing.assert_allclose(y_parallel, y, rtol=1e-4, atol=1e-5)
np.testing.assert_allclose(y_parallel, linear_forward(x, weight)[0], rtol=1e-4, atol=1e-5)
np.testing.assert_allclose(p, softmax(logits), rtol=1e-4, atol=1e-7)
print("the chapter and the package agree")
