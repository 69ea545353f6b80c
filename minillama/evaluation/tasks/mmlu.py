"""MMLU: 57 subjects of school, university and professions, four answers each (Hendrycks et al., arXiv:2009.03300).

    mmlu_<subject>                the options are printed as A to D, and the letter is scored
    mmlu_<subject>_continuation   "cloze": the options are not shown, and their texts are scored
    mmlu_<subject>@llama2         letters, with 5 shots where nobody asks for another number

Shots are the first of the development split, in order. The harness's own number is 0: five must be asked for. The
question is stripped of white space, the options are not. Small models are near chance on letters long before they are
on the texts.

LLaMA's protocol: 5-shot, an average over questions (arXiv:2302.13971, table 9; arXiv:2307.09288, tables 3 and 19).
Unconfirmed: the wording, which is that of Hendrycks et al. as in the harness.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..common.task import Dataset, Document, Shots, Task
from .building import LETTERS, choosing
from .fields import MalformedDocument, number_below, text, texts

_TABLE = """
stem abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science
college_mathematics college_physics computer_security conceptual_physics electrical_engineering
elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science
high_school_mathematics high_school_physics high_school_statistics machine_learning

humanities formal_logic high_school_european_history high_school_us_history high_school_world_history
international_law jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory
professional_law world_religions

social_sciences econometrics high_school_geography high_school_government_and_politics
high_school_macroeconomics high_school_microeconomics high_school_psychology human_sexuality
professional_psychology public_relations security_studies sociology us_foreign_policy

other business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing
medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology
"""
AREAS = {area: subjects for area, *subjects in map(str.split, _TABLE.split("\n\n"))}
AREA_OF = {subject: area for area, subjects in AREAS.items() for subject in subjects}
SUBJECTS = sorted(AREA_OF)
CHOICE_LETTERS = ["A", "B", "C", "D"]


def _options(document: Document) -> list[str]:
    options = texts(document, "choices", at_least=len(CHOICE_LETTERS))
    if len(options) != len(CHOICE_LETTERS):
        raise MalformedDocument(f"choices must be four texts and are {len(options)}")
    return options


def _gold(document: Document) -> int:
    return number_below(len(CHOICE_LETTERS), document, "answer")


def _letters_prompt(document: Document) -> str:
    options = zip(CHOICE_LETTERS, _options(document), strict=True)
    lines = [f"{letter}. {option}" for letter, option in options]
    return "\n".join([text(document, "question").strip(), *lines, "Answer:"])


def _letters(document: Document) -> list[str]:
    return CHOICE_LETTERS


def _cloze_prompt(document: Document) -> str:
    return f"Question: {text(document, 'question').strip()}\nAnswer:"


def _subject(suffix: str, subject: str) -> Task:
    """A subject's task: its letters, or with the suffix "_continuation" its texts."""
    is_cloze = bool(suffix)
    kind, title = ("questions" if is_cloze else "multiple choice questions"), subject.replace("_", " ")
    return choosing(
        name=f"mmlu_{subject}{suffix}",
        dataset=Dataset(f"mmlu_{subject}", f"cais/mmlu:{subject}", "MIT"),
        split="test",
        prompt=_cloze_prompt if is_cloze else _letters_prompt,
        choices=_options if is_cloze else _letters,
        gold=_gold,
        description=f"The following are {kind} (with answers) about {title}.\n\n",
        shots=Shots(rule="first", split="dev"),
        groups=(f"mmlu{suffix}_{AREA_OF[subject]}", f"mmlu{suffix}"),
        version="1.0",
        about=f"{title}, {'the answers as texts' if is_cloze else 'letters A to D'}",
        **({} if is_cloze else {"metrics": LETTERS}),
    )


def _as_llama2(task: Task) -> Task:
    return replace(
        task,
        name=f"{task.name}@llama2",
        shots=replace(task.shots, default=5),
        groups=tuple(f"{group}@llama2" for group in task.groups),
        protocol="llama2",
        version="1",
        about=f"{task.about}, 5-shot",
    )


LETTER_TASKS = tuple(map(partial(_subject, ""), SUBJECTS))
CLOZE_TASKS = tuple(map(partial(_subject, "_continuation"), SUBJECTS))
LLAMA2_TASKS = tuple(map(_as_llama2, LETTER_TASKS))
TASKS = (*LETTER_TASKS, *CLOZE_TASKS, *LLAMA2_TASKS)
