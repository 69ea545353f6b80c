"""The seam that later stages stand on: batches that stay whole, heads of another kind, and a run of such a model.

A reward model is the smallest stage that is not pretraining: its batch is pairs that must not be torn apart, its
objective wants hidden states and no logits, its model is a tree with a head of its own, and it counts pairs.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from tiny_run import Watcher, tiny_tokenizer, write_config

import minillama
from minillama.config import ModelConfig
from minillama.files.errors import CheckpointError
from minillama.model import backbone_backward, backbone_forward, output_head, with_head_gradient
from minillama.ops import FAST
from minillama.params import Params, empty_params, init_params
from minillama.tokenizers import save_tokenizer
from minillama.training.checkpoint import HEADS_NAME, read_model, write_model
from minillama.training.gradients import divided, head_gradients, means
from minillama.training.objectives import Rows, shares
from minillama.training.pretraining import prepare
from minillama.training.run_folder import RunFolder
from minillama.training.settings import binding, check_unchanged
from minillama.training.settings_toml import format_settings, read_settings
from minillama.training.stage import Stage
from minillama.training.trainer import train
from minillama.training.workers import Workers
from minillama.trees import named_leaves

CONFIG = ModelConfig(dim=16, n_layers=2, n_heads=2, n_kv_heads=1, hidden_dim=24, vocab_size=31, max_seq_len=16)


class RewardModel(NamedTuple):
    backbone: Params
    head: Any  # (D,): the reward of a text is head . h at its last token


class Pairs(NamedTuple):
    """Texts of which the first of each two was preferred to the second, and where each ends."""

    tokens: Any  # (2 N, T): chosen, rejected, chosen, rejected …
    last: Any  # (2 N,)

    def split(self, n: int) -> list[Pairs]:
        cut = [slice(2 * pair.start, 2 * pair.stop) for pair in shares(len(self.tokens) // 2, n)]
        return [Pairs(self.tokens[rows], self.last[rows]) for rows in cut]


def preference(config):
    """-log sigmoid(reward of the chosen - reward of the rejected), summed over pairs (LLaMA 2 section 3.2.2)."""

    def objective(model, batch, ops=FAST):
        h, saved = backbone_forward(model.backbone, config, batch.tokens, ops)
        at = np.arange(len(h)), batch.last
        rewards = h[at] @ model.head
        margin = rewards[0::2] - rewards[1::2]
        loss = np.logaddexp(0, -margin)
        dmargin = -1 / (1 + np.exp(margin))
        dreward = np.stack([dmargin, -dmargin], 1).reshape(-1).astype(h.dtype)
        dh = np.zeros_like(h)
        dh[at] = dreward[:, None] * model.head
        gradients = RewardModel(backbone_backward(dh, saved, ops), dreward @ h[at])
        right = float((margin > 0).sum())
        return {"loss": float(loss.sum()), "count": float(len(margin)), "right": right}, gradients

    return objective


def random_pairs(rng, n, vocab_size, n_tokens=9):
    """The preferred text has more of its ids below half of the vocabulary."""
    tokens = rng.integers(0, vocab_size, (2 * n, n_tokens))
    tokens[0::2] //= 2
    return Pairs(tokens, rng.integers(n_tokens // 2, n_tokens, 2 * n))


def reward_model(config, seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return RewardModel(init_params(config, rng, dtype), (0.1 * rng.normal(size=config.dim)).astype(dtype))


# --- batches -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_items", [0, 1, 2, 5, 12])
@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_shares_are_numpys_and_never_empty(n_items, n):
    found = [list(range(n_items))[part] for part in shares(n_items, n)]
    expected = [part.tolist() for part in np.array_split(np.arange(n_items), n) if part.size]
    assert found == expected


def test_rows_are_split_in_order(rng):
    batch = Rows(*rng.integers(0, 9, (2, 5, 3)))
    parts = batch.split(2)
    assert [len(part.tokens) for part in parts] == [3, 2]
    np.testing.assert_array_equal(np.concatenate([part.targets for part in parts]), batch.targets)


@pytest.mark.parametrize(("threads", "n_micro"), [(1, 1), (1, 4), (2, 1), (2, 2)])
def test_a_pair_is_never_torn_apart(threads, n_micro, rng):
    """Threads and micro-batches see whole pairs, and together they find what one pass finds."""
    model, batch, seen = reward_model(CONFIG, 0, np.float64), random_pairs(rng, 7, CONFIG.vocab_size), []
    objective = preference(CONFIG)

    def watched(model, part, ops):
        seen.append(part)
        return objective(model, part, ops)

    with Workers(threads) as workers:
        sums, gradients = workers.gradients(watched, model, batch, n_micro=n_micro)
    assert all(len(part.tokens) % 2 == 0 for part in seen)
    assert len(seen) == threads * n_micro
    starts = sorted((batch.tokens == part.tokens[0]).all(axis=1).argmax() for part in seen)
    assert starts[0] == 0
    assert all((second - first) % 2 == 0 for first, second in pairwise(starts))
    expected_sums, expected = objective(model, batch)
    assert sums == pytest.approx(expected_sums, rel=1e-12)
    for (name, a), (_, b) in zip(named_leaves(gradients), named_leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * np.abs(b).max(), err_msg=name)


def test_the_gradient_of_the_mean_is_pytorchs(rng):
    """In float64, through the backbone and the head, by autograd."""
    torch = pytest.importorskip("torch")
    from torch_llama import TorchLlama

    model, batch = reward_model(CONFIG, 0, np.float64), random_pairs(rng, 3, CONFIG.vocab_size)
    with Workers(1) as workers:
        sums, gradients = workers.gradients(preference(CONFIG), model, batch, n_micro=2)
    gradients = divided(gradients, sums["count"])
    theirs, head = TorchLlama(CONFIG, model.backbone), torch.tensor(model.head, requires_grad=True)
    hidden = {}
    theirs.layers[-1].register_forward_hook(lambda module, given, y: hidden.update(x=y))
    theirs(torch.from_numpy(batch.tokens))
    h = torch.nn.functional.rms_norm(hidden["x"], (CONFIG.dim,), theirs.final_norm, CONFIG.norm_eps)
    rewards = h[torch.arange(len(h)), torch.from_numpy(batch.last)] @ head
    loss = -torch.nn.functional.logsigmoid(rewards[0::2] - rewards[1::2]).mean()
    loss.backward()
    assert means(sums)["loss"] == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(gradients.head, head.grad, rtol=1e-9)
    found = theirs.layers[0].wq.grad.numpy()
    np.testing.assert_allclose(gradients.backbone.layers[0].wq, found, rtol=1e-7, atol=1e-9 * np.abs(found).max())


def test_chunks_of_logits_and_hidden_states_in_one_objective(rng):
    """What PPO needs: log p of each token from chunks of logits, a value from the same h, several sums."""
    model, tokens = reward_model(CONFIG, 1, np.float64), rng.integers(0, 31, (3, 9))
    actions, advantages, returns = rng.integers(0, 31, 27), rng.normal(size=27), rng.normal(size=(3, 9))

    def policy_rows(logits, rows):
        logp = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        onehot = np.eye(31)[actions[rows]]
        chosen = (logp * onehot).sum(-1)
        sums = {
            "loss": -(chosen * advantages[rows]).sum(),
            "count": len(chosen),
            "entropy": -(np.exp(logp) * logp).sum(),
        }
        return sums, advantages[rows, None] * (np.exp(logp) - onehot)

    def objective(model, tokens, ops=FAST):
        h, saved = backbone_forward(model.backbone, CONFIG, tokens, ops)
        sums, dh, dhead = head_gradients(h, output_head(model.backbone), policy_rows, ops)
        error = h @ model.head - returns
        dh += error[..., None] * model.head
        gradients = with_head_gradient(backbone_backward(dh, saved, ops), dhead, model.backbone.output is None)
        sums["loss"] += (error**2).sum() / 2
        return sums, RewardModel(gradients, np.einsum("bt,btd->d", error, h))

    sums, gradients = objective(model, tokens)
    assert set(sums) == {"loss", "count", "entropy"}
    for name, place in (("head", 3), ("backbone.layers.0.wv", 7), ("backbone.output", 40)):
        array, analytic = dict(named_leaves(model))[name].reshape(-1), dict(named_leaves(gradients))[name].reshape(-1)
        before, losses = array[place], []
        for step in (1e-5, -1e-5):
            array[place] = before + step
            losses.append(objective(model, tokens)[0]["loss"])
        array[place] = before
        assert analytic[place] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-6), name


# --- a whole run -------------------------------------------------------------------------


class Reward(Stage):
    """Starts from a Llama and learns which of two texts is better."""

    columns = ("step", "loss", "right", "learning_rate", "gradient_norm", "seconds", "validation_loss")

    def __init__(self, settings, config):
        self.settings, self.config, self.objective = settings, config, preference(config)
        self.micro_batches = 2

    def start(self):
        return reward_model(self.config, self.settings.run.seed)

    def pattern(self):
        return RewardModel(empty_params(self.config), np.broadcast_to(np.float32(0), (self.config.dim,)))

    def batch(self, step, model):
        return random_pairs(np.random.default_rng([5, step]), 8, self.config.vocab_size)

    def binding(self):
        return binding(self.settings)

    def settings_text(self, folder):
        return format_settings(self.settings, folder)

    def check_settings(self, path):
        check_unchanged(read_settings(path), self.settings)

    def figures(self, step, sums, seconds):
        return means(sums)

    def evaluate(self, model, workers):
        sums = workers.sums(lambda part: self.objective(model, part)[0], self.batch(0, model).split(3))
        return {"validation_loss": means(sums)["loss"]}

    def save(self, folder):
        save_tokenizer(tiny_tokenizer(), folder)


@pytest.fixture
def run(data, tmp_path):
    """A function that trains the reward model in a folder, up to a step."""
    base = prepare(read_settings(write_config(data, name="reward")))

    def run(name, steps=None):
        folder, stage = RunFolder(tmp_path / name), Reward(base.settings, base.config)
        return train(stage, folder, Watcher(), threads=1, resume=True, steps=steps), folder.path, stage

    return run


def test_a_backbone_with_a_head_trains_saves_and_resumes(run):
    _, whole, stage = run("whole")
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert np.mean([row["loss"] for row in rows[-5:]]) < np.mean([row["loss"] for row in rows[:5]]) - 0.05
    assert 0 <= rows[-1]["right"] <= 1
    assert (whole / "metrics.csv").read_text().splitlines()[0] == ",".join(Reward.columns)
    assert "perplexity" not in rows[-1]
    for step in (3, 4, 11):
        _, parts, _ = run("parts", steps=step)
    outcome, parts, _ = run("parts")
    assert outcome.step == 20
    checkpoints = [sorted((path / "checkpoints").iterdir())[-1] for path in (whole, parts)]
    files = [
        {file.name: file.read_bytes() for file in path.iterdir() if file.suffix != ".json"} for path in checkpoints
    ]
    assert files[0] == files[1]
    assert HEADS_NAME in files[0]
    config, model = read_model(checkpoints[0], stage.pattern())
    assert config == stage.config
    assert type(model) is RewardModel
    start = stage.start()
    assert all((a != b).any() for (_, a), (_, b) in zip(named_leaves(model), named_leaves(start), strict=True))
    assert minillama.load(whole).generate("the cat", max_tokens=3).ids  # its Llama is one like all others


def test_models_are_read_back_bit_for_bit_and_damage_is_named(tmp_path):
    model = reward_model(CONFIG, 3)
    pattern = RewardModel(empty_params(CONFIG), np.empty(16, np.float32))
    write_model(tmp_path / "model", CONFIG, model)
    config, found = read_model(tmp_path / "model", pattern)
    assert config == CONFIG
    for (name, a), (other, b) in zip(named_leaves(found), named_leaves(model), strict=True):
        assert name == other
        np.testing.assert_array_equal(a, b)
        a += 1  # may be changed
    with pytest.raises(CheckpointError, match=r"heads\.safetensors: head: expected shape \(8,\)"):
        read_model(tmp_path / "model", pattern._replace(head=np.empty(8)))
    (tmp_path / "model" / HEADS_NAME).unlink()
    with pytest.raises(CheckpointError, match=r"heads\.safetensors"):
        read_model(tmp_path / "model", pattern)
    write_model(tmp_path / "plain", CONFIG, model.backbone)
    assert not (tmp_path / "plain" / HEADS_NAME).exists()
    with pytest.raises(ValueError, match="a Params somewhere in it, ndarray has none"):
        write_model(tmp_path / "none", CONFIG, model.head)
