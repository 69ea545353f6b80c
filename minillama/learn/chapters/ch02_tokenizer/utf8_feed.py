"""A streaming UTF-8 decoder."""

from __future__ import annotations

import codecs
from typing import Any

import numpy as np

from ...exercises.exercise import Function, exercise

_FIRST_AND_LAST = "\x80\u07ff\u0800\uffff\U00010000\U0010ffff"  # of two, three and four bytes


def make_chunks(rng: np.random.Generator, characters: int, chunk: int, wrong_bytes: int) -> tuple[Any, ...]:
    """Text in UTF-8, cut anywhere, with bytes in it that begin no character, or go on with none.

    Long texts have the first and the last character of each length, and characters that break off.
    """
    letters = ["a", "é", "世", "🙂", "ß", "語"]
    text = rng.choice(letters, characters).tolist()
    text[0] = "🙂" if characters > 1 else "é"
    if characters >= 2 * len(_FIRST_AND_LAST):
        text[1:] = [*text[1 : -len(_FIRST_AND_LAST)], *_FIRST_AND_LAST]
    parts = [letter.encode() for letter in text]
    for byte in rng.permutation([0xFF, 0xC0, 0xF8, 0xC1, 0xF5])[:wrong_bytes].tolist():
        parts.insert(int(rng.integers(0, len(parts) + 1)), bytes([byte]))
    if wrong_bytes > 1:
        parts.insert(2, "語".encode()[:1])
        parts.append("🙂".encode()[:3])  # the end is missing
    elif wrong_bytes:
        parts.insert(0, b"\x80")  # goes on, but nothing has begun
    data, chunks = b"".join(parts), []
    while data:
        n = int(rng.integers(1, chunk + 1))
        chunks.append(data[:n])
        data = data[n:]
    return (chunks,)


def observe_stream(function: Function, args: tuple[Any, ...]) -> list[str]:
    """What is shown after each chunk, and what the bytes left over become at the end."""
    held, shown = b"", []
    for chunk in args[0]:
        text, held = function(held, chunk)
        shown.append(text)
    return [*shown, bytes(held).decode("utf-8", "replace")]


def codecs_feed(held, data):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.setstate((held, 0))
    return decoder.decode(data), decoder.getstate()[0]


@exercise(
    title="A streaming UTF-8 decoder",
    task="Show the characters that are complete and hold back the bytes that may still become one.",
    difficulty=3,
    minutes=25,
    make=make_chunks,
    shapes=(
        {"characters": 1, "chunk": 1, "wrong_bytes": 0},
        {"characters": 1, "chunk": 4, "wrong_bytes": 0},
        {"characters": 3, "chunk": 2, "wrong_bytes": 0},
        {"characters": 4, "chunk": 1, "wrong_bytes": 1},
        {"characters": 9, "chunk": 3, "wrong_bytes": 2},
        {"characters": 12, "chunk": 1, "wrong_bytes": 0},
        {"characters": 40, "chunk": 5, "wrong_bytes": 5},
    ),
    exact=True,
    observe=observe_stream,
    oracle=codecs_feed,
    hints=(
        "Only the last one to three bytes can be an unfinished character. Look back for the byte that begins it: "
        "continuation bytes are 0x80 to 0xBF.",
        "A lead byte says how long the character is: 0xC2-0xDF two bytes, 0xE0-0xEF three, 0xF0-0xF4 four. If fewer "
        "bytes are there, hold them. Any other byte begins nothing: decode it at once with errors='replace'.",
        "data = held + data\n"
        "for n in (1, 2, 3): lead = data[-n] if n <= len(data) else 0\n"
        "    if lead is not a continuation byte: hold n bytes if its length is greater than n, else 0; stop\n"
        'return data[:cut].decode("utf-8", "replace"), data[cut:]\n'
        'Or: codecs.getincrementaldecoder("utf-8")("replace") with setstate((held, 0)).',
    ),
    why=(
        "The first byte of a character says how long it is, so an unfinished one has at most three bytes, and looking "
        "back that far is enough. Bytes inside of a character begin with the bits 10; the first other byte from the "
        "end decides whether anything is still to come. What stands before the cut is final, and decoding it with "
        '"replace" gives what a decoder of the whole text would give.'
    ),
)
def utf8_feed(held, data):
    """One step of a decoder for UTF-8 that arrives in pieces.

    Called for one chunk after the other, with the bytes that the last call held back. Characters
    that are complete come out at once. Bytes at the end that begin a character whose other bytes
    may still come are held back. Bytes that can be no part of a character become U+FFFD at once, as
    in `bytes.decode("utf-8", "replace")`. (Forms such as E0 80, which look right and are not
    allowed, do not occur in the checks.)

    Parameters
    ----------
    held : bytes
        What the last call held back; b"" at first.
    data : bytes
        The next chunk.

    Returns
    -------
    text : str
        What can be shown now.
    held : bytes
        For the next call.
    """
    data = held + data
    cut = len(data)
    for n in range(1, min(3, len(data)) + 1):
        lead = data[-n]
        if lead & 0xC0 != 0x80:  # not a continuation byte: here the last character begins
            length = 2 if 0xC2 <= lead <= 0xDF else 3 if 0xE0 <= lead <= 0xEF else 4 if 0xF0 <= lead <= 0xF4 else 1
            if n < length:
                cut -= n
            break
    return data[:cut].decode("utf-8", "replace"), data[cut:]


@utf8_feed.mistake(
    "Your function decodes each chunk by itself: half characters become U+FFFD.",
    "The bytes of one character may come in several tokens. Hold back the unfinished end and put it in front "
    "of the next chunk.",
)
def decodes_each_chunk_by_itself(held, data):
    return (data.decode("utf-8", "replace"), b"")


@utf8_feed.mistake(
    "Your function drops the bytes that it cannot decode.",
    "errors='ignore' loses the halves of characters and hides that the model wrote broken bytes.",
)
def drops_bytes_that_it_cannot_decode(held, data):
    return (data.decode("utf-8", "ignore"), b"")


@utf8_feed.mistake(
    "Your function holds bytes back, but does not put them in front of the next chunk.",
    "Begin with data = held + data.",
)
def feed_forgetful(held, data):
    return utf8_feed(b"", data)


@utf8_feed.mistake(
    "Your function shows nothing as long as any byte of it cannot be decoded.",
    "Complete characters should appear at once, and one wrong byte would silence the stream for ever. Hold "
    "back three bytes at most.",
)
def feed_all_or_nothing(held, data):
    try:
        return (held + data).decode(), b""
    except UnicodeDecodeError:
        return "", held + data


@utf8_feed.mistake(
    "Your function waits for more bytes after a byte that begins no character.",
    "0xC0, 0xC1 and 0xF5 to 0xFF never occur in UTF-8: they are U+FFFD at once.",
)
def feed_trusting(held, data):
    """Believes every lead byte, also those that begin no character."""
    data = held + data
    for n in range(1, min(3, len(data)) + 1):
        lead = data[-n]
        if lead >= 0xC0:
            wanted = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            cut = len(data) - n if n < wanted else len(data)
            return data[:cut].decode("utf-8", "replace"), data[cut:]
    return data.decode("utf-8", "replace"), b""


@utf8_feed.mistake(
    "Your function always holds back the last three bytes.",
    "A finished character must be shown at once, or the text lags behind: hold bytes only where a character "
    "is unfinished.",
)
def feed_three_late(held, data):
    data = held + data
    cut = max(len(data) - 3, 0)
    return data[:cut].decode("utf-8", "replace"), data[cut:]
