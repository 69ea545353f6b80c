"""The fused token: equal to the layers one by one, for every shape of model, and taken only when it may be."""

import inspect

import numpy as np
import pytest
from random_blocks import random_matrix

from minillama.config import ModelConfig, RopeScaling
from minillama.inference import fused, repacked_model
from minillama.inference.fused import Decoder
from minillama.inference.repacked_model import repack_model
from minillama.inference.runner import FusedRunner, LayerRunner
from minillama.inference.session import Session
from minillama.kv_cache import CacheOverflowError, KVCache
from minillama.layers.rope import rope_table
from minillama.llm import LLM
from minillama.model import forward, forward_cached
from minillama.ops import FAST, REFERENCE
from minillama.params import init_params
from minillama.quantization.formats import FORMATS, GroupedArray, quantize
from minillama.trees import map_tree


def make(n_heads=4, n_kv_heads=2, tied=True, name="Q4_1", **changes):
    fields = {"dim": 64, "n_layers": 2, "hidden_dim": 96, "vocab_size": 101, "max_seq_len": 300, **changes}
    config = ModelConfig(n_heads=n_heads, n_kv_heads=n_kv_heads, tied=tied, **fields)
    params = init_params(config, np.random.default_rng(0))
    if FORMATS[name].quantize is None:
        rng = np.random.default_rng(0)
        return config, map_tree(lambda a: random_matrix(name, a.shape, rng, size=0.08) if a.ndim == 2 else a, params)
    return config, map_tree(lambda a: quantize(10 * a, name) if a.ndim == 2 else a, params)


def fused_runner(params, config):
    return FusedRunner(repack_model(params, anyway=True), config)


@pytest.mark.parametrize(
    "model",
    [
        make(n_kv_heads=4, tied=False),
        make(n_kv_heads=2, name="Q8_0"),
        make(n_kv_heads=1, name="Q5_0"),
        make(n_heads=2, head_dim=48, n_kv_heads=1, name="Q5_1"),
        make(n_heads=8, n_kv_heads=1, name="Q4_0"),
        make(n_heads=4, name="IQ4_NL"),
        make(dim=256, hidden_dim=512, name="Q6_K"),
        make(dim=512, head_dim=64, hidden_dim=256, name="Q2_K", tied=False),
        make(dim=60, n_heads=6, hidden_dim=43, name="F16"),
        make(dim=60, n_heads=6, hidden_dim=43, name="BF16", tied=False),
    ],
    ids=[
        "MHA untied Q4_1",
        "GQA Q8_0",
        "MQA Q5_0",
        "wide heads Q5_1",
        "narrow heads Q4_0",
        "IQ4_NL",
        "Q6_K",
        "untied Q2_K",
        "odd F16",
        "odd BF16",
    ],
)
def test_a_token_equals_the_layers_one_by_one(model, threads):
    """Both in integers; only the order of float32 sums differs."""
    config, params = model
    repacked = repack_model(params, anyway=True)
    rope = rope_table(config.head_dim, 300, config.rope_theta)
    decoder, one, other = Decoder(repacked, config), KVCache(config), KVCache(config)
    for token in np.random.default_rng(1).integers(0, 101, 120):
        one.reserve(1)
        logits = decoder.step(int(token), int(one.lengths[0]), one, rope)
        one.advance(1)
        expected = forward_cached(repacked.params, config, [token], other, rope)
        np.testing.assert_allclose(logits, expected[0], atol=1e-3 * np.abs(expected).max())
    np.testing.assert_allclose(one.k[:, :, :, :120], other.k[:, :, :, :120], atol=1e-3 * np.abs(other.k).max())


def test_what_relatives_of_llama2_have(threads):
    """Biases of odd widths, norms of heads, a window across the positions that threads share; all numbers random."""
    config = ModelConfig(
        dim=60, n_layers=2, n_heads=3, n_kv_heads=1, head_dim=20, hidden_dim=43, vocab_size=101, max_seq_len=300,
        sliding_window=50, qkv_bias=True, out_bias=True, mlp_bias=True, qk_norm=True,
        rope_scaling=RopeScaling(kind="linear", factor=3.0),
    )  # fmt: skip
    rng = np.random.default_rng(4)
    random = map_tree(lambda a: rng.normal(0, 0.3, a.shape).astype(np.float32), init_params(config, rng))
    params = map_tree(lambda a: quantize(a, "F16") if a.ndim == 2 else a, random)
    ids = rng.integers(0, 101, 200)
    expected = forward(params, config, ids, REFERENCE)[0][0]
    runner, cache = fused_runner(params, config), KVCache(config)
    found = np.concatenate([runner.extend(np.array([[token]]), cache) for token in ids])
    error = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"largest error {error:.1e}")
    assert error < 1e-4


def test_close_to_exact_arithmetic():
    config, params = make()
    ids = np.random.default_rng(2).integers(0, 101, 40)
    fast = Session(fused_runner(params, config))
    exact = Session(LayerRunner(params, config))
    for session in (fast, exact):
        session.feed(ids[:20])
    for token in ids[20:]:
        difference = np.abs(fast.step(token) - exact.step(token)).max()
        assert difference < 2e-3 * np.abs(exact.logits).max()


def test_keys_and_values_in_half_precision(threads):
    """Both ways of running agree on what is in the cache, and stay close to float32."""
    config, params = make(n_heads=6, n_kv_heads=2, dim=96)
    runner, ids = fused_runner(params, config), list(range(60))
    exact = Session(runner)
    fused = Session(runner, kv_dtype=np.float16)
    mine = FAST._replace(rope_forward=lambda *a: FAST.rope_forward(*a))
    layers = Session(LayerRunner(params, config, mine), kv_dtype="float16")
    for token in ids:
        logits = fused.step(token)
        np.testing.assert_allclose(logits, layers.step(token), atol=3e-3 * np.abs(logits).max())
        difference = np.abs(logits - exact.step(token)).max() / np.abs(logits).max()
        assert difference < 1e-2
    assert fused.cache.nbytes * 2 == exact.cache.nbytes
    for options, dtype in [
        ({}, np.float32),
        ({"kv_dtype": "float16"}, np.float16),
        ({"exact": True, "kv_dtype": "float16"}, np.float16),
    ]:
        assert LLM(params, config, None, **options).session().cache.k.dtype == dtype
    with pytest.raises(ValueError, match="float32 or float16, not float64"):
        LLM(params, config, None, kv_dtype=np.float64)


@pytest.mark.parametrize("spoilt", ["wk", "wv"])
def test_a_key_or_value_that_half_precision_does_not_hold_is_an_error(spoilt, threads):
    """Token by token and in a prompt; the sequence is as long as before, and float32 takes it."""
    config, params = make()
    layer = params.layers[1]
    weights = getattr(layer, spoilt).to_float32()
    huge = quantize(6e4 / np.abs(weights).max() * weights, "Q4_1")  # whose scales are float16 themselves
    params = params._replace(layers=(params.layers[0], layer._replace(**{spoilt: huge})))
    runner = fused_runner(params, config)
    session = Session(runner, kv_dtype=np.float16)
    for run in (lambda: session.step(3), lambda: session.feed(range(20))):
        with pytest.raises(CacheOverflowError, match="--kv-cache float32"):
            run()
        assert session.position == 0
    assert np.isfinite(Session(runner).step(3)).all()


@pytest.mark.parametrize("n_kv_heads", [1, 3])
def test_long_contexts_share_the_positions_of_a_head(n_kv_heads, threads):
    """Past a length the threads each take a part of the positions, and the parts are joined."""
    config, params = make(n_heads=3, n_kv_heads=n_kv_heads, dim=96, max_seq_len=400)
    runner, ids = fused_runner(params, config), np.random.default_rng(0).integers(0, 101, 300)
    expected = Session(runner).feed_all(ids)
    session = Session(runner)
    for i, token in enumerate(ids):
        logits = session.step(int(token))
        np.testing.assert_allclose(logits, expected[i], atol=2e-3 * np.abs(expected[i]).max())


def test_any_chunking_of_the_prompt(threads):
    """Tokens one by one (the fused kernel) and together (the layers) continue each other."""
    config, params = make()
    runner, ids = fused_runner(params, config), list(range(60))
    expected = Session(runner).feed_all(ids)
    session, parts = Session(runner), []
    for first, last in [(0, 1), (1, 2), (2, 20), (20, 21), (21, 59), (59, 60)]:
        parts.append(session.feed_all(ids[first:last]))
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-3 * np.abs(expected).max())


def test_logits_are_fresh():
    """The buffer of the kernel is not handed out: an earlier result stays what it was."""
    config, params = make()
    session = Session(fused_runner(params, config))
    first = session.step(3)
    kept = first.copy()
    session.step(4)
    np.testing.assert_array_equal(first, kept)


def test_models_that_do_not_fit_stay_as_they_are(monkeypatch):
    """llama2.c's int8 has other groups; large float models are not copied; no integers without the instruction."""
    config, params = make()
    int8 = GroupedArray(np.ones((64, 64), np.int8), np.ones(64, np.float32))
    mixed = params._replace(layers=(params.layers[0]._replace(wo=int8),) * 2)
    assert repack_model(mixed) is None
    assert isinstance(LLM(mixed, config, None).runner, LayerRunner)
    plain = map_tree(lambda a: a if isinstance(a, np.ndarray) else a.to_float32(), params)
    assert repack_model(plain) is not None
    monkeypatch.setattr(repacked_model, "_MOST_FLOATS", 1000)
    assert repack_model(plain) is None
    monkeypatch.setattr(repacked_model, "DOT4", "portable")
    assert repack_model(params) is None


def test_the_stored_weights_are_still_there():
    config, params = make()
    llm = LLM(params, config, None)
    assert llm.params is params


def test_arrays_cross_the_border_in_the_order_of_their_names():
    """They are passed flat, by position: two fields in another order would swap their arrays without a word."""
    names = list(inspect.signature(getattr(fused._decode._function, "py_func", fused._decode._function)).parameters)
    at = names.index("x")
    fields = (*fused._Shared._fields, *fused._Private._fields)
    assert names[at : at + len(fields)] == list(fields)
