"""Cross-entropy: PyTorch, ignored targets, fast equals reference, edges."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from minillama.layers.cross_entropy import (
    IGNORED,
    cross_entropy_backward,
    cross_entropy_backward_fast,
    cross_entropy_forward,
    cross_entropy_forward_fast,
    cross_entropy_in_place,
)

SHAPES = [(1, 3), (2, 5, 17), (4, 9, 512), (70, 301)]
PAIRS = {
    "reference": (cross_entropy_forward, cross_entropy_backward),
    "fast": (cross_entropy_forward_fast, cross_entropy_backward_fast),
}


@pytest.fixture(params=PAIRS.values(), ids=PAIRS.keys())
def pair(request):
    return request.param


def make(shape, rng, dtype):
    logits = (4 * rng.normal(size=shape)).astype(dtype)
    targets = rng.integers(0, shape[-1], shape[:-1])
    targets.reshape(-1)[1::3] = IGNORED
    return logits, targets


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_pytorch(pair, shape, dtype, tolerance, rng):
    forward, backward = pair
    logits, targets = make(shape, rng, dtype)
    tensor = torch.tensor(logits.astype(np.float64), requires_grad=True)
    expected = F.cross_entropy(tensor.reshape(-1, shape[-1]), torch.tensor(targets).reshape(-1), ignore_index=IGNORED)
    (2 * expected).backward()
    loss, saved = forward(logits, targets)
    dlogits = backward(2.0, saved)
    assert dlogits.dtype == dtype
    np.testing.assert_allclose(loss, expected.item(), rtol=tolerance)
    np.testing.assert_allclose(dlogits, tensor.grad.numpy(), atol=tolerance)


def test_parts_add_up_to_the_whole(pair, rng):
    forward, backward = pair
    logits, targets = make((30, 40), rng, np.float32)
    n = int((targets != IGNORED).sum())
    loss, saved = forward(logits, targets)
    parts = [forward(logits[rows], targets[rows], n) for rows in (slice(0, 11), slice(11, 30))]
    np.testing.assert_allclose(sum(part[0] for part in parts), loss, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([backward(1.0, part[1]) for part in parts]), backward(1.0, saved))


def test_nothing_counted_is_no_loss_and_no_gradient(pair):
    forward, backward = pair
    loss, saved = forward(np.ones((2, 5), np.float32), np.full(2, IGNORED))
    assert loss == 0
    np.testing.assert_array_equal(backward(1.0, saved), np.zeros((2, 5)))


def test_large_logits_do_not_overflow(pair):
    forward, backward = pair
    logits = np.array([[1e4, 0, -1e4] + [0] * 20], np.float32)
    loss, saved = forward(logits, np.array([1]))
    assert loss == 1e4
    np.testing.assert_allclose(backward(1.0, saved)[0, :3], [1, -1, 0])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 2e-6)])
@pytest.mark.parametrize("shape", SHAPES)
def test_in_place_is_both_directions(shape, dtype, tolerance, rng):
    logits, targets = make(shape, rng, dtype)
    logits.reshape(-1, shape[-1])[0] *= 50  # exp would overflow
    expected, saved = cross_entropy_forward(logits, targets, 1)
    gradient = cross_entropy_backward(1.0, saved)
    views = np.empty((*shape[:-1], shape[-1] + 3), dtype)
    views[..., 3:] = logits
    for given in (logits, views[..., 3:]):  # the second is not contiguous
        loss = cross_entropy_in_place(given, targets)
        np.testing.assert_allclose(loss, expected, rtol=tolerance)
        np.testing.assert_allclose(given, gradient, atol=tolerance)
    with pytest.raises(ValueError, match="targets must be"):
        cross_entropy_in_place(given, np.full(shape[:-1], shape[-1]))


@pytest.mark.parametrize(
    ("targets", "message"),
    [(np.array([3]), r"must be in \[0, 3\)"), (np.array([-1]), "got -1"), (np.array([[0]]), "one for each row"),
     (np.array([0.0]), "must be integers")],
)  # fmt: skip
def test_wrong_targets_are_said(pair, targets, message):
    with pytest.raises(ValueError, match=message):
        pair[0](np.ones((1, 3), np.float32), targets)
