"""Write what is made of the exercises: starters, solutions, tables and times in the chapters, the map of the book.

    python -m minillama.learn.generate            write
    python -m minillama.learn.generate --check    write nothing; fail where a file is not what would be written

In a clone only: starters and solutions go to exercises/; tables between their marks, and the lines with a chapter's
time, to notebooks/NN_topic.py and, as the same cells, to the notebook built from it; the map to notebooks/README.md
and notebooks/book.svg; the weeks of a term to docs/teachers.md; what `learn why` shows of the chapters to
minillama/learn/sections.json.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from .chapters.catalogue import chapter_packages
from .chapters.texts import file_name, solution_file, starter_file, table
from .course import course, draw_map, header, overview
from .sections import KEPT, sections_text
from .term import term_table

CLONE = Path(__file__).parents[2]
BEGIN = "<!-- exercises: written by `python -m minillama.learn.generate` -->"
END = "<!-- end of the exercises -->"


def generated(clone: Path) -> Iterator[tuple[Path, str]]:
    """Every file that is made of the exercises, and the text it should have."""
    chapters = course(clone / "notebooks")
    for package, chapter in zip(chapter_packages(), chapters):
        name = file_name(package)
        yield clone / "exercises" / name, starter_file(package)
        yield clone / "exercises" / "solutions" / name, solution_file(package)
        rows, lines = ["", *table(package).splitlines(), ""], header(chapter, chapters)
        source = clone / "notebooks" / name
        text = _between_marks(
            source, source.read_text(encoding="utf-8"), "".join(f"# {r}".rstrip() + "\n" for r in rows)
        )
        yield source, _with_header(text, lines)
        notebook = source.with_suffix(".ipynb")
        yield notebook, _in_notebook(notebook, "".join(f"{r}\n" for r in rows), lines)
    readme = clone / "notebooks" / "README.md"
    yield readme, _between_marks(readme, readme.read_text(encoding="utf-8"), f"\n{overview(chapters)}\n\n")
    yield clone / "notebooks" / "book.svg", draw_map(chapters)
    teachers = clone / "docs" / "teachers.md"
    yield teachers, _between_marks(teachers, teachers.read_text(encoding="utf-8"), f"\n{term_table(chapters)}\n\n")
    yield clone / "minillama" / "learn" / KEPT.name, sections_text(clone / "notebooks")


def _with_header(text: str, lines: list[str]) -> str:
    """The text with the lines of what comes before and of the time, where it has them."""
    return re.sub(
        r"^(# )?> \*\*Before this:\*\*.*\n(?:# )?> \*\*Time:\*\*.*$",
        lambda found: "\n".join((found[1] or "") + line for line in lines),
        text,
        flags=re.MULTILINE,
    )


def _between_marks(path: Path, text: str, rows: str) -> str:
    new, n = re.subn(
        rf"(?<={re.escape(BEGIN)}\n).*?(?=^(# )?{re.escape(END)})",
        lambda found: rows,
        text,
        flags=re.DOTALL | re.MULTILINE,
    )
    if n != 1:
        raise ValueError(
            f"{path} should have one place for the table of exercises, between\n{BEGIN}\n{END}\nand has {n}"
        )
    return new


def _in_notebook(path: Path, rows: str, lines: list[str]) -> str:
    """The notebook with table and header in their cells; outputs and everything else stay."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "markdown":
            continue
        new = _with_header(_between_marks(path, source, rows) if BEGIN in source else source, lines)
        if new != source:
            cell["source"] = new.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, compare with what is there")
    check = parser.parse_args().check
    changed = [
        (path, text) for path, text in generated(CLONE) if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if check and changed:
        names = "\n".join(f"  {path.relative_to(CLONE)}" for path, _ in changed)
        sys.exit(f"not what the exercises say; write them with python -m minillama.learn.generate:\n{names}")
    for path, text in changed:
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(CLONE)}\n")


if __name__ == "__main__":
    main()
