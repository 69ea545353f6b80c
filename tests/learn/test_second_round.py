"""What one call with every case does not show: state, arguments that change, results that are reused, float64."""

import numpy as np
import pytest

from minillama.learn.chapters.catalogue import catalogue, get_exercise
from minillama.learn.diagnosis.check import check_function


def test_what_is_kept_by_the_shape_is_found():
    exercise, kept = get_exercise("rope_interleaved"), {}

    def cached(x, *args):
        if x.shape not in kept:
            kept[x.shape] = exercise.reference(x, *args)
        return kept[x.shape].copy()

    report = check_function(exercise, cached)
    assert report.status == "wrong"
    assert "earlier ones of the same sizes" in " ".join(report.headline)


def test_a_result_that_is_written_to_again_is_found():
    exercise, buffers = get_exercise("gather_embeddings"), {}

    def reusing(tokens, weight):
        y = exercise.reference(tokens, weight)
        out = buffers.setdefault((y.shape, y.dtype.str), np.empty_like(y))
        out[:] = y
        return out

    report = check_function(exercise, reusing)
    assert report.status == "wrong"
    assert "has returned before" in " ".join(report.headline)


def prompt_grows(table, prompt, max_tokens, end_id):
    n = len(prompt)
    for _ in range(max_tokens):
        token = int(np.argmax(table[prompt[-1]]))
        if token == end_id:
            break
        prompt.append(token)
    return prompt[n:]


def merged_in_place(symbols, pair):
    i = 0
    while i + 1 < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            symbols[i : i + 2] = [pair[0] + pair[1]]
        i += 1
    return list(symbols)


def updated(described):
    described.update(described.pop("rope_parameters", {}))
    return get_exercise("read_config").reference(described)


def counted_down(words, counts, n_merges):
    rules = get_exercise("train_bpe").reference(words, counts, n_merges)
    words.sort()
    return rules


@pytest.mark.parametrize(
    ("id", "function", "name"),
    [
        ("continue_greedily", prompt_grows, "prompt"),
        ("merge_pair", merged_in_place, "symbols"),
        ("read_config", updated, "described"),
        ("train_bpe", counted_down, "words"),  # observed
    ],
)
def test_lists_and_dicts_stay_as_they_are(id, function, name):
    report = check_function(get_exercise(id), function)
    assert report.status == "wrong", report.text()
    assert f"changes its argument {name}" in report.text()


def test_arrays_of_observed_exercises_stay_as_they_are():
    exercise = get_exercise("top_k_filter")

    def in_place(logits, k):
        logits[:] = exercise.reference(logits, k)
        return logits

    report = check_function(exercise, in_place)
    assert report.status == "wrong"
    assert "changes its argument logits" in report.text()


@pytest.mark.parametrize("id", ["append_with_growth", "attention_decode_step", "overfit"])
def test_what_has_to_be_written_to_may_change(id):
    report = check_function(get_exercise(id), get_exercise(id).function)
    assert report.passed, report.text()


def test_float32_for_float64_is_remarked():
    exercise = get_exercise("rope_interleaved")
    report = check_function(exercise, lambda *args: exercise.reference(*args).astype(np.float32))
    assert report.passed
    assert any("float32 for float64" in remark for remark in report.remarks)
    assert not check_function(exercise, exercise.function).remarks


@pytest.mark.parametrize("exercise", catalogue().values(), ids=lambda e: e.id)
def test_a_second_draw_gives_other_arguments_of_the_same_sizes(exercise):
    """And what is expected of them holds no NaN and no infinity, unless the docstring speaks of it."""
    for dims in exercise.shapes:
        for one in (exercise, exercise.redrawn()):
            expected = one.run(exercise.reference, dims)
            for part in expected if isinstance(expected, tuple) else (expected,):
                if isinstance(part, np.ndarray | float) and np.asarray(part).dtype.kind == "f":
                    assert not np.isnan(part).any() or "NaN" in exercise.function.__doc__
                    assert not np.isinf(part).any() or "inf" in exercise.function.__doc__
