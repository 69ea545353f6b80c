"""Where in a learner's folder something happens: an error, or a loop without end."""

from __future__ import annotations

from pathlib import Path
from types import CodeType, FrameType


def place_of_error(error: BaseException, folder: Path) -> str:
    """ "f in line 12 of 05_rope.py": the innermost place in the folder's files; "" where the error is elsewhere."""
    place, trace = "", error.__traceback__
    while trace is not None:
        place = _place(trace.tb_frame.f_code, trace.tb_lineno, folder) or place
        trace = trace.tb_next
    return place


def place_of_frame(frame: FrameType | None, folder: Path) -> str:
    """The same of what runs in a frame or called it."""
    while frame is not None:
        if place := _place(frame.f_code, frame.f_lineno, folder):
            return place
        frame = frame.f_back
    return ""


def _place(code: CodeType, line: int, folder: Path) -> str:
    path = Path(code.co_filename)
    is_theirs = folder.resolve() in path.resolve().parents
    return f"{code.co_name} in line {line} of {path.name}" if is_theirs else ""
