"""Training speed and memory beside PyTorch: the same model, batch and threads, forward + backward + step.

    python benchmarks/training_speed.py --threads 2 --rounds 7 --compile
    python benchmarks/training_speed.py --threads 2 --fine-tuning

Each engine runs in a process of its own and waits while another one is measured. In a round every
engine makes a few steps, one engine after the other, so that a slower or faster moment of the
machine meets all of them. Printed: medians of the rounds, their ratio, and the most memory that a
process ever held (which includes the libraries: PyTorch's are large, and Numba's compiler too).

`--fine-tuning` is a full step at the shape of SmolLM2-135M (vocabulary 49,152, tied), 610 tokens: what matters there
is how near the step comes to the rate of NumPy's own product of large matrices, and the memory. Its weights are
random; the time does not depend on them.
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
# name: vocabulary, dim, layers, heads, key heads, hidden_dim, tokens of a sequence, sequences
SIZES = {
    "dim288": (4096, 288, 6, 6, 6, 768, 256, 8),
    "dim128": (2048, 128, 4, 4, 4, 344, 256, 16),
    "smollm2-135m": (49152, 576, 30, 9, 3, 1536, 610, 1),
}
BESIDE_TORCH = ("dim288", "dim128")
SGEMM = 2048  # rows and columns of the product whose rate a fine-tuning step is measured by


def config_of(size: str):
    """The shape of one of SIZES."""
    from minillama.config import ModelConfig

    vocab_size, dim, n_layers, n_heads, n_kv_heads, hidden_dim, n_tokens, _ = SIZES[size]
    return ModelConfig(
        dim=dim, n_layers=n_layers, n_heads=n_heads, n_kv_heads=n_kv_heads, hidden_dim=hidden_dim,
        vocab_size=vocab_size, max_seq_len=n_tokens, tied=True,
    )  # fmt: skip


def set_up(size: str):
    """Configuration, parameters and a batch: the same numbers for every engine."""
    from minillama.params import init_params

    config, (n_tokens, batch) = config_of(size), SIZES[size][-2:]
    rows = np.random.default_rng(1).integers(0, config.vocab_size, (batch, n_tokens + 1))
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


def sgemm_step(threads: int):
    """NumPy's product of two large matrices, the same for every step."""
    import threadpoolctl

    threadpoolctl.threadpool_limits(threads)
    a, b = np.random.default_rng(0).random((2, SGEMM, SGEMM), np.float32)
    c = np.empty((SGEMM, SGEMM), np.float32)

    def step() -> float:
        np.matmul(a, b, out=c)
        return 0.0

    return step


def serve(engine: str, size: str, threads: int) -> None:
    """The measured process: a number of steps on stdin, seconds and loss on stdout."""
    sys.path.insert(0, str(ROOT))
    if engine == "sgemm":
        step = sgemm_step(threads)
    else:
        step = (
            minillama_step(size, threads) if engine == "minillama" else torch_step(size, threads, "compile" in engine)
        )
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


def measure(size: str, threads: int, rounds: int, steps: dict[str, int]) -> dict:
    """All rounds of one size, for each engine with its steps a round: seconds of a step, peak memory, last loss."""
    command = [sys.executable, __file__, "--size", size, "--threads", str(threads), "--serve"]
    processes = {
        e: subprocess.Popen([*command, e], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for e in steps
    }
    for process in processes.values():
        while (line := process.stdout.readline()) != "ready\n":
            if not line:
                raise SystemExit("an engine ended before it was ready")
    found = {e: {"seconds": []} for e in steps}
    for _ in range(rounds):
        for engine, process in processes.items():
            process.stdin.write(f"{steps[engine]}\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            found[engine]["seconds"].append(answer["seconds"] / steps[engine])
            found[engine].update(peak_mb=answer["peak_mb"], loss=round(answer["loss"], 5))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return found


def beside_torch(size: str, threads: int, rounds: int, engines: list[str]) -> dict:
    """Tokens/s of each engine, printed with the ratio."""
    found, n_tokens = measure(size, threads, rounds, dict.fromkeys(engines, 4)), SIZES[size][-2] * SIZES[size][-1]
    ours = found["minillama"]["seconds"]
    for engine, row in found.items():
        ratio = statistics.median(b / a for a, b in zip(ours, row["seconds"], strict=True))
        row["tokens_per_second"] = [round(n_tokens / seconds) for seconds in row.pop("seconds")]
        print(f"{size} {threads} threads  {engine:14} {statistics.median(row['tokens_per_second']):>8,.0f} tokens/s  "
              f"minillama/this {ratio:5.2f}  peak {row['peak_mb']:>5} MB  loss {row['loss']}")  # fmt: skip
    return found


def fine_tuning(threads: int, rounds: int) -> dict:
    """A step at SmolLM2-135M's shape, as a share of the rate of SGEMM in the same rounds, and its peak memory."""
    from minillama.params import count_parameters

    size = "smollm2-135m"
    config, n_tokens = config_of(size), SIZES[size][-2] * SIZES[size][-1]
    found = measure(size, threads, rounds, {"minillama": 1, "sgemm": 8})
    work = 6 * count_parameters(config) * n_tokens  # forward 2, backward 4 for each weight and token
    seconds, products = found["minillama"]["seconds"], found["sgemm"].pop("seconds")
    rates = [2 * SGEMM**3 / product for product in products]
    share = statistics.median(work / s / rate for s, rate in zip(seconds, rates, strict=True))
    found["sgemm"]["gflops"], found["share_of_sgemm"] = [round(rate / 1e9) for rate in rates], round(share, 3)
    print(f"{size} {threads} threads  {n_tokens} tokens in {statistics.median(seconds):.2f} s  "
          f"{100 * share:.0f} % of SGEMM ({statistics.median(rates) / 1e9:.0f} GFLOP/s)  "
          f"peak {found['minillama']['peak_mb'] * 1.048576:,.0f} million bytes, "
          f"{(found['minillama']['peak_mb'] * 1.048576 - 16e-6 * count_parameters(config)):,.0f} beside weights, "
          f"gradients and moments")  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, help="one of them; all by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile as well (needs a C++ compiler)")
    parser.add_argument("--fine-tuning", action="store_true", help="only the step at the shape of SmolLM2-135M")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.size, args.threads)
        return
    if args.fine_tuning:
        sys.path.insert(0, str(ROOT))
        results = {"smollm2-135m": fine_tuning(args.threads, args.rounds)}
    else:
        engines = ["minillama", "torch", *(["torch.compile"] if args.compile else [])]
        sizes = [args.size] if args.size else BESIDE_TORCH
        results = {size: beside_torch(size, args.threads, args.rounds, engines) for size in sizes}
    if args.json:
        machine = {"machine": platform.processor() or platform.machine(), "threads": args.threads}
        args.json.write_text(json.dumps({**machine, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
