"""AdamW, clipping and schedules: PyTorch step by step, and a whole training run beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_llama import TorchLlama, largest_error

from minillama.config import ModelConfig
from minillama.params import init_params
from minillama.quantization.formats import quantize
from minillama.training.gradients import means
from minillama.training.objectives import NextToken, Rows
from minillama.training.optimizer import AdamW, adamw_step, add_gradients, clip_scale, global_norm
from minillama.training.schedule import Schedule
from minillama.training.workers import Workers
from minillama.trees import add, map_tree, named_leaves
from minillama.trees import norm as tree_norm

CONFIG = ModelConfig(
    dim=64, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=96, vocab_size=101, max_seq_len=64, tied=True
)


def random_tree(rng, like, scale=1.0):
    return map_tree(lambda a: (scale * rng.normal(size=a.shape)).astype(a.dtype), like)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)])
def test_ten_updates_are_pytorchs(dtype, tolerance, rng):
    params = init_params(CONFIG, rng, dtype)
    model = TorchLlama(CONFIG, params)
    reference, ours = model.optimizer(3e-3), AdamW(params)
    for step in range(10):
        gradients = random_tree(rng, params, 10.0 ** (step % 4 - 2))
        for (_, parameter), (_, g) in zip(_in_order(model), named_leaves(gradients), strict=True):
            parameter.grad = torch.tensor(g)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
        reference.step()
        np.testing.assert_allclose(global_norm(gradients), norm, rtol=1e-6)
        np.testing.assert_allclose(global_norm(gradients), tree_norm(gradients), rtol=1e-12)
        ours.update(gradients, 3e-3, clip_scale(norm, 1.0))
    assert largest_error(params, model.tree("data")) < tolerance
    assert ours.n_steps == 10


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)])
def test_the_kernel_is_the_equations(dtype, tolerance, rng):
    """`adamw_step`, an array at a time in NumPy, beside the compiled update of the whole tree."""
    params = init_params(CONFIG, rng, dtype)
    ours = AdamW(map_tree(np.copy, params))
    arrays = {name: (p, np.zeros_like(p), np.zeros_like(p)) for name, p in named_leaves(params)}
    for t in range(1, 11):
        gradients, scale = random_tree(rng, params, 10.0 ** (t % 4 - 2)), dtype(0.7)
        for name, g in named_leaves(gradients):
            p, m, v = arrays[name]
            decay = 0.1 if p.ndim == 2 else 0.0
            arrays[name] = adamw_step(p, scale * g, m, v, t, 3e-3, weight_decay=decay)
        ours.update(gradients, 3e-3, scale)
    for place, tree in enumerate((ours.params, ours.m, ours.v)):
        for name, found in named_leaves(tree):
            expected = arrays[name][place]
            assert (found.dtype, expected.dtype) == (dtype, dtype)
            assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max(), name


def test_parameters_without_a_gradient_stay_as_they_are(rng):
    params = init_params(CONFIG, rng)
    before, ours = map_tree(np.copy, params), AdamW(params)
    gradients = random_tree(rng, params)
    ours.update(gradients._replace(token_embedding=None), 3e-3)
    np.testing.assert_array_equal(params.token_embedding, before.token_embedding)
    assert not ours.m.token_embedding.any()
    assert (params.final_norm != before.final_norm).all()
    with pytest.raises(ValueError, match="a gradient of output, and no such parameter"):
        ours.update(gradients._replace(output=params.token_embedding), 3e-3)


def _in_order(model):
    by_name = dict(model.named_parameters())
    return [(name, by_name[name]) for name, _ in named_leaves(model.tree("data"))]


def test_fifty_steps_of_training_are_pytorchs(rng):
    """The same data, model, AdamW, schedule and clipping: the loss stays the same to 1e-4."""
    params = init_params(CONFIG, rng)
    model = TorchLlama(CONFIG, params)
    reference, ours, schedule = model.optimizer(1.0), AdamW(params), Schedule(5e-3, 10, 50)
    # Text that can be learned: runs of neighbours in a random cycle of the vocabulary.
    cycle = rng.permutation(CONFIG.vocab_size)
    losses = []
    with Workers(2) as workers:
        for step in range(1, 51):
            rows = cycle[(rng.integers(0, 101, (8, 1)) + np.arange(65)) % 101]
            tokens, targets = np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, 1:])
            sums, gradients = workers.gradients(NextToken(CONFIG), params, Rows(tokens, targets))
            norm = global_norm(gradients) / sums["count"]
            ours.update(gradients, schedule(step), clip_scale(norm, 1.0) / sums["count"])
            for group in reference.param_groups:
                group["lr"] = schedule(step)
            reference.zero_grad()
            expected = model.loss(tokens, targets)
            expected.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            reference.step()
            losses.append((means(sums)["loss"], expected.item()))
    found, expected = np.array(losses).T
    assert found[-1] < 0.5 < 4 < found[0], "nothing was learned: the comparison would prove little"
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_gradients_are_read_only_to_an_update(rng):
    params = init_params(CONFIG, rng)
    gradients = random_tree(rng, params)
    before = map_tree(np.copy, gradients)
    AdamW(params).update(gradients, 3e-3, 0.3)
    assert largest_error(gradients, before) == 0


def test_only_matrices_decay(rng):
    params = init_params(CONFIG, rng)
    before = map_tree(np.copy, params)
    AdamW(params, weight_decay=0.5).update(map_tree(np.zeros_like, params), 0.1)
    for (name, now), (_, then) in zip(named_leaves(params), named_leaves(before), strict=True):
        np.testing.assert_allclose(now, then * (1 if name.endswith("norm") else 0.95), rtol=1e-6)


def test_clipping():
    assert clip_scale(0.5, 1.0) == 1
    assert clip_scale(4.0, 1.0) == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_norm_shows_a_number_that_is_none(bad, rng):
    gradients = init_params(CONFIG, rng)
    gradients.layers[1].wo[3, 4] = bad
    assert not np.isfinite(global_norm(gradients))


def test_adding_gradients(rng):
    a, b = (random_tree(rng, init_params(CONFIG, rng)) for _ in range(2))
    expected = add(map_tree(np.copy, a), b)
    assert add_gradients(a, b) is a
    assert largest_error(a, expected) == 0


def test_what_cannot_be_trained_is_said(rng):
    params = init_params(CONFIG, rng)
    packed = params._replace(token_embedding=quantize(params.token_embedding, "Q8_0"))
    with pytest.raises(ValueError, match=r"token_embedding is stored as PackedArray: train plain"):
        AdamW(packed)
    frozen = params.final_norm.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="final_norm cannot be changed in place"):
        AdamW(params._replace(final_norm=frozen))
    with pytest.raises(ValueError, match="betas must be"):
        AdamW(params, betas=(1.0, 0.9))


def test_the_papers_schedule():
    """Linear to the peak in 2000 steps, a cosine to a tenth at the end."""
    schedule = Schedule(3e-4, 2000, 500_000)
    assert schedule(1) == pytest.approx(3e-4 / 2000)
    assert schedule(1000) == pytest.approx(1.5e-4)
    assert schedule(2000) == pytest.approx(3e-4)
    assert schedule(251_000) == pytest.approx((3e-4 + 3e-5) / 2)
    assert schedule(500_000) == pytest.approx(3e-5)
    assert schedule(600_000) == pytest.approx(3e-5)
    rates = [schedule(step) for step in range(1, 500_001, 499)]
    assert np.all(np.diff(rates[5:]) < 0)


def test_the_schedule_is_pytorchs():
    schedule, parameter = Schedule(1.0, 0, 40, final_fraction=0.1), torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40, eta_min=0.1)
    for step in range(1, 41):
        optimizer.step()
        reference.step()
        assert schedule(step) == pytest.approx(reference.get_last_lr()[0], rel=1e-9)


@pytest.mark.parametrize("numbers", [(0, 1, 10, 0.1), (1e-3, 11, 10, 0.1), (1e-3, 1, 10, 2.0), (np.nan, 1, 10, 0.1)])
def test_impossible_schedules_are_said(numbers):
    with pytest.raises(ValueError, match="must be"):
        Schedule(*numbers)


def test_a_rate_factor_holds_for_the_parameter_of_that_name():
    tree = {"a": np.ones((3, 4), np.float64), "b": np.ones(4, np.float64)}
    grown = [tree["a"].copy(), tree["b"].copy()]
    gradients = [np.full((3, 4), 0.5), np.full(4, -0.25)]
    AdamW(grown).update(gradients, 0.01, rate_factor=lambda name: 20.0 if name == "1" else 1.0)
    for place, rate in ((0, 0.01), (1, 0.2)):
        alone = [tree["ab"[place]].copy()]
        AdamW(alone, weight_decay=0.1).update([gradients[place]], rate)
        np.testing.assert_allclose(grown[place], alone[0], rtol=0, atol=1e-15)
