"""What every chapter has, as far as a program can judge; CONTRIBUTING.md says it for people.

Each rule yields a sentence for each place where a chapter breaks it. `complaints` are the rules for a source,
`complaints_of_outputs` those for an executed notebook.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .sources import HERE, HIDE_INPUT, SOLUTION, chapters, code_cells, prose, read_source, tags_of

_WIDEST_OUTPUT = 110
_SHORTEST_ALT = 40
CELL_SECONDS = 15
PICTURES = {"image/png", "image/svg+xml"}
_TAKES = re.compile(r"takes? (?:about |up to |some )?\d+ (?:seconds|minutes?)")
_DRAWING = re.compile(r"\bshow\(|\bplt\.")
_TITLES = re.compile(r"\.set_title\(|\bsuptitle\(|\.set\([^)]*\btitle=|plt\.title\(")
_NOW_YOU = re.compile(r"^(\w+) = now_you\(\"(\w+)\"\)", re.MULTILINE)
_HEADING = re.compile(r"^### Now you · `(\w+)` · (\d+) minutes$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def complaints(path: Path) -> Iterator[str]:
    """What a chapter's source does not have yet."""
    notebook = read_source(path)
    yield from _head_and_end(path, notebook)
    yield from _exercises(path, notebook)
    yield from _pictures(notebook)
    yield from _links(path, notebook)
    yield from _terms(path, notebook)


def _head_and_end(path: Path, notebook) -> Iterator[str]:
    text, first = prose(notebook), notebook.cells[0].source
    if not re.match(r"# \d\d · .+\n\n> \*\*Before this:\*\* .+\n> \*\*Time:\*\* ", first):
        yield "does not begin with its title and the lines '> **Before this:** …', '> **Time:** …'"
    if "> **In the paper:**" not in first or "**Not here:**" not in first:
        yield "its header does not say what is **In the paper:** and what is **Not here:**"
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    wanted = ["What you now know", "Three questions", "Exercises", "Next"]
    if headings[-len(wanted) :] != wanted:
        yield f"does not end with the headings {', '.join(wanted)}"
    for name in headings:
        if re.search(r"(?i)^(the idea|the mathematics|the shapes|plain python|numpy|toy|toy example|summary)\b", name):
            yield f"has a heading that names a kind of section and not what is found: {name!r}"
    questions = re.search(r"(?s)## Three questions(.*?)## Exercises", text)
    found = len(re.findall(r"(?s)<details>\s*<summary>.*?</summary>.*?</details>", questions[1] if questions else ""))
    if found != 3:
        yield f"has {found} questions with a folded answer (<details>), not three"
    if "Guess" not in text:
        yield "never asks for a guess before an output"


def _exercises(path: Path, notebook) -> Iterator[str]:
    from minillama.learn.chapters.catalogue import catalogue

    number = path.name[:2]
    asked = {}
    for i, cell in enumerate(notebook.cells):
        before = notebook.cells[i - 1] if i else None
        after = notebook.cells[i + 1] if i + 1 < len(notebook.cells) else None
        for name, id in _NOW_YOU.findall(cell.source if cell.cell_type == "code" else ""):
            asked[id] = i
            heading = _HEADING.search(before.source if before is not None else "")
            if name != id:
                yield f"calls now_you({id!r}) and gives the function another name"
            if heading is None or heading[1] != id or int(heading[2]) != catalogue()[id].minutes:
                yield f"has no heading '### Now you · `{id}` · {catalogue()[id].minutes} minutes' before its cell"
            if after is None or SOLUTION not in tags_of(after) or f"def book_{id}(" not in after.source:
                yield f"has no folded cell with book_{id} after the one that asks for it"
    for id in catalogue():
        if catalogue().chapter_of(id) == number and id not in asked:
            yield f"never asks for {id}: no now_you cell"
    yield from _solutions(notebook)


def _solutions(notebook) -> Iterator[str]:
    from minillama.learn.chapters import texts

    for cell in code_cells(notebook):
        if SOLUTION in tags_of(cell):
            for id in re.findall(r"^def book_(\w+)\(", cell.source, re.MULTILINE):
                if _code(texts.solution_of(id)) != _code(cell.source.replace(f"def book_{id}(", f"def {id}(")):
                    yield f"book_{id} is not the solution of minillama/learn/chapters; copy it from there"


def _code(text: str) -> str:
    """A text without comments and docstrings, whatever its layout."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)


def _pictures(notebook) -> Iterator[str]:
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        if _DRAWING.search(cell.source) and not {HIDE_INPUT, SOLUTION} & tags_of(cell):
            yield f"cell {i} draws and is not folded (hide-input)"
        if "plt.show(" in cell.source:
            yield f"cell {i} shows a picture without a text: show(figure, alt) instead of plt.show()"
        if _TITLES.search(cell.source):
            yield f"cell {i} sets a title by itself: claim(axis, …, holds=…) states a fact, label(axis, …) only names"
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim":
                holds = [word.value for word in node.keywords if word.arg == "holds"]
                if not holds or isinstance(holds[0], ast.Constant):
                    yield f"cell {i} claims a title without computing that it holds"


def _links(path: Path, notebook) -> Iterator[str]:
    for text, target in LINK.findall(prose(notebook)):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        place = (HERE / file).resolve() if file else path
        if not place.exists():
            yield f"links [{text}] to {file}, which is not there"
        elif anchor and place.suffix == ".md" and f'<a id="{anchor}"></a>' not in place.read_text(encoding="utf-8"):
            yield f"links [{text}] to #{anchor}, which {file} does not have"


# --- the glossary --------------------------------------------------------------------------

_ENTRY = re.compile(r'^<a id="([\w-]+)"></a>\*\*(.+?)\*\* · (.+?) · (\d\d)\n(.+?)(?=\n\n|\Z)', re.MULTILINE | re.DOTALL)


def glossary() -> dict[str, tuple[str, str, str, str]]:
    """Terms of glossary.md by anchor: term, Korean term, chapter of its first use, definition."""
    text = (HERE / "glossary.md").read_text(encoding="utf-8")
    return {
        anchor: (term, korean, chapter, words.strip()) for anchor, term, korean, chapter, words in _ENTRY.findall(text)
    }


def _terms(path: Path, notebook) -> Iterator[str]:
    """Every term that the glossary has from this chapter on is linked where it is first read."""
    text = re.sub(r"(?m)^(#|>|\|).*$", "", prose(notebook))
    text = re.sub(r"(?s)<!--.*?-->|<summary>.*?</summary>|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`", " ", text)
    for anchor, (term, _, chapter, _) in glossary().items():
        if chapter != path.name[:2]:
            continue
        link = f"](glossary.md#{anchor})"
        if link not in text:
            yield f"never links its term {term!r} to glossary.md#{anchor}"
            continue
        before = text[: text.index(link)]
        before = before[: before.rindex("[")]
        if re.search(rf"(?i)\b{re.escape(term.partition(' (')[0])}s?\b", re.sub(r"\[[^\]]*\]\([^)]*\)", " ", before)):
            yield f"uses {term!r} before the link to glossary.md#{anchor}"


# --- executed notebooks ---------------------------------------------------------------------


def complaints_of_outputs(notebook, seconds: dict[int, float]) -> Iterator[str]:
    """What a reader should not see: stderr, wide lines, pictures without a text, a cell that is silently slow."""
    n_pictures = 0
    for i, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            text = output.get("text", "")
            if output.get("name") == "stderr":
                yield f"cell {i} writes to stderr: {text.strip()[:200]}"
            wide = max(map(len, text.splitlines()), default=0)
            if wide > _WIDEST_OUTPUT:
                yield f"cell {i} prints a line of {wide} columns"
            for kind in PICTURES & output.get("data", {}).keys():
                n_pictures += 1
                alt = output.get("metadata", {}).get(kind, {}).get("alt", "")
                if len(alt) < _SHORTEST_ALT:
                    yield f"cell {i} has a picture without a text for who does not see it: show(figure, alt)"
        around = "\n".join(other.source for other in notebook.cells[max(0, i - 1) : i + 1])
        if seconds.get(i, 0) > CELL_SECONDS and not _TAKES.search(around):
            yield f"cell {i} takes {seconds[i]:.0f} s and nobody says so ('takes about {seconds[i]:.0f} seconds')"
    if n_pictures < 2:
        yield f"{n_pictures} picture(s); at least 2 are wanted"


def all_complaints() -> dict[str, list[str]]:
    """Chapter by chapter, what of the form is left to do."""
    return {path.name: list(complaints(path)) for path in chapters()}
