"""Random texts through the tokenizers of LLaMA, LLaMA 3 and Qwen2: are their ids those of `transformers`?

    python benchmarks/tokenizers_random.py --count 100000 [--kind llama|llama3|qwen2 …] [--seed N]
    python benchmarks/tokenizers_random.py --vocabularies llama.cpp/models

The first trains small vocabularies, saves them as `transformers` does, with added tokens of all 32 combinations
of flags, and compares the ids of every text, once with special tokens read as such and once as plain text; a
tenth of the ids is decoded, too. The second reads llama.cpp's `ggml-vocab-*.gguf` and compares with the `.inp`
and `.out` beside them. The exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "tokenizers"))
from peers import KINDS, SAVERS, decoded_differently, differences, texts_with

from minillama.files.errors import CheckpointError
from minillama.tokenizers import Tokenizer, load_tokenizer

BATCH = 2000


def main() -> int:
    """Compare, print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="texts for each tokenizer")
    parser.add_argument("--kind", choices=KINDS, nargs="*", default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocabularies", type=Path, help="a folder with ggml-vocab-*.gguf, instead")
    options = parser.parse_args()
    if options.vocabularies is not None:
        return sum(compare_vocabulary(path) for path in sorted(options.vocabularies.glob("ggml-vocab-*.gguf"))) and 1
    return sum(compare_kind(kind, options.count, options.seed) for kind in options.kind) and 1


def compare_kind(kind: str, count: int, seed: int) -> int:
    """The number of texts whose ids or decoded ids differ."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        SAVERS[kind](Path(folder))
        ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    contents = [token.content for token in theirs.added_tokens_decoder.values()]
    start, n_ids, n_decoded = time.perf_counter(), [0, 0], 0
    for begin in range(0, count, BATCH):
        texts = texts_with(contents, min(BATCH, count - begin), seed * 1_000_003 + begin)
        for allow_special in (False, True):
            found = differences(ours, theirs, texts, allow_special)
            n_ids[allow_special] += len(found)
            show(kind, found)
        found = decoded_differently(ours, theirs, texts[::10])
        n_decoded += len(found)
        show(kind, found)
    seconds = time.perf_counter() - start
    print(
        f"{kind:8} {count:7} texts, {n_ids[0]} differ as plain text, {n_ids[1]} with special tokens, "
        f"{n_decoded} decoded differently ({seconds:.0f} s)"
    )
    return n_ids[0] + n_ids[1] + n_decoded


def show(kind: str, found: list[Any]) -> None:
    for text, ours, theirs in sorted(found, key=lambda row: len(row[0]))[:3]:
        print(f"{kind:8} {text!r}\n    here         {ours!r}\n    transformers {theirs!r}")


def compare_vocabulary(path: Path) -> int:
    """The number of texts of `path.inp` whose ids are not those of `path.out`."""
    name = path.stem.removeprefix("ggml-vocab-")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            tokenizer = load_tokenizer(path)
        except CheckpointError as error:
            print(f"{name:16} refused: {error.field}: {error.problem}")
            return 0
    warned = " (warned: no word pattern named)" if caught else ""
    if not path.with_suffix(".gguf.inp").is_file():
        print(f"{name:16} read, {tokenizer.vocab_size} tokens, no vectors{warned}")
        return 0
    texts = path.with_suffix(".gguf.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    lines = path.with_suffix(".gguf.out").read_text("utf-8").split("\n")
    n_wrong = sum(_ids(tokenizer, text) != [int(id_) for id_ in line.split()] for text, line in zip(texts, lines))
    print(f"{name:16} {len(texts)} texts, {n_wrong} differ{warned}")
    return n_wrong


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, bos=False)


if __name__ == "__main__":
    sys.exit(main())
