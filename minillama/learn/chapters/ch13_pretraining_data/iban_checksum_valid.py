"""The checksum of a bank account."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ....data.rules.personal_data.checks import IBAN_LENGTH
from ....data.rules.personal_data.checks import iban_valid as package_iban_valid
from ...exercises.exercise import Function, exercise
from .inputs import each, pick


def plain_iban_checksum_valid(iban: str) -> bool:
    """Modulus 97 of an IBAN in groups, of a known country and the right length."""
    return package_iban_valid(iban.replace(" ", ""))


def _iban(first: int = 4, value: Callable[[str], str] = lambda c: str(int(c, 36)), rest: int = 1) -> Function:
    """The check with its parts exchanged, for mistakes."""

    def valid(iban: str) -> bool:
        compact = iban.replace(" ", "")
        turned = compact[first:] + compact[:first]
        return int("".join(map(value, turned))) % 97 == rest

    return valid


IBAN_MISTAKES: tuple[Function, ...] = (
    _iban(first=0),
    _iban(first=2),
    _iban(value=lambda c: c if c.isdigit() else str(ord(c) - 64)),
    _iban(value=lambda c: c if c.isdigit() else str(ord(c))),
    _iban(value=lambda c: c if c.isdigit() else ""),
    _iban(rest=0),
)


def make_ibans(rng: np.random.Generator, ibans: int) -> tuple[Any, ...]:
    """Numbers in groups of four: valid, valid by a mistake only, valid, ..."""
    found = []
    for n in range(ibans):
        country = ("NO", "GB", "DE", "MT", "FR")[n % 5]
        account = "".join(map(str, rng.integers(0, 10, IBAN_LENGTH[country] - 4)))
        if country in ("GB", "MT"):
            account = "Z" + "".join(pick(rng, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", 3)) + account[4:]
        rule = plain_iban_checksum_valid if n % 2 == 0 else IBAN_MISTAKES[n // 2 % len(IBAN_MISTAKES)]
        groups = re.findall(".{1,4}", f"{country}00{account}")
        fitting = (f"{country}{check:02d}" for check in range(2, 99))
        found.append(next(" ".join([begin, *groups[1:]]) for begin in fitting if rule(" ".join([begin, *groups[1:]]))))
    return (found,)


@exercise(
    title="The checksum of a bank account",
    task="Say whether an IBAN, written in groups of four, passes modulus 97.",
    difficulty=1,
    minutes=10,
    same_as=plain_iban_checksum_valid,
    make=make_ibans,
    shapes=({"ibans": 1}, {"ibans": 2}, {"ibans": 3}, {"ibans": 6}, {"ibans": 24}),
    exact=True,
    observe=each,
    hints=(
        "Remove the spaces, move the first four characters to the end, and read the result as one very long number.",
        'Letters become two digits: A is 10, B is 11, Z is 35, which is int(letter, 36). "GB82" turns into "161182".',
        'compact = iban.replace(" ", "")\n'
        "turned = compact[4:] + compact[:4]\n"
        'return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1',
    ),
    why=(
        "A prime just below 100 finds every single wrong digit and nearly every exchange, at the price of two check "
        "digits. Moving the front to the end makes these two the lowest digits of the number, where they can bring "
        "about any remainder. Python's integers have any length, and int(c, 36) reads digits and letters alike."
    ),
)
def iban_checksum_valid(iban):
    """Say whether an IBAN passes modulus 97.

    The first four characters move to the end, every letter becomes a number (A = 10 ... Z = 35),
    and the whole, read as one decimal number, must leave the remainder 1 when divided by 97.

    Parameters
    ----------
    iban : str
        Capitals and digits, with a space after every four: "GB82 WEST 1234 5698 7654 32".

    Returns
    -------
    bool
    """
    compact = iban.replace(" ", "")
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


iban_checksum_valid.mistake(
    "Your function reads the number without moving the first four characters to the end.",
    "The check digits belong to the right end, as the last digits of the number: compact[4:] + compact[:4].",
    IBAN_MISTAKES[0],
)

iban_checksum_valid.mistake(
    "Your function moves only the two letters of the country.",
    "The check digits after them move too: four characters.",
    IBAN_MISTAKES[1],
)

iban_checksum_valid.mistake(
    "Your function counts letters from 1: A is 1, B is 2.",
    "A is 10 and Z is 35, as digits of base 36 continue after 9.",
    IBAN_MISTAKES[2],
)

iban_checksum_valid.mistake(
    "Your function takes the character codes of the letters: A is 65.",
    "A is 10 and Z is 35: ord(c) - 55, or int(c, 36).",
    IBAN_MISTAKES[3],
)

iban_checksum_valid.mistake(
    "Your function leaves the letters out.",
    "Letters count as two digits each, those of the country, too.",
    IBAN_MISTAKES[4],
)

iban_checksum_valid.mistake(
    "Your function expects a remainder of 0.",
    "The check digits are chosen so that the remainder is 1.",
    IBAN_MISTAKES[5],
)
