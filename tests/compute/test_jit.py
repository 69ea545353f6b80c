"""Compiled kernels: kept for exactly the code that they were compiled from."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numba
import pytest

import minillama
from minillama.compute.jit import kernel

SCRIPT = """
import sys, numpy as np
from minillama.compute.jit import kernel_folder
from minillama.layers.rmsnorm import normalise_row
y = np.zeros(4, np.float32)
normalise_row(np.ones(4, np.float32), np.ones(4, np.float32), np.float32(0), y)
print(y[0], kernel_folder(), sum(normalise_row.stats.cache_hits.values()))
"""


def run(package, home, **environment):
    """A fresh process that runs one kernel: its result, the folder, and how often the cache was hit."""
    given = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "MINILLAMA_SIMD")}
    environment = {**given, "PYTHONPATH": str(package), "MINILLAMA_HOME": str(home), **environment}
    options = {"env": environment, "cwd": package, "capture_output": True, "text": True, "check": True}
    out = subprocess.run([sys.executable, "-c", SCRIPT], **options)
    value, folder, hits = out.stdout.split()
    return float(value), folder, int(hits)


@pytest.fixture
def copy(tmp_path):
    """The package in a folder of its own, to be edited."""
    shutil.copytree(Path(minillama.__file__).parent, tmp_path / "copy" / "minillama")
    return tmp_path / "copy"


def test_an_edit_anywhere_compiles_again(copy, tmp_path):
    """Numba itself would not notice an edit in another file and would keep running the old code."""
    _, folder, hits = run(copy, tmp_path / "home")
    assert (hits, Path(folder).parent) == (0, tmp_path / "home" / "kernels")
    assert run(copy, tmp_path / "home") == (1.0, folder, 1)
    with open(copy / "minillama" / "compute" / "simd.py", "a") as file:
        file.write("# edited\n")
    _, other, hits = run(copy, tmp_path / "home")
    assert hits == 0
    assert other != folder


def test_folders_that_nobody_used_for_long_are_deleted(copy, tmp_path):
    old, recent = tmp_path / "home" / "kernels" / "old", tmp_path / "home" / "kernels" / "recent"
    for folder in (old, recent):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 40 * 86_400,) * 2)
    run(copy, tmp_path / "home")
    assert not old.exists()
    assert recent.exists()


def test_where_nothing_can_be_written_kernels_still_work(copy, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert run(copy, tmp_path / "file") == (1.0, "None", 0)


def test_the_setting_of_other_kernels_is_left_alone(copy, tmp_path):
    _, folder, _ = run(copy, tmp_path / "home", NUMBA_CACHE_DIR=str(tmp_path / "theirs"))
    assert Path(folder).parent == tmp_path / "theirs" / "minillama"
    before = numba.config.CACHE_DIR
    kernel(lambda: 1)
    assert before == numba.config.CACHE_DIR
