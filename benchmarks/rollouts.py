"""Sampled answers a second: one sequence, and 16, 64 and 128 at once, of the shipped base model in float32.

    python benchmarks/rollouts.py [--rounds 5] [--tokens 128] [--model stories3M] [--threads 2]

What rejection sampling and PPO sample with: `Batch`, keys in float16, at temperature 1 without filters.
Sizes take turns, so that a machine that slows down slows all of them; the median of the rounds counts. "prompts" are
64 different ones of 50 tokens run before their first token is drawn. Beside the time that passes stands the CPU's, all
threads: on a busy machine it is the one to compare.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from minillama.alignment.models import ChatModel
from minillama.compute.threads import most_threads, set_threads
from minillama.inference.batch import Batch
from minillama.inference.runner import Runner
from minillama.inference.sampling import Sampling

SIZES = (1, 16, 64, 128)
PROMPTS, LENGTH = 64, 50


def cpu_name() -> str:
    """As the system says it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = next((line for line in lines if line.startswith("model name")), "")
    return found.partition(":")[2].strip() or platform.processor() or platform.machine()


def timed(work: Callable[[], int]) -> tuple[float, float]:
    """Microseconds a token, of the clock and of the CPU."""
    clock, cpu = time.perf_counter(), time.process_time()
    n_tokens = work()
    return 1e6 * (time.perf_counter() - clock) / n_tokens, 1e6 * (time.process_time() - cpu) / n_tokens


def continued(runner: Runner, n_rows: int, n_tokens: int, first_id: int, kv_dtype: str) -> int:
    """Sequences of `n_tokens` from the first id on; tokens in all."""
    batch = Batch(
        runner, Sampling(temperature=1.0, top_p=1.0), max_tokens=n_tokens, max_rows=n_rows, kv_dtype=np.dtype(kv_dtype)
    )
    batch.add([[first_id]] * n_rows, range(n_rows))
    while batch:
        batch.step()
    return n_rows * n_tokens


def prompted(runner: Runner, vocab_size: int) -> int:
    """Different prompts up to their first token; tokens in all."""
    ids = np.random.default_rng(0).integers(3, vocab_size, (PROMPTS, LENGTH))
    batch = Batch(runner, Sampling(temperature=1.0, top_p=1.0), max_tokens=1, max_rows=PROMPTS)
    batch.add(ids.tolist(), range(PROMPTS))
    batch.step()
    return ids.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="stories3M")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=most_threads())
    parser.add_argument("--kv", choices=("float32", "float16"), default="float16")
    options = parser.parse_args()
    set_threads(options.threads)
    model = ChatModel.load(options.model)
    begin = time.perf_counter()
    runner = model.runner()
    repacked = time.perf_counter() - begin
    works = {
        str(n): lambda n=n: continued(runner, n, options.tokens, model.tokenizer.bos_id, options.kv) for n in SIZES
    } | {"prompts": lambda: prompted(runner, model.config.vocab_size)}
    for work in works.values():  # compiles
        work()
    found = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, work in works.items():
            found[name].append(timed(work))
    print(
        f"{options.model} in float32 on {options.threads} threads of {cpu_name()}; {options.tokens} tokens a sequence,"
    )
    print(f"keys and values in {options.kv}; the matrices repacked in {1e3 * repacked:.0f} ms\n")
    print("| at once | tokens/s | µs a token | µs of CPU | times one |\n|---|---|---|---|---|")
    one = median(clock for clock, _ in found["1"])
    for name, times in found.items():
        clock, cpu = (median(each) for each in zip(*times))
        print(f"| {name} | {1e6 / clock:,.0f} | {clock:.1f} | {cpu:.1f} | {one / clock:.2f} |")


if __name__ == "__main__":
    main()
