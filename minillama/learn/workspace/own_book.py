"""The book in the learner's folder: copies that are theirs to write in, which a newer book does not overwrite."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from ...files.atomic import atomic_write
from ..chapters.catalogue import chapter_packages
from ..chapters.texts import file_name
from .learners_file import WorkspaceError

FOLDER = "notebooks"
_RECORD = ".book.json"  # in FOLDER: the sha256 of each file as the book last had it
_ENDINGS = (".ipynb", ".md", ".svg")
_CLONE = Path(__file__).resolve().parents[3]


def bring_book(folder: Path) -> list[str]:
    """Copy the book into a learner's folder, or bring the copy up to date; nothing that was edited is overwritten.

    A file that was not touched follows the book. Beside one that was, a newer edition is laid down once, as
    05_rope.new.ipynb.

    Parameters
    ----------
    folder : Path
        Of the learner; the book goes to its `notebooks`.

    Returns
    -------
    news : list of str
        Names of the files that were written.

    Raises
    ------
    WorkspaceError
        Where the book is neither in a clone nor installed, or the folder cannot be written.
    """
    target, news = folder / FOLDER, []
    try:
        target.mkdir(parents=True, exist_ok=True)
        known = _read_record(target / _RECORD)
        for source in sorted(_book()):
            content = source.read_bytes()
            sum_ = hashlib.sha256(content).hexdigest()
            path = target / source.name
            last, known[source.name] = known.get(source.name), sum_
            if path.exists():
                theirs = hashlib.sha256(path.read_bytes()).hexdigest()
                if sum_ in (last, theirs):  # they have had this edition
                    continue
                if theirs != last:
                    path = path.with_name(f"{path.stem}.new{path.suffix}")
            with atomic_write(path) as file:
                file.write(content)
            news.append(path.name)
        with atomic_write(target / _RECORD) as file:
            file.write(json.dumps(known, indent=1).encode())
    except OSError as error:
        raise WorkspaceError(f"{error.filename or target}: {error.strerror or error}") from error
    return news


def notebook_of(chapter: str) -> str:
    """The name of a chapter's notebook: "05" to "05_rope.ipynb".

    Raises
    ------
    WorkspaceError
        When there is no such chapter.
    """
    names = [file_name(package).replace(".py", ".ipynb") for package in chapter_packages()]
    found = [name for name in names if chapter in (name[:2], name, name.removesuffix(".ipynb"))]
    if not found:
        raise WorkspaceError(f"there is no chapter {chapter!r}: {names[0][:2]} to {names[-1][:2]}")
    return found[0]


def _book() -> list[Path]:
    """The files of the book: those of a clone, or those that were installed with the package."""
    found = [path for path in (_CLONE / FOLDER).glob("*") if path.suffix in _ENDINGS]
    if not found:
        found = [path for path in _installed() if path.suffix in _ENDINGS and path.is_file()]
    if not found:
        raise WorkspaceError("the book was not installed with the package: install that again, or use a clone")
    return found


def _installed() -> list[Path]:
    try:
        parts = files("minillama") or []
    except PackageNotFoundError:
        return []
    return [Path(str(part.locate())) for part in parts if part.parts[-3:-1] == ("minillama", FOLDER)]


def _read_record(path: Path) -> dict[str, str]:
    try:
        return {str(name): str(sum_) for name, sum_ in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        return {}  # then only what equals the book is taken for untouched
