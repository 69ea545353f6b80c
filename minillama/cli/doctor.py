"""`minillama doctor`: what this machine offers, what is missing and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import NamedTuple

from ..compute.machine import CPU_FEATURES
from ..compute.threads import available_cores, most_threads


class Finding(NamedTuple):
    """One line of the report.

    Attributes
    ----------
    what, found : str
    ok : bool
        False means that something will not work or be slow.
    advice : str
        What to do; may also be given when all is well.
    """

    what: str
    found: str
    ok: bool = True
    advice: str = ""


def diagnose() -> list[Finding]:
    """Look at everything that running a model depends on."""
    return [
        _python(),
        _package("numpy"),
        _package("numba"),
        _cpu(),
        _threads(),
        _threading_layer(),
        _kernel_cache(),
        _model_cache(),
        _models(),
        _optional("torch", "the chapters and tests then compare with float64 NumPy instead"),
        _optional("jupyter", "only needed to work through the notebooks"),
    ]


def _python() -> Finding:
    ok = sys.version_info >= (3, 11)
    return Finding(
        "Python", f"{platform.python_version()} ({sys.executable})", ok, "" if ok else "install Python 3.11 or newer"
    )


def _package(name: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "missing", False, f"pip install {name}")


def _optional(name: str, without: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", True, f"optional: {without}")


def _cpu() -> Finding:
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    present = [name for name in CPU_FEATURES if features.get(name)]
    return Finding("CPU", f"{llvm.get_host_cpu_name()}; {', '.join(present) or 'no vector extension that is used'}")


def _threads() -> Finding:
    cores, used = available_cores(), most_threads()
    ok = used <= cores
    advice = "" if ok else f"NUMBA_NUM_THREADS={used} is more than the {cores} cores: set it to {cores}"
    return Finding("threads", f"{used} of {cores} cores", ok, advice)


def _threading_layer() -> Finding:
    """Start the layer as a model would, with the smallest possible parallel kernel."""
    import numba
    import numpy as np

    from ..quantization.kernels import matvec_plain

    ones = np.ones((256, 512), np.float32)
    y = np.empty(256, np.float32)
    matvec_plain(ones[0], ones, y)
    if not (y == 512).all():
        return Finding(
            "kernels",
            "a compiled kernel computed a wrong result",
            False,
            "delete the folder of the kernel cache",
        )
    layer = numba.threading_layer() if most_threads() > 1 else "one thread"
    advice = "this layer does not allow two models to run at once in a process" if layer == "workqueue" else ""
    return Finding("kernels", f"compiled and right; threading layer {layer}", True, advice)


def _kernel_cache() -> Finding:
    from ..compute.kernel_cache import kernel_folder, obstacle

    if reason := obstacle():
        return Finding("kernel cache", "every start compiles everything again", False, reason)
    return Finding("kernel cache", str(kernel_folder()))


def _model_cache() -> Finding:
    from ..files.home import HomeError, cache_dir

    try:
        folder = cache_dir()
    except HomeError as error:
        return Finding("model cache", "there is none", False, str(error))
    nearest = _nearest_existing(folder)
    writable = nearest.is_dir() and os.access(nearest, os.W_OK)
    advice = "" if writable else "set MINILLAMA_HOME to a folder you may write to"
    return Finding("model cache", f"{folder}{'' if writable else ' (not writable)'}", writable, advice)


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _models() -> Finding:
    from ..checkpoints.hub.models import cached_models

    names = [model.known.name for model in cached_models()]
    return Finding(
        "models", ", ".join(names) or "none yet", True, "" if names else "minillama pull smollm2-135m-instruct"
    )
