"""`minillama eval show TASK 3`: exactly what a model is asked, tokens and all; with --model also what it answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.given import STORY_TELLER
from ..common.options import Threads, TokenizerFile
from ..common.output import compile_notice, download_bar, note, write
from .list import Data

if TYPE_CHECKING:
    from ...evaluation.engine.encoding import Encoder
    from ...evaluation.run import Planned


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command("show")(show)


def show(
    task: Annotated[str, typer.Argument(help="A task; see `minillama eval list`.")],
    number: Annotated[int, typer.Argument(min=0, help="Which item, from 0.")] = 0,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Ask this model, and show how its answer is weighed.")
    ] = None,
    tokens_of: Annotated[
        str | None, typer.Option("--tokens-of", help="Show this model's tokens, without loading its weights.")
    ] = None,
    tokenizer: TokenizerFile = None,
    n_shots: Annotated[int | None, typer.Option("--fewshot", min=0, help="Examples before the question.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw of examples.")] = 1234,
    chat: Annotated[bool, typer.Option("--chat", help="With the model's chat template.")] = False,
    system: Annotated[str | None, typer.Option("--system", help="The system message.")] = None,
    data: Data = None,
    hub: Annotated[bool, typer.Option("--hub/--no-hub", help="Fetch documents that no folder has.")] = True,
    exact: Annotated[bool, typer.Option("--exact", help="All arithmetic in float32.")] = False,
    threads: Threads = None,
) -> None:
    """Show one item of a task: the prompt with its white space, the tokens at the border, the answers' weights."""
    from ...evaluation.common.task import Asking
    from ...evaluation.results.shown import border_text, item_text

    name = model or tokens_of or STORY_TELLER
    found, spelled = _encoder(name, tokenizer)
    asking = Asking(n_shots=n_shots, limit=number + 1, seed=seed, chat=chat, system=system)
    planned = _planned(task, asking, data, hub, spelled)
    if number >= len(planned.items):
        raise ValueError(f"{planned.task.name} has {planned.n_documents:,} items: the number must be below that")
    item = planned.items[number]
    write(item_text(planned.task, item, planned.n_documents, planned.n_shots))
    write(border_text(item, found))
    if model is not None:
        write(_answered(planned, number, model, tokenizer, threads, exact))
    elif tokens_of is None:
        note(f"tokens of {name}; --tokens-of MODEL shows another's, --model MODEL asks one")


def _planned(task: str, asking: Any, data: list[Path] | None, hub: bool, tokenizer: Any) -> Planned:
    from ...evaluation.run import plan, renderer, sources_of, tasks_of

    tasks = tasks_of(task)
    if len(tasks) > 1:
        names = ", ".join(one.name for one in tasks[:4])
        raise ValueError(f"{task} stands for {len(tasks)} tasks ({names} …): name one of them")
    render = renderer(tokenizer) if asking.chat else None
    return plan(tasks, asking, sources_of(data or [], hub), render)[0]


def _encoder(model: str, tokenizer: Path | None) -> tuple[Encoder, Any]:
    """A model's tokens and limits; its weights stay where they are."""
    from ...checkpoints.loading import open_model
    from ...evaluation.engine.encoding import Encoder

    with download_bar() as progress:
        checkpoint, own = open_model(model, tokenizer, progress=progress)
    if own is None:
        raise ValueError(f"{model} carries no tokenizer: give --tokenizer FILE")
    return Encoder(own, checkpoint.config.max_seq_len, checkpoint.config.vocab_size), own


def _answered(
    planned: Planned, number: int, model: str, tokenizer: Path | None, threads: int | None, exact: bool
) -> str:
    from ...evaluation.engine.engine import Engine
    from ...evaluation.results.shown import answers_text
    from ...evaluation.tasks.items import scored
    from ...llm import load

    item = planned.items[number]
    with compile_notice():
        engine = Engine(load(model, tokenizer=tokenizer, threads=threads, exact=exact))
        answers = engine.ask(item.requests)
    return answers_text(planned.task, scored(planned.task, item, answers))
