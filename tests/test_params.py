"""The parameter tree: names, shapes, maps."""

import numpy as np
import pytest

from minillama.config import ModelConfig
from minillama.params import build_params, count_parameters, expected_shapes, init_params
from minillama.trees import map_tree, named_leaves


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def config(request):
    return ModelConfig(
        dim=8, n_layers=2, n_heads=2, n_kv_heads=1, hidden_dim=12, vocab_size=10, max_seq_len=16, tied=request.param
    )


def test_names_and_shapes_agree(config, rng):
    params = init_params(config, rng)
    assert {name: array.shape for name, array in named_leaves(params)} == expected_shapes(config)
    assert ("output" in expected_shapes(config)) is not config.tied
    assert sum(array.size for _, array in named_leaves(params)) == count_parameters(config)


def test_build_is_the_inverse_of_named_arrays(config, rng):
    params = init_params(config, rng)
    arrays = dict(named_leaves(params))
    again = build_params(config, lambda name, shape: arrays[name])
    assert all(a is b for (_, a), (_, b) in zip(named_leaves(params), named_leaves(again), strict=True))


def test_map_keeps_the_tree(config, rng):
    params = init_params(config, rng)
    total = map_tree(lambda a, b: a + b, params, params)
    for (name, a), (other, b) in zip(named_leaves(params), named_leaves(total), strict=True):
        assert name == other
        np.testing.assert_array_equal(2 * a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_values(config, dtype):
    params = init_params(config, np.random.default_rng(0), dtype)
    assert all(array.dtype == dtype for _, array in named_leaves(params))
    assert (params.final_norm == 1).all()
    wide = ModelConfig(dim=256, n_layers=2, n_heads=2, hidden_dim=256, vocab_size=300, max_seq_len=8)
    layer = init_params(wide, np.random.default_rng(0)).layers[1]
    assert layer.wq.std() == pytest.approx(0.02, rel=0.02)
    assert layer.wo.std() == pytest.approx(0.01, rel=0.02)  # 0.02 / sqrt(2 * 2 layers)
    assert layer.w_down.std() == pytest.approx(0.01, rel=0.02)


def test_same_seed_same_parameters(config):
    first, second = (init_params(config, np.random.default_rng(7)) for _ in range(2))
    for (_, a), (_, b) in zip(named_leaves(first), named_leaves(second)):
        np.testing.assert_array_equal(a, b)
