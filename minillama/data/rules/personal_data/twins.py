"""The plain twin of a text: what escapes, other digits and invisible characters spell, in ASCII, with the way back.

An address can be written so that rules for plain text miss it: ``john&#64;example.com``, ``john%40example.com``,
４１１１ １１１１ …, ٩٦٦+, groups with non-breaking or thin spaces, with soft hyphens or zero-width characters inside.
The rules stay as they are and read a twin of the text, in which

- character references of HTML (``&#64;``, ``&#x40;``, ``&commat;``), %-escapes, both also escaped again
  (``&amp;#64;``, ``%2540``), ``\\u0040`` and ``\\x40`` are the character they stand for;
- decimal digits of every script and the full-width forms of letters and of the marks of addresses are ASCII;
- blanks of every width are a blank, hyphens that do not break are a hyphen;
- invisible characters are gone (and since they may also separate, a second twin has them as they were);
- a blank stands where Chinese, Japanese, Korean, Thai, Lao, Khmer or Burmese letters touch ASCII ones, because
  those languages put none around an address.

What is found in a twin is claimed in the text with its whole spelling.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from bisect import bisect_left, bisect_right
from functools import cache
from html.entities import html5
from typing import NamedTuple

from .context import Span

_BLANKS = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_HYPHENS = "\u2010\u2011\u2012\ufe63\uff0d"  # an en dash stays: years and ranges are written with it
_INVISIBLE = "\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"
_WIDE = "\uff08\uff09\uff0b\uff0e\uff0f\uff1a\uff20\uff21-\uff3a\uff3f\uff41-\uff5a"  # （）＋．／：＠Ａ-Ｚ＿ａ-ｚ
_AT_OR_DOT = "\u2024\ufe52\ufe6b"  # one dot leader, small full stop, small @
_WITHOUT_BLANKS = (  # their digits left out
    "\u0e01-\u0e4e\u0e81-\u0ecd\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
    "\u3041-\u30ff\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
)
_ESCAPES = (
    r"(?<=&)(?:amp;)*+"
    r"(?:#0*+[1-9][0-9]{0,6}+(?![0-9])|#[xX]0*+[1-9a-fA-F][0-9a-fA-F]{0,5}+(?![0-9a-fA-F])|[A-Za-z]{2,31}(?=;));?"
    r"|(?<=%)(?:25)*[0-9A-Fa-f]{2}(?:%(?:25)*[0-9A-Fa-f]{2})*+"
    r"|(?<=\\)(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})"
)
# Everything begins with one class of characters without categories, so that `re` skips to it quickly.
_IN_ASCII = re.compile(rf"[&%\\](?:{_ESCAPES})")
_LETTER_WITHOUT_BLANKS = re.compile(f"[{_WITHOUT_BLANKS}]")
_HIDDEN = re.compile(f"[{_INVISIBLE}]+")
_BLANK = re.compile(f"[{_BLANKS}]")
_PERCENT = re.compile("%(?:25)*([0-9A-Fa-f]{2})")
_SPELT = frozenset("@.-_+()/:'\" <>\t\n\r")  # marks that mean something to the rules


@cache
def _anywhere(astral: bool) -> re.Pattern[str]:
    """What may differ in texts that are not ASCII: escapes, and the characters above.

    Characters past U+FFFF make `re` a third slower, so they are looked for only in texts that may have some.
    """
    zeros = [chr(point) for point in range(0x100, 0xFF20) if unicodedata.decimal(chr(point), None) == 0]
    digits = "".join(f"{zero}-{chr(ord(zero) + 9)}" for zero in zeros)
    if astral:
        digits += "\U000104a0-\U0001fbf9"  # few are digits there
    single = f"{digits}{_BLANKS}{_HYPHENS}{_INVISIBLE}{_WIDE}{_AT_OR_DOT}"
    return re.compile(
        rf"[&%\\{single}{_WITHOUT_BLANKS}](?:{_ESCAPES}|(?<=[{single}])"
        rf"|(?<=[{_WITHOUT_BLANKS}])(?:(?<=[!-~{digits}\uff01-\uff5e].)|(?=[!-~{digits}\uff01-\uff5e])))"
    )


class Twin(NamedTuple):
    """A plain text and where its characters stand in the original.

    Attributes
    ----------
    text : str
    places, origins : list of int
        Where a difference begins or ends, in the twin and in the original; both begin with 0, both ascend.
    """

    text: str
    places: list[int]
    origins: list[int]

    def spelling(self, span: Span, original: str) -> Span:
        """The same span in the original, with the whole spelling of its first and last character."""
        at = bisect_right(self.places, span.start) - 1
        start = self.origins[at] + span.start - self.places[at]
        at = bisect_left(self.places, span.stop)
        if at == len(self.places) or self.places[at] != span.stop:
            at -= 1
        stop = self.origins[at] + span.stop - self.places[at]
        return Span(span.kind, start, stop, original[start:stop])


def twins(text: str) -> list[Twin]:
    """The plain twins of a text: none where it is plain already, two where it has invisible characters."""
    if text.isascii():
        if "%" not in text and "&" not in text and "\\u" not in text and "\\x" not in text:
            return []
        pattern = _IN_ASCII
    else:
        pattern = _anywhere(sys.getsizeof(text) >= 4 * len(text))  # CPython stores such texts in four bytes each
    changes = [change for match in pattern.finditer(text) for change in _changes(match)]
    if not changes:
        return []
    if any(not plain for _, _, plain in changes):
        return [_twin(text, changes), _twin(text, [change for change in changes if change[2]])]
    return [_twin(text, changes)]


def _twin(text: str, changes: list[tuple[int, int, str]]) -> Twin:
    """The text with changes (start, stop, what is there instead), which ascend."""
    parts, places, origins = [], [0], [0]
    length = position = 0
    for start, stop, plain in changes:
        parts += [text[position:start], plain]
        length += start - position
        places += [length, length + len(plain)]
        origins += [start, stop]
        length += len(plain)
        position = stop
    return Twin("".join([*parts, text[position:]]), places, origins)


def _changes(match: re.Match[str]) -> list[tuple[int, int, str]]:
    """What one match of the patterns becomes."""
    written, (start, stop) = match[0], match.span()
    if written[0] == "%":
        return _percent(match)
    if written[0] == "&":
        plain = _reference(written)
    elif written[0] == "\\":
        plain = _spelt(chr(int(written[2:], 16)))
    elif _LETTER_WITHOUT_BLANKS.match(written):
        return _borders(match.string, start)
    else:
        plain = plain_character(written, match.string[stop : stop + 1])
    return [] if plain is None or plain == written else [(start, stop, plain)]


def _borders(text: str, place: int) -> list[tuple[int, int, str]]:
    """Blanks around a letter of a language without them, where an ASCII letter or digit touches it."""
    before, after = text[max(0, place - 1) : place], text[place + 1 : place + 2]
    found = []
    if before != "" and _addressed(before):
        found.append((place, place, " "))
    if after != "" and _addressed(after):
        found.append((place + 1, place + 1, " "))
    return found


def _addressed(character: str) -> bool:
    """Whether an address may begin or end with a character: letters and digits of ASCII, and "+"."""
    character = plain_character(character, "a") or character
    return character.isascii() and (character.isalnum() or character == "+")


def plain_character(character: str, following: str) -> str | None:
    """The ASCII twin of one character, "" of an invisible one, None without a twin.

    A full-width stop ends sentences in some Japanese texts; it is a dot only in front of an ASCII letter or digit.
    """
    if _HIDDEN.match(character):
        return ""
    if _BLANK.match(character):
        return " "
    if character in "\u2010\u2011\u2012\ufe63":
        return "-"
    if character in "\uff0e\u2024\ufe52":
        following = unicodedata.normalize("NFKC", following)
        return "." if following.isascii() and following.isalnum() else None
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if not ("\uff00" <= character <= "\uff5e" or character == "\ufe6b"):
        return None
    return unicodedata.normalize("NFKC", character)


def _spelt(character: str) -> str | None:
    """The twin of an escaped character, None where the rules do not care for it."""
    plain = plain_character(character, "a")
    if plain is not None:
        return plain
    return character if character in _SPELT or character.isalnum() else None


def _reference(written: str) -> str | None:
    """What a character reference of HTML stands for; ``&amp;`` itself stays."""
    name = written.replace("amp;", "")[1:].rstrip(";")
    if name[:1] != "#":
        character = html5.get(name + ";", "")
    else:
        number = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
        character = chr(number) if number < 0x110000 else ""
    return _spelt(character) if len(character) == 1 else None


def _percent(match: re.Match[str]) -> list[tuple[int, int, str]]:
    """The characters of a row of %-escapes of UTF-8."""
    escapes = list(_PERCENT.finditer(match.string, *match.span()))
    octets = bytes(int(escape[1], 16) for escape in escapes)
    found, at = [], 0
    for character in octets.decode("utf-8", "surrogateescape"):
        width = 1 if "\udc80" <= character <= "\udcff" else len(character.encode())
        plain = _spelt(character)
        if plain is not None:
            found.append((escapes[at].start(), escapes[at + width - 1].end(), plain))
        at += width
    return found
