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
# > **Before this:** [00](00_first_words.ipynb).
# > **Time:** 30 minutes to read and run, 90 for all exercises; on the [core path](README.md) 80 together.
# >
# > **In the paper:** nothing; LLaMA 2 (arXiv:2307.09288) was trained on GPUs (section 2.2.1). This is the ground on
# > which the other chapters run. **Not here:** the speed of a GPU cannot be reproduced. All times are measured while
# > the chapter runs, and a busy machine shows slower and less regular ones. Weights of 4 bits (12).
#
# For every word that a model writes, it multiplies a vector by some two hundred matrices. For SmolLM2 that is 135
# million multiplications, one for each of its numbers. Python is known to be slow, and this book is written in it. How
# can an answer appear as fast as you read it (00)?
#
# Everything fast below Python's surface is a *compiled* loop: in NumPy, or written by us. Here is the model without
# them.

# %% tags=["hide-input"]
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit, prange

from minillama.learn.book import COLOURS, claim, load, now_you, show, show_error, style, table, torch
from minillama.learn.book.toy import SENTENCE, VECTORS, WORDS
from minillama.model import forward
from minillama.ops import FAST
from minillama.trees import map_tree

style()
rng = np.random.default_rng(1)

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)  # from 4 and 8 bits
weight = params.layers[0].w_gate  # one matrix of many, (1536, 576)


def best_of(n, function, *args):
    """The shortest time of several runs: the others were disturbed."""
    times = []
    for _ in range(n):
        begin = time.perf_counter()
        function(*args)
        times.append(time.perf_counter() - begin)
    return min(times)


# %% [markdown]
# **Guess first:** how long does one token take, if Python does its multiplications one after another? A second, a
# minute, an hour? (`weight` is one matrix of the model, 1536 × 576, and `best_of` takes the shortest time of several.)

# %% tags=["hide-output", "varies"]
D, kv = config.dim, config.n_kv_heads * config.head_dim
one_layer = 2 * D * D + 2 * D * kv + 3 * D * config.hidden_dim
n_products = config.n_layers * one_layer + config.vocab_size * D
numbers, x = weight[0], rng.normal(size=D).astype(np.float32)


def multiply_and_add(a, b):
    total = np.float32(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


each = best_of(5, multiply_and_add, numbers, x) / D
llm.generate("The capital of France is", max_tokens=2, temperature=0)
begin = time.perf_counter()
llm.generate("The capital of France is", max_tokens=6, temperature=0)
compiled = (time.perf_counter() - begin) / 6
print(f"Python: {1e9 * each:.0f} ns a product, of {n_products / 1e6:.0f} million: {each * n_products:.0f} s a token")
print(f"the package: {compiled:.3f} s a token")

# %% [markdown]
# ## Python asks at every step what its numbers are
#
# In 00 a state of the model was compared with every row of a table, and each comparison gave one logit. With the three
# words of the book's toy, two numbers each (how *alive* a thing is, and how *edible*), and a state (3, 1):
#
# | row of the table | dog (1, 0) | bone (0, 1) | it (½, ½) |
# |---|---|---|---|
# | times (3, 1) | 1·3 + 0·1 | 0·3 + 1·1 | ½·3 + ½·1 |
# | logit | 3 | 1 | 2 |
#
# Three rows of two numbers are six multiplications. In general, for a matrix $W$ and a vector $x$,
#
# $$ y_i = \sum_j W_{ij}\, x_j . $$
#
# The function `multiply_and_add` above is one row of it. For each of the six multiplications Python looks up what `a`
# is, takes a number out, wraps it in an object, looks up what `*` means for two such objects, and so on: some hundred
# nanoseconds of asking for a multiplication that takes less than one. NumPy asks once for a whole array and then runs a
# loop that was compiled long ago. [Numba](https://numba.pydata.org) compiles *our* loop, as it stands, at its first
# call, for the types of that call, and once more for others:

# %%
by_numba = njit(multiply_and_add)
begin = time.process_time()  # processor time: it does not count what else the machine does
compiled_result = by_numba(weight[0], x)
first_call = time.process_time() - begin
assert compiled_result == multiply_and_add(weight[0], x)  # the same operations in the same order: the same bits
state = np.array([3, 1], np.float32)
print("logits of", WORDS, ":", [float(by_numba(row, state)) for row in VECTORS])

# %% [markdown]
# Compiling takes time, too. **Guess first:** is it worth it for one row of 576 numbers? For how many rows is it?

# %% tags=["hide-output", "varies"]
seconds = {
    "Python": each * D,
    "NumPy": best_of(200, np.dot, weight[0], x),
    "Numba": best_of(200, by_numba, weight[0], x),
}
print(f"first call, with compiling: {1e3 * first_call:.0f} ms")
print("then, for one row: " + ", ".join(f"{name} {1e6 * s:.2f} µs" for name, s in seconds.items()))

# %% tags=["hide-input", "hide-output", "varies"]
calls = np.logspace(0, 6, 100)
figure, axis = plt.subplots()
axis.loglog(calls, calls * seconds["Python"], color=COLOURS[0], label="Python")
axis.loglog(calls, first_call + calls * seconds["Numba"], color=COLOURS[1], label="Numba, compiled in this process")
axis.loglog(calls, calls * seconds["Numba"], "--", color=COLOURS[1], label="Numba, compiled before")
pays = math.ceil(first_call / (seconds["Python"] - seconds["Numba"]))
axis.axvline(pays, color=COLOURS[5], ls=":", label=f"{pays:,} rows")
axis.set(xlabel="rows of 576 numbers", ylabel="seconds in all")
claim(axis, "Compiling pays after some hundreds or thousands of rows", holds=100 < pays < 100_000)
axis.legend(fontsize=8)
show(
    figure,
    "Seconds against rows, both in powers of ten. Python's line rises from the lower left; Numba's begins far higher, "
    f"flat with the time of compiling, is crossed by Python's at about {pays} rows, and rises only much later. The "
    "dashed line, compiled before, lies below Python's everywhere.",
)

# %% [markdown]
# A layer of the model has 5184 rows, so it pays within the first token. On the dashed line nothing is compiled: the
# package keeps what it has compiled on disk. A small compiled function in which the time of a program goes is called a
# [kernel](glossary.md#kernel).
#
# ## The order of a sum changes it
#
# The compiled row gives the same bits as Python's, and that costs it most of its speed: each addition has to wait for
# the one before it. A processor could add up eight or sixteen partial sums side by side. Why does the compiler not do
# it? Because the result would be another one.
#
# Suppose that a number has three digits. 100 + 0.4 is 100.4, and with three digits that is 100 again.
#
# **Guess first:** to 100, add 0.4 four times, one after the other. Then add the four to one another first, in pairs,
# and to 100 at the end. What comes out?


# %% tags=["hide-output"]
def three_digits(number):
    return float(f"{number:.3g}")


total = 100.0
for _ in range(4):
    total = three_digits(total + 0.4)
pair = three_digits(0.4 + 0.4)
print("one after the other:", total, "  in pairs:", three_digits(100 + three_digits(pair + pair)), "  exact: 101.6")

# %% [markdown]
# The model's numbers are float32: four bytes, 24 binary digits, a little more than seven decimal ones. They do the same
# at a larger scale. Ones can be counted up to $2^{24}$, and no further:

# %%
print("2**24 + 1 =", int(np.float32(2**24) + np.float32(1)), " exact:", 2**24 + 1)


@njit
def running_sum(numbers):
    total = np.float32(0)
    for number in numbers:
        total += number
    return total


print(f"20,000,000 ones, one after the other: {running_sum(np.ones(20_000_000, np.float32)):,.0f}")

# %% [markdown]
# The larger the total has become, the more of each small number is rounded away. The remedy is that of the toy: add
# equals to equals. Cut the numbers into halves, sum each half in the same way, add the two sums. Of a million numbers
# each then takes part in 20 additions, not in up to a million.
#
# ### Now you · `pairwise_sum` · 15 minutes
#
# float32 numbers (n,) → their sum, float32. Halves of halves need an end: a short piece may be summed in order.

# %%
pairwise_sum = now_you("pairwise_sum")


# %% tags=["solution"]
def book_pairwise_sum(x):
    if len(x) <= 32:
        total = np.float32(0)
        for number in x:
            total += number
        return total
    middle = len(x) // 2
    return pairwise_sum(x[:middle]) + pairwise_sum(x[middle:])


# %% [markdown]
# **Guess first:** a million times a tenth, one after the other: by how many percent is the sum wrong? And NumPy's `sum`
# is one of the two. Which?

# %% tags=["hide-output"]
lengths = 4 ** np.arange(2, 11)
many = np.full(lengths[-1], 0.1, np.float32)
errors = {"one after the other": [], "in pairs": [], "NumPy's sum": []}
for n in lengths:
    exact = math.fsum(many[:n])
    for name, function in zip(errors, (running_sum, pairwise_sum, np.sum)):
        errors[name].append(abs(float(function(many[:n])) - exact) / exact)
for name, values in errors.items():
    print(f"{name:<20} {lengths[-1]:,} tenths: relative error {values[-1]:.0e}")

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots()
for (name, values), marker in zip(errors.items(), "os^"):
    axis.loglog(lengths, np.maximum(values, 1e-9), marker=marker, label=name)
axis.axhline(2.0**-24, color=COLOURS[5], ls="--", label="half of the last digit, 2⁻²⁴")
axis.set(xlabel="how many tenths are added up", ylabel="relative error (1e-9: less)")
claim(
    axis,
    "A long sum is wrong one after the other, and right in pairs",
    holds=errors["one after the other"][-1] > 1e-3 and max(errors["in pairs"] + errors["NumPy's sum"]) < 1e-6,
)
axis.legend(fontsize=8)
show(
    figure,
    "Relative error against the count of tenths, both in powers of ten. The sum one after the other climbs to "
    f"{errors['one after the other'][-1]:.0e}; the sum in pairs and NumPy's stay near the dashed line, 6e-8.",
)

# %% [markdown]
# Equal numbers are the worst case, because each addition is rounded to the same side for a long time. Random ones are
# rounded to both sides, and lose less.
#
# ## e⁸⁹ is more than float32 can hold
#
# Digits are one limit of float32, size is the other: its largest number is 3.4 · 10³⁸. What becomes larger is infinite,
# which is called [overflow](glossary.md#overflow). Softmax (00) makes that easy, for it takes exponentials. The toy's
# logits 3, 1, 2 become 20.1, 2.7 and 7.4, and divided by their sum 0.67, 0.09 and 0.24.
#
# **Guess first:** now the logits are 300, 100 and 200. On paper, dog gets nearly everything. And in float32?


# %% tags=["hide-output"]
def softmax_on_paper(z):
    e = np.exp(z)
    return e / e.sum(axis=-1, keepdims=True)


with np.errstate(over="ignore", invalid="ignore"):
    for z in ([3, 1, 2], [300, 100, 200]):
        print(z, "becomes", softmax_on_paper(np.array(z, np.float32)).round(2))

# %% [markdown]
# Infinity divided by infinity is not a number. But e^300 / (e^300 + e^100 + e^200) is the same fraction as
# 1 / (1 + e^−200 + e^−100), with everything divided by e^300, and in that nothing is large. (What is too small for
# float32, below 10⁻⁴⁵, becomes 0.)
#
# ### Now you · `stable_softmax` · 10 minutes
#
# Scores (B, T, V) of any size → softmax over the last axis. Rows differ in size by a thousand, and some scores are −∞.

# %%
stable_softmax = now_you("stable_softmax")


# %% tags=["solution"]
def book_stable_softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# %% [markdown]
# With real logits, divided by a number that makes the model surer (11), both ways and PyTorch:

# %%
logits = forward(params, config, np.array([tokenizer.encode("The capital of France is")]))[0][:, -1:]  # (1, 1, V)
for divisor in (1.0, 0.2, 0.1):
    z = logits / np.float32(divisor)
    with np.errstate(over="ignore", invalid="ignore"):
        on_paper = softmax_on_paper(z)[0, 0, z.argmax()]
    print(f"largest score {z.max():6.1f}:  on paper {on_paper:.3f}   stable {stable_softmax(z).max():.3f}")
if torch is not None:
    expected = torch.softmax(torch.tensor(z, dtype=torch.float64), dim=-1)
else:
    expected = stable_softmax(z.astype(np.float64))
show_error("softmax", stable_softmax(z), expected, 1e-5)

# %% [markdown]
# ## A compiler reorders a sum only with permission
#
# Now that we know what another order does, we may allow it. The flags name what is allowed: `reassoc` to add in another
# order, `contract` to multiply and add in one step, and two smaller ones. The compiler then keeps partial sums side by
# side, which is also nearer to the sum in pairs. (`fastmath=True` would allow more: to assume that there is no infinity
# and no NaN. Attention needs infinities, 06.)

# %%
REORDER = {"reassoc", "contract", "nsz", "arcp"}
reordered = njit(fastmath=REORDER)(multiply_and_add)
exact = float(weight[0].astype(np.float64) @ x.astype(np.float64))
for name, function in (("in order", by_numba), ("reordered", reordered)):
    print(f"{name:<9} {float(function(weight[0], x)):.8f}")
print(f"{'exact':<9} {exact:.8f}")
np.testing.assert_allclose([by_numba(weight[0], x), reordered(weight[0], x)], exact, rtol=1e-4)

# %% [markdown]
# How much is gained shows in a longer row, where the call itself does not count: 28 rows end to end.

# %% tags=["varies"]
a, b = weight[:28].reshape(-1).copy(), np.tile(x, 28)
reordered(a, b)
rows = []
for name, function in (("NumPy", np.dot), ("Numba, in order", by_numba), ("Numba, reordered", reordered)):
    took = best_of(200, function, a, b)
    rows.append((name, f"{1e6 * took:.1f}", f"{2e-9 * len(a) / took:.1f}"))
table(("a row of 16,128", "microseconds", "billion operations a second"), rows)

# %% [markdown]
# Calling a compiled function from Python costs a few tenths of a microsecond by itself, so a whole matrix should be one
# call. Its rows have nothing to do with one another: each reads its own numbers and writes its own $y_i$. So they can
# be shared out to the cores. In Numba that is `prange` in place of `range`, in a function under `@njit(parallel=True)`.
#
# ### Now you · `parallel_matvec` · 20 minutes
#
# `weight` (n_out, n_in) and `x` (n_in,) → `y` (n_out,). When yours passes, the real model at the end runs on it.

# %%
parallel_matvec = now_you("parallel_matvec")


# %% tags=["solution"]
def book_parallel_matvec(weight, x):
    y = np.empty(len(weight), np.float32)
    _multiply(weight, x, y)
    return y


# %% tags=["solution"]
@njit(parallel=True, fastmath={"reassoc", "contract"})
def _multiply(weight, x, y):
    for i in prange(weight.shape[0]):
        total = np.float32(0)
        for j in range(weight.shape[1]):
            total += weight[i, j] * x[j]
        y[i] = total


# %% [markdown]
# A real matrix of SmolLM2, against PyTorch in float64:

# %%
y = parallel_matvec(weight, x)
if torch is not None:
    expected = torch.tensor(weight, dtype=torch.float64) @ torch.tensor(x, dtype=torch.float64)
else:
    expected = weight.astype(np.float64) @ x
show_error("matrix times vector", y, expected, 1e-4)

# %% tags=["varies"]
times = {
    "Python (from one row)": 1536 * each * D,
    "NumPy": best_of(50, np.matmul, weight, x),
    "Numba, all cores": best_of(300, parallel_matvec, weight, x),
}
table(
    ("1536 × 576 times a vector", "milliseconds", "billion operations a second"),
    [(name, f"{1e3 * s:.3f}", f"{2e-9 * weight.size / s:.3g}") for name, s in times.items()],
)

# %% [markdown]
# ## Two threads that add to one number can lose an addition
#
# `prange` promises that turns do not disturb one another, and nobody checks the promise. Count how often each token
# occurs in a text: every turn adds 1 to the count of its token. Two threads meet at " the", whose count is 5:
#
# | thread A | thread B | in memory |
# |---|---|---|
# | reads 5 | | 5 |
# | | reads 5 | 5 |
# | writes 6 | | 6 |
# | | writes 6 | 6 |
#
# Two tokens, counted once. That is a [data race](glossary.md#data-race). Two generators can play the two threads, one
# step each in turn; both count the words of the toy:


# %%
def thread(words, counts):
    for word in words:
        old = counts[word]
        yield  # and now the other one
        counts[word] = old + 1
        yield


counts = dict.fromkeys(WORDS, 0)
for _ in zip(thread(WORDS, counts), thread(WORDS, counts)):
    pass
print("six words, counted in lockstep:", counts)

# %% [markdown]
# Real threads are not in lockstep. **Guess first:** the toy's sentence, 400,000 times, shared out by `prange`. How many
# of its tokens are lost, and is it the same number every time?


# %% tags=["hide-output", "varies"]
@njit(parallel=True)
def count_with_race(ids, counts):
    for t in prange(len(ids)):
        counts[ids[t]] += 1


ids = np.tile(tokenizer.encode(SENTENCE), 400_000)
lost = []
for _ in range(40):
    counts = np.zeros(config.vocab_size, np.int64)
    count_with_race(ids, counts)
    lost.append(int(len(ids) - counts.sum()))
print(f"{len(ids):,} tokens, counted 40 times; something was lost in {np.count_nonzero(lost)} of the 40")
print(f"least {min(lost):,}, median {int(np.median(lost)):,}, most {max(lost):,}")

# %% [markdown]
# The loss differs from run to run, and where the threads do not really run at the same time, on one core or on a busy
# machine, it may be nothing: a test that passes does not prove that there is no race. NumPy has the same loss without
# any thread, and every time: `counts[ids] += 1` reads all old counts, adds 1, and writes them back, so that of equal
# ids one addition is left.

# %%
counts = np.zeros(config.vocab_size, np.int64)
counts[ids] += 1
print(f"counts[ids] += 1 keeps {counts.sum()} of {len(ids):,}: one for each of {len(np.unique(ids))} different tokens")

# %% [markdown]
# The rule: *what a thread writes belongs to it alone*. Share out the work by what is written, not by what is read, or
# give every thread a result of its own and add them up at the end.
#
# ### Now you · `scatter_add_parallel` · 25 minutes
#
# Training needs such a sum: row t of `rows` (n_tokens, dim) is added to row `ids[t]` of the result (vocab_size, dim).
# Ids repeat. Which part of the result could belong to one thread? (Not on the core path: go on with the book's.)

# %%
scatter_add_parallel = now_you("scatter_add_parallel")


# %% tags=["solution"]
def book_scatter_add_parallel(ids, rows, vocab_size):
    out = np.zeros((vocab_size, rows.shape[1]), np.float32)
    _add(ids, rows, out)
    return out


# %% tags=["solution"]
@njit(parallel=True)
def _add(ids, rows, out):
    for j in prange(rows.shape[1]):  # column j of the result belongs to one thread
        for t in range(len(ids)):
            out[ids[t], j] += rows[t, j]


# %%
some, rows = ids[:1000] % 50, rng.normal(size=(1000, 16)).astype(np.float32)
expected = np.zeros((50, 16))
np.add.at(expected, some, rows)  # NumPy's own way, one after the other
show_error("scatter-add", scatter_add_parallel(some, rows, 50), expected, 1e-3, against="np.add.at")

# %% [markdown]
# ## A column lies all over memory
#
# Multiplying is not all. Numbers have to come from memory first, and memory is one long row of bytes. The toy's table
# of three rows and two columns lies in it as 1, 0, 0, 1, ½, ½, four bytes each. From one number of a row to the next it
# is 4 bytes, from one row to the next 8. These two are the array's [strides](glossary.md#stride): (8, 4).
#
# **Guess first:** the transposed table has two rows of three. What are its strides, and how many bytes are copied to
# make it?

# %% tags=["hide-output"]
for name, view in (("table", VECTORS), ("table.T", VECTORS.T), ("table[::2]", VECTORS[::2])):
    print(f"{name:<11} shape {view.shape}  strides {view.strides}  copied {not np.shares_memory(view, VECTORS)}")

# %% [markdown]
# Nothing is copied: the transpose exchanges the strides, and every second row is a stride twice as long.
#
# ### Now you · `c_strides` · 5 minutes
#
# From a shape and the bytes of one number to the strides of an array that lies row by row, any number of axes.

# %%
c_strides = now_you("c_strides")


# %% tags=["solution"]
def book_c_strides(shape, itemsize):
    strides, step = [], itemsize
    for n in reversed(shape):
        strides.insert(0, step)
        step *= n
    return strides


# %%
for name, array in (("table", VECTORS), ("w_gate", weight), ("three axes", np.zeros((2, 10, 576), np.float32))):
    print(f"{name:<10} {array.shape!s:<12} strides {c_strides(list(array.shape), array.itemsize)}")
    assert tuple(c_strides(list(array.shape), array.itemsize)) == array.strides

# %% [markdown]
# Memory does not hand out single numbers. It hands out [cache lines](glossary.md#cache-line), mostly 64 bytes from a
# multiple of 64 on: sixteen float32. Whoever wants one of the sixteen waits for all. Four numbers from byte 56 on, side
# by side, begin at the bytes 56, 60, 64 and 68: two lines. With a stride of 64 the same four need four lines.
#
# ### Now you · `cache_lines_read` · 10 minutes
#
# `count` numbers from `address` on, `stride` bytes apart; lines of `line` bytes → how many lines. (Not on the core
# path.)

# %%
cache_lines_read = now_you("cache_lines_read")


# %% tags=["solution"]
def book_cache_lines_read(address, stride, count, itemsize, line):
    return len({(address + i * stride) // line for i in range(count)})


# %%
print("side by side:", cache_lines_read(56, 4, 4, 4, 64), " 64 bytes apart:", cache_lines_read(56, 64, 4, 4, 64))
for name, stride, count in (("a row", weight.strides[1], D), ("a column", weight.strides[0], len(weight))):
    n = cache_lines_read(0, stride, count, 4, 64)
    print(f"w_gate, {name:<9} {count} numbers, {n} lines, {4 * count / (64 * n):.0%} of the bytes used")

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharex=True, sharey=True)
n_rows, n_columns = 8, 48
walks = {"a row": [(2, j) for j in range(n_columns)], "a column": [(i, 20) for i in range(n_rows)]}
lines = {}
for axis, (name, walk) in zip(axes, walks.items()):
    picture = np.zeros((n_rows, n_columns))
    stride = 4 if name == "a row" else 4 * n_columns
    lines[name] = cache_lines_read(4 * (walk[0][0] * n_columns + walk[0][1]), stride, len(walk), 4, 64)
    for i, j in walk:
        picture[i, j // 16 * 16 : j // 16 * 16 + 16] = 1
    for i, j in walk:
        picture[i, j] = 2
    axis.imshow(picture, cmap="Blues", vmin=0, vmax=2.6, aspect="auto")
    for edge in range(0, n_columns + 1, 16):
        axis.axvline(edge - 0.5, color=COLOURS[5], lw=0.8)
    for edge in range(n_rows):
        axis.axhline(edge - 0.5, color="white", lw=2)
    axis.set(xlabel="column", ylabel="row")
    axis.grid(False)
    read = int((picture > 0).sum()) // 16
    claim(axis, f"{name}: {len(walk)} numbers, {lines[name]} lines", holds=read == lines[name])
show(
    figure,
    "Two tables of 8 rows and 48 columns, cut by upright lines into blocks of 16. Left, one row is dark from end to "
    f"end, all of its {lines['a row']} blocks. Right, one column is dark, and beside it the whole block of every row "
    f"is tinted: {lines['a column']} blocks are read for {len(walks['a column'])} numbers.",
)

# %% [markdown]
# A matrix times a vector, row by row, uses every byte that it reads. Walked down its columns, the same matrix is read
# line by line for one sixteenth of each, unless a line is still in the processor's small fast memory, its *cache*, when
# the next column wants it.
#
# **Guess first:** the model's table of embeddings has 49,152 rows of 576 numbers. How much longer does it take to add
# up all of them column by column than row by row?


# %% tags=["hide-output", "varies"]
@njit
def add_by_rows(a):
    total = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            total += a[i, j]
    return total


@njit
def add_by_columns(a):
    total = 0.0
    for j in range(a.shape[1]):
        for i in range(a.shape[0]):
            total += a[i, j]
    return total


embeddings = params.token_embedding
by_rows, by_columns = (best_of(2, function, embeddings) for function in (add_by_rows, add_by_columns))
print(f"by rows {1e3 * by_rows:.0f} ms, by columns {1e3 * by_columns:.0f} ms, {by_columns / by_rows:.1f} times")

# %% [markdown]
# ## Either arithmetic or memory is waited for
#
# A machine does two things at the same time: it computes, and it reads. Say that it computes 100 billion operations a
# second and reads 20 billion bytes. Our matrix of 1536 × 576 takes 1.77 million operations (a multiplication and an
# addition for each number) and 3.54 million bytes:
#
# | | amount | at most | time |
# |---|---|---|---|
# | arithmetic | 1.77 million operations | 100 billion a second | 18 µs |
# | memory | 3.54 million bytes | 20 billion a second | 177 µs |
#
# **Guess first:** how long does it take at least? And with twice as fast arithmetic?
#
# ### Now you · `roofline_seconds` · 5 minutes
#
# Operations and bytes of several kernels (n,), and the two speeds → the least seconds for each. (Not on the core path.)

# %%
roofline_seconds = now_you("roofline_seconds")


# %% tags=["solution"]
def book_roofline_seconds(flops, n_bytes, peak_flops, bandwidth):
    return np.maximum(flops / peak_flops, n_bytes / bandwidth)


# %%
flops, n_bytes = np.array([2.0 * weight.size]), np.array([4.0 * weight.size])
for peak in (100e9, 200e9):
    (least,) = roofline_seconds(flops, n_bytes, peak, 20e9)
    print(f"{peak / 1e9:.0f} billion operations a second: {1e6 * least:.0f} µs")

# %% [markdown]
# 177 µs both times: the arithmetic is done long before the numbers have come. Such a kernel is
# [memory-bound](glossary.md#memory-bound). What counts is how many operations there are for each byte: here one half,
# where the machine could do five. With ten tokens at once, each number that has been read is used ten times, for five
# operations a byte. Speed against operations for each byte is drawn as a [roofline](glossary.md#roofline): a slope
# where memory limits, then a flat roof where arithmetic does. Here is that of the machine that ran this notebook, with
# the package's own kernel on the table of embeddings, for one token and for more, and for one token from the 8 bits
# of this table in the file:

# %% tags=["hide-input", "varies"]
from minillama.layers.linear import linear_forward_fast

square = np.ones((1024, 1024), np.float32)
peak = 2 * 1024**3 / best_of(5, np.matmul, square, square)
points = {}
for n_tokens in (1, 4, 16, 64):
    states = rng.normal(size=(n_tokens, D)).astype(np.float32)
    flops = 2 * n_tokens * embeddings.size
    n_bytes = embeddings.nbytes + states.nbytes + 4 * n_tokens * len(embeddings)
    linear_forward_fast(states, embeddings)
    took = best_of(3, linear_forward_fast, states, embeddings)
    points[f"{n_tokens} token{'s' * (n_tokens > 1)}"] = flops / n_bytes, flops / took
packed, state = llm.params.token_embedding, rng.normal(size=(1, D)).astype(np.float32)
if not isinstance(packed, np.ndarray):
    linear_forward_fast(state, packed)
    took = best_of(3, linear_forward_fast, state, packed)
    points["1 token, 8 bits"] = 2 * embeddings.size / packed.nbytes, 2 * embeddings.size / took
peak = max(peak, *(rate for _, rate in points.values()))  # the best that was seen of anything
bandwidth = max(rate / per_byte for per_byte, rate in points.values())
per_byte = np.logspace(-1.5, 2.5, 200)
figure, axis = plt.subplots(figsize=(8, 4))
axis.loglog(per_byte, np.minimum(peak, bandwidth * per_byte) / 1e9, color=COLOURS[5], lw=2)
for (name, (i, rate)), colour in zip(points.items(), COLOURS):
    axis.scatter(i, rate / 1e9, s=60, color=colour, zorder=3, label=f"{name}: {rate / 1e9:.3g}")
axis.set(xlabel="operations for each byte", ylabel="billion operations a second")
claim(axis, "More tokens at once compute faster", holds=points["16 tokens"][1] > points["1 token"][1])
axis.legend(loc="lower right", fontsize=8)
show(
    figure,
    "Operations a second against operations for each byte, both in powers of ten: a slope, then a flat roof. The point "
    f"of one token in float32 lies far left, at one half, {points['1 token'][1] / 1e9:.2g} billion; 4, 16 and 64 "
    "tokens lie to the right of it and higher; one token from 8 bits lies between.",
)

# %% [markdown]
# The roof is drawn through the best that was seen, because a roof, too, can only be measured: the flat part through
# NumPy's product of two matrices of 1024 × 1024, or a point above it. One token at a time is what writing a text is,
# and it lies on the slope: there, fewer bytes are more speed, which is what packing the weights into 4 bits is for
# (12). A prompt is many tokens at once.
#
# ## Sizes that divide hide a wrong kernel
#
# A last thing that goes wrong without a sound. Kernels often work in groups, and what is left over needs a loop of its
# own. The next one forgets it. The model's feed-forward width, 1536, is a multiple of 128; its width of 576 is 4 groups
# of 128, and 64 are left over.
#
# **Guess first:** the model runs on it, with groups of 64 and of 128. Does it crash? What does it say?


# %% tags=["hide-output"]
@njit(fastmath=REORDER)
def in_groups(weight, rows, y, group):
    for i in range(weight.shape[0]):
        for t in range(rows.shape[0]):
            total = np.float32(0)
            for g in range(weight.shape[1] // group):  # what is left over is never reached
                for j in range(g * group, (g + 1) * group):
                    total += weight[i, j] * rows[t, j]
            y[t, i] = total


def as_op(multiply):
    """A table of the model's functions in which every matrix is multiplied by ours; `multiply` fills y (T, n_out)."""

    def linear_forward(x, weight):
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        y = np.empty((len(rows), len(weight)), np.float32)
        multiply(weight, rows, y)
        return y.reshape(*x.shape[:-1], -1), None

    return FAST._replace(linear_forward=linear_forward)


def next_words(ops):
    prompt = np.array([tokenizer.encode("The capital of France is")])
    logits = forward(params, config, prompt, ops)[0][0, -1]
    return logits, ", ".join(repr(tokenizer.decode([int(i)])) for i in np.argsort(-logits)[:3])


found = {
    "the package": next_words(FAST),
    "parallel_matvec from above": next_words(
        as_op(lambda weight, rows, y: np.copyto(y, [parallel_matvec(weight, row) for row in rows]))
    ),
    "groups of 64": next_words(as_op(lambda weight, rows, y: in_groups(weight, rows, y, 64))),
    "groups of 128": next_words(as_op(lambda weight, rows, y: in_groups(weight, rows, y, 128))),
}
right = found["the package"][0]
show_error("logits", found["parallel_matvec from above"][0], right, 2e-3, against="the package's")
assert np.abs(found["groups of 64"][0] - right).max() < 2e-3 < np.abs(found["groups of 128"][0] - right).max()
table(("matrix times vector", "The capital of France is ..."), [(name, words) for name, (_, words) in found.items()])

# %% [markdown]
# No error and no warning. A test with widths of 128 and 256 passes, and so does every matrix of this model that reads
# 1536 numbers. Test a kernel with sizes that its groups do not divide.
#
# The package's `minillama.layers.linear` has the same product, as NumPy to be read and as kernels. All agree:

# %%
from minillama.layers.linear import linear_forward

for name, function in (("the reference", linear_forward), ("the kernels", linear_forward_fast)):
    show_error("matrix times vector", y, function(x[None], weight)[0][0], 1e-4, against=name)

# %% [markdown]
# ## What you now know
#
# - Python spends its time asking what its numbers are. A compiled loop asks once; compiling pays after some thousand
#   rows, or at once if it was done before.
# - float32 has 24 binary digits. The order of a sum changes it, and a long sum in order loses what is small. Sums in
#   pairs do not. A compiler reorders only where it is told that it may.
# - What is larger than 3.4 · 10³⁸ is infinite. A softmax whose largest score is taken out first never gets there.
# - Rows can be shared out to cores, as long as what a thread writes belongs to it alone.
# - Memory hands out lines of 64 bytes. A kernel takes at least the larger of two times, for its arithmetic and for its
#   bytes; with one token at a time it is the bytes.
#
# ## Three questions
#
# 1. A float32 array of shape (1000, 16) begins at byte 0. How many lines of 64 bytes does its first column need, and
#    how many do all of its columns together? And the first column of an array of shape (1000, 4)?
#
# <details>
# <summary>Answer</summary>
#
# A row of 16 is one line, so the column needs 1000 lines; all columns together are the same 1000 lines. Rows of 4 are
# 16 bytes, four of them share a line: 250 lines.
#
# </details>
#
# 2. A machine computes 200 billion operations and reads 50 billion bytes a second. A matrix of float32 is multiplied by
#    the vectors of n tokens at once. From which n on is it arithmetic that is waited for? And if each number of the
#    matrix has one byte instead of four?
#
# <details>
# <summary>Answer</summary>
#
# Each number is 2n operations and 4 bytes, n/2 operations a byte. The machine does 4 a byte, so from n = 8 on. With one
# byte a number it is 2n operations a byte, so from n = 2 on: packed weights pay most for one token.
#
# </details>
#
# 3. The softmax of (1000, 999) is computed stably, and again after somebody has taken out the largest score of *all*
#    rows, which is 1200, instead of this row's. What comes out, each time?
#
# <details>
# <summary>Answer</summary>
#
# Stably: 1 and e⁻¹ divided by 1.37, so 0.73 and 0.27. With 1200 taken out the scores are −200 and −201, their
# exponentials are below the smallest float32 and become 0, and 0/0 is NaN.
#
# </details>
#
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
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# The model multiplies numbers, and people write text. [02](02_tokenizer.ipynb) is the way from one to the other.
