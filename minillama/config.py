"""The shape of a Llama: `ModelConfig`, and the named sizes.

Sources: LLaMA 2 (arXiv:2307.09288) section 2.2 and table 1; hidden sizes by the rule of
Meta's reference code; the TinyStories sizes are llama2.c's, SmolLM2's its public config.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

# A file that asks for more is damaged, not a model.
MAX_SEQ_LEN_LIMIT = 1 << 24
N_LAYERS_LIMIT = 1 << 12
LARGEST_NUMBER = 3e38  # float32 ends above it: tables of RoPE, and keys of GGUF files


def swiglu_hidden_dim(dim: int, multiple_of: int, multiplier: float | None = None) -> int:
    """The paper's width of the feed-forward layer: 2/3 of 4 * dim, rounded up.

    Both floors come before the rounding up to `multiple_of`: 70B has
    21845 -> 28398 (times 1.3) -> 28672.

    Parameters
    ----------
    dim : int
    multiple_of : int
        256 in LLaMA 2 7B and 13B, 4096 in 70B.
    multiplier : float, optional
        `ffn_dim_multiplier` of Meta's params.json; 1.3 in 70B.
    """
    hidden_dim = 2 * (4 * dim) // 3
    if multiplier is not None:
        hidden_dim = int(multiplier * hidden_dim)
    return multiple_of * math.ceil(hidden_dim / multiple_of)


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """How a relative of LLaMA 2 changes RoPE's frequencies for longer texts; layers/rope_scaling.py computes them.

    Attributes
    ----------
    kind : str
        "linear", "llama3", "yarn", "dynamic" (the unchanged frequencies, and no text beyond `max_seq_len`),
        or "factors": a divisor of its own for every frequency, as GGUF files store llama3's.
    factor : float
        How many times longer the texts become.
    original_max_seq_len : int
        Positions of the training before the change; "llama3" and "yarn".
    low_freq_factor, high_freq_factor : float
        "llama3": between these many turns in the original length the change is gradual.
    beta_fast, beta_slow : float
        "yarn": the same, from the fast end.
    truncate : bool
        "yarn": the bounds of the gradual part are rounded outwards to whole frequencies.
    attention_factor : float
        "yarn": cosine and sine are multiplied by it; 0.1 ln(factor) + 1 in the paper.
    factors : tuple of float
        "factors": head_dim / 2 divisors.

    Raises
    ------
    ValueError
        When the kind is unknown or a number is out of range.
    """

    kind: str
    factor: float = 1.0
    original_max_seq_len: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float = 1.0
    factors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ROPE_SCALINGS:
            raise ValueError(f"the kind of RoPE scaling must be one of {', '.join(ROPE_SCALINGS)}, got {self.kind!r}")
        positive = {"factor": self.factor, "attention_factor": self.attention_factor}
        if self.kind == "llama3":
            positive |= {"low_freq_factor": self.low_freq_factor, "high_freq_factor": self.high_freq_factor}
        if self.kind == "yarn":
            positive |= {"beta_fast": self.beta_fast, "beta_slow": self.beta_slow}
        if self.kind in ("llama3", "yarn"):
            positive |= {"original_max_seq_len": self.original_max_seq_len}
        positive |= {f"factors[{i}]": number for i, number in enumerate(self.factors)}
        for name, number in positive.items():
            if not 0 < number < LARGEST_NUMBER:
                raise ValueError(
                    f"{name} of RoPE scaling must be a positive number below {LARGEST_NUMBER:g}, got {number!r}"
                )
        if self.kind == "llama3" and self.low_freq_factor >= self.high_freq_factor:
            raise ValueError(
                f"high_freq_factor must be above low_freq_factor {self.low_freq_factor}, got {self.high_freq_factor}"
            )


ROPE_SCALINGS = ("linear", "llama3", "yarn", "dynamic", "factors")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Every number that fixes the shape and the arithmetic of a Llama.

    Attributes
    ----------
    dim : int
        Width of the residual stream.
    n_layers, n_heads : int
        Transformer blocks; query heads in each.
    n_kv_heads : int
        Key and value heads: `n_heads` is MHA, 1 is MQA, anything between is GQA.
    head_dim : int
        Width of a head; `dim // n_heads` when it is not given. Even, because RoPE
        rotates pairs.
    hidden_dim : int
        Width of the feed-forward layer.
    vocab_size, max_seq_len : int
        Rows of the embedding; positions that the model was trained for.
    norm_eps : float
        Added inside RMSNorm's root.
    rope_theta : float
        Base of RoPE's frequencies.
    tied : bool
        The output head is the token embedding, as in SmolLM2 and the TinyStories models;
        no LLaMA 2 is tied.

    What follows LLaMA 2 does not have, and its relatives do (`beyond_llama2` says which):

    rope_scaling : RopeScaling, optional
    sliding_window : int
        A token sees so many positions, its own included; 0: all (Mistral 7B: 4096).
    qkv_bias, out_bias, mlp_bias : bool
        Whether wq, wk and wv (Qwen2), wo, and the three matrices of the feed-forward layer have biases.
    qk_norm : bool
        RMSNorm of every head of the queries and keys before RoPE (Qwen3).

    Raises
    ------
    ValueError
        When a number is out of range or two do not fit; the message names them.
    """

    dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int = 0  # 0: as many as n_heads
    head_dim: int = 0  # 0: dim // n_heads
    hidden_dim: int
    vocab_size: int
    max_seq_len: int
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    tied: bool = False
    rope_scaling: RopeScaling | None = None
    sliding_window: int = 0
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False

    def __post_init__(self) -> None:
        fill = object.__setattr__  # the class is frozen
        if self.n_kv_heads == 0:
            fill(self, "n_kv_heads", self.n_heads)
        if self.head_dim == 0 and self.n_heads > 0:
            if self.dim % self.n_heads:
                raise ValueError(f"dim {self.dim} is not a multiple of n_heads {self.n_heads}")
            fill(self, "head_dim", self.dim // self.n_heads)
        for name in ("dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "hidden_dim", "vocab_size", "max_seq_len"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 1 << 31:
                raise ValueError(f"{name} must be a positive integer below 2**31, got {value!r}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads {self.n_heads} is not a multiple of n_kv_heads {self.n_kv_heads}")
        if self.head_dim % 2:
            raise ValueError(f"head_dim must be even for RoPE, got {self.head_dim}")
        if self.max_seq_len > MAX_SEQ_LEN_LIMIT:
            raise ValueError(f"max_seq_len must be at most {MAX_SEQ_LEN_LIMIT}, got {self.max_seq_len}")
        if self.n_layers > N_LAYERS_LIMIT:
            raise ValueError(f"n_layers must be at most {N_LAYERS_LIMIT}, got {self.n_layers}")
        if not (math.isfinite(self.norm_eps) and 0 <= self.norm_eps < 1):
            raise ValueError(f"norm_eps must be in [0, 1), got {self.norm_eps!r}")
        if not 1 <= self.rope_theta < LARGEST_NUMBER:
            raise ValueError(
                f"rope_theta must be at least 1 and below {LARGEST_NUMBER:g}, a number of float32, "
                f"got {self.rope_theta!r}"
            )
        if not 0 <= self.sliding_window < 1 << 31:
            raise ValueError(f"sliding_window must be 0 or a number of positions, got {self.sliding_window!r}")
        n_factors = len(self.rope_scaling.factors) if self.rope_scaling else 0
        if self.rope_scaling and self.rope_scaling.kind == "factors" and n_factors != self.head_dim // 2:
            raise ValueError(f"RoPE scaling must have head_dim / 2 = {self.head_dim // 2} factors, got {n_factors}")
        if self.rope_scaling and self.rope_scaling.kind == "yarn" and self.rope_theta == 1:
            raise ValueError("rope_theta must be above 1 for RoPE scaling by the rule 'yarn'")

    def described(self) -> dict[str, Any]:
        """The numbers as a dict; what LLaMA 2 does not have stands there only in a model that has it."""
        unused = {name for name in FAMILY_FIELDS if not getattr(self, name)}
        return {name: value for name, value in asdict(self).items() if name not in unused}

    @property
    def beyond_llama2(self) -> tuple[str, ...]:
        """What of this model LLaMA 2 does not have, in words; empty for a LLaMA 2."""
        scaling = self.rope_scaling
        biased = {"wq, wk and wv": self.qkv_bias, "wo": self.out_bias, "the feed-forward layer": self.mlp_bias}
        found = {
            f"RoPE scaled by the rule {scaling.kind!r}" if scaling else "": scaling is not None,
            f"a sliding window of {self.sliding_window} tokens": 0 < self.sliding_window < self.max_seq_len,
            f"biases of {' and of '.join(name for name, is_there in biased.items() if is_there)}": any(biased.values()),
            "norms of queries and keys": self.qk_norm,
        }
        return tuple(words for words, is_there in found.items() if is_there)

    @property
    def group_size(self) -> int:
        """Query heads that share one key and value head (`n_rep` in Meta's code)."""
        return self.n_heads // self.n_kv_heads

    @property
    def attention_kind(self) -> str:
        """Which of "MHA", "MQA" and "GQA" this is."""
        if self.n_kv_heads == self.n_heads:
            return "MHA"
        return "MQA" if self.n_kv_heads == 1 else "GQA"

    def kv_cache_bytes(self, n_tokens: int = 1, bytes_per_number: int = 2, n_kv_heads: int | None = None) -> int:
        """Bytes of keys and values for `n_tokens` positions of one sequence.

        `n_kv_heads` answers "and with that many heads?": `config.n_heads` gives the MHA
        cache against which LLaMA 2 70B saves a factor of 8.
        """
        heads = self.n_kv_heads if n_kv_heads is None else n_kv_heads
        return 2 * self.n_layers * heads * self.head_dim * bytes_per_number * n_tokens


FAMILY_FIELDS = ("rope_scaling", "sliding_window", "qkv_bias", "out_bias", "mlp_bias", "qk_norm")
"""The fields of a `ModelConfig` that LLaMA 2 does not need."""


def _llama2(
    dim: int, n_layers: int, n_heads: int, n_kv_heads: int, multiple_of: int, multiplier: float | None = None
) -> ModelConfig:
    return ModelConfig(
        dim=dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        hidden_dim=swiglu_hidden_dim(dim, multiple_of, multiplier),
        vocab_size=32000,
        max_seq_len=4096,
    )


def _stories(
    dim: int,
    n_layers: int,
    n_heads: int,
    n_kv_heads: int,
    max_seq_len: int,
    multiple_of: int = 32,
    vocab_size: int = 32000,
) -> ModelConfig:
    return ModelConfig(
        dim=dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        hidden_dim=swiglu_hidden_dim(dim, multiple_of),
        vocab_size=vocab_size,
        max_seq_len=max_seq_len,
        tied=True,
    )


_SMOLLM2_135M = ModelConfig(
    dim=576,
    n_layers=30,
    n_heads=9,
    n_kv_heads=3,
    hidden_dim=1536,
    vocab_size=49152,
    max_seq_len=8192,
    rope_theta=100000.0,
    tied=True,
)

# 34B was never released: its shape is CodeLlama-34B's, which shares the family (unconfirmed).
NAMED_CONFIGS: dict[str, ModelConfig] = {
    "7B": _llama2(4096, 32, 32, 32, 256),
    "13B": _llama2(5120, 40, 40, 40, 256),
    "34B": _llama2(8192, 48, 64, 8, 256),
    "70B": _llama2(8192, 80, 64, 8, 4096, 1.3),
    "smollm2-135m": _SMOLLM2_135M,
    "smollm2-360m": replace(_SMOLLM2_135M, dim=960, n_layers=32, n_heads=15, n_kv_heads=5, hidden_dim=2560),
    "smollm2-1.7b": replace(
        _SMOLLM2_135M, dim=2048, n_layers=24, n_heads=32, n_kv_heads=32, hidden_dim=8192, rope_theta=130000.0
    ),
    "stories260K": _stories(64, 5, 8, 4, 512, multiple_of=4, vocab_size=512),
    "stories15M": _stories(288, 6, 6, 6, 256),
    "stories42M": _stories(512, 8, 8, 8, 1024),
    "stories110M": _stories(768, 12, 12, 12, 1024),
}


def named_config(name: str) -> ModelConfig:
    """Look up `NAMED_CONFIGS` by name, upper or lower case.

    Raises
    ------
    ValueError
        When no size has that name; the message lists those that exist.
    """
    by_lower_case = {known.lower(): config for known, config in NAMED_CONFIGS.items()}
    config = by_lower_case.get(name.lower())
    if config is None:
        raise ValueError(f"no size named {name!r}; known: {', '.join(NAMED_CONFIGS)}")
    return config
