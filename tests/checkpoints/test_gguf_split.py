"""GGUF models split over several files: gguf-py writes them, any part opens them, and a wrong part is named."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from damage import refused
from gguf_files import TINY, WIDE, write_reference
from mutation_models import sentencepiece

from minillama.checkpoints.gguf import read_gguf
from minillama.checkpoints.loading import load_checkpoint, tokenizer_of
from minillama.files.parts import part_names
from minillama.quantization.formats import to_float32
from minillama.tokenizers import gguf_metadata
from minillama.trees import named_leaves

PARTS = [f"m-{i}-of-00003.gguf" for i in ("00001", "00002", "00003")]


@pytest.fixture
def expected(tmp_path):
    """A model of three parts in `tmp_path`, and its arrays."""
    return write_reference(tmp_path / "m.gguf", split_max_tensors=8)


def check(checkpoint, expected):
    found = dict(named_leaves(checkpoint.params))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(to_float32(found[name]), array, err_msg=name)


@pytest.mark.parametrize("opened", [*PARTS, ""])
def test_any_part_or_the_folder_opens_the_model(tmp_path, expected, opened):
    assert sorted(path.name for path in tmp_path.iterdir()) == PARTS
    checkpoint = load_checkpoint(tmp_path / opened)
    check(checkpoint, expected)
    assert checkpoint.format == "GGUF v3 in 3 parts"
    assert checkpoint.path == tmp_path / PARTS[0]
    assert checkpoint.config == TINY
    assert not any(key.startswith("split.") for key in checkpoint.metadata)


@pytest.mark.parametrize("matrices", ["F16", "Q8_0", "Q4_K", "Q6_K"])
def test_parts_of_every_kind_of_matrix_are_views(tmp_path, matrices):
    config = WIDE if matrices.endswith("_K") else TINY
    expected = write_reference(tmp_path / "m.gguf", config, matrices=matrices, split_max_size=8_000)
    assert len(list(tmp_path.iterdir())) > 1
    checkpoint = read_gguf(next(tmp_path.iterdir()))
    check(checkpoint, expected)
    for name, weight in named_leaves(checkpoint.params):
        assert name.endswith("norm") or not weight.data.flags.owndata


def test_a_first_part_without_tensors(tmp_path):
    """As `llama-gguf-split --no-tensor-first-split` writes it."""
    expected = write_reference(tmp_path / "m.gguf", split_max_tensors=10, small_first_shard=True)
    assert len(list(tmp_path.iterdir())) == 3
    check(read_gguf(tmp_path / PARTS[2]), expected)


def test_one_part_is_a_model_like_any_other(tmp_path):
    expected = write_reference(tmp_path / "m.gguf", keys={"split.count": 1, "split.no": 0, "split.tensors.count": 20})
    check(read_gguf(tmp_path / "m.gguf"), expected)


def test_the_tokenizer_comes_from_the_first_part(tmp_path):
    keys = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in gguf_metadata(sentencepiece(24)).items()
    }
    write_reference(tmp_path / "m.gguf", replace(TINY, vocab_size=24), keys=keys, split_max_tensors=8)
    tokenizer = tokenizer_of(load_checkpoint(tmp_path / PARTS[1]))
    assert tokenizer is not None
    assert tokenizer.decode(tokenizer.encode("ab")) == "ab"


@pytest.mark.parametrize("missing", range(3))
def test_a_missing_part_is_named(tmp_path, expected, missing):
    (tmp_path / PARTS[missing]).unlink()
    given = PARTS[(missing + 1) % 3]
    refused(lambda: read_gguf(tmp_path / given), f"{PARTS[missing]}: file: is missing: {given} is one of 3 parts")
    refused(lambda: load_checkpoint(tmp_path), PARTS[missing], "is missing")


def test_several_missing_parts_are_one_error(tmp_path, expected):
    for name in PARTS[1:]:
        (tmp_path / name).unlink()
    refused(lambda: read_gguf(tmp_path / PARTS[0]), PARTS[1], "is missing and 1 more")


@pytest.mark.parametrize("name", ["m.gguf", "m-00001-of-00003.gguf", "m-00002-of-00004.gguf", "m-2-of-3.gguf"])
def test_a_renamed_part_says_its_name(tmp_path, expected, name):
    shutil.copy(tmp_path / PARTS[1], tmp_path / name)
    refused(lambda: read_gguf(tmp_path / name), name, "part 2 of 3", "-00002-of-00003.gguf")


def test_parts_joined_by_cat_say_how_to_join_them(tmp_path, expected):
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(b"".join((tmp_path / name).read_bytes() for name in PARTS))
    refused(lambda: read_gguf(whole), "whole.gguf", "part 1 of 3", "llama-gguf-split --merge")


@pytest.mark.parametrize("name", ["M-00001-of-00003.GGUF", "a b-00001-of-00002-ü-00001-of-00003.gguf"])
def test_other_spellings_of_the_name(tmp_path, expected, name):
    ends = [f"-{i:05}-of-00003.{name[-4:]}" for i in (1, 2, 3)]
    for part, end in zip(PARTS, ends):
        (tmp_path / part).rename(tmp_path / name.replace(f"-00001-of-00003.{name[-4:]}", end))
    check(read_gguf(tmp_path / name), expected)
    check(load_checkpoint(tmp_path), expected)


def test_two_split_models_in_a_folder_are_not_guessed(tmp_path, expected):
    for part in PARTS:
        shutil.copy(tmp_path / part, tmp_path / f"other-{part}")
    refused(lambda: load_checkpoint(tmp_path), "holds no model", "found 2")


# --- parts of other models -----------------------------------------------------------------


def other_model(folder: Path, **changes) -> Path:
    folder.mkdir()
    write_reference(folder / "m.gguf", **{"seed": 2, "split_max_tensors": 8, **changes})
    return folder


def test_a_part_of_a_model_with_other_tensors(tmp_path, expected):
    """The last part of the other one has fewer tensors."""
    other = other_model(tmp_path / "other", split_max_tensors=9)
    shutil.copy(other / PARTS[2], tmp_path / PARTS[2])
    refused(lambda: read_gguf(tmp_path / PARTS[0]), "split.tensors.count", "expected 20 tensors", "found 18")


def test_a_part_with_tensors_that_are_elsewhere_too(tmp_path, expected):
    other = other_model(tmp_path / "other", split_max_tensors=9)
    shutil.copy(other / PARTS[1], tmp_path / PARTS[1])
    refused(lambda: read_gguf(tmp_path / PARTS[0]), PARTS[2], f"is in {PARTS[1]}, too", "another model")


def test_a_part_of_a_model_with_another_count(tmp_path, expected):
    other = other_model(tmp_path / "other", tensors={"rope_freqs.weight": np.ones(4, np.float32)})
    shutil.copy(other / PARTS[1], tmp_path / PARTS[1])
    refused(lambda: read_gguf(tmp_path / PARTS[0]), PARTS[1], "split.tensors.count", "expected 20", "found 21")


def test_a_part_in_the_place_of_another(tmp_path, expected):
    shutil.copy(tmp_path / PARTS[1], tmp_path / PARTS[2])
    refused(lambda: read_gguf(tmp_path / PARTS[0]), PARTS[2], "split.no", "expected 2", "found 1")


def part(path: Path, keys: dict[str, int | str]) -> None:
    """A part without tensors, of any keys."""
    writer = gguf.GGUFWriter(path, "")
    writer.kv_data[0].clear()
    for key, value in keys.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_uint16(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"split.no": 1, "split.count": 3, "split.tensors.count": 20, "general.architecture": "qwen2"}, ["'llama'"]),
        ({"split.no": 1, "split.count": 3, "split.tensors.count": 20, "general.name": "other"}, ["general.name"]),
        ({"split.no": 1, "split.count": 2, "split.tensors.count": 20}, ["split.count", "expected 3", "found 2"]),
        ({"split.count": 3, "split.tensors.count": 20}, ["split.no", "found nothing"]),
        ({"split.no": 1, "split.count": 3, "split.tensors.count": "20"}, ["split.tensors.count", "found '20'"]),
        ({}, ["split.no", "found nothing"]),
    ],
    ids=str,
)
def test_a_part_of_other_keys(tmp_path, expected, keys, words):
    part(tmp_path / PARTS[1], keys)
    refused(lambda: read_gguf(tmp_path / PARTS[0]), PARTS[1], *words)


def test_an_alignment_that_only_the_first_part_tells_is_not_guessed(tmp_path):
    """gguf-py aligns the other parts to it, too, but does not say so, and llama.cpp then reads them shifted."""
    write_reference(tmp_path / "m.gguf", keys={"general.alignment": 64}, split_max_tensors=8)
    refused(lambda: read_gguf(tmp_path / PARTS[0]), PARTS[1], "general.alignment", "expected 64")


def test_a_part_that_is_cut_off(tmp_path, expected):
    path = tmp_path / PARTS[2]
    path.write_bytes(path.read_bytes()[:-100])
    refused(lambda: read_gguf(tmp_path / PARTS[0]), PARTS[2], "needs bytes")
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refused(lambda: read_gguf(tmp_path / PARTS[0]), PARTS[2], "git-lfs pointer")


def test_very_many_parts_are_refused_before_one_is_looked_for(tmp_path):
    path = tmp_path / "m-00001-of-60000.gguf"
    part(path, {"split.no": 0, "split.count": 60000, "split.tensors.count": 1})
    refused(lambda: read_gguf(path), "split.count", "at most 999", "found 60000")


def test_names_of_parts():
    assert part_names("a/m-00002-of-00002.gguf") == ["a/m-00001-of-00002.gguf", "a/m-00002-of-00002.gguf"]
    for name in ("m.gguf", "m-00000-of-00000.gguf", "m-00001-of-00002.bin", "m-1-of-2.gguf"):
        assert part_names(name) == [name]
