"""Benchmarks as a reader keeps them, DIR/TASK/SPLIT.jsonl, made of the odd layouts of the test data.

python tests/evaluation/local_copies.py DATA DIR [TASK …]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from odd_layouts import READERS, documents

SPLITS = ("train", "validation", "test", "dev")


def write_local_copies(data: Path, folder: Path, names: Sequence[str] = ()) -> Path:
    """Write the splits of the benchmarks that are named, or of all; returns `folder`."""
    for name in names or [*READERS, *mmlu_names(data)]:
        for split in SPLITS:
            try:
                rows = documents(data, name, split)
            except (KeyError, FileNotFoundError):
                continue
            path = folder / name / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return folder


def mmlu_names(data: Path) -> list[str]:
    """The datasets of MMLU's subjects."""
    return sorted(f"mmlu_{path.stem.removesuffix('_dev')}" for path in (data / "eval" / "mmlu" / "dev").glob("*.csv"))


if __name__ == "__main__":
    write_local_copies(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
