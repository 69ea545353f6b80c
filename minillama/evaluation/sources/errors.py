"""The one error of documents: a file that is missing, damaged, or not what a task reads."""

from __future__ import annotations

from os import PathLike


class DocumentError(ValueError):
    """Documents cannot be read; the message says which file, which line, what was expected and what to do.

    Parameters
    ----------
    problem : str
        What was expected and what was found.
    path : path-like, optional
        The file, where there is one.
    line : int, optional
        From 1; of a Parquet file the row.
    """

    def __init__(self, problem: str, path: str | PathLike[str] | None = None, line: int | None = None) -> None:
        self.problem, self.path, self.line = problem, None if path is None else str(path), line
        where = "" if path is None else f"{path}: " if line is None else f"{path}, line {line}: "
        super().__init__(where + problem)
