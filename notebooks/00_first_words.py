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
# **Goal.** A real model answers on this machine within a minute, and every array on the way from the question to the
# answer has a name and a shape.
#
# **Prerequisites.** Python, NumPy arrays, and what a matrix times a vector is. **Time.** 60 minutes with
# the exercises.
#
# **Paper.** LLaMA 2 (arXiv:2307.09288), section 2.2 and table 1: the architecture and its sizes.
#
# **What cannot be reproduced here.** The released weights of 7B to 70B need Meta's licence and 13 to 138 GB at 16 bits.
# Their shapes need neither, and the chapter computes with those. SmolLM2-135M-Instruct, which has the same
# architecture, does the talking.

# %% [markdown]
# ## Install
#
# In a terminal, in the folder of the project:
#
#     python -m venv .venv
#     .venv/bin/pip install -r requirements.txt
#     .venv/bin/minillama chat --temperature 0 "What is the capital of France?"
#
# The last line fetches the weights once (93 MB) and answers. `minillama doctor` looks the machine over if something is
# wrong. PyTorch is only there to check against: where it is missing, the book compares with float64 instead.

# %%
import matplotlib.pyplot as plt
import numpy as np

from minillama.learn.book import COLOURS, load, show_error, style, table, torch

style()

# %% [markdown]
# ## A real model answers
#
# `load` is all it takes. At temperature 0 the most probable token is taken every time, so the answer is the same on
# every machine.

# %%
llm = load()
answer = llm.chat([{"role": "user", "content": "What is the capital of France?"}], temperature=0)
print(answer.text)
assert "Paris" in answer.text

# %% [markdown]
# The model itself knows no text. A **tokenizer** cuts the text into pieces and gives each a number, the **token id**.

# %%
prompt = "The capital of France is"
ids = llm.tokenizer.encode(prompt)
pieces = [llm.tokenizer.decode([i]) for i in ids]
print(ids)
print(pieces)

# %% [markdown]
# ## The idea in a paragraph
#
# A language model is one function: token ids in, a probability for every possible next token out. To write a text, the
# model is called, one token is picked, it is appended to the others, and the model is called again. Everything else in
# this book is about what is inside that function, how it was trained, and how to make it fast.
#
# ## The mathematics
#
# For tokens $x_1 \dots x_t$ the model computes **logits** $z \in \mathbb{R}^V$, one number for each of the $V$ tokens
# of its vocabulary. The softmax makes probabilities of them:
#
# $$p(x_{t+1} = v \mid x_1 \dots x_t) = \frac{e^{z_v}}{\sum_{w=1}^{V} e^{z_w}}$$
#
# The logits come out of a column of $L$ equal layers. With $h^{(l)} \in \mathbb{R}^D$ the state of a token
# after layer $l$ (the **residual stream**, $D$ numbers wide), $E$ the embedding table and $W_{out}$ the output head:
#
# $$h^{(0)} = E_{x_t}, \qquad
#   a = h^{(l)} + \mathrm{Attention}(\mathrm{RMSNorm}(h^{(l)})), \qquad
#   h^{(l+1)} = a + \mathrm{FFN}(\mathrm{RMSNorm}(a)), \qquad
#   z = W_{out}\,\mathrm{RMSNorm}(h^{(L)})$$
#
# Attention is the only place where tokens look at one another. The feed-forward network, FFN, works on each
# by itself.

# %% [markdown]
# The logits of the last token of the prompt, as probabilities:

# %%
z = llm.logits(ids)[-1]
p = np.exp(z - z.max())
p /= p.sum()
best = np.argsort(-p)[:10]
names = [repr(llm.tokenizer.decode([int(i)])) for i in best]

fig, ax = plt.subplots(figsize=(8, 3.2))
ax.barh(names[::-1], 100 * p[best][::-1], color=COLOURS[0])
ax.set(xlabel="probability of being the next token (%)", ylabel="token")
ax.set_title(f"After “{prompt}”: one token stands out among {len(z):,}")
ax.grid(axis="y", visible=False)
plt.show()

# %% [markdown]
# ## The loop
#
# The loop that writes, in plain Python. It calls the whole model for every token; chapter 10 shows how a cache
# avoids most of that work.


# %%
def continue_text(ids, n_tokens):
    """Take the most probable token, again and again."""
    ids = list(ids)
    for _ in range(n_tokens):
        logits = llm.logits(ids)[-1]  # (V,)
        ids.append(int(np.argmax(logits)))
    return ids


written = continue_text(ids, 6)
print(llm.tokenizer.decode(written))
assert written[len(ids) :] == llm.generate(prompt, max_tokens=6, temperature=0).ids

# %% [markdown]
# The assertion says that the package's own generation, with its cache and its compiled kernels, writes the
# same tokens.

# %% [markdown]
# ## The map of the book
#
# Six parts, of which the first five (chapters 00 to 14) are written so far; alignment follows. Each chapter derives
# one component, checks it against PyTorch, runs it on real weights, and has exercises in which the reader writes it.

# %%
parts = {
    "tools": ["00 first words", "01 NumPy to Numba"],
    "text in, text out": ["02 tokenizer", "03 embeddings\nand logits"],
    "one layer": ["04 RMSNorm", "05 RoPE", "06 attention", "07 MHA, MQA,\nGQA", "08 SwiGLU"],
    "a model that runs": ["09 whole model", "10 KV cache", "11 sampling", "12 quantisation,\nspeed"],
    "pretraining": ["13 data", "14 training"],
    "alignment": ["15 fine-\ntuning", "16 reward\nmodels", "17 rejection\nsampling", "18 PPO", "19 Ghost\nAttention",
                  "20 safety,\nevaluation"],
}  # fmt: skip
fig, ax = plt.subplots(figsize=(9, 4.6))
for row, ((part, chapters), colour) in enumerate(zip(parts.items(), COLOURS)):
    ax.text(-0.12, -row, part, ha="right", va="center", color=colour, weight="bold")
    for column, name in enumerate(chapters):
        frame = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": colour, "lw": 1.5}
        ax.text(column + 0.42, -row, name, ha="center", va="center", fontsize=8, bbox=frame)
ax.set(xlim=(-1.35, 6), ylim=(-5.6, 0.6), title="From first words to alignment: read from top to bottom")
ax.axis("off")
plt.show()

# %% [markdown]
# ## The anatomy of a Llama
#
# Three small functions do everything that is not a matrix product. They are written here without an explanation;
# chapters 04, 05 and 06 derive them.


# %%
def rmsnorm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def rope(x, theta):
    """Turn neighbouring pairs of each head (H, T, h) by an angle that grows with the position."""
    n_tokens, h = x.shape[1:]
    angles = np.arange(n_tokens)[:, None] * theta ** (-np.arange(0, h, 2) / h)  # (T, h/2)
    c, s = np.cos(angles), np.sin(angles)
    y = np.empty_like(x)
    y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
    y[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
    return y


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# %% [markdown]
# A layer, with every array written into `seen` on the way. The weights of the file are packed in 4 bits;
# `to_float32` unpacks them.


# %%
def unpack(array):
    return array if isinstance(array, np.ndarray) else array.to_float32()


def heads(x, n_heads):
    return x.reshape(len(x), n_heads, -1).swapaxes(0, 1)  # (T, H * h) -> (H, T, h)


def layer_of(x, layer, config, seen):
    """One layer on the states (T, D) of T tokens."""
    w = {name: unpack(a) for name, a in layer._asdict().items()}
    n = seen["norm"] = rmsnorm(x, w["attention_norm"], config.norm_eps)
    q = seen["query"] = rope(heads(n @ w["wq"].T, config.n_heads), config.rope_theta)
    k = seen["key"] = rope(heads(n @ w["wk"].T, config.n_kv_heads), config.rope_theta)
    v = seen["value"] = heads(n @ w["wv"].T, config.n_kv_heads)
    k, v = (np.repeat(a, config.group_size, axis=0) for a in (k, v))  # one for every query head
    scores = seen["scores"] = q @ k.swapaxes(1, 2) / config.head_dim**0.5  # (H, T, T)
    future = np.triu(np.ones(scores.shape[1:], bool), 1)
    y = softmax(np.where(future, -np.inf, scores)) @ v
    joined = seen["joined"] = y.swapaxes(0, 1).reshape(len(x), -1)
    x = x + joined @ w["wo"].T
    m = rmsnorm(x, w["ffn_norm"], config.norm_eps)
    gate = seen["gate"] = m @ w["w_gate"].T
    up = seen["up"] = m @ w["w_up"].T
    hidden = seen["hidden"] = gate / (1 + np.exp(-gate)) * up
    return x + hidden @ w["w_down"].T


# %% [markdown]
# The whole model is an embedding, the layers, a norm and the output head. SmolLM2's head is **tied**: it is the
# embedding table, used a second time.


# %%
def llama(params, config, ids):
    seen = {"token ids": np.array(ids)}
    table_of_tokens = unpack(params.token_embedding)  # (V, D)
    x = seen["residual"] = table_of_tokens[ids]  # (T, D)
    for layer in params.layers:
        x = layer_of(x, layer, config, seen)
    x = rmsnorm(x, params.final_norm, config.norm_eps)
    head = table_of_tokens if params.output is None else unpack(params.output)
    seen["logits"] = x @ head.T  # (T, V)
    return seen["logits"], seen


logits, seen = llama(llm.params, llm.config, ids)
print("most probable:", repr(llm.tokenizer.decode([int(logits[-1].argmax())])))

# %% [markdown]
# ## The table of shapes
#
# T tokens, width D, H query heads and K key and value heads of h numbers each, hidden width F, vocabulary V. The
# last column was not typed: it was read from the arrays of the run above.

# %%
c = llm.config
rows = [
    ("token ids", "(T,)", "one number for each piece of text"),
    ("residual", "(T, D)", "the state of every token; each layer adds to it"),
    ("query", "(H, T, h)", "what a token looks for"),
    ("key", "(K, T, h)", "what a token offers; fewer heads than queries (GQA)"),
    ("value", "(K, T, h)", "what it hands over"),
    ("scores", "(H, T, T)", "every query against every key"),
    ("joined", "(T, H h)", "the heads' results side by side"),
    ("gate", "(T, F)", "the wide part of the feed-forward network"),
    ("logits", "(T, V)", "one number for each possible next token"),
]
table(["array", "shape", "what it is", "here"], [(*row, seen[row[0]].shape) for row in rows])

# %% [markdown]
# The same as a picture. Boxes are computations, and beside each stands the shape of what comes out of it, again
# read from the run.


# %%
def box(ax, x, y, text, shape, colour, width=1.75):
    ax.add_patch(plt.Rectangle((x - width / 2, y - 0.3), width, 0.6, fc="white", ec=colour, lw=1.6, zorder=2))
    ax.text(x, y + 0.1, text, ha="center", va="center", fontsize=8.5, zorder=3)
    ax.text(x, y - 0.15, shape, ha="center", va="center", fontsize=7.5, color=colour, family="monospace", zorder=3)


def arrow(ax, start, end, style="-|>"):
    ax.annotate("", end, start, arrowprops={"arrowstyle": style, "color": COLOURS[5], "lw": 1.1}, zorder=1)


def shape(name):
    return "(" + ", ".join(map(str, seen[name].shape)) + ("," if seen[name].ndim == 1 else "") + ")"


# %%
fig, ax = plt.subplots(figsize=(9, 6.6))
blue, orange, green, pink = COLOURS[:4]
column = [("token ids", "token ids", pink), ("embedding", "residual", pink),
          (f"layer × {c.n_layers}", "residual", blue), ("RMSNorm", "residual", pink),
          ("output head", "logits", pink)]  # fmt: skip
for y, (text, name, colour) in zip((0.4, 1.6, 3.9, 6.2, 7.4), column):
    box(ax, 0, y, text, shape(name), colour)
for low, high in ((0.7, 1.3), (1.9, 3.6), (4.2, 5.9), (6.5, 7.1)):
    arrow(ax, (0, low), (0, high))
for x, y, text, name in ((4.2, 0.4, "RMSNorm", "norm"), (2.3, 1.6, "wq, RoPE", "query"), (4.2, 1.6, "wk, RoPE", "key"),
                         (6.1, 1.6, "wv", "value"), (3.25, 2.7, "q · k / √h", "scores"),
                         (4.2, 3.8, "softmax · v", "joined"), (4.2, 4.9, "wo", "residual")):  # fmt: skip
    box(ax, x, y, text, shape(name), orange)
for a, b in (((4.2, 0.7), (2.3, 1.3)), ((4.2, 0.7), (4.2, 1.3)), ((4.2, 0.7), (6.1, 1.3)), ((2.3, 1.9), (3.1, 2.4)),
             ((4.2, 1.9), (3.4, 2.4)), ((3.25, 3), (4.0, 3.5)), ((6.1, 1.9), (4.4, 3.5)),
             ((4.2, 4.1), (4.2, 4.6))):  # fmt: skip
    arrow(ax, a, b)
for x, y, text, name in ((9, 0.4, "RMSNorm", "norm"), (8, 1.6, "w_gate", "gate"), (10, 1.6, "w_up", "up"),
                         (9, 2.7, "silu(gate) · up", "hidden"), (9, 3.8, "w_down", "residual")):  # fmt: skip
    box(ax, x, y, text, shape(name), green)
for a, b in (((9, 0.7), (8, 1.3)), ((9, 0.7), (10, 1.3)), ((8, 1.9), (8.8, 2.4)), ((10, 1.9), (9.2, 2.4)),
             ((9, 3), (9, 3.5))):  # fmt: skip
    arrow(ax, a, b)
ax.text(4.2, 5.65, "attention: added to the residual", ha="center", color=orange, weight="bold")
ax.text(9, 5.65, "feed-forward: added too", ha="center", color=green, weight="bold")
ax.add_patch(plt.Rectangle((1.25, -0.1), 9.75, 6.15, fill=False, ec=blue, ls="--"))
ax.text(1.35, 6.2, "inside of a layer", color=blue, weight="bold")
arrow(ax, (0.9, 3.9), (1.25, 3.9), "-")
sizes = {"D": c.dim, "H": c.n_heads, "K": c.n_kv_heads, "h": c.head_dim, "F": c.hidden_dim, "V": c.vocab_size}
ax.text(6.1, 7.3, "   ".join(f"{name} = {n}" for name, n in sizes.items()), ha="center", family="monospace", fontsize=9)
ax.set(xlim=(-1.05, 11.2), ylim=(-0.2, 7.9), title=f"The anatomy of {llm.name}, with the shapes of {len(ids)} tokens")
ax.axis("off")
plt.show()

# %% [markdown]
# ## Check against PyTorch
#
# The arrays in `seen` are those of the last layer. PyTorch has the softmax part of attention and the gate of the
# feed-forward network as functions of its own.

# %%
q, k, v, gate, up = (seen[name] for name in ("query", "key", "value", "gate", "up"))
if torch is not None:
    many = [torch.tensor(np.repeat(a, c.n_heads // len(a), axis=0)) for a in (q, k, v)]
    attended = torch.nn.functional.scaled_dot_product_attention(*many, is_causal=True)
    joined = attended.swapaxes(0, 1).reshape(len(ids), -1)
    hidden = torch.nn.functional.silu(torch.tensor(gate)) * torch.tensor(up)
else:
    wide = [np.repeat(a, c.n_heads // len(a), axis=0).astype(np.float64) for a in (q, k, v)]
    s = np.where(
        np.triu(np.ones((len(ids),) * 2, bool), 1), -np.inf, wide[0] @ wide[1].swapaxes(1, 2) / c.head_dim**0.5
    )
    joined = (softmax(s) @ wide[2]).swapaxes(0, 1).reshape(len(ids), -1)
    hidden = gate.astype(np.float64) / (1 + np.exp(-gate.astype(np.float64))) * up
show_error("attention", seen["joined"], joined, 1e-4)
show_error("feed-forward gate", seen["hidden"], hidden, 1e-3)

# %% [markdown]
# ## From NumPy to compiled kernels
#
# The package holds every layer twice: as plain NumPy (`REFERENCE`) and as a Numba kernel (`FAST`), with the same
# signatures. Chapter 01 shows how to get from the one to the other. Both give the same logits as the forty lines
# above.

# %%
from minillama import FAST
from minillama.model import forward
from minillama.ops import REFERENCE

for name, ops in (("REFERENCE", REFERENCE), ("FAST", FAST)):
    package, _ = forward(llm.params, llm.config, ids, ops)
    show_error(f"logits of {name}", package[0], logits, 2e-3, against="the forty lines above")

# %% [markdown]
# ## Count the parameters
#
# Every number that training may change is a parameter. Counted naively: walk through all arrays, and through all
# axes of each.

# %%
from minillama.trees import named_leaves

total = 0
for _, array in named_leaves(llm.params):
    n = 1
    for size in array.shape:
        n *= size
    total += n
print(f"{llm.name}: {total:,} parameters in {sum(1 for _ in named_leaves(llm.params))} arrays")

# %% [markdown]
# The shapes follow from the configuration, so the count does too, without any weights. With $e = 1$ where the head is
# tied and 2 where it is not:
#
# $$P = e\,V D + L\,\bigl(\underbrace{2 D h (H + K)}_{\text{attention}} + \underbrace{3 D F}_{\text{feed-forward}}
#     + \underbrace{2 D}_{\text{norms}}\bigr) + D$$
#
# As a function of arrays it counts many models at once: that is what NumPy is for.

# %%
from minillama.config import NAMED_CONFIGS

sizes = ["smollm2-135m", "7B", "13B", "34B", "70B"]
fields = ("dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size", "tied")
D, L, H, K, h, F, V, tied = np.array([[getattr(NAMED_CONFIGS[s], f) for f in fields] for s in sizes], np.int64).T
parts = {
    "tables": (2 - tied) * V * D,
    "attention": L * 2 * D * h * (H + K),
    "feed-forward": L * 3 * D * F,
    "norms": (2 * L + 1) * D,
}
counted = np.sum(list(parts.values()), axis=0)
assert counted[0] == total
assert counted[sizes.index("7B")] == 6_738_415_616
assert counted[sizes.index("70B")] == 68_976_648_192
table(["model", "parameters", "GB at 16 bits"], [(s, f"{n:,}", f"{2 * n / 1e9:.1f}") for s, n in zip(sizes, counted)])

# %% [markdown]
# Where do they sit? The 34B model was never released; its shape here is that of CodeLlama-34B, of the same family.

# %%
fig, ax = plt.subplots(figsize=(8, 3.2))
left = np.zeros(len(sizes))
for (name, n), colour in zip(parts.items(), COLOURS):
    share = 100 * n / counted
    ax.barh(sizes, share, left=left, color=colour, label=name)
    for y, (x, width) in enumerate(zip(left, share)):
        if width > 5:
            ax.text(x + width / 2, y, f"{width:.0f}", ha="center", va="center", color="white")
    left += share
ax.invert_yaxis()
ax.set(xlabel="share of all parameters (%)", ylabel="model", xlim=(0, 100))
ax.set_title("The feed-forward layers hold most of a Llama; norms next to nothing")
ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2))
ax.grid(visible=False)
plt.show()

# %% [markdown]
# ## Read a config
#
# On the Hugging Face Hub the shape of a model is a small file, `config.json`. Names differ and some keys may be
# missing: what a missing key means is most of the work.

# %%
described = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,  # missing: as many as query heads (MHA)
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-05,  # missing: 1e-6
    "rope_theta": 100000,  # missing: 10000; newer files keep it in rope_parameters
    "tie_word_embeddings": True,  # missing: False
}  # and head_dim, missing here: hidden_size // num_attention_heads
head_dim = described.get("head_dim", described["hidden_size"] // described["num_attention_heads"])
queries_per_key = described["num_attention_heads"] // described["num_key_value_heads"]
print(f"heads of {head_dim} numbers, {queries_per_key} query heads share a key head")
assert (head_dim, queries_per_key) == (c.head_dim, c.group_size)

# %% [markdown]
# ## What memory has to hold
#
# Beside the weights there are the keys and values of all tokens so far, the **KV cache**: for each token $2 L K h$
# numbers. A table for 4096 tokens at 16 bits, with the weights at 4.5 bits (4 bits and the scales of their blocks):

# %%
rows = []
for i, size in enumerate(sizes):
    per_token = 2 * L[i] * K[i] * h[i] * 2  # keys and values, two bytes each
    assert per_token == NAMED_CONFIGS[size].kv_cache_bytes()
    weights = counted[i] * 4.5 / 8
    rows.append((size, f"{weights / 2**30:.2f}", f"{per_token:,}", f"{4096 * per_token / 2**30:.2f}"))
table(["model", "weights (GiB)", "cache (bytes per token)", "cache, 4096 tokens (GiB)"], rows)

# %% [markdown]
# 70B, ten times as large as 7B, needs less cache than 7B: 8 heads instead of 64 keep keys and values. That is
# grouped-query attention (GQA), the subject of chapter 07.

# %% [markdown]
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
# In a terminal, `minillama learn start my-llama` makes a folder with a file of empty functions for every chapter, and
# `minillama learn watch` in that folder checks each function when it is saved. In a notebook:
# `from minillama.learn import check`, then `check("count_parameters", my_function)`.
#
# A check says more than "wrong". This function forgets that a tied head is not a second table:

# %%
from minillama.learn import check


def my_count(config):
    c = config
    attention = 2 * c["dim"] * c["head_dim"] * (c["n_heads"] + c["n_kv_heads"])
    layer = attention + 3 * c["dim"] * c["hidden_dim"] + 2 * c["dim"]
    return c["n_layers"] * layer + 2 * c["vocab_size"] * c["dim"] + c["dim"]


report = check("count_parameters", my_count)
assert not report.passed
print(report.text())

# %% [markdown]
# ## What breaks if it is wrong
#
# Any function of the table `FAST` can be replaced, and the real model runs on the replacement. Three small
# errors, one in each kind of layer: a norm whose learned weight is forgotten, a rotation that ignores positions, and
# a feed-forward layer without its gate.


# %%
def norm_without_weight(x, weight, eps):
    return rmsnorm(x, np.ones_like(weight), eps), None


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
texts = {name: load(ops=ops).generate(prompt, max_tokens=8, temperature=0).text for name, ops in broken.items()}
for name, text in texts.items():
    print(f"{name:20} {text!r}")
assert len(set(texts.values())) == len(texts)

# %% [markdown]
# All shapes were right each time, and no error was raised. Only numbers show such mistakes, which is why this book
# checks every component number by number.
#
# The last cell asserts that what the chapter has derived is what the package computes: logits, counts, configuration.

# %%
from pathlib import Path

from minillama.checkpoints.huggingface.reading import parse_config
from minillama.params import count_parameters

np.testing.assert_allclose(forward(llm.params, llm.config, ids)[0][0], logits, rtol=1e-3, atol=2e-3)
np.testing.assert_array_equal(counted, [count_parameters(NAMED_CONFIGS[size]) for size in sizes])
assert parse_config(described, Path("config.json")) == llm.config
print("the chapter and the package agree")
