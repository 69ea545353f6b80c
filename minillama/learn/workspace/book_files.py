"""Where the book's own files are: in a clone, or among the data that was installed with the package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path, PurePosixPath

from .learners_file import WorkspaceError

FOLDER = "notebooks"
PATTERNS = ("*.ipynb", "*.md", "*.svg", "stages/*", "stages/*/*")
"""What a reader gets of it; pyproject.toml installs the same."""
_CLONE = Path(__file__).resolve().parents[3]


def book_files() -> dict[str, Path]:
    """The files of the book by their paths in it: "05_rope.ipynb", "stages/ppo.gguf".

    Raises
    ------
    WorkspaceError
        Where the book is neither in a clone nor installed.
    """
    root = _CLONE / FOLDER
    paths = [path for pattern in PATTERNS for path in sorted(root.glob(pattern)) if path.is_file()]
    found = {path.relative_to(root).as_posix(): path for path in paths} or _installed()
    if not found:
        raise WorkspaceError("the book was not installed with the package: install that again, or use a clone")
    return found


def _installed() -> dict[str, Path]:
    try:
        listed = files("minillama") or []
    except PackageNotFoundError:
        return {}
    found = {}
    for part in listed:
        before, _, name = part.as_posix().partition(f"share/minillama/{FOLDER}/")
        if name and not before.strip("./"):  # as a wheel's data is listed: ../../../share/…
            path = Path(str(part.locate()))
            if path.is_file() and any(PurePosixPath(name).match(pattern) for pattern in PATTERNS):
                found[name] = path
    return found
