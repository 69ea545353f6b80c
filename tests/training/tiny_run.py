"""A run small enough to be repeated a hundred times: a tokenizer, texts, and settings of 2 layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from minillama.data.shards.reading import write_shards
from minillama.tokenizers import save_tokenizer
from minillama.tokenizers.bpe.base import TokenType
from minillama.tokenizers.bpe.sentencepiece import Piece, SentencePieceBPE
from minillama.training.pretraining import prepare, settings_before
from minillama.training.run_folder import RunFolder
from minillama.training.settings_toml import read_settings
from minillama.training.trainer import train

WORDS = ["the", "a", "cat", "dog", "sun", "moon", "sees", "likes", "finds", "red", "big", "small", "house", "tree"]

CONFIG = """
[model]
dim = 16
n_layers = 2
n_heads = 4
n_kv_heads = 2
hidden_dim = 32
max_seq_len = 64
tied = {tied}

[data]
sources = [{{ path = "train", weight = 2.0 }}, {{ path = "more", weight = 1 }}]
validation = "valid"
tokenizer = "tokenizer"
seq_len = 24
batch_size = 4
seed = 3

[schedule]
peak = 5e-3
warmup_steps = 4

[run]
steps = {steps}
validate_every = 5
sample_every = 10
sample_tokens = 12
prompts = ["the cat", "sun"]
checkpoint_every = {checkpoint_every}
{more}
"""


def tiny_tokenizer() -> SentencePieceBPE:
    """Bytes, letters and a few merges."""
    letters = sorted(set("".join(WORDS)))
    merges = ["▁t", "he", "▁the", "▁a", "an", "▁s", "in", "oo", "▁c", "at", "▁cat", "ee"]
    pieces = [
        Piece("<unk>", 0.0, TokenType.UNKNOWN),
        Piece("<s>", 0.0, TokenType.CONTROL),
        Piece("</s>", 0.0, TokenType.CONTROL),
        *(Piece(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)),
        *(Piece(text, -float(i)) for i, text in enumerate([*merges, "▁", *letters])),
    ]
    return SentencePieceBPE(pieces, bos_id=1, eos_id=2)


def sentences(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(4, 30))) for _ in range(n)]


def write_data(folder: Path) -> None:
    """A tokenizer and three folders of tokens."""
    tokenizer = tiny_tokenizer()
    (folder / "tokenizer").mkdir(parents=True)
    save_tokenizer(tokenizer, folder / "tokenizer")
    for seed, (name, n) in enumerate((("train", 60), ("more", 20), ("valid", 8))):
        write_shards(sentences(n, seed), tokenizer, folder / name)


def write_config(
    folder: Path, *, steps: int = 20, checkpoint_every: int = 5, more: str = "", tied: bool = True, name: str = "tiny"
) -> Path:
    path = folder / f"{name}.toml"
    text = CONFIG.format(steps=steps, checkpoint_every=checkpoint_every, more=more, tied=str(tied).lower())
    path.write_text(text)
    return path


def record(run: Path) -> dict[str, Any]:
    """Everything a finished run leaves that must not depend on how often it was stopped; no times."""
    newest = sorted((run / "checkpoints").iterdir())[-1]
    files = {p.name: p.read_bytes() for p in newest.iterdir() if p.name != "training.json"}
    state = json.loads((newest / "training.json").read_text())
    del state["seconds"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in row.items() if "second" not in k} for row in rows]
    csv = [line.split(",")[:5] for line in (run / "metrics.csv").read_text().splitlines()]
    samples = {name: (run / name).read_text() for name in ("samples.jsonl", "samples.md")}
    return {"newest": newest.name, **files, "state": state, "metrics": timeless, "csv": csv, **samples}


def kept(run: Path) -> list[str]:
    return sorted(p.name for p in (run / "checkpoints").iterdir())


# --- running it ---------------------------------------------------------------------------


class Watcher:
    """Writes down what a run says."""

    def __init__(self):
        self.rows, self.notes, self.began = [], [], None

    def begin(self, step, steps):
        self.began = (step, steps)

    def row(self, row):
        self.rows.append(row)

    def note(self, text):
        self.notes.append(text)


def go(config, run, *, resume=False, change=lambda stage: None, **options):
    """Train as the command does, on one thread; what came of it, and what was said. `change` may alter the stage."""
    folder, watcher = RunFolder(run), Watcher()
    stage = prepare(read_settings(config), settings_before(folder))
    change(stage)
    options = {"threads": 1, **options}
    return train(stage, folder, watcher, resume=resume, **options), watcher


def stop_at(watcher_step):
    """A `stop` that says so from the n-th question on."""
    asked = 0

    def stop():
        nonlocal asked
        asked += 1
        return asked >= watcher_step

    return stop
