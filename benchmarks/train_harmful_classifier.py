"""Train the committed classifier of harmful requests, and measure it on texts it has not seen.

    python benchmarks/train_harmful_classifier.py [--data ../shared/data] [--write]

Harmful: what people wrote in the red-teaming dialogues of hh-rlhf (noisy: some of it is harmless), the
unsafe prompts of XSTest and SimpleSafetyTests. Harmless: what people wrote in hh-rlhf's helpful dialogues,
XSTest's safe prompts, instructions, TinyStories, WikiText-2. A dialogue or prompt is in the training part or in the
held-out part by the SHA-256 of its first prompt, so that no prompt is in both; all prompts of XSTest about one
word are in one part. Settings were chosen on a part of the training part.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minillama.data.rules.harmful.classifier import TextClassifier, train
from minillama.data.rules.harmful.filter import WEIGHTS, sentences

ANSWERS = "hh helpful answers"


class Example(NamedTuple):
    """A text, its label, where it is from, and whether it is held out."""

    text: str
    label: int
    source: str
    held_out: bool


def normal(text: str) -> str:
    """What makes two prompts the same."""
    return " ".join(re.findall(r"\w+", text.lower()))


def held_out(key: str, share: float = 0.25) -> bool:
    """A fixed share of the keys, the same everywhere."""
    return int(hashlib.sha256(normal(key).encode()).hexdigest()[:8], 16) < share * 2**32


def dialogues(path: Path, label: int, source: str) -> list[Example]:
    """Each turn of the human of at least three words, and sentences of answers to harmless ones."""
    examples = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            chosen = json.loads(line)["chosen"]
            turns = re.findall(r"\n\nHuman: (.*?)(?=\n\nAssistant:|\Z)", chosen, re.DOTALL)
            other = held_out(turns[0])
            examples += [Example(turn, label, source, other) for turn in turns if len(turn.split()) >= 3]
            if not label:
                answers = re.findall(r"\n\nAssistant: (.*?)(?=\n\nHuman:|\Z)", chosen, re.DOTALL)
                examples += [Example(s, 0, ANSWERS, other) for a in answers for s in sentences(a) if len(s.split()) > 4]
    return examples


def prompts(data: Path) -> list[Example]:
    """XSTest, SimpleSafetyTests and instructions."""
    examples = []
    with open(data / "eval/xstest/xstest_prompts.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            label = int(row["label"] == "unsafe")
            examples.append(Example(row["prompt"], label, f"xstest {row['label']}", held_out(row["focus"], 0.5)))
    with open(data / "eval/simplesafetytests/test_cases.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
        examples += [
            Example(r["prompts_final"], 1, "simplesafetytests", held_out(r["prompts_final"], 0.5)) for r in rows
        ]
    for record in json.loads((data / "sft/instruction-data.json").read_text(encoding="utf-8")):
        examples.append(Example(record["instruction"], 0, "instructions", held_out(record["instruction"])))
    return examples


def plain(data: Path) -> list[Example]:
    """Sentences of stories and of Wikipedia; held out are other files."""
    examples = []
    files = (("tinystories/train.txt", 12000, False), ("tinystories/valid.txt", None, True))
    files += (("wikitext-2/valid.txt", 6000, False), ("wikitext-2/test.txt", None, True))
    for name, most, other in files:
        text = (data / name).read_text(encoding="utf-8").replace("<|endoftext|>", "\n")
        found = [s for s in sentences(text) if len(s.split()) >= 4]
        step = 1 if most is None else max(1, len(found) // most)
        examples += [Example(s, 0, name.split("/")[0], other) for s in found[::step]]
    return examples


def load(data: Path) -> list[Example]:
    """All examples, each text once; a text that is in both parts or has both labels is left out of training."""
    every = dialogues(data / "hh-rlhf/harmless-base.jsonl.gz", 1, "hh harmless-base")
    every += dialogues(data / "hh-rlhf/helpful-base.jsonl.gz", 0, "hh helpful-base")
    every += prompts(data) + plain(data)
    kept: dict[str, Example] = {}
    harmless = {normal(e.text) for e in every if not e.label}
    for example in sorted(every, key=lambda e: not e.held_out):
        key = normal(example.text)
        if key not in kept and not (example.label and key in harmless):
            kept[key] = example
    return list(kept.values())


IMPORTANCE = {
    "xstest safe": 4.0,
    "xstest unsafe": 3.0,
    "simplesafetytests": 3.0,
    "tinystories": 0.3,
    "wikitext-2": 0.5,
    ANSWERS: 0.1,
}


def trained(examples: list[Example], **settings: float) -> TextClassifier:
    """The classifier of the training part."""
    part = [e for e in examples if not e.held_out]
    return train(
        [e.text for e in part], [e.label for e in part], [IMPORTANCE.get(e.source, 1.0) for e in part], **settings
    )


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve: how often a harmful text scores above a harmless one (ties count half)."""
    order = np.argsort(scores, kind="stable")
    _, first, counts = np.unique(scores[order], return_index=True, return_counts=True)
    ranks = np.empty(len(scores))
    ranks[order] = np.repeat(first + (counts + 1) / 2, counts)
    positive = labels == 1
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(labels) - n)))


def report(model: TextClassifier, examples: list[Example], title: str) -> None:
    """AUC, precision and recall, and the share above the thresholds in every source."""
    scores, labels = model.predict([e.text for e in examples]), np.array([e.label for e in examples])
    print(f"{title}: {len(examples)} texts, {labels.sum()} harmful, AUC {auc(scores, labels):.3f}")
    prompts_only = np.array([e.source not in ("tinystories", "wikitext-2", ANSWERS) for e in examples])
    print(f"  prompts only: AUC {auc(scores[prompts_only], labels[prompts_only]):.3f}")
    for threshold in (0.4, 0.5, 0.8):
        above = scores[prompts_only] > threshold
        right = float((labels[prompts_only][above] == 1).mean()) if above.any() else float("nan")
        found = float(above[labels[prompts_only] == 1].mean())
        print(f"  prompts above {threshold}: precision {right:.3f}, recall {found:.3f}")
    for source in sorted({e.source for e in examples}):
        own = scores[[e.source == source for e in examples]]
        shares = ", ".join(f"{(own > t).mean():.3f} > {t}" for t in (0.4, 0.5, 0.8))
        print(f"  {source:20} n={len(own):<6} {shares}")


def main() -> None:
    """Train, report, and with --write replace the committed weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--write", action="store_true", help=f"replace {WEIGHTS.name}")
    arguments = parser.parse_args()
    examples = load(arguments.data)
    model = trained(examples)
    report(model, [e for e in examples if not e.held_out], "training part")
    report(model, [e for e in examples if e.held_out], "held out")
    if arguments.write:
        model.save(WEIGHTS)
        print(f"{WEIGHTS} ({WEIGHTS.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
