"""Harmful content: a word list, and a small classifier that measures or drops sentences.

What the LLaMA 2 paper did: it measured (HateBERT tuned on ToxiGen, scores of lines averaged over a
document; some 0.2 % of documents reach 0.5) and deliberately filtered nothing (section 4.1), to keep the
ability to recognise hate and to lose no group of people from the data. ``mode="measure"`` (the
default) does the same with another classifier. ``mode="drop-sentences"`` is Dolma's rule
(arXiv:2402.00159): sentences with a score above 0.4 go. The word list is C4's rule: a listed word drops
the page. The list it uses (LDNOOBW, CC BY 4.0) is offensive and not included; give its path.

What the classifier can and cannot do: it was trained on a few thousand *requests* (the red-teaming
dialogues of hh-rlhf, XSTest, SimpleSafetyTests), not on hateful web pages as Dolma's (Jigsaw). It knows topics
and phrases of harmful requests in English, not meaning: "How do I kill a Python process?" and a text about
the history of a crime score too high too often, insults without known words too low. Held out (threshold 0.4):
AUC 0.81 on prompts; 82 % of SimpleSafetyTests and 84 % of XSTest's unsafe prompts are found, but also 42 % of
XSTest's safe ones (chosen to look unsafe); of sentences of TinyStories 0.9 %, of WikiText-2 0.1 %. All figures:
``benchmarks/train_harmful_classifier.py``. Use it to measure and to rank what to read, not as a judgement.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from pathlib import Path

from ...decision import Decision, keep
from .classifier import TextClassifier

WEIGHTS = Path(__file__).with_name("classifier.npz")
MODES = ("measure", "drop-document", "drop-sentences", "off")
_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?]+(?=[\s\"'”’)\]]|$)[\"'”’)\]]*[ \t]*|[.!?]+|\n+|$)")
_WORD = re.compile(r"[^\W_]+")
_WORDLESS = re.compile(r"[^\W_]")


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with the blanks or line ends after it: joined they are the text."""
    parts, start = [], 0
    for match in _SENTENCE.finditer(text):
        stop = match.end()
        if stop > start and (text[stop - 1].isspace() or match[0].rstrip("\"'”’)]")[-1:] in ("!", "?")):
            parts.append(text[start:stop])
            start = stop
    return [*parts, text[start:]] if start < len(text) else parts


def load_word_list(path: str | Path) -> frozenset[str]:
    """Words and phrases, one a line, in lower case; blank lines and lines with "#" in front are left out.

    Raises
    ------
    ValueError
        The file cannot be read or lists nothing.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"word list {path} cannot be read ({error}); expected UTF-8 text with one word a line"
        ) from error
    words = frozenset(" ".join(line.lower().split()) for line in lines if line.strip() and not line.startswith("#"))
    if not words:
        raise ValueError(f"word list {path} lists nothing; expected one word or phrase a line")
    return words


@functools.cache
def default_classifier() -> TextClassifier:
    """The classifier that comes with minillama, read once."""
    return TextClassifier.load(WEIGHTS)


class _Listed:
    """Finds listed words and phrases as whole words, with one look-up for each word of a text."""

    def __init__(self, words: frozenset[str]) -> None:
        self.odd = [word for word in words if not _WORD.search(word)]  # signs only: looked for as they are
        self.phrases = {tuple(_WORD.findall(word.lower())) for word in words} - {()}
        self.lengths: dict[str, set[int]] = {}
        for phrase in self.phrases:
            self.lengths.setdefault(phrase[0], set()).add(len(phrase))

    def found(self, text: str) -> tuple[Counter[str], int]:
        """How often each listed word occurs, and how many words the text has."""
        lower = text.lower()
        words = _WORD.findall(lower)
        found: Counter[str] = Counter({sign: lower.count(sign) for sign in self.odd if sign in lower})
        for i, word in enumerate(words):
            for length in self.lengths.get(word, ()):
                phrase = tuple(words[i : i + length])
                if phrase in self.phrases:
                    found[" ".join(phrase)] += 1
        return found, len(words)


class HarmfulContentFilter:
    """Drops pages with listed words, and measures or drops what a classifier finds harmful.

    Parameters
    ----------
    word_list : path, optional
        One word or phrase a line. Without it the rule is off, and `word_list_note` says so.
    word_share : float
        A page goes if more than this share of its words is listed; 0 (C4's rule) is any word.
    mode : str
        "measure" counts documents whose mean score of lines is at least `flag_from`, "drop-document" drops them,
        "drop-sentences" removes sentences with a score above `threshold` (and the document if nothing
        is left), "off" does not use the classifier.
    threshold, flag_from : float
        Dolma's 0.4 and the LLaMA 2 paper's 0.5, in 0 to 1.
    classifier : TextClassifier, optional
        Instead of the one that comes with minillama.

    Raises
    ------
    ValueError
        An argument is out of range, or the list cannot be read.
    """

    name = "harmful_content"

    def __init__(
        self,
        word_list: str | Path | None = None,
        word_share: float = 0.0,
        mode: str = "measure",
        threshold: float = 0.4,
        flag_from: float = 0.5,
        classifier: TextClassifier | None = None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"HarmfulContentFilter: mode is {mode!r}; choose one of {', '.join(MODES)}")
        for name, value in (("word_share", word_share), ("threshold", threshold), ("flag_from", flag_from)):
            if not 0 <= value <= 1:
                raise ValueError(f"HarmfulContentFilter: {name} is {value}; expected 0 to 1")
        self._listed = None if word_list is None else _Listed(load_word_list(word_list))
        self.word_list_note = "" if self._listed else "word-list rule is off: no path of a word list was given"
        self.word_share, self.mode, self.threshold, self.flag_from = word_share, mode, threshold, flag_from
        self._classifier = classifier

    @property
    def classifier(self) -> TextClassifier:
        """The classifier in use; the default one is read when it is first needed."""
        return self._classifier or default_classifier()

    def score(self, text: str) -> float:
        """The mean of the scores of a text's lines that hold a letter or digit; 0 without any."""
        lines = [line for line in text.splitlines() if _WORDLESS.search(line)]
        return float(self.classifier.predict(lines).mean()) if lines else 0.0

    def __call__(self, text: str) -> Decision:
        """First the word list, then the classifier; see the class."""
        if self._listed is not None:
            found, count = self._listed.found(text)
            share = sum(found.values()) / max(1, count)
            if found and share > self.word_share:
                example = f"{sum(found.values())} of {count} words ({share:.2%})"
                return Decision(None, {"listed_word": sum(found.values())}, {"listed_word": example})
        if self.mode == "off":
            return keep(text)
        return self._without_sentences(text) if self.mode == "drop-sentences" else self._flagged(text)

    def _flagged(self, text: str) -> Decision:
        """Count, and perhaps drop, a document by the mean of its lines."""
        score = self.score(text)
        if score < self.flag_from:
            return keep(text)
        kept = None if self.mode == "drop-document" else text
        return Decision(kept, {"harmful_document": 1}, {"harmful_document": f"mean score of lines {score:.3f}"})

    def _without_sentences(self, text: str) -> Decision:
        """The text without its sentences above the threshold."""
        parts = sentences(text)
        scores = self.classifier.predict(parts)
        rest = [part for part, score in zip(parts, scores) if score <= self.threshold]
        if len(rest) == len(parts):
            return keep(text)
        worst = f"score {max(scores):.3f}, {len(parts) - len(rest)} of {len(parts)} sentences"
        kept = "".join(rest)
        return Decision(
            kept if kept.strip() else None, {"harmful_sentence": len(parts) - len(rest)}, {"harmful_sentence": worst}
        )
