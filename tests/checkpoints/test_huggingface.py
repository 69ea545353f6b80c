"""Hugging Face folders: transformers writes what is read here, and reads what is written here."""

from __future__ import annotations

import json
import os
from contextlib import suppress

import numpy as np
import pytest
import torch
from damage import check_damage, refused, within_bounds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from minillama.checkpoints.huggingface.configuration import parse_config
from minillama.checkpoints.huggingface.names import huggingface_name
from minillama.checkpoints.huggingface.reading import is_huggingface, read_huggingface
from minillama.checkpoints.huggingface.writing import write_huggingface
from minillama.config import ModelConfig
from minillama.files.errors import CheckpointError
from minillama.params import init_params
from minillama.quantization.formats import GroupedArray, PackedArray, quantize, to_float32
from minillama.trees import map_tree, named_leaves

HEADS = {"MHA": 4, "GQA": 2, "MQA": 1}
SMALL = ModelConfig(dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=48, vocab_size=64, max_seq_len=128)


def tiny_model(n_kv_heads=2, tied=False, dtype=torch.float32, **others):
    """A random Llama of transformers, with norms that are not all ones."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=n_kv_heads,
        vocab_size=64,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        **others,
    )
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model.to(dtype).eval()


def logits_of(model):
    with torch.no_grad():
        return model(torch.arange(12)[None] * 5 % 64).logits


def edit(folder, name="config.json", **changes):
    """Change keys of a JSON file; `...` removes one."""
    found = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps({key: value for key, value in found.items() if value is not ...}))


@pytest.fixture
def folder(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    return tmp_path


# --- reading ---------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("shard_size", ["5GB", "20KB"])
def test_reads_transformers(tmp_path, kind, tied, shard_size):
    model = tiny_model(HEADS[kind], tied)
    model.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (tmp_path / "model.safetensors").exists() == (shard_size == "5GB")
    assert is_huggingface(tmp_path)

    checkpoint = read_huggingface(tmp_path)

    config = checkpoint.config
    assert (config.attention_kind, config.tied, config.norm_eps) == (kind, tied, 1e-6)
    assert checkpoint.metadata["model_type"] == "llama"
    state = model.state_dict()
    for name, array in named_leaves(checkpoint.params):
        expected = state[huggingface_name(name)].numpy()
        if name.endswith((".wq", ".wk")):
            half = config.head_dim // 2
            for head in range(len(expected) // config.head_dim):
                for b in range(2):
                    for i in range(half):
                        start = head * config.head_dim
                        np.testing.assert_array_equal(array[start + 2 * i + b], expected[start + b * half + i])
        else:
            np.testing.assert_array_equal(array, expected)
            assert array.ndim == 1 or not array.flags.owndata  # a view of the file


@pytest.mark.parametrize(("dtype", "name"), [(torch.bfloat16, "BF16"), (torch.float16, "F16")])
def test_16_bits_stay_packed(tmp_path, dtype, name):
    model = tiny_model(dtype=dtype)
    model.save_pretrained(tmp_path)
    reference = dict(named_leaves(read_huggingface_of(model.float(), tmp_path / "float").params))
    for key, weight in named_leaves(read_huggingface(tmp_path).params):
        assert isinstance(weight, PackedArray) == (weight.shape != (32,))
        if isinstance(weight, PackedArray):
            assert weight.format_name == name
        np.testing.assert_array_equal(to_float32(weight), reference[key])


def read_huggingface_of(model, folder):
    model.save_pretrained(folder)
    return read_huggingface(folder)


def test_tied_head_that_is_stored_all_the_same(tmp_path):
    tiny_model(tied=True).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(tensors, tmp_path / "model.safetensors")
    assert read_huggingface(tmp_path).params.output is None

    tensors["lm_head.weight"][3, 5] += 1
    save_file(tensors, tmp_path / "model.safetensors")
    refused(lambda: read_huggingface(tmp_path), "tie_word_embeddings", "lm_head.weight differs")


def test_transformers_4_config(folder):
    """Keys as transformers 4 writes them; absent ones have its defaults, which are not LLaMA 2's."""
    edit(
        folder,
        dtype=...,
        torch_dtype="float32",
        rope_parameters=...,
        rope_theta=50000.0,
        rope_scaling=None,
        rms_norm_eps=...,
        max_position_embeddings=...,
        head_dim=...,
        tie_word_embeddings=...,
        attention_bias=...,
        mlp_bias=...,
    )
    config = read_huggingface(folder).config
    assert (config.rope_theta, config.norm_eps, config.max_seq_len) == (50000.0, 1e-6, 2048)
    assert (config.head_dim, config.tied) == (8, False)
    assert LlamaConfig.from_pretrained(folder).rope_parameters["rope_theta"] == 50000.0


def test_absent_kv_heads_are_all_heads(tmp_path):
    tiny_model(4).save_pretrained(tmp_path)
    edit(tmp_path, num_key_value_heads=None, rope_parameters=...)
    config = read_huggingface(tmp_path).config
    assert (config.n_kv_heads, config.rope_theta) == (4, 10000.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_scaling": {"type": "linear", "factor": 1.0}},
        {"rope_scaling": {"rope_type": "default"}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}},
        {"rope_theta": 10000, "partial_rotary_factor": 1},
        {"architectures": None},
        {"pretraining_tp": 2},
        {"quantization_config": None},
    ],
    ids=str,
)
def test_what_changes_nothing_is_accepted(folder, changes):
    edit(folder, **changes)
    assert read_huggingface(folder).config.rope_theta == 10000.0


REFUSED = [
    ({"model_type": "mixtral"}, "model_type", "llama", "mistral"),
    ({"model_type": ...}, "model_type", "missing"),
    ({"architectures": ["LlamaForSequenceClassification"]}, "architectures", "LlamaForSequenceClassification"),
    ({"architectures": "LlamaForCausalLM"}, "architectures"),
    ({"attention_bias": True}, "q_proj.bias", "missing"),
    ({"mlp_bias": True}, "gate_proj.bias", "missing"),
    ({"mlp_bias": 0}, "mlp_bias"),
    ({"hidden_act": "gelu"}, "hidden_act", "silu", "gelu"),
    ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ({"rope_scaling": {"type": "linear", "factor": -2.0}}, "rope_scaling.rope_type", "-2.0"),
    ({"rope_scaling": {"type": "su", "factor": 1.0}}, "rope_scaling.rope_type", "su"),
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling.low_freq_factor", "missing"),
    ({"rope_scaling": "linear"}, "rope_scaling", "object"),
    ({"rope_parameters": {"rope_type": "longrope", "factor": 4.0}}, "rope_parameters.rope_type", "longrope"),
    ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor", "0.5"),
    ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "rope_parameters.rope_type"),
    ({"partial_rotary_factor": 0.25}, "partial_rotary_factor", "0.25"),
    ({"rope_theta": 500000.0}, "rope_theta", "10000.0", "500000.0"),
    ({"rope_parameters": {"rope_theta": "1e4"}}, "rope_parameters.rope_theta", "number"),
    ({"hidden_size": ...}, "hidden_size", "missing"),
    ({"hidden_size": 32.0}, "hidden_size", "integer", "32.0"),
    ({"hidden_size": True}, "hidden_size", "integer", "true"),
    ({"hidden_size": "32"}, "hidden_size", "integer"),
    ({"hidden_size": 10**30}, "hidden_size", "integer"),
    ({"hidden_size": -32}, "hidden_size"),
    ({"hidden_size": 64}, "model.embed_tokens.weight", "(64, 64)", "(64, 32)"),
    ({"num_hidden_layers": 4000}, "n_layers", "4000", "21"),
    ({"num_hidden_layers": 2**31}, "n_layers"),
    ({"num_hidden_layers": 1}, "model.layers.1", "unknown"),
    ({"num_attention_heads": 0}, "num_attention_heads"),
    ({"num_attention_heads": 8}, "model.layers.0.self_attn.q_proj.weight", "(64, 32)", "(32, 32)"),
    ({"num_key_value_heads": 0}, "num_key_value_heads"),
    ({"num_key_value_heads": 3}, "n_kv_heads"),
    ({"num_key_value_heads": 4}, "self_attn.k_proj.weight", "(32, 32)", "(16, 32)"),
    ({"head_dim": 0}, "head_dim"),
    ({"head_dim": 7}, "head_dim"),
    ({"intermediate_size": 50}, "mlp.gate_proj.weight", "(50, 32)", "(48, 32)"),
    ({"vocab_size": 65}, "model.embed_tokens.weight", "(65, 32)"),
    ({"rms_norm_eps": "1e-5"}, "rms_norm_eps", "number"),
    ({"rms_norm_eps": 10**400}, "rms_norm_eps", "number"),
    ({"rms_norm_eps": -1.0}, "norm_eps"),
    ({"max_position_embeddings": 1 << 40}, "max_seq_len"),
    ({"tie_word_embeddings": True}, "tie_word_embeddings", "lm_head.weight differs"),
    ({"tie_word_embeddings": 1}, "tie_word_embeddings", "true or false"),
]


@pytest.mark.parametrize(("changes", "words"), [(c, w) for c, *w in REFUSED], ids=[str(c) for c, *_ in REFUSED])
def test_what_would_compute_something_else_is_refused(folder, changes, words):
    edit(folder, **changes)
    refused(lambda: read_huggingface(folder), *words)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[]", "object"),
        ("", "JSON"),
        ('{"model_type": "llama", "model_type": "llama"}', "twice"),
        ('{"rms_norm_eps": NaN}', "NaN"),
        ('{"a":' * 100_000, "nested"),
        ('{"a": "' + "x" * 5_000_000 + '"}', "at most"),
        ('{"model_type": "\\ud800"}', "model_type"),
    ],
    ids=["list", "empty", "twice", "NaN", "deep", "large", "surrogate"],
)
def test_malformed_config_is_refused(folder, text, word):
    (folder / "config.json").write_text(text)
    with within_bounds(len(text)):
        refused(lambda: read_huggingface(folder), "config.json", word)


def with_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("model.norm.weight"), ["model.norm.weight", "missing"]),
        (lambda t: t.pop("lm_head.weight"), ["tie_word_embeddings", "lm_head.weight"]),
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), ["model.layers.1.mlp.up_proj.weight", "missing"]),
        (
            lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}),
            ["model.layers.0.self_attn.q_proj.bias", "unknown"],
        ),
        (lambda t: t.update({"model.norm.weight": torch.ones(31)}), ["model.norm.weight", "(32,)", "(31,)"]),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(32, dtype=torch.int32)}),
            ["model.norm.weight", "I32", "not supported"],
        ),
        (
            lambda t: t.update({"lm_head.weight": t["lm_head.weight"].to(torch.float8_e4m3fn)}),
            ["lm_head.weight", "F8_E4M3"],
        ),
    ],
    ids=["norm", "head", "up", "bias", "shape", "integers", "float8"],
)
def test_wrong_tensors_are_refused(folder, change, words):
    with_tensors(folder, change)
    refused(lambda: read_huggingface(folder), *words)


def test_a_folder_without_weights_says_what_to_do(folder):
    os.rename(folder / "model.safetensors", folder / "pytorch_model.bin")
    refused(lambda: read_huggingface(folder), "pytorch_model.bin", "zip archive", "found a safetensors file")
    (folder / "pytorch_model.bin").unlink()
    refused(lambda: read_huggingface(folder), "model.safetensors", "neither")
    (folder / "config.json").unlink()
    refused(lambda: read_huggingface(folder), "config.json")
    assert not is_huggingface(folder)


# --- shards ----------------------------------------------------------------------------


@pytest.fixture
def sharded(tmp_path):
    tiny_model().save_pretrained(tmp_path, max_shard_size="20KB")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        *("../model.safetensors", "/etc/model.safetensors", "sub/model.safetensors", "sub\\model.safetensors"),
        *("..", "", "a\0.safetensors", "C:model.safetensors", "model.bin", ["model.safetensors"], 5, None),
    ],
)
def test_a_shard_outside_the_folder_is_refused(sharded, name):
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    index["weight_map"]["model.norm.weight"] = name
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(lambda: read_huggingface(sharded), "weight_map", "model.norm.weight", "same folder")


def test_a_shard_with_a_name_too_long_for_the_disk_is_refused(sharded):
    path = sharded / "model.safetensors.index.json"
    names = json.loads(path.read_text())["weight_map"]
    edit(sharded, path.name, weight_map=dict.fromkeys(names, "x" * 300 + ".safetensors"))
    refused(lambda: read_huggingface(sharded), "xxx.safetensors", "is missing")


def test_wrong_shards_are_refused(sharded):
    path = sharded / "model.safetensors.index.json"
    original = path.read_text()
    weight_map = json.loads(original)["weight_map"]
    other = next(file for file in weight_map.values() if file != weight_map["model.norm.weight"])

    edit(sharded, path.name, weight_map=weight_map | {"model.norm.weight": other})
    refused(lambda: read_huggingface(sharded), "model.norm.weight")
    edit(sharded, path.name, weight_map=weight_map | {"model.norm.bias": other})
    refused(lambda: read_huggingface(sharded), "model.norm.bias", other, "missing")
    edit(sharded, path.name, weight_map={k: v for k, v in weight_map.items() if k != "model.norm.weight"})
    refused(lambda: read_huggingface(sharded), "model.norm.weight", "does not say so")
    edit(sharded, path.name, weight_map=...)
    refused(lambda: read_huggingface(sharded), "weight_map", "missing")
    path.write_text(original)
    (sharded / other).unlink()
    refused(lambda: read_huggingface(sharded), other, "is missing")


# --- damage ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_damaged_folder(folder, rng, name):
    check_damage(lambda: read_huggingface(folder), folder / name, rng)


def test_damaged_index(sharded, rng):
    check_damage(lambda: read_huggingface(sharded), sharded / "model.safetensors.index.json", rng)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["rope_type", "factor"]), inner),
    max_leaves=3,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_of_any_key(tmp_path, data):
    """A configuration that transformers' defaults make whole, or a CheckpointError."""
    description = LlamaConfig().to_dict()
    key = data.draw(st.sampled_from(sorted(description)))
    description[key] = data.draw(VALUES)
    with suppress(CheckpointError):
        assert isinstance(parse_config(description, tmp_path), ModelConfig)


# --- writing ---------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("kind", HEADS)
def test_transformers_reads_ours(tmp_path, kind, tied):
    """Every tensor and every logit are those of the source model."""
    model = tiny_model(HEADS[kind], tied, rope_parameters={"rope_type": "default", "rope_theta": 12345.0})
    source = read_huggingface_of(model, tmp_path / "source")
    write_huggingface(tmp_path / "ours", source.config, source.params, bos_token_id=0, eos_token_id=[2, 3])

    found = LlamaForCausalLM.from_pretrained(tmp_path / "ours").eval()

    expected = model.state_dict()
    assert found.state_dict().keys() == expected.keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert torch.equal(logits_of(found), logits_of(model))
    assert found.config.rope_parameters["rope_theta"] == 12345.0
    assert (found.config.bos_token_id, found.config.eos_token_id) == (0, [2, 3])
    assert read_huggingface(tmp_path / "ours").config == source.config


def test_written_config_has_the_keys_of_both_transformers(tmp_path, rng):
    write_huggingface(tmp_path, SMALL, init_params(SMALL, rng))
    found = json.loads((tmp_path / "config.json").read_text())
    assert found["rope_theta"] == found["rope_parameters"]["rope_theta"] == 10000.0
    assert found["torch_dtype"] == found["dtype"] == "float32"
    assert found["bos_token_id"] is None
    assert read_huggingface(tmp_path).config == SMALL


@pytest.mark.parametrize(("dtype", "name"), [(torch.bfloat16, "BF16"), (torch.float16, "F16")])
@pytest.mark.parametrize("asked", [True, False])
def test_16_bits_as_stored_and_as_asked(tmp_path, dtype, name, asked):
    """As asked: every tensor. As stored: the matrices; norms are float32 in memory."""
    model = tiny_model(dtype=dtype)
    read = read_huggingface_of(model, tmp_path / "source")
    write_huggingface(tmp_path / "ours", read.config, read.params, dtype=name if asked else None)
    expected = model.state_dict()
    for key, tensor in load_file(tmp_path / "ours" / "model.safetensors").items():
        assert tensor.dtype == (dtype if asked or tensor.ndim == 2 else torch.float32)
        assert torch.equal(tensor, expected[key].to(tensor.dtype))
    ours, source = (LlamaForCausalLM.from_pretrained(tmp_path / name).eval() for name in ("ours", "source"))
    assert ours.dtype == source.dtype == dtype
    assert torch.equal(logits_of(ours), logits_of(source))


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
def test_rounds_as_pytorch(tmp_path, rng, dtype):
    params = init_params(SMALL, rng)
    write_huggingface(tmp_path, SMALL, params, dtype=dtype)
    reference = read_huggingface_of(
        LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32), tmp_path / "reference"
    )
    torch_dtype = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}[dtype]
    for (_, found), (name, array) in zip(named_leaves(reference.params), named_leaves(params)):
        expected = torch.tensor(array).to(torch_dtype).float().numpy()
        np.testing.assert_array_equal(to_float32(found), expected, err_msg=name)


def test_quantised_weights_are_written_as_numbers(tmp_path, rng):
    def pack(array):
        if array.ndim == 1:
            return array
        if array.shape == (64, 32):
            scales = rng.uniform(0.01, 0.02, array.size // 64).astype(np.float32)
            return GroupedArray(rng.integers(-127, 128, array.shape).astype(np.int8), scales)
        return quantize(array, "Q8_0") if array.shape[1] % 32 == 0 else array

    params = map_tree(pack, init_params(SMALL, rng))
    write_huggingface(tmp_path, SMALL, params)
    for (name, found), (_, weight) in zip(named_leaves(read_huggingface(tmp_path).params), named_leaves(params)):
        np.testing.assert_array_equal(found, to_float32(weight), err_msg=name)


def test_what_cannot_be_written_is_refused(tmp_path, rng):
    params = init_params(SMALL, rng)
    params.layers[1].w_up[3, 4] = 1e6
    with pytest.raises(ValueError, match=r"layers.1.w_up: 1000000.0 is too large for F16"):
        write_huggingface(tmp_path / "a", SMALL, params, dtype="F16")
    with pytest.raises(ValueError, match="dtype"):
        write_huggingface(tmp_path / "a", SMALL, params, dtype="Q8_0")
    with pytest.raises(ValueError, match="final_norm"):
        write_huggingface(tmp_path / "a", SMALL, params._replace(final_norm=np.ones(3, np.float32)))
    assert not (tmp_path / "a" / "config.json").exists()
