"""Right values of another type: an id is no float, a truth value no 0 or 1, a real number has no imaginary part."""

import numpy as np
import pytest

from minillama.learn.chapters.catalogue import get_exercise
from minillama.learn.diagnosis.check import check_function
from minillama.learn.diagnosis.compare import compare

ROPE = get_exercise("rope_interleaved")


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("continue_greedily", lambda ids: [float(i) for i in ids]),
        ("continue_greedily", lambda ids: np.array(ids, np.float64)),
        ("shift_targets", lambda targets: targets.astype(np.float32)),
        ("shift_targets", lambda targets: targets.astype(np.int32)),
        ("gather_embeddings", lambda rows: rows.astype(np.float64)),
        ("read_config", lambda config: {**config, "rope_theta": int(config["rope_theta"])}),
        ("count_parameters", float),
        ("causal_mask", lambda mask: mask.astype(int)),
        ("luhn_valid", int),
        ("samples_with_overlap", lambda flags: [int(flag) for flag in flags]),
        ("read_config", lambda config: {**config, "tied": int(config["tied"])}),
        ("rope_interleaved", lambda y: y.astype(np.complex64)),
    ],
)
def test_another_type_is_refused(id, change):
    exercise = get_exercise(id)
    report = check_function(exercise, lambda *args: change(exercise.function(*args)))
    assert report.status == "wrong", report.text()
    assert "NaN" not in report.text()


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("continue_greedily", lambda ids: np.array(ids, np.int32)),
        ("causal_mask", lambda mask: mask.tolist()),
        ("count_parameters", np.int64),
        ("luhn_valid", np.bool_),
        ("samples_with_overlap", np.array),
    ],
)
def test_what_is_as_good_passes(id, change):
    exercise = get_exercise(id)
    report = check_function(exercise, lambda *args: change(exercise.function(*args)))
    assert report.passed, report.text()


def test_arrays_inside_of_lists_and_dicts_are_compared():
    pair = [np.array([1, 2]), np.array([3, 4])]
    assert compare(ROPE, [[1, 2], [3, 4]], pair).equal
    assert compare(ROPE, pair, pair).equal
    assert not compare(ROPE, [[1, 2], [3, 5]], pair).equal
    assert compare(ROPE, {"a": [1, 2]}, {"a": np.array([1, 2])}).equal
    assert "1.0 where 1 belongs" in compare(ROPE, {"a": [1]}, {"a": np.ones(1)}).mismatch.message


def test_numbers_that_are_not_finite_are_told_from_others():
    expected = np.array([1.0, np.nan, np.inf], np.float32)
    assert compare(ROPE, expected, expected.copy()).equal
    for wrong in ([1, 0, np.inf], [1, np.nan, -np.inf], [np.nan, np.nan, np.inf]):
        assert compare(ROPE, expected, np.array(wrong, np.float32)).mismatch.kind == "numbers"
