"""WikiText's text of many articles as pages, each one document, as EleutherAI/wikitext_document_level has them.

A page begins at a line of the form " = Title = "; " = = Heading = = " belongs to the page. That is the rule of the
repository's own script, kept with its edges: a line of text that happens to look like a title begins a page too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .errors import DocumentError
from .rows import MAX_ROW, text_lines


def page_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The pages of a file, each with the line where it begins."""
    start, page, size = 1, list[str](), 0
    for number, line in enumerate(text_lines(path), 1):
        if _is_title(line):
            if "\n".join(page).strip():
                yield start, {"page": "\n".join(page)}
            start, page, size = number, [], 0
        page.append(line)
        size += len(line) + 1
        if size > MAX_ROW:
            problem = (
                f"expected pages of at most {MAX_ROW} characters that begin with ' = Title = ', found a longer one"
            )
            raise DocumentError(problem, path, start)
    if "\n".join(page).strip():
        yield start, {"page": "\n".join(page)}


def _is_title(line: str) -> bool:
    line = line.replace("= = =", "===").replace("= =", "==").strip()
    return line.startswith("= ") and line.endswith(" =")
