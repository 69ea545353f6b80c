"""Kernels compiled with each of the instructions that this CPU has for products of bytes."""

from __future__ import annotations

import types
from typing import Any

import llvmlite.binding as llvm
from numba import config, njit

from minillama.compute import simd_bytes


def _features() -> list[str]:
    if config.CPU_FEATURES is not None:  # code for another CPU: the compiler knows the chosen instruction only
        return [name for name in simd_bytes.FEATURES if name == simd_bytes.DOT4]
    return [name for name in simd_bytes.FEATURES if llvm.get_host_cpu_features().get(name)]


HERE = ["portable", *_features()]


def compiled_with(instruction: str, body: Any, *arguments: Any) -> Any:
    """A function compiled for arguments with one of the instructions; nothing of it is kept on disk."""
    before, simd_bytes.DOT4 = simd_bytes.DOT4, instruction
    try:
        compiled = njit(types.FunctionType(body.__code__, body.__globals__))
        compiled(*arguments)
    finally:
        simd_bytes.DOT4 = before
    return compiled
