"""The tokenizer of a GGUF file by itself: without tensors, and by the names that llama.cpp has for word patterns."""

import time

import numpy as np
import pytest
from corpus import load_bytes, random_texts

from minillama.checkpoints.gguf.writing import write_gguf
from minillama.config import ModelConfig
from minillama.files.errors import CheckpointError
from minillama.params import init_params
from minillama.tokenizers import ByteLevelBPE, gguf_metadata, load_tokenizer, tokenizer_from_gguf
from minillama.tokenizers.bpe.base import TokenType
from minillama.tokenizers.bpe.byte_level import BYTE_TO_CHARACTER
from minillama.tokenizers.files.gguf_extra import EXTRA_KEY
from minillama.tokenizers.files.sentencepiece_model import parse


@pytest.fixture
def byte_level(byte_level_json, tmp_path):
    return load_bytes(tmp_path / "tokenizer.json", byte_level_json)


def write_vocabulary(path, tokenizer):
    """A GGUF file with the keys of the tokenizer and no tensors, as llama.cpp keeps vocabularies."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in gguf_metadata(tokenizer).items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value if isinstance(value, list) else value.tolist())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("kind", ["sentencepiece", "byte-level"])
def test_a_vocabulary_without_tensors(tmp_path, small_model, byte_level, kind):
    tokenizer = parse(small_model) if kind == "sentencepiece" else byte_level
    write_vocabulary(tmp_path / "vocab.gguf", tokenizer)
    alone = load_tokenizer(tmp_path / "vocab.gguf")
    for text in random_texts(200, seed=3):
        assert alone.encode(text) == tokenizer.encode(text)


def test_the_tokenizer_of_a_whole_model(tmp_path, byte_level):
    config = ModelConfig(
        dim=32, n_layers=1, n_heads=2, n_kv_heads=2, hidden_dim=64, vocab_size=byte_level.vocab_size, max_seq_len=16
    )
    params = init_params(config, np.random.default_rng(0))
    write_gguf(tmp_path / "model.gguf", config, params, tokenizer_metadata=gguf_metadata(byte_level))
    assert load_tokenizer(tmp_path / "model.gguf").encode("ab 12") == byte_level.encode("ab 12")
    (tmp_path / "cut.gguf").write_bytes((tmp_path / "model.gguf").read_bytes()[:300])
    with pytest.raises(CheckpointError):
        load_tokenizer(tmp_path / "cut.gguf")


NAMES = {"llama-bpe": "llama-bpe", "llama3": "llama-bpe", "smaug-bpe": "llama-bpe", "qwen2": "qwen2"}
NAMES |= {"deepseek-r1-qwen": "qwen2", "smollm": "smollm", "starcoder": "smollm", "gpt-2": "gpt-2", "mpt": "gpt-2"}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_word_patterns(byte_level, name):
    metadata = gguf_metadata(byte_level) | {"tokenizer.ggml.pre": name, "tokenizer.ggml.bos_token_id": 1}
    del metadata["tokenizer.ggml.add_bos_token"]
    tokenizer = tokenizer_from_gguf(metadata)
    begins = name in ("llama-bpe", "llama3")
    assert (tokenizer.word_pattern, tokenizer.ignore_merges, tokenizer.add_bos) == (NAMES[name], begins, begins)


# What llama.cpp's own tokenizer makes of the text by each pattern, read off its words.
WORDS = {
    "gpt-2": ["I", "'ve", " 1234", " (", "cats", ")!!", "\n\n", "\n", "x", "'", "LL", "  ", " y"],
    "smollm": ["I", "'ve", " ", "1", "2", "3", "4", " (", "cats", ")!!", "\n\n", "\n", "x", "'", "LL", "  ", " y"],
    "qwen2": ["I", "'ve", " ", "1", "2", "3", "4", " (", "cats", ")!!\n\n\n", "x", "'LL", "  ", " y"],
    "llama-bpe": ["I", "'ve", " ", "123", "4", " (", "cats", ")!!\n\n\n", "x", "'LL", "  ", " y"],
    "default": ["I", "'", "ve", " ", "123", "4", " ", "(", "cats", ")!!", "\n\n", "\n", "x", "'", "LL", "  ", " y"],
}


@pytest.mark.parametrize("pattern", WORDS)
def test_words(pattern):
    tokenizer = ByteLevelBPE(list(BYTE_TO_CHARACTER), [1] * 256, [], word_pattern=pattern)
    assert tokenizer.words("I've 1234 (cats)!!\n\n\nx'LL   y") == WORDS[pattern]


@pytest.mark.parametrize("kind", [TokenType.NORMAL, TokenType.USER_DEFINED])
@pytest.mark.parametrize("end", ["<|eot_id|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "<EOT>"])
def test_ends_are_control_whatever_type_the_file_gives_them(byte_level, end, kind):
    """llama.cpp corrects files of older converters in the same way."""
    metadata = gguf_metadata(byte_level)
    n_tokens = byte_level.vocab_size
    metadata["tokenizer.ggml.tokens"] = [*byte_level.pieces, end]
    metadata["tokenizer.ggml.token_type"] = np.array([*byte_level.types, kind], np.int32)
    tokenizer = tokenizer_from_gguf(metadata)
    assert n_tokens in tokenizer.stop_ids
    assert tokenizer.encode(f"a{end}", allow_special=True)[-1] == n_tokens
    assert n_tokens not in tokenizer.encode(f"a{end}")
    assert tokenizer_from_gguf(gguf_metadata(tokenizer)).stop_ids == tokenizer.stop_ids


@pytest.mark.parametrize("pre", [None, "default"])
def test_a_file_that_names_no_word_pattern_is_read_with_a_warning(byte_level, pre):
    metadata = gguf_metadata(byte_level)
    metadata["tokenizer.ggml.pre"] = pre
    with pytest.warns(UserWarning, match=r"model\.gguf: tokenizer\.ggml\.pre .* as llama\.cpp does by default"):
        tokenizer = tokenizer_from_gguf(metadata, "model.gguf")
    assert tokenizer.word_pattern == "default"


@pytest.mark.parametrize("pre", ["tekken", "gpt-4o", "deepseek-v3", "qwen35", "", "llama-spm"])
def test_other_word_patterns_are_refused_by_name(byte_level, pre):
    with pytest.raises(CheckpointError, match=f"found '{pre}'"):
        tokenizer_from_gguf(gguf_metadata(byte_level) | {"tokenizer.ggml.pre": pre})


@pytest.mark.parametrize(
    "value",
    [
        "no JSON",
        "[]",
        '{"added": 1}',
        '{"added": [1]}',
        '{"added": [{"content": "a"}]}',
        '{"added": [{"content": "nowhere", "id": 3}]}',
        '{"added": [{"content": "<|endoftext|>", "id": 0, "lstrip": 1}]}',
        '{"compose": "yes"}',
        5,
    ],
)
def test_damaged_settings_of_our_own(byte_level, value):
    with pytest.raises(CheckpointError):
        tokenizer_from_gguf(gguf_metadata(byte_level) | {EXTRA_KEY: value})


def test_a_vocabulary_of_llama3s_size_loads_quickly():
    """128,000 pieces and 280,000 rules."""
    letters = list(BYTE_TO_CHARACTER)
    pairs = [(left, right) for left in letters for right in letters]
    triples = [(left + right, third) for left, right in pairs[:2500] for third in letters[:25]]
    pieces = [*letters, *(left + right for left, right in pairs + triples)]
    rules = [*pairs, *triples] * 3
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in rules[:280_000]],
    }
    assert len(pieces) > 125_000
    start = time.process_time()
    tokenizer = tokenizer_from_gguf(metadata)
    assert time.process_time() - start < 4  # one second on the machine this was written on
    assert tokenizer.decode(tokenizer.encode("hello there")) == "hello there"
