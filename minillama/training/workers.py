"""Threads that share a batch, as the machines of a cluster do in data-parallel training.

Each thread takes its share of the batch through the whole model, forward and backward, and the sums
and gradients are added at the end. No thread waits for another inside a step, and what a sequence
needs stays in the cache of one core.

The price is a gradient of the size of the model for every thread. Of a large model (memory.py), and
where a batch has no second part to give away, the threads share every product and every kernel
instead: one gradient, for a few waits in each layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

from ..compute.threads import all_threads, most_threads, one_blas_thread
from ..ops import FAST, Ops
from ..trees import Tree
from .gradients import Sums, add_sums
from .memory import gradient_copies, keep_freed_memory
from .objectives import Batch, Objective
from .optimizer import add_gradients

T = TypeVar("T")


class Workers:
    """A team of threads; a context manager, because BLAS is held to one thread for each.

    Parameters
    ----------
    n_threads : int, optional
        All cores by default.
    whole : bool
        A batch is never cut: it is computed where `gradients` is called, and BLAS alone has several threads. For
        functions that must not run beside themselves, or that Ctrl-C has to reach; kernels in them are often small
        and called for every row, and to start threads for each would take longer than they do.

    Notes
    -----
    Sums depend in their last digits on how a batch was cut: the same number of threads gives the
    same bits, another number does not.
    """

    def __init__(self, n_threads: int | None = None, *, whole: bool = False) -> None:
        self.n_threads, self._whole = most_threads() if n_threads is None else n_threads, whole
        if not 1 <= self.n_threads <= most_threads():
            raise ValueError(f"threads must be between 1 and {most_threads()}, the cores of this machine")
        self._stack = ExitStack()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        keep_freed_memory()
        self._stack.enter_context(one_blas_thread())
        self._pool = self._stack.enter_context(ThreadPoolExecutor(self.n_threads, initializer=_single_threaded))
        return self

    def __exit__(self, *error: object) -> None:
        self._pool = None
        self._stack.close()

    def gradients(
        self, objective: Objective, model: Tree, batch: Batch, *, n_micro: int = 1, ops: Ops = FAST
    ) -> tuple[Sums, Tree]:
        """Sums and gradients of the whole batch, every thread with its share of it, or of the work on it.

        Parameters
        ----------
        objective : Objective
        model : tree
        batch : Batch
        n_micro : int
            Each thread takes its share in so many parts, one after the other, and adds up their
            gradients: the memory of a part, the result of the whole batch.

        Returns
        -------
        sums : dict
        gradients : tree
            Of the summed loss: `divided(gradients, sums["count"])` are those of the mean.
        """

        def work(share: Batch) -> tuple[Sums, Tree]:
            return _added(objective(model, part, ops) for part in share.split(n_micro))

        return _added(self.on_parts(work, model, batch))

    def on_parts(self, function: Callable[[Any], T], model: Tree, batch: Batch) -> list[T]:
        """What `function` finds in each of the parts that `gradients` cuts a batch into, on the same threads.

        What is computed before an update in the same way as in it is the same to the last bit.
        """
        parts = batch.split(1 if self._whole else gradient_copies(model, self.n_threads))
        if len(parts) == 1 and self._pool is not None:
            with all_threads(self.n_threads, of_kernels=1 if self._whole else None):
                return [function(parts[0])]
        return self.map(function, parts)

    def sums(self, measure: Callable[[Any], Sums], batches: Iterable[Any]) -> Sums:
        """What `measure` finds in all batches together, each batch by one of the threads."""
        total = Sums()
        for sums in self.map(measure, batches):
            add_sums(total, sums)
        return total

    def map(self, function: Callable[[Any], T], arguments: Iterable[Any]) -> list[T]:
        """What `function` makes of every argument, in their order, each on one of the threads."""
        if self._pool is None:
            raise ValueError("Workers are a context manager: with Workers(2) as workers: …")
        return list(self._pool.map(function, arguments))


def _added(found: Iterable[tuple[Sums, Tree]]) -> tuple[Sums, Tree]:
    """Sums and gradients added up in the order in which they come."""
    parts = iter(found)
    try:
        sums, gradients = next(parts)
    except StopIteration:
        raise ValueError("the batch is empty: there is nothing to learn from") from None
    for more_sums, more in parts:
        add_sums(sums, more_sums)
        add_gradients(gradients, more)
    return sums, gradients


def _single_threaded() -> None:
    """Kernels that a worker calls stay on its thread."""
    import numba

    numba.set_num_threads(1)
