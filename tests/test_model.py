"""The whole model: Hugging Face, cached equals full for any chunking, rows of a batch, replaced ops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from minillama.config import ModelConfig
from minillama.kv_cache import ContextFullError, KVCache
from minillama.layers.rope import half_to_interleaved, rope_table
from minillama.model import forward, forward_cached
from minillama.ops import FAST, REFERENCE, Ops
from minillama.params import build_params, init_params
from minillama.quantization.formats import quantize
from minillama.trees import map_tree

OPS = pytest.mark.parametrize("ops", [REFERENCE, FAST], ids=["reference", "fast"])

HF_NAMES = {
    "token_embedding": "embed_tokens",
    "final_norm": "norm",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "wq": "self_attn.q_proj",
    "wk": "self_attn.k_proj",
    "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj",
    "w_gate": "mlp.gate_proj",
    "w_up": "mlp.up_proj",
    "w_down": "mlp.down_proj",
}


def from_hugging_face(model, config):
    """The parameters of a LlamaForCausalLM as a tree, by hand: the readers have tests of their own."""
    state = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}

    def get(name, shape):
        *layer, field = name.split(".")
        key = "lm_head.weight" if field == "output" else ".".join(["model", *layer, HF_NAMES[field], "weight"])
        array = state[key]
        return half_to_interleaved(array, config.head_dim) if field in ("wq", "wk") else array

    return build_params(config, get)


def tiny_config(n_heads=4, n_kv_heads=2, tied=False, **changes):
    fields = {"dim": 32, "n_layers": 2, "hidden_dim": 48, "vocab_size": 99, "max_seq_len": 64, **changes}
    return ModelConfig(n_heads=n_heads, n_kv_heads=n_kv_heads, tied=tied, **fields)


def tiny_params(config, seed=0, scale=10):
    """Random parameters large enough for attention to be far from uniform."""
    params = init_params(config, np.random.default_rng(seed))
    return map_tree(lambda a: scale * a if a.ndim == 2 else a, params)


@OPS
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("n_kv_heads", [4, 2, 1], ids=["MHA", "GQA", "MQA"])
def test_logits_equal_hugging_face(ops, n_kv_heads, tied, rng):
    config = tiny_config(n_kv_heads=n_kv_heads, tied=tied)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=n_kv_heads,
            vocab_size=99,
            max_position_embeddings=64,
            rms_norm_eps=1e-5,
            tie_word_embeddings=tied,
            initializer_range=0.3,
        )
    ).eval()
    tokens = rng.integers(0, 99, (3, 60))
    with torch.no_grad():
        expected = model(torch.tensor(tokens)).logits.double()
    logits, _ = forward(from_hugging_face(model, config), config, tokens, ops)
    assert np.abs(logits - expected.numpy()).max() <= 2e-4 * expected.abs().max()
    ours, theirs = torch.log_softmax(torch.tensor(logits).double(), -1), torch.log_softmax(expected, -1)
    kl = (theirs.exp() * (theirs - ours)).sum(-1)
    assert kl.max() <= 1e-8


@OPS
@settings(max_examples=40, deadline=None)
@given(chunks=st.lists(st.integers(1, 20), min_size=1, max_size=12), seed=st.integers(0, 1000))
def test_cached_equals_full_for_any_chunking(ops, chunks, seed):
    config = tiny_config(max_seq_len=240)
    params, tokens = tiny_params(config), np.random.default_rng(seed).integers(0, 99, (2, sum(chunks)))
    full, _ = forward(params, config, tokens, ops)
    cache, rope = KVCache(config, 2), rope_table(config.head_dim, 240, config.rope_theta)
    parts, at = [], 0
    for n in chunks:
        parts.append(forward_cached(params, config, tokens[:, at : at + n], cache, rope, ops, all_logits=True))
        at += n
    np.testing.assert_allclose(np.concatenate(parts, axis=1), full, atol=1e-5 * np.abs(full).max())


@OPS
def test_last_logits_are_the_last_of_all(ops, rng):
    config = tiny_config()
    params, tokens, rope = tiny_params(config), rng.integers(0, 99, (2, 9)), rope_table(8, 64, 10000.0)
    every = forward_cached(params, config, tokens, KVCache(config, 2), rope, ops, all_logits=True)
    last = forward_cached(params, config, tokens, KVCache(config, 2), rope, ops)
    np.testing.assert_allclose(last, every[:, -1], atol=1e-5)


@OPS
def test_a_row_of_a_batch_is_the_row_alone(ops, rng):
    config = tiny_config()
    params, tokens = tiny_params(config), rng.integers(0, 99, (5, 12))
    together, _ = forward(params, config, tokens, ops)
    for row, expected in zip(tokens, together):
        np.testing.assert_allclose(forward(params, config, row, ops)[0][0], expected, atol=1e-4)


def test_packed_weights_equal_their_unpacked_selves(rng):
    config = tiny_config(dim=64, hidden_dim=96)
    packed = map_tree(lambda a: quantize(a, "Q4_1") if a.ndim == 2 else a, tiny_params(config))
    plain = map_tree(lambda a: a if isinstance(a, np.ndarray) else a.to_float32(), packed)
    tokens = rng.integers(0, 99, (2, 9))
    expected, _ = forward(plain, config, tokens, REFERENCE)
    for ops in (REFERENCE, FAST):
        np.testing.assert_allclose(forward(packed, config, tokens, ops)[0], expected, atol=1e-4)


def test_nothing_turns_float64(rng):
    """float32 weights give float32 everywhere, caches included; float64 weights float64."""
    config = tiny_config()
    for dtype in (np.float32, np.float64):
        params = init_params(config, rng, dtype)
        for ops in (REFERENCE, FAST):
            logits, saved = forward(params, config, [1, 2, 3], ops)
            layers = [layer for block in saved.backbone.blocks for half in block for layer in half]
            arrays = [a for layer in layers for a in layer if isinstance(a, np.ndarray)]
            assert {a.dtype for a in [logits, *arrays] if a.dtype.kind == "f"} == {np.dtype(dtype)}


@pytest.mark.parametrize("name", Ops._fields[:6])
def test_a_replaced_op_really_runs(name, rng):
    """Each entry of the table, wrapped: it is called, and the result stays the same."""
    config, calls = tiny_config(), []

    def wrapped(*args):
        calls.append(name)
        return getattr(REFERENCE, name)(*args)

    params, tokens = tiny_params(config), rng.integers(0, 99, (1, 7))
    expected, _ = forward(params, config, tokens, FAST)
    logits, _ = forward(params, config, tokens, FAST._replace(**{name: wrapped}))
    assert calls
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    calls.clear()
    cached = forward_cached(
        params, config, tokens, KVCache(config), rope_table(8, 64, 10000.0), FAST._replace(**{name: wrapped})
    )
    assert calls
    np.testing.assert_allclose(cached, expected[:, -1], atol=1e-4)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "there are no tokens"),
        ([[]], "there are no tokens"),
        ([1.5], "tokens must be integers"),
        ([[[1]]], "tokens must be integers of shape"),
        ([99], r"in \[0, 99\).*got 99"),
        ([-1], r"in \[0, 99\).*got -1"),
        ([1] * 65, "65 tokens are more than the context of 64"),
    ],
)
def test_bad_tokens_are_named(tokens, message):
    config = tiny_config()
    with pytest.raises(ValueError, match=message):
        forward(tiny_params(config), config, tokens)


def test_overflow_of_the_cache_changes_nothing(rng):
    config = tiny_config()
    cache, rope = KVCache(config), rope_table(8, 64, 10000.0)
    params = tiny_params(config)
    forward_cached(params, config, rng.integers(0, 99, 60), cache, rope)
    with pytest.raises(ContextFullError, match="the context holds 64 tokens: 60 are used, 5 more"):
        forward_cached(params, config, rng.integers(0, 99, 5), cache, rope)
    assert cache.lengths.tolist() == [60]
    forward_cached(params, config, rng.integers(0, 99, 4), cache, rope)
    with pytest.raises(ValueError, match="holds 1 sequences, got tokens for 2"):
        forward_cached(params, config, rng.integers(0, 99, (2, 1)), cache, rope)
