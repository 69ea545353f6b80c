"""`Sources`: the documents of a dataset's split, from the reader's folders or else from the Hub, each one checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ..common.task import Dataset, Document
from .errors import DocumentError
from .formats import read_rows
from .hub import hub_files, parse_hub
from .originals import as_on_the_hub, mmlu_row, with_label
from .pages import page_rows
from .places import Name, find, looked_for, name_of
from .rows import MAX_ROWS, Row, csv_cells, label_lines, shown
from .schemas import from_cells, schema_of

__all__ = ["DocumentError", "Sources", "read_documents"]

_LABELS = {"piqa": "label", "winogrande": "answer"}  # in a file of their own, beside the questions
_KEYS = {"triviaqa": "Data"}


class Sources:
    """Where to look for documents.

    Parameters
    ----------
    folders : sequence of Path
        Looked into in this order.
    hub : bool
        Whether the Hugging Face Hub may be asked for what no folder has.
    """

    def __init__(self, folders: Sequence[Path] = (), hub: bool = True) -> None:
        self.folders, self.hub = [Path(folder) for folder in folders], hub
        self._read: dict[tuple[Path, ...], list[Document]] = {}

    def split(self, dataset: Dataset, split: str) -> list[Document]:
        """The documents of a split, in order, with the Hub's field names.

        Parameters
        ----------
        dataset : Dataset
        split : str
            "test", "validation", "train", "dev".

        Raises
        ------
        DocumentError
            Where no file holds them, several could, or one is malformed: with file and line, and what to do.
        """
        name = name_of(dataset.name)
        paths = self._paths(dataset, name, split)
        if tuple(paths) not in self._read:
            self._read[tuple(paths)] = read_documents(paths, name)
        documents = self._read[tuple(paths)]
        if name.subject and paths[0].parent.name == "mmlu":
            return _of_subject(documents, name.subject, paths[0])
        return documents

    def _paths(self, dataset: Dataset, name: Name, split: str) -> list[Path]:
        """The files that hold the split: of the first folder that has it, or the Hub's."""
        subset = parse_hub(dataset.hub).subset
        for folder in self.folders:
            if found := find(folder, name, split, subset):
                return found
        own = [folder for folder in self.folders if not folder.is_relative_to(_PACKAGE)]
        missing = f"no documents of {name.name} ({split}): {looked_for(own, name, split)}"
        if not self.hub:
            raise DocumentError(
                f"{missing}; put one into DIR/{name.name} and give DIR as a folder of data (--data DIR), or allow the "
                f"Hub to be asked for {dataset.hub}"
            )
        try:
            return hub_files(dataset.hub, split)
        except DocumentError as error:
            raise DocumentError(f"{missing}; and from the Hub: {error}") from None


# Whose own documents nobody adds to.
_PACKAGE = Path(__file__).parents[2]


def read_documents(paths: Sequence[Path], name: Name) -> list[Document]:
    """The documents of files that hold a split together, each one converted and checked."""
    documents: list[Document] = []
    schema = schema_of(name.family)
    for path in paths:
        labels = _labels_beside(path, name.family)
        count = 0
        for line, row in _rows(path, name):
            if labels and _LABELS[name.family] not in row:
                if count >= len(labels):
                    raise DocumentError(f"expected a label for each document, found {len(labels)}", path, line)
                row = with_label(name.family, row, labels[count])
            row = as_on_the_hub(name.family, row, len(documents))
            if problem := schema.problem_of(row):
                raise DocumentError(problem, path, line)
            documents.append(row)
            count += 1
            if len(documents) > MAX_ROWS:
                raise DocumentError(f"expected at most {MAX_ROWS} documents, found more", path, line)
        if labels and count < len(labels):
            raise DocumentError(f"expected {len(labels)} documents, as many as its labels, found {count}", path)
    if not documents:
        raise DocumentError("expected documents, found none", paths[0])
    return documents


def _rows(path: Path, name: Name) -> Iterator[Row]:
    """The rows of a file as they lie in it."""
    if name.family == "wikitext" and path.suffix in (".raw", ".tokens"):
        return page_rows(path)
    if name.family == "mmlu" and path.suffix == ".csv" and name.subject and path.stem.startswith(name.subject + "_"):
        return _mmlu_rows(path, name.subject)
    rows = read_rows(path, _KEYS.get(name.family))
    if path.suffix.lower() == ".csv":
        return ((line, from_cells(name.family, row)) for line, row in rows)
    return rows


def _mmlu_rows(path: Path, subject: str) -> Iterator[Row]:
    for line, cells in csv_cells(path):
        row = mmlu_row(cells, subject)
        if isinstance(row, str):
            raise DocumentError(row, path, line)
        yield line, row


def _labels_beside(path: Path, family: str) -> list[str]:
    """The labels of dev.jsonl in dev-labels.lst, where the dataset has such files and this one is there."""
    beside = path.with_name(f"{path.stem}-labels.lst")
    return label_lines(beside) if family in _LABELS and beside.is_file() else []


def _of_subject(documents: Sequence[Document], subject: str, path: Path) -> list[Document]:
    """The documents of one subject, out of a file of all."""
    found = [document for document in documents if document.get("subject") == subject]
    if not found:
        there: Any = sorted({str(document.get("subject"))[:40] for document in documents})
        some = ", ".join(chain(there[:5], ["…"] if len(there) > 5 else []))
        problem = f"expected documents with {shown(subject)} as their subject, found only those of {some}"
        raise DocumentError(problem, path)
    return found
