"""A run that starts from another model: its weights, a fresh optimizer, and one clear error where it does not fit."""

import dataclasses
import shutil

import numpy as np
import pytest
from tiny_run import go, kept, record, sentences, stop_at, tiny_tokenizer, write_config

from minillama.checkpoints.convert import convert_checkpoint
from minillama.checkpoints.native import read_native, write_native
from minillama.config import named_config
from minillama.data.shards.reading import write_shards
from minillama.params import init_params
from minillama.tokenizers import save_tokenizer
from minillama.training.pretraining import prepare, settings_before
from minillama.training.run_folder import RunFolder
from minillama.training.settings import binding
from minillama.training.settings_toml import SettingsError, read_settings
from minillama.trees import named_leaves

MODEL = """dim = 16
n_layers = 2
n_heads = 4
n_kv_heads = 2
hidden_dim = 32
max_seq_len = 64
tied = true
"""


@pytest.fixture(scope="module")
def first(data, tmp_path_factory):
    """A run of 20 steps."""
    run = tmp_path_factory.mktemp("runs") / "first"
    go(write_config(data, name="first"), run)
    return run


def config_from(data, source, name="second", **changes):
    """The tiny settings with `init_from`; changes by what is replaced."""
    path = write_config(data, name=name, more=f'init_from = "{source}"')
    text = path.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_it_goes_on_where_the_other_ended(data, first, tmp_path):
    before = read_native(first / "checkpoints" / "step-00000020")
    stage = prepare(read_settings(config_from(data, first)))
    for (name, a), (_, b) in zip(named_leaves(stage.start()), named_leaves(before.params), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
        assert a.flags.writeable
    outcome, watcher = go(config_from(data, first), tmp_path / "run")
    assert outcome.step == 20
    old = [row["loss"] for row in go_rows(first)]
    new = [row["loss"] for row in watcher.rows]
    assert new[0] < np.mean(old[-4:]) + 0.1 < old[0] - 0.3
    assert watcher.rows[0]["step"] == 1  # a fresh optimizer, warm-up and all
    assert watcher.rows[0]["learning_rate"] == pytest.approx(5e-3 / 4)


def go_rows(run):
    return record(run)["metrics"]


def test_it_resumes_bit_for_bit_without_the_other(data, first, tmp_path):
    """The model is asked for once: what it gave is in the first checkpoint."""
    shutil.copytree(first, tmp_path / "other")
    config = config_from(data, tmp_path / "other", name="moved")
    go(config, tmp_path / "whole")
    go(config, tmp_path / "parts", stop=stop_at(7))
    shutil.rmtree(tmp_path / "other")
    go(config, tmp_path / "parts", resume=True)
    assert record(tmp_path / "parts") == record(tmp_path / "whole")


def test_the_shape_may_be_left_out(data, first, tmp_path):
    """[model] is as in that model, or in part; the resolved settings say all of it."""
    whole = prepare(read_settings(config_from(data, first)))
    config = config_from(data, first, name="shapeless", **{f"[model]\n{MODEL}": ""})
    stage = prepare(read_settings(config))
    assert stage.config == whole.config
    go(config, tmp_path / "run", steps=5)
    assert kept(tmp_path / "run") == ["step-00000005"]
    resolved = settings_before(RunFolder(tmp_path / "run"))
    assert resolved.model["hidden_dim"] == 32
    assert resolved.run.init_from.resolve() == first.resolve()
    go(config, tmp_path / "run", resume=True, steps=6)
    longer = prepare(
        read_settings(config_from(data, first, name="longer", **{"max_seq_len = 64": "max_seq_len = 100"}))
    )
    assert longer.config.max_seq_len == 100  # no weight depends on it


def test_a_packed_model_of_another_format(data, first, tmp_path):
    convert_checkpoint(first, tmp_path / "model.gguf", to="Q8_0")
    stage = prepare(read_settings(config_from(data, tmp_path / "model.gguf")))
    exact = read_native(first / "checkpoints" / "step-00000020").params
    for (_, a), (_, b) in zip(named_leaves(stage.start()), named_leaves(exact), strict=True):
        assert a.dtype == np.float32
        assert np.abs(a - b).max() < 0.01 * np.abs(b).max()


def test_what_does_not_fit_is_said_before_anything_is_made(data, first, tmp_path):
    config = config_from(data, first, name="wide", **{"dim = 16": "dim = 24", "n_layers = 2": "n_layers = 3"})
    with pytest.raises(
        ValueError, match=r"init_from .*first does not fit \[model\]: dim 16 there, 24 here; n_layers 2 there, 3 here"
    ):
        go(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="is not a file, a folder or the name of a model"):
        go(config_from(data, "nowhere", name="none"), tmp_path / "run")
    with pytest.raises(SettingsError, match=r"init_from: expected a path or the name of a known model as a text"):
        read_settings(config_from(data, first, name="number", **{f'init_from = "{first}"': "init_from = 3"}))
    with pytest.raises(SettingsError, match=r"\[model\] is missing: .*or \[run\] init_from"):
        read_settings(config_from(data, first, name="empty", **{f"[model]\n{MODEL}": "", f'init_from = "{first}"': ""}))


def test_a_window_that_hides_nothing(data, tmp_path):
    """Mistral with a window as long as its context is a LLaMA 2; its field is in no named size."""
    size = named_config("stories260K")
    config = dataclasses.replace(size, sliding_window=size.max_seq_len)
    write_native(tmp_path / "model", config, init_params(config, np.random.default_rng(0)))
    path = config_from(data, tmp_path / "model", **{MODEL: 'size = "stories260K"\n'})
    with pytest.raises(ValueError, match=r"does not fit \[model\]: sliding_window 512 there, none here"):
        prepare(read_settings(path))


def test_another_tokenizer_is_refused(data, first, tmp_path):
    other = tiny_tokenizer()
    other.pieces[-1], other.scores[-1] = "q", -99.0
    (tmp_path / "data" / "tokenizer").mkdir(parents=True)
    save_tokenizer(other, tmp_path / "data" / "tokenizer")
    for seed, name in enumerate(("train", "more", "valid")):
        write_shards(sentences(20, seed), other, tmp_path / "data" / name)
    with pytest.raises(ValueError, match=r"init_from .* was trained with another tokenizer than \[data\] tokenizer"):
        go(config_from(tmp_path / "data", first), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_names_and_paths(data, first, tmp_path):
    assert read_settings(config_from(data, "stories260K")).run.init_from == "stories260K"
    relative = read_settings(config_from(data, "a/model")).run.init_from
    assert relative == data / "a/model"
    plain, started = (prepare(read_settings(path)).settings for path in (write_config(data), config_from(data, first)))
    assert "run.init_from" not in binding(plain)  # so that runs from before it existed go on
    assert binding(started)["run.init_from"] == "set"


def test_a_run_may_not_be_resumed_as_one_from_new_weights(data, first, tmp_path):
    go(config_from(data, first), tmp_path / "run", steps=5)
    with pytest.raises(ValueError, match=r"run.init_from: 'set' before, nothing now"):
        go(write_config(data, name="plain"), tmp_path / "run", resume=True)
