"""The Llama-shaped models: tiny ones that transformers saves, read, run four ways, and converted.

The oracle is transformers, computing in float32 on the stored weights. GGUF twins are written by this package
(their names and order are checked against llama.cpp by benchmarks/family.py) and must give the same logits.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers

from minillama.checkpoints.convert import convert_checkpoint
from minillama.checkpoints.gguf import read_gguf
from minillama.checkpoints.huggingface.reading import read_huggingface
from minillama.checkpoints.loading import open_model
from minillama.config import ModelConfig, RopeScaling
from minillama.files.errors import CheckpointError
from minillama.inference.runner import FusedRunner, runner_for
from minillama.kv_cache import ContextFullError, KVCache
from minillama.llm import LLM
from minillama.model import backward, forward
from minillama.ops import FAST, REFERENCE
from minillama.params import init_params
from minillama.training.initial import open_initial
from minillama.trees import named_leaves

SHAPE = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.15,
}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


class Member(NamedTuple):
    """A model class of transformers, and what is particular about it."""

    name: str  # the prefix of transformers' classes
    settings: dict[str, Any] = {}  # noqa: RUF012
    gguf: str | None = "llama"  # the architecture of its GGUF twin; None where there is none


def scaled(**rope: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_theta": 10000.0, **rope}}


FAMILY = {
    "llama": Member("Llama"),
    "wide heads": Member("Llama", {"head_dim": 32}),
    "attention bias": Member("Llama", {"attention_bias": True}),
    "all biases": Member("Llama", {"attention_bias": True, "mlp_bias": True}),
    "linear": Member("Llama", scaled(rope_type="linear", factor=4.0)),
    "llama3": Member("Llama", scaled(**LLAMA3, original_max_position_embeddings=32)),
    "llama3 and biases": Member(
        "Llama", {"attention_bias": True, **scaled(**LLAMA3, original_max_position_embeddings=64)}
    ),
    "yarn": Member("Llama", scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)),
    "yarn with a factor of its own": Member(
        "Llama", scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, attention_factor=1.3)
    ),
    "yarn of DeepSeek": Member(
        "Llama",
        scaled(rope_type="yarn", factor=40.0, original_max_position_embeddings=32, mscale=0.7, mscale_all_dim=1.0),
    ),
    "yarn not rounded": Member(
        "Llama",
        scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=8, truncate=False),
        None,
    ),
    "dynamic": Member("Llama", scaled(rope_type="dynamic", factor=4.0), None),
    "mistral": Member("Mistral", {"sliding_window": None}),
    "mistral with a window": Member("Mistral", {"sliding_window": 9}, None),
    "window of one tile": Member("Mistral", {"sliding_window": 33, "head_dim": 20}, None),
    "qwen2": Member("Qwen2", {"rope_parameters": {"rope_theta": 1e6}}, "qwen2"),
    "qwen2 and yarn": Member(
        "Qwen2", scaled(rope_type="yarn", factor=4.0, original_max_position_embeddings=32), "qwen2"
    ),
    "qwen2 with a window": Member(
        "Qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0}, None
    ),
    "qwen3": Member("Qwen3", {"head_dim": 32}, "qwen3"),
    "qwen3 with biases": Member("Qwen3", {"head_dim": 16, "attention_bias": True}, None),
    "qwen3 and linear": Member("Qwen3", {"head_dim": 16, **scaled(rope_type="linear", factor=2.0)}, "qwen3"),
}
N_TOKENS = 70  # past every window, and past the original length of every scaling


def oracle(member: Member, tied: bool, dtype: torch.dtype):
    """The model of transformers, with every number random, as it computes in float32 on weights of `dtype`."""
    config = getattr(transformers, f"{member.name}Config")(**{**SHAPE, "tie_word_embeddings": tied, **member.settings})
    config._attn_implementation = "eager"
    torch.manual_seed(7)
    model = getattr(transformers, f"{member.name}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.5)
            elif "norm" in name:
                parameter.uniform_(0.5, 1.5)
            parameter.data = parameter.data.to(dtype)  # not the buffers: RoPE's frequencies stay float32
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """`saved(kind, tied, dtype)` -> the folder of a member, and transformers' logits of IDS."""
    found: dict[Any, Any] = {}
    ids = np.random.default_rng(3).integers(0, SHAPE["vocab_size"], N_TOKENS)

    def get(kind: str, tied: bool = False, dtype: torch.dtype = torch.float32):
        key = (kind, tied, dtype)
        if key not in found:
            model = oracle(FAMILY[kind], tied, dtype)
            folder = tmp_path_factory.mktemp("member")
            model.save_pretrained(folder)
            for parameter in model.parameters():
                parameter.data = parameter.data.float()
            with torch.no_grad():
                logits = model(torch.tensor(ids[None])).logits[0].numpy()
            found[key] = folder, ids, logits
        return found[key]

    return get


def largest_error(found: np.ndarray, logits: np.ndarray) -> float:
    return float(np.abs(found - logits).max() / np.abs(logits).max())


def in_parts(runner, ids, cuts=None) -> np.ndarray:
    """Logits of every position through the cache, cut where `cuts` says; token by token without."""
    cache = KVCache(runner.config)
    parts = np.split(ids, range(1, len(ids)) if cuts is None else cuts)
    return np.concatenate([runner.extend(part[None], cache, all_logits=True)[0] for part in parts])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("kind", FAMILY)
def test_logits_are_those_of_transformers(saved, kind, tied, dtype):
    folder, ids, logits = saved(kind, tied, dtype)
    checkpoint = read_huggingface(folder)
    params, config = checkpoint.params, checkpoint.config
    fused = runner_for(params, config)
    assert isinstance(fused, FusedRunner)
    errors = {
        "REFERENCE": largest_error(forward(params, config, ids, REFERENCE)[0][0], logits),
        "FAST": largest_error(forward(params, config, ids, FAST)[0][0], logits),
        "in chunks": largest_error(in_parts(runner_for(params, config, exact=True), ids, [40, 41, 45]), logits),
        "fused, in chunks": largest_error(in_parts(fused, ids, [40, 41, 45]), logits),
        "fused token": largest_error(in_parts(fused, ids), logits),
        "REFERENCE, cached": largest_error(in_parts(runner_for(params, config, REFERENCE), ids), logits),
    }
    print({name: f"{error:.1e}" for name, error in errors.items()})
    assert max(errors.values()) < 1e-4, errors


@pytest.mark.parametrize("kind", FAMILY)
def test_gguf_twin_gives_the_same_logits(saved, kind, tmp_path):
    folder, ids, logits = saved(kind)
    target = tmp_path / "twin.gguf"
    if FAMILY[kind].gguf is None:
        with pytest.raises(ValueError, match=r"GGUF file .*has no word|llama\.cpp"):
            convert_checkpoint(folder, target)
        assert not target.exists()
        return
    convert_checkpoint(folder, target)
    twin = read_gguf(target)
    assert twin.metadata["general.architecture"] == FAMILY[kind].gguf
    error = largest_error(forward(twin.params, twin.config, ids)[0][0], logits)
    print(f"largest error {error:.1e}")
    assert error < 1e-4


@pytest.mark.parametrize("kind", FAMILY)
def test_folders_hold_every_member(saved, kind, tmp_path):
    """Hugging Face -> minillama -> Hugging Face: the same configuration, the same numbers, the same logits."""
    folder, ids, logits = saved(kind)
    convert_checkpoint(folder, tmp_path / "own")
    convert_checkpoint(tmp_path / "own", tmp_path / "back", folder_format="huggingface")
    first, own, back = (open_model(path)[0] for path in (folder, tmp_path / "own", tmp_path / "back"))
    assert first.config == own.config == back.config
    for (name, a), (_, b), (_, c) in zip(*(named_leaves(one.params) for one in (first, own, back))):
        np.testing.assert_array_equal(a, b, err_msg=name)
        np.testing.assert_array_equal(a, c, err_msg=name)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "back", dtype=torch.float32)
    with torch.no_grad():
        found = again(torch.tensor(ids[None])).logits[0].numpy()
    assert largest_error(found, logits) < 1e-5


@pytest.mark.parametrize("kind", [kind for kind in FAMILY if kind not in ("llama", "wide heads", "mistral")])
def test_what_llama2_lacks_is_neither_trained_nor_written_as_llama2c(saved, kind, tmp_path):
    folder, ids, _ = saved(kind)
    checkpoint = read_huggingface(folder)
    words = checkpoint.config.beyond_llama2
    assert words
    with pytest.raises(ValueError, match=r"llama2\.c cannot hold .*" + words[0][:12]):
        convert_checkpoint(folder, tmp_path / "model.bin")
    with pytest.raises(ValueError, match=r"training is that of a LLaMA 2"):
        open_initial(folder)
    y, kept = forward(checkpoint.params, checkpoint.config, ids)
    with pytest.raises(ValueError, match="gradients are those of LLaMA 2"):
        backward(y, kept)


def test_dynamic_scaling_ends_at_the_original_length(saved):
    """There transformers changes the frequencies of every token with every token; an error is better."""
    checkpoint = read_huggingface(saved("dynamic")[0])
    llm = LLM(checkpoint.params, checkpoint.config, None)
    session = llm.session()
    session.feed([1] * SHAPE["max_position_embeddings"])
    with pytest.raises(ContextFullError):
        session.feed([1])
    with pytest.raises(ValueError, match="dynamic"):
        llm.session(max_seq_len=SHAPE["max_position_embeddings"] + 1)


# --- config.json ------------------------------------------------------------------------


def config_of(folder, **changes) -> ModelConfig:
    path = folder / "config.json"
    original = path.read_text()
    description = {key: value for key, value in {**json.loads(original), **changes}.items() if value is not ...}
    path.write_text(json.dumps(description))
    try:
        return read_huggingface(folder).config
    finally:
        path.write_text(original)


@pytest.mark.parametrize("name", ["Llama", "Mistral", "Qwen2", "Qwen3"])
def test_absent_keys_mean_what_they_mean_to_transformers(name, tmp_path):
    from minillama.checkpoints.huggingface.configuration import parse_config

    needed = {key: SHAPE[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")}
    needed["num_attention_heads"] = 32
    needed["hidden_size"] = 512
    theirs = getattr(transformers, f"{name}Config")(**needed)
    ours = parse_config({"model_type": name.lower(), **needed}, tmp_path)
    assert (ours.n_kv_heads, ours.max_seq_len, ours.norm_eps) == (
        theirs.num_key_value_heads,
        theirs.max_position_embeddings,
        theirs.rms_norm_eps,
    )
    assert ours.head_dim == (getattr(theirs, "head_dim", None) or 16)
    assert ours.sliding_window == (getattr(theirs, "sliding_window", None) or 0)
    assert ours.rope_theta == theirs.rope_parameters["rope_theta"]
    assert ours.tied == theirs.tie_word_embeddings


def test_old_and_new_spelling_of_scaling(saved):
    """transformers 4 wrote rope_scaling with `type`, beside rope_theta."""
    folder = saved("linear")[0]
    old = config_of(folder, rope_parameters=..., rope_theta=10000.0, rope_scaling={"type": "linear", "factor": 4.0})
    assert old == read_huggingface(folder).config
    with pytest.raises(CheckpointError, match="ask for different things"):
        config_of(folder, rope_scaling={"type": "linear", "factor": 8.0})


def test_null_does_not_round_the_bounds_of_yarn(saved):
    """To transformers an absent `truncate` is true, and `null` false."""
    folder = saved("yarn")[0]
    rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
    found = [config_of(folder, rope_parameters=rope | more) for more in ({}, {"truncate": None}, {"truncate": False})]
    assert [config.rope_scaling.truncate for config in found] == [True, False, False]


REFUSED = [
    ("llama", {"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "rope_type: expected one of 'default'"),
    ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0}}, "factor: is missing"),
    ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 0}}, "factor .* must be a positive number below"),
    ("llama3", {"rope_parameters": {**LLAMA3, "high_freq_factor": 1.0}}, "must be above low_freq_factor"),
    ("mistral", {"sliding_window": -4}, "sliding_window: expected a positive integer"),
    ("mistral", {"layer_types": ["sliding_attention", "full_attention"]}, "layer_types"),
    ("qwen2", {"layer_types": ["sliding_attention", "full_attention"]}, "the same attention in every layer"),
    (
        "qwen2",
        {"use_sliding_window": True, "max_window_layers": 1, "sliding_window": 8, "layer_types": ...},
        "same att",
    ),
    ("qwen2", {"layer_types": ["chunked_attention"] * 2}, "expected full_attention or sliding_attention"),
    ("qwen2", {"model_type": "qwen2_moe"}, "model_type: expected one of 'llama'"),
    ("qwen3", {"model_type": "qwen2", "architectures": ...}, "q_proj.bias: is missing|k_proj.bias"),
    ("qwen2", {"model_type": "llama", "architectures": ...}, "k_proj.bias"),
    ("attention bias", {"attention_bias": False}, "k_proj.bias"),
    ("llama", {"attention_bias": True}, "q_proj.bias: is missing"),
]


@pytest.mark.parametrize(("kind", "changes", "message"), REFUSED)
def test_what_is_not_computed_is_refused_by_name(saved, kind, changes, message):
    with pytest.raises(CheckpointError, match=message):
        config_of(saved(kind)[0], **changes)


def test_heads_that_do_not_divide_the_width_are_written_as_mistral(tmp_path, rng):
    """LlamaConfig refuses them; a Mistral without a window computes the same."""
    from minillama.checkpoints.native import write_native

    config = ModelConfig(dim=60, n_layers=1, n_heads=8, head_dim=8, hidden_dim=48, vocab_size=40, max_seq_len=64)
    params = init_params(config, rng)
    write_native(tmp_path / "own", config, params)
    convert_checkpoint(tmp_path / "own", tmp_path / "hf", folder_format="huggingface")
    ids = rng.integers(0, 40, 20)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)
    assert isinstance(theirs, transformers.MistralForCausalLM)
    with torch.no_grad():
        logits = theirs(torch.tensor(ids[None])).logits[0].numpy()
    assert largest_error(forward(params, config, ids)[0][0], logits) < 1e-5
    assert read_huggingface(tmp_path / "hf").config == config


def test_swish_is_silu(saved):
    folder = saved("llama")[0]
    assert config_of(folder, hidden_act="swish") == read_huggingface(folder).config


# --- what no model of transformers has ---------------------------------------------------


def test_a_mixture_is_kept_in_own_folders_and_refused_elsewhere(tmp_path, rng):
    from minillama.checkpoints.native import read_native, write_native

    config = ModelConfig(
        dim=32, n_layers=1, n_heads=2, hidden_dim=48, vocab_size=40, max_seq_len=64, qk_norm=True, mlp_bias=True,
        rope_scaling=RopeScaling(kind="factors", factors=tuple(np.linspace(1, 4, 8).tolist())), sliding_window=16,
    )  # fmt: skip
    params = init_params(config, rng)
    write_native(tmp_path / "own", config, params)
    assert read_native(tmp_path / "own").config == config
    with pytest.raises(ValueError, match=r"factors as GGUF files store them|transformers has no model"):
        convert_checkpoint(tmp_path / "own", tmp_path / "hf", folder_format="huggingface")
    with pytest.raises(ValueError, match="has no word for a sliding window of 16"):
        convert_checkpoint(tmp_path / "own", tmp_path / "model.gguf")
    write_native(tmp_path / "other", replace(config, sliding_window=0), params)
    with pytest.raises(ValueError, match=r"llama\.cpp has no model"):
        convert_checkpoint(tmp_path / "other", tmp_path / "model.gguf")


def test_scaling_is_checked():
    with pytest.raises(ValueError, match="kind of RoPE scaling must be one of"):
        RopeScaling(kind="ntk")
    with pytest.raises(ValueError, match="head_dim / 2 = 8 factors, got 2"):
        ModelConfig(dim=16, n_layers=1, n_heads=1, hidden_dim=8, vocab_size=8, max_seq_len=8,
                    rope_scaling=RopeScaling(kind="factors", factors=(1.0, 2.0)))  # fmt: skip
