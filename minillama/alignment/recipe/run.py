"""A whole run of the recipe: settings that are fixed when it begins, then its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...compute.threads import most_threads, set_threads
from ...training.run_folder import RunError
from .pipeline import Ended, Observer, RecipeFolder, Step, last_step, made_steps, run_pipeline
from .settings import (
    PRESETS,
    RecipeSettings,
    changed_since,
    check_limits,
    differences,
    format_recipe,
    made_with,
    preset_named,
    read_recipe,
)
from .steps.chat import beside
from .steps.shared import check_sources, fetch_base
from .worlds import steps_of, world_of

_HEAD = "The settings of this run, fixed when it began; `minillama align --out FOLDER --resume` goes on with them."
DEFAULT_PRESET = "story"
_SHOWN = {"chat": ("chat.gguf",), "report": ("report.html", "report.md")}


def chosen_settings(
    folder: RecipeFolder,
    *,
    preset: str | None = None,
    config: Path | None = None,
    **options: Any,
) -> RecipeSettings:
    """The settings that a person asks for; what is not given is as in the run that goes on, or as in the preset.

    Parameters
    ----------
    **options
        Of `with_options`.

    Raises
    ------
    ValueError
        When there is no such preset, the settings are wrong, or nothing here can run them.
    """
    if preset is None and config is None and folder.has_begun:
        base = read_recipe(folder.settings)
    else:
        found = preset_named(preset or DEFAULT_PRESET)
        if not found.runs and config is None:
            raise ValueError(
                f"the preset {found.name} is the paper's: --print-config prints it, a cluster ran it. "
                f"Presets to run here: {', '.join(one.name for one in PRESETS.values() if one.runs)}"
            )
        base = found.settings if config is None else read_recipe(config, found.settings)
    return with_options(base, **options)


def with_options(
    base: RecipeSettings,
    *,
    model: str | None = None,
    text: Path | None = None,
    pairs: Path | None = None,
    conversations: Path | None = None,
    seed: int | None = None,
    threads: int | None = None,
) -> RecipeSettings:
    """Settings with what the command line gives in place of their own; files by their whole paths."""
    given: dict[str, Any] = {
        "model": model,
        "text": None if text is None else str(text.absolute()),
        "pairs": None if pairs is None else str(pairs.absolute()),
        "conversations": None if conversations is None else str(conversations.absolute()),
        "seed": seed,
        "threads": threads,
    }
    return replace(base, recipe=replace(base.recipe, **{k: v for k, v in given.items() if v is not None}))


def fetch_model(
    folder: RecipeFolder, settings: RecipeSettings, until: str | None, progress: Callable[[int, int | None, str], None]
) -> None:
    """Have the base model on this machine before a run begins, so that its download is seen.

    Parameters
    ----------
    folder : RecipeFolder
        Once a step is over the model is in there.
    until : str, optional
        The last step to do.
    progress : callable
        Told of a download: (bytes done, bytes in all or None, label). All else that can be wrong is looked at before.

    Raises
    ------
    ValueError
        When there is no such model, or it would be fetched for settings that are wrong. DownloadError when it cannot
        be fetched.
    """

    def check() -> None:
        world_of(settings).check(settings)
        check_limits(settings)
        last_step(steps_of(settings), until)

    if not made_steps(folder):
        fetch_base(settings, progress, check)


def run_recipe(
    folder: RecipeFolder,
    settings: RecipeSettings,
    observer: Observer,
    *,
    resume: bool = False,
    until: str | None = None,
    resume_command: str = "--resume",
    stop: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run the recipe, or what is left of it.

    Parameters
    ----------
    folder : RecipeFolder
    settings : RecipeSettings
        A run is not resumed with others.
    observer : Observer
    resume : bool
        Go on with the run in `folder`; without it a folder that holds one is refused.
    until : str, optional
        The last step to do.
    resume_command : str
        What a person types to go on, for messages.
    stop : callable
        Asked now and then; when it says True the run ends, and can be resumed.

    Raises
    ------
    ValueError
        When a run cannot begin with these settings; nothing is written then. RunError, one of them, when the folder is
        in use or of another run, or something cannot be written.
    """
    folder.check(resume)
    if not folder.has_begun:
        _check_settings(settings)
    steps = steps_of(settings)
    last_step(steps, until)  # complain before a folder is made
    with folder.lock():
        before = read_recipe(folder.settings) if folder.has_begun else None
        settings = _fixed(settings, before, folder, observer)
        _tell_changes(folder, settings, observer)
        folder.begin(format_recipe(settings, _HEAD))
        set_threads(settings.recipe.threads)
        ended = run_pipeline(
            steps,
            folder,
            settings,
            observer,
            threads=settings.recipe.threads,
            until=until,
            resume_command=resume_command,
            stop=stop,
            made_with=partial(made_with, settings),
        )
        put_beside(steps, folder)
        return ended


def put_beside(steps: Sequence[Step], folder: RecipeFolder) -> None:
    """Copy again what steps keep for the folder of the run, where the copies were deleted."""
    for number, step in enumerate(steps, 1):
        for name in _SHOWN.get(step.name, ()):
            made = folder.step(number, step.name) / name
            if made.exists() and not folder.file(name).exists():
                beside(made, folder.file(name))


def _check_settings(settings: RecipeSettings) -> None:
    """Of a run that begins, which fixes its settings: what is wrong with them is to be found before."""
    world_of(settings).check(settings)
    check_limits(settings)
    check_sources(settings)


def _fixed(
    settings: RecipeSettings, before: RecipeSettings | None, folder: RecipeFolder, observer: Observer
) -> RecipeSettings:
    """With a number of threads; checked against those that the run began with."""
    threads = min(settings.recipe.threads or most_threads(), most_threads())
    if before is not None:
        if not before.recipe.threads:  # a run fixes all of them
            raise RunError(
                f"{folder.settings} has lost a part of the settings that the run began with: put the whole file there "
                "again, or choose another folder with --out"
            )
        if changed := differences(before, settings):
            raise RunError(
                f"{folder.path} was begun with other settings ({'; '.join(changed)}): resume it without them, or "
                "choose another folder with --out"
            )
        threads = min(settings.recipe.threads or before.recipe.threads, most_threads())
        if threads != before.recipe.threads:
            observer.note(
                f"{before.recipe.threads} threads before, {threads} now: the last digits will differ from an "
                "uninterrupted run"
            )
    return replace(settings, recipe=replace(settings.recipe, threads=threads))


def _tell_changes(folder: RecipeFolder, settings: RecipeSettings, observer: Observer) -> None:
    """Of steps that are over: which were made with other settings than recipe.toml has now, as somebody edited it."""
    made = {name: done.settings for name, done in made_steps(folder).items()}
    try:
        changes = changed_since(made, settings)
    except ValueError as error:
        raise RunError(
            f"{folder.settings}: {error}. Put back what was there before, or choose another folder with --out"
        ) from None
    if changes:
        observer.note(
            f"warning: {changes}. What is over stays as it is; to make a step again delete its folder and those of "
            "the steps after it"
        )
