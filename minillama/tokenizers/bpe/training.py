"""Byte-pair encoding, trained: the algorithm by which `sentencepiece` makes a vocabulary of LLaMA's kind.

Sennrich et al. 2016 (arXiv:1508.07909); Kudo & Richardson 2018 (arXiv:1808.06226).

    count all pairs of neighbouring symbols in all words
    until the vocabulary is full:
        the most frequent pair becomes a new symbol, everywhere

`merge_pairs` is that loop. After a merge only the words with the pair in them are looked at again, and the
counts of their pairs corrected; the best pair waits on top of a heap. `train_sentencepiece_bpe` puts around
it what `sentencepiece` 0.2 does with LLaMA's settings, so that both give the same pieces in the same order:

* A line is a sentence. One space goes in front, spaces become "▁"; nothing else is normalised. Lines with the
  character U+2585, by which the library marks unknown characters, are left out.
* Spellings of the fixed pieces in a text ("<s>", "<0x0A>") are cut out, and part what is around them.
* The alphabet: characters from the most frequent down (of equals the lower code point first) until they make up
  `character_coverage` of all. The others are never part of a piece: they will be written as bytes.
* A word begins at each "▁"; a run of "▁" belongs to the word after it. Equal words are counted once.
* A pair overlapping itself counts as often as it can be seen: twice in "aaa", though only one merges.
* Of equally frequent pairs the one with the shorter text is taken, then the lower text by code points.
* A pair is not allowed if its text would be longer than 16 characters, have a digit in it, mix scripts, or
  have a "▁" after another character; runs of nothing but "▁" are allowed. Han, Hiragana and Katakana count as one
  script; combining marks ("Inherited") have that of the character before; characters that belong to all
  scripts ("Common": punctuation, emoji) are a script of their own. The library's table of scripts is that of an
  old edition of Unicode: characters that came later are Common for it, and not here.
* Different pairs may make the same text ("a" + "aa", "aa" + "a"). The second is skipped: its words stay cut.
* When nothing is left that occurs, pairs that once did are taken. (So a vocabulary that is too large fills up
  with pieces that are never used, until these run out too.)

The ids: unknown, BOS, EOS, 256 bytes, the merges with scores 0, -1, -2 …, and last the alphabet.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise

import numpy as np

from .base import TokenType
from .sentencepiece import _WORD, SPACE, Piece, SentencePieceBPE
from .unicode_scripts import script_of

Pair = tuple[str, str]
UNKNOWN = "\u2585"  # stands for characters outside the alphabet; never part of a piece
BOUNDARY = "\x1f"  # stands for "<s>" and the like; never part of a piece
NULL = "\0"  # never part of a piece, and not counted
MAX_PIECE = 16
_CONTROL = re.compile("<unk>|</?s>|<0x[0-9A-F]{2}>")  # what the text would share with the fixed pieces


# --- the loop ------------------------------------------------------------------------------------


def merge_pairs(
    words: Mapping[str, int], n_merges: int, allowed: Callable[[str], bool] = lambda text: True
) -> list[Pair]:
    """Learn merges from words and how often each occurs.

    Parameters
    ----------
    words : mapping of str to int
    n_merges : int
        Fewer come back when there are no more pairs.
    allowed : callable
        Whether a text may become a symbol.

    Returns
    -------
    list of (str, str)
        The pairs in the order in which they were merged; no two make the same text.
    """
    pairs = _Pairs(words, allowed)
    merges: list[Pair] = []
    made: set[str] = set()
    while len(merges) < n_merges and (pair := pairs.pop()) is not None:
        text = pair[0] + pair[1]
        if text not in made:
            made.add(text)
            merges.append(pair)
            pairs.merge(pair)
    return merges


class _Pairs:
    """The words as symbols, how often each pair of neighbours occurs, and in which words."""

    def __init__(self, words: Mapping[str, int], allowed: Callable[[str], bool]) -> None:
        self._words = [list(word) for word in words]
        self._frequencies = list(words.values())
        self._allowed = cache(allowed)
        self._counts: Counter[Pair] = Counter()
        self._where: dict[Pair, set[int]] = {}
        self._gone: set[Pair] = set()
        self._heap: list[tuple[int, int, str, Pair]] = []
        for n, word in enumerate(self._words):
            for pair in self._pairs_of(word):
                self._counts[pair] += self._frequencies[n]
                self._where.setdefault(pair, set()).add(n)
        for pair in self._counts:
            self._push(pair)

    def pop(self) -> Pair | None:
        """The most frequent pair, which never comes again; None when no pair is left."""
        while self._heap:
            count, _, _, pair = heapq.heappop(self._heap)
            if pair not in self._gone and -count == self._counts[pair]:  # else an outdated entry
                self._gone.add(pair)
                return pair
        return None

    def merge(self, pair: Pair) -> None:
        """Replace the pair by one symbol in all words, from left to right, and correct the counts."""
        changed: set[Pair] = set()
        for n in self._where.pop(pair, ()):
            old = self._words[n]
            self._words[n] = new = merge_pair(old, pair)
            for found, sign in ((old, -1), (new, 1)):
                for other in self._pairs_of(found):
                    self._counts[other] += sign * self._frequencies[n]
                    changed.add(other)
            for other in self._pairs_of(new):
                self._where.setdefault(other, set()).add(n)
        for other in changed - self._gone:
            self._push(other)

    def _push(self, pair: Pair) -> None:
        text = pair[0] + pair[1]
        heapq.heappush(self._heap, (-self._counts[pair], len(text), text, pair))

    def _pairs_of(self, word: list[str]) -> Iterator[Pair]:
        return (pair for pair in pairwise(word) if self._allowed(pair[0] + pair[1]))


def merge_pair(symbols: list[str], pair: Pair) -> list[str]:
    """Every occurrence of the pair as one symbol, taken from left to right."""
    out: list[str] = []
    at = 0
    while at < len(symbols):
        if symbols[at] == pair[0] and at + 1 < len(symbols) and symbols[at + 1] == pair[1]:
            out.append(pair[0] + pair[1])
            at += 2
        else:
            out.append(symbols[at])
            at += 1
    return out


# --- as sentencepiece does it --------------------------------------------------------------------


def train_sentencepiece_bpe(
    texts: Iterable[str], vocab_size: int, *, character_coverage: float = 0.99995
) -> SentencePieceBPE:
    """Learn a vocabulary as `training.train_tokenizer` does, without the library and some ten times slower.

    Parameters
    ----------
    texts : iterable of str
    vocab_size : int
        Pieces in all: 259 fixed ones, the alphabet, and merges.
    character_coverage : float
        The share of all characters that the alphabet must have.

    Raises
    ------
    ValueError
        When the vocabulary is too small for the alphabet or too large for the texts, or there is no text.
    """
    sentences = Counter(line for text in texts for line in _sentences(text))
    if not sentences:
        raise ValueError("there is no text to train on")
    letters = alphabet(sentences, character_coverage)
    n_merges = vocab_size - 259 - len(letters)
    if n_merges < 0:
        raise ValueError(f"vocab_size {vocab_size} is too small: 259 fixed pieces and {len(letters)} characters")
    merges = merge_pairs(count_words(sentences, letters), n_merges, is_piece)
    if len(merges) < n_merges:
        found = vocab_size - n_merges + len(merges)
        raise ValueError(f"vocab_size {vocab_size} is too large for the texts, which give {found} pieces")
    learned = [*(left + right for left, right in merges), *letters]
    pieces = [Piece("<unk>", 0.0, TokenType.UNKNOWN)]
    pieces += [Piece(text, 0.0, TokenType.CONTROL) for text in ("<s>", "</s>")]
    pieces += [Piece(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)]
    pieces += [Piece(text, -float(n)) for n, text in enumerate(learned)]
    return SentencePieceBPE(pieces, bos_id=1, eos_id=2)


def _sentences(text: str) -> Iterator[str]:
    """The lines that are not empty, as the encoder will see them."""
    for line in text.split("\n"):
        if line.strip() and UNKNOWN not in line:
            yield SPACE + _CONTROL.sub(BOUNDARY, line.rstrip("\r")).replace(" ", SPACE)


def alphabet(sentences: Mapping[str, int], coverage: float) -> list[str]:
    """The characters that get a piece, the most frequent first."""
    counts: Counter[str] = Counter()
    for sentence, n in sentences.items():
        for character in sentence:
            counts[character] += n
    del counts[NULL]
    total, covered = sum(counts.values()), 0
    letters = []
    for character, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if np.float32(covered / total) >= np.float32(coverage):
            break
        covered += n
        if character != BOUNDARY:
            letters.append(character)
    return letters


def count_words(sentences: Mapping[str, int], letters: Iterable[str]) -> Counter[str]:
    """How often each word occurs, with `UNKNOWN` for characters outside the alphabet."""
    known = set(letters)
    words: Counter[str] = Counter()
    for sentence, n in sentences.items():
        for word in _WORD.findall("".join([c if c in known else UNKNOWN for c in sentence])):
            words[word] += n
    return words


def is_piece(text: str) -> bool:
    """Whether a text of at least two characters may be a piece."""
    if len(text) > MAX_PIECE or not {UNKNOWN, BOUNDARY, NULL}.isdisjoint(text):
        return False
    rest = text.lstrip(SPACE)
    if not rest:
        return True
    if len(rest) + 1 < len(text) or SPACE in rest:  # more than one in front, or one inside
        return False
    if any("0" <= c <= "9" or "０" <= c <= "９" for c in rest):
        return False
    return len({_script(c) for c in rest} - {"Inherited"}) <= 1


def _script(character: str) -> str:
    """The script by which pieces are kept apart: Hiragana and Katakana count as Han."""
    found = script_of(character)
    return "Han" if found in ("Hiragana", "Katakana") or character == "ー" else found
