"""The parameters of a Llama: a tree (trees.py) of `LayerParams`, with one name for every array.

Gradients and optimizer moments use the same types.
All matrices are stored (out_features, in_features): `y = x @ w.T`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .config import ModelConfig
from .trees import named_leaves


class LayerParams(NamedTuple):
    """One transformer block. Names in Meta's files stand after the shapes."""

    attention_norm: Any  # (D,)            attention_norm
    wq: Any  # (n_heads * head_dim, D)     attention.wq, rows in interleaved order
    wk: Any  # (n_kv_heads * head_dim, D)  attention.wk, rows in interleaved order
    wv: Any  # (n_kv_heads * head_dim, D)  attention.wv
    wo: Any  # (D, n_heads * head_dim)     attention.wo
    ffn_norm: Any  # (D,)                  ffn_norm
    w_gate: Any  # (hidden_dim, D)         feed_forward.w1
    w_up: Any  # (hidden_dim, D)           feed_forward.w3
    w_down: Any  # (D, hidden_dim)         feed_forward.w2


class LayerExtras(NamedTuple):
    """What a block of a relative has and one of LLaMA 2 has not (`ModelConfig.beyond_llama2`); None where it has none.

    A bias is added to the product of the matrix of the same letters; the norms belong to one head.
    """

    bq: Any | None = None  # (n_heads * head_dim,), in the order of wq's rows
    bk: Any | None = None  # (n_kv_heads * head_dim,)
    bv: Any | None = None  # (n_kv_heads * head_dim,)
    bo: Any | None = None  # (D,)
    b_gate: Any | None = None  # (hidden_dim,)
    b_up: Any | None = None  # (hidden_dim,)
    b_down: Any | None = None  # (D,)
    q_norm: Any | None = None  # (head_dim,), in the order of a head's rows in wq
    k_norm: Any | None = None  # (head_dim,)


class Params(NamedTuple):
    """A whole model."""

    token_embedding: Any  # (V, D)
    layers: tuple[LayerParams, ...]
    final_norm: Any  # (D,)
    output: Any | None  # (V, D); None when the head is the token embedding
    extras: tuple[LayerExtras, ...] | None = None  # for each layer; None in a LLaMA 2


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of `config` by its name, in the tree's order.

    The only list of shapes in the package: initialisation, the count of parameters,
    `minillama info` and every checkpoint reader follow it.
    """
    d, h = config.dim, config.head_dim
    layer = LayerParams(
        attention_norm=(d,),
        wq=(config.n_heads * h, d),
        wk=(config.n_kv_heads * h, d),
        wv=(config.n_kv_heads * h, d),
        wo=(d, config.n_heads * h),
        ffn_norm=(d,),
        w_gate=(config.hidden_dim, d),
        w_up=(config.hidden_dim, d),
        w_down=(d, config.hidden_dim),
    )
    shapes: dict[str, tuple[int, ...]] = {"token_embedding": (config.vocab_size, d)}
    for i in range(config.n_layers):
        shapes.update({f"layers.{i}.{field}": shape for field, shape in layer._asdict().items()})
    shapes["final_norm"] = (d,)
    if not config.tied:
        shapes["output"] = (config.vocab_size, d)
    for i in range(config.n_layers):
        shapes.update({f"extras.{i}.{field}": shape for field, shape in _extra_shapes(config).items()})
    return shapes


def _extra_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Those of a layer's `LayerExtras`, without what the model does not have."""
    queries, keys = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {}
    if config.qkv_bias:
        shapes |= {"bq": (queries,), "bk": (keys,), "bv": (keys,)}
    if config.out_bias:
        shapes |= {"bo": (config.dim,)}
    if config.mlp_bias:
        shapes |= {"b_gate": (config.hidden_dim,), "b_up": (config.hidden_dim,), "b_down": (config.dim,)}
    if config.qk_norm:
        shapes |= {"q_norm": (config.head_dim,), "k_norm": (config.head_dim,)}
    return shapes


def build_params(config: ModelConfig, get: Callable[[str, tuple[int, ...]], Any]) -> Params:
    """Assemble a tree from `get(name, shape)`, called once for each parameter in order."""
    arrays = {name: get(name, shape) for name, shape in expected_shapes(config).items()}
    each = range(config.n_layers)
    layers = tuple(LayerParams(*(arrays[f"layers.{i}.{field}"] for field in LayerParams._fields)) for i in each)
    extras = tuple(
        LayerExtras(**{field: arrays[f"extras.{i}.{field}"] for field in _extra_shapes(config)}) for i in each
    )
    has_extras = bool(_extra_shapes(config))
    return Params(
        arrays["token_embedding"], layers, arrays["final_norm"], arrays.get("output"), extras if has_extras else None
    )


def extras_of(params: Params) -> tuple[LayerExtras, ...]:
    """Those of every layer, empty ones for a LLaMA 2."""
    return (LayerExtras(),) * len(params.layers) if params.extras is None else params.extras


named_arrays = named_leaves  # the name that learners' files of chapter 14 import


def empty_params(config: ModelConfig) -> Params:
    """A tree of the right shapes that takes no memory and cannot be changed: the pattern of a checkpoint."""
    return build_params(config, lambda name, shape: np.broadcast_to(np.float32(0), shape))


def count_parameters(config: ModelConfig) -> int:
    """The exact number of parameters, a tied table counted once."""
    return sum(math.prod(shape) for shape in expected_shapes(config).values())


def init_params(config: ModelConfig, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Params:
    """Random parameters: N(0, 0.02), with the layers that write to the residual stream smaller.

    `wo` and `w_down` use 0.02 / sqrt(2 * n_layers), so that the residual stream keeps its
    size at any depth; norms start at 1, biases at 0. Meta's initialisation of LLaMA 2 is not published
    (unconfirmed); this is the GPT-2 rule.
    """
    residual_std = 0.02 / np.sqrt(2 * config.n_layers)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("norm"):
            return np.ones(shape, dtype)
        if len(shape) == 1:
            return np.zeros(shape, dtype)  # biases
        std = residual_std if name.endswith(("wo", "w_down")) else 0.02
        return (std * rng.standard_normal(shape)).astype(dtype)

    return build_params(config, draw)
