"""PPO small enough to be run many times: random weights, a vocabulary of bytes, a reward that counts a token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minillama.alignment.models import ChatModel, Prompt
from minillama.alignment.ppo import PPOSettings, Scoring, Validation, run_ppo
from minillama.alignment.reward import RewardModel
from minillama.config import ModelConfig
from minillama.inference.chat import Llama2Chat
from minillama.params import init_params
from minillama.tokenizers.bpe.base import TokenType
from minillama.tokenizers.bpe.sentencepiece import Piece, SentencePieceBPE

LIKED = 3 + ord("e")
"""The id that helpfulness counts."""
CONFIG = ModelConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=24, vocab_size=260, max_seq_len=64)
SETTINGS = PPOSettings(
    iterations=3, batch=8, mini_batches=2, learning_rate=1e-2, beta=0.05, temperature=0.9, max_tokens=8,
    evaluate_every=1, patience=9, warmup_iterations=2, warmup_passes=1, warmup_rate=1e-2, explained=2.0, go_on=True,
)  # fmt: skip


def tokenizer() -> SentencePieceBPE:
    pieces = [
        Piece("<unk>", 0.0, TokenType.UNKNOWN),
        Piece("<s>", 0.0, TokenType.CONTROL),
        Piece("</s>", 0.0, TokenType.CONTROL),
        *(Piece(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)),
        Piece("▁", 0.0),
    ]
    return SentencePieceBPE(pieces, bos_id=1, eos_id=2)


def chat_model(seed: int = 0) -> ChatModel:
    params = init_params(CONFIG, np.random.default_rng(seed))
    return ChatModel(params, CONFIG, tokenizer(), Llama2Chat())


def value_model(seed: int = 1) -> RewardModel:
    rng = np.random.default_rng(seed)
    return RewardModel(init_params(CONFIG, rng), (0.1 * rng.standard_normal(CONFIG.dim)).astype(np.float32))


def prompts(n: int = 40, name: str = "p") -> list[Prompt]:
    kinds = ("story", "adversarial")
    return [
        Prompt(
            f"{name}{i}", ({"role": "user", "content": "abcdefghijkl"[i % 12] * (1 + i % 3)},), kinds[i % 2], i % 4 == 1
        )
        for i in range(n)
    ]


class Counts:
    """A score: how often an id is in a row, times a factor, and a constant."""

    def __init__(self, token: int = LIKED, factor: float = 1.0, constant: float = -1.0) -> None:
        self.token, self.factor, self.constant = token, factor, constant
        self.calls = 0

    def scores(self, rows):
        self.calls += 1
        return np.array([self.constant + self.factor * list(row).count(self.token) for row in rows], np.float32)


class Silent:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.rows: list[dict] = []

    def begin(self, step, steps):
        pass

    def row(self, row):
        self.rows.append(row)

    def note(self, text):
        self.notes.append(text)


def judge(answers_judged=lambda answer: answer.ids.count(LIKED)):
    return Validation(prompts(6, "v"), lambda asked, answers, before: np.array([answers_judged(a) for a in answers]))


def run(
    folder,
    *,
    validation=None,
    scoring=None,
    observer=None,
    stop=lambda: False,
    labelled=None,
    value=None,
    value_config=None,
    progress=None,
    **changes,
):
    return run_ppo(
        folder,
        chat_model(),
        value or value_model(),
        prompts(),
        scoring or Scoring(Counts()),
        observer or Silent(),
        replace(SETTINGS, **changes),
        labelled=labelled,
        validation=validation,
        threads=2,
        stop=stop,
        value_config=value_config,
        progress=progress,
    )
