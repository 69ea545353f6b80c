"""Chapters 09 to 14: wrong functions that only a border, a size or a rare content shows."""

import math
import re

import numpy as np
import pytest
from numba import njit

from minillama.inference.sampling import softmax
from minillama.learn.chapters.catalogue import get_exercise
from minillama.learn.diagnosis.check import check_function
from minillama.learn.diagnosis.layouts import first_difference


def naive_softmax(x):
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def lens_of_probabilities(states, final_norm, output, targets, eps):
    wide = states.astype(np.float64)
    normed = wide / np.sqrt(np.mean(wide**2, axis=-1, keepdims=True) + eps) * final_norm
    return np.log(naive_softmax(normed @ output.T))[:, np.arange(len(targets)), targets]


def within_but_not_at(ours, theirs, tolerance):
    errors = np.array([np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs)])
    bad = np.flatnonzero(~(errors < tolerance))
    return errors, int(bad[0]) if len(bad) else -1


def visible(k, positions):
    return np.arange(k.shape[2]) <= positions[:, :, None]


def window_in_wide_numbers(q, k, v, positions, window):
    """In float64 an exponential of 80 is still there, and one of 760 is not."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = (q @ k.swapaxes(2, 3) / np.sqrt(q.shape[3])).astype(np.float64)
    mask = visible(k, positions) & (positions[:, :, None] - np.arange(k.shape[2]) < window)
    return (naive_softmax(np.where(mask[:, None], scores, -np.inf)) @ v).astype(q.dtype)


def decode_in_wide_numbers(q, k_new, v_new, k_cache, v_cache, lengths):
    y = np.empty_like(q)
    group = q.shape[1] // k_cache.shape[1]
    for b, n in enumerate(lengths):
        k_cache[b, :, n], v_cache[b, :, n] = k_new[b], v_new[b]
        k, v = (np.repeat(cache[b, :, : n + 1], group, axis=0) for cache in (k_cache, v_cache))
        scores = np.einsum("hd,hsd->hs", q[b].astype(np.float64), k) / np.sqrt(q.shape[2])
        y[b] = np.einsum("hs,hsd->hd", naive_softmax(scores), v)
    return y


def mask_of_bytes(positions, n_keys):
    return np.arange(n_keys) <= np.minimum(positions, 511)[:, :, None]


def crossing_at_the_border(logits, p):
    if p >= 1:
        return logits.copy()
    order = np.argsort(-logits, kind="stable")
    probabilities = softmax(logits[order])
    keep = np.cumsum(probabilities) - probabilities < p
    keep[0] = True
    out = np.full_like(logits, -np.inf)
    out[order[keep]] = logits[order[keep]]
    return out


def nearly_equal_kept(logits, k):
    if k == 0 or k >= len(logits):
        return logits
    least = np.sort(logits)[-k]
    return np.where((logits > least) | np.isclose(logits, least), logits, -np.inf)


def least_first(logits, temperature):
    if temperature == 0:
        return (np.arange(len(logits)) == np.argmax(logits)).astype(np.float64)
    e = np.exp((logits.astype(np.float64) - logits.min()) / temperature)
    return e / e.sum()


def ratio_of_exponentials(logits, min_p):
    e = np.exp(logits.astype(np.float64))
    return np.where(e / e.sum() >= min_p * (e / e.sum()).max(), logits, -np.inf)


def beyond_the_last(probabilities, rng):
    return int(np.searchsorted(np.cumsum(probabilities), rng.random(), side="right"))


def both_drawn(counts, probabilities):
    possible = probabilities > 0
    if counts[~possible].all() and (~possible).any():
        return np.inf
    expected = counts.sum() * probabilities[possible]
    return np.sum((counts[possible] - expected) ** 2 / expected)


def less_than_the_tolerance(w, sizes, bits, tolerance):
    rates, errors, _ = get_exercise("choose_group_size").function(w, sizes, bits, tolerance)
    return rates, errors, max((s for s, error in zip(sizes, errors) if error < tolerance), default=0)


def cut_before_stripped(text):
    marks = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
    return get_exercise("c4_clean_lines").function("\n".join(marks.sub("", line) for line in text.splitlines()))


def shorter_windows(document, samples, n):
    def windows(text):
        words = re.sub(r"[^\w\s]|_", " ", text.lower()).split()
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 2)}

    return [bool(windows(sample) & windows(document)) for sample in samples]


def without_the_summand(gradients, max_norm):
    norm = get_exercise("gradient_global_norm").function(gradients)
    return [g * np.float32(min(1.0, max_norm / norm if norm else 1.0)) for g in gradients]


def norm_of_at_least(gradients):
    return max(1e-8, get_exercise("gradient_global_norm").function(gradients))


def longer_than_its_warm_up(step, peak, warmup_steps, total_steps, final_fraction):
    if step < warmup_steps:
        return peak * step / warmup_steps
    end = final_fraction * peak
    passed = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
    return end + (peak - end) / 2 * (1 + math.cos(math.pi * passed))


def address(pattern):
    return lambda text: re.sub(pattern, "|||EMAIL_ADDRESS|||", text)


def lines_of_spaces_left_out(text):
    return get_exercise("duplicate_line_shares").function("\n".join(line for line in text.split("\n") if line.strip()))


def digits_of_whole_words(first, second, n):
    """Only numbers that stand alone become 0: mp3 is not mp4."""
    texts = [re.sub(r"(?<=[A-Za-z])\d", lambda digit: "abcdefghij"[int(digit[0])], text) for text in (first, second)]
    return get_exercise("jaccard_of_texts").function(*texts, n)


def shingles_without_spaces(first, second, n):
    def shingles(text):
        words = re.sub(r"[^\w\s]|_", " ", re.sub(r"\d+", "0", text.lower())).split()
        return {"".join(words[i : i + n]) for i in range(len(words) - n + 1)}

    a, b = shingles(first), shingles(second)
    return len(a & b) / len(a | b)


def the_same_objects(cached, wanted):
    keep = 0
    while keep < min(len(cached), len(wanted) - 1) and cached[keep] is wanted[keep]:
        keep += 1
    return keep, wanted[keep:]


def tiny_is_zero(x):
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    scaled = x / np.where(d < 1e-6, np.float32(1), d)
    return d[:, 0].astype(np.float16), np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)


def numbers_of_16_bits(data):
    header = get_exercise("llama2c_header").function(data)
    size = (header["vocab_size"] + 32768) % 65536 - 32768
    return {**header, "vocab_size": abs(size)}


def never_to_zero(step, peak, warmup_steps, total_steps, final_fraction):
    return get_exercise("warmup_cosine").function(step, peak, warmup_steps, total_steps, final_fraction or 0.1)


@pytest.mark.parametrize(
    ("id", "function"),
    [
        ("redact_emails", address(r"[A-Za-z0-9._+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}")),
        ("redact_emails", address(r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}")),
        ("redact_emails", address(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")),
        ("redact_emails", address(r"[A-z0-9._+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}")),
        ("duplicate_line_shares", lines_of_spaces_left_out),
        ("jaccard_of_texts", digits_of_whole_words),
        ("jaccard_of_texts", shingles_without_spaces),
        ("plan_rewind", the_same_objects),
        ("q8_0_quantize_blocks", tiny_is_zero),
        ("llama2c_header", numbers_of_16_bits),
        ("decayed_parameters", lambda shapes: [name for name, shape in shapes.items() if len(shape) in (2, 3)]),
        ("warmup_cosine", never_to_zero),
        ("logit_lens", lens_of_probabilities),
        ("layer_errors", within_but_not_at),
        ("sliding_window_attention", window_in_wide_numbers),
        ("attention_decode_step", decode_in_wide_numbers),
        ("chunk_mask", mask_of_bytes),
        ("top_p_filter", crossing_at_the_border),
        ("top_k_filter", nearly_equal_kept),
        ("temperature_probabilities", least_first),
        ("min_p_filter", ratio_of_exponentials),
        ("draw_token", beyond_the_last),
        ("chi_squared", both_drawn),
        ("choose_group_size", less_than_the_tolerance),
        ("c4_clean_lines", cut_before_stripped),
        ("samples_with_overlap", shorter_windows),
        ("clip_by_global_norm", without_the_summand),
        ("gradient_global_norm", norm_of_at_least),
        ("warmup_cosine", longer_than_its_warm_up),
    ],
)
def test_it_is_refused(id, function):
    report = check_function(get_exercise(id), function)
    assert not report.passed
    assert report.headline
    assert "nan" not in report.headline[0]


def drawn_from_a_line(probabilities, rng):
    u = rng.random()
    for token, p in enumerate(probabilities):
        u -= p
        if u < 0:
            return token
    return int(np.flatnonzero(probabilities)[-1])


def drawn_by_numpy(probabilities, rng):
    return int(rng.choice(len(probabilities), p=probabilities))


def drawn_by_noise(probabilities, rng):
    with np.errstate(divide="ignore"):
        return int(np.argmax(np.log(probabilities) - np.log(-np.log(rng.random(len(probabilities))))))


def clamped(probabilities, rng):
    return min(beyond_the_last(probabilities, rng), len(probabilities) - 1)


def errors_in_float64(ours, theirs, tolerance):
    errors = [np.abs(a.astype(float) - b).max() / np.abs(b.astype(float)).max() for a, b in zip(ours, theirs)]
    return np.array(errors), next((i for i, error in enumerate(errors) if not error <= tolerance), -1)


def groups_in_float64(w, sizes, bits, tolerance):
    return get_exercise("choose_group_size").reference(w.astype(np.float64), sizes, bits, tolerance)


def kept_by_a_loop(logits, p):
    p = 2.0 if p >= 1 else p
    probabilities, out, mass = softmax(logits.astype(np.float64)), np.full_like(logits, -np.inf), 0.0
    for i in sorted(range(len(logits)), key=lambda i: -logits[i]):
        if mass > p:
            break
        out[i], mass = logits[i], mass + probabilities[i]
    return out


@pytest.mark.parametrize(
    ("id", "function"),
    [
        ("draw_token", drawn_from_a_line),
        ("draw_token", drawn_by_numpy),
        ("draw_token", drawn_by_noise),
        ("draw_token", clamped),
        ("layer_errors", errors_in_float64),
        ("choose_group_size", groups_in_float64),
        ("top_p_filter", kept_by_a_loop),
    ],
)
def test_right_ones_in_other_styles_pass(id, function):
    report = check_function(get_exercise(id), function)
    assert report.passed, report.text()


def test_what_is_no_number_on_the_way_is_remarked():
    def unguarded(x):
        d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
        scaled = x / d
        return d[:, 0].astype(np.float16), np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)

    exercise = get_exercise("q8_0_quantize_blocks")
    report = check_function(exercise, unguarded)
    if report.passed:  # what NaN is as an integer is the processor's affair
        assert any("0/0" in remark for remark in report.remarks)
    assert check_function(exercise, exercise.function).remarks == []


@njit
def kernel(x):
    return x


def test_kernels_are_not_compiled_for_every_layout():
    exercise = get_exercise("rmsnorm_forward")

    def through_a_kernel(x, weight, eps):
        return exercise.function(kernel(x), weight, eps)

    assert first_difference(exercise, through_a_kernel, exercise.shapes) is None
    assert not kernel.signatures
