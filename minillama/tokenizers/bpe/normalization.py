"""Unicode's NFC as `tokenizers` does it: "e" and an accent become "é" (UAX #15).

Python follows newer editions of Unicode than that library does, each version its own. To an older edition a newer
mark is a character like any other, over which nothing moves and with which nothing composes; so the text is cut at
such characters, and what lies between them is normalised by itself.
"""

from __future__ import annotations

import re
import unicodedata

from .unicode_ranges import COMPOSED_SINCE_11, MARKS_SINCE_11, as_character_set

_NEWER = re.compile(f"([{as_character_set(MARKS_SINCE_11 + COMPOSED_SINCE_11)}]+)")


def compose(text: str) -> str:
    """The text in Normalization Form C.

    Examples
    --------
    >>> len("e\\u0301"), len(compose("e\\u0301"))
    (2, 1)
    """
    if unicodedata.is_normalized("NFC", text) and not _NEWER.search(text):
        return text
    parts = _NEWER.split(text)  # text, newer, text, newer, …
    parts[::2] = [unicodedata.normalize("NFC", part) for part in parts[::2]]
    return "".join(parts)
