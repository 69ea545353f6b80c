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
# **Goal.** Build the two ends of a language model: the table that turns ids into vectors, and the loss that says how
# well its logits predict the next token. Then measure a real model by perplexity and by bits per byte.
#
# **Before this.** Chapters 01 and 02.
# **Time.** 35 minutes to read and run, 75 minutes for the exercises.
# **Paper.** LLaMA 2 (arXiv:2307.09288), section 2.2 (training details) and figure 5, the training loss. The paper
# uses the embedding and the cross-entropy of every language model and does not spell them out.
#
# **Not reproduced.** Figure 5 shows 2 trillion tokens of training. The chapter measures a finished model; chapter 14
# trains one.

# %%
import matplotlib.pyplot as plt
import numpy as np
from numba import njit, prange

from minillama.learn import check
from minillama.learn.book import COLOURS, load, show_error, style, table, torch

style()
rng = np.random.default_rng(0)

# %% [markdown]
# ## The idea
#
# A token id is a name, not a quantity: token 500 is not five times token 100. So the first thing a model does with an
# id is to look up a row of learned numbers, the **embedding**. Everything in between works on such vectors. At the
# other end the model gives one number for every token of the vocabulary, the **logits**, which softmax turns into
# probabilities of the next token. The **loss** is how surprised the model is by the token that really comes: minus
# the logarithm of its probability.

# %% [markdown]
# ## The mathematics
#
# Let $V$ be the size of the vocabulary, $D$ the width of the model, $E \in \mathbb{R}^{V \times D}$ the embedding
# table, and $t_1 \dots t_T$ the ids of a text.
#
# Embedding: row $t_i$ of the table,
# $$x_i = E_{t_i} \in \mathbb{R}^D.$$
#
# The layers turn $x_1 \dots x_T$ into hidden states $h_1 \dots h_T \in \mathbb{R}^D$. The head, a matrix $W \in
# \mathbb{R}^{V \times D}$, gives the logits
# $$z_i = W h_i \in \mathbb{R}^V, \qquad p(v \mid t_1 \dots t_i) = \frac{e^{z_{iv}}}{\sum_{u} e^{z_{iu}}}.$$
#
# In small models $W = E$ (the head is *tied*); LLaMA 2 has two tables. Position $i$ predicts token $t_{i+1}$, so its
# loss is
# $$\ell_i = -\log p(t_{i+1} \mid t_1 \dots t_i) = \operatorname{lse}(z_i) - z_{i,\,t_{i+1}},
# \qquad \operatorname{lse}(z) = \log \sum_v e^{z_v}.$$
#
# Over the $n$ positions that count, the rest being padding or a prompt, the loss is the mean $L = \frac1n \sum_i
# \ell_i$ in *nats*. From it come
# $$\text{perplexity} = e^{L}, \qquad
# \text{bits per byte} = \frac{\sum_i \ell_i}{\log 2 \cdot \text{bytes of the text}}.$$
#
# The derivative of $\operatorname{lse}$ is softmax, so the gradient of the loss is
# $$\frac{\partial L}{\partial z_{iv}} = \frac{1}{n}\bigl(p(v \mid t_1 \dots t_i) - [v = t_{i+1}]\bigr).$$

# %% [markdown]
# | what | shape | in SmolLM2-135M | in LLaMA 2 7B |
# |---|---|---|---|
# | ids | (B, T) | integers below 49 152 | below 32 000 |
# | table $E$ | (V, D) | (49152, 576) | (32000, 4096) |
# | embeddings, hidden states | (B, T, D) | D = 576 | D = 4096 |
# | head $W$ | (V, D) | the same array as $E$ | one of its own |
# | logits | (B, T, V) | 49 152 numbers for each token | 32 000 |
# | losses | (B, T) | one for each token | one |

# %% [markdown]
# ## Plain Python
#
# The lookup copies rows. The loss goes through the vocabulary once for each token.


# %%
def gather_loops(tokens, weight):
    x = np.empty((*tokens.shape, weight.shape[1]), weight.dtype)
    for b in range(tokens.shape[0]):
        for t in range(tokens.shape[1]):
            for d in range(weight.shape[1]):
                x[b, t, d] = weight[tokens[b, t], d]
    return x


def loss_loops(logits, targets, ignore_id):
    total, n = 0.0, 0
    for row, target in zip(logits.reshape(-1, logits.shape[-1]).tolist(), targets.reshape(-1).tolist()):
        if target != ignore_id:
            total += np.log(sum(np.exp(z) for z in row)) - row[target]
            n += 1
    return total / n


tokens = rng.integers(0, 50, (2, 6))
weight = rng.normal(size=(50, 8)).astype(np.float32)
logits = rng.normal(size=(2, 6, 50)).astype(np.float32)
print("embeddings", gather_loops(tokens, weight).shape, "  loss", round(loss_loops(logits, tokens, -100), 4))

# %% [markdown]
# Logits drawn at random know nothing, so their loss lies near that of guessing, $\log V = \log 50 = 3.9$; a little
# above, because they are sure of wrong things.
#
# ## NumPy
#
# Indexing with an array of ids is the whole lookup. For the loss one thing needs care: $e^{90}$ is infinite in
# float32. Since
# $e^{z} = e^{m} e^{z - m}$, any $m$ may be taken out of the sum; with the row's largest logit no exponent is above 0.


# %%
def gather_embeddings(tokens, weight):
    return weight[tokens]


def log_sum_exp(logits):
    top = logits.max(axis=-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(logits - top).sum(axis=-1))


large = np.array([[1000.0, 999.0, 990.0], [-1000.0, -1001.0, -1010.0]], np.float32)
with np.errstate(all="ignore"):
    print("exponentials as they are:", np.log(np.exp(large).sum(axis=-1)))
print("largest one taken out:   ", log_sum_exp(large))

# %% [markdown]
# Which target belongs to which row of logits? Row $t$ has seen the tokens up to $t$ and predicts the one after it.
# The last row has no target, and neither has a row whose next token is padding; both get a number that is not an id.


# %%
def shift_targets(tokens, pad_id, ignore_id):
    targets = np.full_like(tokens, ignore_id)
    targets[:, :-1] = tokens[:, 1:]
    targets[targets == pad_id] = ignore_id
    return targets


print(shift_targets(np.array([[5, 6, 7, 8], [9, 4, 0, 0]]), pad_id=0, ignore_id=-100))

# %% [markdown]
# Cross-entropy and its gradient follow the formulas. A target that is ignored must not be used as an index, because
# NumPy would silently take -1 as the last token.


# %%
def cross_entropy_loss(logits, targets, ignore_id):
    counted = targets != ignore_id
    safe = np.where(counted, targets, 0)[..., None]
    chosen = np.take_along_axis(logits, safe, axis=-1)[..., 0]  # (B, T)
    return (log_sum_exp(logits) - chosen)[counted].mean()


def cross_entropy_backward(logits, targets, ignore_id):
    counted = targets != ignore_id
    probabilities = np.exp(logits - log_sum_exp(logits)[..., None])
    one_hot = np.arange(logits.shape[-1]) == targets[..., None]  # (B, T, V)
    dlogits = (probabilities - one_hot) * counted[..., None] / counted.sum()
    return dlogits.astype(logits.dtype)


# %% [markdown]
# ## Numba
#
# NumPy makes several arrays as large as the logits, which for a real vocabulary are the largest arrays of the whole
# model. The compiled loop makes none: every row is read twice, once for its maximum and once for the sum, and rows
# are spread over the cores.


# %%
@njit(parallel=True)
def losses_compiled(logits, targets, ignore_id):  # (N, V), (N,) -> (N,)
    losses = np.zeros(len(targets), np.float64)
    for i in prange(len(targets)):
        if targets[i] == ignore_id:
            continue
        row = logits[i]
        top = row[0]
        for v in range(1, len(row)):
            top = max(top, row[v])
        total = 0.0
        for v in range(len(row)):
            total += np.exp(row[v] - top)
        losses[i] = np.log(total) - (row[targets[i]] - top)
    return losses


# %% [markdown]
# ## Check against PyTorch
#
# The same inputs go through PyTorch (or, where it is not installed, through the loops in float64). A third of the
# targets is ignored.

# %%
logits = (4 * rng.normal(size=(3, 20, 300)) + 200 * rng.normal(size=(3, 20, 1))).astype(np.float32)
targets = np.where(rng.random((3, 20)) < 0.33, -100, rng.integers(0, 300, (3, 20)))
wide = logits.astype(np.float64)
if torch is not None:
    z = torch.tensor(wide, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(z.reshape(-1, 300), torch.tensor(targets).reshape(-1), ignore_index=-100)
    loss.backward()
    expected = {"rows": torch.nn.functional.embedding(torch.tensor(tokens), torch.tensor(weight))}
    expected |= {"lse": torch.logsumexp(z, -1), "loss": loss, "gradient": z.grad}
else:
    shifted = wide - wide.max(axis=-1, keepdims=True)
    expected = {
        "rows": gather_loops(tokens, weight),
        "lse": log_sum_exp(wide),
        "loss": loss_loops(shifted, targets, -100),
    }
    expected |= {"gradient": cross_entropy_backward(wide, targets, -100)}

show_error("gather", gather_embeddings(tokens, weight), expected["rows"], 0)
show_error("log-sum-exp", log_sum_exp(logits), expected["lse"], 1e-4)
show_error("loss, NumPy", cross_entropy_loss(logits, targets, -100), expected["loss"], 1e-4)
compiled = losses_compiled(logits.reshape(-1, 300), targets.reshape(-1), -100)
show_error("loss, Numba", compiled.sum() / (targets != -100).sum(), expected["loss"], 1e-4)
show_error("gradient", cross_entropy_backward(logits, targets, -100), expected["gradient"], 1e-5)

# %% [markdown]
# The log-sum-exp of logits near 500 is exact to about 1e-5 in float32, as any number of that size is. The compiled
# loop subtracts before it rounds, so it is closer.
#
# ## Real weights: the table of SmolLM2
#
# The file holds the table in a few bits for each number; `to_float32` unpacks it.

# %%
llm = load()
tokenizer, config = llm.tokenizer, llm.config
packed = llm.params.token_embedding
E = packed if isinstance(packed, np.ndarray) else packed.to_float32()
print(f"table {E.shape}, {E.size / 1e6:.1f} million numbers; tied head: {llm.params.output is None}")
lengths = np.linalg.norm(E, axis=1)
print(f"lengths of the rows: from {lengths.min():.2f} to {lengths.max():.2f}, median {np.median(lengths):.2f}")

# %% [markdown]
# Nobody told the model what the tokens mean. But rows that are used in similar places have become similar: the
# nearest rows by the angle between them are words of the same kind.

# %%
unit = E / np.maximum(lengths, 1e-6)[:, None]


def nearest(word, n=5):
    (id_,) = tokenizer.encode(word)
    cosine = unit @ unit[id_]
    order = np.argsort(-cosine)[1 : n + 1]
    return "  ".join(f"{tokenizer.token_text(i)} {cosine[i]:.2f}" for i in order)


table(
    ("token", "nearest rows, with the cosine (Ġ is a space)"), [(w, nearest(w)) for w in (" Monday", " seven", " king")]
)

# %% [markdown]
# A picture needs two dimensions in place of 576. Principal component analysis (PCA) finds the two directions in which
# a set of points differs most: with the mean taken off, they are the first two rows of $V^\top$ in the singular value
# decomposition $X = U S V^\top$.

# %%
GROUPS = {
    "numbers": "two three four five six seven eight nine ten",
    "countries": "France Germany Spain Italy China Japan India Russia Canada Brazil",
    "animals": "dog cat horse cow bird lion bear wolf mouse",
    "verbs": "run walk go come say tell eat drink sleep write",
    "months": "January February March April June July August October",
}
names = [(group, word) for group, text in GROUPS.items() for word in text.split()]
X = E[[tokenizer.encode(" " + word)[0] for _, word in names]]
centred = X - X.mean(axis=0)
_, singular, directions = np.linalg.svd(centred, full_matrices=False)
flat = centred @ directions[:2].T  # (words, 2)
share = (singular**2 / (singular**2).sum())[:2]

# %%
fig, axis = plt.subplots(figsize=(8.5, 5.6))
labels = []  # places that are taken
for colour, group in zip(COLOURS, GROUPS):
    chosen = [i for i, (g, _) in enumerate(names) if g == group]
    axis.scatter(*flat[chosen].T, color=colour, s=22, label=group)
    for i in chosen:
        if all(abs(flat[i] - other)[0] > 0.17 or abs(flat[i] - other)[1] > 0.06 for other in labels):
            labels.append(flat[i])
            axis.annotate(names[i][1], flat[i], (4, 3), textcoords="offset points", fontsize=8, color=colour)
axis.set_title("Words of one kind lie together; numbers and months stand apart from the others")
axis.set(xlabel=f"first direction ({share[0]:.0%} of the variance)", ylabel=f"second direction ({share[1]:.0%})")
axis.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.12), handletextpad=0.2, columnspacing=1.2)
plt.show()

# %% [markdown]
# ## Logits, and the loss of a text
#
# `llm.logits` runs the whole model (chapter 09 builds it). Its last step is the head: hidden state times table. Row $t$
# of the logits is the prediction for token $t + 1$.

# %%
TEXT = (
    "The lighthouse keeper Ottoline Brandt lived alone on the island. Every evening Ottoline Brandt climbed the "
    "stairs and lit the lamp. When the storm came, the ships were saved by Ottoline Brandt."
)
ids = np.array([tokenizer.encode(TEXT)])  # (1, T)
logits = llm.logits(ids[0])[None]  # (1, T, V)
targets = shift_targets(ids, pad_id=-1, ignore_id=-100)
print("ids", ids.shape, "  logits", logits.shape, f"  {logits.nbytes / 1e6:.1f} MB of logits for {ids.size} tokens")
loss = cross_entropy_loss(logits, targets, -100)
print(f"loss {loss:.3f} nats a token; guessing would have log V = {np.log(config.vocab_size):.2f}")

# %% [markdown]
# One number hides much. The losses of the single tokens show where the model is surprised.

# %%
losses = losses_compiled(logits[0], targets[0], -100)[:-1]
shown = [tokenizer.token_text(i).replace("Ġ", "·") for i in ids[0, 1:]]
name = set(tokenizer.encode(" Ottoline Brandt"))
colours = [COLOURS[1] if i in name else COLOURS[0] for i in ids[0, 1:].tolist()]
fig, axis = plt.subplots(figsize=(10, 4))
axis.set_axisbelow(True)
axis.bar(range(len(losses)), losses, color=colours)
axis.axhline(np.log(config.vocab_size), color=COLOURS[5], linestyle="--", linewidth=1)
axis.text(len(losses) - 0.5, np.log(config.vocab_size) + 0.2, "guessing: log V", ha="right", color=COLOURS[5])
axis.axhline(losses.mean(), color=COLOURS[2], linestyle=":", linewidth=1.5)
axis.text(len(losses) - 0.5, losses.mean() + 0.2, "mean", ha="right", color=COLOURS[2])
axis.set_xticks(range(len(losses)), shown, rotation=90, fontsize=8)
axis.set(
    ylabel="loss of the token (nats)", xlabel="token that has to be predicted (· is a space)", xlim=(-0.8, len(losses))
)
axis.grid(visible=False, axis="x")
axis.set_title("A name is a surprise once: the third time its last parts cost almost nothing (orange)")
plt.show()

# %% [markdown]
# The beginning of a text is hard: nothing is known yet. The ends of words and of phrases are easy. And what has been
# said before is cheap when it comes again, because attention can look back; no number of the model has changed in
# between.

# %%
for start in [i for i in range(len(losses)) if shown[i] == "·Ott"]:
    print("  ".join(f"{piece} {loss:5.2f}" for piece, loss in zip(shown[start : start + 4], losses[start : start + 4])))

# %% [markdown]
# ## Perplexity and bits per byte
#
# Perplexity is the loss as a number of choices: a model with perplexity 20 is as unsure as one that picks among 20
# equally likely tokens. Several texts together have one perplexity: add up all losses, divide by the number of all
# tokens, take the exponential once.


# %%
def perplexity(logprobs, counted):
    return np.exp(-logprobs[counted].mean())


def bits_per_byte(logprobs, text):
    return -logprobs.sum() / np.log(2) / len(text.encode("utf-8"))


logprobs = -losses
print(f"perplexity {perplexity(logprobs, np.full(len(logprobs), True)):.1f}")
two = np.array([[-0.1, -0.1, -0.1, -0.1], [-6.0, 0.0, 0.0, 0.0]])
counted = np.array([[True] * 4, [True, False, False, False]])
each = [perplexity(row, mask) for row, mask in zip(two, counted)]
print(f"two texts: {each[0]:.2f} and {each[1]:.2f}; together {perplexity(two, counted):.2f}, not {np.mean(each):.2f}")

# %% [markdown]
# Perplexity counts tokens, and so it depends on the tokenizer. Against SmolLM2 the next cell sets a model that a child
# could write: a table of how often each letter follows another, counted in a short text (and one added to every count,
# so that nothing is impossible). A letter is an easier guess than a word. Bits per byte divide by what no tokenizer can
# change.

# %%
COUNTED = (
    "The old man lived by the sea in a small house with a red door. Every morning he went down to the water and looked "
    "at the boats. When the wind was strong the boats stayed in the harbour, and he told the children stories about "
    "storms and ships and islands. One evening a storm came up from the south. The waves were as high as the house, "
    "and the light on the island went out. The old man took his lamp, climbed the hill and stood there all night, and "
    "in the morning all the ships came home. Since then they have called the hill after him, and every child knows why."
)
alphabet = sorted(set(COUNTED + TEXT))
code = {letter: i for i, letter in enumerate(alphabet)}
follows = np.ones((len(alphabet), len(alphabet)))
np.add.at(follows, ([code[c] for c in COUNTED[:-1]], [code[c] for c in COUNTED[1:]]), 1)
letter_logits = np.log(follows)  # the softmax of log counts is the share of each count
letters = np.array([[code[c] for c in TEXT]])
letter_losses = losses_compiled(letter_logits[letters[0, :-1]], letters[0, 1:], -100)
rows = []
for name, values, rest in (
    ("SmolLM2, tokens", losses, TEXT.removeprefix("The")),
    ("pairs of letters", letter_losses, TEXT[1:]),
):
    measured = np.exp(values.mean()), bits_per_byte(-values, rest)
    rows.append((name, len(values), f"{values.mean():.2f}", *(f"{value:.2f}" for value in measured)))
table(("model", "predictions", "loss of each", "perplexity", "bits per byte"), rows)

# %% [markdown]
# By perplexity the table of letters looks like the better model. By bits per byte it is far behind, and that is the
# truth: a text that SmolLM2 predicts could be stored in that many bits for each of its bytes.

# %% [markdown]
# ## The gradient
#
# Every stage of training, from pretraining to PPO, sends a gradient of the logits back through the model. For
# cross-entropy it is the difference between what the model says and what is true: all tokens are pushed down by their
# probability, and the right one is pulled up. Each row adds up to 0.

# %%
position = 7
row, target = logits[:, position : position + 1], targets[:, position : position + 1]
gradient = cross_entropy_backward(row, target, -100)[0, 0]
print(f"after {tokenizer.decode(ids[0, : position + 1])!r} comes {tokenizer.token_text(target.item())!r}")
for i in np.argsort(-np.abs(gradient))[:6]:
    print(f"   {tokenizer.token_text(i):12s} {gradient[i]:+.3f}")
print(f"   sum of all {len(gradient):,}: {gradient.sum(dtype=np.float64):+.0e}")

# %% [markdown]
# A step of size $s$ in the opposite direction must lower the loss by about $s \,\lVert g \rVert^2$ while $s$ is
# small.

# %%
squared = (gradient.astype(np.float64) ** 2).sum()
for s in (0.01, 0.1, 1.0):
    before, after = (cross_entropy_loss(z.astype(np.float64), target, -100) for z in (row, row - s * gradient))
    print(f"step {s:4}: the loss falls by {before - after:.5f}, predicted {s * squared:.5f}")

# %% [markdown]
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
# In a terminal: `minillama learn start my-llama`, then `minillama learn watch`, which checks on every save. In a
# notebook: `from minillama.learn import check; check("log_sum_exp", my_function)`.
#
# A wrong function gets a diagnosis. This one divides by the number of all positions, as `.mean()` over everything
# does:


# %%
def mean_over_all(logits, targets, ignore_id):
    counted = targets != ignore_id
    chosen = np.take_along_axis(logits, np.where(counted, targets, 0)[..., None], axis=-1)[..., 0]
    return ((log_sum_exp(logits) - chosen) * counted).mean()


check("cross_entropy_loss", mean_over_all)

# %% [markdown]
# The chapter's own functions pass.

# %%
mine = {f.__name__: f for f in (gather_embeddings, log_sum_exp, shift_targets, cross_entropy_loss)}
mine |= {f.__name__: f for f in (cross_entropy_backward, perplexity, bits_per_byte)}
for name, function in mine.items():
    print(f"{name:24s} {'passed' if check(name, function).passed else 'wrong'}")

# %% [markdown]
# ## What breaks if it is wrong
#
# First the targets. Without the shift the loss asks whether the model predicts the token that it has just read.
# Nothing crashes; the loss is only far too high, and training on it would teach the model to copy.

# %%
print(f"loss with the right targets {loss:5.2f}")
print(f"loss without the shift      {cross_entropy_loss(logits, ids, -100):5.2f}")

# %% [markdown]
# Then the table. `Ops` is the table of functions that a model runs on, and an entry can be replaced. The first
# transformer multiplied its embeddings by $\sqrt{D}$; LLaMA does not. With the factor, or with each row one too late,
# the real model no longer knows any capital.

# %%
from minillama.layers.embedding import embedding_forward
from minillama.model import forward, output_head
from minillama.ops import REFERENCE
from minillama.params import build_params
from minillama.trees import named_leaves

stored = dict(named_leaves(llm.params))
unpack = lambda name, _: stored[name] if isinstance(stored[name], np.ndarray) else stored[name].to_float32()
dense = build_params(config, unpack)  # float32, for the plain NumPy functions of REFERENCE


def scaled(tokens, weight):
    x, saved = embedding_forward(tokens, weight)
    return x * np.float32(np.sqrt(x.shape[-1])), saved


def one_late(tokens, weight):
    return embedding_forward((tokens + 1) % weight.shape[0], weight)


question = tokenizer.encode("The capital of France is")
for name, function in (("right", embedding_forward), ("times sqrt(D)", scaled), ("one row late", one_late)):
    z, _ = forward(dense, config, question, ops=REFERENCE._replace(embedding_forward=function))
    best = [tokenizer.token_text(i) for i in np.argsort(-z[0, -1])[:4]]
    print(f"{name:14s} most likely next: {'  '.join(best)}")

# %% [markdown]
# ## The package
#
# Last, what the chapter has derived against the package: the lookup on the packed table, and the log-probabilities
# that `llm.logprobs` computes for a text.

# %%
x, _ = embedding_forward(ids, packed)
np.testing.assert_allclose(gather_embeddings(ids, E), x)
show_error("embeddings", gather_embeddings(ids, E), x, 0, against="the package")
assert output_head(llm.params) is packed  # tied
package = llm.logprobs(ids[0, :1].tolist(), ids[0, 1:].tolist())
show_error("log-probabilities", logprobs, package, 1e-4, against="the package")
show_error("loss of the text", losses.mean(), -package.mean(), 1e-4, against="the package")
