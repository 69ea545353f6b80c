"""All commands with their options, as typer reads them."""

from __future__ import annotations

from typing import Annotated

import typer

from . import bench, chat, data, generate, learn, models, train
from .align import commands as align
from .common.output import write
from .evaluation import commands as evaluation

app = typer.Typer(
    help="LLaMA 2 from scratch in NumPy and Numba: run, inspect and convert real models.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False
) -> None:
    if version:
        from .. import __version__

        write(f"minillama {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        write(context.get_help())
        raise typer.Exit


for command in (generate, chat, models, bench, data, learn, train, align, evaluation):
    command.register(app)


def run() -> int:
    """Run the command that the process was started with: the exit code; errors are raised."""
    try:
        return app(standalone_mode=False) or 0
    except typer.Exit as exit_:
        return exit_.exit_code
