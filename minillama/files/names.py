"""What the name of a file that is to be written says."""

from __future__ import annotations

import re
from pathlib import Path

# A letter behind the dot: SmolLM2-1.7B and v1.0 are names of folders.
_ENDING = re.compile(r"\.[A-Za-z]\w{0,15}$", re.ASCII)


def foreign_ending(path: Path) -> str:
    """The ending of a name that seems to be meant for a file, such as ".foo"; "" where there is none or a folder is."""
    found = None if path.is_dir() else _ENDING.search(path.name)
    return found[0] if found and found.start() > 0 else ""
