"""Mistakes that only certain contents show: the cases have them."""

import re
from itertools import pairwise

import numpy as np
import pytest

from minillama.learn.chapters.catalogue import get_exercise
from minillama.learn.diagnosis.check import check_function


def one_count_a_word(words, counts):
    return get_exercise("count_bpe_pairs").reference(*zip(*dict(zip(map(tuple, words), counts)).items()))


def rules_of_different_words(words, counts, n_merges):
    different = dict(zip(words, counts))
    return get_exercise("train_bpe").reference(list(different), list(different.values()), n_merges)


def zero_is_no_score(text, scores):
    symbols = list((" " + text).replace(" ", "▁"))
    while fits := [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(symbols)) if scores.get(a + b)]:
        i = min(fits)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    return [p for s in symbols for p in ([s] if s in scores else [f"<0x{byte:02X}>" for byte in s.encode()])]


def stripped(text, scores):
    return get_exercise("sentencepiece_encode").reference(text.lstrip(), scores)


def zero_is_no_id(symbols, ids):
    return [id_ for s in symbols for id_ in ([ids[s]] if ids.get(s) else [3 + byte for byte in s.encode()])]


def without_line_ends(text):
    return re.findall(r"\d|[^\d\n]+", text)


def groups_of_zeros_divided(w, sizes, bits, tolerance):
    errors = []
    for size in sizes:
        groups = w.astype(np.float64).reshape(-1, size)
        d = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
        difference = d * np.rint(groups / d) - groups
        errors.append(np.sqrt(np.mean(difference**2) / np.mean(groups**2)))
    good = [size for size, error in zip(sizes, errors) if error <= tolerance]
    return np.array([bits + 16 / size for size in sizes]), np.array(errors), max(good, default=0)


def short_samples_too(document, samples, n):
    exercise = get_exercise("samples_with_overlap")
    return [exercise.reference(document, [sample], min(n, len(sample.split())))[0] for sample in samples]


def counting_on(id):
    """The first position of each sequence, and from there on by one."""

    def function(*args):
        *rest, positions = args
        return get_exercise(id).reference(*rest, positions[..., :1] + np.arange(positions.shape[-1]))

    return function


def mask_counting_on(positions, n_keys):
    return get_exercise("causal_mask").reference(positions[..., :1] + np.arange(positions.shape[-1]), n_keys)


def flattened(probabilities, rng):
    flat = probabilities**0.8
    return int(rng.choice(len(flat), p=flat / flat.sum()))


def rounded(logits, temperature):
    return get_exercise("temperature_probabilities").reference(logits, temperature) * (1 + 5e-4)


def equals_left_out(logits, min_p):
    ratio = np.exp(logits - logits.max())
    return np.where((ratio > min_p) | (ratio == 1) & (np.arange(len(logits)) == logits.argmax()), logits, -np.inf)


def heads_as_wide_as_the_model(x, layer, cos, sin, n_heads, n_kv_heads, eps):
    n = x.shape[-1] // n_heads * n_heads
    return get_exercise("transformer_block").reference(
        x, layer._replace(wq=layer.wq[:n], wo=layer.wo[:, :n]), cos, sin, n_heads, n_kv_heads, eps
    )


def first_512(x, cos, sin, positions):
    return get_exercise("rope_interleaved").reference(x, cos, sin, np.minimum(positions, 511))


@pytest.mark.parametrize(
    ("id", "function"),
    [
        ("count_bpe_pairs", one_count_a_word),
        ("train_bpe", rules_of_different_words),
        ("sentencepiece_encode", zero_is_no_score),
        ("sentencepiece_encode", stripped),
        ("byte_fallback_ids", zero_is_no_id),
        ("split_digits", without_line_ends),
        ("choose_group_size", groups_of_zeros_divided),
        ("samples_with_overlap", short_samples_too),
        ("rope_interleaved", counting_on("rope_interleaved")),
        ("rope_backward", counting_on("rope_backward")),
        ("attend_one_head", counting_on("attend_one_head")),
        ("attend_many_heads", counting_on("attend_many_heads")),
        ("grouped_attention", counting_on("grouped_attention")),
        ("attention_backward", counting_on("attention_backward")),
        ("causal_mask", mask_counting_on),
        ("draw_token", flattened),
        ("min_p_filter", equals_left_out),
        ("rope_interleaved", first_512),
        ("temperature_probabilities", rounded),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_it_is_refused(id, function):
    report = check_function(get_exercise(id), function)
    assert report.status == "wrong", report.text()


def test_heads_may_be_wider_than_the_model():
    exercise = get_exercise("transformer_block")
    assert not check_function(exercise, heads_as_wide_as_the_model).passed
    assert check_function(exercise, exercise.function).passed


def test_a_token_is_an_integer():
    exercise = get_exercise("draw_token")
    assert "an integer, returned" in check_function(exercise, lambda p, rng: float(exercise.function(p, rng))).text()


def test_a_shape_has_integers():
    exercise = get_exercise("activation_shapes")

    def halved(*args):
        shapes = exercise.function(*args)
        return {**shapes, "gate": tuple(n / 1 for n in shapes["gate"])}

    assert check_function(exercise, halved).status == "wrong"
    assert check_function(exercise, lambda *a: {n: np.array(s) for n, s in exercise.function(*a).items()}).passed
