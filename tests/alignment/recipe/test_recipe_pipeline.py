"""The pipeline: killed at every change of the disk, interrupted, refused, and what it says."""

import errno
import json
import os
import shutil
import signal

import pytest
from fake_pipeline import STEPS, Quiet, contents, run

from minillama.alignment.recipe.pipeline import RecipeFolder, Step, made_steps
from minillama.alignment.recipe.pipeline.clock import StepClock
from minillama.alignment.recipe.pipeline.folder import read_done
from minillama.files.errors import CheckpointError
from minillama.training.run_folder import RunError

CALLS = ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir", "chmod")


def test_every_step_has_a_folder_and_a_marker(tmp_path):
    ended, seen = run(tmp_path / "run")
    assert (ended.step, ended.interrupted) == ("halves", False)
    assert seen.begun == ["draw", "total", "halves"]
    done = read_done(tmp_path / "run" / "02-total")
    assert done.figures["sum"] > 0
    assert set(done.inputs) == {"draw"}
    assert done.spent.wall > 0
    assert run(tmp_path / "run")[1].begun == []  # nothing is left to do


def test_killed_at_every_change_of_the_disk(tmp_path):
    """At the n-th change, for n = 1, 2, …: resumed, the run ends with the same bytes."""
    run(tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    n = 0
    while True:
        n += 1
        path = tmp_path / f"at{n}"
        if in_child(lambda path=path: run(path), n) != -signal.SIGKILL:
            break
        run(path)
        assert contents(path) == expected, f"killed at change {n}"
        assert [p.name for p in path.rglob(".*") if p.name != ".lock"] == []
    assert n > 20


def in_child(work, die_at):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        left = [die_at]

        def counted(function):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return call

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        work()
        code = 0
    finally:
        os._exit(code)


def test_an_interrupt_ends_the_step_cleanly(tmp_path):
    """After each number of questions; what was drawn is kept."""
    run(tmp_path / "whole")
    for after in range(1, 10):
        asked = [0]

        def stop(asked=asked, after=after):
            asked[0] += 1
            return asked[0] >= after

        path = tmp_path / f"after{after}"
        ended, _ = run(path, stop=stop)
        assert ended.interrupted
        if ended.step == "draw" and after > 1:
            assert len((path / "01-draw" / "lines.jsonl").read_bytes().splitlines()) == after - 1
        assert not run(path)[0].interrupted
        assert contents(path) == contents(tmp_path / "whole")
        if ended.step == "halves":
            break
    else:
        pytest.fail("the last step was never reached")


def test_until_a_step_and_on(tmp_path):
    assert run(tmp_path / "run", until="total")[1].begun == ["draw", "total"]
    assert run(tmp_path / "run")[1].begun == ["halves"]
    with pytest.raises(ValueError, match=r"--until totl: there is no such step; did you mean total\? possible: draw,"):
        run(tmp_path / "run", until="totl")


def test_a_step_made_from_another_input_is_not_used(tmp_path):
    """Said before anything is made again: that may take an hour."""
    path, seen = tmp_path / "run", Quiet()
    run(path)
    shutil.rmtree(path / "01-draw")
    with pytest.raises(RunError, match="02-total was made from a 01-draw that is not there any more: ") as caught:
        run(path, seen=seen)
    assert f"delete the folders 02-total, 03-halves in {path}, then they are made again by: the same" in str(
        caught.value
    )
    assert seen.begun == []
    assert not (path / "01-draw").exists()
    assert run(path, until="draw")[1].begun == ["draw"]  # what is left of the run is not asked for
    with pytest.raises(RunError, match="02-total was made from another 01-draw than the one that is there: delete the"):
        run(path)
    for name in ("02-total", "03-halves"):
        shutil.rmtree(path / name)
    assert run(path)[1].begun == ["total", "halves"]


@pytest.mark.parametrize("content", ["", '{"figures": {"sum"', "[]", "{}"])
def test_a_marker_that_is_damaged_names_its_step(tmp_path, content):
    path = tmp_path / "run"
    run(path)
    (path / "02-total" / "done.json").write_text(content)
    with pytest.raises(RunError, match=r"02-total/done\.json is damaged, .* the step total was made from: ") as caught:
        run(path)
    assert f"delete the folders 02-total, 03-halves in {path}, then they are made again by:" in str(caught.value)
    assert "JSON" not in str(caught.value)


def test_a_part_of_an_earlier_step_that_is_gone_names_the_step(tmp_path):
    path = tmp_path / "run"

    def tries(context):
        context.made("halves", "model")
        return {}

    steps = (*STEPS, Step("try", tries, ("halves",)))
    run(path, until="halves")
    shutil.rmtree(path / "03-halves" / "model")
    with pytest.raises(RunError, match="03-halves/model is not there any more") as caught:
        run(path, steps=steps)
    assert "The step halves made it, and try needs it: put it there again as it was, or delete" in str(caught.value)
    assert "the folders 03-halves, 04-try in" in str(caught.value)


def test_a_part_of_an_earlier_step_that_is_damaged_names_the_step(tmp_path):
    path = tmp_path / "run"

    def tries(context):
        raise CheckpointError(context.of("halves") / "model", "file", "has been cut off")

    run(path, until="halves")
    with pytest.raises(RunError, match=r"03-halves/model: file: has been cut off\. The step halves made it"):
        run(path, steps=(*STEPS, Step("try", tries, ("halves",))))


def test_a_marker_keeps_the_settings_of_its_step(tmp_path):
    run(tmp_path / "run", made_with=lambda name: {name: {"seed": 3}})
    made = made_steps(RecipeFolder(tmp_path / "run"))
    assert {name: done.settings for name, done in made.items()} == {
        f"{n:02}-{name}": {name: {"seed": 3}} for n, name in enumerate(("draw", "total", "halves"), 1)
    }


def test_seconds_add_up_over_processes(tmp_path):
    path = tmp_path / "run"
    asked = [0]

    def stop():
        asked[0] += 1
        return asked[0] > 2

    run(path, stop=stop)
    before = json.loads((path / "01-draw" / "seconds.jsonl").read_text())["wall"]
    run(path)
    assert read_done(path / "01-draw").spent.wall > before


def test_a_step_reads_only_what_it_names(tmp_path):
    def peeps(context):
        context.of("draw")

    with pytest.raises(KeyError, match="draw"):
        run(tmp_path / "run", steps=(STEPS[0], Step("peeps", peeps)))
    with pytest.raises(ValueError, match="peeps reads draw, which is no earlier step"):
        run(tmp_path / "run", steps=(Step("peeps", peeps, ("draw",)),))
    with pytest.raises(ValueError, match="two steps are called draw"):
        run(tmp_path / "run", steps=(STEPS[0], STEPS[0]))


def test_a_full_disk_says_how_to_go_on(tmp_path):
    def full(context):
        raise OSError(errno.ENOSPC, "No space left on device", "sum.json")

    steps = (STEPS[0], Step("total", full, ("draw",)))
    with pytest.raises(RunError, match=r"cannot be written: No space left on device \(sum.json\).*the same --resume"):
        run(tmp_path / "run", steps=steps)
    run(tmp_path / "run")
    run(tmp_path / "whole")
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_file_that_was_deleted_is_not_a_full_disk(tmp_path):
    run(tmp_path / "run", until="draw")

    def reads(context):
        (tmp_path / "pairs.jsonl").read_text()

    steps = (STEPS[0], Step("total", reads, ("draw",)))
    with pytest.raises(
        RunError, match=r"is missing: .*pairs\.jsonl\. What is over stays; put it there again"
    ) as caught:
        run(tmp_path / "run", steps=steps)
    assert "room" not in str(caught.value)


def test_seconds_that_cannot_be_read_name_their_file(tmp_path):
    (tmp_path / "seconds.jsonl").write_text("garbage\n")
    with pytest.raises(ValueError, match=r"seconds\.jsonl: line 1: says no seconds; delete the file"):
        StepClock(tmp_path)


def test_folders_that_are_in_use_or_hold_others(tmp_path):
    folder = RecipeFolder(tmp_path / "run")
    folder.check(resume=False)
    with folder.lock(), pytest.raises(RunError, match=r"another process \(number \d+\) is at work in"):
        run(tmp_path / "run")
    run(tmp_path / "run")
    folder.check(resume=True)
    with pytest.raises(RunError, match="already holds a run: continue it with --resume"):
        folder.check(resume=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match=r"holds other files \(letter.txt\)"):
        RecipeFolder(tmp_path / "other").check(resume=True)
    with pytest.raises(RunError, match=r"letter.txt is a file"):
        RecipeFolder(tmp_path / "other" / "letter.txt").check(resume=True)
