"""A chapter's source: notebooks/NN_topic.py in jupytext's percent format, and the folding of its cells.

    # %% tags=["hide-input"]        the code is folded: it only draws, or imports
    # %% tags=["solution"]          the book's version of what was asked for: folded
    # %% tags=["hide-output"]       the output is folded: the reader guesses first
    # %% tags=["varies"]            the output is another one on every machine, and not compared

The tags stay in the notebook, where a web edition finds them (they are those of MyST-NB); JupyterLab folds by the
metadata that is made of them here.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parents[1]
HIDE_INPUT, HIDE_OUTPUT, SOLUTION, VARIES = "hide-input", "hide-output", "solution", "varies"
TAGS = {HIDE_INPUT, HIDE_OUTPUT, SOLUTION, VARIES}


def chapters(wanted: list[str] | None = None) -> list[Path]:
    """The sources, all or those whose number is given."""
    found = sorted(HERE.glob("[0-9][0-9]_*.py"))
    missing = [number for number in wanted or [] if not any(path.name.startswith(number) for path in found)]
    if missing:
        raise SystemExit(f"there is no chapter {missing[0]}; there are {', '.join(path.name[:2] for path in found)}")
    return [path for path in found if not wanted or path.name[:2] in wanted]


def read_source(path: Path):
    """The chapter as a notebook without outputs: ids, tags and folding are the same every time.

    Raises
    ------
    ValueError
        When a cell has a tag that nobody knows.
    """
    import jupytext
    import nbformat

    notebook = jupytext.read(path)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for i, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        if unknown := set(tags) - TAGS:
            raise ValueError(f"{path.name}, cell {i}: tag {unknown.pop()!r} is not one of {', '.join(sorted(TAGS))}")
        cell["id"], cell.metadata = f"cell-{i:03d}", nbformat.from_dict(metadata_of(tags))
    return notebook


def metadata_of(tags: list[str]) -> dict:
    """What JupyterLab and a web edition read: the tags, and the folding that they mean."""
    metadata: dict = {"tags": list(tags)} if tags else {}
    folding = {}
    if {HIDE_INPUT, SOLUTION} & set(tags):
        folding["source_hidden"] = True
    if HIDE_OUTPUT in tags:
        folding["outputs_hidden"] = True
    if folding:
        metadata["jupyter"] = folding
    return metadata


def tags_of(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def is_folded(cell) -> bool:
    """Whether a reader has to open the cell to see its source."""
    return bool(tags_of(cell) & {HIDE_INPUT, SOLUTION})


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook) -> str:
    """All Markdown of a chapter."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
