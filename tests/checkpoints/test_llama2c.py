"""llama2.c's three formats: against its own files, its own formulas, and themselves."""

from __future__ import annotations

import hashlib
import struct
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillama.checkpoints.llama2c import read_llama2c, write_llama2c
from minillama.config import ModelConfig, named_config
from minillama.files.errors import CheckpointError
from minillama.params import build_params, init_params
from minillama.quantization.formats import GroupedArray, quantize, to_float32
from minillama.trees import map_tree, named_leaves

TINY = ModelConfig(dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=48, vocab_size=40, max_seq_len=16, tied=True)
V0_SHA256 = "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696"
LAYERS_V0 = ["attention_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w_gate", "w_down", "w_up"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.bin"


@pytest.fixture
def params(rng):
    return init_params(TINY, rng)


@pytest.fixture
def stories(shared_data):
    return shared_data / "stories260K"


def assert_same(a, b):
    for (name, x), (_, y) in zip(named_leaves(a), named_leaves(b), strict=True):
        np.testing.assert_array_equal(to_float32(x), to_float32(y), err_msg=name)


def by_layers(params, fields):
    return [getattr(layer, field) for field in fields for layer in params.layers]


# --- the public files ----------------------------------------------------------------


def test_stories260k(stories):
    """The file of the fact sheet, and both versions of it say the same."""
    assert hashlib.sha256((stories / "stories260K.bin").read_bytes()).hexdigest() == V0_SHA256
    v0, v1 = read_llama2c(stories / "stories260K.bin"), read_llama2c(stories / "checkpoint_v1.bin")
    assert v0.config == v1.config == named_config("stories260K")
    assert (v0.format, v1.format) == ("llama2.c v0", "llama2.c v1")
    assert (v0.metadata, v1.metadata) == ({"version": 0}, {"version": 1})
    assert_same(v0.params, v1.params)


def test_stories260k_is_written_as_it_was(stories, path):
    """Version 1 byte by byte; in version 0 the RoPE tables may differ in the last bit."""
    model = read_llama2c(stories / "stories260K.bin")
    write_llama2c(path, model.config, model.params, version=1)
    assert path.read_bytes() == (stories / "checkpoint_v1.bin").read_bytes()
    write_llama2c(path, model.config, model.params, version=0)
    ours, theirs = path.read_bytes(), (stories / "stories260K.bin").read_bytes()
    tables = len(theirs) - 4 * 512 * 8
    assert ours[:tables] == theirs[:tables]
    np.testing.assert_allclose(np.frombuffer(ours[tables:], "<f4"), np.frombuffer(theirs[tables:], "<f4"), atol=1e-7)


@pytest.mark.parametrize(
    ("name", "v0_bytes", "v1_bytes"),
    [
        ("stories260K", 1_056_540, 1_040_384),
        ("stories15M", 60_816_028, 60_767_104),
        ("stories42M", 167_020_572, None),
        ("stories110M", 438_381_596, None),
    ],
)
def test_sizes_of_the_published_files(path, name, v0_bytes, v1_bytes):
    """A file of holes has the right size and costs nothing."""
    config = named_config(name)
    seven = (
        config.dim,
        config.hidden_dim,
        config.n_layers,
        config.n_heads,
        config.n_kv_heads,
        config.vocab_size,
        config.max_seq_len,
    )
    headers = {v0_bytes: struct.pack("<7i", *seven), v1_bytes: struct.pack("<Ii7iB", 0x616B3432, 1, *seven, 1)}
    for n_bytes, header in headers.items():
        if n_bytes is not None:
            with path.open("wb") as file:
                file.write(header)
                file.truncate(n_bytes)
            assert read_llama2c(path).config == config


# --- the layouts, written out once more -----------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_layout_of_version_0(path, rng, tied):
    """legacy_export: field by field over all layers, RoPE tables, then the output head."""
    config = replace(TINY, tied=tied)
    params = init_params(config, rng)
    angles = torch.outer(torch.arange(16).float(), 1.0 / (10000 ** (torch.arange(0, 8, 2).float() / 8)))
    arrays = [params.token_embedding, *by_layers(params, LAYERS_V0), params.final_norm]
    arrays += [torch.cos(angles).numpy(), torch.sin(angles).numpy()]
    if not tied:
        arrays.append(params.output)
    header = struct.pack("<7i", 32, 48, 2, 4, 2, 40 if tied else -40, 16)
    path.write_bytes(header + b"".join(array.tobytes() for array in arrays))
    checkpoint = read_llama2c(path)
    assert checkpoint.config == config
    assert_same(checkpoint.params, params)

    write_llama2c(path, config, params, version=0)
    found = np.frombuffer(path.read_bytes()[28:], "<f4")
    np.testing.assert_allclose(found, np.concatenate([array.ravel() for array in arrays]), atol=1e-7)


@pytest.mark.parametrize("tied", [True, False])
def test_layout_of_version_1(path, rng, tied):
    config = replace(TINY, tied=tied)
    params = init_params(config, rng)
    arrays = [*by_layers(params, ["attention_norm", "ffn_norm"]), params.final_norm, params.token_embedding]
    arrays += by_layers(params, ["wq", "wk", "wv", "wo", "w_gate", "w_down", "w_up"])
    if not tied:
        arrays.append(params.output)
    header = b"24ka" + struct.pack("<i7iB", 1, 32, 48, 2, 4, 2, 40, 16, tied)
    data = header.ljust(256, b"\0") + b"".join(array.tobytes() for array in arrays)
    path.write_bytes(data)
    checkpoint = read_llama2c(path)
    assert checkpoint.config == config
    assert_same(checkpoint.params, params)
    write_llama2c(path, config, params)
    assert path.read_bytes() == data


def quantize_q80(w, group_size):
    """llama2.c's export.py, in PyTorch as there."""
    w = torch.tensor(w).reshape(-1, group_size)
    scale = torch.abs(w).max(dim=1).values / 127.0
    return torch.round(w / scale[:, None]).to(torch.int8).numpy(), scale.numpy()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("group_size", [4, 16, 32])
def test_layout_of_version_2(path, rng, tied, group_size):
    config = replace(TINY, tied=tied)
    params = init_params(config, rng)
    vectors = [*by_layers(params, ["attention_norm", "ffn_norm"]), params.final_norm]
    matrices = [params.token_embedding, *by_layers(params, ["wq", "wk", "wv", "wo", "w_gate", "w_down", "w_up"])]
    if not tied:
        matrices.append(params.output)
    header = b"24ka" + struct.pack("<i7iB", 2, 32, 48, 2, 4, 2, 40, 16, tied) + struct.pack("<i", group_size)
    data = header.ljust(256, b"\0") + b"".join(vector.tobytes() for vector in vectors)
    data += b"".join(part.tobytes() for matrix in matrices for part in quantize_q80(matrix, group_size))
    write_llama2c(path, config, params, version=2, group_size=group_size)
    assert path.read_bytes() == data

    checkpoint = read_llama2c(path)
    assert checkpoint.config == config
    assert checkpoint.metadata == {"version": 2, "group_size": group_size}
    down = checkpoint.params.layers[1].w_down
    values, scales = quantize_q80(params.layers[1].w_down, group_size)
    assert isinstance(down, GroupedArray)
    np.testing.assert_array_equal(down.to_float32(), (values * scales[:, None]).reshape(32, 48))


# --- round trips ----------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
@pytest.mark.parametrize("tied", [True, False])
def test_round_trip(path, tmp_path, rng, version, n_kv_heads, tied):
    config = replace(TINY, n_kv_heads=n_kv_heads, tied=tied)
    params = init_params(config, rng)
    write_llama2c(path, config, params, version)
    checkpoint = read_llama2c(path)
    assert checkpoint.config == config
    if version < 2:
        assert_same(checkpoint.params, params)
    write_llama2c(tmp_path / "again.bin", config, checkpoint.params, version)
    assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()


def test_matrices_are_not_copied(path, params):
    for version in (0, 1, 2):
        write_llama2c(path, TINY, params, version)
        for name, weight in named_leaves(read_llama2c(path).params):
            data = weight.values if isinstance(weight, GroupedArray) else weight
            assert isinstance(data, np.memmap), (version, name)


def test_packed_matrices_are_unpacked(path, params):
    packed = map_tree(lambda array: quantize(array, "F16") if array.ndim == 2 else array, params)
    write_llama2c(path, TINY, packed, version=1)
    assert_same(read_llama2c(path).params, packed)


def test_int8_changes_its_group_size(path, tmp_path, params):
    write_llama2c(path, TINY, params, 2, group_size=32)
    wide = read_llama2c(path)
    write_llama2c(tmp_path / "narrow.bin", TINY, wide.params, 2, group_size=8)
    narrow = read_llama2c(tmp_path / "narrow.bin")
    assert narrow.metadata["group_size"] == 8
    scale = wide.params.token_embedding.scales.max()
    difference = narrow.params.token_embedding.to_float32() - wide.params.token_embedding.to_float32()
    assert np.abs(difference).max() < scale


@pytest.mark.parametrize(("asked", "used"), [(64, 32), (12, 1), (24, 1), (8, 8)])
def test_group_size_is_halved_until_it_divides_dim(path, params, asked, used):
    write_llama2c(path, TINY, params, 2, group_size=asked)
    assert read_llama2c(path).metadata["group_size"] == used


def test_a_group_of_zeros(path, params):
    params.layers[0].wq[:2] = 0
    params.layers[0].wk[0] = 1e-45  # its scale is too small for a float32
    write_llama2c(path, TINY, params, 2)
    layer = read_llama2c(path).params.layers[0]
    np.testing.assert_array_equal(layer.wq.to_float32()[:2], 0)
    assert np.isfinite(layer.wk.to_float32()).all()


def test_a_large_matrix_is_quantised_in_parts(path, rng):
    """The parts end between groups, also where groups cross the ends of rows."""
    config = replace(TINY, dim=64, head_dim=16, hidden_dim=70_001, n_layers=1)
    params = init_params(config, rng)
    write_llama2c(path, config, params, 2, group_size=64)
    down = read_llama2c(path).params.layers[0].w_down
    values, scales = quantize_q80(params.layers[0].w_down, 64)
    np.testing.assert_array_equal(down.values.ravel(), values.ravel())
    np.testing.assert_array_equal(down.scales, scales)


# --- what the formats cannot say --------------------------------------------------------

UNWRITABLE = [
    ({"norm_eps": 1e-6}, "norm_eps 1e-05, the model needs 1e-06"),
    ({"rope_theta": 1e5}, "rope_theta 10000.0, the model needs 100000.0"),
    ({"head_dim": 16}, r"head_dim \* n_heads = dim, the model has 16 \* 4 and 32"),
]


@pytest.mark.parametrize(("change", "message"), UNWRITABLE)
@pytest.mark.parametrize("version", [0, 1, 2])
def test_models_that_no_version_can_hold(path, rng, change, message, version):
    config = replace(TINY, **change)
    with pytest.raises(ValueError, match=message):
        write_llama2c(path, config, init_params(config, rng), version)
    assert not path.exists()


def test_a_float32_norm_eps_is_the_same_number(path, params):
    write_llama2c(path, replace(TINY, norm_eps=float(np.float32(1e-5))), params)
    assert read_llama2c(path).config == TINY


def test_bad_arguments(path, params):
    with pytest.raises(ValueError, match=r"version must be one of \(0, 1, 2\)"):
        write_llama2c(path, TINY, params, version=3)
    with pytest.raises(ValueError, match="group_size must be at least 1, got 0"):
        write_llama2c(path, TINY, params, 2, group_size=0)
    with pytest.raises(ValueError, match=r"layers.0.w_gate must have shape \(64, 32\)"):
        write_llama2c(path, replace(TINY, hidden_dim=64), params)


def test_a_failure_leaves_the_old_file(path, params):
    path.write_bytes(b"old")
    params.layers[1].wq[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"layers.1.wq has values that are not finite"):
        write_llama2c(path, TINY, params, 2)
    assert path.read_bytes() == b"old"


# --- damaged files ----------------------------------------------------------------------


def header(version=1, seven=(32, 48, 2, 4, 2, 40, 16), shared=1, group_size=32):
    if version == 0:
        return struct.pack("<7i", *seven)
    return struct.pack("<Ii7iBi", 0x616B3432, version, *seven, shared, group_size).ljust(256, b"\0")


BIG = (1 << 31) - 1
DAMAGED = {
    "empty": (b"", "empty file"),
    "short": (b"\1\0\0\0", "header: needs bytes 0 to 28, the file has 4"),
    "short v1": (header()[:100], "header: needs bytes 0 to 256, the file has 100"),
    "version": (header(version=3), "version: expected a known one .1 and 2 with this magic, 0 without., found 3"),
    "text": (b"This is no model, but some text." * 9, "neither GGUF nor llama2.c: it begins with b'This is '"),
    "flag": (header(shared=2), "shared_classifier: expected 0 or 1, found 2"),
    "group size": (header(version=2, group_size=5), "group_size: expected a divisor of dim 32, found 5"),
    "group size 0": (header(version=2, group_size=0), "group_size: expected a divisor of dim 32, found 0"),
    "dim": (header(seven=(-32, 48, 2, 4, 2, 40, 16)), "header: dim must be a positive integer"),
    "dim and heads": (header(seven=(33, 48, 2, 4, 2, 40, 16)), "header: dim 33 is not a multiple of n_heads 4"),
    "heads": (header(seven=(32, 48, 2, 0, 2, 40, 16)), "header: n_heads must be a positive"),
    "kv heads": (header(seven=(32, 48, 2, 4, 0, 40, 16)), "header: n_kv_heads must be at least 1, found 0"),
    "vocabulary": (header(seven=(32, 48, 2, 4, 2, -40, 16)), "header: vocab_size must be"),
    "layers": (header(seven=(32, 48, BIG, 4, 2, 40, 16)), "header: n_layers must be at most 4096"),
    "sizes": (header(seven=(1 << 30, BIG, 4096, 2, 1, BIG, 16)), r"size: expected \d+ bytes .* found 256"),
    "v0 sizes": (header(0, seven=(1 << 30, BIG, 4096, 2, 1, -BIG, 1 << 24)), r"size: expected \d+ .* found 28"),
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_headers(path, data, message):
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_llama2c(path)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_files_of_another_size(path, params, version):
    write_llama2c(path, TINY, params, version)
    data = path.read_bytes()
    for length in [*range(0, 300, 7), *range(300, len(data), 997), len(data) - 1, len(data) + 1]:
        path.write_bytes(data.ljust(length, b"\0")[:length])
        with pytest.raises(CheckpointError) as caught:
            read_llama2c(path)
        if length > 256:
            assert f"expected {len(data)} bytes" in str(caught.value)
            assert f"found {length}" in str(caught.value)


@settings(max_examples=300, deadline=2000)
@given(
    version=st.sampled_from([0, 1, 2]),
    at=st.integers(0, 260),
    number=st.one_of(st.integers(-(1 << 31), BIG), st.sampled_from([0, 1, -1, BIG, 32, 64])),
)
def test_any_number_in_the_header_may_be_wrong(tmp_path_factory, version, at, number):
    path = tmp_path_factory.getbasetemp() / f"mutated{version}.bin"
    write_llama2c(path, TINY, build_params(TINY, lambda name, shape: np.ones(shape, np.float32)), version)
    data = path.read_bytes()
    path.write_bytes(data[:at] + struct.pack("<i", number) + data[at + 4 :])
    with suppress(CheckpointError):
        read_llama2c(path)
