"""Settings to begin with: LLaMA 2's own for its four sizes, and small ones for a laptop.

Published (arXiv:2307.09288, section 2.2 and table 1): AdamW with beta 0.9 and 0.95 and eps 1e-5, weight decay
0.1, clipping at 1.0, 2000 steps of warm-up, a cosine down to a tenth, peak 3e-4 (7B, 13B) or 1.5e-4 (34B,
70B), context 4096, batches of 4M tokens, 2T tokens in all. Not published: that the warm-up is linear, whether
4M is exactly 2**22, what is exempt from weight decay, how documents share a row, the mix of sources.

The small ones are scaled from that, by rules that are this project's choice and not the paper's:

    optimizer    as published: nothing in it depends on size
    peak         3e-4 * sqrt(4096 / dim), rounded: narrow models bear higher rates
    warm-up      2000 of 477,000 steps is 0.4 %; a run of some thousand steps takes 5 % of them
    tokens       126, 66 and 14 for each parameter (7B saw 300, 70B 29): what a laptop does in hours
    batch        8192 tokens, not 4M: thousands of updates are left
    sequence     512 or 256 tokens: a TinyStories story is about as long
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..files.suggestions import did_you_mean

_PAPER_TOKENS = 2_000_000_000_000
_PAPER_BATCH = 1024 * 4096


@dataclass(frozen=True)
class Preset:
    """Settings under a name.

    Attributes
    ----------
    name, about : str
        `about` says where the values are from and what was scaled how.
    tables : dict
        As `tomllib` would read them; [data] lacks the paths. settings_toml.py writes them as a file to fill in.
    """

    name: str
    about: str
    tables: dict[str, dict[str, Any]]


_OPTIMIZER = {"beta1": 0.9, "beta2": 0.95, "eps": 1e-5, "weight_decay": 0.1, "clip_norm": 1.0}


def _paper(size: str, peak: float) -> Preset:
    steps = round(_PAPER_TOKENS / _PAPER_BATCH)
    unreleased = "\nThe shape of 34B was never published: it is CodeLlama-34B's." if size == "34B" else ""
    about = (
        f"LLaMA 2 {size} as published: AdamW, clipping, warm-up, cosine, peak rate and context are the paper's.\n"
        f"2T tokens in batches of 1024 rows of 4096 (the paper says 4M tokens) make {steps:,} steps.\n"
        "The mix of sources and the interval between checkpoints are not published; a cluster trained it for months."
        + unreleased
    )
    tables: dict[str, dict[str, Any]] = {
        "model": {"size": size},
        "data": {"seq_len": 4096, "batch_size": 1024, "micro_batches": 1024, "seed": 0},
        "optimizer": dict(_OPTIMIZER),
        "schedule": {"peak": peak, "warmup_steps": 2000, "final_fraction": 0.1},
        "run": {"steps": steps, "validate_every": 1000, "sample_every": 5000, "checkpoint_every": 1000}
        | {"seed": 0, "recompute": True},
    }
    return Preset(size, about, tables)


def _small(name: str, model: dict[str, Any], data: dict[str, Any], peak: float, steps: int, about: str) -> Preset:
    every = max(1, steps // 20)
    tables: dict[str, dict[str, Any]] = {
        "model": model,
        "data": {**data, "micro_batches": 1, "seed": 0},
        "optimizer": dict(_OPTIMIZER),
        "schedule": {"peak": peak, "warmup_steps": max(10, steps // 20), "final_fraction": 0.1},
        "run": {"steps": steps, "validate_every": every, "sample_every": 2 * every, "checkpoint_every": every}
        | {"prompts": ["Once upon a time", "Tom and Lily went to the park"], "sample_tokens": 120, "seed": 0},
    }
    tokens = steps * data["batch_size"] * data["seq_len"]
    scaled = (
        f"\n{tokens / 1e6:,.1f}M tokens in {steps:,} steps of {data['batch_size'] * data['seq_len']:,}."
        "\nScaled from LLaMA 2: optimizer, clipping and the cosine to a tenth as published;"
        f"\npeak 3e-4 * sqrt(4096 / dim) = {peak:g} (rounded); warm-up 5 % of the steps."
        "\nThese scalings are this project's choice, not the paper's."
    )
    return Preset(name, about + scaled, tables)


def _shape(dim: int, n_layers: int, n_heads: int, n_kv_heads: int, hidden_dim: int, vocab: int) -> dict[str, Any]:
    shape = {"dim": dim, "n_layers": n_layers, "n_heads": n_heads, "n_kv_heads": n_kv_heads}
    return {**shape, "hidden_dim": hidden_dim, "vocab_size": vocab, "tied": True}


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _paper("7B", 3e-4),
        _paper("13B", 3e-4),
        _paper("34B", 1.5e-4),
        _paper("70B", 1.5e-4),
        _small(
            "smoke",
            {**_shape(32, 2, 4, 2, 96, 512), "max_seq_len": 64},
            {"seq_len": 64, "batch_size": 8},
            3e-3,
            200,
            "A model of 41 thousand parameters that trains in seconds: to try data, settings and resuming.\n"
            "Tokenizer of 512 pieces.",
        ),
        _small(
            "stories260K",
            {"size": "stories260K"},
            {"seq_len": 512, "batch_size": 16},
            2.4e-3,
            4000,
            "The shape of llama2.c's stories260K (260,032 parameters, grouped queries, tokenizer of 512 pieces).",
        ),
        _small(
            "stories1M",
            {**_shape(128, 6, 8, 4, 352, 1024), "max_seq_len": 256},
            {"seq_len": 256, "batch_size": 32},
            1.7e-3,
            10000,
            "1.2M parameters, grouped queries; tokenizer of 1024 pieces.",
        ),
        _small(
            "stories7M",
            {**_shape(288, 6, 6, 6, 768, 4096), "max_seq_len": 256},
            {"seq_len": 256, "batch_size": 32},
            1.1e-3,
            12000,
            "The layers of llama2.c's stories15M (dim 288) with a tokenizer of 4096 pieces: 7.2M parameters.",
        ),
    )
}


def preset(name: str) -> Preset:
    """Look up `PRESETS`, upper or lower case.

    Raises
    ------
    ValueError
        When no preset has that name; the message lists them.
    """
    by_lower_case = {known.lower(): found for known, found in PRESETS.items()}
    found = by_lower_case.get(name.lower())
    if found is None:
        raise ValueError(
            f"no preset named {name[:60]!r}: {did_you_mean(name, PRESETS, most=1)}possible: {', '.join(PRESETS)}"
        )
    return found
