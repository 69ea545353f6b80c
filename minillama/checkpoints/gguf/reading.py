"""GGUF files of Llama models, the format of llama.cpp.

The matrices stay in the block format of the file, as views of the mapped file. The rows of
`wq` and `wk` are in Meta's interleaved order, as everywhere in this package, because
llama.cpp's converter has already undone Hugging Face's order.

A file whose arithmetic differs from LLaMA 2's (scaled RoPE, experts, biases, another
architecture …) is refused: running it anyway would silently give wrong text.

Sources: ggml docs/gguf.md; llama.cpp's loader for what a missing key means.
"""

from __future__ import annotations

import os
import reprlib
from typing import Any

import numpy as np

from ...config import ModelConfig
from ...params import LayerParams, build_params
from ...quantization.formats import Weight
from ..common.checkpoint import Checkpoint, check_names, check_shape, make_config
from ..common.weights import stored_weight
from .container import GGUFHeader, check_extents, read_gguf_header
from .names import TENSOR_NAMES, gguf_tensor_name
from .values import printable

# Keys that scale, restrict or divide something, with the values that leave LLaMA 2 as it is.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "llama.expert_count": (0,),
    "llama.use_parallel_residual": (False,),
    "llama.logit_scale": (0, 1),
    "llama.residual_scale": (0, 1),
    "llama.embedding_scale": (0, 1),
    "llama.attn_logit_softcapping": (0,),
    "llama.final_logit_softcapping": (0,),
    "llama.attention.clamp_kqv": (0,),
    "llama.attention.max_alibi_bias": (0,),
    "llama.attention.scale": (0,),
    "llama.attention.sliding_window": (0,),
    "llama.attention.causal": (True,),
    "llama.rope.scaling.attn_factor": (1,),
    "general.quantization_version": (2,),  # the layout of the blocks
    "split.count": (0, 1),  # the rest of the model is in other files
}
# Of these two groups every other key is refused: it changes the attention in some way.
_STRICT_PREFIXES = ("llama.attention.", "llama.rope.")
_KNOWN = {
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.value_length",
    "llama.attention.layer_norm_rms_epsilon",
    "llama.rope.dimension_count",
    "llama.rope.freq_base",
    "llama.rope.scale_linear",
}

_ROPE_FREQS = "rope_freqs.weight"
_VECTOR_TYPES = ("F32", "F16", "BF16")  # ggml multiplies with no other


def read_gguf(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a Llama from a little-endian GGUF file of version 2 or 3.

    Tensors may be F32 or of any type in `quantization.formats.FORMATS`, mixed as they like.
    The model is tied when the file has no `output.weight`.

    Returns
    -------
    Checkpoint
        `metadata` has every key-value of the file: numbers, bools and strings as Python's,
        arrays of numbers as ndarrays, arrays of strings as lists.

    Raises
    ------
    CheckpointError
        When the file is damaged, or when LLaMA 2's arithmetic is not what it asks for.
    """
    header = read_gguf_header(path)
    config = gguf_config(header)
    _check_tensor_names(header, config)
    check_extents(header)

    params = build_params(config, lambda name, shape: _weight(header, gguf_tensor_name(name), shape))
    _check_rope_freqs(header, config)
    return Checkpoint(header.file.path, f"GGUF v{header.version}", config, params, header.metadata)


def gguf_config(header: GGUFHeader) -> ModelConfig:
    """The configuration that the `llama.*` keys describe; a missing key means what it means to llama.cpp.

    Raises
    ------
    CheckpointError
        When a key is missing, has the wrong type, or asks for arithmetic other than
        LLaMA 2's; the message names the key.
    """
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture != "llama":  # an array has no truth value
        raise header.error("general.architecture", f"expected 'llama', found {_show(architecture)}")
    _check_keys(header)
    _check_rope(header)
    n_layers = _integer(header, "llama.block_count")
    per_layer = len(LayerParams._fields)
    if n_layers * per_layer > len(header.tensors):
        raise header.error(
            "llama.block_count",
            f"{n_layers} layers have {n_layers * per_layer} tensors, the file has {len(header.tensors)}",
        )
    n_heads = _per_layer(header, "llama.attention.head_count", n_layers)
    dim = _integer(header, "llama.embedding_length")
    return make_config(
        header.file.path,
        "llama.* keys",
        dim=dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=_per_layer(header, "llama.attention.head_count_kv", n_layers, default=n_heads),
        head_dim=_head_dim(header, dim, n_heads),
        hidden_dim=_per_layer(header, "llama.feed_forward_length", n_layers),
        vocab_size=_vocab_size(header),
        max_seq_len=_integer(header, "llama.context_length"),
        norm_eps=_float(header, "llama.attention.layer_norm_rms_epsilon"),
        rope_theta=_float(header, "llama.rope.freq_base", 10000.0),
        tied=TENSOR_NAMES["output"] not in header.tensors,
    )


def _show(value: Any) -> str:
    """A value from the file for a message."""
    return "nothing" if value is None else reprlib.repr(value)


def _integer(header: GGUFHeader, key: str, default: int | None = None) -> int:
    """The integer at `key`, at least 1."""
    value: Any = header.metadata.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise header.error(key, f"expected a positive integer, found {_show(value)}")
    return value


def _float(header: GGUFHeader, key: str, default: float | None = None) -> float:
    """The number at `key`. A float32 becomes the shortest decimal: 1e-05, not 9.99999974e-06."""
    value: Any = header.metadata.get(key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise header.error(key, f"expected a number, found {_show(value)}")
    with np.errstate(over="ignore"):
        nearest = np.float32(value)
    return float(str(nearest)) if float(nearest) == value else float(value)


def _per_layer(header: GGUFHeader, key: str, n_layers: int, default: int | None = None) -> int:
    """An integer that may also stand there once for each layer; the layers must agree."""
    value = header.metadata.get(key)
    if not isinstance(value, np.ndarray):
        return _integer(header, key, default)
    if value.dtype.kind not in "iu" or value.size != n_layers or value.min() < 1:
        raise header.error(key, f"expected {n_layers} positive integers, found {value.size} of {value.dtype}")
    if value.min() != value.max():
        raise header.error(
            key, f"expected the same value in every layer, found values from {value.min()} to {value.max()}"
        )
    return int(value[0])


def _head_dim(header: GGUFHeader, dim: int, n_heads: int) -> int:
    """`attention.key_length`, or `dim / n_heads` where it is missing."""
    if "llama.attention.key_length" in header.metadata:
        head_dim = _integer(header, "llama.attention.key_length")
    elif dim % n_heads:
        raise header.error("llama.embedding_length", f"{dim} is not a multiple of llama.attention.head_count {n_heads}")
    else:
        head_dim = dim // n_heads
    for key in ("llama.attention.value_length", "llama.rope.dimension_count"):
        found = _integer(header, key, head_dim)
        if found != head_dim:
            raise header.error(key, f"expected {head_dim}, the width of a head, found {found}")
    return head_dim


def _vocab_size(header: GGUFHeader) -> int:
    """The rows of the embedding, with which the vocabulary has to agree."""
    name = TENSOR_NAMES["token_embedding"]
    info = header.tensors.get(name)
    if info is None or len(info.shape) != 2 or 0 in info.shape:
        raise header.error(name, f"expected a matrix, found {'nothing' if info is None else info.shape}")
    n_rows = info.shape[0]
    found = _integer(header, "llama.vocab_size", n_rows)
    if found != n_rows:
        raise header.error("llama.vocab_size", f"expected {n_rows}, the rows of {name}, found {found}")
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, list) and len(tokens) != n_rows:
        raise header.error(
            "tokenizer.ggml.tokens", f"expected {n_rows} tokens, the rows of {name}, found {len(tokens)}"
        )
    return n_rows


def _check_keys(header: GGUFHeader) -> None:
    """Refuse keys that ask for something other than LLaMA 2."""
    for key, value in header.metadata.items():
        if key in _NEUTRAL:
            if not _is_scalar(value) or value not in _NEUTRAL[key]:
                allowed = " or ".join(map(str, _NEUTRAL[key]))
                raise header.error(key, f"expected {allowed}, found {_show(value)}, which is not supported")
        elif key.startswith(_STRICT_PREFIXES) and key not in _KNOWN and not key.startswith("llama.rope.scaling."):
            raise header.error(printable(key), f"is not a key of a LLaMA 2 model, found {_show(value)}")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def _check_rope(header: GGUFHeader) -> None:
    """Refuse scaled positions. A factor without a type means linear scaling to llama.cpp."""
    kind = header.metadata.get("llama.rope.scaling.type", "linear")
    if not isinstance(kind, str) or kind not in ("none", "linear"):
        raise header.error("llama.rope.scaling.type", f"expected 'none', found {_show(kind)}")
    if kind == "none":
        return
    for key in ("llama.rope.scaling.factor", "llama.rope.scale_linear"):
        factor = header.metadata.get(key, 1)
        if not _is_scalar(factor) or factor not in (0, 1):  # llama.cpp takes 0 for "not given"
            raise header.error(key, f"expected 1, positions as LLaMA 2 counts them, found {_show(factor)}")


def _check_tensor_names(header: GGUFHeader, config: ModelConfig) -> None:
    """The file has every tensor of the model and no other, which would be a bias, an expert …"""
    more = check_names(header.file.path, config, header.tensors, gguf_tensor_name)
    unknown = [printable(name) for name in more if name != _ROPE_FREQS]
    if unknown:
        shown = ", ".join(unknown[:8]) + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else "")
        raise header.error("tensors", f"not part of a LLaMA 2 model: {shown}")


def _weight(header: GGUFHeader, name: str, shape: tuple[int, ...]) -> Weight:
    """The tensor `name`, which has to have this shape."""
    info = header.tensors[name]
    check_shape(header.file.path, name, info.shape, shape)
    if len(shape) == 1 and info.type_name not in _VECTOR_TYPES:
        raise header.error(name, f"expected a vector of {', '.join(_VECTOR_TYPES)}, found {info.type_name}")
    return stored_weight(header.file, info.offset, info.type_name, shape, name)


def _check_rope_freqs(header: GGUFHeader, config: ModelConfig) -> None:
    """Refuse frequency factors other than 1, as long-context models have them."""
    if _ROPE_FREQS not in header.tensors:
        return
    factors = np.asarray(_weight(header, _ROPE_FREQS, (config.head_dim // 2,)))
    if not np.all(factors == 1):
        raise header.error(_ROPE_FREQS, f"expected ones, found factors from {factors.min()} to {factors.max()}")
