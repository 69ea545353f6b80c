"""More than one mistake at once: at least one is named, and none that is not there."""

import math

import numpy as np
import pytest
from two_mistakes import EDITS, edited, pairs

from minillama.learn.chapters.catalogue import get_exercise
from minillama.learn.diagnosis.check import check_function


def named_or_likely(report):
    """The mistake that is named; else the one that the function has, or another that does the same in some cases."""
    return report.mistake or " ".join(dict(report.facts).get("looks like", "").split())


def said(report):
    return " ".join(" ".join(report.headline).split())


# --- what beginners wrote, and the check did not name --------------------------------------------


def prompt_and_end(table, prompt, max_tokens, end_id):
    ids = list(prompt)
    for _ in range(max_tokens):
        ids.append(int(np.argmax(table[ids[-1]])))
        if ids[-1] == end_id:
            break
    return ids


def square_attention_and_head(config):
    c = config
    layer = 4 * c["dim"] ** 2 + 3 * c["dim"] * c["hidden_dim"] + 2 * c["dim"]
    return c["n_layers"] * layer + 2 * c["vocab_size"] * c["dim"] + c["dim"]


def length_and_no_eps(x, weight, eps):
    return x / np.linalg.norm(x, axis=-1, keepdims=True) * weight


def no_scale_and_product_mask(q, k, v, positions):
    scores = q @ k.T
    scores = scores * (np.arange(len(k)) <= positions[:, None])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


def crossing_dropped_and_reversed(logits, p):
    order = np.argsort(logits)[::-1]
    probabilities = np.exp(logits[order] - logits.max())
    keep = np.cumsum(probabilities / probabilities.sum()) <= p
    out = np.full_like(logits, -np.inf)
    out[order[keep]] = logits[order[keep]]
    return out


def divided_each_time(logits, ids, penalty):
    out = logits.copy()
    for i in ids:
        out[i] /= penalty
    return out


def from_start_and_not_clamped(step, peak, warmup_steps, total_steps, final_fraction):
    if step < warmup_steps:
        return peak * step / warmup_steps
    end = final_fraction * peak
    return end + (peak - end) / 2 * (1 + math.cos(math.pi * step / total_steps))


HANDED = {
    "continue_greedily": (prompt_and_end, ("returns the prompt too", "keeps the end token")),
    "count_parameters": (square_attention_and_head, ("output head even where", "dim / n_heads wide", "every query")),
    "rmsnorm_forward": (length_and_no_eps, ("root of the sum of squares", "leaves out eps")),
    "attend_one_head": (no_scale_and_product_mask, ("not divided by sqrt(head_dim)", "sets hidden scores to 0")),
    "top_p_filter": (crossing_dropped_and_reversed, ("drops the token that crosses p", "higher id among equal")),
    "penalize_repeated_tokens": (divided_each_time, ("divides negative logits too", "once for every time")),
    "warmup_cosine": (from_start_and_not_clamped, ("counts from the beginning", "rises again behind")),
}


@pytest.mark.parametrize("id", HANDED)
def test_one_of_two_mistakes_is_named(id):
    function, names = HANDED[id]
    report = check_function(get_exercise(id), function)
    assert any(name in named_or_likely(report) for name in names), report.text()


def test_a_mean_over_everything_is_the_one_over_all_positions():
    """Where the batch is one sequence; the known mistake keeps the sequences apart."""
    report = check_function(
        get_exercise("rmsnorm_forward"), lambda x, weight, eps: x / np.sqrt(np.mean(x * x) + eps) * weight
    )
    assert report.mistake == "Your function takes one mean over all positions."
    assert "On B=1" in said(report)
    assert "something else" in said(report)


def test_square_attention_alone():
    """4 dim^2 is two known mistakes at once: the heads' width, and a key head for each query head."""

    def square(config):
        c = config
        layer = 4 * c["dim"] ** 2 + 3 * c["dim"] * c["hidden_dim"] + 2 * c["dim"]
        return c["n_layers"] * layer + (2 - c["tied"]) * c["vocab_size"] * c["dim"] + c["dim"]

    report = check_function(get_exercise("count_parameters"), square)
    likely = named_or_likely(report)
    assert "dim / n_heads wide" in likely or "for every query head" in likely, report.text()


@pytest.mark.parametrize("sort", [lambda x: np.argsort(-x), lambda x: np.argsort(x)[::-1]], ids=["by -x", "reversed"])
def test_right_but_for_ties(sort):
    """What a sort makes of equals is the result of no fixed function: the property is tested."""

    def top_p(logits, p):
        if p >= 1:
            return logits.copy()
        order = sort(logits)
        probabilities = np.exp(logits[order] - logits.max())
        probabilities /= probabilities.sum()
        keep = np.cumsum(probabilities) - probabilities <= p
        out = np.full_like(logits, -np.inf)
        out[order[keep]] = logits[order[keep]]
        return out

    report = check_function(get_exercise("top_p_filter"), top_p)
    assert "right but for ties" in said(report), report.text()
    assert "equal logits" in said(report)


def test_a_list_that_grows_is_noticed():
    def growing(table, prompt, max_tokens, end_id):
        begin = len(prompt)
        for _ in range(max_tokens):
            prompt.append(int(np.argmax(table[prompt[-1]])))
            if prompt[-1] == end_id:
                return prompt[begin:-1]
        return prompt[begin:]

    assert "changes its argument prompt" in check_function(get_exercise("continue_greedily"), growing).text()


# --- pairs for every chapter --------------------------------------------------------------------

PAIRS = {id: list(pairs(get_exercise(id))) for id in EDITS}


def test_every_chapter_has_three_pairs():
    count = {f"{chapter:02}": 0 for chapter in range(15)}
    for id, found in PAIRS.items():
        count[get_exercise(id).chapter] += len(found)
    assert min(count.values()) >= 3, count


@pytest.mark.parametrize("id", EDITS)
def test_pairs_are_named_truly(id):
    """Each edit alone is a known mistake; both together are named as one of them, or as both, or not at all."""
    exercise, n_named, n_likely = get_exercise(id), 0, 0
    alone = {str(edit): check_function(exercise, edited(exercise, edit)).mistake for edit in EDITS[id]}
    assert all(alone.values()), alone
    for a, b, both in PAIRS[id]:
        report = check_function(exercise, both)
        true = {alone[str(a)], alone[str(b)]}
        named = {mistake.name for mistake in exercise.mistakes if mistake.name in report.headline}
        assert named <= true, report.text()
        assert report.mistake in true | {""}
        likely = "" if report.mistake else named_or_likely(report)
        assert not likely or any(name in likely for name in true), report.text()
        n_named += report.mistake in true
        n_likely += bool(likely)
        assert len(report.lines()) <= 24
    assert n_likely == LIKELY.get(id, 0)
    assert n_named == len(PAIRS[id]) - n_likely - UNNAMED.get(id, 0)


def test_more_than_half_of_the_pairs_are_named():
    n_pairs, n_others = sum(map(len, PAIRS.values())), sum(LIKELY.values()) + sum(UNNAMED.values())
    assert n_pairs - n_others > n_pairs / 2


# Pairs that show one mistake alone in few kinds of cases, where another one might do the same.
LIKELY = {
    "stable_softmax": 1,
    "c_strides": 3,
    "count_bpe_pairs": 2,
    "cross_entropy_backward": 2,
    "rmsnorm_forward": 3,
    "rmsnorm_backward": 1,
    "attend_one_head": 1,
    "grouped_attention": 2,
    "ffn_hidden_dim": 1,
    "residual_stream": 2,
    "attention_decode_step": 2,
    "sliding_window_attention": 1,
    "penalize_repeated_tokens": 4,
    "c4_clean_lines": 1,
    "jaccard_of_texts": 1,
    "warmup_cosine": 3,
    "softmax_backward": 2,
}

# Pairs of which no case shows one alone, and that do not merge either.
UNNAMED = {
    "stable_softmax": 1,
    "rmsnorm_forward": 2,
    "rope_offsets": 1,
    "swiglu_backward": 1,
    "sliding_window_attention": 1,
    "residual_stream": 1,
    "decode_speed_bound": 1,
    "q8_0_quantize_blocks": 1,
    "threshold_costs": 1,
    "jaccard_of_texts": 2,
    "adamw_step": 1,
    "softmax_backward": 1,
}
