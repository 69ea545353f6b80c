"""`minillama align collect`: pairs of answers, and which of each is better: by programs or a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.given import STORY_TELLER
from ..common.output import compile_notice, note, write
from ..evaluation.rate import count_bar

if TYPE_CHECKING:
    from ...alignment.models import ChatModel, Prompt
    from ...alignment.preferences import Annotator, Candidates

_SOURCES, _JUDGES = "What is compared", "Who compares"
_OF_THE_WORLD = ("story-helpful", "story-safe")
ANNOTATORS = "story-helpful, story-safe (of the story world), or reward=FOLDER of a reward model"


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command()(collect)


def collect(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where answers and comparisons are kept.")],
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", help='JSONL of {"prompt": …} or {"messages": […]}.', rich_help_panel=_SOURCES),
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option("--requests", min=1, help="So many requests of the story world.", rich_help_panel=_SOURCES),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="What answers; twice for two variants.", rich_help_panel=_SOURCES),
    ] = None,
    template: Annotated[
        str, typer.Option("--template", help="The chat format, or own: the model's.", rich_help_panel=_SOURCES)
    ] = "llama-2",
    temperatures: Annotated[
        list[float] | None,
        typer.Option("--temperature", "-t", help="Two or more; 0.5, 0.7, 0.9, 1.1.", rich_help_panel=_SOURCES),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", "-n", min=1, help="Of an answer.", rich_help_panel=_SOURCES)
    ] = 160,
    annotators: Annotated[
        list[str] | None, typer.Option("--annotator", help=f"{ANNOTATORS}; several times.", rich_help_panel=_JUDGES)
    ] = None,
    rater: Annotated[
        str | None, typer.Option("--rater", help="Your name: you compare, blind.", rich_help_panel=_JUDGES)
    ] = None,
    safety: Annotated[
        bool, typer.Option("--safety", help="You also mark unsafe answers.", rich_help_panel=_JUDGES)
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of answers, of their order and of noise.")] = 0,
) -> None:
    """Sample two answers to every prompt and ask which is better, with four strengths.

    Answers and what is said are kept at once: the same command goes on where it was stopped. To a folder that has
    begun no prompts, requests or models can be added: for others take another folder. Each annotator's comparisons
    are written to FOLDER/comparisons/NAME.jsonl, which reward models are trained on. Two answers that are the same
    are not compared.
    """
    from ...alignment.preferences import SamplingSettings, sample_candidates

    if not annotators and rater is None:
        raise ValueError(f"say who compares: --annotator NAME ({ANNOTATORS}) or --rater YOURNAME")
    if prompts is not None and (world := [name for name in annotators or () if name in _OF_THE_WORLD]):
        raise ValueError(
            f"--annotator {world[0]} knows requests of the story world alone (--requests N): answers to prompts of "
            "a file are compared by reward=FOLDER, or by you (--rater YOURNAME)"
        )
    given = tuple(temperatures or SamplingSettings.temperatures)
    settings = SamplingSettings(temperatures=given, max_tokens=max_tokens, seed=seed)
    asked, programs = _prompts(prompts, requests, seed), {name: _annotator(name) for name in annotators or ()}
    variants = _variants(models, template)
    try:
        with compile_notice(), count_bar("answers") as progress:
            pairs = sample_candidates(variants, asked, folder, settings, progress=progress)
        for name, annotator in programs.items():
            _annotate(folder, pairs, name, annotator, seed)
        if rater is not None:
            _ask(folder, pairs, rater, safety, seed)
    except KeyboardInterrupt:
        note("interrupted; the same command goes on where it stopped")
        raise typer.Exit(130) from None


def _prompts(path: Path | None, requests: int | None, seed: int) -> Sequence[Prompt]:
    from ...alignment.models import Prompt
    from ...alignment.story_world import draw_requests
    from ...evaluation.preference import read_prompts

    if (path is None) == (requests is None):
        raise ValueError("say what is asked, in one way: --prompts FILE or --requests N")
    if path is not None:
        return [Prompt(prompt.id, prompt.dialogue) for prompt in read_prompts(path)]
    assert requests is not None
    return [request.prompt() for request in draw_requests("train", requests, seed)]


def _variants(models: list[str] | None, template: str) -> list[ChatModel]:
    from ...alignment.models import ChatModel

    if not models:
        raise ValueError("say what answers: --model MODEL, a checkpoint of a stage, a file or a known name")
    return [ChatModel.load(name, None if template == "own" else template) for name in models]


def _annotate(folder: Path, pairs: Sequence[Candidates], name: str, annotator: Annotator, seed: int) -> None:
    from ...alignment.preferences import annotate

    # a reward model's folder may have any name: what is kept is named by its last part
    kept = folder / "comparisons" / f"{name.replace('=', '-').replace('/', '_')}.jsonl"
    with compile_notice(), count_bar(name) as progress:
        found = annotate(pairs, annotator, kept, source=name, seed=seed, progress=progress)
    _conclude(kept, len(found), pairs, name)


def _annotator(name: str) -> Annotator:
    kind, _, place = name.partition("=")
    if kind in _OF_THE_WORLD and not place:
        from ...alignment.models import ChatModel
        from ...alignment.story_world import BaseFluency, StoryAnnotator

        base = ChatModel.load(STORY_TELLER)
        fluency = BaseFluency(base.params, base.config, base.tokenizer)
        return StoryAnnotator.of(fluency, "safe" if kind == "story-safe" else "helpful")
    if kind == "reward" and place:
        from ...alignment.models import ChatModel
        from ...alignment.preferences import NoisyAnnotator
        from ...alignment.reward import read_scorer

        chat = ChatModel.load(place)
        return NoisyAnnotator(read_scorer(Path(place), tokenizer=chat.tokenizer, chat=chat.chat))
    raise ValueError(f"there is no annotator {name!r}: expected {ANNOTATORS}")


def _ask(folder: Path, pairs: Sequence[Candidates], rater: str, safety: bool, seed: int) -> None:
    """Let a person compare until they stop."""
    from ...alignment.preferences import rating_of, voted, write_comparisons
    from ...evaluation.preference import VoteLog
    from ..evaluation.rate_terminal import rate_in_terminal

    with VoteLog(folder / "votes", rater) as log:
        rating: Any = rating_of(pairs, log, seed=seed, safety=safety)
        rate_in_terminal(rating)
        found = voted(pairs, log.votes, source=rater)
        kept = folder / "comparisons" / log.path.name
    kept.parent.mkdir(exist_ok=True)
    write_comparisons(kept, found)
    _conclude(kept, len(found), pairs, rater)


def _conclude(kept: Path, n: int, pairs: Sequence[Candidates], name: str) -> None:
    same = sum(pair.are_same for pair in pairs)
    why = f"; {same} more left out, where both answers are the same" if same else ""
    note(f"{n} of {len(pairs) - same} pairs compared by {name}{why}")
    write(f"{kept}\n")
