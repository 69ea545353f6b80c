"""Checks: lenient about form, strict about numbers, and clear about everything that can go wrong."""

import contextlib
import re
import time

import numpy as np
import pytest
from numba import njit

from minillama.learn import check
from minillama.learn.chapters.catalogue import catalogue, get_exercise
from minillama.learn.diagnosis.broadcasting import remedy
from minillama.learn.diagnosis.check import check_function
from minillama.learn.diagnosis.report import Report
from minillama.learn.exercises.exercise import parse_dims
from minillama.learn.time_limit import is_over

ROPE = get_exercise("rope_interleaved")


def right(x, cos, sin, positions):
    return ROPE.reference(x, cos, sin, positions)


def by_loops(x, cos, sin, positions):
    y = np.empty_like(x)
    for b, h, t, i in np.ndindex(*x.shape[:3], x.shape[3] // 2):
        c, s = cos[positions[b, t], i], sin[positions[b, t], i]
        y[b, h, t, 2 * i] = x[b, h, t, 2 * i] * c - x[b, h, t, 2 * i + 1] * s
        y[b, h, t, 2 * i + 1] = x[b, h, t, 2 * i] * s + x[b, h, t, 2 * i + 1] * c
    return y


def in_place(x, cos, sin, positions):
    c, s = cos[positions][:, None], sin[positions][:, None]
    even = x[..., 0::2].copy()
    x[..., 0::2] = even * c - x[..., 1::2] * s
    x[..., 1::2] = even * s + x[..., 1::2] * c
    return x


VARIANTS = {
    "loops": by_loops,
    "jitted": njit(by_loops),
    "in place": in_place,
    "float64 inside": lambda x, *a: right(x.astype(np.float64), *a).astype(np.float32),
    "float64 returned": lambda x, *a: right(x.astype(np.float64), *a),
    "Fortran order": lambda *a: np.asfortranarray(right(*a)),
    "a list": lambda *a: right(*a).tolist(),
    "with a cache": lambda *a: (right(*a), "cache"),
    "complex numbers": lambda x, c, s, p: (
        (x.reshape(*x.shape[:-1], -1, 2) @ np.array([1, 1j])) * (c + 1j * s)[p][:, None]
    ).view(np.float64).reshape(x.shape),
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_correct_variants_pass(variant):
    report = check_function(ROPE, VARIANTS[variant])
    assert report.passed, report.text()


def test_what_is_unusual_is_remarked():
    assert "float64" in check_function(ROPE, VARIANTS["float64 returned"]).text()
    assert "writes into its argument 1" in check_function(ROPE, in_place).text()


def raising(error):
    def function(*args):
        raise error

    return function


def test_the_line_is_the_learners():
    def mine(x, cos, sin, positions):
        return x @ np.ones(1000)  # the line at fault

    text = check_function(ROPE, mine).text()
    assert re.search(r"test_checking.py:\d+: return x @ np.ones\(1000\)", text)
    assert "a @ b sums over the last axis of a, 2 long here" in " ".join(text.split())
    assert "ValueError: matmul" in text
    assert "a float32 array of shape (1, 1, 1, 2)" in text


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ((2, 3, 4), (2, 3), "As (2, 3, 1) it would fit: with [:, :, None], or with keepdims=True"),
        ((2, 4), (2, 3, 4), "As (2, 1, 4) it would fit: with [:, None, :]"),
        ((3, 4), (4, 3), "(4, 3) would fit as (3, 4)"),
        ((2, 3, 4), (5,), ""),  # nothing fits
        ((2, 3), (2, 5), ""),
    ],
)
def test_a_remedy_for_shapes_works(a, b, said):
    with pytest.raises(ValueError, match="broadcast") as error:
        np.ones(a) + np.ones(b)
    assert remedy(str(error.value)) == "" if not said else said in remedy(str(error.value))


def test_remedies_of_products_and_assignments():
    with pytest.raises(ValueError, match="not aligned") as error:
        np.dot(np.ones((2, 3)), np.ones((2, 3)))
    assert "last axis of a, 3 long here, and the last but one of b, or its only one, 2 long" in remedy(str(error.value))
    for source, target, words in (((2, 3), (3, 2), "transpose"), ((3, 1), (3,), "of size 1"), ((5,), (4,), "")):
        with pytest.raises(ValueError, match="could not broadcast input") as error:
            np.empty(target)[...] = np.ones(source)
        assert words in remedy(str(error.value))
        assert bool(words) == bool(remedy(str(error.value)))


@pytest.mark.parametrize("error", [SystemExit(3), MemoryError(), RecursionError("deep"), KeyError("k")])
def test_whatever_is_raised_is_reported(error):
    report = check_function(ROPE, raising(error))
    assert report.status == ("memory" if isinstance(error, MemoryError) else "error")
    assert type(error).__name__ in report.text()


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda *a: None, "is the return statement missing?"),
        (lambda *a: "words", "is a value of type str"),
        (lambda *a: right(*a).sum(axis=-1), "The axis dim is missing"),
        (lambda *a: right(*a).swapaxes(1, 2), "The sizes are right, in another order"),
        (lambda *a: right(*a).reshape(-1), "The number of elements is right"),
        (lambda *a: right(*a)[..., :-1], "The axis dim has"),
    ],
)
def test_wrong_forms_are_named(function, text):
    report = check_function(ROPE, function)
    assert not report.passed
    assert text in " ".join(report.text().split())


def test_the_smallest_case_is_found_and_can_be_repeated():
    def last_head(x, *a):
        y = right(x, *a)
        y[:, 2:] *= 2
        return y

    report = check_function(ROPE, last_head)
    assert parse_dims(ROPE, report.case)["H"] == 3
    assert not check_function(ROPE, last_head, dims=parse_dims(ROPE, report.case)).passed
    assert check_function(ROPE, last_head, dims=parse_dims(ROPE, "1x1x2x2")).passed


def test_reports_travel_as_json():
    report = check_function(ROPE, raising(ValueError("x")))
    assert Report.from_dict(report.to_dict()) == report


def test_in_a_notebook():
    report = check("rope_interleaved", right)
    assert report.passed
    assert "rope_interleaved" in report._repr_html_()
    wrong = check("rope_interleaved", ROPE.mistakes[0].function, case="1x2x1x4")
    assert ROPE.mistakes[0].name in wrong._repr_html_().replace("&#x27;", "'")
    picture = check(
        "rope_interleaved", lambda x, *a: right(x, *a) * (np.arange(x.shape[-1]) < x.shape[-1] // 2)
    )._repr_html_()
    assert "where it is wrong: dim to the right" in picture
    assert "background:#b03a20" in picture
    with pytest.raises(ValueError, match="did you mean rope_half"):
        check("rope_halve", right)
    with pytest.raises(ValueError, match="a case of rope_interleaved is BxTxHxhead_dim"):
        check("rope_interleaved", right, case="3")


def test_a_loop_without_end_is_stopped(monkeypatch):
    from minillama.learn import notebook

    monkeypatch.setattr(notebook, "_SECONDS", 1)

    def endless(*args):
        while True:
            with contextlib.suppress(Exception):  # what learners write; it must not catch the stop
                sum(range(1000))

    report = check("rope_interleaved", endless)
    assert report.status == "timeout"
    assert "a kernel under @njit inside of your function" in " ".join(report.text().split())


@pytest.mark.parametrize(
    ("elapsed", "computed", "over"),
    [
        (19, 40, False),  # several threads: it has 20 seconds by the clock in any case
        (20, 20, True),
        (240, 19, False),  # a twelfth of a busy machine
        (600, 19, True),
        (119, 0.1, False),
        (120, 0.1, True),  # it waits
        (20, None, True),  # where nobody says what it has computed
    ],
)
def test_the_processor_is_counted_and_waiting_ends(elapsed, computed, over):
    assert is_over(20.0, elapsed, computed) == over


def test_a_check_in_a_busy_notebook_may_take_longer_by_the_clock(monkeypatch):
    from minillama.learn import notebook

    monkeypatch.setattr(notebook, "_SECONDS", 0.3)
    slept = []

    def waits(*args):
        if not slept:
            slept.append(time.sleep(0.7))
        return right(*args)

    assert check("rope_interleaved", waits).passed
    waiting = check("rope_interleaved", lambda *args: time.sleep(60))
    assert waiting.status == "timeout"
    assert "Does it wait for something" in waiting.text()


def test_ids_never_change():
    """Progress is kept under them: a renamed one has to be listed in workspace.folder.RENAMED."""
    from minillama.learn.workspace.folder import RENAMED

    assert all(new in catalogue() for new in RENAMED.values())
    assert not set(RENAMED) & set(catalogue())


def test_a_single_wrong_number_in_an_array_is_described():
    """The smallest failing case may leave an array of one element."""
    from types import SimpleNamespace

    from minillama.learn.diagnosis.check import _plain_words

    mismatch = SimpleNamespace(wrong=np.ones((1, 1), bool), got=[[2.5]], expected=np.array([[1.0]]))
    assert _plain_words(mismatch, ROPE) == "The number is wrong: off by 1.5."


def test_exchanged_results_are_called_that():
    exercise = catalogue()["linear_backward"]

    def exchanged(dy, x, weight):
        dx, dweight = exercise.reference(dy, x, weight)
        return dweight, dx

    headline = " ".join(check_function(exercise, exchanged).headline)
    assert "should be (dx, dweight); yours is (dweight, dx): right, in another order" in headline
    assert "is missing" not in headline


def test_pairs_may_come_as_an_array_or_as_lists():
    exercise = catalogue()["band_candidates"]
    for kind in (np.array, lambda pairs: [list(pair) for pair in pairs], set):
        report = check_function(exercise, lambda s, b, kind=kind: kind(exercise.reference(s, b)))
        assert report.passed, report.text()
    assert not check_function(exercise, lambda s, b: np.array(exercise.reference(s, b))[1:]).passed


def test_rows_of_an_array_equal_tuples():
    from minillama.learn.diagnosis.compare import compare

    pairs = [(0, 1), (2, 3)]
    assert compare(ROPE, pairs, np.array(pairs)).equal
    assert compare(ROPE, pairs, [[0, 1], np.array([2, 3])]).equal
    assert not compare(ROPE, pairs, [[0, 1], [2, 4]]).equal
    assert not compare(ROPE, pairs, [[0, 1], 2]).equal


def test_none_that_is_expected_is_no_missing_return():
    from minillama.learn.diagnosis.compare import compare

    assert compare(ROPE, None, "text").mismatch.message == "should be None, is a value of type str"


@pytest.mark.parametrize("extra", [0, 1])
def test_overfit_looks_at_the_parameters(extra):
    """Right losses are not enough: the model that was given has to be the trained one."""
    from minillama.trees import map_tree

    exercise = catalogue()["overfit"]

    def trained(params, config, tokens, targets, n_steps, learning_rate):
        if not extra:
            params = map_tree(np.copy, params)
        losses = exercise.reference(params, config, tokens, targets, n_steps + extra, learning_rate)
        return losses[: n_steps + 1]

    report = check_function(exercise, trained)
    assert report.mistake == next(m.name for m in exercise.mistakes if ("too many" if extra else "copy") in m.name)


def test_what_is_shown_of_a_sequence_names_the_case_that_it_is_from():
    def one_held_byte_too_many(held, data):
        for n in range(4):
            with contextlib.suppress(UnicodeDecodeError):
                return (held + data)[: len(held + data) - n].decode(), (held + data)[len(held + data) - n :]
        return (held + data).decode("utf-8", "replace"), b""

    facts = dict(check_function(get_exercise("utf8_feed"), one_held_byte_too_many).facts)
    assert facts["smallest case"] == "characters=1 chunk=1 wrong_bytes=1"
    assert facts["both at"] == "characters=9 chunk=3 wrong_bytes=2"
