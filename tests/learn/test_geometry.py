"""Statements about wrong arrays are true, and found."""

import numpy as np
import pytest

from minillama.learn.diagnosis.geometry import describe
from minillama.learn.diagnosis.heat_map import heat_map, names_of, where
from minillama.learn.diagnosis.statement import held

AXES = ("batch", "head", "position", "dim")
DIMS = {"B": 2, "H": 4, "T": 5, "head_dim": 8}


@pytest.fixture
def expected(rng):
    return rng.normal(size=(2, 4, 5, 8)).astype(np.float32)


def said(expected, got, axes=AXES, dims=DIMS, **args):
    wrong = ~np.isclose(got, expected, rtol=1e-4, atol=1e-6, equal_nan=True)
    names = names_of(axes, expected.ndim)
    return " ".join([*(s.text for s in describe(expected, got, wrong, axes, dims, args)), where(wrong, names)])


def part(a, key, value):
    out = a.copy()
    out[key] = value(out[key]) if callable(value) else value
    return out


def half(x):
    return 0.5 * x


CASES = [
    (lambda e: -e, "the sign is turned"),
    (lambda e: e / np.sqrt(8), "yours / expected = 0.3536, the same everywhere = 1 / sqrt(head_dim)"),
    (lambda e: 2 * e, "yours / expected = 2, the same everywhere"),
    (lambda e: e + 0.25, "yours - expected = 0.25, the same everywhere"),
    (lambda e: 2 * e + 1, "yours = 2 * expected + 1 everywhere"),
    (np.square, "square of what is expected"),
    (lambda e: e[:, ::-1], "Along head your slices are the right ones in other places: reversed"),
    (lambda e: e[..., [0, 2, 4, 6, 1, 3, 5, 7]], "even ones first, then odd ones"),
    (lambda e: e[..., [4, 5, 6, 7, 0, 1, 2, 3]], "the two halves exchanged"),
    (
        lambda e: np.roll(e, 1, axis=2),
        "Along position your slices are the right ones in other places: shifted round by one",
    ),
    (lambda e: part(np.roll(e, 1, axis=2), np.s_[:, :, 0], 7.0), "shifted: yours[i] = expected[i - 1]"),
    (lambda e: part(np.roll(e, -1, axis=2), np.s_[:, :, -1], 7.0), "shifted: yours[i] = expected[i + 1]"),
    (lambda e: e[:, [1, 0, 3, 2]], "neighbours exchanged in pairs"),
    (lambda e: np.repeat(e[:, :1], 4, axis=1), "all of them equal slice 0"),
    (lambda e: part(e, np.s_[:, -1], half), "only the last head"),
    (lambda e: part(e, np.s_[:, :, 3:], half), "from position 3 on"),
    (lambda e: part(e, np.s_[:, :, :2], half), "up to position 1"),
    (lambda e: part(e, np.s_[..., ::2], half), "every even dim"),
    (lambda e: part(e, np.s_[:, :, 1:], np.nan), "are NaN (every position but 0)"),
    (lambda e: part(e, np.s_[0], 0.0), "Every wrong element is 0"),
    (lambda e: e * np.arange(1, 6)[:, None], "yours / expected depends on position alone"),
    (lambda e: e * (1 + 1e-3 * np.sign(np.sin(1e4 * e))), "Right to about 3 digits"),
    (lambda e: np.sort(e, axis=-1), "Every row along dim has the right numbers, in another order"),
]


@pytest.mark.parametrize(("change", "text"), CASES, ids=[text[:40] for _, text in CASES])
def test_what_is_said(expected, change, text):
    assert text.lower() in said(expected, change(expected)).lower()


def test_swapped_axes(rng):
    e = rng.normal(size=(3, 4, 4))
    assert "axes head and position are swapped" in said(e, e.swapaxes(1, 2), ("batch", "head", "position"))


def test_an_argument_too_often_or_not_at_all(expected, rng):
    weight = rng.normal(size=8)
    assert "yours = expected * weight" in said(expected, expected * weight, weight=weight)
    assert "yours = expected / weight" in said(expected, expected / weight, weight=weight)
    assert "Your result is the argument x" in said(expected, expected + 1, x=expected + 1)


def test_normalised_along_another_axis(rng):
    e = rng.random((3, 6, 5))
    text = said(e / e.sum(-1, keepdims=True), e / e.sum(1, keepdims=True), ("batch", "query", "key"))
    assert "should sum to 1 along key; yours sum to 1 along query" in text


def test_above_the_diagonal(rng):
    e = rng.normal(size=(6, 6))
    assert "only above the diagonal of (query, key)" in said(
        e, e + np.triu(rng.normal(size=(6, 6)), 1), ("query", "key")
    )


@pytest.mark.parametrize("seed", range(20))
def test_any_garbage_is_described(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 5, rng.integers(0, 5)))
    e, g = rng.normal(size=shape), rng.normal(size=shape)
    g = np.where(rng.random(shape) < 0.1, rng.choice([np.nan, np.inf, -np.inf, 0]), g)
    assert said(e, g).count("wrong: ") == 1


def test_heat_map_is_dark_where_it_is_wrong():
    wrong = np.zeros((2, 4, 12, 32), bool)
    wrong[:, :, 6:, :16] = True
    lines, label = heat_map(wrong, AXES)
    assert label == "dim to the right, position down"
    assert [line.count("█") for line in lines] == [0, 0, 0, len(lines[0]) // 2, len(lines[0]) // 2, len(lines[0]) // 2]
    assert heat_map(np.array(True), ()) == ([], "")


def test_tile_instead_of_repeat(rng):
    k = rng.normal(size=(2, 2, 5, 8))
    text = said(np.repeat(k, 3, axis=1), np.tile(k, (1, 3, 1, 1)))
    assert "Along head your 2 slices take turns, as np.tile lays them out" in text
    assert "as np.repeat lays them out" in said(np.tile(k, (1, 3, 1, 1)), np.repeat(k, 3, axis=1))


# --- statements that would be false ---------------------------------------------------------


def test_nearly_right_numbers_have_not_changed_places(rng):
    e = np.sort(rng.normal(size=(3, 50)).astype(np.float32), axis=1)
    assert "another order" not in said(e, e * np.float32(1.0009))
    assert "other places" not in said(e, e * np.float32(1.0009))


def test_single_numbers_that_occur_elsewhere_have_not_moved():
    """A curve sampled twice as fast consists of the numbers of the slow one; a saturated one of ones."""
    slow, fast = np.cos(np.linspace(0, np.pi, 101)), np.cos(np.linspace(0, 2 * np.pi, 101))
    assert "other places" not in said(slow, fast, ("step",))
    saturated = np.array([0.1, 0.3, 0.8, 1.0, 1.0, 1.0])
    assert "other places" not in said(saturated, np.ones(6), ("step",))
    assert "other places: reversed" in said(saturated, saturated[::-1], ("step",))


def test_a_shift_needs_numbers_that_differ():
    e = np.array([0.5, 1, 1, 1, 1, 1, 1, 2.0])
    assert "shifted" not in said(e, np.array([0.25, 0.5, 1, 1, 1, 1, 1, 1.0]), ("step",))
    assert "shifted: yours[i] = expected[i + 1]" in said(np.arange(5.0), np.array([1, 2, 3, 4, 4.0]), ("step",))


def test_a_factor_must_explain_zeros_and_more_than_two_numbers(rng):
    e = np.array([1.0, 2, 3, 4, 0, 0])
    assert "yours / expected" not in said(e, np.array([2.0, 4, 6, 8, 5, -5]), ("element",))
    assert "yours / expected = 2 where it is wrong" in said(e, 2 * e, ("element",))
    two = np.array([1.0, 2, 3, 4])
    assert "yours / expected" not in said(two, np.array([1.0, 2, 4.5, 6]), ("element",))


def test_small_factors_keep_their_digits(expected):
    assert "yours / expected = 1e-06," in said(expected, expected * 1e-6)
    assert "yours / expected = 1.00123," in said(expected.astype(float), expected.astype(float) * 1.00123)


def test_digits_are_measured_number_by_number(rng):
    e = np.where(rng.random((20, 30)) < 0.02, 1000.0, 1.0) * rng.normal(size=(20, 30))
    assert "Right to about" not in said(e, e + rng.normal(size=e.shape))
    assert "Right to about 3 digits" in said(e, e * (1 + 1e-3 * rng.choice([-1, 1], e.shape)))


def test_a_factor_with_noise_does_not_depend_on_an_axis(expected):
    noise = 1 + 1e-3 * np.sin(1e4 * expected)
    text = said(expected, expected * np.sqrt(8) * noise)
    assert "depends on" not in text
    assert "yours / expected = 2.8" in text
    assert "nearly the same everywhere" in text


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (10, "= B · T = 10"),
        (1 / 10, "= 1 / (B · T)"),
        (1 / 9, "= 1 / (head_dim + 1)"),
        (1 / 8**0.5, "1 / sqrt(head_dim)"),
    ],
)
def test_factors_have_names(expected, factor, name):
    assert name in said(expected, expected * factor)


def statements(expected, got, dims=DIMS):
    expected, got = np.asarray(expected), np.asarray(got)
    return describe(expected, got, ~np.isclose(expected, got, rtol=1e-4, atol=1e-9), ("element",), dims, {})


def test_another_case_speaks_against_a_statement():
    e = np.array([1.0, 2, 3])
    zeros = statements([1.0, 2, 3, 4], [0, 0, 0, 4.0])[0]
    assert zeros.text == "Every wrong element is 0: never written, masked, or multiplied by 0."
    assert held(zeros, [statements(e, [0, 5.0, 3])]) is None
    assert held(zeros, [statements(e, [0, 0, 3.0])]) == zeros


def test_a_factor_is_held_against_the_other_cases(rng):
    """By its number, or by its name; a name that fits once, by chance, is not given."""
    e = rng.normal(size=12)
    two = statements(e, 2 * e, {"H": 2})[0]
    assert "= H = 2" in two.text
    again = held(two, [statements(e, 2 * e, {"H": 3})])
    assert again.text == "yours / expected = 2, the same everywhere."
    assert held(two, [statements(e, 3 * e, {"H": 3})]).text == two.text
    assert held(two, [statements(e, 3 * e, {"H": 4})]) is None


def test_of_whole_numbers_the_difference_comes_first():
    slots = np.array([14, 15, 16, 10, 11, 12, 13])
    text = said(slots, slots - 7, ("slot",), {"window": 7})
    assert text.startswith("yours - expected = -7, the same everywhere = -window")
    ids = np.array([2, 4, 6, 8])
    assert "yours / expected" not in said(ids, 3 * ids // 2, ("id",))
    assert "yours / expected = 4" in said(ids, 4 * ids, ("id",))


def test_equal_numbers_have_no_factor():
    assert "yours /" not in said(np.full(6, 2.0), np.full(6, 5.0), ("element",))


def test_nearly_the_same_is_measured_at_the_numbers_themselves(rng):
    e = rng.normal(size=(8, 8))
    g = 3 * e * (1 + 1e-3 * rng.choice([-1, 1], e.shape))
    assert "nearly the same everywhere" in said(e, g, ("a", "b"))
    e[0, 0] = 1e-5
    g[0, 0] = 1.0  # too small a number to have a ratio, and plainly wrong
    assert "nearly the same everywhere" not in said(e, g, ("a", "b"))
    tiny = 10 ** -rng.uniform(3, 6, (8, 1))  # ratios that are all far from 1, and nothing like each other
    assert "nearly the same everywhere" not in said(e, e * tiny, ("a", "b"))


def test_a_rounding_has_no_direction(rng):
    e = rng.normal(size=(6, 8))
    g = e + 1e-3 * rng.normal(size=e.shape)
    g *= np.linalg.norm(e, axis=-1, keepdims=True) / np.linalg.norm(g, axis=-1, keepdims=True)
    assert "direction" not in said(e, g, ("a", "b"))
