"""Execute the chapters: notebooks/NN_topic.py (the source) becomes NN_topic.ipynb (for readers).

    python notebooks/build.py              all of them, written
    python notebooks/build.py 05 06        some
    python notebooks/build.py --check      execute without writing; fail where a notebook is not what it would be today
    python notebooks/build.py --todo       execute nothing; say what of the book's form each chapter does not have yet

Any error, warning, or a chapter that twice takes more than a minute of CPU time of its own process fails the build.
CONTRIBUTING.md has the form, building/ the rules that a program can judge.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from building.executing import execute
from building.form import CELL_SECONDS, complaints, complaints_of_outputs
from building.giveaways import given_away
from building.outputs import stale
from building.sources import chapters

SECONDS = 60  # of CPU time for a chapter, when its kernels have been compiled before


def sources(notebook):
    """Kind, text and metadata of every cell: what source and notebook must agree in."""
    return [(cell.cell_type, cell.source.strip(), dict(cell.metadata)) for cell in notebook.cells]


def build(path: Path, *, check: bool) -> list[str]:
    """Execute one chapter; what is wrong with it."""
    import nbformat

    target = path.with_suffix(".ipynb")
    run = execute(path)
    slowest = max(run.cells.values())
    if run.cpu > SECONDS or slowest > CELL_SECONDS:  # kernels were compiled, perhaps: the second time counts
        print(f"{path.name}: {run.cpu:.1f} s of CPU time, slowest cell {slowest:.1f} s, once more", flush=True)
        run = execute(path)
    found = [*complaints_of_outputs(run.notebook, run.cells), *complaints(path)]
    if run.cpu > SECONDS:
        found.append(f"takes {run.cpu:.0f} s of CPU time, more than {SECONDS}")
    if not check:
        nbformat.write(run.notebook, target)
    elif not target.exists() or sources(stored := nbformat.read(target, 4)) != sources(run.notebook):
        found.append(f"{target.name} was not built from this source: python notebooks/build.py {path.name[:2]}")
    else:
        found += stale(stored, run.notebook)
    slowest = max(run.cells.values())
    print(
        f"{path.name}: {run.cpu:.1f} s of CPU time, {run.wall:.1f} s in all, slowest cell {slowest:.1f} s"
        f"{'' if not found else f', {len(found)} complaint(s)'}",
        flush=True,
    )
    return [f"{path.name}: {text}" for text in found]


def show_todo(wanted: list[str]) -> None:
    """Chapter by chapter: what of the form is left, and which answers stand before their question."""
    for path in chapters(wanted):
        left = [*complaints(path), *given_away(path)]
        print(f"{path.name}: {len(left)} to do" if left else f"{path.name}: has the form")
        for text in left:
            print(f"    {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*", metavar="NN")
    parser.add_argument("--check", action="store_true", help="write nothing, compare with the notebooks there are")
    parser.add_argument("--todo", action="store_true", help="what each chapter does not have yet")
    options = parser.parse_args()
    if options.todo:
        show_todo(options.chapters)
        return
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    found = []
    for path in chapters(options.chapters):
        try:
            found += build(path, check=options.check)
        except Exception as error:
            found.append(f"{path.name}: {type(error).__name__}: {error}")
    print("\n".join(found), file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
