"""`minillama learn verify`: everything checked again, with hashes and this machine's figures; JSON and a picture."""

from __future__ import annotations

import hashlib
import html
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..chapters.catalogue import catalogue
from ..exercises.exercise import Exercise
from .checker import check_in_process
from .folder import Workspace, WorkspaceError, function_text

_DONE, _OPEN, _INK, _PAPER = "#2e9e5b", "#d8d8d2", "#22252a", "#fcfcf9"


def verify(
    workspace: Workspace, progress: Callable[[Exercise, bool], None] = lambda exercise, passed: None
) -> dict[str, Any]:
    """Check every function that is written, and say what was found.

    Returns
    -------
    report : dict
        "exercises": one entry each with id, chapter, passed, seconds and the SHA-256 of the function;
        "machine": what it ran on and how fast that reads and multiplies; "sha256" of all of it.
    """
    import numba
    import numpy as np

    from ... import __version__
    from ..speed import roofs

    entries = []
    for exercise in catalogue().values():
        try:
            path = workspace.path_of(exercise.id)
            text = function_text(path, exercise.id)
        except (WorkspaceError, SyntaxError, OSError):
            text, passed, seconds = "", False, 0.0
        else:
            report = check_in_process(exercise, path)
            passed, seconds = report.passed, report.seconds
        entries.append(
            {
                "id": exercise.id,
                "chapter": exercise.chapter,
                "passed": passed,
                "seconds": round(seconds, 3),
                "solution_seen": workspace.record(exercise.id).solution_seen,
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
        )
        progress(exercise, passed)
    bandwidth, peak = roofs()
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "read_gb_per_s": round(bandwidth / 1e9, 1),
        "float32_gflop_per_s": round(peak / 1e9, 1),
    }
    found = {"minillama": __version__, "date": time.strftime("%Y-%m-%d"), "machine": machine, "exercises": entries}
    found["sha256"] = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return found


def write_report(found: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write verified.json and verified.svg into a folder."""
    as_json, as_svg = folder / "verified.json", folder / "verified.svg"
    as_json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    as_svg.write_text(draw(found), encoding="utf-8")
    return as_json, as_svg


def draw(found: dict[str, Any]) -> str:
    """One square for each exercise, a row for each chapter."""
    chapters: dict[str, list[dict[str, Any]]] = {}
    for entry in found["exercises"]:
        chapters.setdefault(entry["chapter"], []).append(entry)
    widest, n_passed = max(map(len, chapters.values())), sum(e["passed"] for e in found["exercises"])
    width, height = max(470, 90 + 26 * widest), 96 + 26 * len(chapters)
    machine = found["machine"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">',
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>',
        f'<text x="20" y="32" font-size="18" font-weight="bold" fill="{_INK}">minillama: {n_passed} of '
        f"{len(found['exercises'])} exercises</text>",
    ]
    for row, (chapter, entries) in enumerate(chapters.items()):
        y = 50 + 26 * row
        parts.append(f'<text x="20" y="{y + 15}" font-size="13" fill="{_INK}">{html.escape(chapter)}</text>')
        for column, entry in enumerate(entries):
            colour = _DONE if entry["passed"] else _OPEN
            parts.append(
                f'<rect x="{52 + 26 * column}" y="{y}" width="20" height="20" rx="3" fill="{colour}">'
                f"<title>{html.escape(entry['id'])}</title></rect>"
            )
    figures = f"reads {machine['read_gb_per_s']} GB/s, {machine['float32_gflop_per_s']} GFLOP/s"
    foot = f"{found['date']} · {machine['system']} · {figures}"
    parts.append(f'<text x="20" y="{height - 32}" font-size="11" fill="{_INK}">{html.escape(foot)}</text>')
    parts.append(f'<text x="20" y="{height - 15}" font-size="9" fill="{_INK}">{found["sha256"]}</text></svg>')
    return "\n".join(parts) + "\n"
