"""Byte-level byte-pair encoding: the tokenizer of GPT-2, SmolLM2, LLaMA 3 and Qwen2.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.

    "I've 42 cats"
    1. words, by a pattern; SmolLM2 first sets every digit apart:   I  've  ␣  4  2  ␣cats
    2. the UTF-8 bytes of each word, written as printable characters: Ġcats   (a space is "Ġ")
    3. merges inside each word: the pair with the lowest rank (the rule learned first) merges first,
       the leftmost of equals, until no rule fits

LLaMA 3 takes a word that is in the vocabulary as it is, without merges (`ignore_merges`), since for some of its
words no rules lead there. Qwen2 first writes characters in their composed form, "é" and not "e" and an accent
(Unicode's NFC), when its tokenizer.json says so.

Where SentencePiece begins with characters and falls back to bytes, here everything is bytes from the
start; and the words of step 1 are a hard border, which no token crosses. A vocabulary with all 256
bytes can write any text. SmolLM2's lacks 21 of them: 13 that UTF-8 never contains, 6 control characters
and the first byte of the characters U+40000 to U+BFFFF, which nobody has assigned. Without an unknown
token such a byte is left out, as `tokenizers` and llama.cpp do; it is the one thing in a text that
encoding loses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .added_tokens import AddedToken
from .base import Tokenizer, TokenType
from .merging import WordCache, merge_symbols
from .normalization import compose
from .word_patterns import WORD_PATTERNS, cut_words

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


class ByteLevelBPE(Tokenizer):
    """Byte-pair encoding as the `tokenizers` library does it for GPT-2 and its successors, id for id.

    Parameters
    ----------
    pieces : sequence of str
        The vocabulary, ordinary pieces spelled in byte characters, the others as they are.
    types : sequence of int
        A `TokenType` for each piece.
    merges : sequence of (str, str)
        The rules, in the order of preference.
    word_pattern : str
        How words are cut: a name of `word_patterns.WORD_PATTERNS`.
    ignore_merges : bool
        Take a word that is a piece as that piece, whatever the rules make of it.
    compose : bool
        Normalise text to Unicode's NFC first.
    unk_id : int, optional
        Stands for a byte that the vocabulary does not have; None leaves such a byte out.
    fuse_unknown : bool
        Write several unknown bytes in a row as one token.
    bos_id, eos_id, add_bos, chat_template, stop_ids, added
        See `Tokenizer`.

    Raises
    ------
    ValueError
        When a rule uses a piece that the vocabulary does not have, or nobody knows the word pattern.
    """

    utf8_errors = "replace"

    def __init__(
        self,
        pieces: Sequence[str],
        types: Sequence[int],
        merges: Sequence[tuple[str, str]],
        *,
        word_pattern: str = "smollm",
        ignore_merges: bool = False,
        compose: bool = False,
        unk_id: int | None = None,
        fuse_unknown: bool = False,
        bos_id: int | None = None,
        eos_id: int | None = None,
        add_bos: bool = False,
        chat_template: str | None = None,
        stop_ids: Iterable[int] = (),
        added: Sequence[AddedToken] | None = None,
    ) -> None:
        if word_pattern not in WORD_PATTERNS:
            raise ValueError(f"expected a word pattern of {', '.join(WORD_PATTERNS)}, got {word_pattern!r}")
        self.merges = list(merges)
        self.word_pattern, self.ignore_merges, self.compose = word_pattern, ignore_merges, compose
        self.unk_id, self.fuse_unknown = unk_id, fuse_unknown
        super().__init__(
            pieces,
            types,
            bos_id=bos_id,
            eos_id=eos_id,
            add_bos=add_bos,
            chat_template=chat_template,
            stop_ids=stop_ids,
            added=added,
        )
        if unk_id is not None:
            self.check_id(unk_id)
        self._prepare_rules()

    def _prepare_rules(self) -> None:
        self._ids = self._merged_ids()
        self._ranks = self._usable_rules(self._ids)
        self._word_ids = WordCache(self._merge)

    def words(self, text: str) -> list[str]:
        """Step 1: the words that are each merged by themselves; put together they are the text."""
        return cut_words(self.word_pattern, text)

    def _normalize(self, text: str) -> str:
        return compose(text) if self.compose else text

    def _encode_text(self, text: str, first: bool) -> list[int]:
        ids: list[int] = []
        for word in self.words(text):
            ids += self._word_ids(word)
        return ids

    def _merge(self, word: str) -> list[int]:
        """Steps 2 and 3 for one word."""
        spelled = word.encode().decode("latin-1").translate(BYTE_TO_CHARACTER)
        if self.ignore_merges and spelled in self._ids:
            return [self._ids[spelled]]
        symbols: Sequence[str] = spelled
        if self.unk_id is None:
            symbols = [symbol for symbol in spelled if symbol in self._ids]
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
        text = self._shown(id_)
        if self.types[id_] != TokenType.USER_DEFINED and all(character in CHARACTER_TO_BYTE for character in text):
            return bytes(map(CHARACTER_TO_BYTE.__getitem__, text))
        return text.encode()
