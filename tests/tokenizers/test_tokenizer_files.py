"""Reading and writing tokenizers in every format, and refusing what is damaged or unknown."""

import json

import numpy as np
import pytest
import sentencepiece
import tokenizers
import transformers
from corpus import load_bytes, random_texts, sentencepiece_as_json, train_sentencepiece

from minillama.files.errors import CheckpointError
from minillama.tokenizers import (
    SentencePieceBPE,
    gguf_metadata,
    load_tokenizer,
    save_tokenizer,
    tokenizer_from_gguf,
    write_llama2c_tokenizer,
)
from minillama.tokenizers.files.sentencepiece_model import parse, serialize

TEXTS = random_texts(400, seed=11)


def assert_equal(a, b):
    """The same ids, settings and vocabulary."""
    for text in TEXTS:
        assert a.encode(text) == b.encode(text), text
    for name in ("pieces", "types", "bos_id", "eos_id", "add_bos", "stop_ids", "special_tokens", "chat_template"):
        assert getattr(a, name) == getattr(b, name), name


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
    name, data = tokenizer.source
    assert tokenizer.add_bos == (name == "tokenizer.model" or b"TemplateProcessing" in data)
    assert tokenizer.eos_id in tokenizer.stop_ids
    assert tokenizer.chat_template == "{{ 'hi' }}"


def test_save_and_load(tokenizer, tmp_path):
    save_tokenizer(tokenizer, tmp_path / "copy")
    assert_equal(load_tokenizer(tmp_path / "copy"), tokenizer)
    tokenizer.source = None  # as if it had come from a GGUF file: everything is written from scratch
    save_tokenizer(tokenizer, tmp_path / "again")
    assert_equal(load_tokenizer(tmp_path / "again"), tokenizer)


def test_original_bytes_are_kept(tokenizer, tmp_path):
    name, data = tokenizer.source
    save_tokenizer(tokenizer, tmp_path)
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


def test_of_several_chat_templates_the_default_one_counts(tmp_path, small_model):
    templates = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    (tmp_path / "tokenizer.model").write_bytes(small_model)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    assert load_tokenizer(tmp_path).chat_template == "yes"


def test_saving_replaces_another_tokenizer(tmp_path, small_model, byte_level_json):
    """A folder never holds two tokenizers: the wrong one would be read."""
    (tmp_path / "tokenizer.json").write_bytes(byte_level_json)
    save_tokenizer(parse(small_model), tmp_path)
    assert isinstance(load_tokenizer(tmp_path), SentencePieceBPE)


def test_other_programs_read_what_is_written(tmp_path, small_model, byte_level_json):
    """The sentencepiece and tokenizers libraries make the same ids from the files written from scratch."""
    scored = parse(small_model)
    oracle = sentencepiece.SentencePieceProcessor(model_proto=serialize(scored))
    assert (oracle.bos_id(), oracle.eos_id(), oracle.unk_id()) == (1, 2, 0)
    rules = load_bytes(tmp_path / "rules.json", sentencepiece_as_json(scored.pieces, scored.scores))
    byte_level = load_bytes(tmp_path / "bytes.json", byte_level_json)
    libraries = []
    for n, tokenizer in enumerate((rules, byte_level)):
        tokenizer.source = None
        save_tokenizer(tokenizer, tmp_path / str(n))
        libraries.append(tokenizers.Tokenizer.from_file(str(tmp_path / str(n) / "tokenizer.json")))
        libraries[-1].encode_special_tokens = True
    for text in TEXTS:
        assert scored.encode(text, bos=False) == oracle.encode(text)
        assert rules.encode(text) == libraries[0].encode(text).ids
        assert byte_level.encode(text) == libraries[1].encode(text).ids
        assert byte_level.decode(byte_level.encode(text)) == libraries[1].decode(byte_level.encode(text))
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "1")
    assert loaded("Hello world")["input_ids"] == byte_level.encode("Hello world")


def test_smollm2_saved_is_smollm2(smollm2_metadata, tmp_path):
    tokenizer = tokenizer_from_gguf(smollm2_metadata)
    save_tokenizer(tokenizer, tmp_path)
    assert_equal(load_tokenizer(tmp_path), tokenizer)
    assert_equal(tokenizer_from_gguf(gguf_metadata(tokenizer)), tokenizer)


def test_ends_of_turn_survive_gguf(byte_level_json, tmp_path):
    metadata = gguf_metadata(load_bytes(tmp_path / "tokenizer.json", byte_level_json))
    tokenizer = tokenizer_from_gguf(metadata | {"tokenizer.ggml.eot_token_id": 20})
    assert 20 in tokenizer.stop_ids
    assert tokenizer_from_gguf(gguf_metadata(tokenizer)).stop_ids == tokenizer.stop_ids


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
