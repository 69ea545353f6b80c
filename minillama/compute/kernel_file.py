"""A compiled kernel as bytes, and back without waking up all of Numba.

Numba's own way to load a kernel begins with a refresh: it imports and registers everything that it could compile
(a quarter of a second, most of what the first kernel costs), although machine code that is there already needs
none of it. What it does need are the functions that it calls by name, of Python and of Numba's runtime, and those are
known when it is compiled. So their names are kept with the code, and Numba is refreshed only where one of them is
missing, or where unpacking fails without. It refreshes itself before it compiles anything.
"""

from __future__ import annotations

import functools
import pickle
from typing import Any

import llvmlite.binding as llvm
from numba.core import serialize
from numba.core.compiler import CompileResult

FORMAT = 2  # another one is another file: an older minillama beside this one finds its own


def packed(compiled: Any) -> bytes:
    """The code of a `CompileResult` with what loading it takes."""
    content = compiled._reduce()
    return serialize.dumps((_called_by_name(compiled.library), compiled.reload_init, serialize.dumps(content)))


def unpacked(content: bytes, target_context: Any) -> CompileResult:
    """The `CompileResult` of `packed`, linked and ready to run."""
    _register_runtime()
    names, beginnings, code = pickle.loads(content)
    for begin in beginnings:  # starts the threads, for example, whose functions have names from then on
        begin()
    if all(map(llvm.address_of_symbol, names)):
        try:
            return CompileResult._rebuild(target_context, *pickle.loads(code))
        except Exception:  # of whatever a version of Numba does when it refreshes
            target_context.refresh()
    else:
        target_context.refresh()
    return CompileResult._rebuild(target_context, *pickle.loads(code))


def _called_by_name(library: Any) -> tuple[str, ...]:
    """Functions and variables that the code of a library uses and does not have."""
    module = library._final_module
    things = (*module.functions, *module.global_variables)
    return tuple(thing.name for thing in things if thing.is_declaration and not thing.name.startswith("llvm."))


@functools.cache
def _register_runtime() -> None:
    """Let machine code find Numba's runtime (arrays that it makes, arguments from Python) by its names.

    As Numba's `_Runtime.initialize` does, which goes on to compile what only the compiler needs. Where a version has
    it elsewhere the names stay unknown here, and `unpacked` refreshes.
    """
    try:
        from numba.core.runtime._nrt_python import c_helpers
    except ImportError:
        return
    for name, place in c_helpers.items():
        llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", place)
