"""Meta's folders: PyTorch writes them, split as Meta splits; a pickle that is a program does not run."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from damage import check_damage, refused, within_bounds

from minillama.checkpoints.common.torch_archive import TorchArchive
from minillama.checkpoints.meta.reading import is_meta, read_meta
from minillama.config import ModelConfig, swiglu_hidden_dim
from minillama.files.errors import CheckpointError
from minillama.params import expected_shapes, init_params
from minillama.quantization.formats import PackedArray, to_float32
from minillama.trees import named_leaves

CONFIG = ModelConfig(dim=64, n_layers=2, n_heads=8, hidden_dim=192, vocab_size=40, max_seq_len=4096)
PARAMS = {"dim": 64, "n_layers": 2, "n_heads": 8, "multiple_of": 32, "norm_eps": 1e-5, "vocab_size": -1}
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

# The table of Meta's parallel layers: the name's end, and the axis that is split.
SPLIT = {
    "tok_embeddings.weight": 1,
    "attention.wq.weight": 0,
    "attention.wk.weight": 0,
    "attention.wv.weight": 0,
    "attention.wo.weight": 1,
    "feed_forward.w1.weight": 0,
    "feed_forward.w3.weight": 0,
    "feed_forward.w2.weight": 1,
    "output.weight": 0,
}


def meta_state(config, dtype=torch.float32):
    """A state dict under Meta's names, written out by hand, and its expected arrays by the package's."""
    params = init_params(config, np.random.default_rng(0))
    for layer in params.layers:
        layer.attention_norm[:] = np.linspace(0.5, 1.5, config.dim)
    tensors = {name: torch.tensor(array).to(dtype) for name, array in named_leaves(params)}
    names = {"token_embedding": "tok_embeddings.weight", "final_norm": "norm.weight", "output": "output.weight"}
    for i in range(config.n_layers):
        names |= {
            f"layers.{i}.attention_norm": f"layers.{i}.attention_norm.weight",
            f"layers.{i}.wq": f"layers.{i}.attention.wq.weight",
            f"layers.{i}.wk": f"layers.{i}.attention.wk.weight",
            f"layers.{i}.wv": f"layers.{i}.attention.wv.weight",
            f"layers.{i}.wo": f"layers.{i}.attention.wo.weight",
            f"layers.{i}.ffn_norm": f"layers.{i}.ffn_norm.weight",
            f"layers.{i}.w_gate": f"layers.{i}.feed_forward.w1.weight",
            f"layers.{i}.w_up": f"layers.{i}.feed_forward.w3.weight",
            f"layers.{i}.w_down": f"layers.{i}.feed_forward.w2.weight",
        }
    return {names[name]: tensor for name, tensor in tensors.items()}, {k: v.float().numpy() for k, v in tensors.items()}


def split(state, n):
    """The parts of `state` on each of `n` devices."""
    shards = [{} for _ in range(n)]
    for name, tensor in state.items():
        axis = next((axis for end, axis in SPLIT.items() if name.endswith(end)), None)
        parts = [tensor] * n if axis is None else [part.clone() for part in tensor.chunk(n, axis)]
        for shard, part in zip(shards, parts):
            shard[name] = part
    return shards


def write(folder, shards, **changes):
    folder.mkdir(exist_ok=True)
    (folder / "params.json").write_text(json.dumps(PARAMS | changes))
    for i, shard in enumerate(shards):
        torch.save(shard, folder / f"consolidated.{i:02}.pth")


def check_equal(params, expected):
    found = dict(named_leaves(params))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(to_float32(found[name]), array, err_msg=name)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, [meta_state(CONFIG)[0]])
    return tmp_path


# --- reading ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_shards", [1, 2, 4, 8])
def test_shards_join_to_the_whole(tmp_path, n_shards, dtype):
    state, expected = meta_state(CONFIG, DTYPES[dtype])
    state["rope.freqs"] = torch.ones(4)
    write(tmp_path, split(state, n_shards))
    assert is_meta(tmp_path)
    checkpoint = read_meta(tmp_path)
    assert checkpoint.config == CONFIG
    check_equal(checkpoint.params, expected)
    for name, weight in named_leaves(checkpoint.params):
        assert isinstance(weight, PackedArray) == (dtype != "F32" and not name.endswith("norm"))


@pytest.mark.parametrize("n_shards", [1, 2, 8])
def test_gqa_as_in_70b(tmp_path, n_shards):
    config = ModelConfig(
        dim=128,
        n_layers=2,
        n_heads=16,
        n_kv_heads=8,
        hidden_dim=swiglu_hidden_dim(128, 64, 1.3),
        vocab_size=40,
        max_seq_len=2048,
        norm_eps=1e-6,
        rope_theta=1e6,
    )
    state, expected = meta_state(config)
    others = {"dim": 128, "n_heads": 16, "n_kv_heads": 8, "multiple_of": 64, "ffn_dim_multiplier": 1.3}
    write(
        tmp_path,
        split(state, n_shards),
        **others,
        vocab_size=40,
        norm_eps=1e-6,
        rope_theta=1e6,
        max_seq_len=2048,
        use_scaled_rope=False,
        max_batch_size=4,
    )
    checkpoint = read_meta(tmp_path)
    assert checkpoint.config == config
    check_equal(checkpoint.params, expected)


def test_one_file_is_not_copied(folder):
    for name, weight in named_leaves(read_meta(folder).params):
        assert name.endswith("norm") or not weight.flags.owndata


def test_parameters_one_level_down(folder):
    (folder / "params.json").write_text(json.dumps({"model": PARAMS, "tokenizer": "x"}))
    assert read_meta(folder).config == CONFIG


def test_state_dicts_parameters_and_views(tmp_path):
    """What else torch.save writes: attributes of a state dict, parameters, shared storages, transposes."""
    state, expected = meta_state(CONFIG, torch.bfloat16)
    module = torch.nn.ParameterDict({"x": torch.nn.Parameter(torch.ones(2))})
    ordered = module.state_dict()
    norms = torch.cat([tensor for name, tensor in state.items() if "norm" in name])
    start = 0
    for name, tensor in state.items():
        if "norm" in name:
            tensor = norms[start : start + 64]
            start += 64
        elif "wq" in name:
            tensor = tensor.T.contiguous().T
        elif "w1" in name:
            tensor = torch.nn.Parameter(tensor)
        elif "wv" in name:
            tensor = torch.cat([tensor, tensor], 1)[:, :64]
        ordered[name] = tensor
    write(tmp_path, [ordered])
    check_equal(read_meta(tmp_path).params, expected)


def test_float64_becomes_float32(tmp_path):
    state, expected = meta_state(CONFIG, torch.float64)
    write(tmp_path, [state])
    check_equal(read_meta(tmp_path).params, expected)


# --- refusals --------------------------------------------------------------------------

REFUSED = [
    ({"use_scaled_rope": True}, "use_scaled_rope"),
    ({"sliding_window": 4096}, "sliding_window", "unknown"),
    ({"head_dim": 8}, "head_dim", "unknown"),
    ({"vocab_size": 41}, "vocab_size", "40", "41"),
    ({"vocab_size": 40.0}, "vocab_size", "integer"),
    ({"dim": None}, "dim", "missing"),
    ({"dim": True}, "dim", "integer"),
    ({"dim": 60}, "dim"),
    ({"dim": 128}, "tok_embeddings.weight", "(40, 128)", "(40, 64)"),
    ({"n_layers": 4000}, "n_layers", "4000"),
    ({"n_layers": 1}, "layers.1."),
    ({"n_heads": 0}, "n_heads"),
    ({"n_kv_heads": 0}, "n_kv_heads"),
    ({"n_kv_heads": 4}, "attention.wk.weight", "(32, 64)", "(64, 64)"),
    ({"multiple_of": 0}, "multiple_of"),
    ({"multiple_of": 256}, "feed_forward.w1.weight", "(256, 64)", "(192, 64)"),
    ({"ffn_dim_multiplier": 1.3}, "feed_forward.w1.weight"),
    ({"ffn_dim_multiplier": -1}, "ffn_dim_multiplier"),
    ({"ffn_dim_multiplier": 1e299}, "ffn_dim_multiplier"),
    ({"norm_eps": "1e-5"}, "norm_eps", "number"),
    ({"rope_theta": 0}, "rope_theta"),
    ({"max_seq_len": -1}, "max_seq_len"),
    ({"model": []}, "model", "object"),
]


@pytest.mark.parametrize(("changes", "words"), [(c, w) for c, *w in REFUSED], ids=[str(c) for c, *_ in REFUSED])
def test_wrong_parameters_are_refused(folder, changes, words):
    (folder / "params.json").write_text(json.dumps(PARAMS | changes))
    refused(lambda: read_meta(folder), *words)


def test_wrong_tensors_are_refused(tmp_path):
    state, _ = meta_state(CONFIG)
    for change, words in (
        ({"norm.weight": None}, ["norm.weight", "missing"]),
        ({"tok_embeddings.weight": None}, ["tok_embeddings.weight", "missing"]),
        ({"norm.weight": torch.ones(63)}, ["norm.weight", "(64,)", "(63,)"]),
        ({"norm.weight": torch.ones(64, dtype=torch.int64)}, ["norm.weight", "LongStorage"]),
        ({"layers.0.attention.wq.bias": torch.ones(64)}, ["layers.0.attention.wq.bias"]),
    ):
        write(tmp_path, [{k: v for k, v in (state | change).items() if v is not None}])
        refused(lambda: read_meta(tmp_path), "consolidated.00.pth", *words)


def test_wrong_shards_are_refused(tmp_path):
    state, _ = meta_state(CONFIG)
    shards = split(state, 4)

    shards[2]["norm.weight"] = shards[2]["norm.weight"] + 1e-6
    write(tmp_path, shards)
    refused(lambda: read_meta(tmp_path), "consolidated.02.pth", "norm.weight", "same numbers")

    shards[2]["norm.weight"] = shards[0]["norm.weight"]
    shards[1]["output.weight"] = shards[1]["output.weight"].half()
    write(tmp_path, shards)
    refused(lambda: read_meta(tmp_path), "consolidated.01.pth", "output.weight", "F32", "F16")

    (tmp_path / "consolidated.01.pth").unlink()
    refused(lambda: read_meta(tmp_path), "consolidated.01.pth", "missing")
    for name in ("consolidated.02.pth", "consolidated.03.pth"):
        (tmp_path / name).unlink()
    refused(lambda: read_meta(tmp_path), "tok_embeddings.weight", "(40, 64)", "(40, 16)")
    (tmp_path / "consolidated.00.pth").unlink()
    refused(lambda: read_meta(tmp_path), "consolidated.00.pth", "missing")


def test_very_many_shards_are_refused_before_one_is_opened(tmp_path):
    """Each may make its reader work for a tenth of a second."""
    (tmp_path / "params.json").write_text(json.dumps(PARAMS))
    for i in range(20):
        (tmp_path / f"consolidated.{i:02}.pth").touch()
    refused(lambda: read_meta(tmp_path), "consolidated.19.pth", "at most 16 files")


def test_llama3_embedding_split_by_rows_is_refused(tmp_path):
    state, _ = meta_state(CONFIG)
    shards = split(state, 2)
    for shard, part in zip(shards, state["tok_embeddings.weight"].chunk(2, 0)):
        shard["tok_embeddings.weight"] = part.clone()
    write(tmp_path, shards)
    refused(lambda: read_meta(tmp_path), "tok_embeddings.weight", "(20, 32)", "(20, 64)")


def test_heads_that_do_not_divide_are_refused(tmp_path):
    state, _ = meta_state(CONFIG)
    state = {name: tensor[:8] if ".wk." in name or ".wv." in name else tensor for name, tensor in state.items()}
    write(tmp_path, split(state, 2), n_kv_heads=1)
    refused(lambda: read_meta(tmp_path), "n_kv_heads", "do not divide among 2")


# --- archives and pickles that lie -----------------------------------------------------


def archive(path, program, members=None, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", program)
        for name, content in (members or {}).items():
            file.writestr(f"archive/{name}", content)
    return path


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(os.system, ("touch {}",)), (eval, ("open('{}', 'w')",)), (open, ("{}", "w")), (getattr, (torch, "load"))],
    ids=["os.system", "eval", "open", "getattr"],
)
def test_nothing_runs(tmp_path, function, arguments):
    """The same pickle, given to Python, does run."""
    mark = tmp_path / "ran"
    arguments = tuple(a.format(mark) if isinstance(a, str) else a for a in arguments if not hasattr(a, "__path__"))
    program = pickle.dumps({"x": Evil(function, *arguments)}, 2)
    path = archive(tmp_path / "a.pth", program)
    refused(lambda: TorchArchive(path), "data.pkl", f".{function.__name__}", "nothing was run")
    assert not mark.exists()
    if function is os.system:
        pickle.loads(program)
        assert mark.exists()


GLOBAL_TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


def storage(key=b"0", kind=b"FloatStorage", n=b"K\x04", tag=b"storage"):
    return b"(" + b"".join(
        [b"X" + struct.pack("<I", len(tag)) + tag, b"ctorch\n" + kind + b"\n"]
        + [b"X" + struct.pack("<I", len(text)) + text for text in (key, b"cpu")]
        + [n, b"tQ"]
    )


def tensor(where=None, offset=b"K\0", shape=b"K\x04\x85", strides=b"K\1\x85"):
    where = storage() if where is None else where
    return GLOBAL_TENSOR + b"(" + where + offset + shape + strides + b"\x89ccollections\nOrderedDict\n)RtR"


def program(value):
    return b"\x80\x02}X\1\0\0\0x" + value + b"s."


def read_x(path):
    return TorchArchive(path).weight("x")


def test_the_pieces_of_the_tests_make_a_tensor(tmp_path):
    numbers = np.arange(4, dtype="<f4")
    path = archive(
        tmp_path / "a.pth", program(tensor()), {"data/0": numbers.tobytes(), "byteorder": "little", "version": "3\n"}
    )
    np.testing.assert_array_equal(read_x(path), numbers)
    assert torch.equal(torch.load(path)["x"], torch.arange(4.0))


def test_a_stride_that_is_never_used_may_be_anything(tmp_path):
    """The stride of a single row, 2**61 elements, has more bytes than an address."""
    value = tensor(shape=b"K\1K\2\x86", strides=LARGE + b"K\2\x86")
    path = archive(tmp_path / "a.pth", program(value), {"data/0": np.arange(4, dtype="<f4").tobytes()})
    np.testing.assert_array_equal(read_x(path), [[0, 2]])


HUGE = b"\x8a\x09" + (1 << 64).to_bytes(9, "little")
LARGE = b"\x8a\x08" + (1 << 61).to_bytes(8, "little")
LYING = {
    "shape past the storage": (tensor(shape=b"K\x05\x85"), "does not fit"),
    "offset past the storage": (tensor(offset=b"K\1"), "does not fit"),
    "stride past the storage": (tensor(strides=b"K\2\x85"), "does not fit"),
    "stride of nothing": (tensor(shape=LARGE + b"\x85", strides=b"K\0\x85"), "does not fit"),
    "expanded in two dimensions": (tensor(shape=b"K\2K\4\x86", strides=b"K\0K\1\x86"), "does not fit"),
    "negative offset": (tensor(offset=b"J\xff\xff\xff\xff"), "non-negative"),
    "negative stride": (tensor(strides=b"J\xff\xff\xff\xff\x85"), "non-negative"),
    "negative size": (tensor(shape=b"J\xff\xff\xff\xff\x85"), "shape"),
    "size of 2**64": (tensor(shape=HUGE + b"\x85"), "shape"),
    "size is a boolean": (tensor(shape=b"\x88\x85"), "shape"),
    "no dimension": (tensor(shape=b")", strides=b")"), "vector or a matrix"),
    "a size of 0": (tensor(shape=b"K\0\x85"), "vector or a matrix"),
    "strides of another length": (tensor(strides=b")"), "strides"),
    "shape is a list": (tensor(shape=b"]"), "shape"),
    "shape is a tuple of tuples": (tensor(shape=b")\x85"), "shape"),
    "storage longer than its member": (tensor(storage(n=b"K\5")), "storage of 5"),
    "storage of half as many doubles": (tensor(storage(kind=b"DoubleStorage")), "storage of 4"),
    "storage of negative length": (tensor(storage(n=b"J\xff\xff\xff\xff")), "storage of -1"),
    "storage without a member": (tensor(storage(key=b"7")), "data/7"),
    "storage elsewhere": (tensor(storage(key=b"../x")), "missing from the archive"),
    "storage of integers": (tensor(storage(kind=b"LongStorage")), "LongStorage"),
    "storage of an unknown class": (tensor(storage(kind=b"QInt8Storage")), "torch.QInt8Storage"),
    "persistent id of another kind": (tensor(storage(tag=b"module!")), "persistent id"),
    "persistent id is a number": (tensor(b"K\1Q"), "data.pkl"),
    "storage is a tuple": (tensor(b")"), "other types"),
    "value that is not a tensor": (b"K\1", "KeyError"),
}


@pytest.mark.parametrize("name", LYING)
def test_lying_tensors_are_refused(tmp_path, name):
    value, message = LYING[name]
    path = archive(tmp_path / "a.pth", program(value), {"data/0": b"\0" * 16})
    if message == "KeyError":
        assert TorchArchive(path).tensors == {}
        return
    with within_bounds(1000):
        refused(lambda: read_x(path), message)


def nested(n):
    """A tuple of two equal tuples of two equal tuples …, of which a hash or a print takes 2**n steps."""
    return b")q\1" + b"h\1h\1\x86q\1" * n


N = 250_000
BOMBS = {
    "a memo index of 2**32": b"\x80\x02Nr\xff\xff\xff\xff.",
    "a text of 4 GB": b"\x80\x02X\xff\xff\xff\xff.",
    "a text of 16 EB": b"\x80\x02\x8d" + b"\xff" * 8 + b".",
    "a frame of 16 EB": b"\x80\x04\x95" + b"\xff" * 8 + b".",
    "a long integer": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "a decimal integer": b"\x80\x02L" + b"9" * N + b"L\n.",
    "a line without end": b"\x80\x02c" + b"x" * N,
    "tuples deep": b"\x80\x02)" + b"\x85" * N + b".",
    "lists deep": b"\x80\x02" + b"]" * N + b"a" * (N // 10) + b".",
    "empty dictionaries": b"\x80\x02" + b"}" * N + b".",
    "empty lists": b"\x80\x02(" + b"]" * N + b"l.",
    "marks": b"\x80\x02" + b"(" * N + b".",
    "deep tuple as a key": b"\x80\x02})" + b"\x85" * N + b"Ns.",
    "wide tuple as a key": b"\x80\x02}" + nested(60) + b"Ns.",
    "wide tuple as a shape": program(tensor(shape=nested(60))),
    "wide tuple as a storage's length": program(tensor(storage(n=nested(60)))),
    "wide tuple as a stride": program(tensor(strides=nested(60) + b"\x85")),
    "wide tuple as an offset": program(tensor(offset=nested(60))),
    "wide tuple as an argument": b"\x80\x02" + GLOBAL_TENSOR + nested(60) + b"R.",
    "wide tuple as a persistent id": b"\x80\x02" + nested(60) + b"Q.",
    "list that holds itself": b"\x80\x02]q\0h\0a.",
    "attributes of a function": b"\x80\x02" + GLOBAL_TENSOR + b"}b.",
    "attributes of a storage": b"\x80\x02" + storage() + b"}b.",
    "call of a class of storages": b"\x80\x02ctorch\nFloatStorage\nK\1\x85R.",
    "ordered dictionary of items": b"\x80\x02ccollections\nOrderedDict\n(])\x85tR.",
    "another protocol": pickle.dumps({}, 4),
    "an object": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "the copyreg registry": b"\x80\x02\x82\x01.",
    "nothing": b"",
    "nothing but the end": b".",
    "pop of nothing": b"\x80\x02R.",
    "tuple of nothing": b"\x80\x02t.",
    "pair of nothing": b"\x80\x02N\x86.",
    "items of nothing": b"\x80\x02K\1(NNu.",
    "odd items": b"\x80\x02}(NNNu.",
    "memo of nothing": b"\x80\x02h\5.",
    "not a dictionary": b"\x80\x02K\1.",
    "cut": program(tensor())[:-5],
    "too long": b"\x80\x02" + b"N" * (2 << 20) + b".",
    "no UTF-8": b"\x80\x02}X\1\0\0\0\xffNs.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(tmp_path, name):
    path = archive(tmp_path / "a.pth", BOMBS[name], {"data/0": b"\0" * 16})
    with within_bounds(path.stat().st_size):
        if name in ("empty dictionaries",):  # the topmost is a dictionary of no tensors
            assert TorchArchive(path).tensors == {}
        else:
            refused(lambda: read_x(path), "a.pth")


def test_many_tensors_of_one_storage_are_refused(tmp_path):
    """Each is in bounds; together they would be copied to a thousand times the file."""
    names = [f"x{i}" for i in range(1000)]
    values = b"".join(
        b"X" + struct.pack("<I", len(name)) + name.encode() + tensor(storage(n=b"M\x00\x40"), shape=b"M\x00\x40\x85")
        for name in names
    )
    path = archive(tmp_path / "a.pth", b"\x80\x02}(" + values + b"u.", {"data/0": b"\0" * 65536})
    opened = TorchArchive(path)
    refused(lambda: [opened.weight(name) for name in names], "overlap")


def test_wrong_archives_are_refused(tmp_path):
    path, good = tmp_path / "a.pth", program(tensor())
    archive(path, good, {"data/0": b"\0" * 16}, zipfile.ZIP_DEFLATED)
    refused(lambda: read_x(path), "compressed")
    archive(path, good, {"data/0": b"\0" * 16, "byteorder": "big"})
    refused(lambda: read_x(path), "byteorder", "big")
    archive(path, good, {"data/0": b"\0" * 16, "byteorder": "little" * 100})
    refused(lambda: read_x(path), "byteorder")
    archive(path, good, {"data/0": b"\0" * 16, "more/data.pkl": good})
    refused(lambda: read_x(path), "data.pkl", "found 2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", good)
            file.writestr("archive/data.pkl", good)
    refused(lambda: read_x(path), "same name")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme", "x")
    refused(lambda: read_x(path), "data.pkl", "found 0")
    path.write_bytes(b"PK" + b"\0" * 100)
    refused(lambda: read_x(path), "zip archive")
    path.write_bytes(b"")
    refused(lambda: read_x(path), "file")


def test_an_archive_of_very_many_members_is_refused_at_once(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as file:
        for i in range(20_000):
            file.writestr(f"{i:020}", b"")
    with within_bounds(path.stat().st_size):
        refused(lambda: TorchArchive(path), "directory")


def test_the_old_format_says_what_to_do(tmp_path):
    write(tmp_path, [])
    torch.save(meta_state(CONFIG)[0], tmp_path / "consolidated.00.pth", _use_new_zipfile_serialization=False)
    refused(lambda: read_meta(tmp_path), "before 1.6", "torch.load")


@pytest.mark.parametrize("name", ["params.json", "consolidated.00.pth"])
def test_damaged_folder(folder, rng, name):
    check_damage(lambda: read_meta(folder), folder / name, rng, 300)


def test_damaged_pickle(tmp_path, rng):
    """Changes in the program itself, of which the whole file is only a small part."""
    config = ModelConfig(dim=2, n_layers=1, n_heads=1, hidden_dim=32, vocab_size=3, max_seq_len=4096)
    write(tmp_path, [meta_state(config)[0]], dim=2, n_layers=1, n_heads=1)
    path = tmp_path / "consolidated.00.pth"
    original = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        start, size = original.index(b"\x80\x02"), file.getinfo("consolidated.00/data.pkl").file_size
    refusals = 0
    for _ in range(1000):
        copy = bytearray(original)
        for place in rng.integers(start, start + size, size=rng.integers(1, 4)):
            copy[place] = rng.integers(256)
        path.write_bytes(copy)
        try:
            check_shapes(config, read_meta(tmp_path).params)
        except CheckpointError:
            refusals += 1
    assert refusals > 500


def check_shapes(config, params):
    for name, weight in named_leaves(params):
        assert to_float32(weight).shape == expected_shapes(config)[name]


def test_message_names_the_file_and_the_tensor(tmp_path):
    path = archive(tmp_path / "a.pth", program(tensor(offset=b"K\1")), {"data/0": b"\0" * 16})
    with pytest.raises(CheckpointError, match=re.escape(f"{path}: x: shape (4,) with strides (1,) from element 1")):
        read_x(path)
