"""A journal: whole lines or nothing, whatever was torn, and whatever the disk takes."""

import errno
import json
import os

import pytest

from minillama.files.journal import Journal, whole_lines


def rows(path):
    return [json.loads(line) for line in whole_lines(path).splitlines()]


def test_what_was_appended_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    assert whole_lines(path) == b""
    with Journal(path) as journal:
        journal.append({"a": 1}, {"b": "ö\n"})
    with Journal(path, on_disk=False) as journal:
        journal.append({"c": "\ud800"})  # a lone surrogate of a damaged text
        journal.append()
        assert [json.loads(line) for line in journal.lines()] == [{"a": 1}, {"b": "ö\n"}, {"c": "\ud800"}]
        journal.append({"d": 1})  # reading leaves the end where it is
    assert rows(path) == [{"a": 1}, {"b": "ö\n"}, {"c": "\ud800"}, {"d": 1}]


@pytest.mark.parametrize("torn", [b'{"a', b"x" * 200_000], ids=["short", "longer than what is read at once"])
@pytest.mark.parametrize("before", [b"", b'{"a": 1}\n'], ids=["alone", "after a line"])
def test_a_torn_line_is_passed_over_and_cut_off(tmp_path, torn, before):
    path = tmp_path / "a.jsonl"
    path.write_bytes(before + torn)
    assert whole_lines(path) == before
    with Journal(path) as journal:
        journal.append({"b": 2})
    assert path.read_bytes() == before + b'{"b": 2}\n'


@pytest.mark.parametrize("fails", ["fsync", "write"])
def test_a_full_disk_takes_all_rows_or_none(tmp_path, monkeypatch, fails):
    path = tmp_path / "a.jsonl"

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    with Journal(path) as journal:
        journal.append({"a": 1})
        if fails == "fsync":
            monkeypatch.setattr(os, "fsync", full)
        else:
            inner = journal._file
            monkeypatch.setattr(journal, "_file", HalfFull(inner))
        with pytest.raises(OSError, match="full"):
            journal.append({"b": 2}, {"c": 3})
        monkeypatch.undo()
        journal.append({"d": 4})
    assert rows(path) == [{"a": 1}, {"d": 4}]


class HalfFull:
    """A file that takes three bytes more."""

    def __init__(self, file):
        self._file, self._room = file, 3

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, raw):
        if not self._room:
            raise OSError(errno.ENOSPC, "full")
        n = self._file.write(raw[: self._room])
        self._room -= n
        return n
