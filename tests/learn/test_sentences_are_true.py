"""Sentences that were false of some function once: each function here is one of those."""

import re
from itertools import pairwise

import numpy as np
import pytest

from minillama.learn.chapters.catalogue import get_exercise
from minillama.learn.diagnosis.check import check_function
from minillama.learn.diagnosis.geometry import describe


def text_of(id, function):
    return " ".join(check_function(get_exercise(id), function).text().split())


def one_decision_for_all(flops, n_bytes, peak_flops, bandwidth):
    if flops.sum() / n_bytes.sum() > peak_flops / bandwidth:
        return flops / peak_flops
    return n_bytes / bandwidth


def exchanged_and_smaller(flops, n_bytes, peak_flops, bandwidth):
    return np.minimum(flops / bandwidth, n_bytes / peak_flops)


@pytest.mark.parametrize("function", [one_decision_for_all, exchanged_and_smaller])
def test_what_only_large_changes_show_is_not_called_independent(function):
    assert "not depend" not in text_of("roofline_seconds", function)


def test_what_never_matters_is_called_independent():
    said = text_of("roofline_seconds", lambda flops, n_bytes, peak_flops, bandwidth: n_bytes / bandwidth)
    assert "looks at" in said or "not depend on" in said


def test_a_name_without_its_nan_is_only_a_likeness():
    def larger(x, weight, eps):
        square = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(np.maximum(square, np.float32(eps))) * weight

    said = text_of("rmsnorm_forward", larger)
    assert "looks like" in said
    assert "0/0 = NaN" not in said


def test_shapes_count_where_there_is_one_number():
    def kept(logits):
        m = logits.max(axis=-1, keepdims=True)
        return m + np.log(np.exp(logits - m).sum(axis=-1, keepdims=True))

    said = text_of("log_sum_exp", kept)
    assert "should have shape (1, 1), has (1, 1, 1)" in said
    assert "Right in every case" not in said


def test_a_zero_among_ids_was_written():
    def small_hexadecimal(symbols, ids):
        bytes_of = {s: [ids.get(f"<0x{byte:02x}>", 0) for byte in s.encode()] for s in symbols}
        return [id_ for s in symbols for id_ in ([ids[s]] if s in ids else bytes_of[s])]

    assert "never written" not in text_of("byte_fallback_ids", small_hexadecimal)
    zeros = describe(np.arange(1, 5), np.zeros(4, np.int64), np.ones(4, bool), (), {}, {})
    assert zeros[0].text == "Every wrong element is 0: one value for all."


@pytest.mark.parametrize(
    ("collapsed", "words"),
    [
        (lambda text: " ".join(text.split()), "with one space between the words of text, and none around it."),
        (lambda text: re.sub(" +", " ", text), "with one space for several in text."),
    ],
)
def test_spaces_at_the_ends_are_told_from_those_between(collapsed, words):
    exercise = get_exercise("sentencepiece_encode")
    assert words in text_of(exercise.id, lambda text, scores: exercise.function(collapsed(text), scores))


def test_sizes_that_no_argument_has_are_not_spoken_of():
    def to_the_nearest(config, n_parameters, bits_per_weight, memory_bytes):
        each = 4 * config["n_layers"] * config["n_kv_heads"] * config["head_dim"]
        n = round((memory_bytes - n_parameters * bits_per_weight / 8) / each)
        return min(max(n, 0), config["max_seq_len"])

    assert "with tokens" not in text_of("context_that_fits", to_the_nearest)


def test_the_first_difference_is_not_all_that_follow():
    said = text_of("c_strides", lambda shape, itemsize: [*(n * itemsize for n in shape[1:]), itemsize])
    assert "differs first at element 0" in said


def test_numbers_never_written_are_among_the_causes_of_nan():
    e, g = np.ones((2, 3)), np.full((2, 3), np.nan)
    assert "never written" in describe(e, g, np.ones((2, 3), bool), (), {}, {})[0].text


def test_a_row_that_is_wrong_by_a_rounding_is_not_called_right():
    e = np.array([[1.275, 0.613], [1.825, 0.3357], [-1.071, -0.1637]])
    g = e.copy()
    g[0, 1] = 0.6125
    g[2] *= 1.746
    said = [s.text for s in describe(e, g, e != g, ("row", "dim"), {}, {})]
    assert said[0].startswith("yours / expected depends on row alone, but for small differences: 1")
    g[0, 1] = e[0, 1]
    said = [s.text for s in describe(e, g, e != g, ("row", "dim"), {}, {})]
    assert said[0].startswith("yours / expected depends on row alone: 1")


def test_entries_are_named_with_their_case():
    def no_overlap(words, counts):
        found = {}
        for word, count in zip(words, counts):
            last = None
            for pair in pairwise(word):
                if pair == last and pair[0] == pair[1]:
                    last = None
                    continue
                found[pair], last = found.get(pair, 0) + count, pair
        return found

    assert "On words=1 length=3: Only the entry ('a', 'a') differs" in text_of("count_bpe_pairs", no_overlap)
