"""The passes of the filter pipeline over batches of documents, and the processes that do them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..documents import Document, Problem, read_documents
from ..duplicates.clusters import as_pairs, exact_duplicates, near_duplicates
from . import worker as pipeline_worker
from .settings import PipelineSettings, build_minhash
from .state import PipelineFolder
from .tally import Tally, count_documents, count_problem, filter_tally, merge
from .worker import Batch, Worker

_COMMIT_SECONDS = 1.0
_SURVIVORS, _INDEX, _HASHES, _BANDS = "survivors.jsonl.gz", "survivors.index", "hashes.bin", "bands.bin"


class PipelineProgress(NamedTuple):
    """How far a run is."""

    stage: str
    """"filtering", "duplicates" or "writing"."""
    done: int
    """Bytes of the files of this stage that are read."""
    total: int
    text_bytes: int
    """Bytes of text read so far, in this and earlier runs."""
    read: int
    """Documents, in this and earlier runs."""
    kept: int


Call = Callable[[str, Iterator[tuple[Any, tuple[Any, ...]]]], Iterator[tuple[Any, Batch]]]


class Passes:
    """One run, from wherever its state is to the end."""

    def __init__(
        self,
        settings: PipelineSettings,
        files: list[Path],
        folder: PipelineFolder,
        progress: Callable[[PipelineProgress], None] | None,
    ) -> None:
        self.settings, self.files, self.folder = settings, files, folder
        self.state, self.tally = folder.state, folder.state["tally"]
        self.progress = progress or (lambda progress: None)
        self.sizes = [path.stat().st_size for path in files]
        self.seconds_before, self.start = self.state["seconds"], time.monotonic()
        self.committed = self.start

    def complete(self) -> None:
        """Do what is left to do; then the shards are ready to be moved."""
        if self.state["stage"] in ("filtering", "writing"):
            with _workers(self.settings) as call:
                if self.state["stage"] == "filtering":
                    self._filter(call)
                    self._next("writing" if self.settings.of_collections else "moving")
                if self.state["stage"] == "writing":
                    self._write(call)
                    self._next("moving")

    def _next(self, stage: str) -> None:
        self.state["stage"] = stage
        self._commit(now=True)

    def _commit(self, now: bool = False) -> None:
        if now or time.monotonic() - self.committed > _COMMIT_SECONDS:
            self.state["seconds"] = self.seconds_before + time.monotonic() - self.start
            self.folder.commit()
            self.committed = time.monotonic()

    # --- first pass ---

    def _filter(self, call: Call) -> None:
        for found, batch in call("filter", self._batches()):
            merge(self.tally, found["tally"])
            merge(self.tally, batch.tally)
            if self.settings.of_collections:
                row = [self.folder.length(_SURVIVORS), len(batch.data), batch.n_documents]
                for name, data in (
                    (_SURVIVORS, batch.data),
                    (_INDEX, np.array(row, dtype="<i8").tobytes()),
                    (_HASHES, batch.hashes),
                    (_BANDS, batch.bands),
                ):
                    self.folder.append(name, data)
            else:
                self._append(batch.data)
            self.state.update(found["position"])
            self._commit()
            self._tell("filtering", found["done"], sum(self.sizes))

    def _batches(self) -> Iterator[tuple[dict[str, Any], tuple[list[Document]]]]:
        """Documents up to `batch_bytes`, with the position after them and what was read."""
        documents: list[Document] = []
        tally: Tally = {}
        size, n_items = 0, 0
        state, layout = self.state, self.settings.layout
        offset, line = state["offset"], state["line"]
        for number in range(state["file"], len(self.files)):
            path, before = self.files[number], sum(self.sizes[:number])
            for read in read_documents(path, layout, offset=offset, line=line):
                if isinstance(read.item, Problem):
                    self._problem(path, read.item, tally)
                else:
                    documents.append(read.item)
                    size += len(read.item.text)
                n_items += 1
                count_documents(tally, "read", int(isinstance(read.item, Document)), read.n_bytes)
                if size >= self.settings.batch_bytes or n_items >= 50_000:
                    position = {"file": number, "offset": read.offset, "line": read.line}
                    yield {"tally": tally, "position": position, "done": before + read.done}, (documents,)
                    documents, tally, size, n_items = [], {}, 0, 0
            offset, line = 0, 1
        position = {"file": len(self.files), "offset": 0, "line": 1}
        yield {"tally": tally, "position": position, "done": sum(self.sizes)}, (documents,)

    def _problem(self, path: Path, problem: Problem, tally: Tally) -> None:
        message = problem.message if problem.kind == "damaged file" else f"{path}, {problem.message}"
        if self.settings.strict:
            raise ValueError(f"{problem.kind}: {message}")
        count_problem(tally, problem.kind, message)

    # --- duplicates and the last pass ---

    def _duplicates(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """For every survivor the rule that drops it (0: none, else its place from 1) and the document kept instead."""
        rules = self.settings.of_collections
        n_documents = int(self._index()[:, 2].sum())
        kinds, firsts = np.zeros(n_documents, dtype=np.uint8), np.arange(n_documents)
        self._tell("duplicates", 0, 0)
        start = time.perf_counter()
        for place, rule in enumerate(rules, start=1):
            if n_documents == 0:
                break
            if rule == "exact":
                found = exact_duplicates(as_pairs((self.folder.path / _HASHES).read_bytes()))
            else:
                shape = (n_documents, build_minhash(self.settings).bands)
                bands = np.memmap(self.folder.path / _BANDS, dtype="<u8", mode="r", shape=shape)
                found = near_duplicates(bands, kinds == 0)
            new = (found != np.arange(n_documents)) & (kinds == 0)
            kinds[new], firsts[new] = place, found[new]
            if self.state["batch"] == 0:
                filter_tally(self.tally, rule)["seconds"] += time.perf_counter() - start
        return kinds, firsts

    def _index(self) -> npt.NDArray[np.int64]:
        """(n_batches, 3) int64: place and length of each batch of survivors in their file, and documents."""
        return np.fromfile(self.folder.path / _INDEX, dtype="<i8").reshape(-1, 3)

    def _write(self, call: Call) -> None:
        index, (kinds, firsts) = self._index(), self._duplicates()
        starts = np.concatenate([[0], np.cumsum(index[:, 2])])
        total = int(index[:, 1].sum())

        def batches() -> Iterator[tuple[int, tuple[bytes, np.ndarray, np.ndarray]]]:
            with (self.folder.path / _SURVIVORS).open("rb") as handle:
                for number in range(self.state["batch"], len(index)):
                    place, length, count = index[number].tolist()
                    handle.seek(place)
                    inside = slice(starts[number], starts[number] + count)
                    yield number, (handle.read(length), kinds[inside], firsts[inside])

        for number, batch in call("finish", batches()):
            merge(self.tally, batch.tally)
            self._append(batch.data)
            self.state["batch"] = number + 1
            self._commit()
            self._tell("writing", int(index[number, 0] + index[number, 1]), total)

    def _append(self, data: bytes) -> None:
        """Add a batch to the output; shards are cut between batches."""
        length = self.folder.length(self._shard())
        if not self.settings.single_file and length and length + len(data) > self.settings.shard_bytes:
            self.state["shard"] += 1
        self.folder.append(self._shard(), data)

    def _shard(self) -> str:
        return f"part-{self.state['shard']:05d}{self.settings.out_ending}"

    def _tell(self, stage: str, done: int, total: int) -> None:
        read, written = self.tally["read"], self.tally["written"]
        self.progress(PipelineProgress(stage, done, total, read["bytes"], read["documents"], written["documents"]))


@contextmanager
def _workers(settings: PipelineSettings) -> Iterator[Call]:
    """Yield a function that runs a method of the worker on every item, in their order."""
    if settings.workers == 1:
        worker = Worker(settings)
        yield lambda method, items: ((about, getattr(worker, method)(*arguments)) for about, arguments in items)
        return
    context = get_context("spawn")  # a fork would copy the threads of NumPy's BLAS in whatever state they are
    pool = ProcessPoolExecutor(settings.workers, context, pipeline_worker.start, (settings,))

    def call(method: str, items: Iterator[tuple[Any, tuple[Any, ...]]]) -> Iterator[tuple[Any, Batch]]:
        waiting: deque[tuple[Any, Future[Batch]]] = deque()
        for about, arguments in items:
            waiting.append((about, pool.submit(pipeline_worker.run, method, arguments)))
            if len(waiting) > 2 * settings.workers:
                about, future = waiting.popleft()
                yield about, future.result()
        while waiting:
            about, future = waiting.popleft()
            yield about, future.result()

    try:
        yield call
    except BrokenProcessPool as error:
        message = (
            "a worker process ended by itself (was there enough memory?): continue with --resume and fewer --workers"
        )
        raise ValueError(message) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
