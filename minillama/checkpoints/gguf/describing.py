"""A configuration as the keys of a GGUF file: the inverse of configuration.py.

Source: llama.cpp's converter and loader for the keys of the architectures, and for which of them has what.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import ModelConfig
from ...layers.rope_scaling import scaled_frequencies, yarn_magnitude


def architecture_of(config: ModelConfig) -> str:
    """llama.cpp's architecture for a model.

    Raises
    ------
    ValueError
        When it has none that computes the same.
    """
    if 0 < config.sliding_window < config.max_seq_len:
        raise ValueError(f"a GGUF file of a Llama has no word for a sliding window of {config.sliding_window} tokens")
    if config.rope_scaling is not None and config.rope_scaling.kind == "dynamic":
        raise ValueError("a GGUF file has no word for RoPE scaled by the rule 'dynamic'")
    divided = config.rope_scaling is not None and config.rope_scaling.kind in ("llama3", "factors")
    if config.qk_norm:
        if config.out_bias or config.mlp_bias or divided:
            raise ValueError(f"llama.cpp has no model with {' and '.join(config.beyond_llama2)}")
        return "qwen3"
    only_qkv = config.qkv_bias and not config.out_bias and not config.mlp_bias
    return "qwen2" if only_qkv and not divided and config.n_heads * config.head_dim == config.dim else "llama"


def model_metadata(config: ModelConfig, architecture: str) -> dict[str, Any]:
    """The key-values that describe the shape and the arithmetic, in the order of llama.cpp's own tools."""
    keys = {
        "context_length": config.max_seq_len,
        "embedding_length": config.dim,
        "block_count": config.n_layers,
        "feed_forward_length": config.hidden_dim,
        "attention.head_count": config.n_heads,
        "attention.head_count_kv": config.n_kv_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": float(config.norm_eps),
        "rope.dimension_count": config.head_dim,
        "rope.freq_base": float(config.rope_theta),
        **_scaling_keys(config),
        "vocab_size": config.vocab_size,
    }
    return {"general.architecture": architecture} | {f"{architecture}.{key}": value for key, value in keys.items()}


def _scaling_keys(config: ModelConfig) -> dict[str, Any]:
    scaling = config.rope_scaling
    if scaling is None or scaling.kind not in ("linear", "yarn"):
        return {}
    keys: dict[str, Any] = {"rope.scaling.type": scaling.kind, "rope.scaling.factor": float(scaling.factor)}
    if scaling.kind == "yarn":
        if (scaling.beta_fast, scaling.beta_slow, scaling.truncate) != (32, 1, True):
            raise ValueError(
                "llama.cpp scales by the rule 'yarn' with beta_fast 32, beta_slow 1 and rounded bounds only"
            )
        keys["rope.scaling.original_context_length"] = scaling.original_max_seq_len
        attention = scaling.attention_factor / yarn_magnitude(scaling.factor)
        if attention != 1:
            keys["rope.scaling.attn_factor"] = attention
    return keys


def frequency_divisors(config: ModelConfig) -> NDArray[np.float32] | None:
    """What stands in `rope_freqs.weight`, (head_dim / 2,): llama3's rule as a number for every frequency."""
    scaling = config.rope_scaling
    if scaling is None or scaling.kind not in ("llama3", "factors"):
        return None
    plain = config.rope_theta ** (-np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim)
    return (plain / scaled_frequencies(plain, config.rope_theta, scaling)[0]).astype(np.float32)
