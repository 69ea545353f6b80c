"""The shapes of telephone numbers that need no word near them, and of numbers that are not telephone numbers.

- With a country code that exists: +46 (0)8 928 571 38, 0044 20 7946 0958.
- North American 3-3-4, neither of an area 1xx nor of round numbers that rise (100-200-3000 is a range); with blanks
  only where area and exchange are possible ones.
- An area code in brackets; several groups or area and number after a national 0 (01.84.17.61.18,
  030 1234567, 0316 / 123456); Russian 8-916-123-45-67 and Chinese 138 1234 5678.

Not telephones: dates, times, years, decimals, versions, sums (``(402) 512 - 8854 =``), rows of a lottery (five or six
rising numbers below 60), parts of longer numbers, cells of tables of numbers.
"""

from __future__ import annotations

import re
from itertools import pairwise

from .context import LETTER, emphasised
from .numbers import Run

EXTENSION = re.compile(
    r"[ ,;]{0,2}(?:x|ext\.?|extn\.?|extension|durchwahl|#)[ .:=]{0,2}[0-9]{1,6}(?![0-9A-Za-z])", re.IGNORECASE
)
_DATE = re.compile(
    r"(?<![0-9])(?:(?:1[6-9]|20)[0-9]{2}[-/. ][01]?[0-9][-/. ][0-3]?[0-9]"
    r"|[0-3]?[0-9][-/. ][0-3]?[0-9][-/. ](?:1[6-9]|20)[0-9]{2})(?![0-9])"
)
_COMPACT_DATE = re.compile(r"(?:1[6-9]|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_NEVER = re.compile(
    r"\(?(?:(?:1[5-9]|20)[0-9]{2} ?[-/\u2013 ] ?(?:1[5-9]|20)[0-9]{2}"  # years
    r"|[0-2]?[0-9][.][0-5][0-9] ?[-\u2013/] ?[0-2]?[0-9][.][0-5][0-9]"  # times
    r"|(?:[0-9]{1,3}\.){3}[0-9]{1,3}"  # versions and IP addresses
    r"|(?:97[89])[- ]?[0-9][- 0-9]{8,13}"  # ISBN-13
    r")\)?"
)
_DECIMAL = re.compile(r"\+?[0-9]+\.[0-9]+")
_COUNTRY = re.compile(
    r"[17]|2[07]|2[1-69][0-9]|3[0-469]|3[578][0-9]|4[013-9]|42[013]|5[1-8]|5[09][0-9]|6[0-6]|6[789][0-9]"
    r"|8[1246]|80[08]|8[578][0-9]|9[0-58]|9[679][0-9]"
)
_LOCAL_MOBILE = re.compile(
    r"[78]([ -])[3489][0-9]{2}\1[0-9]{3}\1[0-9]{2}\1[0-9]{2}|1[3-9][0-9]([ -])[0-9]{4}\2[0-9]{4}"
)
_TRUNK = re.compile(r"0[1-9][0-9]{0,4}(?: ?[-/] ?| )[0-9]{5,8}|\(0[0-9] ?[0-9]{1,2}\)[ -]?[0-9]{3}[ -][0-9]{4}")
_TRUNK_ONE = re.compile(r"0 [2-9][0-9]{2} [0-9]{3} [0-9]{2} [0-9]{2}")
_SUM_BEFORE = re.compile(r"(?:[=+*/^<>\u2212]|compute|calculate|evaluate|solve|simplify|subtract|minus)[ :]{0,2}$")
_SUM_BEHIND = re.compile(r" {0,2}(?:[=+*^\u2212]|(?:minus|equals) )")
_IN_DOI = re.compile(r"10\.[0-9]{4,9}/|doi", re.IGNORECASE)
_LABELLED = re.compile(r"(?<![^\W\d_])(?:tel|phone|fax|mob|mobile|cell|ph)[.:]?$", re.IGNORECASE)
_CODE_BEFORE = re.compile(r"(?<![^\W_])(?=[A-Z0-9]*[A-Z])(?=[A-Z0-9]*[0-9])[A-Z0-9]{2,16} $")
_LETTERS_BEFORE = re.compile(r"(?<![^\W_])[A-Z]{2} $")
_LETTERS_BEHIND = re.compile(r" [A-Z]{2}(?![^\W_])")
_PHONE_ROW = re.compile(r"[\W_]*(?:\+|0|1[ .-]|\(?[2-9][0-9]{2}\)?[ .-]?[2-9][0-9]{2}[ .-]?[0-9]{4}[\W_]*$)")
_LINE = 120  # characters of a neighbouring line that are looked at


def never_phone(written: str) -> bool:
    """Whether the characters alone say that it is a date, years, times, a decimal or a version."""
    return bool(_DECIMAL.fullmatch(written) or _NEVER.fullmatch(written) or _DATE.search(written))


def compact_date(written: str) -> bool:
    """Eight digits that are year, month and day."""
    return _COMPACT_DATE.fullmatch(written) is not None


def part_of_longer(text: str, run: Run) -> bool:
    """Whether the run is cut out of an identifier, a path, a DOI, a longer decimal or a product of numbers."""
    before, after = text[max(0, run.start - 2) : run.start], text[run.stop : run.stop + 2]
    plus = text[run.start] == "+"
    if after[:1] == "@" or (after[:1].isalnum() and not EXTENSION.match(text, run.stop)):
        return True
    if after[:1] == "_" and not emphasised(text, run.stop):
        return True
    if len(after) == 2 and after[0] in "-," and after[1].isdigit() and not (plus or _field(text, run)):
        return True
    if plus:
        return before[-1:].isdigit() and text[max(0, run.start - 3) : run.start] != "%20"
    if before[-1:] in ("-", "_", "/", ".", ",", "&") and before[:1].isalnum() and len(before) == 2:
        word = text[max(0, run.start - 21) : run.start - 1]
        told = _LABELLED.search(word) is not None
        if before[1] == ",":
            return not (told or _field(text, run))
        return (before[0].isdigit() or not told) or _in_doi(text, run.start)
    return before[-1:] in (".", "/", "-", "(") and _in_doi(text, run.start)


def _field(text: str, run: Run) -> bool:
    """Whether a comma that touches the run separates fields, and not thousands or decimals."""
    single = len(run.groups) == 1
    thousands = run.lengths[0] < 4 and set(run.lengths[1:]) <= {3}
    before, after = text[run.start - 1 : run.start], text[run.stop : run.stop + 1]
    if single or thousands:
        field = text[max(0, run.start - 2) : run.start - 1]
        opened = before in ("", "\n", "\t", '"') or (before == "," and (single or not field.isdigit()))
        return opened and run.lengths[-1] > (3 if single else 2)
    return before != "," or after != "-"


def _in_doi(text: str, start: int) -> bool:
    token = text[max(0, start - 60) : start].split()
    return bool(token) and _IN_DOI.search(token[-1]) is not None


def opening(text: str, run: Run, first: int) -> int:
    """Where a part of a run begins, its bracket and plus sign included."""
    start = run.groups[first][0]
    least = run.start if first == 0 else run.groups[first - 1][1]
    while start > least and text[start - 1] in "+(":
        start -= 1
    return start


def strong(text: str, run: Run, first: int, last: int) -> bool:
    """Whether the groups `first` to `last` have the shape of a telephone number wherever they stand."""
    lengths = run.lengths[first : last + 1]
    total, start = sum(lengths), opening(text, run, first)
    head = text[run.groups[first][0] : run.groups[first][1]]
    american = lengths[-3:] == (3, 3, 4)
    if not 7 <= total <= 16 or not (american or text[start] in "+(0178"):
        return False
    written = text[start : run.groups[last][1]]
    if "+" in written[:2]:
        return _with_country(written, head, total, american)
    if _LOCAL_MOBILE.fullmatch(written):
        return True
    if never_phone(written) or _sum(text, start, run.groups[last][1], written):
        return False
    american = american and (len(lengths) == 3 or head in ("1", "001", "00", "011"))
    if american and _north_american(written, joined_groups(text, run, last)):
        return not _round_and_rising(text, run, last)
    if written[0] == "(" and _TRUNK.fullmatch(written) is None:
        year = len(head) == 4 and head[:2] in ("19", "20")
        closed = written[len(head) + 1 : len(head) + 2] == ")"
        return len(lengths) > 1 and 2 <= len(head) <= 5 and not year and closed and total <= 12
    if head[:2] == "00":
        return len(lengths) > 2 and 10 <= total <= 16 and head[2:3] != "0" and "." not in written
    return _national(text, run, first, last, written)


def joined_groups(text: str, run: Run, last: int) -> tuple[str, str]:
    """Area code and exchange of a number of the shape 3-3-4 that ends with the group `last`."""
    area, exchange = run.groups[last - 2], run.groups[last - 1]
    return text[slice(*area)], text[slice(*exchange)]


def _with_country(written: str, head: str, total: int, american: bool) -> bool:
    """A plus sign with a code of the ITU's list; no decimal."""
    if not 8 <= total <= 16 or head[0] == "0" or _COUNTRY.match(head) is None or _DECIMAL.fullmatch(written):
        return False
    return american or head[0] != "1" or total == 11


def _north_american(written: str, parts: tuple[str, str]) -> bool:
    """3-3-4: any area with dashes, dots or brackets, only a possible one with blanks."""
    area, exchange = parts
    if any(mark in written for mark in "-("):
        return area[0] not in "01"
    if "." in written:
        return area[0] not in "01"
    return area[0] not in "01" and exchange[0] not in "01"


def _round_and_rising(text: str, run: Run, last: int) -> bool:
    """Whether a number 3-3-4 is three multiples of a hundred, each larger than the one before."""
    numbers = [int(text[a:b]) for a, b in run.groups[last - 2 : last + 1]]
    return all(number % 100 == 0 for number in numbers) and numbers == sorted(set(numbers))


def _national(text: str, run: Run, first: int, last: int, written: str) -> bool:
    """After a trunk 0: two to five groups of a telephone's lengths."""
    lengths = run.lengths[first : last + 1]
    total = sum(lengths)
    if _TRUNK.fullmatch(written):
        return 8 < total < 13
    if _TRUNK_ONE.fullmatch(written):
        return True
    groups = [text[a:b] for a, b in run.groups[first : last + 1]]
    shaped = written[0] == "0" and len(lengths) >= 3 and 9 <= total <= 11 and min(lengths) >= 2 and max(lengths) <= 5
    return shaped and {group[0] for group in groups} != {"0"} and not rising(groups)


def rising(groups: list[str]) -> bool:
    """Whether four to seven numbers of one or two digits rise and stay below 60, as in a lottery."""
    if not 4 <= len(groups) <= 7 or any(len(group) > 2 for group in groups):
        return False
    numbers = [int(group) for group in groups]
    return numbers[-1] < 60 and all(a < b for a, b in pairwise(numbers))


def _sum(text: str, start: int, stop: int, written: str) -> bool:
    """Whether the number is a term with blanks around its minus."""
    if " - " not in written and " \u2013 " not in written:
        return False
    before = text[max(0, start - 20) : start].lower()
    keyed = _LABELLED.search(before.rstrip(" =")) is not None
    return not keyed and (_SUM_BEFORE.search(before) is not None or _SUM_BEHIND.match(text, stop) is not None)


def of_longer_code(text: str, start: int, stop: int) -> bool:
    """Whether groups in front or letters on both sides make the number the end of a code (1Z 999 …, GB 094 …)."""
    before = text[max(0, start - 18) : start]
    if _CODE_BEFORE.search(before):
        return True
    letters = _LETTERS_BEFORE.search(before) is not None
    few = sum(character.isdigit() for character in text[start:stop]) < 10
    return letters and (few or _LETTERS_BEHIND.match(text, stop) is not None)


def in_table(text: str, run: Run) -> bool:
    """Whether the line and one beside it are numbers only, and that one no telephone number."""
    begin, end = text.rfind("\n", max(0, run.start - _LINE), run.start) + 1, text.find("\n", run.stop, run.stop + _LINE)
    line = text[begin if begin else max(0, run.start - _LINE) : end if end >= 0 else run.stop + _LINE]
    if LETTER.search(line):
        return False
    above = text[max(0, begin - 1 - _LINE) : max(0, begin - 1)].rpartition("\n")[2] if begin else ""
    below = text[end + 1 : end + 1 + _LINE].partition("\n")[0] if end >= 0 else ""
    return any(
        any(c.isdigit() for c in row) and not LETTER.search(row) and not _PHONE_ROW.match(row) for row in (above, below)
    )
