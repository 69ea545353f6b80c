"""Writing GGUF: the `gguf` package reads the same, and so do we."""

from __future__ import annotations

from dataclasses import replace

import gguf
import numpy as np
import pytest
from gguf_files import TINY, WIDE, file_name_of, write_reference
from random_blocks import SCALES_AT

from minillama.checkpoints.gguf import read_gguf, read_gguf_header, write_gguf
from minillama.checkpoints.llama2c import read_llama2c
from minillama.params import build_params, init_params
from minillama.quantization.formats import GroupedArray, format_name, head_format, quantize, to_float32
from minillama.trees import map_tree, named_leaves

WRITABLE = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]
STORED = [*WRITABLE, *SCALES_AT]
TOKENIZER = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": [f"▁{i}" for i in range(40)],
    "tokenizer.ggml.scores": [-i for i in range(40)],
    "tokenizer.ggml.token_type": [1] * 40,
    "tokenizer.ggml.merges": [],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.ggml.unused_id": -1,
    "tokenizer.chat_template": "{{ größe }}",
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


@pytest.fixture
def params(rng):
    return init_params(TINY, rng)


@pytest.mark.parametrize("to", [None, *WRITABLE])
def test_the_gguf_package_reads_every_tensor(path, params, to):
    """Quantised by gguf-py itself, each matrix would have the same bytes."""
    write_gguf(path, TINY, params, to=to)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    expected = {file_name_of(name): (array, head_format(name, to)) for name, array in named_leaves(params)}
    assert list(tensors) == list(expected)
    for name, (array, format) in expected.items():
        kind = gguf.GGMLQuantizationType[format if format and array.ndim == 2 else "F32"]
        assert tensors[name].tensor_type == kind
        assert tuple(tensors[name].shape) == array.shape[::-1]
        data = np.asarray(tensors[name].data).view(np.uint8).ravel()
        np.testing.assert_array_equal(data, gguf.quants.quantize(array, kind).view(np.uint8).ravel(), err_msg=name)


def test_the_gguf_package_reads_every_key(path, params):
    write_gguf(path, TINY, params, name="Tiny", tokenizer_metadata=TOKENIZER, to="Q4_0")
    fields = gguf.GGUFReader(path).fields
    value = lambda key: fields[key].contents()
    assert value("general.architecture") == "llama"
    assert value("general.name") == "Tiny"
    assert value("general.file_type") == gguf.LlamaFileType.MOSTLY_Q4_0
    assert value("general.quantization_version") == gguf.GGML_QUANT_VERSION
    assert value("llama.context_length") == 16
    assert value("llama.embedding_length") == 32
    assert value("llama.block_count") == 2
    assert value("llama.feed_forward_length") == 64
    assert value("llama.attention.head_count") == 4
    assert value("llama.attention.head_count_kv") == 2
    assert {value(f"llama.{key}") for key in ("attention.key_length", "attention.value_length")} == {8}
    assert value("llama.rope.dimension_count") == 8
    assert value("llama.rope.freq_base") == 10000.0
    assert value("llama.attention.layer_norm_rms_epsilon") == np.float32(1e-6)
    assert value("llama.vocab_size") == 40
    for key, expected in TOKENIZER.items():
        assert value(key) == expected, key


def test_token_arrays_have_the_types_that_llama_cpp_wants(path, params):
    write_gguf(path, TINY, params, tokenizer_metadata=TOKENIZER)
    fields = gguf.GGUFReader(path).fields
    kinds = gguf.GGUFValueType
    assert fields["tokenizer.ggml.scores"].types == [kinds.ARRAY, kinds.FLOAT32]
    assert fields["tokenizer.ggml.token_type"].types == [kinds.ARRAY, kinds.INT32]
    assert fields["tokenizer.ggml.tokens"].types == [kinds.ARRAY, kinds.STRING]
    assert fields["tokenizer.ggml.bos_token_id"].types == [kinds.UINT32]
    assert fields["tokenizer.ggml.unused_id"].types == [kinds.INT32]
    assert fields["tokenizer.ggml.add_bos_token"].types == [kinds.BOOL]
    assert read_gguf_header(path).metadata["tokenizer.ggml.merges"] == []


@pytest.mark.parametrize("stored", STORED)
def test_packed_matrices_are_copied_bit_by_bit(tmp_path, stored):
    config = replace(WIDE, tied=False)
    write_reference(tmp_path / "a.gguf", config, matrices=stored)
    first = read_gguf(tmp_path / "a.gguf")
    write_gguf(tmp_path / "b.gguf", first.config, first.params)
    second = read_gguf(tmp_path / "b.gguf")
    assert second.config == config
    for (name, a), (_, b) in zip(named_leaves(first.params), named_leaves(second.params), strict=True):
        assert format_name(a) == format_name(b), name
        np.testing.assert_array_equal(getattr(a, "data", a), getattr(b, "data", b), err_msg=name)


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
@pytest.mark.parametrize("head_dim", [8, 12])
@pytest.mark.parametrize("tied", [True, False])
def test_round_trip(path, rng, n_kv_heads, head_dim, tied):
    config = replace(TINY, n_kv_heads=n_kv_heads, head_dim=head_dim, tied=tied, rope_theta=130000.0)
    params = init_params(config, rng)
    write_gguf(path, config, params)
    checkpoint = read_gguf(path)
    assert checkpoint.config == config
    for (name, a), (_, b) in zip(named_leaves(params), named_leaves(checkpoint.params), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_metadata_round_trip(path, tmp_path, params):
    write_gguf(path, TINY, params, tokenizer_metadata=TOKENIZER)
    kept = {key: value for key, value in read_gguf(path).metadata.items() if key.startswith("tokenizer.")}
    write_gguf(tmp_path / "again.gguf", TINY, params, tokenizer_metadata=kept)
    assert (tmp_path / "again.gguf").read_bytes() == path.read_bytes()


def test_a_matrix_may_change_its_format(path, params):
    packed = map_tree(lambda array: quantize(array, "Q8_0") if array.ndim == 2 else array, params)
    write_gguf(path, TINY, packed, to="Q4_1")
    for (name, a), (_, b) in zip(named_leaves(packed), named_leaves(read_gguf(path).params), strict=True):
        if len(a.shape) == 2:
            np.testing.assert_array_equal(
                b.data, quantize(a.to_float32(), head_format(name, "Q4_1")).data, err_msg=name
            )


def test_rows_that_do_not_divide_become_float16(path, rng):
    config = replace(TINY, hidden_dim=48)
    write_gguf(path, config, init_params(config, rng), to="Q4_0")
    tensors = read_gguf_header(path).tensors
    assert tensors["blk.0.ffn_down.weight"].type_name == "F16"
    assert tensors["blk.0.ffn_up.weight"].type_name == "Q4_0"
    assert read_gguf(path).metadata["general.file_type"] == 2


def test_int8_and_float64_become_float32(path, rng):
    def odd(name, shape):
        if len(shape) == 1:
            return rng.normal(size=shape)
        if name.endswith("wq"):
            return GroupedArray(rng.integers(-127, 128, shape, np.int8), rng.random(shape[0], np.float32))
        return rng.normal(size=shape)

    params = build_params(TINY, odd)
    write_gguf(path, TINY, params)
    for (name, a), (_, b) in zip(named_leaves(params), named_leaves(read_gguf(path).params), strict=True):
        assert b.dtype == np.float32
        np.testing.assert_array_equal(to_float32(a).astype(np.float32), b, err_msg=name)


def test_without_a_tokenizer_the_file_says_so(path, params):
    write_gguf(path, TINY, params)
    assert read_gguf(path).metadata["tokenizer.ggml.model"] == "no_vocab"


def test_large_matrices_are_written_in_parts(path, rng):
    """More rows than one part holds, and the last part smaller."""
    config = replace(TINY, vocab_size=140_000)
    params = init_params(config, rng)
    write_gguf(path, config, params, to="Q8_0")
    expected = quantize(params.token_embedding, "Q8_0").data
    np.testing.assert_array_equal(read_gguf(path).params.token_embedding.data, expected)


BAD_METADATA = [
    ({"llama.block_count": 3}, "only keys that begin with 'tokenizer.', got 'llama.block_count'"),
    ({"tokenizer.ggml.tokens": ["a"]}, "tokens must have vocab_size = 40 tokens, got 1"),
    ({"tokenizer.x": None}, "tokenizer.x: GGUF has no type for None"),
    ({"tokenizer.x": 1 << 64}, "tokenizer.x: GGUF has no type for 18446744073709551616"),
    ({"tokenizer.x": [[1]]}, r"tokenizer.x: GGUF has no type for an array of int32 and shape \(1, 1\)"),
]


@pytest.mark.parametrize(("metadata", "message"), BAD_METADATA, ids=lambda case: str(case)[:40])
def test_unusable_metadata(path, params, metadata, message):
    with pytest.raises(ValueError, match=message):
        write_gguf(path, TINY, params, tokenizer_metadata=metadata)


@pytest.mark.parametrize("to", ["Q4_K", "Q9", "f16"])
def test_unknown_target(path, params, to):
    with pytest.raises(ValueError, match=f"cannot write matrices as '{to}'; known: F32, F16"):
        write_gguf(path, TINY, params, to=to)


def test_parameters_of_another_shape(path, params):
    with pytest.raises(ValueError, match=r"token_embedding must have shape \(41, 32\)"):
        write_gguf(path, replace(TINY, vocab_size=41), params)
    with pytest.raises(ValueError, match="does not have: output"):
        write_gguf(path, TINY, params._replace(output=params.token_embedding))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 70000.0])
def test_a_failure_leaves_the_old_file(path, params, bad):
    path.write_bytes(b"old")
    params.layers[1].w_down[3, 4] = bad
    with pytest.raises(ValueError, match=r"blk.1.ffn_down.weight has values that Q8_0 cannot hold"):
        write_gguf(path, TINY, params, to="Q8_0")
    assert path.read_bytes() == b"old"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_stories260k_survives(shared_data, path):
    model = read_llama2c(shared_data / "stories260K" / "stories260K.bin")
    write_gguf(path, model.config, model.params)
    again = read_gguf(path)
    assert again.config == model.config
    for (name, a), (_, b) in zip(named_leaves(model.params), named_leaves(again.params), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
