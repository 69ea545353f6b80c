"""Configurations: the paper's numbers, and what is refused."""

import dataclasses

import pytest

from minillama.config import NAMED_CONFIGS, ModelConfig, named_config, swiglu_hidden_dim
from minillama.params import count_parameters

TINY = {"dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "vocab_size": 32, "max_seq_len": 16}


@pytest.mark.parametrize(
    ("dim", "multiple_of", "multiplier", "expected"),
    [(4096, 256, None, 11008), (5120, 256, None, 13824), (8192, 256, None, 22016), (8192, 4096, 1.3, 28672)],
    ids=["7B", "13B", "34B", "70B"],
)
def test_hidden_dim_by_the_rule_of_the_paper(dim, multiple_of, multiplier, expected):
    assert swiglu_hidden_dim(dim, multiple_of, multiplier) == expected


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("7B", 6_738_415_616),
        ("13B", 13_015_864_320),
        ("34B", 33_743_970_304),
        ("70B", 68_976_648_192),
        ("smollm2-135m", 134_515_008),
        ("stories260K", 260_032),
        ("stories15M", 15_191_712),
        ("stories42M", 41_689_600),
        ("stories110M", 109_529_856),
    ],
)
def test_exact_parameter_counts(name, parameters):
    assert count_parameters(named_config(name)) == parameters


@pytest.mark.parametrize("name", NAMED_CONFIGS)
def test_count_is_what_the_paper_adds_up(name):
    """Attention, feed-forward and norms of every layer, the tables and the last norm, by hand."""
    c = named_config(name)
    attention = 2 * c.dim * c.head_dim * (c.n_heads + c.n_kv_heads)
    per_layer = attention + 3 * c.dim * c.hidden_dim + 2 * c.dim
    assert count_parameters(c) == (1 if c.tied else 2) * c.vocab_size * c.dim + c.n_layers * per_layer + c.dim


@pytest.mark.parametrize(
    ("name", "per_token", "at_4096_gib"),
    [("7B", 524_288, 2.0), ("13B", 819_200, 3.125), ("34B", 196_608, 0.75), ("70B", 327_680, 1.25)],
)
def test_kv_cache_bytes(name, per_token, at_4096_gib):
    config = named_config(name)
    assert config.kv_cache_bytes() == per_token
    assert config.kv_cache_bytes(4096) == at_4096_gib * 2**30


def test_grouped_heads_save_a_factor_of_eight():
    config = named_config("70B")
    assert config.kv_cache_bytes(n_kv_heads=config.n_heads) == 2_621_440 == 8 * config.kv_cache_bytes()


def test_transformers_agrees_on_the_shapes():
    """The parameter count of a LlamaForCausalLM of the same configuration, without its weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    for name in ("7B", "70B", "smollm2-135m", "smollm2-360m", "smollm2-1.7b"):
        c = named_config(name)
        with torch.device("meta"):
            model = LlamaForCausalLM(
                LlamaConfig(
                    hidden_size=c.dim,
                    intermediate_size=c.hidden_dim,
                    num_hidden_layers=c.n_layers,
                    num_attention_heads=c.n_heads,
                    num_key_value_heads=c.n_kv_heads,
                    vocab_size=c.vocab_size,
                    tie_word_embeddings=c.tied,
                )
            )
        assert sum(p.numel() for p in model.parameters()) == count_parameters(c), name


def test_defaults_fill_in():
    config = ModelConfig(**TINY)
    assert (config.n_kv_heads, config.head_dim, config.attention_kind) == (2, 4, "MHA")
    assert ModelConfig(**TINY | {"n_kv_heads": 1}).attention_kind == "MQA"
    assert ModelConfig(**TINY | {"n_heads": 4, "n_kv_heads": 2}).attention_kind == "GQA"


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig(**TINY).dim = 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "dim must be a positive integer"),
        ({"dim": 8.0}, "dim must be a positive integer"),
        ({"n_layers": True}, "n_layers must be a positive integer"),
        ({"vocab_size": -1}, "vocab_size must be a positive integer"),
        ({"hidden_dim": 1 << 31}, "hidden_dim must be a positive integer"),
        ({"n_layers": 5000}, "n_layers must be at most"),
        ({"max_seq_len": 1 << 25}, "max_seq_len must be at most"),
        ({"n_heads": 3}, "dim 8 is not a multiple of n_heads 3"),
        ({"n_heads": 4, "n_kv_heads": 3}, "n_heads 4 is not a multiple of n_kv_heads 3"),
        ({"head_dim": 3}, "head_dim must be even"),
        ({"norm_eps": -1e-5}, "norm_eps must be in"),
        ({"norm_eps": float("nan")}, "norm_eps must be in"),
        ({"rope_theta": float("inf")}, "rope_theta must be at least 1 and below"),
        ({"rope_theta": 0.0}, "rope_theta must be at least 1 and below"),
        ({"rope_theta": 1e299}, "rope_theta must be at least 1 and below"),
    ],
)
def test_bad_numbers_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**TINY | change)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no size named '8B'; known: 7B, 13B"):
        named_config("8B")
    assert named_config("70b") is NAMED_CONFIGS["70B"]
