"""Numbers that identify a person's money or papers: cards, IBAN, US social security and the like.

`number_runs` finds digits with separators once for all kinds. Which rule needs what:

- Card: 12 to 19 digits, bare or grouped as printed on cards, Luhn-valid, and of a known issuer unless a
  word such as "card" is near (generators know more issuers than there are).
  16-digit (and 14- and 15-digit) numbers need no more; the lengths that other things share (12, 13, 17 to 19)
  need a word such as "card" or no word against it and a grouping. Without the checksum a number of a known issuer
  counts only as somebody's mistyped one ("my card …"); groups cut out of a longer row of groups are no card.
- IBAN: country, its length, modulus 97. Beside a word such as "IBAN" the checksum may be wrong (generators of
  test data and people with typing errors make such), if it is written without blanks or in groups of four.
- US SSN: 3-2-4 digits that the Social Security Administration could have issued. With dashes that is enough unless
  a word says otherwise (an order; an article right in front, as in "SKU 123-45-6789"); with blanks, dots or nothing
  between, "SSN" or "social security" must be near.
- ITIN, bank account and routing numbers, passports and driver's licences only beside their words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .checks import (
    IBAN_LENGTH,
    card_issuer_known,
    iban_checksum_valid,
    iban_valid,
    itin_valid,
    luhn_valid,
    routing_valid,
    ssn_valid,
)
from .context import ESCAPED, Span, emphasised, follows, last_end, near, nearest, plain_before
from .words import (
    ARTICLE_WORDS,
    CARD_WORDS,
    IBAN_WORDS,
    NOT_CARD_WORDS,
    NOT_SSN_WORDS,
    SSN_WORDS,
    WEAK_CARD_WORDS,
    words,
)

# A class of characters at the beginning of an expression lets `re` skip to it quickly.
_RUN = re.compile(
    r"[0-9]++(?:\)?(?:[ \u00a0\u202f]{1,2}|\.| ?[-\u2010\u2011\u2013/] ?)\(?[0-9]++|\)[0-9]++|\([0-9]++)*+"
)
_GROUP = re.compile("[0-9]+")
_MOST_GROUPS = 14  # longer rows of numbers are tables
_SOMEBODYS = re.compile(r"(?<![^\W_])(?:my|your|ur|his|her|their|our)(?![^\W_])[^.;!?\n]{0,40}$", re.IGNORECASE)
_CARD_SHAPES = {
    (4, 4, 4, 4),
    (4, 6, 5),
    (4, 6, 4),
    (4, 4, 5),
    (4, 4, 4),
    (4, 4, 4, 3),
    (4, 4, 4, 1),
    (4, 4, 4, 4, 3),
    (4, 5, 6),
}
_IBAN_GAP = "(?: {1,2}|[-.\u2013])?"  # between two characters of an IBAN
_IBAN_HEAD = re.compile(
    r"[0-9]{2}(?<=[A-Za-z]{2}[0-9]{2})(?:(?<=(?<![^\W_])....)|(?<=IBAN....)|(?<=\\[nrt]....)|(?<=%20....))"
    rf"(?={_IBAN_GAP}[A-Za-z0-9]{{2}})"
)
_GLUED_LABEL = re.compile(r"(?<![^\W_])(?:tel|phone|fax|mob|ssn)$", re.IGNORECASE)
_ESCAPED = re.compile(rf"{ESCAPED}$|(?<=\\u00a)$|(?<=%2B)$")
_IBAN_TAIL = {n: re.compile(rf"(?:{_IBAN_GAP}[A-Za-z0-9]){{{n - 4}}}(?![^\W_])") for n in set(IBAN_LENGTH.values())}
_IBAN_OF_OTHER_LENGTH = re.compile(r"[0-9A-Z]{10,30}+(?![0-9A-Za-z])")
_IBAN_PRINTED = re.compile(
    r"(?:[A-Z0-9]+|[a-z0-9]+|[A-Z0-9]{4}(?:([ -])[A-Z0-9]{4})(?:\1[A-Z0-9]{4})*(?:\1[A-Z0-9]{1,3})?)"
)
_ITIN_WORDS = words(r"itin; tax(?:payer)? (?:id|identification)")
_ROUTING_WORDS = words(r"routing; aba; rtn")
_BANK_WORDS = words(r"bank; checking; savings?; acc(?:oun)?t\.?(?: ?(?:no|number|num|#))")
_NOT_BANK_WORDS = words(r"card; orders?; invoices?; phone; tel; customer; user; iban; order; tracking; routing")
_PAPERS = {
    "US_PASSPORT": (
        ("passport",),
        re.compile(
            r"passports?(?![^\W_])[^\d\n]{0,30}?(?<![^\W_])([A-Z][0-9]{8}|[0-9]{9})(?![^\W_])",
            re.IGNORECASE,
        ),
    ),
    "US_DRIVER_LICENSE": (
        ("licen", "dl#", "dl no"),
        re.compile(
            r"(?<![^\W_])(?:driv(?:er|ing)(?:'?s|\u2019s)? ?licen[cs]e|dl ?(?:#|no\.?|number))(?![^\W_])[^\d\n]{0,30}?"
            r"(?<![^\W_])([A-Z]{0,3}[0-9][0-9A-Z]{1,14}(?:[ -][0-9A-Z]{2,6}){0,4})(?![^\W_])",
            re.IGNORECASE,
        ),
    ),
}  # fmt: skip


class Run(NamedTuple):
    """Digits with single separators between: where it is, and where each group of digits is."""

    start: int
    stop: int
    groups: list[tuple[int, int]]
    lengths: tuple[int, ...]


def number_runs(text: str) -> list[Run]:
    """All runs of at least seven digits, rows of many numbers and parts of words excepted."""
    found = []
    for match in _RUN.finditer(text):
        start, stop = match.span()
        if not 7 <= stop - start <= 120:
            continue
        groups = [group.span() for group in _GROUP.finditer(text, start, stop)]
        lengths = tuple(b - a for a, b in groups)
        if len(groups) > _MOST_GROUPS or sum(lengths) < 7:
            continue
        start = _opened(text, start, stop)
        if start == 0 or not text[start - 1].isalnum() or text[start] == "+" or _label_or_escape(text, start):
            run = Run(start, stop, groups, lengths)
            found.append(_unescaped(text, run) if text[max(0, start - 5) : start].endswith(("%", "\\u00a")) else run)
    return found


def _label_or_escape(text: str, start: int) -> bool:
    """Whether the letters that touch a number are a label or the escape of a blank, so that no word is cut."""
    before = text[max(0, start - 8) : start]
    return _GLUED_LABEL.search(before) is not None or _ESCAPED.search(before) is not None


def _unescaped(text: str, run: Run) -> Run:
    """The run without the digits that belong to ``%20`` or to ``\\u00a0`` in front of it."""
    width = 2 if text[run.start - 1] == "%" else 1
    head, end = run.groups[0]
    if end - head <= width or text[head:end][:width] not in ("20", "09", "0"):
        return run
    return Run(head + width, run.stop, [(head + width, end), *run.groups[1:]], (end - head - width, *run.lengths[1:]))


def _opened(text: str, start: int, stop: int) -> int:
    """Where a run begins with its plus sign and its brackets, unless they are closed after it."""
    while start > 0 and text[start - 1] in "+(" and not (text[start - 1] == "(" and ")" not in text[start:stop]):
        start -= 1
    return start


def joined(text: str, run: Run, first: int, last: int) -> str:
    """The digits of the groups `first` to `last` (inclusive)."""
    return "".join(text[start:stop] for start, stop in run.groups[first : last + 1])


def separators(text: str, run: Run, first: int, last: int) -> set[str]:
    """What stands between those groups."""
    return {text[run.groups[i][1] : run.groups[i + 1][0]] for i in range(first, last)}


def _windows(text: str, run: Run, shapes: set[tuple[int, ...]], single: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Where groups of these shapes, or one group of that many digits, stand in a run with one separator between."""
    widths = [width for width in (5, 4, 3) if width <= len(run.lengths)]
    for first, length in enumerate(run.lengths):
        for width in widths:
            last = first + width - 1
            if (
                last < len(run.lengths)
                and run.lengths[first : last + 1] in shapes
                and len(separators(text, run, first, last)) == 1
            ):
                yield first, last
                break
        else:
            if single[0] <= length <= single[1]:
                yield first, first


def _joined_to_word(text: str, start: int, stop: int) -> bool:
    """Whether a number is a part of something longer: a hash, a UUID, a path, an identifier, a decimal."""
    before, after = text[max(0, start - 2) : start], text[stop : stop + 2]
    if len(before) == 2 and before[1] in "-_/.=&" and before[0].isalnum() and before[1] != "=":
        return True
    if after[:1] == "_":
        return not emphasised(text, stop)
    return after[:1].isalnum() or (len(after) == 2 and after[0] in "-." and after[1].isalnum())


def cards(text: str, runs: list[Run]) -> Iterator[Span]:
    """Credit and debit card numbers."""
    for run in runs:
        if sum(run.lengths) < 12:
            continue
        for first, last in _windows(text, run, _CARD_SHAPES, (12, 19)):
            start, stop = run.groups[first][0], run.groups[last][1]
            digits = joined(text, run, first, last)
            if len(digits) < 14 and _cut_out(text, run, first, last):
                continue
            if (card_issuer_known(digits) or luhn_valid(digits)) and not _joined_to_word(text, start, stop):
                verdict = nearest(text, start, CARD_WORDS, NOT_CARD_WORDS)
                if _is_card(text, (start, stop), digits, first == last, verdict):
                    yield Span("CREDIT_CARD", start, stop, text[start:stop])
                    break


def _cut_out(text: str, run: Run, first: int, last: int) -> bool:
    """Whether more groups of a card's width stand beside these groups, with the same separator."""
    if first == last:
        return False
    beside = [i for i in (first - 1, last + 1) if 0 <= i < len(run.lengths) and run.lengths[i] >= 3]
    return any(len(separators(text, run, min(i, first), max(i, last))) == 1 for i in beside)


def _is_card(text: str, place: tuple[int, int], digits: str, bare: bool, verdict: int) -> bool:
    """Weigh the checksum, the length and the words."""
    valid, (start, stop) = luhn_valid(digits), place
    if (verdict == 0 or (valid and verdict < 0)) and follows(text, stop, CARD_WORDS):
        verdict = 1
    if not valid:
        owned = _SOMEBODYS.search(text, max(0, start - 50), start) is not None
        return verdict > 0 and owned and len(digits) >= 15
    if verdict > 0:
        return True
    if verdict < 0 or not card_issuer_known(digits):
        return False
    if 14 <= len(digits) <= 16 or (not bare and len(digits) > 12):
        return True
    return nearest(text, start, WEAK_CARD_WORDS, NOT_CARD_WORDS) > 0 or follows(text, stop, WEAK_CARD_WORDS)


def ibans(text: str) -> Iterator[Span]:
    """International bank account numbers, in one piece or in groups."""
    for head in _IBAN_HEAD.finditer(text):
        start = head.start() - 2
        length = IBAN_LENGTH.get(text[start : start + 2].upper())
        tail = _IBAN_TAIL[length].match(text, head.end()) if length else None
        if tail is None:
            tail = _IBAN_OF_OTHER_LENGTH.match(text, head.end()) if length else None
            beside_word = tail is not None and nearest(text, start, IBAN_WORDS, NOT_CARD_WORDS) > 0
            if tail is not None and beside_word and iban_checksum_valid(text[start : tail.end()]):
                yield Span("IBAN_CODE", start, tail.end(), text[start : tail.end()])  # mistyped, or made up
            continue
        written = text[start : tail.end()]
        valid = iban_valid("".join(character for character in written if character.isalnum()))
        if valid or (_IBAN_PRINTED.fullmatch(written) and nearest(text, start, IBAN_WORDS, NOT_CARD_WORDS) > 0):
            yield Span("IBAN_CODE", start, tail.end(), written)


def social_security_numbers(text: str, runs: list[Run]) -> Iterator[Span]:
    """US SSN and ITIN: nine digits as 3-2-4 or in one piece."""
    for run in runs:
        for first, last in _windows(text, run, {(3, 2, 4)}, (9, 9)):
            start, stop = run.groups[first][0], run.groups[last][1]
            digits = joined(text, run, first, last)
            if _joined_to_word(text, start, stop):
                continue
            if itin_valid(digits) and near(text, start, stop, _ITIN_WORDS, 60):
                yield Span("US_ITIN", start, stop, text[start:stop])
            elif ssn_valid(digits) and _is_ssn(text, start, stop, separators(text, run, first, last)):
                yield Span("US_SSN", start, stop, text[start:stop])


def _is_ssn(text: str, start: int, stop: int, between: set[str]) -> bool:
    """Dashes suffice without a word against it; all else needs a word for it."""
    verdict = nearest(text, start, SSN_WORDS, NOT_SSN_WORDS)
    if verdict == 0 and follows(text, stop, SSN_WORDS):
        verdict = 1
    if verdict != 0 or not between & {"-", "\u2013"}:
        return verdict > 0
    return last_end(plain_before(text, start, 30), ARTICLE_WORDS) < 0


def bank_numbers(text: str, runs: list[Run]) -> Iterator[Span]:
    """US account numbers (8 to 17 digits) and routing numbers (nine, with a checksum) beside their words."""
    for run in runs:
        for (start, stop), length in zip(run.groups, run.lengths):
            if not 8 <= length <= 17 or _joined_to_word(text, start, stop):
                continue
            before = text[max(0, start - 50) : start].lower()
            routing = length == 9 and routing_valid(text[start:stop]) and last_end(before, _ROUTING_WORDS) >= 0
            if routing or nearest(text, start, _BANK_WORDS, _NOT_BANK_WORDS, 50) > 0:
                yield Span("US_BANK_NUMBER", start, stop, text[start:stop])


def papers(text: str, lower: str, kind: str) -> Iterator[Span]:
    """Numbers of passports and driver's licences right after their words."""
    hints, pattern = _PAPERS[kind]
    if any(hint in lower for hint in hints):
        for match in pattern.finditer(text):
            if sum(character.isdigit() for character in match[1]) >= 5:
                yield Span(kind, *match.span(1), match[1])
