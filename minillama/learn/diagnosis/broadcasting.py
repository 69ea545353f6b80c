"""What would make two shapes fit, for NumPy's errors about shapes that do not.

Broadcasting pairs axes from the right: two sizes fit where they are equal or one of them is 1. A remedy is named only
if it works for the shapes in the message and is the only one of its kind; which array is meant is said by its shape.
"""

from __future__ import annotations

import re

import numpy as np

Shape = tuple[int, ...]


def remedy(message: str) -> str:
    """A sentence on what to do about an error of NumPy's; empty where nothing certain can be said."""
    found = re.search(r"operands could not be broadcast together with shapes (\(.*\))", message)
    if found:
        shapes = [_shape(text) for text in re.findall(r"\(([\d,]*)\)", found[1])]
        return _for_operands(*shapes[:2]) if len(shapes) == 2 else ""
    found = re.search(r"could not broadcast input array from shape \(([\d,]*)\) into shape \(([\d,]*)\)", message)
    if found:
        return _for_assignment(_shape(found[1]), _shape(found[2]))
    found = re.search(r"matmul: .*\(size (\d+) is different from (\d+)\)", message)
    if found:
        return _for_product(int(found[2]), int(found[1]))
    found = re.search(r"shapes \(([\d,]*)\) and \(([\d,]*)\) not aligned: (\d+) .* != (\d+) ", message)
    return _for_product(int(found[3]), int(found[4])) if found else ""


def _shape(text: str) -> Shape:
    return tuple(int(size) for size in text.split(",") if size)


def _for_operands(a: Shape, b: Shape) -> str:
    """For an addition, a product or a comparison."""
    if len(a) == len(b):
        swapped = _swapped(b)
        fits = len(b) > 1 and swapped != b and _fit(a, swapped)
        return f"{b} would fit as {swapped}: with its last two axes exchanged." if fits else ""
    small, large = sorted((a, b), key=len)
    places = [place for place in range(len(small) + 1) if _fit(_with_axis(small, place), large)]
    if len(large) - len(small) != 1 or len(places) != 1:
        return ""
    index = ", ".join([*":" * places[0], "None", *":" * (len(small) - places[0])])
    return (
        f"{small} meets {large} from the right. As {_with_axis(small, places[0])} it would fit: with [{index}], or "
        "with keepdims=True where an axis was summed away."
    )


def _for_assignment(source: Shape, target: Shape) -> str:
    if _swapped(source) == target != source:
        return "The two are each other's transpose: exchange the last two axes of one."
    if tuple(n for n in source if n != 1) == tuple(n for n in target if n != 1):
        return "They differ in axes of size 1 alone: reshape one, or index such an axis away with [0]."
    return ""


def _for_product(last: int, second_to_last: int) -> str:
    return (
        f"a @ b sums over the last axis of a, {last} long here, and the last but one of b, or its only one, "
        f"{second_to_last} long. Is one of the two to be transposed: b.T, or b.swapaxes(-1, -2)?"
    )


def _swapped(shape: Shape) -> Shape:
    return (*shape[:-2], *shape[:-3:-1])


def _with_axis(shape: Shape, place: int) -> Shape:
    return (*shape[:place], 1, *shape[place:])


def _fit(a: Shape, b: Shape) -> bool:
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        return False
    return True
