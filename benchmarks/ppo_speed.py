"""Where the time of PPO goes: seconds an iteration, by part, and the share of it in matrix products.

    python benchmarks/ppo_speed.py --iterations 4 --prompts 64

Policy, reference, value network and both reward models have the shape and the weights of the base model; heads are
random, since what they say does not matter for the time. Answers of a base model do not end by themselves: all are
`--tokens` long.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from minillama.alignment.models import ChatModel, Prompt
from minillama.alignment.ppo import SCALED, Scoring, run_ppo, time_table
from minillama.alignment.reward import RewardModel, Scorer

NAMES = ("Ann", "Tom", "Lily", "Ben", "Sue", "Max", "Mia", "Sam")


class Quiet:
    def begin(self, step: int, steps: int) -> None:
        pass

    def row(self, row: dict) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="stories3M")
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--mini-batches", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    model = ChatModel.load(given.model)
    rng = np.random.default_rng(0)
    heads = [(0.02 * rng.standard_normal(model.config.dim)).astype(np.float32) for _ in range(3)]
    helpful, safe, value = (RewardModel(model.params, head) for head in heads)
    scoring = Scoring(Scorer(helpful, model.config), Scorer(safe, model.config))
    prompts = [
        Prompt(str(i), ({"role": "user", "content": f"Tell me a story about {NAMES[i % 8]} and the number {i}."},))
        for i in range(2 * given.prompts)
    ]
    settings = replace(
        SCALED, iterations=given.iterations, batch=given.prompts, mini_batches=given.mini_batches,
        max_tokens=given.tokens, warmup_iterations=0, gate=1 - 1e-9,
    )  # fmt: skip
    labelled = [(model.encode(prompts[0].dialogue), True)]  # with a gate that every answer is below
    with tempfile.TemporaryDirectory() as folder:
        run = lambda where: run_ppo(  # noqa: E731
            Path(folder) / where, model, value, prompts, scoring, Quiet(), settings, labelled=labelled,
            threads=given.threads,
        )  # fmt: skip
        run("compiled")  # the kernels
        since, cpu = time.perf_counter(), time.process_time()
        outcome = run("timed")
        since, cpu = time.perf_counter() - since, time.process_time() - cpu
        table = time_table(outcome.folder, outcome.products)
    n = given.prompts * given.tokens * given.iterations
    print(f"{since / given.iterations:.2f} s an iteration, {cpu / given.iterations:.2f} CPU seconds; "
          f"{n / since:.0f} new tokens/s in all")  # fmt: skip
    print("| part | seconds an iteration | share | of it in matrix products |\n|---|---|---|---|")
    for row in table:
        products = "" if row["products"] is None else f"{row['products']:.0%}"
        print(f"| {row['part']} | {row['seconds'] / given.iterations:.2f} | {row['share']:.0%} | {products} |")


if __name__ == "__main__":
    main()
