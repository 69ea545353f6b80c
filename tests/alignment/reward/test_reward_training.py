"""The stage: what a step learns from, that it learns, that it goes on with the same bits, what it refuses."""

import json

import numpy as np
import pytest
from tiny_reward import CONFIG, Silent, a_tokenizer, in_float32

from minillama.alignment.reward import (
    FrozenBelow,
    RewardSettings,
    RewardTraining,
    TokenPair,
    pair_scores,
    paper_settings,
    story_settings,
)
from minillama.alignment.reward.ablations import auxiliary_ablation, margin_ablation, measured, trained
from minillama.params import init_params
from minillama.training.run_folder import RunError, RunFolder
from minillama.training.trainer import train
from minillama.trees import named_leaves

PARAMS = in_float32(init_params(CONFIG, np.random.default_rng(5), np.float64))


def learnable_pairs(n, seed):
    """The chosen answer has more ids below 20, strength by how many more; it is safe where they are most of its."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(n):
        beginning = rng.integers(0, 40, rng.integers(1, 6))
        low = sorted(rng.choice(9, 2, replace=False))
        answers = [rng.permutation(np.r_[rng.integers(0, 20, k), rng.integers(20, 40, 8 - k)]) for k in low]
        rows = [np.r_[beginning, answer, 7] for answer in answers]
        pairs.append(TokenPair(rows[1], rows[0], min(3, low[1] - low[0] - 1), (low[1] > 3, low[0] > 3)))
    return pairs


PAIRS, HELD_OUT = learnable_pairs(300, 0), learnable_pairs(100, 1)
QUICK = RewardSettings(peak=3e-3, batch_size=16, epochs=4, auxiliary=1.0, checkpoint_every=20, name="safety")


def a_stage(settings=QUICK, pairs=PAIRS, **more):
    return RewardTraining(settings, PARAMS, CONFIG, a_tokenizer(), pairs, HELD_OUT, **more)


def test_every_pair_is_seen_once_an_epoch_in_another_order():
    stage = a_stage()
    assert stage.settings.run.steps == 75
    steps = [stage.of_step(step) for step in range(1, 76)]
    assert {len(step) for step in steps} == {16}
    seen = [id(pair) for step in steps for pair in step]
    epochs = [seen[i : i + 300] for i in range(0, 1200, 300)]
    assert all(sorted(epoch) == sorted(id(pair) for pair in PAIRS) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    uneven = a_stage(RewardSettings(batch_size=128))
    assert [len(uneven.of_step(step)) for step in (1, 2, 3)] == [100, 100, 100]


def test_it_learns_and_goes_on_with_the_same_bits(tmp_path):
    whole = train(a_stage(), RunFolder(tmp_path / "whole"), Silent(), threads=1)
    for steps in (1, 20, 33):
        train(a_stage(), RunFolder(tmp_path / "parts"), Silent(), threads=1, resume=True, steps=steps)
    parts = train(a_stage(), RunFolder(tmp_path / "parts"), Silent(), threads=1, resume=True)
    for name in ("model.safetensors", "heads.safetensors", "optimizer.safetensors"):
        assert (whole.checkpoint / name).read_bytes() == (parts.checkpoint / name).read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert rows[0].keys() < set(RewardTraining.columns)
    assert np.mean([row["accuracy"] for row in rows[-10:]]) > 0.8
    assert rows[-1]["validation_accuracy"] > 0.8
    assert rows[-1]["validation_loss"] < rows[19]["validation_loss"]
    config, model = trained(a_stage(), tmp_path / "whole", Silent(), threads=1)  # is done, and is read
    found = measured(model, config, HELD_OUT)
    assert found.accuracy.value == rows[-1]["validation_accuracy"]
    clear, _, _, negligible, _ = found.strength.values()
    assert clear.value > negligible.value
    assert found.unsafe[0].recall.value > 0.7


def test_another_run_is_not_resumed(tmp_path):
    quick = RewardSettings(batch_size=100)
    train(a_stage(quick), RunFolder(tmp_path), Silent(), threads=1, steps=1)
    with pytest.raises(RunError, match="the data of pairs"):
        train(a_stage(quick, PAIRS[::-1]), RunFolder(tmp_path), Silent(), threads=1, resume=True)
    other = RewardSettings(batch_size=100, margin="large")
    with pytest.raises(ValueError, match=r"helpfulness\.margin"):
        train(a_stage(other), RunFolder(tmp_path), Silent(), threads=1, resume=True)


def test_the_last_layers_train_alone(tmp_path):
    frozen = FrozenBelow(PARAMS, CONFIG, 1)
    given, held_out = (
        frozen.states(pairs, tmp_path / f"states-{name}", dtype="float32")
        for name, pairs in (("train", PAIRS), ("test", HELD_OUT))
    )
    stage = RewardTraining(QUICK, PARAMS, CONFIG, a_tokenizer(), given, held_out, frozen)
    config, upper = trained(stage, tmp_path / "run", Silent(), threads=1)
    whole = frozen.whole(upper)
    for name, array in named_leaves(whole.backbone._replace(final_norm=None)):
        before = dict(named_leaves(PARAMS))[name]
        assert (array != before).any() == name.startswith("layers.1."), name
    scores = pair_scores(upper, config, held_out)
    np.testing.assert_allclose(scores, pair_scores(whole, CONFIG, HELD_OUT), rtol=1e-3, atol=1e-4)
    assert (scores[:, 0] > scores[:, 1]).mean() > 0.7
    with pytest.raises(ValueError, match=r"pair 0: expected those that FrozenBelow\.states gave"):
        RewardTraining(QUICK, PARAMS, CONFIG, a_tokenizer(), PAIRS, (), frozen)
    with pytest.raises(ValueError, match="validation pair 0: expected no hidden states"):
        RewardTraining(QUICK, PARAMS, CONFIG, a_tokenizer(), PAIRS, held_out)


def test_ablations_give_a_row_a_run(tmp_path):
    few = RewardSettings(peak=3e-3, batch_size=50, name="safety")
    rows = margin_ablation(a_stage, few, HELD_OUT, tmp_path, Silent())
    assert [name for name, _ in rows] == ["margin none", "margin small", "margin large"]
    values = [row["average"].value for _, row in rows]
    assert values != [0.5] * 3
    rows = auxiliary_ablation(a_stage, few, HELD_OUT, tmp_path, Silent())
    assert [(name, row["both safe"].n) for name, row in rows] == [
        (f"auxiliary {weight}", sum(pair.safe == (1, 1) for pair in HELD_OUT)) for weight in (0, 1)
    ]
    assert rows[0][1]["average"].value == values[1]  # the same run: margin small, no auxiliary loss


def test_presets_are_the_papers():
    paper, large = paper_settings(), paper_settings("70B", "safety")
    assert (paper.peak, paper.batch_size, paper.epochs, paper.auxiliary) == (1e-5, 512, 1, 0)
    assert (large.peak, large.batch_size, large.auxiliary, large.name) == (5e-6, 512, 1, "safety")
    assert (story_settings("safety").epochs, story_settings(margin="large").margin) == (2, "large")
    stage = a_stage(paper_settings(batch_size=2))  # 150 steps: a warm-up of 3 % is less than 5
    assert (stage.settings.schedule.warmup_steps, stage.settings.schedule.final_fraction) == (5, 0.1)
    assert stage.settings.optimizer.eps == 1e-5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"margin": "huge"}, "none, small, large, got 'huge'"),
        ({"batch_size": 0}, "should be 1 or more"),
        ({"peak": 0}, "above 0"),
        ({"auxiliary": -1}, "above 0 and auxiliary not below"),
        ({"auxiliary": float("nan")}, "auxiliary not below"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        RewardSettings(**changed)


def test_pairs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="no pairs"):
        a_stage(pairs=[])
    with pytest.raises(ValueError, match="no pair says what is safe"):
        a_stage(pairs=[pair._replace(safe=(np.nan, np.nan)) for pair in PAIRS])
    long = TokenPair(np.arange(33), np.arange(4))
    with pytest.raises(ValueError, match="pair 1 has 33 tokens, more than the context of 32"):
        a_stage(pairs=[PAIRS[0], long])
