"""The names of a Llama's tensors in a GGUF file (llama.cpp's, for the architectures "llama", "qwen2", "qwen3")."""

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
    "bq": "attn_q.bias",
    "bk": "attn_k.bias",
    "bv": "attn_v.bias",
    "bo": "attn_output.bias",
    "b_gate": "ffn_gate.bias",
    "b_up": "ffn_up.bias",
    "b_down": "ffn_down.bias",
    "q_norm": "attn_q_norm.weight",
    "k_norm": "attn_k_norm.weight",
    "final_norm": "output_norm.weight",
    "output": "output.weight",
}


def gguf_tensor_name(name: str) -> str:
    """The GGUF name of a parameter: "layers.3.wq" is "blk.3.attn_q.weight"."""
    if not name.startswith(("layers.", "extras.")):
        return TENSOR_NAMES[name]
    _, layer, field = name.split(".")
    return f"blk.{layer}.{TENSOR_NAMES[field]}"


ROPE_FREQS = "rope_freqs.weight"  # divisors of RoPE's frequencies, (head_dim / 2,)
# Architectures whose files keep RoPE's halves, as Hugging Face has them; those of "llama" hold neighbours.
IN_HALVES = ("qwen2", "qwen3")
