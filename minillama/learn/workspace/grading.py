"""What a teacher learns of a folder that was handed in: its functions checked here, and what its verified.json says.

verified.json is a statement of the learner's, in a file that anybody can write: its own sha256 shows a slip, not a
forgery. What counts is what passes here. It cannot be seen who wrote a function, or when.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..chapters.catalogue import catalogue
from .certificate import digest
from .checks import Checked, check_all
from .folder import Workspace, WorkspaceError, find_workspace


@dataclass
class Grade:
    """A folder that was handed in.

    Attributes
    ----------
    folder : Path
    checked : list of Checked
    claimed : dict or None
        Its verified.json; None where there is none that can be read.
    solutions_seen : list of str
        Ids of which the folder's progress says that the solution was shown before they passed.
    """

    folder: Path
    checked: list[Checked]
    claimed: dict[str, Any] | None
    solutions_seen: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str((self.claimed or {}).get("name", ""))

    @property
    def passed(self) -> list[str]:
        return [one.exercise.id for one in self.checked if one.passed]

    @property
    def claimed_as_passed(self) -> list[str]:
        return [id for id, entry in self._entries().items() if entry.get("passed") is True]

    @property
    def claimed_but_failing(self) -> list[str]:
        """Said to pass, and not passing here."""
        return [id for id in self.claimed_as_passed if id not in self.passed]

    @property
    def changed(self) -> list[str]:
        """Functions with another text than when verified.json was written."""
        entries = self._entries()
        return [id for id, now in self._texts().items() if id in entries and entries[id].get("sha256") != now]

    @property
    def is_edited(self) -> bool:
        """Whether verified.json is not as `verify` wrote it."""
        return self.claimed is not None and self.claimed.get("sha256") != digest(self.claimed)

    def _texts(self) -> dict[str, str]:
        return {one.exercise.id: one.sha256 for one in self.checked}

    def _entries(self) -> dict[str, dict[str, Any]]:
        found = (self.claimed or {}).get("exercises")
        entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
        return {str(entry.get("id")): entry for entry in entries}

    def row(self) -> dict[str, Any]:
        """The figures for a list of the class."""
        return {
            "folder": self.folder.name,
            "name": self.name,
            "passed": len(self.passed),
            "of": len(self.checked),
            "claimed": len(self.claimed_as_passed) if self.claimed is not None else "",
            "claimed but failing": " ".join(self.claimed_but_failing),
            "changed since": " ".join(self.changed),
            "verified.json edited": "yes" if self.is_edited else "",
            "solutions seen": " ".join(self.solutions_seen),
            "capstones claimed": " ".join(self._capstones()),
        }

    def _capstones(self) -> list[str]:
        found = (self.claimed or {}).get("capstones")
        proofs = [proof for proof in found if isinstance(proof, dict)] if isinstance(found, list) else []
        return [str(proof.get("id")) for proof in proofs if proof.get("proved") is True]


def grade(folder: Path) -> Grade:
    """Check everything in a folder that was handed in; nothing is written to it.

    Raises
    ------
    WorkspaceError
        When it has none of the files of a learner's folder.
    """
    if not any(folder.glob("[0-9][0-9]_*.py")):
        raise WorkspaceError(f"{folder} has no files of exercises, such as 05_rope.py")
    try:
        workspace = find_workspace(folder)
    except WorkspaceError:
        workspace = Workspace(folder)  # only the files were handed in
    checked = [one for _, those in check_all(workspace, catalogue().values()) for one in those]
    seen = [id for id in catalogue() if workspace.record(id).solution_seen]
    return Grade(folder, checked, _claimed(folder), seen)


def _claimed(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / "verified.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
