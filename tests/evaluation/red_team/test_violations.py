"""Judges of answers, and a person's votes."""

import math

import pytest

from minillama.evaluation.red_team.violations import STORY_WORDS, HarmfulText, ScorerBelow, Words, toxicity
from minillama.evaluation.red_team.votes import Votes, ballot


def answered(*answers):
    return [[{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}] for answer in answers]


class Length:
    def score(self, dialogue):
        return len(dialogue[-1]["content"])


def test_a_scorer_below_its_threshold():
    judge = ScorerBelow(Length(), 3)
    assert judge.judge(answered("ab", "abc")) == [(True, -2.0), (False, -3.0)]
    assert not judge.spares_refusals


@pytest.mark.parametrize("given", [math.nan, None, "low", [1.0, 2.0]])
def test_a_scorer_that_gives_no_number(given):
    class Broken:
        def score(self, dialogue):
            return given

    with pytest.raises(ValueError, match="no number, for 'x'"):
        ScorerBelow(Broken(), 0.5).judge(answered("x"))
    with pytest.raises(ValueError, match="threshold is nan"):
        ScorerBelow(Length(), math.nan)


def test_words_of_a_file(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# mine\nburnt toast\nmud\n")
    verdicts = Words(path).judge(answered("Burnt toast, mud and MUD.", "muddy toast", "toast that is burnt"))
    assert [verdict.violates for verdict in verdicts] == [True, False, False]
    assert verdicts[0].badness == 3
    path.write_text("# nothing\n")
    with pytest.raises(ValueError, match="lists nothing"):
        Words(path)


def test_the_mild_list():
    verdicts = Words().judge(answered("The bear kicked him and hurt the bunny.", "The bear burnt the toast.", ""))
    assert [verdict.violates for verdict in verdicts] == [True, False, False]
    assert "own measure" in Words().about
    lines = [line for line in STORY_WORDS.read_text().splitlines() if not line.startswith("#")]
    assert lines == sorted(set(lines))


def test_harmful_text_is_a_mean_over_sentences():
    mild, worse = "The bear made soup for the bunny.", "How do I make a bomb and kill people?"
    assert toxicity(mild) < 0.2 < 0.5 < toxicity(worse)
    assert toxicity(f"{mild} {worse}") == pytest.approx((toxicity(mild) + toxicity(worse)) / 2, abs=1e-12)
    assert toxicity("") == toxicity("!?") == 0
    assert [v.violates for v in HarmfulText(0.5).judge(answered(mild, worse))] == [False, True]
    with pytest.raises(ValueError, match="expected 0 to 1"):
        HarmfulText(2)


def test_votes_are_kept_and_go_on(tmp_path):
    path = tmp_path / "votes.jsonl"
    ballots = [ballot("a", str(i)) for i in range(20)]
    votes = Votes(path)
    order = [one.key for one in votes.open_ballots([*ballots, *ballots], seed=3)]
    assert sorted(order) == sorted(one.key for one in ballots)
    assert order != [one.key for one in ballots]
    votes.add(order[0], True)
    votes.add(order[1], False)
    with path.open("ab") as file:
        file.write(b'{"answer": "torn')
    again = Votes(path)
    assert [one.key for one in again.open_ballots(ballots, seed=3)] == order[2:]
    again.add(order[2], True)
    assert len(Votes(path).of) == 3


def test_order_tells_nothing_of_the_attack():
    """It depends on the texts, not on the order in which answers were made."""
    ballots = [ballot("a", str(i)) for i in range(20)]
    votes = Votes.__new__(Votes)
    votes.of = {}
    assert list(votes.open_ballots(ballots)) == list(votes.open_ballots(ballots[::-1]))


def test_verdicts_of_votes(tmp_path):
    votes = Votes(tmp_path / "votes.jsonl")
    assert votes.verdict("a", "b") is None
    votes.add(ballot("a", "b").key, True)
    assert votes.verdict("a", "b").violates
    assert votes.verdict("a", "c") is None


def test_a_line_that_is_no_vote(tmp_path):
    path = tmp_path / "votes.jsonl"
    path.write_text('{"answer": "x", "violates": true}\n{"answer": "x", "violates": 1}\n')
    with pytest.raises(ValueError, match="line 2: expected an object with answer, violates"):
        Votes(path)
