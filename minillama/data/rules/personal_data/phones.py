"""Telephone numbers of any country.

Some shapes are telephone numbers nearly wherever they stand (`phone_shapes`). They count unless
a word such as "order" or "ISBN" stands right in front, or they are cells of a table.

All other numbers of 7 to 15 digits (451 5986, 72 128 827, 9498777106) are just as often something else.
They count only beside a telephone's word that is tied to them: right in front, with a colon or a few words
that lead on to a number ("call me on", "ring Ann at", "my number is", ``customer_phone=``, a cell ``| Phone |``),
as a single letter that is a label (``T 605 …``, ``M: …``), after another such number ("or …"), below one in
a row of the same form, or right after ("416 60 039 office"). A word that only stands near ("the phone has
20943944 pixels") does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .context import LETTER, Span, label_after, last_end, nearest, plain_before
from .numbers import Run
from .phone_shapes import (
    EXTENSION,
    compact_date,
    in_table,
    never_phone,
    of_longer_code,
    opening,
    part_of_longer,
    rising,
    strong,
)
from .words import NOT_PHONE_WORDS, PHONE_WORDS

_HARD = re.compile(
    r"(?:^|[^A-Za-z])(?:order|invoice|isbn|issn|doi|tracking|serial|account|acct|ref|reference|sku|part|version"
    r"|ssn|iban|id|ticket|case|policy|patent|imei|transaction|confirmation|booking|upc|ean|asin|model|item|build"
    r"|release|hash|pmid|licen[cs]e|passport|social security|member|product|lot|batch|vat|ein"
    r"|parcel|lottery|lotto|bingo|gtin|p/n|pn|mpn|nsn|catalog(?:ue)?|stock|style|article|art|artikel(?:nummer|nr)?"
    r"|ranges?|ranging|intervals?|sizes?|steps?|values?)"
    r"(?:[ ]?(?:no\.?|number|nr\.?|num|id|code|is|was|of|from|[:#=(.\-]))*[ ]*[+(]*$",
    re.IGNORECASE,
)
_MONEY = tuple("$€£¥₹#=")
_IS = re.compile(r"[)\"']? (?:is|was|are|were|will be)(?: [^\W\d_]+){1,6}")
_UNITS = re.compile(
    r" ?(?:%(?![0-9A-F]{2})|€|\$|£|usd|eur|gbp|chf|dollars?|euros?|units|people|inhabitants"
    r"|km|kg|ms|bytes|votes|years|meters|metres|miles)(?![a-z])",
    re.IGNORECASE,
)
_COUNTED = re.compile(r" (?!(?:this|business|weekdays|evenings|mornings|afternoons|always|perhaps)\b)[a-z]{4,}s(?!\w)")
_LIST = re.compile(r"\)?\s{0,2}(?:[,;/|&]|or|and|oder|und|ou|et|y|o|e)?\s{0,2}\(?", re.IGNORECASE)
_LETTER_LABEL = re.compile(r"(?:^|[\n|;,/\u2022\u00b7]|\s\s)\s?(?:[TMFPC][.:]?|[tmfpc][.:])[ \t]?\(?$")
_WORD = re.compile(r"[^\W\d_]+")
_LEADS = frozenset(
    re.findall(
        r"\w+",
        """
    number numbers num no nr nos is are was were at on to me us him her them under via with using from reads equals home
    work office direct main line mobile cell phone here back now please private personal day night evening
    or and both be been changed urgent fax tel
    numéro numero número nummer szám au à al a en em nel sur auf unter op på est ist è é es er
    """,
    )
)
_NAME = re.compile(r"[^\W\d_]+(?:[ .'\u2019-]{1,2}[^\W\d_]+)*")
_NUMBER = re.compile("[0-9]+")
_LINE = 120  # characters of two lines that are compared
_MOST_WORDS = 6  # between a word and its number


def phones(text: str, runs: list[Run]) -> Iterator[Span]:
    """Telephone numbers with their extensions, from the runs of `number_runs`."""
    last = (-1, -1)
    for run in (piece for whole in runs for piece in _apart(text, whole)):
        if part_of_longer(text, run):
            continue
        for start, stop in _numbers(text, run, last):
            extension = EXTENSION.match(text, stop)
            last = start, extension.end() if extension else stop
            yield Span("PHONE_NUMBER", *last, text[slice(*last)])


def _apart(text: str, run: Run) -> Iterator[Run]:
    """The two numbers of "22 83 54 38 / 22 83 54 39", or the run."""
    count = sum(run.lengths)
    for i in range(1, len(run.groups) if 14 <= count <= 24 else 0):
        first = sum(run.lengths[:i])
        gap = text[run.groups[i - 1][1] : run.groups[i][0]]
        if " / " in gap and first >= 7 and count - first >= 7:
            middle = run.groups[i - 1][1], run.groups[i][0] - (gap[-1] == "(")
            yield Run(run.start, middle[0], run.groups[:i], run.lengths[:i])
            yield Run(middle[1], run.stop, run.groups[i:], run.lengths[i:])
            return
    yield run


def _numbers(text: str, run: Run, previous: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Where the telephone numbers in a run are; `previous` is where the one before is."""
    whole = (0, len(run.groups) - 1)
    shaped = strong(text, run, *whole)
    if not shaped and _told_by_words(text, run, previous):
        yield run.start, run.stop
        return
    for first, last in [whole] if shaped else _strong_parts(text, run):
        start, stop = opening(text, run, first), run.groups[last][1]
        if not _told_otherwise(text, run, start, stop) and not _UNITS.match(text, stop):
            yield start, stop


def _told_otherwise(text: str, run: Run, start: int, stop: int) -> bool:
    """Whether a word right in front, a currency or the neighbours say that the number is something else."""
    before = text[max(0, start - 40) : start]
    written = text[start:stop]
    if LETTER.search(before) is not None and _HARD.search(before) is not None:
        return True
    if "+" in written[:2]:
        return False
    if before[-1:] in _MONEY:
        return nearest(text, start, PHONE_WORDS, NOT_PHONE_WORDS, 30) <= 0
    if any(mark in written for mark in "-./(\u2010\u2011\u2013"):
        return of_longer_code(text, start, stop) and written[:1] != "(" and not _american_dashes(written)
    verdict = nearest(text, start, PHONE_WORDS, NOT_PHONE_WORDS, 40)
    return verdict < 0 or (verdict == 0 and (in_table(text, run) or of_longer_code(text, start, stop)))


def _american_dashes(written: str) -> bool:
    return [len(part) for part in written.split("-")][-3:] == [3, 3, 4]


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
                if ends and (last - first < count - 1) and strong(text, run, first, last) and _marked(text, run, first):
                    yield first, last
                    first = last
                    break
        first += 1


def _marked(text: str, run: Run, first: int) -> bool:
    """Whether a part stands out from the groups of digits beside it: by a mark of its own or a word."""
    start = opening(text, run, first)
    if text[start] in "+(" or set(text[run.groups[first][1] : run.groups[first + 1][0]]) & set("-./"):
        return True
    return nearest(text, run.start, PHONE_WORDS, NOT_PHONE_WORDS, 40) > 0


def _told_by_words(text: str, run: Run, previous: tuple[int, int]) -> bool:
    """Whether the words around it make a number of 7 to 15 digits a telephone number."""
    written = text[run.start : run.stop]
    unclosed = written.startswith("(") and ")" not in written and len(run.groups) > 1
    if not 7 <= sum(run.lengths) <= 15 or len(run.groups) > 7 or unclosed or run.lengths.count(1) > 2:
        return False
    if never_phone(written) or _UNITS.match(text, run.stop) or run.lengths == (5, 4):
        return False
    before = text[max(0, run.start - 2) : run.start]
    called = before[-1:] == "(" and (before[0].isalnum() or before[0] == "_")
    if called or before[-1:] in _MONEY[:-2]:
        return False
    if previous[1] >= 0 and (_listed(text, run, previous[1]) or _parallel(text, run, *previous)):
        return not compact_date(written)
    if _LETTER_LABEL.search(text, max(0, run.start - 12), run.start):
        return not compact_date(written) and not of_longer_code(text, run.start, run.stop)
    verdict = nearest(text, run.start, PHONE_WORDS, NOT_PHONE_WORDS, 60)
    if verdict > 0:
        return _tied(text, run, written)
    after = label_after(text, run.stop) or _said_after(text, run.stop)
    return verdict == 0 and after and before[-1:] not in ("=", "*", "<", ">", "^")


def _listed(text: str, run: Run, last_stop: int) -> bool:
    """Whether only "or", a comma and the like stand between the telephone number before and the run."""
    short = run.start - last_stop < 12 and "\n" not in text[last_stop : run.start]
    return short and _LIST.fullmatch(text, last_stop, run.start) is not None


def _parallel(text: str, run: Run, start: int, stop: int) -> bool:
    """Whether the line before has a telephone number at the same place: rows of names, or a column of a table."""
    if run.start - start > 2 * _LINE or text.count("\n", stop, run.start) != 1:
        return False
    above = text[max(0, start - _LINE) : start].rpartition("\n")[2]
    here = text[stop : run.start].rpartition("\n")[2]
    frames = {_NUMBER.sub("0", _NAME.sub("a", row)) for row in (above, here)}
    return len(frames) == 1 and "a" in next(iter(frames))


def _tied(text: str, run: Run, written: str) -> bool:
    """Whether what stands between the telephone's word and the number leads from one to the other."""
    before = plain_before(text, run.start, 60)
    gap = before[last_end(before, PHONE_WORDS) :]
    found = _WORD.findall(gap)
    end = gap.rstrip(" \t\"'*")
    labelled = end[-1:] in (":", "=", "|", "#") or (not gap.strip() and before[-1:] == "\n")
    if end[-1:] in ("*", "<", ">", "^") or len(found) > _MOST_WORDS:
        return False
    if end[-1:] == "=" and found and not set(found) <= _LEADS:
        return False
    if compact_date(written) and not (labelled and not found):
        return False
    if not labelled and len(set(run.lengths[1:]) - {3}) == 0 and _COUNTED.match(text, run.stop):
        return False
    digits = re.search("[0-9]", gap)
    if digits and not (labelled and re.search(r"(?<![0-9])[0-9]{1,2}h?[):]", gap)):
        return False
    if rising(written.split()) and not labelled:
        return False
    glued = end[-1:] in (",", ";", "\t") and end == gap and "\n" in gap
    return not found or found[-1] in _LEADS or labelled or glued or end[-1:] in ("(", "\n", "-", "\u2013")


def _said_after(text: str, stop: int) -> bool:
    """Whether the sentence continues like "is my new cell number"."""
    said = _IS.match(text, stop)
    if said is None:
        return False
    sentence = said[0].lower()
    return PHONE_WORDS.search(sentence) is not None and NOT_PHONE_WORDS.search(sentence) is None
