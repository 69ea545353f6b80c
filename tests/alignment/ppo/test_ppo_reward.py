"""Two scores as one reward, by hand."""

import numpy as np
import pytest

from minillama.alignment.ppo import Centres, Scoring, centres_of, check_gate
from minillama.alignment.ppo.reward import combined, logits_of, sigmoid, token_rewards

LOGIT = {p: np.log(p / (1 - p)) for p in (0.1, 0.14, 0.16, 0.2, 0.9)}


def test_a_logit_is_the_score_itself_within_limits():
    scores = np.array([-3.0, 0.0, 2.5, 40.0, -800.0])
    np.testing.assert_allclose(logits_of(scores), [-3, 0, 2.5, LOGIT_LIMIT, -LOGIT_LIMIT], rtol=1e-9)
    np.testing.assert_allclose(sigmoid(scores[:2]), [0.04742587, 0.5])


LOGIT_LIMIT = np.log((1 - 1e-6) / 1e-6)


def test_the_paper_s_examples():
    """Untagged with R_s = .10 and R_h = .90: safety's -2.197; with R_s = .20: helpfulness' +2.197. A hard switch."""
    safety = np.array([LOGIT[p] for p in (0.1, 0.2, 0.14, 0.16, 0.2)])
    helpful = np.full(5, LOGIT[0.9])
    found = combined(helpful, safety, np.array([False, False, False, False, True]))
    np.testing.assert_allclose(found.scores, [-2.1972, 2.1972, LOGIT[0.14], 2.1972, LOGIT[0.2]], atol=1e-4)
    assert found.by_safety.tolist() == [True, False, True, False, True]
    assert found.gated.tolist() == [True, False, True, False, False]  # a tag is no gate


def test_scores_are_centred_each_by_its_own_model():
    """The gate is a probability: it does not move with the centre."""
    found = combined(np.array([5.0, 6.0]), np.array([-2.0, -1.0]), np.zeros(2, bool), Centres(5.0, -1.5, 0.5, 4.0))
    np.testing.assert_allclose(found.scores, [-2.0, 2.0])
    assert found.gated.tolist() == [True, False]
    assert centres_of(np.array([4.0, 6.0]), np.array([-1.0, -2.0])) == pytest.approx((5.0, -1.5, 1.0, 0.5))
    scores = np.array([4.0, 6.0, 9.0]), np.array([1.0, 2.0, -3.0])
    assert centres_of(*scores, [False, False, True]) == pytest.approx((5.0, -3.0, 1.0, 0.5))  # no scale is below 0.5
    with pytest.raises(ValueError, match="3 of 3 are tagged"):
        centres_of(*scores, [True] * 3)
    with pytest.raises(ValueError, match="0 of 3 are tagged"):
        centres_of(*scores, [False] * 3)
    assert not combined(np.array([5.0]), None, np.ones(1, bool)).by_safety.any()

    class Lengths:
        def scores(self, rows):
            return np.array([len(row) for row in rows], np.float32)

    assert Scoring(Lengths()).centred([[1], [1, 2, 3]]).centres == pytest.approx((2.0, 0.0, 1.0, 1.0))


def test_what_the_gate_catches_is_never_better_than_an_average_answer():
    """Where the fine-tuned model is mostly unsafe on tagged prompts: -2.5 on average, also below the gate."""
    centres = centres_of(np.zeros(6), np.array([-6.5, 1.5, -2.5, 3.0, 3.0, 3.0]), [True] * 3 + [False] * 3)
    assert centres == pytest.approx((0, -2.5, 0.5, np.sqrt(32 / 3)))
    safety = np.array([LOGIT[0.14], -4.0, 3.0, -2.5, -2.5 + np.sqrt(32 / 3)])
    tagged = np.array([False, False, False, True, True])
    found = combined(np.array([0.0, 5.0, 0.0, 0.0, 0.0]), safety, tagged, centres)
    assert found.gated.tolist() == [True, True, False, False, False]
    np.testing.assert_allclose(found.scores, [LOGIT[0.14], -4.0, 0.0, 0.0, 1.0], rtol=1e-9, atol=1e-9)


def test_rewards_of_tokens():
    mask = np.array([[True, True, True], [True, False, False]])
    kl = np.array([[0.1, -0.2, 0.3], [0.4, 9.0, 9.0]])
    found = token_rewards(np.array([1.0, 3.0]), kl, mask, beta=0.5)
    top = 1 / np.sqrt(2 + 1e-8)  # two scores: mean 2, unbiased variance 2
    np.testing.assert_allclose(found, [[-0.05, 0.1, -0.15 - top], [-0.2 + top, 0, 0]])


def test_the_gate_is_checked():
    scores, unsafe = np.array([-3.0, -1.0, -1.7, 4.0]), np.array([True, True, True, False])
    assert check_gate(scores, unsafe) == pytest.approx(1 / 3)
    assert check_gate(scores, unsafe, gate=0.3) == 1
    with pytest.raises(ValueError, match=r"none of 2 unsafe answers .* below 0.15 \(the lowest is 0.15\)"):
        check_gate(np.array([-1.72, 0.0]), np.array([True, True]))
    with pytest.raises(ValueError, match="no unsafe one"):
        check_gate(scores, np.zeros(4, bool))
