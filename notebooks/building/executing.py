"""Execute a chapter as a reader without a folder would, and measure its own process.

CPU time is that of the kernel's process, all its threads together: what else the machine does is not counted.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .sources import HERE, read_source


@dataclass
class Run:
    """An executed chapter.

    Attributes
    ----------
    notebook : NotebookNode
    cpu : float
        Seconds of CPU time of the kernel's process, start and imports included.
    wall : float
    cells : dict of int to float
        Seconds of every cell: the smaller of CPU time and wall time, which neither a busy machine nor a second thread
        makes larger.
    """

    notebook: Any
    cpu: float = 0.0
    wall: float = 0.0
    cells: dict[int, float] = field(default_factory=dict)


def execute(path: Path) -> Run:
    """Execute a chapter; raises where a cell fails."""
    import psutil
    from nbclient import NotebookClient

    run = Run(read_source(path))
    client = NotebookClient(
        run.notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(HERE)}},
        record_timing=False,
        extra_arguments=["--log-level=40"],  # the kernel's own remarks do not belong to the chapter
    )
    environment = {**os.environ, "MINILLAMA_BOOK": "unsolved", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    begin = time.perf_counter()
    with client.setup_kernel(env=environment):
        process = psutil.Process(client.km.provisioner.pid)
        before = 0.0, time.perf_counter()
        for i, cell in enumerate(run.notebook.cells):
            client.execute_cell(cell, i)
            if cell.cell_type == "code":
                cell.outputs = joined(cell.outputs)
            after = _cpu(process), time.perf_counter()
            run.cells[i] = min(after[0] - before[0], after[1] - before[1])
            before = after
        run.cpu = before[0]
    run.wall = time.perf_counter() - begin
    return run


def joined(outputs: list[Any]) -> list[Any]:
    """Neighbouring texts of one stream are one output: where a kernel cuts them is chance, and the reader sees it."""
    found: list[Any] = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream" and output.name == found[-1].name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def _cpu(process: Any) -> float:
    times = process.cpu_times()
    return times.user + times.system
