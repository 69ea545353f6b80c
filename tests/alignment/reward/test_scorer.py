"""Scores of many rows and of dialogues: those of each row alone, the same bits on any number of threads."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_reward import CONFIG, a_model, a_tokenizer, in_float32, some_token_pairs

from minillama.alignment.reward import RewardModel, Scorer, pair_scores, read_scorer, write_scorer
from minillama.alignment.reward.scorer import grouped, scores_of
from minillama.config import ModelConfig
from minillama.evaluation.preference import ScorerJudge
from minillama.files.errors import CheckpointError
from minillama.inference.chat import Llama2Chat
from minillama.model import backbone_forward
from minillama.params import init_params
from minillama.quantization.formats import quantize, to_float32
from minillama.trees import map_tree


def some_rows(seed=0):
    """Answers to a few prompts, one after the other, and some that stand alone."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in (4, 1, 3, 1, 8):
        prompt = rng.integers(0, 40, 18)
        rows += [np.r_[prompt, rng.integers(0, 40, rng.integers(1, 10))] for _ in range(k)]
    return rows


def test_scores_are_those_of_each_row_alone():
    model, rows = a_model(), some_rows()
    expected = [backbone_forward(model.backbone, CONFIG, row[None])[0][0, -1] @ model.head for row in rows]
    np.testing.assert_allclose(scores_of(model, CONFIG, rows), expected, rtol=1e-10)
    np.testing.assert_allclose(scores_of(model, CONFIG, [row.tolist() for row in rows]), expected, rtol=1e-10)
    assert scores_of(model, CONFIG, []).shape == (0,)


def test_rows_that_begin_alike_are_computed_together():
    groups = grouped(some_rows())
    assert [(len(rows), shared >= 18) for rows, shared in groups] == [
        (4, True), (1, False), (3, True), (1, False), (8, True),
    ]  # fmt: skip
    one = np.arange(20)
    assert grouped([one, one]) == [([one, one], 19)]
    assert [len(rows) for rows, _ in grouped([one, one[:10], one + 1])] == [1, 1, 1]  # too little in common to pay


def test_bits_do_not_depend_on_the_threads(monkeypatch):
    from minillama.alignment.reward import scorer as module

    monkeypatch.setattr(module, "_PART", 100)
    scorer, rows = Scorer(in_float32(a_model()), CONFIG, threads=1), some_rows()
    one = scorer.scores(rows)
    np.testing.assert_array_equal(one, Scorer(scorer.model, CONFIG).scores(rows))
    assert one.dtype == np.float32


def test_pairs_are_scored_like_rows():
    model, pairs = a_model(), some_token_pairs(9)
    expected = np.array([scores_of(model, CONFIG, pair[:2]) for pair in pairs])
    np.testing.assert_allclose(pair_scores(model, CONFIG, pairs), expected, rtol=1e-9)
    assert pair_scores(model, CONFIG, []).shape == (0, 2)


def test_dialogues_are_scored_and_judge_answers():
    """It is what `evaluation` calls a Scorer: `ScorerJudge` and the red team take it unchanged."""
    tokenizer, chat = a_tokenizer(), Llama2Chat()
    config = ModelConfig(dim=16, n_layers=1, n_heads=2, n_kv_heads=1, hidden_dim=24, vocab_size=2048, max_seq_len=128)
    rng = np.random.default_rng(0)
    model = RewardModel(init_params(config, rng), rng.standard_normal(16).astype(np.float32))
    scorer = Scorer(model, config, tokenizer, chat)
    asked = [{"role": "user", "content": "Tell me a story."}]
    dialogues = [[*asked, {"role": "assistant", "content": text}] for text in ("Once.", "The cat sat.", "")]
    found = scorer.score_many(dialogues)
    ids = [chat.encode(dialogue, tokenizer, generation_prompt=False) for dialogue in dialogues]
    np.testing.assert_array_equal(found, scorer.scores(ids))
    assert scorer.score(dialogues[1]) == pytest.approx(found[1], rel=1e-4)
    judge = ScorerJudge(scorer, "reward")
    assert judge.compare(asked, "Once.", "The cat sat.") == pytest.approx(float(found[0] - found[1]), abs=1e-4)
    with pytest.raises(ValueError, match="ends with an answer"):
        scorer.score(asked)
    with pytest.raises(ValueError, match="knows ids only"):
        Scorer(model, config).score(dialogues[0])


def test_it_is_read_back_as_it_was_written(tmp_path):
    scorer, rows = Scorer(in_float32(a_model()), CONFIG), some_rows()
    write_scorer(tmp_path / "model", scorer)
    for config in (CONFIG, None):
        found = read_scorer(tmp_path / "model", config)
        assert found.config == CONFIG
        np.testing.assert_array_equal(found.scores(rows), scorer.scores(rows))
    (tmp_path / "model/heads.safetensors").unlink()
    with pytest.raises(CheckpointError, match="heads"):
        read_scorer(tmp_path / "model")


def test_a_shift_is_taken_from_every_score_and_kept_beside_the_model(tmp_path):
    scorer, rows = Scorer(in_float32(a_model()), CONFIG), some_rows()
    write_scorer(tmp_path / "model", replace(scorer, shift=1.25))
    found = read_scorer(tmp_path / "model")
    np.testing.assert_allclose(found.scores(rows), scorer.scores(rows) - 1.25, rtol=1e-5, atol=1e-6)
    (tmp_path / "model/shift.json").write_text('{"shift": "much"}')
    with pytest.raises(CheckpointError, match="shift"):
        read_scorer(tmp_path / "model")


def test_a_packed_backbone_is_read_as_the_float32_that_it_stands_for(tmp_path):
    config = ModelConfig(dim=32, n_layers=1, n_heads=2, hidden_dim=64, vocab_size=40, max_seq_len=64)
    rng = np.random.default_rng(0)
    model = RewardModel(init_params(config, rng), rng.standard_normal(32).astype(np.float32))
    packed = map_tree(lambda array: quantize(array, "Q5_0") if array.ndim == 2 else array, model.backbone)
    write_scorer(tmp_path / "model", Scorer(RewardModel(packed, model.head), config))
    found = read_scorer(tmp_path / "model", config)
    np.testing.assert_array_equal(found.model.backbone.layers[0].wq, packed.layers[0].wq.to_float32())
    np.testing.assert_array_equal(found.model.head, model.head)
    scores = Scorer(RewardModel(map_tree(to_float32, packed), model.head), config).scores([[1, 2, 3]])
    np.testing.assert_array_equal(found.scores([[1, 2, 3]]), scores)
