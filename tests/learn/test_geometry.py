"""Statements about wrong arrays are true, and found."""

import numpy as np
import pytest

from minillama.learn.geometry import describe
from minillama.learn.places import heat_map

AXES = ("batch", "head", "position", "dim")
DIMS = {"B": 2, "H": 4, "T": 5, "head_dim": 8}


@pytest.fixture
def expected(rng):
    return rng.normal(size=(2, 4, 5, 8)).astype(np.float32)


def said(expected, got, axes=AXES, dims=DIMS, **args):
    wrong = ~np.isclose(got, expected, rtol=1e-4, atol=1e-6, equal_nan=True)
    return " ".join(describe(expected, got, wrong, axes, dims, args))


def part(a, key, value):
    out = a.copy()
    out[key] = value(out[key]) if callable(value) else value
    return out


def half(x):
    return 0.5 * x


CASES = [
    (lambda e: -e, "the sign is turned"),
    (lambda e: e / np.sqrt(8), "yours / expected = 0.3536, the same everywhere = 1 / sqrt(head_dim)"),
    (lambda e: 2 * e, "yours / expected = 2.0000, the same everywhere = 2"),
    (lambda e: e + 0.25, "yours - expected = 0.25, the same everywhere"),
    (lambda e: 2 * e + 1, "yours = 2.0000 * expected + 1.0000"),
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
