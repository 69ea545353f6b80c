"""Blocks as one HTML page that loads nothing from anywhere, and as Markdown. All texts are escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; } tbody th { font-weight: inherit; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #8886; padding: 0.3rem 0.7rem; text-align: right; vertical-align: top; }
td, tbody th { white-space: nowrap; } td small { display: block; opacity: 0.7; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom-width: 2px; }
table.texts :is(td, th) { white-space: pre-wrap; text-align: left; min-width: 14rem; }
figure { margin: 1rem 0; } img { max-width: 100%; background: white; border-radius: 0.4rem; }
figcaption { opacity: 0.8; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8881; padding: 0.6rem; border-radius: 0.4rem; }
"""


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Table:
    """Columns with a name each, rows of texts; what follows a line end in a cell is set small.

    Attributes
    ----------
    texts : bool
        The cells are texts to read, not figures.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawing as SVG.

    Attributes
    ----------
    caption : str
    described : str
        What it shows, for who cannot see it; with numbers.
    """

    svg: str
    caption: str
    described: str


@dataclass(frozen=True)
class Quoted:
    """A text as it is."""

    text: str


Block = Heading | Table | Chart | Quoted | str


def as_html(title: str, blocks: Iterable[Block]) -> str:
    """A page."""
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><main>\n<h1>{html.escape(title)}</h1>\n"
    )
    parts, under = [], title
    for block in blocks:
        under = block.text if isinstance(block, Heading) else under
        parts.append(_html(block, under))
    return head + "\n".join(parts) + "\n</main></body></html>\n"


def _html(block: Block, under: str) -> str:
    """A block; `under` is the heading that it stands under."""
    if isinstance(block, Heading):
        return f"<h2>{html.escape(block.text)}</h2>"
    if isinstance(block, Quoted):
        return f"<pre>{html.escape(block.text)}</pre>"
    if isinstance(block, Chart):
        data = base64.b64encode(block.svg.encode()).decode()
        return (
            f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{html.escape(block.described)}">'
            f"<figcaption>{html.escape(block.caption)}</figcaption></figure>"
        )
    if isinstance(block, Table):
        return _table(block, under)
    return f"<p>{html.escape(block)}</p>"


def _table(table: Table, under: str) -> str:
    """Every row begins with its name; a wide table is scrolled by the keyboard as well."""
    heads = "".join(f'<th scope="col">{html.escape(name)}</th>' if name else "<td></td>" for name in table.columns)
    rows = "\n".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>{"".join(_cell(cell, table.texts) for cell in row[1:])}</tr>'
        for row in table.rows
    )
    kind = ' class="texts"' if table.texts else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(under)}">'
        f"<table{kind}><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _cell(text: str, is_text: bool) -> str:
    if is_text:
        return f"<td>{html.escape(text)}</td>"
    first, _, rest = text.partition("\n")
    return f"<td>{html.escape(first)}{f'<small>{html.escape(rest)}</small>' if rest else ''}</td>"


def as_markdown(title: str, blocks: Iterable[Block]) -> str:
    """The same as Markdown; of a drawing only what it shows."""
    lines = [f"# {_plain(title)}", ""]
    for block in blocks:
        lines += [*_markdown(block), ""]
    return "\n".join(lines)


def _markdown(block: Block) -> list[str]:
    if isinstance(block, Heading):
        return [f"## {_plain(block.text)}"]
    if isinstance(block, Quoted):
        fence = "```"
        while fence in block.text:
            fence += "`"
        return [fence, *block.text.split("\n"), fence]
    if isinstance(block, Chart):
        return [f"*{_plain(block.caption)}* {_plain(block.described)}"]
    if isinstance(block, Table):
        plain = _plain if block.texts else _in_brackets
        rows = ["| " + " | ".join((_plain(row[0]), *(plain(cell) for cell in row[1:]))) + " |" for row in block.rows]
        return [
            "| " + " | ".join(_plain(name) for name in block.columns) + " |",
            "|---" * len(block.columns) + "|",
            *rows,
        ]
    return [_plain(block)]


def _in_brackets(cell: str) -> str:
    """A figure; what HTML sets small is in brackets here."""
    first, _, rest = cell.partition("\n")
    return _plain(f"{first} ({rest})" if rest else first)


def _plain(text: str) -> str:
    """A text in a line of Markdown: nothing in it is markup."""
    text = html.escape(" ".join(text.split()), quote=False)
    for character in "\\`*_[]|#":
        text = text.replace(character, f"\\{character}")
    return text
