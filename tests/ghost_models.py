"""Small models for tests of Ghost Attention: one whose answers end soon, and talks that follow a script."""

from __future__ import annotations

import os
import signal

import numpy as np

import minillama
from minillama.alignment.ghost_attention import Scene, Turn, ending, filler_from, hobby
from minillama.alignment.ghost_attention.instructions import Instruction
from minillama.alignment.models import ChatModel
from minillama.config import ModelConfig
from minillama.inference.chat import Llama2Chat
from minillama.params import init_params

POOLS = {
    "hobby": [hobby(x) for x in ("swimming", "singing", "running")],
    "ending": [ending(x) for x in ("Yay!", "Wow!")],
}
FILLERS = filler_from(["Tell me about the cat.", "Tell me about the truck.", "What is red?"])
PIP = Instruction((hobby("swimming"), ending("Yay!")))


class EndsSoon(Llama2Chat):
    """Half of the vocabulary ends an answer: one of random weights has a few tokens."""

    def stop_ids(self, tokenizer):
        return frozenset({tokenizer.eos_id, *range(100, 1000)})


def tiny_model(*, max_seq_len=512, chat=None, dtype=np.float32, tied=False):
    """Two layers with the tokenizer that ships."""
    config = ModelConfig(
        dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=2048, max_seq_len=max_seq_len, tied=tied
    )
    params = init_params(config, np.random.default_rng(0), dtype)
    return ChatModel(params, config, minillama.load("stories3M").tokenizer, chat or EndsSoon())


def scene(*texts, instruction=PIP, id="one", group=""):
    return Scene(id, instruction, tuple(Turn(text) for text in texts), group)


class Scripted:
    """In place of `Talks`: `reply(prompt text, seed)` says what is answered; every prompt is noted."""

    def __init__(self, reply):
        self.reply, self.prompts = reply, []

    def __call__(self, model, n, **settings):
        self.model = model
        return self

    def answers(self, prompts, seeds, *, greedy=False):
        found = {}
        for i, ids in prompts.items():
            text = self.model.tokenizer.decode(list(ids))
            self.prompts.append(text)
            said = self.reply(text, seeds[i])
            ids = self.model.tokenizer.encode(said, bos=False)
            found[i] = ids if said.endswith("…") else [*ids, self.model.tokenizer.eos_id]
        return found


def killed(work):
    """Run `work` in a process of its own, which kills itself there."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "it was to be killed"
    assert os.WTERMSIG(status) == signal.SIGKILL
