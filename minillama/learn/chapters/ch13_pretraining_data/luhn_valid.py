"""The check digit of a card number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ....data.rules.personal_data.checks import luhn_valid as package_luhn_valid
from ...exercises.exercise import exercise
from .inputs import each


def make_luhn(rng: np.random.Generator, numbers: int, length: int) -> tuple[Any, ...]:
    """Numbers of `length` and of one digit more, valid ones first, then valid ones with one digit changed."""
    if length < 3:
        raise ValueError("numbers have at least three digits")
    found = []
    for n in range(numbers):
        digits = "".join(map(str, rng.integers(0, 10, length - 1 + n % 2)))
        digits += next(d for d in "0123456789" if package_luhn_valid(digits + d))
        if n % 3 == 2:
            digits = digits[:-2] + str((int(digits[-2]) + 1) % 10) + digits[-1]
        found.append(digits)
    return (found,)


@exercise(
    title="The check digit of a card number",
    task="Say whether a number passes the Luhn formula.",
    difficulty=1,
    minutes=10,
    same_as=package_luhn_valid,
    make=make_luhn,
    shapes=(
        {"numbers": 1, "length": 4},
        {"numbers": 2, "length": 7},
        {"numbers": 4, "length": 12},
        {"numbers": 12, "length": 15},
        {"numbers": 20, "length": 18},
    ),
    exact=True,
    observe=each,
    hints=(
        "The last digit is the check digit and counts as it is. Going left from it, every second digit is doubled.",
        "A doubled digit above 9 is replaced by the sum of its digits: 7 becomes 14 becomes 5, which is 14 - 9.",
        "for i, d in enumerate(map(int, reversed(digits))):\n"
        "    if i % 2 == 1: d = 2 * d - 9 if d > 4 else 2 * d\n"
        "    total += d\n"
        "return total % 10 == 0",
    ),
    why=(
        "Doubling every second digit makes each single wrong digit, and nearly every exchange of neighbours, change "
        "the total; a random number passes one time in ten. From the right the check digit has a fixed place at any "
        "length. The two figures of 10 to 18 add up to that number minus 9, so no digit has to be taken apart."
    ),
)
def luhn_valid(digits):
    """Say whether a card number passes the Luhn formula.

    From the right: the last digit counts as it is, its neighbour is doubled, the next counts as it
    is, and so on. A doubled digit of two figures counts as their sum (8 -> 16 -> 7). The number is
    valid when the total is a multiple of 10.

    Parameters
    ----------
    digits : str

    Returns
    -------
    bool
    """
    total = 0
    for i, digit in enumerate(map(int, reversed(digits))):
        if i % 2 == 1:
            digit = 2 * digit - 9 if digit > 4 else 2 * digit
        total += digit
    return total % 10 == 0


def luhn_sum(digits: str, second: int, doubled: Callable[[int], int] = lambda d: 2 * d - 9 * (d > 4)) -> int:
    """The sum with every second digit doubled, the first of them `second` places from the right."""
    numbers = [int(d) for d in reversed(digits)]
    return sum(doubled(d) if i % 2 == second else d for i, d in enumerate(numbers))


@luhn_valid.mistake(
    "Your function starts doubling with the first digit from the left.",
    "That is right for 16 digits and wrong for 15. Count from the right: the check digit is not doubled, its "
    "neighbour is.",
)
def doubles_from_the_left(digits):
    return luhn_sum(digits, (len(digits) - 1) % 2) % 10 == 0


@luhn_valid.mistake(
    "Your function doubles the check digit itself.",
    "The last digit counts as it is; the doubling begins with the digit in front of it.",
)
def doubles_check_digit_itself(digits):
    return luhn_sum(digits, 0) % 10 == 0


@luhn_valid.mistake(
    "Your function doubles digits and does not take 9 off when the result has two digits.",
    "8 doubled is 16 and counts 1 + 6 = 7, the same as 16 - 9.",
)
def does_not_take_9_off(digits):
    return luhn_sum(digits, 1, lambda d: 2 * d) % 10 == 0


@luhn_valid.mistake(
    "Your function adds all digits as they are.",
    "A plain sum does not notice two digits that have changed places: double every second one.",
)
def adds_all_digits(digits):
    return luhn_sum(digits, 2) % 10 == 0


@luhn_valid.mistake(
    "Your function says yes when the total is no multiple of 10.",
    "Valid is total % 10 == 0. (`not total % 10`, or a comparison; the bare remainder is true when it is not 0.)",
)
def turns_the_answer_round(digits):
    return luhn_sum(digits, 1) % 10 != 0
