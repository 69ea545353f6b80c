"""Bytes as visible characters."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....tokenizers.bpe.byte_level import BYTE_TO_CHARACTER, PRINTABLE
from ...exercises.exercise import exercise


def plain_byte_characters_of(word: str) -> str:
    """One visible character for each UTF-8 byte (GPT-2's table)."""
    return word.encode("utf-8").decode("latin-1").translate(BYTE_TO_CHARACTER)


def make_word(rng: np.random.Generator, length: int) -> tuple[Any, ...]:
    letters = ["a", "!", "é", "ß", " ", " ", "\n", "世", "🙂", "\x7f", "\xa0", "\xad", "ñ", "í", "î", "¡"]
    drawn = rng.choice(letters, length).tolist()
    drawn[0] = " " if length > 1 else "é"
    return ("".join(drawn),)


def byte_level_library(word):
    from tokenizers import pre_tokenizers

    parts = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(word)
    return "".join(part for part, _ in parts)


@exercise(
    title="Bytes as visible characters",
    task="Write every byte of a word as the visible character that GPT-2's table has for it.",
    difficulty=2,
    minutes=15,
    same_as=plain_byte_characters_of,
    make=make_word,
    shapes=({"length": 1}, {"length": 2}, {"length": 3}, {"length": 7}, {"length": 20}, {"length": 80}),
    exact=True,
    oracle=byte_level_library,
    hints=(
        "The bytes 33-126, 161-172 and 174-255 are visible characters of Latin-1 and stand for themselves. There are "
        "68 others.",
        "The others get U+0100, U+0101, U+0102 ... in the order of their bytes: 0 to 32 first, then 127 to 160, "
        "then 173. A space, byte 32, is the 33rd of them: U+0120, Ġ.",
        "visible = [*range(33, 127), *range(161, 173), *range(174, 256)]\n"
        "others = [b for b in range(256) if b not in visible]\n"
        "one byte: chr(b) if b in visible else chr(256 + others.index(b))",
    ),
    why=(
        "GPT-2's rules are kept in a text file, where spaces and control characters would be lost, so each byte gets "
        "a character that can be seen. Bytes that are visible already stand for themselves, which keeps English "
        "readable. The word is encoded before the table is used: a letter with an accent is two bytes and becomes two "
        "characters."
    ),
)
def byte_characters_of(word):
    """Write every UTF-8 byte of a word as one visible character, by GPT-2's table.

    The bytes 33-126, 161-172 and 174-255 are the characters of those numbers. The other 68, in
    increasing order, are the characters U+0100, U+0101, U+0102 ...: a space is U+0120, "Ġ".

    Parameters
    ----------
    word : str

    Returns
    -------
    str
        As many characters as the word has bytes: " é" becomes "ĠÃ©".
    """
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in visible]
    table = {byte: chr(byte) for byte in visible} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return "".join(table[byte] for byte in word.encode("utf-8"))


@byte_characters_of.mistake(
    "Your function leaves every byte as the Latin-1 character of that number.",
    "Spaces, line breaks and control characters would be invisible in the vocabulary: the 68 bytes that show "
    "nothing get characters from U+0100 on.",
)
def leaves_every_byte_as_latin_1_character(word):
    return word.encode().decode("latin-1")


@byte_characters_of.mistake(
    "Your function adds 256 to the number of an invisible byte.",
    "That is right for the bytes 0 to 32 only. Count the invisible bytes: 127 is the 34th, so it is U+0121.",
)
def adds_256_to_number_of_invisible_byte(word):
    return "".join(chr(b if b in PRINTABLE else 256 + b) for b in word.encode())


@byte_characters_of.mistake(
    "Your function replaces the characters of the word, not its bytes.",
    "é is two bytes, so it becomes two characters: encode the word first.",
)
def replaces_characters_of_word(word):
    return word.translate(dict(enumerate(BYTE_TO_CHARACTER)))


@byte_characters_of.mistake(
    "Your function changes the spaces and nothing else.",
    "Ġ is one entry of a table for all bytes; é becomes Ã© by the same table.",
)
def changes_spaces_and_nothing_else(word):
    return word.replace(" ", "Ġ")


@byte_characters_of.mistake(
    "Your function moves every byte up by 256.",
    "Visible bytes stay as they are, so that English words can be read in the vocabulary.",
)
def moves_every_byte_up_by_256(word):
    return "".join(chr(256 + b) for b in word.encode())


@byte_characters_of.mistake(
    "Your function takes the byte 173 for a visible one.",
    "173 is the soft hyphen, which shows nothing: the second range ends at 172.",
)
def takes_byte_173_for_visible_one(word):
    return plain_byte_characters_of(word).replace(BYTE_TO_CHARACTER[173], "\xad")
