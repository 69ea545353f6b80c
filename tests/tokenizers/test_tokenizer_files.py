"""Reading and writing tokenizers in every format, and refusing what is damaged or unknown."""

import json
import struct

import numpy as np
import pytest
import sentencepiece
from corpus import random_texts, sentencepiece_as_json, train_sentencepiece

from minillama.checkpoints.errors import CheckpointError
from minillama.tokenizers import (
    ByteLevelBPE,
    SentencePieceBPE,
    gguf_metadata,
    load_tokenizer,
    tokenizer_from_gguf,
    write_llama2c_tokenizer,
)
from minillama.tokenizers.sentencepiece_model import parse, serialize

TEXTS = random_texts(400, seed=11)


def assert_equal(a, b):
    """The same ids, settings and vocabulary."""
    for text in TEXTS:
        assert a.encode(text) == b.encode(text), text
    for name in ("pieces", "types", "bos_id", "eos_id", "add_bos", "stop_ids", "special_tokens", "chat_template"):
        assert getattr(a, name) == getattr(b, name), name


@pytest.fixture(scope="session")
def byte_level_json(small_byte_level) -> bytes:
    return small_byte_level.to_str().encode()


@pytest.fixture(params=["sentencepiece", "rules", "byte-level"])
def tokenizer(request, tmp_path, small_model, byte_level_json):
    """One of each kind, read from a folder with a configuration."""
    scored = parse(small_model)
    files = {
        "sentencepiece": ("tokenizer.model", small_model, "<s>", "</s>"),
        "rules": ("tokenizer.json", sentencepiece_as_json(scored.pieces, scored.scores), "<s>", "</s>"),
        "byte-level": ("tokenizer.json", byte_level_json, "<|im_start|>", "<|im_end|>"),
    }
    name, data, bos, eos = files[request.param]
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / name).write_bytes(data)
    config = {"bos_token": {"content": bos}, "eos_token": eos, "add_bos_token": True, "chat_template": "{{ 'hi' }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return load_tokenizer(folder)


def test_configuration_is_read(tokenizer):
    assert tokenizer.add_bos
    assert tokenizer.eos_id in tokenizer.stop_ids
    assert tokenizer.chat_template == "{{ 'hi' }}"


def test_save_and_load(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "copy")
    assert_equal(load_tokenizer(tmp_path / "copy"), tokenizer)
    tokenizer.source = None  # as if it had come from a GGUF file: everything is written anew
    tokenizer.save(tmp_path / "anew")
    assert_equal(load_tokenizer(tmp_path / "anew"), tokenizer)


def test_original_bytes_are_kept(tokenizer, tmp_path):
    name, data = tokenizer.source
    tokenizer.save(tmp_path)
    assert (tmp_path / name).read_bytes() == data


def test_gguf_round_trip(tokenizer):
    metadata = gguf_metadata(tokenizer)
    assert metadata["tokenizer.ggml.token_type"].dtype == np.int32
    copy = tokenizer_from_gguf(metadata)
    if isinstance(tokenizer, SentencePieceBPE) and tokenizer.merges is not None:
        copy.decode(copy.encode("the rules became scores"))
        assert copy.pieces == tokenizer.pieces
    else:
        assert_equal(copy, tokenizer)


def test_the_chat_template_may_have_its_own_file(tmp_path, small_model):
    (tmp_path / "tokenizer.model").write_bytes(small_model)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert load_tokenizer(tmp_path).chat_template == "{{ messages }}"


def test_saving_replaces_another_tokenizer(tmp_path, small_model, byte_level_json):
    """A folder never holds two tokenizers: the wrong one would be read."""
    (tmp_path / "tokenizer.json").write_bytes(byte_level_json)
    parse(small_model).save(tmp_path)
    assert isinstance(load_tokenizer(tmp_path), SentencePieceBPE)


def test_other_programs_read_what_is_written(tmp_path, small_model, byte_level_json):
    """The sentencepiece and tokenizers libraries make the same ids from the files written anew."""
    tokenizers = pytest.importorskip("tokenizers")
    scored = parse(small_model)
    oracle = sentencepiece.SentencePieceProcessor(model_proto=serialize(scored))
    assert (oracle.bos_id(), oracle.eos_id(), oracle.unk_id()) == (1, 2, 0)
    rules = load_from_bytes(tmp_path / "rules.json", sentencepiece_as_json(scored.pieces, scored.scores))
    byte_level = load_from_bytes(tmp_path / "bytes.json", byte_level_json)
    libraries = []
    for n, tokenizer in enumerate((rules, byte_level)):
        tokenizer.source = None
        tokenizer.save(tmp_path / str(n))
        libraries.append(tokenizers.Tokenizer.from_file(str(tmp_path / str(n) / "tokenizer.json")))
        libraries[-1].encode_special_tokens = True
    for text in TEXTS:
        assert scored.encode(text, bos=False) == oracle.encode(text)
        assert rules.encode(text) == libraries[0].encode(text).ids
        assert byte_level.encode(text) == libraries[1].encode(text).ids
        assert byte_level.decode(byte_level.encode(text)) == libraries[1].decode(byte_level.encode(text))
    transformers = pytest.importorskip("transformers")
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "1")
    assert loaded("Hello world")["input_ids"] == byte_level.encode("Hello world")


def load_from_bytes(path, data):
    path.write_bytes(data)
    return load_tokenizer(path)


def test_smollm2_saved_is_smollm2(smollm2_metadata, tmp_path):
    tokenizer = tokenizer_from_gguf(smollm2_metadata)
    tokenizer.save(tmp_path)
    assert_equal(load_tokenizer(tmp_path), tokenizer)
    assert_equal(tokenizer_from_gguf(gguf_metadata(tokenizer)), tokenizer)


# --- llama2.c --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama2_tokenizer/tokenizer", "stories260K/tok512"])
def test_llama2c_file_is_the_same_vocabulary(shared_data, tmp_path, name):
    model = load_tokenizer(shared_data / f"{name}.model")
    exported = load_tokenizer(shared_data / f"{name}.bin", vocab_size=model.vocab_size)
    assert (exported.pieces, exported.types, exported.scores) == (model.pieces, model.types, model.scores)
    for tokenizer in (model, exported):
        write_llama2c_tokenizer(tmp_path / "tokenizer.bin", tokenizer)
        assert (tmp_path / "tokenizer.bin").read_bytes() == (shared_data / f"{name}.bin").read_bytes()


def test_llama2c_round_trip(small_model, tmp_path):
    tokenizer = parse(small_model)
    write_llama2c_tokenizer(tmp_path / "tokenizer.bin", tokenizer)
    assert_equal(load_tokenizer(tmp_path), tokenizer)
    with pytest.raises(CheckpointError, match=r"pieces: expected 500, the model's vocabulary, found 420"):
        load_tokenizer(tmp_path / "tokenizer.bin", vocab_size=500)
    with pytest.raises(CheckpointError, match="expected 300, the model's vocabulary, found more"):
        load_tokenizer(tmp_path / "tokenizer.bin", vocab_size=300)


def test_llama2c_refuses_other_layouts(tmp_path, byte_level_json):
    tokenizer = parse(train_sentencepiece(user_defined_symbols=["<extra>"]))
    with pytest.raises(ValueError, match="expected the byte pieces at ids 3 to 258"):
        write_llama2c_tokenizer(tmp_path / "tokenizer.bin", tokenizer)
    assert not list(tmp_path.iterdir())


# --- what is refused -------------------------------------------------------------------------


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


def change(root, path, value):
    """Put `value` at the place `path` of a nested object."""
    for key in path[:-1]:
        root = root[key]
    root[path[-1]] = value


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        (["normalizer"], {"type": "NFC"}, "normalizer"),
        (["pre_tokenizer"], None, "pre_tokenizer"),
        (["pre_tokenizer"], {"type": "Whitespace"}, "pre_tokenizer"),
        (["pre_tokenizer", "pretokenizers", 0, "individual_digits"], False, "pre_tokenizer"),
        (["pre_tokenizer", "pretokenizers", 1, "add_prefix_space"], True, "pre_tokenizer"),
        (["pre_tokenizer", "pretokenizers", 1, "use_regex"], False, "pre_tokenizer"),
        (["model", "type"], "Unigram", "model.type"),
        (["model", "ignore_merges"], True, "model.ignore_merges"),
        (["model", "end_of_word_suffix"], "</w>", "model.end_of_word_suffix"),
        (["model", "dropout"], 0.1, "model.dropout"),
        (["model", "unk_token"], "nowhere", "model.unk_token"),
        (["model", "byte_fallback"], 1, "pre_tokenizer"),
        (["model", "vocab"], [], "model.vocab"),
        (["model", "vocab", "!"], 10**9, "model.vocab"),
        (["model", "vocab", "!"], True, "model.vocab['!']"),
        (["model", "vocab", "!"], 4, "model.vocab['\"']"),
        (["model", "merges", 0], "a b c", "model.merges[0]"),
        (["model", "merges", 0], ["a"], "model.merges[0]"),
        (["model", "merges", 0], "q nowhere", "model"),
        (["model", "merges"], None, "model.merges"),
        (["added_tokens", 0, "content"], "", "added_tokens[0].content"),
        (["added_tokens", 0, "lstrip"], True, "added_tokens[0].lstrip"),
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
        ("pre", "llama-bpe"),
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
    metadata = gguf_metadata(load_from_bytes(tmp_path / "tokenizer.json", byte_level_json))
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
    metadata = gguf_metadata(load_from_bytes(tmp_path / "tokenizer.json", byte_level_json))
    metadata["tokenizer.ggml.pre"] = "qwen2"
    with pytest.raises(CheckpointError, match="expected one of 'smollm', 'gpt-2', 'default', found 'qwen2'"):
        tokenizer_from_gguf(metadata)
    metadata["tokenizer.ggml.pre"] = "gpt-2"
    tokenizer = tokenizer_from_gguf(metadata)
    assert isinstance(tokenizer, ByteLevelBPE)
    assert not tokenizer.split_digits
