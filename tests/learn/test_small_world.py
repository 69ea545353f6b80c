"""The enumerable world of chapters 16 to 18: its sums beside drawing, searching and autograd."""

import numpy as np
import pytest
import torch

from minillama.learn.book.small_world import (
    ANSWERS,
    LEARNED,
    MISJUDGED,
    START,
    TRUE,
    best_of_n,
    expected,
    kl_divergence,
    optimum,
    policy_gradient,
    softmax,
)


def test_the_learned_reward_is_wrong_about_two_answers_and_no_others():
    assert len(ANSWERS) == len(START) == len(TRUE) == len(LEARNED) == 8
    assert np.isclose(START.sum(), 1)
    assert tuple(np.flatnonzero(TRUE != LEARNED)) == MISJUDGED


@pytest.mark.parametrize("n", [1, 2, 4, 16])
def test_best_of_n_is_what_drawing_gives(n, rng):
    drawn = rng.choice(8, (200_000, n), p=START)
    best = drawn[np.arange(len(drawn)), LEARNED[drawn].argmax(-1)]
    share = np.bincount(best, minlength=8) / len(drawn)
    assert np.abs(share - best_of_n(START, LEARNED, n)).max() < 5 * 0.5 / np.sqrt(len(drawn))


def test_best_of_n_shares_ties_and_knows_its_ends():
    ties = np.array([1.0, 1, 0, 0, 0, 0, 0, 0])
    best = best_of_n(START, ties, 3)
    assert np.isclose(best.sum(), 1)
    assert np.isclose(best[0] / best[1], START[0] / START[1])
    assert np.allclose(best_of_n(START, LEARNED, 1), START)
    assert best_of_n(START, LEARNED, 10_000)[7] > 0.99
    never = np.array([0.5, 0.5, 0, 0, 0, 0, 0, 0])
    assert best_of_n(never, LEARNED, 4)[2:].tolist() == [0] * 6
    with pytest.raises(ValueError, match="at least one"):
        best_of_n(START, LEARNED, 0)


@pytest.mark.parametrize("beta", [0.3, 1.0, 5.0])
def test_the_optimum_cannot_be_improved(beta, rng):
    goal = lambda policy: expected(policy, LEARNED) - beta * kl_divergence(policy, START)
    best = optimum(START, LEARNED, beta)
    for size in (1e-3, 0.1, 1):
        for _ in range(200):
            other = best * np.exp(size * rng.standard_normal(8))
            assert goal(other / other.sum()) < goal(best)
    assert np.abs(policy_gradient(np.log(best), LEARNED, START, beta)).max() < 1e-12


def test_the_gradient_is_autograd():
    logits = np.log(START) + np.linspace(-1, 1, 8)
    t = torch.tensor(logits, requires_grad=True)
    policy = t.softmax(0)
    goal = policy @ torch.tensor(LEARNED) - 0.7 * (policy * (policy.log() - torch.tensor(START).log())).sum()
    goal.backward()
    assert np.abs(t.grad.numpy() - policy_gradient(logits, LEARNED, START, 0.7)).max() < 1e-12
    assert np.allclose(softmax(logits), policy.detach().numpy())


def test_the_world_can_be_hacked():
    """Less price, more learned reward; the true one rises first, and then falls below that of the start."""
    betas = np.geomspace(20, 0.1, 40)
    policies = [optimum(START, LEARNED, beta) for beta in betas]
    learned = [expected(policy, LEARNED) for policy in policies]
    true = [expected(policy, TRUE) for policy in policies]
    assert np.all(np.diff(learned) > 0)
    top = int(np.argmax(true))
    assert 0 < top < len(betas) - 1
    assert true[top] > expected(START, TRUE) + 0.5
    assert true[-1] < expected(START, TRUE) - 1
    honest = [expected(optimum(START, TRUE, beta), TRUE) for beta in betas]
    assert np.all(np.diff(honest) > 0)


def test_no_price_and_no_policy_outside():
    with pytest.raises(ValueError, match="price"):
        optimum(START, LEARNED, 0)
    assert kl_divergence(np.eye(8)[0], START) == pytest.approx(-np.log(START[0]))
    assert kl_divergence(START, START) == 0
