"""Compiled kernels: what is kept on disk fits the code exactly, and what threads share is the whole work."""

import os
import shutil
import stat
import subprocess
import sys
import time
from itertools import cycle
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
from minillama.files.home import HomeError
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
try:
    folder = kernel_folder()
except HomeError:
    folder = "none"
print(y[0, 0], folder, *Compiled.names)
"""


def run(package, home, **environment):
    """A fresh process that runs two layers: the folder of kernels, what was compiled, and warnings about the folder."""
    given = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT", "MINILLAMA_SIMD")}
    environment = {**given, "PYTHONPATH": str(package), "MINILLAMA_HOME": str(home), **environment}
    options = {"env": environment, "cwd": package, "capture_output": True, "text": True, "check": True}
    ended = subprocess.run([sys.executable, "-c", SCRIPT], **options)
    value, folder, *compiled = ended.stdout.split()
    assert abs(float(value) - 1) < 1e-6
    warned = [line for line in ended.stderr.splitlines() if "KernelCacheWarning: " in line]
    return folder, {name for name in compiled if name != "impl"}, warned  # "impl" is one of Numba's own


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A copy of the package whose kernels are in `home`, both to be copied again and edited."""
    folder = tmp_path_factory.mktemp("compiled")
    shutil.copytree(Path(minillama.__file__).parent, folder / "code" / "minillama")
    kernels, names, warned = run(folder / "code", folder / "home")
    assert warned == []
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


def flipped(content):
    content = bytearray(content)
    content[len(content) // 2] ^= 1
    return bytes(content)


DAMAGES = {
    "cut off": lambda path, content: path.write_bytes(content[:-100]),
    "a bit flipped": lambda path, content: path.write_bytes(flipped(content)),
    "empty": lambda path, content: path.touch(),
    "garbage": lambda path, content: path.write_bytes(b"\x80\x04garbage" * 1000),
    "a folder": lambda path, content: (path.mkdir(), (path / "file").write_bytes(content)),
    "a pipe": lambda path, content: os.mkfifo(path),
    "a link to itself": lambda path, content: path.symlink_to(path.name),
    "somebody else's": lambda path, content: (path.write_bytes(content), os.chown(path, 12345, 12345)),
}


@pytest.mark.parametrize("kinds", [list(DAMAGES)[:4], list(DAMAGES)[4:]], ids=" and ".join)
def test_what_is_damaged_is_compiled_again_and_replaced(copy, kinds):
    """Every file is damaged, one way or another."""
    code, home = copy
    kinds = [kind for kind in kinds if kind != "somebody else's" or os.getuid() == 0]  # only root gives files away
    damaged = sorted((home / "kernels").iterdir())
    assert len(damaged) >= len(kinds)
    for kind, path in zip(cycle(kinds), damaged):
        content = path.read_bytes()
        path.unlink()
        DAMAGES[kind](path, content)
    _, names, warned = run(code, home)
    assert names == {path.name.rpartition("-")[0].rpartition(".")[2] for path in damaged}
    assert warned == []
    assert all(stat.S_ISREG(path.lstat().st_mode) and path.lstat().st_uid == os.getuid() for path in damaged)
    assert run(code, home)[1:] == (set(), [])


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
    folder, names, warned = run(copy[0], tmp_path / "file")
    assert "_normalise" in names
    assert len(warned) == 1
    assert f"compiled for this run only: cannot write to {folder} (" in warned[0]
    assert "set MINILLAMA_HOME to another folder" in warned[0]


def test_without_a_home_folder_kernels_still_work(copy):
    _, names, warned = run(*copy, MINILLAMA_HOME="~nobodyatall/x")
    assert "_normalise" in names
    assert len(warned) == 1
    assert "MINILLAMA_HOME is ~nobodyatall/x, and nobody has that home" in warned[0]


def test_a_folder_that_is_deleted_during_the_run_is_made_again(copy):
    code, home = copy
    with open(code / "minillama" / "compute" / "kernel_cache.py", "a") as file:
        file.write(
            "\n\n_really_write = _write\n\n\ndef _write(path, content):\n"
            "    shutil.rmtree(path.parent)\n    _really_write(path, content)\n"
        )
    with open(code / "minillama" / "layers" / "rmsnorm.py", "a") as file:
        file.write("# edited\n")
    assert run(code, home)[2] == []
    assert len(list((home / "kernels").iterdir())) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_only_means_compiling_again(copy, tmp_path):
    code, home = copy
    shutil.rmtree(home / "kernels")
    with open(code / "minillama" / "compute" / "kernel_cache.py", "a") as file:
        file.write(
            "\n\ndef _write(path, content):\n    with open('/dev/full', 'wb') as file:\n        file.write(content)\n"
        )
    _, names, warned = run(code, home)
    assert "_normalise" in names
    assert len(warned) == 1
    assert f"cannot write to {home / 'kernels'} (No space left on device)" in warned[0]
    assert not (home / "kernels").exists()


def test_the_folder_of_numba_is_used_where_it_is_set(copy, tmp_path):
    folder, *_ = run(*copy, NUMBA_CACHE_DIR=str(tmp_path / "theirs"))
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


def test_importing_makes_no_folder(tmp_path):
    code = "import minillama.ops, minillama.inference.fused"
    environment = {**os.environ, "MINILLAMA_HOME": str(tmp_path / "home"), "NUMBA_CACHE_DIR": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert not (tmp_path / "home").exists()
