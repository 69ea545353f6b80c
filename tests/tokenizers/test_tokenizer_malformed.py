"""Files that are damaged, or of a kind that is not supported, are refused with the field at fault."""

import json
import struct
import tracemalloc

import numpy as np
import pytest
from corpus import load_bytes, sentencepiece_as_json, train_sentencepiece

from minillama.files.errors import CheckpointError
from minillama.tokenizers import (
    ByteLevelBPE,
    gguf_metadata,
    load_tokenizer,
    save_tokenizer,
    tokenizer_from_gguf,
    write_llama2c_tokenizer,
)
from minillama.tokenizers.files.sentencepiece_model import parse


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "unigram", "byte_fallback": False, "vocab_size": 120}, "expected BPE, found unigram"),
        ({"normalization_rule_name": "nmt_nfkc"}, "expected the identity"),
        ({"treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix"),
    ],
)
def test_other_sentencepiece_models(tmp_path, options, message):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(train_sentencepiece(**options))
    with pytest.raises(CheckpointError, match=message) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)


def test_nothing_to_read(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected one of tokenizer\.json, tokenizer\.model, tokenizer\.bin"):
        load_tokenizer(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_tokenizer(tmp_path / "tokenizer.model")


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.bin", "tokenizer.json"])
def test_damaged_files(tmp_path, small_model, byte_level_json, rng, name):
    """Cut off anywhere, or with any byte changed, a file is read or refused: nothing else happens."""
    path = tmp_path / name
    if name == "tokenizer.bin":
        write_llama2c_tokenizer(path, parse(small_model))
    else:
        path.write_bytes(small_model if name == "tokenizer.model" else byte_level_json)
    data = path.read_bytes()
    cut = [data[:size] for size in (0, 1, 3, 4, 5, *rng.integers(6, len(data), 100))]
    changed = []
    for _ in range(200):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            damaged[at] = rng.integers(256)
        changed.append(bytes(damaged))
    for damaged in cut + changed:
        path.write_bytes(damaged)
        try:
            tokenizer = load_tokenizer(path)
        except CheckpointError:
            continue
        tokenizer.decode(tokenizer.encode("a 🙂"))
    path.write_bytes(data[: len(data) // 2 + 1])
    with pytest.raises(CheckpointError):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a\xff\xff\xff\xff\x7f", "are left"),  # a field of 34 GB
        (b"\xff" * 20, "has no end"),
        (b"\x0b", "wire type 3"),
        (b"\x0a\x02\x0a\x00", "piece 0 is empty"),
        (b"\x0a\x08\x0a\x01a\x15\x00\x00\xc0\x7f", "piece 0 has the score nan"),
        (b"\x0a\x05\x0a\x01a\x18\x09", "piece 0 has the unknown type 9"),
        (b"\x0a\x04\x0a\x02\xff\xfe", "invalid start byte"),
        (b"\x08\x01", "field 1 should be a message"),
        (b"", "there are no pieces"),
    ],
)
def test_damaged_protocol_buffers(data, message):
    with pytest.raises(CheckpointError, match=message):
        parse(data)


def test_llama2c_lengths_are_checked(tmp_path):
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(struct.pack("<IfI", 4, 0.0, 0xFFFFFFF0) + b"abc")
    with pytest.raises(CheckpointError, match="piece 0: needs bytes 12 to"):
        load_tokenizer(path)


def places(node, path=()):
    """Every place of a nested object, of those deep inside only the first two."""
    children = list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ())
    for key, child in children[: 12 if len(path) < 2 else 2]:
        yield (*path, key)
        yield from places(child, (*path, key))


@pytest.mark.parametrize("kind", ["rules", "byte-level", "configuration"])
def test_any_value_in_any_place_of_the_json(tmp_path, small_model, byte_level_json, kind):
    """Whatever stands where something else belongs: the file is read or refused, nothing else happens."""
    scored = parse(small_model)
    data = byte_level_json if kind == "byte-level" else sentencepiece_as_json(scored.pieces, scored.scores)
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    if kind == "configuration":
        save_tokenizer(load_tokenizer(path), tmp_path)
        path = tmp_path / "tokenizer_config.json"
        data = path.read_bytes()
    for place in places(json.loads(data)):
        for value in (None, True, -1, 1e300, "", "x", [], [[]], {}, {"type": []}, [{"name": [], "SpecialToken": 1}]):
            root = json.loads(data)
            change(root, place, value)
            path.write_text(json.dumps(root))
            try:
                tokenizer = load_tokenizer(tmp_path)
            except CheckpointError:
                continue
            tokenizer.decode(tokenizer.encode("a 🙂"))


def change(root, path, value):
    """Put `value` at the place `path` of a nested object."""
    for key in path[:-1]:
        root = root[key]
    root[path[-1]] = value


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        (["normalizer"], {"type": "NFKC"}, "normalizer"),
        (["decoder"], {"type": "WordPiece"}, "decoder"),
        (["pre_tokenizer"], None, "pre_tokenizer"),
        (["pre_tokenizer"], {"type": "Whitespace"}, "pre_tokenizer"),
        (["pre_tokenizer", "pretokenizers", 0, "individual_digits"], False, "pre_tokenizer"),
        (["pre_tokenizer", "pretokenizers", 1, "add_prefix_space"], True, "pre_tokenizer"),
        (["pre_tokenizer", "pretokenizers", 1, "use_regex"], False, "pre_tokenizer"),
        (["model", "type"], "Unigram", "model.type"),
        (["model", "end_of_word_suffix"], "</w>", "model.end_of_word_suffix"),
        (["model", "dropout"], 0.1, "model.dropout"),
        (["model", "unk_token"], "nowhere", "model.unk_token"),
        (["model", "byte_fallback"], 1, "decoder"),
        (["model", "vocab"], [], "model.vocab"),
        (["model", "vocab", "!"], 10**9, "model.vocab"),
        (["model", "vocab", "!"], True, "model.vocab['!']"),
        (["model", "vocab", "!"], 4, "model.vocab['\"']"),
        (["model", "merges", 0], "a b c", "model.merges[0]"),
        (["model", "merges", 0], ["a"], "model.merges[0]"),
        (["model", "merges", 0], "q nowhere", "model"),
        (["model", "merges"], None, "model.merges"),
        (["added_tokens", 0, "content"], "", "added_tokens[0].content"),
        (["added_tokens", 0, "lstrip"], "yes", "added_tokens[0].lstrip"),
        (["added_tokens", 0, "id"], "x", "added_tokens[0].id"),
        (["added_tokens", 0, "id"], 7, "added_tokens[0]"),
        (["added_tokens"], 5, "added_tokens"),
    ],
)
def test_other_tokenizer_json(tmp_path, byte_level_json, place, value, field):
    root = json.loads(byte_level_json)
    change(root, place, value)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(root))
    with pytest.raises(CheckpointError) as caught:
        load_tokenizer(path)
    assert caught.value.field == field


def test_other_sentencepiece_json(tmp_path, small_model):
    scored = parse(small_model)
    root = json.loads(sentencepiece_as_json(scored.pieces, scored.scores))
    root["normalizer"] = None
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(root))
    with pytest.raises(CheckpointError, match="normalizer: expected Prepend"):
        load_tokenizer(path)
    path.write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="JSON"):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", None),
        ("model", "bert"),
        ("pre", "tekken"),
        ("tokens", None),
        ("tokens", ["a", 1]),
        ("token_type", np.zeros(3, np.int32)),
        ("token_type", np.full(505, 9, np.int32)),
        ("merges", ["a"]),
        ("merges", ["a nowhere"]),
        ("merges", None),
        ("bos_token_id", 10**6),
        ("bos_token_id", "one"),
        ("add_bos_token", 3),
        ("add_space_prefix", True),
    ],
)
def test_damaged_gguf_metadata(byte_level_json, tmp_path, key, value):
    metadata = gguf_metadata(load_bytes(tmp_path / "tokenizer.json", byte_level_json))
    assert len(metadata["tokenizer.ggml.tokens"]) == 502
    metadata[f"tokenizer.ggml.{key}"] = value
    with pytest.raises(CheckpointError, match=rf"model\.gguf: tokenizer\.ggml\.{key}"):
        tokenizer_from_gguf(metadata, "model.gguf")


@pytest.mark.parametrize("value", [None, np.zeros(3, np.float32), np.full(420, np.nan, np.float32), "x"])
def test_damaged_gguf_scores(small_model, value):
    metadata = gguf_metadata(parse(small_model))
    metadata["tokenizer.ggml.scores"] = value
    with pytest.raises(CheckpointError, match=r"tokenizer\.ggml\.scores"):
        tokenizer_from_gguf(metadata)


def test_an_unknown_word_pattern_lists_the_known_ones(byte_level_json, tmp_path):
    metadata = gguf_metadata(load_bytes(tmp_path / "tokenizer.json", byte_level_json))
    metadata["tokenizer.ggml.pre"] = "qwen35"
    with pytest.raises(CheckpointError, match=r"'qwen2', 'llama-bpe', 'default' \(or a name for the same\), found 'qw"):
        tokenizer_from_gguf(metadata)
    metadata["tokenizer.ggml.pre"] = "gpt-2"
    tokenizer = tokenizer_from_gguf(metadata)
    assert isinstance(tokenizer, ByteLevelBPE)
    assert tokenizer.word_pattern == "gpt-2"


GGUF_BASE = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>"]}


def test_texts_where_numbers_belong_are_refused_before_an_array_is_made():
    """NumPy would make room for the longest text at every place: gigabytes for a small file."""
    tokens = [f"t{n}" for n in range(20_000)]
    metadata = GGUF_BASE | {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": ["x" * 100_000] + ["a"] * 19_999,
    }
    with pytest.raises(CheckpointError, match="expected a list of numbers"):
        tokenizer_from_gguf(metadata)


def test_many_long_user_defined_tokens_are_refused():
    tokens = ["<unk>", "<s>", "</s>", *("a" * n for n in range(1, 3000))]
    metadata = GGUF_BASE | {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": [2, 3, 3, *[4] * 2999],
    }
    with pytest.raises(CheckpointError, match="more than 262144 characters"):
        tokenizer_from_gguf(metadata)


def test_more_pieces_than_any_vocabulary_are_refused():
    metadata = GGUF_BASE | {"tokenizer.ggml.tokens": ["a"] * 300_000}
    with pytest.raises(CheckpointError, match="at most 262144 texts, found 300000"):
        tokenizer_from_gguf(metadata)


def test_a_file_larger_than_any_tokenizer_is_refused(tmp_path):
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.write(b"{ " * 4096)
        file.truncate(33 << 20)
    with pytest.raises(CheckpointError, match="more than any tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_a_file_of_more_values_than_any_tokenizer_is_refused_before_it_is_parsed(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"a":[' + "[]," * 2_000_000 + "[]]}")
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="more values than any tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")
    assert tracemalloc.get_traced_memory()[1] < 40e6
    tracemalloc.stop()


def test_a_piece_with_half_a_character_is_refused():
    tokens = ["<unk>", "<s>", "</s>", "\ud800"]
    metadata = GGUF_BASE | {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": [0.0] * 4}
    with pytest.raises(CheckpointError, match="piece 3 has a lone surrogate"):
        tokenizer_from_gguf(metadata)
