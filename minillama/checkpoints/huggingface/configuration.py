"""config.json of the Llama-shaped models of transformers: llama, mistral, qwen2, qwen3.

What they have beside LLaMA 2 becomes fields of `ModelConfig`; a key that would make transformers compute
anything else is refused by name. Absent keys take the defaults of transformers, `null` means what it means there.

Sources: transformers' configuration_{llama,mistral,qwen2,qwen3}.py and modeling_rope_utils.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ...config import ROPE_SCALINGS, ModelConfig, RopeScaling
from ...files.json_object import Fields, kind, list_names
from ...layers.rope_scaling import yarn_magnitude
from ..common.checkpoint import make_config


class _Defaults(NamedTuple):
    """What transformers takes for keys that a config.json leaves out."""

    max_seq_len: int
    n_kv_heads: int | None = None  # None: as many as query heads
    head_dim: int = 0  # 0: hidden_size / num_attention_heads
    sliding_window: int = 0


_DEFAULTS = {
    "llama": _Defaults(2048),
    "mistral": _Defaults(4096 * 32, n_kv_heads=8, sliding_window=4096),
    "qwen2": _Defaults(32768, n_kv_heads=32),
    "qwen3": _Defaults(32768, n_kv_heads=32, head_dim=128),
}
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_SILU = ("silu", "swish")  # one function under two names


def parse_config(description: dict[str, Any], path: Path) -> ModelConfig:
    """The `ModelConfig` of a config.json.

    Parameters
    ----------
    description : dict
    path : Path
        The file, for messages.

    Raises
    ------
    CheckpointError
        When a key is missing, has the wrong type, or asks for what is not computed here.
    """
    fields = Fields(description, path)
    family = _family(fields)
    defaults = _DEFAULTS[family]
    n_heads = fields.positive("num_attention_heads")
    max_seq_len = fields.positive("max_position_embeddings", defaults.max_seq_len)
    n_layers = fields.positive("num_hidden_layers")
    rope_theta, rope_scaling = _rope(fields, max_seq_len)
    qkv_bias, out_bias, mlp_bias = _biases(fields, family)
    return make_config(
        path,
        "model sizes",
        dim=fields.positive("hidden_size"),
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=fields.positive("num_key_value_heads", _n_kv_heads(fields, defaults, n_heads)),
        head_dim=_head_dim(fields, defaults),
        hidden_dim=fields.positive("intermediate_size"),
        vocab_size=fields.positive("vocab_size"),
        max_seq_len=max_seq_len,
        norm_eps=fields.number("rms_norm_eps", 1e-6),
        rope_theta=rope_theta,
        tied=fields.boolean("tie_word_embeddings", False),
        rope_scaling=rope_scaling,
        sliding_window=_sliding_window(fields, family, n_layers),
        qkv_bias=qkv_bias,
        out_bias=out_bias,
        mlp_bias=mlp_bias,
        qk_norm=family == "qwen3",
    )


def _family(fields: Fields) -> str:
    """Which of the four models it is; what none of them computes is refused."""
    family = fields.text("model_type")
    if family not in ARCHITECTURES:
        known = ", ".join(map(repr, ARCHITECTURES))
        raise fields.error("model_type", f"expected one of {known}, found {kind(fields.values['model_type'])}")
    architectures = fields.values.get("architectures")
    if architectures is not None and architectures != [ARCHITECTURES[family]]:
        found = list_names([str(name) for name in architectures]) if isinstance(architectures, list) else "no list"
        raise fields.error("architectures", f"expected [{ARCHITECTURES[family]!r}], found {found}")
    if fields.text("hidden_act", "silu") not in _SILU:
        raise fields.error("hidden_act", f"expected 'silu', found {kind(fields.values['hidden_act'])}")
    if fields.has("quantization_config"):
        raise fields.error("quantization_config", "quantised safetensors are not supported; expected F32, F16 or BF16")
    return family


def _n_kv_heads(fields: Fields, defaults: _Defaults, n_heads: int) -> int:
    """Of an absent key the default; `null` says as many as query heads."""
    if defaults.n_kv_heads is None or "num_key_value_heads" in fields.values:
        return n_heads
    return defaults.n_kv_heads


def _head_dim(fields: Fields, defaults: _Defaults) -> int:
    if fields.has("head_dim"):
        return fields.positive("head_dim")
    return 0 if "head_dim" in fields.values else defaults.head_dim


def _biases(fields: Fields, family: str) -> tuple[bool, bool, bool]:
    """Whether there are biases of wq, wk and wv, of wo, and of the feed-forward layer."""
    if family == "qwen2":
        return True, False, False
    attention = family in ("llama", "qwen3") and fields.boolean("attention_bias", False)
    return attention, attention, family == "llama" and fields.boolean("mlp_bias", False)


def _sliding_window(fields: Fields, family: str, n_layers: int) -> int:
    """Positions that a token looks back over, the same in all layers; 0 for all."""
    if family == "llama":
        return 0
    window = 0
    if fields.has("sliding_window"):
        window = fields.positive("sliding_window")
    elif "sliding_window" not in fields.values:
        window = 4096
    first_layer = 0
    if family != "mistral":
        window = window if fields.boolean("use_sliding_window", False) else 0
        first_layer = fields.integer("max_window_layers", 28)
    kinds = set() if window and first_layer <= 0 else {"full_attention"}
    if window and first_layer < n_layers:
        kinds.add("sliding_attention")
    listed = _layer_kinds(fields, n_layers)
    if listed and family == "mistral" and listed != kinds:
        raise fields.error("layer_types", f"expected {list_names(sorted(kinds))} in every layer of such a Mistral")
    kinds = listed or kinds
    if len(kinds) > 1 or (kinds == {"sliding_attention"} and not window):
        found = list_names(sorted(kinds))
        lacking = "" if window else ", and no sliding window in use"
        raise fields.error("layer_types", f"expected the same attention in every layer, found {found}{lacking}")
    return window if kinds == {"sliding_attention"} else 0


def _layer_kinds(fields: Fields, n_layers: int) -> set[str]:
    """The kinds of attention that `layer_types` lists; none where it is absent."""
    listed = fields.values.get("layer_types")
    if listed is None:
        return set()
    if not isinstance(listed, list) or len(listed) != n_layers or not all(isinstance(name, str) for name in listed):
        raise fields.error("layer_types", f"expected {n_layers} names, one for each layer, found {kind(listed)}")
    unknown = sorted(set(listed) - {"full_attention", "sliding_attention"})
    if unknown:
        raise fields.error("layer_types", f"expected full_attention or sliding_attention, found {list_names(unknown)}")
    return set(listed)


# --- RoPE -------------------------------------------------------------------------------


def _rope(fields: Fields, max_seq_len: int) -> tuple[float, RopeScaling | None]:
    """RoPE's base and scaling, from where transformers 4 writes them or from where 5 does."""
    thetas, scalings = [], []
    if fields.has("rope_theta"):
        thetas.append(fields.number("rope_theta"))
    _refuse_partial_rope(fields)
    for key in ("rope_parameters", "rope_scaling"):
        if fields.has(key):
            rope = fields.object(key)
            scalings.append(_scaling(rope, fields, max_seq_len))
            if rope.has("rope_theta"):
                thetas.append(rope.number("rope_theta"))
    if any(theta != thetas[0] for theta in thetas):
        raise fields.error("rope_theta", f"is given more than once, with different values: {thetas}")
    if any(scaling != scalings[0] for scaling in scalings):
        raise fields.error("rope_scaling", "and rope_parameters ask for different things; remove one of them")
    return (thetas[0] if thetas else 10000.0), (scalings[0] if scalings else None)


def _scaling(rope: Fields, fields: Fields, max_seq_len: int) -> RopeScaling | None:
    """What the object under rope_parameters or rope_scaling asks for; None for plain RoPE."""
    if any(isinstance(value, dict) for value in rope.values.values()):
        raise rope.error("rope_type", "expected one RoPE for all layers, found one for each kind of layer")
    _refuse_partial_rope(rope)
    types = {rope.text(key) for key in ("rope_type", "type") if rope.has(key)} or {"default"}
    if len(types) > 1 or types - {"default", *ROPE_SCALINGS[:4]}:
        known = ", ".join(map(repr, ("default", *ROPE_SCALINGS[:4])))
        raise rope.error("rope_type", f"expected one of {known}, found {list_names(sorted(types))}")
    rule = types.pop()
    if rule == "default":
        return None
    given: dict[str, Any] = {"kind": rule}
    if rule in ("llama3", "yarn"):
        given["original_max_seq_len"] = _original_length(rope, fields, max_seq_len)
    if rule == "yarn" and not rope.has("factor"):
        given["factor"] = max_seq_len / given["original_max_seq_len"]
    else:
        given["factor"] = rope.number("factor")
    if rule == "llama3":
        given |= {key: rope.number(key) for key in ("low_freq_factor", "high_freq_factor")}
    if rule == "yarn":
        given |= {
            key: rope.number(key, default) or default for key, default in (("beta_fast", 32.0), ("beta_slow", 1.0))
        }
        given |= {"truncate": rope.boolean("truncate", "truncate" not in rope.values)}  # null is false there
        given |= {"attention_factor": _attention_factor(rope, given["factor"])}
    elif rope.number("attention_factor", 1.0) != 1:
        raise rope.error("attention_factor", f"expected 1 for {rule!r}, found {rope.number('attention_factor')}")
    if rule == "linear" and given["factor"] == 1:
        return None
    try:
        return RopeScaling(**given)
    except ValueError as error:
        raise rope.error("rope_type", str(error)) from error


def _original_length(rope: Fields, fields: Fields, max_seq_len: int) -> int:
    """Positions before the scaling; beside the sizes of the model it counts first, as in transformers."""
    key = "original_max_position_embeddings"
    return fields.positive(key) if fields.has(key) else rope.positive(key, max_seq_len)


def _attention_factor(rope: Fields, factor: float) -> float:
    """What yarn multiplies cosines and sines by."""
    if rope.has("attention_factor"):
        return rope.number("attention_factor")
    mscale, all_dim = rope.number("mscale", 0.0), rope.number("mscale_all_dim", 0.0)
    if mscale and all_dim:
        return yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all_dim)
    return yarn_magnitude(factor)


def _refuse_partial_rope(fields: Fields) -> None:
    if fields.number("partial_rotary_factor", 1.0) != 1:
        raise fields.error("partial_rotary_factor", f"expected 1, found {fields.number('partial_rotary_factor')}")
