"""What a process does with a batch of documents: run the filters one after another, count, encode."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..decision import Decision, Filter
from ..documents import Document, encode_documents
from ..duplicates.clusters import text_hash
from ..duplicates.minhash import MinHash
from ..rules.words import excerpt, n_bytes
from .settings import PipelineSettings, build_filter, build_minhash
from .tally import Tally, count, count_documents, count_language, filter_tally


class Batch(NamedTuple):
    """What became of some documents."""

    tally: Tally
    data: bytes
    """The documents that are left, encoded."""
    n_documents: int
    hashes: bytes
    """16 bytes for each, where the rule exact runs."""
    bands: bytes
    """Band hashes of each, where the rule minhash runs."""


class Worker:
    """The filters of a run, made once in a process."""

    def __init__(self, settings: PipelineSettings) -> None:
        self.settings = settings
        before, after = settings.before_and_after()
        self.before = [(rule, build_filter(rule, settings)) for rule in before]
        self.after = [(rule, build_filter(rule, settings)) for rule in after]
        self.minhash: MinHash | None = build_minhash(settings) if "minhash" in settings.in_order else None
        for _, filter_ in (*self.before, *self.after):
            filter_("Compiled and loaded before anything is timed.")
        if self.minhash is not None:
            self.minhash.band_hashes("Compiled and loaded before anything is timed.")

    def filter(self, documents: Sequence[Document]) -> Batch:
        """Run the rules before those of duplicates; without such rules, all."""
        tally: Tally = {}
        left = _apply(self.before, documents, tally)
        if not self.settings.of_collections:
            return self._finished(left, tally)
        hashes, bands = b"", b""
        start = time.perf_counter()
        if "exact" in self.settings.in_order:
            hashes = b"".join(text_hash(text) for text, _ in left)
            filter_tally(tally, "exact")["seconds"] += time.perf_counter() - start
        start = time.perf_counter()
        if self.minhash is not None:
            bands = b"".join(self.minhash.band_hashes(text).astype("<u8").tobytes() for text, _ in left)
            filter_tally(tally, "minhash")["seconds"] += time.perf_counter() - start
        data = encode_documents(left, ".jsonl.gz", self.settings.layout, level=1)
        return Batch(tally, data, len(left), hashes, bands)

    def finish(self, data: bytes, kinds: npt.NDArray[np.uint8], firsts: npt.NDArray[np.int64]) -> Batch:
        """Drop the duplicates from what `filter` encoded, and run the rules after that.

        Parameters
        ----------
        kinds : (n_documents,) uint8
            0 to keep, k + 1 for a duplicate by the k-th rule of duplicates.
        firsts : (n_documents,) int64
            The document that is kept instead, counted from 0 over all that came so far.
        """
        tally: Tally = {}
        left = []
        lines = gzip.decompress(data).decode().split("\n")  # not splitlines: a text may hold other line ends
        for line, kind, first in zip(lines, kinds.tolist(), firsts.tolist()):
            fields = json.loads(line)
            document = Document(fields.pop(self.settings.layout.field), fields)
            if self._is_first(document.text, kind, first, tally):
                left.append(document)
        return self._finished(_apply(self.after, left, tally), tally)

    def _is_first(self, text: str, kind: int, first: int, tally: Tally) -> bool:
        """Count the rules of duplicates for one document."""
        for place, rule in enumerate(self.settings.of_collections, start=1):
            if kind == place:
                found = {"duplicate": f"{'as' if rule == 'exact' else 'like'} document {first}: {excerpt(text, 70)}"}
                count(tally, rule, text, Decision(None, {"duplicate": 1}, found), 0.0)
                return False
            count(tally, rule, text, Decision(text, {}, {}), 0.0)
        return True

    def _finished(self, documents: Sequence[Document], tally: Tally) -> Batch:
        count_documents(tally, "written", len(documents), sum(n_bytes(text) for text, _ in documents))
        data = encode_documents(documents, self.settings.out_ending, self.settings.layout)
        return Batch(tally, data, len(documents), b"", b"")


def _apply(filters: Sequence[tuple[str, Filter]], documents: Sequence[Document], tally: Tally) -> list[Document]:
    """What the filters leave of some documents."""
    left = []
    for text, fields in documents:
        current: str | None = text
        for rule, filter_ in filters:
            assert current is not None
            start = time.perf_counter()
            decision = filter_(current)
            count(tally, rule, current, decision, time.perf_counter() - start)
            count_language(tally, rule, current, decision)
            current = decision.text
            if current is None:
                break
        if current is not None:
            left.append(Document(current, fields))
    return left


# --- in a process of its own ------------------------------------------------------------


_worker: Worker | None = None


def start(settings: PipelineSettings) -> None:
    """Make the filters of this process; it ends with its parent, and leaves Ctrl-C to it."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(settings)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def run(method: str, arguments: tuple[Any, ...]) -> Batch:
    """Call a method of this process's worker."""
    if _worker is None:
        raise RuntimeError("start() was not called in this process")
    found: Batch = getattr(_worker, method)(*arguments)
    return found
