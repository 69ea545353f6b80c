"""GGUF: what the `gguf` package wrote is read, and what is not a LLaMA 2 is refused."""

from __future__ import annotations

import struct
from dataclasses import replace

import gguf
import numpy as np
import pytest
from gguf_files import TINY, WIDE, llama_keys, write_reference
from random_blocks import SCALES_AT

from minillama.checkpoints.gguf.reading import read_gguf
from minillama.files.errors import CheckpointError
from minillama.files.gguf.container import read_gguf_header
from minillama.quantization.formats import PackedArray, format_name, to_float32
from minillama.trees import named_leaves

FORMATS = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", *SCALES_AT]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


@pytest.mark.parametrize("matrices", FORMATS)
def test_every_tensor_equals_the_gguf_packages(path, matrices):
    expected = write_reference(path, WIDE, matrices=matrices)
    checkpoint = read_gguf(path)
    found = dict(named_leaves(checkpoint.params))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert format_name(found[name]) == (matrices if array.ndim == 2 else "F32"), name
        np.testing.assert_array_equal(to_float32(found[name]), array, err_msg=name)


@pytest.mark.parametrize("matrices", ["F32", "Q8_0"])
def test_matrices_are_not_copied(path, matrices):
    write_reference(path, matrices=matrices)
    for name, weight in named_leaves(read_gguf(path).params):
        if len(weight.shape) == 2:
            data = weight.data if isinstance(weight, PackedArray) else weight
            assert isinstance(data, np.memmap), name


def test_the_configuration_is_read_whole(path):
    config = replace(TINY, rope_theta=50000.0, tied=False)
    write_reference(path, config)
    checkpoint = read_gguf(path)
    assert checkpoint.config == config  # norm_eps, a float32 in the file, is 1e-06 again
    assert checkpoint.format == "GGUF v3"
    assert checkpoint.path == path


def test_missing_keys_have_llama_cpps_defaults(path):
    """Heads of its own for every key head, RoPE base 10000."""
    missing = ("llama.attention.head_count_kv", "llama.rope.freq_base", "llama.rope.dimension_count")
    config = replace(TINY, n_kv_heads=4)
    write_reference(path, config, keys=dict.fromkeys(missing))
    assert read_gguf(path).config == config


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
@pytest.mark.parametrize("tied", [True, False])
def test_attention_kinds_and_heads(path, n_kv_heads, tied):
    config = replace(TINY, n_kv_heads=n_kv_heads, tied=tied)
    write_reference(path, config)
    checkpoint = read_gguf(path)
    assert checkpoint.config == config
    assert (checkpoint.params.output is None) == tied


def test_head_dim_by_key_length(path):
    config = replace(TINY, head_dim=16)
    write_reference(path, config, keys={"llama.attention.key_length": 16, "llama.attention.value_length": 16})
    assert read_gguf(path).config == config


NEUTRAL_KEYS = [
    {"llama.attention.head_count": [4, 4], "llama.attention.head_count_kv": [2, 2]},
    {"llama.feed_forward_length": [64, 64]},
    {"llama.vocab_size": 40},
    {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0},
    {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 1.0},
    {"llama.expert_count": 0, "llama.attention.causal": True, "general.quantization_version": 2},
    {"tokenizer.ggml.tokens": ["x"] * 40},
]


@pytest.mark.parametrize("keys", NEUTRAL_KEYS, ids=lambda keys: next(iter(keys)))
def test_keys_that_change_nothing_are_accepted(path, keys):
    write_reference(path, keys=keys)
    assert read_gguf(path).config == TINY


def test_frequency_factors_of_one_are_accepted(path):
    write_reference(path, tensors={"rope_freqs.weight": np.ones(4, np.float32)})
    assert read_gguf(path).config == TINY


def test_version_2_has_the_same_layout(path):
    write_reference(path)
    data = path.read_bytes()
    path.write_bytes(data[:4] + struct.pack("<I", 2) + data[8:])
    assert read_gguf(path).format == "GGUF v2"


REFUSED_KEYS = [
    (
        {"llama.rope.scaling.type": "longrope"},
        "rope.scaling.type: expected 'none', 'linear' or 'yarn', found 'longrope'",
    ),
    (
        {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": -2.0},
        "factor: factor .* positive number.*, got -2",
    ),
    (
        {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.yarn_beta_fast": 64.0},
        "beta_fast: expected 32, found 64",
    ),
    ({"llama.rope.scaling.finetuned_on": 1}, "rope.scaling.finetuned_on: is not a key of a llama model"),
    ({"llama.rope.scaling.attn_factor": 2.0}, "attn_factor: expected 1, found 2.0"),
    ({"llama.rope.dimension_count": 4}, "rope.dimension_count: expected 8, the width of a head, found 4"),
    ({"llama.rope.dimension_sections": [2, 2]}, "dimension_sections: is not a key of a llama model"),
    ({"llama.attention.value_length": 4}, "attention.value_length: expected 8, the width of a head, found 4"),
    ({"llama.expert_count": 8}, "llama.expert_count: expected 0, found 8"),
    ({"llama.attention.sliding_window": 4}, "sliding_window: expected 0, found 4"),
    ({"llama.logit_scale": 8.0}, "logit_scale: expected 0 or 1, found 8.0"),
    ({"llama.attention.head_count": [4, 2]}, "attention.head_count: expected the same value in every layer"),
    ({"llama.attention.head_count_kv": [2, 1]}, "attention.head_count_kv: expected the same value in every layer"),
    ({"llama.feed_forward_length": [64, 32]}, "feed_forward_length: expected the same .* from 32 to 64"),
    ({"llama.feed_forward_length": [64] * 3}, "feed_forward_length: expected 2 positive integers, found 3"),
    ({"llama.attention.head_count_kv": 0}, "head_count_kv: expected a positive integer, found 0"),
    ({"llama.attention.head_count": 5}, "embedding_length: 32 is not a multiple of llama.attention.head_count 5"),
    ({"llama.attention.head_count_kv": 3}, "n_heads 4 is not a multiple of n_kv_heads 3"),
    ({"llama.block_count": 3}, "llama.block_count: 3 layers have 27 tensors, the file has 20"),
    ({"llama.block_count": 4_000_000_000}, "llama.block_count: 4000000000 layers"),
    ({"llama.block_count": 1}, r"tensors: not part of such a model: blk.1.attn_k.weight, .* and 1 more"),
    ({"llama.embedding_length": "32"}, "embedding_length: expected a positive integer, found '32'"),
    (
        {"llama.embedding_length": 64, "llama.rope.dimension_count": 16},
        r"token_embd.weight: expected shape \(40, 64\).* found \(40, 32\)",
    ),
    ({"llama.vocab_size": 41}, "llama.vocab_size: expected 40, the rows of token_embd.weight, found 41"),
    ({"tokenizer.ggml.tokens": ["x"] * 39}, "tokenizer.ggml.tokens: expected 40 tokens.* found 39"),
    ({"llama.attention.layer_norm_rms_epsilon": "1"}, "layer_norm_rms_epsilon: expected a number, found '1'"),
    ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "norm_eps must be in"),
    ({"general.quantization_version": 1}, "quantization_version: expected 2, found 1"),
    ({"split.count": 3}, "split.no: expected an integer of 0 or more, found nothing"),
    *(
        ({key: None}, f"{key}: expected a .*found nothing")
        for key in llama_keys(TINY)
        if key.rsplit(".")[-1] not in ("head_count_kv", "dimension_count", "freq_base")
    ),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED_KEYS, ids=lambda case: str(case)[:60])
def test_keys_of_other_models_are_refused(path, keys, message):
    write_reference(path, keys=keys)
    with pytest.raises(CheckpointError, match=message):
        read_gguf(path)


REFUSED_TENSORS = [
    ({"blk.0.attn_qkv.bias": np.zeros(32, np.float32)}, "not part of such a model: blk.0.attn_qkv.bias"),
    ({"output.bias": np.zeros(40, np.float32)}, "not part of such a model: output.bias"),
    ({"rope_freqs.weight": np.full(4, -2, np.float32)}, "rope_freqs.weight: factors.* must be a positive number"),
    ({"rope_freqs.weight": np.ones(8, np.float32)}, r"rope_freqs.weight: expected shape \(4,\).*\(8,\)"),
    ({"blk.1.ffn_up.weight": None, "x": np.ones(1, np.float32)}, "blk.1.ffn_up.weight: is missing"),
    ({"token_embd.weight": np.ones(32, np.float32)}, "token_embd.weight: expected a matrix"),
    ({"blk.0.ffn_down.weight": np.ones((64, 32), np.float32)}, r"ffn_down.weight: expected shape \(32, 64\)"),
    ({"blk.0.ffn_down.weight": np.ones((32, 64), np.int32)}, "ffn_down.weight: is stored as I32"),
]


@pytest.mark.parametrize(("tensors", "message"), REFUSED_TENSORS, ids=lambda case: str(case)[:40])
def test_tensors_of_other_models_are_refused(path, tensors, message):
    write_reference(path, tensors=tensors)
    with pytest.raises(CheckpointError, match=message):
        read_gguf(path)


def test_a_bias_alone_is_read_as_llama_cpp_does(path):
    """Each is optional by itself; those that are not there are zeros."""
    write_reference(path, tensors={"blk.0.attn_q.bias": np.full(32, 2, np.float32)})
    found = read_gguf(path)
    assert found.config.qkv_bias
    first, second = found.params.extras
    assert np.all(first.bq == 2)
    for zeros, n in ((first.bk, 16), (first.bv, 16), (second.bq, 32)):
        np.testing.assert_array_equal(zeros, np.zeros(n, np.float32))


def test_other_architectures_are_refused(path):
    write_reference(path, architecture="gemma")
    with pytest.raises(CheckpointError, match=r"general.architecture: expected one of 'llama', .* found 'gemma'"):
        read_gguf(path)


METADATA = {
    "t.uint8": (200, gguf.GGUFValueType.UINT8),
    "t.int8": (-100, gguf.GGUFValueType.INT8),
    "t.uint16": (60000, gguf.GGUFValueType.UINT16),
    "t.int16": (-30000, gguf.GGUFValueType.INT16),
    "t.uint32": (1 << 31, gguf.GGUFValueType.UINT32),
    "t.int32": (-(1 << 31), gguf.GGUFValueType.INT32),
    "t.uint64": ((1 << 64) - 1, gguf.GGUFValueType.UINT64),
    "t.int64": (-(1 << 63), gguf.GGUFValueType.INT64),
    "t.float32": (0.5, gguf.GGUFValueType.FLOAT32),
    "t.float64": (0.1, gguf.GGUFValueType.FLOAT64),
    "t.bool": (True, gguf.GGUFValueType.BOOL),
    "t.string": ("▁größe\n\0", gguf.GGUFValueType.STRING),
}


def test_values_of_every_type(path):
    writer = gguf.GGUFWriter(path, "llama")
    for key, (value, kind) in METADATA.items():
        writer.add_key_value(key, value, kind)
        writer.add_key_value(f"{key}[]", [value] * 3, gguf.GGUFValueType.ARRAY, sub_type=kind)
    writer.add_array("t.nested", [[1, 2], [3]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    metadata = read_gguf_header(path).metadata
    for key, (value, _) in METADATA.items():
        assert metadata[key] == value
        assert type(metadata[key]) is type(value)
        assert list(metadata[f"{key}[]"]) == [value] * 3
        assert isinstance(metadata[f"{key}[]"], list if isinstance(value, str) else np.ndarray)
    assert [list(inner) for inner in metadata["t.nested"]] == [[1, 2], [3]]


def test_a_vocabulary_without_a_model_has_a_header(path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_gguf_header(path)
    assert header.metadata["tokenizer.ggml.tokens"] == ["a", "b"]
    assert not header.tensors
    with pytest.raises(CheckpointError, match=r"llama\.block_count"):
        read_gguf(path)
