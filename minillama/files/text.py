"""Text that people's editors and shells wrote: the marks that Windows puts in front of it."""

from __future__ import annotations

import codecs

_UTF8 = codecs.BOM_UTF8
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def decode_text(raw: bytes) -> str:
    """The text in UTF-8, or in UTF-16 behind its byte order mark (PowerShell's `>` writes that); the mark is left out.

    Raises
    ------
    ValueError
        About the first byte that does not belong, or what the encoding seems to be.
    """
    if raw.startswith(_UTF32):
        raise ValueError("it begins with the byte order mark of UTF-32: save or send it as UTF-8")
    if raw.startswith(_UTF16):
        try:
            return raw.decode("utf-16")
        except UnicodeDecodeError as error:
            raise ValueError(f"it begins with the byte order mark of UTF-16, and is not: {error.reason}") from None
    try:
        return raw.removeprefix(_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start + len(_UTF8) * raw.startswith(_UTF8)
        raise ValueError(f"byte 0x{raw[at]:02x} at position {at} is not UTF-8; save or send it as UTF-8") from None
