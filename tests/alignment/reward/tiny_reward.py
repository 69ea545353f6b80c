"""A small reward model, pairs for it, and the same in PyTorch."""

import functools

import numpy as np

import minillama
from minillama.alignment.reward import MARGINS, Pairs, RewardModel
from minillama.alignment.reward.token_pairs import TokenPair
from minillama.config import ModelConfig
from minillama.params import init_params
from minillama.trees import map_tree

CONFIG = ModelConfig(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=40, max_seq_len=32)


def a_model(seed=0, config=CONFIG):
    rng = np.random.default_rng(seed)
    return RewardModel(init_params(config, rng, np.float64), rng.standard_normal(config.dim))


def some_pairs(seed=0, margins="none", beginnings=(7, 0, 3, 11)):
    rng = np.random.default_rng(seed)
    chosen, rejected = [], []
    for i, n in enumerate(beginnings):
        beginning = rng.integers(0, 40, n)
        chosen.append(np.r_[beginning, i, rng.integers(0, 40, 4 + i)])
        rejected.append(np.r_[beginning, i + 5, rng.integers(0, 40, 9 - 2 * i)])
    safe = np.array([[1, 0], [1, 1], [np.nan, np.nan], [0, 0]])
    return Pairs(chosen, rejected, np.array(MARGINS[margins])[[3, 0, 1, 2]], safe)


def torch_reward(torch, model, config=CONFIG):
    """Hidden states of a row of ids in PyTorch, with the head beside them."""
    from torch_llama import TorchLlama

    class Hidden(TorchLlama):
        def forward(self, row):
            x = torch.nn.functional.embedding(torch.tensor(row)[None], self.token_embedding)
            for layer in self.layers:
                x = layer(x, self.cos[:, : len(row)], self.sin[:, : len(row)])
            return torch.nn.functional.rms_norm(x, (x.shape[-1],), self.final_norm, self.config.norm_eps)[0]

        def tree(self, of="grad"):
            return super().tree(of)._replace(output=None)

    tied = ModelConfig(**{**config.described(), "tied": True})
    return Hidden(tied, model.backbone._replace(output=None)), torch.tensor(model.head, requires_grad=True)


def some_token_pairs(n=6, seed=3):
    rng = np.random.default_rng(seed)
    pairs = []
    for i in range(n):
        beginning = rng.integers(0, 40, rng.integers(0, 12))
        a, b = (np.r_[beginning, rng.integers(0, 40, rng.integers(1, 9))] for _ in range(2))
        pairs.append(TokenPair(a, b, i % 4, (float(i % 2), 1.0)))
    return pairs


def in_float32(tree):
    return map_tree(lambda a: a.astype(np.float32), tree)


class Silent:
    """Nobody is told how a run goes."""

    def begin(self, step, steps): ...

    def row(self, row): ...

    def note(self, text): ...


@functools.cache
def a_tokenizer():
    return minillama.load("stories3M").tokenizer
