"""How byte-level tokenizers cut a text into words, which no token crosses: a pattern for each family of models.

A `tokenizer.json` brings its pattern, a GGUF file only a name for it (`tokenizer.ggml.pre`). Cut by another
pattern, a text gives plausible but wrong tokens, so there is a list of names and no guess:

    gpt-2      'I've', ' cats', ' 1995'; English endings apart, a space belongs to the word after it
    smollm     the same, with every digit set apart first
    llama-bpe  any one sign may precede a word ('(word'), digits by threes, line breaks with the signs before them
    qwen2      the same, every digit by itself
    default    what llama.cpp does with a file that names no pattern: signs first, then as gpt-2, digits by threes

Letters and numbers are those that `tokenizers` knows. `regex` follows newer editions of Unicode, and a text cut
in another place would be other tokens.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import regex

from .unicode_ranges import LETTERS_SINCE_17, NUMBERS_SINCE_17, NUMBERS_SINCE_18, as_character_set

_LETTER = rf"[\p{{L}}--[{as_character_set(LETTERS_SINCE_17)}]]"
_NUMBER = rf"[\p{{N}}--[{as_character_set(NUMBERS_SINCE_17)}]]"
_DIGIT = rf"[\p{{N}}--[{as_character_set(NUMBERS_SINCE_18)}]]"

_GPT2 = (
    r"'s|'t|'re|'ve|'m|'ll|'d"  # English endings, lower case only
    rf"| ?{_LETTER}+"  # a word, with the space before it
    rf"| ?{_NUMBER}+"
    rf"| ?[^\s{_LETTER}{_NUMBER}]+"  # signs
    r"|\s+(?!\S)|\s+"  # spaces; the last one before a word belongs to the word
)


def _later_gpt(digits: str) -> str:
    """The pattern of GPT-4's kind, with `digits` for a number."""
    return (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
        rf"|[^\r\n{_LETTER}{_NUMBER}]?{_LETTER}+"  # a word, with one sign or space before it
        rf"|{digits}"
        rf"| ?[^\s{_LETTER}{_NUMBER}]+[\r\n]*"  # signs, and the line breaks after them
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


# Each pattern cuts the pieces that the one before left: matches are pieces, and so is what lies between them.
WORD_PATTERNS: dict[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "smollm": (_DIGIT, _GPT2),
    "qwen2": (_later_gpt(_NUMBER),),
    "llama-bpe": (_later_gpt(_NUMBER + "{1,3}"),),
    "default": (r"[\p{P}$+<=>^~|]+", _GPT2, rf"{_NUMBER}+", "[0-9][0-9][0-9]"),
}


@cache
def _compiled(name: str) -> tuple[Any, ...]:
    return tuple(regex.compile(f"(?V1){pattern}") for pattern in WORD_PATTERNS[name])


def cut_words(name: str, text: str) -> list[str]:
    """The words of `text`; put together they are the text.

    Parameters
    ----------
    name : str
        One of `WORD_PATTERNS`.
    text : str
    """
    words = [text]
    for pattern in _compiled(name):
        words = [piece for word in words for piece in _pieces(pattern, word)]
    return words


def _pieces(pattern: Any, text: str) -> list[str]:
    """Matches and what lies between them, without empty pieces."""
    pieces: list[str] = []
    at = 0
    for match in pattern.finditer(text):
        begin, end = match.span()
        if begin > at:
            pieces.append(text[at:begin])
        if end > begin:
            pieces.append(text[begin:end])
        at = end
    if at < len(text):
        pieces.append(text[at:])
    return pieces
