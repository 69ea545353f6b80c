"""`minillama align collect`: programs and a person compare two answers to every prompt; the same command goes on."""

import io
import json
import sys

import pytest
import typer
from typer.testing import CliRunner

from minillama.alignment.preferences import Candidates, read_comparisons
from minillama.cli.align import collect


@pytest.fixture
def run(monkeypatch, capsys):
    """The command in this process; stdin is a pipe with `stdin` in it."""
    app = typer.Typer()
    collect.register(app)

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        app([str(argument) for argument in arguments], standalone_mode=False)
        return capsys.readouterr()

    return run


@pytest.fixture
def given(tmp_path):
    rows = [{"id": f"p{n}", "prompt": f"Tell me about {n} cats."} for n in range(5)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [tmp_path / "kept", "--prompts", tmp_path / "prompts.jsonl", "--model", "stories3M", "--max-tokens", "8"]


def test_a_person_compares_over_a_pipe_and_goes_on(run, given, tmp_path):
    first = run(*given, "--rater", "ada", "--safety", stdin="1\n8xy\nu\n7 x\n9\nq\n")
    assert "1 A is significantly better" in first.out
    assert "8 B is significantly better" in first.out
    assert "expected a number from 1 to 8, u, s or q, got '9'" in first.out
    assert "2 of 5 pairs compared by ada" in first.err
    kept = tmp_path / "kept/comparisons/ada.jsonl"
    assert first.out.splitlines()[-1] == str(kept)
    found = read_comparisons(kept)
    assert sorted(one.strength for one in found) == [2, 3]
    assert {one.chosen_safe for one in found} == {True}
    assert sorted(one.rejected_safe for one in found) == [False, True]  # 7 x: B is better, A is unsafe
    again = run(*given, "--rater", "ada", "--safety", stdin="4\n4\n4\n")
    assert "5 of 5 pairs compared by ada" in again.err
    assert [one.strength for one in read_comparisons(kept)].count(0) == 3


def test_programs_compare(run, tmp_path):
    done = run(
        tmp_path / "kept", "--requests", 6, "--model", "stories3M", "--max-tokens", 12,
        "--annotator", "story-helpful", "--annotator", "story-safe", "-t", 0.7, "-t", 1,
    )  # fmt: skip
    helpful, safe = (read_comparisons(path) for path in done.out.split())
    assert [one.source for one in (helpful[0], safe[0])] == ["story-helpful", "story-safe"]
    assert all(one.chosen_safe is None for one in helpful)
    assert all(one.has_safety for one in safe)
    assert all(one.prompt.facts and one.chosen_ids for one in safe)


def test_answers_that_are_the_same_are_not_counted(run, given, monkeypatch):
    monkeypatch.setattr(Candidates, "are_same", property(lambda pair: pair.prompt.id in ("p1", "p3")))
    done = run(*given, "--rater", "ada", stdin="1\n1\nq\n")
    assert "2 of 3 pairs compared by ada; 2 more left out, where both answers are the same\n" in done.err


def test_nothing_can_be_added_to_a_folder_that_has_begun(run, tmp_path):
    given = ["--model", "stories3M", "--max-tokens", 4, "--rater", "ada"]
    run(tmp_path / "kept", "--requests", 3, *given, stdin="q\n")
    with pytest.raises(ValueError, match="was begun with other prompts: go on with the same as then, or take another"):
        run(tmp_path / "kept", "--requests", 4, *given)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "say who compares"),
        (["--rater", "ada", "--requests", "3"], "in one way: --prompts FILE or --requests N"),
        (["--annotator", "nobody"], "no annotator 'nobody': expected story-helpful"),
        (["--annotator", "reward"], "no annotator 'reward'"),
        (["--annotator", "story-safe"], "story-safe knows requests of the story world alone \\(--requests N\\)"),
        (["--rater", "ada", "-t", "0.7"], "two different temperatures or more"),
    ],
)
def test_what_is_missing_is_said(run, given, more, message):
    with pytest.raises(ValueError, match=message):
        run(*given, *more)


def test_help_is_whole():
    app = typer.Typer()
    collect.register(app)
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "--annotator" in shown
    assert "no prompts, requests or models can be added" in " ".join(shown.split())
