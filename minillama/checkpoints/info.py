"""What `minillama info` shows: shapes, parameters and memory, with or without weights."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..config import ModelConfig
from ..params import Params, count_parameters, expected_shapes
from ..quantization.formats import format_name
from ..trees import named_leaves


def describe(config: ModelConfig) -> dict[str, Any]:
    """Every number that follows from a configuration alone.

    Returns
    -------
    dict
        `config`; `parameters`; `bytes` of the weights by precision; `kv_cache` with
        `bytes_per_token` (16 bits a number), `bytes_at_context` and `saving_over_mha`;
        `shapes` of one layer and of the whole.
    """
    shapes = expected_shapes(config)
    layer = {name.split(".")[2]: shape for name, shape in shapes.items() if name.startswith(("layers.0.", "extras.0."))}
    outside = {name: shape for name, shape in shapes.items() if "." not in name}
    n_parameters = count_parameters(config)
    return {
        "config": config.described(),
        "attention": config.attention_kind,
        "parameters": n_parameters,
        "bytes": {name: round(n_parameters * bits / 8) for name, bits in _BITS.items()},
        "kv_cache": {
            "bytes_per_token": config.kv_cache_bytes(),
            "bytes_at_context": config.kv_cache_bytes(config.max_seq_len),
            "saving_over_mha": config.n_heads // config.n_kv_heads,
        },
        "shapes": {"layer": layer, "outside": outside},
    }


# Bits of a weight, scales included.
_BITS = {"float32": 32, "float16": 16, "Q8_0": 8.5, "Q4_0": 4.5}


def stored_formats(params: Params) -> dict[str, tuple[int, int]]:
    """For each precision in a checkpoint: number of tensors, bytes."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for _, array in named_leaves(params):
        counts[format_name(array)] += 1
        sizes[format_name(array)] += array.nbytes
    return {name: (counts[name], sizes[name]) for name in counts}


def human_bytes(n: float) -> str:
    """Bytes in binary units: 1.25 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.2f} {unit}"
        n /= 1024
    raise AssertionError("unreachable")


def describe_text(config: ModelConfig, title: str) -> str:
    """`describe` as lines for people."""
    d = describe(config)
    c = config
    kv, n_layers = d["kv_cache"], c.n_layers
    heads = f"{c.n_heads} query heads, {c.n_kv_heads} key/value heads of {c.head_dim} ({c.attention_kind})"
    saving = f"  ({kv['saving_over_mha']}× smaller than with {c.n_heads} heads)" if kv["saving_over_mha"] > 1 else ""
    lines = [
        title,
        "",
        f"  parameters      {d['parameters']:,}",
        f"  layers          {n_layers}",
        f"  width           {c.dim}, feed-forward {c.hidden_dim}",
        f"  attention       {heads}",
        f"  vocabulary      {c.vocab_size:,}{', output head tied to the embedding' if c.tied else ''}",
        f"  context         {c.max_seq_len:,} tokens, RoPE theta {c.rope_theta:g}, norm eps {c.norm_eps:g}",
        *([f"  beyond LLaMA 2  {', '.join(c.beyond_llama2)}"] if c.beyond_llama2 else []),
        "",
        "  weights         " + ", ".join(f"{human_bytes(n)} as {name}" for name, n in d["bytes"].items()),
        f"  KV cache        {kv['bytes_per_token']:,} bytes per token at 16 bits{saving}",
        f"                  {human_bytes(kv['bytes_at_context'])} at {c.max_seq_len:,} tokens",
        "",
        "  shapes",
    ]
    outside, layer = d["shapes"]["outside"], d["shapes"]["layer"]
    rows = [("token_embedding", outside["token_embedding"])]
    rows += [(f"layers.*.{name}", layer[name]) for name in layer]
    rows += [(name, shape) for name, shape in outside.items() if name != "token_embedding"]
    for name, shape in rows:
        times = f"  × {n_layers}" if name.startswith("layers") else ""
        lines.append(f"    {name:24} {' × '.join(f'{n:>6}' for n in shape):>16}{times}")
    return "\n".join(lines)
