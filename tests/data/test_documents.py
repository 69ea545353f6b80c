"""Reading and writing documents: separators, damaged places, resuming anywhere."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillama.data.documents import (
    Document,
    Problem,
    TextLayout,
    encode_documents,
    read_documents,
    read_texts,
    text_files,
)

TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1)
    .map(lambda text: text.strip("\n"))
    .filter(lambda text: text.strip() and "<|endoftext|>" not in text),
    max_size=8,
)


def items(path, layout=None, **where):
    return [read.item for read in read_documents(path, layout, **where)]


@pytest.mark.parametrize("ending", [".txt", ".txt.gz", ".jsonl", ".jsonl.gz", ".JSONL", ".TXT.GZ"])
def test_what_is_written_is_read(tmp_path, ending):
    documents = [Document("One.\nTwo.", {}), Document("Ünï – 漢字 😀\u2028x", {}), Document("a", {})]
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"".join(encode_documents([d], ending.lower(), TextLayout()) for d in documents))
    assert items(path) == documents


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_any_text_survives(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("texts")
    for ending in (".txt", ".jsonl.gz"):
        path = folder / f"x{ending}"
        # A byte order mark at the very beginning is not part of a .txt file.
        documents = [Document(text.removeprefix("\ufeff") or "x", {}) for text in texts]
        path.write_bytes(encode_documents(documents, ending, TextLayout()))
        assert [d.text for d in items(path)] == [d.text for d in documents if d.text.strip()]


@pytest.mark.parametrize("ending", [".txt", ".txt.gz", ".jsonl", ".jsonl.gz"])
def test_reading_goes_on_from_every_place(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    documents = [Document(f"text {i}\nsecond line é", {}) for i in range(6)]
    path.write_bytes(encode_documents(documents, ending, TextLayout()))
    reads = list(read_documents(path))
    assert len(reads) == 6
    for i, read in enumerate(reads):
        assert items(path, offset=read.offset, line=read.line) == documents[i + 1 :]


def test_other_fields_are_kept(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": 7, "text": "a", "meta": {"u": "é"}}\n')
    (document,) = items(path)
    assert document == Document("a", {"id": 7, "meta": {"u": "é"}})
    assert json.loads(encode_documents([document], ".jsonl", TextLayout())) == json.loads(path.read_text())


def test_separators(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xef\xbb\xbf<|endoftext|>\r\n\r\na\r\nb\r\n <|endoftext|> \n\n<|endoftext|>\nc <|endoftext|>\nd")
    assert items(path) == [Document("a\nb", {}), Document("c <|endoftext|>\nd", {})]
    path.write_text("a\n###\nb\n")
    assert items(path, TextLayout("###")) == [Document("a", {}), Document("b", {})]
    assert items(path, TextLayout(None)) == [Document("a\n###\nb", {})]
    assert encode_documents([Document("a\n###\nb", {})], ".txt", TextLayout("###")) == b"a\nb\n###\n"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"<|endoftext|>\n<|endoftext|>"])
def test_empty_files(tmp_path, content):
    for name in ("x.txt", "x.jsonl", "x.txt.gz", "x.jsonl.gz"):
        path = tmp_path / name
        if "jsonl" in name:
            content = content.replace(b"<|endoftext|>", b"")
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        assert items(path) == []
    (tmp_path / "y.jsonl.gz").write_bytes(b"")
    assert items(tmp_path / "y.jsonl.gz") == []


def test_bad_utf8_is_named_by_its_line(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"a\n<|endoftext|>\ngood\nb\xffad\n<|endoftext|>\nz\n")
    assert items(path) == [
        Document("a", {}),
        Problem("bad UTF-8", "line 4: byte 0xff is not UTF-8"),
        Document("z", {}),
    ]


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        (b"{", "bad JSON", "line 2"),
        (b'{"text": "\xff"}', "bad UTF-8", "0xff"),
        (b'{"text": "\\ud800"}', "bad UTF-8", "surrogate"),
        (b'["text"]', "no text", '"text"'),
        (b'{"text": 3}', "no text", "line 2"),
        (b"[" * 100_000, "bad JSON", "line 2"),
        (b'{"text": "' + b"x" * 200_000 + b'"}', "too large", "0.2 MB, more than 0.1 MB"),
    ],
)
def test_bad_lines_of_json(tmp_path, line, kind, message):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + line + b'\n{"text": "b"}\n')
    first, problem, last = items(path, TextLayout(max_bytes=150_000 if kind == "too large" else 32 << 20))
    assert (first.text, last.text) == ("a", "b")
    assert problem.kind == kind
    assert message in problem.message


def test_a_huge_line_costs_no_memory(tmp_path):
    import tracemalloc

    for name, content in (("x.txt", b"y" * 50_000_000), ("x.jsonl", b'{"text": "' + b"y" * 50_000_000)):
        path = tmp_path / name
        path.write_bytes(content)
        tracemalloc.start()
        (problem,) = items(path, TextLayout(max_bytes=1 << 20))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert problem.kind == "too large"
        assert peak < 10_000_000


def test_a_large_document_is_followed_by_the_next(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a\n<|endoftext|>\n" + "long line\n" * 500 + "<|endoftext|>\nb\n")
    first, problem, last = items(path, TextLayout(max_bytes=2000))
    assert (first.text, problem.kind, last.text) == ("a", "too large", "b")
    assert "is '<|endoftext|>' the line between documents?" in problem.message


def test_damaged_gzip(tmp_path):
    path = tmp_path / "x.jsonl.gz"
    data = b"".join(gzip.compress(b'{"text": "%d"}\n' % i * 2000) for i in range(3))
    path.write_bytes(data[:-20])
    found = items(path)
    assert isinstance(found[-1], Problem)
    assert found[-1].kind == "damaged file"
    assert [item.text for item in found[:4000]] == ["0"] * 2000 + ["1"] * 2000
    path.write_bytes(b"no gzip at all")
    assert [item.kind for item in items(path)] == ["damaged file"]
    with pytest.raises(ValueError, match=r"x\.jsonl\.gz"):
        list(read_texts([path]))


def test_files_of_folders(tmp_path):
    for name in ("b.txt", "a.jsonl", "sub/c.jsonl.gz", "sub/d.md", ".hidden/e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [str(p.relative_to(tmp_path)) for p in text_files([tmp_path])] == ["a.jsonl", "b.txt", "sub/c.jsonl.gz"]
    for wrong, message in (("none", "does not exist"), ("sub/d.md", "ends in"), (".hidden/x", "does not exist")):
        with pytest.raises(ValueError, match=message):
            text_files([tmp_path / wrong])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file"):
        text_files([tmp_path / "empty"])


def test_linked_folders_are_followed_once(tmp_path):
    """A folder of links, as tools make it: to one beside it, to one inside it, up to itself, and to nothing."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "x.txt").write_text("one")
    (tmp_path / "real" / "deep" / "y.txt").write_text("two")
    folder = tmp_path / "folder"
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "z.TXT").write_text("three")
    for name, target in (("a", "../real"), ("again", "../real"), ("b", "own"), ("own/up", ".."), ("c", "nothing")):
        (folder / name).symlink_to(target, target_is_directory=True)
    (folder / "file.txt").symlink_to("../real/x.txt")
    found = [str(path.relative_to(folder)) for path in text_files([folder])]
    assert found == ["a/deep/y.txt", "a/x.txt", "file.txt", "own/z.TXT"]
    (tmp_path / "link").symlink_to("folder")
    assert len(text_files([tmp_path / "link"])) == 4


def test_a_folder_that_cannot_be_read_is_not_left_out(tmp_path, monkeypatch):
    """Root may read everything: the refusal is put in the place of the system's."""
    import os

    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match="closed"):
        text_files([tmp_path])
