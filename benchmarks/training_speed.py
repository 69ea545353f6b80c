"""Training speed and memory beside PyTorch: the same model, batch and threads, forward + backward + step.

    python benchmarks/training_speed.py --threads 2 --rounds 7 --compile

Each engine runs in a process of its own and waits while another one is measured. In a round every
engine makes a few steps, one engine after the other, so that a slower or faster moment of the
machine meets all of them. Printed: medians of the rounds, their ratio, and the most memory that a
process ever held (which includes the libraries: PyTorch's are large, and Numba's compiler too).
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# name: vocabulary, dim, layers, heads, hidden_dim, tokens of a sequence, sequences
SIZES = {"dim288": (4096, 288, 6, 6, 768, 256, 8), "dim128": (2048, 128, 4, 4, 344, 256, 16)}


def set_up(size: str):
    """Configuration, parameters and a batch: the same numbers for every engine."""
    from minillama.config import ModelConfig
    from minillama.params import init_params

    vocab_size, dim, n_layers, n_heads, hidden_dim, n_tokens, batch = SIZES[size]
    config = ModelConfig(
        dim=dim, n_layers=n_layers, n_heads=n_heads, hidden_dim=hidden_dim, vocab_size=vocab_size,
        max_seq_len=n_tokens, tied=True,
    )  # fmt: skip
    rows = np.random.default_rng(1).integers(0, vocab_size, (batch, n_tokens + 1))
    batch_of = np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, 1:])
    return config, init_params(config, np.random.default_rng(0)), batch_of


def minillama_step(size: str, threads: int):
    """A function that makes one step and returns the loss."""
    import numba

    from minillama.training.objectives import NextToken, Rows
    from minillama.training.optimizer import AdamW, clip_scale, global_norm
    from minillama.training.workers import Workers

    config, params, (tokens, targets) = set_up(size)
    numba.set_num_threads(threads)
    optimizer, workers = AdamW(params), Workers(threads).__enter__()

    def step() -> float:
        sums, gradients = workers.gradients(NextToken(config), params, Rows(tokens, targets))
        count = sums["count"]
        optimizer.update(gradients, 1e-3, clip_scale(global_norm(gradients) / count, 1.0) / count)
        return sums["loss"] / count

    return step


def torch_step(size: str, threads: int, compiled: bool):
    """The same in PyTorch."""
    sys.path.insert(0, str(ROOT / "tests"))
    import torch
    from torch_llama import TorchLlama

    torch.set_num_threads(threads)
    config, params, (tokens, targets) = set_up(size)
    model = TorchLlama(config, params)
    optimizer = model.optimizer(1e-3)
    run = torch.compile(model) if compiled else model
    tokens, targets = torch.from_numpy(tokens), torch.from_numpy(targets).reshape(-1)

    def step() -> float:
        optimizer.zero_grad()
        logits = run(tokens)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, config.vocab_size), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def serve(engine: str, size: str, threads: int) -> None:
    """The measured process: a number of steps on stdin, seconds and loss on stdout."""
    sys.path.insert(0, str(ROOT))
    step = minillama_step(size, threads) if engine == "minillama" else torch_step(size, threads, "compile" in engine)
    for _ in range(3):
        step()  # compilers, caches, memory
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            loss = step()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"seconds": seconds, "loss": loss, "peak_mb": peak}), flush=True)


def measure(size: str, threads: int, rounds: int, engines: list[str]) -> dict:
    """All rounds of one size: tokens/s of each engine, its peak memory, its last loss."""
    n_tokens = SIZES[size][5] * SIZES[size][6]
    command = [sys.executable, __file__, "--size", size, "--threads", str(threads), "--serve"]
    processes = {
        e: subprocess.Popen([*command, e], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for e in engines
    }
    for process in processes.values():
        while (line := process.stdout.readline()) != "ready\n":
            if not line:
                raise SystemExit("an engine ended before it was ready")
    found = {e: {"tokens_per_second": []} for e in engines}
    for _ in range(rounds):
        for engine, process in processes.items():
            process.stdin.write("4\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            found[engine]["tokens_per_second"].append(round(4 * n_tokens / answer["seconds"]))
            found[engine].update(peak_mb=answer["peak_mb"], loss=round(answer["loss"], 5))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, help="one of them; all by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile as well (needs a C++ compiler)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.size, args.threads)
        return
    engines = ["minillama", "torch", *(["torch.compile"] if args.compile else [])]
    results = {}
    for size in [args.size] if args.size else SIZES:
        results[size] = found = measure(size, args.threads, args.rounds, engines)
        ours = found["minillama"]["tokens_per_second"]
        for engine, row in found.items():
            rates = row["tokens_per_second"]
            ratio = statistics.median(a / b for a, b in zip(ours, rates, strict=True))
            print(f"{size} {args.threads} threads  {engine:14} {statistics.median(rates):>8,.0f} tokens/s  "
                  f"minillama/this {ratio:5.2f}  peak {row['peak_mb']:>5} MB  loss {row['loss']}")  # fmt: skip
    if args.json:
        machine = {"machine": platform.processor() or platform.machine(), "threads": args.threads}
        args.json.write_text(json.dumps({**machine, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
