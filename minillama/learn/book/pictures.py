"""One look for all pictures, titles that hold, arrows in the plane, and a text for who does not see the picture.

Importing this loads no matplotlib, which a chapter without a picture does not need.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .toy import AXES

COLOURS = ("#2b6cb0", "#dd6b20", "#2f855a", "#b83280", "#6b46c1", "#718096")
_PAPER, _INK, _GRID = "#fcfcf9", "#22252a", "#d8d8d2"
_SHORTEST_ALT = 40  # characters; less names a picture, and does not say what is seen


def style() -> None:
    """Set matplotlib's look. Figures have a paper of their own, so that they read well on a dark page too."""
    import matplotlib.pyplot as plt
    from cycler import cycler

    plt.rcParams.update(
        {
            "figure.facecolor": _PAPER,
            "axes.facecolor": _PAPER,
            "savefig.facecolor": _PAPER,
            "figure.figsize": (8, 3.6),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.edgecolor": _INK,
            "axes.labelcolor": _INK,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": _GRID,
            "grid.linewidth": 0.7,
            "text.color": _INK,
            "xtick.color": _INK,
            "ytick.color": _INK,
            "legend.frameon": False,
            "font.size": 10,
            "image.cmap": "viridis",
        }
    )


def show(figure: Any, alt: str) -> None:
    """Show a figure as a picture with a text, and close it.

    Parameters
    ----------
    figure : matplotlib Figure
    alt : str
        What is seen: the axes, what runs where, and the one thing that the picture is there for. Whoever cannot see
        the picture reads this.

    Raises
    ------
    ValueError
        When the text is too short to say what is seen.
    """
    import matplotlib.pyplot as plt
    from IPython.display import display

    if len(alt) < _SHORTEST_ALT:
        raise ValueError(f"an alt text says what is seen, in {_SHORTEST_ALT} characters at least; got {alt!r}")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt}})


def claim(place: Any, title: str, *, holds: Any) -> None:
    """Give a picture a title that states a fact, and assert that the fact is one.

    Parameters
    ----------
    place : matplotlib Axes or Figure
    title : str
    holds : bool
        Computed from the arrays that are drawn.

    Raises
    ------
    AssertionError
        When it does not hold.
    """
    assert bool(holds), f"the picture does not show what its title says: {title}"
    label(place, title)


def label(place: Any, title: str) -> None:
    """Give a picture a title that only names what is drawn, and states nothing."""
    if hasattr(place, "suptitle"):
        place.suptitle(title, fontsize=11, fontweight="bold")
    else:
        place.set_title(title)


def draw_arrows(
    axis: Any,
    arrows: Mapping[str, Any],
    *,
    colours: Sequence[str] = COLOURS,
    names: Sequence[str] = AXES,
    start: Any = (0.0, 0.0),
    offset: tuple[float, float] = (5, 4),
    dashed: bool = False,
) -> None:
    """Draw vectors of two numbers as arrows, with equal axes: a length is a length in every direction.

    Parameters
    ----------
    axis : matplotlib Axes
        Calls add up: the limits grow with what is drawn.
    arrows : dict of str to array-like of shape (2,)
        The text beside the tip, and the vector.
    colours : sequence of str
        One for each arrow, from the front.
    names : pair of str
        What the two numbers are called.
    start : array-like of shape (2,)
        Where the arrows begin.
    offset : pair of float
        From the tip to the text, in points: texts of neighbouring arrows must not lie on one another.
    dashed : bool
    """
    start = np.asarray(start, np.float64)
    for (text, vector), colour in zip(arrows.items(), colours):
        tip = start + np.asarray(vector, np.float64)
        line = {"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkA": 0, "shrinkB": 0}
        axis.annotate("", tip, start, arrowprops={**line, "linestyle": "--" if dashed else "-"})
        axis.update_datalim([start, tip])
        axis.annotate(text, tip, xytext=offset, textcoords="offset points", color=colour, weight="bold")
    axis.margins(0.18)
    axis.autoscale_view()
    axis.set(aspect="equal", xlabel=names[0], ylabel=names[1])
    axis.set_axisbelow(True)
