"""Which documents of a collection are kept when others say the same: the first of each cluster.

Exact duplicates have the same 128-bit hash of their text in lower case with spaces collapsed
(Unicode's NFC). Near-duplicates share a band of their MinHash signatures (`minhash.py`), and
clusters are what is connected by such pairs.

Memory grows with the number of documents n, not with their size: 16 n bytes of hashes and about 24 n
bytes while they are sorted for exact duplicates, and 24 n bytes for near-duplicates, whose 112 n
bytes of band hashes stay in a file that is mapped (10 million documents: 0.4 GB, and 1.3 GB of disk).
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt

from .minhash_kernels import settle, unite_equal

Indices = npt.NDArray[np.int64]
HASH_BYTES = 16


def text_hash(text: str) -> bytes:
    """16 bytes that are equal for texts that differ only in case and spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    normal = " ".join(text.lower().split())
    return hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).digest()


def exact_duplicates(hashes: npt.NDArray[np.uint64]) -> Indices:
    """The first document with the same hash, for every document.

    Parameters
    ----------
    hashes : (n, 2) uint64
        The hashes of `text_hash`, as two numbers each.

    Returns
    -------
    (n,) int64
        `found[i] == i` where document i is the first of its kind.
    """
    if hashes.ndim != 2 or hashes.shape[1] != 2:
        raise ValueError(f"hashes must have the shape (n, 2), got {hashes.shape}")
    n = len(hashes)
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: equal hashes stay in the order of the documents
    new = np.ones(n, dtype=bool)
    new[1:] = (hashes[order[1:]] != hashes[order[:-1]]).any(axis=1)
    firsts = np.empty(n, dtype=np.int64)
    firsts[order] = order[new][np.cumsum(new) - 1]
    return firsts


def near_duplicates(bands: npt.NDArray[np.uint64], active: npt.NDArray[np.bool_] | None = None) -> Indices:
    """For every document the first of its cluster, connected by equal band hashes.

    Parameters
    ----------
    bands : (n, n_bands) uint64
        Rows of `MinHash.band_hashes`; may be a memory map. 0 equals nothing.
    active : (n,) bool, optional
        Documents that take part; the others are clusters of their own.

    Returns
    -------
    (n,) int64
    """
    if bands.ndim != 2:
        raise ValueError(f"bands must have the shape (n, n_bands), got {bands.shape}")
    parents = np.arange(len(bands), dtype=np.int64)
    for band in range(bands.shape[1]):
        keys = np.array(bands[:, band])
        if active is not None:
            keys[~active] = 0
        unite_equal(keys, np.argsort(keys, kind="stable"), parents)
    settle(parents)
    return parents


def as_pairs(buffer: Any) -> npt.NDArray[np.uint64]:
    """(n, 2) uint64 of 16 n bytes of hashes."""
    return np.frombuffer(buffer, dtype="<u8").reshape(-1, 2)
