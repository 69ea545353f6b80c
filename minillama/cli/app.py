"""The command line: `generate`, `chat`, `tokenize`, `info`, `models`, `pull`, `convert`, `doctor`, `bench` and more.

Text goes to stdout and everything else to stderr, so that a pipe carries only the answer.
Heavy imports happen inside the commands: `minillama --help` is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from . import bench, chat, data, generate, learn, models, train
from .output import fail, note_warnings, write
from .streams import OutputError, prepare_streams

app = typer.Typer(
    help="LLaMA 2 from scratch in NumPy and Numba: run, inspect and convert real models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        from .. import __version__

        write(f"minillama {__version__}\n")
        raise typer.Exit


for command in (generate, chat, models, bench, data, learn, train):
    command.register(app)


def main() -> None:
    """Entry point: run a command, with errors as one sentence and an exit code."""
    note_warnings()
    try:
        prepare_streams()
        code = _run()
        write("")  # what a library has left for the end of the process
    except OutputError as error:
        code = fail(str(error))
    sys.exit(code)


def _run() -> int:
    from ..checkpoints.hub.downloads import DownloadError

    try:
        return app(standalone_mode=False) or 0
    except OutputError:
        raise
    except KeyboardInterrupt:
        return 130
    except typer.Exit as exit_:
        return exit_.exit_code
    except (ValueError, DownloadError, OSError, MemoryError) as error:
        return fail(_sentence(error))
    except Exception as error:
        if not hasattr(error, "format_message"):  # a wrong option: typer's own
            raise
        return fail(error.format_message() + " (see --help)", getattr(error, "exit_code", 2))


def _sentence(error: Exception) -> str:
    """What an error says; one of the operating system without its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


if __name__ == "__main__":
    main()
