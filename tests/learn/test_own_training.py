"""Training on the learner's functions: the package's losses when they are right, and every one of them is used."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from tiny_run import go, record, write_config, write_data

from minillama.cli.commands import app
from minillama.learn.workspace import own_training as module
from minillama.learn.workspace.folder import WorkspaceError, find_workspace, start
from minillama.learn.workspace.own_training import PARTS, exercises_in_training, own_training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def config(data):
    """Six steps, of batches in two parts, the second of them shorter than the first."""
    path = write_config(data, steps=6)
    path.write_text(path.read_text().replace("batch_size = 4", "batch_size = 5\nmicro_batches = 2"))
    return path


@pytest.fixture(scope="module")
def expected(config, tmp_path_factory):
    return losses(go(config, tmp_path_factory.mktemp("package") / "run")[1])


def losses(watcher):
    return [row["loss"] for row in watcher.rows]


def test_the_solved_set_reaches_the_packages_losses(solved, config, expected, tmp_path):
    own = own_training(find_workspace(solved), n_micro=2)
    assert set(own.used) == set(PARTS)
    assert own.missing == []
    assert own.left_out == {
        "rmsnorm_forward": "your rmsnorm_kernel stands there",
        "attend_many_heads": "your grouped_attention stands there",
    }
    _, watcher = go(config, tmp_path / "run", functions=own.functions)
    assert losses(watcher) == pytest.approx(expected, rel=2e-6)
    norms = [row["gradient_norm"] for row in watcher.rows]
    assert expected[-1] < expected[0] - 0.3
    assert max(norms) > 1.0, "something is clipped"


@pytest.mark.parametrize("id", exercises_in_training())
def test_every_function_alone_is_used_and_gives_the_packages_losses(
    solved, config, expected, tmp_path, monkeypatch, id
):
    monkeypatch.setattr(module, "exercises_in_training", lambda: [id])
    calls = []
    usable = module.usable

    def counted(*args, **options):
        given, left_out = usable(*args, **options)
        function = given[id]
        return {id: lambda *a: calls.append(1) or function(*a)}, left_out

    monkeypatch.setattr(module, "usable", counted)
    own = own_training(find_workspace(solved), n_micro=2)
    assert list(own.used.values()) == [id]
    _, watcher = go(config, tmp_path / "run", functions=own.functions, steps=3)
    assert len(calls) >= 3
    assert losses(watcher) == pytest.approx(expected[:3], rel=2e-6)


WRONG = {  # exercise: what becomes of a right result
    "rope_interleaved": lambda y: 2 * y,
    "cross_entropy_loss": lambda loss: 2 * loss,
    "linear_backward": lambda both: (both[0], -both[1]),
    "accumulate_micro_batches": lambda both: (both[0], -both[1]),
    "adamw_step": lambda three: (three[0] + 0.01, *three[1:]),
    "decayed_parameters": lambda names: [],
    "warmup_cosine": lambda rate: 3 * rate,
    "clip_by_global_norm": lambda gradients: [-g for g in gradients],
}


@pytest.mark.parametrize("id", WRONG)
def test_a_wrong_function_is_seen_in_the_losses(solved, config, expected, tmp_path, monkeypatch, id):
    usable = module.usable

    def spoiled(*args, **options):
        given, left_out = usable(*args, **options)
        function = given[id]
        return given | {id: lambda *a: WRONG[id](function(*a))}, left_out

    monkeypatch.setattr(module, "usable", spoiled)
    own = own_training(find_workspace(solved), n_micro=2)
    _, watcher = go(config, tmp_path / "run", functions=own.functions, steps=3)
    assert not np.allclose(losses(watcher), expected[:3], rtol=2e-6, atol=0)


def test_a_loss_without_a_target_and_gradients_of_another_shape(solved):
    own = own_training(find_workspace(solved)).functions.ops
    logits, ignored = np.ones((2, 3), np.float32), np.full(2, -100)
    loss, saved = own.cross_entropy_forward(logits, ignored, 1)
    assert loss == 0
    assert not own.cross_entropy_backward(1.0, saved).any()
    x, weight = np.ones((1, 2, 3), np.float32), np.ones((4, 3))
    y, _ = own.linear_forward(x, weight)
    assert y.dtype == np.float32, "whatever the function computed in"


def train(*args):
    return CliRunner().invoke(app, ["train", *map(str, args), "--threads", "1"])


def test_the_command_names_what_is_used_and_its_run_is_an_ordinary_one(solved, data, tmp_path):
    config = write_config(data, steps=6, checkpoint_every=3, name="plain")
    assert train(config, "--out", tmp_path / "package", "-q").exit_code == 0
    found = train(config, "--out", tmp_path / "own", "--with", solved, "--steps", 3)
    assert found.exit_code == 0, found.exception
    assert re.search(r"^attention_backward +is your attention_backward$", found.stderr, re.MULTILINE)
    assert re.search(r"^accumulate_micro_batches is left out: a batch is one part here", found.stderr, re.MULTILINE)
    assert "the package's own: accumulated\n" in found.stderr
    assert re.search(r"^step 1/3 .* left$", found.stderr, re.MULTILINE)
    assert found.stdout == f"{tmp_path / 'own' / 'checkpoints' / 'step-00000003'}\n"
    assert train(config, "--out", tmp_path / "own", "--resume", "-q").exit_code == 0
    package, own = record(tmp_path / "package"), record(tmp_path / "own")
    assert own.keys() == package.keys()
    assert own["state"].keys() == package["state"].keys()
    for ours, theirs in zip(own["metrics"], package["metrics"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_one_wrong_function_is_named_and_left_out_unless_asked_for(solved, data, tmp_path):
    shutil.copytree(solved, tmp_path / "mine")
    path = tmp_path / "mine" / "08_swiglu.py"
    path.write_text(path.read_text().replace("    return dgate, dup\n", "    return dgate + undefined, dup\n"))
    config = write_config(data, steps=5, name="two")
    found = train(config, "--out", tmp_path / "run", "--with", tmp_path / "mine")
    assert found.exit_code == 0
    assert re.search(r"^swiglu_backward +is left out: does not pass its check$", found.stderr, re.MULTILINE)
    assert "swiglu_backward, accumulated" in found.stderr.partition("the package's own: ")[2]
    path.write_text(path.read_text().replace("    return dgate + undefined, dup\n", LATE))
    found = train(config, "--out", tmp_path / "again", "--with", tmp_path / "mine", "--unchecked")
    assert re.fullmatch(
        r"your swiglu_backward in line \d+ of 08_swiglu.py: RuntimeError: large", str(found.exception)
    ), found.stderr


LATE = "    if dgate.size > 1000:\n        raise RuntimeError('large')\n    return dgate, dup\n"


def test_nothing_to_train_with_and_options_that_need_a_folder(data, tmp_path):
    start(tmp_path / "new")
    with pytest.raises(WorkspaceError, match=r"none of your functions can train a model yet \(.*: not written yet"):
        own_training(find_workspace(tmp_path / "new"))
    found = train(write_config(data, name="three"), "--out", tmp_path / "run", "--unchecked")
    assert "--unchecked goes with --with FOLDER" in str(found.exception)


def test_what_continues_a_run_says_whose_functions_it_ran_on():
    from minillama.cli.train import _resume_command

    given = (Path("my.toml"), None, Path("run"), None)
    assert _resume_command(*given, None, False) == "minillama train my.toml --out run --resume"
    words = "minillama train my.toml --out run --resume --with my-llama --unchecked"
    assert _resume_command(*given, Path("my-llama"), True) == words
