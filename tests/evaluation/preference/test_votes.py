"""Votes survive everything: a process killed at any moment, a line cut short, a full disk, two processes."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from minillama.evaluation.preference import Vote, VoteLog, read_all_votes
from minillama.evaluation.preference.votes import file_name, read_votes
from minillama.files.lock import LockedError

WRITER = """
import sys
from minillama.evaluation.preference import Vote, VoteLog
with VoteLog(sys.argv[1], "ada") as log:
    for n in range(len(log.votes), 100_000):
        log.append(Vote(f"p{n}", "ada", n % 2, 3, True, time=1.0))
        print(n, flush=True)
"""


def test_what_is_kept_comes_back(tmp_path):
    votes = [
        Vote("p1", "ada", 0, -3, True, unsafe=(True, False), seconds=2.5, time=1.5),
        Vote("p2", "ada", 1, 0.25),
        Vote("p2", "ada", 0, None, problem="too long"),
    ]
    with VoteLog(tmp_path, "ada") as log:
        log.append(*votes)
        assert log.votes == votes
    with VoteLog(tmp_path, "ada") as log:
        assert log.votes == votes == read_all_votes(tmp_path)


def test_a_preference_is_seen_from_the_pairs_first_answer():
    assert [Vote("p", "r", shown, 2).preference for shown in (0, 1)] == [2, -2]
    assert Vote("p", "r", 1, None, problem="x").preference is None


def test_a_later_vote_counts_and_the_earlier_line_stays(tmp_path):
    with VoteLog(tmp_path, "ada") as log:
        log.append(Vote("p1", "ada", 0, 3))
        log.append(Vote("p2", "ada", 0, 1))
        log.append(Vote("p1", "ada", 0, -1))
    assert [(vote.pair, vote.rating) for vote in read_votes(log.path)] == [("p2", 1), ("p1", -1)]
    assert len(log.path.read_text().splitlines()) == 3


def test_undo(tmp_path):
    with VoteLog(tmp_path, "ada") as log:
        log.append(Vote("p1", "ada", 0, 3))
        log.append(Vote("p2", "ada", 1, 3))
        log.undo(log.votes[-1])
        assert [vote.pair for vote in log.votes] == ["p1"]
    with VoteLog(tmp_path, "ada") as log:
        assert [vote.pair for vote in log.votes] == ["p1"]
    assert json.loads(log.path.read_text().splitlines()[-1]) == {"undo": {"pair": "p2", "shown": 1}}


def test_kill_at_twenty_moments_loses_no_vote(tmp_path):
    """What was confirmed on stdout is in the file, and what is there was meant; the next process goes on."""
    confirmed = -1
    for moment in range(20):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(0.003 * moment)
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read().split(b"\n")[:-1]
        process.wait()
        process.stdout.close()
        confirmed = int(said[-1]) if said else confirmed + 1
        with VoteLog(tmp_path, "ada") as log:
            names = [vote.pair for vote in log.votes]
        assert names == [f"p{n}" for n in range(len(names))]
        assert confirmed < len(names) <= confirmed + 2
        confirmed = len(names) - 1


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_line_cut_short(tmp_path, cut):
    with VoteLog(tmp_path, "ada") as log:
        log.append(Vote("p1", "ada", 0, 3), Vote("p2", "ada", 0, 3))
    os.truncate(log.path, log.path.stat().st_size - cut)
    assert [vote.pair for vote in read_votes(log.path)] == ["p1"]
    with VoteLog(tmp_path, "ada") as log:
        log.append(Vote("p3", "ada", 0, 1))
    assert [vote.pair for vote in read_votes(log.path)] == ["p1", "p3"]


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    with VoteLog(tmp_path, "ada") as log:
        log.append(Vote("p1", "ada", 0, 3))
    with log.path.open("ab") as file:
        file.write(b'{"pair": "cut short by a cra')
    with VoteLog(tmp_path, "ada") as log:

        def full(handle):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space"):
                log.append(Vote("p2", "ada", 0, 3))
        assert [vote.pair for vote in log.votes] == ["p1"]
        log.append(Vote("p3", "ada", 0, 3))
    assert [vote.pair for vote in read_votes(log.path)] == ["p1", "p3"]


def test_one_process_at_a_time_and_several_raters(tmp_path):
    with VoteLog(tmp_path, "ada"), VoteLog(tmp_path, "Ada"), pytest.raises(LockedError, match="collects votes of ada"):
        VoteLog(tmp_path, "ada")
    names = ["ada", "Ada", "../ada", ".ada", "Ada Lovelace", "asked:a/b", "艾达", "a" * 200, "con"]
    files = [file_name(name) for name in names]
    assert len({name.lower() for name in files}) == len(names)
    assert not any("/" in name or name.startswith(".") or len(name) > 80 for name in files)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[2J", "a" * 201])
def test_what_is_no_name(tmp_path, name):
    with pytest.raises(ValueError, match="a rater's name should be"):
        VoteLog(tmp_path, name)


@pytest.mark.parametrize(
    "line",
    [
        '{"pair": "p", "rater": "a", "shown": 2, "rating": 1}',
        '{"pair": "p", "shown": 0, "rating": true}',
        "nonsense",
        '{"pair": "p", "rater": "a", "shown": 0, "rating": 1, "colour": "red"}',
        '{"rating": 1, "shown": 0}',
    ],
)
def test_what_is_no_vote(tmp_path, line):
    path = tmp_path / "ada.jsonl"
    path.write_text('{"pair": "p", "rater": "a", "shown": 0, "rating": 1}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"ada\.jsonl, line 2: expected"):
        read_votes(path)
