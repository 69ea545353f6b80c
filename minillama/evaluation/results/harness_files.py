"""`results_TIME.json` in lm-evaluation-harness's schema: what its tables, trackers and loggers read.

Keys of a number are "metric,filter" and "metric_stderr,filter". What the harness has no place for (intervals,
baselines, cautions, settings) stands under "minillama", which its tools pass over. Times are left out: they are in
times.json and in the names of the files.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.task import Scored, Task
from .cautions import cautions_of
from .evaluation import Evaluation
from .groups import GroupResult
from .samples import filters_of
from .scores import Score
from .task_result import TaskResult

_OUTPUT_TYPES = {"choices": "multiple_choice", "rolling": "loglikelihood_rolling", "generation": "generate_until"}


def harness_results(evaluation: Evaluation) -> dict[str, Any]:
    """The whole file as a dictionary."""
    results = evaluation.results
    groups = [group for group in evaluation.groups if not group.missing and group.scores]
    asking = evaluation.settings.get("asking", {})
    named = {group.name: _metrics(group.name, group.scores) for group in groups}
    found: dict[str, Any] = {
        "results": {**{name: _metrics(name, result.scores) for name, result in results.items()}, **named},
        **({"groups": named} if named else {}),
        "group_subtasks": {group.name: list(group.members) for group in groups},
        "configs": {name: _config(result) for name, result in sorted(results.items())},
        "versions": {name: result.task.version for name, result in sorted(results.items())},
        "n-shot": {name: result.n_shots for name, result in sorted(results.items())}
        | _shots_of_groups(groups, results),
        "higher_is_better": {name: _directions(result.task) for name, result in sorted(results.items())},
        "n-samples": {
            name: {"original": result.n_documents, "effective": len(result.items)} for name, result in results.items()
        },
        "config": _run_config(evaluation.settings),
        "task_hashes": {name: task_hash(result.task, result.items) for name, result in results.items()},
        "system_instruction": asking.get("system"),
        "fewshot_as_multiturn": bool(asking.get("chat")),
        "model_source": "minillama",
        "model_name": str(evaluation.settings.get("model", {}).get("name", "model")),
        "minillama": _own(evaluation),
    }
    found["model_name_sanitized"] = re.sub(r"[\"<>:/|\\?*\[\]]+", "__", found["model_name"])
    return found


def task_hash(task: Task, items: Sequence[Scored]) -> str:
    """sha256 over the hashes of all items: equal where a colleague's run of the harness asked the same."""
    hashes = "".join(one.item.doc_hash + one.item.prompt_hash + one.item.target_hash for one in items)
    return hashlib.sha256((hashes * len(filters_of(task))).encode()).hexdigest()


def _metrics(name: str, scores: Mapping[str, Score]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "alias": name, "sample_len": max((s.n for s in scores.values()), default=0)}
    for score in scores.values():
        found[score.metric.key] = None if math.isnan(score.value) else score.value
        found[f"{score.metric.name}_stderr,{score.metric.filter}"] = "N/A" if score.stderr is None else score.stderr
    return found


def _config(result: TaskResult) -> dict[str, Any]:
    """A task as the harness describes one; functions are named by what they do and not shown."""
    task = result.task
    repository, _, configuration = task.dataset.hub.partition(":")
    found: dict[str, Any] = {
        "task": task.name,
        "group": list(task.groups),
        "dataset_path": repository,
        "dataset_name": configuration or None,
        "test_split": task.split,
        "fewshot_split": task.shots.split,
        "description": task.description,
        "target_delimiter": task.delimiter,
        "fewshot_delimiter": task.shots.delimiter,
        "num_fewshot": result.n_shots,
        "output_type": _OUTPUT_TYPES[task.kind],
        "metric_list": [
            {"metric": metric.name, "filter": metric.filter, "higher_is_better": metric.higher_is_better}
            for metric in task.metrics
        ],
        "metadata": {"version": task.version, "protocol": task.protocol},
    }
    if task.kind == "generation":
        found["generation_kwargs"] = {"until": list(task.until), "max_gen_toks": task.max_tokens, "do_sample": False}
    return found


def _directions(task: Task) -> dict[str, bool]:
    return {metric.name: metric.higher_is_better for metric in task.metrics}


def _shots_of_groups(groups: Sequence[GroupResult], results: Mapping[str, TaskResult]) -> dict[str, int]:
    numbers = {group.name: {results[task].n_shots for task in group.members} for group in groups}
    return {name: found.pop() for name, found in numbers.items() if len(found) == 1}


def _run_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    model, asking = settings.get("model", {}), settings.get("asking", {})
    return {
        "model": "minillama",
        "model_args": {"pretrained": model.get("name")},
        "model_sha": model.get("sha256"),
        "model_dtype": settings.get("arithmetic"),
        "device": "cpu",
        "limit": asking.get("limit"),
        "fewshot_seed": asking.get("seed"),
    }


def _own(evaluation: Evaluation) -> dict[str, Any]:
    tables = {name: result.scores for name, result in evaluation.results.items()}
    tables |= {group.name: group.scores for group in evaluation.groups}
    return {
        "settings": dict(evaluation.settings),
        "scores": {name: {key: _score(score) for key, score in scores.items()} for name, scores in tables.items()},
        "missing": {group.name: list(group.missing) for group in evaluation.groups if group.missing},
        "unscored": {name: len(result.unscored) for name, result in evaluation.results.items()},
        "truncated": {name: len(result.truncated) for name, result in evaluation.results.items()},
        "cautions": cautions_of(evaluation.results, evaluation.groups),
    }


def _score(score: Score) -> dict[str, Any]:
    ends = None if score.interval is None or math.isnan(score.interval.low) else [*score.interval]
    return {
        "n": score.n,
        "interval_95": ends,
        "interval_method": score.method,
        "chance": score.baselines.chance,
        "majority": score.baselines.majority,
        "longest": score.baselines.longest,
    }
