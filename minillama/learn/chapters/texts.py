"""The texts that are made of an exercise's file: what a learner starts with, the solution, the table of a chapter.

A file in `chapters/` holds the solved function with the learner's docstring. The starter is its signature and
docstring, the solution the rest, after the imports and helpers that it needs. Nothing here imports an exercise but
`table`, so that a folder of starters is made in a moment.
"""

from __future__ import annotations

import ast
import re
import symtable
import sys
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from .catalogue import catalogue, chapter_packages

_USUAL_IMPORTS = ("import numpy as np",)
_LIBRARIES = ("numba", "numpy")


def file_name(chapter: ModuleType) -> str:
    """The learner's file of a chapter: "05_rope.py"."""
    return f"{chapter.__name__.rpartition('.ch')[2]}.py"


def starter_file(chapter: ModuleType) -> str:
    """All starters of a chapter, after its text, imports and constants."""
    imports = getattr(chapter, "IMPORTS", _USUAL_IMPORTS)
    head = [f'"""{chapter.__doc__}"""\n', _sorted_imports(imports), *_given(chapter)]
    return _page(head, [_Source.of(chapter, id).starter(id) for id in chapter.EXERCISES])


def solution_file(chapter: ModuleType) -> str:
    """All solutions of a chapter."""
    title = (chapter.__doc__ or "").partition("\n")[0]
    parts = _Parts()
    for id in chapter.EXERCISES:
        parts.add_exercise(chapter, id)
    what = "`minillama learn solution` shows these after a pass."
    made = "Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`."
    head = [f'"""{title} Solved.\n\n{what}\n{made}\n"""\n', _sorted_imports(parts.imports), *_given(chapter)]
    return _page(head, parts.definitions.values())


def starter(id: str) -> str:
    """The function as a learner gets it."""
    return _Source.of(_chapter_of(id), id).starter(id)


def solution(id: str, known: Collection[str] = ()) -> str:
    """The solved function, and in front of it what a fresh starter does not have.

    Parameters
    ----------
    id : str
    known : collection of str
        Exercises that the learner has solved: where the solution calls one of them, theirs will do.
    """
    chapter = _chapter_of(id)
    parts = _Parts(set(known) - {id})
    parts.add_exercise(chapter, id)
    there = set(getattr(chapter, "IMPORTS", _USUAL_IMPORTS))
    imports = _sorted_imports(line for line in parts.imports if line not in there)
    return _page([imports] if imports else [], parts.definitions.values())


def solution_of(id: str) -> str:
    """The solved function alone, without its docstring and without what it calls."""
    return _Source.of(_chapter_of(id), id).solution(id)


def table(chapter: ModuleType) -> str:
    """The exercises of a chapter as a table in Markdown."""
    rows = ["| exercise | what | difficulty | minutes | path |", "|---|---|---|---|---|"]
    for id in chapter.EXERCISES:
        one = catalogue()[id]
        more = "; runs in a model" * (one.replaces is not None) + "; with a speed card" * (one.speed is not None)
        path = "core" if id in chapter.CORE else ""
        rows.append(f"| `{id}` | {one.title}{more} | {one.difficulty} | {one.minutes} | {path} |")
    return "\n".join(rows)


def _chapter_of(id: str) -> ModuleType:
    return next(chapter for chapter in chapter_packages() if id in chapter.EXERCISES)


def _page(head: Iterable[str], definitions: Iterable[str]) -> str:
    """Text as the formatter would leave it: two empty lines around functions."""
    return "\n\n\n".join(filter(None, ["\n".join(head).strip("\n"), *definitions])) + "\n"


def _given(chapter: ModuleType) -> list[str]:
    """The constants of `given.py`, if the chapter has one."""
    if not _Source.path(chapter, "given").exists():
        return []
    source = _Source.of(chapter, "given")
    return [source.text_of(node) for node in source.tree.body if isinstance(node, ast.Assign)]


def _sorted_imports(lines: Iterable[str]) -> str:
    """Import statements in the order of the linter: standard library, libraries, this package."""
    groups: dict[int, list[str]] = {}
    for line in _merged(lines):
        root = line.split()[1].partition(".")[0]
        group = 0 if root in sys.stdlib_module_names else 1 if root in _LIBRARIES else 2
        groups.setdefault(group, []).append(line)
    return "\n\n".join(
        "\n".join(sorted(groups[g], key=lambda line: line.startswith("from"))) for g in sorted(groups)
    ) + ("\n" if groups else "")


def _merged(lines: Iterable[str]) -> list[str]:
    """Names from one module on one line, everything in order."""
    plain, names = set(), dict[str, set[str]]()
    for line in lines:
        found = re.fullmatch(r"from (\S+) import (.+)", line)
        if found:
            names.setdefault(found[1], set()).update(found[2].split(", "))
        else:
            plain.add(line)
    return sorted(plain) + [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names)]


class _Parts:
    """What a solution is made of, in the order in which it has to stand."""

    def __init__(self, known: Collection[str] = ()) -> None:
        self.imports: dict[str, None] = {}
        self.definitions: dict[str, str] = {}
        self._known = known

    def add_exercise(self, chapter: ModuleType, id: str) -> None:
        """A solved function, after what it calls."""
        if id in self._known or id in self.definitions:
            return
        source = _Source.of(chapter, id)
        text = source.solution(id)
        self._add_needed(chapter, source, text, id)
        self.definitions[id] = text

    def _add_needed(self, chapter: ModuleType, source: _Source, text: str, name: str) -> None:
        for needed in global_names(text):
            if needed == name or needed not in source.names:
                continue
            node = source.names[needed]
            if isinstance(node, ast.Import):
                self.imports[source.text_of(node)] = None
            elif isinstance(node, ast.ImportFrom):
                self._add_imported(chapter, node, needed)
            else:
                self._add_definition(chapter, source, needed)

    def _add_imported(self, chapter: ModuleType, node: ast.ImportFrom, name: str) -> None:
        alias = next(alias for alias in node.names if (alias.asname or alias.name) == name)
        if node.level == 1:  # another file of the chapter
            module = node.module or ""
            if module in chapter.EXERCISES:
                self.add_exercise(chapter, module)
            elif module != "given":  # the starter has that
                self._add_definition(chapter, _Source.of(chapter, module), alias.name)
            return
        parents = chapter.__name__.split(".")
        base = parents[: len(parents) - node.level + 1] if node.level else []
        module = ".".join([*base, *filter(None, [node.module])])
        self.imports[f"from {module} import {alias.name}{f' as {alias.asname}' if alias.asname else ''}"] = None

    def _add_definition(self, chapter: ModuleType, source: _Source, name: str) -> None:
        if name not in self.definitions:
            text = source.text_of(source.names[name])
            self._add_needed(chapter, source, text, name)
            self.definitions[name] = text


class _Source:
    """The text of one file of a chapter, and the statements that define its names."""

    def __init__(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        self.lines, self.tree = text.splitlines(), ast.parse(text)
        self.names: dict[str, ast.stmt] = {}
        for node in self.tree.body:
            for name in defined_names(node):
                self.names[name] = node

    @staticmethod
    def path(chapter: ModuleType, module: str) -> Path:
        return Path(chapter.__path__[0]) / f"{module}.py"

    @staticmethod
    @cache
    def of(chapter: ModuleType, module: str) -> _Source:
        return _Source(_Source.path(chapter, module))

    def text_of(self, node: ast.stmt) -> str:
        return "\n".join(self.lines[_first_line(node) - 1 : node.end_lineno])

    def starter(self, id: str) -> str:
        """Signature, docstring, and nothing after it."""
        function = self._function(id)
        text = self.lines[function.lineno - 1 : function.body[0].end_lineno]
        return "\n".join([*text, "    raise NotImplementedError"])

    def solution(self, id: str) -> str:
        """The function without its docstring and without the exercise around it."""
        function = self._function(id)
        docstring = function.body[0]
        others = [d for d in function.decorator_list if not _is_exercise(d)]
        decorators = ["@" + "\n".join(self.lines[d.lineno - 1 : d.end_lineno]).lstrip("@") for d in others]
        signature = self.lines[function.lineno - 1 : docstring.lineno - 1]
        body = "\n".join(self.lines[docstring.end_lineno or 0 : function.end_lineno]).lstrip("\n")
        return "\n".join([*decorators, *signature, body])

    def _function(self, id: str) -> ast.FunctionDef:
        function = self.names[id]
        assert isinstance(function, ast.FunctionDef)
        return function


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def _is_exercise(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "exercise"


def defined_names(node: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a file defines."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))


def global_names(text: str) -> list[str]:
    """Names that a definition reads from the file around it, in order of appearance."""
    found: set[str] = set()
    tables = [symtable.symtable(text, "solution", "exec")]
    while tables:
        scope = tables.pop()
        tables += scope.get_children()
        top = scope.get_type() == "module"
        found |= {s.get_name() for s in scope.get_symbols() if s.is_referenced() and (top or s.is_global())}
    return sorted(found, key=lambda name: re.search(rf"\b{name}\b", text).start())  # type: ignore[union-attr]
