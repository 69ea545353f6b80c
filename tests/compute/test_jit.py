"""Compiled kernels: what is kept on disk fits the code exactly, and what threads share is the whole work."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numba import config

import minillama
from minillama.compute.jit import helper, kernel_threads, threaded
from minillama.compute.pointers import address_of
from minillama.compute.threads import most_threads, set_threads

SCRIPT = """
import numpy as np
from numba.core import event
from minillama.compute.kernel_cache import kernel_folder
from minillama.layers.rmsnorm import rmsnorm_forward_fast
from minillama.layers.rope import rope_forward_fast, rope_table

class Compiled(event.Listener):
    names = []
    def on_start(self, event):
        self.names.append(event.data["dispatcher"].__name__)
    def on_end(self, event):
        pass

event.register("numba:compile", Compiled())
y, _ = rmsnorm_forward_fast(np.ones((2, 16), np.float32), np.ones(16, np.float32), 0.0)
cos, sin = rope_table(16, 4, 1e4)
rope_forward_fast(np.ones((1, 1, 4, 16), np.float32), cos, sin, np.arange(4)[None])
print(y[0, 0], kernel_folder(), *Compiled.names)
"""


def run(package, home, **environment):
    """A fresh process that runs two layers: a result, the folder of kernels, and what was compiled."""
    given = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT", "MINILLAMA_SIMD")}
    environment = {**given, "PYTHONPATH": str(package), "MINILLAMA_HOME": str(home), **environment}
    options = {"env": environment, "cwd": package, "capture_output": True, "text": True, "check": True}
    value, folder, *compiled = subprocess.run([sys.executable, "-c", SCRIPT], **options).stdout.split()
    assert float(value) == 1.0
    return folder, {name for name in compiled if name != "impl"}  # those of Numba's own


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A copy of the package whose kernels are in `home`, both to be copied again and edited."""
    folder = tmp_path_factory.mktemp("compiled")
    shutil.copytree(Path(minillama.__file__).parent, folder / "code" / "minillama")
    kernels, names = run(folder / "code", folder / "home")
    assert Path(kernels) == folder / "home" / "kernels"
    assert {"normalise_row", "_normalise", "_rotate_in_vectors", "_launch"} <= names
    return folder


@pytest.fixture
def copy(compiled, tmp_path):
    shutil.copytree(compiled, tmp_path / "copy")
    return tmp_path / "copy" / "code", tmp_path / "copy" / "home"


def test_an_edit_compiles_what_reaches_it(copy):
    """Numba by itself would not notice an edit in another file, and go on with the old code."""
    code, home = copy
    with open(code / "minillama" / "compute" / "simd_pairs.py", "a") as file:
        file.write("# edited\n")
    names = run(code, home)[1]
    assert names == {"_rotate_in_vectors", "_rotate_row_in_vectors"}
    with open(code / "minillama" / "layers" / "rmsnorm.py", "a") as file:
        file.write("# edited\n")
    assert run(code, home)[1] == {"normalise_row", "_normalise"}
    assert run(code, home)[1] == set()


def test_a_copy_elsewhere_and_a_newer_date_compile_nothing(copy):
    code, home = copy  # copied: another path, other dates
    assert run(code, home)[1] == set()
    os.utime(code / "minillama" / "layers" / "rmsnorm.py")
    assert run(code, home)[1] == set()


@pytest.mark.parametrize("damage", ["cut off", "a bit flipped", "empty", "not a file"])
def test_what_is_damaged_is_compiled_again(copy, damage):
    code, home = copy
    for path in (home / "kernels").glob("layers.rmsnorm.*"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.unlink()
        if damage == "not a file":
            path.mkdir()
        else:
            path.write_bytes({"cut off": content[:-100], "a bit flipped": content, "empty": b""}[damage])
    assert run(code, home)[1] == {"normalise_row", "_normalise"}
    assert run(code, home)[1] == ({"normalise_row", "_normalise"} if damage == "not a file" else set())


def test_what_nobody_used_for_long_is_deleted(copy):
    code, home = copy
    old, recent = home / "kernels" / "old", home / "kernels" / "recent"
    used = next((home / "kernels").glob("layers.rope.*"))
    for path in (old, recent):
        path.mkdir()
    for path in (old, used):
        os.utime(path, (time.time() - 40 * 86_400,) * 2)
    run(code, home)  # compiles nothing, but uses
    with open(code / "minillama" / "layers" / "rmsnorm.py", "a") as file:
        file.write("# edited\n")
    run(code, home)
    assert not old.exists()
    assert recent.exists()
    assert time.time() - max(path.stat().st_mtime for path in (home / "kernels").glob("layers.rope.*")) < 3600


def test_where_nothing_can_be_written_kernels_still_work(copy, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    folder, names = run(copy[0], tmp_path / "file")
    assert folder == "None"
    assert "_normalise" in names


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_only_means_compiling_again(copy, tmp_path):
    code, home = copy
    shutil.rmtree(home / "kernels")
    with open(code / "minillama" / "compute" / "kernel_cache.py", "a") as file:
        file.write(
            "\n\ndef _write(path, content):\n    with open('/dev/full', 'wb') as file:\n        file.write(content)\n"
        )
    assert "_normalise" in run(code, home)[1]
    assert list((home / "kernels").iterdir()) == []


def test_the_folder_of_numba_is_used_where_it_is_set(copy, tmp_path):
    folder, _ = run(*copy, NUMBA_CACHE_DIR=str(tmp_path / "theirs"))
    assert Path(folder) == tmp_path / "theirs" / "minillama"


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("n_items", [0, 1, 7])
def test_threads_do_every_item_once(n_items, n_threads):
    if n_threads > most_threads():
        pytest.skip(f"this machine has {most_threads()} core")
    before, done = kernel_threads(), np.zeros(7, np.int64)
    set_threads(n_threads)
    try:
        _count(n_items, done, size=100)
    finally:
        set_threads(before)
    assert done.tolist() == [1] * n_items + [0] * (7 - n_items)


@threaded(from_size=100)
def _count(first, last, done):
    for i in range(first, last):
        done[i] += 1


@helper
def _answer(x):
    return x


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing compiles")
def test_a_helper_says_that_it_is_for_kernels():
    with pytest.raises(TypeError, match="_answer is for other kernels only"):
        _answer(1)


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing compiles")
def test_what_returns_something_is_not_called_by_address():
    from numba import types

    with pytest.raises(TypeError, match="_answer returns int64"):
        address_of(_answer, (types.int64,))


def test_the_package_counts_where_pip_installs_it(monkeypatch):
    """Below Python's own library, like the packages whose versions stand for their contents."""
    from minillama.compute import kernel_cache

    package = Path(minillama.__file__).parent
    monkeypatch.setattr(kernel_cache.os, "__file__", str(package.parent / "os.py"))
    is_installed = kernel_cache._is_installed.__wrapped__
    assert not is_installed(str(package / "layers" / "rope.py"))
    assert is_installed(str(package.parent / "another.py"))
