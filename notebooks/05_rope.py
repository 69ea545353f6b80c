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
# > **Before this:** [03](03_embeddings_and_loss.ipynb).
# > **Time:** 30 minutes to read and run, 70 for all exercises; on the [core path](README.md) 65 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2, at full size; the method is Su et al.'s
# > (arXiv:2104.09864). **Not here:** what another theta or a longer context does to training, which needs a training
# > run of full size.
#
# *The dog bit the man. The man bit the dog.* The same five words, and each is the same row of the table of embeddings
# (03) in both sentences. Tokens meet in one part of a layer only, attention, which chapter 06 builds. All that is
# needed of it here: a token asks with a vector, its [query](glossary.md#query); every token is found by a vector, its
# [key](glossary.md#key); the dot product of the two says how much the one gets of the other. Nothing in a dot product
# says where in the text its two vectors stand. So who bit whom?
#
# LLaMA's answer is [RoPE](glossary.md#rope): before query and key meet, each is rotated by angles that grow with its
# [position](glossary.md#position), the index of its token in the text. Here is the real model with that one step left
# out, all else as it was.

# %% tags=["hide-input"]
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minillama.compute.threads import all_threads
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
from minillama.learn.book.toy import VECTORS
from minillama.model import forward
from minillama.ops import FAST
from minillama.trees import map_tree

style()
rng = np.random.default_rng(5)

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)  # from 4 and 8 bits

# %% [markdown]
# **Guess first:** which of these three can the model still go on with when no token knows where it stands?


# %% tags=["hide-output"]
def unturned(x, cos, sin, positions):
    """In the place of the rotation: queries and keys stay as they are."""
    return x.copy(), None


def next_words(text, ops, n=2):
    """The most probable tokens after a text."""
    logits = forward(params, config, np.array([tokenizer.encode(text)]), ops)[0][0, -1]
    return ", ".join(repr(tokenizer.decode([int(i)])) for i in np.argsort(-logits)[:n])


nowhere = FAST._replace(rope_forward=unturned)  # a model's layers are a table of functions: one is replaced
for text in ("The capital of France is", "A B C D E F", "one, two, three, four,"):
    print(f"{text:<25} whole: {next_words(text, FAST):<20} without positions: {next_words(text, nowhere)}")

# %% [markdown]
# Paris is a matter of which words are there. The alphabet and counting are a matter of order, and the model can no
# longer do them. The next cell looks at the very first layer: what does the last token, "and", get there from the
# others, in two texts that differ in the order of their words? And in the layer after it?


# %%
def answers(text, ops):
    """What attention hands to the last token, layer by layer, (L, H, head_dim)."""
    found = []

    def listening(q, k, v, positions):
        found.append(FAST.attention_forward(q, k, v, positions))
        return found[-1]

    forward(params, config, np.array([tokenizer.encode(text)]), ops._replace(attention_forward=listening))
    return np.array([y[0, :, -1] for y, _ in found])


for name, ops in (("whole", FAST), ("without positions", nowhere)):
    change = answers("The dog bit the man, and", ops) - answers("The man bit the dog, and", ops)
    largest = np.abs(change).max(axis=(1, 2))
    print(f"{name:<18} largest difference in layer 0: {largest[0]:.6f}, in layer 1: {largest[1]:.4f}")
assert np.abs(change[0]).max() < 1e-6  # the last of the two: without positions

# %% [markdown]
# Without positions "and" gets the same from both, to the last digit. In layer 1 there is a difference again, because a
# token sees only what stands before it (06): in layer 0 the second token gets something of two tokens, the third of
# three. That says what stands before a token, and not how far away it stands: enough for Paris, not for the alphabet.
#
# ## Turned together, two arrows keep their dot product
#
# Two words of the toy, two numbers each, how *alive* and how *edible*: dog is (1, 0), "it" is (½, ½). Each is an arrow
# in the plane, and here the arrow is the word's query and its key at once. Their dot product is ½, wherever they stand.
# Now turn every arrow counter-clockwise, by 30° for each position:
#
# | | position | turned by | is then |
# |---|---|---|---|
# | dog | 0 | 0° | (1, 0) |
# | it | 2 | 60° | (−0.18, 0.68) |
# | dog | 3 | 90° | (0, 1) |
# | it | 5 | 150° | (−0.68, −0.18) |
#
# The dot product of the first two, their [score](glossary.md#score) but for a constant factor (06), is −0.18, no longer
# ½: it knows of the two steps between them. **Guess first:** and that of the last two, which stand three positions
# further on, both of them?


# %% tags=["hide-output"]
def turn(pair, angle):
    """A pair of numbers, turned by an angle in radians."""
    a, b = pair
    return [a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)]


dog, it = VECTORS[0], VECTORS[2]
step = np.radians(30)
for m, s in ((2, 0), (5, 3), (4, 0)):
    score = np.dot(turn(it, m * step), turn(dog, s * step))
    print(f"it at {m}, dog at {s}, distance {m - s}: {score:.2f}")
assert np.isclose(np.dot(turn(it, 5 * step), turn(dog, 3 * step)), np.dot(turn(it, 2 * step), dog), atol=1e-6)

# %% tags=["hide-input", "hide-output"]
figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharex=True, sharey=True)
tips = {}
for axis, s in zip(axes, (0, 3)):
    tips[s] = turn(dog, s * step), turn(it, (s + 2) * step)
    draw_arrows(axis, {f"dog at {s}": tips[s][0]}, offset=(-38, 8) if s == 0 else (6, -2))
    draw_arrows(axis, {f"it at {s + 2}": tips[s][1]}, colours=COLOURS[1:2], offset=(-26, 7) if s == 0 else (-8, 8))
draw_arrows(axes[0], {"it, unturned": it}, colours=COLOURS[5:], dashed=True, offset=(2, 5))
axes[0].set(xlim=(-1.15, 1.15), ylim=(-0.45, 1.25))
between = [np.degrees(np.arctan2(b[1], b[0]) - np.arctan2(a[1], a[0])) % 360 for a, b in tips.values()]
claim(axes[0], f"Two positions apart: {between[0]:.0f}° between them", holds=np.isclose(between[0], 105))
claim(axes[1], "Three positions later: the same angle", holds=np.isclose(*between))
show(
    figure,
    "Two planes with equal axes. Left: dog at position 0 points right, it at position 2 is turned from its dashed "
    f"place halfway up to {between[0]:.0f} degrees, up and slightly left. Right: dog at 3 points up and it at 5 points "
    f"left and slightly down; again there are {between[1]:.0f} degrees between the two.",
)

# %% [markdown]
# A dot product is the two lengths times the cosine of the angle between them. Turning leaves the lengths as they are.
# Let $\alpha$ be the angle from the key to the query before the rotation, and $\varphi$ the angle for one position. The
# query at position $m$ turns by $m\varphi$, the key at position $s$ by $s\varphi$, and the dot product becomes
#
# $$ |q|\,|k|\,\cos\bigl(\alpha + (m - s)\,\varphi\bigr) . $$
#
# Of the two positions only the *distance* $m - s$ is left. What two tokens are to each other depends on what they are
# and how far apart they stand; a sentence means the same at the end of a text as at its beginning.
#
# ## What one angle mixes up
#
# At 30° a position, an arrow is back where it was after 12. And there is worse: dog at position 3 is (0, 1), the very
# arrow of bone at position 0. What a word is and where it stands have been mixed.
#
# **Guess first:** "it" and dog have the score −0.18 at distance 2. At which other distances up to 26? And does a slow
# turn, 1° a position, mend it?

# %% tags=["hide-output"]
distances = np.arange(27)
for degrees in (30, 1):
    found = [np.dot(turn(it, d * np.radians(degrees)), dog) for d in distances]
    print(f"{degrees:2}°: as at distance 2: {distances[np.isclose(found, found[2], atol=1e-4)]},", end=" ")
    print("scores at 2, 3, 4:", np.round(found[2:5], 2))

# %% [markdown]
# Besides the full turns there are 7 and 19, since a cosine is the same on both sides. The slow turn confuses nothing,
# but 2, 3 and 4 look nearly alike. A clock solves this with several hands, and RoPE as well: a vector of $h$ numbers
# (`head_dim`, even) is cut into $h/2$ pairs, each pair is an arrow of its own, and pair $i$ turns at its own speed. At
# position $m$ its angle, in radians, is
#
# $$ \varphi_i(m) = m\,\theta^{-2i/h}, \qquad i = 0, \dots, h/2 - 1, $$
#
# with a constant $\theta$, `rope_theta`, 10,000 in LLaMA 2. With four numbers there are two pairs: the first turns by
# one radian a token (57°), the second by 10,000 to the power −½, a hundredth. Each pair has its own cosine in the
# score, and the score is their sum.
#
# ### Now you · `rope_angles` · 5 minutes
#
# From `head_dim`, positions (T,) and theta to the angles, (T, head_dim / 2). Positions may be any, not 0, 1, 2 … only.

# %%
rope_angles = now_you("rope_angles")


# %% tags=["solution"]
def book_rope_angles(head_dim, positions, theta):
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)  # (head_dim / 2,)
    return positions[:, None] * frequencies


# %%
for position, angles in zip((0, 1, 2, 100), rope_angles(4, np.array([0, 1, 2, 100]), 10000.0)):
    print(f"position {position:3}: the first pair turns by {angles[0]:5.1f}, the second by {angles[1]:.2f} radians")

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(10, 3.2), sharex=True, sharey=True)
steps = np.arange(25)
angles = rope_angles(64, steps, 10000.0)
circle = np.linspace(0, 2 * np.pi, 200)
for axis, i in zip(axes, (0, 4, 8, 31)):
    axis.plot(np.cos(circle), np.sin(circle), color=COLOURS[5], lw=0.8)
    dots = axis.scatter(np.cos(angles[:, i]), np.sin(angles[:, i]), c=steps, s=26, zorder=3)
    label(axis, f"pair {i}: {angles[1, i]:.2g} a token")
    axis.title.set_fontsize(9)
    axis.set(xlabel=f"number {2 * i}", aspect="equal")
axes[0].set_ylabel("the number after it")
figure.colorbar(dots, ax=axes, label="position")
claim(figure, "Every pair turns at its own speed", holds=np.all(np.diff(angles[1]) < 0))
show(
    figure,
    "Four circles with the arrow tips of four pairs of a head of 64 numbers at positions 0 to 24. Pair 0 goes round "
    f"every six tokens, pair 4 in about 20, pair 8 makes {angles[24, 8] / 2 / np.pi:.1f} of a turn, and pair 31 has "
    "all its dots on one spot.",
)

# %% [markdown]
# Here is a head of 64 numbers: four of its 32 pairs, each (1, 0) at position 0, and where they are up to position 24.
# Pair 0 comes round every six tokens, pair 8 gets through 2.4 radians, not half a turn, and of pair 31 nothing is seen
# to move.
#
# ## Some hands never come round
#
# How many tokens a pair needs for a full turn is its [wavelength](glossary.md#wavelength), $2\pi\,\theta^{2i/h}$. For
# the first pair that is $2\pi$, six tokens. A head of LLaMA 2 has 128 numbers, so 64 pairs, and its texts have at most
# 4096 tokens.
#
# **Guess first:** how many of its 64 pairs do not make one full turn in a whole text?

# %% tags=["hide-output"]
wavelengths = 2 * np.pi / rope_angles(128, np.array([1]), 10000.0)[0]
print(f"longest {wavelengths[-1]:,.0f} tokens; longer than the text: {(wavelengths > 4096).sum()} of 64 pairs")

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
picture = left.imshow(np.cos(rope_angles(128, np.arange(64), 1e4)).T, aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
left.grid(False)
left.set(xlabel="position", ylabel="pair")
label(left, "Cosine of each pair's angle")
figure.colorbar(picture, ax=left)
curves = {theta: 2 * np.pi / rope_angles(128, np.array([1]), theta)[0] for theta in (1e4, 1e5, 5e5)}
for theta, curve in curves.items():
    right.semilogy(curve, label=f"theta = {theta:,.0f}")
right.axhline(4096, color=COLOURS[5], linestyle=":")
right.text(0, 4096 * 1.25, "4096 tokens")
right.set(xlabel="pair", ylabel="wavelength (tokens)", ylim=(3, 1e7))
claim(
    right,
    "A larger theta slows the late pairs most",
    holds=np.all(np.diff(curves[5e5] / curves[1e4]) > 0) and np.isclose(curves[5e5][0], curves[1e4][0]),
)
right.legend(loc="upper left")
show(
    figure,
    "Left: a field of stripes, positions 0 to 63 across, pairs 0 to 63 downwards; stripes are narrow at the top, wider "
    "further down, and from about pair 35 on the colour hardly changes. Right: wavelength against pair, logarithmic, "
    "straight lines that begin together at 6 tokens; with theta 10,000 the line crosses 4096 tokens at pair "
    f"{int((wavelengths <= 4096).sum())}, with 100,000 and 500,000 earlier.",
)

# %% [markdown]
# A slow pair hardly turns (left, dark blue) and keeps what its two numbers say; a fast one tells neighbours apart.
# LLaMA 3 reads longer texts than LLaMA 2, and has theta 500,000.
#
# What does a distance do to a score? Let query and key be the same arrow in every pair. Then each pair adds the cosine
# of its angle at that distance, and the score, as a share of the largest, is the mean of all cosines. Move the distance
# (in JupyterLab; on a page the picture stands at 3): the hands show the angles of all 32 pairs of a head of 64 numbers.


# %% tags=["hide-input"]
def draw_hands(distance, theta):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), width_ratios=(1, 1.7))
    reach = np.arange(257)
    cosines = np.cos(rope_angles(64, reach, theta))  # (distance, pair)
    hands = rope_angles(64, np.array([distance]), theta)[0]
    left.plot(np.cos(circle), np.sin(circle), color=COLOURS[5], lw=0.8)
    for i, angle in enumerate(hands):
        left.plot([0, np.cos(angle)], [0, np.sin(angle)], color=plt.get_cmap("viridis")(i / 32), lw=1.6)
    left.set(aspect="equal", xlabel="cosine: what the pair adds", ylabel="sine")
    label(left, f"32 hands at distance {distance}")
    right.plot(reach, cosines.mean(axis=1))
    right.plot(distance, cosines[distance].mean(), "o", color=COLOURS[1])
    right.axhline(0, color=COLOURS[5], lw=1)
    right.set(xlabel="distance (tokens)", ylabel="score / largest score", ylim=(-0.2, 1.05))
    label(right, f"Score of equal arrows, theta {theta:,}")
    show(
        figure,
        f"Left: a circle with 32 hands, the angles of all pairs at distance {distance}, fast pairs dark, slow ones "
        f"bright; {(cosines[distance] > 0.9).sum()} of them point to the right, within 26 degrees. Right: the score of "
        f"equal arrows against their distance with theta {theta:,}: it begins at 1 and goes down and up in waves, to "
        f"{cosines[256].mean():.2f} at 256; at {distance} a dot marks {cosines[distance].mean():.2f}.",
    )


live(draw_hands, distance=([*range(17), 24, 32, 48, 64, 96, 128, 192, 256], 3), theta=((100, 10_000, 500_000), 10_000))

# %% [markdown]
# Near tokens score higher unless the model learns otherwise: at distance 0 all hands point the same way, and with every
# step more of them are spread around the circle, where their cosines cancel. With theta 100 no hand is slow, and beyond
# 100 tokens the score is noise near zero; with 500,000 it is still 0.57 at 256.
#
# ## A whole layer turns in one go
#
# All queries of a layer lie in one array: B sequences, H heads side by side (06), T tokens, and `head_dim` numbers for
# each. A token's angles are alike in all its heads. Neighbours make a pair, numbers $2i$ and $2i + 1$:
#
# $$ y_{2i} = x_{2i} \cos\varphi_i - x_{2i+1} \sin\varphi_i, \qquad
#    y_{2i+1} = x_{2i} \sin\varphi_i + x_{2i+1} \cos\varphi_i . $$
#
# In plain Python, for one vector, this is `turn` again and again:


# %%
def turn_vector(x, position, theta):
    """One vector, as a list, pair by pair."""
    angles = rope_angles(len(x), np.array([position]), theta)[0]
    return [number for i, angle in enumerate(angles) for number in turn(x[2 * i : 2 * i + 2], angle)]


for position in (0, 1, 100):
    print(f"position {position:3}:", np.round(turn_vector([1, 0, 1, 0], position, 10000.0), 2))

# %% [markdown]
# Angles do not depend on the text, so cosines and sines are computed once, for all positions, and then looked up.


# %%
def rope_table(head_dim, n_positions, theta):
    angles = rope_angles(head_dim, np.arange(n_positions), theta)  # float64
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


# %% [markdown]
# | array | shape | |
# |---|---|---|
# | `x`, `y` | (B, H, T, head_dim) | queries or keys |
# | `positions` | (B, T) | where each token stands in its own sequence |
# | `cos`, `sin` | (S, head_dim / 2) | one row for each position 0 … S − 1 |
# | `cos[positions]` | (B, T, head_dim / 2) | the rows that are needed; the axis of the heads is missing |
#
# ### Now you · `rope_interleaved` · 15 minutes
#
# Turn the neighbouring pairs of every row of `x` by the angles of its position. The first and second numbers of all
# pairs are `x[..., 0::2]` and `x[..., 1::2]`. When yours passes, the real model below runs on it.

# %%
rope_interleaved = now_you("rope_interleaved")


# %% tags=["solution"]
def book_rope_interleaved(x, cos, sin, positions):
    c, s = cos[positions][:, None], sin[positions][:, None]  # (B, 1, T, head_dim / 2)
    even, odd = x[..., 0::2], x[..., 1::2]
    y = np.empty_like(x)
    y[..., 0::2] = even * c - odd * s
    y[..., 1::2] = even * s + odd * c
    return y


# %% [markdown]
# Pairing neighbours is called [interleaved](glossary.md#interleaved). Meta's own code says it in another way: a pair is
# a complex number, and turning it by $\varphi$ is multiplying it by $e^{\mathrm{i}\varphi}$. In PyTorch, in float64:

# %%
x = rng.normal(size=(2, 3, 5, 64)).astype(np.float32)
positions = np.array([[0], [40]]) + np.arange(5)  # the second sequence goes on at position 40
cos, sin = rope_table(64, 64, 10000.0)
y = rope_interleaved(x, cos, sin, positions)
by_loops = turn_vector(x[1, 2, 3].tolist(), 43, 10000.0)
show_error("one row", y[1, 2, 3], np.array(by_loops), 1e-5, against="the loops")
angles = rope_angles(64, positions.ravel(), 10000.0).reshape(2, 1, 5, 32)
if torch is not None:
    pairs = torch.view_as_complex(torch.tensor(x, dtype=torch.float64).reshape(2, 3, 5, 32, 2))
    expected = torch.view_as_real(pairs * torch.polar(torch.ones(1, dtype=torch.float64), torch.tensor(angles)))
    expected = expected.flatten(-2)
else:
    expected = np.ascontiguousarray((x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)).view(np.float64)
show_error("all rows", y, expected, 1e-5)

# %% [markdown]
# ## Angles are never computed in 16 bits
#
# `rope_table` rounds cosines, which are at most 1, and not the angles. A pair that turns by a tenth a token has come
# to 400.1 at position 4001, and of these radians 63 full turns do not count: what is left is 4.26. **Guess first:** of
# 4001, float16, half as wide as float32 (01), keeps eleven binary digits. Which position does it make of it, and what
# becomes of the cosine?

# %% tags=["hide-output"]
for dtype in (np.float64, np.float32, np.float16):
    angle = dtype(4001) * dtype(0.1)
    print(f"{dtype.__name__}: position {dtype(4001):.0f}, angle {angle:.4f}, cosine {np.cos(np.float64(angle)):.4f}")
assert np.float16(4001) == np.float16(4000)

# %% [markdown]
# In float16, the tokens at 4000 and 4001 stand at one place. A model may compute in 16 bits; its angles may not.
#
# ## What is kept is never turned again
#
# While a model writes, the keys of all earlier tokens are kept, turned as they are (10), and only the new token is
# computed. It arrives alone, as row 0 of its array, and its position is the number of tokens before it. In the toy,
# dog stands at 3 and "it" comes two later, at 5: score −0.18. Were "it" counted from 0, its distance would be −3: it
# would see the dog as a word that is still to come.
#
# ### Now you · `rope_offsets` · 15 minutes
#
# `x` (B, H, T, head_dim) are the next T rows of B sequences, of which `lengths` (B,) tokens came before, a number for
# each sequence. Give every row the angle of its place. No table is there: the angles are yours to compute.

# %%
rope_offsets = now_you("rope_offsets")


# %% tags=["solution"]
def book_rope_offsets(x, lengths, theta):
    positions = lengths[:, None] + np.arange(x.shape[2])  # (B, T)
    frequencies = theta ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    angles = (positions[..., None] * frequencies)[:, None]  # (B, 1, T, head_dim / 2)
    c, s = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    y = np.empty_like(x)
    y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
    y[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
    return y


# %% [markdown]
# Ten rows in one go and in three chunks of 6, 3 and 1 come out alike:

# %%
whole = rng.normal(size=(1, 2, 10, 64)).astype(np.float32)
at_once = rope_interleaved(whole, cos, sin, np.arange(10)[None])
chunks = [rope_offsets(whole[:, :, a:b], np.array([a]), 10000.0) for a, b in ((0, 6), (6, 9), (9, 10))]
show_error("three chunks", np.concatenate(chunks, axis=2), at_once, 1e-5, against="one go")
forgotten = rope_offsets(whole[:, :, 6:9], np.array([0]), 10000.0)
print(f"rows 6 to 8 counted from 0 instead: off by up to {np.abs(forgotten - at_once[:, :, 6:9]).max():.2f}")

# %% [markdown]
# ## Three operations a number, and the memory for it
#
# A rotation has four products and two sums for a pair: three operations for each number that it reads, so its time goes
# into memory (01). NumPy makes an array of every product on the way. A kernel needs none, and can even turn the rows of
# one sequence where they lie, if it reads both numbers of a pair before it writes one:


# %%
@njit
def turn_in_place(x, c, s):  # x (H, T, head_dim); c, s (T, head_dim / 2), looked up already
    for head in range(x.shape[0]):
        for t in range(x.shape[1]):
            for i in range(c.shape[1]):
                even, odd = x[head, t, 2 * i], x[head, t, 2 * i + 1]
                x[head, t, 2 * i] = even * c[t, i] - odd * s[t, i]
                x[head, t, 2 * i + 1] = even * s[t, i] + odd * c[t, i]


turned = x[1].copy()
turn_in_place(turned, cos[positions[1]], sin[positions[1]])
show_error("in place", turned, expected[1], 1e-5)


# %% [markdown]
# 512 tokens and nine heads, on one core of the machine that ran this notebook (the package's kernel fills a new array):

# %% tags=["varies"]
big, long = rng.normal(size=(1, 9, 512, 64)).astype(np.float32), rope_table(64, 512, 1e4)
for name, function in (
    ("NumPy", lambda: rope_interleaved(big, *long, np.arange(512)[None])),
    ("in place", lambda: turn_in_place(big[0], *long)),
    ("package", lambda: FAST.rope_forward(big, *long, np.arange(512)[None])),
):
    times = []
    for _ in range(20):
        with all_threads(1):
            begin = time.perf_counter()
            function()
            times.append(time.perf_counter() - begin)
    print(f"{name:<9} {1e3 * min(times):.2f} ms")

# %% [markdown]
# ## Heads have learned distances of their own
#
# SmolLM2-135M-Instruct has heads of 64 numbers and theta 100,000. It reads one sentence twice. A function in the place
# of the rotation writes down queries and keys as they come, unturned, and turns them with `rope_interleaved`:

# %%
text = "A fox ran over the hill, through the old gate and down to the river, where two boats lay in the sun. "
ids = np.array([[0, *tokenizer.encode(text + text)]])  # 0 is <|endoftext|>, which stands between texts
unturned_ones = []


def watching(x, cos, sin, positions):
    unturned_ones.append(x.copy())
    return rope_interleaved(x, cos, sin, positions), None


logits = forward(params, config, ids, FAST._replace(rope_forward=watching))[0]
show_error("logits", logits, forward(params, config, ids)[0], 2e-3, against="the model with the package's rotation")
print(f"{ids.shape[1]} tokens; queries of a layer {unturned_ones[0].shape}, keys {unturned_ones[1].shape}")

# %% [markdown]
# Take a head's mean query and mean key over the text, set them apart by a distance, and turn: which distance does the
# head like best? (Three query heads share a key head, 07.) **Guess first:** the toy of equal arrows liked distance 0
# best. How many of 270 heads do, and how many like the token just before best?

# %% tags=["hide-output"]
apart = np.arange(65)
turning = rope_table(64, 65, config.rope_theta)
curves = np.zeros((config.n_layers, config.n_heads, len(apart)))
for layer in range(config.n_layers):
    q = unturned_ones[2 * layer][0].mean(axis=1)  # (9, 64)
    k = np.repeat(unturned_ones[2 * layer + 1][0].mean(axis=1), 3, axis=0)
    q = np.repeat(q[None, :, None], len(apart), axis=2)  # (1, 9, 65, 64): the key stays at 0, the query goes away
    curves[layer] = (rope_interleaved(q, *turning, apart[None])[0] * k[:, None]).sum(axis=-1) / 8  # √64: chapter 06
favourite = curves.argmax(axis=-1)
print(f"distance 0: {(favourite == 0).sum()} heads, distance 1: {(favourite == 1).sum()}, of {favourite.size}")

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(8, 3.8))
lift = curves.max(axis=-1) - curves.mean(axis=-1)
shown = []
for low, high in ((0, 0), (1, 1), (2, 8), (9, 63)):
    inside = (favourite >= low) & (favourite <= high)
    shown.append(np.unravel_index(np.where(inside, lift, -np.inf).argmax(), lift.shape))
for layer, head in shown:
    curve = curves[layer, head]
    axis.plot(apart, curve - curve.mean(), label=f"layer {layer}, head {head}: best at {favourite[layer, head]}")
axis.set(xlabel="distance of the key behind the query (tokens)", ylabel="score, mean taken off")
claim(axis, "Four heads, four favourite distances", holds=len({favourite[place] for place in shown}) == 4)
axis.legend(fontsize=8)
show(
    figure,
    "Score against distance, 0 to 64 tokens, for four heads of the real model, each with its mean taken off. Their "
    f"highest points lie at the distances {', '.join(str(favourite[place]) for place in shown)}; one of "
    "them goes up and down in waves of about six tokens, the others fall or rise slowly.",
)

# %% [markdown]
# The four were looked up as those that stand out most among heads which like 0, 1, 2 to 8, and more. A curve is the
# head's *average*: what it prefers for a particular query may differ.
#
# ## A gradient is turned back
#
# In training, gradients come back through every step (03): given $dy$, how fast the loss changes with each number of
# $y$, the rotation has to say how fast it changes with each number of $x$. In the toy, dog at position 3 has been
# turned by 90°, so $y = (-x_1, x_0)$. Let the loss be the first number of $y$ alone: $dy = (1, 0)$. It is $-x_1$, so it
# does not change with $x_0$, and falls as fast as $x_1$ rises: $dx = (0, -1)$. As arrows: $dy$ points right, $dx$
# points down, which is 90° clockwise. Any change of $x$ comes out turned forwards by 90°. The change of $x$ that moves
# $y$ along $dy$ is therefore $dy$ turned back, and that is $dx$.
#
# ### Now you · `rope_backward` · 10 minutes
#
# The gradient through `rope_interleaved`: `dy` (B, H, T, head_dim), and the forward pass's other arguments → `dx`. What
# of them is another one where the angle is $-\varphi$? (Not on the core path.)

# %%
rope_backward = now_you("rope_backward")


# %% tags=["solution"]
def book_rope_backward(dy, cos, sin, positions):
    return rope_interleaved(dy, cos, -sin, positions)


# %% [markdown]
# Three checks: the toy, PyTorch's own gradient, and turning there and back.

# %%
quarter = np.cos(np.radians([[0], [90]])), np.sin(np.radians([[0], [90]]))  # positions 0 and 1
print("toy: dx =", rope_backward(np.array([[[[1.0, 0.0]]]]), *quarter, np.array([[1]])).ravel().round(2))
dy = rng.normal(size=x.shape).astype(np.float32)
if torch is not None:
    wide = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    c, s = (torch.tensor(a[positions][:, None], dtype=torch.float64) for a in (cos, sin))
    even, odd = wide[..., 0::2], wide[..., 1::2]
    torch.stack((even * c - odd * s, even * s + odd * c), dim=-1).flatten(-2).backward(torch.tensor(dy).double())
    expected_dx = wide.grad
else:  # complex numbers again, divided by what they were multiplied by
    expected_dx = np.ascontiguousarray((dy[..., 0::2] + 1j * dy[..., 1::2]) / np.exp(1j * angles)).view(np.float64)
show_error("gradient", rope_backward(dy, cos, sin, positions), expected_dx, 1e-5)
show_error("there and back", rope_backward(y, cos, sin, positions), x, 1e-5, against="what went in")

# %% [markdown]
# ## Two pairings, and a file does not say which
#
# Hugging Face pairs number $i$ with number $i + h/2$, not with its neighbour. Their function is called
# [rotate-half](glossary.md#rotate-half). For a head of eight numbers, same letters make a pair:
#
#     interleaved   a a b b c c d d
#     rotate-half   a b c d a b c d
#
# ### Now you · `rope_half` · 10 minutes
#
# Arguments and result as in `rope_interleaved`, with the other pairing. (Not on the core path.)

# %%
rope_half = now_you("rope_half")


# %% tags=["solution"]
def book_rope_half(x, cos, sin, positions):
    c, s = cos[positions][:, None], sin[positions][:, None]
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate((first * c - second * s, first * s + second * c), axis=-1)


# %%
try:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
except ImportError:  # then the complex numbers again, with the other pairing
    turned = (x[..., :32] + 1j * x[..., 32:]) * np.exp(1j * angles)
    theirs, other = np.concatenate((turned.real, turned.imag), axis=-1), "complex numbers"
else:
    c, s = (torch.tensor(np.concatenate((a, a), axis=-1)[positions]) for a in (cos, sin))
    theirs, other = apply_rotary_pos_emb(torch.tensor(x), torch.tensor(x), c, s)[0], "transformers"
show_error("rotate-half", rope_half(x, cos, sin, positions), theirs, 1e-5, against=other)

# %% [markdown]
# Neither is better, and a model must be run with the pairing that it was trained with. A file of weights looks the same
# either way. But a file can be carried over: the query is a learned matrix, $W_q$, times the token's vector (06), so
# each row of $W_q$ makes one number of it, and when rows change places, so do the numbers. From `a b c d a b c d` to `a
# a b b c c d d`: inside each head, row $b \cdot h/2 + i$ (with $b$ 0 or 1) becomes row $2i + b$.
#
# ### Now you · `permute_half_to_interleaved` · 15 minutes
#
# The rows (H · head_dim, D) of `wq` or `wk` from Hugging Face's order to Meta's, head by head. (Not on the core path.)

# %%
permute_half_to_interleaved = now_you("permute_half_to_interleaved")


# %% tags=["solution"]
def book_permute_half_to_interleaved(rows, head_dim):
    pairs = rows.reshape(-1, 2, head_dim // 2, rows.shape[1])  # (head, b, i, column)
    return pairs.swapaxes(1, 2).reshape(rows.shape)


# %% [markdown]
# **Guess first:** other rows *and* the other pairing: are the numbers of a turned query the same as before? Is the
# score?

# %% tags=["hide-output"]
print("rows of a head of 8:", permute_half_to_interleaved(np.arange(8)[:, None], 8)[:, 0])
wq, wk = rng.normal(size=(2, 64, 32)).astype(np.float32) / 6
stream, here = rng.normal(size=(1, 1, 9, 32)).astype(np.float32), np.arange(9)[None]


def queries_and_scores(rotate, wq, wk):
    q, k = (rotate(stream @ w.T, cos, sin, here) for w in (wq, wk))
    return q, q @ k.swapaxes(-1, -2)


q_theirs, theirs = queries_and_scores(rope_half, wq, wk)
q_ours, ours = queries_and_scores(
    rope_interleaved, permute_half_to_interleaved(wq, 64), permute_half_to_interleaved(wk, 64)
)
print(f"queries differ by up to {np.abs(q_ours - q_theirs).max():.2f}")
show_error("scores", ours, theirs, 1e-4, against="Hugging Face's rows and pairing")
mixed = queries_and_scores(rope_interleaved, wq, wk)[1]
print(f"one without the other: scores off by up to {np.abs(mixed - theirs).max():.2f}")

# %% [markdown]
# The same numbers stand in another order, for queries and keys alike, and a dot product does not mind. This package
# keeps every model interleaved; SmolLM2's rows were exchanged when its file was read.
#
# ## One thing wrong at a time
#
# Nothing crashes when a rotation is wrong: every line below returns arrays of the right shape. The text is the sentence
# of above, twice. A good model pays for the first (03) and little for the second, which it can copy. To copy, it has to
# find the token *after* the earlier one, and that takes positions.
#
# **Guess first:** one line changes nothing at all. Which? And how many of the seven changes leave Paris where it is?

# %% tags=["hide-output"]
half = ids.shape[1] // 2
later, other_theta = rope_table(64, 1000, config.rope_theta), rope_table(64, 1000, 10000.0)
variants = {
    "right": rope_interleaved,
    "not turned": lambda x, cos, sin, p: x,
    "pairs of halves": rope_half,
    "turned the other way": lambda x, cos, sin, p: rope_interleaved(x, cos, -sin, p),
    "keys one position further": lambda x, cos, sin, p: rope_interleaved(x, *later, p + (x.shape[1] == 3)),
    "all 500 positions later": lambda x, cos, sin, p: rope_interleaved(x, *later, p + 500),
    "second half counted from 0": lambda x, cos, sin, p: rope_interleaved(x, cos, sin, p % (half + 1)),
    "theta 10,000": lambda x, cos, sin, p: rope_interleaved(x, *other_theta, p),
}


def as_op(function):
    return FAST._replace(rope_forward=lambda *args: (np.ascontiguousarray(function(*args)), None))


def losses(logits, ids):
    """-log p of every token but the first (chapter 03)."""
    shifted = logits[0, :-1].astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -shifted[np.arange(len(shifted)), ids[0, 1:]]


first, second, rows = {}, {}, []
for name, function in variants.items():
    loss = losses(forward(params, config, ids, as_op(function))[0], ids)
    first[name], second[name] = loss[:half].mean(), loss[half:].mean()
    says = [next_words(text, as_op(function), 1) for text in ("The capital of France is", "A B C D E F")]
    rows.append((name, f"{first[name]:.2f}", f"{second[name]:.2f}", *says))
assert abs(second["all 500 positions later"] - second["right"]) < 0.02
assert all(second[name] > second["right"] + 0.8 for name in list(variants)[1:5])
assert abs(first["theta 10,000"] - first["right"]) < 0.3 > abs(second["theta 10,000"] - second["right"])
assert sum(row[3] == rows[0][3] for row in rows[1:]) == 6
table(("rotation", "loss, first time", "second time", "The capital of France is", "A B C D E F"), rows)

# %% [markdown]
# Moving everything changes nothing, since only distances count. All but one of the mistakes leave Paris where it is, so
# that a short look does not show them. With the wrong pairing even the first time costs hardly more; but the model no
# longer finds a place, cannot copy, and does not know what follows F. The second half that is counted from 0, a cache
# forgotten, costs nothing until that half begins. A wrong theta is the hardest to see: the fast pairs are the same, and
# in 50 tokens the slow ones hardly move in either. This text it even copies a little better.
#
# The package's `minillama.layers.rope` holds what was derived here, as NumPy and as a kernel:

# %%
from minillama.layers import rope as package

for ours, theirs in zip(rope_table(64, 300, 10000.0), package.rope_table(64, 300, 10000.0)):
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
for name, function in (("the reference", package.rope_forward), ("the kernel", package.rope_forward_fast)):
    show_error("rotation", y, function(x, cos, sin, positions)[0], 1e-5, against=name)
np.testing.assert_array_equal(permute_half_to_interleaved(wq, 64), package.half_to_interleaved(wq, 64))

# %% [markdown]
# ## What you now know
#
# - A dot product does not know where its vectors stand. RoPE turns query and key by angles that grow with their
#   positions, and the dot product then depends on the distance, and on nothing else of the two positions.
# - One speed is not enough: a fast turn repeats itself, a slow one does not tell neighbours apart. So a vector is cut
#   into pairs, from one radian a token down to almost 1/theta.
# - Angles are computed in float64 and only their cosines are rounded.
# - Turned keys can be kept. A new token's position is the number of tokens before it.
# - The gradient is turned back by the same angles.
# - There are two pairings. Rows of the weights and pairing change together, or the model loses its sense of place.
#
# ## Three questions
#
# 1. In the toy, at 30° a position, two arrows have the score 0.3 at positions 4 and 9. What is it at 104 and 109? And
#    at 104 and 121? The speed is halved, to 15° a position: which distance has the score 0.3 now?
#
# <details>
# <summary>Answer</summary>
#
# The distance is 5 again, so 0.3. At 104 and 121 it is 17 = 5 + 12, a full turn more, so 0.3 as well. At half the speed
# the same angle takes twice the distance: 10, and then every 24 further on.
#
# </details>
#
# 2. A program keeps turned keys of 300 tokens, at positions 0 to 299, and throws the first 100 away to save memory. It
#    counts what it has left, and gives the next token the position 200. How far away does this token see the newest
#    key, and which keys does it see at their true distance?
#
# <details>
# <summary>Answer</summary>
#
# The newest key was turned by the angles of 299, so its distance is 200 − 299 = −99 instead of 1: it stands in the
# future. No key is seen at its true distance, all are 100 too near. The position must go on at 300, however many keys
# are left.
#
# </details>
#
# 3. A model was trained on texts of 4096 tokens with `head_dim` 128 and theta 10,000. Somebody runs it on 8192. Which
#    of its pairs, the fast or the slow ones, come to angles that they never had in training, and how many pairs are it?
#    And if all positions are halved first?
#
# <details>
# <summary>Answer</summary>
#
# A pair that has made a full turn has seen every angle. The 18 whose wavelength is longer than 4096 have not, and
# beyond position 4096 they come to new angles: the slow ones. With positions halved, every distance up to 8192 has
# angles of the training again, but neighbours now differ by half a step, which the fast pairs never had. (This is the
# linear scaling of `rope_scaling.py`; models are trained a little further to get used to it.)
#
# </details>
#
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
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# Queries and keys now know where they stand. [06](06_attention.ipynb) lets them meet: what a token gets from the tokens
# before it.
