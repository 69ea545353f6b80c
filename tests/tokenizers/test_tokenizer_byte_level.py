"""Byte-level BPE against the `tokenizers` library, id for id."""

import random
import unicodedata

import pytest
import regex
import tokenizers
from corpus import N_TEXTS, random_texts
from timing import within_seconds

from minillama.tokenizers import ByteLevelBPE, TokenType, tokenizer_from_gguf
from minillama.tokenizers.bpe.byte_level import BYTE_TO_CHARACTER
from minillama.tokenizers.files.huggingface import parse_tokenizer_json

# What minillama.tokenizers.bpe.unicode_ranges was made with. Other versions of the two libraries follow other
# editions of Unicode; they are compared on characters that all of them know.
SAME_UNICODE = tokenizers.__version__.startswith("0.23.") and regex.__version__.startswith("2026.")


def comparable(texts):
    """The texts whose characters the installed libraries classify by the same tables."""
    return [text for text in texts if SAME_UNICODE or all(unicodedata.category(c) != "Cn" for c in text)]


def oracle_of(tokenizer: ByteLevelBPE, **options) -> "tokenizers.Tokenizer":
    """The library's own tokenizer from the same vocabulary, built part by part."""
    vocab = {text: id_ for id_, text in enumerate(tokenizer.pieces)}
    oracle = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=tokenizer.merges, **options))
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    steps = [digits, byte_level] if tokenizer.word_pattern == "smollm" else [byte_level]
    oracle.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(steps)
    oracle.decoder = tokenizers.decoders.ByteLevel()
    return oracle


def assert_same(tokenizer, oracle, texts, seed=0):
    for text in comparable(texts):
        ids = tokenizer.encode(text, bos=False)
        assert ids == oracle.encode(text, add_special_tokens=False).ids, text
        assert tokenizer.decode(ids) == oracle.decode(ids), text
    rng = random.Random(seed)
    ordinary = [id_ for id_, kind in enumerate(tokenizer.types) if kind == TokenType.NORMAL]
    for _ in range(len(texts) // 5):
        ids = rng.choices(ordinary[: rng.choice((256, len(ordinary)))], k=rng.randint(0, 12))
        assert tokenizer.decode(ids) == oracle.decode(ids), ids


def test_byte_characters_are_gpt2s():
    assert len(set(BYTE_TO_CHARACTER)) == 256
    assert (BYTE_TO_CHARACTER[0], BYTE_TO_CHARACTER[10], BYTE_TO_CHARACTER[32], BYTE_TO_CHARACTER[65]) == tuple("ĀĊĠA")
    assert sorted(BYTE_TO_CHARACTER) == sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())


def test_small_vocabulary(small_byte_level):
    """Read from the file that the library writes; added tokens that are not special are matched first."""
    tokenizer = parse_tokenizer_json(small_byte_level.to_str().encode())
    assert tokenizer.word_pattern == "smollm"
    assert tokenizer.types[-2:] == [TokenType.USER_DEFINED] * 2
    assert_same(tokenizer, small_byte_level, random_texts(N_TEXTS // 2, seed=1))
    assert tokenizer.encode("a<extra>@@b")[1:-1] == [tokenizer.vocab_size - 2, tokenizer.vocab_size - 1]


def test_gpt2_words(small_byte_level):
    """Without the digits step, numbers stay together with the space before them."""
    parsed = parse_tokenizer_json(small_byte_level.to_str().encode())
    pieces, types = parsed.pieces[:-2], parsed.types[:-2]
    tokenizer = ByteLevelBPE(pieces, types, parsed.merges, word_pattern="gpt-2")
    assert tokenizer.words("in 1995, 12½ cats") == ["in", " 1995", ",", " 12½", " cats"]
    texts = [text for text in random_texts(N_TEXTS // 2, seed=2) if "<|" not in text]
    assert_same(tokenizer, oracle_of(tokenizer), texts)


def test_smollm2_vocabulary(smollm2_metadata):
    tokenizer = tokenizer_from_gguf(smollm2_metadata)
    assert_same(tokenizer, oracle_of(tokenizer), random_texts(N_TEXTS, seed=3))


VECTORS = {
    "Hello, we can use": [19556, 28, 392, 416, 722],
    "The capital of France is": [504, 3575, 282, 4649, 314],
    "Hello world! 123": [19556, 905, 17, 216, 33, 34, 35],
    "Café déjà vu.": [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30],
    "  multiple   spaces": [216, 2701, 256, 5600],
    "\n": [198],
}


@pytest.mark.parametrize("text", VECTORS)
def test_published_ids(smollm2_metadata, text):
    tokenizer = tokenizer_from_gguf(smollm2_metadata)
    assert tokenizer.encode(text) == VECTORS[text]
    assert tokenizer.decode(VECTORS[text]) == text


def test_smollm2_settings(smollm2_metadata):
    tokenizer = tokenizer_from_gguf(smollm2_metadata)
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id, tokenizer.add_bos) == (49152, 1, 2, False)
    assert len(tokenizer.special_tokens) == 17
    assert tokenizer.stop_ids == {0, 2}
    assert "<|im_start|>" in tokenizer.chat_template


@pytest.mark.parametrize("split_digits", [True, False])
def test_every_code_point_is_cut_alike(split_digits):
    """Letters, numbers, spaces and the rest: the words agree around each of them (see unicode_ranges)."""
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = tokenizers.pre_tokenizers.Digits(individual_digits=True)
    oracle = tokenizers.pre_tokenizers.Sequence([digits, byte_level] if split_digits else [byte_level])
    tokenizer = ByteLevelBPE(list(BYTE_TO_CHARACTER), [1] * 256, [], word_pattern="smollm" if split_digits else "gpt-2")
    to_characters = str.maketrans({chr(byte): text for byte, text in enumerate(BYTE_TO_CHARACTER)})
    step = 1 if N_TEXTS >= 100_000 else 97  # planes 4 to 13 hold nothing, 15 and 16 private use: a sample will do
    codes = [*range(0xD800), *range(0xE000, 0x40000), *range(0x40000, 0xE0000, step), *range(0xE0000, 0xE1000)]
    characters = comparable(chr(code) for code in (*codes, *range(0xE1000, 0x110000, step)))
    for begin in range(0, len(characters), 4096):
        # After a letter, a digit and a sign: together these tell the four kinds of character apart.
        text = "".join(f"a{c} 1{c} !{c}{c}" for c in characters[begin : begin + 4096])
        words = [word.encode().decode("latin-1").translate(to_characters) for word in tokenizer.words(text)]
        expected = [word for word, _ in oracle.pre_tokenize_str(text)]
        if words != expected:
            at = next(n for n, pair in enumerate(zip(words, expected)) if pair[0] != pair[1])
            pytest.fail(f"from U+{ord(characters[begin]):04X}: {words[at : at + 3]} instead of {expected[at : at + 3]}")


@pytest.mark.parametrize("unknown", [None, "<unk>"])
@pytest.mark.parametrize("fuse", [False, True])
def test_bytes_that_the_vocabulary_lacks(unknown, fuse):
    """Left out, so that their neighbours meet and may merge; or one unknown token each, or for a run."""
    pieces = ["<unk>", *BYTE_TO_CHARACTER[ord("A") : ord("z")], "ab", "Ġ", "Ġa", "ĊĠ", "Ċ"]
    types = [TokenType.UNKNOWN] + [TokenType.NORMAL] * (len(pieces) - 1)
    merges = [("a", "b"), ("Ġ", "a")]
    unk_id = None if unknown is None else 0
    tokenizer = ByteLevelBPE(pieces, types, merges, unk_id=unk_id, fuse_unknown=fuse)
    oracle = oracle_of(tokenizer, unk_token=unknown, fuse_unk=fuse)
    texts = ["a\x04b", "a🙂b", "\x04", "zz a", "a1\n b{}{}x", *random_texts(500, seed=4)]
    for text in comparable(texts):
        assert tokenizer.encode(text) == oracle.encode(text).ids, text


def test_long_words_take_seconds(small_byte_level):
    tokenizer = parse_tokenizer_json(small_byte_level.to_str().encode())
    rng = random.Random(5)
    for text in ("ab" * 100_000, "".join(rng.choices("etaoin", k=200_000)), " " * 200_000, "7" * 200_000):
        with within_seconds(10):
            ids = tokenizer.encode(text)
        assert ids == small_byte_level.encode(text).ids


def test_rules_must_fit_the_vocabulary():
    with pytest.raises(ValueError, match=r"the merge rule \('a', 'q'\) uses 'aq', which is not in the vocabulary"):
        ByteLevelBPE(list(BYTE_TO_CHARACTER), [1] * 256, [("a", "q")])
