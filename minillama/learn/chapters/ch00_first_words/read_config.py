"""Read a config.json."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ....checkpoints.huggingface.configuration import parse_config
from ...exercises.exercise import exercise


def make_json(
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
        described["rope_theta"] = 100000  # many files have it without a point
    if theta == 2:
        described["rope_parameters"] = {"rope_type": "default", "rope_theta": 500000.0}
    if tied:
        described["tie_word_embeddings"] = tied == 1
        described["rms_norm_eps"] = 1e-5
    return (described,)


def read(described):
    """Of a LLaMA 2; the fields of its relatives say nothing then."""
    config = asdict(parse_config(described, Path("config.json")))
    return {name: config[name] for name in _FIELDS}


_FIELDS = (
    "dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size", "max_seq_len", "norm_eps",
    "rope_theta", "tied",
)  # fmt: skip


def torch_read(described):
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
        "rope_theta": float(c.rope_parameters["rope_theta"]),
        "tied": c.tie_word_embeddings,
    }


@exercise(
    title="Read a config.json",
    task="Turn the keys of a Hugging Face config.json into the ten numbers (and one yes or no) that fix a Llama.",
    difficulty=1,
    minutes=15,
    same_as=read,
    make=make_json,
    shapes=(
        {"n_heads": 2, "n_kv_heads": 2, "head_dim": 0, "theta": 1, "tied": 2},
        {"n_heads": 6, "n_kv_heads": 0, "head_dim": 0, "theta": 0, "tied": 0},
        {"n_heads": 9, "n_kv_heads": 3, "head_dim": 0, "theta": 1, "tied": 1},
        {"n_heads": 4, "n_kv_heads": 1, "head_dim": 16, "theta": 2, "tied": 1},
        {"n_heads": 8, "n_kv_heads": 0, "head_dim": 6, "theta": 2, "tied": 2},
    ),
    exact=True,
    dtype_matters=True,
    oracle=torch_read,
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
        '"rope_theta": float(rope.get("rope_theta", 10000.0)), ...',
    ),
    why=(
        "Files of different years leave out different fields, and a missing one means what the first models had: a "
        "key head for every query head, heads that share the width evenly, a head of its own at the end. `dict.get` "
        "takes such a default only where nothing is given, so a head_dim that breaks the rule is kept. Copying "
        "rope_parameters over the top level makes one place to look of the two that files have."
    ),
)
def read_config(described):
    """The numbers that fix a Llama, from a Hugging Face config.json.

    Parameters
    ----------
    described : dict
        As json.load returns it. Always there: hidden_size, intermediate_size, num_hidden_layers,
        num_attention_heads, vocab_size, max_position_embeddings. May be missing:

        num_key_value_heads   then as many as query heads
        head_dim              then hidden_size // num_attention_heads
        rms_norm_eps          then 1e-6
        rope_theta            on the top level, or in the dict rope_parameters; else 10000.0. Some
                              files have an integer, 100000
        tie_word_embeddings   then False

    Returns
    -------
    config : dict
        dim, n_layers, n_heads, n_kv_heads, head_dim, hidden_dim, vocab_size, max_seq_len (int),
        norm_eps, rope_theta (float), tied (bool).
    """
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


@read_config.mistake(
    "Your head_dim is hidden_size // num_attention_heads even where the file gives another.",
    "The heads together need not be as wide as the model: a head_dim in the file wins.",
)
def head_dim_from_the_width(described):
    return {**read(described), "head_dim": described["hidden_size"] // described["num_attention_heads"]}


@read_config.mistake(
    "Your n_kv_heads is 1 where the file does not give it.",
    "A missing num_key_value_heads means multi-head attention: as many as query heads, as in LLaMA 2 7B.",
)
def read_kv(described):
    c = read(described)
    return {**c, "n_kv_heads": described.get("num_key_value_heads", 1)}


@read_config.mistake(
    "Your n_kv_heads is always the number of query heads.",
    "num_key_value_heads is where grouped-query attention is written down: read it if it is there.",
)
def n_kv_heads_is_always_number_of_query_heads(described):
    return {**read(described), "n_kv_heads": described["num_attention_heads"]}


@read_config.mistake(
    "Your function treats the head as tied unless the file says otherwise.",
    "A missing tie_word_embeddings means False for a Llama: the output head has a matrix of its own.",
)
def treats_head_as_tied_unless_file_says(described):
    return {**read(described), "tied": described.get("tie_word_embeddings", True)}


@read_config.mistake(
    "Your function never reads tie_word_embeddings.",
    "SmolLM2 has no output matrix in its file: the token embedding serves twice, and this key says so.",
)
def never_reads_tie_word_embeddings(described):
    return {**read(described), "tied": False}


@read_config.mistake(
    "Your function misses a rope_theta that stands in rope_parameters.",
    "transformers 5 writes it there: look at the top level, then in rope_parameters, then take 10000.0.",
)
def read_theta(described):
    return {**read(described), "rope_theta": float(described.get("rope_theta", 10000.0))}


@read_config.mistake(
    "Your rope_theta stays an integer where the file has one.",
    "It takes part in arithmetic with floats: float(...), wherever it comes from.",
)
def rope_theta_stays_an_integer(described):
    rope = {**described, **described.get("rope_parameters", {})}
    return {**read(described), "rope_theta": rope.get("rope_theta", 10000.0)}


@read_config.mistake(
    "Your norm_eps is 1e-5 where the file does not give it.",
    "LLaMA 2's own value is 1e-5, but a missing rms_norm_eps means 1e-6 to the library that wrote the file.",
)
def norm_eps_is_1e_5_by_default(described):
    return {**read(described), "norm_eps": described.get("rms_norm_eps", 1e-5)}


@read_config.mistake(
    "Your hidden_dim is four times the width of the model.",
    "SwiGLU has three matrices, so it is made narrower, and rounded: read intermediate_size.",
)
def hidden_dim_is_four_times_width_of_model(described):
    return {**read(described), "hidden_dim": 4 * described["hidden_size"]}
