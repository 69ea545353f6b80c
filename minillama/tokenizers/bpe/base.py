"""What every tokenizer does: text to ids, ids to text, and ids to text one at a time.

A tokenizer is a list of *pieces*; the position of a piece in the list is its id. Ids and not text
are all that a model ever sees, so two programs that cut the same text differently run, in effect,
different models. `encode` therefore agrees id for id with the library that the model was trained with.

Two rules hold for every tokenizer here:

* Text is never turned into control. A user who types "<s>" or "<|im_end|>" gets ordinary characters,
  unless the caller asks for `allow_special=True`.
* A token may end in the middle of a character (one emoji is four bytes, often four tokens), so a
  stream of tokens is shown through `StreamDecoder`, which waits until a character is complete.
"""

from __future__ import annotations

import copy
import operator
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from itertools import chain
from typing import SupportsIndex

from .added_tokens import AddedToken, AddedTokens
from .utf8 import Utf8Stream

# Tokens by which chat models end a turn: generation stops at each of them, whatever `eos_id` is.
TURN_ENDS = frozenset(
    {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|end|>", "<end_of_turn>", "<turn|>"}
)
# Tokens that open a turn; like the above they are control even in files that call them plain vocabulary.
TURN_STARTS = frozenset(
    {"<|im_start|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<|turn>"}
    | {"<|header_start|>", "<|header_end|>", "<|system|>", "<|user|>", "<|assistant|>"}
)


class TokenType(IntEnum):
    """The kind of a piece; SentencePiece and GGUF store these numbers."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3  # begin, end, turn markers: no text
    USER_DEFINED = 4  # matched in the text before anything else, never cut
    UNUSED = 5
    BYTE = 6  # <0x00> … <0xFF>


TOKEN_TYPES = frozenset(int(kind) for kind in TokenType)


class Tokenizer(ABC):
    """The interface of `SentencePieceBPE` and `ByteLevelBPE`.

    Parameters
    ----------
    pieces : sequence of str
        The text of each id, as the vocabulary file spells it.
    types : sequence of int
        A `TokenType` for each piece.
    bos_id, eos_id : int or None
        Begin and end of a text.
    add_bos : bool
        Whether the model expects `bos_id` before a text.
    chat_template : str or None
        The Jinja template that came with the model.
    stop_ids : iterable of int
        Further ids that end an answer, beside `eos_id` and the known end-of-turn tokens.
    added : sequence of AddedToken, optional
        The tokens that are matched in a text before anything else, with their flags; None takes the
        control and user-defined pieces, without flags.

    Attributes
    ----------
    named_tokens : dict of str to str
        Special tokens by the names that chat templates know them under: "bos_token", "eos_token" …
    named_templates : dict of str to str
        Further chat templates that came with the model, by name.
    special_tokens : dict of str to int
        Control tokens by their text. Begin, end, stops and chat markers are control whatever the file calls
        them, so that nobody ends a turn by typing "</s>"; other user-defined pieces are vocabulary and
        always matched.

    Raises
    ------
    ValueError
        When an id is not one of the pieces, or `pieces` and `types` differ in length.
    """

    def __init__(
        self,
        pieces: Sequence[str],
        types: Sequence[int],
        *,
        bos_id: int | None = None,
        eos_id: int | None = None,
        add_bos: bool = False,
        chat_template: str | None = None,
        stop_ids: Iterable[int] = (),
        added: Sequence[AddedToken] | None = None,
    ) -> None:
        if len(pieces) != len(types):
            raise ValueError(f"expected one type for each piece, got {len(pieces)} pieces and {len(types)} types")
        _check_pieces(pieces)
        self.pieces = list(pieces)
        self.types = [int(kind) for kind in types]
        self.vocab_size = len(self.pieces)
        self.bos_id, self.eos_id, self.chat_template = bos_id, eos_id, chat_template
        self.add_bos = add_bos
        stops = list(stop_ids)
        for name, id_ in (("bos_id", bos_id), ("eos_id", eos_id), *(("stop_ids", id_) for id_ in stops)):
            if id_ is not None and not 0 <= id_ < self.vocab_size:
                raise ValueError(f"{name} {id_} is not one of the {self.vocab_size} tokens")
        if add_bos and bos_id is None:
            raise ValueError("add_bos needs a bos_id")
        self.added = self._default_added() if added is None else list(added)
        self._set_special(stops)
        ids = {"bos_token": bos_id, "eos_token": eos_id}
        self.named_tokens = {name: self.pieces[id_] for name, id_ in ids.items() if id_ is not None}
        self.named_templates: dict[str, str] = {}
        # The file this tokenizer was read from, as (name, bytes): `save_tokenizer` writes it back unchanged.
        self.source: tuple[str, bytes] | None = None
        self.source_settings: dict[str, object] = {}  # and with it what the files beside it said

    def _default_added(self) -> list[AddedToken]:
        """Control and user-defined pieces as added tokens, where the file says no more about them."""
        return [
            AddedToken(id_, text, special=kind == TokenType.CONTROL, normalized=kind == self._normalized_kind)
            for id_, (text, kind) in enumerate(zip(self.pieces, self.types))
            if text and kind in (TokenType.CONTROL, TokenType.USER_DEFINED)
        ]

    def _set_special(self, stops: Iterable[int]) -> None:
        """Decide which tokens are control, and prepare to find the added ones."""
        of_control = int(TokenType.CONTROL)
        control = {id_ for id_, kind in enumerate(self.types) if kind == of_control}
        control |= {token.id for token in self.added if token.special or token.text in _MARKERS}
        ends = [id_ for id_ in control if self.pieces[id_] in TURN_ENDS]
        self.stop_ids = frozenset([*ends, *stops, *([] if self.eos_id is None else [self.eos_id])])
        control |= self.stop_ids | ({self.bos_id} if self.bos_id is not None else set())
        self._special_ids = frozenset(control)
        self.special_tokens = {self.pieces[id_]: id_ for id_ in sorted(control, reverse=True) if self.pieces[id_]}
        self.special_tokens = dict(reversed(self.special_tokens.items()))  # by id; of equal texts the first counts
        known = {token.id for token in self.added}
        unnamed = [AddedToken(id_, self.pieces[id_], special=True) for id_ in sorted(control - known)]
        self._looks = {token.id: self._spelled(token.text) for token in self.added if token.normalized}
        self._finder = AddedTokens([*self.added, *unnamed], self._special_ids, self._normalize, self._spelled)

    def stopping_at(self, ids: Iterable[int]) -> Tokenizer:
        """The same tokenizer with further stop ids, which are control from then on.

        Parameters
        ----------
        ids : iterable of int
            What ends an answer, for example by a model's `generation_config.json`; ids that the vocabulary does
            not have are left out, since nothing can spell them.

        Returns
        -------
        Tokenizer
        """
        further = {id_ for id_ in ids if 0 <= id_ < self.vocab_size}
        if further <= self.stop_ids:
            return self
        other = copy.copy(self)
        other._set_special(self.stop_ids | further)
        other._prepare_rules()
        return other

    def encode(
        self,
        text: str,
        *,
        bos: bool | None = None,
        eos: bool = False,
        allow_special: bool = False,
        plain: Sequence[tuple[int, int]] = (),
    ) -> list[int]:
        """The ids of `text`.

        Parameters
        ----------
        text : str
        bos : bool or None
            Begin with `bos_id`; None means as the model expects (`add_bos`). There is never more than one.
        eos : bool
            End with `eos_id`.
        allow_special : bool
            Read special tokens spelled in the text as those tokens, the longest first. Only for text
            that the program itself wrote, such as a template: never for what a user typed.
        plain : sequence of (int, int)
            Ranges of `text`, begin and end, that stay plain text with `allow_special` too: what a user typed
            inside what the program wrote. In their order.

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            When the text holds half of a surrogate pair, which no UTF-8 file can, or when `bos` or `eos`
            asks for a token that the vocabulary does not have.
        """
        _check_text(text)
        ids: list[int] = []
        for part in self._finder.split(text, allow_special, plain):
            ids += self._encode_text(part.text, part.first) if part.id is None else [part.id]
        if self.add_bos if bos is None else bos:
            first = self._required("bos_id", self.bos_id)
            ids = ids if ids[:1] == [first] else [first, *ids]
        if eos:
            ids.append(self._required("eos_id", self.eos_id))
        return ids

    def decode(self, ids: Iterable[SupportsIndex], *, skip_special: bool = True) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD.

        Parameters
        ----------
        ids : sequence of int, or an integer array
        skip_special : bool
            Leave control tokens out; otherwise they appear as the vocabulary spells them.

        Raises
        ------
        ValueError
            When an id is negative or not below `vocab_size`.
        """
        stream = self.stream(skip_special=skip_special)
        return "".join([stream.feed(id_) for id_ in ids]) + stream.flush()

    def stream(self, *, skip_special: bool = True) -> StreamDecoder:
        """A decoder to be fed one id after another, as they are generated."""
        return StreamDecoder(self, skip_special)

    def decode_bytes(self, id_: SupportsIndex) -> bytes:
        """The bytes that one token stands for inside a text; control tokens stand for none."""
        return self._token_bytes(self.check_id(id_))

    def token_text(self, id_: SupportsIndex) -> str:
        """The token as the vocabulary spells it ("▁the", "Ġthe", "<0x0A>", "<s>"), for display."""
        return self.pieces[self.check_id(id_)]

    def is_special(self, id_: SupportsIndex) -> bool:
        """Whether the token is a control token."""
        return self.check_id(id_) in self._special_ids

    def check_id(self, id_: SupportsIndex) -> int:
        """`id_` as a plain int, or a ValueError when the vocabulary does not have it."""
        index = operator.index(id_)
        if not 0 <= index < self.vocab_size:
            raise ValueError(f"token id {index} is not in the vocabulary of {self.vocab_size} tokens")
        return index

    # --- what the two kinds of tokenizer fill in ---------------------------------------

    utf8_errors: str  # how `utf8.Utf8Stream` marks bytes that are not a character
    unk_id: int | None  # stands for what the vocabulary cannot write
    merges: list[tuple[str, str]] | None  # rules in the order of preference; None: the pieces have scores

    # Of pieces without flags, the kind that is looked for in the normaliser's output; None: all in the text as it is.
    _normalized_kind: TokenType | None = None
    # Whether decoding takes a space off the very beginning only, or off the first text after control tokens, too.
    strips_only_first = False

    def _normalize(self, text: str) -> str:
        """The text between added tokens as the model was trained to see it."""
        return text

    def _spelled(self, text: str) -> str:
        """How an added token that is looked for after the normaliser stands in its output."""
        return self._normalize(text)

    @abstractmethod
    def _prepare_rules(self) -> None:
        """Make the tables for `_encode_text`, from the pieces that are not control."""

    @abstractmethod
    def _encode_text(self, text: str, first: bool) -> list[int]:
        """The ids of normalised text without added tokens; `first`: nothing of the whole text lies before it."""

    @abstractmethod
    def _token_bytes(self, id_: int) -> bytes:
        """`decode_bytes` without the range check."""

    def _shown(self, id_: int) -> str:
        """A piece as decoding shows it; of an added token what the normaliser made of it, with its spaces."""
        return self._looks.get(id_, self.pieces[id_])

    def _merged_ids(self) -> dict[str, int]:
        """The pieces that merges may make, with their ids; of equal pieces the first counts."""
        outside = self._special_ids | {token.id for token in self.added if not token.in_vocabulary}
        texts, ids = list(self.pieces), list(range(self.vocab_size))
        for id_ in sorted(outside, reverse=True):
            del texts[id_], ids[id_]
        return dict(zip(reversed(texts), reversed(ids)))

    def _usable_rules(self, ids: Mapping[str, int]) -> dict[tuple[str, str], int]:
        """The merge rules and their ranks, without those that pass through a control token."""
        rules = self.merges or ()
        lefts, rights = (list(map(operator.itemgetter(side), rules)) for side in (0, 1))
        if all(map(ids.__contains__, chain(lefts, rights, map(operator.add, lefts, rights)))):
            return dict(zip(rules, range(len(rules))))  # as below, at the speed of C
        ranks: dict[tuple[str, str], int] = {}
        control = {self.pieces[id_] for id_ in self._special_ids}
        for rank, pair in enumerate(rules):
            left, right = pair
            if left in ids and right in ids and left + right in ids:
                ranks[pair] = rank
                continue
            missing = [text for text in (left, right, left + right) if text not in ids]
            if not control.intersection(missing):
                raise ValueError(f"the merge rule {pair} uses {missing[0]!r}, which is not in the vocabulary")
        return ranks

    def _first_bytes(self, id_: int) -> tuple[bytes, bool]:
        """The bytes of the first token of a text, and whether the next one still counts as the first.

        `encode` may have put something in front, which is taken off again here.
        """
        return self._token_bytes(id_), False

    def _required(self, name: str, id_: int | None) -> int:
        if id_ is None:
            raise ValueError(f"this tokenizer has no {name}")
        return id_


class StreamDecoder:
    """Turns ids into text as they come, without ever showing half a character.

    The pieces that `feed` and finally `flush` return, put together, are `decode` of all the ids:
    `decode` is this class run to its end.
    """

    def __init__(self, tokenizer: Tokenizer, skip_special: bool = True) -> None:
        self._tokenizer, self._skip_special = tokenizer, skip_special
        self._utf8 = Utf8Stream(tokenizer.utf8_errors)
        self._at_start = True

    def feed(self, id_: SupportsIndex) -> str:
        """The text that is complete now that `id_` has come; empty while a character is unfinished."""
        tokenizer = self._tokenizer
        index = tokenizer.check_id(id_)
        if index in tokenizer._special_ids:  # the text on the other side is another text
            self._at_start = self._at_start and (self._skip_special or not tokenizer.strips_only_first)
            return self._utf8.flush() + ("" if self._skip_special else tokenizer._shown(index))
        if self._at_start:
            raw, self._at_start = tokenizer._first_bytes(index)
        else:
            raw = tokenizer._token_bytes(index)
        return self._utf8.feed(raw)

    def flush(self) -> str:
        """What is left at the end: U+FFFD for an unfinished character, or nothing."""
        return self._utf8.flush()


_MARKERS = TURN_ENDS | TURN_STARTS


def _check_pieces(pieces: Sequence[str]) -> None:
    try:
        "".join(pieces).encode("utf-8")
    except UnicodeEncodeError:
        n = next(n for n, piece in enumerate(pieces) if any("\ud800" <= c <= "\udfff" for c in piece))
        raise ValueError(f"piece {n} has a lone surrogate, which is not a character") from None


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(f"expected text as str, got {type(text).__name__}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text has a lone surrogate U+{ord(text[error.start]):04X} at position {error.start}, "
            "which is not a character; decode the input with errors='replace'"
        ) from error
