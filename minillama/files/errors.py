"""The one error of a damaged, foreign or unsupported model file."""

from __future__ import annotations

from os import PathLike


class CheckpointError(ValueError):
    """A model or tokenizer file cannot be used; the message says which, where and why.

    Parameters
    ----------
    path : path-like
        The file.
    field : str
        The field, tensor or key at fault.
    problem : str
        What was expected and what was found.
    """

    def __init__(self, path: str | PathLike[str], field: str, problem: str) -> None:
        self.path, self.field, self.problem = str(path), field, problem
        super().__init__(f"{path}: {field}: {problem}")
