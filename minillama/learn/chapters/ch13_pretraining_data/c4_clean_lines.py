"""Sentences out of a web page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ...exercises.exercise import Function, exercise
from .given import POLICY_PHRASES
from .inputs import NOUNS, pick


def make_page(rng: np.random.Generator, lines: int) -> tuple[Any, ...]:
    def noun() -> str:
        return pick(rng, NOUNS, 1)[0]

    kinds: tuple[Callable[[], str], ...] = (
        lambda: f"  The {noun()} stood by the {noun()}.",
        lambda: f"{noun().title()} {noun()} {noun()} Contact",
        lambda: f"Who took the {noun()}?",
        lambda: "Read more.",
        lambda: f"The old {noun()}[12] is made of wood.[3]",
        lambda: f"And then the {noun()} ...",
        lambda: "",
        lambda: f"Please enable JavaScript to see the {noun()}.",
        lambda: f"Buy a {noun()}!",
        lambda: f'She said: "Mind the {noun()}."',
        lambda: f"This page about a {noun()} uses cookies.",
        lambda: f"Our Privacy Policy tells what the {noun()} knows.",
        lambda: f"The {noun()} is heavy[citation needed].",
        lambda: f"Give me the {noun()}[edit]",
        lambda: f"They called it 'the {noun()}'",
        lambda: f"Then the {noun()} fell...",
        lambda: f"The {noun()} waited.",
        lambda: f"What a fine {noun()} that is!",
        lambda: f"The {noun()} is old[].",
        lambda: f"The {noun()}[edit] has a door.",
        lambda: f"She wrote 'the {noun()}' [sic] twice.",
        lambda: f"One {noun()} [in red] and one [in blue] were left.",
        lambda: f"The {noun()}[1] and the {noun()}[23] were sold.",
        lambda: "Please enable JavaScript.",
        lambda: f"You agree to the Terms of Use of the {noun()}.",
        lambda: f"Our Cookie Policy is about the {noun()}.",
        lambda: f"By this you allow the use of cookies in the {noun()}.",
        lambda: f"We use cookies to count each {noun()}.",
        lambda: f"Grandmother left a cookie near the {noun()}.",
        lambda: f"The terms were fair, and the policy of the {noun()} private.",
        lambda: f"The {noun()} was empty.  ",
        lambda: "   ",
        lambda: f"   Is the {noun()} big?   ",
        lambda: f"The {noun()}[123] has [4567] on it.",
        lambda: f"A picture of the {noun()} [sic]",
        lambda: f"He sold the {noun()} (cheap)",
        lambda: f"What the {noun()} needs:",
        lambda: f"The {noun()} costs 3 pounds;",
        lambda: f"The {noun()} ... was gone.",
        lambda: f"The  {noun()}.",
        lambda: f"And then the {noun()}..",
        lambda: f"Our privacy[2] policy says who has the {noun()}.",
        lambda: f"The {noun()} was never found. [3]",
        lambda: f"[4] The {noun()} was new.",
        lambda: f"{noun().title()}.[5] [6]",
        lambda: f"[7] {noun().title()} fell.",
    )
    return ("\n".join(kinds[n % len(kinds)]() for n in range(lines)),)


@exercise(
    title="Sentences out of a web page",
    task="Keep the lines of a page that C4's rules take for sentences.",
    difficulty=2,
    minutes=15,
    make=make_page,
    shapes=({"lines": 1}, {"lines": 4}, {"lines": 6}, {"lines": 16}, {"lines": 46}, {"lines": 92}),
    exact=True,
    hints=(
        "Line by line: strip it, take out the citation marks, then ask the rules; the first that says no ends it.",
        "str.endswith takes a tuple. A line that ends in three dots ends in a dot, too, so ask for that separately. "
        "Compare with the word list in lower case.",
        "line = re.sub(r\"\\[\\d*\\]|\\[edit\\]|\\[citation needed\\]\", '', line.strip())\n"
        "keep = line.endswith(('.', '?', '!', '\"', \"'\")) and not line.endswith('...')\n"
        "keep = keep and len(line.split()) >= 3 and 'javascript' not in line.lower()\n"
        "keep = keep and not any(phrase in line.lower() for phrase in POLICY)",
    ),
    why=(
        "Marks are cut out before the end of a line is looked at, because on Wikipedia a sentence ends in [3] and not "
        "in its full stop. What ends like a sentence and has a few words is nearly always prose, while menus and "
        "buttons fail on both. A notice costs its own line and not the page, on which the rest may be good."
    ),
)
def c4_clean_lines(text):
    """The lines of a page that C4's rules take for sentences.

    Every line is stripped of spaces at both ends; then the citation marks [12], [], [edit] and
    [citation needed] are cut out. It is not stripped again: as in C4's own code, "It rained. [3]"
    ends in a space then, and goes. A line is kept when it

    - ends in one of . ? ! " ' but not in three dots,
    - has at least 3 words,
    - has neither "javascript" nor one of POLICY_PHRASES in it, in any capitals.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        The kept lines, without citation marks.
    """
    kept = []
    for line in text.splitlines():
        line = re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", line.strip())
        lower = line.lower()
        is_sentence = line.endswith((".", "?", "!", '"', "'")) and not line.endswith("...")
        is_notice = "javascript" in lower or any(phrase in lower for phrase in POLICY_PHRASES)
        if is_sentence and len(line.split()) >= 3 and not is_notice:
            kept.append(line)
    return kept


CITATION = r"\[\d*\]|\[edit\]|\[citation needed\]"


def c4(
    *,
    ends: tuple[str, ...] = (".", "?", "!", '"', "'"),
    dots: bool = False,
    least: int = 3,
    cite: Callable[[str], str | None] = lambda line: re.sub(CITATION, "", line),
    lower: Callable[[str], str] = str.lower,
    cite_first: bool = True,
    strip_again: bool = False,
    count_first: bool = False,
    whole_page: bool = False,
) -> Function:
    """The rules with their parts exchanged, for mistakes."""

    def clean(text: str) -> list[str]:
        kept: list[str] = []
        for raw in text.splitlines():
            original = raw.strip()
            line = cite(original)
            if not original or line is None:
                continue
            line = line.strip() if strip_again else line
            tested, counted = line if cite_first else original, original if count_first else line
            if not tested.endswith(ends) or (tested.endswith("...") and not dots) or len(counted.split()) < least:
                continue
            small = lower(line)
            if "javascript" in small or any(phrase in small for phrase in POLICY_PHRASES):
                if whole_page:
                    return []
                continue
            kept.append(line)
        return kept

    return clean


c4_clean_lines.mistake(
    "Your function keeps lines that end in three dots.",
    "They end in a dot, but are cut off: teasers of other pages.",
    c4(dots=True),
)

c4_clean_lines.mistake(
    "Your function keeps only lines that end in a full stop.",
    "Questions, exclamations and quotations are sentences, too: . ? ! \" and '.",
    c4(ends=(".",)),
)

c4_clean_lines.mistake(
    "Your function asks for more than three words.",
    "Three words are enough: fewer than 3 drop the line.",
    c4(least=4),
)

c4_clean_lines.mistake(
    "Your function leaves the citation marks in the text.",
    "[12], [edit] and [citation needed] are cut out of lines that stay.",
    c4(cite=lambda line: line),
)

c4_clean_lines.mistake(
    "Your function drops lines with citation marks.",
    "They are the best prose there is: only the marks go.",
    c4(cite=lambda line: None if re.search(CITATION, line) else line),
)

c4_clean_lines.mistake(
    "Your function looks at the end of the line before the citation marks are gone.",
    "'made of wood.[3]' ends in a full stop once the mark is cut out: clean first, then test.",
    c4(cite_first=False),
)

c4_clean_lines.mistake(
    "Your function looks for the words as they are written.",
    "'JavaScript' and 'Privacy Policy' are meant as well: compare in lower case.",
    c4(lower=lambda line: line),
)

c4_clean_lines.mistake(
    "Your function drops the whole page for a line about JavaScript or cookies.",
    "Only the line goes. (Whole pages go for 'lorem ipsum' and '{', which are not part of this exercise.)",
    c4(whole_page=True),
)

c4_clean_lines.mistake(
    "Your function strips the line again when the marks are gone.",
    "What C4's own code does is asked for: 'It rained. [3]' ends in a space once its mark is cut out, and goes.",
    c4(strip_again=True),
)

c4_clean_lines.mistake(
    "Your function counts a citation mark as a word.",
    "The words are counted when the marks are cut out: '[7] Ladder fell.' has two.",
    c4(count_first=True),
)
