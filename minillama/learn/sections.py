"""The section of the book that an exercise, or a mistake in it, is about.

That is the section in which the exercise stands ("### Now you · `id`"), unless the mistake is about an idea with a
section of its own: `_ELSEWHERE` knows these by the words of the mistakes' names. Only a clone has the chapters' text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .chapters.catalogue import catalogue, chapter_packages
from .chapters.texts import file_name
from .exercises.exercise import Exercise

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

# What the name of a mistake says, and where that is explained: in the section of an exercise, or under a heading.
_ELSEWHERE = {
    r"sqrt\(head_dim\)|sqrt\(dim\)|by head_dim, not|divided by the square root": "06 Scores spread like √head_dim",
    r"exponential of (the )?scores as they are": "softmax_over_keys",
    r"exponentials of the logits as they are": "log_sum_exp",
    r"no mask|mask is off|mask counts|masks after|forgets the causal mask": "causal_mask",
    r"see themselves|see its own token|All your queries see": "causal_mask",
    r"np\.tile\)|tiled|% K\b|% n_kv_heads|key heads in turn": "key_head_of_query_heads",
    r"pairs \(x\[i\], x\[i \+ head_dim/2\]\)": "rope_half",
    r"positions from 0 in every call|begins every chunk at position 0": "rope_offsets",
    r"eps outside the root|leaves out eps": "rmsnorm_forward",
    r"that is LayerNorm": "04 LayerNorm would take one direction more",
    r"post-norm": "add_rmsnorm",
    r"final norm": "head_logits",
    r"no activation|without an(y)? activation|as its gate|gate is (a|GELU|ReLU)": "08 Closed must not mean upside down",
    r"halves of a byte for neighbours|packs neighbours|into the upper halves": "q4_0_dequantize_blocks",
    r"p \* dp: the sum|sum of p \* dp goes": "softmax_backward",
}


@dataclass(frozen=True)
class Section:
    """A part of a chapter.

    Attributes
    ----------
    file : str
        "06_attention", of the notebook.
    title : str
        Its heading.
    line : int
        Of the heading in the source, notebooks/06_attention.py.
    text : str
        Its prose in Markdown up to the exercise, without code.
    """

    file: str
    title: str
    line: int
    text: str


def section_about(exercise: Exercise, mistake: str = "", notebooks: Path = NOTEBOOKS) -> Section:
    """Where the book explains what an exercise needs, or what is wrong with a mistake in it, by the mistake's name.

    Raises
    ------
    ValueError
        Where the chapters are not installed; the message says where to look.
    """
    elsewhere = [home for words, home in _ELSEWHERE.items() if mistake and re.search(words, mistake)]
    chapter, heading = exercise.chapter, f"### Now you · `{exercise.id}`"
    for home in elsewhere:
        if home in catalogue():
            there = catalogue().chapter_of(home), f"### Now you · `{home}`"
        else:
            there = home[:2], f"## {home[3:]}"
        if there[0] <= exercise.chapter:  # a later chapter would take for granted what is to be learned here
            chapter, heading = there
            break
    file = next(name for name in map(file_name, chapter_packages()) if name.startswith(chapter))
    source = notebooks / file
    if not source.is_file():
        name = source.with_suffix(".ipynb").name
        place = f"notebooks/{name} at {heading.strip('# ')!r}"
        raise ValueError(f"the chapters are not installed with the package; in a clone of it, open {place}")
    return _section(source, heading)


def _section(source: Path, heading: str) -> Section:
    """The section that a heading begins, or in which a "Now you" stands."""
    lines = list(_prose(source))
    at = next((i for i, (_, words) in enumerate(lines) if words.startswith(heading)), None)
    if at is None:
        raise ValueError(f"{source.name} has no heading {heading!r}")
    begin = max(i for i in range(at + 1) if lines[i][1].startswith("## "))
    ends = (i for i in range(at + 1, len(lines)) if lines[i][1].startswith(("## ", "### Now you")))
    end = next(ends, len(lines)) if begin == at else at
    number, title = lines[begin]
    return Section(source.stem, title[3:], number, "\n".join(words for _, words in lines[begin + 1 : end]).strip())


def _prose(source: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines of Markdown in a source in jupytext's percent format."""
    is_prose = False
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("# %%"):
            is_prose = "[markdown]" in line
            yield number, ""
        elif is_prose:
            yield number, line.removeprefix("#").removeprefix(" ")
