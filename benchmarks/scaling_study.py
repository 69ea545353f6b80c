"""A small scaling study on TinyStories: loss against parameters, tokens and vocabulary.

    python benchmarks/scaling_study.py TRAIN.txt VALID.txt --work FOLDER

trains every run of `RUNS` that `benchmarks/results/scaling_study.json` does not hold yet, adds it there
and draws the plot again: it can be interrupted and called again. Stories lie between lines of
`<|endoftext|>`. Each run is a cosine of its own to a tenth of the peak, so that its last loss is that
of a finished training and not of one that was stopped.

The loss is bits per byte of held-out stories, each on its own from BOS, 512 tokens of it at most. It can
be compared between vocabularies, which the loss of a token cannot.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minillama.config import ModelConfig
from minillama.data.batches import Batches, Source, validation_batches
from minillama.data.shards.reading import TokenShards, write_shards
from minillama.params import count_parameters, init_params
from minillama.tokenizers.training import train_tokenizer
from minillama.training.gradients import next_token_sums
from minillama.training.objectives import NextToken, Rows
from minillama.training.optimizer import AdamW, clip_scale, global_norm
from minillama.training.schedule import Schedule
from minillama.training.workers import Workers

HERE = Path(__file__).parent
N_TOKENS, BATCH = 512, 8


class Run(NamedTuple):
    """One training: the vocabulary, the shape, how often the text is seen, and what may differ from the rule."""

    vocab_size: int
    dim: int
    n_layers: int
    epochs: float
    weight_decay: float = 0.1

    @property
    def name(self) -> str:
        decay = "" if self.weight_decay == 0.1 else f"-decay{self.weight_decay:g}"
        return f"v{self.vocab_size}-d{self.dim}-l{self.n_layers}-e{self.epochs:g}{decay}"

    @property
    def config(self) -> ModelConfig:
        return ModelConfig(
            dim=self.dim, n_layers=self.n_layers, n_heads=self.dim // 32, hidden_dim=16 * round(self.dim / 6),
            vocab_size=self.vocab_size, max_seq_len=N_TOKENS, tied=True,
        )  # fmt: skip

    @property
    def peak(self) -> float:
        """3e-3 at dim 160, falling with the square root of the width."""
        return 3e-3 * math.sqrt(160 / self.dim)


SHAPES = [(64, 4), (96, 5), (128, 6), (192, 6)]
RUNS = [
    *(Run(vocab_size, 128, 6, 1) for vocab_size in (512, 1024, 2048, 4096)),
    *(Run(1024, dim, n_layers, epochs) for epochs in (0.5, 1) for dim, n_layers in SHAPES),
    *(Run(1024, dim, n_layers, 2) for dim, n_layers in SHAPES[:3]),  # the largest one seen twice: 10 minutes more
]


def stories(path: Path) -> list[str]:
    return [story.strip() for story in path.read_text("utf-8").split("<|endoftext|>") if story.strip()]


def prepare(args: argparse.Namespace, vocab_size: int):
    """Tokenizer and token files of one vocabulary, made once."""
    folder = args.work / str(vocab_size)
    if not (folder / "tokenizer").is_dir():
        train_tokenizer(iter(stories(args.train)), vocab_size, folder / "tokenizer")
    from minillama.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(folder / "tokenizer")
    for name, path in (("train", args.train), ("valid", args.valid)):
        if not (folder / name).is_dir():
            write_shards(iter(stories(path)), tokenizer, folder / name)
    return TokenShards(folder / "train"), TokenShards(folder / "valid")


def train(run: Run, args: argparse.Namespace) -> dict:
    """Train one model; its losses on the way and at the end."""
    shards, held_out = prepare(args, run.vocab_size)
    validation = validation_batches(held_out, N_TOKENS, 16)
    batches = Batches([Source("stories", shards)], BATCH, N_TOKENS, seed=0)
    steps = int(run.epochs * shards.n_tokens) // (BATCH * N_TOKENS)
    params = init_params(run.config, np.random.default_rng(0))
    optimizer = AdamW(params, weight_decay=run.weight_decay)
    schedule, curve, start = Schedule(run.peak, min(100, steps // 5), steps), [], time.perf_counter()
    with Workers(args.threads) as workers:

        def bits_per_byte() -> float:
            sums = workers.sums(lambda batch: next_token_sums(params, run.config, *batch), validation.batches)
            return sums["loss"] / math.log(2) / validation.n_bytes

        for step in range(1, steps + 1):
            sums, gradients = workers.gradients(NextToken(run.config), params, Rows(*batches.batch(step - 1)))
            count = sums["count"]
            loss = sums["loss"] / count
            optimizer.update(gradients, schedule(step), clip_scale(global_norm(gradients) / count, 1.0) / count)
            if step % max(1, steps // 10) == 0:
                curve.append([step * BATCH * N_TOKENS, round(loss, 4), round(bits_per_byte(), 4)])
                print(f"{run.name}  step {step}/{steps}  loss {loss:.3f}  bits per byte {curve[-1][2]}", flush=True)
        last = bits_per_byte()
    return {
        "vocab_size": run.vocab_size, "dim": run.dim, "n_layers": run.n_layers, "epochs": run.epochs,
        "weight_decay": run.weight_decay, "n_parameters": count_parameters(run.config),
        "tokens": steps * BATCH * N_TOKENS, "bits_per_byte": round(last, 4), "curve": curve,
        "seconds": round(time.perf_counter() - start),
    }  # fmt: skip


_TIMES = {0.5: "half of the text", 1: "text seen once", 2: "text seen twice"}


def _ticks(axis, values: set, text) -> None:
    """One tick for each value that was measured."""
    axis.set_xticks(sorted(values), [text(value) for value in sorted(values)])
    axis.minorticks_off()


def draw(results: dict, path: Path) -> None:
    """Loss against parameters for each number of epochs, against tokens for each shape, and by vocabulary."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    grid = [r for r in results.values() if r["vocab_size"] == 1024 and r["weight_decay"] == 0.1 and r["epochs"] <= 2]
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained", sharey=True)
    for axis, series, x, label in (
        (axes[0], "epochs", "n_parameters", "parameters"),
        (axes[1], "n_parameters", "tokens", "tokens seen"),
    ):
        for value in sorted({r[series] for r in grid}):
            points = sorted((r[x], r["bits_per_byte"]) for r in grid if r[series] == value)
            name = _TIMES[value] if series == "epochs" else f"{value / 1e6:.2f}M parameters"
            axis.plot(*zip(*points), marker="o", label=name)
        axis.set(xlabel=label, xscale="log")
        _ticks(axis, {r[x] for r in grid}, lambda value: f"{value / 1e6:.2f}M")
        axis.legend(fontsize=8)
    axes[0].set(ylabel="bits per byte of held-out stories", title="more parameters")
    axes[1].set(title="more tokens")
    by_vocabulary = sorted(
        (r["vocab_size"], r["bits_per_byte"]) for r in results.values() if (r["dim"], r["epochs"]) == (128, 1)
    )
    axes[2].set(xscale="log")
    if by_vocabulary:
        axes[2].plot(*zip(*by_vocabulary), marker="o", color="C3")
    _ticks(axes[2], {pieces for pieces, _ in by_vocabulary}, str)
    axes[2].set(xlabel="pieces of the vocabulary", title="the vocabulary (dim 128, text seen once)")
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where tokenizers and tokens are kept")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="runs whose name contains this")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "scaling_study.json")
    args = parser.parse_args()
    results = json.loads(args.results.read_text()) if args.results.exists() else {}
    for run in RUNS:
        if run.name in results or (args.only and args.only not in run.name):
            continue
        results[run.name] = train(run, args)
        args.results.write_text(json.dumps(results, indent=1) + "\n")
        draw(results, args.results.with_suffix(".png"))


if __name__ == "__main__":
    main()
