"""Settings of a training run: what a file may say, what it is told when it says something else, and presets."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
from tiny_run import tiny_tokenizer

from minillama.config import NAMED_CONFIGS
from minillama.params import count_parameters
from minillama.training.presets import PRESETS, preset
from minillama.training.settings import binding, check_unchanged, model_config, resolve
from minillama.training.settings_toml import (
    SettingsError,
    format_preset,
    format_settings,
    parse_settings,
    read_settings,
)

MINIMAL = """
[model]
dim = 16
n_layers = 1
n_heads = 2
[data]
sources = ["train"]
tokenizer = "tok"
[schedule]
warmup_steps = 5
[run]
steps = 100
"""


def parse(text=MINIMAL, **replaced):
    for old, new in replaced.items():
        text = text.replace(old, new)
    return parse_settings(tomllib.loads(text), "my.toml", Path("/folder"))


def test_minimal_file_has_the_papers_optimizer():
    settings = parse()
    optimizer, schedule = settings.optimizer, settings.schedule
    assert (optimizer.beta1, optimizer.beta2, optimizer.eps, optimizer.weight_decay) == (0.9, 0.95, 1e-5, 0.1)
    assert (optimizer.clip_norm, schedule.peak, schedule.final_fraction) == (1.0, 3e-4, 0.1)
    assert settings.data.sources[0].path == Path("/folder/train")
    assert settings.data.tokenizer == Path("/folder/tok")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "[run]\nsteps = 100\nstep = 3",
            r"\[run\] step is not a setting: did you mean steps.*possible: steps, validate",
        ),
        ("[run]\nsteps = 0", r"\[run\] steps: expected an integer at least 1 .*found 0"),
        ("[run]\nsteps = 1.5", r"\[run\] steps: expected an integer .*found 1.5"),
        ("[run]\nsteps = true", r"\[run\] steps: expected an integer .*found true"),
        ("[run]\nsteps = '100'", r"\[run\] steps: expected an integer .*found '100'"),
        ("[run]\nvalidate_every = 5", r"\[run\] steps is missing"),
        ("[run]\nsteps = 9\nprompts = 'a'", r"\[run\] prompts: expected a list of texts, found 'a'"),
        ("[run]\nsteps = 9\nrecompute = 1", r"\[run\] recompute: expected true or false, found 1"),
        ("[run]\nsteps = 9\ntop_p = 0", r"\[run\] top_p: expected a number above 0 and at most 1, found 0"),
        ("[run]\nsteps = 9\n[optimizer]\nbeta2 = 1.0", r"\[optimizer\] beta2: expected a number .*below 1, found 1.0"),
        ("[run]\nsteps = 9\n[optimizer]\neps = nan", r"\[optimizer\] eps: expected a number .*found nan"),
        ("[run]\nsteps = 9\n[optimizer]\nlr = 1", r"\[optimizer\] lr is not a setting: possible: beta1"),
        ("[run]\nsteps = 9\n[optimiser]\neps = 1", r"optimiser is not a table: did you mean optimizer"),
    ],
)
def test_wrong_values_are_named(line, message):
    with pytest.raises(SettingsError, match=message):
        parse(**{"[run]\nsteps = 100": line})


def test_a_value_where_a_table_belongs():
    with pytest.raises(SettingsError, match=r"\[schedule\]: expected a table, found 3"):
        parse("schedule = 3\n" + MINIMAL.replace("[schedule]\nwarmup_steps = 5\n", ""))


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ("[]", r"sources: expected a list such as"),
        ("'train'", r"sources: expected a list such as.*found 'train'"),
        ("[{ path = 'a', wieght = 2 }]", r"sources\[0\] wieght is not a setting: did you mean weight"),
        ("['a', { weight = 2 }]", r"sources\[1\] path: expected a path as a text, found nothing"),
        ("[{ path = 'a', weight = 0 }]", r"sources\[0\] weight: expected a number above 0 .*found 0"),
        ("[{ path = 'a', weight = -inf }]", r"sources\[0\] weight: expected"),
    ],
)
def test_wrong_sources_are_named(sources, message):
    with pytest.raises(SettingsError, match=message):
        parse(**{'["train"]': sources})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("size = '7b'\nheads = 3", r"\[model\] heads is not a setting: did you mean n_heads"),
        ("size = '8B'", r"\[model\] size: expected one of 7B, 13B.*found '8B'"),
        ("dim = 0", r"\[model\] dim: expected an integer above 0, found 0"),
        ("tied = 1", r"\[model\] tied: expected true or false"),
        ("", r"\[model\] is missing"),
    ],
)
def test_wrong_models_are_named(model, message):
    with pytest.raises(SettingsError, match=message):
        parse(**{"dim = 16\nn_layers = 1\nn_heads = 2": model})


@pytest.mark.parametrize("content", [b"\xff\xfea", b"\xe9", b"a = ", b"[a]\n[a]\n"])
def test_files_that_are_no_toml(tmp_path, content):
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"bad\.toml is not TOML"):
        read_settings(tmp_path / "bad.toml")
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_settings(tmp_path / "none.toml")


def test_more_parts_than_rows():
    with pytest.raises(SettingsError, match=r"micro_batches: expected at most batch_size, 32; found 33"):
        parse(**{'tokenizer = "tok"': 'tokenizer = "tok"\nmicro_batches = 33'})


def test_what_is_written_is_read_back(tmp_path):
    text = MINIMAL.replace(
        "steps = 100", 'steps = 100\nprompts = ["a \\"b\\"\\n", "é\\u007f"]\ngradient_norm_limit = 1e-7'
    )
    settings = parse(text)
    written = format_settings(settings)
    assert parse_settings(tomllib.loads(written), "x", Path("/elsewhere")) == settings  # the paths are absolute
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text(format_settings(settings, tmp_path / "run"))
    again = read_settings(tmp_path / "run" / "config.toml")
    assert again.data.tokenizer.resolve() == Path("/folder/tok")
    assert dataclasses.replace(again, data=settings.data) == settings


# --- the model's shape -------------------------------------------------------------------


def test_shape_from_numbers_and_data():
    config = model_config(parse(), tiny_tokenizer())
    assert (config.vocab_size, config.max_seq_len) == (tiny_tokenizer().vocab_size, 256)
    assert (config.hidden_dim, config.n_kv_heads) == (64, 2)


def test_shape_from_a_size():
    shape = "dim = 16\nn_layers = 1\nn_heads = 2"
    assert model_config(parse(**{shape: "size = 'stories260k'"}), tiny_tokenizer()) == NAMED_CONFIGS["stories260K"]
    changed = model_config(parse(**{shape: "size = '7B'\ndim = 64\nn_heads = 4\nvocab_size = 300"}), tiny_tokenizer())
    assert (changed.head_dim, changed.n_kv_heads, changed.hidden_dim, changed.n_layers) == (16, 4, 192, 32)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("dim = 16", r"\[model\] needs n_layers, n_heads"),
        ("dim = 16\nn_layers = 1\nn_heads = 3", "dim 16 is not a multiple of n_heads 3"),
        ("size = '7B'\nvocab_size = 100", r"vocab_size is 100, the tokenizer has \d+ tokens: set"),
        ("size = '7B'\nmax_seq_len = 255", r"seq_len 256 is longer than \[model\] max_seq_len 255"),
    ],
)
def test_shapes_that_cannot_be(model, message):
    settings = parse(**{"dim = 16\nn_layers = 1\nn_heads = 2": model})
    with pytest.raises(ValueError, match=message):
        model_config(settings, tiny_tokenizer())


# --- what may change when a run continues ------------------------------------------------


def resolved(text=MINIMAL, before=None, **replaced):
    settings = parse(text, **replaced)
    return resolve(settings, model_config(settings, tiny_tokenizer()), before)


def test_a_longer_run_keeps_its_schedule():
    before = resolved()
    after = resolved(before=before, **{"steps = 100": "steps = 300\nvalidate_every = 7\nprompts = []"})
    assert (before.schedule.total_steps, after.schedule.total_steps) == (100, 100)
    check_unchanged(before, after)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dim = 16", "dim = 32", r"model.dim: 16 before, 32 now"),
        ("warmup_steps = 5", "warmup_steps = 6", r"schedule.warmup_steps: 5 before, 6 now"),
        ("steps = 100", "steps = 100\nseed = 1", r"run.seed: 0 before, 1 now"),
        ('["train"]', '["train", "more"]', r"data.sources"),
        ('["train"]', '[{path = "train", weight = 2}]', r"data.sources"),
        ('tokenizer = "tok"', 'tokenizer = "tok"\nbatch_size = 8', r"data.batch_size: 32 before, 8 now"),
        ('tokenizer = "tok"', 'tokenizer = "tok"\nvalidation = "v"', r"data.validation: 'not set' before, 'set' now"),
        ("[schedule]", "[optimizer]\nbeta2 = 0.99\n[schedule]", r"optimizer.beta2: 0.95 before, 0.99 now"),
        ("warmup_steps = 5", "warmup_steps = 5\ntotal_steps = 50", r"schedule.total_steps: 100 before, 50 now"),
    ],
)
def test_other_changes_are_named(old, new, message):
    before = resolved()
    with pytest.raises(ValueError, match=message):
        check_unchanged(before, resolved(before=before, **{old: new}))


def test_every_setting_is_binding_or_harmless():
    names = set(binding(resolved()))
    assert {"data.seed", "data.micro_batches", "optimizer.clip_norm", "schedule.peak", "run.seed"} <= names
    assert not {name for name in names if name.endswith(("_every", ".steps", ".tokenizer"))}


def test_a_warm_up_as_long_as_the_run():
    with pytest.raises(ValueError, match=r"warmup_steps 100 must be below the schedule's 100"):
        resolved(**{"warmup_steps = 5": "warmup_steps = 100"})


def test_names_of_sources():
    named = lambda sources: [s.name for s in resolved(**{'["train"]': sources}).data.sources]
    assert named('["a/x", "b/y"]') == ["x", "y"]
    assert named('["a/x", "b/x", "z"]') == ["a/x", "b/x", "z"]
    assert named('[{path = "a/x", name = "one"}, "b/x"]') == ["one", "x"]
    with pytest.raises(ValueError, match="two are named 'x'"):
        named('[{path = "a", name = "x"}, {path = "b", name = "x"}]')


# --- presets -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_complete(name):
    text = format_preset(PRESETS[name])
    settings = parse_settings(tomllib.loads(text), name, Path())
    vocab = (
        {**dataclasses.asdict(NAMED_CONFIGS[settings.model["size"]])} if "size" in settings.model else settings.model
    )
    tokenizer = type("Tokenizer", (), {"vocab_size": vocab["vocab_size"]})
    config = model_config(settings, tokenizer)
    complete = resolve(settings, config)
    assert parse_settings(tomllib.loads(format_settings(complete)), name, Path()) == complete
    assert text.startswith("# ")


@pytest.mark.parametrize(("size", "peak"), [("7B", 3e-4), ("13B", 3e-4), ("34B", 1.5e-4), ("70B", 1.5e-4)])
def test_the_papers_values(size, peak):
    settings = parse_settings(tomllib.loads(format_preset(preset(size))), size, Path())
    assert (settings.schedule.peak, settings.schedule.warmup_steps, settings.schedule.final_fraction) == (
        peak,
        2000,
        0.1,
    )
    assert settings.data.batch_size * settings.data.seq_len == 2**22
    assert settings.run.steps == pytest.approx(2e12 / 2**22, abs=1)
    assert model_config(settings, type("T", (), {"vocab_size": 32000})) == NAMED_CONFIGS[size]


def test_small_presets_say_how_they_were_scaled():
    sizes = {}
    for name, found in PRESETS.items():
        settings = parse_settings(tomllib.loads(format_preset(found)), name, Path())
        if name in NAMED_CONFIGS and name != "stories260K":
            continue
        vocab = 512 if name == "stories260K" else settings.model["vocab_size"]
        config = model_config(settings, type("T", (), {"vocab_size": vocab}))
        assert settings.schedule.peak == pytest.approx(3e-4 * (4096 / config.dim) ** 0.5, rel=0.15)
        assert settings.schedule.warmup_steps == settings.run.steps // 20
        assert "Scaled from LLaMA 2" in found.about
        sizes[name] = count_parameters(config)
    assert sizes == {"smoke": 41_120, "stories260K": 260_032, "stories1M": 1_238_656, "stories7M": 7_155_360}


def test_unknown_presets():
    assert preset("70b") is PRESETS["70B"]
    with pytest.raises(ValueError, match=r"no preset named 'story1M': did you mean stories1M\? possible: 7B, 13B"):
        preset("story1M")


def test_a_file_may_begin_with_a_preset():
    text = 'preset = "smoke"\n[data]\nsources = ["t"]\ntokenizer = "k"\n[run]\nsteps = 400\n'
    settings = parse(text)
    assert (settings.model["dim"], settings.data.batch_size, settings.run.steps) == (32, 8, 400)
    assert settings.schedule.peak == 3e-3
    other = parse(text + "[model]\nsize = '7B'\n")
    assert other.model == {"size": "7B"}
