"""lm-evaluation-harness as an oracle: the same documents and the same made-up answers through it and through ours.

The harness reads its own YAML files; its documents are put in by `custom_dataset`, so that nothing is downloaded. A
model that invents answers stands for a real one: log-likelihoods are a hash of context and continuation (some of them
equal, so that ties are decided), texts are variants of the accepted answers. What is compared, item by item: requests
in order with their stop texts, the three hashes, every metric; then means, standard errors and groups.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from evaluation.odd_layouts import OddLayouts

from minillama.evaluation.common.requests import Generation, Likelihood, LogLikelihood, Rolling, Written
from minillama.evaluation.common.task import Asking
from minillama.evaluation.scoring.aggregation import mean
from minillama.evaluation.statistics.errors import pooled, standard_error
from minillama.evaluation.tasks.catalogue import TASKS
from minillama.evaluation.tasks.groups import Group
from minillama.evaluation.tasks.items import items_of, scored

# Our task and the harness's file of it.
FILES = {
    "arc_easy": "arc/arc_easy",
    "arc_challenge": "arc/arc_challenge",
    "openbookqa": "openbookqa/openbookqa",
    "openbookqa_mi": "openbookqa/openbookqa",
    "piqa": "piqa/piqa",
    "winogrande": "winogrande/default",
    "hellaswag": "hellaswag/hellaswag",
    "boolq": "super_glue/boolq/default",
    "triviaqa": "triviaqa/default",
    "nq_open": "nq_open/nq_open",
    "gsm8k": "gsm8k/gsm8k",
    "gsm8k_cot": "gsm8k/gsm8k-cot",
    "truthfulqa_mc1": "truthfulqa/truthfulqa_mc1",
    "truthfulqa_mc2": "truthfulqa/truthfulqa_mc2",
    "wikitext": "wikitext/wikitext",
}
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


class Beginnings(OddLayouts):
    """The first documents of every split: what is drawn is drawn from fewer, and both are quicker."""

    def __init__(self, data: Path, documents: int):
        super().__init__(data)
        self.documents = documents

    def split(self, dataset, split):
        return super().split(dataset, split)[: self.documents]


def smollm2_template(messages, **_):
    """SmolLM2's chat template as text: its own system message where none is given."""
    messages = messages if messages[0]["role"] == "system" else [{"role": "system", "content": SYSTEM}, *messages]
    turns = [f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages]
    return "".join(turns) + "<|im_start|>assistant\n"


def file_of(name: str) -> str:
    """The harness's file of one of our tasks."""
    if name.startswith("mmlu_"):
        return f"mmlu/{'continuation' if name.endswith('_continuation') else 'default'}/{name}".removesuffix(
            "_continuation"
        )
    return FILES[name]


def number_from(*parts: str) -> int:
    """A number that depends on texts alone."""
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")


def made_up_logprob(context: str, continuation: str) -> float:
    """Between 0 and -64; every fourth continuation's is a multiple of 16, so that some are equal."""
    number = number_from(context, continuation)
    return -(number >> 8) % 1024 / 16.0 - 64.0 if number % 4 else -16.0 * (1 + (number >> 8) % 3)


def made_up_text(context: str, target) -> str:
    """An accepted answer in one of several spellings, or none."""
    if isinstance(target, list):
        gold = target[number_from("alias", context) % len(target)]
        spellings = [gold, f" {gold.upper()}", f"the {gold}\t", f"The {gold}!", f"{gold} indeed", "", " \t "]
        spellings += [gold.replace("the ", ""), f"a {gold}", gold.replace(" ", "_"), f'"{gold}"', "An apple"]
    else:
        gold = target.rpartition("#### ")[2]
        spellings = [f" So it is {gold}.\n#### {gold}", f"The answer is {gold}.", f"The answer is ${gold}.", gold]
        spellings += [f"{gold} and then 7", f"#### {gold}.00", f"#### -{gold}", "#### ,", "none", "", f"${gold}.", "$"]
        spellings += [f"The answer is {gold},000. The answer is {gold}.", f"#### {gold}\n#### 3", f"it is {gold}!"]
    return spellings[number_from(context) % len(spellings)]


@dataclass(frozen=True)
class Setting:
    """How both are asked."""

    n_shots: int | None = None
    limit: int = 60
    chat: bool = False
    system: str | None = None

    def __str__(self) -> str:
        shots = "default shots" if self.n_shots is None else f"{self.n_shots} shots"
        return f"{shots}{', chat' if self.chat else ''}{', system' if self.system else ''}"


@dataclass(frozen=True)
class Comparison:
    """How many items and requests of a task were compared, and every difference in one line each."""

    task: str
    items: int
    requests: int
    differences: list[str]


@contextmanager
def quiet():
    """The harness and what it imports warn about their own future, and show progress."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets
        import lm_eval.api.task

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        datasets.disable_progress_bars()
        with mock.patch.object(lm_eval.api.task, "tqdm", lambda documents, **_: documents):
            yield


def harness_task(name: str, layouts: OddLayouts):
    """The harness's task of that name, on our documents."""
    import datasets
    import lm_eval.tasks
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(Path(lm_eval.tasks.__file__).parent / f"{file_of(name)}.yaml", resolve_func=True, recursive=True)
    for key in ("tag", "group", "task_list"):
        config.pop(key, None)
    ours = TASKS[name]
    rows = {ours.split: layouts.split(ours.dataset, ours.split)}
    if ours.shots.split:
        rows[ours.shots.split] = layouts.split(ours.dataset, ours.shots.split)
    for key in ("training_split", "validation_split"):  # it reads these too, and uses them no further
        if config.get(key):
            rows.setdefault(config[key], rows.get("train") or rows[ours.split])
    splits = {split: datasets.Dataset.from_list(list(documents)) for split, documents in rows.items()}
    metrics = [metric.name for metric in ours.metrics]
    if "acc_bytes" in metrics:
        config["metric_list"] = [{"metric": key, "aggregation": "mean", "higher_is_better": True} for key in metrics]
    return ConfigurableTask(config=config | {"task": name, "custom_dataset": lambda **_: splits})


def answering_model(texts: dict[str, str]):
    """A model of the harness that gives the made-up answers; a context without a text gets "unknown"."""
    from lm_eval.api.model import LM

    class MadeUp(LM):
        tokenizer_name = "made-up"

        def loglikelihood(self, requests):
            return [(made_up_logprob(*request.args), False) for request in requests]

        def loglikelihood_rolling(self, requests):
            return [made_up_logprob("", *request.args) for request in requests]

        def generate_until(self, requests):
            return [texts.get(request.args[0], "unknown") for request in requests]

        def apply_chat_template(self, chat_history, add_generation_prompt=True):
            assert add_generation_prompt
            return smollm2_template(chat_history)

    return MadeUp()


def answer(request, target):
    """The made-up answer to one of our requests."""
    if isinstance(request, LogLikelihood):
        return Likelihood(made_up_logprob(request.context, request.continuation), False, 1)
    if isinstance(request, Rolling):
        return Likelihood(made_up_logprob("", request.text), False, 1)
    return Written(made_up_text(request.context, target))


def run_ours(name: str, layouts: OddLayouts, setting: Setting):
    """Our items with their made-up answers and metrics."""
    task = TASKS[name]
    documents = layouts.split(task.dataset, task.split)
    needs_shots = task.shots.split and not task.shots.given
    shots = layouts.split(task.dataset, task.shots.split) if needs_shots else []
    asking = Asking(n_shots=setting.n_shots, limit=setting.limit, chat=setting.chat, system=setting.system)
    items = items_of(task, documents, shots, asking, smollm2_template)
    return [scored(task, item, [answer(request, item.target) for request in item.requests]) for item in items]


def run_harness(names: Iterable[str], layouts: OddLayouts, setting: Setting, texts: dict[str, str], group=None):
    """The harness's results, and its requests by (task, document)."""
    import lm_eval.evaluator
    from lm_eval.config.group import AggMetricConfig
    from lm_eval.tasks import TaskManager

    tasks = [harness_task(name, layouts) for name in names]
    members = tasks
    if group:
        from lm_eval.api.group import Group as HarnessGroup

        members = [HarnessGroup(group.name, aggregate_metric_list=[AggMetricConfig("acc", weight_by_size=True)])]
        for task in tasks:
            members[0].add(task)
    skipped = mock.patch.multiple(lm_eval.evaluator, add_env_info=mock.DEFAULT, get_git_commit_hash=mock.DEFAULT)
    with skipped:  # both call other programs, and change nothing
        results = lm_eval.evaluator.simple_evaluate(
            answering_model(texts),
            tasks=members,
            num_fewshot=setting.n_shots,
            limit=setting.limit,
            apply_chat_template=setting.chat,
            system_instruction=setting.system,
            task_manager=TaskManager(include_defaults=False),
        )
    requests = defaultdict(list)
    for task in tasks:
        for instance in task.instances:
            requests[task.task_name, instance.doc_id].append(instance)
    return results, requests


def compare(names: list[str], layouts: OddLayouts, setting: Setting, group: Group | None = None) -> list[Comparison]:
    """Each task of a setting through both; a group's mean is compared with its last task."""
    ours = {name: run_ours(name, layouts, setting) for name in names}
    texts = {
        request.context: answer.text
        for results in ours.values()
        for result in results
        for request, answer in zip(result.item.requests, result.answers, strict=True)
        if isinstance(request, Generation)
    }
    with quiet():
        results, requests = run_harness(names, layouts, setting, texts, group)
    comparisons = []
    for name in names:
        samples = defaultdict(list)
        for sample in results["samples"][name]:
            samples[sample["doc_id"]].append(sample)
        differences = [f"{len(ours[name])} items, and {len(samples)}"] if len(ours[name]) != len(samples) else []
        for result in ours[name]:
            doc_id = result.item.doc_id
            differences += item_differences(result, samples[doc_id], requests[name, doc_id])
        differences += mean_differences(name, ours[name], results["results"][name])
        n_requests = sum(len(result.item.requests) for result in ours[name])
        comparisons.append(Comparison(name, len(ours[name]), n_requests, differences))
    if group:
        comparisons[-1].differences.extend(group_differences(group, ours, results["results"][group.name]))
    return comparisons


def item_differences(result, samples, instances) -> list[str]:
    """What differs between one of our items and the harness's."""
    item, found = result.item, []

    def differ(what, mine, theirs):
        if mine != theirs:
            found.append(f"{item.task} {item.doc_id}: {what} {mine!r:.300} and {theirs!r:.300}")

    differ("requests", [parts(request) for request in item.requests], [instance_parts(each) for each in instances])
    metrics = {}
    for sample in samples:
        for mine in ("doc_hash", "prompt_hash", "target_hash"):
            differ(mine, getattr(item, mine), sample[mine])
        differ("target", item.target, sample["target"])
        metrics |= {f"{key},{sample['filter']}": sample[key] for key in sample["metrics"]}
    if not all(close(value, result.metrics.get(key)) for key, value in metrics.items()):
        differ("metrics", result.metrics, metrics)
    differ("metric names", sorted(result.metrics), sorted(metrics))
    return found


def parts(request):
    """A request of ours as the harness's arguments."""
    if isinstance(request, LogLikelihood):
        return (request.context, request.continuation)
    return (request.text,) if isinstance(request, Rolling) else (request.context, list(request.until))


def instance_parts(instance):
    """The harness's arguments of a request; of its settings for generation the stop texts."""
    first, *rest = instance.args
    return (first, *(part["until"] if isinstance(part, dict) else part for part in rest))


def close(mine, theirs) -> bool:
    """Equal but for the last digits of floating point."""
    if isinstance(mine, tuple | list):
        return isinstance(theirs, tuple | list) and all(map(close, mine, theirs))
    return theirs is not None and abs(mine - theirs) <= 1e-12 * max(1.0, abs(mine))


def mean_differences(name: str, results, theirs) -> list[str]:
    """What differs between a task's means and standard errors."""
    found = []
    for metric in TASKS[name].metrics:
        values = [result.metrics[metric.key] for result in results]
        if not close(metric.aggregate(values), theirs[metric.key]):
            found.append(f"{name}: {metric.key} {metric.aggregate(values)} and {theirs[metric.key]}")
        stderr = theirs[f"{metric.name}_stderr,{metric.filter}"]
        if metric.aggregate is mean and not close(standard_error(values), stderr):
            found.append(f"{name}: standard error of {metric.key} {standard_error(values)} and {stderr}")
    return found


def group_differences(group: Group, ours, theirs) -> list[str]:
    """What differs between a group's mean and standard error."""
    tasks = [[result.metrics["acc,none"] for result in results] for results in ours.values()]
    value = mean([value for values in tasks for value in values])
    stderr = pooled([standard_error(values) for values in tasks], [len(values) for values in tasks])
    same = close(value, theirs["acc,none"]) and close(stderr, float(theirs["acc_stderr,none"]))
    return [] if same else [f"{group.name}: {value} +- {stderr} and {theirs}"]
