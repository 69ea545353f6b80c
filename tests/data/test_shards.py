"""Token files: what is written is read, whatever is damaged is said, and nothing half-written looks whole."""

import gzip
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from minillama.cli.tokens import register
from minillama.data.shards.reading import TokenShards, tokenizer_fingerprint, write_shards
from minillama.files.errors import CheckpointError
from minillama.tokenizers import Piece, SentencePieceBPE, TokenType, load_tokenizer

sys.path.insert(0, str(Path(__file__).parents[1] / "tokenizers"))
from corpus import random_texts

DOCUMENTS = ["Hello, world.", "  two  spaces\nand a line", "🙂 naïve 世界", "", "x", "the end" * 30]


def small_tokenizer(extra: int = 0, letters: str = "helo wrd▁x") -> SentencePieceBPE:
    """Letters and bytes, a merge, and `extra` pieces that no text has."""
    pieces = [Piece("<unk>", 0, TokenType.UNKNOWN), *(Piece(t, 0, TokenType.CONTROL) for t in ("<s>", "</s>"))]
    pieces += [Piece(f"<0x{byte:02X}>", 0, TokenType.BYTE) for byte in range(256)]
    pieces += [Piece("▁x", -1), *(Piece(c, -9) for c in letters), *(Piece(f"<extra{n}>", -10) for n in range(extra))]
    return SentencePieceBPE(pieces, bos_id=1, eos_id=2)


@pytest.fixture
def shards(tmp_path):
    return write_shards(DOCUMENTS, small_tokenizer(), tmp_path / "tokens", shard_tokens=50, metadata={"a": [1, "é"]})


# --- what is written -------------------------------------------------------------------------


@pytest.mark.parametrize("shard_tokens", [1, 7, 1 << 20])
@pytest.mark.parametrize("eos", [False, True])
def test_documents_come_back(tmp_path, shard_tokens, eos):
    tokenizer = small_tokenizer()
    shards = write_shards(iter(DOCUMENTS), tokenizer, tmp_path / "tokens", shard_tokens=shard_tokens, eos=eos)
    expected = [tokenizer.encode(text, bos=True, eos=eos) for text in DOCUMENTS]
    assert [shards.document(i).tolist() for i in range(shards.n_documents)] == expected
    row = [id_ for ids in expected for id_ in ids]
    assert shards.tokens(0, shards.n_tokens).tolist() == row
    assert shards.n_tokens == len(row)
    assert shards.n_text_bytes == sum(len(text.encode()) for text in DOCUMENTS)
    assert shards.document_starts.dtype == np.int64
    assert [row[i] for i in shards.document_starts] == [1] * len(DOCUMENTS)
    assert shards.document_lengths().tolist() == [len(ids) for ids in expected]
    assert shards.eos_id == (2 if eos else None)
    for start, stop in ((0, 0), (3, 30), (6, 8), (shards.n_tokens - 1, shards.n_tokens)):
        assert shards.tokens(start, stop).tolist() == row[start:stop]
    shards.verify()


def test_description(shards, tmp_path):
    assert (shards.dtype, shards.bos_id, shards.metadata) == (np.dtype("<u2"), 1, {"a": [1, "é"]})
    assert shards.tokenizer == tokenizer_fingerprint(small_tokenizer())
    assert shards.tokenizer != tokenizer_fingerprint(small_tokenizer(letters="ehlo wrd▁x"))
    assert [s.tokens.size for s in shards.shards[:-1]] == [50] * (len(shards.shards) - 1)
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]


@pytest.mark.parametrize(("vocab_size", "name"), [(1 << 16, "uint16"), ((1 << 16) + 1, "uint32")])
def test_small_ids_take_two_bytes(tmp_path, vocab_size, name):
    tokenizer = small_tokenizer(extra=vocab_size - small_tokenizer().vocab_size)
    assert tokenizer.vocab_size == vocab_size
    shards = write_shards(["hello <extra3>", f"<extra{vocab_size - 270 - 1}>"], tokenizer, tmp_path / "tokens")
    assert shards.dtype.name == name
    assert shards.document(0).tolist() == tokenizer.encode("hello <extra3>", bos=True)


def test_ids_are_those_of_encode(tmp_path, shared_data):
    """Unicode of all planes, spaces, control characters: the file holds what `encode` says."""
    tokenizer = load_tokenizer(shared_data / "llama2_tokenizer" / "tokenizer.model")
    texts = [text.replace("▁", "_") for text in random_texts(500, seed=3)]  # "▁" comes back as a space
    shards = write_shards(texts, tokenizer, tmp_path / "tokens", shard_tokens=1000)
    for i, text in enumerate(texts):
        assert shards.document(i).tolist() == tokenizer.encode(text, bos=True)
        assert tokenizer.decode(shards.document(i)) == text
    ids = [shards.document(i) for i in range(len(texts))]
    n_bytes = [int(shards.token_bytes[d[1:2], 0].sum() + shards.token_bytes[d[2:], 1].sum()) for d in ids]
    assert n_bytes == [len(text.encode()) for text in texts]


def test_progress_is_reported(tmp_path):
    seen = []
    shards = write_shards(DOCUMENTS, small_tokenizer(), tmp_path / "t", progress=lambda *args: seen.append(args))
    assert [n for n, _, _ in seen] == list(range(1, len(DOCUMENTS) + 1))
    assert seen[-1] == (shards.n_documents, shards.n_text_bytes, shards.n_tokens)


# --- what is not written ---------------------------------------------------------------------


def failing(error):
    yield "hello"
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), ValueError("bad")])
def test_interrupted_writing_leaves_nothing(tmp_path, error):
    with pytest.raises(type(error)):
        write_shards(failing(error), small_tokenizer(), tmp_path / "tokens")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_replacing_leaves_the_old(tmp_path, shards):
    before = shards.tokens(0, shards.n_tokens).tolist()
    with pytest.raises(KeyboardInterrupt):
        write_shards(failing(KeyboardInterrupt()), small_tokenizer(), shards.folder, overwrite=True)
    again = TokenShards(shards.folder)
    assert again.tokens(0, again.n_tokens).tolist() == before
    assert write_shards(["x"], small_tokenizer(), shards.folder, overwrite=True).n_documents == 1
    assert TokenShards(shards.folder).n_documents == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]


def test_nothing_is_overwritten_unasked(tmp_path, shards):
    with pytest.raises(ValueError, match="exists"):
        write_shards(["x"], small_tokenizer(), shards.folder)
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="never replaced"):
        write_shards(["x"], small_tokenizer(), other, overwrite=True)
    assert (other / "thesis.txt").read_text() == "years of work"


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="no documents"):
        write_shards([], small_tokenizer(), tmp_path / "t")
    with pytest.raises(ValueError, match=r"document 1: .*surrogate"):
        write_shards(["x", "\ud800"], small_tokenizer(), tmp_path / "t")
    no_bos = SentencePieceBPE([Piece("<unk>", 0, TokenType.UNKNOWN), Piece("x")], add_bos=False)
    with pytest.raises(ValueError, match="eos=True"):
        write_shards(["x"], no_bos, tmp_path / "t")
    with pytest.raises(ValueError, match="shard_tokens"):
        write_shards(["x"], small_tokenizer(), tmp_path / "t", shard_tokens=0)
    with pytest.raises(ValueError, match="description would have"):
        write_shards(["x"], small_tokenizer(), tmp_path / "t", metadata={"a": "b" * (3 << 20)})
    with pytest.raises(ValueError, match="JSON"):
        write_shards(failing(AssertionError("read")), small_tokenizer(), tmp_path / "t", metadata={"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


# --- what is damaged -------------------------------------------------------------------------


def rewrite(folder, **changes):
    path = folder / "tokens.json"
    values = json.loads(path.read_text())
    values.update(changes)
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "gguf"}, "expected 'minillama tokens'"),
        ({"version": 2}, "version"),
        ({"dtype": "float64"}, "uint16 or uint32"),
        ({"dtype": "uint32"}, "bytes"),
        ({"n_tokens": 10**15}, "tokens in"),
        ({"n_tokens": -1}, "positive"),
        ({"n_documents": 10**15}, "bytes"),
        ({"n_documents": 5}, "bytes"),
        ({"vocab_size": 10**12}, "bytes"),
        ({"shard_tokens": 49}, "a shard"),
        ({"shards": []}, "list of objects"),
        ({"shards": [1]}, "list of objects"),
        ({"shards": [{"file": "../tokens-00000.bin", "sha256": "", "n_tokens": 50}]}, "file in the folder"),
        ({"shards": [{"file": "tokens-99999.bin", "sha256": "", "n_tokens": 50}]}, "cannot be read"),
        ({"bos_id": 10**6}, "an id below"),
        ({"tokenizer": ...}, "is missing"),
        ({"document_starts": 3}, "expected an object"),
    ],
)
def test_damaged_descriptions(shards, changes, message):
    rewrite(shards.folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        TokenShards(shards.folder)


def test_damaged_files(shards, tmp_path):
    folder = shards.folder
    first = folder / "tokens-00000.bin"
    raw = first.read_bytes()
    first.write_bytes(raw[:-2])
    with pytest.raises(CheckpointError, match="expected 100 bytes"):
        TokenShards(folder)
    first.write_bytes(raw[:8] + b"\xff\xff" + raw[10:])
    damaged = TokenShards(folder)
    with pytest.raises(CheckpointError, match="token 4: expected an id below"):
        damaged.tokens(0, 10)
    first.write_bytes(raw[:8] + b"\x05\x00" + raw[10:])
    with pytest.raises(CheckpointError, match="SHA-256"):
        TokenShards(folder).verify()
    first.write_bytes(raw)
    TokenShards(folder).verify()
    (folder / "tokens.json").unlink()
    with pytest.raises(CheckpointError, match="holds no tokens"):
        TokenShards(folder)


@pytest.mark.parametrize(
    "starts", [[1, 2, 3, 4, 5, 6], [0, 5, 5, 7, 8, 9], [0, 9, 8, 10, 11, 12], [0, 1, 2, 3, 4, 9999]]
)
def test_damaged_document_starts(shards, starts):
    (shards.folder / "document_starts.bin").write_bytes(np.array(starts, "<i8").tobytes())
    with pytest.raises(CheckpointError, match=r"document_starts.bin: .*position"):
        TokenShards(shards.folder)


def test_random_damage_is_one_error(shards):
    """Whatever bytes of the description change, it is read or refused with the one error."""
    path, rng = shards.folder / "tokens.json", random.Random(0)
    raw = path.read_bytes()
    refused = 0
    for _ in range(300):
        data = bytearray(raw)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.choice(b'0123456789{}[]",:-x\x00\xff')
        path.write_bytes(data)
        try:
            TokenShards(shards.folder)
        except CheckpointError:
            refused += 1
    assert refused > 100


def test_positions_that_do_not_exist(shards):
    for start, stop in ((-1, 3), (5, 4), (0, shards.n_tokens + 1)):
        with pytest.raises(ValueError, match="expected 0 <= start"):
            shards.tokens(start, stop)
    for i in (-1, shards.n_documents):
        with pytest.raises(ValueError, match="not one of the 6 documents"):
            shards.document(i)


# --- the commands ----------------------------------------------------------------------------


@pytest.fixture
def command():
    """Run a command; returns exit code, stdout, stderr, and the error that `minillama` would print."""
    app = typer.Typer()
    register(app)
    return lambda *args: CliRunner().invoke(app, list(map(str, args)))


STORIES = ["Once upon a time there was a cat.\nIt sat.", "The dog ran.", "A bird sang to the dog and the cat."]


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(f" {text} \n<|endoftext|>" for text in STORIES[:2]) + "\n\n", "utf-8")
    line = json.dumps({"text": STORIES[2], "id": 7}) + "\n\n" + json.dumps({"text": "  "}) + "\n"
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(line.encode()))
    return folder


def test_from_texts_to_tokens(command, texts, tmp_path):
    tokenizer = tmp_path / "tokenizer"
    result = command("tokenizer", texts, "--out", tokenizer, "--vocab-size", 310, "--character-coverage", 1)
    assert (result.exit_code, result.stdout) == (0, f"{tokenizer}\n"), result
    result = command("tokens", texts, "--tokenizer", tokenizer, "--out", tmp_path / "tokens", "--eos")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'tokens'}\n"), result
    assert "3 documents" in result.stderr
    shards, encoder = TokenShards(tmp_path / "tokens"), load_tokenizer(tokenizer)
    assert [encoder.decode(shards.document(i)) for i in range(shards.n_documents)] == STORIES
    assert shards.document(0)[-1] == encoder.eos_id
    assert shards.metadata == {"inputs": ["a.txt", "b.jsonl.gz"]}


def test_nothing_is_overwritten_by_commands(command, texts, tmp_path):
    arguments = ["tokenizer", texts, "--out", tmp_path / "t", "--character-coverage", 1, "--vocab-size"]
    assert command(*arguments, 310).exit_code == 0
    assert "--force" in str(command(*arguments, 311).exception)
    assert load_tokenizer(tmp_path / "t").vocab_size == 310
    assert command(*arguments, 311, "--force").exit_code == 0
    assert load_tokenizer(tmp_path / "t").vocab_size == 311
    arguments = ["tokens", texts, "--tokenizer", tmp_path / "t", "--out", tmp_path / "tokens"]
    assert command(*arguments).exit_code == 0
    assert "--force" in str(command(*arguments).exception)
    assert command(*arguments, "--force").exit_code == 0
    model = tmp_path / "model"
    model.mkdir()
    (model / "tokenizer.json").write_text("{}")  # another tokenizer's, which would be read first
    assert "--force" in str(command("tokenizer", texts, "--out", model, "--vocab-size", 310).exception)
    assert (model / "tokenizer.json").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\nwrong \xff\n", "line 2"),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', "line 2"),
        ("a.jsonl", b'{"txt": "x"}\n', '"text"'),
        ("a.jsonl", b"[1]\n", '"text"'),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 99, mtime=0)[:-9], "a.jsonl.gz"),
        ("a.jsonl.gz", b"no gzip", "a.jsonl.gz"),
        ("a.txt", b"\n<|endoftext|>\n", "no text"),
        ("a.pdf", b"x", ".jsonl"),
    ],
)
def test_unreadable_input_is_one_sentence(command, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    result = command("tokenizer", tmp_path / name, "--out", tmp_path / "t", "--vocab-size", 300)
    assert isinstance(result.exception, ValueError)
    assert message in str(result.exception)
    assert not (tmp_path / "t").exists()


def test_missing_input(command, tmp_path):
    assert "does not exist" in str(command("tokenizer", tmp_path / "no.txt", "--out", tmp_path / "t").exception)
    (tmp_path / "empty").mkdir()
    assert "holds no file" in str(command("tokenizer", tmp_path / "empty", "--out", tmp_path / "t").exception)
