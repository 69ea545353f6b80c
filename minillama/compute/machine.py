"""What processor this is."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path

# CPU features that decide how fast the kernels are, best first.
CPU_FEATURES = ("amx-int8", "avx512vnni", "avxvnni", "avx512f", "avx2", "dotprod", "neon")


def cpu_name() -> str:
    """The processor's name as its maker gives it; "" where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
