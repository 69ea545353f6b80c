"""The commands under `minillama eval`."""

from __future__ import annotations

from types import ModuleType

import typer

from . import compare, contamination, rate, red_team, run, seeds, show
from . import list as listing

# Each has a register(app).
PARTS: tuple[ModuleType, ...] = (run, listing, show, compare, contamination, seeds, rate, red_team)


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    evaluation = typer.Typer(help="How good a model is, and how far the number can be trusted.", no_args_is_help=True)
    for part in PARTS:
        part.register(evaluation)
    app.add_typer(evaluation, name="eval")
