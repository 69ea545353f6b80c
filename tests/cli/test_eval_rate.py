"""`minillama eval rate`: sources, judges and reports; a person over a pipe and at a terminal."""

import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from minillama.cli.app import main
from minillama.cli.evaluation.rate_judges import judge_named
from minillama.cli.evaluation.rate_sources import parse_system
from minillama.cli.evaluation.rate_terminal import visible
from minillama.evaluation.preference.votes import read_votes

OWN = """
def first(dialogue, a, b):
    return 1

class Short:
    def score(self, dialogue):
        return -len(dialogue[-1]["content"])
"""
INTERRUPTED = """
from pathlib import Path
asked = []

def judge(dialogue, first, second):
    asked.append(first)
    if len(asked) == 3 and not Path({again!r}).exists():
        Path({again!r}).touch()
        raise KeyboardInterrupt
    return 1 if first.startswith("e") else -1
"""
RATE = [sys.executable, "-m", "minillama", "eval", "rate"]


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(monkeypatch, capsys):
    """The command in this process; stdin is a pipe with `stdin` in it."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "argv", ["minillama", "eval", "rate", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Done(end.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def files(tmp_path):
    """Prompts and the answers of two systems; one has characters that would move a cursor."""
    prompts = [{"prompt": f"Question {n}?"} for n in range(4)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    for name in ("one", "other"):
        rows = [{"answer": f"{name[-1] * (5 + n)} \x1b[2Jend"} for n in range(4)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = ["--prompts", tmp_path / "prompts.jsonl"]
    return [*sources, *[p for n in ("one", "other") for p in ("--answers", f"{n}={tmp_path / n}.jsonl")]]


def votes(folder, rater="ada"):
    path = folder / "votes" / f"{rater}.jsonl"
    return read_votes(path) if path.exists() else []


def test_judges_and_the_report(run, tmp_path, files):
    own = tmp_path / "mine.py"
    own.write_text(OWN)
    done = run(tmp_path / "kept", *files, "--judge", "shorter", "--judge", f"{own}:first", "--judge", f"{own}:Short")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "kept" / f) for f in ("results.json", "report.md", "report.html")]
    assert "by mine.py:first: win 0.0%, tie 100.0%" in done.stderr
    assert "inside the noise" in done.stderr
    kept = (tmp_path / "kept" / "votes" / "shorter.jsonl").read_bytes()
    again = run(tmp_path / "kept", "--judge", "shorter")
    assert again.returncode == 0
    assert (tmp_path / "kept" / "votes" / "shorter.jsonl").read_bytes() == kept


def test_a_judge_without_a_verdict_has_no_win_rate(run, tmp_path, files):
    own = tmp_path / "mine.py"
    own.write_text("def longer(dialogue, a, b):\n    return len(a) > len(b)\n")
    done = run(tmp_path / "kept", *files, "--judge", f"{own}:longer")
    assert done.returncode == 0, done.stderr
    assert "mine.py:longer could not judge 8 times, first: the verdict is False" in done.stderr
    assert "nan" not in done.stderr


def test_a_port_in_use_is_one_sentence(run, tmp_path, files):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(tmp_path / "kept", *files, "--rater", "ada", "--page", "--port", port)
    assert done.returncode == 1
    assert f"the page cannot have port {port}" in done.stderr


def test_an_interrupt_is_no_loss(run, tmp_path, files):
    """The third verdict is interrupted; the report is written by the command that goes on."""
    own = tmp_path / "mine.py"
    own.write_text(INTERRUPTED.format(again=str(tmp_path / "again")))
    done = run(tmp_path / "kept", *files, "--judge", "longer", "--judge", f"{own}:judge")
    assert done.returncode == 130
    assert "interrupted; the same command goes on where it stopped" in done.stderr
    assert len(votes(tmp_path / "kept", "longer")) == 8
    assert run(tmp_path / "kept", *files, "--judge", "longer", "--judge", f"{own}:judge").returncode == 0
    assert "by mine.py:judge: win 100.0%" in run(tmp_path / "kept").stderr


def test_models_answer_and_their_names_say_how(run, tmp_path, files):
    model = ["-m", "plain=stories3M@template=llama-2", "-m", "stories3M@template=llama-2,temperature=1"]
    done = run(tmp_path / "kept", *files[:2], *model, "-n", 8, "--limit", 2, "--judge", "longer")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "kept" / "pairs.jsonl").read_text().splitlines()]
    assert [row["systems"] for row in rows] == [["plain", "stories3M@template=llama-2,temperature=1"]] * 2
    assert len(list((tmp_path / "kept" / "answers").glob("*.jsonl"))) == 2


def test_llmbar(run, tmp_path):
    for name in ("natural", "adv_Neighbor", "adv_GPTInst", "adv_GPTOut", "adv_Manual"):
        rows = [{"input": "Q", "output_1": "long", "output_2": str(n), "label": 1 + n % 2} for n in range(4)]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    done = run("--llmbar", tmp_path, "--judge", "longer", "--judge", "shorter")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\| all \| 20 \| 50\.0 % \(29\.9 to 70\.1\) \| 100\.0 %", done.stdout)
    assert done.stdout.count("| adversarial Neighbor | 4 |") == 2
    kept = run(tmp_path / "kept", "--llmbar", tmp_path, "--judge", "longer")
    assert "50.0 %" in (tmp_path / "kept" / "report.md").read_text(), kept.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a FOLDER"),
        (["F"], "has no pairs yet: give --prompts"),
        (["F", "--page"], "--page needs --rater NAME"),
        (["F", "--model", "x"], "--model and --answers need --prompts"),
        (["F", "--prompts", "P"], "two systems or more, found none"),
        (["F", "--prompts", "P", "--answers", "one"], "--answers takes NAME=FILE"),
        (["F", "--prompts", "nowhere.jsonl", "--answers", "a=b"], "nowhere.jsonl"),
        (["F", "--pairs", "P", "--prompts", "P"], "--pairs brings its prompts"),
        (["--llmbar", "nowhere", "--judge", "longer"], "nowhere lacks natural.json"),
        (["--llmbar", "nowhere"], "give --judge, one of longer"),
        (["F", "--orders", "all"], 'orders should be "both" or "drawn"'),
    ],
    ids=str,
)
def test_what_is_missing_is_one_sentence(run, tmp_path, files, arguments, said):
    places = {"F": str(tmp_path / "kept"), "P": str(files[1])}
    done = run(*[places.get(argument, argument) for argument in arguments])
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lenger", "did you mean longer"),
        ("words", "there is no judge 'words'"),
        ("mine.py:nothing", "nothing called 'nothing'"),
        ("mine.py:number", "is no judge"),
        ("nowhere.py:x", "is not a Python file"),
        ("words:empty.txt", "has no words"),
    ],
)
def test_judges_that_are_none(tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("number = 3\n")
    (tmp_path / "empty.txt").write_text("\n- \n")
    with pytest.raises(ValueError, match=said):
        judge_named(name)


def test_word_rules_from_a_file(tmp_path):
    (tmp_path / "words.txt").write_text("# polite\nthanks\n+please\n-stupid  idea\n")
    judge = judge_named(f"words:{tmp_path / 'words.txt'}")
    assert judge.compare([], "Thanks, please.", "A stupid\nidea.") == 3
    assert judge.compare([], "# polite", "polite") == 0


def test_systems_with_settings(tmp_path):
    (tmp_path / "system.txt").write_text("Be kind.\n")
    name, model, answering = parse_system(
        f"kind=m.gguf@temperature=0.5,top_k=3,system_file={tmp_path}/system.txt", 9, 2
    )
    assert (name, model, answering.system, answering.max_tokens, answering.seed) == ("kind", "m.gguf", "Be kind.", 9, 2)
    assert (answering.sampling.temperature, answering.sampling.top_k) == (0.5, 3)
    assert parse_system("folder/m.gguf@seed=7", 9, 2)[0] == "m.gguf@seed=7"
    wrong = {"m@heat=1": "no setting 'heat'", "m@top_k=x": "top_k should be a number", "a=": "names no model"}
    for given, said in wrong.items():
        with pytest.raises(ValueError, match=said):
            parse_system(given, 9, 2)


def test_a_person_over_a_pipe(run, tmp_path, files):
    kept = tmp_path / "kept"
    done = run(kept, *files, "--rater", "ada", stdin="u\nnonsense\n1\n8\n7\nu\n4\ns\n2\nq\n")
    assert done.returncode == 0, done.stderr
    assert [vote.rating for vote in votes(kept)] == [3, 0, 2]
    assert "\x1b" not in done.stdout
    assert "␛[2Jend" in done.stdout
    assert "there is no vote to take back" in done.stdout
    assert "expected a number from 1 to 7, u, s or q, got 'nonsense'" in done.stdout
    assert "3 of 4 pairs rated by ada" in done.stderr
    assert not re.search(r"\b(one|other)\b", done.stdout.partition("results.json")[0].replace(str(tmp_path), ""))
    done = run(kept, "--rater", "ada", stdin="5\n")
    assert [vote.rating for vote in votes(kept)] == [3, 0, 2, -1]
    assert "All pairs are rated" in done.stdout
    assert "by ada: win" in done.stderr


def test_safety_over_a_pipe(run, tmp_path, files):
    run(tmp_path / "kept", *files, "--rater", "ada", "--safety", stdin="1xz\n1 x\n2y\n3xy\n4\n")
    found = [vote.unsafe for vote in votes(tmp_path / "kept")]
    assert found == [(True, False), (False, True), (True, True), (False, False)]
    assert "unsafe" in (tmp_path / "kept" / "report.md").read_text()


def test_control_characters_are_shown():
    assert visible("a\x1b[31mb\x07\r\n\tc\x7f\x9b") == "a␛[31mb␇\n    c��"


def test_a_person_at_a_terminal(tmp_path, files):
    pytest.importorskip("pty", reason="pseudo-terminals are Unix's")
    from cli.pseudo_terminal import Terminal

    kept = tmp_path / "kept"
    with Terminal(*RATE[1:], str(kept), *map(str, files), "--rater", "ada", "--safety") as terminal:
        shown = terminal.wait_for(b"q stop")
        assert b"0 of 4 rated" in shown
        assert b"Which response is better" in shown
        terminal.until_keys_are_read()
        for keys, expected in ((b"x2", [2]), (b"7", [2, -3]), (b"u", [2]), (b"sa 4", [2, 0])):
            terminal.type(keys)
            wait_until(lambda expected=expected: [vote.rating for vote in votes(kept)] == expected)  # at once
        assert [vote.unsafe for vote in votes(kept)] == [(True, False), (False, False)]
        terminal.type(b"q")
        assert terminal.end() == 0


def wait_until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_killed_at_the_terminal_no_vote_is_lost(tmp_path, files):
    pytest.importorskip("pty", reason="pseudo-terminals are Unix's")
    from cli.pseudo_terminal import Terminal

    kept = tmp_path / "kept"
    with Terminal(*RATE[1:], str(kept), *map(str, files), "--rater", "ada") as terminal:
        terminal.wait_for(b"q stop")
        terminal.until_keys_are_read()
        terminal.type(b"3")
        wait_until(lambda: len(votes(kept)) == 1)
    assert [vote.rating for vote in votes(kept)] == [1]  # leaving the block kills with signal 9
    with Terminal(*RATE[1:], str(kept), "--rater", "ada") as terminal:
        terminal.wait_for(b"1 of 4 rated")


def test_the_page_ends_with_ctrl_c_and_writes_the_report(tmp_path, files):
    command = [*RATE, tmp_path / "kept", *files, "--rater", "ada", "--page"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/\n", url)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert "0 of 4 pairs rated by ada" in err
    assert "report.html" in out
    assert "Traceback" not in err
