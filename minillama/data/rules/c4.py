"""C4's rules: lines that are not sentences go, and pages that have too few sentences left.

Source: Raffel et al. 2020 (JMLR 21), section 2.2, and the code it was made with (TensorFlow Datasets,
`c4_utils.py`). The thresholds conflict: datatrove, which FineWeb used, keeps lines of 3 words and
pages of 5 sentences, as the paper says; the original code keeps lines of 5 words and pages of 3
sentences, and does not count ' as the end of a sentence. `C4Quality()` is the first,
`C4Quality.original()` the second, and `C4Quality.fineweb()` the first without the rule of terminal
punctuation. Pages of the word list of C4 are another filter's: `HarmfulContentFilter`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from ..decision import Decision
from .words import excerpt

POLICY_PHRASES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
# Other scripts have marks of their own, which need no blank behind them.
_SENTENCE_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s+[^\sa-z]|\s*$)|[。！？｡।॥؟۔։።፧။។]+[\"'”’)\]」』】]*")
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|jr|sr|vs|no|fig|gen|col|[a-z])\.$", re.IGNORECASE)


@dataclass(frozen=True)
class C4Quality:
    """Clean a page line by line, then drop it when too little is left; None or False switches a rule off.

    Every field but `end_marks`, `policy_phrases` and `page_rules_on_kept_lines` is a rule of that name.
    Lines are stripped, and empty ones vanish, as in the published code.
    """

    max_word_length: int | None = 1000
    """Drop lines with a longer word (characters)."""
    citations: bool = True
    """Remove [1], [edit] and [citation needed]."""
    terminal_punctuation: bool = True
    """Drop lines that do not end in one of `end_marks`, or that end in "..."."""
    min_line_words: int | None = 3
    """Drop lines with fewer words between spaces."""
    javascript: bool = True
    """Drop lines with the word."""
    policy: bool = True
    """Drop lines with one of `policy_phrases`."""
    lorem_ipsum: bool = True
    """Drop pages with the words."""
    curly_bracket: bool = True
    """Drop pages with {."""
    min_sentences: int | None = 5
    """Drop pages with fewer sentences in the lines that are kept."""
    min_long_lines: int | None = None
    """mC4's rule (3 there): drop pages with fewer lines of `long_line` characters."""
    long_line: int = 200
    end_marks: tuple[str, ...] = (".", "?", "!", '"', "'")
    policy_phrases: tuple[str, ...] = POLICY_PHRASES
    page_rules_on_kept_lines: bool = False
    """Look for lorem ipsum and { only in lines that passed the rules before: so the code, not the paper."""

    name: ClassVar[str] = "c4"

    @classmethod
    def original(cls) -> C4Quality:
        """The thresholds of the code that C4 was made with (TensorFlow Datasets)."""
        return cls(min_line_words=5, min_sentences=3, end_marks=(".", "?", "!", '"'), page_rules_on_kept_lines=True)

    @classmethod
    def fineweb(cls) -> C4Quality:
        """FineWeb's use of it: without the rule of terminal punctuation."""
        return cls(terminal_punctuation=False)

    def __call__(self, text: str) -> Decision:
        """The text that is left, or None; `findings` counts lines for rules of lines."""
        found: Counter[str] = Counter()
        examples: dict[str, str] = {}
        page_rule = None if self.page_rules_on_kept_lines else self._page_rule(text)
        if page_rule:
            return Decision(None, {page_rule: 1}, {page_rule: _around(text, page_rule)})
        kept = []
        for line in text.splitlines():
            original, line = line, line.strip()
            if not line:
                continue
            line, rule = self._line(line, found)
            if rule in ("lorem_ipsum", "curly_bracket"):
                return Decision(None, {rule: 1}, {rule: _around(line, rule)})
            if rule is None:
                kept.append(line)
            else:
                found[rule] += 1
                examples.setdefault(rule, excerpt(original))
        return self._page(kept, found, examples)

    def _page_rule(self, text: str) -> str | None:
        if self.lorem_ipsum and "lorem ipsum" in text.lower():
            return "lorem_ipsum"
        return "curly_bracket" if self.curly_bracket and "{" in text else None

    def _line(self, line: str, found: Counter[str]) -> tuple[str, str | None]:
        """The line without citations, and the rule that it breaks first (in the order of the code)."""
        words = line.split()
        longest = self.max_word_length
        if longest is not None and len(line) > longest and max(map(len, words)) > longest:
            return line, "max_word_length"
        if self.citations and "[" in line:
            line, n_citations = _CITATION.subn("", line)
            if n_citations:
                found["citations"] += n_citations
        if self.terminal_punctuation and (not line.endswith(self.end_marks) or line.endswith("...")):
            return line, "terminal_punctuation"
        if self.min_line_words is not None and len(words) < self.min_line_words:
            return line, "min_line_words"
        lower = line.lower()
        if self.page_rules_on_kept_lines and self.lorem_ipsum and "lorem ipsum" in lower:
            return line, "lorem_ipsum"
        if self.javascript and "javascript" in lower:
            return line, "javascript"
        if self.page_rules_on_kept_lines and self.curly_bracket and "{" in line:
            return line, "curly_bracket"
        if self.policy and any(phrase in lower for phrase in self.policy_phrases):
            return line, "policy"
        return line, None

    def _page(self, kept: list[str], found: Counter[str], examples: dict[str, str]) -> Decision:
        """What becomes of the page with the lines that are kept."""
        if self.min_sentences is not None:
            n_sentences = sum(map(count_sentences, kept))
            if n_sentences < self.min_sentences:
                figure = f"{n_sentences} < {self.min_sentences} sentences: {excerpt(' '.join(kept), 60)}"
                return Decision(None, {**found, "min_sentences": 1}, {**examples, "min_sentences": figure})
        if self.min_long_lines is not None:
            n_long = sum(len(line) >= self.long_line for line in kept)
            if n_long < self.min_long_lines:
                figure = f"{n_long} < {self.min_long_lines} lines of {self.long_line}: {excerpt(' '.join(kept), 60)}"
                return Decision(None, {**found, "min_long_lines": 1}, {**examples, "min_long_lines": figure})
        text = "\n".join(kept).strip()
        if not text:
            return Decision(None, {**found, "nothing_left": 1}, {**examples, "nothing_left": "no line is left"})
        return Decision(text, dict(found), examples)


def count_sentences(line: str) -> int:
    """Sentences of a line: ends before a space and no small letter, abbreviations left out.

    The published code asks a trained splitter (Punkt); this agrees with it on plain prose.
    """
    n, last = 0, 0
    for match in _SENTENCE_END.finditer(line):
        before = line[max(match.start() - 8, 0) : match.start() + 1]
        if match.end() < len(line) and _ABBREVIATION.search(before):
            continue
        n, last = n + 1, match.end()
    return n + bool(line[last:].strip())


def _around(text: str, rule: str) -> str:
    place = text.lower().find("lorem ipsum") if rule == "lorem_ipsum" else text.find("{")
    return excerpt(text[max(place - 30, 0) : place + 60])
