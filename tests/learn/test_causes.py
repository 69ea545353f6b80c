"""What is said of a mistake that nobody has listed: every sentence is true of the function, and points at the cause."""

import dataclasses

import numpy as np
import pytest

from minillama.learn.chapters.catalogue import get_exercise
from minillama.learn.diagnosis.budget import TooSlow, limited
from minillama.learn.diagnosis.check import check_function


def said_of(id, function):
    """The headline for a function, with an empty list of known mistakes."""
    exercise = dataclasses.replace(get_exercise(id), mistakes=[])
    report = check_function(exercise, function)
    assert report.status == "wrong", report.text()
    assert len(report.lines()) <= 24
    return " ".join(" ".join(report.headline).split())


def rmsnorm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def attention(q, k, v, hidden):
    scores = np.where(hidden, -np.inf, q @ k.T / np.sqrt(q.shape[-1]))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


def bare_attention(q, k, v, positions):
    return attention(q, k, v, np.zeros((len(q), len(k)), bool))


def over_queries(q, k, v, positions):
    scores = np.where(np.arange(len(k)) > positions[:, None], -1e30, q @ k.T / np.sqrt(q.shape[-1]))
    weights = np.exp(scores - scores.max(axis=0))
    return weights / weights.sum(axis=0) @ v


def bent_silu(g):
    return np.where(g < 0, 0.3 * np.sin(g), g / (1 + np.exp(-np.abs(g)))).astype(g.dtype)


def one_norm(config):
    return get_exercise("count_parameters")(config) - config["dim"] * config["n_layers"]


def half_in_place(x, cos, sin, positions):
    half = x.shape[-1] // 2
    c, s = cos[positions][:, None], sin[positions][:, None]
    first, second = x[..., :half], x[..., half:]
    first[:] = first * c - second * s
    second[:] = first * s + second * c
    return x


def endless():
    with limited(0.05):
        while True:
            pass


@pytest.mark.parametrize(
    ("id", "function", "words"),
    [
        ("rmsnorm_forward", lambda x, w, eps: rmsnorm(x, w, 0), "would be right with eps = 0"),
        ("rmsnorm_forward", lambda x, w, eps: rmsnorm(x, w + 1, eps), "would be right with weight + 1"),
        (
            "attend_one_head",
            lambda q, k, v, p: attention(q * np.sqrt(q.shape[-1]), k, v, np.arange(len(k)) > p[:, None]),
            "would be right with q times sqrt(head_dim)",
        ),
        ("attend_one_head", bare_attention, "does not depend on positions"),
        ("attend_one_head", over_queries, "Along position, your result depends on q at other places"),
        ("perplexity", lambda logprobs, counted: 1 + logprobs.sum() ** 2, "does not depend on counted"),
        ("rope_half", half_in_place, "changes its argument x"),
        ("silu_stable", bent_silu, "Wrong exactly where g is negative"),
        ("count_parameters", one_norm, "-dim · n_layers"),
        ("causal_mask", lambda p, n: np.arange(n) <= (p - np.arange(len(p)))[:, None], "Right in every case with"),
        ("split_digits", lambda text: [text] if text else [], "Joined, your parts are the right text"),
        ("ipv4_public", lambda text: False, "says False and True is right; never the other way round"),
    ],
)
def test_what_is_said(id, function, words):
    assert words in said_of(id, function)


def test_a_function_that_looks_at_an_argument_is_not_said_to_ignore_it():
    """A threshold may be crossed by few of its values."""

    def zeros_when_too_long(grads, max_norm):
        norm = np.sqrt(sum(np.sum(g * g) for g in grads))
        return [g * (norm <= max_norm) for g in grads], norm

    assert "does not depend on max_norm" not in said_of("clip_by_global_norm", zeros_when_too_long)


def test_other_arguments_may_not_end():
    with pytest.raises(TooSlow):
        endless()


def test_a_result_of_any_kind_is_no_crash():
    for result in (object(), [object()], {"a": object()}, np.array([object()]), {1, 2}, np.float64("nan"), b"", ()):
        for id in ("rmsnorm_forward", "ipv4_public", "merge_pair", "linear_backward"):
            assert not check_function(get_exercise(id), lambda *args, result=result: result).passed
