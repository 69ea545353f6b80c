"""The parameter tree of a Llama, with one name for every array.

A tree is a `Params` of `LayerParams`. Gradients and optimizer moments use the same types.
All matrices are stored (out_features, in_features): `y = x @ w.T`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .config import ModelConfig


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


class Params(NamedTuple):
    """A whole model."""

    token_embedding: Any  # (V, D)
    layers: tuple[LayerParams, ...]
    final_norm: Any  # (D,)
    output: Any | None  # (V, D); None when the head is the token embedding


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of `config` by its name, in the tree's order.

    The only list of shapes in the package: initialisation, `minillama info` and every
    checkpoint reader follow it.
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
    return shapes


def build_params(config: ModelConfig, get: Callable[[str, tuple[int, ...]], Any]) -> Params:
    """Assemble a tree from `get(name, shape)`, called once for each parameter in order."""
    arrays = {name: get(name, shape) for name, shape in expected_shapes(config).items()}
    layers = tuple(
        LayerParams(*(arrays[f"layers.{i}.{field}"] for field in LayerParams._fields)) for i in range(config.n_layers)
    )
    return Params(arrays["token_embedding"], layers, arrays["final_norm"], arrays.get("output"))


def named_arrays(params: Params) -> Iterator[tuple[str, Any]]:
    """Yield `(name, array)` for every parameter, in the order of `expected_shapes`."""
    yield "token_embedding", params.token_embedding
    for i, layer in enumerate(params.layers):
        for field, array in layer._asdict().items():
            yield f"layers.{i}.{field}", array
    yield "final_norm", params.final_norm
    if params.output is not None:
        yield "output", params.output


def map_params(function: Callable[..., Any], *trees: Params) -> Params:
    """Apply `function` to the arrays that stand at the same place of every tree."""
    layers = tuple(
        LayerParams(*(function(*arrays) for arrays in zip(*layer_of_each, strict=True)))
        for layer_of_each in zip(*(tree.layers for tree in trees), strict=True)
    )
    heads = [tree.output for tree in trees]
    return Params(
        function(*(tree.token_embedding for tree in trees)),
        layers,
        function(*(tree.final_norm for tree in trees)),
        None if heads[0] is None else function(*heads),
    )


def init_params(config: ModelConfig, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Params:
    """Random parameters: N(0, 0.02), with the layers that write to the residual stream smaller.

    `wo` and `w_down` use 0.02 / sqrt(2 * n_layers), so that the residual stream keeps its
    size at any depth; norms start at 1. Meta's initialisation of LLaMA 2 is not published
    (unconfirmed); this is the GPT-2 rule.
    """
    residual_std = 0.02 / np.sqrt(2 * config.n_layers)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("norm"):
            return np.ones(shape, dtype)
        std = residual_std if name.endswith(("wo", "w_down")) else 0.02
        return (std * rng.standard_normal(shape)).astype(dtype)

    return build_params(config, draw)
