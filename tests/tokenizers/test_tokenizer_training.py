"""Trained vocabularies: read by the package and the library alike, and the written-out trainer equal to the library."""

import random
import subprocess
import sys
import unicodedata
from itertools import pairwise

import pytest
import sentencepiece
from corpus import random_texts, training_lines

from minillama.tokenizers import SentencePieceBPE, TokenType, load_tokenizer
from minillama.tokenizers.bpe.training import is_piece, merge_pairs, train_sentencepiece_bpe
from minillama.tokenizers.files.sentencepiece_model import serialize
from minillama.tokenizers.training import train_tokenizer

# --- with the library ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    return train_tokenizer(iter(training_lines()), 420, folder), folder


def test_the_folder_holds_what_was_returned(trained):
    tokenizer, folder = trained
    read = load_tokenizer(folder)
    assert isinstance(read, SentencePieceBPE)
    assert (read.pieces, read.scores, read.types) == (tokenizer.pieces, tokenizer.scores, tokenizer.types)
    assert sorted(path.name for path in folder.iterdir()) == ["tokenizer.model", "tokenizer_config.json"]
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    for text in random_texts(500, seed=8):
        assert read.encode(text, bos=False) == oracle.encode(text)
        assert read.encode(text) == [1, *oracle.encode(text)]


def test_ids_are_laid_out_like_llamas(trained):
    tokenizer, _ = trained
    assert tokenizer.pieces[:4] == ["<unk>", "<s>", "</s>", "<0x00>"]
    assert (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.vocab_size) == (0, 1, 2, 420)
    assert tokenizer.types[3:259] == [TokenType.BYTE] * 256
    assert not tokenizer.remove_extra_whitespaces
    assert tokenizer.add_dummy_prefix
    digits = [piece for piece in tokenizer.pieces[259:] if any(c.isdigit() for c in piece)]
    assert digits
    assert all(len(piece) == 1 for piece in digits)


def test_line_breaks_stay_bytes_and_spaces_stay(trained):
    tokenizer, _ = trained
    multiline = train_tokenizer(["one line\nanother line\n\nand  two spaces"] * 3, 290, character_coverage=1)
    assert not any("\n" in piece for piece in multiline.pieces)
    for text in ("one line\n\n  another", "  two  spaces  ", "7 \t x"):
        assert multiline.decode(multiline.encode(text)) == text == tokenizer.decode(tokenizer.encode(text))


def test_long_texts_are_not_dropped():
    """The library leaves out lines of more than 4192 bytes if it is not told otherwise."""
    rare = "zebra quagga " * 1000
    tokenizer = train_tokenizer(["common words " * 99, rare], 290, character_coverage=1)
    assert "▁zebra" in tokenizer.pieces


def test_the_same_file_again_whatever_the_threads(tmp_path):
    for name, threads in (("a", 1), ("b", 1), ("c", 3)):
        train_tokenizer(training_lines(), 400, tmp_path / name, n_threads=threads)
    one, again, three = ((tmp_path / name / "tokenizer.model").read_bytes() for name in "abc")
    assert one == again
    assert load_tokenizer(tmp_path / "c").pieces == load_tokenizer(tmp_path / "a").pieces
    assert len(three) == len(one)


@pytest.mark.parametrize(
    ("texts", "vocab_size", "options", "message"),
    [
        (training_lines(), 259, {}, "must be above 259"),
        (training_lines(), 262, {}, r"262 is too small: .* alone are \d+"),
        (training_lines()[:3], 5000, {}, r"5000 is too large for the texts, which give \d+ pieces"),
        ([], 300, {}, "no text"),
        (["", " \n "], 300, {}, "no text"),
        (["a"], 300, {"character_coverage": 1.5}, "at most 1"),
        (training_lines(), 400, {"no_such_option": 1}, "no_such_option"),
    ],
)
def test_what_cannot_be_trained(tmp_path, texts, vocab_size, options, message, capfd):
    with pytest.raises(ValueError, match=message):
        train_tokenizer(texts, vocab_size, tmp_path / "t", **options)
    assert not (tmp_path / "t").exists()
    assert capfd.readouterr().err == ""  # the library is silent


@pytest.mark.parametrize("error", [OSError("disk"), KeyError("x"), KeyboardInterrupt()])
def test_errors_of_the_reader_come_through(tmp_path, error):
    def texts():
        yield "some text"
        raise error

    with pytest.raises(type(error)) as caught:
        train_tokenizer(texts(), 300, tmp_path / "t")
    assert caught.value is error


def test_silent_and_without_library(tmp_path, capfd):
    train_tokenizer(training_lines(), 400, tmp_path / "t")
    assert capfd.readouterr() == ("", "")
    code = (
        "import sys; sys.modules['sentencepiece'] = None\n"
        "from minillama.tokenizers.training import train_tokenizer\n"
        "try: train_tokenizer(['a'], 300)\n"
        "except ImportError as error: assert 'pip install sentencepiece' in str(error), error\n"
        "else: raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- written out -----------------------------------------------------------------------------


def in_old_unicode(texts):
    """Without characters that the library's older table of scripts may not know."""
    known = unicodedata.ucd_3_2_0.category
    return ["".join(c for c in text if known(c) != "Cn") for text in texts]


CORPORA = {
    "runs of a letter": (["aaaa aaa aa a", "aaaaa ab ba", "aaaaaaaaaaaaaaaaaaaaaaaaaaa"], 268, 1.0),
    "one word": (["banana"], 265, 1.0),
    "two ways to a piece": (["aab aab aab ab ab caa caa", "aabaab abaab aaba"], 272, 1.0),
    "spaces": (["a   b    c", "   x  y   ", "▁▁▁ x", "a▁b"] * 2, 274, 1.0),
    "tabs and controls": (["\ta\tb  \t", "x\r\ny z\r", "q0x\0y", "a\0b\x1fc\0\0 \x1f\x1fd", "x\x1e\x1e"], 276, 1.0),
    "spelled control": (["<s> hello </s> <unk> <0x0A> a<s>b <0x0g> <0XFF>"] * 3, 284, 1.0),
    "reserved": (["a ▅ c", "cat cats", "scat"], 270, 1.0),
    "digits": (["12 123 1234 x12 １２３ 一二三 x² ½ ½½ ²²"] * 2, 285, 1.0),
    "scripts": (["Straße слово мирmir カタひらがな漢字ー 한국어 ไทย e\u0301a\u0301 \u0301x x,y ,.!"] * 3, 330, 1.0),
    "lines": (training_lines(), 420, 0.98),
    "lines, whole alphabet": (training_lines(), 460, 1.0),
    "everything": (in_old_unicode(random_texts(1500, seed=5)), 1500, 0.98),
    "everything, whole alphabet": (in_old_unicode(random_texts(800, seed=6)), 2600, 1.0),
    "until nothing occurs": (training_lines(), 730, 1.0),
}


@pytest.mark.parametrize("name", CORPORA)
def test_equal_to_sentencepiece(name):
    """Pieces, their order, scores and types."""
    texts, vocab_size, coverage = CORPORA[name]
    expected = train_tokenizer(texts, vocab_size, character_coverage=coverage)
    found = train_sentencepiece_bpe(texts, vocab_size, character_coverage=coverage)
    assert found.pieces == expected.pieces
    assert (found.scores, found.types) == (expected.scores, expected.types)
    for text in texts[:100]:
        assert found.encode(text) == expected.encode(text)


@pytest.mark.parametrize(("name", "coverage"), [("tinystories/valid.txt", 0.99995), ("wikitext-2/valid.txt", 0.9999)])
def test_equal_on_real_texts(shared_data, name, coverage):
    texts = (shared_data / name).read_text("utf-8").split("<|endoftext|>")
    expected = train_tokenizer(texts, 2000, character_coverage=coverage)
    assert train_sentencepiece_bpe(texts, 2000, character_coverage=coverage).pieces == expected.pieces


def test_the_library_reads_what_was_trained():
    tokenizer = train_sentencepiece_bpe(training_lines(), 420, character_coverage=0.99)
    oracle = sentencepiece.SentencePieceProcessor(model_proto=serialize(tokenizer))
    for text in random_texts(300, seed=9):
        assert tokenizer.encode(text, bos=False) == oracle.encode(text)


def test_both_say_the_same_limits():
    for vocab_size, message in ((262, "too small"), (9000, "too large for the texts, which give 730 pieces")):
        for train in (train_tokenizer, train_sentencepiece_bpe):
            with pytest.raises(ValueError, match=message):
                train(training_lines(), vocab_size, character_coverage=1.0)
    with pytest.raises(ValueError, match="no text"):
        train_sentencepiece_bpe(["", "▅"], 300)


def test_merges_by_hand():
    words = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    # "es" and "st" occur 9 times; the lower text of equals comes first, and shorter ones before longer
    assert merge_pairs(words, 4) == [("e", "s"), ("es", "t"), ("l", "o"), ("lo", "w")]
    assert merge_pairs({"aaa": 1}, 5) == [("a", "a"), ("aa", "a")]
    assert merge_pairs({"abc": 1}, 9, allowed=lambda text: text != "abc") == [("a", "b"), ("b", "c")]


def recounted(words, n_merges):
    """The loop without any bookkeeping: counts everything again before each merge."""
    symbols = {word: list(word) for word in words}
    merges, gone, seen = [], set(), {}
    while len(merges) < n_merges:
        counts = dict.fromkeys(seen, 0)
        for word, parts in symbols.items():
            for pair in pairwise(parts):
                counts[pair] = counts.get(pair, 0) + words[word]
        seen |= counts
        left = [pair for pair in counts if pair not in gone]
        if not left:
            return merges
        best = min(left, key=lambda pair: (-counts[pair], len("".join(pair)), "".join(pair), pair))
        gone.add(best)
        if "".join(best) in {a + b for a, b in merges}:
            continue
        merges.append(best)
        for parts in symbols.values():
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = ["".join(best)]
                i += 1
    return merges


@pytest.mark.parametrize("seed", range(20))
def test_incremental_counts_equal_recounting(seed):
    rng = random.Random(seed)
    words = {
        "".join(rng.choices("abc"[: rng.randint(1, 3)], k=rng.randint(1, 9))): rng.randint(1, 5) for _ in range(12)
    }
    assert merge_pairs(words, 40) == recounted(words, 40)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        *(("▁the", True), ("the▁", False), ("▁▁", True), ("▁▁a", False), ("a▁b", False), ("12", False), ("▁1", False)),
        *(("a1", False), ("ab", True), ("aб", False), ("かカ漢ー", True), ("e\u0301", True), ("\u0301e", True)),
        *(("a,", False), (",.", True), ("a" * 16, True), ("a" * 17, False), ("a▅", False), ("a\0", False)),
    ],
)
def test_what_may_be_a_piece(text, allowed):
    assert is_piece(text) == allowed
