"""`minillama align`, and the commands under it."""

from __future__ import annotations

from types import ModuleType

import typer

from . import collect, recipe

# Each has a register(app) for a command of its own.
PARTS: tuple[ModuleType, ...] = (collect,)


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    align = typer.Typer(help=recipe.HELP, invoke_without_command=True)
    align.callback()(recipe.align)
    for part in PARTS:
        part.register(align)
    app.add_typer(align, name="align")
