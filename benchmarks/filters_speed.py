"""Speed of every filter on one core, in MB of text a second.

    python benchmarks/filters_speed.py FILE... [--rounds 3]

Each filter sees every document as it is; `quality` is repetition, Gopher, C4 and FineWeb one after
another on the same documents, which cuts words once where the text does not change. The median of
the rounds is printed; processor time, so that other programs on the machine count less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from minillama.data.documents import read_texts, text_files
from minillama.data.duplicates.clusters import text_hash
from minillama.data.duplicates.minhash import MinHash
from minillama.data.rules.c4 import C4Quality
from minillama.data.rules.contamination import NgramOverlap
from minillama.data.rules.fineweb import FineWebQuality
from minillama.data.rules.gopher import GopherQuality
from minillama.data.rules.repetition import GopherRepetition
from minillama.data.rules.words import normal_words, words_of

QUALITY = (GopherRepetition(), GopherQuality(), C4Quality.fineweb(), FineWebQuality())


def quality(text: str) -> None:
    """All quality rules, each on the cleaned text of the one before, as in the pipeline, whether dropped or not."""
    for filter_ in QUALITY:
        text = filter_(text).text or text


def measured(function: Callable[[str], object], texts: list[str], rounds: int) -> float:
    """MB a second."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    function(texts[0])
    seconds = []
    for _ in range(rounds):
        words_of.cache_clear()
        normal_words.cache_clear()
        start = time.process_time()
        for text in texts:
            function(text)
        seconds.append(time.process_time() - start)
    return megabytes / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for path in text_files(given.files):
        texts = list(read_texts([path]))
        n_bytes = sum(len(text.encode()) for text in texts)
        print(f"{path.name}: {len(texts):,} documents, {n_bytes / 1e6:.2f} MB")
        functions: dict[str, Callable[[str], object]] = {filter_.name: filter_ for filter_ in QUALITY}
        functions |= {"quality": quality, "exact": text_hash, "minhash": MinHash().band_hashes}
        functions["contamination"] = NgramOverlap(texts[:50])
        for name, function in functions.items():
            print(f"  {name:14} {measured(function, texts, given.rounds):8.1f} MB/s")


if __name__ == "__main__":
    main()
