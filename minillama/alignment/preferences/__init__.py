"""Preferences (LLaMA 2 section 3.2.1): which of two answers is better, how clearly, and whether they are safe.

comparisons.py     what is known of two answers; strengths, bins of safety
annotators.py      who compares: a protocol for programs
mixing.py          what a helpfulness and a safety model learn from
reading.py         Anthropic's hh-rlhf, and files of our own
"""

from .annotators import Annotator, Verdict, as_comparison
from .comparisons import BINS, STRENGTHS, Comparison, safety_set
from .mixing import SHARES, mixed
from .reading import read_comparisons, read_hh_rlhf, write_comparisons

__all__ = [
    "BINS",
    "SHARES",
    "STRENGTHS",
    "Annotator",
    "Comparison",
    "Verdict",
    "as_comparison",
    "mixed",
    "read_comparisons",
    "read_hh_rlhf",
    "safety_set",
    "write_comparisons",
]
