"""A report on a wrong result: the cause, then one case as numbers. Every statement is about that case.

The cause is a known mistake; else what geometry says and every failing case confirms. The case is the smallest that
shows it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..exercises.exercise import Dims, name_dims, show_dims
from . import geometry, heat_map
from .cases import what_decides
from .causes import causes, sought, writes_into
from .compare import Mismatch, same_value
from .form import about_shapes, message
from .naming import Name, but_for_ties, find_name
from .probing import right_for
from .relations import relation
from .report import WRONG, Report
from .sequences import describe_sequence, element_of, equal_up_to
from .shown import first_difference, show_case, shown
from .statement import Statement, held
from .trials import Trials

_LARGEST = 1 << 16  # numbers of a case that is described
_SCREEN = 18  # lines of a screen, without those that stand below the numbers of a case


def explain_mismatch(report: Report, trials: Trials, smallest: Dims, shapes: Sequence[Dims]) -> None:
    """Fill a report on a function that gives a wrong result in the case `smallest`."""
    report.status = WRONG
    name = find_name(trials, shapes)
    mismatch = trials.outcome(smallest)
    assert isinstance(mismatch, Mismatch)
    dims = smallest
    if name is not None and not name.likely:
        dims = _explain_name(report, trials, name, smallest, shapes)
    elif tied := but_for_ties(trials, shapes):
        report.headline = [f"Your result is right but for ties: it differs only among equal {tied}.", _STABLE]
    elif mismatch.kind in ("numbers", "sequence"):
        dims = _explain_by_geometry(report, trials, smallest, shapes)
    else:
        report.headline = [f"The result {message(trials, mismatch)}.", *about_shapes(trials, mismatch, shapes)]
    if name is None or name.likely:
        _add_to(report, trials, dims, shapes)
    if name is not None and name.likely:
        report.facts.append(("looks like", _likeness(name)))
    _show(report, trials, dims, is_smallest=dims == smallest)
    report.next_step = f"Stuck? minillama learn hint {trials.exercise.id}"


_STABLE = "A sort may leave equal numbers in any order, and a reversed one turns them round: kind='stable' keeps it."


def _explain_name(report: Report, trials: Trials, name: Name, smallest: Dims, shapes: Sequence[Dims]) -> Dims:
    """The headline of a known mistake; the case that shows it."""
    known = name.mistake
    report.mistake = known.name
    if name.second is not None:
        report.headline = [
            "Two known mistakes at once:",
            *(f"{i}. {m.name} {m.advice}" for i, m in enumerate((known, name.second), 1)),
        ]
        report.facts.append(("agreement", f"together they give your results on all {len(shapes)} shapes tried"))
    elif name.case is not None:
        more = "In other cases something else differs, too."
        report.headline = [
            f"On {name_dims(name.case)} yours equals a known mistake. {more}",
            f"{known.name} {known.advice}",
        ]
    elif name.tied:
        report.headline = [
            f"{known.name} {known.advice}",
            f"And among equal {name.tied} it takes others. {_STABLE}",
        ]
        report.facts.append(("agreement", f"but for ties, yours equals that mistake on all {len(shapes)} shapes tried"))
    else:
        report.headline = [known.name, known.advice]
        report.facts.append(("agreement", f"yours equals that mistake on all {len(shapes)} shapes tried"))
    return name.case or smallest


def _likeness(name: Name) -> str:
    """A known mistake that the function equals in some cases, and may have."""
    assert name.case is not None
    return f"on {name_dims(name.case)} a known mistake, or another that does the same there: {name.mistake.name}"


# --- no known mistake --------------------------------------------------------------------------


def _add_to(report: Report, trials: Trials, dims: Dims, shapes: Sequence[Dims]) -> None:
    """What it writes into, and the sizes that decide whether it is right: behind another sentence, or in its place."""
    more = []
    written = sought(lambda: writes_into(trials, dims))
    if written:
        more.append(f"Your function changes its {written}.")
    decides = sought(lambda: what_decides(trials, shapes))
    if decides:
        more.append(decides)
    report.headline = [*(report.headline if report.described or not more else []), *more]
    report.described |= bool(more)


def _explain_by_geometry(report: Report, trials: Trials, smallest: Dims, shapes: Sequence[Dims]) -> Dims:
    """What every failing case says; the smallest case that says it."""
    failing = _failing(trials, smallest, shapes)
    changed = sought(lambda: right_for(trials, shapes))
    if changed:
        report.headline = [f"In all cases tried your results are those that would be right with {changed}."]
        return smallest
    telling = max(failing, key=lambda d: _size(trials, d))
    witnesses = [dims for dims in failing if dims is not telling and _has_several(trials, dims, telling)]
    said = [_describe(trials, dims) for dims in witnesses]
    for statement in _describe(trials, telling):
        if held(statement, said) is None:
            continue
        dims = trials.shrunk(telling, still=lambda d, s=statement: _says(trials, smallest, d, s))  # type: ignore[misc]
        own = next(s for s in _describe(trials, dims) if s.claim == statement.claim)
        is_general = len(witnesses) > 0 and len(witnesses) >= len(failing) - 2 and not statement.of_one_case
        alone = "" if is_general else f"On {name_dims(dims)}: "
        part = _mismatch(trials, dims).output
        of = f"{part}: " if part and _mismatch(trials, dims).kind == "sequence" else ""
        report.headline = [alone + of + (held(own, said) or statement).text]
        return dims
    axes = _axes(trials, _mismatch(trials, smallest))
    found = _across_cases(trials, failing) or next(causes(trials, shapes, failing, axes), "")
    if found:
        report.headline = [found]
        return smallest
    places = _places(trials, telling)
    if places and len(witnesses) > 1 and all(_places(trials, dims) == places for dims in witnesses):
        dims = trials.shrunk(telling, still=lambda d: _same_way(trials, smallest, d) and _places(trials, d) == places)
        report.headline = [f"Wrong: {places}, in each of {len(witnesses) + 1} failing cases; the rest is right."]
        return dims
    report.headline, report.described = [_plain_words(trials, smallest)], False
    return smallest


def _across_cases(trials: Trials, failing: Sequence[Dims]) -> str:
    """A rule for results of one number each, which only the cases together can show."""
    results = [(_mismatch(trials, dims).expected, _mismatch(trials, dims).got) for dims in failing]
    if any(not isinstance(e, np.ndarray) or e.size != 1 or e.dtype.kind not in "fiu" for e, _ in results):
        return ""
    e, g = (np.array([np.asarray(side, np.float64).item() for side in sides]) for sides in zip(*results))
    rule = relation(e, g, np.ones(len(e), bool), {}, whole=results[0][0].dtype.kind != "f")
    if rule is None or rule.number is None:
        return ""
    guess = rule.number * e if "/" in rule.claim else e + rule.number
    if not np.allclose(guess, g, rtol=1e-3 * abs(rule.number - 1) if "/" in rule.claim else 1e-6, atol=0):
        return ""  # the largest of the cases speaks for itself alone
    return rule.text.replace("everywhere", f"in all {len(e)} failing cases")


def _failing(trials: Trials, smallest: Dims, shapes: Sequence[Dims]) -> list[Dims]:
    """The cases in which the function fails as in the smallest one, of a size that is described; that one too."""
    cases = [dims for dims in shapes if _same_way(trials, smallest, dims) and _size(trials, dims) <= _LARGEST]
    return [smallest, *(dims for dims in cases if dims != smallest)]


def _same_way(trials: Trials, smallest: Dims, dims: Dims) -> bool:
    first, other = trials.outcome(smallest), trials.outcome(dims)
    return (
        isinstance(first, Mismatch)
        and isinstance(other, Mismatch)
        and (first.kind, first.output) == (other.kind, other.output)
    )


def _says(trials: Trials, smallest: Dims, dims: Dims, statement: Statement) -> bool:
    return _same_way(trials, smallest, dims) and any(s.claim == statement.claim for s in _describe(trials, dims))


def _mismatch(trials: Trials, dims: Dims) -> Mismatch:
    outcome = trials.outcome(dims)
    assert isinstance(outcome, Mismatch)
    return outcome


def _size(trials: Trials, dims: Dims) -> int:
    expected = _mismatch(trials, dims).expected
    return (
        int(np.size(expected))
        if isinstance(expected, np.ndarray)
        else len(expected)
        if hasattr(expected, "__len__")
        else 1
    )


def _has_several(trials: Trials, dims: Dims, telling: Dims) -> bool:
    """Whether a case has several of everything, and several wrong: else it cannot speak."""
    one, other = _mismatch(trials, dims), _mismatch(trials, telling)
    if one.wrong is None or other.wrong is None:
        return _size(trials, dims) > 2
    axes = zip(one.wrong.shape, other.wrong.shape)
    return int(one.wrong.sum()) >= 3 and all(n > 1 for n, most in axes if most > 1)


def _axes(trials: Trials, mismatch: Mismatch) -> tuple[str, ...]:
    exercise = trials.exercise
    first = exercise.outputs[0] if exercise.outputs else "result 0"
    return exercise.axes if mismatch.output in ("", first) else ()


def _describe(trials: Trials, dims: Dims) -> list[Statement]:
    mismatch = _mismatch(trials, dims)
    if mismatch.kind == "sequence":
        return describe_sequence(mismatch.expected, mismatch.got, dims)
    assert mismatch.wrong is not None
    args = trials.exercise.named_arguments(dims)
    return geometry.describe(mismatch.expected, mismatch.got, mismatch.wrong, _axes(trials, mismatch), dims, args)


def _places(trials: Trials, dims: Dims) -> str:
    mismatch = _mismatch(trials, dims)
    if mismatch.wrong is None:
        return ""
    return heat_map.wrong_slices(mismatch.wrong, heat_map.names_of(_axes(trials, mismatch), mismatch.wrong.ndim))


def _plain_words(trials: Trials, dims: Dims) -> str:
    """What is to be seen in one case, where no rule is found."""
    mismatch = _mismatch(trials, dims)
    if mismatch.wrong is None:
        if isinstance(mismatch.expected, dict):
            keys = [key for key in mismatch.expected if not same_value(mismatch.expected[key], mismatch.got[key])]
            return f"{len(keys)} of {len(mismatch.expected)} entries differ."
        if not isinstance(mismatch.expected, list | str | bytes):
            return "The result is another one."
        n, what = equal_up_to(mismatch.expected, mismatch.got), element_of(mismatch.expected)
        return f"Your result differs first at {what} {n}."
    if mismatch.wrong.size == 1:
        if not np.isfinite(np.asarray(mismatch.got, float)).all():
            return f"The number is {np.asarray(mismatch.got).item()}."
        return f"The number is wrong: off by {(np.asarray(mismatch.got, float) - mismatch.expected).item():.6g}."
    if mismatch.wrong.all():
        return "All numbers are wrong, and no simple rule was found that leads from the expected ones to yours."
    return f"{int(mismatch.wrong.sum())} of {mismatch.wrong.size} numbers are wrong, and no simple rule was found."


# --- the case -------------------------------------------------------------------------------------


def _show(report: Report, trials: Trials, dims: Dims, is_smallest: bool) -> None:
    """The numbers of one case, or its first difference; and how to run it again."""
    exercise, outcome = trials.exercise, trials.outcome(dims)
    report.case = show_dims(dims)
    if not isinstance(outcome, Mismatch):
        return
    if outcome.output:
        report.facts.append(("output", outcome.output))
    report.facts.append(("smallest case" if is_smallest else "small case", name_dims(dims)))
    args = exercise.named_arguments(dims) if exercise.observe is None else {}
    room = _SCREEN - len(report.lines())
    numbers = show_case(args, outcome.expected, outcome.got, room) if outcome.kind in ("numbers", "sequence") else []
    report.facts += numbers
    if not numbers and outcome.wrong is not None:
        report.facts.append(
            (
                "first difference",
                first_difference(outcome.expected, outcome.got, outcome.wrong, outcome.output or "out"),
            )
        )
    if not numbers and outcome.kind == "sequence":
        report.facts += _around(outcome)
    if outcome.wrong is not None and outcome.wrong.size > 1:
        names = heat_map.names_of(_axes(trials, outcome), outcome.wrong.ndim)
        report.facts.append(("wrong", heat_map.where(outcome.wrong, names).removeprefix("wrong: ")))
        if not numbers and outcome.wrong.mean() < 0.95:
            report.heat, report.heat_label = heat_map.heat_map(outcome.wrong, _axes(trials, outcome), height=6)
    if exercise.observe is None:
        report.facts.append(("again", f"minillama learn check {exercise.id} --case {report.case}"))


def _around(mismatch: Mismatch) -> list[tuple[str, str]]:
    """A longer sequence, around its first difference; of a dict the first entry that differs."""
    expected, got = mismatch.expected, mismatch.got
    if isinstance(expected, dict) and isinstance(got, dict):
        key = next(key for key in {**expected, **got} if not same_value(expected.get(key), got.get(key)))
        pairs = (("expected", expected), ("yours", got))
        return [(label, f"{key!r}: {shown(side.get(key, 'nothing')) or '…'}") for label, side in pairs]
    if not isinstance(expected, list | str | bytes) or not isinstance(got, type(expected)):
        return [("expected", repr(expected)[:150]), ("yours", repr(got)[:150])]
    n, what = equal_up_to(expected, got), element_of(expected)
    begin = max(0, n - 2)
    parts = [repr(side[begin : begin + 8])[:110] for side in (expected, got)]
    return [("first difference", f"at {what} {n} of {len(expected)}"), ("expected", parts[0]), ("yours", parts[1])]
