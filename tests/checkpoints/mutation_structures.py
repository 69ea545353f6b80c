"""Mutations that know the container: one thing in it changes, the rest stays well-formed."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from minillama.files.gguf.values import Cursor
from minillama.files.mapped import MappedFile

_INTEGERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    2**16,
    2**31 - 1,
    2**31,
    2**32,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    10**400,
)
_ODD_VALUES: tuple[Any, ...] = (
    *_INTEGERS, -(2**31), -(2**63), 0.5, 1e-300, 1e308, float("nan"), float("inf"), 1e39,
    None, True, False, "", "0", "x" * 300, "/" * 5, "\ud800", "\0", "é▁🙂", "../x.safetensors",
    "y" * 300 + ".safetensors", [], {}, [0], [[]], [None], ["a", "b"], {"a": 1}, {"type": "Sequence"}, [2**63, 2**63],
    [0, 2**62],
)  # fmt: skip
_DEPTHS = (20, 300, 900, 980, 995, 5000, 100_000)
_NESTED, _DOUBLED = "nested-here-", "doubled-here-"  # replaced in the text, as json.dumps makes neither


def _choose(rng: np.random.Generator, options: Any) -> Any:
    return options[rng.integers(len(options))]


# --- JSON ------------------------------------------------------------------------------


def mutate_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one to three values, keys or items of a JSON text; one that does not parse comes back as it is."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):
        return data
    for _ in range(1 if rng.integers(3) else rng.integers(1, 4)):
        root = _mutate_value(root, rng)
    try:
        text = json.dumps(root, ensure_ascii=bool(rng.integers(2)))
    except (ValueError, RecursionError):
        return data
    for depth in _DEPTHS:
        opening, closing = ("[", "]") if depth % 3 else ('{"a":', "}")
        text = text.replace(f'"{_NESTED}{depth}"', opening * depth + "1" + closing * depth)
    return text.replace(_DOUBLED, "").encode("utf-8", "surrogatepass")


def _mutate_value(root: Any, rng: np.random.Generator) -> Any:
    """Go down to a random place and change what is there."""
    parent, key = None, None
    value = root
    while isinstance(value, dict | list) and value and (parent is None or rng.integers(4)):
        parent, key = value, _choose(rng, list(value) if isinstance(value, dict) else range(len(value)))
        value = parent[key]
    if parent is None:
        return _odd_value(root, root, rng)
    kind = rng.integers(8)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[_DOUBLED + str(key)] = value if rng.integers(2) else _odd_value(value, root, rng)
    elif kind == 1:
        parent.insert(int(key), value)
    elif kind == 2 and isinstance(parent, dict):
        parent[_choose(rng, ["", "\ud800", "new", str(key) + "x", "x" * 300])] = parent.pop(key)
    else:
        parent[key] = _odd_value(value, root, rng)
    return root


def _odd_value(value: Any, root: Any, rng: np.random.Generator) -> Any:
    """Something else in place of `value`: often of its own type, sometimes a part of the same text."""
    kind = rng.integers(10)
    if kind < 3 and type(value) in (int, float):
        as_float = float(value) if abs(value) < 2**63 else 0.5
        return _choose(rng, [value + 1, value - 1, -value, 2 * value, as_float, str(value), *_INTEGERS])
    if kind < 3 and isinstance(value, str):
        return _choose(rng, [value + "x", value[:-1], value.upper(), value * 40, "\ud800" + value, [value]])
    if kind == 3:
        return f"{_NESTED}{_choose(rng, _DEPTHS)}"
    if kind == 4 and isinstance(root, dict) and root:
        part = _choose(rng, list(root.values()))
        return json.loads(json.dumps(part)) if part is not value else [part]
    return _choose(rng, _ODD_VALUES)


def mutate_safetensors(data: bytes, rng: np.random.Generator) -> bytes:
    """Change the JSON header and correct its length."""
    n_bytes = int.from_bytes(data[:8], "little")
    header = mutate_json(data[8 : 8 + n_bytes], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + n_bytes :]


# --- GGUF ------------------------------------------------------------------------------


def mutate_gguf(data: bytes, rng: np.random.Generator) -> bytes:
    """Give one key another value, remove it or have it twice; the tensors stay where they belong."""
    try:
        keys, end = _gguf_keys(data)
    except (ValueError, struct.error, KeyError):
        return data
    if not keys:
        return data
    at, value_at, key_end = _choose(rng, keys)
    kind = rng.integers(8)
    count = len(keys)
    if kind == 0:
        new, count = b"", count - 1
    elif kind == 1:
        new, count = data[at:key_end] * 2, count + 1
    else:
        new = data[at:value_at] + _choose(rng, _gguf_values(rng))
    header = data[:16] + struct.pack("<Q", count) + data[24:at] + new + data[key_end:end]
    return header + bytes(-len(header) % 32) + data[end + -end % 32 :]


class _Bytes(MappedFile):
    """Bytes in memory, as `Cursor` reads them."""

    def __init__(self, data: bytes) -> None:
        self.path, self.bytes, self.size = Path("mutation"), np.frombuffer(data, np.uint8), len(data)


def _gguf_keys(data: bytes) -> tuple[list[tuple[int, int, int]], int]:
    """Where each key begins, its value begins and ends; and the end of the header."""
    cursor = Cursor(_Bytes(data))
    cursor.take(8, "")
    n_tensors, n_keys = cursor.u64(""), cursor.u64("")
    keys = []
    for _ in range(n_keys):
        at = cursor.at
        cursor.string("", 1 << 16)
        value_at = cursor.at
        cursor.value(cursor.u32(""), "")
        keys.append((at, value_at, cursor.at))
    for _ in range(n_tensors):
        cursor.string("", 1 << 16)
        for _ in range(cursor.u32("")):
            cursor.u64("")
        cursor.take(12, "")
    return keys, cursor.at


def _gguf_values(rng: np.random.Generator) -> list[bytes]:
    """Type and bytes of values that a key seldom has."""
    number = int(_choose(rng, _INTEGERS)) % 2**64
    count = int(_choose(rng, (0, 1, 2, 24, 25, 500)))
    strings = b"".join(struct.pack("<Q", n % 3) + b"a" * (n % 3) for n in range(count))
    array = struct.Struct("<IIQ")
    return [
        struct.pack("<IQ", 10, number),
        struct.pack("<Iq", 11, -1),
        struct.pack("<II", 4, number % 2**32),
        struct.pack("<If", 6, _choose(rng, (0.0, -1.0, 1e30, np.nan, np.inf, 1e-30))),
        struct.pack("<Id", 12, _choose(rng, (0.0, 1e300, np.nan, -np.inf))),
        struct.pack("<IB", 7, number % 3),
        struct.pack("<IQ", 8, 0),
        struct.pack("<IQ", 8, 5) + b"llama",
        struct.pack("<IQ", 8, 300) + b"x" * 300,
        array.pack(9, 8, count) + strings,
        array.pack(9, 4, count) + struct.pack("<I", number % 2**32) * count,
        array.pack(9, 5, count) + rng.integers(-1, 7, count).astype("<i4").tobytes(),
        array.pack(9, 6, count) + rng.normal(size=count).astype("<f4").tobytes(),
        array.pack(9, 6, count) + np.full(count, np.nan, "<f4").tobytes(),
        array.pack(9, 7, count) + bytes(count),
        array.pack(9, 9, count) + struct.pack("<IQ", 4, 0) * count,
        array.pack(9, 9, 2) + struct.pack("<IQI", 4, 1, 7) + struct.pack("<IQ", 8, 1) + struct.pack("<Q", 0),
    ]


# --- zip -------------------------------------------------------------------------------


def mutate_zip(data: bytes, rng: np.random.Generator) -> bytes:
    """Change, remove, rename, double, compress or shorten one member of an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # an earlier mutation broke it
        return data
    if not members:
        return data
    n = int(rng.integers(len(members)))
    if rng.integers(2):  # the one that says what the others are
        n = next((i for i, (name, _) in enumerate(members) if name.endswith("data.pkl")), n)
    name, content = members[n]
    compression = zipfile.ZIP_STORED
    kind = rng.integers(8)
    if kind == 0:
        del members[n]
    elif kind == 1:
        members[n] = (_choose(rng, ["", "data.pkl", "x/data.pkl", name + "x", name.upper(), members[0][0]]), content)
    elif kind == 2:
        members[n] = (name, content[: rng.integers(len(content) + 1)])
    elif kind == 3:
        compression = zipfile.ZIP_DEFLATED
    else:
        members[n] = (name, _mutate_pickle(content, rng))
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # two members may have the same name
        for i, (member, content) in enumerate(members):
            archive.writestr(zipfile.ZipInfo(member), content, compression if i == n else zipfile.ZIP_STORED)
    return out.getvalue()


def _mutate_pickle(content: bytes, rng: np.random.Generator) -> bytes:
    """Change instructions or numbers of a pickle: overwrite, insert, double or remove a few bytes."""
    codes = b"(N\x88\x89JKM\x8aGX)\x85\x86\x87t]ae}suqrhjRQbc.2\xff\x00\x01"
    for _ in range(rng.integers(1, 4)):
        if not content:
            break
        at, size = int(rng.integers(len(content))), int(rng.integers(1, 9))
        kind = rng.integers(6)
        new = bytes(rng.choice(np.frombuffer(codes, np.uint8), size))
        if kind == 0:
            new = b"J" + struct.pack("<i", _choose(rng, (0, -1, 2**31 - 1, 1 << 16)))
        elif kind == 1:
            new = b"\x8a\x08" + struct.pack("<q", _choose(rng, (-1, 2**63 - 1, 2**62)))
        elif kind == 2:
            new = content[at : at + size] * 2
        elif kind == 3:
            new = b""
        content = content[:at] + new + content[at + (0 if kind == 5 else size) :]
    return content
