"""Decode and prefill of SmolLM2-135M-Instruct beside Hugging Face transformers in float32.

    python benchmarks/against_transformers.py --threads 1 2 --rounds 7

Each engine runs in a process of its own (two thread pools in one process disturb each other), and
the two take turns: A B A B …  Printed are medians over the rounds and the ratio of the medians.
Both read the same file; transformers unpacks it to float32, minillama reads it as it is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import time
from datetime import date
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m-instruct"
RESULTS = Path(__file__).parent / "results"


def minillama_engine(path: str, threads: int) -> Any:
    """A function (prompt ids, n) -> (prefill seconds, decode seconds)."""
    import minillama

    llm = minillama.load(path, threads=threads)

    def run(ids: list[int], n: int) -> tuple[float, float]:
        session = llm.session()
        begin = time.perf_counter()
        session.feed(ids)
        prefilled = time.perf_counter()
        for _ in range(n):
            session.step(int(session.logits.argmax()))
        return prefilled - begin, time.perf_counter() - prefilled

    return run


def transformers_engine(path: str, threads: int) -> Any:
    """The same with transformers, its cache kept between tokens."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    file = Path(path)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()

    @torch.inference_mode()
    def run(ids: list[int], n: int) -> tuple[float, float]:
        begin = time.perf_counter()
        out = model(torch.tensor([ids]), use_cache=True, logits_to_keep=1)
        prefilled = time.perf_counter()
        for _ in range(n):
            token = out.logits[:, -1:].argmax(-1)
            out = model(token, past_key_values=out.past_key_values, use_cache=True, logits_to_keep=1)
        return prefilled - begin, time.perf_counter() - prefilled

    return run


ENGINES = {"minillama": minillama_engine, "transformers": transformers_engine}


def serve(name: str, path: str, threads: int, connection: Any) -> None:
    """The body of a worker: load, say so, answer requests until there are no more."""
    run = ENGINES[name](path, threads)
    run(list(range(100, 140)), 4)  # compiling and first touches are not measured
    connection.send("ready")
    while (request := connection.recv()) is not None:
        connection.send(run(*request))


def measure(path: str, threads: int, rounds: int, n: int) -> dict[str, dict[str, float]]:
    """Medians of tokens/s for each engine: decode, and prefill of 512 tokens."""
    context = multiprocessing.get_context("spawn")
    workers = {}
    for name in ENGINES:
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(name, path, threads, there), daemon=True)
        process.start()
        workers[name] = (process, here)
        here.recv()
    figures: dict[str, dict[str, list[float]]] = {name: {"decode": [], "prefill_512": []} for name in ENGINES}
    for _ in range(rounds):
        for name, (_, connection) in workers.items():
            connection.send((list(range(100, 112)), n))
            figures[name]["decode"].append(n / connection.recv()[1])
            connection.send((list(range(100, 612)), 0))
            figures[name]["prefill_512"].append(512 / connection.recv()[0])
    for process, connection in workers.values():
        connection.send(None)
        process.join()
    return {name: {row: statistics.median(values) for row, values in rows.items()} for name, rows in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=48, help="tokens decoded in a round")
    options = parser.parse_args()

    from minillama.checkpoints.hub import fetch

    path = str(fetch(MODEL))
    table = {}
    print(f"{'threads':>7} {'row':12} {'minillama':>10} {'transformers':>13} {'ratio':>6}   tokens/s")
    for threads in dict.fromkeys(options.threads):
        found = measure(path, threads, options.rounds, options.tokens)
        for row in ("decode", "prefill_512"):
            ours, theirs = found["minillama"][row], found["transformers"][row]
            table[f"{row}, {threads} threads"] = {"minillama": ours, "transformers": theirs, "ratio": ours / theirs}
            print(f"{threads:>7} {row:12} {ours:>10.1f} {theirs:>13.1f} {ours / theirs:>6.2f}")
    RESULTS.mkdir(exist_ok=True)
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    result = {"date": str(date.today()), "machine": machine, "model": MODEL, "rounds": options.rounds, "rows": table}
    (RESULTS / "against_transformers.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
