"""Numbers of a chapter beside those of PyTorch, real models, and small tables.

`torch` is PyTorch, or None where it is not installed: a chapter then compares with float64.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

torch: Any
try:
    import torch
except ImportError:
    torch = None


def largest_error(a: Any, b: Any) -> float:
    """The largest absolute difference, in float64."""
    return float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))))


def show_error(name: str, ours: Any, expected: Any, tolerance: float, *, against: str | None = None) -> None:
    """Print the largest error and assert that it is within `tolerance`.

    Parameters
    ----------
    name : str
        What is compared.
    ours, expected : array-like
        NumPy arrays or PyTorch tensors of one shape.
    tolerance : float
        Absolute.
    against : str, optional
        By default PyTorch, or the float64 reference where PyTorch is missing.
    """
    ours, expected = (a.detach().numpy() if hasattr(a, "detach") else np.asarray(a) for a in (ours, expected))
    if ours.shape != expected.shape:
        raise AssertionError(f"{name}: shapes differ, {ours.shape} and {expected.shape}")
    error = largest_error(ours, expected)
    other = against or ("PyTorch" if torch is not None else "float64 (PyTorch is not installed)")
    print(f"{name}: largest error {error:.1e}, allowed {tolerance:.0e}, against {other}")  # noqa: T201
    assert error <= tolerance, f"{name} is off by {error:.1e}, allowed is {tolerance:.0e}"


@functools.cache
def load(name: str = "smollm2-135m-instruct", **options: Any) -> Any:
    """A model by name, fetched the first time; the same object for every cell."""
    import minillama

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return minillama.load(name, **options)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """A small table as the value of a cell."""
    import html

    from IPython.display import HTML

    def row(cells: Sequence[Any], tag: str) -> str:
        shown = (f"<{tag} style='text-align:left;padding:2px 14px 2px 0'>{html.escape(str(c))}</{tag}>" for c in cells)
        return f"<tr>{''.join(shown)}</tr>"

    return HTML(f"<table>{row(header, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>")
