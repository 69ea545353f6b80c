"""The section of the book that an exercise, or a mistake in it, is about.

That is the section in which the exercise stands ("### Now you · `id`"), unless the mistake is about an idea with a
section of its own: `_ELSEWHERE` knows these by the words of the mistakes' names. The texts are in KEPT, which
generate.py writes from the chapters' sources, so that an installed package has them too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from .chapters.catalogue import catalogue, chapter_packages
from .chapters.texts import file_name
from .exercises.exercise import Exercise

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"  # in a clone
KEPT = Path(__file__).with_name("sections.json")

# What the name of a mistake says, and where that is explained: in the section of an exercise, or under a heading.
_ELSEWHERE = {
    r"sqrt\(head_dim\)|sqrt\(dim\)|by head_dim, not|divided by the square root": "06 Scores spread like √head_dim",
    r"exponential of (the )?scores as they are": "softmax_over_keys",
    r"exponentials of the logits as they are": "log_sum_exp",
    r"no mask|mask (is off|counts|takes|lets the positions)|masks after|forgets the causal mask": "causal_mask",
    r"see themselves|see its own token|All your queries see": "causal_mask",
    r"np\.tile\)|tiled|% K\b|% n_kv_heads|key heads in turn": "key_head_of_query_heads",
    r"pairs \(x\[i\], x\[i \+ head_dim/2\]\)": "rope_half",
    r"positions from 0 in every call|begins every chunk at position 0": "rope_offsets",
    r"eps outside the root|leaves out eps": "rmsnorm_forward",
    r"that is LayerNorm": "04 LayerNorm would take one direction more",
    r"post-norm": "add_rmsnorm",
    r"final norm": "head_logits",
    r"no activation|without any? activation|as its gate|gate is (a|g|GELU|ReLU)": "08 Closed must not mean upside down",
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
    text : str
        Its prose in Markdown up to the exercise, without code.
    """

    file: str
    title: str
    text: str


def section_about(exercise: Exercise, mistake: str = "") -> Section:
    """Where the book explains what an exercise needs, or what is wrong with a mistake in it, by the mistake's name."""
    for words, home in _ELSEWHERE.items():
        if not (mistake and re.search(words, mistake)):
            continue
        chapter = catalogue().chapter_of(home) if home in catalogue() else home[:2]
        if chapter <= exercise.chapter:  # a later chapter would take for granted what is to be learned here
            return _kept()[home]
    return _kept()[exercise.id]


@cache
def _kept() -> dict[str, Section]:
    """The sections by the id of their exercise, or as _ELSEWHERE names them."""
    content = json.loads(KEPT.read_text(encoding="utf-8"))
    return {home: Section(**section) for home, section in content.items()}


# --- where they come from -----------------------------------------------------------------


def sections_text(notebooks: Path) -> str:
    """What KEPT holds, from the sources of the chapters.

    Raises
    ------
    ValueError
        When a chapter does not have a heading that is asked for.
    """
    files = [file_name(package) for package in chapter_packages()]
    homes = [*catalogue(), *(home for home in _ELSEWHERE.values() if home not in catalogue())]
    found = {}
    for home in dict.fromkeys(homes):
        is_exercise = home in catalogue()
        chapter = catalogue().chapter_of(home) if is_exercise else home[:2]
        heading = f"### Now you · `{home}`" if is_exercise else f"## {home[3:]}"
        file = next(name for name in files if name.startswith(chapter))
        found[home] = asdict(_section(notebooks / file, heading))
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _section(source: Path, heading: str) -> Section:
    """The section that a heading begins, or in which a "Now you" stands."""
    lines = list(_prose(source))
    at = next((i for i, words in enumerate(lines) if words.startswith(heading)), None)
    if at is None:
        raise ValueError(f"{source.name} has no heading {heading!r}")
    begin = max(i for i in range(at + 1) if lines[i].startswith("## "))
    ends = (i for i in range(at + 1, len(lines)) if lines[i].startswith(("## ", "### Now you")))
    end = next(ends, len(lines)) if begin == at else at
    while end > begin + 1 and lines[end - 1] in ("", *_LEFT_OUT.values()):
        end -= 1
    text = "\n".join(lines[begin + 1 : end]).strip()
    return Section(source.stem, lines[begin][3:], re.sub(r"\n{3,}", "\n\n", text))


_LEFT_OUT = {True: "*[picture]*", False: "*[code]*"}  # whether it is a cell that draws


def _prose(source: Path) -> Iterator[str]:
    """The lines of Markdown in a source in jupytext's percent format, and a mark where cells of code stand."""
    is_prose, before = False, ""
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("# %%"):
            is_prose = "[markdown]" in line
            mark = "" if is_prose else _LEFT_OUT["hide-input" in line]
            if mark != before or is_prose:
                yield from ("", mark, "")
            before = mark
        elif is_prose:
            yield line.removeprefix("#").removeprefix(" ")
