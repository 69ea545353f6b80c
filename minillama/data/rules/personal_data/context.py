"""What stands around a candidate: the words that make a number a telephone or an order number.

A number alone often says nothing: "9472 7916" is a telephone in "call me on 9472 7916" and an
invoice in "invoice 9472 7916". As presidio and Dolma do, the rules look at up to 100 characters on
each side; of two words that disagree the nearer one in front wins. Between a label and its number there may
be markup (``<dt>Phone</dt><dd>``, ``**Phone:**``) or an escape of a string (a literal ``\\n`` or ``%20``).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .words import LABELS

WINDOW = 100  # characters on each side
_OTHER_NUMBER = re.compile("[0-9]{5,}")
LETTER = re.compile(r"[^\W\d_]")
_SENTENCE_END = re.compile(r"\n|[.;?!] ")
_NEAR = 30
_SAME_THOUGHT = 40  # characters in front within which the end of a sentence separates nothing
_MARKUP = re.compile(r"<[^<>\n]{1,60}>|[*`]{1,3}|_{2,3}|\\[nrt]|\\u00a0|%20|%2B|%3A|&nbsp;|&#160;")
_NEW_LINES = ("\\n", "\\r", "<br>", "<br/>", "<br />")
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z])")
_KEY_END = re.compile(r"""[:=][ "']{0,3}$""")
# What a program writes for a blank or a new line in a string; digits may follow directly.
ESCAPED = r"(?<=\\[nrt])"


class Span(NamedTuple):
    """One piece of personal data: `text[start:stop]`, positions in characters."""

    kind: str
    start: int
    stop: int
    text: str


def nearest(text: str, start: int, positive: re.Pattern[str], negative: re.Pattern[str], window: int = WINDOW) -> int:
    """Which kind of word stands nearest in front of `start`: 1, -1, or 0 when there is no such word.

    "order number" ends with a positive word for some kinds; where both end at one place the
    negative one wins. A word further off counts only within the same sentence, and a negative one with
    another number after it belongs to that number.
    """
    before = plain_before(text, start, window)
    if not before:
        return 0
    # The nearest word decides, so a look at the nearest characters is mostly enough.
    return (window > _NEAR and _verdict(before[-_NEAR:], positive, negative)) or _verdict(before, positive, negative)


def _verdict(before: str, positive: re.Pattern[str], negative: re.Pattern[str]) -> int:
    """Which word ends last in a lower-case text: 1, -1 or 0."""
    far = before[:-_SAME_THOUGHT]
    stop = max(far.rfind(". "), far.rfind("? "), far.rfind("! "), far.rfind("\n\n"))
    first = last_end(before, positive, max(0, stop))
    others = [match.end() for match in _OTHER_NUMBER.finditer(before)]
    other = last_end(before, negative, max(0, stop, *others[-1:]))
    if first == other:
        return -1 if other >= 0 else 0
    return 1 if first > other else -1


def last_end(text: str, pattern: re.Pattern[str], start: int = 0) -> int:
    """Where the last occurrence in a lower-case text ends, -1 when it does not occur."""
    end = -1
    for match in pattern.finditer(text, start):
        end = match.end()
    return end


def label_after(text: str, stop: int) -> bool:
    """Whether a telephone's label stands right after, as in "416 60 039 office" or "781 1704 (fax)"."""
    after = re.match(r"[ \t]{0,2}[-–(,:|]?[ \t]?(\w+)(?! *[\w+(:])", text[stop : stop + 20])
    return bool(after and len(after[1]) > 1 and LABELS.fullmatch(after[1].lower()))


def follows(text: str, stop: int, pattern: re.Pattern[str], window: int = 40) -> bool:
    """Whether such a word follows in the same sentence and is not the label of a further number."""
    if LETTER.search(text, stop, stop + window) is None:
        return False
    sentence = _SENTENCE_END.split(text[stop : stop + window + 20].lower(), maxsplit=1)[0]
    match = pattern.search(sentence, 0, window)
    return match is not None and re.search("[0-9]", sentence[: match.end() + 15]) is None


def near(text: str, start: int, stop: int, pattern: re.Pattern[str], window: int = WINDOW) -> bool:
    """Whether one of the words stands within `window` characters on either side."""
    before, after = text[max(0, start - window) : start], text[stop : stop + window]
    return bool(pattern.search(before.lower()) or pattern.search(after.lower()))


def plain_before(text: str, start: int, window: int) -> str:
    """Up to `window` lower-case characters in front of `start` without markup and escapes; "" without letters.

    The last key, as in ``customerPhone=``, is taken apart at its capitals.
    """
    before = text[max(0, start - window) : start]
    if LETTER.search(before) is None and "<" not in before:
        return ""
    if _KEY_END.search(before):
        before = _CAMEL.sub("_", before)
    if _MARKUP.search(before):
        before = _MARKUP.sub(_blank, text[max(0, start - window - 60) : start])[-window:]
    return before.lower()


def _blank(markup: re.Match[str]) -> str:
    return "\n" if markup[0].lower() in _NEW_LINES else " "


def emphasised(text: str, stop: int) -> bool:
    """Whether the underscores at `stop` are marks of emphasis: no letter or digit follows them."""
    return text[stop : stop + 1] == "_" and not text[stop : stop + 4].lstrip("_")[:1].isalnum()
