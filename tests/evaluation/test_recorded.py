"""The package's own run, and the harness driven through the adapter, give what it gave with transformers, item by item.

`harness/*.jsonl.gz` holds what lm-evaluation-harness answered by itself on the same weights in float32, recorded by
`benchmarks/evaluation_oracle.py`: numbers and hashes, no word of a benchmark. The first line has the settings. The
first items of each are compared, with MINILLAMA_ALL_ITEMS=1 all.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest
from local_copies import write_local_copies
from odd_layouts import OddLayouts

import minillama
from minillama.evaluation.common.requests import Written
from minillama.evaluation.tasks.catalogue import find_tasks

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # the harness's and its libraries' own
    pytest.mark.slow,
    pytest.mark.timeout(3600),
]
lm_eval = pytest.importorskip("lm_eval")
RECORDED = sorted((Path(__file__).parent / "harness").glob("*.jsonl.gz"))
EACH = pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name.partition(".")[0])
FOLDERS = ["arc", "gsm8k", "hellaswag", "mmlu/continuation", "mmlu/default", "nq_open", "openbookqa", "piqa"]
FOLDERS += ["super_glue/boolq", "triviaqa", "truthfulqa", "wikitext", "winogrande"]
CHOICES, ROLLING = 2e-3, 1e-5  # of a log-likelihood; of its share


@pytest.fixture(scope="module")
def lm(smollm2):
    from minillama.evaluation.harness import MinillamaLM

    return MinillamaLM(smollm2)


@pytest.fixture(scope="module")
def manager():
    from lm_eval.tasks import TaskManager

    folders = [Path(lm_eval.tasks.__file__).parent / name for name in FOLDERS]
    return TaskManager(include_path=folders, include_defaults=False)


def task(manager, settings, data, folder):
    """The harness's task on the documents that were recorded."""
    layouts, files = OddLayouts(data), {}
    for split in ("test", "validation", "train", "dev"):
        try:
            documents = layouts.split(settings["folder"].replace("/", "_"), split)
        except (KeyError, FileNotFoundError):
            continue
        files[split] = str(folder / f"{split}.jsonl")
        lines = [json.dumps(document, ensure_ascii=False) + "\n" for document in documents]
        Path(files[split]).write_text("".join(lines), encoding="utf-8")
    changes = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
    entry = manager._entry(settings["task"])
    config = manager._factory._load_full_config(entry, None)
    splits = ("training_split", "validation_split", "test_split")
    changes |= {key: None for key in splits if config.get(key) not in files}
    return manager._factory.build(entry, overrides=changes, registry=manager._index)


def recording(path, n_items):
    """Its settings, and its first items; a limit leaves the shots of those before as they are."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        settings, *recorded = map(json.loads, file)
    if not os.environ.get("MINILLAMA_ALL_ITEMS"):
        recorded = recorded[:n_items]
    return settings | {"limit": len(recorded)}, recorded


@EACH
def test_own_run(path, smollm2, shared_data, tmp_path):
    """Prompts, numbers of tokens, log-likelihoods, decisions and texts, without the harness."""
    settings, recorded = recording(path, 2 if path.name.startswith(("gsm8k", "wikitext")) else 8)
    name = settings["task"]
    write_local_copies(shared_data, tmp_path, [find_tasks([name])[0].dataset.name.replace("/", "_")])
    asked = {"limit": settings["limit"], "n_shots": settings["shots"], "chat": settings["chat"]}
    found = minillama.evaluate(
        smollm2, name, data=tmp_path, hub=False, max_length=settings["max_length"], **asked
    ).results[name]
    assert len(found.items) == len(recorded) > 0
    largest = 0.0
    for one, theirs in zip(found.items, recorded):
        assert [one.item.doc_id, one.item.doc_hash, one.item.prompt_hash, one.item.target_hash] == [
            theirs[key] for key in ("doc_id", "doc_hash", "prompt_hash", "target_hash")
        ]
        for answer, request in zip(one.answers, theirs["requests"], strict=True):
            if isinstance(answer, Written):
                compare(answer.text, request)
                continue
            is_rolling = found.task.kind == "rolling"
            assert answer.n_tokens == request["n_tokens"]
            compare(answer.logprob if is_rolling else (answer.logprob,), request)
            largest = max(largest, abs(answer.logprob - request["ll"]) / (abs(request["ll"]) if is_rolling else 1))
        if found.task.kind == "choices":
            requests = one.item.requests
            texts = [request.continuation.removeprefix(" ") for request in requests]
            same_choice(texts, [(answer.logprob,) for answer in one.answers], theirs["requests"])
    print(f"{path.name}: {len(recorded)} items, largest difference {largest:.1e}")


@EACH
def test_through_the_adapter(path, lm, manager, shared_data, tmp_path):
    settings, recorded = recording(path, 3)
    if settings["max_length"] is not None:
        pytest.skip("with another length of context")
    found = lm_eval.simple_evaluate(
        model=lm,
        tasks=[task(manager, settings, shared_data, tmp_path)],
        num_fewshot=settings["shots"],
        limit=settings["limit"],
        apply_chat_template=settings["chat"],
        task_manager=manager,
        bootstrap_iters=0,
    )["samples"][settings["task"]]
    found = list({sample["doc_id"]: sample for sample in found}.values())  # one of several filters
    assert len(found) == len(recorded) > 0
    for ours, theirs in zip(found, recorded):
        for name in ("doc_id", "doc_hash", "prompt_hash", "target_hash"):
            assert ours[name] == theirs[name]
        answers = [responses[0] for responses in ours["resps"]]
        for answer, request in zip(answers, theirs["requests"]):
            compare(answer, request)
        if isinstance(answers[0], tuple | list):
            texts = [arguments[1].removeprefix(" ") for arguments in ours["arguments"]]
            same_choice(texts, answers, theirs["requests"])


def compare(answer, request):
    """An answer beside the recorded one."""
    if isinstance(answer, str):
        if request["n_clear"] == request["n_tokens"]:  # every greedy choice was clear
            assert hashlib.sha256(answer.encode()).hexdigest() == request["text_sha256"]
    elif isinstance(answer, float):
        assert answer == pytest.approx(request["ll"], rel=ROLLING)
    else:
        assert answer[0] == pytest.approx(request["ll"], abs=CHOICES)


def same_choice(texts, answers, requests):
    """The most probable option is the same one, as a whole and a character, unless the two best were that near."""
    lengths = [max(1, len(text)) for text in texts]
    for each in ([1] * len(lengths), lengths):
        ours = [answer[0] / length for answer, length in zip(answers, each)]
        theirs = [request["ll"] / length for request, length in zip(requests, each)]
        best, second = sorted(range(len(theirs)), key=lambda i: -theirs[i])[:2]
        if theirs[best] - theirs[second] > CHOICES / each[best] + CHOICES / each[second]:
            assert max(range(len(ours)), key=lambda i: ours[i]) == best
