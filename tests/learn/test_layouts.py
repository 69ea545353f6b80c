"""A right function does not see how its arrays lie in memory, nor how many axes they have where any are promised."""

import numpy as np
import pytest

from minillama.learn.chapters.catalogue import catalogue, get_exercise
from minillama.learn.diagnosis.check import check_function
from minillama.learn.diagnosis.layouts import LAYOUTS, laid_out


def as_it_lies(x):
    """The same array, if its rows lie one after another."""
    return np.ravel(x, order="K").reshape(x.shape)


def first_numbers_behind(x):
    """The same array, if it has all of its memory to itself."""
    base = x if x.base is None or x.base.dtype != x.dtype else x.base
    return base.reshape(-1)[: x.size].reshape(x.shape)


def only_in_memory(id, change):
    exercise = get_exercise(id)
    return exercise, lambda x, *others: exercise.function(change(x), *others)


@pytest.mark.parametrize(
    ("id", "change", "given"),
    [
        ("rmsnorm_forward", as_it_lies, "its argument x as a transposed array"),
        ("linear_backward", as_it_lies, "its argument dy as a transposed array"),
        ("head_logits", first_numbers_behind, "its argument x as every second number"),
        ("choose_group_size", first_numbers_behind, "its argument w as every second number"),
    ],
)
def test_a_function_that_reads_memory_is_refused(id, change, given):
    report = check_function(*only_in_memory(id, change))
    assert report.status == "wrong"
    assert given in report.headline[0], report.headline


def test_an_error_is_only_remarked():
    """A float16 in two bytes can be read where these are neighbours."""

    def dequantized(blocks):
        d = blocks[:, :2].view(np.float16).astype(np.float32)
        packed = blocks[:, 2:]
        return d * (np.concatenate((packed & 15, packed >> 4), axis=1).astype(np.float32) - 8)

    report = check_function(get_exercise("q4_0_dequantize_blocks"), dequantized)
    assert report.passed, report.text()
    assert [remark.partition(" it raises")[0] for remark in report.remarks] == [
        "Given its argument blocks as every second number of a larger array,"
    ]


def test_what_can_only_be_read_is_remarked_once():
    exercise = get_exercise("rmsnorm_forward")

    def scaled_and_back(x, *others):
        y = exercise.function(x, *others)
        x *= 2
        x /= 2
        return y

    report = check_function(exercise, scaled_and_back)
    assert report.passed
    assert len(report.remarks) == 1
    assert "can only be read" in report.remarks[0]

    def written(x, *others):
        y = exercise.function(x, *others)
        x *= 2
        return y

    assert check_function(exercise, written).headline[0].startswith("Your function changes its argument")


def rows_only(g):
    return np.stack([get_exercise("silu_stable").function(row) for row in g.reshape(len(g), -1)]).reshape(g.shape)


def of_two_axes(g):
    rows, columns = g.shape
    return get_exercise("silu_stable").function(g.reshape(rows, columns))


def by_mask(g):
    small = np.exp(-np.abs(g))
    y = g / (1 + small)
    negative = g < 0
    y[negative] = (g * small / (1 + small))[negative]
    return y


def test_any_shape_is_any_number_of_axes():
    rows = {"B": 0, "T": 2, "D": 33, "spread": 30}  # a case of two axes
    report = check_function(get_exercise("silu_stable"), of_two_axes, dims=rows)
    assert report.status == "wrong"
    assert "its argument g as an array of one axis: then it raises ValueError" in report.headline[0]


@pytest.mark.parametrize("function", [rows_only, by_mask])
def test_without_axes_an_error_is_only_remarked(function):
    report = check_function(get_exercise("silu_stable"), function)
    assert report.passed, report.text()
    assert "without axes" in report.remarks[0]


def test_a_result_that_is_a_view_is_remarked_where_the_solution_has_none():
    def handed_back(x, *others):
        y = exercise.function(x, *others)
        x[:] = y
        return x

    exercise = get_exercise("rmsnorm_forward")
    first = get_exercise("penalize_repeated_tokens")

    def as_it_is(logits, ids, penalty):
        return first.function(logits, ids, penalty) if len(ids) else logits

    assert check_function(first, as_it_is).remarks == [
        "Its result uses the memory of its argument logits: whoever writes into one changes the other."
    ]
    assert check_function(get_exercise("top_k_filter"), get_exercise("top_k_filter").function).remarks == []
    assert not check_function(exercise, handed_back).passed  # that it writes there says it already


@pytest.mark.parametrize("exercise", catalogue().values(), ids=lambda e: e.id)
def test_layouts_change_no_number(exercise):
    dims = exercise.shapes[-1]
    names = [name for name in exercise.named_arguments(dims) if name not in exercise.writes_to]
    for layout in LAYOUTS:
        for a, b in zip(exercise.arguments(dims), laid_out(exercise, layout, names).arguments(dims)):
            if isinstance(a, np.ndarray):
                assert a.dtype == b.dtype
                assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
