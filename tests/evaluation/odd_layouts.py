"""Benchmarks in the layouts that copies of them have, as documents with the field names of the Hugging Face Hub.

`OddLayouts(folder)` stands where `Sources` does: `.split(dataset, split)`, by the dataset's name:

    mmlu_<subject>     test, dev                  CSV with a header row
    arc_easy           test, train                "query" with its "Question: ", "gold" as a number
    arc_challenge      test, train                parsed out of instructions
    openbookqa         test, train                parsed out of instructions
    winogrande         validation, train          parsed out of instructions
    piqa               validation, train          labels in a file of their own
    triviaqa           validation, train          "golden_answers"
    nq_open            validation, train
    gsm8k              test, train
    truthfulqa         validation                 {answer: label} instead of two lists
    wikitext           test, validation           one text of many articles
    hellaswag, boolq   validation, train          written by hand, beside this file

The copies lack most training splits. What stands in for them: the last 267 documents of WinoGrande and the last 200 of
TriviaQA (both then are not tested), all documents of PIQA, GSM8K, ARC and OpenBookQA (they are tested too),
the questions of EfficientQA for NQ. Scores are therefore not those of leaderboards.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]

HAND_MADE = Path(__file__).parent / "hand_made"
WINOGRANDE_TESTED = 1000
TRIVIAQA_TESTED = 800


class OddLayouts:
    """The splits of the benchmarks in a folder; each is read once.

    Parameters
    ----------
    data : Path
        The folder that holds eval/ and wikitext-2/.
    """

    def __init__(self, data: Path):
        self.data = data
        self._read: dict[tuple[str, str], Rows] = {}

    def split(self, dataset: Any, split: str) -> Rows:
        """Documents of a split, in order; `dataset` is a `Dataset` or its name."""
        name = dataset if isinstance(dataset, str) else dataset.name
        if (name, split) not in self._read:
            self._read[name, split] = documents(self.data, name, split)
        return self._read[name, split]


def documents(data: Path, name: str, split: str) -> Rows:
    """The documents of a split of a benchmark; KeyError where there is no such benchmark or split."""
    if name.startswith("mmlu_"):
        return _mmlu(data / "eval" / "mmlu", name.removeprefix("mmlu_"), split)
    return READERS[name](data, split)


def _json_lines(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _mmlu(folder: Path, subject: str, split: str) -> Rows:
    with open(folder / split / f"{subject}_{split}.csv", encoding="utf-8", newline="") as file:
        return [
            {
                "question": row["question"],
                "subject": subject,
                "choices": [row[f"choice{i}"] for i in range(4)],
                "answer": int(row["answer"]),
            }
            for row in csv.DictReader(file)
        ]


def _arc_easy(data: Path, split: str) -> Rows:
    rows = _json_lines(data / "eval" / "arc_easy" / "arc_easy.jsonl")
    return _one_of(
        split,
        ("test", "train"),
        [_arc("question", row["query"].removeprefix("Question: "), row["choices"], row["gold"]) for row in rows],
    )


def _arc(field: str, question: str, choices: list[str], gold: int) -> dict[str, Any]:
    labels = list("ABCDE"[: len(choices)])
    return {field: question, "choices": {"text": choices, "label": labels}, "answerKey": labels[gold]}


def _instructions(path: Path) -> list[tuple[str, list[str], int]]:
    """(question, choices, the right one's number) of every instruction of a file."""
    found = []
    for row in json.loads(path.read_text(encoding="utf-8")):
        text = row["instruction"].partition(": ")[2]
        question, _, options = re.split(r"\s+Answer format: ", text)[0].rpartition("\n\n")
        choices = re.split(r"\s?(?:Answer|Option)\d: ", options)[1:]
        found.append((question, choices, int(row["answer"][-1]) - 1))
    return found


def _arc_challenge(data: Path, split: str) -> Rows:
    rows = _instructions(data / "eval" / "llm_adapters" / "ARC-Challenge.test.json")
    return _one_of(split, ("test", "train"), [_arc("question", *row) for row in rows])


def _openbookqa(data: Path, split: str) -> Rows:
    rows = _instructions(data / "eval" / "llm_adapters" / "openbookqa.test.json")
    return _one_of(split, ("test", "train"), [_arc("question_stem", *row) for row in rows])


def _winogrande(data: Path, split: str) -> Rows:
    rows = [
        {"sentence": sentence, "option1": first, "option2": second, "answer": str(gold + 1)}
        for sentence, (first, second), gold in _instructions(data / "eval" / "llm_adapters" / "winogrande.test.json")
    ]
    return {"validation": rows[:WINOGRANDE_TESTED], "train": rows[WINOGRANDE_TESTED:]}[split]


def _piqa(data: Path, split: str) -> Rows:
    rows = _json_lines(data / "eval" / "piqa" / "dev.jsonl")
    labels = (data / "eval" / "piqa" / "dev-labels.lst").read_text().split()
    fields = ("goal", "sol1", "sol2")
    return _one_of(
        split,
        ("validation", "train"),
        [
            {field: row[field] for field in fields} | {"label": int(label)}
            for row, label in zip(rows, labels, strict=True)
        ],
    )


def _triviaqa(data: Path, split: str) -> Rows:
    rows = [
        {
            "question": row["question"],
            "question_id": row["id"],
            "answer": {"aliases": row["golden_answers"], "value": row["golden_answers"][0]},
        }
        for row in _json_lines(data / "eval" / "triviaqa" / "test_subsample.jsonl")
    ]
    return {"validation": rows[:TRIVIAQA_TESTED], "train": rows[TRIVIAQA_TESTED:]}[split]


def _nq_open(data: Path, split: str) -> Rows:
    names = {"validation": "NQ-open.dev.jsonl", "train": "NQ-open.efficientqa.dev.1.1.jsonl"}
    return _json_lines(data / "eval" / "nq_open" / names[split])


def _gsm8k(data: Path, split: str) -> Rows:
    return _one_of(split, ("test", "train"), _json_lines(data / "eval" / "gsm8k" / "test.jsonl"))


def _truthfulqa(data: Path, split: str) -> Rows:
    def two_lists(answers: dict[str, int]) -> dict[str, list]:
        return {"choices": list(answers), "labels": list(answers.values())}

    rows = json.loads((data / "eval" / "truthfulqa" / "mc_task.json").read_text(encoding="utf-8"))
    return _one_of(
        split,
        ("validation",),
        [
            {"question": row["question"]} | {key: two_lists(row[key]) for key in ("mc1_targets", "mc2_targets")}
            for row in rows
        ],
    )


def _wikitext(data: Path, split: str) -> Rows:
    """Articles begin with " = Title = " and an empty line; lines of text that look like a title have none."""
    names = {"test": "test.txt", "validation": "valid.txt"}
    text = (data / "wikitext-2" / names[split]).read_text(encoding="utf-8")
    starts = [match.start() for match in re.finditer(r"^ = (?!=)[^\n]*(?<!=) = ?\n ?\n", text, re.MULTILINE)]
    return [{"page": text[start:end]} for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _hand_made(name: str) -> Callable[[Path, str], Rows]:
    def read(data: Path, split: str) -> Rows:
        return _one_of(split, ("validation", "train"), _json_lines(HAND_MADE / f"{name}_{split}.jsonl"))

    return read


def _one_of(split: str, splits: tuple[str, ...], rows: Rows) -> Rows:
    if split not in splits:
        raise KeyError(f"no split {split!r}, there are {', '.join(splits)}")
    return rows


READERS: dict[str, Callable[[Path, str], Rows]] = {
    "arc_easy": _arc_easy,
    "arc_challenge": _arc_challenge,
    "openbookqa": _openbookqa,
    "winogrande": _winogrande,
    "piqa": _piqa,
    "triviaqa": _triviaqa,
    "nq_open": _nq_open,
    "gsm8k": _gsm8k,
    "truthfulqa": _truthfulqa,
    "wikitext": _wikitext,
    "hellaswag": _hand_made("hellaswag"),
    "boolq": _hand_made("boolq"),
}
