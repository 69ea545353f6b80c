"""Scores beside lm-evaluation-harness's functions, and by hand where ours differ on purpose."""

import importlib.util
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillama.evaluation.common.requests import Likelihood
from minillama.evaluation.scoring import aggregation, choices, filters, normalisation
from minillama.evaluation.statistics import errors
from minillama.evaluation.tasks import gsm8k, nq_open, wikitext

HAS_HARNESS = importlib.util.find_spec("lm_eval") is not None
beside_harness = pytest.mark.skipif(not HAS_HARNESS, reason="lm-evaluation-harness is not installed")

# Few characters, and those that the rules treat in some way; no final NUL, which NumPy's arrays of text drop.
WORDS = st.lists(
    st.sampled_from(
        ["the ", "The ", "a ", "A ", "an ", "An ", "athe ", "Ω", "É", "x", "7", "$", ",", ".", "-", "!", "_"]
    )
    | st.sampled_from([" ", "\n", "\t", "#### ", "The answer is ", "\xa0", "ß", "12", "…", "'s", '"', "(", ")"]),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def harness():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lm_eval.api.metrics
        import lm_eval.filters.extraction

    return lm_eval


@beside_harness
@settings(max_examples=300, deadline=None)
@given(WORDS, st.lists(WORDS, min_size=1, max_size=3), st.booleans())
def test_exact_match(harness, text, accepted, of_nq):
    if of_nq:
        ours = nq_open._match(text, accepted)
        rules = {"regexes_to_ignore": [nq_open.ARTICLES], "ignore_punctuation": True}
    else:
        ours = gsm8k._match(text, accepted)
        rules = {"regexes_to_ignore": [",", r"\$", "(?s).*#### ", r"\.$"], "ignore_punctuation": False}
    theirs = harness.api.metrics.exact_match_hf_evaluate(
        predictions=[text] * len(accepted), references=accepted, ignore_case=True, **rules
    )
    assert ours == float(theirs["exact_match"] > 0)


@beside_harness
@settings(max_examples=300, deadline=None)
@given(WORDS)
def test_patterns(harness, text):
    for cut, pattern, which in (
        (gsm8k.LAST_NUMBER, r"(-?[$0-9.,]{2,})|(-?[0-9]+)", -1),
        (filters.found(r"#### (\-?[0-9\.\,]+)"), r"#### (\-?[0-9\.\,]+)", 0),
        (filters.found(r"(x?)|(y?)"), r"(x?)|(y?)", 0),
    ):
        theirs = harness.filters.extraction.RegexFilter(pattern, which).apply([[text]], [{}])
        assert [[cut(text)]] == theirs


PIECES = [" @-@ ", " @,@ ", " @.@ ", " : ", " ; ", " . ", " ! ", " ? ", " , ", "= = = =", "= =", " N ", " ° "]
PIECES += ["( ", ")", "[ ", " ]", "{ ", "}", '"', "'", "s '", " 's", " \n", "\n ", "x", "99", "<unk>"]


@beside_harness
@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_detokeniser(harness, page):
    from lm_eval.tasks.wikitext.preprocess_wikitext import process_results, wikitext_detokenizer

    assert wikitext.detokenised(page) == wikitext_detokenizer({"page": page})
    words = process_results({"page": page}, [-1.0])["word_perplexity"][1]
    answer = wikitext.WIKITEXT.score({"page": page}, [Likelihood(-1.0, False, 1)])["word_perplexity,none"]
    assert answer == (-1.0, words)


@beside_harness
def test_aggregates(harness, rng):
    theirs = harness.api.metrics
    values = rng.random(17).tolist()
    documents = [
        (-float(logprob), int(n)) for logprob, n in zip(rng.random(9) * 100, rng.integers(1, 99, 9), strict=True)
    ]
    assert aggregation.mean(values) == theirs.mean(values)
    assert errors.standard_error(values) == pytest.approx(theirs.mean_stderr(values), rel=1e-14)
    assert aggregation.weighted_perplexity(documents) == pytest.approx(theirs.weighted_perplexity(documents), rel=1e-14)
    assert aggregation.bits_per_byte(documents) == pytest.approx(theirs.bits_per_byte(documents), rel=1e-14)
    stderrs, sizes = rng.random(5).tolist(), [3, 40, 5, 100, 2]
    assert errors.pooled(stderrs, sizes) == pytest.approx(theirs.pooled_sample_stderr(stderrs, sizes))
    assert errors.of_equal_weights(stderrs) == pytest.approx(theirs.unweighted_mean_stderr(stderrs))


def test_pooled_error_is_that_of_all_items_together(rng):
    """Where tasks are equally hard, so that nothing of the spread lies between them."""
    tasks = [rng.permutation([0.0] * (n // 2) + [1.0] * (n // 2)).tolist() for n in (20, 200, 60)]
    together = errors.standard_error([value for task in tasks for value in task])
    pooled = errors.pooled([errors.standard_error(task) for task in tasks], [20, 200, 60])
    assert pooled == pytest.approx(together, rel=0.02)


def test_aggregates_of_too_little():
    assert math.isnan(aggregation.mean([]))
    assert math.isnan(errors.standard_error([1.0]))
    assert math.isnan(aggregation.weighted_perplexity([]))
    assert math.isnan(aggregation.bits_per_byte([]))
    assert math.isnan(errors.pooled([0.1, 0.2], [1, 1]))
    assert math.isnan(errors.of_equal_weights([]))


def test_choice_by_sum_characters_bytes_and_prior():
    texts, logprobs = ["no", "perhaps", "öäüöäü"], [-4.0, -7.0, -6.6]
    assert choices.chosen("acc", texts, logprobs) == 0
    assert choices.chosen("acc_norm", texts, logprobs) == 1  # -2, -1, -1.1 a character
    assert choices.chosen("acc_bytes", texts, logprobs) == 2  # -2, -1, -0.55 a byte
    assert choices.chosen("acc_mutual_info", texts, logprobs, [-1.0, -9.0, -6.0]) == 1
    found = choices.correctness(("acc", "acc_bytes"), texts, 2, logprobs)
    assert found == {"acc": 0.0, "acc_bytes": 1.0}


def test_the_first_of_equal_choices_wins():
    assert choices.chosen("acc", ["a", "b"], [-1.0, -1.0]) == 0
    assert choices.chosen("acc_norm", ["aa", "b"], [-2.0, -1.0]) == 0


def test_an_empty_choice_is_divided_by_zero_in_silence():
    assert choices.chosen("acc_norm", ["", "b"], [-1.0, -1.0]) == 1


def test_share_of_true_answers_does_not_vanish():
    assert choices.mass_on_true([1, 0], [-2000.0, -2000.0]) == 0.5
    assert choices.mass_on_true([1, 0, 1], np.log([0.1, 0.3, 0.2])) == pytest.approx(0.5)


def test_llama_s_comparison():
    """arXiv:2302.13971, appendix A: lower case, without articles, punctuation and double spaces."""
    assert normalisation.same_answer("The  Beatles!", ["beatles"]) == 1.0
    assert normalisation.same_answer("Dr. Watson", ["dr watson"]) == 1.0
    assert normalisation.same_answer("a theatre", ["atre"]) == 0.0
    assert normalisation.exact_match("The Beatles", ["beatles"], ignore_punctuation=True) == 0.0


def test_first_line():
    assert filters.first_line(" Paris. \nQ: next") == "Paris"
    assert filters.first_line("Washington, D.C.,") == "Washington, D.C."
    assert filters.first_line("") == ""


def test_capital_i_with_a_dot_is_lowered_whole():
    """The harness's arrays of fixed width cut the longer lower-case form, so that it misses this one."""
    assert normalisation.exact_match("İstanbul", ["Constantinople", "İSTANBUL"]) == 1.0
