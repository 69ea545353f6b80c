"""Settings of the recipe: the paper's numbers, the file, and what differs between two."""

import json
from dataclasses import replace

import pytest

from minillama.alignment.recipe.settings import (
    PRESETS,
    RecipeSettings,
    changed_since,
    check_limits,
    command_again,
    differences,
    format_recipe,
    limits,
    made_with,
    own_settings,
    preset_named,
    read_recipe,
)
from minillama.alignment.recipe.settings.seconds import LIMIT, cpu_seconds
from minillama.alignment.recipe.settings.smollm2 import SMOLLM2
from minillama.alignment.recipe.worlds import steps_of
from minillama.alignment.reward.objective import MARGINS
from minillama.training.settings_toml import SettingsError


@pytest.mark.parametrize(
    ("size", "reward_peak", "beta"),
    [("7B", 1e-5, 0.01), ("13B", 1e-5, 0.01), ("34B", 1e-5, 0.005), ("70B", 5e-6, 0.005)],
)
def test_the_sizes_have_the_papers_numbers(size, reward_peak, beta):
    """Typed from the paper once more: sections 3.1 to 3.3, tables 6, 26 and 30."""
    preset = preset_named(size)
    s = preset.settings
    assert not preset.runs
    assert s.recipe.context == 4096
    sft = s.sft
    assert (sft.demonstrations, sft.epochs, sft.peak, sft.batch_rows, sft.weight_decay) == (27540, 2, 2e-5, 64, 0.1)
    batches = [5561, 17072, 30146, 36206, 49375, 57746, 84388, 95235, 127235, 136729, 136868, 181293, 210881, 249356]
    assert s.preferences.requests == sum(batches) == 1418091
    assert s.preferences.held_out == 1000
    assert (s.reward.helpful_peak, s.reward.safety_peak) == (reward_peak, reward_peak)
    assert (s.reward.helpful_epochs, s.reward.safety_epochs, s.reward.batch_pairs) == (1, 1, 512)
    assert (s.reward.helpful_mix, s.reward.safety_mix) == (0.5, 0.9)
    assert (s.ppo.peak, s.ppo.prompts, s.ppo.mini_batch, s.ppo.clip, s.ppo.gate) == (1e-6, 512, 64, 0.2, 0.15)
    assert s.ppo.beta == beta
    assert 200 <= s.ppo.iterations <= 400
    assert s.rejection.rounds == 4
    assert s.report.turns == (2, 4, 6, 20)


@pytest.mark.parametrize("name", PRESETS)
def test_a_round_chooses_from_different_temperatures(name):
    given = PRESETS[name].settings.rejection.temperatures
    assert len(set(given)) == len(given)


@pytest.mark.parametrize("name", ["7B", "smollm2"])
def test_remarks_are_about_settings_that_there_are(name):
    preset = preset_named(name)
    text = format_recipe(preset.settings, preset.about, preset.comments)
    for key, remark in preset.comments.items():
        table, _, name = key.partition(".")
        assert hasattr(getattr(RecipeSettings(), table), name)
        assert f"  # {remark}" in text


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_their_file(name, tmp_path):
    preset = PRESETS[name]
    path = tmp_path / "recipe.toml"
    path.write_text(format_recipe(preset.settings, preset.about, preset.comments))
    assert read_recipe(path) == preset.settings
    assert differences(preset.settings, read_recipe(path)) == []


def test_what_differs_is_said():
    a = preset_named("minute").settings
    b = replace(a, ppo=replace(a.ppo, beta=0.02), recipe=replace(a.recipe, seed=4, threads=1))
    assert differences(a, b) == ["[recipe] seed: 0 before, 4 now", "[ppo] beta: 0.05 before, 0.02 now"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[ppo]\nbetta = 1", r"\[ppo\] betta is not a setting: did you mean beta\?"),
        ("[pppo]\nbeta = 1", r"pppo is not a table: did you mean ppo\?"),
        ("[ppo]\nbeta = -1", r"\[ppo\] beta: expected a number of at least 0, found -1"),
        ("[ppo]\niterations = 1.5", "expected an integer of at least 0, found 1.5"),
        ("[recipe]\nseed = true", "expected an integer of at least 0, found True"),
        ("[rejection]\ntemperatures = []", r"expected a list of numbers, found \[\]"),
        ("ppo = 3", r"\[ppo\]: expected a table"),
        ("[ppo", "is not TOML"),
    ],
)
def test_settings_that_are_wrong(text, problem, tmp_path):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(SettingsError, match=problem):
        read_recipe(tmp_path / "recipe.toml")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_within_the_limits(name):
    """The paper's have no steps for the story world: the world is all that keeps them from one."""
    settings = PRESETS[name].settings
    if not PRESETS[name].runs:
        settings = replace(settings, recipe=replace(settings.recipe, world="people"))
    check_limits(settings)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[recipe]\nmodel = ""', r"\[recipe\] model: expected the base model"),
        ("[recipe]\nmax_tokens = 0", r"\[recipe\] max_tokens: expected 1 or more, found 0"),
        ("[recipe]\ncontext = 80", r"\[recipe\] context: expected more than the 80 tokens of an answer"),
        ("[recipe]\ncontext = 10000000000", r"at most 1,048,576, found 10000000000"),
        (
            "[stories]\ncount = 0",
            r"\[stories\] count: expected 1 or more, where no file of stories is given \(--text\)",
        ),
        ("[sft]\nsteps = 0", r"\[sft\] steps: expected 1 or more"),
        ("[verified]\nshare = 5.0", r"\[verified\] share: expected above 0 and at most 1, found 5.0"),
        ("[preferences]\ntemperatures = [0.5]", r"expected two different numbers or more, all above 0, found \[0.5\]"),
        ("[preferences]\ntemperatures = [0.5, 0]", "all above 0"),
        ("[preferences]\nheld_out = 1", r"\[preferences\] held_out: expected 8 or more, found 1"),
        ("[preferences]\nrequests = 7", r"\[preferences\] requests: expected 8 or more, found 7"),
        ("[preferences]\nrefresh = 1", r"\[preferences\] refresh: expected 8 or more, or 0 for none, found 1"),
        ('[reward]\nmargin = "huge"', r"\[reward\] margin: expected one of none, small, large, found 'huge'"),
        ("[reward]\nsafety_epochs = 0", r"\[reward\] safety_epochs: expected 1 or more"),
        ("[reward]\nhelpful_mix = 3", r"\[reward\] helpful_mix: expected above 0 and at most 1"),
        ("[distillation]\nreplay = 1e300", r"\[distillation\] replay: expected at most 100"),
        ("[rejection]\nsamples = 0", r"\[rejection\] samples: expected 1 or more"),
        ("[rejection]\ntemperatures = [1, 1]", r"\[rejection\] temperatures: expected different numbers"),
        ("[ppo]\nmini_batch = 0", r"\[ppo\] mini_batch: expected a number that divides \[ppo\] prompts \(8\), found 0"),
        ("[ppo]\nmini_batch = 7", "found 7"),
        ("[ppo]\ngate = 1", r"\[ppo\] gate: expected a probability below 1"),
        ("[ppo]\nclip = 0", r"\[ppo\] clip: expected a number above 0"),
        ("[ppo]\nlam = 2", r"\[ppo\] lam: expected at most 1, found 2.0"),
        ("[ghost_attention]\nleast_turns = 9", r"expected 2 or more, and not below least_turns \(9\), found 4"),
        ("[report]\nturns = [0, 2]", r"\[report\] turns: expected numbers from 1 in ascending order, found \[0, 2\]"),
    ],
)
def test_values_that_no_stage_could_use(text, problem, tmp_path):
    (tmp_path / "my.toml").write_text(text)
    settings = read_recipe(tmp_path / "my.toml", PRESETS["minute"].settings)
    with pytest.raises(SettingsError, match=problem):
        check_limits(settings)


def test_the_command_that_makes_a_run_again():
    s = PRESETS["minute"].settings
    given = replace(s.recipe, seed=4, threads=2)
    assert command_again(replace(s, recipe=given)) == "minillama align --out RUN --preset minute --seed 4 --threads 2"
    sources = replace(given, model="my run/base.gguf", text="/a b.txt")
    assert command_again(replace(s, recipe=sources)) == (
        "minillama align --out RUN --preset minute --model 'my run/base.gguf' --text '/a b.txt' --seed 4 --threads 2"
    )
    assert own_settings(replace(s, recipe=sources)) == []
    changed = replace(s, recipe=given, ppo=replace(s.ppo, beta=0.02))
    assert own_settings(changed) == ["[ppo] beta: 0.05 before, 0.02 now"]
    assert "--preset minute --config FILE --seed 4" in command_again(changed)


def test_the_command_of_a_run_of_no_preset():
    s = replace(PRESETS["minute"].settings, recipe=replace(PRESETS["minute"].settings.recipe, preset=""))
    assert "--out RUN --config FILE --model stories3M" in command_again(s)


def test_the_margins_are_those_that_there_are():
    assert tuple(MARGINS) == limits.MARGINS


def test_a_stage_that_is_left_out_may_have_any_values():
    s = PRESETS["minute"].settings
    check_limits(replace(s, ppo=replace(s.ppo, iterations=0, mini_batch=0, clip=0.0)))


def test_a_preset_that_there_is_not():
    with pytest.raises(ValueError, match=r"no preset named 'minuet': did you mean minute\?"):
        preset_named("minuet")


def test_no_step_of_real_weights_takes_two_hours_of_two_cores():
    """By the arithmetic of tokens, with a third to spare; every step that learns or samples is in it."""
    found = cpu_seconds(SMOLLM2)
    light = {"pairs", "chat"}
    assert set(found) | light == {step.name for step in steps_of(SMOLLM2)}
    assert max(found.values()) <= LIMIT * 2 / 3
    taught = replace(SMOLLM2, recipe=replace(SMOLLM2.recipe, conversations="some.jsonl"))
    assert cpu_seconds(taught)["sft"] <= LIMIT * 2 / 3
    twice = replace(SMOLLM2, ppo=replace(SMOLLM2.ppo, iterations=2 * SMOLLM2.ppo.iterations))
    assert 1.6 < cpu_seconds(twice)["ppo"] / found["ppo"] < 2


@pytest.mark.parametrize("name", ["story", "smollm2"])
def test_a_step_keeps_the_settings_of_its_stage(name):
    """All but the file of the chat model have a table of their own."""
    settings = PRESETS[name].settings
    made = {step.name: list(made_with(settings, step.name)) for step in steps_of(settings)}
    assert made.pop("chat") == ["recipe"]
    assert {len(tables) for tables in made.values()} == {2}
    assert made["reward-safety"] == ["recipe", "reward"]
    assert made["ghost-attention"] == ["recipe", "ghost_attention"]
    assert "threads" not in made_with(settings, "chat")["recipe"]


def test_settings_that_changed_since_steps_were_made():
    s = PRESETS["story"].settings
    made = {f"{n:02}-{step.name}": made_with(s, step.name) for n, step in enumerate(steps_of(s), 1)}
    kept = json.loads(json.dumps(made))
    assert changed_since(kept, s) == ""
    longer = replace(s, ppo=replace(s.ppo, beta=0.5), rejection=replace(s.rejection, temperatures=(1.0,)))
    assert changed_since(kept, longer) == (
        "settings were changed after steps were made with them: "
        "[rejection] temperatures: [0.8, 0.9, 1.0] before, [1.0] now (09-rejection-1, 10-rejection-2); "
        f"[ppo] beta: {s.ppo.beta} before, 0.5 now (14-ppo)"
    )
    assert changed_since({"01-stories": {}, "02-sft": {"new": {"x": 1}, "sft": {"unknown": 2}}}, longer) == ""
    for name, value in {"seed": 9, "model": "b", "world": "people", "preset": "minute", "chat": "own"}.items():
        with pytest.raises(SettingsError, match=rf"\[recipe\] {name}: .*\(01-stories, 02-sft, 03-verified and 14 more"):
            changed_since(kept, replace(s, recipe=replace(s.recipe, **{name: value})))
