"""Evaluation beside lm-evaluation-harness with transformers in float32: the same requests, in turns, one process.

    python benchmarks/evaluation_speed.py --tasks piqa arc_easy arc_challenge --items 60 [--threads 1] [--rounds 3]
    python benchmarks/evaluation_speed.py --tasks mmlu_anatomy --items 0 --shots 5

What is timed is requests in, answers out: `Engine.ask` beside the harness's `loglikelihood` and `generate_until`, on
the requests that our tasks make, which are the harness's word for word. Loading and compiling are left out. In every
round minillama answers all items, by default (log-likelihoods in float32, generation as the model is loaded), all in
integers, and exactly, and the harness another part of them, so that both meet the
same state of the machine; each rate is that of the median round, the harness's that of all its parts together.

Documents are read from the folder MINILLAMA_TEST_DATA (--data). `--items 0` takes a whole task. Results are added, by
task, to a JSON file. The largest difference of log-likelihoods and the number of decisions that differ stand beside
the speed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from evaluation.odd_layouts import OddLayouts  # noqa: E402

import minillama  # noqa: E402
from minillama.bench.machine import describe_machine  # noqa: E402
from minillama.checkpoints.hub.models import fetch  # noqa: E402
from minillama.compute.threads import set_threads  # noqa: E402
from minillama.evaluation.common.requests import Answer, Generation, LogLikelihood, Request  # noqa: E402
from minillama.evaluation.common.task import Asking, Item  # noqa: E402
from minillama.evaluation.engine.engine import Engine  # noqa: E402
from minillama.evaluation.tasks.catalogue import find_tasks  # noqa: E402
from minillama.evaluation.tasks.items import items_of  # noqa: E402

Timed = tuple[float, float]  # seconds by the wall clock, and of the processor


def items_for(name: str, data: Path, shots: int | None, limit: int) -> list[Item]:
    """The items of a task, as our tasks make them."""
    (task,) = find_tasks([name])
    source = OddLayouts(data)
    examples = source.split(task.dataset, task.shots.split) if task.shots.split else []
    asking = Asking(n_shots=shots, limit=limit or None)
    return items_of(task, source.split(task.dataset, task.split), examples, asking)


def harness_models(path: Path, batch_sizes: Sequence[int], threads: int) -> dict[int, Any]:
    """HFLM over one model in float32, for every batch size."""
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    model.eval()
    return {size: HFLM(pretrained=model, tokenizer=tokenizer, batch_size=size) for size in batch_sizes}


def ask_harness(lm: Any, requests: Sequence[Request]) -> list[float | str]:
    """The same requests through the harness: log-likelihoods or texts."""
    from lm_eval.api.instance import Instance

    if isinstance(requests[0], LogLikelihood):
        pairs = [(request.context, request.continuation) for request in requests]
        instances = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
        return [logprob for logprob, _ in lm.loglikelihood(instances, disable_tqdm=True)]
    generations = [request for request in requests if isinstance(request, Generation)]
    instances = [
        Instance(
            "generate_until",
            {},
            (g.context, {"until": list(g.until), "max_gen_toks": g.max_tokens, "do_sample": False}),
            i,
        )
        for i, g in enumerate(generations)
    ]
    return list(lm.generate_until(instances, disable_tqdm=True))


def timed(call: Callable[[], Any]) -> tuple[Any, Timed]:
    """A result, and what it took."""
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    return result, (time.perf_counter() - wall, time.process_time() - processor)


def requests_of(items: Sequence[Item]) -> list[Request]:
    return [request for item in items for request in item.requests]


def measure(items: Sequence[Item], engines: dict[str, Engine], harness: dict[int, Any], rounds: int) -> dict[str, Any]:
    """Both in turns; the answers are compared."""
    requests = requests_of(items)
    warm = requests_of(items[:1])
    for engine in engines.values():
        engine.ask(warm)
    for lm in harness.values():
        ask_harness(lm, warm)
    rounds = min(rounds, len(items))
    borders = [len(items) * i // rounds for i in range(rounds + 1)]
    ours: dict[str, list[Timed]] = {name: [] for name in engines}
    theirs: dict[int, list[Timed]] = {size: [] for size in harness}
    answers: dict[str, list[Answer]] = {}
    expected: list[float | str] = []
    for first, last in pairwise(borders):
        part = requests_of(items[first:last])
        for name, engine in engines.items():
            answers[name], seconds = timed(lambda engine=engine: engine.ask(requests))
            ours[name].append(seconds)
        for n, (size, lm) in enumerate(harness.items()):
            found, seconds = timed(lambda lm=lm, part=part: ask_harness(lm, part))
            theirs[size].append(seconds)
            if n == 0:
                expected += found
    row: dict[str, Any] = {"items": len(items), "requests": len(requests)}
    for clock, name in enumerate(("wall", "processor")):
        rates = {label: len(items) / statistics.median(s[clock] for s in each) for label, each in ours.items()}
        rates |= {f"harness, batch {size}": len(items) / sum(s[clock] for s in each) for size, each in theirs.items()}
        row[name] = {label: round(rate, 3) for label, rate in rates.items()}
        slowest = rates[f"harness, batch {next(iter(harness))}"]
        row[f"ratio_{name}"] = {label: round(rates[label] / slowest, 2) for label in ours}
    row["differences"] = {name: differences(items, found, expected) for name, found in answers.items()}
    return row


def differences(items: Sequence[Item], answers: Sequence[Answer], expected: Sequence[float | str]) -> dict[str, Any]:
    """How far answers are from the harness's: the largest difference, and decisions or texts that are others."""
    if isinstance(expected[0], str):
        return {"other_texts": sum(answer.text != text for answer, text in zip(answers, expected))}
    found = np.array([answer.logprob for answer in answers])
    wanted, first, flips = np.array(expected), 0, 0
    for item in items:
        last = first + len(item.requests)
        flips += int(found[first:last].argmax() != wanted[first:last].argmax())
        first = last
    return {"largest": float(np.abs(found - wanted).max()), "other_decisions": flips}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--items", type=int, default=60, help="of each task; 0 for all")
    parser.add_argument("--shots", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--harness-batches", type=int, nargs="+", default=[1, 8], help="the first is the yardstick")
    parser.add_argument("--only-default", action="store_true")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--data", type=Path, default=os.environ.get("MINILLAMA_TEST_DATA"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "evaluation_speed.json")
    options = parser.parse_args()
    if options.data is None:
        parser.error("say where the documents are: --data FOLDER, or the variable MINILLAMA_TEST_DATA")
    warnings.simplefilter("ignore")
    set_threads(options.threads)
    path = fetch(options.model)
    llm = minillama.load(path, threads=options.threads)
    engines = {"default": Engine(llm)}
    if not options.only_default:
        engines["integers"] = Engine(llm, in_float32=False)
        engines["exact"] = Engine(minillama.load(path, threads=options.threads, exact=True))
    harness = harness_models(path, options.harness_batches, options.threads)
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in options.tasks:
        row = measure(items_for(name, options.data, options.shots, options.items), engines, harness, options.rounds)
        row |= {"shots": options.shots, "threads": options.threads, "machine": describe_machine()}
        results[name] = row
        options.out.write_text(json.dumps(results, indent=1) + "\n")
        print(name, json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
