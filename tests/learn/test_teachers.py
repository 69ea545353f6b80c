"""The page for teachers says what is so: weeks, hours and names, fields, and what the goals need."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from minillama.cli.commands import app
from minillama.learn.chapters.catalogue import catalogue, chapter_packages
from minillama.learn.course import course
from minillama.learn.term import term
from minillama.learn.workspace import certificate
from minillama.learn.workspace.own_training import exercises_in_training, missing

CLONE = Path(__file__).parents[2]
PAGE = (CLONE / "docs" / "teachers.md").read_text(encoding="utf-8")
CHAPTERS = course(CLONE / "notebooks")


def test_twelve_weeks_are_the_whole_course():
    """That the table on the page is this one, tests/learn/test_texts.py holds."""
    weeks = list(term(CHAPTERS))
    assert [week.number for week in weeks] == list(range(1, 13))
    ids = [id for week in weeks for id in (*week.core, *week.others)]
    assert sorted(ids) == sorted(catalogue())
    assert sum(week.reading for week in weeks) == sum(chapter.reading for chapter in CHAPTERS)
    assert sum(week.core_minutes for week in weeks) == sum(chapter.core for chapter in CHAPTERS)
    assert sum(week.minutes for week in weeks) == sum(chapter.exercises for chapter in CHAPTERS)
    assert max(week.reading + week.minutes for week in weeks) < 6 * 60


def test_chapters_come_after_what_they_need_and_some_can_be_left_out():
    order = [chapter.number for week in term(CHAPTERS) for chapter in week.chapters]
    for chapter in CHAPTERS:
        assert all(order.index(needed) <= order.index(chapter.number) for needed in chapter.needs)
        assert not {"11", "13"} & set(chapter.needs)


def test_every_name_on_the_page_is_an_exercise_or_a_word_of_a_file():
    prose = PAGE.partition("<!-- end of the exercises -->")[2]
    ids = {word for word in re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", prose) if word not in ("solution_seen",)}
    assert ids <= set(catalogue())
    assert all(link.is_file() for link in ((CLONE / "docs" / to) for to in re.findall(r"\]\((\.\.[^)]+)\)", PAGE)))


def test_what_the_goals_need_beyond_the_core_path_is_named():
    core = {id for package in chapter_packages() for id in package.CORE}
    failing = {id: "not on it" for id in catalogue() if id not in core}
    assert missing(failing, catalogue().that_say("replaces")) == []
    beyond = missing(failing, exercises_in_training())
    said = PAGE.partition("needs also ")[2].partition(". ")[0]
    assert sorted(re.findall(r"`(\w+)`", said)) == sorted(beyond)


def test_the_fields_of_the_files_are_on_the_page(solved, monkeypatch, tmp_path):
    few = {"rope_half": catalogue()["rope_half"]}
    monkeypatch.setattr(certificate, "catalogue", lambda: few)
    from minillama.learn import speed
    from minillama.learn.workspace.folder import find_workspace

    monkeypatch.setattr(speed, "roofs", lambda *n_bytes: (20e9, 50e9))
    found = certificate.verify(find_workspace(solved), "Ada")
    rows = PAGE.partition("| field | holds |")[2].partition("\n\n")[0]
    assert [f"`{field}`" in rows for field in found] == [True] * len(found)
    assert all(f"`{field}`" in rows or field in rows for field in found["exercises"][0])
    entry = CliRunner().invoke(app, ["learn", "check", "rope_half", "--json", "--dir", str(solved)])
    document = json.loads(entry.stdout)["exercises"][0]
    for field in ("status", "mistake", "headline", "facts", "sha256"):
        assert f"`{field}`" in PAGE
        assert field in document


@pytest.mark.parametrize("command", re.findall(r"^    minillama (learn \w+)", PAGE, re.MULTILINE))
def test_the_commands_on_the_page_exist(command):
    assert CliRunner().invoke(app, [*command.split(), "--help"]).exit_code == 0
