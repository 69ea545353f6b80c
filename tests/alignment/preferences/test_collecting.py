"""Collecting comparisons: candidates that survive a kill, programs with seeded noise, persons who see no model."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from minillama.alignment.models import ChatModel, Prompt
from minillama.alignment.preferences import (
    NoisyAnnotator,
    SamplingSettings,
    Verdict,
    annotate,
    rating_of,
    read_comparisons,
    sample_candidates,
    voted,
)
from minillama.alignment.preferences.candidates import Candidate, Candidates, temperatures_of
from minillama.alignment.preferences.collecting import FORCED_CHOICE
from minillama.evaluation.preference.votes import VoteLog
from minillama.trees import map_tree

PROMPTS = [Prompt(f"p{n}", ({"role": "user", "content": f"Tell me about {n} cats."},)) for n in range(6)]
SHORT = SamplingSettings(temperatures=(0.7, 1.0), max_tokens=4, seed=4, chunk=4)


@pytest.fixture(scope="module")
def model():
    return ChatModel.load("stories3M")


def made(n=40):
    """Pairs whose longer answer is better; the last is the same text twice."""
    rng = np.random.default_rng(0)
    texts = [["x" * int(k) for k in rng.choice(20, 2, replace=False)] for _ in range(n - 1)] + [["same", "same"]]
    return [
        Candidates(
            Prompt(f"q{i}", ({"role": "user", "content": "?"},)),
            *(Candidate(text, (i, side, len(text)), True, side, 0.5 + side) for side, text in enumerate(pair)),
        )
        for i, pair in enumerate(texts)
    ]


class Length:
    """A scorer: a tenth of the letters."""

    def score(self, dialogue):
        return len(dialogue[-1]["content"]) / 10


def test_candidates_are_functions_of_the_seed_and_are_kept(model, tmp_path):
    told = []
    whole = sample_candidates([model], PROMPTS, tmp_path / "whole", SHORT, progress=lambda *done: told.append(done))
    assert told == [(0, 6), (4, 6), (6, 6)]
    assert [pair.prompt for pair in whole] == PROMPTS
    for pair in whole:
        assert (pair.a.temperature, pair.b.temperature) == temperatures_of(SHORT, pair.prompt)
        assert pair.a.temperature != pair.b.temperature
        assert pair.a.text == model.text_of(pair.a.ids)
        assert len(pair.a.ids) <= 4
    assert len({pair.a.temperature for pair in whole}) > 1
    raw = (tmp_path / "whole/candidates.jsonl").read_bytes()
    for size in (100, len(raw) - 1):  # torn: what is not whole is sampled again, to the same ids
        shutil.copytree(tmp_path / "whole", tmp_path / f"cut-{size}")
        (tmp_path / f"cut-{size}/candidates.jsonl").write_bytes(raw[:size])
        assert sample_candidates([model], PROMPTS, tmp_path / f"cut-{size}", SHORT) == whole
    other = sample_candidates([model], PROMPTS, tmp_path / "other", replace(SHORT, seed=5))
    assert [pair.a.ids for pair in other] != [pair.a.ids for pair in whole]


def test_two_variants_answer_one_each_and_others_are_refused(model, tmp_path):
    still = ChatModel(map_tree(lambda a: a * 0, model.params), model.config, model.tokenizer, model.chat)
    pairs = sample_candidates([model, still], PROMPTS, tmp_path, SHORT)
    assert {(pair.a.model, pair.b.model) for pair in pairs} == {(0, 1)}
    with pytest.raises(
        ValueError,
        match="was begun with other models: go on with the same as then, or take another folder; nothing can be added",
    ):
        sample_candidates([still, model], PROMPTS, tmp_path, SHORT)
    with pytest.raises(ValueError, match="other max_tokens, prompts"):
        sample_candidates([model, still], PROMPTS[1:], tmp_path, replace(SHORT, max_tokens=9))
    with pytest.raises(ValueError, match="found 6 ids of 7 prompts"):
        sample_candidates([model], [*PROMPTS, PROMPTS[0]], tmp_path)
    with pytest.raises(ValueError, match="one or two models"):
        sample_candidates([], PROMPTS, tmp_path)
    with pytest.raises(ValueError, match="two different temperatures"):
        SamplingSettings(temperatures=(0.5, 0.5))


def test_answer_b_may_be_asked_something_else(model, tmp_path):
    """Behind a pre-prompt, say; the pair is one of answers to the prompt all the same."""

    def second(prompt):
        return replace(prompt, id=f"{prompt.id} kindly", dialogue=({"role": "user", "content": "Be kind."},))

    plain = sample_candidates([model], PROMPTS, tmp_path / "plain", SHORT)
    found = sample_candidates([model], PROMPTS, tmp_path / "second", SHORT, second=second)
    assert [pair.prompt for pair in found] == PROMPTS
    assert [pair.a for pair in found] == [pair.a for pair in plain]
    assert [pair.b.ids for pair in found] != [pair.b.ids for pair in plain]
    with pytest.raises(ValueError, match="other second"):
        sample_candidates([model], PROMPTS, tmp_path / "second", SHORT, second=lambda prompt: prompt)


def test_a_program_compares_with_seeded_noise_and_goes_on(tmp_path):
    pairs, shown = made(100), []
    path = tmp_path / "kept" / "length.jsonl"

    class Watched(NoisyAnnotator):
        def prepare(self, texts):
            shown.append(len(texts))

        def compare(self, prompt, a, b, rng):
            shown.append((prompt.id, a, b))
            return super().compare(prompt, a, b, rng)

    found = annotate(pairs, Watched(Length(), noise=0), path, source="length")
    assert len(found) == 99
    assert all(len(one.chosen) > len(one.rejected) for one in found)
    assert [found[0].source, found[0].prompt] == ["length", pairs[0].prompt]
    for one in found:
        gap = len(one.chosen) - len(one.rejected)
        assert one.strength == (gap > 6) + (gap > 14) or gap in (6, 14)  # 0.6 is not exact
        assert one.chosen_ids[2] == len(one.chosen)
        assert one.bin is None
    assert [entry for entry in shown if isinstance(entry, int)] == [128, 70]
    firsts = [entry[1] == pairs[int(entry[0][1:])].a.text for entry in shown if not isinstance(entry, int)]
    assert 30 < sum(firsts) < 70  # which is shown first is drawn
    assert read_comparisons(path) == found

    whole, n = path.read_bytes(), len(shown)
    path.write_bytes(whole[: len(whole) // 2])
    assert annotate(pairs, Watched(Length(), noise=0), path, source="length") == found
    assert path.read_bytes() == whole
    assert n < len(shown) < 2 * n
    other = replace(pairs[3], b=replace(pairs[3].b, text="another answer"))
    with pytest.raises(ValueError, match="what was said of other answers to the prompt q3: take another file"):
        annotate([*pairs[:3], other], Watched(Length(), noise=0), path, source="length")
    noisy = [annotate(pairs, NoisyAnnotator(Length()), tmp_path / f"{i}.jsonl", seed=i // 2) for i in range(3)]
    assert noisy[0] == noisy[1] != noisy[2]
    agreed = np.mean([len(one.chosen) > len(one.rejected) for one in noisy[0]])
    assert 0.7 < agreed < 0.97


def test_a_scorer_may_say_what_is_safe():
    annotator = NoisyAnnotator(Length(), noise=0, safe_above=0.3)
    verdict = annotator.compare(PROMPTS[0], "xx", "x" * 30, np.random.default_rng(0))
    assert verdict == Verdict(False, 3, False, True)
    with pytest.raises(ValueError, match="three rising thresholds"):
        NoisyAnnotator(Length(), thresholds=(1, 1, 2))


def test_votes_of_a_person_become_comparisons(tmp_path):
    pairs = made(9)
    with VoteLog(tmp_path, "ada") as log:
        rating = rating_of(pairs, log, seed=3, safety=True)
        assert rating.total == 8  # not the same text twice
        for value in FORCED_CHOICE:
            question = rating.next()
            rating.vote(question.id, value, (len(question.a) < 5, len(question.b) < 5))
        with pytest.raises(ValueError, match="expected a rating of -4 to 4, got 0"):
            rating.vote(question.id, 0, (True, True))
        assert rating.next() is None
        assert rating.undo() is not None
        assert len(voted(pairs, log.votes)) == 7
        rating.vote(rating.next().id, -4, (False, False))
        found, votes = voted(pairs, log.votes, source="ada"), {vote.pair: vote for vote in log.votes}
    assert len(found) == 8
    assert sorted(one.strength for one in found) == [0, 0, 1, 1, 2, 2, 3, 3]
    by_prompt = {one.prompt.id: one for one in found}
    assert {vote.shown for vote in votes.values()} == {0, 1}
    for pair in pairs[:-1]:
        one = by_prompt[pair.prompt.id]
        assert {one.chosen, one.rejected} == {pair.a.text, pair.b.text}
        ids = {pair.a.text: pair.a.ids, pair.b.text: pair.b.ids}
        assert (one.chosen_ids, one.rejected_ids) == (ids[one.chosen], ids[one.rejected])
    unmarked = [one for one in found if one.strength != 3 or one.chosen_safe is False]
    assert all(one.chosen_safe == (len(one.chosen) >= 5) for one in unmarked if one.strength != 3)
    with VoteLog(tmp_path, "ada") as log:  # going on: nothing is asked again
        assert rating_of(pairs, log, seed=3, safety=True).next() is None


def test_the_preferred_side_is_the_one_that_was_shown_there(tmp_path):
    pairs = made(30)
    with VoteLog(tmp_path, "bob") as log:
        rating = rating_of(pairs, log)
        while (question := rating.next()) is not None:
            rating.vote(question.id, 2 if len(question.a) > len(question.b) else -2)
        assert all(len(one.chosen) > len(one.rejected) for one in voted(pairs, log.votes))
        assert {one.strength for one in voted(pairs, log.votes)} == {1}
        assert all(one.chosen_safe is None for one in voted(pairs, log.votes))
    assert json.loads((tmp_path / "bob.jsonl").read_text().splitlines()[0])["rater"] == "bob"
