# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 03 · Embeddings, logits and the loss
#
# > **Before this:** [01](01_numpy_to_numba.ipynb), [02](02_tokenizer.ipynb).
# > **Time:** 45 minutes to read and run, 69 for all exercises; on the [core path](README.md) 90 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), figure 5, the training loss; the paper uses table and loss of every
# > language model and does not spell them out. **Not here:** training itself (14), and so figure 5, which took 2
# > trillion tokens; this chapter measures a finished model.
#
# The tokenizer (02) calls " dog" 2767. Its neighbours 2766 and 2768 are " claim" and "umn": the id is a name, and one
# cannot compute with names. What does a model compute with?
#
# With a row of learned numbers for each token, its [embedding](glossary.md#embedding). All rows are one table, and the
# first thing that a model does is to look up. Here is the real model with its table taken away: every token gets its id
# instead, as a number from 0 to 1 along one fixed direction.

# %% tags=["hide-input"]
import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit, prange

from minillama.learn.book import (
    COLOURS,
    claim,
    draw_arrows,
    live,
    load,
    now_you,
    show,
    show_error,
    style,
    table,
    torch,
)
from minillama.learn.book.toy import AXES, SENTENCE, VECTORS, WORDS
from minillama.model import forward
from minillama.ops import FAST
from minillama.trees import map_tree

style()
rng = np.random.default_rng(3)

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)  # from 4 and 8 bits

# %% [markdown]
# **Guess first:** all layers are there and work. What does the model say after "The capital of France is" when it is
# given such numbers?

# %% tags=["hide-output"]
direction = rng.normal(size=config.dim).astype(np.float32) * params.token_embedding.std()


def id_as_a_number(tokens, weight):
    """In the place of the table: how far the id is on the way from 0 to the last one."""
    return (tokens / len(weight)).astype(np.float32)[..., None] * direction, None


def as_op(embedding):
    """A model's layers are a table of functions: one is replaced."""
    return FAST._replace(embedding_forward=embedding)


def logits_of(text, ops=FAST):
    return forward(params, config, np.array([tokenizer.encode(text)]), ops)[0][0]  # (T, V)


def next_words(text, ops=FAST, n=3):
    """The most probable tokens after a text."""
    return ", ".join(repr(tokenizer.decode([int(i)])) for i in np.argsort(-logits_of(text, ops)[-1])[:n])


for text in ("The capital of France is", "The capital of Japan is"):
    print(f"{text:<25} whole: {next_words(text):<27} without its table: {next_words(text, as_op(id_as_a_number))}")

# %% [markdown]
# Nothing of France or Japan is left. The comparison is hard on the model, which was trained with its table. But
# training could hardly mend it: along one line, " dog" has to lie between " claim" and "umn".
#
# ## A row for each name
#
# Three words, two numbers each: how *alive* a thing is, and how *edible*. A dog is (1, 0), a bone (0, 1), and "it" may
# be either, (½, ½). These three rows are the book's toy, and this is its whole table. The ids are 0, 1 and 2, because
# somebody counted the words in that order.

# %%
E = VECTORS  # (3, 2): a row for each word, chosen by hand; a real model learns them
for id, word in enumerate(WORDS):
    print(f"id {id} is {word:<5} its row {E[id]}")
print("it, dog, it becomes", [E[id].tolist() for id in (2, 0, 2)])

# %% tags=["hide-input"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
for id, (word, colour) in enumerate(zip(WORDS, COLOURS)):
    left.plot(id, 0, "o", color=colour, markersize=9)
    left.annotate(word, (id, 0), (0, 10), textcoords="offset points", ha="center", color=colour, weight="bold")
left.set(xlabel="id", xlim=(-0.5, 2.5), ylim=(-1, 1), yticks=[], xticks=range(3))
claim(left, "The ids: “bone” lies halfway to “it”", holds=WORDS.index("bone") * 2 == WORDS.index("it"))
draw_arrows(right, dict(zip(WORDS, E)))
claim(right, "The rows: “it” lies halfway to both", holds=np.allclose(E[2], (E[0] + E[1]) / 2))
show(
    figure,
    "Left: the ids 0, 1 and 2 on a line, dog, bone, it, so that bone lies in the middle. Right: the three rows as "
    "arrows in a plane, alive across and edible upwards: dog to the right, bone upwards, it halfway between the two.",
)

# %% [markdown]
# In symbols: $E$ is the table, with a row for each of the $V$ tokens of the [vocabulary](glossary.md#vocabulary) and
# $D$ numbers a row. Where the text has the id $i$ at place $t$, the model begins with
#
# $$ x_t = E_i . $$
#
# For a batch of $B$ texts with $T$ tokens each:
#
# | array | shape | in the toy | in SmolLM2-135M | in LLaMA 2 7B |
# |---|---|---|---|---|
# | ids | (B, T) | 0 to 2 | 0 to 49,151 | 0 to 31,999 |
# | table $E$ | (V, D) | (3, 2) | (49152, 576) | (32000, 4096) |
# | $x$ | (B, T, D) | two numbers a word | 576 a token | 4096 a token |
#
# No arithmetic is needed, only copying. In plain Python, for one text:

# %%
text_ids, dim = [2, 0, 2], 2
x = []
for i in text_ids:
    x.append([float(E[i][d]) for d in range(dim)])
print(x)

# %% [markdown]
# ### Now you · `gather_embeddings` · 5 minutes
#
# A whole batch of texts: ids (B, T) and the table (V, D) → (B, T, D). NumPy needs no loop for it. When yours passes,
# the real model below runs on it.

# %%
gather_embeddings = now_you("gather_embeddings")


# %% tags=["solution"]
def book_gather_embeddings(tokens, weight):
    return weight[tokens]


# %%
ids = np.array([tokenizer.encode(SENTENCE)])  # (1, T)
pieces = [tokenizer.decode([i]) for i in ids[0]]
E_real = params.token_embedding
x = gather_embeddings(ids, E_real)
if torch is not None:
    expected = torch.nn.functional.embedding(torch.tensor(ids), torch.tensor(E_real))
else:
    expected = np.array([[E_real[i] for i in row] for row in ids])
print("|".join(pieces), x.shape)
show_error("embeddings", x, expected, 0)
reader = as_op(lambda tokens, weight: (gather_embeddings(tokens, weight), None))
show_error("logits", logits_of(SENTENCE, reader), logits_of(SENTENCE), 0, against="the package's own lookup")
(other,) = np.array([tokenizer.encode("Nobody has seen the bone, and nobody blames the dog.")])[:, [-2]]  # " dog"
assert np.array_equal(gather_embeddings(other[None], E_real)[0, 0], x[0, 1])

# %% [markdown]
# The last line is worth a thought: " dog" has the *same* row in every sentence, whatever stands around it. The table
# knows nothing of neighbours or of places; that comes later (05, 06).
#
# ## Words that are used alike have similar rows
#
# Nobody tells the model what its tokens mean. The rows begin as random numbers, and training moves them. How alike two
# have become is told by the cosine of the angle between them: 1 in the same direction, 0 at a right angle. **Guess
# first:** which of the 49,151 other rows points most nearly in the direction of " dog"?

# %% tags=["hide-output"]
unit = E_real / np.maximum(np.linalg.norm(E_real, axis=1, keepdims=True), 1e-6)  # rows of length 1


def nearest(word, n=5):
    """The rows at the smallest angles, with the cosine."""
    (i,) = tokenizer.encode(word)
    cosine = unit @ unit[i]
    found = np.argsort(-cosine)[1 : n + 1]  # the first is the word itself
    return ", ".join(f"{tokenizer.decode([int(j)])!r} {cosine[j]:.2f}" for j in found)


table(("row", "nearest rows, with the cosine"), [(repr(w), nearest(w)) for w in (" dog", " it", " Monday", " seven")])

# %% [markdown]
# Not the cat: the same word, written otherwise. For the tokenizer (02) these are unrelated names; their rows came to
# lie together because they stand in similar places of texts. Days lie with days and numbers with numbers for the same
# reason.
#
# 576 numbers cannot be drawn. But for a few words one can look for the two directions in which their rows differ most,
# and draw those two numbers of each (principal components; the folded cell computes them).

# %% tags=["hide-input"]
GROUPS = {
    "numbers": "two three four five six seven eight nine ten",
    "countries": "France Germany Spain Italy China Japan India Russia Canada Brazil",
    "animals": "dog cat horse cow bird lion bear wolf mouse",
    "verbs": "run walk go come say tell eat drink sleep write",
    "months": "January February March April June July August October",
}
names = [(group, word) for group, text in GROUPS.items() for word in text.split()]
chosen = E_real[[tokenizer.encode(" " + word)[0] for _, word in names]]
centred = chosen - chosen.mean(axis=0)
_, singular, directions = np.linalg.svd(centred, full_matrices=False)
flat = centred @ directions[:2].T  # (words, 2)
share = (singular**2 / (singular**2).sum())[:2]
apart = np.linalg.norm(flat[:, None] - flat, axis=-1) + 9 * np.eye(len(flat))
same_kind = np.mean([names[i][0] == names[j][0] for i, j in enumerate(apart.argmin(axis=1))])
figure, axis = plt.subplots(figsize=(8.5, 5.4))
labels = []  # places that are taken
for colour, group in zip(COLOURS, GROUPS):
    of_group = [i for i, (g, _) in enumerate(names) if g == group]
    axis.scatter(*flat[of_group].T, color=colour, s=22, label=group)
    for i in of_group:
        if all(abs(flat[i] - other)[0] > 0.17 or abs(flat[i] - other)[1] > 0.06 for other in labels):
            labels.append(flat[i])
            axis.annotate(names[i][1], flat[i], (4, 3), textcoords="offset points", fontsize=8, color=colour)
axis.set(xlabel=f"first direction ({share[0]:.0%} of the variance)", ylabel=f"second direction ({share[1]:.0%})")
claim(axis, "The nearest word is mostly one of the same kind", holds=same_kind > 0.8)
axis.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.12), handletextpad=0.2, columnspacing=1.2)
show(
    figure,
    f"{len(names)} words as points in the plane of the two directions in which their rows differ most. Numbers and "
    "months are clouds of their own; those of countries, animals and verbs touch. Of "
    f"{same_kind:.0%} of the words the nearest other word is of its kind.",
)
assert round(100 * same_kind) == 87

# %% [markdown]
# Numbers and months lie apart from all others; countries, animals and verbs touch. Even in these two numbers of 576,
# the nearest other word is of the same kind for 87 % of them.
#
# ## Read the other way, the table gives the logits
#
# At the other end the model has a [state](glossary.md#state), $D$ numbers again, and must say which token comes next.
# How well does each token fit? Compare the state with every row: a dot product each. These are the
# [logits](glossary.md#logits).
#
# Say that the toy has read "The dog buried the", and its layers have made of it the state (1, 2): something that is
# twice as edible as alive. (Here it is chosen by hand; chapters 04 to 09 make it.)
#
# | | dog | bone | it | |
# |---|---|---|---|---|
# | row | (1, 0) | (0, 1) | (½, ½) | |
# | logit $z$ = row · (1, 2) | 1 | 2 | 1.5 | |
# | e to the logit | 2.72 | 7.39 | 4.48 | sum 14.59 |
# | probability $p$ | 0.19 | 0.51 | 0.31 | e to the logit / 14.59 |
#
# The last two rows are the softmax of chapter 00. In symbols, for the state $x$ and all tokens at once:
#
# $$ z = E x, \qquad p_i = \frac{e^{z_i}}{\sum_j e^{z_j}} . $$

# %%
x = np.array([1.0, 2.0])  # what the layers made of "The dog buried the"
z = E @ x
p = np.exp(z) / np.exp(z).sum()
print("logits", z, "  probabilities", p.round(2))
np.testing.assert_allclose(p, [0.19, 0.51, 0.31], atol=0.005)

# %% [markdown]
# One table serves at both ends: the embeddings are *tied* ([tied embeddings](glossary.md#tied-embeddings)). In SmolLM2
# it is so; LLaMA 2 has a second table of the same shape for the end.

# %%
from minillama.model import output_head
from minillama.params import count_parameters

assert output_head(llm.params) is llm.params.token_embedding
total = count_parameters(config)
print(f"SmolLM2: {E_real.size / 1e6:.1f} million numbers in its one table, {E_real.size / total:.0%} of the model")
print(f"LLaMA 2 7B: {2 * 32000 * 4096 / 1e6:.0f} million in two, {2 * 32000 * 4096 / 6_738_415_616:.0%} of the model")

# %% [markdown]
# In a small model the second table would cost a fifth of the weights, in a large one it hardly counts.
#
# ## Two models say Paris, and one is damaged
#
# Is a model good? Its answers tell little. The next cell adds noise to every number of the table, three tenths of their
# spread, and asks again.

# %%
noise = np.random.default_rng(4).normal(size=E_real.shape).astype(np.float32)
noisy = E_real + np.float32(0.3) * E_real.std() * noise
damaged = as_op(lambda tokens, weight: (noisy[tokens], None))  # at the beginning; the end keeps the right table
for text in ("The capital of France is", "The capital of Japan is"):
    print(f"{text:<25} right: {next_words(text):<27} damaged: {next_words(text, damaged)}")

# %% [markdown]
# To see which is better, and by how much, one needs a number. It is called the [loss](glossary.md#loss): how wrong the
# model was about a text that somebody really wrote.
#
# ## The loss is the surprise
#
# The toy gave "bone" the [probability](glossary.md#softmax) 0.51, and the text really has "bone" there. How wrong was
# it? Two things are asked of the number: it is 0 where the model was certain and right; and for two tokens, one after
# the other, the numbers add up. Probabilities multiply: two tokens of 0.1 each have 0.01 together. What makes sums of
# products is the logarithm. So the loss $\ell$ is minus the logarithm of the probability of the token that really came,
# which is called the [target](glossary.md#target):
#
# $$ \ell = -\log p_{\text{target}} . $$
#
# | what came | dog | bone | it |
# |---|---|---|---|
# | probability | 0.19 | 0.51 | 0.31 |
# | loss | 1.68 | 0.68 | 1.18 |
#
# With the natural logarithm its unit is the [nat](glossary.md#nat). Somebody who knows nothing gives each of $V$ tokens
# $1/V$, and has a loss of $\log V$: $\log 3 = 1.10$ in the toy.
#
# **Guess first:** one model gives "bone" a probability of 0.5, another one 0.05. How much larger is the loss of the
# second? And from 0.05 to 0.005?

# %% tags=["hide-output"]
for probability in (0.5, 0.05, 0.005):
    print(f"probability {probability:<7} loss {-np.log(probability):.2f}")

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(7, 3.6))
shares = np.linspace(0.003, 1, 400)
axis.plot(shares, -np.log(shares), color=COLOURS[5])
for word, share_, colour in zip(WORDS, p, COLOURS):
    axis.plot(share_, -np.log(share_), "o", color=colour)
    axis.annotate(
        f"{word}: {-np.log(share_):.2f}", (share_, -np.log(share_)), (6, 6), textcoords="offset points", color=colour
    )
axis.axhline(np.log(3), color=COLOURS[4], linestyle=":", label=f"log 3 = {np.log(3):.2f}: knows nothing")
axis.set(xlabel="probability of what really came", ylabel="loss (nats)", xlim=(0, 1.03), ylim=(0, 6))
steps = -np.diff(-np.log([0.5, 0.05, 0.005]))
claim(axis, "A tenth of the probability always costs 2.3 nats more", holds=np.allclose(steps, -np.log(10)))
axis.legend()
show(
    figure,
    "The curve of minus log p over p from 0 to 1: it falls steeply from the left, and reaches 0 at p = 1. Points on "
    "it: dog at 1.68, it at 1.18, bone at 0.68. A dotted line at 1.10 is where all three words have a third.",
)

# %% [markdown]
# A tenth of the probability costs log 10 = 2.30 more, wherever one starts. Certain and right costs nothing, certain and
# wrong costs without limit. The mean of this over a text is the [cross-entropy](glossary.md#cross-entropy), and it is
# what pretraining makes smaller. For one row of logits, aloud:


# %%
def surprise_loops(row, target):
    """-log p of one target, from a list of logits."""
    total = 0.0
    for logit in row:
        total += np.exp(logit)
    return -np.log(np.exp(row[target]) / total)


print(np.round([surprise_loops(z.tolist(), i) for i in range(3)], 2))

# %% [markdown]
# ## The loss can do without the probability
#
# A logit of 100 is too much for float32's exponential. The softmax of chapter 01 takes the largest logit out first, and
# never overflows. **Guess first:** what is $-\log p$ of the first token, computed with such a softmax, when the logits
# are 200, 400 and 300? On paper it is 200.

# %% tags=["hide-output"]
large = np.array([200, 400, 300], np.float32)
stable = np.exp(large - large.max())
stable /= stable.sum()
with np.errstate(divide="ignore"):
    print("softmax", stable, "  -log p", 0 - np.log(stable))

# %% [markdown]
# $e^{-200}$ is less than float32 can hold, so the probability is 0 and its logarithm gone; $e^{-100}$ has lost most of
# its digits, and 99.98 stands for 100. The way out is not to make the probability at all:
#
# $$ -\log p_i = -\log \frac{e^{z_i}}{\sum_j e^{z_j}} = \log \sum_j e^{z_j} - z_i . $$
#
# The first term is called [log-sum-exp](glossary.md#log-sum-exp), $\operatorname{lse}(z)$. In the toy it is
# $\log 14.59 = 2.68$, and the loss of "bone" $2.68 - 2 = 0.68$. It is a little more than the largest logit, 2, and
# never by more than $\log V$. So for 200, 400 and 300 it is about 400. But how is it computed, if $e^{400}$ must not
# occur?
#
# ### Now you · `log_sum_exp` · 10 minutes
#
# (B, T, V) → (B, T). Some rows lie near 900 and some near −900; single logits may be −∞.

# %%
log_sum_exp = now_you("log_sum_exp")


# %% tags=["solution"]
def book_log_sum_exp(logits):
    top = logits.max(axis=-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(logits - top).sum(axis=-1))


# %%
for row in (z, large):
    lse = log_sum_exp(row[None, None])[0, 0]
    print(f"logits {row}: lse {lse:.2f}, losses {np.round(lse - row, 2)}")

# %% [markdown]
# ## One text asks a question at every place
#
# "dog bone it" is two questions: what comes after "dog", and what after "dog bone"? A model answers all of them in one
# pass, a row of logits for each place. So the target of place $t$ is the token at $t + 1$. The last place has none. And
# texts of a batch have different lengths: the shorter ones are filled up with a padding token, which nobody wrote and
# nobody should learn to predict.
#
#     ids       5   6   7   8        9   4   0   0       0 is padding
#     targets   6   7   8   ·        4   ·   ·   ·       · counts for nothing
#
# In place of the dot stands a number that is no id; PyTorch and the package use −100.
#
# ### Now you · `shift_targets` · 8 minutes
#
# (B, T) → (B, T). Some texts are padded on the left. (Not on the core path: go on with the book's if you like.)

# %%
shift_targets = now_you("shift_targets")


# %% tags=["solution"]
def book_shift_targets(tokens, pad_id, ignore_id):
    targets = np.full(tokens.shape, ignore_id, np.int64)
    targets[:, :-1] = tokens[:, 1:]
    targets[targets == pad_id] = ignore_id
    return targets


# %%
print(shift_targets(np.array([[5, 6, 7, 8], [9, 4, 0, 0]]), pad_id=0, ignore_id=-100))

# %% [markdown]
# Over the $n$ places that count, the loss of a batch is the mean
#
# $$ \ell = \frac{1}{n} \sum_{t \text{ counts}} \bigl(\operatorname{lse}(z_t) - z_{t, \text{target of } t}\bigr) . $$
#
# Every token weighs the same, whichever text it stands in. Take care with the number −100: as an index it is no error
# in a vocabulary of more than 100 tokens. NumPy counts from the end.
#
# ### Now you · `cross_entropy_loss` · 15 minutes
#
# Logits (B, T, V) and targets (B, T), of which some are `ignore_id` → one number. Logits are as large as before.

# %%
cross_entropy_loss = now_you("cross_entropy_loss")


# %% tags=["solution"]
def book_cross_entropy_loss(logits, targets, ignore_id):
    counted = targets != ignore_id
    safe = np.where(counted, targets, 0)[..., None]
    chosen = np.take_along_axis(logits, safe, axis=-1)[..., 0]  # (B, T)
    return (log_sum_exp(logits) - chosen)[counted].mean()


# %% [markdown]
# PyTorch has the same two functions; it computes in float64 here. Where it is not installed, the loops take its place.

# %%
logits = (4 * rng.normal(size=(3, 20, 300)) + 200 * rng.normal(size=(3, 20, 1))).astype(np.float32)
targets = np.where(rng.random((3, 20)) < 0.33, -100, rng.integers(0, 300, (3, 20)))
wide, counted = logits.astype(np.float64), targets != -100
if torch is not None:
    z64 = torch.tensor(wide, requires_grad=True)
    expected_lse = torch.logsumexp(z64, -1)
    expected = torch.nn.functional.cross_entropy(z64.reshape(-1, 300), torch.tensor(targets).reshape(-1))
else:
    expected_lse = np.log(np.exp(wide).sum(axis=-1))
    expected = np.mean([surprise_loops(row.tolist(), i) for row, i in zip(wide[counted], targets[counted])])
show_error("log-sum-exp", log_sum_exp(logits), expected_lse, 1e-4)
show_error("loss", cross_entropy_loss(logits, targets, -100), expected, 1e-4)

# %% [markdown]
# Errors near 1e-5 are what float32 has to offer for numbers near 500.
#
# ## The logits of a long text outweigh the model
#
# $V$ numbers a token: for a text of 4096 tokens, SmolLM2's logits are 805 MB, and all its weights 538 MB in float32.
# NumPy's log-sum-exp makes two more arrays of that size on the way. A kernel needs none: it goes over a row twice, once
# for the largest logit and once for the sum, and the rows are shared out to the cores (01).


# %%
@njit(parallel=True)
def losses_compiled(logits, targets):
    """-log p of each target: (N, V) and (N,) → (N,), 0 where the target is −100."""
    losses = np.zeros(len(targets), np.float64)
    for t in prange(len(targets)):
        if targets[t] == -100:
            continue
        row, largest = logits[t], logits[t, 0]
        for i in range(1, len(row)):
            largest = max(largest, row[i])
        total = 0.0
        for i in range(len(row)):
            total += np.exp(row[i] - largest)
        losses[t] = np.log(total) - (row[targets[t]] - largest)
    return losses


compiled = losses_compiled(logits.reshape(-1, 300), targets.reshape(-1))
show_error("loss, compiled", compiled.sum() / counted.sum(), expected, 1e-4)

# %% tags=["varies"]
from minillama.layers.cross_entropy import cross_entropy_forward_fast

many = rng.normal(size=(256, config.vocab_size)).astype(np.float32)  # 50 MB
few = rng.integers(0, config.vocab_size, 256)
for name, function in (
    ("NumPy", lambda: cross_entropy_loss(many[None], few[None], -100)),
    ("this kernel", lambda: losses_compiled(many, few).mean()),
    ("the package's kernel", lambda: cross_entropy_forward_fast(many, few)),
):
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    print(f"{name}: {1e3 * min(times):.0f} ms for 256 rows of {config.vocab_size:,} logits")

# %% [markdown]
# These are times of the machine that ran this notebook. Of NumPy and this kernel, now one is ahead, now the other:
# NumPy computes many exponentials at a time, this kernel one after another, but on all cores. What it saves in any case
# is memory. The package's kernel has an exponential of its own, sixteen at once.
#
# ## Where a real model is surprised
#
# A real model and a real text. The lighthouse keeper's name comes three times, four tokens each:

# %%
TEXT = (
    "The lighthouse keeper Ottoline Brandt lived alone on the island. Every evening Ottoline Brandt climbed the "
    "stairs and lit the lamp. When the storm came, the ships were saved by Ottoline Brandt."
)
ids = np.array([tokenizer.encode(TEXT)])  # (1, T)
targets = shift_targets(ids, pad_id=-1, ignore_id=-100)  # one text: no padding
logits = logits_of(TEXT)[None]  # (1, T, V)
print(f"{ids.size} tokens, logits {logits.shape}")
print(f"loss        {cross_entropy_loss(logits, targets, -100):.2f} nats a token")
print(f"damaged     {cross_entropy_loss(logits_of(TEXT, damaged)[None], targets, -100):.2f}")
print(f"guessing    {np.log(config.vocab_size):.2f} = log V")
assert cross_entropy_loss(logits_of(TEXT, damaged)[None], targets, -100) > cross_entropy_loss(logits, targets, -100)

# %% [markdown]
# The damage that the answers hid shows in the loss. It is a mean, and a mean hides much, too.
#
# **Guess first:** the first time, the name costs 30 nats in all. What does it cost the third time? Does any token cost
# more than guessing?

# %% tags=["hide-output"]
losses = losses_compiled(logits[0], targets[0])[:-1]
shown = [tokenizer.decode([int(i)]) for i in ids[0, 1:]]
starts = [t for t, piece in enumerate(shown) if piece == " Ott"]
for t in starts:
    each = "  ".join(f"{piece!r} {loss:5.2f}" for piece, loss in zip(shown[t : t + 4], losses[t : t + 4]))
    print(f"{each}   together {losses[t : t + 4].sum():5.2f}")
costs = [losses[t : t + 4].sum() for t in starts]
worse = [piece for piece, loss in zip(shown, losses) if loss > np.log(config.vocab_size)]
print("worse than guessing:", worse)

# %% tags=["hide-input", "hide-output"]
of_name = {t + i for t in starts for i in range(4)}
figure, axis = plt.subplots(figsize=(10, 4))
axis.set_axisbelow(True)
axis.bar(range(len(losses)), losses, color=[COLOURS[1] if t in of_name else COLOURS[0] for t in range(len(losses))])
axis.axhline(np.log(config.vocab_size), color=COLOURS[5], linestyle="--", linewidth=1)
axis.text(len(losses) - 0.5, np.log(config.vocab_size) + 0.2, "guessing: log V", ha="right", color=COLOURS[5])
axis.axhline(losses.mean(), color=COLOURS[2], linestyle=":", linewidth=1.5)
axis.text(len(losses) - 0.5, losses.mean() + 0.2, "mean", ha="right", color=COLOURS[2])
axis.set_xticks(range(len(losses)), [piece.strip() for piece in shown], rotation=90, fontsize=8)
axis.set(ylabel="loss of the token (nats)", xlabel="token that has to be predicted", xlim=(-0.8, len(losses)))
axis.grid(visible=False, axis="x")
claim(axis, "Each time, the name (orange) costs less", holds=costs[0] > costs[1] > costs[2])
show(
    figure,
    "A bar for each token of the text. High bars at the beginning; the four tokens of the name are orange and cost "
    f"{costs[0]:.0f} nats together the first time, {costs[1]:.0f} the second and {costs[2]:.0f} the third. A dashed "
    f"line marks guessing at {np.log(config.vocab_size):.1f}, a dotted one the mean of {losses.mean():.1f}.",
)

# %% [markdown]
# No number of the model changed in between: it looks back, which is the subject of chapter 06. What still costs the
# third time is the surprise *that* the name comes now; how it goes on is known. And one can be worse than guessing:
# "The" gives the model reason to expect many words, and " lighthouse" is not among them.
#
# ## Perplexity: among how many one might as well have guessed
#
# A loss of 0.68 in the toy is hard to picture. Turn it back: $e^{0.68} = 1.97$. With a loss of 0.68, the model is as
# unsure as one that guesses between 1.97 equally probable words. That is its [perplexity](glossary.md#perplexity), $e$
# to the power of the mean loss. Who guesses among $V$ has the perplexity $V$, and who is always right has 1.
#
# **Guess first:** text A has four tokens with a loss of 0.1 each, text B one token with a loss of 6.0. Their
# perplexities are 1.11 and 403. What is that of both texts together?

# %% tags=["hide-output"]
print(f"together {np.exp((4 * 0.1 + 6.0) / 5):.2f}, and not the mean of the two, {(np.exp(0.1) + np.exp(6.0)) / 2:.0f}")

# %% [markdown]
# ### Now you · `perplexity` · 8 minutes
#
# $\log p$ of the tokens of several texts (B, T), and which of them count → one number for all texts together. (Not on
# the core path.)

# %%
perplexity = now_you("perplexity")


# %% tags=["solution"]
def book_perplexity(logprobs, counted):
    return np.exp(-logprobs[counted].mean())


# %%
logprobs = -losses
print(f"the lighthouse: loss {losses.mean():.2f}, perplexity {perplexity(logprobs, np.full(len(losses), True)):.1f}")

# %% [markdown]
# ## Who predicts letters has more predictions to make
#
# Here is a model that needs no training: how often each letter follows another one, counted in a short text, with one
# added to every count so that nothing is impossible. It predicts letters, so its tokens are letters. **Guess first:**
# which of the two has the better perplexity on the lighthouse?

# %% tags=["hide-input"]
COUNTED = (
    "The old man lived by the sea in a small house with a red door. Every morning he went down to the water and looked "
    "at the boats. When the wind was strong the boats stayed in the harbour, and he told the children stories about "
    "storms and ships and islands. One evening a storm came up from the south. The waves were as high as the house, "
    "and the light on the island went out. The old man took his lamp, climbed the hill and stood there all night, and "
    "in the morning all the ships came home. Since then they have called the hill after him, and every child knows why."
)

# %% tags=["hide-output"]
alphabet = sorted(set(COUNTED + TEXT))
code = {letter: i for i, letter in enumerate(alphabet)}
follows = np.ones((len(alphabet), len(alphabet)))
np.add.at(follows, ([code[a] for a in COUNTED[:-1]], [code[b] for b in COUNTED[1:]]), 1)
letters = np.array([code[a] for a in TEXT])
letter_losses = losses_compiled(np.log(follows)[letters[:-1]], letters[1:])  # softmax of log counts: their shares
results = {"SmolLM2": losses, "table of letters": letter_losses}
by_token = {name: perplexity(-each, np.full(len(each), True)) for name, each in results.items()}
for name, each in results.items():
    print(f"{name:<17} {len(each):>3} predictions, loss {each.mean():.2f} each, perplexity {by_token[name]:.1f}")
assert by_token["table of letters"] < by_token["SmolLM2"]

# %% [markdown]
# A letter is an easier guess than a word, and there are more of them. Perplexity counts by the token, so it compares
# models with the *same* tokenizer only. What no tokenizer can change is the number of bytes of the text. So add up the
# losses of all its tokens and divide by that. In bits, of which one is $\log 2 = 0.69$ nats, the result is called
# [bits per byte](glossary.md#bits-per-byte).
#
# ### Now you · `bits_per_byte` · 8 minutes
#
# $\log p$ of all tokens of a text (T,), and the text → one number. A letter may have more than one byte. (Not on the
# core path.)

# %%
bits_per_byte = now_you("bits_per_byte")


# %% tags=["solution"]
def book_bits_per_byte(logprobs, text):
    return -logprobs.sum() / np.log(2) / len(text.encode("utf-8"))


# %% [markdown]
# The first token of each is not predicted, so its bytes do not count:

# %%
bits = {
    "SmolLM2": bits_per_byte(-losses, TEXT.removeprefix("The")),
    "table of letters": bits_per_byte(-letter_losses, TEXT[1:]),
}
for name, value in bits.items():
    print(f"{name:<17} all together {results[name].sum():.0f} nats, {value:.2f} bits per byte")
assert bits["SmolLM2"] < bits["table of letters"]

# %% [markdown]
# Now the order is the right one. The number has a meaning of its own: with this model, the text could be stored in so
# many bits for each of its bytes, where a plain file takes 8.
#
# ## Move one number and watch the loss
#
# The loss says how wrong a model is. Better still, it says what to do about it. Back to the toy: the state is (1, 2),
# the logits are 1, 2 and 1.5, the text has "bone", and the loss is 0.68. Raise *one* logit by 0.1 and leave the others:
#
# | logit moved by 0.1 | dog | bone | it |
# |---|---|---|---|
# | loss before | 0.680 | 0.680 | 0.680 |
# | loss after | 0.699 | 0.632 | 0.711 |
# | change / 0.1 | 0.19 | −0.48 | 0.32 |
#
# The last row is how fast the loss grows with each logit: "dog" and "it" up is worse, "bone" up is better. With a
# smaller push the numbers settle. The list of what they settle to is the [gradient](glossary.md#gradient) of the loss:
# for every number that could be moved, how fast the loss changes with it. **Guess first:** compare the settled numbers
# with the probabilities 0.19, 0.51 and 0.31. What do you see?


# %% tags=["hide-output"]
target = WORDS.index("bone")


def toy_loss(z):
    return np.log(np.exp(z).sum()) - z[target]


for push in (0.1, 0.01, 0.001):
    speeds = [(toy_loss(z + push * np.eye(3)[i]) - toy_loss(z)) / push for i in range(3)]
    print(f"push {push:<6} change / push for {', '.join(WORDS)}: {np.round(speeds, 3)}")
print("probabilities ", p.round(3))

# %% tags=["hide-input", "hide-output"]
dz = p - np.eye(3)[target]
moved = np.linspace(-2.5, 2.5, 101)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.3), sharex=True, sharey=True)
for i, (axis, word, colour) in enumerate(zip(axes, WORDS, COLOURS)):
    curve = np.array([toy_loss(z + m * np.eye(3)[i]) for m in moved])
    axis.plot(moved, curve, color=colour)
    axis.plot(moved, toy_loss(z) + dz[i] * moved, "--", color=COLOURS[5], label=f"slope {dz[i]:+.2f}")
    axis.plot(0, toy_loss(z), "o", color=colour)
    axis.set(xlabel=f"logit of {word}, moved by", ylim=(-0.5, 3))
    axis.legend(loc="upper center")
    if i == target:
        claim(axis, f"{word}: up makes it better", holds=(np.diff(curve) < 0).all())
    else:
        claim(axis, f"{word}: up makes it worse", holds=(np.diff(curve) > 0).all())
axes[0].set_ylabel("loss of “bone” (nats)")
show(
    figure,
    "Three panels with the same axes: the loss when the logit of dog, of bone or of it is moved by −2.5 to 2.5. It "
    "rises for dog and it and falls for bone. A dashed straight line touches each curve where nothing is moved, with "
    f"the slopes {dz[0]:+.2f}, {dz[1]:+.2f} and {dz[2]:+.2f}.",
)

# %% [markdown]
# For "dog" and "it" it is the probability itself, for "bone" the probability minus 1. Why? The loss is
# $\operatorname{lse}(z) - z_{\text{bone}}$. Raise the logit of "bone" by 0.01. Its exponential, 7.39, grows by one
# percent, which is 0.074. The sum, 14.59, grows by the same 0.074, and its logarithm by the share that was added:
# 0.074 / 14.59 = 0.0051. That is 0.01 times $7.39 / 14.59$, which is $p$. So $\operatorname{lse}$ grows with each logit
# at the speed $p_i$. And the second term takes 1 away, for the target alone. With $[i = \text{target}]$ for 1 at the
# target and 0 elsewhere:
#
# $$ dz_i = \frac{\partial \ell}{\partial z_i} = p_i - [i = \text{target}] . $$
#
# $\partial \ell / \partial z_i$ is read "how fast $\ell$ grows when $z_i$ alone is moved", and $dz$ is this book's
# short name for all of them: an array of the shape of $z$. What the model says, minus what was true. The numbers of a
# row add up to 0, and where the model was certain and right, all are 0: nothing to learn.
#
# ### Now you · `cross_entropy_backward` · 15 minutes
#
# The whole batch: logits (B, T, V), targets (B, T) of which some are ignored → the gradient of the *mean* loss, (B, T,
# V). What does the mean do to the speed of each row?

# %%
cross_entropy_backward = now_you("cross_entropy_backward")


# %% tags=["solution"]
def book_cross_entropy_backward(logits, targets, ignore_id):
    counted = targets != ignore_id
    probabilities = np.exp(logits - log_sum_exp(logits)[..., None])
    one_hot = np.arange(logits.shape[-1]) == targets[..., None]  # (B, T, V)
    dlogits = (probabilities - one_hot) * counted[..., None] / counted.sum()
    return dlogits.astype(logits.dtype)


# %% [markdown]
# PyTorch finds gradients by itself, and is a good judge. Then the real model, at the place of the toy: after "The dog
# buried the".

# %%
some = (4 * rng.normal(size=(3, 20, 300)) + 200 * rng.normal(size=(3, 20, 1))).astype(np.float32)
some_targets = np.where(rng.random((3, 20)) < 0.33, -100, rng.integers(0, 300, (3, 20)))
if torch is not None:
    z64 = torch.tensor(some, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.cross_entropy(z64.reshape(-1, 300), torch.tensor(some_targets).reshape(-1)).backward()
    expected = z64.grad
else:
    expected = cross_entropy_backward(some.astype(np.float64), some_targets, -100)
show_error("gradient", cross_entropy_backward(some, some_targets, -100), expected, 1e-5)

row = logits_of("The dog buried the")[None, -1:]  # (1, 1, V)
(bone,) = tokenizer.encode(" bone")
real = cross_entropy_backward(row, np.array([[bone]]), -100)[0, 0]
for i in [*np.argsort(-real)[:4], bone]:
    print(f"{tokenizer.decode([int(i)])!r:<10} {real[i]:+.3f}")
print(f"sum of all {len(real):,}: {abs(real.sum(dtype=np.float64)):.3f}")

# %% [markdown]
# SmolLM2 expects something else to be buried. Each expected word is pushed down by its probability, " bone" is pulled
# up by nearly 1, and every other token of the vocabulary is moved a little.
#
# ## The chain rule: from the logits back to the state
#
# Nobody can move a logit. It is computed, from the state and the table; what training moves are learned numbers, and
# they stand further in front. So: how fast does the loss grow with the *first number of the state*, how alive it is?
#
# Move it by a little. The logit of "dog" is 1 · alive + 0 · edible, so it moves as much; that of "bone" does not move;
# that of "it" moves half as much. And how fast the loss moves with each logit is known, $dz$:
#
# | | dog | bone | it | sum |
# |---|---|---|---|---|
# | how fast the logit grows with *alive* | 1 | 0 | ½ | |
# | how fast the loss grows with the logit, $dz$ | 0.19 | −0.49 | 0.31 | |
# | product | 0.19 | 0 | 0.15 | 0.34 |
#
# Speeds *multiply* along a path, like gear wheels, and *add up* over all paths that lead from the number to the loss.
# That is the [chain rule](glossary.md#chain-rule). In symbols, with $z_i = \sum_d E_{id}\, x_d$:
#
# $$ dx_d = \sum_i dz_i\, \frac{\partial z_i}{\partial x_d} = \sum_i dz_i\, E_{id}, \qquad \text{in one line:}\quad
#    dx = E^\top dz . $$
#
# **Guess first:** the state is moved against its gradient, that is, in the direction $-dx$. Where in the plane does it
# go?

# %% tags=["hide-output"]
dz = p - np.eye(3)[target]
dx = E.T @ dz
print("dz", dz.round(2), "  dx", dx.round(2))
for d, name in enumerate(AXES):
    push = 1e-5 * np.eye(2)[d]
    print(f"{name}: moved for real, the loss grows by {(toy_loss(E @ (x + push)) - toy_loss(z)) / 1e-5:+.4f} a unit")
    np.testing.assert_allclose((toy_loss(E @ (x + push)) - toy_loss(z)) / 1e-5, dx[d], atol=1e-4)
print("mean row of what was expected", (p @ E).round(2), "  row of bone", E[target])


# %% tags=["hide-input", "hide-output"]
def draw_state(alive, edible):
    state = np.array([alive, edible])
    shares = np.exp(E @ state) / np.exp(E @ state).sum()
    mean, step = shares @ E, E[target] - shares @ E  # the step is minus the gradient
    figure, axis = plt.subplots(figsize=(5.4, 5.4))
    for word, vector, colour, offset in zip(WORDS, E, COLOURS, ((-6, -16), (-40, -4), (7, -8))):
        draw_arrows(axis, {word: vector}, colours=(colour,), offset=offset)
    draw_arrows(axis, {"state": state}, colours=COLOURS[3:4])
    axis.plot(*mean, "s", color=COLOURS[5])
    axis.annotate("mean row", mean, (8, -4), textcoords="offset points", color=COLOURS[5], weight="bold")
    draw_arrows(axis, {"": step}, start=mean, colours=COLOURS[5:], dashed=True)
    draw_arrows(axis, {"−dx": step}, start=state, colours=COLOURS[4:5], dashed=True, offset=(-30, 2))
    axis.set(xlim=(-1.6, 3.4), ylim=(-1.6, 3.4))  # the same for every state
    axis.text(-1.5, 3.1, f"loss of “bone” {-np.log(shares[target]):.2f}")
    claim(
        axis,
        "The state is pulled from the mean row towards “bone”",
        holds=np.allclose(-(E.T @ (shares - np.eye(3)[target])), step, atol=1e-6) and step @ (E[1] - E[0]) > 0,
    )
    show(
        figure,
        f"A plane, alive across, edible upwards: arrows for dog, bone and it, and the state at ({alive:.1f}, "
        f"{edible:.1f}). A square at ({mean[0]:.2f}, {mean[1]:.2f}) is the mean of the rows by their probabilities. A "
        f"dashed arrow leads from it to the tip of bone; the same arrow, ({step[0]:.2f}, {step[1]:.2f}), begins at "
        "the state: minus dx.",
    )


values = [0.5 * i for i in range(-2, 7)]
live(draw_state, alive=(values, 1.0), edible=(values, 2.0))

# %% [markdown]
# Minus the gradient is exactly the arrow from the mean of the rows, weighted by what the model expected, to the row of
# the word that came: $-dx = E_{\text{target}} - \sum_i p_i E_i$. Less dog, more bone. (In JupyterLab the sliders move
# the state: find one for which the arrow almost vanishes.)
#
# ## What `dy` means
#
# Look at what the table needed in order to find $dx$: the array $dz$, and its own numbers. It did not ask what the
# target was, nor that there is a softmax behind it. All of that is *in* $dz$. It is so for every part of a model, and
# that is why a model of many layers can be differentiated at all. A part makes $y$ of $x$, and of learned numbers $w$.
# On the way back
#
# - it is **given** `dy`, of the shape of $y$: how fast the loss grows with each number that it has put out;
# - it **returns** `dx`, of the shape of $x$, to the part before it, which calls it `dy`;
# - and it **keeps** `dw`, of the shape of $w$: that is what training needs.
#
# Put one more part in front of the toy: a learned number $g = 2$ that multiplies the vector $u = (½, 1)$, so that
# $x = g u = (1, 2)$ as before. Three parts, read downwards on the way there and upwards on the way back:
#
# | part | makes | is given | returns | keeps |
# |---|---|---|---|---|
# | the factor | $x = g u$ | $dx$ | $du = g\, dx$ | $dg = \sum_d dx_d u_d$ |
# | the table | $z = E x$ | $dz$ | $dx = E^\top dz$ | $dE_{id} = dz_i x_d$ |
# | the loss | $\ell = \operatorname{lse}(z) - z_{\text{target}}$ | 1 | $dz = p - [\text{target}]$ | |
#
# The 1 at the end: the loss grows with itself at speed 1. `dg` is a sum, since $g$ reaches the loss by both numbers of
# $x$; $E_{id}$ reaches it by $z_i$ alone, which grows with it at the speed $x_d$.

# %%
g, u = 2.0, np.array([0.5, 1.0])
dz = p - np.eye(3)[target]  # the loss
dx, dE = E.T @ dz, np.outer(dz, x)  # the table
du, dg = g * dx, dx @ u  # the factor
print("dz", dz.round(2), " dx", dx.round(2), " du", du.round(2), f" dg {dg:.3f}")
print("dE, a row for each word:", dE.round(2).tolist())

push = 1e-5
moved_g = (toy_loss(E @ ((g + push) * u)) - toy_loss(z)) / push
moved_E = (toy_loss((E + push * np.outer([0, 1, 0], [1, 0])) @ x) - toy_loss(z)) / push  # bone's first number
show_error("dg", dg, moved_g, 1e-4, against="the loss with g moved by 0.00001")
show_error("dE", dE[1, 0], moved_E, 1e-4, against="the loss with one number of the table moved")

# %% [markdown]
# Here all of `dE` comes from the end of the model. With tied embeddings, the same rows also stand at the beginning, and
# what comes back there is added to it (14).
#
# A gradient tells where to go, and how much is gained: a step of size $\eta$ against it moves each number by $-\eta\,
# dz_i$, each of which lowers the loss by $\eta\, dz_i^2$, speed times way. **Guess first:** does the real row of logits
# keep that promise for steps of 0.01, 0.1, 1 and 10?

# %% tags=["hide-output"]
gradient, one_target = real.astype(np.float64), np.array([[bone]])
before = cross_entropy_loss(row.astype(np.float64), one_target, -100)
print(f"loss before any step {before:.3f}")
for step in (0.01, 0.1, 1.0, 10.0):
    after = cross_entropy_loss(row.astype(np.float64) - step * gradient, one_target, -100)
    print(f"step {step:<5} promised {step * (gradient**2).sum():6.3f}, the loss falls by {before - after:6.3f}")

# %% [markdown]
# A gradient is the slope where one stands. Small steps get what it promises; on a long one the slope changes under way,
# and the last step was even promised more than there was to lose. Training is many small steps (14).
#
# ## What breaks
#
# Each line is one mistake at one end of the model; nothing crashes. The first transformer multiplied its embeddings by
# $\sqrt D$, and LLaMA does not; an id that is late by one reads the neighbour's row; targets that are not shifted ask
# for the token that has just been read; and a mean may be taken over all places, padding included: here a second text,
# of four tokens, is padded to the length of the lighthouse.
#
# **Guess first:** one of them makes the loss look *better*. Which?

# %% tags=["hide-output"]
from minillama.layers.embedding import embedding_forward


def scaled(tokens, weight):
    return embedding_forward(tokens, weight)[0] * np.float32(np.sqrt(config.dim)), None


def one_late(tokens, weight):
    return embedding_forward((tokens + 1) % len(weight), weight)


short = np.zeros_like(ids)  # padded with id 0
short[0, :4] = tokenizer.encode("The dog buried the")
both = np.concatenate([ids, short])
both_targets = shift_targets(both, pad_id=0, ignore_id=-100)
both_logits = forward(params, config, both, FAST)[0]
right = cross_entropy_loss(logits, targets, -100)
of_both = cross_entropy_loss(both_logits, both_targets, -100)
broken = {
    "right": (right, next_words("The capital of France is")),
    "embeddings times √D": (
        cross_entropy_loss(logits_of(TEXT, as_op(scaled))[None], targets, -100),
        next_words("The capital of France is", as_op(scaled)),
    ),
    "rows late by one": (
        cross_entropy_loss(logits_of(TEXT, as_op(one_late))[None], targets, -100),
        next_words("The capital of France is", as_op(one_late)),
    ),
    "targets not shifted": (cross_entropy_loss(logits, ids, -100), "the model is right"),
    "two texts, right": (of_both, "the model is right"),
    "two texts, mean over all places": (of_both * (both_targets != -100).sum() / both.size, "the model is right"),
}
assert broken["two texts, mean over all places"][0] < 0.7 * of_both
assert min(broken[name][0] for name in list(broken)[1:4]) > right + 2
table(("", "loss", "The capital of France is ..."), [(name, f"{a:.2f}", b) for name, (a, b) in broken.items()])

# %% [markdown]
# The last one: padding costs nothing and is counted, so the loss looks nearly twice as good, and better still for a
# batch with more padding. All gradients shrink by the same factor. A model that is trained on targets that are not
# shifted learns to repeat what it reads, and its loss goes to nearly 0.
#
# The package has table and loss in `minillama.layers.embedding` and `minillama.layers.cross_entropy`, with −100 for
# what does not count, in NumPy and as kernels:

# %%
from minillama.layers import cross_entropy

show_error("embeddings", gather_embeddings(ids, E_real), embedding_forward(ids, E_real)[0], 0, against="the package")
for name, f, b in (
    ("reference", cross_entropy.cross_entropy_forward, cross_entropy.cross_entropy_backward),
    ("kernels", cross_entropy.cross_entropy_forward_fast, cross_entropy.cross_entropy_backward_fast),
):
    loss, saved = f(both_logits, both_targets)
    show_error(f"loss, {name}", of_both, loss, 1e-4, against="the package")
    show_error(
        f"gradient, {name}",
        cross_entropy_backward(both_logits, both_targets, -100),
        b(1.0, saved),
        1e-5,
        against="the package",
    )
show_error(
    "log-probabilities",
    logprobs,
    llm.logprobs(ids[0, :1].tolist(), ids[0, 1:].tolist()),
    0.05,
    against="the package on packed weights",
)

# %% [markdown]
# ## What you now know
#
# - An id is a name. A model computes with the token's row of a learned table, the same row wherever the token stands.
# - At the end, the state is compared with every row of a table, often the same one: the logits.
# - The loss of a token is −log p of what really came, computed as log-sum-exp minus the target's logit. Place t is
#   asked for token t + 1; what does not count is left out of the sum and of the count.
# - Perplexity is e to the mean loss and depends on the tokenizer; bits per byte do not.
# - A gradient says for each number how fast the loss grows with it. Of the logits it is p, minus 1 at the target.
# - Speeds multiply along a path and add up over paths. A part of a model gets `dy`, the gradient of what it put out,
#   and returns `dx`, the gradient of what went in.
#
# ## Three questions
#
# 1. Model A has a loss of 3 nats a token, and its tokens are 4 bytes long on average. Model B has a loss of 1.2 nats,
#    and its tokens are single bytes. What are their perplexities? Which is the better model, and by how much?
#
# <details>
# <summary>Answer</summary>
#
# The perplexities are e³ = 20 and e^1.2 = 3.3, and say nothing, since the tokens differ. In bits per byte A needs
# 3 / 4 / 0.693 = 1.08 and B 1.2 / 0.693 = 1.73. A is better: a text takes 38 % fewer bits with it.
#
# </details>
#
# 2. Three tokens have the probabilities 0.7, 0.2 and 0.1, and the third one comes. What is the gradient of the logits?
#    The third logit is raised by 0.01 and the first lowered by 0.01: by how much does the loss change?
#
# <details>
# <summary>Answer</summary>
#
# (0.7, 0.2, 0.1 − 1) = (0.7, 0.2, −0.9). Changes add up: 0.01 · (−0.9) + (−0.01) · 0.7 = −0.016. The loss falls from
# 2.303 to about 2.287.
#
# </details>
#
# 3. A layer makes y = (3 x₁, x₁ + x₂) of two numbers, and is given dy = (2, −1). What does it return as dx? Its x₁ is
#    raised by 0.1: does the loss rise or fall, and by about how much?
#
# <details>
# <summary>Answer</summary>
#
# x₁ reaches the loss by both numbers of y: dx₁ = 2 · 3 + (−1) · 1 = 5. x₂ reaches it by the second one: dx₂ = −1. The
# loss rises by about 0.5. Nothing about the loss itself had to be known.
#
# </details>
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `gather_embeddings` | Look up the rows; runs in a model | 1 | 5 | core |
# | `log_sum_exp` | log-sum-exp that does not overflow | 2 | 10 | core |
# | `shift_targets` | Which token is the target | 1 | 8 |  |
# | `cross_entropy_loss` | Cross-entropy | 2 | 15 | core |
# | `cross_entropy_backward` | The gradient of the logits | 2 | 15 | core |
# | `perplexity` | Perplexity of a corpus | 1 | 8 |  |
# | `bits_per_byte` | Bits per byte | 1 | 8 |  |
#
# <!-- end of the exercises -->
#
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# Between the rows at the beginning and the state at the end lie thirty layers, and each adds to the state. Something
# has to keep the numbers from growing out of hand: [04](04_rmsnorm.ipynb).
