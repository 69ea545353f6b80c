"""Write what is made of the exercises: starters, solutions, and the tables in the chapters of the book.

    python -m minillama.learn.generate            write
    python -m minillama.learn.generate --check    write nothing; fail where a file is not what would be written

In a clone only: starters and solutions go to exercises/, tables between their marks in notebooks/NN_topic.py and, as
the same cell, in the notebook built from it.
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

CLONE = Path(__file__).parents[2]
BEGIN = "<!-- exercises: written by `python -m minillama.learn.generate` -->"
END = "<!-- end of the exercises -->"


def generated(clone: Path) -> Iterator[tuple[Path, str]]:
    """Every file that is made of the exercises, and the text it should have."""
    for chapter in chapter_packages():
        name = file_name(chapter)
        yield clone / "exercises" / name, starter_file(chapter)
        yield clone / "exercises" / "solutions" / name, solution_file(chapter)
        rows = ["", *table(chapter).splitlines(), ""]
        source = clone / "notebooks" / name
        yield (
            source,
            _between_marks(source, source.read_text(encoding="utf-8"), "".join(f"# {r}".rstrip() + "\n" for r in rows)),
        )
        notebook = source.with_suffix(".ipynb")
        yield notebook, _in_notebook(notebook, "".join(f"{r}\n" for r in rows))


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


def _in_notebook(path: Path, rows: str) -> str:
    """The notebook with the table in its cell; outputs and everything else stay."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if BEGIN in source:
            cell["source"] = _between_marks(path, source, rows).splitlines(keepends=True)
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
