"""Where minillama keeps what it has fetched and compiled."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder of minillama's own downloads and kernels: $MINILLAMA_HOME, or ~/.cache/minillama."""
    return Path(os.environ.get("MINILLAMA_HOME") or "~/.cache/minillama").expanduser()
