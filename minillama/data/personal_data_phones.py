"""Telephone numbers of any country.

Some shapes are telephone numbers nearly wherever they stand: with a country code (+46 (0)8 928 571 38,
0044 20 …), with an area code in brackets, the North American 3-3-4, and several groups that begin
with a national 0 (01.84.17.61.18). They count unless a word such as "order" or "ISBN" stands right in front.

All other numbers of 7 to 15 digits (451 5986, 72 128 827, 9498777106) are as often something else.
They count only if the nearest telling word in front belongs to telephones ("call me on", "fax:") or a label
follows ("416 60 039 office"). Dates, times, years, decimals and versions never count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .personal_data_context import LETTER, NOT_PHONE_WORDS, PHONE_WORDS, Span, label_behind, last_end, nearest
from .personal_data_numbers import Run

_EXTENSION = re.compile(
    r"[ ,;]{0,2}(?:x|ext\.?|extn\.?|extension|durchwahl|#)[ .:]{0,2}[0-9]{1,6}(?![0-9A-Za-z])", re.IGNORECASE
)
_DATE = re.compile(
    r"(?<![0-9])(?:(?:1[6-9]|20)[0-9]{2}[-/. ][01]?[0-9][-/. ][0-3]?[0-9]"
    r"|[0-3]?[0-9][-/. ][0-3]?[0-9][-/. ](?:1[6-9]|20)[0-9]{2})(?![0-9])"
)
_NEVER = re.compile(
    r"\(?(?:(?:1[5-9]|20)[0-9]{2} ?[-/\u2013 ] ?(?:1[5-9]|20)[0-9]{2}"  # years
    r"|[0-2]?[0-9][.][0-5][0-9] ?[-\u2013/] ?[0-2]?[0-9][.][0-5][0-9]"  # times
    r"|(?:[0-9]{1,3}\.){3}[0-9]{1,3}"  # versions and IP addresses
    r"|(?:97[89])[- ]?[0-9][- 0-9]{8,13}"  # ISBN-13
    r")\)?"
)
_DECIMAL = re.compile(r"\+?[0-9]+\.[0-9]+")
_HARD = re.compile(
    r"(?:^|[^A-Za-z])(?:order|invoice|isbn|issn|doi|tracking|serial|account|acct|ref|reference|sku|part|version"
    r"|ssn|iban|id|ticket|case|policy|patent|imei|transaction|confirmation|booking|upc|ean|asin|model|item|build"
    r"|release|hash|pmid|licen[cs]e|passport|social security|member|product|lot|batch)"
    r"(?:[ ]?(?:no\.?|number|nr\.?|num|id|code|is|was|of|[:#=(\-]))*[ ]*[+(]*$",
    re.IGNORECASE,
)
_MONEY = tuple("$€£¥₹#=")
_IS = re.compile(r"[)\"']? (?:is|was|are|were|will be)(?: [^\W\d_]+){1,6}")
_UNITS = re.compile(
    r" ?(?:%|€|\$|£|usd|eur|gbp|chf|dollars?|euros?|units|people|inhabitants"
    r"|km|kg|ms|bytes|votes|years|meters|metres|miles)(?![a-z])",
    re.IGNORECASE,
)


def phones(text: str, runs: list[Run]) -> Iterator[Span]:
    """Telephone numbers with their extensions, from the runs of `number_runs`."""
    for run in runs:
        if _part_of_word(text, run):
            continue
        whole = (0, len(run.groups) - 1)
        strong = _strong(text, run, *whole)
        if not strong and _told_by_words(text, run):
            yield _span(text, run.start, run.stop)
            continue
        for first, last in [whole] if strong else _strong_parts(text, run):
            start = _opening(text, run, first)
            if not _told_otherwise(text, start) and not _UNITS.match(text, run.groups[last][1]):
                yield _span(text, start, run.groups[last][1])


def _told_otherwise(text: str, start: int) -> bool:
    """Whether a word right in front, or a currency, says that the number is something else."""
    before = text[max(0, start - 40) : start]
    return before[-1:] in _MONEY or (LETTER.search(before) is not None and _HARD.search(before) is not None)


def _span(text: str, start: int, stop: int) -> Span:
    extension = _EXTENSION.match(text, stop)
    stop = extension.end() if extension else stop
    return Span("PHONE_NUMBER", start, stop, text[start:stop])


def _opening(text: str, run: Run, first: int) -> int:
    """Where a part of a run begins, its bracket and plus sign included."""
    start = run.groups[first][0]
    least = run.start if first == 0 else run.groups[first - 1][1]
    while start > least and text[start - 1] in "+(":
        start -= 1
    return start


def _part_of_word(text: str, run: Run) -> bool:
    """Whether the run is cut out of an identifier, a path, a longer decimal or a product of numbers."""
    before, behind = text[max(0, run.start - 2) : run.start], text[run.stop : run.stop + 2]
    if (behind[:1].isalnum() or behind[:1] in ("_", "@")) and not _EXTENSION.match(text, run.stop):
        return True
    if len(behind) == 2 and behind[0] in "-_," and behind[1].isdigit():
        return True
    if len(before) == 2 and before[1] in "-_/.,&" and before[0].isalnum():
        words_before = text[max(0, run.start - 21) : run.start - 1].lower()
        return before[0].isdigit() or before[1] in "/_&" or last_end(words_before, PHONE_WORDS) != len(words_before)
    return False


def _strong_parts(text: str, run: Run) -> Iterator[tuple[int, int]]:
    """Parts of a run, with blanks around them, that are telephone numbers by their shape."""
    count, first = len(run.groups), 0
    heads = {text[start] for start, _ in run.groups} | {text[run.start]}
    american = any(run.lengths[i : i + 3] == (3, 3, 4) for i in range(count - 2))
    if count > 10 or not (american or heads & set("0+(") or "(" in text[run.start : run.stop]):
        return
    while first < count - 1:
        if first == 0 or " " in text[run.groups[first - 1][1] : run.groups[first][0]]:
            for last in range(min(count - 1, first + 5), first + 1, -1):
                ends = last == count - 1 or text[run.groups[last][1] : run.groups[last + 1][0]][:1] in " /"
                if ends and (last - first < count - 1) and _strong(text, run, first, last):
                    yield first, last
                    first = last
                    break
        first += 1


def _strong(text: str, run: Run, first: int, last: int) -> bool:
    """Whether the groups `first` to `last` have the shape of a telephone number wherever they stand."""
    lengths = run.lengths[first : last + 1]
    total, start = sum(lengths), _opening(text, run, first)
    american = lengths[-3:] == (3, 3, 4)
    if not 7 <= total <= 16 or not (american or text[start] in "+(0"):
        return False
    written = text[start : run.groups[last][1]]
    if _DECIMAL.fullmatch(written) or _NEVER.fullmatch(written):
        return False
    head = text[run.groups[first][0] : run.groups[first][1]]
    if "+" in written[:2]:
        return total >= 8 and head[0] != "0"
    if _DATE.search(written):
        return False
    american = american and (len(lengths) == 3 or head in ("1", "001", "00", "011"))
    if american and _north_american(written, text[run.groups[last - 2][0]]):
        return True
    if written[0] == "(" and len(lengths) > 1:
        year = len(head) == 4 and head[:2] in ("19", "20")
        return 2 <= len(head) <= 5 and not year and written[len(head) + 1 : len(head) + 2] == ")" and total <= 12
    if head[:2] == "00":
        return len(lengths) > 2 and 10 <= total <= 16 and head[2:3] != "0" and "." not in written
    groups = [text[a] for a, _ in run.groups[first : last + 1]]
    national = head[0] == "0" and len(lengths) >= 3 and 9 <= total <= 11 and min(lengths) >= 2 and max(lengths) <= 5
    return national and set(groups) != {"0"}


def _north_american(written: str, area: str) -> bool:
    """3-3-4: any area with dashes, dots or brackets, only a possible one with blanks."""
    return area != "0" and (area != "1" or "-" in written or "(" in written)


def _told_by_words(text: str, run: Run) -> bool:
    """Whether the words around make a number of 7 to 15 digits a telephone number."""
    total = sum(run.lengths)
    written = text[run.start : run.stop]
    if (
        not 7 <= total <= 15
        or len(run.groups) > 7
        or (written.startswith("(") and ")" not in written and len(run.groups) > 1)
    ):
        return False
    if _DECIMAL.fullmatch(written) or _NEVER.fullmatch(written) or _DATE.search(written):
        return False
    if text[max(0, run.start - 1) : run.start] in _MONEY or _UNITS.match(text, run.stop):
        return False
    before = text[max(0, run.start - 30) : run.start].rstrip(" \"'")
    name = before[:-1].rstrip().lower()
    if before[-1:] in ("=", "*", "<", ">", "^") and last_end(name, PHONE_WORDS) != len(name):
        return False
    verdict = nearest(text, run.start, PHONE_WORDS, NOT_PHONE_WORDS, 60)
    return verdict > 0 or (verdict == 0 and (label_behind(text, run.stop) or _said_behind(text, run.stop)))


def _said_behind(text: str, stop: int) -> bool:
    """Whether the sentence goes on like "is my new cell number"."""
    said = _IS.match(text, stop)
    if said is None:
        return False
    sentence = said[0].lower()
    return PHONE_WORDS.search(sentence) is not None and NOT_PHONE_WORDS.search(sentence) is None
