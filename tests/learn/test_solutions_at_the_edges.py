"""What the solutions do where a formula ends: the checks leave these cases out, the docstrings promise them."""

import numpy as np
import pytest

from minillama.learn.chapters.catalogue import catalogue


@pytest.fixture
def solved():
    return catalogue()


class Highest:
    """A generator whose dice show the largest number below 1."""

    def random(self):
        return np.nextafter(1.0, 0.0)


def test_a_run_may_be_all_warm_up(solved):
    rates = [solved["warmup_cosine"](step, 2.0, 4, 4, 0.1) for step in range(1, 7)]
    assert rates == pytest.approx([0.5, 1.0, 1.5, 2.0, 0.2, 0.2])


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int8, np.int64])
def test_targets_of_unsigned_tokens(solved, dtype):
    targets = solved["shift_targets"](np.array([[5, 6, 0], [7, 8, 9]], dtype), 0, -100)
    assert targets.dtype == np.int64
    assert targets.tolist() == [[6, -100, -100], [8, 9, -100]]


def test_no_token_beyond_the_last_is_drawn(solved):
    """Of 10 * 0.1 the last cumulative sum is below 1, and a die may lie between."""
    even = np.full(10, 0.1)
    assert np.cumsum(even)[-1] <= Highest().random()
    assert solved["draw_token"](even, Highest()) == 9
    assert solved["draw_token"](np.append(even, 0.0), Highest()) == 9


def test_rope_theta_is_a_float_whatever_the_file_has(solved):
    described = solved["read_config"].arguments({"n_heads": 2, "n_kv_heads": 2, "head_dim": 0, "theta": 1, "tied": 2})
    assert type(described[0]["rope_theta"]) is int
    assert type(solved["read_config"](*described)["rope_theta"]) is float


def test_marks_are_cut_out_of_stripped_lines(solved):
    page = "  It rained all day.[3]  \nIt rained all day. [3]"
    assert solved["c4_clean_lines"](page) == ["It rained all day."]


@pytest.mark.parametrize("id", ["stable_softmax", "log_sum_exp", "softmax_over_keys"])
def test_scores_as_large_as_the_docstring_says(solved, id):
    x = np.array([[[1e30, -1e30, -np.inf], [-1e30, -1e30, -1e30]]], np.float32)
    assert np.isfinite(solved[id](x)).all()


def test_silu_of_any_finite_number(solved):
    largest = np.finfo(np.float32).max
    y = solved["silu_stable"](np.array([-largest, largest, 0], np.float32))
    assert y.tolist() == [0, largest, 0]
    assert solved["silu_stable"](np.float32(1.0)).shape == ()


def test_gates_as_large_as_the_docstring_says(solved):
    numbers = np.array([-1e4, 1e4, 0], np.float32)
    assert all(np.isfinite(a).all() for a in solved["swiglu_backward"](numbers, numbers, numbers))
