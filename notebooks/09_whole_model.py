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
# > **Before this:** [07](07_grouped_queries.ipynb), [08](08_swiglu.ipynb).
# > **Time:** 35 minutes to read and run, 110 for all exercises; on the [core path](README.md) 105 together.
# >
# > **In the paper:** LLaMA 2 (arXiv:2307.09288), section 2.2 and table 1. **Not here:** the cache that makes writing
# > fast (10), packed weights (12), gradients (14). Not reproduced: LLaMA 2 itself, with 7 to 70 billion weights, which
# > does not fit into a chapter. The same code with other sizes is SmolLM2-135M, and that runs here.
#
# *The dog buried the bone because it was hungry.* Embedding, norm, rotation, attention, feed-forward layer, logits: no
# part is missing any more. And yet nothing so far has gone all the way from the words to the next word. In which order
# do the parts stand, and what goes from one to the next? Every order has the right shapes, so none of them crashes. How
# would you know that yours is the right one?
#
# Here is the real model with every part and every weight in it, and only the order changed: its 30 layers from the last
# to the first; two neighbours exchanged; one of them left out.

# %% tags=["hide-input"]
import math
import struct
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minillama.config import ModelConfig
from minillama.learn.book import (
    COLOURS,
    claim,
    draw_arrows,
    load,
    now_you,
    show,
    show_error,
    style,
    table,
    torch,
)
from minillama.learn.book.toy import SENTENCE, VECTORS, WORDS
from minillama.model import forward
from minillama.ops import FAST, REFERENCE
from minillama.params import LayerParams, Params, build_params
from minillama.trees import map_tree

style()
rng = np.random.default_rng(9)

llm = load()
config, tokenizer = llm.config, llm.tokenizer
params = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, llm.params)  # from 4 and 8 bits

# %% [markdown]
# **Guess first:** the text asks for Berlin. Which of the three still say so? And how much worse do they read the
# sentence of the dog?


# %% tags=["hide-output"]
def next_words(logits, n=3):
    """The most probable tokens after a text, from its logits (T, V)."""
    return ", ".join(repr(tokenizer.decode([int(i)])) for i in np.argsort(-logits[-1])[:n])


def mean_loss(logits, ids):
    """The mean of -log p (03) over all tokens of a text but the first; logits (T, V), ids (T,)."""
    z = logits[:-1].astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    return np.mean(np.log(np.exp(z).sum(axis=-1)) - z[np.arange(len(z)), ids[1:]])


text = "The capital of France is Paris, and the capital of Germany is"
ids = np.array([tokenizer.encode(text)])
dog = np.array([tokenizer.encode(SENTENCE)])
every = list(range(config.n_layers))
orders = {
    "as it is": every,
    "from the last to the first": every[::-1],
    "14 and 15 exchanged": [*every[:14], 15, 14, *every[16:]],
    "without layer 15": every[:15] + every[16:],
}
for name, order in orders.items():
    reordered = params._replace(layers=tuple(params.layers[i] for i in order))
    loss = mean_loss(forward(reordered, config, dog)[0][0], dog[0])
    print(f"{name:<27} {next_words(forward(reordered, config, ids)[0][0]):<36} loss of the dog {loss:.2f}")

# %% [markdown]
# From the last to the first, nothing is left. Two neighbours exchanged, or one layer left out, are hardly noticed. (The
# sentence is short, and costs six nats a token even as it is.) So the order matters, and small mistakes in it hide: the
# answer is still Berlin. Both have one reason, the way in which layers are connected, and this chapter is about it; and
# about how to find a mistake that no answer shows.
#
# ## “it” is added to twice, and then compared
#
# The toy as a whole model, of one layer. Its parts are those of the chapters before: a dog is (1, 0), a bone (0, 1),
# "it" (½, ½), alive and edible. "it" has the attention of 06, which asks who is alive, and the feed-forward layer of 08
# with its two gates. In front of each stands a norm (04), all of whose weights are 1. (The rotation of 05 is left out
# until the real model.) Nothing is new but what goes from one to the next:
#
# | | alive | edible | |
# |---|---|---|---|
# | the stream | 0.50 | 0.50 | the row of "it" in the table (03) |
# | its copy at size 1 | 1.00 | 1.00 | the norm |
# | attention adds | 1.30 | 0.25 | 0.75 of the dog's copy, 0.01 of the bone's, 0.23 of its own |
# | the stream | 1.80 | 0.75 | the sum: 0.50 + 1.30 and 0.50 + 0.25 |
# | its copy at size 1 | 1.30 | 0.55 | another norm |
# | the feed-forward layer adds | 1.95 | −1.42 | gates of 5.2 and 3.0, both open |
# | the stream | 3.75 | −0.66 | the sum: 1.80 + 1.95 and 0.75 − 1.42 |
# | its copy at size 1 | 1.39 | −0.25 | the last norm |
#
# Lines 4 and 7 are the wiring: the parts read copies, and what they find is *added* to the
# [residual stream](glossary.md#residual-stream), which goes on from there. At the end the last copy is compared with
# the rows of all words (03).
#
# **Guess first:** having read *dog bone it*, which word does this model say next, and how surely?


# %% tags=["hide-output"]
def at_size_one(row):
    size = math.sqrt(sum(number * number for number in row) / len(row) + 1e-5)
    return [number / size for number in row]


def look(rows):
    """What the last row takes from all of them (06): its query is (4 · alive, 0), keys and values are the rows."""
    shares = [math.exp(4 * rows[-1][0] * row[0] / math.sqrt(2)) for row in rows]
    return [sum(share * row[i] for share, row in zip(shares, rows)) / sum(shares) for i in range(2)]


def ask(row):
    """The two gates of the toy (08): both alive and edible; alive and not edible."""
    alive, edible = row
    gates, ups = (4 * alive, 4 * (alive - edible)), (2 * edible, 2 * (alive + edible))
    both, alone = (gate / (1 + math.exp(-gate)) * up for gate, up in zip(gates, ups))
    return [both / 4 + alone / 20, -both / 4]


row = VECTORS[2].tolist()
found = look([at_size_one(word) for word in VECTORS.tolist()])
middle = [a + b for a, b in zip(row, found)]
made = ask(at_size_one(middle))
end = [a + b for a, b in zip(middle, made)]
toy_logits = VECTORS @ at_size_one(end)
shares = np.exp(toy_logits) / np.exp(toy_logits).sum()
print("the stream of “it”:", *(np.round(state, 2) for state in (row, middle, end)))
print("next:", ", ".join(f"{word} {share:.2f}" for word, share in zip(WORDS, shares)))
np.testing.assert_allclose(np.array([middle, end]), [[1.80, 0.75], [3.75, -0.66]], atol=0.006)
np.testing.assert_allclose(shares, [0.61, 0.12, 0.27], atol=0.006)

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
draw_arrows(left, {"“it”": row}, colours=COLOURS[5:], offset=(-22, 2), dashed=True)
draw_arrows(left, {"attention": found}, start=row, colours=COLOURS[:1], offset=(-34, 7))
draw_arrows(left, {"feed-forward": made}, start=middle, colours=COLOURS[1:2], offset=(-22, 34))
draw_arrows(left, {"the stream at the end": end}, colours=COLOURS[3:4], offset=(-150, -4))
claim(left, "The stream is a sum", holds=np.allclose(np.add(row, found) + made, end))
copies = [at_size_one(state) for state in (row, middle, end)]
for name, copy, colour, offset in zip(
    ("at first", "after attention", "at the end"),
    copies,
    (COLOURS[5], COLOURS[0], COLOURS[3]),
    ((4, 2), (4, 2), (4, -4)),
):
    draw_arrows(right, {name: copy}, colours=(colour,), offset=offset)
draw_arrows(right, {"row of dog": VECTORS[0]}, colours=COLOURS[2:3], offset=(-52, 5), dashed=True)
angles = [math.atan2(copy[1], copy[0]) for copy in copies]
claim(right, "Its copy turns towards the dog", holds=angles[0] > angles[1] > 0 and abs(angles[2]) < angles[1])
right.set_xlim(-0.1, 2.3)
show(
    figure,
    "Two planes, each with equal axes, alive across, edible upwards. Left, three arrows one after another: it, a short "
    "one up the diagonal; attention, to the right and a little up; feed-forward, to the right and far down. From the "
    f"origin to their end leads the stream at the end, ({end[0]:.2f}, {end[1]:.2f}). Right, the copies at size 1, all "
    "of one length: at first on the diagonal, after attention lower, at the end just below the alive axis, on which "
    "the row of dog lies.",
)

# %% [markdown]
# The stream has become long, 3.81 instead of 0.71. The head does not mind, since it reads a copy: what counts is where
# the stream points. "it" began halfway between dog and bone, at 45°. Attention brought it down to 23°, the feed-forward
# layer past the dog to −10°.
#
# In symbols, for the stream $x$ of all tokens, with $n$ for the copy that a part reads:
#
# $$ x' = x + W_o\, \operatorname{attention}(R\, W_q n,\; R\, W_k n,\; W_v n), \qquad n = \operatorname{norm}_1(x), $$
#
# $$ x'' = x' + W_{down} \bigl( \operatorname{silu}(W_{gate}\, n) \odot W_{up}\, n \bigr),
#    \qquad n = \operatorname{norm}_2(x'), $$
#
# and after all layers, with the last norm and the head, $z = W_{out} \operatorname{norm}_f(x)$. $R$ turns queries and
# keys by their positions (05), and attention is causal with shared heads (06, 07). One layer as a whole is called a
# [block](glossary.md#block): two parts, two norms, two sums.
#
# ## What is added in place is added to the past
#
# Who wants to look at the stream has to keep it at every depth. Here is a stream of two numbers, to which 1 and then 2
# are added. **Guess first:** what stands in the list at the end?

# %% tags=["hide-output"]
x = np.array([0.5, 0.5])
kept = [x]
for amount in (1, 2):
    x += amount
    kept.append(x)
print(kept)

# %% [markdown]
# Three times the last state. `x += …` changes the array itself, and the list holds that array three times. Of a whole
# model looked at like this, every depth would seem to be the last one.
#
# ### Now you · `residual_stream` · 10 minutes
#
# The order with the smallest parts there are, one matrix each: `x` (T, D), `norms` (n, D), `matrices` (n, D, D) → the
# stream before, between and after them, (n + 1, T, D). (Not on the core path: go on with the book's if you like.)

# %%
residual_stream = now_you("residual_stream")


# %% tags=["solution"]
def book_residual_stream(x, norms, matrices, eps):
    states = [x]
    for norm, matrix in zip(norms, matrices):
        x = x + rmsnorm(x, norm, eps) @ matrix.T
        states.append(x)
    return np.stack(states)


# %% tags=["solution"]
ops = REFERENCE


def rmsnorm(x, weight, eps):
    return ops.rmsnorm_forward(x, weight, eps)[0]


# %% [markdown]
# A part that turns what it reads by a quarter, (1, 0) → (0, 1), four times one after another. **Guess first:** does the
# stream come back to where it began?

# %% tags=["hide-output"]
quarter = np.array([[0, -1], [1, 0]], np.float32)
turned = residual_stream(VECTORS[:1], np.ones((4, 2), np.float32), np.stack([quarter] * 4), 1e-5)
for depth, state in enumerate(turned[:, 0]):
    print(f"after {depth}: {state.round(2)}, length {np.linalg.norm(state):.2f}")

# %% [markdown]
# No. A part does not turn the stream, it adds something at a right angle to it, of length √2 each time: the squares of
# the lengths are 1, 3, 5, 7, 9. A layer *suggests* a change, and the more has been said before, the less a new
# suggestion turns.
#
# ## Nine arrays are a block
#
# Two parts, each with a norm, seven matrices. The same names in every block, with the sizes of SmolLM2:

# %% tags=["hide-input"]
what = {
    "attention_norm": "norm before attention (04)",
    "wq": "queries, heads one below the other (06)",
    "wk": "keys of fewer heads (07)",
    "wv": "values",
    "wo": "mixes what the heads found",
    "ffn_norm": "norm before the feed-forward layer",
    "w_gate": "how much may pass (08)",
    "w_up": "what passes",
    "w_down": "back to the stream",
}
letters = ("(D,)", "(H h, D)", "(K h, D)", "(K h, D)", "(D, H h)", "(D,)", "(F, D)", "(F, D)", "(D, F)")
table(
    ("array", "shape", "in SmolLM2", "what for"),
    [
        (name, letter, array.shape, what[name])
        for (name, array), letter in zip(params.layers[0]._asdict().items(), letters)
    ],
)

# %% [markdown]
# All functions of the chapters before are in the package, in two tables of `minillama.ops`: `REFERENCE` (NumPy) and
# `FAST` (compiled). Each returns a pair, of which the second is for training.
#
#     ops.rmsnorm_forward(x, weight, eps)
#     ops.linear_forward(x, weight)                    x @ weight.T
#     ops.rope_forward(x, cos, sin, positions)         x (B, H, T, h) or (B, K, T, h), positions (B, T)
#     ops.attention_forward(q, k, v, positions)        q (B, H, T, h), k and v (B, K, T, h)
#     ops.swiglu_forward(gate, up)
#
# So heads have to be brought forward (06), and back before `wo`. A whole text begins at position 0.
#
# ### Now you · `transformer_block` · 30 minutes
#
# `x` (B, T, D), the nine arrays as `layer.wq` …, the rotation's `cos` and `sin` → `y` (B, T, D). When yours passes, the
# real model below runs on it, 30 times for each text.

# %%
transformer_block = now_you("transformer_block")


# %% tags=["solution"]
def book_transformer_block(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    positions = np.broadcast_to(np.arange(x.shape[1]), x.shape[:2])  # (B, T)
    n = rmsnorm(x, layer.attention_norm, eps)
    q, _ = ops.rope_forward(heads(n @ layer.wq.T, n_heads), cos, sin, positions)
    k, _ = ops.rope_forward(heads(n @ layer.wk.T, n_kv_heads), cos, sin, positions)
    v = heads(n @ layer.wv.T, n_kv_heads)
    y, _ = ops.attention_forward(q, k, v, positions)
    h = x + y.swapaxes(1, 2).reshape(*x.shape[:2], -1) @ layer.wo.T
    m = rmsnorm(h, layer.ffn_norm, eps)
    y, _ = ops.swiglu_forward(m @ layer.w_gate.T, m @ layer.w_up.T)
    return h + y @ layer.w_down.T


# %% tags=["solution"]
def heads(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1).swapaxes(1, 2)  # (B, n_heads, T, head_dim)


# %% [markdown]
# The toy as nine arrays, all three words at once, with a rotation by no angle (cosine 1, sine 0). "it" has to end where
# the loops ended.

# %%
arrays = {
    "attention_norm": [1, 1],
    "wq": [[4, 0], [0, 0]],
    "wk": [[1, 0], [0, 1]],
    "wv": [[1, 0], [0, 1]],
    "wo": [[1, 0], [0, 1]],
    "ffn_norm": [1, 1],
    "w_gate": [[4, 0], [4, -4]],
    "w_up": [[0, 2], [2, 2]],
    "w_down": [[1 / 4, 1 / 20], [-1 / 4, 0]],
}
toy_layer = LayerParams(**{name: np.array(array, np.float32) for name, array in arrays.items()})
still = np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32)
toy_end = transformer_block(VECTORS[None], toy_layer, *still, 1, 1, 1e-5)
for word, before, after in zip(WORDS, VECTORS, toy_end[0]):
    print(f"{word:<5}{before} becomes {after.round(2)}")
show_error("“it”", toy_end[0, 2], np.array(end), 1e-5, against="the loops")

# %% [markdown]
# ## The end reads a direction
#
# The last norm, and one product with the output head: a row for each token of the vocabulary. Where a model is tied
# (03), the rows are those of the embedding table, and its file has no second one: `output` is None.
#
# ### Now you · `head_logits` · 5 minutes
#
# `x` (B, T, D), `final_norm` (D,), `token_embedding` (V, D), `output` (V, D) or None → logits (B, T, V).

# %%
head_logits = now_you("head_logits")


# %% tags=["solution"]
def book_head_logits(x, final_norm, token_embedding, output, eps):
    head = token_embedding if output is None else output
    return rmsnorm(x, final_norm, eps) @ head.T


# %%
ones = np.ones(2, np.float32)
for factor in (1, 1000):
    print(f"the toy's stream times {factor}:", head_logits(factor * toy_end, ones, VECTORS, None, 1e-5)[0, 2].round(2))

# %% [markdown]
# A stream that is a thousand times as long has the same logits. Without the last norm they would be a thousand times as
# large, and the model absolutely sure. Their order would stay, since a row is divided by one number. What can change it
# are the learned numbers of `final_norm`, one for each dimension, here all 1.
#
# ## The real model on these two functions
#
# What is left is a loop over the blocks. It keeps the stream at every depth, which the rest of the chapter looks at.

# %%
from minillama.layers.rope import interleaved_to_half, rope_table


def run(params, config, ids, block):
    """The stream after 0, 1, ... n_layers blocks: a list of arrays (B, T, D)."""
    cos, sin = rope_table(config.head_dim, ids.shape[1], config.rope_theta)
    states = [params.token_embedding[ids]]
    for layer in params.layers:
        states.append(block(states[-1], layer, cos, sin, config.n_heads, config.n_kv_heads, config.norm_eps))
    return states


def logits_of(state, params, config):
    return head_logits(state, params.final_norm, params.token_embedding, params.output, config.norm_eps)


states = run(params, config, ids, transformer_block)
logits = logits_of(states[-1], params, config)
pieces = [tokenizer.decode([int(i)]) for i in ids[0]]
print(f"{len(states)} states of shape {states[0].shape}, logits {logits.shape}")
for i in np.argsort(-logits[0, -1])[:5]:
    print(f"{tokenizer.decode([int(i)])!r:<11} {logits[0, -1, i]:.1f}")
assert next_words(logits[0], 1) == "' Berlin'"

# %% [markdown]
# Berlin, with two functions of a few lines and a loop. The package's `minillama.model.forward` is the same model; it
# also keeps what training needs, and runs on either table of functions:

# %%
for name, functions in (("the package, in NumPy", REFERENCE), ("the package, compiled with Numba", FAST)):
    show_error("logits", logits, forward(params, config, ids, functions)[0], 1e-2, against=name)

# %% [markdown]
# Is that a proof? The package and this book have the same authors. Had they misunderstood something, both would be
# wrong alike, to the last digit. A judge has to be somebody else.
#
# ## The first wrong state names the block
#
# Suppose that the logits of two models differ. That says little: 30 blocks lie before them, and each passes on what was
# wrong before it, and adds to it. So the streams are compared, state by state. But what is a large difference? Two
# pairs of states:
#
# | | ours | theirs | difference | compared with the largest of theirs |
# |---|---|---|---|---|
# | state 0 | (0.003, 0.001) | (0.002, 0.001) | 0.001 | 0.5 |
# | state 30 | (600.0, −200.0) | (600.1, −200.0) | 0.1 | 0.0002 |
#
# The second difference is a hundred times larger, and is rounding; the first is a mistake. So the largest difference of
# a state is divided by the largest number of theirs. One trap is left. **Guess first:** a model gives NaN from some
# state on. Which of these two tests notices?

# %% tags=["hide-output"]
errors = np.array([0.0, 1e-6, np.nan, np.nan])
print("errors > 1e-4:      ", errors > 1e-4)
print("not errors <= 1e-4: ", ~(errors <= 1e-4))

# %% [markdown]
# Every comparison with NaN is False. So the question is which states are *within* tolerance, and all others are wrong.
#
# ### Now you · `layer_errors` · 15 minutes
#
# Two lists of states and a tolerance → the error of each state, and the index of the first that is wrong, or −1. (Not
# on the core path.)

# %%
layer_errors = now_you("layer_errors")


# %% tags=["solution"]
def book_layer_errors(ours, theirs, tolerance):
    errors = np.array([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs)])
    bad = np.flatnonzero(~(errors <= tolerance))  # NaN is not within any tolerance
    return errors, int(bad[0]) if len(bad) else -1


# %% [markdown]
# Somebody else is `LlamaForCausalLM` of the library `transformers`, which runs on PyTorch. It gets the same weights,
# under its own names, and with the rows of `wq` and `wk` in the order of its rotation (05):

# %%
names = {
    "attention_norm": "input_layernorm",
    "wq": "self_attn.q_proj",
    "wk": "self_attn.k_proj",
    "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",  # it comes after attention, and before the feed-forward layer
    "w_gate": "mlp.gate_proj",
    "w_up": "mlp.up_proj",
    "w_down": "mlp.down_proj",
}


def for_transformers(params, config):
    """The weights under the names of transformers."""
    tensors = {"model.embed_tokens.weight": params.token_embedding, "model.norm.weight": params.final_norm}
    tensors["lm_head.weight"] = params.token_embedding if params.output is None else params.output
    for i, layer in enumerate(params.layers):
        for field, name in names.items():
            array = getattr(layer, field)
            turned = interleaved_to_half(array, config.head_dim) if field in ("wq", "wk") else array
            tensors[f"model.layers.{i}.{name}.weight"] = turned
    return tensors


# %% [markdown]
# The folded cell makes that model and asks it for its hidden states. The last of its states has gone through the final
# norm, and those before it have not, so it is compared by its logits instead. Where the library is not installed, the
# package's states take its place.

# %% tags=["hide-input"]
try:
    import transformers
except ImportError:
    transformers = None


def states_of_transformers(params, config, ids):
    sizes = {"hidden_size": config.dim, "intermediate_size": config.hidden_dim, "num_hidden_layers": config.n_layers}
    sizes |= {"num_attention_heads": config.n_heads, "num_key_value_heads": config.n_kv_heads}
    sizes |= {"vocab_size": config.vocab_size, "max_position_embeddings": config.max_seq_len}
    described = transformers.LlamaConfig(
        **sizes, rms_norm_eps=config.norm_eps, rope_theta=config.rope_theta, tie_word_embeddings=config.tied
    )
    model = transformers.LlamaForCausalLM(described).eval()
    tensors = for_transformers(params, config).items()
    model.load_state_dict({name: torch.tensor(np.ascontiguousarray(array)) for name, array in tensors})
    with torch.no_grad():
        result = model(torch.tensor(ids), output_hidden_states=True)
    return [state.numpy() for state in result.hidden_states], result.logits.numpy()


def states_of_the_package(params, config, ids):
    met = []

    def listening(x, weight, eps):
        met.append(x.copy())
        return FAST.rmsnorm_forward(x, weight, eps)

    return met, forward(params, config, ids, FAST._replace(rmsnorm_forward=listening))[0]


if transformers is not None and torch is not None:
    judge = "transformers"
    their_states, their_logits = states_of_transformers(params, config, ids)
else:
    judge = "the package (transformers is not installed)"
    their_states, their_logits = states_of_the_package(params, config, ids)
    their_states = their_states[::2]  # two norms a block: every second one stands at its beginning

# %%
show_error("logits", logits, their_logits, 1e-2, against=judge)
errors, first = layer_errors([a[0, 1:] for a in states[:-1]], [b[0, 1:] for b in their_states[:-1]], 1e-4)
print(f"largest error of a state {errors.max():.0e}, first wrong state {first}")
assert first == -1

# %% [markdown]
# That is the proof, with real weights: two programs by different people agree in all 30 states and in the logits. (The
# first token is left out of the states. Its one loud number, above 20,000 in the middle of the model (04), would be the
# largest of theirs, and every error small beside it.)
#
# Now two mistakes. In one, block 17 forgets the rotation. In the other, every norm takes ε = 10⁻⁶ for 10⁻⁵, as one does
# who relies on a default. **Guess first:** which of them still says Berlin? In which state does each show first?


# %% tags=["hide-output"]
def forgets_rotation(x, layer, cos, sin, *rest):
    if layer is params.layers[17]:
        cos, sin = np.ones_like(cos), np.zeros_like(sin)
    return transformer_block(x, layer, cos, sin, *rest)


def other_eps(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    return transformer_block(x, layer, cos, sin, n_heads, n_kv_heads, 1e-6)


curves = {"right": errors}
for name, block in (("block 17 without rotation", forgets_rotation), ("ε = 1e-6 everywhere", other_eps)):
    wrong = run(params, config, ids, block)
    curves[name], first = layer_errors([a[0, 1:] for a in wrong[:-1]], [b[0, 1:] for b in their_states[:-1]], 1e-4)
    print(f"{name:<26} first wrong state {first:>2}; says {next_words(logits_of(wrong[-1], params, config)[0])}")
    assert first == (18 if block is forgets_rotation else 1)

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(8, 3.6))
for (name, values), colour in zip(curves.items(), COLOURS):
    axis.semilogy(np.maximum(values, 1e-8), "o-", markersize=3, color=colour, label=name)
axis.axhline(1e-4, color=COLOURS[5], linestyle="--", linewidth=1, label="tolerance")
axis.set(xlabel="blocks passed", ylabel="error, relative to the state")
forgot = curves["block 17 without rotation"]
claim(axis, "Behind block 17 the error jumps", holds=forgot[17] < 1e-4 and forgot[18] > 100 * forgot[17])
axis.set_ylim(None, 10)
axis.legend(fontsize=8, loc="upper left", ncol=2)
show(
    figure,
    "The relative error of each of 30 states, upwards in powers of ten. The right model stays below "
    f"{curves['right'].max():.0e} everywhere. With block 17 wrong the curve lies on the right one up to 17 blocks and "
    f"jumps to {forgot[18]:.0e} at 18. With the other ε it is at {curves['ε = 1e-6 everywhere'][1]:.0e} from the first "
    "block on, above the dashed line of the tolerance.",
)

# %% [markdown]
# Both say Berlin. No answer would have shown them, and the comparison does at once: state 18 is what block 17 leaves,
# since state 0 is the embedding. The other ε shows in state 1 already. The rows of the embedding are small (04), so it
# is there that ε counts most.
#
# ## The toy is a file without names
#
# Where do weights come from? From a file, and a file is nothing but bytes. The simplest format there is, version 0 of
# llama2.c, has seven whole numbers of four bytes each at the beginning, the *header*, and then float32 after float32.
# No names, no shapes: the seven numbers have to say it all. The toy has D = 2, F = 2, one layer, one head, one head of
# keys and values, three words, and its tables of cosines and sines (which the format stores too) are made for texts of
# three words.
#
# **Guess first:** 28 bytes of header. How many numbers follow?

# %% tags=["hide-output"]
from minillama.checkpoints.llama2c import write_llama2c

toy_config = ModelConfig(
    dim=2, n_layers=1, n_heads=1, n_kv_heads=1, hidden_dim=2, vocab_size=3, max_seq_len=3, tied=True
)
toy_params = Params(VECTORS, (toy_layer,), ones, None)


def bytes_of(params, config):
    """The model as a file of llama2.c, version 0, written by the package."""
    with tempfile.TemporaryDirectory() as folder:
        write_llama2c(Path(folder) / "model.bin", config, params, version=0)
        return (Path(folder) / "model.bin").read_bytes()


data = bytes_of(toy_params, toy_config)
print(f"{len(data)} bytes, so {(len(data) - 28) // 4} numbers. The first 28 bytes:")
for at in range(0, 28, 4):
    print(f"    {data[at : at + 4].hex(' ')}   {int.from_bytes(data[at : at + 4], 'little', signed=True)}")
assert len(data) == 212

# %% tags=["hide-input", "hide-output"]
parts = [("token_embedding", 6), ("attention_norm", 2), ("wq", 4), ("wk", 4), ("wv", 4), ("wo", 4), ("ffn_norm", 2)]
parts += [("w_gate", 4), ("w_down", 4), ("w_up", 4), ("final_norm", 2), ("cosines, sines", 6)]
numbers = np.frombuffer(data, "<f4", offset=28)
figure, axis = plt.subplots(figsize=(10, 3.6))
at = 0
for i, (name, count) in enumerate(parts):
    line, place = divmod(at, 23)
    for k in range(at, at + count):
        line, place = divmod(k, 23)
        axis.add_patch(plt.Rectangle((place, -2 * line), 1, 0.8, color=COLOURS[i % 5], alpha=0.3))
        axis.text(place + 0.5, 0.4 - 2 * line, f"{numbers[k]:.3g}", ha="center", va="center", fontsize=8)
    line, place = divmod(at, 23)
    axis.text(place + 0.05, 1.0 - 2 * line + 0.3 * (i % 2), name, fontsize=8, color=COLOURS[i % 5], weight="bold")
    at += count
axis.set(xlim=(0, 23), ylim=(-2.2, 1.7))
axis.axis("off")
claim(axis, "46 numbers, and not a word of what they are", holds=at == len(numbers) == 46)
show(
    figure,
    "The 46 numbers of the toy's file in two lines of 23 fields, coloured and named by the array they belong to: "
    "token_embedding 1 0 0 1 0.5 0.5, attention_norm 1 1, wq 4 0 0 0, then wk, wv, wo, ffn_norm, w_gate 4 0 4 −4, "
    "w_down, w_up, final_norm, and six cosines and sines.",
)

# %% [markdown]
# The lowest byte stands first (*little-endian*), so 2 is `02 00 00 00`. The format has no place for the question
# whether the model is tied. It hides the answer in a sign: a *negative* size of the vocabulary says that a second table
# stands at the end of the file.
#
# ### Now you · `llama2c_header` · 10 minutes
#
# The bytes of a file → a dict of the seven numbers by name, and `tied`.

# %%
llama2c_header = now_you("llama2c_header")


# %% tags=["solution"]
def book_llama2c_header(data):
    names = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
    header = dict(zip(names, struct.unpack_from("<7i", data)))
    header["tied"] = header["vocab_size"] > 0
    header["vocab_size"] = abs(header["vocab_size"])
    return header


# %% [markdown]
# With the header every size is known, and a reader walks through the file with a place that moves on: so many numbers
# for this array, so many for the next. Three things are not what one expects. All layers of one array stand together,
# `wq` of layer 0, `wq` of layer 1 and so on. `w_down` comes before `w_up`. And the tables of cosines and sines stand in
# front of the second table, if there is one.
#
# **Guess first:** somebody reads `w_up` before `w_down` from the toy's file. Does anything crash? What becomes of "it"?

# %% tags=["hide-output"]
exchanged = toy_layer._replace(w_up=toy_layer.w_down, w_down=toy_layer.w_up)
wrong_end = transformer_block(VECTORS[None], exchanged, *still, 1, 1, 1e-5)[0, 2]
print(f"“it” ends at {wrong_end.round(2)} instead of {toy_end[0, 2].round(2)}")

# %% [markdown]
# In the toy both are 2 · 2. In a real model the shapes are (F, D) and (D, F), of as many numbers, so a `reshape`
# accepts them too.
#
# ### Now you · `load_llama2c_v0` · 25 minutes
#
# The bytes of a file → its twelve arrays, stacked over the layers. The contract has the order.

# %%
load_llama2c_v0 = now_you("load_llama2c_v0")


# %% tags=["solution"]
def book_load_llama2c_v0(data):
    header = llama2c_header(data)
    L, D, F, V = (header[name] for name in ("n_layers", "dim", "hidden_dim", "vocab_size"))
    h = D // header["n_heads"]
    kv = header["n_kv_heads"] * h
    numbers, at = np.frombuffer(data, "<f4", offset=28), 0

    def take(*shape):
        nonlocal at
        at += math.prod(shape)
        return numbers[at - math.prod(shape) : at].reshape(shape)

    token_embedding, attention_norm = take(V, D), take(L, D)
    wq, wk, wv, wo = take(L, D, D), take(L, kv, D), take(L, kv, D), take(L, D, D)
    ffn_norm = take(L, D)
    w_gate, w_down, w_up = take(L, F, D), take(L, D, F), take(L, F, D)
    final_norm = take(D)
    take(2, header["max_seq_len"], h // 2)  # RoPE's tables
    output = token_embedding if header["tied"] else take(V, D)
    return token_embedding, attention_norm, wq, wk, wv, wo, ffn_norm, w_gate, w_down, w_up, final_norm, output


# %% [markdown]
# A model of 3 million weights comes with the package, stories3M. It has read children's stories and nothing else. The
# package writes it as such a file, and from there on nothing but this chapter's functions is used: the header, the
# loader, the block, the head, and a loop that takes the most probable token again and again (00).

# %%
teller = load("stories3M")
unpacked = map_tree(lambda w: w.to_float32() if hasattr(w, "to_float32") else w, teller.params)
data = bytes_of(unpacked, teller.config)
header = llama2c_header(data)
print(f"{len(data):,} bytes")
print(", ".join(f"{name} {value}" for name, value in header.items()))


def model_of(data):
    """The arrays of a file, a layer at a time."""
    embedding, norm_1, wq, wk, wv, wo, norm_2, w_gate, w_down, w_up, final_norm, output = load_llama2c_v0(data)
    layers = zip(norm_1, wq, wk, wv, wo, norm_2, w_gate, w_up, w_down)
    return Params(embedding, tuple(LayerParams(*arrays) for arrays in layers), final_norm, output)


read = model_of(data)
story = teller.tokenizer.encode("The dog buried the bone because")
for _ in range(20):
    last = run(read, teller.config, np.array([story]), transformer_block)[-1][:, -1:]
    story.append(int(logits_of(last, read, teller.config)[0, 0].argmax()))
print(teller.tokenizer.decode(story))
same = logits_of(run(read, teller.config, np.array([story]), transformer_block)[-1], read, teller.config)
show_error("logits", same, forward(teller.params, teller.config, np.array([story]))[0], 1e-2, against="the package")

# %% [markdown]
# A story, from bytes and 20 passes through this chapter's functions. It goes round in circles, as it does when the most
# probable token is always taken; 11 draws instead. SmolLM2's own file has another format, with names, in which several
# weights share a byte (12); the package's readers do the same there as `load_llama2c_v0` here.
#
# ## For 23 blocks the head would do worse than guessing
#
# A head reads a direction, and the stream has one at every depth. So the head can be put on the stream anywhere, as if
# the model ended there: the [logit lens](glossary.md#logit-lens) (nostalgebraist, 2020). For the toy's "it":

# %%
for name, copy in zip(("the row of “it”", "after attention", "at the end"), copies):
    e = np.exp(VECTORS @ copy)
    print(f"{name:<16} " + "  ".join(f"{word} {share:.2f}" for word, share in zip(WORDS, e / e.sum())))

# %% [markdown]
# At first all three are alike, since (1, 1) has the same dot product with every row. Then the dog gets 0.46, then 0.61:
# each part has done some of it.
#
# ### Now you · `logit_lens` · 15 minutes
#
# `states` (n, T, D), the final norm, the head, and the tokens that come next (T,) → log p of each at every depth, (n,
# T). (Not on the core path.)

# %%
logit_lens = now_you("logit_lens")


# %% tags=["solution"]
def book_logit_lens(states, final_norm, output, targets, eps):
    logits = rmsnorm(states, final_norm, eps) @ output.T  # (n, T, V)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logprobs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logprobs[:, np.arange(len(targets)), targets]


# %% [markdown]
# **Guess first:** the real model reads the text about Paris and Berlin. After how many of its 30 blocks would it say
# Berlin, if it ended there?

# %% tags=["hide-output"]
berlin = tokenizer.encode(" Berlin")[0]
targets = np.append(ids[0, 1:], berlin)
lens = logit_lens(
    np.concatenate(states)[:, 1:], params.final_norm, params.token_embedding, targets[1:], config.norm_eps
)
by_depth = [logits_of(state, params, config)[0] for state in states]
says = [int(z[-1].argmax()) for z in by_depth]
ranks = [int((z[-1] > z[-1, berlin]).sum()) + 1 for z in by_depth]
for depth in (0, 10, 20, 22, 24, 26, 28, 29, 30):
    loss = -lens[depth, -1]
    word = next_words(by_depth[depth], 1)
    print(f"after {depth:>2}: says {word:<10} Berlin has rank {ranks[depth]:>5}, loss {loss:.1f}")
first_right = next(depth for depth in range(len(says)) if set(says[depth:]) == {berlin})

# %% tags=["hide-input", "hide-output"]
depths = [0, 5, 10, 15, 18, 20, 22, 24, 26, 28, 30]
cells = []
for depth in depths:
    e = np.exp(by_depth[depth][1:] - by_depth[depth][1:].max(axis=-1, keepdims=True))
    cells.append((e / e.sum(axis=-1, keepdims=True)).max(axis=-1))
figure, axis = plt.subplots(figsize=(10.5, 5))
picture = axis.imshow(cells, vmin=0, vmax=1, aspect="auto", origin="lower")
for i, depth in enumerate(depths):
    for t in range(1, len(pieces)):
        word = tokenizer.decode([int(by_depth[depth][t].argmax())]).strip()
        word = word if word.isascii() and word.isprintable() and word else "·"
        colour = "#22252a" if cells[i][t - 1] > 0.6 else "white"
        axis.text(t - 1, i, word[:9], ha="center", va="center", fontsize=7.5, color=colour)
axis.set_xticks(range(len(pieces) - 1), pieces[1:], rotation=45)
axis.set_yticks(range(len(depths)), depths)
axis.set(xlabel="token that is read", ylabel="blocks passed")
axis.grid(False)
figure.colorbar(picture, label="probability of the token shown")
claim(axis, "Berlin comes with the last block", holds=first_right == config.n_layers)
show(
    figure,
    "A grid: a column for each token of the text, a row for each of eleven depths, 0 at the bottom and 30 at the top; "
    "in each field the token that the head would say there, and its probability as brightness. At the bottom are "
    "mostly copies of the token read, in the middle scraps; the right continuations, such as Paris and Berlin, appear "
    f"in the upper rows. In the last column Berlin stands from {first_right} blocks on.",
)

# %% tags=["hide-input", "hide-output"]
figure, axis = plt.subplots(figsize=(8, 3.4))
axis.plot(-lens.mean(axis=1), "o-", markersize=3, color=COLOURS[0], label="mean over the text")
axis.plot(-lens[:, -1], "o-", markersize=3, color=COLOURS[1], label="“Berlin” at its end")
axis.axhline(math.log(config.vocab_size), color=COLOURS[5], linestyle="--", linewidth=1, label="guessing")
axis.set(xlabel="blocks passed", ylabel="loss of the next token (nats)", ylim=(0, 45))
mean, guessing = -lens.mean(axis=1), math.log(config.vocab_size)
claim(axis, "Up to 23 blocks: worse than guessing", holds=mean[:24].min() > guessing > mean[24:].max())
axis.legend(fontsize=8)
show(
    figure,
    "The loss of the next token against the number of blocks passed, two curves: the mean over the text and Berlin "
    f"alone. The mean begins above the picture, at {mean[0]:.0f}, is {mean[20]:.1f} after 20 blocks, and falls to "
    f"{mean[30]:.1f} from there on; that of Berlin falls latest. The dashed line of guessing is at 10.8.",
)

# %% [markdown]
# Before the first block, a tied head names the token that it stands on, since no row is more like a row than itself; it
# is so sure of it that the loss is above 100. Then it names dots and commas for 20 blocks, again too surely. Words that
# fit come from block 20 on, the little ones first, and one of them earlier: "of" after the second *capital*, which the
# text has shown before. Berlin is in rank 8008 after 22 blocks and in rank 1 only after all 30.
#
# Does the model not know Berlin before that? The lens says what *the head* can read at a depth, not what the stream
# holds. What blocks write for one another need not look like any row of the table.
#
# ## A logit is a sum of 61 numbers
#
# The stream is a sum, and the end reads it with dot products. A dot product with a sum is a sum of dot products. In the
# toy, the last norm divides everything by 2.69, and what the dog is ahead of the bone is alive minus edible:
#
# | | row of "it" | attention | feed-forward | sum |
# |---|---|---|---|---|
# | (alive, edible) | (0.50, 0.50) | (1.30, 0.25) | (1.95, −1.42) | (3.75, −0.66) |
# | (alive − edible) / 2.69 | 0.00 | 0.39 | 1.25 | 1.64 |
#
# So it can be said who decided: a quarter attention, three quarters the feed-forward layer. The real model has 1 + 30 ·
# 2 such terms. What each half of a block adds can be had from the block itself: with a `w_down` of zeros its
# feed-forward layer adds nothing.


# %%
def halves(x, layer, cos, sin, *rest):
    """What attention adds to the stream, and what the feed-forward layer adds after it."""
    middle = transformer_block(x, layer._replace(w_down=np.zeros_like(layer.w_down)), cos, sin, *rest)
    return middle - x, transformer_block(x, layer, cos, sin, *rest) - middle


rotation = rope_table(config.head_dim, ids.shape[1], config.rope_theta)
rest = config.n_heads, config.n_kv_heads, config.norm_eps
added = np.array([halves(x, layer, *rotation, *rest) for x, layer in zip(states, params.layers)])[:, :, 0]
terms = np.concatenate([states[0][:, -1], added[:, :, -1].reshape(-1, config.dim)])  # of the last token: (61, D)
scale = 1 / np.sqrt(np.mean(states[-1][0, -1] ** 2) + config.norm_eps)  # the division of the last norm
paris = tokenizer.encode(" Paris")[0]
ahead = params.token_embedding[berlin] - params.token_embedding[paris]
votes = scale * (terms * params.final_norm) @ ahead
difference = logits[0, -1, berlin] - logits[0, -1, paris]
show_error("61 votes", votes.sum(), difference, 1e-2, against=f"logit of Berlin minus logit of Paris, {difference:.2f}")

# %% [markdown]
# **Guess first:** who decides for Berlin and against Paris, a few blocks or all of them? Attention, or the feed-forward
# layers?

# %% tags=["hide-input", "hide-output"]
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.6))
pairs = votes[1:].reshape(-1, 2)
left.set_axisbelow(True)
for i, name in enumerate(("attention", "feed-forward")):
    left.bar(np.arange(config.n_layers) + 0.4 * i - 0.2, pairs[:, i], 0.4, label=f"{name}: {pairs[:, i].sum():+.2f}")
left.set(xlabel="block", ylabel="vote for Berlin against Paris")
strong = np.sort(np.abs(pairs).ravel())[::-1]
late = np.abs(pairs[20:]).sum() / np.abs(pairs).sum()
claim(left, "The votes come late", holds=late > 0.6)
left.legend(fontsize=8, loc="upper left")
lengths = np.linalg.norm(np.array(states)[:, 0, 1:], axis=-1)  # (31, token)
parts = 100 * np.median(np.linalg.norm(added[:, :, 1:], axis=-1) / lengths[:-1, None], axis=-1)  # (block, half)
for i, name in enumerate(("attention", "feed-forward")):
    right.semilogy(parts[:, i], "o-", markersize=3, label=name)
right.set(xlabel="block", ylabel="what it adds, % of the stream")
more = (parts[:, 1] > parts[:, 0]).sum()
claim(right, f"In {more} of 30 blocks feed-forward adds more", holds=more > config.n_layers / 2)
right.legend(fontsize=8)
show(
    figure,
    "Left, two bars for each of 30 blocks, the votes of attention and of the feed-forward layer for Berlin against "
    f"Paris: near 0 up to block 15, and large in the last ten, which hold {late:.0%} of their sizes. Right, how long "
    "what each half adds is, in percent of the stream, upwards in powers of ten: from "
    f"{parts[0].max():.0f} in block 0 down to {parts[5:25].min():.0f} to {parts[5:25].max():.0f} in the middle.",
)
print(f"all blocks together {pairs.sum():+.2f}, row of “is” {votes[0]:+.2f}; largest single votes:")
for i in np.argsort(-np.abs(pairs).ravel())[:5]:
    print(f"    block {i // 2:>2}, {('attention', 'feed-forward')[i % 2]:<12} {pairs.ravel()[i]:+.2f}")

# %% [markdown]
# No single block knows it. The largest vote is that of attention in block 23, which fetches something from the tokens
# before; the other layers of attention take nearly as much away again, and most of Berlin comes from several
# feed-forward layers after it. A vote is what the *head* gets from a part. What an early block writes for a later one
# to read counts as a vote of the later one.
#
# The right side answers the question of the beginning. From block 2 on each half adds 8 to 60 percent of the stream's
# length, mostly about 20. Without one block the next reads nearly what it has learned to read, and so it does with two
# exchanged. Block 0 is another matter: its feed-forward layer adds fifteen times the embedding.
#
# **Guess first:** without layer 15 the loss of the dog rose from 6.06 to 6.34. What is it without layer 0?

# %% tags=["hide-output"]
for left_out in (15, 0):
    fewer = params._replace(layers=params.layers[:left_out] + params.layers[left_out + 1 :])
    words = next_words(forward(fewer, config, ids)[0][0])
    loss = mean_loss(forward(fewer, config, dog)[0][0], dog[0])
    print(f"without layer {left_out:<2}  {words:<36} loss of the dog {loss:.2f}")
assert loss > 10

# %% [markdown]
# Nothing is left: without it the stream is the bare embedding, a fifteenth of what layer 1 has learned to read.
#
# ## One thing wrong at a time
#
# The real model, wired wrongly in six ways, none of which raises an error: the mean loss on the text, and what it then
# says. **Guess first:** one of them costs little more than a nat, and says Paris instead of Berlin. Which?


# %% tags=["hide-input"]
def attended(x, layer, *rest):
    return halves(x, layer, *rest)[0]


def fed(x, layer, *rest):
    """What the feed-forward layer makes of x itself: with a wo of zeros, attention adds nothing."""
    return transformer_block(x, layer._replace(wo=np.zeros_like(layer.wo)), *rest) - x


def norm_after(x, layer, *rest):
    plain = layer._replace(attention_norm=np.ones_like(layer.attention_norm), ffn_norm=np.ones_like(layer.ffn_norm))
    x = FAST.rmsnorm_forward(x + attended(x, plain, *rest), layer.attention_norm, config.norm_eps)[0]
    return FAST.rmsnorm_forward(x + fed(x, plain, *rest), layer.ffn_norm, config.norm_eps)[0]


def no_rotation(x, layer, cos, sin, *rest):
    return transformer_block(x, layer, np.ones_like(cos), np.zeros_like(sin), *rest)


def norms_exchanged(x, layer, *rest):
    swapped = layer._replace(attention_norm=layer.ffn_norm, ffn_norm=layer.attention_norm)
    return transformer_block(x, swapped, *rest)


# %% tags=["hide-output"]
wirings = {
    "right": transformer_block,
    "both parts read the same x": lambda x, *rest: x + attended(x, *rest) + fed(x, *rest),
    "feed-forward first, then attention": lambda x, *rest: x + fed(x, *rest) + attended(x + fed(x, *rest), *rest),
    "attention replaces the stream": lambda x, *rest: attended(x, *rest) + fed(attended(x, *rest), *rest),
    "norm after the sum": norm_after,
    "the two norms exchanged": norms_exchanged,
    "no rotation": no_rotation,
}
losses, rows = {}, []
for name, block in wirings.items():
    last = run(params, config, ids, block)[-1]
    found = logit_lens(last[:, 1:], params.final_norm, params.token_embedding, targets[1:], config.norm_eps)
    losses[name] = -found.mean()
    rows.append((name, f"{losses[name]:.2f}", next_words(logits_of(last, params, config)[0])))
assert min(losses, key=losses.get) == "right"
table(("wiring", "loss", f"... {text[-26:]} ..."), rows)

# %% [markdown]
# Without rotation the tokens have no order, and Paris is a capital as well as Berlin. Parts side by side, or in the
# other order, can be trained too; but these weights were trained for this wiring and no other. Where the stream is
# replaced or divided, nothing is left. The two norms have the same shape, so nothing stops a loader that exchanges
# them.
#
# A tiny model at the end, with sizes that all differ, two heads to each head of keys, a batch of three and a second
# table: what equal sizes would hide shows here. Block, head and loader agree with the package once more.

# %%
tiny = ModelConfig(dim=32, n_layers=3, n_heads=4, n_kv_heads=2, hidden_dim=56, vocab_size=101, max_seq_len=64)


def draw(name, shape):
    if name.endswith("norm"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return (rng.normal(size=shape) / math.sqrt(shape[-1])).astype(np.float32)


tiny_params = build_params(tiny, draw)
some = rng.integers(0, tiny.vocab_size, (3, 17))
loaded = model_of(bytes_of(tiny_params, tiny))
ours = logits_of(run(loaded, tiny, some, transformer_block)[-1], loaded, tiny)
for name, functions in (("NumPy", REFERENCE), ("Numba", FAST)):
    show_error("logits", ours, forward(tiny_params, tiny, some, functions)[0], 1e-4, against=f"the package, {name}")
wide = map_tree(lambda w: w.astype(np.float64), tiny_params)
show_error("logits", ours, forward(wide, tiny, some, REFERENCE)[0], 1e-4, against="float64")

# %% [markdown]
# ## What you now know
#
# - A block reads a copy of the stream at size 1, adds what attention finds, reads a new copy, and adds what the
#   feed-forward layer makes. The stream itself is never divided or replaced.
# - The end reads a direction: last norm, then a dot product with a row for each token.
# - A wrong order raises no error. The proof is somebody else's program, state by state, and the first wrong state names
#   the block.
# - A file may be nothing but numbers. Seven of them say how all others are to be cut.
# - Because the stream is a sum, a head can be put on it at any depth, and a logit can be taken apart into what each
#   part of each block gave to it.
#
# ## Three questions
#
# 1. Every row of the toy's table is made ten times as large where it enters the stream; the head keeps the old rows.
#    The norms see to it that attention reads the same copies. How far is the dog ahead of the bone after attention, in
#    logits, and how far was it before?
#
# <details>
# <summary>Answer</summary>
#
# The stream is (5, 5) + (1.30, 0.25) = (6.30, 5.25), its root mean square 5.80, so the dog is ahead by 1.05 / 5.80 =
# 0.18. Before it was 1.05 / 1.38 = 0.76. What a part adds has the same size as ever, and counts less in a longer
# stream.
#
# </details>
#
# 2. A file of version 0 begins with 288, 768, 6, 6, 6, −32000, 256. How many bytes has it? And by how many rows is the
#    second table shifted for a loader that forgets the cosines and sines?
#
# <details>
# <summary>Answer</summary>
#
# Two tables of 32,000 · 288 are 18,432,000 numbers. A layer has 4 · 288² + 3 · 288 · 768 + 2 · 288 = 995,904, six of
# them 5,975,424. The final norm has 288, the cosines and sines 2 · 256 · 24 = 12,288. That is 24,420,000 numbers, so
# 97,680,000 bytes, and 28 of the header. 12,288 numbers are 42⅔ rows: each row is made of the ends of two others.
#
# </details>
#
# 3. Two models agree in states 0 to 9 up to 10⁻⁶; state 10 is off by 0.02, state 11 by 0.05, and so on. Where is the
#    mistake, and how do you find out in which half of it? And where is it if all states agree and the logits do not?
#
# <details>
# <summary>Answer</summary>
#
# State 10 is what the tenth block leaves, number 9. Give it state 9 and set its `w_down` to zeros in both models: if
# they still differ, it is attention or its norm, otherwise the feed-forward half. If all states agree, only the last
# norm and the head are left, for example a tied table where the file has a second one.
#
# </details>
#
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
# Each is asked for above, where its idea is fresh. `minillama learn start my-llama` makes a folder with all starters,
# and `minillama learn watch` checks on every save.
#
# ## Next
#
# To write 20 tokens of a story, the model read its beginning 20 times, from the first token on. Of all that work nearly
# everything was the same each time. [10](10_kv_cache.ipynb) keeps it.
