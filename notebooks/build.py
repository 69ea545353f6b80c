"""Execute the chapters: notebooks/NN_topic.py (the source) becomes NN_topic.ipynb (for readers).

    python notebooks/build.py              all of them, written
    python notebooks/build.py 05 06        some
    python notebooks/build.py --check      execute without writing; fail where a notebook is not its source's

Any error, warning, or a chapter that takes more than a minute twice fails the build.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
SECONDS = 60  # for a chapter, on two cores
_WIDEST_OUTPUT = 110


def chapters(wanted: list[str]) -> list[Path]:
    """The sources, all or those whose number is given."""
    found = sorted(HERE.glob("[0-9][0-9]_*.py"))
    missing = [number for number in wanted if not any(path.name.startswith(number) for path in found)]
    if missing:
        raise SystemExit(f"there is no chapter {missing[0]}; there are {', '.join(path.name[:2] for path in found)}")
    return [path for path in found if not wanted or path.name[:2] in wanted]


def sources(notebook):
    """Kind and text of every cell: what source and notebook must agree in."""
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def execute(path: Path):
    """The executed notebook and its seconds; raises where a cell fails."""
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    notebook = jupytext.read(path)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for i, cell in enumerate(notebook.cells):
        cell["id"], cell.metadata = f"cell-{i:03d}", nbformat.from_dict({})  # the same file every time
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(HERE)}},
        record_timing=False,
        extra_arguments=["--log-level=40"],  # the kernel's own remarks do not belong to the chapter
    )
    begin = time.perf_counter()
    client.execute()
    return notebook, time.perf_counter() - begin


def complaints(notebook) -> list[str]:
    """What a reader should not see: warnings and other text on stderr, lines too wide for the page."""
    found = []
    for i, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            text = output.get("text", "")
            if output.get("name") == "stderr":
                found.append(f"cell {i} writes to stderr: {text.strip()[:200]}")
            wide = max(map(len, text.splitlines()), default=0)
            if wide > _WIDEST_OUTPUT:
                found.append(f"cell {i} prints a line of {wide} columns")
    pictures = sum(
        "image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    )
    if pictures < 2:
        found.append(f"{pictures} picture(s); at least 2 are wanted")
    return found


def build(path: Path, *, check: bool) -> list[str]:
    """Execute one chapter; what is wrong with it."""
    import nbformat

    target = path.with_suffix(".ipynb")
    notebook, seconds = execute(path)
    if seconds > SECONDS:  # kernels may have been compiled, or the machine been busy: the second time counts
        print(f"{path.name}: {seconds:.1f} s, once more", flush=True)
        notebook, seconds = execute(path)
    found = complaints(notebook)
    if seconds > SECONDS:
        found.append(f"takes {seconds:.0f} s, more than {SECONDS}")
    if check:
        if not target.exists() or sources(nbformat.read(target, 4)) != sources(notebook):
            found.append(f"{target.name} was not built from this source: python notebooks/build.py {path.name[:2]}")
    else:
        nbformat.write(notebook, target)
    print(f"{path.name}: {seconds:.1f} s{'' if not found else ', ' + str(len(found)) + ' complaint(s)'}", flush=True)
    return [f"{path.name}: {text}" for text in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*", metavar="NN")
    parser.add_argument("--check", action="store_true", help="write nothing, compare with the notebooks there are")
    options = parser.parse_args()
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
