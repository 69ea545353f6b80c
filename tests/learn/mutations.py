"""Small changes of a function's text, one at a time: what somebody may write in place of it.

    for mutant in mutants(text):
        mutant.id, mutant.text          "3: x * x → x / x", and the whole text with that change

Operators, bounds, constants, axes, dtypes, conditions, copies, arguments by keyword, and the order of statements. An
id is the line of the text and the smallest expression that occurs once in its statement, before and after.
"""

from __future__ import annotations

import ast
import copy
import warnings
from collections.abc import Iterator
from typing import NamedTuple

_OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}
_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ORDERED = (ast.Sub, ast.Div, ast.FloorDiv, ast.Pow, ast.MatMult)
_COMMUTES = (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr)
_OTHER_NAMES = {
    "float64": ("float32",),
    "float32": ("float64",),
    "float16": ("float32",),
    "int64": ("int32",),
    "int32": ("int64",),
    "min": ("max",),
    "max": ("min",),
    "minimum": ("maximum",),
    "maximum": ("minimum",),
    "any": ("all",),
    "all": ("any",),
    "floor": ("ceil",),
    "ceil": ("floor",),
    "zeros": ("ones",),
    "ones": ("zeros",),
    "sum": ("mean",),
    "mean": ("sum",),
    "argmax": ("argmin",),
    "argmin": ("argmax",),
    "rint": ("trunc", "floor"),
    "trunc": ("rint",),
    "startswith": ("endswith",),
    "endswith": ("startswith",),
}
_MODULES = ("np", "math", "re", "numba")
_SHORTEST = 6  # characters of the expression that an id shows


class Mutant(NamedTuple):
    """A change and the text with it."""

    id: str
    text: str


def mutants(text: str) -> Iterator[Mutant]:
    """All changes of a text of definitions that compile, each text once, in the order of the text.

    Decorators are left out: a kernel runs as plain Python.
    """
    tree = _without_decorators(ast.parse(text))
    seen, ids = {ast.unparse(tree)}, set()
    for change, changed in _changes(tree):
        if changed in seen or not _compiles(changed):
            continue
        seen.add(changed)
        n = 2
        id = change
        while id in ids:
            id, n = f"{change} ({n})", n + 1
        ids.add(id)
        yield Mutant(id, changed)


def without_decorators(text: str) -> str:
    """The text itself, as `mutants` changes it."""
    return ast.unparse(_without_decorators(ast.parse(text)))


def _without_decorators(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
    return tree


def _compiles(text: str) -> bool:
    with warnings.catch_warnings(action="ignore"):
        try:
            compile(text, "<mutant>", "exec")
        except SyntaxError:
            return False
    return True


# --- where: every expression and statement of the tree, replaced and put back ---------------------


class _Place(NamedTuple):
    """A node, and where it hangs."""

    parent: ast.AST
    field: str
    index: int | None

    def get(self) -> ast.AST:
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]  # type: ignore[no-any-return]

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def _changes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Id and text of every change, identical ones too."""
    for path in list(_paths(tree, [])):
        place, node = path[-1], path[-1].get()
        if isinstance(node, ast.stmt):
            yield from _statement_changes(tree, place, node)
            if isinstance(node, ast.FunctionDef):
                continue
        for new in list(_replacements(path, node)):
            before, up = _around(path)
            place.put(ast.copy_location(new, node))
            text, after = ast.unparse(tree), _shown(path[-up].get())
            place.put(node)
            yield f"{_line(path)}: {before} → {after}", text


def _paths(node: ast.AST, path: list[_Place]) -> Iterator[list[_Place]]:
    """The way to every node that may be changed, from the outermost statement on."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "args") and isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.JoinedStr | ast.FormattedValue) and field != "value":
            continue
        children = [(None, value)] if isinstance(value, ast.AST) else list(enumerate(value)) if _is_list(value) else []
        for index, child in children:
            if isinstance(child, ast.expr | ast.stmt | ast.comprehension | ast.keyword):
                here = [*path, _Place(node, field, index)]
                yield here
                yield from _paths(child, here)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], ast.AST)


def _line(path: list[_Place]) -> int:
    return next(node.lineno for place in reversed(path) if hasattr(node := place.get(), "lineno"))


def _around(path: list[_Place]) -> tuple[str, int]:
    """The smallest expression around a node that occurs once in the first line of its statement, and how far up."""
    statement = next(place.get() for place in reversed(path) if isinstance(place.get(), ast.stmt))
    whole = _shown(statement)
    for up in range(1, len(path) + 1):
        node = path[-up].get()
        text = _shown(node)
        is_telling = not isinstance(node, ast.Slice | ast.Constant | ast.comprehension) and len(text) >= _SHORTEST
        if node is statement or (is_telling and whole.count(text) == 1):
            return text, up
    raise AssertionError("a node hangs in a statement")


def _shown(node: ast.AST) -> str:
    """An expression, or the first line of a statement, on one line."""
    text = ast.unparse(node)
    return text.split("\n")[0] if isinstance(node, ast.stmt) else " ".join(text.split("\n"))


# --- what: other statements --------------------------------------------------------------------


def _statement_changes(tree: ast.Module, place: _Place, node: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom) or place.index is None:
        return
    block: list[ast.stmt] = getattr(place.parent, place.field)
    if not isinstance(node, ast.Return) and isinstance(place.parent, ast.stmt):
        place.put(ast.copy_location(ast.Pass(), node))
        yield f"{node.lineno}: {_shown(node)} → deleted", ast.unparse(tree)
        place.put(node)
    following = block[place.index + 1] if place.index + 1 < len(block) else None
    ends = isinstance(following, ast.Return | ast.Break | ast.Continue)
    if following is not None and not ends and not _are_independent(node, following):
        block[place.index : place.index + 2] = [following, node]
        yield f"{node.lineno}: {_shown(node)} → after {_shown(following)}", ast.unparse(tree)
        block[place.index : place.index + 2] = [node, following]


def _are_independent(a: ast.stmt, b: ast.stmt) -> bool:
    """Whether two assignments to names can stand in either order: for sure, by the names in them."""
    if not (isinstance(a, ast.Assign) and isinstance(b, ast.Assign)):
        return False
    targets = [part for node in (a, b) for target in node.targets for part in ast.walk(target)]
    if not all(isinstance(part, ast.Name | ast.Tuple | ast.expr_context) for part in targets):
        return False
    (set_a, read_a, used_a), (set_b, read_b, used_b) = map(_names, (a, b))
    return not (set_a & (set_b | read_b) or set_b & read_a or used_a & used_b)


def _names(node: ast.stmt) -> tuple[set[str], set[str], set[str]]:
    """Names that are set, that are read, and of which a method is called, which may change what they name."""
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    receivers = [
        part.func.value
        for part in ast.walk(node)
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute)
    ]
    return (
        {name.id for name in names if isinstance(name.ctx, ast.Store)},
        {name.id for name in names if isinstance(name.ctx, ast.Load)},
        {name.id for name in receivers if isinstance(name, ast.Name)} - {*_MODULES},
    )


# --- what: other expressions --------------------------------------------------------------------


def _replacements(path: list[_Place], node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that may stand in place of one."""
    match node:
        case ast.BinOp():
            yield from _binary(node)
        case ast.AugAssign():
            for operator in _OPERATORS.get(type(node.op), ()):
                yield ast.AugAssign(node.target, operator(), node.value)
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.BinOp(left=ast.Name(id=left))) if name == left:
            value = node.value
            assert isinstance(value, ast.BinOp)
            yield ast.AugAssign(node.targets[0], value.op, value.right)
        case ast.Compare():
            for i, operator in enumerate(node.ops):
                operators = list(node.ops)
                operators[i] = _COMPARISONS[type(operator)]()
                yield ast.Compare(node.left, operators, node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
            for i in range(len(node.values)):
                rest = node.values[:i] + node.values[i + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            if not _is_any_size(path):
                yield from (_number(other) for other in (*_other_numbers(-value), value))
        case ast.UnaryOp():
            yield node.operand
        case ast.Constant():
            if not _is_negated(path):
                yield from _constants(node)
        case ast.Slice():
            yield from _slices(node)
        case ast.Name(ctx=ast.Load()):
            yield from (ast.Name(other, node.ctx) for other in _OTHER_NAMES.get(node.id, ()))
        case ast.Attribute(ctx=ast.Load()):
            yield from (ast.Attribute(node.value, other, node.ctx) for other in _OTHER_NAMES.get(node.attr, ()))
            if node.attr == "T":
                yield node.value
        case ast.Call():
            yield from _calls(node)
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.comprehension():
            for i in range(len(node.ifs)):
                yield ast.comprehension(node.target, node.iter, node.ifs[:i] + node.ifs[i + 1 :], node.is_async)
        case ast.If():
            yield from (ast.If(ast.Constant(value), node.body, node.orelse) for value in (True, False))
        case ast.While():
            yield ast.While(ast.Constant(False), node.body, node.orelse)


def _binary(node: ast.BinOp) -> Iterator[ast.AST]:
    for operator in _OPERATORS.get(type(node.op), ()):
        yield ast.BinOp(node.left, operator(), node.right)
    yield node.left
    if isinstance(node.op, _COMMUTES):
        yield node.right
    if isinstance(node.op, _ORDERED):
        yield ast.BinOp(node.right, node.op, node.left)


def _is_any_size(path: list[_Place]) -> bool:
    """Whether a number is the -1 of a reshape, which every negative number means."""
    parent = path[-1].parent
    return isinstance(parent, ast.Call) and _name(parent.func) == "reshape"


def _is_negated(path: list[_Place]) -> bool:
    """Whether a constant is the 1 of -1, which is changed as a whole."""
    parent = path[-1].parent
    return isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.USub)


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    match node.value:
        case bool(value):
            yield ast.Constant(not value)
        case int(value) | float(value):
            yield from map(_number, _other_numbers(value))
        case str(value):
            yield ast.Constant("" if value else "x")
        case bytes(value):
            yield ast.Constant(b"" if value else b"x")


def _other_numbers(value: float) -> tuple[float, ...]:
    if isinstance(value, int):
        return value + 1, value - 1
    return (2 * value, value / 2) if value else (1.0,)


def _number(value: float) -> ast.expr:
    return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if value < 0 else ast.Constant(value)


def _moved(end: ast.expr, by: int) -> ast.expr:
    return ast.BinOp(copy.deepcopy(end), ast.Add() if by > 0 else ast.Sub(), ast.Constant(1))


def _slices(node: ast.Slice) -> Iterator[ast.AST]:
    lower, upper, step = node.lower, node.upper, node.step
    if lower is None:
        yield ast.Slice(ast.Constant(1), upper, step)
    elif not _is_number(lower):
        yield from (ast.Slice(_moved(lower, by), upper, step) for by in (1, -1))
    if upper is None:
        yield ast.Slice(lower, _number(-1), step)
    elif not _is_number(upper):
        yield from (ast.Slice(lower, _moved(upper, by), step) for by in (1, -1))
    if lower is not None and not (isinstance(lower, ast.Constant) and lower.value == 0):
        yield ast.Slice(None, upper, step)
    if upper is not None:
        yield ast.Slice(lower, None, step)
    if step is not None:
        yield ast.Slice(lower, upper, None)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, ast.Constant)


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    """Without an argument by keyword; the (first) argument or the object alone; arguments exchanged; other bounds."""
    for i in range(len(node.keywords)):
        yield ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :])
    name = _name(node.func)
    if len(node.args) >= 2 and name not in ("min", "max", "minimum", "maximum", "swapaxes"):
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    if len(node.args) == 1 or name in ("clip", "round", "get"):
        yield node.args[0]
    elif name in ("min", "max", "minimum", "maximum", "where"):
        yield from node.args[name == "where" :]
    if isinstance(node.func, ast.Attribute) and not (
        isinstance(node.func.value, ast.Name) and node.func.value.id in _MODULES
    ):
        yield node.func.value
    if name in ("range", "prange", "arange"):
        yield from _ranges(node)


def _name(function: ast.expr) -> str:
    """Of a function or a method, without what it belongs to."""
    return ast.unparse(function).rpartition(".")[2]


def _ranges(node: ast.Call) -> Iterator[ast.AST]:
    if len(node.args) == 1:
        yield ast.Call(node.func, [ast.Constant(1), *node.args], node.keywords)
    for i, bound in enumerate(node.args[:2]):
        if not _is_number(bound):
            for by in (1, -1):
                yield ast.Call(node.func, [*node.args[:i], _moved(bound, by), *node.args[i + 1 :]], node.keywords)
