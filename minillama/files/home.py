"""Where minillama keeps what it has fetched and compiled."""

import os
from pathlib import Path


class HomeError(OSError):
    """There is no home folder; the message says what to do. An OSError, as for any folder that is not there."""


def cache_dir() -> Path:
    """The folder of minillama's own downloads and kernels: $MINILLAMA_HOME, or ~/.cache/minillama.

    Raises
    ------
    HomeError
        When that begins with a home folder which does not exist: in a container a user need not have one.
    """
    given = os.environ.get("MINILLAMA_HOME")
    try:
        return Path(given or "~/.cache/minillama").expanduser()
    except RuntimeError:
        found = f"MINILLAMA_HOME is {given}, and nobody has that home" if given else "this user has no home folder"
        raise HomeError(f"{found}: set MINILLAMA_HOME to a folder that can be written") from None


def without_tilde(path: str | os.PathLike[str]) -> Path:
    """A path with its home folder in place of `~` or `~name`.

    Raises
    ------
    HomeError
        When there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise HomeError(f"{os.fspath(path)}: there is no such home folder; write the path without ~") from None
