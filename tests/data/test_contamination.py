"""The 13-gram filter and LLaMA 2's test of contamination, against searches by brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillama.data.rules.contamination import Contamination, NgramOverlap, TokenContamination

QUESTION = "How many apples does the farmer sell at the market when he has 12 baskets of 30 apples?"


def test_a_document_with_thirteen_words_of_a_question_goes():
    overlap = NgramOverlap([QUESTION])
    words = QUESTION.split()
    inside = "Long before. " + " ".join(words[2:15]).upper() + ", and after"
    decision = overlap(inside)
    assert (decision.text, decision.findings) == (None, {"ngram_overlap": 1})
    assert decision.examples["ngram_overlap"].startswith("13 words: APPLES DOES THE FARMER SELL AT")
    shorter = "Long before. " + " ".join(words[2:14]) + ", and after"
    assert overlap(shorter) == (shorter, {}, {})
    other_number = inside.replace("12", "13")
    assert overlap(other_number).text == other_number


def test_short_texts_are_looked_for_as_a_whole():
    eight, seven = "one two three four five six seven eight", "a b c d e f g"
    overlap = NgramOverlap([eight, seven, ""])
    assert (overlap.n_texts, overlap.n_too_short) == (3, 2)
    assert overlap(f"x {eight}, y").text is None
    assert overlap(f"x {seven}, y").text is not None
    assert overlap("").text == ""
    with pytest.raises(ValueError, match=r"min_words must be 1 to n \(5\), got 8"):
        NgramOverlap([], n=5)
    assert NgramOverlap([])("anything at all").text == "anything at all"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abc"), max_size=12))
def test_the_filter_is_a_search(document, question):
    overlap = NgramOverlap([" ".join(question)], n=4, min_words=2)
    runs = [question[i : i + 4] for i in range(max(len(question) - 3, 1))] if len(question) >= 2 else []
    n = min(len(question), 4)
    expected = any(document[i : i + n] in runs for i in range(len(document) - n + 1)) if runs else False
    assert (overlap(" ".join(document)).text is None) == expected


def brute_force(sample, document, length, budget, first):
    """Every pair of spans, straight from the definition."""
    covered = np.zeros(len(sample), dtype=bool)
    for i in range(len(sample)):
        for j in range(len(document)):
            for n in range(first + 1, min(len(sample) - i, len(document) - j) + 1):
                same = [sample[i + k] == document[j + k] for k in range(n)]
                if all(same[:first]) and same[-1] and same.count(False) <= budget and n >= length:
                    covered[i : i + n] = True
    return covered.mean() if len(sample) else 0.0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2), max_size=18), min_size=1, max_size=3),
    st.lists(st.lists(st.integers(0, 2), max_size=18), max_size=2),
    st.integers(0, 2),
    st.integers(1, 8),
)
def test_tokens_against_brute_force(samples, documents, budget, length):
    test = TokenContamination(samples, budget=budget, first=3)
    for document in documents:
        test.add(document)
    # The union over documents: contaminated in any of them.
    separated = [token for document in documents for token in [*document, *[-1 - budget] * 20]]
    expected = [brute_force(sample, separated, length, budget, 3) for sample in samples]
    assert test.result(length).shares.tolist() == pytest.approx(expected)


def test_the_rules_of_appendix_a6():
    sample = list(range(100, 130))

    def share(document, length=10):
        test = TokenContamination([sample])
        test.add([7, *document, 8])
        return float(test.result(length).shares[0] * 30)

    assert share(sample[:10]) == 0  # more than ten
    assert share(sample[:11]) == 11
    assert share([*sample[:10], 0, sample[11]]) == 12  # a difference inside
    assert share([*sample[:9], 0, *sample[10:19]]) == 0  # not in the first ten
    assert share([*sample[:11], 0, 0]) == 11  # not at the end
    four = [*sample[:10], 0, 0, 0, 0, *sample[14:]]
    assert share(four) == 30
    five = [*sample[:10], 0, 0, 0, 0, 0, *sample[15:]]
    assert share(five) == 15  # only what follows, exactly; the five are too many
    assert share(sample[:20], 20) == 20
    assert share(sample[:20], 21) == 0
    assert share(np.array(sample, dtype=np.uint16)) == 30


def test_matches_do_not_cross_documents_or_samples():
    test = TokenContamination([list(range(8)), list(range(8, 16))])
    test.add(list(range(16)))
    assert test.result().shares.tolist() == [0, 0]
    test = TokenContamination([list(range(16)), []])
    test.add(range(8))
    test.add(range(8, 16))
    assert test.result().shares.tolist() == [0, 0]
    test.add(range(16))
    assert test.result().shares.tolist() == [1, 0]
    assert TokenContamination([]).result().shares.shape == (0,)


def test_subsets_at_their_limits():
    subsets = Contamination(np.array([0.0, 0.199, 0.2, 0.799, 0.8, 1.0])).subsets
    assert {name: np.flatnonzero(members).tolist() for name, members in subsets.items()} == {
        "clean": [0, 1],
        "not clean": [2, 3, 4, 5],
        "not dirty": [0, 1, 2, 3],
        "dirty": [4, 5],
    }


def test_z_scores():
    shares = np.array([0.0] * 50 + [1.0] * 50)
    scores = [0.0] * 50 + [1.0] * 50
    found = Contamination(shares).z_scores(scores)
    expected = 0.5 / (0.5 / np.sqrt(50))
    assert found == pytest.approx(
        {"clean": -expected, "not clean": expected, "not dirty": -expected, "dirty": expected}
    )
    assert np.isnan(Contamination(np.zeros(3)).z_scores([0, 1, 1])["dirty"])
    with pytest.raises(ValueError, match="one score for each of the 3"):
        Contamination(np.zeros(3)).z_scores([1])


def test_wrong_arguments():
    with pytest.raises(ValueError, match="got -1 and 10"):
        TokenContamination([], budget=-1)
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        TokenContamination([]).add(np.zeros((2, 2), dtype=int))
