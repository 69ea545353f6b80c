"""The header of a model file."""

from __future__ import annotations

import struct

from ...exercises.exercise import exercise
from .inputs import FIELDS, FILE_SHAPES, make_file


@exercise(
    title="The header of a model file",
    task="Read the seven numbers at the start of a llama2.c file, and whether the model is tied.",
    difficulty=1,
    minutes=10,
    make=make_file,
    shapes=(*FILE_SHAPES, {"H": 1, "K": 1, "head_dim": 2, "hidden": 1, "L": 1, "V": 70000, "S": 1, "tied": 0}),
    exact=True,
    hints=(
        "28 bytes are seven little-endian int32. struct.unpack_from or np.frombuffer reads them.",
        "A format without a magic or a flag has to hide the flag somewhere: the sign of vocab_size says whether the "
        "head is a matrix of its own (negative) or the embedding.",
        'numbers = struct.unpack_from("<7i", data)\n'
        'header = dict(zip(("dim", "hidden_dim", ...), numbers))\n'
        'header["tied"] = header["vocab_size"] > 0; header["vocab_size"] = abs(header["vocab_size"])',
    ),
    why=(
        "Seven integers in a row are one format string, and its sign for little-endian makes the file read the same "
        "on every machine. The format had no field for a flag, so the sign of a size carries it. The sign is looked "
        "at first, because the absolute value no longer has it."
    ),
)
def llama2c_header(data):
    """Read the header of a llama2.c file of version 0.

    The first 28 bytes are seven little-endian int32: dim, hidden_dim, n_layers, n_heads,
    n_kv_heads, vocab_size, max_seq_len. A negative vocab_size says that the model has an
    output head of its own (it is not tied); its size is the absolute value.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    header : dict
        The seven fields by name, with a positive vocab_size, and "tied": bool.
    """
    names = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
    header = dict(zip(names, struct.unpack_from("<7i", data)))
    header["tied"] = header["vocab_size"] > 0
    header["vocab_size"] = abs(header["vocab_size"])
    return header


def header_read(form, start=0):
    def run(data):
        header = dict(zip(FIELDS, struct.unpack_from(form, data, start)))
        return {**header, "vocab_size": abs(header["vocab_size"]), "tied": header["vocab_size"] > 0}

    return run


@llama2c_header.mistake(
    "Your vocab_size is negative for a model with its own output head.",
    "The sign is the flag: take it off with abs() once `tied` is known.",
)
def vocab_size_may_be_negative(data):
    return {
        **llama2c_header(data),
        "vocab_size": llama2c_header(data)["vocab_size"] * (1 if llama2c_header(data)["tied"] else -1),
    }


@llama2c_header.mistake(
    "Your `tied` is the wrong way round.",
    "A negative vocab_size means that the head is in the file; positive: it is the token embedding, tied.",
)
def tied_is_wrong_way_round(data):
    return {**llama2c_header(data), "tied": not llama2c_header(data)["tied"]}


@llama2c_header.mistake(
    "Your function takes every model for tied.",
    "The sign of vocab_size tells: negative is not tied.",
)
def takes_every_model_for_tied(data):
    return {**llama2c_header(data), "tied": True}


llama2c_header.mistake(
    "Your function reads the numbers as big-endian.",
    'The lowest byte comes first: "<" in struct, "<i4" in NumPy.',
    header_read(">7i"),
)


@llama2c_header.mistake(
    "Your function reads the fields in the order dim, n_layers, n_heads, n_kv_heads, vocab_size, hidden_dim.",
    "That is the order of other tools. llama2.c writes hidden_dim right after dim.",
)
def header_in_config_order(data):
    names = ("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "hidden_dim", "max_seq_len")
    numbers = dict(zip(names, struct.unpack_from("<7i", data)))
    tied = numbers["vocab_size"] > 0
    return {**{name: numbers[name] for name in FIELDS}, "vocab_size": abs(numbers["vocab_size"]), "tied": tied}


llama2c_header.mistake(
    "Your function skips 8 bytes, for a magic and a version.",
    "Versions 1 and 2 have them; version 0 starts with dim at byte 0.",
    header_read("<7i", 8),
)

llama2c_header.mistake(
    "Your numbers are unsigned: a negative vocab_size becomes about 4 thousand million.",
    'The fields are signed int32: "i" in struct, not "I".',
    header_read("<7I"),
)
