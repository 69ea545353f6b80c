# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 00 · First words
#
# > **Before this:** nothing.
# > **Time:** 25 minutes to read and run, 80 for all exercises; on the [core path](README.md) 55 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2 and table 1: the sizes. **Not here:** what happens inside
# > of the layers (03 to 09); and the released weights of 7B to 70B, which need Meta's licence and 13 to 138 GB. Their
# > sizes need neither, and this chapter computes with them.
#
# Ask a program for the capital of France, and it says Paris. There is no word inside of it, only numbers, 135 million
# of them, and additions and multiplications. Where does the word come from?
#
# You need Python, NumPy arrays, and what a matrix times a vector is. In the folder of the project `make lab` installs
# everything and opens this page; Shift-Enter runs a cell. In a terminal there:
#
#     source .venv/bin/activate        # on Windows: .venv\Scripts\activate
#     minillama chat --temperature 0 "What is the capital of France?"
#
# The last line fetches a model once (93 MB), and it answers. `minillama doctor` looks the machine over if something is
# wrong. From Python:

# %% tags=["hide-input"]
import math
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

from minillama.compute.threads import set_threads
from minillama.learn.book import COLOURS, claim, load, now_you, show, show_error, style, table, torch
from minillama.learn.book.toy import SENTENCE, WORDS
from minillama.model import forward
from minillama.ops import FAST, REFERENCE

style()
set_threads(1)  # the same work wherever the chapter runs

# %%
llm = load()  # SmolLM2-135M-Instruct: the architecture of LLaMA 2, small enough for any computer
answer = llm.chat([{"role": "user", "content": "What is the capital of France?"}], temperature=0)
print(answer.text)
assert "Paris" in answer.text

# %% [markdown]
# How does it do that? Around the model there are two things that are not the model: something that turns text into
# numbers and back, and a loop. Here is the model without them.
#
# **Guess first:** it is given "The capital of France is", as numbers, and called once. What comes back?

# %% tags=["hide-output"]
ids = llm.tokenizer.encode("The capital of France is")
returned = llm.logits(ids)
print("given", ids)
print("returned", returned.shape, returned.dtype)
print(returned.round(1))

# %% [markdown]
# No word, and no sentence: for each of the five numbers that it was given, 49,152 others. That is all a language model
# does. The rest of this page makes an answer of it.
#
# ## A text is a list of names
#
# What the model is given are pieces of text, called [tokens](glossary.md#token): a word, a part of one, a sign. Each
# has a number, its [token id](glossary.md#token-id), which is a name and not a quantity. All tokens that a model knows
# are its [vocabulary](glossary.md#vocabulary), and cutting a text into them is the work of a
# [tokenizer](glossary.md#tokenizer) (02).

# %%
for text in ("The capital of France is", SENTENCE, "Ottoline"):
    in_ids = llm.tokenizer.encode(text)
    print("|".join(llm.tokenizer.decode([i]) for i in in_ids), in_ids)
print("the vocabulary has", llm.config.vocab_size, "tokens")

# %% [markdown]
# A space belongs to the word after it, and a rare name comes in pieces.
#
# ## 49,152 numbers say what comes next
#
# A model with a small vocabulary can be written down. Ours knows three words, the toy of this book, and a full stop:
# *dog*, *bone*, *it* and *.*, with the ids 0, 1, 2 and 3. It looks at the last token only, and has a number for each
# token that might follow:
#
# | after | dog | bone | it | . |
# |---|---|---|---|---|
# | dog | 0 | 2 | 1 | 0 |
# | bone | 0 | 0 | 2 | 1 |
# | it | 0 | 0 | 0 | 3 |
# | . | 2 | 1 | 0 | 0 |
#
# These numbers are the [logits](glossary.md#logits): the larger, the more probable the token is. How probable? Take the
# exponential of each, so that all are positive, and divide by their sum, so that they are shares. After "dog":
#
# | | dog | bone | it | . | |
# |---|---|---|---|---|---|
# | logit $z$ | 0 | 2 | 1 | 0 | |
# | e to the logit | 1 | 7.39 | 2.72 | 1 | sum 12.11 |
# | probability $p$ | 0.08 | 0.61 | 0.22 | 0.08 | e to the logit / 12.11 |
#
# That is the [softmax](glossary.md#softmax). Of two tokens, the one whose logit is larger by 1 is $e$ = 2.72 times as
# probable, whatever the others are. In symbols, for a vocabulary of $V$ tokens:
#
# $$ p_i = \frac{e^{z_i}}{\sum_{j=1}^{V} e^{z_j}} . $$


# %%
TOY = np.array([[0, 2, 1, 0], [0, 0, 2, 1], [0, 0, 0, 3], [2, 1, 0, 0]], np.float32)  # row: what follows this token
NAMES = [*WORDS, "."]


def shares(logits):
    """The softmax of a list of logits, read aloud."""
    exponentials = [math.exp(z) for z in logits]
    return [e / sum(exponentials) for e in exponentials]


print(dict(zip(NAMES, np.round(shares(TOY[0].tolist()), 2).tolist())))

# %% [markdown]
# Now the real model: the last of its five rows is about what comes after "is". **Guess first:** how much of the
# probability has " Paris", among 49,152 tokens?

# %% tags=["hide-output"]
z = returned[-1].astype(np.float64)
p = np.exp(z) / np.exp(z).sum()
best = np.argsort(-p)[:10]
names = [repr(llm.tokenizer.decode([int(i)])) for i in best]
print(
    f"{names[0]} has {p[best[0]]:.2f}, {names[1]} {p[best[1]]:.2f}, and all but the first ten {1 - p[best].sum():.2f}"
)
print(f"logits from {z.min():.1f} to {z.max():.1f}")
expected = torch.softmax(torch.tensor(z), -1) if torch is not None else np.array(shares(z.tolist()))
show_error("softmax", p, expected, 1e-12)

# %% tags=["hide-input", "hide-output"]
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharex=True)
for axis, names_, values in zip(axes, (NAMES, names), (shares(TOY[0].tolist()), p[best])):
    order = np.argsort(values)
    axis.barh([names_[i] for i in order], np.array(values)[order], color=COLOURS[0])
    axis.set_axisbelow(True)
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="probability of coming next", xlim=(0, 1))
claim(axes[0], "After “dog”, the toy expects “bone”", holds=np.argmax(TOY[0]) == WORDS.index("bone"))
claim(axes[1], "After “The capital of France is”, one token stands out", holds=p[best[0]] > 5 * p[best[1]])
axes[1].title.set_fontsize(10)
show(
    figure,
    "Two charts of bars with the same axis, probability from 0 to 1. Left, the toy after dog: bone "
    f"{shares(TOY[0])[1]:.2f}, it {shares(TOY[0])[2]:.2f}, the others less. Right, the ten most probable tokens of "
    f"the real model: {names[0]} with {p[best[0]]:.2f}, far before {names[1]} with {p[best[1]]:.2f}.",
)

# %% [markdown]
# The model is hardly in doubt, and still gives " the" and " London" a share.
#
# ## Writing is calling the model again and again
#
# The model is asked for one token. It is put behind the text, and the model is asked again. The text that it begins
# with is the [prompt](glossary.md#prompt), and all that it can see at a time is its [context](glossary.md#context).
# Which token is taken? The most probable one, for a start: that is called [greedy](glossary.md#greedy), and
# `temperature=0` asks for it. The toy, asked to go on from "dog":
#
# - after *dog*, the largest number is 2, for *bone*;
# - after *bone*, it is 2, for *it*;
# - after *it*, it is 3, for the full stop. Here the toy ends, because somebody has said that this token means the end.
#
# Without an end, the loop would go on for ever: after the full stop comes *dog* again. Real models have such a token,
# too; it stands for no text.
#
# ### Now you · `continue_greedily` · 10 minutes
#
# A table of logits like that of the toy, a prompt, at most `max_tokens` new ones, and the id that means the end.

# %%
continue_greedily = now_you("continue_greedily")


# %% tags=["solution"]
def book_continue_greedily(table, prompt, max_tokens, end_id):
    last, ids = prompt[-1], []
    for _ in range(max_tokens):
        last = int(np.argmax(table[last]))
        if last == end_id:
            break
        ids.append(last)
    return ids


# %%
print("the toy:", "dog", *(NAMES[i] for i in continue_greedily(TOY, [0], 10, 3)))
print("without an end:", "dog", *(NAMES[i] for i in continue_greedily(TOY, [0], 10, -1)))

# %% [markdown]
# The loop around the real model is the same, with a model in place of the table. It looks at the whole text each time,
# and computes it anew; chapter 10 saves most of that work.

# %%
written = list(ids)
for _ in range(8):
    z = llm.logits(written)[-1]  # (V,)
    written.append(int(z.argmax()))
print(repr(llm.tokenizer.decode(written)))
assert written[len(ids) :] == llm.generate("The capital of France is", max_tokens=8, temperature=0).ids

# %% [markdown]
# The last line says that the package's own loop writes the same.
#
# **Guess first:** the most probable token, every time. What does that make of a longer text?

# %% tags=["hide-output"]
long = "The dog liked the bone. The dog"
long += llm.generate(long, max_tokens=60, temperature=0).text
print(textwrap.fill(long, 100))
assert long.count("was happy to eat the bone") > 3

# %% [markdown]
# It runs in a circle, like the toy without an end. What stands in the text already is the surest thing to come next,
# and once a sentence has been said twice, nothing is surer than the third time. Drawing by chance gets out of the
# circle (11).
#
# ## Thirty layers, all alike
#
# What is between the ids and the logits? Not equations yet; the chapters bring them one by one. But the parts have
# names, and this is the way of a token through them. (A box is a file of the package, a *block* a layer, T the number
# of tokens; `linear.py` multiplies by a matrix such as wq.)

# %% tags=["hide-input"]
alt = (
    "The way of a token through a Llama: from the text to ids, from ids to rows of the embedding table, through thirty "
    "layers that each add to the residual stream, attention first and the feed-forward part second, each after a norm; "
    "then a last norm, the output head, 49,152 logits, and the sampler that takes one token."
)
picture = {"image/svg+xml": Path("llama.svg").read_text(encoding="utf-8"), "text/plain": alt}
display(picture, raw=True, metadata={"image/svg+xml": {"alt": alt}})

# %% [markdown]
# - Each token is turned into a list of numbers, 576 of them in this model, its [state](glossary.md#state) (03).
# - The states go through the layers, side by side. A layer computes something and *adds* it to the state, so one can
#   think of a stream that runs through the whole model, into which all layers pour: the
#   [residual stream](glossary.md#residual-stream).
# - A layer has two parts. In *attention* (06) a token takes something from the tokens before it, with a sense of how
#   far away they are (05). In the *feed-forward* part (08) each token is worked on by itself. In front of each stands a
#   *norm*, which keeps the numbers in bounds (04).
# - At the end the state is compared with every token of the vocabulary, and these are the logits (03).
#
# A model in this package is a table of functions, one for each kind of part: here `FAST`. So one can listen: the next
# cell puts a function around each that notes the shapes of what goes in and what comes out, and runs "The capital of
# France is". (Attention works with *queries*, *keys* and *values*, which chapter 06 explains. Here only their shapes
# count.)

# %%
heard = []


def listening(name):
    function = getattr(FAST, name)

    def wrapped(*arrays):
        result = function(*arrays)
        heard.append((name.removesuffix("_forward"), arrays[0].shape, result[0].shape))
        return result

    return wrapped


parts = [f"{part}_forward" for part in ("embedding", "rmsnorm", "linear", "rope", "attention", "swiglu")]
forward(llm.params, llm.config, np.array([ids]), FAST._replace(**{part: listening(part) for part in parts}))
what = """ids become states (03); norm (04); keys; values; queries; queries turned by position (05); keys turned;
tokens look at tokens (06); what all heads found, mixed; norm; gate (08); up; the gate opens and closes;
down: back to the width of the stream""".replace("\n", " ").split("; ")
print(f"{len(heard)} calls in all; the embedding, the first of {llm.config.n_layers} layers, and the last two calls:")
last = [("norm", *heard[-2]), ("logits (03)", *heard[-1])]
table(("part", "computed by", "goes in", "comes out"), [(w, *h) for w, h in zip(what, heard)] + last)

# %% [markdown]
# Every shape has a 1 and a 5 in it: one text, five tokens. Several texts at once are a [batch](glossary.md#batch). What
# comes out of attention and of the feed-forward part is 576 wide again, because it is added to the stream.
#
# ## Ten numbers and a yes or no fix a Llama
#
# Which shapes these are is decided before any training. It stands in a small file beside the weights, `config.json`.
# That of our model, without what does not matter here:

# %%
described = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-05,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
}

# %% [markdown]
# This book says it in the words of the field, with one letter each:
#
# | in the file | here | | SmolLM2-135M | LLaMA 2 7B | 70B |
# |---|---|---|---|---|---|
# | `hidden_size` | `dim` | $D$, width of the stream | 576 | 4096 | 8192 |
# | `num_hidden_layers` | `n_layers` | $L$ | 30 | 32 | 80 |
# | `num_attention_heads` | `n_heads` | $H$, query heads | 9 | 32 | 64 |
# | `num_key_value_heads` | `n_kv_heads` | $K$, heads of keys and values | 3 | 32 | 8 |
# | `head_dim` | `head_dim` | $h$, width of a head | 64 | 128 | 128 |
# | `intermediate_size` | `hidden_dim` | $F$, width inside the feed-forward part | 1536 | 11,008 | 28,672 |
# | `vocab_size` | `vocab_size` | $V$ | 49,152 | 32,000 | 32,000 |
#
# Three more numbers are the longest text, and two that chapters 04 and 05 explain. The yes or no is whether the
# embeddings are *tied*: the table that turns ids into states serves again to turn states into logits (03). If it is
# not, as in LLaMA 2, there is a second table of the same shape.
#
# A *head* is one of several lookouts of attention, each with some numbers of its own (06). Where is `head_dim` in the
# file? It is missing, as keys may be, and then it has a meaning: 576 / 9 = 64. Where it is given, the heads together,
# $H h$, may be wider or narrower than $D$. Much of reading a file is knowing what it means when it says nothing.
#
# ### Now you · `read_config` · 15 minutes
#
# From such a dict to this book's names. What a missing key means is in the contract. (Not on the core path: go on with
# the book's if you like.)

# %%
read_config = now_you("read_config")


# %% tags=["solution"]
def book_read_config(described):
    n_heads = described["num_attention_heads"]
    rope = {**described, **described.get("rope_parameters", {})}
    return {
        "dim": described["hidden_size"],
        "n_layers": described["num_hidden_layers"],
        "n_heads": n_heads,
        "n_kv_heads": described.get("num_key_value_heads", n_heads),
        "head_dim": described.get("head_dim", described["hidden_size"] // n_heads),
        "hidden_dim": described["intermediate_size"],
        "vocab_size": described["vocab_size"],
        "max_seq_len": described["max_position_embeddings"],
        "norm_eps": described.get("rms_norm_eps", 1e-6),
        "rope_theta": float(rope.get("rope_theta", 10000.0)),
        "tied": described.get("tie_word_embeddings", False),
    }


# %%
config = read_config(described)
for name, value in config.items():
    print(f"{name:<12} {value}")
assert all(getattr(llm.config, name) == value for name, value in config.items())

# %% [markdown]
# They agree with those that the package has read from the file of weights.
#
# ## Shapes can be predicted without running anything
#
# With the letters, the table above reads itself: a state is $D$ wide, and 5 tokens of one text are (1, 5, $D$). Queries
# are cut into $H$ heads of $h$ numbers, and the heads come before the tokens: (1, $H$, 5, $h$). Inside of attention
# every token is compared with every other: a number for each pair, and for each head, called a score. **Guess first:**
# a text becomes ten times as long. Which arrays become ten times as large, and which a hundred times?

# %% tags=["hide-output"]
c = llm.config
for n_tokens in (100, 1000):
    stream, pairs = n_tokens * c.dim, c.n_heads * n_tokens * n_tokens
    print(f"{n_tokens:>5} tokens: state {stream:>9,} numbers, queries {stream:>9,}, pairs in one layer {pairs:>11,}")

# %% [markdown]
# When a model writes, the tokens that it has already seen need not be computed again, if what attention wants to know
# of them has been kept, in a *cache*: their *keys* and *values*. So a call may bring, say, 2 new tokens after 7 kept
# ones. Then queries and states exist for the 2, and there are keys for all 9.
#
# ### Now you · `activation_shapes` · 20 minutes
#
# The shapes of seven arrays on the way, for a batch of texts, new tokens and kept ones. (Not on the core path.)

# %%
activation_shapes = now_you("activation_shapes")


# %% tags=["solution"]
def book_activation_shapes(config, batch, n_tokens, n_past):
    c, n_keys = config, n_past + n_tokens
    return {
        "residual": (batch, n_tokens, c["dim"]),
        "query": (batch, c["n_heads"], n_tokens, c["head_dim"]),
        "key": (batch, c["n_kv_heads"], n_keys, c["head_dim"]),
        "scores": (batch, c["n_heads"], n_tokens, n_keys),
        "joined": (batch, n_tokens, c["n_heads"] * c["head_dim"]),
        "gate": (batch, n_tokens, c["hidden_dim"]),
        "logits": (batch, n_tokens, c["vocab_size"]),
    }


# %%
predicted = activation_shapes(config, 1, len(ids), 0)
for name, call, place in (("residual", 0, 2), ("query", 5, 2), ("key", 6, 2), ("gate", 10, 2), ("logits", -1, 2)):
    print(f"{name:<9} predicted {predicted[name]!s:<16} heard {heard[call][place]}")
    assert predicted[name] == heard[call][place]

# %% [markdown]
# ## Where 135 million numbers sit
#
# Everything that training may change is a number in some array: the [parameters](glossary.md#parameters) of the model,
# its weights. They can be counted by walking through all arrays:

# %%
from minillama.trees import named_leaves

total = 0
for name, array in named_leaves(llm.params):
    n = 1
    for size in array.shape:
        n *= size
    total += n
    if name.startswith("layers.0.") or "layers" not in name:
        print(f"{name:<28} {array.shape!s:<14} {n:>10,}")
print(f"{'all layers and the rest':<43} {total:>10,}")

# %% [markdown]
# But 7B can be counted without having it. A matrix from a width of $n$ to a width of $m$ has $n m$ numbers. Look at the
# feed-forward part: $W_{gate}$ and $W_{up}$ lead from $D$ to $F$, and $W_{down}$ back, so it has $3 D F$ in each layer:
# with $D = 576$ and $F = 1536$, 2,654,208. The other lines can be read in the same way.
#
# ### Now you · `count_parameters` · 20 minutes
#
# From a config to one number. 7B and 70B have to come out exactly.

# %%
count_parameters = now_you("count_parameters")


# %% tags=["solution"]
def book_count_parameters(config):
    c = config
    attention = 2 * c["dim"] * c["head_dim"] * (c["n_heads"] + c["n_kv_heads"])  # wq, wo; wk, wv
    feed_forward = 3 * c["dim"] * c["hidden_dim"]
    layers = c["n_layers"] * (attention + feed_forward + 2 * c["dim"])
    tables = (1 if c["tied"] else 2) * c["vocab_size"] * c["dim"]
    return layers + tables + c["dim"]


# %% [markdown]
# The sizes of the paper, with one small model beside them. (34B was never released; its numbers here are those of
# CodeLlama-34B, of the same family.) **Guess first:** which part of a Llama has most of its numbers: attention, the
# feed-forward parts, or the tables of the vocabulary?

# %% tags=["hide-output"]
from dataclasses import asdict

from minillama.config import NAMED_CONFIGS

sizes = {name: asdict(NAMED_CONFIGS[name]) for name in ("smollm2-135m", "7B", "13B", "34B", "70B")}
counted = {name: count_parameters(c) for name, c in sizes.items()}
assert counted["smollm2-135m"] == total
assert (counted["7B"], counted["70B"]) == (6_738_415_616, 68_976_648_192)
rows = []
for name, c in sizes.items():
    in_feed_forward = c["n_layers"] * 3 * c["dim"] * c["hidden_dim"] / counted[name]
    rows.append((name, f"{counted[name]:,}", f"{in_feed_forward:.0%}", f"{2 * counted[name] / 1e9:.1f}"))
table(("model", "parameters", "feed-forward", "GB at 16 bits"), rows)

# %% tags=["hide-input", "hide-output"]
fields = ("dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size", "tied")
D, L, H, K, h, F, V, tied = np.array([[c[field] for field in fields] for c in sizes.values()], np.int64).T
kinds = {
    "feed-forward": L * 3 * D * F,
    "attention": L * 2 * D * h * (H + K),
    "tables": (2 - tied) * V * D,
    "norms": (2 * L + 1) * D,
}
assert np.array_equal(sum(kinds.values()), list(counted.values()))
figure, axis = plt.subplots(figsize=(8, 3.2))
left = np.zeros(len(sizes))
for (name, n), colour in zip(kinds.items(), COLOURS):
    percent = 100 * n / sum(kinds.values())
    axis.barh(list(sizes), percent, left=left, color=colour, label=name)
    for y, (begin, width) in enumerate(zip(left, percent)):
        if width > 5:
            axis.text(begin + width / 2, y, f"{width:.0f}", ha="center", va="center", color="white")
    left += percent
axis.invert_yaxis()
axis.set(xlabel="share of all parameters (%)", xlim=(0, 100))
claim(
    axis, "The feed-forward parts hold most of a Llama", holds=(2 * kinds["feed-forward"] > sum(kinds.values())).all()
)
axis.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2))
axis.grid(visible=False)
show(
    figure,
    "Five bars of 100 %, one for each model from SmolLM2-135M to 70B, divided into feed-forward, attention, tables "
    f"and norms. The feed-forward share grows from {100 * kinds['feed-forward'][0] / counted['smollm2-135m']:.0f} % "
    f"to {100 * kinds['feed-forward'][-1] / counted['70B']:.0f} %; the tables shrink from a fifth to nearly nothing; "
    "the norms cannot be seen.",
)

# %% [markdown]
# ## Of every token something is kept
#
# The weights are not all that memory has to hold. Of every token that the model has seen it keeps a key and a value, in
# every layer and for every head of keys and values, $h$ numbers each. A small model with 2 layers and one such head of
# 4 numbers keeps 2 · 2 · 1 · 4 = 16 numbers of a token: 32 bytes at 16 bits.
#
# **Guess first:** 7B has 32 layers and 32 such heads of 128 numbers. 70B has 80 layers and 8 such heads of 128. Which
# of them needs more for a text of 4096 tokens?

# %% tags=["hide-output"]
rows = []
for name, c in sizes.items():
    per_token = 2 * c["n_layers"] * c["n_kv_heads"] * c["head_dim"] * 2  # key and value; two bytes a number
    assert per_token == NAMED_CONFIGS[name].kv_cache_bytes()
    weights = counted[name] * 4.5 / 8
    rows.append((name, f"{weights / 2**30:.2f}", f"{per_token:,}", f"{4096 * per_token / 2**30:.2f}"))
table(("model", "weights at 4.5 bits (GiB)", "bytes for each token", "4096 tokens (GiB)"), rows)

# %% [markdown]
# 70B has ten times the weights and needs less for the text, because few heads keep keys. That is a decision of the
# paper, and chapter 07 is about it. (4.5 bits a weight are 4 bits and what has to be stored beside them, chapter 12.)
#
# ### Now you · `context_that_fits` · 15 minutes
#
# How many tokens fit into what the weights leave? Not more than the model was made for, and not fewer than none. (Not
# on the core path.)

# %%
context_that_fits = now_you("context_that_fits")


# %% tags=["solution"]
def book_context_that_fits(config, n_parameters, bits_per_weight, memory_bytes):
    per_token = 2 * config["n_layers"] * config["n_kv_heads"] * config["head_dim"] * 2
    left = memory_bytes - n_parameters * bits_per_weight / 8
    return int(min(max(left // per_token, 0), config["max_seq_len"]))


# %%
for gib in (4, 5, 6, 8):
    print(f"7B at 4.5 bits in {gib} GiB: {context_that_fits(sizes['7B'], counted['7B'], 4.5, gib * 2**30):,} tokens")

# %% [markdown]
# ## Two tables of functions, one model
#
# Each part is in the package twice: in NumPy, to be read (`REFERENCE`), and compiled by Numba, to be fast (`FAST`). How
# one gets from the first to the second is chapter 01. Both have to give the same logits:

# %%
text = np.array([ids])
reference, fast = (forward(llm.params, llm.config, text, ops)[0] for ops in (REFERENCE, FAST))
show_error("logits", fast, reference, 2e-3, against="REFERENCE")

# %% [markdown]
# ## What breaks
#
# A function of the table can be replaced by a wrong one, and the model runs on it. Three small mistakes: the norm
# forgets its learned numbers, nothing is turned by its position, the gate of the feed-forward part is left out. **Guess
# first:** which of them raises an error?


# %% tags=["hide-output"]
def norm_without_weight(x, weight, eps):
    return FAST.rmsnorm_forward(x, np.ones_like(weight), eps)


def rope_without_positions(x, cos, sin, positions):
    return x, None


def swiglu_without_gate(gate, up):
    return up, None


broken = {
    "nothing is broken": FAST,
    "norm without weight": FAST._replace(rmsnorm_forward=norm_without_weight),
    "no positions": FAST._replace(rope_forward=rope_without_positions),
    "no gate": FAST._replace(swiglu_forward=swiglu_without_gate),
}
texts = {}
for name, ops in broken.items():
    written = list(ids)
    for _ in range(6):
        written.append(int(forward(llm.params, llm.config, np.array([written]), ops)[0][0, -1].argmax()))
    texts[name] = llm.tokenizer.decode(written[len(ids) :])
    print(f"{name:<20} {texts[name]!r}")
assert len(set(texts.values())) == len(texts)

# %% [markdown]
# None. All shapes are right, and nonsense has the same shapes as sense; one of the three even says Paris first. So
# every part of this book is compared number by number with another program, PyTorch, and the largest error is printed
# and limited.
#
# The package counts and reads in `minillama.params` and `minillama.checkpoints`, and agrees with what was derived:

# %%
from minillama import params
from minillama.checkpoints.huggingface.reading import parse_config

assert parse_config({"model_type": "llama", **described}, Path("config.json")) == llm.config
assert all(params.count_parameters(NAMED_CONFIGS[name]) == n for name, n in counted.items())
print("the chapter and the package agree")

# %% [markdown]
# ## The map
#
# ![The map of the book: a box for each chapter with its hours; arrows lead from a chapter to those that build on
# it](book.svg)
#
# [The book's page](README.md) has the map with all times. A folded cell of a chapter is code that only draws, the
# book's version of an exercise, or an output that you are asked to guess: click it.
#
# ## What you now know
#
# - A model is given token ids and returns logits, one for each token of the vocabulary; softmax makes probabilities.
# - Writing is a loop: take a token, put it behind the text, call again, until the token that means the end.
# - A state runs through equal layers, each of which adds to it. Only attention lets a token see others.
# - A handful of numbers in a config fixes all shapes, the number of parameters and the memory of a text.
# - Wrong functions with right shapes run without an error. Only numbers tell.
#
# ## Three questions
#
# 1. Two tokens have the logits 5 and 3. How many times as probable is the first? Somebody adds 10 to all logits: what
#    changes?
#
# <details>
# <summary>Answer</summary>
#
# e⁵ / e³ = e² = 7.4 times. Nothing changes: every exponential becomes e¹⁰ times as large, and so does their sum.
#
# </details>
#
# 2. In the toy, the logit of the full stop after "it" is lowered from 3 to −1, and the loop may write 10 tokens. What
#    does it write after "dog"? (Of equal logits the lower id wins.)
#
# <details>
# <summary>Answer</summary>
#
# bone, it, and then dog, since the other three are all 0: bone it dog bone it dog bone it dog bone. The end is never
# the most probable token, so only the limit stops it.
#
# </details>
#
# 3. A Llama gets twice as many layers, and everything else stays. What happens to the number of parameters, to the
#    memory for each token, and to the shape of the logits? And if the vocabulary becomes twice as large instead?
#
# <details>
# <summary>Answer</summary>
#
# All that is in layers doubles: nearly all parameters of 7B, but not its tables (4 %); the memory of a token doubles
# exactly; the logits stay. With twice the vocabulary the tables and the logits double, and the memory of a token stays,
# though texts are cut into fewer tokens.
#
# </details>
#
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `continue_greedily` | The loop that answers | 1 | 10 | core |
# | `read_config` | Read a config.json | 1 | 15 |  |
# | `count_parameters` | How many parameters? | 2 | 20 | core |
# | `activation_shapes` | Predict the shapes | 2 | 20 |  |
# | `context_that_fits` | How long a text fits in memory? | 2 | 15 |  |
#
# <!-- end of the exercises -->
#
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# They lead to two things. After chapter 12 your own functions chat with SmolLM2; after chapter 14 a storyteller is
# trained on a text of yours, with your own backward pass. `minillama learn verify` proves both, as soon as the
# functions pass that they need.
#
# ## Next
#
# Everything that follows is NumPy, and where NumPy is too slow, Numba: [01](01_numpy_to_numba.ipynb). Who wants to know
# first how a text becomes ids goes on with [02](02_tokenizer.ipynb).
