"""`minillama learn lab`: the book in JupyterLab, as the reader's own copy."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from .common.output import note


def register(learn: typer.Typer) -> None:
    """Add the command to `minillama learn`; what it does not know are options of `jupyter lab`."""
    learn.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lab)


def lab(
    context: typer.Context,
    chapter: Annotated[str | None, typer.Argument(help="05; by default that of your next exercise.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", "-d", help="Your folder; by default the one used last.")
    ] = None,
) -> None:
    """Open the book in JupyterLab, as a copy in your folder; options of `jupyter lab` may follow, as --no-browser."""
    from ..learn.workspace.book_files import FOLDER
    from ..learn.workspace.folder import find_workspace
    from ..learn.workspace.learners_file import WorkspaceError
    from ..learn.workspace.own_book import bring_book, notebook_of

    if chapter is not None and chapter.startswith("-"):
        context.args.insert(0, chapter)
        chapter = None
    workspace = find_workspace(folder)
    upcoming = workspace.next_exercise()
    name = notebook_of(chapter or (upcoming.chapter if upcoming else "00"))
    news = bring_book(workspace.folder)
    if news:
        note(f"{workspace.folder / FOLDER}: {len(news)} new")
    for newer in [name for name in news if ".new." in name]:
        note(f"{newer} is the book's newer edition; your copy stays as it is")
    try:
        from jupyterlab.labapp import LabApp
    except ModuleNotFoundError as error:
        raise WorkspaceError('no JupyterLab is installed: pip install "minillama[notebooks]"') from error
    # A terminal that is opened in JupyterLab finds `minillama`, too.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    root, page = workspace.folder.resolve(), f"/lab/tree/{FOLDER}/{name}"
    LabApp.launch_instance([f"--ServerApp.root_dir={root}", f"--LabApp.default_url={page}", *context.args])
