"""A learner's code in a process of its own: it may loop for ever, take all memory, or end the program.

    python -m minillama.learn.workspace.worker

says {"ready": true} when its imports are done. Then it reads requests as lines of JSON, {"exercise", "path",
"dims" or null}, and answers each with lines: {"case": ...} before each case, {"report": ...} at the end. A file is
loaded once. What the learner's code prints goes to stderr.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import linecache
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ...files.home import HomeError
from ..chapters.catalogue import get_exercise
from ..diagnosis.check import check_function
from ..diagnosis.exceptions import explain_loading, reported
from ..diagnosis.report import ERROR, Report

# What a learner's code may take beyond what NumPy and Numba have mapped.
_EXTRA_BYTES = 4 << 30


def load_file(path: Path) -> ModuleType:
    """Run a file of exercises, whose name is not an identifier, and return it as a module."""
    linecache.checkcache(str(path))
    spec = importlib.util.spec_from_file_location(f"learner_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    text = path.read_text(encoding="utf-8")
    sys.modules[module.__name__] = module  # where Numba looks for it
    exec(compile(text, str(path), "exec"), module.__dict__)
    _keep_kernels(module, text)
    return module


def _keep_kernels(module: ModuleType, text: str) -> None:
    """Keep what is compiled for a file, in a folder named after the file's text.

    The model runs on functions that another process has just checked: they are not compiled twice. A file that
    calls compiled functions of another one is left alone, because nobody would notice an edit there.
    """
    numba = sys.modules.get("numba")
    if numba is None or os.environ.get("NUMBA_DISABLE_JIT"):
        return
    compiled = [value for value in vars(module).values() if isinstance(value, numba.core.dispatcher.Dispatcher)]
    if any(function.py_func.__globals__ is not vars(module) for function in compiled):
        return
    from ...compute.kernel_cache import keep_on_disk, kernel_folder

    try:
        folder = kernel_folder() / f"learner-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    except HomeError:
        return  # compiled again in every process
    for function in compiled:
        keep_on_disk(function, folder)


def check_file(
    id: str, path: Path, dims: dict[str, int] | None, progress: Callable[[str], Any], loaded: dict[Path, ModuleType]
) -> Report:
    """Load a file, unless that is done, and check one function of it: a Report, whatever happens."""
    exercise = get_exercise(id)
    try:
        if path not in loaded:
            loaded[path] = load_file(path)
        function = getattr(loaded[path], id, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return explain_loading(exercise, path, error)
    if not callable(function):
        text = f"{path.name} has no function {id}: `minillama learn reset {id}` brings the starter back."
        return reported(exercise, ERROR, [text])
    return check_function(exercise, function, dims=dims, progress=progress)


def _limit_memory() -> None:
    """Let a huge allocation fail at once with MemoryError instead of slowing the machine down (Linux)."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _EXTRA_BYTES, resource.RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        pass


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    from ... import ops  # noqa: F401  what most exercises import takes longest
    from ...compute.kernel_cache import KernelCacheWarning

    warnings.simplefilter("ignore", KernelCacheWarning)  # it would be shown as a print of the learner's

    say({"ready": True})
    _limit_memory()
    loaded: dict[Path, ModuleType] = {}
    for line in sys.stdin:
        request = json.loads(line)
        progress: Callable[[str], Any] = lambda case: say({"case": case})  # noqa: E731
        report = check_file(request["exercise"], Path(request["path"]), request["dims"], progress, loaded)
        sys.stdout.flush()  # what the function has printed belongs to this report
        say({"report": report.to_dict()})
    answers.flush()
    os._exit(0)  # threads that the learner's code has started do not matter


if __name__ == "__main__":
    main()
