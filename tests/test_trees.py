"""Trees of any shape: names, maps, sums and lengths, and what is said when two do not fit."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from minillama.config import ModelConfig
from minillama.params import Params, expected_shapes, init_params
from minillama.trees import add, map_named, map_tree, named_leaves, norm, zeros_like

CONFIG = ModelConfig(dim=8, n_layers=2, n_heads=2, n_kv_heads=1, hidden_dim=12, vocab_size=10, max_seq_len=16)


class RewardModel(NamedTuple):
    backbone: Params
    head: Any


class Nest(NamedTuple):
    pair: tuple[Any, Any]
    many: list[Any]
    absent: Any


@pytest.fixture
def model(rng):
    return RewardModel(init_params(CONFIG, rng), np.arange(8, dtype=np.float32))


def test_leaves_are_named_by_their_path(model):
    assert [name for name, _ in named_leaves(model.backbone)] == list(expected_shapes(CONFIG))
    expected = [*(f"backbone.{name}" for name in expected_shapes(CONFIG)), "head"]
    assert [name for name, _ in named_leaves(model)] == expected
    leaves = dict(named_leaves(model))
    assert leaves["backbone.layers.1.w_up"] is model.backbone.layers[1].w_up
    assert leaves["head"] is model.head


def test_tuples_lists_and_absent_leaves():
    nest = Nest((np.ones(1), None), [np.ones(2), (np.ones(3),)], None)
    assert [(name, leaf.size) for name, leaf in named_leaves(nest)] == [("pair.0", 1), ("many.0", 2), ("many.1.0", 3)]
    doubled = map_tree(lambda a: 2 * a, nest)
    assert (type(doubled), type(doubled.many), doubled.absent, doubled.pair[1]) == (Nest, list, None, None)
    np.testing.assert_array_equal(doubled.many[1][0], [2, 2, 2])
    assert list(named_leaves(None)) == []
    assert [name for name, _ in named_leaves(np.ones(2))] == [""]  # a leaf is a tree


def test_map_goes_through_several_trees_and_tells_names(model):
    total = map_tree(np.add, model, model)
    assert type(total) is RewardModel
    for (name, a), (other, b) in zip(named_leaves(model), named_leaves(total), strict=True):
        assert name == other
        np.testing.assert_array_equal(2 * a, b)
    names = map_named(lambda name, leaf: name, model)
    assert (names.head, names.backbone.layers[1].wq) == ("head", "backbone.layers.1.wq")


def test_sums_and_lengths(model):
    more = map_tree(np.ones_like, model)
    expected = map_tree(lambda a: a + 1, model)
    before = model.head
    assert add(model, more) is model
    assert model.head is before  # in place
    for (_, a), (_, b) in zip(named_leaves(model), named_leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    vector = np.concatenate([np.ravel(a) for _, a in named_leaves(model)]).astype(np.float64)
    np.testing.assert_allclose(norm(model), np.linalg.norm(vector), rtol=1e-12)
    assert norm(zeros_like(model)) == 0
    model.backbone.final_norm[3] = np.nan
    assert np.isnan(norm(model))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda m: m.backbone, r"differ at the root: RewardModel of 2 in one, Params of 5 in another"),
        (lambda m: m._replace(head=None), r"differ at head: a leaf \(ndarray\) in one, nothing in another"),
        (
            lambda m: m._replace(backbone=m.backbone._replace(layers=m.backbone.layers[:1])),
            r"differ at backbone\.layers: tuple of 2 in one, tuple of 1 in another",
        ),
    ],
)
def test_trees_that_do_not_fit_are_named(model, other, message):
    with pytest.raises(ValueError, match=message):
        map_tree(np.add, model, other(model))
