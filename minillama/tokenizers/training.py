"""Training a tokenizer of LLaMA's kind on one's own texts, with the `sentencepiece` library.

LLaMA 2 paper, section 2.2: byte-pair encoding, numbers split into single digits, bytes for unknown characters.
The settings are those that the released `tokenizer.model` carries in itself (`LLAMA_SETTINGS`); only the size of
the vocabulary and the texts differ. `bpe_training` is the same algorithm written out.

Each line of a text is a sentence of its own: so a line break is never part of a piece and stays the byte
<0x0A>, as in LLaMA's vocabulary.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any

from .bpe.base import Tokenizer
from .files.sentencepiece_model import parse
from .files.writing import save_tokenizer

# Read from the trainer_spec and normalizer_spec of LLaMA 2's tokenizer.model.
LLAMA_SETTINGS: dict[str, Any] = {
    "model_type": "bpe",
    "character_coverage": 0.99995,
    "byte_fallback": True,
    "split_digits": True,
    "split_by_number": True,
    "split_by_unicode_script": True,
    "split_by_whitespace": True,
    "allow_whitespace_only_pieces": True,
    "max_sentencepiece_length": 16,
    "normalization_rule_name": "identity",
    "add_dummy_prefix": True,
    "remove_extra_whitespaces": False,
    "unk_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "pad_id": -1,
}
N_FIXED = 259  # unknown, BOS, EOS and 256 bytes
_LONGEST_LINE = 1 << 30  # bytes, the most that the library takes; the library's default drops lines of more than 4192
_CHECKED_LINES = 1000


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    folder: str | PathLike[str] | None = None,
    *,
    character_coverage: float = 0.99995,
    n_threads: int = 2,
    **settings: Any,
) -> Tokenizer:
    """Learn a vocabulary from `texts`.

    Parameters
    ----------
    texts : iterable of str
        Taken one after another; the library keeps all different lines in memory.
    vocab_size : int
        Pieces in all: 259 fixed ones, the characters of the texts, and merges.
    folder : path-like, optional
        Where `tokenizer.model` and `tokenizer_config.json` are written.
    character_coverage : float
        The share of all characters in the texts that get a piece, the rarest are written as bytes. 1.0 for small
        texts, if every character is to have one.
    n_threads : int
        Does not change the result.
    **settings
        Further options of `sentencepiece.SentencePieceTrainer`, in place of LLaMA's.

    Returns
    -------
    Tokenizer
        As `load_tokenizer(folder)` reads it.

    Raises
    ------
    ValueError
        When the vocabulary is too small for the characters or too large for the texts, or there is no text.
    ImportError
        When `sentencepiece` is not installed.
    """
    if vocab_size <= N_FIXED:
        raise ValueError(f"vocab_size must be above {N_FIXED} (unknown, BOS, EOS and 256 bytes), got {vocab_size}")
    if not 0 < character_coverage <= 1:
        raise ValueError(f"character_coverage must be above 0 and at most 1, got {character_coverage}")
    lines = _Lines(texts)
    data = _train(lines, {
        **LLAMA_SETTINGS,
        "vocab_size": vocab_size,
        "character_coverage": character_coverage,
        "num_threads": n_threads,
        **settings,
    })  # fmt: skip
    tokenizer = parse(data)
    _compare(tokenizer, data, lines.sample)
    if folder is not None:
        save_tokenizer(tokenizer, folder)
    return tokenizer


class _Lines:
    """Hands out the lines of texts that are not empty, and keeps some of them for a last check."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.sample: list[str] = []
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for text in self._texts:
                for line in text.split("\n"):
                    if line.strip():
                        if len(self.sample) < _CHECKED_LINES:
                            self.sample.append(line)
                        yield line
        except BaseException as error:  # the library would make a RuntimeError of it, and of an interrupt too
            self.error = error
            raise


def _train(lines: _Lines, settings: dict[str, Any]) -> bytes:
    try:
        import sentencepiece
    except ImportError as error:
        raise ImportError("training a tokenizer needs sentencepiece: pip install sentencepiece") from error
    out = io.BytesIO()
    quiet = {"minloglevel": 3, "max_sentence_length": _LONGEST_LINE}
    try:
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, **quiet | settings)
    except (RuntimeError, OSError) as error:
        if lines.error is not None:
            raise lines.error from None
        if not lines.sample:
            raise ValueError("there is no text to train on") from error
        raise ValueError(_advice(str(error), settings)) from error
    return out.getvalue()


def _advice(message: str, settings: dict[str, Any]) -> str:
    """What to do about an error of the library, whose messages are lines of its C++ code."""
    vocab_size = settings["vocab_size"]
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return (
            f"vocab_size {vocab_size} is too small: the fixed pieces and the characters of the texts alone are "
            f"{found.group(1)}; take a larger vocabulary, or a lower character_coverage than "
            f"{settings['character_coverage']}"
        )
    if found := re.search(r"set it to a value <= (\d+)", message):
        return (
            f"vocab_size {vocab_size} is too large for the texts, which give {found.group(1)} pieces: "
            "take a smaller vocabulary, or more text"
        )
    return f"sentencepiece cannot train on these texts: {message.strip() or 'it does not say why'}"


def _compare(tokenizer: Tokenizer, data: bytes, lines: list[str]) -> None:
    """The package's own encoder must agree with the library about the new vocabulary."""
    import sentencepiece

    oracle = sentencepiece.SentencePieceProcessor(model_proto=data)
    for line, expected in zip(lines, oracle.encode(lines)):
        found = tokenizer.encode(line, bos=False)
        if found != expected:
            raise RuntimeError(
                f"the new tokenizer encodes {line[:80]!r} as {found[:20]}, sentencepiece as {expected[:20]}"
            )
