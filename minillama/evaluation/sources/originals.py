"""Rows as a benchmark's authors wrote them become rows as the Hub has them: same fields, same order, same values.

A row that has the Hub's form already passes as it is. What is wrong in a row is left in it, for the schema to refuse.
Sources: the files of each benchmark, and the fields of its dataset repository, which tests name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]


def as_on_the_hub(family: str, row: Fields, number: int) -> Fields:
    """A row with the Hub's fields.

    Parameters
    ----------
    family : str
        The dataset, as `schemas.SCHEMAS` names it.
    row : dict
    number : int
        Its place in the split, from 0.
    """
    convert = _CONVERTERS.get(family)
    return row if convert is None else convert(row, number)


def mmlu_row(cells: list[str], subject: str) -> Fields | str:
    """A row of Hendrycks et al.'s CSV, which has no header: the question, four choices, a letter; or what is wrong."""
    if len(cells) != 6:
        return f"expected 6 columns (question, four choices, a letter), found {len(cells)}"
    letter = cells[5].strip()
    if letter not in ("A", "B", "C", "D"):
        return f"expected A, B, C or D in the last column, found {letter[:40]!r}"
    return {"question": cells[0], "subject": subject, "choices": cells[1:5], "answer": "ABCD".index(letter)}


def with_label(family: str, row: Fields, label: str) -> Fields:
    """A row of PIQA or WinoGrande with its line of the file of labels."""
    if family == "winogrande":
        return {**row, "answer": label}
    return {**row, "label": int(label) if label in ("0", "1") else label}


def _arc(row: Fields, number: int) -> Fields:
    """{"id", "question": {"stem", "choices": [{"text", "label"}]}, "answerKey"}."""
    return _flat_question(row, "question")


def _openbookqa(row: Fields, number: int) -> Fields:
    return _flat_question(row, "question_stem")


def _flat_question(row: Fields, name: str) -> Fields:
    question = row.get("question")
    if not isinstance(question, dict):
        return row
    choices: Any = question.get("choices")
    if isinstance(choices, list):
        parts = [choice if isinstance(choice, dict) else {} for choice in choices]
        choices = {key: [part.get(key) for part in parts] for key in ("text", "label")}
    start = {"id": row["id"]} if "id" in row else {}
    return {**start, name: question.get("stem"), "choices": choices, "answerKey": row.get("answerKey")}


def _piqa(row: Fields, number: int) -> Fields:
    """{"id", "goal", "sol1", "sol2"}, and the label from its own file."""
    return {name: value for name, value in row.items() if name != "id"}


def _winogrande(row: Fields, number: int) -> Fields:
    """{"qID", "sentence", "option1", "option2", "answer"}."""
    return {name: value for name, value in row.items() if name != "qID"}


def _hellaswag(row: Fields, number: int) -> Fields:
    """The same fields in another order, and the label a number."""
    if type(row.get("label")) is not int:
        return row
    order = ("ind", "activity_label", "ctx_a", "ctx_b", "ctx", "endings", "source_id", "split", "split_type")
    return {name: row[name] for name in order if name in row} | {"label": str(row["label"])}


def _boolq(row: Fields, number: int) -> Fields:
    """Google's {"question", "title", "answer", "passage"}, SuperGLUE's {"question", "passage", "idx", "label"}."""
    if isinstance(row.get("label"), bool):
        return {**row, "label": int(row["label"])}
    if not isinstance(row.get("answer"), bool) or "label" in row:
        return row
    title, passage = row.get("title"), row.get("passage")
    if isinstance(title, str) and isinstance(passage, str):
        passage = f"{title} -- {passage}"  # as SuperGLUE joined them
    return {"question": row.get("question"), "passage": passage, "idx": number, "label": int(row["answer"])}


def _truthfulqa(row: Fields, number: int) -> Fields:
    """{"question", "mc1_targets": {choice: label}, "mc2_targets": {choice: label}}."""
    names = ("mc1_targets", "mc2_targets")
    if not all(isinstance(row.get(name), dict) for name in names) or any("choices" in row[name] for name in names):
        return row
    found = {name: {"choices": list(row[name]), "labels": list(row[name].values())} for name in names}
    return {"question": row.get("question"), **found}


# Without their contexts, as "rc.nocontext" has them.
_NO_PAGES = ("doc_source", "filename", "title", "wiki_context")
_NO_RESULTS = ("description", "filename", "rank", "title", "url", "search_context")
_ANSWER = {
    "aliases": "Aliases",
    "normalized_aliases": "NormalizedAliases",
    "matched_wiki_entity_name": "MatchedWikiEntityName",
    "normalized_matched_wiki_entity_name": "NormalizedMatchedWikiEntityName",
    "normalized_value": "NormalizedValue",
    "type": "Type",
    "value": "Value",
}


def _triviaqa(row: Fields, number: int) -> Fields:
    """{"Question", "QuestionId", "QuestionSource", "Answer": {"Value", "Aliases", …}, "EntityPages", …}."""
    if "Question" not in row or "question" in row:
        return row
    answer: Any = row.get("Answer")
    if isinstance(answer, dict) and "Aliases" in answer:
        answer = {name: answer.get(theirs, "") for name, theirs in _ANSWER.items()}
    return {
        "question": row["Question"],
        "question_id": row.get("QuestionId", ""),
        "question_source": row.get("QuestionSource", ""),
        "entity_pages": {name: [] for name in _NO_PAGES},
        "search_results": {name: [] for name in _NO_RESULTS},
        "answer": answer,
    }


_CONVERTERS: dict[str, Callable[[Fields, int], Fields]] = {
    "arc": _arc,
    "openbookqa": _openbookqa,
    "piqa": _piqa,
    "winogrande": _winogrande,
    "hellaswag": _hellaswag,
    "boolq": _boolq,
    "truthfulqa": _truthfulqa,
    "triviaqa": _triviaqa,
}
