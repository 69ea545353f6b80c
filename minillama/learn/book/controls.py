"""A picture that a reader can change by moving something; in the stored notebook it is the picture alone."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

UNSOLVED = "MINILLAMA_BOOK"  # set to "unsolved" by notebooks/build.py


def is_being_built() -> bool:
    """Whether the book is being made for readers: no reader's folder, nobody who could move anything."""
    return os.environ.get(UNSOLVED) == "unsolved"


def live(draw: Callable[..., None], **controls: tuple[Sequence[Any], Any]) -> Any:
    """Draw a picture, and again whenever a reader moves a control.

    Parameters
    ----------
    draw : callable
        Called with one value for each control; it ends with `show(figure, alt)`.
    **controls : (sequence of values, the value to begin with)
        A slider for numbers, a list for texts.

    Returns
    -------
    box : ipywidgets.VBox or None
        Controls and picture, shown as the value of a cell. None where the picture is all, and has been drawn: while
        the book is built, without ipywidgets, outside a notebook.
    """
    start = {name: value for name, (_, value) in controls.items()}
    if is_being_built() or importlib.util.find_spec("ipywidgets") is None or not _in_a_notebook():
        draw(**start)
        return None
    import ipywidgets

    widgets = {}
    for name, (values, value) in controls.items():
        kind = ipywidgets.Dropdown if isinstance(value, str) else ipywidgets.SelectionSlider
        options = {"continuous_update": False} if kind is ipywidgets.SelectionSlider else {}
        widgets[name] = kind(options=list(values), value=value, description=name.replace("_", " "), **options)
    return ipywidgets.VBox([*widgets.values(), ipywidgets.interactive_output(draw, widgets)])


def _in_a_notebook() -> bool:
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
