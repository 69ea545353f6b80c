"""LLMBar as a test of judges: by hand, and on its own files where they are."""

import json
import math

import pytest

from minillama.evaluation.preference import Rule, Vote, accuracies, judge_pairs, longer_answer, read_llmbar
from minillama.evaluation.preference.llmbar import SUBSETS
from minillama.evaluation.statistics.intervals import wilson


def made(folder, labels=(1, 2, 2)):
    """Files with three hand-made pairs each; the better answer is in `labels`."""
    for name in SUBSETS.values():
        rows = [
            {"input": f"Question {n}", "output_1": "long answer", "output_2": "short", "label": label}
            for n, label in enumerate(labels)
        ]
        (folder / name).write_text(json.dumps(rows))
    return folder


def test_accuracy_by_hand(tmp_path):
    pairs = read_llmbar(made(tmp_path))
    assert len(pairs) == 15
    assert [pair.better for pair in pairs[:3]] == [0, 1, 1]
    rows = accuracies(pairs, judge_pairs(Rule(longer_answer, "longer"), pairs))
    assert [row.subset for row in rows] == [*SUBSETS, "adversarial, all", "all"]
    assert [row.accuracy for row in rows] == pytest.approx([1 / 3] * 7)
    assert [row.n for row in rows] == [3, 3, 3, 3, 3, 12, 15]
    assert rows[-1].interval == wilson(5, 15)
    assert (rows[0].orders_agree, rows[0].ties, rows[0].first_wins) == (1, 0, 0.5)


def test_a_judge_that_takes_the_first_is_at_chance_and_disagrees_with_itself(tmp_path):
    pairs = read_llmbar(made(tmp_path))
    row = accuracies(pairs, judge_pairs(Rule(lambda *_: 1, "first"), pairs))[-1]
    assert (row.accuracy, row.orders_agree, row.first_wins) == (0.5, 0, 1)


def test_ties_are_half_and_missing_verdicts_are_counted(tmp_path):
    pairs = read_llmbar(made(tmp_path))[:3]
    votes = [
        Vote(pairs[0].id, "j", 0, 0.0),
        Vote(pairs[1].id, "j", 1, 2.0),
        Vote(pairs[2].id, "j", 0, None, problem="x"),
    ]
    (row, *_) = accuracies(pairs, votes)
    assert (row.n, row.accuracy, row.ties, row.n_problems) == (2, 0.75, 0.5, 1)
    assert math.isnan(row.orders_agree)


def test_what_is_no_llmbar(tmp_path):
    with pytest.raises(ValueError, match=r"lacks natural\.json"):
        read_llmbar(tmp_path)
    with pytest.raises(ValueError, match=r'natural\.json, row 2: expected a "label" of 1 or 2, found 3'):
        read_llmbar(made(tmp_path, labels=(1, 3, 2)))


def test_its_own_files(shared_data):
    folder = shared_data / "preference" / "llmbar"
    if not folder.is_dir():
        pytest.skip(f"LLMBar not found at {folder}")
    pairs = read_llmbar(folder)
    assert {subset: sum(pair.subset == subset for pair in pairs) for subset in SUBSETS} == {
        "natural": 100,
        "adversarial Neighbor": 134,
        "adversarial GPTInst": 92,
        "adversarial GPTOut": 47,
        "adversarial Manual": 46,
    }
    rows = {row.subset: row for row in accuracies(pairs, judge_pairs(Rule(longer_answer, "longer"), pairs))}
    assert rows["natural"].accuracy > 0.5
    assert rows["adversarial, all"].interval.high < 0.5  # made to look better by being longer
