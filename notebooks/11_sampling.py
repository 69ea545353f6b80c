# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 11 · Sampling
#
# > **Before this:** [09](09_whole_model.ipynb).
# > **Time:** 35 minutes to read and run, 100 for all exercises; on the [core path](README.md) 90 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288): temperature 0.1 and top-p 0.9 for the safety benchmarks of section
# > 4.1; figure 21 sets the diversity of answers against temperature. **Not here:** the cache that makes the loop cheap
# > (10). Not reproduced: figure 21 compares models before and after RLHF; here is the curve of one small model, with a
# > simpler measure.
#
# *Once upon a time there was a little …* What? Ask three people, and you hear three stories. The model gives each of
# its 49,152 tokens a probability (00), and a text needs one token. Which?
#
# Chapter 00 took the most probable one, every time: greedy. Here it writes three stories that way, and then three where
# chance decides, each token by its probability.

# %% tags=["hide-input"]
import math
import time
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minillama.compute.threads import all_threads
from minillama.inference.sampling import (
    Sampling,
    filtered_logits,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    sample,
    sample_fast,
    softmax,
)
from minillama.learn.book import COLOURS, claim, label, live, load, now_you, show, show_error, style, table, torch
from minillama.learn.book.toy import WORDS

style()
plt.rcParams["axes.axisbelow"] = True
llm = load()
V = llm.config.vocab_size

# %% [markdown]
# **Guess first:** how many different stories are there among the first three, and how do the other three read?

# %% tags=["hide-output"]
STORY = "Once upon a time there was a little"
stories = {
    "the most probable": llm.generate_batch([STORY] * 3, max_tokens=20, temperature=0),
    "chance": llm.generate_batch([STORY] * 3, max_tokens=20, seed=0, temperature=1, top_p=1),
}
for how, rows in stories.items():
    for row in rows:
        print(f"{how:<18}… {' '.join(row.text.split())[:88]}")
assert len({row.text for row in stories["the most probable"]}) == 1

# %% [markdown]
# One story three times. The other three differ, and stumble: a girl of 70 years ago, "thinking colors", a spot called
# Skrymstill. This chapter is about the ground between.
#
# ## A dart hits a piece as often as it is long
#
# The toy of chapter 00 knows four tokens: *dog*, *bone*, *it* and the full stop. After "dog" it has these logits:
#
# | | dog | bone | it | . | |
# |---|---|---|---|---|---|
# | logit $z$ | 0 | 2 | 1 | 0 | |
# | probability $p$ | 0.08 | 0.61 | 0.22 | 0.08 | softmax |
# | its piece ends at | 0.08 | 0.69 | 0.92 | 1.00 | the sum so far |
#
# How does a program take "bone" in 61 of 100 cases? Lay the four probabilities end to end: they fill a line from 0 to
# 1. Throw a dart at the line, every place alike. It hits a piece as often as the piece is long.

# %% tags=["hide-input"]
toy, NAMES = np.array([0, 2, 1, 0], np.float32), [*WORDS, "."]


def draw_line(axis, height, probabilities, names=NAMES):
    """Probabilities end to end, as pieces of a bar."""
    ends = np.cumsum(probabilities)
    for name, p, end, colour in zip(names, probabilities, ends, COLOURS):
        axis.barh(height, p, left=end - p, color=colour, height=0.5, edgecolor="#fcfcf9")
        if p > 0.04:
            axis.text(end - p / 2, height, f"{name}\n{p:.2f}", ha="center", va="center", color="white", fontsize=8)
    return ends


figure, axis = plt.subplots(figsize=(8, 1.9))
ends = draw_line(axis, 0, softmax(toy))
darts = (0.05, 0.5, 0.9)
hit = [NAMES[int((ends <= dart).sum())] for dart in darts]
for dart, name in zip(darts, hit):
    axis.annotate(f"{dart} hits {name}", (dart, 0.25), (dart, 0.62), ha="center", arrowprops={"arrowstyle": "-|>"})
axis.set(xlim=(0, 1), ylim=(-0.35, 0.85), yticks=[], xlabel="where a dart lands")
axis.spines["left"].set_visible(False)
axis.grid(False)
claim(axis, "The longest piece is hit most often, not always", holds=set(hit) == {"dog", "bone", "it"})
show(
    figure,
    "A bar from 0 to 1 in four pieces: dog up to 0.08, bone up to 0.69, it up to 0.92, the full stop up to 1. Three "
    "arrows point at it from above: 0.05 hits dog, 0.5 hits bone, 0.9 hits it.",
)

# %% [markdown]
# That is [sampling](glossary.md#sampling). A dart is a random number; who begins with the same *seed* throws the same
# darts, and gets the same text.
#
# ### Now you · `draw_token` · 15 minutes
#
# `probabilities` (V,), of which some are 0, and a generator → the id of one token. `rng.random()` throws a dart, at
# least 0 and below 1. What is 0 must never come.

# %%
draw_token = now_you("draw_token")


# %% tags=["solution"]
def book_draw_token(probabilities, rng):
    ends = np.cumsum(probabilities)
    return int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))  # the last end may be just below 1


# %%
rng = np.random.default_rng(11)
counts = np.bincount([draw_token(softmax(toy), rng) for _ in range(1000)], minlength=4)
print("1000 draws:", ", ".join(f"{name} {n}" for name, n in zip(NAMES, counts)))


# %% [markdown]
# Read aloud, a draw is a walk along the line, until the dart is passed. Compiled (01), the walk needs no array of sums,
# and it ends where the dart is, which may be anywhere among the 49,152 tokens of the real model:


# %%
def draw_loops(probabilities, dart):
    mass = 0.0
    for i, p in enumerate(probabilities):
        mass += p
        if mass > dart:
            return i
    return int(np.flatnonzero(probabilities)[-1])  # rounding: the sum may end a hair below 1


draw_compiled = njit(draw_loops)

PROMPTS = "The capital of France is", "My favourite animal is the"
sure, unsure = (llm.logits(llm.encode_prompt(prompt))[-1].astype(np.float64) for prompt in PROMPTS)


def name_of(token):
    return repr(llm.tokenizer.decode([int(token)]))


p = softmax(unsure)
darts = [np.random.default_rng(seed).random() for seed in range(40)]
walked = [draw_loops(p, dart) for dart in darts]
assert walked == [draw_compiled(p, dart) for dart in darts]
drawn = [draw_token(p, np.random.default_rng(seed)) for seed in range(40)]
print(PROMPTS[1], "…", ", ".join(name_of(i) for i in walked[:7]))
print(f"the same as by draw_token: {sum(a == b for a, b in zip(walked, drawn))} of 40")

# %% [markdown]
# ## Improbable tokens are not improbable together
#
# After "The capital of France is" the model is sure: " Paris" has 0.77. After "My favourite animal is the" there are
# many good answers, and the first, " cat", has 0.11.
#
# **Guess first:** after "animal is the", how much probability do all tokens beyond the first 100 have together? Each of
# them has less than 0.002.

# %% tags=["hide-output"]
held = {prompt: np.cumsum(np.sort(softmax(z))[::-1]) for prompt, z in zip(PROMPTS, (sure, unsure))}
for prompt, mass in held.items():
    beyond = ", ".join(f"{n:,}: {1 - mass[n - 1]:.3f}" for n in (1, 10, 100, 1000, 10_000))
    print(f"{prompt:<27} beyond the first {beyond}")
below = np.sort(softmax(unsure))[::-1][100]
assert below < 0.002

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(7, 3.4))
for (prompt, mass), colour in zip(held.items(), COLOURS):
    axis.semilogx(np.arange(1, V + 1), mass, color=colour, label=f"{prompt} …")
axis.axvline(100, color=COLOURS[5], linestyle=":")
axis.set(xlabel="the first so many tokens, most probable first", ylabel="hold together", ylim=(0, 1.02))
tails = [1 - mass[99] for mass in held.values()]
claim(axis, "Where the model is unsure, the tail is long", holds=tails[1] > 0.2 > 5 * tails[0])
axis.legend(loc="lower right")
show(
    figure,
    "How much of the probability the most probable tokens hold, against their number, logarithmic. After the capital "
    f"of France the curve begins at {held[PROMPTS[0]][0]:.2f} and is at {1 - tails[0]:.2f} at 100 tokens; after my "
    f"favourite animal it begins at {held[PROMPTS[1]][0]:.2f}, is at {1 - tails[1]:.2f} at 100, and needs thousands "
    "for the rest.",
)

# %% [markdown]
# A text is drawn from distributions like these once a token, so sooner or later a dart hits the tail; and what follows
# has to follow *that*. Here is the least probable token of each story that chance has written above, with its place
# in the order of the model's probabilities at that point:

# %%
ids = llm.encode_prompt(STORY)
for row in stories["chance"]:
    z = llm.logits([*ids, *row.ids])[len(ids) - 1 : -1]  # what the model said before each of its tokens
    rank = (z > z[np.arange(len(row.ids)), row.ids][:, None]).sum(axis=1) + 1
    print(f"number {rank.max():>6,} of {V:,}: {name_of(row.ids[rank.argmax()]):<12}; most probable each time: ", end="")
    print(f"{(rank == 1).sum()} of {len(rank)} tokens")

# %% [markdown]
# About half of the tokens are the ones that greedy would have taken. But two of the three stories have one from far
# down: "thinking", and the end of Skrymstill. Two things can be done about the tail: make it thinner, or cut it off.
#
# ## Half the temperature squares every ratio
#
# Divide the logits by a number before the softmax, and call it the [temperature](glossary.md#temperature):
#
# | | dog | bone | it | . | bone : it |
# |---|---|---|---|---|---|
# | logits divided by ½ | 0 | 4 | 2 | 0 | |
# | probability | 0.02 | 0.85 | 0.12 | 0.02 | 7.39 |
# | logits divided by 1 | 0 | 2 | 1 | 0 | |
# | probability | 0.08 | 0.61 | 0.22 | 0.08 | 2.72 |
# | logits divided by 2 | 0 | 1 | ½ | 0 | |
# | probability | 0.16 | 0.43 | 0.26 | 0.16 | 1.65 |
#
# A difference of logits is a ratio of probabilities (00). With ½ the difference of bone and "it" is 2 and not 1, so the
# ratio is $e^2 = (e^1)^2$: its square. With 2 it is the square root. In symbols, with the temperature $\tau > 0$:
#
# $$ p_i = \frac{e^{z_i/\tau}}{\sum_{j=1}^{V} e^{z_j/\tau}}, \qquad
#    \frac{p_i}{p_j} = e^{(z_i - z_j)/\tau} . $$
#
# The smaller $\tau$ is, the more of the line the largest logit has; close to 0 it has all. The larger $\tau$ is, the
# closer all ratios come to 1. The order of the tokens never changes.

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(8, 2.7))
lines = {tau: np.exp(toy / tau) / np.exp(toy / tau).sum() for tau in (0.5, 1, 2)}
for height, p in zip((2, 1, 0), lines.values()):
    draw_line(axis, height, p, names=("dog", "bone", "it", " ."))
axis.set(xlim=(0, 1), xlabel="where a dart lands")
axis.set_yticks([2, 1, 0], [f"τ = {tau}" for tau in lines])
axis.grid(False)
bones = [p[1] for p in lines.values()]
claim(axis, "The colder, the longer the piece of “bone”", holds=bones[0] > bones[1] > bones[2] > 1 / 4)
show(
    figure,
    "Three bars from 0 to 1, one below the other, each in four pieces: dog, bone, it, full stop. At temperature one "
    f"half bone has {bones[0]:.2f} of the bar, at 1 {bones[1]:.2f}, at 2 {bones[2]:.2f}; the pieces of dog and full "
    "stop grow from slivers to 0.16 each.",
)

# %% [markdown]
# As the formula says, in plain Python:


# %%
def temperature_loops(z, tau):
    exponentials = [math.exp(logit / tau) for logit in z]
    total = sum(exponentials)
    return [e / total for e in exponentials]


print(np.round(temperature_loops(toy.tolist(), 0.5), 2))

# %% [markdown]
# **Guess first:** the toy becomes colder and colder, in float64, which holds numbers up to $e^{709}$. At which of the
# temperatures 0.1, 0.01, 0.001 does this function fail?

# %% tags=["hide-output"]
for tau in (0.1, 0.01, 0.001):
    try:
        print(f"{tau}: {np.round(temperature_loops(toy.tolist(), tau), 4)}")
    except OverflowError as error:
        print(f"{tau}: {error}")

# %% [markdown]
# At 0.001 the logit 2 has become 2000. A real logit of 20 is there at 0.02 already, and in float32 at 0.2. Yet nothing
# is wrong with so cold a distribution: nearly all belongs to one token. The number that chapter 06 took out of all
# scores helps here, too.
#
# ### Now you · `temperature_probabilities` · 10 minutes
#
# `logits` (V,), of any size, and $\tau \ge 0$ → probabilities (V,). By 0 nothing can be divided, so it means what small
# temperatures come close to: all for the largest logit, and of equal ones for the lowest id.

# %%
temperature_probabilities = now_you("temperature_probabilities")


# %% tags=["solution"]
def book_temperature_probabilities(logits, temperature):
    if temperature == 0:
        greedy = np.zeros(len(logits))
        greedy[np.argmax(logits)] = 1
        return greedy
    exponentials = np.exp((logits - logits.max()) / temperature)
    return exponentials / exponentials.sum()


# %% [markdown]
# The toy, and then the real logits against PyTorch:

# %%
for tau in (0, 0.001, 0.5, 2):
    print(f"τ = {tau}:", np.round(temperature_probabilities(toy, tau), 2))
for prompt, z in zip(PROMPTS, (sure, unsure)):
    if torch is not None:
        expected = torch.softmax(torch.tensor(z) / 0.7, -1)
    else:
        expected = np.array(temperature_loops(z.tolist(), 0.7))
    show_error(prompt, temperature_probabilities(z, 0.7), expected, 1e-6)

# %% [markdown]
# **Guess first:** at $\tau = 1$, the 14 most probable tokens after "My favourite animal is the" have 37 % of the
# probability. How much do they have at 0.4, and at 1.8?

# %% tags=["hide-input", "hide-output"]
first = np.argsort(-unsure)[:14]
figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), sharex=True, sharey=True)
shares = []
for axis, tau in zip(axes, (0.4, 1.0, 1.8)):
    p = temperature_probabilities(unsure, tau)[first]
    axis.barh(range(len(first)), p, color=COLOURS[0])
    for i in (0, 1):
        axis.text(p[i] + 0.01, i, f"{p[i]:.3f}", va="center", fontsize=8)
    axis.set(xlabel="probability")
    label(axis, f"τ = {tau}: these 14 hold {100 * p.sum():.0f} %")
    shares.append(p.sum())
axes[0].set_yticks(range(len(first)), [name_of(i) for i in first], fontsize=8)
axes[0].invert_yaxis()
axes[0].set(ylabel="next token", xlim=(0, 0.85))
claim(figure, "Cold, two tokens have nearly all; hot, nobody has anything", holds=shares[0] > 0.95 and shares[2] < 0.1)
show(
    figure,
    "Three charts of bars with the same axes, for the 14 most probable tokens. At 0.4 the first bar is very long, the "
    "second a third as long, the others hardly there; at 1 all are short; at 1.8 hardly a bar is to be seen. Together "
    f"they hold {shares[0]:.0%}, {shares[1]:.0%} and {shares[2]:.0%}.",
)

# %% [markdown]
# On one axis it shows what heat does: what the 14 lose does not go to other animals, it goes to tens of thousands of
# tokens of which each has next to nothing. Heat gives variety *and* feeds the tail. So the tail is cut off.
#
# ## Ten tokens are too many for Paris and too few for animals
#
# The simplest cut: the k most probable tokens stay, [top-k](glossary.md#top-k). What is dropped gets the logit −∞,
# like a key that is hidden by the mask (06): its exponential is 0. A logit of 0 would not do: $e^0$ is 1, a chance like
# any other. The probability of dropped tokens goes to those that stay, in proportion, because the softmax divides by
# the new sum:
#
# | k = 2 | dog | bone | it | . |
# |---|---|---|---|---|
# | logit | −∞ | 2 | 1 | −∞ |
# | probability | 0 | 0.73 | 0.27 | 0 |
#
# And k = 3? The third largest logit is 0, and two tokens have it. Neither is better, so a threshold keeps both.
#
# ### Now you · `top_k_filter` · 10 minutes
#
# `logits` (V,) and `k` → logits (V,), in the order of the ids. What is at least the `k`-th largest stays. `k` = 0 means
# that nothing is dropped.

# %%
top_k_filter = now_you("top_k_filter")


# %% tags=["solution"]
def book_top_k_filter(logits, k):
    if k == 0 or k >= len(logits):
        return logits
    return np.where(logits >= np.sort(logits)[-k], logits, -np.inf)


# %%
for k in (2, 3):
    print(f"toy, k = {k}:", top_k_filter(toy, k), "→", softmax(top_k_filter(toy, k)).round(2))
for prompt, z in zip(PROMPTS, (sure, unsure)):
    p, order = softmax(top_k_filter(z, 10)), np.argsort(-z)
    print(f"{prompt:<27} the first {p[order[0]]:.2f}, the last eight {p[order[2:10]].sum():.2f}, ", end="")
    print(f"the last of them {name_of(order[9])}, dropped {name_of(order[10])}")

# %% [markdown]
# Ten are too many where only Paris is right: 1 draw in 14 takes one of the last eight. And they are too few where a
# hundred animals would do: the dog is in, the rabbit is not.
#
# ## The token that crosses the limit stays
#
# A number of tokens is the wrong measure, then. Take a mass: the most probable tokens, until they hold more than 0.7
# together. That is [nucleus sampling](glossary.md#nucleus-sampling) (Holtzman et al., arXiv:1904.09751), or *top-p*.
# For every token in falling order, add up what stands *before* it:
#
# | | bone | it | dog | . |
# |---|---|---|---|---|
# | probability | 0.61 | 0.22 | 0.08 | 0.08 |
# | mass before it | 0 | 0.61 | 0.83 | 0.92 |
# | at most 0.7 | stays | stays | | |
#
# "it" stays because what stands before it is not enough yet. With it, the mass is 0.83: "it" is the token that crosses
# the limit.
#
# **Guess first:** which tokens stay with a limit of 0.5, and which with 0.9? And which with 0.5 if a token counted its
# own probability, too?
#
# <details>
# <summary>Answer</summary>
#
# With 0.5, bone alone. With 0.9, bone, it and dog: before the full stop stand 0.92. Dog and full stop have equal
# probabilities, but here one stays and the other goes; the lower id comes first. If a token counted its own, 0.61 would
# be more than 0.5, and nothing would be left to draw from.
#
# </details>
#
# ### Now you · `top_p_filter` · 20 minutes
#
# `logits` (V,) and the limit `p` → logits (V,), in the order of the ids, −∞ where the mass before a token is more than
# `p`. The masses are added up in falling order, equal tokens by id: which sort keeps those in order? And the decision
# about the third in that order is one about another id.

# %%
top_p_filter = now_you("top_p_filter")


# %% tags=["solution"]
def book_top_p_filter(logits, p):
    if p >= 1:
        return logits.copy()
    order = np.argsort(-logits, kind="stable")
    probabilities = temperature_probabilities(logits[order], 1.0)
    keep = np.cumsum(probabilities) - probabilities <= p  # the mass before each token
    out = np.full_like(logits, -np.inf)
    out[order[keep]] = logits[order[keep]]
    return out


# %%
for limit in (0.5, 0.7, 0.9):
    kept = np.isfinite(top_p_filter(toy, limit))
    print(f"toy, limit {limit}:", [name for name, stays in zip(NAMES, kept) if stays])

# %% [markdown]
# ## One logit less is 0.37 as probable
#
# A third measure is the most probable token itself. [Min-p](glossary.md#min-p) (Nguyen et al., arXiv:2407.01082) drops
# what has less than a fixed share of *its* probability. In the toy, "it" is one logit below bone, $e^{-1} = 0.37$ as
# probable, and dog and full stop are two below, $e^{-2} = 0.14$. With `min_p` = 0.2, bone and "it" stay; with 0.1, all.
# No order is needed, and not even a sum.
#
# ### Now you · `min_p_filter` · 10 minutes
#
# `logits` (V,) and `min_p` between 0 and 1 → logits (V,). (Not on the core path.)

# %%
min_p_filter = now_you("min_p_filter")


# %% tags=["solution"]
def book_min_p_filter(logits, min_p):
    return np.where(np.exp(logits - logits.max()) >= min_p, logits, -np.inf)


# %% [markdown]
# **Guess first:** k = 10, a limit of 0.6, and `min_p` = 0.1: how many tokens does each keep after "The capital of
# France is", where " Paris" has 0.77 and " the" 0.06? And after "My favourite animal is the"?

# %% tags=["hide-input", "hide-output"]
filters = {
    "top-k, k = 10": lambda z: top_k_filter(z, 10),
    "top-p, limit 0.6": lambda z: top_p_filter(z, 0.6),
    "min-p, 0.1": lambda z: min_p_filter(z, 0.1),
}
figure, axes = plt.subplots(2, 3, figsize=(10, 5), sharex=True, sharey=True)
n_kept = np.zeros((2, 3), int)
for i, (prompt, z) in enumerate(zip(PROMPTS, (sure, unsure))):
    p, order = softmax(z), np.argsort(-z)[:80]
    for j, (name, keep) in enumerate(filters.items()):
        kept = np.isfinite(keep(z))
        n_kept[i, j] = kept.sum()
        axes[i, j].bar(range(80), p[order], width=1, color=[COLOURS[0] if kept[t] else COLOURS[1] for t in order])
        axes[i, j].set(yscale="log")
        label(axes[i, j], f"{name}: keeps {n_kept[i, j]}")
    axes[i, 0].set_ylabel(f"{prompt} …\nprobability", fontsize=9)
for axis in axes[1]:
    axis.set_xlabel("token, most probable first")
follow = n_kept[0, 0] == n_kept[1, 0] and np.all(n_kept[0, 1:] == 1) and np.all(n_kept[1, 1:] > 10)
claim(figure, "Top-p and min-p follow the model's doubt, top-k does not (blue stays, orange goes)", holds=follow)
show(
    figure,
    "Six charts with the same logarithmic axes: the 80 most probable tokens after the capital of France, above, and "
    "after my favourite animal, below; blue is kept, orange dropped. Top-k keeps 10 in both. Top-p keeps "
    f"{n_kept[0, 1]} above and {n_kept[1, 1]} below, min-p {n_kept[0, 2]} above and {n_kept[1, 2]} below.",
)

# %% [markdown]
# The same filters with PyTorch's sort and threshold, in float64; what is compared are the probabilities that are left.
# Where PyTorch is not installed, a loop over the sorted tokens takes its place.


# %%
def which_stay(z, k, limit, min_p):
    """Three masks (V,), by torch, or by a loop."""
    if torch is not None:
        wide = torch.tensor(z)
        p, order = torch.sort(torch.softmax(wide, -1), descending=True, stable=True)
        before = torch.zeros(V, dtype=torch.bool).scatter(0, order, torch.cumsum(p, -1) - p <= limit)
        by_rank, by_share = wide >= torch.topk(wide, k).values[-1], torch.softmax(wide, -1) >= min_p * p[0]
        return [mask.numpy() for mask in (by_rank, before, by_share)]
    p, mass = softmax(z), 0.0
    order = sorted(range(V), key=lambda i: (-p[i], i))
    before = np.zeros(V, bool)
    for i in order:
        before[i] = mass <= limit
        mass += p[i]
    return z >= z[order[k - 1]], before, p >= min_p * p[order[0]]


for prompt, z in zip(PROMPTS, (sure, unsure)):
    ours = top_k_filter(z, 40), top_p_filter(z, 0.9), min_p_filter(z, 0.03)
    for name, filtered, stays in zip(("top-k", "top-p", "min-p"), ours, which_stay(z, 40, 0.9, 0.03)):
        p = softmax(z) * stays
        show_error(f"{prompt:<26} {name}", softmax(filtered), p / p.sum(), 1e-9)

# %% [markdown]
# ## Temperature first, then the nucleus
#
# The filters can be used together, and temperature with them. In which order? Top-p adds up probabilities, and whatever
# comes before it has changed them.
#
# **Guess first:** the toy, at $\tau = 2$ and with a limit of 0.7. How many tokens stay if the temperature comes first,
# and how many if it comes last? And at $\tau = 1$ with k = 2 and a limit of 0.7: how many if top-k comes first, and how
# many if top-p does?

# %% tags=["hide-output"]
for name, filtered in (
    ("τ = 2, then 0.7", top_p_filter(toy / 2, 0.7)),
    ("0.7, then τ = 2", top_p_filter(toy, 0.7) / 2),
    ("k = 2, then 0.7", top_p_filter(top_k_filter(toy, 2), 0.7)),
    ("0.7, then k = 2", top_k_filter(top_p_filter(toy, 0.7), 2)),
):
    print(f"{name}: {np.isfinite(filtered).sum()} stay, probabilities {softmax(filtered).round(2)}")

# %% [markdown]
# At $\tau = 2$ bone and "it" hold 0.69, which is not enough, so dog comes in. And where top-k has left only bone and
# "it", bone has 0.73 of what is left, and crosses the limit alone. The package follows Hugging Face:
# [repetition penalty](glossary.md#repetition-penalty) (below), temperature, top-k, top-p, min-p. Meta's code has
# temperature and top-p, in this order too.
#
# ### Now you · `filtered_probabilities` · 15 minutes
#
# `logits` (V,), a temperature above 0, `top_k`, `top_p` → the probabilities (V,) that a token is drawn from: they sum
# to 1. (Not on the core path.)

# %%
filtered_probabilities = now_you("filtered_probabilities")


# %% tags=["solution"]
def book_filtered_probabilities(logits, temperature, top_k, top_p):
    logits = top_k_filter(logits / temperature, top_k)
    return temperature_probabilities(top_p_filter(logits, top_p), 1.0)


# %%
for prompt, z in zip(PROMPTS, (sure, unsure)):
    assert np.array_equal(np.isfinite(top_k_filter(z, 10)), np.isfinite(keep_top_k(z, 10)))
    assert np.array_equal(np.isfinite(top_p_filter(z, 0.9)), np.isfinite(keep_top_p(z, 0.9)))
    assert np.array_equal(np.isfinite(min_p_filter(z, 0.05)), np.isfinite(keep_min_p(z, 0.05)))
    theirs = softmax(filtered_logits(z, Sampling(temperature=0.7, top_k=50, top_p=0.9)))
    ours = filtered_probabilities(z, 0.7, 50, 0.9)
    show_error(f"{prompt:<26} all three", ours, theirs, 1e-9, against="the package")

# %% [markdown]
# Move all three on the real model (in JupyterLab; on a page the picture stands as it begins). A ring is what the model
# itself gives a token, a dot what it is drawn with; a ring without a dot has been dropped. `top_k` = 0 and `top_p` = 1
# are no limits.


# %% tags=["hide-input"]
def draw_choice(prompt, temperature, top_k, top_p):
    z = dict(zip(PROMPTS, (sure, unsure)))[prompt]
    own, drawn = softmax(z), filtered_probabilities(z, temperature, top_k, top_p)
    first, rows = np.argsort(-z)[:20], np.arange(20)
    figure, axis = plt.subplots(figsize=(8, 4.6))
    axis.plot(own[first], rows, "o", mfc="none", color=COLOURS[1], label="the model's own")
    stays = drawn[first] > 0
    axis.plot(drawn[first][stays], rows[stays], "o", ms=4, color=COLOURS[0], label="drawn with")
    axis.set_yticks(rows, [name_of(i) for i in first], fontsize=8)
    axis.set(xscale="log", xlim=(1e-5, 1.5), ylabel=f"{prompt} …")
    axis.set_xlabel(f"probability (drawn with τ = {temperature}, top_k = {top_k}, top_p = {top_p})")
    axis.invert_yaxis()
    n, best = np.count_nonzero(drawn), drawn[first[0]]
    label(axis, f"{n:,} of {V:,} tokens can be drawn; these 20 hold {drawn[first].sum():.2f}")
    axis.legend(loc="lower left", fontsize=8)
    show(
        figure,
        f"The 20 most probable tokens after {prompt}, with logarithmic probabilities from 0.00001 to 1: rings for the "
        f"model's own, dots for those at temperature {temperature}, top-k {top_k}, top-p {top_p}. {n} tokens can be "
        f"drawn; {name_of(first[0])} has moved from {own[first[0]]:.3f} to {best:.3f}.",
    )


live(
    draw_choice,
    prompt=(PROMPTS, PROMPTS[1]),
    temperature=((0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 2.0), 0.7),
    top_k=((0, 1, 2, 5, 10, 20, 50, 200, 1000), 0),
    top_p=((0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0), 0.6),
)

# %% [markdown]
# **Guess first:** at $\tau = 1.5$ and without filters, does " Paris" keep most of its probability? And which single
# limit of top-p brings it back?

# %% tags=["hide-output"]
print(f"τ = 1.5, no limit:  {name_of(sure.argmax())} has {temperature_probabilities(sure, 1.5).max():.2f}")
for tau, limit in ((1.5, 0.9), (1.5, 0.5), (1.5, 0.1), (0.7, 0.9)):
    p = filtered_probabilities(sure, tau, 0, limit)
    print(f"τ = {tau}, limit {limit}: {name_of(p.argmax())} has {p.max():.2f}, of {np.count_nonzero(p):,} that stay")

# %% [markdown]
# At 1.5 " Paris" has lost two thirds of what it had, and only a limit below the 0.24 that are left makes it certain
# again. Colder, at 0.7, the usual 0.9 is enough: the two work together.
#
# ## Dividing a negative logit makes it more probable
#
# Filters drop what is improbable. A greedy loop has the opposite fault: what it said last is what it finds most
# probable, and it runs in circles (00). The repetition penalty takes something away from tokens that have occurred,
# the prompt's too. With a penalty of 2, two of them with the logits 2 and −1:
#
# | logit | divided by 2 | times 2 |
# |---|---|---|
# | 2 | **1** | 4 |
# | −1 | −0.5 | **−2** |
#
# Dividing makes the first smaller and the second *larger*. So the rule depends on the sign: the bold ones.
#
# ### Now you · `penalize_repeated_tokens` · 10 minutes
#
# `logits` (V,), the `ids` so far, a penalty of at least 1 → logits (V,). A token is changed once, however often it
# occurs, and the array that was given is left as it is. (Not on the core path.)

# %%
penalize_repeated_tokens = now_you("penalize_repeated_tokens")


# %% tags=["solution"]
def book_penalize_repeated_tokens(logits, ids, penalty):
    out = logits.copy()
    for i in set(ids):
        out[i] = out[i] * penalty if out[i] < 0 else out[i] / penalty
    return out


# %% [markdown]
# **Guess first:** the model goes on greedily with a list, "apple, banana, apple, banana,". Is there a penalty with
# which it names other fruits? The comma occurs, too.


# %% tags=["hide-output"]
def write(prompt, choose, n_tokens=28):
    """The loop of chapter 00. A session keeps what it has computed (10)."""
    session = llm.session()
    session.feed(llm.encode_prompt(prompt))
    start = session.position
    for _ in range(n_tokens):
        session.step(choose(session.logits, session.tokens))
    return llm.tokenizer.decode(session.tokens[start:])


def penalized(penalty):
    return lambda logits, ids: int(np.argmax(penalize_repeated_tokens(logits, ids, penalty)))


for penalty in (1.0, 1.1, 1.2, 2.0):
    text = write("List of fruits: apple, banana, apple, banana,", penalized(penalty))
    print(f"penalty {penalty}: {text[:80]!r}")
assert np.allclose(penalize_repeated_tokens(sure, [0, 5, 5], 1.3), penalize_repetition(sure, [0, 5, 5], 1.3))

# %% [markdown]
# With 1.1 it finds the pear, says it three times, and leaves the list; beyond, it leaves the list at once. A penalty
# cannot tell "apple", which should not come again, from the comma, which should.
#
# ## Count, because a wrong sampler writes, too
#
# A sampler that is wrong does not crash. It takes tokens, and a text comes out. What it promises is how *often* each
# token comes, so count. Three tokens have the probabilities ½, ¼ and ¼; twenty draws have given
#
# | | dog | bone | it | |
# |---|---|---|---|---|
# | counted | 10 | 8 | 2 | 20 |
# | expected, 20 · $p$ | 10 | 5 | 5 | 20 |
# | (counted − expected)² / expected | 0 | 1.8 | 1.8 | sum 3.6 |
#
# Is that a fault, or chance? The sum is called [chi-squared](glossary.md#chi-squared). With $n$ draws, $n_i$ of them
# token $i$:
#
# $$ \chi^2 = \sum_i \frac{(n_i - n\,p_i)^2}{n\,p_i} . $$
#
# The count of token $i$ varies from one experiment to the next, with the variance $n\,p_i (1 - p_i)$; divided by what
# is expected that is $1 - p_i$. Over all tokens this sums up to their number minus 1. So a right sampler of three
# tokens has a $\chi^2$ of 2 in the mean. It varies by about $\sqrt{2 (V - 1)}$ for $V$ tokens, here 2, so 3.6 is
# nothing to worry about. Ten times as many draws with the same shares, 100, 80 and 20, make 36 of it: that is a fault.
#
# ### Now you · `chi_squared` · 10 minutes
#
# `counts` (V,), `probabilities` (V,) → the sum. What has probability 0 and never came is left out. And if it came, even
# once? (Not on the core path.)

# %%
chi_squared = now_you("chi_squared")


# %% tags=["solution"]
def book_chi_squared(counts, probabilities):
    possible = probabilities > 0
    if counts[~possible].any():
        return np.inf
    expected = counts.sum() * probabilities[possible]
    return np.sum((counts[possible] - expected) ** 2 / expected)


# %% [markdown]
# The twelve most probable animals, cut off at 0.8, and two samplers: one is right, and one drops the token that crosses
# the limit. **Guess first:** each makes 200 draws, 400 times over. In how many of the 400 does the wrong one look worse
# than the right one at its worst 5 %?


# %% tags=["hide-output"]
def experiments(target, drawn_from, draws=200, repeats=400):
    """chi-squared of `repeats` experiments."""
    rng, found = np.random.default_rng(11), []
    for _ in range(repeats):
        tokens = [draw_token(drawn_from, rng) for _ in range(draws)]
        found.append(chi_squared(np.bincount(tokens, minlength=len(target)), target))
    return np.array(found)


target = softmax(top_p_filter(np.sort(unsure)[::-1][:12], 0.8))
target = target[target > 0]
short = np.where(np.arange(len(target)) < len(target) - 1, target, 0)
right, wrong = experiments(target, target), experiments(target, short / short.sum())
worst = np.quantile(right, 0.95)
print(f"{len(target)} tokens, the last with {target[-1]:.3f}")
print(f"mean of chi-squared: right {right.mean():.1f}, wrong {wrong.mean():.1f}")
print(f"wrong ones above {worst:.1f}: {(wrong > worst).sum()} of {len(wrong)}")
assert abs(right.mean() - (len(target) - 1)) < 1

# %% tags=["hide-input", "hide-output"]
df = len(target) - 1
x = np.linspace(0.01, wrong.max(), 400)
density = x ** (df / 2 - 1) * np.exp(-x / 2) / (2 ** (df / 2) * math.gamma(df / 2))
figure, axis = plt.subplots(figsize=(8, 3.4))
bins = np.linspace(0, wrong.max(), 50)
axis.hist(right, bins, density=True, alpha=0.75, label="right")
axis.hist(wrong, bins, density=True, alpha=0.75, label="crossing token dropped")
axis.plot(x, density, color="#22252a", label=f"$\\chi^2$ of any right sampler of {len(target)} tokens")
axis.axvline(worst, color=COLOURS[5], linestyle=":")
axis.set(xlabel="$\\chi^2$ of 200 draws", ylabel="density")
claim(axis, "200 draws tell a sampler that loses one token", holds=np.mean(wrong > worst) > 0.75)
axis.legend()
show(
    figure,
    f"Two hills over chi-squared. That of the right sampler is around {right.mean():.0f} and follows the drawn curve; "
    f"that of the wrong one is around {wrong.mean():.0f}. {np.mean(wrong > worst):.0%} of it lies to the right of a "
    "dotted line, beyond which 5 % of the right one lie.",
)

# %% [markdown]
# ## One thing wrong at a time
#
# Five samplers on the real model, each with $\tau$ = 0.7 and a limit of 0.9, or what its writer took for that. One
# multiplies by the temperature. One adds up from the least probable token. One decides in falling order and forgets to
# go back to the order of the ids. One drops the token that crosses the limit, unless it is the first. Beside each text
# stands $\chi^2$ of 2000 draws after "My favourite animal is the".
#
# **Guess first:** which of the four wrong ones still write English?


# %% tags=["hide-output"]
def from_below(z, limit):
    order = np.argsort(z)
    keep = np.cumsum(softmax(z[order])) <= limit
    return np.where(np.isin(np.arange(len(z)), order[keep]), z, -np.inf)


def rank_as_id(z, limit):
    mass = np.cumsum(np.sort(softmax(z))[::-1])
    return np.where(np.concatenate(([0], mass[:-1])) <= limit, z, -np.inf)


def without_crossing(z, limit):
    order = np.argsort(-z, kind="stable")
    keep = np.cumsum(softmax(z[order])) <= limit
    keep[0] = True
    return np.where(np.isin(np.arange(len(z)), order[keep]), z, -np.inf)


samplers = {
    "right": lambda z: top_p_filter(z / 0.7, 0.9),
    "times the temperature": lambda z: top_p_filter(z * 0.7, 0.9),
    "mass from below": lambda z: from_below(z / 0.7, 0.9),
    "rank taken for id": lambda z: rank_as_id(z / 0.7, 0.9),
    "crossing token dropped": lambda z: without_crossing(z / 0.7, 0.9),
}
promised = softmax(samplers["right"](unsure))
n_possible = np.count_nonzero(promised)
found, rows = {}, []
for name, sampler in samplers.items():
    rng = np.random.default_rng(5)
    text = write("Bread is made of", lambda z, ids, f=sampler, rng=rng: draw_token(softmax(f(z)), rng), n_tokens=16)
    p = softmax(sampler(unsure))
    found[name] = chi_squared(np.bincount([draw_token(p, rng) for _ in range(2000)], minlength=V), promised)
    rows.append((name, f"{found[name]:.0f}", repr(text)[:84]))
doubtful = n_possible - 1 + 3 * math.sqrt(2 * (n_possible - 1))  # three standard deviations above the mean
assert found["right"] < doubtful
print(f"{n_possible} tokens are possible, so about {n_possible - 1}; above {doubtful:.0f} hardly ever")
print(f"the token that crosses should come {2000 * promised[promised > 0].min():.0f} times")
table(("sampler", "χ²", "Bread is made of …"), rows)

# %% [markdown]
# Two of them, and reading does not find these. The one that adds up from below loses the most probable token, here
# " cat", which nobody misses in one text; counting does find it: it has drawn what should be impossible, and $\chi^2$
# is infinite. The last one escapes even that. The token that it loses should have come twice in 2000 draws, and that is
# within what chance does. (The one that was missed above, after 200 draws, should have come 12 times.) Counting finds
# what is frequent enough; that a filter is right to the last token, only the comparison with PyTorch can say.
#
# ## Variety is paid for in probability
#
# What does temperature do to whole texts? For each of five temperatures, six stories of 16 tokens, without filters. Two
# numbers are taken of them: how many of all pairs of neighbouring tokens are different ones, within and between the six
# stories; and the mean of $\log p$ that the model itself, at $\tau = 1$, gives to their tokens.
#
# **Guess first:** at $\tau = 0$ all six are the same, and one pair in six is a new one. How much of the way to "all
# different" is made between 0 and 0.4?


# %% tags=["hide-output"]
def share_of_new_pairs(texts):
    pairs = [pair for ids in texts for pair in pairwise(ids)]
    return len(set(pairs)) / len(pairs)


grid = (0.0, 0.4, 0.8, 1.2, 1.6)
variety, plausible, examples = [], [], []
for tau in grid:
    rows = llm.generate_batch([STORY] * 6, max_tokens=16, seed=0, temperature=tau, top_p=1.0)
    variety.append(share_of_new_pairs([row.ids for row in rows]))
    plausible.append(np.mean([np.mean(row.logprobs) for row in rows]))
    examples.append((tau, f"{variety[-1]:.2f}", f"{plausible[-1]:.1f}", " ".join(rows[0].text.split())[:84]))
table(("τ", "new pairs", "mean log p", "one of six"), examples)

# %% tags=["hide-input", "hide-output"]
figure, (left, cost) = plt.subplots(1, 2, figsize=(9.5, 3.4), sharex=True)
left.plot(grid, variety, "o-")
left.set(xlabel="temperature τ", ylabel="pairs that are different (share)", ylim=(0, 1.05))
steps = np.diff(variety)
claim(left, "The first 0.4 bring most of the variety", holds=steps[0] > steps[1:].sum() and steps.min() > 0)
cost.plot(grid, plausible, "o-", color=COLOURS[1])
cost.set(xlabel="temperature τ", ylabel="mean log p of a token (nats)")
falls = -np.diff(plausible)
claim(cost, "... and the last 0.8 cost most of the probability", holds=falls[2:].sum() > falls[:2].sum() > 0)
show(
    figure,
    f"Two lines over temperature, 0 to 1.6. Left, the share of different pairs jumps from {variety[0]:.2f} to "
    f"{variety[1]:.2f} at 0.4 and creeps up to {variety[-1]:.2f}. Right, the mean log-probability of a token falls "
    f"slowly at first, from {plausible[0]:.1f} to {plausible[2]:.1f} at 0.8, and then to {plausible[-1]:.1f}.",
)

# %% [markdown]
# Between 0.4 and 0.8 lies what one wants of a story: different each time, and not much less probable. That is one
# prompt and one small model. Figure 21 of the paper has two kinds of prompts, and finds that after RLHF the answers to
# questions of fact hardly vary with temperature any more, while creative ones still do.
#
# ## Nobody needs 49,152 numbers in order
#
# Top-p wants a sorted vocabulary, for every token that is written. But the nucleus is small: it is enough to find the
# tokens that can be in it, and to sort those. The package has both: `sample`, NumPy to be read, and `sample_fast`,
# compiled. They take the same token with the same dart, and so does the walk along the line from above:

# %%
settings = Sampling(temperature=0.7, top_k=50, top_p=0.9)
p = softmax(filtered_logits(unsure, settings))
by_package = [sample(unsure, settings, np.random.default_rng(seed)) for seed in range(100)]
assert by_package == [sample_fast(unsure, settings, np.random.default_rng(seed)) for seed in range(100)]
assert by_package == [draw_compiled(p, np.random.default_rng(seed).random()) for seed in range(100)]
ours = [draw_token(filtered_probabilities(unsure, 0.7, 50, 0.9), np.random.default_rng(seed)) for seed in range(100)]
print(f"the same as by the functions of this chapter: {sum(a == b for a, b in zip(ours, by_package))} of 100")
rng = np.random.default_rng(0)
counts = np.bincount([sample_fast(unsure, settings, rng) for _ in range(1000)], minlength=V)
statistic, n_possible = chi_squared(counts, p), np.count_nonzero(p)
print(f"1000 draws of sample_fast: chi-squared {statistic:.1f} for {n_possible} possible tokens")
assert statistic < n_possible - 1 + 5 * math.sqrt(2 * (n_possible - 1))

# %% tags=["varies"]
rng, rows = np.random.default_rng(0), []
for name, function in (
    ("sort 49,152 numbers", lambda: np.argsort(-unsure, kind="stable")),
    ("sample, top-p 0.9", lambda: sample(unsure, Sampling(temperature=0.7, top_p=0.9), rng)),
    ("sample_fast, top-p 0.9", lambda: sample_fast(unsure, Sampling(temperature=0.7, top_p=0.9), rng)),
):
    times = []
    for _ in range(30):
        with all_threads(1):
            begin = time.perf_counter()
            function()
            times.append(time.perf_counter() - begin)
    rows.append((name, f"{1e3 * min(times):.2f}"))
table(("one token, one core", "milliseconds"), rows)

# %% [markdown]
# These are the times of the machine that ran this notebook.
#
# ## What you now know
#
# - A dart on a line of probabilities takes each token as often as it should. The same seed gives the same text.
# - Where the model is unsure, tokens that are improbable alone hold much together, and sooner or later one comes.
# - Logits divided by τ: ratios of probabilities are raised to the power 1/τ. Cold is greedy; heat feeds the tail.
# - Top-k keeps a number of tokens, top-p a mass, min-p a share of the best. What is dropped has the logit −∞. The token
#   that crosses the limit stays.
# - Temperature comes before the filters, because they look at what it has changed.
# - A wrong sampler writes texts. Counts, compared with what was promised by χ², tell.
#
# ## Three questions
#
# 1. At $\tau = 1$ two tokens have the probabilities 0.8 and 0.2. What do they have at ½? At which temperature is the
#    first only twice as probable as the second?
#
# <details>
# <summary>Answer</summary>
#
# The ratio 4 is squared at ½: 16 to 1, so 0.94 and 0.06. It is to be 2, the square root of 4, so $\tau = 2$.
#
# </details>
#
# 2. Somebody adds 10 to all logits before the sampler gets them. Temperature, top-k, top-p, min-p, repetition penalty:
#    which of them now chooses differently?
#
# <details>
# <summary>Answer</summary>
#
# Only the penalty. The others know differences of logits, or their order, and those stay; the softmax is the same too.
# The penalty divides the number itself: a logit of 12 loses 6 with a penalty of 2, where 2 lost 1, and one of −1 has
# become 9 and is divided, not multiplied. A model does not care where its zero is, so this filter rests on an accident.
#
# </details>
#
# 3. Top-k with k = 50, top-p with 0.905, min-p with 0.1, each alone. How many tokens stay if one has 0.95 and no other
#    two are equal? And if a hundred tokens have 0.01 each?
#
# <details>
# <summary>Answer</summary>
#
# One sure token: top-k keeps 50 all the same. Top-p keeps 1, since 0.95 stands before the second. Min-p keeps 1: the
# others have at most 0.05, and 0.095 is asked for. A hundred equals: top-k keeps 100, for all equal the fiftieth. Top-p
# keeps 91: before the 91st stand 0.90, before the next 0.91. Min-p keeps 100.
#
# </details>
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `temperature_probabilities` | Temperature | 1 | 10 | core |
# | `top_k_filter` | Top-k | 1 | 10 | core |
# | `top_p_filter` | Top-p: the nucleus | 2 | 20 | core |
# | `min_p_filter` | Min-p | 1 | 10 |  |
# | `penalize_repeated_tokens` | Repetition penalty | 1 | 10 |  |
# | `filtered_probabilities` | All of them, in order | 2 | 15 |  |
# | `draw_token` | Throw the dice | 2 | 15 | core |
# | `chi_squared` | Is the sampler right? | 1 | 10 |  |
#
# <!-- end of the exercises -->
#
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# A token is chosen, and the loop of chapter 00 goes on. How long it takes to get to the next one is a question of how
# many bytes of weights it has to read, and that number can be made smaller: [12](12_quantization_and_speed.ipynb).
