"""Figures of the LLaMA 2 paper, quoted from arXiv:2307.09288 to stand beside one's own.

They come from tables 3 (groups), 19 (MMLU), 20 (common sense), 22 (questions of knowledge) and 25 (GSM8K). Meta
measured them with a library of its own whose prompts are not public; others who repeated it were off by some points.
TruthfulQA is left out: the paper asks for written answers, judged by fine-tuned models, which is another measure than
MC1 and MC2.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

SIZES = ("7B", "13B", "34B", "70B")


class Measure(NamedTuple):
    """A task or group of this package, and the key of its metric."""

    name: str
    key: str


@dataclass(frozen=True)
class Quoted:
    """A row of the paper.

    Attributes
    ----------
    name : str
        As the paper has it.
    table : int
    figures : tuple of float
        In per cent, by `SIZES`.
    n_shots : int
    measures : tuple of Measure
        What of this package measures the same, or nearly; the nearest first.
    """

    name: str
    table: int
    figures: tuple[float, float, float, float]
    n_shots: int
    measures: tuple[Measure, ...]


def _mmlu(area: str) -> tuple[Measure, ...]:
    return Measure(f"mmlu{area}@llama2", "acc,none"), Measure(f"mmlu{area}", "acc,none")


def _written(name: str) -> tuple[Measure, ...]:
    return Measure(f"{name}@llama2", "exact_match,first_line"), Measure(name, "exact_match,remove_whitespace")


def _norm(name: str) -> tuple[Measure, ...]:
    return (Measure(name, "acc_norm,none"),)


def _prior(name: str) -> tuple[Measure, ...]:
    return (Measure(f"{name}@llama2", "acc_mutual_info,none"),)


ROWS = (
    Quoted("MMLU", 19, (45.3, 54.8, 62.6, 68.9), 5, _mmlu("")),
    Quoted("MMLU humanities", 19, (42.9, 52.8, 59.4, 65.0), 5, _mmlu("_humanities")),
    Quoted("MMLU STEM", 19, (36.4, 44.1, 52.1, 58.0), 5, _mmlu("_stem")),
    Quoted("MMLU social sciences", 19, (51.2, 62.6, 71.8, 80.3), 5, _mmlu("_social_sciences")),
    Quoted("MMLU other", 19, (52.2, 61.1, 69.2, 74.6), 5, _mmlu("_other")),
    Quoted("BoolQ", 20, (77.4, 81.7, 83.7, 85.0), 0, (*_prior("boolq"), Measure("boolq", "acc,none"))),
    Quoted("PIQA", 20, (78.8, 80.5, 81.9, 82.8), 0, _norm("piqa")),
    Quoted("HellaSwag", 20, (77.2, 80.7, 83.3, 85.3), 0, _norm("hellaswag")),
    Quoted("WinoGrande", 20, (69.2, 72.8, 76.7, 80.2), 0, (Measure("winogrande", "acc,none"),)),
    Quoted("ARC-easy", 20, (75.2, 77.3, 79.4, 80.2), 0, _norm("arc_easy")),
    Quoted("ARC-challenge", 20, (45.9, 49.4, 54.5, 57.4), 0, _norm("arc_challenge")),
    Quoted("OpenBookQA", 20, (58.6, 57.0, 58.2, 60.2), 0, _prior("openbookqa")),
    Quoted("TriviaQA (wiki)", 22, (65.8, 73.1, 81.0, 82.4), 0, _written("triviaqa")),
    Quoted("TriviaQA (wiki)", 22, (72.1, 79.6, 84.5, 87.6), 5, _written("triviaqa")),
    Quoted("Natural Questions", 22, (16.4, 16.1, 25.1, 25.3), 0, _written("nq_open")),
    Quoted("Natural Questions", 22, (25.7, 31.2, 32.8, 39.5), 5, _written("nq_open")),
    Quoted(
        "GSM8K",
        25,
        (14.6, 28.7, 42.2, 56.8),
        8,
        (Measure("gsm8k@llama2", "exact_match,flexible-extract"), Measure("gsm8k_cot", "exact_match,flexible-extract")),
    ),
)

# Table 3, by the names of this package's groups. "Math" holds GSM8K alone in the cells of 7B and 13B: the mean with
# MATH (table 25) would be 8.6 and 16.3.
GROUPS = {
    "commonsense": (63.9, 66.9, 69.9, 71.9),
    "world_knowledge": (48.9, 55.4, 58.7, 63.6),
    "reading_comprehension": (61.3, 65.8, 68.0, 69.4),
    "math": (14.6, 28.7, 24.2, 35.2),
}


def measured(row: Quoted, names: Collection[str]) -> Measure | None:
    """What was run that a row can stand beside; the paper's own protocol before others."""
    return next((measure for measure in row.measures if measure.name in names), None)
