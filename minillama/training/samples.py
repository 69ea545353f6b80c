"""Texts that a model writes while it learns, from the same prompts each time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from ..config import ModelConfig
from ..inference.generate import TokenStream
from ..inference.runner import runner_for
from ..inference.sampling import Sampling
from ..inference.session import Session
from ..inference.text import TextStream, ends_of
from ..ops import FAST, Ops
from ..params import Params
from ..tokenizers import Tokenizer
from .metrics import cut_json_lines, replace_text
from .settings import RunSettings

JSONL, MARKDOWN = "samples.jsonl", "samples.md"


@dataclass(frozen=True)
class Sample:
    """A text and the step that it was written at; `text` continues `prompt`."""

    step: int
    prompt: str
    text: str


def write_samples(
    params: Params, config: ModelConfig, tokenizer: Tokenizer, run: RunSettings, step: int, ops: Ops = FAST
) -> list[Sample]:
    """A sample for each prompt.

    The random numbers depend on nothing but the run's seed, the step and the prompt's place: a resumed run
    writes the same.
    """
    sampling = Sampling(temperature=run.temperature, top_p=run.top_p)
    stop_ids, n_ids = ends_of(tokenizer), tokenizer.vocab_size
    runner = runner_for(params, config, ops, exact=True)  # a few texts do not pay for repacking the weights
    samples = []
    for place, prompt in enumerate(run.prompts):
        # with BOS even where generation has none: the documents that it learns from begin so
        ids = tokenizer.encode(prompt, bos=tokenizer.bos_id is not None)[: config.max_seq_len]
        session = Session(runner)
        session.feed(ids)
        rng = np.random.default_rng([run.seed, step, place])
        tokens = TokenStream(session, sampling, rng, max_tokens=run.sample_tokens, stop_ids=stop_ids, n_ids=n_ids)
        samples.append(Sample(step, prompt, TextStream(tokens, tokenizer, before=ids).run().text))
    return samples


class SampleLog:
    """samples.jsonl, and samples.md for people, cut back to `step` and open for more."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        cut_json_lines(folder / JSONL, step)
        rows = _read(folder / JSONL)
        if rows or (folder / MARKDOWN).exists():
            replace_text(folder / MARKDOWN, "".join(_markdown(Sample(**row)) for row in rows))

    def add(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            row = {"step": sample.step, "prompt": sample.prompt, "text": sample.text}
            for name, text in (
                (JSONL, json.dumps(row, ensure_ascii=False) + "\n"),
                (MARKDOWN, _markdown(sample)),
            ):
                _append(self._folder / name, text)


def _append(path: Path, text: str) -> None:
    rest = memoryview(text.encode("utf-8", "replace"))
    with FileIO(path, "ab") as file:
        while rest:
            rest = rest[file.write(rest) :]


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _markdown(sample: Sample) -> str:
    quoted = "\n".join(f"> {line}".rstrip() for line in f"**{sample.prompt}**{sample.text}".split("\n"))
    return f"### Step {sample.step:,}\n\n{quoted}\n\n"
