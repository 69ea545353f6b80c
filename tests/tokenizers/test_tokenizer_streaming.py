"""UTF-8 in pieces, and what all tokenizers promise about decoding."""

import itertools

import numpy as np
import pytest

from minillama.tokenizers import ByteLevelBPE, Piece, SentencePieceBPE, TokenType
from minillama.tokenizers.bpe.byte_level import BYTE_TO_CHARACTER
from minillama.tokenizers.bpe.utf8 import Utf8Stream, unfinished_bytes


def sentencepiece_bytes() -> SentencePieceBPE:
    control = [Piece("<unk>", 0, TokenType.UNKNOWN), Piece("<s>", 0, 3), Piece("</s>", 0, 3)]
    pieces = [*control, *(Piece(f"<0x{byte:02X}>", 0, TokenType.BYTE) for byte in range(256))]
    pieces += [Piece(text, -float(n)) for n, text in enumerate(("▁", "a", "▁a", "é"))]
    return SentencePieceBPE(pieces, bos_id=1, eos_id=2)


def byte_level_bytes() -> ByteLevelBPE:
    pieces = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *BYTE_TO_CHARACTER, "Ġa"]
    return ByteLevelBPE(pieces, [3, 3, 3] + [1] * 257, [("Ġ", "a")], bos_id=1, eos_id=2)


@pytest.fixture(params=[sentencepiece_bytes, byte_level_bytes], ids=["sentencepiece", "byte-level"])
def tokenizer(request):
    return request.param()


def test_unfinished_bytes_are_those_that_more_bytes_can_complete():
    """Against the definition: a tail is held back iff some continuation makes it valid."""
    interesting = [0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xE0, 0xE1, 0xED, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF]
    endings = [bytes(rest) for n in (1, 2, 3) for rest in itertools.product((0x80, 0x8F, 0x90, 0x9F, 0xA0), repeat=n)]

    def is_character(data: bytes) -> bool:
        try:
            return len(data.decode("utf-8")) == 1
        except UnicodeDecodeError:
            return False

    for n in (1, 2, 3):
        for data in map(bytes, itertools.product(interesting, repeat=n)):
            held = next((k for k in range(n, 0, -1) if any(is_character(data[n - k :] + end) for end in endings)), 0)
            assert unfinished_bytes(data) == held, data.hex()


@pytest.mark.parametrize("errors", ["replace", "replace_each_byte"])
def test_any_division_of_the_bytes_gives_the_same_text(errors, rng):
    for _ in range(500):
        data = bytes(rng.choice(np.frombuffer("aé한🙂".encode() + b"\xff\xe2\x82\xf0\xed\xa0", np.uint8), 12).tolist())
        stream = Utf8Stream(errors)
        shown = "".join(stream.feed(data[i : i + 1]) for i in range(len(data))) + stream.flush()
        assert shown == data.decode("utf-8", errors)


def test_a_character_appears_when_its_last_byte_comes(tokenizer):
    """Nothing of 🙂 shows before its fourth byte; a byte that cannot continue it shows U+FFFD at once."""
    ids = tokenizer.encode("🙂", bos=False)[-4:]
    stream = tokenizer.stream()
    assert [stream.feed(id_) for id_ in ids] == ["", "", "", "🙂"]
    assert stream.feed(ids[0]) == ""
    assert stream.feed(tokenizer.encode("x", bos=False)[-1]) == "\ufffdx"
    assert stream.feed(ids[0]) == ""
    assert stream.flush() == "\ufffd"


@pytest.mark.parametrize("skip_special", [True, False])
def test_stream_is_decode(tokenizer, rng, skip_special):
    for _ in range(300):
        ids = rng.integers(0, tokenizer.vocab_size, rng.integers(0, 30))
        stream = tokenizer.stream(skip_special=skip_special)
        shown = "".join(stream.feed(id_) for id_ in ids) + stream.flush()
        assert shown == tokenizer.decode(ids, skip_special=skip_special)


def test_ids_are_checked(tokenizer):
    with pytest.raises(ValueError, match=rf"token id {tokenizer.vocab_size} .* {tokenizer.vocab_size} tokens"):
        tokenizer.decode([tokenizer.vocab_size])
    with pytest.raises(ValueError, match="token id -1"):
        tokenizer.decode_bytes(-1)
    with pytest.raises(TypeError):
        tokenizer.decode([1.5])


def test_special_tokens_are_shown_only_on_request(tokenizer):
    begin, end = tokenizer.token_text(tokenizer.bos_id), tokenizer.token_text(tokenizer.eos_id)
    ids = tokenizer.encode("a", bos=True, eos=True)
    assert tokenizer.decode(ids) == "a"
    assert tokenizer.decode(np.array(ids, np.uint16), skip_special=False) == f"{begin}a{end}"
    assert tokenizer.decode_bytes(tokenizer.bos_id) == b""


def test_text_never_becomes_a_special_token(tokenizer):
    text = "".join(tokenizer.special_tokens)
    special = set(tokenizer.special_tokens.values())
    assert not special & set(tokenizer.encode(text, bos=False))
    assert tokenizer.decode(tokenizer.encode(text, bos=False)) == text
    assert tokenizer.encode(text, bos=False, allow_special=True) == list(tokenizer.special_tokens.values())


def test_there_is_one_bos(tokenizer):
    begin = tokenizer.token_text(tokenizer.bos_id)
    ids = tokenizer.encode(begin + "a", bos=True, allow_special=True)
    assert ids == tokenizer.encode("a", bos=True)
    assert tokenizer.encode("", bos=True) == [tokenizer.bos_id]
    assert tokenizer.encode("a")[:1] == (
        [tokenizer.bos_id] if tokenizer.add_bos else tokenizer.encode("a", bos=False)[:1]
    )


def test_the_longest_special_token_wins():
    pieces = ["<e>", "<e><e>", *BYTE_TO_CHARACTER]
    tokenizer = ByteLevelBPE(pieces, [3, 3] + [1] * 256, [])
    assert tokenizer.encode("<e><e><e>", allow_special=True) == [1, 0]


def test_errors_say_what_to_do(tokenizer):
    with pytest.raises(ValueError, match=r"lone surrogate U\+D800 at position 1"):
        tokenizer.encode("a\ud800")
    with pytest.raises(TypeError, match="expected text as str, got bytes"):
        tokenizer.encode(b"a")
    bare = ByteLevelBPE(list(BYTE_TO_CHARACTER), [1] * 256, [])
    with pytest.raises(ValueError, match="has no bos_id"):
        bare.encode("a", bos=True)
    with pytest.raises(ValueError, match="bos_id 300 is not one of the 256"):
        ByteLevelBPE(list(BYTE_TO_CHARACTER), [1] * 256, [], bos_id=300)


def test_end_of_turn_tokens_stop_even_when_a_file_calls_them_vocabulary():
    pieces = ["<|im_end|>", "<tool>", *BYTE_TO_CHARACTER]
    tokenizer = ByteLevelBPE(pieces, [TokenType.USER_DEFINED] * 2 + [1] * 256, [])
    assert tokenizer.stop_ids == {0}
    assert 0 not in tokenizer.encode("<|im_end|>")
    assert tokenizer.encode("<tool>") == [1]
