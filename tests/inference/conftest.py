"""What the tests of inference share."""

import pytest

from minillama.compute.jit import kernel_threads
from minillama.compute.threads import most_threads, set_threads


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request):
    if request.param > most_threads():
        pytest.skip(f"this machine has {most_threads()} core")
    before = kernel_threads()
    set_threads(request.param)
    yield request.param
    set_threads(before)
