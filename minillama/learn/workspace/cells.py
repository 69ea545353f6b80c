"""A function from the cells of a notebook, with what it needs to stand in a file of its own.

It takes along imports, helpers and constants that cells define. Another exercise that it calls is the learner's own
where that stands in the same file and passes, and the book's otherwise. Left out: anything that a cell computes, such
as an array or a model; a function that reads one works in that notebook only.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..chapters.catalogue import catalogue
from ..chapters.texts import defined_names, global_names

# What a file has without asking. A notebook has more in `builtins`: what IPython, its kernel and debuggers put there.
_BUILTINS = frozenset(dir(builtins)) - {
    *("display", "get_ipython", "__IPYTHON__", "__IPYTHON__active", "_", "runfile", "execfile"),
}


class NotebookOnly(ValueError):
    """A function needs something that only its notebook has; the message says what."""


@dataclass
class Extract:
    """What to write into a file: import lines, and definitions in their order."""

    imports: dict[str, None] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "\n\n\n".join(self.definitions.values())


def extract(name: str, cells: Iterable[str], stands: Callable[[str], bool]) -> Extract:
    """A function by name and what it needs, from the texts of cells.

    Parameters
    ----------
    name : str
    cells : iterable of str
        In the order in which they ran; the last definition of a name counts.
    stands : callable
        Whether an exercise's function stands in the learner's file already, and passes; asked for those that are
        called. For the others the book's are imported.

    Raises
    ------
    NotebookOnly
        When no cell defines the function, or when it reads what a cell has computed.
    """
    found: dict[str, tuple[str, ast.stmt]] = {}
    for cell in cells:
        try:
            body = ast.parse(cell).body
        except SyntaxError:
            continue  # it ran as a magic command, or not at all
        for node in body:
            is_exercise = not isinstance(node, ast.FunctionDef)  # x = now_you("x") does not define x
            found |= {n: (cell, node) for n in defined_names(node) if not (is_exercise and n in catalogue())}
    if name not in found:
        raise NotebookOnly(f"no cell defines {name}")
    result = Extract()
    _add(name, found, stands, result, set())
    return result


def _add(
    name: str, found: dict[str, tuple[str, ast.stmt]], stands: Callable[[str], bool], into: Extract, seen: set[str]
) -> None:
    """A definition, after those that it reads."""
    seen.add(name)
    cell, node = found[name]
    text = _text_of(cell, node)
    for needed in global_names(text):
        if needed in seen or (needed in _BUILTINS and needed not in found):
            continue
        if needed in catalogue():
            if not stands(needed):
                text = _with_the_books(text, needed, into)
        elif needed not in found:
            raise NotebookOnly(f"{name} reads {needed}, which no cell defines")
        elif isinstance(found[needed][1], ast.Import | ast.ImportFrom):
            into.imports |= dict.fromkeys(_import_lines(found[needed][1], needed))
        elif isinstance(found[needed][1], ast.FunctionDef | ast.ClassDef) or _is_constant(found[needed][1]):
            _add(needed, found, stands, into, seen)
        else:
            raise NotebookOnly(f"{name} reads {needed}, which a cell computes: make it an argument")
    into.definitions[name] = text


def _text_of(cell: str, node: ast.stmt) -> str:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return "\n".join(cell.splitlines()[first - 1 : node.end_lineno])


def _import_lines(node: ast.stmt, name: str) -> list[str]:
    """`import a.b as c` for one name of a statement."""
    assert isinstance(node, ast.Import | ast.ImportFrom)
    alias = next(a for a in node.names if name in (a.asname, a.name, a.name.partition(".")[0]))
    what = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
    return [f"import {what}" if isinstance(node, ast.Import) else f"from {node.module} import {what}"]


def _is_constant(node: ast.stmt) -> bool:
    """Whether an assignment holds a number or a text, or a tuple of them, and nothing that was computed."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    try:
        ast.literal_eval(node.value)
    except ValueError:
        return False
    return True


def _with_the_books(text: str, id: str, into: Extract) -> str:
    """The text with another exercise's name replaced by that of the book's function, which is imported."""
    other = f"book_{id}"
    into.imports[f"from {catalogue()[id].function.__module__} import {id} as {other}"] = None
    lines = [line.encode() for line in text.splitlines()]  # columns of a syntax tree count bytes
    places = [(n.lineno, n.col_offset) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name) and n.id == id]
    for line, column in sorted(places, reverse=True):
        old = lines[line - 1]
        lines[line - 1] = old[:column] + other.encode() + old[column + len(id) :]
    return "\n".join(line.decode() for line in lines)
