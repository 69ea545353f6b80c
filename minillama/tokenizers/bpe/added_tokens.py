"""Added tokens: texts that are one token wherever they stand, found before anything else is done to a text.

Every tokenizer has some: begin, end and turn markers, and what a fine-tune added. Hugging Face gives each of
them five flags, and 'one <tok> two' is cut by them:

    normalized    looked for after the normaliser, in its output; else before, in the text as it came
    lstrip        takes the spaces to its left:   'one', ' <tok>', ' two'
    rstrip        takes those to its right:       'one ', '<tok> ', 'two'
    single_word   counts only where no letter, digit or underscore touches it
    special       control: means something to the model and is no text

The order in which they are found is that of the `tokenizers` library (added_vocabulary.rs): first those that
are not normalised, then in what lies between them the others; each time the leftmost match, the longest where
several begin, and a match that does not count (a special token in text that must stay text, part of a word)
is passed over whole.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from .unicode_ranges import LETTERS_SINCE_17, NUMBERS_SINCE_17, as_character_set


class AddedToken(NamedTuple):
    """One of them, with its flags.

    `in_vocabulary` is False where the vocabulary of the merges does not have the text, so that no merge makes it.
    """

    id: int
    text: str
    special: bool = False
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    in_vocabulary: bool = True


class Part(NamedTuple):
    """A piece of a text: an added token by its id, or text in which there is none (`id` None).

    `first` says that nothing of the whole text lies before it.
    """

    text: str
    id: int | None
    first: bool


class AddedTokens:
    """Finds added tokens in a text.

    Parameters
    ----------
    tokens : sequence of AddedToken
    special_ids : collection of int
        What counts as special, whatever the flags say.
    normalize : callable
        The normaliser: text to text.
    spelled : callable, optional
        How a normalised token looks in the normaliser's output; by default what `normalize` makes of its text.

    Raises
    ------
    ValueError
        When the texts are too many and long to look for.
    """

    def __init__(
        self,
        tokens: Sequence[AddedToken],
        special_ids: frozenset[int],
        normalize: Callable[[str], str],
        spelled: Callable[[str], str] | None = None,
    ) -> None:
        self._special_ids, self._normalize = special_ids, normalize
        spelled = normalize if spelled is None else spelled
        self._raw = {token.text: token for token in reversed(tokens) if token.text and not token.normalized}
        later = {spelled(token.text): token for token in reversed(tokens) if token.text and token.normalized}
        self._normalized = {text: token for text, token in later.items() if text}
        self._raw_pattern, self._normalized_pattern = longest_match(self._raw), longest_match(self._normalized)

    def split(self, text: str, allow_special: bool, plain: Sequence[tuple[int, int]] = ()) -> Iterator[Part]:
        """The parts of `text` in their order; what is not a token is normalised.

        Parameters
        ----------
        text : str
        allow_special : bool
            Whether special tokens spelled in the text are those tokens.
        plain : sequence of (int, int)
            Ranges of `text`, begin and end, in their order; what touches one is no special token.
        """
        at = 0
        for part in self._matches(self._raw_pattern, self._raw, text, allow_special, plain):
            begin, at = at, at + len(part.text)
            if part.id is not None:
                yield part
                continue
            normalized = self._normalize(part.text)
            moved = self._moved(part.text, begin, plain) if self._normalized and allow_special else ()
            for inner in self._matches(self._normalized_pattern, self._normalized, normalized, allow_special, moved):
                yield inner._replace(first=part.first and inner.first)

    def _moved(self, text: str, begin: int, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The ranges of the whole text as ranges of what the normaliser makes of `text`, which stood at `begin`."""
        inside = [(max(first - begin, 0), min(last - begin, len(text))) for first, last in ranges]
        inside = [(first, last) for first, last in inside if first < last]
        return [(len(self._normalize(text[:first])), len(self._normalize(text[:last]))) for first, last in inside]

    def _matches(
        self,
        pattern: re.Pattern[str] | None,
        tokens: dict[str, AddedToken],
        text: str,
        allow_special: bool,
        plain: Sequence[tuple[int, int]],
    ) -> Iterator[Part]:
        begin = 0  # of what no token has taken yet
        for token, start, stop in self._candidates(pattern, tokens, text, allow_special, plain):
            if token.single_word and (_is_word(text[start - 1 : start]) or _is_word(text[stop : stop + 1])):
                continue
            while token.lstrip and start > begin and text[start - 1] in _SPACES:
                start -= 1
            while token.rstrip and stop < len(text) and text[stop] in _SPACES:
                stop += 1
            if start > begin:
                yield Part(text[begin:start], None, begin == 0)
            yield Part(text[start:stop], token.id, start == 0)
            begin = stop
        if begin < len(text):
            yield Part(text[begin:], None, begin == 0)

    def _candidates(
        self,
        pattern: re.Pattern[str] | None,
        tokens: dict[str, AddedToken],
        text: str,
        allow_special: bool,
        plain: Sequence[tuple[int, int]],
    ) -> Iterator[tuple[AddedToken, int, int]]:
        """Matches from left to right that do not overlap, special tokens only where they may be."""
        ends = [last for _, last in plain]
        at = 0
        while pattern is not None and (match := pattern.search(text, at)) is not None:
            token, (start, at) = tokens[match.group()], match.span()
            if token.id in self._special_ids:
                if not allow_special:
                    continue
                n = bisect_right(ends, start)  # the first range that ends behind the start of the match
                if n < len(ends) and plain[n][0] < at:
                    shorter = _longest_at(tokens, text, start, plain[n][0])
                    if not shorter:
                        at = start + 1  # what the program wrote may begin inside the match
                        continue
                    token, at = tokens[shorter], start + len(shorter)
            yield token, start, at


def _longest_at(texts: Iterable[str], text: str, start: int, stop: int) -> str:
    """The longest of `texts` that stands in `text` at `start` and ends before `stop`; empty when there is none."""
    if stop <= start:
        return ""
    return max((other for other in texts if text.startswith(other, start, stop)), key=len, default="")


# Unicode's White_Space: unlike `str.isspace`, without the separators U+001C to U+001F.
_SPACES = frozenset("\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {
    chr(code) for code in range(0x2000, 0x200B)
}


def _is_word(character: str) -> bool:
    """Whether the character is \\w to Rust's `regex`; False for no character at all."""
    return _word_character().match(character) is not None


@cache
def _word_character() -> Any:
    import regex  # few vocabularies need it

    newer = as_character_set(LETTERS_SINCE_17 + NUMBERS_SINCE_17)
    return regex.compile(rf"(?V1)[[\p{{Alphabetic}}\p{{M}}\p{{Nd}}\p{{Pc}}\p{{Join_Control}}]--[{newer}]]")


# Compiling the pattern takes time and memory in proportion.
_MAX_MATCHED = 1 << 18


def longest_match(texts: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern that finds any of `texts`, the longest where several begin; None when there are no texts."""
    ordered = sorted(texts, key=len, reverse=True)  # the first alternative that fits wins
    if sum(map(len, ordered)) > _MAX_MATCHED:
        raise ValueError(f"special and user-defined tokens have more than {_MAX_MATCHED} characters together")
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None
