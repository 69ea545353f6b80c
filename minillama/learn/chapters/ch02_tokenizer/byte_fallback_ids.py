"""Byte fallback."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import UNKNOWN_CHARACTERS


def make_symbols_and_ids(rng: np.random.Generator, length: int) -> tuple[Any, ...]:
    """LLaMA's order: unknown, begin, end, 256 bytes, pieces. At least one symbol is unknown.

    Of many one is unknown though its second character is a piece.
    """
    known = ["▁", "a", "the", "▁the", "ing", "."]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *known]
    symbols = rng.choice([*known, *UNKNOWN_CHARACTERS], length).tolist()
    symbols[int(rng.integers(0, length))] = "世" if length > 1 else "é"
    if length > 3:
        unknown = symbols.index("世")
        symbols[unknown - 1] = "<unk>"  # a symbol like any other, whose id is 0
        symbols[(unknown + 1) % length] = "éa"
    return symbols, {name: id_ for id_, name in enumerate(names)}


@exercise(
    title="Byte fallback",
    task="Turn symbols into ids; a symbol that the vocabulary does not have becomes its UTF-8 bytes.",
    difficulty=1,
    minutes=8,
    make=make_symbols_and_ids,
    shapes=({"length": 1}, {"length": 2}, {"length": 3}, {"length": 8}, {"length": 40}),
    exact=True,
    hints=(
        "Nothing is ever unknown: every text is bytes, and the vocabulary has a piece for each of the 256.",
        'symbol.encode("utf-8") gives the bytes; iterating over them gives numbers from 0 to 255. The pieces are '
        "spelled <0x00> to <0xFF>, in capitals.",
        'if symbol in ids: out.append(ids[symbol])\nelse: out += [ids[f"<0x{b:02X}>"] for b in symbol.encode()]',
    ),
    why=(
        "Any character is a sequence of bytes, and there are only 256 of those: with a piece for each, no text is "
        "unknown. Ids are looked up by name, because three special pieces stand in front and a byte's number is not "
        "its id. The vocabulary is asked first, since one piece is shorter than three bytes."
    ),
)
def byte_fallback_ids(symbols, ids):
    """Turn symbols into ids; what the vocabulary does not have becomes its UTF-8 bytes.

    Parameters
    ----------
    symbols : list of str
    ids : dict of str to int
        In LLaMA's order: "<unk>" 0, "<s>" 1, "</s>" 2, then "<0x00>" ... "<0xFF>", then the pieces.

    Returns
    -------
    list of int
        One id for a symbol that is in `ids`, 0 among them, otherwise one for each byte: of all of the
        symbol, also where some of its characters are pieces.
    """
    out = []
    for symbol in symbols:
        if symbol in ids:
            out.append(ids[symbol])
        else:
            out += [ids[f"<0x{byte:02X}>"] for byte in symbol.encode("utf-8")]
    return out


def fallback(to_ids):
    """A byte fallback that does with an unknown symbol what `to_ids` says."""
    return lambda symbols, ids: [id_ for s in symbols for id_ in ([ids[s]] if s in ids else to_ids(s, ids))]


byte_fallback_ids.mistake(
    "Your function writes the unknown token.",
    "Then the text cannot be read back. Byte fallback exists so that <unk> is never needed.",
    fallback(lambda s, ids: [ids["<unk>"]]),
)

byte_fallback_ids.mistake(
    "Your function takes the number of the byte as the id.",
    "The first three ids are <unk>, <s> and </s>: the piece <0x00> has id 3. Look the name up in ids.",
    fallback(lambda s, ids: list(s.encode())),
)

byte_fallback_ids.mistake(
    "Your function writes the first byte of a symbol and loses the others.",
    "A character outside ASCII has two to four bytes, and each of them needs a token.",
    fallback(lambda s, ids: [3 + s.encode()[0]]),
)

byte_fallback_ids.mistake(
    "Your function writes the bytes in reverse order.",
    "UTF-8 has one order, leading byte first; no machine's byte order plays a part.",
    fallback(lambda s, ids: [3 + byte for byte in reversed(s.encode())]),
)

byte_fallback_ids.mistake(
    "Your function writes the bytes of the code point, not of its UTF-8 form.",
    "ord('é') is 0xE9, but UTF-8 writes é as 0xC3 0xA9: use str.encode.",
    fallback(lambda s, ids: [3 + byte for c in s for byte in ord(c).to_bytes(3, "big").lstrip(b"\0")]),
)

byte_fallback_ids.mistake(
    "Your function leaves unknown symbols out.",
    "They have to survive encoding and decoding: as one token for each byte.",
    fallback(lambda s, ids: []),
)

byte_fallback_ids.mistake(
    "Your function looks up the characters of a symbol that is not in the vocabulary.",
    "The symbol as a whole is what the merges left; what is not in the vocabulary becomes its bytes, all of it.",
    fallback(lambda s, ids: [i for c in s for i in ([ids[c]] if c in ids else [3 + byte for byte in c.encode()])]),
)
