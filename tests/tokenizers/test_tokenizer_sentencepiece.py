"""SentencePiece BPE against the `sentencepiece` library, id for id."""

import random

import numpy as np
import pytest
import sentencepiece
import tokenizers
from corpus import N_TEXTS, random_texts, sentencepiece_as_json, train_sentencepiece
from timing import within_seconds

from minillama.tokenizers import Piece, SentencePieceBPE, TokenType, load_tokenizer
from minillama.tokenizers.files.huggingface import parse_tokenizer_json
from minillama.tokenizers.files.sentencepiece_model import parse, serialize


def library(data: bytes) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=data)


def assert_same(tokenizer, oracle, texts, seed=0):
    """Ids and decoded texts agree for all texts, and texts for random ids."""
    for text in texts:
        expected = oracle.encode(text)
        assert tokenizer.encode(text, bos=False) == expected, text
        assert tokenizer.decode(expected) == oracle.decode(expected), text
    rng = random.Random(seed)
    for _ in range(len(texts) // 5):
        ids = [rng.randrange(rng.choice((10, 300, oracle.vocab_size()))) for _ in range(rng.randint(0, 12))]
        ids = [id_ % oracle.vocab_size() for id_ in ids]
        assert tokenizer.decode(ids) == oracle.decode(ids), ids


# Everything a model file can ask for that changes the ids, one at a time.
VARIANTS = {
    "llama": {},
    "no prefix": {"add_dummy_prefix": False},
    "short spaces": {"remove_extra_whitespaces": True},
    "short spaces, no prefix": {"remove_extra_whitespaces": True, "add_dummy_prefix": False},
    "unknown": {"byte_fallback": False},
    "user defined": {"user_defined_symbols": ["<extra>", "▁to", "@@", "the time", "e", "🙂", "<|im"]},
    "control": {"control_symbols": ["<|im_start|>", "<|im_end|>"]},
    "whole sentence": {"split_by_whitespace": False, "max_sentencepiece_length": 30},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_small_vocabularies(variant):
    data = train_sentencepiece(**VARIANTS[variant])
    assert_same(parse(data), library(data), random_texts(max(N_TEXTS // 8, 300), seed=len(variant)))


@pytest.mark.parametrize("name", ["llama2_tokenizer/tokenizer.model", "stories260K/tok512.model"])
def test_real_vocabularies(shared_data, name):
    data = (shared_data / name).read_bytes()
    assert_same(parse(data), library(data), random_texts(N_TEXTS, seed=2))


@pytest.mark.parametrize("byte_fallback", [True, False])
def test_unused_pieces_are_taken_apart_again(byte_fallback):
    """Pieces marked unused, every third one, so that whole families of merges end in them."""
    trained = parse(train_sentencepiece(byte_fallback=byte_fallback))
    rng = random.Random(3)
    types = [TokenType.UNUSED if kind == TokenType.NORMAL and rng.random() < 0.3 else kind for kind in trained.types]
    tokenizer = SentencePieceBPE(
        [Piece(*entry) for entry in zip(trained.pieces, trained.scores, types)], bos_id=1, eos_id=2
    )
    assert_same(tokenizer, library(serialize(tokenizer)), random_texts(max(N_TEXTS // 8, 300), seed=4))


def test_equal_scores_merge_from_the_left():
    """A vocabulary in which almost all scores are equal, so the order of merges decides."""
    rng = random.Random(5)
    texts = {"".join(rng.choices("ab▁", k=rng.randint(2, 4))) for _ in range(40)}
    pieces = [Piece("<unk>", 0, TokenType.UNKNOWN), Piece("a"), Piece("b"), Piece("▁")]
    pieces += [Piece(text, -float(rng.randint(0, 1))) for text in sorted(texts)]
    tokenizer = SentencePieceBPE(pieces, add_bos=False)
    oracle = library(serialize(tokenizer))
    for _ in range(3000):
        text = "".join(rng.choices("ab c", weights=(5, 5, 3, 1), k=rng.randint(0, 30)))
        assert tokenizer.encode(text) == oracle.encode(text), text


# llama-2 facts: test.c of llama2.c, and runs of the sentencepiece library.
VECTORS = {
    "": [1],
    "I believe the meaning of life is": [1, 306, 4658, 278, 6593, 310, 2834, 338],
    "Simply put, the theory of relativity states that ": [
        *(1, 3439, 17632, 1925, 29892, 278, 6368, 310, 14215, 537, 5922, 393, 29871)
    ],
    "Hello world": [1, 15043, 3186],
    "1234": [1, 29871, 29896, 29906, 29941, 29946],
    "  two spaces": [1, 259, 1023, 8162],
    "\n": [1, 29871, 13],
    "안녕": [1, 29871, 31734, 238, 136, 152],
    "🙂": [1, 29871, 243, 162, 156, 133],
    "[INST] Hi [/INST]": [1, 518, 25580, 29962, 6324, 518, 29914, 25580, 29962],
}


@pytest.mark.parametrize("text", VECTORS)
@pytest.mark.parametrize("file", ["tokenizer.model", "tokenizer.bin"])
def test_published_ids(shared_data, file, text):
    tokenizer = load_tokenizer(shared_data / "llama2_tokenizer" / file, vocab_size=32000)
    assert tokenizer.encode(text) == VECTORS[text]
    assert tokenizer.decode(VECTORS[text]) == text


def test_a_space_in_front_comes_back(small_model):
    tokenizer = parse(small_model)
    for text in ("", " ", "  a", "a ", "\n a", "▁"):
        assert tokenizer.decode(tokenizer.encode(text)) == text.replace("▁", " ")


def test_long_texts_take_seconds(small_model):
    """A megabyte, with and without spaces: the merge loop must not be quadratic."""
    tokenizer, oracle = parse(small_model), library(small_model)
    rng = random.Random(6)
    for text in ("ab" * 100_000, "".join(rng.choices("etaoin", k=200_000)), "the time " * 22_000):
        with within_seconds(10):
            ids = tokenizer.encode(text, bos=False)
        assert ids == oracle.encode(text)


def test_words_one_by_one_equal_the_whole_text(small_model):
    tokenizer, whole = parse(small_model), parse(small_model)
    assert tokenizer._by_word
    whole._by_word = False
    for text in random_texts(500, seed=7):
        assert tokenizer.encode(text) == whole.encode(text)


def json_kind_and_oracle(tokenizer):
    """The same vocabulary as merge rules, here and in the `tokenizers` library."""
    data = sentencepiece_as_json(tokenizer.pieces, tokenizer.scores)
    oracle = tokenizers.Tokenizer.from_str(data.decode())
    oracle.encode_special_tokens = True  # text that spells a special token stays text
    return parse_tokenizer_json(data), oracle


def assert_same_as_tokenizers(tokenizer, oracle, texts):
    assert isinstance(tokenizer, SentencePieceBPE)
    for text in texts:
        assert tokenizer.encode(text) == oracle.encode(text).ids, text


def test_rules_of_a_small_vocabulary(small_model):
    assert_same_as_tokenizers(*json_kind_and_oracle(parse(small_model)), random_texts(N_TEXTS // 2, seed=8))


def test_rules_of_llama2(shared_data):
    """Llama 2's tokenizer.json as Hugging Face's converter makes it."""
    scored = load_tokenizer(shared_data / "llama2_tokenizer" / "tokenizer.model")
    tokenizer, oracle = json_kind_and_oracle(scored)
    assert_same_as_tokenizers(tokenizer, oracle, random_texts(N_TEXTS, seed=9))
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.add_bos) == (1, 2, True)
    assert tokenizer.types == scored.types


def test_unknown_characters_need_a_way_to_be_written():
    with pytest.raises(ValueError, match="neither an unknown token nor all 256 byte tokens"):
        SentencePieceBPE([Piece("a")], add_bos=False)
    with pytest.raises(ValueError, match="expected a text like <0x0A>, found 'a'"):
        SentencePieceBPE([Piece("a", 0, TokenType.BYTE)], add_bos=False)
    pieces = [Piece("<unk>", 0, TokenType.UNKNOWN), Piece("▁"), Piece("a")]
    assert SentencePieceBPE(pieces, add_bos=False).encode("xyaz") == [1, 0, 2, 0]


def test_numpy_ids(small_model):
    tokenizer = parse(small_model)
    ids = np.array(tokenizer.encode("Hello world"), np.int64)
    assert tokenizer.decode(ids) == "Hello world"
