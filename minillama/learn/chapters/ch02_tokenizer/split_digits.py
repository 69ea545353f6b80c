"""Digits stand alone."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_text_with_digits(rng: np.random.Generator, length: int) -> tuple[Any, ...]:
    """Letters, spaces and runs of digits, Arabic ones among them; the first character is a digit.

    Of many some are numbers and no digits.
    """
    kinds = rng.choice(["digit", "digit", "digit", "letter", "space"], length).tolist()
    draw = {"digit": "0123456789٣٧", "letter": "abxé", "space": "  \n"}
    text = "".join(str(rng.choice(list(draw[kind]))) for kind in kinds)
    if length > 8:
        text = text[:4] + "²½五" + text[7:]
    return (("42" + text)[:length] if length > 2 else text,)


def tokenizers_digits(text):
    """Its own class Digits takes all that is numeric, fractions too."""
    from tokenizers import Regex, pre_tokenizers

    return [part for part, _ in pre_tokenizers.Split(Regex(r"\d"), "isolated").pre_tokenize_str(text)]


@exercise(
    title="Digits stand alone",
    task="Cut a text so that every digit is a part of its own and what lies between stays whole.",
    difficulty=1,
    minutes=5,
    make=make_text_with_digits,
    shapes=({"length": 3}, {"length": 1}, {"length": 2}, {"length": 6}, {"length": 15}, {"length": 60}),
    exact=True,
    oracle=tokenizers_digits,
    hints=(
        "The parts, put together, must be the text again: nothing is lost and nothing is empty.",
        "re.findall with two alternatives: one digit, or as many characters as possible that are not digits.",
        r're.findall(r"\d|\D+", text)',
    ),
    why=(
        "Two alternatives, one digit or a run of anything else, cover every character, so nothing is lost and no part "
        "is empty. Numbers are then made of ten pieces that training has seen often, where whole numbers would be "
        "thousands of rare ones. Python's pattern for a digit means that of any script, unless told otherwise."
    ),
)
def split_digits(text):
    """Cut a text so that every digit stands alone and everything between digits stays whole.

    "in 2023, 7" becomes ["in ", "2", "0", "2", "3", ", ", "7"]. A digit is what
    str.isdecimal says: those of other scripts count, but not ², ½ or 五.

    Parameters
    ----------
    text : str
        Not empty.

    Returns
    -------
    list of str
        No part is empty; put together they are the text.
    """
    return re.findall(r"\d|\D+", text)


@split_digits.mistake(
    "Your function keeps numbers whole: 42 is one part.",
    "LLaMA sees 4 and 2, so that every number is made of the same ten tokens: one digit at a time.",
)
def keeps_numbers_whole(text):
    return re.findall(r"\d+|\D+", text)


@split_digits.mistake(
    "Your function throws the digits away.",
    "They are separated, not separators: re.split drops what it splits at.",
)
def throws_digits_away(text):
    return [part for part in re.split(r"\d", text) if part]


@split_digits.mistake(
    "Your function returns empty parts where two digits meet.",
    "re.split with a group gives an empty text between neighbouring digits, and at both ends: leave these out.",
)
def returns_empty_parts_where_two_digits_meet(text):
    return re.split(r"(\d)", text)


@split_digits.mistake(
    "Your function takes up to three digits together.",
    "That is LLaMA 3's rule. LLaMA 2 and SmolLM2 set every single digit apart.",
)
def takes_up_to_three_digits_together(text):
    return re.findall(r"\d{1,3}|\D+", text)


@split_digits.mistake(
    "Your function cuts between all characters.",
    "Only digits stand alone; a word between them stays in one part.",
)
def cuts_between_all_characters(text):
    return list(text)


@split_digits.mistake(
    "Your function knows the digits 0 to 9 only.",
    "Other scripts have digits as well (٣ is a three): str.isdecimal and \\d know them, [0-9] does not.",
)
def knows_digits_0_to_9_only(text):
    return re.findall(r"[0-9]|[^0-9]+", text)


def alone_if(is_digit):
    def split(text):
        parts: list[str] = []
        new = True
        for character in text:
            if new or is_digit(character):
                parts.append(character)
            else:
                parts[-1] += character
            new = is_digit(character)
        return parts

    return split


split_digits.mistake(
    "Your function takes raised digits such as ² for digits, as str.isdigit does.",
    "² is an exponent, no place of a number: ask str.isdecimal, which is what \\d matches.",
    alone_if(str.isdigit),
)

split_digits.mistake(
    "Your function takes everything that is a number for a digit: ½ and 五, too.",
    "str.isnumeric knows fractions and words for numbers; a digit is what str.isdecimal says.",
    alone_if(str.isnumeric),
)
