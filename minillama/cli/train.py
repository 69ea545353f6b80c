"""`minillama train`: the options, progress on a terminal or as lines, and what is said at the end."""

from __future__ import annotations

import shlex
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common.output import compile_notice, note, write
from .common.streams import prints_to_stderr
from .common.terminal import stderr

if TYPE_CHECKING:
    from ..training.settings import TrainSettings
    from ..training.trainer import Outcome
    from .own import LearnersTraining


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(train)


def train(
    config: Annotated[Path | None, typer.Argument(help="Settings (TOML); see --preset NAME --print-config.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run; runs/NAME by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the newest checkpoint in --out.")] = False,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="The last step, in place of the settings'.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use; all by default.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Begin with these settings: 7B … 70B (the paper's), stories1M …")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the settings as TOML and train nothing.")
    ] = False,
    own: Annotated[Path | None, typer.Option("--with", help="Train with your own functions in this folder.")] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="With --with: functions that do not pass, too.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Pretrain a model on token shards; may be interrupted and resumed at any time."""
    if print_config:
        write(_config_text(config, preset))
        return
    if unchecked and own is None:
        raise ValueError("--unchecked goes with --with FOLDER")
    folder = _run_folder(config, out, preset, resume)
    settings = _settings(config, preset, folder)
    command = _resume_command(config, preset, folder, steps, own, unchecked)
    with nullcontext() if own is None else prints_to_stderr():
        learner = None if own is None else _learner(own, unchecked, settings)
        outcome = _train(settings, folder, steps, threads, resume, command, quiet, learner)
    _conclude(settings, folder, outcome, command, quiet)


def _config_text(config: Path | None, preset: str | None) -> str:
    from ..training.presets import preset as find
    from ..training.settings_toml import format_preset, format_settings, read_settings

    if config is not None:
        tables = None if preset is None else find(preset).tables
        return format_settings(read_settings(config, tables), config.parent)
    if preset is None:
        from ..training.presets import PRESETS

        raise ValueError(f"--print-config prints CONFIG or --preset NAME; presets: {', '.join(PRESETS)}")
    return format_preset(find(preset))


def _run_folder(config: Path | None, out: Path | None, preset: str | None, resume: bool) -> Path:
    if config is None and preset is not None:
        raise ValueError(
            f"a preset does not say where the data is: minillama train --preset {preset} --print-config > my.toml, "
            "fill in [data], then minillama train my.toml"
        )
    if config is None and (out is None or not resume):
        raise ValueError(
            "give CONFIG.toml to train (see --preset NAME --print-config), or --out RUN --resume to continue"
        )
    return out if out is not None else Path("runs") / (config or Path()).stem


def _settings(config: Path | None, preset: str | None, folder: Path) -> TrainSettings:
    from ..training.presets import preset as find
    from ..training.settings_toml import read_settings

    if config is not None:
        return read_settings(config, None if preset is None else find(preset).tables)
    if not (folder / "config.toml").is_file():
        raise ValueError(f"{folder} holds no run that could be resumed: there is no config.toml")
    return read_settings(folder / "config.toml")


def _resume_command(
    config: Path | None, preset: str | None, folder: Path, steps: int | None, own: Path | None, unchecked: bool
) -> str:
    words = ["minillama", "train", *([] if config is None else [str(config)])]
    words += ["--preset", preset] if preset is not None else []
    words += ["--out", str(folder), "--resume"]
    words += [] if own is None else ["--with", str(own), *(["--unchecked"] if unchecked else [])]
    return shlex.join(words + (["--steps", str(steps)] if steps is not None else []))


def _learner(folder: Path, unchecked: bool, settings: TrainSettings) -> LearnersTraining:
    from .own import LearnersTraining

    return LearnersTraining(folder, unchecked=unchecked, n_micro=settings.data.micro_batches)


def _train(
    settings: TrainSettings,
    folder: Path,
    steps: int | None,
    threads: int | None,
    resume: bool,
    command: str,
    quiet: bool,
    learner: LearnersTraining | None = None,
) -> tuple[Outcome, int]:
    """Run to the end or to an interrupt; also the number of the signal that stopped it, or 0."""
    from ..training.functions import PACKAGE
    from ..training.pretraining import prepare, settings_before
    from ..training.run_folder import RunFolder
    from ..training.signals import stop_on_signals
    from ..training.trainer import train

    run = RunFolder(folder)
    run.check(resume)  # before minutes of reading
    stage = prepare(settings, settings_before(run))
    if resume and not run.has_begun and not quiet:
        note(f"there is no run in {folder} yet: starting one")
    shown = _Silent() if quiet else _Shown(stage.settings.run.log_every)
    compiling = nullcontext() if quiet else compile_notice()
    functions = PACKAGE if learner is None else learner.functions()
    blaming = nullcontext() if learner is None else learner.blaming()
    with compiling, shown.drawing(), stop_on_signals(shown.note) as request, blaming:
        outcome = train(
            stage,
            run,
            shown,
            steps=steps,
            threads=threads,
            resume=resume,
            resume_command=command,
            stop=request,
            functions=functions,
        )
    return outcome, request.signal


def _conclude(settings: TrainSettings, folder: Path, ended: tuple[Outcome, int], command: str, quiet: bool) -> None:
    """Draw the curves, say where everything is, and how to continue after an interrupt."""

    outcome, number = ended
    tell = (lambda text: None) if quiet else note
    if outcome.interrupted:
        note(f"stopped after step {outcome.step}, saved {outcome.checkpoint}; continue with: {command}")
    tell(_draw(settings, folder))
    if outcome.interrupted:
        raise typer.Exit(143 if number == signal.SIGTERM else 130)
    tell(f"try it: minillama generate --model {shlex.quote(str(folder))} --prompt 'Once upon a time'")
    write(f"{outcome.checkpoint}\n")


def _draw(settings: TrainSettings, folder: Path) -> str:
    """Draw the curves and say where, or why not: the run itself is over and saved."""
    from ..training.curves import draw_curves

    try:
        return f"curves: {draw_curves(folder, clip_norm=settings.optimizer.clip_norm, title=folder.name)}"
    except (OSError, ValueError) as error:
        return f"no curves were drawn: {error}"


# --- progress ----------------------------------------------------------------------------


class _Silent:
    """Watches a run without a word."""

    @contextmanager
    def drawing(self) -> Iterator[None]:
        yield

    def begin(self, step: int, steps: int) -> None:
        pass

    def row(self, row: dict[str, Any]) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class _Shown(_Silent):
    """A bar on a terminal; elsewhere a line every `log_every` steps and for each validation."""

    def __init__(self, log_every: int) -> None:
        self._log_every, self._steps, self._width = log_every, 0, 1
        self._bar: Any = None
        self._task: Any = None
        self._speeds: deque[float] = deque(maxlen=50)
        self._began, self._first = time.monotonic(), 0

    @contextmanager
    def drawing(self) -> Iterator[None]:
        if not stderr.is_terminal:
            yield
            return
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        on_one_line = Column(no_wrap=True, overflow="ellipsis")
        columns = (
            TextColumn("{task.completed}/{task.total}"),
            BarColumn(bar_width=6),
            TextColumn("{task.fields[text]}", table_column=on_one_line, markup=False),
        )
        with Progress(*columns, console=stderr) as self._bar:
            yield
        self._bar = None

    def begin(self, step: int, steps: int) -> None:
        self._steps, self._first, self._width = steps, step, len(str(steps))
        self._began = time.monotonic()
        if step:
            self.note(f"continuing after step {step}")
        if self._bar is not None:
            self._task = self._bar.add_task("training", total=steps, completed=step, text="")

    def row(self, row: dict[str, Any]) -> None:
        step = row["step"]
        self._speeds.append(row["tokens_per_second"])
        text = self._text(row)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, text=text)
        elif step % self._log_every == 0 or step in (self._first + 1, self._steps):
            note(f"step {step:>{self._width}}/{self._steps}  {text}")
        if "validation_loss" in row:
            self.note(
                f"step {step:>{self._width}}  validation loss {row['validation_loss']:.4f}  "
                f"perplexity {row['perplexity']:,.2f}  {row['bits_per_byte']:.4f} bits per byte"
            )

    def _text(self, row: dict[str, Any]) -> str:
        speed = len(self._speeds) / sum(1 / one for one in self._speeds)
        seconds = (time.monotonic() - self._began) / (row["step"] - self._first)
        left = _duration(seconds * (self._steps - row["step"]))
        return (
            f"loss {row['loss']:.4f}  lr {row['learning_rate']:.1e}  norm {row['gradient_norm']:.2f}  "
            f"{speed:,.0f} tokens/s  {left} left"
        )

    def note(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, style="dim")
        else:
            note(text)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
