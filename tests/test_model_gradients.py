"""Backward of whole models: PyTorch's autograd for every parameter, accumulation, recomputation, other heads."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref

import numba
import numpy as np
import pytest
from torch_llama import TorchLlama, largest_error

from minillama.config import ModelConfig
from minillama.model import backbone_backward, backbone_forward, backward, forward
from minillama.ops import FAST, REFERENCE
from minillama.params import count_parameters, init_params
from minillama.training.gradients import (
    IGNORED,
    add_sums,
    divided,
    gradients_of,
    loss_and_gradients,
    means,
    next_token_sums,
    row_chunks,
)
from minillama.training.memory import gradient_copies
from minillama.training.objectives import NextToken, Rows
from minillama.training.optimizer import add_gradients
from minillama.training.workers import Workers
from minillama.trees import map_tree, named_leaves

GQA = ModelConfig(dim=64, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=96, vocab_size=101, max_seq_len=80, tied=True)
UNTIED_MQA = ModelConfig(
    dim=36, n_layers=2, n_heads=3, n_kv_heads=1, head_dim=10, hidden_dim=50, vocab_size=37, max_seq_len=80
)


def make(config, rng, dtype=np.float64):
    """Parameters large enough that every layer matters, tokens, and targets of which some are ignored."""
    params = map_tree(lambda a: (3 * a).astype(dtype), init_params(config, np.random.default_rng(0), np.float64))
    tokens, targets = rng.integers(0, config.vocab_size, (2, 3, 71))
    targets[0, :9] = IGNORED
    return params, tokens, targets


def in_torch(config, params, tokens, targets):
    model = TorchLlama(config, map_tree(lambda a: a.astype(np.float64), params))
    loss = model.loss(tokens, targets)
    loss.backward()
    return loss.item(), model.tree()


def whole(params, config, tokens, targets, ops, recompute=False):
    """The readable way: all logits, the objective, the whole way back."""
    logits, saved = forward(params, config, tokens, ops, recompute=recompute)
    loss, loss_saved = ops.cross_entropy_forward(logits, targets)
    return loss, backward(ops.cross_entropy_backward(1.0, loss_saved), saved, ops)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("config", [GQA, UNTIED_MQA], ids=["gqa-tied", "mqa-untied"])
@pytest.mark.parametrize("ops", [REFERENCE, FAST], ids=["reference", "fast"])
def test_every_gradient_is_autograds(ops, config, recompute, rng):
    params, tokens, targets = make(config, rng)
    loss, gradients = whole(params, config, tokens, targets, ops, recompute)
    expected_loss, expected = in_torch(config, params, tokens, targets)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-12)
    assert largest_error(gradients, expected) < 1e-9


@pytest.mark.parametrize("config", [GQA, UNTIED_MQA], ids=["gqa-tied", "mqa-untied"])
def test_float32_is_close_and_stays_float32(config, rng):
    params, tokens, targets = make(config, rng, np.float32)
    loss, gradients = loss_and_gradients(params, config, tokens, targets)
    expected_loss, expected = in_torch(config, params, tokens, targets)
    assert {array.dtype for _, array in named_leaves(gradients)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    assert largest_error(gradients, expected) < 1e-4


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("n_micro", [1, 2, 5])
def test_shares_and_micro_batches_are_the_batch(n_threads, n_micro, rng):
    params, tokens, targets = make(GQA, rng)
    loss, gradients = whole(params, GQA, tokens, targets, FAST)
    with Workers(n_threads) as workers:
        sums, shared = workers.gradients(NextToken(GQA), params, Rows(tokens, targets), n_micro=n_micro)
    assert sums["count"] == (targets != IGNORED).sum()
    np.testing.assert_allclose(means(sums)["loss"], loss, rtol=1e-12)
    assert largest_error(divided(shared, sums["count"]), gradients) < 1e-12


def test_chunks_of_the_head_are_the_head(rng, monkeypatch):
    params, tokens, targets = make(UNTIED_MQA, rng)
    expected = whole(params, UNTIED_MQA, tokens, targets, FAST)
    monkeypatch.setattr("minillama.training.gradients._CHUNK_SIZE", 50 * UNTIED_MQA.vocab_size)
    monkeypatch.setattr("minillama.training.gradients._LEAST_ROWS", 1)
    assert len(row_chunks(tokens.size, UNTIED_MQA.vocab_size)) == 5
    loss, gradients = loss_and_gradients(params, UNTIED_MQA, tokens, targets)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-12)
    assert largest_error(gradients, expected[1]) < 1e-12


@pytest.mark.parametrize("config", [GQA, UNTIED_MQA], ids=["tied", "untied"])
def test_chunks_added_in_place_are_the_whole_in_float32(config, rng, monkeypatch):
    """Logits that become their gradient, sums into the head's gradient tile by tile, the embedding's on top."""
    params, tokens, targets = make(config, rng, np.float32)
    expected = whole(params, config, tokens, targets, REFERENCE)
    monkeypatch.setattr("minillama.training.gradients._CHUNK_SIZE", 50 * config.vocab_size)
    monkeypatch.setattr("minillama.training.gradients._LEAST_ROWS", 1)
    monkeypatch.setattr("minillama.layers.linear._SUM_SIZE", 10 * config.dim)
    loss, gradients = loss_and_gradients(params, config, tokens, targets)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-6)
    assert largest_error(gradients, expected[1]) < 2e-5


def test_chunks_of_a_large_vocabulary():
    """Enough rows that the head is not read for each few of them, and never more than 128 MB of logits."""
    assert [rows.stop - rows.start for rows in row_chunks(2048, 2048)] == [1024, 1024]
    assert [rows.stop - rows.start for rows in row_chunks(610, 49_152)] == [610]
    rows = row_chunks(2048, 128_256)
    assert (rows[0].start, rows[-1].stop) == (0, 2048)
    assert all(4 * 128_256 * (part.stop - part.start) <= 128 << 20 for part in rows)


def test_a_large_model_has_one_gradient(rng, monkeypatch):
    """From a size on the threads share each product, not the batch: no gradient of a thread's own."""
    params, tokens, targets = make(GQA, rng)
    seen = []

    def objective(model, batch, ops):
        seen.append((len(batch.tokens), numba.get_num_threads()))
        return NextToken(GQA)(model, batch, ops)

    with Workers(2) as workers:
        sums, shared = workers.gradients(objective, params, Rows(tokens, targets))
        monkeypatch.setattr("minillama.training.memory._LARGEST_COPY", 4 * count_parameters(GQA) - 1)
        before = numba.get_num_threads()
        more, alone = workers.gradients(objective, params, Rows(tokens, targets))
        assert numba.get_num_threads() == before
    assert sorted(seen[:2]) == [(1, 1), (2, 1)]
    assert seen[2:] == [(3, 2)]
    assert (sums["count"], gradient_copies(params, 2)) == (more["count"], 1)
    np.testing.assert_allclose(sums["loss"], more["loss"], rtol=1e-12)
    assert largest_error(alone, shared) < 1e-12


def test_a_single_sequence_has_all_threads(rng):
    """A part that cannot be split is not left to one of the threads."""
    params, tokens, targets = make(GQA, rng)
    seen = []

    def objective(model, batch, ops):
        seen.append(numba.get_num_threads())
        return NextToken(GQA)(model, batch, ops)

    with Workers(2) as workers:
        workers.gradients(objective, params, Rows(tokens[1:2], targets[1:2]))
    assert seen == [2]


def test_what_a_block_saved_is_freed_on_the_way_back(rng):
    """While the first layer's gradients are made, the memory of the last layer's forward pass is gone."""
    params, tokens, targets = make(GQA, rng)
    saved, alive = [], []  # what swiglu saved in each layer; how many of them were there at each step back

    class Remembered:  # an array cannot be watched, what holds it can
        def __init__(self, arrays):
            self.arrays = arrays

    def forward_of_mine(gate, up):
        y, arrays = FAST.swiglu_forward(gate, up)
        kept = Remembered(arrays)
        saved.append(weakref.ref(kept))
        return y, kept

    def backward_of_mine(dy, kept):
        alive.append(sum(reference() is not None for reference in saved))
        return FAST.swiglu_backward(dy, kept.arrays)

    mine = FAST._replace(swiglu_forward=forward_of_mine, swiglu_backward=backward_of_mine)
    loss_and_gradients(params, GQA, tokens, targets, ops=mine)
    assert alive == [2, 1]


def test_gradients_accumulate(rng):
    """Sums of two batches of different sizes add up to those of both; the mean is made once, at the end."""
    params, tokens, targets = make(GQA, rng)
    parts = [NextToken(GQA)(params, Rows(tokens[rows], targets[rows])) for rows in (slice(0, 1), slice(1, 3))]
    loss, gradients = loss_and_gradients(params, GQA, tokens, targets)
    sums = add_sums(dict(parts[0][0]), parts[1][0])
    np.testing.assert_allclose(means(sums)["loss"], loss, rtol=1e-12)
    total = divided(add_gradients(parts[0][1], parts[1][1]), sums["count"])
    assert largest_error(total, gradients) < 1e-12


def test_another_head_on_the_backbone(rng):
    """A scalar head (a reward model's) on the last hidden state: dh is all that the backbone asks for."""
    import torch

    params, tokens, _ = make(GQA, rng)
    head = rng.normal(size=GQA.dim)
    h, saved = backbone_forward(params, GQA, tokens)
    dh = np.zeros_like(h)
    dh[:, -1] = head
    gradients = backbone_backward(dh, saved)
    model = TorchLlama(GQA, params)
    model.token_embedding.requires_grad_(True)
    hidden = {}
    model.layers[-1].register_forward_hook(lambda module, given, y: hidden.update(x=y))
    model(torch.from_numpy(tokens))
    normed = torch.nn.functional.rms_norm(hidden["x"], (GQA.dim,), model.final_norm, GQA.norm_eps)
    (normed[:, -1] @ torch.tensor(head)).sum().backward()
    assert gradients.output is None
    assert largest_error(gradients, model.tree()) < 1e-9


def test_any_objective_over_the_logits(rng):
    """Half the sum of squares of all logits: its gradient is the logits themselves."""
    params, tokens, _ = make(GQA, rng)
    loss, gradients = gradients_of(
        params, GQA, tokens, lambda logits, rows: (float((logits**2).sum() / 2), logits.copy())
    )
    logits, saved = forward(params, GQA, tokens)
    np.testing.assert_allclose(loss, (logits**2).sum() / 2, rtol=1e-12)
    assert largest_error(gradients, backward(logits, saved)) < 1e-11


@pytest.mark.parametrize("name", FAST._fields)
def test_a_learners_function_trains_too(name, rng):
    """Any entry of the table may be replaced, forward and backward alike: it is called, the result stays."""
    params, tokens, targets = make(GQA, rng)
    calls = []

    def mine(*arguments):
        calls.append(name)
        return getattr(REFERENCE, name)(*arguments)

    _, gradients = loss_and_gradients(params, GQA, tokens, targets, ops=FAST._replace(**{name: mine}))
    assert calls
    assert largest_error(gradients, loss_and_gradients(params, GQA, tokens, targets)[1]) < 1e-12


@pytest.mark.parametrize("recompute", [False, True])
def test_what_a_layer_saves_is_its_own_business(recompute, rng):
    """A pair of attention functions with a memory of their own: nobody else looks into it."""
    params, tokens, targets = make(GQA, rng)

    def forward_of_mine(q, k, v, positions):
        y, saved = REFERENCE.attention_forward(q, k, v, positions)
        return y, {"what I need": saved}

    def backward_of_mine(dy, saved):
        return REFERENCE.attention_backward(dy, saved["what I need"])

    mine = FAST._replace(attention_forward=forward_of_mine, attention_backward=backward_of_mine)
    _, gradients = loss_and_gradients(params, GQA, tokens, targets, ops=mine, recompute=recompute)
    assert largest_error(gradients, loss_and_gradients(params, GQA, tokens, targets)[1]) < 1e-12


def test_evaluation_is_the_loss(rng):
    params, tokens, targets = make(GQA, rng)
    loss, _ = loss_and_gradients(params, GQA, tokens, targets)
    batches = [(tokens[:1], targets[:1]), (tokens[1:], targets[1:])]
    n = int((targets != IGNORED).sum())
    with Workers(2) as workers:
        together = workers.sums(lambda batch: next_token_sums(params, GQA, *batch), batches)
    for sums in (together, next_token_sums(params, GQA, tokens, targets)):
        assert sums["count"] == n
        np.testing.assert_allclose(means(sums)["loss"], loss, rtol=1e-12)


def test_workers_never_start_threads_of_their_own():
    """Numba's simplest threading layer, all that some machines have, aborts when two threads start kernels."""
    code = (
        "import numpy as np\n"
        "from minillama.config import ModelConfig\n"
        "from minillama.params import init_params\n"
        "from minillama.training.objectives import NextToken, Rows\n"
        "from minillama.training.workers import Workers\n"
        "for head_dim, n_tokens, dtype in ((6, 200, 'f4'), (16, 200, 'f4'), (16, 3, 'f4'), (16, 90, 'f8')):\n"
        "    config = ModelConfig(dim=64, n_layers=2, n_heads=4, head_dim=head_dim, hidden_dim=96, vocab_size=3000,\n"
        "                         max_seq_len=200)\n"
        "    params = init_params(config, np.random.default_rng(0), dtype)\n"
        "    tokens = np.random.default_rng(1).integers(0, 3000, (40, n_tokens))\n"
        "    with Workers(2) as workers:\n"
        "        workers.gradients(NextToken(config), params, Rows(tokens, tokens), n_micro=2)\n"
    )
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_shapes_that_do_not_fit_are_said(rng):
    params, tokens, targets = make(GQA, rng)
    with pytest.raises(ValueError, match=r"targets must have the shape of tokens, \(3, 71\).* got \(3, 70\)"):
        loss_and_gradients(params, GQA, tokens, targets[:, 1:])
    with pytest.raises(ValueError, match="context manager"):
        Workers(1).gradients(NextToken(GQA), params, Rows(tokens, targets))
    with Workers(1) as workers, pytest.raises(ValueError, match="the batch is empty"):
        workers.gradients(NextToken(GQA), params, Rows(tokens[:0], targets[:0]))
    with pytest.raises(ValueError, match="between 1 and"):
        Workers(10_000)
