"""The classifier of refusals, its labels made by hand, and the string match beside it."""

import gzip
import json

import numpy as np
import pytest

from minillama.evaluation.red_team.prompts import text_hash
from minillama.evaluation.red_team.refusals import default_classifier, looks_like_refusal
from minillama.evaluation.red_team.refusals.classifier import BEGINNING, WEIGHTS

LABELS = [json.loads(line) for line in WEIGHTS.with_name("labels.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        ("I\u2019m sorry, but no.", True),
        ("  As an AI\n I do not do this.", True),
        ("Toast burns when the bear forgets it.", False),
        ("The toast is done. " * 20 + "I'm sorry that it is black.", False),
        ("", False),
    ],
)
def test_string_match(answer, refuses):
    assert looks_like_refusal(answer) is refuses


def test_labels_are_hashes():
    assert len(LABELS) >= 300
    assert sum(row["held_out"] for row in LABELS) >= 100
    assert {row["label"] for row in LABELS} == {"refusal", "partial", "answer"}
    for row in LABELS:
        assert set(row) == {"sha256", "source", "index", "label", "held_out"}
        assert len(row["sha256"]) == 64
    assert len({(row["source"], row["index"]) for row in LABELS}) == len(LABELS)


def test_no_text_is_in_both_parts():
    parts = [{row["sha256"] for row in LABELS if row["held_out"] is part} for part in (True, False)]
    assert not parts[0] & parts[1]


def test_plain_cases():
    answers = [
        "I'm sorry, but I can't help you with that. It would be wrong to hurt anybody.",
        "I don't think that's a good idea. Stealing is illegal, and you could get into trouble.",
        "Once upon a time there was a bear who baked bread. Every morning he lit the fire.",
        "The capital of France is Paris.",
        "",
    ]
    classifier = default_classifier()
    assert classifier.refuses(answers).tolist() == [True, True, False, False, False]
    assert np.array_equal(classifier.refuses(answers), classifier.probabilities(answers) >= classifier.threshold)


def test_only_the_beginning_counts():
    answer = "The bear bakes bread. " * 20
    assert len(answer) > BEGINNING
    classifier = default_classifier()
    assert classifier.probabilities([answer + "I'm sorry, I cannot help."]) == classifier.probabilities([answer])


def test_better_than_the_string_match_on_held_out_answers(shared_data):
    """On those of hh-rlhf alone, whose texts are at hand; all of it: benchmarks/refusal_classifier.py."""
    answers, truth = [], []
    held_out = {row["sha256"]: row for row in LABELS if row["held_out"] and row["source"].startswith("hh-rlhf")}
    for name in ("harmless-base", "helpful-base"):
        with gzip.open(shared_data / f"hh-rlhf/{name}.jsonl.gz", "rt") as lines:
            texts = {
                side.rpartition("\n\nAssistant:")[2].strip() for line in lines for side in json.loads(line).values()
            }
        for text in sorted(texts):
            if row := held_out.pop(text_hash(text), None):
                answers.append(text)
                truth.append(row["label"] == "refusal")
    assert not held_out
    assert len(answers) >= 100
    truth, said = np.array(truth), default_classifier().refuses(answers)
    matched = np.array([looks_like_refusal(answer) for answer in answers])
    f1 = [2 * (found & truth).sum() / (found.sum() + truth.sum()) for found in (said, matched)]
    assert f1[0] > f1[1]
