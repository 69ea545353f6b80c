"""Losses and gradients of PPO beside PyTorch's, and what they are before the first update."""

from dataclasses import replace

import numpy as np
import pytest

from minillama.alignment.ppo.experience import Experience, as_arrays, blank, even_parts, from_arrays
from minillama.alignment.ppo.objective import (
    ActorCritic,
    PPOObjective,
    ValueObjective,
    experience_logprobs,
    experience_values,
    policy_loss,
    value_loss,
)
from minillama.alignment.reward import RewardModel
from minillama.config import ModelConfig
from minillama.params import init_params
from minillama.training.workers import Workers

CONFIG = ModelConfig(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=40, max_seq_len=32)
OBJECTIVE = PPOObjective(CONFIG, CONFIG, temperature=0.7)


def model_of(config=CONFIG, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    big = lambda tree: type(tree)(*((part if part is None else _scaled(part)) for part in tree))
    value = RewardModel(init_params(config, rng, dtype), rng.standard_normal(config.dim).astype(dtype))
    return ActorCritic(big(init_params(config, rng, dtype)), value)


def _scaled(part):
    """Larger matrices: with those of a new model every token is as likely as any other."""
    if isinstance(part, tuple):
        return type(part)(*(_scaled(one) for one in part)) if hasattr(part, "_fields") else tuple(map(_scaled, part))
    return part * 10 if part.ndim == 2 else part


def experience_of(model, dtype=np.float64, seed=1, spread=0.4):
    """Rows of several lengths whose old log-probabilities and values lie around those of the model."""
    rng = np.random.default_rng(seed)
    n_prompt, n_answer = np.array([5, 3, 7, 4]), np.array([6, 9, 1, 4])
    rows = [rng.integers(0, 40, n) for n in n_prompt + n_answer]
    batch = blank(rows, n_prompt, dtype)
    mask = batch.mask
    around = lambda size: np.where(mask, size * rng.standard_normal(mask.shape), 0).astype(dtype)
    logprobs, values = np.zeros(mask.shape, dtype), np.zeros(mask.shape, dtype)
    logprobs[mask] = experience_logprobs(model.policy, CONFIG, batch, 0.7)
    values[mask] = experience_values(model.value, CONFIG, batch)
    return batch._replace(
        logprobs=logprobs + around(spread),
        reference=logprobs + around(spread),
        values=values + around(spread),
        advantages=around(1.0),
        returns=values + around(0.5),
    )


# --- by hand ------------------------------------------------------------------------------


def test_policy_loss_by_hand():
    """Ratios 1.5, 1.5, 0.5, 0.5 with both signs of A: two are clipped, the other two pull back."""
    ratios, advantages = np.array([1.5, 1.5, 0.5, 0.5]), np.array([2.0, -2.0, 2.0, -2.0])
    losses, slope, clipped = policy_loss(np.log(ratios), np.zeros(4), advantages, 0.2)
    np.testing.assert_allclose(losses, [-2.4, 3.0, -1.0, 1.6])
    np.testing.assert_allclose(slope, [0, 3.0, -1.0, 0])
    assert clipped.tolist() == [True, False, False, True]


def test_value_loss_by_hand():
    """A value that went beyond its interval: away from the return it is not clipped, past it or towards it it is."""
    values, returns = np.array([1.0, 1.0, 1.0]), np.array([0.0, 1.1, 2.0])
    losses, slope, clipped = value_loss(values, np.array([0.5, 0.5, 1.1]), returns, 0.2)
    np.testing.assert_allclose(losses, [0.5, 0.5 * 0.4**2, 0.5])
    np.testing.assert_allclose(slope, [1.0, 0, -1.0])
    assert clipped.tolist() == [False, True, False]


# --- PyTorch ------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kl_loss", [0.0, 0.3])
def test_gradients_are_those_of_pytorch(tied, kl_loss):
    torch = pytest.importorskip("torch")
    from torch_llama import TorchLlama, largest_error

    config = ModelConfig(**{**CONFIG.described(), "tied": tied})
    model = model_of(config)
    batch = experience_of(model)
    objective = PPOObjective(config, config, temperature=0.7, kl_loss=kl_loss)
    sums, gradients = objective(model, batch)

    peer = TorchLlama(config, model.policy)
    hidden = model.value.backbone._replace(output=np.eye(config.dim))  # a head that changes nothing
    value_peer = TorchLlama(config, hidden)
    head = torch.tensor(model.value.head, requires_grad=True)
    logits, values = answers_of(torch, peer, batch), answers_of(torch, value_peer, batch) @ head
    old, reference, advantages, old_values, returns = (
        torch.tensor(batch.flat(name)) for name in ("logprobs", "reference", "advantages", "values", "returns")
    )
    log_softmax = torch.log_softmax(logits / 0.7, -1)
    targets = torch.tensor(np.concatenate([row[n:] for row, n in zip(batch.ids, batch.n_prompt)]))
    logprobs = log_softmax.gather(1, targets[:, None])[:, 0]
    ratio = torch.exp(logprobs - old)
    free, held = -advantages * ratio, -advantages * torch.clamp(ratio, 0.8, 1.2)
    d = reference - logprobs
    policy = torch.max(free, held).sum() + kl_loss * (torch.exp(d) - 1 - d).sum()
    value_held = torch.clamp(values, old_values - 0.2, old_values + 0.2)
    value = 0.5 * torch.max((values - returns) ** 2, (value_held - returns) ** 2).sum()
    (policy + 0.1 * value).backward()

    for sign in (1, -1):  # clipped and not, with advantages of both signs; values too
        assert 0 < ((held > free) & (sign * advantages > 0)).sum() < (sign * advantages > 0).sum()
    assert 0 < sums["value_clipped"] < sums["count"] == len(targets)
    assert sums["clipped"] == (held > free).sum()
    assert sums["loss"] == pytest.approx((policy + 0.1 * value).item(), rel=1e-12)
    assert sums["value_loss"] == pytest.approx(value.item(), rel=1e-12)
    entropy = -(log_softmax.exp() * log_softmax).sum()
    assert sums["entropy"] == pytest.approx(entropy.item(), rel=1e-9)
    assert sums["approx_kl"] == pytest.approx(((logprobs - old) ** 2).sum().item() / 2, rel=1e-12)
    errors = {
        "policy": largest_error(gradients.policy, peer.tree()),
        "value": largest_error(without_head(gradients.value.backbone), without_head(value_peer.tree())),
        "head": np.abs(gradients.value.head - head.grad.numpy()).max() / np.abs(head.grad.numpy()).max(),
    }
    print({name: f"{error:.1e}" for name, error in errors.items()})
    assert max(errors.values()) <= 1e-9


def answers_of(torch, peer, batch):
    tokens, learned, _ = batch.rows()
    logits = peer(torch.tensor(tokens))
    return logits.reshape(-1, logits.shape[-1])[torch.tensor(learned)]


def without_head(tree):
    return tree._replace(output=None)


# --- before the first update ---------------------------------------------------------------


def test_at_ratio_one_it_is_the_plain_policy_gradient():
    """-sum A log pi, of which cross-entropy weighted by A is the gradient."""
    from minillama.alignment.conversations import Example, WeightedNextToken, rows_of
    from minillama.trees import named_leaves

    model = model_of()
    batch = experience_of(model, spread=0.0)
    objective = replace(OBJECTIVE, temperature=1.0)
    batch.logprobs[batch.mask] = experience_logprobs(model.policy, CONFIG, batch, 1.0)
    sums, found = objective.policy_gradients(model.policy, batch)
    assert sums["approx_kl"] == sums["clipped"] == 0
    weights = batch.advantages.astype(np.float32)
    exact = batch._replace(advantages=weights.astype(np.float64))
    examples = [
        Example(row, np.r_[np.zeros(n, np.float32), weights[b, : len(row) - n]])
        for b, (row, n) in enumerate(zip(batch.ids, batch.n_prompt))
    ]
    _, found = objective.policy_gradients(model.policy, exact)
    _, expected = WeightedNextToken(CONFIG)(model.policy, rows_of(examples))
    for (name, a), (_, b) in zip(named_leaves(found), named_leaves(expected), strict=True):
        assert np.abs(a - b).max() <= 1e-12 * np.abs(b).max(), name


@pytest.mark.parametrize("threads", [1, 2])
def test_before_the_first_update_ratio_and_kl_are_exact(threads):
    """In float32, on threads, padded: the same parts by the same arithmetic give the same bits."""
    model = model_of(dtype=np.float32)
    batch = experience_of(model, np.float32)
    with Workers(threads) as workers:
        parts = workers.on_parts(lambda part: experience_logprobs(model.policy, CONFIG, part, 0.7), model, batch)
        batch.logprobs[batch.mask] = np.concatenate(parts)
        parts = workers.on_parts(lambda part: experience_values(model.value, CONFIG, part), model, batch)
        batch.values[batch.mask] = np.concatenate(parts)
        sums, _ = workers.gradients(OBJECTIVE, model, batch._replace(reference=batch.logprobs))
    assert sums["approx_kl"] == 0
    assert sums["clipped"] == 0
    assert sums["policy_loss"] == pytest.approx(-batch.flat("advantages").sum(dtype=np.float64), rel=1e-6)


def test_parts_add_up_to_the_whole():
    model = model_of()
    batch = experience_of(model)
    whole, _ = OBJECTIVE(model, batch)
    parts = [OBJECTIVE(model, part)[0] for part in batch.split(3)]
    for name, value in whole.items():
        assert sum(part[name] for part in parts) == pytest.approx(value, rel=1e-12), name


def test_the_value_network_alone():
    model = model_of()
    batch = experience_of(model)
    sums, gradients = ValueObjective(CONFIG)(model.value, batch)
    errors = batch.flat("returns") - experience_values(model.value, CONFIG, batch)
    assert sums["loss"] == pytest.approx(0.5 * (errors**2).sum(), rel=1e-12)
    assert sums["value_clipped"] == 0
    step = 1e-6
    moved = model.value._replace(head=model.value.head + step * gradients.head)
    slope = (ValueObjective(CONFIG)(moved, batch)[0]["loss"] - sums["loss"]) / step
    assert slope == pytest.approx((gradients.head**2).sum(), rel=1e-4)


# --- experience ----------------------------------------------------------------------------


def test_parts_of_about_the_same_size():
    assert even_parts([9, 9, 4, 4, 4, 4], 2) == [slice(0, 2), slice(2, 6)]
    assert even_parts([5], 4) == [slice(0, 1)]
    for n in range(1, 8):
        parts = even_parts([7, 6, 6, 3, 2, 2, 1], n)
        assert len(parts) == n
        assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
        assert parts[0].start == 0
        assert parts[-1].stop == 7


def test_experience_is_kept_whole(tmp_path):
    batch = experience_of(model_of())
    np.savez(tmp_path / "one.npz", **as_arrays(batch))
    with np.load(tmp_path / "one.npz") as arrays:
        found = from_arrays(arrays)
    assert isinstance(found, Experience)
    for a, b in zip([*batch.ids, *batch[1:]], [*found.ids, *found[1:]], strict=True):
        np.testing.assert_array_equal(a, b)
