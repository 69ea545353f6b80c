"""Record what lm-evaluation-harness answers, item by item, for tests that compare with it.

    python benchmarks/evaluation_oracle.py --data DIR --model FILE.gguf --into tests/evaluation/harness [NAME ...]

runs the harness with transformers on the GGUF file dequantised to float32, one thread, `batch_size=1`, over
DIR/DATASET/SPLIT.jsonl (the Hub's field names), and writes NAME.jsonl.gz: a line of settings, then a line an item with
hashes, log-likelihoods, token counts and metrics, and no word of a benchmark. `--list` shows the names.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import lm_eval.tasks
import torch
from lm_eval import simple_evaluate
from lm_eval.api.task import Task
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, AutoTokenizer

# Where the harness keeps the tasks below: to look through all of its folders takes as long as many items.
FOLDERS = ("arc", "gsm8k", "hellaswag", "mmlu/continuation", "mmlu/default", "nq_open", "openbookqa", "piqa")
FOLDERS += ("super_glue/boolq", "triviaqa", "truthfulqa", "wikitext", "winogrande")
CLOSE = 0.02  # two logits this near may change places in another arithmetic


class Recording(NamedTuple):
    """One run of one task."""

    task: str
    folder: str
    limit: int
    shots: int | None = None
    chat: bool = False
    max_length: int | None = None
    suffix: str = ""

    @property
    def name(self) -> str:
        return self.task + self.suffix


RECORDINGS = [
    Recording("arc_easy", "arc_easy", 60),
    Recording("arc_challenge", "arc_challenge", 60),
    Recording("openbookqa", "openbookqa", 60),
    Recording("piqa", "piqa", 60),
    Recording("winogrande", "winogrande", 60),
    Recording("mmlu_anatomy", "mmlu/anatomy", 30, 5, suffix="_5shot"),
    Recording("mmlu_abstract_algebra", "mmlu/abstract_algebra", 30, 5, suffix="_5shot"),
    Recording("mmlu_world_religions", "mmlu/world_religions", 30, 5, suffix="_5shot"),
    Recording("triviaqa", "triviaqa", 60, 5, suffix="_5shot"),
    Recording("nq_open", "nq_open", 60, 5, suffix="_5shot"),
    Recording("gsm8k_cot", "gsm8k", 12),
    Recording("truthfulqa_mc1", "truthfulqa", 60),
    Recording("truthfulqa_mc2", "truthfulqa", 60),
    Recording("wikitext", "wikitext", 1),
    Recording("wikitext", "wikitext", 4, max_length=1024, suffix="_1024"),
    Recording("mmlu_anatomy_continuation", "mmlu/anatomy", 60),
    Recording("mmlu_high_school_us_history", "mmlu/high_school_us_history", 6, 5, suffix="_5shot"),
    Recording("mmlu_college_physics", "mmlu/college_physics", 10, 5, suffix="_5shot"),
    Recording("winogrande", "winogrande", 20, 5, suffix="_5shot"),
    Recording("piqa", "piqa", 20, 3, suffix="_3shot"),
    Recording("arc_easy", "arc_easy", 20, chat=True, suffix="_chat"),
    Recording("piqa", "piqa", 20, 2, chat=True, suffix="_2shot_chat"),
    Recording("mmlu_anatomy", "mmlu/anatomy", 10, 2, chat=True, suffix="_2shot_chat"),
    Recording("triviaqa", "triviaqa", 20, 2, chat=True, suffix="_2shot_chat"),
    Recording("nq_open", "nq_open", 20, 0, suffix="_0shot"),
    Recording("wikitext", "wikitext", 2, max_length=512, suffix="_512"),
    Recording("gsm8k", "gsm8k", 10, 5, suffix="_5shot"),
    Recording("hellaswag", "hellaswag", 60),
    Recording("boolq", "boolq", 60),
]


class RecordingLM(HFLM):
    """The harness's own model, which also keeps how near its greedy choices were."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.written: dict[tuple[int, ...], dict[str, Any]] = {}

    def _model_generate(self, context: Any, max_length: int, stop: list[str], **settings: Any) -> Any:
        found = super()._model_generate(context, max_length, stop, **settings)
        ids, n_context = found[0].tolist(), context.shape[1]
        with torch.no_grad():
            logits = self.model(found[:1]).logits[0, n_context - 1 : -1]
        margins = (lambda two: two[:, 0] - two[:, 1])(logits.topk(2).values).tolist()
        close_at = next((i for i, margin in enumerate(margins) if margin < CLOSE), len(margins))
        self.written[tuple(context[0].tolist())] = {
            "n_tokens": len(ids) - n_context,
            "smallest_margin": round(min(margins), 6),
            "n_clear": close_at,
            "clear_ids_sha256": sha256(json.dumps(ids[n_context : n_context + close_at])),
        }
        return found


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def task_of(manager: TaskManager, recording: Recording, data: Path) -> Task:
    """The harness's task on local files: its splits as far as they are there, shots from the test split otherwise."""
    folder = data / recording.folder
    files = {path.stem: str(path) for path in sorted(folder.glob("*.jsonl"))}
    changes: dict[str, Any] = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
    entry = manager._entry(recording.task)
    config = manager._factory._load_full_config(entry, None)
    for key in ("training_split", "validation_split", "test_split"):
        if config.get(key) not in files:
            changes[key] = None
    if "fewshot_split" in config and config["fewshot_split"] not in files:
        changes["fewshot_split"] = config["test_split"]
    return manager._factory.build(entry, overrides=changes, registry=manager._index)


def item_of(samples: list[dict[str, Any]], lm: RecordingLM) -> dict[str, Any]:
    """What is kept of an item: `samples` are the same item, once a filter."""
    first, metrics = samples[0], {}
    for sample in samples:
        metrics |= {f"{name},{sample['filter']}": sample[name] for name in sample["metrics"]}
    kept = {name: first[name] for name in ("doc_id", "doc_hash", "prompt_hash", "target_hash")}
    requests = [request_of(arguments, lm) for arguments in first["arguments"]]
    for request, responses in zip(requests, first["resps"]):
        request |= response_of(responses[0])
    return {**kept, "requests": requests, "metrics": metrics}


def request_of(arguments: tuple[Any, ...], lm: RecordingLM) -> dict[str, Any]:
    """Hash and token counts of a request."""
    if len(arguments) == 1:
        return {"hash": sha256(json.dumps(list(arguments))), "n_tokens": len(lm.tok_encode(arguments[0]))}
    if isinstance(arguments[1], dict):
        context, until = arguments[0], list(arguments[1].get("until", []))
        ids = lm.tok_batch_encode([context])[0][0].tolist()
        return {"hash": sha256(json.dumps([context, until])), "n_context": len(ids), **lm.written.get(tuple(ids), {})}
    before, after = lm._encode_pair(*arguments)
    return {"hash": sha256(json.dumps(list(arguments))), "n_context": len(before), "n_tokens": len(after)}


def response_of(response: Any) -> dict[str, Any]:
    """The numbers of an answer."""
    if isinstance(response, str):
        return {"text_sha256": sha256(response), "n_characters": len(response)}
    if isinstance(response, tuple | list):
        return {"ll": response[0], "greedy": bool(response[1])}
    return {"ll": response}


def record(recording: Recording, lm: RecordingLM, manager: TaskManager, data: Path) -> list[dict[str, Any]]:
    """Run one task; the items in order."""
    lm._max_length, lm.written = recording.max_length, {}
    results = simple_evaluate(
        model=lm,
        tasks=[task_of(manager, recording, data)],
        num_fewshot=recording.shots,
        limit=recording.limit,
        apply_chat_template=recording.chat,
        task_manager=manager,
        bootstrap_iters=0,
        log_samples=True,
    )
    by_id: dict[int, list[dict[str, Any]]] = {}
    for sample in results["samples"][recording.task]:
        by_id.setdefault(sample["doc_id"], []).append(sample)
    return [item_of(by_id[doc_id], lm) for doc_id in sorted(by_id)]


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    """Lines of JSON, compressed; the same lines give the same bytes."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def load_model(path: Path) -> RecordingLM:
    """The GGUF file dequantised to float32, with its own tokenizer."""
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    return RecordingLM(pretrained=model, tokenizer=tokenizer, batch_size=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which recordings; all that are missing by default")
    parser.add_argument("--data", type=Path, help="DIR/DATASET/SPLIT.jsonl")
    parser.add_argument("--model", type=Path, help="a GGUF file")
    parser.add_argument("--into", type=Path, default=Path("tests/evaluation/harness"))
    parser.add_argument("--limit", type=int, help="at most so many items of each")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(recording.name for recording in RECORDINGS))
        return
    if not options.data or not options.model:
        raise SystemExit("give --data DIR and --model FILE.gguf")
    by_name = {recording.name: recording for recording in RECORDINGS}
    if unknown := set(options.names) - set(by_name):
        raise SystemExit(f"no recording is called {', '.join(sorted(unknown))}; --list shows the names")
    chosen = [by_name[name] for name in options.names or by_name]
    settings = {
        "model_sha256": hashlib.sha256(options.model.read_bytes()).hexdigest(),
        "versions": {name: version(name) for name in ("lm-eval", "torch", "transformers")},
    }
    folders = [Path(lm_eval.tasks.__file__).parent / name for name in FOLDERS]
    manager = TaskManager(include_path=folders, include_defaults=False)
    lm = load_model(options.model)
    for recording in chosen:
        recording = recording._replace(limit=min(recording.limit, options.limit or recording.limit))
        path = options.into / f"{recording.name}.jsonl.gz"
        if path.exists() and not options.names:
            continue
        if not (options.data / recording.folder).is_dir():
            print(f"{recording.name}: {options.data / recording.folder} is missing, left out", flush=True)
            continue
        lines = record(recording, lm, manager, options.data)
        write(path, [{**recording._asdict(), **settings}, *lines])
        print(f"{recording.name}: {len(lines)} items", flush=True)


if __name__ == "__main__":
    main()
