"""What is no model or tokenizer is called what it is, by every reader and under every name."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import sentencepiece
import torch
from gguf import GGUFWriter
from safetensors.numpy import save
from tokenizers import Tokenizer, models

from minillama.checkpoints.loading import load_checkpoint
from minillama.config import ModelConfig
from minillama.files.disguise import what_it_is
from minillama.files.errors import CheckpointError
from minillama.params import init_params
from minillama.tokenizers import load_tokenizer


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.gguf"), io.BytesIO())
    return out.getvalue()


def torch_file(**options) -> bytes:
    out = io.BytesIO()
    torch.save({"a": torch.ones(3)}, out, **options)
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.ones(3))
    return out.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:b179\nsize 98362432\n"
DISGUISES = {
    "pointer": (POINTER, "git-lfs pointer", "git lfs pull", "/resolve/"),
    "pointer of Windows": (POINTER.replace(b"\n", b"\r\n"), "git-lfs pointer"),
    "page": (b"<!DOCTYPE html>\n<html><title>model.gguf</title></html>", "web page", "/resolve/", "/blob/"),
    "page in small letters": (b"\n  <!doctype HTML><html>", "web page"),
    "page with a byte order mark": (b"\xef\xbb\xbf<html lang='en'>", "web page"),
    "page after a comment": (b"<!-- saved from url=(0014)about:internet -->\n<html>", "web page"),
    "redirect": (
        b"Found. Redirecting to https://cdn-lfs.hf.co/repos/ab/cd?response-content",
        "elsewhere",
        "curl needs -L",
    ),
    "redirect of another kind": (b"Temporary Redirect. Redirecting to /api/resolve-cache/models/x", "elsewhere"),
    "missing on the Hub": (b"Entry not found", "server's answer", "Entry not found"),
    "missing on GitHub": (b"404: Not Found", "server's answer"),
    "gated on the Hub": (
        b"Access to model meta-llama/Llama-2-7b is restricted. You must be authenticated to access it.",
        "server's answer",
        "access",
    ),
    "refused": (b"Invalid username or password.", "server's answer"),
    "refused in JSON": (b'{"error":"Repository not found"}', "server's answer"),
    "refused in XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "server's answer"),
    "refused in XML without its head": (b"<Error><Code>NoSuchKey</Code></Error>", "server's answer"),
    "refused by a gateway": (b"error code: 502", "server's answer"),
    "empty": (b"", "empty"),
    "zeros": (bytes(5000), "zeros", "interrupted"),
    "link": (b"../../blobs/0123456789abcdef", "link", "Hub's cache"),
    "resource fork": (b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(50), "macOS"),
    "gzip": (gzip.compress(b"x" * 100, mtime=0), "gzip", "unpack"),
    "bzip2": (bz2.compress(b"x" * 100), "bzip2", "unpack"),
    "xz": (lzma.compress(b"x" * 100), "xz", "unpack"),
    "tar": (tar(), "tar archive", "unpack"),
    "GGML": (struct.pack("<I7i", 0x67676D6C, 32000, 4096, 256, 32, 32, 128, 2), "before GGUF"),
    "GGJT": (struct.pack("<2I7i", 0x67676A74, 3, 32000, 4096, 256, 32, 32, 128, 2), "before GGUF"),
    "pickle": (pickle.dumps({"a": 1}), "pickle", "PyTorch before 1.6"),
    "pickle of protocol 2": (pickle.dumps({"a": 1}, 2), "pickle"),
    "PyTorch of before": (torch_file(_use_new_zipfile_serialization=False), "pickle", "torch.load"),
    "NumPy": (npy(), "NumPy"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(40), "PNG"),
    "PDF": (b"%PDF-1.7\n", "PDF"),
}
FORMATS = {
    "PyTorch": (torch_file(), "zip archive", "torch.save"),
    "safetensors": (save({"a": np.ones(3, np.float32)}), "a safetensors file"),
    "GGUF": (b"GGUF\3\0\0\0" + bytes(16), "a GGUF file"),
    "llama2.c": (struct.pack("<Ii", 0x616B3432, 1) + bytes(248), "a llama2.c file"),
}
CONFIG = {
    **{"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1},
    **{"num_attention_heads": 2, "vocab_size": 8},
}


def say(read, data_and_words, path):
    """`read` says what the data are, and names the file."""
    _, *words = data_and_words
    with pytest.raises(CheckpointError) as caught:
        read()
    for word in (*words, path.name):
        assert word in str(caught.value)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("name", DISGUISES)
def test_every_reader_says_what_it_is(tmp_path, name):
    data = DISGUISES[name][0]
    for file_name in ("model.gguf", "model.bin", "weights"):
        (tmp_path / file_name).write_bytes(data)
        say(lambda file_name=file_name: load_checkpoint(tmp_path / file_name), DISGUISES[name], tmp_path / file_name)
    for file_name in ("tokenizer.json", "tokenizer.model", "tokenizer.bin"):
        (tmp_path / file_name).write_bytes(data)
        say(lambda file_name=file_name: load_tokenizer(tmp_path / file_name), DISGUISES[name], tmp_path / file_name)


@pytest.mark.parametrize("name", [*DISGUISES, *FORMATS])
@pytest.mark.parametrize(
    ("file_name", "own"),
    [("config.json", ""), ("model.safetensors", "safetensors"), ("pytorch_model.bin", "PyTorch"),
     ("model.safetensors.index.json", ""), ("pytorch_model.bin.index.json", "")],
)  # fmt: skip
def test_a_folder_says_what_it_is(tmp_path, file_name, own, name):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    data, *words = (DISGUISES | FORMATS)[name]
    (tmp_path / file_name).write_bytes(data)
    if name != own:
        say(lambda: load_checkpoint(tmp_path), (data, *words), tmp_path / file_name)


def test_a_large_model_named_tokenizer(tmp_path):
    """It is said what it is, not that it is large."""
    for file_name in ("tokenizer.json", "tokenizer.model"):
        (tmp_path / file_name).write_bytes(save({"a": np.ones(1 << 22, np.float32)}))
        say(
            lambda file_name=file_name: load_tokenizer(tmp_path / file_name),
            FORMATS["safetensors"],
            tmp_path / file_name,
        )


@pytest.mark.parametrize("name", ["PyTorch", "safetensors"])
def test_other_formats_named_gguf(tmp_path, name):
    (tmp_path / "model.gguf").write_bytes(FORMATS[name][0])
    say(lambda: load_checkpoint(tmp_path / "model.gguf"), FORMATS[name], tmp_path / "model.gguf")


def test_what_nobody_knows_is_shown(tmp_path):
    path = tmp_path / "model.gguf"
    for data in (b"I am a text about models.\n" * 9, b"\x01\xfe" * 64, b'{"a": 1}' * 9):
        path.write_bytes(data)
        with pytest.raises(
            CheckpointError, match=r"model\.gguf.*neither GGUF nor llama2.c: it begins with b"
        ) as caught:
            load_checkpoint(path)
        assert repr(data[:8]) in str(caught.value)


# --- what is in order stays in order -----------------------------------------------------


def test_real_files_are_no_disguise(tmp_path):
    """Tokenizers and models by the libraries that define them: nothing is said of those without a mark."""
    path = tmp_path / "gguf"
    writer = GGUFWriter(path, "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert what_it_is(path.read_bytes()) == "a GGUF file"
    assert what_it_is(Tokenizer(models.BPE({"a": 0}, [])).to_str().encode()) is None
    out = io.BytesIO()
    words = iter(["zeros and ones", "a web page", "404 not found"] * 30)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=words, model_writer=out, vocab_size=30, model_type="bpe", minloglevel=2
    )
    assert what_it_is(out.getvalue()) is None
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w"):
        pass
    assert what_it_is(empty.getvalue()) == "an empty zip archive"


@pytest.mark.parametrize("first_bytes", [b"{}", b'{"error_count": 1}', b"# TOML", b"[model]", b"\0\0", b"\xff\xfe{\0"])
def test_text_is_no_disguise(first_bytes):
    assert what_it_is(first_bytes) is None


@pytest.mark.parametrize("dim", [128, 288, 512, 640, 768, 896, 1024, 1152, 1408, 2048, 4096, 5120, 8192])
def test_llama2c_of_any_width_is_no_disguise(tmp_path, dim):
    """Version 0 begins with the width: 640 is 80 02 00 00, and a pickle begins with 80 02."""
    data = struct.pack("<7i", dim, 8, 1, 2, 2, 3, 4)
    assert what_it_is(data + bytes(1000)) is None


def test_llama2c_640_wide_is_read(tmp_path):
    from minillama.checkpoints.llama2c import write_llama2c

    config = ModelConfig(dim=640, n_layers=1, n_heads=2, hidden_dim=8, vocab_size=3, max_seq_len=4)
    write_llama2c(tmp_path / "model.bin", config, init_params(config, np.random.default_rng(0)), version=0)
    assert load_checkpoint(tmp_path / "model.bin").config.dim == 640
