"""Chapter 00, first words: what a configuration fixes, before any weight is read; and the loop that answers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoints.huggingface.reading import parse_config
from ...config import ModelConfig
from ..exercise import Exercise, Mistake

# --- continue_greedily --------------------------------------------------------------------


def _make_table(
    rng: np.random.Generator, vocab_size: int, n_prompt: int, max_tokens: int, ends: int
) -> tuple[Any, ...]:
    """Logits that lead through all tokens in a circle; in every row the next token has equals above it."""
    if vocab_size < 2 or max_tokens < 1 or n_prompt < 1:
        raise ValueError("two tokens, a prompt and one step are the least")
    order = rng.permutation(vocab_size)
    table = rng.uniform(-3, 2, (vocab_size, vocab_size)).astype(np.float32)
    for here, following in zip(order, np.roll(order, -1)):
        table[here, following] = 2.5
        table[here, following + 1 :: 2] = 2.5
    prompt = [int(i) for i in order[np.arange(n_prompt) % vocab_size]]
    path = _greedy(table, prompt, min(max_tokens, vocab_size), -1)
    return table, prompt, max_tokens, path[len(path) // 2] if ends else -1


def _greedy(table, prompt, max_tokens, end_id):
    last, ids = prompt[-1], []
    for _ in range(max_tokens):
        last = int(np.argmax(table[last]))
        if last == end_id:
            break
        ids.append(last)
    return ids


def _greedy_with_end(table, prompt, max_tokens, end_id):
    ids = _greedy(table, prompt, max_tokens, end_id)
    return [*ids, end_id] if len(ids) < max_tokens else ids


def _greedy_last_tie(table, prompt, max_tokens, end_id):
    n = len(table)
    order = np.arange(n)[::-1]
    turned = _greedy(table[::-1, ::-1], [n - 1 - i for i in prompt], max_tokens, n - 1 - end_id)
    return [int(order[i]) for i in turned]


def _greedy_never_fed(table, prompt, max_tokens, end_id):
    best = int(np.argmax(table[prompt[-1]]))
    return [] if best == end_id else [best] * max_tokens


CONTINUE_GREEDILY = Exercise(
    id="continue_greedily",
    chapter="00",
    title="The loop that answers",
    task="Take the most probable token, feed it back, and stop at the end token or after max_tokens.",
    difficulty=1,
    minutes=10,
    reference=_greedy,
    make=_make_table,
    shapes=(
        {"vocab_size": 3, "n_prompt": 1, "max_tokens": 1, "ends": 0},
        {"vocab_size": 4, "n_prompt": 2, "max_tokens": 3, "ends": 0},
        {"vocab_size": 7, "n_prompt": 3, "max_tokens": 6, "ends": 1},
        {"vocab_size": 11, "n_prompt": 1, "max_tokens": 9, "ends": 1},
        {"vocab_size": 16, "n_prompt": 5, "max_tokens": 40, "ends": 0},
    ),
    axes=("token",),
    exact=True,
    hints=(
        "Only the last token matters to this little model: its row of the table holds the logits of the next one.",
        "A loop of at most max_tokens rounds: look up the row of the last token, np.argmax of it, compare with "
        "end_id, append, and make it the last token.",
        "last, ids = prompt[-1], []\nfor _ in range(max_tokens):\n    last = int(np.argmax(table[last]))\n"
        "    if last == end_id: break\n    ids.append(last)",
    ),
    mistakes=(
        Mistake(
            "Your function returns the prompt too.",
            "Only the new tokens are wanted: begin with an empty list and take prompt[-1] as the last token.",
            lambda table, prompt, n, end: prompt + _greedy(table, prompt, n, end),
        ),
        Mistake(
            "Your function keeps the end token in its result.",
            "The end token is a signal, not a word: leave the loop before you append it.",
            _greedy_with_end,
        ),
        Mistake(
            "Your function goes on after the end token.",
            "A model that has said its end token has finished; whatever comes after it is noise. Compare with end_id.",
            lambda table, prompt, n, end: _greedy(table, prompt, n, -1),
        ),
        Mistake(
            "Your function takes the last of several equal logits.",
            "Equal logits: the lower id wins, as np.argmax has it. `>=` in a loop of your own, or sorting, takes the "
            "other one.",
            _greedy_last_tie,
        ),
        Mistake(
            "Your function never feeds its tokens back: every step looks at the prompt alone.",
            "The token that was chosen is the last one of the next step.",
            _greedy_never_fed,
        ),
        Mistake(
            "Your function begins with the first token of the prompt.",
            "The next token follows the last one: prompt[-1].",
            lambda table, prompt, n, end: _greedy(table, prompt[:1], n, end),
        ),
        Mistake(
            "Your function takes the least probable token.",
            "The largest logit belongs to the most probable token: argmax.",
            lambda table, prompt, n, end: _greedy(-table, prompt, n, end),
        ),
    ),
)

# --- read_config --------------------------------------------------------------------------


def _make_json(
    rng: np.random.Generator, n_heads: int, n_kv_heads: int, head_dim: int, theta: int, tied: int
) -> tuple[Any, ...]:
    """A config.json. 0 leaves a key out; theta 2 is where transformers 5 writes it; tied 2 says false."""
    if (n_kv_heads and n_heads % n_kv_heads) or head_dim % 2 or theta > 2 or tied > 2:
        raise ValueError("no such configuration")
    described: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": int(8 * n_heads),
        "intermediate_size": int(8 * n_heads * 5 // 2 + 3),
        "num_hidden_layers": int(rng.integers(1, 90)),
        "num_attention_heads": n_heads,
        "vocab_size": int(rng.integers(300, 50000)),
        "max_position_embeddings": int(rng.integers(1, 9)) * 512,
        "torch_dtype": "bfloat16",
    }
    if n_kv_heads:
        described["num_key_value_heads"] = n_kv_heads
    if head_dim:
        described["head_dim"] = head_dim
    if theta == 1:
        described["rope_theta"] = 100000.0
    if theta == 2:
        described["rope_parameters"] = {"rope_type": "default", "rope_theta": 500000.0}
    if tied:
        described["tie_word_embeddings"] = tied == 1
        described["rms_norm_eps"] = 1e-5
    return (described,)


def _read(described):
    return asdict(parse_config(described, Path("config.json")))


def _torch_read(described):
    """What transformers makes of the same dict."""
    from transformers import LlamaConfig

    c: Any = LlamaConfig(**described)
    return {
        "dim": c.hidden_size,
        "n_layers": c.num_hidden_layers,
        "n_heads": c.num_attention_heads,
        "n_kv_heads": c.num_key_value_heads,
        "head_dim": c.head_dim,
        "hidden_dim": c.intermediate_size,
        "vocab_size": c.vocab_size,
        "max_seq_len": c.max_position_embeddings,
        "norm_eps": c.rms_norm_eps,
        "rope_theta": c.rope_parameters["rope_theta"],
        "tied": c.tie_word_embeddings,
    }


def _read_kv(described):
    c = _read(described)
    return {**c, "n_kv_heads": described.get("num_key_value_heads", 1)}


def _read_theta(described):
    return {**_read(described), "rope_theta": described.get("rope_theta", 10000.0)}


READ_CONFIG = Exercise(
    id="read_config",
    chapter="00",
    title="Read a config.json",
    task="Turn the keys of a Hugging Face config.json into the ten numbers (and one yes or no) that fix a Llama.",
    difficulty=1,
    minutes=15,
    reference=_read,
    make=_make_json,
    shapes=(
        {"n_heads": 2, "n_kv_heads": 2, "head_dim": 0, "theta": 1, "tied": 2},
        {"n_heads": 6, "n_kv_heads": 0, "head_dim": 0, "theta": 0, "tied": 0},
        {"n_heads": 9, "n_kv_heads": 3, "head_dim": 0, "theta": 1, "tied": 1},
        {"n_heads": 4, "n_kv_heads": 1, "head_dim": 16, "theta": 2, "tied": 1},
        {"n_heads": 8, "n_kv_heads": 0, "head_dim": 6, "theta": 2, "tied": 2},
    ),
    exact=True,
    oracle=_torch_read,
    hints=(
        "Most keys are the same number under another name. Four may be missing, and what a missing key means is the "
        "whole point: described.get(key, default).",
        "Missing num_key_value_heads means as many as query heads; missing head_dim means hidden_size // "
        "num_attention_heads; missing tie_word_embeddings means False; rope_theta may stand one level deeper, in "
        "rope_parameters, and is 10000.0 if it is nowhere.",
        'heads = described["num_attention_heads"]\n'
        'rope = {**described, **described.get("rope_parameters", {})}\n'
        '"n_kv_heads": described.get("num_key_value_heads", heads),\n'
        '"head_dim": described.get("head_dim", described["hidden_size"] // heads),\n'
        '"rope_theta": rope.get("rope_theta", 10000.0), ...',
    ),
    mistakes=(
        Mistake(
            "Your head_dim is hidden_size // num_attention_heads even where the file gives another.",
            "The heads together need not be as wide as the model: a head_dim in the file wins.",
            lambda d: {**_read(d), "head_dim": d["hidden_size"] // d["num_attention_heads"]},
        ),
        Mistake(
            "Your n_kv_heads is 1 where the file does not give it.",
            "A missing num_key_value_heads means multi-head attention: as many as query heads, as in LLaMA 2 7B.",
            _read_kv,
        ),
        Mistake(
            "Your n_kv_heads is always the number of query heads.",
            "num_key_value_heads is where grouped-query attention is written down: read it if it is there.",
            lambda d: {**_read(d), "n_kv_heads": d["num_attention_heads"]},
        ),
        Mistake(
            "Your function treats the head as tied unless the file says otherwise.",
            "A missing tie_word_embeddings means False for a Llama: the output head has a matrix of its own.",
            lambda d: {**_read(d), "tied": d.get("tie_word_embeddings", True)},
        ),
        Mistake(
            "Your function never reads tie_word_embeddings.",
            "SmolLM2 has no output matrix in its file: the token embedding serves twice, and this key says so.",
            lambda d: {**_read(d), "tied": False},
        ),
        Mistake(
            "Your function misses a rope_theta that stands in rope_parameters.",
            "transformers 5 writes it there: look at the top level, then in rope_parameters, then take 10000.0.",
            _read_theta,
        ),
        Mistake(
            "Your norm_eps is 1e-5 where the file does not give it.",
            "LLaMA 2's own value is 1e-5, but a missing rms_norm_eps means 1e-6 to the library that wrote the file.",
            lambda d: {**_read(d), "norm_eps": d.get("rms_norm_eps", 1e-5)},
        ),
        Mistake(
            "Your hidden_dim is four times the width of the model.",
            "SwiGLU has three matrices, so it is made narrower, and rounded: read intermediate_size.",
            lambda d: {**_read(d), "hidden_dim": 4 * d["hidden_size"]},
        ),
    ),
)

# --- count_parameters ---------------------------------------------------------------------


def _config(**fields: int) -> dict[str, Any]:
    """A configuration as a dict; whatever makes no sense together raises ValueError."""
    given: dict[str, Any] = {"n_layers": 1, "max_seq_len": 4096, **fields, "tied": bool(fields.get("tied", 0))}
    return asdict(ModelConfig(**given))


def _make_config(rng: np.random.Generator, **dims: int) -> tuple[Any, ...]:
    return (_config(**dims),)


def _count(config):
    return ModelConfig(**config).n_parameters


def _count_with(**changes):
    """The count of a configuration in which a number is another one."""
    return lambda config: _count({**config, **{name: change(config) for name, change in changes.items()}})


COUNT_PARAMETERS = Exercise(
    id="count_parameters",
    chapter="00",
    title="How many parameters?",
    task="Count every number that a Llama of this configuration learns: 7B and 70B must come out exactly.",
    difficulty=2,
    minutes=20,
    reference=_count,
    make=_make_config,
    shapes=tuple(
        dict(zip(("dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size", "tied"), numbers))
        for numbers in (
            (4, 1, 1, 1, 2, 6, 5, 0),
            (8, 3, 4, 2, 6, 10, 7, 1),
            (64, 5, 8, 4, 8, 172, 512, 1),
            (576, 30, 9, 3, 64, 1536, 49152, 1),
            (4096, 32, 32, 32, 128, 11008, 32000, 0),
            (8192, 80, 64, 8, 128, 28672, 32000, 0),
        )
    ),
    exact=True,
    hints=(
        "List the arrays of one layer with their shapes: four matrices of attention, three of the feed-forward "
        "layer, two norms. Then what stands outside of the layers.",
        "wq and wo are dim by n_heads * head_dim; wk and wv are dim by n_kv_heads * head_dim. A norm has dim numbers. "
        "Outside: the embedding, one last norm, and an output head unless it is tied.",
        "attention = 2 * dim * head_dim * (n_heads + n_kv_heads)\n"
        "layer = attention + 3 * dim * hidden_dim + 2 * dim\n"
        "tables = (1 if tied else 2) * vocab_size * dim      # and one more norm at the end",
    ),
    mistakes=(
        Mistake(
            "Your function counts keys and values as if there were one for every query head.",
            "Under grouped-query attention wk and wv have n_kv_heads * head_dim rows: 70B has 8 of them, not 64.",
            _count_with(n_kv_heads=lambda c: c["n_heads"]),
        ),
        Mistake(
            "Your function counts two matrices in the feed-forward layer.",
            "SwiGLU has three: gate, up and down.",
            lambda c: _count(c) - c["n_layers"] * c["dim"] * c["hidden_dim"],
        ),
        Mistake(
            "Your function counts an output head even where it is tied.",
            "A tied head is the embedding itself: one table, counted once.",
            _count_with(tied=lambda c: False),
        ),
        Mistake(
            "Your function never counts the output head.",
            "No LLaMA 2 is tied: the head is a second table of vocab_size * dim.",
            _count_with(tied=lambda c: True),
        ),
        Mistake(
            "Your function leaves out all norms.",
            "Two in every layer and one at the end, dim numbers each.",
            lambda c: _count(c) - (2 * c["n_layers"] + 1) * c["dim"],
        ),
        Mistake(
            "Your function leaves out the last norm, before the output head.",
            "The residual stream is normalised once more after the last layer: dim numbers.",
            lambda c: _count(c) - c["dim"],
        ),
        Mistake(
            "Your function counts one norm a layer.",
            "Attention and feed-forward layer have one each.",
            lambda c: _count(c) - c["n_layers"] * c["dim"],
        ),
        Mistake(
            "Your function takes the heads to be dim / n_heads wide.",
            "head_dim is a number of its own: n_heads * head_dim may be more or less than dim.",
            _count_with(head_dim=lambda c: max(2, c["dim"] // c["n_heads"])),
        ),
        Mistake(
            "Your function counts a bias for every row of every matrix.",
            "A Llama has no biases at all.",
            lambda c: (
                _count(c)
                + c["n_layers"] * ((c["n_heads"] + 2 * c["n_kv_heads"]) * c["head_dim"] + 2 * c["dim"])
                + c["n_layers"] * 2 * c["hidden_dim"]
            ),
        ),
    ),
)

# --- activation_shapes ----------------------------------------------------------------------


def _make_call(rng: np.random.Generator, B: int, T: int, n_past: int, **dims: int) -> tuple[Any, ...]:
    return _config(**dims), B, T, n_past


def _shapes(config, batch, n_tokens, n_past):
    c, B, T, S = config, batch, n_tokens, n_past + n_tokens
    return {
        "residual": (B, T, c["dim"]),
        "query": (B, c["n_heads"], T, c["head_dim"]),
        "key": (B, c["n_kv_heads"], S, c["head_dim"]),
        "scores": (B, c["n_heads"], T, S),
        "joined": (B, T, c["n_heads"] * c["head_dim"]),
        "gate": (B, T, c["hidden_dim"]),
        "logits": (B, T, c["vocab_size"]),
    }


def _torch_shapes(config, batch, n_tokens, n_past):
    """Tensors without memory go through the layers of a model of any size."""
    import torch
    from torch.nn.functional import linear

    c = config

    def empty(*shape):
        return torch.empty(shape, device="meta")

    def heads(x, n):
        return x.view(batch, n_tokens, n, c["head_dim"]).transpose(1, 2)

    x = empty(batch, n_tokens, c["dim"])
    q = heads(linear(x, empty(c["n_heads"] * c["head_dim"], c["dim"])), c["n_heads"])
    k = heads(linear(x, empty(c["n_kv_heads"] * c["head_dim"], c["dim"])), c["n_kv_heads"])
    k = torch.cat((empty(batch, c["n_kv_heads"], n_past, c["head_dim"]), k), dim=2)
    repeated = k.repeat_interleave(c["n_heads"] // c["n_kv_heads"], dim=1)
    scores = q @ repeated.transpose(2, 3)
    joined = (scores @ repeated).transpose(1, 2).reshape(batch, n_tokens, -1)
    gate = linear(x, empty(c["hidden_dim"], c["dim"]))
    logits = linear(x, empty(c["vocab_size"], c["dim"]))
    arrays = {"residual": x, "query": q, "key": k, "scores": scores, "joined": joined, "gate": gate, "logits": logits}
    return {name: tuple(a.shape) for name, a in arrays.items()}


def _plain_shapes(function, args):
    """Lists and NumPy's integers are as good as tuples of int."""
    result = function(*args)
    if not isinstance(result, dict):
        return result
    return {
        name: tuple(int(n) for n in shape) if isinstance(shape, tuple | list | np.ndarray) else shape
        for name, shape in result.items()
    }


def _shapes_with(**changes):
    """The right shapes but for some, each from (right shapes, config, batch, n_tokens, n_past)."""

    def wrong(*args):
        right = _shapes(*args)
        return {**right, **{name: change(right, *args) for name, change in changes.items()}}

    return wrong


ACTIVATION_SHAPES = Exercise(
    id="activation_shapes",
    chapter="00",
    title="Predict the shapes",
    task="Say the shape of every array on a token's way, for a chunk of T tokens that follows n_past cached ones.",
    difficulty=2,
    minutes=20,
    reference=_shapes,
    make=_make_call,
    shapes=tuple(
        dict(
            zip(
                ("B", "T", "n_past", "dim", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size"),
                numbers,
            )
        )
        for numbers in (
            (1, 2, 0, 4, 2, 1, 2, 6, 5),
            (1, 1, 7, 8, 4, 2, 6, 10, 9),
            (3, 5, 2, 64, 8, 4, 8, 172, 512),
            (2, 1, 0, 576, 9, 3, 64, 1536, 49152),
            (1, 512, 3584, 8192, 64, 8, 128, 28672, 32000),
        )
    ),
    observe=_plain_shapes,
    exact=True,
    oracle=_torch_shapes,
    hints=(
        "Follow one token: the residual stream has dim numbers for it from the embedding to the last norm. Only inside "
        "of attention and of the feed-forward layer is it anything else.",
        "Heads come before positions: (B, heads, positions, head_dim). Queries exist for the T new tokens alone; keys "
        "for all n_past + T, and there are only n_kv_heads of them.",
        '"query": (B, n_heads, T, head_dim), "key": (B, n_kv_heads, n_past + T, head_dim),\n'
        '"scores": (B, n_heads, T, n_past + T), "joined": (B, T, n_heads * head_dim), ...',
    ),
    mistakes=(
        Mistake(
            "Your queries have their axes in the order (batch, position, head, dim).",
            "That is the order in which they come out of the matrix. Attention wants the heads in front: "
            "(batch, head, position, dim), so that every head is a matrix of its own.",
            _shapes_with(query=lambda right, c, B, T, n: (B, T, c["n_heads"], c["head_dim"])),
        ),
        Mistake(
            "Your keys have as many heads as your queries.",
            "n_kv_heads of them are computed and cached; each serves a group of query heads.",
            _shapes_with(key=lambda right, c, B, T, n: (B, c["n_heads"], n + T, c["head_dim"])),
        ),
        Mistake(
            "Your keys are those of the new tokens alone.",
            "The keys of the earlier ones lie in the cache and take part: n_past + T positions.",
            _shapes_with(key=lambda right, c, B, T, n: (B, c["n_kv_heads"], T, c["head_dim"])),
        ),
        Mistake(
            "Your scores are as many rows as columns.",
            "A row for each new token, a column for each token it can look at, cached ones too: (T, n_past + T).",
            _shapes_with(scores=lambda right, c, B, T, n: (B, c["n_heads"], T, T)),
        ),
        Mistake(
            "Your scores have a row for every cached token too.",
            "The cached tokens asked their questions before: there are T new queries.",
            _shapes_with(scores=lambda right, c, B, T, n: (B, c["n_heads"], n + T, n + T)),
        ),
        Mistake(
            "Your scores have n_kv_heads heads.",
            "Every query head has scores of its own, even where several look at the same keys.",
            _shapes_with(scores=lambda right, c, B, T, n: (B, c["n_kv_heads"], T, n + T)),
        ),
        Mistake(
            "Your joined heads are dim wide.",
            "They are n_heads * head_dim wide; wo brings that to dim. The two are the same in LLaMA 2, not everywhere.",
            _shapes_with(joined=lambda right, c, B, T, n: (B, T, c["dim"])),
        ),
        Mistake(
            "Your logits are those of the last position alone.",
            "Every position predicts the token after it: (B, T, vocab_size). Picking the last one comes later.",
            _shapes_with(logits=lambda right, c, B, T, n: (B, c["vocab_size"])),
        ),
    ),
)

# --- context_that_fits ----------------------------------------------------------------------


def _make_memory(
    rng: np.random.Generator, n_layers: int, n_heads: int, n_kv_heads: int, head_dim: int, tokens: int
) -> tuple[Any, ...]:
    """Memory for the weights and that many tokens, and some bytes over; 0 tokens: not even for the weights."""
    config = _config(
        dim=n_heads * head_dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        hidden_dim=3 * n_heads * head_dim,
        vocab_size=1000,
    )
    position = ModelConfig(**config).kv_cache_bytes()
    n_parameters, bits = 64 * int(rng.integers(1000, 9000)), float(rng.choice([4.5, 8.5, 16.0, 32.0]))
    weights = int(n_parameters * bits) // 8
    memory = weights + tokens * position + position // 2 if tokens else weights - 3 * position - 1
    return config, n_parameters, bits, memory


def _fits(config, n_parameters, bits_per_weight, memory_bytes, *, position=None, cap=True, floor=True, weights=None):
    c = ModelConfig(**config)
    weights = n_parameters * bits_per_weight / 8 if weights is None else weights
    tokens = int((memory_bytes - weights) // (c.kv_cache_bytes() if position is None else position))
    tokens = min(tokens, c.max_seq_len) if cap else tokens
    return max(tokens, 0) if floor else tokens


def _fits_with(position):
    return lambda c, n, bits, m: _fits(c, n, bits, m, position=position(ModelConfig(**c)))


CONTEXT_THAT_FITS = Exercise(
    id="context_that_fits",
    chapter="00",
    title="How long a text fits in memory?",
    task="Count the tokens whose float16 keys and values fit beside the weights, up to the model's context.",
    difficulty=2,
    minutes=15,
    reference=_fits,
    make=_make_memory,
    shapes=(
        {"n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "head_dim": 4, "tokens": 3},
        {"n_layers": 2, "n_heads": 2, "n_kv_heads": 2, "head_dim": 8, "tokens": 0},
        {"n_layers": 5, "n_heads": 8, "n_kv_heads": 4, "head_dim": 8, "tokens": 257},
        {"n_layers": 30, "n_heads": 9, "n_kv_heads": 3, "head_dim": 64, "tokens": 5000},
        {"n_layers": 80, "n_heads": 64, "n_kv_heads": 8, "head_dim": 128, "tokens": 4001},
    ),
    exact=True,
    hints=(
        "Three numbers: bytes of the weights, bytes of one token's keys and values, and what is left for how many.",
        "One token leaves a key and a value of n_kv_heads * head_dim numbers in every layer, 2 bytes each. The weights "
        "take n_parameters * bits / 8 bytes.",
        "per_token = 2 * n_layers * n_kv_heads * head_dim * 2\n"
        "left = memory_bytes - n_parameters * bits_per_weight / 8\n"
        "return int(min(max(left // per_token, 0), max_seq_len))",
    ),
    mistakes=(
        Mistake(
            "Your function stores keys but no values, or numbers of one byte.",
            "A key and a value for every head, and two bytes for each float16: 2 * 2 * ...",
            _fits_with(lambda c: c.kv_cache_bytes() // 2),
        ),
        Mistake(
            "Your function stores keys and values for every query head.",
            "Only n_kv_heads are stored: that is what grouped-query attention is for.",
            _fits_with(lambda c: c.kv_cache_bytes(n_kv_heads=c.n_heads)),
        ),
        Mistake(
            "Your function stores the keys and values of one layer.",
            "Every layer has its own: n_layers times as many.",
            _fits_with(lambda c: c.kv_cache_bytes() // c.n_layers),
        ),
        Mistake(
            "Your function stores keys and values in float32.",
            "The exercise asks for float16: two bytes for a number.",
            _fits_with(lambda c: c.kv_cache_bytes(bytes_per_number=4)),
        ),
        Mistake(
            "Your function gives negative numbers of tokens.",
            "Where the weights do not fit, no token does: the answer is 0.",
            lambda c, n, bits, m: _fits(c, n, bits, m, floor=False),
        ),
        Mistake(
            "Your function goes beyond the context of the model.",
            "More than max_seq_len positions are of no use: the model was not trained for them.",
            lambda c, n, bits, m: _fits(c, n, bits, m, cap=False),
        ),
        Mistake(
            "Your function forgets that the weights need memory too.",
            "Subtract n_parameters * bits_per_weight / 8 first.",
            lambda c, n, bits, m: _fits(c, n, bits, m, weights=0),
        ),
        Mistake(
            "Your function takes bits for bytes.",
            "bits_per_weight are bits: eight of them make a byte.",
            lambda c, n, bits, m: _fits(c, n, bits, m, weights=n * bits),
        ),
    ),
)

EXERCISES = (CONTINUE_GREEDILY, READ_CONFIG, COUNT_PARAMETERS, ACTIVATION_SHAPES, CONTEXT_THAT_FITS)
