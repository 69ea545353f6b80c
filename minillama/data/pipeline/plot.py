"""A picture of a filter run: what each filter takes from the documents it sees."""

from __future__ import annotations

from pathlib import Path

from .tally import Tally


def draw_filters(tally: Tally, path: Path) -> None:
    """Draw bars of the share of all documents and bytes that each filter removes.

    Raises
    ------
    ImportError
        Where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the plot of the filters needs matplotlib: pip install matplotlib") from error
    filters = tally["filters"]
    names = list(filters)
    n_documents = max(tally["read"]["documents"], 1)
    n_bytes = max(next(iter(filters.values()))["bytes"] if filters else 0, 1)
    documents = [100 * part["dropped"] / n_documents for part in filters.values()]
    sizes = [100 * (part["bytes_dropped"] + max(part["bytes_removed"], 0)) / n_bytes for part in filters.values()]
    figure = Figure(figsize=(8, 1.4 + 0.55 * max(len(names), 1)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(names))
    bars = axes.barh([p - 0.2 for p in places], documents, height=0.38, color="#3b6ea8", label="documents dropped")
    axes.bar_label(bars, [f"{value:.2f} %" for value in documents], padding=3, fontsize=8)
    bars = axes.barh([p + 0.2 for p in places], sizes, height=0.38, color="#d98a3d", label="text removed")
    axes.bar_label(bars, [f"{value:.2f} %" for value in sizes], padding=3, fontsize=8)
    axes.set_yticks(list(places), names)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_xlabel("% of what was read")
    kept = 100 * tally["written"]["documents"] / n_documents
    axes.set_title(f"What each filter removes; {kept:.1f} % of {tally['read']['documents']:,} documents are kept")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)
