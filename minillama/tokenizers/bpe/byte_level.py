"""Byte-level byte-pair encoding: the tokenizer of GPT-2 and SmolLM2.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.

    "I've 42 cats"
    1. words, by a pattern; SmolLM2 first sets every digit apart:   I  've  ␣  4  2  ␣cats
    2. the UTF-8 bytes of each word, written as printable characters: Ġcats   (a space is "Ġ")
    3. merges inside each word: the pair with the lowest rank (the rule learned first) merges first,
       the leftmost of equals, until no rule fits

Where SentencePiece begins with characters and falls back to bytes, here everything is bytes from the
start; and the words of step 1 are a hard border, which no token crosses. A vocabulary with all 256
bytes can write any text. SmolLM2's lacks 21 of them: 13 that UTF-8 never contains, 6 control characters
and the first byte of the characters U+40000 to U+BFFFF, which nobody has assigned. Without an unknown
token such a byte is left out, as `tokenizers` and llama.cpp do; it is the one thing in a text that
encoding loses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import regex

from .base import Tokenizer, TokenType, longest_match, split_by
from .merging import WordCache, merge_symbols
from .unicode_ranges import LETTERS_SINCE_17, NUMBERS_SINCE_17, NUMBERS_SINCE_18, as_character_set

PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]


def byte_characters() -> str:
    """The 256 characters that stand for the bytes 0 to 255 (GPT-2, `bytes_to_unicode`).

    A byte that is a visible Latin-1 character stands for itself; the other 68 follow each other from
    U+0100 on, so that a vocabulary file shows no spaces, line breaks or control characters.
    """
    others = iter(range(256, 512))
    return "".join(chr(byte) if byte in PRINTABLE else chr(next(others)) for byte in range(256))


BYTE_TO_CHARACTER = byte_characters()
CHARACTER_TO_BYTE = {character: byte for byte, character in enumerate(BYTE_TO_CHARACTER)}

# Letters and numbers as `tokenizers` knows them. `regex` follows newer editions of Unicode, and a text
# cut in another place would be other tokens.
_LETTER = rf"[\p{{L}}--[{as_character_set(LETTERS_SINCE_17)}]]"
_NUMBER = rf"[\p{{N}}--[{as_character_set(NUMBERS_SINCE_17)}]]"
_DIGIT = regex.compile(rf"(?V1)([\p{{N}}--[{as_character_set(NUMBERS_SINCE_18)}]])")
_WORD = regex.compile(
    "(?V1)"
    r"'s|'t|'re|'ve|'m|'ll|'d"  # English endings, lower case only
    rf"| ?{_LETTER}+"  # a word, with the space before it
    rf"| ?{_NUMBER}+"
    rf"| ?[^\s{_LETTER}{_NUMBER}]+"  # signs
    r"|\s+(?!\S)|\s+"  # spaces; the last one before a word belongs to the word
)


class ByteLevelBPE(Tokenizer):
    """Byte-pair encoding as the `tokenizers` library does it for GPT-2 and SmolLM2, id for id.

    Parameters
    ----------
    pieces : sequence of str
        The vocabulary, ordinary pieces spelled in byte characters, the others as they are.
    types : sequence of int
        A `TokenType` for each piece.
    merges : sequence of (str, str)
        The rules, in the order of preference.
    split_digits : bool
        Set every digit apart before anything else (SmolLM2), not only together as numbers (GPT-2).
    unk_id : int, optional
        Stands for a byte that the vocabulary does not have; None leaves such a byte out.
    fuse_unknown : bool
        Write several unknown bytes in a row as one token.
    bos_id, eos_id, add_bos, chat_template, stop_ids
        See `Tokenizer`.

    Raises
    ------
    ValueError
        When a rule uses a piece that the vocabulary does not have.
    """

    utf8_errors = "replace"

    def __init__(
        self,
        pieces: Sequence[str],
        types: Sequence[int],
        merges: Sequence[tuple[str, str]],
        *,
        split_digits: bool = True,
        unk_id: int | None = None,
        fuse_unknown: bool = False,
        bos_id: int | None = None,
        eos_id: int | None = None,
        add_bos: bool = False,
        chat_template: str | None = None,
        stop_ids: Iterable[int] = (),
    ) -> None:
        super().__init__(
            pieces, types, bos_id=bos_id, eos_id=eos_id, add_bos=add_bos, chat_template=chat_template, stop_ids=stop_ids
        )
        self.merges = list(merges)
        self.split_digits, self.unk_id, self.fuse_unknown = split_digits, unk_id, fuse_unknown
        if unk_id is not None:
            self.check_id(unk_id)
        entries = [(id_, text) for id_, text in enumerate(self.pieces) if id_ not in self._special_ids]
        self._ids = {text: id_ for id_, text in reversed(entries)}  # of equal pieces the first counts
        self._user_defined = {text: id_ for id_, text in entries if self.types[id_] == TokenType.USER_DEFINED and text}
        self._user_defined_pattern = longest_match(self._user_defined)
        for pair in self.merges:
            for text in (*pair, "".join(pair)):
                if text not in self._ids:
                    raise ValueError(f"the merge rule {pair} uses {text!r}, which is not in the vocabulary")
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._word_ids = WordCache(self._merge)

    def words(self, text: str) -> list[str]:
        """Step 1: the words that are each merged by themselves; put together they are the text."""
        if not self.split_digits:
            return _WORD.findall(text)
        words: list[str] = []
        for n, part in enumerate(_DIGIT.split(text)):  # text, digit, text, digit, …
            words += [part] if n % 2 else _WORD.findall(part)
        return words

    def _encode_text(self, text: str) -> list[int]:
        ids: list[int] = []
        for part, id_ in split_by(self._user_defined_pattern, self._user_defined, text):
            if id_ is not None:
                ids.append(id_)
            else:
                for word in self.words(part):
                    ids += self._word_ids(word)
        return ids

    def _merge(self, word: str) -> list[int]:
        """Steps 2 and 3 for one word."""
        symbols: Sequence[str] = word.encode().decode("latin-1").translate(BYTE_TO_CHARACTER)
        if self.unk_id is None:
            symbols = [symbol for symbol in symbols if symbol in self._ids]
        merged = merge_symbols(symbols, lambda left, right: self._ranks.get((left, right)))
        ids: list[int] = []
        previous_unknown = False
        for symbol in merged:
            unknown = symbol not in self._ids
            if not (unknown and previous_unknown and self.fuse_unknown):
                ids.append(self._required("unk_id", self.unk_id) if unknown else self._ids[symbol])
            previous_unknown = unknown
        return ids

    def _token_bytes(self, id_: int) -> bytes:
        if id_ in self._special_ids:
            return b""
        text = self.pieces[id_]
        if self.types[id_] != TokenType.USER_DEFINED and all(character in CHARACTER_TO_BYTE for character in text):
            return bytes(map(CHARACTER_TO_BYTE.__getitem__, text))
        return text.encode()
