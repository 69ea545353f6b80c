"""One order of several systems from comparisons of two: the Bradley-Terry model.

    P(i beats j) = 1 / (1 + exp(s_j - s_i)),    s of mean 0

A tie is half a win for each. The strengths that make the outcomes most probable exist, and are unique, if and only if
no group of systems is unbeaten by the others (Ford 1957, "Solution of a ranking problem from binary comparisons").
Where one is, its strength has no bound. Then every system is given half a win and half a loss against an imaginary one
of strength 0, close to the perturbation of Conner and Grant 2000, and the result says so. Systems that no chain of
comparisons connects cannot be put in one order at all.

Found by Newton's method; intervals by a bootstrap over prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..statistics.intervals import Interval
from .outcomes import FEWEST_PROMPTS
from .pairs import Pair

Array = npt.NDArray[np.float64]
_MAX_STEPS = 200
_LONGEST_STEP = 1.0  # of a strength: Newton's own may leap where probabilities are near 0 and 1
_AT_A_TIME = 250  # resamples


@dataclass(frozen=True)
class Standing:
    """A system in the order.

    Attributes
    ----------
    system : str
    strength : float
        Natural log of the odds against one of mean strength.
    interval : Interval
    wins, n : float, int
        Comparisons won (ties ½), and all.
    """

    system: str
    strength: float
    interval: Interval
    wins: float
    n: int


@dataclass(frozen=True)
class Ranking:
    """Systems, strongest first.

    Attributes
    ----------
    standings : tuple of Standing
    notes : tuple of str
        What the strengths had to assume.
    """

    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = ()


def bradley_terry(wins: npt.ArrayLike) -> Array:
    """The most probable strengths.

    Parameters
    ----------
    wins : array_like of shape (n, n), or (m, n, n) for m tables at once
        wins[i, j]: how often i beat j, a tie ½ in both; the diagonal is not looked at.

    Returns
    -------
    ndarray of shape (n,) or (m, n), of mean 0

    Raises
    ------
    ValueError
        When they do not exist, with the systems' numbers that are unbeaten by the others.
    """
    table = np.array(wins, np.float64)
    if table.ndim not in (2, 3) or table.shape[-1] != table.shape[-2] or table.shape[-1] < 2:
        raise ValueError(f"expected wins of shape (n, n) with n at least 2, found {table.shape}")
    if not np.isfinite(table).all() or (table < 0).any():
        raise ValueError("expected numbers of wins, 0 or more")
    tables = table.reshape(-1, *table.shape[-2:])
    tables[:, np.arange(table.shape[-1]), np.arange(table.shape[-1])] = 0
    for one in tables[~strengths_exist(tables)]:
        raise ValueError(
            f"the strengths have no bound: {unbeaten(one)} never lost against the others, not even half a time"
        )
    return _newton(tables).reshape(table.shape[:-1])


def strengths_exist(tables: Array) -> npt.NDArray[np.bool_]:
    """Ford's condition for tables (m, n, n): from each system a chain of wins leads to each other."""
    return np.array([bool(reach.all()) for reach in _reachable(tables)])


def unbeaten(wins: Array) -> list[int]:
    """Who is in a group that no system outside has beaten, the smallest such; all where Ford's condition holds."""
    reach = _reachable(wins[None])[0]
    return [i for i in range(len(wins)) if all(reach[i, j] for j in range(len(wins)) if reach[j, i])]


def rank_systems(
    pairs: Sequence[Pair], outcomes: Mapping[str, float], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Ranking:
    """Rank systems by the outcomes of their pairs.

    Parameters
    ----------
    pairs : sequence of Pair
    outcomes : {id of a pair: 1, ½ or 0}
        Seen from the pair's first system; pairs without one are left out.

    Raises
    ------
    ValueError
        When no chain of comparisons connects some systems with others.
    """
    judged = [pair for pair in pairs if pair.id in outcomes]
    systems = list(dict.fromkeys(system for pair in judged for system in pair.systems))
    tables = _tables(judged, outcomes, systems)
    total = tables.sum(axis=0)
    _check_connected(total, systems)
    strengths = _bounded(total[None])[0]
    drawn = _resampled(tables, resamples, seed)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    if len(tables) < 2 or not strengths_exist(total[None])[0]:
        low = high = np.full(len(systems), np.nan)
    standings = [
        Standing(
            system,
            float(strengths[i]),
            Interval(float(low[i]), float(high[i])),
            float(total[i].sum()),
            round(float(total[i].sum() + total[:, i].sum())),
        )
        for i, system in enumerate(systems)
    ]
    return Ranking(tuple(sorted(standings, key=lambda s: -s.strength)), _notes(total, systems, len(tables)))


def _tables(judged: Sequence[Pair], outcomes: Mapping[str, float], systems: list[str]) -> Array:
    """The wins in each prompt, (prompts, n, n)."""
    prompts = {prompt: n for n, prompt in enumerate(dict.fromkeys(pair.prompt for pair in judged))}
    tables = np.zeros((len(prompts), len(systems), len(systems)))
    for pair in judged:
        i, j, at = systems.index(pair.systems[0]), systems.index(pair.systems[1]), prompts[pair.prompt]
        tables[at, i, j] += outcomes[pair.id]
        tables[at, j, i] += 1 - outcomes[pair.id]
    return tables


def _resampled(tables: Array, resamples: int, seed: int) -> Array:
    """Strengths of tables made of prompts that were drawn again, (resamples, n)."""
    rng, n = np.random.default_rng(seed), len(tables)
    found = []
    for start in range(0, resamples, _AT_A_TIME):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=min(_AT_A_TIME, resamples - start)).astype(np.float64)
        found.append(_bounded(np.tensordot(counts, tables, axes=1)))
    return np.concatenate(found)


def _bounded(tables: Array) -> Array:
    """Strengths of each table; with the imaginary system where they would have no bound."""
    exist, found = strengths_exist(tables), np.empty(tables.shape[:2])
    if exist.any():
        found[exist] = _newton(tables[exist])
    if not exist.all():
        open_ = tables[~exist]
        wider = np.full((len(open_), tables.shape[1] + 1, tables.shape[1] + 1), 0.5)
        wider[:, :-1, :-1] = open_
        wider[:, -1, -1] = 0
        strengths = _newton(wider)[:, :-1]
        found[~exist] = strengths - strengths.mean(axis=1, keepdims=True)
    return found


def _newton(tables: Array) -> Array:
    """Strengths (m, n) of tables (m, n, n) for which they exist."""
    m, n = tables.shape[:2]
    played, strengths = tables + tables.transpose(0, 2, 1), np.zeros((m, n))
    diagonal = np.arange(n)
    for _ in range(_MAX_STEPS):
        chance = 1 / (1 + np.exp(strengths[:, None, :] - strengths[:, :, None]))
        slope = (tables - played * chance).sum(axis=2)
        if np.abs(slope).max() < 1e-10 * max(1.0, float(played.max())):
            break
        curvature = -played * chance * (1 - chance)
        curvature[:, diagonal, diagonal] = -curvature.sum(axis=2)
        # All strengths moved together change nothing: a term in that direction makes the matrix invertible.
        scale = np.maximum(curvature[:, diagonal, diagonal].mean(axis=1), 1e-12)[:, None, None]
        step = np.linalg.solve(curvature + scale / n, slope[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        strengths += step * np.minimum(1, _LONGEST_STEP / np.maximum(longest, 1e-300))
    return strengths - strengths.mean(axis=1, keepdims=True)


def _reachable(tables: Array) -> npt.NDArray[np.bool_]:
    """reach[m, i, j]: a chain of wins leads from i to j."""
    n = tables.shape[-1]
    reach = (tables > 0) | np.eye(n, dtype=bool)
    for _ in range(max(1, (n - 1).bit_length())):
        reach = np.matmul(reach, reach)
    return reach


def _check_connected(total: Array, systems: list[str]) -> None:
    joined = _reachable((total + total.T)[None])[0][0]
    if not joined.all():
        one = ", ".join(system for system, is_in in zip(systems, joined) if is_in)
        other = ", ".join(system for system, is_in in zip(systems, joined) if not is_in)
        raise ValueError(f"no comparison connects {one} with {other}: judge pairs of one against the other")


def _notes(total: Array, systems: list[str], n_prompts: int) -> tuple[str, ...]:
    if strengths_exist(total[None])[0]:
        few = f"{n_prompts} prompts: below {FEWEST_PROMPTS} the intervals of a bootstrap are too short"
        return (few,) if n_prompts < FEWEST_PROMPTS else ()
    names = " and ".join(systems[i] for i in unbeaten(total))
    return (
        f"{names} never lost against the others, so that no strength is large enough: the strengths shown take half a "
        "win and half a loss against an imaginary average system for granted; only the order means anything",
    )
