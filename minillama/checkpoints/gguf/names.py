"""The names of a Llama's tensors in a GGUF file (llama.cpp's, for the architecture "llama")."""

from __future__ import annotations

# By the package's names; those of a layer follow "blk.{i}.".
TENSOR_NAMES = {
    "token_embedding": "token_embd.weight",
    "attention_norm": "attn_norm.weight",
    "wq": "attn_q.weight",
    "wk": "attn_k.weight",
    "wv": "attn_v.weight",
    "wo": "attn_output.weight",
    "ffn_norm": "ffn_norm.weight",
    "w_gate": "ffn_gate.weight",
    "w_up": "ffn_up.weight",
    "w_down": "ffn_down.weight",
    "final_norm": "output_norm.weight",
    "output": "output.weight",
}


def gguf_tensor_name(name: str) -> str:
    """The GGUF name of a parameter: "layers.3.wq" is "blk.3.attn_q.weight"."""
    if not name.startswith("layers."):
        return TENSOR_NAMES[name]
    _, layer, field = name.split(".")
    return f"blk.{layer}.{TENSOR_NAMES[field]}"
