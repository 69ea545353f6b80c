"""`now_you`: the place in a chapter where the reader writes a function, and the function that the chapter goes on with.

    softmax_over_keys = now_you("softmax_over_keys")

Theirs is taken where it passes: from a cell of the notebook, or from their folder, `my-llama`. A function of a cell
that passes is written into the folder, so that it counts as if it had been written there: in `minillama learn`,
`verify` and `generate --with`. Otherwise the chapter goes on with the book's, so that every notebook runs from top to
bottom, whatever is solved.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from ..chapters.catalogue import get_exercise
from ..diagnosis.report import NOT_STARTED, Report
from ..exercises.exercise import Exercise
from ..notebook import check
from ..workspace.folder import Workspace, WorkspaceError, find_workspace
from ..workspace.from_notebook import checked_function, is_begun, keep, note
from .controls import is_being_built

_WIDEST = 110  # columns of a printed line
_from_cells: dict[str, Callable[..., Any]] = {}  # by exercise; the name itself may be the book's by now


def now_you(exercise_id: str) -> Callable[..., Any]:
    """The reader's function where it passes its check, otherwise the book's; says which in one line.

    Parameters
    ----------
    exercise_id : str
        Such as "softmax_over_keys".

    Returns
    -------
    function : callable
        With the exercise's signature.

    Raises
    ------
    ValueError
        When there is no exercise of that name.
    """
    from IPython.display import display

    exercise, workspace = get_exercise(exercise_id), _workspace()
    failed: list[tuple[str, Report]] = []
    own = _function_of_a_cell(exercise_id)
    if own is not None:
        report = check(exercise_id, own)
        if report.passed:
            kept = _NO_FOLDER if workspace is None else keep(workspace, exercise, _cells())
            _say(f"{exercise_id} is yours from here on: it passes on {report.n_shapes} cases. {kept}")
            return own
        if workspace is not None:
            _say(note(workspace, exercise, report))
        failed.append(("of this notebook", report))
    if workspace is not None and is_begun(workspace, exercise_id):
        file = workspace.path_of(exercise_id).name
        function, report = checked_function(workspace, exercise)
        _say(note(workspace, exercise, report))
        if report.passed:
            for where, other in _begun(failed):
                display(other)
                _say(f"Yours {where} does not pass yet: the one in {file} is used.")
            _say(f"{exercise_id} is yours from here on: it passes on {report.n_shapes} cases, in {file}.")
            return function
        failed.append((f"in {file}", report))
    _explain(exercise, workspace, _begun(failed))
    return exercise.function


def _begun(failed: list[tuple[str, Report]]) -> list[tuple[str, Report]]:
    """Those of the reader's functions that have more than a starter, with where they stand."""
    return [(where, report) for where, report in failed if report.status != NOT_STARTED]


_NO_FOLDER = "It is not recorded: `minillama learn start my-llama` makes a folder; then run the cell again."


def _explain(exercise: Exercise, workspace: Workspace | None, failed: list[tuple[str, Report]]) -> None:
    """Say why the chapter goes on with the book's function: what is wrong with the reader's, or what is asked for."""
    from IPython.display import display

    if failed:
        where, report = failed[0]
        display(report)
        _say(f"{exercise.id} is the book's from here on: yours {where} does not pass yet.")
        return
    contract = textwrap.indent(inspect.getdoc(exercise.function) or exercise.task, "    ")
    call = f"{exercise.id}{inspect.signature(exercise.function)}, about {exercise.minutes} minutes"
    _say(f"{textwrap.fill(call, _WIDEST, subsequent_indent='    ')}\n{contract}\n")
    _say(f"{exercise.id} is the book's from here on.")
    _say("Yours: write it above the call, in this cell, and run it again,")
    if workspace is None:
        _say("or in a folder that `minillama learn start my-llama` makes.")
        return
    try:
        _say(f"or in {workspace.path_of(exercise.id).name} of {workspace.folder.name}.")
    except WorkspaceError as error:
        _say(f"or in your folder, of which {error}.")


def _workspace() -> Workspace | None:
    """The reader's folder, if there is one."""
    if is_being_built():
        return None
    try:
        return find_workspace()
    except WorkspaceError as error:
        if "cannot be read" in str(error):  # progress that is damaged, not a folder that is not there
            _say(f"Nothing is recorded: {error}")
        return None


def _function_of_a_cell(id: str) -> Callable[..., Any] | None:
    """The function of that name that a cell has defined last, or nothing."""
    shell = _shell()
    if shell is None:
        return None
    function = shell.user_ns.get(id)
    plain = getattr(function, "py_func", function)  # a compiled function keeps the one that was written
    if callable(plain) and getattr(plain, "__module__", "") == shell.user_ns["__name__"]:
        _from_cells[id] = function
    return _from_cells.get(id)


def _cells() -> list[str]:
    """The texts of the cells that have run."""
    shell = _shell()
    return [shell.transform_cell(text) for text in shell.user_ns["In"]]


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _say(text: str) -> None:
    """Print a sentence, if there is one."""
    if text:
        print(text)  # noqa: T201
