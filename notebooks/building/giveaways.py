"""Answers that stand in a chapter before the question: functions of unfolded cells that pass an exercise.

Every function that an unfolded cell defines, whatever its name, is run on the inputs of all exercises that take as many
arguments; so is every function that such a function makes without being given anything. A chapter is not executed for
it: of each cell only imports, definitions and constants are run. A name that `now_you` fills is the book's function,
except while that very exercise is tried: calling what the reader wrote gives nothing away.
"""

from __future__ import annotations

import ast
import inspect
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from .sources import code_cells, is_folded, read_source

_SECONDS = 5.0  # of CPU time, for one function and one exercise: a kernel may be compiled in it


def given_away(path: Path) -> Iterator[str]:
    """The exercises that a function in an unfolded cell passes."""
    for name, function in functions(path):
        for id in passed_by(function):
            yield f"{name} passes {id}: fold it, or derive another case"


def functions(path: Path) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions that unfolded cells define, and those that they make of nothing."""
    notebook = read_source(path)
    names: dict[str, Any] = {"__name__": "chapter"}
    open_names: dict[str, None] = {}
    for cell in code_cells(notebook):
        for node in ast.parse(cell.source).body:
            _run(node, names)
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign) and not is_folded(cell):
                open_names |= dict.fromkeys(_bound(node))
    for name in open_names:
        yield from _made(name, names.get(name))


def _run(node: ast.stmt, names: dict[str, Any]) -> None:
    """Run imports and definitions, and assignments that need nothing which takes long."""
    if isinstance(node, ast.Assign):
        call = node.value
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "now_you":
            from minillama.learn.chapters.catalogue import get_exercise

            names[_bound(node)[0]] = get_exercise(ast.literal_eval(call.args[0])).function
            return
        if not isinstance(call, ast.Constant | ast.Lambda | ast.Tuple | ast.Dict | ast.List):
            return
    elif not isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
        return
    with suppress(Exception):  # it may need what another cell computes
        exec(compile(ast.Module([node], []), "<chapter>", "exec"), names)


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    assert isinstance(node, ast.Assign)
    return [part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)]


def _made(name: str, value: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """A function itself, the methods of a class, and what a function returns that can be called without arguments."""
    plain = getattr(value, "py_func", value)
    if inspect.isclass(plain):
        for method, function in vars(plain).items():
            if inspect.isfunction(function):
                yield f"{name}.{method}", function
    elif inspect.isfunction(plain) and plain.__module__ == "chapter":
        yield name, plain
        if 0 in n_arguments(plain):
            with _time_limit():
                try:
                    made = plain()
                except Exception:
                    return
                if inspect.isfunction(made):
                    yield f"what {name}() returns", made


def n_arguments(function: Callable[..., Any]) -> range:
    """How many positional arguments a function takes."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return range(0)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return range(1, 10)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return range(0)
    return range(sum(p.default is p.empty for p in positional), len(positional) + 1)


def passed_by(function: Callable[..., Any]) -> list[str]:
    """Ids of the exercises that a function passes."""
    from minillama.learn.chapters.catalogue import catalogue

    counts = n_arguments(function)
    found = []
    for id, exercise in catalogue().items():
        if len(inspect.signature(exercise.function).parameters) in counts and _passes(exercise, function):
            found.append(id)
    return found


class _TooLong(BaseException):
    pass


def _not_written(*args: Any) -> Any:
    raise NotImplementedError


@contextmanager
def _unsolved(exercise: Any, function: Callable[..., Any]) -> Iterator[None]:
    """While an exercise is tried, the chapter's name of it is not written."""
    names = getattr(function, "__globals__", {})
    kept = names.get(exercise.id)
    if kept is not exercise.function:
        yield
        return
    names[exercise.id] = _not_written
    try:
        yield
    finally:
        names[exercise.id] = kept


def _passes(exercise: Any, function: Callable[..., Any]) -> bool:
    from minillama.learn.diagnosis.compare import compare

    with np.errstate(all="ignore"), warnings.catch_warnings(), _unsolved(exercise, function), _time_limit():
        warnings.simplefilter("ignore")
        try:
            for dims in exercise.shapes:  # the smallest first: nearly all fail there
                if not compare(exercise, _expected(exercise, dims), exercise.run(function, dims)).equal:
                    return False
        except (Exception, _TooLong, SystemExit):
            return False
    return True


_known: dict[tuple[str, str], Any] = {}


def _expected(exercise: Any, dims: Any) -> Any:
    key = exercise.id, str(dims)
    if key not in _known:
        _known[key] = exercise.run(exercise.reference, dims)
    return _known[key]


@contextmanager
def _time_limit() -> Iterator[None]:
    """Interrupt after a while of CPU time, where the system can: a busy machine compiles a kernel slowly."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
