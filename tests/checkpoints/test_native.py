"""The project's own format: every bit comes back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from damage import check_damage, refused

from minillama.checkpoints.common.safetensors import SafetensorsFile
from minillama.checkpoints.huggingface.reading import is_huggingface
from minillama.checkpoints.meta.reading import is_meta
from minillama.checkpoints.native import is_native, read_native, write_native
from minillama.config import NAMED_CONFIGS, ModelConfig
from minillama.files.errors import CheckpointError
from minillama.params import init_params
from minillama.quantization.formats import FORMATS, GroupedArray, PackedArray, format_name, quantize
from minillama.trees import map_tree, named_leaves

CONFIG = ModelConfig(dim=256, n_layers=1, n_heads=4, n_kv_heads=2, hidden_dim=256, vocab_size=9, max_seq_len=64)


def bits(weight) -> list[bytes]:
    if isinstance(weight, PackedArray):
        return [weight.data.tobytes()]
    if isinstance(weight, GroupedArray):
        return [weight.values.tobytes(), weight.scales.tobytes()]
    return [weight.tobytes()]


def check_same(found, expected):
    for (name, a), (other, b) in zip(named_leaves(found), named_leaves(expected), strict=True):
        assert (name, type(a).__name__.replace("memmap", "ndarray")) == (other, type(b).__name__)
        assert format_name(a) == format_name(b)
        assert a.shape == b.shape
        assert bits(a) == bits(b)


def packed(rng, name):
    """Random parameters whose matrices are stored as `name`; of formats that cannot be made, random bytes."""

    def pack(array):
        if array.ndim == 1:
            return array
        if name.startswith("int8/"):
            values = rng.integers(-127, 128, array.shape).astype(np.int8)
            return GroupedArray(values, rng.normal(size=array.size // int(name[5:])).astype(np.float32))
        block = FORMATS[name]
        if block.quantize:
            return quantize(array, name)
        raw = rng.integers(0, 256, (len(array), block.row_bytes(array.shape[1]))).astype(np.uint8)
        return PackedArray(raw, block, array.shape[1])

    return map_tree(pack, init_params(CONFIG, rng))


@pytest.fixture
def folder(tmp_path, rng):
    write_native(tmp_path, CONFIG, packed(rng, "Q8_0"), metadata={"step": 3})
    return tmp_path


@pytest.mark.parametrize("name", [*FORMATS, "int8/64", "int8/32"])
def test_every_format_comes_back(tmp_path, rng, name):
    params = packed(rng, name)
    metadata = {"step": 7, "template": "[INST]", "nested": {"é": [1, 2.5, None]}}
    write_native(tmp_path, CONFIG, params, metadata=metadata)
    checkpoint = read_native(tmp_path)
    assert (checkpoint.config, checkpoint.metadata) == (CONFIG, metadata)
    check_same(checkpoint.params, params)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tied", [False, True])
def test_plain_arrays_come_back(tmp_path, rng, dtype, tied):
    config = replace(NAMED_CONFIGS["stories260K"], tied=tied)
    params = init_params(config, rng, dtype)
    write_native(tmp_path, config, params)
    checkpoint = read_native(tmp_path)
    assert checkpoint.config == config
    check_same(checkpoint.params, params)


def test_mixed_formats_come_back(tmp_path, rng):
    parts = [packed(rng, name) for name in ("Q4_K", "BF16", "int8/64")]
    params = parts[0]._replace(token_embedding=parts[1].token_embedding, output=parts[2].output)
    write_native(tmp_path, CONFIG, params)
    check_same(read_native(tmp_path).params, params)


def test_matrices_are_views(folder):
    for _, weight in named_leaves(read_native(folder).params):
        assert not isinstance(weight, PackedArray) or not weight.data.flags.owndata


def test_other_tools_read_the_floats(tmp_path, rng):
    params = init_params(CONFIG, rng)
    write_native(tmp_path, CONFIG, params)
    found = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert list(dict(named_leaves(params))) == sorted(found, key=list(dict(named_leaves(params))).index)
    np.testing.assert_array_equal(found["layers.0.w_up"], params.layers[0].w_up)


def test_a_checkpoint_can_replace_itself(tmp_path, rng):
    """The parameters that are written are views of the file that is replaced."""
    params = init_params(CONFIG, rng)
    write_native(tmp_path, CONFIG, params)
    write_native(tmp_path, CONFIG, read_native(tmp_path).params, metadata={"step": 1})
    checkpoint = read_native(tmp_path)
    assert checkpoint.metadata == {"step": 1}
    check_same(checkpoint.params, params)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["minillama.json", "model.safetensors"]


def test_which_format_a_folder_has(folder):
    assert (is_native(folder), is_huggingface(folder), is_meta(folder)) == (True, False, False)
    assert not is_native(folder / "nothing")


def change(folder, path, value):
    """Set `path` of minillama.json; `...` removes it."""
    found = json.loads((folder / "minillama.json").read_text())
    *parents, last = path
    target = found
    for key in parents:
        target = target[key]
    target[last] = value
    if value is ...:
        del target[last]
    (folder / "minillama.json").write_text(json.dumps(found))


REFUSED = [
    (["format"], "other", "format", "other"),
    (["format_version"], 2, "format_version", "expected 1", "2"),
    (["format_version"], True, "format_version", "integer"),
    (["config"], [], "config", "object"),
    (["config", "dim"], ..., "config.dim", "missing"),
    (["config", "dim"], 256.0, "config.dim", "integer"),
    (["config", "dim"], 128, "token_embedding", "[9, 128]"),
    (["config", "n_layers"], 4096, "n_layers", "4096"),
    (["config", "n_kv_heads"], 0, "config.n_kv_heads", "positive"),
    (["config", "n_kv_heads"], 3, "config", "n_kv_heads"),
    (["config", "head_dim"], 0, "config.head_dim", "positive"),
    (["config", "tied"], 0, "config.tied", "true or false"),
    (["config", "tied"], True, "output"),
    (["config", "window"], 4, "config.window", "unknown"),
    (["config", "rope_theta"], 0.5, "rope_theta"),
    (["tensors"], None, "tensors", "missing"),
    (["tensors", "final_norm"], ..., "final_norm", "missing"),
    (["tensors", "bias"], {"format": "F32", "shape": [1]}, "tensors.bias", "unknown"),
    (["tensors", "final_norm"], "F32", "tensors.final_norm", "object"),
    (["tensors", "final_norm", "shape"], [255], "tensors.final_norm.shape", "[256]"),
    (["tensors", "final_norm", "format"], "Q8_0", "final_norm", "vector"),
    (["tensors", "final_norm", "format"], "F64", "final_norm", "F64", "F32"),
    (["tensors", "output", "format"], "IQ2_XS", "output", "IQ2_XS"),
    (["tensors", "output", "format"], "Q4_0", "output", "(9, 144)", "(9, 272)"),
    (["tensors", "output", "format"], "BF16", "output", "BF16", "U8"),
    (["tensors", "output", "format"], 8, "tensors.output.format", "text"),
    (["tensors", "output", "format"], "int8/64", "output.scales", "missing"),
    (["metadata"], [], "metadata", "object"),
]


@pytest.mark.parametrize(("path", "value", "words"), [(p, v, w) for p, v, *w in REFUSED], ids=str)
def test_wrong_descriptions_are_refused(folder, path, value, words):
    change(folder, path, value)
    refused(lambda: read_native(folder), *words)


@pytest.mark.parametrize("group", ["0", "-64", "7", "", "x", "9" * 30, "128"])
def test_wrong_groups_are_refused(tmp_path, rng, group):
    write_native(tmp_path, CONFIG, packed(rng, "int8/64"))
    change(tmp_path, ["tensors", "output", "format"], f"int8/{group}")
    refused(lambda: read_native(tmp_path), "output")


def test_weights_of_another_model_are_refused(folder, rng, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    write_native(other, replace(CONFIG, tied=True), packed(rng, "Q8_0")._replace(output=None))
    (other / "model.safetensors").replace(folder / "model.safetensors")
    refused(lambda: read_native(folder), "model.safetensors", "output", "missing")
    safetensors.numpy.save_file({"x": np.ones(3)}, folder / "model.safetensors")
    refused(lambda: read_native(folder), "model.safetensors")
    assert SafetensorsFile(folder / "model.safetensors").tensors.keys() == {"x"}
    (folder / "model.safetensors").unlink()
    refused(lambda: read_native(folder), "model.safetensors", "cannot be read")


@pytest.mark.parametrize("name", ["minillama.json", "model.safetensors"])
@pytest.mark.parametrize("stored", ["Q8_0", "int8/64"])
def test_damaged_folder(tmp_path, rng, name, stored):
    write_native(tmp_path, CONFIG, packed(rng, stored))
    with np.errstate(all="ignore"):
        check_damage(lambda: read_native(tmp_path), tmp_path / name, rng, 60)


def test_what_cannot_be_written_is_refused(tmp_path, rng):
    params = init_params(CONFIG, rng)
    with pytest.raises(ValueError, match="final_norm: expected float32 or float64"):
        write_native(tmp_path, CONFIG, params._replace(final_norm=params.final_norm.astype(np.float16)))
    with pytest.raises(ValueError, match="output"):
        write_native(tmp_path, CONFIG, params._replace(output=None))
    with pytest.raises(ValueError, match="JSON"):
        write_native(tmp_path, CONFIG, params, metadata={"loss": float("nan")})
    assert not list(tmp_path.iterdir())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        write_native(tmp_path, CONFIG, params)
