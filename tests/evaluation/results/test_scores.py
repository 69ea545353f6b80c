"""Scores: values, standard errors, intervals and baselines, beside lm-evaluation-harness's own functions."""

import math

import pytest
from lm_eval.api.metrics import mean_stderr, pooled_sample_stderr
from made_results import arc, gsm8k, made_evaluation, mmlu, nq_open, task_result, triviaqa, wikitext

from minillama.evaluation.results.cautions import cautions_of, task_cautions
from minillama.evaluation.statistics.intervals import wilson
from minillama.evaluation.tasks.catalogue import TASKS


def test_stderr_is_the_harness_s():
    result = task_result("arc_easy", arc(30))
    for score in result.scores.values():
        values = [one.metrics[score.metric.key] for one in result.items]
        assert score.value == sum(values) / 30
        assert score.stderr == pytest.approx(mean_stderr(values), rel=1e-12)
        assert score.interval == wilson(int(sum(values)), 30)


def test_what_is_no_mean_has_an_interval_and_no_stderr():
    result = task_result("wikitext", wikitext(6))
    for score in result.scores.values():
        assert score.stderr is None
        assert score.method == "bootstrap"
        assert score.interval.low < score.value < score.interval.high
    values = [one.metrics["word_perplexity,none"] for one in result.items]
    expected = math.exp(-sum(value for value, _ in values) / sum(words for _, words in values))
    assert result["word_perplexity"] == pytest.approx(expected)
    assert any("too short" in caution for caution in task_cautions(result))


def test_an_item_with_a_problem_is_left_out_and_named():
    result = task_result("arc_easy", arc(30), spoil=(3, 7))
    assert [one.item.doc_id for one in result.unscored] == [3, 7]
    assert all(score.n == 28 for score in result.scores.values())
    (said,) = [caution for caution in task_cautions(result) if "cannot be scored" in caution]
    assert "2 items" in said
    assert "leaves no token" in said


def test_baselines():
    """Four options, right ones in turn; the last is the longest."""
    result = task_result("arc_easy", arc(30))
    found = result.scores["acc_norm,none"].baselines
    assert found.chance == pytest.approx(0.25)
    assert found.majority == pytest.approx(8 / 30)  # A and B are right 8 times
    assert found.longest == pytest.approx(7 / 30)
    assert task_result("gsm8k_cot", gsm8k(5)).scores["exact_match,strict-match"].baselines.chance is None


def test_a_place_that_is_always_right_is_no_baseline():
    """TruthfulQA lists the right answer first."""
    documents = [
        {"question": "?", key: targets, other: targets}
        for targets in [{"choices": ["yes", "no", "perhaps"], "labels": [1, 0, 0]}] * 4
        for key, other in [("mc1_targets", "mc2_targets")]
    ]
    found = task_result("truthfulqa_mc1", documents).scores["acc,none"].baselines
    assert (found.chance, found.majority, found.longest) == (pytest.approx(1 / 3), None, 0.0)
    chance = task_result("truthfulqa_mc2", documents).scores["acc,none"].baselines.chance
    assert chance == pytest.approx(1 / 3)


def test_a_score_that_chance_could_have_is_called_so():
    said = task_cautions(task_result("mmlu_anatomy", mmlu(20)))
    assert any("cannot be told from chance (25.0)" in caution for caution in said)
    assert any("can say no more than ±" in caution for caution in said)


def test_mmlu_beside_the_harness():
    evaluation = made_evaluation()
    (mmlu_,) = [group for group in evaluation.groups if group.name == "mmlu"]
    a, b = (evaluation[name].scores["acc,none"] for name in ("mmlu_anatomy", "mmlu_virology"))
    score = mmlu_.scores["acc,none"]
    assert score.value == pytest.approx((20 * a.value + 40 * b.value) / 60)
    assert score.stderr == pytest.approx(pooled_sample_stderr([a.stderr, b.stderr], [20, 40]))
    assert score.n == 60
    assert len(mmlu_.missing) == 55


def test_a_column_of_the_paper_needs_all_its_members_and_its_shots():
    def world(n_shots):
        documents = {"triviaqa@llama2": triviaqa(8), "nq_open@llama2": nq_open(8)}
        tasks = {name: task_result(name, rows, n_shots=n_shots) for name, rows in documents.items()}
        (group,) = made_evaluation(**tasks).groups
        return group

    whole = world(5)
    assert (whole.name, whole.missing) == ("world_knowledge", ())
    assert whole.scores["mean,none"].value == 0
    other = world(1)
    assert other.scores == {}
    assert other.missing == ("NaturalQuestions with 5 shots (run with 1)", "TriviaQA with 5 shots (run with 1)")


def test_metrics_by_name_and_key():
    result = made_evaluation()["gsm8k_cot"]
    assert result["exact_match,strict-match"] == result.scores["exact_match,strict-match"].value
    with pytest.raises(KeyError, match="several metrics are named 'exact_match'"):
        result["exact_match"]
    with pytest.raises(KeyError, match="has no metric 'f1'; there are exact_match"):
        result["f1"]


def test_the_table_shows_all_of_it():
    text = str(made_evaluation())
    for said in ("arc_easy", "acc_norm", "(flexible-extract)", "word_perplexity", "25.0", "= mmlu (2 of 57 tasks)"):
        assert said in text


def test_cautions_of_many_subjects_are_put_together():
    subjects = [name for name in TASKS if name.startswith("mmlu_") and "continuation" not in name and "@" not in name][
        :6
    ]
    evaluation = made_evaluation(**{name: task_result(name, mmlu(20), seed=i) for i, name in enumerate(subjects)})
    cautions = [
        caution for caution in cautions_of(evaluation.results, evaluation.groups) if "did not fit" not in caution
    ]
    assert len(cautions) <= 2
    assert "of its 6 tasks alone are not better than a baseline" in cautions[-1]
    assert cautions[-1].startswith("mmlu: ")
