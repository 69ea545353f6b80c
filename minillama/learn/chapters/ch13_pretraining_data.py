"""Chapter 13, pretraining data: quality, personal data, near-duplicates, contamination, mixing, bits per byte."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from ...data.duplicates.minhash import MinHash, jaccard
from ...data.duplicates.minhash_kernels import multiply_add
from ...data.rules.c4 import POLICY_PHRASES, C4Quality
from ...data.rules.contamination import NgramOverlap
from ...data.rules.gopher import STOP_WORDS, GopherQuality
from ...data.rules.personal_data.checks import IBAN_LENGTH, luhn_valid
from ...data.rules.personal_data.checks import iban_valid as package_iban_valid
from ...data.rules.repetition import duplicates
from ...data.rules.word_kernels import ngram_characters
from ...data.rules.words import words_of
from ..exercise import Exercise, Function, Mistake

PRIME = (1 << 61) - 1
_NOUNS = "boat river garden window market lantern teacher kettle ladder harbour basket meadow".split()  # noqa: SIM905
_SHORT = ["cat", "dog", "sun", "hat", "cup", "bed", "map", "jar", "box", "pen", "fox", "hen"]
_ENDINGS = ("s", "ed", "ing", "er", "less", "ful", "ish", "y", "like", "let", "ly")
_LONG = ["conversation", "electricity", "architecture", "neighbourhoods", "grandchildren", "understanding"]


def _each(function: Function, args: tuple[Any, ...]) -> Any:
    """What the function says of every item of the first argument."""
    items, *rest = args
    return {item: function(item, *rest) for item in items}


def _pick(rng: np.random.Generator, words: Sequence[str], n: int) -> list[str]:
    return [words[int(i)] for i in rng.integers(0, len(words), n)]


# --- luhn_valid ------------------------------------------------------------------------------


def _make_luhn(rng: np.random.Generator, numbers: int, length: int) -> tuple[Any, ...]:
    """Numbers of `length` and of one digit more, valid ones first, then valid ones with one digit changed."""
    if length < 3:
        raise ValueError("numbers have at least three digits")
    found = []
    for n in range(numbers):
        digits = "".join(map(str, rng.integers(0, 10, length - 1 + n % 2)))
        digits += next(d for d in "0123456789" if luhn_valid(digits + d))
        if n % 3 == 2:
            digits = digits[:-2] + str((int(digits[-2]) + 1) % 10) + digits[-1]
        found.append(digits)
    return (found,)


def _luhn_sum(digits: str, second: int, doubled: Callable[[int], int] = lambda d: 2 * d - 9 * (d > 4)) -> int:
    """The sum with every second digit doubled, the first of them `second` places from the right."""
    numbers = [int(d) for d in reversed(digits)]
    return sum(doubled(d) if i % 2 == second else d for i, d in enumerate(numbers))


LUHN = Exercise(
    id="luhn_valid",
    chapter="13",
    title="The check digit of a card number",
    task="Say whether a number passes the Luhn formula.",
    difficulty=1,
    minutes=10,
    reference=luhn_valid,
    make=_make_luhn,
    shapes=(
        {"numbers": 1, "length": 4},
        {"numbers": 2, "length": 7},
        {"numbers": 4, "length": 12},
        {"numbers": 12, "length": 15},
        {"numbers": 20, "length": 18},
    ),
    exact=True,
    observe=_each,
    hints=(
        "The last digit is the check digit and counts as it is. Going left from it, every second digit is doubled.",
        "A doubled digit above 9 is replaced by the sum of its digits: 7 becomes 14 becomes 5, which is 14 - 9.",
        "for i, d in enumerate(map(int, reversed(digits))):\n"
        "    if i % 2 == 1: d = 2 * d - 9 if d > 4 else 2 * d\n"
        "    total += d\n"
        "return total % 10 == 0",
    ),
    mistakes=(
        Mistake(
            "Your function starts doubling with the first digit from the left.",
            "That is right for 16 digits and wrong for 15. Count from the right: the check digit is not doubled, its "
            "neighbour is.",
            lambda digits: _luhn_sum(digits, (len(digits) - 1) % 2) % 10 == 0,
        ),
        Mistake(
            "Your function doubles the check digit itself.",
            "The last digit counts as it is; the doubling begins with the digit in front of it.",
            lambda digits: _luhn_sum(digits, 0) % 10 == 0,
        ),
        Mistake(
            "Your function doubles digits and does not take 9 off when the result has two digits.",
            "8 doubled is 16 and counts 1 + 6 = 7, the same as 16 - 9.",
            lambda digits: _luhn_sum(digits, 1, lambda d: 2 * d) % 10 == 0,
        ),
        Mistake(
            "Your function adds all digits as they are.",
            "A plain sum does not notice two digits that have changed places: double every second one.",
            lambda digits: _luhn_sum(digits, 2) % 10 == 0,
        ),
        Mistake(
            "Your function says yes when the total is no multiple of 10.",
            "Valid is total % 10 == 0. (`not total % 10`, or a comparison; the bare remainder is true when it is not "
            "0.)",
            lambda digits: _luhn_sum(digits, 1) % 10 != 0,
        ),
    ),
)

# --- iban_checksum_valid ---------------------------------------------------------------------


def iban_checksum_valid(iban: str) -> bool:
    """Modulus 97 of an IBAN in groups, of a known country and the right length."""
    return package_iban_valid(iban.replace(" ", ""))


def _iban(first: int = 4, value: Callable[[str], str] = lambda c: str(int(c, 36)), rest: int = 1) -> Function:
    """The check with its parts exchanged, for mistakes."""

    def valid(iban: str) -> bool:
        compact = iban.replace(" ", "")
        turned = compact[first:] + compact[:first]
        return int("".join(map(value, turned))) % 97 == rest

    return valid


_IBAN_MISTAKES: tuple[Function, ...] = (
    _iban(first=0),
    _iban(first=2),
    _iban(value=lambda c: c if c.isdigit() else str(ord(c) - 64)),
    _iban(value=lambda c: c if c.isdigit() else str(ord(c))),
    _iban(value=lambda c: c if c.isdigit() else ""),
    _iban(rest=0),
)


def _make_ibans(rng: np.random.Generator, ibans: int) -> tuple[Any, ...]:
    """Numbers in groups of four: valid, valid by a mistake only, valid, ..."""
    found = []
    for n in range(ibans):
        country = ("NO", "GB", "DE", "MT", "FR")[n % 5]
        account = "".join(map(str, rng.integers(0, 10, IBAN_LENGTH[country] - 4)))
        if country in ("GB", "MT"):
            account = "Z" + "".join(_pick(rng, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", 3)) + account[4:]
        rule = iban_checksum_valid if n % 2 == 0 else _IBAN_MISTAKES[n // 2 % len(_IBAN_MISTAKES)]
        groups = re.findall(".{1,4}", f"{country}00{account}")
        fitting = (f"{country}{check:02d}" for check in range(2, 99))
        found.append(next(" ".join([begin, *groups[1:]]) for begin in fitting if rule(" ".join([begin, *groups[1:]]))))
    return (found,)


IBAN = Exercise(
    id="iban_checksum_valid",
    chapter="13",
    title="The checksum of a bank account",
    task="Say whether an IBAN, written in groups of four, passes modulus 97.",
    difficulty=1,
    minutes=10,
    reference=iban_checksum_valid,
    make=_make_ibans,
    shapes=({"ibans": 1}, {"ibans": 2}, {"ibans": 3}, {"ibans": 6}, {"ibans": 24}),
    exact=True,
    observe=_each,
    hints=(
        "Remove the spaces, move the first four characters to the end, and read the result as one very long number.",
        'Letters become two digits: A is 10, B is 11, Z is 35, which is int(letter, 36). "GB82" turns into "161182".',
        'compact = iban.replace(" ", "")\n'
        "turned = compact[4:] + compact[:4]\n"
        'return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1',
    ),
    mistakes=(
        Mistake(
            "Your function reads the number without moving the first four characters to the end.",
            "The check digits belong to the right end, as the last digits of the number: compact[4:] + compact[:4].",
            _IBAN_MISTAKES[0],
        ),
        Mistake(
            "Your function moves only the two letters of the country.",
            "The check digits behind them move as well: four characters.",
            _IBAN_MISTAKES[1],
        ),
        Mistake(
            "Your function counts letters from 1: A is 1, B is 2.",
            "A is 10 and Z is 35, as digits of base 36 go on behind 9.",
            _IBAN_MISTAKES[2],
        ),
        Mistake(
            "Your function takes the character codes of the letters: A is 65.",
            "A is 10 and Z is 35: ord(c) - 55, or int(c, 36).",
            _IBAN_MISTAKES[3],
        ),
        Mistake(
            "Your function leaves the letters out.",
            "Letters count as two digits each, those of the country, too.",
            _IBAN_MISTAKES[4],
        ),
        Mistake(
            "Your function expects a remainder of 0.",
            "The check digits are chosen so that the remainder is 1.",
            _IBAN_MISTAKES[5],
        ),
    ),
)

# --- ipv4_public -----------------------------------------------------------------------------

_Ranges = Sequence[tuple[tuple[int, int], tuple[int, int]]]
_PRIVATE: _Ranges = (
    ((10, 0), (10, 255)),
    ((127, 0), (127, 255)),
    ((169, 254), (169, 254)),
    ((172, 16), (172, 31)),
    ((192, 168), (192, 168)),
)


def _ipv4(
    private: _Ranges = _PRIVATE, least: int = 0, most: int = 255, zeros: bool = False, parts: int = 4
) -> Function:
    """The rule with its parts exchanged, for mistakes."""

    def public(text: str) -> bool:
        groups = text.split(".")
        if len(groups) < parts or (parts == 4 and len(groups) != 4):
            return False
        if not all(g.isdecimal() and least <= int(g) <= most and (zeros or g == str(int(g))) for g in groups):
            return False
        start = int(groups[0]), int(groups[1])
        return not any(first <= start <= last for first, last in private)

    return public


def ipv4_public(text: str) -> bool:
    """Whether a text is a well-formed IPv4 address outside the private ranges."""
    found: bool = _ipv4()(text)
    return found


def _library_ipv4(text: str) -> bool:
    try:
        return ipaddress.IPv4Address(text).is_global
    except ValueError:
        return False


def _ipv4_by_int(text):
    """Every part that int() reads is written as digits before it is judged."""
    groups = text.split(".")
    try:
        digits = [group if group.isdecimal() else str(int(group)) for group in groups]
    except ValueError:
        return False
    return ipv4_public(".".join(digits))


def _make_addresses(rng: np.random.Generator, addresses: int) -> tuple[Any, ...]:
    def some(n: int) -> str:
        return ".".join(map(str, rng.integers(2, 250, n)))

    kinds: tuple[Callable[[], str], ...] = (
        lambda: f"83.{some(3)}",
        lambda: f"172.{rng.integers(17, 31)}.{some(2)}",
        lambda: f"192.{rng.integers(170, 250)}.{some(2)}",
        lambda: f"83.{some(2)}.256",
        lambda: f"10.{some(3)}",
        lambda: f"172.{rng.integers(32, 250)}.{some(2)}",
        lambda: f"127.{some(3)}",
        lambda: f"83.0{rng.integers(1, 9)}.{some(2)}",
        lambda: f"192.168.{some(2)}",
        lambda: f"169.254.{some(2)}",
        lambda: f"84.{some(2)}",
        lambda: f"84.{some(4)}",
        lambda: f"172.16.{some(2)}",
        lambda: f"9.{some(3)}",
        lambda: f"169.{rng.integers(10, 250)}.{some(2)}",
        lambda: f"84.{some(2)}.x1",
        lambda: f"8.{some(1)}.0.{rng.integers(2, 250)}",
        lambda: f"172.15.{some(2)}",
        lambda: f"172.31.{some(2)}",
        lambda: f"172.32.{some(2)}",
        lambda: f"83.255.{some(2)}",
        lambda: f"83.{some(2)}.255",
        lambda: f"{rng.integers(101, 110)}.{some(3)}",
        lambda: f"{rng.choice([11, 126, 128])}.{some(3)}",
        lambda: f"192.{rng.choice([167, 169])}.{some(2)}",
        lambda: f"169.{rng.choice([253, 255])}.{some(2)}",
        lambda: f"{rng.choice([191, 193])}.168.{some(2)}",
        lambda: f"+8.{some(3)}",
        lambda: f" 8.{some(3)}",
        lambda: f"8.{some(2)}. {rng.integers(2, 250)}",
        lambda: f"8.{some(2)}.-{rng.integers(2, 250)}",
        lambda: f"8.{some(2)}.",
        lambda: f"1_0.{some(3)}",
        lambda: f"84.{some(2)}",
        lambda: f"10.0.0.{rng.integers(2, 250)}",
        lambda: f"10.255.{some(2)}",
        lambda: f"8.{some(2)}.{rng.integers(257, 999)}",
        lambda: f"8..{some(3)}",
        lambda: f"8.0.{some(2)}",
        lambda: f".8.{some(3)}",
        lambda: f"8.{some(3)}.",
        lambda: f"127.0.0.{rng.integers(1, 250)}",
        lambda: f"192.168.0.{rng.integers(1, 250)}",
        lambda: f"172.{rng.integers(17, 31)}.0.0",
    )
    return ([kinds[n % len(kinds)]() for n in range(addresses)],)


IPV4 = Exercise(
    id="ipv4_public",
    chapter="13",
    title="An address of the public internet",
    task="Say whether a text is a well-formed IPv4 address that is not private.",
    difficulty=1,
    minutes=12,
    reference=ipv4_public,
    make=_make_addresses,
    shapes=(
        {"addresses": 1},
        {"addresses": 4},
        {"addresses": 9},
        {"addresses": 16},
        {"addresses": 44},
        {"addresses": 88},
    ),
    exact=True,
    observe=_each,
    oracle=_library_ipv4,
    hints=(
        "Cut at the dots first: there must be four parts, each of decimal digits, 0 to 255, without leading zeros.",
        "Then compare numbers, not text: 172.16 to 172.31 is private, the rest of 172 is not.",
        'parts = text.split(".")\n'
        "well formed: len(parts) == 4 and all(p.isdecimal() and p == str(int(p)) and int(p) <= 255 for p in parts)\n"
        "a, b = int(parts[0]), int(parts[1])\n"
        "private: a in (10, 127) or (a, b) in ((169, 254), (192, 168)) or (a == 172 and 16 <= b <= 31)",
    ),
    mistakes=(
        Mistake(
            "Your function takes all of 172 as private.",
            "Only 172.16 to 172.31 is: 12 bits are fixed, 172.16.0.0/12.",
            _ipv4([*_PRIVATE[:3], ((172, 0), (172, 255)), _PRIVATE[4]]),
        ),
        Mistake(
            "Your function takes only 172.16 as private.",
            "The range is 172.16.0.0/12, which is 172.16 to 172.31.",
            _ipv4([*_PRIVATE[:3], ((172, 16), (172, 16)), _PRIVATE[4]]),
        ),
        Mistake(
            "Your function takes all of 192 as private.",
            "Only 192.168 is.",
            _ipv4([*_PRIVATE[:4], ((192, 0), (192, 255))]),
        ),
        Mistake(
            "Your function lets addresses of the machine itself (127) pass.",
            "127.0.0.0/8 is the loop back to the machine: nobody's address on the internet.",
            _ipv4([_PRIVATE[0], *_PRIVATE[2:]]),
        ),
        Mistake(
            "Your function takes 256 as a byte.",
            "A part is one byte, 0 to 255.",
            _ipv4(most=256),
        ),
        Mistake(
            "Your function refuses a part that is 0.",
            "8.8.0.1 is well formed: a leading zero is one with a digit behind it.",
            _ipv4(least=1),
        ),
        Mistake(
            "Your function accepts signs and spaces, as int() does.",
            "int(' 8'), int('+8') and int('1_0') are numbers to Python, but no parts of an address: ask "
            "part.isdecimal() first.",
            _ipv4_by_int,
        ),
        Mistake(
            "Your function accepts leading zeros.",
            "Some programs read 010 as the octal number 8, so an address with leading zeros is ambiguous and not well "
            "formed.",
            _ipv4(zeros=True),
        ),
        Mistake(
            "Your function does not ask for exactly four parts.",
            "Three numbers are a version or a date, five are a section of a document: len(parts) == 4.",
            _ipv4(parts=2),
        ),
    ),
)

# --- redact_emails ---------------------------------------------------------------------------

EMAIL_MARK = "|||EMAIL_ADDRESS|||"
_LOCAL, _DOMAIN = r"[A-Za-z0-9._+-]+", r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"


def redact_emails(text: str) -> str:
    """The text with a mark in place of every e-mail address."""
    return re.sub(f"{_LOCAL}@{_DOMAIN}", EMAIL_MARK, text)


def _make_emails(rng: np.random.Generator, sentences: int) -> tuple[Any, ...]:
    def name() -> str:
        return _pick(rng, _NOUNS, 1)[0]

    kinds: tuple[Callable[[], str], ...] = (
        lambda: f"Write to {name()}@{name()}.org.",
        lambda: f"Ask {name()}.{name()}+news@mail.{name()}.co.uk, or wait.",
        lambda: f"Follow @{name()} and {name()}@localhost for more.",
        lambda: f"Buy 3@2.50 of the {name()} (or {name()}_7@{name()}.com) today.",
        lambda: f"Both {name().upper()}@{name().upper()}.NET and {name()}-{name()}@{name()}-{name()}.info answer!",
        lambda: f"The {name()} in the {name()}.com? No: <{name()}@a1.{name()}.de>;",
        lambda: f"Neither {name()}@{name()}.c nor a@b.c is one.",
        lambda: f"Signs belong to it: -{name()}@{name()}.org, .{name()}@{name()}.net and _{name()}@{name()}.eu.",
        lambda: f"Also {name()}.@{name()}.org or {name()}-@{name()}.museum, not @{name()}.com.",
    )
    return (" ".join(kinds[n % len(kinds)]() for n in range(sentences)),)


def _with(pattern: str, count: int = 0, mark: str = EMAIL_MARK) -> Function:
    return lambda text: re.sub(pattern, mark, text, count=count)


EMAILS = Exercise(
    id="redact_emails",
    chapter="13",
    title="E-mail addresses out of a text",
    task="Replace every e-mail address whose domain has a dot by |||EMAIL_ADDRESS|||.",
    difficulty=2,
    minutes=12,
    reference=redact_emails,
    make=_make_emails,
    shapes=(
        {"sentences": 1},
        {"sentences": 2},
        {"sentences": 3},
        {"sentences": 6},
        {"sentences": 9},
        {"sentences": 19},
    ),
    exact=True,
    hints=(
        "Three parts: a run of allowed characters, an @, a domain. Most of the work is to say where the domain ends.",
        "A domain is one or more labels with a dot behind each, and last two or more letters. The dot of the sentence "
        "then stays outside, because no letters follow it.",
        'return re.sub(r"[A-Za-z0-9._+-]+@(?:[A-Za-z0-9-]+\\.)+[A-Za-z]{2,}", "|||EMAIL_ADDRESS|||", text)',
    ),
    mistakes=(
        Mistake(
            "Your function replaces everything up to the next space.",
            "Dots, commas and brackets behind an address belong to the sentence: say which characters a domain has.",
            _with(r"\S+@\S+"),
        ),
        Mistake(
            "Your function does not ask for a dot in the domain.",
            "name@localhost and 3@2 are no addresses that reach anybody: a label, a dot, and letters at the end.",
            _with(rf"{_LOCAL}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"),
        ),
        Mistake(
            "Your function stops at the second dot of the domain and leaves the rest standing.",
            "mail.example.co.uk has four labels: repeat the part with the dot, (?:label\\.)+.",
            _with(rf"{_LOCAL}@[A-Za-z0-9-]+\.[A-Za-z]{{2,}}"),
        ),
        Mistake(
            "Your function leaves what stands before a dot or plus sign of the local part.",
            "first.last+tag@ is one local part: allow dot, plus, minus and underscore in it.",
            _with(rf"[A-Za-z0-9]+@{_DOMAIN}"),
        ),
        Mistake(
            "Your function knows small letters only.",
            "Addresses are written in capitals, too: A-Z as well as a-z, or re.IGNORECASE.",
            _with(r"[a-z0-9._+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,}"),
        ),
        Mistake(
            "Your function replaces the first address only.",
            "re.sub replaces all unless it is told a count; a search finds one, so go on behind it.",
            _with(f"{_LOCAL}@{_DOMAIN}", count=1),
        ),
        Mistake(
            "Your function deletes the addresses.",
            "A mark stays in the place of each: the sentence keeps its shape, and a model learns that something was "
            "there.",
            _with(f"{_LOCAL}@{_DOMAIN}", mark=""),
        ),
    ),
)

# --- redact_or_drop --------------------------------------------------------------------------


def redact_or_drop(text: str, spans: list[tuple[int, int, str]], most: int) -> str | None:
    """Marks in place of the spans; None where there are more than `most`."""
    if len(spans) > most:
        return None
    for start, stop, kind in reversed(spans):
        text = f"{text[:start]}|||{kind}|||{text[stop:]}"
    return text


def _make_spans(rng: np.random.Generator, words: int, spans: int, most: int) -> tuple[Any, ...]:
    if spans > words:
        raise ValueError("a span is one word")
    chosen = sorted(rng.choice(words, spans, replace=False).tolist())
    drawn = _pick(rng, _SHORT[:4], words)
    starts = np.cumsum([0, *(len(word) + 1 for word in drawn)]).tolist()
    kinds = _pick(rng, ("EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS"), spans)
    return " ".join(drawn), [(starts[i], starts[i] + len(drawn[i]), kind) for i, kind in zip(chosen, kinds)], most


def _redact(limit: Callable[[int, int], bool] = lambda n, most: n > most, dropped: Any = None, stop_more: int = 0):
    def function(text, spans, most):
        if limit(len(spans), most):
            return dropped
        return redact_or_drop(text, [(start, stop + stop_more, kind) for start, stop, kind in spans], len(spans))

    return function


def _redact_from_left(text, spans, most):
    if len(spans) > most:
        return None
    for start, stop, kind in spans:
        text = f"{text[:start]}|||{kind}|||{text[stop:]}"
    return text


def _redact_by_text(text, spans, most):
    if len(spans) > most:
        return None
    found = text
    for start, stop, kind in spans:
        found = found.replace(text[start:stop], f"|||{kind}|||")
    return found


REDACT = Exercise(
    id="redact_or_drop",
    chapter="13",
    title="Replace a few, drop for many",
    task="Replace the found spans of a text, or drop the text when there are more than `most`.",
    difficulty=1,
    minutes=10,
    reference=redact_or_drop,
    make=_make_spans,
    shapes=(
        {"words": 1, "spans": 1, "most": 5},
        {"words": 4, "spans": 2, "most": 5},
        {"words": 7, "spans": 4, "most": 1},
        {"words": 6, "spans": 2, "most": 0},
        {"words": 5, "spans": 0, "most": 0},
        {"words": 9, "spans": 3, "most": 3},
        {"words": 12, "spans": 5, "most": 5},
        {"words": 12, "spans": 6, "most": 5},
        {"words": 30, "spans": 9, "most": 8},
    ),
    exact=True,
    hints=(
        "Positions are those of the original text. As soon as one span has been replaced, all behind it have moved.",
        "Work from the last span to the first: what lies in front of a place does not move when the place changes.",
        "if len(spans) > most: return None\n"
        "for start, stop, kind in reversed(spans):\n"
        '    text = text[:start] + "|||" + kind + "|||" + text[stop:]',
    ),
    mistakes=(
        Mistake(
            "Your function replaces from left to right with the positions of the original text.",
            "The first mark is longer than what it replaces, so the second span has moved: go from right to left.",
            _redact_from_left,
        ),
        Mistake(
            "Your function drops the text at `most` spans already.",
            "Up to `most` spans are replaced; more of them drop the text: len(spans) > most.",
            _redact(lambda n, most: n >= most),
        ),
        Mistake(
            "Your function never drops a text.",
            "More than `most` spans are a list of contacts, not a text with a contact in it: return None.",
            _redact(lambda n, most: False),
        ),
        Mistake(
            "Your function replaces the text of a span wherever it stands.",
            "The same characters may stand elsewhere and be harmless there: only text[start:stop] is replaced.",
            _redact_by_text,
        ),
        Mistake(
            "Your function takes one character too many with each span.",
            "`stop` is the first character behind the span: text[start:stop] is all of it.",
            _redact(stop_more=1),
        ),
        Mistake(
            "Your function returns an empty text where the document is to be dropped.",
            "An empty document is still one, with BOS and nothing behind it: return None.",
            _redact(dropped=""),
        ),
    ),
)

# --- gopher_broken_rules ---------------------------------------------------------------------


def gopher_broken_rules(text: str, min_words: int) -> list[str]:
    """The names of Gopher's rules that the text breaks."""
    return list(GopherQuality(min_words=min_words)(text).findings)


def _is_symbol(word: str) -> bool:
    return not any(character.isalnum() for character in word)


def _gopher(
    *,
    symbols_count: bool = False,
    closed: bool = False,
    marks: Sequence[str] = ("...", "…"),
    hashes: Callable[[str], int] = lambda text: text.count("#"),
    stop_words: Callable[[list[str]], int] = lambda words: len(set(words) & set(STOP_WORDS)),
    letter: Callable[[str], bool] = lambda word: word.lower() != word.upper(),
) -> Function:
    """The rules with their parts exchanged, for mistakes."""

    def broken(text: str, min_words: int) -> list[str]:
        words, lines = text.split(), text.splitlines()
        real = [word for word in words if symbols_count or not _is_symbol(word)]
        mean = sum(map(len, real)) / len(real)
        figures = {
            "min_words": (len(real), min_words),
            "min_mean_word_length": (mean, 3),
            "max_mean_word_length": (mean, 10),
            "max_hashes_per_word": (hashes(text) / len(words), 0.1),
            "max_ellipses_per_word": (sum(map(text.count, marks)) / len(words), 0.1),
            "max_bullet_lines": (sum(line.startswith(("•", "-")) for line in lines) / len(lines), 0.9),
            "max_ellipsis_lines": (sum(line.endswith(tuple(marks)) for line in lines) / len(lines), 0.3),
            "min_words_with_letter": (sum(map(letter, words)) / len(words), 0.8),
            "min_stop_words": (stop_words(words), 2),
        }
        return [
            rule
            for rule, (figure, limit) in figures.items()
            if (figure == limit and closed) or (figure < limit if rule.startswith("min") else figure > limit)
        ]

    return broken


def _gopher_document(rng: np.random.Generator, kind: int, n: int) -> str:
    """A text of n words and signs that is at the border of a rule, or just beyond it."""
    tenth, per_line = n // 10, 5
    words = _pick(rng, _NOUNS, n)
    words[1], words[3] = "the", "and"
    inner = [i for i in range(5, n) if i % 5 in (1, 2, 3)]  # no beginning and no end of a line
    places = rng.permutation(inner).tolist()

    def put(*signs: str) -> None:
        for sign in signs:
            words[places.pop()] = sign

    if kind == 0:
        put(*[","] * tenth)
    elif kind == 1:
        put(*[","] * (tenth + 1))
    elif kind == 2:
        put(*["#"] * tenth)
    elif kind == 3:
        put("##", *["#"] * (tenth - 1))
    elif kind == 4:
        put(*["..."] * tenth)
    elif kind == 5:
        put(*["..."] * tenth, "…")
    elif kind == 6:
        for line in range(math.floor(0.3 * n / 5) + 1):
            words[5 * line + 4] = "…" if line == 0 else "..."
    elif kind in (7, 8):
        per_line = 5 if kind == 7 else 2
        for line in range(n // per_line - (kind == 8) * n // 20):
            words[per_line * line] = "•" if line == 0 else "-"
        words[1], words[3] = "the", "and"
    elif kind == 9:
        words = [word if word in STOP_WORDS else _pick(rng, _LONG, 1)[0] for word in words]
    elif kind == 10:
        words = ["to", "of", *_pick(rng, ("a", "i", "it", "my"), n - 2)]
    elif kind == 11:
        words = ["the", "and", *_pick(rng, _SHORT, n - 2)]
        put(*[","] * tenth)
    elif kind == 12:
        words[3] = "the"
    elif kind == 13:
        words[1], words[3] = "The", "And"
    elif kind == 14:
        put(*map(str, rng.integers(10, 99, n // 5 + 1)))
    elif kind == 26:
        put(*["NATO", "USA", "II"] * (n // 15 + 1))
    elif kind == 27:
        put(*[".."] * (tenth + 1))
    elif kind == 15:
        put(*["b2b", "mp3", "4x4"] * (n // 15 + 1))
    else:
        return _gopher_page(rng, kind, words)
    return "\n".join(" ".join(words[i : i + per_line]) for i in range(0, n, per_line))


def _gopher_page(rng: np.random.Generator, kind: int, words: list[str]) -> str:
    """More of them: other lines, other words."""
    n, end = len(words), "\n"
    if kind == 16:  # three lines of ten end in an ellipsis
        for line in range(3 * n // 20):
            words[2 * line + 1] = "…" if line == 0 else "..."
        words[-2:] = "the", "and"
    elif kind == 17:  # stop words inside other words only
        words = _pick(rng, ("other", "hands", "tool", "haven", "within", "beyond", "offer", "thatch"), n)
    elif kind == 18:  # a mean length of exactly ten: 3 + 3 + 17 + 17
        words[:4] = "the", "misunderstandings", "misunderstandings", "and"
        words[4:] = _pick(rng, ("basketball", "lighthouse", "strawberry", "toothbrush", "watermelon"), n - 4)
    elif kind == 19:
        words[7] = "counterrevolutionaries"
    elif kind == 20:
        words[7] = "h" * (8 * n) + "m"
    elif kind == 22:
        words[1] = "garden"  # one stop word, once
    elif kind == 23:  # a bullet in every line, but not in front
        words[1::2] = ["-", "•"] * (n // 4)
        words[:3:2] = "the", "and"
    elif kind == 24:  # a mean length just above ten
        words[:4] = "the", "misunderstandings", "misunderstandings", "and"
        words[4:] = ["basketball"] * (n - 6) + ["conversation"] * 2
    elif kind == 25:  # a mean length just below three
        words[:4] = "the", "and", "of", "to"
        words[4:] = _pick(rng, _SHORT, n - 4)
    elif kind == 21:  # with an empty line behind each
        words[::2] = ["-"] * (n // 2)
        words[1], words[3], end = "the", "and", "\n\n"
    return end.join(" ".join(words[i : i + 2]) for i in range(0, n, 2))


def _make_gopher(rng: np.random.Generator, documents: int, words: int) -> tuple[Any, ...]:
    if words % 20:
        raise ValueError("shares are exact for multiples of 20 words")
    return [_gopher_document(rng, n % 28, words) for n in range(documents)], words - words // 10


def _broken_sorted(function: Function, args: tuple[Any, ...]) -> Any:
    """Rules in the order of the alphabet, for every text."""
    found = _each(function, args)
    return {text: sorted(r) if isinstance(r, list | tuple | set | dict) else r for text, r in found.items()}


GOPHER = Exercise(
    id="gopher_broken_rules",
    chapter="13",
    title="Which rules does this page break?",
    task="Name the rules of Gopher's quality filter that a text breaks.",
    difficulty=3,
    minutes=30,
    reference=gopher_broken_rules,
    make=_make_gopher,
    shapes=(
        {"documents": 1, "words": 20},
        {"documents": 4, "words": 20},
        {"documents": 9, "words": 20},
        {"documents": 16, "words": 20},
        {"documents": 28, "words": 20},
        {"documents": 28, "words": 60},
    ),
    exact=True,
    observe=_broken_sorted,
    hints=(
        "Make a dict of figures first, one for each rule, and compare with the thresholds at the very end.",
        "text.split() gives the words, text.splitlines() the lines. Only min_words and the mean length leave signs "
        "out; a sign is a word without any letter or digit. Exactly at a threshold nothing is broken.",
        "real = [w for w in words if any(c.isalnum() for c in w)]; mean = sum(map(len, real)) / len(real)\n"
        'text.count("#") / len(words) > 0.1;  (text.count("...") + text.count("…")) / len(words) > 0.1\n'
        'sum(l.startswith(("•", "-")) for l in lines) / len(lines) > 0.9;  … endswith(("...", "…")) … > 0.3\n'
        "sum(any(c.isalpha() for c in w) for w in words) / len(words) < 0.8;  len(set(words) & set(STOP)) < 2",
    ),
    mistakes=(
        Mistake(
            "Your function counts signs such as ',' as words in min_words and in the mean length.",
            "These two rules look at words that have a letter or a digit. In all shares the signs count.",
            _gopher(symbols_count=True),
        ),
        Mistake(
            "Your function takes a figure that is exactly at its threshold as broken.",
            "A threshold is what is still kept: < for min_ and > for max_, without =.",
            _gopher(closed=True),
        ),
        Mistake(
            "Your function counts the words that have a hash sign, not the hash signs.",
            "'##' is one word and two hash signs: text.count('#').",
            _gopher(hashes=lambda text: sum("#" in word for word in text.split())),
        ),
        Mistake(
            "Your function knows only one form of the ellipsis, the three dots.",
            "There is a character for it as well, '…': count both, in the text and at the ends of lines.",
            _gopher(marks=("...",)),
        ),
        Mistake(
            "Your function counts a stop word as often as it occurs.",
            "Two different ones are asked for: 'the the' is one. Use a set.",
            _gopher(stop_words=lambda words: sum(word in STOP_WORDS for word in words)),
        ),
        Mistake(
            "Your function looks for stop words in lower-cased text.",
            "The published code compares the words as they are; prose has stop words in small letters anyway, a "
            "list of titles has not.",
            _gopher(stop_words=lambda words: len({word.lower() for word in words} & set(STOP_WORDS))),
        ),
        Mistake(
            "Your function asks that a word has nothing but letters.",
            "One letter is enough: 'mp3' counts. any(c.isalpha() for c in word), not word.isalpha().",
            _gopher(letter=str.isalpha),
        ),
    ),
)

# --- duplicate_line_shares -------------------------------------------------------------------


def duplicate_line_shares(text: str) -> tuple[float, float]:
    """Lines that occurred before: their share of the lines, and of the characters of the text."""
    lines = re.split(r"\n+", text)
    count, characters = duplicates(lines)
    return count / len(lines), characters / len(text)


def _make_lines(rng: np.random.Generator, lines: int, different: int) -> tuple[Any, ...]:
    """Lines of different lengths, drawn from a few; some with an empty line behind, some nearly the same."""
    if different > lines:
        raise ValueError("more different lines than lines")
    stock = [" ".join(_pick(rng, _NOUNS, n + 1)) + f" {n}" for n in range(different)]
    for n in range(2, different, 3):  # lines that differ in capitals only, and in spaces at an end
        stock[n] = (stock[n - 1].title(), f"  {stock[n - 2]}", f"{stock[n - 2]} ")[n // 3 % 3]
    drawn = [*stock, *_pick(rng, stock, lines - different)]
    order = rng.permutation(lines).tolist()
    return (
        "".join(drawn[i] + ("\n", "\n\n", "\n", "\n", "\n\n\n", "\n")[n % 6] for n, i in enumerate(order)).strip("\n"),
    )


def _line_shares(
    repeated: Callable[[list[str]], list[str]],
    split: Callable[[str], list[str]] = lambda text: re.split(r"\n+", text),
    whole: Callable[[str], int] = len,
) -> Function:
    def shares(text: str) -> tuple[float, float]:
        lines = split(text)
        found = repeated(lines)
        return len(found) / len(lines), sum(map(len, found)) / whole(text)

    return shares


def _later(lines: list[str]) -> list[str]:
    return [line for n, line in enumerate(lines) if line in lines[:n]]


LINES = Exercise(
    id="duplicate_line_shares",
    chapter="13",
    title="Lines that were there before",
    task="The share of repeated lines, and the share of the text's characters that they have.",
    difficulty=1,
    minutes=10,
    reference=duplicate_line_shares,
    make=_make_lines,
    outputs=("share of lines", "share of characters"),
    shapes=(
        {"lines": 1, "different": 1},
        {"lines": 3, "different": 2},
        {"lines": 6, "different": 3},
        {"lines": 9, "different": 9},
        {"lines": 20, "different": 6},
    ),
    hints=(
        "A line counts from its second occurrence: the first one is what is worth keeping.",
        "Empty lines part nothing: split at runs of line ends, re.split('\\n+', text). Keep a set of what was seen.",
        "for line in lines:\n"
        "    if line in seen: count += 1; characters += len(line)\n"
        "    seen.add(line)\n"
        "return count / len(lines), characters / len(text)",
    ),
    mistakes=(
        Mistake(
            "Your function counts the first occurrence of a repeated line, too.",
            "Three equal lines are two repeats: the first one is new when it comes.",
            _line_shares(lambda lines: [line for line in lines if lines.count(line) > 1]),
        ),
        Mistake(
            "Your function counts each repeated line once, however often it comes again.",
            "Every later occurrence counts: four equal lines are three repeats.",
            _line_shares(lambda lines: [line for line in dict.fromkeys(lines) if lines.count(line) > 1]),
        ),
        Mistake(
            "Your function compares a line with the one before it only.",
            "Menus and footers come again after other lines: keep all that were seen, in a set.",
            _line_shares(lambda lines: [b for a, b in pairwise(lines) if a == b]),
        ),
        Mistake(
            "Your function counts empty lines.",
            "An empty line is a way to part paragraphs, not a repeated text: split at runs of line ends.",
            _line_shares(_later, split=lambda text: text.split("\n")),
        ),
        Mistake(
            "Your function leaves the line ends out of the text's length.",
            "The denominator is the whole text, len(text), as in the published code.",
            _line_shares(_later, whole=lambda text: len(text.replace("\n", ""))),
        ),
        Mistake(
            "Your function returns the share of lines that are new.",
            "The rule asks for the opposite: the lines that occurred before.",
            _line_shares(lambda lines: list(dict.fromkeys(lines))),
        ),
    ),
)

# --- repeated_ngram_share --------------------------------------------------------------------


def repeated_ngram_share(text: str, n: int) -> float:
    """Characters inside n-grams that occurred before, over those of the text."""
    words = words_of(text)
    return int(ngram_characters(words.hashes, words.lengths)[n]) / len(text)


def _make_ngrams(rng: np.random.Generator, words: int, n: int) -> tuple[Any, ...]:
    """A phrase a little longer than n that comes again and again, with other words or pieces of the text between."""
    if not 5 <= n <= 10:
        raise ValueError("Gopher's rule is for 5 to 10 words")
    phrase = _pick(rng, _NOUNS, n + 2)
    drawn: list[str] = []
    while len(drawn) < words:
        drawn += phrase + _pick(rng, _SHORT, int(rng.integers(0, 3)))
        if words > 6 * n:
            begin = int(rng.integers(0, len(drawn) - n))
            drawn += drawn[begin : begin + n + int(rng.integers(0, 4))]
    return " ".join(drawn[:words]), n


def _ngrams(
    *, step: Callable[[int], int] = lambda n: n, from_first: bool = False, spaces: int = 0, learn_all: bool = False
) -> Function:
    """The rule with its parts exchanged, for mistakes."""

    def share(text: str, n: int) -> float:
        words = text.split()
        windows = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        seen = {w for w in windows if windows.count(w) > 1} if from_first else set()
        characters, i = 0, 0
        while i < len(windows):
            if windows[i] in seen:
                characters += sum(map(len, windows[i])) + spaces * (n - 1)
                if learn_all:
                    seen.update(windows[i : i + n])
                i += step(n)
            else:
                seen.update([] if from_first else [windows[i]])
                i += 1
        return characters / len(text)

    return share


def _ngram_count_share(text, n):
    words = text.split()
    windows = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(_later(windows)) / len(windows) if windows else 0.0  # type: ignore[arg-type]


def _characters_once(text, n):
    """Every word that is inside any repeated n-gram, found without skipping."""
    words = text.split()
    seen: set[tuple[str, ...]] = set()
    inside: set[int] = set()
    for i in range(len(words) - n + 1):
        window = tuple(words[i : i + n])
        inside |= set(range(i, i + n)) if window in seen else set()
        seen.add(window)
    return sum(len(words[i]) for i in inside) / len(text)


NGRAMS = Exercise(
    id="repeated_ngram_share",
    chapter="13",
    title="Phrases that were there before",
    task="The share of a text's characters inside n-grams of words that occurred before, by Gopher's skip rule.",
    difficulty=2,
    minutes=15,
    reference=repeated_ngram_share,
    make=_make_ngrams,
    shapes=(
        {"words": 5, "n": 5},
        {"words": 14, "n": 5},
        {"words": 25, "n": 6},
        {"words": 40, "n": 5},
        {"words": 70, "n": 10},
        {"words": 90, "n": 7},
        {"words": 150, "n": 5},
    ),
    hints=(
        "Walk over the words with a cursor. A window that is new is remembered, and the cursor moves by one word.",
        "A window that was seen adds the characters of its words, without spaces, and the cursor jumps over all n of "
        "them: no character counts twice, and the windows in between are not remembered.",
        "while i + n <= len(words):\n"
        "    window = tuple(words[i:i + n])\n"
        "    if window in seen: characters += sum(map(len, window)); i += n\n"
        "    else: seen.add(window); i += 1\n"
        "return characters / len(text)",
    ),
    mistakes=(
        Mistake(
            "Your function moves on by one word after a repeat.",
            "The next window shares n - 1 words with this one, whose characters then count again and again. Jump over "
            "the n words.",
            _ngrams(step=lambda n: 1),
        ),
        Mistake(
            "Your function jumps one word less than it should after a repeat.",
            "The n words i to i + n - 1 have been counted: the next window begins at i + n.",
            _ngrams(step=lambda n: n - 1),
        ),
        Mistake(
            "Your function counts repeated n-grams from their first occurrence.",
            "The first occurrence is new when it comes; only what was seen before counts.",
            _ngrams(from_first=True),
        ),
        Mistake(
            "Your function remembers the windows inside a jump, too.",
            "The cursor passes over the n words of a repeat: windows that begin among them are not looked at.",
            _ngrams(learn_all=True),
        ),
        Mistake(
            "Your function counts the spaces inside the n-grams.",
            "Here only the characters of the words count. (The rule of the most frequent n-gram counts spaces.)",
            _ngrams(spaces=1),
        ),
        Mistake(
            "Your function counts n-grams instead of characters.",
            "A share of characters is asked for: the lengths of the words, over len(text).",
            _ngram_count_share,
        ),
        Mistake(
            "Your function marks every word inside a repeated n-gram, without the jump.",
            "That is a fair measure, but not the published one: after a repeat, the windows that begin inside it are "
            "not looked at.",
            _characters_once,
        ),
    ),
)

# --- c4_clean_lines --------------------------------------------------------------------------

_C4_LINES = C4Quality(lorem_ipsum=False, curly_bracket=False, min_sentences=None)
_CITATION = r"\[\d*\]|\[edit\]|\[citation needed\]"


def c4_clean_lines(text: str) -> list[str]:
    """The lines of a page that C4 keeps, without citation marks."""
    kept = _C4_LINES(text).text
    return kept.split("\n") if kept else []


def _make_page(rng: np.random.Generator, lines: int) -> tuple[Any, ...]:
    def noun() -> str:
        return _pick(rng, _NOUNS, 1)[0]

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
    )
    return ("\n".join(kinds[n % len(kinds)]() for n in range(lines)),)


def _c4(
    *,
    ends: tuple[str, ...] = (".", "?", "!", '"', "'"),
    dots: bool = False,
    least: int = 3,
    cite: Callable[[str], str | None] = lambda line: re.sub(_CITATION, "", line),
    lower: Callable[[str], str] = str.lower,
    cite_first: bool = True,
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
            tested = line if cite_first else original
            if not tested.endswith(ends) or (tested.endswith("...") and not dots) or len(line.split()) < least:
                continue
            small = lower(line)
            if "javascript" in small or any(phrase in small for phrase in POLICY_PHRASES):
                if whole_page:
                    return []
                continue
            kept.append(line)
        return kept

    return clean


C4 = Exercise(
    id="c4_clean_lines",
    chapter="13",
    title="Sentences out of a web page",
    task="Keep the lines of a page that C4's rules take for sentences.",
    difficulty=2,
    minutes=15,
    reference=c4_clean_lines,
    make=_make_page,
    shapes=({"lines": 1}, {"lines": 4}, {"lines": 6}, {"lines": 16}, {"lines": 41}, {"lines": 82}),
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
    mistakes=(
        Mistake(
            "Your function keeps lines that end in three dots.",
            "They end in a dot, but are cut off: teasers of other pages.",
            _c4(dots=True),
        ),
        Mistake(
            "Your function keeps only lines that end in a full stop.",
            "Questions, exclamations and quotations are sentences, too: . ? ! \" and '.",
            _c4(ends=(".",)),
        ),
        Mistake(
            "Your function asks for more than three words.",
            "Three words are enough: fewer than 3 drop the line.",
            _c4(least=4),
        ),
        Mistake(
            "Your function leaves the citation marks in the text.",
            "[12], [edit] and [citation needed] are cut out of lines that stay.",
            _c4(cite=lambda line: line),
        ),
        Mistake(
            "Your function drops lines with citation marks.",
            "They are the best prose there is: only the marks go.",
            _c4(cite=lambda line: None if re.search(_CITATION, line) else line),
        ),
        Mistake(
            "Your function looks at the end of the line before the citation marks are gone.",
            "'made of wood.[3]' ends in a full stop once the mark is cut out: clean first, then test.",
            _c4(cite_first=False),
        ),
        Mistake(
            "Your function looks for the words as they are written.",
            "'JavaScript' and 'Privacy Policy' are meant as well: compare in lower case.",
            _c4(lower=lambda line: line),
        ),
        Mistake(
            "Your function drops the whole page for a line about JavaScript or cookies.",
            "Only the line goes. (Whole pages go for 'lorem ipsum' and '{', which are not part of this exercise.)",
            _c4(whole_page=True),
        ),
    ),
)

# --- jaccard_of_texts ------------------------------------------------------------------------


def jaccard_of_texts(first: str, second: str, n: int) -> float:
    """The share of the two texts' normalised n-word shingles that they have in common."""
    return jaccard(first, second, n)


def _make_pair(rng: np.random.Generator, words: int, changed: int, n: int) -> tuple[Any, ...]:
    """A text and a copy with some words changed, other capitals, signs and numbers; a phrase occurs twice."""
    if words < 2 * n or changed > words:
        raise ValueError("texts of fewer than two shingles")
    base = _pick(rng, _NOUNS + _SHORT, words)
    base[-n:] = base[:n]
    base[n] = "number"
    other = list(base)
    for i in [0, *(1 + rng.choice(words - 1, changed, replace=False))][:changed]:  # the first is in the phrase
        other[int(i)] = _pick(rng, _LONG, 1)[0]
    copy = [word.title() if rng.random() < 0.3 else word for word in other]
    copy = [word + ("," if rng.random() < 0.3 else "") for word in copy]
    first, second = base.copy(), copy
    first[n], second[n] = "7", "12"
    if words > 2 * n + 1:
        first[n + 1], second[n + 1] = "well-known", "Well known,"
    if words > 2 * n + 2:
        first[n + 2], second[n + 2] = "red box", "red_box"
    texts = " ".join(first) + ".", " ".join(second)
    return (*(texts[::-1] if words % 4 == 2 else texts), n)  # so that either has the more shingles


def _normal_words(text: str, lower: bool = True, signs: bool = True, digits: bool = True) -> list[str]:
    text = text.lower() if lower else text
    text = re.sub(r"\d+", "0", text) if digits else text
    return re.sub(r"[^\w\s]|_", " ", text).split() if signs else text.split()


def _similarity(
    share: Callable[[set[Any], set[Any]], float] = lambda a, b: len(a & b) / len(a | b), less: int = 0, **normal: bool
) -> Function:
    def similarity(first: str, second: str, n: int) -> float:
        sets = []
        for text in (first, second):
            words = _normal_words(text, **normal)
            sets.append({tuple(words[i : i + n]) for i in range(len(words) - n + 1 - less)})
        return share(*sets)

    return similarity


def _jaccard_of_lists(first, second, n):
    lists = []
    for text in (first, second):
        words = _normal_words(text)
        lists.append([tuple(words[i : i + n]) for i in range(len(words) - n + 1)])
    common = sum(shingle in lists[1] for shingle in lists[0])
    return common / (len(lists[0]) + len(lists[1]) - common)


JACCARD = Exercise(
    id="jaccard_of_texts",
    chapter="13",
    title="How much two texts share",
    task="The Jaccard similarity of the n-word shingles of two normalised texts.",
    difficulty=2,
    minutes=12,
    reference=jaccard_of_texts,
    make=_make_pair,
    shapes=(
        {"words": 4, "changed": 0, "n": 2},
        {"words": 8, "changed": 1, "n": 3},
        {"words": 14, "changed": 2, "n": 2},
        {"words": 30, "changed": 2, "n": 5},
        {"words": 60, "changed": 4, "n": 5},
    ),
    hints=(
        "Normalise first: lower case, every run of digits as 0, every sign as a space. Then cut at the spaces.",
        "A shingle is a tuple of n words; m words have m - n + 1 of them. Put them in sets: a shingle that occurs "
        "twice is one element.",
        're.sub(r"[^\\w\\s]|_", " ", re.sub(r"\\d+", "0", text.lower())).split()\n'
        "sets of tuple(words[i:i + n]) for i in range(len(words) - n + 1)\n"
        "len(a & b) / len(a | b)",
    ),
    mistakes=(
        Mistake(
            "Your function counts a shingle as often as it occurs.",
            "Jaccard similarity is of sets: a phrase that is repeated is one element.",
            _jaccard_of_lists,
        ),
        Mistake(
            "Your function compares single words, not shingles.",
            "Nearly all English texts share most of their words. Take windows of n words.",
            lambda first, second, n: _similarity()(first, second, 1),
        ),
        Mistake(
            "Your function leaves out the last shingle.",
            "m words have m - n + 1 windows of n.",
            _similarity(less=1),
        ),
        Mistake(
            "Your function compares capitals as they are.",
            "A copy with other capitals is a copy: lower case first.",
            _similarity(lower=False),
        ),
        Mistake(
            "Your function leaves commas and full stops at the words.",
            "Signs become spaces, so that 'boat,' and 'boat' are the same word.",
            _similarity(signs=False),
        ),
        Mistake(
            "Your function compares numbers digit by digit.",
            "Pages that differ in a date or a counter only are copies: every run of digits becomes 0.",
            _similarity(digits=False),
        ),
        Mistake(
            "Your function divides by the smaller of the two sets.",
            "That is containment, which is 1 for an excerpt. Jaccard divides by the union.",
            _similarity(lambda a, b: len(a & b) / min(len(a), len(b))),
        ),
        Mistake(
            "Your function divides twice the common part by the sum of both sizes.",
            "That is Dice's measure. Jaccard divides the common part by the union, in which it counts once.",
            _similarity(lambda a, b: 2 * len(a & b) / (len(a) + len(b))),
        ),
    ),
)

# --- minhash_signature -----------------------------------------------------------------------


def minhash_signature(shingles: list[int], a: list[int], b: list[int]) -> list[int]:
    """The smallest value of every function (a x + b) mod 2^61 - 1 over the shingles."""
    return [min((factor * x + summand) % PRIME for x in shingles) for factor, summand in zip(a, b)]


def _compiled_signature(shingles: list[int], a: list[int], b: list[int]) -> list[int]:
    """The same by the package's compiled arithmetic."""
    u = np.uint64
    return [min(int(multiply_add(u(f), u(x), u(s))) for x in shingles) for f, s in zip(a, b)]


def _make_signature(rng: np.random.Generator, shingles: int, functions: int) -> tuple[Any, ...]:
    return tuple(rng.integers(1 << 58, PRIME, n).tolist() for n in (shingles, functions, functions))


def _wrapped_signature(shingles, a, b):
    with np.errstate(over="ignore"):
        x = np.array(shingles, np.uint64)
        values = np.array(a, np.uint64)[:, None] * x + np.array(b, np.uint64)[:, None]
    return (values % np.uint64(PRIME)).min(axis=1).tolist()


MINHASH = Exercise(
    id="minhash_signature",
    chapter="13",
    title="The fingerprint of a document",
    task="For each function (a x + b) mod 2^61 - 1 the smallest value over all shingles.",
    difficulty=2,
    minutes=15,
    reference=minhash_signature,
    make=_make_signature,
    shapes=(
        {"shingles": 1, "functions": 1},
        {"shingles": 2, "functions": 3},
        {"shingles": 5, "functions": 2},
        {"shingles": 4, "functions": 4},
        {"shingles": 30, "functions": 112},
    ),
    exact=True,
    oracle=_compiled_signature,
    hints=(
        "One number for each function, however many shingles there are: the function puts the shingles in a random "
        "order, and its smallest value says which comes first.",
        "a x has up to 122 bits, more than any NumPy integer. Python's own integers have no limit.",
        "p = 2**61 - 1\nreturn [min((f * x + s) % p for x in shingles) for f, s in zip(a, b)]",
    ),
    mistakes=(
        Mistake(
            "Your function multiplies in 64 bits, and the product overflows before the modulus is taken.",
            "uint64 silently keeps the product modulo 2^64. Use Python's integers, or split the factors as the "
            "package's kernel does.",
            _wrapped_signature,
        ),
        Mistake(
            "Your function takes the largest value.",
            "That would work as well as the smallest if all did it; signatures of others are of smallest values.",
            lambda shingles, a, b: [max((f * x + s) % PRIME for x in shingles) for f, s in zip(a, b)],
        ),
        Mistake(
            "Your function takes the minimum over the functions, one value for each shingle.",
            "The signature has one value for each function: the minimum goes over the shingles.",
            lambda shingles, a, b: [min((f * x + s) % PRIME for f, s in zip(a, b)) for x in shingles],
        ),
        Mistake(
            "Your function uses the first function for all values.",
            "Equal functions give equal values: the signature would be one number, 112 times. Take a[i] and b[i].",
            lambda shingles, a, b: [min((a[0] * x + b[0]) % PRIME for x in shingles)] * len(a),
        ),
        Mistake(
            "Your function takes the values modulo 2^61.",
            "The modulus is the prime 2^61 - 1. Modulo a power of two the low bits of the product depend on low bits "
            "only.",
            lambda shingles, a, b: [min((f * x + s) % (1 << 61) for x in shingles) for f, s in zip(a, b)],
        ),
        Mistake(
            "Your function adds b after the modulus.",
            "Then b shifts all values alike and changes no order, and results can exceed the prime: (a x + b) mod p.",
            lambda shingles, a, b: [min((f * x) % PRIME + s for x in shingles) for f, s in zip(a, b)],
        ),
        Mistake(
            "Your function takes no modulus.",
            "Without it the smallest x always wins, whatever the function: the modulus mixes the order.",
            lambda shingles, a, b: [min(f * x + s for x in shingles) for f, s in zip(a, b)],
        ),
    ),
)

# --- candidate_probability -------------------------------------------------------------------


def candidate_probability(similarity: Any, bands: int, rows: int) -> Any:
    """How probably documents of a Jaccard similarity agree in at least one band."""
    minhash = MinHash(bands=bands, rows=rows)
    return np.array([minhash.probability(s) for s in np.asarray(similarity, np.float64)])


def _make_similarity(rng: np.random.Generator, n: int, bands: int, rows: int) -> tuple[Any, ...]:
    return np.sort(rng.uniform(0.1, 0.95, n)).astype(np.float32), bands, rows


PROBABILITY = Exercise(
    id="candidate_probability",
    chapter="13",
    title="How likely is a candidate?",
    task="The probability that two documents of similarity s agree in a whole band.",
    difficulty=1,
    minutes=8,
    reference=candidate_probability,
    make=_make_similarity,
    axes=("similarity",),
    shapes=(
        {"n": 1, "bands": 1, "rows": 2},
        {"n": 3, "bands": 3, "rows": 2},
        {"n": 5, "bands": 2, "rows": 5},
        {"n": 9, "bands": 14, "rows": 8},
        {"n": 40, "bands": 20, "rows": 5},
    ),
    hints=(
        "One value of the signature agrees with probability s. What is the probability that all rows of a band do?",
        "It is s**rows. That none of the bands agrees has the probability (1 - s**rows)**bands.",
        "return 1 - (1 - s**rows) ** bands",
    ),
    mistakes=(
        Mistake(
            "Your function has rows and bands exchanged.",
            "All rows of one band must agree, s**rows; one of the bands must, so it is the bands that are the outer "
            "exponent.",
            lambda s, bands, rows: 1 - (1 - s**bands) ** rows,
        ),
        Mistake(
            "Your function gives the probability that no band agrees.",
            "A pair becomes a candidate when at least one band agrees: one minus that.",
            lambda s, bands, rows: (1 - s**rows) ** bands,
        ),
        Mistake(
            "Your function gives the probability that all bands agree.",
            "That would need equal signatures. One band is enough.",
            lambda s, bands, rows: s ** (rows * bands),
        ),
        Mistake(
            "Your function adds the probabilities of the bands.",
            "The sum counts pairs that agree in two bands twice, and exceeds 1. Go by the probability that "
            "none agrees.",
            lambda s, bands, rows: bands * s**rows,
        ),
        Mistake(
            "Your function looks for one value that agrees, not for a whole band.",
            "1 - (1 - s)^(rows · bands) is close to 1 for all texts: a band counts only when all its rows agree.",
            lambda s, bands, rows: 1 - (1 - s) ** (rows * bands),
        ),
    ),
)

# --- band_candidates -------------------------------------------------------------------------

_Pairs = list[tuple[int, int]]


def band_candidates(signatures: Any, bands: int) -> _Pairs:
    """Pairs of documents whose signatures are equal in at least one band."""
    cut = np.asarray(signatures).reshape(len(signatures), bands, -1)
    pairs = combinations(range(len(cut)), 2)
    return [(i, j) for i, j in pairs if (cut[i] == cut[j]).all(axis=1).any()]


def _make_bands(rng: np.random.Generator, documents: int, bands: int, rows: int) -> tuple[Any, ...]:
    if documents < 2:
        raise ValueError("one document has no pairs")
    signatures = rng.integers(1, 5 if rows == 1 else 4 if rows == 2 else 3, (documents, bands * rows))
    if documents > 6:
        signatures[-1] = signatures[0]  # one pair agrees in all bands
    return signatures, bands


def _candidates(agree: Callable[[Any, Any, int, int], bool]) -> Function:
    def pairs(signatures, bands):
        rows = signatures.shape[1] // bands
        return [
            (i, j)
            for i, j in combinations(range(len(signatures)), 2)
            if agree(signatures[i], signatures[j], bands, rows)
        ]

    return pairs


def _any_place(x: Any, y: Any, bands: int, rows: int) -> bool:
    """One table for all bands: a band equals another one in another place."""
    return bool({tuple(b) for b in x.reshape(bands, -1).tolist()} & {tuple(b) for b in y.reshape(bands, -1).tolist()})


def _sorted_pairs(function: Function, args: tuple[Any, ...]) -> Any:
    """Pairs as tuples in order; a pair that comes twice stays twice."""
    found = function(*args)
    kinds = list | tuple | set | np.ndarray
    if not isinstance(found, kinds) or not all(hasattr(p, "__len__") and len(p) == 2 for p in found):
        return found
    return sorted((int(i), int(j)) for i, j in found)


BANDS = Exercise(
    id="band_candidates",
    chapter="13",
    title="Pairs that share a band",
    task="All pairs of documents whose signatures agree in at least one whole band.",
    difficulty=2,
    minutes=15,
    reference=band_candidates,
    make=_make_bands,
    shapes=(
        {"documents": 2, "bands": 1, "rows": 1},
        {"documents": 4, "bands": 3, "rows": 2},
        {"documents": 6, "bands": 2, "rows": 3},
        {"documents": 9, "bands": 4, "rows": 3},
        {"documents": 12, "bands": 3, "rows": 2},
    ),
    exact=True,
    observe=_sorted_pairs,
    hints=(
        "A signature of bands · rows values is cut in bands of neighbouring values. Each band has a table of its own.",
        "Two loops over pairs will do; for millions of documents a dict for each band, from its values to the "
        "documents that have them. A pair counts once, even if it agrees in two bands.",
        "cut = signatures.reshape(len(signatures), bands, -1)\n"
        "pairs (i, j), i < j, with (cut[i] == cut[j]).all(axis=1).any()",
    ),
    mistakes=(
        Mistake(
            "Your function lets bands overlap: it compares every window of `rows` values.",
            "Bands stand side by side: values 0 to rows - 1, rows to 2 rows - 1 and so on.",
            _candidates(lambda x, y, b, r: any((x[i : i + r] == y[i : i + r]).all() for i in range(len(x) - r + 1))),
        ),
        Mistake(
            "Your function puts every `bands`-th value in a band.",
            "Values of a band are neighbours: reshape to (bands, rows), not (rows, bands).",
            _candidates(lambda x, y, b, r: any((x[i::b] == y[i::b]).all() for i in range(b))),
        ),
        Mistake(
            "Your function counts equal values, wherever they stand.",
            "As many equal values as a band has rows are not enough: they must fill one band.",
            _candidates(lambda x, y, b, r: int((x == y).sum()) >= r),
        ),
        Mistake(
            "Your function takes one equal value as enough.",
            "All rows of the band must agree; that is what makes the curve steep.",
            _candidates(lambda x, y, b, r: bool((x == y).any())),
        ),
        Mistake(
            "Your function asks that all bands agree.",
            "One is enough. Equal signatures come from nearly equal texts only.",
            _candidates(lambda x, y, b, r: bool((x == y).all())),
        ),
        Mistake(
            "Your function has one table for all bands.",
            "Equal values in different bands come from different hash functions and mean nothing: make the band's "
            "number part of the key.",
            _candidates(_any_place),
        ),
        Mistake(
            "Your function returns a pair once for every band in which it agrees.",
            "A pair is a candidate or is not: collect them in a set.",
            lambda signatures, bands: [
                pair for part in np.split(signatures, bands, axis=1) for pair in band_candidates(part, 1)
            ],
        ),
    ),
)

# --- duplicate_clusters ----------------------------------------------------------------------


def duplicate_clusters(n: int, pairs: _Pairs) -> list[int]:
    """For every document the first one of its cluster."""
    parents = list(range(n))

    def root(i: int) -> int:
        while parents[i] != i:
            i = parents[i]
        return i

    for i, j in pairs:
        a, b = root(i), root(j)
        parents[max(a, b)] = min(a, b)
    return [root(i) for i in range(n)]


def _make_clusters(rng: np.random.Generator, documents: int, pairs: int) -> tuple[Any, ...]:
    if documents < 2 or pairs > documents * (documents - 1) // 2:
        raise ValueError("more pairs than there are")
    possible = list(combinations(range(documents), 2))
    chosen = [possible[i] for i in rng.choice(len(possible), pairs, replace=False)]
    return documents, [pair if rng.random() < 0.6 else pair[::-1] for pair in chosen]


def _clusters_direct(n, pairs):
    firsts = list(range(n))
    for i, j in pairs:
        firsts[max(i, j)] = min(firsts[max(i, j)], min(i, j))
    return firsts


def _clusters_last(n, pairs):
    firsts = duplicate_clusters(n, pairs)
    return [max(j for j in range(n) if firsts[j] == first) for first in firsts]


def _clusters_one_pass(n, pairs):
    firsts = list(range(n))
    for i, j in pairs:
        firsts[i] = firsts[j] = min(firsts[i], firsts[j])
    return firsts


def _clusters_no_roots(n, pairs):
    parents = list(range(n))
    for i, j in pairs:
        parents[max(i, j)] = min(i, j)  # what it pointed to before is forgotten
    for i in range(n):
        parents[i] = parents[parents[i]]
    return parents


def _clusters_unsettled(n, pairs):
    parents = list(range(n))

    def root(i):
        return i if parents[i] == i else root(parents[i])

    for i, j in pairs:
        a, b = root(i), root(j)
        parents[max(a, b)] = min(a, b)
    return parents


def _clusters_numbered(n, pairs):
    numbers: dict[int, int] = {}
    return [numbers.setdefault(first, len(numbers)) for first in duplicate_clusters(n, pairs)]


CLUSTERS = Exercise(
    id="duplicate_clusters",
    chapter="13",
    title="Copies of copies",
    task="For every document the first of its cluster, clusters being what pairs connect.",
    difficulty=2,
    minutes=15,
    reference=duplicate_clusters,
    make=_make_clusters,
    shapes=(
        {"documents": 2, "pairs": 1},
        {"documents": 4, "pairs": 2},
        {"documents": 7, "pairs": 5},
        {"documents": 12, "pairs": 9},
        {"documents": 30, "pairs": 26},
        {"documents": 12, "pairs": 20},
    ),
    exact=True,
    hints=(
        "If 0 and 4 are a pair and 4 and 2 are a pair, all three are one cluster, whatever the order of the pairs.",
        "Let every document point at another one, at first at itself. The root is where pointing ends. Join a pair by "
        "letting the larger root point at the smaller.",
        "def root(i):\n"
        "    while parents[i] != i: i = parents[i]\n"
        "    return i\n"
        "for i, j in pairs: a, b = root(i), root(j); parents[max(a, b)] = min(a, b)\n"
        "return [root(i) for i in range(n)]",
    ),
    mistakes=(
        Mistake(
            "Your function knows direct pairs only, not copies of copies.",
            "The first of a cluster may be no partner of a document, but a partner of its partner: follow the "
            "pointers.",
            _clusters_direct,
        ),
        Mistake(
            "Your function goes through the pairs once, so that the result depends on their order.",
            "When two clusters meet, all members of one must change: join roots, not members, and look the roots up at "
            "the end.",
            _clusters_one_pass,
        ),
        Mistake(
            "Your function overwrites what a document pointed at before.",
            "A pair (2, 4) after (0, 4) must not forget 0: let the root of 4 point at the root of 2, or the other way.",
            _clusters_no_roots,
        ),
        Mistake(
            "Your function returns the pointers, which do not all lead to the first member yet.",
            "At the end, replace every pointer by its root.",
            _clusters_unsettled,
        ),
        Mistake(
            "Your function gives the last member of each cluster.",
            "The first is kept: let the larger root point at the smaller.",
            _clusters_last,
        ),
        Mistake(
            "Your function numbers the clusters.",
            "The number of a document is asked for: that of the first member, which is the one that stays.",
            _clusters_numbered,
        ),
    ),
)

# --- samples_with_overlap --------------------------------------------------------------------


def samples_with_overlap(document: str, samples: list[str], n: int) -> list[bool]:
    """Which samples share a run of n normalised words with the document."""
    return [NgramOverlap([sample], n=n, min_words=n)(document).text is None for sample in samples]


def _make_overlap(rng: np.random.Generator, samples: int, n: int) -> tuple[Any, ...]:
    """Samples of which the document has a run of n words, nearly n, or the words in another order."""
    if n < 3:
        raise ValueError("two words are no run")
    stems = rng.permutation(_NOUNS + _SHORT).tolist()
    endings = dict.fromkeys(["", *_ENDINGS, *(a + b for a in _ENDINGS for b in _ENDINGS)])
    words = iter([stem + ending for ending in endings for stem in stems])
    document, found = [], []
    for i in range(samples):
        in_document, sample = _overlap_kind(i % 18, n, lambda count: [next(words) for _ in range(count)])
        document += [*in_document, next(words)]
        found.append(" ".join(sample))
    return " ".join(document) + ".", found, n


def _overlap_kind(kind: int, n: int, new: Callable[[int], list[str]]) -> tuple[list[str], list[str]]:
    """What the document has, and the sample; `new` gives words that are nowhere else."""
    run, extra, half = new(n), new(2), n // 2
    signs = [f"{run[0].title()},", *run[1:-1], f"{run[-1].upper()}?"]
    kinds = (
        (run, run),  # the whole sample
        ([*run[:-1], *new(1)], [*extra, *run]),  # one word too few
        (run, [*extra, *run]),  # at the end of the sample
        (run[::-1], [*run, *extra]),  # in another order
        ([word.title() for word in run], [*extra, *run]),
        ([*run[:-2], run[-2] + ",", run[-1]], [*run, *extra]),
        (["17", *run[1:]], ["18", *run[1:], *extra]),  # other digits: they stay
        (run, [*extra, *signs]),
        ([f"{run[0]}-{run[1]}", *run[2:]], [*run, *extra]),
        (run, [f"{run[0]}_{run[1]}", *run[2:], *extra]),
        ([*run[:half], "17", *run[half:]], [*extra, *run[:half], "18", *run[half:]]),
        ([f"con{run[0]}", *run[1:]], [*extra, *run]),  # inside another word
        ([*run[:-1], f"{run[-1]}ness"], [*run, *extra]),
        ([word for pair in zip(run, new(n)) for word in pair], [*run, *extra]),  # all of them, but apart
        (run, [*new(n), *run]),
        ([*run, *extra, *(more := new(11))], [*new(1), *run, *extra, *more]),  # a longer run
        ([*run, extra[0]], [*run, extra[0]]),
        ([*run[:-1], run[0]], [*run[:-1], run[0], *extra]),  # a word twice
    )
    return kinds[kind]


def _overlap(
    less: int = 0,
    more: int = 0,
    only_first: bool = False,
    stride: bool = False,
    window: Callable[[list[str]], tuple[str, ...]] = tuple,
    **normal: bool,
) -> Function:
    """The rule with its parts exchanged, for mistakes."""

    def found(document: str, samples: list[str], n: int) -> list[bool]:
        options = {"digits": False, **normal}

        def windows(text: str, only: bool = False, step: int = 1) -> set[tuple[str, ...]]:
            words, size = _normal_words(text, **options), n - less + more
            return {window(words[i : i + size]) for i in range(0, 1 if only else len(words) - size + 1, step)}

        seen = windows(document)
        return [bool(windows(sample, only_first, n if stride else 1) & seen) for sample in samples]

    return found


def _overlap_any_order(document, samples, n):
    words = set(_normal_words(document, digits=False))
    return [len(words & set(_normal_words(sample, digits=False))) >= n for sample in samples]


def _overlap_whole(document, samples, n):
    text = " ".join(_normal_words(document, digits=False))
    return [" ".join(_normal_words(sample, digits=False)) in text for sample in samples]


OVERLAP = Exercise(
    id="samples_with_overlap",
    chapter="13",
    title="Test questions in the training text",
    task="Say which evaluation samples share a run of n words with a document.",
    difficulty=2,
    minutes=12,
    reference=samples_with_overlap,
    make=_make_overlap,
    shapes=(
        {"samples": 1, "n": 3},
        {"samples": 2, "n": 4},
        {"samples": 5, "n": 3},
        {"samples": 7, "n": 5},
        {"samples": 18, "n": 4},
        {"samples": 36, "n": 8},
    ),
    exact=True,
    hints=(
        "Normalise both sides in the same way: lower case, signs as spaces. Digits stay: 17 + 25 is another question "
        "than 17 + 26.",
        "Put all windows of n words of the document in a set, once; then ask of every window of a sample whether it is "
        "in it.",
        'words = re.sub(r"[^\\w\\s]|_", " ", text.lower()).split()\n'
        "seen = {tuple(words[i:i + n]) for i in range(len(words) - n + 1)}, of the document\n"
        "[any(window in seen for window in windows of sample) for sample in samples]",
    ),
    mistakes=(
        Mistake(
            "Your function counts common words in any order.",
            "n words that occur somewhere are no copy: they must stand in a row.",
            _overlap_any_order,
        ),
        Mistake(
            "Your function asks for the whole sample.",
            "A run of n words is enough; the rest of the sample may be new.",
            _overlap_whole,
        ),
        Mistake(
            "Your function looks only at the beginning of each sample.",
            "The run may begin at any word: go through all windows of the sample.",
            _overlap(only_first=True),
        ),
        Mistake(
            "Your function takes n - 1 words in a row as enough.",
            "The window has n words: words[i : i + n].",
            _overlap(less=1),
        ),
        Mistake(
            "Your function asks for n + 1 words in a row.",
            "n words are enough: words[i : i + n] has n of them already.",
            _overlap(more=1),
        ),
        Mistake(
            "Your function compares capitals as they are.",
            "A question in a heading is the same question: lower case first.",
            _overlap(lower=False),
        ),
        Mistake(
            "Your function leaves commas and full stops at the words.",
            "Signs become spaces, so that a run is not cut by a comma.",
            _overlap(signs=False),
        ),
        Mistake(
            "Your function writes all numbers as 0.",
            "That is right for duplicates. In questions the numbers are what is asked: they stay.",
            _overlap(digits=True),
        ),
        Mistake(
            "Your function takes runs of 13 words, whatever n is.",
            "13 is GPT-3's number. The window has n words: words[i : i + n].",
            lambda document, samples, n: _overlap()(document, samples, 13),
        ),
        Mistake(
            "Your function compares the words of a window without their order.",
            "'dog bites man' is not 'man bites dog': a window is a tuple as it stands, neither a set nor sorted.",
            _overlap(window=lambda words: tuple(sorted(words))),
        ),
        Mistake(
            "Your function cuts a sample in pieces of n words that do not overlap.",
            "A run may begin at any word: the windows begin at 0, 1, 2 and so on.",
            _overlap(stride=True),
        ),
    ),
)

# --- contaminated_tokens ---------------------------------------------------------------------


def contaminated_tokens(sample: Any, document: Any, first: int, budget: int) -> list[bool]:
    """Which tokens of a sample lie in a match of more than `first` tokens with the document."""
    return _contaminated()(sample, document, first, budget)


def _match(sample: Any, document: Any, i: int, j: int, strict: int, budget: int, trailing: bool = False) -> int:
    """Length of the match from sample[i] and document[j]."""
    length = differences = 0
    for k in range(min(len(sample) - i, len(document) - j)):
        if sample[i + k] == document[j + k]:
            length = k + 1
        else:
            differences += 1
            if k < strict or differences > budget:
                break
            length = k + 1 if trailing else length
    return length


def _contaminated(
    *,
    strict: Callable[[int], int] = lambda first: first,
    allowed: Callable[[int], int] = lambda budget: budget,
    least: int = 1,
    trailing: bool = False,
    holes: bool = False,
    in_place: bool = False,
) -> Any:
    """The test with its parts exchanged, for mistakes."""

    def found(sample: Any, document: Any, first: int, budget: int) -> list[bool]:
        covered = [False] * len(sample)
        for i in range(len(sample)):
            for j in range(len(document)):
                if in_place and i != j:
                    continue
                length = _match(sample, document, i, j, strict(first), allowed(budget), trailing)
                if length >= first + least:
                    for k in range(length):
                        covered[i + k] |= not holes or bool(sample[i + k] == document[j + k])
        return covered

    return found


def _make_tokens(rng: np.random.Generator, segments: int, first: int, budget: int) -> tuple[Any, ...]:
    """A sample of segments of which the document has copies: exact, too short, with differences in it."""
    if first < 2 or budget < 1:
        raise ValueError("a match begins with at least two equal tokens, and may have a difference")
    tokens = iter(rng.permutation(30_000)[:9000].tolist())
    sample: list[int] = []
    document: list[int] = []
    for n in range(segments):
        kind = n % 6
        length = (first + 1, first, 2 * first, first + budget + 5, first + 2 * budget + 4, first + 2)[kind]
        part = [next(tokens) for _ in range(length)]
        copy = list(part)
        changed: list[int] = []
        if kind == 2:
            changed = [first - 1]  # too early: neither what is before nor what is behind is long enough
        elif kind == 3:
            changed = [first, *range(first + 2, first + 1 + budget)][:budget]
        elif kind == 4:
            changed = [first + 2 * d for d in range(budget + 1)]
        for place in changed:
            copy[place] = next(tokens)
        sample += [next(tokens), *part]
        apart = 1 if n == 0 and segments > 4 else 2  # a copy in the same place, too
        document += [*(next(tokens) for _ in range(apart)), *(copy if kind != 5 else copy[1::2] + copy[::2])]
    sample += [next(tokens) for _ in range(budget + 1)]
    document += [next(tokens) for _ in range(budget + 2)]
    if segments > 1:
        sample, document = _more_matches(tokens, sample, document, first)
    if segments % 2 and segments > 1:  # few different tokens, so that matches of all kinds occur by chance
        sample += rng.integers(30_000, 30_003, 30).tolist()
        document += rng.integers(30_000, 30_003, 60).tolist()
    return np.array(sample), np.array(document), first, budget


def _more_matches(
    tokens: Iterator[int], sample: list[int], document: list[int], first: int
) -> tuple[list[int], list[int]]:
    """Matches at both ends of sample and document, and some that are found in part before they are found as a whole."""

    def new(n: int) -> list[int]:
        return [next(tokens) for _ in range(n)]

    begin, twice, late = new(first + 5), new(2 * first + 1), new(first + 3)
    front, one_end, other_end, gap = new(first + 1), new(first + 1), new(first + 1), new(first)
    copy, late_copy = begin.copy(), late.copy()
    copy[first + 2], late_copy[first] = next(tokens), next(tokens)
    parts = [*twice[: first + 1], *new(first), *twice, *gap, *late[: first + 1], *gap, *late_copy, *gap]
    return (
        [*begin, *new(first + 3), *sample, *twice, *new(first), *late, *front, *other_end, next(tokens), *one_end],
        [*copy, next(tokens), *front, next(tokens), *document, *parts, *one_end, *gap, *other_end],
    )


def _any_token(sample, document, first, budget):
    seen = set(np.asarray(document).tolist())
    return [int(token) in seen for token in sample]


CONTAMINATED = Exercise(
    id="contaminated_tokens",
    chapter="13",
    title="LLaMA 2's contamination test",
    task="Mark the tokens of a sample in matches of more than `first` tokens, up to `budget` of which differ.",
    difficulty=3,
    minutes=25,
    reference=contaminated_tokens,
    make=_make_tokens,
    shapes=(
        {"segments": 1, "first": 2, "budget": 1},
        {"segments": 2, "first": 3, "budget": 1},
        {"segments": 3, "first": 2, "budget": 2},
        {"segments": 4, "first": 4, "budget": 2},
        {"segments": 5, "first": 3, "budget": 1},
        {"segments": 6, "first": 5, "budget": 2},
        {"segments": 6, "first": 10, "budget": 4},
    ),
    exact=True,
    hints=(
        "Three loops: where the match begins in the sample, where in the document, and how far it goes.",
        "Going along, an equal token makes the match end here. A different one costs a unit of the budget; among the "
        "first tokens, or when the budget is used up, it stops the walk. So a match never ends with a difference.",
        "length = differences = 0\n"
        "for k in range(min(len(sample) - i, len(document) - j)):\n"
        "    if sample[i + k] == document[j + k]: length = k + 1\n"
        "    else: differences += 1; stop if k < first or differences > budget\n"
        "if length > first: mark i to i + length - 1",
    ),
    mistakes=(
        Mistake(
            "Your function allows differences among the first tokens of a match.",
            "A match begins with `first` equal tokens; only behind them may some differ.",
            _contaminated(strict=lambda first: 0),
        ),
        Mistake(
            "Your function allows no difference right behind the first tokens.",
            "k = 0 ... first - 1 must be equal; the token at k = first may differ.",
            _contaminated(strict=lambda first: first + 1),
        ),
        Mistake(
            "Your function allows no differences at all.",
            "Up to `budget` tokens behind the first ones may differ: numbers, names and spelling change in copies.",
            _contaminated(allowed=lambda budget: 0),
        ),
        Mistake(
            "Your function allows one difference too few.",
            "`budget` differences are allowed: it is the one after them that ends the match.",
            _contaminated(allowed=lambda budget: budget - 1 if budget > 1 else 1),
        ),
        Mistake(
            "Your function lets a match end with differences.",
            "The last token of a match must be equal: the length grows with equal tokens only.",
            _contaminated(trailing=True),
        ),
        Mistake(
            "Your function takes matches of exactly `first` tokens.",
            "More than `first` are asked for: length > first.",
            _contaminated(least=0),
        ),
        Mistake(
            "Your function leaves the tokens out that differ inside a match.",
            "A token counts when it lies inside a match, equal or not.",
            _contaminated(holes=True),
        ),
        Mistake(
            "Your function compares equal positions only.",
            "The copy stands anywhere in the document: all pairs of beginnings have to be tried.",
            _contaminated(in_place=True),
        ),
        Mistake(
            "Your function marks every token that occurs in the document.",
            "Single tokens occur in all texts. They must lie in one match, in the same order.",
            _any_token,
        ),
    ),
)

# --- mixture_epochs --------------------------------------------------------------------------


def mixture_epochs(sizes: Any, weights: Any, n_tokens: int) -> Any:
    """How often each source is seen when n_tokens are drawn by weights."""
    sizes, weights = np.asarray(sizes, np.float64), np.asarray(weights, np.float64)
    return weights / weights.sum() * n_tokens / sizes


def _make_mixture(rng: np.random.Generator, sources: int) -> tuple[Any, ...]:
    return (
        rng.integers(200, 9000, sources),
        rng.integers(1, 70, sources).astype(np.float64),
        int(rng.integers(10_000, 100_000)),
    )


MIXTURE = Exercise(
    id="mixture_epochs",
    chapter="13",
    title="Up-sampling is an epoch count",
    task="How often each source's tokens are seen when tokens are drawn by weights.",
    difficulty=1,
    minutes=8,
    reference=mixture_epochs,
    make=_make_mixture,
    axes=("source",),
    shapes=({"sources": 1}, {"sources": 2}, {"sources": 3}, {"sources": 7}, {"sources": 12}),
    hints=(
        "A weight says which share of all drawn tokens comes from the source, whatever its size.",
        "Tokens drawn from a source, divided by the tokens that it has, is how often each of them was seen.",
        "return weights / weights.sum() * n_tokens / sizes",
    ),
    mistakes=(
        Mistake(
            "Your function does not divide the weights by their sum.",
            "Weights are proportions, such as 67 : 15 : 4.5; shares are weights / weights.sum().",
            lambda sizes, weights, n: weights * n / sizes,
        ),
        Mistake(
            "Your function multiplies the weights with the sizes before it makes shares of them.",
            "Then a weight would be an epoch count. Here it is the share of the drawn tokens, independent of the size.",
            lambda sizes, weights, n: weights * sizes / (weights * sizes).sum() * n / sizes,
        ),
        Mistake(
            "Your function gives the tokens drawn from each source.",
            "Divide by the source's size: an epoch is all of its tokens once.",
            lambda sizes, weights, n: weights / weights.sum() * n,
        ),
        Mistake(
            "Your function gives the same number of epochs to all sources: it draws by size.",
            "That is what happens without weights. The weights decide, the sizes only tell how soon a source is "
            "through.",
            lambda sizes, weights, n: np.full(len(sizes), n / sizes.sum()),
        ),
        Mistake(
            "Your function divides the size by the tokens drawn.",
            "That is the share of a source per token; epochs are tokens drawn over size.",
            lambda sizes, weights, n: sizes / (weights / weights.sum() * n),
        ),
    ),
)

# --- rows_for_training -----------------------------------------------------------------------


def rows_for_training(documents: list[Any], seq_len: int) -> tuple[Any, Any]:
    """Full rows of the documents one behind the other, with the next tokens as targets."""
    stream = np.concatenate(documents).astype(np.int64)
    n_rows = (len(stream) - 1) // seq_len
    n = n_rows * seq_len
    return stream[:n].reshape(n_rows, seq_len), stream[1 : n + 1].reshape(n_rows, seq_len)


def _make_documents(rng: np.random.Generator, documents: int, tokens: int, seq_len: int) -> tuple[Any, ...]:
    """Documents that begin with BOS (1); together one token more than full rows, and full rows in turn."""
    if documents * tokens < 2 * seq_len + 1 or tokens < 2:
        raise ValueError("too few tokens for two rows")
    lengths = rng.integers(2, tokens + 1, documents)
    lengths[0] += -(lengths.sum() - 1) % seq_len + seq_len * (1 + int(lengths.sum() < 2 * seq_len))
    if documents % 2 == 0:
        lengths[-1] += seq_len - 1  # all tokens together fill the rows, so that the last row has no last target
    return [np.concatenate([[1], rng.integers(3, 500, n - 1)]) for n in lengths], seq_len


def _own_rows(documents, seq_len):
    stream = np.concatenate(documents)
    n_rows = len(stream) // (seq_len + 1)
    rows = stream[: n_rows * (seq_len + 1)].reshape(n_rows, seq_len + 1)
    return rows[:, :-1], rows[:, 1:]


def _targets(change: Callable[[Any, Any], Any]) -> Function:
    def rows(documents, seq_len):
        tokens, targets = rows_for_training(documents, seq_len)
        return tokens, change(tokens, targets.copy())

    return rows


def _closed_rows(tokens, targets):
    targets[:, -1] = -100
    return targets


def _no_crossing(tokens, targets):
    targets[targets == 1] = -100
    return targets


def _wrapped_rows(documents, seq_len):
    stream = np.concatenate(documents)
    n = len(stream) // seq_len * seq_len
    return stream[:n].reshape(-1, seq_len), np.roll(stream, -1)[:n].reshape(-1, seq_len)


def _shorter_documents(documents, seq_len):
    """Each document cut by itself; what does not fill a row is lost."""
    parts = [rows_for_training([document], seq_len) for document in documents if len(document) > seq_len]
    if not parts:
        return np.empty((0, seq_len), np.int64), np.empty((0, seq_len), np.int64)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


ROWS = Exercise(
    id="rows_for_training",
    chapter="13",
    title="Documents as rows of tokens",
    task="Put documents one behind the other and cut full rows, with the next token as target.",
    difficulty=2,
    minutes=12,
    reference=rows_for_training,
    make=_make_documents,
    axes=("row", "position"),
    outputs=("tokens", "targets"),
    exact=True,
    shapes=(
        {"documents": 1, "tokens": 9, "seq_len": 2},
        {"documents": 2, "tokens": 8, "seq_len": 3},
        {"documents": 3, "tokens": 9, "seq_len": 4},
        {"documents": 6, "tokens": 20, "seq_len": 7},
        {"documents": 9, "tokens": 30, "seq_len": 16},
    ),
    hints=(
        "Row r reads positions r·T to r·T + T - 1 of the whole stream; its targets are the positions one further.",
        "The last target of a row is the first token of the next one, so that every token but the very first is a "
        "target once. N tokens make (N - 1) // T full rows.",
        "stream = np.concatenate(documents); n = (len(stream) - 1) // T * T\n"
        "return stream[:n].reshape(-1, T), stream[1:n + 1].reshape(-1, T)",
    ),
    mistakes=(
        Mistake(
            "Your function cuts pieces of T + 1 tokens that do not overlap.",
            "Then the first token of every piece is nobody's target. Rows are T apart, and the last target of one is "
            "the first token of the next.",
            _own_rows,
        ),
        Mistake(
            "Your function has the tokens themselves as targets.",
            "A model that is asked for the token it sees learns to copy. The target is the next token.",
            _targets(lambda tokens, targets: tokens.copy()),
        ),
        Mistake(
            "Your function gives the last place of every row no target.",
            "The next row's first token is the target there: shift the stream, not the rows.",
            _targets(_closed_rows),
        ),
        Mistake(
            "Your function shifts inside the row, so that the last target is the row's first token.",
            "np.roll on rows wraps round: shift the stream first, then cut.",
            _targets(lambda tokens, targets: np.roll(tokens, -1, axis=1)),
        ),
        Mistake(
            "Your function has no target where the next document begins.",
            "That is a choice some make. Here, as in llama2.c, BOS is a target: so the model learns where texts end.",
            _targets(_no_crossing),
        ),
        Mistake(
            "Your function has tokens and targets exchanged: it asks for the token before.",
            "Predicting is looking ahead: the target of position t is the token at t + 1. Tokens are returned first.",
            lambda documents, T: (
                rows_for_training(documents, T)[1].copy(),
                rows_for_training(documents, T)[0].copy(),
            ),
        ),
        Mistake(
            "Your function cuts every document by itself and loses what does not fill a row.",
            "Documents stand one directly behind the other in a single stream; a row may hold the end of one and the "
            "beginning of the next.",
            _shorter_documents,
        ),
        Mistake(
            "Your function makes a last row whose last target wraps round to the very first token.",
            "A row is full only when the token behind it exists: (N - 1) // T rows.",
            _wrapped_rows,
        ),
    ),
)

# --- bits_per_byte_of_targets ------------------------------------------------------------------


def bits_per_byte_of_targets(losses: Any, targets: Any, n_bytes: int) -> float:
    """Sum of the losses (nats) of the targets that count, in bits, for each byte of text."""
    kept = np.asarray(losses, np.float64)[np.asarray(targets) != -100]
    return float(kept.sum() / math.log(2) / n_bytes)


def _make_losses(rng: np.random.Generator, rows: int, T: int) -> tuple[Any, ...]:
    """Losses of rows of different lengths; padding has losses, too, which mean nothing."""
    losses = rng.uniform(0.2, 6.0, (rows, T)).astype(np.float32)
    targets = rng.integers(0, 500, (rows, T))
    for row, length in enumerate(rng.integers(1, T + 1, rows)):
        targets[row, max(1, int(length) - (row == 0)) :] = -100
    return losses, targets, int(rng.integers(3, 5) * (targets != -100).sum() + 1)


BITS = Exercise(
    id="bits_per_byte_of_targets",
    chapter="13",
    title="A loss that does not depend on the tokenizer",
    task="Turn the losses of tokens, in nats, into bits for each byte of text.",
    difficulty=1,
    minutes=8,
    reference=bits_per_byte_of_targets,
    make=_make_losses,
    shapes=({"rows": 1, "T": 2}, {"rows": 2, "T": 5}, {"rows": 3, "T": 4}, {"rows": 5, "T": 9}, {"rows": 8, "T": 33}),
    hints=(
        "The cost of a text is the sum of the losses of its tokens, however it was cut in tokens.",
        "One nat is 1 / ln 2 = 1.4427 bits. Targets of -100 are padding and do not count.",
        "return losses[targets != -100].sum() / np.log(2) / n_bytes",
    ),
    mistakes=(
        Mistake(
            "Your function counts the losses of padding.",
            "Places with the target -100 stand for no text: leave them out.",
            lambda losses, targets, n: float(losses.sum(dtype=np.float64)) / math.log(2) / n,
        ),
        Mistake(
            "Your function leaves the losses in nats.",
            "Divide by ln 2: a bit is the smaller unit, so there are more of them.",
            lambda losses, targets, n: bits_per_byte_of_targets(losses, targets, n) * math.log(2),
        ),
        Mistake(
            "Your function multiplies by ln 2.",
            "nats = bits · ln 2, so bits = nats / ln 2.",
            lambda losses, targets, n: bits_per_byte_of_targets(losses, targets, n) * math.log(2) ** 2,
        ),
        Mistake(
            "Your function takes the mean over the tokens and divides it by the bytes.",
            "The whole text has n_bytes bytes and costs the sum of its losses, not their mean.",
            lambda losses, targets, n: bits_per_byte_of_targets(losses, targets, n) / int((targets != -100).sum()),
        ),
        Mistake(
            "Your function gives bits per token.",
            "Divide by the bytes of the text: tokens are longer or shorter from one tokenizer to the next.",
            lambda losses, targets, n: bits_per_byte_of_targets(losses, targets, n) * n / int((targets != -100).sum()),
        ),
    ),
)

# --- threshold_costs -------------------------------------------------------------------------


def threshold_costs(scores: Any, labels: Any, threshold: float) -> tuple[float, float, float]:
    """Precision, recall and the share of good texts lost, when scores above the threshold are dropped."""
    dropped, bad = np.asarray(scores) > threshold, np.asarray(labels) == 1
    right = (dropped & bad).sum()
    return float(right / dropped.sum()), float(right / bad.sum()), float((dropped & ~bad).sum() / (~bad).sum())


def _make_scores(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Scores of which some are exactly the threshold; both labels occur on both sides of it."""
    if n < 6:
        raise ValueError("at least six texts: two above, two at and two below the threshold")
    scores, labels = rng.integers(0, 101, n) / 100, (rng.random(n) < 0.4).astype(np.int64)
    scores[:6], labels[:6] = (0.91, 0.77, 0.4, 0.4, 0.07, 0.03), (1, 0, 1, 0, 1, 0)
    order = rng.permutation(n)
    return scores[order], labels[order], 0.4


def _costs(drop: Callable[[Any, float], Any]) -> Function:
    return lambda scores, labels, threshold: threshold_costs(drop(scores, threshold).astype(float), labels, 0.5)


def _costs_in_order(order: Callable[[Any, Any], tuple[Any, Any, Any]]) -> Function:
    return lambda scores, labels, threshold: tuple(map(float, order(scores > threshold, labels == 1)))


COSTS = Exercise(
    id="threshold_costs",
    chapter="13",
    title="What a threshold costs",
    task="Precision, recall, and the share of good texts lost, of a filter that drops scores above a threshold.",
    difficulty=1,
    minutes=10,
    reference=threshold_costs,
    make=_make_scores,
    outputs=("precision", "recall", "good texts lost"),
    shapes=({"n": 6}, {"n": 9}, {"n": 14}, {"n": 40}, {"n": 300}),
    hints=(
        "Two yes-or-no arrays: dropped (score above the threshold) and bad (label 1). All three figures are counts of "
        "their combinations.",
        "Precision: of what is dropped, how much is bad. Recall: of what is bad, how much is dropped. Lost: of what is "
        "good, how much is dropped.",
        "dropped, bad = scores > threshold, labels == 1\n"
        "right = (dropped & bad).sum()\n"
        "return right / dropped.sum(), right / bad.sum(), (dropped & ~bad).sum() / (~bad).sum()",
    ),
    mistakes=(
        Mistake(
            "Your function drops scores that are equal to the threshold.",
            "Above the threshold is >: Dolma drops scores > 0.4.",
            _costs(lambda scores, threshold: scores >= threshold),
        ),
        Mistake(
            "Your function drops what is below the threshold.",
            "A high score says harmful: scores above it go.",
            _costs(lambda scores, threshold: scores < threshold),
        ),
        Mistake(
            "Your function has precision and recall exchanged.",
            "Precision divides by what was dropped, recall by what is bad.",
            _costs_in_order(
                lambda d, b: ((d & b).sum() / b.sum(), (d & b).sum() / d.sum(), (d & ~b).sum() / (~b).sum())
            ),
        ),
        Mistake(
            "Your function gives the accuracy in place of the precision.",
            "Where nearly all texts are good, a filter that drops nothing is accurate. Precision looks at what is "
            "dropped only.",
            _costs_in_order(lambda d, b: ((d == b).mean(), (d & b).sum() / b.sum(), (d & ~b).sum() / (~b).sum())),
        ),
        Mistake(
            "Your function divides the good texts that are lost by all texts.",
            "What is lost of the good ones is asked for: divide by the number of good texts.",
            _costs_in_order(lambda d, b: ((d & b).sum() / d.sum(), (d & b).sum() / b.sum(), (d & ~b).mean())),
        ),
        Mistake(
            "Your function gives one minus the precision as the share of good texts lost.",
            "The good ones among the dropped are one thing, the dropped among the good another.",
            _costs_in_order(lambda d, b: ((d & b).sum() / d.sum(), (d & b).sum() / b.sum(), (d & ~b).sum() / d.sum())),
        ),
    ),
)

EXERCISES = (
    GOPHER,
    LINES,
    NGRAMS,
    C4,
    LUHN,
    IBAN,
    IPV4,
    EMAILS,
    REDACT,
    COSTS,
    JACCARD,
    MINHASH,
    PROBABILITY,
    BANDS,
    CLUSTERS,
    OVERLAP,
    CONTAMINATED,
    MIXTURE,
    ROWS,
    BITS,
)
