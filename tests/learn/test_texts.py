"""What is made of the exercises: starters, solutions and tables are those that are committed, and they work."""

from pathlib import Path

import pytest

from minillama.learn import generate
from minillama.learn.chapters import texts
from minillama.learn.chapters.catalogue import Catalogue, catalogue, chapter_packages
from minillama.learn.diagnosis.check import check_function
from minillama.learn.workspace.worker import load_file

CLONE = Path(__file__).parents[2]
CHAPTERS = pytest.mark.parametrize("chapter", chapter_packages(), ids=texts.file_name)


@pytest.mark.parametrize(("path", "text"), list(generate.generated(CLONE)), ids=lambda x: getattr(x, "name", ""))
def test_what_is_committed_is_what_is_generated(path, text):
    assert path.read_text(encoding="utf-8") == text, "python -m minillama.learn.generate"


def test_a_change_is_found_and_written(tmp_path, monkeypatch, capsys):
    for path, text in generate.generated(CLONE):
        copy = tmp_path / path.relative_to(CLONE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
    monkeypatch.setattr(generate, "CLONE", tmp_path)
    monkeypatch.setattr("sys.argv", ["generate", "--check"])
    generate.main()
    changed = tmp_path / "notebooks" / "05_rope.py"
    changed.write_text(changed.read_text().replace("| 1 | 5 |", "| 3 | 50 |"))
    with pytest.raises(SystemExit, match=r"not what the exercises say.*\n  notebooks/05_rope.py$"):
        generate.main()
    monkeypatch.setattr("sys.argv", ["generate"])
    generate.main()
    assert capsys.readouterr().out == "notebooks/05_rope.py\n"
    assert changed.read_text() == (CLONE / "notebooks" / "05_rope.py").read_text()
    changed.write_text("# # 05 · RoPE\n\nno place for a table\n")
    with pytest.raises(ValueError, match="one place for the table"):
        generate.main()
    changed.write_text("no title\n")
    with pytest.raises(ValueError, match="begins with a cell '# 05 · title'"):
        generate.main()


@pytest.mark.parametrize("id", catalogue())
def test_the_printed_solution_passes_in_a_fresh_starter(id, tmp_path):
    chapter = next(chapter for chapter in chapter_packages() if id in chapter.EXERCISES)
    path = tmp_path / texts.file_name(chapter)
    path.write_text(f"{texts.starter_file(chapter)}\n\n{texts.solution(id)}", encoding="utf-8")
    report = check_function(catalogue()[id], getattr(load_file(path), id))
    assert report.passed, report.text()


def test_what_the_learner_has_solved_is_not_printed_again():
    assert "def rope_interleaved" in texts.solution("rope_backward")
    assert "def rope_interleaved" not in texts.solution("rope_backward", known=["rope_interleaved", "rope_backward"])
    assert "def rope_backward" in texts.solution("rope_backward", known=["rope_backward"])


@CHAPTERS
def test_every_file_of_a_chapter_is_an_exercise_or_shared(chapter):
    files = {path.stem for path in Path(chapter.__path__[0]).glob("*.py")}
    shared = {"__init__", "inputs", "variants", "shared", "given"}
    assert files - shared == set(chapter.EXERCISES)
    assert chapter.__doc__.startswith(f"Chapter {texts.file_name(chapter)[:2]}: ")


def test_the_catalogue_imports_nothing_before_it_is_asked():
    few = Catalogue()
    assert len(few) == len(set(few)) == 124
    assert few.chapter_of("rope_half") == "05"
    assert "rope_half" in few
    assert few._found == {}
    assert few["rope_half"].chapter == "05"
    assert list(few._found) == ["rope_half"]


def test_what_a_decorator_says_is_found_without_importing():
    assert catalogue().that_say("replaces") == [id for id, one in catalogue().items() if one.replaces is not None]
    assert catalogue().that_say("speed") == [id for id, one in catalogue().items() if one.speed is not None]
