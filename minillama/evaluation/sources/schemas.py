"""What a document of each dataset must hold: a task then never meets a row that it cannot ask.

A schema has the fields that tasks read, with the Hub's names; whatever else a row holds stays as it is. CSV has text
only: there a number is its digits, and a list or an object is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from ...files.json_object import DECODER
from .rows import shown

Check = Callable[[Any], str | None]  # what was expected and found, or None where all is well
MAX_CHOICES = 100


class Schema(NamedTuple):
    """The fields of a dataset."""

    fields: Mapping[str, Check]
    together: Check = lambda row: None
    """What several fields must be to each other."""

    def problem_of(self, row: Mapping[str, Any]) -> str | None:
        """The first thing that is wrong with a row, in one sentence; None where nothing is."""
        for name, check in self.fields.items():
            if name not in row:
                has = ", ".join(json.dumps(key[:40]) for key in list(row)[:12]) or "nothing"
                return f"expected the field {name!r}, found {has}"
            if (problem := check(row[name])) is not None:
                return f"{name}: {problem}"
        return self.together(row) or _unwritable(row)


def text(value: Any) -> str | None:
    return None if isinstance(value, str) else f"expected a text, found {shown(value)}"


def filled(value: Any) -> str | None:
    """A text that says something."""
    return text(value) or (None if value.strip() else "expected a text, found an empty one")


def texts(value: Any) -> str | None:
    """A list of texts, at least one."""
    if not isinstance(value, list) or not value:
        return f"expected a list of texts, found {shown(value)}"
    wrong = next((part for part in value if not isinstance(part, str)), None)
    if wrong is not None or None in value:
        return f"expected a list of texts, found {shown(wrong)} in it"
    return f"expected at most {MAX_CHOICES * 100} texts, found {len(value)}" if len(value) > MAX_CHOICES * 100 else None


def exactly(n: int) -> Check:
    """A list of n texts."""

    def check(value: Any) -> str | None:
        return texts(value) or (None if len(value) == n else f"expected {n} texts, found {len(value)}")

    return check


def below(n: int) -> Check:
    """The number of a choice from 0, or its digits."""

    def check(value: Any) -> str | None:
        if (type(value) is int and 0 <= value < n) or (isinstance(value, str) and value in map(str, range(n))):
            return None
        return f"expected a number from 0 to {n - 1}, found {shown(value)}"

    return check


def one_of(*names: str) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, str) and value in names:
            return None
        return f"expected {' or '.join(names)} as a text, found {shown(value)}"

    return check


def _two_lists(value: Any, first: str, second: str) -> str | None:
    """An object of two lists that are equally long."""
    if not isinstance(value, dict) or not isinstance(value.get(first), list) or not isinstance(value.get(second), list):
        return f"expected an object with the lists {first!r} and {second!r}, found {shown(value)}"
    if len(value[first]) != len(value[second]):
        return f"expected as many {second} as {first}, found {len(value[second])} and {len(value[first])}"
    return None


def labelled(value: Any) -> str | None:
    """Choices with their letters or numbers: {"text": [...], "label": [...]}."""
    if problem := _two_lists(value, "text", "label") or texts(value["text"]) or texts(value["label"]):
        return problem
    if not 2 <= len(value["text"]) <= MAX_CHOICES:
        return f"expected 2 to {MAX_CHOICES} choices, found {len(value['text'])}"
    return None if len(set(value["label"])) == len(value["label"]) else "expected labels that differ"


def targets(value: Any) -> str | None:
    """Choices of which each is true or false: {"choices": [...], "labels": [0 or 1]}."""
    if problem := _two_lists(value, "choices", "labels") or texts(value["choices"]):
        return problem
    wrong = next((label for label in value["labels"] if type(label) is not int or label not in (0, 1)), None)
    if wrong is not None or None in value["labels"]:
        return f"expected labels 0 or 1, found {shown(wrong)}"
    return None if 1 in value["labels"] else "expected a choice that is true, found none"


def _first_is_true(row: Mapping[str, Any]) -> str | None:
    """MC1 counts its first choice as the right one, and no other."""
    labels = row["mc1_targets"]["labels"]
    if len(labels) < 2:
        return f"mc1_targets: expected 2 or more choices, found {len(labels)}"
    if labels[0] == 1 and sum(labels) == 1:
        return None
    return "mc1_targets: expected the first choice to be the only true one"


def aliases(value: Any) -> str | None:
    """TriviaQA's answer: an object with the accepted `aliases`."""
    if not isinstance(value, dict) or "aliases" not in value:
        return f"expected an object with the list 'aliases', found {shown(value)}"
    problem = texts(value["aliases"])
    return f"aliases: {problem}" if problem else None


def _answer_is_a_label(row: Mapping[str, Any]) -> str | None:
    # The harness takes off leading spaces, which a few rows of OpenBookQA have.
    answer, labels = row["answerKey"].lstrip(), row["choices"]["label"]
    if answer in labels:
        return None
    return f"answerKey: expected one of {', '.join(labels)[:80]}, found {shown(row['answerKey'])}"


def _has_a_gap(row: Mapping[str, Any]) -> str | None:
    return None if "_" in row["sentence"] else "sentence: expected a gap, written _, found none"


def _unwritable(value: Any) -> str | None:
    """Half of a surrogate pair is no character: it can be neither tokenised nor written to a file."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except UnicodeEncodeError:
        return "expected text, found half of a surrogate pair (\\ud800 to \\udfff) in it"
    except (ValueError, RecursionError):
        return "expected a document that can be written as JSON, found one that cannot"
    return None


SCHEMAS: dict[str, Schema] = {
    "mmlu": Schema({"question": text, "choices": exactly(4), "answer": below(4)}),
    "arc": Schema({"question": text, "choices": labelled, "answerKey": text}, _answer_is_a_label),
    "openbookqa": Schema({"question_stem": text, "choices": labelled, "answerKey": text}, _answer_is_a_label),
    "piqa": Schema({"goal": text, "sol1": text, "sol2": text, "label": below(2)}),
    "winogrande": Schema({"sentence": text, "option1": text, "option2": text, "answer": one_of("1", "2")}, _has_a_gap),
    "hellaswag": Schema(
        {"activity_label": text, "ctx_a": text, "ctx_b": text, "endings": exactly(4), "label": below(4)}
    ),
    "boolq": Schema({"passage": text, "question": text, "label": below(2)}),
    "gsm8k": Schema({"question": filled, "answer": filled}),
    "truthfulqa": Schema({"question": filled, "mc1_targets": targets, "mc2_targets": targets}, _first_is_true),
    "triviaqa": Schema({"question": filled, "answer": aliases}),
    "nq_open": Schema({"question": filled, "answer": texts}),
    "wikitext": Schema({"page": text}),
}
ANY = Schema({})
_NUMBERS = {("mmlu", "answer"), ("piqa", "label"), ("boolq", "label")}  # which the Hub has, not their digits


def schema_of(family: str) -> Schema:
    """The fields of a dataset; those of one that is not known may be any."""
    return SCHEMAS.get(family, ANY)


def from_cells(family: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row of CSV with its numbers, lists and objects read."""
    found = dict(row)
    for name, check in schema_of(family).fields.items():
        cell = row.get(name)
        if isinstance(cell, str) and ((family, name) in _NUMBERS or check(cell) is not None):
            # What is no JSON stays as it is: the schema refuses it, with the cell in its sentence.
            with suppress(ValueError, RecursionError):
                found[name] = DECODER.decode(cell)
    return found
