"""One evaluation from tasks to results.

    plan      tasks and documents become items: nothing of a model is needed but its tokenizer and chat template
    ask       the engine answers the requests of all items, from its store where they were asked before
    score     answers become metrics, metrics scores with intervals
    write     the folder of the run, if one is wanted

`evaluate` does all of it. The command line takes the steps one by one, since it says what a run costs before it runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common.requests import Request
from .common.task import Asking, Item, Task
from .engine.engine import BATCH_SIZE, Engine, ProgressCallback
from .engine.origin import origin_of
from .engine.store import Store
from .results.evaluation import Evaluation, groups_of
from .results.folder import ResultsFolder, now
from .results.settings import settings_of
from .results.task_result import result_of
from .sources.reading import Sources
from .tasks.catalogue import find_tasks
from .tasks.items import items_of, scored
from .tasks.shots import number_of_shots

if TYPE_CHECKING:
    from ..llm import LLM
    from ..tokenizers import Tokenizer

BUNDLED = Path(__file__).with_name("bundled")  # documents that ship with the package
Render = Callable[[list[dict[str, str]]], str]


@dataclass(frozen=True)
class Planned:
    """A task and what it asks.

    Attributes
    ----------
    task : Task
    items : tuple of Item
    n_documents : int
        In the split, of which `limit` may have taken the first.
    n_shots : int
    """

    task: Task
    items: tuple[Item, ...]
    n_documents: int
    n_shots: int

    @property
    def requests(self) -> list[Request]:
        return [request for item in self.items for request in item.requests]


def evaluate(
    llm: LLM,
    tasks: str | Task | Iterable[str | Task],
    *,
    limit: int | None = None,
    n_shots: int | None = None,
    seed: int = 1234,
    chat: bool = False,
    system: str | None = None,
    data: Iterable[str | Path] = (),
    hub: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    store: str | Path | None = None,
    batch_size: int = BATCH_SIZE,
    max_length: int | None = None,
    in_float32: bool = True,
    progress: ProgressCallback | None = None,
) -> Evaluation:
    """Ask a model the questions of benchmarks, and score its answers.

    Parameters
    ----------
    llm : LLM
        What `minillama.load` gives.
    tasks : name, Task, or several
        Names of tasks and groups (`minillama eval list`): "arc_easy", "mmlu", "triviaqa@llama2".
    limit : int, optional
        Only the first so many documents of every task.
    n_shots : int, optional
        Examples before every question; by default each task's own number, mostly 0.
    seed : int
        Of examples that are drawn; 1234 draws those of lm-evaluation-harness.
    chat : bool
        With the model's chat template, examples as turns.
    system : str, optional
        The system message.
    data : paths
        Folders with DIR/TASK/SPLIT.jsonl (or .csv, .parquet), looked through before the Hub.
    hub : bool
        Fetch what is in none of them from the Hugging Face Hub.
    out : path, optional
        Folder for the results; see results/folder.py.
    resume, force : bool
        What to do when `out` holds a run: go on with it (its settings must be the same), or replace it.
    store : path, optional
        Folder in which answers are kept as they come, and found again; `out`/answers by default, if there is `out`.
    batch_size : int
        Sequences that run together at most.
    max_length : int, optional
        Tokens that the model reads at most; its context window by default.
    in_float32 : bool
        Log-likelihoods in float32, whatever the model multiplies in. False takes the model as it is loaded: a
        quantised one answers faster, with log-likelihoods that differ by up to 0.01.
    progress : callable, optional
        Called with an `engine.Progress` from time to time.

    Returns
    -------
    Evaluation
        `print` shows the table; `.results["arc_easy"]["acc"]` is a number.

    Raises
    ------
    ValueError
        A name that nobody knows, settings that are not possible, documents that are missing or malformed, or a
        folder that holds another run.
    """
    asking = Asking(n_shots=n_shots, limit=limit, seed=seed, chat=chat, system=system)
    sources = sources_of(data, hub)
    found = plan(tasks_of(tasks), asking, sources, renderer(llm.tokenizer) if chat else None)
    if store is None and out is not None:
        store = Path(out) / "answers"
    kept = None if store is None else Store(store)
    engine = Engine(llm, batch_size=batch_size, max_length=max_length, store=kept, in_float32=in_float32)
    return run(found, asking, engine, out=out, resume=resume, force=force, progress=progress)


def tasks_of(tasks: str | Task | Iterable[str | Task]) -> list[Task]:
    """Tasks by their names, groups expanded; tasks that are values already stay. A text may hold several names."""
    if isinstance(tasks, str):
        tasks = tasks.replace(",", " ").split()
    given = [tasks] if isinstance(tasks, Task) else list(tasks)
    found: dict[str, Task] = {}
    for one in given:
        for task in [one] if isinstance(one, Task) else find_tasks([one]):
            if not re.fullmatch(r"[\w@.+-]{1,100}", task.name):
                raise ValueError(
                    f"a task is named {task.name!r:.60}: take letters, digits and _ @ . + - (files have it)"
                )
            if found.setdefault(task.name, task) is not task:
                raise ValueError(f"two different tasks are named {task.name!r}: give one of them another name")
    if not found:
        raise ValueError("no task is named: see `minillama eval list`")
    return list(found.values())


def sources_of(data: Iterable[str | Path], hub: bool) -> Sources:
    """Where documents are looked for: the reader's folders, the package, the Hub.

    Raises
    ------
    ValueError
        A folder that is not there: the documents of the Hub would silently take the place of the reader's.
    """
    folders = [Path(folder) for folder in ([data] if isinstance(data, str | Path) else data)]
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder: data names a folder with DIR/TASK/SPLIT.jsonl (--data DIR)")
    return Sources([*folders, BUNDLED], hub=hub)


def plan(tasks: Sequence[Task], asking: Asking, sources: Sources, render: Render | None = None) -> list[Planned]:
    """The items of tasks.

    Raises
    ------
    ValueError
        Documents are missing or malformed, or there are too few examples to show.
    """
    return [_planned(task, asking, sources, render) for task in tasks]


def _planned(task: Task, asking: Asking, sources: Sources, render: Render | None) -> Planned:
    n_shots = number_of_shots(task, asking.n_shots)
    documents = sources.split(task.dataset, task.split)
    needs_split = n_shots > 0 and task.shots.split is not None and task.shots.rule != "given"
    shots = sources.split(task.dataset, task.shots.split or "") if needs_split else []
    items = items_of(task, documents, shots, asking, render)
    if not items:
        raise ValueError(f"{task.name}: split {task.split!r} of {task.dataset.name} holds no documents")
    whole = len(items) if asking.limit is None else len(task.prepare(documents))
    return Planned(task, tuple(items), whole, n_shots)


def renderer(tokenizer: Tokenizer) -> Render:
    """Messages to the text that a model's chat template makes of them, up to where the answer begins.

    Raises
    ------
    ValueError
        When the model has no chat template.
    """
    from ..inference.chat import JinjaChat

    if tokenizer.chat_template is None:
        raise ValueError("the model brings no chat template of its own, it may be a base model: leave out --chat")
    template = JinjaChat(tokenizer.chat_template)
    return lambda messages: template.text(messages, tokenizer)


def run(
    planned: Sequence[Planned],
    asking: Asking,
    engine: Engine,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback | None = None,
) -> Evaluation:
    """Ask and score what was planned, and write its folder.

    Raises
    ------
    FolderError
        When `out` holds another run. KeyboardInterrupt leaves what was answered in the engine's store.
    """
    settings = run_settings(planned, asking, engine) if out is not None else {"model": {"name": engine.llm.name}}
    folder = None if out is None else ResultsFolder(out)
    begun: AbstractContextManager[Mapping[str, Any]] = nullcontext({})
    if folder is not None:
        begun = folder.begun(settings, resume=resume, force=force)
    with begun as earlier:
        began, start = earlier.get("started", now()), time.perf_counter()
        answers = iter(engine.ask([request for one in planned for request in one.requests], progress))
        results = {
            one.task.name: result_of(
                one.task,
                [scored(one.task, item, [next(answers) for _ in item.requests]) for item in one.items],
                one.n_documents,
                one.n_shots,
            )
            for one in planned
        }
        times = {"started": began, "ended": now(), "seconds": round(time.perf_counter() - start, 3)}
        evaluation = Evaluation(results, groups_of(results), settings, times)
        if folder is not None:
            folder.write(evaluation)
    return evaluation


def run_settings(planned: Sequence[Planned], asking: Asking, engine: Engine) -> dict[str, Any]:
    """What makes two runs the same run; see results/settings.py.

    Raises
    ------
    ValueError
        When functions of the model were replaced: nobody could say by a name what they compute.
    """
    origin = origin_of(engine.llm, engine.scorer)
    name, tasks = Path(engine.llm.name).name, [one.task for one in planned]
    return settings_of(name, origin, asking, tasks, engine.max_length)
