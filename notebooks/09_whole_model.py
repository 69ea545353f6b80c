# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # 09 · The whole model on real weights
#
# **Goal.** Put the layers of the earlier chapters together in the right order, read weights from a file, and prove
# that the result is a Llama: against Hugging Face's `transformers`, and with real weights. Then look inside: how the
# residual stream grows, and what the model would say if it ended at each depth.
#
# **Before this:** chapters 03 to 08. **Time:** about 120 minutes with the exercises. **Paper:** LLaMA 2
# (arXiv:2307.09288), section 2.2 and table 1.
#
# **Not reproduced:** LLaMA 2 itself, with 7 to 70 billion parameters, does not fit into a chapter. The same code
# with other sizes is SmolLM2-135M, and that runs here.

# %%
import math
import struct
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minillama
from minillama.checkpoints.llama2c import write_llama2c
from minillama.layers.rope import half_to_interleaved, rope_table
from minillama.learn import check
from minillama.learn.book import COLOURS, load, show_error, style, table, torch
from minillama.model import forward
from minillama.ops import FAST, REFERENCE
from minillama.params import LayerParams, Params, build_params
from minillama.trees import map_tree

style()
rng = np.random.default_rng(9)

# %% [markdown]
# ## The idea
#
# A Llama keeps one vector for each token, the *residual stream*. It starts as the token's embedding. Every block adds
# to it twice: what attention has collected from other tokens, and what the feed-forward layer has made of it. Both
# read a normalised copy, and the stream itself continues untouched except for these additions. At the end one more norm
# and one matrix turn each vector into a score for every token of the vocabulary.
#
# ## The mathematics
#
# With token ids $t_1 \dots t_T$, $N$ blocks, and all weights those of block $i$:
#
# $$x^0 = E[t], \qquad h^i = x^i + W_o\,\mathrm{Attn}\bigl(R\,W_q n,\; R\,W_k n,\; W_v n\bigr), \quad
#   n = \mathrm{norm}_1(x^i),$$
# $$x^{i+1} = h^i + W_{down}\bigl(\mathrm{silu}(W_{gate}\, m) \odot W_{up}\, m\bigr), \quad m = \mathrm{norm}_2(h^i),$$
# $$\mathrm{logits} = W_{out}\,\mathrm{norm}_f(x^N).$$
#
# $E$ is the embedding table, $\mathrm{norm}$ is RMSNorm (chapter 04), $R$ rotates by the position (05),
# $\mathrm{Attn}$ is causal attention with grouped heads (06, 07), $\mathrm{silu}(\cdot)\odot\cdot$ the gate (08).
# Where a model is *tied*, $W_{out} = E$. The table has the shapes, with the sizes of SmolLM2-135M.

# %%
llm = load()
c = llm.config
table(
    ["array", "shape", "in SmolLM2-135M"],
    [
        ["token_embedding", "(V, D)", (c.vocab_size, c.dim)],
        ["x, h, n, m", "(B, T, D)", ("B", "T", c.dim)],
        ["wq", "(H h, D)", (c.n_heads * c.head_dim, c.dim)],
        ["wk, wv", "(K h, D)", (c.n_kv_heads * c.head_dim, c.dim)],
        ["q", "(B, H, T, h)", ("B", c.n_heads, "T", c.head_dim)],
        ["k, v", "(B, K, T, h)", ("B", c.n_kv_heads, "T", c.head_dim)],
        ["wo", "(D, H h)", (c.dim, c.n_heads * c.head_dim)],
        ["w_gate, w_up", "(F, D)", (c.hidden_dim, c.dim)],
        ["w_down", "(D, F)", (c.dim, c.hidden_dim)],
        ["logits", "(B, T, V)", ("B", "T", c.vocab_size)],
    ],
)

# %% [markdown]
# ## Plain Python: the order
#
# The layers are there already; what this chapter adds is their order. It shows best with the smallest sublayers there
# are, one matrix each, for one token. *Pre-norm*: the copy is normalised, the sum is not.


# %%
def norm_row(x, eps=1e-5):
    size = (sum(v * v for v in x) / len(x) + eps) ** 0.5
    return [v / size for v in x]


def residual_loops(x, matrices):
    states = [x]
    for matrix in matrices:
        n = norm_row(x)
        added = [sum(w * v for w, v in zip(row, n)) for row in matrix]
        x = [a + b for a, b in zip(x, added)]  # a new list: the old state stays as it was
        states.append(x)
    return states


matrices = rng.normal(size=(3, 4, 4)) / 2
for i, state in enumerate(residual_loops([1.0, 0.0, -1.0, 2.0], matrices.tolist())):
    print(f"state {i}:", [round(v, 3) for v in state])

# %% [markdown]
# ## NumPy: one block
#
# The layers come from a table, `ops`, so that the same code runs on the plain functions (`REFERENCE`) and on the
# compiled ones (`FAST`). Each returns its result and what its backward pass needs, of which only the first is wanted.


# %%
def heads(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1).swapaxes(1, 2)  # (B, n_heads, T, head_dim)


def attention_part(x, layer, config, cos, sin, ops):
    positions = np.broadcast_to(np.arange(x.shape[1]), x.shape[:2]).copy()
    n, _ = ops.rmsnorm_forward(x, layer.attention_norm, config.norm_eps)
    q, k, v = (ops.linear_forward(n, w)[0] for w in (layer.wq, layer.wk, layer.wv))
    q, _ = ops.rope_forward(heads(q, config.n_heads), cos, sin, positions)
    k, _ = ops.rope_forward(heads(k, config.n_kv_heads), cos, sin, positions)
    y, _ = ops.attention_forward(q, k, heads(v, config.n_kv_heads), positions)
    return ops.linear_forward(y.swapaxes(1, 2).reshape(*x.shape[:2], -1), layer.wo)[0]


def ffn_part(x, layer, config, ops):
    m, _ = ops.rmsnorm_forward(x, layer.ffn_norm, config.norm_eps)
    passed, _ = ops.swiglu_forward(*(ops.linear_forward(m, w)[0] for w in (layer.w_gate, layer.w_up)))
    return ops.linear_forward(passed, layer.w_down)[0]


def block(x, layer, config, cos, sin, ops):
    h = x + attention_part(x, layer, config, cos, sin, ops)
    return h + ffn_part(h, layer, config, ops)


# %% [markdown]
# ## The model
#
# Embedding, all blocks, norm, head. The function returns the stream after the embedding and after every block
# too: looking inside is what this chapter is for.


# %%
def hidden_states(params, config, ids, ops=FAST, block=block):
    x, _ = ops.embedding_forward(np.atleast_2d(ids), params.token_embedding)
    cos, sin = rope_table(config.head_dim, x.shape[1], config.rope_theta, x.dtype)
    states = [x]
    for layer in params.layers:
        x = block(x, layer, config, cos, sin, ops)
        states.append(x)
    return states


def head_logits(x, params, config, ops=FAST):
    head = params.token_embedding if params.output is None else params.output  # None: tied
    return ops.linear_forward(ops.rmsnorm_forward(x, params.final_norm, config.norm_eps)[0], head)[0]


# %% [markdown]
# A tiny model with random weights is enough to check every connection: grouped heads (4 and 2), sizes that differ
# from one another, a batch of 3, and an output head of its own.

# %%
tiny = minillama.ModelConfig(
    dim=32, n_layers=3, n_heads=4, n_kv_heads=2, hidden_dim=56, vocab_size=101, max_seq_len=64, norm_eps=1e-5
)


def draw(name, shape):
    if name.endswith("norm"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return (rng.normal(size=shape) / math.sqrt(shape[-1])).astype(np.float32)


params = build_params(tiny, draw)
ids = rng.integers(0, tiny.vocab_size, (3, 17))
plain = head_logits(hidden_states(params, tiny, ids, REFERENCE)[-1], params, tiny, REFERENCE)
compiled = head_logits(hidden_states(params, tiny, ids, FAST)[-1], params, tiny, FAST)
wide = map_tree(lambda a: a.astype(np.float64), params)
exact = head_logits(hidden_states(wide, tiny, ids, REFERENCE)[-1], wide, tiny, REFERENCE)
show_error("logits, NumPy", plain, exact, 1e-4, against="float64")
show_error("logits, Numba", compiled, exact, 1e-4, against="float64")

# %% [markdown]
# ## Against Hugging Face
#
# Float64 finds errors of rounding, not errors of understanding: a wrong order would be wrong in both. So the same
# weights go into `LlamaForCausalLM` of `transformers`, written by others. Its q and k have the rotate-half layout
# (chapter 05), so the rows of *their* wq and wk are brought to Meta's order for this model.

# %%
try:
    import transformers
except ImportError:
    transformers = None


def from_huggingface(tensors, config):
    """Params from a Hugging Face state dict as NumPy arrays."""

    def layer(i):
        names = ("input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
        names += ("post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
        found = LayerParams(*(tensors[f"model.layers.{i}.{name}.weight"] for name in names))
        wq, wk = (half_to_interleaved(w, config.head_dim) for w in (found.wq, found.wk))
        return found._replace(wq=wq, wk=wk)

    layers = tuple(layer(i) for i in range(config.n_layers))
    return Params(tensors["model.embed_tokens.weight"], layers, tensors["model.norm.weight"], tensors["lm_head.weight"])


if transformers is not None and torch is not None:
    torch.manual_seed(9)
    sizes = {"hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 3, "vocab_size": 101}
    sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, initializer_range=0.2)).eval()
    tensors = {name: value.numpy() for name, value in theirs.state_dict().items()}
    params = from_huggingface(tensors, tiny)
    with torch.no_grad():
        result = theirs(torch.tensor(ids), output_hidden_states=True)
    expected, their_states = result.logits.numpy(), [state.numpy() for state in result.hidden_states]
    states = hidden_states(params, tiny, ids)
    show_error("logits", head_logits(states[-1], params, tiny), expected, 1e-4, against="transformers")
else:
    print("transformers is not installed: the float64 comparison above has to do")

# %% [markdown]
# ## Layer by layer
#
# When logits do not agree, the question is where it began. Both models give their hidden states, and the first that
# is not equal points at the layer. The error is taken relative to the size of the state, because the stream grows;
# and NaN has to count as wrong, although every comparison with it is False.
#
# One trap of `transformers`: its last hidden state has gone through the final norm, and those before have not. The
# cell leaves it out, and a second check compares it after the norm.


# %%
def layer_errors(ours, theirs, tolerance):
    errors = np.array([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs)])
    bad = np.flatnonzero(~(errors <= tolerance))
    return errors, int(bad[0]) if len(bad) else -1


def without_rope(x, layer, config, cos, sin, ops):
    return block(x, layer, config, np.ones_like(cos), np.zeros_like(sin), ops)


def broken_at_1(x, layer, *rest):
    return (without_rope if layer is params.layers[1] else block)(x, layer, *rest)


good = hidden_states(params, tiny, ids)
if transformers is None or torch is None:
    their_states = good
for name, wiring in (("as it is", block), ("block 1 without RoPE", broken_at_1)):
    ours = hidden_states(params, tiny, ids, block=wiring)
    errors, first = layer_errors(ours[:-1], their_states[:-1], 1e-5)
    print(f"{name}: errors {[f'{e:.0e}' for e in errors]}, first wrong state: {first}")
if their_states is not good:
    normed, _ = FAST.rmsnorm_forward(good[-1], params.final_norm, tiny.norm_eps)
    show_error("last state, after the norm", normed, their_states[-1], 1e-4, against="transformers")

# %% [markdown]
# State 0 is the embedding, and state $i + 1$ what block $i$ leaves: a first wrong state 2 says block 1.
#
# ## A loader
#
# Weights come in files. The simplest format is version 0 of llama2.c: seven int32, then nothing but float32, all
# layers of a tensor together. The sign of `vocab_size` says whether the model is tied. Two RoPE tables stand in the
# middle and are skipped.


# %%
def load_llama2c_v0(data):
    D, F, N, H, K, V, S = struct.unpack_from("<7i", data)
    tied, V, h = V > 0, abs(V), D // H
    numbers, at = np.frombuffer(data, "<f4", offset=28), 0

    def take(*shape):
        nonlocal at
        at += math.prod(shape)
        return numbers[at - math.prod(shape) : at].reshape(shape)

    embedding, attention_norm = take(V, D), take(N, D)
    wq, wk, wv, wo = take(N, D, D), take(N, K * h, D), take(N, K * h, D), take(N, D, D)
    ffn_norm, w_gate, w_down, w_up = take(N, D), take(N, F, D), take(N, D, F), take(N, F, D)
    final_norm = take(D)
    take(2, S, h // 2)  # RoPE's tables
    output = None if tied else take(V, D)
    assert at == len(numbers), "bytes are left over"
    layers = zip(attention_norm, wq, wk, wv, wo, ffn_norm, w_gate, w_up, w_down)
    return Params(embedding, tuple(LayerParams(*arrays) for arrays in layers), final_norm, output)


# %% [markdown]
# The package writes the tiny model to a file; the loader reads its bytes, and the model on them gives the same logits.

# %%
with tempfile.TemporaryDirectory() as folder:
    write_llama2c(Path(folder) / "tiny.bin", tiny, params, version=0)
    data = (Path(folder) / "tiny.bin").read_bytes()
print(len(data), "bytes; the header:", struct.unpack_from("<7i", data))
loaded = load_llama2c_v0(data)
again = head_logits(hidden_states(loaded, tiny, ids)[-1], loaded, tiny)
show_error("logits after the file", again, head_logits(good[-1], params, tiny), 1e-6, against="the model before it")

# %% [markdown]
# ## Real weights
#
# SmolLM2-135M-Instruct, as its file holds it: packed in blocks of small integers, which `linear_forward` understands.
# The chapter's model gives the logits of the package's, and the right token.

# %%
prompt = "The capital of France is Paris, and the capital of Germany is"
tokens = np.array(llm.tokenizer.encode(prompt))
pieces = [llm.tokenizer.decode([int(t)]) for t in tokens]
states = hidden_states(llm.params, c, tokens)
logits = head_logits(states[-1], llm.params, c)[0]
expected, _ = forward(llm.params, c, tokens)
show_error("logits, SmolLM2", logits, expected[0], 1e-2, against="the package")
best = np.argsort(-logits[-1])[:5]
print(prompt, "...")
print([(llm.tokenizer.decode([int(i)]), round(float(logits[-1, i]), 1)) for i in best])

# %% [markdown]
# ## Picture 1: the stream grows
#
# The length of a vector is the root of the sum of its squares. The left side shows the length of the stream after each
# block, for every token; the right side, how much each half of a block adds, relative to the stream that it meets.

# %%
lengths = np.array([np.linalg.norm(state[0], axis=-1) for state in states])  # (state, position)
cos, sin = rope_table(c.head_dim, len(tokens), c.rope_theta, np.float32)
added = []
for x, layer in zip(states, llm.params.layers):
    attended = attention_part(x, layer, c, cos, sin, FAST)
    made = ffn_part(x + attended, layer, c, FAST)
    added.append([np.linalg.norm(a, axis=-1)[0] / np.linalg.norm(x, axis=-1)[0] for a in (attended, made)])
added = 100 * np.median(np.array(added)[:, :, 1:], axis=-1)  # (block, half)

figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
axes[0].plot(lengths[:, 1:], color=COLOURS[0], alpha=0.45, linewidth=1)
axes[0].plot(lengths[:, 0], color=COLOURS[1], linewidth=2)
axes[0].plot([], color=COLOURS[0], label="all other tokens")
axes[0].plot([], color=COLOURS[1], label=f"the first token, {pieces[0]!r}")
axes[0].set(title="The stream grows with depth", xlabel="blocks passed", ylabel="length of the vector", yscale="log")
axes[0].legend(fontsize=8.5)
axes[1].plot(added[:, 0], "o-", markersize=3, label="attention")
axes[1].plot(added[:, 1], "o-", markersize=3, label="feed-forward")
axes[1].set(title="What each half of a block adds", xlabel="block", ylabel="% of the stream (median of tokens)",
            yscale="log")  # fmt: skip
axes[1].legend(fontsize=8.5)
plt.show()
print("length, median of tokens 1 and later:", *(f"{x:.0f}" for x in np.median(lengths[::6, 1:], axis=1)))
print("length, first token:                 ", *(f"{x:.0f}" for x in lengths[::6, 0]))

# %% [markdown]
# The stream of an ordinary token becomes many times longer on its way, which is why every sublayer reads a normalised
# copy. In most blocks the feed-forward layer adds more than attention. The first token is a case of its own: it sees
# nothing but itself, and through most of the model its vector is about a hundred times longer than the others.
#
# ## Picture 2: the logit lens
#
# The head can be put on the stream at any depth: norm, then head, as if the model ended there. Each cell shows the
# most probable next token after the token below, and its colour the probability.


# %%
def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


depths = [0, 5, 10, 15, 18, 20, 22, 24, 26, 28, 30]
lens = [log_softmax(head_logits(states[d], llm.params, c)[0]) for d in depths]
figure, ax = plt.subplots(figsize=(10.5, 5))
image = ax.imshow(np.exp([row.max(axis=-1)[1:] for row in lens]), vmin=0, vmax=1, aspect="auto", origin="lower")
for i, row in enumerate(lens):
    for t in range(1, len(tokens)):
        text = llm.tokenizer.decode([int(row[t].argmax())]).strip()
        text = text if text.isascii() and text.isprintable() and text else "·"
        ax.text(t - 1, i, text[:9], ha="center", va="center", fontsize=7.5,
                color="#22252a" if row[t].max() > np.log(0.6) else "white")  # fmt: skip
ax.set_xticks(range(len(tokens) - 1), pieces[1:], rotation=45)
ax.set_yticks(range(len(depths)), depths)
ax.set(title="The answer appears in the last blocks", xlabel="token", ylabel="blocks passed")
ax.grid(False)
figure.colorbar(image, label="probability of the token shown")
plt.show()

# %% [markdown]
# On the embedding alone a tied head mostly names the token that it stands on. Then, for most of the way, it names
# commas, dots and other frequent pieces (a dot in the middle stands for what cannot be printed). The answer forms in
# the last third. The same in numbers, for the tokens that follow in the text and for the answer at its end:

# %%
berlin = llm.tokenizer.encode(" Berlin")[0]
targets = np.append(tokens[1:], berlin)
every = np.array([row[np.arange(len(tokens)), targets] for row in lens])
figure, ax = plt.subplots(figsize=(8, 3.4))
ax.plot(depths, -every[:, 1:].mean(axis=1), "o-", markersize=4, label="mean over the text", color=COLOURS[5])
ax.plot(depths, -every[:, -1], "o-", markersize=4, label="' Berlin' at the end", color=COLOURS[1])
ax.axhline(np.log(c.vocab_size), linestyle="--", color="#22252a", linewidth=1)
ax.annotate("guessing among all tokens", (0, 3.5), fontsize=8.5)
ax.set(title="The loss falls late", xlabel="blocks passed", ylabel="loss of the next token, nats", ylim=(0, None))
ax.legend(loc="upper right")
plt.show()

# %% [markdown]
# ## Exercises
#
# <!-- exercises: written by `python -m minillama.learn.generate` -->
#
# | exercise | what | difficulty | minutes | path |
# |---|---|---|---|---|
# | `residual_stream` | The order of norm, layer and residual | 1 | 10 |  |
# | `transformer_block` | One block | 3 | 30 | core |
# | `head_logits` | From the stream to logits | 1 | 5 | core |
# | `logit_lens` | The logit lens | 2 | 15 |  |
# | `llama2c_header` | The header of a model file | 1 | 10 | core |
# | `load_llama2c_v0` | A loader | 2 | 25 | core |
# | `layer_errors` | Where two models part | 2 | 15 |  |
#
# <!-- end of the exercises -->
#
# `minillama learn start my-llama` makes a folder with the starters, and `minillama learn watch` checks them on every
# save. In a notebook: `from minillama.learn import check; check("residual_stream", my_function)`. Here is one with a
# mistake that runs without an error and looks harmless:


# %%
def my_stream(x, norms, matrices, eps):
    states = [x]
    for norm, matrix in zip(norms, matrices):
        x += x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * norm @ matrix.T
        states.append(x)
    return np.stack(states)


check("residual_stream", my_stream)

# %% [markdown]
# ## What breaks if it is wrong
#
# The real model, wired wrongly in five ways. None of them raises an error. The table has the mean loss per token on
# the prompt, and the token that each would say next.


# %%
def parallel(x, layer, config, cos, sin, ops):
    return x + attention_part(x, layer, config, cos, sin, ops) + ffn_part(x, layer, config, ops)


def one_residual(x, layer, config, cos, sin, ops):
    return x + ffn_part(attention_part(x, layer, config, cos, sin, ops), layer, config, ops)


def post_norm(x, layer, config, cos, sin, ops):
    ones = layer._replace(attention_norm=np.ones_like(layer.attention_norm), ffn_norm=np.ones_like(layer.ffn_norm))
    h, _ = ops.rmsnorm_forward(
        x + attention_part(x, ones, config, cos, sin, ops), layer.attention_norm, config.norm_eps
    )
    return ops.rmsnorm_forward(h + ffn_part(h, ones, config, ops), layer.ffn_norm, config.norm_eps)[0]


def exchanged_norms(x, layer, *rest):
    return block(x, layer._replace(attention_norm=layer.ffn_norm, ffn_norm=layer.attention_norm), *rest)


wirings = {"right": block, "both halves read x": parallel, "no residual around attention": one_residual}
wirings |= {"norm after the sum": post_norm, "the two norms exchanged": exchanged_norms, "no RoPE": without_rope}
rows, losses = [], {}
for name, wiring in wirings.items():
    scores = log_softmax(head_logits(hidden_states(llm.params, c, tokens, block=wiring)[-1], llm.params, c)[0])
    losses[name] = float(-scores[np.arange(1, len(tokens)), targets[1:]].mean())
    rows.append([name, f"{losses[name]:.2f}", repr(llm.tokenizer.decode([int(scores[-1].argmax())]))])
table(["wiring", "loss, nats", "says next"], rows)

# %% [markdown]
# ## The package's function
#
# `minillama.model.forward` is this chapter's model with the caches for the backward pass; `forward_cached` (chapter
# 10) is the same for texts that continue. The block, the logits of the tiny model and the loader agree with the
# package.

# %%
assert losses["right"] == min(losses.values())
assert llm.tokenizer.decode([int(logits[-1].argmax())]) == " Berlin"
for ops in (REFERENCE, FAST):
    expected, _ = forward(params, tiny, ids, ops)
    ours = head_logits(hidden_states(params, tiny, ids, ops)[-1], params, tiny, ops)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
for ours, theirs in zip(loaded.layers, params.layers):
    for a, b in zip(ours, theirs):
        np.testing.assert_array_equal(a, b)
print("the model, the loader and the package agree")
