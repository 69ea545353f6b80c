"""`minillama eval contamination RESULTS --against FILES`: scores on items that the training data holds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.given import DEFAULT_MODEL, load_tokenizer_of
from ..common.options import TokenizerFile
from ..common.output import note, write

if TYPE_CHECKING:
    from ...evaluation.statistics.contamination import ContaminationTable
    from ...evaluation.statistics.saved import Key, SavedRun, SavedTask


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command()(contamination)


def contamination(
    results: Annotated[Path, typer.Argument(help="A folder of results or a samples_*.jsonl, the harness's too.")],
    against: Annotated[
        list[Path], typer.Option("--against", help="Training texts (files, folders) or a folder of token shards.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Whose tokenizer cuts texts into tokens.")
    ] = DEFAULT_MODEL,
    tokenizer: TokenizerFile = None,
    length: Annotated[int, typer.Option("--length", min=1, help="Tokens of a match; the paper takes 10 to 50.")] = 10,
    fields: Annotated[
        str | None, typer.Option("--fields", help="Only these fields of the documents: question.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Scores on clean, not clean, not dirty and dirty items, as in appendix A.6 of the LLaMA 2 paper."""
    from ...evaluation.statistics.contamination import SHORTEST, contaminated_shares
    from ...evaluation.statistics.saved import read_run

    run = read_run(results)
    encoder = load_tokenizer_of(model, tokenizer)
    items = [(task, key) for task in run.tasks.values() for key in task.places]
    names = [name.strip() for name in fields.split(",")] if fields else None
    texts = [_text(task, key, names) for task, key in items]
    samples = [encoder.encode(text, bos=False) for text in texts]
    training = _Training(against, encoder, texts)
    shares = contaminated_shares(samples, training.documents(), length=length).tolist()
    tables = _tables(run, {(task.name, key): share for (task, key), share in zip(items, shares)})
    if not tables:
        raise ValueError(f"{results} has no metric that is a number for each item")
    if as_json:
        write(json.dumps([_as_object(*name, table) for name, table in tables.items()], indent=2) + "\n")
    else:
        write("\n".join(_lines(*name, table) for name, table in tables.items()) + "\n")
    if left_out := [name for task in run.tasks.values() for name in task.scores if (task.name, name) not in tables]:
        note(f"left out: {', '.join(dict.fromkeys(left_out))}, which no single item has a score of")
    if n_short := sum(len(sample) < SHORTEST for sample in samples):
        note(f"{n_short} of {len(samples)} items have fewer than {SHORTEST} tokens: none of them can be found")
    for sentence in training.sentences():
        note(sentence)
    note("dirty items may simply be easier: compare with a model that was not trained on these texts")


def _tables(run: SavedRun, shares: dict[tuple[str, Key], float]) -> dict[tuple[str, str], ContaminationTable]:
    """A table for each task and metric that is one number an item."""
    from ...evaluation.statistics.contamination import contamination_table

    return {
        (task.name, metric): contamination_table([shares[task.name, key] for key in scores], list(scores.values()))
        for task in run.tasks.values()
        for metric, scores in task.scores.items()
        if not any(isinstance(value, tuple) for value in scores.values())
    }


def _text(task: SavedTask, key: Key, fields: list[str] | None) -> str:
    from ...evaluation.statistics.contamination import text_of
    from ...evaluation.statistics.saved import line_at

    document = line_at(task, key).get("doc")
    if not isinstance(document, dict):
        raise ValueError(f"{task.path}: item {task.places[key].doc_id} has no doc, so its text is not known")
    return text_of(document, fields)


class _Training:
    """Training documents, read once: as tokens, and counted where they share 13 words in a row with an item."""

    def __init__(self, against: list[Path], encoder: Any, texts: list[str]) -> None:
        from ...data.rules.contamination import NgramOverlap

        self.against, self.encoder = against, encoder
        self.overlap = NgramOverlap(texts)
        self.n_texts = self.n_overlapping = 0

    def documents(self) -> Iterator[Any]:
        """The tokens of one document after the other."""
        from ...data.shards.reading import TokenShards, tokenizer_fingerprint

        for path in self.against:
            if (path / "tokens.json").is_file():
                shards = TokenShards(path)
                if shards.tokenizer != tokenizer_fingerprint(self.encoder):
                    raise ValueError(f"the shards in {path} have another tokenizer: name their model with --model")
                yield from (shards.document(i) for i in range(shards.n_documents))
            else:
                yield from (self._tokens_of(text) for text in self._texts(path))

    def _texts(self, path: Path) -> Iterator[str]:
        from ...data.documents import Problem, read_documents, text_files

        for file in text_files([path]):
            for read in read_documents(file):
                if isinstance(read.item, Problem):
                    note(f"{file}: {read.item.kind}, left out: {read.item.message}")
                else:
                    yield read.item.text

    def _tokens_of(self, text: str) -> list[int]:
        self.n_texts += 1
        self.n_overlapping += self.overlap(text).text is None
        return self.encoder.encode(text, bos=False)

    def sentences(self) -> Iterator[str]:
        """What the words say; shards have none."""
        if self.n_texts:
            yield (
                f"{self.n_overlapping} of {self.n_texts} training documents share {self.overlap.n} words in a row with "
                "an item (GPT-3's rule; whole items of 8 words and more)"
            )


def _lines(task: str, metric: str, table: ContaminationTable) -> str:
    """A table as the paper's table 51 has it."""
    lines = [f"{task} {metric.removesuffix(',none')}: {table.mean:.4f} over all {table.n} items"]
    lines.append(f"  {'subset':<10} {'contaminated':>12} {'n':>7} {'mean':>8} {'Z':>8}")
    for row in table.rows:
        share, mean, z = (
            "-" if math.isnan(value) else text
            for value, text in (
                (row.share, f"{row.share:.1%}"),
                (row.mean, f"{row.mean:.4f}"),
                (row.z, f"{row.z:+.2f}"),
            )
        )
        lines.append(f"  {row.name:<10} {share:>12} {row.n:>7} {mean:>8} {z:>8}")
    affected = (
        "affected: all four |Z| are above 2" if table.is_affected else "no evidence: not all four |Z| are above 2"
    )
    return "\n".join([*lines, f"  {affected}", ""])


def _as_object(task: str, metric: str, table: ContaminationTable) -> dict[str, Any]:
    rows = [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row._asdict().items()}
        for row in table.rows
    ]
    found = {"task": task, "metric": metric, "n": table.n, "mean": table.mean}
    return {**found, "subsets": rows, "is_affected": table.is_affected}
