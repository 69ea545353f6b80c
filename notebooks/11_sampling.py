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
# **Goal.** Turn logits into the next token: sharpen or flatten the distribution, cut off its tail, draw from what is
# left, and test that the draw is right.
#
# **Prerequisites.** Chapters 03 (softmax), 09 (the whole model), 10 (the cache that makes generation cheap).
# **Time.** About 75 minutes with the exercises.
#
# **Paper.** LLaMA 2 (arXiv:2307.09288): temperature 0.1 and top-p 0.9 for the safety benchmarks of section 4.1, and
# figure 21, where the diversity of answers is set against temperature. Figure 21 compares models before and after
# RLHF, which needs those models; here the curve is that of one small model, with a simpler measure.

# %%
import math
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minillama.inference.sampling import (
    Sampling,
    filtered_logits,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    sample,
    sample_fast,
)
from minillama.learn import check
from minillama.learn.book import COLOURS, load, show_error, style, table, torch

style()
plt.rcParams["axes.axisbelow"] = True
llm = load()

# %% [markdown]
# ## The idea
#
# For every token of its vocabulary the model gives a number, the logit; the softmax makes probabilities of them. The
# next cell shows the most probable tokens after two prompts. After the first the model is rather sure, after the
# second there are many good answers. A text needs one token, so one has to be chosen.


# %%
def next_logits(prompt):
    return llm.session().feed(llm.encode_prompt(prompt))


def softmax(logits):
    e = np.exp(logits.astype(np.float64) - logits.max())
    return e / e.sum()


def name(token):
    return repr(llm.tokenizer.decode([int(token)]))


sure, unsure = next_logits("The capital of France is"), next_logits("My favourite animal is the")
for logits in (sure, unsure):
    p = softmax(logits)
    print(", ".join(f"{name(i)} {p[i]:.3f}" for i in np.argsort(-p)[:7]))

# %% [markdown]
# Always taking the first (*greedy* decoding) gives the same text every time, and a text that tends to repeat itself.
# Drawing by the probabilities as they are gives variety, but the tail is long: tens of thousands of tokens that are
# each improbable and together are not. Everything in this chapter is about the ground between the two.
#
# ## The mathematics
#
# Let $\ell_i$ be the logit of token $i$, $V$ the number of tokens, and $T > 0$ the *temperature*:
#
# $$p_i = \frac{e^{\ell_i / T}}{\sum_{j=1}^{V} e^{\ell_j / T}}.$$
#
# The ratio of two probabilities is $p_i / p_j = e^{(\ell_i - \ell_j)/T}$. A small $T$ makes it larger, a large $T$
# brings it to 1. The limit $T \to 0$ is greedy. Three filters drop tokens; with $p_{(1)} \ge p_{(2)} \ge \dots$ in
# falling order,
#
# - **top-k** keeps the $k$ largest, and all that equal the $k$-th;
# - **top-p** keeps token $(i)$ while the mass *before* it, $E_i = \sum_{j<i} p_{(j)}$, is at most $p$;
# - **min-p** keeps token $i$ when $p_i \ge m \cdot \max_j p_j$, with $m$ a number between 0 and 1.
#
# The mass of dropped tokens goes to the others, in proportion. The **repetition penalty** $r > 1$ changes logits of
# tokens that have occurred: $\ell \to \ell r$ where $\ell < 0$, and $\ell \to \ell / r$ elsewhere.

# %%
V = len(unsure)
table(
    ["array", "shape", "dtype here"],
    [
        ["logits", f"(V,) = ({V},)", str(unsure.dtype)],
        ["probabilities", f"(V,) = ({V},)", "float64: a sum of many small numbers decides"],
        ["filtered logits", f"(V,) = ({V},)", "-inf where a token is dropped"],
        ["token", "()", "int"],
    ],
)

# %% [markdown]
# ## Temperature: loops, then NumPy
#
# First as the formula says. It works until a logit divided by $T$ is larger than about 709, where the exponential
# overflows float64 (88 in float32).


# %%
def temperature_loops(logits, temperature):
    e = [math.exp(float(logit) / temperature) for logit in logits]
    return [x / sum(e) for x in e]


def temperature_probabilities(logits, temperature):
    """T = 0: all of it to the first of the largest."""
    if temperature == 0:
        return np.where(np.arange(len(logits)) == np.argmax(logits), 1.0, 0.0)
    e = np.exp((logits.astype(np.float64) - logits.max()) / temperature)  # the largest exponent is 0
    return e / e.sum()


small = unsure[np.argsort(-unsure)[:6]]
show_error("NumPy", temperature_probabilities(small, 0.7), temperature_loops(small, 0.7), 1e-12, against="the loops")
try:
    temperature_loops(small, 0.01)
except OverflowError as error:
    print("loops, T = 0.01:", error)
print("NumPy, T = 0.01:", temperature_probabilities(small, 0.01).round(6))

# %%
temperatures = (0.4, 1.0, 1.8)
order = np.argsort(-unsure)[:14]
fig, axes = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True)
for ax, T in zip(axes, temperatures):
    p = temperature_probabilities(unsure, T)
    ax.barh(range(len(order)), p[order], color=COLOURS[0])
    ax.set(title=f"T = {T}: these 14 hold {100 * p[order].sum():.0f} %", xlabel="probability")
axes[0].set_yticks(range(len(order)), [name(i) for i in order])
axes[0].invert_yaxis()
axes[0].set_ylabel("next token")
fig.suptitle('"My favourite animal is the …": a low temperature gives the first tokens almost everything')
plt.show()

# %% [markdown]
# ## The filters
#
# Each takes logits and returns logits, with `-inf` where a token is dropped: its exponential is 0. A 0 instead would
# be a probability like any other.
#
# Top-p needs care in three places. The token that crosses $p$ stays, or a very probable first token would leave
# nothing. Among equals the lower id comes first, which a *stable* sort of the negated logits gives. And the decision
# is made in sorted order, but the result is in the order of the ids.


# %%
def top_k_filter(logits, k):
    if k == 0 or k >= len(logits):
        return logits
    return np.where(logits >= np.sort(logits)[-k], logits, -np.inf)


def top_p_filter(logits, p):
    order = np.argsort(-logits, kind="stable")
    probabilities = softmax(logits[order])
    keep = np.cumsum(probabilities) - probabilities <= p  # the mass before each token
    out = np.full_like(logits, -np.inf)
    out[order[keep]] = logits[order[keep]]
    return out


def min_p_filter(logits, min_p):
    return np.where(np.exp(logits - logits.max()) >= min_p, logits, -np.inf)


equal = np.log(np.array([0.1, 0.3, 0.3, 0.3]))  # three equals
for text, kept in (("top-k 2", top_k_filter(equal, 2)), ("top-p 0.5", top_p_filter(equal, 0.5))):
    print(text, "of probabilities 0.1 0.3 0.3 0.3 keeps the tokens", np.flatnonzero(np.isfinite(kept)))

# %% [markdown]
# Top-k with `k = 2` keeps three tokens, since a threshold treats equals alike. Top-p counts: 0.3 is not enough, with
# the next one it is 0.6, and that is where it stops.
#
# The picture shows what the filters keep of the two real distributions. Top-k keeps the same number whether the model
# is sure or not; top-p and min-p follow it.

# %%
filters = {
    "top-k, k = 10": lambda logits: top_k_filter(logits, 10),
    "top-p, p = 0.6": lambda logits: top_p_filter(logits, 0.6),
    "min-p, m = 0.1": lambda logits: min_p_filter(logits, 0.1),
}
fig, axes = plt.subplots(2, 3, figsize=(10, 5), sharex=True)
for row, (logits, prompt) in zip(axes, ((sure, "The capital of France is"), (unsure, "My favourite animal is the"))):
    p, order = softmax(logits), np.argsort(-logits)[:60]
    for ax, (label, keep) in zip(row, filters.items()):
        kept = np.isfinite(keep(logits))
        ax.bar(range(60), p[order], width=1, color=[COLOURS[0] if kept[i] else COLOURS[1] for i in order])
        ax.set(yscale="log", title=f"{label}: keeps {kept.sum()}")
    row[0].set_ylabel(f"{prompt} …\nprobability", fontsize=9)
for ax in axes[1]:
    ax.set_xlabel("rank of the token")
fig.suptitle("Kept (blue) and dropped (orange): top-p and min-p keep few where the model is sure")
plt.show()

# %% [markdown]
# ## The draw: loops, NumPy, Numba
#
# Lay the probabilities end to end on a line of length 1 and throw a dart at it, $u$ uniform in $[0, 1)$. The token on
# whose piece it lands is the one. The right ends of the pieces are the cumulative sums.


# %%
def draw_loops(probabilities, u):
    mass = 0.0
    for i, p in enumerate(probabilities):
        mass += p
        if mass > u:
            return i
    return int(np.flatnonzero(probabilities)[-1])  # rounding: the sum is a hair below u


def draw_token(probabilities, rng):
    mass = np.cumsum(probabilities)
    return int(np.searchsorted(mass, rng.random() * mass[-1], side="right"))


draw_numba = njit(draw_loops)

p = temperature_probabilities(top_p_filter(unsure, 0.9), 1.0)
by_numpy = [draw_token(p, np.random.default_rng(seed)) for seed in range(40)]
darts = [np.random.default_rng(seed).random() for seed in range(40)]
assert by_numpy == [draw_loops(p, u) for u in darts] == [draw_numba(p, u) for u in darts]
print("drawn:", ", ".join(name(i) for i in by_numpy[:9]))

# %% [markdown]
# Not every call that takes a distribution is right, and one wrong sampler looks like another: text comes out. What
# can be tested is the *frequency* of tokens. With $O_i$ the count of token $i$ in $n$ draws and $E_i = n p_i$,
#
# $$\chi^2 = \sum_i \frac{(O_i - E_i)^2}{E_i}$$
#
# is about the number of possible tokens minus 1, if the sampler is right, and follows a known density. The next cell
# repeats the experiment 400 times with the sampler above, and with one that drops the token that crosses $p$.


# %%
def chi_squared(counts, probabilities):
    possible = probabilities > 0
    if counts[~possible].any():
        return np.inf  # an impossible token was drawn
    expected = counts.sum() * probabilities[possible]
    return float(np.sum((counts[possible] - expected) ** 2 / expected))


def statistics(target, drawn_from, draws=200, repeats=400):
    rng, found = np.random.default_rng(11), []
    for _ in range(repeats):
        tokens = [draw_token(drawn_from, rng) for _ in range(draws)]
        found.append(chi_squared(np.bincount(tokens, minlength=len(target)), target))
    return np.array(found)


twelve = np.sort(unsure)[::-1][:12]
target = softmax(top_p_filter(twelve, 0.8))
target = target[target > 0]
wrong = target * (np.arange(len(target)) < len(target) - 1)  # the crossing token is lost
right_statistics, wrong_statistics = statistics(target, target), statistics(target, wrong / wrong.sum())
print(f"{len(target)} tokens; mean of chi-squared: {right_statistics.mean():.2f} and {wrong_statistics.mean():.2f}")
assert abs(right_statistics.mean() - (len(target) - 1)) < 1

# %%
df = len(target) - 1
x = np.linspace(0.01, wrong_statistics.max(), 400)
density = x ** (df / 2 - 1) * np.exp(-x / 2) / (2 ** (df / 2) * math.gamma(df / 2))
fig, ax = plt.subplots(figsize=(8, 3.5))
bins = np.linspace(0, wrong_statistics.max(), 50)
ax.hist(right_statistics, bins, density=True, alpha=0.75, label="right sampler")
ax.hist(wrong_statistics, bins, density=True, alpha=0.75, label="crossing token dropped")
ax.plot(x, density, color="#22252a", label=f"density of $\\chi^2$, {df} degrees of freedom")
ax.set(xlabel="$\\chi^2$ of 200 draws", ylabel="density", title="A wrong sampler shows in 200 draws")
ax.legend()
plt.show()

# %% [markdown]
# ## Check against PyTorch
#
# PyTorch has the softmax and the sort; the rules for top-p are those of Meta's `sample_top_p`, written with torch.
# The exercises of this chapter compare with Hugging Face's logits processors.


# %%
def torch_top_p(logits, p):
    sorted_p, order = torch.sort(torch.softmax(torch.tensor(logits).double(), -1), descending=True, stable=True)
    sorted_p[torch.cumsum(sorted_p, -1) - sorted_p > p] = 0
    return torch.zeros_like(sorted_p).scatter(0, order, sorted_p / sorted_p.sum()).numpy()


def float64_top_p(logits, p):
    q = softmax(logits)
    order = sorted(range(len(q)), key=lambda i: (-q[i], i))
    out, mass = np.zeros(len(q)), 0.0
    for i in order:
        if mass > p:
            break
        out[i], mass = q[i], mass + q[i]
    return out / mass


expected_top_p = float64_top_p if torch is None else torch_top_p
for logits in (sure, unsure):
    for p in (0.3, 0.9, 0.999):
        show_error(f"top-p {p}", softmax(top_p_filter(logits, p)), expected_top_p(logits, p), 1e-9)
    if torch is not None:
        warm = torch.softmax(torch.tensor(logits).double() / 0.7, -1)
        show_error("temperature 0.7", temperature_probabilities(logits, 0.7), warm, 1e-9)

# %% [markdown]
# ## Real weights: repetition
#
# Greedy decoding with a small model likes to go round in circles. The penalty makes what has been said less probable.
# The sign matters: dividing a negative logit would make it larger.


# %%
def penalize_repeated_tokens(logits, ids, penalty):
    out = logits.copy()
    for i in set(ids):
        out[i] = out[i] * penalty if out[i] < 0 else out[i] / penalty
    return out


def write(prompt, choose, n_tokens=28):
    """The loop of generation: logits, a token, the next logits."""
    session = llm.session()
    session.feed(llm.encode_prompt(prompt))
    start = session.position
    for _ in range(n_tokens):
        session.step(choose(session.logits, session.tokens))
    return llm.tokenizer.decode(session.tokens[start:])


def penalized(penalty):
    return lambda logits, ids: int(np.argmax(penalize_repeated_tokens(logits, ids, penalty)))


for penalty in (1.0, 1.2, 2.0):
    text = write("List of fruits: apple, banana, apple, banana,", penalized(penalty))
    print(f"penalty {penalty}: {text[:80]!r}")

# %% [markdown]
# ## Diversity against temperature
#
# For each temperature, six continuations of one prompt. Two numbers are taken of them: the share of different
# bigrams among all bigrams (1 when nothing repeats, within or between the texts), and the mean log-probability that
# the model itself gives to the tokens, at $T = 1$.


# %%
def distinct_bigrams(texts):
    bigrams = [pair for ids in texts for pair in pairwise(ids)]
    return len(set(bigrams)) / len(bigrams)


grid = (0.0, 0.4, 0.8, 1.2, 1.6)
prompt = "Once upon a time there was a little"
diversity, plausibility, examples = [], [], []
for T in grid:
    rows = [llm.generate(prompt, max_tokens=16, seed=seed, temperature=T, top_p=1.0) for seed in range(6)]
    diversity.append(distinct_bigrams([row.ids for row in rows]))
    plausibility.append(np.mean([np.mean(row.logprobs) for row in rows]))
    examples.append(rows[0].text)
table(["T", "one of six"], [[T, text.replace("\n", " ")[:90]] for T, text in zip(grid, examples)])

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4))
left.plot(grid, diversity, "o-")
left.set(xlabel="temperature", ylabel="different bigrams (share)", ylim=(0, 1.05), title="More variety …")
right.plot(grid, plausibility, "o-", color=COLOURS[1])
right.set(xlabel="temperature", ylabel="mean log p of a token (nats)", title="… of less and less probable tokens")
plt.show()
assert diversity[0] < diversity[2] < diversity[-1]
assert plausibility[0] > plausibility[-1]

# %% [markdown]
# ## In which order?
#
# The package follows Hugging Face: repetition penalty, temperature, top-k, top-p, min-p. Order matters, because top-p
# adds up probabilities, and what comes before it changes them.


# %%
def filtered_probabilities(logits, temperature, top_k, top_p):
    return softmax(top_p_filter(top_k_filter(logits.astype(np.float64) / temperature, top_k), top_p))


before = filtered_probabilities(unsure, 1.5, 50, 0.7)
after = softmax(top_p_filter(top_k_filter(unsure.astype(np.float64), 50), 0.7) / 1.5)
print(f"temperature first: {np.count_nonzero(before)} tokens; temperature last: {np.count_nonzero(after)} tokens")

# %% [markdown]
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
# `minillama learn start my-llama` makes a folder with starters, `minillama learn watch` checks them whenever a file
# is saved. In a notebook: `from minillama.learn import check; check("top_p_filter", my_function)`.

# %% [markdown]
# What a wrong answer looks like. This nucleus stops *before* the token that crosses $p$:


# %%
def nucleus_too_small(logits, p):
    order = np.argsort(-logits, kind="stable")
    keep = np.cumsum(softmax(logits[order])) <= p
    out = np.full_like(logits, -np.inf)
    out[order[keep]] = logits[order[keep]]
    return out


print(check("top_p_filter", nucleus_too_small).text())
assert check("top_p_filter", top_p_filter).passed

# %% [markdown]
# ## What breaks if it is wrong
#
# Three samplers on the real model, all at a temperature of 0.7 and $p = 0.9$ or what is meant to be that: one that
# multiplies by the temperature, one that adds up the mass from the least probable token, and one that decides in
# sorted order and forgets to go back to the order of the ids. The nucleus above that is too small would not even run:
# where the model is sure it keeps nothing.


# %%
def from_below(logits, p):
    order = np.argsort(logits)
    keep = np.cumsum(softmax(logits[order])) <= p
    return np.where(np.isin(np.arange(len(logits)), order[keep]), logits, -np.inf)


def rank_as_id(logits, p):
    probabilities = np.sort(softmax(logits))[::-1]
    return np.where(np.cumsum(probabilities) - probabilities <= p, logits, -np.inf)


rng = np.random.default_rng(5)
samplers = {
    "right": lambda logits: top_p_filter(logits / 0.7, 0.9),
    "times temperature 0.3": lambda logits: logits * 0.3,
    "mass from below": lambda logits: from_below(logits / 0.7, 0.9),
    "rank taken for id": lambda logits: rank_as_id(logits / 0.7, 0.9),
}
texts = {
    label: write("Bread is made of", lambda logits, ids, f=f: draw_token(softmax(f(logits)), rng), n_tokens=16)
    for label, f in samplers.items()
}
table(["sampler", "Bread is made of …"], [[label, repr(text)[:90]] for label, text in texts.items()])

# %% [markdown]
# One of the wrong samplers still writes English: it loses only the most probable tokens. Reading texts is not a test
# of a sampler; counting is. And the nucleus that is too small:

# %%
kept = np.isfinite(nucleus_too_small(sure, 0.7)).sum()
print(f"most probable token: {softmax(sure).max():.2f}; the too small nucleus with p = 0.7 keeps {kept} tokens")
assert kept == 0

# %% [markdown]
# ## The package's own
#
# `minillama/inference/sampling.py` has the same filters, one `Sampling` for all settings, `sample`, and `sample_fast`,
# compiled, which sorts no vocabulary, only what is left where the nucleus ends. The last cells assert that all agree.

# %%
for logits in (sure.astype(np.float64), unsure.astype(np.float64)):
    np.testing.assert_array_equal(top_k_filter(logits, 10), keep_top_k(logits, 10))
    np.testing.assert_array_equal(top_p_filter(logits, 0.9), keep_top_p(logits, 0.9))
    np.testing.assert_array_equal(min_p_filter(logits, 0.05), keep_min_p(logits, 0.05))
    ids = [0, 5, 5, 17]
    np.testing.assert_array_equal(penalize_repeated_tokens(logits, ids, 1.3), penalize_repetition(logits, ids, 1.3))
    settings = Sampling(temperature=0.7, top_k=50, top_p=0.9)
    theirs = softmax(filtered_logits(logits, settings))
    show_error("all filters", filtered_probabilities(logits, 0.7, 50, 0.9), theirs, 1e-12, against="the package")

# %%
ours = [draw_token(theirs, np.random.default_rng(seed)) for seed in range(100)]
assert ours == [sample(unsure, settings, np.random.default_rng(seed)) for seed in range(100)]
assert ours == [sample_fast(unsure, settings, np.random.default_rng(seed)) for seed in range(100)]
rng = np.random.default_rng(0)
counts = np.bincount([sample_fast(unsure, settings, rng) for _ in range(1000)], minlength=V)
statistic, possible = chi_squared(counts, theirs), np.count_nonzero(theirs)
print(f"1000 draws of sample_fast: chi-squared {statistic:.1f} for {possible} possible tokens")
assert statistic < possible - 1 + 5 * math.sqrt(2 * (possible - 1))
