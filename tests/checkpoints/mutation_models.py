"""One tiny valid model of each format, for `mutation.py` to damage."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
from gguf_files import add_key

from minillama.checkpoints.common.safetensors import SafetensorsFile, TensorToWrite, write_safetensors
from minillama.checkpoints.gguf.writing import write_gguf
from minillama.checkpoints.huggingface.writing import write_huggingface
from minillama.checkpoints.llama2c import write_llama2c
from minillama.checkpoints.native import write_native
from minillama.config import ModelConfig
from minillama.files.gguf.container import read_gguf_header
from minillama.params import Params, init_params
from minillama.quantization.formats import FORMATS, GroupedArray, PackedArray, quantize
from minillama.tokenizers import (
    ByteLevelBPE,
    Piece,
    SentencePieceBPE,
    TokenType,
    gguf_metadata,
    save_tokenizer,
    write_llama2c_tokenizer,
)
from minillama.tokenizers.bpe.byte_level import BYTE_TO_CHARACTER
from minillama.trees import map_tree, named_leaves

CONFIG = ModelConfig(dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=32, vocab_size=24, max_seq_len=16)
WIDE = replace(CONFIG, dim=256, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=2, hidden_dim=2)


class Model(NamedTuple):
    """A valid model as the files that hold it.

    Attributes
    ----------
    files : dict of str to bytes
    opened : str
        The file to open, or "" for the folder that holds them all.
    is_tokenizer : bool
        Whether it is a tokenizer alone.
    """

    files: dict[str, bytes]
    opened: str = ""
    is_tokenizer: bool = False


def params_of(config: ModelConfig, *formats: str) -> Params:
    """Random parameters whose matrices are stored in `formats` in turn, where the rows divide."""
    rng = np.random.default_rng(0)
    turn = 0

    def pack(array: np.ndarray) -> Any:
        nonlocal turn
        if array.ndim == 1:
            return array + rng.normal(size=array.shape).astype(np.float32)
        turn += 1
        name = formats[turn % len(formats)]
        if name.startswith("int8/"):
            values = rng.integers(-127, 128, array.shape).astype(np.int8)
            return GroupedArray(values, rng.random(array.size // int(name[5:]), np.float32))
        block = FORMATS.get(name)
        if block is None or array.shape[1] % block.block_size:
            return array
        if block.quantize:
            return quantize(array, name)
        raw = rng.integers(0, 60, (len(array), block.row_bytes(array.shape[1]))).astype(np.uint8)
        return PackedArray(raw, block, array.shape[1])

    return map_tree(pack, init_params(config, rng))


# --- tokenizers ------------------------------------------------------------------------


def byte_level(n_tokens: int) -> ByteLevelBPE:
    """A byte-level tokenizer of a few letters, three merges and three markers."""
    markers = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    merged = ["ab", "cd", "abcd"]
    pieces = [*markers, *merged, *BYTE_TO_CHARACTER[97:]][:n_tokens]
    types = [TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (n_tokens - 3)
    rules = [("a", "b"), ("c", "d"), ("ab", "cd")]
    return ByteLevelBPE(pieces, types, rules, bos_id=0, eos_id=2, chat_template="{{ '<|im_start|>' }}")


def sentencepiece(n_tokens: int = 24, *, all_bytes: bool = False, rules: bool = False) -> SentencePieceBPE:
    """A SentencePiece tokenizer of a few letters; with merge rules in place of scores, or with all bytes."""
    pieces = [Piece("<unk>", 0.0, TokenType.UNKNOWN), Piece("<s>", 0.0, TokenType.CONTROL)]
    pieces.append(Piece("</s>", 0.0, TokenType.CONTROL))
    if all_bytes:
        pieces += [Piece(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)]
        n_tokens += 256
    pieces += [Piece(text, -float(n)) for n, text in enumerate(["▁a", "ab", "▁ab", "▁", *"abcdefghijklmnopqrstuvwxyz"])]
    merges = [("▁", "a"), ("a", "b"), ("▁a", "b")] if rules else None
    return SentencePieceBPE(pieces[:n_tokens], merges=merges, bos_id=1, eos_id=2)


def _tokenizer_json(folder: Path) -> None:
    save_tokenizer(byte_level(120), folder)


def _tokenizer_model(folder: Path) -> None:
    save_tokenizer(sentencepiece(), folder)


def _tokenizer_bin(folder: Path) -> None:
    write_llama2c_tokenizer(folder / "tokenizer.bin", sentencepiece(all_bytes=True))


# --- models ----------------------------------------------------------------------------


def _gguf(folder: Path) -> None:
    tokenizer = gguf_metadata(byte_level(CONFIG.vocab_size))
    write_gguf(folder / "model.gguf", CONFIG, params_of(CONFIG, "F32", "Q4_1"), tokenizer_metadata=tokenizer)


def _gguf_k(folder: Path) -> None:
    params = params_of(WIDE, "Q4_K", "Q6_K", "Q5_K", "Q2_K", "Q3_K", "IQ4_NL", "IQ4_XS")
    write_gguf(folder / "model.gguf", WIDE, params, tokenizer_metadata=gguf_metadata(sentencepiece()))


def _llama2c(version: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_llama2c(folder / "model.bin", CONFIG, params_of(CONFIG, "F32"), version=version, group_size=32)

    return write


def _huggingface(folder: Path) -> None:
    save_tokenizer(byte_level(CONFIG.vocab_size), folder)
    write_huggingface(folder, CONFIG, params_of(CONFIG, "F32", "BF16", "F16"), bos_token_id=0)


def _huggingface_sharded(folder: Path) -> None:
    """The same in two files and an index, with the other kind of tokenizer.json."""
    config = replace(CONFIG, dim=8, hidden_dim=8, vocab_size=280)
    save_tokenizer(sentencepiece(all_bytes=True, rules=True), folder)
    write_huggingface(folder, config, params_of(config, "F32", "BF16"), bos_token_id=1)
    whole = SafetensorsFile(folder / "model.safetensors")
    weight_map: dict[str, str] = {}
    for part in range(2):
        file_name = f"model-{part + 1:05}-of-00002.safetensors"
        names = list(whole.tensors)[part::2]
        weight_map |= dict.fromkeys(names, file_name)
        tensors = {}
        for name in names:
            info = whole.tensors[name]
            tensors[name] = TensorToWrite(info.dtype, info.shape, lambda name=name: [whole.array(name)])
        write_safetensors(folder / file_name, tensors, {"format": "pt"})
    index = {"metadata": {"total_size": whole.file.size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def _pickle(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Save tensors as old transformers did: parameters, some transposed, some of 16 bits, a tied head twice."""
    import torch  # a second that only these formats need

    state = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in arrays.items()}
    for name in list(state)[::4]:
        if state[name].ndim == 2:
            state[name] = torch.nn.Parameter(state[name].detach().T.contiguous().T)
    for name in list(state)[1::4]:
        state[name] = torch.nn.Parameter(state[name].detach().half())
    if "lm_head.weight" not in state and "model.embed_tokens.weight" in state:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    torch.save(state, path)


def _huggingface_pickled(n_shards: int) -> Callable[[Path], None]:
    """The weights as pytorch_model.bin, of a tied model; or in shards, of an untied one, with a head too many."""

    def write(folder: Path) -> None:
        config = replace(CONFIG, tied=n_shards == 1)
        save_tokenizer(byte_level(config.vocab_size), folder)
        write_huggingface(folder, config, params_of(config, "F32"), bos_token_id=0)
        whole = SafetensorsFile(folder / "model.safetensors")
        arrays = {name: whole.array(name) for name in whole.tensors}
        if n_shards == 1:
            arrays["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(4, np.float32)
            _pickle(arrays, folder / "pytorch_model.bin")
        else:
            weight_map = {}
            for part in range(n_shards):
                file_name = f"pytorch_model-{part + 1:05}-of-{n_shards:05}.bin"
                names = list(arrays)[part::n_shards]
                weight_map |= dict.fromkeys(names, file_name)
                _pickle({name: arrays[name] for name in names}, folder / file_name)
            index = {"metadata": {"total_size": whole.file.size}, "weight_map": weight_map}
            (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
        (folder / "model.safetensors").unlink()

    return write


def _huggingface_base(folder: Path) -> None:
    """A base model: no head, no prefix."""
    config = replace(CONFIG, tied=True)
    save_tokenizer(byte_level(config.vocab_size), folder)
    write_huggingface(folder, config, params_of(config, "F32", "BF16"), bos_token_id=0)
    whole = SafetensorsFile(folder / "model.safetensors")
    tensors = {}
    for name, info in whole.tensors.items():
        array = whole.array(name).copy()
        tensors[name.removeprefix("model.")] = TensorToWrite(info.dtype, info.shape, lambda array=array: [array])
    write_safetensors(folder / "model.safetensors", tensors)
    description = json.loads((folder / "config.json").read_text()) | {"architectures": ["LlamaModel"]}
    (folder / "config.json").write_text(json.dumps(description))


def _gguf_split(folder: Path) -> None:
    """A model in three files, as gguf-py splits it."""
    _gguf(folder)
    whole = read_gguf_header(folder / "model.gguf")
    writer = gguf.GGUFWriter(folder / "split.gguf", "llama", split_max_tensors=9)
    for key, value in whole.metadata.items():
        if not key.startswith("general."):
            add_key(writer, key, value.tolist() if isinstance(value, np.ndarray) else value)
    for info in whole.tensors.values():
        kind = gguf.GGMLQuantizationType(info.type_number)
        shape = gguf.quant_shape_to_byte_shape(info.shape, kind) if kind.name == "Q4_1" else info.shape
        raw = whole.file.take(info.offset, math.prod(shape) * (1 if kind.name == "Q4_1" else 4), info.name)
        data = raw.reshape(shape) if kind.name == "Q4_1" else raw.view("<f4").reshape(shape)
        writer.add_tensor(info.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (folder / "model.gguf").unlink()


def _native(folder: Path) -> None:
    save_tokenizer(sentencepiece(), folder)
    write_native(folder, CONFIG, params_of(CONFIG, "F32", "Q8_0", "int8/32", "BF16", "Q4_0"), metadata={"step": 3})


def _meta(n_shards: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        import torch  # a second that only this format needs

        from minillama.checkpoints.meta.reading import _NAMES, meta_name

        config = replace(CONFIG, n_kv_heads=4)
        save_tokenizer(sentencepiece(), folder)
        numbers = {"dim": 32, "n_layers": 2, "n_heads": 4, "multiple_of": 32, "ffn_dim_multiplier": 0.3}
        (folder / "params.json").write_text(json.dumps(numbers | {"norm_eps": 1e-5, "vocab_size": -1}))
        for shard in range(n_shards):
            state = {}
            for name, array in named_leaves(params_of(config, "F32")):
                axis = _NAMES[name.rpartition(".")[2]][1]
                part = array if axis is None else np.split(array, n_shards, axis)[shard]
                dtype = torch.float16 if name.endswith("wv") else torch.float32
                state[meta_name(name)] = torch.tensor(np.ascontiguousarray(part)).to(dtype)
            torch.save(state, folder / f"consolidated.{shard:02}.pth")

    return write


# How to write each, what to open, and whether it is a tokenizer.
_BUILDERS: dict[str, tuple[Callable[[Path], None], str, bool]] = {
    "gguf": (_gguf, "model.gguf", False),
    "gguf-k": (_gguf_k, "model.gguf", False),
    "gguf-split": (_gguf_split, "split-00002-of-00003.gguf", False),
    "llama2c-v0": (_llama2c(0), "model.bin", False),
    "llama2c-v1": (_llama2c(1), "model.bin", False),
    "llama2c-v2": (_llama2c(2), "model.bin", False),
    "huggingface": (_huggingface, "", False),
    "huggingface-sharded": (_huggingface_sharded, "", False),
    "huggingface-base": (_huggingface_base, "", False),
    "huggingface-pickled": (_huggingface_pickled(1), "", False),
    "huggingface-pickled-sharded": (_huggingface_pickled(2), "", False),
    "native": (_native, "", False),
    "meta": (_meta(1), "", False),
    "meta-sharded": (_meta(2), "", False),
    "tokenizer.model": (_tokenizer_model, "", True),
    "tokenizer.bin": (_tokenizer_bin, "tokenizer.bin", True),
    "tokenizer.json": (_tokenizer_json, "", True),
}
FORMAT_NAMES = tuple(_BUILDERS)


def build(name: str) -> Model:
    """The tiny valid model of the format `name`, the same bytes every time."""
    write, opened, is_tokenizer = _BUILDERS[name]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    return Model(files, opened, is_tokenizer)
