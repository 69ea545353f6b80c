"""safetensors: the reference library reads what is written here, and accepts whatever this reader accepts."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from damage import damaged, within_bounds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minillama.checkpoints.common import safetensors as module
from minillama.checkpoints.common.safetensors import (
    DTYPES,
    SafetensorsFile,
    TensorToWrite,
    write_model_folder,
    write_safetensors,
)
from minillama.files.errors import CheckpointError
from minillama.quantization.formats import PackedArray

F32_4 = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


def to_write(array, dtype):
    return TensorToWrite(dtype, array.shape, lambda: [array])


def file_of(header, data=b"\0" * 16) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


@pytest.fixture
def arrays(rng):
    return {
        "bytes": (rng.integers(0, 256, (3, 5)).astype(np.uint8), "U8"),
        "halves": (rng.normal(size=(2, 3)).astype(np.float16), "F16"),
        "matrix": (rng.normal(size=(4, 6)).astype(np.float32), "F32"),
        "vector": (rng.normal(size=7).astype(np.float64), "F64"),
        "scalar": (np.array(-5, np.int64), "I64"),
        "signed": (rng.integers(-128, 128, 9).astype(np.int8), "I8"),
        "empty": (np.zeros((0, 3), np.int32), "I32"),
    }


def test_reference_library_reads_ours(tmp_path, arrays):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {name: to_write(*item) for name, item in arrays.items()}, {"format": "pt", "é": "ü"})
    found = safetensors.numpy.load_file(path)
    assert found.keys() == arrays.keys()
    for name, (array, _) in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt", "é": "ü"}


def test_we_read_the_reference_library(tmp_path, arrays):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({name: array for name, (array, _) in arrays.items()}, path, {"format": "pt"})
    file = SafetensorsFile(path)
    assert file.metadata == {"format": "pt"}
    assert file.tensors.keys() == arrays.keys()
    for name, (array, dtype) in arrays.items():
        assert file.tensors[name].dtype == dtype
        assert file.array(name).dtype == DTYPES[dtype]
        np.testing.assert_array_equal(file.array(name), array)
        assert file.raw(name).tobytes() == array.tobytes()


def test_tensors_are_aligned_views(tmp_path, arrays):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {name: to_write(*item) for name, item in arrays.items()})
    file = SafetensorsFile(path)
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0
    for name, info in file.tensors.items():
        assert info.offset % DTYPES[info.dtype].itemsize == 0
        if info.n_bytes:
            assert np.shares_memory(file.array(name), file.file.bytes)


def test_weights_keep_16_bits(tmp_path, arrays):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {name: to_write(*item) for name, item in arrays.items()})
    file = SafetensorsFile(path)
    packed = file.weight("halves")
    assert isinstance(packed, PackedArray)
    assert packed.format_name == "F16"
    assert np.shares_memory(packed.data, file.file.bytes)
    np.testing.assert_array_equal(packed.to_float32(), arrays["halves"][0].astype(np.float32))
    assert file.weight("vector").dtype == np.float32
    for name in ("bytes", "scalar", "empty"):
        with pytest.raises(CheckpointError, match=name):
            file.weight(name)


def test_pieces_join(tmp_path, rng):
    array = rng.normal(size=(10, 4)).astype(np.float32)
    write_safetensors(
        tmp_path / "a", {"x": TensorToWrite("F32", (10, 4), lambda: (array[i : i + 3] for i in (0, 3, 6, 9)))}
    )
    np.testing.assert_array_equal(SafetensorsFile(tmp_path / "a").array("x"), array)


MALFORMED = {
    "too short": (b"\1\2\3", "header length"),
    "header longer than the file": ((1000).to_bytes(8, "little") + b"{}", "header: needs bytes 8 to 1008"),
    "header of 8 exabytes": (b"\xff" * 8 + b"{}", "header length: expected at most"),
    "header over the limit": ((200 << 20).to_bytes(8, "little") + b"{}", "header length: expected at most"),
    "no object": (file_of(b"[]"), "header"),
    "blank before the object": (file_of(b" {}", b""), "header"),
    "no JSON": (file_of(b"{'a':1}"), "header: expected JSON"),
    "no UTF-8": (file_of(b'{"\xff":1}'), "header: expected JSON"),
    "nested without end": (file_of(b'{"a":' * 200_000), "nested too deeply"),
    "nested lists": (file_of(b'{"a":' + b"[" * 200_000), "nested too deeply"),
    "an integer of a million digits": (file_of(b'{"a":' + b"9" * 1_000_000 + b"}"), "header: expected JSON"),
    "NaN": (file_of(b'{"a":NaN}'), "NaN"),
    "a key twice": (file_of(b'{"a":%(x)b,"a":%(x)b}' % {b"x": json.dumps(F32_4).encode()}), '"a" is there twice'),
    "entry is a list": (file_of({"a": []}), '"a"'),
    "entry without shape": (file_of({"a": {"dtype": "F32", "data_offsets": [0, 16]}}), "dtype, shape and data_offsets"),
    "entry with more": (file_of({"a": F32_4 | {"strides": [1]}}), "strides"),
    "unknown dtype": (file_of({"a": F32_4 | {"dtype": "Q9"}}), "dtype"),
    "dtype is a list": (file_of({"a": F32_4 | {"dtype": ["F32"]}}), "dtype"),
    "negative size": (file_of({"a": F32_4 | {"shape": [-4]}}), "shape"),
    "size is a float": (file_of({"a": F32_4 | {"shape": [4.0]}}), "shape"),
    "size is a boolean": (file_of({"a": F32_4 | {"shape": [4, True]}}), "shape"),
    "size of 2**64": (file_of({"a": F32_4 | {"shape": [1 << 64]}}), "shape"),
    "product over 2**64": (file_of({"a": F32_4 | {"shape": [1 << 40, 1 << 40]}}), "takes"),
    "a thousand dimensions": (file_of({"a": F32_4 | {"shape": [1] * 1000}}), "shape"),
    "shape is not a list": (file_of({"a": F32_4 | {"shape": 4}}), "shape"),
    "three offsets": (file_of({"a": F32_4 | {"data_offsets": [0, 16, 16]}}), "data_offsets"),
    "offsets backwards": (file_of({"a": F32_4 | {"data_offsets": [16, 0]}}), "data_offsets"),
    "offsets of another length": (file_of({"a": F32_4 | {"data_offsets": [0, 12]}}), "takes 16 bytes, found 12"),
    "offsets past the end": (file_of({"a": F32_4}, b"\0" * 12), "the file has"),
    "bytes that nothing describes": (file_of({"a": F32_4}, b"\0" * 20), "the file has"),
    "overlap": (file_of({"a": F32_4, "b": F32_4}), "overlaps"),
    "gap": (file_of({"a": F32_4 | {"data_offsets": [4, 20]}}, b"\0" * 20), "gap"),
    "metadata is a list": (file_of({"__metadata__": [], "a": F32_4}), "__metadata__"),
    "metadata of numbers": (file_of({"__metadata__": {"step": 1}, "a": F32_4}), "__metadata__"),
}
# The reference library lets these pass; of two values nobody can say which is meant.
STRICTER = {"blank before the object", "a key twice", "entry with more"}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_header_is_refused(tmp_path, name):
    content, message = MALFORMED[name]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with within_bounds(len(content)), pytest.raises(CheckpointError, match=re.escape(message)):
        SafetensorsFile(path)
    if name not in STRICTER:
        with pytest.raises(safetensors.SafetensorError):
            safetensors.numpy.load_file(path)


def test_missing_and_empty_files_are_refused(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    for name in ("missing", "empty", "."):
        with pytest.raises(CheckpointError):
            SafetensorsFile(tmp_path / name)


def test_a_header_full_of_small_objects_stays_small(tmp_path):
    """The text of JSON that takes most memory when it is parsed."""
    content = file_of(b'{"a":[' + b"{}," * 600_000 + b"{}]}")
    (tmp_path / "a").write_bytes(content)
    with within_bounds(len(content)), pytest.raises(CheckpointError):
        SafetensorsFile(tmp_path / "a")


@pytest.mark.parametrize("cut", range(0, 230, 7))
def test_truncated_file_is_refused(tmp_path, arrays, cut):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {name: to_write(*item) for name, item in arrays.items()})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * cut // 230])
    with pytest.raises(CheckpointError):
        SafetensorsFile(path)


def accepts(path) -> tuple[bool, bool]:
    """Whether this reader and the reference library take the file."""
    try:
        file = SafetensorsFile(path)
        for name in file.tensors:
            file.array(name)
        ours = True
    except CheckpointError:
        ours = False
    try:
        with safetensors.safe_open(path, "np") as opened:
            opened.keys()
        theirs = True
    except safetensors.SafetensorError:
        theirs = False
    return ours, theirs


def test_damaged_files(tmp_path, arrays, rng):
    """No damage gets past this reader that the reference library refuses."""
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {name: to_write(*item) for name, item in arrays.items()}, {"format": "pt"})
    for copy in damaged(path.read_bytes(), rng, 300):
        path.write_bytes(copy)
        ours, theirs = accepts(path)
        assert theirs or not ours


SIZES = st.one_of(st.integers(-1, 20), st.sampled_from([1 << 31, 1 << 62, 1 << 64, 4.0, True, None, "4", [4]]))
ENTRIES = st.one_of(
    st.builds(
        lambda dtype, shape, begin, length: {"dtype": dtype, "shape": shape, "data_offsets": [begin, length]},
        st.sampled_from(["F32", "F16", "BF16", "U8", "I64", "F9", 3]),
        st.lists(SIZES, max_size=3),
        SIZES,
        SIZES,
    ),
    st.builds(  # right by itself
        lambda n, begin: {"dtype": "F32", "shape": [n], "data_offsets": [begin, begin + 4 * n]},
        st.integers(0, 4),
        st.integers(0, 4).map(lambda i: 4 * i),
    ),
    st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=3),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.dictionaries(st.text(max_size=3), ENTRIES, max_size=3), n_bytes=st.integers(0, 20))
def test_never_accepts_what_the_reference_library_refuses(tmp_path, header, n_bytes):
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_of(header, b"\0" * n_bytes))
    ours, theirs = accepts(path)
    assert theirs or not ours


# --- writing ---------------------------------------------------------------------------


def test_wrong_length_is_refused_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="x: F32 of shape"):
        write_safetensors(path, {"x": TensorToWrite("F32", (4,), lambda: [np.zeros(3, np.float32)])})
    with pytest.raises(ValueError, match="__metadata__"):
        write_safetensors(path, {"__metadata__": to_write(np.zeros(3, np.float32), "F32")})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_folder_is_never_mixed(tmp_path, monkeypatch):
    """Old weights with the old description, or no description at all."""
    old, new = (to_write(np.full(3, value, np.float32), "F32") for value in (1, 2))
    write_model_folder(tmp_path, "config.json", {"version": 1}, {"x": old})

    def stop():
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        write_model_folder(tmp_path, "config.json", {"version": 2}, {"x": TensorToWrite("F32", (3,), stop)})
    assert json.loads((tmp_path / "config.json").read_text()) == {"version": 1}
    assert SafetensorsFile(tmp_path / "model.safetensors").array("x")[0] == 1

    real = module.atomic_write

    def fail_on_json(path):
        if path.name == "config.json":
            raise OSError("no space left")
        return real(path)

    monkeypatch.setattr(module, "atomic_write", fail_on_json)
    with pytest.raises(OSError, match="no space"):
        write_model_folder(tmp_path, "config.json", {"version": 2}, {"x": new})
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize("other", ["minillama.json", "params.json", "model.safetensors.index.json"])
def test_folder_of_another_model_is_refused(tmp_path, other):
    (tmp_path / other).write_text("{}")
    with pytest.raises(CheckpointError, match=re.escape(other)):
        write_model_folder(tmp_path, "config.json", {}, {})
