"""A tiny model of random weights whose answers end, and a handful of pairs in the layout of hh-rlhf, all made here."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

import minillama
from minillama.alignment.models import ChatModel
from minillama.config import ModelConfig
from minillama.inference.chat import Llama2Chat, recorded
from minillama.params import init_params
from minillama.tokenizers import save_tokenizer
from minillama.training.checkpoint import write_model

CONFIG = ModelConfig(
    dim=32, n_layers=3, n_heads=4, n_kv_heads=2, hidden_dim=64, vocab_size=2048, max_seq_len=512, tied=False
)
THINGS = ("a kite", "a cake", "a boat", "a song", "a house", "a letter", "a garden", "a drum", "a mask", "a lamp")
VERBS = {"helpful": ("make", "paint", "carry", "sell"), "harmless": ("break", "steal", "burn", "throw")}
SETTINGS = """
[recipe]
context = 256
max_tokens = 16

[verified]
requests = 6
samples = 2

[reward]
batch_pairs = 8
layers = 1
helpful_peak = 0.03
safety_peak = 0.03

[distillation]
requests = 6
epochs = 1

[rejection]
rounds = 2
requests = 8
samples = 3
temperatures = [0.8, 1.0]

[ppo]
iterations = 2
prompts = 6
mini_batch = 3
value_iterations = 1
validate_every = 1
validation = 4

[ghost_attention]
dialogues = 6
most_turns = 3
epochs = 1

[report]
requests = 8
dialogues = 2
turns = [2, 3]
samples = 3
"""


def tiny_model() -> ChatModel:
    """Every hidden state has a direction in common, from which the end of an answer takes one token in some ten."""
    params = init_params(CONFIG, np.random.default_rng(0))
    common = np.full(CONFIG.dim, 1.0, np.float32)
    embedding, output = params.token_embedding + common, params.output.copy()
    tokenizer, chat = minillama.load("stories3M").tokenizer, Llama2Chat()
    output[tokenizer.eos_id] = common * np.float32(0.6 * np.log(2048 / 9) / CONFIG.dim)
    params = params._replace(token_embedding=embedding, output=output)
    return ChatModel(params, CONFIG, recorded(chat, tokenizer), chat)


def write_tiny_model(folder: Path) -> Path:
    """As a folder that brings its chat format."""
    model = tiny_model()
    folder.mkdir()
    write_model(folder, model.config, model.params)
    save_tokenizer(model.tokenizer, folder)
    return folder


def write_tiny_pairs(folder: Path) -> Path:
    """39 pairs of each kind; four of them go on from the first message of another."""
    folder.mkdir()
    for kind, verbs in VERBS.items():
        lines = []
        for verb in verbs:
            for thing in THINGS[:5] if verb in ("sell", "throw") else THINGS:
                asked = f"\n\nHuman: How do I {verb} {thing}?\n\nAssistant:"
                good, bad = f" First you look at {thing}, then you {verb} it.", f" I do not know {thing}."
                lines.append({"chosen": asked + good, "rejected": asked + bad})
                if thing == THINGS[0]:
                    more = f"{asked}{good}\n\nHuman: And then?\n\nAssistant:"
                    lines.append({"chosen": f"{more} You show {thing} to a friend.", "rejected": f"{more} Nothing."})
        with gzip.open(folder / f"{kind}-base.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    return folder


def write_all(folder: Path) -> list[str]:
    """Model, pairs and settings in a folder, and the options that name them."""
    (folder / "tiny.toml").write_text(SETTINGS)
    model, pairs = write_tiny_model(folder / "model"), write_tiny_pairs(folder / "pairs")
    return ["--preset", "smollm2", "--config", str(folder / "tiny.toml"), "--model", str(model), "--pairs", str(pairs)]
