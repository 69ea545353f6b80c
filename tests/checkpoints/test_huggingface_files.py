"""Which file of a Hugging Face folder counts: pickled weights, shards and their index, base models, tied heads."""

from __future__ import annotations

import json
import os
from collections import OrderedDict

import numpy as np
import pytest
import torch
from damage import check_damage, refused
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, LlamaModel

from minillama.checkpoints.huggingface import read_huggingface
from minillama.checkpoints.loading import load_checkpoint
from minillama.quantization.formats import PackedArray, format_name, to_float32
from minillama.trees import named_leaves

BUFFER = "model.layers.0.self_attn.rotary_emb.inv_freq"
SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}


def tiny(cls=LlamaForCausalLM, tied=False, seed=0):
    """A random Llama of transformers."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"num_key_value_heads": 2, "vocab_size": 64, "max_position_embeddings": 128},
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )
    model = cls(config)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model.eval()


def saved(folder, model, state=None, name=PICKLE):
    """The folder of `model`, with `state` in one file instead of its own weights."""
    model.save_pretrained(folder)
    state = model.state_dict() if state is None else state
    if name == PICKLE:
        (folder / SAFE).unlink()
        torch.save(state, folder / name)
    else:
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / name, {"format": "pt"})
    return folder


def in_shards(folder, model, kind=PICKLE, listed=None, extra=None):
    """The folder of `model` in three shards; `listed` changes the index, `extra` adds tensors to the shards."""
    model.save_pretrained(folder)
    (folder / SAFE).unlink()
    state, weight_map = model.state_dict(), {}
    stem, _, ending = kind.partition(".")
    for i in range(3):
        name = f"{stem}-{i + 1:05}-of-00003.{ending}"
        part = {key: state[key].clone() for key in list(state)[i::3]}
        weight_map |= dict.fromkeys(part, name)
        part |= (extra or {}).get(i, {})
        torch.save(part, folder / name) if kind == PICKLE else save_file(part, folder / name, {"format": "pt"})
    weight_map = {key: file for key, file in (weight_map | (listed or {})).items() if file is not None}
    (folder / f"{kind}.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return folder


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def leaves(folder):
    return dict(named_leaves(read_huggingface(folder).params))


def same(found, model, tmp_path):
    """The parameters are those that safetensors give, which test_huggingface.py holds equal to transformers."""
    model.save_pretrained(tmp_path / "plain")
    expected = leaves(tmp_path / "plain")
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert format_name(found[name]) == format_name(weight)
        np.testing.assert_array_equal(to_float32(found[name]), to_float32(weight), err_msg=name)


# --- pytorch_model.bin -------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_pickled_weights(tmp_path, dtype, tied):
    model = tiny(tied=tied).to(DTYPES[dtype])
    folder = saved(tmp_path / "pickled", model)  # an OrderedDict with `_metadata`, a tied head in it twice
    checkpoint = read_huggingface(folder)
    assert checkpoint.format == "Hugging Face pytorch_model.bin"
    assert checkpoint.config.tied == tied
    same(dict(named_leaves(checkpoint.params)), model, tmp_path)
    for name, weight in named_leaves(checkpoint.params):
        if dtype != "F64" and not name.endswith(("norm", "wq", "wk")):
            assert not (weight.data if isinstance(weight, PackedArray) else weight).flags.owndata


def test_transformers_reads_the_same_pickle(tmp_path):
    """One whole check against the library: its parameters after loading are those that were read."""
    folder = saved(tmp_path / "pickled", tiny())
    same(leaves(folder), AutoModelForCausalLM.from_pretrained(folder), tmp_path)


def parameters(state):
    return {name: torch.nn.Parameter(tensor) for name, tensor in state.items()}


def transposed(state):
    return {name: t.T.contiguous().T if t.ndim == 2 else t for name, t in state.items()}


def sliced(state):
    """Each is the inside of something larger."""
    return {name: torch.nn.functional.pad(t, (1, 2) * t.ndim)[(slice(1, -2),) * t.ndim] for name, t in state.items()}


def one_storage(state):
    flat = torch.cat([tensor.reshape(-1) for tensor in state.values()])
    parts = flat.split([tensor.numel() for tensor in state.values()])
    return {name: part.view(tensor.shape) for part, (name, tensor) in zip(parts, state.items())}


def with_buffers(state):
    others = {BUFFER: torch.ones(4), "model.rotary_emb.inv_freq": torch.ones(4)}
    others["model.layers.1.self_attn.masked_bias"] = torch.tensor(-1e4)
    others["model.layers.1.self_attn.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    return OrderedDict(state | others)


@pytest.mark.parametrize("change", [parameters, transposed, sliced, one_storage, with_buffers])
def test_however_tensors_are_stored(tmp_path, change):
    model = tiny()
    folder = saved(tmp_path / "pickled", model, change(dict(model.state_dict())))
    same(leaves(folder), model, tmp_path)


@pytest.mark.parametrize("kind", [SAFE, PICKLE])
def test_shards(tmp_path, kind):
    model = tiny()
    folder = in_shards(tmp_path / "shards", model, kind)
    checkpoint = load_checkpoint(folder)
    label = "safetensors" if kind == SAFE else PICKLE
    assert checkpoint.format == f"Hugging Face {label} in 3 shards"
    same(dict(named_leaves(checkpoint.params)), model, tmp_path)


def test_the_first_kind_counts(tmp_path):
    """As in transformers: safetensors whole, in shards, then pickles whole, in shards."""
    folder = in_shards(tmp_path, tiny(seed=4))
    torch.save(tiny(seed=3).state_dict(), folder / PICKLE)
    models = [tiny(seed=3)]
    same(leaves(folder), models[0], tmp_path / "a")
    in_shards(folder, tiny(seed=2), SAFE)
    same(leaves(folder), tiny(seed=2), tmp_path / "b")
    tiny(seed=1).save_pretrained(tmp_path / "whole")
    os.rename(tmp_path / "whole" / SAFE, folder / SAFE)
    same(leaves(folder), tiny(seed=1), tmp_path / "c")


@pytest.mark.parametrize("opened", [PICKLE, "config.json"])
def test_a_file_of_the_folder_stands_for_it(tmp_path, opened):
    saved(tmp_path, tiny())
    assert load_checkpoint(tmp_path / opened).path == tmp_path


@pytest.mark.parametrize("opened", ["pytorch_model-00002-of-00003.bin", PICKLE_INDEX])
def test_a_shard_stands_for_the_folder(tmp_path, opened):
    in_shards(tmp_path, tiny())
    assert load_checkpoint(tmp_path / opened).path == tmp_path


def test_a_config_that_names_other_weights_is_refused(tmp_path):
    """transformers then reads those, whatever else is there."""
    tiny().save_pretrained(tmp_path)
    edit(tmp_path / "config.json", transformers_weights=SAFE)
    assert load_checkpoint(tmp_path).path == tmp_path
    for name in ("other.safetensors", "../model.safetensors", 5, ["x"]):
        edit(tmp_path / "config.json", transformers_weights=name)
        refused(lambda: read_huggingface(tmp_path), "config.json", "transformers_weights")


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_nothing_runs(tmp_path):
    """The same file, loaded as pickles are, does run."""
    folder = saved(tmp_path / "pickled", tiny(), {"a": torch.ones(2), "b": Evil(tmp_path / "ran")})
    refused(lambda: read_huggingface(folder), PICKLE, "data.pkl", "system", "nothing was run")
    assert not (tmp_path / "ran").exists()
    torch.load(folder / PICKLE, weights_only=False)
    assert (tmp_path / "ran").exists()


def test_numbers_that_are_stored_with_the_other_sign_are_refused(tmp_path):
    """A lazy conjugate's imaginary part is a view of the numbers and a note to negate them."""
    state = dict(tiny().state_dict())
    state["model.norm.weight"] = torch.complex(torch.ones(32), torch.ones(32)).conj().imag
    assert state["model.norm.weight"].is_neg()
    folder = saved(tmp_path, tiny(), state)
    refused(lambda: read_huggingface(folder), PICKLE, "negated")


def test_the_format_of_before_is_named(tmp_path):
    folder = saved(tmp_path, tiny())
    torch.save(tiny().state_dict(), folder / PICKLE, _use_new_zipfile_serialization=False)
    refused(lambda: read_huggingface(folder), PICKLE, "PyTorch before 1.6", "torch.load")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("model.norm.weight"), ["model.norm.weight", "is missing"]),
        (lambda state: state.update({"model.norm.weight": torch.ones(31)}), ["model.norm.weight", "(32,)", "(31,)"]),
        (lambda state: state.update({"model.norm.weight": torch.ones(32, dtype=torch.int32)}), ["IntStorage"]),
        (lambda state: state.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}), ["q_proj.bias"]),
        (lambda state: state.update({"model.norm.weight": [1.0]}), ["model.norm.weight", "is missing"]),
        (lambda state: state.update({"score.weight": torch.ones(1, 32)}), ["score.weight", "unknown"]),
    ],
    ids=["norm", "shape", "integers", "bias", "list", "score"],
)
def test_wrong_tensors_are_refused(tmp_path, change, words):
    state = dict(tiny().state_dict())
    change(state)
    folder = saved(tmp_path, tiny(), state)
    refused(lambda: read_huggingface(folder), PICKLE, *words)


@pytest.mark.parametrize("name", [PICKLE, SAFE])
def test_weights_that_are_cut_off(tmp_path, name):
    folder = saved(tmp_path, tiny(), None, name)
    (folder / name).write_bytes((folder / name).read_bytes()[:-1000])
    refused(lambda: read_huggingface(folder), name, "download or copy it again")


def test_damaged_pickle(tmp_path, rng):
    folder = saved(tmp_path, tiny())
    check_damage(lambda: read_huggingface(folder), folder / PICKLE, rng, 100)


def test_damaged_index(tmp_path, rng):
    folder = in_shards(tmp_path, tiny())
    check_damage(lambda: read_huggingface(folder), folder / PICKLE_INDEX, rng, 100)


# --- the index decides -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SAFE, PICKLE])
def test_what_the_index_does_not_list_does_not_count(tmp_path, kind):
    """A copy elsewhere, buffers, and what another version of the model had."""
    model = tiny()
    others = {"model.norm.weight": torch.full((32,), 7.0), BUFFER: torch.ones(4), "lm_head.weight": torch.ones(2, 2)}
    others["model.layers.7.mlp.up_proj.weight"] = torch.ones(3, 3)
    home = list(model.state_dict()).index("model.norm.weight") % 3
    names = set(list(model.state_dict())[(home + 1) % 3 :: 3])
    extra = {key: tensor for key, tensor in others.items() if key not in names}
    folder = in_shards(tmp_path / "shards", model, kind, extra={(home + 1) % 3: extra})
    same(leaves(folder), model, tmp_path)


def test_buffers_that_the_index_lists_may_be_gone(tmp_path):
    model = tiny()
    folder = in_shards(tmp_path / "shards", model, SAFE, listed={BUFFER: "model-00002-of-00003.safetensors"})
    same(leaves(folder), model, tmp_path)


@pytest.mark.parametrize("kind", [SAFE, PICKLE])
def test_what_is_missing_is_reported_with_its_shard(tmp_path, kind):
    folder = in_shards(tmp_path, tiny(), kind)
    index = folder / f"{kind}.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    home = weight_map["model.norm.weight"]
    other = next(file for file in weight_map.values() if file != home)

    edit(index, weight_map=weight_map | {"model.norm.weight": other})
    refused(lambda: read_huggingface(folder), f"{other}: model.norm.weight: is missing", index.name)
    edit(index, weight_map={key: file for key, file in weight_map.items() if key != "model.norm.weight"})
    refused(lambda: read_huggingface(folder), f"{home}: model.norm.weight: is in this file, but {index.name}")
    edit(index, weight_map={key: file for key, file in weight_map.items() if key != "lm_head.weight"})
    refused(lambda: read_huggingface(folder), "lm_head.weight: is in this file", weight_map["lm_head.weight"])
    edit(index, weight_map=weight_map | {"model.norm.weight": "other" + home})
    refused(lambda: read_huggingface(folder), f"other{home}: file: is missing", index.name)
    edit(index, weight_map=weight_map)
    (folder / home).unlink()
    refused(lambda: read_huggingface(folder), f"{home}: file: is missing", index.name)
    (folder / home).symlink_to(folder / "gone")
    refused(lambda: read_huggingface(folder), home, "cannot be read")


@pytest.mark.parametrize("kind", [SAFE, PICKLE])
def test_shards_without_an_index(tmp_path, kind):
    folder = in_shards(tmp_path, tiny(), kind)
    (folder / f"{kind}.index.json").unlink()
    refused(lambda: read_huggingface(folder), f"expected {kind}.index.json", "00001-of-00003", "found none")


@pytest.mark.parametrize("file_name", ["../a.bin", "/etc/a.bin", "model.safetensors", "a.bin\0", 5, None, ["a.bin"]])
def test_an_index_names_only_files_beside_it(tmp_path, file_name):
    folder = in_shards(tmp_path, tiny())
    index = folder / PICKLE_INDEX
    edit(index, weight_map=json.loads(index.read_text())["weight_map"] | {"model.norm.weight": file_name})
    refused(lambda: read_huggingface(folder), "weight_map", "model.norm.weight", ".bin file in the same folder")


def test_very_many_shards_are_refused_before_one_is_opened(tmp_path):
    folder = in_shards(tmp_path, tiny())
    edit(folder / PICKLE_INDEX, weight_map={f"t{i}": f"{i}.bin" for i in range(300)})
    refused(lambda: read_huggingface(folder), PICKLE_INDEX, "at most 128 files")


# --- base models -------------------------------------------------------------------------


def as_read_by_transformers(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("kind", ["whole", "shards", "pickled", "pickled shards"])
def test_a_tied_base_model_is_read(tmp_path, kind):
    """Without the prefix and without a head; transformers ties the head that it adds."""
    model = tiny(LlamaModel, tied=True)
    folder = tmp_path / "base"
    if kind == "pickled":
        saved(folder, model)
    elif kind == "pickled shards":
        in_shards(folder, model)
    else:
        model.save_pretrained(folder, max_shard_size="20KB" if kind == "shards" else "1GB")
    assert "LlamaModel" in (folder / "config.json").read_text()
    checkpoint = read_huggingface(folder)
    assert checkpoint.metadata["architectures"] == ["LlamaModel"]
    assert checkpoint.config.tied
    same(dict(named_leaves(checkpoint.params)), as_read_by_transformers(folder), tmp_path)


@pytest.mark.parametrize("tie", [False, None])
def test_a_base_model_that_is_not_tied_has_no_head(tmp_path, tie):
    """transformers would make one of random numbers."""
    tiny(LlamaModel).save_pretrained(tmp_path)
    edit(tmp_path / "config.json", tie_word_embeddings=tie)
    refused(lambda: read_huggingface(tmp_path), "tie_word_embeddings", "base model", "lm_head.weight")


@pytest.mark.parametrize("architectures", [["LlamaForCausalLM"], ["LlamaModel"], None])
@pytest.mark.parametrize("prefix", ["model.", ""])
def test_prefix_and_architecture_need_not_agree(tmp_path, architectures, prefix):
    """transformers goes by the names of the tensors, and a head is a head."""
    model = tiny()
    state = {name.replace("model.", prefix, 1): tensor for name, tensor in model.state_dict().items()}
    folder = saved(tmp_path / "model", model, state, SAFE)
    edit(folder / "config.json", architectures=architectures)
    same(leaves(folder), as_read_by_transformers(folder), tmp_path)
    same(leaves(folder), model, tmp_path / "again")


@pytest.mark.parametrize("prefix", ["base_model.model.model.", "module.", "transformer.", "model.model."])
def test_other_prefixes_are_refused(tmp_path, prefix):
    state = {f"{prefix}{name}": tensor for name, tensor in tiny().state_dict().items()}
    saved(tmp_path, tiny(), state, SAFE)
    refused(lambda: read_huggingface(tmp_path), "model.embed_tokens.weight", "is missing")


@pytest.mark.parametrize("name", ["GPT2Model", "LlamaForSequenceClassification", "LlamaModelX", "model"])
def test_other_architectures_stay_refused(tmp_path, name):
    tiny(LlamaModel, tied=True).save_pretrained(tmp_path)
    edit(tmp_path / "config.json", architectures=[name])
    refused(lambda: read_huggingface(tmp_path), "architectures", name)


# --- tied heads --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [SAFE, PICKLE])
def test_a_tied_head_may_be_all_that_is_stored(tmp_path, name):
    """As safetensors' `save_model` may leave it; transformers then takes the head for the embedding."""
    model = tiny(tied=True)
    state = dict(model.state_dict())
    del state["model.embed_tokens.weight"]
    folder = saved(tmp_path / "model", model, state, name)
    same(leaves(folder), as_read_by_transformers(folder), tmp_path)


@pytest.mark.parametrize("name", [SAFE, PICKLE])
@pytest.mark.parametrize("change", ["number", "shape", "dtype"])
def test_a_tied_head_that_differs_is_refused(tmp_path, name, change):
    """transformers 4 then takes the embedding, transformers 5 the head."""
    model = tiny(tied=True)
    state = dict(model.state_dict())
    head = state["lm_head.weight"].clone()
    head[3, 5] += 1
    state["lm_head.weight"] = {"number": head, "shape": head[1:], "dtype": state["lm_head.weight"].half()}[change]
    folder = saved(tmp_path, model, state, name)
    refused(lambda: read_huggingface(folder), "tie_word_embeddings", "lm_head.weight differs", "say false")


def test_tied_tables_in_two_shards(tmp_path):
    model = tiny(tied=True)
    folder = in_shards(tmp_path / "shards", model)
    weight_map = json.loads((folder / PICKLE_INDEX).read_text())["weight_map"]
    assert weight_map["lm_head.weight"] != weight_map["model.embed_tokens.weight"]
    same(leaves(folder), model, tmp_path)


@pytest.mark.parametrize("tie", [False, None])
def test_a_head_that_is_stored_and_not_tied_counts(tmp_path, tie):
    model = tiny()
    model.save_pretrained(tmp_path / "model")
    edit(tmp_path / "model" / "config.json", tie_word_embeddings=tie)
    same(leaves(tmp_path / "model"), model, tmp_path)
    tensors = load_file(tmp_path / "model" / SAFE)
    del tensors["lm_head.weight"]
    save_file(tensors, tmp_path / "model" / SAFE, {"format": "pt"})
    refused(lambda: read_huggingface(tmp_path / "model"), "tie_word_embeddings", "has no head")
