"""GGUF files that lie: nothing but CheckpointError, soon, and without taking memory."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from gguf_files import TINY, write_reference
from hypothesis import given, settings
from hypothesis import strategies as st
from timing import within_seconds

from minillama.checkpoints.gguf.reading import read_gguf
from minillama.checkpoints.loading import tokenizer_of
from minillama.files.errors import CheckpointError
from minillama.files.gguf.container import read_gguf_header

HUGE = (1 << 64) - 1
U8, U32, BOOL, STRING, ARRAY = 0, 4, 7, 8, 9


def text(value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(value)) + value


def key(name: str | bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def array(kind: int, count: int, elements: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + elements


def tensor(name: str, dims: tuple[int, ...] = (8,), kind: int = 0, offset: int = 0, n_dims: int | None = None) -> bytes:
    n_dims = len(dims) if n_dims is None else n_dims
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", n_dims, *dims, kind, offset)


def container(*, keys=(), tensors=(), magic=b"GGUF", version=b"\3\0\0\0", n_keys=None, n_tensors=None) -> bytes:
    counts = (len(tensors) if n_tensors is None else n_tensors, len(keys) if n_keys is None else n_keys)
    return magic + version + struct.pack("<QQ", *counts) + b"".join([*keys, *tensors])


LIES = {
    "no magic": (container(magic=b"ggjt"), "magic: expected b'GGUF', found b'ggjt'"),
    "big-endian": (container(version=b"\0\0\0\3"), "version: .*big-endian"),
    "version 1": (container(version=b"\1\0\0\0"), "version: expected one of 2, 3, found 1"),
    "many keys": (container(n_keys=HUGE), f"key_value_count: is {HUGE}"),
    "more keys than bytes": (container(n_keys=60_000), "key_value_count: is 60000, which takes"),
    "many tensors": (container(n_tensors=HUGE), f"tensor_count: is {HUGE}"),
    "more tensors than bytes": (container(n_tensors=9), "tensor_count: is 9, which takes 225"),
    "long key": (container(keys=[struct.pack("<QI", HUGE, 0) + b"\0" * 9]), "length of key 0 of 1: is"),
    "key not UTF-8": (container(keys=[key(b"\xff", U8, b"\0")]), "key 0 of 1: is not valid UTF-8"),
    "value not UTF-8": (container(keys=[key("a", STRING, text(b"\xc3"))]), "a: is not valid UTF-8"),
    "string not UTF-8": (
        container(keys=[key("a", ARRAY, array(STRING, 2, text("x") + text(b"\xed\xa0\x80")))]),
        "a: string 1 is not valid UTF-8",
    ),
    "key twice": (container(keys=[key("a", U8, b"\0")] * 2), "a: the key occurs twice"),
    "value type": (container(keys=[key("a", 13, b"\0" * 8)]), "a: has value type 13"),
    "element type": (container(keys=[key("a", ARRAY, array(99, 1))]), "a: has element type 99"),
    "bool": (container(keys=[key("a", BOOL, b"\2")]), "a: is a bool with the value 2"),
    "many numbers": (container(keys=[key("a", ARRAY, array(U32, HUGE))]), "count of a: is"),
    "more numbers than bytes": (container(keys=[key("a", ARRAY, array(U32, 3, b"\0" * 8))]), "count of a: is 3"),
    "many strings": (container(keys=[key("a", ARRAY, array(STRING, 1 << 40))]), "count of a: is"),
    "long string": (
        container(keys=[key("a", ARRAY, array(STRING, 1, struct.pack("<Q", HUGE)))]),
        f"a: string 0 of 1 is {HUGE} bytes long",
    ),
    "strings end early": (
        container(keys=[key("a", ARRAY, array(STRING, 2, text("x" * 16)))]),
        "a: ends at string 1 of 2",
    ),
    "deep array": (
        container(keys=[key("a", ARRAY, array(ARRAY, 1) * 40 + array(U8, 0))]),
        "a: nests arrays deeper than 4",
    ),
    "many arrays": (
        container(keys=[key("a", ARRAY, array(ARRAY, 20_000, array(U8, 0) * 20_000))]),
        "a: makes more than 16384 arrays",
    ),
    "alignment": (
        container(keys=[key("general.alignment", U32, struct.pack("<I", 24))]),
        "general.alignment: expected a power of two from 8 to 65536, found 24",
    ),
    "alignment 0": (container(keys=[key("general.alignment", U32, b"\0" * 4)]), "general.alignment: .*found 0"),
    "alignment is text": (container(keys=[key("general.alignment", STRING, text("32"))]), "general.alignment: .*'32'"),
    "tensor twice": (container(tensors=[tensor("a")] * 2), "a: the tensor occurs twice"),
    "long name": (container(tensors=[tensor("a" * 65)]), "name of tensor 0 of 1: is 65"),
    "five dimensions": (container(tensors=[tensor("a", n_dims=5)]), "a: has 5 dimensions, at most 4"),
    "misaligned": (container(tensors=[tensor("a", offset=8)]), "a: offset 8 is not a multiple of 32"),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


@pytest.mark.parametrize(("data", "message"), LIES.values(), ids=LIES)
def test_headers_that_lie(path, data, message):
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_gguf(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("data", [b"", b"GG", b"GGUF", b"GGUF\3\0\0\0"])
def test_files_that_hardly_exist(path, data):
    path.write_bytes(data)
    with pytest.raises(CheckpointError):
        read_gguf(path)


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_gguf(path)


def test_names_in_messages_are_short_and_printable(path):
    path.write_bytes(container(keys=[key("\x1b[2J" + "x" * 5000, 13, b"\0" * 8)]))
    with pytest.raises(CheckpointError) as caught:
        read_gguf(path)
    assert str(caught.value).isprintable()
    assert len(caught.value.field) < 200


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("name", ["general.architecture", "llama.rope.scaling.type"])
def test_an_array_where_a_name_belongs(path, name, count):
    """An array compared with a text is an array again, which has no truth value."""
    keys = {"general.architecture": key("general.architecture", STRING, text("llama"))}
    keys[name] = key(name, ARRAY, array(U32, count, bytes(4 * count)))
    path.write_bytes(container(keys=keys.values()))
    with pytest.raises(CheckpointError, match=name):
        read_gguf(path)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_array_where_the_kind_of_tokenizer_belongs(path, count):
    write_reference(path)
    checkpoint = read_gguf(path)
    checkpoint.metadata["tokenizer.ggml.model"] = np.zeros(count, np.uint32)
    with pytest.raises(CheckpointError, match=r"tokenizer\.ggml\.model: expected"):
        tokenizer_of(checkpoint)


def offset_field(data: bytes, name: str) -> int:
    """Where the offset of a two-dimensional tensor stands."""
    return data.index(name.encode()) + len(name) + 4 + 16 + 4


def test_tensors_may_not_overlap(path):
    write_reference(path)
    data = bytearray(path.read_bytes())
    at, other = (offset_field(data, f"blk.0.attn_{x}.weight") for x in "kv")
    data[at : at + 8] = data[other : other + 8]
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"attn_[kv].weight: begins at byte \d+, inside of blk.0.attn_[kv]"):
        read_gguf(path)


@pytest.mark.parametrize("offset", [1 << 20, 1 << 63])
def test_tensors_must_lie_in_the_file(path, offset):
    write_reference(path)
    data = bytearray(path.read_bytes())
    at = offset_field(data, "blk.0.attn_k.weight")
    data[at : at + 8] = struct.pack("<Q", offset)
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"attn_k.weight: needs bytes \d+ to \d+, the file has"):
        read_gguf(path)


def test_rows_must_divide_into_blocks(path):
    write_reference(path, matrices="Q8_0")
    data = bytearray(path.read_bytes())
    at = offset_field(data, "blk.0.attn_k.weight") - 4
    data[at : at + 4] = struct.pack("<I", 12)  # Q4_K
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"attn_k.weight: Q4_K packs 256 elements, rows of 32"):
        read_gguf(path)


def test_vectors_are_not_packed(path):
    write_reference(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"blk.1.ffn_norm.weight") + len(b"blk.1.ffn_norm.weight") + 4 + 8
    data[at : at + 4] = struct.pack("<I", 8)  # Q8_0
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"blk.1.ffn_norm.weight: expected a vector of F32, F16, BF16, found Q8"):
        read_gguf(path)


def read_or_refuse(path) -> bool:
    """True where the file was read, False where it was refused; anything else escapes."""
    try:
        read_gguf(path)
    except CheckpointError:
        return False
    return True


@pytest.mark.parametrize("matrices", ["F32", "Q4_1"])
def test_truncated_files_are_refused(path, matrices):
    write_reference(path, matrices=matrices, keys={"tokenizer.ggml.tokens": ["token"] * 40})
    data = path.read_bytes()
    # gguf-py pads after the last tensor; a file without the padding is whole.
    last = max(info.offset for info in read_gguf_header(path).tensors.values())
    for length in [*range(1, 200), *range(200, last, 37), last, last + 1]:
        path.write_bytes(data[:length])
        assert not read_or_refuse(path), length


@pytest.mark.parametrize("matrices", ["F32", "Q5_0", "BF16"])
def test_flipped_bits_escape_no_other_error(path, matrices, rng):
    write_reference(path, matrices=matrices, keys={"tokenizer.ggml.tokens": ["token"] * 40})
    data = path.read_bytes()
    header = min(info.offset for info in read_gguf_header(path).tensors.values())
    refused = 0
    for at in rng.integers(0, header, 400):
        damaged = bytearray(data)
        damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        refused += not read_or_refuse(path)
    assert refused > 100


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_reference(path, keys={"tokenizer.ggml.tokens": ["token"] * 40, "general.alignment": 32})
    data = path.read_bytes()
    return path, data, min(info.offset for info in read_gguf_header(path).tensors.values())


NUMBERS = st.one_of(st.integers(0, HUGE), st.sampled_from([0, 1, HUGE, 1 << 63, 1 << 32, (1 << 31) - 1, 3, 64]))


@settings(max_examples=300, deadline=2000)
@given(share=st.floats(0, 1), number=NUMBERS, width=st.sampled_from([4, 8]), cut=st.integers(0, 3))
def test_any_number_in_the_header_may_be_wrong(sound, share, number, width, cut):
    path, data, header = sound
    at = int(share * header)
    damaged = data[:at] + struct.pack("<Q", number)[:width] + data[at + width :]
    path.write_bytes(damaged if cut else damaged[: at + width])
    read_or_refuse(path)


@settings(max_examples=200, deadline=2000)
@given(junk=st.binary(max_size=200), counts=st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_junk_after_a_sound_beginning(tmp_path_factory, junk, counts):
    path = tmp_path_factory.getbasetemp() / "junk.gguf"
    path.write_bytes(container(n_tensors=counts[0], n_keys=counts[1]) + junk)
    assert not read_or_refuse(path)


COSTLY = {
    "two-letter strings": lambda: container(keys=[key("a", ARRAY, array(STRING, 1_000_000, text("ab") * 1_000_000))]),
    "strings in arrays": lambda: container(
        keys=[key("a", ARRAY, array(ARRAY, 16_000, array(STRING, 60, text("") * 60) * 16_000))]
    ),
    "keys": lambda: container(keys=[key(f"{i}", U8, b"\0") for i in range(65_000)]),
    "tensors": lambda: container(tensors=[tensor(f"{i}", ()) for i in range(65_000)]),
    "wide characters": lambda: container(keys=[key("a", STRING, text("x" * 10_000_000 + "🙂"))]),
}


@pytest.mark.parametrize("build", COSTLY.values(), ids=COSTLY)
def test_time_and_memory_are_bounded(path, build):
    path.write_bytes(build())
    with within_seconds(2):
        assert not read_or_refuse(path)
    tracemalloc.start()
    try:
        read_or_refuse(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * path.stat().st_size + 100e6


def test_a_real_vocabulary_is_fast(path):
    """98,000 strings, as SmolLM2's tokens and merges are, in well under a second."""
    strings = array(STRING, 49_000, b"".join(text(f"Ġtoken {i}") for i in range(49_000)))
    path.write_bytes(container(keys=[key("a", ARRAY, strings), key("b", ARRAY, strings)]))
    with within_seconds(0.5):
        header = read_gguf_header(path)
    assert header.metadata["b"][48_999] == "Ġtoken 48999"


def test_reading_does_not_touch_the_weights(path):
    """Ten megabytes of weights, far less memory."""
    write_reference(path, TINY)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.truncate(size + 10_000_000)
    tracemalloc.start()
    try:
        checkpoint = read_gguf(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert np.isfinite(checkpoint.params.token_embedding).all()
