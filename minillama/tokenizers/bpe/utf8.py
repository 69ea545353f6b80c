"""UTF-8 that arrives in pieces (RFC 3629; Unicode Standard, table 3-7).

A character is one to four bytes. Its first byte says how many follow:

    0xxxxxxx                               1 byte
    110xxxxx 10xxxxxx                      2 bytes
    1110xxxx 10xxxxxx 10xxxxxx             3 bytes
    11110xxx 10xxxxxx 10xxxxxx 10xxxxxx    4 bytes

A model emits bytes or parts of characters as separate tokens, so a decoder holds back the bytes that
may still become a character, and only those.
"""

from __future__ import annotations

import codecs


def unfinished_bytes(data: bytes) -> int:
    """How many bytes at the end of `data` begin a character that more bytes could complete.

    Examples
    --------
    >>> unfinished_bytes("é".encode()), unfinished_bytes("🙂".encode()[:3])
    (0, 3)
    """
    for held in range(1, min(3, len(data)) + 1):
        lead = data[-held]
        if lead & 0xC0 != 0x80:  # not a continuation byte: here the last character begins
            return held if _may_continue(lead, data[len(data) - held + 1 :]) else 0
    return 0


def _may_continue(lead: int, rest: bytes) -> bool:
    """Whether `lead` and the continuation bytes `rest` are the beginning of a longer, valid character."""
    if not 0xC2 <= lead <= 0xF4:  # one byte, or a byte that never begins a character
        return False
    n_bytes = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    # The second byte excludes overlong forms (E0, F0), surrogates (ED) and what lies past U+10FFFF (F4).
    low, high = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}.get(lead, (0x80, 0xBF))
    return len(rest) + 1 < n_bytes and (not rest or low <= rest[0] <= high)


class Utf8Stream:
    """Decodes bytes as they come; what cannot be a character is U+FFFD at once.

    Parameters
    ----------
    errors : str
        "replace": one U+FFFD for the beginning of a character that was cut off, as browsers, Rust and
        `tokenizers` do. "replace_each_byte": one U+FFFD for every byte of it, as SentencePiece does.
    """

    def __init__(self, errors: str = "replace") -> None:
        self._errors = errors
        self._held = b""

    def feed(self, data: bytes) -> str:
        """The characters that are complete."""
        data = self._held + data
        cut = len(data) - unfinished_bytes(data)
        self._held = data[cut:]
        return data[:cut].decode("utf-8", self._errors)

    def flush(self) -> str:
        """U+FFFD for what was held back and will not be completed."""
        held, self._held = self._held, b""
        return held.decode("utf-8", self._errors)


def _replace_each_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("replace_each_byte", _replace_each_byte)
