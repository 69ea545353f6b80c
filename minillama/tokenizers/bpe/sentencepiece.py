"""LLaMA's tokenizer: SentencePiece byte-pair encoding with byte fallback.

Kudo & Richardson 2018 (arXiv:1808.06226); LLaMA 2 paper, section 2.2: 32 000 pieces, numbers split
into single digits, characters that are not in the vocabulary written as their UTF-8 bytes.

    "Hello world 🙂"
    1. one space in front (so that a word is the same piece everywhere), spaces become "▁" (U+2581):
           ▁Hello▁world▁🙂
    2. single characters, then merges: of all neighbours that together are a piece, the pair whose
       piece has the highest score merges first, the leftmost of equals:
           ▁Hello  ▁world  ▁  🙂
    3. what is not a piece becomes bytes:
           ▁Hello  ▁world  ▁  <0xF0> <0x9F> <0x99> <0x82>

The scores are −1, −2, −3 … in the order in which training found the merges, so "highest score" means
"learned first". Nothing is special about a space: no word splitting happens before the merges. But if
no piece has a "▁" after another character, no merge ever joins one word to the next, and the words
can be merged (and remembered) one by one with the same result.

Hugging Face's `tokenizer.json` for the same models lists merge *rules*, pairs of pieces in order of
preference, in place of scores; both kinds of rule are taken here. They agree except where two
different pairs make the same piece. Where spaces go differs too, in files for the same model:

    spaces           "Hi"   " Hi"    after an added token
    "sentencepiece"  ▁Hi    ▁▁Hi     ▁Hi    the library's own rule, also llama.cpp's
    "normalizer"     ▁Hi    ▁▁Hi     ▁Hi    tokenizer.json before transformers 5: a normaliser does it
    "always"         ▁Hi    ▁Hi      ▁Hi    its pre-tokeniser "Metaspace": no second "▁" in front
    "first"          ▁Hi    ▁Hi      Hi     tokenizer.json of transformers 5: only where the text begins
    "never"          Hi     ▁Hi      Hi

Decoding follows SentencePiece: the space that encoding put in front goes, and each byte that is not
part of a character is one U+FFFD (`tokenizers` marks every byte of a run that has a wrong one in it,
which a stream could not do: it would have to take back characters already shown).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from .added_tokens import AddedToken
from .base import Tokenizer, TokenType
from .merging import WordCache, merge_symbols

SPACE = "▁"  # U+2581
_WORD = re.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
_METASPACE_WORD = re.compile(f"{SPACE}[^{SPACE}]*|[^{SPACE}]+")
METASPACE = ("first", "always", "never")
SPACES = ("sentencepiece", "normalizer", *METASPACE)
_BYTE_PIECE = re.compile("<0x([0-9A-Fa-f]{2})>")


class Piece(NamedTuple):
    """One entry of a SentencePiece vocabulary."""

    text: str
    score: float = 0.0
    type: int = TokenType.NORMAL


class SentencePieceBPE(Tokenizer):
    """Byte-pair encoding as the `sentencepiece` library does it, id for id.

    Parameters
    ----------
    pieces : sequence of Piece
        The vocabulary; an entry's position is its id.
    merges : sequence of (str, str), optional
        Rules in order of preference, used in place of the scores (Hugging Face files).
    add_dummy_prefix : bool
        Put a space before the text, and take it off again when decoding.
    remove_extra_whitespaces : bool
        Shorten runs of spaces to one and strip both ends; LLaMA does not.
    escape_whitespaces : bool
        Write spaces as "▁".
    spaces : str
        Where spaces go: one of `SPACES`, see the head of this file. All but the first follow Hugging Face's files,
        which look for added tokens in another way, too.
    split_words : bool
        Never merge across a "▁" (Metaspace with "split").
    strip_first : bool, optional
        Take one space off the beginning when decoding (Hugging Face's decoder "Strip"); None as `spaces` suggests.
    byte_fallback : bool, optional
        Write unknown characters as bytes; None does so if the vocabulary has all 256 byte pieces.
    unknown_text : str
        What the unknown token decodes to.
    bos_id, eos_id, add_bos, chat_template, stop_ids, added
        See `Tokenizer`.

    Raises
    ------
    ValueError
        When the vocabulary cannot be used: a byte piece that is not "<0xHH>", a rule whose pieces are
        not in the vocabulary, or no way to write an unknown character.
    """

    utf8_errors = "replace_each_byte"
    _normalized_kind = TokenType.USER_DEFINED

    def __init__(
        self,
        pieces: Sequence[Piece],
        *,
        merges: Sequence[tuple[str, str]] | None = None,
        add_dummy_prefix: bool = True,
        remove_extra_whitespaces: bool = False,
        escape_whitespaces: bool = True,
        spaces: str = "sentencepiece",
        split_words: bool = False,
        strip_first: bool | None = None,
        byte_fallback: bool | None = None,
        unknown_text: str = " ⁇ ",
        bos_id: int | None = None,
        eos_id: int | None = None,
        add_bos: bool = True,
        chat_template: str | None = None,
        stop_ids: Iterable[int] = (),
        added: Sequence[AddedToken] | None = None,
    ) -> None:
        if spaces not in SPACES:
            raise ValueError(f"expected spaces as one of {', '.join(SPACES)}, got {spaces!r}")
        self.spaces, self.split_words = spaces, split_words
        self.add_dummy_prefix = add_dummy_prefix and spaces != "never"
        self.remove_extra_whitespaces = remove_extra_whitespaces
        self.escape_whitespaces = escape_whitespaces
        self.strip_first = self.add_dummy_prefix if strip_first is None else strip_first
        self.strips_only_first = spaces != "sentencepiece"
        super().__init__(
            [piece.text for piece in pieces],
            [piece.type for piece in pieces],
            bos_id=bos_id,
            eos_id=eos_id,
            add_bos=add_bos,
            chat_template=chat_template,
            stop_ids=stop_ids,
            added=added,
        )
        self.scores = [float(piece.score) for piece in pieces]
        self.merges = None if merges is None else list(merges)
        self.unknown_text = unknown_text
        self.unk_id = next((id_ for id_, kind in enumerate(self.types) if kind == TokenType.UNKNOWN), None)
        self._byte_ids = _byte_ids(self.pieces, self.types)
        self.byte_fallback = len(self._byte_ids) == 256 if byte_fallback is None else byte_fallback
        if self.unk_id is None and not (self.byte_fallback and len(self._byte_ids) == 256):
            raise ValueError("the vocabulary has neither an unknown token nor all 256 byte tokens")
        self._prepare_rules()

    def _prepare_rules(self) -> None:
        """Tables for `_encode_text`: what a text may consist of, and what merges when."""
        kinds = (TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.UNUSED)
        self._ids = {text: id_ for text, id_ in self._merged_ids().items() if self.types[id_] in kinds}
        self._unused = {text for text, id_ in self._ids.items() if self.types[id_] == TokenType.UNUSED}
        if self.merges is None:
            self._ranks = {text: -self.scores[id_] for text, id_ in self._ids.items()}
            results: Iterable[str] = self._ids
        else:
            self._pair_ranks = self._usable_rules(self._ids)
            results = [left + right for left, right in self._pair_ranks]
        crosses_words = any(re.search(f"[^{SPACE}]{SPACE}", text) for text in results)
        self._by_word = self.escape_whitespaces and not self._unused and (self.split_words or not crosses_words)
        self._word_ids = WordCache(partial(self._merge, splits={}))

    # --- text to ids ---------------------------------------------------------------------

    def _encode_text(self, text: str, first: bool) -> list[int]:
        if self.spaces in METASPACE:
            text = self._metaspace(text, first)
        ids: list[int] = []
        if self._by_word:
            for word in (_METASPACE_WORD if self.split_words else _WORD).findall(text):
                ids += self._word_ids(word)
        else:
            ids = self._merge(text, {})
        return ids if self.byte_fallback else self._join_unknown(ids)

    def _metaspace(self, text: str, first: bool) -> str:
        """Spaces as "▁", and one in front where there is none yet, if this is the place for it."""
        text = text.replace(" ", SPACE)
        wanted = self.spaces == "always" or (self.spaces == "first" and first)
        return SPACE + text if wanted and not text.startswith(SPACE) else text

    def _spelled(self, text: str) -> str:
        return text if self.spaces == "sentencepiece" else self._normalize(text)

    def _normalize(self, text: str) -> str:
        """The text with its spaces as the model was trained to see them; nothing else changes."""
        if self.spaces in METASPACE:  # which is a step after the normaliser
            return text
        if self.remove_extra_whitespaces:
            text = re.sub(" +", " ", text.strip(" "))
        if not text:
            return text
        if self.add_dummy_prefix:
            text = " " + text
        if self.escape_whitespaces:
            text = text.replace(" ", SPACE)
        if self.remove_extra_whitespaces:  # a "▁" that the user typed at the end counts as a space too
            text = text.rstrip(SPACE if self.escape_whitespaces else " ")
        return text

    def _merge(self, text: str, splits: dict[str, tuple[str, str]]) -> list[int]:
        """Characters, merged by rank, as ids; `splits` remembers what unused pieces are made of."""
        rank = self._score_rank if self.merges is None else self._rule_rank
        if self._unused:
            rank = partial(self._rank_and_remember, splits=splits)
        symbols = merge_symbols(text, rank)
        if self._unused:
            symbols = [part for symbol in symbols for part in self._without_unused(symbol, splits)]
        return [id_ for symbol in symbols for id_ in self._symbol_ids(symbol)]

    def _score_rank(self, left: str, right: str) -> float | None:
        return self._ranks.get(left + right)

    def _rule_rank(self, left: str, right: str) -> float | None:
        return self._pair_ranks.get((left, right))

    def _rank_and_remember(self, left: str, right: str, splits: dict[str, tuple[str, str]]) -> float | None:
        """The rank; for a piece that must not appear in the result, also the pair that makes it."""
        value = self._score_rank(left, right) if self.merges is None else self._rule_rank(left, right)
        if value is not None and left + right in self._unused:
            splits[left + right] = (left, right)
        return value

    def _without_unused(self, symbol: str, splits: dict[str, tuple[str, str]]) -> list[str]:
        """Unused pieces are steps on the way to longer pieces; those left over are taken apart again."""
        if symbol not in self._unused or symbol not in splits:
            return [symbol]
        return [part for half in splits[symbol] for part in self._without_unused(half, splits)]

    def _symbol_ids(self, symbol: str) -> list[int]:
        """One id for a piece; for anything else its bytes, or the unknown token."""
        id_ = self._ids.get(symbol)
        if id_ is not None and symbol not in self._unused:
            return [id_]
        if self.byte_fallback:
            unknown = -1 if self.unk_id is None else self.unk_id  # -1 never: then all 256 bytes exist
            return [self._byte_ids.get(byte, unknown) for byte in symbol.encode()]
        return [] if self.unk_id is None else [self.unk_id]

    def _join_unknown(self, ids: list[int]) -> list[int]:
        """Several unknown characters in a row are one unknown token."""
        return [id_ for n, id_ in enumerate(ids) if id_ != self.unk_id or n == 0 or ids[n - 1] != id_]

    # --- ids to text ---------------------------------------------------------------------

    def _token_bytes(self, id_: int) -> bytes:
        kind = self.types[id_]
        if kind == TokenType.CONTROL or id_ in self._special_ids:
            return b""
        if kind == TokenType.BYTE:
            return bytes([int(self.pieces[id_][3:5], 16)])
        if kind == TokenType.UNKNOWN:
            return self.unknown_text.encode()
        return self._shown(id_).encode()

    def _shown(self, id_: int) -> str:
        return super()._shown(id_).replace(SPACE, " ")

    def _first_bytes(self, id_: int) -> tuple[bytes, bool]:
        raw = self._token_bytes(id_)
        if self.strips_only_first:
            return (raw.removeprefix(b" ") if self.strip_first else raw), False
        text_piece = self.types[id_] not in (TokenType.BYTE, TokenType.UNKNOWN)  # no "▁" of ours in these
        if text_piece and (self.strip_first or self.remove_extra_whitespaces):
            raw = raw.removeprefix(b" ")
        return raw, self.remove_extra_whitespaces and not raw


def is_byte_piece(text: str) -> bool:
    """Whether the piece is spelled like a byte, "<0x0A>"."""
    return _BYTE_PIECE.fullmatch(text) is not None


def _byte_ids(pieces: Sequence[str], types: Sequence[int]) -> dict[int, int]:
    """Byte value to id, for the byte pieces."""
    ids: dict[int, int] = {}
    for id_, (text, kind) in enumerate(zip(pieces, types)):
        if kind == TokenType.BYTE:
            match = _BYTE_PIECE.fullmatch(text)
            if match is None:
                raise ValueError(f"token {id_} is a byte, expected a text like <0x0A>, found {text!r}")
            ids.setdefault(int(match.group(1), 16), id_)
    return ids
