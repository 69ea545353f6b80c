"""The configuration of a GGUF file: llama.cpp's architectures llama, qwen2 and qwen3.

What they have beside LLaMA 2 becomes fields of `ModelConfig`; a key whose arithmetic is not computed here is refused
by name: running the file anyway would silently give wrong text. A missing key means what it means to llama.cpp.

A GGUF file has no word for Mistral's sliding window nor for dynamic NTK: llama.cpp runs such a model without, and so
does whoever reads the file.

Sources: ggml docs/gguf.md; llama.cpp's llama-model.cpp (load_hparams) and llama-context.cpp (YaRN's factor).
"""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np

from ...config import ModelConfig, RopeScaling
from ...files.errors import CheckpointError
from ...files.gguf.container import GGUFHeader
from ...files.gguf.values import printable
from ...layers.rope_scaling import yarn_magnitude
from ...params import LayerExtras, LayerParams
from ..common.checkpoint import make_config
from .names import TENSOR_NAMES

ARCHITECTURES = ("llama", "qwen2", "qwen3")

# Keys that scale, restrict or divide something, with the values that leave LLaMA 2 as it is.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "expert_count": (0,),
    "use_parallel_residual": (False,),
    "logit_scale": (0, 1),
    "residual_scale": (0, 1),
    "embedding_scale": (0, 1),
    "attn_logit_softcapping": (0,),
    "final_logit_softcapping": (0,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "attention.scale": (0,),
    "attention.sliding_window": (0,),
    "attention.causal": (True,),
    "rope.scaling.yarn_ext_factor": (-1, 1),
    "rope.scaling.yarn_attn_factor": (-1, 1),
    "rope.scaling.yarn_log_multiplier": (0,),
    "rope.scaling.yarn_beta_fast": (32,),  # llama.cpp takes these two for other architectures only
    "rope.scaling.yarn_beta_slow": (1,),
    "rope.scaling.alpha": (0,),
}
_NEUTRAL_ELSEWHERE: dict[str, tuple[Any, ...]] = {
    "general.quantization_version": (2,),  # the layout of the blocks
    "split.count": (0, 1),  # the rest of the model is in other files
}
# Of these two groups every other key is refused: it changes the attention in some way.
_STRICT_PREFIXES = ("attention.", "rope.")
_KNOWN = {
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
}


def gguf_config(header: GGUFHeader) -> ModelConfig:
    """The configuration that the keys describe; a missing key means what it means to llama.cpp.

    The factors of `rope_freqs.weight`, a tensor, are not part of it: `read_gguf` adds them.

    Raises
    ------
    CheckpointError
        When a key is missing, has the wrong type, or asks for arithmetic that is not computed
        here; the message names the key.
    """
    keys = _Keys(header, _architecture(header))
    _check_keys(keys)
    rope_scaling = _rope_scaling(keys)
    n_layers = keys.integer("block_count")
    if n_layers * len(LayerParams._fields) > len(header.tensors):
        raise keys.error(
            "block_count",
            f"{n_layers} layers have {n_layers * len(LayerParams._fields)} tensors, the file has {len(header.tensors)}",
        )
    n_heads, dim = keys.per_layer("attention.head_count", n_layers), keys.integer("embedding_length")
    has = {field: f"blk.0.{TENSOR_NAMES[field]}" in header.tensors for field in LayerExtras._fields}
    return make_config(
        header.file.path,
        f"{keys.architecture}.* keys",
        dim=dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=keys.per_layer("attention.head_count_kv", n_layers, default=n_heads),
        head_dim=_head_dim(keys, dim, n_heads),
        hidden_dim=keys.per_layer("feed_forward_length", n_layers),
        vocab_size=_vocab_size(keys),
        max_seq_len=keys.integer("context_length"),
        norm_eps=keys.number("attention.layer_norm_rms_epsilon"),
        rope_theta=keys.number("rope.freq_base", 10000.0),
        tied=TENSOR_NAMES["output"] not in header.tensors,
        rope_scaling=rope_scaling,
        qkv_bias=has["bq"] or has["bk"] or has["bv"],
        out_bias=has["bo"],
        mlp_bias=has["b_gate"] or has["b_up"] or has["b_down"],
        qk_norm=keys.architecture == "qwen3",
    )


def _architecture(header: GGUFHeader) -> str:
    found = header.metadata.get("general.architecture")
    if not isinstance(found, str) or found not in ARCHITECTURES:  # an array has no truth value
        known = ", ".join(map(repr, ARCHITECTURES))
        raise header.error("general.architecture", f"expected one of {known}, found {_show(found)}")
    return found


def _show(value: Any) -> str:
    """A value from the file for a message."""
    return "nothing" if value is None else reprlib.repr(value)


class _Keys:
    """The keys of an architecture, `llama.context_length` and so on, asked for without its name.

    Parameters
    ----------
    header : GGUFHeader
    architecture : str
    """

    def __init__(self, header: GGUFHeader, architecture: str) -> None:
        self.header, self.architecture = header, architecture

    def get(self, key: str, default: Any = None) -> Any:
        return self.header.metadata.get(f"{self.architecture}.{key}", default)

    def error(self, key: str, problem: str) -> CheckpointError:
        return self.header.error(f"{self.architecture}.{key}", problem)

    def integer(self, key: str, default: int | None = None) -> int:
        """The integer at `key`, at least 1."""
        value = self.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.error(key, f"expected a positive integer, found {_show(value)}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """The number at `key`. A float32 becomes the shortest decimal: 1e-05, not 9.99999974e-06."""
        value = self.get(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.error(key, f"expected a number, found {_show(value)}")
        with np.errstate(over="ignore"):
            nearest = np.float32(value)
        return float(str(nearest)) if float(nearest) == value else float(value)

    def per_layer(self, key: str, n_layers: int, default: int | None = None) -> int:
        """An integer that may also stand there once for each layer; the layers must agree."""
        value = self.get(key)
        if not isinstance(value, np.ndarray):
            return self.integer(key, default)
        if value.dtype.kind not in "iu" or value.size != n_layers or value.min() < 1:
            raise self.error(key, f"expected {n_layers} positive integers, found {value.size} of {value.dtype}")
        if value.min() != value.max():
            raise self.error(
                key, f"expected the same value in every layer, found values from {value.min()} to {value.max()}"
            )
        return int(value[0])


def _head_dim(keys: _Keys, dim: int, n_heads: int) -> int:
    """`attention.key_length`, or `dim / n_heads` where it is missing."""
    if keys.get("attention.key_length") is not None:
        head_dim = keys.integer("attention.key_length")
    elif dim % n_heads:
        raise keys.error(
            "embedding_length", f"{dim} is not a multiple of {keys.architecture}.attention.head_count {n_heads}"
        )
    else:
        head_dim = dim // n_heads
    for key in ("attention.value_length", "rope.dimension_count"):
        found = keys.integer(key, head_dim)
        if found != head_dim:
            raise keys.error(key, f"expected {head_dim}, the width of a head, found {found}")
    return head_dim


def _vocab_size(keys: _Keys) -> int:
    """The rows of the embedding, with which the vocabulary has to agree."""
    header, name = keys.header, TENSOR_NAMES["token_embedding"]
    info = header.tensors.get(name)
    if info is None or len(info.shape) != 2 or 0 in info.shape:
        raise header.error(name, f"expected a matrix, found {'nothing' if info is None else info.shape}")
    n_rows = info.shape[0]
    found = keys.integer("vocab_size", n_rows)
    if found != n_rows:
        raise keys.error("vocab_size", f"expected {n_rows}, the rows of {name}, found {found}")
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, list) and len(tokens) != n_rows:
        raise header.error(
            "tokenizer.ggml.tokens", f"expected {n_rows} tokens, the rows of {name}, found {len(tokens)}"
        )
    return n_rows


def _check_keys(keys: _Keys) -> None:
    """Refuse keys that ask for what is not computed here."""
    prefix = f"{keys.architecture}."
    neutral = {prefix + key: values for key, values in _NEUTRAL.items()} | _NEUTRAL_ELSEWHERE
    strict, known = tuple(prefix + group for group in _STRICT_PREFIXES), {prefix + key for key in _KNOWN}
    for key, value in keys.header.metadata.items():
        if key in neutral:
            if not _is_scalar(value) or value not in neutral[key]:
                allowed = " or ".join(map(str, neutral[key]))
                raise keys.header.error(key, f"expected {allowed}, found {_show(value)}, which is not supported")
        elif key.startswith(strict) and key not in known:
            problem = f"is not a key of a {keys.architecture} model, found {_show(value)}"
            raise keys.header.error(printable(key), problem)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def _rope_scaling(keys: _Keys) -> RopeScaling | None:
    """Scaled positions. A factor without a type means linear scaling to llama.cpp, 0 that none is given."""
    rule = keys.get("rope.scaling.type", "linear")
    if not isinstance(rule, str) or rule not in ("none", "linear", "yarn"):
        raise keys.error("rope.scaling.type", f"expected 'none', 'linear' or 'yarn', found {_show(rule)}")
    attention = keys.number("rope.scaling.attn_factor", 1.0)
    if rule != "yarn" and attention != 1:
        raise keys.error("rope.scaling.attn_factor", f"expected 1, found {attention}, which is not supported")
    if rule == "none":
        return None
    key = "rope.scaling.factor" if keys.get("rope.scaling.factor") is not None else "rope.scale_linear"
    factor = keys.number(key, 0.0) or 1.0
    if factor == 1 and rule == "linear":
        return None
    given: dict[str, Any] = {"kind": rule, "factor": factor}
    if rule == "yarn":
        length = "rope.scaling.original_context_length"
        given["original_max_seq_len"] = keys.integer(length if keys.get(length) is not None else "context_length")
        given["attention_factor"] = attention * yarn_magnitude(factor)
    try:
        return RopeScaling(**given)
    except ValueError as error:
        raise keys.error(key, str(error)) from error
