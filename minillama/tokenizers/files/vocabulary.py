"""A vocabulary while it grows: the model's own pieces, then the added tokens that the files around it name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from ...files.errors import CheckpointError
from ..bpe.added_tokens import AddedToken
from ..bpe.base import TokenType
from .validation import MAX_PIECES, expect

FLAGS = ("special", "normalized", "lstrip", "rstrip", "single_word")


class Vocabulary:
    """Pieces, their kinds, and added tokens by id.

    Parameters
    ----------
    pieces : list of str
        The text of each id that the model's own vocabulary has.
    types : list of int
        A `TokenType` for each.
    path : path-like
        For error messages.
    """

    def __init__(self, pieces: Sequence[str], types: Sequence[int], path: str | PathLike[str]) -> None:
        self.pieces, self.types, self.path = list(pieces), [int(kind) for kind in types], path
        self.added: dict[int, AddedToken] = {}
        self.ids = {text: id_ for id_, text in reversed(list(enumerate(self.pieces)))}
        self._n_own = len(self.pieces)

    def add(self, token: AddedToken, field: str, id_: int | None = None) -> int:
        """Make a text an added token, as `tokenizers` does: of a known text with its id, else with the next one.

        Parameters
        ----------
        token : AddedToken
            Its `id` does not count.
        field : str
            For error messages.
        id_ : int, optional
            The id that a file gives it.

        Raises
        ------
        CheckpointError
            When the file gives it another id than it gets.
        """
        found = self.ids.get(token.text, len(self.pieces))
        if id_ is not None and id_ != found:
            where = f"has id {found} in the vocabulary" if token.text in self.ids else f"the next free id is {found}"
            raise CheckpointError(self.path, field, f"{token.text!r} should have id {id_}, but {where}")
        if found == len(self.pieces):
            if found >= MAX_PIECES:
                raise CheckpointError(self.path, field, f"expected at most {MAX_PIECES} tokens, found more")
            self.pieces.append(token.text)
            self.types.append(TokenType.NORMAL)
            self.ids[token.text] = found
        if self.types[found] != TokenType.UNKNOWN:
            self.types[found] = TokenType.CONTROL if token.special else TokenType.USER_DEFINED
        self.added[found] = token._replace(id=found, in_vocabulary=found < self._n_own)
        return found

    def mark_unknown(self, name: Any) -> None:
        """Make the token that a file names so the one for what cannot be written, if there is none yet."""
        text = name.get("content") if isinstance(name, dict) else name
        id_ = self.ids.get(text) if isinstance(text, str) else None
        if id_ is not None and TokenType.UNKNOWN not in self.types:
            self.types[id_] = TokenType.UNKNOWN

    def tokens(self) -> list[AddedToken]:
        """The added tokens by id."""
        return [self.added[id_] for id_ in sorted(self.added)]


def added_token(value: Any, path: str | PathLike[str], field: str, *, special: bool = False) -> AddedToken:
    """An added token from the text, or from the object of flags, by which a file names it.

    Raises
    ------
    CheckpointError
        When it is neither, or empty.
    """
    if isinstance(value, str):
        value = {"content": value, "special": special}
    value = expect(value, dict, path, field)
    text = expect(value.get("content"), str, path, f"{field}.content")
    if not text:
        raise CheckpointError(path, f"{field}.content", "is empty")
    flags: dict[str, bool] = {"special": special}
    for name in FLAGS:
        if value.get(name) is not None:
            flags[name] = expect(value[name], bool, path, f"{field}.{name}")
    flags.setdefault("normalized", not flags["special"])  # as the library has it
    return AddedToken(-1, text, **flags)


def as_object(token: AddedToken) -> dict[str, Any]:
    """The object by which files name an added token."""
    return {"content": token.text, **{name: getattr(token, name) for name in FLAGS}}


# Tokens with a name, in the order in which `transformers` adds those that the vocabulary lacks.
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def add_configured(vocabulary: Vocabulary, config: Mapping[str, Any]) -> None:
    """Add what `tokenizer_config.json` names: `added_tokens_decoder`, then special tokens that are none yet.

    A special token that the vocabulary lacks gets the next id, as in `transformers`.

    Raises
    ------
    CheckpointError
        When a token is not described as one, or its id does not fit.
    """
    named = {key: _named(vocabulary, config, key) for key in NAMED}
    names = {token.text for token in named.values() if token is not None}
    for key, value in _by_id(config.get("added_tokens_decoder"), vocabulary.path):
        field = f"added_tokens_decoder[{key}]"
        token = added_token(value, vocabulary.path, field)
        token = token._replace(special=token.special or token.text in names)
        known = vocabulary.added.get(key)
        if known is None or as_object(known) != as_object(token):
            vocabulary.add(token, field, key)
    present = [(name, token) for name, token in named.items() if token is not None]
    present += [(name, added_token(config[name], vocabulary.path, name, special=True)) for name in own_names(config)]
    for name, token in [*present, *_extra(vocabulary, config)]:
        if vocabulary.ids.get(token.text) not in vocabulary.added:
            vocabulary.add(token._replace(special=True), name)


def own_names(config: Mapping[str, Any]) -> list[str]:
    """The keys by which a model names special tokens of its own: "image_token", "prefix_token" …"""
    texts = [key for key, value in config.items() if isinstance(value, str) and value]
    return [key for key in texts if key.endswith("_token") and key not in NAMED]


def _named(vocabulary: Vocabulary, config: Mapping[str, Any], key: str) -> AddedToken | None:
    value = config.get(key)
    if isinstance(value, str | dict) and value:
        return added_token(value, vocabulary.path, key, special=True)
    return None


def _by_id(value: Any, path: str | PathLike[str]) -> list[tuple[int, Any]]:
    """The entries of `added_tokens_decoder`, whose keys are ids written as texts."""
    entries = expect(value or {}, dict, path, "added_tokens_decoder")
    for key in entries:
        if not key.isascii() or not key.isdecimal() or len(key) > 9:
            raise CheckpointError(path, "added_tokens_decoder", f"expected token ids as keys, found {key[:60]!r}")
    return sorted((int(key), token) for key, token in entries.items())


def _extra(vocabulary: Vocabulary, config: Mapping[str, Any]) -> list[tuple[str, AddedToken]]:
    """Further special tokens without a role of their own."""
    key = "extra_special_tokens" if config.get("extra_special_tokens") else "additional_special_tokens"
    values = config.get(key) or []
    if isinstance(values, dict):
        values = list(values.values())
    values = expect(values, list, vocabulary.path, key)
    return [(key, added_token(value, vocabulary.path, key, special=True)) for value in values if value != ""]
