"""`minillama align --out RUN`: the options of the recipe, and what is said at its end."""

from __future__ import annotations

import shlex
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.options import Quiet
from ..common.output import compile_notice, download_bar, note, write
from .progress import Silent, shown

if TYPE_CHECKING:
    from ...alignment.recipe.pipeline import Ended, RecipeFolder
    from ...alignment.recipe.settings import RecipeSettings

HELP = "From a base model to one that chats: LLaMA 2's stages of alignment; may be interrupted and resumed at any time."

_STOPPING = "stopping, what is done is kept; interrupt again to stop at once, without what is at work"


def align(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run; a folder in it for each step.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="Begin with: story (an hour), minute, smollm2 (with --pairs), or 7B … 70B to print.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings (TOML), in place of the preset's; see --print-config.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Base model: a known name, a file or a run of `train`.")
    ] = None,
    text: Annotated[
        Path | None, typer.Option("--text", help="Stories to demonstrate with, besides the base model's own.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", help="For smollm2: folder with helpful- and harmless-base.jsonl.gz of hh-rlhf."),
    ] = None,
    conversations: Annotated[
        Path | None, typer.Option("--conversations", help="For smollm2: JSONL of messages, to be fine-tuned on first.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The same seed gives the same model.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use; all by default.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="End after this step; --resume goes on.")] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the settings as TOML, with what the paper says.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from ...alignment.recipe.pipeline import RecipeFolder
    from ...alignment.recipe.run import chosen_settings

    given: dict[str, Any] = {
        "model": model,
        "text": text,
        "pairs": pairs,
        "conversations": conversations,
        "seed": seed,
        "threads": threads,
    }
    if print_config:
        write(_config_text(preset, config, given))
        return
    if out is None:
        raise ValueError("say where the run goes: minillama align --out RUN (see --help for its presets)")
    folder = RecipeFolder(out)
    folder.check(resume)
    settings = chosen_settings(folder, preset=preset, config=config, **given)
    if resume and not folder.has_begun and not quiet:
        note(f"there is no run in {out} yet: starting one")
    command = _resume_command()
    try:
        ended, number = _run(folder, settings, resume, until, command, quiet)
    except KeyboardInterrupt:  # the second one, or one before anything was at work
        note(f"stopped at once, what was done before is kept; continue with: {command}")
        raise typer.Exit(130) from None
    _conclude(folder, settings, ended, number, command, quiet)


def _config_text(preset: str | None, config: Path | None, given: dict[str, Any]) -> str:
    from ...alignment.recipe.run import DEFAULT_PRESET, with_options
    from ...alignment.recipe.settings import format_recipe, preset_named, read_recipe

    found = preset_named(preset or DEFAULT_PRESET)
    if config is not None:
        return format_recipe(with_options(read_recipe(config, found.settings), **given))
    return format_recipe(with_options(found.settings, **given), found.about, found.comments)


def _resume_command(*, to_the_end: bool = False) -> str:
    """What was typed, with --resume; `to_the_end` without --until."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    if to_the_end and "--until" in words:
        place = words.index("--until")
        del words[place : place + 2]
    return shlex.join(["minillama", *(w for w in words if not (to_the_end and w.startswith("--until="))), "--resume"])


def _run(
    folder: RecipeFolder, settings: RecipeSettings, resume: bool, until: str | None, command: str, quiet: bool
) -> tuple[Ended, int]:
    """Run to the end or to an interrupt; also the number of the signal that stopped it, or 0."""
    from ...alignment.recipe.run import fetch_model, run_recipe
    from ...training.signals import stop_on_signals

    with download_bar() as progress:
        fetch_model(folder, settings, until, progress)
    observer = Silent() if quiet else shown()
    compiling = nullcontext() if quiet else compile_notice()
    with compiling, observer.drawing(), stop_on_signals(observer.note, _STOPPING) as request:
        ended = run_recipe(
            folder,
            settings,
            observer,
            resume=resume,
            until=until,
            resume_command=command,
            stop=request,
        )
    return ended, request.signal


def _conclude(
    folder: RecipeFolder, settings: RecipeSettings, ended: Ended, number: int, command: str, quiet: bool
) -> None:
    """Say where everything is, and how to continue after an interrupt."""
    from ...alignment.recipe.worlds import world_of

    if ended.interrupted:
        note(f"stopped in the step {ended.step}; continue with: {command}")
        raise typer.Exit(143 if number == signal.SIGTERM else 130)
    chat, report = folder.file("chat.gguf"), folder.file("report.html")
    if not chat.exists():
        if not quiet:
            note(f"{ended.step} is over; continue with: {_resume_command(to_the_end=True)}")
        write(f"{folder.path}\n")
        return
    if not quiet:
        note(f"report card: {report}")
        asked = shlex.quote(world_of(settings).tried_with)
        note(f"try it: minillama chat --model {shlex.quote(str(chat))} {asked}")
    write(f"{chat}\n")
