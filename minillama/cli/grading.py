"""Everything in a folder checked: for the learner's certificate, and for a teacher as JSON or a list of the class."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common.given import CHAT_INSIDE, DEFAULT_MODEL
from .common.output import download_bar, note, write

if TYPE_CHECKING:
    from ..learn.exercises.exercise import Exercise
    from ..learn.workspace.folder import Workspace


def print_checks(workspace: Workspace, exercises: list[Exercise]) -> bool:
    """One JSON document on stdout about these exercises; whether all pass. The folder stays as it is."""
    from .. import __version__
    from ..learn.workspace.checks import as_json, check_all

    found = [one for _, those in check_all(workspace, exercises) for one in those]
    passed = sum(one.passed for one in found)
    document = {
        "minillama": __version__,
        "folder": str(workspace.folder),
        "passed": passed,
        "of": len(found),
        "exercises": [as_json(one) for one in found],
    }
    write(json.dumps(document, indent=1) + "\n")
    return passed == len(found)


def print_grades(folders: list[Path], *, with_reports: bool) -> None:
    """A line of CSV for each folder that was handed in, or with the reports one JSON document."""
    from ..learn.workspace.checks import as_json
    from ..learn.workspace.folder import WorkspaceError
    from ..learn.workspace.grading import grade

    documents, lines = [], csv.writer(_Stdout())
    for i, folder in enumerate(folders):
        try:
            found = grade(folder)
        except WorkspaceError as error:
            note(str(error))
            continue
        row = found.row()
        note(f"{i + 1} of {len(folders)}: {folder} {row['passed']} of {row['of']}")
        if with_reports:
            documents.append(row | {"exercises": [as_json(one) for one in found.checked]})
            continue
        if not documents:
            lines.writerow(row)
        documents.append(row)
        lines.writerow(row.values())
    if with_reports:
        write(json.dumps(documents, indent=1) + "\n")


class _Stdout:
    """What csv writes to: the output of a command."""

    def write(self, text: str) -> None:
        write(text.replace("\r\n", "\n"))


def verify_and_report(
    workspace: Workspace, name: str | None, topic: Any, *, with_capstones: bool, text: Path | None
) -> None:
    """Check everything, prove the capstones, and write the certificate; a line for each chapter."""
    from ..learn.capstones import CAPSTONES
    from ..learn.diagnosis.report import wrapped
    from ..learn.workspace.certificate import name_in, verify, write_report
    from ..learn.workspace.proofs import prove

    if text is not None and not text.is_file():
        raise ValueError(f"{text} is not a file: --text names a text of yours to train on")

    def progress(chapter: str, entries: list[dict[str, Any]]) -> None:
        open_ = [entry["id"] for entry in entries if not entry["passed"]]
        left = f"   not yet: {', '.join(open_[:3])}{f' and {len(open_) - 3} more' if len(open_) > 3 else ''}"
        count = f"{len(entries) - len(open_):>2} of {len(entries):>2}"
        write(f" {chapter} {topic(chapter):<28} {count}{left if open_ else ''}\n")

    def proofs(failing: dict[str, str]) -> list[dict[str, Any]]:
        found = []
        for capstone in CAPSTONES if with_capstones else ():
            more = {"text": None if text is None else str(text)}
            if capstone.id == "chat":
                more = {"model": _chat_model()}
            if sys.stderr.isatty():
                note(f"proving: {capstone.goal} … (Ctrl-C leaves it out)")
            try:
                proof = prove(capstone, workspace, failing, **more)
            except KeyboardInterrupt:
                proof = {"id": capstone.id, "proved": False, "said": "left out"}
            words = f"{'proved: ' if proof['proved'] else 'not yet: '}{proof['said']}"
            write(f"\n after {capstone.after}\n" + "\n".join(wrapped(words, "   ")) + "\n")
            found.append(proof | {"goal": capstone.goal})
        return found

    found = verify(workspace, name or name_in(workspace.folder), progress, proofs)
    as_json, as_svg = write_report(found, workspace.folder)
    n_passed = sum(entry["passed"] for entry in found["exercises"])
    write(f"\n{found['name']}: {n_passed} of {len(found['exercises'])} exercises pass: {as_json} and {as_svg}\n")


def _chat_model() -> str:
    """SmolLM2, fetched if it is not here; where it cannot be had, the chat model inside."""
    from ..checkpoints.hub.downloads import DownloadError
    from ..checkpoints.hub.models import fetch
    from ..files.home import HomeError

    try:
        with download_bar() as progress:
            fetch(DEFAULT_MODEL, progress=progress)
    except (DownloadError, HomeError) as error:
        why = str(error).partition("\n")[0].rstrip(".: ")
        note(f"{DEFAULT_MODEL} is not on this machine ({why}): {CHAT_INSIDE}, the small one inside, takes its place")
        return CHAT_INSIDE
    return DEFAULT_MODEL
