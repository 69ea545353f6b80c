"""`minillama learn verify`: everything checked again, with hashes and this machine's figures; JSON and a picture."""

from __future__ import annotations

import getpass
import hashlib
import html
import json
import platform
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..chapters.catalogue import catalogue
from .checks import Checked, check_all, failing
from .folder import Workspace

_DONE, _OPEN, _INK, _PAPER = "#2e9e5b", "#d8d8d2", "#22252a", "#fcfcf9"


def name_in(folder: Path) -> str:
    """The name on the certificate in a folder; before there is one, that of the user of this machine."""
    try:
        return str(json.loads((folder / "verified.json").read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without an entry
        return "a learner"


def proved_in(folder: Path) -> set[str]:
    """Ids of the capstones that the certificate in a folder says are proved."""
    try:
        proofs = json.loads((folder / "verified.json").read_text(encoding="utf-8"))["capstones"]
        return {proof["id"] for proof in proofs if proof["proved"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def verify(
    workspace: Workspace,
    name: str,
    progress: Callable[[str, list[dict[str, Any]]], None] = lambda chapter, entries: None,
    proofs: Callable[[dict[str, str]], list[dict[str, Any]]] = lambda failing: [],
) -> dict[str, Any]:
    """Check every function that is written, and say what was found.

    Parameters
    ----------
    workspace : Workspace
    name : str
        The learner's.
    progress : callable
        Called after each chapter with its number and its entries.
    proofs : callable
        Given the ids that do not pass, and why, what came of the capstones (`proofs.prove`).

    Returns
    -------
    report : dict
        "name"; "exercises": one entry each with id, chapter, passed, status, seconds and the SHA-256 of the function;
        "capstones"; "machine": what it ran on and how fast that reads and multiplies; "sha256" of all of it.
    """
    import numba
    import numpy as np

    from ... import __version__
    from ..speed import roofs

    checked, entries = [], []
    for chapter, those in check_all(workspace, catalogue().values()):
        of_chapter = [_entry(workspace, one) for one in those]
        progress(chapter, of_chapter)
        checked += those
        entries += of_chapter
    capstones = proofs(failing(checked))
    bandwidth, peak = roofs()
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "read_gb_per_s": round(bandwidth / 1e9, 1),
        "float32_gflop_per_s": round(peak / 1e9, 1),
    }
    found = {
        "minillama": __version__,
        "name": name,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine,
        "exercises": entries,
        "capstones": capstones,
    }
    return found | {"sha256": digest(found)}


def digest(found: dict[str, Any]) -> str:
    """The SHA-256 of a report without that entry."""
    content = {key: value for key, value in found.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _entry(workspace: Workspace, one: Checked) -> dict[str, Any]:
    """What is said of one exercise, after its check."""
    return {
        "id": one.exercise.id,
        "chapter": one.exercise.chapter,
        "passed": one.passed,
        "status": one.report.status,
        "seconds": round(one.report.seconds, 3),
        "solution_seen": workspace.record(one.exercise.id).solution_seen,
        "sha256": one.sha256,
    }


def write_report(found: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write verified.json and verified.svg into a folder."""
    as_json, as_svg = folder / "verified.json", folder / "verified.svg"
    as_json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    as_svg.write_text(draw(found), encoding="utf-8")
    return as_json, as_svg


def draw(found: dict[str, Any]) -> str:
    """One square for each exercise, a row for each chapter; below them the capstones that are proved."""
    chapters: dict[str, list[dict[str, Any]]] = {}
    for entry in found["exercises"]:
        chapters.setdefault(entry["chapter"], []).append(entry)
    widest, n_passed = max(map(len, chapters.values())), sum(e["passed"] for e in found["exercises"])
    proved = [line for proof in found["capstones"] if proof["proved"] for line in textwrap.wrap(proof["said"], 74)]
    width = max(470, 90 + 26 * widest)
    below = 84 + 26 * len(chapters)
    height = below + 36 + 16 * len(proved)
    machine = found["machine"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">',
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>',
        f'<text x="20" y="32" font-size="18" font-weight="bold" fill="{_INK}">minillama: {n_passed} of '
        f"{len(found['exercises'])} exercises</text>",
        f'<text x="20" y="55" font-size="15" fill="{_INK}">{html.escape(found["name"])}</text>',
    ]
    for row, (chapter, entries) in enumerate(chapters.items()):
        y = 74 + 26 * row
        parts.append(f'<text x="20" y="{y + 15}" font-size="13" fill="{_INK}">{html.escape(chapter)}</text>')
        for column, entry in enumerate(entries):
            colour = _DONE if entry["passed"] else _OPEN
            parts.append(
                f'<rect x="{52 + 26 * column}" y="{y}" width="20" height="20" rx="3" fill="{colour}">'
                f"<title>{html.escape(entry['id'])}</title></rect>"
            )
    for row, line in enumerate(proved):
        parts.append(f'<text x="20" y="{below + 8 + 16 * row}" font-size="12" fill="{_INK}">{html.escape(line)}</text>')
    figures = f"reads {machine['read_gb_per_s']} GB/s, {machine['float32_gflop_per_s']} GFLOP/s"
    foot = f"{found['date']} · {machine['system']} · {figures}"
    parts.append(f'<text x="20" y="{height - 32}" font-size="11" fill="{_INK}">{html.escape(foot)}</text>')
    parts.append(f'<text x="20" y="{height - 15}" font-size="9" fill="{_INK}">{found["sha256"]}</text></svg>')
    return "\n".join(parts) + "\n"
