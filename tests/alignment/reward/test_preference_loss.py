"""The ranking loss and the auxiliary loss: values by hand, and gradients beside PyTorch's."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_reward import CONFIG, a_model, in_float32, some_pairs, torch_reward

from minillama.alignment.reward import MARGINS, Pairs, Preference, RewardModel, preference_loss, safety_loss
from minillama.alignment.reward.beginnings import n_common, states_forward, together
from minillama.model import backbone_backward, backbone_forward
from minillama.trees import add, named_leaves


def test_losses_are_those_of_the_table():
    """By hand: -log sigma(difference - margin)."""
    table = {(0, 0): 0.6931, (0, 1): 1.3133, (0, 2): 2.1269, (0, 3): 3.0486, (1, 1 / 3): 0.4144, (1, 2 / 3): 0.5403}
    table |= {(1, 1): 0.6931, (3, 0): 0.0486, (3, 3): 0.6931}
    difference, margin = (np.array(column, np.float64) for column in zip(*table))
    losses, slope = preference_loss(difference, margin)
    np.testing.assert_allclose(losses, list(table.values()), atol=5e-5)
    np.testing.assert_allclose(slope, -1 / (1 + np.exp(difference - margin)), rtol=1e-14)
    assert [MARGINS[name][strength] for name in ("small", "large") for strength in range(4)] == [
        0, 1 / 3, 2 / 3, 1, 0, 1, 2, 3,
    ]  # fmt: skip
    large, _ = preference_loss(np.array([-800.0, 800.0]), np.zeros(2))
    np.testing.assert_array_equal(large, [800, 0])


@pytest.mark.parametrize("margins", ["none", "small", "large"])
def test_loss_and_slope_are_those_of_trl(margins):
    """Recorded with `RewardTrainer.compute_loss`, which divides by the pairs."""
    recorded = json.loads((Path(__file__).parent / "trl_reward.json").read_text())
    scores, run = np.array(recorded["scores"]), recorded["runs"][margins]
    margin = np.array(MARGINS[margins])[recorded["strength"]]
    batch = Pairs([np.zeros(1)] * len(scores), [np.zeros(1)] * len(scores), margin)
    sums, slope = Preference(CONFIG).of_scores(scores, batch)
    assert sums["loss"] / sums["count"] == pytest.approx(run["loss"], rel=1e-12)
    error = np.abs(slope.reshape(-1, 2) / len(scores) - run["gradient"]).max()
    print(f"largest difference to TRL {recorded['trl']}: {error:.1e}")
    assert error <= 1e-12


def test_safety_loss_knows_what_nobody_said():
    loss, slope = safety_loss(np.array([0.0, 2.0, -2.0, 5.0]), np.array([1, 1, 1, np.nan]))
    np.testing.assert_allclose(loss, [0.693147, 0.126928, 2.126928, 0], atol=1e-6)
    np.testing.assert_allclose(slope, [-0.5, -0.119203, -0.880797, 0], atol=1e-6)


@pytest.mark.parametrize("margins", ["none", "small", "large"])
@pytest.mark.parametrize("auxiliary", [0.0, 0.7])
def test_gradients_are_those_of_pytorch(margins, auxiliary):
    torch = pytest.importorskip("torch")
    from torch_llama import largest_error

    model, pairs = a_model(), some_pairs(margins=margins)
    sums, gradients = Preference(CONFIG, auxiliary)(model, pairs)
    peer, head = torch_reward(torch, model)
    scores = torch.stack([torch.stack([peer(row)[-1] @ head for row in (a, b)]) for a, b in zip(*pairs[:2])])
    ranking = -torch.nn.functional.logsigmoid(scores[:, 0] - scores[:, 1] - torch.tensor(pairs.margins))
    known = ~np.isnan(pairs.safe)
    bce = torch.nn.functional.binary_cross_entropy_with_logits(
        scores[known], torch.tensor(pairs.safe[known]), reduction="sum"
    )
    loss = ranking.sum() + auxiliary * bce
    loss.backward()
    assert sums["loss"] == pytest.approx(loss.item(), rel=1e-12)
    assert sums["ranking"] == pytest.approx(ranking.sum().item(), rel=1e-12)
    if auxiliary:
        assert sums["auxiliary"] == pytest.approx(bce.item(), rel=1e-12)
        assert sums["labelled"] == known.sum()
    assert sums["right"] == int((scores[:, 0] > scores[:, 1]).sum())
    assert sums["count"] == 4
    expected = RewardModel(peer.tree(), head.grad.numpy())
    error = largest_error(gradients, expected)
    print(f"largest relative error of a gradient: {error:.1e}")
    assert error <= 1e-9


def test_a_shared_beginning_changes_nothing():
    """Hidden states and gradients of every parameter are those of the rows computed apart, in float64."""
    model, rng = a_model().backbone, np.random.default_rng(1)
    beginning = rng.integers(0, 40, 9)
    group = [np.r_[beginning, rng.integers(0, 40, n)] for n in (5, 1, 12)]
    alone = rng.integers(0, 40, 6)
    rows = [*group, alone]
    laid = together([(group, 9), ([alone], 0)])
    assert laid.ids.shape[1] == 9 + 5 + 1 + 12 + 6
    h, saved, ops = states_forward(model, CONFIG, laid)
    dends = rng.standard_normal((4, CONFIG.dim))
    dh = np.zeros_like(h)
    dh[laid.ends] = dends
    found = backbone_backward(dh[None], saved, ops)

    expected = None
    for row, dend, end in zip(rows, dends, laid.ends):
        apart, kept = backbone_forward(model, CONFIG, row[None])
        np.testing.assert_allclose(h[end], apart[0, -1], rtol=1e-12)
        d = np.zeros_like(apart)
        d[0, -1] = dend
        gradients = backbone_backward(d, kept)
        expected = gradients if expected is None else add(expected, gradients)
    errors = [
        np.abs(a - b).max() / np.abs(b).max() for (_, a), (_, b) in zip(named_leaves(found), named_leaves(expected))
    ]
    print(f"largest relative error of a gradient: {max(errors):.1e}")
    assert max(errors) <= 1e-9


@pytest.mark.parametrize("recompute", [False, True])
def test_parts_of_a_batch_add_up_to_it(recompute):
    model, pairs, objective = a_model(), some_pairs(margins="small"), Preference(CONFIG, 1.0, recompute)
    sums, gradients = Preference(CONFIG, 1.0)(model, pairs)
    parts = [objective(model, part) for part in pairs.split(3)]
    assert len(parts) == 3
    for name, value in sums.items():
        assert sum(part[0].get(name, 0.0) for part in parts) == pytest.approx(value, rel=1e-12)
    total = parts[0][1]
    for _, more in parts[1:]:
        add(total, more)
    for (name, a), (_, b) in zip(named_leaves(gradients), named_leaves(total), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)


def test_common_beginnings_leave_every_row_a_token_of_its_own():
    assert n_common([1, 2, 3], [1, 2, 4]) == 2
    assert n_common([1, 2, 3], [1, 2, 3]) == 2
    assert n_common([1, 2], [1, 2, 3]) == 1
    assert n_common([5], [5, 6]) == 0


def test_float32_is_close_to_float64():
    model, pairs = a_model(), some_pairs(margins="large")
    _, exact = Preference(CONFIG, 1.0)(model, pairs)
    _, found = Preference(CONFIG, 1.0)(in_float32(model), pairs)
    assert {leaf.dtype for _, leaf in named_leaves(found)} == {np.dtype(np.float32)}
    for (name, a), (_, b) in zip(named_leaves(found), named_leaves(exact), strict=True):
        assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max(), name


def test_what_does_not_fit_is_refused():
    model, pairs = a_model(), some_pairs(beginnings=(30,))
    with pytest.raises(ValueError, match="longer than the context of 32"):
        Preference(CONFIG)(model, pairs)
    with pytest.raises(ValueError, match="vocabulary"):
        Preference(CONFIG)(model, Pairs([np.array([41, 1])], [np.array([2, 3])], np.zeros(1)))
