"""What a user wrote stays plain text, whatever a template does with it.

Contents go through the template as they are, but the spelling of a special token inside one is hidden: each of its
characters is replaced by a stand-in, a letter that occurs nowhere in the conversation or the template. A template
trims, splits, cuts and joins stand-ins as it would the characters; in its result they are turned back, and their
places are known. No special token is read where one of them is.

That leaves spellings that a template first puts together: "<|im_" and "end|>" in two parts of a content, or a content
from which it takes a word out. So the conversation is rendered once more as a *witness*: now every character that any
special token has is replaced, wherever it stands in a content. If the text is the same, the template did not look at
these characters, and the witness shows the place of everything that could be misread. If the text is another, a
second witness leaves letters and digits as they are (a template may write them in lower case), a third one the
constants of the template (it may look for "</think>"). If they all are another text, the last one must at least have
the same special tokens in the same order, or the conversation is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .messages import KINDS, texts_of

Messages = list[dict[str, Any]]
# Letters of scripts that nobody writes in today: printable, without upper and lower case, not white space, and the
# same in JSON and in Python's spelling of a text. Those that a conversation does use are left out.
_LETTERS = [chr(code) for first, last in ((0x12000, 0x12399), (0x13000, 0x1342E)) for code in range(first, last + 1)]
_BLANK = "\ud800"  # half a surrogate pair: no token has it


class Rendered(NamedTuple):
    """A rendered conversation, and the ranges (begin, end) of its text, in their order, that stay plain text."""

    text: str
    plain: list[tuple[int, int]]

    def special(self, spellings: Iterable[str]) -> list[str]:
        """The special tokens that the text spells outside of these ranges, in their order."""
        pieces, done = [], 0
        for begin, end in self.plain:
            pieces += [self.text[done:begin], _BLANK * (end - begin)]
            done = end
        return _any_of(tuple(sorted(spellings))).findall("".join([*pieces, self.text[done:]]))


def render_protected(
    render: Callable[[Messages], str], messages: Messages, special: Iterable[str], constants: Sequence[str]
) -> Rendered:
    """Render a conversation whose contents can spell no special token.

    Parameters
    ----------
    render : callable
        From messages to text.
    messages : list of dict
        Plain data (`messages.plain_messages`).
    special : iterable of str
        The spellings of the tokenizer's special tokens.
    constants : sequence of str
        The texts in the template.

    Raises
    ------
    ValueError
        When the template makes special tokens out of contents in a way that cannot be hidden from it.
    """
    spellings = tuple(sorted(special))
    pattern = _any_of(spellings)
    in_use = set().union(*spellings, *texts_of(messages), *constants)
    first, second = _two_hiders(spellings, in_use)
    _refuse_in_keys(messages, pattern)
    found = first.restore(render(_mapped(messages, first.hide_spellings, first.hide_spellings)))
    kept = tuple(text for text in constants if len(text) > 1 and not any(text in spelling for spelling in spellings))
    controls = []
    for hide_all in (second.hide_all(), second.hide_all(letters=False), second.hide_all(but=kept)):
        try:
            witness = second.restore(render(_mapped(messages, hide_all, second.hide_spellings)))
        except ValueError:  # the template refuses stand-ins where it accepts the text
            continue
        if witness.text == found.text:
            return witness
        controls.append(witness.special(spellings))
    if not controls or controls[-1] != found.special(spellings):
        raise ValueError(
            "what a message says changes which special tokens the model's chat template writes: take out of the "
            f"messages what spells one of them, or a part of one, such as {max(spellings, key=len)!r}"
        )
    return found


class _Hider:
    """Stand-ins for the characters of special tokens."""

    def __init__(self, spellings: tuple[str, ...], letters: dict[str, str]) -> None:
        self._pattern = _any_of(spellings)
        self._letters = str.maketrans(letters)
        # White space is hidden inside a spelling only: elsewhere a template may trim it.
        self._visible = {code: letter for code, letter in self._letters.items() if chr(code).strip()}
        self._signs = {code: letter for code, letter in self._visible.items() if not chr(code).isalnum()}
        self._characters = {letter: character for character, letter in letters.items()}
        self._back = {ord(letter): character for letter, character in self._characters.items()}

    def hide_spellings(self, text: str) -> str:
        """The text with every special token's spelling replaced."""
        return self._pattern.sub(lambda match: match.group().translate(self._letters), text)

    def hide_all(self, *, letters: bool = True, but: tuple[str, ...] = ()) -> Callable[[str], str]:
        """A function that also replaces all else that special tokens are made of, except in the texts `but`."""
        kept, hidden = _any_of(but), self._visible if letters else self._signs

        def hide(text: str) -> str:
            text, begin, pieces = self.hide_spellings(text), 0, []
            for match in kept.finditer(text):
                pieces += [text[begin : match.start()].translate(hidden), match.group()]
                begin = match.end()
            return "".join(pieces) + text[begin:].translate(hidden)

        return hide

    def restore(self, text: str) -> Rendered:
        """The text with its characters, and where they are."""
        if not self._characters:
            return Rendered(text, [])
        letters, inside = "".join(self._characters), re.escape("".join(self._characters.values()))
        # Characters that no special token has may lie in between: fewer ranges, with the same meaning.
        typed = re.finditer(f"[{letters}]+(?:[^{letters}{inside}]+[{letters}]+)*", text)
        plain = [match.span() for match in typed]
        return Rendered(text.translate(self._back), plain)


def _two_hiders(spellings: tuple[str, ...], in_use: set[str]) -> tuple[_Hider, _Hider]:
    alphabet = sorted(set("".join(spellings)))
    free = [letter for letter in _LETTERS if letter not in in_use]
    if len(free) < 2 * len(alphabet):
        raise ValueError(
            f"the special tokens have {len(alphabet)} different characters, and the conversation leaves only "
            f"{len(free)} letters to stand for them, two each: use fewer cuneiform signs and hieroglyphs"
        )
    first, second = free[: len(alphabet)], free[len(alphabet) :]
    return _Hider(spellings, dict(zip(alphabet, first))), _Hider(spellings, dict(zip(alphabet, second)))


def _mapped(value: Any, text: Callable[[str], str], kind: Callable[[str], str]) -> Any:
    """A copy of plain data with `text` of each text, and `kind` of what only says what a message or part is."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        copy = {key: _mapped(entry, kind if key in KINDS else text, kind) for key, entry in value.items()}
        return type(value)(copy)
    return type(value)(_mapped(entry, text, kind) for entry in value) if isinstance(value, list) else value


def _refuse_in_keys(value: Any, pattern: re.Pattern[str]) -> None:
    """A key cannot be hidden, because the template may ask for it by name."""
    if isinstance(value, dict):
        found = next((key for key in value if isinstance(key, str) and pattern.search(key)), None)
        if found is not None:
            raise ValueError(f"the key {found!r} in a message contains the spelling of a special token: rename it")
        value = list(value.values())
    for entry in value if isinstance(value, list) else ():
        _refuse_in_keys(entry, pattern)


@lru_cache(maxsize=64)
def _any_of(texts: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of the texts, the longest where several begin; never matches when there are none."""
    ordered = sorted(filter(None, texts), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered)) or "(?!)")
