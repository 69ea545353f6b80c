"""`minillama eval redteam`: at a pipe and at a terminal."""

import json
import sys
import time

import pytest

from minillama.cli.app import main
from minillama.cli.evaluation.person import Attack, vote, yes_or_no
from minillama.evaluation.red_team.answers import Writing
from minillama.evaluation.red_team.robustness import AttemptLog, robustness
from minillama.evaluation.red_team.votes import Votes, ballot


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*args):
        monkeypatch.setattr(sys, "argv", ["minillama", "eval", "redteam", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return run


def reader(*said):
    """A person who says this, then leaves."""
    waiting = iter(said)

    def read():
        found = next(waiting, EOFError)
        if isinstance(found, type):
            raise found
        return found

    return read


def test_offline_with_what_is_inside(run, tmp_path):
    code, out, err = run("-o", tmp_path, "--limit", 4, "-n", 4, "--attacks", "none,misspelling+german")
    assert (code, "8 of 8 answers" in err) == (0, True)
    assert "| stories |" in out
    assert "| misspelling+german |" in out
    assert json.loads((tmp_path / "report.json").read_text())["model"]["name"] == "stories3M"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--attacks", "rolplay"], "did you mean role-play"),
        (["--suites", "xstest"], "with --data"),
        (["--scorer", "math:pi"], "give --scorer and --threshold"),
        (["--scorer", "math:pi", "--threshold", "0"], "expected MODULE:NAME of an object with score"),
        (["--scorer", "nowhere:x", "--threshold", "0"], "--scorer nowhere:x: expected MODULE:NAME"),
        (["--words", "none.txt"], "cannot be read"),
        (["--interactive", "--name", "x", "-m", "nothing-like-it"], "nothing-like-it"),
    ],
)
def test_errors_in_one_sentence(run, tmp_path, options, message):
    code, _, err = run("-o", tmp_path / "out", *options)
    assert code == 1
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "answers.jsonl").exists()


def test_a_scorer_by_name(run, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("class Always:\n    def score(self, dialogue):\n        return 0.1\n")
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("-o", "out", "--limit", 2, "-n", 4, "--scorer", "mine:Always", "--threshold", "0.5")
    assert code == 0
    assert "- **scorer**: score(dialogue) below 0.5." in out
    assert "100.0 %" in out


@pytest.fixture(scope="module")
def stories():
    import minillama

    return minillama.load("stories3M")


def test_the_clock_runs_while_a_person_types(stories, tmp_path):
    """Ten seconds a message, a hundred a mark, and a thousand for what the model writes, which do not count."""
    now = [0.0]

    def typed(text, seconds):
        def read():
            now[0] += seconds
            return text

        return read

    steps = iter([typed("a bear", 10), typed("y", 100), typed("", 5), typed("/pause", 1), typed("", 9000)])
    more = iter([typed("/new", 2), typed("a fox", 10), typed("what?", 50), typed("n", 50), typed("/quit", 7)])
    log = AttemptLog(tmp_path / "attempts.jsonl")
    attack = Attack(stories, log, "ann", Writing(max_tokens=4), clock=lambda: now[0])
    answered = attack._answered

    def slowly(asked):
        now[0] += 1000
        return answered(asked)

    attack._answered = slowly
    attack.run(lambda: (next(steps, None) or next(more))())
    times = [(one.request, one.violates, one.typing_seconds, one.marking_seconds) for one in log.attempts]
    assert times == [("a bear", True, 10, 100), ("a fox", False, 5 + 1 + 2 + 10, 100), ("", False, 7, 0)]
    assert robustness(log.attempts).gamma == pytest.approx(3600 / 35)
    assert all(one.answer for one in log.attempts[:2])
    assert len(attack.messages) == 2


def test_time_of_an_attempt_without_a_mark_is_kept(stories, tmp_path):
    log = AttemptLog(tmp_path / "attempts.jsonl")
    ticks = iter(range(100))
    Attack(stories, log, "ann", Writing(max_tokens=4), clock=lambda: float(next(ticks))).run(reader("a bear"))
    assert [(one.request, one.violates) for one in log.attempts] == [("", False)]
    assert robustness(log.attempts).hours > 0
    assert robustness(log.attempts).attempts == 0


def test_voting(tmp_path, capsys):
    ballots = [ballot("asked", str(i)) for i in range(4)]
    path = tmp_path / "votes.jsonl"
    assert vote(Votes(path), ballots, reader("y", "maybe", "n", "s", KeyboardInterrupt)) == 2
    shown = capsys.readouterr().out
    assert shown.count("asked:  asked") == 4
    assert sorted(Votes(path).of.values()) == [False, True]
    assert vote(Votes(path), ballots, reader("y", "y", "y")) == 2


def test_an_answer_does_not_move_the_cursor(tmp_path, capsys):
    vote(Votes(tmp_path / "votes.jsonl"), [ballot("asked", "\x1b[2Jgone")], reader("y"))
    assert "\x1b" not in capsys.readouterr().out


def test_a_person_votes_after_the_answers(run, tmp_path, monkeypatch):
    """The votes are in the report of the same command, and of a later one without --person."""
    monkeypatch.setattr("minillama.cli.common.prompt.terminal_reader", lambda: reader("y", "n"))
    options = ["-o", tmp_path, "--limit", 4, "-n", 4, "--name", "Ann B"]
    code, _, _ = run(*options, "--person")
    assert code == 0
    assert len((tmp_path / "votes-Ann-B.jsonl").read_text().splitlines()) == 2
    report = json.loads((tmp_path / "report.json").read_text())
    (suite,) = report["suites"]
    assert suite["violations"]["person"]["n"] <= 2
    assert "2 answers wait for a person's vote and are in no rate of that column." in report["notes"]
    assert "violations of unsafe: person" in run(*options)[1]


def test_yes_or_no():
    assert [yes_or_no("?", reader(word)) for word in ("Y", " no ", "skip")] == [True, False, None]


def test_at_a_terminal(tmp_path):
    """Typed, marked, left; a second sitting goes on with the same log."""
    pytest.importorskip("pty", reason="pseudo-terminals are Unix's")
    from cli.pseudo_terminal import Terminal

    arguments = ["-m", "minillama", "eval", "redteam", "--interactive", "-n", "4", "-o", str(tmp_path), "--name", "ann"]
    for sitting, mark in ((1, b"y\r"), (2, b"n\r")):
        with Terminal(*arguments) as terminal:
            terminal.wait_for(b"/quit or Ctrl-D ends")
            for typed, shown in ((b"a bear and a fox\r", b"does this answer violate?"), (mark, b"> ")):
                terminal.wait_for(b"> ")
                time.sleep(0.5)
                terminal.type(typed)
                terminal.wait_for(shown)
            time.sleep(0.5)
            terminal.type(b"\x04")
            assert terminal.end() == 0
            assert f"of {sitting} attempt".encode() in terminal.seen
    log = AttemptLog(tmp_path / "attempts.jsonl")
    assert [one.violates for one in log.attempts if one.request] == [True, False]
    assert all(0.3 < one.typing_seconds < 60 for one in log.attempts if one.request)
