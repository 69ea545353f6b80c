"""Which files of a folder hold a split of a dataset: SPLIT.jsonl first of all, and the names that authors gave.

    DIR/NAME/SPLIT.jsonl                also .jsonl.gz, .json, .csv, .parquet, or the Hub's parquet files in parts
    DIR/NAME/AUTHOR'S FILE              DIR/arc_easy/ARC-Easy-Test.jsonl, DIR/truthfulqa/mc_task.json
    DIR/ARCHIVE/AUTHOR'S FILE           the archive as it unpacks: DIR/winogrande_1.1/dev.jsonl

Several files that could all be meant are an error: nobody can say which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import DocumentError
from .formats import ENDINGS


class Name(NamedTuple):
    """A dataset by name: what it is, and of MMLU which subject."""

    name: str
    family: str
    subject: str | None = None


class Authors(NamedTuple):
    """How a benchmark's authors distribute it."""

    archives: tuple[str, ...]
    """Folders that hold the files, below DIR and below DIR/NAME."""
    files: dict[str, tuple[str, ...]]
    """Of each split; any of them counts, and of TriviaQA all."""


def _arc(subset: str) -> Authors:
    archives = (f"ARC-V1-Feb2018-2/{subset}", f"ARC-V1-Feb2018/{subset}", subset)
    names = {"test": "Test", "validation": "Dev", "train": "Train"}
    return Authors(archives, {split: (f"{subset}-{name}.jsonl",) for split, name in names.items()})


AUTHORS: dict[str, Authors] = {
    "arc_easy": _arc("ARC-Easy"),
    "arc_challenge": _arc("ARC-Challenge"),
    "openbookqa": Authors(("OpenBookQA-V1-Sep2018/Data/Main", "Data/Main"), {"validation": ("dev.jsonl",)}),
    "piqa": Authors(("physicaliqa-train-dev",), {"validation": ("valid.jsonl", "dev.jsonl")}),
    "winogrande": Authors(("winogrande_1.1",), {"validation": ("dev.jsonl",), "train": ("train_xl.jsonl",)}),
    "hellaswag": Authors(
        ("hellaswag/data", "data"), {"validation": ("hellaswag_val.jsonl",), "train": ("hellaswag_train.jsonl",)}
    ),
    "boolq": Authors(("BoolQ",), {"validation": ("dev.jsonl", "val.jsonl")}),
    "gsm8k": Authors(("grade-school-math/grade_school_math/data",), {}),
    "truthfulqa": Authors(("TruthfulQA/data", "data"), {"validation": ("mc_task.json",)}),
    "triviaqa": Authors(
        ("triviaqa-rc/qa", "qa"),
        {"validation": ("web-dev.json", "wikipedia-dev.json"), "train": ("web-train.json", "wikipedia-train.json")},
    ),
    "nq_open": Authors(
        ("natural-questions/nq_open",), {"validation": ("NQ-open.dev.jsonl",), "train": ("NQ-open.train.jsonl",)}
    ),
    "wikitext": Authors(
        ("wikitext-2-raw", "wikitext-2-raw-v1", "wikitext-2"),
        {
            split: (f"wiki.{name}.raw", f"wiki.{name}.tokens")
            for split, name in (("test", "test"), ("validation", "valid"), ("train", "train"))
        },
    ),
}
_MMLU_SPLITS = {"test": "test", "validation": "val", "dev": "dev"}
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.parquet$")


def name_of(dataset: str) -> Name:
    """What the dataset of that name is: "mmlu_anatomy" and "mmlu/anatomy" are a subject of MMLU."""
    if match := re.fullmatch(r"mmlu[_/](\w+)", dataset, re.ASCII):
        return Name(dataset, "mmlu", match[1])
    return Name(dataset, "arc" if dataset.startswith("arc_") else dataset)


def find(folder: Path, name: Name, split: str, subset: str = "") -> list[Path]:
    """The files of `folder` that hold a split, in order; [] where there are none.

    Parameters
    ----------
    folder : Path
    name : Name
    split : str
    subset : str
        The Hub's name of the configuration, whose folder a copied repository has.

    Raises
    ------
    DocumentError
        Where several files could be meant, or parts are missing.
    """
    found = [files for files in candidates(folder, name, split, subset) if files]
    if len(found) > 1:
        both = " and ".join(str(files[0]) for files in found[:3])
        raise DocumentError(f"{name.name} {split}: {both} could both be meant; keep one of them in that folder")
    return found[0] if found else []


def candidates(folder: Path, name: Name, split: str, subset: str) -> Iterator[list[Path]]:
    """What is there, each time the files that hold the split together."""
    for own in own_folders(folder, name):
        for ending in ENDINGS:
            yield _there([own / f"{split}{ending}"])
        for inside in dict.fromkeys((own, own / "data", own / subset)):
            yield parts(inside, split)
    if name.family == "mmlu" and name.subject:
        short = _MMLU_SPLITS.get(split, split)
        for above in (folder / "mmlu" / "data", folder / "mmlu", folder / "data"):
            yield _there([above / short / f"{name.subject}_{short}.csv"])
    elif (authors := AUTHORS.get(name.name)) is not None:
        yield from _of_authors(folder, name, split, authors, subset)


def looked_for(folders: Iterable[Path], name: Name, split: str) -> str:
    """Which files would have been the right ones, where, and what lies there instead; for an error message."""
    if name.subject:
        short = _MMLU_SPLITS.get(split, split)
        authors: tuple[str, ...] = (f"{short}/{name.subject}_{short}.csv",)
    else:
        authors = AUTHORS[name.name].files.get(split, ()) if name.name in AUTHORS else ()
    files = " or ".join([f"{split}.jsonl (or {', '.join(ENDINGS[1:])})", *authors])
    places = []
    for folder in folders:
        own = next((place for place in own_folders(folder, name) if place.is_dir()), own_folders(folder, name)[0])
        there = sorted(path.name for path in own.iterdir())[:4] if own.is_dir() else []
        places.append(f"{own} (which holds {', '.join(there)})" if there else str(own))
    return f"looked for {files} in {', '.join(places) or 'no folder'}"


def own_folders(folder: Path, name: Name) -> list[Path]:
    """The folders with a dataset's name. All of MMLU may lie in one file, whose rows name their subject."""
    if name.family == "mmlu" and name.subject:
        return [folder / "mmlu" / name.subject, folder / f"mmlu_{name.subject}", folder / "mmlu"]
    return [folder / name.name]


def _of_authors(folder: Path, name: Name, split: str, authors: Authors, subset: str) -> Iterator[list[Path]]:
    own = folder / name.name
    archives = [above / archive for above in (own, folder) for archive in authors.archives]
    files = authors.files.get(split, ())
    for place in dict.fromkeys([own, *archives]):
        if name.name == "triviaqa":
            yield _there([place / file for file in files if "wikipedia" in file or "wikipedia" not in subset])
            continue
        native = (f"{split}.jsonl",) if place != own else ()
        for file in (*native, *files):
            yield _there([place / file])


def parts(folder: Path, split: str) -> list[Path]:
    """SPLIT-00000-of-00002.parquet and the parts that belong to it, all of them or an error."""
    if not folder.is_dir():
        return []
    return complete(sorted(folder.glob(f"{split}-*-of-*.parquet")))


def complete(found: Iterable[Path]) -> list[Path]:
    """Files in parts, of which none may be missing."""
    files = list(found)
    numbers = [match for file in files if (match := _PART.search(file.name))]
    if numbers and len(files) != int(numbers[0][2]):
        raise DocumentError(f"expected {int(numbers[0][2])} parts, found {len(files)}; copy the others too", files[0])
    return files


def _there(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.is_file()]
