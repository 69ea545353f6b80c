"""Jinja templates of chat models, rendered as `transformers` does (utils/chat_template_utils.py), within limits.

`trim_blocks` and `lstrip_blocks`; `break` and `continue`; `{% generation %}`, a block around what the model says,
written unchanged; `raise_exception`, by which a template refuses a conversation; `strftime_now`; `tojson` without
escapes for HTML; namespaces and `dict` without their inner parts; the immutable sandbox. The rest is Jinja's own.

Left out: `lipsum`, which writes random Latin. `include` and `extends` find no other template.

This file imports jinja2: import it inside the function that needs it.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jinja2 import Template, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from .limits import Budget, LimitError, check_call, check_operation, check_size, weight

_budget: ContextVar[Budget] = ContextVar("budget")  # of the rendering that runs in this thread
_now: ContextVar[datetime.datetime] = ContextVar("now")


class TemplateRefusal(ValueError):
    """The template cannot be read, cannot render the conversation, or does not want to."""


def render(source: str, variables: Mapping[str, Any], now: datetime.datetime) -> str:
    """The text that a template writes.

    Parameters
    ----------
    source : str
    variables : mapping
        Plain data: `messages`, `add_generation_prompt`, `bos_token` …
    now : datetime
        What `strftime_now` reads.

    Raises
    ------
    TemplateRefusal
        With what the template or Jinja says; also when it takes more time or text than `limits` allows.
    """
    budget_before, now_before = _budget.set(Budget()), _now.set(now)
    try:
        with _one_error():
            return "".join(_compiled(source).generate(variables))
    finally:
        _budget.reset(budget_before)
        _now.reset(now_before)


@contextmanager
def _one_error() -> Iterator[None]:
    """Whatever goes wrong with a template is one TemplateRefusal."""
    try:
        yield
    except LimitError as error:
        raise TemplateRefusal(f"the model's chat template is stopped: {error}") from None
    except RecursionError:
        raise TemplateRefusal("the model's chat template is nested too deeply, or calls itself for ever") from None
    except MemoryError:
        raise TemplateRefusal("the model's chat template takes more memory than there is") from None
    except Exception as error:  # a template is a program: it can fail in every way that Python can
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TemplateRefusal(f"the model's chat template cannot render this conversation: {reason:.500}") from error


@lru_cache(maxsize=64)
def literal_texts(source: str) -> tuple[str, ...]:
    """The texts that a template holds: what it writes, and the constants in its expressions.

    Raises
    ------
    TemplateRefusal
        When it cannot be read.
    """
    with _one_error():
        tree = _environment().parse(source)
    texts = {node.data for node in tree.find_all(nodes.TemplateData)}
    texts |= {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)}
    return tuple(sorted(texts))


@lru_cache(maxsize=64)
def _compiled(source: str) -> Template:
    return _environment().from_string(source)


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox; what can make a text longer asks `limits` first."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return tree

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check_operation(operator, left, right)
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, str | list):
            (_budget.get().write if operator == "*" else _budget.get().copy)(len(result))
        return result

    def call(__self, __context: Context, __function: Any, *arguments: Any, **named: Any) -> Any:
        _check_time()
        function = getattr(__function, "__wrapped__", __function)  # `str.format` comes wrapped by the sandbox
        text = getattr(function, "__self__", None)
        if isinstance(text, str):
            arguments = tuple(_listed(argument) for argument in arguments)
            check_call(function.__name__, (text, *arguments, *named.values()))
        result = super().call(__context, __function, *arguments, **named)
        if isinstance(text, str) and isinstance(result, str):
            _budget.get().write(len(result) - len(text))
        return result

    def count_turn(self, n_characters: int) -> str:
        """Called at every turn of a loop or macro, with the length of the text around its expressions."""
        _budget.get().write(n_characters)
        return ""

    def join(self, *texts: Any) -> str:
        """The operator `~`."""
        length = sum(map(weight, texts))
        check_size(length)
        _budget.get().copy(length)
        return "".join(map(str, texts))


class _Counting(NodeTransformer):
    """Puts calls of `count_turn` where a template can repeat itself, and `join` in place of `~`."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        return self._counted(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        return self._counted(node)

    def visit_ScopedEvalContextModifier(self, node: nodes.ScopedEvalContextModifier) -> nodes.Node:
        raise TemplateError("autoescape is for HTML")  # and would give `~` another meaning

    def visit_Output(self, node: nodes.Output) -> list[nodes.Node]:
        self.generic_visit(node)
        length = sum(len(child.data) for child in node.nodes if isinstance(child, nodes.TemplateData))
        return [self._call("count_turn", [nodes.Const(length)], nodes.ExprStmt), node] if length else [node]

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return self._call("join", node.nodes)

    def _counted(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, self._call("count_turn", [nodes.Const(0)], nodes.ExprStmt))
        return node

    @staticmethod
    def _call(name: str, arguments: list[Any], statement: Callable[..., nodes.Node] = lambda call: call) -> Any:
        return statement(nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None))


class Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: what is inside, as it is, with a scope of its own."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_write"), [], [], body).set_lineno(line)

    def _write(self, caller: Macro) -> str:
        return caller()


class ChatNamespace(Namespace):
    """`namespace()`, whose attributes do not begin with an underscore."""

    def __init__(*arguments: Any, **named: Any) -> None:
        self, *rest = arguments  # `self` is a name that a template may give, as in Jinja
        values = dict(*rest, **named)
        for name in values:
            _check_attribute(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_attribute(name)
        super().__setitem__(name, value)


class ChatDict:
    """`dict(…)` and `dict.fromkeys(…)`, and nothing else of `dict`."""

    def __call__(self, *arguments: Any, **named: Any) -> dict[Any, Any]:
        return dict(*arguments, **named)

    def fromkeys(self, *arguments: Any) -> dict[Any, Any]:
        return dict.fromkeys(*arguments)


@lru_cache(maxsize=1)
def _environment() -> ChatEnvironment:
    environment = ChatEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols], finalize=_finalize
    )
    environment.filters["tojson"] = _tojson
    environment.filters = {name: _checked(name, function) for name, function in environment.filters.items()}
    del environment.globals["lipsum"]
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": ChatDict(),
        "namespace": ChatNamespace,
    }
    return environment


@pass_context  # which also keeps Jinja from writing expressions out when it compiles
def _finalize(context: Context, value: Any) -> Any:
    """Count what an expression writes."""
    _budget.get().write(weight(value))
    return value


def _checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that asks `limits` first; it keeps the marks that Jinja put on the function."""
    offset = 1 if hasattr(function, "jinja_pass_arg") else 0  # a context or environment comes first

    def checked(*arguments: Any, **named: Any) -> Any:
        _check_time()
        if name in ("join", "sum"):
            arguments = tuple(_listed(argument) if n == offset else argument for n, argument in enumerate(arguments))
        check_call(name, (*arguments[offset:], *named.values()))
        result = function(*arguments, **named)
        if isinstance(result, str | list):
            check_size(len(result))
        if isinstance(result, str) and (budget := _budget.get(None)) is not None:
            budget.write(len(result) - weight(arguments[offset : offset + 1]))
        return result

    checked.__dict__.update(getattr(function, "__dict__", {}))
    return checked


def _listed(value: Any) -> Any:
    """A generator, range or view as the list of what it gives, so that it can be measured."""
    measured = isinstance(value, str | list | tuple | dict | Undefined)
    return list(value) if isinstance(value, Iterable) and not measured else value


def _check_time() -> None:
    budget = _budget.get(None)  # None: Jinja computes a constant while it compiles
    if budget is not None:
        budget.check_time()


def _check_attribute(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a template cannot store {name!r} in a namespace")


def _raise_exception(message: Any) -> None:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    check_operation("%", form, ())  # it has widths, too
    return _now.get().strftime(form)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
