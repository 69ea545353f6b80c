"""Are the outputs that a notebook stores those of today's code?

Text: the same words, and numbers within one unit of their last printed digit or 1 % of themselves, whichever is more;
the errors that `show_error` prints are rounding, and asserted where they are printed, so they are not compared.
Pictures: reduced to 160 points across, at most 1 % of the points may differ by more than a tenth of the full range of a
colour.
Cells tagged `varies` (timings) are left out.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator

from .sources import VARIES, tags_of

_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:,\d+)*(?:\.\d+)?(?:e[-+]?\d+)?")  # of 83.12.7.200 only 83.12
_ERROR = re.compile(r"largest error \S+")
_RELATIVE, _ACROSS, _RANGE, _SHARE = 0.01, 160, 0.1, 0.01


def stale(stored, today) -> Iterator[str]:
    """What of a stored notebook's outputs today's code does not give."""
    for i, (old, new) in enumerate(zip(stored.cells, today.cells)):
        if new.cell_type != "code" or VARIES in tags_of(new):
            continue
        was, now = pieces(old), pieces(new)
        if [kind for kind, _ in was] != [kind for kind, _ in now]:
            yield f"cell {i} stores other outputs than today's: {_kinds(was)}, now {_kinds(now)}"
            continue
        for (kind, a), (_, b) in zip(was, now):
            if difference := picture_differs(a, b) if kind == "picture" else text_differs(a, b):
                yield f"cell {i} stores another {kind} than today's: {difference}"


def _kinds(found: list[tuple[str, str]]) -> str:
    return " + ".join(kind for kind, _ in found) or "nothing"


def pieces(cell) -> list[tuple[str, str]]:
    """Texts and pictures of a cell, in their order; neighbouring texts are one."""
    found: list[tuple[str, str]] = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        text = output.get("text", "") or data.get("text/html", "") or data.get("text/plain", "")
        if "image/png" in data:
            found.append(("picture", data["image/png"]))
        elif found and found[-1][0] == "text":
            found[-1] = "text", found[-1][1] + text
        else:
            found.append(("text", text))
    return found


def text_differs(a: str, b: str) -> str:
    """The first difference of two texts beyond the tolerance, or nothing."""
    a, b = (_ERROR.sub("largest error", text) for text in (a, b))
    words = [" ".join(_NUMBER.sub(" # ", text).split()) for text in (a, b)]
    if words[0] != words[1]:
        n = next((i for i, (x, y) in enumerate(zip(*words)) if x != y), min(map(len, words)))
        return f"…{words[0][max(0, n - 20) : n + 20]!r}, now …{words[1][max(0, n - 20) : n + 20]!r}"
    for x, y in zip(_NUMBER.findall(a), _NUMBER.findall(b)):
        if abs(_value(x) - _value(y)) > max(1.001 * _unit(x), 1.001 * _unit(y), _RELATIVE * abs(_value(x))):
            return f"{x}, now {y}"
    return ""


def _value(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def _unit(text: str) -> float:
    """One unit of the last digit; of an integer 0, for it was counted."""
    mantissa, _, exponent = text.replace(",", "").partition("e")
    digits = len(mantissa.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - digits) if digits or exponent else 0.0


def picture_differs(a: str, b: str) -> str:
    """How much of two pictures differs, or nothing."""
    if a == b:
        return ""
    import numpy as np
    from PIL import Image

    pictures = [Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB") for text in (a, b)]
    shapes = [picture.width / picture.height for picture in pictures]
    if abs(shapes[0] / shapes[1] - 1) > 0.03:
        return f"{shapes[0]:.2f} times as wide as high, now {shapes[1]:.2f}"
    size = _ACROSS, round(_ACROSS / shapes[0])
    points = [np.asarray(p.resize(size, Image.Resampling.BOX), np.float64) / 255 for p in pictures]
    share = (np.abs(points[0] - points[1]).max(axis=-1) > _RANGE).mean()
    return f"{share:.1%} of its points" if share > _SHARE else ""
