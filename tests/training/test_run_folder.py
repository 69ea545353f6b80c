"""The folder of a run: its lock, checkpoints that are whole or not there, and which ones are kept."""

import json
import os
import subprocess
import sys

import pytest

from minillama.files.errors import CheckpointError
from minillama.training.metrics import MetricsLog, cut_json_lines, read_metrics
from minillama.training.pretraining import COLUMNS
from minillama.training.run_folder import RunError, RunFolder


def write(loss=None):
    def into(folder):
        (folder / "training.json").write_text(json.dumps({"validation_loss": loss}))

    return into


def steps_of(folder):
    return [one.step for one in folder.saved()]


def test_a_checkpoint_is_whole_or_not_there(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.newest() is None
    first = folder.save(5, write(2.0))
    assert (first.name, folder.newest()) == ("step-00000005", first)

    def breaks(target):
        (target / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        folder.save(6, breaks)
    assert folder.newest() == first
    assert sorted(os.listdir(folder.checkpoints_path)) == ["step-00000005"]


def test_saving_a_step_again_replaces_it(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save(5, write(2.0))
    folder.save(5, write(1.0))
    assert [one.validation_loss for one in folder.saved()] == [1.0]
    assert os.listdir(folder.checkpoints_path) == ["step-00000005"]


def test_last_and_best_are_kept(tmp_path):
    folder = RunFolder(tmp_path)
    for step, loss in ((1, 3.0), (2, 1.0), (3, 1.0), (4, None), (5, 2.0)):
        folder.save(step, write(loss))
    folder.prune(keep_every=3)
    assert steps_of(folder) == [2, 3, 5]
    folder.prune()
    assert steps_of(folder) == [2, 5]
    folder.save(10, write(0.5))
    folder.prune()
    assert steps_of(folder) == [10]


def test_a_damaged_neighbour_is_left_alone(tmp_path):
    folder = RunFolder(tmp_path)
    for step in (1, 2, 3):
        folder.save(step, write(float(step)))
    (folder.checkpoints_path / "step-00000002" / "training.json").write_text("{")
    folder.prune()
    assert steps_of(folder) == [1, 3]
    assert (folder.checkpoints_path / "step-00000002").is_dir()


def test_other_names_are_no_checkpoints(tmp_path):
    folder = RunFolder(tmp_path)
    for name in ("step-x", ".step-00000009.part", "notes", "step-"):
        (folder.checkpoints_path / name).mkdir(parents=True)
    assert folder.newest() is None


def test_the_lock_keeps_another_process_out_and_ends_with_its_own(tmp_path):
    code = (
        "import sys, time\n"
        "from minillama.training.run_folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).lock():\n"
        "    print('locked', flush=True); time.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "locked\n"
        expected = rf"another process \(number {other.pid}\) is training in"
        with pytest.raises(RunError, match=expected), RunFolder(tmp_path).lock():
            pass
    finally:
        other.kill()
        other.communicate()
    with RunFolder(tmp_path).lock():
        pass


def test_what_a_dead_process_left_is_cleared_away(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save(1, write())
    for name in (".step-00000002.part", ".step-00000000.old"):
        (folder.checkpoints_path / name / "deep").mkdir(parents=True)
    (tmp_path / ".config.toml.abc.part").write_text("x")
    (tmp_path / ".mine").write_text("x")
    with folder.lock():
        pass
    assert sorted(os.listdir(tmp_path)) == [".lock", ".mine", "checkpoints"]
    assert os.listdir(folder.checkpoints_path) == ["step-00000001"]


def test_where_a_run_may_begin(tmp_path):
    RunFolder(tmp_path / "new").check(resume=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="is a file"):
        RunFolder(tmp_path / "file").check(resume=True)
    with pytest.raises(RunError, match=r"holds other files \(file\)"):
        RunFolder(tmp_path).check(resume=True)
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(RunError, match="already holds a run: continue it with --resume"):
        RunFolder(tmp_path).check(resume=False)
    RunFolder(tmp_path).check(resume=True)


# --- metrics -----------------------------------------------------------------------------


def row(step, **more):
    return {"step": step, "loss": 1.5, "learning_rate": 1e-3, "gradient_norm": 0.5, "tokens": 8 * step} | more


def test_metrics_are_cut_back_to_the_step(tmp_path):
    log = MetricsLog(tmp_path, 0, COLUMNS)
    for step in range(1, 6):
        log.add(row(step, **({"validation_loss": 2.0} if step == 4 else {})))
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # a process died here
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("6,1.")
    log = MetricsLog(tmp_path, 4, COLUMNS)
    log.add(row(5, loss=9.0))
    log.sync()
    log.close()
    rows = read_metrics(tmp_path)
    assert [(r["step"], r["loss"]) for r in rows] == [(1, 1.5), (2, 1.5), (3, 1.5), (4, 1.5), (5, 9.0)]
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4", "5"]
    assert lines[4].split(",")[7] == "2.0"


def test_metrics_of_a_run_that_never_saved_start_over(tmp_path):
    log = MetricsLog(tmp_path, 0, COLUMNS)
    log.add(row(1))
    log.close()
    MetricsLog(tmp_path, 0, COLUMNS).close()
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    assert (tmp_path / "metrics.csv").read_text() == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize("tail", ["garbage\n", "[1]\n", '{"no": 1}\n', "\x00\x00\x00"])
def test_rows_after_garbage_are_not_relied_on(tmp_path, tail):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1}\n' + tail + '{"step": 2}\n')
    cut_json_lines(path, 5)
    assert path.read_text() == '{"step": 1}\n'


def test_damaged_metrics_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nx\n')
    with pytest.raises(CheckpointError, match="line 2: expected a row as JSON"):
        read_metrics(tmp_path)
