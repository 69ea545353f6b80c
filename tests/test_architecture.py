"""The rules of the house: which way imports point, what importing costs, names that are exported."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minillama

PACKAGE = Path(minillama.__file__).parent

# Each part may import those named behind it, and itself. `checkpoints.errors` is for everybody
# who reads files.
ALLOWED = {
    "home": set(),
    "file_lock": set(),
    "kernel_cache": {"home"},
    "pointers": set(),
    "jit": {"kernel_cache", "pointers"},
    "simd": set(),
    "simd_bytes": {"simd"},
    "simd_pairs": {"simd"},
    "team": {"jit", "simd"},
    "threads": set(),
    "config": set(),
    "quantization": set(),
    "quantization_kernels": {"jit", "pointers", "simd", "simd_bytes", "quantization"},
    "interleaved": {"interleaved_kernels", "quantization", "simd_bytes"},
    "interleaved_kernels": {"jit", "pointers", "simd", "simd_bytes"},
    "layers": {"jit", "pointers", "simd", "simd_pairs", "team", "interleaved", "quantization"}
    | {"quantization_kernels"},
    "decoding": {"config", "interleaved", "interleaved_kernels", "jit", "kv_cache", "layers", "params"}
    | {"quantization", "simd", "simd_bytes", "team", "threads"},
    "ops": {"layers"},
    "params": {"config"},
    "kv_cache": {"config"},
    "sampling": {"jit"},
    "model": {"config", "kv_cache", "layers", "ops", "params"},
    "session": {
        "threads",
        "config",
        "decoding",
        "interleaved",
        "kv_cache",
        "layers",
        "model",
        "ops",
        "params",
        "sampling",
    },
    "generate": {"config", "kv_cache", "model", "ops", "params", "sampling", "session"},
    "text": {"generate", "tokenizers"},
    "checkpoints": {"config", "home", "params", "quantization", "layers", "tokenizers"},
    "tokenizers": {"checkpoints"},
    "chat": {"tokenizers"},
    "data": {"file_lock", "home", "jit", "checkpoints", "layers", "tokenizers"},
    "training": {
        "config",
        "checkpoints",
        "data",
        "file_lock",
        "generate",
        "home",
        "jit",
        "layers",
        "model",
        "ops",
        "params",
    }
    | {"sampling", "session", "simd", "text", "threads", "tokenizers"},
}
APPLICATIONS = {"llm", "info", "doctor", "cli", "cli_bench", "cli_chat", "cli_output", "__init__", "__main__"}
APPLICATIONS |= {"bench", "bench_machine", "bench_peers", "bench_plot", "bench_process", "bench_quality"}
APPLICATIONS |= {"bench_report", "bench_rows", "bench_worker", "learn", "cli_learn", "cli_own"}
APPLICATIONS |= {"cli_data", "cli_tokens", "cli_train"}


def module_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> set[str]:
    """The parts of minillama that a file imports, those inside functions included."""
    package = ["minillama", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            parts = [*base, *(node.module.split(".") if node.module else [])]
            if parts[:1] == ["minillama"]:
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    module = module_of(path)
    if module in APPLICATIONS:
        return
    assert module in ALLOWED, f"say in this test what {module} may import"
    forbidden = imports(path) - ALLOWED[module] - {module}
    assert not forbidden, f"{path.relative_to(PACKAGE)} imports {sorted(forbidden)}"


def test_importing_is_quick_and_light():
    """`import minillama` loads neither Numba nor anything optional."""
    code = (
        "import sys, minillama\n"
        "heavy = {'numba', 'torch', 'transformers', 'huggingface_hub', 'rich', 'typer', 'regex'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_running_needs_no_test_libraries():
    """Loading the whole package imports no oracle: they are not installed on a user's machine."""
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'tokenizers', 'safetensors', 'gguf', 'psutil', 'hypothesis'):\n"
        "    sys.modules[name] = None\n"
        "import pkgutil, importlib, minillama\n"
        "for module in pkgutil.walk_packages(minillama.__path__, 'minillama.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_exported_name_exists():
    for name in minillama.__all__:
        assert getattr(minillama, name) is not None
    assert set(minillama.__all__) <= set(dir(minillama))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        minillama.nothing  # noqa: B018


SITTINGS = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "chapters")


@pytest.mark.parametrize("path", SITTINGS, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_readable(path):
    """No module grows past what can be read in one sitting; exercises are read one at a time."""
    assert len(path.read_text().splitlines()) <= 400, "split it beside itself"
