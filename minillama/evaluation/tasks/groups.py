"""Groups of tasks: MMLU's areas, and the columns of the LLaMA 2 paper's table 3.

A group's score is the mean over all items of its members (MMLU, as in the harness and in the papers), or over members
of whatever size (the paper's columns). A column also names the benchmarks that are not here, so that a report can say
that it cannot be filled rather than print a mean of something else.

Table 3: "Commonsense" is 0-shot but for CommonsenseQA (7-shot), "World Knowledge" 5-shot, "Reading Comprehension"
0-shot, "Math" 8-shot GSM8K and 4-shot MATH (arXiv:2307.09288, section 2.3). The metric of each member is LLaMA's:
choices by characters, but for OpenBookQA and BoolQ (arXiv:2302.13971, section 3). LLaMA 2 was measured with an internal
library whose prompts are not published; reproductions of its numbers differ by a few points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .mmlu import AREAS, SUBJECTS


@dataclass(frozen=True)
class Member:
    """A benchmark of a group.

    Attributes
    ----------
    title : str
        As tables print it.
    task : str or None
        None where it is not among this package's tasks.
    metric : str
        `Metric.key`.
    n_shots : int
        Of the paper; for MMLU's groups of the harness, -1, each task's own number.
    """

    title: str
    task: str | None
    metric: str = "acc,none"
    n_shots: int = -1


@dataclass(frozen=True)
class Group:
    """Several tasks under one name.

    Attributes
    ----------
    name : str
        What `--tasks` takes.
    title : str
    members : tuple of Member
    by_size : bool
        Every item counts the same; else every member does.
    about : str
        One line for `eval list`.
    """

    name: str
    title: str
    members: tuple[Member, ...]
    by_size: bool = True
    about: str = ""

    @property
    def tasks(self) -> list[str]:
        """The names of the members' tasks."""
        return [member.task for member in self.members if member.task]

    @property
    def missing(self) -> list[str]:
        """The titles of the members that this package does not have."""
        return [member.title for member in self.members if not member.task]


def _mmlu(suffix: str, title: str, about: str, n_shots: int = -1) -> list[Group]:
    """The whole and its four areas."""
    before, _, protocol = suffix.partition("@")
    protocol = protocol and f"@{protocol}"

    def group(area: str, subjects: Sequence[str]) -> Group:
        members = [
            Member(subject.replace("_", " "), f"mmlu_{subject}{suffix}", n_shots=n_shots) for subject in subjects
        ]
        name = f"mmlu{before}{area and f'_{area}'}{protocol}"
        what = area.replace("_", " ") if area else "all 57 subjects"
        return Group(name, f"{title}: {what}" if area else title, tuple(members), about=f"{what}, {about}")

    return [group("", SUBJECTS), *(group(area, subjects) for area, subjects in AREAS.items())]


NORM, PRIOR = "acc_norm,none", "acc_mutual_info,none"
COMMONSENSE = Group(
    "commonsense",
    "Commonsense Reasoning",
    (
        Member("PIQA", "piqa", NORM, 0),
        Member("SIQA", None, NORM, 0),
        Member("HellaSwag", "hellaswag", NORM, 0),
        Member("WinoGrande", "winogrande", "acc,none", 0),
        Member("ARC easy", "arc_easy", NORM, 0),
        Member("ARC challenge", "arc_challenge", NORM, 0),
        Member("OpenBookQA", "openbookqa@llama2", PRIOR, 0),
        Member("CommonsenseQA", None, NORM, 7),
    ),
    by_size=False,
    about="the LLaMA 2 paper's column, without SIQA and CommonsenseQA",
)
WORLD_KNOWLEDGE = Group(
    "world_knowledge",
    "World Knowledge",
    (
        Member("NaturalQuestions", "nq_open@llama2", "exact_match,first_line", 5),
        Member("TriviaQA", "triviaqa@llama2", "exact_match,first_line", 5),
    ),
    by_size=False,
    about="the LLaMA 2 paper's column: questions without a text",
)
READING_COMPREHENSION = Group(
    "reading_comprehension",
    "Reading Comprehension",
    (
        Member("SQuAD", None, "exact_match,none", 0),
        Member("QuAC", None, "f1,none", 0),
        Member("BoolQ", "boolq@llama2", PRIOR, 0),
    ),
    by_size=False,
    about="the LLaMA 2 paper's column, without SQuAD and QuAC",
)
MATH = Group(
    "math",
    "Math",
    (
        Member("GSM8K", "gsm8k@llama2", "exact_match,flexible-extract", 8),
        Member("MATH", None, "exact_match,none", 4),
    ),
    by_size=False,
    about="the LLaMA 2 paper's column, without MATH",
)
PAPER = (COMMONSENSE, WORLD_KNOWLEDGE, READING_COMPREHENSION, MATH)
MMLU = _mmlu("", "MMLU", "letters")
MMLU_CLOZE = _mmlu("_continuation", "MMLU (cloze)", "the answers as texts")
MMLU_LLAMA2 = _mmlu("@llama2", "MMLU (5-shot)", "letters, 5-shot", n_shots=5)
ALL = (*MMLU, *MMLU_CLOZE, *MMLU_LLAMA2, *PAPER)
