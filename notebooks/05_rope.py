# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 05 · RoPE
#
# **Goal.** Derive rotary position embedding, write it in plain Python, NumPy and Numba, in both layouts that exist,
# and see on a real model what happens when the layout is the wrong one.
#
# **Before this:** chapters 01 (NumPy to Numba) and 04 (RMSNorm). **Time:** about 90 minutes with the exercises.
# **Paper:** LLaMA 2 (arXiv:2307.09288), section 2.2; RoPE itself is Su et al., arXiv:2104.09864.
#
# **Not reproduced:** how training with another theta or a longer context changes a model. That needs training at
# full size; the angles themselves are all here.

# %%
import time

import matplotlib.pyplot as plt
import numba
import numpy as np

import minillama
from minillama import model
from minillama.learn import check
from minillama.learn.book import COLOURS, load, show_error, style, table, torch
from minillama.ops import FAST

style()
rng = np.random.default_rng(5)

# %% [markdown]
# ## The idea
#
# Attention compares a query with keys by dot products (chapter 06). A dot product does not know where its two
# vectors stand in the text. RoPE puts the position into the vectors by *rotating* them: the vector at position $m$
# is turned by an angle that is proportional to $m$. When two vectors are turned by the same angle their dot product
# does not change; turned by different angles, it depends on the **difference** of the two. So the score of a query
# and a key depends on what they are and on how far apart they stand, and not on where.
#
# One angle would not do: it comes back to the start after a full turn. So a head of 64 dims is cut into 32 pairs,
# each a little plane with its own speed, from fast to very slow, like the hands of a clock.

# %% [markdown]
# ## The mathematics
#
# A head has $h$ dims (`head_dim`, even), cut into $h/2$ pairs. Pair $i$ of a vector at position $m$ turns by
#
# $$\varphi_i(m) = m\,\theta^{-2i/h}, \qquad i = 0, \dots, h/2 - 1,$$
#
# with a constant $\theta$ (`rope_theta`), 10000 in LLaMA 2. For neighbouring pairs $(x_{2i}, x_{2i+1})$:
#
# $$\begin{pmatrix} y_{2i} \\ y_{2i+1} \end{pmatrix} =
#   \begin{pmatrix} \cos\varphi_i & -\sin\varphi_i \\ \sin\varphi_i & \cos\varphi_i \end{pmatrix}
#   \begin{pmatrix} x_{2i} \\ x_{2i+1} \end{pmatrix}.$$
#
# Write $R_m$ for the whole rotation at position $m$. Rotations satisfy $R_m^\top R_n = R_{n-m}$, hence for a query
# $q$ at position $m$ and a key $k$ at position $n$
#
# $$(R_m q)^\top (R_n k) = q^\top R_{n-m}\, k .$$
#
# | array | shape | what it is |
# |---|---|---|
# | `x` | (B, H, T, h) | queries or keys: B sequences, H heads, T tokens |
# | `positions` | (B, T) | where each row stands in its own sequence |
# | `cos`, `sin` | (S, h/2) | one row for each position 0 ... S - 1 |
# | `cos[positions]` | (B, T, h/2) | the rows that are needed |
# | `y` | (B, H, T, h) | as `x` |

# %% [markdown]
# ## Plain Python
#
# One vector, one position.


# %%
def rotate_vector(x, position, theta):
    y = list(x)
    for i in range(len(x) // 2):
        angle = position * theta ** (-2 * i / len(x))
        c, s = np.cos(angle), np.sin(angle)
        y[2 * i] = x[2 * i] * c - x[2 * i + 1] * s
        y[2 * i + 1] = x[2 * i] * s + x[2 * i + 1] * c
    return y


for position in (0, 1, 2, 100):
    print(f"position {position:3}:", np.round(rotate_vector([1, 0, 1, 0], position, 10000.0), 4))

# %% [markdown]
# Position 0 is not turned. The first pair turns by one radian per token, the second (of four dims) by a hundredth.
#
# The promise was that scores depend on the distance alone. Moved along the text together, a query and a key keep
# their score:

# %%
q, k = rng.normal(size=(2, 64))
for m, n in ((5, 2), (105, 102), (3005, 3002), (5, 4)):
    score = np.dot(rotate_vector(q, m, 10000.0), rotate_vector(k, n, 10000.0))
    print(f"query at {m:4}, key at {n:4}, distance {m - n}: score {score:.6f}")

# %% [markdown]
# ## Circles
#
# Four pairs of a head of 64 dims, each beginning at (1, 0), at positions 0 to 24. The first goes round every six
# tokens; the last one hardly moves.

# %%
figure, axes = plt.subplots(1, 4, figsize=(10, 3.2), sharex=True, sharey=True)
steps = np.arange(25)
for ax, i in zip(axes, (0, 4, 8, 31)):
    angle = steps * 10000.0 ** (-2 * i / 64)
    ax.plot(np.cos(np.linspace(0, 7, 200)), np.sin(np.linspace(0, 7, 200)), color=COLOURS[5], lw=0.8)
    shown = ax.scatter(np.cos(angle), np.sin(angle), c=steps, s=26, zorder=3)
    ax.set(title=f"pair {i}\n{10000.0 ** (-2 * i / 64):.2g} rad/token", xlabel=f"dim {2 * i}", aspect="equal")
axes[0].set_ylabel("the dim after it")
figure.colorbar(shown, ax=axes, label="position")
figure.suptitle("Every pair turns at its own speed", fontweight="bold")
plt.show()

# %% [markdown]
# ## NumPy
#
# The angles do not depend on the data, so their cosines and sines are computed once, in float64: a large angle in
# float32 has lost the digits after the point that the cosine needs.


# %%
def rope_table(head_dim, n_positions, theta):
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)  # (head_dim / 2,)
    angles = np.arange(n_positions)[:, None] * frequencies  # (S, head_dim / 2), float64
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rope(x, cos, sin, positions):
    c, s = cos[positions][:, None], sin[positions][:, None]  # (B, 1, T, head_dim / 2)
    even, odd = x[..., 0::2], x[..., 1::2]
    y = np.empty_like(x)
    y[..., 0::2] = even * c - odd * s
    y[..., 1::2] = even * s + odd * c
    return y


x = rng.normal(size=(2, 3, 5, 64)).astype(np.float32)
positions = np.array([[0], [40]]) + np.arange(5)  # the second sequence continues at position 40
cos, sin = rope_table(64, 64, 10000.0)
y = rope(x, cos, sin, positions)
print("x", x.shape, " cos[positions]", cos[positions].shape, " y", y.shape)
np.testing.assert_allclose(y[1, 2, 3], rotate_vector(x[1, 2, 3], 43, 10000.0), atol=1e-5)

# %% [markdown]
# Meta's code says the same in another way: a pair is a complex number, and turning it is multiplying it by
# $e^{\mathrm{i}\varphi}$. In PyTorch that is three lines.

# %%
angles = positions[..., None] * 10000.0 ** (-np.arange(0, 64, 2) / 64)  # (B, T, head_dim / 2)
if torch is not None:
    pairs = torch.view_as_complex(torch.tensor(x, dtype=torch.float64).reshape(2, 3, 5, 32, 2))
    turn = torch.polar(torch.ones(2, 1, 5, 32, dtype=torch.float64), torch.tensor(angles)[:, None])
    wanted = torch.view_as_real(pairs * turn).flatten(-2)
else:
    pairs = x[..., 0::2].astype(np.float64) + 1j * x[..., 1::2]
    wanted = (pairs * np.exp(1j * angles)[:, None]).view(np.float64)
show_error("rope", y, wanted, 1e-5)

# %% [markdown]
# ## Frequency bands
#
# The same table as a picture, next to the number of tokens each pair needs for a full turn, its *wavelength*. A larger
# theta makes the slow pairs slower; the fast ones stay. The dotted line is LLaMA 2's context: pairs above it
# do not complete one turn in any text the model has seen.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
shown = left.imshow(cos[:64].T, aspect="auto", cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
left.grid(False)
left.set(xlabel="position", ylabel="pair", title="Cosines: fast pairs above, slow ones below")
figure.colorbar(shown, ax=left, label="cos(angle)")
pair = np.arange(32)
for theta, c in ((1e4, COLOURS[0]), (1e5, COLOURS[1]), (5e5, COLOURS[2])):
    right.semilogy(pair, 2 * np.pi * theta ** (2 * pair / 64), color=c, label=f"theta = {theta:,.0f}")
right.axhline(4096, color=COLOURS[5], ls=":")
right.text(0, 4096 * 1.25, "4096 tokens")
right.set(xlabel="pair", ylabel="wavelength / tokens", title="A larger theta slows the late pairs", ylim=(3, 1e7))
right.legend(loc="upper left")
plt.show()

# %% [markdown]
# ## Score against distance
#
# What does the distance do to a score? When query and key are the same in all pairs, the score is
# $\sum_i \cos(d\,\theta^{-2i/h})$ for the distance $d$: it falls, with waves. Near tokens are favoured unless the
# model learns otherwise, and with a larger theta the score falls more slowly.

# %%
distance = np.arange(0, 4097)
figure, ax = plt.subplots()
for theta, c in ((1e4, COLOURS[0]), (1e5, COLOURS[1])):
    score = np.cos(distance[:, None] * theta ** (-np.arange(0, 64, 2) / 64)).mean(1)
    ax.plot(distance[1:], score[1:], color=c, lw=1.2, label=f"theta = {theta:,.0f}")
ax.axhline(0, color=COLOURS[5], lw=1)
ax.set(xscale="log", xlabel="distance / tokens", ylabel="score / largest score")
ax.set_title("The score of equal vectors falls with their distance")
ax.legend()
plt.show()

# %% [markdown]
# ## Numba
#
# The kernel goes through the numbers once, with no temporary arrays.


# %%
@numba.njit
def rope_kernel(x, cos, sin, positions):
    batch, heads, n_tokens, head_dim = x.shape
    y = np.empty_like(x)
    for b in range(batch):
        for h in range(heads):
            for t in range(n_tokens):
                m = positions[b, t]
                for i in range(head_dim // 2):
                    even, odd = x[b, h, t, 2 * i], x[b, h, t, 2 * i + 1]
                    y[b, h, t, 2 * i] = even * cos[m, i] - odd * sin[m, i]
                    y[b, h, t, 2 * i + 1] = even * sin[m, i] + odd * cos[m, i]
    return y


show_error("kernel", rope_kernel(x, cos, sin, positions), wanted, 1e-5)

# %% [markdown]
# Milliseconds on the machine that runs this cell, for 512 tokens and nine heads.


# %%
def milliseconds(function, *args, repeat=5):
    best = np.inf
    for _ in range(repeat):
        begin = time.perf_counter()
        function(*args)
        best = min(best, time.perf_counter() - begin)
    return best * 1e3


big, where, large = rng.normal(size=(1, 9, 512, 64)).astype(np.float32), np.arange(512)[None], rope_table(64, 512, 1e4)
rows = [
    (name, f"{milliseconds(function, big, *large, where):.3f}")
    for name, function in (("NumPy", rope), ("Numba kernel", rope_kernel), ("package", FAST.rope_forward))
]
table(("512 tokens, 9 heads of 64", "milliseconds"), rows)

# %% [markdown]
# ## The gradient
#
# $y = R\,x$ is linear, so $\mathrm{d}x = R^\top \mathrm{d}y$, and the transpose of a rotation turns back:
# the same function with $-\sin$. Turning forward and back gives what was there before.

# %%
back = rope(y, cos, -sin, positions)
show_error("there and back", back, x, 1e-5, against="what went in")
lengths = np.linalg.norm(y, axis=-1), np.linalg.norm(x, axis=-1)
show_error("lengths", *lengths, 1e-5, against="those before the rotation")

# %% [markdown]
# ## A chunk after a cache
#
# While a model writes, earlier keys lie rotated in a cache, and only the new token is computed. Its position is not 0
# but the number of tokens before it. Rotated in chunks with the right offsets, a sequence comes out as in one go:

# %%
whole = rng.normal(size=(1, 2, 10, 64)).astype(np.float32)
at_once = rope(whole, cos, sin, np.arange(10)[None])
chunks = [rope(whole[:, :, a:b], cos, sin, np.arange(a, b)[None]) for a, b in ((0, 6), (6, 9), (9, 10))]
np.testing.assert_array_equal(np.concatenate(chunks, axis=2), at_once)
wrong = rope(whole[:, :, 6:9], cos, sin, np.arange(3)[None])
print(f"chunk 6 to 9, counted from 0 instead: off by up to {np.abs(wrong - at_once[:, :, 6:9]).max():.2f}")

# %% [markdown]
# ## Two layouts
#
# Hugging Face pairs $x_i$ with $x_{i+h/2}$ instead of neighbours. Their function is called `rotate_half`.


# %%
def rope_half(x, cos, sin, positions):
    c, s = cos[positions][:, None], sin[positions][:, None]
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate((first * c - second * s, first * s + second * c), axis=-1)


try:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
except ImportError:
    expected_half = rope_half(x.astype(np.float64), cos, sin, positions)
else:
    c, s = (torch.tensor(np.concatenate((a, a), axis=-1)[positions]) for a in (cos, sin))
    expected_half = apply_rotary_pos_emb(torch.tensor(x), torch.tensor(x), c, s)[0]
show_error("rotate half", rope_half(x, cos, sin, positions), expected_half, 1e-5)

# %% [markdown]
# Both are equally good, as long as the weights were trained with the same. To bring a model from one to the other, the
# rows of `wq` and `wk` are reordered within each head: row $b \cdot h/2 + i$ of Hugging Face becomes row $2i + b$.


# %%
def half_to_interleaved(rows, head_dim):  # (H * head_dim, D)
    return rows.reshape(-1, 2, head_dim // 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


print("head of 8 dims:", half_to_interleaved(np.arange(8)[:, None], 8)[:, 0])

# %% [markdown]
# With both steps (other rows, other pairs) the scores are the same; with only one of them they are not.

# %%
wq, wk = rng.normal(size=(2, 64, 32)).astype(np.float32) / 6
hidden, here = rng.normal(size=(1, 1, 9, 32)).astype(np.float32), np.arange(9)[None]


def scores(rotate, wq, wk):
    q, k = (rotate(hidden @ w.T, cos, sin, here) for w in (wq, wk))
    return q @ k.swapaxes(-1, -2)


theirs = scores(rope_half, wq, wk)
permuted = half_to_interleaved(wq, 64), half_to_interleaved(wk, 64)
show_error("scores in Meta's layout", scores(rope, *permuted), theirs, 1e-4, against="Hugging Face's layout")
print(f"neighbours with Hugging Face's rows: off by up to {np.abs(scores(rope, wq, wk) - theirs).max():.2f}")

# %% [markdown]
# ## Real weights
#
# SmolLM2-135M-Instruct has heads of 64 dims and theta = 100000. The package keeps every model in Meta's layout; this
# one was permuted when its file was made. A function that keeps what it is given shows queries and keys before
# they are rotated.

# %%
llm = load()
config = llm.config
text = "A fox ran over the hill, through the old gate and down to the river, where two boats lay in the sun. "
ids = np.array([0, *llm.tokenizer.encode(text + text)])  # 0 is <|endoftext|>, which stands between texts
taken = []


def watching(x, cos, sin, positions):
    taken.append(x.copy())
    return FAST.rope_forward(x, cos, sin, positions)


model.forward(llm.params, config, ids[None], FAST._replace(rope_forward=watching))
print(f"{len(ids)} tokens, theta {config.rope_theta:.0f}; queries {taken[0].shape}, keys {taken[1].shape}")
real = rope_table(64, len(ids), config.rope_theta)
where = np.arange(len(ids))[None]
expected_real = FAST.rope_forward(taken[0], *real, where)[0]
show_error("queries of layer 0", rope(taken[0], *real, where), expected_real, 1e-4, against="the package")

# %% [markdown]
# What do the learned queries and keys do with the distance? Take a head's mean query and mean key over the text,
# and turn them apart. Of these four, one prefers the token just before, one those a few tokens back, and two hardly
# care. What a head prefers for a particular query may differ: this is its average.

# %%
distance = np.arange(0, 65)
turns = np.exp(1j * distance[:, None] * config.rope_theta ** (-np.arange(0, 64, 2) / 64))
figure, ax = plt.subplots()
for (layer, head), c in zip(((0, 0), (2, 4), (10, 1), (20, 7)), COLOURS):
    q, k = taken[2 * layer][0, head].mean(0), taken[2 * layer + 1][0, head // 3].mean(0)
    products = (q[0::2] + 1j * q[1::2]) * np.conj(k[0::2] + 1j * k[1::2])  # (head_dim / 2,)
    score = (products * turns).real.sum(1) / 8  # divided by sqrt(head_dim), as attention does
    ax.plot(distance, score - score.mean(), color=c, label=f"layer {layer}, head {head}")
ax.set(xlabel="distance of the key behind the query / tokens", ylabel="score, mean taken off")
ax.set_title("Heads of a real model have learned their own distances")
ax.legend(ncols=2)
plt.show()

# %% [markdown]
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `rope_angles` | The angles | 1 | 5 | core |
# | `rope_interleaved` | Rotate neighbouring pairs; runs in a model; with a speed card | 2 | 15 | core |
# | `rope_half` | Hugging Face's layout | 2 | 10 |  |
# | `permute_half_to_interleaved` | The permutation between them | 2 | 15 |  |
# | `rope_offsets` | A chunk after the cache | 2 | 15 | core |
# | `rope_backward` | The gradient | 1 | 10 |  |
#
# <!-- end of the exercises -->
#
# `minillama learn start my-llama` writes the files to fill in, `minillama learn watch` checks them whenever they are
# saved. In a notebook: `from minillama.learn import check; check("rope_interleaved", my_function)`. Here is a function
# that forgets that a chunk may begin anywhere:


# %%
def my_rope(x, cos, sin, positions):
    n_tokens = x.shape[2]
    c, s = cos[:n_tokens], sin[:n_tokens]
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack((even * c - odd * s, even * s + odd * c), axis=-1).reshape(x.shape)


check("rope_interleaved", my_rope)

# %%
assert check("rope_half", rope_half).passed
assert check("permute_half_to_interleaved", half_to_interleaved).passed
check("rope_interleaved", rope)

# %% [markdown]
# ## What breaks if it is wrong
#
# Nothing crashes: every variant below returns arrays of the right shape. The text is the same sentence twice. A good
# model pays for the first and nearly nothing for the second, which it can copy; to copy it has to find the token
# *after* the earlier one, and that takes positions.


# %%
def as_op(function):
    return lambda x, cos, sin, positions: (np.ascontiguousarray(function(x, cos, sin, positions)), None)


variants = {
    "right": rope,
    "wrong layout (pairs of halves)": rope_half,
    "no rotation": lambda x, cos, sin, p: x,
    "all positions 500 later": lambda x, cos, sin, p: rope(x, *later, p + 500),
}
later = rope_table(64, 1000, config.rope_theta)
rows, copied = [], {}
for name, function in variants.items():
    broken = minillama.LLM(llm.params, config, llm.tokenizer, ops=FAST._replace(rope_forward=as_op(function)))
    logits = broken.logits(ids)[:-1].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(ids) - 1), ids[1:]]
    copied[name] = losses[len(ids) // 2 :].mean()
    answer = broken.generate("The capital of France is", max_tokens=10, temperature=0).text
    rows.append((name, f"{losses[: len(ids) // 2].mean():.2f}", f"{copied[name]:.2f}", repr(answer)[:60]))
table(("rotation", "loss, first time", "second time", "continuation"), rows)

# %% [markdown]
# The wrong layout costs little the first time, and a few tokens of text may even look right, which makes this
# mistake hard to see; but the model no longer knows where a word stands and cannot copy. Without any rotation it is
# no different. Shifting all positions alike changes nothing: only distances count.

# %%
assert abs(copied["all positions 500 later"] - copied["right"]) < 0.02
assert copied["wrong layout (pairs of halves)"] > copied["right"] + 1
assert copied["no rotation"] > copied["right"] + 1

# %% [markdown]
# ## The package's functions
#
# `minillama.layers.rope` holds what this chapter derived.

# %%
from minillama.layers import rope as package

for ours, theirs in zip(rope_table(64, 300, 10000.0), package.rope_table(64, 300, 10000.0)):
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
for function in (package.rope_forward, package.rope_forward_fast):
    np.testing.assert_allclose(function(x, cos, sin, positions)[0], y, rtol=1e-5, atol=1e-6)
np.testing.assert_array_equal(package.half_to_interleaved(wq, 64), half_to_interleaved(wq, 64))
