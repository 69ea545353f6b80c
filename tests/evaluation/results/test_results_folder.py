"""The folder of a run: nobody's results are overwritten, and a run goes on only with its own settings."""

import pytest
from made_results import made_evaluation

from minillama.evaluation.results.folder import FolderError, ResultsFolder
from minillama.evaluation.results.settings import differences


def write(path, evaluation, **how):
    folder = ResultsFolder(path)
    with folder.begun(evaluation.settings, **how):
        folder.write(evaluation)
    return folder


def other_settings(evaluation):
    return {**evaluation.settings, "asking": {**evaluation.settings["asking"], "limit": 7}}


def test_results_are_not_overwritten(tmp_path):
    evaluation = made_evaluation()
    folder = write(tmp_path / "run", evaluation)
    assert folder.is_done
    with pytest.raises(FolderError, match="holds the results of a run: continue it with --resume, replace it with"):
        folder.check(evaluation.settings)
    with pytest.raises(FolderError, match=r"other settings: asking\.limit is 7 now and was not given"):
        folder.check(other_settings(evaluation), resume=True)


def test_force_replaces_and_resume_keeps(tmp_path):
    evaluation = made_evaluation()
    folder = write(tmp_path / "run", evaluation)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    write(folder.path, evaluation, resume=True)
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before
    smaller = made_evaluation(arc_easy=evaluation["arc_easy"])
    write(folder.path, smaller, force=True)
    assert len(list(folder.path.glob("samples_*"))) == 1
    assert len(list(folder.path.glob("results_*"))) == 1


def test_a_run_that_is_not_finished_is_called_so(tmp_path):
    evaluation = made_evaluation()
    folder = ResultsFolder(tmp_path)
    with folder.begun(evaluation.settings):
        pass
    with pytest.raises(FolderError, match="a run that is not finished"):
        folder.check(evaluation.settings)
    write(tmp_path, evaluation, resume=True)
    assert folder.is_done


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for how in ({}, {"resume": True}, {"force": True}):
        with pytest.raises(FolderError, match=r"holds other files \(thesis.tex\)"):
            ResultsFolder(tmp_path).check({}, **how)
    file = tmp_path / "thesis.tex"
    with pytest.raises(FolderError, match="is a file; results need a folder"):
        ResultsFolder(file).check({})


def test_two_processes_do_not_write_together(tmp_path):
    evaluation = made_evaluation()
    with (
        ResultsFolder(tmp_path).begun(evaluation.settings),
        pytest.raises(FolderError, match="another process"),
        ResultsFolder(tmp_path).begun(evaluation.settings, resume=True),
    ):
        pass


def test_a_damaged_folder_is_one_sentence(tmp_path):
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ValueError, match=r"settings\.json"):
        ResultsFolder(tmp_path).check({})


def test_differences_are_named():
    found = differences({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "e": 5})
    assert found == ["a.c is 2 now and was 4", "d is 3 now and was not given", "e is not given now and was 5"]
