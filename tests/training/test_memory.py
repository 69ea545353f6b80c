"""Freed memory stays with the process, where the C library can be asked."""

import platform
import subprocess
import sys

import pytest


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_blocks_are_not_fetched_page_by_page_again():
    code = (
        "import resource, numpy as np\n"
        "from minillama.training.memory import keep_freed_memory\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(20):\n"
        "        a = [np.ones(2_000_000, np.float32) for _ in range(3)]\n"
        "        del a\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "assert keep_freed_memory()\n"
        "faults()\n"
        "assert faults() < 2_000\n"  # 20 times 24 MB are 117,000 pages
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_elsewhere_nothing_happens(monkeypatch):
    from minillama.training import memory

    monkeypatch.setattr(memory.sys, "platform", "darwin")
    memory.keep_freed_memory.cache_clear()
    assert not memory.keep_freed_memory()
    memory.keep_freed_memory.cache_clear()
