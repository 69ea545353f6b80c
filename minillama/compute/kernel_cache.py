"""Compiled kernels on disk, found again by what they were compiled from.

Numba's own cache goes by the path and the age of one source file: it notices no edit to a function
that a kernel calls in another file, and a second copy of the same code compiles everything again.
Here a file is named after

    the contents of every source file whose functions the kernel reaches,
    the values of the constants that they use,
    the types of its arguments, the processor, and the versions of Python, Numba and llvmlite,

so it either fits exactly or is not there. An edit compiles the kernels that reach the edited file, and
no others; where the source lies, and when it was written, does not matter. A file is written under
another name first and begins with a checksum: several processes may share a folder, and what is
damaged is compiled again. Where nothing can be kept (a full disk, no home folder) kernels are compiled
for the process, which says so once.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import inspect
import os
import shutil
import stat
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import ir
from numba.core import sigutils

from ..files.home import HomeError, cache_dir
from .kernel_file import FORMAT, packed, unpacked

_PACKAGE = __name__.partition(".")[0]
# Kernels that were not used for so long are deleted, when others are compiled.
_KEEP_DAYS = 30
_DAY = 86_400
_CHECKSUM = hashlib.sha256().digest_size


class KernelCacheWarning(UserWarning):
    """Compiled kernels cannot be kept; the message names the folder and the reason."""


def kernel_folder() -> Path:
    """Where compiled kernels are looked for and kept; it need not exist.

    Raises
    ------
    HomeError
        When there is no home folder and no other was named.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    return Path(given) / "minillama" if given else cache_dir() / "kernels"


def obstacle() -> str:
    """Why kernels cannot be kept, found out by writing a file; "" where they can."""
    try:
        folder = kernel_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        return _reason(error)
    return ""


def all_kept() -> bool:
    """Whether every kernel that this process compiled was kept so far."""
    return not _Lost.first


class _Lost:
    first = ""  # the reason why the first kernel that could not be kept was not


def _note_lost(error: OSError) -> None:
    if not _Lost.first:
        _Lost.first = _reason(error)
        warnings.warn(f"kernels are compiled for this run only: {_Lost.first}", KernelCacheWarning, stacklevel=2)


def _reason(error: OSError) -> str:
    if isinstance(error, HomeError):
        return str(error)
    variable = "NUMBA_CACHE_DIR" if os.environ.get("NUMBA_CACHE_DIR") else "MINILLAMA_HOME"
    return f"cannot write to {kernel_folder()} ({error.strerror or error}); set {variable} to another folder"


def keep_on_disk(dispatcher: Any, folder: Path | None = None) -> None:
    """Let a function that Numba has not compiled yet look on disk first, and leave its results there.

    Parameters
    ----------
    dispatcher : Dispatcher
    folder : Path, optional
        By default `kernel_folder()`, which is looked for when the function is first called.
    """
    # A name of Numba's inside; where a version does not have it, kernels are compiled in every process.
    if hasattr(dispatcher, "_cache") and _file_of(dispatcher.py_func) is not None:
        _read_sources(dispatcher.py_func.__module__)
        dispatcher._cache = KernelCache(dispatcher.py_func, folder)
    else:
        _Lost.first = "they have no file of source code"


class KernelCache:
    """What Numba asks of the cache of one function: to load and to save the result for some types.

    Parameters
    ----------
    function : function
    folder : Path, optional
        By default `kernel_folder()`.
    """

    def __init__(self, function: Callable[..., Any], folder: Path | None = None) -> None:
        self._function, self._folder = function, folder
        self._enabled = True

    @property
    def cache_path(self) -> str:
        return str(self._folder or kernel_folder())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for these types, or None."""
        if not self._enabled:
            return None
        try:
            path = self._path(sig, target_context.codegen())
            content = _read_own(path)
            if hashlib.sha256(content[_CHECKSUM:]).digest() != content[:_CHECKSUM]:
                return None
            _mark_as_used(path)
            return unpacked(content[_CHECKSUM:], target_context)
        except Exception:  # whatever is wrong with a file, compiling again puts it right
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function; the first that cannot be kept is a warning."""
        if not self._enabled or data.lifted or data.library.has_dynamic_globals:
            return
        content = packed(data)
        try:
            path = self._path(sig, data.codegen)
            _write(path, hashlib.sha256(content).digest() + content)
        except OSError as error:
            _note_lost(error)
        else:
            _forget_old(path.parent)

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        """Forget nothing: files that do not fit any more are never found."""

    def _path(self, sig: Any, codegen: Any) -> Path:
        arguments, _ = sigutils.normalize_signature(sig)
        name = f"{self._function.__module__}.{self._function.__qualname__}"
        types_of_arguments = [str(kind) for kind in arguments]
        key = repr((FORMAT, name, source_digest(self._function), types_of_arguments, codegen.magic_tuple()))
        readable = "".join(c for c in name.removeprefix(f"{_PACKAGE}.") if c.isalnum() or c in "._")
        return (self._folder or kernel_folder()) / f"{readable[-60:]}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def _read_own(path: Path) -> bytes:
    """A file's content, if it is a plain one of this user or of root: another one could have put any program there."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(path)
    _check_owner(status)
    return path.read_bytes()


def _check_owner(status: os.stat_result) -> None:
    if hasattr(os, "getuid") and status.st_uid not in (0, os.getuid()):
        raise PermissionError(errno.EPERM, "its files are another user's")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)  # it may have been deleted during the run
    if path.is_dir():
        shutil.rmtree(path)  # under the name of a kernel nothing else is kept
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            _check_owner(os.fstat(handle))  # on a foreign disk every file is somebody else's: never read again
            file.write(content)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _mark_as_used(path: Path) -> None:
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > _DAY:
            os.utime(path)


@functools.cache  # once in a process
def _forget_old(folder: Path) -> None:
    paths: list[Path] = []
    with suppress(OSError):
        paths = list(folder.iterdir())
    for path in paths:
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEEP_DAYS * _DAY:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


# --- what a kernel is made of -----------------------------------------------------------


def source_digest(function: Callable[..., Any]) -> str:
    """A digest of all that decides what a kernel compiles to, except its types and the processor."""
    files, values = _reached_from(function)
    versions = (sys.version_info[:2], numba.__version__, llvmlite.__version__)
    contents = sorted((Path(file).name, _file_digest(file)) for file in files)
    return hashlib.sha256(repr((versions, contents, sorted(values))).encode()).hexdigest()


def _reached_from(function: Callable[..., Any]) -> tuple[set[str], set[str]]:
    """Source files of the functions that `function` reaches, itself included, and values of their globals."""
    files: set[str] = set()
    values: set[str] = set()
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [(function.__name__, function)]
    while waiting:
        name, thing = waiting.pop()
        if id(thing) in seen and not isinstance(thing, (int, float, str)):
            continue
        seen.add(id(thing))
        code = _function_of(thing)
        if code is not None:
            file = _file_of(code)
            values.add(f"{name} is {code.__module__}.{code.__qualname__}")
            if file is not None:
                files.add(file)
                waiting.extend(_globals_of(code))
        elif isinstance(thing, (tuple, list, set, frozenset)):
            waiting.extend((name, item) for item in thing)
        elif isinstance(thing, dict):
            waiting.extend((f"{name}[{key!r}]", item) for key, item in thing.items())
        else:
            values.add(f"{name} = {_description(thing)}")
            kind: Any = type(thing)
            if _file_of(kind) is not None:
                files.add(str(_file_of(kind)))
    return files, values


def _function_of(thing: Any) -> Any:
    """The Python function, or the class, that a thing is made of; None for a value."""
    thing = getattr(thing, "py_func", thing)  # a kernel
    thing = getattr(thing, "__wrapped__", thing)  # an intrinsic
    return thing if isinstance(thing, (types.FunctionType, type)) else None


def _globals_of(function: Any) -> Iterator[tuple[str, Any]]:
    """What a function, and those inside it, call by name."""
    if isinstance(function, type):
        return
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes.extend(constant for constant in code.co_consts if isinstance(constant, types.CodeType))
        for name in code.co_names:
            if name in function.__globals__:
                yield name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        with suppress(ValueError):  # not filled yet
            yield name, cell.cell_contents


def _description(value: Any) -> str:
    """The same text for the same value in every process."""
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)):
        return repr(value)
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, (ir.Type, ir.Constant)):
        return str(value)
    return getattr(value, "__name__", type(value).__qualname__)


@functools.cache
def _file_of(thing: Any) -> str | None:
    """The source of a function or a class of ours; None for what belongs to Python or to another package."""
    module = sys.modules.get(thing.__module__)
    file = getattr(module, "__file__", None)
    if isinstance(thing, types.FunctionType):
        file = inspect.getfile(thing)
    elif not (thing.__module__ or "").startswith(f"{_PACKAGE}."):
        return None
    if file is None or not os.path.isfile(file) or _is_installed(file):
        return None
    return file


@functools.cache
def _is_installed(file: str) -> bool:
    """Whether a file is of another package, whose version stands for its contents."""
    ours = str(Path(__file__).parents[1]) + os.sep
    return not file.startswith(ours) and any(
        file.startswith(str(Path(module.__file__ or "").parent) + os.sep) for module in (numba, llvmlite, np, os)
    )


@functools.cache  # once for every module that has kernels
def _read_sources(module: str) -> None:
    """Look at the sources that are loaded now: an edit from here on is not what this process runs."""
    for name, loaded in list(sys.modules.items()):
        file = getattr(loaded, "__file__", None) if name == module or name.startswith(f"{_PACKAGE}.") else None
        if file is not None and os.path.isfile(file):
            _file_digest(file)


@functools.cache
def _file_digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
