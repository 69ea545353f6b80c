"""The book in the learner's folder: copies that are theirs to write in, which a newer book does not overwrite."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ...files.atomic import atomic_write
from ..chapters.catalogue import chapter_packages
from ..chapters.texts import file_name
from .book_files import FOLDER, book_files
from .learners_file import WorkspaceError

_RECORD = ".book.json"  # in FOLDER: the sha256 of each file as the book last had it


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
        Paths in the copy of the files that were written.

    Raises
    ------
    WorkspaceError
        Where the book is neither in a clone nor installed, or the folder cannot be written.
    """
    target, news = folder / FOLDER, []
    try:
        target.mkdir(parents=True, exist_ok=True)
        known = _read_record(target / _RECORD)
        for name, source in sorted(book_files().items()):
            content = source.read_bytes()
            sum_ = hashlib.sha256(content).hexdigest()
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            last, known[name] = known.get(name), sum_
            if path.exists():
                theirs = hashlib.sha256(path.read_bytes()).hexdigest()
                if sum_ in (last, theirs):  # they have had this edition
                    continue
                if theirs != last:
                    path = path.with_name(f"{path.stem}.new{path.suffix}")
            with atomic_write(path) as file:
                file.write(content)
            news.append(path.relative_to(target).as_posix())
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


def _read_record(path: Path) -> dict[str, str]:
    try:
        return {str(name): str(sum_) for name, sum_ in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        return {}  # then only what equals the book is taken for untouched
