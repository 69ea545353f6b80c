"""Which candidate is chosen, and which temperature."""

import numpy as np
import pytest

from minillama.alignment.models import Prompt
from minillama.alignment.rejection_sampling import chosen, chosen_temperature, read_candidates, rewards_of
from minillama.alignment.rejection_sampling.candidates import Candidate, figures_of, scored, write_candidates
from minillama.alignment.rejection_sampling.temperature import table_row
from minillama.alignment.rollouts import Answer


def candidate(prompt_id, number, k, reward, allowed=True):
    return Candidate(prompt_id, number, k, 0.9, reward, allowed, (1, 2), (3, 4, k), f"{prompt_id} {k}", True)


CANDIDATES = [
    candidate("a", 1, 0, 1.0), candidate("a", 1, 1, 3.0), candidate("b", 1, 0, 5.0, False), candidate("b", 1, 1, -1.0),
    candidate("a", 2, 0, 3.0), candidate("a", 2, 1, 2.0), candidate("c", 2, 0, 0.0, False), candidate("b", 2, 0, 0.5),
]  # fmt: skip


def test_the_best_over_all_rounds_or_of_one():
    """Of equal rewards the earlier round; what may not be kept is passed over, however good."""
    told = lambda found: [(one.prompt_id, one.round, one.k) for one in found]
    assert told(chosen(CANDIDATES)) == [("a", 1, 1), ("b", 2, 0)]
    assert told(chosen(CANDIDATES[::-1])) == [("b", 2, 0), ("a", 1, 1)]
    assert told(chosen(CANDIDATES, only_round=2)) == [("a", 2, 0), ("b", 2, 0)]
    assert told(chosen([candidate("a", 1, 1, 2.0), candidate("a", 1, 0, 2.0)])) == [("a", 1, 0)]
    figures = figures_of(CANDIDATES, chosen(CANDIDATES))
    assert figures["chosen_reward"] == 1.75
    assert figures["mean_reward"] == pytest.approx(np.mean([9 / 4, 4.5 / 3, 0.0]))
    assert (figures["prompts"], figures["candidates"], figures["chosen"], figures["from_this_round"]) == (3, 8, 2, 0.5)


def test_what_is_learned_is_what_was_sampled():
    example = CANDIDATES[1].example
    np.testing.assert_array_equal(example.ids, [1, 2, 3, 4, 1])
    np.testing.assert_array_equal(example.weights, [0, 0, 1, 1, 1])


def test_candidates_survive_their_file(tmp_path):
    write_candidates(tmp_path / "c.jsonl", {"rewards": "r1"}, CANDIDATES)
    assert read_candidates(tmp_path / "c.jsonl") == ({"rewards": "r1"}, CANDIDATES)
    (tmp_path / "c.jsonl").write_text('{"rewards": "r1"}\n{"prompt_id": "a"}\n')
    with pytest.raises(ValueError, match="remove it to have it made again"):
        read_candidates(tmp_path / "c.jsonl")


class Sums:
    """Scores a row by the sum of its ids, times a factor."""

    def __init__(self, factor):
        self.factor = factor

    def scores(self, rows):
        return np.array([self.factor * sum(row) for row in rows], np.float32)


def test_rewards_of_one_model_and_of_two():
    prompts = [Prompt("a", (), tagged=False), Prompt("b", (), tagged=True)]
    answers = [[Answer(p.id, k, (1,), (2, k), "", True) for k in range(2)] for p in prompts]
    one = scored(prompts, answers, rewards_of(Sums(1)), number=1, temperature=0.9, keep=lambda p, a: a.k > 0)
    assert [(c.prompt_id, c.k, c.reward, c.allowed) for c in one] == [
        ("a", 0, 3.0, False), ("a", 1, 4.0, True), ("b", 0, 3.0, False), ("b", 1, 4.0, True)
    ]  # fmt: skip
    gate = lambda found, prompts: np.where([p.tagged for p in prompts], found[1], found[0])
    two = scored(prompts, answers, rewards_of(Sums(1), Sums(-1), combine=gate), number=1, temperature=0.9)
    assert [c.reward for c in two] == [3.0, 4.0, -3.0, -4.0]
    with pytest.raises(ValueError, match="2 scorers give 2 numbers"):
        rewards_of(Sums(1), Sums(1))
    with pytest.raises(ValueError, match="the reward of answer 1 to a is not finite"):
        scored(prompts, answers, lambda p, a: np.array([0, np.nan, 0, 0]), number=1, temperature=0.9)
    with pytest.raises(ValueError, match="4 answers need 4 rewards"):
        scored(prompts, answers, lambda p, a: np.zeros(3), number=1, temperature=0.9)


def test_the_temperature_with_the_best_maximum():
    """Not the best mean; of equal ones the lower."""
    cold, hot = np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([[-4.0, 3.0], [2.0, -5.0]])
    table = [table_row(0.7, cold, 1.0), table_row(1.2, hot, 0.5), table_row(1.3, hot, 0.5)]
    assert chosen_temperature(table) == 1.2
    assert [(row["maximum"], row["median"], row["mean"]) for row in table[:2]] == [(1, 1, 1), (2.5, -1, -1)]
    assert table[1]["low"] <= 2.5 <= table[1]["high"]
    with pytest.raises(ValueError, match="no temperature"):
        chosen_temperature([])
