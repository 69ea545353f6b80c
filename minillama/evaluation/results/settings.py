"""What makes two runs the same run: with equal settings, results are the same bytes.

model        its name, and the sha256 of its weights and tokenizer
arithmetic   "float32", or "integer" for a quantised model on a CPU that multiplies in integers
versions     of this package and of the libraries that compute
asking       shots, limit, seed, chat template, system message
tasks        the protocol and version of each
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..common.task import Asking, Task


def settings_of(
    name: str, origin: Mapping[str, str], asking: Asking, tasks: Sequence[Task], max_length: int
) -> dict[str, Any]:
    """The settings of a run, as they stand in settings.json; `origin` is that of engine/origin.py."""
    import numba
    import numpy

    return {
        "model": {"name": name, "sha256": origin["model"]},
        "arithmetic": origin["arithmetic"],
        "max_length": max_length,
        "asking": asdict(asking),
        "tasks": {task.name: {"protocol": task.protocol, "version": task.version} for task in tasks},
        "versions": {
            "minillama": origin["package"],
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "numba": numba.__version__,
        },
    }


def differences(mine: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> list[str]:
    """Where two settings differ, each as "asking.limit is 100 now and was 60"."""
    found = []
    for key in sorted({*mine, *other}):
        name = f"{path}{key}"
        a, b = mine.get(key), other.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{name}.")
        elif a != b:
            found.append(f"{name} is {_shown(a)} now and was {_shown(b)}")
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
