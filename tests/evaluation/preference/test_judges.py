"""Judges: rules, scorers, a model's own log-probability, a model that is asked."""

import math

import numpy as np
import pytest
from made_pairs import pairs

from minillama.evaluation.preference import (
    AskedJudge,
    LogLikelihood,
    Rating,
    Rule,
    ScorerJudge,
    VoteLog,
    WordRule,
    judge_pairs,
    longer_answer,
    read_all_votes,
)

USER = [{"role": "user", "content": "Name a fruit."}]


class Counting:
    """A scorer that counts how often it is asked."""

    def __init__(self, function=lambda answer: float(len(answer))):
        self.function, self.asked = function, 0

    def score(self, dialogue):
        self.asked += 1
        return self.function(dialogue[-1]["content"])


def test_rules():
    assert longer_answer(USER, "long", "no") > 0 > longer_answer(USER, "no", "long")
    words = WordRule(good=["thank you", "sorry"], bad=["c++", "idiot"])
    said = {"Thank you, sorry!": 2, "thank youth": 0, "I use C++.": -1, "idiots": 0, "": 0, "Sorry, idiot": 0}
    for answer, score in said.items():
        assert words.score([*USER, {"role": "assistant", "content": answer}]) == score
    assert WordRule().score([*USER, {"role": "assistant", "content": "anything"}]) == 0


def test_a_scorer_is_asked_once_for_each_answer():
    scorer = Counting()
    votes = judge_pairs(ScorerJudge(scorer, "length"), pairs(5))
    assert len(votes) == 10
    assert scorer.asked == 10
    assert all(vote.preference == -2 for vote in votes)  # "one says 0" and "other says 0"


def test_scores_within_a_margin_are_a_tie():
    judge = ScorerJudge(Counting(), "length", tie_within=2)
    assert judge.compare(USER, "abc", "a") == 0
    assert judge.compare(USER, "abcd", "a") == 3
    with pytest.raises(ValueError, match="tie_within"):
        ScorerJudge(Counting(), "length", tie_within=-1)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_no_verdict(score):
    votes = judge_pairs(ScorerJudge(Counting(lambda answer: score), "broken"), pairs(1))
    assert [vote.rating for vote in votes] == [None, None]
    assert "the score of an answer is" in votes[0].problem


@pytest.mark.parametrize("verdict", [None, "A", 1j, [1.0, 2.0], math.nan, False])
def test_a_readers_rule_that_gives_no_number_gives_no_verdict(verdict):
    votes = judge_pairs(Rule(lambda dialogue, a, b: verdict, "broken"), pairs(1))
    assert [vote.rating for vote in votes] == [None, None]
    assert votes[0].problem.startswith("the verdict is")


def test_what_could_not_be_judged_is_tried_again(tmp_path):
    """The same problem is not written twice; a mended judge counts."""

    def silent(dialogue, a, b):
        raise ValueError

    for judge in (Rule(silent, "own"), Rule(silent, "own"), Rule(longer_answer, "own")):
        with VoteLog(tmp_path, "own") as log:
            judge_pairs(judge, pairs(2), log)
    assert len((tmp_path / "own.jsonl").read_text().splitlines()) == 2 * 4
    assert all(vote.problem is None for vote in read_all_votes(tmp_path))


def test_both_orders_or_one_that_is_drawn():
    first = Rule(lambda dialogue, a, b: 1.0, "takes the first")
    found = pairs(200)
    both = judge_pairs(first, found)
    assert [vote.shown for vote in both] == [0, 1] * 200
    assert [vote.preference for vote in both] == [1, -1] * 200
    drawn = judge_pairs(first, found, orders="drawn", seed=3)
    assert len(drawn) == 200
    assert 70 < sum(vote.shown for vote in drawn) < 130
    assert drawn == judge_pairs(first, found, orders="drawn", seed=3)
    assert drawn != judge_pairs(first, found, orders="drawn", seed=4)
    with pytest.raises(ValueError, match='"both" or "drawn"'):
        judge_pairs(first, found, orders="all")


def test_judging_goes_on_where_it_stopped(tmp_path):
    found, scorer = pairs(50), Counting()

    class Interrupted(Exception):
        pass

    def stop(done, total):
        if done == 70:
            raise Interrupted

    judge = ScorerJudge(scorer, "length")
    with VoteLog(tmp_path / "cut", "length") as log, pytest.raises(Interrupted):
        judge_pairs(judge, found, log, progress=stop)
    assert len(read_all_votes(tmp_path / "cut")) == 64
    seen = []
    with VoteLog(tmp_path / "cut", "length") as log:
        votes = judge_pairs(judge, found, log, progress=lambda done, total: seen.append((done, total)))
    assert (seen[0], seen[-1], len(seen)) == ((65, 100), (100, 100), 36)
    with VoteLog(tmp_path / "whole", "length") as log:
        assert judge_pairs(ScorerJudge(Counting(), "length"), found, log) == votes
    assert (tmp_path / "cut/length.jsonl").read_bytes() == (tmp_path / "whole/length.jsonl").read_bytes()


def test_a_judge_and_a_person_are_never_the_same_rater(tmp_path):
    found, judge = pairs(2), Rule(longer_answer, "longer")
    with VoteLog(tmp_path, "longer") as log:
        judge_pairs(judge, found, log)
        with pytest.raises(ValueError, match="longer is a judge that has voted"):
            Rating(found, log)
    with VoteLog(tmp_path / "persons", "longer") as log:
        Rating(found, log).vote(found[0].id, 1)
        with pytest.raises(ValueError, match="longer is a person who has voted"):
            judge_pairs(judge, found, log)
    with pytest.raises(ValueError, match="all persons together"):
        VoteLog(tmp_path, "all persons")


def test_log_likelihood_is_the_mean_over_the_answers_tokens(smollm2):
    """Written out with the chat template as text: ids up to the answer, and those of the answer."""
    dialogue = [*USER, {"role": "assistant", "content": "An apple."}]
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    before = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nName a fruit.<|im_end|>\n"
    before += "<|im_start|>assistant\n"
    context = smollm2.tokenizer.encode(before, allow_special=True)
    answer = smollm2.tokenizer.encode(before + "An apple.", allow_special=True)[len(context) :]
    assert len(answer) == 3
    logits = np.asarray(smollm2.logits([*context, *answer]), np.float64)[len(context) - 1 : -1]
    logprobs = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
    logprobs -= logits.max(1, keepdims=True)
    expected = logprobs[np.arange(3), answer].mean()
    assert LogLikelihood(smollm2).score(dialogue) == pytest.approx(expected, abs=5e-3)


def test_log_likelihood_does_not_depend_on_what_was_scored_before(smollm2):
    answers = ["An apple.", "A car.", "An apple pie, which my grandmother made."]
    dialogues = [[*USER, {"role": "assistant", "content": answer}] for answer in answers]
    other = [{"role": "user", "content": "Name a fruit. Or two."}, {"role": "assistant", "content": "Plums."}]
    alone = [LogLikelihood(smollm2).score(dialogue) for dialogue in dialogues]
    judge = LogLikelihood(smollm2)
    mixed = []
    for dialogue in dialogues:
        judge.score(other)
        mixed.append(judge.score(dialogue))
    judge = LogLikelihood(smollm2)
    assert [judge.score(dialogue) for dialogue in reversed(dialogues)][::-1] == alone == mixed


def test_what_cannot_be_scored_is_said(stories260k):
    """A model without chat template, hh-rlhf's layout; and an answer longer than its context."""
    judge = ScorerJudge(LogLikelihood(stories260k), "loglikelihood")
    found = [*pairs(1), *pairs(1, answer=lambda system, i: system * 1000), *pairs(1, answer=lambda system, i: "")]
    votes = judge_pairs(judge, found)
    assert votes[0].rating is not None
    assert votes[0].rating == -votes[1].rating
    assert [vote.rating for vote in votes[2:]] == [None] * 4
    assert "context" in votes[2].problem
    assert "the answer is empty" in votes[4].problem


def test_a_model_that_is_asked(smollm2):
    """What stands first matters to a small model: that is what both orders are for."""
    judge = AskedJudge(smollm2, "asked")
    asked = judge.compare(USER, "An apple.", "A car.")
    assert math.isfinite(asked)
    assert asked != judge.compare(USER, "A car.", "An apple.")
    several = [*USER, {"role": "assistant", "content": "Plum."}, {"role": "user", "content": "Another."}]
    assert "Human: Name a fruit.\n\nAssistant: Plum.\n\nHuman: Another." in judge._question(several, "x", "y")
