"""Checks: lenient about form, strict about numbers, and clear about everything that can go wrong."""

import contextlib
import dataclasses
import re
import time

import numpy as np
import pytest
from numba import njit

from minillama.learn import check
from minillama.learn.chapters.catalogue import catalogue, chapter_packages, get_exercise
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
    x[:] = right(x, cos, sin, positions)
    return x


VARIANTS = {
    "loops": by_loops,
    "jitted": njit(by_loops),
    "float64 inside": lambda x, *a: right(x.astype(np.float64), *a).astype(np.float32),
    "Fortran order": lambda *a: np.asfortranarray(right(*a)),
    "a list": lambda *a: right(*a).tolist(),
    "with a cache": lambda *a: (right(*a), "cache"),
    "complex numbers": lambda x, c, s, p: (
        (x.reshape(*x.shape[:-1], -1, 2) @ np.array([1, 1j])) * (c + 1j * s)[p][:, None]
    ).view(np.float64).reshape(x.shape).astype(x.dtype),
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_correct_variants_pass(variant):
    report = check_function(ROPE, VARIANTS[variant])
    assert report.passed, report.text()


STAYS = "What a function is given stays as it is, unless its text says that it is written to."


def test_every_chapter_says_that_arguments_stay_as_they_are():
    assert all(STAYS in chapter.__doc__ for chapter in chapter_packages())


def test_what_is_written_to_is_named():
    report = check_function(ROPE, in_place)
    assert report.status == "wrong"
    assert report.headline[0] == "Your function changes its argument x, which belongs to the caller."
    assert STAYS in report.headline[1]

    def more_in_place(x, cos, sin, positions):
        y = right(x, cos, sin, positions)
        for argument in (x, sin, positions):
            argument[:] = 0
        return y

    headline = check_function(ROPE, more_in_place).headline[0]
    assert headline == "Your function changes its arguments x, sin and positions, which belong to the caller."


def test_a_wrong_function_that_changes_its_arguments_is_told_so_as_well():
    def halved(x, *a):
        x /= 2
        return right(x, *a)

    said = "Your function changes its argument x."
    assert said in check_function(ROPE, halved).headline
    assert said not in check_function(ROPE, lambda x, *a: right(x / 2, *a)).headline


def widened(id):
    exercise = get_exercise(id)
    return check_function(exercise, lambda *args: np.float64(exercise.function(*args)))


@pytest.mark.parametrize("id", [e.id for e in catalogue().values() if e.promises_dtype])
def test_a_promised_dtype_is_kept(id):
    report = widened(id)
    assert report.status == "wrong", report.text()
    assert "float64" in " ".join(report.headline)


def test_a_dtype_that_nobody_promised_is_remarked():
    report = widened("attend_one_head")
    assert report.passed
    assert "float64" in report.text()


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
    late = check(
        "rope_interleaved", lambda x, *a: right(x, *a) * np.where(np.arange(x.shape[2]) > 8, np.pi, 1)[:, None]
    )
    picture = late._repr_html_()
    assert "where it is wrong: dim to the right, position down" in picture
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
    report = check_function(get_exercise("perplexity"), lambda logprobs, counted: 1 + logprobs[counted].sum() ** 2)
    assert report.headline[0].startswith("The number is wrong: off by ")


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


def test_all_that_is_shown_of_a_sequence_is_from_one_case():
    def one_held_byte_too_many(held, data):
        for n in range(4):
            with contextlib.suppress(UnicodeDecodeError):
                return (held + data)[: len(held + data) - n].decode(), (held + data)[len(held + data) - n :]
        return (held + data).decode("utf-8", "replace"), b""

    report = check_function(get_exercise("utf8_feed"), one_held_byte_too_many)
    facts = dict(report.facts)
    assert facts["smallest case"] == "characters=1 chunk=1 wrong_bytes=1"
    again = check_function(
        get_exercise("utf8_feed"), one_held_byte_too_many, dims=parse_dims(get_exercise("utf8_feed"), report.case)
    )
    assert (dict(again.facts)["expected"], dict(again.facts)["yours"]) == (facts["expected"], facts["yours"])


# --- one case ---------------------------------------------------------------------------------


def test_the_smallest_case_is_shown():
    report = check_function(get_exercise("attend_one_head"), get_exercise("attend_one_head").mistakes[8].function)
    facts = dict(report.facts)
    assert facts["smallest case"] == "T=2 past=0 head_dim=1"
    assert facts["positions"] == "[0, 1]"
    assert facts["expected"].startswith("[[0.7438]")
    assert facts["yours"].startswith("[[0.4191]")
    assert facts["again"].endswith("--case 2x0x1")


def test_arguments_that_are_too_large_give_way_to_those_that_can_be_read():
    facts = dict(check_function(ROPE, ROPE.mistakes[0].function).facts)
    assert facts["positions"] == "[[0, 1]]"
    assert "x" in facts
    assert "cos" not in facts


def test_what_differs_looks_different():
    """As many digits as it takes."""
    report = check_function(ROPE, lambda *a: right(*a) * np.float32(1.0004))
    facts = dict(report.facts)
    assert facts["expected"] != facts["yours"]


def test_a_statement_is_of_the_case_that_is_shown():
    def last_head(x, *a):
        y = right(x, *a)
        y[:, 2:] *= 0.5
        return y

    report = check_function(ROPE, last_head)
    facts = dict(report.facts)
    assert report.headline == ["yours / expected = 0.5 where it is wrong, the same everywhere = 1 / 2."]
    assert facts["small case"].split()[2] == "H=3"
    assert facts["wrong"].endswith("only the last head")
    assert facts["again"].endswith(report.case)


def test_one_case_that_passes_says_which_it_was():
    text = " ".join(check_function(ROPE, right, dims=parse_dims(ROPE, "1x1x2x2")).text().split())
    assert "Only B=1 T=1 H=2 head_dim=2 was tried" in text
    assert f"`minillama learn check rope_interleaved` tries all {len(ROPE.shapes)} shapes" in text


def test_one_case_is_not_enough_for_a_name():
    """Under --case, known mistakes are held against all shapes all the same."""

    def half_right(x, *a):
        return ROPE.mistakes[0].function(x, *a) if x.shape[1] == 1 else right(x, *a)

    assert check_function(ROPE, ROPE.mistakes[0].function, dims=parse_dims(ROPE, "1x2x1x4")).mistake
    report = check_function(ROPE, half_right, dims=parse_dims(ROPE, "1x2x1x4"))
    assert "on all" not in dict(report.facts).get("agreement", "")


# --- what the numbers may be -------------------------------------------------------------------


def with_result(expected):
    """An exercise whose result is the given one."""
    return dataclasses.replace(
        ROPE, function=lambda x, cos, sin, positions: expected, reference=lambda *a: expected, mistakes=[], axes=()
    )


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (np.array([np.nan, 1.0, 2.0, 3.0]), np.array([np.nan, 2.0, 4.0, 6.0])),
        (np.array([[np.inf, 1.0], [2.0, -np.inf]]), np.array([[np.inf, 1.0], [5.0, -np.inf]])),
        (np.full((3, 3), np.nan), np.ones((3, 3))),
        (np.array([np.inf, np.inf, np.nan]), np.array([1.0, np.inf, np.nan])),
        ([np.ones(2), np.zeros(3)], [np.ones(2), np.ones(3)]),
        ({"a": np.ones(2), "b": 1}, {"a": np.zeros(2), "b": 1}),
        ({"a": [np.ones(2)]}, {"a": [np.ones(3)]}),
        ([(1, 2), (3, 4)], [(1, 2), np.ones((2, 2))]),
        ({}, {"a": 1}),
        ([2**70, 1, 2], [2**70, 1, 3]),
    ],
    ids=str,
)
def test_any_values_are_reported(expected, got):
    """Neither NaN, infinities nor arrays within lists and dicts end the check."""
    exercise = with_result(expected)
    report = check_function(exercise, lambda *a: got)
    assert report.status == "wrong", report.text()
    assert check_function(exercise, lambda *a: expected).passed


class Forgetful:
    """Wrong for arguments that it sees for the first time."""

    def __init__(self, **options):
        self.seen, self.targetoptions = set(), options

    def __call__(self, x, *others):
        is_new = x.tobytes() not in self.seen
        self.seen.add(x.tobytes())
        return right(x, *others) + is_new


def test_threads_are_blamed_only_where_there_are_some():
    text = " ".join(check_function(ROPE, Forgetful()).text().split())
    assert "different results for the same arguments. Random numbers" in text
    assert "arguments. Threads" in " ".join(check_function(ROPE, Forgetful(**{"parallel": True})).text().split())
