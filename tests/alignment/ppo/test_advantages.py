"""Advantages by hand, and beside what TRL's PPOTrainer made of a batch (benchmarks/ppo_oracle.py records it)."""

import json
from pathlib import Path

import numpy as np
import pytest

from minillama.alignment.ppo.advantages import explained_variance, gae, k1, k3, k3_slope, whitened
from minillama.alignment.ppo.objective import policy_loss, value_loss


def test_gae_by_hand():
    """Three tokens and, in a row of its own, two: gamma .5, lambda .5, so that a step back weighs a quarter."""
    rewards = np.array([[1.0, 0.0, 2.0], [0.0, 4.0, 0.0]])
    values = np.array([[0.5, 1.0, 1.5], [2.0, 1.0, 0.0]])
    advantages, returns = gae(rewards, values, gamma=0.5, lam=0.5)
    # deltas: 1 + .5 - .5 = 1;  0 + .75 - 1 = -.25;  2 - 1.5 = .5     and     0 + .5 - 2 = -1.5;  4 - 1 = 3
    np.testing.assert_array_equal(advantages, [[1 - 0.25 / 4 + 0.5 / 16, -0.25 + 0.5 / 4, 0.5], [-1.5 + 3 / 4, 3, 0]])
    np.testing.assert_array_equal(returns, advantages + values)


def test_without_discount_the_return_is_what_is_still_to_come():
    rng = np.random.default_rng(0)
    rewards, values = rng.standard_normal((2, 4, 6))
    _, returns = gae(rewards, values, gamma=1.0, lam=1.0)
    np.testing.assert_allclose(returns, rewards[:, ::-1].cumsum(1)[:, ::-1], rtol=1e-12)


def test_whitening_by_hand():
    values, mask = np.array([[1.0, 2.0], [6.0, 100.0]]), np.array([[True, True], [True, False]])
    # mean 3, unbiased variance (4 + 1 + 9) / 2 = 7
    expected = np.array([[-2, -1], [3, 0]]) / np.sqrt(7 + 1e-8)
    np.testing.assert_allclose(whitened(values, mask), expected, rtol=1e-14)
    kept = np.where(mask, expected + 3, 0)
    np.testing.assert_allclose(whitened(values, mask, shift_mean=False), kept, rtol=1e-14)
    equal = np.full((2, 2), 5.0, np.float32)
    assert not whitened(equal, mask).any()
    assert whitened(equal, mask).dtype == np.float32
    assert whitened(np.array([7.0]), np.array([True])) == 0


def test_estimators_by_hand():
    logprobs, reference = np.log([0.5, 0.25]), np.log([0.25, 0.5])
    np.testing.assert_allclose(k1(logprobs, reference), [np.log(2), -np.log(2)])
    np.testing.assert_allclose(k3(logprobs, reference), [0.5 - 1 + np.log(2), 2 - 1 - np.log(2)])
    step = 1e-6
    around = (k3(logprobs + step, reference) - k3(logprobs - step, reference)) / (2 * step)
    np.testing.assert_allclose(k3_slope(logprobs, reference), around, rtol=1e-8)


def test_estimators_are_unbiased():
    rng = np.random.default_rng(0)
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    drawn = rng.choice(3, 400_000, p=p)
    truth = (p * np.log(p / q)).sum()
    for estimate in (k1, k3):
        found = estimate(np.log(p)[drawn], np.log(q)[drawn])
        assert abs(found.mean() - truth) < 4 * found.std() / np.sqrt(len(found))
    assert k3(np.log(p)[drawn], np.log(q)[drawn]).min() >= 0


def test_explained_variance():
    returns, mask = np.array([[1.0, 3.0, 9.0]]), np.array([[True, True, False]])
    assert explained_variance(returns, returns, mask) == 1
    assert explained_variance(np.zeros((1, 3)), returns, mask) == 0
    assert explained_variance(np.array([[1.5, 2.5, 0]]), returns, mask) == pytest.approx(1 - 0.25)


# --- TRL's trainer ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trl():
    record = json.loads(Path(__file__).with_name("trl.json").read_text())
    return arrays(record)


def arrays(value):
    if isinstance(value, dict):
        return {name: arrays(one) for name, one in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [arrays(one) for one in value]
    return np.array(value) if isinstance(value, list) else value


def test_whitening_is_that_of_trl(trl):
    assert [bool(call["shift_mean"]) for call in trl["whitening"]] == [False, True]
    for call in trl["whitening"]:
        found, mask = whitened(call["values"], call["mask"], shift_mean=bool(call["shift_mean"])), call["mask"]
        assert 0 < mask.sum() < mask.size
        np.testing.assert_allclose(found[mask], call["whitened"][mask], rtol=2e-5, atol=2e-6)


def test_advantages_are_those_of_trls_trainer(trl):
    """Its rewards and values in, its advantages, whitened advantages and returns out."""
    recorded, settings = trl["iteration"], trl["settings"]
    advantages, returns = gae(recorded["rewards"], recorded["values"], settings["gamma"], settings["lam"])
    np.testing.assert_allclose(advantages, recorded["advantages"], rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(returns, recorded["returns"], rtol=2e-5, atol=2e-6)
    mask = recorded["mask"]
    np.testing.assert_allclose(whitened(advantages, mask)[mask], recorded["whitened"][mask], rtol=2e-5, atol=2e-6)


def test_rewards_are_those_of_trls_trainer(trl):
    """KL of every token, the score where TRL puts it (one past the end where there is room), and its whitening."""
    recorded, settings = trl["iteration"], trl["settings"]
    rewards = -settings["kl_coef"] * k1(recorded["logprobs"], recorded["ref_logprobs"])
    ends, width = recorded["sequence_lengths"], rewards.shape[1]
    rewards[np.arange(len(ends)), np.where(ends + 1 < width, ends + 1, ends)] += recorded["scores"]
    mask = np.arange(width) <= ends[:, None] + 1
    np.testing.assert_allclose(whitened(rewards, mask, shift_mean=False), recorded["rewards"], rtol=2e-5, atol=2e-6)


def test_losses_are_those_of_trls_trainer(trl):
    settings, clipped = trl["settings"], 0
    for batch in trl["mini_batches"]:
        mask, value_mask = batch["mask"], batch["value_mask"]
        losses, _, held = policy_loss(
            batch["new_logprobs"][mask], batch["mb_logprobs"][mask], batch["mb_advantage"][mask], settings["cliprange"]
        )
        assert losses.mean() == pytest.approx(batch["policy_loss"], rel=1e-5)
        values, old, returns = (batch[name][value_mask] for name in ("vpred", "mb_values", "mb_return"))
        value_losses, _, _ = value_loss(values, old, returns, settings["cliprange_value"])
        assert value_losses.mean() == pytest.approx(batch["value_loss"], rel=1e-5)
        clipped += held.sum()
    assert clipped > 0  # the second mini-batch comes after an update
