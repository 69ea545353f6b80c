"""Preferences (LLaMA 2 section 3.2.1): which of two answers is better, how clearly, and whether they are safe.

comparisons.py     what is known of two answers; strengths, bins of safety
annotators.py      who compares: a protocol for programs, and whatever scores as one of them
candidates.py      two answers to a prompt, from two variants
collecting.py      candidates become comparisons, by a program or a person
mixing.py          what a helpfulness and a safety model learn from
reading.py         Anthropic's hh-rlhf, and files of our own
"""

from .annotators import Annotator, NoisyAnnotator, Verdict, as_comparison
from .candidates import Candidates, SamplingSettings, sample_candidates
from .collecting import annotate, rating_of, voted
from .comparisons import BINS, STRENGTHS, Comparison, safety_set
from .mixing import SHARES, mixed
from .reading import read_comparisons, read_hh_rlhf, write_comparisons

__all__ = [
    "BINS",
    "SHARES",
    "STRENGTHS",
    "Annotator",
    "Candidates",
    "Comparison",
    "NoisyAnnotator",
    "SamplingSettings",
    "Verdict",
    "annotate",
    "as_comparison",
    "mixed",
    "rating_of",
    "read_comparisons",
    "read_hh_rlhf",
    "safety_set",
    "sample_candidates",
    "voted",
    "write_comparisons",
]
