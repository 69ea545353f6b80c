"""What transformers calls the files and tensors of a Llama and its relatives."""

from __future__ import annotations

CONFIG_NAME = "config.json"

_NAMES = {
    "token_embedding": "model.embed_tokens.weight",
    "final_norm": "model.norm.weight",
    "output": "lm_head.weight",
}
_LAYER_NAMES = {
    "attention_norm": "input_layernorm",
    "wq": "self_attn.q_proj",
    "wk": "self_attn.k_proj",
    "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "w_gate": "mlp.gate_proj",
    "w_up": "mlp.up_proj",
    "w_down": "mlp.down_proj",
    "q_norm": "self_attn.q_norm",
    "k_norm": "self_attn.k_norm",
}
# Of these names the matrix has the ending "weight", the bias "bias".
_BIASES = {
    "bq": "self_attn.q_proj",
    "bk": "self_attn.k_proj",
    "bv": "self_attn.v_proj",
    "bo": "self_attn.o_proj",
    "b_gate": "mlp.gate_proj",
    "b_up": "mlp.up_proj",
    "b_down": "mlp.down_proj",
}


def huggingface_name(name: str) -> str:
    """Hugging Face's name of the package's parameter `name`."""
    if name in _NAMES:
        return _NAMES[name]
    _, layer, field = name.split(".")
    if field in _BIASES:
        return f"model.layers.{layer}.{_BIASES[field]}.bias"
    return f"model.layers.{layer}.{_LAYER_NAMES[field]}.weight"
